//! WireGuard's peers as read from the kernel, beside what `wg` shows. Where the kernel has no WireGuard: `tests/vm/run.sh` with this program.

#![allow(clippy::unwrap_used)]

use lanward::system::wireguard::{endpoint_of, peers, Peer};
use lanward_rig::namespace::Namespace;
use lanward_rig::report_line::{skip, this_test};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The router and a host outside on one cable, each with `wg0`. `None`, and loudly so, where there is no WireGuard.
struct Pair {
    router: Namespace,
    away: Namespace,
    router_keys: Keys,
    away_keys: Keys,
}

struct Keys {
    private: String,
    public: String,
}

impl Keys {
    fn new(at: &Namespace) -> Self {
        let private = at.must("wg", &["genkey"], "");
        let public = at.must("wg", &["pubkey"], &private);
        let [private, public] = [private, public].map(|key| key.trim().to_string());
        Self { private, public }
    }
}

impl Pair {
    fn build() -> Option<Self> {
        if !Namespace::can_be_made(&this_test()) {
            return None;
        }
        let [router, away] = [(); 2].map(|()| Namespace::new().unwrap());
        let made = router
            .output("ip", &["link", "add", "wg0", "type", "wireguard"], "")
            .unwrap();
        if !made.status.success() {
            // The answer of a kernel without it is no error.
            assert_eq!(router.run(|| peers(&names(&["lo", "wg0"]))).unwrap(), []);
            let here = "the kernel here has no WireGuard: tests/vm/run.sh with this program";
            skip(&this_test(), here);
            return None;
        }
        if let Err(error) = router.output("wg", &["--version"], "") {
            skip(&this_test(), &format!("no wireguard-tools: {error}"));
            return None;
        }
        router.ip("link add eth0 type veth peer name eth1\n");
        router.ip(&format!("link set eth1 netns {}\n", away.path()));
        router.ip("addr add 198.51.100.1/24 dev eth0\naddr add 2001:db8::1/64 dev eth0\nlink set eth0 up\n");
        away.ip("addr add 198.51.100.2/24 dev eth1\naddr add 2001:db8::2/64 dev eth1\nlink set eth1 up\n");
        away.ip("link add wg0 type wireguard\n");
        for (host, last) in [(&router, 1), (&away, 2)] {
            host.ip(&format!(
                "addr add 10.8.0.{last}/24 dev wg0\naddr add fd08::{last}/64 dev wg0\nlink set wg0 up\n"
            ));
        }
        let (router_keys, away_keys) = (Keys::new(&router), Keys::new(&away));
        Some(Self {
            router,
            away,
            router_keys,
            away_keys,
        })
    }

    /// Gives the router's `wg0` these peers beside the host outside, and that one the router.
    fn configure(&self, more: &str) {
        let (router, away) = (&self.router_keys, &self.away_keys);
        let text = format!(
            "[Interface]\nPrivateKey = {}\nListenPort = 51820\n\
             [Peer]\nPublicKey = {}\nPresharedKey = {}\nAllowedIPs = 10.8.0.2/32, fd08::2/128, 192.168.9.0/24\n{more}",
            router.private,
            away.public,
            // Any 32 bytes.
            router.public,
        );
        self.router.must("wg", &["setconf", "wg0", "/dev/stdin"], &text);
        let text = format!(
            "[Interface]\nPrivateKey = {}\n\
             [Peer]\nPublicKey = {}\nPresharedKey = {1}\nAllowedIPs = 10.8.0.0/24, fd08::/64\nEndpoint = 198.51.100.1:51820\n",
            away.private, router.public,
        );
        self.away.must("wg", &["setconf", "wg0", "/dev/stdin"], &text);
    }

    fn peers(&self, devices: &[&str]) -> Vec<Peer> {
        self.router.run(|| peers(&names(devices))).unwrap()
    }

    /// From where `address` was heard.
    fn endpoint_of(&self, address: &str) -> Option<String> {
        let found = endpoint_of(&self.peers(&["wg0"]), address.parse().unwrap());
        found.map(|address| address.to_string())
    }

