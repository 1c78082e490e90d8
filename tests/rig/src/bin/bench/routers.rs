//! Routers side by side that differ in what stands before their SSH, and what goes through them.

use lanward_rig::bench::{self, Clock};
use lanward_rig::flood::{nobody, Cable};
use lanward_rig::home::{switched_off, switched_on, Home};
use lanward_rig::house::{Family, Host, House, FAMILIES};
use lanward_rig::knock::tcp;
use lanward_rig::namespace::Namespace;
use lanward_rig::recent::seed_rules;
use lanward_rig::sections;
use lanward_rig::segments::{datagram, flag, Packet, Segment, Session};
use lanward_rig::settings::Firewall;
use lanward_rig::tap::Tap;
use nix::sys::socket::{
    bind, connect, setsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrStorage,
};
use serde_json::{json, Value};
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub const SSH: u16 = 22;
pub const IMAPS: u16 = 993;
/// Outside; on the LAN host it is [`SSH`].
const FORWARDED_SSH: u16 = 2222;
const WEB: u16 = 443;
/// In one measurement: short, for what else the machine does comes and goes.
const PACKETS: u64 = 1024;
const CONNECTIONS: u32 = 300;
/// Addresses listed, in each family.
pub const LISTED: u32 = 4096;
/// Of both families together: xt_recent's `ip_list_tot` is 100 unless the kernel's or the module's parameters say otherwise.
pub const LISTED_BY_SEED: u32 = 100;
/// Seconds: longer than the bench.
const WINDOW: u32 = 3600;

/// What stands before SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// A gate, and the daemon.
    Gate,
    /// Every system there is, and the daemon.
    All,
    /// No table of ours: the firewall accepts everybody.
    Nothing,
    /// The seed's iptables rules, within a firewall that accepts everybody.
    Seed,
}

/// A router with its rules, SSH behind it and IMAPS and SSH on it (as far as accepting goes).
pub struct Router {
    home: Option<Home>,
    house: Option<House>,
    internet: End,
    lan: End,
}

/// One end of a cable, for packets that the system there knows nothing of.
struct End {
    cable: Cable,
    near: Namespace,
    device: &'static str,
}

impl End {
    fn new(near: &Namespace, device: &'static str, far: &Namespace, far_device: &str) -> Self {
        Self {
            cable: Cable::open(near, device, far, far_device).expect("root may send frames"),
            near: near.clone(),
            device,
        }
    }

    fn tap(&self) -> Tap {
        Tap::open(&self.near, self.device).expect("root may listen")
    }

    fn send(&self, segment: &Segment) {
        self.cable.send(&[self.cable.frame(segment)]);
    }

    /// A SYN and its answer: the client's end, with the third packet still to be sent.
    fn half_open(&self, tap: &Tap, client: SocketAddr, server: SocketAddr) -> Session {
        for _ in 0..5 {
            self.send(&BEGIN.says(client, server, flag::SYN, b""));
            match answer(tap, client, server) {
                Some(said) if said.is(flag::SYN) => return behind(&said),
                _ => {}
            }
        }
        panic!("{server} does not answer {client}");
    }
}

/// What comes back to a client from a server within a second.
fn answer(tap: &Tap, client: SocketAddr, server: SocketAddr) -> Option<Segment> {
    let end = Instant::now() + Duration::from_secs(1);
    loop {
        match tap.next(end.saturating_duration_since(Instant::now()))? {
            Packet::Tcp(said) if (said.from, said.to) == (server, client) => return Some(said),
            _ => {}
        }
    }
}

/// Before a client's SYN.
const BEGIN: Session = Session {
    seq: 1,
    ack: 0,
    closing: false,
};

/// After the server's SYN-ACK.
fn behind(said: &Segment) -> Session {
    Session {
        seq: 2,
        ack: said.seq.wrapping_add(1),
        closing: false,
    }
}

/// `/etc/config/lanward` with a gate that forgets so.
fn configuration(forget: &str) -> String {
    switched_off("") + &gated(forget)
}

