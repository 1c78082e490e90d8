//! What conntrack says of TCP sessions that a flow table forwards past the rules. Where the kernel has no flow tables: `tests/vm/run.sh` with this program.

#![allow(clippy::unwrap_used)]

use lanward::system::conntrack::{Conntrack, Session};
use lanward_rig::namespace::Namespace;
use lanward_rig::report_line::{figure, skip, this_test};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A host outside, the router, and a host behind it.
struct Way {
    outside: Namespace,
    router: Namespace,
    lan: Namespace,
}

/// Whether the flow table has `counter`, as fw4's has since March 2023.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Counting,
    Silent,
}

/// Seconds without a packet after which a flow leaves the flow table (30 by default).
const IDLE: u64 = 4;

impl Way {
    /// `None`, and loudly so, where there are no flow tables.
    fn build(table: Table) -> Option<Self> {
        if !Namespace::can_be_made(&this_test()) {
            return None;
        }
        let [outside, router, lan] = [(); 3].map(|()| Namespace::new().unwrap());
        let way = Self { outside, router, lan };
        let router = &way.router;
        for (device, host, v4, v6) in [
            ("wan0", &way.outside, "198.51.100", "2001:db8:1:"),
            ("lan0", &way.lan, "192.168.7", "2001:db8:7:"),
        ] {
            router.ip(&format!(
                "link add {device} type veth peer name eth0 netns {}\n",
                host.path()
            ));
            router.ip(&format!(
                "addr add {v4}.1/24 dev {device}\naddr add {v6}:1/64 dev {device}\nlink set {device} up\n"
            ));
            host.ip(&format!(
                "addr add {v4}.2/24 dev eth0\naddr add {v6}:2/64 dev eth0\nlink set eth0 up\n"
            ));
            host.ip(&format!("route add default via {v4}.1\nroute add default via {v6}:1\n"));
        }
        router.sysctl("net/ipv4/ip_forward", "1").unwrap();
        router.sysctl("net/ipv6/conf/all/forwarding", "1").unwrap();
        let counter = if table == Table::Counting { "counter;" } else { "" };
        let script = format!(
            "table inet fw {{
	flowtable ft {{ hook ingress priority 0; devices = {{ lan0, wan0 }}; {counter} }}
	counter seen {{ }}
	counter closing {{ }}
	chain mangle {{
		type filter hook prerouting priority mangle;
		meta l4proto tcp counter name seen
		tcp flags fin,rst counter name closing
	}}
	chain dstnat {{
		type nat hook prerouting priority dstnat;
		iifname wan0 tcp dport 2222 dnat ip to 192.168.7.2:22
	}}
	chain forward {{
		type filter hook forward priority filter;
		meta l4proto {{ tcp, udp }} flow add @ft
	}}
}}
"
        );
        let loaded = router.output("nft", &["-f", "-"], &script).unwrap();
        if !loaded.status.success() {
            // It is that, and nothing else, which is missing.
            let without: Vec<&str> = script.lines().filter(|line| !line.contains("flow")).collect();
            router.nft(&without.join("\n"));
            skip(
                &this_test(),
                "the kernel here has no flow tables: tests/vm/run.sh with this program",
            );
            return None;
        }
        router
            .sysctl("net/netfilter/nf_flowtable_tcp_timeout", &IDLE.to_string())
            .unwrap();
        way.count(true);
        Some(way)
    }

    /// Switches accounting.
    fn count(&self, on: bool) {
        let value = if on { "1" } else { "0" };
        self.router.sysctl("net/netfilter/nf_conntrack_acct", value).unwrap();
    }

    fn connect(&self, address: &str, at: &str) -> Connection {
        let listener = self.lan.tcp_listener(at.parse().unwrap());
        let address: SocketAddr = address.parse().unwrap();
        let client = self.outside.run(|| TcpStream::connect(address)).unwrap();
        let server = listener.accept().unwrap().0;
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
            end.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        }
        Connection { client, server }
    }

    fn sessions(&self) -> Vec<Session> {
        self.router
            .run(|| Conntrack::open().unwrap().sessions(&mut |_| true).unwrap())
    }

    /// The session to this port, once it is as it should be.
    fn wait_for(&self, port: u16, wanted: impl Fn(&Session) -> bool) -> Session {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let sessions = self.sessions();
            let ours = sessions.iter().find(|session| session.flow.original.dest_port == port);
            if let Some(session) = ours.filter(|session| wanted(session)) {
                return *session;
            }
            assert!(Instant::now() < end, "{sessions:#?}\n{}", self.by_tool(port));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn session(&self, port: u16) -> Session {
        self.wait_for(port, |_| true)
    }

    /// What `conntrack -L` says of the session to this port.
    fn by_tool(&self, port: u16) -> String {
        let families = ["ipv4", "ipv6"];
        let texts = families.map(|family| self.router.must("conntrack", &["-L", "-p", "tcp", "-f", family], ""));
        let port = format!(" dport={port} ");
        let texts = texts.concat();
        texts.lines().filter(|line| line.contains(&port)).collect()
    }

    /// Packets that the rules have seen so far.
    fn seen(&self) -> u64 {
        self.router.nft_counter("fw", "seen")
    }
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    /// Each asks and is answered so many times, with 100 bytes.
    fn talk(&mut self, rounds: u32) {
        let mut bytes = [7; 100];
        for _ in 0..rounds {
            self.client.write_all(&bytes).unwrap();
            self.server.read_exact(&mut bytes).unwrap();
            self.server.write_all(&bytes).unwrap();
            self.client.read_exact(&mut bytes).unwrap();
        }
    }
}

