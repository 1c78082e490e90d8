//! Authenticated packets on their whole way: the stock `fwknop` client outside, the router's real rules, the daemon. Each test has a house of its own.

use lanward_rig::clock::faketime;
use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::namespace::Namespace;
use lanward_rig::report_line::{skip, this_test};
use lanward_rig::scan::nmap_udp;
use lanward_rig::sections;
use lanward_rig::settings::{Firewall, Refusal};
use serde_json::{json, Value};
use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::{chown, symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PORT: u16 = 62201;
/// How long the daemon may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

struct Scene {
    home: Home,
    rc: PathBuf,
}

impl Scene {
    /// A router whose key `laptop` is made and in force, and a laptop with its stanza. `options`: further lines of its section.
    fn start(options: &str) -> Option<Self> {
        Self::start_behind(Firewall::default(), options)
    }

    fn start_behind(firewall: Firewall, options: &str) -> Option<Self> {
        if Command::new("fwknop").arg("--version").output().is_err() {
            skip(&this_test(), "no fwknop (Debian: fwknop-client)");
            return None;
        }
        let home = Home::start_gated(&this_test(), House::plan(), firewall, "config lanward 'lanward'\n")?;
        let rc = home.house.directory().join("fwknoprc");
        let mut scene = Self { home, rc };
        let router = scene.home.house.router_address("wan", Family::V4).to_string();
        let made = scene.home.daemon.must(
            "spa_keygen",
            &json!({ "name": "laptop", "host": router, "access": "tcp/22" }),
        );
        fs::write(&scene.rc, made["stanza"].as_str().expect("text")).expect("our own");
        fs::set_permissions(&scene.rc, Permissions::from_mode(0o600)).expect("our own");
        scene.configure(options);
        beyond_the_start();
        Some(scene)
    }

    fn configure(&mut self, options: &str) {
        self.configure_at(&self.key(), options);
    }

    fn configure_at(&mut self, key: &Path, options: &str) {
        let gate = sections::gate("list service 'tcp:22'\noption forget 'never'");
        let config = [switched_off(""), gate, sections::spa(key, options)].concat();
        let reply = self.home.reload_gated(&config);
        assert_eq!(reply["applied"], json!(true), "{reply}");
    }

    fn key(&self) -> PathBuf {
        self.home.house.directory().join("state/laptop.key")
    }

    fn internet(&self) -> &Namespace {
        &self.home.house.host("internet").namespace
    }

    /// The stock client with its stanza and these words besides; the packet as it was sent.
    fn fwknop(&self, words: &str) -> String {
        let file = self.home.house.directory().join("packet");
        let _ = fs::remove_file(&file);
        let (rc, save) = (self.rc.to_string_lossy(), file.to_string_lossy());
        let mut all = vec![
            "-n",
            "laptop",
            "--rc-file",
            &*rc,
            "--no-save-args",
            "--save-packet",
            &*save,
        ];
        all.extend(words.split_whitespace());
        let ran = self.internet().output("fwknop", &all, "").expect("it can be started");
        assert!(ran.status.success(), "fwknop {words}: {ran:?}");
        fs::read_to_string(&file).expect("saved").trim().to_owned()
    }

    /// Sends what somebody has recorded, from another host.
    fn throw(&self, packet: &str) {
        let to = SocketAddr::new(self.home.house.router_address("wan", Family::V4), PORT);
        let thief = &self.home.house.host("internet2").namespace;
        let sent = thief.run(|| UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(packet.as_bytes(), to)));
        assert_eq!(sent.expect("the way is there"), packet.len());
    }

    fn entries(&self) -> Vec<(IpAddr, u64)> {
        let reply = self.home.daemon.must("gate_list", &json!({ "gate": "ssh" }));
        let read = |entry: &Value| {
            assert_eq!(entry["why"], json!(["spa"]), "{entry}");
            let address = entry["address"].as_str().expect("text").parse().expect("an address");
            (address, entry["expires"].as_u64().expect("a number"))
        };
        reply["entries"].as_array().expect("a list").iter().map(read).collect()
    }

    /// How many packets the key has accepted and refused.
    fn counts(&self) -> (u64, u64) {
        let reply = self.home.daemon.must("spa_list", &json!({}));
        let laptop = &reply["spas"][0];
        let count = |name: &str| laptop[name].as_u64().expect("a number");
        (count("accepted"), count("rejected"))
    }

    /// Asserts that what `send` sends lists nobody, and that a new line of the log says why.
    fn refused(&self, why: &str, send: impl FnOnce(&Self)) {
        let before = self.home.daemon.log().len();
        send(self);
        let line = || {
            let log = self.home.daemon.log();
            let found = log[before..].lines().find(|line| line.contains("refused: "));
            found.map(str::to_owned)
        };
        let end = std::time::Instant::now() + SOON;
        while line().is_none() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let line = line().unwrap_or_else(|| panic!("no line: {why}"));
        assert!(line.contains(why), "{line}");
        assert_eq!(self.entries(), [], "{why}");
    }

    /// Asserts that it lists the address for about so many seconds, and takes it off again.
    fn accepted(&self, address: IpAddr, seconds: u64, send: impl FnOnce(&Self)) {
        let before = self.counts().0;
        send(self);
        let end = std::time::Instant::now() + SOON;
        while self.entries().is_empty() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        let (listed, left) = entries[0];
        assert_eq!((listed, self.counts().0), (address, before + 1));
        assert!(left <= seconds && left + 15 >= seconds, "{left} of {seconds}");
        self.home.daemon.must("gate_flush", &json!({ "gate": "ssh" }));
    }

    fn client(&self) -> IpAddr {
        "198.51.100.1".parse().expect("an address")
    }

    /// The daemon anew, with its clock off by these seconds.
    fn restart(&mut self, offset: Option<&str>) {
        self.home.daemon.kill9();
        let house = self.home.house.directory();
        fs::remove_dir_all(house.join("run")).expect("it was there");
        let clock = house.join("clock");
        match offset {
            Some(offset) => fs::write(clock, offset).expect("our own"),
            None => drop(fs::remove_file(clock)),
        }
        self.home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    }
}

