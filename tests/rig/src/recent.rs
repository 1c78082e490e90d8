//! Two routers side by side that are sent the same TCP segments: one has the seed's iptables rules (the `recent` match), the other has our table and a
//! firewall as fw4 writes it. What becomes of each segment is said by the server that it arrives at, or by what comes back.
//!
//! ```text
//!                          wan0 ┌────────┐ lan0
//! clients 203.0.113.n      ─────┤ router ├─────  mail 192.0.2.25 2001:db8:25::25
//!         2001:db8:9::n         └────────┘       SSH  192.168.1.10 (198.51.100.2:22 outside) 2001:db8:10::10
//! ```
//! Both cables are TUN devices. The clients are made of segments; the servers too ([`Place::Behind`]), or they are sockets of the router's own
//! ([`Place::Router`]).

pub mod model;
pub mod scenario;
mod settings;
mod sockets;

use crate::house::Family;
use crate::namespace::Namespace;
use crate::segments::{datagram, flag, Packet, Segment, Servers, Session, Tun};
use sockets::Sockets;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On hosts behind the router.
    Behind,
    /// On the router itself.
    Router,
}

/// What a client connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// The guarded one.
    Ssh,
    /// The witness.
    Imaps,
    /// Neither: a web server beside the mail server.
    Web,
}

/// All of them.
pub const SERVICES: [Service; 3] = [Service::Ssh, Service::Imaps, Service::Web];

impl Service {
    /// As seen from outside and on the server.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Ssh => 22,
            Self::Imaps => 993,
            Self::Web => 443,
        }
    }

    fn on_server(self, place: Place, family: Family) -> IpAddr {
        match (place, self, family) {
            (Place::Router, ..) => wan(family),
            (_, Self::Ssh, Family::V4) => Ipv4Addr::new(192, 168, 1, 10).into(),
            (_, Self::Ssh, Family::V6) => "2001:db8:10::10".parse().expect("an address"),
            (_, _, Family::V4) => Ipv4Addr::new(192, 0, 2, 25).into(),
            (_, _, Family::V6) => "2001:db8:25::25".parse().expect("an address"),
        }
    }

    /// Only SSH over IPv4 is behind address translation.
    fn outside(self, place: Place, family: Family) -> SocketAddr {
        let address = match (self, family) {
            (Self::Ssh, Family::V4) => wan(family),
            _ => self.on_server(place, family),
        };
        SocketAddr::new(address, self.port())
    }
}

/// The router's address outside.
fn wan(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, 51, 100, 2).into(),
        Family::V6 => "2001:db8:1::2".parse().expect("an address"),
    }
}

/// A client's address: there are 250 in each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Source {
    pub family: Family,
    pub number: u8,
}

impl Source {
    /// Its address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::new(203, 0, 113, self.number).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, u16::from(self.number)).into(),
        }
    }
}

/// What a client does with one of its connections to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SYN: begins a connection, and leaves it half-open.
    Syn,
    /// The same SYN once more.
    SynAgain,
    /// ACK of the SYN-ACK.
    Ack,
    /// ACK of a SYN-ACK that was never seen: what somebody guesses who sends by another's address.
    BlindAck,
    /// Some bytes; the server echoes them.
    Data,
    /// The server says something, and the client acknowledges it.
    Hear,
    /// FIN, and ACK of the server's.
    Fin,
    /// FIN, and never again anything.
    FinAlone,
    /// The server closes first: ACK of its FIN, then a FIN.
    FinOfServer,
    /// RST.
    Rst,
    /// A segment with these flags that belongs to no connection.
    Stray(u8),
}

/// One step: who does what with which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Step {
    pub source: Source,
    pub service: Service,
    /// Which of the client's connections to that service.
    pub session: u8,
    pub act: Act,
}

/// What became of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A SYN that brought a SYN-ACK.
    Accepted,
    /// It reached the server.
    Arrived,
    /// It did not arrive, and a RST came back.
    Reset,
    /// It did not arrive, and an ICMP message of this type and code came back.
    Unreachable(u8, u8),
    /// It did not arrive, and nothing came back.
    Silent,
    /// It went out, and no server can say whether it arrived.
    Unseen,
}

/// What the routers are like, but for their rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Terms {
    pub place: Place,
    /// Seconds.
    pub window: u32,
    /// Addresses, per family.
    pub size: u32,
    /// `forget`, as configured.
    pub forget: &'static str,
    /// `refuse`, as configured.
    pub refuse: &'static str,
    /// What fw4's WAN zone does with what it does not accept: `reject` or `drop`.
    pub zone: &'static str,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            place: Place::Behind,
            window: 3,
            size: 4096,
            forget: "first_fin",
            refuse: "reset",
            zone: "reject",
        }
    }
}

