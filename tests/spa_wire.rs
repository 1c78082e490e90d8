//! fwknop's packets: those of the stock client open as the client itself says, and the stock server reads ours. The recorded ones are made by
//! `tests/spa/record.sh`.

#![allow(clippy::unwrap_used)]

use lanward::config::Protocol;
use lanward::spa::{open, seal, seal_text, Digest, Keys, Opened, Refused, Request};
use lanward_rig::report_line::{skip, this_test};
use lanward_rig::scratch::Scratch;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spa");

/// What the client or the server says about a packet.
struct Dump(String);

impl Dump {
    fn field(&self, name: &str) -> &str {
        let prefix = format!("{name}: ");
        let mut values = self
            .0
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(&prefix));
        values.next().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    /// A field such as `3 (SHA256)`.
    fn word(&self, name: &str) -> &str {
        self.field(name).split_once('(').unwrap().1.trim_end_matches(')')
    }

    fn packet(&self) -> &str {
        self.field("Final SPA Data")
    }

    fn digest(&self) -> Digest {
        Digest::parse(self.word("HMAC Type")).unwrap()
    }

    /// What is to come out of the packet.
    fn verdict(&self) -> Result<Request, Refused> {
        if self.word("Encryption Type") == "GPG" {
            return Err(Refused::Gpg);
        }
        let timed = match self.word("Message Type") {
            "Command msg" => return Err(Refused::Command),
            "Access msg" => false,
            "Client timeout access msg" => true,
            kind if kind.to_lowercase().contains("nat") => return Err(Refused::Nat),
            kind => panic!("{kind}"),
        };
        let (address, ports) = self.field("Message String").split_once(',').unwrap();
        let address: Ipv4Addr = address.parse().unwrap();
        let ports = ports.split(',').map(|port| {
            let (protocol, port) = port.split_once('/').unwrap();
            let protocol = if protocol == "tcp" {
                Protocol::Tcp
            } else {
                Protocol::Udp
            };
            (protocol, port.parse().unwrap())
        });
        Ok(Request {
            address: (!address.is_unspecified()).then_some(address.into()),
            ports: ports.collect(),
            seconds: timed.then(|| self.field("Client Timeout").parse().unwrap()),
            sent: self.field("Timestamp").parse().unwrap(),
            user: self.field("Username").to_string(),
        })
    }
}

fn keys(name: &str) -> Keys {
    Keys::parse(&std::fs::read(format!("{FOLDER}/{name}.key")).unwrap()).unwrap()
}

/// The recorded packets: their name, keys' name, and the client's word.
fn recorded() -> Vec<(String, String, Dump)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "packet") {
            let text = std::fs::read_to_string(&path).unwrap();
            let keys = text
                .lines()
                .find_map(|line| line.strip_prefix("# keys "))
                .unwrap()
                .to_string();
            all.push((
                path.file_stem().unwrap().to_str().unwrap().to_string(),
                keys,
                Dump(text),
            ));
        }
    }
    assert!(all.len() >= 20, "only {} packets", all.len());
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[test]
fn recorded_packets_say_what_the_client_put_in() {
    let mut seen = Vec::new();
    for (name, keys_name, dump) in recorded() {
        let opened = open(dump.packet().as_bytes(), &keys(&keys_name), dump.digest());
        if let Some(mode) = name.strip_prefix("mode-") {
            // The HMAC is right, the text is not: in CFB, CTR and OFB the padding is what happens to be there.
            assert!(matches!(opened, Err(Refused::Broken(_))), "{mode}: {opened:?}");
            continue;
        }
        let proof = opened.as_ref().ok().map(|opened| opened.proof);
        assert_eq!(opened.map(|opened| opened.request), dump.verdict(), "{name}");
        if let Some(proof) = proof {
            assert!(!seen.contains(&proof), "{name}: the same as another");
            seen.push(proof);
        }
    }
    assert!(seen.len() > 10);
}

