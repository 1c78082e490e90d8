//! The real nft as oracle: running it, reading what it prints, and what it would send.

use lanward::nft::netlink::{attributes, expressions, Attribute, Endian};
use lanward::nft::{
    text, Bits, Direction, Family, Field, Many, Mark, Match, Operation, Reject, Rule, State, Statement, Table, Value,
};
use lanward_rig::report_line;
use netlink_packet_core::Emitable;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn program() -> String {
    std::env::var("LANWARD_NFT").unwrap_or_else(|_| "nft".into())
}

/// Puts this thread in a network namespace of its own; false, and loudly so, if this machine cannot.
pub fn namespace() -> bool {
    let why = if !nix::unistd::geteuid().is_root() {
        "not root"
    } else if Command::new(program()).arg("--version").output().is_err() {
        "no nft"
    } else if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
        "no network namespaces"
    } else {
        return true;
    };
    report_line::skip(&report_line::this_test(), why);
    false
}

fn run(args: &[&str], input: &str) -> String {
    let mut child = Command::new(program())
        .args(args)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "nft {args:?}: {told}\n{}",
        if input.len() < 20_000 { input } else { "" }
    );
    String::from_utf8(output.stdout).unwrap()
}

pub fn nft(args: &[&str], input: &str) {
    run(args, input);
}

pub fn nft_output(args: &[&str]) -> String {
    run(args, "")
}

/// The listing without what goes on by itself, and with elements in one order: the kernel's is by hash.
pub fn without_expiry(listing: &str) -> String {
    let joined = listing.replace(",\n", ", ");
    let mut out = String::new();
    for line in joined.lines() {
        let Some((start, elements)) = line.split_once("elements = {") else {
            let _ = writeln!(out, "{line}");
            continue;
        };
        let elements = elements.trim().trim_end_matches('}');
        let mut elements: Vec<String> = elements
            .split(',')
            .map(|element| {
                let (key, rest) = element.split_once(" expires ").unwrap_or((element, ""));
                let rest = rest.trim().split_once(' ').map_or("", |(_, rest)| rest);
                format!("{} {rest}", key.trim()).trim().to_owned()
            })
            .collect();
        elements.sort();
        let _ = writeln!(out, "{start}elements = {{ {} }}", elements.join(", "));
    }
    out
}

/// The blocks of a listing in one order: the kernel lists sets and chains in the order of their making.
pub fn sorted_blocks(listing: &str) -> Vec<String> {
    let mut blocks: Vec<String> = without_expiry(listing)
        .split("\n\n")
        .map(|block| block.trim_matches(['\n', '}', ' ', '{']).to_owned())
        .collect();
    blocks[0] = blocks[0]
        .split_once('\n')
        .map_or_else(String::new, |(_, rest)| rest.to_owned());
    blocks.sort();
    blocks
}

/// A listing, ours or nft's, in a form that both have: white space, times as seconds.
pub fn normalized(listing: &str) -> String {
    let mut out = without_expiry(listing);
    while let Some(at) = out.find("\"2026-") {
        let end = at + 1 + out[at + 1..].find('"').unwrap();
        let when = out[at + 1..end].to_owned();
        out.replace_range(at..=end, &seconds(&when).to_string());
    }
    let words: Vec<&str> = out.split_whitespace().collect();
    words.join(" ")
}

/// nft before 1.1 lists `tcp flags & (fin | syn) == syn` as `tcp flags syn / fin,syn`, and so other flags (`ct status`).
pub fn with_todays_flags(listing: &str) -> String {
    let lines = listing.lines().map(|line| {
        let mut line = line.to_owned();
        while let Some((start, set, among, rest)) = parted_by_a_slash(&line) {
            line = format!(
                "{start} & ({}) == {} {rest}",
                among.replace(',', " | "),
                set.replace(',', " | ")
            );
        }
        line + "\n"
    });
    lines.collect()
}

/// What is before `SET / AMONG`, the two, and what is behind.
fn parted_by_a_slash(line: &str) -> Option<(&str, &str, &str, &str)> {
    let (start, rest) = line.split_once(" / ")?;
    let (start, set) = start.rsplit_once(' ')?;
    let (among, rest) = rest.split_once(' ')?;
    Some((start, set, among, rest))
}

