use super::*;
use crate::network::Route;
use crate::system::conntrack::Tuple;
use proptest::prelude::*;

const LAN: u32 = 2;
const GUEST: u32 = 3;
const WAN: u32 = 4;
const WG: u32 = 5;
const PPP: u32 = 6;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x20];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn subnet(text: &str) -> Subnet {
    let (address, prefix) = text.split_once('/').unwrap();
    Subnet {
        address: ip(address),
        prefix: prefix.parse().unwrap(),
    }
}

fn route(table: u32, dest: &str, device: u32) -> Route {
    Route {
        table,
        dest: subnet(dest),
        device,
    }
}

/// LAN, guest network, VPN, and a second WAN that another table leads to.
fn links() -> Links {
    let names = [
        (1, "lo"),
        (LAN, "br-lan"),
        (GUEST, "br-guest"),
        (WAN, "wan"),
        (WG, "wg0"),
        (PPP, "pppoe-wanb"),
    ];
    Links {
        devices: names
            .iter()
            .map(|(index, name)| (*index, (*name).to_string()))
            .collect(),
        addresses: vec![
            (LAN, subnet("192.168.1.0/24"), ip("192.168.1.1")),
            (LAN, subnet("2001:db8:1::/64"), ip("2001:db8:1::1")),
            (GUEST, subnet("192.168.2.0/24"), ip("192.168.2.1")),
            (WAN, subnet("198.51.100.0/24"), ip("198.51.100.2")),
            (WG, subnet("10.8.0.0/24"), ip("10.8.0.1")),
            (PPP, subnet("100.64.0.1/32"), ip("100.64.0.2")),
        ],
        routes: vec![
            route(254, "0.0.0.0/0", WAN),
            route(254, "::/0", WAN),
            route(254, "192.168.1.0/24", LAN),
            route(254, "2001:db8:1::/64", LAN),
            route(254, "192.168.2.0/24", GUEST),
            route(254, "198.51.100.0/24", WAN),
            route(254, "10.8.0.0/24", WG),
            route(254, "10.9.0.0/16", WG),
            route(254, "2001:db8:9::/48", WG),
            route(100, "0.0.0.0/0", PPP),
        ],
        neighbours: vec![
            (ip("192.168.1.20"), MAC),
            (ip("2001:db8:1::20"), MAC),
            (ip("192.168.1.21"), [2; 6]),
        ],
    }
}

fn devices(names: &[&str]) -> Set<Device> {
    names.iter().map(|name| Device::Named((*name).to_string())).collect()
}

/// The terms of a test, owned.
#[derive(Debug)]
struct Case {
    sources: Set<Device>,
    dests: Set<Device>,
    ports: Vec<PortRange>,
    hosts: Vec<Host>,
    except_hosts: Vec<Host>,
    except_dests: Vec<Subnet>,
    mirror: bool,
    redirects: Vec<Redirect>,
    links: Links,
    learned: Vec<(IpAddr, [u8; 6])>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            sources: devices(&["br-lan"]),
            dests: [
                Device::Named("wan".to_string()),
                Device::BeginsWith("pppoe-".to_string()),
            ]
            .into(),
            ports: vec![PortRange { from: 40001, to: 65535 }],
            hosts: vec![],
            except_hosts: vec![],
            except_dests: vec![],
            mirror: false,
            redirects: vec![],
            links: links(),
            learned: vec![],
        }
    }
}

impl Case {
    fn terms(&self) -> Terms<'_> {
        Terms {
            sources: &self.sources,
            dests: &self.dests,
            ports: &self.ports,
            hosts: &self.hosts,
            except_hosts: &self.except_hosts,
            except_dests: &self.except_dests,
            mirror: self.mirror,
            redirects: &self.redirects,
            links: &self.links,
            learned: &self.learned,
        }
    }

    fn cuts(&self, flow: &Flow) -> bool {
        Scope::new(&self.terms()).cuts(flow)
    }
}

