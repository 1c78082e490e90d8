//! The relay with everything real: OpenSSH's and dropbear's clients on the router, their servers in the internet, a target in the LAN, and all that goes
//! wrong between them. Each test has a house of its own.

use lanward_rig::daemon::{children, program};
use lanward_rig::home::Home;
use lanward_rig::house::{Family, House};
use lanward_rig::news::News;
use lanward_rig::probe::within;
use lanward_rig::relay::{greets, Client, Disk, Greets, Relay, Setup, Software, Target, CLIENTS, USER};
use lanward_rig::report_line::{figure, this_test};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// What the tunnel opens on the relay.
const REMOTE: u16 = 3389;
/// And where there are many of them, from here on.
const MANY: u16 = 4000;
/// What is promised: from the line's return, or the relay's, until somebody outside reaches the target.
const BACK: Duration = Duration::from_secs(15);
/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_secs(40);
/// What `/etc/config/lanward` has for quick tests.
const QUICK: &str = "option check '5'\noption retry '1'\noption retry_max '4'";

/// A house with a relay server for it. Dropped in this order.
struct Scene {
    target: Option<Target>,
    home: Home,
    relay: Relay,
}

/// A section of the configuration.
#[derive(Clone)]
struct Section {
    name: String,
    options: BTreeMap<&'static str, String>,
}

impl Section {
    fn new(name: &str, scene: &Scene) -> Self {
        let target = SocketAddr::new(scene.target_address(), REMOTE);
        let key = scene.home.house.directory().join("state/relay_ed25519");
        let mut section = Self {
            name: name.to_owned(),
            options: BTreeMap::new(),
        };
        for line in QUICK.lines() {
            let mut words = line.split(['\'', ' ']);
            let name = words.nth(1).expect("an option has a name");
            section
                .options
                .insert(name, words.nth(1).expect("and a value").to_owned());
        }
        for (name, value) in [
            ("enabled", "1".to_owned()),
            ("host", scene.relay.address().to_string()),
            ("user", USER.to_owned()),
            ("key", key.display().to_string()),
            ("host_key", scene.relay.host_key()),
            ("remote_port", REMOTE.to_string()),
            ("target", target.to_string()),
        ] {
            section.options.insert(name, value);
        }
        section
    }

    fn with(mut self, option: &'static str, value: &dyn ToString) -> Self {
        self.options.insert(option, value.to_string());
        self
    }

    fn without(mut self, option: &'static str) -> Self {
        self.options.remove(option);
        self
    }

    fn text(&self) -> String {
        let options = self.options.iter();
        let options = options.map(|(name, value)| format!("\toption {name} '{value}'\n"));
        format!("\nconfig relay '{}'\n{}", self.name, options.collect::<String>())
    }
}

const BASE: &str = "config lanward 'lanward'\n\nconfig lan_only 'lan_only'\n\toption enabled '0'\n";

impl Scene {
    /// The house, a relay server that knows nothing of it yet, and a target that greets so.
    fn start(setup: Setup, greets: Greets) -> Option<Self> {
        let home = Home::start(&this_test(), House::plan(), BASE)?;
        let relay = Relay::outside(&home.house, 0, setup);
        let mut scene = Self {
            target: None,
            home,
            relay,
        };
        scene.open_target(greets);
        Some(scene)
    }

    /// The same, with a tunnel that is up, by this client.
    fn up(setup: &Setup, client: Client) -> Option<Self> {
        let scene = Self::start(setup.clone(), Greets::Rdp)?;
        let section = scene.section().with("client", &word(client));
        scene.install(&section, setup.software);
        scene.configure(&[section]);
        scene.comes_up("office", SOON);
        Some(scene)
    }

    fn section(&self) -> Section {
        Section::new("office", self)
    }

    fn target_address(&self) -> IpAddr {
        self.home.house.host("lan").address(Family::V4)
    }

    fn open_target(&mut self, greets: Greets) {
        self.target = None;
        let lan = self.home.house.host("lan");
        let address = lan.socket(Family::V4, REMOTE);
        self.target = Some(Target::start(&lan.namespace, address, greets));
    }

    /// Has the router make its key, and puts onto the relay what the router says that belongs there.
    fn install(&self, section: &Section, software: Software) {
        self.configure(&[section.clone().with("enabled", &0)]);
        let made = self.call("relay_keygen", &section.name);
        assert_eq!(made["ok"], json!(true), "{made}");
        let files = self.call("relay_files", &section.name);
        let text = |name: &str| files[name].as_str().unwrap_or_else(|| panic!("no {name} in {files}"));
        self.relay.write("lanward-relay", text("script"), 0o700);
        self.relay.authorize(text(match software {
            Software::OpenSsh => "authorized_keys",
            Software::Dropbear => "authorized_keys_dropbear",
        }));
    }

    /// The same for so many relays to the one account, each with a port and a key of its own, the two clients by turns.
    fn install_many(&self, count: u16, check: u32) -> Vec<Section> {
        let section = |number: u16| {
            let key = self.home.house.directory().join(format!("state/key{number}"));
            Section::new(&format!("office{number}"), self)
                .with("remote_port", &(MANY + number))
                .with("client", &word(CLIENTS[usize::from(number % 2)]))
                .with("check", &check)
                .with("retry_max", &10)
                .with("key", &key.display())
        };
        let sections: Vec<Section> = (0..count).map(section).collect();
        let off: Vec<_> = sections
            .iter()
            .map(|section| section.clone().with("enabled", &0))
            .collect();
        self.configure(&off);
        let mut lines = String::new();
        for section in &sections {
            self.call("relay_keygen", &section.name);
            let files = self.call("relay_files", &section.name);
            lines += files["authorized_keys"].as_str().expect("a line");
            self.relay
                .write("lanward-relay", files["script"].as_str().expect("a script"), 0o700);
        }
        self.relay.authorize(&lines);
        sections
    }

    fn are_all(&self, state: &str) -> bool {
        self.list().iter().all(|relay| relay["state"] == state)
    }

    fn configure(&self, sections: &[Section]) {
        let text = sections
            .iter()
            .fold(BASE.to_owned(), |text, section| text + &section.text());
        let reply = self.home.reload(&text);
        assert_eq!(
            (&reply["applied"], &reply["problems"]),
            (&json!(true), &json!([])),
            "{reply}\n{text}"
        );
    }