/// The ways in: a forwarded port, a host's own, IPv6.
const WAYS: [(&str, &str, u16); 3] = [
    ("198.51.100.1:2222", "192.168.7.2:22", 2222),
    ("192.168.7.2:993", "192.168.7.2:993", 993),
    ("[2001:db8:7::2]:22", "[2001:db8:7::2]:22", 22),
];

fn total(session: &Session) -> Option<u64> {
    session.packets.map(|[original, reply]| original + reply)
}

/// With `counter` in the flow table a flow's counters go on, though the rules see none of its packets.
#[test]
fn counters_move_where_the_flow_table_counts() {
    let Some(way) = Way::build(Table::Counting) else { return };
    for (address, at, port) in WAYS {
        let mut connection = way.connect(address, at);
        connection.talk(5);
        let before = way.wait_for(port, |session| session.offloaded);
        assert!(before.established, "{before:?}");
        let shown = way.by_tool(port);
        assert!(shown.contains("[OFFLOAD]") && !shown.contains("ESTABLISHED"), "{shown}");
        let seen = way.seen();
        connection.talk(100);
        let after = way.session(port);
        let unseen = way.seen() - seen;
        assert!(after.offloaded && after.established, "{after:?}");
        let moved = total(&after).unwrap() - total(&before).unwrap();
        assert!(moved >= 200, "{before:?} {after:?}");
        assert!(unseen < 10, "the rules saw {unseen} of {moved} packets");
        let (before, after) = (before.bytes.unwrap(), after.bytes.unwrap());
        for direction in 0..2 {
            assert!(after[direction] - before[direction] >= 100 * 100);
        }
        figure(
            &this_test(),
            &format!("{address}: of {moved} packets the rules saw {unseen}, conntrack counted all"),
        );
        // Nothing moves by itself.
        let quiet = way.session(port);
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(way.session(port).packets, quiet.packets);
    }
}

/// Without `counter` they stand still while the flow goes on. What tells that it lives is that it is in the flow table: without packets it is out of it
/// after `nf_flowtable_tcp_timeout`.
#[test]
fn where_it_does_not_count_being_offloaded_means_being_alive() {
    let Some(way) = Way::build(Table::Silent) else { return };
    let mut connections = Vec::new();
    for (address, at, port) in WAYS {
        let mut connection = way.connect(address, at);
        connection.talk(5);
        let before = way.wait_for(port, |session| session.offloaded);
        connection.talk(100);
        let after = way.session(port);
        assert!(after.offloaded && after.established, "{after:?}");
        let moved = total(&after).unwrap() - total(&before).unwrap();
        assert!(moved < 10, "{before:?} {after:?}");
        connections.push((port, connection));
    }

    // Alive for longer than that with a packet now and then.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(IDLE * 2) {
        for (port, connection) in &mut connections {
            connection.talk(1);
            assert!(way.session(*port).offloaded);
        }
        std::thread::sleep(Duration::from_secs(IDLE / 4));
    }
    let quiet = Instant::now();
    for (port, connection) in &mut connections {
        let idle = way.wait_for(*port, |session| !session.offloaded);
        let after = quiet.elapsed();
        assert!(idle.established, "{idle:?}");
        assert!(
            after >= Duration::from_secs(IDLE - 2),
            "out of the flow table after {after:?}"
        );
        assert!(way.by_tool(*port).contains("ESTABLISHED"));
        let shown = format!("port {port}: out of the flow table {after:.1?} after the last packet (timeout {IDLE} s)");
        figure(&this_test(), &shown);
        // The next packets are the rules' again, and bring it back.
        let seen = way.seen();
        connection.talk(5);
        assert!(way.seen() > seen);
        assert!(total(&way.session(*port)) > total(&idle));
        way.wait_for(*port, |session| session.offloaded && session.established);
    }
}

