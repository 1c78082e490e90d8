//! The relay's script and the lines for `authorized_keys`, with the servers that read them and the clients that a router has. Each test has a relay of its own.

use lanward::config;
use lanward::relay::files::{Facts, Files, SCRIPT};
use lanward::relay::greeting::Kind;
use lanward_rig::namespace::Namespace;
use lanward_rig::probe::within;
use lanward_rig::relay::{Client, Disk, Greets, Relay, Setup, Software, Target, Visitor, CLIENTS, SOFTWARE, USER};
use lanward_rig::report_line::{skip, this_test};
use lanward_rig::scratch::Scratch;
use lanward_rig::servers::Dialogue;
use nix::sys::signal::{kill, Signal};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the tunnel opens on the relay.
const REMOTE: u16 = 3389;
/// Where it leads: a target beside the visitor.
const TARGET: u16 = 13_389;
/// The visitor's own port that leads through it.
const CHECK: u16 = 14_000;
const SOON: Duration = Duration::from_secs(20);
/// For what is not to come.
const MOMENT: Duration = Duration::from_millis(300);

/// A relay with a visitor on it, and a target to lead to. Dropped in this order.
struct Scene {
    _target: Target,
    visitor: Visitor,
    relay: Relay,
    folder: Scratch,
}

/// What the program prints for a relay of this port.
fn files(remote_port: u16, public_key: &str) -> Files {
    let target = config::Target {
        host: "127.0.0.1".into(),
        port: TARGET,
    };
    let facts = Facts {
        name: "office",
        host: "127.0.0.1",
        port: 22,
        user: USER,
        remote_port,
        target: &target,
        kind: Kind::Ssh,
        public_key: Some(public_key),
    };
    Files::of(&facts).expect("good facts")
}

impl Scene {
    /// Set up as the program's lines say.
    fn start(setup: &Setup) -> Option<Self> {
        let software = setup.software;
        Self::start_with(setup, |files| match software {
            Software::OpenSsh => files.authorized_keys.clone(),
            Software::Dropbear => files.authorized_keys_dropbear.clone(),
        })
    }

    /// With these lines.
    fn start_with(setup: &Setup, lines: impl Fn(&Files) -> String) -> Option<Self> {
        if !Namespace::can_be_made(&this_test()) {
            return None;
        }
        // Not all that runs there is root's.
        let folder = Scratch::for_everybody("relay");
        let mut relay = Relay::alone(&folder, setup.clone());
        let visitor = Visitor::new(&folder.join("visitor"), relay.namespace(), &relay);
        let files = files(REMOTE, &visitor.public_key());
        relay.write("lanward-relay", &files.script, 0o700);
        relay.authorize(&lines(&files));
        if setup.disk != Disk::Roomy {
            // It gets its copy of all that when it starts.
            relay.restart();
        }
        let target = Target::start(relay.namespace(), ([127, 0, 0, 1], TARGET).into(), Greets::Ssh);
        Some(Self {
            _target: target,
            visitor,
            relay,
            folder,
        })
    }

    /// A router's session: the tunnel, its check, and the script.
    fn hold(&self, client: Client) -> Dialogue {
        self.hold_port(client, REMOTE, CHECK)
    }

    fn hold_port(&self, client: Client, remote: u16, check: u16) -> Dialogue {
        let (there, back) = (
            format!("127.0.0.1:{remote}:127.0.0.1:{TARGET}"),
            format!("127.0.0.1:{check}:127.0.0.1:{remote}"),
        );
        self.visitor
            .session(client, &["-T", "-R", &there, "-L", &back], &["lanward-relay hold"])
    }

    /// Such a session, up.
    fn held(&self, client: Client) -> Dialogue {
        let mut session = self.hold(client);
        assert_eq!(
            session.line(SOON).as_deref(),
            Some("lanward-relay 1 hold"),
            "{}",
            self.logs(&session)
        );
        assert!(within(SOON, || self.relay.listens(REMOTE)), "{}", self.logs(&session));
        session
    }

