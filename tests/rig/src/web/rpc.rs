//! `/ubus`: JSON-RPC as uhttpd-mod-ubus speaks it (`ubus.c` of openwrt/uhttpd), with rpcd's objects behind it and the bus behind those.

use super::session::Sessions;
use super::uci::{Change, Uci};
use super::{lock, session};
use lanward::system::ubus::client::{call_once, Client};
use lanward::system::ubus::{CallError, Status};
use serde_json::{json, Map, Value};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// uhttpd's script timeout.
const PATIENCE: Duration = Duration::from_secs(60);
const PARSE: (i32, &str) = (-32700, "Parse error");
const METHOD: (i32, &str) = (-32601, "Method not found");
const PARAMS: (i32, &str) = (-32602, "Invalid parameters");
const INTERNAL: (i32, &str) = (-32603, "Internal error");
const OBJECT: (i32, &str) = (-32000, "Object not found");
const ACCESS: (i32, &str) = (-32002, "Access denied");
const TIMEOUT: (i32, &str) = (-32003, "ubus request timed out");

/// rpcd's objects that are here and not on the bus.
const OWN: [&str; 3] = ["session", "uci", "file"];

/// What a call came to: a reply or none, or the status's number.
type Outcome = Result<Option<Value>, Status>;

/// uhttpd's end of the bus, and rpcd.
pub struct Rpc {
    socket: PathBuf,
    /// What the package puts into the file system.
    files: PathBuf,
    sessions: Mutex<Sessions>,
    uci: Mutex<Uci>,
}

impl Rpc {
    pub fn new(socket: &Path, config: PathBuf, files: PathBuf, acl: &Path) -> io::Result<Self> {
        Ok(Self {
            socket: socket.to_owned(),
            files,
            sessions: Mutex::new(Sessions::new(&fs::read_to_string(acl)?)?),
            uci: Mutex::new(Uci::new(config)),
        })
    }

    /// What the time brings: a configuration that nobody has confirmed goes.
    pub fn tick(&self) {
        self.roll_back(|uci| uci.is_overdue(Instant::now()));
    }

    /// The session's time to confirm is over.
    pub fn expire(&self, sid: &str) -> bool {
        self.roll_back(|uci| uci.awaits(sid))
    }

    /// The session is over.
    pub fn end_session(&self, sid: &str) {
        lock(&self.sessions).destroy(sid);
    }

    fn roll_back(&self, is_due: impl Fn(&Uci) -> bool) -> bool {
        let mut uci = lock(&self.uci);
        if !is_due(&uci) {
            return false;
        }
        let changed = uci.roll_back();
        drop(uci);
        self.tell(&changed);
        true
    }

    /// The answer to a request's body.
    pub fn answer(&self, body: &[u8]) -> Value {
        match serde_json::from_slice(body) {
            Ok(Value::Array(batch)) => batch.iter().map(|request| self.one(request)).collect(),
            Ok(request) => self.one(&request),
            Err(_) => self.one(&Value::Null),
        }
    }

