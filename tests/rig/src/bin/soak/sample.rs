//! What could grow: looked at in calm moments, and judged at the end.

use crate::scene::Scene;
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A sample: names and numbers.
pub type Sample = BTreeMap<String, u64>;

/// What belongs to the daemon's process, and begins anew with each.
pub const OF_DAEMON: [&str; 9] = [
    "daemon: resident memory, KiB",
    "daemon: descriptors",
    "daemon: threads",
    "daemon: children",
    "daemon: children, memory KiB",
    "daemon: zombies",
    "daemon: voluntary switches a minute",
    "daemon: processor ms a minute",
    "daemon: memory of its own, KiB",
];

/// When a sample was taken, in milliseconds; not for people.
pub const AT: &str = "(at, ms)";

fn count(directory: &str) -> u64 {
    fs::read_dir(directory).map_or(0, |entries| u64::try_from(entries.count()).unwrap_or(0))
}

/// Files below a directory, and their bytes.
fn files(directory: &Path) -> (u64, u64) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let (mut number, mut bytes) = (0, 0);
    for entry in entries {
        let Ok(seen) = entry.metadata() else { continue };
        number += 1;
        bytes += if seen.is_file() { seen.len() } else { 0 };
    }
    (number, bytes)
}

/// The state in `/proc/PID/stat`.
fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

