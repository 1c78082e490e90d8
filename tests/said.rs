//! The page says the daemon's messages in its language by a table of them (`tools/lanward/said.js`). Here the table is held against messages that
//! the program makes, and against the texts in its sources, so that no new message is shown in English unnoticed.

#![allow(clippy::unwrap_used)]

use lanward::check::{diagnose, BaseChain, Daemon, Facts, Severity, Table, TableState, Upnp, Way};
use lanward::config::{self, Arity, Config, Host, Schedule, Subnet, System, OPTIONS};
use lanward::event::{Event, Netifd, Now, Reading, Survey, Texts};
use lanward::network::{self, Device, Links, Network, Route, Sources, Zone};
use lanward::nft::netlink::neighbours::{Does, Step};
use lanward::relay::sight::{self, Line, Outcome, Sight};
use lanward::relay::words::Word;
use lanward::state::State;
use lanward::system::{conntrack, nflog, nftables};
use lanward::{gate, lan_only, nft, policy, profiles, report, uci};
use lanward_rig::node;
use serde_json::{json, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PROFILES: &[u8] = include_bytes!("../files/usr/share/lanward/profiles.json");
const BUILD: u64 = 1_795_608_000;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x20];
const NOW: Now = Now {
    monotonic: 0,
    unix: BUILD + 1,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn app() -> PathBuf {
    root().join("luci-app/luci-app-lanward")
}

fn table() -> String {
    fs::read_to_string(app().join("htdocs/luci-static/resources/tools/lanward/said.js")).unwrap()
}

/// A string of a catalogue's line.
fn unquoted(line: &str) -> String {
    let inner = line.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
    inner.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// English to Japanese, without plurals and contexts: the table has none.
fn catalogue() -> BTreeMap<String, String> {
    let text = fs::read_to_string(app().join("po/ja/lanward.po")).unwrap();
    let mut found = BTreeMap::new();
    for block in text.split("\n\n") {
        let line = |field: &str| block.lines().find_map(|line| line.strip_prefix(field));
        if let (Some(id), Some(said)) = (line("msgid "), line("msgstr ")) {
            found.insert(unquoted(id), unquoted(said));
        }
    }
    found.remove("");
    found
}

/// How the page says a message.
struct Said {
    message: String,
    english: String,
    /// What is of the table has `*` for its letters; the rest are values, or texts that it does not know.
    masked: String,
    japanese: String,
    microseconds: u64,
}

/// `None`: there is no node here, and said so.
fn say(test: &str, messages: &[String]) -> Option<Vec<Said>> {
    let profiles: Value = serde_json::from_slice(PROFILES).unwrap();
    let given = json!({ "messages": messages, "profiles": profiles, "catalogue": catalogue() });
    let resources = app().join("htdocs/luci-static/resources");
    let answers = node::ask(test, &root().join("tests/page/said.js"), &resources, &given)?;
    let answers: Vec<[Value; 3]> = serde_json::from_value(answers).unwrap();
    assert_eq!(answers.len(), messages.len());
    let text = |answer: &Value| answer["text"].as_str().unwrap().to_string();
    let one = |(message, [english, masked, japanese]): (&String, [Value; 3])| Said {
        message: message.clone(),
        english: text(&english),
        masked: text(&masked),
        japanese: text(&japanese),
        microseconds: japanese["microseconds"].as_u64().unwrap(),
    };
    Some(messages.iter().zip(answers).map(one).collect())
}

fn shipped() -> profiles::Profiles {
    profiles::parse(PROFILES).unwrap()
}

fn package(text: &str) -> uci::Package {
    uci::parse(text.as_bytes()).unwrap()
}

fn recorded(name: &str) -> String {
    fs::read_to_string(root().join("tests/openwrt").join(name)).unwrap()
}

/// Wrong in every way that there is; what is right for a kind does no harm.
const WRONG: &[&str] = &[
    "",
    "nonsense!",
    "5 minuts",
    "-1",
    "0",
    "4294967296",
    "1s",
    "9999w",
    "1:5",
    "25:00",
    "caturday",
    "0x3",
    "0-9",
    "9-1",
    "65536",
    "Chrome_RD",
    "nas",
    "192.168.1",
    "192.168.1.0/24",
    "192.168.1.5/24",
    "0.0.0.0/0",
    "192.0.2.0/33",
    "224.0.0.251",
    "0.0.0.0",
    "127.0.0.1",
    "255.255.255.255",
    "169.254.1.1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:192.0.2.1",
    "ff:ff:ff:ff:ff:ff",
    "udp:22",
    "tcp:22>2001:db8::20:22",
    "tcp:70000",
    "-x",
    "etc/key",
    "ssh-dss xyz",
    "seconds",
    "is a port (such as 22)",
    "<img src=x onerror=alert(1)>",
];

/// A complete configuration in which one option has these values.
fn text_with(system: System, name: &str, values: &[&str]) -> String {
    let mut text = String::new();
    for kind in System::ALL {
        let label = match kind {
            System::Gate => "ssh",
            System::Witness => "imaps",
            System::Knock => "door",
            System::Spa => "laptop",
            System::Relay => "office",
            _ => kind.word(),
        };
        text += &format!("config {} '{label}'\n", kind.word());
        for spec in OPTIONS.iter().filter(|spec| spec.system == kind) {
            let keyword = if spec.arity == Arity::Many { "list" } else { "option" };
            let examples = [spec.example];
            let is_it = kind == system && spec.name == name;
            for value in if is_it { values } else { &examples } {
                text += &format!("\t{keyword} {} '{value}'\n", spec.name);
            }
        }
    }
    text
}

/// Configurations that are wrong in other ways than by a value.
fn wrong_texts() -> Vec<String> {
    let repeated = |text: &str, times: usize| text.repeat(times);
    let mut texts: Vec<String> = [
        "config gat 'ssh'\n",
        "config camera 'x'\n",
        "config lan_only 'x'\n",
        "config lan_only 'lan_only'\nconfig lan_only 'other'\n",
        "config lan_only 'lan_only'\n\toption levle 'seed'\n\toption colour 'red'\n",
        "config lan_only 'lan_only'\n\toption level 'custom'\n",
        "config lan_only 'lan_only'\n\tlist port '50000'\n",
        "config lan_only 'lan_only'\n\tlist except_port '1-65535'\n",
        "config lan_only 'lan_only'\n\tlist level 'seed'\n\tlist level 'strict'\n",
        "config lan_only 'lan_only'\n\toption start '07:00'\n\toption stop '07:00'\n",
        "config gate\n",
        "config gate 'ledger'\n",
        "config gate 'ssh'\nconfig witness 'ssh'\n",
        "config gate 'abcdefghijklmnopqrstuvwxyzabcdefghijklmn'\n\tlist service 'tcp:22'\n",
        "config witness 'w'\n\toption gate 'ssh'\n",
        "config gate 'shh'\n\tlist service 'tcp:22'\nconfig witness 'w'\n\toption gate 'ssh'\nconfig spa 's'\n\toption gate 'elsewhere'\n",
        "config knock 'k'\n\toption gate 'ssh'\n\toption seconds '0'\n\tlist open 'tcp:1'\n\tlist open 'tcp:1'\n",
        "config relay 'r'\n\toption retry '20'\n\toption retry_max '10'\n\toption host 'a'\n\toption remote_port '1'\n\toption target 'a:1'\n",
        "config gate 'x\n",
        "option a b\n",
        "confg gate\n",
        "config\n",
        "package\n",
        "package a:b\n",
        "config gate 'a b'\n",
        "config g\u{e4}te\n",
        "config gate x\n\toption\n",
        "config gate x\n\toption a:b c\n",
        "config gate x y\n",
        "config gate x\nconfig witness x\n",
        "config gate x\n\0",
    ]
    .map(String::from)
    .into();
    texts.push(repeated("config gate\n", 70));
    texts.push(repeated("config gate\n", 20_000));
    texts.push(format!(
        "config lan_only 'lan_only'\n{}",
        repeated("\tlist host '192.168.1.1'\n", 1025)
    ));
    texts.push(format!(
        "config gate 'ssh'\n\tlist service 'tcp:22'\nconfig knock 'k'\n\toption gate 'ssh'\n{}",
        repeated("\tlist open 'tcp:1'\n\tlist open 'udp:1'\n", 9)
    ));
    texts.push(format!(
        "config gate 'ssh'\n{}",
        (0..5000).map(|n| format!("\toption a{n} 'b'\n")).collect::<String>()
    ));
    texts.push(" ".repeat(4 << 20));
    texts
}

fn of_config(text: &str) -> Vec<String> {
    let (_, problems) = config::read_text(Some(text.as_bytes()));
    problems.into_iter().map(|problem| problem.message).collect()
}

fn of_the_configuration() -> Vec<String> {
    let mut messages: Vec<String> = wrong_texts().iter().flat_map(|text| of_config(text)).collect();
    for spec in OPTIONS {
        for wrong in WRONG {
            messages.extend(of_config(&text_with(spec.system, spec.name, &[wrong])));
        }
        messages.extend(of_config(&text_with(spec.system, spec.name, &[])));
        messages.extend(of_config(&text_with(spec.system, spec.name, &["1", "2"])));
        // As a kind is named where there is nothing to be wrong about.
        messages.push(format!(
            "is missing: it must be {} (such as {})",
            spec.kind.description(),
            spec.example
        ));
    }
    messages
}

/// What the firewall's and the network's files, and netifd, may have that is not followed.
fn of_the_network() -> Vec<String> {
    let firewall = package(
        "config defaults\n\toption input 'ACCEPT'\n\toption forward 'ACCEPT'\n\
         config zone\n\toption name 'lan'\n\toption enabled 'perhaps'\n\tlist network 'lan'\n\tlist network '!x'\n\tlist network 'none'\n\tlist network 'soon'\n\
         \tlist device '!eth9'\n\tlist device '+'\n\tlist device 'a/b'\n\tlist subnet '10.0.0.0/8'\n\
         config zone\n\toption name '5 g'\nconfig zone\n\toption name 'wan'\n\
         config redirect\n\toption target 'nowhere'\n\
         config redirect\n\toption dest_ip '192.168.1.2'\n\
         config redirect\n\toption src 'sea'\n\toption dest_ip '192.168.1.2'\n\
         config redirect\n\toption src 'wan'\n\tlist dest_ip '192.168.1.2'\n\tlist dest_ip '192.168.1.3'\n\
         config redirect\n\toption src 'wan'\n\toption dest_ip '192.168.1.2'\n\toption src_dport 'many'\n\
         config redirect\n\toption src 'wan'\n\toption dest_ip 'nas'\n\
         config redirect\n\toption src 'wan'\n\toption dest 'lan'\n\toption dest_ip '::2/-64'\n\
         config redirect\n\toption src 'wan'\n\toption dest_ip '192.168.1.2'\n\toption proto '!udp'\n\
         config redirect\n\toption src 'wan'\n\toption enabled 'x'\n\
         config rule\n\toption name 'Allow-all'\n\toption src 'wan'\n\toption dest 'lan'\n\toption target 'ACCEPT'\n\
         config rule\n\toption name 'Allow-SSH'\n\toption src 'wan'\n\toption dest_port '22'\n\toption proto 'tcp'\n\toption target 'ACCEPT'\n\
         config rule\n\toption src 'moon'\n\toption dest 'lan'\n\toption target 'ACCEPT'\n",
    );
    let interfaces =
        package("config interface 'lan'\n\toption device 'br lan'\nconfig interface 'soon'\n\toption proto 'pppoe'\n");
    let dump = json!({ "interface": [ { "interface": "lan", "device": "br/lan", "up": true }, { "up": true }, { "interface": "soon" } ] });
    let links = Links::default();
    let read = |firewall, network, netifd| {
        network::read(&Sources {
            firewall,
            network,
            netifd,
            links: &links,
        })
    };
    let many: String = (0..70)
        .map(|n| format!("config zone\n\toption name 'z{n}'\n"))
        .collect();
    let many = package(&many);
    let redirects: String = (0..1030)
        .map(|n| {
            format!(
                "config redirect\n\toption src 'z1'\n\toption dest_ip '192.168.1.2'\n\toption src_dport '{}'\n",
                n + 1
            )
        })
        .collect();
    let redirects = package(&format!(
        "config zone\n\toption name 'z1'\n\tlist device 'eth1'\n{redirects}"
    ));
    let odd = json!({});
    let mut networks = vec![
        read(Some(&firewall), Some(&interfaces), Some(&dump)),
        read(Some(&firewall), Some(&interfaces), None),
        read(None, None, Some(&odd)),
        read(Some(&many), None, None),
        read(Some(&redirects), None, None),
    ];
    let mut messages: Vec<String> = networks.iter().flat_map(|network| network.warnings.clone()).collect();
    networks.push(Network::default());
    let texts = [
        "config lan_only 'lan_only'\n\toption enabled '1'\n\tlist host '192.168.1.20'\n\toption start '07:00'\n\toption stop '08:00'\n\
         config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\tlist service 'tcp:2222>[2001:db8::9]:22'\n\
         config gate 'two'\n\toption enabled '1'\n\tlist service 'tcp:22'\nconfig knock 'k'\n\toption gate 'two'\n\tlist open 'tcp:1'\n",
        "config lan_only 'lan_only'\n\tlist source_zone 'attic'\n",
        "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\
         config knock 'k'\n\toption gate 'ssh'\n\tlist open 'tcp:1'\n\tlist close 'tcp:2'\n\toption seconds '0'\n",
    ];
    for (network, text) in networks.iter().flat_map(|network| texts.map(|text| (network, text))) {
        let (config, _) = config::read_text(Some(text.as_bytes()));
        for zone in ["", "Europe/Berlin", "a b"] {
            let compiled = policy::compile(&config, network, zone, BUILD);
            messages.extend(compiled.warnings);
            messages.extend(compiled.problems.into_iter().map(|problem| problem.message));
        }
        messages.extend(policy::compile(&config, network, "", u64::MAX).warnings);
    }
    messages
}

fn of_the_profiles() -> Vec<String> {
    let profiles = shipped();
    let mut ids: Vec<String> = profiles.applications.iter().map(|one| one.id.clone()).collect();
    ids.push("no-such".into());
    let levels = [
        config::Level::Seed,
        config::Level::Recommended,
        config::Level::Strict,
        config::Level::Custom,
    ];
    let mut messages: Vec<String> = levels
        .iter()
        .flat_map(|level| profiles.warnings(*level, &ids))
        .collect();
    let mut config = Config::default();
    config.lan_only.profiles = ids;
    messages.extend(
        report::unknown_profiles(&config, &profiles)
            .into_iter()
            .map(|problem| problem.message),
    );
    messages
}

fn of_the_gates() -> Vec<String> {
    let text = "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22>192.168.1.2:22'\n\
                config gate 'net'\n\toption enabled '1'\n\toption prefix6 '64'\n\tlist service 'tcp:23'\n";
    let (config, _) = config::read_text(Some(text.as_bytes()));
    let gates = policy::compile(&config, &Network::default(), "", BUILD).policy.gates;
    let wanted = [
        "nas",
        "192.0.2.0/24",
        "0.0.0.0",
        "127.0.0.1",
        "fe80::1",
        "2001:db8::1",
        "224.0.0.1",
        "'x' is a port",
    ];
    let asked = gates
        .list
        .iter()
        .flat_map(|gate| wanted.map(|text| gate::source(gate, text)));
    asked.filter_map(Result::err).collect()
}

/// What a check through a tunnel can see, and what a client can complain of.
fn of_the_relays() -> Vec<String> {
    let text = "config relay 'office'\n\toption host 'relay.example.net'\n\toption remote_port '3389'\n\toption target '192.168.1.20:3389'\n";
    let (config, _) = config::read_text(Some(text.as_bytes()));
    let relay = &config.relays[0];
    let outcomes = [
        Outcome::Greets(5),
        Outcome::Mute,
        Outcome::Closed,
        Outcome::Foreign("does not answer as RDP does"),
        Outcome::Foreign("says much, but never what it is"),
        Outcome::Refused,
        Outcome::Unreachable("no answer".into()),
    ];
    let mut messages = Vec::new();
    for (through, direct) in outcomes
        .iter()
        .flat_map(|one| outcomes.iter().map(move |other| (one, other)))
    {
        for reached in [None, Some(false), Some(true)] {
            for (line, complaint) in [
                (None, None),
                (Some(Line { unanswered: true }), None),
                (None, Some(Word::Prohibited)),
            ] {
                let (through, direct) = (through.clone(), Some(direct.clone()));
                let sight = Sight {
                    through,
                    reached,
                    line,
                    direct,
                };
                messages.extend(
                    sight::judge(&sight, relay, complaint)
                        .err()
                        .map(|trouble| trouble.message),
                );
            }
        }
    }
    // What the client says itself stays as it is, and of the other words it is all that there is.
    let words = [
        Word::HostKeyChanged,
        Word::HostKeyUnknown,
        Word::NoHostKeyType,
        Word::NoAlgorithm,
        Word::KeyRefused,
        Word::KeyFile,
        Word::NotResolved,
        Word::Refused,
        Word::Unreachable,
        Word::TimedOut,
        Word::KeepAlive,
        Word::Closed,
        Word::Option,
    ];
    messages.extend(words.map(|word| sight::explained(relay, word, "'its words'").message));
    messages
}

/// What `status` and `reload` say of a state in which things went wrong.
fn of_the_state() -> Vec<String> {
    let texts = |lanward: Result<Option<Vec<u8>>, String>| Texts {
        lanward,
        firewall: Err("Permission denied (os error 13)".into()),
        network: Ok(Some(b"config 'x\n".to_vec())),
        profiles: Some(PROFILES.to_vec()),
        ..Texts::default()
    };
    let gate = b"config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n".to_vec();
    let failures = [
        nftables::Error::Timeout.to_string(),
        nftables::Error::Malformed.to_string(),
        nftables::Error::Unsteady.to_string(),
        nftables::Error::Refused {
            errno: 1,
            about: "the transaction".into(),
            part: None,
            message: None,
        }
        .to_string(),
    ];
    let mut messages = Vec::new();
    for failure in failures {
        let mut state = State::default();
        let mut happens = |event| drop(state.handle(event, NOW));
        happens(Event::Started);
        let without = Texts {
            no_copies: Some(nflog::Error::Missing.to_string()),
            ..texts(Ok(Some(gate.clone())))
        };
        happens(Event::Configured(Box::new(without), None));
        happens(Event::Surveyed(Box::new(Survey {
            netifd: Netifd::Silent("no answer".into()),
            links: Ok(Links::default()),
        })));
        happens(Event::Verified(Err(failure.clone())));
        messages.extend(texts_of(&report::reload(&state)));
        let mut happens = |event| drop(state.handle(event, NOW));
        happens(Event::Applied(Err(failure)));
        happens(Event::Configured(Box::new(texts(Ok(None))), None));
        messages.extend(texts_of(&report::reload(&state)));
        messages.extend(texts_of(&report::status(&state, &Reading::default(), NOW)));
        let refused = texts(Err("Is a directory (os error 21)".into()));
        drop(state.handle(Event::Configured(Box::new(refused), None), NOW));
        messages.extend(texts_of(&report::status(&state, &Reading::default(), NOW)));
    }
    messages.extend(
        [nflog::Error::Forbidden, nflog::Error::Taken(7), nflog::Error::Malformed].map(|error| error.to_string()),
    );
    messages.push(conntrack::Error::Missing.to_string());
    messages.push(lan_only::saved::saved(b"config lan_only\n", true).unwrap_err());
    messages
}

/// The texts for people in an answer.
fn texts_of(answer: &Value) -> Vec<String> {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let problems = list("problems").into_iter().map(|problem| problem["message"].clone());
    let texts = problems.chain(list("warnings")).chain([answer["error"].clone()]);
    texts.filter_map(|text| text.as_str().map(String::from)).collect()
}

fn route(dest: &str, device: u32) -> Route {
    Route {
        table: 254,
        dest: Subnet {
            address: dest.parse().unwrap(),
            prefix: 0,
        },
        device,
    }
}

fn healthy() -> Facts {
    let zone = |name: &str, device: &str| {
        let zone = Zone {
            name: name.to_string(),
            devices: [Device::Named(device.to_string())].into(),
            ..Zone::default()
        };
        (name.to_string(), zone)
    };
    Facts {
        file: "/etc/config/lanward".into(),
        config: Config::default(),
        problems: Vec::new(),
        is_silent: false,
        network: Network {
            zones: [zone("lan", "br-lan"), zone("wan", "wan0")].into(),
            ..Network::default()
        },
        links: Links {
            devices: [
                (2, "br-lan".to_string()),
                (3, "wan0".to_string()),
                (4, "wg0".to_string()),
            ]
            .into(),
            routes: vec![route("0.0.0.0", 3), route("::", 3)],
            neighbours: vec![
                ("192.168.1.20".parse().unwrap(), MAC),
                ("2001:db8::20".parse().unwrap(), MAC),
            ],
            ..Links::default()
        },
        firewall: Some(package("config defaults\n")),
        fw4_installed: true,
        fw4_gates: None,
        tables: Some(vec![Table {
            family: "inet".into(),
            name: "fw4".into(),
        }]),
        chains: Vec::new(),
        steps: Vec::new(),
        table: TableState::Same,
        missing: Vec::new(),
        upnp: Upnp::default(),
        clock: BUILD + 1,
        build: BUILD,
        timezone: Ok(String::new()),
        daemon: Daemon::Asking,
        accounting: Some(true),
        windows: Some(true),
        tracked: Some((700, 16_384)),
        no_copies: None,
        profiles: Ok(shipped()),
        relays: Vec::new(),
    }
}

/// Routers on which something is wrong, one thing each.
fn routers() -> Vec<Facts> {
    let chain = |table: &str, hook: &str| BaseChain {
        family: "inet".into(),
        table: table.into(),
        chain: hook.into(),
        hook: hook.into(),
        priority: -200,
    };
    let gated = "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\nconfig witness 'imaps'\n\toption gate 'ssh'\n\toption min_bytes '1'\n\
                 config knock 'door'\n\toption gate 'ssh'\n\tlist open 'tcp:1'\nconfig spa 's'\n\toption gate 'ssh'\n\toption key_file '/k'\n\
                 config relay 'r'\n\toption enabled '1'\n\toption host 'a'\n\toption remote_port '1'\n\toption target 'pc:1'\n";
    let mut routers = vec![healthy()];
    let mut with = |change: &dyn Fn(&mut Facts)| {
        let mut facts = healthy();
        change(&mut facts);
        routers.push(facts);
    };
    let host = || vec![Host::Address("192.168.1.20".parse().unwrap())];
    let broken = config::read_text(Some(
        b"config lan_only 'lan_only'\n\toption level 'sed'\nconfig ledger 'ledger'\n\toption keep_days 'x. y'\n",
    ))
    .1;
    with(&|facts| facts.problems = broken.clone());
    with(&|facts| facts.table = TableState::NotAsked);
    with(&|facts| facts.table = TableState::Missing);
    with(&|facts| (facts.table, facts.config.lan_only.enabled) = (TableState::Missing, true));
    with(&|facts| {
        facts.table = TableState::Differs(vec![
            "chain \"forward\", rule 3 is another".into(),
            "set \"off\" is missing".into(),
        ]);
    });
    with(&|facts| facts.missing = vec!["nf_conntrack_netlink".into(), "xyz".into()]);
    with(&|facts| facts.tracked = Some((16_384, 16_384)));
    with(&|facts| facts.tables = None);
    with(&|facts| facts.tables = Some(Vec::new()));
    with(&|facts| (facts.tables, facts.fw4_installed) = (Some(Vec::new()), false));
    with(&|facts| facts.config.lan_only.source_zones = (0..12).map(|n| format!("zone{n}")).collect());
    with(&|facts| facts.network.zones.get_mut("lan").unwrap().devices = Default::default());
    with(&|facts| facts.links.routes.push(route("::", 4)));
    with(&|facts| {
        facts.links.routes.push(route("0.0.0.0", 4));
        let mut zone = facts.network.zones["lan"].clone();
        (zone.name, zone.devices) = ("vpn".into(), [Device::Named("wg0".into())].into());
        facts.network.zones.insert("vpn".into(), zone);
    });
    with(&|facts| {
        facts.links.routes.push(Route {
            table: 100,
            ..route("::", 4)
        });
        facts.network.forward = network::Treatment::Accept;
        facts.firewall = Some(package(
            "config forwarding\n\toption src 'docker'\n\toption dest 'wan'\n",
        ));
    });
    for (keeps, may_set) in [(0, u32::MAX), (0, 1), (0x61ff_ffff, 0x1e00_0000)] {
        with(&|facts| {
            facts.config = config::read_text(Some(gated.as_bytes())).0;
            let step = |does| Step {
                table: "other".into(),
                chain: "c".into(),
                device: None,
                does,
            };
            facts.steps = vec![("ip", step(Does::Mark { keeps, may_set }))];
            facts.config.gates[0].services.push(config::Service {
                port: 2222,
                forward: Some(("192.168.1.20".parse().unwrap(), 22)),
            });
            facts.upnp.leases = "TCP:5022:192.168.1.20:22:0:x\nTCP:22:192.168.1.99:22:0:other\n".into();
        });
    }
    with(&|facts| facts.links = Links::default());
    with(&|facts| (facts.links, facts.config.lan_only.hosts) = (Links::default(), host()));
    with(&|facts| facts.chains = vec![chain("banIP", "forward"), chain("PassWall", "prerouting")]);
    for options in ["", "\toption flow_offloading_hw '1'\n"] {
        let text = format!("config defaults\n\toption flow_offloading '1'\n{options}");
        with(&|facts| facts.firewall = Some(package(&text)));
    }
    with(&|facts| facts.firewall = None);
    for schedule in [
        None,
        Some(Schedule {
            weekdays: [true; 7],
            start: 0,
            stop: 60,
        }),
    ] {
        with(&|facts| {
            facts.config.lan_only.schedule = schedule.clone();
            facts.clock = 5;
            facts.timezone = Err("/etc/TZ cannot be read: Permission denied (os error 13)".into());
        });
    }
    with(&|facts| facts.config = config::read_text(Some(gated.as_bytes())).0);
    with(&|facts| (facts.config, facts.clock) = (config::read_text(Some(gated.as_bytes())).0, 5));
    with(&|facts| {
        facts.config = config::read_text(Some(gated.as_bytes())).0;
        facts.fw4_gates = Some(Vec::new());
        (facts.accounting, facts.windows) = (Some(false), Some(false));
        facts.no_copies = Some(format!(
            "nobody tells who comes and goes at the gates: {}",
            nflog::Error::Forbidden
        ));
        facts.network.doors = ["Allow-SSH", "forward of defaults", "input of zone wan"]
            .map(|label| network::Door {
                label: label.into(),
                source_zone: "wan".into(),
                ports: nft::PortRange { from: 20, to: 30 },
                forwards: false,
            })
            .into();
    });
    with(&|facts| {
        facts.config = config::read_text(Some(
            b"config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n",
        ))
        .0;
    });
    with(&|facts| facts.links.routes.retain(|route| route.dest.address.is_ipv4()));
    with(&|facts| facts.config.lan_only.hosts = host());
    with(&|facts| facts.config.lan_only.hosts = vec![Host::Address("192.168.1.77".parse().unwrap())]);
    with(&|facts| {
        facts.config.lan_only.hosts = ["2001:db8::20", "2001:db8::77"]
            .map(|six| Host::Address(six.parse().unwrap()))
            .into();
    });
    for mirror in [true, false] {
        with(&|facts| {
            facts.firewall = Some(package("config defaults\n\toption fullcone '1'\n"));
            facts.config.lan_only.mirror = mirror;
            (facts.upnp.enabled, facts.upnp.running) = (true, mirror);
            facts.upnp.leases =
                "UDP:40000:192.168.1.20:3389:0:my game\nTCP:22:192.168.1.99:22:0:other, or: not\nUDP\n".into();
            facts.upnp.unread = vec!["/etc/config/upnpd (Permission denied (os error 13))".into()];
        });
    }
    let ways = "config redirect\n\toption name 'My desk'\n\toption src 'wan'\n\toption src_dport '40000'\n\toption dest_ip '192.168.1.20'\n\toption dest_port '3389'\n\
                config redirect\n\toption src 'wan'\n\toption dest_ip '192.168.1.30'\n\
                config rule\n\toption name 'hole'\n\toption src 'wan'\n\toption dest 'lan'\n\toption target 'ACCEPT'\n\toption proto 'tcp'\n\tlist dest_port '3389'\n\tlist dest_port '5900-5903'\n";
    with(&|facts| facts.firewall = Some(package(ways)));
    with(&|facts| {
        facts.firewall = Some(package(ways));
        facts.config.lan_only.hosts = vec![Host::Mac(MAC)];
        facts.links.neighbours.clear();
    });
    for profiles in ["there is no such file", "levels: a list is wanted"] {
        with(&|facts| facts.profiles = Err(profiles.into()));
        with(&|facts| (facts.profiles, facts.config.lan_only.profiles) = (Err(profiles.into()), vec!["vnc".into()]));
    }
    for level in [config::Level::Recommended, config::Level::Strict, config::Level::Custom] {
        with(&|facts| facts.config.lan_only.level = level);
    }
    use lanward::relay::State::{Backoff, Failed, Idle, Starting, Up};
    for (state, error) in [
        (Idle, None),
        (Starting, Some("it is not up".to_string())),
        (Up, None),
        (
            Backoff,
            Some("the line is cut: the relay has acknowledged nothing for a while".into()),
        ),
        (
            Failed,
            Some("no SSH client on this router: install dropbear or openssh-client".into()),
        ),
    ] {
        with(&|facts| {
            let way = |relay: &str| Way {
                relay: relay.into(),
                login: "relay@relay.example.net 22 /etc/lanward/relay_ed25519".into(),
                from: "relay.example.net (port 3389 there)".into(),
                to: "192.168.1.20:3389".into(),
                exposed: relay == "cellar",
                state,
                error: error.clone(),
            };
            facts.relays = vec![way("office"), way("cellar")];
        });
    }
    let (_, recorded) = (recorded("network.uci"), recorded("firewall.uci"));
    with(&|facts| facts.firewall = Some(package(&recorded)));
    routers
}

fn of_the_diagnosis() -> Vec<String> {
    let checks = routers().iter().flat_map(diagnose).collect::<Vec<_>>();
    let names: BTreeSet<&str> = checks
        .iter()
        .filter(|check| check.severity != Severity::Info)
        .map(|check| check.name)
        .collect();
    // Each check has found something somewhere, but those that only the command line has (the daemon) or that only tell (the level).
    assert_eq!(names.len(), 15, "{names:?}");
    checks.into_iter().map(|check| check.message).collect()
}

fn messages() -> Vec<String> {
    let mut all = of_the_configuration();
    all.extend(of_the_network());
    all.extend(of_the_profiles());
    all.extend(of_the_gates());
    all.extend(of_the_state());
    all.extend(of_the_relays());
    all.extend(of_the_diagnosis());
    let all: BTreeSet<String> = all.into_iter().collect();
    assert!(all.len() > 700, "{}", all.len());
    all.into_iter().collect()
}

/// Two or more English words side by side that are nobody's name: not in quotes, not a file or an option, not what the system says of an error.
fn left_in_english(text: &str) -> Option<String> {
    let mut rest = text.to_string();
    for application in &shipped().applications {
        rest = rest.replace(&application.name, "");
    }
    for known in [
        "Permission denied",
        "Operation not permitted",
        "Is a directory",
        "config lan_only",
        "list host",
        "list dest_zone",
        "cannot parse integer from empty string",
    ] {
        rest = rest.replace(known, "");
    }
    let mut bare = String::new();
    let mut ends: Option<char> = None;
    for letter in rest.chars() {
        match (ends, letter) {
            (Some(end), letter) if letter == end => ends = None,
            (Some(_), _) => {}
            (None, '「') => ends = Some('」'),
            (None, '\'') => ends = Some('\''),
            (None, '"') => ends = Some('"'),
            (None, letter) => bare.push(letter),
        }
    }
    let is_word = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'\'');
    let mut run: Vec<&str> = Vec::new();
    for word in bare
        .replace(|letter: char| !letter.is_ascii(), " , ")
        .split_whitespace()
    {
        let plain = word.trim_matches([',', '.', ':', ';', '(', ')', '?']);
        if is_word(&plain) {
            run.push(plain);
        } else if !plain.is_empty() {
            run.clear();
        }
        if run.len() > 2 {
            return Some(run.join(" "));
        }
        // A list of names.
        if word.ends_with(',') {
            run.clear();
        }
    }
    None
}

/// A sentence's end where another one's brackets are still open: what is a sentence of its own was taken for a value.
fn has_sentence_in_brackets(text: &str) -> bool {
    let mut depth = 0;
    text.chars().any(|letter| {
        match letter {
            '（' => depth += 1,
            '）' => depth -= 1,
            _ => {}
        }
        letter == '。' && depth > 0
    })
}

#[test]
fn every_message_that_the_program_makes_is_said_in_japanese_and_the_same_in_english() {
    let Some(said) = say("said: the program's messages", &messages()) else {
        return;
    };
    let mut wrong = Vec::new();
    for one in &said {
        assert_eq!(one.english, one.message);
        // A file that cannot be read: the page has its name before it.
        if one.message == "Permission denied (os error 13)" {
            continue;
        }
        let is_said = one.japanese != one.message && !one.japanese.is_ascii();
        if !is_said {
            wrong.push(format!("not said: {}", one.message));
        } else if has_sentence_in_brackets(&one.japanese) {
            wrong.push(format!(
                "one sentence within another: {}\n  {}",
                one.message, one.japanese
            ));
        } else if let Some(words) = left_in_english(&one.japanese) {
            wrong.push(format!("'{words}' is left: {}\n  {}", one.message, one.japanese));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        said.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_somebody_wrote_is_shown_as_he_wrote_it() {
    let cases = [
        ("'seconds' is not a number of seconds (such as 60)", "「seconds」"),
        ("'is a port' is not a port (such as 22)", "「is a port」"),
        ("'<b>%s</b>$&$1' is not a port (such as 22)", "「<b>%s</b>$&$1」"),
        ("'a port, a port' is not a profile (vnc)", "「a port, a port」"),
        (
            "Ports that UPnP has opened to hosts that lan_only covers: UDP 40000 to 192.168.1.20 port 3389 'game' (Microsoft Remote Desktop (RDP)'s port), TCP 22 to 192.168.1.99 port 22 'other, or: not set'.",
            "'other, or: not set'",
        ),
        (
            "UDP 1 to 192.168.1.20 port 3389 'game' (Microsoft Remote Desktop (RDP)'s port)",
            "（Microsoft Remote Desktop (RDP)のポート）",
        ),
        (
            "gate 'The clock is set.': no witness, knock or spa names it: addresses are listed by hand only",
            "「The clock is set.」",
        ),
    ];
    let texts = cases.map(|(text, _)| text.to_string());
    let Some(said) = say("said: values", &texts) else {
        return;
    };
    for (one, (_, value)) in said.iter().zip(cases) {
        assert!(one.japanese.contains(value), "{}", one.japanese);
        assert_eq!(one.english, one.message);
    }
}

#[test]
fn what_is_not_known_stays_and_takes_no_time() {
    let mut texts: Vec<String> = [
        "",
        " ",
        "Something new happened.",
        "%s",
        "__proto__",
        "constructor",
        "'",
        "toString: hasOwnProperty",
    ]
    .map(String::from)
    .into();
    for part in [
        ". ",
        ": ",
        ", ",
        "; ",
        "(a (",
        "'x' ",
        "a port",
        "' is not ",
        "%s: ",
        " (such as ",
        "is missing: it must be ",
    ] {
        texts.push(part.repeat(4_000 / part.len()));
    }
    texts.push("x".repeat(1_000_000));
    let known = texts.len();
    let Some(said) = say("said: what is not known", &texts) else {
        return;
    };
    for (one, at) in said.iter().zip(0..known) {
        assert_eq!(one.english, one.message);
        assert!(
            at >= 8 || one.japanese == one.message,
            "{} became {}",
            one.message,
            one.japanese
        );
        assert!(
            one.microseconds < 3_000_000,
            "{} µs for {:.40}",
            one.microseconds,
            one.message
        );
    }
}

/// Sources whose texts the page never shows: they go to the log or a terminal, or end the daemon.
const NOT_SHOWN: &[&str] = &[
    "blobmsg.rs",
    "cli.rs",
    "cli/check.rs",
    "cli/import.rs",
    "cli/knock.rs",
    "cli/parse.rs",
    "cli/relay.rs",
    "cli/spa.rs",
    "cli/text.rs",
    "config/mod.rs",
    "config/options.rs",
    "daemon.rs",
    "gate/events.rs",
    "gate/fw4.rs",
    "json/text.rs",
    "system/defect.rs",
    "knockd_import.rs",
    "knockd_import/commands.rs",
    "knockd_import/read.rs",
    "main.rs",
    "nft/check.rs",
    "nft/text.rs",
    "nft/netlink/transaction.rs",
    "profiles/read.rs",
    // What an SSH client or the relay itself says, and what is copied as it is.
    "relay/files.rs",
    "relay/lanward-relay.sh",
    "relay/words.rs",
    "ruleset.rs",
    "ruleset/gate.rs",
    "ruleset/gate/sessions.rs",
    "ruleset/knock.rs",
    "ruleset/lan_only.rs",
    "ruleset/parts.rs",
    "ruleset/spa.rs",
    "spa.rs",
    "spa/packet.rs",
    "state/deadlines.rs",
    "state/properties.rs",
    "syslog_import.rs",
    "syslog_import/packet.rs",
    "system/client.rs",
    "system/import.rs",
    "system/import/gunzip.rs",
    "system/keeper.rs",
    "system/links.rs",
    "system/logger.rs",
    "system/nftables/monitor.rs",
    "system/privileges.rs",
    "system/wireguard.rs",
    "uci/edit.rs",
];

/// Texts in the other sources that no page shows.
const NOT_SAID: &[(&str, &str)] = &[
    ("the devices are not known; the table that is there stays until they are", "the log's; the page has the file's problem"),
    ("{OTHER_KEY} than the pinned one: somebody may be in between, or it was installed anew. Nothing is sent to it until that is settled", "the table has it whole"),
    ("{NO_KEY}; dropbear's client asks for its ssh-ed25519 key first: compare that one and pin it ({line})", "likewise"),
    ("the relay has shown no key of the pinned one's type", "how both begin"),
    ("does not answer as RDP does", "the table has all three in one line"),
    ("does not answer as SSH does", "likewise"),
    ("does not answer as VNC does", "likewise"),
    ("{} is reachable from outside through {} ({latency} ms)", "the log"),
    ("connecting to {}", "the log"),
    ("; it starts as soon as the relay answers", "the log"),
    ("; it starts as soon as the target answers", "the log"),
    ("; again in {seconds} s", "the log"),
    ("{to} will be reachable from outside through relay {name}, which is being started.{why}", "the table has it without the reason"),
    ("Relay {name} is not up, and is tried again:{why}", "likewise"),
    ("Relay {name} has failed and waits for somebody:{why}", "likewise"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----", "a file's own"),
    ("-----END OPENSSH PRIVATE KEY-----", "a file's own"),
    ("The daemon does not answer on the bus. The table in the kernel keeps dropping as it was set, and a pause ends by itself; but nothing switches it, follows changes of the network, or puts a deleted table back. Start it.", "the command line's own check"),
    ("The daemon was not asked: {} is judged, whatever is in force.", "likewise"),
    ("Table 'inet lanward' was not looked at: these files need not be in force.", "likewise"),
    ("{to} is to be reachable from outside through relay {name}, at {from}, while the daemon runs. Whether it is now is not known.", "likewise"),
    ("The bus cannot be reached ({}), so it is not known whether the daemon runs. It enforces without the bus.", "likewise"),
    ("{label}{name} {verb} {protocols} from zone {source} to {host}, {ports}", "the table has both verbs"),
    ("is out of range: the number of {of} must be {min} to {max}", "the table has every unit"),
    ("{} {external} to {address} port {port}{description}", "the table has both protocols"),
    (
        "The daemon is not known to run: such a flow would go on until it falls silent.",
        "the command line's own check",
    ),
    ("lanward spa keygen NAME", "a command"),
    ("lanward relay keygen NAME", "a command"),
    ("input of zone {name}", "within the message about it"),
    ("forward of defaults", "likewise"),
    ("ubus:lanward", "a comment in the kernel"),
    ("lanward gate ", "likewise"),
    ("Does NOT stop", "the command line"),
    ("direct connections from {}", "likewise"),
    ("{} of {} outsiders connected", "likewise"),
    ("/usr/share/acl.d/lanward.json does not allow it to the daemon's user, or is missing", "the log"),
    ("pause over: LAN-only holds again", "the log"),
    ("paused for {seconds} seconds", "the log"),
    ("taken off", "the log and an event"),
    ("session closed", "likewise"),
    ("last session closed", "likewise"),
    ("gate {gate}: {shown} admitted {time} ({why})", "the log"),
    ("gate {gate}: {shown} removed ({why})", "the log"),
    ("changed by another program ({})", "the log"),
    ("deleted by another program", "the log"),
    ("; if it goes on like this, it is not logged", "the log"),
    ("not read yet", "nobody can ask so early"),
    ("config spa '{}'\\n\\toption gate '{gate}'\\n\\toption key_file '{key_file}'\\n", "the command line"),
    ("{} bytes are too many for this QR code", "likewise"),
    ("until it is closed", "the log"),
    ("what was accepted before cannot be read: packets made before now are refused", "the log"),
    ("no key at this port has made it", "the log and an event"),
    ("what was accepted before is not read yet", "likewise"),
    ("spa {spa}: {from} accepted: {shown} for {seconds} s, user {user}", "the log"),
    ("a key was made in {path}", "the log"),
    ("every day was erased\\n", "the command line"),
    (
        "not a day as YYYY-MM-DD between 1970-01-01 and 9999-12-31",
        "of an argument that the page writes itself",
    ),
    (
        "'{text}' is no protocol: tcp, udp, icmp, icmpv6 or another name, or a number from 0 to 255",
        "likewise",
    ),
    ("'{}' is not one of {}", "likewise"),
    ("{limit} is no number of rows", "likewise"),
    ("there are none", "an import, which no page does"),
    ("{} are more than {MOST_IMPORTED}", "likewise"),
    ("number {} is no day of the ledger", "likewise"),
    ("lanward attempt", "a comment in the kernel"),
    ("what begins on the WAN", "a comment in the rules"),
    ("how many", "likewise"),
    ("the file is kept as {name}", "the log"),
    ("the file cannot be set aside: {error}", "the log"),
    ("{date} has {attempts} attempts so far, where {} are usual", "the log and an event"),
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// The string literals of a source, each with its line and with what stands before it.
fn literals(text: &str) -> Vec<(usize, String, String)> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if bytes[at] == b'\'' {
            // A character, not a lifetime.
            let closes = rest[1..]
                .char_indices()
                .skip(1)
                .take(8)
                .find(|(_, letter)| *letter == '\'');
            let one = !rest[1..].starts_with('\\');
            match closes {
                Some((end, _)) if !one || rest[1..=end].chars().count() == 1 => end + 2,
                _ => 1,
            }
        } else if bytes[at] == b'"' {
            let mut end = at + 1;
            while bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            let before: String = text[..at]
                .split_whitespace()
                .rev()
                .take(4)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join(" ");
            let line = text[..at].matches('\n').count() + 1;
            let lines = text[at + 1..end].split("\\\n").map(str::trim_start).collect::<String>();
            found.push((line, before, lines.replace("\\\"", "\"")));
            end + 1 - at
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += skip;
    }
    found
}

/// A format string with `value` for what varies.
fn filled(literal: &str, value: &str) -> String {
    let mut text = String::new();
    let mut rest = literal;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
        text.push_str(value);
        rest = &rest[end..];
    }
    text + rest
}

fn english_words(text: &str) -> usize {
    let is_word = |word: &&str| {
        word.len() > 1 && !word.contains('X') && word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'\'')
    };
    text.split(|letter: char| letter.is_whitespace() || "():".contains(letter))
        .map(|word| word.trim_matches([',', '.', ';', '?', '"']))
        .filter(is_word)
        .count()
}

#[test]
fn every_text_of_the_sources_has_its_line_in_the_table() {
    let src = root().join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    paths.sort();
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut unused: BTreeSet<&str> = NOT_SHOWN
        .iter()
        .copied()
        .chain(NOT_SAID.iter().map(|(text, _)| *text))
        .collect();
    for path in paths {
        let name = path.strip_prefix(&src).unwrap().display().to_string();
        unused.remove(name.as_str());
        if NOT_SHOWN.contains(&name.as_str()) || name.contains("tests") || name.starts_with("system/ubus") {
            continue;
        }
        for (line, before, literal) in literals(&fs::read_to_string(&path).unwrap()) {
            // What is logged, or said of a defect.
            let aside = ["Log(", "log::", "line(", "expect(", "assert!(", "println!(", "Method {"];
            // The name of whoever speaks, or of an option, stays.
            let literal = match literal.split_once(": ") {
                Some((name, rest)) if !name.contains([' ', '{']) => rest.to_string(),
                _ => literal,
            };
            if english_words(&filled(&literal, "X")) < 2 || aside.iter().any(|word| before.contains(word)) {
                continue;
            }
            unused.remove(literal.as_str());
            if !NOT_SAID.iter().any(|(text, _)| *text == literal) {
                texts.push((format!("src/{name}:{line}"), literal));
            }
        }
    }
    assert!(unused.is_empty(), "named here and not there any more: {unused:?}");
    assert!(texts.len() > 200, "{}", texts.len());
    let values = ["X", "'X'", "X 'X'"];
    let asked: Vec<String> = texts
        .iter()
        .flat_map(|(_, literal)| values.map(|value| filled(literal, value)))
        .collect();
    let Some(said) = say("said: the sources' texts", &asked) else {
        return;
    };
    let table = table();
    let mut missing = Vec::new();
    for ((place, literal), said) in texts.iter().zip(said.chunks(values.len())) {
        let is_known = said
            .iter()
            .any(|one| one.masked != one.message && english_words(&one.masked) == 0);
        // A part of a longer one.
        let part = filled(literal, "%s");
        if !is_known && !table.contains(part.trim().trim_end_matches('.')) {
            missing.push(format!("{place}: {literal}"));
        }
    }
    assert!(
        missing.is_empty(),
        "{} without a line in tools/lanward/said.js (or in NOT_SAID, with the reason):\n{}",
        missing.len(),
        missing.join("\n")
    );
}
