//! A process taken step by step (ptrace), to end it between two of its deeds: system calls that others can see something of.

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use std::time::Duration;

/// What others can see: what it says to the kernel, to the bus and into the log, and what becomes of files and their names.
const DEEDS: &[(libc::c_long, &str)] = &[
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_sendmmsg, "sendmmsg"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename"),
];
/// A file that is opened to be written, or made.
const OPENED: &str = "openat";
/// `PTRACE_SYSCALL_INFO_ENTRY`
const ENTRY: u8 = 1;

/// The deed that the process is about to do.
fn deed(pid: Pid) -> Option<&'static str> {
    let info = ptrace::syscall_info(pid).ok()?;
    if info.op != ENTRY {
        return None;
    }
    // SAFETY: the kernel says that it is an entry, so that is the member which it has filled in.
    let entry = unsafe { info.u.entry };
    let number = libc::c_long::try_from(entry.nr).ok()?;
    if number == libc::SYS_openat {
        let changes = u64::try_from(libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT).ok()?;
        return (entry.args[2] & changes != 0).then_some(OPENED);
    }
    DEEDS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Follows a process of another's, and kills it when it is about to do its deed number `last` (from 0); with `None`, or if there are not so many, lets go of it
/// when `is_over`. What it did, and with `last` what it was about to do at the end.
///
/// # Errors
/// The kernel's.
pub fn follow(
    pid: Pid,
    last: Option<usize>,
    ready: impl FnOnce(),
    is_over: impl Fn() -> bool,
) -> Result<Vec<&'static str>, Errno> {
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD)?;
    ptrace::interrupt(pid)?;
    waitpid(pid, None)?;
    ptrace::syscall(pid, None)?;
    ready();
    let mut deeds = Vec::new();
    let mut leaves = false;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive if !leaves && is_over() => {
                leaves = true;
                ptrace::interrupt(pid)?;
            }
            WaitStatus::StillAlive => std::thread::sleep(Duration::from_micros(100)),
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(deeds),
            // Any stop will do: one at a system call takes the interruption with it.
            WaitStatus::PtraceEvent(..) | WaitStatus::PtraceSyscall(_) if leaves => {
                ptrace::detach(pid, None)?;
                return Ok(deeds);
            }
            WaitStatus::PtraceSyscall(_) => {
                deeds.extend(deed(pid));
                if last.is_some_and(|last| deeds.len() > last) {
                    kill(pid, Signal::SIGKILL)?;
                    waitpid(pid, None)?;
                    return Ok(deeds);
                }
                ptrace::syscall(pid, None)?;
            }
            WaitStatus::Stopped(_, signal) => ptrace::syscall(pid, signal)?,
            _ => ptrace::syscall(pid, None)?,
        }
    }
}
