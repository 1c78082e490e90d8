//! The loop: wait, handle, perform. The only place that waits.

mod flows;
mod keys;
mod ledger;
mod relays;
mod table;

use crate::check;
use crate::event::{Action, Event, Netifd, Now, Survey, Texts, Wake};
use crate::gate::Heard;
use crate::gather::Gather;
use crate::nft::text;
use crate::report;
use crate::ruleset::{gate, spa};
use crate::state::State;
use crate::system::alarm::Alarm;
use crate::system::clock::{self, Clock};
use crate::system::conntrack::Conntrack;
use crate::system::keeper::{self, Contents, File, Files, Keeper, Lost};
use crate::system::links;
use crate::system::nflog::{self, Nflog};
use crate::system::nftables::{Change, Monitor, Nftables};
use crate::system::relays::Clients;
use crate::system::router;
use crate::system::storage::{self, Durability};
use crate::system::ubus::{Bus, CallError, Incoming, Object, Status, Ticket};
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{signal, SignalKind};

/// The state directory's files that the daemon writes itself, and not its keeper.
pub const KEPT: [&str; 3] = [ledger::FILE, ledger::ASIDE, keys::SEEN];

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// UCI files.
    pub config_dir: PathBuf,
    /// The bus.
    pub ubus_socket: PathBuf,
    /// Outlives a reboot.
    pub state_dir: PathBuf,
    /// In RAM: outlives the daemon only.
    pub run_dir: PathBuf,
    /// What came with the package.
    pub share_dir: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            config_dir: "/etc/config".into(),
            ubus_socket: "/var/run/ubus/ubus.sock".into(),
            state_dir: "/etc/lanward".into(),
            run_dir: "/var/run/lanward".into(),
            share_dir: "/usr/share/lanward".into(),
        }
    }
}

impl Paths {
    /// The applied table as nft script; fw4's include takes it from here.
    #[must_use]
    pub fn script(&self) -> PathBuf {
        self.run_dir.join("ruleset.nft")
    }

    fn run_state(&self) -> PathBuf {
        self.run_dir.join("switch.json")
    }

    /// Reads everything that the configuration is made of.
    #[must_use]
    pub fn texts(&self) -> Texts {
        let Ok(texts) = self.texts_by(|file| Ok::<_, std::convert::Infallible>(keeper::read(&self.config_dir, file)));
        texts
    }

    /// The same, with another way to the UCI files.
    fn texts_by<E>(&self, mut read: impl FnMut(File) -> Result<Contents, E>) -> Result<Texts, E> {
        Ok(Texts {
            lanward: read(File::Lanward)?,
            firewall: read(File::Firewall)?,
            network: read(File::Network)?,
            time_zone: clock::time_zone(),
            run_state: storage::read(&self.run_state()).ok().flatten(),
            profiles: storage::read(&self.share_dir.join("profiles.json")).ok().flatten(),
            no_copies: None,
        })
    }
}

/// Why the daemon ended without being told to.
#[derive(Debug)]
pub enum Failure {
    /// It could not start.
    Start {
        /// What it could not do without.
        what: &'static str,
        /// What the system says.
        why: String,
    },
    /// The keeper is gone. Once the daemon has started, nothing else but a signal ends it; what is enforced stays.
    Keeper(Lost),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start { what, why } => write!(f, "cannot start: {what}: {why}"),
            Self::Keeper(lost) => write!(f, "{lost}; what is enforced stays, the daemon has to be started anew"),
        }
    }
}

impl std::error::Error for Failure {}

fn starting<T, E: std::fmt::Display>(what: &'static str, result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| Failure::Start {
        what,
        why: error.to_string(),
    })
}

/// Runs until SIGTERM or SIGINT, as the user that the process is of. `keeper` touches the files that this user may not.
///
/// # Errors
/// See [`Failure`].
pub fn run(paths: Paths, keeper: Option<Keeper>) -> Result<(), Failure> {
    // Who cannot open the files and the bus would take the router for one without devices and put that into the table's place; and tokio panics
    // without its descriptors for signals. So before anything else it is asked whether there are enough.
    let held: std::io::Result<Vec<_>> = (0..DESCRIPTORS / 2).map(|_| UnixStream::pair()).collect();
    starting("descriptors", held.map(drop))?;
    let runtime = starting(
        "runtime",
        // No thread beside: see `system::relays::Errand`.
        tokio::runtime::Builder::new_current_thread().enable_all().build(),
    )?;
    let ended = runtime.block_on(async {
        let mut daemon = Daemon::start(paths, keeper)?;
        let ended = daemon.serve().await;
        // Last words get lost if the connection is closed under them.
        daemon.bus.close().await;
        ended
    });
    // Nobody waits for names that are still being resolved.
    runtime.shutdown_background();
    ended
}

