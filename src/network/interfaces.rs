//! netifd's interfaces and their layer-3 devices: as netifd says, and as the configuration lets expect.

use super::{is_device_name, quoted, Warnings};
use crate::gather::Gather;
use crate::json::json;
use crate::sorted::{Map, Set};
use crate::uci::{Package, Section};
use serde_json::Value;

/// By name.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    by_name: Map<String, Interface>,
}

#[derive(Debug, Default)]
struct Interface {
    devices: Set<String>,
    /// The zone that an interface names itself, as netifd's dynamic ones do (`wan_6`, `wan_4`).
    zone: Option<String>,
}

/// How deep an interface may stand upon others (`@wan`).
const ALIASES: u32 = 8;

/// Protocols whose device is named after the interface: the handler scripts in OpenWrt's `/lib/netifd/proto/`.
const PREFIXES: [(&str, &str); 24] = [
    ("3g", "3g-"),
    ("464xlat", "464-"),
    ("6in4", "6in4-"),
    ("6rd", "6rd-"),
    ("6to4", "6to4-"),
    ("dslite", "ds-"),
    ("gre", "gre4-"),
    ("gretap", "gre4t-"),
    ("grev6", "gre6-"),
    ("grev6tap", "gre6t-"),
    ("ipip", "ipip-"),
    ("ipip6", "ipip6-"),
    ("l2tp", "l2tp-"),
    ("map", "map-"),
    ("openconnect", "vpn-"),
    ("openfortivpn", "vpn-"),
    ("ppp", "ppp-"),
    ("pppoa", "pppoa-"),
    ("pppoe", "pppoe-"),
    ("pptp", "pptp-"),
    ("sstp", "sstp-"),
    ("vpnc", "vpn-"),
    ("vti", "vti-"),
    ("vtiv6", "vti6-"),
];

/// Protocols whose device has the interface's own name.
const SAME_NAME: [&str; 5] = ["amneziawg", "vxlan", "vxlan6", "wireguard", "xfrm"];

impl Interfaces {
    pub(super) fn read(network: Option<&Package>, netifd: Option<&Value>, warnings: &mut Warnings) -> Self {
        let mut interfaces = Self::default();
        let mut settled = Set::new();
        match netifd.map(|dump| dump.get("interface").and_then(Value::as_array)) {
            Some(Some(entries)) => {
                for entry in entries {
                    interfaces.take_entry(entry, &mut settled, warnings);
                }
            }
            Some(None) => warnings.add("netifd: its answer has no list of interfaces".to_string()),
            None => {}
        }
        let Some(network) = network else {
            warnings.add("network: no configuration; an interface that is down has no device".to_string());
            return interfaces;
        };
        for section in network.of_kind("interface") {
            let Some(name) = section.name.as_deref().filter(|name| !settled.contains(*name)) else {
                continue;
            };
            if is_disabled(section) {
                continue;
            }
            let expected = expected_devices(network, section, ALIASES);
            let interface = interfaces.by_name.or_default(name.to_string());
            for device in expected {
                if is_device_name(&device) {
                    interface.devices.insert(device);
                } else {
                    warnings.add_for(section, "device", &format!("{} is no device name", quoted(&device)));
                }
            }
            if interface.zone.is_none() {
                interface.zone = section.option("zone").map(str::to_string);
            }
        }
        interfaces
    }

    /// One interface of the dump. It is settled, and needs no guess, where netifd names the layer-3 device of an interface that is up.
    fn take_entry(&mut self, entry: &Value, settled: &mut Set<String>, warnings: &mut Warnings) {
        let text = |key: &str| text(entry, key);
        let Some(name) = text("interface") else {
            warnings.add("netifd: an interface without a name".to_string());
            return;
        };
        let interface = self.by_name.or_default(name.to_string());
        interface.zone = entry
            .get("data")
            .and_then(|data| data.get("zone"))
            .and_then(Value::as_str)
            .map(str::to_string);
        let is_up = entry.get("up").and_then(Value::as_bool).unwrap_or(false);
        // Until an alias's interface is up, its device is called as in the configuration: `@wan`.
        let device = text("l3_device")
            .or_else(|| text("device"))
            .filter(|device| !device.starts_with('@'));
        match device {
            Some(device) if is_device_name(device) => {
                interface.devices.insert(device.to_string());
                if is_up && text("l3_device").is_some() {
                    settled.insert(name.to_string());
                }
            }
            Some(device) => warnings.add(format!(
                "netifd: interface {}: {} is no device name",
                quoted(name),
                quoted(device)
            )),
            None => {}
        }
    }

