//! Key files: small files of secrets, read, made and removed with care. Bytes of a key are wiped from memory when they are no longer
//! needed.

use nix::libc;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What a key file is to be like.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What makes one.
    maker: &'static str,
    /// Whose it can be, besides the reader's.
    owner: &'static str,
}

/// The key of an `spa` section, which root reads for the daemon.
pub const SPA: Rule = Rule {
    maker: "lanward spa keygen NAME",
    owner: "root",
};
/// A relay's key, which the daemon reads by itself.
pub const RELAY: Rule = Rule {
    maker: "lanward relay keygen NAME",
    owner: "lanward",
};

/// More than any key file; a larger one is refused.
const LARGEST: usize = 4096;
const LONGEST_NAME: usize = 32;

/// Reads a key file: a file, not a link, of root or of the user with this id, that nobody else may read or write.
///
/// # Errors
/// One line that names the path and what to do.
pub fn read(path: &Path, user: u32, rule: Rule) -> Result<Zeroizing<Vec<u8>>, String> {
    let named = |what: &str| format!("{}: {what}", path.display());
    // A pipe's other end may never come.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let mut file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => named(&format!("there is no such file: '{}' makes one", rule.maker)),
        Some(libc::EACCES) => named(&format!(
            "{error}: it has to belong to {1}: chown {1} '{0}'",
            path.display(),
            rule.owner
        )),
        Some(libc::ELOOP) => named("a symbolic link: put the key file itself there"),
        _ => named(&error.to_string()),
    })?;
    // Asked of what is open: the name may lead elsewhere by now.
    let seen = file.metadata().map_err(|error| named(&error.to_string()))?;
    if !seen.is_file() {
        return Err(named("not a file"));
    }
    if seen.uid() != 0 && seen.uid() != user {
        let what = format!(
            "belongs to user {}, who could read and change it: chown {} '{}'",
            seen.uid(),
            rule.owner,
            path.display()
        );
        return Err(named(&what));
    }
    if seen.mode() & 0o077 != 0 {
        let what = format!(
            "others than its owner have rights to it (mode {:04o}): chmod 600 '{}'",
            seen.mode() & 0o7777,
            path.display()
        );
        return Err(named(&what));
    }
    // Whoever may write in its directory could have given another file this name.
    if seen.nlink() > 1 {
        return Err(named("has a second name (a hard link): put a copy there"));
    }
    // One buffer of full size: what a vector leaves behind when it grows is not wiped.
    let mut bytes = Zeroizing::new(vec![0; LARGEST + 1]);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(named(&error.to_string())),
        }
    }
    if filled > LARGEST {
        return Err(named(&format!("larger than {LARGEST} bytes: this is no key file")));
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Where the key file of a section lies: `NAME.key` in this directory.
///
/// # Errors
/// The name is no section's name as UCI has it, or longer than 32 characters.
pub fn path(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || name.len() > LONGEST_NAME || !fits {
        return Err(format!(
            "'{}' cannot be a key's name: 1 to {LONGEST_NAME} letters, digits and '_' (such as laptop)",
            name.escape_debug()
        ));
    }
    Ok(directory.join(format!("{name}.key")))
}

/// Makes a key file, mode 0600, on flash when this returns. What is there already, be it a link, stays as it is.
///
/// # Errors
/// One line that names the path; then there is no new file.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let named = |error: &io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "{}: is there already, and a key is never overwritten: remove it first, or take another name",
            path.display()
        ),
        io::ErrorKind::NotFound => format!("{}: there is no such directory", path.display()),
        _ => format!("{}: {error}", path.display()),
    };
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| named(&error))?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory(path));
    written.map_err(|error| {
        // The first error is the one to tell.
        let _ = fs::remove_file(path);
        named(&error)
    })
}

/// Removes a key file that lies directly in this directory and is named like one: `NAME.key`, NAME of letters, digits, `_` and `-`. One that
/// is not there is removed already; of a link, the link goes.
///
/// # Errors
/// One line that names the path.
pub fn remove(directory: &Path, path: &Path) -> Result<(), String> {
    let named = |what: &str| format!("{}: {what}", path.display());
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.and_then(|name| name.strip_suffix(".key")).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(fits) || path.parent() != Some(directory) {
        return Err(named(&format!(
            "not a NAME.key in {}: remove it by hand",
            directory.display()
        )));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(named(&error.to_string())),
        Ok(()) => sync_directory(path).map_err(|error| named(&error.to_string())),
    }
}