    /// What the script answers to `end`.
    fn end(&self, client: Client) -> String {
        self.visitor.ask(client, &["-T"], "lanward-relay end").0
    }

    fn logs(&self, session: &Dialogue) -> String {
        format!("the client: {}\nthe relay: {}", session.log(), self.relay.log())
    }

    /// Files by which sessions are remembered.
    fn records(&self) -> Vec<String> {
        let names = fs::read_dir(self.relay.home()).expect("ours").flatten();
        let names = names.map(|entry| entry.file_name().into_string().expect("ours"));
        let mut names: Vec<_> = names.filter(|name| name.starts_with(".lanward-relay.")).collect();
        names.sort();
        names
    }
}

/// Whether the target greets through the tunnel.
fn greets(scene: &Scene, port: u16) -> bool {
    lanward_rig::relay::greets(scene.relay.namespace(), ([127, 0, 0, 1], port).into(), Greets::Ssh)
}

#[test]
fn what_a_frozen_session_has_left_is_ended() {
    for software in SOFTWARE {
        // Where dropbear's session belongs to root, it is not the account's to end.
        let setup = match software {
            Software::OpenSsh => Setup::of(software),
            Software::Dropbear => Setup::of(software).own(),
        };
        for setup in [setup, Setup::of(software).own()] {
            let Some(scene) = Scene::start(&setup) else {
                return;
            };
            for client in CLIENTS {
                let case = format!("{setup:?} {client:?}");
                let session = scene.held(client);
                assert!(greets(&scene, CHECK), "{case}: {}", scene.logs(&session));
                // The router is gone, and nobody has told the relay.
                kill(session.pid(), Signal::SIGSTOP).expect("it runs");
                assert_eq!(scene.records().len(), 1, "{case}: {:?}", scene.records());
                let began = Instant::now();
                assert_eq!(
                    scene.end(client),
                    "lanward-relay 1 ended",
                    "{case}: {}",
                    scene.logs(&session)
                );
                // It does not take a whole connection's patience; a busy machine takes its time.
                assert!(
                    began.elapsed() < Duration::from_secs(12),
                    "{case}: {:?}",
                    began.elapsed()
                );
                assert!(!scene.relay.listens(REMOTE), "{case}: the port is free");
                assert_eq!(scene.end(client), "lanward-relay 1 nothing", "{case}");
                assert_eq!(scene.records(), [""; 0], "{case}");
                kill(session.pid(), Signal::SIGCONT).expect("it runs");
                assert!(session.ends(SOON), "{case}");
                // And the next one has it.
                let next = scene.held(client);
                assert!(greets(&scene, CHECK), "{case}: {}", scene.logs(&next));
                next.close();
                assert!(within(SOON, || !scene.relay.listens(REMOTE)), "{case}");
            }
        }
    }
}

#[test]
fn a_session_of_dropbears_that_is_roots_is_not_ended_and_that_is_said() {
    let Some(scene) = Scene::start(&Setup::of(Software::Dropbear)) else {
        return;
    };
    for client in CLIENTS {
        let session = scene.held(client);
        kill(session.pid(), Signal::SIGSTOP).expect("it runs");
        let are_roots = scene.relay.sessions_are_roots();
        let said = scene.end(client);
        if !are_roots {
            // A dropbear since 2025.89: the session is the account's.
            assert!(said.ends_with(" ended") || said.ends_with(" nothing"), "{said}");
            kill(session.pid(), Signal::SIGCONT).expect("it runs");
            assert!(session.ends(SOON) && !scene.relay.listens(REMOTE));
            continue;
        }
        assert!(said.starts_with("lanward-relay 1 refused process "), "{said}");
        assert!(
            said.ends_with("(dropbear) is not this account's: it is not permitted to end it"),
            "{said}"
        );
        assert!(scene.relay.listens(REMOTE));
        kill(session.pid(), Signal::SIGCONT).expect("it runs");
        session.close();
        assert!(within(SOON, || !scene.relay.listens(REMOTE)));
        assert_eq!(scene.end(client), "lanward-relay 1 nothing");
    }
}

