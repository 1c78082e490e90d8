//! The gate with real parts: OpenSSH, dropbear and dovecot behind it, `ssh` and mail programs before it, a firewall as fw4 writes it, and
//! the daemon. Each test has a house of its own.

use lanward::system::ubus::{Bus, Incoming, Object};
use lanward_rig::daemon::program;
use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::{Family, Host, House, Plan, FAMILIES};
use lanward_rig::probe::{within, Connection};
use lanward_rig::report_line::this_test;
use lanward_rig::scan::{nmap, Scan};
use lanward_rig::sections;
use lanward_rig::servers::{Caller, Dialogue, Keys, Login, Server};
use lanward_rig::settings::{Firewall, Refusal};
use serde_json::{json, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::mpsc::{channel, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SSH: u16 = 22;
const IMAPS: u16 = 993;
/// States in `/proc/net/tcp` of what sends nothing by itself: listening, and waiting for the end of its time.
const AT_REST: [&str; 2] = ["0A", "06"];
/// How long the daemon may take for what it does beside the packets' way, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// `/etc/config/lanward` with a gate of these options and a witness of those.
fn gated(gate: &str, witness: &str) -> String {
    [switched_off(""), sections::gate(gate), sections::witness(witness)].concat()
}

/// The router's SSH behind a gate with these further options.
fn router_gated(options: &str) -> String {
    gated(&format!("list service 'tcp:22'\n{options}"), "")
}

/// A way in that the user opened for everybody.
fn allow(port: u16) -> Value {
    let name = format!("Allow-{port}");
    json!({ "type": "rule", "name": name, "src": "wan", "proto": "tcp", "dest_port": port.to_string(), "target": "ACCEPT" })
}

/// The same to a host behind the router.
fn allow_to(host: IpAddr, port: u16) -> Value {
    let mut rule = allow(port);
    rule["dest"] = json!("lan");
    rule["dest_ip"] = json!(host.to_string());
    rule["name"] = json!(format!("Allow-{port}-to-host"));
    rule
}

/// A port forward that the user opened for everybody.
fn redirect(port: u16, host: IpAddr, to: u16) -> Value {
    json!({
        "type": "redirect", "name": format!("Forward-{port}"), "src": "wan", "proto": "tcp", "src_dport": port.to_string(),
        "dest": "lan", "dest_ip": host.to_string(), "dest_port": to.to_string(), "target": "DNAT",
    })
}

/// The firewall as a router comes, with its mail server open to everybody.
fn with_mail() -> Firewall {
    Firewall::default().with(allow(IMAPS))
}

/// A house with SSH and IMAPS on its router. Dropped in this order: the servers first.
struct Scene {
    servers: Vec<Server>,
    keys: Keys,
    home: Home,
}

impl Scene {
    fn start(firewall: Firewall, config: &str) -> Option<Self> {
        Self::of(House::plan(), firewall, config)
    }

    fn of(plan: Plan, firewall: Firewall, config: &str) -> Option<Self> {
        let home = Home::start_gated(&this_test(), plan, firewall, config)?;
        let keys = Keys::make(&home.house);
        let router = home.house.router();
        let servers = vec![Server::openssh(router, SSH, &keys), Server::imaps(router, IMAPS, &keys)];
        Some(Self { servers, keys, home })
    }

    fn router(&self, family: Family) -> IpAddr {
        self.home.house.router_address("wan", family)
    }

    /// Somebody calls the router at its WAN address.
    fn caller(&self, host: &str, family: Family) -> Caller<'_> {
        self.keys.call(self.home.house.host(host), self.router(family))
    }

    fn call(&self, host: &str, to: IpAddr) -> Caller<'_> {
        self.keys.call(self.home.house.host(host), to)
    }

    /// What a connection attempt from a host to the router meets: quicker than `ssh` where nothing comes back.
    fn knocks(&self, host: &str, family: Family, port: u16) -> Connection {
        let way = self.home.house.way(host, "router").over(family);
        way.through(self.router(family)).tcp_unheard(port)
    }

    /// The gate's list over the bus: addresses with the seconds they have left.
    fn listed(&self) -> Vec<(String, u64)> {
        let reply = self.home.daemon.must("gate_list", &json!({}));
        let entries = reply["entries"]
            .as_array()
            .unwrap_or_else(|| panic!("no entries in {reply}"));
        entries
            .iter()
            .map(|entry| {
                let word = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("no {key} in {entry}"));
                let seconds = entry["expires"]
                    .as_u64()
                    .unwrap_or_else(|| panic!("no expires in {entry}"));
                assert_eq!(word("gate"), "ssh");
                (word("address").to_owned(), seconds)
            })
            .collect()
    }

    fn addresses(&self) -> Vec<String> {
        self.listed().into_iter().map(|(address, _)| address).collect()
    }

    /// The seconds that an address has left.
    fn seconds(&self, address: &str) -> Option<u64> {
        self.listed()
            .into_iter()
            .find_map(|(listed, seconds)| (listed == address).then_some(seconds))
    }

    fn count(&self, of: &str) -> u64 {
        let status = self.home.daemon.must("status", &json!({}));
        let gate = &status["gates"][0];
        gate[of].as_u64().unwrap_or_else(|| panic!("no number {of} in {gate}"))
    }

    fn admit(&self, address: &str) {
        let ok = self
            .home
            .daemon
            .must("gate_admit", &json!({ "gate": "ssh", "address": address }));
        assert_eq!(ok["ok"], json!(true), "{ok}");
    }

    fn delete_table(&self) {
        self.home
            .house
            .router()
            .nft("add table inet lanward\ndelete table inet lanward\n");
    }

    fn has_table(&self) -> bool {
        let tables = self.home.house.router().must("nft", &["list", "tables"], "");
        tables.lines().any(|line| line == "table inet lanward")
    }
}

