//! The typed table against the real `nft` and the real kernel, in a network namespace of each test's own.
//!
//! Needs root and nft. Without them a test says SKIP, or fails where the variable CI is set. `LANWARD_NFT` names another nft than the
//! one in PATH.

#![allow(clippy::unwrap_used)]

mod nft_oracle;

use lanward::nft::netlink::neighbours::Does;
use lanward::nft::{
    self, tcp_flag, text, Base, Bits, Chain, Contents, Direction, Element, Family, Field, Hook, Kind, Mark, Match,
    Operation, Range, Reject, Rule, Set, State, Statement, Table, Timeout, Value,
};
use lanward::system::nftables::{Change, Edit, Error, Monitor, Nftables, Reading, Verdict};
use nft_oracle::{namespace, nft, nft_output, without_expiry};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Begins a test that needs root and nft, or ends it.
macro_rules! namespace_or_skip {
    () => {
        if !namespace() {
            return;
        }
    };
}

fn set(name: &str, key: &[Kind], contents: Contents) -> Set {
    Set {
        name: name.into(),
        key: key.to_vec(),
        interval: false,
        dynamic: false,
        timeout: None,
        size: None,
        contents,
    }
}

fn ranges(name: &str, key: &[Kind], elements: Vec<Vec<Range>>) -> Set {
    Set {
        interval: true,
        ..set(name, key, config(elements))
    }
}

fn config(elements: Vec<Vec<Range>>) -> Contents {
    Contents::Configuration(elements.into_iter().map(|key| Element { key, timeout: None }).collect())
}

fn ports(from: u16, to: u16) -> Range {
    Range {
        from: Value::InetService(from),
        to: Value::InetService(to),
    }
}

fn ip4(text: &str) -> Value {
    Value::Ipv4Addr(text.parse().unwrap())
}

fn ip6(text: &str) -> Value {
    Value::Ipv6Addr(text.parse().unwrap())
}

fn name(text: &str) -> Value {
    Value::Ifname(text.into())
}

const MAC: [u8; 6] = [0, 0x11, 0x22, 0x33, 0x44, 0x55];

fn rule(comment: &str, statements: Vec<Statement>) -> Rule {
    Rule {
        statements,
        comment: comment.into(),
    }
}

fn is(field: Field, value: Value) -> Statement {
    Statement::Match(Match::Is(field, value))
}

fn within(fields: &[Field], set: &str) -> Statement {
    Statement::Match(Match::In(fields.to_vec(), set.into()))
}

fn beyond(fields: &[Field], set: &str) -> Statement {
    Statement::Match(Match::NotIn(fields.to_vec(), set.into()))
}

fn element(operation: Operation, set: &str, key: &[Field], timeout: Option<u32>) -> Statement {
    Statement::Element {
        operation,
        set: set.into(),
        key: key.to_vec(),
        timeout,
    }
}

fn count(set: &str, key: &[Field]) -> Statement {
    Statement::Count {
        set: set.into(),
        key: key.to_vec(),
    }
}

fn log(prefix: &str) -> Statement {
    Statement::Log {
        group: 5,
        snaplen: 80,
        prefix: prefix.into(),
    }
}

fn chain(name: &str, base: Option<(Hook, i32)>, rules: Vec<Rule>) -> Chain {
    Chain {
        name: name.into(),
        base: base.map(|(hook, priority)| Base { hook, priority }),
        rules,
    }
}