struct Daemon {
    paths: Paths,
    files: Files,
    /// Nothing works without the files: then all that follows is left undone.
    lost: Option<Lost>,
    clock: Clock,
    state: State,
    bus: Bus,
    bus_is_up: bool,
    /// The question to netifd that is not answered yet, and whether to ask again then.
    netifd: Option<(Ticket, bool)>,
    nftables: Nftables,
    /// Opened when it is asked first.
    conntrack: Option<Conntrack>,
    monitor: Monitor,
    alarm: Alarm,
    /// `None` where the kernel cannot copy packets to us; then nobody tells who comes and goes at the gates.
    nflog: Option<Nflog>,
    links: links::Reader,
    watcher: links::Watcher,
    writing: Option<ledger::Writing>,
    clients: Clients,
    leaving: bool,
}

/// File descriptors that it must be able to have when it starts: some twenty stay open, without relays.
const DESCRIPTORS: usize = 32;

const NETIFD: &str = "network.interface";

impl Daemon {
    fn start(paths: Paths, keeper: Option<Keeper>) -> Result<Self, Failure> {
        let mut bus = Bus::new(
            &paths.ubus_socket,
            Object {
                name: report::OBJECT,
                methods: report::METHODS,
            },
        );
        bus.subscribe(NETIFD);
        Ok(Self {
            clock: Clock::start(),
            state: State::default(),
            bus,
            bus_is_up: false,
            netifd: None,
            nftables: starting("nftables", Nftables::open())?,
            conntrack: None,
            monitor: starting("nftables notifications", Monitor::open())?,
            alarm: starting("timer", Alarm::new())?,
            links: starting("rtnetlink", links::Reader::open())?,
            watcher: starting("rtnetlink notifications", links::Watcher::open())?,
            nflog: None,
            writing: None,
            clients: Clients::new(&paths.run_dir),
            leaving: false,
            files: starting("keeper", Files::new(&paths.config_dir, keeper))?,
            lost: None,
            paths,
        })
    }

    async fn serve(&mut self) -> Result<(), Failure> {
        let mut terminate = starting("signals", signal(SignalKind::terminate()))?;
        let mut interrupt = starting("signals", signal(SignalKind::interrupt()))?;
        let mut hang_up = starting("signals", signal(SignalKind::hangup()))?;
        // In the system's words: nix's are 10 KB more.
        starting(
            "signals",
            SigSet::from(Signal::SIGHUP)
                .thread_unblock()
                .map_err(std::io::Error::from),
        )?;
        self.step(Event::Started).await;
        while !self.leaving {
            let deadline = self.state.next_deadline().map(|deadline| self.clock.instant(deadline));
            // In this order: what protects comes before what asks, so that a caller that never stops cannot hold it up. What is due comes
            // before its reasons: a program that changes nftables all the time would put the look at the table off for ever.
            let event = tokio::select! {
                biased;
                _ = terminate.recv() => Some(Event::Terminate),
                _ = interrupt.recv() => Some(Event::Terminate),
                lost = self.files.lost() => self.lose(lost),
                () = self.alarm.at(deadline) => Some(Event::Deadline),
                change = self.monitor.next() => self.changed(change),
                _ = hang_up.recv() => Some(Event::Wake(Wake::Config)),
                () = self.watcher.next() => Some(Event::Wake(Wake::Links)),
                heard = next_copies(self.nflog.as_mut()) => copied(heard),
                result = written(self.writing.as_mut()) => self.committed(result),
                news = self.clients.next() => Some(relays::told(news)),
                incoming = self.bus.next() => self.incoming(incoming).await,
            };
            if let Some(event) = event {
                self.step(event).await;
            }
        }
        self.lost.take().map_or(Ok(()), |lost| Err(Failure::Keeper(lost)))
    }

    /// Handles one event and everything that follows from it, depth first: a chain of steps ends before the next one begins.
    async fn step(&mut self, event: Event) {
        let mut queue: VecDeque<Action> = self.state.handle(event, self.now()).into();
        while let Some(action) = queue.pop_front() {
            let event = self.perform(action).await;
            if self.lost.is_some() {
                return;
            }
            let Some(event) = event else { continue };
            for action in self.state.handle(event, self.now()).into_iter().rev() {
                queue.push_front(action);
            }
        }
    }

