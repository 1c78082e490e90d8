//! The command line: what the words mean, the commands that ask the daemon, and those that need none.

use crate::config::{self, Problem};
use crate::daemon::{self, Paths};
use crate::event::Now;
use crate::nft::text;
use crate::state::{self, State};
use crate::system::clock::Clock;
use crate::system::logger;
use crate::system::ubus::{call_once, CallError};
use crate::{network, policy, report, ruleset};
use lexopt::prelude::*;
use serde_json::{json, Value};
use std::io::{self, Write};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: lanward COMMAND [OPTIONS]
  run                     the daemon
  status [--json]         what is enforced
  on | off [--temporary]  LAN-only remote desktop; --temporary: until the router restarts
  pause MINUTES | resume  let remote desktop out for a while; it ends by itself
  check [--json]          configuration problems and a diagnosis of this router
  reload                  read the configuration again
  print                   the nft script it would apply, from configuration, without a daemon
Options:
  --config-dir DIR        /etc/config
  --ubus-socket PATH      /var/run/ubus/ubus.sock
  --state-dir DIR         /etc/lanward (run)
  --run-dir DIR           /var/run/lanward (run)
  --share-dir DIR         /usr/share/lanward (run, check)
  --version, --help
Exit status: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration.
";

/// What the exit status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Configuration = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command with its operands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Command {
    Run,
    Status,
    Switch { on: bool, temporary: bool },
    Pause { minutes: u32 },
    Resume,
    Check,
    Reload,
    Print,
    Help,
    Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Invocation {
    command: Command,
    paths: Paths,
    json: bool,
}

/// Runs the program with the given arguments (the program's name first).
pub fn main(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let invocation = match parse(lexopt::Parser::from_iter(arguments)) {
        Ok(invocation) => invocation,
        Err(error) => {
            complain(&format!("lanward: {error}\nTry 'lanward --help'."));
            return Exit::Usage.into();
        }
    };
    perform(invocation).into()
}

