//! Killed before each single deed of a call and of a start: a system call that others can see something of. Another process follows it (a tracer
//! is told of its own children only by way of their parent).

use crate::page::record;
use crate::{becomes_the_daemon, call, dead, everything, revived, Part, Step, Told, SOON};
use lanward_rig::home::Home;
use lanward_rig::house::House;
use lanward_rig::probe::within;
use lanward_rig::report_line::{figure, this_test};
use lanward_rig::settings::Firewall;
use lanward_rig::steps::follow;
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The tracer's orders, signs and findings, in the house's directory.
const ORDER: &str = "steps.order";
const READY: &str = "steps.ready";
const OVER: &str = "steps.over";
const DONE: &str = "steps.done";

/// The tracer's part: follows the process of its order.
pub fn trace(place: &Path) {
    let order = fs::read_to_string(place.join(ORDER)).expect("it is written before");
    let (pid, last) = order.split_once(' ').expect("two numbers");
    let (pid, last) = (pid.parse().expect("a number"), last.parse().ok());
    let ready = || fs::write(place.join(READY), "").expect("our own");
    let deeds = follow(Pid::from_raw(pid), last, ready, || place.join(OVER).exists());
    let deeds = deeds.unwrap_or_else(|error| panic!("{error}"));
    fs::write(place.join("steps.new"), deeds.join(" ")).expect("our own");
    fs::rename(place.join("steps.new"), place.join(DONE)).expect("our own");
}

/// Has the daemon followed while something happens to it. Its deeds; with `last`, it is killed before that one.
fn followed(home: &Home, last: Option<usize>, happens: impl FnOnce()) -> Vec<String> {
    let place = home.house.directory();
    for name in [READY, OVER, DONE] {
        let _ = fs::remove_file(place.join(name));
    }
    let last = last.map_or("-".to_owned(), |last| last.to_string());
    fs::write(place.join(ORDER), format!("{} {last}", home.daemon.pid())).expect("our own");
    let _tracer = Part::of_this_program("tracer", place);
    assert!(within(SOON, || place.join(READY).exists()), "it cannot be followed");
    happens();
    fs::write(place.join(OVER), "").expect("our own");
    assert!(within(SOON, || place.join(DONE).exists()), "the tracer hangs");
    let deeds = fs::read_to_string(place.join(DONE)).expect("it is there");
    deeds.split_whitespace().map(str::to_owned).collect()
}

/// Everything as in `told`, by a daemon that has been there for a moment.
fn place(home: &mut Home, told: Told) {
    home.daemon.kill9();
    let directory = home.house.directory();
    let _ = fs::remove_file(directory.join("run/switch.json"));
    home.house
        .router()
        .nft("add table inet lanward\ndelete table inet lanward\n");
    home.house.configure(&everything(told.saved));
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    let steps = [
        (told.on != told.saved).then_some(Step::Turn {
            on: told.on,
            persist: false,
        }),
        told.paused.then_some(Step::Pause),
        told.listed.then_some(Step::Admit),
    ];
    for step in steps.into_iter().flatten() {
        let (method, arguments) = step.method();
        home.daemon.must(method, &arguments);
    }
}

fn told(on: bool, saved: bool, paused: bool, listed: bool) -> Told {
    Told {
        on,
        saved,
        paused,
        listed,
    }
}

