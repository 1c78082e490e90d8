//! What a router of any architecture must do: written to be run in an emulated one (`tests/router/run.sh`), with nothing but `ip` besides the
//! program, and run here as well. Behind a firewall as fw4 writes it, which takes nft, and behind a plain one, which takes none: for big-endian
//! MIPS there is no nft.

use lanward::system::nftables::Nftables;
use lanward_rig::clock::away_from_midnight;
use lanward_rig::home::{switched_off, switched_on, Home, Switch};
use lanward_rig::house::{Family, Host, House, Plan, FAMILIES};
use lanward_rig::namespace::Namespace;
use lanward_rig::probe::{now, Connection, Fate};
use lanward_rig::report_line::{figure, this_test};
use lanward_rig::settings::{Firewall, Refusal};
use serde_json::{json, Value};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SSH: u16 = 22;
const IMAPS: u16 = 993;
/// What waits for a packet or the daemon waits no longer than this; the figures are printed.
const SOON: Duration = Duration::from_secs(20);

fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if holds() {
            return Some(began.elapsed());
        }
        sleep(Duration::from_millis(5));
    }
    None
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key} in {value}"))
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// The router's nf_tables, as the kernel tells them.
fn kernel<T: Send>(home: &Home, ask: impl FnOnce(&mut Nftables) -> T + Send) -> T {
    let router = home.house.router();
    router.run(|| ask(&mut Nftables::open().expect("every house has nf_tables")))
}

fn has_table(home: &Home) -> bool {
    let tables = kernel(home, |nftables| nftables.tables().expect("they can be listed"));
    tables.contains(&("inet", "lanward".to_owned()))
}

#[test]
fn the_switch_behind_fw4() {
    the_switch(House::plan());
}

#[test]
fn the_switch_behind_a_plain_firewall() {
    the_switch(House::plan().with_plain_firewall());
}

/// On bites at once, leaves the rest alone, pauses, resumes, comes back when its table is taken away, ends.
fn the_switch(plan: Plan) {
    let Some(home) = Home::start(&this_test(), plan, &switched_off("")) else {
        return;
    };
    assert!(has_table(&home));
    for family in FAMILIES {
        assert_eq!(
            home.house.way_out(family).udp(50000),
            Fate::Answered,
            "{family}: off is off"
        );
    }
    let doomed = FAMILIES.map(|family| {
        home.house
            .way_out(family)
            .udp_sessions(50000, 1, Duration::from_millis(5))
    });
    let spared = home
        .house
        .way("lan", "vpn")
        .udp_sessions(50001, 1, Duration::from_millis(5));
    let (call, began) = (now(), Instant::now());
    let state = home.switch(Switch::On);
    figure(
        "switch on",
        &format!("answered after {}", milliseconds(began.elapsed())),
    );
    assert!(number(&state, "flows_cut") >= 2, "{state}");
    for (family, session) in FAMILIES.iter().zip(&doomed) {
        let after = session
            .stopped_after(call)
            .unwrap_or_else(|| panic!("{family} goes on"));
        figure(
            "switch on",
            &format!("{family}: last packet of a live flow {after:.1} ms after the call began"),
        );
    }
    assert!(spared.goes_on(), "from the LAN to the VPN");
    drop((doomed, spared));
    let dropped = number(&home.daemon.lan_only(), "dropped_packets");
    for family in FAMILIES {
        let way = home.house.way_out(family);
        for (port, fate) in [
            (443, Fate::Answered),
            (40000, Fate::Answered),
            (40001, Fate::Lost),
            (65535, Fate::Lost),
        ] {
            assert_eq!(way.udp(port), fate, "{family} {port}");
        }
        assert_eq!(way.tcp(50000), Connection::Accepted, "{family}: TCP");
    }
    let state = home.daemon.lan_only();
    assert_eq!(
        (number(&state, "dropped_packets") - dropped, &state["enforced"]),
        (4, &json!(true)),
        "{state}"
    );

    home.daemon.must("pause", &json!({ "minutes": 5 }));
    assert!((280..=300).contains(&number(&home.daemon.lan_only(), "paused_seconds")));
    assert_eq!(home.house.way_out(Family::V6).udp(50000), Fate::Answered, "paused");
    home.reload(&switched_on("option level 'strict'\noption source_zone 'lan'"));
    assert!(
        (270..=300).contains(&number(&home.daemon.lan_only(), "paused_seconds")),
        "kept through a reload"
    );
    home.daemon.must("resume", &json!({}));
    assert_eq!(
        home.house.way_out(Family::V4).udp(1024),
        Fate::Lost,
        "resumed, and strict"
    );

    kernel(&home, |nftables| nftables.delete_table("lanward")).expect("it was there");
    let back = within(SOON, || has_table(&home)).expect("the daemon puts it back");
    figure("table deleted", &format!("back after {}", milliseconds(back)));
    assert_eq!(home.house.way_out(Family::V6).udp(1024), Fate::Lost);
    home.switch(Switch::Off);
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Answered, "off again");
}

