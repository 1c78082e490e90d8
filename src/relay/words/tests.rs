//! Lines that the clients of Debian 12 have said to real servers: OpenSSH 9.2p1 and dropbear 2022.83, in network namespaces. Lines of other versions are from
//! their sources, and say so.

use super::*;

/// What OpenSSH 9.2p1 said. It ends its lines with CR LF.
const OPENSSH: [(&str, Option<Word>); 68] = [
    // Another key is pinned.
    ("@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r", None),
    ("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r", Some(HostKeyChanged)),
    ("IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r", None),
    ("Someone could be eavesdropping on you right now (man-in-the-middle attack)!\r", None),
    ("It is also possible that a host key has just been changed.\r", None),
    ("The fingerprint for the ED25519 key sent by the remote host is", None),
    ("SHA256:4qbG5b1p3iyEKgpFS7FpKCfd3T2CCWSSKNYNUM8pus8.\r", None),
    ("Please contact your system administrator.\r", None),
    ("Add correct host key in k/kh2 to get rid of this message.\r", None),
    ("Offending ED25519 key in k/kh2:1\r", None),
    ("  remove with:\r", None),
    ("  ssh-keygen -f \"k/kh2\" -R \"relay\"\r", None),
    ("Host key for relay has changed and you have requested strict checking.\r", Some(HostKeyChanged)),
    ("Host key verification failed.\r", Some(HostKeyUnknown)),
    // No key is known; one is taken down.
    ("No ED25519 host key is known for relay and you have requested strict checking.\r", Some(HostKeyUnknown)),
    ("Warning: Permanently added 'relay' (ED25519) to the list of known hosts.\r", None),
    // Nothing in common.
    ("Unable to negotiate with 127.0.0.1 port 2237: no matching host key type found. Their offer: rsa-sha2-512\r", Some(NoHostKeyType)),
    ("Unable to negotiate with 127.0.0.1 port 2235: no matching cipher found. Their offer: 3des-cbc\r", Some(NoAlgorithm)),
    ("Unable to negotiate with 127.0.0.1 port 2236: no matching key exchange method found. Their offer: diffie-hellman-group1-sha1,kex-strict-s-v00@openssh.com\r", Some(NoAlgorithm)),
    // Our key.
    ("root@127.0.0.1: Permission denied (publickey).\r", Some(KeyRefused)),
    ("root@127.0.0.1: Permission denied (publickey,password,keyboard-interactive).\r", Some(KeyRefused)),
    ("@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r", Some(KeyFile)),
    ("Permissions 0644 for 'k/open' are too open.\r", None),
    ("It is required that your private key files are NOT accessible by others.\r", None),
    ("This private key will be ignored.\r", None),
    ("Load key \"k/open\": bad permissions\r", Some(KeyFile)),
    ("Load key \"k/bad\": error in libcrypto\r", Some(KeyFile)),
    ("Load key \"k/me\": Permission denied\r", Some(KeyFile)),
    ("Warning: Identity file k/none not accessible: No such file or directory.", Some(KeyFile)),
    // Too many keys were offered; two lines.
    ("Received disconnect from 127.0.0.1 port 2209:2: Too many authentication failures\r", Some(Closed)),
    ("Disconnected from 127.0.0.1 port 2209\r", Some(Closed)),
    // Ports: taken there, not permitted there (AllowTcpForwarding, permitlisten), and without ExitOnForwardFailure; taken here.
    ("Error: remote port forwarding failed for listen port 4444\r", Some(RemotePort)),
    ("Warning: remote port forwarding failed for listen port 4444\r", Some(RemotePort)),
    ("bind [127.0.0.1]:4444: Address already in use\r", Some(LocalPort)),
    ("channel_setup_fwd_listener_tcpip: cannot listen to port: 4444\r", Some(LocalPort)),
    ("Could not request local forwarding.\r", Some(LocalPort)),
    // The way there.
    ("ssh: Could not resolve hostname nonexistent.invalid: Temporary failure in name resolution\r", Some(NotResolved)),
    ("ssh: connect to host 127.0.0.1 port 9: Connection refused\r", Some(Refused)),
    ("ssh: connect to host 192.0.2.1 port 9: Network is unreachable\r", Some(Unreachable)),
    ("ssh: connect to host 10.9.0.77 port 9: No route to host\r", Some(Unreachable)),
    ("ssh: connect to host 127.0.0.1 port 2299: Connection timed out\r", Some(TimedOut)),
    ("ssh: connect to host 127.0.0.1 port 3003: Connection reset by peer\r", Some(Closed)),
    // A server that accepts and says nothing (a stopped sshd as well).
    ("Connection timed out during banner exchange\r", Some(TimedOut)),
    ("Connection to 127.0.0.1 port 3004 timed out\r", Some(TimedOut)),
    // Closed before, during and behind the identification: MaxStartups among them.
    ("kex_exchange_identification: Connection closed by remote host\r", Some(Closed)),
    ("kex_exchange_identification: read: Connection reset by peer\r", Some(Closed)),
    ("Connection closed by 127.0.0.1 port 2202\r", Some(Closed)),
    ("Connection reset by 127.0.0.1 port 3001\r", Some(Closed)),
    ("Protocol major versions differ: 2 vs. 1\r", Some(Closed)),
    ("banner exchange: Connection to 127.0.0.1 port 3007: could not read protocol version\r", Some(Closed)),
    // pam_nologin with systemd's file, then the line above; sshd's own nologin ends with status 254 and the file's text.
    ("\"System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For technical details, see pam_nologin(8).\"", Some(Closed)),
    ("System is going down.", Some(Closed)),
    ("Your account has expired; please contact your system administrator.", None),
    ("This account is currently not available.", None),
    // A session that was up: no answer to keep-alives, its process ended there, a reset.
    ("Timeout, server 127.0.0.1 not responding.\r", Some(KeepAlive)),
    ("Connection to 127.0.0.1 closed by remote host.\r", Some(Closed)),
    ("client_loop: send disconnect: Broken pipe\r", Some(Closed)),
    // Connections through it, ours there and theirs here.
    ("channel 1: open failed: administratively prohibited: open failed\r", Some(Prohibited)),
    ("channel 2: open failed: connect failed: Connection refused\r", Some(NotOpened)),
    ("channel 1: open failed: administratively prohibited: \r", Some(Prohibited)),
    ("connect_to 127.0.0.1 port 1: failed.\r", Some(Target)),
    // Options.
    ("command-line: line 0: Bad configuration option: nosuchoption\r", Some(Word::Option)),
    ("command-line line 0: invalid time value.\r", Some(Word::Option)),
    ("option requires an argument -- Q\r", Some(Word::Option)),
    ("unknown option -- Z\r", Some(Word::Option)),
    // The banner, and a command's standard error.
    ("Welcome\\033[31m", None),
    ("bash: line 1: /no/such: No such file or directory", None),
    ("", None),
];

