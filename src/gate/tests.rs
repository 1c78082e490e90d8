use super::*;
use crate::config;
use crate::network::{self, Network};
use crate::policy;
use crate::system::conntrack::{Flow, Session, Tuple};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn gates(text: &str) -> Gates {
    let (config, problems) = config::read_text(Some(text.as_bytes()));
    assert_eq!(problems, []);
    let network = Network {
        zones: ["lan", "wan"]
            .map(|name| {
                (
                    name.to_string(),
                    network::Zone {
                        name: name.to_string(),
                        ..network::Zone::default()
                    },
                )
            })
            .into(),
        ..Network::default()
    };
    policy::compile(&config, &network, "", 0).policy.gates
}

const BOTH: &str = "config gate 'a'\n option enabled 1\n list service tcp:22\n list service 'tcp:2222>192.168.1.10:22'\n\
    config gate 'b'\n option enabled 1\n list service 'tcp:23>[2001:db8::10]:22'\n option prefix6 64\n option forget never\n\
    config witness 'w'\n option gate a\n\
    config witness 'v'\n option gate b\n option port 443\n list dest 198.51.100.25\n list dest '2001:db8::25'\n option min_bytes 1000\n";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn what_fw4_is_told_asks_for_the_mark_in_every_rule() {
    let text = format!("config lanward 'lanward'\n option mark '0x40'\n{BOTH}");
    let rules = fw4_rules(&gates(&text), Some("lan"));
    let shared = |value: serde_json::Value| {
        let mut value = value;
        value["src"] = "wan".into();
        value["proto"] = "tcp".into();
        value["mark"] = "0x00000040/0x00000040".into();
        value
    };
    let expected = [
        serde_json::json!({ "type": "rule", "name": "lanward gate a", "dest_port": "22", "target": "ACCEPT" }),
        serde_json::json!({ "type": "redirect", "name": "lanward gate a", "family": "ipv4", "src_dport": "2222", "dest": "lan",
            "dest_ip": "192.168.1.10", "dest_port": "22", "target": "DNAT", "reflection": "0" }),
        serde_json::json!({ "type": "rule", "name": "lanward gate b", "family": "ipv6", "dest": "*", "dest_ip": "2001:db8::10",
            "dest_port": "22", "target": "ACCEPT" }),
    ];
    assert_eq!(rules, serde_json::json!({ "firewall": expected.map(shared) }));
}

#[test]
fn a_gate_that_is_shut_or_off_gives_fw4_nothing() {
    let (mut config, _) = config::read_text(Some(BOTH.as_bytes()));
    config.gates[0].shut = true;
    config.gates[1].enabled = false;
    let compiled = policy::compile(&config, &Network::default(), "", 0);
    assert_eq!(
        fw4_rules(&compiled.policy.gates, None),
        serde_json::json!({ "firewall": [] })
    );
}

#[test]
fn families_follow_the_services() {
    let gates = gates(BOTH);
    let has = |index: usize| [0, 1].map(|family| gates.list[index].has_family(family));
    assert_eq!((has(0), has(1)), ([true, true], [false, true]));
    assert!(source(&gates.list[1], "203.0.113.9")
        .unwrap_err()
        .contains("nothing over IPv4"));
    assert_eq!(source(&gates.list[1], "2001:db8:7:8::9/64"), Ok(ip("2001:db8:7:8::")));
    assert_eq!(shown(&gates.list[1], ip("2001:db8:7:8::")), "2001:db8:7:8::/64");
}

pub(crate) fn session(source: &str, dest: &str, port: u16, packets: Option<u64>) -> Session {
    let tuple = Tuple {
        source: ip(source),
        dest: ip(dest),
        source_port: 1,
        dest_port: port,
    };
    Session {
        flow: Flow {
            protocol: 6,
            original: tuple,
            reply: tuple,
            zone: 0,
            id: u32::from(port),
        },
        established: true,
        bytes: packets.map(|packets| [packets * 100; 2]),
        packets: packets.map(|packets| [packets; 2]),
        offloaded: true,
    }
}

