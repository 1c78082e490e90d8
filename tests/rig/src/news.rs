//! What the daemon tells subscribers on the bus.

use lanward::system::ubus::{Bus, Incoming, Object};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::mpsc::{channel, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A subscriber of the object `lanward`.
#[derive(Debug)]
pub struct News {
    heard: Receiver<(String, Value)>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl News {
    /// Subscribes.
    ///
    /// # Panics
    /// If there is no such object on the bus.
    #[must_use]
    pub fn subscribe(socket: &Path) -> Self {
        const OBJECT: Object = Object {
            name: "news-test",
            methods: &[],
        };
        let (says, heard) = channel();
        let (up, comes_up) = channel();
        let (end, mut ends) = tokio::sync::oneshot::channel::<()>();
        let socket = socket.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut bus = Bus::new(socket, OBJECT);
                bus.subscribe("lanward");
                loop {
                    let incoming = tokio::select! {
                        incoming = bus.next() => incoming,
                        _ = &mut ends => return bus.close().await,
                    };
                    match incoming {
                        // Only who has been told that somebody listens speaks: its answer comes after that.
                        Incoming::Subscribed { .. } => drop(bus.call("lanward", "spa_list", Map::new())),
                        Incoming::Answer { .. } => drop(up.send(())),
                        Incoming::Notification { name, data, .. } => drop(says.send((name, Value::Object(data)))),
                        _ => {}
                    }
                }
            });
        });
        comes_up
            .recv_timeout(Duration::from_secs(10))
            .expect("it is subscribed");
        Self {
            heard,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// So many notifications whose names begin with one of these, in the order in which they come; fewer, where no more come in time.
    #[must_use]
    pub fn hear(&self, beginnings: &[&str], count: usize, patience: Duration) -> Vec<(String, Value)> {
        let end = Instant::now() + patience;
        let mut heard = Vec::new();
        while heard.len() < count {
            match self.heard.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((name, data)) if beginnings.iter().any(|beginning| name.starts_with(beginning)) => {
                    heard.push((name, data));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        heard
    }
}

impl Drop for News {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
