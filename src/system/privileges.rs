//! From root to less: the daemon becomes another user that may change the network and nothing else, the keeper keeps root's access to
//! files and nothing else. Every step is checked, and what came of it is read back from the kernel: see capabilities(7).

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{geteuid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid, Gid, Uid};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{fchown, DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

// Numbers of linux/capability.h, which libc lacks.
const CAP_CHOWN: u32 = 0;
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_FOWNER: u32 = 3;
const CAP_NET_ADMIN: u32 = 12;
const VERSION_3: u32 = 0x2008_0522;

/// nf_tables, conntrack, NFLOG, rtnetlink and WireGuard all ask for this one.
const DAEMON: u64 = 1 << CAP_NET_ADMIN;
/// To read and replace a file whoever's it is, and to leave it whose it was.
const KEEPER: u64 = 1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER;

/// Whom to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl User {
    /// Finds a user by name, for somebody who is root and can so become it.
    ///
    /// # Errors
    /// There is none, it is root itself, or we are not root.
    pub fn find(name: &str) -> Result<Self, String> {
        if !geteuid().is_root() {
            return Err(format!("user '{name}': only root can become somebody else"));
        }
        let users =
            fs::read_to_string("/etc/passwd").map_err(|error| format!("user '{name}': /etc/passwd: {error}"))?;
        let user = Self::among(&users, name).ok_or_else(|| format!("user '{name}': there is no such user"))?;
        if user.uid.is_root() {
            return Err(format!("user '{name}' is root; without --user the daemon stays that"));
        }
        Ok(user)
    }

    /// In passwd(5)'s lines, which are all the users that a router has. (The C library's way to them is four kilobytes.)
    fn among(users: &str, name: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let mut number = |passed: usize| fields.nth(passed)?.parse().ok();
            Some(Self {
                name: name.to_string(),
                uid: Uid::from_raw(number(1)?),
                gid: Gid::from_raw(number(0)?),
            })
        })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Makes a directory if it is missing, and gives it to this user with this mode. A link is not followed. What lies in it stays
    /// whose it is.
    ///
    /// # Errors
    /// What the system says; also for a directory that is a third user's, or that everybody may write in (such as `/tmp`).
    pub fn give_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(path)?;
        let old = directory.metadata()?;
        if old.uid() != 0 && old.uid() != self.uid.as_raw() {
            return Err(io::Error::other("it belongs to another user"));
        }
        if old.mode() & libc::S_IWOTH != 0 {
            return Err(io::Error::other("everybody may write in it"));
        }
        fchown(&directory, Some(self.uid.as_raw()), Some(self.gid.as_raw()))?;
        directory.set_permissions(fs::Permissions::from_mode(mode))
    }

    /// Gives it a file of root's, as a daemon leaves that was started by hand; one that is not there needs nothing. Neither a link nor a file that has another
    /// name elsewhere.
    ///
    /// # Errors
    /// What the system says; also for what is no file, is a third user's or has two names.
    pub fn give_file(&self, path: &Path) -> io::Result<()> {
        // A pipe is not waited for.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let old = file.metadata()?;
        if old.uid() == self.uid.as_raw() {
            return Ok(());
        }
        if !old.is_file() || old.uid() != 0 || old.nlink() != 1 {
            return Err(io::Error::other("it is not a file of root's own"));
        }
        fchown(&file, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
    }

    /// Becomes this user for good, with `CAP_NET_ADMIN` alone: no other capability can be had again, by executing a file neither. To be
    /// called while there is one thread.
    ///
    /// # Errors
    /// Which step failed, or what is not as it must be afterwards. The process must then end.
    pub fn become_it(&self) -> Result<(), String> {
        let failed = |what: &str, error: Errno| format!("cannot become user '{}': {}", self.name, told(what, error));
        limit(DAEMON)?;
        setgroups(&[]).map_err(|error| failed("setgroups", error))?;
        setresgid(self.gid, self.gid, self.gid).map_err(|error| failed("setresgid", error))?;
        set(libc::PR_SET_KEEPCAPS, 1)?;
        setresuid(self.uid, self.uid, self.uid).map_err(|error| failed("setresuid", error))?;
        set(libc::PR_SET_KEEPCAPS, 0)?;
        hold(DAEMON)?;
        verify(self.uid, self.gid, DAEMON)
    }
}

/// For the keeper: stays root, with its access to files and no other of its rights.
///
/// # Errors
/// As [`User::become_it`].
pub fn keep_file_access() -> Result<(), String> {
    limit(KEEPER)?;
    setgroups(&[]).map_err(|error| told("setgroups", error))?;
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid).map_err(|error| told("setresgid", error))?;
    setresuid(uid, uid, uid).map_err(|error| told("setresuid", error))?;
    hold(KEEPER)?;
    verify(uid, gid, KEEPER)
}

/// In the system's words: nix's are 10 KB more.
fn told(what: &str, error: Errno) -> String {
    format!("{what}: {}", io::Error::from(error))
}

