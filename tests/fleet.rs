//! What whoever has many routers collects of them: the collectors for OpenWrt's two exporters, the dashboard, the alerts. (What carries a configuration to
//! them is in `tests/oracles/tests/fleet_uci.rs`.)
//!
//! `LANWARD_UCODE` names ucode: then that runs its collector, too, and not only node. `LANWARD_PROMTOOL` names Prometheus' promtool.

#![allow(clippy::unwrap_used)]

use lanward_rig::fleet::{ask, judge, root};
use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::House;
use lanward_rig::node;
use lanward_rig::report_line::{not_asked, skip, this_test};
use lanward_rig::scratch::Scratch;
use lanward_rig::settings::Firewall;
use serde_json::{json, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const LUA: &str = "files/usr/lib/lua/prometheus-collectors/lanward.lua";
const UCODE: &str = "files/usr/share/ucode/node-exporter/lib/lanward.uc";
/// Of what this house has not: a daemon without a relay says nothing of it.
const ABSENT: [&str; 3] = [
    "lanward_ledger_attempts_total",
    "lanward_relay_enabled",
    "lanward_relay_up",
];
/// Names that must not become anything else, and the label that they are.
const HOSTILE: [&str; 6] = [
    "a\"b",
    "a\\b\\",
    "two\nlines 1",
    "} 9\n# TYPE lanward_up counter\nlanward_up 7",
    "扉 \"\\\"",
    "\\n",
];

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a daemon answers that has everything.
fn full() -> Value {
    serde_json::from_str(&read("tests/fleet/status.json")).unwrap()
}

/// What a collector has before it.
enum Bus {
    Answers(Value),
    WithoutDaemon,
    Missing,
}

impl Bus {
    fn as_json(&self) -> Value {
        match self {
            Self::Answers(status) => json!({ "bus": true, "status": status }),
            Self::WithoutDaemon => json!({ "bus": true, "status": null }),
            Self::Missing => json!({ "bus": false, "status": null }),
        }
    }
}

/// As libubus-lua gives it: a table, with its numbers and strings as Lua has them.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => {
            let bytes: String = text.bytes().map(|byte| format!("\\{byte:03}")).collect();
            format!("\"{bytes}\"")
        }
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("[\"{name}\"]={}", lua(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
    }
}