/// The router's own SSH, as it answers at this address.
fn at(address: IpAddr, port: u16) -> Login {
    Login::In(format!("{address} {port}"))
}

#[test]
fn straight_ssh_is_refused_a_mail_check_lets_it_in_and_its_end_shuts_again() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("")) else {
        return;
    };
    for family in FAMILIES {
        let (caller, other) = (scene.caller("internet", family), scene.caller("internet2", family));
        assert_eq!(caller.ssh(SSH), Login::Refused, "{family} straight");
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        let address = scene.home.house.host("internet").address(family).to_string();
        let seconds = scene.seconds(&address).expect("it is listed");
        assert!((50..=60).contains(&seconds), "{seconds}");
        assert_eq!(other.ssh(SSH), Login::Refused, "{family}: it proved nothing");
        assert_eq!(caller.ssh(SSH), at(scene.router(family), SSH), "{family} after mail");
        assert_eq!(caller.ssh(SSH), Login::Refused, "{family}: the session's end shuts it");
        assert_eq!(scene.listed(), []);
    }
    assert_eq!((scene.count("admitted"), scene.count("entries")), (2, 0));
    assert!(scene.count("refused") >= 6);
}

#[test]
fn forwarded_services_and_lan_hosts_by_their_own_address_are_guarded() {
    let config = gated(
        "list service 'tcp:2222>192.168.77.100:22'\nlist service 'tcp:22>[fd77::100]:22'",
        "",
    );
    let Some(mut scene) = Scene::start(with_mail(), &config) else {
        return;
    };
    let lan = scene.home.house.host("lan").clone();
    scene.servers.push(Server::dropbear(&lan.namespace, SSH, &scene.keys));
    for (family, to, port) in [
        (Family::V4, scene.router(Family::V4), 2222),
        (Family::V6, lan.address(Family::V6), SSH),
    ] {
        let (caller, other) = (scene.call("internet", to), scene.call("internet2", to));
        assert_eq!(caller.ssh(port), Login::Refused, "{family} straight");
        assert_eq!(scene.caller("internet", family).check_mail(IMAPS), Ok(()));
        assert_eq!(other.ssh(port), Login::Refused, "{family}: it proved nothing");
        assert_eq!(
            scene.caller("internet", family).ssh(SSH),
            Login::Refused,
            "{family}: nothing is published for the router itself"
        );
        let to_lan2 = scene.call("internet", scene.home.house.host("lan2").address(Family::V6));
        assert_eq!(to_lan2.ssh(SSH), Login::Refused, "nor for other hosts");
        let mut session = caller.ssh_session(port);
        assert_eq!(caller.ssh(port), at(lan.address(family), SSH), "{family} after mail");
        assert_eq!(caller.ssh(port), Login::Refused, "{family}: a session's end shuts it");
        assert!(session.echoes(), "{family}: the other session goes on");
    }
}

#[test]
fn the_diagnosis_says_whether_fw4_has_been_told() {
    let Some(mut scene) = Scene::start(Firewall::default(), &router_gated("")) else {
        return;
    };
    let untold = |scene: &Scene| {
        let answer = scene.home.daemon.must("check", &json!({}));
        let checks = answer["checks"].as_array().expect("checks");
        let says = |check: &&serde_json::Value| {
            let message = check["message"].as_str().unwrap_or_default();
            check["name"] == "gate" && message.contains("fw4 lacks a rule") && message.contains("'ssh'")
        };
        checks.iter().filter(says).count()
    };
    assert_eq!(untold(&scene), 0);
    let rules = lanward_rig::home::fw4_rules(&scene.home.house);
    scene.home.house.publish(Vec::new());
    assert_eq!(untold(&scene), 1);
    scene.home.house.publish(rules);
    assert_eq!(untold(&scene), 0);
}

#[test]
fn the_witness_may_be_forwarded() {
    let lan2 = IpAddr::from([192, 168, 77, 101]);
    let firewall = Firewall::default().with(redirect(IMAPS, lan2, IMAPS));
    let Some(mut scene) = Scene::start(firewall, &router_gated("")) else {
        return;
    };
    let server = Server::imaps(&scene.home.house.host("lan2").namespace, IMAPS, &scene.keys);
    let caller = scene.caller("internet", Family::V4);
    assert_eq!(caller.ssh(SSH), Login::Refused);
    assert_eq!(caller.check_mail(IMAPS), Ok(()));
    assert!(
        server.log().contains("203.0.113.9"),
        "the forwarded one was asked:\n{}",
        server.log()
    );
    assert_eq!(caller.ssh(SSH), at(scene.router(Family::V4), SSH));
    scene.servers.push(server);
}

#[test]
fn the_witness_may_be_at_a_public_address_behind_the_router() {
    let public = Ipv4Addr::new(192, 0, 2, 25);
    let hosts: [IpAddr; 4] = [
        public.into(),
        "fd77::101".parse().expect("an address"),
        "192.0.2.26".parse().expect("an address"),
        "fd77::100".parse().expect("an address"),
    ];
    let firewall = hosts
        .iter()
        .fold(with_mail(), |firewall, host| firewall.with(allow_to(*host, IMAPS)));
    let config = gated("list service 'tcp:22'", "list dest '192.0.2.25'\nlist dest 'fd77::101'");
    let Some(mut scene) = Scene::start(firewall, &config) else {
        return;
    };
    scene.home.house.add_public_address("lan2", public);
    scene.home.house.add_public_address("lan", Ipv4Addr::new(192, 0, 2, 26));
    for host in ["lan", "lan2"] {
        let server = Server::imaps(&scene.home.house.host(host).namespace, IMAPS, &scene.keys);
        scene.servers.push(server);
    }
    for (family, witness, other) in [(Family::V4, hosts[0], hosts[2]), (Family::V6, hosts[1], hosts[3])] {
        let caller = scene.caller("internet", family);
        for no_witness in [other, scene.router(family)] {
            assert_eq!(
                scene.call("internet", no_witness).check_mail(IMAPS),
                Ok(()),
                "{no_witness}"
            );
        }
        assert_eq!(scene.listed(), [], "{family}: mail elsewhere proves nothing");
        assert_eq!(caller.ssh(SSH), Login::Refused);
        assert_eq!(scene.call("internet", witness).check_mail(IMAPS), Ok(()));
        assert_eq!(caller.ssh(SSH), at(scene.router(family), SSH), "{family}");
    }
}

