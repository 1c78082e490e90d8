//! Who may do what: the peer's credentials and the ACL files.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Group, Uid, User};
use serde_json::Value;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    pub user: String,
    pub group: String,
    pub uid: u32,
    groups: Vec<u32>,
}

impl Peer {
    /// `None` if the user or the group has no entry: ubusd hangs up on it.
    pub fn of(stream: &UnixStream) -> Option<Self> {
        let credentials = getsockopt(stream, PeerCredentials).ok()?;
        let user = User::from_uid(Uid::from_raw(credentials.uid())).ok()??;
        let group = Group::from_gid(Gid::from_raw(credentials.gid())).ok()??;
        let status = std::fs::read_to_string(format!("/proc/{}/status", credentials.pid())).unwrap_or_default();
        let extra = status
            .lines()
            .find_map(|line| line.strip_prefix("Groups:"))
            .unwrap_or_default();
        let extra = extra
            .split_ascii_whitespace()
            .filter_map(|gid| gid.parse().ok())
            .take(64);
        let groups = std::iter::once(credentials.gid()).chain(extra).collect();
        Some(Self {
            user: user.name,
            group: group.name,
            uid: credentials.uid(),
            groups,
        })
    }
}

/// What one may want to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish<'a> {
    Access(&'a [u8]),
    Publish,
    Subscribe,
    Listen,
    Send,
}

/// The grants of all files.
#[derive(Debug, Default)]
pub struct Access {
    grants: Vec<Grant>,
}

#[derive(Debug)]
struct Grant {
    user: Option<u32>,
    group: Option<u32>,
    /// A path or an event's name; with a trailing `*` a prefix.
    pattern: String,
    wish: &'static str,
    methods: Vec<String>,
}

impl Access {
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut access = Self::default();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                // A broken file is skipped, as ubusd does it.
                if let Ok(file) = serde_json::from_slice(&std::fs::read(path)?) {
                    access.add(&file);
                }
            }
        }
        Ok(access)
    }

    fn add(&mut self, file: &Value) {
        let name = |key: &str| file.get(key).and_then(Value::as_str);
        let user = name("user")
            .and_then(|name| User::from_name(name).ok()?)
            .map(|user| user.uid.as_raw());
        let group = name("group").filter(|_| name("user").is_none());
        let group = group
            .and_then(|name| Group::from_name(name).ok()?)
            .map(|group| group.gid.as_raw());
        let mut grant = |pattern: &str, wish, methods| {
            self.grants.push(Grant {
                user,
                group,
                pattern: pattern.to_owned(),
                wish,
                methods,
            });
        };
        for (path, object) in file.get("access").and_then(Value::as_object).into_iter().flatten() {
            grant(path, "access", strings(object.get("methods")));
        }
        for wish in ["publish", "subscribe", "listen", "send"] {
            for pattern in strings(file.get(wish)) {
                grant(&pattern, wish, Vec::new());
            }
        }
    }

    pub fn allows(&self, peer: &Peer, what: &[u8], wish: Wish<'_>) -> bool {
        let word = match wish {
            Wish::Access(_) => "access",
            Wish::Publish => "publish",
            Wish::Subscribe => "subscribe",
            Wish::Listen => "listen",
            Wish::Send => "send",
        };
        peer.uid == 0
            || self.grants.iter().any(|grant| {
                let who = grant.user == Some(peer.uid) || grant.group.is_some_and(|group| peer.groups.contains(&group));
                let method = |wanted: &[u8]| {
                    grant
                        .methods
                        .iter()
                        .any(|known| known == "*" || known.as_bytes() == wanted)
                };
                let method = match wish {
                    Wish::Access(wanted) => method(wanted),
                    _ => true,
                };
                who && grant.wish == word && method && matches(grant.pattern.as_bytes(), what)
            })
    }
}

fn strings(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn matches(pattern: &[u8], what: &[u8]) -> bool {
    match pattern.strip_suffix(b"*") {
        Some(prefix) => what.starts_with(prefix),
        None => pattern == what,
    }
}
