//! Connections of our own: through a tunnel, to a target, to a relay's port; and what the kernel says of a client's.

use super::session::Live;
use crate::config;
use crate::relay::greeting::{hello, judge, Kind, Verdict};
use crate::relay::sight::{kind, Line, Outcome, Sight};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest that a greeting takes. (A check is not oftener than every five seconds.)
const GREETING: Duration = Duration::from_secs(10);
/// To be accepted, by each address of a name.
const ACCEPT: Duration = Duration::from_secs(4);
/// The most addresses of a name.
const ADDRESSES: usize = 4;
/// A target that need not greet is looked for among the client's connections this often.
const LOOK: Duration = Duration::from_millis(50);
/// What is open so long was accepted, where nothing else can be seen.
const SETTLED: Duration = Duration::from_millis(1500);
/// The most that is read of the kernel's list of connections, and of a client's descriptors.
const LIST: u64 = 4 << 20;
const DESCRIPTORS: usize = 1024;

/// A check through the tunnel; where that fails, the target directly.
pub(super) async fn through(live: &Live, config: &config::Relay) -> Sight {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, live.port.get()));
    let kind = kind(config);
    let seen = || live.process.get().and_then(|process| to_target(process, config));
    let before = seen().unwrap_or_default();
    let reached = || seen().map(|now| now.iter().any(|port| !before.contains(port)));
    let patience = GREETING.min(Duration::from_secs(config.check.into()));
    let begun = Instant::now();
    let (outcome, reached) = match timeout(ACCEPT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            let mut stream = stream;
            let outcome = greeted(&mut stream, kind, begun, patience, &reached).await;
            // While it is open: what it has led to is open, too.
            let reached = reached();
            (outcome, reached)
        }
        Ok(Err(error)) => (failed(&error), None),
        Err(_) => (Outcome::Unreachable("no answer".into()), None),
    };
    let fine = matches!(outcome, Outcome::Greets(_)) && reached != Some(false);
    let direct = if fine { None } else { Some(ask_target(config).await) };
    Sight {
        through: outcome,
        reached,
        line: live.process.get().and_then(|process| line(process, config.port)),
        direct,
    }
}

/// Whether the relay's port answers.
pub(super) async fn answers(host: &str, port: u16) -> bool {
    connected(host, port).await.is_ok()
}

/// Whether the target greets, asked directly.
pub(super) async fn greets(config: &config::Relay) -> bool {
    matches!(ask_target(config).await, Outcome::Greets(_))
}

async fn ask_target(config: &config::Relay) -> Outcome {
    let begun = Instant::now();
    match connected(&config.target.host, config.target.port).await {
        Ok(_) if kind(config) == Kind::None => Outcome::Greets(since(begun)),
        Ok(mut stream) => greeted(&mut stream, kind(config), begun, GREETING, &|| None).await,
        Err(error) => failed(&error),
    }
}

async fn connected(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let resolved = timeout(ACCEPT, tokio::net::lookup_host((host, port)));
    let addresses = resolved.await.unwrap_or(Err(ErrorKind::TimedOut.into()))?;
    let mut last = std::io::Error::from(ErrorKind::NotFound);
    for address in addresses.take(ADDRESSES) {
        match timeout(ACCEPT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
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
    let until = begun + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Outcome::Mute;
        }
        let pause = if kind == Kind::None { LOOK.min(left) } else { left };
        let mut part = [0; 512];
        match timeout(pause, stream.read(&mut part)).await {
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
            Verdict::Greets => return Outcome::Greets(since(begun)),
            Verdict::Wrong(why) => return Outcome::Foreign(why),
        }
    }
}

/// One of a process's TCP connections.
struct Connection {
    local_port: u16,
    remote_port: u16,
    established: bool,
    /// How often what is not acknowledged was sent again.
    again: u32,
}

/// Our own ports of the client's connections to the target's port; `None`: they cannot be seen.
fn to_target(process: u32, config: &config::Relay) -> Option<Vec<u16>> {
    let all = connections(process)?;
    let to_target = all
        .iter()
        .filter(|one| one.remote_port == config.target.port && one.established);
    Some(to_target.map(|one| one.local_port).collect())
}

/// The client's connection to the relay.
fn line(process: u32, port: u16) -> Option<Line> {
    let all = connections(process)?;
    let mut to_relay = all.iter().filter(|one| one.remote_port == port).peekable();
    to_relay.peek()?;
    Some(Line {
        unanswered: to_relay.any(|one| one.again > 0),
    })
}

/// From `/proc`: the sockets that the process has open, as `/proc/net/tcp` describes them (`Documentation/networking/proc_net_tcp.rst`).
fn connections(process: u32) -> Option<Vec<Connection>> {
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .ok()?
        .take(DESCRIPTORS)
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_string()))
        .collect();
    let mut found = Vec::new();
    for list in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // There is none without IPv6.
        let Ok(file) = std::fs::File::open(list) else { continue };
        let lines = BufReader::new(file.take(LIST)).lines().skip(1);
        found.extend(lines.map_while(Result::ok).filter_map(|line| row(&line, &own)));
    }
    Some(found)
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`, ports and counts in hexadecimal.
fn row(line: &str, own: &[String]) -> Option<Connection> {
    let words: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    let [_, local, remote, state, _, _, again, _, _, inode] = words.as_slice() else {
        return None;
    };
    if !own.iter().any(|known| known == inode) {
        return None;
    }
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    Some(Connection {
        local_port: port(local)?,
        remote_port: port(remote)?,
        established: *state == "01",
        again: u32::from_str_radix(again, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_processes_are_left_out() {
        let line = "   3: 0100007F:A3C4 0100007F:0D3D 01 00000000:00000000 01:00000019 00000003     0        0 48213 2 0000000000000000 20 4 30 10 -1";
        let own = ["48213".to_string()];
        let one = row(line, &own).unwrap();
        assert_eq!(
            (one.local_port, one.remote_port, one.established, one.again),
            (0xa3c4, 3389, true, 3)
        );
        assert!(row(line, &["4821".to_string()]).is_none());
        assert!(row("  sl  local_address", &own).is_none());
        assert!(row("", &own).is_none());
    }
}
