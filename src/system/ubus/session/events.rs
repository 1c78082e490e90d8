//! Events that we listen to and objects that we are subscribed to.

use super::{Listener, Purpose, Session, Subscription, EVENTS, OBJECT_ADDED, SETUP};
use crate::gather::Gather;
use crate::system::ubus::frame::{Attributes, Builder, Type};
use crate::system::ubus::server::Incoming;
use crate::system::ubus::Status;
use serde_json::{Map, Value};
use tokio::time::Instant;

impl Session {
    pub(in crate::system::ubus) fn listen(&mut self, pattern: &str, now: Instant) {
        if self.patterns.insert(pattern.to_owned()) {
            self.catch_up(now, |session, listener| {
                session.register(listener, pattern.to_owned(), now);
            });
        }
    }

    pub(in crate::system::ubus) fn subscribe(&mut self, path: &str, now: Instant) {
        if self.subscriptions.contains_key(path) {
            return;
        }
        self.subscriptions.insert(path.to_owned(), Subscription::default());
        self.catch_up(now, |session, listener| {
            session.register(listener, OBJECT_ADDED.to_owned(), now);
            session.add_subscriber(path.to_owned(), now);
        });
    }

    /// Does now what [`Self::set_up`] would have done.
    fn catch_up(&mut self, now: Instant, act: impl FnOnce(&mut Self, u32)) {
        match self.connection.listener {
            Listener::Id(listener) => act(self, listener),
            Listener::Asked => {}
            Listener::None => self.set_up(now),
        }
    }

    pub(super) fn set_up(&mut self, now: Instant) {
        if !self.is_up() || (self.patterns.is_empty() && self.subscriptions.is_empty()) {
            return;
        }
        self.connection.listener = Listener::Asked;
        self.request(Purpose::AddListener, 0, now + SETUP, |sequence| {
            Builder::new(Type::AddObject, sequence, 0)
        });
    }

    /// First the event, then the look-up: between them no object can appear unseen.
    pub(super) fn listening(&mut self, listener: Option<u32>, status: Status, now: Instant) {
        let Some(listener) = listener else {
            return self.fail(format!("ubusd gave us no object for events: {status}"));
        };
        self.connection.listener = Listener::Id(listener);
        let mut patterns = self.patterns.clone();
        if !self.subscriptions.is_empty() {
            patterns.insert(OBJECT_ADDED.to_owned());
        }
        for pattern in patterns {
            self.register(listener, pattern, now);
        }
        let paths: Vec<String> = self.subscriptions.keys().cloned().gathered();
        for path in paths {
            self.add_subscriber(path, now);
        }
    }

    fn register(&mut self, listener: u32, pattern: String, now: Instant) {
        let listener = i32::from_be_bytes(listener.to_be_bytes());
        let mut data = Map::new();
        data.insert("object".to_owned(), Value::from(listener));
        data.insert("pattern".to_owned(), Value::from(pattern.as_str()));
        self.request(Purpose::Listen { pattern }, EVENTS, now + SETUP, |sequence| {
            Builder::new(Type::Invoke, sequence, EVENTS)
                .object(EVENTS)
                .method("register")
                .data(&data)
        });
    }

    pub(super) fn refused(&mut self, what: &str, status: Status) {
        if status != Status::Ok {
            self.incoming.push_back(Incoming::Refused {
                what: what.to_owned(),
                status,
            });
        }
    }

    fn add_subscriber(&mut self, path: String, now: Instant) {
        self.request(Purpose::AddSubscriber { path }, 0, now + SETUP, |sequence| {
            Builder::new(Type::AddObject, sequence, 0)
        });
    }

    pub(super) fn find(&mut self, path: String, subscriber: Option<u32>, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(&path) else {
            return;
        };
        if subscriber.is_none() {
            return self.fail("ubusd gave us no object for notifications");
        }
        subscription.id = subscriber;
        let name = path.clone();
        self.request(Purpose::Find { path }, 0, now + SETUP, |sequence| {
            Builder::new(Type::Lookup, sequence, 0).path(&name)
        });
    }

    pub(super) fn subscribe_to(&mut self, path: &str, target: u32, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(path) else {
            return;
        };
        let Some(id) = subscription.id else { return };
        // ubusd does not notice a repeated subscription: everything would come twice.
        if subscription.target == Some(target) {
            return;
        }
        subscription.target = Some(target);
        self.request(
            Purpose::Subscribe {
                path: path.to_owned(),
                target,
            },
            0,
            now + SETUP,
            |sequence| Builder::new(Type::Subscribe, sequence, 0).object(id).target(target),
        );
    }

    pub(super) fn subscribed(&mut self, path: &str, target: u32, status: Status) {
        if status == Status::Ok {
            self.incoming.push_back(Incoming::Subscribed { path: path.to_owned() });
            return;
        }
        if let Some(subscription) = self
            .subscriptions
            .get_mut(path)
            .filter(|known| known.target == Some(target))
        {
            subscription.target = None;
            // "Not found" is also the answer for an object that has gone again; its return is an event.
            self.refused(path, status);
        }
    }

    pub(super) fn target_gone(&mut self, attributes: &Attributes<'_>) {
        let of = |known: &&mut Subscription| known.id == attributes.object && known.target == attributes.target;
        if let Some(subscription) = self.subscriptions.values_mut().find(of) {
            subscription.target = None;
        }
    }

    pub(super) fn subscription_of(&self, object: u32) -> Option<String> {
        self.subscriptions
            .iter()
            .find(|(_, known)| known.id == Some(object))
            .map(|(path, _)| path.clone())
    }

    pub(super) fn event(&mut self, name: String, data: Map<String, Value>, now: Instant) {
        if name == OBJECT_ADDED {
            let path = data
                .get("path")
                .and_then(Value::as_str)
                .filter(|path| self.subscriptions.contains_key(*path));
            let id = data
                .get("id")
                .and_then(Value::as_i64)
                .and_then(|id| i32::try_from(id).ok());
            if let (Some(path), Some(id)) = (path.map(str::to_owned), id) {
                self.subscribe_to(&path, u32::from_be_bytes(id.to_be_bytes()), now);
            }
        }
        if self.patterns.iter().any(|pattern| matches(pattern, &name)) {
            self.incoming.push_back(Incoming::Event { name, data });
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == name, |prefix| name.starts_with(prefix))
}