fn resident(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Elements of each set of the table's, and how many it may have.
pub fn sets(scene: &Scene) -> Vec<(String, u64, Option<u64>)> {
    let text = scene
        .house
        .router()
        .must("nft", &["-j", "list", "table", "inet", "lanward"], "");
    let all: Value = serde_json::from_str(&text).unwrap_or_default();
    let objects = all["nftables"].as_array().cloned().unwrap_or_default();
    let sets = objects.iter().filter_map(|object| object.get("set"));
    sets.map(|set| {
        let elements = set["elem"].as_array().map_or(0, Vec::len);
        let name = set["name"].as_str().unwrap_or_default().to_owned();
        (name, u64::try_from(elements).unwrap_or(0), set["size"].as_u64())
    })
    .collect()
}

/// The daemon's counters that only grow: voluntary switches and processor milliseconds.
pub fn counters(scene: &Scene) -> (u64, u64) {
    let spent = scene.daemon.processor_time().as_millis();
    (scene.daemon.voluntary_switches(), u64::try_from(spent).unwrap_or(0))
}

pub fn take(scene: &Scene) -> Sample {
    let daemon = scene.daemon.pid();
    let children = scene.daemon.children();
    let mut sample = Sample::new();
    let mut note = |name: &str, value: u64| {
        sample.insert(name.to_owned(), value);
    };
    note(OF_DAEMON[0], scene.daemon.rss_kib());
    note(OF_DAEMON[1], count(&format!("/proc/{daemon}/fd")));
    note(OF_DAEMON[2], count(&format!("/proc/{daemon}/task")));
    note(OF_DAEMON[3], u64::try_from(children.len()).unwrap_or(0));
    note(OF_DAEMON[4], children.iter().map(|child| resident(*child)).sum());
    note(
        OF_DAEMON[5],
        u64::try_from(children.iter().filter(|child| is_zombie(**child)).count()).unwrap_or(0),
    );
    note(OF_DAEMON[8], scene.daemon.own_kib());
    let router = scene.house.router();
    let conntrack = router.run(|| fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count"));
    note(
        "kernel: conntrack entries",
        conntrack.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0),
    );
    let netlink = router.proc_net("netlink").lines().count();
    note(
        "kernel: netlink sockets in the router",
        u64::try_from(netlink).unwrap_or(0),
    );
    note(
        "kernel: elements of all sets",
        sets(scene).iter().map(|(_, elements, _)| elements).sum(),
    );
    let place = scene.house.directory();
    for directory in ["state", "run"] {
        let (number, bytes) = files(&place.join(directory));
        note(&format!("files: {directory}, number"), number);
        note(&format!("files: {directory}, bytes"), bytes);
    }
    note("files: configuration, number", files(&place.join("config")).0);
    note("files: the house's directory, number", files(place).0);
    note("log: bytes", u64::try_from(scene.daemon.log().len()).unwrap_or(0));
    sample
}

/// How far the last quarter's median may be above the first's, in a series of so many minutes.
fn may_grow(name: &str, first: u64, minutes: u64) -> u64 {
    match name {
        // Of a new process some memory is touched for the first time.
        "daemon: memory of its own, KiB" if minutes < 15 => 1024,
        "daemon: memory of its own, KiB" => 384,
        // The program's pages come in when they are first run, what is seldom done after an hour; a build for tests has many megabytes of them.
        "daemon: resident memory, KiB" => 4096,
        "daemon: children, memory KiB" => 1024 + first / 5,
        "daemon: voluntary switches a minute" => 1500 + first,
        "daemon: processor ms a minute" => 3000 + first,
        // What there is after some minutes of the same load, for the kernel keeps flows for minutes.
        "kernel: conntrack entries" => 1500_u64.saturating_sub(first).max(first / 2),
        // Some are made when they are first needed.
        "files: state, number" | "files: run, number" => 2,
        "kernel: elements of all sets" => u64::MAX,
        "files: state, bytes" | "files: run, bytes" => 32 * 1024 + first / 2,
        "log: bytes" => u64::MAX,
        _ => 0,
    }
}

pub fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// One line of the verdict.
pub struct Verdict {
    pub name: String,
    pub first: u64,
    pub last: u64,
    pub most: u64,
    pub samples: usize,
    pub held: bool,
}

/// How many samples a series has at least of which something can be said.
const ENOUGH: usize = 8;

/// What is left of a series behind its warming up: five minutes, or a quarter of it if that is less, and one sample at least. In that time lists and books fill up
/// with all there is in such a run, and what is allocated for them stays.
fn warm(series: &[Sample]) -> &[Sample] {
    const MILLISECONDS: u64 = 300_000;
    let at = |sample: &Sample| sample.get(AT).copied().unwrap_or(0);
    let (Some(first), Some(last)) = (series.first().map(at), series.last().map(at)) else {
        return series;
    };
    let until = first + ((last - first) / 4).clamp(1, MILLISECONDS);
    &series[series.partition_point(|sample| at(sample) < until)..]
}

/// Of one series of samples: what of it grew, the first ones left out. Nothing, where there are too few.
pub fn judge(series: &[Sample], concerns: impl Fn(&str) -> bool) -> Vec<Verdict> {
    let series = warm(series);
    if series.len() < ENOUGH {
        return Vec::new();
    }
    let quarter = series.len() / 4;
    let at = |sample: &Sample| sample.get(AT).copied().unwrap_or(0);
    let minutes = series.last().map_or(0, at).saturating_sub(at(&series[0])) / 60_000;
    let names = series[0].keys().filter(|name| concerns(name));
    names
        .map(|name| {
            let of = |samples: &[Sample]| {
                samples
                    .iter()
                    .filter_map(|sample| sample.get(name).copied())
                    .collect::<Vec<_>>()
            };
            let (first, last) = (
                median(of(&series[..quarter])),
                median(of(&series[series.len() - quarter..])),
            );
            Verdict {
                name: name.clone(),
                first,
                last,
                most: of(series).into_iter().max().unwrap_or(0),
                samples: series.len(),
                held: last <= first.saturating_add(may_grow(name, first, minutes)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(value: impl Fn(u64) -> u64) -> Vec<Sample> {
        let sample = |at| {
            Sample::from([
                (OF_DAEMON[8].to_owned(), value(at)),
                (OF_DAEMON[1].to_owned(), 20),
                (AT.to_owned(), at * 60_000),
            ])
        };
        (0..40).map(sample).collect()
    }

    fn grown(series: &[Sample]) -> Vec<String> {
        let verdicts = judge(series, |name| name != AT);
        assert_eq!(verdicts.len(), 2);
        verdicts
            .into_iter()
            .filter(|verdict| !verdict.held)
            .map(|verdict| verdict.name)
            .collect()
    }

    #[test]
    fn what_grows_on_and_on_is_a_leak_and_what_warms_up_or_peaks_is_none() {
        assert_eq!(grown(&series(|_| 8000)), Vec::<String>::new());
        assert_eq!(grown(&series(|at| 8000 + at * 20)), [OF_DAEMON[8]]);
        assert_eq!(
            grown(&series(|at| if at < 5 { 5000 } else { 8000 })),
            Vec::<String>::new()
        );
        assert_eq!(
            grown(&series(|at| if at == 38 { 90_000 } else { 8000 })),
            Vec::<String>::new()
        );
        assert_eq!(judge(&series(|_| 1)[..5], |_| true).len(), 0, "too few to say anything");
    }

    #[test]
    fn a_descriptor_more_is_a_leak() {
        let mut series = series(|_| 8000);
        for sample in &mut series[20..] {
            sample.insert(OF_DAEMON[1].to_owned(), 21);
        }
        assert_eq!(grown(&series), [OF_DAEMON[1]]);
    }
}
