//! A TCP connection attempt that tells apart the ways of being refused.

use crate::probe::Connection;
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    bind, connect as start, getsockopt, recvmsg, setsockopt, socket, sockopt, AddressFamily, ControlMessageOwned,
    MsgFlags, SockFlag, SockType, SockaddrStorage,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// Of the time that an answer may take.
const PARTS: u8 = 8;

/// Connects from `source` to `target` and waits so long for the outcome.
///
/// # Errors
/// Those of this end: no socket, no route.
pub fn connect(source: SocketAddr, target: SocketAddr, wait: Duration) -> io::Result<Connection> {
    let family = if target.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    if target.is_ipv4() {
        setsockopt(&fd, sockopt::Ipv4RecvErr, &true)?;
    } else {
        setsockopt(&fd, sockopt::Ipv6RecvErr, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(source))?;
    match start(fd.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) => return Ok(Connection::Accepted),
        Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    // In parts: a machine that stands still for a moment takes one of them from the answer.
    let part = PollTimeout::try_from(wait.as_millis().div_ceil(PARTS.into())).unwrap_or(PollTimeout::MAX);
    let mut parts = PARTS;
    while poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], part)? == 0 {
        parts -= 1;
        if parts == 0 {
            return Ok(Connection::Silent);
        }
    }
    if let Some(icmp) = icmp_error(&fd) {
        return Ok(icmp);
    }
    match getsockopt(&fd, sockopt::SocketError)? {
        0 => Ok(Connection::Accepted),
        code if code == Errno::ECONNREFUSED as i32 => Ok(Connection::Reset),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// ECONNREFUSED alone does not say whether a RST or an ICMP message brought it: the error queue does.
fn icmp_error(fd: &OwnedFd) -> Option<Connection> {
    let mut space = nix::cmsg_space!(libc::sock_extended_err, SockaddrStorage);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(fd.as_raw_fd(), &mut [], Some(&mut space), flags).ok()?;
    let mut controls = message.cmsgs().ok()?;
    controls.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            let from_icmp = matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
            from_icmp.then_some(Connection::Unreachable(error.ee_type, error.ee_code))
        }
        _ => None,
    })
}
