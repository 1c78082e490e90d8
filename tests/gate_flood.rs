//! A flood of packets by addresses that are nobody's, at a guarded port and at a witness's: who gets in, who is put off, and what it costs.

use lanward_rig::flood::{nobody, Cable};
use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::probe::Connection;
use lanward_rig::report_line::{figure, this_test};
use lanward_rig::sections;
use lanward_rig::segments::{flag, Segment};
use lanward_rig::tcp::connect;
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// Sources in each family.
const SOURCES: u32 = 100_000;
const SSH: u16 = 22;
const IMAPS: u16 = 993;
/// What fw4 accepts: the witness, and whoever has the mark.
const ACCEPTED: &str = "insert rule inet fw4 input_wan tcp dport 993 counter accept
insert rule inet fw4 input_wan tcp dport 22 meta mark and 0x10000000 == 0x10000000 counter accept
";

/// A router with SSH and IMAPS of its own, both real listeners, and a gate with a witness.
struct Stand {
    home: Home,
    servers: Vec<TcpListener>,
}

impl Stand {
    fn start(gate: &str, witness: &str) -> Option<Self> {
        let config = [
            switched_off(""),
            sections::gate(&format!("list service 'tcp:22'\noption forget 'never'\n{gate}")),
            sections::witness(witness),
        ]
        .concat();
        let home = Home::start(&this_test(), House::plan(), &config)?;
        home.house.router().nft(ACCEPTED);
        let servers = FAMILIES.into_iter().flat_map(|family| [(family, SSH), (family, IMAPS)]);
        let servers = servers.map(|(family, port)| {
            let address = home.house.router_address("wan", family);
            let server = home.house.router().tcp_listener(SocketAddr::new(address, port));
            server.set_nonblocking(true).expect("a socket of our own");
            server
        });
        let servers = servers.collect();
        Some(Self { home, servers })
    }

    fn cable(&self) -> Cable {
        let internet = &self.home.house.host("internet").namespace;
        Cable::open(internet, "to-wan0", self.home.house.router(), "wan0").expect("root may send frames")
    }

    /// Connects and closes, as somebody who really has that address.
    fn connect(&self, source: IpAddr, port: u16, patience: Duration) -> Connection {
        let family = if source.is_ipv4() { Family::V4 } else { Family::V6 };
        let target = SocketAddr::new(self.home.house.router_address("wan", family), port);
        let internet = &self.home.house.host("internet").namespace;
        let met = internet.run(|| connect(SocketAddr::new(source, 0), target, patience));
        // Nobody waits in a listener's queue until it is full.
        for server in &self.servers {
            while server.accept().is_ok() {}
        }
        met.expect("there is a route")
    }

    /// A witness's connection, until the daemon has said in the log what the kernel did at once.
    fn prove(&self, source: IpAddr) {
        assert_eq!(self.connect(source, IMAPS, PATIENCE), Connection::Accepted);
        let said = format!("gate ssh: {source} admitted");
        assert!(self.home.daemon.logs(&said, PATIENCE), "{}", self.home.daemon.log());
    }

    fn gate(&self) -> Value {
        self.home.daemon.must("status", &json!({}))["gates"][0].take()
    }

    /// Has the ledger's minute happen now, which otherwise happens in one test of twenty.
    fn settle(&self) {
        self.home.daemon.must("ledger_commit", &json!({}));
    }

    fn number(&self, name: &str) -> u64 {
        self.gate()[name].as_u64().expect("a number")
    }

    fn listed(&self) -> BTreeSet<IpAddr> {
        let answer = self.home.daemon.must("gate_list", &json!({ "gate": "ssh" }));
        let entries = answer["entries"].as_array().expect("a list").iter();
        entries
            .map(|entry| entry["address"].as_str().expect("text").parse().expect("an address"))
            .collect()
    }

    fn tracked(&self) -> u64 {
        let count = self.home.house.router().must("conntrack", &["-C"], "");
        count.trim().parse().expect("a number")
    }

    fn log_lines(&self) -> usize {
        self.home.daemon.log().lines().count()
    }

    /// What each source sends to a port, all of them before any of them goes on; ready to be sent.
    fn frames(&self, cable: &Cable, family: Family, port: u16, said: &[fn(u32) -> Said]) -> Vec<Vec<u8>> {
        let to = SocketAddr::new(self.home.house.router_address("wan", family), port);
        let segments = said.iter().flat_map(|said| {
            (0..SOURCES).map(move |number| {
                let (flags, seq, ack, payload) = said(number);
                Segment {
                    from: nobody(family, number),
                    to,
                    flags,
                    seq,
                    ack,
                    payload: payload.to_vec(),
                }
            })
        });
        segments.map(|segment| cable.frame(&segment)).collect()
    }

    /// Sends the frames, and does something else again and again meanwhile. How often, and how long it took.
    fn during(&self, cable: &Cable, frames: &[Vec<u8>], mut meanwhile: impl FnMut()) -> (u32, Duration) {
        let began = Instant::now();
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                cable.send(frames);
                began.elapsed()
            });
            let mut times = 0;
            while !flood.is_finished() {
                meanwhile();
                times += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            (
                times,
                flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            )
        })
    }
}