#[test]
fn scans_of_the_witness_prove_nothing_and_a_connection_does() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("")) else {
        return;
    };
    // The scanner's address is the one that its system chooses.
    let internet = scene.home.house.host("internet");
    let scanner = Host {
        v4: Ipv4Addr::UNSPECIFIED,
        v6: Ipv6Addr::UNSPECIFIED,
        ..internet.clone()
    };
    for family in FAMILIES {
        let caller = scene.keys.call(&scanner, scene.router(family));
        for scan in [Scan::Syn, Scan::Ack, Scan::Fin, Scan::Xmas] {
            let seen = nmap(&scanner.namespace, scan, scene.router(family), &[IMAPS]);
            if scan == Scan::Syn {
                assert_eq!(seen[&IMAPS].words(), ("open", "syn-ack"), "the scanner was answered");
            }
            assert_eq!(scene.listed(), [], "{family} {scan:?}");
        }
        assert_eq!(caller.ssh(SSH), Login::Refused, "{family}");
        // What a bare connection proves is little, and asked for by `min_bytes`.
        let _ = nmap(&scanner.namespace, Scan::Connect, scene.router(family), &[IMAPS]);
        assert_eq!(scene.listed().len(), 1, "{family}");
        assert!(caller.ssh(SSH).is_in(), "{family}");
    }
}

/// A mail server that is down: its system answers a SYN with a RST, and nothing that comes after on the same ports is a connection.
#[test]
fn a_witness_that_does_not_listen_proves_nothing() {
    let Some(mut scene) = Scene::start(with_mail(), &router_gated("")) else {
        return;
    };
    scene.servers.truncate(1);
    let internet = &scene.home.house.host("internet").namespace;
    let router = scene.router(Family::V4).to_string();
    let packet = |flags: &[&str]| {
        let ports = ["--tcp", "-g", "45678", "-p", "993", "-c", "1", "--flags"];
        let said = internet.must("nping", &[&ports[..], flags, &[&router]].concat(), "");
        assert!(said.contains("RCVD"), "{said}");
    };
    packet(&["syn", "--seq", "1000"]);
    packet(&["ack", "--seq", "1001", "--ack", "1"]);
    packet(&["ack", "--seq", "1001", "--ack", "1"]);
    assert_eq!(scene.listed(), []);
}

#[test]
fn min_bytes_asks_for_more_than_a_connection() {
    let config = gated("list service 'tcp:22'", "option min_bytes '600'");
    let Some(scene) = Scene::start(with_mail(), &config) else {
        return;
    };
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        assert_eq!(scene.knocks("internet", family, IMAPS), Connection::Accepted);
        let _ = nmap(
            &scene.home.house.host("internet").namespace,
            Scan::Connect,
            scene.router(family),
            &[IMAPS],
        );
        assert_eq!(scene.listed(), [], "{family}: a bare connection");
        assert_eq!(caller.ssh(SSH), Login::Refused);
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        assert!(caller.ssh(SSH).is_in(), "{family}");
    }
}

#[test]
fn one_closed_session_leaves_the_other_alone_and_shuts_the_gate() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option forget 'first_fin'")) else {
        return;
    };
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        let (one, mut other) = (caller.ssh_session(SSH), caller.ssh_session(SSH));
        one.close();
        assert!(other.echoes(), "{family}");
        assert_eq!(caller.ssh(SSH), Login::Refused, "{family}");
        assert!(other.echoes(), "{family}: also after the refusal");
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        assert!(caller.ssh(SSH).is_in(), "{family}: proved anew");
        // A session that is cut off by the client's end, without a word.
        drop(other);
    }
}

#[test]
fn the_last_closed_session_shuts_the_gate_if_so_configured() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option forget 'last_close'")) else {
        return;
    };
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        let (one, mut other) = (caller.ssh_session(SSH), caller.ssh_session(SSH));
        one.close();
        assert!(caller.ssh(SSH).is_in(), "{family}: one session is left");
        std::thread::sleep(Duration::from_millis(500));
        assert!(caller.ssh(SSH).is_in(), "{family}: one session is still left");
        assert!(other.echoes(), "{family}");
        other.close();
        assert!(
            within(SOON, || scene.listed().is_empty()),
            "{family}: {:?}",
            scene.listed()
        );
        assert_eq!(caller.ssh(SSH), Login::Refused, "{family}");
    }
}

#[test]
fn no_closed_session_shuts_the_gate_if_so_configured() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option forget 'never'")) else {
        return;
    };
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        for round in 0..3 {
            assert!(caller.ssh(SSH).is_in(), "{family} {round}");
        }
    }
}

#[test]
fn the_window_runs_out_and_the_session_lives_on() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option window '6'\noption forget 'never'")) else {
        return;
    };
    let callers = FAMILIES.map(|family| scene.caller("internet", family));
    let mut sessions = callers.clone().map(|caller| {
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        caller.ssh_session(SSH)
    });
    // A session with traffic keeps its source listed.
    for _ in 0..14 {
        std::thread::sleep(Duration::from_millis(500));
        assert!(sessions.iter_mut().all(Dialogue::echoes));
    }
    assert!(
        callers.iter().all(|caller| caller.ssh(SSH).is_in()),
        "kept listed by traffic"
    );
    std::thread::sleep(Duration::from_millis(6600));
    assert_eq!(scene.listed(), []);
    for (caller, session) in callers.iter().zip(&mut sessions) {
        assert_eq!(caller.ssh(SSH), Login::Refused, "it ran out");
        assert!(session.echoes(), "the session goes on");
        assert_eq!(caller.ssh(SSH), Login::Refused, "its traffic lists nobody");
    }
}