/// The bounding set: what no file that is executed can give back.
fn limit(kept: u64) -> Result<(), String> {
    for capability in 0..u64::BITS {
        match get(libc::PR_CAPBSET_READ, capability) {
            // The kernel knows no more.
            Err(Errno::EINVAL) => break,
            Err(error) => return Err(told("bounding set", error)),
            Ok(1) if kept >> capability & 1 == 0 => {
                get(libc::PR_CAPBSET_DROP, capability).map_err(|error| told("bounding set", error))?;
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn hold(capabilities: u64) -> Result<(), String> {
    set_capabilities(capabilities).map_err(|error| told("capset", error))?;
    // What is not inheritable is not ambient either: capset has taken that away, too.
    set(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Whether all is as it must be.
fn verify(uid: Uid, gid: Gid, capabilities: u64) -> Result<(), String> {
    let wrong = |what: &str| format!("{what} did not become what it must be");
    let (uids, gids) = (getresuid(), getresgid());
    if !uids.is_ok_and(|is| is.real == uid && is.effective == uid && is.saved == uid) {
        return Err(wrong("the user"));
    }
    if !gids.is_ok_and(|is| is.real == gid && is.effective == gid && is.saved == gid) {
        return Err(wrong("the group"));
    }
    if !getgroups().is_ok_and(|groups| groups.is_empty()) {
        return Err(wrong("the list of groups"));
    }
    let held = [Data::halves(capabilities, 0), Data::halves(capabilities, 1)];
    if get_capabilities() != Ok(held) {
        return Err(wrong("the set of capabilities"));
    }
    for capability in 0..u64::BITS {
        let kept = capabilities >> capability & 1 == 1;
        match get(libc::PR_CAPBSET_READ, capability) {
            Err(Errno::EINVAL) => break,
            Ok(1) if !kept => return Err(wrong("the bounding set")),
            Ok(_) => {}
            Err(error) => return Err(told("bounding set", error)),
        }
        let ambient = ambient(capability).map_err(|error| told("ambient set", error))?;
        if ambient {
            return Err(wrong("the ambient set"));
        }
    }
    match get(libc::PR_GET_NO_NEW_PRIVS, 0) {
        Ok(1) => Ok(()),
        _ => Err(wrong("no_new_privs")),
    }
}

fn set(option: libc::c_int, value: u32) -> Result<(), String> {
    get(option, value)
        .map(drop)
        .map_err(|error| told(&format!("prctl {option}"), error))
}

#[allow(unsafe_code)]
fn get(option: libc::c_int, value: u32) -> Result<libc::c_int, Errno> {
    let (value, nothing): (libc::c_ulong, libc::c_ulong) = (value.into(), 0);
    // SAFETY: the options used here take numbers, no pointers.
    Errno::result(unsafe { libc::prctl(option, value, nothing, nothing, nothing) })
}

#[allow(unsafe_code)]
fn ambient(capability: u32) -> Result<bool, Errno> {
    let (capability, nothing): (libc::c_ulong, libc::c_ulong) = (capability.into(), 0);
    let question = libc::c_ulong::from(libc::PR_CAP_AMBIENT_IS_SET.unsigned_abs());
    // SAFETY: it takes numbers, no pointers.
    let answer = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, question, capability, nothing, nothing) };
    Errno::result(answer).map(|answer| answer != 0)
}

/// `struct __user_cap_header_struct`
#[repr(C)]
struct Header {
    version: u32,
    /// 0: the calling thread.
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`, of which there are two: the low bits come first.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

impl Data {
    /// Effective and permitted, not inheritable.
    fn halves(capabilities: u64, half: u32) -> Self {
        let bits = capabilities >> (32 * half) & u64::from(u32::MAX);
        let bits = u32::try_from(bits).unwrap_or_default();
        Self {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        }
    }
}

#[allow(unsafe_code)]
fn set_capabilities(capabilities: u64) -> Result<(), Errno> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let data = [Data::halves(capabilities, 0), Data::halves(capabilities, 1)];
    // SAFETY: version 3 reads a header and two data structures, which are what the pointers lead to.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) };
    Errno::result(result).map(drop)
}

#[allow(unsafe_code)]
fn get_capabilities() -> Result<[Data; 2], Errno> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads a header and writes two data structures, which are what the pointers lead to.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    Errno::result(result).map(|_| data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/ash\nlanward2:x:7:8::/:\nbroken:x::1\nlanward:x:453:454:lanward:/var/run/lanward:/bin/false\n";
        let of = |name: &str| User::among(users, name).map(|user| (user.uid.as_raw(), user.gid.as_raw()));
        assert_eq!(of("lanward"), Some((453, 454)));
        assert_eq!(of("root"), Some((0, 0)));
        assert_eq!(of("broken"), None);
        assert_eq!(of("lan"), None);
    }
}
