//! The fuzz targets on any bytes and on damaged good ones: what `cargo fuzz` does for hours, done for a moment, with the stable compiler.

#![allow(clippy::unwrap_used)]

// The targets say `use libfuzzer_sys::fuzz_target`: here it is the macro below.
extern crate self as libfuzzer_sys;

/// A target as a function.
macro_rules! target {
    (|$bytes:ident: &[u8]| $body:block) => {
        pub fn run($bytes: &[u8]) {
            $body
        }
    };
}
pub(crate) use target as fuzz_target;

#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/blobmsg.rs"]
mod blobmsg;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/json.rs"]
mod json;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/knockd_conf.rs"]
mod knockd_conf;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/ledger.rs"]
mod ledger;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/netlink.rs"]
mod netlink;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/nflog.rs"]
mod nflog;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/relay.rs"]
mod relay;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/spa.rs"]
mod spa;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/syslog.rs"]
mod syslog;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/ubus_frames.rs"]
mod ubus_frames;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/uci.rs"]
mod uci;

use lanward::ledger::book::{Book, Sight, Zone};
use lanward::ledger::counts::Reading;
use lanward::ledger::day::Day;
use lanward::ledger::store::Store;
use lanward::ledger::{Service, Subject};
use lanward::nft::netlink::{batch, emit, transaction, Attribute, Endian, Present};
use lanward::relay::key::{KeyFile, PrivateKey};
use lanward_rig::seed_log::{self, Forms};
use lanward_rig::wire;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterProtoFamily};
use proptest::prelude::*;
use proptest::sample::Index;
use std::path::Path;
use std::sync::OnceLock;

/// A byte that becomes another, one that goes, one that comes, and a piece that comes twice.
#[derive(Debug, Clone)]
enum Damage {
    Change(Index, u8),
    Remove(Index),
    Insert(Index, u8),
    Repeat(Index, Index),
    Truncate(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Change(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<[Index; 2]>().prop_map(|[from, to]| Damage::Repeat(from, to)),
        any::<Index>().prop_map(Damage::Truncate),
    ]
}

fn damaged(good: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for damage in damages.iter().filter(|_| !good.is_empty()) {
        let length = bytes.len().max(1);
        match damage {
            _ if bytes.is_empty() => {}
            Damage::Change(at, byte) => bytes[at.index(length)] = *byte,
            Damage::Remove(at) => drop(bytes.remove(at.index(length))),
            Damage::Insert(at, byte) => bytes.insert(at.index(length), *byte),
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                let piece = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.extend(piece);
            }
            Damage::Truncate(at) => bytes.truncate(at.index(length)),
        }
    }
    bytes
}

/// Any bytes, and good ones with a few damages or none.
fn inputs(good: &'static [Vec<u8>]) -> impl Strategy<Value = Vec<u8>> {
    assert!(!good.is_empty());
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..600),
        4 => (any::<Index>(), prop::collection::vec(damage(), 0..6))
            .prop_map(move |(which, damages)| damaged(&good[which.index(good.len())], &damages)),
    ]
}

/// What parties and ubusd said to each other, as far as it is short.
fn conversations() -> impl Iterator<Item = Vec<wire::Line>> {
    let names = wire::names().into_iter();
    names.map(|name| {
        let lines = wire::read(&name).into_iter();
        lines.filter(|line| line.bytes.len() < 2000).collect()
    })
}

/// How the stream is cut, and the stream.
fn streams() -> &'static [Vec<u8>] {
    static STREAMS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    STREAMS.get_or_init(|| {
        let joined = |lines: Vec<wire::Line>| lines.into_iter().flat_map(|line| line.bytes).collect::<Vec<u8>>();
        conversations().map(|lines| [vec![7], joined(lines)].concat()).collect()
    })
}

/// Messages' DATA attributes.
fn lists() -> &'static [Vec<u8>] {
    static LISTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    LISTS.get_or_init(|| {
        let bodies = conversations()
            .flatten()
            .filter_map(|line| Some(line.bytes.get(12..)?.to_vec()));
        bodies.filter_map(|body| data_of(&body)).collect()
    })
}

fn data_of(body: &[u8]) -> Option<Vec<u8>> {
    const DATA: u32 = 7;
    let mut attributes = lanward::blobmsg::attributes(body).filter_map(Result::ok);
    let data = attributes.find(|attribute| attribute.id == DATA)?;
    Some(data.payload.to_vec())
}

