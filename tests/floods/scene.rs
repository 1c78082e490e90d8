//! A router with every system on, somebody who is listed and has a session, somebody who is not, and floods of each kind.

use crate::page::measured;
use lanward::config::Protocol;
use lanward::spa::{seal, Digest, Keys, Request};
use lanward_rig::bench::Spread;
use lanward_rig::flood::nobody;
use lanward_rig::home::{switched_off, Home, Switch};
use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::knock::{tcp, udp, Knocker, Spoofed, Step};
use lanward_rig::probe::{now, within, Connection};
use lanward_rig::report_line::this_test;
use lanward_rig::sections;
use lanward_rig::segments::flag;
use lanward_rig::session::Session;
use lanward_rig::settings::Firewall;
use lanward_rig::tcp::connect;
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const SSH: u16 = 22;
pub const IMAPS: u16 = 993;
const SPA: u16 = 62201;
/// In no sequence and no service.
const UNUSED: u16 = 6000;
/// In the range of `lan_only`.
pub const REMOTE: u16 = 50000;
/// Long enough for a packet that the flood has crowded out to be sent again.
pub const PATIENCE: Duration = Duration::from_secs(8);
/// How long the daemon may take for what it does beside the packets' way.
pub const SOON: Duration = Duration::from_secs(10);
/// Seconds for a knock.
const TIMEOUT: u64 = 5;
const SEQUENCE: [Step; 3] = [tcp(7000), udp(8000), tcp(9000)];
/// How soon after a flood a knock opens: places become free as the stages' time ends.
pub const OPENS: Duration = Duration::from_secs(TIMEOUT + 3);
/// Sources that send one kind of packet before others send the next.
const BLOCK: u32 = 1000;
/// How often everything is asked for during a flood, at least.
pub const ROUNDS: usize = 5;

/// Milliseconds until the last packet has passed, and until the switch returns, half of the time: on a busy machine, and with conntrack full.
pub const SWITCHED: f64 = 50.0;
pub const RETURNED: f64 = 1500.0;
/// What a processor may work for the daemon while nobody asks it for anything; for authenticated packets each of 50 a second is checked, here by a program that is not optimised.
pub const PERCENT: u32 = 2;
pub const SPA_PERCENT: u32 = 5;
/// The ledger's counters are read once a minute, and conntrack is after a listed source's sessions have closed: either may be just then.
const READING: Duration = Duration::from_millis(200);
/// Lines of log a minute: 120 of attempts, 120 of who comes and goes, and some.
pub const LINES: usize = 260;

/// Which port is flooded, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Guarded,
    Witness,
    Knock,
    Spa,
    Unused,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Guarded, Self::Unused, Self::Knock, Self::Spa, Self::Witness];

    pub fn words(self) -> &'static str {
        match self {
            Self::Guarded => "guarded port: SYN, some ACK, FIN, RST",
            Self::Witness => "witness: SYN",
            Self::Knock => "knock (TCP, UDP, TCP): the first step, half of them the second too",
            Self::Spa => "SPA port: empty, short and long garbage; base64 with a wrong HMAC; a replay",
            Self::Unused => "unused port: SYN, UDP",
        }
    }
}

/// A session of somebody's who has been let in.
struct Held {
    client: TcpStream,
    server: TcpStream,
}

impl Held {
    fn goes_on(&mut self) -> bool {
        let mut byte = [0];
        let there = self
            .client
            .write_all(b"?")
            .and_then(|()| self.server.read_exact(&mut byte));
        let back = there.and_then(|()| self.server.write_all(b"!"));
        back.and_then(|()| self.client.read_exact(&mut byte)).is_ok()
    }
}

/// Asked for again and again, in milliseconds.
#[derive(Debug, Default)]
pub struct Asked {
    /// A connection of the listed source.
    pub connected: Vec<f64>,
    /// From the call until the last packet that still went out.
    pub switched: Vec<f64>,
    /// From the call until it returned.
    pub returned: Vec<f64>,
    pub status: Vec<f64>,
}

impl Asked {
    /// For the page.
    pub fn cells(&self) -> Vec<String> {
        let Self {
            connected,
            switched,
            returned,
            status,
        } = self;
        let spreads = [connected, switched, returned, status].into_iter();
        spreads
            .map(|values| measured(&Spread::of(values.clone()).to_string()))
            .collect()
    }