#[test]
fn a_session_that_is_stopped_on_the_relay_is_ended_too() {
    for software in SOFTWARE {
        let Some(scene) = Scene::start(&Setup::of(software).own()) else {
            return;
        };
        let session = scene.held(Client::OpenSsh);
        scene.relay.signal_sessions(Signal::SIGSTOP);
        let began = Instant::now();
        assert_eq!(
            scene.end(Client::OpenSsh),
            "lanward-relay 1 ended",
            "{}",
            scene.logs(&session)
        );
        assert!(began.elapsed() < Duration::from_secs(16), "{:?}", began.elapsed());
        assert!(!scene.relay.listens(REMOTE));
    }
}

#[test]
fn a_session_that_did_not_get_the_port_does_not_hide_the_one_that_has_it() {
    for software in SOFTWARE {
        let Some(scene) = Scene::start(&Setup::of(software).own()) else {
            return;
        };
        for client in CLIENTS {
            let first = scene.held(client);
            kill(first.pid(), Signal::SIGSTOP).expect("it runs");
            for attempt in 0..2 {
                let second = scene.hold_port(client, REMOTE, CHECK + 1);
                assert!(
                    second.ends(SOON),
                    "{software:?} {client:?} {attempt}: {}",
                    scene.logs(&second)
                );
            }
            assert_eq!(scene.end(client), "lanward-relay 1 ended", "{software:?} {client:?}");
            assert!(!scene.relay.listens(REMOTE));
        }
    }
}

#[test]
fn two_relays_in_one_account_leave_each_other_alone() {
    for software in SOFTWARE {
        let other = REMOTE + 1;
        let Some(scene) = Scene::start(&Setup::of(software).own()) else {
            return;
        };
        // The second one has a key of its own, as two routers have.
        let second = Visitor::new(&scene.folder.join("second"), scene.relay.namespace(), &scene.relay);
        let line = |files: Files| match software {
            Software::OpenSsh => files.authorized_keys,
            Software::Dropbear => files.authorized_keys_dropbear,
        };
        let both = line(files(REMOTE, &scene.visitor.public_key())) + &line(files(other, &second.public_key()));
        scene.relay.authorize(&both);
        let first_session = scene.held(Client::OpenSsh);
        let there = format!("127.0.0.1:{other}:127.0.0.1:{TARGET}");
        let mut session = second.session(Client::Dropbear, &["-T", "-R", &there], &["lanward-relay hold"]);
        assert_eq!(
            session.line(SOON).as_deref(),
            Some("lanward-relay 1 hold"),
            "{}",
            scene.logs(&session)
        );
        assert!(within(SOON, || scene.relay.listens(other)));
        assert_eq!(scene.records().len(), 2);
        assert_eq!(scene.end(Client::Dropbear), "lanward-relay 1 ended");
        assert!(first_session.ends(SOON));
        assert!(
            !scene.relay.listens(REMOTE) && scene.relay.listens(other),
            "{software:?}"
        );
        assert_eq!(
            second.ask(Client::OpenSsh, &["-T"], "lanward-relay end").0,
            "lanward-relay 1 ended"
        );
        assert!(session.ends(SOON) && !scene.relay.listens(other));
    }
}

