//! conntrack over netlink on real flows through a router in network namespaces, beside what `conntrack -L` says.

#![allow(clippy::unwrap_used)]

mod namespaces;

use lanward::config::Subnet;
use lanward::lan_only::{Scope, Terms};
use lanward::network::Device;
use lanward::nft::PortRange;
use lanward::sorted::Set;
use lanward::system::conntrack::{Conntrack, Deleted, Flow, Session};
use lanward::system::links::Reader;
use lanward_rig::namespace::bind;
use namespaces::{possible, skip, Namespace};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const UDP: u8 = 17;

/// A LAN host, a router that masquerades IPv4 and routes IPv6, a VPN host, and a host outside.
struct House {
    lan: Namespace,
    router: Namespace,
    vpn: Namespace,
    outside: Namespace,
}

impl House {
    fn build() -> Self {
        let house = Self {
            lan: Namespace::new("lan"),
            router: Namespace::new("router"),
            vpn: Namespace::new("vpn"),
            outside: Namespace::new("outside"),
        };
        for (device, host, v4, v6) in [
            ("lan0", &house.lan, "192.168.7", "2001:db8:7:"),
            ("vpn0", &house.vpn, "10.7.0", "2001:db8:8:"),
            ("wan0", &house.outside, "198.51.100", "2001:db8:9:"),
        ] {
            house.router.cable(device, host, "eth0");
            house.router.run(&format!("ip address add {v4}.1/24 dev {device}"));
            house
                .router
                .run(&format!("ip address add {v6}:1/64 dev {device} nodad"));
            host.run(&format!("ip address add {v4}.2/24 dev eth0"));
            host.run(&format!("ip address add {v6}:2/64 dev eth0 nodad"));
            host.run(&format!("ip route add default via {v4}.1"));
            host.run(&format!("ip route add default via {v6}:1"));
        }
        house.router.run("ip route add default via 198.51.100.2");
        house.router.run("ip route add default via 2001:db8:9::2");
        house
            .router
            .run("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        track(&house.router);
        house.router.run("nft add table ip nat");
        house
            .router
            .run("nft add chain ip nat masq { type nat hook postrouting priority 100 ; }");
        house.router.run("nft add rule ip nat masq oifname wan0 masquerade");
        house
    }
}

/// Has every packet in a namespace tracked.
fn track(namespace: &Namespace) {
    namespace.run("nft add table inet track");
    namespace.run("nft add chain inet track seen { type filter hook prerouting priority 0 ; }");
    namespace.run("nft add rule inet track seen ct state new counter");
}

/// Sends a datagram from each port to each destination.
fn send(from: &Namespace, ports: &[u16], dests: &[&str]) {
    let ports = ports.to_vec();
    let dests: Vec<std::net::SocketAddr> = dests.iter().map(|dest| dest.parse().unwrap()).collect();
    from.enter(move || {
        for dest in dests {
            let any = if dest.is_ipv4() { "0.0.0.0" } else { "::" };
            for port in &ports {
                let socket = bind(|| UdpSocket::bind((any, *port))).unwrap();
                socket.send_to(b"hello", dest).unwrap();
            }
        }
    });
    std::thread::sleep(Duration::from_millis(50));
}

fn flows(namespace: &Namespace) -> Vec<Flow> {
    namespace.enter(|| Conntrack::open().unwrap().flows(UDP, &mut |_| true).unwrap())
}

/// A flow as `conntrack -L` shows it: id, then addresses and ports of both directions.
type Shown = (u32, Vec<IpAddr>, Vec<u16>, u16);

/// What `conntrack -L` says, line by line.
fn lines_of_conntrack_tool(namespace: &Namespace, protocol: &str) -> Vec<String> {
    let families = ["ipv4", "ipv6"].iter();
    let texts = families.map(|family| namespace.run(&format!("conntrack -L -p {protocol} -f {family} -o id")));
    texts
        .flat_map(|text| text.lines().map(str::to_string).collect::<Vec<_>>())
        .collect()
}

/// The values of such keys in a line, in its order.
fn values<T: std::str::FromStr<Err: std::fmt::Debug>>(line: &str, keys: &[&str]) -> Vec<T> {
    let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
    let found = pairs.filter(|(key, _)| keys.contains(key));
    found.map(|(_, value)| value.parse().unwrap()).collect()
}

fn shown_in(line: &str) -> Shown {
    let zones = values(line, &["zone", "zone-orig"]);
    (
        values(line, &["id"])[0],
        values(line, &["src", "dst"]),
        values(line, &["sport", "dport"]),
        zones.first().copied().unwrap_or(0),
    )
}

fn by_conntrack_tool(namespace: &Namespace) -> BTreeSet<Shown> {
    let lines = lines_of_conntrack_tool(namespace, "udp");
    lines.iter().map(|line| shown_in(line)).collect()
}

fn shown(flows: &[Flow]) -> BTreeSet<Shown> {
    flows.iter().map(shown_flow).collect()
}

fn shown_flow(flow: &Flow) -> Shown {
    let (a, b) = (flow.original, flow.reply);
    let addresses = vec![a.source, a.dest, b.source, b.dest];
    let ports = vec![a.source_port, a.dest_port, b.source_port, b.dest_port];
    (flow.id, addresses, ports, flow.zone)
}

#[test]
fn exactly_the_flows_in_scope_are_cut() {
    if !possible(&["conntrack", "nft", "sysctl"]) {
        return;
    }
    let house = House::build();
    let far = [
        "198.51.100.2:40001",
        "198.51.100.2:443",
        "198.51.100.2:65535",
        "[2001:db8:9::2]:40001",
        "[2001:db8:9::2]:53",
    ];
    send(&house.lan, &[50000, 50001], &far);
    send(
        &house.lan,
        &[50002],
        &["10.7.0.2:40001", "[2001:db8:8::2]:40001", "192.168.7.1:40001"],
    );
    send(&house.vpn, &[50003], &["192.168.7.2:40001", "[2001:db8:7::2]:40001"]);
    send(
        &house.router,
        &[50004],
        &["198.51.100.2:40001", "[2001:db8:9::2]:40001"],
    );
    send(&house.outside, &[45000], &["[2001:db8:7::2]:3000"]);

    let before = flows(&house.router);
    assert_eq!(shown(&before), by_conntrack_tool(&house.router));
    assert_eq!(before.len(), 10 + 3 + 2 + 2 + 1);

    let links = house.router.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { Reader::open().unwrap().read().await.unwrap() })
    });
    let (lan0, wan0) = (Device::Named("lan0".to_string()), Device::Named("wan0".to_string()));
    let (sources, dests) = (Set::from([lan0]), Set::from([wan0]));
    let ports = [PortRange { from: 40001, to: 65535 }];
    let none = Subnet {
        address: "203.0.113.0".parse().unwrap(),
        prefix: 24,
    };
    let terms = Terms {
        sources: &sources,
        dests: &dests,
        ports: &ports,
        hosts: &[],
        except_hosts: &[],
        except_dests: &[none],
        mirror: false,
        redirects: &[],
        links: &links,
        learned: &[],
    };
    let outbound = Scope::new(&terms);
    let both = Scope::new(&Terms { mirror: true, ..terms });
    let (cut, deleted) = house.router.enter(move || {
        let mut conntrack = Conntrack::open().unwrap();
        let cut = conntrack.flows(UDP, &mut |flow| outbound.cuts(flow)).unwrap();
        let deleted = all(&conntrack.delete(&cut));
        (cut, deleted)
    });
    assert_eq!(deleted, 6, "{cut:?}");
    assert!(cut
        .iter()
        .all(|flow| matches!(flow.original.source_port, 50000 | 50001) && flow.original.dest_port > 40000));
    let after = flows(&house.router);
    let mut expected = before;
    expected.retain(|flow| !cut.contains(flow));
    assert_eq!(after, expected);
    assert_eq!(shown(&after), by_conntrack_tool(&house.router));

    let inbound: Vec<Flow> = after.into_iter().filter(|flow| both.cuts(flow)).collect();
    assert_eq!(inbound.len(), 1, "{inbound:?}");
    assert_eq!(inbound[0].original.source_port, 45000);
}

