//! What is promised, asked by packets and calls, and the book that is kept about it.

use crate::model::{Model, Truth};
use crate::scene::{call, outsider, Health, Scene, DESKTOP, OUTSIDERS, PATIENCE, SSH};
use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::knock::Dice;
use lanward_rig::probe::{Connection, Fate};
use lanward_rig::relay::{greets, Greets};
use lanward_rig::tcp::connect;
use serde_json::{json, Value};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Steps that are shown with a promise that was missed.
const REMEMBERED: usize = 20;
/// Lines of the daemon's log that are.
const TAIL: usize = 40;

/// What was done, asked and seen.
pub struct Book {
    pub seed: u32,
    pub began: Instant,
    pub step: u64,
    pub actions: BTreeMap<&'static str, u64>,
    pub kept: BTreeMap<&'static str, u64>,
    pub missed: Vec<String>,
    pub longest: BTreeMap<&'static str, Duration>,
    /// How often the table was back later than promised, but not by more than a busy machine explains.
    pub late: u64,
    recent: VecDeque<String>,
    tells: Tells,
}

/// What is printed while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    Misses,
    Everything,
}

impl Book {
    pub fn new(seed: u32, tells: Tells) -> Self {
        Self {
            seed,
            began: Instant::now(),
            step: 0,
            actions: BTreeMap::new(),
            kept: BTreeMap::new(),
            missed: Vec::new(),
            longest: BTreeMap::new(),
            recent: VecDeque::new(),
            tells,
            late: 0,
        }
    }

    /// `1:02:03.4`, since the beginning.
    pub fn time(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f32();
        let whole = self.began.elapsed().as_secs();
        format!("{}:{:02}:{:04.1}", whole / 3600, whole / 60 % 60, seconds % 60.0)
    }

    pub fn did(&mut self, action: &'static str, words: &str) {
        *self.actions.entry(action).or_default() += 1;
        self.note(&format!("{action} {words}"));
    }

    /// Something that helps to understand what happened.
    pub fn note(&mut self, words: &str) {
        let line = format!("{} step {}: {}", self.time(), self.step, words.trim_end());
        if self.tells == Tells::Everything {
            println!("{line}");
        }
        self.recent.push_back(line);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }

    pub fn took(&mut self, what: &'static str, time: Duration) {
        let longest = self.longest.entry(what).or_default();
        *longest = time.max(*longest);
    }

    pub fn check(&mut self, scene: &Scene, promise: &'static str, held: bool, seen: impl FnOnce() -> String) {
        if held {
            *self.kept.entry(promise).or_default() += 1;
        } else {
            self.missed(&scene.daemon.log(), promise, &seen());
        }
    }

    pub fn missed(&mut self, log: &str, promise: &str, seen: &str) {
        let line = format!(
            "✗ {} step {} (seed {}): {promise}: {seen}",
            self.time(),
            self.step,
            self.seed
        );
        println!("{line}\n  the last steps:");
        for step in &self.recent {
            println!("    {step}");
        }
        println!("  the daemon's log:");
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            println!("    {line}");
        }
        self.missed.push(line);
    }
}

fn random<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    all[dice.below(all.len())]
}

/// What becomes of a UDP packet from the LAN to the internet, over which family and to which port it is.
fn fate(scene: &Scene, to: &str, family: Family, port: u16) -> Result<Fate, String> {
    scene.house.way("lan", to).over(family).try_udp(port)
}

fn passes(seen: &Result<Fate, String>) -> bool {
    matches!(seen, Ok(Fate::Answered | Fate::Arrived))
}

/// The same for a packet that has to pass. On a busy machine it may be far behind its control packet, which another processor deals with: it is sent again.
fn fate_of_welcome(scene: &Scene, to: &str, family: Family, port: u16) -> Result<Fate, String> {
    let mut seen = fate(scene, to, family, port);
    for _ in 0..3 {
        if passes(&seen) {
            break;
        }
        seen = fate(scene, to, family, port);
    }
    seen
}

