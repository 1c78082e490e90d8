//! A house with everything running in it: the broker, netifd's facts and the daemon.

use crate::daemon::{self, Caller, Daemon};
use crate::house::{House, Plan};
use crate::namespace::Namespace;
use crate::report_line::skip;
use serde_json::{json, Value};
use std::path::Path;

/// The house and the daemon in its router. Dropped in this order: the daemon, then what it talks to, then the house.
pub struct Home {
    /// The daemon.
    pub daemon: Daemon,
    /// Where it runs.
    pub house: House,
}

/// `/etc/config/lanward` with `lan_only` switched on and these lines in its section.
#[must_use]
pub fn switched_on(options: &str) -> String {
    section("1", options)
}

/// `/etc/config/lanward` with `lan_only` switched off and these lines in its section.
#[must_use]
pub fn switched_off(options: &str) -> String {
    section("0", options)
}

fn section(enabled: &str, options: &str) -> String {
    let mut text = format!("config lanward 'lanward'\n\nconfig lan_only 'lan_only'\n\toption enabled '{enabled}'\n");
    for line in options.lines().map(str::trim).filter(|line| !line.is_empty()) {
        text.push_str(&format!("\t{line}\n"));
    }
    text
}

impl Home {
    /// Builds the house and starts everything with this `/etc/config/lanward`. `None`, and loudly so, where the machine does not allow
    /// network namespaces.
    ///
    /// # Panics
    /// If anything else is in the way.
    #[must_use]
    pub fn start(test: &str, plan: Plan, config: &str) -> Option<Self> {
        if let Err(error) = Namespace::new() {
            skip(test, &format!("no network namespaces here (root is needed): {error}"));
            return None;
        }
        let house = plan.build().unwrap_or_else(|error| panic!("no house: {error}"));
        house.configure(config);
        let caller = caller(&house.directory().join("ubus.sock"));
        let daemon = Daemon::start(&house, &daemon::program(), caller).unwrap_or_else(|why| panic!("{why}"));
        Some(Self { daemon, house })
    }

    /// Switches `lan_only` over the bus, without touching the file.
    pub fn switch(&self, enabled: Switch) -> Value {
        self.daemon.must(
            "lan_only",
            &json!({ "enabled": enabled == Switch::On, "persist": false }),
        )
    }

    /// Has netifd tell its subscribers that an interface changed.
    pub fn announce(&self) {}

    /// Writes `/etc/config/lanward` and has it read.
    pub fn reload(&self, config: &str) -> Value {
        self.house.configure(config);
        self.daemon.must("reload", &json!({}))
    }
}

/// The switch's positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Switch {
    On,
    Off,
}

fn caller(socket: &Path) -> Caller {
    let socket = socket.to_owned();
    Box::new(move |object, method, arguments| {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).map_err(|_| 4_u32)?;
        let request = json!([object, method, arguments]).to_string();
        stream.write_all(request.as_bytes()).map_err(|_| 4_u32)?;
        stream.shutdown(std::net::Shutdown::Write).map_err(|_| 4_u32)?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).map_err(|_| 4_u32)?;
        serde_json::from_str(&reply).map_err(|_| 4)
    })
}
