//! `/rig/NAME`: what a test in a browser wants to know from packets, and to break. Each takes an object and answers with one.

use super::{lock, session, Objects, Rpc};
use crate::home::Home;
use crate::house::Family;
use crate::probe::{Connection, Fate, Way};
use crate::relay::{Greets, Relay, Setup, Software, Target, PORT, USER};
use crate::servers::{Keys, Server};
use crate::session::Session;
use lanward::system::ubus::call_once;
use lanward::system::ubus::{CallError, Status};
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
const IMAPS: u16 = 993;
const RDP: u16 = 3389;

/// The house, and what tests have begun in it.
pub struct Rig {
    /// Before the house, which they live in.
    flows: Mutex<BTreeMap<String, Session>>,
    mail: Mutex<Option<(Server, Keys)>>,
    relay: Mutex<Option<(Relay, Target)>>,
    objects: Objects,
    home: Arc<Mutex<Home>>,
    socket: PathBuf,
}

/// What a call gets.
struct Asked(Map<String, Value>);

impl Asked {
    fn text<'a>(&'a self, name: &str, otherwise: &'a str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or(otherwise)
    }

    fn port(&self, name: &str) -> Option<u16> {
        u16::try_from(self.0.get(name)?.as_u64()?).ok()
    }

    fn family(&self) -> Family {
        if self.0.get("family").and_then(Value::as_u64) == Some(6) {
            Family::V6
        } else {
            Family::V4
        }
    }

    /// `{ "from": HOST, "to": HOST, "family": 4 or 6 }`, or by `"way": "in"` the one from the internet to `lan`.
    fn way<'a>(&self, home: &'a Home) -> Way<'a> {
        let way = match self.text("way", "") {
            "in" => home.house.way_in(self.family()),
            _ => {
                let (from, to) = (self.text("from", "lan"), self.text("to", "internet"));
                let way = home.house.way(from, to).over(self.family());
                match to {
                    "router" => way.through(home.house.router_address("wan", self.family())),
                    _ => way,
                }
            }
        };
        way.source_port(self.port("source_port").unwrap_or(0))
    }
}

impl Rig {
    pub fn new(home: Arc<Mutex<Home>>, objects: Objects, socket: PathBuf) -> Self {
        Self {
            flows: Mutex::default(),
            mail: Mutex::default(),
            relay: Mutex::default(),
            objects,
            home,
            socket,
        }
    }

