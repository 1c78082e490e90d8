//! Copies by NFLOG from a real kernel: rules that log, and packets that cross a cable between two network namespaces.

#![allow(clippy::unwrap_used)]

use lanward::nft::netlink::{emit, Attribute};
use lanward::system::nflog::{Copied, Error, Heard, Nflog};
use lanward_rig::namespace::{bind, Namespace};
use lanward_rig::report_line::{figure, skip, this_test};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterProtoFamily};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use nix::net::if_::if_nametoindex;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const GROUP: u16 = 7477;
const SNAPLEN: u32 = 64;
const PREFIX: &str = "lanward admit ssh imaps";
const PORT: u16 = 1009;
const ROUTER4: &str = "192.0.2.1";
const ROUTER6: &str = "2001:db8::1";
const OUTSIDE4: &str = "192.0.2.2";
const OUTSIDE6: &str = "2001:db8::2";

/// A router with a WAN and a host on it.
struct Cable {
    router: Namespace,
    outside: Namespace,
}

impl Cable {
    /// `None`, and loudly so, where there are no namespaces or no nft.
    fn lay() -> Option<Self> {
        if !Namespace::can_be_made(&this_test()) {
            return None;
        }
        let [router, outside] = [(); 2].map(|()| Namespace::new().unwrap());
        if Command::new("nft").arg("--version").output().is_err() {
            skip(&this_test(), "no nft");
            return None;
        }
        router.ip(&format!(
            "link add wan0 type veth peer name eth0 netns {}\naddr add {ROUTER4}/24 dev wan0\naddr add {ROUTER6}/64 dev wan0 nodad\nlink set wan0 up\n",
            outside.path()
        ));
        outside.ip(&format!(
            "addr add {OUTSIDE4}/24 dev eth0\naddr add {OUTSIDE6}/64 dev eth0 nodad\nlink set eth0 up\n"
        ));
        let cable = Self { router, outside };
        cable.know_each_other();
        Some(cable)
    }

    /// Neighbours are found before anything is measured or counted.
    fn know_each_other(&self) {
        for (from, to) in [(OUTSIDE4, ROUTER4), (OUTSIDE6, ROUTER6)] {
            let there = self.router.udp(address(to, 7));
            there.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            self.outside
                .udp(address(from, 0))
                .send_to(b"hello", address(to, 7))
                .unwrap();
            there.recv(&mut [0; 8]).unwrap();
        }
    }

    /// Logs every packet to the port as it comes in.
    fn log(&self, statement: &str) {
        self.router.nft(&format!(
            "table inet t {{ chain c {{ type filter hook prerouting priority -150; meta l4proto {{ tcp, udp }} th dport {PORT} {statement};\n}}\n}}\n"
        ));
    }

    /// Does something in the router, with a runtime.
    fn in_router<T: Send, F: Future<Output = T>>(&self, inside: impl FnOnce() -> F + Send) -> T {
        self.router.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { inside().await })
        })
    }

    /// The same, while packets come as fast as they can be sent.
    fn flooded<T: Send, F: Future<Output = T>>(&self, inside: impl FnOnce() -> F + Send) -> T {
        let sender = self.outside.udp(address(OUTSIDE4, 0));
        let flood = Flood::default();
        let is_over = Arc::clone(&flood.0);
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let _ = sender.send_to(&[1; 100], address(ROUTER4, PORT));
            }
        });
        self.in_router(inside)
    }

    /// The netlink port of who has the group, if anybody has.
    fn owner(&self) -> Option<u32> {
        let table = self.router.proc_net("netfilter/nfnetlink_log");
        let row = |line: &str| {
            let mut words = line.split_whitespace().map(|word| word.parse::<u32>().unwrap());
            Some((words.next()?, words.next()?))
        };
        table
            .lines()
            .filter_map(row)
            .find_map(|(group, port)| (group == u32::from(GROUP)).then_some(port))
    }

    /// Bytes that wait to be read, as the kernel counts them.
    fn waiting(&self) -> u64 {
        let port = self.owner().unwrap().to_string();
        let table = self.router.proc_net("netlink");
        let mut rows = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|row| row[1] == NETLINK_NETFILTER.to_string() && row[2] == port);
        rows.next().unwrap()[4].parse().unwrap()
    }
}

