//! The commands for another machine than the router, beside the stock clients and servers: what goes out, who accepts it, and what a new key looks like to
//! those who are given it.

use lanward_rig::daemon::program;
use lanward_rig::namespace::Namespace;
use lanward_rig::report_line::{skip, this_test};
use lanward_rig::scratch::Scratch;
use lanward_rig::segments::{flag, Packet};
use lanward_rig::tap::Tap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Whether one of these is not there. Says so.
fn missing(programs: &[(&str, &str)]) -> bool {
    for (program, package) in programs {
        if Command::new(program).arg("--version").output().is_err() {
            skip(&this_test(), &format!("no {program} (Debian: {package})"));
            return true;
        }
    }
    false
}

/// Two machines on a wire: 192.0.2.1 and 2001:db8::1 knock at 192.0.2.2 and 2001:db8::2, where a tap listens.
struct Wire {
    client: Namespace,
    router: Namespace,
    tap: Tap,
}

impl Wire {
    fn new() -> Option<Self> {
        if !Namespace::can_be_made(&this_test()) {
            return None;
        }
        let [client, router] = [(); 2].map(|()| Namespace::new().expect("one more"));
        client.ip(&format!(
            "link add eth0 type veth peer name wan netns {}\naddress add 192.0.2.1/24 dev eth0\n\
             address add 2001:db8::1/64 dev eth0 nodad\nlink set eth0 up\n",
            router.path()
        ));
        router.ip(
            "address add 192.0.2.2/24 dev wan\naddress add 2001:db8::2/64 dev wan nodad\nlink set wan up\n\
             address add 10.0.0.1/24 dev lo\n",
        );
        let tap = Tap::open(&router, "wan").expect("a tap");
        Some(Self { client, router, tap })
    }

    /// What a command of the client machine brings to the wire, neighbours' talk left out; and how it ended.
    fn seen(&self, program: &str, words: &str) -> (Vec<String>, Output) {
        while self.tap.next(Duration::ZERO).is_some() {}
        let words: Vec<&str> = words.split(' ').collect();
        let output = self.client.output(program, &words, "").expect("it can be started");
        let mut seen = Vec::new();
        // Longer than a SYN waits for its first repetition.
        while let Some(packet) = self.tap.next(Duration::from_millis(1300)) {
            match packet {
                Packet::Tcp(segment) => {
                    let flags = if segment.flags == flag::SYN { "SYN" } else { "other" };
                    seen.push(format!("tcp {flags} {} {}", segment.to, segment.payload.len()));
                }
                Packet::Udp(_, to, payload) => seen.push(format!("udp {to} {payload:?}")),
                Packet::Icmp(..) => {}
            }
        }
        (seen, output)
    }
}

fn lanward() -> String {
    program().to_string_lossy().into_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_knock_looks_like_one_of_the_stock_client() {
    if missing(&[("knock", "knockd")]) {
        return;
    }
    let Some(wire) = Wire::new() else { return };
    // One that answers with nothing at all, and one that refuses.
    for firewall in [
        "",
        "table inet f { chain i { type filter hook input priority 0; tcp dport 7000-9000 drop; }; }",
    ] {
        wire.router.nft(&format!("flush ruleset\n{firewall}\n"));
        for (host, knocks) in [
            ("192.0.2.2", "7000 8000 9000"),
            ("192.0.2.2", "7000:udp 8000:tcp 9000:udp 22"),
            ("2001:db8::2", "9000 7000:udp 8000 1"),
        ] {
            let (stock, ended) = wire.seen("knock", &format!("-d 20 {host} {knocks}"));
            assert!(ended.status.success(), "{ended:?}");
            assert_eq!(stock.len(), knocks.split(' ').count(), "{stock:?}");
            for delay in ["", " --delay 0", " --delay 20"] {
                let (ours, ended) = wire.seen(&lanward(), &format!("knock {host} {knocks}{delay}"));
                assert_eq!(ended.status.code(), Some(0), "{ended:?}");
                assert_eq!(ours, stock, "{knocks}{delay}");
            }
        }
    }
    let (seen, ended) = wire.seen(&lanward(), "knock 192.0.2.2 7000 --ipv6");
    assert!(seen.is_empty() && ended.status.code() == Some(1), "{seen:?} {ended:?}");
    assert!(text(&ended.stderr).contains("has no IPv6 address"), "{ended:?}");
    let (seen, ended) = wire.seen(&lanward(), "knock 203.0.113.9 7000");
    assert!(seen.is_empty() && ended.status.code() == Some(1), "{seen:?} {ended:?}");
    assert!(text(&ended.stderr).contains("tcp:7000 of 203.0.113.9"), "{ended:?}");
}

/// `lanward spa keygen` with its state in a folder of ours.
fn keygen(scratch: &Scratch, words: &str) -> Output {
    let mut command = Command::new(program());
    command.args(["spa", "keygen"]).args(words.split(' '));
    let output = command.arg("--state-dir").arg(&**scratch).output();
    output.expect("it can be started")
}

/// The parts of what it prints: section, stanza, code.
fn parts(output: &Output) -> [String; 3] {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stdout);
    let mut parts = said.split("\n\n").map(|part| {
        let lines = part.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect()
    });
    std::array::from_fn(|_| parts.next().expect("three parts"))
}

