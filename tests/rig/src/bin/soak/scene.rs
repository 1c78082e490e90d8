//! The house with everything in it that can be broken: bus, netifd, daemon, flash, clock, relay and its target.

use crate::model::{Model, Settings};
use lanward::spa::Keys;
use lanward::system::ubus::{call_once, CallError};
use lanward_rig::daemon::{program, Caller, Daemon};
use lanward_rig::flash::Flash;
use lanward_rig::home::{fw4_rules, switched_off, switched_on};
use lanward_rig::house::{Family, House};
use lanward_rig::knock::{tcp, udp, Step};
use lanward_rig::namespace::Namespace;
use lanward_rig::netifd::Netifd;
use lanward_rig::probe::within;
use lanward_rig::relay::{Greets, Relay, Setup, Software, Target, USER};
use lanward_rig::sections;
use lanward_rig::settings::Firewall;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::{json, Map, Value};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const SSH: u16 = 22;
pub const IMAPS: u16 = 993;
pub const SPA_PORT: u16 = 62_201;
/// What the tunnel opens on the relay, and leads to.
pub const DESKTOP: u16 = 3389;
/// Seconds that a knock and a key list for.
pub const SECONDS: u64 = 15;
/// What opens by knocking.
pub const SEQUENCE: [Step; 3] = [tcp(7000), tcp(8000), udp(9000)];
/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Addresses of outsiders, in each family.
pub const OUTSIDERS: u16 = 6;

/// A process beside the daemon. Gone when dropped, and with the thread that started it.
pub struct Part(Child);

impl Part {
    pub fn start(program: &Path, words: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("it can be started"))
    }

    pub fn signal(&self, what: Signal) {
        let _ = kill(Pid::from_raw(i32::try_from(self.0.id()).expect("a process")), what);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How something is that works, stands still or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Up,
    Frozen,
    Gone,
}

/// How the relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Fine,
    Cut,
    Ended,
    Frozen,
}

/// Dropped in this order.
pub struct Scene {
    pub subscribers: Vec<Part>,
    pub daemon: Daemon,
    pub target: Option<Target>,
    _servers: [Target; 2],
    pub relay: Relay,
    pub netifd: Option<Netifd>,
    pub bus: Option<Part>,
    pub flash: Flash,
    pub house: House,
    pub keys: Keys,
    pub daemon_is: Health,
    pub bus_is: Health,
    pub relay_is: Line,
    pub wan_is_in: bool,
    pub has_fw4: bool,
    pub is_full: bool,
    /// Whether netifd says of the second way out what is so, and whether the daemon knows.
    pub second_is_there: bool,
    pub has_second: bool,
    pub has_clock: bool,
    pub clock: i64,
}

/// A program that is built beside this one.
pub fn beside(name: &str) -> PathBuf {
    std::env::current_exe()
        .expect("the kernel knows it")
        .with_file_name(name)
}

pub fn call(socket: &Path, method: &str, arguments: &Value, patience: Duration) -> Result<Value, CallError> {
    let nothing = Map::new();
    let arguments = arguments.as_object().unwrap_or(&nothing);
    call_once(socket, "lanward", method, arguments, patience)
}

fn caller(socket: &Path) -> Caller {
    let socket = socket.to_owned();
    Box::new(move |_, method, arguments| {
        call(&socket, method, arguments, PATIENCE).map_err(|error| match error {
            CallError::Status(status) => status.code(),
            _ => 10,
        })
    })
}

/// Somebody outside.
pub fn outsider(family: Family, number: u16) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(203, 0, 113, 10 + u8::try_from(number).expect("few")).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0x10 + number).into(),
    }
}

impl Scene {
    /// `None` where the machine does not allow namespaces.
    pub fn start(model: &Model, faketime: Option<String>) -> Option<Self> {
        Namespace::new().ok()?;
        let mut house = House::plan().with_second_wan().build().expect("a house");
        let mail = json!({ "type": "rule", "name": "Allow-IMAPS", "src": "wan", "proto": "tcp", "dest_port": IMAPS.to_string(), "target": "ACCEPT" });
        house.set_firewall(Firewall::default().with(mail));
        let place = house.directory().to_owned();
        let flash = Flash::mount(place.join("state"), 1024);
        let has_clock = faketime.is_some();
        if let Some(library) = faketime {
            fs::write(place.join("preload"), library).expect("our own");
            fs::write(place.join("clock"), "+0").expect("our own");
        }
        let socket = place.join("ubus.sock");
        let bus = start_bus(&place);
        let netifd = Netifd::start(&socket, house.interface_dump()).expect("netifd's stand-in");
        let daemon = Daemon::start(&house, &program(), caller(&socket)).unwrap_or_else(|why| panic!("{why}"));
        let relay = Relay::outside(&house, 0, Setup::of(Software::OpenSsh));
        let internet = &house.host("internet").namespace;
        for number in 0..OUTSIDERS {
            for (family, length) in [(Family::V4, 32), (Family::V6, 128)] {
                internet.ip(&format!("addr add {}/{length} dev lo\n", outsider(family, number)));
            }
        }
        let _ = internet.sysctl("net/ipv6/conf/all/keep_addr_on_down", "1");
        let any = |port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let servers = [SSH, IMAPS].map(|port| Target::start(house.router(), any(port), Greets::Ssh));
        daemon.must(
            "spa_keygen",
            &json!({ "name": "laptop", "host": "router", "access": "tcp/22" }),
        );
        let keys = Keys::parse(&fs::read(place.join("state/laptop.key")).expect("it was made")).expect("a key");
        let mut scene = Self {
            subscribers: Vec::new(),
            daemon,
            target: None,
            _servers: servers,
            relay,
            netifd: Some(netifd),
            bus: Some(bus),
            flash,
            house,
            keys,
            daemon_is: Health::Up,
            bus_is: Health::Up,
            relay_is: Line::Fine,
            wan_is_in: true,
            has_fw4: true,
            is_full: false,
            second_is_there: true,
            has_second: true,
            has_clock,
            clock: 0,
        };
        scene.open_target();
        scene.house.configure(&scene.config(model).replace(
            "config relay 'office'\n\toption enabled '1'",
            "config relay 'office'\n\toption enabled '0'",
        ));
        scene.daemon.must("reload", &json!({}));
        scene.daemon.must("relay_keygen", &json!({ "name": "office" }));
        let files = scene.daemon.must("relay_files", &json!({ "name": "office" }));
        let text = |name: &str| files[name].as_str().unwrap_or_default().to_owned();
        scene.relay.write("lanward-relay", &text("script"), 0o700);
        scene.relay.authorize(&text("authorized_keys"));
        scene.house.configure(&scene.config(model));
        let reply = scene.daemon.must("reload", &json!({}));
        assert_eq!(
            (&reply["applied"], &reply["problems"]),
            (&json!(true), &json!([])),
            "{reply}"
        );
        let rules = fw4_rules(&scene.house);
        scene.house.publish(rules);
        Some(scene)
    }

