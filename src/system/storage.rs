//! Files: read whole, written aside, synced and renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{fchown, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// More than any configuration file of a router; a larger one is refused, not read.
const LARGEST: u64 = 4 << 20;

/// Whether a written file has to outlive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced, with its directory: configuration on flash. Such a file is the user's: it keeps its mode and owner, and a symbolic link's
    /// target is replaced, not the link. A new one is its owner's alone.
    Flash,
    /// Not synced: the run directory is in RAM. Such a file is the daemon's own: everybody may read it, and a link in its place is replaced, not
    /// followed: the directory may be somebody else's than the one who writes.
    Memory,
    /// The same for the daemon's eyes only.
    Secret,
}

/// A file's bytes; `None` if there is none. What is no file (a pipe, whose other end may never come, a device) is refused.
///
/// # Errors
/// What the system says, or that the file is too large.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {LARGEST} bytes"),
        ));
    }
    Ok(Some(bytes))
}

/// What comes on standard input, as any other file: std's own reader of it brings five kilobytes along.
///
/// # Errors
/// What the system says.
#[allow(unsafe_code)]
pub fn standard_input() -> io::Result<File> {
    // SAFETY: Rust's start has seen to it that it is open, and nobody closes it.
    let input = unsafe { BorrowedFd::borrow_raw(nix::libc::STDIN_FILENO) };
    Ok(input.try_clone_to_owned()?.into())
}

/// Replaces a file's contents in one step: a reader sees the old bytes or the new ones, and (see [`Durability`]) so does the next boot
/// after a power cut.
///
/// # Errors
/// What the system says; the old file is then untouched.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let path = match durability {
        Durability::Flash => target(path),
        Durability::Memory | Durability::Secret => path.to_path_buf(),
    };
    let aside = aside(&path);
    let written = write_aside(&path, &aside, bytes, durability);
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&aside);
        return written;
    }
    fs::rename(&aside, &path)?;
    if durability == Durability::Flash {
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
    }
    Ok(())
}

/// Where a symbolic link leads in the end; a file that is none, or not there, is its own target. As many links are followed as the kernel does.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..40 {
        let Ok(link) = fs::read_link(&path) else { break };
        path = path.parent().map_or(link.clone(), |directory| directory.join(&link));
    }
    path
}

fn write_aside(path: &Path, aside: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    // What an interrupted run left may be somebody's link: it is removed, never written through.
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(aside)?;
    file.write_all(bytes)?;
    match fs::metadata(path) {
        Ok(old) if durability == Durability::Flash => {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        _ if durability == Durability::Memory => file.set_permissions(fs::Permissions::from_mode(0o644))?,
        _ => {}
    }
    match durability {
        Durability::Flash => file.sync_all(),
        Durability::Memory | Durability::Secret => Ok(()),
    }
}

/// `NAME.new`: not matched by the include's `*.nft`.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

/// Removes a file; one that is not there is removed already.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanward_rig::scratch::Scratch;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing_behind() {
        let directory = Scratch::new("storage");
        let path = directory.join("lanward");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"new", Durability::Flash).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_link_planted_aside_is_not_written_through() {
        let directory = Scratch::new("storage");
        let victim = directory.join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, directory.join("state.json.new")).unwrap();
        replace(&directory.join("state.json"), b"new", Durability::Memory).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_link_keeps_pointing_at_the_replaced_file() {
        let directory = Scratch::new("storage");
        fs::write(directory.join("real"), "old").unwrap();
        symlink(directory.join("real"), directory.join("name")).unwrap();
        replace(&directory.join("name"), b"new", Durability::Flash).unwrap();
        assert!(fs::symlink_metadata(directory.join("name")).unwrap().is_symlink());
        assert_eq!(fs::read(directory.join("real")).unwrap(), b"new");
        replace(&directory.join("name"), b"newer", Durability::Memory).unwrap();
        assert!(fs::symlink_metadata(directory.join("name")).unwrap().is_file());
        assert_eq!(
            fs::read(directory.join("real")).unwrap(),
            b"new",
            "a file of our own is no link"
        );
    }

    #[test]
    fn links_are_followed_to_the_end_wherever_they_are_relative_to() {
        let directory = Scratch::new("storage");
        fs::create_dir(directory.join("there")).unwrap();
        symlink("there/next", directory.join("first")).unwrap();
        symlink("../real", directory.join("there/next")).unwrap();
        replace(&directory.join("first"), b"new", Durability::Flash).unwrap();
        assert_eq!(fs::read(directory.join("real")).unwrap(), b"new");
        symlink("round", directory.join("round")).unwrap();
        replace(&directory.join("round"), b"new", Durability::Flash).unwrap();
        assert!(fs::symlink_metadata(directory.join("round")).unwrap().is_file());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_and_the_file_stays() {
        let path = Path::new("/proc/self/cmdline");
        assert!(replace(path, b"x", Durability::Memory).is_err());
        assert!(read(path).unwrap().is_some());
        assert!(read(Path::new("/nonexistent/file")).unwrap().is_none());
    }
}