/// Whether a flood is to end, which it does with this.
#[derive(Default)]
struct Flood(Arc<AtomicBool>);

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn standard() -> String {
    format!("log prefix \"{PREFIX}\" group {GROUP} snaplen {SNAPLEN}")
}

fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// Tries for a moment: a process that a neighbouring thread is just starting holds what this one has closed.
fn open() -> Nflog {
    open_group(GROUP, SNAPLEN)
}

fn open_group(group: u16, snaplen: u32) -> Nflog {
    let taken = |error| match error {
        Error::Taken(_) => io::Error::from(io::ErrorKind::AddrInUse),
        error => io::Error::other(error),
    };
    bind(|| Nflog::open(group, snaplen).map_err(taken)).unwrap()
}

async fn soon(nflog: &mut Nflog) -> Option<Heard> {
    tokio::time::timeout(Duration::from_secs(5), nflog.next()).await.ok()
}

async fn one(nflog: &mut Nflog) -> Copied {
    match soon(nflog).await {
        Some(Heard::Packets(mut packets)) if packets.len() == 1 => packets.remove(0),
        other => panic!("{other:?}"),
    }
}

/// What is heard until it is quiet: how many packets, and how often some were lost.
async fn drain(nflog: &mut Nflog) -> (usize, usize) {
    let (mut packets, mut losses) = (0, 0);
    while let Ok(heard) = tokio::time::timeout(Duration::from_millis(100), nflog.next()).await {
        match heard {
            Heard::Packets(some) => packets += some.len(),
            Heard::Lost => losses += 1,
        }
    }
    (packets, losses)
}

/// The address that a device makes for itself a moment after the cable is plugged in, and where it is from.
fn link_local(namespace: &Namespace, device: &str) -> SocketAddrV6 {
    const TENTATIVE: u32 = 0x40;
    let mut found = None;
    let is_there = wait_until(|| {
        let table = namespace.proc_net("if_inet6");
        let row = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|row| row[5] == device && row[0].starts_with("fe80"));
        found = row.map(|row| {
            let number = |word: &str| u32::from_str_radix(word, 16).unwrap();
            let ip = Ipv6Addr::from(u128::from_str_radix(row[0], 16).unwrap());
            (SocketAddrV6::new(ip, 0, 0, number(row[1])), number(row[4]) & TENTATIVE)
        });
        found.is_some_and(|(_, tentative)| tentative == 0)
    });
    assert!(is_there, "{device} has no link-local address: {found:?}");
    found.unwrap().0
}

