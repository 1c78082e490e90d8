//! The kernel's links, read by rtnetlink in a network namespace, beside what `ip` says.

#![allow(clippy::unwrap_used)]

mod namespaces;

use lanward::config::Subnet;
use lanward::network::{Links, Route};
use lanward::sorted::Map;
use lanward::system::links::{Reader, Watcher};
use lanward_rig::scratch::Scratch;
use namespaces::{possible, Namespace};
use std::net::IpAddr;
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn read(namespace: &Namespace) -> Links {
    namespace.enter(|| runtime().block_on(async { Reader::open().unwrap().read().await.unwrap() }))
}

/// `ip -json` in the namespace.
fn ip(namespace: &Namespace, arguments: &str) -> Vec<serde_json::Value> {
    serde_json::from_str(&namespace.run(&format!("ip -json {arguments}"))).unwrap()
}

fn devices_by_ip(namespace: &Namespace) -> Map<u32, String> {
    let index = |link: &serde_json::Value| u32::try_from(link["ifindex"].as_u64().unwrap()).unwrap();
    ip(namespace, "link")
        .iter()
        .map(|link| (index(link), link["ifname"].as_str().unwrap().to_string()))
        .collect()
}

fn subnet(text: &str) -> Subnet {
    let (address, prefix) = text.split_once('/').unwrap();
    Subnet {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    }
}

/// Every kind of link that this kernel can make; none may be missing from the reading.
#[test]
fn no_link_is_missing_whatever_its_kind() {
    if !possible(&[]) {
        return;
    }
    let namespace = Namespace::new("kinds");
    namespace.run("ip link add base type veth peer name base-peer");
    let _ = namespace.attempt_run("ip tuntap add dev tun0 mode tun");
    let _ = namespace.attempt_run("ip tuntap add dev tap0 mode tap");
    let kinds = [
        "dummy",
        "bridge",
        "bond",
        "ifb",
        "wireguard",
        "vcan",
        "nlmon",
        "team",
        "vti",
        "geneve id 7 remote 192.0.2.1",
        "vxlan id 7 dstport 4789 dev base",
        "vlan id 7",
        "macvlan",
        "macvtap",
        "ipvlan",
        "macsec",
        "veth",
        "gre remote 192.0.2.9",
        "gretap remote 192.0.2.9",
        "ip6gre remote 2001:db8::9",
        "sit remote 192.0.2.9",
        "ipip remote 192.0.2.9",
        "ip6tnl remote 2001:db8::9",
        "xfrm if_id 7",
        "vrf table 77",
        "netkit",
        "hsr slave1 base slave2 base",
        "batadv",
        "gtp",
        "bareudp dstport 6635 ethertype mpls_uc",
        "netdevsim",
        "vcan",
        "amt",
        "virt_wifi",
    ];
    let mut made = 0;
    for (number, kind) in kinds.iter().enumerate() {
        let on_base = ["vlan", "macvlan", "macvtap", "ipvlan", "macsec"]
            .iter()
            .any(|name| kind.starts_with(name));
        let link = if on_base { "link base" } else { "" };
        made += u32::from(
            namespace
                .attempt_run(&format!("ip link add {link} name odd{number} type {kind}"))
                .is_ok(),
        );
    }
    assert!(made >= 3, "this kernel makes {made} kinds of links only");
    let names = devices_by_ip(&namespace);
    assert_eq!(read(&namespace).devices, names);
    assert!(names.len() > made as usize);
    eprintln!("{made} kinds, {} links", names.len());
}