fn text_of(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// What prometheus-node-exporter-lua would print.
fn by_lua(bus: &Bus) -> Option<String> {
    let program = "lua5.1";
    if let Err(error) = Command::new(program).arg("-v").output() {
        skip(&this_test(), &format!("{program}: {error}"));
        return None;
    }
    let scratch = Scratch::new("fleet");
    let given = match bus {
        Bus::Answers(status) => scratch.write("status", format!("return {}", lua(status))),
        Bus::WithoutDaemon => "no daemon".into(),
        Bus::Missing => "no bus".into(),
    };
    let mut command = Command::new(program);
    command
        .arg(root().join("tests/fleet/exporter.lua"))
        .arg(root().join(LUA));
    command.arg(given);
    Some(text_of(command))
}

/// What prometheus-node-exporter-ucode would print, as node sees it.
fn by_ucode(bus: &Bus) -> Option<String> {
    let script = root().join("tests/fleet/exporter.js");
    let answer = node::ask(&this_test(), &script, &root().join(UCODE), &bus.as_json())?;
    Some(answer["text"].as_str().unwrap().to_owned())
}

/// Both collectors' families, which are the same but for the help that only one of the exporters prints.
fn families(bus: &Bus) -> Option<BTreeMap<String, Value>> {
    let (lua, ucode) = (by_lua(bus)?, by_ucode(bus)?);
    let from = |text: &str| {
        let families = ask(&this_test(), "exposition", text)?;
        Some(families.as_object().unwrap().clone().into_iter().collect())
    };
    let (lua, ucode): (BTreeMap<String, Value>, _) = (from(&lua)?, from(&ucode)?);
    assert_eq!(lua, ucode);
    Some(lua)
}

/// One series' value.
fn value(families: &BTreeMap<String, Value>, name: &str, label: Option<(&str, &str)>) -> f64 {
    let wanted = label.map_or(json!({}), |(label, value)| json!({ label: value }));
    let samples = families[name]["samples"].as_array().unwrap();
    let found = samples.iter().find(|sample| sample["labels"] == wanted);
    found.unwrap_or_else(|| panic!("{name} {label:?}"))["value"]
        .as_f64()
        .unwrap()
}

#[test]
fn the_collectors_say_what_status_says() {
    let Some(families) = families(&Bus::Answers(full())) else {
        return;
    };
    let plain = |name| (name, None);
    let of = |name, label, value| (name, Some((label, value)));
    for ((name, label), expected) in [
        (plain("up"), 1.0),
        (of("info", "version", "0.1.0"), 1.0),
        (plain("uptime_seconds"), 86_461.0),
        (plain("applied"), 1.0),
        (plain("problems"), 1.0),
        (plain("warnings"), 2.0),
        (plain("lan_only_enabled"), 1.0),
        (plain("lan_only_enforced"), 0.0),
        (plain("lan_only_observing"), 0.0),
        (plain("lan_only_scheduled_off"), 0.0),
        (plain("lan_only_paused_seconds"), 1790.0),
        (plain("lan_only_dropped_packets_total"), 4812.0),
        (plain("lan_only_dropped_bytes_total"), 6_214_400.0),
        (plain("lan_only_inbound_dropped_packets_total"), 3.0),
        (plain("lan_only_flows_cut_total"), 7.0),
        (of("gate_enabled", "gate", "ssh"), 1.0),
        (of("gate_shut", "gate", "ssh"), 0.0),
        (of("gate_shut", "gate", "mail"), 1.0),
        (of("gate_entries", "gate", "ssh"), 2.0),
        (of("gate_size", "gate", "mail"), 128.0),
        (of("gate_admitted_total", "gate", "ssh"), 31.0),
        // More than 32 bits.
        (of("gate_refused_total", "gate", "mail"), 5e9),
        (of("gate_overflow_total", "gate", "mail"), 12.0),
        (plain("ledger_enabled"), 1.0),
        (plain("ledger_problem"), 0.0),
        (plain("ledger_today"), 5498.0),
        (plain("ledger_attempts_total"), 92_890.0),
        (plain("ledger_last_commit_timestamp_seconds"), 1_586_131_200.0),
        (of("relay_enabled", "relay", "spare"), 0.0),
        (of("relay_up", "relay", "office"), 1.0),
        (of("relay_up", "relay", "spare"), 0.0),
    ] {
        let said = value(&families, &format!("lanward_{name}"), label);
        assert!((said - expected).abs() < 0.5, "{name} {label:?}: {said}");
    }
}

/// Prometheus keeps each series for months, on a machine that is not the router. What strangers choose must not make any, nor what says who lives there.
#[test]
fn no_series_is_made_by_strangers_and_none_says_who() {
    let mut status = full();
    status["lan_only"]["hosts"] = json!(["02:00:00:00:00:20", "192.168.1.20", "2001:db8::20"]);
    status["gates"][0]["addresses"] = json!(["203.0.113.9"]);
    status["relays"][0]["error"] = json!("connection to relay.example.net refused");
    let (Some(families), Some(fewer)) = (families(&Bus::Answers(status)), families(&Bus::Answers(full()))) else {
        return;
    };
    assert_eq!(families, fewer);
    for (name, family) in &families {
        for sample in family["samples"].as_array().unwrap() {
            for label in sample["labels"].as_object().unwrap().keys() {
                assert!(
                    ["gate", "relay", "version"].contains(&label.as_str()),
                    "{name}: {label}"
                );
            }
        }
    }
    let series: usize = families
        .values()
        .map(|family| family["samples"].as_array().unwrap().len())
        .sum();
    // Two gates, two relays.
    assert!(series <= 42, "{series}");
}

#[test]
fn hostile_names_stay_labels() {
    let Some(families) = families(&Bus::Answers(hostile())) else {
        return;
    };
    for name in HOSTILE {
        assert!((value(&families, "lanward_gate_refused_total", Some(("gate", name))) - 2154.0).abs() < 0.5);
    }
    assert!(value(&families, "lanward_relay_up", Some(("relay", HOSTILE[3]))) < 0.5);
    assert!((value(&families, "lanward_up", None) - 1.0).abs() < 0.5);
    assert_eq!(families.len(), names().map_or(0, |names| names.len()));
}

/// With names of all kinds, one for each gate and one relay.
fn hostile() -> Value {
    let mut status = full();
    let gate = status["gates"][0].clone();
    let gates = HOSTILE.map(|name| {
        let mut gate = gate.clone();
        gate["name"] = name.into();
        gate
    });
    status["gates"] = gates.to_vec().into();
    status["relays"][1]["name"] = HOSTILE[3].into();
    status
}

#[test]
fn ucode_itself_says_what_node_says() {
    let Some(ucode) = std::env::var_os("LANWARD_UCODE").filter(|path| !path.is_empty()) else {
        return not_asked(&this_test(), "LANWARD_UCODE does not say where ucode is");
    };
    let buses = [full(), hostile()].map(Bus::Answers);
    for bus in buses.into_iter().chain([Bus::WithoutDaemon, Bus::Missing]) {
        let scratch = Scratch::new("fleet");
        let file = scratch.write("bus.json", bus.as_json().to_string());
        let mut command = Command::new(&ucode);
        command.arg(root().join("tests/fleet/exporter.uc"));
        command.arg(root().join(UCODE)).arg(file);
        let Some(by_node) = by_ucode(&bus) else {
            return;
        };
        assert_eq!(text_of(command), by_node);
    }
}

/// The test's own judge: it must be able to refuse.
#[test]
fn what_is_no_exposition_is_refused() {
    for wrong in [
        "# TYPE a gauge\na 1",
        "a 1\n",
        "# TYPE a gauge\na{b=\"c\"d\"} 1\n",
        "# TYPE a gauge\na{b=\"c\n\"} 1\n",
        "# TYPE a gauge\na{b=\"\\c\"} 1\n",
        "# TYPE a gauge\na{b=\"c\"} 1\na{b=\"c\"} 2\n",
        "# TYPE a gauge\na nil\n",
        "# TYPE a_total gauge\na_total 1\n",
        "# TYPE a counter\na 1\n",
        "# TYPE a gauge\n",
    ] {
        match judge(&this_test(), "exposition", wrong) {
            None => return,
            Some(verdict) => assert!(verdict.is_err(), "{wrong:?}"),
        }
    }
}

#[test]
fn without_a_daemon_or_a_bus_they_say_so_and_nothing_else() {
    for bus in [Bus::WithoutDaemon, Bus::Missing] {
        let Some(families) = families(&bus) else {
            return;
        };
        assert_eq!(families.keys().collect::<Vec<_>>(), ["lanward_up"]);
        assert!(value(&families, "lanward_up", None) < 0.5);
    }
}

/// A daemon that is older or newer than the collector.
#[test]
fn what_a_daemon_does_not_say_is_left_out() {
    let mut status = full();
    status["ledger"].as_object_mut().unwrap().remove("total");
    status["gates"] = json!([]);
    status["relays"] = json!([]);
    status["lan_only"].as_object_mut().unwrap().remove("out_of_hours");
    let (Some(families), Some(all)) = (families(&Bus::Answers(status)), names()) else {
        return;
    };
    let left_out: Vec<_> = all.iter().filter(|name| !families.contains_key(*name)).collect();
    assert!(left_out.contains(&&"lanward_ledger_attempts_total".to_owned()));
    assert!(left_out.contains(&&"lanward_lan_only_scheduled_off".to_owned()));
    assert_eq!(left_out.len(), 2 + 7 + 2, "{left_out:?}");
}

/// The real daemon's answer has all that the collectors read.
#[test]
fn a_daemon_says_what_the_collectors_ask_for() {
    let config = switched_off("") + "\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n";
    let plan = House::plan();
    let Some(home) = Home::start_gated(&this_test(), plan, Firewall::default(), &config) else {
        return;
    };
    let status = home.daemon.must("status", &json!({}));
    let (Some(families), Some(all)) = (families(&Bus::Answers(status)), names()) else {
        return;
    };
    let missing: Vec<_> = all.iter().filter(|name| !families.contains_key(*name)).collect();
    assert!(
        missing.iter().all(|name| ABSENT.contains(&name.as_str())),
        "{missing:?}"
    );
    assert!((value(&families, "lanward_gate_size", Some(("gate", "ssh"))) - 4096.0).abs() < 0.5);
}

/// All metrics that there are.
fn names() -> Option<BTreeSet<String>> {
    let text = by_ucode(&Bus::Answers(full()))?;
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    Some(
        names
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect::<BTreeSet<_>>(),
    )
}

fn dashboard() -> Value {
    serde_json::from_str(&read("docs/grafana/lanward.json")).unwrap()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().collect()
}

/// The metrics of queries, and that they are queries. Grafana's variables have a value.
fn metrics(queries: &[String]) -> Option<BTreeSet<String>> {
    let queries: Vec<_> = queries
        .iter()
        .map(|query| {
            query
                .replace("$__rate_interval", "5m")
                .replace("$instance", "192.0.2.1:9100")
        })
        .collect();
    assert!(!queries.iter().any(|query| query.contains('$')), "{queries:?}");
    let found = ask(&this_test(), "promql", &json!(queries).to_string())?;
    let names = found.as_array().unwrap().iter().flat_map(|names| {
        let names = names.as_array().unwrap();
        assert!(!names.is_empty());
        names.iter().map(|name| name.as_str().unwrap().to_owned())
    });
    Some(names.collect())
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard = dashboard();
    let targets = panels(&dashboard)
        .into_iter()
        .flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let queries: Vec<_> = targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    let (Some(shown), Some(all)) = (metrics(&queries), names()) else {
        return;
    };
    assert_eq!(shown, all);
    for query in &queries {
        assert!(query.contains("instance=~\"$instance\""), "{query}");
    }
}

/// What Grafana does not forgive, or shows on top of each other.
#[test]
fn the_dashboard_is_laid_out() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(
        (variables[0]["name"].as_str(), variables[0]["type"].as_str()),
        (Some("datasource"), Some("datasource"))
    );
    assert_eq!(variables[1]["query"]["query"], "label_values(lanward_up, instance)");
    let known = ["row", "stat", "table", "timeseries", "state-timeline"];
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let mut repeated = None;
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let kind = panel["type"].as_str().unwrap();
        assert!(known.contains(&kind), "{title}: {kind}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + w <= 24, "{title}");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{title} lies on another");
        }
        if kind == "row" {
            repeated = panel["repeat"].as_str();
            continue;
        }
        // One row for each router: what is below it is of one, what is before it of all.
        assert_eq!(repeated.is_none(), y < 10, "{title}");
        let mut references = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(references.insert(target["refId"].as_str().unwrap()), "{title}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert_eq!(repeated, Some("instance"));
}

