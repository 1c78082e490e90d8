//! What an ssh client says, as far as it decides what the relay does next; and what our script on the relay answers.
//!
//! The words are those of OpenSSH (7.x to 10.x: `ssh.c`, `sshconnect.c`, `sshconnect2.c`, `packet.c`, `kex.c`, `channels.c`, `clientloop.c`) and of dropbear's
//! client (2022.82 to 2026.94: `cli-*.c`, `common-*.c`, `netio.c`, `packet.c`), with the system's words for errors as glibc and musl have them. They are looked for at
//! a line's beginning only: what the relay, or whoever is in its place, has put into a line (the reason of a disconnect) stands further behind. A banner is a
//! line of its own, and comes after the host key was found right.

/// What a line says. The greater of two explains better why a session has ended, or could not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// The client does not understand an option; dropbear only says so, OpenSSH ends.
    Option,
    /// Our own client has not reached the target for a connection through the tunnel.
    Target,
    /// The relay has not opened a connection that we asked for (`-L`): nothing listens there.
    NotOpened,
    /// The relay does not allow a connection that we asked for (`-L`): `permitopen` or `AllowTcpForwarding`.
    Prohibited,
    /// The session ended, or did not come about, by the other side's will or a break of the connection.
    Closed,
    /// The connection broke: nothing came for as long as the keep-alive allows.
    KeepAlive,
    /// No way to the relay.
    Unreachable,
    /// Nobody answers, neither yes nor no.
    TimedOut,
    /// Nobody listens on the relay's port.
    Refused,
    /// The relay's name has no address.
    NotResolved,
    /// A port on this router, for the check, is taken.
    LocalPort,
    /// The relay does not listen for us: the port is taken, or it is not permitted.
    RemotePort,
    /// The relay does not let our key in.
    KeyRefused,
    /// The key's file is missing, or the client cannot use it.
    KeyFile,
    /// No cipher, key exchange or the like in common.
    NoAlgorithm,
    /// The relay has no host key of the pinned one's type.
    NoHostKeyType,
    /// The relay's host key is not among the known ones.
    HostKeyUnknown,
    /// The relay's host key is not the pinned one.
    HostKeyChanged,
}

use Word::{
    Closed, HostKeyChanged, HostKeyUnknown, KeepAlive, KeyFile, KeyRefused, LocalPort, NoAlgorithm, NoHostKeyType,
    NotOpened, NotResolved, Prohibited, Refused, RemotePort, Target, TimedOut, Unreachable,
};

/// A line's beginning, what else is in it, and what that says. The first that fits decides.
type Row = (&'static str, &'static str, Word);