/// The configurations of the golden cases.
fn files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let cases = ["lan_only", "gate", "ledger"]
            .into_iter()
            .flat_map(|system| std::fs::read_dir(golden.join(system)).unwrap());
        let texts = cases.map(|case| std::fs::read_to_string(case.unwrap().path()).unwrap());
        let file = |text: String| Some(text.split_once("== lanward ==\n")?.1.split("\n== ").next()?.into());
        texts.filter_map(file).collect()
    })
}

/// knockd's files of the import's tests.
fn knockd_files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/knockd");
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "conf"));
        files.map(|path| std::fs::read(path).unwrap()).collect()
    })
}

/// Datagrams of nfnetlink_log, in this machine's byte order: of both families, one copy and several with their end.
fn datagrams() -> &'static [Vec<u8>] {
    static DATAGRAMS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    DATAGRAMS.get_or_init(|| {
        let ipv4 = copy(NetfilterProtoFamily::IPv4, 0x0800, 0x45);
        let ipv6 = copy(NetfilterProtoFamily::IPv6, 0x86dd, 0x60);
        let mut end = Vec::new();
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 7477);
        emit(3, 0, 0, &header, &[], &mut end);
        let several = [ipv4.clone(), ipv6.clone(), end].concat();
        for (datagram, packets) in [(&ipv4, 1), (&ipv6, 1), (&several, 2)] {
            assert_eq!(lanward::system::nflog::parse(datagram, 7477, 64).packets.len(), packets);
        }
        vec![ipv4, ipv6, several]
    })
}

fn copy(family: NetfilterProtoFamily, protocol: u16, first: u8) -> Vec<u8> {
    let [a, b] = protocol.to_be_bytes();
    let packet = std::iter::once(first).chain(1..=59).collect();
    let attributes = [
        Attribute::bytes(1, vec![a, b, 0, 0]),
        Attribute::bytes(10, b"lanward admit ssh imaps\0".to_vec()),
        Attribute::u32(4, 3),
        Attribute::bytes(16, vec![2; 14]),
        Attribute::bytes(9, packet),
    ];
    let mut message = Vec::new();
    emit(
        4 << 8,
        0,
        0,
        &NetfilterHeader::new(family, 0, 7477),
        &attributes,
        &mut message,
    );
    message
}

/// Pieces of a log in all its forms, behind the byte that says what is known of the times.
fn logs() -> &'static [Vec<u8>] {
    static LOGS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    LOGS.get_or_init(|| {
        let mut log = Vec::new();
        seed_log::write_april(2019, Forms::Mixed, &mut log).unwrap();
        // Every stretch of 400 lines has another form.
        let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
        let pieces = lines.chunks(3).step_by(60).take(100);
        pieces.map(|piece| [&[0][..], &piece.concat()].concat()).collect()
    })
}

/// The ledger's file, what a daemon leaves to the next one, and single days, behind the byte that says which.
fn ledgers() -> &'static [Vec<u8>] {
    static LEDGERS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    LEDGERS.get_or_init(|| {
        let (mut store, mut book) = (Store::default(), Book::default());
        let mut inputs = Vec::new();
        for (number, attempts) in [1, 300, u64::MAX].into_iter().enumerate() {
            let date = lanward::date::Date::from_days(20_000 + i64::try_from(number).unwrap()).unwrap();
            let telnet = Service::of(6, 23);
            let mut day = Day::default();
            day.add(13, attempts);
            day.add_service(telnet, attempts);
            for source in ["192.0.2.1", "2001:db8::1"] {
                let source = source.parse().unwrap();
                day.add_source(source, 13, attempts / 2);
                day.add_source_service(source, telnet, attempts / 2);
            }
            inputs.push([&[3], &day.encode()[..]].concat());
            store.day(date).merge(&day);
            book.merge(date, &day);
        }
        inputs.push([&[0], &store.bytes(ledger::NOW.unix)[..]].concat());
        let (sight, zone) = (
            Sight {
                now: ledger::NOW,
                synchronised: false,
            },
            Zone::of("UTC0"),
        );
        let service = Service::of(17, 1900);
        let subject = |source| Subject { source, service };
        let reading = Reading {
            handle: 7,
            totals: [9, 1],
            subjects: vec![(subject(None), [9, 1]), (subject(Some([192, 0, 2, 1].into())), [9, 1])],
        };
        book.take(&reading, sight, &zone, false);
        let run = book.run_bytes(ledger::NOW);
        inputs.push([&[1], &run[..]].concat());
        inputs.push([&[2], &run[..run.len() - 8]].concat());
        inputs.iter().for_each(|input| ledger::run(input));
        inputs
    })
}

