//! What is printed and kept at the end.

use crate::play::Play;
use crate::sample::{self, median, Sample, Verdict, OF_DAEMON};
use crate::{Options, Samples};
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

fn is_of_daemon(name: &str) -> bool {
    OF_DAEMON.contains(&name)
}

/// Every verdict, with the stretch that it is about.
fn verdicts(samples: &Samples) -> Vec<(String, Verdict)> {
    let mut all = Vec::new();
    for (number, series) in samples.series.iter().enumerate() {
        let verdicts = sample::judge(series, is_of_daemon);
        all.extend(
            verdicts
                .into_iter()
                .map(|verdict| (format!("daemon {}", number + 1), verdict)),
        );
    }
    let others = sample::judge(&samples.all, |name| !is_of_daemon(name) && !name.starts_with('('));
    all.extend(others.into_iter().map(|verdict| ("the whole run".to_owned(), verdict)));
    all
}

/// What has grown more than it may.
pub fn leaks(samples: &Samples) -> Vec<String> {
    let grown = verdicts(samples).into_iter().filter(|(_, verdict)| !verdict.held);
    grown
        .map(|(of, verdict)| {
            format!(
                "{of}: {}: {} at first, {} at last",
                verdict.name, verdict.first, verdict.last
            )
        })
        .collect()
}

fn median_of(all: &[Sample], name: &str) -> u64 {
    median(all.iter().filter_map(|sample| sample.get(name).copied()).collect())
}

/// What the page is about, before what was seen.
const HEAD: &str = "# Soak

Mixed load, faults and changed configuration for hours, chosen by dice with a fixed seed: `make soak`, in `tests/rig/src/bin/soak`. A house made of network namespaces has the
daemon with all systems on: the switch, a gate with witness, knock and SPA, the ledger, a relay to a real sshd. After each step what is promised is asked by packets and calls, and
compared with a small model of what was done and answered. In calm moments, once a minute in a long run, every fault ends, the relay has to come up, and what could grow is looked at.
`make test` does a minute of it; this page is what a long run says (`make soak ARGS='--into docs/soak.md'`). Chance is the seed's alone, but time is not: a second run
with the same seed is like the first, and not the same.

Something has grown where the last quarter's median is further above the first's than allowed: 384 KiB of memory of the process's own (the pages of its program come in as they are first run, and may be 4 MiB more); no descriptor, thread, child or zombie; half again as many conntrack
entries; two files, and half again as many bytes in them. The first five minutes, or the first quarter if that is less, are left out. What belongs to the daemon's process is compared within one process, and in
a long run the daemon is ended only in the first sixth of each quarter. Sets have a bound, and that is checked each time.

What is wrong is a promise missed, whatever the machine does; what is late is one only where no busy machine explains it. A lost table is promised back within a second: how often it was
later is said, and missed is what is not back after ten.

## The last run

";

/// The whole page, with this summary.
pub fn page(summary: &str) -> String {
    HEAD.to_owned() + summary
}

pub fn write(play: &Play, samples: &Samples, options: &Options) -> String {
    let book = &play.book;
    let mut text = String::new();
    let minutes = |time: Duration| time.as_secs_f64() / 60.0;
    let (missed, leaks) = (&book.missed, leaks(samples));
    let sum = if missed.is_empty() && leaks.is_empty() {
        "all as promised"
    } else {
        "NOT all as promised"
    };
    let _ = writeln!(
        text,
        "**{sum}**: seed {}, {:.0} of {:.0} minutes, {} steps, one each {} ms at most; {} promises kept, {} missed; {} of what could grow has grown too much; \
         {} daemons one after the other; a lost table was back later than a second {} times.",
        book.seed,
        minutes(book.began.elapsed()),
        minutes(options.length),
        book.step,
        options.pace.as_millis(),
        book.kept.values().sum::<u64>(),
        missed.len(),
        leaks.len(),
        play.restarts + 1,
        book.late,
    );
    for line in missed.iter().chain(&leaks) {
        let _ = writeln!(text, "\n- {line}");
    }
    let mut table = |head: &str, rows: Vec<String>| {
        let rule = "|---".repeat(head.matches('|').count() - 1);
        let _ = writeln!(text, "\n{head}\n{rule}|\n{}", rows.join("\n"));
    };
    table("| promise | kept |", rows(&book.kept));
    table("| done | times |", rows(&book.actions));
    let milliseconds = book.longest.iter().map(|(what, time)| (*what, time.as_millis()));
    table("| took at most | ms |", rows(&milliseconds.collect()));
    let grown = verdicts(samples).into_iter().map(|(of, verdict)| {
        let Verdict {
            name,
            first,
            last,
            most,
            samples,
            held,
        } = verdict;
        let mark = if held { '✓' } else { '✗' };
        format!("| {name} | {of} | {samples} | {first} | {last} | {most} | {mark} |")
    });
    table(
        "| could grow | of | samples | first quarter | last quarter | most | |",
        grown.collect(),
    );
    let sets = samples.sets.iter().filter(|(_, (most, _))| *most > 0);
    let sets = sets.map(|(name, (most, size))| {
        let size = size.map_or("–".to_owned(), |size| size.to_string());
        format!("| `{name}` | {most} | {size} |")
    });
    table("| set | elements at most | may have |", sets.collect());
    let _ = writeln!(
        text,
        "\nIn the middle of {} samples: {} KiB resident; {} voluntary switches and {} ms of a processor a minute.",
        samples.all.len(),
        median_of(&samples.all, OF_DAEMON[0]),
        median_of(&samples.all, OF_DAEMON[6]),
        median_of(&samples.all, OF_DAEMON[7]),
    );
    text
}

fn rows(counts: &BTreeMap<&'static str, impl Display>) -> Vec<String> {
    let row = |(what, count): (&&'static str, _)| format!("| {what} | {count} |");
    counts.iter().map(row).collect()
}
