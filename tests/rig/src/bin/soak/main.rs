//! `make soak`: hours of mixed load, faults and changed configuration, by a seed; after each step what is promised is asked by packets and calls, and in
//! calm moments it is looked at what could grow.

mod judge;
mod model;
mod play;
mod sample;
mod scene;
mod summary;

use judge::{Book, Tells};
use lanward_rig::clock::faketime;
use lanward_rig::report_line::figure;
use model::Model;
use play::{Killing, Play};
use sample::Sample;
use scene::Scene;
use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: soak [--minutes N] [--seed N] [--pace MILLISECONDS] [--into FILE] [--aloud]";
/// After so many promises missed nothing new is learnt.
const ENOUGH: usize = 20;

pub struct Options {
    length: Duration,
    seed: u32,
    pace: Duration,
    into: Option<PathBuf>,
    tells: Tells,
}

fn options() -> Option<Options> {
    let mut options = Options {
        length: Duration::from_secs(120 * 60),
        seed: 1,
        pace: Duration::ZERO,
        into: None,
        tells: Tells::Misses,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--aloud" {
            options.tells = Tells::Everything;
            continue;
        }
        let value = words.next()?;
        match word.as_str() {
            "--minutes" => options.length = Duration::try_from_secs_f64(60.0 * value.parse::<f64>().ok()?).ok()?,
            "--seed" => options.seed = value.parse().ok()?,
            "--pace" => options.pace = Duration::from_millis(value.parse().ok()?),
            "--into" => options.into = Some(value.into()),
            _ => return None,
        }
    }
    if options.pace.is_zero() {
        // A short run does as much as it can, a long one goes on for long.
        options.pace = Duration::from_millis(if options.length < Duration::from_secs(600) {
            200
        } else {
            500
        });
    }
    Some(options)
}

/// What was seen in calm moments.
#[derive(Default)]
pub struct Samples {
    /// By daemon.
    pub series: Vec<Vec<Sample>>,
    pub all: Vec<Sample>,
    /// Sets: elements at most, and how many there may be.
    pub sets: BTreeMap<String, (u64, Option<u64>)>,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let model = Model::new();
    println!(
        "soak: {} minutes, seed {}, a step each {} ms",
        options.length.as_secs_f32() / 60.0,
        options.seed,
        options.pace.as_millis()
    );
    let Some(scene) = Scene::start(&model, faketime()) else {
        println!("  ✗ This needs root and a kernel with network namespaces.");
        return ExitCode::FAILURE;
    };
    let mut play = Play::new(scene, model, Book::new(options.seed, options.tells));
    let mut samples = Samples::default();
    run(&mut play, &mut samples, &options);
    let text = summary::write(&play, &samples, &options);
    println!("{text}");
    let kept: u64 = play.book.kept.values().sum();
    let seen = (play.book.step, play.book.actions.len());
    figure(
        "soak",
        &format!("{} steps of {} kinds, {kept} promises kept", seen.0, seen.1),
    );
    if let Some(path) = &options.into {
        if let Err(error) = std::fs::write(path, summary::page(&text)) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if play.book.missed.is_empty() && summary::leaks(&samples).is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(play: &mut Play, samples: &mut Samples, options: &Options) {
    let began = Instant::now();
    // The daemon is ended only at the beginning of each stretch, so that what grows slowly has time.
    let stretches = if options.length < Duration::from_secs(3600) {
        1
    } else {
        4
    };
    let stretch = options.length / stretches;
    let every = (options.length / 120).clamp(Duration::from_secs(4), Duration::from_secs(60));
    let mut calm_at = every;
    while began.elapsed() < options.length && play.book.missed.len() < ENOUGH {
        let at = Instant::now();
        let within_stretch = Duration::from_secs_f64(began.elapsed().as_secs_f64() % stretch.as_secs_f64());
        let killing = if within_stretch < stretch / 6 {
            Killing::Allowed
        } else {
            Killing::Spared
        };
        guarded(play, |play| play.step(killing));
        if began.elapsed() >= calm_at {
            guarded(play, |play| calm(play, samples));
            calm_at = (calm_at + every).max(began.elapsed() + every / 2);
        }
        std::thread::sleep(options.pace.saturating_sub(at.elapsed()));
    }
    guarded(play, |play| calm(play, samples));
}

/// What panics is a promise missed, and goes on.
fn guarded(play: &mut Play, work: impl FnOnce(&mut Play)) {
    let done = catch_unwind(AssertUnwindSafe(|| work(play)));
    if let Err(panic) = done {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        let log = play.scene.daemon.log();
        play.book.missed(&log, "nothing panics", &words.unwrap_or_default());
    }
}

/// Everything is well for a moment: the relay comes up, lists are compared, and a sample is taken.
fn calm(play: &mut Play, samples: &mut Samples) {
    play.book.did("calm", "");
    play.heal();
    judge::relay(&play.scene, &mut play.book);
    judge::status(&play.scene, &play.model, &mut play.book);
    judge::gate_list(&play.scene, &play.model, &mut play.book);
    std::thread::sleep(Duration::from_millis(500));
    let mut sample = sample::take(&play.scene);
    let restarts = usize::try_from(play.restarts).expect("few");
    while samples.series.len() <= restarts {
        samples.series.push(Vec::new());
    }
    let series = &mut samples.series[restarts];
    let (switches, spent) = sample::counters(&play.scene);
    let at = u64::try_from(play.book.began.elapsed().as_millis()).unwrap_or(0);
    if let Some(before) = series.last() {
        let of = |name: &str| before.get(name).copied().unwrap_or(0);
        let passed = at.saturating_sub(of(sample::AT)).max(1);
        sample.insert(
            sample::OF_DAEMON[6].to_owned(),
            switches.saturating_sub(of("(switches)")) * 60_000 / passed,
        );
        sample.insert(
            sample::OF_DAEMON[7].to_owned(),
            spent.saturating_sub(of("(spent)")) * 60_000 / passed,
        );
    }
    for (name, value) in [(sample::AT, at), ("(switches)", switches), ("(spent)", spent)] {
        sample.insert(name.to_owned(), value);
    }
    series.push(sample.clone());
    samples.all.push(sample);
    for (name, elements, size) in sample::sets(&play.scene) {
        let most = samples.sets.entry(name.clone()).or_insert((0, size));
        *most = (most.0.max(elements), size);
        play.book.check(
            &play.scene,
            "no set has more than its size",
            size.is_none_or(|size| elements <= size),
            || format!("{name}: {elements} of {size:?}"),
        );
    }
}
