//! Faults while it works: killed, starved, cut off, misled. The real daemon in a house, judged by packets; what was seen is `docs/faults.md`.

#[path = "faults/others.rs"]
mod others;
#[path = "faults/page.rs"]
mod page;
#[path = "faults/people.rs"]
mod people;
#[path = "faults/steps.rs"]
mod steps;

use lanward::system::ubus::{call_once, CallError};
use lanward_rig::broker::Broker;
use lanward_rig::clock::faketime;
use lanward_rig::daemon::{program, Caller, Daemon};
use lanward_rig::flash::Flash;
use lanward_rig::home::{switched_off, switched_on, Home, Switch};
use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::knock::Dice;
use lanward_rig::namespace::Namespace;
use lanward_rig::netifd::Netifd;
use lanward_rig::probe::{within, Connection, Promise};
use lanward_rig::report_line::{figure, this_test};
use lanward_rig::sections;
use lanward_rig::settings::Firewall;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use page::record;
use serde_json::{json, Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the daemon may take on a busy machine for what it does beside the packets' way.
const SOON: Duration = Duration::from_secs(10);
/// How soon a lost table is promised back.
const BACK: Duration = Duration::from_secs(1);
/// Where the internet's host calls from.
const STRANGER: &str = "203.0.113.9";

fn lets_out(house: &House, family: Family) -> bool {
    house.way_out(family).arrives(50000)
}

fn keeps_in(house: &House) -> bool {
    FAMILIES.iter().all(|family| !lets_out(house, *family))
}

/// Whether a new connection from the internet gets to a port of the router.
fn gets_in(house: &House, port: u16) -> bool {
    let router = house.router_address("wan", Family::V4);
    house.way("internet", "router").through(router).tcp(port) == Connection::Accepted
}

fn call(socket: &Path, method: &str, arguments: &Value, patience: Duration) -> Result<Value, CallError> {
    let nothing = Map::new();
    call_once(
        socket,
        "lanward",
        method,
        arguments.as_object().unwrap_or(&nothing),
        patience,
    )
}

/// Signals to a process of ours.
fn signal(pid: Pid, signal: Signal) {
    kill(pid, signal).expect("it is our own process");
}

// Killed.

/// What has been answered, and so has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    on: bool,
    saved: bool,
    paused: bool,
    listed: bool,
}

impl Told {
    fn is_open(self) -> bool {
        !self.on || self.paused
    }

