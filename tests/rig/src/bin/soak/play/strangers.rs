//! What comes from outside: witnesses, knocks, authenticated packets, and strangers with made-up addresses.

use super::{arrived, Act, Play};
use crate::judge;
use crate::scene::{call, IMAPS, PATIENCE, SECONDS, SEQUENCE, SPA_PORT, SSH};
use lanward::config::Protocol;
use lanward::spa::{seal, Digest, Request};
use lanward_rig::flood::nobody;
use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::knock::{tcp, udp, Knocker, Step};
use lanward_rig::probe::within;
use lanward_rig::segments::datagram;
use nix::sys::socket::{
    bind, connect, setsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrStorage,
};
use nix::sys::time::TimeVal;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Strangers whose addresses are made up: so many, so that what is remembered of them has an end.
const STRANGERS: usize = 3000;

pub const ACTS: &[Act] = &[
    Act(12, Play::is_connected, Play::witness),
    Act(8, Play::is_connected, Play::knock),
    Act(5, Play::is_connected, Play::wrong_knock),
    Act(8, |play| play.is_connected() && play.answers(), Play::spa),
    Act(4, Play::has_packet, |play| play.bad_packet(false)),
    Act(4, Play::has_packet, |play| play.bad_packet(true)),
    Act(8, Play::is_connected, Play::syns),
    Act(
        8,
        |play| play.is_connected() && play.answers() && play.scene.has_fw4,
        Play::datagrams,
    ),
];

impl Play {
    fn has_packet(&self) -> bool {
        self.is_connected() && self.is_up() && self.packet.is_some()
    }

    fn knock(&mut self) {
        let who = self.someone();
        self.book.did("knock", &who.to_string());
        Knocker::new(&self.scene.house).knock(who, &SEQUENCE);
        arrived();
        self.model.proved(who, SECONDS);
        self.visit(who);
    }

    fn wrong_knock(&mut self) {
        let who = self.someone();
        let wrong: [&[Step]; 3] = [
            &[tcp(8000), tcp(7000), udp(9000)],
            &[tcp(7000), tcp(8000), tcp(1234), udp(9000)],
            &[tcp(7000), tcp(8000), tcp(9000)],
        ];
        let wrong = self.one_of(&wrong);
        let words: Vec<String> = wrong.iter().map(Step::to_string).collect();
        self.book.did("knock, wrong", &format!("{who}: {}", words.join(" ")));
        let knocker = Knocker::new(&self.scene.house);
        knocker.knock(who, wrong);
        // And a wrong one, so that no later knock goes on with this one.
        knocker.knock(who, &[tcp(1234)]);
        arrived();
        self.visit(who);
    }

    fn witness(&mut self) {
        let who = self.someone();
        self.book.did("witness", &who.to_string());
        let family = if who.is_ipv4() { Family::V4 } else { Family::V6 };
        let to = SocketAddr::new(self.scene.house.router_address("wan", family), IMAPS);
        let internet = &self.scene.house.host("internet").namespace;
        let talked = internet.run(|| talk(who, to));
        self.check("the witness is reached", talked.is_ok(), || {
            format!("{who}: {talked:?}")
        });
        std::thread::sleep(Duration::from_millis(50));
        match talked {
            Ok(()) => self.model.proved(who, self.model.settings.window),
            Err(_) => self.model.perhaps(who, self.model.settings.window + 60),
        }
        self.visit(who);
    }

