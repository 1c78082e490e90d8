//! Connections of our own: through a tunnel, to a target, to a relay's port; and what the kernel says of a client's.

use super::process::Errand;
use super::session::Live;
use crate::config;
use crate::relay::greeting::{hello, judge, Kind, Verdict};
use crate::relay::sight::{kind, Line, Outcome, Sight};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// The longest that a greeting takes. (A check is not oftener than every five seconds.)
const GREETING: Duration = Duration::from_secs(10);
/// To be accepted, by each address of a name.
const ACCEPT: Duration = Duration::from_secs(4);
/// The most addresses of a name.
const ADDRESSES: usize = 4;
/// A target that need not greet is looked for among the client's connections this often.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: Duration = Duration::from_millis(500);
/// What a client asks for so long in vain is no connection. dropbear's would ask for two minutes, with pauses in which the line's return is missed.
const ASKED: Duration = Duration::from_secs(8);
/// A VNC server that has shut somebody out says so right behind its greeting, where another waits for the client.
const VNC_REFUSAL: Duration = Duration::from_millis(300);
/// What is open so long was accepted, where nothing else can be seen.
const SETTLED: Duration = Duration::from_millis(1500);
/// The most that is read of the kernel's list of connections, and of a client's descriptors.
const LIST: usize = 4 << 20;
const PART: usize = 2048;
const DESCRIPTORS: usize = 1024;

/// A name's addresses, at most [`ADDRESSES`].
async fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let mut lookup = Errand::begin(&|| {
        let found = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
        let mut lines = String::new();
        for address in found.take(ADDRESSES) {
            lines.push_str(&format!("{address}\n"));
        }
        Ok(lines)
    })?;
    let found = timeout(ACCEPT, lookup.done()).await;
    let lines = found.map_err(|_| ErrorKind::TimedOut)?.map_err(std::io::Error::other)?;
    let mut addresses = Vec::new();
    for line in lines.lines() {
        addresses.extend(line.parse::<SocketAddr>());
    }
    Ok(addresses)
}

async fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(ErrorKind::NotFound);
    for address in resolve(host, port).await? {
        match open(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    match timeout(ACCEPT, socket?.connect(address)).await {
        Ok(result) => result,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

/// A check through the tunnel; where that fails, the target directly. `patience`: seconds.
pub(super) async fn through(live: &Live, config: &config::Relay, patience: u32) -> Sight {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, live.port.get()));
    let kind = kind(config);
    let own = || live.process.get().and_then(connections);
    let before = own().unwrap_or_default();
    if live.line.get() == 0 {
        // Nothing has gone through it yet, so what leads to that port is the line.
        let mut line = before
            .iter()
            .filter(|one| one.remote_port == config.port && one.is_established());
        live.line.set(line.next().map_or(0, |one| one.local_port));
    }
    let leads_to_target = |one: &Connection| {
        one.remote_port == config.target.port
            && one.was_accepted()
            && !before.iter().any(|known| known.local_port == one.local_port)
    };
    let reached = || own().map(|now| now.iter().any(leads_to_target));
    let begun = Instant::now();
    let (outcome, reached) = match open(address).await {
        Ok(mut stream) => {
            let patience = Duration::from_secs(patience.into());
            let outcome = greeted(&mut stream, kind, begun, patience, &reached).await;
            // While it is open: what it has led to is open, too.
            (outcome, reached())
        }
        Err(error) => (failed(&error), None),
    };
    let is_fine = matches!(outcome, Outcome::Greets(_)) && reached != Some(false);
    let is_early = matches!(outcome, Outcome::Refused | Outcome::Unreachable(_));
    let direct = match is_fine || is_early {
        true => None,
        false => Some(ask_target(config).await),
    };
    let line = own().and_then(|now| {
        // Before there is one, what asks for it. That the first question is lost says little.
        let line = now.iter().find(|one| match live.line.get() {
            0 => one.remote_port == config.port && one.is_asked_for(),
            port => one.local_port == port,
        })?;
        Some(Line {
            unanswered: (line.again > 0 || line.tries > 1) && (live.line.get() != 0 || live.begun.elapsed() > ASKED),
        })
    });
    Sight {
        through: outcome,
        reached,
        line,
        direct,
    }
}

/// Whether an SSH server answers there: a system that only accepts (its server frozen, or something between) is none yet.
pub(super) async fn is_ssh(host: &str, port: u16) -> bool {
    let begun = Instant::now();
    match connect(host, port).await {
        Ok(mut stream) => matches!(
            greeted(&mut stream, Kind::Ssh, begun, ACCEPT * 2, &|| None).await,
            Outcome::Greets(_)
        ),
        Err(_) => false,
    }
}

/// Whether anything accepts there.
pub(super) async fn accepts(host: &str, port: u16) -> bool {
    connect(host, port).await.is_ok()
}

/// Whether the target greets, asked directly.
pub(super) async fn greets(config: &config::Relay) -> bool {
    matches!(ask_target(config).await, Outcome::Greets(_))
}

async fn ask_target(config: &config::Relay) -> Outcome {
    let begun = Instant::now();
    match connect(&config.target.host, config.target.port).await {
        Ok(_) if kind(config) == Kind::None => Outcome::Greets(since(begun)),
        Ok(mut stream) => greeted(&mut stream, kind(config), begun, GREETING, &|| None).await,
        Err(error) => failed(&error),
    }
}

fn failed(error: &std::io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionRefused => Outcome::Refused,
        _ => Outcome::Unreachable(error.to_string()),
    }
}

fn since(begun: Instant) -> u32 {
    u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX)
}

