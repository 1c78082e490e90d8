//! LAN-only remote desktop: which running flows the mode must cut.
//!
//! The rules in the kernel see packets, with the devices they come from and go to. A conntrack entry has no devices, so they are found by
//! the routes. Where these leave a choice (policy routing), the flow is cut: a flow cut without need is back with its next packet, a flow
//! forgotten goes on past the rules if the hardware forwards it.
//!
//! Invariant: every flow whose packets in original direction the forward rules would drop is cut. It holds for packets that come in by a
//! device towards which some table routes their source, go out by a device towards which some table routes their destination, do not leave
//! by one device for a network that is on-link on others only, and are masqueraded, if at all, as the device they leave by.

pub mod saved;

use crate::config::{Host, Subnet};
use crate::gather::Gather;
use crate::network::{Device, Links, Redirect};
use crate::nft::PortRange;
use crate::sorted::{Map, Set};
use crate::system::conntrack::Flow;
use std::net::IpAddr;

/// IANA's number.
pub(crate) const UDP: u8 = 17;

/// What the mode forbids, and what the router looks like.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The source zones' devices.
    pub sources: &'a Set<Device>,
    /// The destination zones' devices.
    pub dests: &'a Set<Device>,
    /// UDP ports.
    pub ports: &'a [PortRange],
    /// The LAN hosts it holds for; empty: all.
    pub hosts: &'a [Host],
    /// LAN hosts it does not hold for.
    pub except_hosts: &'a [Host],
    /// Networks outside it does not hold for.
    pub except_dests: &'a [Subnet],
    /// Whether flows from outside with a source port in the range are cut too.
    pub mirror: bool,
    /// The user's own ways in from the destination zones, which `mirror` leaves alone.
    pub redirects: &'a [Redirect],
    /// The kernel's view, for routes, own addresses and neighbours.
    pub links: &'a Links,
    /// Addresses of MACs seen earlier, beyond the neighbours the kernel knows now.
    pub learned: &'a [(IpAddr, [u8; 6])],
}

/// [`Terms`], laid out for quick answers.
#[derive(Debug, Clone)]
pub struct Scope {
    ports: Vec<PortRange>,
    /// `None`: all.
    hosts: Option<Set<IpAddr>>,
    except_hosts: Set<IpAddr>,
    except_dests: Vec<Subnet>,
    mirror: bool,
    redirects: Vec<(Option<Subnet>, PortRange)>,
    /// The router's own addresses, and on which devices.
    own: Map<IpAddr, Vec<u32>>,
    sources: Set<u32>,
    dests: Set<u32>,
    routes: Vec<RoutingTable>,
    on_link: RoutingTable,
}

/// A running flow that the mode would end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doomed {
    /// Who opened it.
    pub source: IpAddr,
    /// From which UDP port.
    pub source_port: u16,
    /// Where it leads, after DNAT.
    pub dest: IpAddr,
    /// To which UDP port.
    pub dest_port: u16,
    /// Opened from outside.
    pub inbound: bool,
}

impl Scope {
    /// Lays the terms out.
    #[must_use]
    pub fn new(terms: &Terms<'_>) -> Self {
        let links = terms.links;
        let mut tables: Map<u32, RoutingTable> = Map::new();
        for route in &links.routes {
            tables.or_default(route.table).insert(route.dest, route.device);
        }
        tables.values_mut().for_each(RoutingTable::sort);
        let mut own: Map<IpAddr, Vec<u32>> = Map::new();
        let mut on_link = RoutingTable::default();
        for (device, subnet, address) in &links.addresses {
            own.or_default(*address).push(*device);
            on_link.insert(*subnet, *device);
        }
        on_link.sort();
        Self {
            ports: terms.ports.to_vec(),
            hosts: (!terms.hosts.is_empty()).then(|| addresses_of(terms.hosts, terms)),
            except_hosts: addresses_of(terms.except_hosts, terms),
            except_dests: terms.except_dests.to_vec(),
            mirror: terms.mirror,
            redirects: terms
                .redirects
                .iter()
                .map(|redirect| (redirect.dest, redirect.ports))
                .gathered(),
            own,
            sources: indices(terms.sources, links),
            dests: indices(terms.dests, links),
            routes: tables.into_values().gathered(),
            on_link,
        }
    }