/// Answers every line at a port of the router, until it is dropped.
struct Echo {
    address: SocketAddr,
    namespace: Namespace,
    is_over: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Echo {
    fn at(namespace: &Namespace, address: SocketAddr) -> Self {
        let listener: TcpListener = namespace.tcp_listener(address);
        let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let over = is_over.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || answer(stream));
            }
        });
        Self {
            address,
            namespace: namespace.clone(),
            is_over,
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.namespace.run(|| TcpStream::connect(self.address));
    }
}

fn answer(mut stream: TcpStream) {
    let mut line = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut line) {
        if stream.write_all(&line[..read]).is_err() {
            return;
        }
    }
}

/// A connection from a host with a line answered on it; dropped, it ends by FIN.
fn session(host: &Host, family: Family, to: SocketAddr) -> std::io::Result<TcpStream> {
    let source = SocketAddr::new(host.address(family), 0);
    host.namespace.run(|| {
        let mut stream = connect_from(source, to)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(b"a line\n")?;
        stream.read_exact(&mut [0; 7])?;
        Ok(stream)
    })
}

/// `internet` and `internet2` are one machine: who calls is said by the source address.
fn connect_from(source: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    use nix::sys::socket::{bind, connect, socket, AddressFamily, SockFlag, SockType, SockaddrStorage};
    use std::os::fd::AsRawFd;
    let family = if to.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(source))?;
    connect(fd.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(TcpStream::from(fd))
}

#[test]
fn the_gate_behind_fw4() {
    the_gate(House::plan());
}

#[test]
fn the_gate_behind_a_plain_firewall() {
    the_gate(House::plan().with_plain_firewall());
}

/// Refused, admitted by an established connection to the witness, refused again after its end; opened and shut by hand, and by time.
fn the_gate(plan: Plan) {
    let config = "config lanward 'lanward'\n\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\n\
        config witness 'imaps'\n\toption gate 'ssh'\n";
    let mail = json!({ "type": "rule", "name": "Allow-mail", "src": "wan", "proto": "tcp", "dest_port": "993", "target": "ACCEPT" });
    let firewall = Firewall::refusing(Refusal::Reject).with(mail);
    let Some(home) = Home::start_gated(&this_test(), plan, firewall, config) else {
        return;
    };
    let (stranger, other) = (home.house.host("internet"), home.house.host("internet2"));
    let listed = || {
        let reply = home.daemon.must("gate_list", &json!({}));
        let entries = reply["entries"].as_array().expect("a list").clone();
        let row = |entry: &Value| {
            (
                entry["address"].as_str().unwrap_or_default().to_owned(),
                number(entry, "expires"),
            )
        };
        entries.iter().map(row).collect::<Vec<_>>()
    };
    for family in FAMILIES {
        let router: IpAddr = home.house.router_address("wan", family);
        let (ssh, imaps) = (SocketAddr::new(router, SSH), SocketAddr::new(router, IMAPS));
        let _servers = [ssh, imaps].map(|address| Echo::at(home.house.router(), address));
        let knocks = |host: &str| {
            home.house
                .way(host, "router")
                .over(family)
                .through(router)
                .tcp_unheard(SSH)
        };
        assert_eq!(knocks("internet"), Connection::Reset, "{family}: straight");
        assert_eq!(listed(), []);
        drop(session(stranger, family, imaps).expect("the mail server is open to all"));
        let address = stranger.address(family).to_string();
        let [(who, seconds)] = &listed()[..] else {
            panic!("{family}: {:?}", listed())
        };
        assert!(
            *who == address && (40..=60).contains(seconds),
            "{family}: {who} {seconds}"
        );
        // The kernel's copy of the packet that did it has been read.
        let said = format!("{address} admitted for ");
        assert!(home.daemon.logs(&said, SOON), "{}", home.daemon.log());
        assert_eq!(knocks("internet2"), Connection::Reset, "{family}: it proved nothing");
        let inside = session(stranger, family, ssh).expect("it is listed");
        assert_eq!(listed().len(), 1, "{family}");
        drop(inside);
        within(SOON, || listed().is_empty()).unwrap_or_else(|| panic!("{family}: {:?} after its end", listed()));
        assert_eq!(
            knocks("internet"),
            Connection::Reset,
            "{family}: the session's end shuts it"
        );

        let by_hand = json!({ "gate": "ssh", "address": other.address(family).to_string(), "seconds": 4 });
        home.daemon.must("gate_admit", &by_hand);
        drop(session(other, family, ssh).expect("admitted by hand"));
        home.daemon.must("gate_admit", &by_hand);
        let shut = within(SOON, || listed().is_empty()).unwrap_or_else(|| panic!("{family}: {:?}", listed()));
        assert!((3..15).contains(&shut.as_secs()), "{family}: {shut:?}");
        assert_eq!(knocks("internet2"), Connection::Reset, "{family}: its time is over");
    }
    let status = home.daemon.must("status", &json!({}));
    let gate = &status["gates"][0];
    assert_eq!(number(gate, "entries"), 0, "{gate}");
    assert!(number(gate, "admitted") >= 4 && number(gate, "refused") >= 8, "{gate}");
    kernel(&home, |nftables| nftables.delete_table("lanward")).expect("it was there");
    within(SOON, || has_table(&home)).expect("the daemon puts it back");
}

