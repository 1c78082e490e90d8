//! What the commands for another machine than the router need of their system: names, knocks, one datagram, who asks.

use crate::config::Protocol;
use nix::libc;
use nix::sys::socket::{connect, socket, AddressFamily, SockFlag, SockType, SockaddrStorage};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::AsRawFd;

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

/// The first address of a host, of that family if one is given.
///
/// # Errors
/// One line that names the host.
pub fn resolve(host: &str, family: Option<Family>) -> Result<SocketAddr, String> {
    let found = (host, 0)
        .to_socket_addrs()
        .map_err(|error| format!("'{}' is not found: {error}", host.escape_debug()))?;
    let fits = |address: &SocketAddr| family.is_none_or(|family| address.is_ipv4() == (family == Family::V4));
    let mut found = found.filter(fits);
    found.next().ok_or_else(|| {
        let family = if family == Some(Family::V6) { "IPv6" } else { "IPv4" };
        format!("'{}' has no {family} address", host.escape_debug())
    })
}

/// Sends one packet to a port: the SYN of a connection that is given up at once (so that it does not come again), or a datagram of one zero byte, as knockd's
/// own client does. Whether and what is answered does not matter.
///
/// # Errors
/// It could not be sent.
pub fn knock(to: SocketAddr, protocol: Protocol) -> io::Result<()> {
    if protocol == Protocol::Udp {
        return any(to).and_then(|socket| socket.send_to(&[0], to)).map(drop);
    }
    let family = if to.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).map_err(io::Error::from) {
        // On this machine itself the answer is there at once.
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::ECONNREFUSED)) => Err(error),
        _ => Ok(()),
    }
}

/// A socket for datagrams to one address, and our own address on the way there.
///
/// # Errors
/// There is no way.
pub fn towards(to: SocketAddr) -> io::Result<(UdpSocket, IpAddr)> {
    let socket = any(to)?;
    socket.connect(to)?;
    let own = socket.local_addr()?.ip();
    Ok((socket, own))
}

fn any(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
}

/// The name of whoever runs this, as the environment has it, if it is harmless anywhere: at most 32 letters, digits, `.`, `_` and `-`.
#[must_use]
pub fn user() -> Option<String> {
    let fits = |name: &String| {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.len() <= 32 && name.bytes().all(harmless)
    };
    let mut named = ["LOGNAME", "USER"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok());
    named.find(fits)
}

/// The number of whoever runs this.
#[must_use]
pub fn user_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Does nothing for so long.
pub fn wait(time: std::time::Duration) {
    std::thread::sleep(time);
}
