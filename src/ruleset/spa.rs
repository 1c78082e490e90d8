//! Authenticated packets in the table: what comes to a key's port is copied to the daemon, and goes on to be refused as anything at a closed port.
//! There is no socket that could answer.

use super::gate::GROUP;
use super::parts::{configured, element, rule};
use crate::gather::Gather;
use crate::nft::{Field, Kind, Match, Rule, Set, Statement, Value};
use crate::policy::Gates;

/// What a copy's prefix says.
pub const PACKET: &str = "lanward spa";
/// Bytes of such a packet that are copied: fwknop's have at most 1500 behind the headers.
pub const SNAPLEN: u32 = 1600;
/// Copies in a second, and at once. To check a wrong one costs the daemon an HMAC of 1500 bytes.
const COPIES: (u32, u32) = (50, 100);

const PORTS: &str = "spa_ports";

pub(super) fn sets(gates: &Gates) -> Vec<Set> {
    let mut ports: Vec<u16> = gates
        .list
        .iter()
        .flat_map(|gate| gate.spas.iter().map(|spa| spa.port))
        .gathered();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() {
        return Vec::new();
    }
    let elements = ports
        .into_iter()
        .map(|port| element(vec![Value::InetService(port).into()]));
    vec![configured(PORTS, &[Kind::InetService], elements.gathered())]
}

/// For what begins and comes from the WAN.
pub(super) fn arrival(gates: &Gates) -> Vec<Rule> {
    let has_keys = gates.list.iter().any(|gate| !gate.spas.is_empty());
    if !has_keys || !gates.copies {
        return Vec::new();
    }
    let (rate, burst) = COPIES;
    let statements = vec![
        Statement::Match(Match::In(vec![Field::UdpDport], PORTS.into())),
        Statement::Match(Match::ToThisMachine),
        Statement::Limit { rate, burst },
        Statement::Log {
            group: GROUP,
            snaplen: SNAPLEN,
            prefix: PACKET.into(),
        },
    ];
    vec![rule(statements, "perhaps an authenticated packet")]
}