#[test]
fn a_new_key_is_a_file_of_its_own_that_nothing_overwrites() {
    let scratch = Scratch::new("clients");
    let [section, stanza, _] = parts(&keygen(&scratch, "laptop --host router.example --gate web"));
    let path = scratch.join("laptop.key");
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let key = fs::read_to_string(&path).expect("ours");
    assert_eq!(key.lines().count(), 2);
    for line in key.lines() {
        let (name, value) = line.split_once(' ').expect("two words");
        assert!(stanza
            .lines()
            .any(|line| line.starts_with(name) && line.ends_with(value)));
    }
    assert!(
        section.contains("config spa 'laptop'\n\toption gate 'web'\n"),
        "{section}"
    );
    assert!(
        section.contains(&format!("option key_file '{}'", path.display())),
        "{section}"
    );

    let again = keygen(&scratch, "laptop");
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0), "{again:?}");
    assert!(text(&again.stderr).contains("never overwritten"), "{again:?}");
    assert_eq!(fs::read_to_string(&path).expect("ours"), key);
    symlink(scratch.join("victim"), scratch.join("phone.key")).expect("planted");
    let linked = keygen(&scratch, "phone");
    assert_eq!((linked.status.code(), linked.stdout.len()), (Some(1), 0), "{linked:?}");
    assert!(!scratch.join("victim").exists());
    for words in [
        "../laptop",
        "my-phone",
        "a.b",
        "phone2 --host a;b",
        "phone2 --key-file it's.key",
    ] {
        let refused = keygen(&scratch, words);
        assert_eq!(
            (refused.status.code(), refused.stdout.len()),
            (Some(2), 0),
            "{refused:?}"
        );
    }
    assert!(
        !scratch.join("phone2.key").exists(),
        "what goes wrong leaves no key behind"
    );
    let [_, other, _] = parts(&keygen(
        &scratch,
        &format!("phone --key-file {}", scratch.join("x").display()),
    ));
    assert!(scratch.join("x").exists());
    assert_ne!(other.lines().last(), stanza.lines().last(), "no key is made twice");
}

/// A code made of half blocks as a picture of light and dark, eight dots for a module, for a decoder.
fn picture(code: &str) -> Vec<u8> {
    const DOTS: usize = 8;
    let width = code.lines().next().map_or(0, |line| line.chars().count());
    let mut rows: Vec<Vec<u8>> = Vec::new();
    for line in code.lines() {
        // Light is drawn: that is how it looks where letters are light on dark.
        for upper in [true, false] {
            let light = |drawn: char| drawn == '█' || drawn == if upper { '▀' } else { '▄' };
            rows.push(line.chars().map(|drawn| if light(drawn) { 255 } else { 0 }).collect());
        }
    }
    // Below the last row there may be half a line of the terminal.
    rows.truncate(width);
    let mut bytes = format!("P5\n{} {}\n255\n", width * DOTS, rows.len() * DOTS).into_bytes();
    for row in &rows {
        let wide: Vec<u8> = row.iter().flat_map(|dot| [*dot; DOTS]).collect();
        bytes.extend(wide.repeat(DOTS));
    }
    bytes
}

/// A bar code of another kind is seen in some of the pictures, too.
const QR_ONLY: [&str; 4] = ["--raw", "-q", "-Sdisable", "-Sqrcode.enable"];

#[test]
fn a_phone_reads_the_keys_from_the_code() {
    if missing(&[("zbarimg", "zbar-tools")]) {
        return;
    }
    let scratch = Scratch::new("clients");
    for name in ["a", "b", "c", "d"] {
        let [.., code] = parts(&keygen(&scratch, name));
        let path = scratch.join("code.pgm");
        fs::write(&path, picture(&code)).expect("ours");
        let decoded = Command::new("zbarimg").args(QR_ONLY).arg(&path).output();
        let decoded = text(&decoded.expect("it can be started").stdout);
        // What Fwknop2 does: words, each a name and a value with a colon between.
        let words: Vec<_> = decoded.trim_end().split(' ').map(|word| word.split_once(':')).collect();
        let file = fs::read_to_string(scratch.join(format!("{name}.key"))).expect("ours");
        let keys: Vec<_> = file.lines().map(|line| line.split_once(' ')).collect();
        assert_eq!(words, keys);
    }
}