    fn one(&self, request: &Value) -> Value {
        let id = request.get("id").cloned().unwrap_or(Value::Null);
        let result = if request["jsonrpc"] == "2.0" {
            match request["method"].as_str() {
                Some("call") => self.call(&request["params"]),
                Some("list") => self.list(&request["params"]),
                Some(_) => Err(METHOD),
                None => Err(PARSE),
            }
        } else {
            Err(PARSE)
        };
        match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, message)) => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
            }
        }
    }

    /// Names only: a browser asks for no more than whether there is an answer.
    fn list(&self, params: &Value) -> Result<Value, (i32, &'static str)> {
        if params.as_array().is_some_and(|patterns| !patterns.is_empty()) {
            return Err(PARAMS);
        }
        let mut client = Client::connect(&self.socket, PATIENCE).map_err(|_| INTERNAL)?;
        let found = client.lookup("").map_err(|_| INTERNAL)?;
        let names = found.into_iter().map(|found| found.path);
        Ok(OWN.iter().map(|name| (*name).to_owned()).chain(names).collect())
    }

    fn call(&self, params: &Value) -> Result<Value, (i32, &'static str)> {
        let (Some(sid), Some(object), Some(method), Some(arguments)) = (
            params[0].as_str(),
            params[1].as_str(),
            params[2].as_str(),
            params[3].as_object(),
        ) else {
            return Err(PARSE);
        };
        let is_own = OWN.contains(&object);
        if !is_own && !self.is_there(object)? {
            return Err(OBJECT);
        }
        if !lock(&self.sessions).may(sid, "ubus", object, method) {
            return Err(ACCESS);
        }
        if arguments.contains_key("ubus_rpc_session") {
            return Err(PARAMS);
        }
        let outcome = match object {
            "session" => self.session(sid, method, arguments),
            "uci" => self.uci(sid, method, arguments),
            "file" => self.file(sid, method, arguments),
            _ => self.bus(sid, object, method, arguments)?,
        };
        Ok(match outcome {
            Ok(Some(reply)) => json!([0, reply]),
            Ok(None) => json!([0]),
            Err(status) => json!([status.code()]),
        })
    }

    fn is_there(&self, object: &str) -> Result<bool, (i32, &'static str)> {
        let mut client = Client::connect(&self.socket, PATIENCE).map_err(|_| INTERNAL)?;
        let found = client.lookup(object).map_err(|_| INTERNAL)?;
        Ok(!found.is_empty())
    }

    fn bus(
        &self,
        sid: &str,
        object: &str,
        method: &str,
        arguments: &Map<String, Value>,
    ) -> Result<Outcome, (i32, &'static str)> {
        let mut arguments = arguments.clone();
        arguments.insert("ubus_rpc_session".to_owned(), json!(sid));
        match call_once(&self.socket, object, method, &arguments, PATIENCE) {
            Ok(Value::Null) => Ok(Ok(None)),
            Ok(reply) => Ok(Ok(Some(reply))),
            Err(CallError::Status(status)) => Ok(Err(status)),
            Err(CallError::NoObject(_)) => Err(OBJECT),
            Err(CallError::Timeout) => Err(TIMEOUT),
            Err(CallError::NoBus(_) | CallError::Protocol(_)) => Err(INTERNAL),
        }
    }

    fn session(&self, sid: &str, method: &str, arguments: &Map<String, Value>) -> Outcome {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut sessions = lock(&self.sessions);
        match method {
            "login" => sessions
                .log_in(text("username"), text("password"))
                .map(Some)
                .ok_or(Status::PermissionDenied),
            "access" => {
                if sid != session::NOBODY && !sessions.is_open(sid) {
                    return Err(Status::NotFound);
                }
                let allowed = sessions.may(sid, text("scope"), text("object"), text("function"));
                Ok(Some(json!({ "access": allowed })))
            }
            _ => Err(Status::MethodNotFound),
        }
    }

    fn file(&self, sid: &str, method: &str, arguments: &Map<String, Value>) -> Outcome {
        if method != "read" {
            return Err(Status::MethodNotFound);
        }
        let path = arguments.get("path").and_then(Value::as_str);
        let path = path.ok_or(Status::InvalidArgument)?;
        if !lock(&self.sessions).may(sid, "file", path, "read") {
            return Err(Status::PermissionDenied);
        }
        let file = super::below(&self.files, path.trim_start_matches('/')).ok_or(Status::NotFound)?;
        let data = fs::read_to_string(file).map_err(|_| Status::NotFound)?;
        Ok(Some(json!({ "data": data })))
    }

    fn uci(&self, sid: &str, method: &str, arguments: &Map<String, Value>) -> Outcome {
        let change = Change::of(method, arguments)?;
        let may = |config: &str, function: &str| lock(&self.sessions).may(sid, "uci", config, function);
        let (outcome, changed) = lock(&self.uci).call(sid, &change, &may)?;
        self.tell(&changed);
        Ok(outcome)
    }

    /// procd hears of each configuration that has become another one, as rpcd tells it.
    fn tell(&self, configs: &[String]) {
        for config in configs {
            let event = json!({ "type": "config.change", "data": { "package": config } });
            let event = event.as_object().cloned().unwrap_or_default();
            // As on a router, nobody waits for what comes of it.
            let _ = call_once(&self.socket, "service", "event", &event, PATIENCE);
        }
    }
}