#[test]
fn nothing_but_the_two_commands_does_anything() {
    for software in SOFTWARE {
        let Some(scene) = Scene::start(&Setup::of(software)) else {
            return;
        };
        let evil = scene.relay.home().join("evil");
        let touch = format!("touch {}", evil.display());
        let commands = [
            "",
            "id",
            touch.as_str(),
            "lanward-relay",
            "lanward-relay end ",
            "lanward-relay  end",
            "lanward-relay end 22",
            "lanward-relay hold\n",
            "lanward-relay HOLD",
            &format!("lanward-relay end; {touch}"),
            &format!("lanward-relay hold\n{touch}"),
            &format!("$({touch})"),
            "lanward-relay *",
        ];
        for client in CLIENTS {
            for command in commands {
                let (said, complained) = scene.visitor.ask(client, &["-T"], command);
                assert_eq!(
                    said, "lanward-relay 1 refused only 'lanward-relay hold' and 'lanward-relay end' are answered here",
                    "{software:?} {client:?} {command:?} {complained}"
                );
            }
            // A terminal is not given, and what is asked for by another name neither.
            // (dropbear's client waits for ever where a subsystem is refused.)
            let subsystem = if client == Client::OpenSsh { "-s" } else { "-T" };
            for (option, words) in [("-t", "id"), ("-t", ""), (subsystem, "sftp")] {
                let (said, complained) = scene.visitor.ask(client, &["-T", option], words);
                assert!(
                    said.contains("refused only") || said.is_empty(),
                    "{software:?} {client:?} {option} {words}: {said} {complained}"
                );
            }
        }
        assert!(!evil.exists() && scene.records().is_empty());
    }
}

/// A port that may be opened, and where it may lead, is the line's to say.
#[test]
fn no_other_port_is_opened_and_no_other_place_reached() {
    for software in SOFTWARE {
        // Whoever lets clients choose where to listen has not opened the port to the world.
        let settings = match software {
            Software::OpenSsh => "GatewayPorts clientspecified",
            Software::Dropbear => "",
        };
        let Some(scene) = Scene::start(&Setup::of(software).with(settings)) else {
            return;
        };
        for client in CLIENTS {
            // What dropbear does not know before 2026.90.
            if software == Software::OpenSsh {
                for place in [
                    format!("{}", REMOTE + 1),
                    format!("0.0.0.0:{REMOTE}"),
                    format!("*:{REMOTE}"),
                ] {
                    let there = format!("{place}:127.0.0.1:{TARGET}");
                    let session = scene.visitor.session(client, &["-N", "-R", &there], &[]);
                    assert!(session.ends(SOON), "{client:?} {place}: {}", scene.logs(&session));
                    assert!(!scene.relay.listens(REMOTE + 1) && !scene.relay.listens(REMOTE));
                }
            }
            for place in [
                format!("127.0.0.1:{TARGET}"),
                format!("localhost:{REMOTE}"),
                "127.0.0.1:22".to_owned(),
            ] {
                let back = format!("127.0.0.1:{CHECK}:{place}");
                let mut session = scene
                    .visitor
                    .session(client, &["-T", "-L", &back], &["lanward-relay hold"]);
                assert_eq!(session.line(SOON).as_deref(), Some("lanward-relay 1 hold"));
                assert!(within(SOON, || scene.relay.listens(CHECK)));
                assert!(!greets(&scene, CHECK), "{software:?} {client:?} {place}");
                session.close();
                assert!(within(SOON, || !scene.relay.listens(CHECK)));
            }
        }
        let there = format!("127.0.0.1:{REMOTE}:127.0.0.1:{TARGET}");
        let session = scene.visitor.session(Client::OpenSsh, &["-N", "-R", &there], &[]);
        assert!(within(SOON, || scene.relay.listens(REMOTE)), "{}", scene.logs(&session));
        let listening = scene
            .relay
            .namespace()
            .must("ss", &["-Htln", &format!("sport = :{REMOTE}")], "");
        assert!(
            listening
                .lines()
                .all(|line| line.contains("127.0.0.1:") || line.contains("[::1]:")),
            "{listening}"
        );
    }
}

