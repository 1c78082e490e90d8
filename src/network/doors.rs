//! What the firewall's own configuration does with TCP from a zone: how the zone refuses, and what it opens without asking anybody.
//!
//! A gate is worth nothing beside a rule that lets everybody in. Nothing here makes an exception; what is not understood is left out, and the
//! rules behind the firewall refuse it all the same.

use super::redirects::{label, matches_choice, parse_ports, ALL_PORTS};
use super::{enabled, Zone};
use crate::gather::Gather;
use crate::nft::PortRange;
use crate::sorted::Map;
use crate::uci::{Package, Section};

/// What a zone does with what no rule takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Treatment {
    Accept,
    Reject,
    #[default]
    Drop,
}

/// A rule or redirect of the configuration that lets TCP in from a zone, whoever comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// How the user knows it: name, or `@rule[0]`.
    pub label: String,
    /// From this zone.
    pub source_zone: String,
    /// The ports as seen from there.
    pub ports: PortRange,
    /// Whether it leads to LAN hosts by their own addresses, as IPv6 does; if not, to an address of the router.
    pub forwards: bool,
}

/// More than anybody configures by hand.
const MOST: usize = 1024;

/// What becomes of what no rule takes on its way to the router: the zone's `input`, or the defaults'; fw4 drops where nothing is said.
pub(super) fn input(firewall: &Package, zone: &Section) -> Treatment {
    treatment(zone.option("input").or_else(|| of_defaults(firewall, "input")))
}

/// The same on its way from one zone to another: the defaults' `forward`. (A zone's own is about its devices among each other.)
pub(super) fn forward(firewall: &Package) -> Treatment {
    treatment(of_defaults(firewall, "forward"))
}

fn of_defaults<'a>(firewall: &'a Package, option: &str) -> Option<&'a str> {
    firewall.of_kind("defaults").next()?.option(option)
}

fn treatment(said: Option<&str>) -> Treatment {
    let is = |choice: &str| said.is_some_and(|value| matches_choice(value, choice));
    match () {
        () if is("accept") => Treatment::Accept,
        () if is("reject") => Treatment::Reject,
        () => Treatment::Drop,
    }
}

/// Whether fw4 lets flows pass by its rules once they are established (`flow_offloading`).
pub(super) fn flow_offloading(firewall: &Package) -> bool {
    let on = |section: &Section| matches!(section.option("flow_offloading"), Some("1" | "on" | "true" | "yes"));
    firewall.of_kind("defaults").any(on)
}

/// All of a firewall configuration, in its order.
pub(super) fn read(firewall: &Package, zones: &Map<String, Zone>) -> Vec<Door> {
    firewall
        .sections
        .iter()
        .filter(|section| enabled(section) == Ok(true) && is_tcp(section))
        // A rule that asks for a mark asks somebody; one that asks for its absence does not.
        .filter(|section| section.option("mark").is_none_or(|mark| mark.starts_with('!')))
        .flat_map(|section| match section.kind.as_str() {
            "redirect" => redirect(section),
            "rule" => rule(section, zones),
            "zone" if input(firewall, section) == Treatment::Accept => zone(section),
            "forwarding" => forwarding(section),
            "defaults" if forward(firewall) == Treatment::Accept => between(section, zones),
            _ => Vec::new(),
        })
        .take(MOST)
        .gathered()
}

fn redirect(section: &Section) -> Vec<Door> {
    let is_dnat = section
        .option("target")
        .is_none_or(|target| !matches_choice(target, "snat"));
    let Some(zone) = section.option("src").filter(|_| is_dnat) else {
        return Vec::new();
    };
    let ports = section
        .option("src_dport")
        .map_or(Some(ALL_PORTS), |ports| parse_ports("src_dport", ports).ok());
    ports
        .map(|ports| door(section, zone, ports, false))
        .into_iter()
        .gathered()
}

fn rule(section: &Section, zones: &Map<String, Zone>) -> Vec<Door> {
    let accepts = section
        .option("target")
        .is_some_and(|target| matches_choice(target, "accept"));
    let Some(source) = section.option("src").filter(|_| accepts) else {
        return Vec::new();
    };
    let words = section.words("dest_port");
    let ports: Vec<PortRange> = match words.is_empty() {
        true => vec![ALL_PORTS],
        false => words
            .iter()
            .filter_map(|word| parse_ports("dest_port", word).ok())
            .gathered(),
    };
    let sources: Vec<&str> = match source {
        "*" => zones.keys().map(String::as_str).gathered(),
        zone => vec![zone],
    };
    let forwards = section.option("dest").is_some();
    let pairs = sources
        .iter()
        .flat_map(|zone| ports.iter().map(move |ports| (*zone, *ports)));
    pairs
        .map(|(zone, ports)| door(section, zone, ports, forwards))
        .gathered()
}

