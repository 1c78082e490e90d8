//! What `nmap` sees of a guarded port: what it sees of a closed one, in every mode of refusal and whatever the firewall's zone does with
//! strangers. Each test has a house of its own.

use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::{Family, Host, House, FAMILIES};
use lanward_rig::report_line::this_test;
use lanward_rig::scan::{nmap, nmap_all, Scan, Verdict};
use lanward_rig::sections;
use lanward_rig::servers::{Keys, Server};
use lanward_rig::settings::{Firewall, Refusal};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Guarded on the router, and over IPv6 on a LAN host too.
const SSH: u16 = 22;
/// Guarded on the router over IPv4, and forwarded to the LAN host.
const FORWARDED: u16 = 2222;
/// Nothing listens there, and nobody guards it.
const CLOSED: u16 = 2300;
/// A firewall drops it before anything else is asked.
const DROPPED: u16 = 2301;
const IMAPS: u16 = 993;

fn config(refuse: &str) -> String {
    let gate = format!(
        "option forget 'never'\noption refuse '{refuse}'\nlist service 'tcp:{SSH}'\n\
         list service 'tcp:{FORWARDED}>192.168.77.100:{SSH}'\nlist service 'tcp:{SSH}>[fd77::100]:{SSH}'"
    );
    [switched_off(""), sections::gate(&gate), sections::witness("")].concat()
}

fn with_mail(firewall: Firewall) -> Firewall {
    firewall.with(json!({
        "type": "rule", "name": "Allow-IMAPS", "src": "wan", "proto": "tcp", "dest_port": IMAPS.to_string(), "target": "ACCEPT"
    }))
}

/// Everything that is guarded was once opened for everybody, and the rules are still there.
fn with_old_rules(firewall: Firewall) -> Firewall {
    let ssh = SSH.to_string();
    let old = [
        json!({ "type": "rule", "name": "Allow-SSH", "src": "wan", "proto": "tcp", "dest_port": ssh, "target": "ACCEPT" }),
        json!({ "type": "redirect", "name": "Forward-SSH", "src": "wan", "proto": "tcp", "src_dport": FORWARDED.to_string(),
                "dest": "lan", "dest_ip": "192.168.77.100", "dest_port": ssh, "target": "DNAT" }),
        json!({ "type": "rule", "name": "Allow-SSH-to-host", "src": "wan", "proto": "tcp", "dest": "lan", "dest_ip": "fd77::100",
                "dest_port": ssh, "target": "ACCEPT" }),
    ];
    old.into_iter().fold(with_mail(firewall), Firewall::with)
}

/// The firewalls to be tried, with their names.
fn firewalls(with: fn(Firewall) -> Firewall) -> [(&'static str, Firewall); 3] {
    [
        ("REJECT", with(Firewall::refusing(Refusal::Reject))),
        ("DROP", with(Firewall::refusing(Refusal::Drop))),
        ("as it comes", with(Firewall::default())),
    ]
}

struct Scene {
    _servers: Vec<Server>,
    keys: Keys,
    home: Home,
}

/// What a scan says of each port.
type Seen = BTreeMap<u16, Verdict>;

/// Where a scanner looks, and which ports are guarded there.
struct View {
    place: &'static str,
    to: IpAddr,
    ports: &'static [u16],
}

impl Scene {
    fn start(refuse: &str) -> Option<Self> {
        let firewall = with_mail(Firewall::default());
        let home = Home::start_gated(&this_test(), House::plan(), firewall, &config(refuse))?;
        let keys = Keys::make(&home.house);
        let router = home.house.router();
        router.nft(&format!(
            "table inet other {{ chain c {{ type filter hook prerouting priority raw; tcp dport {DROPPED} drop; }}; }}\n"
        ));
        let servers = vec![
            Server::openssh(router, SSH, &keys),
            Server::imaps(router, IMAPS, &keys),
            Server::dropbear(&home.house.host("lan").namespace, SSH, &keys),
        ];
        Some(Self {
            _servers: servers,
            keys,
            home,
        })
    }

    /// A stranger: its address is the one that its system chooses.
    fn stranger(&self) -> Host {
        Host {
            v4: Ipv4Addr::UNSPECIFIED,
            v6: Ipv6Addr::UNSPECIFIED,
            ..self.home.house.host("internet").clone()
        }
    }

    fn views(&self) -> [View; 3] {
        let view = |place, to, ports| View { place, to, ports };
        let router = |family| self.home.house.router_address("wan", family);
        [
            view("router IPv4", router(Family::V4), &[SSH, FORWARDED]),
            view("router IPv6", router(Family::V6), &[SSH]),
            view("LAN host", self.home.house.host("lan").address(Family::V6), &[SSH]),
        ]
    }

    /// Scans every view at once. `like` names the verdict that a guarded port's must be like; where it is not, a line says so.
    fn scan(&self, what: &str, like: impl Fn(&str, Scan, &Seen) -> Verdict + Sync) -> Vec<String> {
        let (stranger, like) = (&self.stranger(), &like);
        let look = |view: View| {
            let ports = [view.ports, &[CLOSED, DROPPED]].concat();
            let scans = nmap_all(&stranger.namespace, view.to, &ports).into_iter();
            let unlike = scans.flat_map(move |(scan, seen)| {
                let expected = like(view.place, scan, &seen);
                let unlike = view.ports.iter().filter(|port| seen[*port] != expected);
                let line = |port| {
                    format!(
                        "{what}, {}, {scan:?}, port {port}: {:?}, not {expected:?}",
                        view.place, seen[port]
                    )
                };
                unlike.map(line).collect::<Vec<_>>()
            });
            unlike.collect::<Vec<String>>()
        };
        std::thread::scope(|scope| {
            let scans = self.views().map(|view| scope.spawn(|| look(view)));
            let lines = scans.map(|scan| scan.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            lines.concat()
        })
    }

    /// As [`scan`](Self::scan), behind each of these firewalls.
    fn scan_behind(
        &mut self,
        refuse: &str,
        firewalls: &[(&str, Firewall)],
        like: impl Fn(&str, Scan, &Seen) -> Verdict + Sync,
    ) {
        let mut unlike = Vec::new();
        for (name, firewall) in firewalls {
            self.home.house.set_firewall(firewall.clone());
            self.home.reload_gated(&config(refuse));
            unlike.extend(self.scan(name, &like));
        }
        assert!(unlike.is_empty(), "{}", unlike.join("\n"));
    }

    /// After a proof the ports are open, for who proved it.
    fn prove_and_scan(&self) {
        let stranger = self.stranger();
        for family in FAMILIES {
            let caller = self.keys.call(&stranger, self.home.house.router_address("wan", family));
            assert_eq!(caller.check_mail(IMAPS), Ok(()));
        }
        for view in self.views() {
            for scan in [Scan::Syn, Scan::Connect] {
                let seen = nmap(&stranger.namespace, scan, view.to, view.ports);
                let open = seen.values().all(|verdict| verdict.words() == ("open", "syn-ack"));
                assert!(open, "{} {scan:?}: {seen:#?}", view.place);
            }
        }
    }
}

/// What each scan of a closed port of a host without a firewall gives: seen from one LAN host at another.
fn unfirewalled(house: &House, family: Family) -> BTreeMap<&'static str, Verdict> {
    let (from, to) = (house.host("lan2"), house.host("lan"));
    closed(nmap_all(&from.namespace, to.address(family), &[CLOSED]))
}

fn closed(seen: Vec<(Scan, Seen)>) -> BTreeMap<&'static str, Verdict> {
    seen.into_iter()
        .map(|(scan, seen)| (word(scan), seen[&CLOSED].clone()))
        .collect()
}

