//! `docs/faults.md`: what was done to the daemon and what happened, as the scenes of this run have seen it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const HEAD: &str = "# Faults

What was done to a running daemon, and what happened. The scenes are in `tests/faults.rs`: the real daemon in a house made of network namespaces, judged by packets. This
page is written by their run (`LANWARD_GOLDEN=rewrite cargo test --test faults`); every other run compares what it sees with it. What is promised is in [SECURITY.md](../SECURITY.md).
";

/// The scenes in the order of the page: the test and its heading.
const SCENES: [(&str, &str); SCENE_COUNT] = [
    ("killed", "Killed"),
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
];
const SCENE_COUNT: usize = 15;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md")
}

/// What a scene has seen: compared with the page, or written there.
///
/// # Panics
/// If the page says something else.
pub fn record(scene: &str, rows: &[(&str, String)]) {
    let heading = SCENES
        .iter()
        .find(|(name, _)| *name == scene)
        .expect("a scene of the page")
        .1;
    let mut seen = format!("## {heading}\n\n| what was done | what happened |\n|---|---|\n");
    for (done, happened) in rows {
        assert!(!done.contains('|') && !happened.contains('|'), "{done}: {happened}");
        let _ = writeln!(seen, "| {done} | {happened} |");
    }
    let rewrites = std::env::var_os("LANWARD_GOLDEN").is_some_and(|golden| golden == "rewrite");
    if rewrites {
        return exclusively(|| {
            let mut sections = sections();
            sections.insert(heading.to_owned(), seen.clone());
            let known = SCENES.iter().filter_map(|(_, heading)| sections.get(*heading));
            let text = known.fold(HEAD.to_owned(), |text, section| text + "\n" + section);
            fs::write(path(), text).expect("the page can be written");
        });
    }
    let written = sections().remove(heading).unwrap_or_default();
    assert!(
        written == seen,
        "docs/faults.md has\n{written}\nand this run saw\n{seen}\n(LANWARD_GOLDEN=rewrite writes it)"
    );
}

/// The page's sections by heading, each with an empty line less at its end.
fn sections() -> BTreeMap<String, String> {
    let text = fs::read_to_string(path()).unwrap_or_default();
    let parts = text.split("\n## ").skip(1);
    parts
        .map(|part| {
            (
                part.lines().next().unwrap_or_default().to_owned(),
                format!("## {}\n", part.trim_end()),
            )
        })
        .collect()
}

/// The scenes may be processes of their own.
fn exclusively(work: impl FnOnce()) {
    let lock = std::env::temp_dir().join("lanward-faults-page.lock");
    let end = Instant::now() + Duration::from_secs(10);
    while OpenOptions::new().write(true).create_new(true).open(&lock).is_err() {
        assert!(Instant::now() < end, "{} is in the way", lock.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    work();
    let _ = fs::remove_file(lock);
}