/// Flags, numbers and payload of a segment.
type Said = (u8, u32, u32, &'static [u8]);

/// Some kernels' numbers are nearer to a guess than others': all of them are guessed at.
fn guess(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761)
}

fn syn(_: u32) -> Said {
    (flag::SYN, 1, 0, b"")
}

/// The third segment of a handshake, or what comes after it, with its acknowledgement guessed.
fn guessed(number: u32) -> Said {
    match number % 2 {
        0 => (flag::ACK, 2, guess(number), b""),
        _ => (flag::PSH | flag::ACK, 2, guess(number), b"a1 LOGIN\r\n"),
    }
}

/// Whatever opens a connection or scans a port.
fn anything(number: u32) -> Said {
    match number % 8 {
        0..4 => syn(number),
        4 => (flag::ACK, 2, guess(number), b""),
        5 => (flag::PSH | flag::ACK, 2, guess(number), b"SSH-2.0-x\r\n"),
        6 => (flag::FIN, 2, 0, b""),
        _ => (flag::RST, 2, 0, b""),
    }
}

/// What must hold at the end, whatever came in.
struct Before {
    listed: BTreeSet<IpAddr>,
    admitted: u64,
    refused: u64,
    tracked: u64,
    own: u64,
    log: usize,
}

impl Before {
    fn of(stand: &Stand) -> Self {
        stand.settle();
        Self {
            listed: stand.listed(),
            admitted: stand.number("admitted"),
            refused: stand.number("refused"),
            tracked: stand.tracked(),
            own: stand.home.daemon.own_kib(),
            log: stand.log_lines(),
        }
    }

    /// How much more there is now.
    fn until(&self, stand: &Stand) -> Grown {
        stand.settle();
        Grown {
            admitted: stand.number("admitted") - self.admitted,
            refused: stand.number("refused") - self.refused,
            tracked: stand.tracked().saturating_sub(self.tracked),
            own: stand.home.daemon.own_kib().saturating_sub(self.own),
            log: stand.log_lines() - self.log,
        }
    }
}

#[derive(Debug)]
struct Grown {
    admitted: u64,
    refused: u64,
    tracked: u64,
    own: u64,
    log: usize,
}

/// Long enough for a packet that the flood has crowded out to be sent again.
const PATIENCE: Duration = Duration::from_secs(8);
/// KiB that the daemon may grow by a flood, once the ledger has read what the kernel noted of it: its set holds as many
/// sources as it may, and the daemon has them all in hand for a moment.
const GROWTH: u64 = 768;

fn at_the_guarded_port(refuse: &str, refused: Connection) {
    let Some(stand) = Stand::start(&format!("\toption refuse '{refuse}'\n"), "") else {
        return;
    };
    let cable = stand.cable();
    let (friend, stranger) = (stand.home.house.host("internet"), stand.home.house.host("internet2"));
    for family in FAMILIES {
        stand.prove(friend.address(family));
        assert_eq!(
            stand.connect(friend.address(family), SSH, PATIENCE),
            Connection::Accepted
        );
        let before = Before::of(&stand);
        let frames = stand.frames(&cable, family, SSH, &[anything]);
        let (times, took) = stand.during(&cable, &frames, || {
            let met = stand.connect(friend.address(family), SSH, PATIENCE);
            assert_eq!(met, Connection::Accepted, "{family}: the listed source");
            // An answer that has to come may come a second later, to the SYN that is sent again.
            let patience = match refused {
                Connection::Silent => Duration::from_millis(300),
                _ => PATIENCE,
            };
            let met = stand.connect(stranger.address(family), SSH, patience);
            assert_eq!(met, refused, "{family}: the unlisted one");
        });
        let grown = before.until(&stand);
        figure(
            &this_test(),
            &format!(
                "{family}: {SOURCES} sources in {took:.1?}, {} refused; listed {times} times let in; {} entries in conntrack, {} KiB, {} lines of log",
                grown.refused, grown.tracked, grown.own, grown.log
            ),
        );
        assert!(times > 0);
        assert_eq!(stand.listed(), before.listed, "{family}");
        assert_eq!(grown.admitted, 0, "{family}");
        // FIN and RST are nothing that could be refused a connection; of the rest the kernel may have lost some before we could count them.
        let least = u64::from(SOURCES) * 6 / 8 * 9 / 10;
        assert!(grown.refused >= least, "{family}: {grown:?}");
        // A connection that is refused is not kept track of; the others are ours.
        assert!(grown.tracked <= u64::from(times) * 2 + 10, "{family}: {grown:?}");
        assert!(grown.own <= GROWTH, "{family}: {grown:?}");
        assert_eq!(grown.log, 0, "{family}:\n{}", stand.home.daemon.log());
    }
}

#[test]
fn a_flood_at_the_guarded_port_is_reset_and_counted() {
    at_the_guarded_port("reset", Connection::Reset);
}

#[test]
fn a_flood_at_the_guarded_port_is_dropped_and_counted() {
    at_the_guarded_port("drop", Connection::Silent);
}