/// Where nobody knows what was accepted before, what was made before the daemon looked for it is refused: in that second, or the next.
fn beyond_the_start() {
    std::thread::sleep(Duration::from_millis(2100));
}

#[test]
fn the_stock_clients_packets_open_for_whom_they_may_and_the_rest_has_a_line() {
    let Some(mut scene) = Scene::start("") else { return };
    let client = scene.client();
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-s")));
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-a 198.51.100.1")));
    scene.accepted(client, 77, |scene| drop(scene.fwknop("-s -f 77")));
    scene.accepted(client, 3600, |scene| drop(scene.fwknop("-s -f 65536")));
    for (words, why) in [
        ("-a 203.0.113.77", "names 203.0.113.77, but came from 198.51.100.1"),
        ("-s -A tcp/23", "asks for tcp/23"),
        ("-s -A tcp/22,udp/22", "asks for udp/22"),
        ("-s --time-offset-minus 5M", "old, or a clock is wrong"),
        ("-s --time-offset-plus 5M", "ahead of this router's clock"),
        ("-s -N 192.168.77.100:22", "NAT"),
        ("-s --nat-local --nat-port 22", "NAT"),
        ("-s --server-cmd reboot", "wants a command run"),
        ("-s --hmac-digest-type sha1", "no key at this port has made it"),
        ("-s --hmac-digest-type sha384", "no key at this port has made it"),
        ("-s --hmac-digest-type sha512", "no key at this port has made it"),
        ("-s -M ctr", "does not decrypt"),
    ] {
        scene.refused(why, |scene| drop(scene.fwknop(words)));
    }
    // Those that are asked for, and then only those.
    for digest in ["sha1", "sha384", "sha512"] {
        scene.configure(&format!("option hmac '{digest}'"));
        scene.accepted(client, 30, |scene| {
            drop(scene.fwknop(&format!("-s --hmac-digest-type {digest}")));
        });
        scene.refused("no key at this port", |scene| drop(scene.fwknop("-s")));
    }
    scene.configure("option any_address '1'\noption seconds '500'\noption max_seconds '600'");
    let other = "203.0.113.77".parse().expect("an address");
    scene.accepted(other, 500, |scene| drop(scene.fwknop("-a 203.0.113.77")));
    scene.accepted(other, 600, |scene| drop(scene.fwknop("-a 203.0.113.77 -f 1000")));
    // Another port, and no longer the usual one.
    scene.configure("option port '4000'");
    let before = scene.counts();
    drop(scene.fwknop("-s"));
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-s -p 4000")));
    assert_eq!(scene.counts(), (before.0 + 1, before.1));
}