fn rich_sets() -> Vec<Set> {
    use Kind::{EtherAddr, Ifname, InetProto, InetService, Ipv4Addr as Ip4, Ipv6Addr as Ip6, Time};
    let time = |from, to| Range {
        from: Value::Time(from),
        to: Value::Time(to),
    };
    let range = |from: Value, to: Value| Range { from, to };
    vec![
        set("on", &[InetProto], config(vec![vec![Value::InetProto(17).into()]])),
        Set {
            timeout: Some(Timeout::PerElement),
            size: Some(16),
            ..set("pause", &[InetProto], Contents::List)
        },
        ranges(
            "off",
            &[Time],
            vec![
                vec![time(1_795_000_000, 1_795_030_000)],
                vec![time(1_795_100_000, 1_795_130_000)],
            ],
        ),
        set(
            "moments",
            &[Time],
            config(vec![vec![Value::Time(1_795_000_000).into()]]),
        ),
        ranges(
            "ports",
            &[InetService],
            vec![vec![ports(40001, 51819)], vec![ports(51821, 65535)], vec![ports(7, 7)]],
        ),
        ranges("low", &[InetService], vec![vec![ports(0, 0)], vec![ports(5, 9)]]),
        ranges("empty", &[InetService], vec![]),
        ranges(
            "redirects",
            &[Ip4, InetService],
            vec![
                vec![ip4("192.168.1.10").into(), ports(5000, 5100)],
                vec![ip4("192.168.1.10").into(), ports(5050, 5200)],
                vec![range(ip4("10.0.0.0"), ip4("10.0.255.255")), ports(1, 1)],
            ],
        ),
        ranges(
            "protocols",
            &[InetProto],
            vec![vec![range(Value::InetProto(6), Value::InetProto(17))]],
        ),
        ranges(
            "services",
            &[InetProto, InetService],
            vec![vec![Value::InetProto(17).into(), ports(1, 5)]],
        ),
        set(
            "hosts",
            &[Ip4],
            config(vec![vec![ip4("192.168.1.10").into()], vec![ip4("192.168.1.11").into()]]),
        ),
        ranges(
            "nets",
            &[Ip6],
            vec![vec![range(
                ip6("2001:db8::"),
                ip6("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            )]],
        ),
        ranges(
            "nets4",
            &[Ip4],
            vec![
                vec![range(ip4("10.0.0.0"), ip4("10.0.0.9"))],
                vec![range(ip4("10.1.0.0"), ip4("10.1.255.255"))],
            ],
        ),
        set(
            "members",
            &[Ifname],
            config(vec![vec![name("br-lan").into()], vec![name("pppoe-wan.012ä").into()]]),
        ),
        set("macs", &[EtherAddr], config(vec![vec![Value::EtherAddr(MAC).into()]])),
        ranges(
            "mac_range",
            &[EtherAddr],
            vec![vec![range(
                Value::EtherAddr([0; 6]),
                Value::EtherAddr([0, 0, 0, 0, 1, 0]),
            )]],
        ),
        set(
            "pairs",
            &[Ip6, InetService],
            config(vec![vec![ip6("::1").into(), Value::InetService(22).into()]]),
        ),
        ranges(
            "triples",
            &[EtherAddr, Ip4, Ifname],
            vec![vec![
                Value::EtherAddr(MAC).into(),
                range(ip4("10.0.0.0"), ip4("10.255.255.255")),
                name("lo").into(),
            ]],
        ),
        Set {
            dynamic: true,
            timeout: Some(Timeout::Seconds(60)),
            size: Some(4096),
            ..set("seen", &[Ip4], Contents::List)
        },
        Set {
            dynamic: true,
            timeout: Some(Timeout::Seconds(90061)),
            size: Some(64),
            ..set("seen6", &[Ip6, InetService], Contents::List)
        },
        Set {
            dynamic: true,
            timeout: Some(Timeout::PerElement),
            size: Some(64),
            ..set("admitted6", &[Ip6], Contents::List)
        },
        Set {
            dynamic: true,
            timeout: Some(Timeout::PerElement),
            size: Some(64),
            ..set("ports6", &[InetService, Ip6], Contents::List)
        },
        Set {
            dynamic: true,
            size: Some(64),
            ..set("counted", &[InetProto, InetService], Contents::List)
        },
        Set {
            dynamic: true,
            size: Some(64),
            ..set("counted4", &[Ip4, InetProto, InetService], Contents::List)
        },
        Set {
            size: Some(9),
            timeout: Some(Timeout::Seconds(3600)),
            ..set("listed", &[Ip4, InetService], Contents::List)
        },
        Set {
            timeout: Some(Timeout::PerElement),
            ..set(
                "lent",
                &[Ip4],
                Contents::Configuration(vec![Element {
                    key: vec![ip4("192.0.2.1").into()],
                    timeout: Some(86400),
                }]),
            )
        },
    ]
}

fn rich_rules() -> Vec<Rule> {
    use Field::*;
    let matched = |m: Match| Statement::Match(m);
    let mut rules: Vec<Vec<Statement>> = vec![
        vec![matched(Match::Direction(Direction::Reply)), Statement::Return],
        vec![matched(Match::Direction(Direction::Original)), Statement::Accept],
        vec![
            matched(Match::StatusDnat),
            matched(Match::StatusAssured),
            matched(Match::StatusAssuredNoDnat),
            Statement::Accept,
        ],
        vec![matched(Match::State(vec![State::New])), Statement::Return],
        vec![
            matched(Match::State(vec![
                State::Related,
                State::Established,
                State::Invalid,
                State::Untracked,
            ])),
            Statement::Return,
        ],
        vec![within(&[L4Proto], "pause"), Statement::Return],
        vec![within(&[L4Proto], "protocols"), Statement::Return],
        vec![within(&[Time], "off"), Statement::Return],
        vec![within(&[Time], "moments"), Statement::Return],
        vec![is(Time, Value::Time(1_795_000_000)), Statement::Drop],
        vec![
            within(&[IifName], "members"),
            matched(Match::BeginsWith(OifName, "tun".into())),
            within(&[UdpDport], "ports"),
            Statement::Counter("dropped".into()),
            Statement::Drop,
        ],
        vec![
            beyond(&[IifName], "members"),
            is(OifName, name("pppoe-wan")),
            beyond(&[UdpSport], "low"),
            Statement::Drop,
        ],
        vec![within(&[Ip4Daddr, UdpDport], "redirects"), Statement::Accept],
        vec![within(&[L4Proto, UdpDport], "services"), Statement::Accept],
        vec![is(EtherSaddr, Value::EtherAddr(MAC)), Statement::Accept],
        vec![beyond(&[EtherSaddr], "macs"), Statement::Counter("other".into())],
        vec![
            within(&[EtherSaddr], "mac_range"),
            is(Ip6Saddr, ip6("::1")),
            Statement::Counter("other".into()),
        ],
        vec![
            is(EtherSaddr, Value::EtherAddr(MAC)),
            is(IifName, name("lo")),
            is(Ip4Saddr, ip4("1.2.3.4")),
            Statement::Drop,
        ],
        vec![within(&[EtherSaddr, Ip4Saddr, IifName], "triples"), Statement::Drop],
        vec![
            within(&[Ip6Saddr], "nets"),
            within(&[Ip6Daddr], "nets"),
            Statement::Accept,
        ],
        vec![
            within(&[Ip4Saddr], "nets4"),
            beyond(&[Ip4Daddr], "hosts"),
            Statement::Accept,
        ],
        vec![within(&[Ip6Daddr, TcpDport], "pairs"), Statement::Accept],
        vec![
            is(UdpSport, Value::InetService(5)),
            is(UdpDport, Value::InetService(6)),
            Statement::Accept,
        ],
        vec![
            is(L4Proto, Value::InetProto(6)),
            is(TcpSport, Value::InetService(6)),
            Statement::Accept,
        ],
        vec![
            is(L4Proto, Value::InetProto(1)),
            Statement::Counter("other".into()),
            Statement::Accept,
        ],
        vec![
            matched(Match::Family(Family::Ipv4)),
            is(Ip4Saddr, ip4("1.2.3.4")),
            Statement::Goto("other".into()),
        ],
        vec![
            matched(Match::Family(Family::Ipv6)),
            is(L4Proto, Value::InetProto(17)),
            Statement::Jump("other".into()),
        ],
        vec![
            within(&[TcpDport], "low"),
            element(Operation::Update, "seen", &[Ip4Saddr], None),
        ],
        vec![
            element(Operation::Update, "seen6", &[Ip6Saddr, TcpDport], None),
            Statement::Accept,
        ],
        vec![
            is(L4Proto, Value::InetProto(17)),
            count("counted", &[L4Proto, UdpDport]),
        ],
        vec![
            is(L4Proto, Value::InetProto(6)),
            within(&[Ip4Saddr, L4Proto, CtDport], "counted4"),
            count("counted4", &[Ip4Saddr, L4Proto, CtDport]),
        ],
        vec![beyond(&[Ip4Saddr, TcpSport], "listed"), Statement::Drop],
        vec![
            is(Ip4Saddr, ip4("1.2.3.4")),
            is(Ip4Daddr, ip4("1.2.3.5")),
            Statement::Counter("other".into()),
            Statement::Drop,
        ],
    ];
    rules.extend(gate_rules());
    let mut rules: Vec<Rule> = rules
        .drain(..)
        .enumerate()
        .map(|(n, list)| rule(&format!("!lanward: {n} – 'ä' \\ $x @y"), list))
        .collect();
    rules[0].comment = "x".repeat(127);
    rules[1].comment = String::new();
    rules
}

const BIT: u32 = 0x1000_0000;

/// What a gate needs to be said.
fn gate_rules() -> Vec<Vec<Statement>> {
    use tcp_flag::{ACK, FIN, RST, SYN};
    use Field::*;
    use Operation::{Add, Delete, Update};
    let matched = |m: Match| Statement::Match(m);
    let flags = |bits| Statement::Match(Match::TcpFlags(bits));
    let exactly = |among, set| Bits::Exactly { among, set };
    let mark = |mark, bits| Statement::Match(Match::Mark(mark, bits));
    let tcp = || is(L4Proto, Value::InetProto(6));
    let ssh = |field| is(field, Value::InetService(22));
    vec![
        vec![
            within(&[IifName], "members"),
            ssh(TcpDport),
            within(&[Ip4Saddr], "seen"),
            Statement::SetMark(Mark::Packet, BIT),
            Statement::Counter("other".into()),
        ],
        vec![Statement::SetMark(Mark::Connection, 3)],
        vec![Statement::ClearMark(Mark::Packet, BIT)],
        vec![
            Statement::ClearMark(Mark::Connection, 3),
            Statement::Counter("other".into()),
        ],
        vec![mark(Mark::Packet, exactly(BIT, BIT)), Statement::Accept],
        vec![mark(Mark::Packet, exactly(BIT | 1, 1)), Statement::Accept],
        vec![mark(Mark::Packet, exactly(BIT, 0)), Statement::Accept],
        vec![mark(Mark::Packet, Bits::Any(BIT)), Statement::Accept],
        vec![
            mark(Mark::Connection, Bits::Any(0x30)),
            Statement::SetMark(Mark::Packet, BIT),
        ],
        vec![mark(Mark::Connection, exactly(0x30, 0x10)), Statement::Accept],
        vec![flags(exactly(FIN | SYN | RST | ACK, SYN)), Statement::Accept],
        vec![flags(exactly(FIN | SYN | RST | ACK, SYN | ACK)), Statement::Accept],
        vec![flags(exactly(FIN | SYN | RST, 0)), Statement::Accept],
        vec![flags(exactly(FIN, FIN)), Statement::Accept],
        vec![flags(exactly(0xfe, 0xca)), Statement::Accept],
        vec![ssh(TcpDport), flags(Bits::Any(FIN | RST)), Statement::Return],
        vec![tcp(), flags(Bits::Any(FIN)), Statement::Return],
        vec![ssh(TcpSport), ssh(TcpDport), flags(Bits::Any(0x7f)), Statement::Return],
        vec![
            matched(Match::Bytes(Direction::Original, 5_000_000_000)),
            Statement::Return,
        ],
        vec![matched(Match::Bytes(Direction::Reply, 70)), Statement::Return],
        vec![
            matched(Match::ToThisMachine),
            within(&[Ip4Daddr], "hosts"),
            Statement::Return,
        ],
        vec![is(Ip6Saddr, ip6("fe80::1")), Statement::Return],
        vec![is(Ip6SaddrNet(10), ip6("fe80::")), Statement::Return],
        vec![
            is(Ip6SaddrNet(64), ip6("2001:db8::")),
            is(Ip6DaddrNet(16), ip6("2001::")),
            Statement::Return,
        ],
        vec![is(CtIp6SaddrNet(7), ip6("fc00::")), Statement::Return],
        vec![ssh(TcpDport), element(Update, "seen", &[Ip4Saddr], Some(90))],
        vec![element(Add, "seen", &[Ip4Daddr], Some(3600)), Statement::Accept],
        vec![element(Add, "seen", &[Ip4Daddr], None), Statement::Accept],
        vec![
            flags(Bits::Any(FIN | RST)),
            element(Delete, "seen", &[CtIp4Saddr], None),
            Statement::Counter("other".into()),
        ],
        vec![element(Delete, "admitted6", &[CtIp6SaddrNet(64)], None)],
        vec![
            element(Update, "admitted6", &[Ip6SaddrNet(64)], Some(4_000_000_000)),
            Statement::Accept,
        ],
        vec![
            element(Update, "seen6", &[Ip6SaddrNet(56), TcpDport], Some(7)),
            Statement::Accept,
        ],
        vec![
            element(Add, "ports6", &[TcpDport, Ip6DaddrNet(48)], None),
            Statement::Accept,
        ],
        vec![within(&[Ip6SaddrNet(64)], "admitted6"), Statement::Accept],
        vec![beyond(&[Ip6DaddrNet(64)], "admitted6"), Statement::Accept],
        vec![within(&[Ip6SaddrNet(127), TcpDport], "seen6"), Statement::Accept],
        vec![beyond(&[TcpDport, Ip6SaddrNet(1)], "ports6"), Statement::Accept],
        vec![within(&[Ip6SaddrNet(64)], "nets"), Statement::Accept],
        vec![tcp(), ssh(CtDport), is(CtIp4Daddr, ip4("192.0.2.1")), Statement::Accept],
        vec![
            is(L4Proto, Value::InetProto(17)),
            within(&[CtDport], "ports"),
            Statement::Accept,
        ],
        vec![tcp(), within(&[CtIp4Saddr, CtDport], "listed"), Statement::Accept],
        vec![tcp(), beyond(&[CtIp6Daddr, CtDport], "pairs"), Statement::Accept],
        vec![
            within(&[CtIp6Saddr], "nets"),
            is(Ip6Daddr, ip6("::1")),
            Statement::Accept,
        ],
        vec![
            matched(Match::Family(Family::Ipv4)),
            within(&[CtIp4Saddr], "seen"),
            Statement::Limit { rate: 100, burst: 1000 },
            log("lanward: 'ä' \\ %s @x {;} * "),
            Statement::Drop,
        ],
        vec![
            log(&"x".repeat(127)),
            Statement::Limit { rate: 1, burst: 1 },
            Statement::Drop,
        ],
        vec![ssh(TcpDport), Statement::Reject(Reject::TcpReset)],
        vec![
            tcp(),
            within(&[Ip4Saddr], "seen"),
            log("x"),
            Statement::Reject(Reject::TcpReset),
        ],
        vec![within(&[Ip4Saddr], "seen"), Statement::Reject(Reject::PortUnreachable)],
        vec![Statement::Reject(Reject::PortUnreachable)],
    ]
}

fn rich() -> Table {
    let table = Table {
        name: "lanward".into(),
        counters: vec!["dropped".into(), "other".into()],
        sets: rich_sets(),
        chains: vec![
            chain(
                "forward",
                Some((Hook::Forward, -10)),
                vec![rule(
                    "",
                    vec![within(&[Field::L4Proto], "on"), Statement::Jump("many".into())],
                )],
            ),
            chain("prerouting", Some((Hook::Prerouting, -105)), vec![]),
            chain("input", Some((Hook::Input, -250)), vec![]),
            chain("output", Some((Hook::Output, -150)), vec![]),
            chain("postrouting", Some((Hook::Postrouting, 100)), vec![]),
            chain("many", None, rich_rules()),
            chain("other", None, vec![rule("empty but for this", vec![Statement::Return])]),
        ],
    };
    table.check().expect("the test's own table");
    table
}

fn listing() -> String {
    nft_output(&["list", "table", "inet", "lanward"])
}

fn run_script(table: &Table) {
    nft(&["-f", "-"], &text::script(table));
}

#[test]
fn script_and_netlink_give_the_same_table() {
    namespace_or_skip!();
    let table = rich();
    run_script(&table);
    let by_script = without_expiry(&listing());
    let mut nftables = Nftables::open().unwrap();
    assert_eq!(
        nftables.verify(&table).unwrap(),
        Verdict::Same,
        "what the script applied"
    );
    nftables.delete_table("lanward").unwrap();
    nftables.delete_table("lanward").unwrap();
    assert_eq!(nftables.verify(&table).unwrap(), Verdict::Missing);
    nftables.apply(&table).unwrap();
    assert_eq!(without_expiry(&listing()), by_script);
    assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same);
    assert!(
        by_script.contains("2026-11-18") && by_script.contains("51821-65535"),
        "{by_script}"
    );
}

#[test]
fn list_prints_what_nft_prints() {
    namespace_or_skip!();
    let mut table = rich();
    // nft lists this one in another order, because it merges what asks for the addresses' bytes.
    let is_merged = |rule: &Rule| rule.statements.contains(&is(Field::IifName, name("lo")));
    table.chains[5].rules.retain(|rule| !is_merged(rule));
    Nftables::open().unwrap().apply(&table).unwrap();
    let theirs = nft_oracle::normalized(&nft_oracle::with_todays_flags(&listing()));
    nft_oracle::assert_same_words(&nft_oracle::normalized(&text::list(&table)), &theirs);
}

#[test]
fn nft_takes_the_script() {
    namespace_or_skip!();
    nft(&["-c", "-f", "-"], &text::script(&rich()));
    let nothing = Table {
        name: "lanward".into(),
        counters: vec![],
        sets: vec![],
        chains: vec![],
    };
    nft(&["-c", "-f", "-"], &text::script(&nothing));
}

#[test]
fn applying_again_either_way_keeps_lists_and_counters() {
    namespace_or_skip!();
    let table = rich();
    let mut nftables = Nftables::open().unwrap();
    nftables.apply(&table).unwrap();
    nft(
        &[
            "add",
            "element",
            "inet",
            "lanward",
            "listed",
            "{ 10.0.0.1 . 22 timeout 600s }",
        ],
        "",
    );
    nft(&["add", "element", "inet", "lanward", "seen", "{ 10.0.0.2 }"], "");
    nft(
        &["add", "element", "inet", "lanward", "pause", "{ udp timeout 50s, 6 }"],
        "",
    );
    let before = without_expiry(&listing());
    std::thread::sleep(Duration::from_millis(1500));
    let list = table.set("listed").unwrap();
    for round in 0..6 {
        match round % 2 {
            0 => nftables.apply(&table).unwrap(),
            _ => run_script(&table),
        }
        assert_eq!(without_expiry(&listing()), before, "round {round}");
        assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same, "round {round}");
        let left = nftables.elements("lanward", list).unwrap()[0].expires.unwrap();
        assert!((570_000..598_600).contains(&left), "{left} ms are left");
    }
    let pause = nftables.elements("lanward", table.set("pause").unwrap()).unwrap();
    assert_eq!(pause[0].expires, None);
    assert!(
        pause[1].expires.is_some_and(|left| (20_000..48_600).contains(&left)),
        "{pause:?}"
    );
}

#[test]
fn what_is_stale_goes_and_what_changed_is_made_anew() {
    namespace_or_skip!();
    let table = rich();
    let mut nftables = Nftables::open().unwrap();
    run_script(&table);
    nft(
        &["-f", "-"],
        "table inet lanward {
            map old { type ipv4_addr : verdict; elements = { 1.2.3.4 : jump stale } ; }
            quota q { over 10 mbytes }
            chain stale { jump other; }
            chain hooked { type nat hook output priority 3; policy drop; ip saddr vmap @old; }
        }",
    );
    let Verdict::Differs(found) = nftables.verify(&table).unwrap() else {
        panic!("not seen");
    };
    assert_eq!(found.len(), 4, "{found:?}");
    nftables.apply(&table).unwrap();
    assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same);

    let mut changed = table.clone();
    changed.chains[0].base = Some(Base {
        hook: Hook::Forward,
        priority: 7,
    });
    changed.chains[1].base = None;
    changed.counters.remove(0);
    changed.chains[5]
        .rules
        .retain(|rule| !rule.statements.contains(&Statement::Counter("dropped".into())));
    let on = changed.sets.iter_mut().find(|set| set.name == "on").unwrap();
    on.interval = true;
    assert!(matches!(nftables.verify(&changed).unwrap(), Verdict::Differs(_)));
    nftables.apply(&changed).unwrap();
    assert_eq!(nftables.verify(&changed).unwrap(), Verdict::Same);
    nftables.delete_table("lanward").unwrap();
    let fresh = {
        nftables.apply(&changed).unwrap();
        without_expiry(&listing())
    };
    nftables.apply(&table).unwrap();
    nftables.apply(&changed).unwrap();
    assert_eq!(nft_oracle::sorted_blocks(&listing()), nft_oracle::sorted_blocks(&fresh));
}

