//! A file system of its own on a directory: small, full, not to be written.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A flash of its own, mounted on a directory. Dropped before the house, which removes the directory.
#[derive(Debug)]
pub struct Flash(PathBuf);

impl Flash {
    /// Mounts it, with room for so much.
    ///
    /// # Panics
    /// If that is not allowed.
    #[must_use]
    pub fn mount(at: PathBuf, kib: u32) -> Self {
        let flash = Self(at);
        flash.run("mount", &["-t", "tmpfs", "-o", &format!("size={kib}k"), "flash"]);
        flash
    }

    /// Takes away what is mounted in there.
    pub fn unmount_below(directory: &Path) {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.map(Path::new).filter(|point| point.starts_with(directory)) {
            unmount(point);
        }
    }

    /// `ro`: nothing can be written any more; `rw`: it can again.
    ///
    /// # Panics
    /// If that is not allowed.
    pub fn remount(&self, how: &str) {
        self.run("mount", &["-o", &format!("remount,{how}")]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = Command::new(program).args(arguments).arg(&self.0).status();
        let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(status.success(), "{program} {arguments:?}");
    }

    /// Leaves so many bytes free, by a file of somebody else's.
    ///
    /// # Panics
    /// If that file cannot be made.
    pub fn fill(&self, free: u64) -> PathBuf {
        let path = self.0.join("others");
        let mut file = File::create(&path).expect("a name is to be had");
        while file.write_all(&[0; 4096]).is_ok() {}
        let full = file.metadata().expect("it is open").len();
        file.set_len(full - free).expect("it becomes smaller");
        path
    }
}

impl Drop for Flash {
    fn drop(&mut self) {
        // Nothing is there that could be in the way, but a failed test's daemon.
        unmount(&self.0);
    }
}

fn unmount(point: &Path) {
    let _ = Command::new("umount").arg("-l").arg(point).status();
}