#[test]
fn copies_say_which_rule_saw_which_packet_from_where() {
    let Some(cable) = Cable::lay() else { return };
    cable.log(&standard());
    let (here, there) = (link_local(&cable.outside, "eth0"), link_local(&cable.router, "wan0"));
    let by_link = SocketAddr::from(SocketAddrV6::new(*there.ip(), PORT, 0, here.scope_id()));
    let wan = cable.router.run(|| if_nametoindex("wan0").unwrap());
    let data: Vec<u8> = (0..100).collect();
    cable.in_router(|| async {
        let mut nflog = open();
        for (from, to) in [
            (address(OUTSIDE4, 0), address(ROUTER4, PORT)),
            (address(OUTSIDE6, 0), address(ROUTER6, PORT)),
            (here.into(), by_link),
        ] {
            let sender = cable.outside.udp(from);
            for data in [&data[..], &data[..5], &[]] {
                sender.send_to(data, to).unwrap();
                let copied = one(&mut nflog).await;
                assert_eq!((copied.prefix.as_str(), copied.device_in), (PREFIX, Some(wan)));
                assert_eq!((copied.source, copied.dest), (from.ip(), to.ip()));
                let header = if from.is_ipv4() { 20 } else { 40 };
                assert_eq!(copied.payload.len(), (header + 8 + data.len()).min(64));
                let (_, udp) = copied.payload.split_at(header);
                let port = sender.local_addr().unwrap().port();
                assert_eq!(udp[..4], [port.to_be_bytes(), PORT.to_be_bytes()].concat());
                assert!(data.starts_with(&udp[8..]));
            }
        }
        // A refusal comes back, which is not logged; the first packet of a connection is.
        for to in [ROUTER4, ROUTER6] {
            let refused = cable.outside.run(|| TcpStream::connect(address(to, PORT)).unwrap_err());
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let copied = one(&mut nflog).await;
            let tcp = &copied.payload[if copied.source.is_ipv4() { 20 } else { 40 }..];
            assert_eq!(
                (copied.dest, tcp[13] & 0x3f),
                (to.parse::<IpAddr>().unwrap(), 2),
                "a SYN"
            );
        }
        assert_eq!(drain(&mut nflog).await, (0, 0));
    });
}

#[test]
fn the_smaller_snaplen_holds() {
    let Some(cable) = Cable::lay() else { return };
    let (v4, v6) = (
        cable.outside.udp(address(OUTSIDE4, 0)),
        cable.outside.udp(address(OUTSIDE6, 0)),
    );
    for (rule, expected4, expected6) in [
        ("", 64, Some(64)),
        ("snaplen 500", 64, Some(64)),
        ("snaplen 44", 44, Some(44)),
        // Too short for the addresses of IPv6.
        ("snaplen 20", 20, None),
    ] {
        cable.router.nft("flush ruleset");
        cable.log(&format!("log group {GROUP} {rule}"));
        cable.in_router(|| async {
            let mut nflog = open();
            v6.send_to(&[7; 1000], address(ROUTER6, PORT)).unwrap();
            if let Some(expected) = expected6 {
                assert_eq!(one(&mut nflog).await.payload.len(), expected, "IPv6, {rule}");
            }
            v4.send_to(&[7; 1000], address(ROUTER4, PORT)).unwrap();
            let copied = one(&mut nflog).await;
            assert_eq!(
                (copied.payload.len(), copied.prefix.as_str()),
                (expected4, ""),
                "IPv4, {rule}"
            );
        });
    }
    // Nothing asked for means everything to the kernel, and here as much as addresses need.
    cable.in_router(|| async {
        let mut nflog = open_group(GROUP + 1, 0);
        cable.router.nft("flush ruleset");
        cable.log(&format!("log group {}", GROUP + 1));
        v6.send_to(&[7; 1000], address(ROUTER6, PORT)).unwrap();
        assert_eq!(one(&mut nflog).await.payload.len(), 40);
    });
}

/// Other tables may use the group too, by mistake.
#[test]
fn what_is_not_ip_and_what_leaves_the_router() {
    let Some(cable) = Cable::lay() else { return };
    let tables = [
        format!("table arp a {{ chain c {{ type filter hook input priority 0; log group {GROUP};\n}}\n}}\n"),
        format!("table netdev n {{ chain c {{ type filter hook ingress device wan0 priority 0; ether type arp log group {GROUP};\n}}\n}}\n"),
    ];
    for table in tables {
        cable.router.nft("flush ruleset");
        if cable
            .router
            .output("nft", &["-f", "-"], &table)
            .is_ok_and(|output| !output.status.success())
        {
            skip(&this_test(), &format!("the kernel does not take: {table}"));
            continue;
        }
        cable.router.nft(&format!(
            "table inet t {{ chain c {{ type filter hook output priority 0; udp dport {PORT} log prefix \"out\" group {GROUP};\n}}\n}}\n"
        ));
        let sender = cable.router.udp(address(ROUTER4, 0));
        cable.in_router(|| async {
            let mut nflog = open();
            cable.outside.ip("neigh flush dev eth0\n");
            cable
                .outside
                .udp(address(OUTSIDE4, 0))
                .send_to(b"who has", address(ROUTER4, PORT))
                .unwrap();
            assert!(
                wait_until(|| cable.waiting() > 0),
                "the ARP request was copied: {table}"
            );
            sender.send_to(b"out", address(OUTSIDE4, PORT)).unwrap();
            let copied = one(&mut nflog).await;
            assert_eq!((copied.prefix.as_str(), copied.device_in), ("out", None));
            assert_eq!(copied.source, ROUTER4.parse::<IpAddr>().unwrap());
        });
    }
}

