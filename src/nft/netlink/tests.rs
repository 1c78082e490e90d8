//! Without a kernel: both byte orders, and answers that no kernel would give. What the encoding must be is held against the real nft in
//! `tests/nft.rs`.

use super::super::*;
use super::attribute::all_said;
use super::*;
use netlink_packet_core::Emitable;
use proptest::prelude::*;

fn set(name: &str, key: Kind, interval: bool, elements: &[(Value, Value)]) -> Set {
    let range = |(from, to): &(Value, Value)| Range {
        from: from.clone(),
        to: to.clone(),
    };
    let elements = elements
        .iter()
        .map(|ends| Element {
            key: vec![range(ends)],
            timeout: None,
        })
        .collect();
    Set {
        name: name.into(),
        key: vec![key],
        interval,
        dynamic: false,
        timeout: None,
        size: None,
        contents: Contents::Configuration(elements),
    }
}

fn table() -> Table {
    let time = |seconds| Value::Time(seconds);
    let port = Value::InetService;
    let name = Value::Ifname("br-lan".into());
    let statements = vec![
        Match::Is(Field::Time, time(1)),
        Match::Is(Field::L4Proto, Value::InetProto(17)),
        Match::State(vec![State::New]),
        Match::Direction(Direction::Reply),
        Match::Is(Field::EtherSaddr, Value::EtherAddr([1, 2, 3, 4, 5, 6])),
        Match::Is(Field::Ip4Saddr, Value::Ipv4Addr([192, 0, 2, 1].into())),
        Match::Is(Field::UdpDport, port(0x1234)),
        Match::In(vec![Field::Time], "off".into()),
    ];
    let mut statements: Vec<Statement> = statements.into_iter().map(Statement::Match).collect();
    statements.push(Statement::Counter("seen".into()));
    statements.push(Statement::Jump("end".into()));
    let list = Set {
        timeout: Some(Timeout::Seconds(60)),
        size: Some(8),
        contents: Contents::List,
        ..set("held", Kind::Ipv4Addr, false, &[])
    };
    Table {
        name: "t".into(),
        counters: vec!["seen".into()],
        sets: vec![
            set("off", Kind::Time, true, &[(time(1), time(2)), (time(8), time(9))]),
            set("at", Kind::Time, false, &[(time(1), time(1))]),
            set(
                "ports",
                Kind::InetService,
                true,
                &[(port(0), port(5)), (port(7), port(7)), (port(60_000), port(65_535))],
            ),
            set("names", Kind::Ifname, false, &[(name.clone(), name)]),
            list,
        ],
        chains: vec![
            Chain {
                name: "begin".into(),
                base: Some(Base {
                    hook: Hook::Forward,
                    priority: -5,
                }),
                rules: vec![Rule {
                    statements,
                    comment: "!lanward: all".into(),
                }],
            },
            Chain {
                name: "end".into(),
                base: None,
                rules: vec![],
            },
        ],
    }
}

fn bytes_of(messages: &[Message]) -> Vec<u8> {
    batch(messages, 1)
}

/// What a kernel has that keeps what it is sent.
fn kept(table: &Table, endian: Endian) -> Present {
    let mut present = Present::default();
    for received in messages(&bytes_of(&transaction(table, &Present::default(), endian))) {
        present.take(&table.name, &received);
    }
    present
}

/// The values of all attributes of a type, within the expressions of a name.
fn values(endian: Endian, name: &str, path: [u16; 2]) -> Vec<Vec<u8>> {
    values_in(&table().chains[0].rules[0].statements, endian, name, &path)
}

#[test]
fn comparisons_are_as_the_register_is() {
    let common = |time: &[u8], ethernet: &[u8]| {
        vec![
            time.to_vec(),
            vec![17],
            vec![0; 4],
            vec![1],
            ethernet.to_vec(),
            vec![1, 2, 3, 4, 5, 6, 0x08, 0x00],
            vec![192, 0, 2, 1],
            vec![0x12, 0x34],
        ]
    };
    // A second is 0x3b9aca00 nanoseconds.
    let little = common(&[0x00, 0xca, 0x9a, 0x3b, 0, 0, 0, 0], &[1, 0]);
    let big = common(&[0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0x00], &[0, 1]);
    assert_eq!(values(Endian::Little, "cmp", [3, 1]), little);
    assert_eq!(values(Endian::Big, "cmp", [3, 1]), big);
}

#[test]
fn conntrack_states_are_masked_in_the_machines_order() {
    assert_eq!(values(Endian::Little, "bitwise", [4, 1]), [[8, 0, 0, 0]]);
    assert_eq!(values(Endian::Big, "bitwise", [4, 1]), [[0, 0, 0, 8]]);
}