#[test]
fn mail_keeps_its_source_listed_while_it_lives_and_its_end_removes_nobody() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option window '6'")) else {
        return;
    };
    let callers = FAMILIES.map(|family| scene.caller("internet", family));
    let mut sessions = callers.clone().map(|caller| caller.mail_session(IMAPS));
    for _ in 0..14 {
        std::thread::sleep(Duration::from_millis(500));
        assert!(sessions.iter_mut().all(Dialogue::mail_answers));
    }
    assert_eq!(scene.listed().len(), 2, "refreshed by traffic");
    for (caller, session) in callers.iter().zip(sessions) {
        session.log_out();
        assert!(caller.ssh(SSH).is_in(), "mail has ended, the window has not");
    }
}

#[test]
fn link_local_callers_from_the_wan_are_gated_too() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("")) else {
        return;
    };
    let house = &scene.home.house;
    let router = house.link_local("wan0").into();
    let caller = scene.keys.call_on_link(house.host("internet"), router, "to-wan0");
    // The kernel finds no way for a RST to a link-local address: a closed port of the zone's is the measure.
    let closed = caller.ssh(2300);
    assert!(!closed.is_in());
    assert_eq!(caller.ssh(SSH), closed, "straight");
    assert_eq!(caller.check_mail(IMAPS), Ok(()));
    let listed = scene.addresses();
    assert!(listed.len() == 1 && listed[0].starts_with("fe80:"), "{listed:?}");
    assert_eq!(
        scene.caller("internet", Family::V6).ssh(SSH),
        Login::Refused,
        "another address of the same"
    );
    assert!(caller.ssh(SSH).is_in());
    assert_eq!(caller.ssh(SSH), closed, "the session's end shuts it");
}

#[test]
fn callers_from_the_lan_and_the_vpn_are_never_gated() {
    let config = gated(
        "list service 'tcp:22'\nlist service 'tcp:2222>192.168.77.100:22'\nlist service 'tcp:22>[fd77::100]:22'\noption refuse 'drop'",
        "",
    );
    let Some(mut scene) = Scene::start(with_mail(), &config) else {
        return;
    };
    let house = &scene.home.house;
    let lan = house.host("lan").clone();
    scene.servers.push(Server::dropbear(&lan.namespace, SSH, &scene.keys));
    for family in FAMILIES {
        let inside = house.router_address("lan", family);
        for from in ["lan2", "vpn"] {
            for to in [inside, scene.router(family), lan.address(family)] {
                assert_eq!(scene.call(from, to).ssh(SSH), at(to, SSH), "{from} to {to}");
            }
        }
        assert_eq!(scene.call("lan", inside).ssh(SSH), at(inside, SSH));
        let to = lan.address(family);
        assert_eq!(
            scene.keys.call(house.host("router"), to).ssh(SSH),
            at(to, SSH),
            "the router itself"
        );
        assert_eq!(
            scene.knocks("internet", family, SSH),
            Connection::Silent,
            "the gate is shut"
        );
    }
    assert_eq!(scene.listed(), [], "and they are not listed");
}

#[test]
fn an_old_rule_of_the_firewall_lets_nobody_else_in() {
    let lan6: IpAddr = "fd77::100".parse().expect("an address");
    let lan4 = IpAddr::from([192, 168, 77, 100]);
    let services =
        "list service 'tcp:22'\nlist service 'tcp:2222>192.168.77.100:22'\nlist service 'tcp:22>[fd77::100]:22'\n";
    let old = |firewall: Firewall| {
        let firewall = firewall.with(allow(IMAPS)).with(allow(SSH));
        firewall.with(redirect(2222, lan4, SSH)).with(allow_to(lan6, SSH))
    };
    let config = |refuse: &str| gated(&format!("{services}option refuse '{refuse}'"), "");
    let Some(mut scene) = Scene::start(old(Firewall::refusing(Refusal::Reject)), &config("zone")) else {
        return;
    };
    let lan = scene.home.house.host("lan").clone();
    scene.servers.push(Server::dropbear(&lan.namespace, SSH, &scene.keys));
    for (policy, refuse, expected) in [
        (Refusal::Reject, "zone", Connection::Reset),
        (Refusal::Drop, "zone", Connection::Silent),
        (Refusal::Reject, "drop", Connection::Silent),
        (Refusal::Drop, "reset", Connection::Reset),
    ] {
        scene.home.house.set_firewall(old(Firewall::refusing(policy)));
        scene.home.reload_gated(&config(refuse));
        let what = format!("{policy:?} {refuse}");
        for family in FAMILIES {
            assert_eq!(scene.knocks("internet", family, SSH), expected, "{what} {family}");
        }
        assert_eq!(scene.knocks("internet", Family::V4, 2222), expected, "{what} forwarded");
        let to_lan = scene.home.house.way("internet", "lan").over(Family::V6);
        assert_eq!(to_lan.tcp_unheard(SSH), expected, "{what} LAN host");
    }
    for (family, to, port, server) in [
        (
            Family::V4,
            scene.router(Family::V4),
            SSH,
            at(scene.router(Family::V4), SSH),
        ),
        (
            Family::V6,
            scene.router(Family::V6),
            SSH,
            at(scene.router(Family::V6), SSH),
        ),
        (Family::V4, scene.router(Family::V4), 2222, at(lan4, SSH)),
        (Family::V6, lan6, SSH, at(lan6, SSH)),
    ] {
        assert_eq!(scene.caller("internet", family).check_mail(IMAPS), Ok(()));
        assert_eq!(scene.call("internet", to).ssh(port), server, "who proved it gets in");
    }
}

