//! The rig's real servers and clients, without anything of lanward's between them.

use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::namespace::Namespace;
use lanward_rig::probe::Connection;
use lanward_rig::report_line::this_test;
use lanward_rig::scan::{nmap, nmap_all, Scan};
use lanward_rig::servers::{Keys, Login, Server};
use lanward_rig::settings::{Firewall, Refusal};
use serde_json::{json, Value};

fn house() -> Option<House> {
    Namespace::can_be_made(&this_test()).then(|| House::plan().build().expect("namespaces work"))
}

#[test]
fn real_servers_answer_real_clients() {
    let Some(house) = house() else { return };
    let keys = Keys::make(&house);
    let (lan, lan2) = (house.host("lan"), house.host("lan2"));
    let servers = [
        Server::openssh(&lan2.namespace, 22, &keys),
        Server::dropbear(&lan2.namespace, 2222, &keys),
        Server::imaps(&lan2.namespace, 993, &keys),
    ];
    for family in FAMILIES {
        let caller = keys.call(lan, lan2.address(family));
        for port in [22, 2222] {
            let server = format!("{} {port}", lan2.address(family));
            assert_eq!(caller.ssh(port), Login::In(server), "{}", servers[0].log());
            let mut session = caller.ssh_session(port);
            assert!(session.echoes());
            session.close();
        }
        assert_eq!(caller.ssh(23), Login::Refused);
        assert_eq!(caller.check_mail(993), Ok(()), "{}", servers[2].log());
        let mut session = caller.mail_session(993);
        assert!(session.mail_answers());
        session.log_out();
        caller.check_mail(994).expect_err("nobody listens there");
    }
    drop(servers);
    let caller = keys.call(lan, lan2.address(Family::V4));
    assert_eq!(caller.ssh(22), Login::Refused, "they are gone");
    caller.check_mail(993).expect_err("they are gone");
}

/// Recorded from a router: what a service publishes for fw4.
fn published() -> Vec<Value> {
    let mark = "0x10000000/0x10000000";
    #[rustfmt::skip]
    let rules = json!([
        { "type": "rule", "name": "gate ssh", "src": "wan", "proto": "tcp", "dest_port": "22", "mark": mark, "target": "ACCEPT" },
        { "type": "redirect", "name": "gate ssh2", "src": "wan", "src_dport": "2222", "proto": "tcp", "dest": "lan",
          "dest_ip": "192.168.77.100", "dest_port": "22", "mark": mark, "target": "DNAT", "reflection": "0" },
        { "type": "rule", "name": "gate ssh3", "src": "wan", "proto": "tcp", "dest": "lan", "dest_ip": "fd77::100",
          "dest_port": "22", "mark": mark, "target": "ACCEPT" },
    ]);
    rules.as_array().cloned().expect("written so above")
}

#[test]
fn fw4_admits_by_service_data_what_is_marked_and_nothing_else() {
    let Some(mut house) = house() else { return };
    let keys = Keys::make(&house);
    let _servers = [
        Server::openssh(house.router(), 22, &keys),
        Server::dropbear(&house.host("lan").namespace, 22, &keys),
    ];
    house.set_firewall(Firewall::default());
    house.publish(published());
    let router = |family| house.router_address("wan", family);
    let lan = house.host("lan").address(Family::V6);
    let ways = [
        (router(Family::V4), 22, "198.51.100.2 22"),
        (router(Family::V6), 22, "2001:db8:1::2 22"),
        (router(Family::V4), 2222, "192.168.77.100 22"),
        (lan, 22, "fd77::100 22"),
    ];
    let outcomes = |expected: &dyn Fn(&str) -> Login, what: &str| {
        for (to, port, server) in ways {
            let login = keys.call(house.host("internet"), to).ssh(port);
            assert_eq!(login, expected(server), "{what}: {to} {port}");
        }
    };
    outcomes(&|_| Login::Refused, "no mark");
    let mark = |expression: &str| {
        house.router().nft(&format!(
            "table inet marks\ndelete table inet marks\ntable inet marks {{ chain c {{ type filter hook prerouting priority -150; {expression}; }}; }}\n"
        ));
    };
    mark("meta mark set 0x0fffffff");
    outcomes(&|_| Login::Refused, "every other bit");
    mark("ct state new meta mark set mark or 0x10000000");
    outcomes(&|server| Login::In(server.to_owned()), "the mark");
    house.router().nft("delete table inet marks\n");
    outcomes(&|_| Login::Refused, "no mark any more");
}

#[test]
fn the_wan_refuses_as_the_firewall_says() {
    let Some(mut house) = house() else { return };
    for (firewall, router, lan) in [
        (Firewall::default(), Connection::Reset, Connection::Reset),
        (
            Firewall::refusing(Refusal::Reject),
            Connection::Reset,
            Connection::Reset,
        ),
        (
            Firewall::refusing(Refusal::Drop),
            Connection::Silent,
            Connection::Silent,
        ),
    ] {
        house.set_firewall(firewall);
        for family in FAMILIES {
            let to_router = house.way("internet", "router").over(family);
            let to_router = to_router.through(house.router_address("wan", family));
            assert_eq!(to_router.tcp_unheard(22), router, "{family} to the router");
        }
        let to_lan = house.way("internet", "lan").over(Family::V6);
        assert_eq!(to_lan.tcp_unheard(22), lan, "to the LAN");
    }
    let allowed = json!({ "type": "rule", "name": "Allow-SSH", "src": "wan", "proto": "tcp", "dest_port": "22", "target": "ACCEPT" });
    house.set_firewall(Firewall::refusing(Refusal::Drop).with(allowed));
    let _server = house.router().tcp_listener("0.0.0.0:22".parse().expect("an address"));
    let way = house
        .way("internet", "router")
        .through(house.router_address("wan", Family::V4));
    assert_eq!(way.tcp_unheard(22), Connection::Accepted);
}

#[test]
fn a_scanner_tells_open_closed_and_filtered_apart() {
    let Some(mut house) = house() else { return };
    house.set_firewall(Firewall::refusing(Refusal::Drop));
    let (lan, lan2) = (house.host("lan"), house.host("lan2"));
    for family in FAMILIES {
        let _listener = lan2.namespace.tcp_listener(lan2.socket(family, 22));
        for (scan, seen) in nmap_all(&lan.namespace, lan2.address(family), &[22, 23]) {
            let expected = match scan {
                Scan::Syn => (("open", "syn-ack"), ("closed", "reset")),
                Scan::Connect => (("open", "syn-ack"), ("closed", "conn-refused")),
                Scan::Ack => (("unfiltered", "reset"), ("unfiltered", "reset")),
                Scan::Fin | Scan::Xmas | Scan::Null => (("open|filtered", "no-response"), ("closed", "reset")),
            };
            assert_eq!((seen[&22].words(), seen[&23].words()), expected, "{family} {scan:?}");
        }
        let router = house.router_address("wan", family);
        let seen = nmap(&house.host("internet").namespace, Scan::Syn, router, &[22, 23]);
        assert!(
            seen.values()
                .all(|verdict| verdict.words() == ("filtered", "no-response")),
            "{seen:?}"
        );
    }
}