    /// # Panics
    /// If the switch was slower than it may be.
    pub fn judge(&self) {
        let [switched, returned] = [&self.switched, &self.returned].map(|values| Spread::of(values.clone()));
        assert!(switched.median() <= SWITCHED, "until the last packet: {switched} ms");
        assert!(returned.median() <= RETURNED, "until it returned: {returned} ms");
    }
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What a flood was, and what it cost.
pub struct Cost {
    sent: u64,
    took: Duration,
    /// How long nobody asked the daemon for anything, and how long a processor worked for it then.
    quiet: Duration,
    spent: Duration,
    lines: usize,
    /// Entries in conntrack at the end.
    tracked: u64,
    asked: Asked,
}

impl Cost {
    /// For the page.
    pub fn cells(&self) -> Vec<String> {
        #[allow(clippy::cast_precision_loss)]
        let rate = self.sent as f64 / self.took.as_secs_f64();
        let numbers = [
            format!("{:.0}", rate / 1e3),
            format!("{:.2} %", self.spent.as_secs_f64() / self.quiet.as_secs_f64() * 1e2),
            self.lines.to_string(),
            self.tracked.to_string(),
        ];
        let mut cells = self.asked.cells();
        cells.extend(numbers.iter().map(|number| measured(number)));
        cells
    }

    /// # Panics
    /// If it cost more than it may.
    pub fn judge(&self, kind: Kind) {
        self.asked.judge();
        let percent = if kind == Kind::Spa { SPA_PERCENT } else { PERCENT };
        let allowed = self.quiet * percent / 100 + READING;
        assert!(self.spent <= allowed, "{kind:?}: {:?} of {:?}", self.spent, self.quiet);
        let minutes = usize::try_from(self.took.as_secs() / 60).expect("few") + 2;
        assert!(self.lines <= LINES * minutes, "{kind:?}: {} lines", self.lines);
    }
}

pub struct Scene {
    pub home: Home,
    pub knocker: Knocker,
    /// SSH over IPv4 and IPv6, then the witness.
    doors: Vec<TcpListener>,
    keys: Keys,
    held: Vec<Held>,
    /// How often a full table was filled up.
    pub filled_up: AtomicU32,
}

impl Scene {
    /// Both friends are listed and have a session.
    pub fn start() -> Option<Self> {
        let witness = json!({
            "type": "rule", "name": "Allow-IMAPS", "src": "wan", "proto": "tcp", "dest_port": IMAPS.to_string(), "target": "ACCEPT",
        });
        let firewall = Firewall::default().with(witness);
        let mut home = Home::start_gated(&this_test(), House::plan(), firewall, "config lanward 'lanward'\n")?;
        let key = home.house.directory().join("state/laptop.key");
        let keys = Keys::from_random(&[7; 96].map(scatter()));
        fs::write(&key, keys.file().as_bytes()).expect("our own");
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("our own");
        let config = [
            switched_off(""),
            sections::gate(&format!(
                "list service 'tcp:{SSH}'\noption forget 'last_close'\noption window '600'"
            )),
            sections::witness(&format!("option port '{IMAPS}'")),
            sections::knock(&SEQUENCE, &format!("option timeout '{TIMEOUT}'")),
            sections::spa(&key, &format!("option port '{SPA}'")),
            sections::ledger(),
        ];
        let reply = home.reload_gated(&config.concat());
        assert_eq!(reply["applied"], json!(true), "{reply}");
        let router = home.house.router();
        let doors = [SSH, IMAPS]
            .into_iter()
            .flat_map(|port| FAMILIES.map(|family| (family, port)));
        let doors = doors.map(|(family, port)| {
            let door = router.tcp_listener(SocketAddr::new(home.house.router_address("wan", family), port));
            door.set_nonblocking(true).expect("a socket of our own");
            door
        });
        let mut scene = Self {
            doors: doors.collect(),
            knocker: Knocker::new(&home.house),
            keys,
            held: Vec::new(),
            filled_up: AtomicU32::new(0),
            home,
        };
        for family in FAMILIES {
            let friend = scene.friend(family);
            assert_eq!(scene.connect(friend, IMAPS, PATIENCE), Connection::Accepted);
            assert!(scene.home.daemon.logs(&format!("gate ssh: {friend} admitted"), SOON));
            scene.hold(family);
        }
        Some(scene)
    }

    fn hold(&mut self, family: Family) {
        let target = SocketAddr::new(self.home.house.router_address("wan", family), SSH);
        let internet = &self.home.house.host("internet").namespace;
        let client = internet.run(|| TcpStream::connect(target)).expect("he is listed");
        let door = &self.doors[usize::from(family == Family::V6)];
        let mut server = None;
        assert!(within(SOON, || {
            server = door.accept().ok();
            server.is_some()
        }));
        let (server, from) = server.expect("it was accepted");
        assert_eq!(from.ip(), self.friend(family));
        server.set_nonblocking(false).expect("a socket of our own");
        for end in [&client, &server] {
            end.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        }
        self.held.push(Held { client, server });
    }