/// `source:port -> dest:port`, answered by `from` to `to`.
fn flow_between(source: (&str, u16), dest: (&str, u16), from: (&str, u16), to: (&str, u16)) -> Flow {
    let tuple = |a: (&str, u16), b: (&str, u16)| Tuple {
        source: ip(a.0),
        dest: ip(b.0),
        source_port: a.1,
        dest_port: b.1,
    };
    Flow {
        protocol: 17,
        original: tuple(source, dest),
        reply: tuple(from, to),
        zone: 0,
        id: 1,
    }
}

/// A flow without any translation.
fn plain(source: (&str, u16), dest: (&str, u16)) -> Flow {
    flow_between(source, dest, dest, source)
}

/// A flow that is masqueraded as `wan`.
fn masqueraded(source: (&str, u16), dest: (&str, u16), wan: &str) -> Flow {
    flow_between(source, dest, dest, (wan, source.1))
}

#[test]
fn outbound_udp_in_the_range_is_cut_in_both_families() {
    let case = Case::default();
    for (port, cut) in [(40000, false), (40001, true), (65535, true), (443, false)] {
        assert_eq!(
            case.cuts(&masqueraded(
                ("192.168.1.20", 50000),
                ("203.0.113.9", port),
                "198.51.100.2"
            )),
            cut
        );
        assert_eq!(
            case.cuts(&plain(("2001:db8:1::20", 50000), ("2001:db8:ffff::9", port))),
            cut
        );
    }
    let tcp = Flow {
        protocol: 6,
        ..plain(("192.168.1.20", 50000), ("203.0.113.9", 50000))
    };
    assert!(!case.cuts(&tcp));
}

#[test]
fn lan_vpn_and_the_routers_own_flows_are_never_cut() {
    let case = Case {
        mirror: true,
        ..Case::default()
    };
    for flow in [
        plain(("192.168.1.20", 50000), ("192.168.1.21", 50000)),
        plain(("192.168.1.20", 50000), ("192.168.2.20", 50000)),
        plain(("192.168.2.20", 50000), ("192.168.1.20", 50000)),
        plain(("192.168.1.20", 50000), ("10.8.0.2", 50000)),
        plain(("10.8.0.2", 50000), ("192.168.1.20", 50000)),
        plain(("2001:db8:1::20", 50000), ("2001:db8:9::2", 50000)),
        plain(("2001:db8:9::2", 50000), ("2001:db8:1::20", 50000)),
        plain(("198.51.100.2", 50000), ("203.0.113.9", 50000)),
        plain(("203.0.113.9", 50000), ("198.51.100.2", 50000)),
        plain(("192.168.1.20", 50000), ("192.168.1.1", 50000)),
        plain(("192.168.2.20", 50000), ("203.0.113.9", 50000)),
        plain(("10.8.0.2", 50000), ("203.0.113.9", 50000)),
    ] {
        assert!(!case.cuts(&flow), "{flow:?}");
    }
}

#[test]
fn what_dnat_made_of_the_destination_counts() {
    let case = Case {
        mirror: true,
        ..Case::default()
    };
    let hairpin = flow_between(
        ("192.168.1.20", 50000),
        ("198.51.100.2", 50000),
        ("192.168.1.21", 50000),
        ("192.168.1.1", 50000),
    );
    assert!(!case.cuts(&hairpin));
    // The rules in `forward` see the port behind the translation.
    let into_range = flow_between(
        ("192.168.1.20", 5000),
        ("203.0.113.9", 53),
        ("203.0.113.9", 50053),
        ("198.51.100.2", 5000),
    );
    assert!(case.cuts(&into_range));
    let out_of_range = flow_between(
        ("192.168.1.20", 5000),
        ("203.0.113.9", 50053),
        ("203.0.113.9", 53),
        ("198.51.100.2", 5000),
    );
    assert!(!case.cuts(&out_of_range));
}

