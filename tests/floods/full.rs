//! A conntrack table without room, and what can be seen of it.

use crate::scene::{Scene, REMOTE};
use lanward_rig::flood::{Arrivals, Cable};
use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::segments::datagram;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Packets of each family, of which one alone would be too many.
const PACKETS: u64 = 20;
/// Of an IPv4 and an IPv6 header.
const HEADERS: [usize; 2] = [20, 40];

/// Where the connections lead that fill the table.
const ELSEWHERE: &str = "192.0.2.7";

/// Connections that the kernel puts out for no other.
const ASSURED: &str = "--state ESTABLISHED -u ASSURED,SEEN_REPLY";
/// So many more than there is room for.
const MORE: u32 = 1000;

/// What the table is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// As a flood at an open port leaves it.
    HalfOpen,
    /// Both ends have spoken: the kernel puts none out for another.
    Assured,
}

/// How many entries the kernel allows.
pub fn room() -> u32 {
    let text = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").unwrap_or_default();
    text.trim().parse().expect("a number")
}

impl Scene {
    /// Other hosts' connections through the router, as many as there is room for.
    pub fn fill(&self, filling: Filling) {
        let state = match filling {
            Filling::HalfOpen => "--state SYN_RECV",
            Filling::Assured => ASSURED,
        };
        self.insert(0..room() + MORE, state);
        let (tracked, room) = (self.tracked(), room());
        // Of what was there before some may just have come to its end.
        assert!(tracked + u64::from(MORE) >= u64::from(room), "{tracked} of {room}");
    }

    /// Fills what places have become free since: what was in the table before comes to its end.
    pub fn fill_up(&self) {
        // Whose are all in it leaves none free; otherwise these are new ones.
        let begin = room() + MORE * (1 + self.filled_up.fetch_add(1, Ordering::Relaxed));
        self.insert(begin..begin + MORE, ASSURED);
    }

    fn insert(&self, numbers: Range<u32>, state: &str) {
        let first = Ipv4Addr::new(10, 0, 0, 0).to_bits();
        let lines = numbers.fold(String::new(), |mut lines, number| {
            let source = Ipv4Addr::from_bits(first + number);
            let _ = writeln!(
                lines,
                "-I -p tcp -s {source} -d {ELSEWHERE} --sport 40000 --dport 443 {state} -t 900"
            );
            lines
        });
        let file = self.home.house.directory().join("entries");
        fs::write(&file, lines).expect("our own");
        // It ends with an error, for there is no room for the last ones.
        let file = file.to_str().expect("our own directory's name");
        let _ = self.home.house.router().output("conntrack", &["-R", file], "");
    }

    /// Takes them out again, and nobody else's.
    pub fn empty(&self) {
        self.home.house.router().must("conntrack", &["-D", "-d", ELSEWHERE], "");
    }

    /// Packets that conntrack has dropped.
    pub fn dropped(&self) -> u64 {
        let text = self.home.house.router().must("conntrack", &["-S"], "");
        let drops = text.split_whitespace().filter_map(|word| word.strip_prefix("drop="));
        drops.map(|number| number.parse::<u64>().expect("a number")).sum()
    }

    /// Has no UDP and no SSH tracked any more, or tracks it again.
    pub fn untrack(&self, does: bool) {
        let router = self.home.house.router();
        router.nft("add table inet foreign\ndelete table inet foreign\n");
        if does {
            router.nft(
                "table inet foreign { chain c { type filter hook prerouting priority -300; meta l4proto udp notrack; tcp dport 22 notrack; }; }\n",
            );
        }
    }

    /// How many UDP packets of the LAN's in the range get out, each a flow of its own.
    pub fn gets_out(&self, family: Family) -> u64 {
        let house = &self.home.house;
        let (lan, internet) = (house.host("lan"), house.host("internet"));
        let arrivals = Arrivals::at(internet, "50001-50100");
        for number in 0..PACKETS {
            let port = REMOTE + 1 + u16::try_from(number).expect("few");
            let sender = lan.namespace.udp(lan.socket(family, 0));
            sender
                .send_to(b"x", internet.socket(family, port))
                .expect("there is a route");
        }
        std::thread::sleep(Duration::from_millis(100));
        arrivals.count()
    }

    /// The same with packets whose checksum is wrong: to conntrack they are invalid.
    pub fn gets_out_invalid(&self, family: Family) -> u64 {
        let house = &self.home.house;
        let (lan, internet) = (house.host("lan"), house.host("internet"));
        let arrivals = Arrivals::at(internet, "50001-50100");
        let cable = Cable::open(&lan.namespace, "eth0", house.router(), "br-lan").expect("root may send frames");
        let frames = (1..).take(20).map(|number| {
            let mut packet = datagram(
                lan.socket(family, 40_000),
                internet.socket(family, REMOTE + number),
                b"x",
            );
            packet[HEADERS[usize::from(family == Family::V6)] + 6] ^= 0x55;
            cable.enclose(family == Family::V6, &packet)
        });
        cable.send(&frames.collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(100));
        arrivals.count()
    }

    /// With the switch on, nothing in the range gets out, tracked or not.
    pub fn keeps_in(&self) {
        for family in FAMILIES {
            assert_eq!(self.gets_out(family), 0, "{family}");
            assert_eq!(self.gets_out_invalid(family), 0, "{family}: a wrong checksum");
        }
    }
}