    /// The address that the internet's host calls from by itself: the neighbour's on the WAN.
    pub fn friend(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::from([198, 51, 100, 1]),
            Family::V6 => "2001:db8:1::1".parse().expect("an address"),
        }
    }

    pub fn stranger(&self, family: Family) -> IpAddr {
        self.home.house.host("internet2").address(family)
    }

    fn newcomer(&self, family: Family) -> IpAddr {
        self.home.house.host("internet").address(family)
    }

    pub fn connect(&self, source: IpAddr, port: u16, patience: Duration) -> Connection {
        let internet = &self.home.house.host("internet").namespace;
        let target = SocketAddr::new(self.knocker.target(source), port);
        let met = internet.run(|| connect(SocketAddr::new(source, 0), target, patience));
        met.unwrap_or_else(|error| panic!("{source} to {target}: {error}"))
    }

    /// Nobody waits at a door, and nobody has come to the guarded one who is not a friend.
    pub fn look_at_the_doors(&self) {
        let friends: BTreeSet<IpAddr> = FAMILIES.map(|family| self.friend(family)).into();
        for (index, door) in self.doors.iter().enumerate() {
            while let Ok((_, from)) = door.accept() {
                assert!(index >= FAMILIES.len() || friends.contains(&from.ip()), "{from} got in");
            }
        }
    }

    pub fn hold_on(&mut self) {
        for (held, family) in self.held.iter_mut().zip(FAMILIES) {
            assert!(held.goes_on(), "{family}: the session of who was let in");
        }
    }

    fn gate(&self, name: &str) -> u64 {
        let status = self.home.daemon.must("status", &json!({}));
        status["gates"][0][name].as_u64().expect("a number")
    }

    pub fn listed(&self) -> BTreeSet<IpAddr> {
        let reply = self.home.daemon.must("gate_list", &json!({ "gate": "ssh" }));
        let entries = reply["entries"].as_array().expect("a list").iter();
        let address = |entry: &Value| {
            entry["address"]
                .as_str()
                .and_then(|text| text.parse().ok())
                .expect("an address")
        };
        entries.map(address).collect()
    }

    pub fn tracked(&self) -> u64 {
        let count = self.home.house.router().must("conntrack", &["-C"], "");
        count.trim().parse().expect("a number")
    }