#[test]
fn a_way_out_by_any_table_counts_unless_the_flow_is_masqueraded_elsewhere() {
    let flow = masqueraded(("192.168.1.20", 50000), ("203.0.113.9", 50000), "100.64.0.2");
    assert!(Case::default().cuts(&flow), "the second WAN, by table 100");
    let only_wan = Case {
        dests: devices(&["wan"]),
        ..Case::default()
    };
    assert!(
        !only_wan.cuts(&flow),
        "masqueraded as the second WAN, so it leaves there"
    );
    assert!(only_wan.cuts(&masqueraded(
        ("192.168.1.20", 50000),
        ("203.0.113.9", 50000),
        "198.51.100.2"
    )));
    assert!(
        only_wan.cuts(&plain(("192.168.1.20", 50000), ("203.0.113.9", 50000))),
        "which one is not known"
    );
    let mut tunnel = Case::default();
    tunnel.links.routes.push(route(51820, "0.0.0.0/0", WG));
    assert!(!tunnel.cuts(&masqueraded(
        ("192.168.1.20", 50000),
        ("203.0.113.9", 50000),
        "10.8.0.1"
    )));
    assert!(
        Case::default().cuts(&masqueraded(
            ("192.168.1.20", 50000),
            ("203.0.113.9", 50000),
            "10.8.0.1"
        )),
        "the tunnel is no way there any more"
    );
}

#[test]
fn hosts_by_address_and_by_mac() {
    let host = |host| Case {
        hosts: vec![host],
        ..Case::default()
    };
    let (v4, v6, other) = (
        plain(("192.168.1.20", 50000), ("203.0.113.9", 50000)),
        plain(("2001:db8:1::20", 50000), ("2001:db8:ffff::9", 50000)),
        plain(("192.168.1.21", 50000), ("203.0.113.9", 50000)),
    );
    let answers = |case: &Case| [case.cuts(&v4), case.cuts(&v6), case.cuts(&other)];
    assert_eq!(answers(&host(Host::Address(ip("192.168.1.20")))), [true, false, false]);
    assert_eq!(
        answers(&host(Host::Address(ip("2001:db8:1::20")))),
        [false, true, false]
    );
    assert_eq!(answers(&host(Host::Mac(MAC))), [true, true, false]);
    assert_eq!(
        answers(&host(Host::Mac([9; 6]))),
        [false, false, false],
        "a MAC that nobody has is not everybody"
    );
    let learned = Case {
        learned: vec![(ip("192.168.1.21"), [9; 6])],
        ..host(Host::Mac([9; 6]))
    };
    assert_eq!(answers(&learned), [false, false, true]);
    let except = Case {
        except_hosts: vec![Host::Mac(MAC)],
        ..Case::default()
    };
    assert_eq!(answers(&except), [false, false, true]);
    let both = Case {
        except_hosts: vec![Host::Address(ip("192.168.1.20"))],
        ..host(Host::Mac(MAC))
    };
    assert_eq!(answers(&both), [false, true, false]);
}

#[test]
fn excepted_networks_outside() {
    let case = Case {
        except_dests: vec![subnet("203.0.113.0/24"), subnet("2001:db8:ffff::/48")],
        ..Case::default()
    };
    assert!(!case.cuts(&plain(("192.168.1.20", 50000), ("203.0.113.255", 50000))));
    assert!(case.cuts(&plain(("192.168.1.20", 50000), ("203.0.114.0", 50000))));
    assert!(!case.cuts(&plain(("2001:db8:1::20", 50000), ("2001:db8:ffff::9", 50000))));
    let everything = Case {
        except_dests: vec![subnet("0.0.0.0/0")],
        ..Case::default()
    };
    assert!(!everything.cuts(&plain(("192.168.1.20", 50000), ("203.0.114.0", 50000))));
    assert!(everything.cuts(&plain(("2001:db8:1::20", 50000), ("2001:db8:ffff::9", 50000))));
}