#[test]
fn only_the_packet_itself_opens() {
    for (name, keys_name, dump) in recorded() {
        let (keys, packet) = (keys(&keys_name), dump.packet());
        let Ok(Opened { .. }) = open(packet.as_bytes(), &keys, dump.digest()) else {
            continue;
        };
        let foreign = |packet: &[u8]| {
            let opened = open(packet, &keys, dump.digest());
            assert_eq!(
                opened,
                Err(Refused::Foreign),
                "{name}: {}",
                String::from_utf8_lossy(packet)
            );
        };
        for other in Digest::ALL.into_iter().filter(|other| *other != dump.digest()) {
            assert_eq!(
                open(packet.as_bytes(), &keys, other),
                Err(Refused::Foreign),
                "{name} {other:?}"
            );
        }
        for end in ["=", "==", "\n", "\0", "A"] {
            foreign(format!("{packet}{end}").as_bytes());
        }
        foreign(format!("U2FsdGVkX1{packet}").as_bytes());
        foreign(format!("hQ{packet}").as_bytes());
        foreign(packet.replace('+', "-").replace('/', "_").replace('A', "a").as_bytes());
        for length in 0..packet.len() {
            foreign(&packet.as_bytes()[..length]);
        }
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for at in 0..packet.len() {
            let mut changed = packet.as_bytes().to_vec();
            // All at the ends: there are the bits that a lax decoder does not look at.
            let end = packet.len() - at < 3;
            for letter in letters
                .iter()
                .filter(|letter| **letter != packet.as_bytes()[at])
                .take(if end { 64 } else { 2 })
            {
                changed[at] = *letter;
                foreign(&changed);
            }
            changed[at] = packet.as_bytes()[at] ^ 0x80;
            foreign(&changed);
        }
    }
}

#[test]
fn other_keys_do_not_open() {
    let dump = recorded().into_iter().find(|(name, _, _)| name == "access").unwrap().2;
    let text = std::fs::read_to_string(format!("{FOLDER}/base64.key")).unwrap();
    let (encryption, hmac) = text.trim().split_once('\n').unwrap();
    let other_encryption = Keys::parse(format!("KEY other\n{hmac}").as_bytes()).unwrap();
    let other_hmac = Keys::parse(format!("{encryption}\nHMAC_KEY sixteen-letters-or-more").as_bytes()).unwrap();
    let opened = open(dump.packet().as_bytes(), &other_encryption, Digest::Sha256);
    assert!(matches!(opened, Err(Refused::Broken(_))), "{opened:?}");
    assert_eq!(
        open(dump.packet().as_bytes(), &other_hmac, Digest::Sha256),
        Err(Refused::Foreign)
    );
}