#[test]
fn the_stock_client_takes_the_stanza() {
    if missing(&[("fwknop", "fwknop-client")]) {
        return;
    }
    let scratch = Scratch::new("clients");
    for (name, words, digest) in [
        ("laptop", "--host 203.0.113.1", "SHA256"),
        (
            "desk",
            "--host 203.0.113.1 --access tcp/22,tcp/443 --port 5000 --hmac sha512",
            "SHA512",
        ),
    ] {
        let [_, stanza, _] = parts(&keygen(&scratch, &format!("{name} {words}")));
        let rc = scratch.write("fwknoprc", &stanza);
        let made = Command::new("fwknop")
            .args(["-n", name, "--test", "-v", "--rc-file"])
            .arg(&rc)
            .output();
        let made = made.expect("it can be started");
        assert!(made.status.success(), "{made:?}");
        let said = text(&made.stdout);
        let field = |name: &str| {
            let mut lines = said
                .lines()
                .filter_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
            lines.next().unwrap_or_else(|| panic!("no {name} in {said}")).trim()
        };
        let (ports, port) = if name == "desk" {
            ("tcp/22,tcp/443", "5000")
        } else {
            ("tcp/22", "62201")
        };
        assert_eq!(field("Message String"), format!("0.0.0.0,{ports}"));
        assert!(field("HMAC Type").contains(digest), "{said}");
        assert_eq!(field("destination port"), port);
        assert_eq!(field("IP/host"), "203.0.113.1");
        // And what it makes of it opens with our file.
        let key = fs::read(scratch.join(format!("{name}.key"))).expect("ours");
        let keys = lanward::spa::Keys::parse(&key).expect("ours");
        let digest = lanward::spa::Digest::parse(digest).expect("known");
        lanward::spa::open(field("Final SPA Data").as_bytes(), &keys, digest).expect("made with this key");
    }
}

/// The stock server in the router, which says what it hears.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it with a key file as its access stanza, and gives what it says as it comes.
fn fwknopd(wire: &Wire, scratch: &Scratch, key: &Path) -> (Server, std::sync::mpsc::Receiver<String>) {
    let keys = fs::read_to_string(key).expect("ours");
    let access = scratch.write(
        "access.conf",
        format!("SOURCE ANY\nOPEN_PORTS tcp/22\nFW_ACCESS_TIMEOUT 20\n{keys}"),
    );
    let config = scratch.write("fwknopd.conf", "PCAP_INTF wan;\nPCAP_FILTER udp port 62201;\n");
    let mut command = Command::new("stdbuf");
    command.args([
        "-oL",
        "-eL",
        "fwknopd",
        "--foreground",
        "--test",
        "-v",
        "-v",
        "--udp-server",
    ]);
    command
        .arg("-c")
        .arg(config)
        .arg("-a")
        .arg(access)
        .arg("-r")
        .arg(&**scratch);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = wire.router.run(|| command.spawn()).expect("it can be started");
    let (tell, told) = std::sync::mpsc::channel();
    let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let outputs: [Box<dyn std::io::Read + Send>; 2] = [Box::new(out), Box::new(err)];
    for output in outputs {
        let tell = tell.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
    }
    (Server(child), told)
}

#[test]
fn the_stock_server_accepts_our_packet() {
    if missing(&[("fwknopd", "fwknop-server")]) {
        return;
    }
    let Some(wire) = Wire::new() else { return };
    let scratch = Scratch::new("clients");
    parts(&keygen(&scratch, "laptop"));
    let key = scratch.join("laptop.key");
    let (_server, told) = fwknopd(&wire, &scratch, &key);
    let mut log = String::new();
    let mut hears = |what: &str| {
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if let Ok(line) = told.recv_timeout(Duration::from_millis(100)) {
                log += &line;
                log.push('\n');
                if line.contains(what) {
                    return;
                }
            }
        }
        panic!("no '{what}' in\n{log}");
    };
    hears("Kicking off UDP server");
    // It says so before it listens.
    let began = std::time::Instant::now();
    while !wire.router.proc_net("udp").contains(":F2F9 ") && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let send = |words: &str| {
        let words = format!("spa {words} --access tcp/22 --key-file {}", key.display());
        let words: Vec<&str> = words.split(' ').collect();
        wire.client.output(&lanward(), &words, "").expect("it can be started")
    };
    // Its own address, which is what the server is to see.
    let sent = send("192.0.2.2");
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    assert!(text(&sent.stdout).contains("let 192.0.2.1 in"), "{sent:?}");
    hears("Message String: 192.0.2.1,tcp/22");
    let sent = send("192.0.2.2 --address 198.51.100.7 --seconds 77");
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    hears("Message String: 198.51.100.7,tcp/22");
    hears("Client Timeout: 77");
    let sent = send("192.0.2.2 --address source");
    assert!(text(&sent.stdout).contains("whoever"), "{sent:?}");
    hears("Message String: 0.0.0.0,tcp/22");
    assert!(
        !log.contains("HMAC verification failed") && !log.contains("Error creating fko context"),
        "{log}"
    );
}

