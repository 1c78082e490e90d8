//! procd's object `service`, as its sources say it behaves: what starts and restarts an instance, what only changes its data, and which changes run
//! which scripts.

use crate::router::Inside;
use lanward::system::ubus::{Bus, Incoming, Kind, Method, Object, Status};
use lanward_rig::probe::Patience;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Which procd it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 22.03 and 23.05: data tell nobody that they changed.
    Silent,
    /// 25.12: the firewall hears of changed data by itself, and again from whoever tells it as before.
    Telling,
}

/// A triggered script runs this long after its event, and once for all events until then. (On a router a second.)
const DELAY: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(60);

const OBJECT: Object = Object {
    name: "service",
    methods: &[
        Method {
            name: "set",
            arguments: &[
                ("name", Kind::String),
                ("script", Kind::String),
                ("instances", Kind::Table),
                ("triggers", Kind::Array),
                ("data", Kind::Table),
            ],
        },
        Method {
            name: "delete",
            arguments: &[("name", Kind::String)],
        },
        Method {
            name: "list",
            arguments: &[("name", Kind::String), ("verbose", Kind::Bool)],
        },
        Method {
            name: "get_data",
            arguments: &[("name", Kind::String), ("type", Kind::String)],
        },
        Method {
            name: "signal",
            arguments: &[("name", Kind::String)],
        },
        Method {
            name: "event",
            arguments: &[("type", Kind::String), ("data", Kind::Table)],
        },
    ],
};

