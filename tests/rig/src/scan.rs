//! What a stranger with `nmap` sees.

use crate::namespace::Namespace;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A way of scanning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// `-sS`: a SYN, and a RST if it is answered.
    Syn,
    /// `-sT`: a connection, by the scanner's own system.
    Connect,
    /// `-sA`: an ACK of no connection.
    Ack,
    /// `-sF`: a FIN of no connection.
    Fin,
    /// `-sX`: FIN, PSH and URG of no connection.
    Xmas,
    /// `-sN`: no flag at all.
    Null,
}

impl Scan {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Syn, Self::Connect, Self::Ack, Self::Fin, Self::Xmas, Self::Null];

    fn option(self) -> &'static str {
        match self {
            Self::Syn => "-sS",
            Self::Connect => "-sT",
            Self::Ack => "-sA",
            Self::Fin => "-sF",
            Self::Xmas => "-sX",
            Self::Null => "-sN",
        }
    }
}

/// What `nmap` says of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `open`, `closed`, `filtered`, `unfiltered`, `open|filtered`.
    pub state: String,
    /// By what: `syn-ack`, `reset`, `no-response`, `port-unreach`, …
    pub reason: String,
    /// The answer's TTL or hop limit as it came in; 0 where there was no answer, or only the system saw it.
    pub ttl: u8,
}

impl Verdict {
    /// In two words.
    #[must_use]
    pub fn words(&self) -> (&str, &str) {
        (&self.state, &self.reason)
    }
}

/// Scans these ports from a namespace, and says what `nmap` makes of each.
///
/// # Panics
/// If `nmap` fails or is silent about a port.
#[must_use]
pub fn nmap(from: &Namespace, scan: Scan, to: IpAddr, ports: &[u16]) -> BTreeMap<u16, Verdict> {
    look(from, scan.option(), to, ports)
}

/// The same with UDP packets.
///
/// # Panics
/// As [`nmap`].
#[must_use]
pub fn nmap_udp(from: &Namespace, to: IpAddr, ports: &[u16]) -> BTreeMap<u16, Verdict> {
    look(from, "-sU", to, ports)
}

fn look(from: &Namespace, way: &str, to: IpAddr, ports: &[u16]) -> BTreeMap<u16, Verdict> {
    let list: Vec<String> = ports.iter().map(u16::to_string).collect();
    let (list, target) = (list.join(","), to.to_string());
    #[rustfmt::skip]
    let mut arguments = vec![
        way, "-Pn", "-n", "-p", &list, "-oX", "-", "--max-retries", "2",
        "--initial-rtt-timeout", "150ms", "--max-rtt-timeout", "300ms", &target,
    ];
    if to.is_ipv6() {
        arguments.push("-6");
    }
    let report = from.must("nmap", &arguments, "");
    let found: BTreeMap<u16, Verdict> = report.split("<port ").skip(1).filter_map(verdict).collect();
    let missing: Vec<&u16> = ports.iter().filter(|port| !found.contains_key(port)).collect();
    assert!(missing.is_empty(), "nothing about {missing:?} in {report}");
    found
}

/// All scans at once.
///
/// # Panics
/// As [`nmap`].
#[must_use]
pub fn nmap_all(from: &Namespace, to: IpAddr, ports: &[u16]) -> Vec<(Scan, BTreeMap<u16, Verdict>)> {
    std::thread::scope(|scope| {
        let scans = Scan::ALL.map(|scan| (scan, scope.spawn(move || nmap(from, scan, to, ports))));
        let seen = scans.map(|(scan, seen)| {
            (
                scan,
                seen.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            )
        });
        seen.into()
    })
}

fn verdict(port: &str) -> Option<(u16, Verdict)> {
    let attribute = |name: &str| {
        let begin = format!("{name}=\"");
        port.split_once(begin.as_str())?.1.split('"').next()
    };
    let verdict = Verdict {
        state: attribute(" state")?.to_owned(),
        reason: attribute(" reason")?.to_owned(),
        ttl: attribute(" reason_ttl")?.parse().ok()?,
    };
    Some((attribute("portid")?.parse().ok()?, verdict))
}
