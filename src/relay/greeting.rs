//! What a target says first, by which it is known to be there: a port that accepts and says nothing is not yet a desktop.

/// What is behind the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Microsoft's remote desktop: the client speaks first, an X.224 connection request (MS-RDPBCGR, 2.2.1.1).
    Rdp,
    /// RFC 4253: the server speaks first.
    Ssh,
    /// RFC 6143: the server speaks first.
    Vnc,
    /// Something else: that it accepts is all there is to see.
    None,
}

/// What the bytes received so far come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Right so far; more is needed.
    More,
    /// It is such a target.
    Greets,
    /// It is none, whatever follows; why, as the end of a sentence about the target.
    Wrong(&'static str),
}

/// As many bytes are looked at, at most: a few pages of what an SSH server may say before its version. (Clients take 50 lines or more.)
pub const MOST: usize = 8192;

/// A TPKT packet of 19 bytes with a connection request of 14: no cookie, no routing token, and an RDP_NEG_REQ that offers TLS and CredSSP.
const RDP_REQUEST: [u8; 19] = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0];

impl Kind {
    const ALL: [(&'static str, Self); 4] = [
        ("rdp", Self::Rdp),
        ("ssh", Self::Ssh),
        ("vnc", Self::Vnc),
        ("none", Self::None),
    ];

    /// The usual one behind a port.
    #[must_use]
    pub fn of_port(port: u16) -> Self {
        match port {
            22 => Self::Ssh,
            3389 => Self::Rdp,
            5900..=5999 => Self::Vnc,
            _ => Self::None,
        }
    }

    /// The kind with that name in the configuration; `auto` is none of them.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == word)?;
        Some(found.1)
    }
}

/// What to send as soon as the connection stands.
#[must_use]
pub fn hello(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Rdp => &RDP_REQUEST,
        Kind::Ssh | Kind::Vnc | Kind::None => &[],
    }
}

/// Judges all that was received since the connection stands. What was once [`Verdict::Greets`] or [`Verdict::Wrong`] stays so when more comes.
#[must_use]
pub fn judge(kind: Kind, received: &[u8]) -> Verdict {
    let cut = received.len() >= MOST;
    let received = received.get(..MOST).unwrap_or(received);
    let verdict = match kind {
        Kind::Rdp => rdp(received),
        Kind::Ssh => ssh(received),
        Kind::Vnc => vnc(received),
        Kind::None => Verdict::Greets,
    };
    match verdict {
        Verdict::More if cut => Verdict::Wrong("says much, but never what it is"),
        verdict => verdict,
    }
}

/// An X.224 connection confirm in a TPKT, alone or with RDP's answer to the negotiation. A refusal of the negotiation is RDP, too.
fn rdp(received: &[u8]) -> Verdict {
    const WRONG: Verdict = Verdict::Wrong("does not answer as RDP does");
    // Version 3; the length of all; the length of what follows its own byte; the code, whose low half is a credit that is not used.
    const BARE: usize = 11;
    const ANSWERED: usize = 19;
    let length = match received {
        [3, _, 0, length, ..] => usize::from(*length),
        [] | [3] | [3, _] | [3, _, 0] => return Verdict::More,
        _ => return WRONG,
    };
    if length != BARE && length != ANSWERED {
        return WRONG;
    }
    let right = match received.get(4..).unwrap_or_default() {
        [] => true,
        [rest] => usize::from(*rest) == length - 5,
        [rest, code, more @ ..] => {
            // Behind two references and the class, 0: the negotiation's type (response or failure), its flags, and its length, 8.
            let negotiated =
                |at: usize, fits: fn(u8) -> bool| length == BARE || more.get(at).is_none_or(|byte| fits(*byte));
            usize::from(*rest) == length - 5
                && *code == 0xd0
                && more.get(4).is_none_or(|class| *class == 0)
                && negotiated(5, |kind| kind == 2 || kind == 3)
                && negotiated(7, |low| low == 8)
                && negotiated(8, |high| high == 0)
        }
    };
    match right {
        false => WRONG,
        true if received.len() < length => Verdict::More,
        true => Verdict::Greets,
    }
}

