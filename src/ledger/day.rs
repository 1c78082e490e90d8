//! One day of the ledger, and how it is written down.

use super::{add_to, keep_largest, raise_to, Service};
use std::cmp::Reverse;
use std::net::IpAddr;

/// Services of a day that are written down; what is left is the day's total without them.
pub const SERVICES: usize = 64;
/// Sources of a day that are written down.
pub const SOURCES: usize = 256;
/// Services of a source that are written down.
pub const OF_SOURCE: usize = 4;
/// Of a day that is not over: what is large in the end may be small at noon.
const OPEN: usize = 1024;
const OPEN_OF_SOURCE: usize = 16;

/// Attempts by hour of the router's local time. In the hour that daylight-saving time repeats stand both; the one that it leaves out stays empty.
pub type Hours = [u64; 24];

/// What one address tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which; or its network, if sources are masked.
    pub address: IpAddr,
    /// When.
    pub hours: Hours,
    /// In order; at least the largest.
    pub services: Vec<(Service, u64)>,
}

/// A day. Days add up: what is in no service and no source here was tried all the same, and is in the hours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Day {
    /// All attempts.
    pub hours: Hours,
    /// In order.
    pub services: Vec<(Service, u64)>,
    /// In order of their addresses.
    pub sources: Vec<Source>,
}

/// The sum of the hours.
#[must_use]
pub fn sum(hours: &Hours) -> u64 {
    hours.iter().fold(0, |sum, hour| sum.saturating_add(*hour))
}

impl Source {
    fn new(address: IpAddr) -> Self {
        Self {
            address,
            hours: Hours::default(),
            services: Vec::new(),
        }
    }

    /// How often in all.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        sum(&self.hours)
    }
}

impl Day {
    /// All attempts of the day.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        sum(&self.hours)
    }

    /// Adds to an hour's total.
    pub fn add(&mut self, hour: u8, attempts: u64) {
        if let Some(known) = self.hours.get_mut(usize::from(hour)) {
            *known = known.saturating_add(attempts);
        }
    }

    /// Adds to a service.
    pub fn add_service(&mut self, service: Service, attempts: u64) {
        add_to(&mut self.services, service, attempts);
        if self.services.len() > OPEN {
            keep_largest(&mut self.services, OPEN / 2);
        }
    }

    /// Adds to a source, in an hour.
    pub fn add_source(&mut self, address: IpAddr, hour: u8, attempts: u64) {
        let source = self.source(address);
        if let Some(known) = source.hours.get_mut(usize::from(hour)) {
            *known = known.saturating_add(attempts);
        }
        if self.sources.len() > OPEN {
            self.keep_sources(OPEN / 2);
        }
    }

    /// Adds to what a source tried, of the attempts that are in its hours. One that is not known (any more) stays so.
    pub fn add_source_service(&mut self, address: IpAddr, service: Service, attempts: u64) {
        let Ok(at) = self.sources.binary_search_by_key(&address, |source| source.address) else {
            return;
        };
        let services = &mut self.sources[at].services;
        add_to(services, service, attempts);
        if services.len() > OPEN_OF_SOURCE {
            keep_largest(services, OPEN_OF_SOURCE / 2);
        }
    }

    fn source(&mut self, address: IpAddr) -> &mut Source {
        let at = match self.sources.binary_search_by_key(&address, |source| source.address) {
            Ok(at) => at,
            Err(at) => {
                self.sources.insert(at, Source::new(address));
                at
            }
        };
        &mut self.sources[at]
    }

    fn keep_sources(&mut self, most: usize) {
        if self.sources.len() > most {
            self.sources
                .sort_unstable_by_key(|source| (Reverse(source.attempts()), source.address));
            self.sources.truncate(most);
            self.sources.sort_unstable_by_key(|source| source.address);
        }
    }

    /// Takes from another account of the same day whatever is greater there, so that taking it twice changes nothing.
    pub fn merge(&mut self, other: &Self) {
        raise(&mut self.hours, &other.hours);
        for (service, attempts) in &other.services {
            raise_to(&mut self.services, *service, *attempts);
        }
        keep_largest(&mut self.services, OPEN);
        for source in &other.sources {
            let known = self.source(source.address);
            raise(&mut known.hours, &source.hours);
            for (service, attempts) in &source.services {
                raise_to(&mut known.services, *service, *attempts);
            }
            keep_largest(&mut known.services, OPEN_OF_SOURCE);
        }
        self.keep_sources(OPEN);
    }

    /// Leaves out who it was: see [`super::masked`].
    pub fn mask(&mut self) {
        for source in std::mem::take(&mut self.sources) {
            let address = super::masked(source.address);
            for (hour, attempts) in (0..).zip(source.hours) {
                self.add_source(address, hour, attempts);
            }
            for (service, attempts) in source.services {
                self.add_source_service(address, service, attempts);
            }
        }
    }

    /// Leaves what is written down of a day that is over.
    pub fn shrink(&mut self) {
        keep_largest(&mut self.services, SERVICES);
        self.keep_sources(SOURCES);
        for source in &mut self.sources {
            keep_largest(&mut source.services, OF_SOURCE);
        }
    }

    /// As bytes: which hours are not empty (24 bits) and their numbers, services, sources; numbers have seven bits a byte, the lowest first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_hours(&mut bytes, &self.hours);
        put_services(&mut bytes, &self.services);
        put(&mut bytes, self.sources.len() as u64);
        for source in &self.sources {
            put_address(&mut bytes, source.address);
            put_hours(&mut bytes, &source.hours);
            put_services(&mut bytes, &source.services);
        }
        bytes
    }

    /// What [`Day::encode`] wrote; `None`: something else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut at = bytes;
        let mut day = Self {
            hours: hours(&mut at)?,
            services: services(&mut at)?,
            sources: Vec::new(),
        };
        for _ in 0..number(&mut at)? {
            day.sources.push(Source {
                address: address(&mut at)?,
                hours: hours(&mut at)?,
                services: services(&mut at)?,
            });
        }
        let in_order = day.sources.is_sorted_by(|one, next| one.address < next.address);
        (at.is_empty() && in_order).then_some(day)
    }
}

