//! `docs/floods.md`: what floods did, as the scenes of this run have seen it.

use lanward_rig::written_page::{is_rewritten, WrittenPage};

/// Sources of each flood, where nothing else is said. `make test` says a million, and the page is written by no fewer.
const SOURCES: u32 = 100_000;
const ALL_SOURCES: u32 = 1_000_000;

const PAGE: WrittenPage = WrittenPage {
    name: "floods.md",
    head: "# Floods

What a million spoofed sources at each kind of port did, each from an address of its own, over IPv4 and IPv6, and what a conntrack table without room did. The scenes are in `tests/floods.rs`: the
real daemon with every system on (`lan_only`, a gate with witness, knock and authenticated packets, the ledger) in a house made of network namespaces. This page is written by their run
(`LANWARD_GOLDEN=rewrite cargo test --test floods`). Every other run holds the bounds; *what is in italics* is what the run measured that wrote the page, with two processors of which the sender of
the flood takes one. Times are in milliseconds. What is promised is in [SECURITY.md](../SECURITY.md).
",
    scenes: &[("ports", "At each kind of port"), ("full", "A conntrack table without room")],
};

/// How many sources a flood has in this run.
pub fn sources() -> u32 {
    if is_rewritten() {
        return ALL_SOURCES;
    }
    let set = std::env::var("LANWARD_FLOOD_SOURCES");
    set.ok().and_then(|number| number.parse().ok()).unwrap_or(SOURCES)
}

/// A cell that no run is compared by.
pub fn measured(what: &str) -> String {
    format!("*{what}*")
}

/// A table of the page.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().map(|cell| {
            assert!(!cell.contains('|'), "{cell}");
            format!(" {cell} |")
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    let rows = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    line(head.to_vec()) + &rule + &rows.collect::<String>()
}

/// What a scene has seen: compared with the page, or written there.
///
/// # Panics
/// If the page says something else.
pub fn record(scene: &str, seen: &str) {
    PAGE.record(scene, seen, |text| {
        // Every other piece stands between asterisks.
        text.split('*').step_by(2).collect::<Vec<_>>().join("*")
    });
}