/// Fails at the first word that is not the same, and shows what is around it.
pub fn assert_same_words(ours: &str, theirs: &str) {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.split(' ').collect(), theirs.split(' ').collect());
    let end = ours.len().max(theirs.len());
    let Some(at) = (0..end).find(|at| ours.get(*at) != theirs.get(*at)) else {
        return;
    };
    let around = |words: &[&str]| words[at.saturating_sub(12).min(words.len())..(at + 8).min(words.len())].join(" ");
    panic!("ours: {}\ntheirs: {}", around(&ours), around(&theirs));
}

/// Of a date in November 2026, UTC: 1795000000 is the 18th, 11:06:40.
fn seconds(date: &str) -> u64 {
    let numbers: Vec<u64> = date.split(['-', ' ', ':']).map(|part| part.parse().unwrap()).collect();
    let [2026, 11, day, hour, minute, second] = numbers[..] else {
        panic!("{date}")
    };
    1_795_000_000 - (11 * 3600 + 6 * 60 + 40) - 18 * 86400 + day * 86400 + hour * 3600 + minute * 60 + second
}

/// Holds every rule of the table against the expressions that nft makes of its text.
pub fn compare_rules(table: &Table) {
    let theirs = run(&["--debug=netlink", "-c", "-f", "-"], &text::script(table));
    let rules: Vec<(&str, &Rule)> = table
        .chains
        .iter()
        .flat_map(|chain| chain.rules.iter().map(|rule| (chain.name.as_str(), rule)))
        .collect();
    let theirs = rules_in(&theirs, &table.name);
    assert_eq!(theirs.len(), rules.len(), "{theirs:?}");
    for ((chain, rule), theirs) in rules.iter().zip(&theirs) {
        let ours = printed(&expressions(table, rule, Endian::NATIVE));
        assert_eq!(&(*chain, ours), theirs, "{rule:?}");
    }
}

/// Chain and expressions of each rule in what `nft --debug=netlink` prints.
fn rules_in<'a>(output: &'a str, table: &str) -> Vec<(&'a str, Vec<String>)> {
    let mut rules: Vec<(&str, Vec<String>)> = Vec::new();
    for line in output.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["inet", name, chain] if name == table => rules.push((chain, Vec::new())),
            // What begins a chain or the table prints a line of its own, with "use 0".
            ["[", "log", "prefix", ..] => {
                if let Some((_, list)) = rules.last_mut() {
                    list.push(line.trim().trim_start_matches("[ ").trim_end_matches(" ]").to_owned());
                }
            }
            // Before 1.1; does nothing.
            ["[", "byteorder", .., "2,", "1)", "]"] => {}
            ["[", ..] => {
                if let Some((_, list)) = rules.last_mut() {
                    list.push(words.join(" ").replace(" ]", "").replace("[ ", ""));
                }
            }
            _ => {}
        }
    }
    rules.retain(|(_, list)| !list.is_empty());
    rules
}

type Tree<'a> = Vec<(u16, &'a [u8])>;

fn number(tree: &Tree, kind: u16) -> u32 {
    let value = tree.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
    value.map_or(0, |value| u32::from_be_bytes(value.try_into().unwrap()))
}