/// The seed's five rules on `chain`, for `iptables-restore`: the first begins with the mail server's address, if it is given.
#[must_use]
pub fn seed_rules(chain: &str, mail: Option<IpAddr>, window: u32) -> String {
    let mail = mail.map_or_else(String::new, |mail| format!("-d {mail} "));
    format!(
        "-A {chain} {mail}-p tcp --dport 993 -m conntrack --ctstate ESTABLISHED -m recent --name MOBILE --set -j ACCEPT
-A {chain} -p tcp --tcp-flags FIN FIN -m conntrack --ctstate ESTABLISHED -m recent --name MOBILE --remove -j ACCEPT
-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -m recent --name MOBILE --update -j ACCEPT
-A {chain} -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name MOBILE --rcheck --seconds {window} -j ACCEPT
-A {chain} -p tcp --dport 22 -j REJECT --reject-with tcp-reset
"
    )
}

/// A router between two cables.
#[derive(Debug)]
pub struct Router {
    /// For people.
    pub name: &'static str,
    /// Where it lives.
    pub namespace: Namespace,
    place: Place,
    wan: Tun,
    lan: Tun,
    behind: Servers,
    own: Sockets,
    clients: BTreeMap<(Source, Service, u8), Client>,
}

/// A client's end of a connection.
#[derive(Debug, Clone, Copy)]
struct Client {
    from: SocketAddr,
    to: SocketAddr,
    end: Session,
    /// The SYN-ACK has been acknowledged.
    open: bool,
}

/// The marks that show a packet sent before it to have been dealt with.
const MARK: (&str, &str) = ("203.0.113.254:9", "192.0.2.25:9");

/// What became of a segment, and what came back.
struct Passage {
    arrived: Option<bool>,
    back: Vec<Packet>,
}

impl Router {
    /// One without rules.
    ///
    /// # Errors
    /// Where the machine does not allow namespaces or TUN devices.
    ///
    /// # Panics
    /// If anything after that fails.
    pub fn new(name: &'static str, place: Place) -> io::Result<Self> {
        let namespace = Namespace::new()?;
        let (wan, lan) = (Tun::new(&namespace, "wan0")?, Tun::new(&namespace, "lan0")?);
        namespace.ip(
            "addr add 198.51.100.2/24 dev wan0\naddr add 2001:db8:1::2/64 dev wan0 nodad\nlink set wan0 up\n\
             route add default dev wan0\nroute add ::/0 dev wan0\n\
             addr add 192.168.1.1/24 dev lan0\naddr add 192.0.2.1/24 dev lan0\n\
             addr add 2001:db8:10::1/64 dev lan0 nodad\naddr add 2001:db8:25::1/64 dev lan0 nodad\nlink set lan0 up\n",
        );
        namespace.sysctl("net/ipv4/ip_forward", "1")?;
        namespace.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        let own = match place {
            Place::Behind => Sockets::default(),
            Place::Router => Sockets::listen(&namespace),
        };
        Ok(Self {
            name,
            namespace,
            place,
            wan,
            lan,
            behind: Servers::on(&SERVICES.map(Service::port)),
            own,
            clients: BTreeMap::new(),
        })
    }

    /// The one with the seed's rules: those and nothing else, but for the redirect of SSH over IPv4.
    ///
    /// # Errors
    /// As [`Router::new`].
    ///
    /// # Panics
    /// If iptables refuses the rules.
    pub fn of_the_seed(terms: &Terms) -> io::Result<Self> {
        let router = Self::new("seed", terms.place)?;
        for (program, family) in [("iptables-restore", Family::V4), ("ip6tables-restore", Family::V6)] {
            let (chain, mail) = match terms.place {
                Place::Behind => ("FORWARD", Some(Service::Imaps.on_server(terms.place, family))),
                Place::Router => ("INPUT", None),
            };
            let mut text = format!("*filter\n{}COMMIT\n", seed_rules(chain, mail, terms.window));
            if (terms.place, family) == (Place::Behind, Family::V4) {
                text.push_str(&format!(
                    "*nat\n-A PREROUTING -d {} -p tcp --dport 22 -j DNAT --to-destination {}:22\nCOMMIT\n",
                    wan(family),
                    Service::Ssh.on_server(terms.place, family)
                ));
            }
            router.namespace.must(program, &["-w"], &text);
        }
        Ok(router)
    }