#[test]
fn the_ledger_behind_fw4() {
    the_ledger(House::plan());
}

#[test]
fn the_ledger_behind_a_plain_firewall() {
    the_ledger(House::plan().with_plain_firewall());
}

/// Counted in both families, by port and source; on flash in the format's order of bytes; read from there after a power cut.
fn the_ledger(plan: Plan) {
    away_from_midnight();
    let mail = json!({ "type": "rule", "name": "Allow-mail", "src": "wan", "proto": "tcp", "dest_port": "993", "target": "ACCEPT" });
    let firewall = Firewall::refusing(Refusal::Reject).with(mail);
    let Some(mut home) = Home::start_gated(&this_test(), plan, firewall, "config ledger 'ledger'\n") else {
        return;
    };
    let rows = |home: &Home, by: &str, name: &str| -> Vec<(Value, u64)> {
        let reply = home.daemon.must("history", &json!({ "by": by }));
        let rows = reply["rows"].as_array().expect("a list");
        rows.iter()
            .map(|row| (row[name].clone(), number(row, "attempts")))
            .collect()
    };
    let mut addresses = Vec::new();
    for family in FAMILIES {
        let router: IpAddr = home.house.router_address("wan", family);
        let imaps = SocketAddr::new(router, IMAPS);
        let _server = Echo::at(home.house.router(), imaps);
        let way = home.house.way("internet", "router").over(family).through(router);
        for port in [23, 445, 23] {
            assert_eq!(way.tcp_unheard(port), Connection::Reset, "{family}");
        }
        // Accepted: no attempt.
        let stranger = home.house.host("internet");
        drop(session(stranger, family, imaps).expect("the mail server is open to all"));
        addresses.push((json!(stranger.address(family).to_string()), 3));
    }
    let counted = |home: &Home| {
        assert_eq!(rows(home, "port", "port"), [(json!(23), 4), (json!(445), 2)]);
        assert_eq!(rows(home, "source", "address"), addresses);
    };
    counted(&home);
    home.daemon.must("ledger_commit", &json!({}));
    let directory = home.house.directory().to_owned();
    let file = std::fs::read(directory.join("state/ledger")).expect("it was written");
    let status = home.daemon.must("status", &json!({}));
    let written = number(&status["ledger"], "last_commit");
    assert_eq!(file[..16], [&b"lwledgr\x01"[..], &written.to_be_bytes()].concat());
    home.daemon.kill9();
    std::fs::remove_file(directory.join("run/ledger")).expect("it was there");
    kernel(&home, |nftables| nftables.delete_table("lanward")).expect("it was there");
    home.daemon.start_again().expect("it starts");
    counted(&home);
}

/// Memory and wake-ups of a daemon that has both systems at work, at rest.
#[test]
fn a_daemon_at_rest() {
    const WATCHED: Duration = Duration::from_secs(20);
    let config = switched_on("")
        + "\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\n\
        config witness 'imaps'\n\toption gate 'ssh'\n";
    let plan = House::plan().with_plain_firewall();
    let Some(home) = Home::start_gated(&this_test(), plan, Firewall::default(), &config) else {
        return;
    };
    for turn in 0..20 {
        home.switch(if turn % 2 == 0 { Switch::Off } else { Switch::On });
    }
    let began = Instant::now();
    for turn in 0..10 {
        home.switch(if turn % 2 == 0 { Switch::Off } else { Switch::On });
    }
    figure("a switch", &milliseconds(began.elapsed() / 10));
    let quiet = || {
        let before = home.daemon.voluntary_switches();
        sleep(Duration::from_secs(2));
        home.daemon.voluntary_switches() == before
    };
    within(SOON, quiet).expect("it comes to rest");
    let (before, spent) = (home.daemon.voluntary_switches(), home.daemon.processor_time());
    sleep(WATCHED);
    let woken = home.daemon.voluntary_switches() - before;
    figure(
        "at rest",
        &format!(
            "woken {} times a minute, {} of processor time; RSS {} KiB, PSS {} KiB",
            woken * 60 / WATCHED.as_secs(),
            milliseconds((home.daemon.processor_time() - spent) * 3),
            home.daemon.rss_kib(),
            home.daemon.pss_kib()
        ),
    );
    // Once by the ledger, whose file may make it wait twice more.
    assert!(woken <= 4, "woken {woken} times in {WATCHED:?}");
}
