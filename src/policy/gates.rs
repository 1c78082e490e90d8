//! The gates, resolved: what is guarded in which family, who proves what, how others are refused.

use super::Devices;
use crate::config::{self, Config, Forget, Problem, Service, System};
use crate::gather::Gather;
use crate::network::{Device, Door, Network, Treatment};
use std::net::{IpAddr, Ipv6Addr};

/// All gates that are enabled, with what they have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gates {
    /// The bit by which fw4 knows who is listed.
    pub mark: u32,
    /// The devices behind which the world begins. Whoever comes by another is never gated.
    pub wan: Devices,
    /// The same as fw4's zones.
    pub zones: Vec<String>,
    /// The zone that redirects lead to.
    pub lan: Option<String>,
    /// Whether admissions and removals are copied to the daemon. The kernel refuses the table where it cannot do that, so the daemon finds out first.
    pub copies: bool,
    /// Whether fw4 lets established flows pass by all rules, so that what they carry must be read from conntrack.
    pub flow_offloading: bool,
    /// In the order of the file.
    pub list: Vec<Gate>,
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Its section's name.
    pub name: String,
    /// The name as a part of names in the table: letters, digits and `_`, no two alike.
    pub key: String,
    /// Something about it is wrong: nobody is listed, everybody refused.
    pub shut: bool,
    /// As configured.
    pub services: Vec<Service>,
    /// TCP ports of the router that are guarded, over IPv4 and over IPv6.
    pub ports: [Vec<u16>; 2],
    /// LAN hosts and TCP ports that are guarded by their own IPv6 addresses.
    pub hosts: Vec<(Ipv6Addr, u16)>,
    /// Seconds.
    pub window: u32,
    /// When a source is taken off the list before its time.
    pub forget: Forget,
    /// What is done with others before the firewall sees them; `None`: the firewall refuses them as anybody.
    pub refuse: Option<Refusal>,
    /// What is done with others whom the firewall has accepted: at an address of the router (redirected or not), and at a LAN host's own.
    pub belt: [Refusal; 2],
    /// Addresses per family and list.
    pub size: u32,
    /// 64 or 128.
    pub prefix6: u8,
    /// What proves an address.
    pub witnesses: Vec<Witness>,
    /// Sequences that open it.
    pub knocks: Vec<Knock>,
    /// Keys that open it.
    pub spas: Vec<config::Spa>,
}

/// How a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Refusal {
    Reset,
    Drop,
}

/// A TCP service of ours whose established connections prove their source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its section's name or label.
    pub name: String,
    /// As a part of names in the table.
    pub key: String,
    /// TCP port as seen from the WAN.
    pub port: u16,
    /// Its addresses as seen from the WAN; empty: any of this router's.
    pub dests: Vec<IpAddr>,
    /// Bytes each way before it counts.
    pub min_bytes: u32,
}

/// A knock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// As configured.
    pub config: config::Knock,
    /// Its name as a part of names in the table.
    pub key: String,
}

impl Gate {
    /// Whether anything is guarded over IPv4 (0) or IPv6 (1), so that there is a list.
    #[must_use]
    pub fn has_family(&self, family: usize) -> bool {
        self.ports.get(family).is_some_and(|ports| !ports.is_empty()) || family == 1 && !self.hosts.is_empty()
    }

    /// Whether it guards connections to this address and port; `is_own` says whether the address is the router's.
    #[must_use]
    pub fn guards(&self, dest: IpAddr, port: u16, is_own: bool) -> bool {
        match dest {
            IpAddr::V4(_) => is_own && self.ports[0].contains(&port),
            IpAddr::V6(host) => is_own && self.ports[1].contains(&port) || self.hosts.contains(&(host, port)),
        }
    }
}

impl Witness {
    /// Whether a connection to this address and port is one to the witness; `is_own` says whether the address is the router's.
    #[must_use]
    pub fn is_at(&self, dest: IpAddr, port: u16, is_own: bool) -> bool {
        self.port == port
            && match self.dests.is_empty() {
                true => is_own,
                false => self.dests.contains(&dest),
            }
    }
}