#[test]
fn addresses_routes_and_neighbours_are_those_of_ip() {
    if !possible(&[]) {
        return;
    }
    let namespace = Namespace::new("reading");
    for command in [
        "ip link add lan type veth peer name lan-peer",
        "ip link add wan type veth peer name wan-peer",
        "ip link add ppp type veth peer name ppp-peer",
        "ip address add 192.168.1.1/24 dev lan",
        "ip address add 2001:db8:1::1/64 dev lan nodad",
        "ip address add 198.51.100.2/24 dev wan",
        "ip address add 100.64.0.2 peer 100.64.0.1/32 dev ppp",
        "ip link set lan up",
        "ip link set lan-peer up",
        "ip link set wan up",
        "ip link set wan-peer up",
        "ip link set ppp up",
        "ip link set ppp-peer up",
        "ip route add default via 198.51.100.1",
        "ip route add default via 100.64.0.1 metric 50",
        "ip route add 10.0.0.0/8 nexthop via 198.51.100.1 nexthop via 100.64.0.1",
        "ip route add 10.9.0.0/16 via 192.168.1.2 table 1000",
        "ip route add blackhole 10.10.0.0/16",
        "ip route add 2001:db8:2::/48 via 2001:db8:1::2 table 1000",
        "ip neighbour add 192.168.1.20 lladdr 02:00:00:00:00:20 dev lan",
        "ip neighbour add 2001:db8:1::20 lladdr 02:00:00:00:00:20 dev lan nud stale",
        "ip neighbour add 192.168.1.21 dev lan nud failed",
    ] {
        namespace.run(command);
    }
    let links = read(&namespace);
    let device = |name: &str| *links.devices.iter().find(|(_, known)| *known == name).unwrap().0;
    let own = |name: &str, on: &str, address: &str| (device(name), subnet(on), address.parse::<IpAddr>().unwrap());
    for address in [
        own("lan", "192.168.1.0/24", "192.168.1.1"),
        own("lan", "2001:db8:1::/64", "2001:db8:1::1"),
        own("wan", "198.51.100.0/24", "198.51.100.2"),
        own("ppp", "100.64.0.1/32", "100.64.0.2"),
        own("lo", "127.0.0.0/8", "127.0.0.1"),
    ] {
        assert!(
            links.addresses.contains(&address),
            "{address:?} in {:?}",
            links.addresses
        );
    }
    let count: usize = ip(&namespace, "address")
        .iter()
        .map(|link| link["addr_info"].as_array().unwrap().len())
        .sum();
    assert_eq!(links.addresses.len(), count);

    let route = |table, dest: &str, name: &str| Route {
        table,
        dest: subnet(dest),
        device: device(name),
    };
    for expected in [
        route(254, "0.0.0.0/0", "wan"),
        route(254, "0.0.0.0/0", "ppp"),
        route(254, "10.0.0.0/8", "wan"),
        route(254, "10.0.0.0/8", "ppp"),
        route(254, "192.168.1.0/24", "lan"),
        route(1000, "10.9.0.0/16", "lan"),
        route(1000, "2001:db8:2::/48", "lan"),
    ] {
        assert!(links.routes.contains(&expected), "{expected:?} in {:?}", links.routes);
    }
    assert!(
        !links.routes.iter().any(|route| route.dest == subnet("10.10.0.0/16")),
        "a blackhole leads nowhere"
    );
    let mut count = 0;
    for family in ["-4", "-6"] {
        for route in ip(&namespace, &format!("{family} route show table all type unicast")) {
            count += route["nexthops"].as_array().map_or(1, Vec::len);
        }
    }
    assert_eq!(links.routes.len(), count);

    let mac = [2, 0, 0, 0, 0, 0x20];
    assert_eq!(
        links.neighbours,
        [
            ("192.168.1.20".parse().unwrap(), mac),
            ("2001:db8:1::20".parse().unwrap(), mac)
        ]
    );
}

/// Ten thousand routes take no noticeable time and none is missing.
#[test]
fn many_routes() {
    if !possible(&[]) {
        return;
    }
    let namespace = Namespace::new("many");
    namespace.run("ip link add wan type veth peer name wan-peer");
    namespace.run("ip link set wan up");
    let batch: String = (0..10_000_u32)
        .map(|n| format!("route add 10.{}.{}.0/24 dev wan\n", n / 250, n % 250))
        .collect();
    let scratch = Scratch::new("links");
    namespace.run(&format!("ip -batch {}", scratch.write("routes", batch).display()));
    let start = std::time::Instant::now();
    let links = read(&namespace);
    eprintln!("10 000 routes in {:?}", start.elapsed());
    assert_eq!(
        links.routes.iter().filter(|route| route.dest.prefix == 24).count(),
        10_000
    );
}