#[test]
fn a_list_that_changes_size_or_timeout_keeps_its_elements() {
    namespace_or_skip!();
    let mut table = rich();
    let mut nftables = Nftables::open().unwrap();
    nftables.apply(&table).unwrap();
    nft(
        &[
            "add",
            "element",
            "inet",
            "lanward",
            "seen",
            "{ 10.0.0.1, 10.0.0.2 timeout 1h, 10.0.0.3 timeout 5s }",
        ],
        "",
    );
    let seen = table.sets.iter_mut().find(|set| set.name == "seen").unwrap();
    seen.timeout = Some(Timeout::Seconds(30));
    seen.size = Some(5000);
    let seen = seen.clone();
    nftables.apply(&table).unwrap();
    assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same);
    let left: Vec<u64> = nftables
        .elements("lanward", &seen)
        .unwrap()
        .iter()
        .map(|reading| reading.expires.unwrap())
        .collect();
    assert!(left.len() == 3 && (25_000..=30_000).contains(&left[0]), "{left:?}");
    assert!(
        (3_590_000..=3_600_000).contains(&left[1]) && (1_000..=5_000).contains(&left[2]),
        "{left:?}"
    );

    let mut per_element = table.clone();
    let seen = per_element.sets.iter_mut().find(|set| set.name == "seen").unwrap();
    seen.timeout = Some(Timeout::PerElement);
    seen.size = Some(2);
    let seen = seen.clone();
    nftables.apply(&per_element).unwrap();
    assert_eq!(nftables.verify(&per_element).unwrap(), Verdict::Same);
    let kept = nftables.elements("lanward", &seen).unwrap();
    assert!(
        kept.len() == 2 && kept.iter().all(|reading| reading.expires.is_some()),
        "{kept:?}"
    );
}

