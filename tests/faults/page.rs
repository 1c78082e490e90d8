//! `docs/faults.md`: what was done to the daemon and what happened, as the scenes of this run have seen it.

use lanward_rig::written_page::WrittenPage;
use std::fmt::Write as _;

const PAGE: WrittenPage = WrittenPage {
    name: "faults.md",
    head: "# Faults

What was done to a running daemon, and what happened. The scenes are in `tests/faults.rs`: the real daemon in a house made of network namespaces, judged by packets. This
page is written by their run (`LANWARD_GOLDEN=rewrite cargo test --test faults`); every other run compares what it sees with it. What is promised is in [SECURITY.md](../SECURITY.md).
",
    scenes: &[
        ("killed", "Killed"),
    ("steps", "Killed between two deeds of a call"),
    ("start steps", "Killed between two deeds of a start"),
        ("bus", "The bus and netifd"),
        ("others", "fw4 and rpcd"),
        ("nft", "Other programs"),
        ("unreadable", "Files that cannot be read"),
        ("copies", "Copies of packets"),
        ("overrun", "Notifications that are lost"),
        ("full", "Flash and RAM without room"),
        ("descriptors", "Out of file descriptors"),
        ("memory", "Out of memory"),
        ("flapping", "A device that comes and goes"),
        ("clock", "A clock that jumps"),
        ("local", "A local user"),
        ("sessions", "A session of the page"),
        ("links", "Links and modes"),
    ],
};

/// What a scene has seen: compared with the page, or written there.
///
/// # Panics
/// If the page says something else.
pub fn record(scene: &str, rows: &[(&str, String)]) {
    let mut seen = String::from("| what was done | what happened |\n|---|---|\n");
    for (done, happened) in rows {
        assert!(!done.contains('|') && !happened.contains('|'), "{done}: {happened}");
        let _ = writeln!(seen, "| {done} | {happened} |");
    }
    PAGE.record(scene, &seen, str::to_owned);
}