/// The length of RFB's version (RFC 6143 7.1.1).
const VERSION: usize = 12;
const SHUT_OUT: &str = "it has shut this router out after too many connections without a login, which are our checks: switch its blacklist off (TigerVNC: -UseBlacklist=0)";

/// What comes of an open connection.
async fn greeted(
    stream: &mut TcpStream,
    kind: Kind,
    begun: Instant,
    patience: Duration,
    reached: &dyn Fn() -> Option<bool>,
) -> Outcome {
    if stream.write_all(hello(kind)).await.is_err() {
        return Outcome::Closed;
    }
    let mut received = Vec::new();
    let mut pause = LOOK;
    let until = begun + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Outcome::Mute;
        }
        let wait = if kind == Kind::None { pause.min(left) } else { left };
        pause = (pause * 2).min(LOOKS);
        let mut part = [0; 512];
        match timeout(wait, stream.read(&mut part)).await {
            Ok(Ok(0) | Err(_)) => return Outcome::Closed,
            Ok(Ok(_)) if kind == Kind::None => return Outcome::Greets(since(begun)),
            Ok(Ok(count)) => received.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(_) if kind == Kind::None => match reached() {
                Some(true) => return Outcome::Greets(since(begun)),
                None if begun.elapsed() >= SETTLED => return Outcome::Greets(since(begun)),
                _ => continue,
            },
            Err(_) => return Outcome::Mute,
        }
        match judge(kind, &received) {
            Verdict::More => {}
            Verdict::Greets if kind == Kind::Vnc && received.len() == VERSION => {
                let greeted = since(begun);
                return match timeout(VNC_REFUSAL, stream.read(&mut part)).await {
                    Ok(Ok(1..)) => Outcome::Foreign(SHUT_OUT),
                    _ => Outcome::Greets(greeted),
                };
            }
            Verdict::Greets if kind == Kind::Vnc => return Outcome::Foreign(SHUT_OUT),
            Verdict::Greets => return Outcome::Greets(since(begun)),
            Verdict::Wrong(why) => return Outcome::Foreign(why),
        }
    }
}

/// One of a process's TCP connections.
struct Connection {
    local_port: u16,
    remote_port: u16,
    /// As in `include/net/tcp_states.h`.
    state: u8,
    /// How often what is not acknowledged was sent again.
    again: u32,
    /// How often it was tried in vain to send at all: its address is gone, say. (One may be on its way to somebody who has no room for more.)
    tries: u32,
}

impl Connection {
    fn is_established(&self) -> bool {
        self.state == 1
    }

    /// SYN-SENT
    fn is_asked_for(&self) -> bool {
        self.state == 2
    }

    /// It is, or was and one side has ended it since: FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT.
    fn was_accepted(&self) -> bool {
        matches!(self.state, 1 | 4 | 5 | 8)
    }
}

/// From `/proc`: the sockets that the process has open, as `/proc/net/tcp` describes them (`Documentation/networking/proc_net_tcp.rst`).
fn connections(process: u32) -> Option<Vec<Connection>> {
    let mut own = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.take(DESCRIPTORS) {
        let link = entry.and_then(|entry| std::fs::read_link(entry.path()));
        if let Some(inode) = link.ok().as_deref().and_then(inode) {
            own.push(inode);
        }
    }
    let mut found = Vec::new();
    for list in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // There is none without IPv6.
        let Ok(mut file) = std::fs::File::open(list) else {
            continue;
        };
        let (mut begun, mut left) = (Vec::new(), LIST);
        let mut part = [0; PART];
        while let (Ok(count @ 1..), 1..) = (file.read(&mut part), left) {
            left = left.saturating_sub(count);
            begun.extend_from_slice(part.get(..count).unwrap_or_default());
            while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
                let line = begun.get(..end).map(std::str::from_utf8);
                if let Some(one) = line.and_then(|line| row(line.ok()?, &own)) {
                    found.push(one);
                }
                begun.drain(..=end);
            }
        }
    }
    Some(found)
}

/// `socket:[48213]`
fn inode(link: &Path) -> Option<u64> {
    let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    number.parse().ok()
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`, ports and counts in hexadecimal.
fn row(line: &str, own: &[u64]) -> Option<Connection> {
    let mut words = line.split_ascii_whitespace();
    // How many are passed over, and the next one's number.
    let mut number = |passed: usize| {
        let word = words.nth(passed)?;
        u32::from_str_radix(word.rsplit(':').next().unwrap_or(word), 16).ok()
    };
    let one = Connection {
        local_port: u16::try_from(number(1)?).ok()?,
        remote_port: u16::try_from(number(0)?).ok()?,
        state: u8::try_from(number(0)?).ok()?,
        again: number(2)?,
        tries: number(1)?,
    };
    let inode = words.next()?.parse().ok()?;
    own.contains(&inode).then_some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_processes_are_left_out() {
        let line = "   3: 0100007F:A3C4 0100007F:0D3D 01 00000000:00000000 01:00000019 00000003     0        0 48213 2 0000000000000000 20 4 30 10 -1";
        let own = [48213];
        let one = row(line, &own).unwrap();
        assert_eq!(
            (one.local_port, one.remote_port, one.state, one.again, one.tries),
            (0xa3c4, 3389, 1, 3, 0)
        );
        let stuck = line.replace("00000003     0        0 48213", "00000000     0        5 48213");
        let one = row(&stuck, &own).unwrap();
        assert_eq!((one.again, one.tries), (0, 5));
        assert!(row(line, &[4821]).is_none());
        assert!(row("  sl  local_address", &own).is_none());
        assert!(row("", &own).is_none());
    }
}