    /// Has the host outside say something until the router has heard it at this address.
    fn wait_for_endpoint(&self, expected: &str) {
        let any: SocketAddr = "10.8.0.2:0".parse().unwrap();
        let inside = self.away.udp(any);
        let end = Instant::now() + Duration::from_secs(60);
        while self.endpoint_of("10.8.0.2").as_deref() != Some(expected) {
            assert!(
                Instant::now() < end,
                "not heard at {expected}: {}",
                self.router.must("wg", &[], "")
            );
            inside.send_to(b"here", "10.8.0.1:9").unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn names(devices: &[&str]) -> Vec<String> {
    devices.iter().map(|name| (*name).to_string()).collect()
}

/// What `wg show DEVICE dump` says.
fn by_wg(namespace: &Namespace, devices: &[&str]) -> Vec<Peer> {
    let mut shown = Vec::new();
    for device in devices {
        let text = namespace.must("wg", &["show", device, "dump"], "");
        // The first line is the device itself.
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let prefixes = fields[3].split(',').filter(|prefix| *prefix != "(none)");
            let prefixes = prefixes.map(|prefix| prefix.split_once('/').unwrap());
            shown.push(Peer {
                device: (*device).to_string(),
                endpoint: (fields[2] != "(none)").then(|| fields[2].parse().unwrap()),
                allowed: prefixes
                    .map(|(network, length)| (network.parse().unwrap(), length.parse().unwrap()))
                    .collect(),
            });
        }
    }
    shown
}

/// A peer's section with a key that nobody has.
fn stranger(number: u32, more: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |shift: u32| char::from(DIGITS[usize::try_from(number >> shift & 63).unwrap()]);
    let key: String = [digit(18), digit(12), digit(6), digit(0)]
        .iter()
        .cycle()
        .take(40)
        .collect();
    format!("[Peer]\nPublicKey = {key}AAE=\n{more}\n")
}

#[test]
fn peers_are_found_where_they_were_heard() {
    let Some(pair) = Pair::build() else { return };
    let more = [
        stranger(1, "Endpoint = [2001:db8::77]:1234\nAllowedIPs = 0.0.0.0/0, ::/0"),
        stranger(2, ""),
        stranger(3, "Endpoint = 203.0.113.77:4321\nAllowedIPs = 10.8.0.77/32"),
    ];
    pair.configure(&more.concat());
    let before = pair.peers(&["wg0"]);
    assert_eq!(before, by_wg(&pair.router, &["wg0"]));
    assert_eq!(before.len(), 4);
    // Configured without an endpoint and not heard yet.
    assert_eq!(pair.endpoint_of("10.8.0.2"), None);
    assert_eq!(pair.endpoint_of("10.8.0.77").as_deref(), Some("203.0.113.77"));

    pair.wait_for_endpoint("198.51.100.2");
    assert_eq!(pair.peers(&["wg0"]), by_wg(&pair.router, &["wg0"]));
    for (inside, outside) in [
        ("fd08::2", Some("198.51.100.2")),
        ("192.168.9.200", Some("198.51.100.2")),
        ("10.8.0.77", Some("203.0.113.77")),
        // Everybody's and nobody's.
        ("10.8.0.3", None),
        ("198.51.100.2", None),
    ] {
        assert_eq!(pair.endpoint_of(inside).as_deref(), outside, "{inside}");
    }

    // Heard elsewhere.
    pair.away.ip(
        "addr add 198.51.100.3/24 dev eth1\naddr del 198.51.100.2/24 dev eth1\naddr add 198.51.100.3/24 dev eth1\n",
    );
    pair.wait_for_endpoint("198.51.100.3");
    assert_eq!(pair.peers(&["wg0"]), by_wg(&pair.router, &["wg0"]));
    let router = &pair.router_keys.public;
    pair.away.must(
        "wg",
        &["set", "wg0", "peer", router, "endpoint", "[2001:db8::1]:51820"],
        "",
    );
    pair.wait_for_endpoint("2001:db8::2");
    assert_eq!(pair.peers(&["wg0"]), by_wg(&pair.router, &["wg0"]));
}

#[test]
fn what_is_not_wireguards_is_passed_over() {
    let Some(pair) = Pair::build() else { return };
    pair.configure("");
    pair.router
        .ip("link add wg1 type wireguard\nlink add fifteen-letters type wireguard\nlink add dummy0 type dummy\n");
    let text = stranger(1, "AllowedIPs = 10.9.0.0/16") + &stranger(2, "AllowedIPs = 10.10.0.0/16");
    pair.router
        .must("wg", &["setconf", "fifteen-letters", "/dev/stdin"], &text);
    let asked = [
        "lo",
        "fifteen-letters",
        "nothere",
        "wg1",
        "",
        "sixteen-letters!",
        "dummy0",
        "wg0",
        "eth0",
    ];
    let found = pair.peers(&asked);
    assert_eq!(found, by_wg(&pair.router, &["fifteen-letters", "wg1", "wg0"]));
    assert_eq!(found.len(), 3);
    assert_eq!(pair.peers(&[]), []);
    // Another namespace's are not seen.
    assert_eq!(Namespace::new().unwrap().run(|| peers(&names(&asked))).unwrap(), []);
}

/// As many as need many messages, and a peer that needs several.
#[test]
fn long_lists_are_whole() {
    let Some(pair) = Pair::build() else { return };
    let mut text = String::new();
    let mut address = 0x0b00_0000_u32;
    for number in 0..400 {
        let count = if number % 100 == 7 { 3000 } else { number % 5 };
        let prefixes: Vec<String> = (0..count)
            .map(|_| {
                address += 1;
                match address % 3 {
                    0 => format!("fd08:{:x}:{:x}::/48", address >> 16, address & 0xffff),
                    _ => format!("{}/32", IpAddr::from(address.to_be_bytes())),
                }
            })
            .collect();
        let endpoint = match number % 3 {
            0 => String::new(),
            1 => format!("Endpoint = 203.0.113.{}:{}\n", number % 250 + 1, 1000 + number),
            _ => format!("Endpoint = [2001:db8::{number:x}]:{}\n", 1000 + number),
        };
        // A line may not be too long for `wg`.
        let mut lines = String::new();
        for some in prefixes.chunks(50) {
            let _ = writeln!(lines, "AllowedIPs = {}", some.join(","));
        }
        text += &stranger(number + 10, &(endpoint + &lines));
    }
    pair.configure(&text);
    let found = pair.peers(&["wg0"]);
    assert_eq!(found, by_wg(&pair.router, &["wg0"]));
    assert_eq!(found.len(), 401);
    let prefixes: usize = found.iter().map(|peer| peer.allowed.len()).sum();
    assert_eq!(prefixes, 3 + 4 * 3000 + 400 / 5 * (1 + 2 + 3 + 4) - (2 + 2 + 2 + 2));
    let whose: BTreeMap<_, _> = found
        .iter()
        .flat_map(|peer| peer.allowed.iter().map(move |prefix| (*prefix, peer)))
        .collect();
    assert_eq!(whose.len(), prefixes);
    for ((network, _), peer) in whose {
        assert_eq!(
            endpoint_of(&found, network),
            peer.endpoint.map(|endpoint| endpoint.ip()),
            "{network}"
        );
    }
}

/// A list that changes while it is read is never given in part.
#[test]
fn a_changing_list_is_read_again() {
    let Some(pair) = Pair::build() else { return };
    let mut text = String::new();
    for number in 10..310_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let prefixes: Vec<String> = (0..8).map(|part| format!("11.{part}.{high}.{low}/32")).collect();
        text += &stranger(number, &format!("AllowedIPs = {}", prefixes.join(",")));
    }
    pair.configure(&text);
    let constant = pair.peers(&["wg0"]);
    assert_eq!(constant.len(), 301);
    let done = AtomicBool::new(false);
    let other = &Keys::new(&pair.router).public;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                pair.router
                    .must("wg", &["set", "wg0", "peer", other, "allowed-ips", "10.8.0.99/32"], "");
                pair.router.must("wg", &["set", "wg0", "peer", other, "remove"], "");
            }
        });
        let (mut with, mut without, mut unsteady) = (0, 0, 0);
        let end = Instant::now() + Duration::from_secs(60);
        while (with < 10 || without < 10) && Instant::now() < end {
            match pair.router.run(|| peers(&names(&["wg0"]))) {
                Ok(found) => {
                    assert_eq!(found[..301], constant);
                    if found.len() > 301 {
                        with += 1;
                    } else {
                        without += 1;
                    }
                }
                Err(lanward::system::wireguard::Error::Unsteady) => unsteady += 1,
                Err(error) => panic!("{error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(
            with >= 10 && without >= 10,
            "with {with}, without {without}, unsteady {unsteady}"
        );
    });
}
