//! A house with everything running in it: the broker, netifd's facts and the daemon.

use crate::broker::Broker;
use crate::daemon::{self, Caller, Daemon};
use crate::house::{House, Plan};
use crate::namespace::Namespace;
use crate::netifd::Netifd;
use crate::sections::section;
use crate::settings::Firewall;
use lanward::system::ubus::client::call_once;
use lanward::system::ubus::{CallError, Status};
use serde_json::{json, Map, Value};
use std::path::Path;
use std::time::Duration;

/// How long a call may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The program's exit status for that.
const WRONG_CONFIGURATION: i32 = 3;

/// The house and the daemon in its router. Dropped in this order: the daemon, then what it talks to, then the house.
pub struct Home {
    /// The daemon.
    pub daemon: Daemon,
    /// netifd's stand-in.
    pub netifd: Netifd,
    /// The bus.
    pub broker: Broker,
    /// Where all that runs.
    pub house: House,
}

/// `/etc/config/lanward` with `lan_only` switched on and these lines in its section.
#[must_use]
pub fn switched_on(options: &str) -> String {
    with_switch("1", options)
}

/// `/etc/config/lanward` with `lan_only` switched off and these lines in its section.
#[must_use]
pub fn switched_off(options: &str) -> String {
    with_switch("0", options)
}

fn with_switch(enabled: &str, options: &str) -> String {
    "config lanward 'lanward'\n".to_owned()
        + &section("lan_only 'lan_only'", &format!("option enabled '{enabled}'\n{options}"))
}

impl Home {
    /// Builds the house and starts everything with this `/etc/config/lanward`. `None`, and loudly so, where the machine does not allow
    /// network namespaces.
    ///
    /// # Panics
    /// If anything else is in the way.
    #[must_use]
    pub fn start(test: &str, plan: Plan, config: &str) -> Option<Self> {
        Self::start_in(test, plan, config, |_| {})
    }

    /// As [`start`](Self::start), with gates: the firewall is this one, and fw4 gets what the program has to publish for this configuration.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_gated(test: &str, plan: Plan, firewall: Firewall, config: &str) -> Option<Self> {
        Self::start_in(test, plan, config, |house| {
            house.set_firewall(firewall);
            house.publish(fw4_rules(house));
        })
    }

    fn start_in(test: &str, plan: Plan, config: &str, prepare: impl FnOnce(&mut House)) -> Option<Self> {
        if !Namespace::can_be_made(test) {
            return None;
        }
        let mut house = plan.build().unwrap_or_else(|error| panic!("no house: {error}"));
        house.configure(config);
        prepare(&mut house);
        let socket = house.directory().join("ubus.sock");
        let broker = Broker::start(&socket).unwrap_or_else(|error| panic!("no bus: {error}"));
        let netifd = Netifd::start(&socket, house.interface_dump()).unwrap_or_else(|error| panic!("{error}"));
        let daemon = Daemon::start(&house, &daemon::program(), caller(&socket)).unwrap_or_else(|why| panic!("{why}"));
        Some(Self {
            daemon,
            netifd,
            broker,
            house,
        })
    }

    /// Switches `lan_only` over the bus, without touching the file.
    pub fn switch(&self, enabled: Switch) -> Value {
        self.daemon.must(
            "lan_only",
            &json!({ "enabled": enabled == Switch::On, "persist": false }),
        )
    }

    /// netifd learns what the house has become, and says so.
    pub fn announce(&self) {
        self.netifd.change(self.house.interface_dump());
    }

    /// Writes `/etc/config/lanward` and has it read.
    pub fn reload(&self, config: &str) -> Value {
        self.house.configure(config);
        self.daemon.must("reload", &json!({}))
    }

    /// Writes `/etc/config/lanward`, has it read, and fw4 gets what the program has to publish, as the init script does it.
    pub fn reload_gated(&mut self, config: &str) -> Value {
        let reply = self.reload(config);
        self.house.publish(fw4_rules(&self.house));
        reply
    }
}

/// What `lanward fw4-rules` has for fw4, as the init script asks for it. Where the configuration is wrong, the program says so and leaves gates out.
///
/// # Panics
/// If it prints something else.
#[must_use]
pub fn fw4_rules(house: &House) -> Vec<Value> {
    let (program, config) = (daemon::program(), house.config_dir());
    let [program, config] = [&program, &config].map(|path| path.to_str().expect("a path that can be printed"));
    let arguments = ["fw4-rules", "--config-dir", config];
    let ran = house.router().output(program, &arguments, "");
    let ran = ran.unwrap_or_else(|error| panic!("{error}"));
    let (printed, complained) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    let is_done = matches!(ran.status.code(), Some(0 | WRONG_CONFIGURATION));
    assert!(is_done, "fw4-rules: {}: {complained}", ran.status);
    let printed: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    printed["firewall"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| panic!("no array: {printed}"))
}

/// The switch's positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Switch {
    On,
    Off,
}

/// One connection for each call, as `ubus call` does it.
fn caller(socket: &Path) -> Caller {
    let socket = socket.to_owned();
    Box::new(move |object, method, arguments| {
        let nothing = Map::new();
        let arguments = arguments.as_object().unwrap_or(&nothing);
        call_once(&socket, object, method, arguments, PATIENCE).map_err(|error| match error {
            CallError::Status(status) => status.code(),
            CallError::NoObject(_) => Status::NotFound.code(),
            CallError::Timeout => Status::Timeout.code(),
            CallError::NoBus(_) | CallError::Protocol(_) => Status::ConnectionFailed.code(),
        })
    })
}