/// Resolves the gates. `wan` are the devices of the zones that the world is behind.
pub(super) fn compile(
    config: &Config,
    network: &Network,
    wan: &Devices,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Gates {
    let zones = &config.lan_only.dest_zones;
    let mut keys = Vec::new();
    let mut list: Vec<Gate> = Vec::new();
    for gate in config.gates.iter().filter(|gate| gate.enabled) {
        let mut resolved = resolve(gate, zones, network, &mut keys);
        if !resolved.shut {
            resolved.witnesses = witnesses(config, gate, &mut keys);
            resolved.knocks = knocks(config, gate, &mut keys);
            let spas = config.spas.iter().filter(|spa| spa.gate == gate.name);
            resolved.spas = spas.cloned().gathered();
        }
        if let Some((service, other)) = overlap(&list, &resolved) {
            problems.push(Problem {
                system: System::Gate,
                option: format!("lanward.{}.service", gate.name),
                message: format!("{service} is guarded by the gate '{other}' already"),
                restricts: true,
            });
            resolved.shut = true;
        }
        list.push(resolved);
    }
    warnings.extend(doors(config, network));
    warnings.extend(surprises(config));
    Gates {
        mark: config.mark,
        wan: outside(wan, zones, network),
        zones: zones.clone(),
        lan: config.lan_only.source_zones.first().cloned(),
        copies: true,
        flow_offloading: network.flow_offloading,
        list,
    }
}

fn resolve(gate: &config::Gate, zones: &[String], network: &Network, keys: &mut Vec<String>) -> Gate {
    let Guarded { ports, hosts } = guarded(gate);
    let refuse = match gate.refuse {
        config::Refuse::Zone => None,
        config::Refuse::Reset => Some(Refusal::Reset),
        config::Refuse::Drop => Some(Refusal::Drop),
    };
    let as_firewall = |treatment: Option<Treatment>| match treatment {
        Some(Treatment::Reject) => Refusal::Reset,
        Some(Treatment::Accept | Treatment::Drop) | None => Refusal::Drop,
    };
    let mut known = zones.iter().filter_map(|zone| network.zones.get(zone));
    let as_zone = [known.next().map(|zone| zone.input), Some(network.forward)].map(as_firewall);
    let belt = as_zone.map(|zone| refuse.unwrap_or(zone));
    Gate {
        name: gate.name.clone(),
        key: unique(&gate.name, keys),
        shut: gate.shut,
        services: gate.services.clone(),
        ports,
        hosts,
        window: gate.window,
        forget: gate.forget,
        refuse,
        belt,
        size: gate.size,
        prefix6: gate.prefix6,
        witnesses: Vec::new(),
        knocks: Vec::new(),
        spas: Vec::new(),
    }
}

fn witnesses(config: &Config, gate: &config::Gate, keys: &mut Vec<String>) -> Vec<Witness> {
    let of_gate = config.witnesses.iter().filter(|witness| witness.gate == gate.name);
    let resolved = of_gate.map(|witness| Witness {
        name: witness.name.clone(),
        key: unique(&witness.name, keys),
        port: witness.port,
        dests: witness.dests.clone(),
        min_bytes: witness.min_bytes,
    });
    resolved.gathered()
}

fn knocks(config: &Config, gate: &config::Gate, keys: &mut Vec<String>) -> Vec<Knock> {
    let of_gate = config.knocks.iter().filter(|knock| knock.gate == gate.name);
    let resolved = of_gate.map(|knock| Knock {
        config: knock.clone(),
        key: unique(&knock.name, keys),
    });
    resolved.gathered()
}

/// A name as nftables takes it. A section without a name has a label with other characters.
fn unique(name: &str, keys: &mut Vec<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut key: String = name.chars().take(32).map(plain).collect();
    while keys.contains(&key) {
        key.push('_');
    }
    keys.push(key.clone());
    key
}

/// What the gate guards that another one guards already: two lists for one door would be no list.
fn overlap<'a>(others: &'a [Gate], gate: &Gate) -> Option<(String, &'a str)> {
    others.iter().find_map(|other| {
        let ports = (0..2).find_map(|family| {
            other.ports[family]
                .iter()
                .find(|port| gate.ports[family].contains(port))
        });
        let host = other.hosts.iter().find(|host| gate.hosts.contains(host));
        let service = match (ports, host) {
            (Some(port), _) => format!("tcp:{port}"),
            (None, Some((host, port))) => format!("[{host}]:{port}"),
            (None, None) => return None,
        };
        Some((service, other.name.as_str()))
    })
}

/// Rules of the firewall's own that let everybody in at a gate's port, for people.
#[must_use]
pub fn doors(config: &Config, network: &Network) -> Vec<String> {
    let zones = &config.lan_only.dest_zones;
    let mut found = Vec::new();
    for gate in config.gates.iter().filter(|gate| gate.enabled) {
        let guarded = guarded(gate);
        for door in network.doors.iter().filter(|door| opens(door, &guarded, zones)) {
            found.push(format!(
                "gate '{}': the firewall's '{}' lets in at tcp {} whoever is not listed; the gate refuses them while its table is there, and without the table nothing does: take it out",
                gate.name, door.label, door.ports
            ));
        }
    }
    found
}