/// Packets, what is in them, key files and a replay file, each behind the byte that says which: see the target.
fn proofs() -> &'static [Vec<u8>] {
    static PROOFS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PROOFS.get_or_init(|| {
        let mut replay = lanward::spa::Replay::default();
        (1..20).for_each(|number| replay.note(&[number; 16], number.into()));
        let mut proofs = vec![[&[1], &replay.bytes()[..]].concat()];
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spa")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let field = |name: &str| {
                text.lines()
                    .find_map(|line| line.trim_start().strip_prefix(name))
                    .map(str::as_bytes)
            };
            proofs.extend(field("Final SPA Data: ").map(|packet| [b"\x02", packet].concat()));
            proofs.extend(field("Encoded Data: ").map(|inside| [b"\x03", inside].concat()));
            proofs.extend(field("KEY").map(|_| [b"\0", text.as_bytes()].concat()));
        }
        assert!(proofs.len() > 40);
        proofs
    })
}

/// Keys in all forms, what clients and the script say, and greetings, each behind the byte that says which: see the target.
fn relays() -> &'static [Vec<u8>] {
    static RELAYS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    RELAYS.get_or_init(|| {
        let secret: Vec<u8> = (0..64).collect();
        let file = [b"\0\0\0\x0bssh-ed25519\0\0\0\x40", &secret[..]].concat();
        let Ok(KeyFile::Ed25519(key)) = PrivateKey::parse(&file) else {
            panic!("it is dropbear's form")
        };
        let line = key.public_line("root@relay");
        let known = format!("# known\n@revoked * {line}\n|1|c2FsdA==|aGFzaA== {line}\n");
        let mut inputs = vec![
            [b"\0", line.as_bytes()].concat(),
            [b"\x01", known.as_bytes()].concat(),
            [b"\x02", &file[..]].concat(),
            [b"\x02", &key.openssh()[..]].concat(),
        ];
        for line in [
            "root@192.0.2.1: Permission denied (publickey).\r\n",
            "dbclient: Connection to root@192.0.2.1:22 exited: Connect failed: No route to host",
            "channel 2: open failed: administratively prohibited: open failed",
            "lanward-relay 1 refused not permitted",
            "Welcome\u{1b}[31m \u{202e}日本語\n",
        ] {
            inputs.push([b"\x03", line.as_bytes()].concat());
        }
        // What real clients have said, as the words' own tests have it.
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/relay/words/tests.rs");
        let tests = std::fs::read_to_string(tests).unwrap();
        let said = tests
            .lines()
            .filter_map(|line| line.strip_prefix("    (\"")?.rsplit_once("\", "));
        let said: Vec<Vec<u8>> = said
            .map(|(line, _)| line.replace("\\r", "\r").replace("\\\"", "\""))
            .map(|line| [b"\x03", line.as_bytes()].concat())
            .collect();
        assert!(said.len() > 100, "{}", said.len());
        inputs.extend(said);
        for greeting in [
            &b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\x01\x08\0\x01\0\0\0"[..],
            b"Welcome\r\nSSH-2.0-OpenSSH_9.2p1\r\n",
            b"RFB 003.008\n",
        ] {
            inputs.push([b"\x04", greeting].concat());
        }
        inputs.iter().for_each(|input| relay::run(input));
        inputs
    })
}

/// JSON that is read: the page's profiles, and what others' programs answer.
fn jsons() -> &'static [Vec<u8>] {
    static JSONS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    JSONS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let profiles = std::fs::read(root.join("files/usr/share/lanward/profiles.json")).unwrap();
        // One application of them, as large as may be mutated well.
        let mut one: serde_json::Value = serde_json::from_slice(&profiles).unwrap();
        one["applications"].as_array_mut().unwrap().truncate(1);
        let mut texts = vec![one.to_string().into_bytes()];
        texts.extend(
            [
                "{\"lan_only\":true,\"configured\":null}",
                "[0, -1, 18446744073709551615, -9223372036854775808, 1.5e3]",
                "\"\\u00e9\\ud83d\\ude00\\b\\f\\n\\r\\t\\/\\\\\\\"\"",
                " { \"a\" : [ ] , \"a\" : { } , \"\": [ [ [ false ] ] ] } \n",
            ]
            .map(|text| text.as_bytes().to_vec()),
        );
        texts.iter().for_each(|text| json::run(text));
        texts
    })
}