    /// The one with our table and fw4's.
    ///
    /// # Errors
    /// As [`Router::new`].
    ///
    /// # Panics
    /// If nft refuses a table.
    pub fn of_lanward(terms: &Terms) -> io::Result<Self> {
        let router = Self::new("lanward", terms.place)?;
        for table in settings::tables(terms) {
            router.namespace.nft(&table);
        }
        Ok(router)
    }

    /// A segment comes in from outside; the servers have answered when this returns.
    fn send(&mut self, segment: &Segment) -> Passage {
        // What was sent again in the meantime is no answer to this one.
        while self.wan.read().is_some() {}
        self.wan.write(&segment.packet());
        let mut arrived = false;
        let mut answers = Vec::new();
        let (outside, inside) = (MARK.0.parse().expect("literal"), MARK.1.parse().expect("literal"));
        self.wan.write(&datagram(outside, inside, b"mark"));
        loop {
            let packet = self
                .lan
                .read()
                .expect("what follows a segment through the router arrives");
            match Packet::parse(&packet) {
                Some(Packet::Tcp(heard)) => {
                    arrived |= heard.flags == segment.flags && heard.payload == segment.payload;
                    answers.extend(self.behind.hear(&heard));
                }
                Some(Packet::Udp(_, to, _)) if to == inside => break,
                _ => {}
            }
        }
        let seen = match self.place {
            Place::Behind => Some(arrived),
            Place::Router => self.own.heard(segment),
        };
        let back = self.answer(&answers);
        let arrived = match (self.place, back_to(segment, &back)) {
            (Place::Router, Some(answer)) if answer.is(flag::SYN) => Some(true),
            (Place::Router, _) if segment.is(flag::SYN) => Some(false),
            _ => seen,
        };
        Passage { arrived, back }
    }

    /// The servers behind say these; what goes out, in order.
    fn answer(&mut self, segments: &[Segment]) -> Vec<Packet> {
        let (outside, inside) = (MARK.0.parse().expect("literal"), MARK.1.parse().expect("literal"));
        for segment in segments {
            self.lan.write(&segment.packet());
        }
        self.lan.write(&datagram(inside, outside, b"mark"));
        let mut back = Vec::new();
        loop {
            let packet = self
                .wan
                .read()
                .expect("what follows a segment through the router goes out");
            match Packet::parse(&packet) {
                Some(Packet::Udp(_, to, _)) if to == outside => return back,
                Some(packet) => back.push(packet),
                None => {}
            }
        }
    }

    /// Does a step, and says what became of each segment that the client sent; none, where the client has no such connection (any more).
    /// `port`: the client's, for a connection that begins.
    pub fn perform(&mut self, step: &Step, port: u16) -> Vec<Verdict> {
        let key = (step.source, step.service, step.session);
        let begins = matches!(step.act, Act::Syn | Act::Stray(_));
        if begins {
            let end = Session {
                seq: first_seq(SocketAddr::new(step.source.address(), port)),
                ack: 0,
                closing: false,
            };
            let client = Client {
                from: SocketAddr::new(step.source.address(), port),
                to: step.service.outside(self.place, step.source.family),
                end,
                open: false,
            };
            if let Act::Stray(flags) = step.act {
                return vec![self.stray(client, flags)];
            }
            self.clients.insert(key, client);
        }
        let Some(client) = self.clients.get(&key).copied() else {
            return Vec::new();
        };
        let half_open = matches!(step.act, Act::Syn | Act::SynAgain | Act::Ack | Act::BlindAck);
        let either = matches!(step.act, Act::Rst);
        if client.open == half_open && !either {
            return Vec::new();
        }
        match step.act {
            Act::Syn | Act::SynAgain => vec![self.say(key, flag::SYN, b"")],
            Act::Ack => {
                self.clients.entry(key).and_modify(|client| client.open = true);
                vec![self.say(key, flag::ACK, b"")]
            }
            Act::BlindAck => {
                let guessed = |client: &mut Client| client.end.ack = client.end.ack.wrapping_sub(1 << 30);
                self.clients.entry(key).and_modify(guessed);
                vec![self.say(key, flag::ACK, b"")]
            }
            Act::Data => vec![self.say(key, flag::PSH | flag::ACK, b"words")],
            Act::Hear => {
                self.hear(key, flag::PSH, b"words of the server");
                vec![self.say(key, flag::ACK, b"")]
            }
            Act::Fin => {
                let mut verdicts = vec![self.say(key, flag::FIN | flag::ACK, b"")];
                if self.clients.contains_key(&key) {
                    verdicts.push(self.say(key, flag::ACK, b""));
                }
                self.clients.remove(&key);
                verdicts
            }
            Act::FinAlone => {
                let verdict = self.say(key, flag::FIN | flag::ACK, b"");
                self.clients.remove(&key);
                vec![verdict]
            }
            Act::FinOfServer => {
                self.hear(key, flag::FIN, b"");
                let mut verdicts = vec![self.say(key, flag::ACK, b"")];
                if self.clients.contains_key(&key) {
                    verdicts.push(self.say(key, flag::FIN | flag::ACK, b""));
                }
                self.clients.remove(&key);
                verdicts
            }
            Act::Rst => {
                let verdict = self.say(key, if client.open { flag::RST | flag::ACK } else { flag::RST }, b"");
                self.clients.remove(&key);
                vec![verdict]
            }
            Act::Stray(_) => Vec::new(),
        }
    }

