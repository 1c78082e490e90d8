//! The daemon beside fw4's flow table, with packets: what is in it passes by all rules. Each test has a house of its own, with the daemon in its router.
//! Where the kernel has no flow tables: `tests/vm/test.sh offload_daemon`.

use lanward::system::nftables::Nftables;
use lanward_rig::home::{switched_off, switched_on, Home, Switch};
use lanward_rig::house::{Family, House, FAMILIES, MAPPED_PORT, REDIRECTED_PORT};
use lanward_rig::namespace::Namespace;
use lanward_rig::probe::{now, Fate, Way};
use lanward_rig::report_line::{figure, skip, this_test};
use lanward_rig::session::Session;
use lanward_rig::settings::{Firewall, FlowTable};
use serde_json::{json, Value};
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// A packet may still be on its way so long after the answer that says that its flow has ended.
const ON_ITS_WAY_MS: f64 = 250.0;
/// How long something may take that happens by itself, on such a machine.
const SOON: Duration = Duration::from_secs(20);
/// Between the packets of a live flow.
const PACE: Duration = Duration::from_millis(5);
/// Seconds without a packet after which a flow leaves the flow table (30 by default).
const IDLE: u64 = 3;
/// From one round of packets to the next no more, or a flow may have left it.
const LATE: Duration = Duration::from_millis(1500);

const SSH: u16 = 22;
const IMAPS: u16 = 993;
/// Seconds that a source stays listed.
const WINDOW: u64 = 12;

/// What fw4 makes for `flow_offloading`, in a table of its own.
const FLOW_TABLE: &str = "table inet flows {
	flowtable ft { hook ingress priority 0; devices = { lo }; }
	chain forward {
		type filter hook forward priority filter; policy accept;
		meta l4proto { tcp, udp } flow add @ft
	}
}
";

/// Whether the kernel has flow tables; if not, it says so loudly.
fn has_flow_tables() -> bool {
    // Where that is missing, too, the house says so.
    let Ok(place) = Namespace::new() else { return true };
    let loaded = place.output("nft", &["-f", "-"], FLOW_TABLE);
    if loaded.is_ok_and(|loaded| loaded.status.success()) {
        return true;
    }
    // It is that, and nothing else, which is missing.
    let without: Vec<&str> = FLOW_TABLE
        .lines()
        .filter(|line| !line.contains("@ft") && !line.contains("ft {"))
        .collect();
    place.nft(&without.join("\n"));
    skip(
        &this_test(),
        "the kernel here has no flow tables: tests/vm/test.sh offload_daemon",
    );
    false
}

/// A house whose firewall has this flow table, with the daemon. Beside it a counter of the packets that come to the rules in `forward`.
fn offloading(flow_table: FlowTable, firewall: Firewall, config: &str) -> Option<Home> {
    if !has_flow_tables() {
        return None;
    }
    let home = Home::start_gated(&this_test(), House::plan(), firewall.offloading(flow_table), config)?;
    let router = home.house.router();
    router.nft(
        "table inet beside {
	counter forwarded { }
	chain forward {
		type filter hook forward priority -200; policy accept;
		counter name forwarded
	}
}
",
    );
    for protocol in ["tcp", "udp"] {
        let timeout = format!("net/netfilter/nf_flowtable_{protocol}_timeout");
        router
            .sysctl(&timeout, &IDLE.to_string())
            .unwrap_or_else(|error| panic!("{error}"));
    }
    Some(home)
}

fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if holds() {
            return Some(began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key} in {value}"))
}

/// What conntrack says of the flows that were begun towards this port.
fn in_conntrack(home: &Home, protocol: &str, family: Family, port: u16) -> String {
    let begin = if family == Family::V4 { "ipv4" } else { "ipv6" };
    let (protocol, port) = (format!(" {protocol} "), format!("dport={port}"));
    let is_meant = |line: &&str| {
        let mut ports = line.split_whitespace().filter(|word| word.starts_with("dport="));
        line.starts_with(begin) && line.contains(&protocol) && ports.next() == Some(&port)
    };
    // The original direction stands first.
    home.house
        .router()
        .proc_net("nf_conntrack")
        .lines()
        .filter(is_meant)
        .collect()
}

fn is_offloaded(home: &Home, protocol: &str, family: Family, port: u16) -> bool {
    in_conntrack(home, protocol, family, port).contains("[OFFLOAD]")
}