#[test]
fn only_connections_to_a_witness_or_a_guarded_service_are_of_interest() {
    let own = vec![ip("198.51.100.2"), ip("2001:db8:1::2")];
    let interest = Interest::new(&gates(BOTH), own);
    for (dest, port, wanted) in [
        ("198.51.100.2", 22, true),
        ("2001:db8:1::2", 22, true),
        ("198.51.100.2", 2222, true),
        ("2001:db8:1::2", 2222, false),
        ("198.51.100.99", 22, false),
        ("2001:db8::10", 22, true),
        ("2001:db8::10", 23, false),
        ("198.51.100.2", 993, true),
        ("198.51.100.25", 993, false),
        ("198.51.100.25", 443, true),
        ("2001:db8::25", 443, true),
        ("198.51.100.2", 443, false),
    ] {
        let mut one = session("203.0.113.9", dest, port, Some(1));
        assert_eq!(interest.wants(&one), wanted, "{dest} {port}");
        one.established = false;
        assert!(!interest.wants(&one));
    }
}

#[test]
fn what_does_not_move_is_not_alive_and_what_is_in_a_flow_table_is() {
    let interest = Interest::new(&gates(BOTH), [ip("198.51.100.2")].into());
    let (mut known, lists) = (Sessions::default(), Lists::default());
    let mut alive = |packets, offloaded| {
        let mut session = session("203.0.113.9", "198.51.100.2", 993, packets);
        session.offloaded = offloaded;
        interest.alive(&mut known, &lists, &[session]).len()
    };
    let counted = [Some(1), Some(1), Some(2), Some(2), Some(1), None];
    assert_eq!(counted.map(|packets| alive(packets, false)), [0, 0, 1, 0, 0, 0]);
    assert_eq!([Some(1), Some(1), None].map(|packets| alive(packets, true)), [1, 1, 1]);
}

#[test]
fn a_guarded_session_keeps_its_source_listed_and_lists_nobody() {
    let interest = Interest::new(&gates(BOTH), [ip("198.51.100.2")].into());
    let mut lists = Lists::default();
    let mut known = Sessions::default();
    let mut look = |lists: &Lists, packets| {
        interest
            .alive(
                &mut known,
                lists,
                &[session("203.0.113.9", "198.51.100.2", 22, Some(packets))],
            )
            .len()
    };
    assert_eq!([look(&lists, 1), look(&lists, 2)], [0, 0]);
    lists.put(
        "a",
        Entry {
            address: ip("203.0.113.9"),
            list: List::Grant,
            ends: None,
            origin: None,
        },
    );
    assert_eq!(look(&lists, 3), 0, "a grant has a time of its own");
    lists.put(
        "a",
        Entry {
            address: ip("203.0.113.9"),
            list: List::Seen,
            ends: Some(1),
            origin: None,
        },
    );
    assert_eq!(look(&lists, 4), 1);
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..4).prop_map(|last| IpAddr::from([203, 0, 113, last])),
        (0u16..4, 0u16..2).prop_map(|(net, last)| IpAddr::from([0x2001, 0xdb8, 0, net, 0, 0, 0, last])),
    ]
}

