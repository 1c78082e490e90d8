//! Our own requests and what is answered to them.

use super::{Answer, Purpose, Question, Request, Session, MAX_REQUESTS};
use crate::blobmsg;
use crate::system::ubus::frame::{Builder, Message, Type};
use crate::system::ubus::server::Incoming;
use crate::system::ubus::{CallError, Status, Ticket};
use serde_json::{Map, Value};
use std::io;
use tokio::time::Instant;

impl Session {
    pub(super) fn data(&mut self, message: &Message) {
        let Some(request) = self.connection.asked(message.header) else {
            return;
        };
        let attributes = message.parse();
        let answer = &mut request.answer;
        answer.object = answer.object.or(attributes.object);
        answer.object_type = answer.object_type.or(attributes.object_type);
        if let (None, Some(list)) = (&answer.data, attributes.data) {
            answer.data = Some(blobmsg::decode(list).map_err(|_| "a reply that is no blobmsg"));
        }
    }

    pub(super) fn status(&mut self, message: &Message, now: Instant) {
        let is_answered = |request: &Request| request.is_answered_by(message.header);
        let Some(index) = self.connection.requests.iter().position(is_answered) else {
            return;
        };
        let request = self.connection.requests.remove(index);
        let status = message.parse().status.map_or(Status::UnknownError, Status::from);
        self.complete(request, status, now);
    }

    fn complete(&mut self, request: Request, status: Status, now: Instant) {
        let Request {
            purpose,
            answer,
            deadline,
            ..
        } = request;
        match purpose {
            Purpose::AddObject => self.added(&answer, status, now),
            Purpose::AddListener => self.listening(answer.object, status, now),
            Purpose::AddSubscriber { path } => self.find(path, answer.object, now),
            Purpose::Listen { pattern } => self.refused(&pattern, status),
            Purpose::Find { path } => {
                if let (Status::Ok, Some(target)) = (status, answer.object) {
                    self.subscribe_to(&path, target, now);
                }
            }
            Purpose::Subscribe { path, target } => self.subscribed(&path, target, status),
            Purpose::LookUp { ticket, question } => match (status, answer.object) {
                // No object without a status: there is one, and we may not see it.
                (Status::Ok, None) | (Status::NotFound, _) => {
                    self.answered(ticket, Err(CallError::NoObject(question.path)));
                }
                (Status::Ok, Some(object)) => self.ask(ticket, object, &question, deadline),
                (status, _) => self.answered(ticket, Err(CallError::Status(status))),
            },
            Purpose::Call { ticket } => {
                let result = match (status, answer.data) {
                    (Status::Ok, None) => Ok(Value::Null),
                    (Status::Ok, Some(Ok(map))) => Ok(Value::Object(map)),
                    (Status::Ok, Some(Err(what))) => Err(CallError::Protocol(what)),
                    (status, _) => Err(CallError::Status(status)),
                };
                self.answered(ticket, result);
            }
            Purpose::Leave => self.fail("we are leaving"),
        }
    }

    fn answered(&mut self, ticket: Ticket, result: Result<Value, CallError>) {
        self.incoming.push_back(Incoming::Answer { ticket, result });
    }

    pub(in crate::system::ubus) fn call(
        &mut self,
        path: &str,
        method: &str,
        arguments: Map<String, Value>,
        deadline: Instant,
    ) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let hindrance = match () {
            () if !self.is_up() => Some("there is no connection"),
            () if self.connection.requests.len() >= MAX_REQUESTS => Some("too many calls are under way"),
            () => None,
        };
        if let Some(hindrance) = hindrance {
            self.answered(ticket, Err(CallError::NoBus(io::Error::other(hindrance))));
            return ticket;
        }
        let question = Box::new(Question {
            path: path.to_owned(),
            method: method.to_owned(),
            arguments,
        });
        self.request(Purpose::LookUp { ticket, question }, 0, deadline, |sequence| {
            Builder::new(Type::Lookup, sequence, 0).path(path)
        });
        ticket
    }

    fn ask(&mut self, ticket: Ticket, object: u32, question: &Question, deadline: Instant) {
        let sequence = self.next_sequence();
        let message = Builder::new(Type::Invoke, sequence, object)
            .object(object)
            .method(&question.method)
            .data(&question.arguments)
            .finish();
        if message.is_err() {
            return self.answered(ticket, Err(CallError::Status(Status::InvalidArgument)));
        }
        let purpose = Purpose::Call { ticket };
        self.connection.requests.push(Request {
            sequence,
            peer: object,
            deadline,
            purpose,
            answer: Answer::default(),
        });
        self.send(message);
    }
}