pub fn is_dropped(scene: &Scene, family: Family, port: u16) -> bool {
    fate(scene, "internet", family, port) == Ok(Fate::Lost)
}

/// The switch: the range, what is beside it, and the other way out.
pub fn switch(scene: &Scene, model: &Model, book: &mut Book, dice: &mut Dice) {
    if !scene.wan_is_in {
        return;
    }
    let low = model.settings.level.1;
    for family in FAMILIES {
        let drops = model.drops();
        let spread = usize::from(u16::MAX - low) + 1;
        let inside = [
            low,
            65_535,
            low + u16::try_from(dice.below(spread)).expect("below 65536"),
        ];
        let port = random(dice, &inside);
        let to = if scene.has_second && dice.below(8) == 0 {
            "internet2"
        } else {
            "internet"
        };
        let seen = match drops {
            Truth::No => fate_of_welcome(scene, to, family, port),
            _ => fate(scene, to, family, port),
        };
        let words = || format!("{family} UDP to {to}, port {port}: {seen:?}, expected dropped: {drops:?}");
        let (dropped, passes) = (seen == Ok(Fate::Lost), passes(&seen));
        match drops {
            // It changed meanwhile by itself.
            _ if model.drops() != drops => {}
            Truth::Yes if model.has_pause_ended() => book.check(scene, "a pause ends by itself", dropped, words),
            Truth::Yes => book.check(scene, "switch on: UDP in the range is dropped", dropped, words),
            Truth::No if model.on => book.check(scene, "paused: UDP in the range passes", passes, words),
            Truth::No => book.check(scene, "switch off: UDP in the range passes", passes, words),
            Truth::Unsure => {}
        }
    }
    let family = random(dice, &FAMILIES);
    let port = random(dice, &[53, 123, 443, low - 1]);
    let seen = fate_of_welcome(scene, "internet", family, port);
    book.check(scene, "UDP below the range passes", passes(&seen), || {
        format!("{family} port {port}: {seen:?}")
    });
}

/// Connects from an outsider to the guarded port.
fn call_in(scene: &Scene, from: IpAddr, is_hoped_for: bool) -> Result<Connection, String> {
    let family = if from.is_ipv4() { Family::V4 } else { Family::V6 };
    let to = SocketAddr::new(scene.house.router_address("wan", family), SSH);
    let internet = &scene.house.host("internet").namespace;
    let attempts = if is_hoped_for { 4 } else { 1 };
    let wait = Duration::from_millis(if is_hoped_for { 1500 } else { 250 });
    let mut seen = Err("nothing tried".to_owned());
    for _ in 0..attempts {
        seen = internet
            .run(|| connect(SocketAddr::new(from, 0), to, wait))
            .map_err(|error| error.to_string());
        if !matches!(seen, Ok(Connection::Silent)) {
            break;
        }
    }
    seen
}

/// The gate, asked by one outsider. A visit has consequences for the list.
pub fn gate(scene: &Scene, model: &mut Model, book: &mut Book, from: IpAddr) {
    if !scene.wan_is_in {
        return;
    }
    let before = model.is_listed(from);
    let seen = call_in(scene, from, before == Truth::Yes);
    let after = model.is_listed(from);
    let words = || format!("{from}: {seen:?}, listed: {before:?} and then {after:?}");
    match (before, after) {
        (Truth::Yes, Truth::Yes) => {
            book.check(
                scene,
                "a listed source is admitted",
                seen == Ok(Connection::Accepted),
                words,
            );
        }
        (Truth::No, _) => {
            let is_refused = !matches!(seen, Ok(Connection::Accepted) | Err(_));
            book.check(scene, "an unlisted source is refused", is_refused, words);
        }
        _ => {}
    }
    if seen == Ok(Connection::Accepted) {
        // Its FIN takes effect.
        std::thread::sleep(Duration::from_millis(30));
        model.visited(from);
    }
}

