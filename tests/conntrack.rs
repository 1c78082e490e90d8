//! conntrack over netlink on real flows through a router in network namespaces, beside what `conntrack -L` says.

#![allow(clippy::unwrap_used)]

mod namespaces;

use lanward::config::Subnet;
use lanward::lan_only::{Scope, Terms};
use lanward::network::Device;
use lanward::nft::PortRange;
use lanward::system::conntrack::{Conntrack, Flow};
use lanward::system::links::Reader;
use lanward_rig::namespace::bind;
use namespaces::{possible, skip, Namespace};
use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
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

fn by_conntrack_tool(namespace: &Namespace) -> BTreeSet<Shown> {
    let mut shown = BTreeSet::new();
    for family in ["ipv4", "ipv6"] {
        for line in namespace.run(&format!("conntrack -L -p udp -f {family} -o id")).lines() {
            let values = |keys: &[&str]| -> Vec<String> {
                let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
                pairs
                    .filter(|(key, _)| keys.contains(key))
                    .map(|(_, value)| value.to_string())
                    .collect()
            };
            let zone = values(&["zone", "zone-orig"])
                .first()
                .map_or(0, |zone| zone.parse().unwrap());
            shown.insert((
                values(&["id"])[0].parse().unwrap(),
                values(&["src", "dst"])
                    .iter()
                    .map(|address| address.parse().unwrap())
                    .collect(),
                values(&["sport", "dport"])
                    .iter()
                    .map(|port| port.parse().unwrap())
                    .collect(),
                zone,
            ));
        }
    }
    shown
}

fn shown(flows: &[Flow]) -> BTreeSet<Shown> {
    flows
        .iter()
        .map(|flow| {
            let (a, b) = (flow.original, flow.reply);
            let addresses = vec![a.source, a.dest, b.source, b.dest];
            (
                flow.id,
                addresses,
                vec![a.source_port, a.dest_port, b.source_port, b.dest_port],
                flow.zone,
            )
        })
        .collect()
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
    let (sources, dests) = (BTreeSet::from([lan0]), BTreeSet::from([wan0]));
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
        let deleted = conntrack.delete(&cut).unwrap();
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
        let of_stale = conntrack.delete(&stale).unwrap();
        (
            of_stale,
            conntrack.delete(&second).unwrap(),
            conntrack.delete(&second).unwrap(),
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
    let deleted = namespace.enter(move || Conntrack::open().unwrap().delete(&found).unwrap());
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
        let deleted = conntrack.delete(&kept).unwrap();
        (seen, deleted, dump, start.elapsed(), kept.len())
    });
    eprintln!("{all} flows seen in {dump:?}, {in_scope} of {kept} deleted in {deletion:?}");
    if all < 90_000 {
        return skip("the table does not hold 100 000 flows here (nf_conntrack_max)");
    }
    assert_eq!((in_scope, kept), (1000, 1000));
    assert!(dump < Duration::from_secs(5) && deletion < Duration::from_secs(1));
}