#[test]
fn expressions_are_those_that_nft_sends() {
    namespace_or_skip!();
    nft_oracle::compare_rules(&rich());
}

#[test]
fn verify_sees_what_others_do() {
    namespace_or_skip!();
    let table = rich();
    let mut nftables = Nftables::open().unwrap();
    let meddling: &[&[&str]] = &[
        &["flush", "chain", "inet", "lanward", "many"],
        &["insert", "rule", "inet", "lanward", "forward", "accept"],
        &["add", "rule", "inet", "lanward", "prerouting", "counter"],
        &["delete", "element", "inet", "lanward", "on", "{ udp }"],
        &["add", "element", "inet", "lanward", "on", "{ tcp }"],
        &["add", "element", "inet", "lanward", "redirects", "{ 1.2.3.4 . 5 }"],
        &["delete", "element", "inet", "lanward", "ports", "{ 51821-65535 }"],
        &["flush", "set", "inet", "lanward", "off"],
        &["add", "chain", "inet", "lanward", "more"],
        &["add", "chain", "inet", "lanward", "forward", "{ policy drop; }"],
        &["add", "set", "inet", "lanward", "more", "{ type ipv4_addr; }"],
        &["add", "counter", "inet", "lanward", "more"],
        &["add", "table", "inet", "lanward", "{ flags dormant; }"],
    ];
    for command in meddling {
        nftables.apply(&table).unwrap();
        assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same, "before {command:?}");
        nft(command, "");
        let Verdict::Differs(found) = nftables.verify(&table).unwrap() else {
            panic!("{command:?} was not seen");
        };
        assert_eq!(found.len(), 1, "{command:?}: {found:?}");
    }
    nftables.apply(&table).unwrap();
    assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same);
    nft(
        &["add", "element", "inet", "lanward", "listed", "{ 10.0.0.1 . 22 }"],
        "",
    );
    assert_eq!(
        nftables.verify(&table).unwrap(),
        Verdict::Same,
        "a list's elements are not the configuration's"
    );
    nft(&["flush", "ruleset"], "");
    assert_eq!(nftables.verify(&table).unwrap(), Verdict::Missing);
    assert_eq!(nftables.counters("lanward").unwrap().len(), 0);
    assert_eq!(nftables.elements("lanward", table.set("listed").unwrap()).unwrap(), []);
}

