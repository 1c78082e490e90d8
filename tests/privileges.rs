//! `lanward run --user`: what the daemon and its keeper may do, that it is enough for everything, and that nobody gets more out of it.

#![allow(unsafe_code)]

use lanward::system::ubus::client::call_once;
use lanward::system::ubus::{CallError, Status};
use lanward_rig::broker::Tested;
use lanward_rig::daemon::{program, Caller, Daemon};
use lanward_rig::home::{fw4_rules, switched_off, switched_on};
use lanward_rig::house::{Family, House};
use lanward_rig::namespace::Namespace;
use lanward_rig::netifd::Netifd;
use lanward_rig::probe::{now, within, Connection, Fate};
use lanward_rig::relay::{greets, Greets, Relay, Setup, Software, Target};
use lanward_rig::report_line::{figure, skip, this_test};
use lanward_rig::scratch::Scratch;
use lanward_rig::settings::Firewall;
use nix::sys::signal::{kill, Signal};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Pid, User};
use serde_json::{json, Map, Value};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{chown, symlink, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// A user that every Linux has, and who may do nothing.
const USER: &str = "nobody";
const PATIENCE: Duration = Duration::from_secs(10);

/// A house with a daemon of another user. Dropped in this order: the daemon, then what it talks to, then the house.
struct Scene {
    daemon: Daemon,
    _netifd: Netifd,
    _bus: Tested,
    house: House,
}

/// What the bus allows to the daemon's user: the file that comes with the package, for the user of these tests.
fn shipped_acl() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("files/usr/share/acl.d/lanward.json");
    let text = fs::read_to_string(&path).expect("it comes with the package");
    let mut acl: Value = serde_json::from_str(&text).expect("JSON");
    acl["user"] = json!(USER);
    acl
}

impl Scene {
    fn start(config: &str) -> Option<Self> {
        Self::start_with(config, &shipped_acl(), Firewall::default())
    }

    /// Everything that root alone may read is closed to others, as on a router.
    fn start_with(config: &str, acl: &Value, firewall: Firewall) -> Option<Self> {
        if !Namespace::can_be_made(&this_test()) {
            return None;
        }
        let mut house = House::plan().build().expect("a house");
        let place = house.directory().to_owned();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        house.configure(config);
        house.set_firewall(firewall);
        house.publish(fw4_rules(&house));
        for name in ["lanward", "firewall", "network"] {
            mode(&house.config_dir().join(name), 0o600);
        }
        mode(&house.config_dir(), 0o700);
        let access = place.join("acl.d");
        fs::create_dir(&access).expect("a directory");
        fs::write(access.join("lanward.json"), acl.to_string()).expect("written");
        let socket = place.join("ubus.sock");
        let bus = Tested::start(&socket, Some(&access));
        let netifd = Netifd::start(&socket, house.interface_dump()).expect("netifd's stand-in");
        // The program with one option more.
        let script = place.join("lanward-as-user");
        let text = format!("#!/bin/sh\nexec '{}' \"$@\" --user {USER}\n", program().display());
        fs::write(&script, text).expect("written");
        mode(&script, 0o755);
        let caller = match acl.get("publish") {
            Some(_) => caller(&socket),
            // Nobody finds it on the bus, and it is up all the same.
            None => Box::new(|_: &str, _: &str, _: &Value| Ok(json!({ "lan_only": {} }))),
        };
        let daemon = Daemon::start(&house, &script, caller).unwrap_or_else(|why| panic!("{why}"));
        Some(Self {
            daemon,
            _netifd: netifd,
            _bus: bus,
            house,
        })
    }

    /// The processes of this house's daemon, by their names.
    fn process(&self, name: &str) -> Option<Pid> {
        let place = self.house.directory().as_os_str().as_encoded_bytes();
        let pids = fs::read_dir("/proc").expect("every Linux has it").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .find(|pid: &i32| {
                let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                read("comm").trim_ascii() == name.as_bytes()
                    && read("cmdline").windows(place.len()).any(|part| part == place)
            })
            .map(Pid::from_raw)
    }

    fn main(&self) -> Pid {
        self.process("lanward").expect("the daemon runs")
    }

    fn keeper(&self) -> Pid {
        self.process("lanward-keeper").expect("the keeper runs")
    }