    fn after(self, step: Step) -> Self {
        match step {
            Step::Turn { on, persist } => Self {
                on,
                saved: if persist { on } else { self.saved },
                paused: false,
                ..self
            },
            // The file has the last word where it says something new.
            Step::Configure(on) => Self {
                on: if on == self.saved { self.on } else { on },
                saved: on,
                ..self
            },
            Step::Pause => Self {
                paused: self.paused || self.on,
                ..self
            },
            Step::Resume => Self { paused: false, ..self },
            Step::Admit => Self { listed: true, ..self },
            Step::Remove | Step::Flush => Self { listed: false, ..self },
            Step::Commit => self,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Turn { on: bool, persist: bool },
    Configure(bool),
    Pause,
    Resume,
    Admit,
    Remove,
    Flush,
    Commit,
}

impl Step {
    fn roll(dice: &mut Dice) -> Self {
        match dice.below(12) {
            n @ 0..=3 => Self::Turn {
                on: n % 2 == 0,
                persist: n < 2,
            },
            n @ (4 | 5) => Self::Configure(n == 4),
            6 | 7 => Self::Pause,
            8 => Self::Resume,
            9 => Self::Admit,
            10 => [Self::Remove, Self::Flush][dice.below(2)],
            _ => Self::Commit,
        }
    }

    fn method(self) -> (&'static str, Value) {
        match self {
            Self::Turn { on, persist } => ("lan_only", json!({ "enabled": on, "persist": persist })),
            Self::Configure(_) => ("reload", json!({})),
            Self::Pause => ("pause", json!({ "minutes": 5 })),
            Self::Resume => ("resume", json!({})),
            Self::Admit => ("gate_admit", json!({ "gate": "ssh", "address": STRANGER })),
            Self::Remove => ("gate_remove", json!({ "gate": "ssh", "address": STRANGER })),
            Self::Flush => ("gate_flush", json!({ "gate": "ssh" })),
            Self::Commit => ("ledger_commit", json!({})),
        }
    }
}

/// `/etc/config/lanward` with the switch and everything else that is looked at.
fn everything(on: bool) -> String {
    let switch = if on { switched_on("") } else { switched_off("") };
    let gate = sections::gate("list service 'tcp:22'\noption window '3600'\noption forget 'never'");
    [switch, gate, sections::ledger()].concat()
}

/// Somebody who calls one thing after the other until told to stop, or until no answer comes.
#[derive(Debug)]
struct Progress {
    told: Told,
    under_way: Option<Step>,
    stopped: bool,
}

fn call_on(socket: &Path, config: &Path, progress: &Mutex<Progress>, mut dice: Dice) {
    loop {
        let step = Step::roll(&mut dice);
        {
            let mut progress = progress.lock().expect("nobody panics with it");
            if progress.stopped {
                return;
            }
            progress.under_way = Some(step);
            if let Step::Configure(on) = step {
                fs::write(config, everything(on)).expect("our own");
            }
        }
        let (method, arguments) = step.method();
        let answer = call(socket, method, &arguments, Duration::from_millis(150));
        let mut progress = progress.lock().expect("nobody panics with it");
        if answer.is_err() || progress.stopped {
            return;
        }
        progress.told = progress.told.after(step);
        progress.under_way = None;
    }
}

/// Nobody is there: packets go as before what was under way, or as after it.
fn dead(home: &Home, [old, new]: [Told; 2], which: &str) {
    let open = lets_out(&home.house, Family::V4);
    assert!([old.is_open(), new.is_open()].contains(&open), "{which}; dead: {open}");
}

/// Starts the daemon again: each thing is as before what was under way, or as after it, and packets agree.
fn revived(home: &mut Home, [old, new]: [Told; 2], which: &str) -> Told {
    let config = home.house.config_dir().join("lanward");
    home.daemon.start_again().unwrap_or_else(|why| panic!("{which}: {why}"));
    let status = home.daemon.must("status", &json!({}));
    let list = home.daemon.must("gate_list", &json!({}));
    let saved = fs::read_to_string(&config)
        .expect("our own")
        .contains("lan_only'\n\toption enabled '1'");
    let left = status["lan_only"]["paused_seconds"].as_u64().expect("a number");
    let seen = Told {
        on: status["lan_only"]["enabled"] == json!(true),
        saved,
        paused: left > 0,
        listed: list["entries"].as_array().is_some_and(|entries| !entries.is_empty()),
    };
    let which = format!("{which}; then {seen:?}: {status}\n{}", home.daemon.log());
    assert!([old.on, new.on].contains(&seen.on), "switch: {which}");
    assert!([old.saved, new.saved].contains(&seen.saved), "file: {which}");
    assert!([old.paused, new.paused].contains(&seen.paused), "pause: {which}");
    assert!([old.listed, new.listed].contains(&seen.listed), "list: {which}");
    assert!(left <= 300, "{which}");
    assert_eq!(status["ledger"].get("problem"), None, "{which}");
    for family in FAMILIES {
        assert_eq!(lets_out(&home.house, family), seen.is_open(), "{family}: {which}");
    }
    assert_eq!(gets_in(&home.house, 22), seen.listed, "gate: {which}");
    seen
}

#[test]
fn killed_at_any_moment_what_was_answered_holds_and_the_rest_is_as_before_or_after() {
    const KILLS: usize = 150;
    let Some(mut home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &everything(false)) else {
        return;
    };
    let (socket, config) = (home.broker.path().to_owned(), home.house.config_dir().join("lanward"));
    let mut dice = Dice::from(9);
    let mut told = Told {
        on: false,
        saved: false,
        paused: false,
        listed: false,
    };
    let (mut under_way, mut starting) = (0, 0);
    for round in 0..KILLS {
        let progress = Arc::new(Mutex::new(Progress {
            told,
            under_way: None,
            stopped: false,
        }));
        let caller = std::thread::spawn({
            let (socket, config, progress, dice) =
                (socket.clone(), config.clone(), Arc::clone(&progress), dice.clone());
            move || call_on(&socket, &config, &progress, dice)
        });
        let moment = dice.below(40_000);
        std::thread::sleep(Duration::from_micros(u64::try_from(moment).expect("small")));
        home.daemon.kill9();
        let (old, step) = {
            let mut progress = progress.lock().expect("nobody panics with it");
            progress.stopped = true;
            (progress.told, progress.under_way)
        };
        under_way += usize::from(step.is_some());
        let new = step.map_or(old, |step| old.after(step));
        let which = format!("kill {round} after {moment} us: {old:?}, {step:?} under way");
        dead(&home, [old, new], &which);
        caller.join().expect("it does nothing that panics");
        if round % 3 == 0 {
            starting += 1;
            home.daemon.launch().expect("it can be started");
            std::thread::sleep(Duration::from_micros(u64::try_from(dice.below(40_000)).expect("small")));
            home.daemon.kill9();
        }
        told = revived(&mut home, [old, new], &which);
    }
    figure(
        "faults",
        &format!("{under_way} of {KILLS} kills met a call under way, {starting} a start as well"),
    );
    assert!(under_way * 2 > KILLS, "most meet a call: {under_way}");
    let kinds = "switch (saved and not), file changed and reloaded, pause, resume, admit, remove, flush, commit";
    record(
        "killed",
        &[(
            &format!("SIGKILL at {KILLS} moments of a sequence of calls ({kinds}), each third time once more while it started; then started again"),
            "While nobody was there, packets went out or not as before the call under way or as after it. Started again, switch, file, pause and list were each as before \
             that call or after it; what had been answered held, with the pause's own time; packets of both families and a connection to the guarded port agreed with `status`"
                .to_owned(),
        )],
    );
}

// The bus and netifd.

/// Set in a process that this program starts of itself: which part it plays.
const PART: &str = "LANWARD_FAULTS_PART";

/// Not a test by itself: the bus, netifd or rpcd as a process that can be frozen.
#[test]
fn part() {
    let (Some(part), Some(place)) = (std::env::var_os(PART), std::env::var_os("LANWARD_FAULTS_PLACE")) else {
        return;
    };
    let place = PathBuf::from(place);
    let socket = place.join("ubus.sock");
    if part == "bus" {
        return Broker::start(&socket).expect("a socket").wait();
    }
    if part == "tracer" {
        return steps::trace(&place);
    }
    if part == "rpcd" {
        // As the page does it, by whoever is logged in; a call may end as it likes.
        let session = json!({ "ubus_rpc_session": "0123456789abcdef0123456789abcdef" });
        loop {
            let _ = call(&socket, "status", &session, Duration::from_millis(200));
        }
    }
    loop {
        let dump = fs::read(place.join("dump.json")).expect("it is written before");
        let dump = serde_json::from_slice(&dump).expect("JSON");
        // Without a bus there is nobody to tell; it is tried again.
        if let Ok(_netifd) = Netifd::start(&socket, dump) {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

/// A process beside the daemon. Gone when dropped, and with the thread that started it.
struct Part(Child);

impl Part {
    /// The bus: the stand-in, or the ubusd that `LANWARD_UBUSD` names.
    fn bus(place: &Path) -> Self {
        let socket = place.join("ubus.sock");
        let _ = fs::remove_file(&socket);
        let part = match std::env::var_os("LANWARD_UBUSD") {
            Some(ubusd) => Self::start(
                Command::new("setpriv")
                    .args(["--pdeathsig", "KILL"])
                    .arg(ubusd)
                    .arg("-s")
                    .arg(&socket),
            ),
            None => Self::of_this_program("bus", place),
        };
        assert!(within(SOON, || socket.exists()), "no bus");
        part
    }

    fn netifd(house: &House) -> Self {
        fs::write(house.directory().join("dump.json"), house.interface_dump().to_string()).expect("our own");
        Self::of_this_program("netifd", house.directory())
    }

    fn of_this_program(part: &str, place: &Path) -> Self {
        let program = std::env::current_exe().expect("the kernel knows it");
        Self::start(
            Command::new("setpriv")
                .args(["--pdeathsig", "KILL"])
                .arg(program)
                .args(["--exact", "part", "--nocapture", "--test-threads=1"])
                .env(PART, part)
                .env("LANWARD_FAULTS_PLACE", place),
        )
    }

    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("it can be started"))
    }

    fn signal(&self, what: Signal) {
        signal(Pid::from_raw(i32::try_from(self.0.id()).expect("a process")), what);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a process beside the daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Up,
    Frozen,
    Absent,
}

const HEALTHS: [Health; 3] = [Health::Up, Health::Frozen, Health::Absent];

/// Brings a part from how it is to how it is to be.
fn bring(part: &mut Option<Part>, to: Health, start: impl FnOnce() -> Part) {
    match to {
        Health::Absent => *part = None,
        Health::Up => part.get_or_insert_with(start).signal(Signal::SIGCONT),
        Health::Frozen => part.get_or_insert_with(start).signal(Signal::SIGSTOP),
    }
}

/// A walk over so many states in which each follows each other one exactly once.
fn each_after_each(states: usize) -> Vec<usize> {
    let others = |state| (0..states).filter(|other| *other != state).collect::<Vec<_>>();
    let mut left: Vec<Vec<usize>> = (0..states).map(others).collect();
    let (mut stack, mut walk) = (vec![0], Vec::new());
    while let Some(&at) = stack.last() {
        match left[at].pop() {
            Some(next) => stack.push(next),
            None => walk.extend(stack.pop()),
        }
    }
    walk.reverse();
    walk
}

#[test]
fn whatever_becomes_of_the_bus_and_of_netifd_what_is_enforced_stays() {
    if !Namespace::can_be_made(&this_test()) {
        return;
    }
    let mut house = House::plan().build().expect("a house");
    house.configure(&switched_on(""));
    let place = house.directory().to_owned();
    let socket = place.join("ubus.sock");
    let (mut bus, mut netifd) = (Some(Part::bus(&place)), Some(Part::netifd(&house)));
    let mut daemon = Daemon::start(&house, &program(), caller(&socket, SOON)).unwrap_or_else(|why| panic!("{why}"));
    let states: Vec<(Health, Health)> = HEALTHS
        .iter()
        .flat_map(|bus| HEALTHS.map(|netifd| (*bus, netifd)))
        .collect();
    let walk = each_after_each(states.len());
    assert_eq!(walk.len(), 73);
    let turn = |on: bool, patience| {
        call(
            &socket,
            "lan_only",
            &json!({ "enabled": on, "persist": false }),
            patience,
        )
    };
    let (mut switched, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    let mut promise = Promise::of(BACK);
    for (step, state) in walk.iter().enumerate() {
        let (to_bus, to_netifd) = states[*state];
        // Both orders are tried.
        let netifd_too = |netifd: &mut Option<Part>| bring(netifd, to_netifd, || Part::netifd(&house));
        if step % 2 == 0 {
            netifd_too(&mut netifd);
        }
        bring(&mut bus, to_bus, || Part::bus(&place));
        netifd_too(&mut netifd);
        let which = format!("step {step}: bus {to_bus:?}, netifd {to_netifd:?}");
        assert!(keeps_in(&house), "{which}\n{}", daemon.log());
        if to_bus == Health::Up {
            let began = Instant::now();
            assert!(within(SOON, || turn(false, SOON).is_ok()), "{which}\n{}", daemon.log());
            slowest = slowest.max(began.elapsed());
            assert!(FAMILIES.iter().all(|family| lets_out(&house, *family)), "{which}");
            assert!(turn(true, SOON).is_ok(), "{which}");
            switched += 2;
        } else {
            // What lies in a frozen bus is delivered later: that must not be what this walk looks for.
            let on = to_bus == Health::Frozen;
            assert!(turn(on, Duration::from_millis(20)).is_err(), "{which}");
            refused += 1;
        }
        if step % 5 == 0 {
            house.router().nft("delete table inet lanward\n");
            let back = promise.takes(|| keeps_in(&house));
            assert!(back.is_some(), "{which}\n{}", daemon.log());
        }
        assert!(keeps_in(&house), "{which}\n{}", daemon.log());
    }
    assert!(promise.is_kept(), "{promise:?}");
    // Started in each state, without a table.
    for (to_bus, to_netifd) in &states {
        daemon.kill9();
        house.router().nft("delete table inet lanward\n");
        bring(&mut bus, *to_bus, || Part::bus(&place));
        bring(&mut netifd, *to_netifd, || Part::netifd(&house));
        daemon.launch().expect("it can be started");
        let which = format!("started with bus {to_bus:?}, netifd {to_netifd:?}");
        assert!(within(SOON, || keeps_in(&house)), "{which}\n{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
        assert!(keeps_in(&house), "{which}, a moment later\n{}", daemon.log());
    }
    // The WAN has another name, and netifd comes back with that.
    house.rename_wan("wan7");
    netifd = None;
    bring(&mut bus, Health::Up, || Part::bus(&place));
    bring(&mut netifd, Health::Up, || Part::netifd(&house));
    assert!(within(SOON, || keeps_in(&house)), "{}", daemon.log());
    assert!(
        within(SOON, || daemon.lan_only()["dest_devices"] == json!(["wan7"])),
        "{}",
        daemon.log()
    );
    figure(
        "faults",
        &format!("after the bus came back, the switch had turned within {slowest:?}"),
    );
    record(
        "bus",
        &[
            (
                "ubusd and netifd each running, frozen (SIGSTOP) and absent: from each of the nine states to each other one, changed in both orders",
                format!(
                    "In {} states one after the other: UDP in the range was kept in, both families. With ubusd running the switch turned ({switched} times, also with netifd \
                     frozen or absent), otherwise its caller was told so ({refused} times) and it stayed on",
                    walk.len()
                ),
            ),
            ("The table deleted in every fifth of them", "Back within a second, bus or not".to_owned()),
            (
                "Started in each of the nine states, without a table",
                "The table was made from the files, without waiting for either".to_owned(),
            ),
            ("The WAN renamed while netifd was absent", "Covered under its new name, with netifd and before it".to_owned()),
        ],
    );
}

fn caller(socket: &Path, patience: Duration) -> Caller {
    let socket = socket.to_owned();
    Box::new(move |_, method, arguments| {
        call(&socket, method, arguments, patience).map_err(|error| match error {
            CallError::Status(status) => status.code(),
            _ => 10,
        })
    })
}

// Notifications that are lost.

/// How many messages the kernel could not put into a notification socket of the daemon's, by netlink's protocol.
fn lost_messages(house: &House, protocol: &str) -> u64 {
    let text = house.router().proc_net("netlink");
    let rows = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1] == protocol && !row[3].trim_start_matches('0').is_empty())
        .map(|row| row[8].parse::<u64>().expect("Drops is a number"))
        .sum()
}

#[test]
fn notifications_that_were_lost_are_made_up_for() {
    let Some(mut home) = Home::start(&this_test(), House::plan(), &switched_on("")) else {
        return;
    };
    let daemon = home.daemon.pid();
    let router = home.house.router().clone();
    let mut promise = Promise::of(BACK);
    for table in ["lanward", "lanward\nflush ruleset"] {
        signal(daemon, Signal::SIGSTOP);
        let before = lost_messages(&home.house, "12");
        let lines = "add table inet neighbour\ndelete table inet neighbour\n".repeat(600);
        router.must("nft", &["-i"], &format!("{lines}delete table inet {table}\n"));
        let lost = lost_messages(&home.house, "12") - before;
        assert!(lost > 0, "the socket is large");
        assert!(
            FAMILIES.iter().any(|family| lets_out(&home.house, *family)),
            "nobody is there"
        );
        signal(daemon, Signal::SIGCONT);
        let back = promise.takes(|| keeps_in(&home.house));
        assert!(back.is_some(), "{}", home.daemon.log());
        home.house.reload_fw4();
    }
    assert!(promise.is_kept(), "{promise:?}");
    // And those of links, addresses and routes; the last one was worth something.
    signal(daemon, Signal::SIGSTOP);
    let before = lost_messages(&home.house, "0");
    router.ip(&"addr add 192.0.2.99/32 dev lo\naddr del 192.0.2.99/32 dev lo\n".repeat(600));
    home.house.rename_wan("wan7");
    assert!(lost_messages(&home.house, "0") > before, "the socket is large");
    signal(daemon, Signal::SIGCONT);
    home.announce();
    assert!(within(SOON, || keeps_in(&home.house)), "{}", home.daemon.log());
    assert!(within(SOON, || home.daemon.lan_only()["dest_devices"] == json!(["wan7"])));
    assert!(within(SOON, || home.switch(Switch::Off)["enforced"] == json!(false)));
    assert!(FAMILIES.iter().all(|family| lets_out(&home.house, *family)));
    record(
        "overrun",
        &[
            (
                "1200 transactions of another program while the daemon was stopped (SIGSTOP), and at their end our table deleted, or every table; the kernel threw \
                 notifications away (ENOBUFS)",
                "The table was back within a second of its waking".to_owned(),
            ),
            (
                "1200 changes of addresses while it was stopped, and at their end the WAN renamed; notifications were thrown away",
                "The WAN was covered under its new name; the switch turned".to_owned(),
            ),
        ],
    );
}

// Flash and RAM without room.

#[test]
fn without_room_for_files_the_switch_turns_and_says_what_it_could_not_write() {
    let Some(mut home) = Home::start(&this_test(), House::plan(), &switched_off("")) else {
        return;
    };
    let place = home.house.directory().to_owned();
    let socket = home.broker.path().to_owned();
    let turn = |on: bool, persist: bool| {
        let arguments = json!({ "enabled": on, "persist": persist });
        call(&socket, "lan_only", &arguments, SOON).expect("an answer")
    };
    home.daemon.kill9();
    let flashes = ["config", "state", "run"].map(|name| Flash::mount(place.join(name), 128));
    home.house.write_settings();
    let mut rows: Vec<(String, String)> = Vec::new();
    for (what, why) in [
        ("full", "No space left on device"),
        ("read-only", "Read-only file system"),
    ] {
        home.house.configure(&switched_off(""));
        let harm = |flash: &Flash| {
            let others = flash.fill(0);
            if what == "read-only" {
                flash.remount("ro");
            }
            others
        };
        home.daemon.start_again().unwrap_or_else(|error| panic!("{error}"));
        // Flash only.
        let mut others = vec![harm(&flashes[0]), harm(&flashes[1])];
        let answer = turn(true, true);
        let error = answer["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(why) && error.contains("could not be saved"), "{answer}");
        assert!(keeps_in(&home.house), "{what}: {answer}");
        home.daemon.kill9();
        home.daemon.start_again().unwrap_or_else(|error| panic!("{error}"));
        assert!(keeps_in(&home.house), "{what}: the note in RAM holds");
        assert_eq!(home.daemon.lan_only()["enabled"], json!(true));
        // The run directory as well.
        turn(false, false);
        others.push(harm(&flashes[2]));
        let answer = turn(true, false);
        assert_eq!(answer["enabled"], json!(true), "{answer}");
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(
            error.contains("the note about it could not be written") && error.contains(why),
            "{answer}"
        );
        assert!(keeps_in(&home.house), "{what}: it turns on");
        let line = format!("note about the switch in {}: {why}", place.join("run").display());
        assert!(home.daemon.logs(&line, SOON), "{}", home.daemon.log());
        home.daemon.kill9();
        assert!(keeps_in(&home.house), "{what}: nobody is there");
        home.house.router().nft("delete table inet lanward\n");
        home.daemon.start_again().unwrap_or_else(|error| panic!("{error}"));
        assert!(lets_out(&home.house, Family::V4), "{what}: as the file says");
        turn(true, false);
        assert!(keeps_in(&home.house), "{what}: in a table that it made without files");
        // With room again.
        for (flash, others) in flashes.iter().zip(others) {
            flash.remount("rw");
            fs::remove_file(others).expect("somebody makes room");
        }
        assert_eq!(turn(true, true).get("error"), None);
        let file = fs::read_to_string(place.join("config/lanward")).expect("our own");
        assert!(file.contains("enabled '1'"), "{file}");
        home.daemon.kill9();
        home.daemon.start_again().unwrap_or_else(|error| panic!("{error}"));
        assert!(keeps_in(&home.house), "{what}: as the file says");
        turn(false, true);
        home.daemon.kill9();
        let error = error.rsplit(": ").next().unwrap_or_default().to_owned();
        rows.push((
            format!("`/etc/config` and the state directory {what}; the switch turned on, to be saved"),
            format!("On at once, and over a SIGKILL by the note in the run directory; the answer says that it could not be saved, and why (\"{error}\")"),
        ));
        rows.push((
            format!("The run directory {what} as well; the switch turned on, not to be saved; SIGKILL"),
            "On at once, and while nobody was there; the answer says that the note could not be written and that the switch holds until the next start. The next daemon makes its table without files, and takes the switch from \
             the configuration, which has the last word where there is no note"
                .to_owned(),
        ));
    }
    let rows: Vec<(&str, String)> = rows
        .iter()
        .map(|(done, happened)| (done.as_str(), happened.clone()))
        .collect();
    record("full", &rows);
}

// Out of file descriptors, out of memory.

/// Sets a limit of a running process, which can be taken back (`unlimited`).
fn limit(pid: Pid, what: &str, value: &str) {
    let pid = pid.to_string();
    let ran = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--{what}={value}:")])
        .status();
    assert!(ran.expect("util-linux is there").success(), "{what} {value}");
}

/// A program that is the daemon under a limit (an option of the shell's `ulimit`).
fn limited(house: &House, limit: &str) -> PathBuf {
    becomes_the_daemon(house, "limited", &format!("ulimit {limit} || exit 99"))
}

/// A program that does something and then is the daemon.
fn becomes_the_daemon(house: &House, name: &str, first: &str) -> PathBuf {
    let text = format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", program().display());
    let script = house.directory().join(name);
    write_program(&script, &text);
    script
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("our own");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our own");
}

/// A relay whose server nobody is, beside the gate and the ledger.
fn with_relay(house: &House) -> String {
    let key = house.directory().join("state/relay_ed25519");
    everything(true)
        + &format!(
            "\nconfig relay 'office'\n\toption enabled '1'\n\toption host '{STRANGER}'\n\toption user 'relay'\n\toption key '{}'\n\toption remote_port '3389'\n\
             \toption target '192.168.77.100:3389'\n\toption retry '1'\n\toption retry_max '1'\n",
            key.display()
        )
}

fn runs(pid: Pid) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Everything that can be asked for without changing anything, and what is changed and changed back.
fn ask_everything(daemon: &Daemon, socket: &Path) -> usize {
    let calls = [
        ("status", json!({})),
        ("check", json!({})),
        ("reload", json!({})),
        ("history", json!({})),
        ("history", json!({ "by": "source" })),
        ("preview", json!({})),
        ("pause", json!({ "minutes": 1 })),
        ("resume", json!({})),
        ("gate_admit", json!({ "gate": "ssh", "address": STRANGER })),
        ("gate_list", json!({})),
        ("gate_remove", json!({ "gate": "ssh", "address": STRANGER })),
        ("ledger_commit", json!({})),
        ("relay_list", json!({})),
        ("relay_restart", json!({ "name": "office" })),
    ];
    let answered = calls
        .iter()
        .take_while(|_| !daemon.ended())
        .filter(|(method, arguments)| {
            // One that ends leaves its callers without an answer. (What is written to flash waits for the disk.)
            call(socket, method, arguments, SOON).is_ok()
        });
    answered.count()
}

#[test]
fn without_descriptors_it_goes_on_and_comes_to_itself() {
    let Some(mut home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &everything(true)) else {
        return;
    };
    home.reload(&with_relay(&home.house));
    let open = || {
        fs::read_dir(format!("/proc/{}/fd", home.daemon.pid()))
            .expect("it runs")
            .count()
    };
    let before = open();
    let all = ask_everything(&home.daemon, home.broker.path());
    let mut promise = Promise::of(BACK);
    for spare in [0, 1, 2, 3, 5, 8] {
        limit(home.daemon.pid(), "nofile", &(before + spare).to_string());
        let answered = ask_everything(&home.daemon, home.broker.path());
        assert_eq!(answered, all, "{spare} to spare:\n{}", home.daemon.log());
        assert!(keeps_in(&home.house), "{spare}");
        // The switch needs none.
        home.switch(Switch::Off);
        assert!(lets_out(&home.house, Family::V4), "{spare}");
        home.switch(Switch::On);
        assert!(keeps_in(&home.house), "{spare}");
        home.house.router().nft("delete table inet lanward\n");
        let back = promise.takes(|| keeps_in(&home.house));
        assert!(back.is_some(), "{spare}\n{}", home.daemon.log());
    }
    assert!(promise.is_kept(), "{promise:?}");
    limit(home.daemon.pid(), "nofile", "1024");
    let answer = home.daemon.must("reload", &json!({}));
    assert_eq!(answer["applied"], json!(true), "{answer}");
    let relay = || home.daemon.must("relay_list", &json!({}))["relays"][0]["error"].to_string();
    assert!(
        within(SOON, || relay().contains("nobody listens on port 22")),
        "{}",
        relay()
    );
    assert!(within(SOON, || open() <= before + 1), "{} and {before}", open());
    // Started with few.
    home.daemon.kill9();
    let whole = home.house.router().must("nft", &["list", "sets", "inet"], "");
    let mut refusal = String::new();
    let enough = (3..100).find(|descriptors| {
        home.daemon
            .set_program(limited(&home.house, &format!("-n {descriptors}")));
        let said = home.daemon.log().len();
        home.daemon.launch().expect("it can be started");
        let pid = home.daemon.pid();
        let is_up = || call(home.broker.path(), "status", &json!({}), SOON).is_ok();
        assert!(
            within(SOON, || !runs(pid) || is_up()),
            "{descriptors}: neither up nor gone"
        );
        let is_up = is_up();
        let log = home.daemon.log()[said..].to_owned();
        home.daemon.kill9();
        assert!(!log.contains("panicked"), "{descriptors}: {log}");
        if !is_up {
            refusal = log.lines().last().unwrap_or_default().to_owned();
            assert_eq!(
                home.house.router().must("nft", &["list", "sets", "inet"], ""),
                whole,
                "{descriptors}: {log}"
            );
        }
        is_up
    });
    let enough = enough.expect("a hundred are enough");
    assert!(keeps_in(&home.house));
    home.house.router().nft("delete table inet lanward\n");
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    assert!(keeps_in(&home.house));
    assert_eq!(
        ask_everything(&home.daemon, home.broker.path()),
        all,
        "{}",
        home.daemon.log()
    );
    figure(
        "faults",
        &format!("{before} descriptors in use with a relay, {enough} are enough to start"),
    );
    let refusal = refusal.trim_start_matches("lanward: error: ");
    record(
        "descriptors",
        &[
            (
                "`RLIMIT_NOFILE` at what was in use, and at 1, 2, 3, 5 and 8 more; every kind of call, a relay started, the table deleted",
                "Every call was answered, the switch turned, the table was back within a second. With room again the relay went on, and nothing had been left open".to_owned(),
            ),
            (
                "Started with 3 descriptors, 4, 5 and so on, while the table of the daemon before was there",
                format!("Until there were enough it ended at once (\"{refusal}\"), and the table was left as it was; with the first number that was enough it made a lost table anew and did everything"),
            ),
        ],
    );
}

#[test]
fn without_memory_it_ends_and_what_is_enforced_stays() {
    let Some(mut home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &everything(true)) else {
        return;
    };
    let days = |year: u32| {
        let ports: Vec<Value> = (0..64).map(|port| json!([6, 1000 + port, 3])).collect();
        let day = |n: u32| json!({ "date": format!("{year}-{:02}-{:02}", 1 + n / 28, 1 + n % 28), "hours": vec![9; 24], "ports": ports, "sources": [] });
        json!({ "days": (0..60).map(day).collect::<Vec<_>>() })
    };
    let (mut ended, mut lived) = (0, 0);
    for spare in [0_u64, 64, 256, 512, 1024, 4096, 65536] {
        let text = fs::read_to_string(format!("/proc/{}/status", home.daemon.pid())).expect("it runs");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmSize:"))
            .expect("it has a size");
        let size: u64 = line
            .split_whitespace()
            .next()
            .and_then(|kib| kib.parse().ok())
            .expect("a number");
        limit(home.daemon.pid(), "as", &((size + spare) * 1024).to_string());
        for year in 2024..2026 {
            let _ = call(home.broker.path(), "ledger_import", &days(year), Duration::from_secs(1));
            ask_everything(&home.daemon, home.broker.path());
        }
        let pid = home.daemon.pid();
        let answers = call(home.broker.path(), "status", &json!({}), SOON).is_ok();
        let has_ended = !answers && within(SOON, || !runs(pid));
        assert!(keeps_in(&home.house), "{spare}");
        if has_ended {
            ended += 1;
        } else {
            lived += 1;
            home.switch(Switch::Off);
            assert!(lets_out(&home.house, Family::V4), "{spare}");
            home.switch(Switch::On);
        }
        home.daemon.kill9();
        home.daemon.start_again().unwrap_or_else(|why| panic!("{spare}: {why}"));
        assert!(keeps_in(&home.house), "{spare}");
    }
    figure(
        "faults",
        &format!("short of memory it ended {ended} times and lived {lived} times"),
    );
    assert!(ended > 0 && lived > 0, "{ended} {lived}");
    // Started with little.
    let (mut refused, mut is_up) = (0, false);
    for mib in [1_u64, 2, 4, 8, 16, 32, 64, 128, 256, 512] {
        home.daemon.kill9();
        home.daemon
            .set_program(limited(&home.house, &format!("-v {}", mib * 1024)));
        home.daemon.launch().expect("it can be started");
        let pid = home.daemon.pid();
        let up = || call(home.broker.path(), "status", &json!({}), SOON).is_ok();
        assert!(within(SOON, || !runs(pid) || up()), "{mib} MiB: neither up nor gone");
        assert!(keeps_in(&home.house), "{mib} MiB: {}", home.daemon.log());
        is_up = up();
        if is_up {
            break;
        }
        refused += 1;
    }
    assert!(is_up && refused > 0, "{refused}");
    record(
        "memory",
        &[
            (
                "The address space limited (`RLIMIT_AS`) to what was in use and up to 64 MiB more; then 120 days imported into the ledger and every kind of call",
                "It ended (\"memory allocation of … bytes failed\"), or answered and switched. UDP in the range was kept in either way, and with the next daemon everything was as before"
                    .to_owned(),
            ),
            ("Started with 1 MiB of address space, 2, 4 and so on", "It ended, and what was enforced stayed, until there was enough".to_owned()),
        ],
    );
}

// A device that comes and goes.

#[test]
fn a_wan_that_flaps_a_thousand_times_costs_little_and_lets_nothing_out() {
    const FLAPS: usize = 1000;
    let Some(home) = Home::start(&this_test(), House::plan(), &switched_on("")) else {
        return;
    };
    let open = || {
        fs::read_dir(format!("/proc/{}/fd", home.daemon.pid()))
            .expect("it runs")
            .count()
    };
    home.announce();
    // It looks again, for which it opens what it closes.
    let least = (0..50).map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        open()
    });
    let (descriptors, memory) = (least.min().expect("many"), home.daemon.own_kib());
    let (processor, log) = (home.daemon.processor_time(), home.daemon.log().len());
    let began = Instant::now();
    let router = home.house.router().clone();
    for _ in 0..10 {
        let flap = "link set to-wan0 down\nlink set to-wan0 up\n";
        home.house
            .host("internet")
            .namespace
            .sysctl("net/ipv6/conf/all/keep_addr_on_down", "1")
            .expect("root may");
        home.house.host("internet").namespace.ip(&flap.repeat(FLAPS / 10));
        // A modem's device as well, which is another one each time.
        router.ip(&"link add wwan0 type veth peer name wwan1\nlink set wwan0 up\nlink del wwan0\n".repeat(FLAPS / 50));
        home.announce();
        assert!(
            within(SOON, || home.house.way_out(Family::V4).try_udp(9).is_ok()),
            "the cable is in"
        );
        assert!(!lets_out(&home.house, Family::V4), "{}", home.daemon.log());
    }
    let took = began.elapsed();
    assert!(within(SOON, || keeps_in(&home.house)));
    home.switch(Switch::Off);
    assert!(FAMILIES.iter().all(|family| lets_out(&home.house, *family)));
    home.switch(Switch::On);
    assert!(keeps_in(&home.house));
    let used = home.daemon.processor_time() - processor;
    let memory_after = home.daemon.own_kib();
    let said = home.daemon.log()[log..].lines().count();
    figure("faults", &format!("{FLAPS} flaps in {took:?}: {used:?} of the processor, {memory} -> {memory_after} KiB, {said} lines in the log"));
    assert!(
        within(SOON, || open() == descriptors),
        "{} and {descriptors} descriptors",
        open()
    );
    assert!(memory_after < memory + 1024, "{memory} -> {memory_after} KiB");
    assert!(used < took / 2, "{used:?} of {took:?}");
    assert!(said < 100, "{}", home.daemon.log());
    record(
        "flapping",
        &[(
            &format!("The WAN's carrier gone and back {FLAPS} times, a modem's device made and removed {} times meanwhile", FLAPS / 5),
            "Nothing in the range got out; the switch turned afterwards. Less than half of a processor, less than 1 MiB more memory, no descriptor more, less than 100 lines in the log"
                .to_owned(),
        )],
    );
}

// A clock that jumps.

#[test]
fn a_clock_that_jumps_opens_nothing_ends_no_pause_and_loses_no_attempt() {
    let Some(library) = faketime() else { return };
    let ledger = "\nconfig ledger 'ledger'\n";
    let Some(mut home) = Home::start(&this_test(), House::plan(), &(switched_on("") + ledger)) else {
        return;
    };
    let place = home.house.directory().to_owned();
    let set = |offset: i64| {
        // Whole at each look.
        fs::write(place.join("clock.new"), format!("{offset:+}")).expect("our own");
        fs::rename(place.join("clock.new"), place.join("clock")).expect("our own");
    };
    set(0);
    fs::write(place.join("preload"), library).expect("our own");
    home.daemon.kill9();
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    let internet = &home.house.host("internet").namespace;
    let router = home.house.router_address("wan", Family::V4);
    let mut sent = 0_u64;
    let mut attempt = || {
        let socket = internet.udp("203.0.113.9:0".parse().expect("an address"));
        socket.send_to(b"x", (router, 1900)).expect("sent");
        sent += 1;
        sent
    };
    let counted = |home: &Home| {
        let rows = home.daemon.must("history", &json!({ "by": "day" }));
        let rows = rows["rows"].as_array().cloned().unwrap_or_default();
        rows.iter().filter_map(|row| row["attempts"].as_u64()).sum::<u64>()
    };
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let clock = |hours: u64| {
        let minutes = (seconds / 60 + hours * 60) % (24 * 60);
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let holding = switched_on(&format!("option start '{}'\noption stop '{}'", clock(22), clock(2))) + ledger;
    const DAY: i64 = 86_400;
    for (what, offset) in [
        ("a day on", DAY),
        ("a day back", -DAY),
        ("an hour back", -3600),
        ("two years on", 730 * DAY),
        ("to 1971", 31_536_000 - i64::try_from(seconds).expect("small")),
        ("right again", 0),
    ] {
        home.reload(&(switched_on("") + ledger));
        home.daemon.must("pause", &json!({ "minutes": 5 }));
        set(offset);
        attempt();
        home.reload(&(switched_on("option level 'strict'") + ledger));
        let left = |home: &Home| home.daemon.lan_only()["paused_seconds"].as_u64().expect("a number");
        assert!((290..=300).contains(&left(&home)), "{what}: {}", left(&home));
        assert!(lets_out(&home.house, Family::V4), "{what}: the pause goes on");
        home.daemon.kill9();
        home.daemon.start_again().unwrap_or_else(|why| panic!("{what}: {why}"));
        assert!((285..=300).contains(&left(&home)), "{what}: {}", left(&home));
        home.daemon.must("resume", &json!({}));
        assert!(keeps_in(&home.house), "{what}");
        home.reload(&holding);
        assert!(keeps_in(&home.house), "{what}: at hours of the schedule");
        let attempts = attempt();
        // In 1971 nobody asks for what is to come.
        if what != "to 1971" {
            let so = within(SOON, || counted(&home) == attempts);
            assert!(so, "{what}: {} of {attempts}", counted(&home));
        }
    }
    let jumps = "a day on, a day back, an hour back, two years on, to 1971, right again";
    record(
        "clock",
        &[
            (
                &format!("The daemon's clock set while a pause was on: {jumps}; a reload and a SIGKILL after each"),
                "The pause kept its time, and `resume` ended it".to_owned(),
            ),
            (
                "The same with a schedule, at hours at which the mode holds",
                "Kept in: the kernel compares its own clock with windows in which the mode does not hold, and none covers now".to_owned(),
            ),
            ("The same with attempts from the internet in between", "Each was counted once, none was lost".to_owned()),
        ],
    );
}