fn gated(forget: &str) -> String {
    let gate = format!(
        "list service 'tcp:{SSH}'\nlist service 'tcp:{FORWARDED_SSH}>192.168.77.100:{SSH}'\nlist service 'tcp:{SSH}>[fd77::100]:{SSH}'\n\
         option window '{WINDOW}'\noption size '{}'\noption forget '{forget}'",
        LISTED * 2
    );
    sections::gate(&gate) + &sections::witness(&format!("option port '{IMAPS}'"))
}

/// The same with everything else that can be switched on.
fn everything() -> String {
    [
        switched_on(""),
        gated("first_fin"),
        sections::knock(&[tcp(7000), tcp(8000), tcp(9000)], ""),
        sections::spa(Path::new("/etc/lanward/laptop.key"), ""),
        sections::ledger(),
    ]
    .concat()
}

/// A way in for everybody.
fn open(kind: &str, port: u16, dest: Option<&str>) -> Value {
    let mut way = json!({ "type": kind, "name": format!("Open {port}"), "src": "wan", "proto": "tcp", "dest_port": port.to_string(), "target": "ACCEPT" });
    if let Some(dest) = dest {
        way["dest"] = json!("lan");
        way["dest_ip"] = json!(dest);
    }
    if kind == "redirect" {
        way["src_dport"] = json!(port.to_string());
        way["dest_port"] = json!(SSH.to_string());
        way["target"] = json!("DNAT");
    }
    way
}

/// The address of the `number`th who is listed, from 1: networks set aside for benchmarks (RFC 2544, RFC 5180).
pub fn listed(family: Family, number: u32) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(0xc612_0000 + number).into(),
        Family::V6 => Ipv6Addr::from_bits((0x2001_0002_u128 << 96) + u128::from(number)).into(),
    }
}

/// Whose packets are ready-made: the internet's own system knows nothing of this one.
const READY_MADE: u32 = 3000;