fn word(scan: Scan) -> &'static str {
    match scan {
        Scan::Syn => "syn",
        Scan::Connect => "connect",
        Scan::Ack => "ack",
        Scan::Fin => "fin",
        Scan::Xmas => "xmas",
        Scan::Null => "null",
    }
}

#[test]
fn refused_as_the_zone_refuses_a_guarded_port_is_like_every_other() {
    let Some(mut scene) = Scene::start("zone") else { return };
    scene.scan_behind("zone", &firewalls(with_mail), |_, _, seen| seen[&CLOSED].clone());
    scene.prove_and_scan();
}

#[test]
fn refused_as_the_zone_refuses_a_guarded_port_is_like_every_other_in_spite_of_old_rules() {
    let Some(mut scene) = Scene::start("zone") else { return };
    scene.scan_behind("zone", &firewalls(with_old_rules), |_, _, seen| seen[&CLOSED].clone());
    scene.prove_and_scan();
}

/// A host without a firewall is the measure, but for one thing: fw4 drops every IPv4 packet to the WAN that conntrack cannot place ("Prevent NAT
/// leakage"), and so the answer to a packet that it could not place either. There a closed port behind a zone that rejects is the measure.
#[test]
fn refused_by_reset_a_guarded_port_is_like_a_closed_one() {
    let Some(mut scene) = Scene::start("reset") else { return };
    scene
        .home
        .house
        .set_firewall(with_mail(Firewall::refusing(Refusal::Reject)));
    let references = scene.views().map(|view| {
        let behind_a_zone = closed(nmap_all(&scene.stranger().namespace, view.to, &[CLOSED]));
        let family = if view.to.is_ipv4() { Family::V4 } else { Family::V6 };
        for (scan, verdict) in unfirewalled(&scene.home.house, family) {
            if family == Family::V6 || ["syn", "connect", "ack"].contains(&scan) {
                assert_eq!(behind_a_zone[scan], verdict, "{} {scan}", view.place);
            }
        }
        (view.place, behind_a_zone)
    });
    let references = BTreeMap::from(references);
    for with in [with_mail, with_old_rules] {
        scene.scan_behind("reset", &firewalls(with), |place, scan, _| {
            references[place][word(scan)].clone()
        });
    }
    scene.prove_and_scan();
}

#[test]
fn refused_by_drop_a_guarded_port_is_like_one_that_a_firewall_drops() {
    let Some(mut scene) = Scene::start("drop") else { return };
    for with in [with_mail, with_old_rules] {
        scene.scan_behind("drop", &firewalls(with), |_, _, seen| seen[&DROPPED].clone());
    }
    scene.prove_and_scan();
}