    /// The scope of a policy on this router. `learned` are addresses behind the MACs of the policy's hosts.
    #[must_use]
    pub fn of(policy: &crate::policy::LanOnly, learned: &Set<IpAddr>, links: &Links) -> Self {
        let hosts = |hosts: &crate::policy::Hosts| -> Vec<Host> {
            let v4 = hosts.v4.iter().map(|address| Host::Address((*address).into()));
            let v6 = hosts.v6.iter().map(|address| Host::Address((*address).into()));
            v4.chain(v6)
                .chain(hosts.macs.iter().map(|mac| Host::Mac(*mac)))
                .gathered()
        };
        let opened = |(network, ports): &(Subnet, PortRange)| Redirect {
            dest: Some(*network),
            ports: *ports,
            source_zone: String::new(),
            label: String::new(),
        };
        // Which of the hosts' MACs an address belongs to makes no difference.
        let owner = policy.hosts.macs.first();
        let named: Vec<_> = owner
            .into_iter()
            .flat_map(|mac| learned.iter().map(|address| (*address, *mac)))
            .gathered();
        Self::new(&Terms {
            sources: &present(&policy.sources, links),
            dests: &present(&policy.dests, links),
            ports: &policy.ports,
            hosts: &hosts(&policy.hosts),
            except_hosts: &hosts(&policy.except_hosts),
            except_dests: &policy.except_dests,
            mirror: policy.mirror,
            redirects: &policy.openings.iter().map(opened).gathered(),
            links,
            learned: &named,
        })
    }

    /// Whether the mode must cut a flow.
    #[must_use]
    pub fn cuts(&self, flow: &Flow) -> bool {
        self.doomed(flow).is_some()
    }

    /// A flow that the mode must cut, as packets in `forward` show it.
    #[must_use]
    pub fn doomed(&self, flow: &Flow) -> Option<Doomed> {
        let inbound = match flow.protocol {
            UDP if self.cuts_outbound(flow) => false,
            UDP if self.mirror && self.cuts_inbound(flow) => true,
            _ => return None,
        };
        Some(Doomed {
            source: flow.original.source,
            source_port: flow.original.source_port,
            dest: flow.reply.source,
            dest_port: flow.reply.source_port,
            inbound,
        })
    }

    /// The destination is taken from the reply direction: in `forward`, packets already have the one that DNAT gave them.
    fn cuts_outbound(&self, flow: &Flow) -> bool {
        contains_port(&self.ports, flow.reply.source_port)
            && self.concerns(flow.original.source, flow.reply.source)
            && self.is_inside(flow.original.source)
            && self.is_outside(flow.reply.source, flow.reply.dest)
    }

    fn cuts_inbound(&self, flow: &Flow) -> bool {
        contains_port(&self.ports, flow.original.source_port)
            && self.concerns(flow.reply.source, flow.original.source)
            && self.is_inside(flow.reply.source)
            && self.is_outside(flow.original.source, flow.original.dest)
            && !self.is_redirected(flow.reply.source, flow.reply.source_port)
    }

    /// Whether the mode holds for a LAN host and a remote address, wherever they are. It never does for the router itself.
    fn concerns(&self, host: IpAddr, remote: IpAddr) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(&host))
            && !self.except_hosts.contains(&host)
            && !self.except_dests.iter().any(|subnet| subnet.contains(remote))
            && !self.own.contains_key(&host)
            && !self.own.contains_key(&remote)
    }

    /// Whether packets of this address may come in by a source device.
    fn is_inside(&self, host: IpAddr) -> bool {
        self.devices_towards(host).any(|device| self.sources.contains(&device))
    }

    /// Whether packets to this address may leave by a destination device. `seen_as` is the address that the remote end talks to: one of
    /// ours tells by which device a masqueraded flow really goes, if that device is still a way there.
    fn is_outside(&self, remote: IpAddr, seen_as: IpAddr) -> bool {
        let on_link = self.on_link.devices(remote);
        if !on_link.is_empty() && !on_link.iter().any(|(_, device)| self.dests.contains(device)) {
            return false;
        }
        let masqueraded_on = self.own.get(&seen_as).map(Vec::as_slice).unwrap_or_default();
        if !self.any_dest(masqueraded_on)
            && self
                .devices_towards(remote)
                .any(|device| masqueraded_on.contains(&device))
        {
            return false;
        }
        self.devices_towards(remote).any(|device| self.dests.contains(&device))
    }

    fn is_redirected(&self, host: IpAddr, port: u16) -> bool {
        self.redirects.iter().any(|(dest, ports)| {
            ports.from <= port && port <= ports.to && dest.is_none_or(|subnet| subnet.contains(host))
        })
    }

    fn any_dest(&self, devices: &[u32]) -> bool {
        devices.iter().any(|device| self.dests.contains(device))
    }

    /// The devices of every table's best match.
    fn devices_towards(&self, address: IpAddr) -> impl Iterator<Item = u32> + '_ {
        self.routes
            .iter()
            .flat_map(move |table| table.devices(address))
            .map(|(_, device)| *device)
    }
}