/// Everything that a right HMAC may cover and nobody should say.
#[test]
fn wrong_texts_are_named() {
    let keys = keys("base64");
    let good = "1234567890123456:YW5uYQ:1795495404:3.0.0:1:MjAzLjAuMTEzLjksdGNwLzIy";
    let said = |text: &str| {
        let packet = seal_text(text.as_bytes(), &keys, Digest::Sha256, b"saltsalt");
        match open(packet.as_bytes(), &keys, Digest::Sha256) {
            Ok(opened) => format!("{:?}", opened.request.ports),
            Err(refused) => refused.to_string(),
        }
    };
    assert_eq!(said(good), "[(Tcp, 22)]");
    let field = |at: usize, value: &str| {
        let mut fields: Vec<&str> = good.split(':').collect();
        fields[at] = value;
        said(&fields.join(":"))
    };
    for digits in ["", "1", "123456789012345"] {
        assert_eq!(field(0, digits), "its random value is wrong", "{digits}");
    }
    // Empty, not base64, not UTF-8, a colon, a line's end, an escape, 49 letters.
    for user in [
        "",
        "YW5uYQ==",
        "YW5uY",
        "_w",
        "//8",
        "Og",
        "YQo",
        "G1szMW0",
        &"YWFh".repeat(17),
    ] {
        assert_eq!(field(1, user), "its user is wrong", "{user}");
    }
    for time in ["", "-1", "+1", "1.5", "0x10", "18446744073709551616", " 1", "1 "] {
        assert_eq!(field(2, time), "its time is wrong", "{time}");
    }
    for kind in ["", "7", "01", "1 ", "-1", "x"] {
        assert_eq!(field(4, kind), "its type is of no known kind", "{kind}");
    }
    assert_eq!(field(4, "0"), Refused::Command.to_string());
    for kind in ["2", "4", "5", "6"] {
        assert_eq!(field(4, kind), Refused::Nat.to_string());
    }
    let messages = [
        ("", "its address is wrong"),
        ("Zm9v", "its address is wrong"),
        ("MjAzLjAuMTEzLjk", "its list of ports is empty"),
        ("MjAzLjAuMTEzLjkA", "its address is wrong"),
        ("MjAzLjAuMTEzLjks", "its list of ports is wrong"),
        // 203.0.113.9,tcp/0  ,tcp/65536  ,tcp/  ,tcp/+1  ,tcp22
        ("MjAzLjAuMTEzLjksdGNwLzA", "its list of ports is wrong"),
        ("MjAzLjAuMTEzLjksdGNwLzY1NTM2", "its list of ports is wrong"),
        ("MjAzLjAuMTEzLjksdGNwLw", "its list of ports is wrong"),
        ("MjAzLjAuMTEzLjksdGNwLysx", "its list of ports is wrong"),
        ("MjAzLjAuMTEzLjksdGNwMjI", "its list of ports is wrong"),
        // 203.0.113.9,icmp/8
        ("MjAzLjAuMTEzLjksaWNtcC84", "it asks for what is neither TCP nor UDP"),
        ("*", "its message is wrong"),
    ];
    for (message, why) in messages {
        assert_eq!(field(5, message), why, "{message}");
    }
    assert_eq!(field(5, &"YWFh".repeat(65)), "its message is wrong");
    assert_eq!(said(&format!("{good}:60")), "it has too many fields");
    let timed = good.replace(":1:", ":3:");
    assert_eq!(said(&timed), "it has too few fields");
    for (timeout, why) in [("0", "[(Tcp, 22)]"), ("65536", "[(Tcp, 22)]")] {
        assert_eq!(said(&format!("{timed}:{timeout}")), why);
    }
    for timeout in ["", "-1", "65537", "18446744073709551616", "x"] {
        assert_eq!(said(&format!("{timed}:{timeout}")), "its timeout is wrong", "{timeout}");
    }
    assert_eq!(said(&format!("{timed}:60:60")), "it has too many fields");
    for fields in 1..6 {
        let short: Vec<&str> = good.split(':').take(fields).collect();
        assert!(["it has too few fields", "its random value is wrong"].contains(&said(&short.join(":")).as_str()));
    }
    assert_eq!(
        said(&"x".repeat(1200)),
        Refused::Foreign.to_string(),
        "too long for a packet"
    );
}

fn is_missing(program: &str) -> bool {
    let missing = Command::new(program).arg("--version").output().is_err();
    if missing {
        skip(
            &this_test(),
            &format!("no {program} (Debian: fwknop-client, fwknop-server)"),
        );
    }
    missing
}

fn digests() -> impl Strategy<Value = Digest> {
    prop::sample::select(Digest::ALL.to_vec())
}

/// Keys of every length: random bytes, or as both sides write words.
fn key_files() -> impl Strategy<Value = String> {
    let bytes = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(a, b, c)| {
        Keys::from_random(&[a, b, c].concat().try_into().unwrap())
            .file()
            .to_string()
    });
    let words = ("[!-~&&[^;#]]{1,32}", "[!-~&&[^;#]]{16,128}")
        .prop_filter("the same", |(encryption, hmac)| encryption != hmac)
        .prop_map(|(encryption, hmac)| format!("KEY {encryption}\nHMAC_KEY {hmac}\n"));
    prop_oneof![bytes, words]
}

fn ports() -> impl Strategy<Value = Vec<(Protocol, u16)>> {
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]);
    prop::collection::vec((protocol, 1_u16..), 1..6)
}

/// The stock client cuts what is longer than 29 characters.
const USERS: &str = "[0-9A-Za-z_.@#$%^&(){}!~'-][ 0-9A-Za-z_.@#$%^&(){}!~'-]{0,28}";

fn list(ports: &[(Protocol, u16)]) -> String {
    let name = |protocol| if protocol == Protocol::Tcp { "tcp" } else { "udp" };
    let all: Vec<String> = ports
        .iter()
        .map(|(protocol, port)| format!("{}/{port}", name(*protocol)))
        .collect();
    all.join(",")
}