    fn config(&self) -> PathBuf {
        self.house.config_dir().join("lanward")
    }

    fn run_dir(&self) -> PathBuf {
        self.house.directory().join("run")
    }

    fn keeps_in(&self) -> bool {
        !self.house.way_out(Family::V4).arrives(50000)
    }

    fn has_table(&self) -> bool {
        let tables = self.house.router().must("nft", &["list", "tables"], "");
        tables.lines().any(|line| line == "table inet lanward")
    }

    /// Waits until the daemon has ended by itself, and says how.
    fn end(&mut self, main: Pid) -> Option<ExitStatus> {
        assert!(gone(main), "the daemon goes on:\n{}", self.daemon.log());
        self.daemon.terminate()
    }
}

fn caller(socket: &Path) -> Caller {
    let socket = socket.to_owned();
    Box::new(move |object, method, arguments| {
        let nothing = Map::new();
        let arguments = arguments.as_object().unwrap_or(&nothing);
        call_once(&socket, object, method, arguments, PATIENCE).map_err(|error| match error {
            CallError::Status(status) => status.code(),
            _ => Status::ConnectionFailed.code(),
        })
    })
}

/// Whether a process ends; one that nobody has asked how it ended has ended, too.
fn gone(pid: Pid) -> bool {
    within(PATIENCE, || {
        fs::read_to_string(format!("/proc/{pid}/status")).map_or(true, |text| text.contains("\nState:\tZ"))
    })
}

fn field(pid: Pid, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words = line.unwrap_or_else(|| panic!("no {name} in {text}")).split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

fn status(pid: Pid, name: &str) -> String {
    field(pid, "status", name)
}

#[test]
fn the_daemon_may_change_the_network_and_the_keeper_may_touch_files() {
    let Some(scene) = Scene::start(&switched_on("")) else {
        return;
    };
    let user = User::from_name(USER).expect("readable").expect("it is everywhere");
    let four = |id: u32| format!("{id} {id} {id} {id}");
    // capability.h: CAP_NET_ADMIN is 12; CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_FOWNER are 0, 1 and 3.
    for (pid, uid, gid, capabilities) in [
        (scene.main(), user.uid.as_raw(), user.gid.as_raw(), "0000000000001000"),
        (scene.keeper(), 0, 0, "000000000000000b"),
    ] {
        assert_eq!(status(pid, "Uid:"), four(uid));
        assert_eq!(status(pid, "Gid:"), four(gid));
        assert_eq!(status(pid, "Groups:"), "");
        for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
            assert_eq!(status(pid, set), capabilities, "{pid} {set}");
        }
        for set in ["CapInh:", "CapAmb:"] {
            assert_eq!(status(pid, set), "0000000000000000", "{pid} {set}");
        }
        assert_eq!(status(pid, "NoNewPrivs:"), "1");
        assert_eq!(status(pid, "Threads:"), "1");
        let memory = |name| field(pid, "smaps_rollup", name);
        let [rss, pss, private] = ["Rss:", "Pss:", "Private_Dirty:"].map(memory);
        figure(
            "privileges",
            &format!("{}: RSS {rss}, PSS {pss}, private {private}", status(pid, "Name:")),
        );
    }
    let open = || {
        let open = fs::read_dir(format!("/proc/{}/fd", scene.keeper()));
        open.expect("it runs").count()
    };
    // Nothing, nothing, stderr, and two sockets; and for a moment the file that it is asked for.
    assert!(within(PATIENCE, || open() == 5), "{}", open());
    for (name, mode) in [("run", 0o755), ("state", 0o700)] {
        let seen = fs::metadata(scene.house.directory().join(name)).expect("it is there");
        assert_eq!((seen.uid(), seen.mode() & 0o7777), (user.uid.as_raw(), mode), "{name}");
    }
}