impl Way {
    /// Waits until the rules have seen more packets with FIN or RST than this.
    fn wait_for_closing(&self, before: u64) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.router.nft_counter("fw", "closing") == before {
            assert!(Instant::now() < end, "the rules saw no FIN and no RST");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The rules see the FIN, and the session is neither offloaded nor established from then on.
#[test]
fn fin_ends_the_offload_and_the_session() {
    let Some(way) = Way::build(Table::Counting) else { return };
    for (address, at, port) in WAYS {
        let mut connection = way.connect(address, at);
        connection.talk(50);
        way.wait_for(port, |session| session.offloaded);
        let closing = way.router.nft_counter("fw", "closing");
        drop(connection.client);
        way.wait_for_closing(closing);
        let session = way.session(port);
        assert!(
            !session.offloaded && !session.established,
            "{session:?} {}",
            way.by_tool(port)
        );
    }
}

/// The rules see the RST, and it ends the offload. But conntrack has not seen the sequence numbers meanwhile, so that it takes the RST for one that may be
/// wrong: to it the session stays established until `nf_conntrack_tcp_timeout_close`. Only the counters stand still.
#[test]
fn rst_ends_the_offload_and_later_the_session() {
    let Some(way) = Way::build(Table::Counting) else { return };
    way.router
        .sysctl("net/netfilter/nf_conntrack_tcp_timeout_close", "5")
        .unwrap();
    for (address, at, port) in WAYS {
        let mut connection = way.connect(address, at);
        connection.talk(50);
        way.wait_for(port, |session| session.offloaded);
        let closing = way.router.nft_counter("fw", "closing");
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        nix::sys::socket::setsockopt(&connection.client, nix::sys::socket::sockopt::Linger, &at_once).unwrap();
        drop(connection.client);
        way.wait_for_closing(closing);
        let after = Instant::now();
        let first = way.session(port);
        assert!(!first.offloaded, "{first:?}");
        let mut established = false;
        while let Some(session) = way.sessions().iter().find(|session| session.flow == first.flow) {
            assert!(!session.offloaded && session.packets == first.packets, "{session:?}");
            assert!(after.elapsed() < Duration::from_secs(30), "{session:?}");
            established |= session.established;
            std::thread::sleep(Duration::from_millis(50));
        }
        let shown = format!(
            "{address}: gone {:.1?} after the RST, established until then: {established}",
            after.elapsed()
        );
        figure(&this_test(), &shown);
    }
}

/// What a rule asks of a session's bytes it asks of the packets that it sees: of those before the offload. That the bytes came later only conntrack tells.
#[test]
fn rules_do_not_see_the_bytes_of_an_offloaded_session() {
    for table in [Table::Counting, Table::Silent] {
        let Some(way) = Way::build(table) else { return };
        way.count(false);
        way.router.nft(
            "table inet fw {
	counter proved { }
	chain mangle {
		tcp dport 993 ct state established ct direction original tcp flags & (fin|syn|rst) == 0 ct original bytes >= 2000 counter name proved
	}
}
",
        );
        // The rule itself has switched accounting on.
        let accounting = way
            .router
            .run(|| std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_acct"))
            .unwrap();
        assert_eq!(accounting.trim(), "1");
        let (address, at, port) = WAYS[1];
        let mut connection = way.connect(address, at);
        connection.talk(100);
        let session = way.wait_for(port, |session| session.offloaded);
        assert_eq!(way.router.nft_counter("fw", "proved"), 0);
        assert_eq!(
            session.bytes.unwrap()[0] >= 10_000,
            table == Table::Counting,
            "{session:?}"
        );
    }
}

/// Without accounting there are no counters, offloaded or not.
#[test]
fn without_accounting_only_being_offloaded_is_told() {
    let Some(way) = Way::build(Table::Counting) else { return };
    way.count(false);
    let (address, at, port) = WAYS[0];
    let mut connection = way.connect(address, at);
    connection.talk(50);
    let session = way.wait_for(port, |session| session.offloaded);
    assert!(session.established && session.bytes.is_none() && session.packets.is_none());
}