/// Lines of OpenSSH, and those of dropbear's that do not end it (its name in front taken away).
const LINES: [Row; 60] = [
    ("@", "REMOTE HOST IDENTIFICATION HAS CHANGED!", HostKeyChanged),
    ("@", "REVOKED HOST KEY DETECTED!", HostKeyChanged),
    (
        "Host key for ",
        " has changed and you have requested strict checking",
        HostKeyChanged,
    ),
    (
        "ssh_dispatch_run_fatal: Connection to ",
        ": incorrect signature",
        HostKeyChanged,
    ),
    ("ssh-", " host key mismatch for ", HostKeyChanged),
    ("ecdsa-", " host key mismatch for ", HostKeyChanged),
    ("No ", " host key is known for ", HostKeyUnknown),
    ("Host key verification failed", "", HostKeyUnknown),
    ("Host '", " is not in the trusted hosts file", HostKeyUnknown),
    ("Host '", " key unknown", HostKeyUnknown),
    (
        "Unable to negotiate with ",
        ": no matching host key type found",
        NoHostKeyType,
    ),
    ("Unable to negotiate with ", "", NoAlgorithm),
    ("Server host key ", " not in HostKeyAlgorithms", NoHostKeyType),
    ("host key ", " not permitted by HostkeyAlgorithms", NoHostKeyType),
    ("@", "UNPROTECTED PRIVATE KEY FILE!", KeyFile),
    ("Load key \"", "", KeyFile),
    ("Warning: Identity file ", " not accessible", KeyFile),
    ("no such identity: ", "", KeyFile),
    ("sign_and_send_pubkey: ", "", KeyFile),
    ("Failed loading keyfile ", "", KeyFile),
    ("Exited: String too long", "", KeyFile),
    ("Exited: Bad buf_", "", KeyFile),
    ("Permission denied, please try again", "", KeyRefused),
    // dropbear asks a terminal, or its input: our key was refused, and the relay takes passwords.
    ("Login for ", "", KeyRefused),
    ("Error: remote port forwarding failed for ", "", RemotePort),
    ("Warning: remote port forwarding failed for ", "", RemotePort),
    ("Warning: Could not request remote forwarding", "", RemotePort),
    ("Could not request remote forwarding", "", RemotePort),
    ("Remote TCP forward request failed", "", RemotePort),
    ("Could not request local forwarding", "", LocalPort),
    ("channel_setup_fwd_listener", "cannot listen to port", LocalPort),
    ("bind [", "]:", LocalPort),
    ("TCP forward failed: ", "", LocalPort),
    ("Failed local port forward ", "", LocalPort),
    ("Could not resolve hostname ", "", NotResolved),
    ("Connection timed out during banner exchange", "", TimedOut),
    ("Connection to ", " timed out", TimedOut),
    ("Timeout, server ", " not responding", KeepAlive),
    ("Connection to ", " closed by remote host", Closed),
    ("Connection closed by ", "", Closed),
    ("Connection reset by ", "", Closed),
    ("Disconnected from ", "", Closed),
    ("Disconnecting ", "", Closed),
    ("Received disconnect from ", "", Closed),
    ("kex_exchange_identification: ", "", Closed),
    ("ssh_exchange_identification: ", "", Closed),
    ("banner exchange: Connection to ", "", Closed),
    ("ssh_dispatch_run_fatal: Connection to ", "", Closed),
    ("Read from remote host ", "", Closed),
    ("client_loop: send disconnect: ", "", Closed),
    ("packet_write_wait: Connection to ", "", Closed),
    ("Bad remote protocol version identification", "", Closed),
    ("Protocol major versions differ", "", Closed),
    ("Exceeded MaxStartups", "", Closed),
    ("Not allowed at this time", "", Closed),
    // pam_nologin's, from the file that systemd and shutdown write.
    ("\"System is booting up", "", Closed),
    ("\"System is going down", "", Closed),
    ("System is booting up", "", Closed),
    ("System is going down", "", Closed),
    ("connect_to ", "", Target),
];

/// With what dropbear's client ends: `Connection to USER@HOST:PORT exited: …`.
const EXITS: [Row; 15] = [
    ("Bad hostkey signature", "", HostKeyChanged),
    ("Didn't validate host key", "", HostKeyUnknown),
    ("Not accepted automatically", "", HostKeyUnknown),
    ("No matching algo hostkey", "", NoHostKeyType),
    ("No matching algo ", "", NoAlgorithm),
    ("No auth methods could be used", "", KeyRefused),
    ("BatchMode active, no interactive session possible", "", KeyRefused),
    ("No password", "", KeyRefused),
    ("Too many prompts received", "", KeyRefused),
    ("Remote TCP forward request failed", "", RemotePort),
    ("Failed local port forward ", "", LocalPort),
    ("Connect failed: Error resolving ", "", NotResolved),
    ("Timeout before auth", "", TimedOut),
    ("Keepalive timeout", "", KeepAlive),
    ("Connect failed: ", "", Unreachable),
];

/// What only an option that is not understood leads to.
const OPTIONS: [&str; 7] = [
    "Ignoring unknown configuration option",
    "WARNING: Ignoring unknown option",
    "unknown option -- ",
    "unrecognized option",
    "option requires an argument",
    "Exited: ",
    "command-line",
];

/// The system's words, of glibc or musl, at the end of a line about a connection that did not come about.
const ERRORS: [(&str, Word); 4] = [
    ("Connection refused", Refused),
    ("Connection timed out", TimedOut),
    ("Operation timed out", TimedOut),
    ("Connection reset by peer", Closed),
];

/// What a line of the client's standard error says, if it is one that matters. A prompt without its line's end may be given as well.
#[must_use]
pub fn word(line: &[u8]) -> Option<Word> {
    let line = line.get(..LOOKED_AT).unwrap_or(line);
    // A cut may have gone through a character; a line with other bytes in it is none of the client's.
    let valid = match std::str::from_utf8(line) {
        Ok(line) => line,
        Err(error) => std::str::from_utf8(line.get(..error.valid_up_to())?).ok()?,
    };
    let line = without_name(valid.trim_end());
    if let Some((_, reason)) = after(line, "Connection to ").and_then(|rest| rest.split_once(" exited: ")) {
        return exit(reason);
    }
    if let Some(rest) = after(line, "connect to host ") {
        return Some(error(rest, Unreachable));
    }
    if let Some(rest) = after(line, "channel ").and_then(|rest| rest.split_once(": open failed: ")) {
        let prohibited = rest.1.starts_with("administratively prohibited");
        return Some(if prohibited { Prohibited } else { NotOpened });
    }
    if OPTIONS.iter().any(|option| line.starts_with(option)) {
        let at_key = find(&LINES, line);
        return Some(at_key.unwrap_or(Word::Option));
    }
    find(&LINES, line).or_else(|| is_refusal(line).then_some(KeyRefused))
}

