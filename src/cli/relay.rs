//! `lanward relay`.

use super::parse::Relay;
use super::{answer, complain, is_unknown, unknown, Exit};
use crate::json::{self, json};
use crate::system::clock::Clock;
use crate::system::ubus::CallError;
use serde_json::Value;

pub(super) fn perform(ask: impl Fn(&str, Value) -> Result<Value, CallError>, relay: &Relay, json: bool) -> Exit {
    let (method, name, text): (_, _, fn(&Value) -> String) = match relay {
        Relay::List => return answer(ask("relay_list", json!({})), json, list_text),
        Relay::Restart(name) => ("relay_restart", name, |_| String::new()),
        Relay::Check(name) => ("relay_check", name, check_text),
        Relay::Keygen(name) => ("relay_keygen", name, key_text),
        Relay::Script(name) => ("relay_files", name, script_text),
        Relay::Client { name, rdp: false } => ("relay_files", name, client_text),
        Relay::Client { name, rdp: true } => ("relay_files", name, rdp_text),
    };
    let result = ask(method, json!({ "name": name }));
    match result {
        result if is_unknown(&result) => unknown("relay", name),
        Ok(value) if matches!(relay, Relay::Client { rdp: true, .. }) && value["rdp"].is_null() => {
            complain("lanward: the target is not RDP: there is no .rdp file for it");
            Exit::Failed
        }
        result => answer(result, false, text),
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list_text(value: &Value) -> String {
    let relays = value["relays"].as_array().map(Vec::as_slice).unwrap_or_default();
    if relays.is_empty() {
        return "no relay\n".into();
    }
    let now = Clock::start().now().unix;
    relays.iter().map(|relay| one_text(relay, now)).collect()
}

/// `now` in seconds since 1970, as the daemon has its times.
fn one_text(relay: &Value, now: u64) -> String {
    let ago = |name: &str| relay[name].as_u64().map(|time| lasting(now.saturating_sub(time)));
    let host = match word(relay, "host") {
        six if six.contains(':') => format!("[{six}]"),
        host => host.to_string(),
    };
    let mut text = format!(
        "{}: {}{}\n  from   {} port {}, by {}@{host}:{}\n  to     {}\n",
        word(relay, "name"),
        word(relay, "state"),
        ago("since").map_or_else(String::new, |time| format!(" for {time}")),
        word(relay, "host"),
        json::line(&relay["remote_port"]),
        word(relay, "user"),
        json::line(&relay["port"]),
        word(relay, "target"),
    );
    for (name, label) in [
        ("error", "error"),
        ("client", "client"),
        ("fingerprint", "pinned"),
        ("offered_key", "shown"),
        ("offered_fingerprint", "     "),
        ("public_key", "key"),
        ("key_error", "key"),
    ] {
        if let Some(line) = relay[name].as_str() {
            text.push_str(&format!("  {label:6} {line}\n"));
        }
    }
    if let Some(time) = ago("last_check") {
        let latency = relay["latency_ms"]
            .as_u64()
            .map_or_else(String::new, |latency| format!("{latency} ms, "));
        text.push_str(&format!("  check  {latency}{time} ago\n"));
    }
    text
}

/// A time in its largest two units.
fn lasting(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if minutes == 0 => format!("{seconds} s"),
        () if hours == 0 => format!("{minutes} min"),
        () if days == 0 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

fn check_text(value: &Value) -> String {
    match (value["ok"] == true, value["latency_ms"].as_u64()) {
        (true, Some(latency)) => format!("reachable through the relay, {latency} ms\n"),
        _ => String::new(),
    }
}

fn key_text(value: &Value) -> String {
    match value["public_key"].as_str() {
        Some(line) => format!("{line}\n"),
        None => String::new(),
    }
}

fn script_text(value: &Value) -> String {
    if value["script"].is_null() {
        return String::new();
    }
    let commented = |text: &str| text.lines().map(|line| format!("# {line}\n")).collect::<String>();
    format!(
        "{}\n# ~/.ssh/authorized_keys on the relay, OpenSSH's server:\n{}# or dropbear's, the first line that its version takes:\n{}{}",
        word(value, "script"),
        commented(word(value, "authorized_keys")),
        commented(word(value, "authorized_keys_dropbear")),
        commented(word(value, "server_settings")),
    )
}

fn client_text(value: &Value) -> String {
    if value["command"].is_null() {
        return String::new();
    }
    let rdp = value["rdp"].as_str().map_or_else(String::new, |rdp| {
        format!(
            "\n# As a file NAME.rdp (lanward relay client NAME --rdp > NAME.rdp):\n{}",
            rdp.replace('\r', "")
        )
    });
    format!(
        "{}\n# In ~/.ssh/config:\n{}\n# On the relay, in ~/.ssh/authorized_keys, with the client's own public key:\n{}{rdp}",
        word(value, "command"),
        word(value, "ssh_config"),
        word(value, "authorized_keys_client"),
    )
}

fn rdp_text(value: &Value) -> String {
    word(value, "rdp").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_whose_account_it_is_and_since_when() {
        let mut relay = json!({
            "name": "office", "state": "up", "since": 1_000_000_u64, "host": "relay.example.net", "port": 2222, "user": "relay",
            "remote_port": 3389, "target": "192.168.1.20:3389", "last_check": 1_007_250_u64, "latency_ms": 45,
        });
        let text = one_text(&relay, 1_007_260);
        assert_eq!(
            text,
            "office: up for 2 h 1 min\n  from   relay.example.net port 3389, by relay@relay.example.net:2222\n  to     192.168.1.20:3389\n  \
             check  45 ms, 10 s ago\n"
        );
        relay["host"] = "2001:db8::9".into();
        let text = one_text(&relay, 1_000_000 + 200_000);
        assert!(
            text.contains("up for 2 d 7 h") && text.contains("by relay@[2001:db8::9]:2222"),
            "{text}"
        );
        // A clock that was set back, and a relay that was never looked at.
        relay["last_check"] = Value::Null;
        let text = one_text(&relay, 5);
        assert!(text.contains("up for 0 s") && !text.contains("check"), "{text}");
    }
}