    fn spa(&mut self) {
        let who = self.someone();
        self.book.did("SPA packet", &who.to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let request = Request {
            address: None,
            ports: vec![(Protocol::Tcp, SSH)],
            seconds: None,
            sent: now.as_secs(),
            user: "soak".to_owned(),
        };
        let mut random = [0; 16];
        random[..8].copy_from_slice(
            &u64::try_from(now.as_nanos() & u128::from(u64::MAX))
                .unwrap_or(0)
                .to_be_bytes(),
        );
        random[8..].copy_from_slice(&self.book.step.to_be_bytes());
        let packet = seal(&request, &self.scene.keys, Digest::Sha256, &random).expect("it can be written");
        let before = self.model.is_listed(who);
        self.throw(who, packet.as_bytes());
        if self.scene.is_full || self.scene.clock != 0 {
            std::thread::sleep(Duration::from_millis(300));
            return self.model.perhaps(who, SECONDS);
        }
        let began = Instant::now();
        let socket = self.scene.socket();
        let is_listed = || {
            let reply = call(&socket, "gate_list", &json!({ "gate": "ssh" }), PATIENCE).unwrap_or_default();
            let entries = reply["entries"].as_array().cloned().unwrap_or_default();
            let why = json!("spa");
            entries.iter().any(|entry| {
                entry["address"] == json!(who.to_string())
                    && entry["why"].as_array().is_some_and(|all| all.contains(&why))
            })
        };
        let listed = within(PATIENCE, is_listed);
        self.book.took("SPA packet, until it lists", began.elapsed());
        self.check("an SPA packet lists its sender", listed, || {
            format!("{who}, listed before: {before:?}")
        });
        if listed {
            self.model.proved(who, SECONDS);
            self.packet = Some(packet.into_bytes());
        } else {
            self.model.perhaps(who, SECONDS);
        }
        self.visit(who);
    }

    /// A packet that must list nobody: one that was here before, or one that somebody has changed.
    fn bad_packet(&mut self, is_forged: bool) {
        let who = self.someone();
        self.book.did(
            if is_forged {
                "SPA packet, forged"
            } else {
                "SPA packet, replayed"
            },
            &who.to_string(),
        );
        let Some(mut packet) = self.packet.clone() else { return };
        if is_forged {
            let at = self.dice.below(packet.len());
            packet[at] = if packet[at] == b'A' { b'B' } else { b'A' };
        }
        self.throw(who, &packet);
        std::thread::sleep(Duration::from_millis(200));
        judge::gate(&self.scene, &mut self.model, &mut self.book, who);
    }

    fn throw(&self, from: IpAddr, packet: &[u8]) {
        let knocker = Knocker::new(&self.scene.house);
        let to = SocketAddr::new(knocker.target(from), SPA_PORT);
        knocker.send(&[knocker.enclose(&datagram(SocketAddr::new(from, 40_000), to, packet))]);
    }

    fn strangers(&mut self, family: Family, count: usize) -> Vec<IpAddr> {
        let stranger = |_| nobody(family, u32::try_from(self.dice.below(STRANGERS)).expect("few")).ip();
        (0..count).map(stranger).collect()
    }

    fn syns(&mut self) {
        let family = self.one_of(&FAMILIES);
        let (port, count) = self.one_of(&[(SSH, 600), (7000, 100), (23, 600), (IMAPS, 100), (3389, 600)]);
        self.book
            .did("spoofed SYNs", &format!("{family} {count} to port {port}"));
        let strangers = self.strangers(family, count);
        Knocker::new(&self.scene.house)
            .spoofed(family, tcp(port))
            .send(strangers.into_iter());
        arrived();
    }

    fn datagrams(&mut self) {
        const COUNT: usize = 100;
        let family = self.one_of(&FAMILIES);
        let port = self.one_of(&[1900, 5353, 137, 12_345, 33_333, 50_000, 65_000]);
        self.book
            .did("spoofed UDP", &format!("{family} {COUNT} to port {port}"));
        let Some(before) = self.count_attempts() else { return };
        let strangers = self.strangers(family, COUNT);
        Knocker::new(&self.scene.house)
            .spoofed(family, udp(port))
            .send(strangers.into_iter());
        arrived();
        let Some(after) = self.count_attempts() else { return };
        let known = self.attempts;
        self.book.note(&format!("attempts: {before}, then {after}"));
        self.check("the ledger forgets no attempt", before >= known, || {
            format!("{before} attempts, and {known} before")
        });
        let sent = u64::try_from(COUNT).expect("few");
        self.check("the ledger counts each attempt", after >= before + sent, || {
            format!("{before} before, {after} after {sent}")
        });
        self.attempts = after;
    }

    fn count_attempts(&mut self) -> Option<u64> {
        let reply = self.ask("history", &json!({ "by": "day" }))?;
        let rows = reply["rows"].as_array()?;
        Some(rows.iter().filter_map(|row| row["attempts"].as_u64()).sum())
    }
}

/// A mail program's connection from this address, whole: said, answered, closed by both.
fn talk(from: IpAddr, to: SocketAddr) -> std::io::Result<()> {
    let family = if from.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(10, 0))?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(10, 0))?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    connect(fd.as_raw_fd(), &SockaddrStorage::from(to))?;
    let mut stream = TcpStream::from(fd);
    stream.write_all(b"a1 NOOP\r\n")?;
    let mut heard = [0; 256];
    let mut length = 0;
    // A greeting, and what was said.
    while !heard[..length].ends_with(b"NOOP\r\n") {
        match stream.read(&mut heard[length..])? {
            0 => return Err(std::io::Error::other("closed early")),
            more => length += more,
        }
    }
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut heard)? > 0 {}
    Ok(())
}
