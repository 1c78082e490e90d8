//! The command line: what the words mean, the commands that ask the daemon, and those that need none.

mod text;

use crate::config::{self, Problem};
use crate::daemon::{self, Paths};
use crate::event::Now;
use crate::gate::fw4_rules;
use crate::nft;
use crate::state::{self, State};
use crate::system::clock::Clock;
use crate::system::keeper::Keeper;
use crate::system::logger;
use crate::system::privileges::User;
use crate::system::ubus::{call_once, CallError};
use crate::{network, policy, report, ruleset};
use lexopt::prelude::*;
use nix::sys::signal::{SigSet, Signal};
use serde_json::{json, Value};
use std::io::{self, Write};
use std::process::ExitCode;
use text::{admitted_text, check_text, gate_list_text, lan_only_text, problems_text, removed_text, status_text};

const USAGE: &str = "\
Usage: lanward COMMAND [OPTIONS]
  run                     the daemon
  status [--json]         what is enforced
  on | off [--temporary]  LAN-only remote desktop; --temporary: until the router restarts
  pause MINUTES | resume  let remote desktop out for a while; it ends by itself
  gate list [GATE] [--json]              who is listed, and for how many seconds
  gate admit GATE ADDRESS|me [SECONDS]   list an address; me: where this SSH session comes from
  gate remove GATE ADDRESS               take an address off the list
  gate flush GATE                        empty the list
  check [--json]          configuration problems and a diagnosis of this router
  reload                  read the configuration again
  print                   the nft script it would apply, from configuration, without a daemon
  fw4-rules               what fw4 is to accept, as service data for the init script (JSON)
Options:
  --config-dir DIR        /etc/config
  --ubus-socket PATH      /var/run/ubus/ubus.sock
  --state-dir DIR         /etc/lanward (run)
  --run-dir DIR           /var/run/lanward (run)
  --share-dir DIR         /usr/share/lanward (run, check)
  --user NAME             become this user, with CAP_NET_ADMIN only (run, as root)
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
    Switch {
        on: bool,
        temporary: bool,
    },
    Pause {
        minutes: u32,
    },
    Resume,
    Check,
    Reload,
    Print,
    Fw4Rules,
    GateList(Option<String>),
    GateAdmit {
        gate: String,
        address: String,
        seconds: Option<u32>,
    },
    GateRemove {
        gate: String,
        address: String,
    },
    GateFlush(String),
    Help,
    Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Invocation {
    command: Command,
    paths: Paths,
    json: bool,
    user: Option<String>,
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
    let mut user = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config-dir") => paths.config_dir = parser.value()?.into(),
            Long("ubus-socket") => paths.ubus_socket = parser.value()?.into(),
            Long("state-dir") => paths.state_dir = parser.value()?.into(),
            Long("run-dir") => paths.run_dir = parser.value()?.into(),
            Long("share-dir") => paths.share_dir = parser.value()?.into(),
            Long("user") => user = Some(parser.value()?.string()?),
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
        ["fw4-rules"] => Command::Fw4Rules,
        ["gate", words @ ..] => gate_command(words)?,
        [] => return Err("no command".into()),
        [word @ ("run" | "status" | "on" | "off" | "resume" | "check" | "reload" | "print" | "fw4-rules"), operand, ..] =>
        {
            return Err(format!("{word} takes no operand: '{operand}'").into());
        }
        ["pause", _, operand, ..] => return Err(format!("pause takes one number of minutes: '{operand}'").into()),
        [word, ..] => return Err(format!("'{word}' is not a command").into()),
    };
    if temporary && !matches!(command, Command::Switch { .. } | Command::Help | Command::Version) {
        return Err("--temporary goes with on and off".into());
    }
    if user.is_some() && !matches!(command, Command::Run | Command::Help | Command::Version) {
        return Err("--user goes with run".into());
    }
    if json
        && !matches!(
            command,
            Command::Status | Command::Check | Command::GateList(_) | Command::Help | Command::Version
        )
    {
        return Err("--json goes with status, check and gate list".into());
    }
    Ok(Invocation {
        command,
        paths,
        json,
        user,
    })
}