#[test]
fn it_does_all_its_work() {
    let gate = "\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n";
    let config = switched_off("") + gate;
    let Some(scene) = Scene::start_with(&config, &shipped_acl(), Firewall::default()) else {
        return;
    };
    let (daemon, house) = (&scene.daemon, &scene.house);
    // The switch, written down by the keeper: one option changes, the file stays root's alone.
    let session = house.way_out(Family::V4).udp_session(50000);
    let call = now();
    daemon.must("lan_only", &json!({ "enabled": true, "persist": true }));
    assert!(session.stopped_after(call).is_some(), "a live session is cut");
    drop(session);
    assert!(scene.keeps_in());
    let on = config.replace("enabled '0'", "enabled '1'");
    assert_eq!(fs::read_to_string(scene.config()).expect("root may"), on);
    let seen = fs::metadata(scene.config()).expect("it is there");
    assert_eq!((seen.uid(), seen.gid(), seen.mode() & 0o7777), (0, 0, 0o600));
    let left: Vec<_> = fs::read_dir(house.config_dir()).expect("root may").flatten().collect();
    assert_eq!(left.len(), 3, "{left:?}");
    // A pause, and its end.
    daemon.must("pause", &json!({ "minutes": 1 }));
    assert_eq!(house.way_out(Family::V4).udp(50001), Fate::Answered);
    daemon.must("resume", &json!({}));
    assert!(scene.keeps_in());
    // What root writes, the daemon reads.
    house.configure(&on.replace("lan_only'\n", "lan_only'\n\toption level 'strict'\n"));
    assert_eq!(daemon.must("reload", &json!({}))["applied"], json!(true));
    assert_eq!(daemon.lan_only()["level"], json!("strict"));
    let _ = fs::remove_file(scene.config());
    fs::create_dir(scene.config()).expect("a directory");
    assert_eq!(daemon.must("reload", &json!({}))["applied"], json!(false));
    fs::remove_dir(scene.config()).expect("removed");
    house.configure(&on);
    daemon.hang_up();
    // The gate: listed by hand, in by fw4's rule, and the copies of its packets are heard.
    let router = house.router_address("wan", Family::V4);
    let ssh = || house.way("internet", "router").through(router).tcp(22);
    assert_ne!(ssh(), Connection::Accepted);
    let admitted = daemon.must("gate_admit", &json!({ "gate": "ssh", "address": "203.0.113.9" }));
    assert_eq!(admitted["ok"], json!(true), "{admitted}");
    assert_eq!(ssh(), Connection::Accepted);
    // The table is looked after: the notifications come.
    house.router().nft("delete table inet lanward\n");
    assert!(within(PATIENCE, || scene.has_table() && scene.keeps_in()));
    assert!(scene.run_dir().join("ruleset.nft").exists());
    let log = daemon.log();
    for complaint in ["denied", "not permitted", "nflog", "conntrack", "acl.d"] {
        assert!(!log.contains(complaint), "{log}");
    }
}