/// How many, if none was left.
fn all(deleted: &Deleted) -> u32 {
    assert!(deleted.error.is_none(), "{deleted:?}");
    deleted.flows
}

/// As kernels refuse to delete what is offloaded, until June 2023.
#[test]
fn what_the_kernel_refuses_to_delete_keeps_nothing_else() {
    if !possible(&["nft"]) {
        return;
    }
    let namespace = Namespace::new("refused");
    track(&namespace);
    let sources: Vec<u16> = (50_000..50_200).collect();
    send(&namespace, &sources, &["127.0.0.1:40001"]);
    let mut found = flows(&namespace);
    assert_eq!(found.len(), 200);
    // ICMP has no ports: the kernel takes these for no flow.
    for index in [0, 130] {
        found[index].protocol = 1;
    }
    let deleted = namespace.enter(move || Conntrack::open().unwrap().delete(&found));
    assert!(deleted.error.is_some());
    assert_eq!(deleted.flows, 198);
    assert_eq!(flows(&namespace).len(), 2);
}

/// What is deleted is the entry that was seen, not another with the same addresses and ports; a second time is no error.
#[test]
fn a_successor_and_a_gone_flow_are_left_alone() {
    if !possible(&["conntrack", "nft"]) {
        return;
    }
    let namespace = Namespace::new("successor");
    track(&namespace);
    send(&namespace, &[50000], &["127.0.0.1:40001", "[::1]:40001"]);
    let first = flows(&namespace);
    assert_eq!(first.len(), 2);
    namespace.run("conntrack -F");
    // An id comes from the entry's place in memory, and the kernel may use that again at once: change it to be sure.
    send(&namespace, &[50000], &["127.0.0.1:40001", "[::1]:40001"]);
    let second = flows(&namespace);
    let stale: Vec<Flow> = second
        .iter()
        .map(|flow| Flow {
            id: flow.id ^ 0x5555,
            ..*flow
        })
        .collect();
    let (of_stale, of_real, again) = namespace.enter(move || {
        let mut conntrack = Conntrack::open().unwrap();
        let of_stale = all(&conntrack.delete(&stale));
        (
            of_stale,
            all(&conntrack.delete(&second)),
            all(&conntrack.delete(&second)),
        )
    });
    assert_eq!((of_stale, of_real, again), (0, 2, 0));
    assert!(flows(&namespace).is_empty());
}