/// A message of the kernel, attributes behind a fixed header.
fn answer(kind: u16, header: &[u8], attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let payload = [header.to_vec(), nested(attributes)].concat();
    let length = u32::try_from(payload.len() + 16).unwrap();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(payload);
    message
}

fn nested(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, value) in attributes {
        bytes.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// Answers of nf_tables (what a kernel says that keeps what it is sent), conntrack, the links and WireGuard, behind the byte that says which.
fn answers() -> &'static [Vec<u8>] {
    static ANSWERS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    ANSWERS.get_or_init(|| {
        let native = |number: u32| number.to_ne_bytes().to_vec();
        let ipv6 = |last| [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[last]].concat();
        let table = netlink::table();
        let messages = transaction(table, &Present::default(), Endian::NATIVE);
        let mut inputs = vec![];
        for part in messages.chunks(12) {
            // The table itself first, so that it is there.
            let part = [&messages[..1], part].concat();
            for choice in [0, 0xf8] {
                inputs.push([&[choice][..], &batch(&part, 1)].concat());
            }
        }
        let tuple = |addresses: [(u16, Vec<u8>); 2], protocol: u8| {
            let ports = [(1, vec![protocol]), (2, vec![0xc0, 1]), (3, vec![0, 22])];
            nested(&[(1 | 0x8000, nested(&addresses)), (2 | 0x8000, nested(&ports))])
        };
        let counters = || nested(&[(1, 9_u64.to_be_bytes().into()), (2, 900_u64.to_be_bytes().into())]);
        for (family, protocol, [from, to]) in [
            (2, 6, [(1, vec![192, 0, 2, 9]), (2, vec![192, 168, 1, 2])]),
            (10, 17, [(3, ipv6(1)), (4, ipv6(2))]),
        ] {
            let there = tuple([from.clone(), to.clone()], protocol);
            let back = tuple([(from.0, to.1), (to.0, from.1)], protocol);
            let state = nested(&[(1 | 0x8000, nested(&[(1, vec![3])]))]);
            let entry = [
                (1 | 0x8000, there),
                (2 | 0x8000, back),
                (3, vec![0, 0, 1, 0x8e]),
                (4 | 0x8000, state),
                (9 | 0x8000, counters()),
                (10 | 0x8000, counters()),
                (12, vec![1, 2, 3, 4]),
                (18, vec![0, 7]),
            ];
            inputs.push([&[1][..], &answer(1 << 8, &[family, 0, 0, 0], &entry)].concat());
        }
        let refusal = answer(2, &(-libc::ENOENT).to_ne_bytes(), &[]);
        inputs.push([&[1][..], &refusal].concat());
        let link = [&[0, 0, 1, 0][..], &native(7), &native(0x1_0043), &[0; 4]].concat();
        let address = |family, prefix| [&[family, prefix, 0, 0][..], &native(3)].concat();
        let route = |family, prefix| vec![family, prefix, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        let neighbour = [&[2, 0, 0, 0][..], &native(3), &[2, 0, 0, 1]].concat();
        let hop = |device| [&[8, 0, 0, 0][..], &native(device)].concat();
        let links = [
            answer(16, &link, &[(3, b"br-lan\0".to_vec())]),
            answer(
                20,
                &address(2, 24),
                &[(1, vec![192, 168, 1, 1]), (2, vec![192, 168, 1, 1])],
            ),
            answer(20, &address(10, 64), &[(1, ipv6(1))]),
            answer(
                24,
                &route(2, 8),
                &[(1, vec![10, 0, 0, 0]), (15, native(1000)), (4, native(4))],
            ),
            answer(24, &route(10, 0), &[(9, [hop(4), hop(5)].concat())]),
            answer(
                28,
                &neighbour,
                &[(1, vec![192, 168, 1, 20]), (2, vec![2, 0, 0, 0, 0, 9])],
            ),
        ];
        inputs.push([&[2][..], &links.concat()].concat());
        inputs.extend(links.iter().map(|message| [&[2][..], message].concat()));
        let prefix = |family: u8, address: Vec<u8>, length| {
            let family = u16::from(family).to_ne_bytes().to_vec();
            (0x8000, nested(&[(3, vec![length]), (1, family), (2, address)]))
        };
        let allowed = nested(&[prefix(2, vec![192, 168, 9, 2], 32), prefix(10, ipv6(9), 64)]);
        let endpoint = [&2_u16.to_ne_bytes()[..], &[0xca, 0x6c, 203, 0, 113, 9], &[0; 8]].concat();
        let first = nested(&[(1, vec![1; 32]), (4, endpoint), (9 | 0x8000, allowed.clone())]);
        let next = nested(&[(1, vec![1; 32]), (9 | 0x8000, allowed)]);
        let peers = [first, next].map(|peer| {
            let peers = nested(&[(0x8000, peer)]);
            answer(0x1c, &[0, 1, 0, 0], &[(2, b"wg0\0".to_vec()), (8 | 0x8000, peers)])
        });
        inputs.push([&[3][..], &peers.concat()].concat());
        inputs.iter().for_each(|input| netlink::run(input));
        inputs
    })
}

/// A target, and what it begins with.
type Target = (&'static str, fn(&[u8]), fn() -> &'static [Vec<u8>]);

const TARGETS: [Target; 11] = [
    ("blobmsg", blobmsg::run, lists),
    ("json", json::run, jsons),
    ("knockd_conf", knockd_conf::run, knockd_files),
    ("ledger", ledger::run, ledgers),
    ("netlink", netlink::run, answers),
    ("nflog", nflog::run, datagrams),
    ("relay", relay::run, relays),
    ("spa", spa::run, proofs),
    ("syslog", syslog::run, logs),
    ("ubus_frames", ubus_frames::run, streams),
    ("uci", uci::run, files),
];

/// What `fuzz/run.sh` begins with where nothing was found yet: `LANWARD_FUZZ_SEEDS` names the directory.
#[test]
#[ignore = "it writes files, for fuzz/run.sh"]
fn seeds() {
    let directory = std::env::var_os("LANWARD_FUZZ_SEEDS").expect("LANWARD_FUZZ_SEEDS names a directory");
    for (name, _, seeds) in TARGETS {
        let directory = Path::new(&directory).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for (number, seed) in seeds().iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}

/// What long runs of `fuzz/run.sh` have found, as few inputs as reach the same code.
#[test]
fn what_was_found_before() {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/found");
    for (name, run, _) in TARGETS {
        let inputs = std::fs::read_dir(found.join(name)).unwrap_or_else(|error| panic!("fuzz/found/{name}: {error}"));
        let mut count = 0;
        for input in inputs {
            run(&std::fs::read(input.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "fuzz/found/{name} is empty");
    }
}

/// All targets are in both places.
#[test]
fn every_target_is_known() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut names: Vec<String> = std::fs::read_dir(targets)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|(name, ..)| name));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_configuration_file(text in inputs(files())) {
        uci::run(&text);
    }

    #[test]
    fn any_file_of_knockd(text in inputs(knockd_files())) {
        knockd_conf::run(&text);
    }

    #[test]
    fn any_text_of_json(bytes in inputs(jsons())) {
        json::run(&bytes);
    }

    #[test]
    fn any_answer_of_the_kernel(bytes in inputs(answers())) {
        netlink::run(&bytes);
    }

    #[test]
    fn any_list_of_fields(bytes in inputs(lists())) {
        blobmsg::run(&bytes);
    }

    #[test]
    fn any_datagram_of_copies(bytes in inputs(datagrams())) {
        nflog::run(&bytes);
    }

    #[test]
    fn any_packet_or_key_file(bytes in inputs(proofs())) {
        spa::run(&bytes);
    }

    #[test]
    fn any_ledger(bytes in inputs(ledgers())) {
        ledger::run(&bytes);
    }

    #[test]
    fn any_log(lines in inputs(logs())) {
        syslog::run(&lines);
    }

    #[test]
    fn any_key_or_word_of_a_relay(bytes in inputs(relays())) {
        relay::run(&bytes);
    }

    #[test]
    fn any_stream_of_messages(bytes in inputs(streams())) {
        ubus_frames::run(&bytes);
    }
}