/// All attempts of a day that [`Day::encode`] wrote, without reading the rest of it.
pub(super) fn attempts_of(mut bytes: &[u8]) -> u64 {
    hours(&mut bytes).map_or(0, |hours| sum(&hours))
}

fn raise(hours: &mut Hours, other: &Hours) {
    for (hour, other) in hours.iter_mut().zip(other) {
        *hour = (*hour).max(*other);
    }
}

/// A number, seven bits a byte, the lowest first.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

/// What [`put`] put.
pub(super) fn number(at: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = one(at)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn one(at: &mut &[u8]) -> Option<u8> {
    let (first, rest) = at.split_first()?;
    *at = rest;
    Some(*first)
}

fn some<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = at.split_first_chunk()?;
    *at = rest;
    Some(*first)
}

fn put_hours(bytes: &mut Vec<u8>, hours: &Hours) {
    let mut mask: u32 = 0;
    for (hour, attempts) in hours.iter().enumerate() {
        mask |= u32::from(*attempts > 0) << hour;
    }
    bytes.extend_from_slice(&mask.to_be_bytes()[1..]);
    for attempts in hours.iter().filter(|attempts| **attempts > 0) {
        put(bytes, *attempts);
    }
}

fn hours(at: &mut &[u8]) -> Option<Hours> {
    let [high, middle, low] = some(at)?;
    let mask = u32::from_be_bytes([0, high, middle, low]);
    let mut hours = Hours::default();
    for (hour, attempts) in hours.iter_mut().enumerate() {
        if mask >> hour & 1 == 1 {
            *attempts = number(at)?;
        }
    }
    Some(hours)
}

pub(super) fn put_service(bytes: &mut Vec<u8>, service: Service) {
    bytes.push(service.protocol);
    bytes.extend_from_slice(&service.port.to_be_bytes());
}

pub(super) fn service(at: &mut &[u8]) -> Option<Service> {
    let [protocol, high, low] = some(at)?;
    Some(Service {
        protocol,
        port: u16::from_be_bytes([high, low]),
    })
}

fn put_services(bytes: &mut Vec<u8>, services: &[(Service, u64)]) {
    put(bytes, services.len() as u64);
    for (service, attempts) in services {
        put_service(bytes, *service);
        put(bytes, *attempts);
    }
}

fn services(at: &mut &[u8]) -> Option<Vec<(Service, u64)>> {
    let mut services = Vec::new();
    for _ in 0..number(at)? {
        services.push((service(at)?, number(at)?));
    }
    // They are looked for by halving.
    services.is_sorted_by(|one, next| one.0 < next.0).then_some(services)
}

pub(super) fn put_address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            bytes.push(4);
            bytes.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            bytes.push(6);
            bytes.extend_from_slice(&address.octets());
        }
    }
}

pub(super) fn address(at: &mut &[u8]) -> Option<IpAddr> {
    match one(at)? {
        4 => Some(IpAddr::from(some::<4>(at)?)),
        6 => Some(IpAddr::from(some::<16>(at)?)),
        _ => None,
    }
}