#[test]
fn flows_in_zones_are_told_apart() {
    if !possible(&["conntrack", "nft"]) {
        return;
    }
    let namespace = Namespace::new("zones");
    track(&namespace);
    namespace.run("nft add chain inet track early { type filter hook output priority -300 ; }");
    namespace.run("nft add chain inet track early2 { type filter hook prerouting priority -300 ; }");
    for chain in ["early", "early2"] {
        if namespace
            .attempt_run(&format!(
                "nft add rule inet track {chain} udp dport 40002 ct zone set 7"
            ))
            .is_err()
        {
            return skip("the kernel has no conntrack zones");
        }
        namespace.run(&format!(
            "nft add rule inet track {chain} udp dport 40003 ct original zone set 8"
        ));
    }
    send(
        &namespace,
        &[50000],
        &["127.0.0.1:40001", "127.0.0.1:40002", "127.0.0.1:40003", "[::1]:40002"],
    );
    let found = flows(&namespace);
    assert_eq!(shown(&found), by_conntrack_tool(&namespace));
    let zones: BTreeSet<(u16, u16)> = found.iter().map(|flow| (flow.original.dest_port, flow.zone)).collect();
    assert_eq!(zones, BTreeSet::from([(40001, 0), (40002, 7), (40003, 8)]));
    assert_eq!(usize::from(u16::try_from(found.len()).unwrap()), 4);
    let deleted = namespace.enter(move || all(&Conntrack::open().unwrap().delete(&found)));
    assert_eq!(deleted, 4);
    assert!(flows(&namespace).is_empty());
}