#[test]
fn behind_a_forgotten_redirect_to_another_port_the_service_is_guarded_still() {
    // The user once forwarded 2022 to the router's own SSH, which the gate guards at 22.
    let firewall = with_mail().with(redirect(2022, IpAddr::from([192, 168, 77, 1]), SSH));
    let Some(scene) = Scene::start(firewall, &router_gated("")) else {
        return;
    };
    let caller = scene.caller("internet", Family::V4);
    assert!(!caller.ssh(2022).is_in());
    assert_eq!(caller.ssh(SSH), Login::Refused);
}

/// Ways in which lanward's part goes, with fw4's rule still there.
#[test]
fn without_the_table_nobody_gets_in() {
    let Some(mut scene) = Scene::start(with_mail(), &router_gated("option forget 'never'\noption window '600'")) else {
        return;
    };
    let nobody = |scene: &Scene, what: &str| {
        for family in FAMILIES {
            for host in ["internet", "internet2"] {
                assert_eq!(
                    scene.caller(host, family).ssh(SSH),
                    Login::Refused,
                    "{what}: {host} {family}"
                );
            }
        }
    };
    let stranger = |scene: &Scene, what: &str| {
        for family in FAMILIES {
            assert_eq!(
                scene.caller("internet2", family).ssh(SSH),
                Login::Refused,
                "{what}: {family}"
            );
        }
    };
    let prove = |scene: &Scene| {
        for family in FAMILIES {
            let caller = scene.caller("internet", family);
            assert_eq!(caller.check_mail(IMAPS), Ok(()));
            assert!(caller.ssh(SSH).is_in(), "{family} while all is well");
        }
    };
    prove(&scene);
    scene.home.daemon.kill9();
    stranger(&scene, "daemon killed");
    scene.delete_table();
    nobody(&scene, "daemon killed and table deleted");

    scene.home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    prove(&scene);
    scene.home.daemon.terminate();
    stranger(&scene, "daemon stopped");
    scene.delete_table();
    nobody(&scene, "daemon stopped and table deleted");

    scene.home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    prove(&scene);
    // fw4 is not told: its rule is the one from before.
    scene
        .home
        .reload(&router_gated("option forget 'never'").replace("enabled '1'", "enabled '0'"));
    nobody(&scene, "gate disabled");

    scene
        .home
        .reload(&router_gated("option forget 'never'\noption window '600'"));
    prove(&scene);
    scene.home.reload("config lanward 'lanward'\n");
    nobody(&scene, "configuration removed");

    scene
        .home
        .reload(&router_gated("option forget 'never'\noption window '600'"));
    prove(&scene);
    std::fs::remove_file(scene.home.house.config_dir().join("lanward")).expect("it was there");
    scene.home.daemon.kill9();
    scene.delete_table();
    nobody(&scene, "package removed");
    let _ = scene.home.daemon.start_again();
    nobody(&scene, "daemon without configuration");
}

#[test]
fn without_fw4s_rule_or_with_a_shut_gate_nobody_gets_in() {
    let Some(mut scene) = Scene::start(with_mail(), &router_gated("option forget 'never'")) else {
        return;
    };
    let callers = |scene: &Scene, expected: &dyn Fn(IpAddr) -> Login, what: &str| {
        for family in FAMILIES {
            let caller = scene.caller("internet", family);
            assert_eq!(caller.check_mail(IMAPS), Ok(()));
            assert_eq!(caller.ssh(SSH), expected(scene.router(family)), "{what} {family}");
        }
    };
    callers(&scene, &|router| at(router, SSH), "all is well");
    scene.home.house.publish(Vec::new());
    callers(&scene, &|_| Login::Refused, "procd has forgotten the rule");
    scene
        .home
        .house
        .publish(lanward_rig::home::fw4_rules(&scene.home.house));
    callers(&scene, &|router| at(router, SSH), "it is there again");
}

#[test]
fn a_wrong_configuration_at_the_start_leaves_the_gate_shut() {
    let Some(scene) = Scene::start(with_mail().with(allow(SSH)), &router_gated("option window '5 minuts'")) else {
        return;
    };
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        assert_ne!(scene.knocks("internet", family, SSH), Connection::Accepted, "{family}");
    }
}

#[test]
fn zones_of_other_names_lock_nobody_inside_out() {
    let config = [
        switched_off("list source_zone 'home'\nlist dest_zone 'internet'"),
        sections::gate("list service 'tcp:22'"),
        sections::witness(""),
    ];
    let Some(scene) = Scene::start(with_mail().with(allow(SSH)), &config.concat()) else {
        return;
    };
    for family in FAMILIES {
        let inside = scene.home.house.router_address("lan", family);
        for from in ["lan", "vpn"] {
            assert_eq!(scene.call(from, inside).ssh(SSH), at(inside, SSH), "{from}");
        }
        assert_ne!(scene.knocks("internet", family, SSH), Connection::Accepted, "{family}");
    }
}

#[test]
fn addresses_are_admitted_and_removed_by_hand() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option forget 'never'\noption window '100'")) else {
        return;
    };
    let daemon = &scene.home.daemon;
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        let address = scene.home.house.host("internet").address(family).to_string();
        let named = json!({ "gate": "ssh", "address": address });
        scene.admit(&address);
        let seconds = scene.seconds(&address).expect("it is listed");
        assert!((90..=100).contains(&seconds), "{family}: {seconds}");
        let mut session = caller.ssh_session(SSH);
        daemon.must("gate_remove", &named);
        assert_eq!(scene.seconds(&address), None);
        assert_eq!(caller.ssh(SSH), Login::Refused, "{family}: removed");
        assert!(session.echoes(), "{family}: no session is cut");

        let mut grant = named.clone();
        grant["seconds"] = json!(6);
        let began = Instant::now();
        daemon.must("gate_admit", &grant);
        assert!(
            scene.seconds(&address).is_some_and(|seconds| seconds <= 6),
            "{:?}",
            scene.listed()
        );
        assert!(caller.ssh(SSH).is_in(), "{family}: granted");
        assert!(session.echoes());
        std::thread::sleep(Duration::from_millis(6600).saturating_sub(began.elapsed()));
        assert!(session.echoes(), "the session goes on");
        assert_eq!(
            caller.ssh(SSH),
            Login::Refused,
            "{family}: no packet makes a grant longer"
        );
        grant["seconds"] = json!(300);
        daemon.must("gate_admit", &grant);
        assert!(caller.ssh(SSH).is_in());
        assert_eq!(scene.caller("internet2", family).ssh(SSH), Login::Refused);
    }
    scene.admit("203.0.113.77");
    let reply = daemon.must("gate_flush", &json!({ "gate": "ssh" }));
    assert_eq!(reply["removed"], json!(3), "{reply}");
    assert_eq!(scene.listed(), []);
    for family in FAMILIES {
        assert_eq!(
            scene.caller("internet", family).ssh(SSH),
            Login::Refused,
            "{family}: flushed"
        );
    }
}