#[test]
fn it_holds_a_relays_tunnel_with_clients_that_may_do_nothing() {
    let user = User::from_name(USER).expect("readable").expect("it is everywhere");
    let Some(scene) = Scene::start(&switched_on("option level 'strict'")) else {
        return;
    };
    let relay = Relay::outside(&scene.house, 0, Setup::of(Software::OpenSsh));
    let lan = scene.house.host("lan");
    let _target = Target::start(&lan.namespace, lan.socket(Family::V4, 3389), Greets::Rdp);
    let key = scene.house.directory().join("state/relay_ed25519");
    let section = |enabled: &str, client: &str| {
        format!(
            "\nconfig relay 'office'\n\toption enabled '{enabled}'\n\toption host '{}'\n\toption key '{}'\n\toption host_key '{}'\n\
             \toption remote_port '3389'\n\toption target '192.168.77.100:3389'\n\toption check '5'\n\toption client '{client}'\n",
            relay.address(),
            key.display(),
            relay.host_key()
        )
    };
    let reload = |text: String| {
        fs::write(scene.config(), switched_on("option level 'strict'") + &text).expect("root may");
        let reply = scene.daemon.must("reload", &json!({}));
        assert_eq!(reply["applied"], json!(true), "{reply}");
    };
    reload(section("0", "auto"));
    let office = json!({ "name": "office" });
    let made = scene.daemon.must("relay_keygen", &office);
    assert_eq!(made["made"], json!(true), "{made}");
    let seen = fs::metadata(&key).expect("it is there");
    assert_eq!((seen.uid(), seen.mode() & 0o7777), (user.uid.as_raw(), 0o600));
    let files = scene.daemon.must("relay_files", &office);
    let text = |name: &str| files[name].as_str().unwrap_or_else(|| panic!("no {name} in {files}"));
    relay.write("lanward-relay", text("script"), 0o700);
    relay.authorize(text("authorized_keys"));
    for client in ["openssh", "dropbear"] {
        reload(section("1", client));
        let listed = || scene.daemon.must("relay_list", &json!({}))["relays"][0].take();
        assert!(
            within(PATIENCE, || listed()["state"] == "up"),
            "{}\n{}",
            listed(),
            relay.log()
        );
        let there = (std::net::Ipv4Addr::LOCALHOST, 3389).into();
        assert!(greets(relay.namespace(), there, Greets::Rdp));
        // The check sees the client's connections, which is how it tells its own tunnel from somebody else's.
        let checked = scene.daemon.must("relay_check", &office);
        assert!(checked["latency_ms"].is_u64(), "{checked}");
        let clients = lanward_rig::daemon::children(scene.main());
        let [client] = clients
            .iter()
            .copied()
            .filter(|pid| *pid != scene.keeper())
            .collect::<Vec<_>>()[..]
        else {
            panic!("{clients:?}");
        };
        let four = |id: u32| format!("{id} {id} {id} {id}");
        assert_eq!(status(client, "Uid:"), four(user.uid.as_raw()));
        assert_eq!(status(client, "Gid:"), four(user.gid.as_raw()));
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            assert_eq!(status(client, set), "0000000000000000", "{set}");
        }
        assert_eq!(status(client, "NoNewPrivs:"), "1");
        let open = fs::read_dir(format!("/proc/{client}/fd")).expect("root may").flatten();
        let open: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        let keepers = |path: &PathBuf| {
            let keeper = fs::read_dir(format!("/proc/{}/fd", scene.keeper()))
                .expect("root may")
                .flatten();
            let mut keeper = keeper.filter_map(|entry| fs::read_link(entry.path()).ok());
            path.to_string_lossy().starts_with("socket:") && keeper.any(|known| known == *path)
        };
        assert!(!open.iter().any(keepers), "{open:?}");
    }
    // A daemon that is killed takes its clients with it.
    let clients = lanward_rig::daemon::children(scene.main());
    kill(scene.main(), Signal::SIGKILL).expect("it runs");
    assert!(clients.into_iter().all(gone));
}

#[test]
fn it_makes_keys_takes_packets_and_remembers_them() {
    let gate = "\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n";
    let config = switched_off("") + gate;
    let Some(mut scene) = Scene::start(&config) else {
        return;
    };
    let state = scene.house.directory().join("state");
    let made = scene.daemon.must("spa_keygen", &json!({ "name": "laptop" }));
    assert_eq!(made["ok"], json!(true), "{made}");
    // Root's own beside it.
    let words = ["spa", "keygen", "phone", "--state-dir", &state.to_string_lossy()];
    let program = program();
    let program = program.to_string_lossy();
    scene.house.router().must(&program, &words, "");
    let owner = |name: &str| fs::metadata(state.join(name)).expect("it is there").uid();
    let user = User::from_name(USER).expect("readable").expect("it is everywhere");
    assert_eq!((owner("laptop.key"), owner("phone.key")), (user.uid.as_raw(), 0));
    let section = |name: &str| {
        let key = state.join(format!("{name}.key"));
        format!(
            "\nconfig spa '{name}'\n\toption gate 'ssh'\n\toption key_file '{}'\n",
            key.display()
        )
    };
    scene
        .house
        .configure(&(config + &section("laptop") + &section("phone")));
    let reply = scene.daemon.must("reload", &json!({}));
    assert_eq!(
        (&reply["applied"], &reply["problems"]),
        (&json!(true), &json!([])),
        "{reply}"
    );
    let router = scene.house.router_address("wan", Family::V4).to_string();
    let listed = |scene: &Scene| scene.daemon.must("gate_list", &json!({}))["entries"] != json!([]);
    // On its first start the daemon takes nothing that was made in the second of it, or before.
    std::thread::sleep(Duration::from_millis(2100));
    for name in ["laptop", "phone"] {
        // Elsewhere, where it is root's: the client takes no key that a third user could change.
        let key = scene.house.directory().join("carried.key");
        fs::copy(state.join(format!("{name}.key")), &key).expect("root may");
        let words = format!(
            "spa {router} --access tcp/22 --address source --key-file {}",
            key.display()
        );
        let words: Vec<&str> = words.split(' ').collect();
        let internet = &scene.house.host("internet").namespace;
        internet.must(&program, &words, "");
        assert!(
            within(Duration::from_secs(5), || listed(&scene)),
            "{}",
            scene.daemon.log()
        );
        scene.daemon.must("gate_flush", &json!({ "gate": "ssh" }));
    }
    // What was accepted is the daemon's to keep, and there for the next one.
    let seen = fs::metadata(state.join("spa.seen")).expect("kept before anybody was let in");
    assert_eq!(seen.uid(), user.uid.as_raw());
    scene.daemon.kill9();
    scene.daemon.start_again().expect("it starts");
    assert!(!scene.daemon.log().contains("cannot be read"), "{}", scene.daemon.log());
    // Both kinds of key can be revoked.
    for name in ["laptop", "phone"] {
        let revoked = scene.daemon.must("spa_revoke", &json!({ "name": name }));
        assert_eq!(revoked["ok"], json!(true), "{name}: {revoked}");
        assert!(!state.join(format!("{name}.key")).exists());
    }
}