#[test]
fn the_clients_key_leads_to_the_tunnel_and_does_nothing_else() {
    let Some(scene) = Scene::start(&Setup::of(Software::OpenSsh)) else {
        return;
    };
    let guest = Visitor::new(&scene.folder.join("guest"), scene.relay.namespace(), &scene.relay);
    let all = files(REMOTE, &scene.visitor.public_key());
    let place = all
        .authorized_keys_client
        .find("ssh-ed25519 (")
        .expect("a place for the key");
    let line = format!("{}{}\n", &all.authorized_keys_client[..place], guest.public_key());
    scene.relay.authorize(&(all.authorized_keys.clone() + &line));
    let router = scene.held(Client::Dropbear);
    let back = format!("127.0.0.1:{}:127.0.0.1:{REMOTE}", CHECK + 1);
    for client in CLIENTS {
        let session = guest.session(client, &["-N", "-L", &back], &[]);
        assert!(
            within(SOON, || scene.relay.listens(CHECK + 1)),
            "{}",
            scene.logs(&session)
        );
        assert!(greets(&scene, CHECK + 1), "{client:?} {}", scene.logs(&session));
        drop(session);
        assert!(within(SOON, || !scene.relay.listens(CHECK + 1)));
        for command in ["id", "lanward-relay end", ""] {
            assert_eq!(guest.ask(client, &["-T"], command).0, "", "{client:?} {command}");
        }
        let session = guest.session(client, &["-N", "-R", "4000:127.0.0.1:22"], &[]);
        assert!(session.ends(SOON), "{}", scene.logs(&session));
    }
    assert!(scene.relay.listens(REMOTE) && !router.ends(MOMENT));
}

/// Every shell that may be the account's, or `/bin/sh`.
#[test]
fn every_shell_runs_it() {
    for shell in ["dash", "bash", "busybox ash", "busybox hush"] {
        let mut words = shell.split(' ').chain(["-c", "exit 0"]);
        let has = Command::new(words.next().expect("a name")).args(words).output();
        if !has.is_ok_and(|output| output.status.success()) {
            if shell != "busybox hush" {
                skip(&this_test(), &format!("no {shell} here"));
            }
            continue;
        }
        let lines = |files: &Files| {
            let exec = format!("exec {shell} ~/lanward-relay");
            files.authorized_keys.replace("exec ~/lanward-relay", &exec)
        };
        let Some(scene) = Scene::start_with(&Setup::of(Software::OpenSsh), lines) else {
            return;
        };
        let session = scene.held(Client::OpenSsh);
        kill(session.pid(), Signal::SIGSTOP).expect("it runs");
        assert_eq!(scene.end(Client::OpenSsh), "lanward-relay 1 ended", "{shell}");
        assert!(!scene.relay.listens(REMOTE), "{shell}");
        assert_eq!(scene.end(Client::OpenSsh), "lanward-relay 1 nothing", "{shell}");
    }
}