#[test]
fn mirror_cuts_strangers_but_not_the_users_own_redirects() {
    let forwarded = flow_between(
        ("203.0.113.9", 45000),
        ("198.51.100.2", 3000),
        ("192.168.1.20", 3000),
        ("203.0.113.9", 45000),
    );
    let pinhole = plain(("2001:db8:ffff::9", 45000), ("2001:db8:1::20", 3000));
    assert!(!Case::default().cuts(&forwarded) && !Case::default().cuts(&pinhole));
    let mirror = || Case {
        mirror: true,
        ..Case::default()
    };
    assert!(mirror().cuts(&forwarded) && mirror().cuts(&pinhole));
    assert!(
        !mirror().cuts(&plain(("2001:db8:ffff::9", 443), ("2001:db8:1::20", 50000))),
        "a source port out of range"
    );
    let opened = |dest: Option<&str>, from, to| Case {
        redirects: vec![Redirect {
            dest: dest.map(subnet),
            ports: PortRange { from, to },
            source_zone: "wan".to_string(),
            label: "game".to_string(),
        }],
        ..mirror()
    };
    assert!(!opened(Some("192.168.1.20/32"), 3000, 3010).cuts(&forwarded));
    assert!(opened(Some("192.168.1.20/32"), 3000, 3010).cuts(&pinhole));
    assert!(opened(Some("192.168.1.21/32"), 3000, 3010).cuts(&forwarded));
    assert!(opened(Some("192.168.1.20/32"), 3001, 3010).cuts(&forwarded));
    assert!(!opened(None, 3000, 3000).cuts(&forwarded) && !opened(None, 3000, 3000).cuts(&pinhole));
    let excepted = Case {
        except_dests: vec![subnet("203.0.113.0/24")],
        ..mirror()
    };
    assert!(!excepted.cuts(&forwarded), "an excepted network may come in as well");
}

#[test]
fn ten_thousand_flows_by_a_thousand_routes_are_quick() {
    let mut case = Case::default();
    for n in 0..1000_u16 {
        let [high, low] = n.to_be_bytes();
        let dest = Subnet {
            address: IpAddr::from([100, 70 + high, low, 0]),
            prefix: 24,
        };
        case.links.routes.push(Route {
            table: 254,
            dest,
            device: WAN,
        });
    }
    let scope = Scope::new(&case.terms());
    let flows: Vec<Flow> = (0..10_000_u16)
        .map(|n| {
            plain(
                ("192.168.1.20", 50000),
                (&format!("100.{}.{}.9", 64 + n / 1000, n % 250), 50000),
            )
        })
        .collect();
    // The best of three: the machine has other things to do.
    let took = [(); 3].map(|()| {
        let start = std::time::Instant::now();
        let cut = flows.iter().filter(|flow| scope.cuts(flow)).count();
        assert_eq!(cut, 10_000);
        start.elapsed()
    });
    assert!(
        took.iter().min().unwrap() < &std::time::Duration::from_secs(2),
        "{took:?}"
    );
}