#[test]
fn the_diagnosis_reads_what_is_roots_alone() {
    let Some(scene) = Scene::start(&switched_on("")) else {
        return;
    };
    // The house has miniupnpd's table, which would say that it runs.
    let tables = scene.house.router().must("nft", &["list", "tables"], "");
    for table in tables.lines().filter(|line| line.ends_with(" miniupnpd")) {
        scene.house.router().nft(&format!("delete {table}\n"));
    }
    let upnp = |enabled: &str| {
        let path = scene.house.config_dir().join("upnpd");
        fs::write(&path, format!("config upnpd config\n\toption enabled '{enabled}'\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        let answer = scene.daemon.must("check", &json!({}));
        let checks = answer["checks"].as_array().cloned().unwrap_or_default();
        let upnp = checks.into_iter().filter(|check| check["name"] == "upnp");
        upnp.map(|check| check["message"].to_string()).collect::<String>()
    };
    assert!(upnp("0").contains("No program in the home can"), "{}", upnp("0"));
    assert!(upnp("1").contains("miniupnpd is switched on"), "{}", upnp("1"));
}

#[test]
fn the_daemon_and_its_keeper_end_together() {
    let Some(mut scene) = Scene::start(&switched_on("")) else {
        return;
    };
    // What stops a service reaches the keeper only by the daemon's end.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        kill(scene.keeper(), signal).expect("it runs");
    }
    assert_eq!(scene.daemon.must("reload", &json!({}))["applied"], json!(true));

    let (main, keeper) = (scene.main(), scene.keeper());
    kill(keeper, Signal::SIGKILL).expect("it runs");
    let ended = scene.end(main);
    assert_eq!(
        ended.and_then(|status| status.code()),
        Some(1),
        "{}",
        scene.daemon.log()
    );
    assert!(scene.daemon.log().contains("the keeper"), "{}", scene.daemon.log());
    assert!(scene.has_table() && scene.keeps_in(), "the kernel enforces");

    scene.daemon.start_again().expect("procd starts both anew");
    let keeper = scene.keeper();
    scene.daemon.kill9();
    assert!(gone(keeper), "nobody is left to ask it");
    assert!(scene.has_table() && scene.keeps_in());

    scene.daemon.start_again().expect("it takes over");
    let keeper = scene.keeper();
    let ended = scene.daemon.terminate();
    assert_eq!(
        ended.and_then(|status| status.code()),
        Some(0),
        "{}",
        scene.daemon.log()
    );
    assert!(gone(keeper));
    assert!(scene.has_table() && scene.keeps_in());
}

/// The daemon's own end of the socket on which it asks the keeper: the one made by root on which it waits for a limited time.
fn stolen(daemon: Pid) -> Result<UnixStream, std::io::Error> {
    let descriptor = |result: libc::c_long| match i32::try_from(result) {
        // SAFETY: the kernel has just made it for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: it takes numbers.
    let process = descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, daemon.as_raw(), 0) })?;
    let process = std::os::fd::AsRawFd::as_raw_fd(&process);
    for fd in 3..64 {
        // SAFETY: it takes numbers.
        let copy = descriptor(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, fd, 0) });
        let copy = match copy {
            Ok(copy) => copy,
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => continue,
            Err(error) => return Err(error),
        };
        let socket = copy.as_fd();
        let peer = getsockopt(&socket, sockopt::PeerCredentials);
        let waits = getsockopt(&socket, sockopt::ReceiveTimeout).is_ok_and(|limit| limit.tv_sec() > 0);
        if waits && peer.is_ok_and(|peer| peer.pid() == daemon.as_raw() && peer.uid() == 0) {
            return Ok(copy.into());
        }
    }
    panic!("the daemon has no such socket");
}