    /// An interface's devices; `None` where there is no such interface.
    pub(super) fn devices(&self, name: &str) -> Option<&Set<String>> {
        self.by_name.get(name).map(|interface| &interface.devices)
    }

    /// Whether anything is known of interfaces at all.
    pub(super) fn are_known(&self) -> bool {
        !self.by_name.is_empty()
    }

    /// The devices of the interfaces that name this zone themselves.
    pub(super) fn of_zone<'a>(&'a self, zone: &'a str) -> impl Iterator<Item = String> + 'a {
        let members = self
            .by_name
            .values()
            .filter(move |interface| interface.zone.as_deref() == Some(zone));
        members.flat_map(|interface| interface.devices.iter().cloned())
    }
}

/// netifd's dump, and before its entries those of `before` whose interface has no layer-3 device now: until netifd names another, the one that it named
/// last is meant. A modem's device is nowhere else to be read, and when the line is back packets pass before netifd has said so.
#[must_use]
pub fn with_last_devices(mut dump: Value, before: Option<&Value>) -> Value {
    let Some(entries) = dump.get_mut("interface").and_then(Value::as_array_mut) else {
        return dump;
    };
    let mut last = entries_of(before);
    last.retain(|(name, device)| {
        let is_without = |entry: &Value| text(entry, "interface") == Some(name) && text(entry, "l3_device").is_none();
        let is_taken = entries.iter().any(|entry| {
            ["l3_device", "device"]
                .iter()
                .any(|key| text(entry, key) == Some(device))
        });
        !is_taken && entries.iter().any(is_without)
    });
    let last = last
        .into_iter()
        .map(|(name, device)| json!({ "interface": name, "l3_device": device }));
    entries.splice(0..0, last.gathered());
    dump
}

/// Interfaces and their layer-3 devices.
fn entries_of(dump: Option<&Value>) -> Vec<(String, String)> {
    let entries = dump.and_then(|dump| dump.get("interface")?.as_array());
    let named = entries.into_iter().flatten().filter_map(|entry| {
        let owned = |key| text(entry, key).map(str::to_string);
        owned("interface").zip(owned("l3_device"))
    });
    named.gathered()
}

fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key).and_then(Value::as_str)
}

fn is_disabled(section: &Section) -> bool {
    matches!(
        section.option("disabled"),
        Some("1" | "on" | "true" | "yes" | "enabled")
    )
}

/// What an interface's layer-3 device will be called, by its configuration. Modems' devices (qmi, mbim, ncm) only netifd knows.
fn expected_devices(network: &Package, section: &Section, aliases: u32) -> Vec<String> {
    let Some(name) = section.name.as_deref() else {
        return Vec::new();
    };
    let protocol = section.option("proto").unwrap_or("none");
    if let Some((_, prefix)) = PREFIXES.iter().find(|(known, _)| *known == protocol) {
        let own_name = section
            .option("pppname")
            .filter(|_| protocol.starts_with("ppp") || protocol == "3g");
        return vec![own_name.map_or_else(|| format!("{prefix}{name}"), str::to_string)];
    }
    if SAME_NAME.contains(&protocol) {
        return vec![name.to_string()];
    }
    if section.option("type") == Some("bridge") {
        return vec![format!("br-{name}")];
    }
    let mut words = section.words("device");
    if words.is_empty() {
        words = section.words("ifname");
    }
    words
        .into_iter()
        .flat_map(|word| resolve_alias(network, word, aliases))
        .gathered()
}

fn resolve_alias(network: &Package, device: &str, aliases: u32) -> Vec<String> {
    let Some(name) = device.strip_prefix('@') else {
        return vec![device.to_string()];
    };
    let target = network
        .of_kind("interface")
        .find(|section| section.name.as_deref() == Some(name));
    match (target, aliases.checked_sub(1)) {
        (Some(target), Some(aliases)) => expected_devices(network, target, aliases),
        _ => Vec::new(),
    }
}