/// The same question, answered by going through everything.
fn naive(terms: &Terms<'_>, flow: &Flow) -> bool {
    let inside = |subnet: &Subnet, address: IpAddr| match (subnet.address, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (0..u32::from(subnet.prefix)).all(|n| (a.to_bits() ^ b.to_bits()) >> (31 - n) & 1 == 0)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (0..u32::from(subnet.prefix)).all(|n| (a.to_bits() ^ b.to_bits()) >> (127 - n) & 1 == 0)
        }
        _ => false,
    };
    let is_in = |devices: &Set<Device>, index: &u32| {
        terms.links.devices.get(index).is_some_and(|name| {
            devices.iter().any(|device| match device {
                Device::Named(whole) => whole == name,
                Device::BeginsWith(start) => name.starts_with(start),
            })
        })
    };
    let best = |candidates: Vec<(Subnet, u32)>, address: IpAddr| -> Vec<u32> {
        let longest = candidates
            .iter()
            .filter(|(dest, _)| inside(dest, address))
            .map(|(dest, _)| dest.prefix)
            .max();
        candidates
            .into_iter()
            .filter(|(dest, _)| inside(dest, address) && Some(dest.prefix) == longest)
            .map(|(_, device)| device)
            .collect()
    };
    let ways = |address: IpAddr| -> Vec<u32> {
        let tables: Set<u32> = terms.links.routes.iter().map(|route| route.table).collect();
        tables
            .into_iter()
            .flat_map(|table| {
                let routes = terms.links.routes.iter().filter(|route| route.table == table);
                best(routes.map(|route| (route.dest, route.device)).collect(), address)
            })
            .collect()
    };
    let own = |address: IpAddr| terms.links.addresses.iter().any(|(_, _, own)| *own == address);
    let leaves = |remote: IpAddr, seen_as: IpAddr| {
        let on_link = best(
            terms
                .links
                .addresses
                .iter()
                .map(|(device, subnet, _)| (*subnet, *device))
                .collect(),
            remote,
        );
        if !on_link.is_empty() && !on_link.iter().any(|device| is_in(terms.dests, device)) {
            return false;
        }
        let seen_on: Vec<u32> = terms
            .links
            .addresses
            .iter()
            .filter(|(_, _, own)| *own == seen_as)
            .map(|(device, ..)| *device)
            .collect();
        let elsewhere = !seen_on.iter().any(|device| is_in(terms.dests, device));
        if elsewhere && ways(remote).iter().any(|device| seen_on.contains(device)) {
            return false;
        }
        ways(remote).iter().any(|device| is_in(terms.dests, device))
    };
    let is_host = |hosts: &[Host], address: IpAddr| {
        hosts.iter().any(|host| match host {
            Host::Address(host) => *host == address,
            Host::Mac(mac) => terms
                .links
                .neighbours
                .iter()
                .chain(terms.learned)
                .any(|known| *known == (address, *mac)),
        })
    };
    let concerns = |host: IpAddr, remote: IpAddr| {
        (terms.hosts.is_empty() || is_host(terms.hosts, host))
            && !is_host(terms.except_hosts, host)
            && !terms.except_dests.iter().any(|subnet| inside(subnet, remote))
            && !own(host)
            && !own(remote)
            && ways(host).iter().any(|device| is_in(terms.sources, device))
    };
    let in_range = |port: u16| terms.ports.iter().any(|range| (range.from..=range.to).contains(&port));
    let outbound = in_range(flow.reply.source_port)
        && concerns(flow.original.source, flow.reply.source)
        && leaves(flow.reply.source, flow.reply.dest);
    let redirected = terms.redirects.iter().any(|redirect| {
        (redirect.ports.from..=redirect.ports.to).contains(&flow.reply.source_port)
            && redirect.dest.is_none_or(|dest| inside(&dest, flow.reply.source))
    });
    let inbound = terms.mirror
        && in_range(flow.original.source_port)
        && concerns(flow.reply.source, flow.original.source)
        && leaves(flow.original.source, flow.original.dest)
        && !redirected;
    flow.protocol == 17 && (outbound || inbound)
}

/// Few addresses, so that they meet.
fn an_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..4, 0u8..6).prop_map(|(net, host)| IpAddr::from([10, 0, net, host])),
        (0u8..4, 0u8..6).prop_map(|(net, host)| IpAddr::from([203, 0, net, host])),
        (0u16..3, 0u16..4).prop_map(|(net, host)| IpAddr::from([0x2001, 0xdb8, net, 0, 0, 0, 0, host])),
    ]
}

fn a_subnet() -> impl Strategy<Value = Subnet> {
    (
        an_address(),
        prop::sample::select(vec![0u8, 1, 8, 22, 24, 30, 32, 48, 64, 128]),
    )
        .prop_map(|(address, prefix)| {
            let prefix = if address.is_ipv4() { prefix.min(32) } else { prefix };
            let bits = masked(bits(address), prefix);
            let address = match address {
                IpAddr::V4(_) => IpAddr::from(u32::try_from(bits >> 96).unwrap().to_be_bytes()),
                IpAddr::V6(_) => IpAddr::from(bits.to_be_bytes()),
            };
            Subnet { address, prefix }
        })
}

fn a_port() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![53u16, 40000, 40001, 50000, 65535])
}

fn a_host() -> impl Strategy<Value = Host> {
    prop_oneof![
        an_address().prop_map(Host::Address),
        (0u8..3).prop_map(|n| Host::Mac([n; 6]))
    ]
}

fn owners() -> impl Strategy<Value = Vec<(IpAddr, [u8; 6])>> {
    prop::collection::vec((an_address(), (0u8..3).prop_map(|n| [n; 6])), 0..6)
}

