//! A knock and an authenticated packet before SSH, by the clients that others made for them.

use crate::gate::{entries, ssh, word, Door, Seen};
use crate::Demo;
use lanward_rig::daemon;
use lanward_rig::home::Home;
use lanward_rig::house::{Family, Host};
use lanward_rig::knock::run_stock;
use lanward_rig::probe::within;
use lanward_rig::servers::{Keys, Login};
use serde_json::{json, Value};
use std::net::SocketAddr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const KNOCK: &str = "7000 8000:udp 9000";
const SPA_PORT: u16 = 62201;

fn config(key_file: &str) -> String {
    format!(
        "config gate 'ssh'
	option enabled '1'
	list service 'tcp:22'
	option forget 'never'

config knock 'door'
	option gate 'ssh'
	list open 'tcp:7000'
	list open 'udp:8000'
	list open 'tcp:9000'
	list close 'tcp:9000'
	list close 'tcp:7000'

config spa 'laptop'
	option gate 'ssh'
	option key_file '{key_file}'
"
    )
}

impl Demo {
    pub fn proofs(&mut self, keys: &Keys) {
        let key_file = self.home.house.directory().join("state/laptop.key");
        let key_file = key_file.to_string_lossy().into_owned();
        self.home.reload_gated(&config(&key_file));
        self.knock(keys);
        self.authenticated(keys, &key_file);
    }

    fn knock(&mut self, keys: &Keys) {
        self.seen
            .heading("Without mail: `knock ROUTER 7000 8000:udp 9000`, Debian's client");
        self.turned_away("straight SSH is refused", keys);
        self.each(
            "with a wrong port in between the knock opens nothing",
            |home, family| {
                self::knock(home, family, "7000 7001 8000:udp 9000");
                shut(home, keys, family)
            },
        );
        self.each("in another order the knock opens nothing", |home, family| {
            self::knock(home, family, "8000:udp 7000 9000");
            shut(home, keys, family)
        });
        self.each("knocked", |home, family| {
            self::knock(home, family, KNOCK);
            is_listed(home, family, "knock")
        });
        self.let_in("SSH is admitted", keys);
        self.each("knocked to close", |home, family| {
            self::knock(home, family, "9000 7000");
            let gone = soon(|| !is_listed(home, family, "knock").0);
            (gone, if gone { "off the list" } else { "still listed" }.to_owned())
        });
        self.turned_away("SSH is refused again", keys);
        let log = self.home.daemon.log();
        let told = ["Stage 1", "Stage 2", "Stage 3", "OPEN SESAME"];
        let door: Vec<&str> = log
            .lines()
            .filter_map(|line| line.split_once("door: ").map(|(_, rest)| rest))
            .collect();
        let held = told.iter().all(|word| door.iter().any(|line| line.ends_with(word)));
        let last = door.iter().find(|line| line.ends_with("OPEN SESAME"));
        self.seen.line(
            held,
            "the log has knockd's words",
            &format!("door: {}", last.unwrap_or(&"nothing")),
        );
    }