#[test]
fn killed_before_any_deed_of_a_call_all_is_as_before_it_or_after_it() {
    let Some(mut home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &everything(false)) else {
        return;
    };
    let socket = home.broker.path().to_owned();
    let turn = |on, persist| Step::Turn { on, persist };
    let calls = [
        (
            "switched on and saved",
            told(false, false, false, false),
            turn(true, true),
        ),
        (
            "switched on, not saved, over a pause",
            told(true, true, true, false),
            turn(true, false),
        ),
        (
            "switched off, not saved",
            told(true, true, false, true),
            turn(false, false),
        ),
        ("configured on", told(false, false, false, true), Step::Configure(true)),
        ("paused", told(true, true, false, false), Step::Pause),
        ("resumed", told(true, false, true, false), Step::Resume),
        ("admitted", told(true, true, false, false), Step::Admit),
        ("flushed", told(false, false, false, true), Step::Flush),
        ("committed", told(true, true, false, true), Step::Commit),
    ];
    let mut rows = Vec::new();
    let mut kills = 0;
    for (number, (what, old, step)) in calls.into_iter().enumerate() {
        let new = old.after(step);
        place(&mut home, old);
        let deeds = followed(&home, None, || happen(&home, &socket, step));
        assert!(!deeds.is_empty(), "{what}");
        for last in (number % stride()..deeds.len()).step_by(stride()) {
            place(&mut home, old);
            let done = followed(&home, Some(last), || happen(&home, &socket, step));
            // Where it had less to do this time, it still is there.
            home.daemon.kill9();
            let which = format!("{what}, killed before deed {last} of {}, after {done:?}", deeds.len());
            kills += usize::from(done.len() > last);
            dead(&home, [old, new], &which);
            revived(&mut home, [old, new], &which);
        }
        figure("faults", &format!("{what}: {}", deeds.join(" ")));
        rows.push(what);
    }
    figure("faults", &format!("{kills} kills, each before another deed of a call"));
    assert!(kills > 30, "{kills}");
    record(
        "steps",
        &[(
            &format!(
                "Followed by ptrace, and SIGKILL before each system call of which others can see something (what it sends to the kernel and the bus, what it writes, renames and removes), one after the other (`make test` takes each third), while it was: {}",
                rows.join("; ")
            ),
            "As above: before the call or after it, each thing by itself, in the kernel, in the files and for packets".to_owned(),
        )],
    );
}

/// The call, and what comes behind its answer (the script for the firewall, another look), or the daemon's end.
fn happen(home: &Home, socket: &Path, step: Step) {
    if let Step::Configure(on) = step {
        home.house.configure(&everything(on));
    }
    let (method, arguments) = step.method();
    let (socket, done) = (socket.to_owned(), home.house.directory().join(DONE));
    let calls = std::thread::spawn(move || call(&socket, method, &arguments, SOON).is_ok());
    let _ = within(SOON, || calls.is_finished() || done.exists());
    if !done.exists() {
        std::thread::sleep(Duration::from_millis(40));
    }
}

/// Of so many deeds one; all of them where `LANWARD_KILLS` is `all`.
fn stride() -> usize {
    match std::env::var("LANWARD_KILLS") {
        Ok(kills) if kills == "all" => 1,
        _ => 3,
    }
}

#[test]
fn killed_before_any_deed_of_a_start_what_was_there_stays_and_the_next_one_goes_through() {
    let Some(mut home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &everything(true)) else {
        return;
    };
    let program = lanward_rig::daemon::program();
    // Halts before it becomes the daemon, so that it can be followed from its first step.
    let script = becomes_the_daemon(&home.house, "halting", "kill -STOP $$");
    let all = told(true, true, true, true);
    let mut counts = Vec::new();
    for has_table in [true, false] {
        let now = if has_table { all } else { told(true, true, false, false) };
        let mut start = |last: Option<usize>| {
            place(&mut home, now);
            home.daemon.kill9();
            if !has_table {
                home.house.router().nft("delete table inet lanward\n");
            }
            home.daemon.set_program(script.clone());
            home.daemon.launch().expect("it can be started");
            let pid = home.daemon.pid();
            assert!(within(SOON, || is_halted(pid)), "it does not halt");
            let done = home.house.directory().join(DONE);
            let deeds = followed(&home, last, || {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT);
                let _ = within(Duration::from_millis(150), || done.exists());
            });
            home.daemon.kill9();
            home.daemon.set_program(program.clone());
            let which = format!("a start (table there: {has_table}), killed before deed {last:?}, after {deeds:?}");
            if has_table {
                dead(&home, [now, now], &which);
            }
            revived(&mut home, [now, now], &which);
            deeds.len()
        };
        let count = start(None);
        for last in (usize::from(has_table)..count).step_by(stride()) {
            start(Some(last));
        }
        assert!(count > 10, "{count}");
        counts.push(count);
    }
    figure(
        "faults",
        &format!("{counts:?} deeds of a start (with a table there, without one)"),
    );
    record(
        "start steps",
        &[(
            "The same while it started: with the table of the daemon before, with switch, pause and list in it, and without one",
            "What was there stayed, and packets went as before; the next start went through, with everything as it had been".to_owned(),
        )],
    );
}

/// Whether a process is stopped by a signal.
fn is_halted(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}