#[test]
fn the_stock_client_is_understood() {
    if is_missing("fwknop") {
        return;
    }
    let scratch = Scratch::new("spa");
    let inputs = (
        key_files(),
        digests(),
        prop::option::weighted(0.7, (1_u8..224, any::<[u8; 3]>())),
        ports(),
        prop::option::of(1_u32..=65_535),
        USERS,
        prop::sample::select(vec!["md5", "sha1", "sha256", "sha384", "sha512"]),
        -65_536_i64..65_536,
    );
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(
        &inputs,
        |(file, digest, address, ports, seconds, user, inner, offset)| {
            let rc = scratch.write("rc", format!("[default]\n{file}USE_HMAC Y\n").as_bytes());
            let saved = scratch.join("packet");
            let mut command = Command::new("fwknop");
            command
                .env("HOME", &*scratch)
                .arg("--rc-file")
                .arg(rc)
                .arg("-B")
                .arg(&saved);
            command.args([
                "--no-save-args",
                "-D",
                "192.0.2.1",
                "--test",
                "-vv",
                "-A",
                &list(&ports),
            ]);
            command.args(["--hmac-digest-type", digest.word(), "-m", inner, "--spoof-user", &user]);
            match address {
                Some((a, [b, c, d])) => command.args(["-a", &Ipv4Addr::new(a, b, c, d).to_string()]),
                None => command.arg("-s"),
            };
            if let Some(seconds) = seconds {
                command.args(["-f", &seconds.to_string()]);
            }
            let change = if offset < 0 {
                "--time-offset-minus"
            } else {
                "--time-offset-plus"
            };
            command.args([change, &offset.abs().to_string()]);
            let output = command.output().unwrap();
            let dump = Dump(String::from_utf8_lossy(&output.stdout).into_owned());
            prop_assert!(
                output.status.success(),
                "{command:?}: {} {}",
                dump.0,
                String::from_utf8_lossy(&output.stderr)
            );
            let packet = std::fs::read_to_string(&saved).unwrap();
            prop_assert_eq!(dump.packet(), packet.trim_end());
            let keys = Keys::parse(file.as_bytes()).map_err(TestCaseError::fail)?;
            let opened = open(packet.trim_end().as_bytes(), &keys, digest).map(|opened| opened.request);
            prop_assert_eq!(&opened, &dump.verdict());
            let request = opened.unwrap();
            prop_assert_eq!(
                request.address,
                address.map(|(a, [b, c, d])| IpAddr::from([a, b, c, d]))
            );
            prop_assert_eq!((request.ports, request.seconds, request.user), (ports, seconds, user));
            Ok(())
        },
    );
    outcome.unwrap();
}

fn requests() -> impl Strategy<Value = Request> {
    let address = prop::option::weighted(0.7, (1_u8..224, any::<[u8; 3]>()));
    (
        address,
        ports(),
        prop::option::of(1_u32..=65_535),
        1_u64..0x8000_0000,
        USERS,
    )
        .prop_map(|(address, ports, seconds, sent, user)| Request {
            address: address.map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d).into()),
            ports,
            seconds,
            sent,
            user,
        })
}

/// A capture file with the packets as UDP datagrams to the port.
fn capture(packets: &[String]) -> Vec<u8> {
    let mut file = Vec::new();
    // Magic, version 2.4, zone, accuracy, longest packet, Ethernet.
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1_u32] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for packet in packets {
        let length = u16::try_from(packet.len()).unwrap();
        let mut header = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 203, 0, 113, 9, 192, 0, 2, 1];
        header[2..4].copy_from_slice(&(28 + length).to_be_bytes());
        let words = header
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let mut sum: u32 = words.sum();
        sum = (sum & 0xffff) + (sum >> 16);
        let check = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        header[10..12].copy_from_slice(&check.to_be_bytes());
        let mut frame = [&[2; 12][..], &[8, 0], &header].concat();
        for word in [40_000, 62_201, 8 + length, 0] {
            frame.extend_from_slice(&word.to_be_bytes());
        }
        frame.extend_from_slice(packet.as_bytes());
        let long = u32::try_from(frame.len()).unwrap();
        for word in [1_700_000_000, 0, long, long] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(&frame);
    }
    file
}