/// Routes by prefix length, the longest first, so that a look-up takes one search per length in use. Routes can be many.
#[derive(Debug, Clone, Default)]
struct RoutingTable {
    ipv4: PrefixMap,
    ipv6: PrefixMap,
}

/// By [`std::cmp::Reverse`] of the prefix length: the prefixes' bits and devices, in order once they are sorted. Several of one prefix for routes of
/// different metric and for multipath.
type PrefixMap = Map<std::cmp::Reverse<u8>, Vec<(u128, u32)>>;

impl RoutingTable {
    fn insert(&mut self, dest: Subnet, device: u32) {
        let map = if dest.address.is_ipv4() {
            &mut self.ipv4
        } else {
            &mut self.ipv6
        };
        let prefixes = map.or_default(std::cmp::Reverse(dest.prefix));
        prefixes.push((masked(bits(dest.address), dest.prefix), device));
    }

    /// Before the first look-up.
    fn sort(&mut self) {
        for prefixes in self.ipv4.values_mut().chain(self.ipv6.values_mut()) {
            prefixes.sort_unstable();
        }
    }

    /// The devices of the longest prefix that holds the address.
    fn devices<'a>(&'a self, address: IpAddr) -> &'a [(u128, u32)] {
        let map = if address.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let bits = bits(address);
        let of_length = |(length, prefixes): (&std::cmp::Reverse<u8>, &'a Vec<(u128, u32)>)| {
            let wanted = masked(bits, length.0);
            let from = prefixes.partition_point(|(prefix, _)| *prefix < wanted);
            let count = prefixes[from..]
                .iter()
                .take_while(|(prefix, _)| *prefix == wanted)
                .count();
            Some(&prefixes[from..from + count]).filter(|found| !found.is_empty())
        };
        map.iter().find_map(of_length).unwrap_or_default()
    }
}

/// An address's bits, from the top.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(bits: u128, prefix: u8) -> u128 {
    bits & !u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
}

fn contains_port(ports: &[PortRange], port: u16) -> bool {
    ports.iter().any(|range| range.from <= port && port <= range.to)
}

/// A zone's devices as names: of "all but", those that are there now.
fn present(devices: &crate::policy::Devices, links: &Links) -> Set<Device> {
    match devices {
        crate::policy::Devices::Only(devices) => devices.clone(),
        all_but @ crate::policy::Devices::AllBut(_) => {
            let names = links.devices.values().filter(|name| all_but.contains(name));
            names.map(|name| Device::Named(name.clone())).collect()
        }
    }
}

/// The links that the devices of a zone name.
fn indices(devices: &Set<Device>, links: &Links) -> Set<u32> {
    let named = |name: &String| {
        devices.iter().any(|device| match device {
            Device::Named(whole) => whole == name,
            Device::BeginsWith(start) => name.starts_with(start.as_str()),
        })
    };
    links
        .devices
        .iter()
        .filter(|(_, name)| named(name))
        .map(|(index, _)| *index)
        .collect()
}

/// The hosts' addresses; a MAC stands for all that are known of it.
fn addresses_of(hosts: &[Host], terms: &Terms<'_>) -> Set<IpAddr> {
    let known = || terms.links.neighbours.iter().chain(terms.learned);
    let mut addresses = Set::new();
    for host in hosts {
        match host {
            Host::Address(address) => drop(addresses.insert(*address)),
            Host::Mac(mac) => addresses.extend(known().filter(|(_, owner)| owner == mac).map(|(address, _)| *address)),
        }
    }
    addresses
}

#[cfg(test)]
mod tests;