    /// Has the kernel copy packets to us, if it does not yet.
    fn listen(&mut self) -> Result<(), String> {
        if self.nflog.is_none() {
            let nflog = Nflog::open(gate::GROUP, spa::SNAPLEN).map_err(|error| error.to_string())?;
            self.nflog = Some(nflog);
        }
        Ok(())
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    /// Our own transactions wake us, too; they are told by the port of the socket that made them.
    fn changed(&self, change: Change) -> Option<Event> {
        let program = match change {
            Change::Generation { port_id, .. } if port_id == self.nftables.port_id() => return None,
            Change::Generation { process, .. } => Some(process),
            Change::Lost => None,
        };
        Some(Event::Wake(Wake::Nftables(program)))
    }

    async fn incoming(&mut self, incoming: Incoming) -> Option<Event> {
        match incoming {
            Incoming::Up => {
                self.bus_is_up = true;
                Some(Event::Wake(Wake::BusUp))
            }
            Incoming::Down(reason) => {
                self.bus_is_up = false;
                self.netifd = None;
                Some(Event::Wake(Wake::BusDown(reason)))
            }
            Incoming::Call(call) => Some(Event::Call {
                id: call.id,
                method: call.method.to_string(),
                arguments: call.arguments,
            }),
            Incoming::Answer { ticket, result } => {
                let (_, again) = self.netifd.take_if(|(asked, _)| *asked == ticket)?;
                if again {
                    self.ask_netifd();
                }
                let links = self.links.read().await.map_err(|error| error.to_string());
                let netifd = result.map_or_else(|error| Netifd::Silent(silence(&error)), Netifd::Says);
                Some(Event::Surveyed(Box::new(Survey { netifd, links })))
            }
            Incoming::Notification { .. } | Incoming::Subscribed { .. } => Some(Event::Wake(Wake::Netifd)),
            Incoming::Refused { what, status } => {
                log::warn!("ubusd does not let us listen to {what}: {status}; {}", report::ACL);
                None
            }
            Incoming::Subscribers(_) | Incoming::Event { .. } => None,
        }
    }

    fn ask_netifd(&mut self) {
        self.netifd = match self.netifd.take() {
            _ if !self.bus_is_up => None,
            Some((ticket, _)) => Some((ticket, true)),
            None => Some((self.bus.call(NETIFD, "dump", Map::new()), false)),
        };
    }

    async fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::ReadConfig(call) => match self.paths.texts_by(|file| self.files.read(file)) {
                Ok(texts) => {
                    let no_copies = self.listen().err();
                    Some(Event::Configured(Box::new(Texts { no_copies, ..texts }), call))
                }
                Err(lost) => self.lose(lost),
            },
            Action::Survey => {
                // The kernel answers at once, netifd when it likes: what is new in the kernel does not wait for it.
                self.ask_netifd();
                let links = self.links.read().await.map_err(|error| error.to_string());
                Some(Event::Surveyed(Box::new(Survey {
                    netifd: Netifd::NotAsked,
                    links,
                })))
            }
            Action::Apply(table) => Some(Event::Applied(
                self.nftables.apply(&table).map_err(|error| error.to_string()),
            )),
            Action::Verify(table) => Some(Event::Verified(self.verify(&table))),
            Action::Switch { element, then } => Some(Event::Switched {
                result: self.switch(element),
                then,
            }),
            Action::Cut { scope, then } => {
                let (flows, error) = self.cut(*scope).await;
                Some(Event::Cut { flows, error, then })
            }
            Action::Preview { scope, call } => Some(Event::Previewed {
                result: self.preview(*scope).await,
                call,
            }),
            Action::Save { enabled, then } => match self.files.save(enabled) {
                Ok(result) => Some(Event::Saved { result, then }),
                Err(lost) => self.lose(lost),
            },
            Action::Pause { seconds, call } => Some(Event::Paused {
                seconds,
                result: self.pause(seconds),
                call,
            }),
            Action::Read { call, reply, table } => Some(Event::Read {
                result: self.reading(table.as_deref()),
                call,
                reply,
            }),
            Action::Look(table) => Some(Event::Looked(self.reading(Some(&table)))),
            Action::Edit { table, edits, then } => Some(Event::Edited {
                result: self.nftables.edit(&table, &edits).map_err(|error| error.to_string()),
                then,
            }),
            Action::ReadKeys(files) => match self.read_keys(files) {
                Ok(event) => Some(event),
                Err(lost) => self.lose(lost),
            },
            Action::KeepSeen(bytes) => {
                self.keep_seen(&bytes);
                None
            }
            Action::MakeKey(new) => Some(self.make_key(new)),
            Action::RemoveKey { name, path, call } => Some(self.remove_key(name, path, call)),
            Action::Sessions(interest) => Some(Event::Sessions(self.sessions(&interest))),
            Action::FindEndpoint {
                devices,
                inner,
                gate,
                seconds,
                call,
            } => Some(Event::Endpoint {
                inner,
                endpoint: flows::endpoint(&devices, inner),
                gate,
                seconds,
                call,
            }),
            Action::Diagnose { call } => Some(Event::Diagnosed {
                facts: Box::new(self.diagnose().await),
                call,
            }),
            Action::LoadLedger => Some(self.load_ledger()),
            Action::SetLedgerAside => Some(self.set_ledger_aside()),
            Action::ReadLedger(asked) => Some(self.read_ledger(asked)),
            Action::ForgetSubjects(subjects) => Some(self.forget_subjects(subjects)),
            Action::KeepCounts(bytes) => self.keep_counts(&bytes),
            Action::CommitLedger {
                bytes,
                unix,
                call,
                waits,
            } => self.commit_ledger(bytes, unix, call, waits).await,
            Action::EraseLedger(call) => Some(self.erase_ledger(call).await),
            Action::Relay(config, what) => {
                self.clients.perform(&config, what);
                None
            }
            Action::EndRelays => {
                self.clients.end().await;
                None
            }
            Action::ReadPublicKeys(paths) => Some(Self::public_keys(paths)),
            Action::MakeRelayKey { path, call } => {
                self.clients.make_key(path, &self.paths.state_dir, call);
                None
            }
            Action::WriteScript(table) => {
                let written = self.keep(
                    &self.paths.script(),
                    text::script(&table).as_bytes(),
                    Durability::Memory,
                );
                self.note("script for the firewall's include", written)
            }
            Action::WriteRunState(state) => {
                let path = self.paths.run_state();
                let written = match state {
                    Some(state) => self.keep(&path, state.as_bytes(), Durability::Memory),
                    None => storage::remove(&path),
                };
                let noted = written.as_ref().map(drop).map_err(ToString::to_string);
                self.note("note about the switch", written);
                Some(Event::Noted(noted))
            }
            Action::Answer(call, result) => {
                match result {
                    Ok(Value::Object(fields)) => self.bus.answer(call, Ok(&fields)),
                    Ok(_) => self.bus.answer(call, Err(Status::UnknownError)),
                    Err(status) => self.bus.answer(call, Err(status)),
                }
                None
            }
            Action::Notify(name, data) => {
                if let Value::Object(fields) = data {
                    self.bus.notify(name, &fields);
                }
                None
            }
            Action::Log(level, line) => {
                log::log!(level, "{line}");
                None
            }
            Action::LogLevel(level) => {
                log::set_max_level(level);
                None
            }
            Action::Exit => {
                self.leaving = true;
                None
            }
        }
    }

    fn lose(&mut self, lost: Lost) -> Option<Event> {
        self.leaving = true;
        self.lost = Some(lost);
        None
    }

    fn keep(&self, path: &Path, bytes: &[u8], durability: Durability) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.paths.run_dir)?;
        storage::replace(path, bytes, durability)
    }

    /// A file in the run directory that could not be written changes nothing that is enforced now.
    fn note(&self, what: &str, result: std::io::Result<()>) -> Option<Event> {
        if let Err(error) = result {
            log::warn!("{what} in {}: {error}", self.paths.run_dir.display());
        }
        None
    }

    async fn diagnose(&mut self) -> check::Facts {
        let links = self.links.read().await.unwrap_or_default();
        let known = self.state.known(self.now());
        // A keeper that is lost is noticed by itself.
        let upnpd = self
            .files
            .read(File::Upnpd)
            .unwrap_or_else(|lost| Err(lost.to_string()));
        router::facts(&self.paths, upnpd, &mut self.nftables, links, known)
    }
}