fn wait_offloaded(home: &Home, protocol: &str, flows: &[(Family, u16)]) {
    for (family, port) in flows {
        let offloaded = within(SOON, || is_offloaded(home, protocol, *family, *port));
        assert!(
            offloaded.is_some(),
            "{family} {port}: {}",
            in_conntrack(home, protocol, *family, *port)
        );
    }
}

/// Packets that the rules in `forward` have seen so far.
fn forwarded(home: &Home) -> u64 {
    let counters = home.house.router().run(|| Nftables::open()?.counters("beside"));
    counters.unwrap_or_else(|error| panic!("{error}"))["forwarded"].packets
}

/// Asserts that these flows, all that there are, pass by the rules.
fn assert_unseen(home: &Home, sessions: &[&Session]) {
    let arrived = || sessions.iter().map(|session| session.tally().arrived).sum::<u64>();
    let (seen, before) = (forwarded(home), arrived());
    assert!(within(SOON, || arrived() > before + 50).is_some(), "they do not go on");
    let (seen, arrived) = (forwarded(home) - seen, arrived() - before);
    assert!(seen <= 2, "the rules saw {seen} of {arrived} packets");
}

/// The LAN host's flow to the internet, over both families.
fn both_ways_out(home: &Home, port: u16) -> Vec<(Family, Session)> {
    let start = |family| (family, home.house.way_out(family).udp_sessions(port, 1, PACE));
    let sessions: Vec<_> = FAMILIES.map(start).into();
    wait_offloaded(home, "udp", &FAMILIES.map(|family| (family, port)));
    assert_unseen(home, &[&sessions[0].1, &sessions[1].1]);
    sessions
}

/// Whether the flow goes on, also on a machine that has much else to do.
fn goes_on(session: &Session) -> bool {
    within(SOON, || session.goes_on()).is_some()
}

/// Asserts that these flows end by themselves, and says how long after a time on the clock of [`now`]. None ends before.
fn assert_end(sessions: &[(Family, Session)], since: u64, what: &str) {
    for (family, session) in sessions {
        let last = session.stopped(Duration::from_millis(300), SOON);
        let last = last.unwrap_or_else(|| panic!("{family} goes on after {what}"));
        assert!(
            last > since.saturating_sub(1_000_000_000),
            "{family} ended before {what}"
        );
        figure(
            &this_test(),
            &format!("{family}: last packet {:.0} ms after {what}", milliseconds(since, last)),
        );
    }
}

/// Asserts that these flows are over when the call that ends them is answered.
fn assert_over(sessions: &[(Family, Session)], (call, answer): (u64, u64), what: &str) {
    assert_end(sessions, call, what);
    for (family, session) in sessions {
        let last = session.stopped(Duration::from_millis(300), SOON);
        let late = last.map(|last| milliseconds(answer, last));
        assert!(
            late.is_some_and(|late| late < ON_ITS_WAY_MS),
            "{family}: {late:?} ms after the answer to {what}"
        );
    }
}

/// From one time on the clock of [`now`] to another.
#[allow(clippy::cast_precision_loss)]
fn milliseconds(from: u64, to: u64) -> f64 {
    (to as f64 - from as f64) / 1e6
}

/// Asks with a flow of its own, from another host.
fn new_flow(home: &Home, family: Family) -> Fate {
    let way: Way = home.house.way("lan2", "internet").over(family);
    way.udp(50001)
}