/// What dropbear's client 2022.83 said. It is told by which path it was started.
const DROPBEAR: [(&str, Option<Word>); 34] = [
    // Another key is pinned: five lines, cut off.
    ("dbclient: Connection to root@127.0.0.1:2201 exited: ", None),
    ("ssh-ed25519 host key mismatch for 127.0.0.1 !", Some(HostKeyChanged)),
    ("Fingerprint is SHA256:4qbG5b1p3iyEKgpFS7FpKCfd3T2CCWSSKNYNUM8pus8", None),
    ("Expected SHA256:SQGj88kuJIsODTFpcSI", None),
    // No key is known, or one of another type: a question, and the answer n; with -y it goes on and writes nothing down.
    ("Host '127.0.0.1' is not in the trusted hosts file.", Some(HostKeyUnknown)),
    ("(ssh-ed25519 fingerprint SHA256:4qbG5b1p3iyEKgpFS7FpKCfd3T2CCWSSKNYNUM8pus8)", None),
    ("Do you want to continue connecting? (y/n) ", None),
    ("dbclient: Connection to root@127.0.0.1:2201 exited: Didn't validate host key", Some(HostKeyUnknown)),
    ("Host '127.0.0.1' key accepted unconditionally.", None),
    // Nothing in common.
    ("dbclient: Connection to root@127.0.0.1:2237 exited: No matching algo hostkey", Some(NoHostKeyType)),
    ("dbclient: Connection to root@127.0.0.1:2236 exited: No matching algo kex", Some(NoAlgorithm)),
    ("dbclient: Connection to root@127.0.0.1:2235 exited: No matching algo enc c->s", Some(NoAlgorithm)),
    // Our key: refused, refused where passwords are taken as well (prompts), no file, OpenSSH's file.
    ("dbclient: Connection to root@127.0.0.1:2201 exited: No auth methods could be used.", Some(KeyRefused)),
    ("root@127.0.0.1's password: ", Some(KeyRefused)),
    ("Login for root@127.0.0.1", Some(KeyRefused)),
    ("dbclient: Failed loading keyfile 'k/none'", Some(KeyFile)),
    ("dbclient: Exited: String too long", Some(KeyFile)),
    // Ports.
    ("dbclient: Connection to root@127.0.0.1:2201 exited: Remote TCP forward request failed (port 4444 -> 127.0.0.1:1)", Some(RemotePort)),
    ("dbclient: Remote TCP forward request failed (port 4444 -> 127.0.0.1:1)", Some(RemotePort)),
    ("dbclient: TCP forward failed: Error listening: Address already in use", Some(LocalPort)),
    ("dbclient: Connection to root@127.0.0.1:2201 exited: Failed local port forward 127.0.0.1:4444:127.0.0.1:1", Some(LocalPort)),
    ("dbclient: Failed local port forward 127.0.0.1:4444:127.0.0.1:1", Some(LocalPort)),
    // The way there.
    ("dbclient: Connection to root@nonexistent.invalid:22 exited: Connect failed: Error resolving 'nonexistent.invalid' port '22'. Temporary failure in name resolution", Some(NotResolved)),
    ("dbclient: Connection to root@127.0.0.1:9 exited: Connect failed: Connection refused", Some(Refused)),
    ("dbclient: Connection to root@192.0.2.1:9 exited: Connect failed: Network is unreachable", Some(Unreachable)),
    ("dbclient: Connection to root@10.9.0.77:9 exited: Connect failed: No route to host", Some(Unreachable)),
    ("dbclient: Connection to root@127.0.0.1:2299 exited: Connect failed: Connection timed out", Some(TimedOut)),
    ("dbclient: Connection to root@127.0.0.1:3003 exited: Connect failed: Connection reset by peer", Some(Closed)),
    // Closed: MaxStartups, pam_nologin, a session ended there; reset; SSH 1.
    ("dbclient: Connection to root@127.0.0.1:2202 exited: Remote closed the connection", Some(Closed)),
    ("dbclient: Connection to root@127.0.0.1:2201 exited: Error reading: Connection reset by peer", Some(Closed)),
    ("dbclient: Connection to root@127.0.0.1:3007 exited: Incompatible remote version 'SSH-1.5-x'", Some(Closed)),
    ("dbclient: Connection to root@127.0.0.1:2201 exited: Keepalive timeout", Some(KeepAlive)),
    // Options.
    ("dbclient: Ignoring unknown configuration option 'NoSuchOption=1'", Some(Word::Option)),
    ("WARNING: Ignoring unknown option -Z", Some(Word::Option)),
];