fn parse(mut parser: lexopt::Parser) -> Result<Invocation, lexopt::Error> {
    let (mut words, mut paths) = (Vec::new(), Paths::default());
    let (mut json, mut temporary, mut help, mut version) = (false, false, false, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config-dir") => paths.config_dir = parser.value()?.into(),
            Long("ubus-socket") => paths.ubus_socket = parser.value()?.into(),
            Long("state-dir") => paths.state_dir = parser.value()?.into(),
            Long("run-dir") => paths.run_dir = parser.value()?.into(),
            Long("share-dir") => paths.share_dir = parser.value()?.into(),
            Long("json") => json = true,
            Long("temporary") => temporary = true,
            Long("help") | Short('h') => help = true,
            Long("version") | Short('V') => version = true,
            Value(word) => words.push(word.string()?),
            Short(_) | Long(_) => return Err(argument.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = match words.as_slice() {
        _ if help => Command::Help,
        _ if version => Command::Version,
        ["run"] => Command::Run,
        ["status"] => Command::Status,
        ["on"] => Command::Switch { on: true, temporary },
        ["off"] => Command::Switch { on: false, temporary },
        ["pause", minutes] => Command::Pause {
            minutes: minutes_of(minutes)?,
        },
        ["pause"] => return Err("pause: for how many MINUTES?".into()),
        ["resume"] => Command::Resume,
        ["check"] => Command::Check,
        ["reload"] => Command::Reload,
        ["print"] => Command::Print,
        [] => return Err("no command".into()),
        [word @ ("run" | "status" | "on" | "off" | "resume" | "check" | "reload" | "print"), operand, ..] => {
            return Err(format!("{word} takes no operand: '{operand}'").into());
        }
        ["pause", _, operand, ..] => return Err(format!("pause takes one number of minutes: '{operand}'").into()),
        [word, ..] => return Err(format!("'{word}' is not a command").into()),
    };
    if temporary && !matches!(command, Command::Switch { .. } | Command::Help | Command::Version) {
        return Err("--temporary goes with on and off".into());
    }
    if json
        && !matches!(
            command,
            Command::Status | Command::Check | Command::Help | Command::Version
        )
    {
        return Err("--json goes with status and check".into());
    }
    Ok(Invocation { command, paths, json })
}

fn minutes_of(word: &str) -> Result<u32, lexopt::Error> {
    word.parse()
        .ok()
        .filter(|minutes| *minutes > 0)
        .ok_or_else(|| format!("pause: '{word}' is not a number of minutes (such as 15)").into())
}

fn perform(invocation: Invocation) -> Exit {
    let Invocation { command, paths, json } = invocation;
    let ask = |method: &str, arguments: Value| {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        call_once(
            &paths.ubus_socket,
            report::OBJECT,
            method,
            &arguments,
            daemon::CALL_TIMEOUT,
        )
    };
    match command {
        Command::Help => say(USAGE),
        Command::Version => say(&format!("lanward {}\n", report::VERSION)),
        Command::Run => run(paths),
        Command::Status => answer(ask("status", json!({})), json, status_text),
        Command::Switch { on, temporary } => answer(
            ask("lan_only", json!({ "enabled": on, "persist": !temporary })),
            false,
            lan_only_text,
        ),
        Command::Pause { minutes } => answer(ask("pause", json!({ "minutes": minutes })), false, lan_only_text),
        Command::Resume => answer(ask("resume", json!({})), false, lan_only_text),
        Command::Reload => reload(ask("reload", json!({}))),
        Command::Check => check(ask("check", json!({})), &paths, json),
        Command::Print => print(&paths),
    }
}

fn run(paths: Paths) -> Exit {
    // A second logger cannot be set up by a program that has one main function.
    let _ = logger::start(log::LevelFilter::Info);
    std::panic::set_hook(Box::new(|panic| {
        log::error!("a defect ended the daemon; what is enforced stays: {panic}");
    }));
    match daemon::run(paths) {
        Ok(()) => Exit::Done,
        Err(error) => {
            log::error!("cannot start: {error}");
            Exit::Failed
        }
    }
}

/// Prints what the daemon answered, for people or for programs.
fn answer(result: Result<Value, CallError>, json: bool, text: fn(&Value) -> String) -> Exit {
    let value = match result {
        Ok(value) => value,
        Err(error) => {
            complain(&format!("lanward: {error}"));
            return Exit::Failed;
        }
    };
    let exit = say(&if json { format!("{value:#}\n") } else { text(&value) });
    match value.get("error").and_then(Value::as_str) {
        Some(error) => {
            complain(&format!("lanward: {error}"));
            Exit::Failed
        }
        None => exit,
    }
}

fn reload(result: Result<Value, CallError>) -> Exit {
    let refused = matches!(&result, Ok(value) if value["applied"] == json!(false) && value.get("error").is_none());
    let exit = answer(result, false, |value| {
        let mut text = if value["applied"] == json!(true) {
            "applied\n"
        } else {
            "not applied; what was applied stays\n"
        }
        .to_string();
        text.push_str(&problems_text(value));
        text
    });
    if refused {
        return Exit::Configuration;
    }
    exit
}

/// Asks the daemon; where there is none, says so and checks the files.
fn check(result: Result<Value, CallError>, paths: &Paths, json: bool) -> Exit {
    let value = match result {
        Ok(value) => value,
        Err(error) => offline_check(paths, &error),
    };
    let failed = |name: &str| {
        let checks = value["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
        checks.iter().any(|check| {
            check["severity"] == "error" && (check["name"] == "configuration") == (name == "configuration")
        })
    };
    let exit = say(&if json {
        format!("{value:#}\n")
    } else {
        check_text(&value)
    });
    match () {
        () if failed("configuration") => Exit::Configuration,
        () if failed("router") => Exit::Failed,
        () => exit,
    }
}

fn offline_check(paths: &Paths, error: &CallError) -> Value {
    let mut state = State::default();
    let now = Clock::start().now();
    drop(state.handle(crate::event::Event::Configured(Box::new(paths.texts()), None), now));
    drop(state.handle(
        crate::event::Event::Surveyed(Box::new(crate::event::Survey {
            netifd: crate::event::Netifd::NotAsked,
            links: Ok(network::Links::default()),
        })),
        now,
    ));
    let facts = crate::system::router::facts_without_daemon(paths, state.known(now), error);
    report::checks(&crate::check::diagnose(&facts))
}

/// The script, from the files alone. Wrong configuration is told on stderr, and the closed form printed: that is what the daemon would apply.
fn print(paths: &Paths) -> Exit {
    let texts = paths.texts();
    let lanward = texts
        .lanward
        .as_ref()
        .map_err(Clone::clone)
        .map(|text| config::read_text(text.as_deref()));
    let (config, mut problems) = match lanward {
        Ok(read) => read,
        Err(error) => {
            complain(&format!(
                "lanward: {}: {error}",
                paths.config_dir.join("lanward").display()
            ));
            return Exit::Failed;
        }
    };
    let mut parse = |text: &Result<Option<Vec<u8>>, String>, file| state::package(text, file, &mut problems);
    let (firewall, network_file) = (parse(&texts.firewall, "firewall"), parse(&texts.network, "network"));
    let network = network::read(&network::Sources {
        firewall: firewall.as_ref(),
        network: network_file.as_ref(),
        netifd: None,
        links: &network::Links::default(),
    });
    let Now { unix, .. } = Clock::start().now();
    let compiled = policy::compile(&config, &network, &texts.time_zone, unix);
    problems.extend(compiled.problems);
    let on = config.lan_only.enabled || config.lan_only.observe;
    let exit = say(&text::script(&ruleset::lay_out(&compiled.policy, on)));
    for problem in &problems {
        complain(&format!("lanward: {}: {}", problem.option, problem.message));
    }
    if problems.iter().any(|problem: &Problem| problem.restricts) {
        return Exit::Configuration;
    }
    exit
}

fn status_text(value: &Value) -> String {
    let mut text = lan_only_text(&value["lan_only"]);
    if value["applied"] == json!(false) {
        text.push_str("The configuration is not applied; what was applied stays:\n");
    }
    text.push_str(&problems_text(value));
    for warning in strings(&value["warnings"]) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str(&format!(
        "lanward {}, up {} s\n",
        value["version"].as_str().unwrap_or("?"),
        value["uptime"]
    ));
    text
}

fn lan_only_text(value: &Value) -> String {
    let state = match (
        &value["enabled"],
        &value["enforced"],
        &value["observe"],
        value["paused_seconds"].as_u64(),
    ) {
        (_, _, Value::Bool(true), _) => "observing: nothing is dropped".to_string(),
        (_, _, _, Some(seconds)) if seconds > 0 => format!("paused for another {seconds} s"),
        (Value::Bool(true), Value::Bool(true), ..) => "on".to_string(),
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
        value["dropped_packets"],
        value["dropped_bytes"],
        value["inbound_dropped_packets"],
        value["flows_cut"],
    )
}

fn problems_text(value: &Value) -> String {
    let problems = value["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |problem: &Value, key: &str| problem[key].as_str().unwrap_or_default().to_string();
    problems
        .iter()
        .map(|problem| format!("problem: {}: {}\n", word(problem, "option"), word(problem, "message")))
        .collect()
}

fn check_text(value: &Value) -> String {
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
        .map(|items| items.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// A reader that went away (`lanward print | head`) is not an error of ours, but the exit status tells that not all was said.
fn say(text: &str) -> Exit {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

fn complain(text: &str) {
    // Nobody is left to be told that stderr is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, String> {
        parse(lexopt::Parser::from_iter(line.split(' '))).map_err(|error| error.to_string())
    }

    #[test]
    fn commands_and_options_in_any_order() {
        let invocation = parsed("lanward --ubus-socket /tmp/x on --temporary").unwrap();
        assert_eq!(
            invocation.command,
            Command::Switch {
                on: true,
                temporary: true
            }
        );
        assert_eq!(invocation.paths.ubus_socket.to_str(), Some("/tmp/x"));
        assert_eq!(
            parsed("lanward pause 15").unwrap().command,
            Command::Pause { minutes: 15 }
        );
        assert!(parsed("lanward status --json").unwrap().json);
    }

    #[test]
    fn wrong_usage_is_named() {
        for (line, part) in [
            ("lanward", "no command"),
            ("lanward frobnicate", "'frobnicate'"),
            ("lanward pause", "MINUTES"),
            ("lanward pause soon", "'soon'"),
            ("lanward pause 0", "'0'"),
            ("lanward pause -5", "-5"),
            ("lanward on now", "on takes no operand: 'now'"),
            ("lanward pause 5 6", "'6'"),
            ("lanward status --temporary", "--temporary"),
            ("lanward on --json", "--json"),
            ("lanward --colour", "--colour"),
            ("lanward run --config-dir", "--config-dir"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