    fn authenticated(&mut self, keys: &Keys, key_file: &str) {
        self.seen
            .heading("One authenticated packet: a key made over the bus, `fwknop` (Debian's) and `lanward spa`");
        let router = self.home.house.router_address("wan", Family::V4).to_string();
        let made = self.home.daemon.must(
            "spa_keygen",
            &json!({ "name": "laptop", "host": router, "access": "tcp/22" }),
        );
        let stanza = made["stanza"].as_str().unwrap_or_default().to_owned();
        let rows = made["qr"].as_array().map_or(0, Vec::len);
        let seen = format!(
            "{} lines for ~/.fwknoprc, a QR code of {rows} rows",
            stanza.lines().count()
        );
        self.seen.line(
            made["ok"] == true && rows > 20,
            "a key is made, and shown this once",
            &seen,
        );
        let rc_file = self.home.house.directory().join("fwknoprc");
        let written = std::fs::write(&rc_file, &stanza);
        self.seen
            .line(written.is_ok(), "the laptop gets it", &rc_file.display());
        self.turned_away("straight SSH is refused", keys);
        let packet = self.home.house.directory().join("packet");
        let words = [
            "-n",
            "laptop",
            "-s",
            "--rc-file",
            &rc_file.to_string_lossy(),
            "--no-save-args",
            "--save-packet",
            &packet.to_string_lossy(),
        ]
        .map(ToOwned::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let sent = self.home.house.host("internet").namespace.output("fwknop", &words, "");
        let sent = sent.is_ok_and(|output| output.status.success());
        let (listed, seen) = is_listed(&self.home, Family::V4, "spa");
        self.seen
            .line(sent && listed, "fwknop's packet lists its source", &seen);
        let login = ssh(&self.home, keys, &client(&self.home), Door::Router, Family::V4);
        self.seen.line(login.is_in(), "SSH is admitted", &word(&login));
        let sent = self.spa(Family::V6, key_file);
        let (listed, seen) = is_listed(&self.home, Family::V6, "spa");
        self.seen.line(
            sent.0 && listed,
            "over IPv6, by lanward spa",
            &format!("{seen} {}", sent.1),
        );
        self.home.daemon.must("gate_flush", &json!({ "gate": "ssh" }));
        // What an eavesdropper has.
        let bytes = std::fs::read(&packet).unwrap_or_default();
        let text = bytes.trim_ascii();
        let to = SocketAddr::new(self.home.house.router_address("wan", Family::V4), SPA_PORT);
        let thief = &self.home.house.host("internet2").namespace;
        let thrown = thief.run(|| std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(text, to)));
        let refused = self.home.daemon.logs("a replay", Duration::from_secs(3));
        let nobody = entries(&self.home).is_empty();
        let seen = if nobody {
            "refused, nobody listed"
        } else {
            "SOMEBODY LISTED"
        };
        self.seen.line(
            thrown.is_ok() && refused && nobody,
            "the same packet, recorded and sent again by another",
            &seen,
        );
        self.refused("SSH is refused", keys, "internet2", Door::Router);
        let revoked = self.home.daemon.must("spa_revoke", &json!({ "name": "laptop" }));
        let again = self.home.house.host("internet").namespace.output("fwknop", &words, "");
        std::thread::sleep(Duration::from_millis(300));
        let held = revoked["ok"] == true && again.is_ok() && entries(&self.home).is_empty();
        self.seen.line(
            held,
            "a lost laptop's key is revoked at once",
            &"its packets list nobody",
        );
    }

    fn turned_away(&mut self, promise: &str, keys: &Keys) {
        self.each(promise, |home, family| {
            let login = ssh(home, keys, &client(home), Door::Router, family);
            (login == Login::Refused, word(&login))
        });
    }

    fn let_in(&mut self, promise: &str, keys: &Keys) {
        self.each(promise, |home, family| {
            let login = ssh(home, keys, &client(home), Door::Router, family);
            (login.is_in(), word(&login))
        });
    }

    fn spa(&self, family: Family, key_file: &str) -> Seen {
        let router = self.home.house.router_address("wan", family).to_string();
        let program = daemon::program();
        let words = [
            "spa",
            &router,
            "--access",
            "tcp/22",
            "--key-file",
            key_file,
            "--address",
            "source",
        ];
        let program = program.to_string_lossy();
        match self.home.house.host("internet").namespace.output(&program, &words, "") {
            Ok(output) => (
                output.status.success(),
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ),
            Err(error) => (false, error.to_string()),
        }
    }
}

/// Whose address the system chooses, as the stock clients leave it to.
fn client(home: &Home) -> Host {
    Host {
        v4: Ipv4Addr::UNSPECIFIED,
        v6: Ipv6Addr::UNSPECIFIED,
        ..home.house.host("internet").clone()
    }
}

fn knock(home: &Home, family: Family, sequence: &str) {
    let router = home.house.router_address("wan", family);
    run_stock(&home.house.host("internet").namespace, &[], router, sequence);
}

fn shut(home: &Home, keys: &Keys, family: Family) -> Seen {
    let login = ssh(home, keys, &client(home), Door::Router, family);
    let nobody = entries(home).is_empty();
    let list = if nobody { "nobody listed" } else { "SOMEBODY LISTED" };
    (
        nobody && login == Login::Refused,
        format!("{list}, SSH {}", word(&login)),
    )
}

fn is_listed(home: &Home, family: Family, why: &str) -> Seen {
    let entry = || {
        let is_wanted = |entry: &Value| {
            let address = entry["address"].as_str().unwrap_or_default();
            address.contains(':') == (family == Family::V6)
                && entry["why"].as_array().is_some_and(|all| all.contains(&json!(why)))
        };
        entries(home).into_iter().find(is_wanted)
    };
    soon(|| entry().is_some());
    match entry() {
        Some(entry) => {
            let address = entry["address"].as_str().unwrap_or_default();
            (true, format!("{address} is listed for {} s", entry["expires"]))
        }
        None => (false, "nobody is listed".to_owned()),
    }
}

fn soon(held: impl Fn() -> bool) -> bool {
    within(Duration::from_secs(2), held)
}