fn ends_at_the_switch(flow_table: FlowTable) {
    let Some(home) = offloading(flow_table, Firewall::default(), &switched_off("")) else {
        return;
    };
    let (house, slow) = (&home.house, Duration::from_millis(20));
    let out = |family: Family, port, pace| (family, house.way_out(family).udp_sessions(port, 1, pace));
    let come_in = |family: Family, source, port, pace| {
        let way = house.way_in(family).source_port(source);
        (family, way.udp_sessions(port, 1, pace))
    };
    let doomed: Vec<_> = FAMILIES
        .into_iter()
        .flat_map(|family| [out(family, 50000, PACE), come_in(family, 50003, MAPPED_PORT, PACE)])
        .collect();
    let spared: Vec<_> = FAMILIES
        .into_iter()
        .flat_map(|family| [out(family, 443, slow), come_in(family, 50002, REDIRECTED_PORT, slow)])
        .collect();
    let spared_ports = FAMILIES
        .into_iter()
        .flat_map(|family| [(family, 443), (family, REDIRECTED_PORT)]);
    let spared_ports: Vec<_> = spared_ports.collect();
    for family in FAMILIES {
        wait_offloaded(&home, "udp", &[(family, 50000), (family, MAPPED_PORT)]);
    }
    wait_offloaded(&home, "udp", &spared_ports);
    let all: Vec<_> = doomed.iter().chain(&spared).map(|(_, session)| session).collect();
    assert_unseen(&home, &all);

    let call = now();
    let state = home.switch(Switch::On);
    let answer = now();
    assert_over(&doomed, (call, answer), "the call");
    assert_eq!(number(&state, "flows_cut"), 4, "{state}");
    for family in FAMILIES {
        assert!(!is_offloaded(&home, "udp", family, 50000), "{family}");
    }
    wait_offloaded(&home, "udp", &spared_ports);
    for (family, session) in &spared {
        assert!(goes_on(session), "{family}");
    }
    // The firewall makes its flow table anew: all that was in it comes to the rules for a moment.
    home.house.reload_fw4();
    wait_offloaded(&home, "udp", &spared_ports);
    let arrived: Vec<_> = doomed.iter().map(|(_, session)| session.tally().arrived).collect();
    std::thread::sleep(Duration::from_millis(200));
    let later: Vec<_> = doomed.iter().map(|(_, session)| session.tally().arrived).collect();
    assert_eq!(arrived, later, "and none of what is held back escapes");
    home.switch(Switch::Off);
    for (family, session) in &doomed {
        assert!(goes_on(session), "{family}: switched off");
    }
    wait_offloaded(&home, "udp", &FAMILIES.map(|family| (family, 50000)));
}

#[test]
fn offloaded_flows_end_when_it_is_switched_on() {
    ends_at_the_switch(FlowTable::Counting);
}

#[test]
fn offloaded_flows_end_when_it_is_switched_on_and_the_flow_table_does_not_count() {
    ends_at_the_switch(FlowTable::Silent);
}