    /// One segment of a connection. A RST that comes back ends it.
    fn say(&mut self, key: (Source, Service, u8), flags: u8, payload: &[u8]) -> Verdict {
        let client = self.clients[&key];
        let mut end = client.end;
        if flags == flag::SYN {
            (end.seq, end.ack) = (first_seq(client.from), 0);
        }
        let segment = end.says(client.from, client.to, flags, payload);
        let passage = self.send(&segment);
        if flags != flag::SYN {
            end.seq = end.seq.wrapping_add(segment.len());
        }
        let mut reset = false;
        for packet in &passage.back {
            match packet {
                Packet::Tcp(said) if (said.from, said.to) == (client.to, client.from) => {
                    reset |= said.is(flag::RST);
                    if flags == flag::SYN {
                        end.seq = segment.seq.wrapping_add(1);
                    }
                    if !said.is(flag::RST) {
                        end.ack = said.seq.wrapping_add(said.len());
                    }
                }
                _ => {}
            }
        }
        if flags == flag::SYN && end.ack == 0 {
            // No SYN-ACK: there is nothing to go on with.
            reset = true;
        }
        if reset {
            self.clients.remove(&key);
        } else {
            self.clients.entry(key).and_modify(|client| client.end = end);
        }
        verdict(&segment, &passage)
    }

    fn stray(&mut self, client: Client, flags: u8) -> Verdict {
        let end = Session {
            ack: if flags & flag::ACK == 0 { 0 } else { 77 },
            ..client.end
        };
        let segment = end.says(client.from, client.to, flags, b"");
        let passage = self.send(&segment);
        verdict(&segment, &passage)
    }

    /// The server says something of itself, or closes.
    fn hear(&mut self, key: (Source, Service, u8), flags: u8, payload: &[u8]) {
        let client = self.clients[&key];
        let server = SocketAddr::new(key.1.on_server(self.place, key.0.family), key.1.port());
        let said: Vec<Segment> = match self.place {
            Place::Behind => self
                .behind
                .speak(client.from, server, flags, payload)
                .into_iter()
                .collect(),
            Place::Router => {
                self.own.speak(client.from, server.port(), flags, payload);
                Vec::new()
            }
        };
        let mut ack = client.end.ack;
        for packet in self.answer(&said) {
            match packet {
                Packet::Tcp(said) if (said.from, said.to) == (client.to, client.from) => {
                    ack = said.seq.wrapping_add(said.len());
                }
                _ => {}
            }
        }
        self.clients.entry(key).and_modify(|client| client.end.ack = ack);
    }
}

/// Where a client begins to count.
fn first_seq(client: SocketAddr) -> u32 {
    u32::from(client.port()) << 8
}

/// What a segment brought back on its own connection.
fn back_to<'a>(segment: &Segment, back: &'a [Packet]) -> Option<&'a Segment> {
    back.iter().find_map(|packet| match packet {
        Packet::Tcp(said) if (said.from, said.to) == (segment.to, segment.from) => Some(said),
        _ => None,
    })
}

fn verdict(segment: &Segment, passage: &Passage) -> Verdict {
    let answer = back_to(segment, &passage.back);
    let icmp = passage.back.iter().find_map(|packet| match packet {
        Packet::Icmp(to, kind, code) if *to == segment.from.ip() => Some(Verdict::Unreachable(*kind, *code)),
        _ => None,
    });
    match (passage.arrived, answer) {
        (Some(true), Some(answer)) if answer.is(flag::SYN) => Verdict::Accepted,
        (Some(true), _) => Verdict::Arrived,
        (_, Some(answer)) if answer.is(flag::RST) => Verdict::Reset,
        (Some(false), _) => icmp.unwrap_or(Verdict::Silent),
        (None, _) => icmp.unwrap_or(Verdict::Unseen),
    }
}
