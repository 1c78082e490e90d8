//! A stand-in for netifd: the object `network.interface` with what a house has, and its word when something changes.

use lanward::system::ubus::client::Client;
use lanward::system::ubus::{Bus, Incoming};
use lanward::system::ubus::{Method, Object, Status};
use serde_json::{json, Map, Value};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};

const OBJECT: Object = Object {
    name: "network.interface",
    methods: &[Method {
        name: "dump",
        arguments: &[],
    }],
};

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// On the bus until dropped.
#[derive(Debug)]
pub struct Netifd {
    socket: PathBuf,
    news: Option<UnboundedSender<Value>>,
    thread: Option<JoinHandle<()>>,
}

impl Netifd {
    /// Puts the object on the bus, and waits until it is there. `dump` is what its method answers.
    ///
    /// # Errors
    /// That it does not get there.
    pub fn start(socket: &Path, dump: Value) -> io::Result<Self> {
        let (news, from_house) = unbounded_channel();
        let (up, comes_up) = channel();
        let path = socket.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(serve(Bus::new(path, OBJECT), dump, from_house, || {
                let _ = up.send(());
            }));
        });
        let netifd = Self {
            socket: socket.to_owned(),
            news: Some(news),
            thread: Some(thread),
        };
        match comes_up.recv_timeout(PATIENCE) {
            Ok(()) => Ok(netifd),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("network.interface does not get on the bus"))
            }
        }
    }

    /// From now on answers with `dump`, and tells so as netifd does: subscribers of the object by a notification, listeners by an event.
    ///
    /// # Panics
    /// If the bus is gone.
    pub fn change(&self, dump: Value) {
        self.news
            .as_ref()
            .expect("until dropped")
            .send(dump)
            .expect("the thread runs until then");
        let mut client = Client::connect(&self.socket, PATIENCE).expect("the bus is there");
        let event = json!({ "id": "network.interface", "data": { "action": "ifup", "interface": "wan" } });
        let Value::Object(event) = event else {
            unreachable!("written so above")
        };
        client
            .invoke(EVENTS, "send", &event, |_| {})
            .expect("ubusd takes events from root");
    }
}

/// ubusd's object for events.
const EVENTS: u32 = 1;

impl Drop for Netifd {
    fn drop(&mut self) {
        drop(self.news.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(mut bus: Bus, mut dump: Value, mut news: UnboundedReceiver<Value>, up: impl Fn()) {
    loop {
        tokio::select! {
            biased;
            changed = news.recv() => {
                let Some(changed) = changed else { return bus.close().await };
                dump = changed;
                let mut what = Map::new();
                what.insert("interface".to_owned(), json!("wan"));
                bus.notify("interface.update", &what);
            }
            incoming = bus.next() => match incoming {
                Incoming::Up => up(),
                Incoming::Call(call) => bus.answer(call.id, dump.as_object().ok_or(Status::NoData)),
                _ => {}
            }
        }
    }
}
