//! Somebody else on the router.

/// Nobody's number, as a user and as a group.
pub const NOBODY: u32 = 65534;

/// Runs something in a thread of another user: the kernel keeps credentials by thread, only libc keeps them by process.
///
/// # Panics
/// If this is not root's process, or the work panics.
pub fn as_user<T: Send + 'static>(uid: u32, gid: u32, work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        // SAFETY: these calls take no memory but the empty list, and concern this thread only.
        let results = unsafe {
            [
                libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()),
                libc::syscall(libc::SYS_setresgid, gid, gid, gid),
                libc::syscall(libc::SYS_setresuid, uid, uid, uid),
            ]
        };
        assert_eq!(results, [0, 0, 0], "needs root");
        work()
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
