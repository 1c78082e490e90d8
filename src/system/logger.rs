//! The log: to logd's socket in the background, to stderr in the foreground.
//!
//! `syslog` formats; the socket is our own, since it must not block: if nobody reads `/dev/log`, a daemon that writes to a blocking
//! socket freezes and does not even end on SIGTERM (measured). What does not fit is counted, and the next line that gets
//! through says how many were lost.

use log::{LevelFilter, Log, Metadata, Record};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};
use syslog::{Facility, LogFormat, Severity};

/// Where the lines go.
enum Sink {
    Stderr,
    Syslog {
        socket: Option<UnixDatagram>,
        formatter: Formatter,
        lost: u32,
    },
}

/// The lines of `syslog`'s `Formatter3164` (RFC 3164, in UTC), without the crate `time` that it reads its format with: 30 KB.
struct Formatter {
    pid: u32,
}

impl<T: Display> LogFormat<T> for Formatter {
    fn format<W: Write>(&self, line: &mut W, severity: Severity, message: T) -> syslog::Result<()> {
        let priority = Facility::LOG_DAEMON as u8 | severity as u8;
        let (stamp, pid) = (stamp(SystemTime::now()), self.pid);
        write!(line, "<{priority}>{stamp} lanward[{pid}]: {message}").map_err(syslog::Error::Write)
    }
}

/// `Mmm dd hh:mm:ss`. A clock before 1970 reads as 1970.
fn stamp(now: SystemTime) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let unix = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let date = i64::try_from(unix)
        .ok()
        .and_then(|unix| tz::UtcDateTime::from_timespec(unix, 0).ok());
    // The kernel's clock ends in 2232.
    let Some(date) = date else {
        return "Jan 01 00:00:00".into();
    };
    let month = MONTHS.get(usize::from(date.month()) - 1).copied().unwrap_or_default();
    format!(
        "{month} {:02} {:02}:{:02}:{:02}",
        date.month_day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

struct Logger {
    sink: Mutex<Sink>,
}

const SOCKET: &str = "/dev/log";

/// Sets the logger up. Stderr is used if it is a terminal, if there is no syslog socket, or if `LANWARD_LOG` is `stderr`.
///
/// # Errors
/// A logger is set up already.
pub fn start(level: LevelFilter) -> Result<(), log::SetLoggerError> {
    let foreground = io::stderr().is_terminal()
        || std::env::var_os("LANWARD_LOG").is_some_and(|sink| sink == "stderr")
        || !Path::new(SOCKET).exists();
    let sink = if foreground { Sink::Stderr } else { syslog_sink() };
    log::set_boxed_logger(Box::new(Logger { sink: Mutex::new(sink) }))?;
    log::set_max_level(level);
    Ok(())
}

fn syslog_sink() -> Sink {
    let formatter = Formatter {
        pid: std::process::id(),
    };
    Sink::Syslog {
        socket: connect().ok(),
        formatter,
        lost: 0,
    }
}

fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SOCKET)?;
    Ok(socket)
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The netlink crates log every message they do not know; that is not the admin's business.
        metadata.level() <= log::max_level() && metadata.target().starts_with("lanward")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Ok(mut sink) = self.sink.lock() else { return };
        let line = one_line(&record.args().to_string());
        match &mut *sink {
            Sink::Stderr => {
                // Nobody is left to be told that stderr is gone.
                let _ = writeln!(
                    io::stderr(),
                    "lanward: {}: {line}",
                    record.level().as_str().to_ascii_lowercase()
                );
            }
            Sink::Syslog {
                socket,
                formatter,
                lost,
            } => send(socket, formatter, lost, severity(record.level()), &line),
        }
    }

    fn flush(&self) {}
}

/// logd may have been restarted: one new connection is tried, then the line is counted as lost.
fn send(socket: &mut Option<UnixDatagram>, formatter: &Formatter, lost: &mut u32, severity: Severity, line: &str) {
    if *lost > 0 {
        let notice = format!("{lost} log lines were lost: the log was not read");
        if transmit(socket, formatter, Severity::LOG_WARNING, &notice).is_err() {
            *lost = lost.saturating_add(1);
            return;
        }
        *lost = 0;
    }
    if transmit(socket, formatter, severity, line).is_err() {
        *lost = lost.saturating_add(1);
    }
}

fn transmit(
    socket: &mut Option<UnixDatagram>,
    formatter: &Formatter,
    severity: Severity,
    line: &str,
) -> io::Result<()> {
    let mut message = Vec::with_capacity(line.len() + 64);
    formatter
        .format(&mut message, severity, line)
        .map_err(|error| io::Error::other(error.to_string()))?;
    if let Some(known) = socket {
        match known.send(&message) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(_) => *socket = None,
        }
    }
    let fresh = connect()?;
    fresh.send(&message)?;
    *socket = Some(fresh);
    Ok(())
}

fn severity(level: log::Level) -> Severity {
    match level {
        log::Level::Error => Severity::LOG_ERR,
        log::Level::Warn => Severity::LOG_WARNING,
        log::Level::Info => Severity::LOG_INFO,
        log::Level::Debug | log::Level::Trace => Severity::LOG_DEBUG,
    }
}

/// One event is one line, whatever a configuration file or a device's name holds.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(1000)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_start_a_line_of_their_own() {
        assert_eq!(one_line("a\nb\u{1b}[2Jc"), "a b [2Jc");
        assert_eq!(one_line(&"x".repeat(5000)).len(), 1000);
    }

    #[test]
    fn a_line_is_what_syslog_would_make_of_it() {
        let theirs = syslog::Formatter3164 {
            facility: Facility::LOG_DAEMON,
            hostname: None,
            process: "lanward".into(),
            pid: 12_345,
        };
        let lines = || {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            theirs.format(&mut one, Severity::LOG_WARNING, "{x}").unwrap();
            Formatter { pid: 12_345 }
                .format(&mut other, Severity::LOG_WARNING, "{x}")
                .unwrap();
            (String::from_utf8(one).unwrap(), String::from_utf8(other).unwrap())
        };
        // The second may change between the two.
        let (one, other) = (0..3)
            .map(|_| lines())
            .find(|(one, other)| one == other)
            .unwrap_or_else(lines);
        assert_eq!(one, other);
    }

    #[test]
    fn the_stamp_over_the_years() {
        let at = |seconds| stamp(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        assert_eq!(at(0), "Jan 01 00:00:00");
        assert_eq!(at(951_826_154), "Feb 29 12:09:14");
        assert_eq!(at(2_147_483_648), "Jan 19 03:14:08");
    }

    #[test]
    fn a_log_that_nobody_reads_loses_lines_and_says_so_later() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let Sink::Syslog { formatter, .. } = syslog_sink() else {
            panic!()
        };
        let (mut socket, mut lost) = (Some(ours), 0);
        for _ in 0..10_000 {
            send(&mut socket, &formatter, &mut lost, Severity::LOG_INFO, "line");
        }
        assert!(lost > 0);
        let mut buffer = [0; 2000];
        theirs.set_nonblocking(true).unwrap();
        while theirs.recv(&mut buffer).is_ok() {}
        send(&mut socket, &formatter, &mut lost, Severity::LOG_INFO, "after");
        assert_eq!(lost, 0);
        let length = theirs.recv(&mut buffer).unwrap();
        assert!(String::from_utf8_lossy(&buffer[..length]).contains("log lines were lost"));
    }
}