/// From the sources: other versions, musl's words for errors, what does not happen on a machine like this one.
const OTHERS: [(&str, Option<Word>); 33] = [
    (
        "ssh: connect to host 192.0.2.1 port 22: Operation timed out",
        Some(TimedOut),
    ),
    (
        "ssh: connect to host 192.0.2.1 port 22: Host is unreachable",
        Some(Unreachable),
    ),
    (
        "ssh: connect to host 192.0.2.1 port 22: Network unreachable",
        Some(Unreachable),
    ),
    (
        "ssh: connect to host fd00::1 port 22: Permission denied",
        Some(Unreachable),
    ),
    (
        "/usr/bin/ssh: Connection to a@h:22 exited: Connect failed: Host is unreachable",
        Some(Unreachable),
    ),
    (
        "/usr/bin/dbclient: Connection to a@h:22 exited: Connect failed: Operation timed out",
        Some(TimedOut),
    ),
    ("ssh: Could not resolve hostname h: Try again", Some(NotResolved)),
    ("bind [127.0.0.1]:4444: Address in use", Some(LocalPort)),
    ("root@fd00::1: Permission denied (publickey).", Some(KeyRefused)),
    (
        "no such identity: /etc/lanward/relay_ed25519: No such file or directory",
        Some(KeyFile),
    ),
    (
        "@       WARNING: REVOKED HOST KEY DETECTED!               @",
        Some(HostKeyChanged),
    ),
    (
        "ssh_dispatch_run_fatal: Connection to 192.0.2.1 port 22: incorrect signature",
        Some(HostKeyChanged),
    ),
    (
        "ssh_dispatch_run_fatal: Connection to 192.0.2.1 port 22: message authentication code incorrect",
        Some(Closed),
    ),
    (
        "ssh_exchange_identification: Connection closed by remote host",
        Some(Closed),
    ),
    (
        "packet_write_wait: Connection to 192.0.2.1 port 22: Broken pipe",
        Some(Closed),
    ),
    ("Read from remote host 192.0.2.1: Connection timed out", Some(Closed)),
    (
        "Error: remote port forwarding failed for listen port 3389",
        Some(RemotePort),
    ),
    // dropbear 2024.84 and later with StrictHostKeyChecking=yes or BatchMode=yes.
    ("Host 'relay.example.net' key unknown.", Some(HostKeyUnknown)),
    (
        "dbclient: Connection to a@h:22 exited: Not accepted automatically",
        Some(HostKeyUnknown),
    ),
    (
        "dbclient: Connection to a@h:22 exited: BatchMode active, no interactive session possible.",
        Some(KeyRefused),
    ),
    (
        "dbclient: Connection to a@[fd00::1]:22 exited: Keepalive timeout",
        Some(KeepAlive),
    ),
    (
        "dbclient: Connection to a@h:22 exited: Bad hostkey signature",
        Some(HostKeyChanged),
    ),
    (
        "dbclient: Connection to a@h:22 exited: Integrity error (bad packet size 70000)",
        Some(Closed),
    ),
    ("dbclient: Connection to a@h:22 exited: No password", Some(KeyRefused)),
    ("dbclient: Exited: Bad buf_getptr", Some(KeyFile)),
    ("dbclient: Exited: Bad TCP forward 'x'", Some(Word::Option)),
    // Our own doing, and the usual end.
    ("dbclient: Connection to a@h:22 exited: Terminated by signal", None),
    ("Connection to a@h:22 closed.", None),
    ("Connection to 192.0.2.1 closed.", None),
    // Somebody else's words in places where they may stand.
    (
        "Received disconnect from 192.0.2.1 port 22:2: Permission denied (publickey).",
        Some(Closed),
    ),
    (
        "Received disconnect from 192.0.2.1 port 22:2: root@h: Permission denied (publickey).",
        Some(Closed),
    ),
    ("motd: a@h: Permission denied (publickey).", None),
    ("please note: REMOTE HOST IDENTIFICATION HAS CHANGED!", None),
];

