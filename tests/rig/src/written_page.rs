//! Pages of `docs` that a test's run writes: what its scenes have seen. A run that does not write compares.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Whether this run writes such pages (`LANWARD_GOLDEN=rewrite`).
#[must_use]
pub fn is_rewritten() -> bool {
    std::env::var_os("LANWARD_GOLDEN").is_some_and(|golden| golden == "rewrite")
}

/// A page: a head, and a section for each scene.
#[derive(Debug, Clone, Copy)]
pub struct WrittenPage {
    /// In `docs`.
    pub name: &'static str,
    /// What stands before the first section.
    pub head: &'static str,
    /// The scenes in the order of the page: a word for the code, and the heading.
    pub scenes: &'static [(&'static str, &'static str)],
}

impl WrittenPage {
    /// What a scene has seen, without the heading: written, or compared with what is written there, both as `essence` sees them.
    ///
    /// # Panics
    /// If the page says something else.
    pub fn record(&self, scene: &str, seen: &str, essence: impl Fn(&str) -> String) {
        let known = self.scenes.iter().find(|(name, _)| *name == scene);
        let heading = known.expect("a scene of the page").1;
        let seen = format!("## {heading}\n\n{seen}");
        if is_rewritten() {
            return self.exclusively(|| {
                let mut sections = self.sections();
                sections.insert(heading.to_owned(), seen);
                let known = self.scenes.iter().filter_map(|(_, heading)| sections.get(*heading));
                let text = known.fold(self.head.to_owned(), |text, section| text + "\n" + section);
                fs::write(self.path(), text).expect("the page can be written");
            });
        }
        let written = self.sections().remove(heading).unwrap_or_default();
        let name = self.name;
        assert!(
            essence(&written) == essence(&seen),
            "docs/{name} has\n{written}\nand this run saw\n{seen}\n(LANWARD_GOLDEN=rewrite writes it)"
        );
    }

    fn path(&self) -> PathBuf {
        // This crate's directory is tests/rig.
        let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        path.extend(["..", "..", "docs", self.name]);
        path
    }

    /// The page's sections by heading, each with an empty line less at its end.
    fn sections(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
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
    fn exclusively(&self, work: impl FnOnce()) {
        let lock = std::env::temp_dir().join(format!("lanward-{}.lock", self.name));
        let end = Instant::now() + Duration::from_secs(10);
        while OpenOptions::new().write(true).create_new(true).open(&lock).is_err() {
            assert!(Instant::now() < end, "{} is in the way", lock.display());
            std::thread::sleep(Duration::from_millis(10));
        }
        work();
        let _ = fs::remove_file(lock);
    }
}