/// What works and may still surprise, in the configuration alone.
#[must_use]
pub fn surprises(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for gate in config.gates.iter().filter(|gate| gate.enabled) {
        let name = &gate.name;
        for service in &gate.services {
            if let Some((host @ IpAddr::V6(_), port)) = service.forward.filter(|(_, port)| *port != service.port) {
                warnings.push(format!(
                    "gate '{name}': nothing redirects over IPv6: the service is at [{host}]:{port}, not at the router's port {}",
                    service.port
                ));
            }
        }
        let witnesses = config.witnesses.iter().map(|witness| &witness.gate);
        let mut proofs = witnesses.chain(config.spas.iter().map(|spa| &spa.gate));
        let is_proved = proofs.any(|gate| gate == name);
        let knocks: Vec<&config::Knock> = config.knocks.iter().filter(|knock| knock.gate == *name).gathered();
        if !gate.shut && !is_proved && knocks.is_empty() {
            warnings.push(format!(
                "gate '{name}': no witness, knock or spa names it: addresses are listed by hand only"
            ));
        }
        if !gate.shut && !is_proved && !knocks.is_empty() && !gate.knock_alone {
            warnings.push(format!(
                "gate '{name}': only a knock opens it, which is obscurity and no proof: whoever sees it once, or guesses it, gets as far as the \
                 service's own login. Add an SPA key or a witness, or say with knock_alone '1' that this is meant"
            ));
        }
        for knock in knocks.iter().filter(|knock| is_a_scan(&knock.open)) {
            warnings.push(format!(
                "knock '{}': a scan that tries port after port opens it: take ports that are not next to each other",
                knock.name
            ));
        }
        for knock in knocks
            .iter()
            .filter(|knock| knock.seconds == 0 && gate.forget != Forget::Never)
        {
            warnings.push(format!(
                "knock '{}': the end of a session closes the gate '{name}' before the sequence does: with forget 'never' it stays open until then",
                knock.name
            ));
        }
    }
    warnings
}

/// Whether a scan upwards or downwards has no wrong port between the steps.
fn is_a_scan(steps: &[config::Step]) -> bool {
    let goes = |by: i32| {
        let mut pairs = steps.windows(2).filter_map(|pair| pair.first().zip(pair.last()));
        pairs.all(|(one, next)| one.protocol == next.protocol && i32::from(next.port) - i32::from(one.port) == by)
    };
    goes(1) || goes(-1)
}

fn opens(door: &Door, guarded: &Guarded, zones: &[String]) -> bool {
    let is_in = |port: &u16| (door.ports.from..=door.ports.to).contains(port);
    zones.contains(&door.source_zone)
        && match door.forwards {
            true => guarded.hosts.iter().any(|(_, port)| is_in(port)),
            false => guarded.ports.iter().flatten().any(is_in),
        }
}

/// What a gate guards: see [`Gate`].
#[derive(Default)]
struct Guarded {
    ports: [Vec<u16>; 2],
    hosts: Vec<(Ipv6Addr, u16)>,
}

fn guarded(gate: &config::Gate) -> Guarded {
    let mut guarded = Guarded::default();
    for service in &gate.services {
        let families = match service.forward {
            None => [true, true],
            Some((IpAddr::V4(_), _)) => [true, false],
            // There is no redirect over IPv6: the host is reached by its own address and port.
            Some((IpAddr::V6(host), port)) => {
                guarded.hosts.push((host, port));
                [false, false]
            }
        };
        for family in (0..2).filter(|family| families[*family]) {
            // 'tcp:22' and 'tcp:22>192.168.1.10:22' may stand side by side; the port is the same.
            if !guarded.ports[family].contains(&service.port) {
                guarded.ports[family].push(service.port);
            }
        }
    }
    guarded
}

/// In the closed form everything that is not known to be inside is the WAN. Inside are the router itself, and the zones whose every packet to the router is
/// accepted, whatever they are called: nobody is to be locked out of a LAN for a misspelt name. A zone that is named as the world is none of them.
fn outside(wan: &Devices, named: &[String], network: &Network) -> Devices {
    let Devices::AllBut(others) = wan else {
        return wan.clone();
    };
    let zones = || network.zones.values();
    let world = zones().filter(|zone| named.contains(&zone.name));
    let world = world.flat_map(|zone| &zone.devices).gathered();
    let inside = zones().filter(|zone| zone.input == Treatment::Accept);
    let inside = inside
        .flat_map(|zone| &zone.devices)
        .filter(|device| !world.contains(device));
    let lo = Device::Named("lo".into());
    Devices::AllBut(others.iter().cloned().chain(inside.cloned()).chain([lo]).collect())
}
