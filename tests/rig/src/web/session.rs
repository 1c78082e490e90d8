//! rpcd's sessions: who has logged in, and what the ACL files let them do.

use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

/// The session of those who have not logged in.
pub const NOBODY: &str = "00000000000000000000000000000000";
/// Everybody's password.
const PASSWORD: &str = "test";
const SECONDS: u32 = 3600;
/// The groups that the README names for a login that may only read.
const READERS: [&str; 2] = ["luci-base", "luci-app-lanward"];

/// What luci-base brings, as far as the pages need it; `commit` and `revert` are LuCI's own server's to call on a router, which has no
/// rights to ask for, and here the page's.
const LUCI_BASE: &str = r#"{
    "unauthenticated": { "read": { "ubus": { "session": [ "access", "login" ] } } },
    "luci-base": {
        "read": { "file": { "/*": [ "list" ] }, "ubus": { "file": [ "list" ], "uci": [ "changes", "get" ] } },
        "write": { "ubus": { "uci": [ "add", "apply", "confirm", "delete", "order", "rename", "set", "commit", "revert" ] } }
    },
    "luci-base-network-status": {
        "read": {
            "ubus": { "luci-rpc": [ "getBoardJSON", "getHostHints" ], "network.interface": [ "dump" ] },
            "uci": [ "luci", "network", "wireless" ]
        }
    }
}"#;

/// What one may do: scope, object (with `*` for anything) and function.
type Right = (String, String, String);

/// Those who have logged in, by their sessions' names.
pub struct Sessions {
    /// What each group gives at the levels `read` and `write`.
    groups: BTreeMap<(String, &'static str), Vec<Right>>,
    open: BTreeMap<String, Vec<Right>>,
}

impl Sessions {
    /// With the rights of luci-base and of an app's ACL file.
    pub fn new(acl: &str) -> io::Result<Self> {
        let mut groups = BTreeMap::new();
        for text in [LUCI_BASE, acl] {
            let file: BTreeMap<String, Value> = serde_json::from_str(text)?;
            for (group, scopes) in file {
                for level in ["read", "write"] {
                    let rights = rights_of(&group, level, &scopes[level]);
                    groups.insert((group.clone(), level), rights);
                }
            }
        }
        Ok(Self {
            groups,
            open: BTreeMap::new(),
        })
    }

    /// `root` has everything, `reader` what two groups give at the level `read`. The reply of `session login`; nothing for anybody else.
    pub fn log_in(&mut self, user: &str, password: &str) -> Option<Value> {
        let all = match (user, password) {
            ("root", PASSWORD) => true,
            ("reader", PASSWORD) => false,
            _ => return None,
        };
        let given = self
            .groups
            .iter()
            .filter(|((group, level), _)| all || (*level == "read" && READERS.contains(&group.as_str())));
        let rights = given.flat_map(|(_, rights)| rights.clone()).collect();
        let sid = random_name()?;
        self.open.insert(sid.clone(), rights);
        Some(json!({ "ubus_rpc_session": sid, "timeout": SECONDS, "expires": SECONDS, "data": { "username": user } }))
    }

    /// The session ends.
    pub fn destroy(&mut self, sid: &str) {
        self.open.remove(sid);
    }

    /// Whether there is such a session.
    pub fn is_open(&self, sid: &str) -> bool {
        self.open.contains_key(sid)
    }

    /// Whether a session may do that.
    pub fn may(&self, sid: &str, scope: &str, object: &str, function: &str) -> bool {
        if (scope, object) == ("ubus", "session") && ["access", "login"].contains(&function) {
            return sid == NOBODY || self.is_open(sid);
        }
        let Some(rights) = self.open.get(sid) else {
            return false;
        };
        rights
            .iter()
            .any(|right| right.0 == scope && matches(&right.1, object) && matches(&right.2, function))
    }
}

fn rights_of(group: &str, level: &str, scopes: &Value) -> Vec<Right> {
    let Some(scopes) = scopes.as_object() else {
        return Vec::new();
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rights = vec![("access-group".to_owned(), group.to_owned(), level.to_owned())];
    for (scope, objects) in scopes {
        // A list of objects has the level for its function.
        for object in objects.as_array().into_iter().flatten() {
            rights.push((scope.clone(), text(object), level.to_owned()));
        }
        for (object, functions) in objects.as_object().into_iter().flatten() {
            for function in functions.as_array().into_iter().flatten() {
                rights.push((scope.clone(), object.clone(), text(function)));
            }
        }
    }
    rights
}

/// Whether a name is meant by a pattern with at most one `*`, at its end.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => pattern == name,
    }
}

/// Thirty-two hexadecimal digits that nobody guesses.
fn random_name() -> Option<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").ok()?.read_exact(&mut bytes).ok()?;
    Some(format!("{:032x}", u128::from_be_bytes(bytes)))
}