fn gate_command(words: &[&str]) -> Result<Command, lexopt::Error> {
    let command = match words {
        ["list"] => Command::GateList(None),
        ["list", gate] => Command::GateList(Some((*gate).into())),
        ["admit", gate, address] => Command::GateAdmit {
            gate: (*gate).into(),
            address: (*address).into(),
            seconds: None,
        },
        ["admit", gate, address, seconds] => Command::GateAdmit {
            gate: (*gate).into(),
            address: (*address).into(),
            seconds: Some(
                seconds
                    .parse()
                    .map_err(|_| format!("gate admit: '{seconds}' is not a number of seconds (such as 60)"))?,
            ),
        },
        ["remove", gate, address] => Command::GateRemove {
            gate: (*gate).into(),
            address: (*address).into(),
        },
        ["flush", gate] => Command::GateFlush((*gate).into()),
        [] => return Err("gate: list, admit, remove or flush?".into()),
        ["admit", ..] => return Err("gate admit takes GATE ADDRESS [SECONDS]".into()),
        ["remove", ..] => return Err("gate remove takes GATE ADDRESS".into()),
        ["flush", ..] => return Err("gate flush takes one GATE".into()),
        ["list", ..] => return Err("gate list takes at most one GATE".into()),
        [word, ..] => return Err(format!("gate: '{word}' is not list, admit, remove or flush").into()),
    };
    Ok(command)
}

fn minutes_of(word: &str) -> Result<u32, lexopt::Error> {
    word.parse()
        .ok()
        .filter(|minutes| *minutes > 0)
        .ok_or_else(|| format!("pause: '{word}' is not a number of minutes (such as 15)").into())
}

fn perform(invocation: Invocation) -> Exit {
    let Invocation {
        command,
        paths,
        json,
        user,
    } = invocation;
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
        Command::Run => run(paths, user.as_deref()),
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
        Command::Print => print(&paths, |compiled, on| {
            nft::text::script(&ruleset::lay_out(&compiled.policy, on))
        }),
        Command::Fw4Rules => print(&paths, |compiled, _| {
            let lan = compiled.policy.gates.lan.as_deref();
            format!("{:#}\n", fw4_rules(&compiled.policy.gates, lan))
        }),
        Command::GateList(gate) => {
            let arguments = gate.map_or_else(|| json!({}), |gate| json!({ "gate": gate }));
            answer(ask("gate_list", arguments), json, gate_list_text)
        }
        Command::GateAdmit { gate, address, seconds } => match own_address(address) {
            Ok(address) => {
                let mut arguments = json!({ "gate": gate, "address": address });
                if let Some(seconds) = seconds {
                    arguments["seconds"] = seconds.into();
                }
                answer(ask("gate_admit", arguments), false, admitted_text)
            }
            Err(error) => {
                complain(&format!("lanward: {error}"));
                Exit::Failed
            }
        },
        Command::GateRemove { gate, address } => answer(
            ask("gate_remove", json!({ "gate": gate, "address": address })),
            false,
            removed_text,
        ),
        Command::GateFlush(gate) => answer(ask("gate_flush", json!({ "gate": gate })), false, removed_text),
    }
}