/// The values of an attribute of the only rule of a table with these statements.
fn values_in(statements: &[Statement], endian: Endian, name: &str, path: &[u16]) -> Vec<Vec<u8>> {
    let rule = Rule {
        statements: statements.to_vec(),
        comment: String::new(),
    };
    let list = expressions(&table(), &rule, endian);
    let mut bytes = vec![0; list.as_slice().buffer_len()];
    list.as_slice().emit(&mut bytes);
    let named = |expression: &&[u8]| attribute::string(expression, 1) == Some(name);
    let value = |expression| {
        let data = attribute::find(expression, 2)?;
        path.iter().try_fold(data, |data, kind| attribute::find(data, *kind))
    };
    attributes(&bytes)
        .map(|(_, expression)| expression)
        .filter(named)
        .filter_map(value)
        .map(<[u8]>::to_vec)
        .collect()
}

#[test]
fn marks_are_in_the_machines_order_and_flags_are_one_byte() {
    let exactly = |among, set| Bits::Exactly { among, set };
    let statements = [
        Statement::Match(Match::Mark(Mark::Packet, exactly(0x1234_5678, 0x0204_0608))),
        Statement::Match(Match::Mark(Mark::Connection, Bits::Any(0x1000_0000))),
        Statement::Match(Match::TcpFlags(exactly(0x17, 0x02))),
        Statement::Match(Match::Is(
            Field::Ip6SaddrNet(10),
            Value::Ipv6Addr([0xfe80, 0, 0, 0, 0, 0, 0, 0].into()),
        )),
        Statement::SetMark(Mark::Packet, 0x1000_0000),
    ];
    let mut net_mask = vec![0; 16];
    net_mask[..2].copy_from_slice(&[0xff, 0xc0]);
    let mut net = vec![0; 16];
    net[..2].copy_from_slice(&[0xfe, 0x80]);
    for (endian, turned) in [(Endian::Big, false), (Endian::Little, true)] {
        let number = |mut bytes: Vec<u8>| {
            if turned {
                bytes.reverse();
            }
            bytes
        };
        let masks = vec![
            number(vec![0x12, 0x34, 0x56, 0x78]),
            number(vec![0x10, 0, 0, 0]),
            vec![0x17],
            net_mask.clone(),
            number(vec![0xef, 0xff, 0xff, 0xff]),
        ];
        assert_eq!(values_in(&statements, endian, "bitwise", &[4, 1]), masks);
        let flips = vec![
            vec![0; 4],
            vec![0; 4],
            vec![0],
            vec![0; 16],
            number(vec![0x10, 0, 0, 0]),
        ];
        assert_eq!(values_in(&statements, endian, "bitwise", &[5, 1]), flips);
        let compared = vec![
            number(vec![2, 4, 6, 8]),
            vec![0; 4],
            vec![6],
            vec![2],
            vec![10],
            net.clone(),
        ];
        assert_eq!(values_in(&statements, endian, "cmp", &[3, 1]), compared);
    }
}

/// The kernel keeps them in the machine's order, and compares bytes: they are turned first, and the number is in network order.
#[test]
fn bytes_carried_are_turned_before_they_are_compared() {
    let statements = [Statement::Match(Match::Bytes(Direction::Reply, 5_000_000_000))];
    for endian in [Endian::Little, Endian::Big] {
        assert_eq!(values_in(&statements, endian, "ct", &[3]), [[1]]);
        assert_eq!(values_in(&statements, endian, "byteorder", &[5]), [[0, 0, 0, 8]]);
        assert_eq!(
            values_in(&statements, endian, "cmp", &[3, 1]),
            [5_000_000_000u64.to_be_bytes()]
        );
        assert_eq!(values_in(&statements, endian, "cmp", &[2]), [[0, 0, 0, 5]]);
    }
}

