//! The ledger with real packets: what the kernel counts, what the daemon makes of it, and what is left of it after whatever may happen to either.

#![allow(clippy::unwrap_used)]

use lanward_rig::clock::away_from_midnight;
use lanward_rig::daemon::program;
use lanward_rig::flash::Flash;
use lanward_rig::home::Home;
use lanward_rig::house::{Family, House, Plan};
use lanward_rig::knock::{tcp, udp, Knocker, Step};
use lanward_rig::news::News;
use lanward_rig::probe::within;
use lanward_rig::report_line::{figure, this_test};
use lanward_rig::seed_log::{write_april, Forms};
use lanward_rig::segments::datagram;
use lanward_rig::settings::Firewall;
use serde_json::{json, Value};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LEDGER: &str = "config ledger 'ledger'\n";
const GATED: &str = "config ledger 'ledger'\n\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n";
/// Nobody's (RFC 2544, RFC 5180).
const STRANGER: &str = "198.18.0.7";
const OTHER: &str = "198.18.0.8";
const STRANGER6: &str = "2001:2::7";
const SOON: Duration = Duration::from_secs(20);

/// `IPPROTO_GRE`
const GRE: u8 = 47;

struct Scene {
    home: Home,
    knocker: Knocker,
}

impl Scene {
    fn start(firewall: Firewall, config: &str) -> Option<Self> {
        Self::start_in(House::plan(), firewall, config)
    }

    fn start_in(plan: Plan, firewall: Firewall, config: &str) -> Option<Self> {
        away_from_midnight();
        let home = Home::start_gated(&this_test(), plan, firewall, config)?;
        let internet = &home.house.host("internet").namespace;
        internet.ip("route add local 198.18.0.0/15 dev lo\nroute add local 2001:2::/48 dev lo\n");
        let knocker = Knocker::new(&home.house);
        Some(Self { home, knocker })
    }

    /// So many packets of one kind from an address, each from a port of its own.
    fn send(&self, from: &str, step: Step, count: u16) {
        let from: IpAddr = from.parse().unwrap();
        let frames: Vec<Vec<u8>> = (0..count)
            .map(|n| self.knocker.frame(SocketAddr::new(from, 20_000 + n), step))
            .collect();
        self.knocker.send(&frames);
    }