/// The gate as the LAN and the VPN see it.
pub fn gate_from_inside(scene: &Scene, book: &mut Book, dice: &mut Dice) {
    let family = random(dice, &FAMILIES);
    let from = random(dice, &["lan", "lan2", "vpn"]);
    let host = scene.house.host(from);
    let to = SocketAddr::new(scene.house.router_address("lan", family), SSH);
    let source = host.socket(family, 0);
    let mut seen = Err("nothing tried".to_owned());
    for _ in 0..3 {
        seen = host
            .namespace
            .run(|| connect(source, to, Duration::from_millis(1500)))
            .map_err(|error| error.to_string());
        if seen == Ok(Connection::Accepted) {
            break;
        }
    }
    book.check(
        scene,
        "LAN and VPN are never gated",
        seen == Ok(Connection::Accepted),
        || format!("{from} {family}: {seen:?}"),
    );
}

/// What the daemon says, beside what is so.
pub fn status(scene: &Scene, model: &Model, book: &mut Book) {
    if !scene.answers() {
        let told = call(&scene.socket(), "status", &json!({}), Duration::from_millis(60));
        return book.check(
            scene,
            "without daemon or bus a caller is told so",
            told.is_err(),
            || format!("{told:?}"),
        );
    }
    let pause_before = (model.pause(), model.pause_left());
    let (status, took) = match scene.ask("status", &json!({})) {
        Ok(answer) => answer,
        Err(why) => return book.missed(&scene.daemon.log(), "status is answered", &why),
    };
    book.took("status, answered", took);
    let switch = &status["lan_only"];
    let words = || format!("{model:?}: {status}");
    book.check(scene, "status is answered", true, String::new);
    let agrees = switch["enabled"] == json!(model.on)
        && switch["level"] == json!(model.settings.level.0)
        && status["gates"][0]["window"] == json!(model.settings.window)
        && status["gates"][0]["forget"] == json!(model.settings.forget)
        && status["gates"][0]["shut"] == json!(false);
    book.check(scene, "status agrees with what was done", agrees, words);
    let healthy = status["applied"] == json!(true) && status["problems"] == json!([]);
    book.check(scene, "status: applied, no problems", healthy, words);
    let left = switch["paused_seconds"].as_u64().unwrap_or(u64::MAX);
    let pause_agrees = match pause_before {
        (Truth::No, _) => left == 0,
        (Truth::Yes, expected) => left.abs_diff(expected) <= 4,
        (Truth::Unsure, _) => left <= 4,
    };
    book.check(scene, "status agrees about the pause", pause_agrees, words);
    let enforced = match model.drops() {
        Truth::Yes => switch["enforced"] == json!(true),
        Truth::No if pause_before.0 != Truth::Unsure => switch["enforced"] == json!(false),
        _ => true,
    };
    book.check(scene, "status agrees about what is enforced", enforced, words);
}

/// The addresses that the daemon knows on the gate's lists.
fn known(scene: &Scene) -> Result<Vec<IpAddr>, String> {
    let (reply, _) = scene.ask("gate_list", &json!({}))?;
    let entries = reply["entries"].as_array().ok_or_else(|| reply.to_string())?;
    let read = |entry: &Value| entry["address"].as_str().and_then(|address| address.parse().ok());
    Ok(entries.iter().filter_map(read).collect())
}