/// Every rule replaced by another one of the table: no two rules of the rich table pass for one another.
#[test]
fn verify_tells_every_two_rules_apart() {
    namespace_or_skip!();
    let mut table = rich();
    for rule in &mut table.chains[5].rules {
        rule.comment = String::new();
    }
    let mut nftables = Nftables::open().unwrap();
    nftables.apply(&table).unwrap();
    let count = table.chains[5].rules.len();
    for turn in 1..count {
        let mut turned = table.clone();
        turned.chains[5].rules.rotate_left(turn);
        let Verdict::Differs(found) = nftables.verify(&turned).unwrap() else {
            panic!("turned by {turn}");
        };
        assert_eq!(found.len(), count, "turned by {turn}");
    }
}

#[test]
fn edits_replace_timeouts_and_tolerate_absence() {
    namespace_or_skip!();
    let table = rich();
    let mut nftables = Nftables::open().unwrap();
    nftables.apply(&table).unwrap();
    let pause = table.set("pause").unwrap();
    let udp = |timeout| Element {
        key: vec![Value::InetProto(17).into()],
        timeout,
    };
    let add = |timeout| Edit::Add {
        set: "pause".into(),
        element: udp(timeout),
    };
    let delete = || Edit::Delete {
        set: "pause".into(),
        element: udp(None),
    };
    let renew = |seconds| Edit::Renew {
        set: "pause".into(),
        element: udp(Some(seconds)),
    };
    let mut left = |edits: &[Edit]| {
        nftables.edit(&table, edits).unwrap();
        nftables
            .elements("lanward", pause)
            .unwrap()
            .first()
            .map(|reading| reading.expires)
    };
    assert_eq!(left(&[delete()]), None);
    assert!(left(&[add(Some(100))]).is_some_and(|ms| (90_000..=100_000).contains(&ms.unwrap())));
    assert!(
        left(&[add(Some(30))]).is_some_and(|ms| (20_000..=30_000).contains(&ms.unwrap())),
        "shortened"
    );
    assert!(
        left(&[add(Some(300))]).is_some_and(|ms| (290_000..=300_000).contains(&ms.unwrap())),
        "extended"
    );
    assert!(left(&[renew(50)]).is_some_and(|ms| (40_000..=50_000).contains(&ms.unwrap())));
    assert_eq!(left(&[delete(), renew(50)]), None, "what is gone stays gone");
    assert_eq!(left(&[renew(50)]), None);
    assert_eq!(left(&[add(None)]), Some(None), "for ever");
    assert_eq!(left(&[delete(), delete()]), None);
    assert_eq!(
        left(&[add(None), delete(), add(None), Edit::Flush { set: "pause".into() }]),
        None
    );
    assert!(left(&[Edit::Flush { set: "pause".into() }, add(None), add(Some(1))]).is_some());
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(left(&[]), None, "the kernel ends the pause");
    assert_eq!(left(&[delete()]), None, "expired is absent");
}

#[test]
fn edits_of_full_sets_ranges_and_wrong_elements() {
    namespace_or_skip!();
    let mut table = rich();
    for set in table.sets.iter_mut().filter(|set| set.name == "pause") {
        set.size = Some(2);
    }
    let mut nftables = Nftables::open().unwrap();
    nftables.apply(&table).unwrap();
    let add = |protocol| Edit::Add {
        set: "pause".into(),
        element: Element {
            key: vec![Value::InetProto(protocol).into()],
            timeout: Some(9),
        },
    };
    nftables.edit(&table, &[add(1), add(2)]).unwrap();
    nftables
        .edit(&table, &[add(1), add(2)])
        .expect("full, but they are there");
    let refused = nftables.edit(&table, &[add(3)]).unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { errno: libc::ENFILE, about, .. } if about.contains("pause")),
        "{refused}"
    );

    let low = table.set("low").unwrap();
    let range = |from, to| Element {
        key: vec![ports(from, to)],
        timeout: None,
    };
    nftables
        .edit(
            &table,
            &[Edit::Add {
                set: "low".into(),
                element: range(20, 65535),
            }],
        )
        .unwrap();
    nftables
        .edit(
            &table,
            &[Edit::Add {
                set: "low".into(),
                element: range(20, 65535),
            }],
        )
        .unwrap();
    nftables
        .edit(
            &table,
            &[Edit::Delete {
                set: "low".into(),
                element: range(5, 9),
            }],
        )
        .unwrap();
    nftables
        .edit(
            &table,
            &[Edit::Delete {
                set: "low".into(),
                element: range(6, 9),
            }],
        )
        .unwrap();
    let there: Vec<Range> = nftables
        .elements("lanward", low)
        .unwrap()
        .into_iter()
        .map(|reading| reading.key[0].clone())
        .collect();
    assert_eq!(there, [ports(0, 0), ports(20, 65535)]);

    let many: Vec<Edit> = (0..5000u32)
        .map(|n| Edit::Add {
            set: "hosts".into(),
            element: Element {
                key: vec![Value::Ipv4Addr(Ipv4Addr::from(n)).into()],
                timeout: None,
            },
        })
        .collect();
    nftables.edit(&table, &many).unwrap();
    assert_eq!(
        nftables.elements("lanward", table.set("hosts").unwrap()).unwrap().len(),
        5002
    );

    let wrong = Edit::Add {
        set: "pause".into(),
        element: range(1, 1),
    };
    assert!(matches!(nftables.edit(&table, &[wrong]), Err(Error::Fault(_))));
    assert!(matches!(
        nftables.edit(&table, &[Edit::Flush { set: "none".into() }]),
        Err(Error::Fault(_))
    ));
}