#[test]
fn somebody_who_is_in_admits_the_address_of_their_session() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option forget 'never'\noption window '100'")) else {
        return;
    };
    let (program, socket) = (program(), scene.home.house.directory().join("ubus.sock"));
    let command = format!(
        "{} gate admit ssh me 500 --ubus-socket {}",
        program.display(),
        socket.display()
    );
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        let address = scene.home.house.host("internet").address(family).to_string();
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        let said = caller.ssh_run(SSH, &command);
        assert!(matches!(&said, Login::In(said) if said.contains(&address)), "{said:?}");
        assert!(
            scene
                .seconds(&address)
                .is_some_and(|seconds| (400..=500).contains(&seconds)),
            "{:?}",
            scene.listed()
        );
    }
}

#[test]
fn switching_the_gate_on_or_losing_everything_cuts_nobody_off() {
    let open = with_mail().with(allow(SSH));
    let on = router_gated("");
    let off = on.replace("enabled '1'", "enabled '0'");
    let Some(mut scene) = Scene::start(open, &off) else {
        return;
    };
    let mut sessions = FAMILIES.map(|family| scene.caller("internet", family).ssh_session(SSH));
    let mut go_on = |what: &str| {
        for session in &mut sessions {
            assert!(session.echoes(), "{what}");
        }
    };
    scene.home.house.set_firewall(with_mail());
    scene.home.reload_gated(&on);
    go_on("gate on");
    for family in FAMILIES {
        assert_eq!(scene.caller("internet", family).ssh(SSH), Login::Refused, "{family}");
    }
    scene
        .home
        .reload_gated(&router_gated("option refuse 'drop'\noption window '5'"));
    go_on("reloaded");
    scene.home.daemon.must("gate_flush", &json!({ "gate": "ssh" }));
    go_on("flushed");
    scene.home.house.router().nft("flush ruleset\n");
    assert!(within(SOON, || scene.has_table()), "the table comes back");
    scene.home.house.reload_fw4();
    go_on("everything flushed");
    scene.home.daemon.kill9();
    scene.delete_table();
    go_on("table deleted");
    for family in FAMILIES {
        assert_eq!(
            scene.caller("internet", family).ssh(SSH),
            Login::Refused,
            "{family}: and nobody new gets in"
        );
    }
}

#[test]
fn what_cannot_be_admitted_is_said() {
    let config = gated("list service 'tcp:2222>192.168.77.100:22'", "");
    let Some(scene) = Scene::start(with_mail(), &config) else {
        return;
    };
    let call = |method: &str, arguments: Value| scene.home.daemon.call(method, &arguments);
    let said = |gate: &str, address: &str| call("gate_admit", json!({ "gate": gate, "address": address }));
    assert_eq!(said("nosuch", "203.0.113.9"), Err(4));
    for wrong in ["laptop.example", "2001:db8:9::9", "203.0.113.0/24", "", "203.0.113.9 "] {
        let reply = said("ssh", wrong).unwrap_or_else(|status| panic!("{wrong:?}: status {status}"));
        assert!(reply["error"].is_string(), "{wrong:?}: {reply}");
    }
    for wrong in [
        json!({ "gate": "ssh" }),
        json!({ "gate": "ssh", "address": 7 }),
        json!({ "gate": "ssh", "address": "203.0.113.9", "more": 1 }),
    ] {
        assert_eq!(call("gate_admit", wrong.clone()), Err(2), "{wrong}");
    }
    assert_eq!(call("gate_flush", json!({ "gate": "nosuch" })), Err(4));
    assert_eq!(call("gate_list", json!({ "gate": "nosuch" })), Err(4));
    assert_eq!(scene.listed(), []);
}

#[test]
fn lists_come_back_after_the_whole_ruleset_was_flushed() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option forget 'never'\noption window '300'")) else {
        return;
    };
    let granted = "203.0.113.77";
    let grant = json!({ "gate": "ssh", "address": granted, "seconds": 500 });
    scene.home.daemon.must("gate_admit", &grant);
    for family in FAMILIES {
        assert_eq!(scene.caller("internet", family).check_mail(IMAPS), Ok(()));
    }
    // The copies of what was admitted are on their way.
    std::thread::sleep(Duration::from_millis(300));
    let before = scene.listed();
    assert_eq!(before.len(), 3, "{before:?}");
    scene.home.house.router().nft("flush ruleset\n");
    assert!(within(SOON, || scene.has_table()), "the table comes back");
    scene.home.house.reload_fw4();
    assert!(within(SOON, || scene.listed().len() == 3), "{:?}", scene.listed());
    for (address, seconds) in &before {
        let now = scene.seconds(address).unwrap_or_else(|| panic!("{address} is gone"));
        assert!(
            now <= *seconds && now + 15 >= *seconds,
            "{address}: {seconds} before, {now} now"
        );
    }
    for family in FAMILIES {
        assert!(scene.caller("internet", family).ssh(SSH).is_in(), "{family}");
    }
    assert!(scene.caller("internet2", Family::V4).ssh(SSH).is_in(), "granted");
    assert_eq!(scene.caller("internet2", Family::V6).ssh(SSH), Login::Refused);
}