/// What the stock server says of packets, one dump for each. It reads them from a capture file, and in its test mode touches no firewall.
fn ask_server(scratch: &Scratch, file: &str, digest: Digest, packets: &[String]) -> Vec<Dump> {
    let access = format!(
        "SOURCE ANY\n{file}HMAC_DIGEST_TYPE {}\nMAX_FW_TIMEOUT 70000\n",
        digest.word()
    );
    let conf = "PCAP_INTF lo;\nENABLE_SPA_PACKET_AGING N;\nENABLE_DIGEST_PERSISTENCE N;\n";
    let paths = [
        ("--access-file", scratch.write("access.conf", access.as_bytes())),
        ("--config-file", scratch.write("fwknopd.conf", conf.as_bytes())),
        ("--pcap-file", scratch.write("packets", capture(packets))),
        ("--digest-file", scratch.join("digests")),
        ("--run-dir", scratch.to_path_buf()),
        ("--pid-file", scratch.join("pid")),
    ];
    let mut command = Command::new("timeout");
    command.args(["60", "fwknopd", "--foreground", "--test", "-vv"]);
    command.arg("--packet-limit").arg(packets.len().to_string());
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    let output = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let dumps = text.split("SPA Decode (res=0)").skip(1);
    let dumps: Vec<Dump> = dumps.map(|part| Dump(part.to_string())).collect();
    assert_eq!(dumps.len(), packets.len(), "{text}");
    dumps
}

#[test]
fn the_stock_server_reads_ours() {
    if is_missing("fwknopd") {
        return;
    }
    let scratch = Scratch::new("spa");
    let packets = prop::collection::vec((requests(), any::<[u8; 16]>()), 8);
    let inputs = (key_files(), packets);
    let mut runner = TestRunner::new(Config {
        cases: 3,
        failure_persistence: None,
        ..Config::default()
    });
    for digest in Digest::ALL {
        let outcome = runner.run(&inputs, |(file, packets)| {
            let keys = Keys::parse(file.as_bytes()).map_err(TestCaseError::fail)?;
            let seal = |(request, random): &(Request, [u8; 16])| seal(request, &keys, digest, random).unwrap();
            let texts: Vec<String> = packets.iter().map(seal).collect();
            for (dump, (request, _)) in ask_server(&scratch, &file, digest, &texts).iter().zip(&packets) {
                prop_assert_eq!(dump.verdict(), Ok(request.clone()));
                prop_assert_eq!(dump.digest(), digest);
            }
            Ok(())
        });
        outcome.unwrap();
    }
}