/// Which of a session's words explains its end.
#[must_use]
pub fn worst(words: &[Word]) -> Option<Word> {
    words.iter().copied().max()
}

/// As much of a line is looked at: dropbear cuts its own at 300 bytes.
const LOOKED_AT: usize = 512;

/// Without `ssh: ` or `dbclient: ` in front, as dropbear puts it before all it says, with the path by which it was started.
fn without_name(line: &str) -> &str {
    match line.split_once(": ") {
        Some((name, rest)) if matches!(name.rsplit('/').next(), Some("ssh" | "dbclient")) && !name.contains(' ') => {
            rest
        }
        _ => line,
    }
}

fn after<'t>(line: &'t str, beginning: &str) -> Option<&'t str> {
    line.strip_prefix(beginning)
}

fn find(rows: &[Row], line: &str) -> Option<Word> {
    let row = rows
        .iter()
        .find(|(beginning, inside, _)| after(line, beginning).is_some_and(|rest| rest.contains(inside)))?;
    Some(row.2)
}

/// What dropbear's client ends with. When we end it, it says so, too.
fn exit(reason: &str) -> Option<Word> {
    if reason.is_empty() || reason.starts_with("Terminated by signal") {
        return None;
    }
    match find(&EXITS, reason) {
        Some(Unreachable) => Some(error(reason, Unreachable)),
        known => known.or(Some(error(reason, Closed))),
    }
}

/// The system's error at the end of a line.
fn error(line: &str, otherwise: Word) -> Word {
    let known = ERRORS.iter().find(|(text, _)| line.ends_with(text));
    known.map_or(otherwise, |(_, word)| *word)
}

/// `USER@HOST: Permission denied (publickey).`, or dropbear's prompt for the password.
fn is_refusal(line: &str) -> bool {
    let who = match line.split_once(": Permission denied (") {
        Some((who, methods)) if methods.ends_with(").") => who,
        _ => match line.split_once("'s password:") {
            Some((who, _)) => who,
            None => return false,
        },
    };
    who.contains('@') && !who.contains(' ')
}

/// What our script on the relay answers, one line on its standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It has written down this session's process and holds it.
    Hold,
    /// It holds it, and could not write it down; why.
    Unrecorded(String),
    /// The previous session is ended.
    Ended,
    /// There was none.
    Nothing,
    /// It does not do that; why.
    Refused(String),
}

/// The script's answer in a line of standard output; `None` for whatever else a relay writes there.
#[must_use]
pub fn said(line: &[u8]) -> Option<Said> {
    let line = line.trim_ascii_end().strip_prefix(b"lanward-relay 1 ")?;
    match line {
        line if line == b"hold" || line.starts_with(b"hold ") => Some(match line.strip_prefix(b"hold unrecorded") {
            Some(why) => Said::Unrecorded(clean(why.trim_ascii_start())),
            None => Said::Hold,
        }),
        b"ended" => Some(Said::Ended),
        b"nothing" => Some(Said::Nothing),
        b"refused" => Some(Said::Refused(String::new())),
        line => Some(Said::Refused(clean(line.strip_prefix(b"refused ")?))),
    }
}

/// The longest line in the log and on the page, in bytes.
pub const LONGEST: usize = 256;

/// A line of the client's for the log and the page, in one line of at most [`LONGEST`] bytes: the relay's banner and its commands' output are among them. No control
/// characters, so no escape sequences; nothing that turns the direction of what follows, or that is not seen.
#[must_use]
pub fn clean(line: &[u8]) -> String {
    let mut text = String::new();
    // Three bytes stand for one that is no UTF-8.
    for letter in String::from_utf8_lossy(line.get(..4 * LONGEST).unwrap_or(line)).chars() {
        let hidden = matches!(letter, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        let letter = if letter == '\t' { ' ' } else { letter };
        if hidden || letter.is_control() {
            continue;
        }
        if text.len() + letter.len_utf8() > LONGEST {
            break;
        }
        text.push(letter);
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests;
