//! A router with gates that knocks open, and sources to knock from.

use lanward_rig::home::Home;
use lanward_rig::house::{Family, Host, House, FAMILIES};
use lanward_rig::knock::{steps, udp, Knocker, Step};
pub use lanward_rig::probe::within;
use lanward_rig::probe::Connection;
use lanward_rig::report_line::this_test;
use lanward_rig::settings::Firewall;
use lanward_rig::tcp::connect;
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const SSH: u16 = 22;
/// How long the daemon may take for what it does beside the packets' way, on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);
/// In no sequence of any test, and nothing listens there.
pub const UNUSED: u16 = 6000;
/// Opens the gate `control`: whoever is listed there has shown that all packets before have been dealt with.
const CONTROL: Step = udp(61_999);

/// A section `gate`: its TCP port on the router, and further lines.
pub fn gate(name: &str, port: u16, options: &str) -> String {
    section(
        &format!("gate '{name}'"),
        &format!("option enabled '1'\nlist service 'tcp:{port}'\noption knock_alone '1'\n{options}"),
    )
}

/// A section `knock`: its sequences as the stock client writes them, and further lines.
pub fn knock(name: &str, gate: &str, open: &str, close: &str, options: &str) -> String {
    let list = |option: &str, sequence: &str| -> String {
        let lines = steps(sequence).into_iter();
        lines.map(|step| format!("list {option} '{}'\n", step.uci())).collect()
    };
    let (open, close) = (list("open", open), list("close", close));
    section(
        &format!("knock '{name}'"),
        &format!("option gate '{gate}'\n{open}{close}{options}"),
    )
}

fn section(head: &str, lines: &str) -> String {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.fold(format!("\nconfig {head}\n"), |text, line| text + "\t" + line + "\n")
}

/// The gate `ssh` with these further lines.
pub fn ssh_gate(options: &str) -> String {
    gate("ssh", SSH, options)
}

/// The knock `door` on the gate `ssh`: 7000 8000 9000, and the way back to close.
pub fn door(options: &str) -> String {
    knock("door", "ssh", "7000 8000 9000", "9000 8000 7000", options)
}

pub struct Scene {
    pub home: Home,
    pub knocker: Knocker,
    servers: Vec<TcpListener>,
}

impl Scene {
    /// A house whose firewall refuses as it comes.
    pub fn start(sections: &str) -> Option<Self> {
        Self::start_behind(Firewall::default(), sections)
    }

    pub fn start_behind(firewall: Firewall, sections: &str) -> Option<Self> {
        let mut scene = Self::without_servers(firewall, sections)?;
        let router = scene.home.house.router();
        let addresses = FAMILIES.map(|family| SocketAddr::new(scene.router(family), SSH));
        scene.servers = addresses.map(|address| router.tcp_listener(address)).into();
        for server in &scene.servers {
            server.set_nonblocking(true).expect("a socket of our own");
        }
        Some(scene)
    }

    /// Nothing listens at the gate yet.
    pub fn without_servers(firewall: Firewall, sections: &str) -> Option<Self> {
        let config = configuration(sections);
        let home = Home::start_gated(&this_test(), House::plan(), firewall, &config)?;
        let internet = &home.house.host("internet").namespace;
        // All of these networks' addresses are the internet's (RFC 2544, RFC 5180): whoever knocks from one can also connect from it.
        internet
            .sysctl("net/ipv6/ip_nonlocal_bind", "1")
            .expect("every kernel has it");
        internet.ip("route add local 198.18.0.0/15 dev lo\nroute add local 2001:2::/48 dev lo\n");
        let knocker = Knocker::new(&home.house);
        Some(Self {
            home,
            knocker,
            servers: Vec::new(),
        })
    }

    pub fn reload(&mut self, sections: &str) {
        let reply = self.home.reload_gated(&configuration(sections));
        assert_eq!(reply["applied"], json!(true), "{reply}");
    }

    pub fn router(&self, family: Family) -> IpAddr {
        self.home.house.router_address("wan", family)
    }