#[test]
fn a_daemon_that_was_taken_over_gets_nothing_more_out_of_the_keeper() {
    let Some(mut scene) = Scene::start(&switched_on("")) else {
        return;
    };
    let before = fs::read(scene.config()).expect("root may");
    let endless = vec![b'x'; 1 << 20];
    for said in [
        &b"/etc/shadow\n"[..],
        b"L/etc/shadow",
        b"\0",
        b"LLLLLLLLx1",
        b"K\x02\xff\xff",
        &endless,
    ] {
        let (main, keeper) = (scene.main(), scene.keeper());
        kill(main, Signal::SIGSTOP).expect("it runs");
        let mut socket = match stolen(main) {
            Ok(socket) => socket,
            Err(error) => {
                kill(main, Signal::SIGCONT).expect("it runs");
                return skip(&this_test(), &format!("pidfd_getfd: {error}"));
            }
        };
        // This is the one: it gives what it may give.
        socket.write_all(b"L").expect("the keeper listens");
        let mut reply = vec![0; 5 + before.len()];
        socket.read_exact(&mut reply).expect("the keeper answers");
        assert_eq!(&reply[5..], before);
        // The keeper may hang up before all is said.
        let _ = socket.write_all(said);
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard);
        let replies = said.iter().take_while(|byte| **byte == b'L').count();
        assert_eq!(heard, reply.repeat(replies), "{:?}", said.get(..20));
        assert!(gone(keeper), "it ends at what is no request");
        assert_eq!(fs::read(scene.config()).expect("root may"), before);
        kill(main, Signal::SIGCONT).expect("it is stopped");
        assert_eq!(scene.end(main).and_then(|status| status.code()), Some(1));
        assert!(scene.keeps_in());
        scene.daemon.start_again().expect("both anew");
    }
}

/// Asks the keeper for the key of a section as somebody who has taken the daemon over, and gives its answer.
fn asked_for_key(socket: &mut UnixStream, section: &str) -> (u8, String) {
    let length = u8::try_from(section.len()).expect("short");
    let request = [&[b'K', length], section.as_bytes()].concat();
    socket.write_all(&request).expect("the keeper listens");
    let mut head = [0; 5];
    socket.read_exact(&mut head).expect("the keeper answers");
    let [kind, length @ ..] = head;
    let length = usize::try_from(u32::from_le_bytes(length)).expect("short");
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).expect("the keeper answers");
    (kind, String::from_utf8(bytes).expect("it speaks UTF-8"))
}

