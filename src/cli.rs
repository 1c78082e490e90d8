//! The command line: what the words mean, the commands that ask the daemon, and those that need none.

mod check;
mod history;
mod import;
mod knock;
mod parse;
mod relay;
mod spa;
mod text;

use crate::config::{self, Problem};
use crate::daemon::{self, Paths};
use crate::event::Now;
use crate::gate::fw4_rules;
use crate::json::{self, json};
use crate::nft;
use crate::state;
use crate::system::clock::Clock;
use crate::system::keeper::Keeper;
use crate::system::logger;
use crate::system::privileges::User;
use crate::system::storage;
use crate::system::ubus::{call_once, CallError, Status};
use crate::{network, policy, profiles, report, ruleset};
use nix::sys::signal::{SigSet, Signal};
use parse::{parse, Command, Invocation, USAGE};
use serde_json::Value;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use text::{
    admitted_text, gate_list_text, is_in_vain, lan_only_text, problems_text, reasons_text, removed_text, status_text,
};

/// What the exit status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
            match method {
                "relay_check" | "relay_keygen" => daemon::LONG_CALL,
                _ => daemon::CALL_TIMEOUT,
            },
        )
    };
    match command {
        Command::Help => say(USAGE),
        Command::Version => say(&format!("lanward {}\n", report::VERSION)),
        Command::Run => run(paths, user.as_deref()),
        Command::Status => answer(ask("status", json!({})), json, status_text),
        Command::Switch { on, temporary } => {
            switched(ask, ask("lan_only", json!({ "enabled": on, "persist": !temporary })))
        }
        Command::Pause { minutes } => answer(ask("pause", json!({ "minutes": minutes })), false, lan_only_text),
        Command::Resume => switched(ask, ask("resume", json!({}))),
        Command::Reload => reload(ask("reload", json!({}))),
        Command::Check { named: true } => check::check(&check::of_files(&paths, None), json),
        Command::Check { named: false } => check::check(&check::of_all(ask("check", json!({})), &paths), json),
        // What is wrong anywhere in the file is a wrong configuration.
        Command::Print => print(
            &paths,
            |_| true,
            |compiled, on| nft::text::script(&ruleset::lay_out(&compiled.policy, on)),
        ),
        // The init script keeps what fw4 has where the daemon does: where a reload would be refused.
        Command::Fw4Rules => print(
            &paths,
            |problem| problem.restricts,
            |compiled, _| {
                let lan = compiled.policy.gates.lan.as_deref();
                json::lines(&fw4_rules(&compiled.policy.gates, lan))
            },
        ),
        Command::GateList(gate) => {
            let arguments = gate.as_ref().map_or_else(|| json!({}), |gate| json!({ "gate": gate }));
            at_gate(ask("gate_list", arguments), gate.as_deref(), json, gate_list_text)
        }
        Command::GateAdmit { gate, address, seconds } => match own_address(address) {
            Ok(address) => {
                let mut arguments = json!({ "gate": &gate, "address": address });
                if let Some(seconds) = seconds {
                    arguments["seconds"] = seconds.into();
                }
                at_gate(ask("gate_admit", arguments), Some(&gate), false, admitted_text)
            }
            Err(error) => {
                complain(&format!("lanward: {error}"));
                Exit::Failed
            }
        },
        Command::GateRemove { gate, address } => at_gate(
            ask("gate_remove", json!({ "gate": &gate, "address": address })),
            Some(&gate),
            false,
            removed_text,
        ),
        Command::GateFlush(gate) => at_gate(
            ask("gate_flush", json!({ "gate": &gate })),
            Some(&gate),
            false,
            removed_text,
        ),
        Command::Relay(relay) => relay::perform(ask, &relay, json),
        Command::History(history) => history::history(ask, history.arguments, history.form),
        Command::Import(files) => import::logs(ask, &files),
        Command::Erase => history::erase(ask("ledger_erase", json!({}))),
        Command::Knock(knock) => knock::knock(&knock),
        Command::Spa(spa) => spa::send(&spa),
        Command::Keygen(keygen) => spa::keygen(&keygen, &paths.state_dir),
        Command::ImportKnockd { file, gate } => import::knockd(&file, &gate),
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
    // Where a panic is a trap, `system::defect` says it.
    #[cfg(not(panic = "immediate-abort"))]
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
    // Its files were root's, if a daemon ran as root before. (What may be a link there goes, not what it leads to.)
    let _ = std::fs::remove_dir_all(paths.run_dir.join("relay"));
    let told = |path: &std::path::Path, given: std::io::Result<()>| match given {
        Ok(()) => true,
        Err(error) => {
            log::warn!("{} cannot be given to the daemon's user: {error}", path.display());
            false
        }
    };
    told(&paths.run_dir, user.give_directory(&paths.run_dir, 0o755));
    if told(&paths.state_dir, user.give_directory(&paths.state_dir, 0o700)) {
        for path in daemon::KEPT.map(|name| paths.state_dir.join(name)) {
            told(&path, user.give_file(&path));
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

/// As [`answer`]; a gate that there is not is named.
fn at_gate(result: Result<Value, CallError>, gate: Option<&str>, json: bool, text: fn(&Value) -> String) -> Exit {
    match gate {
        Some(gate) if is_unknown(&result) => unknown("gate", gate),
        _ => answer(result, json, text),
    }
}

fn is_unknown(result: &Result<Value, CallError>) -> bool {
    matches!(result, Err(CallError::Status(Status::NotFound)))
}

fn unknown(what: &str, name: &str) -> Exit {
    let name = name.escape_debug();
    complain(&format!("lanward: there is no {what} '{name}' in the configuration"));
    Exit::Failed
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
    let exit = say(&if json { json::lines(&value) } else { text(&value) });
    match value.get("error").and_then(Value::as_str) {
        Some(error) => {
            complain(&format!("lanward: {error}"));
            Exit::Failed
        }
        None => exit,
    }
}

/// As [`answer`]; and where the switch is on and does nothing, what the daemon knows to be wrong. It is no failure: what was asked for is done.
fn switched(ask: impl Fn(&str, Value) -> Result<Value, CallError>, result: Result<Value, CallError>) -> Exit {
    let in_vain = result.as_ref().is_ok_and(is_in_vain);
    let exit = answer(result, false, lan_only_text);
    match in_vain.then(|| ask("status", json!({}))) {
        Some(Ok(status)) => exit.max(say(&reasons_text(&status))),
        _ => exit,
    }
}

fn reload(result: Result<Value, CallError>) -> Exit {
    let refused = matches!(&result, Ok(value) if value["applied"] == false && value.get("error").is_none());
    let exit = answer(result, false, |value| {
        let mut text = if value["applied"] == true {
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

/// What follows from the files alone. Wrong configuration is told on stderr, and the closed form printed: that is what the daemon would apply.
fn print(paths: &Paths, is_wrong: fn(&Problem) -> bool, text: fn(&policy::Compiled, bool) -> String) -> Exit {
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
    if let Some(Ok(profiles)) = texts.profiles.as_deref().map(profiles::parse) {
        problems.extend(report::unknown_profiles(&config, &profiles));
    }
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
    if problems.iter().any(is_wrong) {
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

/// Whether what is said is seen at once, by somebody with colours.
fn to_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A file that was named on the command line; `-` is standard input. At most one byte more than `most`.
fn read_named(name: &str, most: usize) -> io::Result<Vec<u8>> {
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let file = match name {
        "-" => storage::standard_input()?,
        _ => std::fs::File::open(name)?,
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn complain(text: &str) {
    // Nobody is left to be told that stderr is gone.
    let _ = writeln!(io::stderr(), "{text}");
}