/// The server's identification, possibly behind other lines (RFC 4253, 4.2).
fn ssh(received: &[u8]) -> Verdict {
    const MAGIC: &[u8] = b"SSH-";
    for line in received.split_inclusive(|byte| *byte == b'\n') {
        if let Some(version) = line.strip_prefix(MAGIC) {
            let is = |known: &[u8]| version.starts_with(known);
            let may_be = |known: &[u8]| known.starts_with(version);
            return match () {
                () if is(b"2.0-") || is(b"1.99-") => Verdict::Greets,
                () if may_be(b"2.0-") || may_be(b"1.99-") => Verdict::More,
                () => Verdict::Wrong("speaks an SSH that nobody uses any more"),
            };
        }
        // Telnet's commands and TLS's alerts are no text.
        let is_text = |byte: &u8| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=0xf7) && *byte != 0x7f;
        if !line.iter().all(is_text) {
            return Verdict::Wrong("does not answer as SSH does");
        }
    }
    Verdict::More
}

/// `RFB 003.008` and a line feed, or another version: RealVNC's own are 004 and 005, Apple's 003.889.
fn vnc(received: &[u8]) -> Verdict {
    // `#`: any digit.
    const SHAPE: &[u8] = b"RFB 00#.###\n";
    let fits = |(byte, shape): (&u8, &u8)| byte == shape || *shape == b'#' && byte.is_ascii_digit();
    let known = received.get(6).is_none_or(|major| matches!(major, b'3'..=b'5'));
    match received.iter().zip(SHAPE).all(fits) && known {
        false => Verdict::Wrong("does not answer as VNC does"),
        true if received.len() < SHAPE.len() => Verdict::More,
        true => Verdict::Greets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Greets, More, Wrong};

    fn is_wrong(verdict: Verdict) -> bool {
        matches!(verdict, Wrong(_))
    }

    /// Every beginning wants more, the whole greets, and so it does with whatever follows.
    fn greets(kind: Kind, greeting: &[u8], needed: usize) {
        for length in 0..needed {
            assert_eq!(judge(kind, &greeting[..length]), More, "{kind:?} {length}");
        }
        for length in needed..=greeting.len() {
            assert_eq!(judge(kind, &greeting[..length]), Greets, "{kind:?} {length}");
        }
        let more = [greeting, &[0xff; 2000]].concat();
        assert_eq!(judge(kind, &more), Greets, "{kind:?}");
    }

    /// The request was sent to xrdp 0.9.21 (Debian 12) by hand, with several requested protocols; these are its answers.
    #[test]
    fn xrdp_greets() {
        let tls = b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\x01\x08\0\x01\0\0\0";
        let rdp = b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\x01\x08\0\0\0\0\0";
        let bare = b"\x03\0\0\x0b\x06\xd0\0\0\x12\x34\0";
        greets(Kind::Rdp, tls, 19);
        greets(Kind::Rdp, rdp, 19);
        greets(Kind::Rdp, bare, 11);
    }

    /// [MS-RDPBCGR] 4.1.2 has Windows' answer as an example; 2.2.1.2.2 the failure (here HYBRID_REQUIRED_BY_SERVER).
    #[test]
    fn windows_greets_also_when_it_refuses() {
        greets(Kind::Rdp, b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\0\x08\0\0\0\0\0", 19);
        greets(
            Kind::Rdp,
            b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\x1f\x08\0\x02\0\0\0",
            19,
        );
        greets(
            Kind::Rdp,
            b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x03\0\x08\0\x05\0\0\0",
            19,
        );
    }

    #[test]
    fn nothing_else_is_rdp() {
        let right = b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\0\x08\0\x01\0\0\0";
        // The reserved byte, the references, the flags and the protocol may be anything.
        let free = [1, 6, 7, 8, 9, 12, 15, 16, 17, 18];
        for at in (0..right.len()).filter(|at| !free.contains(at)) {
            let mut other = *right;
            other[at] ^= 0x40;
            assert!(is_wrong(judge(Kind::Rdp, &other)), "{at}");
            assert!(is_wrong(judge(Kind::Rdp, &other[..=at.max(3)])), "{at}");
        }
        // What is sent comes back (an echo), a disconnect request, an alert of TLS, other protocols.
        for other in [
            hello(Kind::Rdp),
            b"\x03\0\0\x0b\x06\x80\0\0\0\0\0",
            b"\x15\x03\x01\0\x02\x02\x28",
            b"HTTP/1.1 400",
            b"SSH-2.0-x\r\n",
            b"RFB 003.008\n",
        ] {
            assert!(is_wrong(judge(Kind::Rdp, other)), "{other:?}");
        }
    }

    #[test]
    fn the_request_is_that_of_the_specification() {
        let hello = hello(Kind::Rdp);
        assert_eq!(usize::from(hello[3]), hello.len(), "TPKT's length");
        assert_eq!(usize::from(hello[4]), hello.len() - 5, "X.224's length");
        // The example of 4.1.1, its cookie aside, requests 0; PROTOCOL_SSL is 1, PROTOCOL_HYBRID 2.
        assert_eq!(&hello[11..], [1, 0, 8, 0, 3, 0, 0, 0]);
        for kind in [Kind::Ssh, Kind::Vnc, Kind::None] {
            assert_eq!(super::hello(kind), b"");
        }
    }

    #[test]
    fn ssh_greets_also_behind_other_lines() {
        greets(Kind::Ssh, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10\r\n", 8);
        greets(Kind::Ssh, b"SSH-2.0-dropbear_2022.83\r\n", 8);
        greets(Kind::Ssh, b"SSH-1.99-Cisco-1.25\n", 9);
        greets(Kind::Ssh, b"Welcome, f\xc3\xbcr alle\r\n\r\nSSH-2.0-x\r\n", 30);
        // Its owner's rules, in full.
        let rules = "By going on you agree to all of this, and to what follows from it.\r\n".repeat(45);
        let before = rules.len();
        greets(Kind::Ssh, (rules + "SSH-2.0-x\r\n").as_bytes(), before + 8);
        assert_eq!(judge(Kind::Ssh, b"Exceeded MaxStartups\r\n"), More, "it will close");
        for wrong in [
            &b"SSH-1.5-x\n"[..],
            b"SSH-x",
            b"\xff\xfd\x18\xff\xfd\x20",
            b"\x15\x03\x03\0\x02\x02\x28",
            b"a\0",
            b"\x1b[2J",
        ] {
            assert!(is_wrong(judge(Kind::Ssh, wrong)), "{wrong:?}");
        }
        assert_eq!(judge(Kind::Ssh, b" SSH-2.0-x"), More, "not where it begins");
        assert_eq!(judge(Kind::Ssh, &[b'a'; MOST - 1]), More);
        assert!(is_wrong(judge(Kind::Ssh, &[b'a'; MOST])));
        assert!(
            is_wrong(judge(Kind::Ssh, &[&[b'\n'; MOST][..], b"SSH-2.0-x"].concat())),
            "too late"
        );
    }

    /// The first are TigerVNC's 1.12 (Debian 12), taken from its socket.
    #[test]
    fn vnc_greets() {
        greets(Kind::Vnc, b"RFB 003.008\n", 12);
        greets(Kind::Vnc, b"RFB 003.889\n", 12);
        greets(Kind::Vnc, b"RFB 005.000\n", 12);
        for wrong in [
            &b"RFB 013"[..],
            b"RFB 006",
            b"RFB 003 ",
            b"RFB 003.00a",
            b"RFB 003.008\r",
            b"rfb",
            b"SSH-",
            b"\0",
        ] {
            assert!(is_wrong(judge(Kind::Vnc, wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn kinds_have_their_ports_and_names() {
        for (port, kind) in [
            (22, Kind::Ssh),
            (3389, Kind::Rdp),
            (5900, Kind::Vnc),
            (5999, Kind::Vnc),
            (5899, Kind::None),
            (6000, Kind::None),
            (80, Kind::None),
        ] {
            assert_eq!(Kind::of_port(port), kind, "{port}");
        }
        for (name, kind) in Kind::ALL {
            assert_eq!(Kind::parse(name), Some(kind));
        }
        assert_eq!(Kind::parse("auto"), None);
        assert_eq!(judge(Kind::None, b""), Greets);
    }
}