#[test]
fn records_that_do_not_tell_the_truth_end_nobody() {
    let Some(scene) = Scene::start(&Setup::of(Software::OpenSsh).own()) else {
        return;
    };
    let session = scene.held(Client::OpenSsh);
    let [record]: [String; 1] = scene.records().try_into().expect("one");
    let parts: Vec<_> = record.splitn(5, '.').collect();
    let (pid, began) = (parts[3], parts[4]);
    let server = "1";
    let precious = scene.folder.join("precious");
    fs::write(&precious, "precious").expect("ours");
    // Process 1 is the server itself, in the relay's own count; the others have never been.
    let untrue = [
        format!(".lanward-relay.{REMOTE}.{server}.{began}"),
        format!(".lanward-relay.{REMOTE}.{pid}.1-{began}"),
        format!(".lanward-relay.{REMOTE}.{pid}."),
        format!(".lanward-relay.{REMOTE}.{pid}"),
        format!(".lanward-relay.{REMOTE}.0{pid}.{began}"),
        format!(".lanward-relay.{REMOTE}.-1.{began}"),
        format!(".lanward-relay.{REMOTE}.0.{began}"),
        format!(".lanward-relay.{REMOTE}.99999999999999999999.{began}"),
        format!(".lanward-relay.{REMOTE}.$(id).{began}"),
        format!(".lanward-relay.{REMOTE}. ; touch evil"),
        format!(".lanward-relay.{REMOTE}.\n1.{began}"),
    ];
    fs::remove_file(scene.relay.home().join(&record)).expect("it is there");
    for name in &untrue {
        scene.relay.write(name, "1\n", 0o600);
    }
    scene.relay.link(&format!(".lanward-relay.{REMOTE}.7.7"), &precious);
    scene
        .relay
        .link(&format!(".lanward-relay.{REMOTE}.8.8"), Path::new("/nowhere"));
    assert_eq!(
        scene.end(Client::OpenSsh),
        "lanward-relay 1 nothing",
        "{}",
        scene.logs(&session)
    );
    assert!(scene.relay.listens(REMOTE) && !session.ends(MOMENT));
    assert_eq!(scene.records(), [""; 0], "they are removed");
    assert_eq!(fs::read_to_string(&precious).expect("ours"), "precious");
    // The true one, whatever stands in it.
    scene.relay.write(&record, "1\n/etc/passwd\n", 0o600);
    assert_eq!(scene.end(Client::OpenSsh), "lanward-relay 1 ended");
    assert!(!scene.relay.listens(REMOTE));
}

#[test]
fn records_of_sessions_that_are_over_are_removed_by_the_next() {
    let Some(scene) = Scene::start(&Setup::of(Software::OpenSsh)) else {
        return;
    };
    for _ in 0..5 {
        let session = scene.held(Client::OpenSsh);
        assert_eq!(scene.records().len(), 1);
        session.close();
        assert!(within(SOON, || !scene.relay.listens(REMOTE)));
    }
}

#[test]
fn on_a_full_disk_the_session_is_held() {
    for software in SOFTWARE {
        for (disk, answer, end) in [
            (Disk::Full, "lanward-relay 1 hold", "lanward-relay 1 ended"),
            (
                Disk::NoFiles,
                "lanward-relay 1 hold unrecorded no file can be made in the home directory",
                "lanward-relay 1 nothing",
            ),
        ] {
            let Some(scene) = Scene::start(&Setup::of(software).own().on(disk)) else {
                return;
            };
            let mut session = scene.hold(Client::OpenSsh);
            assert_eq!(
                session.line(SOON).as_deref(),
                Some(answer),
                "{disk:?} {}",
                scene.logs(&session)
            );
            assert!(within(SOON, || scene.relay.listens(REMOTE)));
            assert!(greets(&scene, CHECK));
            assert_eq!(scene.end(Client::OpenSsh), end, "{software:?} {disk:?}");
        }
    }
}

#[test]
fn it_goes_with_its_session() {
    for software in SOFTWARE {
        let Some(scene) = Scene::start(&Setup::of(software)) else {
            return;
        };
        let session = scene.held(Client::OpenSsh);
        let before = scene.relay.processes().len();
        assert!(before > 2);
        session.close();
        assert!(within(SOON, || scene.relay.processes().len() == 1), "{software:?}");
    }
}

#[test]
fn it_wants_a_port_and_a_home() {
    let run = |port: Option<&str>, home: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "lanward-relay"]).args(port);
        command
            .env("HOME", home)
            .env("SSH_ORIGINAL_COMMAND", "lanward-relay end");
        let output = command.output().expect("every Linux has a shell");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    for port in [
        None,
        Some(""),
        Some("0"),
        Some("033"),
        Some("1000000"),
        Some("22;id"),
        Some("*"),
        Some("-1"),
    ] {
        assert_eq!(
            run(port, "/tmp"),
            "lanward-relay 1 refused authorized_keys has no port for it",
            "{port:?}"
        );
    }
    assert_eq!(
        run(Some("1"), "/nonexistent"),
        "lanward-relay 1 refused the account has no home directory"
    );
}