    /// Everything in the directory that is flash on a router: what it is and when it was written.
    fn flash(&self) -> BTreeSet<(String, u64, u64, i64, i64)> {
        let directory = fs::read_dir(self.home.house.directory().join("state")).expect("it is there");
        let file = |entry: fs::DirEntry| {
            let data = entry.metadata().expect("it stays");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, data.ino(), data.len(), data.mtime(), data.mtime_nsec())
        };
        directory.flatten().map(file).collect()
    }

    /// A live flow of the LAN's in the range.
    pub fn live(&self) -> Session {
        self.home.house.way_out(Family::V4).udp_session(REMOTE)
    }

    /// Asks for everything once: the friend gets in, the stranger does not, the switch switches, the daemon says how it is.
    pub fn ask(&mut self, family: Family, live: &Session, asked: &mut Asked) {
        let began = Instant::now();
        let met = self.connect(self.friend(family), SSH, PATIENCE);
        assert_eq!(met, Connection::Accepted, "{family}: the listed source");
        asked.connected.push(milliseconds(began.elapsed()));
        let met = self.connect(self.stranger(family), SSH, Duration::from_millis(200));
        assert_ne!(met, Connection::Accepted, "{family}: the unlisted one");
        self.look_at_the_doors();
        self.hold_on();
        let began = Instant::now();
        self.home.daemon.must("status", &json!({}));
        asked.status.push(milliseconds(began.elapsed()));
        self.turn(live, asked);
    }

    /// On, until no packet goes out any more, and off again.
    pub fn turn(&self, live: &Session, asked: &mut Asked) {
        let (began, called) = (Instant::now(), now());
        self.home.switch(Switch::On);
        asked.returned.push(milliseconds(began.elapsed()));
        let after = live.stopped_after(called).expect("the switch stops it");
        asked.switched.push(after.max(0.0));
        self.home.switch(Switch::Off);
        assert!(within(SOON, || live.goes_on()), "switched off: {:?}", live.tally());
    }

    /// Without any flood.
    pub fn in_peace(&mut self, rounds: usize) -> Asked {
        let live = self.live();
        let mut asked = Asked::default();
        for round in 0..rounds {
            self.ask(FAMILIES[round % 2], &live, &mut asked);
        }
        asked
    }

    /// Floods with at least so many sources, half of them before anybody asks for anything, and for as long as it takes to ask often enough.
    pub fn flood(&mut self, kind: Kind, family: Family, sources: u32) -> Cost {
        let live = self.live();
        let replay = self.proven(family);
        let knocker = Knocker::new(&self.home.house);
        let mut frames = self.frames(&knocker, kind, family, &replay);
        let (lines, flash, friends) = (self.lines(), self.flash(), self.listed());
        let (refused, seen, overflow) = (self.gate("refused"), self.seen(), self.gate("overflow"));
        let mut asked = Asked::default();
        let (mut quiet, mut spent) = (Duration::ZERO, Duration::ZERO);
        let took = beside(&mut frames, sources, |halfway, is_over| {
            let (began, before) = (Instant::now(), self.home.daemon.processor_time());
            while !halfway() {
                std::thread::sleep(Duration::from_millis(5));
            }
            (quiet, spent) = (
                began.elapsed(),
                self.home.daemon.processor_time().saturating_sub(before),
            );
            let mut rounds = 0;
            while rounds < ROUNDS || !is_over() {
                self.ask(family, &live, &mut asked);
                rounds += 1;
            }
        });
        let (sent, tracked) = (frames.sent, self.tracked());
        let which = format!("{kind:?} {family}");
        assert_eq!(self.listed(), friends, "{which}");
        assert_eq!(self.flash(), flash, "{which}: nothing is written");
        let counted = self.seen() - seen;
        assert!(counted >= sent / 2, "{which}: {counted} of {sent} counted");
        if kind == Kind::Guarded {
            let refused = self.gate("refused") - refused;
            assert!(refused >= sent / 2, "{which}: {refused} of {sent} refused");
        }
        if kind == Kind::Knock {
            let overflow = self.gate("overflow") - overflow;
            assert!(overflow > 0, "{which}: there is no more room in a set than its size");
        }
        for (name, elements, size) in self.home.house.router().nft_sets("lanward", "") {
            assert!(
                size == 0 || elements as u64 <= size,
                "{which}: {name}: {elements} of {size}"
            );
        }
        Cost {
            sent,
            took,
            quiet,
            spent,
            lines: self.lines() - lines,
            tracked,
            asked,
        }
    }

    /// The switch under a flood at the guarded port.
    pub fn turn_beside(&self, sources: u32, live: &Session) -> Asked {
        let mut frames = self.frames(&self.knocker, Kind::Guarded, Family::V4, "");
        let mut asked = Asked::default();
        beside(&mut frames, sources, |_, is_over| {
            while asked.switched.len() < ROUNDS || !is_over() {
                self.turn(live, &mut asked);
            }
        });
        asked
    }

    fn frames<'a>(&self, knocker: &'a Knocker, kind: Kind, family: Family, replay: &str) -> Frames<'a> {
        let from = Spoofed::sender(family);
        let to = |port| SocketAddr::new(knocker.target(from.ip()), port);
        let segment = |flags| vec![knocker.segment(from, to(SSH), flags)];
        let packet = |payload: &[u8]| vec![knocker.datagram(from, SPA, payload)];
        let frames = match kind {
            Kind::Guarded => [
                flag::SYN,
                flag::SYN,
                flag::ACK,
                flag::SYN,
                flag::FIN,
                flag::SYN,
                flag::RST,
                flag::SYN,
            ]
            .map(segment)
            .to_vec(),
            Kind::Witness => vec![vec![knocker.frame(from, tcp(IMAPS))]],
            Kind::Knock => {
                let [first, second] = [SEQUENCE[0], SEQUENCE[1]].map(|step| knocker.frame(from, step));
                vec![vec![first.clone()], vec![first, second]]
            }
            Kind::Spa => {
                let strange = Keys::from_random(&[9; 96].map(scatter()));
                let wrong = self.packet(&strange, 0);
                vec![
                    packet(b""),
                    packet(wrong.as_bytes()),
                    packet(replay.as_bytes()),
                    packet(&[b'='; 60]),
                    packet(wrong.as_bytes()),
                    packet(replay.as_bytes()),
                    packet(&[0xff; 1400]),
                ]
            }
            Kind::Unused => [tcp(UNUSED), udp(UNUSED)]
                .map(|step| vec![knocker.frame(from, step)])
                .to_vec(),
        };
        let spoofed = |frames: Vec<Vec<u8>>| frames.into_iter().map(|frame| knocker.spoofed_as(frame)).collect();
        Frames {
            family,
            sequences: frames.into_iter().map(spoofed).collect(),
            sent: 0,
        }
    }

    /// What begins on the WAN, as the ledger counts it.
    fn seen(&self) -> u64 {
        self.home.house.router().nft_counter("lanward", "ledger_seen")
    }

    /// Lines of the log, but for what the switch says.
    fn lines(&self) -> usize {
        let log = self.home.daemon.log();
        log.lines().filter(|line| !line.contains("lan_only")).count()
    }

    /// An authenticated packet of now; `number`: no two of a second are the same.
    fn packet(&self, keys: &Keys, number: u8) -> String {
        let request = Request {
            address: None,
            ports: vec![(Protocol::Tcp, SSH)],
            seconds: None,
            sent: now() / 1_000_000_000,
            user: "ana".into(),
        };
        seal(&request, keys, Digest::Sha256, &[number; 16].map(scatter())).expect("it can be written")
    }

    /// Sends one, and says whether it lists the newcomer within a second. He is taken off again.
    fn proves(&self, family: Family, packet: &str) -> bool {
        let from = SocketAddr::new(self.newcomer(family), 40_001);
        self.knocker
            .send(&[self.knocker.datagram(from, SPA, packet.as_bytes())]);
        self.comes_in(family)
    }

    fn comes_in(&self, family: Family) -> bool {
        let newcomer = self.newcomer(family);
        let listed = within(Duration::from_secs(1), || self.listed().contains(&newcomer));
        if listed {
            let him = json!({ "gate": "ssh", "address": newcomer.to_string() });
            self.home.daemon.must("gate_remove", &him);
        }
        listed
    }

    /// A packet that was accepted a moment ago.
    fn proven(&self, family: Family) -> String {
        let mut packet = String::new();
        let accepted = (0..10).any(|number| {
            packet = self.packet(&self.keys, number + 10 * u8::from(family == Family::V6));
            self.proves(family, &packet)
        });
        assert!(
            accepted,
            "{family}: an authenticated packet is accepted\n{}",
            self.home.daemon.log()
        );
        packet
    }

    /// After a flood, a newcomer's authenticated packet and a newcomer's knock open. How long after it each did.
    pub fn newcomers(&self, family: Family) -> [Duration; 2] {
        let over = Instant::now();
        let packet = self.packet(&self.keys, 77);
        assert!(self.proves(family, &packet), "{family}: a packet after a flood");
        let proved = over.elapsed();
        let knocked = within(OPENS, || {
            self.knocker.knock(self.newcomer(family), &SEQUENCE);
            self.comes_in(family)
        });
        assert!(knocked, "{family}: a knock {:?} after a flood", over.elapsed());
        [proved, over.elapsed()]
    }
}