/// What no rule takes is accepted on its way to the router.
fn zone(section: &Section) -> Vec<Door> {
    let name = section.option("name").unwrap_or_default();
    vec![Door {
        label: format!("input of zone {name}"),
        ..door(section, name, ALL_PORTS, false)
    }]
}

/// What no rule takes is accepted on its way from any zone to any other.
fn between(section: &Section, zones: &Map<String, Zone>) -> Vec<Door> {
    let from = |zone: &String| Door {
        label: "forward of defaults".into(),
        ..door(section, zone, ALL_PORTS, true)
    };
    zones.keys().map(from).gathered()
}

/// From one zone to all hosts of another.
fn forwarding(section: &Section) -> Vec<Door> {
    let zone = section.option("src").filter(|_| section.option("dest").is_some());
    zone.map(|zone| door(section, zone, ALL_PORTS, true))
        .into_iter()
        .gathered()
}

fn door(section: &Section, zone: &str, ports: PortRange, forwards: bool) -> Door {
    Door {
        label: label(section),
        source_zone: zone.to_string(),
        ports,
        forwards,
    }
}

/// TCP and UDP where nothing is said.
fn is_tcp(section: &Section) -> bool {
    let protocols = section.words("proto");
    let is = |word: &&str| {
        matches!(
            word.to_ascii_lowercase().as_str(),
            "tcp" | "6" | "tcpudp" | "all" | "any" | "*"
        )
    };
    protocols.is_empty() || protocols.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uci;

    fn package(text: &str) -> Package {
        uci::parse(text.as_bytes()).unwrap()
    }

    fn doors(text: &str) -> Vec<String> {
        let zones = ["lan", "wan"].map(|name| (name.to_string(), Zone::default())).into();
        let shown = |door: &Door| {
            let way = if door.forwards { " on" } else { "" };
            format!("{} {} {}{way}", door.label, door.source_zone, door.ports)
        };
        read(&package(text), &zones).iter().map(shown).collect()
    }

    #[test]
    fn rules_and_redirects_that_ask_nobody_are_doors() {
        let found = doors(
            "config rule\n option name 'Allow-SSH'\n option src wan\n option proto tcp\n list dest_port '22'\n list dest_port '80-90'\n option target ACCEPT\n\
             config rule\n option src '*'\n option proto all\n option target accept\n option dest lan\n\
             config redirect\n option name web\n option src wan\n option src_dport 8080\n option dest_ip 192.168.1.2\n\
             config redirect\n option src wan\n option target DNAT\n",
        );
        assert_eq!(
            found,
            [
                "Allow-SSH wan 22",
                "Allow-SSH wan 80-90",
                "@rule[1] lan 1-65535 on",
                "@rule[1] wan 1-65535 on",
                "web wan 8080",
                "@redirect[1] wan 1-65535",
            ]
        );
    }

    #[test]
    fn what_refuses_asks_for_a_mark_or_is_not_tcp_is_no_door() {
        let found = doors(
            "config rule\n option src wan\n option proto tcp\n option dest_port 22\n option target REJECT\n\
             config rule\n option src wan\n option proto udp\n option dest_port 22\n option target ACCEPT\n\
             config rule\n option src wan\n option dest_port 22\n option target ACCEPT\n option enabled 0\n\
             config rule\n option src wan\n option dest_port 22\n option target ACCEPT\n option mark 0x1\n\
             config rule\n option dest_port 22\n option target ACCEPT\n\
             config redirect\n option src lan\n option target SNAT\n",
        );
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_zone_that_accepts_and_a_way_to_another_zone_are_doors() {
        let found = doors(
            "config defaults\n option input ACCEPT\n option forward ACCEPT\n\
             config zone\n option name wan\n option input REJECT\n\
             config zone\n option name lan\n\
             config forwarding\n option src wan\n option dest lan\n\
             config forwarding\n option src wan\n option dest lan\n option enabled 0\n\
             config rule\n option src wan\n option dest_port 22\n option target ACCEPT\n option mark !0x1\n",
        );
        assert_eq!(
            found,
            [
                "forward of defaults lan 1-65535 on",
                "forward of defaults wan 1-65535 on",
                "input of zone lan lan 1-65535",
                "@forwarding[0] wan 1-65535 on",
                "@rule[0] wan 22"
            ]
        );
    }

    #[test]
    fn a_zone_refuses_as_it_says_or_as_the_defaults_do() {
        let firewall = package(
            "config defaults\n option input REJECT\n option flow_offloading 1\nconfig zone\n option name a\n option forward rej\nconfig zone\n option name b\n option input ACCEPT\n",
        );
        let inputs: Vec<Treatment> = firewall.of_kind("zone").map(|zone| input(&firewall, zone)).collect();
        assert_eq!(inputs, [Treatment::Reject, Treatment::Accept]);
        assert_eq!(forward(&firewall), Treatment::Drop);
        assert_eq!(
            forward(&package("config defaults\n option forward rej\n")),
            Treatment::Reject
        );
        assert!(flow_offloading(&firewall) && !flow_offloading(&package("config defaults\n")));
    }
}