    /// Does one thing.
    ///
    /// # Errors
    /// In words, why not.
    pub fn call(&self, name: &str, body: &[u8], rpc: &Rpc) -> Result<Value, String> {
        let body: Value = if body.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(body).map_err(|error| error.to_string())?
        };
        let asked = Asked(body.as_object().cloned().ok_or("no object")?);
        // What is wrong with the house is a panic; whoever asked should hear it.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.act(name, &asked, rpc)));
        done.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.unwrap_or_else(|| format!("{name} failed; see the test's own output")))
        })
    }

    fn act(&self, name: &str, asked: &Asked, rpc: &Rpc) -> Result<Value, String> {
        match name {
            // { port, … } → { fate: "answered" | "arrived" | "lost" }
            "udp" => {
                let home = lock(&self.home);
                let fate = asked.way(&home).try_udp(asked.port("port").ok_or("no port")?)?;
                Ok(json!({ "fate": match fate {
                    Fate::Answered => "answered",
                    Fate::Arrived => "arrived",
                    Fate::Lost => "lost",
                } }))
            }
            // { port, … } → { met: "accepted" | "reset" | "unreachable" | "silent" }; at the router's WAN address unless `to` says otherwise
            "tcp" => {
                let home = lock(&self.home);
                let port = asked.port("port").ok_or("no port")?;
                Ok(json!({ "met": match asked.way(&home).tcp(port) {
                    Connection::Accepted => "accepted",
                    Connection::Reset => "reset",
                    Connection::Unreachable(..) => "unreachable",
                    Connection::Silent => "silent",
                } }))
            }
            // { name, do: "start" | "look" | "stop", port, … } → { goes_on }
            "flow" => self.flow(asked),
            // { from, program: "knock" | "fwknop", arguments } → { status, text }; in the arguments HOST is the router's WAN address
            "run" => self.run(asked),
            // { from, family }: a mail program looks into its mailbox, and proves by that who it is.
            "mail" => self.mail(asked),
            // { do: "start" | "look" | "authorize" | "down" | "up" | "anew", lines, script } → { host, port, user, host_key, target, key }: a relay server
            // in the internet, for a desk that speaks RDP; once in a house
            "relay" => self.relay(asked),
            // { do: "kill" | "start" | "log" } → { log }
            "daemon" => self.daemon(asked),
            // { do: "delete" | "look" } → { there }
            "table" => {
                let home = lock(&self.home);
                if asked.text("do", "") == "delete" {
                    home.house
                        .router()
                        .nft("add table inet lanward\ndelete table inet lanward\n");
                }
                let tables = home.house.router().must("nft", &["list", "tables"], "");
                Ok(json!({ "there": tables.lines().any(|line| line == "table inet lanward") }))
            }
            // { object, method, arguments } → { status, reply }: past every session, as root's `ubus call`
            "bus" => {
                let arguments = asked
                    .0
                    .get("arguments")
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                Ok(self.bus(
                    asked.text("object", "lanward"),
                    asked.text("method", "status"),
                    &arguments,
                ))
            }
            // { name, text } → { text }; with a text it becomes that, as if somebody had edited the file and called the init script
            "config" => self.config(asked),
            // { hints }: what luci-rpc knows
            "hosts" => {
                self.objects
                    .set_hints(asked.0.get("hints").cloned().unwrap_or_default());
                Ok(json!({}))
            }
            // { sid } → { done }: the time in which that session could confirm is over
            "expire" => {
                let sid = asked.text("sid", "");
                let arguments = json!({ "ubus_rpc_session": sid })
                    .as_object()
                    .cloned()
                    .unwrap_or_default();
                let done = rpc.expire(sid) || self.bus("uci", "rollback", &arguments)["status"] == 0;
                // LuCI's own note, by which every page asks whether all is well until its time is over, too.
                let note = json!({ "ubus_rpc_session": session::NOBODY, "values": { "rollback": {} } });
                self.bus("session", "set", note.as_object().unwrap_or(&Map::new()));
                Ok(json!({ "done": done }))
            }
            // { sid }: that session is over
            "log_out" => {
                let sid = asked.text("sid", "");
                rpc.end_session(sid);
                let arguments = json!({ "ubus_rpc_session": sid })
                    .as_object()
                    .cloned()
                    .unwrap_or_default();
                self.bus("session", "destroy", &arguments);
                Ok(json!({}))
            }
            _ => Err(format!("/rig/{name}: no such thing")),
        }
    }

    fn bus(&self, object: &str, method: &str, arguments: &Map<String, Value>) -> Value {
        match call_once(&self.socket, object, method, arguments, PATIENCE) {
            Ok(reply) => json!({ "status": 0, "reply": reply }),
            Err(CallError::Status(status)) => json!({ "status": status.code() }),
            Err(_) => json!({ "status": Status::NotFound.code() }),
        }
    }

    fn flow(&self, asked: &Asked) -> Result<Value, String> {
        let name = asked.text("name", "flow");
        let mut flows = lock(&self.flows);
        match asked.text("do", "look") {
            "start" => {
                let home = lock(&self.home);
                let port = asked.port("port").ok_or("no port")?;
                let flow = asked.way(&home).udp_sessions(port, 1, Duration::from_millis(2));
                flows.insert(name.to_owned(), flow);
                Ok(json!({ "goes_on": true }))
            }
            "stop" => {
                flows.remove(name);
                Ok(json!({ "goes_on": false }))
            }
            _ => {
                let flow = flows.get(name).ok_or_else(|| format!("no flow {name}"))?;
                Ok(json!({ "goes_on": flow.goes_on() }))
            }
        }
    }

    fn run(&self, asked: &Asked) -> Result<Value, String> {
        let program = asked.text("program", "");
        if !["knock", "fwknop"].contains(&program) {
            return Err(format!("{program}: not one of the clients"));
        }
        let home = lock(&self.home);
        let router = home.house.router_address("wan", Family::V4).to_string();
        let words = asked.0.get("arguments").and_then(Value::as_array);
        let words = words.ok_or("no arguments")?.iter().filter_map(Value::as_str);
        let words: Vec<&str> = words.map(|word| if word == "HOST" { &router } else { word }).collect();
        let host = home.house.host(asked.text("from", "internet"));
        // The clients bind no address: they come from the one that the way has.
        let (way, from) = (format!("{router}/32 dev to-wan0"), host.address(Family::V4));
        host.namespace.ip(&format!("route replace {way} src {from}\n"));
        let output = host.namespace.output(program, &words, "");
        host.namespace.ip(&format!("route del {way}\n"));
        let output = output.map_err(|error| error.to_string())?;
        let text = [output.stdout, output.stderr].concat();
        Ok(json!({ "status": output.status.code(), "text": String::from_utf8_lossy(&text) }))
    }

    fn mail(&self, asked: &Asked) -> Result<Value, String> {
        let home = lock(&self.home);
        let mut mail = lock(&self.mail);
        let (_, keys) = mail.get_or_insert_with(|| {
            let keys = Keys::make(&home.house);
            (Server::imaps(home.house.router(), IMAPS, &keys), keys)
        });
        let router = home.house.router_address("wan", asked.family());
        let host = home.house.host(asked.text("from", "internet"));
        keys.call(host, router).check_mail(IMAPS)?;
        Ok(json!({}))
    }

    fn relay(&self, asked: &Asked) -> Result<Value, String> {
        let home = lock(&self.home);
        let mut place = lock(&self.relay);
        let desk = home.house.host("lan");
        let target = SocketAddr::new(desk.address(Family::V4), RDP);
        let (relay, _) = place.get_or_insert_with(|| {
            (
                Relay::outside(&home.house, 1, Setup::of(Software::OpenSsh)),
                Target::start(&desk.namespace, target, Greets::Rdp),
            )
        });
        match asked.text("do", "look") {
            "authorize" => {
                relay.authorize(asked.text("lines", ""));
                relay.write("lanward-relay", asked.text("script", ""), 0o700);
            }
            "down" => relay.power_off(),
            "up" => relay.power_on(),
            // As if it had been set up a second time.
            "anew" => {
                relay.new_host_key();
                relay.restart();
            }
            _ => {}
        }
        Ok(json!({
            "host": relay.address(), "port": PORT, "user": USER, "host_key": relay.host_key(), "target": target,
            "key": home.house.directory().join("state/relay_ed25519"),
        }))
    }

    fn daemon(&self, asked: &Asked) -> Result<Value, String> {
        let mut home = lock(&self.home);
        match asked.text("do", "log") {
            "kill" => home.daemon.kill9(),
            "start" => home.daemon.start_again()?,
            _ => {}
        }
        Ok(json!({ "log": home.daemon.log() }))
    }

    fn config(&self, asked: &Asked) -> Result<Value, String> {
        let name = asked.text("name", "lanward");
        if let Some(text) = asked.0.get("text").and_then(Value::as_str) {
            lock(&self.home).reload_gated(text);
        }
        let path = super::below(&lock(&self.home).house.config_dir(), name).ok_or("no such name")?;
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        Ok(json!({ "text": text }))
    }
}