    /// A packet of another protocol.
    fn send_protocol(&self, from: &str, protocol: u8, payload: &[u8]) {
        let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), self.knocker.target(from.parse().unwrap()));
        let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else {
            panic!("IPv4 only")
        };
        let length = u16::try_from(20 + payload.len()).unwrap();
        let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet.extend(from.octets());
        packet.extend(to.octets());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        self.knocker.send(&[self.knocker.enclose(&packet)]);
    }

    fn status(&self) -> Value {
        self.home.daemon.must("status", &json!({}))["ledger"].clone()
    }

    fn today(&self) -> u64 {
        self.status()["today"].as_u64().unwrap()
    }

    fn rows(&self, arguments: &Value) -> Vec<Value> {
        self.home.daemon.must("history", arguments)["rows"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// What is kept of today by port: protocol and port with the number.
    fn ports(&self) -> Vec<(String, u64, u64)> {
        let row = |row: &Value| {
            let number = |key: &str| row[key].as_u64().unwrap();
            (
                row["protocol"].as_str().unwrap().to_string(),
                number("port"),
                number("attempts"),
            )
        };
        self.rows(&json!({ "by": "port" })).iter().map(row).collect()
    }

    fn sources(&self, arguments: &Value) -> Vec<(String, u64)> {
        let mut arguments = arguments.clone();
        arguments["by"] = json!("source");
        let row = |row: &Value| {
            (
                row["address"].as_str().unwrap().to_string(),
                row["attempts"].as_u64().unwrap(),
            )
        };
        self.rows(&arguments).iter().map(row).collect()
    }

    fn file(&self) -> PathBuf {
        self.home.house.directory().join("state/ledger")
    }
}

fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

fn allow(port: u16) -> Value {
    json!({ "type": "rule", "name": "Allow", "src": "wan", "proto": "tcp", "dest_port": port.to_string(), "target": "ACCEPT" })
}

fn word(text: &str) -> String {
    text.to_string()
}

#[test]
fn what_nothing_accepts_is_counted_by_port_and_source_in_both_families() {
    let Some(scene) = Scene::start(Firewall::default().with(allow(993)), LEDGER) else {
        return;
    };
    scene.send(STRANGER, tcp(23), 5);
    scene.send(STRANGER, udp(1900), 7);
    scene.send(OTHER, udp(1900), 2);
    scene.send(STRANGER6, tcp(445), 3);
    // Accepted by a rule of the firewall: no attempts. Ping is accepted as well, GRE is not.
    scene.send(OTHER, tcp(993), 9);
    scene.send(STRANGER6, tcp(993), 9);
    scene.send_protocol(OTHER, 1, &[8, 0, 0xf7, 0xfe, 0, 1, 0, 0]);
    scene.send_protocol(OTHER, GRE, &[0, 0, 8, 0, 1, 2, 3, 4]);
    assert!(
        within(SOON, || scene.today() == 18),
        "{}\n{:?}",
        scene.status(),
        scene.ports()
    );
    assert_eq!(
        scene.ports(),
        [
            (word("udp"), 1900, 9),
            (word("tcp"), 23, 5),
            (word("tcp"), 445, 3),
            (word("gre"), 0, 1)
        ]
    );
    assert_eq!(
        scene.sources(&json!({})),
        [(word(STRANGER), 12), (word(OTHER), 3), (word(STRANGER6), 3)]
    );
    assert_eq!(
        scene.sources(&json!({ "protocol": "udp", "port": 1900 })),
        [(word(STRANGER), 7), (word(OTHER), 2)]
    );
    let hours = scene.rows(&json!({ "by": "hour", "address": STRANGER }));
    let sum: u64 = hours.iter().map(|row| row["attempts"].as_u64().unwrap()).sum();
    assert_eq!(sum, 12, "{hours:?}");
    let days = scene.rows(&json!({}));
    assert_eq!(
        (days.len(), &days[0]["attempts"], &days[0]["outlier"]),
        (1, &json!(18), &json!(false))
    );
    let months = scene.rows(&json!({ "by": "month" }));
    assert_eq!(
        (&months[0]["attempts"], &months[0]["per_day"]),
        (&json!(18), &json!(18.0))
    );
}

/// A multicast router (`linux/mroute.h`) that sends a group from the WAN on to two devices until its standard input ends.
const MULTICAST_ROUTER: &str = "
import socket, struct, sys
router = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
router.setsockopt(socket.IPPROTO_IP, 200, 1)
for number, device in enumerate(['wan0', 'br-lan', 'guest0']):
    router.setsockopt(socket.IPPROTO_IP, 202, struct.pack('@HBBIi4s', number, 8, 1, 0, socket.if_nametoindex(device), bytes(4)))
ways = bytes([255, 1, 1] + [255] * 29)
group = struct.pack('@4s4sH32sIIIi', socket.inet_aton(sys.argv[1]), socket.inet_aton(sys.argv[2]), 0, ways, 0, 0, 0, 0)
router.setsockopt(socket.IPPROTO_IP, 204, group)
print('ready', flush=True)
sys.stdin.read()
";

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Television: each packet of it is new to conntrack, comes once and is accepted for each device that it is sent on to.
#[test]
fn what_is_for_many_at_once_is_no_attempt_and_hides_none() {
    let Some(scene) = Scene::start_in(House::plan().with_guest(), Firewall::default(), LEDGER) else {
        return;
    };
    let group = "239.1.2.3";
    let router = scene.home.house.router();
    router.nft(&format!(
        "insert rule inet fw4 forward_wan ip daddr {group} counter accept"
    ));
    let started = router.run(|| {
        Command::new("python3")
            .args(["-c", MULTICAST_ROUTER, STRANGER, group])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    });
    let mut multicast = Program(started.unwrap());
    let mut ready = [0; 5];
    std::io::Read::read_exact(multicast.0.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let send = |from: &str, to: &str, count: u16| {
        let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let packet = datagram(SocketAddr::new(from, 20_000), SocketAddr::new(to, 5000), b"x");
        scene.knocker.send(&vec![scene.knocker.enclose(&packet); count.into()]);
    };
    // The frames are for the router alone, as on a PPP link: it is the address that says for whom they are.
    send(STRANGER, group, 7);
    let accepted = || router.must("nft", &["list", "chain", "inet", "fw4", "forward_wan"], "");
    assert!(
        within(SOON, || accepted().contains("counter packets 14 ")),
        "{}",
        accepted()
    );
    // Nobody asked for these.
    for to in ["239.9.9.9", "198.51.100.255", "255.255.255.255"] {
        send(OTHER, to, 3);
    }
    for to in ["ff02::fb", "ff0e::1"] {
        send(STRANGER6, to, 3);
    }
    scene.send(OTHER, udp(1900), 5);
    scene.send(STRANGER6, udp(1900), 4);
    assert!(
        within(SOON, || scene.today() == 9),
        "{}\n{:?}",
        scene.status(),
        scene.ports()
    );
    assert_eq!(scene.ports(), [(word("udp"), 1900, 9)]);
    assert_eq!(scene.sources(&json!({})), [(word(OTHER), 5), (word(STRANGER6), 4)]);
}

#[test]
fn what_a_gate_refuses_is_an_attempt_and_what_a_listed_source_does_is_none() {
    for refuse in ["zone", "reset", "drop"] {
        let config = format!("{GATED}\toption refuse '{refuse}'\n");
        let Some(scene) = Scene::start(Firewall::default(), &config) else {
            return;
        };
        scene.send(STRANGER, tcp(22), 4);
        assert!(within(SOON, || scene.today() == 4), "{refuse}: {}", scene.status());
        let admit = json!({ "gate": "ssh", "address": OTHER });
        scene.home.daemon.must("gate_admit", &admit);
        scene.send(OTHER, tcp(22), 6);
        scene.send(STRANGER, tcp(22), 1);
        assert!(within(SOON, || scene.today() == 5), "{refuse}: {}", scene.status());
        assert_eq!(scene.ports(), [(word("tcp"), 22, 5)], "{refuse}");
        assert_eq!(scene.sources(&json!({})), [(word(STRANGER), 5)], "{refuse}");
    }
}

#[test]
fn nothing_is_counted_twice_or_lost_whatever_happens_to_the_daemon_and_the_table() {
    let Some(mut scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    let total = |scene: &Scene| scene.rows(&json!({}))[0]["attempts"].as_u64().unwrap();
    scene.send(STRANGER, tcp(23), 10);
    assert_eq!(total(&scene), 10);
    // Killed, with packets while it is dead.
    scene.home.daemon.kill9();
    scene.send(STRANGER, tcp(23), 5);
    scene.home.daemon.start_again().unwrap();
    assert_eq!(total(&scene), 15);
    // Stopped: now there is a file.
    assert!(!scene.file().exists());
    assert!(scene.home.daemon.terminate().unwrap().success());
    assert!(scene.file().exists());
    scene.send(STRANGER, tcp(23), 1);
    scene.home.daemon.start_again().unwrap();
    assert_eq!(total(&scene), 16);
    // The run directory lost, as at a reboot: what was committed comes back. (The table was not, so it counts from its own beginning: a
    // reboot loses both.)
    assert!(scene.home.daemon.terminate().unwrap().success());
    fs::remove_file(scene.home.house.directory().join("run/ledger")).unwrap();
    let table = scene.home.house.router();
    table.nft("delete table inet lanward");
    scene.home.daemon.start_again().unwrap();
    assert_eq!(total(&scene), 16);
    // The table deleted under a running daemon.
    let news = News::subscribe(&scene.home.house.directory().join("ubus.sock"));
    scene.send(STRANGER, tcp(23), 2);
    assert_eq!(total(&scene), 18);
    table.nft("delete table inet lanward");
    assert_eq!(news.hear(&["table.restored"], 1, SOON).len(), 1);
    scene.send(STRANGER, tcp(23), 3);
    assert_eq!(total(&scene), 21);
    // A reload in between.
    scene.home.daemon.must("reload", &json!({}));
    scene.send(STRANGER, tcp(23), 1);
    assert_eq!(total(&scene), 22);
    assert_eq!(scene.ports(), [(word("tcp"), 23, 22)]);
    assert_eq!(scene.sources(&json!({})), [(word(STRANGER), 22)]);
}

#[test]
fn a_damaged_file_costs_what_is_damaged_and_a_newer_one_is_left() {
    let Some(mut scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    let day = |date: &str| json!({ "date": date, "hours": vec![7; 24], "ports": [], "sources": [] });
    let days: Vec<Value> = (1..=9).map(|n| day(&format!("2026-01-0{n}"))).collect();
    let imported = scene.home.daemon.must("ledger_import", &json!({ "days": days }));
    assert_eq!((&imported["ok"], &imported["days"]), (&json!(true), &json!(9)));
    scene.home.daemon.must("ledger_commit", &json!({}));
    assert!(scene.home.daemon.terminate().unwrap().success());
    let whole = fs::read(scene.file()).unwrap();
    let count = |scene: &Scene| scene.rows(&json!({ "to": "2026-01-31" })).len();

    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(scene.file(), &damaged).unwrap();
    scene.home.daemon.start_again().unwrap();
    // The run directory has the days that were changed last.
    assert!(count(&scene) >= 8, "{}", count(&scene));
    let problem = scene.status()["problem"].as_str().unwrap().to_string();
    assert!(
        problem.contains("damaged") && problem.contains("ledger.aside"),
        "{problem}"
    );
    assert_eq!(
        fs::read(scene.home.house.directory().join("state/ledger.aside")).unwrap(),
        damaged
    );
    assert!(
        within(SOON, || scene.file().exists()),
        "what was whole is in a file again at once"
    );

    assert!(scene.home.daemon.terminate().unwrap().success());
    let mut newer = whole.clone();
    newer[7] = 9;
    fs::write(scene.file(), &newer).unwrap();
    scene.home.daemon.start_again().unwrap();
    assert!(scene.status()["problem"].as_str().unwrap().contains("newer program"));
    assert_eq!(
        fs::read(scene.home.house.directory().join("state/ledger.aside")).unwrap(),
        newer
    );
}

#[test]
fn a_full_flash_keeps_the_old_file_and_the_days_in_memory() {
    let Some(mut scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    scene.send(STRANGER, tcp(23), 3);
    scene.home.daemon.must("ledger_commit", &json!({}));
    let before = fs::read(scene.file()).unwrap();
    // What is to be written aside cannot be: a directory is in its place.
    let aside = scene.home.house.directory().join("state/ledger.new");
    fs::create_dir(&aside).unwrap();
    scene.send(STRANGER, tcp(23), 2);
    let answer = scene.home.daemon.call("ledger_commit", &json!({})).unwrap();
    assert_eq!(answer["ok"], json!(false), "{answer}");
    assert!(scene.status()["problem"]
        .as_str()
        .unwrap()
        .contains("cannot be written"));
    assert_eq!(fs::read(scene.file()).unwrap(), before);
    assert_eq!(scene.today(), 5);
    fs::remove_dir(&aside).unwrap();
    scene.home.daemon.must("ledger_commit", &json!({}));
    assert_eq!(scene.status().get("problem"), None);
    scene.home.daemon.kill9();
    fs::remove_file(scene.home.house.directory().join("run/ledger")).unwrap();
    scene.home.house.router().nft("delete table inet lanward");
    scene.home.daemon.start_again().unwrap();
    assert_eq!(scene.today(), 5);
}

impl Scene {
    /// As after a power cut: what is not on flash is gone, and so is what the kernel had.
    fn cut_the_power(&mut self, meanwhile: impl FnOnce()) {
        self.home.daemon.kill9();
        let directory = self.home.house.directory();
        for name in ["ledger", "ledger.new"] {
            let _ = fs::remove_file(directory.join("run").join(name));
        }
        self.home.house.router().nft("delete table inet lanward");
        meanwhile();
        self.home.daemon.start_again().unwrap();
    }

    fn problem(&self) -> String {
        self.status()["problem"].as_str().unwrap_or_default().to_string()
    }

    fn commit(&self) -> Value {
        self.home.daemon.call("ledger_commit", &json!({})).unwrap()
    }
}

#[test]
fn a_power_cut_while_the_file_is_written_leaves_the_file_before() {
    let Some(mut scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    scene.send(STRANGER, tcp(23), 3);
    scene.home.daemon.must("ledger_commit", &json!({}));
    let (file, aside) = (scene.file(), scene.file().with_extension("new"));
    let next = fs::read(&file).unwrap();
    let mut wanted = 3;
    for length in [0, 1, next.len() / 2, next.len() - 1, next.len()] {
        // Written so far, and of a commit that has not come to its end.
        scene.cut_the_power(|| fs::write(&aside, &next[..length]).unwrap());
        assert_eq!(
            (scene.today(), scene.problem().as_str()),
            (wanted, ""),
            "{length} bytes"
        );
        scene.send(STRANGER, tcp(23), 2);
        wanted += 2;
        assert_eq!(scene.commit()["ok"], json!(true), "{length} bytes");
        assert!(!aside.exists(), "{length} bytes");
        scene.cut_the_power(|| {});
        assert_eq!(scene.today(), wanted, "{length} bytes");
    }
    // Somebody's link in its place is not written through.
    let victim = scene.home.house.directory().join("victim");
    fs::write(&victim, "precious").unwrap();
    scene.cut_the_power(|| std::os::unix::fs::symlink(&victim, &aside).unwrap());
    assert_eq!(scene.today(), wanted);
    scene.send(STRANGER, tcp(23), 2);
    assert_eq!(scene.commit()["ok"], json!(true));
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(fs::symlink_metadata(&aside).is_err(), "the link is gone");
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    scene.cut_the_power(|| {});
    assert_eq!(scene.today(), wanted + 2);
}

#[test]
fn a_flash_without_room_or_that_may_not_be_written_keeps_what_it_has() {
    let Some(mut scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    let flash = Flash::mount(scene.home.house.directory().join("state"), 64);
    let ports: Vec<Value> = (0..64).map(|port| json!([6, 1000 + port, 3])).collect();
    let day =
        |n: u32| json!({ "date": format!("2026-01-{n:02}"), "hours": vec![9; 24], "ports": ports, "sources": [] });
    let days: Vec<Value> = (1..=31).map(day).collect();
    scene.home.daemon.must("ledger_import", &json!({ "days": days }));
    assert_eq!(scene.commit()["ok"], json!(true));
    let mut wanted = 0;
    for (free, why) in [(0, "No space"), (4096, "No space"), (8192, "Read-only")] {
        let before = fs::read(scene.file()).unwrap();
        assert!(before.len() > 4096, "it does not fit in what is left");
        let others = flash.fill(free);
        if why == "Read-only" {
            flash.remount("ro");
        }
        scene.send(STRANGER, tcp(23), 2);
        wanted += 2;
        let answer = scene.commit();
        assert_eq!(answer["ok"], json!(false), "{free}, {why}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(why), "{answer}");
        assert!(scene.problem().contains(why), "{}", scene.problem());
        assert_eq!(fs::read(scene.file()).unwrap(), before, "{free}, {why}");
        assert!(
            !scene.file().with_extension("new").exists(),
            "it would take what room there is"
        );
        // The days go on in memory, and over a daemon that is killed.
        scene.home.daemon.kill9();
        scene.home.daemon.start_again().unwrap();
        assert_eq!(scene.today(), wanted);
        assert_eq!(scene.commit()["ok"], json!(false), "{free}, {why}");
        flash.remount("rw");
        fs::remove_file(others).unwrap();
        assert_eq!(scene.commit()["ok"], json!(true), "{free}, {why}");
        assert_eq!(scene.problem(), "");
        scene.cut_the_power(|| {});
        assert_eq!(scene.today(), wanted, "{free}, {why}");
        assert_eq!(scene.rows(&json!({ "to": "2026-01-31" })).len(), 31);
    }
}

#[test]
fn all_is_forgotten_when_that_is_asked_for() {
    let Some(mut scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    scene.send(STRANGER, tcp(23), 3);
    scene.home.daemon.must("ledger_commit", &json!({}));
    assert_eq!(scene.today(), 3);
    scene.home.daemon.must("ledger_erase", &json!({}));
    assert_eq!((scene.today(), scene.file().exists()), (0, false));
    assert_eq!(scene.rows(&json!({ "by": "source" })), Vec::<Value>::new());
    let listed = scene
        .home
        .house
        .router()
        .must("nft", &["list", "table", "inet", "lanward"], "");
    assert!(!listed.contains(STRANGER), "the kernel's sets are empty: {listed}");
    scene.home.daemon.kill9();
    scene.home.daemon.start_again().unwrap();
    assert_eq!(scene.today(), 0, "what the kernel had counted does not come back");
    scene.send(STRANGER, tcp(23), 1);
    assert_eq!(scene.rows(&json!({}))[0]["attempts"], json!(1));
}

#[test]
fn masked_sources_leave_no_address_anywhere() {
    let config = format!("{LEDGER}\toption mask_sources '1'\n");
    let Some(scene) = Scene::start(Firewall::default(), &config) else {
        return;
    };
    scene.send(STRANGER, tcp(23), 3);
    scene.send(OTHER, tcp(23), 4);
    scene.send(STRANGER6, tcp(23), 2);
    assert_eq!(
        scene.sources(&json!({})),
        [(word("198.18.0.0"), 7), (word("2001:2::"), 2)]
    );
    let imported = json!({ "date": "2026-01-01", "hours": vec![9; 24], "ports": [], "sources": [[OTHER, [[1, 9]], [[6, 22, 9]]]] });
    scene.home.daemon.must("ledger_import", &json!({ "days": [imported] }));
    let january = json!({ "to": "2026-01-31" });
    assert_eq!(scene.sources(&january)[0], (word("198.18.0.0"), 9));
    let recent = scene.home.daemon.must("ledger_recent", &json!({})).to_string();
    assert!(!recent.contains(STRANGER) && !recent.contains(STRANGER6), "{recent}");
    scene.home.daemon.must("ledger_commit", &json!({}));
    let [a, b, c, d] = [198u8, 18, 0, 7];
    let written = fs::read(scene.file()).unwrap();
    assert!(
        !written.windows(4).any(|bytes| bytes == [a, b, c, d]),
        "the address is in the file"
    );
}

#[test]
fn a_sample_of_what_was_refused_is_shown_and_nothing_that_was_accepted() {
    let Some(scene) = Scene::start(Firewall::default().with(allow(993)), LEDGER) else {
        return;
    };
    scene.send(STRANGER, tcp(3389), 2);
    scene.send(OTHER, tcp(993), 3);
    let shown = || {
        let recent = scene.home.daemon.must("ledger_recent", &json!({}));
        recent["attempts"].as_array().unwrap().clone()
    };
    assert!(within(SOON, || shown().len() >= 2), "{:?}", shown());
    for attempt in shown() {
        let Value::String(time) = &attempt["time"] else {
            panic!("{attempt}")
        };
        assert_eq!(time.len(), "2026-11-25T12:00:00".len());
        assert_eq!(
            (&attempt["address"], &attempt["protocol"], &attempt["port"]),
            (&json!(STRANGER), &json!("tcp"), &json!(3389))
        );
    }
    // A flood makes no more than fits.
    for _ in 0..20 {
        scene.send(STRANGER, udp(1900), 500);
    }
    assert!(shown().len() <= 50);
}

#[test]
fn a_flood_of_spoofed_sources_is_counted_to_the_last_and_costs_the_daemon_little() {
    const SOURCES: u32 = 100_000;
    let Some(scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    scene.send(STRANGER, udp(1900), 50);
    assert_eq!(scene.today(), 50);
    let (own, lines) = (scene.home.daemon.own_kib(), scene.home.daemon.log().lines().count());
    let began = Instant::now();
    for family in [Family::V4, Family::V6] {
        let mut flood = scene.knocker.spoofed(family, udp(5353));
        flood.send((0..SOURCES).map(|n| lanward_rig::flood::nobody(family, n).ip()));
    }
    let took = began.elapsed();
    let wanted = 50 + u64::from(2 * SOURCES);
    assert!(
        within(SOON, || scene.today() == wanted),
        "{} of {wanted}",
        scene.today()
    );
    let ports = scene.ports();
    assert_eq!(ports[0], (word("udp"), 5353, u64::from(2 * SOURCES)));
    let sources = scene.sources(&json!({}));
    assert_eq!(
        sources[0],
        (word(STRANGER), 50),
        "who was there before is not pushed out"
    );
    assert!(sources.len() <= 257);
    let others = sources.iter().find(|(address, _)| address == "other").unwrap().1;
    assert_eq!(
        sources.iter().map(|(_, attempts)| attempts).sum::<u64>(),
        wanted,
        "with {others} others"
    );
    let grown = scene.home.daemon.own_kib().saturating_sub(own);
    let told = scene.home.daemon.log().lines().count() - lines;
    figure(
        &this_test(),
        &format!(
            "ledger: {} spoofed sources in {took:.1?}: daemon grew {grown} KiB",
            2 * SOURCES
        ),
    );
    assert!(grown <= 1536, "{grown} KiB");
    assert!(told <= 2, "{}", scene.home.daemon.log());
    // Room is made for those who come later.
    scene.home.daemon.must("history", &json!({}));
    scene.home.daemon.must("history", &json!({}));
    scene.send(OTHER, tcp(23), 40);
    assert!(
        within(SOON, || scene.sources(&json!({})).contains(&(word(OTHER), 40))),
        "{:?}",
        &scene.sources(&json!({}))[..3]
    );
}

#[test]
fn a_ledger_that_is_off_counts_nothing_and_leaves_no_rule() {
    let Some(mut scene) = Scene::start(Firewall::default(), "config ledger 'ledger'\n\toption enabled '0'\n") else {
        return;
    };
    scene.send(STRANGER, tcp(23), 3);
    let status = scene.status();
    assert_eq!((&status["enabled"], &status["today"]), (&json!(false), &json!(0)));
    let listed = scene
        .home
        .house
        .router()
        .must("nft", &["list", "table", "inet", "lanward"], "");
    assert!(!listed.contains("ledger"), "{listed}");
    assert_eq!(scene.home.reload_gated(LEDGER)["applied"], json!(true));
    scene.send(STRANGER, tcp(23), 3);
    assert_eq!(scene.today(), 3);
}

#[test]
fn wrong_questions_are_answered_with_the_reason() {
    let Some(scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    for (arguments, part) in [
        (json!({ "by": "week" }), "by: 'week' is not one of day, hour"),
        (json!({ "from": "2026-02-30" }), "from: '2026-02-30'"),
        (json!({ "to": "today" }), "to: 'today'"),
        (json!({ "limit": -1 }), "limit: -1"),
        (json!({ "protocol": "tcpp" }), "protocol: 'tcpp'"),
        (json!({ "port": 65_536 }), "port: 65536"),
        (
            json!({ "address": "192.0.2.256; reboot" }),
            "address: '192.0.2.256; reboot'",
        ),
        (json!({ "by": "hour", "port": 23 }), "not kept by port"),
    ] {
        let answer = scene.home.daemon.call("history", &arguments).unwrap();
        let error = answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{arguments}: {answer}"));
        assert!(error.contains(part), "{arguments}: {error}");
    }
    for days in [
        json!([{}]),
        json!([{ "date": "2026-01-01", "hours": [1], "ports": [], "sources": [] }]),
        json!(["x"]),
    ] {
        let answer = scene
            .home
            .daemon
            .call("ledger_import", &json!({ "days": days }))
            .unwrap();
        assert_eq!(answer["ok"], json!(false), "{days}: {answer}");
    }
    assert_eq!(scene.home.daemon.call("history", &json!({ "by": 5 })), Err(2));
    assert_eq!(scene.home.daemon.call("history", &json!({ "colour": "red" })), Err(2));
}

/// The program's own command, as a user types it.
fn lanward(scene: &Scene, arguments: &[&str]) -> (String, String, i32) {
    let output = std::process::Command::new(program())
        .args(arguments)
        .arg("--ubus-socket")
        .arg(scene.home.house.directory().join("ubus.sock"))
        .env("TZ", "JST-9")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn the_seeds_figures_come_out_of_the_seeds_lines() {
    let config = format!("{LEDGER}\toption keep_days '3660'\n");
    let Some(scene) = Scene::start(Firewall::default(), &config) else {
        return;
    };
    let directory = scene.home.house.directory();
    let mut files = Vec::new();
    for year in [2019, 2020] {
        let path = directory.join(format!("{year}.log"));
        let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
        write_april(year, Forms::Mixed, &mut file).unwrap();
        std::io::Write::flush(&mut file).unwrap();
        files.push(path.display().to_string());
    }
    let import = || lanward(&scene, &["import", &files[0], &files[1], &files[1]]);
    let (said, told, status) = import();
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("the same lines were read already"), "{told}");
    let history = |arguments: &[&str]| {
        let (said, told, status) = lanward(&scene, &[&["history", "--json"], arguments].concat());
        assert_eq!((told.as_str(), status), ("", 0));
        let answer: Value = serde_json::from_str(&said).unwrap();
        answer["rows"].as_array().unwrap().clone()
    };
    let seen = || {
        let months = history(&["--by", "month", "--from", "2020-04-01", "--to", "2020-04-30"]);
        assert_eq!(months.len(), 1, "{months:?}");
        assert_eq!(
            (&months[0]["per_day_without_outliers"], &months[0]["year_on_year"]),
            (&json!(5498.4), &json!(173.2))
        );
        let outliers = history(&["--from", "2020-04-01", "--to", "2020-04-30"]);
        let outliers: Vec<&Value> = outliers.iter().filter(|row| row["outlier"] == json!(true)).collect();
        assert_eq!(outliers.len(), 1, "{outliers:?}");
        assert_eq!(outliers[0]["date"], json!("2020-04-06"));
        let day = ["--from", "2020-04-06", "--to", "2020-04-06"];
        let ports = history(&[&["--by", "port"], &day[..]].concat());
        assert_eq!(
            ports[0],
            json!({ "date": "2020-04-06", "protocol": "udp", "port": 1900, "attempts": 92_890 })
        );
        let sources = history(&[&["--by", "source"], &day[..]].concat());
        let largest = sources[0]["attempts"].as_u64().unwrap();
        assert!((69_000..=71_000).contains(&largest), "{}", sources[0]);
        let address = sources[0]["address"].as_str().unwrap();
        let hours = history(&[&["--by", "hour", "--address", address], &day[..]].concat());
        for hour in ["2020-04-06T13", "2020-04-06T16"] {
            let row = hours.iter().find(|row| row["time"] == json!(hour)).unwrap();
            assert!((29_000..=31_000).contains(&row["attempts"].as_u64().unwrap()), "{row}");
        }
        history(&["--by", "day"])
    };
    let first = seen();
    // Once more, and packed: nothing changes.
    let packed = std::process::Command::new("gzip")
        .args(["--keep", &files[1]])
        .status()
        .unwrap();
    assert!(packed.success());
    assert_eq!(import().0, said);
    assert_eq!(lanward(&scene, &["import", &format!("{}.gz", files[1])]).2, 0);
    assert_eq!(seen(), first);
    // Another router's ledger, and this one's own.
    scene.home.daemon.must("ledger_commit", &json!({}));
    let (_, told, status) = lanward(&scene, &["import", &scene.file().display().to_string()]);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("a ledger of 60 days"), "{told}");
    assert_eq!(seen(), first);
    let csv = lanward(
        &scene,
        &[
            "history",
            "--by",
            "day",
            "--csv",
            "--from",
            "2020-04-05",
            "--to",
            "2020-04-06",
        ],
    )
    .0;
    assert!(csv.starts_with("date,attempts,outlier,why\n2020-04-05,"), "{csv}");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    // All hours are more than one answer has.
    let hours = history(&["--by", "hour"]);
    assert_eq!(
        hours.len(),
        60 * 24 - hours.iter().rev().take_while(|row| row["attempts"] == json!(0)).count()
    );
    let missing = lanward(&scene, &["import", "/nonexistent.log"]);
    assert_eq!(missing.2, 1);
    assert!(missing.1.contains("/nonexistent.log"), "{}", missing.1);
}

/// As a new user, with one wrong and one hostile value for each word of the command line.
#[test]
fn the_command_line_takes_no_nonsense() {
    let Some(scene) = Scene::start(Firewall::default(), LEDGER) else {
        return;
    };
    scene.send(STRANGER, tcp(23), 4);
    let nowhere = scene.home.house.directory().join("nowhere").display().to_string();
    let folder = scene.home.house.directory().display().to_string();
    for (words, wanted) in [
        ("history --limit 0", (0, "")),
        ("history --limit 4294967295", (0, "")),
        ("history --limit -1", (2, "limit")),
        ("history --limit 99999999999999999999", (2, "limit")),
        ("history --from 2026-12-01 --to 2026-11-01 --csv", (0, "")),
        ("history --from 1969-12-31", (2, "from")),
        ("history --by ../../etc", (2, "by: '../../etc'")),
        ("history --port 70000", (2, "port: 70000")),
        ("history --protocol 256", (2, "protocol: '256'")),
        ("history --address $(reboot)", (2, "address: '$(reboot)'")),
        ("history --json --csv", (2, "--csv")),
        ("history --erase --by day", (2, "--by")),
        ("history --erase yes", (2, "yes")),
        ("import", (2, "import")),
        ("import /dev/null", (0, "0 lines")),
        (&format!("import {nowhere}"), (1, "No such file")),
        (&format!("import {folder}"), (1, "a directory")),
        ("import --limit 3 /dev/null", (2, "limit")),
    ] {
        let arguments: Vec<&str> = words.split(' ').collect();
        let (out, said, status) = lanward(&scene, &arguments);
        assert_eq!(
            (status, said.contains(wanted.1)),
            (wanted.0, true),
            "{words}: {out}{said}"
        );
    }
    let lines = |arguments: &[&str]| lanward(&scene, arguments).0.lines().count();
    assert_eq!(lines(&["history", "--limit", "0", "--csv"]), 1);
    assert_eq!(lines(&["history", "--limit", "4294967295", "--csv"]), 2);
    assert_eq!(scene.today(), 4, "nothing was erased");
}