#[test]
fn the_keeper_gives_keys_and_no_other_file() {
    let user = User::from_name(USER).expect("readable").expect("it is everywhere");
    let gate = "\nconfig gate 'ssh'\n\tlist service 'tcp:22'\n";
    let Some(scene) = Scene::start(&(switched_on("") + gate)) else {
        return;
    };
    let state = scene.house.directory().join("state");
    let key = state.join("laptop.key");
    let sections = |path: &Path| {
        let spa = format!(
            "\nconfig spa 'laptop'\n\toption gate 'ssh'\n\toption key_file '{}'\n",
            path.display()
        );
        fs::write(scene.config(), switched_on("") + gate + &spa).expect("root may");
    };
    sections(&key);
    let written = |path: &Path, text: &str, owner: u32, mode: u32| {
        let _ = fs::remove_file(path);
        fs::write(path, text).expect("root may");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
        std::os::unix::fs::chown(path, Some(owner), Some(owner)).expect("root may");
    };
    let text = "KEY_BASE64 AAECAwQFBgcICQoLDA0ODw==\nHMAC_KEY_BASE64 EBESExQVFhcYGRobHB0eHyAhIiMkJSYn\n";
    let main = scene.main();
    kill(main, Signal::SIGSTOP).expect("it runs");
    let mut socket = match stolen(main) {
        Ok(socket) => socket,
        Err(error) => {
            kill(main, Signal::SIGCONT).expect("it runs");
            return skip(&this_test(), &format!("pidfd_getfd: {error}"));
        }
    };
    // Root's and the daemon's own: what the section names is given.
    for owner in [0, user.uid.as_raw()] {
        written(&key, &format!("# root's\n{text}"), owner, 0o600);
        assert_eq!(asked_for_key(&mut socket, "laptop"), (0, text.to_string()), "{owner}");
    }
    let shadow = Path::new("/etc/shadow");
    let secret = scene.house.directory().join("secret");
    written(&secret, "root:$6$precious\n", 0, 0o600);
    let mut refused = |section: &str, what: &str| {
        let (kind, why) = asked_for_key(&mut socket, section);
        assert!(kind == 2 && why.contains(what), "{section}: {kind} {why}");
        assert!(!why.contains("precious") && !why.contains("root:"), "{why}");
    };
    refused("desktop", "no such spa section");
    refused("/etc/shadow", "no such spa section");
    refused("ssh", "no such spa section");
    // What the daemon's user can do in its own directory: links of both kinds, and a file of its own, but not what it likes.
    for target in [shadow, &secret, &scene.config()] {
        fs::remove_file(&key).expect("root may");
        symlink(target, &key).expect("planted");
        refused("laptop", "symbolic link");
    }
    fs::remove_file(&key).expect("root may");
    fs::hard_link(&secret, &key).expect("one file system");
    refused("laptop", "hard link");
    // As if the link had gone between two looks at it.
    fs::remove_file(&key).expect("root may");
    fs::rename(&secret, &key).expect("one file system");
    refused("laptop", "line 1");
    for (owner, mode, what) in [
        (0, 0o640, "chmod 600"),
        (0, 0o604, "chmod 600"),
        (12345, 0o600, "chown root"),
    ] {
        written(&key, text, owner, mode);
        refused("laptop", what);
    }
    // Root's configuration is the one that counts, as it is now.
    sections(shadow);
    refused("laptop", "/etc/shadow");
    fs::write(scene.config(), switched_on("") + gate).expect("root may");
    refused("laptop", "no such spa section");
    drop(socket);
    kill(main, Signal::SIGCONT).expect("it is stopped");
    assert_eq!(
        scene.daemon.must("reload", &json!({}))["applied"],
        json!(true),
        "both go on"
    );
}

#[test]
fn links_that_the_user_planted_are_not_followed_by_root() {
    let Some(mut scene) = Scene::start(&switched_on("")) else {
        return;
    };
    scene.daemon.terminate();
    let victim = scene.house.directory().join("victim");
    fs::write(&victim, "precious").expect("written");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).expect("ours");
    let untouched = |path: &Path, mode| {
        let seen = fs::metadata(path).expect("it is there");
        assert_eq!((seen.uid(), seen.gid(), seen.mode() & 0o7777), (0, 0, mode), "{path:?}");
    };
    for name in ["ruleset.nft", "ruleset.nft.new", "switch.json", "switch.json.new"] {
        let path = scene.run_dir().join(name);
        let _ = fs::remove_file(&path);
        symlink(&victim, path).expect("planted");
    }
    scene.daemon.start_again().expect("it starts");
    scene
        .daemon
        .must("lan_only", &json!({ "enabled": false, "persist": false }));
    untouched(&victim, 0o600);
    assert_eq!(fs::read_to_string(&victim).expect("root may"), "precious");
    let user = User::from_name(USER).expect("readable").expect("it is everywhere");
    for name in ["ruleset.nft", "switch.json"] {
        let seen = fs::symlink_metadata(scene.run_dir().join(name)).expect("it is there");
        assert!(seen.is_file() && seen.uid() == user.uid.as_raw(), "{name}: {seen:?}");
    }
    // The directory itself, and one that was never meant.
    scene.daemon.terminate();
    let other = scene.house.directory().join("other");
    fs::create_dir(&other).expect("a directory");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).expect("ours");
    fs::remove_dir_all(scene.run_dir()).expect("removed");
    symlink(&other, scene.run_dir()).expect("planted");
    scene.daemon.start_again().expect("the switch does not depend on it");
    untouched(&other, 0o700);
    assert!(scene.keeps_in());
    assert!(scene.daemon.logs("cannot be given", PATIENCE), "{}", scene.daemon.log());
}