impl Router {
    /// Builds it; `None`, and loudly so, where the machine does not allow it.
    pub fn start(rules: Rules) -> Option<Self> {
        let mail = Firewall::default().with(open("rule", IMAPS, None));
        let (mut home, mut house) = (None, None);
        let config = match rules {
            Rules::Gate => Some(configuration("first_fin")),
            Rules::All => Some(everything()),
            Rules::Nothing | Rules::Seed => None,
        };
        if let Some(config) = config {
            home = Some(Home::start_gated("bench", House::plan(), mail, &config)?);
        } else {
            let everybody = mail
                .with(open("rule", SSH, None))
                .with(open("redirect", FORWARDED_SSH, Some("192.168.77.100")))
                .with(open("rule", SSH, Some("fd77::100")));
            let mut built = House::plan()
                .build()
                .unwrap_or_else(|error| panic!("no house: {error}"));
            built.set_firewall(everybody);
            house = Some(built);
        }
        let built = home.as_ref().map(|home| &home.house).or(house.as_ref())?;
        let internet = &built.host("internet").namespace;
        internet
            .sysctl("net/ipv6/ip_nonlocal_bind", "1")
            .expect("every kernel has it");
        internet.ip("route add local 198.18.0.0/21 dev lo\nroute add local 2001:2::/117 dev lo\n");
        let ends = (
            End::new(internet, "to-wan0", built.router(), "wan0"),
            End::new(&built.host("lan").namespace, "eth0", built.router(), "br-lan"),
        );
        for address in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
            accept(&built.host("lan").namespace, SocketAddr::new(address, SSH));
            accept(internet, SocketAddr::new(address, WEB));
            for port in [SSH, IMAPS] {
                accept(built.router(), SocketAddr::new(address, port));
            }
        }
        let router = Self {
            home,
            house,
            internet: ends.0,
            lan: ends.1,
        };
        match rules {
            Rules::Gate | Rules::All => router.house().router().nft(&list_in_gate()),
            Rules::Nothing => router.house().router().nft("table inet lanward\n"),
            Rules::Seed => router.list_in_seed(),
        }
        Some(router)
    }

    pub fn house(&self) -> &House {
        let of_home = self.home.as_ref().map(|home| &home.house);
        of_home.or(self.house.as_ref()).expect("one of them was built")
    }

    /// The one with the daemon.
    pub fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    /// How the gate forgets from now on; no other router does otherwise.
    pub fn forget(&self, how: &str) {
        if let Some(home) = &self.home {
            home.reload(&configuration(how));
        }
    }

    /// The daemon has no part in forwarding: dead, it cannot put back what is taken away. The table as it was, with the lists, as a script.
    pub fn leave_to_nft(&mut self) -> String {
        let Some(home) = &mut self.home else {
            return String::new();
        };
        let script = home.daemon.print() + &list_in_gate();
        home.daemon.kill9();
        script
    }

    fn list_in_seed(&self) {
        let router = self.house().router();
        for program in ["iptables-restore", "ip6tables-restore"] {
            let rules = ["INPUT", "FORWARD"]
                .map(|chain| seed_rules(chain, None, WINDOW))
                .concat();
            router.must(program, &["-w"], &format!("*filter\n{rules}COMMIT\n"));
        }
        let addresses = (1..LISTED_BY_SEED / 2).chain([READY_MADE]);
        let addresses: Vec<IpAddr> = addresses
            .flat_map(|number| FAMILIES.map(|family| listed(family, number)))
            .collect();
        router.run(|| {
            for address in addresses {
                fs::write("/proc/thread-self/net/xt_recent/MOBILE", format!("+{address}")).expect("the list is there");
            }
        });
    }

    /// The LAN host's SSH from outside.
    fn forwarded_ssh(&self, family: Family) -> SocketAddr {
        match family {
            Family::V4 => self.on_router(family, FORWARDED_SSH),
            Family::V6 => self.house().host("lan").socket(family, SSH),
        }
    }

    fn on_router(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.house().router_address("wan", family), port)
    }

    /// A packet of a session with the LAN host's SSH that a listed source has, as it comes in.
    pub fn of_a_session(&self, family: Family) -> Vec<u8> {
        let (client, server) = (
            SocketAddr::new(listed(family, READY_MADE), fresh_port()),
            self.forwarded_ssh(family),
        );
        let end = self.internet.half_open(&self.internet.tap(), client, server);
        self.internet.send(&end.says(client, server, flag::ACK, b""));
        let payload = [0x6c; 18];
        self.internet
            .cable
            .frame(&end.says(client, server, flag::ACK | flag::PSH, &payload))
    }

    /// A packet of a connection that the LAN host has opened to the web, as it comes in.
    pub fn of_a_download(&self, family: Family) -> Vec<u8> {
        let (client, web, end) = self.opened(family);
        let outside = self.outside(client);
        let server = Session {
            seq: end.ack,
            ack: end.seq,
            closing: false,
        };
        let payload = [0x6c; 18];
        self.internet
            .cable
            .frame(&server.says(web, outside, flag::ACK | flag::PSH, &payload))
    }

    /// One of such a connection, as it goes out.
    pub fn of_an_upload(&self, family: Family) -> Vec<u8> {
        let (client, web, end) = self.opened(family);
        let payload = [0x6c; 18];
        self.lan
            .cable
            .frame(&end.says(client, web, flag::ACK | flag::PSH, &payload))
    }

    /// A datagram to the web that has been answered, as it goes out: what the switch does not concern.
    pub fn of_quic(&self, family: Family) -> Vec<u8> {
        let (lan, web) = self.ends(family);
        let client = lan.socket(family, fresh_port());
        let frame = |from: &End, packet: &[u8]| from.cable.enclose(family == Family::V6, packet);
        let question = frame(&self.lan, &datagram(client, web, &[0x6c; 18]));
        self.lan.cable.send(std::slice::from_ref(&question));
        let answer = frame(&self.internet, &datagram(web, self.outside(client), &[0x6c; 18]));
        self.internet.cable.send(&[answer]);
        question
    }

    /// How a LAN host's end is seen from outside: over IPv4 behind the router's address, with the same port as nobody else has it.
    fn outside(&self, client: SocketAddr) -> SocketAddr {
        match client {
            SocketAddr::V4(_) => self.on_router(Family::V4, client.port()),
            SocketAddr::V6(_) => client,
        }
    }

    fn ends(&self, family: Family) -> (&Host, SocketAddr) {
        let web = self.house().host("internet").socket(family, WEB);
        (self.house().host("lan"), web)
    }

    /// A connection of the LAN host's to the web: both ends, and what the first one says next. The LAN host's own system hears nothing of it.
    fn opened(&self, family: Family) -> (SocketAddr, SocketAddr, Session) {
        let (lan, web) = self.ends(family);
        let client = lan.socket(family, fresh_port());
        lan.namespace.nft(&format!(
            "table inet sink {{ chain sink {{ type filter hook prerouting priority raw; tcp sport {WEB} drop; }}; }}\n"
        ));
        let end = self.lan.half_open(&self.lan.tap(), client, web);
        self.lan.send(&end.says(client, web, flag::ACK, b""));
        (client, web, end)
    }

    /// The hosts hear nothing more of these connections: what is behind the router costs the same whatever the router's rules.
    pub fn deafen(&self) {
        let drops = format!("tcp sport {WEB} drop; tcp dport {SSH} drop;");
        self.house().host("lan").namespace.nft(&format!(
            "table inet sink {{ chain sink {{ type filter hook prerouting priority raw; {drops} }}; }}\n"
        ));
        self.house().host("internet").namespace.nft(&format!(
            "table inet sink {{ chain sink {{ type filter hook prerouting priority raw; meta l4proto {{ tcp, udp }} th dport {WEB} drop; }}; }}\n"
        ));
    }

    /// And hears again.
    pub fn undeafen(&self) {
        for host in ["lan", "internet"] {
            self.house().host(host).namespace.nft("delete table inet sink\n");
        }
    }

    /// Seconds per packet that comes in so often and leaves to the LAN.
    ///
    /// # Panics
    /// If some do not.
    pub fn forward(&self, packet: &[u8], clock: Clock) -> f64 {
        let lan = &self.house().host("lan").namespace;
        through(&self.internet, packet, lan, "eth0", clock)
    }

    /// The same from the LAN to the internet.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn forward_out(&self, packet: &[u8], clock: Clock) -> f64 {
        let internet = &self.house().host("internet").namespace;
        through(&self.lan, packet, internet, "to-wan0", clock)
    }

    /// Seconds per connection to the LAN host's SSH, opened and aborted one after the other by listed sources.
    ///
    /// # Panics
    /// If one is refused.
    pub fn connect(&self, family: Family, clock: Clock) -> f64 {
        let server = self.forwarded_ssh(family);
        let sources: Vec<IpAddr> = (1..LISTED_BY_SEED / 2).map(|number| listed(family, number)).collect();
        let internet = &self.house().host("internet").namespace;
        let began = clock.of_process();
        internet.run(|| {
            for (source, _) in sources.iter().cycle().zip(0..CONNECTIONS) {
                let dialled = dial(SocketAddr::new(*source, 0), server);
                dialled.unwrap_or_else(|error| panic!("{source} to {server}: {error}"));
            }
        });
        (clock.of_process() - began) / f64::from(CONNECTIONS)
    }

    /// What comes out to the internet, as long as this lives: a listener costs time for each packet.
    pub fn listen(&self) -> Tap {
        self.internet.tap()
    }

    /// Somebody new proves themselves by a handshake with the mail server; with its third packet comes a SYN to SSH, and another one whenever one is
    /// refused. Milliseconds from the third packet to the answer to the SYN that was accepted, and how many SYNs it took.
    pub fn admission(&self, tap: &Tap, family: Family, number: u32) -> (f64, u32) {
        let client = nobody(family, number);
        let mail = self.on_router(family, IMAPS);
        let end = self.internet.half_open(tap, client, mail);
        let ssh = self.on_router(family, SSH);
        let mut from = SocketAddr::new(client.ip(), fresh_port());
        let mut frames = vec![
            self.internet.cable.frame(&end.says(client, mail, flag::ACK, b"")),
            self.internet.cable.frame(&BEGIN.says(from, ssh, flag::SYN, b"")),
        ];
        let began = Instant::now();
        for attempt in 1..=10_000 {
            self.internet.cable.send(&frames);
            match answer(tap, from, ssh) {
                Some(said) if said.is(flag::SYN) => {
                    let took = began.elapsed().as_secs_f64() * 1e3;
                    let open = behind(&said);
                    self.internet.send(&open.says(from, ssh, flag::RST | flag::ACK, b""));
                    self.internet.send(&end.says(client, mail, flag::RST | flag::ACK, b""));
                    return (took, attempt);
                }
                _ => {
                    from.set_port(fresh_port());
                    frames = vec![self.internet.cable.frame(&BEGIN.says(from, ssh, flag::SYN, b""))];
                }
            }
        }
        panic!("{client} is never admitted");
    }

    /// Sends a SYN to SSH and one to IMAPS from so many addresses, of both families in turn, that are nobody's.
    pub fn spoofed_flood(&self, sources: u32) {
        for first in (0..sources).step_by(64) {
            let numbers = first..(first + 64).min(sources);
            let frames = numbers.flat_map(|number| {
                let family = FAMILIES[usize::from(number % 2 == 1)];
                let client = nobody(family, 1_000_000 + number / 2);
                [SSH, IMAPS].map(|port| BEGIN.says(client, self.on_router(family, port), flag::SYN, b""))
            });
            let frames: Vec<Vec<u8>> = frames.map(|segment| self.internet.cable.frame(&segment)).collect();
            self.internet.cable.send(&frames);
        }
    }
}