#[test]
fn behind_nat_it_says_what_is_needed_and_sends_nothing() {
    let Some(wire) = Wire::new() else { return };
    let scratch = Scratch::new("clients");
    parts(&keygen(&scratch, "laptop"));
    let spa = |words: &str| {
        let key = scratch.join("laptop.key");
        wire.seen(
            &lanward(),
            &format!("spa {words} --access tcp/22 --key-file {}", key.display()),
        )
    };
    let (seen, ended) = spa("192.0.2.2");
    assert_eq!((seen.len(), ended.status.code()), (1, Some(0)), "{seen:?} {ended:?}");
    let (seen, ended) = spa("2001:db8::2 --port 5000");
    assert!(
        seen.len() == 1 && seen[0].starts_with("udp [2001:db8::2]:5000 "),
        "{seen:?} {ended:?}"
    );

    wire.client.ip(
        "address del 192.0.2.1/24 dev eth0\naddress add 192.168.1.5/24 dev eth0\nroute add 192.0.2.0/24 dev eth0\n",
    );
    wire.router.ip("route add 192.168.1.0/24 dev wan\n");
    let (seen, ended) = spa("192.0.2.2");
    assert_eq!((seen.len(), ended.status.code()), (0, Some(2)), "{seen:?} {ended:?}");
    assert!(text(&ended.stderr).contains("--address source"), "{ended:?}");
    for words in ["192.0.2.2 --address source", "192.0.2.2 --address 198.51.100.7"] {
        let (seen, ended) = spa(words);
        assert_eq!((seen.len(), ended.status.code()), (1, Some(0)), "{seen:?} {ended:?}");
    }
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let scratch = Scratch::new("clients");
    parts(&keygen(&scratch, "laptop"));
    let key = scratch.join("laptop.key");
    let spa = || {
        let mut command = Command::new(program());
        command
            .args(["spa", "127.0.0.1", "--access", "tcp/22", "--key-file"])
            .arg(&key);
        command.output().expect("it can be started")
    };
    assert_eq!(spa().status.code(), Some(0));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("ours");
    let refused = spa();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused.stderr).contains("chmod 600"), "{refused:?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::write(&key, "KEY_BASE64 not!base64\n").expect("ours");
    let refused = spa();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused.stderr).contains("laptop.key: line 1"), "{refused:?}");
}

#[test]
fn a_file_of_knockd_becomes_sections() {
    let import = |words: &[&str], input: &str| {
        let mut command = Command::new(program());
        command.arg("import-knockd").args(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        let mut to = child.stdin.take().expect("piped");
        let _ = std::io::Write::write_all(&mut to, input.as_bytes());
        drop(to);
        child.wait_with_output().expect("it ends")
    };
    let door = "[door]\nsequence = 7000,8000:udp\nseq_timeout = 5\ntcpflags = syn\ncmd_timeout = 30\n\
                start_command = /sbin/iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT\n\
                stop_command = /sbin/iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT\n";
    let taken = import(&["-", "--gate", "web"], door);
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    assert!(text(&taken.stdout).contains("config knock 'door'"), "{taken:?}");
    assert!(text(&taken.stdout).contains("option gate 'web'"), "{taken:?}");
    let lost = import(&["-"], &door.replace("tcpflags = syn", "tcpflags = fin"));
    assert_eq!(lost.status.code(), Some(3), "{lost:?}");
    assert!(text(&lost.stderr).contains("-: line 1: door: "), "{lost:?}");
    let scratch = Scratch::new("clients");
    let path = scratch.write("knockd.conf", door);
    let path = path.to_string_lossy();
    assert_eq!(import(&[&path], "").stdout, import(&["-"], door).stdout);
    let none = import(&["/nonexistent/knockd.conf"], "");
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(text(&none.stderr).contains("/nonexistent/knockd.conf"), "{none:?}");
}