#[test]
fn the_kernels_reason_names_the_rule_and_its_part() {
    namespace_or_skip!();
    let table = rich();
    let mut nftables = Nftables::open().unwrap();
    nftables.apply(&table).unwrap();
    nft(&["flush", "ruleset"], "");
    let gone = nftables
        .edit(&table, &[Edit::Flush { set: "listed".into() }])
        .unwrap_err();
    assert!(gone.is_absence(), "{gone}");
    let mut looping = table.clone();
    looping.chains[6]
        .rules
        .insert(0, rule("back", vec![Statement::Jump("many".into())]));
    let refused = nftables.apply(&looping).unwrap_err().to_string();
    assert!(refused.contains("chain \"other\""), "{refused}");
    let mut overflowing = table.clone();
    overflowing
        .sets
        .iter_mut()
        .find(|set| set.name == "hosts")
        .unwrap()
        .size = Some(1);
    let refused = nftables.apply(&overflowing).unwrap_err().to_string();
    assert!(refused.contains("set \"hosts\""), "{refused}");
    assert_eq!(nftables.verify(&table).unwrap(), Verdict::Missing, "all or nothing");
}

#[test]
fn tens_of_thousands_of_elements() {
    namespace_or_skip!();
    let mut table = rich();
    let ranges_of_4: Vec<Vec<Range>> = (0..50_000u32)
        .map(|n| {
            vec![Range {
                from: Value::Ipv4Addr(Ipv4Addr::from(n * 8)),
                to: Value::Ipv4Addr(Ipv4Addr::from(n * 8 + 3)),
            }]
        })
        .collect();
    for set in table.sets.iter_mut().filter(|set| set.name == "nets4") {
        set.contents = config(ranges_of_4.clone());
    }
    let mut nftables = Nftables::open().unwrap();
    for _ in 0..2 {
        nftables.apply(&table).unwrap();
        assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same);
    }
}

/// Loads another package's set of 200 000 ranges.
fn load_foreign() {
    let mut script =
        String::from("table inet foreign {\n set blocked { type ipv4_addr; flags interval; elements = {\n");
    for n in 0..200_000u32 {
        script += &format!("{}-{},\n", Ipv4Addr::from(n * 16), Ipv4Addr::from(n * 16 + 3));
    }
    script += "} ; }\n}\n";
    nft(&["-f", "-"], &script);
}

type Step<'a> = &'a mut dyn FnMut(&mut Nftables);

#[test]
fn a_foreign_set_of_200_000_costs_nothing() {
    namespace_or_skip!();
    let table = rich();
    let mut nftables = Nftables::open().unwrap();
    let pause = table.set("pause").unwrap();
    let element = Element {
        key: vec![Value::InetProto(17).into()],
        timeout: Some(60),
    };
    let add = [Edit::Add {
        set: "pause".into(),
        element,
    }];
    let mut time = || {
        let steps: [(&str, Step); 5] = [
            ("apply", &mut |nftables| nftables.apply(&table).unwrap()),
            ("verify", &mut |nftables| {
                assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same);
            }),
            ("edit", &mut |nftables| nftables.edit(&table, &add).unwrap()),
            ("counters", &mut |nftables| {
                assert_eq!(nftables.counters("lanward").unwrap().len(), 2);
            }),
            ("elements", &mut |nftables| {
                assert!(nftables.elements("lanward", pause).unwrap().len() < 2);
            }),
        ];
        let mut total = Duration::ZERO;
        for (name, step) in steps {
            let timed = |_| {
                let begin = Instant::now();
                step(&mut nftables);
                begin.elapsed()
            };
            let best = (0..5).map(timed).min().unwrap();
            println!("{name}: {best:?}");
            total += best;
        }
        total
    };
    let without = time();
    load_foreign();
    let with = time();
    println!("all: {without:?}; with a foreign set of 200 000: {with:?}");
    assert!(
        with < without * 3 + Duration::from_millis(20),
        "{without:?} became {with:?}"
    );
}

#[test]
fn the_monitor_sees_each_transaction_once() {
    namespace_or_skip!();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut monitor = Monitor::open().unwrap();
        let table = rich();
        let mut nftables = Nftables::open().unwrap();
        nftables.apply(&table).unwrap();
        let Change::Generation { port_id, .. } = soon(&mut monitor).await.expect("own") else {
            panic!("lost")
        };
        assert_eq!(port_id, nftables.port_id());
        nft(&["add", "table", "inet", "elsewhere"], "");
        let Change::Generation { port_id, process } = soon(&mut monitor).await.expect("foreign") else {
            panic!("lost")
        };
        assert_ne!(port_id, nftables.port_id());
        assert!(
            process == "nft" || std::env::var_os("LANWARD_NFT").is_some(),
            "{process}"
        );
        load_foreign();
        assert!(matches!(soon(&mut monitor).await, Some(Change::Generation { process, .. }) if !process.is_empty()));
        assert_eq!(soon(&mut monitor).await, None, "one wake-up for 200 000 elements");
        nft(&["flush", "ruleset"], "");
        assert!(matches!(soon(&mut monitor).await, Some(Change::Generation { .. })));
    });
}

async fn soon(monitor: &mut Monitor) -> Option<Change> {
    tokio::time::timeout(Duration::from_millis(500), monitor.next())
        .await
        .ok()
}