#[test]
fn links_and_addresses_wake_and_repetitions_do_not() {
    if !possible(&[]) {
        return;
    }
    let namespace = Namespace::new("wake");
    let name = namespace.name.clone();
    namespace.enter(move || {
        runtime().block_on(async move {
            let mut watcher = Watcher::open().unwrap();
            let mut reader = Reader::open().unwrap();
            let has = |links: &Links, name: &str| links.devices.values().any(|known| known == name);
            assert!(settled(&mut watcher).await == 0, "woken by nothing");

            run(&name, "ip link add veth0 type veth peer name veth1").await;
            assert!(settled(&mut watcher).await > 0, "a new link");
            assert!(has(&reader.read().await.unwrap(), "veth0"));

            run(&name, "ip link set veth0 name pppoe-wan").await;
            assert!(settled(&mut watcher).await > 0, "a new name");
            let links = reader.read().await.unwrap();
            assert!(has(&links, "pppoe-wan") && !has(&links, "veth0"));

            // A link-local address is announced when its probe ends, a second or two after the link is up: into any later step.
            run(&name, "ip link set pppoe-wan addrgenmode none").await;
            run(&name, "ip link set veth1 addrgenmode none").await;
            settled(&mut watcher).await;
            run(&name, "ip link set pppoe-wan up").await;
            run(&name, "ip link set veth1 up").await;
            assert!(settled(&mut watcher).await > 0, "a link that goes up");

            run(&name, "ip address add 192.0.2.1/24 dev pppoe-wan").await;
            assert!(settled(&mut watcher).await > 0, "a new address");
            run(
                &name,
                "ip address add 2001:db8::1/64 dev pppoe-wan nodad valid_lft 1000 preferred_lft 1000",
            )
            .await;
            assert!(settled(&mut watcher).await > 0, "a new IPv6 address");
            run(
                &name,
                "ip address replace 2001:db8::1/64 dev pppoe-wan nodad valid_lft 2000 preferred_lft 2000",
            )
            .await;
            assert_eq!(settled(&mut watcher).await, 0, "a longer life is no change");

            run(&name, "ip route add 198.51.100.0/24 via 192.0.2.2").await;
            assert_eq!(settled(&mut watcher).await, 0, "routes are read when they are needed");

            run(&name, "ip address delete 192.0.2.1/24 dev pppoe-wan").await;
            assert!(settled(&mut watcher).await > 0, "an address gone");
            run(&name, "ip link delete pppoe-wan").await;
            assert!(settled(&mut watcher).await > 0, "a link gone");
            assert!(!has(&reader.read().await.unwrap(), "pppoe-wan"));
        });
    });
}

/// Thousands of notifications with nobody reading are more than a socket holds: that wakes too, and so does what comes later.
#[test]
fn lost_notifications_wake() {
    if !possible(&[]) {
        return;
    }
    let namespace = Namespace::new("lost");
    let name = namespace.name.clone();
    namespace.enter(move || {
        runtime().block_on(async move {
            let mut watcher = Watcher::open().unwrap();
            run(&name, "ip link add base type veth peer name base-peer").await;
            let scratch = Scratch::new("links");
            let batch: String = (0..3000)
                .map(|n| format!("address add 10.{}.{}.1/32 dev base\n", n / 250, n % 250))
                .collect();
            let file = scratch.write("addresses", batch);
            run(&name, &format!("ip -batch {}", file.display())).await;
            assert!(settled(&mut watcher).await > 0);
            run(&name, "ip link add later type veth peer name later-peer").await;
            assert!(settled(&mut watcher).await > 0, "deaf after a loss");
        });
    });
}

/// A wait that is given up again and again, as `select!` does, loses nothing.
#[test]
fn giving_up_waiting_loses_nothing() {
    if !possible(&[]) {
        return;
    }
    let namespace = Namespace::new("cancel");
    let name = namespace.name.clone();
    namespace.enter(move || {
        runtime().block_on(async move {
            let mut watcher = Watcher::open().unwrap();
            for _ in 0..50 {
                let _ = tokio::time::timeout(Duration::from_millis(1), watcher.next()).await;
            }
            run(&name, "ip link add late type veth peer name late-peer").await;
            assert!(settled(&mut watcher).await > 0);
        });
    });
}

/// How often the watcher wakes until it has been quiet for a while.
async fn settled(watcher: &mut Watcher) -> u32 {
    let mut wakes = 0;
    while tokio::time::timeout(Duration::from_millis(200), watcher.next())
        .await
        .is_ok()
    {
        wakes += 1;
    }
    wakes
}

async fn run(namespace: &str, command: &str) {
    let mut arguments = vec!["netns", "exec", namespace];
    arguments.extend(command.split_ascii_whitespace());
    let output = std::process::Command::new("ip").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