#[test]
fn a_flood_at_the_guarded_port_is_refused_as_by_the_zone_and_counted() {
    at_the_guarded_port("zone", Connection::Reset);
}

/// conntrack takes a third segment for one if its acknowledgement is not more than 66 000 below what it should be: one guess of 65 000.
#[test]
fn a_flood_at_the_witness_lists_nobody_but_by_luck() {
    let Some(stand) = Stand::start("\toption refuse 'reset'\n", "") else {
        return;
    };
    let cable = stand.cable();
    let (friend, newcomer) = (stand.home.house.host("internet"), stand.home.house.host("internet2"));
    for family in FAMILIES {
        stand.prove(friend.address(family));
    }
    for family in FAMILIES {
        let before = Before::of(&stand);
        let opening = stand.frames(&cable, family, IMAPS, &[syn]);
        let (times, took) = stand.during(&cable, &opening, || {
            let met = stand.connect(friend.address(family), SSH, PATIENCE);
            assert_eq!(met, Connection::Accepted, "{family}: the listed source");
        });
        let opened = before.until(&stand);
        assert_eq!(stand.listed(), before.listed, "{family}");
        assert_eq!((opened.admitted, opened.log), (0, 0), "{family}: {opened:?}");
        assert!(times > 0);
        // Each half-open connection is one, for a minute.
        assert!(
            opened.tracked <= u64::from(SOURCES + times + 10),
            "{family}: {opened:?}"
        );

        let guesses = stand.frames(&cable, family, IMAPS, &[guessed]);
        let mut proved = false;
        let (_, more) = stand.during(&cable, &guesses, || {
            // Somebody real comes in the middle of it all.
            proved |= stand.connect(newcomer.address(family), IMAPS, PATIENCE) == Connection::Accepted;
        });
        let grown = before.until(&stand);
        figure(
            &this_test(),
            &format!(
                "{family}: {SOURCES} sources, SYN in {took:.1?}, guessed ACK in {more:.1?}: {} listed by luck; {} entries in conntrack, {} KiB, {} lines of log",
                grown.admitted - 1,
                grown.tracked,
                grown.own,
                grown.log
            ),
        );
        assert!(proved, "{family}: a newcomer could not prove itself");
        let met = stand.connect(newcomer.address(family), SSH, PATIENCE);
        assert_eq!(met, Connection::Accepted, "{family}: the newcomer");
        assert!(
            stand.listed().is_superset(&before.listed),
            "{family}: {:?}",
            stand.listed()
        );
        // Two or three are to be expected.
        assert!((1..=20).contains(&grown.admitted), "{family}: {grown:?}");
        assert!(grown.tracked <= u64::from(SOURCES) + 200, "{family}: {grown:?}");
        assert!(grown.own <= GROWTH, "{family}: {grown:?}");
        assert!(grown.log <= 20, "{family}: {grown:?}\n{}", stand.home.daemon.log());
    }
    assert_eq!(stand.number("overflow"), 0);
}

#[test]
fn a_full_list_keeps_whom_it_has_and_counts_whom_it_turns_away() {
    let Some(stand) = Stand::start("\toption refuse 'reset'\n\toption size '4'\n", "") else {
        return;
    };
    let internet = &stand.home.house.host("internet").namespace;
    for family in FAMILIES {
        let sources: Vec<IpAddr> = (81..=85_u8)
            .map(|last| match family {
                Family::V4 => format!("203.0.113.{last}"),
                Family::V6 => format!("2001:db8:9::{last}"),
            })
            .map(|address| address.parse().expect("an address"))
            .collect();
        let overflow = stand.number("overflow");
        for source in &sources {
            let at_once = if source.is_ipv6() { " nodad" } else { "" };
            internet.ip(&format!("addr add {source} dev lo{at_once}\n"));
            assert_eq!(stand.connect(*source, IMAPS, PATIENCE), Connection::Accepted);
        }
        let (kept, fifth) = (&sources[..4], sources[4]);
        for source in kept {
            assert_eq!(stand.connect(*source, SSH, PATIENCE), Connection::Accepted, "{source}");
        }
        assert_eq!(stand.connect(fifth, SSH, PATIENCE), Connection::Reset);
        let turned_away = stand.number("overflow");
        assert!(turned_away > overflow, "{turned_away}");
        let listed = stand.listed();
        assert_eq!(listed, kept.iter().copied().collect());
        // Whoever is on it is seen again, and turned away nobody is.
        assert_eq!(stand.connect(kept[0], IMAPS, PATIENCE), Connection::Accepted);
        assert_eq!(stand.number("overflow"), turned_away);
        // A place that becomes free is the next one's.
        let leaving = json!({ "gate": "ssh", "address": kept[1].to_string() });
        stand.home.daemon.must("gate_remove", &leaving);
        assert_eq!(stand.connect(fifth, IMAPS, PATIENCE), Connection::Accepted);
        assert_eq!(stand.connect(fifth, SSH, PATIENCE), Connection::Accepted);
        assert_eq!(stand.connect(kept[1], SSH, PATIENCE), Connection::Reset);
        stand.home.daemon.must("gate_flush", &json!({ "gate": "ssh" }));
    }
}