/// Others that change the ruleset all the time neither break an apply nor a reading.
#[test]
fn in_the_middle_of_foreign_changes() {
    namespace_or_skip!();
    let table = rich();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                nft(&["-f", "-"], "table inet other { set s { type ipv4_addr; }\n}\nflush table inet other\nadd element inet other s { 1.2.3.4 }");
                run_script(&table);
                nft(&["delete", "table", "inet", "lanward"], "");
            }
        });
        let mut nftables = Nftables::open().unwrap();
        for _ in 0..200 {
            nftables.apply(&table).unwrap();
            nftables.verify(&table).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn readings_of_counters() {
    namespace_or_skip!();
    nft(
        &["-f", "-"],
        "table inet lanward { counter c { packets 5000000000 bytes 7 }\n counter d { }\n quota q { 5 mbytes }\n}",
    );
    let counters = Nftables::open().unwrap().counters("lanward").unwrap();
    let counters: Vec<_> = counters
        .iter()
        .map(|(name, counter)| (name.as_str(), counter.packets, counter.bytes))
        .collect();
    assert_eq!(counters, [("c", 5_000_000_000, 7), ("d", 0, 0)]);
}

#[test]
fn readings_of_elements_as_nft_put_them_in() {
    namespace_or_skip!();
    let table = rich();
    run_script(&table);
    let mut nftables = Nftables::open().unwrap();
    for set in table
        .sets
        .iter()
        .filter(|set| matches!(set.contents, Contents::Configuration(_)))
    {
        let there: Vec<Vec<Range>> = nftables
            .elements("lanward", set)
            .unwrap()
            .into_iter()
            .map(|Reading { key, .. }| key)
            .collect();
        let wanted: Vec<Vec<Range>> = set.elements().into_iter().map(|element| element.key).collect();
        assert_eq!(there, wanted, "{}", set.name);
    }
}

#[test]
fn random_tables_both_ways() {
    namespace_or_skip!();
    use proptest::test_runner::{Config, TestRunner};
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let rules = proptest::collection::vec(nft_oracle::any_rule(), 1..12);
    let outcome = runner.run(&rules, |rules| {
        let mut nftables = Nftables::open().unwrap();
        let mut table = rich();
        table.chains[5].rules = rules
            .into_iter()
            .filter(|rule| nft_oracle::fits(&table, rule))
            .collect();
        nft_oracle::compare_rules(&table);
        nftables.delete_table("lanward").unwrap();
        run_script(&table);
        let by_script = without_expiry(&listing());
        assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same);
        nftables.delete_table("lanward").unwrap();
        nftables.apply(&table).unwrap();
        assert_eq!(without_expiry(&listing()), by_script);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn names_from_outside_cannot_leave_their_quotes() {
    namespace_or_skip!();
    let evil = "x\" accept; } } flush ruleset #\n\"";
    let mut table = rich();
    table.chains[5].rules = vec![rule(
        evil,
        vec![
            is(Field::IifName, name("a\"b")),
            Statement::Match(Match::BeginsWith(Field::OifName, "\"}\n".into())),
            Statement::Drop,
        ],
    )];
    table
        .sets
        .iter_mut()
        .find(|set| set.name == "members")
        .unwrap()
        .contents = config(vec![vec![name("e\"th*").into()], vec![name("").into()]]);
    assert!(table.check().is_err());
    assert!(matches!(Nftables::open().unwrap().apply(&table), Err(Error::Fault(_))));
    run_script(&table);
    let listed = listing();
    let many = listed.split("chain many").nth(1).unwrap().split('}').next().unwrap();
    assert_eq!(many.matches("drop").count(), 1, "{listed}");
    assert_eq!(many.matches("accept").count(), 1, "{listed}");
    assert!(
        many.contains("iifname \"/a/b\" oifname \"////*\" drop comment \"x? accept; "),
        "{listed}"
    );
    assert!(
        nft::is_ifname("eth0.1")
            && !nft::is_ifname("e\"th0")
            && !nft::is_ifname("eth*")
            && !nft::is_ifname("0123456789abcdef")
    );
}

#[test]
fn a_log_prefix_cannot_leave_its_quotes() {
    namespace_or_skip!();
    let mut table = rich();
    table.chains[5].rules = vec![rule("", vec![log("a\" accept; $y\n\"")])];
    assert!(table.check().is_err());
    run_script(&table);
    let listed = listing();
    assert!(
        listed.contains("log prefix \"a? accept; ?y??\" group 5 snaplen 80\n"),
        "{listed}"
    );
}

fn fault_of(statements: &[Statement]) -> Option<String> {
    let mut table = rich();
    table.chains[5].rules = vec![rule("", statements.to_vec())];
    table.check().err().map(|fault| fault.problem)
}

/// What every nft refuses to read, or any nft would read, or list, as something else.
#[test]
fn what_nft_cannot_be_told_is_a_fault() {
    use Field::*;
    use Operation::{Add, Delete, Update};
    let matched = |m: Match| Statement::Match(m);
    let flags = |bits| Statement::Match(Match::TcpFlags(bits));
    let exactly = |among, set| Bits::Exactly { among, set };
    let mark = |bits| Statement::Match(Match::Mark(Mark::Packet, bits));
    let reset = Statement::Reject(Reject::TcpReset);
    let udp = is(L4Proto, Value::InetProto(17));
    let tcp = is(L4Proto, Value::InetProto(6));
    let icmp = is(L4Proto, Value::InetProto(1));
    let port = is(CtDport, Value::InetService(22));
    let mut cut = log("x");
    if let Statement::Log { snaplen, .. } = &mut cut {
        *snaplen = 0;
    }
    let faults: Vec<(&str, Vec<Statement>)> = vec![
        ("not be TCP", vec![reset.clone()]),
        ("not be TCP", vec![udp.clone(), reset.clone()]),
        (
            "not be TCP",
            vec![element(Add, "seen", &[Ip4Saddr], None), reset.clone()],
        ),
        ("no protocol before", vec![port.clone()]),
        ("no protocol before", vec![port.clone(), tcp.clone()]),
        ("no protocol before", vec![icmp, port.clone()]),
        ("no protocol before", vec![within(&[CtIp4Saddr, CtDport], "listed")]),
        ("two protocols", vec![udp, flags(Bits::Any(1))]),
        (
            "two protocols",
            vec![is(CtIp4Saddr, ip4("1.2.3.4")), matched(Match::Family(Family::Ipv6))],
        ),
        ("one of a set", vec![within(&[L4Proto], "on"), flags(Bits::Any(1))]),
        ("bits", vec![flags(Bits::Any(0))]),
        ("bits", vec![flags(Bits::Any(0xff))]),
        ("bits", vec![flags(Bits::Any(0x101))]),
        ("bits", vec![flags(exactly(1, 2))]),
        ("bits", vec![mark(exactly(0, 0))]),
        ("bits", vec![mark(Bits::Any(u32::MAX))]),
        ("bits", vec![mark(exactly(0x10, 0x11))]),
        ("no bit", vec![Statement::SetMark(Mark::Connection, 0)]),
        ("no bit", vec![Statement::ClearMark(Mark::Packet, 0)]),
        ("1 to 127", vec![is(Ip6SaddrNet(0), ip6("::"))]),
        ("1 to 127", vec![within(&[Ip6SaddrNet(128)], "nets")]),
        (
            "1 to 127",
            vec![element(Update, "admitted6", &[CtIp6SaddrNet(255)], None)],
        ),
        ("never", vec![is(Ip6SaddrNet(10), ip6("fe80::1"))]),
        ("no key", vec![element(Update, "seen", &[Ip6SaddrNet(64)], None)]),
        (
            "updates",
            vec![element(Delete, "listed", &[CtIp4Saddr, TcpDport], None)],
        ),
        ("a timeout", vec![element(Add, "seen", &[Ip4Saddr], Some(0))]),
        ("a timeout", vec![element(Delete, "seen", &[Ip4Saddr], Some(5))]),
        ("a limit", vec![Statement::Limit { rate: 0, burst: 1 }]),
        ("a limit", vec![Statement::Limit { rate: 1, burst: 0 }]),
        ("prefix", vec![log("")]),
        ("prefix", vec![log("a\"b")]),
        ("prefix", vec![log("$a")]),
        ("prefix", vec![log("a\n")]),
        ("prefix", vec![log(&"x".repeat(128))]),
        ("prefix", vec![cut]),
        ("end", vec![Statement::Accept, Statement::Counter("other".into())]),
        ("end", vec![tcp.clone(), reset.clone(), Statement::Drop]),
        ("behind", vec![log("x"), tcp.clone(), Statement::Drop]),
        ("before", vec![log("x"), element(Add, "seen", &[Ip4Saddr], None)]),
        (
            "before",
            vec![
                is(Ip6Saddr, ip6("::1")),
                log("x"),
                element(Add, "ports6", &[TcpDport, Ip6Saddr], None),
            ],
        ),
    ];
    for (problem, statements) in faults {
        let found = fault_of(&statements).unwrap_or_else(|| panic!("no fault: {statements:?}"));
        assert!(found.contains(problem), "{statements:?}: {found}");
    }
    assert_eq!(fault_of(&[tcp, port, reset]), None);
    assert_eq!(fault_of(&[mark(exactly(u32::MAX - 1, 0))]), None);
}

#[test]
fn the_neighbours_are_all_seen_with_their_hooks_and_priorities() {
    namespace_or_skip!();
    nft(
        &["-f", "-"],
        "table inet fw4 { chain forward { type filter hook forward priority filter; }; chain inner { }; }",
    );
    nft(
        &["-f", "-"],
        "table ip nat { chain post { type nat hook postrouting priority srcnat; }; }",
    );
    nft(
        &["-f", "-"],
        "table arp a { chain in { type filter hook input priority -7; }; }",
    );
    nft(
        &["-f", "-"],
        "table bridge b { chain p { type filter hook prerouting priority dstnat; }; }",
    );
    nft(&["-f", "-"], "table ip6 empty { }");
    let mut nftables = Nftables::open().unwrap();
    let mut tables = nftables.tables().unwrap();
    tables.sort_unstable();
    let expected = [
        ("arp", "a"),
        ("bridge", "b"),
        ("inet", "fw4"),
        ("ip", "nat"),
        ("ip6", "empty"),
    ]
    .map(|(f, t)| (f, t.to_string()));
    assert_eq!(tables, expected);
    let mut chains: Vec<String> = (nftables.base_chains().unwrap().into_iter())
        .map(|(family, chain)| {
            format!(
                "{family} {} {} {} {}",
                chain.table, chain.chain, chain.hook, chain.priority
            )
        })
        .collect();
    chains.sort_unstable();
    assert_eq!(
        chains,
        [
            "arp a in input -7",
            "bridge b p prerouting -300",
            "inet fw4 forward forward 0",
            "ip nat post postrouting 100"
        ]
    );
}

#[test]
fn what_rules_do_to_the_mark_is_seen_as_nft_meant_it() {
    namespace_or_skip!();
    let all = u32::MAX;
    let marks = [
        ("meta mark set 0x1", Some((0, 1))),
        (
            "meta mark set meta mark & 0xff00ffff | 0x00010000",
            Some((0xff00_ffff, 0x1_0000)),
        ),
        (
            "meta mark set meta mark | 0x10000000",
            Some((!0x1000_0000, 0x1000_0000)),
        ),
        (
            "meta mark set meta mark ^ 0x10000000",
            Some((!0x1000_0000, 0x1000_0000)),
        ),
        ("meta mark set ct mark", Some((0, all))),
        ("meta mark set ct mark & 0x3f00", Some((0, 0x3f00))),
        ("meta mark set tcp dport map { 22 : 0x1, 80 : 0x2 }", Some((0, all))),
        ("meta mark set jhash ip saddr mod 4", Some((0, all))),
        ("ct state established,related meta mark set ct mark", None),
        ("ct state established,new meta mark set 0x1", Some((0, 1))),
        ("ct state untracked meta mark set 0x1", Some((0, 1))),
        ("ct state != established meta mark set 0x1", Some((0, 1))),
        ("ct mark set meta mark", None),
        ("meta mark & 0xff == 0x1 accept", None),
        ("ct mark set 0x1 counter meta mark set ct mark & 0xff", Some((0, 0xff))),
    ];
    let rules = marks.iter().fold(String::new(), |text, (rule, _)| text + rule + "\n");
    let script = format!(
        "table ip other {{ chain inner {{\n{rules}}}\nchain outer {{ type filter hook input priority 0; iifname \"wan0\" jump inner; iifname \"w*\" tcp dport 22 goto inner; iif lo meta mark set 0x1; }};\n}}\n"
    );
    nft(&["-f", "-"], &script);
    nft(&["-f", "-"], "table inet lanward { chain c { meta mark set 0x1; }; }");
    let mut nftables = Nftables::open().unwrap();
    let steps = nftables.steps("lanward", 100).unwrap();
    assert!(steps
        .iter()
        .all(|(family, step)| *family == "ip" && step.table == "other"));
    let of = |chain: &str| -> Vec<(Option<String>, Does)> {
        let own = steps.iter().filter(|(_, step)| step.chain == chain);
        own.map(|(_, step)| (step.device.clone(), step.does.clone())).collect()
    };
    let expected = marks.iter().filter_map(|(_, does)| *does);
    let expected = expected.map(|(keeps, may_set)| (None, Does::Mark { keeps, may_set }));
    assert_eq!(of("inner"), expected.collect::<Vec<_>>());
    let jump = |device: &str| (Some(device.to_owned()), Does::Jump("inner".to_owned()));
    let whole = Does::Mark { keeps: 0, may_set: 1 };
    assert_eq!(of("outer"), [jump("wan0"), jump("w"), (None, whole)]);
    assert_eq!(
        nftables.steps("lanward", 3).unwrap().len(),
        3,
        "no more than was asked for"
    );
}