#[test]
fn a_packet_that_was_accepted_opens_nothing_again_whatever_happens_to_the_router() {
    let Some(mut scene) = Scene::start("") else { return };
    let client = scene.client();
    let mut packet = String::new();
    scene.accepted(client, 30, |scene| packet = scene.fwknop("-s"));
    scene.refused("a replay", |scene| scene.throw(&packet));
    // Killed, and nothing left in RAM.
    scene.restart(None);
    scene.refused("a replay", |scene| scene.throw(&packet));
    scene.restart(None);
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-s")));
    // What was accepted cannot be read: nothing that was made before is.
    let seen = scene.home.house.directory().join("state/spa.seen");
    fs::write(&seen, "rubbish").expect("ours");
    scene.restart(None);
    scene.refused("perhaps a replay", |scene| scene.throw(&packet));
    beyond_the_start();
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-s")));
}

/// A clock that was a day slow when a packet was made, is right for a while, and is a day slow again: the packet is in time once more.
#[test]
fn a_clock_that_is_set_back_makes_no_packet_new() {
    let Some(library) = faketime() else { return };
    let Some(mut scene) = Scene::start("") else { return };
    fs::write(scene.home.house.directory().join("preload"), library).expect("our own");
    let client = scene.client();
    let mut packet = String::new();
    scene.refused("old, or a clock is wrong", |scene| {
        drop(scene.fwknop("-s --time-offset-minus 1D"));
    });
    scene.restart(Some("-86400"));
    scene.refused("ahead of this router's clock", |scene| drop(scene.fwknop("-s")));
    beyond_the_start();
    scene.accepted(client, 30, |scene| packet = scene.fwknop("-s --time-offset-minus 1D"));
    scene.restart(None);
    scene.refused("old, or a clock is wrong", |scene| scene.throw(&packet));
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-s")));
    scene.restart(Some("-86400"));
    scene.refused("a replay", |scene| scene.throw(&packet));
    // Its owner has the same slow clock and is let in as before.
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-s --time-offset-minus 1D")));
}

#[test]
fn a_key_file_that_others_could_read_or_change_opens_nothing_until_that_is_mended() {
    let Some(mut scene) = Scene::start("") else { return };
    let (key, client) = (scene.key(), scene.client());
    let aside = scene.home.house.directory().join("aside");
    let reset = |key: &Path| {
        let _ = fs::remove_file(key);
        fs::copy(&aside, key).expect("our own");
        fs::set_permissions(key, Permissions::from_mode(0o600)).expect("our own");
        chown(key, Some(0), Some(0)).expect("root may");
    };
    fs::rename(&key, &aside).expect("our own");
    type Harm<'a> = &'a dyn Fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("chmod 600", &|key| {
            fs::set_permissions(key, Permissions::from_mode(0o644)).expect("our own");
        }),
        ("chmod 600", &|key| {
            fs::set_permissions(key, Permissions::from_mode(0o620)).expect("our own");
        }),
        ("symbolic link", &|key| {
            fs::remove_file(key).expect("our own");
            symlink(&aside, key).expect("our own");
        }),
        ("chown root", &|key| chown(key, Some(12345), None).expect("root may")),
        ("no such file", &|key| fs::remove_file(key).expect("our own")),
    ];
    for (what, harm) in harms {
        reset(&key);
        harm(&key);
        scene.configure("");
        let status = scene.home.daemon.must("status", &json!({}));
        let problems = status["problems"].to_string();
        assert!(
            problems.contains("lanward.laptop.key_file") && problems.contains(what),
            "{what}: {problems}"
        );
        scene.refused("no key at this port", |scene| drop(scene.fwknop("-s")));
        reset(&key);
        scene.configure("");
        assert_eq!(scene.home.daemon.must("status", &json!({}))["problems"], json!([]));
        scene.accepted(client, 30, |scene| drop(scene.fwknop("-s")));
    }
}

