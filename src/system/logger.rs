//! The log: to logd's socket in the background, to stderr in the foreground.
//!
//! `syslog` formats; the socket is our own, since it must not block: if nobody reads `/dev/log`, a daemon that writes to a blocking
//! socket freezes and does not even end on SIGTERM (measured). What does not fit is counted, and the next line that gets
//! through says how many were lost.

use log::{LevelFilter, Log, Metadata, Record};
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Mutex;
use syslog::{Facility, Formatter3164, LogFormat, Severity};

/// Where the lines go.
enum Sink {
    Stderr,
    Syslog { socket: Option<UnixDatagram>, formatter: Formatter3164, lost: u32 },
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
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: "lanward".into(),
        pid: std::process::id(),
    };
    Sink::Syslog { socket: connect().ok(), formatter, lost: 0 }
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
                let _ = writeln!(io::stderr(), "lanward: {}: {line}", record.level().as_str().to_lowercase());
            }
            Sink::Syslog { socket, formatter, lost } => send(socket, formatter, lost, severity(record.level()), &line),
        }
    }

    fn flush(&self) {}
}

/// logd may have been restarted: one new connection is tried, then the line is counted as lost.
fn send(socket: &mut Option<UnixDatagram>, formatter: &Formatter3164, lost: &mut u32, severity: Severity, line: &str) {
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
    formatter: &Formatter3164,
    severity: Severity,
    line: &str,
) -> io::Result<()> {
    let mut message = Vec::with_capacity(line.len() + 64);
    formatter.format(&mut message, severity, line).map_err(|error| io::Error::other(error.to_string()))?;
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
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect()
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
    fn a_log_that_nobody_reads_loses_lines_and_says_so_later() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let Sink::Syslog { formatter, .. } = syslog_sink() else { panic!() };
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