    /// The internet's host with the address that its system chooses: the stock client's.
    pub fn client(&self) -> Host {
        Host {
            v4: Ipv4Addr::UNSPECIFIED,
            v6: Ipv6Addr::UNSPECIFIED,
            ..self.home.house.host("internet").clone()
        }
    }

    /// Which address that is.
    pub fn clients_address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(198, 51, 100, 1).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1).into(),
        }
    }

    /// A raw knock, as fast as it goes.
    pub fn knock(&self, source: IpAddr, sequence: &str) {
        self.knocker.knock(source, &steps(sequence));
    }

    /// What a connection attempt from an address to the gate `ssh` meets.
    pub fn connects(&self, source: IpAddr) -> Connection {
        let target = SocketAddr::new(self.knocker.target(source), SSH);
        let internet = &self.home.house.host("internet").namespace;
        let met = internet.run(|| connect(SocketAddr::new(source, 0), target, Duration::from_secs(2)));
        // Nobody waits in a listener's queue until it is full.
        for server in &self.servers {
            while server.accept().is_ok() {}
        }
        met.unwrap_or_else(|error| panic!("{source} to {target}: {error}"))
    }

    pub fn gets_in(&self, source: IpAddr) -> bool {
        self.connects(source) == Connection::Accepted
    }

    /// Who is listed where, but for the control gate, with the seconds that are left.
    pub fn list(&self) -> Vec<(String, IpAddr, Option<u64>)> {
        let reply = self.home.daemon.must("gate_list", &json!({}));
        let entries = reply["entries"].as_array().expect("a list").iter();
        let read = |entry: &Value| {
            let word = |key: &str| {
                entry[key]
                    .as_str()
                    .unwrap_or_else(|| panic!("no {key}: {entry}"))
                    .to_owned()
            };
            let address = word("address");
            // A network is listed by its first address.
            let address = address.split('/').next().unwrap_or_default();
            let address = address.parse().unwrap_or_else(|error| panic!("{address}: {error}"));
            (word("gate"), address, entry["expires"].as_u64())
        };
        entries.map(read).filter(|(gate, ..)| gate != "control").collect()
    }

    pub fn listed(&self) -> BTreeSet<(IpAddr, String)> {
        let list = self.list().into_iter();
        list.map(|(gate, address, _)| (address, gate)).collect()
    }

    pub fn is_listed(&self, source: IpAddr) -> bool {
        self.listed()
            .iter()
            .any(|(address, gate)| *address == source && gate == "ssh")
    }

    /// Waits until all packets that were sent before have been dealt with.
    pub fn settle(&self) {
        for family in FAMILIES {
            let source = somebody(family);
            self.knocker.knock(source, &[CONTROL]);
            let listed = || {
                let reply = self.home.daemon.must("gate_list", &json!({ "gate": "control" }));
                reply.to_string().contains(&source.to_string())
            };
            assert!(within(SOON, listed), "{family}: the control knock opens nothing");
        }
    }

    /// The table's sets whose names begin so, with the number of their elements and their size.
    pub fn sets(&self, beginning: &str) -> Vec<(String, usize, u64)> {
        self.home.house.router().nft_sets("lanward", beginning)
    }

    pub fn log_lines(&self, text: &str) -> Vec<String> {
        let log = self.home.daemon.log();
        log.lines()
            .filter(|line| line.contains(text))
            .map(str::to_owned)
            .collect()
    }
}

fn configuration(sections: &str) -> String {
    let control = gate("control", 2299, "") + &knock("control_knock", "control", &CONTROL.to_string(), "", "");
    format!("config lanward 'lanward'\n\nconfig lan_only 'lan_only'\n\toption enabled '0'\n{control}{sections}")
}

/// An address that nobody has had in this process.
pub fn somebody(family: Family) -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    match family {
        Family::V4 => Ipv4Addr::from_bits(0xc612_0000 + number).into(),
        // Each in a network of its own.
        Family::V6 => {
            let network = u128::from(number & 0xffff) << 64;
            Ipv6Addr::from_bits((0x2001_0002_u128 << 96) + network + u128::from(number)).into()
        }
    }
}
