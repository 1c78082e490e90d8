//! What the daemon's answers look like to people.

use crate::gather::Gather;
use crate::json;
use serde_json::Value;

pub(super) fn status_text(value: &Value) -> String {
    let mut text = lan_only_text(&value["lan_only"]);
    let problems = problems_text(value);
    if value["applied"] == false {
        text.push_str("The configuration is not applied; what was applied stays");
        text.push_str(if problems.is_empty() { "\n" } else { ":\n" });
    }
    text.push_str(&problems);
    text.push_str(&gates_text(value));
    text.push_str(&ledger_text(&value["ledger"]));
    text.push_str(&relays_text(&value["relays"]));
    text.push_str(&warnings_text(value));
    text.push_str(&format!(
        "lanward {}, up {} s\n",
        value["version"].as_str().unwrap_or("?"),
        json::line(&value["uptime"])
    ));
    text
}

fn relays_text(value: &Value) -> String {
    let relays = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |relay: &Value, key: &str| relay[key].as_str().unwrap_or_default().to_string();
    let line = |relay: &Value| match relay["error"].as_str() {
        Some(error) => format!("relay {}: {}: {error}\n", word(relay, "name"), word(relay, "state")),
        None => format!("relay {}: {}\n", word(relay, "name"), word(relay, "state")),
    };
    relays.iter().map(line).collect()
}

fn ledger_text(value: &Value) -> String {
    let problem = value["problem"]
        .as_str()
        .map_or_else(String::new, |problem| format!("problem: ledger: {problem}\n"));
    match value["enabled"] == true {
        true => format!("attempts: {} today\n{problem}", json::line(&value["today"])),
        false => format!("attempts: not counted\n{problem}"),
    }
}

fn warnings_text(value: &Value) -> String {
    let warnings = strings(&value["warnings"]).into_iter();
    warnings.map(|warning| format!("warning: {warning}\n")).collect()
}

/// Whether the switch is on and nothing is enforced, and the answer does not say why.
pub(super) fn is_in_vain(lan_only: &Value) -> bool {
    lan_only["enabled"] == true
        && lan_only["enforced"] == false
        && lan_only["observe"] == false
        && lan_only["paused_seconds"] == 0
        && lan_only["out_of_hours"] == false
}

/// What may be why: all that is wrong, from the answer of `status`.
pub(super) fn reasons_text(status: &Value) -> String {
    problems_text(status) + &warnings_text(status)
}

pub(super) fn lan_only_text(value: &Value) -> String {
    let state = match (
        &value["enabled"],
        &value["enforced"],
        &value["observe"],
        value["paused_seconds"].as_u64(),
    ) {
        (_, _, Value::Bool(true), _) => "observing: nothing is dropped".to_string(),
        (_, _, _, Some(seconds)) if seconds > 0 => format!("paused for another {seconds} s"),
        (Value::Bool(true), Value::Bool(true), ..) => "on".to_string(),
        (Value::Bool(true), ..) if value["out_of_hours"] == true => "on, but not at this hour".to_string(),
        (Value::Bool(true), ..) => "on, and not enforced now".to_string(),
        _ => "off".to_string(),
    };
    let list = |name: &str, none: &str| {
        let items = strings(&value[name]);
        if items.is_empty() {
            none.to_string()
        } else {
            items.join(", ")
        }
    };
    format!(
        "LAN-only remote desktop: {state}\n  UDP ports   {}\n  hosts       {}\n  from        {}\n  to          {}\n  dropped     {} packets ({} bytes), inbound {}\n  flows ended {}\n",
        list("ports", "none"),
        list("hosts", "all"),
        list("source_devices", "no device"),
        list("dest_devices", "no device"),
        json::line(&value["dropped_packets"]),
        json::line(&value["dropped_bytes"]),
        json::line(&value["inbound_dropped_packets"]),
        json::line(&value["flows_cut"]),
    )
}

