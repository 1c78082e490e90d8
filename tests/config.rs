//! The option table against what is read by it, and the shipped configuration against the table.

#![allow(clippy::unwrap_used)]

use lanward::config::{read, read_text, Absent, Arity, Config, Host, Kind, Level, Problem, System, OPTIONS};
use lanward::nft::PortRange;
use lanward::uci::{self, Package, Section, Value};
use proptest::prelude::*;
use std::collections::BTreeSet;

const SHIPPED: &str = include_str!("../files/etc/config/lanward");

fn problems(text: &str) -> Vec<Problem> {
    read_text(Some(text.as_bytes())).1
}

fn config(text: &str) -> Config {
    read_text(Some(text.as_bytes())).0
}

fn lines(text: &str) -> Vec<String> {
    problems(text).iter().map(ToString::to_string).collect()
}

/// The one problem of a text.
#[track_caller]
fn problem(text: &str) -> String {
    let mut lines = lines(text);
    assert_eq!(lines.len(), 1, "{text}\n{lines:#?}");
    lines.remove(0)
}

fn section_name(system: System) -> &'static str {
    match system {
        System::Gate => "ssh",
        System::Witness => "imaps",
        System::Knock => "door",
        System::Spa => "laptop",
        System::Relay => "office",
        System::Lanward | System::LanOnly | System::Ledger => system.word(),
    }
}

/// A text in which every option of every section has its example, but one option has the values given.
fn text_with(system: System, name: &str, values: &[&str]) -> String {
    let mut text = String::new();
    for kind in System::ALL {
        text += &format!("config {} '{}'\n", kind.word(), section_name(kind));
        for spec in OPTIONS.iter().filter(|spec| spec.system == kind) {
            let keyword = if spec.arity == Arity::Many { "list" } else { "option" };
            let examples = [spec.example];
            let values = if kind == system && spec.name == name {
                values
            } else {
                &examples
            };
            for value in values {
                text += &format!("\t{keyword} {} '{value}'\n", spec.name);
            }
        }
    }
    text.replace("level 'seed'", "level 'custom'")
}