prop_compose! {
    fn a_case()(
        routes in prop::collection::vec((1u32..4, a_subnet(), 1u32..7), 0..14),
        own in prop::collection::vec((1u32..7, an_address(), 0u8..33), 0..5),
        hosts in prop::collection::vec(a_host(), 0..3),
        except_hosts in prop::collection::vec(a_host(), 0..2),
        except_dests in prop::collection::vec(a_subnet(), 0..2),
        redirects in prop::collection::vec((prop::option::of(a_subnet()), a_port(), a_port()), 0..3),
        neighbours in owners(), learned in owners(), mirror in any::<bool>(),
    ) -> Case {
        let mut links = Links { addresses: vec![], routes: vec![], neighbours, ..links() };
        links.routes = routes.into_iter().map(|(table, dest, device)| Route { table, dest, device }).collect();
        links.addresses = own.into_iter().map(|(device, address, prefix)| {
            let width = if address.is_ipv4() { 32 } else { 128 };
            (device, Subnet { address, prefix: width - prefix.min(8) }, address)
        }).collect();
        let redirects = redirects.into_iter().map(|(dest, a, b)| Redirect {
            dest, ports: PortRange { from: a.min(b), to: a.max(b) }, source_zone: String::new(), label: String::new(),
        }).collect();
        Case { hosts, except_hosts, except_dests, redirects, links, learned, mirror, ..Case::default() }
    }
}

prop_compose! {
    fn a_flow()(
        source in an_address(), dest in an_address(), from in an_address(), to in an_address(),
        ports in (a_port(), a_port(), a_port(), a_port()), nat in 0u8..4, protocol in prop::sample::select(vec![17u8, 17, 17, 6]),
    ) -> Flow {
        let original = Tuple { source, dest, source_port: ports.0, dest_port: ports.1 };
        let mut reply = Tuple { source: dest, dest: source, source_port: ports.1, dest_port: ports.0 };
        if nat & 1 != 0 {
            (reply.source, reply.source_port) = (from, ports.2);
        }
        if nat & 2 != 0 {
            (reply.dest, reply.dest_port) = (to, ports.3);
        }
        Flow { protocol, original, reply, zone: 0, id: 1 }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 2, ..ProptestConfig::default() })]

    #[test]
    fn scope_and_the_naive_answer_agree(case in a_case(), flows in prop::collection::vec(a_flow(), 1..20)) {
        let scope = Scope::new(&case.terms());
        for flow in &flows {
            prop_assert_eq!(scope.cuts(flow), naive(&case.terms(), flow), "{:?}", flow);
        }
    }

    /// The invariant of the module: a packet that comes in and goes out as the routes allow, and that the rules drop, is of a flow that
    /// is cut.
    #[test]
    fn what_the_rules_drop_is_cut(case in a_case(), flow in a_flow(), oif in prop::sample::select(vec![WAN, PPP, WG])) {
        let iif = LAN;
        let mut case = case;
        let host = |address: IpAddr| Subnet { address, prefix: if address.is_ipv4() { 32 } else { 128 } };
        case.links.routes.push(Route { table: 8, dest: host(flow.original.source), device: iif });
        case.links.routes.push(Route { table: 9, dest: host(flow.reply.source), device: oif });
        let scope = Scope::new(&case.terms());
        let on_link = scope.on_link.devices(flow.reply.source);
        prop_assume!(on_link.is_empty() || on_link.iter().any(|(_, device)| *device == oif));
        let masqueraded_on = scope.own.get(&flow.reply.dest).cloned().unwrap_or_default();
        prop_assume!(masqueraded_on.is_empty() || masqueraded_on.contains(&oif));
        // `forward` sees no packet from or to the router itself.
        prop_assume!(!scope.own.contains_key(&flow.original.source) && !scope.own.contains_key(&flow.reply.source));

        let name = |index: u32| case.links.devices[&index].clone();
        let (source, dest) = (flow.original.source, flow.reply.source);
        let addresses = |hosts: &[Host]| addresses_of(hosts, &case.terms());
        let dropped = flow.protocol == 17
            && name(iif) == "br-lan"
            && (name(oif) == "wan" || name(oif).starts_with("pppoe-"))
            && (40001..=65535).contains(&flow.reply.source_port)
            && (case.hosts.is_empty() || addresses(&case.hosts).contains(&source))
            && !addresses(&case.except_hosts).contains(&source)
            && !case.except_dests.iter().any(|subnet| subnet.contains(dest));
        prop_assert!(!dropped || scope.cuts(&flow));
    }
}