/// The packets go on while nobody reads, what waits is bounded, and once it is read it goes on.
#[test]
fn an_overrun_holds_nothing_up_and_is_said_once() {
    const PACKETS: usize = 3000;
    let Some(cable) = Cable::lay() else { return };
    let test = this_test();
    cable.log(&standard());
    let (sender, listener) = (
        cable.outside.udp(address(OUTSIDE4, 0)),
        cable.router.udp(address(ROUTER4, PORT)),
    );
    listener.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let pass = || {
        sender.send_to(&[1; 100], address(ROUTER4, PORT)).unwrap();
        assert_eq!(listener.recv(&mut [0; 200]).unwrap(), 100);
    };
    cable.in_router(|| async {
        let mut nflog = open();
        for round in 0..3 {
            for _ in 0..PACKETS {
                pass();
            }
            let waiting = cable.waiting();
            assert!(waiting <= 256 * 1024 + 4096, "{waiting} bytes wait");
            assert_eq!(soon(&mut nflog).await, Some(Heard::Lost));
            let (packets, losses) = drain(&mut nflog).await;
            assert!((60..PACKETS).contains(&packets), "{packets} of {PACKETS} fit");
            assert_eq!(losses, 0);
            figure(&test, &format!("{packets} copies fit into {waiting} bytes"));
            pass();
            assert_eq!(
                one(&mut nflog).await.source,
                OUTSIDE4.parse::<IpAddr>().unwrap(),
                "round {round}"
            );
        }
    });
}

#[test]
fn a_group_has_one_owner_until_that_is_gone() {
    let Some(cable) = Cable::lay() else { return };
    cable.log(&standard());
    let sender = cable.outside.udp(address(OUTSIDE4, 0));
    cable.in_router(|| async {
        for _ in 0..3 {
            let mut first = open();
            let refused = Nflog::open(GROUP, SNAPLEN).err().unwrap();
            assert!(matches!(refused, Error::Taken(GROUP)), "{refused:?}");
            assert!(
                refused.to_string().contains("another program has group 7477"),
                "{refused}"
            );
            let other = open_group(GROUP + 1, SNAPLEN);
            sender.send_to(b"x", address(ROUTER4, PORT)).unwrap();
            assert_eq!(one(&mut first).await.prefix, PREFIX, "the first one's copies go on");
            drop((first, other));
        }
    });
    assert!(wait_until(|| cable.owner().is_none()), "the group is free");
}

fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    condition()
}