/// A number of eight bytes, or of fewer than four.
fn other_number(tree: &Tree, kind: u16) -> u64 {
    let value = tree.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
    value.map_or(0, |value| {
        value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

fn text_of(tree: &Tree, kind: u16) -> String {
    let value = tree.iter().find(|(found, _)| *found == kind).unwrap().1;
    String::from_utf8(value.strip_suffix(&[0]).unwrap().to_vec()).unwrap()
}

fn inner<'a>(tree: &Tree<'a>, kind: u16) -> Tree<'a> {
    tree.iter()
        .find(|(found, _)| *found == kind)
        .map_or_else(Vec::new, |(_, value)| attributes(value).collect())
}

/// As libnftnl prints data: words in the machine's order, the last one short.
fn data(tree: &Tree, kind: u16) -> String {
    let value = inner(tree, kind).first().expect("data").1;
    let words = value.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        format!("0x{:08x}", u32::from_ne_bytes(word))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Our expressions in the notation of `nft --debug=netlink`.
fn printed(list: &[Attribute]) -> Vec<String> {
    let mut bytes = vec![0; list.buffer_len()];
    list.emit(&mut bytes);
    attributes(&bytes)
        .map(|(_, expression)| {
            let parts: Tree = attributes(expression).collect();
            print_expression(&text_of(&parts, 1), &inner(&parts, 2))
        })
        .collect()
}

fn print_expression(name: &str, tree: &Tree) -> String {
    let n = |kind| number(tree, kind);
    match name {
        "meta" => {
            let keys = [
                (3, "mark"),
                (6, "iifname"),
                (7, "oifname"),
                (8, "iiftype"),
                (15, "nfproto"),
                (16, "l4proto"),
                (30, "time"),
            ];
            let key = keys.iter().find(|(number, _)| *number == n(2)).unwrap().1;
            match n(3) {
                0 => format!("meta load {key} => reg {}", n(1)),
                source => format!("meta set {key} with reg {source}"),
            }
        }
        "ct" => {
            let keys = [
                (0, "state"),
                (1, "direction"),
                (2, "status"),
                (3, "mark"),
                (12, "proto_dst"),
                (15, "bytes"),
                (19, "src_ip"),
                (20, "dst_ip"),
                (21, "src_ip6"),
                (22, "dst_ip6"),
            ];
            let key = keys.iter().find(|(number, _)| *number == n(2)).unwrap().1;
            let direction = match tree.iter().any(|(kind, _)| *kind == 3) {
                true => [" , dir original", " , dir reply"][usize::from(other_number(tree, 3) == 1)],
                false => "",
            };
            match n(4) {
                0 => format!("ct load {key} => reg {}{direction}", n(1)),
                source => format!("ct set {key} with reg {source}"),
            }
        }
        "fib" => {
            assert_eq!((n(2), n(3)), (3, 2));
            format!("fib daddr type => reg {}", n(1))
        }
        "log" => format!(
            "log prefix {} group {} snaplen {} qthreshold 0",
            text_of(tree, 2),
            other_number(tree, 1),
            n(3)
        ),
        "limit" => {
            assert_eq!((other_number(tree, 2), n(4), n(5)), (1, 0, 0));
            format!(
                "limit rate {}/second burst {} type packets flags 0x0",
                other_number(tree, 1),
                n(3)
            )
        }
        "reject" => format!("reject type {} code {}", n(1), other_number(tree, 2)),
        "payload" => {
            let header = ["link", "network", "transport"][n(2) as usize];
            format!("payload load {}b @ {header} header + {} => reg {}", n(4), n(3), n(1))
        }
        "cmp" => format!(
            "cmp {} reg {} {}",
            ["eq", "neq", "lt", "lte", "gt", "gte"][n(2) as usize],
            n(1),
            data(tree, 3)
        ),
        "bitwise" => format!(
            "bitwise reg {} = ( reg {} & {} ) ^ {}",
            n(2),
            n(1),
            data(tree, 4),
            data(tree, 5)
        ),
        "byteorder" => format!("byteorder reg {} = hton(reg {}, {}, {})", n(2), n(1), n(5), n(4)),
        "lookup" => format!(
            "lookup reg {} set {}{}",
            n(2),
            text_of(tree, 1),
            if n(5) == 1 { " 0x1" } else { "" }
        ),
        "objref" => format!("objref type {} name {}", n(1), text_of(tree, 2)),
        "dynset" => format!(
            "dynset {} reg_key {} set {}{}{}",
            ["add", "update", "delete"][n(3) as usize],
            n(4),
            text_of(tree, 1),
            match other_number(tree, 6) {
                0 => String::new(),
                timeout => format!(" timeout {timeout}ms"),
            },
            match &*inner(tree, 7) {
                [] => String::new(),
                _ => {
                    let expression = inner(tree, 7);
                    let counts = inner(&expression, 2);
                    format!(
                        " expr {} pkts {} bytes {}",
                        text_of(&expression, 1),
                        other_number(&counts, 2),
                        other_number(&counts, 1)
                    )
                }
            }
        ),
        "immediate" => {
            let verdict = inner(&inner(tree, 2), 2);
            let code = match i32::from_be_bytes(number(&verdict, 1).to_be_bytes()) {
                -3 => format!("jump -> {}", text_of(&verdict, 2)),
                -4 => format!("goto -> {}", text_of(&verdict, 2)),
                -5 => "return".into(),
                0 => "drop".into(),
                1 => "accept".into(),
                other => panic!("verdict {other}"),
            };
            format!("immediate reg {} {code}", n(1))
        }
        _ => panic!("expression {name}"),
    }
}

/// Whether nft can read the rule: what it refuses, [`Table::check`] refuses.
pub fn fits(table: &Table, rule: &Rule) -> bool {
    let mut table = table.clone();
    table.chains[5].rules = vec![rule.clone()];
    table.check().is_ok()
}

fn any_field_is() -> impl Strategy<Value = Match> {
    let address = any::<u32>().prop_map(|n| Value::Ipv4Addr(n.into()));
    let address6 = any::<u128>().prop_map(|n| Value::Ipv6Addr(n.into()));
    let port = any::<u16>().prop_map(Value::InetService);
    let port_field = prop::sample::select(vec![Field::UdpSport, Field::UdpDport, Field::TcpSport, Field::TcpDport]);
    let name = "[a-z][a-z0-9.@_-]{0,14}".prop_map(Value::Ifname);
    let device = || prop::sample::select(vec![Field::IifName, Field::OifName]);
    prop_oneof![
        4 => (port_field, port).prop_map(|(field, value)| Match::Is(field, value)),
        2 => (prop::sample::select(vec![Field::Ip4Saddr, Field::Ip4Daddr]), address).prop_map(|(field, value)| Match::Is(field, value)),
        2 => (prop::sample::select(vec![Field::Ip6Saddr, Field::Ip6Daddr]), address6).prop_map(|(field, value)| Match::Is(field, value)),
        1 => any::<[u8; 6]>().prop_map(|address| Match::Is(Field::EtherSaddr, Value::EtherAddr(address))),
        1 => (device(), name).prop_map(|(field, value)| Match::Is(field, value)),
        1 => (device(), "[a-z][a-z0-9.@_-]{0,13}").prop_map(|(field, start)| Match::BeginsWith(field, start)),
        1 => prop::sample::select(vec![6u8, 17, 1, 255]).prop_map(|n| Match::Is(Field::L4Proto, Value::InetProto(n))),
        2 => (1u8..=127, any::<u128>()).prop_map(|(bits, n)| {
            let network = n & (u128::MAX << (128 - u32::from(bits)));
            Match::Is(Field::Ip6SaddrNet(bits), Value::Ipv6Addr(network.into()))
        }),
        1 => (1_700_000_000u64..4_000_000_000).prop_map(|n| Match::Is(Field::Time, Value::Time(n))),
    ]
}

fn any_lookup() -> impl Strategy<Value = Match> {
    use Field::*;
    let keys: Vec<(Vec<Field>, &str)> = vec![
        (vec![L4Proto], "on"),
        (vec![Time], "off"),
        (vec![Time], "moments"),
        (vec![UdpDport], "ports"),
        (vec![TcpSport], "ports"),
        (vec![Ip4Daddr, UdpDport], "redirects"),
        (vec![Ip4Saddr, TcpDport], "redirects"),
        (vec![L4Proto, UdpDport], "services"),
        (vec![Ip4Saddr], "hosts"),
        (vec![Ip4Daddr], "nets4"),
        (vec![Ip6Saddr], "nets"),
        (vec![IifName], "members"),
        (vec![OifName], "members"),
        (vec![EtherSaddr], "macs"),
        (vec![EtherSaddr, Ip4Daddr, OifName], "triples"),
        (vec![Ip6Saddr, TcpSport], "pairs"),
        (vec![Ip6SaddrNet(64)], "admitted6"),
        (vec![Ip6DaddrNet(10), TcpSport], "seen6"),
        (vec![TcpDport, Ip6SaddrNet(33)], "ports6"),
        (vec![CtIp4Saddr], "seen"),
        (vec![CtIp6SaddrNet(48)], "nets"),
        (vec![CtDport], "ports"),
        (vec![CtIp4Daddr, CtDport], "listed"),
    ];
    (prop::sample::select(keys), any::<bool>()).prop_map(|((fields, set), is_in)| match is_in {
        true => Match::In(fields, set.into()),
        false => Match::NotIn(fields, set.into()),
    })
}

fn any_state() -> impl Strategy<Value = Match> {
    let states = vec![
        State::Invalid,
        State::Established,
        State::Related,
        State::New,
        State::Untracked,
    ];
    prop_oneof![
        prop::sample::subsequence(states, 1..=5).prop_map(Match::State),
        Just(Match::StatusDnat),
        Just(Match::StatusAssured),
        Just(Match::StatusAssuredNoDnat),
        Just(Match::Direction(Direction::Reply)),
        Just(Match::Family(Family::Ipv4)),
        Just(Match::Family(Family::Ipv6)),
        any_bits(0xff).prop_map(Match::TcpFlags),
        any_bits(u32::MAX).prop_map(|bits| Match::Mark(Mark::Packet, bits)),
        any_bits(u32::MAX).prop_map(|bits| Match::Mark(Mark::Connection, bits)),
        any::<u64>().prop_map(|least| Match::Bytes(Direction::Reply, least)),
        Just(Match::ToThisMachine),
        Just(Match::NotTo(Many::Broadcast)),
        Just(Match::NotTo(Many::Multicast)),
    ]
}

fn any_bits(all: u32) -> impl Strategy<Value = Bits> {
    (1..all, any::<u32>(), any::<bool>()).prop_map(|(among, set, is_any)| match is_any {
        true => Bits::Any(among),
        false => Bits::Exactly {
            among,
            set: set & among,
        },
    })
}

fn any_action() -> impl Strategy<Value = Vec<Statement>> {
    let element = |operation, set: &str, key: &[Field], timeout| Statement::Element {
        operation,
        set: set.into(),
        key: key.to_vec(),
        timeout,
    };
    let counter = Statement::Counter("other".into());
    let update = element(Operation::Update, "seen", &[Field::Ip4Saddr], None);
    let update6 = element(Operation::Update, "seen6", &[Field::Ip6Daddr, Field::TcpDport], None);
    let add6 = element(Operation::Add, "admitted6", &[Field::Ip6SaddrNet(64)], Some(90));
    let delete = element(Operation::Delete, "seen", &[Field::CtIp4Saddr], None);
    let log = Statement::Log {
        group: 7,
        snaplen: 64,
        prefix: "gate \\ 'x' ".into(),
    };
    let limit = Statement::Limit { rate: 9, burst: 20 };
    let mark = |mark| Statement::SetMark(mark, 0x0800_0001);
    prop::sample::select(vec![
        vec![],
        vec![counter.clone()],
        vec![update.clone()],
        vec![update6],
        vec![update, counter.clone()],
        vec![limit, log.clone(), add6],
        vec![delete, mark(Mark::Packet), counter],
        vec![mark(Mark::Connection), log],
        vec![Statement::Count {
            set: "counted".into(),
            key: vec![Field::L4Proto, Field::TcpDport],
        }],
    ])
}

/// Rules over the sets of the rich table, some of which no packet can match: see [`fits`].
pub fn any_rule() -> impl Strategy<Value = Rule> {
    let condition = prop_oneof![5 => any_field_is(), 4 => any_lookup(), 1 => any_state()].prop_map(Statement::Match);
    let last = vec![
        Statement::Accept,
        Statement::Drop,
        Statement::Return,
        Statement::Goto("other".into()),
        Statement::Reject(Reject::TcpReset),
        Statement::Reject(Reject::PortUnreachable),
    ];
    let parts = (
        prop::collection::vec(condition, 0..5),
        any_action(),
        prop::sample::select(last),
        "[ !#-~]{0,40}",
    );
    parts.prop_map(|(mut statements, actions, last, comment)| {
        statements.extend(actions);
        statements.push(last);
        Rule { statements, comment }
    })
}