    /// The whole of `/etc/config/lanward`.
    pub fn config(&self, model: &Model) -> String {
        let Settings {
            level,
            window,
            forget,
            refuse,
        } = model.settings;
        let state = self.house.directory().join("state");
        let level = format!("option level '{}'", level.0);
        let gate = format!(
            "list service 'tcp:{SSH}'\noption window '{window}'\noption forget '{forget}'\noption refuse '{refuse}'"
        );
        let seconds = format!("option seconds '{SECONDS}'");
        let relay = format!(
            "option enabled '1'\noption host '{}'\noption user '{USER}'\noption key '{}/relay_ed25519'\noption host_key '{}'\n\
             option remote_port '{DESKTOP}'\noption target '{}'\noption check '10'\noption retry '1'\noption retry_max '5'",
            self.relay.address(),
            state.display(),
            self.relay.host_key(),
            self.house.host("lan").socket(Family::V4, DESKTOP),
        );
        [
            if model.saved {
                switched_on(&level)
            } else {
                switched_off(&level)
            },
            sections::gate(&gate),
            sections::witness(&format!("option port '{IMAPS}'")),
            sections::knock(&SEQUENCE, &format!("option timeout '5'\n{seconds}")),
            sections::spa(&state.join("laptop.key"), &seconds),
            sections::ledger(),
            sections::section("relay 'office'", &relay),
        ]
        .concat()
    }

    pub fn socket(&self) -> PathBuf {
        self.house.directory().join("ubus.sock")
    }

    /// Whether an answer of the daemon's can be expected.
    pub fn answers(&self) -> bool {
        self.daemon_is == Health::Up && self.bus_is == Health::Up
    }

    /// Calls, as often as it takes until the object is on the bus; how long that took.
    pub fn ask(&self, method: &str, arguments: &Value) -> Result<(Value, Duration), String> {
        let began = Instant::now();
        loop {
            match call(&self.socket(), method, arguments, PATIENCE) {
                Ok(reply) => return Ok((reply, began.elapsed())),
                Err(CallError::NoObject(_) | CallError::NoBus(_)) if began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(format!("{method} {arguments}: {error:?} after {:?}", began.elapsed())),
            }
        }
    }

    pub fn open_target(&mut self) {
        let lan = self.house.host("lan");
        let address = lan.socket(Family::V4, DESKTOP);
        self.target = Some(Target::start(&lan.namespace, address, Greets::Rdp));
    }

    pub fn start_bus(&mut self) {
        self.bus = Some(start_bus(self.house.directory()));
    }

    pub fn signal_bus(&self, what: Signal) {
        if let Some(bus) = &self.bus {
            bus.signal(what);
        }
    }

    pub fn start_netifd(&mut self) {
        self.netifd = Netifd::start(&self.socket(), self.house.interface_dump()).ok();
        self.second_is_there = true;
    }

    pub fn set_clock(&mut self, seconds: i64) {
        let place = self.house.directory();
        // Whole at each look.
        fs::write(place.join("clock.new"), format!("{seconds:+}")).expect("our own");
        fs::rename(place.join("clock.new"), place.join("clock")).expect("our own");
        self.clock = seconds;
    }

    /// The way back over IPv6, which goes with a device that goes down.
    pub fn repair_routes(&self) {
        let internet = &self.house.host("internet").namespace;
        for inside in ["fd77::/64", "fd08::/64", "fd78::/64"] {
            internet.ip(&format!("route replace {inside} via 2001:db8:1::2\n"));
        }
    }

    pub fn has_table(&self) -> bool {
        let tables = self.house.router().must("nft", &["list", "tables"], "");
        tables.lines().any(|line| line == "table inet lanward")
    }
}

fn start_bus(place: &Path) -> Part {
    let socket = place.join("ubus.sock");
    let _ = fs::remove_file(&socket);
    let bus = Part::start(&beside("lanward-broker"), &[&socket.display().to_string()]);
    assert!(within(PATIENCE, || socket.exists()), "no bus");
    bus
}