#[test]
fn without_the_right_it_says_so_also_where_the_group_is_taken() {
    let Some(cable) = Cable::lay() else { return };
    let refusal = || {
        cable
            .router
            .run(|| as_nobody(|| Nflog::open(GROUP, SNAPLEN).err().unwrap()))
    };
    let free = refusal();
    let taken = cable.in_router(|| async {
        let _first = open();
        refusal()
    });
    for error in [free, taken] {
        assert!(matches!(error, Error::Forbidden), "{error:?}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    }
}

/// Does something on this thread without any right, for good.
#[allow(unsafe_code)]
fn as_nobody<T>(inside: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // SAFETY: takes three numbers, and as a bare system call changes the calling thread alone.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
    assert_eq!(result, 0, "setresuid: {}", io::Error::last_os_error());
    let _runtime = runtime.enter();
    inside()
}

/// Who may send to netlink sockets at all could otherwise tell of packets that never were.
#[test]
fn only_the_kernel_is_believed() {
    let Some(cable) = Cable::lay() else { return };
    cable.log(&standard());
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 203, 0, 113, 9, 192, 0, 2, 1];
    packet.extend([0, 9, 0, 9, 0, 8, 0, 0]);
    let attributes = [
        Attribute::bytes(1, vec![8, 0, 0, 0]),
        Attribute::bytes(10, b"forged\0".to_vec()),
        Attribute::bytes(9, packet),
    ];
    let header = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, GROUP);
    let mut forged = Vec::new();
    emit(4 << 8, 0, 0, &header, &attributes, &mut forged);
    let parsed = lanward::system::nflog::parse(&forged, GROUP, 64);
    assert_eq!(parsed.packets.len(), 1, "it is well made");
    let sender = cable.outside.udp(address(OUTSIDE4, 0));
    cable.in_router(|| async {
        let mut nflog = open();
        let mut forger = Socket::new(NETLINK_NETFILTER).unwrap();
        forger.bind_auto().unwrap();
        let port = cable.owner().unwrap();
        forger.send_to(&forged, &NetlinkAddress::new(port, 0), 0).unwrap();
        assert!(cable.waiting() > 0, "it was delivered");
        sender.send_to(b"real", address(ROUTER4, PORT)).unwrap();
        assert_eq!(one(&mut nflog).await.prefix, PREFIX);
        assert_eq!(drain(&mut nflog).await, (0, 0));
    });
}

#[test]
fn nothing_is_lost_by_giving_up_waiting() {
    const PACKETS: u32 = 2000;
    let Some(cable) = Cable::lay() else { return };
    cable.log(&standard());
    let sender = cable.outside.udp(address(OUTSIDE4, 0));
    let numbers = cable.in_router(|| async {
        let mut nflog = open();
        let heard_so_far = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&heard_so_far);
        let sending = std::thread::spawn(move || send_numbers(&sender, PACKETS, &seen));
        let (mut numbers, mut given_up) = (Vec::new(), 0);
        let end = Instant::now() + Duration::from_secs(20);
        while numbers.len() < 2000 && Instant::now() < end {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => given_up += 1,
                heard = nflog.next() => match heard {
                    Heard::Packets(packets) => numbers.extend(packets.iter().map(number)),
                    Heard::Lost => panic!("lost after {}", numbers.len()),
                },
            }
            heard_so_far.store(u32::try_from(numbers.len()).unwrap(), Ordering::Relaxed);
        }
        sending.join().unwrap();
        assert!(given_up > 1000, "{given_up}");
        numbers
    });
    assert!(numbers.into_iter().eq(0..PACKETS), "each once and in order");
}

/// Numbered packets, but never more than the socket holds.
fn send_numbers(sender: &UdpSocket, packets: u32, heard: &AtomicU32) {
    let end = Instant::now() + Duration::from_secs(20);
    for number in 0..packets {
        while number - heard.load(Ordering::Relaxed) > 50 && Instant::now() < end {
            std::thread::sleep(Duration::from_micros(200));
        }
        sender.send_to(&number.to_be_bytes(), address(ROUTER4, PORT)).unwrap();
    }
}

fn number(copied: &Copied) -> u32 {
    u32::from_be_bytes(copied.payload[28..32].try_into().unwrap())
}