#[test]
fn every_line_of_the_clients_says_what_it_means() {
    for (line, meant) in OPENSSH.iter().chain(&DROPBEAR).chain(&OTHERS) {
        assert_eq!(word(line.as_bytes()), *meant, "{line}");
        // As it comes, with whatever line's end.
        assert_eq!(word(format!("{line}\r\n").as_bytes()), *meant, "{line}");
    }
}

/// Every row is there for a line: none is shadowed by one before it.
#[test]
fn no_row_is_behind_one_that_always_comes_first() {
    for rows in [&LINES[..], &EXITS] {
        for (at, (beginning, inside, word)) in rows.iter().enumerate() {
            let line = [*beginning, *inside].concat();
            let first = rows
                .iter()
                .position(|(other, inside, _)| line.starts_with(other) && line.contains(inside));
            assert_eq!(first, Some(at), "{beginning}{inside}: {word:?}");
        }
    }
}

#[test]
fn the_worst_word_explains_the_end() {
    for (words, worst_of_them) in [
        (&[][..], None),
        (&[HostKeyChanged, HostKeyUnknown], Some(HostKeyChanged)),
        // A key file that cannot be read is why nothing was offered.
        (&[KeyFile, KeyRefused], Some(KeyFile)),
        // nologin, MaxStartups: the key was not refused.
        (&[Closed, Closed], Some(Closed)),
        // An option was ignored, a connection through the tunnel failed, and then the line broke.
        (&[Word::Option, NotOpened, Target, KeepAlive], Some(KeepAlive)),
        (&[LocalPort, Closed], Some(LocalPort)),
        // Of several addresses, the one that answers is the one that matters.
        (&[Unreachable, Refused], Some(Refused)),
    ] {
        assert_eq!(worst(words), worst_of_them, "{words:?}");
    }
}

