//! `lanward relay`.

use super::parse::Relay;
use super::{answer, complain, Exit};
use crate::json::{self, json};
use crate::system::ubus::{CallError, Status};
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
        Err(CallError::Status(Status::NotFound)) => {
            complain(&format!(
                "lanward: there is no relay '{}' in the configuration",
                name.escape_debug()
            ));
            Exit::Failed
        }
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
    relays.iter().map(one_text).collect()
}

fn one_text(relay: &Value) -> String {
    let mut text = format!(
        "{}: {}\n  from   {} port {}, by {}@{}\n  to     {}\n",
        word(relay, "name"),
        word(relay, "state"),
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
    if let Some(latency) = relay["latency_ms"].as_u64() {
        text.push_str(&format!("  check  {latency} ms\n"));
    }
    text
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
