//! What else a router has on its bus and the pages need: procd's `service`, which hears that a configuration has become another one and has
//! the services reload, and `luci-rpc`, which knows the hosts.

use super::lock;
use crate::home::{fw4_rules, Home};
use lanward::system::ubus::{Bus, Call, Incoming, Kind, Method, Object};
use serde_json::{json, Map, Value};
use std::io;
use std::path::Path;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

const SERVICE: Object = Object {
    name: "service",
    methods: &[Method {
        name: "event",
        arguments: &[("type", Kind::String), ("data", Kind::Table)],
    }],
};
const LUCI_RPC: Object = Object {
    name: "luci-rpc",
    methods: &[Method {
        name: "getHostHints",
        arguments: &[],
    }],
};

/// How long it may take to get on the bus on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// On the bus until dropped.
pub struct Objects {
    hints: Arc<Mutex<Value>>,
    ends: Vec<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Objects {
    /// Puts them there.
    ///
    /// # Errors
    /// That they do not get there.
    pub fn start(socket: &Path, home: Arc<Mutex<Home>>) -> io::Result<Self> {
        let hints = Arc::new(Mutex::new(json!({})));
        let (due, reloads) = channel();
        let worker = std::thread::spawn(move || reload(&home, &reloads));
        let mut objects = Self {
            hints: Arc::clone(&hints),
            ends: Vec::new(),
            threads: Vec::new(),
        };
        objects.serve(socket, SERVICE, move |call| {
            announce(call, &due);
            Map::new()
        })?;
        objects.serve(socket, LUCI_RPC, move |_| {
            lock(&hints).as_object().cloned().unwrap_or_default()
        })?;
        // It ends when nothing can become due any more.
        objects.threads.push(worker);
        Ok(objects)
    }

    /// What `luci-rpc getHostHints` replies from now on.
    pub fn set_hints(&self, hints: Value) {
        *lock(&self.hints) = hints;
    }

    fn serve(
        &mut self,
        socket: &Path,
        object: Object,
        answer: impl FnMut(&Call) -> Map<String, Value> + Send + 'static,
    ) -> io::Result<()> {
        let (end, ended) = oneshot::channel();
        let (up, comes_up) = channel();
        let path = socket.to_owned();
        let name = object.name;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        self.threads.push(std::thread::spawn(move || {
            runtime.block_on(answer_calls(Bus::new(path, object), ended, &up, answer));
        }));
        self.ends.push(end);
        let is_up = comes_up.recv_timeout(PATIENCE);
        is_up.map_err(|_| io::Error::other(format!("{name} does not get on the bus")))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.ends.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

async fn answer_calls(
    mut bus: Bus,
    mut ended: oneshot::Receiver<()>,
    up: &Sender<()>,
    mut answer: impl FnMut(&Call) -> Map<String, Value>,
) {
    loop {
        tokio::select! {
            _ = &mut ended => return bus.close().await,
            incoming = bus.next() => match incoming {
                Incoming::Up => {
                    let _ = up.send(());
                }
                Incoming::Call(call) => {
                    let reply = answer(&call);
                    bus.answer(call.id, Ok(&reply));
                }
                _ => {}
            }
        }
    }
}

fn announce(call: &Call, due: &Sender<String>) {
    let (kind, data) = (call.arguments.get("type"), call.arguments.get("data"));
    let package = data.and_then(|data| data["package"].as_str());
    if let (Some("config.change"), Some(package)) = (kind.and_then(Value::as_str), package) {
        let _ = due.send(package.to_owned());
    }
}

/// What the init script does by its trigger: the daemon reads its configuration, and fw4 gets what the program has for it.
fn reload(home: &Mutex<Home>, due: &Receiver<String>) {
    let mut published: Option<Vec<Value>> = None;
    for package in due {
        if !["lanward", "firewall", "network"].contains(&package.as_str()) {
            continue;
        }
        let mut home = lock(home);
        // One that does not run reads it when it starts.
        if home.daemon.call("status", &json!({})).is_ok() {
            home.daemon.hang_up();
        }
        let rules = fw4_rules(&home.house);
        if published.as_ref() != Some(&rules) {
            home.house.publish(rules.clone());
            published = Some(rules);
        }
    }
}