/// 100 000 entries, as the largest routers hold: the dump must not hold up the daemon, nor a switch-on of 1 000 flows.
#[test]
fn a_full_table_is_quick() {
    if !possible(&["nft"]) {
        return;
    }
    let namespace = Namespace::new("full");
    track(&namespace);
    namespace.enter(|| {
        for source in 0..2_u16 {
            let socket = UdpSocket::bind(("127.0.0.1", 20_000 + source)).unwrap();
            for port in 1..=50_000_u16 {
                let _ = socket.send_to(b"x", ("127.0.0.1", port));
            }
        }
    });
    let (all, in_scope, dump, deletion, kept) = namespace.enter(|| {
        let mut conntrack = Conntrack::open().unwrap();
        let mut seen = 0_u32;
        let start = Instant::now();
        let kept = conntrack
            .flows(UDP, &mut |flow| {
                seen += 1;
                flow.original.source_port == 20_001 && flow.original.dest_port > 49_000
            })
            .unwrap();
        let dump = start.elapsed();
        let start = Instant::now();
        let deleted = all(&conntrack.delete(&kept));
        (seen, deleted, dump, start.elapsed(), kept.len())
    });
    eprintln!("{all} flows seen in {dump:?}, {in_scope} of {kept} deleted in {deletion:?}");
    if all < 90_000 {
        return skip("the table does not hold 100 000 flows here (nf_conntrack_max)");
    }
    assert_eq!((in_scope, kept), (1000, 1000));
    // So many that the kernel is asked to leave others out; a session of either family is none of those.
    let held = ["127.0.0.1:1001", "[::1]:1001"].map(|server| connect(&namespace, &namespace, server));
    assert_eq!(sessions(&namespace).len(), held.len());
    assert!(dump < Duration::from_secs(5) && deletion < Duration::from_secs(1));
}

/// A TCP session as `conntrack -L` shows it: the flow, the state, then packets and bytes in turn if they are counted.
type ShownSession = (Shown, String, Vec<u64>);
/// The same by flow.
type ByFlow = BTreeMap<Shown, (String, Vec<u64>)>;

fn sessions_by_conntrack_tool(namespace: &Namespace) -> BTreeSet<ShownSession> {
    shown_sessions(&lines_of_conntrack_tool(namespace, "tcp"))
}

fn shown_sessions(lines: &[String]) -> BTreeSet<ShownSession> {
    let shown = lines.iter().map(|line| {
        let state = line.split_whitespace().nth(3).unwrap().to_string();
        (shown_in(line), state, values(line, &["packets", "bytes"]))
    });
    shown.collect()
}

fn sessions(namespace: &Namespace) -> Vec<Session> {
    namespace.enter(|| Conntrack::open().unwrap().sessions(&mut |_| true).unwrap())
}

/// Those whose handshake is complete: others are not asked for.
fn complete_by_conntrack_tool(namespace: &Namespace) -> BTreeSet<ShownSession> {
    let mut lines = lines_of_conntrack_tool(namespace, "tcp");
    lines.retain(|line| line.contains("[ASSURED]"));
    shown_sessions(&lines)
}

/// The sessions, and what `conntrack -L` says of them: taken at a moment when nothing moves.
fn both_views(namespace: &Namespace) -> (Vec<Session>, ByFlow) {
    for _ in 0..20 {
        let (before, seen, after) = (
            complete_by_conntrack_tool(namespace),
            sessions(namespace),
            complete_by_conntrack_tool(namespace),
        );
        if before == after {
            let by_flow = after
                .into_iter()
                .map(|(flow, state, counters)| (flow, (state, counters)));
            return (seen, by_flow.collect());
        }
    }
    panic!("the sessions do not come to rest");
}