#[test]
fn what_a_daemon_started_by_hand_as_root_has_kept_is_taken_over() {
    let Some(mut scene) = Scene::start(&switched_on("")) else {
        return;
    };
    let user = User::from_name(USER).expect("readable").expect("it is everywhere");
    let state = scene.house.directory().join("state");
    let [ledger, seen] = ["ledger", "spa.seen"].map(|name| state.join(name));
    scene.daemon.terminate();
    fs::write(&seen, "").expect("written");
    chown(&seen, Some(0), Some(0)).expect("root may");
    fs::set_permissions(&seen, fs::Permissions::from_mode(0o600)).expect("ours");
    // Neither a link nor what has a name elsewhere is given away.
    let victim = scene.house.directory().join("victim");
    fs::write(&victim, "precious").expect("written");
    let _ = fs::remove_file(&ledger);
    fs::hard_link(&victim, &ledger).expect("on the same file system");
    scene.daemon.start_again().expect("it starts");
    let owner = |path: &Path| fs::metadata(path).expect("it is there").uid();
    assert_eq!(owner(&seen), user.uid.as_raw());
    assert_eq!(owner(&victim), 0);
    let log = scene.daemon.log();
    assert!(log.contains("ledger cannot be given"), "{log}");
    assert!(!log.contains("spa.seen cannot be given"), "{log}");
}

#[test]
fn what_the_bus_refuses_is_named_and_changes_nothing() {
    let dump = json!({ "network.interface": { "methods": ["dump"] } });
    let what = "/usr/share/acl.d/lanward.json";
    for (acl, line) in [
        (json!({ "user": USER }), "ubusd does not let us publish 'lanward'"),
        (
            json!({ "user": USER, "publish": ["lanward"], "access": dump }),
            "ubusd does not let us listen to network.interface",
        ),
        (
            json!({ "user": USER, "publish": ["lanward"] }),
            "there is no object 'network.interface' on the bus, or ubusd does not let us see it",
        ),
        (
            json!({ "user": USER, "publish": ["lanward"] }),
            "ubusd does not let us listen to ubus.object.add",
        ),
    ] {
        let Some(scene) = Scene::start_with(&switched_on(""), &acl, Firewall::default()) else {
            return;
        };
        assert!(within(PATIENCE, || scene.keeps_in()), "{acl}");
        assert!(
            scene.daemon.logs(line, PATIENCE),
            "no '{line}' in\n{}",
            scene.daemon.log()
        );
        let log = scene.daemon.log();
        let named = log.lines().find(|said| said.contains(line)).expect("it is there");
        assert!(named.contains(what), "{named}");
    }
}

#[test]
fn whom_it_cannot_become_it_says() {
    if !nix::unistd::geteuid().is_root() {
        return skip(&this_test(), "only root can become somebody else");
    }
    // Where the program was built may be closed to others.
    let place = Scratch::for_everybody("user");
    let copy = place.join("lanward");
    fs::copy(program(), &copy).expect("room for a copy");
    for (before, user, why) in [
        (&[][..], "nosuchuser", "there is no such user"),
        (&[], "root", "is root"),
        (
            &["setpriv", "--reuid", "65534", "--clear-groups"],
            USER,
            "only root can become",
        ),
    ] {
        let mut words = before.iter().map(Path::new).chain([copy.as_path()]);
        let mut command = Command::new(words.next().expect("there is one"));
        command
            .args(words)
            .args(["run", "--user", user, "--run-dir"])
            .arg(place.join("run"));
        let output = command.env("LANWARD_LOG", "stderr").stdin(Stdio::null()).output();
        let output = output.expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{user}: {said}");
        assert!(said.contains(why) && said.contains(user), "{user}: {said}");
        assert!(!place.join("run").exists());
    }
}
