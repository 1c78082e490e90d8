//! What fw4 is to be told: to accept, or redirect, what has the mark, and nothing else.

use crate::config::Service;
use crate::gather::GatherInto;
use crate::json::json;
use crate::policy::{Gate, Gates};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// How the name of a rule for fw4 begins; the gate's name follows.
pub const NAME: &str = "lanward gate ";

/// The rules and redirects that go to fw4 as service data (`{"firewall": […]}`), as an init script publishes them. `lan` is the zone that redirects
/// lead to, where there is one. Each is worth nothing without the mark: without the table, without the daemon or with half of the package gone,
/// they accept nobody.
#[must_use]
pub fn rules(gates: &Gates, lan: Option<&str>) -> Value {
    let mut list = Vec::new();
    for gate in gates.list.iter().filter(|gate| !gate.shut) {
        for service in &gate.services {
            list.gather(
                gates
                    .zones
                    .iter()
                    .map(|zone| rule(gates.mark, gate, service, zone, lan)),
            );
        }
    }
    json!({ "firewall": list })
}

fn rule(mark: u32, gate: &Gate, service: &Service, zone: &str, lan: Option<&str>) -> Value {
    let mut rule = Map::new();
    let mut set = |name: &str, value: String| {
        rule.insert(name.to_string(), value.into());
    };
    set("name", format!("{NAME}{}", gate.name));
    set("src", zone.to_string());
    set("proto", "tcp".to_string());
    set("mark", format!("{mark:#010x}/{mark:#010x}"));
    match service.forward {
        None => {
            set("type", "rule".to_string());
            set("dest_port", service.port.to_string());
            set("target", "ACCEPT".to_string());
        }
        Some((host @ IpAddr::V4(_), port)) => {
            set("type", "redirect".to_string());
            set("family", "ipv4".to_string());
            set("src_dport", service.port.to_string());
            if let Some(lan) = lan {
                set("dest", lan.to_string());
            }
            set("dest_ip", host.to_string());
            set("dest_port", port.to_string());
            set("target", "DNAT".to_string());
            // The LAN is not gated, and reaches the host by its own address.
            set("reflection", "0".to_string());
        }
        Some((host @ IpAddr::V6(_), port)) => {
            set("type", "rule".to_string());
            set("family", "ipv6".to_string());
            // Wherever the address is: the rule names it.
            set("dest", "*".to_string());
            set("dest_ip", host.to_string());
            set("dest_port", port.to_string());
            set("target", "ACCEPT".to_string());
        }
    }
    Value::Object(rule)
}