/// Asserts that each session is seen as `conntrack -L` shows it, and gives the states by the port they were opened to.
fn agreed(namespace: &Namespace) -> (Vec<Session>, BTreeMap<u16, BTreeSet<String>>) {
    let (seen, by_tool) = both_views(namespace);
    assert_eq!(seen.len(), by_tool.len());
    assert!(seen.is_sorted_by_key(|session| session.flow));
    let mut states: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for session in &seen {
        let (state, counters) = &by_tool[&shown_flow(&session.flow)];
        assert_eq!(session.established, state == "ESTABLISHED", "{session:?} {state}");
        let counted = session.packets.zip(session.bytes);
        let counted = counted.map_or(vec![], |(packets, bytes)| {
            vec![packets[0], bytes[0], packets[1], bytes[1]]
        });
        assert_eq!(&counted, counters, "{session:?}");
        assert!(!session.offloaded);
        let port = states.entry(session.flow.original.dest_port).or_default();
        port.insert(state.clone());
    }
    (seen, states)
}

/// A server's end and a client's of a connection through the router.
fn connect(from: &Namespace, to: &Namespace, server: &str) -> (TcpStream, TcpStream) {
    let address: SocketAddr = server.parse().unwrap();
    let listener = to.enter(move || bind(|| TcpListener::bind(address)).unwrap());
    let client = from.enter(move || TcpStream::connect(address).unwrap());
    (listener.accept().unwrap().0, client)
}

/// The client's end asks, the server's end answers, with so many bytes each.
fn talk((server, client): &mut (TcpStream, TcpStream), length: usize) {
    let mut buffer = vec![7; length];
    client.write_all(&buffer).unwrap();
    server.read_exact(&mut buffer).unwrap();
    server.write_all(&buffer).unwrap();
    client.read_exact(&mut buffer).unwrap();
}