/// Bytes that are not all alike, the same in every run.
fn scatter() -> impl FnMut(u8) -> u8 {
    let mut count = 0_u8;
    move |byte| {
        count = count.wrapping_mul(29).wrapping_add(byte | 1);
        count
    }
}

/// Floods with at least so many sources and until the work beside it is done, which is told whether half of them and whether all of them have been. How long it took.
fn beside(frames: &mut Frames, sources: u32, work: impl FnOnce(&dyn Fn() -> bool, &dyn Fn() -> bool)) -> Duration {
    let (half, all, done) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    let began = Instant::now();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut next = sources / 2;
            frames.send(0..next);
            half.store(true, Ordering::Relaxed);
            while next < sources || !done.load(Ordering::Relaxed) {
                frames.send(next..next + BLOCK);
                next += BLOCK;
                all.store(next >= sources, Ordering::Relaxed);
            }
            began.elapsed()
        });
        let ended = || sender.is_finished();
        // Whatever it panics with, the sender has to end.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            work(&|| half.load(Ordering::Relaxed) || ended(), &|| {
                all.load(Ordering::Relaxed) || ended()
            });
        }));
        done.store(true, Ordering::Relaxed);
        let took = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        took
    })
}

/// What the sources of a flood send, block by block in turns; each source all frames of a sequence.
struct Frames<'a> {
    family: Family,
    sequences: Vec<Vec<Spoofed<'a>>>,
    sent: u64,
}

impl Frames<'_> {
    fn send(&mut self, numbers: Range<u32>) {
        for begin in numbers.clone().step_by(BLOCK as usize) {
            let end = numbers.end.min(begin + BLOCK);
            let turn = (begin / BLOCK) as usize % self.sequences.len();
            for frame in &mut self.sequences[turn] {
                frame.send((begin..end).map(|number| nobody(self.family, number).ip()));
                self.sent += u64::from(end - begin);
            }
        }
    }
}