/// As the stock server sees it, a packet of the stock client and one of ours with the same content differ in nothing but their random bytes.
#[test]
fn ours_are_built_like_the_stock_clients() {
    for (name, keys_name, dump) in recorded() {
        let keys = keys(&keys_name);
        let Ok(request) = dump.verdict() else { continue };
        let ours = seal(&request, &keys, dump.digest(), &[9; 16]).unwrap();
        let opened = open(ours.as_bytes(), &keys, dump.digest()).unwrap();
        assert_eq!(opened.request, request, "{name}");
        if dump.word("Digest Type") == "SHA256" && !name.starts_with("mode-") {
            assert_eq!(ours.len(), dump.packet().len(), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_is_sealed_opens(
        request in requests(), file in key_files(), digest in digests(), random in any::<[u8; 16]>(), other in any::<[u8; 16]>(),
        v6 in prop::option::of(any::<[u16; 8]>()),
    ) {
        let keys = Keys::parse(file.as_bytes()).map_err(TestCaseError::fail)?;
        let mut request = request;
        if let Some(v6) = v6 {
            request.address = Some(IpAddr::from(v6)).filter(|address| !address.is_unspecified());
        }
        let packet = seal(&request, &keys, digest, &random).unwrap();
        let opened = open(packet.as_bytes(), &keys, digest).unwrap();
        prop_assert_eq!(&opened.request, &request);
        prop_assert!(packet.len() <= 1500);
        let again = seal(&request, &keys, digest, &other).unwrap();
        prop_assert_eq!(again == packet, other == random);
        prop_assert_eq!(open(again.as_bytes(), &keys, digest).unwrap().proof == opened.proof, other == random);
    }

    #[test]
    fn keys_survive_their_file(file in key_files()) {
        let keys = Keys::parse(file.as_bytes()).map_err(TestCaseError::fail)?;
        let text = keys.file();
        let again = Keys::parse(text.as_bytes()).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&*text, &*again.file());
        // fwknop's own form with colons, comments, and a file from Windows.
        let other = format!("# a comment\r\n\r\n{}", text.replace(' ', ": ").replace('\n', "\r\n"));
        prop_assert_eq!(&*text, &*Keys::parse(other.as_bytes()).map_err(TestCaseError::fail)?.file());
        prop_assert_eq!(format!("{keys:?}"), "Keys");
    }
}

#[test]
fn wrong_key_files_are_named_without_their_keys() {
    let hmac = "HMAC_KEY 0123456789abcdef";
    let long = "x".repeat(200);
    let cases = [
        (String::new(), "no line KEY_BASE64"),
        (
            "KEY secret".to_string(),
            "no line HMAC_KEY_BASE64: a packet without HMAC is never accepted",
        ),
        (hmac.to_string(), "no line KEY_BASE64"),
        (format!("KEY\n{hmac}"), "line 1: no key"),
        (
            format!("KEY_BASE64 sec%ret\n{hmac}"),
            "line 1: the key is not base64, or too long",
        ),
        (
            format!("KEY_BASE64 c2VjcmVu=x\n{hmac}"),
            "line 1: the key is not base64, or too long",
        ),
        (
            format!("KEY_BASE64 c\n{hmac}"),
            "line 1: the key is not base64, or too long",
        ),
        (
            format!("KEY secret\n\nsecret\n{hmac}"),
            "line 3: neither KEY_BASE64 nor HMAC_KEY_BASE64 (nor KEY, HMAC_KEY)",
        ),
        (
            format!("KEY secret\nKEY_BASE64 c2VjcmV0\n{hmac}"),
            "line 2: a second key of that kind",
        ),
        (
            format!("KEY {long}\n{hmac}"),
            "line 1: KEY has 200 bytes, more than fwknop's 32",
        ),
        (
            format!("KEY secret\nHMAC_KEY {long}"),
            "line 2: HMAC_KEY has 200 bytes, more than fwknop's 128",
        ),
        (
            "KEY secret\nHMAC_KEY 0123456789abcde".to_string(),
            "the HMAC key has 15 bytes; with fewer than 16 it can be guessed",
        ),
        (
            format!("KEY sec ret\n{hmac}"),
            "line 1: fwknop understands no key with a space, ; or # in it: use the form with _BASE64",
        ),
        (format!("{}\n{hmac}", &hmac[5..]), "the two keys are the same"),
    ];
    for (file, why) in cases {
        assert_eq!(Keys::parse(file.as_bytes()).unwrap_err(), why, "{file}");
        assert!(!why.contains("secret"));
    }
}

#[test]
fn what_the_format_cannot_carry_is_not_sealed() {
    let keys = keys("base64");
    let good = Request {
        address: None,
        ports: vec![(Protocol::Tcp, 22)],
        seconds: None,
        sent: 1_800_000_000,
        user: "anna".to_string(),
    };
    let why = |change: &dyn Fn(&mut Request)| {
        let mut request = good.clone();
        change(&mut request);
        seal(&request, &keys, Digest::Sha256, &[1; 16]).map(|_| ())
    };
    assert_eq!(why(&|_| ()), Ok(()));
    let mut said = String::new();
    let changes: [&dyn Fn(&mut Request); 8] = [
        &|request| request.user.clear(),
        &|request| request.user = "a:b".to_string(),
        &|request| request.user = "ä".to_string(),
        &|request| request.user = "a".repeat(49),
        &|request| request.ports.clear(),
        &|request| request.ports = vec![(Protocol::Tcp, 60_000); 20],
        &|request| request.seconds = Some(0),
        &|request| request.sent = 1 << 33,
    ];
    for change in changes {
        let why = why(change).unwrap_err();
        writeln!(said, "{why}").unwrap();
    }
    assert_eq!(said.lines().count(), 8, "{said}");
    // The longest of everything still fits.
    let longest = Request {
        address: Some(Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff).into()),
        ports: vec![(Protocol::Tcp, 60_000); 15],
        seconds: Some(65_536),
        sent: u32::MAX.into(),
        user: "a".repeat(48),
    };
    let packet = seal(&longest, &keys, Digest::Sha512, &[255; 16]).unwrap();
    assert_eq!(open(packet.as_bytes(), &keys, Digest::Sha512).unwrap().request, longest);
    assert!(Path::new(FOLDER).is_dir() && packet.len() < 1000, "{}", packet.len());
}