/// Over IPv6 with our client, since the stock one's address is an IPv4 one.
#[test]
fn over_ipv6_whoever_sends_it_is_listed() {
    let Some(scene) = Scene::start("") else { return };
    let program = lanward_rig::daemon::program();
    let (program, key) = (program.to_string_lossy().into_owned(), scene.key());
    let router = scene.home.house.router_address("wan", Family::V6).to_string();
    let send = |scene: &Scene, words: &[&str]| {
        let key = key.to_string_lossy();
        let all = [&["spa", &router, "--access", "tcp/22", "--key-file", &key], words].concat();
        let ran = scene.internet().output(&program, &all, "").expect("it can be started");
        assert!(ran.status.success(), "{ran:?}");
    };
    let own: IpAddr = "2001:db8:1::1".parse().expect("an address");
    scene.accepted(own, 30, |scene| send(scene, &["--address", "source"]));
    scene.accepted(own, 30, |scene| send(scene, &[]));
    scene.accepted(own, 90, |scene| send(scene, &["--seconds", "90"]));
    scene.refused("names 2001:db8::77, but came from 2001:db8:1::1", |scene| {
        send(scene, &["--address", "2001:db8::77"]);
    });
}

/// To a stranger with `nmap`, before and after the port was used, and to the router itself.
#[test]
fn a_keys_port_is_a_closed_one() {
    for refusal in [Refusal::Reject, Refusal::Drop] {
        let Some(scene) = Scene::start_behind(Firewall::refusing(refusal), "") else {
            return;
        };
        let router = scene.home.house.router();
        router.refuses_without_limit().expect("every kernel has it");
        for round in 0..2 {
            for family in FAMILIES {
                let to = scene.home.house.router_address("wan", family);
                let seen = nmap_udp(scene.internet(), to, &[PORT, PORT - 1]);
                assert_eq!(seen[&PORT], seen[&(PORT - 1)], "{refusal:?} {family}");
            }
            for table in ["udp", "udp6"] {
                let sockets = router.proc_net(table);
                assert!(!sockets.contains(&format!(":{PORT:04X} ")), "{sockets}");
            }
            if round == 0 {
                scene.accepted(scene.client(), 30, |scene| drop(scene.fwknop("-s")));
            }
        }
    }
}

#[test]
fn a_key_whose_file_lies_elsewhere_is_dead_at_once_and_its_file_is_named() {
    let Some(mut scene) = Scene::start("") else { return };
    let client = scene.client();
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-s")));
    let elsewhere = scene.home.house.directory().join("laptop.key");
    fs::rename(scene.key(), &elsewhere).expect("our own");
    scene.configure_at(&elsewhere, "");
    scene.accepted(client, 30, |scene| drop(scene.fwknop("-s")));
    let answer = scene.home.daemon.call("spa_revoke", &json!({ "name": "laptop" }));
    let answer = answer.expect("it answers").to_string();
    assert!(
        answer.contains("error") && answer.contains("remove it by hand"),
        "{answer}"
    );
    scene.refused("no key at this port", |scene| drop(scene.fwknop("-s")));
}