    fn call(&self, method: &str, name: &str) -> Value {
        self.home.daemon.must(method, &json!({ "name": name }))
    }

    fn list(&self) -> Vec<Value> {
        let reply = self.home.daemon.must("relay_list", &json!({}));
        reply["relays"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| panic!("no relays in {reply}"))
    }

    fn listed(&self, name: &str) -> Value {
        let list = self.list();
        let found = list.iter().find(|relay| relay["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("no {name} in {list:?}"))
    }

    fn state(&self, name: &str) -> String {
        self.listed(name)["state"].as_str().unwrap_or_default().to_owned()
    }

    fn error(&self) -> String {
        self.listed("office")["error"].as_str().unwrap_or_default().to_owned()
    }

    fn is(&self, state: &str) -> bool {
        self.state("office") == state
    }

    /// Waits until it is not up for one of these reasons. It may be trying again already.
    fn says_one(&self, words: &[&str]) {
        let so = within(SOON, || {
            let error = self.error();
            !self.is("up") && words.iter().any(|words| error.contains(words))
        });
        assert!(so, "not {words:?}, but {}\n{}", self.listed("office"), self.logs());
    }

    /// Waits until it is in this state with an error of these words.
    fn says(&self, state: &str, words: &str, patience: Duration) {
        let so = within(patience, || self.is(state) && self.error().contains(words));
        assert!(
            so,
            "not {state}, '{words}', but {}\n{}",
            self.listed("office"),
            self.logs()
        );
    }

    fn comes_up(&self, name: &str, patience: Duration) {
        assert!(
            within(patience, || self.state(name) == "up"),
            "not up after {patience:?}: {}\n{}",
            self.listed(name),
            self.logs()
        );
    }

    /// Whether somebody on the relay, which is who comes in, gets to the target.
    fn reaches(&self) -> bool {
        self.reaches_at(REMOTE, Greets::Rdp)
    }

    fn reaches_at(&self, port: u16, how: Greets) -> bool {
        greets(self.relay.namespace(), (Ipv4Addr::LOCALHOST, port).into(), how)
    }

    /// Waits until the target is reached, as promised, and notes how long that took.
    fn is_back(&self, after: &str) {
        let began = Instant::now();
        let back = within(BACK, || self.relay.listens(REMOTE) && self.reaches());
        let took = began.elapsed();
        assert!(
            back,
            "not back {BACK:?} after {after}: {}\n{}",
            self.listed("office"),
            self.logs()
        );
        figure(&this_test(), &format!("back {:.1} s after {after}", took.as_secs_f32()));
        self.comes_up("office", SOON);
    }

    /// The clients that the daemon has running.
    fn clients(&self) -> Vec<Pid> {
        self.home.daemon.children()
    }

    fn logs(&self) -> String {
        format!("the relay's server:\n{}", self.relay.log())
    }

    fn lanward(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let socket = self.home.house.directory().join("ubus.sock").display().to_string();
        let program = program().display().to_string();
        let words = [words, &["--ubus-socket", &socket]].concat();
        let output = self
            .home
            .house
            .router()
            .output(&program, &words, "")
            .expect("it can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

fn word(client: Client) -> &'static str {
    match client {
        Client::OpenSsh => "openssh",
        Client::Dropbear => "dropbear",
    }
}

/// A server whose sessions are the account's to end, of either kind.
fn endable(software: Software) -> Setup {
    match software {
        Software::OpenSsh => Setup::of(software),
        Software::Dropbear => Setup::of(software).own(),
    }
}

/// Each client with a server: both are tried in each scene where it may matter, in half as many houses.
const PAIRS: [(Client, Software); 2] = [
    (Client::OpenSsh, Software::Dropbear),
    (Client::Dropbear, Software::OpenSsh),
];

fn comes_up_with(client: Client, software: Software) {
    let Some(scene) = Scene::start(Setup::of(software), Greets::Rdp) else {
        return;
    };
    let news = News::subscribe(&scene.home.house.directory().join("ubus.sock"));
    let section = scene.section().with("client", &word(client));
    scene.install(&section, software);
    assert_eq!(scene.state("office"), "idle");
    assert!(scene.clients().is_empty() && scene.relay.sessions().is_empty());
    scene.configure(&[section]);
    scene.comes_up("office", SOON);
    assert!(scene.reaches(), "{}", scene.logs());
    let told: Vec<_> = news
        .hear(&["relay"], 2, SOON)
        .into_iter()
        .map(|(_, data)| data)
        .collect();
    assert_eq!(
        told,
        [
            json!({ "relay": "office", "state": "starting" }),
            json!({ "relay": "office", "state": "up" })
        ]
    );
    // What the script says may come a moment later than the tunnel.
    assert!(within(SOON, || scene.listed("office")["script"] == json!(true)));
    let listed = scene.listed("office");
    let target = format!("{}:{REMOTE}", scene.target_address());
    for (field, wanted) in [
        ("enabled", json!(true)),
        ("host", json!(scene.relay.address().to_string())),
        ("port", json!(22)),
        ("user", json!(USER)),
        ("remote_port", json!(REMOTE)),
        ("target", json!(target)),
        ("host_key", json!(scene.relay.host_key())),
        ("starts", json!(1)),
    ] {
        assert_eq!(listed[field], wanted, "{field} in {listed}");
    }
    assert!(
        listed["latency_ms"].is_u64() && listed["last_check"].is_u64() && listed["since"].is_u64(),
        "{listed}"
    );
    assert!(
        listed["public_key"]
            .as_str()
            .is_some_and(|key| key.starts_with("ssh-ed25519 AAAA")),
        "{listed}"
    );
    assert!(listed["error"].is_null() && listed["offered_key"].is_null(), "{listed}");
    let name = match client {
        Client::OpenSsh => "OpenSSH ",
        Client::Dropbear => "Dropbear ",
    };
    assert!(
        listed["client"].as_str().is_some_and(|client| client.starts_with(name)),
        "{listed}"
    );
    let status = scene.home.daemon.must("status", &json!({}));
    assert_eq!(
        (&status["relays"][0]["name"], &status["relays"][0]["state"]),
        (&json!("office"), &json!("up"))
    );
    // A check by hand, and the diagnosis.
    let checked = scene.call("relay_check", "office");
    assert!(
        checked["ok"] == json!(true) && checked["latency_ms"].is_u64(),
        "{checked}"
    );
    let answer = scene.home.daemon.must("check", &json!({}));
    let says = |check: &Value| {
        let message = check["message"].as_str().unwrap_or_default();
        check["name"] == "relay"
            && message.contains("reachable from outside through relay 'office'")
            && message.contains(&target)
    };
    assert!(
        answer["checks"].as_array().expect("checks").iter().any(says),
        "{answer}"
    );
    // A new session, and what was before is gone.
    let before = scene.clients();
    assert_eq!(before.len(), 1);
    assert_eq!(scene.call("relay_restart", "office")["ok"], json!(true));
    assert!(within(SOON, || scene.is("up")
        && scene.clients().len() == 1
        && scene.clients() != before));
    assert!(scene.reaches(), "{}", scene.logs());
    assert_eq!(
        scene.home.daemon.call("relay_restart", &json!({ "name": "nobody" })),
        Err(4)
    );
    assert_eq!(scene.home.daemon.call("relay_restart", &json!({})), Err(2));
    // Switched off, nothing of it is left here or there.
    scene.configure(&[scene.section().with("enabled", &0)]);
    assert!(within(SOON, || scene.clients().is_empty() && scene.relay.sessions().is_empty()));
    assert!(!scene.relay.listens(REMOTE));
    assert_eq!(scene.state("office"), "idle");
}

#[test]
fn opensshs_client_comes_up_with_opensshs_server() {
    comes_up_with(Client::OpenSsh, Software::OpenSsh);
}

#[test]
fn opensshs_client_comes_up_with_dropbears_server() {
    comes_up_with(Client::OpenSsh, Software::Dropbear);
}

#[test]
fn dropbears_client_comes_up_with_opensshs_server() {
    comes_up_with(Client::Dropbear, Software::OpenSsh);
}

#[test]
fn dropbears_client_comes_up_with_dropbears_server() {
    comes_up_with(Client::Dropbear, Software::Dropbear);
}

#[test]
fn the_commands_say_what_belongs_where() {
    let Some(scene) = Scene::up(&Setup::of(Software::OpenSsh), Client::OpenSsh) else {
        return;
    };
    let (code, text, _) = scene.lanward(&["relay", "list"]);
    assert!(code == Some(0) && text.contains("office: up"), "{text}");
    let (code, text, _) = scene.lanward(&["relay", "check", "office"]);
    assert!(code == Some(0) && text.contains("ms"), "{text}");
    let (code, text, _) = scene.lanward(&["relay", "script", "office"]);
    assert!(
        code == Some(0) && text.starts_with("#!/bin/sh\n") && text.contains("permitlisten=\"127.0.0.1:3389\""),
        "{text}"
    );
    // It can be put there as it is printed.
    scene.relay.write("lanward-relay", &text, 0o700);
    assert_eq!(scene.lanward(&["relay", "restart", "office"]).0, Some(0));
    assert!(within(SOON, || scene.is("up")
        && scene.listed("office")["script"] == json!(true)));
    let (code, text, _) = scene.lanward(&["relay", "client", "office"]);
    assert!(
        code == Some(0)
            && text.contains("127.0.0.1:33389:127.0.0.1:3389")
            && text.contains("full address:s:127.0.0.1:33389"),
        "{text}"
    );
    let (code, text, _) = scene.lanward(&["relay", "keygen", "office"]);
    assert!(code == Some(0) && text.starts_with("ssh-ed25519 "), "{text}");
    for words in [
        ["relay", "restart", "nobody"],
        ["relay", "check", "nobody"],
        ["relay", "script", "nobody"],
    ] {
        let (code, _, complained) = scene.lanward(&words);
        assert!(
            code == Some(1) && complained.contains("'nobody'"),
            "{words:?} {code:?} {complained}"
        );
    }
}

#[test]
fn each_kind_of_target_has_to_greet() {
    let Some(mut scene) = Scene::start(Setup::of(Software::OpenSsh), Greets::Vnc) else {
        return;
    };
    scene.install(&scene.section(), Software::OpenSsh);
    for (option, greeting) in [
        ("vnc", Greets::Vnc),
        ("ssh", Greets::Ssh),
        ("rdp", Greets::Rdp),
        ("none", Greets::Otherwise),
        ("none", Greets::Nothing),
    ] {
        scene.open_target(greeting);
        scene.configure(&[scene.section().with("greeting", &option)]);
        scene.comes_up("office", SOON);
        assert!(scene.reaches_at(REMOTE, greeting), "{option}");
        if option != "none" {
            scene.open_target(Greets::Otherwise);
            // What precedes SSH's own line may be anything.
            let words = ["does not greet as it should", "says nothing"][usize::from(option == "ssh")];
            if option != "ssh" {
                let checked = scene.home.daemon.call("relay_check", &json!({ "name": "office" }));
                let checked = checked.expect("it is there");
                assert!(
                    checked["ok"] == json!(false) && checked["error"].is_string(),
                    "{option}: {checked}"
                );
            }
            scene.says("backoff", words, SOON);
        }
    }
}

#[test]
fn a_real_ssh_server_is_a_target() {
    let Some(mut scene) = Scene::start(Setup::of(Software::OpenSsh), Greets::Nothing) else {
        return;
    };
    scene.target = None;
    let lan2 = scene.home.house.host("lan2");
    let keys = lanward_rig::servers::Keys::make(&scene.home.house);
    for (client, port) in CLIENTS.into_iter().zip([22, 23]) {
        let _server = match client {
            Client::OpenSsh => lanward_rig::servers::Server::openssh(&lan2.namespace, port, &keys),
            Client::Dropbear => lanward_rig::servers::Server::dropbear(&lan2.namespace, port, &keys),
        };
        let target = lan2.socket(Family::V4, port);
        let section = scene
            .section()
            .with("target", &target)
            .with("greeting", &"ssh")
            .with("client", &word(client));
        if client == Client::OpenSsh {
            scene.install(&section, Software::OpenSsh);
        }
        scene.configure(&[section]);
        scene.comes_up("office", SOON);
        assert!(scene.reaches_at(REMOTE, Greets::Ssh));
    }
}

#[test]
fn the_relay_may_have_an_address_of_ipv6() {
    let Some(scene) = Scene::start(Setup::of(Software::OpenSsh), Greets::Rdp) else {
        return;
    };
    let section = scene.section().with("host", &scene.relay.address6());
    scene.install(&section, Software::OpenSsh);
    for client in CLIENTS {
        scene.configure(&[section.clone().with("client", &word(client))]);
        scene.comes_up("office", SOON);
        assert!(within(SOON, || scene.reaches()), "{client:?}");
    }
}

/// Five minutes, in quick motion: longer than the keep-alive and the checks of both ends take to notice.
const CUT: Duration = Duration::from_secs(30);

fn survives_a_cut_line(client: Client, software: Software) {
    let Some(scene) = Scene::up(&endable(software), client) else {
        return;
    };
    scene.relay.cut();
    let began = Instant::now();
    scene.says("backoff", "", SOON);
    figure(
        &this_test(),
        &format!(
            "noticed after {:.1} s: {}",
            began.elapsed().as_secs_f32(),
            scene.error()
        ),
    );
    std::thread::sleep(CUT.saturating_sub(began.elapsed()));
    assert!(scene.is("backoff"), "{}", scene.listed("office"));
    assert!(scene.clients().is_empty(), "nothing is started while nobody answers");
    scene.relay.mend();
    scene.is_back("the line was mended");
}

#[test]
fn a_cut_line_is_noticed_and_its_return_too_with_opensshs_client() {
    survives_a_cut_line(Client::OpenSsh, Software::OpenSsh);
}

#[test]
fn a_cut_line_is_noticed_and_its_return_too_with_dropbears_client() {
    survives_a_cut_line(Client::Dropbear, Software::Dropbear);
}

/// With the options as they come: what is promised holds for those.
#[test]
fn as_configured_by_default_it_is_back_in_time_too() {
    let Some(scene) = Scene::start(endable(Software::OpenSsh), Greets::Rdp) else {
        return;
    };
    let section = scene.section().without("check").without("retry").without("retry_max");
    scene.install(&section, Software::OpenSsh);
    scene.configure(&[section]);
    scene.comes_up("office", SOON);
    scene.relay.cut();
    let began = Instant::now();
    scene.says("backoff", "", Duration::from_secs(90));
    figure(
        &this_test(),
        &format!("noticed after {:.1} s", began.elapsed().as_secs_f32()),
    );
    // Long enough that the pauses have grown.
    std::thread::sleep(Duration::from_secs(25));
    scene.relay.mend();
    scene.is_back("the line was mended");
}

/// dropbear's client would try for two minutes, with growing pauses, and miss it.
#[test]
fn a_line_that_comes_after_the_start_is_used_in_time() {
    for (client, software) in PAIRS {
        let Some(scene) = Scene::start(endable(software), Greets::Rdp) else {
            return;
        };
        let section = scene.section().with("client", &word(client));
        scene.install(&section, software);
        scene.relay.cut();
        scene.configure(&[section]);
        scene.says("backoff", "", Duration::from_secs(22));
        std::thread::sleep(Duration::from_secs(5));
        scene.relay.mend();
        scene.is_back("the line was there");
    }
}

#[test]
fn the_wans_cable_is_pulled_out_and_put_in_again() {
    let Some(scene) = Scene::up(&endable(Software::OpenSsh), Client::Dropbear) else {
        return;
    };
    scene.home.house.plug_wan(false);
    scene.says("backoff", "", SOON);
    std::thread::sleep(Duration::from_secs(10));
    scene.home.house.plug_wan(true);
    scene.home.announce();
    scene.is_back("the cable was put in");
}

#[test]
fn a_relay_that_was_without_power_is_back() {
    for (client, software) in PAIRS {
        let Some(mut scene) = Scene::up(&Setup::of(software), client) else {
            return;
        };
        scene.relay.power_off();
        scene.says("backoff", "", SOON);
        std::thread::sleep(Duration::from_secs(3));
        scene.relay.power_on();
        scene.is_back("the relay was there again");
    }
}

/// Before anybody could notice that it was away.
#[test]
fn a_relay_that_was_without_power_for_a_moment_is_back() {
    let Some(mut scene) = Scene::up(&Setup::of(Software::OpenSsh), Client::OpenSsh) else {
        return;
    };
    scene.relay.power_off();
    scene.relay.power_on();
    scene.is_back("the relay was there again");
}

#[test]
fn a_server_that_is_restarted_is_back() {
    for (client, software) in PAIRS {
        let Some(mut scene) = Scene::up(&Setup::of(software), client) else {
            return;
        };
        scene.relay.end();
        scene.says("backoff", "", SOON);
        scene.relay.restart();
        scene.is_back("the server was there again");
    }
}

/// What a check finds, or the client's keep-alive, whichever comes first.
const FROZEN: [&str; 2] = ["the relay is frozen", "the relay has gone silent"];

#[test]
fn a_frozen_relay_is_named_and_its_return_noticed() {
    for (client, software) in PAIRS {
        let Some(scene) = Scene::up(&endable(software), client) else {
            return;
        };
        scene.relay.signal_all(Signal::SIGSTOP);
        scene.says_one(&FROZEN);
        std::thread::sleep(Duration::from_secs(5));
        assert!(!scene.is("up"));
        scene.relay.signal_all(Signal::SIGCONT);
        scene.is_back("the relay went on");
    }
}

/// Only the session is frozen; the server would take a new one, but the old one has the port.
#[test]
fn a_frozen_session_is_ended_on_the_relay() {
    for (client, software) in PAIRS {
        let Some(scene) = Scene::up(&endable(software), client) else {
            return;
        };
        scene.relay.signal_sessions(Signal::SIGSTOP);
        scene.says_one(&FROZEN);
        let began = Instant::now();
        assert!(
            within(SOON, || scene.relay.listens(REMOTE)
                && scene.is("up")
                && scene.reaches()),
            "{}\n{}",
            scene.listed("office"),
            scene.logs()
        );
        figure(
            &this_test(),
            &format!("ended and replaced in {:.1} s", began.elapsed().as_secs_f32()),
        );
    }
}

/// The session that is left is root's: nothing of the account's can end it, and the server keeps it as long as it likes.
#[test]
fn where_the_account_may_end_nothing_the_servers_setting_is_named_and_helps() {
    let Some(scene) = Scene::up(&Setup::of(Software::Dropbear), Client::OpenSsh) else {
        return;
    };
    // A dropbear since 2025.89 has given the session to the account.
    if scene.relay.sessions_are_roots() {
        scene.relay.signal_sessions(Signal::SIGSTOP);
        scene.says("backoff", "-K 15", SOON);
        assert!(scene.error().contains("ClientAliveInterval 15"), "{}", scene.error());
        scene.relay.signal_sessions(Signal::SIGCONT);
        scene.is_back("the session went on");
    }
    drop(scene);
    // The router's address has changed, so that its last words do not arrive; the server finds out by itself.
    for setup in [
        Setup::of(Software::Dropbear).with("-K 2"),
        Setup::of(Software::OpenSsh).with("ClientAliveInterval 2\nClientAliveCountMax 3"),
    ] {
        let Some(mut scene) = Scene::up(&setup, Client::OpenSsh) else {
            return;
        };
        // No script either.
        scene.relay.write("lanward-relay", "#!/bin/sh\nexit 1\n", 0o700);
        assert_eq!(scene.call("relay_restart", "office")["ok"], json!(true));
        assert!(
            within(SOON, || scene.is("up")
                && scene.listed("office")["script"] == json!(false)),
            "{}",
            scene.listed("office")
        );
        scene.home.house.readdress_wan(Ipv4Addr::new(198, 51, 100, 77));
        scene.home.announce();
        assert!(
            within(SOON, || scene.is("up") && scene.reaches()),
            "{}\n{}",
            scene.listed("office"),
            scene.logs()
        );
    }
}

#[test]
fn flushed_conntrack_changes_nothing_for_long() {
    let Some(scene) = Scene::up(&endable(Software::OpenSsh), Client::Dropbear) else {
        return;
    };
    for _ in 0..3 {
        scene.home.house.router().must("conntrack", &["-F"], "");
        assert!(within(BACK, || scene.reaches()), "{}", scene.logs());
        std::thread::sleep(Duration::from_secs(2));
    }
    scene.is_back("conntrack was flushed");
}

#[test]
fn another_address_of_the_wan_is_followed() {
    for (client, software) in PAIRS {
        let Some(mut scene) = Scene::up(&endable(software), client) else {
            return;
        };
        for last in [77, 78, 2] {
            scene.home.house.readdress_wan(Ipv4Addr::new(198, 51, 100, last));
            scene.home.announce();
            scene.is_back("the address has changed");
            // What is reached is a new session.
            let from = format!("198.51.100.{last}:");
            let seen = || {
                scene
                    .relay
                    .namespace()
                    .must("ss", &["-Htn", "state", "established"], "")
            };
            assert!(within(SOON, || scene.is("up") && seen().contains(&from)), "{}", seen());
        }
    }
}

#[test]
fn a_full_disk_on_the_relay_changes_nothing() {
    for disk in [Disk::Full, Disk::NoFiles] {
        let Some(mut scene) = Scene::start(endable(Software::OpenSsh).on(disk), Greets::Rdp) else {
            return;
        };
        let section = scene.section();
        scene.install(&section, Software::OpenSsh);
        scene.relay.restart();
        scene.configure(&[section]);
        scene.comes_up("office", SOON);
        assert!(scene.reaches());
        assert_eq!(scene.listed("office")["script"], json!(true));
        scene.relay.cut();
        scene.says("backoff", "", SOON);
        scene.relay.mend();
        scene.is_back("the line was mended");
    }
}

/// How often somebody has asked the relay to let them in.
fn logins(scene: &Scene) -> usize {
    let is_one = |line: &&str| {
        line.contains("Connection from")
            || line.contains("Child connection from")
            || line.contains("Connection closed by")
    };
    scene.relay.log().lines().filter(is_one).count()
}

/// Those that are over: a server writes down who has left when it notices.
fn logins_so_far(scene: &Scene) -> usize {
    let is_over = || scene.clients().is_empty() && scene.relay.sessions().is_empty();
    assert!(within(SOON, is_over), "{}", scene.logs());
    let mut so_far = logins(scene);
    // Until nothing more is written for a while.
    let is_quiet = || {
        std::thread::sleep(Duration::from_secs(1));
        std::mem::replace(&mut so_far, logins(scene)) == logins(scene)
    };
    assert!(within(SOON, is_quiet), "{}", scene.logs());
    logins(scene)
}

#[test]
fn a_key_that_is_not_let_in_is_tried_once() {
    for (client, software) in PAIRS {
        let Some(scene) = Scene::start(Setup::of(software), Greets::Rdp) else {
            return;
        };
        let section = scene.section().with("client", &word(client));
        scene.install(&section, software);
        let right = fs::read_to_string(scene.relay.home().join(".ssh/authorized_keys")).expect("ours");
        // Somebody else's.
        scene.relay.authorize(&format!("{}\n", scene.relay.host_key()));
        scene.configure(&[section]);
        scene.says("failed", "does not take our key", SOON);
        assert!(
            scene.error().contains("lanward relay script office"),
            "{}",
            scene.error()
        );
        let tried = logins_so_far(&scene);
        std::thread::sleep(Duration::from_secs(6));
        assert!(
            scene.is("failed") && scene.clients().is_empty() && logins(&scene) == tried,
            "{}",
            scene.logs()
        );
        scene.relay.authorize(&right);
        assert_eq!(scene.call("relay_restart", "office")["ok"], json!(true));
        scene.comes_up("office", SOON);
    }
}

#[test]
fn without_a_key_it_says_how_to_make_one() {
    let Some(scene) = Scene::start(Setup::of(Software::OpenSsh), Greets::Rdp) else {
        return;
    };
    scene.configure(&[scene.section()]);
    scene.says("failed", "lanward relay keygen NAME", SOON);
    let made = scene.call("relay_keygen", "office");
    assert!(made["ok"] == json!(true) && made["made"] == json!(true), "{made}");
    let again = scene.call("relay_keygen", "office");
    assert_eq!(
        (&again["made"], &again["public_key"]),
        (&json!(false), &made["public_key"])
    );
    let files = scene.call("relay_files", "office");
    let line = files["authorized_keys"].as_str().expect("a line");
    let key = made["public_key"].as_str().expect("a line");
    let key: Vec<_> = key.split(' ').take(2).collect();
    assert!(line.contains(&key.join(" ")), "{line}");
}

#[test]
fn another_host_key_is_an_alarm_and_nothing_is_tried_again() {
    for (client, software) in PAIRS {
        let Some(mut scene) = Scene::up(&Setup::of(software), client) else {
            return;
        };
        let news = News::subscribe(&scene.home.house.directory().join("ubus.sock"));
        scene.relay.new_host_key();
        scene.relay.restart();
        scene.says("failed", "ALARM", SOON);
        let told = news.hear(&["relay"], 3, SOON);
        assert!(
            told.iter()
                .any(|(_, data)| data["state"] == "failed" && data["error"].is_string()),
            "{told:?}"
        );
        let shown = || scene.listed("office")["offered_key"].clone();
        assert!(
            within(SOON, || shown() == json!(scene.relay.host_key())),
            "{}",
            scene.listed("office")
        );
        let tried = logins_so_far(&scene);
        std::thread::sleep(Duration::from_secs(6));
        assert!(
            scene.is("failed") && scene.clients().is_empty() && logins(&scene) == tried,
            "{}",
            scene.logs()
        );
        // Its owner says that it is right.
        scene.configure(&[scene.section().with("client", &word(client))]);
        scene.comes_up("office", SOON);
        assert!(scene.listed("office")["offered_key"].is_null());
    }
}

#[test]
fn a_host_key_is_confirmed_by_hand() {
    for (client, software) in PAIRS {
        let Some(scene) = Scene::start(Setup::of(software), Greets::Rdp) else {
            return;
        };
        let section = scene.section().with("client", &word(client));
        scene.install(&section, software);
        scene.configure(&[section.clone().without("host_key")]);
        scene.says("failed", &scene.relay.host_key(), SOON);
        let listed = scene.listed("office");
        assert_eq!(listed["offered_key"], json!(scene.relay.host_key()), "{listed}");
        let print = listed["offered_fingerprint"].as_str().expect("a fingerprint");
        let path = scene.home.house.directory().join("shown.pub");
        fs::write(&path, scene.relay.host_key()).expect("ours");
        let right = scene
            .home
            .house
            .router()
            .must("ssh-keygen", &["-l", "-f", &path.display().to_string()], "");
        assert!(right.contains(print), "{print} {right}");
        assert!(
            !scene.relay.log().contains("Accepted publickey") && !scene.relay.log().contains("Pubkey auth succeeded"),
            "{}",
            scene.logs()
        );
        scene.configure(&[section]);
        scene.comes_up("office", SOON);
    }
}

/// Somebody else's program has the port, on both families: no tunnel.
#[test]
fn a_port_that_somebody_else_has_is_named() {
    for (client, software) in PAIRS {
        for how in [Greets::Rdp, Greets::Nothing] {
            let Some(scene) = Scene::start(endable(software), Greets::Rdp) else {
                return;
            };
            let section = scene.section().with("client", &word(client));
            scene.install(&section, software);
            let squatters = [
                Target::start(scene.relay.namespace(), (Ipv4Addr::LOCALHOST, REMOTE).into(), how),
                Target::start(
                    scene.relay.namespace(),
                    (std::net::Ipv6Addr::LOCALHOST, REMOTE).into(),
                    how,
                ),
            ];
            scene.configure(&[section]);
            scene.says("backoff", "taken by another program", SOON);
            std::thread::sleep(Duration::from_secs(5));
            assert!(!scene.is("up"));
            drop(squatters);
            scene.is_back("the port was free");
        }
    }
}

/// On one family only: dropbear's server listens on the other, calls that a success, and who connects gets to the other program.
#[test]
fn a_stolen_listener_is_told_from_ours() {
    for (software, how) in [
        (Software::Dropbear, Greets::Rdp),
        (Software::Dropbear, Greets::Otherwise),
        (Software::Dropbear, Greets::Nothing),
        (Software::OpenSsh, Greets::Rdp),
    ] {
        let Some(scene) = Scene::start(endable(software), Greets::Rdp) else {
            return;
        };
        let section = scene.section();
        scene.install(&section, software);
        let squatter = Target::start(scene.relay.namespace(), (Ipv4Addr::LOCALHOST, REMOTE).into(), how);
        scene.configure(&[section]);
        scene.says("backoff", "another program", SOON);
        assert!(scene.target.as_ref().is_some_and(|target| target.connections() < 20));
        drop(squatter);
        scene.is_back("the port was free");
    }
}

#[test]
fn a_target_that_does_not_answer_is_named_and_the_relay_left_alone() {
    for (client, software) in PAIRS {
        let Some(mut scene) = Scene::up(&Setup::of(software), client) else {
            return;
        };
        let cases = [
            (None, "refuses connections"),
            (Some(Greets::Nothing), "accepts connections and says nothing"),
            (Some(Greets::Otherwise), "does not greet as it should"),
        ];
        let some = if client == Client::OpenSsh {
            &cases[..]
        } else {
            &cases[..1]
        };
        for (greets, words) in some {
            match greets {
                Some(greets) => scene.open_target(*greets),
                None => scene.target = None,
            }
            scene.says("backoff", words, SOON);
            assert!(scene.error().contains("target"), "{}", scene.error());
            let starts = scene.listed("office")["starts"].clone();
            std::thread::sleep(Duration::from_secs(4));
            assert_eq!(scene.listed("office")["starts"], starts, "no session is started for it");
            scene.open_target(Greets::Rdp);
            scene.is_back("the target was there");
        }
    }
}

#[test]
fn fifty_relays_at_once() {
    const COUNT: u16 = 50;
    let Some(scene) = Scene::start(endable(Software::OpenSsh), Greets::Rdp) else {
        return;
    };
    let sections = scene.install_many(COUNT, 10);
    let all_up = || scene.are_all("up");
    let reached = || (0..COUNT).all(|number| scene.reaches_at(MANY + number, Greets::Rdp));
    let began = Instant::now();
    scene.configure(&sections);
    assert!(
        within(Duration::from_secs(90), all_up),
        "{:?}\n{}",
        scene.list(),
        scene.logs()
    );
    figure(
        &this_test(),
        &format!("up after {:.1} s", began.elapsed().as_secs_f32()),
    );
    assert!(reached());
    assert_eq!(scene.clients().len(), usize::from(COUNT));
    assert!(!scene.relay.log().contains("drop connection"), "{}", scene.logs());
    scene.relay.cut();
    assert!(
        within(Duration::from_secs(60), || scene.are_all("backoff")),
        "{:?}",
        scene.list()
    );
    scene.relay.mend();
    let began = Instant::now();
    assert!(
        within(Duration::from_secs(90), all_up),
        "{:?}\n{}",
        scene.list(),
        scene.logs()
    );
    figure(
        &this_test(),
        &format!("back after {:.1} s", began.elapsed().as_secs_f32()),
    );
    assert!(reached());
    let pids = scene.clients();
    let mut scene = scene;
    assert!(scene.home.daemon.terminate().is_some_and(|status| status.success()));
    assert!(pids.iter().all(|pid| !exists(*pid)));
}

/// A process that has ended and was not asked how exists.
fn exists(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

#[test]
fn restarts_leave_nothing_behind() {
    const RELAYS: u16 = 8;
    let wanted: u64 = std::env::var("LANWARD_RESTARTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(150);
    let Some(scene) = Scene::start(endable(Software::OpenSsh), Greets::Rdp) else {
        return;
    };
    let directory = scene.home.house.directory().to_owned();
    let sections = scene.install_many(RELAYS, 5);
    scene.configure(&sections);
    let all_up = || scene.are_all("up");
    let starts = || {
        scene
            .list()
            .iter()
            .filter_map(|relay| relay["starts"].as_u64())
            .sum::<u64>()
    };
    let daemon = scene.home.daemon.pid();
    let count = |path: String| fs::read_dir(path).map_or(0, Iterator::count);
    let seen = || {
        let descriptors = count(format!("/proc/{daemon}/fd"));
        let directories = count(directory.join("run/relay").display().to_string());
        (descriptors, directories, scene.clients().len())
    };
    let rounds = |until: u64| {
        let end = Instant::now() + Duration::from_secs(300);
        while starts() < until && Instant::now() < end {
            for section in &sections {
                if scene.state(&section.name) != "starting" {
                    scene.call("relay_restart", &section.name);
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    assert!(within(SOON, all_up), "{:?}", scene.list());
    // Everything has been there once: then it grows no more.
    rounds(4 * u64::from(RELAYS));
    assert!(within(SOON, all_up), "{:?}\n{}", scene.list(), scene.logs());
    let (before, memory) = (seen(), scene.home.daemon.own_kib());
    let began = Instant::now();
    rounds(wanted);
    assert!(within(SOON, all_up), "{:?}\n{}", scene.list(), scene.logs());
    let grown = scene.home.daemon.own_kib().saturating_sub(memory);
    figure(
        &this_test(),
        &format!(
            "{} starts in {:.0} s, memory grew by {grown} KiB",
            starts(),
            began.elapsed().as_secs_f32()
        ),
    );
    assert!(starts() >= wanted, "{} of {wanted}", starts());
    assert!(within(SOON, || seen() == before), "{:?}, before {before:?}", seen());
    assert!(grown < 512, "{grown} KiB");
    for client in scene.clients() {
        let status = fs::read_to_string(format!("/proc/{client}/status")).unwrap_or_default();
        assert!(!status.contains("State:\tZ"), "{status}");
    }
    for number in 0..RELAYS {
        assert!(scene.reaches_at(MANY + number, Greets::Rdp));
    }
    // Nor on the relay.
    assert!(
        within(SOON, || scene.relay.sessions().len() == 2 * usize::from(RELAYS)),
        "{:?}",
        scene.relay.sessions()
    );
}

/// A line of `/proc/PID/status`.
fn status(pid: Pid, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

#[test]
fn a_client_inherits_nothing() {
    for client in CLIENTS {
        let Some(scene) = Scene::up(&Setup::of(Software::OpenSsh), client) else {
            return;
        };
        let [pid]: [Pid; 1] = scene.clients().try_into().expect("one");
        let daemon = scene.home.daemon.pid();
        let read = |what: &str| fs::read(format!("/proc/{pid}/{what}")).expect("it runs");
        let environment = String::from_utf8(read("environ")).expect("text");
        let names: Vec<_> = environment
            .split_terminator('\0')
            .filter_map(|word| word.split('=').next())
            .collect();
        assert!(
            names.iter().all(|name| ["PATH", "HOME"].contains(name)),
            "{environment}"
        );
        let descriptors = |pid: Pid| -> BTreeMap<u32, String> {
            let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
            open.filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                Some((number, fs::read_link(entry.path()).ok()?.display().to_string()))
            })
            .collect()
        };
        let (own, theirs) = (descriptors(pid), descriptors(daemon));
        for number in 0..3 {
            // OpenSSH puts the null device in a pipe's place once it has taken that for itself.
            assert!(
                own[&number].starts_with("pipe:") || own[&number] == "/dev/null",
                "{own:?}"
            );
        }
        // It may have them more than once; what else it has it has opened itself.
        let shared = own.values().filter(|what| theirs.values().any(|known| known == *what));
        let shared: std::collections::BTreeSet<_> = shared.filter(|what| *what != "/dev/null").collect();
        assert!(shared.len() <= 3, "{own:?}, {theirs:?}");
        for what in own
            .values()
            .filter(|what| !what.starts_with("pipe:") && *what != "/dev/null")
        {
            assert!(
                !theirs.values().any(|known| known == what),
                "{what} of {own:?}, {theirs:?}"
            );
        }
        for field in ["SigBlk:", "ShdPnd:", "SigPnd:"] {
            assert_eq!(status(pid, field), "0000000000000000", "{field}");
        }
        // Both ignore SIGPIPE by themselves; nothing more comes from us. (Those above 31 are the C library's own: its posix_spawn ignores two of them.)
        let ignored = u32::from_str_radix(&status(pid, "SigIgn:")[8..], 16).expect("a number") & 0x7fff_ffff;
        assert_eq!(ignored & !(1 << (Signal::SIGPIPE as u32 - 1)), 0, "{ignored:x}");
        assert_eq!(status(pid, "NoNewPrivs:"), "1");
        let stat = String::from_utf8(read("stat")).expect("text");
        let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        assert_eq!(
            (fields[3], fields[4]),
            (pid.to_string().as_str(), "0"),
            "a session of its own, no terminal"
        );
        // The key is nobody's to read, and no word of it is among the arguments.
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        assert!(!words.contains("PRIVATE"), "{words}");
        let run = scene.home.house.directory().join("run/relay");
        let places = fs::read_dir(run).expect("it is there").flatten();
        for place in places {
            use std::os::unix::fs::PermissionsExt;
            let key = fs::metadata(place.path().join("key")).expect("it is there");
            assert_eq!(key.permissions().mode() & 0o7777, 0o600);
        }
    }
}

#[test]
fn clients_go_with_the_daemon_however_that_ends() {
    for client in CLIENTS {
        let Some(mut scene) = Scene::up(&Setup::of(Software::OpenSsh), client) else {
            return;
        };
        for kills in [false, true] {
            let pids = scene.clients();
            assert_eq!(pids.len(), 1);
            let began = Instant::now();
            match kills {
                true => scene.home.daemon.kill9(),
                false => drop(scene.home.daemon.terminate().map(|status| assert!(status.success()))),
            }
            assert!(
                within(Duration::from_secs(5), || !pids.iter().any(|pid| exists(*pid))),
                "{client:?}"
            );
            assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
            assert!(within(SOON, || !scene.relay.listens(REMOTE)
                && scene.relay.sessions().is_empty()));
            scene.home.daemon.start_again().expect("it starts");
            scene.comes_up("office", SOON);
            assert!(scene.reaches());
            assert_eq!(children(scene.home.daemon.pid()).len(), 1);
            let places = fs::read_dir(scene.home.house.directory().join("run/relay")).expect("it is there");
            assert_eq!(places.count(), 1, "what the last one has left is removed");
        }
        // One that does not listen to anybody.
        let pids = scene.clients();
        kill(pids[0], Signal::SIGSTOP).expect("it runs");
        let began = Instant::now();
        let _ = scene.home.daemon.terminate();
        assert!(
            within(Duration::from_secs(10), || !exists(pids[0])),
            "{client:?} {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn a_frozen_client_is_replaced() {
    let Some(scene) = Scene::up(&endable(Software::OpenSsh), Client::OpenSsh) else {
        return;
    };
    let pids = scene.clients();
    kill(pids[0], Signal::SIGSTOP).expect("it runs");
    assert!(within(SOON, || !scene.is("up")), "{}", scene.listed("office"));
    assert!(
        within(SOON, || scene.is("up") && scene.reaches()),
        "{}",
        scene.listed("office")
    );
    assert!(!exists(pids[0]));
}

/// Its owner lets clients listen for everybody, whatever they ask for.
#[test]
fn a_port_that_the_relay_opens_to_the_world_is_an_error() {
    for (settings, is_open) in [("GatewayPorts yes", true), ("GatewayPorts clientspecified", false)] {
        let Some(scene) = Scene::up(&Setup::of(Software::OpenSsh).with(settings), Client::OpenSsh) else {
            return;
        };
        let outside = SocketAddr::new(scene.relay.address(), REMOTE);
        let internet = &scene.home.house.host("internet").namespace;
        assert_eq!(greets(internet, outside, Greets::Rdp), is_open);
        let exposed = || scene.listed("office")["exposed"] == json!(is_open);
        assert!(within(SOON, exposed), "{}", scene.listed("office"));
        let answer = scene.home.daemon.must("check", &json!({}));
        let is_it = |check: &Value| check["name"] == "relay" && check["severity"] == "error";
        let checks = answer["checks"].as_array().expect("checks");
        assert_eq!(checks.iter().any(is_it), is_open, "{settings}: {answer}");
    }
}

/// A whole start long, since dropbear's client does not say that a connection was refused.
#[test]
fn a_relay_that_does_not_let_itself_be_checked_is_named_with_either_client() {
    for client in CLIENTS {
        let Some(scene) = Scene::start(Setup::of(Software::OpenSsh).with("PermitOpen none"), Greets::Rdp) else {
            return;
        };
        let section = scene.section().with("client", &word(client));
        scene.install(&section, Software::OpenSsh);
        scene.configure(&[section]);
        scene.says_one(&["permitopen"]);
    }
}

#[test]
fn the_switch_does_not_stop_it() {
    let Some(scene) = Scene::up(&Setup::of(Software::OpenSsh), Client::OpenSsh) else {
        return;
    };
    let before = scene.clients();
    let switched = BASE.replace("enabled '0'", "enabled '1'\n\toption level 'strict'");
    let reply = scene
        .home
        .reload(&(switched + &scene.section().with("client", &"openssh").text()));
    assert_eq!(reply["applied"], json!(true), "{reply}");
    assert!(!scene.home.house.way_out(Family::V4).arrives(50_000));
    std::thread::sleep(Duration::from_secs(6));
    assert!(scene.is("up") && scene.reaches());
    assert_eq!(scene.clients(), before, "the same session");
    assert_eq!(scene.call("relay_restart", "office")["ok"], json!(true));
    assert!(within(SOON, || scene.is("up")
        && scene.clients() != before
        && scene.reaches()));
}

#[test]
fn a_reload_that_changes_nothing_of_it_leaves_it_alone() {
    let Some(scene) = Scene::up(&Setup::of(Software::OpenSsh), Client::OpenSsh) else {
        return;
    };
    let before = scene.clients();
    let section = scene.section().with("client", &"openssh");
    scene.configure(std::slice::from_ref(&section));
    scene.configure(&[section.clone(), Section::new("other", &scene).with("enabled", &0)]);
    scene.home.daemon.hang_up();
    std::thread::sleep(Duration::from_secs(1));
    assert!(scene.is("up") && scene.clients() == before);
    // One that is gone takes its session with it.
    scene.configure(&[]);
    assert!(within(SOON, || scene.clients().is_empty() && !scene.relay.listens(REMOTE)));
    assert!(scene.list().is_empty());
}