pub fn gate_list(scene: &Scene, model: &Model, book: &mut Book) {
    if !scene.answers() {
        return;
    }
    let listed = match known(scene) {
        Ok(listed) => listed,
        Err(why) => return book.missed(&scene.daemon.log(), "gate_list is answered", &why),
    };
    let missing: Vec<IpAddr> = model
        .addresses()
        .into_iter()
        .filter(|address| model.is_granted(*address))
        .collect();
    let missing: Vec<IpAddr> = missing
        .into_iter()
        .filter(|address| !listed.contains(address))
        .collect();
    book.check(
        scene,
        "gate_list has who was admitted by hand",
        missing.is_empty(),
        || format!("{missing:?} not in {listed:?}; {model:?}"),
    );
    let surplus = || -> Vec<IpAddr> {
        let listed = known(scene).unwrap_or_default();
        listed
            .into_iter()
            .filter(|address| model.is_listed(*address) == Truth::No)
            .collect()
    };
    // Who has left is told by a copy, or seen at the next look.
    let began = Instant::now();
    let gone = lanward_rig::probe::within(PATIENCE, || surplus().is_empty());
    book.took("gate_list, until it has nobody who is not listed", began.elapsed());
    book.check(scene, "gate_list has nobody who is not listed", gone, || {
        format!("{:?}; {model:?}", surplus())
    });
}

/// The table, which somebody has just deleted.
pub fn table_comes_back(scene: &Scene, model: &Model, book: &mut Book, by: &'static str) {
    /// What is promised, and what a busy machine may make of it: with the last table the kernel lets go of conntrack, and looks through its whole hash for the new one.
    const PROMISED: Duration = Duration::from_secs(1);
    const LENIENT: Duration = Duration::from_secs(10);
    let began = Instant::now();
    let back = lanward_rig::probe::within(LENIENT, || scene.has_table());
    let took = began.elapsed();
    book.took(by, took);
    book.check(scene, "a deleted table is back", back, || {
        format!("not after {took:?} ({by})")
    });
    // The pause and the lists follow in the same breath: whoever is answered now is answered after that.
    if !scene.answers() || scene.ask("status", &json!({})).is_err() {
        std::thread::sleep(Duration::from_millis(500));
    }
    if took > PROMISED {
        book.late += 1;
        book.note(&format!("the table took {took:?}"));
    }
    if scene.wan_is_in && model.drops() == Truth::Yes {
        let dropped = FAMILIES.iter().all(|family| is_dropped(scene, *family, 50_000));
        book.check(scene, "a table that is back drops as before", dropped, || by.to_owned());
    }
}

/// Whether somebody at the relay reaches the desktop.
pub fn is_reached(scene: &Scene) -> bool {
    scene.relay.listens(DESKTOP)
        && greets(
            scene.relay.namespace(),
            (Ipv4Addr::LOCALHOST, DESKTOP).into(),
            Greets::Rdp,
        )
}

/// The relay comes up again, everything that it needs being there.
pub fn relay(scene: &Scene, book: &mut Book) {
    const LENIENT: Duration = Duration::from_secs(60);
    let began = Instant::now();
    let back = lanward_rig::probe::within(LENIENT, || {
        let up = is_reached(scene);
        if !up {
            std::thread::sleep(Duration::from_millis(200));
        }
        up
    });
    book.took("relay, until the desktop is reached again", began.elapsed());
    let list = || scene.ask("relay_list", &json!({})).map(|(list, _)| list);
    book.check(scene, "relay: the desktop is reached", back, || format!("{:?}", list()));
    let is_up = || list().is_ok_and(|list| list["relays"][0]["state"] == json!("up"));
    let up = lanward_rig::probe::within(LENIENT, || {
        let up = is_up();
        if !up {
            std::thread::sleep(Duration::from_millis(200));
        }
        up
    });
    book.check(scene, "relay: says that it is up", up, || format!("{:?}", list()));
}

/// Everything once, as after a step.
pub fn look(scene: &Scene, model: &mut Model, book: &mut Book, dice: &mut Dice) {
    switch(scene, model, book, dice);
    match dice.below(3) {
        0 => status(scene, model, book),
        1 => {
            let from = outsider(
                random(dice, &FAMILIES),
                u16::try_from(dice.below(OUTSIDERS.into())).expect("few"),
            );
            gate(scene, model, book, from);
        }
        _ => gate_from_inside(scene, book, dice),
    }
    if scene.daemon_is == Health::Up {
        let ended = scene.daemon.ended();
        book.check(scene, "the daemon runs on", !ended, || {
            "it has ended by itself".to_owned()
        });
    }
}