proptest! {
    /// Against a plain map from (gate, list, address) to its end.
    #[test]
    fn lists_are_a_map_and_restoring_gives_back_what_was_there(
        steps in prop::collection::vec((0usize..5, 0usize..2, any::<bool>(), address(), prop::option::of(1u64..100)), 0..40)
    ) {
        let gates = gates(BOTH);
        let mut lists = Lists::default();
        let mut model: BTreeMap<(usize, IpAddr, bool), Option<u64>> = BTreeMap::new();
        let now = 50_000;
        for (what, index, grant, address, ends) in steps {
            let gate = &gates.list[index];
            let address = masked(gate, address);
            let origin = None;
            let list = if grant { List::Grant } else { List::Seen };
            let ends = ends.map(|ends| ends * 1000);
            match what {
                0..=2 => {
                    lists.put(&gate.name, Entry { address, list, ends, origin });
                    model.insert((index, address, grant), ends);
                }
                3 => {
                    let was = model.keys().any(|(known, source, _)| (*known, *source) == (index, address));
                    prop_assert_eq!(lists.remove(&gate.name, address), was);
                    model.retain(|(known, source, _), _| (*known, *source) != (index, address));
                }
                _ => {
                    lists.clear(&gate.name);
                    model.retain(|(known, ..), _| *known != index);
                }
            }
        }
        for (index, gate) in gates.list.iter().enumerate() {
            let mut expected: BTreeMap<IpAddr, Option<u64>> = BTreeMap::new();
            for ((_, address, _), ends) in model.iter().filter(|((known, ..), _)| *known == index) {
                let last = expected.entry(*address).or_insert(*ends);
                *last = last.zip(*ends).map(|(one, other)| one.max(other));
            }
            prop_assert_eq!(lists.sources(&gate.name), expected.into_iter().collect::<Vec<_>>());
        }
        prop_assert_eq!(lists.are_empty(), model.is_empty());
        prop_assert_eq!(lists.next_end(), model.values().flatten().min().copied());

        let mut kernel: Readings = Map::new();
        for edit in lists.restoring(&gates, &Readings::new(), now) {
            let Edit::Add { set, element } = edit else { panic!("{edit:?}") };
            let left = element.timeout.map(|seconds| u64::from(seconds) * 1000);
            prop_assert!(left.is_none_or(|left| left > 0));
            let address = crate::ruleset::address_of(&element.key).unwrap();
            kernel.or_default(set).push(Listed { address, left });
        }
        let mut restored = Lists::default();
        restored.take(&gates, &kernel, now);
        // Not those of a family that the gate does not guard, and not those whose time is over.
        model.retain(|(index, address, _), ends| {
            gates.list[*index].has_family(family_of(*address)) && ends.is_none_or(|ends| ends > now)
        });
        for (index, gate) in gates.list.iter().enumerate() {
            let expected: Vec<(IpAddr, bool, Option<u64>)> = model
                .iter()
                .filter(|((known, ..), _)| *known == index)
                .map(|((_, address, grant), ends)| (*address, *grant, *ends))
                .collect();
            let found: Vec<(IpAddr, bool, Option<u64>)> = restored
                .of(&gate.name)
                .iter()
                .map(|entry| (entry.address, entry.list == List::Grant, entry.ends))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_text_is_a_source_or_a_reason(text in "\\PC{0,60}") {
        let gates = gates(BOTH);
        for gate in &gates.list {
            match source(gate, &text) {
                Ok(address) => prop_assert_eq!(masked(gate, address), address),
                Err(why) => prop_assert!(!why.is_empty() && !why.contains('\n')),
            }
        }
    }
}

/// As many as a gate can hold, all at once: the loop waits meanwhile.
#[test]
fn to_say_who_is_gone_takes_no_longer_for_each_where_many_are() {
    let gates = gates(BOTH);
    let lose = |count: u32| {
        let mut lists = Lists::default();
        for n in 0..count {
            let address = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            for (list, ends) in [(List::Seen, Some(1000)), (List::Grant, (n % 2 == 0).then_some(500))] {
                let origin = None;
                lists.put(
                    "a",
                    Entry {
                        address,
                        list,
                        ends,
                        origin,
                    },
                );
            }
        }
        let start = std::time::Instant::now();
        let gone = lists.take(&gates, &Readings::default(), 2000);
        let took = start.elapsed();
        assert_eq!(gone.len(), count as usize);
        assert!(gone.is_sorted_by_key(|gone| gone.address));
        assert!(gone.iter().enumerate().all(|(n, gone)| gone.expired == (n % 2 == 0)));
        took
    };
    // Sixteen times as many; were each compared with each, 256 times as long. The best of three: the machine has other things to do.
    let best = |count| [(); 3].map(|()| lose(count)).into_iter().min().unwrap();
    let (few, many) = (best(4_096), best(65_536));
    assert!(
        many < few * 100 + std::time::Duration::from_millis(100),
        "{few:?}, {many:?}"
    );
}