/// Waits until a session to this port has this state.
fn wait_for_state(router: &Namespace, port: u16, state: &str) {
    for _ in 0..500 {
        let found = sessions_by_conntrack_tool(router);
        if found.iter().any(|(flow, found, _)| flow.2[1] == port && found == state) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!(
        "no session to {port} became {state}: {:?}",
        sessions_by_conntrack_tool(router)
    );
}

/// Sends the first packet of a handshake that is not to succeed, and goes on trying while the value lives.
fn attempt(from: &Namespace, server: &str) -> std::os::fd::OwnedFd {
    use nix::sys::socket::{connect, socket, AddressFamily, SockFlag, SockType, SockaddrStorage};
    use std::os::fd::AsRawFd;
    let address: SocketAddr = server.parse().unwrap();
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    from.enter(move || {
        let fd = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
        let result = connect(fd.as_raw_fd(), &SockaddrStorage::from(address));
        assert_eq!(result, Err(nix::errno::Errno::EINPROGRESS));
        fd
    })
}

#[test]
fn sessions_are_seen_as_conntrack_shows_them() {
    if !possible(&["conntrack", "nft", "sysctl"]) {
        return;
    }
    let house = House::build();
    let router = &house.router;
    router.run("sysctl -q -w net.netfilter.nf_conntrack_acct=1");
    // Ten seconds by default, which a busy machine may take for this test.
    router.run("sysctl -q -w net.netfilter.nf_conntrack_tcp_timeout_close=120");
    // Answers that never come back, and questions that never arrive.
    house.outside.run("nft add table inet deaf");
    house
        .outside
        .run("nft add chain inet deaf in { type filter hook input priority 0 ; }");
    house.outside.run("nft add rule inet deaf in tcp sport 1005 drop");
    house.lan.run("nft add table inet deaf");
    house
        .lan
        .run("nft add chain inet deaf in { type filter hook input priority 0 ; }");
    house.lan.run("nft add rule inet deaf in tcp dport 1006 drop");

    let mut open = Vec::new();
    for lan in ["192.168.7.2", "[2001:db8:7::2]"] {
        let connect = |port: u16| connect(&house.outside, &house.lan, &format!("{lan}:{port}"));
        let mut established = connect(1001);
        talk(&mut established, 1000);
        open.push(established);

        let finished = connect(1002);
        drop(finished);

        let half_closed = connect(1003);
        half_closed.1.shutdown(Shutdown::Write).unwrap();
        open.push(half_closed);

        let (server, client) = connect(1004);
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&client, sockopt::Linger, &at_once).unwrap();
        drop((client, server));
    }
    // A way out that is masqueraded: source and destination differ between the directions.
    open.push(connect(&house.lan, &house.outside, "198.51.100.2:1001"));
    let mut trying = Vec::new();
    for lan in ["192.168.7.2", "[2001:db8:7::2]"] {
        let listener = format!("{lan}:1005").parse::<SocketAddr>().unwrap();
        let listener = house.lan.enter(move || bind(|| TcpListener::bind(listener)).unwrap());
        trying.push((attempt(&house.outside, &format!("{lan}:1005")), Some(listener)));
        trying.push((attempt(&house.outside, &format!("{lan}:1006")), None));
    }
    // Not TCP.
    send(&house.outside, &[45000], &["192.168.7.2:1001", "[2001:db8:7::2]:1001"]);

    for (port, state) in [
        (1002, "TIME_WAIT"),
        (1003, "CLOSE_WAIT"),
        (1004, "CLOSE"),
        (1005, "SYN_RECV"),
        (1006, "SYN_SENT"),
    ] {
        wait_for_state(router, port, state);
    }
    let (seen, states) = agreed(router);
    // Not the half-open ones, of which a flood makes as many as the table holds.
    let expected = [
        (1001, "ESTABLISHED"),
        (1002, "TIME_WAIT"),
        (1003, "CLOSE_WAIT"),
        (1004, "CLOSE"),
    ];
    let expected = expected.map(|(port, state)| (port, BTreeSet::from([state.to_string()])));
    assert_eq!(states, BTreeMap::from(expected));
    assert_eq!(seen.len(), 9);
    let established: Vec<&Session> = seen.iter().filter(|session| session.established).collect();
    assert_eq!(established.len(), 3);

    // What moves and what does not.
    let flow_of = |stream: &TcpStream| {
        let (client, server) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let ends = [(client.ip(), client.port()), (server.ip(), server.port())];
        move |session: &&Session| {
            let original = session.flow.original;
            [
                (original.source, original.source_port),
                (original.dest, original.dest_port),
            ] == ends
        }
    };
    let moving = flow_of(&open[0].1);
    let before = *seen.iter().find(&moving).unwrap();
    assert!(before.bytes.unwrap().iter().all(|bytes| (1000..2000).contains(bytes)));
    talk(&mut open[0], 5000);
    let (after, _) = agreed(router);
    for session in &after {
        if moving(&session) {
            let both = before.bytes.unwrap().into_iter().zip(session.bytes.unwrap());
            assert!(both.into_iter().all(|(then, now)| (5000..6000).contains(&(now - then))));
        } else if session.established {
            assert!(seen.contains(session));
        }
    }

    // Nothing but TCP is shown, and only what is wanted is kept.
    let kept = router.enter(|| {
        let mut keep = |session: &Session| {
            assert_eq!(session.flow.protocol, 6);
            session.flow.original.dest_port == 1003
        };
        Conntrack::open().unwrap().sessions(&mut keep).unwrap()
    });
    assert_eq!(kept.len(), 2);
    drop((open, trying));
}

/// What began without accounting is not counted, also after it was switched on.
#[test]
fn without_accounting_sessions_have_no_counters() {
    if !possible(&["conntrack", "nft", "sysctl"]) {
        return;
    }
    let house = House::build();
    house.router.run("sysctl -q -w net.netfilter.nf_conntrack_acct=0");
    let mut uncounted = connect(&house.outside, &house.lan, "192.168.7.2:1001");
    talk(&mut uncounted, 100);
    let (seen, _) = agreed(&house.router);
    assert_eq!(seen.len(), 1);
    assert!(seen[0].established && seen[0].bytes.is_none() && seen[0].packets.is_none());
    house.router.run("sysctl -q -w net.netfilter.nf_conntrack_acct=1");
    talk(&mut uncounted, 100);
    let mut counted = connect(&house.outside, &house.lan, "192.168.7.2:1002");
    talk(&mut counted, 100);
    let (seen, _) = agreed(&house.router);
    let counted = seen
        .iter()
        .map(|session| (session.flow.original.dest_port, session.bytes.is_some()));
    assert_eq!(
        counted.collect::<BTreeSet<_>>(),
        BTreeSet::from([(1001, false), (1002, true)])
    );
}