fn run(paths: Paths, user: Option<&str>) -> Exit {
    // The init script's trigger may tell to read again while we start: that waits until there is somebody to hear it, instead of ending us.
    let _ = SigSet::from(Signal::SIGHUP).thread_block();
    // The keeper is a copy of what is there now: next to nothing.
    let kept = user.map(|name| {
        let user = User::find(name)?;
        Keeper::start(&paths.config_dir, user.id()).map(|keeper| (user, keeper))
    });
    // A second logger cannot be set up by a program that has one main function.
    let _ = logger::start(log::LevelFilter::Info);
    std::panic::set_hook(Box::new(|panic| {
        log::error!("a defect ended the daemon; what is enforced stays: {panic}");
    }));
    let ended = match kept.transpose().and_then(|kept| settle(&paths, kept)) {
        Ok(keeper) => daemon::run(paths, keeper).map_err(|error| error.to_string()),
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            log::error!("{error}");
            Exit::Failed
        }
    }
}

/// Becomes the user, after giving it the directories that the daemon writes in. What is enforced does not depend on these.
fn settle(paths: &Paths, kept: Option<(User, Keeper)>) -> Result<Option<Keeper>, String> {
    let Some((user, keeper)) = kept else { return Ok(None) };
    for (directory, mode) in [(&paths.run_dir, 0o755), (&paths.state_dir, 0o700)] {
        if let Err(error) = user.give_directory(directory, mode) {
            log::warn!("{} cannot be given to the daemon's user: {error}", directory.display());
        }
    }
    user.become_it()?;
    Ok(Some(keeper))
}

/// `me` is the client's address of the SSH session that this runs in, as sshd and dropbear say it. If that is an address inside the VPN, the
/// daemon knows where its peer is.
fn own_address(address: String) -> Result<String, String> {
    if address != "me" {
        return Ok(address);
    }
    let from = ["SSH_CONNECTION", "SSH_CLIENT"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let client = from.as_deref().and_then(|from| from.split_whitespace().next());
    // A link-local client has its device behind a %.
    let address = client.map(|client| client.split('%').next().unwrap_or(client));
    address
        .map(str::to_string)
        .ok_or_else(|| "me: this is not an SSH session (SSH_CONNECTION is not set): give the address".to_string())
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

/// What follows from the files alone. Wrong configuration is told on stderr, and the closed form printed: that is what the daemon would apply.
fn print(paths: &Paths, text: fn(&policy::Compiled, bool) -> String) -> Exit {
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
    let on = config.lan_only.enabled || config.lan_only.observe;
    let exit = say(&text(&compiled, on));
    problems.extend(compiled.problems);
    for problem in &problems {
        complain(&format!("lanward: {}: {}", problem.option, problem.message));
    }
    if problems.iter().any(|problem: &Problem| problem.restricts) {
        return Exit::Configuration;
    }
    exit
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
        assert!(parsed("lanward gate list --json ssh").unwrap().json);
        let user = parsed("lanward run --user lanward").unwrap().user;
        assert_eq!(user.as_deref(), Some("lanward"));
        let admit = |seconds| Command::GateAdmit {
            gate: "ssh".into(),
            address: "192.0.2.1".into(),
            seconds,
        };
        assert_eq!(parsed("lanward gate admit ssh 192.0.2.1").unwrap().command, admit(None));
        assert_eq!(
            parsed("lanward gate admit ssh 192.0.2.1 60").unwrap().command,
            admit(Some(60))
        );
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
            ("lanward status --user lanward", "--user goes with run"),
            ("lanward print --user lanward", "--user goes with run"),
            ("lanward run --user", "--user"),
            ("lanward run --config-dir", "--config-dir"),
            ("lanward gate", "list, admit, remove or flush"),
            ("lanward gate open ssh", "'open'"),
            ("lanward gate admit ssh", "GATE ADDRESS [SECONDS]"),
            ("lanward gate admit ssh 192.0.2.1 soon", "'soon'"),
            ("lanward gate admit ssh 192.0.2.1 -5", "-5"),
            ("lanward gate remove ssh", "GATE ADDRESS"),
            ("lanward gate flush", "one GATE"),
            ("lanward gate list a b", "at most one GATE"),
            ("lanward gate flush ssh --json", "--json"),
            ("lanward fw4-rules now", "fw4-rules takes no operand"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