/// On the bus until dropped; its processes end with it.
pub struct Procd {
    state: Arc<Mutex<State>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

struct State {
    era: Era,
    inside: Inside,
    services: BTreeMap<String, Service>,
    /// Scripts to run, and when.
    due: Vec<(Instant, Vec<String>)>,
    delay: Duration,
    running: bool,
    starts: usize,
    signals: usize,
    stopping: bool,
}

struct Service {
    instance: Value,
    triggers: Value,
    program: Vec<u8>,
    process: Option<Process>,
    /// It goes when its process has ended.
    deleted: bool,
}

struct Process {
    nsenter: Child,
    pid: Pid,
}

impl Procd {
    pub fn start(socket: &Path, era: Era, inside: Inside) -> Self {
        let state = Arc::new(Mutex::new(State {
            era,
            inside,
            services: BTreeMap::new(),
            due: Vec::new(),
            delay: DELAY,
            running: false,
            starts: 0,
            signals: 0,
            stopping: false,
        }));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (up, comes_up) = channel();
        let (path, shared) = (socket.to_owned(), Arc::clone(&state));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let bus = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut bus = Bus::new(path, OBJECT);
                tokio::select! {
                    _ = stopped => {}
                    () = serve(&mut bus, &shared, &up) => {}
                }
                bus.close().await;
            });
        });
        let shared = Arc::clone(&state);
        let scripts = std::thread::spawn(move || run_what_is_due(&shared));
        match comes_up.recv_timeout(PATIENCE) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!("procd does not get on the bus"),
        }
        Self {
            state,
            stop: Some(stop),
            threads: vec![bus, scripts],
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The daemon's process, as it is called outside.
    pub fn pid(&self) -> Option<Pid> {
        let state = self.state();
        state
            .services
            .get("lanward")?
            .process
            .as_ref()
            .map(|process| process.pid)
    }

    pub fn command(&self) -> Value {
        self.state().services["lanward"].instance["command"].clone()
    }

    /// How often a process was started, and how often one was sent SIGHUP.
    pub fn starts(&self) -> usize {
        self.state().starts
    }

    pub fn signals(&self) -> usize {
        self.state().signals
    }

    /// From now on scripts wait so long.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub fn config_changed(&self, package: &str) {
        self.state().event("config.change", &json!({ "package": package }));
    }

    /// Waits until nothing is left to run, and a little more.
    pub fn settle(&self) {
        let end = Instant::now() + PATIENCE;
        let mut quiet = Patience::of(DELAY * 2);
        while !quiet.is_over() {
            let state = self.state();
            if state.running || !state.due.is_empty() {
                quiet = Patience::of(DELAY * 2);
            }
            drop(state);
            assert!(Instant::now() < end, "scripts run each other for ever");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Procd {
    fn drop(&mut self) {
        self.state().stopping = true;
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for service in self.state().services.values_mut() {
            service.end(Signal::SIGKILL);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(bus: &mut Bus, state: &Mutex<State>, up: &std::sync::mpsc::Sender<()>) {
    loop {
        match bus.next().await {
            Incoming::Up => {
                let _ = up.send(());
            }
            Incoming::Call(call) => {
                let answer = lock(state).answer(call.method, &call.arguments);
                match &answer {
                    Ok(fields) => bus.answer(call.id, Ok(fields)),
                    Err(status) => bus.answer(call.id, Err(*status)),
                }
            }
            _ => {}
        }
    }
}

/// One script at a time; the bus goes on meanwhile, as the script talks to it.
fn run_what_is_due(state: &Mutex<State>) {
    loop {
        let mut locked = lock(state);
        if locked.stopping {
            return;
        }
        locked.reap();
        let now = Instant::now();
        let next = locked.due.iter().position(|(when, _)| *when <= now);
        if let Some(index) = next {
            let (_, words) = locked.due.remove(index);
            locked.running = true;
            let inside = locked.inside.clone();
            drop(locked);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            // procd of 22.03 gives a triggered script nothing on descriptors 0 to 2.
            let closed = ["ash", "-c", "exec \"$@\" <&- >&- 2>&-", "ash"];
            inside.run(&[&closed[..], &words].concat());
            lock(state).running = false;
            continue;
        }
        drop(locked);
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl State {
    fn answer(&mut self, method: &str, arguments: &Map<String, Value>) -> Result<Map<String, Value>, Status> {
        let name = arguments.get("name").and_then(Value::as_str);
        let name_of = |name: Option<&str>| name.map(str::to_owned).ok_or(Status::InvalidArgument);
        self.reap();
        match method {
            "set" => self.set(name_of(name)?, arguments),
            "delete" => self.delete(&name_of(name)?)?,
            "signal" => self.signal(&name_of(name)?)?,
            "event" => {
                let kind = arguments.get("type").and_then(Value::as_str);
                let data = arguments.get("data").ok_or(Status::InvalidArgument)?;
                self.event(kind.ok_or(Status::InvalidArgument)?, data);
            }
            "list" => return Ok(self.list(name)),
            _ => return Ok(self.get_data(name, arguments.get("type").and_then(Value::as_str))),
        }
        Ok(Map::new())
    }

    fn set(&mut self, name: String, arguments: &Map<String, Value>) {
        let instances = arguments.get("instances").and_then(Value::as_object);
        let instance = instances
            .and_then(|instances| instances.get("instance1"))
            .cloned()
            .unwrap_or_default();
        let data = arguments.get("data").and_then(Value::as_object);
        assert!(
            data.is_none_or(Map::is_empty),
            "data of the service can end procd of 23.05 and older"
        );
        let files = instance["file"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let program = files
            .map(|file| self.inside.root.join(file.trim_start_matches('/')))
            .flat_map(|path| fs::read(path).unwrap_or_default())
            .collect();
        let mut next = Service {
            triggers: arguments.get("triggers").cloned().unwrap_or_default(),
            instance,
            program,
            process: None,
            deleted: false,
        };
        // instance_init() tells of the data of every message, changed or not (service/instance.c).
        let told = next.instance["data"].as_object().is_some_and(|data| !data.is_empty());
        if let Some(mut old) = self.services.remove(&name) {
            if old.deleted || old.unlike(&next) {
                old.end(Signal::SIGTERM);
            }
            next.process = old.process.take();
        }
        if next.process.is_none() {
            next.process = self.spawn(&next.instance["command"]);
        }
        self.services.insert(name, next);
        if told {
            self.data_changed();
        }
    }

    fn spawn(&mut self, command: &Value) -> Option<Process> {
        let words: Vec<&str> = command.as_array()?.iter().filter_map(Value::as_str).collect();
        let mut nsenter = self.inside.spawn(&words);
        self.starts += 1;
        let end = Instant::now() + PATIENCE;
        let children = format!("/proc/{0}/task/{0}/children", nsenter.id());
        while Instant::now() < end {
            let text = fs::read_to_string(&children).unwrap_or_default();
            if let Some(pid) = text.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
                let pid = Pid::from_raw(pid);
                return Some(Process { nsenter, pid });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = nsenter.kill();
        let _ = nsenter.wait();
        None
    }

    fn delete(&mut self, name: &str) -> Result<(), Status> {
        let service = self.services.get_mut(name).ok_or(Status::NotFound)?;
        service.deleted = true;
        service.triggers = Value::Null;
        if let Some(process) = &service.process {
            let _ = kill(process.pid, Signal::SIGTERM);
        }
        self.reap();
        Ok(())
    }

    fn signal(&mut self, name: &str) -> Result<(), Status> {
        let service = self.services.get(name).ok_or(Status::NotFound)?;
        let process = service.process.as_ref().ok_or(Status::NotFound)?;
        self.signals += 1;
        kill(process.pid, Signal::SIGHUP).map_err(|_| Status::NotFound)
    }

    fn list(&self, name: Option<&str>) -> Map<String, Value> {
        let asked = self
            .services
            .iter()
            .filter(|(service, _)| name.is_none_or(|name| name == *service));
        let describe = |(name, service): (&String, &Service)| {
            let running = service.process.is_some();
            (
                name.clone(),
                json!({ "instances": { "instance1": { "running": running } } }),
            )
        };
        asked.map(describe).collect()
    }

    fn get_data(&self, name: Option<&str>, kind: Option<&str>) -> Map<String, Value> {
        let mut reply = Map::new();
        for (service, Service { instance, .. }) in &self.services {
            let data = instance["data"].as_object().cloned().unwrap_or_default();
            let data: Map<String, Value> = data
                .into_iter()
                .filter(|(key, _)| kind.is_none_or(|kind| kind == key))
                .collect();
            if name.is_none_or(|name| name == service) && !data.is_empty() {
                reply.insert(service.clone(), json!({ "instance1": data }));
            }
        }
        reply
    }

    fn data_changed(&mut self) {
        if self.era == Era::Telling {
            self.later(&["/etc/init.d/firewall", "reload"]);
        }
    }

    fn event(&mut self, kind: &str, data: &Value) {
        if kind == "config.change" && data["package"] == "firewall" {
            self.later(&["/etc/init.d/firewall", "reload"]);
        }
        let mut scripts = Vec::new();
        for service in self.services.values() {
            for trigger in service.triggers.as_array().into_iter().flatten() {
                // ["config.change", ["if", ["eq", "package", NAME], ["run_script", SCRIPT, COMMAND]], DELAY]
                let (condition, then) = (&trigger[1][1], &trigger[1][2]);
                let key = condition[1].as_str().unwrap_or_default();
                if trigger[0] == kind && condition[0] == "eq" && data[key] == condition[2] && then[0] == "run_script" {
                    let words = then.as_array().into_iter().flatten().skip(1).filter_map(Value::as_str);
                    scripts.push(words.map(str::to_owned).collect::<Vec<_>>());
                }
            }
        }
        for script in scripts {
            let words: Vec<&str> = script.iter().map(String::as_str).collect();
            self.later(&words);
        }
    }

    fn later(&mut self, words: &[&str]) {
        let when = Instant::now() + self.delay;
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        match self.due.iter_mut().find(|(_, waiting)| *waiting == words) {
            Some((due, _)) => *due = when,
            None => self.due.push((when, words)),
        }
    }

    fn reap(&mut self) {
        for service in self.services.values_mut() {
            let ended = |process: &mut Process| !matches!(process.nsenter.try_wait(), Ok(None));
            if service.process.as_mut().is_some_and(ended) {
                service.process = None;
            }
        }
        let before = self.services.len();
        self.services
            .retain(|_, service| !service.deleted || service.process.is_some());
        if self.services.len() < before {
            self.data_changed();
        }
    }
}

impl Service {
    /// Whether procd restarts for the difference: for anything but data, and for what is in the files.
    fn unlike(&self, other: &Self) -> bool {
        let without_data = |instance: &Value| {
            let mut instance = instance.clone();
            if let Some(fields) = instance.as_object_mut() {
                fields.remove("data");
            }
            instance
        };
        without_data(&self.instance) != without_data(&other.instance) || self.program != other.program
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            let _ = kill(process.pid, signal);
            let _ = process.nsenter.wait();
        }
    }
}