#[test]
fn the_alerts_ask_for_what_there_is() {
    let text = read("docs/prometheus/lanward.rules.yml");
    let Some(rules) = ask(&this_test(), "yaml", &text) else {
        return;
    };
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let queries: Vec<_> = rules
        .iter()
        .map(|rule| rule["expr"].as_str().unwrap().to_owned())
        .collect();
    let (Some(asked), Some(mut all)) = (metrics(&queries), names()) else {
        return;
    };
    // Prometheus' own.
    all.insert("up".to_owned());
    assert!(asked.is_subset(&all), "{asked:?}");
    let document = read("docs/fleet.md");
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(
            document.contains(&format!("`{name}`")),
            "docs/fleet.md does not name {name}"
        );
    }
}

/// What each alert fires at is in `tests/fleet/rules.test.yml`.
#[test]
fn promtool_agrees() {
    let Some(promtool) = std::env::var_os("LANWARD_PROMTOOL").filter(|path| !path.is_empty()) else {
        return not_asked(&this_test(), "LANWARD_PROMTOOL does not say where promtool is");
    };
    for words in [
        ["check", "rules", "docs/prometheus/lanward.rules.yml"],
        ["test", "rules", "tests/fleet/rules.test.yml"],
    ] {
        let output = Command::new(&promtool)
            .args(words)
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let Some(text) = by_ucode(&Bus::Answers(full())) else {
        return;
    };
    let scratch = Scratch::new("fleet");
    let file = scratch.write("metrics", text);
    let mut command = Command::new(&promtool);
    command.args(["check", "metrics"]).stdin(fs::File::open(file).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_document_names_every_metric_and_only_files_that_are_there() {
    let document = read("docs/fleet.md");
    let Some(all) = names() else {
        return;
    };
    for name in all {
        assert!(
            document.contains(&format!("`{name}")),
            "docs/fleet.md does not name {name}"
        );
    }
    let links = document.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut seen = 0;
    for link in links.filter(|link| !link.contains("://")) {
        let path = Path::new("docs").join(link.split('#').next().unwrap());
        assert!(root().join(&path).exists(), "docs/fleet.md: {link}");
        seen += 1;
    }
    assert!(seen >= 6);
    for readme in ["README.md", "README.ja.md"] {
        assert!(read(readme).contains("(docs/fleet.md)"), "{readme}");
    }
}