/// A wrong value of a kind, and something its problem must say beside the value, the option and what is right.
fn wrong_values(kind: Kind) -> Vec<(&'static str, &'static str)> {
    match kind {
        Kind::Switch => vec![("maybe", "0 or 1"), ("2", "0 or 1"), ("ON", "0 or 1")],
        Kind::Choice(_) => vec![("nonsense", "one of")],
        Kind::Number { .. } => vec![
            ("5 minuts", "a number of"),
            ("-1", "a number of"),
            ("4294967296", "out of range"),
        ],
        Kind::Duration { .. } => vec![
            ("1", "unit"),
            ("1y", "unit"),
            ("1s", "10m to 30d"),
            ("9999w", "10m to 30d"),
        ],
        Kind::Clock { .. } => vec![
            ("7", "HH:MM"),
            ("25:00", "the latest is"),
            ("12:60", "the latest is"),
            ("1:5", "HH:MM"),
        ],
        Kind::Weekday => vec![("caturday", "day of the week")],
        Kind::Mark => vec![
            ("0x3", "exactly one"),
            ("0", "exactly one"),
            ("0xg", "exactly one bit"),
            ("0x", "one bit"),
        ],
        Kind::Port => vec![("0", "1 to 65535"), ("65536", "1 to 65535"), ("ssh", "a port")],
        Kind::Ports => {
            vec![
                ("0", "1 to 65535"),
                ("0-9", "1 to 65535"),
                ("9-65536", "1 to 65535"),
                ("9-1", "write 1-9"),
                ("1-", "a port"),
                ("1:9", "a port"),
            ]
        }
        Kind::Profile => vec![("Chrome_RD", "profile")],
        Kind::Host => vec![
            ("nas", "not resolved"),
            ("192.168.1", "IPv4"),
            ("192.168.1.0/24", "is a network"),
            ("224.0.0.251", "multicast"),
            ("ff02::fb", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("127.0.0.1", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("fe80::1", "link-local"),
            ("fe80::1%br-lan", "write fe80::1"),
            ("::ffff:192.168.1.20", "write 192.168.1.20"),
            ("ff:ff:ff:ff:ff:ff", "MAC"),
            ("00-00-00-00-00-00", "MAC"),
            ("00:00:5e:00:53", "IPv4, IPv6 or MAC"),
        ],
        Kind::Address => vec![
            ("mail.example.net", "not resolved"),
            ("192.0.2.0/24", "is a network"),
            ("1.2.3.4.5", "IPv4"),
        ],
        Kind::Subnet => vec![
            ("203.0.113.5/24", "the network is 203.0.113.0/24"),
            ("2001:db8::1/32", "the network is 2001:db8::/32"),
            ("203.0.113.0/33", "1 to 32"),
            ("2001:db8::/129", "1 to 128"),
            ("0.0.0.0/0", "every address"),
            ("::ffff:1.2.3.4/128", "write 1.2.3.4"),
            ("example.net", "not resolved"),
            ("203.0.113.0/255.255.255.0", "network"),
        ],
        Kind::Zone => vec![("l@n", "zone")],
        Kind::Gate => vec![("shh", "did you mean 'ssh'?"), ("door", "there are ssh")],
        Kind::Service => vec![
            ("22", "tcp:PORT"),
            ("udp:22", "TCP only"),
            ("tcp:0", "1 to 65535"),
            ("tcp:2222>192.168.1.10", "tcp:PORT"),
            ("tcp:2222>nas:22", "not resolved"),
            ("tcp:2222>2001:db8::1:22", "brackets"),
        ],
        Kind::Step => vec![
            ("7000", "tcp:PORT"),
            ("icmp:1", "tcp:PORT"),
            ("udp:65536", "1 to 65535"),
        ],
        Kind::Path => vec![
            ("laptop.key", "absolute"),
            ("/", "absolute"),
            ("/etc/../passwd", "absolute"),
        ],
        Kind::HostName => vec![
            ("relay.example.net:22", "name or address"),
            ("-oProxyCommand=x", "name"),
            ("1.2.3", "name"),
        ],
        Kind::Target => vec![
            ("192.168.1.20", "HOST:PORT"),
            ("2001:db8::20:3389", "brackets"),
            ("pc:0", "1 to 65535"),
        ],
        Kind::User => vec![("-oProxyCommand", "login"), ("a b", "login")],
        Kind::HostKey => vec![
            ("AAAA", "key"),
            ("ssh-ed25519", "key"),
            ("ssh-ed25519 AAAA root@relay", "key"),
            // Cut off; a key of another type than it says; no base64.
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsP", "key"),
            ("ssh-rsa AAAAC3NzaC1lZDI1NTE5", "key"),
            ("ssh-rsa AAAAB3NzaC1yc2E=AA", "key"),
        ],
    }
}

#[test]
fn the_example_of_every_option_is_right() {
    assert_eq!(lines(&text_with(System::Lanward, "", &[])), Vec::<String>::new());
}

#[test]
fn every_wrong_value_has_its_own_problem() {
    for spec in OPTIONS {
        for (value, hint) in wrong_values(spec.kind) {
            if spec.arity == Arity::Many && value.contains(' ') {
                continue;
            }
            let found = problems(&text_with(spec.system, spec.name, &[value]));
            let context = format!("{}.{} '{value}': {found:#?}", spec.system.word(), spec.name);
            assert_eq!(found.len(), 1, "{context}");
            let problem = &found[0];
            assert_eq!(
                problem.option,
                format!("lanward.{}.{}", section_name(spec.system), spec.name),
                "{context}"
            );
            assert_eq!(
                (problem.system, problem.restricts),
                (spec.system, spec.restricts),
                "{context}"
            );
            assert!(problem.message.starts_with(&format!("'{value}' ")), "{context}");
            assert!(problem.message.contains(hint), "{context}");
            let says_what_is_right = [
                &format!("(such as {})", spec.example),
                ": ",
                "such as",
                "did you mean",
                "there are",
            ];
            assert!(
                says_what_is_right.iter().any(|text| problem.message.contains(text)),
                "{context}"
            );
        }
    }
}

#[test]
fn every_wrong_value_of_a_list_is_named() {
    for spec in OPTIONS.iter().filter(|spec| spec.arity == Arity::Many) {
        let wrong: Vec<&str> = wrong_values(spec.kind).into_iter().map(|(value, _)| value).collect();
        let values: Vec<&str> = std::iter::once(spec.example).chain(wrong.iter().copied()).collect();
        let found = lines(&text_with(spec.system, spec.name, &values));
        assert_eq!(found.len(), wrong.len(), "{found:#?}");
        for (line, value) in found.iter().zip(&wrong) {
            assert!(line.contains(&format!("'{value}'")), "{line}");
        }
    }
}

#[test]
fn a_list_for_a_single_value_is_a_problem() {
    for spec in OPTIONS.iter().filter(|spec| spec.arity == Arity::One) {
        let option = format!("\toption {} ", spec.name);
        let doubled = text_with(spec.system, spec.name, &[spec.example, spec.example]);
        let header = format!("config {} '{}'\n", spec.system.word(), section_name(spec.system));
        let start = doubled.find(&header).unwrap();
        let text =
            doubled[..start].to_string() + &doubled[start..].replacen(&option, &option.replace("option", "list"), 2);
        let line = problem(&text);
        assert!(
            line.contains("is a list of 2 values: it must be one (such as"),
            "{line}"
        );
        assert!(
            line.starts_with(&format!("lanward.{}.{}: ", section_name(spec.system), spec.name)),
            "{line}"
        );
        // One value is one value, however it is written.
        let single = text_with(spec.system, spec.name, &[spec.example]);
        let text =
            single[..start].to_string() + &single[start..].replacen(&option, &option.replace("option", "list"), 1);
        assert_eq!(lines(&text), Vec::<String>::new());
    }
}

#[test]
fn an_option_for_a_list_is_its_words() {
    let text =
        "config lan_only 'lan_only'\n\toption host '192.168.1.20 192.168.1.21'\n\toption weekdays 'mon Tuesday'\n";
    assert_eq!(lines(text), Vec::<String>::new());
    let config = config(text);
    assert_eq!(config.lan_only.hosts.len(), 2);
    let schedule = config.lan_only.schedule.unwrap();
    assert_eq!(schedule.weekdays, [false, true, true, false, false, false, false]);
    let line = problem("config lan_only 'lan_only'\n\toption host '192.168.1.20 nas'\n");
    assert!(line.starts_with("lanward.lan_only.host: 'nas' is a name"), "{line}");
}

#[test]
fn what_is_required_is_asked_for() {
    for spec in OPTIONS.iter().filter(|spec| spec.absent == Absent::Required) {
        let line = problem(&text_with(spec.system, spec.name, &[]));
        let place = format!(
            "lanward.{}.{}: is missing: it must be ",
            section_name(spec.system),
            spec.name
        );
        assert!(line.starts_with(&place), "{line}");
        assert!(line.ends_with(&format!(" (such as {})", spec.example)), "{line}");
    }
}

#[test]
fn what_is_misspelt_is_named_with_what_was_meant() {
    assert_eq!(
        problem("config lan_only 'lan_only'\n\toption enabeld '1'\n"),
        "lanward.lan_only.enabeld: is not an option of lan_only; did you mean 'enabled'?"
    );
    assert_eq!(
        problem("config ledger 'ledger'\n\toption color '1'\n"),
        "lanward.ledger.color: is not an option of ledger; it has enabled, keep_days, commit, mask_sources"
    );
    assert_eq!(
        problem("config lanonly 'lan_only'\n"),
        "lanward.lan_only: 'lanonly' is not a type of section; did you mean 'lan_only'?"
    );
    assert_eq!(
        problem("config dnsmasq\n"),
        "lanward.@dnsmasq[0]: 'dnsmasq' is not a type of section; there are lanward, lan_only, gate, witness, knock, spa, ledger, relay"
    );
}

#[test]
fn problems_read_as_the_contract_says() {
    let gate = "config gate 'ssh'\n\tlist service 'tcp:22'\n";
    assert_eq!(
        problem(&format!("{gate}\toption window '5 minuts'\n")),
        "lanward.ssh.window: '5 minuts' is not a number of seconds (such as 60)"
    );
    assert_eq!(
        problem(&format!(
            "{gate}config witness\n\toption gate 'ssh'\n\toption port '0'\n"
        )),
        "lanward.@witness[0].port: '0' is out of range: ports are 1 to 65535"
    );
    assert_eq!(
        problem(&format!("{gate}\toption window '0'\n")),
        "lanward.ssh.window: '0' is out of range: the number of seconds must be 1 to 604800"
    );
    let syntax = problems("config lan_only 'lan_only'\n\toption enabled 'maybe\n");
    assert_eq!(syntax.len(), 1);
    assert_eq!(
        syntax[0].to_string(),
        "lanward: is not in UCI's syntax: line 2, column 17: this quote is never closed"
    );
    assert!(syntax[0].restricts);
}

#[test]
fn options_that_contradict_each_other_are_named() {
    let lan_only = |options: &str| problem(&format!("config lan_only 'lan_only'\n{options}"));
    assert!(lan_only("\toption level 'custom'\n").starts_with("lanward.lan_only.port: is missing: level 'custom'"));
    assert!(lan_only("\tlist port '50000'\n").starts_with("lanward.lan_only.port: has no effect without level"));
    assert!(lan_only("\tlist except_port '1-65535'\n").starts_with("lanward.lan_only.except_port: leaves no port"));
    assert!(lan_only("\toption start '7:00'\n\toption stop '07:00'\n").starts_with("lanward.lan_only.stop: "));
    assert!(lan_only("\toption start '0:00'\n\toption stop '24:00'\n").starts_with("lanward.lan_only.stop: "));
    assert!(lan_only("\toption host ''\n\tlist host ''\n").starts_with("lanward.lan_only.host: is empty"));
    let gate = "config gate 'ssh'\n\tlist service 'tcp:22'\n";
    let knock = |options: &str| problem(&format!("{gate}config knock 'door'\n\toption gate 'ssh'\n{options}"));
    assert!(knock("\tlist open 'tcp:1'\n\toption seconds '0'\n").starts_with("lanward.door.close: is missing"));
    assert!(knock("\toption open 'tcp:1 tcp:1'\n").starts_with("lanward.door.open: has the same step twice"));
    for (open, close, again) in [
        ("tcp:1 tcp:2", "tcp:1 tcp:2", true),
        ("tcp:2", "tcp:1 tcp:2", true),
        ("tcp:1 tcp:2", "tcp:3 tcp:1 tcp:2", true),
        // A step that was taken is nothing when it comes again.
        ("tcp:1 tcp:2 tcp:3", "tcp:1 tcp:2 tcp:1 tcp:3", true),
        ("tcp:1 tcp:2", "tcp:1 tcp:3 tcp:2", false),
        ("tcp:1 tcp:2", "tcp:1 tcp:2 tcp:3", false),
        ("tcp:1 tcp:2 tcp:3", "tcp:3", false),
        ("tcp:1 tcp:2", "tcp:1 udp:2", false),
    ] {
        let named = lines(&format!(
            "{gate}config knock 'door'\n\toption gate 'ssh'\n\toption open '{open}'\n\toption close '{close}'\n"
        ));
        let expected = "lanward.door.close: ends with the sequence that opens, and so opens again: take other steps";
        assert_eq!(named, Vec::from_iter(again.then_some(expected)), "{open}, {close}");
    }
    assert!(
        knock(&"\tlist open 'tcp:1'\n\tlist open 'tcp:2'\n".repeat(9)).starts_with("lanward.door.open: has 18 steps")
    );
    let relay = "config relay 'a'\n\toption host 'b'\n\toption remote_port '1'\n\toption target 'c:2'\n\toption retry_max '5'\n";
    assert_eq!(
        problem(relay),
        "lanward.a.retry_max: '5' is less than retry: it must be at least 10"
    );
    assert!(problem("config spa 'a'\n\toption gate 'ssh'\n\toption key_file '/k'\n")
        .contains("there is none; add config gate 'ssh'"));
}

#[test]
fn sections_are_named_and_counted() {
    assert!(problem("config gate\n\tlist service 'tcp:22'\n").starts_with("lanward.@gate[0]: needs a name"));
    assert!(problem("config lan_only\n")
        .starts_with("lanward.@lan_only[0]: must be named as its type: config lan_only 'lan_only'"));
    assert!(problem("config lan_only 'lan_only'\nconfig lan_only 'b'\n")
        .starts_with("lanward.b: is a second section of type lan_only"));
    assert!(problem("config gate 'ledger'\n\tlist service 'tcp:22'\n")
        .starts_with("lanward.ledger: has the name of the section ledger"));
    let twice = |name: &str| Section {
        kind: "spa".into(),
        name: Some(name.into()),
        index: 0,
        options: vec![],
        line: 1,
    };
    let package = Package {
        sections: vec![twice("a"), twice("a")],
    };
    assert!(read(&package)
        .1
        .iter()
        .any(|problem| problem.message.starts_with("stands twice")));
    let many: String = (0..65)
        .map(|number| format!("config gate 'g{number}'\n\tlist service 'tcp:22'\n"))
        .collect();
    assert!(problem(&many).starts_with("lanward.g64: is one section of type gate too many"));
    assert_eq!(config(&many).gates.len(), 64);
}

#[test]
fn wrong_values_take_their_closed_form() {
    let lan_only = |options: &str| {
        let (config, problems) = read_text(Some(format!("config lan_only 'lan_only'\n{options}").as_bytes()));
        assert!(!problems.is_empty(), "{options}");
        assert!(problems.iter().all(|problem| problem.restricts), "{options}");
        config.lan_only
    };
    let strict = vec![PortRange { from: 1024, to: 65_535 }];
    assert!(lan_only("\toption enabled 'maybe'\n").enabled);
    assert_eq!(lan_only("\toption level 'wide'\n").ports, strict);
    assert!(!lan_only("\toption observe 'maybe'\n").observe);
    assert!(lan_only("\toption mirror 'maybe'\n").mirror);
    assert_eq!(lan_only("\toption level 'custom'\n").ports, strict);
    assert_eq!(lan_only("\toption level 'custom'\n\tlist port 'x'\n").ports, strict);
    let some = lan_only("\toption level 'custom'\n\tlist port 'x'\n\tlist port '7'\n").ports;
    assert_eq!(some, vec![PortRange { from: 7, to: 7 }]);
    assert_eq!(lan_only("\tlist host 'nas'\n").hosts, vec![]);
    assert_eq!(
        lan_only("\tlist host 'nas'\n\tlist host '192.168.1.20'\n").hosts.len(),
        1
    );
    assert_eq!(lan_only("\tlist except_host 'nas'\n").except_hosts, vec![]);
    assert_eq!(
        lan_only("\tlist except_port '0'\n").ports,
        vec![PortRange {
            from: 40_001,
            to: 65_535
        }]
    );
    assert_eq!(lan_only("\tlist except_dest 'x'\n").except_dests, vec![]);
    assert_eq!(lan_only("\tlist source_zone 'l@n'\n").source_zones, ["lan"]);
    for wrong in [
        "\toption weekdays 'mo'\n\toption start '7:00'\n",
        "\toption stop '25:00'\n",
        "\toption start 'x'\n",
    ] {
        assert_eq!(lan_only(wrong).schedule, None, "{wrong}");
    }
    assert!(lan_only("\toption enabled '0'\nconfig lan_only 'b'\n").enabled);
    assert!(config("config lan_only 'lan_only\n").lan_only.enabled);
    assert_eq!(config("config lan_only 'lan_only\n").lan_only.ports, strict);
    assert_eq!(
        config("config lanward 'lanward'\n\toption mark '3'\n").mark,
        0x1000_0000
    );
}

#[test]
fn too_long_a_list_takes_its_closed_form() {
    let hosts: String = (0..1025)
        .map(|n| format!("\tlist host '10.0.{}.{}'\n", n / 250, n % 250 + 1))
        .collect();
    let text = format!("config lan_only 'lan_only'\n\toption level 'seed'\n{hosts}");
    assert_eq!(
        problem(&text),
        "lanward.lan_only.host: has 1025 values: it must have at most 1024"
    );
    assert_eq!(config(&text).lan_only.hosts, vec![]);
}

/// A gate with something wrong in it is shut, and a proof with something wrong in it proves nothing.
#[test]
fn gates_and_proofs_fail_closed() {
    for spec in OPTIONS {
        for (value, _) in wrong_values(spec.kind) {
            let (config, _) = read_text(Some(text_with(spec.system, spec.name, &[value]).as_bytes()));
            let place = format!("{}.{} '{value}'", spec.system.word(), spec.name);
            assert_eq!(config.gates[0].shut, spec.system == System::Gate, "{place}");
            assert_eq!(config.witnesses.is_empty(), spec.system == System::Witness, "{place}");
            assert_eq!(config.knocks.is_empty(), spec.system == System::Knock, "{place}");
            assert_eq!(config.spas.is_empty(), spec.system == System::Spa, "{place}");
            assert_eq!(config.relays.is_empty(), spec.system == System::Relay, "{place}");
        }
    }
    assert!(config("config gate\n\tlist service 'tcp:22'\n").gates[0].shut);
    assert!(config("config gate 'ssh'\n\tlist service 'tcp:22'\n\toption windwo '1'\n").gates[0].shut);
}

#[test]
fn restricts_is_what_the_contract_says() {
    for spec in OPTIONS {
        let harmless = matches!(spec.system, System::Ledger | System::Relay) || spec.name == "log_level";
        assert_eq!(spec.restricts, !harmless, "{}.{}", spec.system.word(), spec.name);
    }
}

#[test]
fn levels_and_exceptions_come_to_ranges() {
    let ports = |options: &str| {
        let text = format!("config lan_only 'lan_only'\n{options}");
        assert_eq!(lines(&text), Vec::<String>::new());
        let ranges = config(&text).lan_only.ports;
        ranges.iter().map(|range| (range.from, range.to)).collect::<Vec<_>>()
    };
    assert_eq!(ports(""), [(40_001, 65_535)]);
    assert_eq!(ports("\toption level 'recommended'\n"), [(32_768, 65_535)]);
    assert_eq!(ports("\toption level 'strict'\n"), [(1024, 65_535)]);
    assert_eq!(ports("\tlist host '02:00:5e:10:00:20'\n"), [(1024, 65_535)]);
    assert_eq!(
        ports("\tlist host '02-00-5E-10-00-20'\n\toption level 'seed'\n"),
        [(40_001, 65_535)]
    );
    assert_eq!(
        ports("\toption level 'custom'\n\tlist port '9-20'\n\tlist port '5'\n\tlist port '21'\n"),
        [(5, 5), (9, 21)]
    );
    assert_eq!(
        ports("\tlist except_port '51820'\n\tlist except_port '60000-65535'\n"),
        [(40_001, 51_819), (51_821, 59_999)]
    );
    assert_eq!(ports("\toption level 'seed'\n\tlist port '7'\n"), [(40_001, 65_535)]);
}

#[test]
fn reads_every_option_where_it_belongs() {
    let config = config(
        "config lan_only 'lan_only'\n option enabled on\n list host 2001:db8::20\n list host 192.168.1.20\n list host 192.168.1.20\n\
         \x20option weekdays 'sat sun'\n option start 22:00\n option stop 24:00\n list except_dest 203.0.113.9\n\
         config gate ssh\n option enabled yes\n option service 'tcp:22 tcp:2222>192.168.1.10:22 tcp:2223>[2001:db8::10]:22'\n option prefix6 64\n option forget never\n option refuse drop\n\
         config knock door\n option gate ssh\n option open 'tcp:7000 udp:8000 tcp:7000'\n\
         config ledger ledger\n option commit 2h\n option enabled disabled\n\
         config relay office\n option host relay.example.net\n option remote_port 3389\n option target '[2001:db8::20]:3389'\n",
    );
    let lan_only = &config.lan_only;
    assert!(lan_only.enabled);
    let hosts: Vec<Host> = vec![
        Host::Address("2001:db8::20".parse().unwrap()),
        Host::Address("192.168.1.20".parse().unwrap()),
    ];
    assert_eq!((&lan_only.hosts, lan_only.level), (&hosts, Level::Strict));
    let schedule = lan_only.schedule.as_ref().unwrap();
    assert_eq!((schedule.start, schedule.stop), (22 * 60, 0));
    assert_eq!(schedule.weekdays, [true, false, false, false, false, false, true]);
    assert_eq!(lan_only.except_dests[0].prefix, 32);
    let gate = &config.gates[0];
    assert!(gate.enabled && !gate.shut);
    assert_eq!(gate.services[1].forward, Some(("192.168.1.10".parse().unwrap(), 22)));
    assert_eq!(gate.services[2].forward, Some(("2001:db8::10".parse().unwrap(), 22)));
    assert_eq!((gate.prefix6, gate.window, gate.size), (64, 60, 4096));
    assert_eq!(config.knocks[0].open.len(), 3);
    assert_eq!((config.ledger.commit, config.ledger.enabled), (7200, false));
    assert_eq!(
        (config.relays[0].target.host.as_str(), config.relays[0].retry_max),
        ("2001:db8::20", 300)
    );
}

#[test]
fn the_shipped_file_says_what_holds_without_it() {
    let (config, problems) = read_text(Some(SHIPPED.as_bytes()));
    assert_eq!(problems, vec![]);
    assert_eq!(config, Config::default());
    assert_eq!(read_text(None), (Config::default(), vec![]));
    assert_eq!(read_text(Some(b"")), (Config::default(), vec![]));
}

/// Every option stands in the shipped file under its section's type, live or commented out, as the table has it: as an option or a list, and with
/// its default.
#[test]
fn the_shipped_file_has_every_option() {
    let mut found = BTreeSet::new();
    let mut kind = "";
    for line in SHIPPED.lines() {
        let words: Vec<&str> = line.trim_start_matches(['\t', '#']).splitn(3, ' ').collect();
        match words.as_slice() {
            ["config", of, _] => kind = of,
            ["option" | "list", name, value] => {
                let spec = OPTIONS
                    .iter()
                    .find(|spec| spec.system.word() == kind && spec.name == *name);
                let spec = spec.unwrap_or_else(|| panic!("{kind}.{name} is not in the table"));
                let value = value.trim_matches('\'');
                if let Absent::Default(default) = spec.absent {
                    assert_eq!(value, default, "{line}");
                }
                assert!(words[0] == "option" || spec.arity == Arity::Many, "{line}");
                found.insert((spec.system, spec.name));
            }
            _ => {}
        }
    }
    for spec in OPTIONS {
        assert!(
            found.contains(&(spec.system, spec.name)),
            "{}.{}",
            spec.system.word(),
            spec.name
        );
    }
}

/// The shipped file with everything that is commented out switched on is right, but for the key that is only hinted at.
#[test]
fn the_shipped_examples_are_right() {
    let live = SHIPPED
        .replace("\t#option", "\toption")
        .replace("\t#list", "\tlist")
        .replace("#config", "config");
    let live = live.replace("level 'seed'", "level 'custom'");
    let line = problem(&live);
    assert!(
        line.starts_with("lanward.office.host_key: 'ssh-ed25519 AAAA...' is not"),
        "{line}"
    );
    let config = config(&live);
    assert_eq!(
        (
            config.gates.len(),
            config.witnesses.len(),
            config.knocks.len(),
            config.spas.len()
        ),
        (1, 1, 1, 1)
    );
    assert!(!config.gates[0].shut);
}

#[test]
fn the_table_is_sound() {
    let mut names = BTreeSet::new();
    for spec in OPTIONS {
        let place = format!("{}.{}", spec.system.word(), spec.name);
        assert!(names.insert((spec.system, spec.name)), "{place} stands twice");
        assert!(!spec.meaning.is_empty() && !spec.meaning.contains('\n'), "{place}");
        assert!(!spec.example.is_empty(), "{place}");
        assert!(!wrong_values(spec.kind).is_empty(), "{place}");
        let value = |text: &str| {
            text_with(
                spec.system,
                spec.name,
                &text.split_ascii_whitespace().collect::<Vec<_>>(),
            )
        };
        if let Absent::Default(default) = spec.absent {
            assert_eq!(lines(&value(default)), Vec::<String>::new(), "{place}");
        }
        if !spec.closed.is_empty() {
            assert_eq!(lines(&value(spec.closed)), Vec::<String>::new(), "{place}");
        }
        if let Kind::Choice(words) = spec.kind {
            for word in words {
                assert_eq!(lines(&value(word)), Vec::<String>::new(), "{place} {word}");
            }
        }
    }
}

#[test]
fn hostile_texts_make_bounded_harmless_problems() {
    let long = "x".repeat(500_000);
    let deep = "'\\''".repeat(50_000);
    let texts = [
        format!("config lan_only 'lan_only'\n\toption enabled '{long}'\n"),
        format!("config {long}\n"),
        format!("config gate '{long}'\n\toption {long} 'a'\n"),
        format!("config lan_only 'lan_only'\n\toption enabled '{deep}'\n"),
        "config gate\n".repeat(4096),
        format!("config lan_only 'lan_only'\n{}", "\tlist host 'x'\n".repeat(1000)),
        "config lan_only 'lan_only'\n\toption enabled 'a\n\u{1b}[2J\u{202e}b'\n".to_string(),
        "config a\n\0".to_string(),
        format!(
            "config lan_only 'lan_only'\n\tlist port '{}'\n",
            "1-65535 ".repeat(60_000)
        ),
    ];
    for text in &texts {
        let found = problems(text);
        assert!(!found.is_empty() && found.len() <= 65, "{}", found.len());
        for problem in &found {
            let line = problem.to_string();
            assert!(line.len() < 1000 && !line.chars().any(char::is_control), "{line}");
        }
        assert!(found.iter().any(|problem| problem.restricts));
    }
}

fn any_package() -> impl Strategy<Value = Package> {
    let kind = prop_oneof![
        prop::sample::select(System::ALL.map(System::word).to_vec()).prop_map(String::from),
        ".{0,8}"
    ];
    let name = prop_oneof![
        prop::sample::select(OPTIONS.iter().map(|spec| spec.name).collect::<Vec<_>>()).prop_map(String::from),
        ".{0,8}"
    ];
    let known: Vec<&str> = OPTIONS
        .iter()
        .flat_map(|spec| {
            wrong_values(spec.kind)
                .into_iter()
                .map(|(value, _)| value)
                .chain([spec.example])
        })
        .collect();
    let text = prop_oneof![
        prop::sample::select(known).prop_map(String::from),
        "[0-9a-f:./>\\[\\]%-]{0,24}",
        "[0-9]{0,12}[smhdw:-]?[0-9]{0,12}",
        ".{0,24}",
    ];
    let value = prop_oneof![
        text.clone().prop_map(Value::One),
        prop::collection::vec(text, 0..4).prop_map(Value::Many)
    ];
    let section = (
        kind,
        prop::option::of("[a-z_]{0,8}"),
        0..9_usize,
        prop::collection::vec((name, value), 0..12),
    );
    let section = section.prop_map(|(kind, name, index, options)| Section {
        kind,
        name,
        index,
        options,
        line: 1,
    });
    prop::collection::vec(section, 0..12).prop_map(|sections| Package { sections })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 2, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_package_reads_to_something_that_can_be_applied(package in any_package()) {
        let (config, problems) = read(&package);
        prop_assert_eq!(config.mark.count_ones(), 1);
        let ports = &config.lan_only.ports;
        prop_assert!(!ports.is_empty());
        prop_assert!(ports.iter().all(|range| range.from <= range.to && range.from > 0));
        prop_assert!(ports.windows(2).all(|pair| pair[0].to < pair[1].from));
        prop_assert!(!config.lan_only.source_zones.is_empty() && !config.lan_only.dest_zones.is_empty());
        if let Some(schedule) = &config.lan_only.schedule {
            prop_assert!(schedule.start < 1440 && schedule.stop < 1440 && schedule.weekdays.contains(&true));
        }
        let gates: Vec<&str> = config.gates.iter().map(|gate| gate.name.as_str()).collect();
        prop_assert!(config.witnesses.iter().all(|witness| gates.contains(&witness.gate.as_str())));
        prop_assert!(config.knocks.iter().all(|knock| gates.contains(&knock.gate.as_str()) && !knock.open.is_empty()));
        for problem in &problems {
            prop_assert!(problem.option.starts_with("lanward"));
            prop_assert!(!problem.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn any_bytes_read_to_something(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let (_, problems) = read_text(Some(&text));
        prop_assert_eq!(uci::parse(&text).is_err(), problems.iter().any(|problem| problem.message.starts_with("is not in UCI's syntax")));
    }
}