#[test]
fn the_numbers_of_attributes_are_in_network_order_on_every_machine() {
    let statements = [
        Statement::Log {
            group: 0x0102,
            snaplen: 80,
            prefix: "x".into(),
        },
        Statement::Limit { rate: 3, burst: 7 },
        Statement::Element {
            operation: Operation::Add,
            set: "held".into(),
            key: vec![Field::CtIp4Saddr],
            timeout: Some(u32::MAX),
        },
        Statement::Reject(Reject::PortUnreachable),
    ];
    for endian in [Endian::Little, Endian::Big] {
        let one = |name, kind| values_in(&statements, endian, name, &[kind]).concat();
        assert_eq!(one("log", 1), [1, 2]);
        assert_eq!(one("log", 3), [0, 0, 0, 80]);
        assert_eq!(one("limit", 1), [0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(one("limit", 3), [0, 0, 0, 7]);
        assert_eq!(one("dynset", 6), (u64::from(u32::MAX) * 1000).to_be_bytes());
        assert_eq!(one("reject", 1), [0, 0, 0, 2]);
        assert_eq!(one("reject", 2), [1]);
    }
}

#[test]
fn a_local_destination_is_compared_in_the_machines_order() {
    let statements = [Statement::Match(Match::ToThisMachine)];
    assert_eq!(values_in(&statements, Endian::Little, "cmp", &[3, 1]), [[2, 0, 0, 0]]);
    assert_eq!(values_in(&statements, Endian::Big, "cmp", &[3, 1]), [[0, 0, 0, 2]]);
    let statements = [Many::Broadcast, Many::Multicast].map(|many| Statement::Match(Match::NotTo(many)));
    for (endian, values) in [
        (Endian::Little, [[3, 0, 0, 0], [5, 0, 0, 0]]),
        (Endian::Big, [[0, 0, 0, 3], [0, 0, 0, 5]]),
    ] {
        assert_eq!(values_in(&statements, endian, "cmp", &[3, 1]), values);
    }
}

/// nft turns it on a big endian machine too, where the kernel has nothing to do.
#[test]
fn times_are_turned_before_a_lookup_of_ranges() {
    let table = table();
    for endian in [Endian::Little, Endian::Big] {
        let list = expressions(&table, &table.chains[0].rules[0], endian);
        let names = format!("{list:?}")
            .matches("[98, 121, 116, 101, 111, 114, 100, 101, 114, 0]")
            .count();
        assert_eq!(names, 1, "byteorder");
    }
}

fn keys(endian: Endian, name: &str) -> Vec<Vec<u8>> {
    let present = kept(&table(), endian);
    let key = |element: &Vec<u8>| {
        attribute::find(attribute::find(element, 1).unwrap(), 1)
            .unwrap()
            .to_vec()
    };
    present.sets[name].elements.iter().map(key).collect()
}

#[test]
fn ranges_are_in_network_order_and_single_times_are_not() {
    let ranges = [
        [0u8; 8],
        1_000_000_000u64.to_be_bytes(),
        2_000_000_001u64.to_be_bytes(),
        8_000_000_000u64.to_be_bytes(),
        9_000_000_001u64.to_be_bytes(),
    ];
    assert_eq!(keys(Endian::Little, "off"), ranges);
    assert_eq!(keys(Endian::Big, "off"), ranges);
    assert_eq!(keys(Endian::Little, "at"), [1_000_000_000u64.to_le_bytes()]);
    assert_eq!(keys(Endian::Big, "at"), [1_000_000_000u64.to_be_bytes()]);
    assert_eq!(keys(Endian::Big, "names"), [*b"br-lan\0\0\0\0\0\0\0\0\0\0"]);
    // The first range begins at zero, so nothing ends there; the last has no end.
    assert_eq!(
        keys(Endian::Big, "ports"),
        [[0, 0], [0, 6], [0, 7], [0, 8], [0xea, 0x60]]
    );
}

#[test]
fn user_data_is_in_the_machines_order() {
    let userdata = |endian| {
        let list = transaction(&table(), &Present::default(), endian);
        let attributes = &list
            .iter()
            .find(|message| message.about == "set \"off\"")
            .unwrap()
            .attributes;
        attributes.last().unwrap().clone()
    };
    let little = [0, 4, 1, 0, 0, 0, 3, 14, 0, 4, 9, 0, 0, 0, 1, 6, 0, 4, 30, 0, 0, 0];
    let big = [0, 4, 0, 0, 0, 1, 3, 14, 0, 4, 0, 0, 0, 9, 1, 6, 0, 4, 0, 0, 0, 30];
    assert_eq!(
        userdata(Endian::Little),
        Attribute::Leaf {
            kind: 13,
            value: little.to_vec()
        }
    );
    assert_eq!(
        userdata(Endian::Big),
        Attribute::Leaf {
            kind: 13,
            value: big.to_vec()
        }
    );
}

#[test]
fn what_was_sent_is_no_difference_in_either_order() {
    let table = table();
    table.check().unwrap();
    for endian in [Endian::Little, Endian::Big] {
        let present = kept(&table, endian);
        assert_eq!(present.differences(&table, endian), Vec::<String>::new());
        for set in &table.sets {
            let there: Vec<Vec<Range>> = readings(&present, set, endian)
                .into_iter()
                .map(|reading| reading.key)
                .collect();
            let wanted: Vec<Vec<Range>> = set.elements().into_iter().map(|element| element.key).collect();
            assert_eq!(there, wanted, "{}", set.name);
        }
    }
    let crossed = kept(&table, Endian::Little).differences(&table, Endian::Big);
    assert_eq!(crossed.len(), 2, "the rule and the single time: {crossed:?}");
}

#[test]
fn a_dump_may_say_more_only_with_zeros() {
    let sent = [Attribute::u32(1, 7)];
    let dumped = |list: &[Attribute]| {
        let mut bytes = vec![0; list.buffer_len()];
        list.emit(&mut bytes);
        bytes
    };
    assert!(all_said(&sent, &dumped(&[Attribute::u32(1, 7), Attribute::u32(2, 0)])));
    assert!(!all_said(&sent, &dumped(&[Attribute::u32(1, 7), Attribute::u32(2, 1)])));
    assert!(!all_said(&sent, &dumped(&[Attribute::u32(1, 8)])));
    assert!(!all_said(&sent, &dumped(&[])));
}

#[test]
fn only_the_last_message_of_a_transaction_asks_for_an_acknowledgement() {
    let list = transaction(&table(), &Present::default(), Endian::NATIVE);
    let bytes = bytes_of(&list);
    let flags: Vec<u16> = messages(&bytes)
        .map(|received| match received {
            Received::Message { flags, .. } | Received::End { flags, .. } => flags & netlink_packet_core::NLM_F_ACK,
        })
        .collect();
    let mut expected = vec![0; list.len()];
    expected[list.len() - 1] = netlink_packet_core::NLM_F_ACK;
    assert_eq!(flags, expected);
}

#[test]
fn large_sets_go_in_several_messages() {
    let hosts: Vec<(Value, Value)> = (0..20_000u32)
        .map(|n| (Value::Ipv4Addr((n * 4).into()), Value::Ipv4Addr((n * 4 + 1).into())))
        .collect();
    let mut table = table();
    table.sets.push(set("many", Kind::Ipv4Addr, true, &hosts));
    let list = transaction(&table, &Present::default(), Endian::NATIVE);
    for message in &list {
        assert!(
            message
                .attributes
                .iter()
                .all(|attribute| attribute.buffer_len() < 65_536),
            "{}",
            message.about
        );
    }
    assert_eq!(
        kept(&table, Endian::NATIVE).differences(&table, Endian::NATIVE),
        Vec::<String>::new()
    );
}

#[test]
fn the_place_of_an_error_is_named() {
    let list = transaction(&table(), &Present::default(), Endian::NATIVE);
    let rule = list.iter().find(|message| message.about.starts_with("rule ")).unwrap();
    let mut bytes = Vec::new();
    rule.emit(1, &mut bytes);
    let at = bytes.windows(7).position(|window| window == b"objref\0").unwrap() - 4;
    let named = rule.locate(at).unwrap();
    assert!(named.contains("(objref)"), "{named}");
    assert_eq!(rule.locate(0), None);
    assert_eq!(rule.locate(usize::MAX), None);
    assert!(
        rule.about.contains("rule 1 of chain \"begin\" (!lanward: all)"),
        "{}",
        rule.about
    );
}

proptest! {
    /// What is received is never trusted: bytes of any kind, and what was sent with some of them changed.
    #[test]
    fn no_answer_makes_it_panic(
        noise in prop::collection::vec(any::<u8>(), 0..400),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let table = table();
        let mut bytes = bytes_of(&transaction(&table, &Present::default(), Endian::NATIVE));
        for (index, byte) in &changes {
            let at = index.index(bytes.len());
            bytes[at] = *byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        for buffer in [&bytes, &noise] {
            let mut present = kept(&table, Endian::NATIVE);
            for received in messages(buffer) {
                present.take("t", &received);
                let _ = generation(&received);
            }
            for endian in [Endian::Little, Endian::Big] {
                let _ = present.differences(&table, endian);
                let _ = transaction(&table, &present, endian);
                for set in &table.sets {
                    let _ = readings(&present, set, endian);
                }
            }
            let _ = counters(&present);
            let _: Vec<_> = attributes(buffer).collect();
        }
    }

    #[test]
    fn no_error_makes_it_panic(kind in 2u16..4, flags in any::<u16>(), payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = Vec::new();
        bytes.extend(u32::try_from(16 + payload.len()).unwrap().to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        for received in messages(&bytes) {
            let errno = match received {
                Received::End { errno, .. } => errno,
                Received::Message { .. } => 0,
            };
            prop_assert!(errno >= 0);
        }
    }
}