/// The elements of both families' lists.
fn list_in_gate() -> String {
    let mut script = String::new();
    for (set, family) in [("gate4_ssh", Family::V4), ("gate6_ssh", Family::V6)] {
        let addresses: Vec<String> = (1..=LISTED).map(|number| listed(family, number).to_string()).collect();
        script.push_str(&format!(
            "add element inet lanward {set} {{ {} }}\n",
            addresses.join(", ")
        ));
    }
    script
}

/// Seconds per packet.
fn through(from: &End, packet: &[u8], to: &Namespace, device: &str, clock: Clock) -> f64 {
    let frames = vec![packet.to_vec(); 32];
    let before = bench::received(to, device);
    let began = clock.of_thread();
    for _ in 0..PACKETS / 32 {
        from.cable.send(&frames);
    }
    let took = clock.of_thread() - began;
    let received = bench::received(to, device) - before;
    assert!(
        received >= PACKETS / 32 * 32,
        "{received} of {PACKETS} packets came through"
    );
    took / f64::from(u32::try_from(received).expect("it is about as many"))
}

/// A port that nobody has used yet, or not for long.
fn fresh_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    20_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 40_000
}

/// Accepts whoever comes, for as long as this process lives; the last of them are kept.
fn accept(namespace: &Namespace, address: SocketAddr) {
    let listener = match address {
        SocketAddr::V4(_) => namespace.tcp_listener(address),
        SocketAddr::V6(_) => namespace.run(|| only_v6(address)).expect("the address is free"),
    };
    std::thread::spawn(move || {
        let mut kept = VecDeque::new();
        for accepted in listener.incoming() {
            kept.push_back(accepted);
            if kept.len() > 64 {
                kept.pop_front();
            }
        }
    });
}

/// The standard library's listener would take IPv4's port as well.
fn only_v6(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let fd = socket(AddressFamily::Inet6, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    nix::sys::socket::listen(&fd, nix::sys::socket::Backlog::new(1024)?)?;
    Ok(fd.into())
}

/// Connects, and aborts at once by a RST: nothing of it stays here.
fn dial(source: SocketAddr, target: SocketAddr) -> io::Result<()> {
    let family = if target.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(
        &fd,
        sockopt::Linger,
        &libc::linger {
            l_onoff: 1,
            l_linger: 0,
        },
    )?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(source))?;
    Ok(connect(fd.as_raw_fd(), &SockaddrStorage::from(target))?)
}