#[test]
fn the_lists_outlive_the_daemon() {
    let Some(mut scene) = Scene::start(with_mail(), &router_gated("option forget 'never'\noption window '300'")) else {
        return;
    };
    for family in FAMILIES {
        assert_eq!(scene.caller("internet", family).check_mail(IMAPS), Ok(()));
    }
    let grant = json!({ "gate": "ssh", "address": "203.0.113.77", "seconds": 500 });
    scene.home.daemon.must("gate_admit", &grant);
    let before = scene.listed();
    assert_eq!(before.len(), 3, "{before:?}");
    for round in ["killed", "stopped"] {
        match round {
            "killed" => scene.home.daemon.kill9(),
            _ => drop(scene.home.daemon.terminate()),
        }
        scene.home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
        for (address, seconds) in &before {
            let now = scene
                .seconds(address)
                .unwrap_or_else(|| panic!("{round}: {address} is gone"));
            assert!(
                now <= *seconds && now + 15 >= *seconds,
                "{round}: {address}: {seconds} before, {now} now"
            );
        }
    }
    assert!(scene.caller("internet2", Family::V4).ssh(SSH).is_in());
    for family in FAMILIES {
        assert!(scene.caller("internet", family).ssh(SSH).is_in(), "{family}");
    }
}

#[test]
fn subscribers_hear_who_is_admitted_and_removed() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("")) else {
        return;
    };
    let subscriber = Subscriber::start(&scene.home.house.directory().join("ubus.sock"));
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        let address = scene.home.house.host("internet").address(family).to_string();
        let heard = |name: &str, why: &str| {
            let data = subscriber.hear(name);
            assert_eq!(
                (&data["gate"], &data["address"]),
                (&json!("ssh"), &json!(address)),
                "{data}"
            );
            let said = data["why"].as_str().unwrap_or_default();
            assert!(said.contains(why), "{name}: {data}");
            data
        };
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        let data = heard("gate.admit", "imaps");
        assert!(
            data["seconds"]
                .as_u64()
                .is_some_and(|seconds| (50..=60).contains(&seconds)),
            "{data}"
        );
        assert!(caller.ssh(SSH).is_in());
        heard("gate.remove", "closed");
        // The closed session's last packets end the listing as its first FIN did: nothing is to be left of it.
        let is_over = || {
            let sockets = ["tcp", "tcp6"].map(|table| scene.home.house.router().proc_net(table));
            let states = sockets.iter().flat_map(|table| table.lines());
            let of_ssh = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words[1].ends_with(":0016") && !AT_REST.contains(&words[3])
            };
            !states.into_iter().any(of_ssh)
        };
        assert!(within(SOON, is_over), "the session is over");
        std::thread::sleep(Duration::from_millis(500));
        scene.admit(&address);
        heard("gate.admit", "");
        scene
            .home
            .daemon
            .must("gate_remove", &json!({ "gate": "ssh", "address": address }));
        heard("gate.remove", "");
        assert!(scene.home.daemon.logs(&address, SOON), "and the log names it");
    }
    let address = "203.0.113.77";
    let grant = json!({ "gate": "ssh", "address": address, "seconds": 1 });
    scene.home.daemon.must("gate_admit", &grant);
    assert_eq!(subscriber.hear("gate.admit")["seconds"], json!(1));
    let data = subscriber.hear("gate.remove");
    assert_eq!((&data["address"], &data["why"]), (&json!(address), &json!("expired")));
    subscriber.hears_nothing(Duration::from_millis(300));
}

#[test]
fn a_reload_with_other_options_keeps_who_is_listed() {
    let first = router_gated("option forget 'never'\noption window '300'\noption size '64'");
    let Some(mut scene) = Scene::start(with_mail(), &first) else {
        return;
    };
    for family in FAMILIES {
        assert_eq!(scene.caller("internet", family).check_mail(IMAPS), Ok(()));
    }
    let grant = json!({ "gate": "ssh", "address": "203.0.113.77", "seconds": 500 });
    scene.home.daemon.must("gate_admit", &grant);
    let before = scene.listed();
    assert_eq!(before.len(), 3, "{before:?}");
    for options in [
        "option forget 'never'\noption window '200'\noption size '64'",
        "option forget 'last_close'\noption window '200'\noption size '32'",
        "option forget 'never'\noption window '200'\noption size '8192'\noption refuse 'reset'",
    ] {
        scene.home.reload_gated(&router_gated(options));
        for (address, seconds) in &before {
            let now = scene
                .seconds(address)
                .unwrap_or_else(|| panic!("{options}: {address} is gone: {:?}", scene.listed()));
            assert!(
                now <= *seconds && now + 30 >= (*seconds).min(200),
                "{options}: {address}: {seconds} before, {now} now"
            );
        }
    }
    for family in FAMILIES {
        assert!(scene.caller("internet", family).ssh(SSH).is_in(), "{family}");
    }
    // The new window is for whoever is seen from now on.
    scene.home.reload_gated(&router_gated("option window '20'"));
    assert_eq!(scene.caller("internet", Family::V4).check_mail(IMAPS), Ok(()));
    assert!(
        scene.seconds("203.0.113.9").is_some_and(|seconds| seconds <= 20),
        "{:?}",
        scene.listed()
    );
    // first_fin by now.
    assert!(scene.caller("internet", Family::V4).ssh(SSH).is_in());
    assert_eq!(scene.caller("internet", Family::V4).ssh(SSH), Login::Refused);
}