/// pam_nologin, MaxStartups, a relay that is booting: none may stop the relay for good.
#[test]
fn what_passes_is_never_read_as_a_refused_key() {
    let said = |lines: &[&str]| {
        let words: Vec<Word> = lines.iter().filter_map(|line| word(line.as_bytes())).collect();
        worst(&words)
    };
    let booting = "\"System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For technical details, see pam_nologin(8).\"";
    for lines in [
        &[booting, "", "Connection closed by 127.0.0.1 port 2224"][..],
        &[
            booting,
            "",
            "dbclient: Connection to u1@127.0.0.1:2224 exited: Remote closed the connection",
        ],
        &[
            "kex_exchange_identification: Connection closed by remote host",
            "Connection closed by 127.0.0.1 port 2202",
        ],
        &["Exceeded MaxStartups"],
    ] {
        assert_eq!(said(lines), Some(Closed), "{lines:?}");
    }
}

#[test]
fn long_and_odd_lines_are_looked_at_no_further() {
    assert_eq!(word(&[b'a'; 100_000]), None);
    let host = "h".repeat(600);
    assert_eq!(
        word(format!("ssh: connect to host {host} port 22: Connection refused").as_bytes()),
        Some(Unreachable)
    );
    assert_eq!(
        word(format!("ssh: Could not resolve hostname {}", "ä".repeat(300)).as_bytes()),
        Some(NotResolved)
    );
    assert_eq!(word(b"Load key \"\xff\xfe\": invalid format"), Some(KeyFile));
    assert_eq!(word(b"\xffLoad key \""), None);
    assert_eq!(word(b"dbclient: "), None);
    assert_eq!(
        word(b"dbclient: dbclient: Connection to a@h:22 exited: Keepalive timeout"),
        None
    );
}

#[test]
fn the_script_says_six_things() {
    for (line, meant) in [
        ("lanward-relay 1 hold", Said::Hold),
        ("lanward-relay 1 hold\r\n", Said::Hold),
        ("lanward-relay 1 hold well", Said::Hold),
        (
            "lanward-relay 1 hold unrecorded no file",
            Said::Unrecorded("no file".into()),
        ),
        ("lanward-relay 1 ended", Said::Ended),
        ("lanward-relay 1 nothing", Said::Nothing),
        ("lanward-relay 1 refused", Said::Refused(String::new())),
        (
            "lanward-relay 1 refused not\x1b[31m permitted",
            Said::Refused("not[31m permitted".into()),
        ),
    ] {
        assert_eq!(said(line.as_bytes()), Some(meant), "{line}");
    }
    for line in [
        "",
        "lanward-relay 1",
        "lanward-relay 1 ",
        "lanward-relay 1 holds",
        "lanward-relay 2 hold",
        " lanward-relay 1 hold",
        "Lanward-relay 1 hold",
        "lanward-relay 1 refusedly",
        "motd",
    ] {
        assert_eq!(said(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn nothing_of_a_relay_reaches_a_terminal_or_makes_a_line() {
    for (line, shown) in [
        (&b"Welcome\x1b[31m\r\n"[..], "Welcome[31m"),
        (b"a\x07b\x08c\x7fd\0e\nf\rg", "abcdefg"),
        (b"tab\there", "tab here"),
        (
            "c1 \u{9b}31m, bidi \u{202e}gnp\u{2066}, hidden \u{200b}\u{feff}\u{2028}x".as_bytes(),
            "c1 31m, bidi gnp, hidden x",
        ),
        (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        ("日本語、ä".as_bytes(), "日本語、ä"),
    ] {
        assert_eq!(clean(line), shown);
    }
    for letter in ["a", "ä", "日", "🦀"] {
        let long = clean(letter.repeat(10_000).as_bytes());
        assert!(
            long.len() <= LONGEST && long.len() > LONGEST - 4,
            "{letter}: {}",
            long.len()
        );
        assert!(long.chars().all(|seen| letter.contains(seen)), "cut between characters");
    }
    assert!(clean(&[0xff; 10_000]).len() <= LONGEST);
}