/// Why netifd says nothing, and where it may be ubusd that refuses. What a user may not call at all, it may not see either.
fn silence(error: &CallError) -> String {
    match error {
        CallError::Status(Status::PermissionDenied) => {
            format!("ubusd does not let us call {NETIFD} dump: {error}; {}", report::ACL)
        }
        CallError::NoObject(_) if !nix::unistd::geteuid().is_root() => {
            format!("{error}, or ubusd does not let us see it; {}", report::ACL)
        }
        _ => error.to_string(),
    }
}

async fn next_copies(nflog: Option<&mut Nflog>) -> nflog::Heard {
    match nflog {
        Some(nflog) => nflog.next().await,
        None => std::future::pending().await,
    }
}

async fn written(writing: Option<&mut ledger::Writing>) -> Result<(), String> {
    match writing {
        Some(writing) => writing.done().await,
        None => std::future::pending().await,
    }
}

fn copied(heard: nflog::Heard) -> Option<Event> {
    match heard {
        nflog::Heard::Packets(packets) => Some(Event::Heard(packets.iter().filter_map(Heard::of).gathered())),
        // What they would have told, the next look at the lists shows.
        nflog::Heard::Lost => {
            log::debug!("nflog: copies were lost");
            None
        }
    }
}

/// How long a command waits for the daemon.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for what looks through a tunnel, or has another program do something.
pub const LONG_CALL: Duration = Duration::from_secs(60);