/// What was made or removed beside this is so after a loss of power, too.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Random bytes of the kernel, fit for keys; waits where it has not yet gathered enough since the start.
///
/// # Errors
/// What the system says.
#[allow(unsafe_code)]
pub fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, String> {
    let mut bytes = Zeroizing::new([0; N]);
    let mut filled = 0;
    while filled < N {
        let place = &mut bytes[filled..];
        // SAFETY: the pointer and the length are those of a slice that is ours alone.
        let got = unsafe { libc::getrandom(place.as_mut_ptr().cast(), place.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => filled += got,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(format!("the kernel gives no random bytes: {error}")),
            },
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanward_rig::scratch::Scratch;
    use std::os::unix::fs::{symlink, PermissionsExt};

    fn me() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_made_is_closed_to_others_and_never_overwritten() {
        let place = Scratch::new("keys");
        let path = path(&place, "laptop").unwrap();
        create(&path, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(*read(&path, me(), SPA).unwrap(), b"secret");
        assert!(create(&path, b"other").unwrap_err().contains("never overwritten"));
        let planted = place.join("planted.key");
        symlink(place.join("victim"), &planted).unwrap();
        assert!(create(&planted, b"other")
            .unwrap_err()
            .contains("planted.key: is there"));
        assert!(!place.join("victim").exists());
        assert_eq!(*read(&path, me(), SPA).unwrap(), b"secret");
        assert!(create(&place.join("none/x.key"), b"")
            .unwrap_err()
            .contains("directory"));
    }

    #[test]
    fn every_refusal_names_the_file_and_what_to_do() {
        let place = Scratch::new("keys");
        let key = place.join("a.key");
        let refused = |path: &Path, user, what: &str| {
            let error = read(path, user, SPA).unwrap_err();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
            assert!(error.contains(what) && error.lines().count() == 1, "{error}");
        };
        refused(&key, me(), "spa keygen");
        for (bits, told) in [
            (0o604, "0604"),
            (0o640, "0640"),
            (0o620, "0620"),
            (0o610, "0610"),
            (0o601, "0601"),
        ] {
            fs::write(&key, "x").unwrap();
            mode(&key, bits);
            refused(&key, me(), told);
            refused(&key, me(), "chmod 600");
        }
        mode(&key, 0o400);
        assert_eq!(*read(&key, me(), SPA).unwrap(), b"x");
        let (link, hard, pipe) = (place.join("link.key"), place.join("hard.key"), place.join("pipe.key"));
        symlink(&key, &link).unwrap();
        refused(&link, me(), "symbolic link");
        fs::hard_link(&key, &hard).unwrap();
        refused(&key, me(), "hard link");
        fs::remove_file(&hard).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        refused(&pipe, me(), "not a file");
        refused(&place, me(), "not a file");
        fs::remove_file(&key).unwrap();
        create(&key, &[b'x'; LARGEST]).unwrap();
        assert_eq!(read(&key, me(), SPA).unwrap().len(), LARGEST);
        fs::remove_file(&key).unwrap();
        create(&key, &[b'x'; LARGEST + 1]).unwrap();
        refused(&key, me(), "larger than 4096");
        if me() == 0 {
            std::os::unix::fs::chown(&key, Some(12345), None).unwrap();
            refused(&key, 0, "belongs to user 12345");
            refused(&key, 0, "chown root");
            assert!(
                read(&key, 12345, SPA).unwrap_err().contains("larger"),
                "its own is read"
            );
        }
    }

    #[test]
    fn only_key_files_of_the_directory_are_removed() {
        let place = Scratch::new("keys");
        for name in ["a.key", "my-phone.key"] {
            create(&place.join(name), b"x").unwrap();
            remove(&place, &place.join(name)).unwrap();
            assert!(!place.join(name).exists());
            remove(&place, &place.join(name)).unwrap();
        }
        fs::create_dir(place.join("sub")).unwrap();
        for name in [
            "ledger.json",
            "sub/a.key",
            "a.b.key",
            ".key",
            "../a.key",
            "sub/../b.key",
            "a b.key",
        ] {
            let path = place.join(name);
            let _ = fs::write(&path, "stays");
            assert!(remove(&place, &path).unwrap_err().contains("by hand"), "{name}");
            assert!(path.exists() || name.contains(".."), "{name}");
        }
    }

    #[test]
    fn names_are_those_of_sections() {
        let place = Path::new("/etc/lanward");
        assert_eq!(path(place, "my_Phone2").unwrap(), place.join("my_Phone2.key"));
        for name in ["", "a.b", "../x", "a/b", "my-phone", "a b", "ä", &"x".repeat(33)] {
            assert!(path(place, name).unwrap_err().contains("cannot be"), "{name}");
        }
    }

    #[test]
    fn random_bytes_are_not_the_same_twice() {
        let [one, other] = [random::<96>(), random::<96>()].map(Result::unwrap);
        assert_ne!(one, other);
        assert!(one.iter().any(|byte| *byte != 0));
    }
}
