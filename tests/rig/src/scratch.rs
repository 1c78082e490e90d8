//! Directories of the tests' own, below the system's temporary one.

use crate::flash::Flash;
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;

/// A directory that is its owner's alone and removed with it. Those of processes that were killed are removed by the next one that makes one.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// One that no other user can go into. `name` says what it is for to whoever finds it; it is to be short, since a socket's path has 108 bytes.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(named(name, std::process::id(), number));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Self(path),
                // A process that had this one's number left it behind.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// One that every user can go into, for programs that do not stay root.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn for_everybody(name: &str) -> Self {
        let scratch = Self::new(name);
        fs::set_permissions(&scratch, Permissions::from_mode(0o755)).expect("it was just made");
        scratch
    }

    /// Where a bus's socket is to be in it.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.join("ubus.sock")
    }

    /// A file in it that only its owner can read, as programs demand of files with keys.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        let written = fs::write(&path, bytes);
        let written = written.and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PREFIX: &str = "lanward-";

/// The letter keeps somebody's `lanward-2026-11-30` from being taken for one of these.
fn named(name: &str, process: u32, number: u32) -> String {
    format!("{PREFIX}{name}-{process}-s{number}")
}

/// The process that made a directory of this name.
fn maker(name: &str) -> Option<u32> {
    let (before, number) = name.strip_prefix(PREFIX)?.rsplit_once("-s")?;
    let (_, process) = before.rsplit_once('-')?;
    number.parse::<u32>().ok()?;
    process.parse().ok()
}

/// Removes what processes that are no more left behind.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(maker) = entry.file_name().to_str().and_then(maker) else {
            continue;
        };
        if !Path::new("/proc").join(maker.to_string()).exists() {
            // Nothing below what a killed test left mounted in there could be removed.
            Flash::unmount_below(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
    }

    #[test]
    fn each_is_new_closed_and_gone_with_its_owner() {
        let (one, other) = (Scratch::new("one"), Scratch::for_everybody("one"));
        assert_ne!(one.0, other.0);
        assert_eq!((mode(&one), mode(&other)), (0o700, 0o755));
        let key = one.write("key", "secret");
        assert_eq!((mode(&key), fs::read(&key).expect("ours").len()), (0o600, 6));
        let path = one.to_path_buf();
        drop(one);
        assert!(!path.exists() && other.exists());
    }

    #[test]
    fn only_what_a_dead_process_left_is_swept() {
        let place = std::env::temp_dir();
        // No process has a number that is larger than Linux's largest, 2^22.
        let dead = place.join(named("swept", 1 << 23, std::process::id()));
        let living = place.join(named("swept", std::process::id(), 1 << 30));
        for path in [&dead, &living] {
            fs::create_dir_all(path).expect("room for a directory");
        }
        sweep();
        assert!(!dead.exists() && living.exists());
        fs::remove_dir_all(living).expect("ours");
    }

    #[test]
    fn other_names_are_not_taken_for_a_dead_process_s() {
        assert_eq!(maker(&named("fleet-uci", 4711, 12)), Some(4711));
        for name in [
            "lanward-2026-11-30",
            "lanward-7-s",
            "lanward-s1",
            "lanward-x-y-s1",
            "x-7-s1",
            "lanward-x-7-s1.log",
        ] {
            assert_eq!(maker(name), None, "{name}");
        }
    }
}