/// Another program's flow table, whose rule stands long before ours, without a word about states. A flow is in no flow table before its first packet has
/// come through, and that is dropped; what was in it when the switch was turned is cut.
#[test]
fn a_flow_table_of_others_before_us_takes_nothing_that_is_dropped() {
    if !has_flow_tables() {
        return;
    }
    let Some(home) = Home::start(&this_test(), House::plan(), &switched_on("")) else {
        return;
    };
    home.house.router().nft(
        "table inet early {
	flowtable ft { hook ingress priority 0; devices = { \"br-lan\", \"wan0\" }; }
	chain forward { type filter hook forward priority -300; policy accept; meta l4proto { tcp, udp } flow add @ft; }
}\n",
    );
    for family in FAMILIES {
        let way = home.house.way_out(family);
        for attempt in 0..5 {
            assert_eq!(way.source_port(40100).udp(50000), Fate::Lost, "{family} {attempt}");
            assert!(!is_offloaded(&home, "udp", family, 50000), "{family} {attempt}");
        }
    }
    home.switch(Switch::Off);
    let sessions = FAMILIES.map(|family| (family, home.house.way_out(family).udp_sessions(50000, 1, PACE)));
    wait_offloaded(&home, "udp", &FAMILIES.map(|family| (family, 50000)));
    let call = now();
    home.switch(Switch::On);
    assert_over(&sessions, (call, now()), "the call");
    for family in FAMILIES {
        assert_eq!(new_flow(&home, family), Fate::Lost, "{family}");
    }
    let answer = home.daemon.must("check", &json!({}));
    assert!(
        answer.to_string().contains("'inet early forward' at 'forward' -300"),
        "{answer}"
    );
}

/// What the test of the switch would see if nobody cut the flow.
#[test]
fn the_rule_alone_ends_no_offloaded_flow_and_a_daemon_that_starts_does() {
    let Some(mut home) = offloading(FlowTable::Counting, Firewall::default(), &switched_off("")) else {
        return;
    };
    let sessions = both_ways_out(&home, 50000);
    home.daemon.kill9();
    home.house
        .router()
        .nft("add element inet lanward lan_only_on { udp }\n");
    home.house.configure(&switched_on(""));
    for (family, session) in &sessions {
        assert_eq!(new_flow(&home, *family), Fate::Lost, "{family}: the rule holds");
        for _ in 0..4 {
            assert!(goes_on(session), "{family}: there is no need to cut anything");
        }
    }
    let start = now();
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    assert_end(&sessions, start, "the daemon's start");
}

/// The pause ends in so many seconds, as if all but those were over; when, on the clock of [`now`].
fn shorten_pause(home: &Home, seconds: u64) -> u64 {
    let set = "element inet lanward lan_only_pause";
    let end = now() + seconds * 1_000_000_000;
    home.house.router().nft(&format!(
        "delete {set} {{ udp }}\nadd {set} {{ udp timeout {seconds}s }}\n"
    ));
    end
}

fn sleep_until(time: u64) {
    std::thread::sleep(Duration::from_nanos(time.saturating_sub(now())));
}

#[test]
fn a_flow_that_was_offloaded_in_a_pause_ends_with_it() {
    let Some(mut home) = offloading(FlowTable::Counting, Firewall::default(), &switched_on("")) else {
        return;
    };
    home.daemon.must("pause", &json!({ "minutes": 1 }));
    let sessions = both_ways_out(&home, 50000);
    // The next daemon takes the pause over as it finds it, if it starts in time.
    let end = [6, 15, 30].into_iter().find_map(|seconds| {
        home.daemon.must("pause", &json!({ "minutes": 1 }));
        home.daemon.kill9();
        let end = shorten_pause(&home, seconds);
        home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
        let state = home.daemon.lan_only();
        (1..=seconds).contains(&number(&state, "paused_seconds")).then_some(end)
    });
    let end = end.expect("the daemon starts in half a minute");
    sleep_until(end);
    // The daemon looks 100 ms after the kernel's end of the pause.
    assert_end(&sessions, end, "the pause");
    assert_eq!(number(&home.daemon.lan_only(), "flows_cut"), 2);

    home.daemon.must("pause", &json!({ "minutes": 1 }));
    for (family, session) in &sessions {
        assert!(goes_on(session), "{family}: paused again");
    }
    wait_offloaded(&home, "udp", &FAMILIES.map(|family| (family, 50000)));
    let call = now();
    home.daemon.must("resume", &json!({}));
    assert_end(&sessions, call, "the call of resume");
}

/// A flow that sends only when it is asked.
struct Flow {
    near: UdpSocket,
    far: UdpSocket,
    target: SocketAddr,
}

impl Flow {
    fn new(home: &Home, port: u16) -> Self {
        let (lan, internet) = (home.house.host("lan"), home.house.host("internet"));
        let target = internet.socket(Family::V4, port);
        let flow = Self {
            near: lan.namespace.udp(lan.socket(Family::V4, 0)),
            far: internet.namespace.udp(target),
            target,
        };
        for socket in [&flow.near, &flow.far] {
            let patience = Some(Duration::from_secs(1));
            socket
                .set_read_timeout(patience)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        flow
    }

    /// Whether a packet arrives; if so it is answered.
    fn passes(&self) -> bool {
        let mut bytes = [0; 8];
        let _ = self.near.send_to(b"flow", self.target);
        let Ok((_, from)) = self.far.recv_from(&mut bytes) else {
            return false;
        };
        let _ = self.far.send_to(b"flow", from);
        self.near.recv_from(&mut bytes).is_ok()
    }
}

/// The kernel alone ends the pause, but not what it let into the flow table: that goes on until it falls silent, or a daemon comes.
#[test]
fn with_the_daemon_dead_a_flow_of_the_pause_goes_on_until_it_falls_silent_or_a_daemon_starts() {
    let Some(mut home) = offloading(FlowTable::Counting, Firewall::default(), &switched_on("")) else {
        return;
    };
    home.daemon.must("pause", &json!({ "minutes": 1 }));
    let sessions = both_ways_out(&home, 50000);
    let flow = Flow::new(&home, 50002);
    assert!((0..5).all(|_| flow.passes()));
    home.daemon.kill9();
    let end = shorten_pause(&home, 1);
    wait_offloaded(&home, "udp", &[(Family::V4, 50002)]);
    sleep_until(end);
    // Not silent for so long that it has left the flow table when it is asked.
    assert!(flow.passes());
    sleep_until(end + 1_000_000_000);
    for (family, session) in &sessions {
        assert_eq!(new_flow(&home, *family), Fate::Lost, "{family}: the pause is over");
        assert!(goes_on(session), "{family}: with the daemon dead");
    }
    assert!(flow.passes());
    let left = within(SOON, || !is_offloaded(&home, "udp", Family::V4, 50002));
    assert!(
        left.is_some_and(|after| after > Duration::from_secs(IDLE - 2)),
        "{left:?}"
    );
    assert!(!flow.passes(), "the silent one is back at the rules");
    let start = now();
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    assert_end(&sessions, start, "the daemon's start");
}

#[test]
fn an_offloaded_flow_ends_when_the_schedule_begins() {
    let Some(mut home) = offloading(FlowTable::Counting, Firewall::default(), &switched_off("")) else {
        return;
    };
    let sessions = both_ways_out(&home, 50000);
    // The schedule knows minutes, and a time zone seconds: in this one a minute begins in a few seconds.
    let begin = [6, 15, 30].into_iter().find_map(|seconds| {
        home.daemon.kill9();
        let begin = now() / 1_000_000_000 + seconds;
        let east = (60 - begin % 60) % 60;
        let zone = format!("LANWARD-0:00:{east:02}");
        fs::write(home.house.directory().join("TZ"), zone).unwrap_or_else(|error| panic!("{error}"));
        let clock = |hours: u64| {
            let minutes = ((begin + east) / 60 + hours * 60) % (24 * 60);
            format!("{:02}:{:02}", minutes / 60, minutes % 60)
        };
        let schedule = format!("option start '{}'\noption stop '{}'", clock(0), clock(2));
        home.house.configure(&switched_on(&schedule));
        home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
        let begin = begin * 1_000_000_000;
        (now() < begin).then_some(begin)
    });
    let begin = begin.expect("the daemon starts in half a minute");
    sleep_until(begin);
    assert_end(&sessions, begin, "the schedule's start");
    assert_eq!(number(&home.daemon.lan_only(), "flows_cut"), 2);
}

#[test]
fn offloaded_flows_end_when_a_reload_takes_their_exception_away() {
    let Some(home) = offloading(FlowTable::Counting, Firewall::default(), &switched_off("")) else {
        return;
    };
    let sessions = both_ways_out(&home, 50000);
    for (loose, strict) in [
        ("list except_port '50000'", ""),
        (
            "list except_dest '203.0.113.0/24'\nlist except_dest '2001:db8:9::/64'",
            "",
        ),
        (
            "list except_host '02:00:00:00:77:64'",
            "list except_host '192.168.77.101'",
        ),
        ("list host '192.168.77.101'", "list host '02:00:00:00:77:64'"),
        ("option level 'custom'\nlist port '50001-65535'", "option level 'seed'"),
    ] {
        home.reload(&switched_on(loose));
        for (family, session) in &sessions {
            assert!(goes_on(session), "{family} {loose}");
        }
        wait_offloaded(&home, "udp", &FAMILIES.map(|family| (family, 50000)));
        let call = now();
        home.reload(&switched_on(strict));
        let answer = now();
        let what = format!("the reload that ended {}", loose.replace('\n', ", "));
        assert_over(&sessions, (call, answer), &what);
    }
}

/// `/etc/config/lanward` with a gate of these options before SSH on a LAN host, and a witness of those at another.
fn gated(window: u64, gate: &str, witness: &str) -> String {
    let mut text = switched_off("");
    let services = "list service 'tcp:2222>192.168.77.100:22'\nlist service 'tcp:22>[fd77::100]:22'";
    let dests = "list dest '198.51.100.2'\nlist dest 'fd77::101'";
    for (section, options) in [
        (
            "gate 'ssh'",
            format!("option enabled '1'\noption window '{window}'\n{services}\n{gate}"),
        ),
        ("witness 'imaps'", format!("option gate 'ssh'\n{dests}\n{witness}")),
    ] {
        text.push_str(&format!("\nconfig {section}\n"));
        for line in options.lines().filter(|line| !line.is_empty()) {
            text.push_str(&format!("\t{line}\n"));
        }
    }
    text
}

/// A mail server on a LAN host that is open to everybody: forwarded over IPv4, at its own address over IPv6.
fn with_mail() -> Firewall {
    let open = json!({ "src": "wan", "proto": "tcp", "dest": "lan", "dest_port": "993", "name": "Mail" });
    let of = |more: Value| {
        let (mut open, more) = (open.clone(), more);
        for (key, value) in more.as_object().into_iter().flatten() {
            open[key] = value.clone();
        }
        open
    };
    Firewall::default()
        .with(of(
            json!({ "type": "redirect", "src_dport": "993", "dest_ip": "192.168.77.101", "target": "DNAT" }),
        ))
        .with(of(
            json!({ "type": "rule", "dest_ip": "fd77::101", "target": "ACCEPT" }),
        ))
}

/// Somebody's TCP connection through the router.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Who that is.
    source: String,
    family: Family,
    /// The port as seen from outside.
    port: u16,
}

impl Connection {
    /// From the internet to a host that listens.
    fn open(home: &Home, family: Family, (to, port): (IpAddr, u16), (host, listening): (&str, u16)) -> Self {
        let host = home.house.host(host);
        // The router listens on all of its addresses.
        let at = match host.address(family) {
            address if address.is_unspecified() => SocketAddr::new(to, listening),
            address => SocketAddr::new(address, listening),
        };
        let listener: TcpListener = host.namespace.tcp_listener(at);
        let internet = &home.house.host("internet").namespace;
        let patience = Duration::from_secs(4);
        let connected = internet.run(|| TcpStream::connect_timeout(&SocketAddr::new(to, port), patience));
        let client = connected.unwrap_or_else(|error| panic!("{family} {to} {port}: {error}"));
        let server = listener.accept().unwrap_or_else(|error| panic!("{error}")).0;
        for end in [&client, &server] {
            let set = end.set_nodelay(true).and_then(|()| end.set_read_timeout(Some(SOON)));
            set.unwrap_or_else(|error| panic!("{error}"));
        }
        let source = client
            .local_addr()
            .unwrap_or_else(|error| panic!("{error}"))
            .ip()
            .to_string();
        Self {
            client,
            server,
            source,
            family,
            port,
        }
    }

    fn to_mail(home: &Home, family: Family) -> Self {
        let to = match family {
            Family::V4 => home.house.router_address("wan", family),
            Family::V6 => home.house.host("lan2").address(family),
        };
        Self::open(home, family, (to, IMAPS), ("lan2", IMAPS))
    }

    fn to_ssh(home: &Home, family: Family) -> Self {
        let to = match family {
            Family::V4 => (home.house.router_address("wan", family), 2222),
            Family::V6 => (home.house.host("lan").address(family), SSH),
        };
        Self::open(home, family, to, ("lan", SSH))
    }

    /// Each says 100 bytes and is answered, so many times.
    fn talk(&mut self, rounds: u32) {
        let mut bytes = [7; 100];
        for _ in 0..rounds {
            let talked = self
                .client
                .write_all(&bytes)
                .and_then(|()| self.server.read_exact(&mut bytes))
                .and_then(|()| self.server.write_all(&bytes))
                .and_then(|()| self.client.read_exact(&mut bytes));
            talked.unwrap_or_else(|error| panic!("{}: {error}", self.family));
        }
    }

    fn is_offloaded(&self, home: &Home) -> bool {
        is_offloaded(home, "tcp", self.family, self.port)
    }

    /// Talks for a moment, and has made sure that the rules do not see it any more.
    fn get_offloaded(&mut self, home: &Home) {
        self.talk(3);
        wait_offloaded(home, "tcp", &[(self.family, self.port)]);
        let seen = forwarded(home);
        self.talk(20);
        let seen = forwarded(home) - seen;
        assert!(seen <= 2, "{}: the rules saw {seen} packets", self.family);
    }
}

/// Who is listed, with the seconds left.
fn listed(home: &Home) -> Vec<(String, u64)> {
    let reply = home.daemon.must("gate_list", &json!({}));
    let entries = reply["entries"]
        .as_array()
        .unwrap_or_else(|| panic!("no entries: {reply}"));
    let entry = |entry: &Value| {
        (
            entry["address"].as_str().unwrap_or_default().to_owned(),
            number(entry, "expires"),
        )
    };
    entries.iter().map(entry).collect()
}

fn is_listed(home: &Home, source: &str) -> bool {
    listed(home).iter().any(|(address, _)| address == source)
}

fn keeps_its_source_listed(flow_table: FlowTable) {
    let Some(home) = offloading(flow_table, with_mail(), &gated(WINDOW, "", "")) else {
        return;
    };
    let mut connections = FAMILIES.map(|family| {
        let mut connection = Connection::to_mail(&home, family);
        assert!(is_listed(&home, &connection.source), "the first packets prove it");
        connection.get_offloaded(&home);
        connection
    });
    let (mut began, mut seen) = (Instant::now(), forwarded(&home));
    let mut rounds = 0;
    let mut least = WINDOW;
    let (mut talked, mut again) = (Instant::now(), 3);
    while began.elapsed() < Duration::from_secs(WINDOW * 3 / 2) {
        if talked.elapsed() > LATE && again > 0 {
            // The machine stood still, and they may be back at the rules.
            for connection in &mut connections {
                connection.get_offloaded(&home);
            }
            (began, seen, rounds, again) = (Instant::now(), forwarded(&home), 0, again - 1);
        }
        talked = Instant::now();
        for connection in &mut connections {
            connection.talk(1);
            let list = listed(&home);
            let left = list.iter().find(|(address, _)| *address == connection.source);
            let left = left.unwrap_or_else(|| panic!("{} is off the list {list:?}", connection.source));
            least = least.min(left.1);
        }
        rounds += 1;
        std::thread::sleep(Duration::from_millis(400));
    }
    let unseen = forwarded(&home) - seen;
    assert!(unseen <= 4, "the rules saw {unseen} packets of {rounds} rounds");
    let line = format!("listed for {:.0?} by {rounds} rounds of packets, of which the rules saw {unseen}; at least {least} of {WINDOW} s were left", began.elapsed());
    figure(&this_test(), &line);

    // It falls silent, without a FIN.
    let quiet = Instant::now();
    let gone = within(Duration::from_secs(WINDOW + 2 * IDLE) + SOON, || {
        listed(&home).is_empty()
    });
    let gone = gone.unwrap_or_else(|| panic!("still listed: {:?}", listed(&home)));
    figure(
        &this_test(),
        &format!("off the list {gone:.1?} after the last packet (window {WINDOW} s, flow table {IDLE} s)"),
    );
    // Looked at thrice in a window.
    let look = WINDOW / 3;
    assert!(gone > Duration::from_secs(WINDOW - look - 1), "{gone:?}");
    assert!(
        quiet.elapsed() < Duration::from_secs(WINDOW + IDLE + look + 5),
        "{gone:?}"
    );
    for connection in &mut connections {
        assert!(!connection.is_offloaded(&home));
        // It comes back to the rules, which list its source.
        connection.talk(1);
        assert!(is_listed(&home, &connection.source), "{:?}", listed(&home));
    }
}

#[test]
fn a_forwarded_witness_that_is_offloaded_keeps_its_source_listed() {
    keeps_its_source_listed(FlowTable::Counting);
}

#[test]
fn a_forwarded_witness_that_is_offloaded_keeps_its_source_listed_where_the_flow_table_does_not_count() {
    keeps_its_source_listed(FlowTable::Silent);
}

#[test]
fn bytes_that_only_the_flow_table_sees_are_a_proof() {
    let Some(home) = offloading(
        FlowTable::Counting,
        with_mail(),
        &gated(WINDOW, "", "option min_bytes '5000'"),
    ) else {
        return;
    };
    for family in FAMILIES {
        let mut connection = Connection::to_mail(&home, family);
        connection.get_offloaded(&home);
        std::thread::sleep(Duration::from_secs(WINDOW / 3 + 1));
        assert!(!is_listed(&home, &connection.source), "{family}: not enough bytes");
        let seen = forwarded(&home);
        connection.talk(50);
        assert!(forwarded(&home) - seen <= 2, "{family}");
        let after = within(SOON, || is_listed(&home, &connection.source));
        let after = after.unwrap_or_else(|| panic!("{family}: enough bytes, not listed"));
        figure(&this_test(), &format!("{family}: listed {after:.1?} after the bytes"));
    }
}

/// OpenWrt 22.03's flow table: nobody knows of the bytes, so nobody is listed by them.
#[test]
fn where_the_flow_table_does_not_count_bytes_prove_nothing() {
    let Some(home) = offloading(
        FlowTable::Silent,
        with_mail(),
        &gated(WINDOW, "", "option min_bytes '5000'"),
    ) else {
        return;
    };
    let mut connection = Connection::to_mail(&home, Family::V4);
    connection.get_offloaded(&home);
    connection.talk(100);
    std::thread::sleep(Duration::from_secs(WINDOW / 3 * 2));
    assert_eq!(listed(&home), []);
}

/// A source proves itself by a connection that it closes.
fn prove(home: &Home, family: Family) {
    let mut mail = Connection::to_mail(home, family);
    mail.talk(1);
    assert!(is_listed(home, &mail.source), "{family}");
}

#[test]
fn an_offloaded_session_of_a_guarded_service_keeps_its_source_listed_until_its_first_fin() {
    let Some(home) = offloading(
        FlowTable::Counting,
        with_mail(),
        &gated(WINDOW, "option forget 'first_fin'", ""),
    ) else {
        return;
    };
    let mut sessions = FAMILIES.map(|family| {
        prove(&home, family);
        [(); 2].map(|()| {
            let mut session = Connection::to_ssh(&home, family);
            session.get_offloaded(&home);
            session
        })
    });
    let (mut began, mut seen) = (Instant::now(), forwarded(&home));
    let (mut talked, mut again) = (Instant::now(), 3);
    while began.elapsed() < Duration::from_secs(WINDOW * 3 / 2) {
        if talked.elapsed() > LATE && again > 0 {
            for [session, _] in &mut sessions {
                session.get_offloaded(&home);
            }
            (began, seen, again) = (Instant::now(), forwarded(&home), again - 1);
        }
        talked = Instant::now();
        for [session, _] in &mut sessions {
            session.talk(1);
            assert!(
                is_listed(&home, &session.source),
                "{}: {:?}",
                session.family,
                listed(&home)
            );
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(forwarded(&home) - seen <= 2);
    let mut others = sessions.map(|[session, other]| {
        let (family, source) = (session.family, session.source.clone());
        drop(session);
        let gone = within(SOON, || !is_listed(&home, &source));
        let gone = gone.unwrap_or_else(|| panic!("{family}: the FIN went unseen"));
        figure(
            &this_test(),
            &format!("{family}: off the list {gone:.1?} after the FIN"),
        );
        // Not by its time. (Where the list is read before the copy of the FIN, it is "taken off".)
        let told = || {
            let log = home.daemon.log();
            let line = log.lines().find(|line| line.contains(&format!("{source} removed")));
            line.map(str::to_owned)
        };
        assert!(within(SOON, || told().is_some()).is_some(), "nobody is told");
        assert!(told().is_some_and(|line| !line.contains("expired")), "{:?}", told());
        other
    });
    // Another session of the same source goes on, and does not bring it back.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(WINDOW * 2 / 3) {
        for other in &mut others {
            other.talk(1);
        }
        assert_eq!(listed(&home), []);
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn the_last_offloaded_session_that_closes_takes_its_source_off_the_list() {
    let Some(home) = offloading(
        FlowTable::Counting,
        with_mail(),
        &gated(600, "option forget 'last_close'", ""),
    ) else {
        return;
    };
    for family in FAMILIES {
        prove(&home, family);
        let (mut one, mut other) = (Connection::to_ssh(&home, family), Connection::to_ssh(&home, family));
        one.get_offloaded(&home);
        other.get_offloaded(&home);
        let source = one.source.clone();
        drop(one);
        std::thread::sleep(Duration::from_secs(1));
        other.talk(1);
        assert!(is_listed(&home, &source), "{family}: one session is left");
        drop(other);
        let gone = within(SOON, || !is_listed(&home, &source));
        let gone =
            gone.unwrap_or_else(|| panic!("{family}: still listed: {}", in_conntrack(&home, "tcp", family, SSH)));
        figure(
            &this_test(),
            &format!("{family}: off the list {gone:.1?} after the last FIN"),
        );
    }
}

/// What ends at the router itself does not pass by its rules.
#[test]
fn the_routers_own_services_are_never_offloaded() {
    let text = format!(
        "{}\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\toption window '600'\n\nconfig witness 'imaps'\n\toption gate 'ssh'\n",
        switched_off("")
    );
    let allow =
        json!({ "type": "rule", "name": "Mail", "src": "wan", "proto": "tcp", "dest_port": "993", "target": "ACCEPT" });
    let Some(home) = offloading(FlowTable::Counting, Firewall::default().with(allow), &text) else {
        return;
    };
    for family in FAMILIES {
        let router = home.house.router_address("wan", family);
        let open = |port| Connection::open(&home, family, (router, port), ("router", port));
        let mut mail = open(IMAPS);
        mail.talk(50);
        assert!(is_listed(&home, &mail.source), "{family}");
        let mut session = open(SSH);
        session.talk(50);
        for connection in [&mail, &session] {
            assert!(!connection.is_offloaded(&home), "{family} {}", connection.port);
        }
        // The mail connection is silent, and so does not list its source again: once its last acknowledgement is through, which TCP may delay by 200 ms.
        std::thread::sleep(Duration::from_millis(600));
        let source = mail.source.clone();
        drop(session);
        let gone = within(SOON, || !is_listed(&home, &source));
        assert!(gone.is_some(), "{family}: the FIN went unseen");
    }
}
