//! Our object: calls of it, and what it tells its subscribers.

use super::{status, Answer, Listener, Purpose, Session, MAX_OPEN, WEB_SESSION};
use crate::blobmsg;
use crate::system::ubus::frame::{Attributes, Builder, Header, Message, TooLong, Type};
use crate::system::ubus::server::Incoming;
use crate::system::ubus::{Call, CallId, Status};
use serde_json::{Map, Value};
use tokio::time::Instant;

impl Session {
    pub(super) fn added(&mut self, answer: &Answer, status: Status, now: Instant) {
        let name = self.object.name;
        match (status, answer.object, answer.object_type) {
            (Status::Ok, Some(id), Some(_)) => {
                self.connection.id = Some(id);
                self.incoming.push_back(Incoming::Up);
                self.set_up(now);
            }
            (Status::Ok, ..) => self.fail(format!("ubusd does not understand the methods of '{name}'")),
            (status, ..) => self.fail(format!(
                "ubusd does not let us publish '{name}': {status}; the name is taken, or {}",
                crate::report::ACL
            )),
        }
    }

    pub(super) fn invoke(&mut self, message: &Message, now: Instant) {
        let attributes = message.parse();
        let Some(object) = attributes.object else { return };
        if Some(object) == self.connection.id {
            return self.called(message.header, object, &attributes);
        }
        let (Some(name), Ok(data)) = (attributes.method, blobmsg::decode(attributes.data.unwrap_or_default())) else {
            return;
        };
        let name = text(name);
        if self.connection.listener == Listener::Id(object) {
            return self.event(name, data, now);
        }
        let Some(path) = self.subscription_of(object) else {
            return;
        };
        if attributes.no_reply != Some(true) {
            self.send(status(message.header, object, Status::Ok).finish());
        }
        self.incoming.push_back(Incoming::Notification { path, name, data });
    }

    fn called(&mut self, header: Header, object: u32, attributes: &Attributes<'_>) {
        // Only a notification wants no answer, and this object is subscribed to nothing.
        if attributes.no_reply == Some(true) {
            return;
        }
        match self.check(attributes) {
            Ok((method, arguments)) => {
                self.serial += 1;
                let id = CallId {
                    peer: header.peer,
                    sequence: header.sequence,
                    object,
                    serial: self.serial,
                };
                self.connection.open.push(id);
                let (user, group) = (
                    attributes.user.unwrap_or_default(),
                    attributes.group.unwrap_or_default(),
                );
                let call = Call {
                    id,
                    method,
                    arguments,
                    user: text(user),
                    group: text(group),
                };
                self.incoming.push_back(Incoming::Call(call));
            }
            Err(refusal) => self.send(status(header, object, refusal).finish()),
        }
    }

    fn check(&self, attributes: &Attributes<'_>) -> Result<(&'static str, Map<String, Value>), Status> {
        if self.connection.leaving {
            return Err(Status::NotFound);
        }
        if self.connection.open.len() >= MAX_OPEN {
            return Err(Status::NoMemory);
        }
        let method = attributes.method.ok_or(Status::InvalidArgument)?;
        let method = std::str::from_utf8(method).map_err(|_| Status::MethodNotFound)?;
        let arguments = blobmsg::decode(attributes.data.unwrap_or_default());
        // An unknown method is that, whatever its arguments are.
        let arguments =
            arguments.or_else(|_| self.object.check(method, &Map::new()).and(Err(Status::InvalidArgument)))?;
        // Not by `remove`: to take from a tree is 4 KB of a router's program.
        let mut own = Map::new();
        for (name, value) in arguments {
            if name != WEB_SESSION {
                own.insert(name, value);
            }
        }
        let arguments = own;
        let method = self.object.check(method, &arguments)?;
        Ok((method.name, arguments))
    }

    pub(in crate::system::ubus) fn answer(&mut self, id: CallId, result: Result<&Map<String, Value>, Status>) {
        let Some(index) = self.connection.open.iter().position(|open| *open == id) else {
            return;
        };
        self.connection.open.remove(index);
        let header = Header {
            kind: Type::Status,
            sequence: id.sequence,
            peer: id.peer,
        };
        let reply = result.map(|data| {
            Builder::new(Type::Data, id.sequence, id.peer)
                .object(id.object)
                .data(data)
                .finish()
        });
        let outcome = match reply {
            Ok(Ok(message)) => {
                self.send(Ok(message));
                Status::Ok
            }
            Ok(Err(TooLong)) => Status::UnknownError,
            Err(refusal) => refusal,
        };
        self.send(status(header, id.object, outcome).finish());
    }

    pub(super) fn subscribers(&mut self, attributes: &Attributes<'_>) {
        let (Some(active), true) = (attributes.active, attributes.object == self.connection.id) else {
            return;
        };
        if self.is_up() && self.connection.subscribers != active {
            self.connection.subscribers = active;
            self.incoming.push_back(Incoming::Subscribers(active));
        }
    }

    pub(in crate::system::ubus) fn notify(&mut self, name: &str, data: &Map<String, Value>) {
        let (Some(id), true) = (self.connection.id, self.connection.subscribers) else {
            return;
        };
        let sequence = self.next_sequence();
        let message = Builder::new(Type::Notify, sequence, id)
            .object(id)
            .method(name)
            .data(data)
            .no_reply()
            .finish();
        // One that is too long is lost, as any other may be; the connection is not worth it.
        if message.is_ok() {
            self.send(message);
        }
    }

    /// Refuses what is not answered, takes the object away and asks for a last sign: what is sent right before hanging up may get lost.
    pub(in crate::system::ubus) fn leave(&mut self, deadline: Instant) {
        for id in self.connection.open.clone() {
            self.answer(id, Err(Status::UnknownError));
        }
        self.connection.leaving = true;
        if let Some(id) = self.connection.id {
            let sequence = self.next_sequence();
            self.send(Builder::new(Type::RemoveObject, sequence, 0).object(id).finish());
        }
        self.request(Purpose::Leave, 0, deadline, |sequence| {
            Builder::new(Type::Ping, sequence, 0)
        });
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
