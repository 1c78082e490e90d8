//! The small pieces that rules and sets are made of.

use crate::config::Subnet;
use crate::gather::Gather;
use crate::network::Device;
use crate::nft::{
    Chain, Contents, Direction, Element, Field, Kind, Match, PortRange, Range, Rule, Set, State, Statement, Value,
};
use crate::policy::Devices;
use std::net::IpAddr;

/// The alternatives by which a device is found, each a conjunction. One name is compared: a lookup in a set takes twice as long and more.
pub(super) fn device_matches(devices: &Devices, set: &str, field: Field) -> Vec<Vec<Match>> {
    if let Some(name) = only_name(devices) {
        return vec![vec![Match::Is(field, Value::Ifname(name.clone()))]];
    }
    match devices {
        Devices::Only(devices) => {
            let mut alternatives = vec![vec![Match::In(vec![field], set.into())]];
            for device in devices {
                if let Device::BeginsWith(prefix) = device {
                    alternatives.push(vec![Match::BeginsWith(field, prefix.clone())]);
                }
            }
            alternatives
        }
        // A wildcard among the devices to leave out cannot be left out by name: the closed form takes it in.
        Devices::AllBut(_) => vec![vec![Match::NotIn(vec![field], set.into())]],
    }
}

/// The name, where there is but one device.
fn only_name(devices: &Devices) -> Option<&String> {
    let Devices::Only(devices) = devices else { return None };
    let mut devices = devices.iter();
    match (devices.next(), devices.next()) {
        (Some(Device::Named(name)), None) => Some(name),
        _ => None,
    }
}

/// The set that [`device_matches`] asks; none where it asks none.
pub(super) fn device_set(devices: &Devices, name: &str) -> Option<Set> {
    only_name(devices)
        .is_none()
        .then(|| configured(name, &[Kind::Ifname], device_elements(devices)))
}

pub(super) fn configured(name: &str, key: &[Kind], elements: Vec<Element>) -> Set {
    Set {
        name: name.into(),
        key: key.to_vec(),
        interval: false,
        dynamic: false,
        timeout: None,
        size: None,
        contents: Contents::Configuration(elements),
    }
}

pub(super) fn ranges(name: &str, key: &[Kind], elements: Vec<Element>) -> Set {
    Set {
        interval: true,
        ..configured(name, key, elements)
    }
}

/// Wildcards are rules, not elements; of the devices to leave out, only names can be elements.
fn device_elements(devices: &Devices) -> Vec<Element> {
    let (Devices::Only(devices) | Devices::AllBut(devices)) = devices;
    let names = devices.iter().filter_map(|device| match device {
        Device::Named(name) => Some(name.clone()),
        Device::BeginsWith(_) => None,
    });
    names.map(|name| element(vec![Value::Ifname(name).into()])).gathered()
}

/// A chain that rules lead to.
pub(super) fn chain(name: &str, rules: Vec<Rule>) -> Chain {
    Chain {
        name: name.into(),
        base: None,
        rules,
    }
}

pub(super) fn rule(statements: Vec<Statement>, comment: &str) -> Rule {
    Rule {
        statements,
        comment: format!("!lanward: {comment}"),
    }
}

/// A rule that ends in one thing where all this holds.
pub(super) fn ending(matches: impl IntoIterator<Item = Match>, last: Statement, comment: &str) -> Rule {
    let statements = matches.into_iter().map(Statement::Match).chain([last]);
    rule(statements.gathered(), comment)
}

pub(super) fn returns(fields: Vec<Field>, set: &str, comment: &str) -> Rule {
    rule(
        vec![Statement::Match(Match::In(fields, set.into())), Statement::Return],
        comment,
    )
}

pub(super) fn element(key: Vec<Range>) -> Element {
    Element { key, timeout: None }
}

pub(super) fn port_range(ports: PortRange) -> Range {
    Range {
        from: Value::InetService(ports.from),
        to: Value::InetService(ports.to),
    }
}

pub(super) fn subnet_range(network: &Subnet) -> Range {
    Range {
        from: address_value(network.address),
        to: address_value(network.last()),
    }
}

/// An element's key of one address.
pub(super) fn address(address: IpAddr) -> Vec<Range> {
    vec![address_value(address).into()]
}

fn address_value(address: IpAddr) -> Value {
    match address {
        IpAddr::V4(address) => Value::Ipv4Addr(address),
        IpAddr::V6(address) => Value::Ipv6Addr(address),
    }
}

/// First on a hook, as it lets the most traffic go, and one comparison is less than a lookup. Stated as "not a reply", so that a packet that
/// conntrack does not know (notrack rules) or cannot place stays in.
pub(super) fn answers() -> Rule {
    rule(
        vec![Statement::Match(Match::Direction(Direction::Reply)), Statement::Return],
        "answers to whoever opened the flow",
    )
}

/// First behind the firewall: most packets are of connections that have begun, and cost one comparison.
pub(super) fn begun() -> Rule {
    rule(
        vec![
            Statement::Match(Match::State(vec![State::Established])),
            Statement::Return,
        ],
        "a session that has begun is never held up",
    )
}