/// Something else that is due is done meanwhile, whether the copies are given back or passed over one after the other.
#[test]
fn a_flood_leaves_time_for_the_rest() {
    let Some(cable) = Cable::lay() else { return };
    for (snaplen, are_given) in [(SNAPLEN, true), (10, false)] {
        cable.router.nft("flush ruleset");
        cable.log(&format!("log group {GROUP} snaplen {snaplen}"));
        let half_a_second = || async {
            let mut nflog = open();
            let mut clock = tokio::time::interval(Duration::from_millis(5));
            let (mut packets, mut ticks) = (0, 0);
            let end = Instant::now() + Duration::from_millis(500);
            while Instant::now() < end {
                tokio::select! {
                    heard = nflog.next() => if let Heard::Packets(some) = heard { packets += some.len() },
                    _ = clock.tick() => ticks += 1,
                }
            }
            assert!(are_given || packets == 0, "{packets}");
            (packets, ticks)
        };
        let seen = cable.flooded(|| async {
            let mut seen = Vec::new();
            // A machine that stands still for a part of it says nothing of who waits for whom.
            for _ in 0..5 {
                let (packets, ticks) = half_a_second().await;
                seen.push((packets, ticks));
                if (packets > 1000) == are_given && ticks > 20 {
                    return Ok(());
                }
            }
            Err(seen)
        });
        assert_eq!(seen, Ok(()), "packets and ticks of 100 in each half of a second");
    }
}

#[test]
fn a_restart_under_a_flood_binds_again() {
    let Some(cable) = Cable::lay() else { return };
    cable.log(&standard());
    cable.flooded(|| async {
        for _ in 0..300 {
            assert!(soon(&mut open()).await.is_some());
        }
    });
}

/// By itself the kernel gathers copies for a second.
#[test]
fn a_copy_is_heard_at_once() {
    // No more than the socket holds, however slow the machine is.
    const PACKETS: usize = 200;
    let Some(cable) = Cable::lay() else { return };
    cable.log(&standard());
    let sender = cable.outside.udp(address(OUTSIDE4, 0));
    let mut waits = cable.in_router(|| async {
        let mut nflog = open();
        let began = Instant::now();
        let since = move || u64::try_from(began.elapsed().as_nanos()).unwrap();
        let sending = std::thread::spawn(move || {
            for _ in 0..PACKETS {
                std::thread::sleep(Duration::from_millis(1));
                sender.send_to(&since().to_be_bytes(), address(ROUTER4, PORT)).unwrap();
            }
        });
        let mut waits = Vec::new();
        while waits.len() < PACKETS {
            let copied = one(&mut nflog).await;
            let sent = u64::from_be_bytes(copied.payload[28..36].try_into().unwrap());
            waits.push(Duration::from_nanos(since() - sent));
        }
        sending.join().unwrap();
        waits
    });
    waits.sort();
    let (median, worst) = (waits[PACKETS / 2], waits[PACKETS - 1]);
    figure(
        &this_test(),
        &format!(
            "from a packet's send to its copy: {median:?} (99 of 100 {:?}, worst {worst:?})",
            waits[PACKETS / 100 * 99]
        ),
    );
    assert!(median < Duration::from_millis(20), "{median:?}");
}

#[test]
fn a_hundred_thousand_copies_leave_no_memory_behind() {
    const PACKETS: usize = 100_000;
    let Some(cable) = Cable::lay() else { return };
    cable.log(&standard());
    let sender = cable.outside.udp(address(OUTSIDE4, 0));
    let (before, after, took) = cable.in_router(|| async {
        let mut nflog = open();
        let (mut heard, mut before, began) = (0, 0, Instant::now());
        while heard < PACKETS {
            for _ in 0..50 {
                sender.send_to(&[1; 100], address(ROUTER4, PORT)).unwrap();
            }
            for _ in 0..50 {
                assert_eq!(one(&mut nflog).await.payload.len(), 64);
                heard += 1;
            }
            if before == 0 {
                before = resident();
            }
        }
        (before, resident(), began.elapsed())
    });
    figure(
        &this_test(),
        &format!("{PACKETS} copies in {took:.1?}: resident {before} KiB before, {after} KiB after"),
    );
    // Other tests run in the same process; one that fails reads the debug information to say where.
    assert!(after < before + 2048, "{before} KiB before, {after} KiB after");
}

/// KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