pub(super) fn problems_text(value: &Value) -> String {
    let problems = value["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |problem: &Value, key: &str| problem[key].as_str().unwrap_or_default().to_string();
    problems
        .iter()
        .map(|problem| format!("problem: {}: {}\n", word(problem, "option"), word(problem, "message")))
        .collect()
}

pub(super) fn check_text(value: &Value) -> String {
    let checks = value["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_string();
    let mark = |check: &Value| match (check["ok"].as_bool(), check["severity"].as_str()) {
        (Some(true), _) => "ok     ",
        (_, Some("error")) => "ERROR  ",
        (_, Some("warning")) => "warning",
        _ => "note   ",
    };
    checks
        .iter()
        .map(|check| format!("{} {}: {}\n", mark(check), word(check, "name"), word(check, "message")))
        .collect()
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .map(|items| items.iter().filter_map(Value::as_str).gathered())
        .unwrap_or_default()
}

/// One line for each gate that is enabled.
fn gates_text(value: &Value) -> String {
    let gates = value["gates"].as_array().map(Vec::as_slice).unwrap_or_default();
    let enabled = gates.iter().filter(|gate| gate["enabled"] == true);
    let line = |gate: &Value| {
        let shut = if gate["shut"] == true { ", shut" } else { "" };
        format!(
            "Gate {}: {}{shut}\n  listed      {}, with room for {} of each family\n  admitted    {}, refused {} packets, turned away by a full list {}\n",
            gate["name"].as_str().unwrap_or("?"),
            strings(&gate["services"]).join(", "),
            json::line(&gate["entries"]),
            json::line(&gate["size"]),
            json::line(&gate["admitted"]),
            json::line(&gate["refused"]),
            json::line(&gate["overflow"]),
        )
    };
    enabled.map(line).collect()
}

/// One line for each listed source, as columns.
pub(super) fn gate_list_text(value: &Value) -> String {
    let entries = value["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_string();
    let line = |entry: &Value| {
        let left = entry["expires"]
            .as_u64()
            .map_or_else(|| "-".to_string(), |seconds| format!("{seconds} s"));
        let why = strings(&entry["why"]).join(", ");
        format!(
            "{:<16} {:<40} {left:<10} {why}",
            word(entry, "gate"),
            word(entry, "address")
        )
        .trim_end()
        .to_string()
            + "\n"
    };
    let mut text: String = entries.iter().map(line).collect();
    if value["more"] == true {
        text.push_str("and more, which one answer has no room for ('lanward status' counts them)\n");
    }
    // What is wrong with the gate is said by itself.
    if entries.is_empty() && value["error"].is_null() {
        text.push_str("no address is listed\n");
    }
    text
}

pub(super) fn admitted_text(value: &Value) -> String {
    match (value["address"].as_str(), value["seconds"].as_u64()) {
        (Some(address), Some(seconds)) => format!("{address} is listed for {seconds} s\n"),
        _ => String::new(),
    }
}

pub(super) fn removed_text(value: &Value) -> String {
    match (value["ok"].as_bool(), value["removed"].as_u64()) {
        (Some(true), _) => "removed\n".to_string(),
        (_, Some(removed)) => format!("{removed} removed\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(enforced: bool, out_of_hours: bool) -> Value {
        json!({
            "version": "1", "uptime": 5, "applied": false,
            "problems": [{ "option": "lanward.lan_only.level", "message": "'x' is wrong" }],
            "warnings": ["zone 'wan' has no device"],
            "lan_only": { "enabled": true, "observe": false, "enforced": enforced, "out_of_hours": out_of_hours, "paused_seconds": 0 },
            "gates": [{ "name": "ssh", "enabled": true }],
            "ledger": { "enabled": true, "today": 7 },
        })
    }

    #[test]
    fn problems_stand_behind_what_announces_them() {
        let mut status = status(true, false);
        let text = status_text(&status);
        assert!(
            text.contains("what was applied stays:\nproblem: lanward.lan_only.level: 'x' is wrong\nGate ssh:"),
            "{text}"
        );
        // A table that is gone has no option that is wrong.
        status["problems"] = json!([]);
        let text = status_text(&status);
        assert!(text.contains("what was applied stays\nGate ssh:"), "{text}");
        // Nor does an option that is wrong keep the others from being applied.
        status["problems"] = json!([{ "option": "lanward.office.retry", "message": "'x' is wrong" }]);
        status["applied"] = true.into();
        let text = status_text(&status);
        assert!(
            !text.contains("not applied") && text.contains("problem: lanward.office.retry"),
            "{text}"
        );
    }

    #[test]
    fn a_switch_that_does_nothing_says_why() {
        let bare = status(false, false);
        assert!(is_in_vain(&bare["lan_only"]));
        assert!(lan_only_text(&bare["lan_only"]).contains("on, and not enforced now"));
        assert!(reasons_text(&bare).ends_with("warning: zone 'wan' has no device\n"));
        let late = status(false, true);
        assert!(
            !is_in_vain(&late["lan_only"]) && lan_only_text(&late["lan_only"]).contains("on, but not at this hour")
        );
        assert!(!is_in_vain(&status(true, false)["lan_only"]));
        for (name, value) in [
            ("paused_seconds", json!(5)),
            ("observe", json!(true)),
            ("enabled", json!(false)),
        ] {
            let mut other = status(false, false);
            other["lan_only"][name] = value;
            assert!(!is_in_vain(&other["lan_only"]), "{name}");
        }
    }
}
