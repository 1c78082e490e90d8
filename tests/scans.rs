//! What `nmap` sees of a guarded port: what it sees of a closed one, in every mode of refusal and whatever the firewall's zone does with
//! strangers. Each test has a house of its own.

use lanward_rig::home::Home;
use lanward_rig::house::{Family, Host, House, FAMILIES};
use lanward_rig::report_line::this_test;
use lanward_rig::scan::{nmap, nmap_all, Scan, Verdict};
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
    format!(
        "config lanward 'lanward'\n\nconfig lan_only 'lan_only'\n\toption enabled '0'\n\n\
         config gate 'ssh'\n\toption enabled '1'\n\toption forget 'never'\n\toption refuse '{refuse}'\n\tlist service 'tcp:{SSH}'\n\
         \tlist service 'tcp:{FORWARDED}>192.168.77.100:{SSH}'\n\tlist service 'tcp:{SSH}>[fd77::100]:{SSH}'\n\n\
         config witness 'imaps'\n\toption gate 'ssh'\n"
    )
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
fn firewalls() -> [(&'static str, Firewall); 3] {
    [
        ("REJECT", Firewall::refusing(Refusal::Reject)),
        ("DROP", Firewall::refusing(Refusal::Drop)),
        ("as it comes", Firewall::default()),
    ]
}

struct Scene {
    _servers: Vec<Server>,
    keys: Keys,
    home: Home,
}

/// What a scanner is shown: where it looks, and what it sees there of each port.
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

    /// Scans every view at once, and gives each guarded port's verdict to the judge, with those of the port that is closed and of the port
    /// that is dropped.
    fn scan(&self, what: &str, judge: impl Fn(Scan, &Verdict, &Verdict, &Verdict) -> bool + Sync) {
        let stranger = self.stranger();
        std::thread::scope(|scope| {
            let scans = self.views().map(|view| {
                let (stranger, judge) = (&stranger, &judge);
                scope.spawn(move || {
                    let ports = [view.ports, &[CLOSED, DROPPED]].concat();
                    for (scan, seen) in nmap_all(&stranger.namespace, view.to, &ports) {
                        for port in view.ports {
                            let held = judge(scan, &seen[port], &seen[&CLOSED], &seen[&DROPPED]);
                            assert!(held, "{what}, {}, {scan:?}, port {port}: {seen:#?}", view.place);
                        }
                    }
                })
            });
            for scan in scans {
                scan.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
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
fn unfirewalled(house: &House) -> BTreeMap<&'static str, Verdict> {
    let (from, to) = (house.host("lan2"), house.host("lan"));
    let seen = nmap_all(&from.namespace, to.address(Family::V4), &[CLOSED]);
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
    for (name, firewall) in firewalls() {
        scene.home.house.set_firewall(with_mail(firewall));
        scene.home.reload_gated(&config("zone"));
        scene.scan(name, |_, guarded, closed, _| guarded == closed);
    }
    scene.prove_and_scan();
}

#[test]
fn refused_as_the_zone_refuses_a_guarded_port_is_like_every_other_in_spite_of_old_rules() {
    let Some(mut scene) = Scene::start("zone") else { return };
    for (name, firewall) in firewalls() {
        scene.home.house.set_firewall(with_old_rules(firewall));
        scene.home.reload_gated(&config("zone"));
        scene.scan(name, |_, guarded, closed, _| guarded == closed);
    }
    scene.prove_and_scan();
}

#[test]
fn refused_by_reset_a_guarded_port_is_like_a_closed_one_of_a_host_without_a_firewall() {
    let Some(mut scene) = Scene::start("reset") else { return };
    let reference = unfirewalled(&scene.home.house);
    for (name, firewall) in firewalls() {
        for firewall in [with_mail(firewall.clone()), with_old_rules(firewall)] {
            scene.home.house.set_firewall(firewall);
            scene.home.reload_gated(&config("reset"));
            scene.scan(name, |scan, guarded, _, _| guarded == &reference[word(scan)]);
        }
    }
    scene.prove_and_scan();
}

#[test]
fn refused_by_drop_a_guarded_port_is_like_one_that_a_firewall_drops() {
    let Some(mut scene) = Scene::start("drop") else { return };
    for (name, firewall) in firewalls() {
        for firewall in [with_mail(firewall.clone()), with_old_rules(firewall)] {
            scene.home.house.set_firewall(firewall);
            scene.home.reload_gated(&config("drop"));
            scene.scan(name, |_, guarded, _, dropped| guarded == dropped);
        }
    }
    scene.prove_and_scan();
}