#[test]
fn neighbours_in_a_network_of_64_bits_are_one_source_if_so_configured() {
    let options = |prefix: u8| router_gated(&format!("option forget 'never'\noption prefix6 '{prefix}'"));
    let Some(mut scene) = Scene::start(with_mail(), &options(128)) else {
        return;
    };
    let neighbour = |scene: &Scene| scene.caller("internet2", Family::V6).ssh(SSH);
    assert_eq!(scene.caller("internet", Family::V6).check_mail(IMAPS), Ok(()));
    assert_eq!(neighbour(&scene), Login::Refused, "128 bits");
    scene.home.reload_gated(&options(64));
    assert_eq!(scene.caller("internet", Family::V6).check_mail(IMAPS), Ok(()));
    assert!(neighbour(&scene).is_in(), "64 bits: {:?}", scene.listed());
    assert!(scene.caller("internet", Family::V6).ssh(SSH).is_in());
    assert_eq!(
        scene.caller("internet2", Family::V4).ssh(SSH),
        Login::Refused,
        "IPv4 has no such networks"
    );
    scene
        .home
        .daemon
        .must("gate_remove", &json!({ "gate": "ssh", "address": "2001:db8:9::1234" }));
    assert_eq!(neighbour(&scene), Login::Refused, "removed by any address of it");
    scene.admit("2001:db8:9::4321");
    assert!(neighbour(&scene).is_in(), "admitted by any address of it");
}

#[test]
fn a_full_list_refuses_newcomers_and_keeps_who_is_there() {
    let Some(scene) = Scene::start(with_mail(), &router_gated("option forget 'never'\noption size '1'")) else {
        return;
    };
    for family in FAMILIES {
        let (first, second) = (scene.caller("internet", family), scene.caller("internet2", family));
        assert_eq!(first.check_mail(IMAPS), Ok(()));
        assert_eq!(second.check_mail(IMAPS), Ok(()));
        assert_eq!(second.ssh(SSH), Login::Refused, "{family}");
        assert!(first.ssh(SSH).is_in(), "{family}");
        assert_eq!(
            first.check_mail(IMAPS),
            Ok(()),
            "{family}: seen again where the list is full"
        );
    }
    assert_eq!(scene.count("entries"), 2);
    assert!(scene.count("overflow") >= 2);
    let address = json!({ "gate": "ssh", "address": "203.0.113.77" });
    let reply = scene.home.daemon.call("gate_admit", &address).expect("it answers");
    assert!(reply["error"].is_string(), "by hand neither: {reply}");
}

#[test]
fn every_wan_is_gated() {
    let firewall = Firewall::refusing(Refusal::Reject).with(allow(IMAPS)).with(allow(SSH));
    let Some(scene) = Scene::of(House::plan().with_second_wan(), firewall, &router_gated("")) else {
        return;
    };
    for family in FAMILIES {
        let second = scene.home.house.router_address("wanb", family);
        let caller = scene.call("internet2", second);
        assert_eq!(caller.ssh(SSH), Login::Refused, "{family} straight");
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        assert_eq!(caller.ssh(SSH), at(second, SSH), "{family} after mail");
        assert_eq!(caller.ssh(SSH), Login::Refused, "{family} after that");
    }
}

#[test]
fn each_gate_has_a_list_of_its_own() {
    let other = "\nconfig gate 'web'\n\toption enabled '1'\n\tlist service 'tcp:2022'\n\nconfig witness 'smtps'\n\toption gate 'web'\n\toption port '465'\n";
    let config = router_gated("option forget 'never'") + other;
    let Some(mut scene) = Scene::start(with_mail().with(allow(465)), &config) else {
        return;
    };
    let router = scene.home.house.router();
    let more = [
        Server::openssh(router, 2022, &scene.keys),
        Server::imaps(router, 465, &scene.keys),
    ];
    scene.servers.extend(more);
    for family in FAMILIES {
        let caller = scene.caller("internet", family);
        assert_eq!(caller.check_mail(IMAPS), Ok(()));
        assert!(caller.ssh(SSH).is_in(), "{family}");
        assert_eq!(caller.ssh(2022), Login::Refused, "{family}");
        assert_eq!(caller.check_mail(465), Ok(()));
        assert!(caller.ssh(2022).is_in(), "{family}");
        assert_eq!(caller.ssh(2022), Login::Refused, "{family}: its end shuts its own gate");
        assert!(caller.ssh(SSH).is_in(), "{family}: and not the other");
    }
}

/// Hears the daemon's notifications.
struct Subscriber {
    news: Receiver<(String, Value)>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    fn start(socket: &Path) -> Self {
        const OBJECT: Object = Object {
            name: "gate-test",
            methods: &[],
        };
        let (says, news) = channel();
        let (up, comes_up) = channel();
        let (end, mut ends) = tokio::sync::oneshot::channel::<()>();
        let socket = socket.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut bus = Bus::new(socket, OBJECT);
                bus.subscribe("lanward");
                loop {
                    let incoming = tokio::select! {
                        incoming = bus.next() => incoming,
                        _ = &mut ends => return bus.close().await,
                    };
                    match incoming {
                        Incoming::Subscribed { .. } => drop(up.send(())),
                        Incoming::Notification { name, data, .. } => drop(says.send((name, Value::Object(data)))),
                        _ => {}
                    }
                }
            });
        });
        comes_up.recv_timeout(SOON).expect("it is subscribed");
        Self {
            news,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// The next notification of the gate, which must be this one.
    fn hear(&self, name: &str) -> Value {
        let end = Instant::now() + SOON;
        loop {
            match self.news.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((heard, data)) if heard.starts_with("gate.") => {
                    assert_eq!(heard, name, "{data}");
                    return data;
                }
                Ok(_) => {}
                Err(error) => panic!("no {name}: {error}"),
            }
        }
    }

    fn hears_nothing(&self, moment: Duration) {
        if let Ok((name, data)) = self.news.recv_timeout(moment) {
            assert!(!name.starts_with("gate."), "{name} {data}");
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
