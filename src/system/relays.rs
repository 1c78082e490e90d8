//! The relays' SSH clients: the only programs that the daemon starts. No shell is ever between.
//!
//! Everything that takes time (a client's life, a look through its tunnel) is a future in one list; [`Clients::next`] drives them all and gives back what they
//! have told, one by one. There is one thread, so what they share needs no lock.

mod client;
mod connections;
mod process;
mod session;

pub use process::Errand;
pub use session::public_line;

use crate::config;
use crate::relay::{Do, Heard, Look};
use session::Live;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{poll_fn, Future};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// The longest that the daemon's end waits for its clients'. procd waits five seconds for all of it.
const LAST: Duration = Duration::from_millis(2500);

/// What was heard.
#[derive(Debug)]
pub enum News {
    /// Of a relay.
    Relay {
        /// Its name.
        name: String,
        /// What.
        heard: Heard,
    },
    /// A key was made, or was there; whether made, and its public line.
    Key {
        /// Its file.
        path: String,
        /// Or why there is none.
        result: Result<(bool, String), String>,
        /// Who asked.
        call: crate::event::CallId,
    },
}

/// What the futures have in common.
struct Shared {
    news: RefCell<VecDeque<News>>,
    clients: RefCell<client::Known>,
    /// A directory for each session, in RAM.
    directory: PathBuf,
}

impl Shared {
    fn tell(&self, name: &str, heard: Heard) {
        self.news.borrow_mut().push_back(News::Relay {
            name: name.to_string(),
            heard,
        });
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// All clients, looks and checks that are under way.
pub struct Clients {
    shared: Rc<Shared>,
    tasks: Vec<Task>,
    live: Vec<Rc<Live>>,
}

impl Clients {
    /// None yet. What an earlier daemon's clients have left in the run directory is removed.
    #[must_use]
    pub fn new(run_dir: &Path) -> Self {
        let directory = run_dir.join("relay");
        // It may not be there.
        let _ = std::fs::remove_dir_all(&directory);
        Self {
            shared: Rc::new(Shared {
                news: RefCell::default(),
                clients: RefCell::default(),
                directory,
            }),
            tasks: Vec::new(),
            live: Vec::new(),
        }
    }

    /// Begins what is to be done for a relay.
    pub fn perform(&mut self, config: &config::Relay, what: Do) {
        let shared = Rc::clone(&self.shared);
        let name = config.name.clone();
        match what {
            Do::Spawn { session, purpose } => {
                let live = Rc::new(Live::new(session));
                self.live.push(Rc::clone(&live));
                let config = config.clone();
                self.begin(async move {
                    let exit = session::run(&shared, &config, purpose, &live).await;
                    live.gone.set(true);
                    shared.tell(&name, Heard::Exited { session, exit });
                });
            }
            Do::End { session } => {
                if let Some(live) = self.find(session) {
                    live.ending.set(true);
                }
            }
            Do::Check { session, patience } => {
                let Some(live) = self.find(session) else { return };
                let config = config.clone();
                self.begin(async move {
                    let sight = connections::through(&live, &config, patience).await;
                    shared.tell(&name, Heard::Checked { session, sight });
                });
            }
            Do::Look(look) => {
                let config = config.clone();
                self.begin(async move {
                    let answers = match look {
                        Look::Relay => connections::is_ssh(&config.host, config.port).await,
                        Look::Target => connections::greets(&config).await,
                        Look::Outside => connections::accepts(&config.host, config.remote_port).await,
                    };
                    shared.tell(&name, Heard::Looked { look, answers });
                });
            }
        }
    }

    /// Makes a key in this file, unless it is there.
    pub fn make_key(&mut self, path: String, state_dir: &Path, call: crate::event::CallId) {
        let (shared, state_dir) = (Rc::clone(&self.shared), state_dir.to_path_buf());
        self.begin(async move {
            let result = client::make_key(Path::new(&path), &state_dir).await;
            shared.news.borrow_mut().push_back(News::Key { path, result, call });
        });
    }

    fn begin(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.push(Box::pin(task));
    }

    fn find(&self, session: u64) -> Option<Rc<Live>> {
        self.live.iter().find(|live| live.session == session).cloned()
    }

    /// The next that is heard; for ever, if nothing is under way.
    pub async fn next(&mut self) -> News {
        poll_fn(|context| {
            if let Some(news) = self.shared.news.borrow_mut().pop_front() {
                return Poll::Ready(news);
            }
            self.tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
            self.live.retain(|live| !live.gone.get());
            let first = self.shared.news.borrow_mut().pop_front();
            first.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Ends all clients and waits until they are gone.
    pub async fn end(&mut self) {
        for live in &self.live {
            live.ending.set(true);
        }
        let gone = async {
            while !self.live.is_empty() {
                self.next().await;
            }
        };
        // Whoever is left then is ended with the process: see `process::spawn`.
        let _ = tokio::time::timeout(LAST, gone).await;
        self.tasks.clear();
    }
}
