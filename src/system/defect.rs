//! What is left to say when a defect ends the program.
//!
//! For a router, panics are built as a trap and no more (`panic=immediate-abort`, see `package/cross.sh`): no message, and no file and line for each place that could
//! panic, which together were a twentieth of the package. What says where it was then is the trap's address: `package/defect.py` makes file and line of it, and of
//! what was inlined there, from the symbols beside the package.

use nix::sys::signal::{raise, sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
use std::ffi::{c_int, c_void};
use std::io::Write;
use std::os::fd::AsRawFd;

/// A panic is one of the first two, by architecture; the third is a lack of memory; the others are what no code of ours should do, or too deep a stack.
const SIGNALS: [Signal; 6] = [
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGSEGV,
];

/// More than the kernel wants for a signal's frame on any of our machines, and our line.
const STACK: usize = 16_384;

/// From now on a defect writes one line to stderr, which procd puts into the log, before the signal ends the process as ever.
#[allow(unsafe_code)]
pub fn watch() {
    // Where the stack is at its end, the handler needs another one. It is never given back.
    let stack = libc::stack_t {
        ss_sp: vec![0_u8; STACK].leak().as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: STACK,
    };
    // SAFETY: the stack is as large as it says, and stays.
    unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    let action = SigAction::new(
        SigHandler::SigAction(tell),
        SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK | SaFlags::SA_RESETHAND,
        SigSet::empty(),
    );
    for signal in SIGNALS {
        // SAFETY: the handler does nothing that a handler must not: see there. Without it, the process ends all the same.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// Everything in here may be done in a handler: no memory is asked for, no lock taken, and it calls nothing but write and raise.
#[allow(unsafe_code)]
extern "C" fn tell(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO both, of the kind that the architecture has.
    let (at, after) = unsafe { place(info, context) };
    let mut line = [0; 160];
    let mut rest = line.as_mut_slice();
    let _ = writeln!(
        rest,
        "lanward {}: a defect at {at:#010x} (after {after:#010x}, signal {signal}) ended the process; what is enforced stays",
        env!("CARGO_PKG_VERSION")
    );
    let unused = rest.len();
    if let Some(line) = line.len().checked_sub(unused).and_then(|length| line.get(..length)) {
        // SAFETY: the bytes are there. Nobody is left to be told that stderr is gone.
        unsafe { libc::write(std::io::stderr().as_raw_fd(), line.as_ptr().cast(), line.len()) };
    }
    // The handler is gone, so this one ends us; a trap would strike again by itself, but what somebody sends would not.
    if let Ok(signal) = Signal::try_from(signal) {
        let _ = raise(signal);
    }
}

/// The instruction, and where the last call was to return to, if a register says it.
///
/// # Safety
/// Both are what the kernel gave a handler with `SA_SIGINFO`.
#[cfg(any(target_arch = "mips", target_arch = "mips32r6"))]
#[allow(unsafe_code)]
unsafe fn place(_info: *const libc::siginfo_t, context: *const c_void) -> (u64, u64) {
    // libc has no ucontext_t for these. In o32's are, behind 24 bytes of flags, link and stack and 8 of sigcontext, the instruction and then the
    // registers, all in 64 bits (arch/mips/include/uapi/asm/{ucontext,sigcontext}.h).
    const AT: usize = 4;
    const RETURN: usize = AT + 1 + 31;
    let words = context.cast::<u64>();
    // SAFETY: the structure is longer than that, and aligned for its 64-bit fields.
    unsafe { (words.add(AT).read(), words.add(RETURN).read()) }
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm"))]
#[allow(unsafe_code)]
unsafe fn place(_info: *const libc::siginfo_t, context: *const c_void) -> (u64, u64) {
    // SAFETY: the kernel's structure is the C library's.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let (at, after) = (
        u64::from_ne_bytes(machine.gregs[libc::REG_RIP as usize].to_ne_bytes()),
        0,
    );
    #[cfg(target_arch = "aarch64")]
    let (at, after) = (machine.pc, machine.regs[30]);
    #[cfg(target_arch = "arm")]
    let (at, after) = (machine.arm_pc.into(), machine.arm_lr.into());
    (at, after)
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm"
)))]
#[allow(unsafe_code)]
unsafe fn place(info: *const libc::siginfo_t, _context: *const c_void) -> (u64, u64) {
    // SAFETY: what else sets this field sets it to an address too.
    (unsafe { (*info).si_addr() } as u64, 0)
}
