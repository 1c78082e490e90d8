//! The words of the command line, and what they mean.

use super::history::Form;
use crate::config::{Protocol, Step};
use crate::daemon::Paths;
use crate::gather::Gather;
use crate::keygen::{ports, PORT};
use crate::report::query;
use crate::spa::Digest;
use crate::state::{LONGEST_GRANT, LONGEST_PAUSE_MINUTES};
use crate::system::client::Family;
use lexopt::prelude::*;
use serde_json::Map;
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) const USAGE: &str = "\
Usage: lanward COMMAND [OPTIONS]
  run                     the daemon
  status [--json]         what is enforced
  on | off [--temporary]  LAN-only remote desktop; --temporary: until the router restarts
  pause MINUTES | resume  let remote desktop out for a while; it ends by itself
  gate list [GATE] [--json]              who is listed, and for how many seconds
  gate admit GATE ADDRESS|me [SECONDS]   list an address; me: where this SSH session comes from
  gate remove GATE ADDRESS               take an address off the list
  gate flush GATE                        empty the list
  relay list [--json]                    the ways in from outside, their state and their last check
  relay restart | check NAME             begins anew; looks through the tunnel now
  relay keygen NAME                      the router's key for a relay: makes it if there is none, and prints its public line
  relay script NAME                      what the relay's account needs: a script, and lines for authorized_keys
  relay client NAME [--rdp]              how to come in: a command, a block for ~/.ssh/config, an .rdp file (--rdp: that alone)
  history [--by day|hour|month|port|source] [--from DATE] [--to DATE] [--limit N] [--json|--csv]
                          what strangers tried; only --protocol tcp, --port N, --address ADDRESS. --erase: forget it all
  import FILE... | -      counts the netfilter lines of logs (plain or gzip), and other routers' ledgers; the same again changes nothing
  check [--json]          configuration problems and a diagnosis of this router; --config-dir: of the files there, without the daemon
  reload                  read the configuration again
  print                   the nft script it would apply, from configuration, without a daemon
  import-knockd FILE|- [--gate NAME]     a knockd.conf as sections for /etc/config/lanward
  fw4-rules               what fw4 is to accept, as service data for the init script (JSON)
From another machine (no root, no daemon, no configuration):
  knock HOST PORT[:udp]... [--delay MS]  one packet to each port, in order (--delay: 100; 0: at once, as knockd's client)
  spa HOST --access tcp/22[,tcp/80] --key-file FILE [--seconds N] [--address ADDRESS|source]
                          one authenticated packet. --address: who is to be let in. Without it, this machine's own; behind
                          NAT its public one, or source: whoever the packet comes from
  spa keygen NAME [--key-file FILE] [--host ROUTER] [--access tcp/22] [--gate NAME]
                          makes a key; prints the section, fwknop's stanza and a QR code. FILE: /etc/lanward/NAME.key
  knock, spa: --ipv4, --ipv6             spa: --port 62201, --hmac sha256 (sha1, sha384, sha512)
Options:
  --config-dir DIR        /etc/config
  --ubus-socket PATH      /var/run/ubus/ubus.sock
  --state-dir DIR         /etc/lanward (run)
  --run-dir DIR           /var/run/lanward (run)
  --share-dir DIR         /usr/share/lanward (run, print, check)
  --user NAME             become this user, with CAP_NET_ADMIN only (run, as root)
  --version, --help
Exit status: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration.
";

/// A command with its operands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Run,
    Status,
    Switch {
        on: bool,
        temporary: bool,
    },
    Pause {
        minutes: i64,
    },
    Resume,
    /// With `--config-dir`: of those files alone, whatever daemon answers.
    Check {
        named: bool,
    },
    Reload,
    Print,
    Fw4Rules,
    GateList(Option<String>),
    GateAdmit {
        gate: String,
        address: String,
        seconds: Option<i64>,
    },
    GateRemove {
        gate: String,
        address: String,
    },
    GateFlush(String),
    Relay(Relay),
    History(History),
    Erase,
    Import(Vec<String>),
    Knock(Knock),
    Spa(Spa),
    Keygen(Keygen),
    ImportKnockd {
        file: String,
        gate: String,
    },
    Help,
    Version,
}

/// What is wanted of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Relay {
    List,
    Restart(String),
    Check(String),
    Keygen(String),
    Script(String),
    Client { name: String, rdp: bool },
}

/// What is asked of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    /// As the bus takes them.
    pub(super) arguments: Map<String, serde_json::Value>,
    pub(super) form: Form,
}

/// One packet to each port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Knock {
    pub(super) host: String,
    pub(super) steps: Vec<Step>,
    /// Milliseconds between two of them.
    pub(super) delay: u32,
    pub(super) family: Option<Family>,
}

/// One authenticated packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spa {
    pub(super) host: String,
    pub(super) ports: Vec<(Protocol, u16)>,
    pub(super) key_file: PathBuf,
    pub(super) port: u16,
    pub(super) address: Whose,
    pub(super) seconds: Option<u32>,
    pub(super) digest: Digest,
    pub(super) family: Option<Family>,
}

/// Who is to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// This machine, by its own address on the way to the host.
    Own,
    /// Whoever the packet comes from.
    Source,
    This(IpAddr),
}

/// A new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keygen {
    pub(super) name: String,
    pub(super) key_file: Option<PathBuf>,
    pub(super) host: Option<String>,
    pub(super) access: String,
    pub(super) gate: String,
    pub(super) port: u16,
    pub(super) digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) command: Command,
    pub(super) paths: Paths,
    pub(super) json: bool,
    pub(super) user: Option<String>,
}

/// Options that only the commands of the other machine have; as they were given.
#[derive(Default)]
struct Given {
    delay: Option<String>,
    family: Option<Family>,
    access: Option<String>,
    key_file: Option<PathBuf>,
    port: Option<String>,
    address: Option<String>,
    seconds: Option<String>,
    hmac: Option<String>,
    host: Option<String>,
    gate: Option<String>,
    by: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<String>,
    protocol: Option<String>,
    csv: bool,
    erase: bool,
    rdp: bool,
}

impl Given {
    /// The first one that is left when the command has taken what it knows.
    fn left(&self) -> Option<&'static str> {
        [
            (self.delay.is_some(), "--delay goes with knock"),
            (self.family.is_some(), "--ipv4 and --ipv6 go with knock and spa HOST"),
            (self.access.is_some(), "--access goes with spa"),
            (self.key_file.is_some(), "--key-file goes with spa"),
            (self.port.is_some(), "--port goes with spa and history"),
            (self.address.is_some(), "--address goes with spa HOST and history"),
            (self.seconds.is_some(), "--seconds goes with spa HOST"),
            (self.hmac.is_some(), "--hmac goes with spa"),
            (self.host.is_some(), "--host goes with spa keygen"),
            (self.gate.is_some(), "--gate goes with spa keygen and import-knockd"),
            (self.by.is_some(), "--by goes with history"),
            (self.from.is_some(), "--from goes with history"),
            (self.to.is_some(), "--to goes with history"),
            (self.limit.is_some(), "--limit goes with history"),
            (self.protocol.is_some(), "--protocol goes with history"),
            (self.csv, "--csv goes with history"),
            (self.erase, "--erase goes with history, alone"),
            (self.rdp, "--rdp goes with relay client"),
        ]
        .into_iter()
        .find_map(|(is_left, what)| is_left.then_some(what))
    }

    fn port(&mut self) -> Result<u16, String> {
        self.port.take().map_or(Ok(PORT), |word| port_of("spa", &word))
    }

    fn digest(&mut self) -> Result<Digest, String> {
        let Some(word) = self.hmac.take() else {
            return Ok(Digest::default());
        };
        Digest::parse(&word).ok_or_else(|| format!("spa: '{word}' is not sha256, sha1, sha384 or sha512"))
    }

    fn gate(&mut self) -> Result<String, String> {
        let gate = self.gate.take().unwrap_or_else(|| "ssh".into());
        if gate.is_empty() || !gate.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!(
                "--gate: '{gate}' cannot be a gate's name: letters, digits and '_'"
            ));
        }
        Ok(gate)
    }
}

pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Invocation, lexopt::Error> {
    let (mut words, mut paths) = (Vec::new(), Paths::default());
    let (mut json, mut temporary, mut help, mut version, mut named) = (false, false, false, false, false);
    let (mut user, mut given) = (None, Given::default());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config-dir") => {
                paths.config_dir = parser.value()?.into();
                named = true;
            }
            Long("ubus-socket") => paths.ubus_socket = parser.value()?.into(),
            Long("state-dir") => paths.state_dir = parser.value()?.into(),
            Long("run-dir") => paths.run_dir = parser.value()?.into(),
            Long("share-dir") => paths.share_dir = parser.value()?.into(),
            Long("user") => user = Some(parser.value()?.string()?),
            Long("delay") => given.delay = Some(parser.value()?.string()?),
            Long("ipv4") => given.family = Some(Family::V4),
            Long("ipv6") => given.family = Some(Family::V6),
            Long("access") => given.access = Some(parser.value()?.string()?),
            Long("key-file") => given.key_file = Some(parser.value()?.into()),
            Long("port") => given.port = Some(parser.value()?.string()?),
            Long("address") => given.address = Some(parser.value()?.string()?),
            Long("seconds") => given.seconds = Some(parser.value()?.string()?),
            Long("hmac") => given.hmac = Some(parser.value()?.string()?),
            Long("host") => given.host = Some(parser.value()?.string()?),
            Long("gate") => given.gate = Some(parser.value()?.string()?),
            Long("by") => given.by = Some(parser.value()?.string()?),
            Long("from") => given.from = Some(parser.value()?.string()?),
            Long("to") => given.to = Some(parser.value()?.string()?),
            Long("limit") => given.limit = Some(parser.value()?.string()?),
            Long("protocol") => given.protocol = Some(parser.value()?.string()?),
            Long("csv") => given.csv = true,
            Long("erase") => given.erase = true,
            Long("rdp") => given.rdp = true,
            Long("json") => json = true,
            Long("temporary") => temporary = true,
            Long("help") | Short('h') => help = true,
            Long("version") | Short('V') => version = true,
            Value(word) => words.push(word.string()?),
            Short(_) | Long(_) => return Err(argument.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).gathered();
    let command = match words.as_slice() {
        _ if help => Command::Help,
        _ if version => Command::Version,
        ["run"] => Command::Run,
        ["status"] => Command::Status,
        ["on"] => Command::Switch { on: true, temporary },
        ["off"] => Command::Switch { on: false, temporary },
        ["pause", minutes] => Command::Pause {
            minutes: span("pause", minutes, "minutes", LONGEST_PAUSE_MINUTES)?,
        },
        ["pause"] => return Err("pause: for how many MINUTES?".into()),
        ["resume"] => Command::Resume,
        ["check"] => Command::Check { named },
        ["reload"] => Command::Reload,
        ["print"] => Command::Print,
        ["fw4-rules"] => Command::Fw4Rules,
        ["gate", words @ ..] => gate_command(words)?,
        ["history"] if given.erase => {
            given.erase = false;
            Command::Erase
        }
        ["history"] => Command::History(history(&mut given, json)?),
        ["relay", words @ ..] => relay(words, &mut given)?,
        ["knock", words @ ..] => knock(words, &mut given)?,
        ["spa", "keygen", words @ ..] => keygen(words, &mut given)?,
        ["spa", words @ ..] => spa(words, &mut given)?,
        ["import"] => return Err("import: which FILEs? - is standard input".into()),
        ["import", files @ ..] => Command::Import(files.iter().map(ToString::to_string).gathered()),
        ["import-knockd", file] => Command::ImportKnockd {
            file: (*file).into(),
            gate: given.gate()?,
        },
        ["import-knockd", ..] => return Err("import-knockd takes one FILE, or - for standard input".into()),
        [] => return Err("no command".into()),
        [word
        @ ("run" | "status" | "on" | "off" | "resume" | "check" | "reload" | "print" | "fw4-rules" | "history"), operand, ..] =>
        {
            return Err(format!("{word} takes no operand: '{operand}'").into());
        }
        ["pause", _, operand, ..] => return Err(format!("pause takes one number of minutes: '{operand}'").into()),
        [word, ..] => return Err(format!("'{word}' is not a command").into()),
    };
    if !matches!(command, Command::Help | Command::Version) {
        if let Some(what) = given.left() {
            return Err(what.into());
        }
    }
    if temporary && !matches!(command, Command::Switch { .. } | Command::Help | Command::Version) {
        return Err("--temporary goes with on and off".into());
    }
    if user.is_some() && !matches!(command, Command::Run | Command::Help | Command::Version) {
        return Err("--user goes with run".into());
    }
    if json
        && !matches!(
            command,
            Command::Status
                | Command::Check { .. }
                | Command::GateList(_)
                | Command::Relay(Relay::List)
                | Command::History(_)
                | Command::Help
                | Command::Version
        )
    {
        return Err("--json goes with status, check, gate list, relay list and history".into());
    }
    Ok(Invocation {
        command,
        paths,
        json,
        user,
    })
}

/// Judged by the rules of the daemon that is asked.
fn history(given: &mut Given, json: bool) -> Result<History, String> {
    let mut arguments = Map::new();
    let texts = [
        ("by", given.by.take()),
        ("from", given.from.take()),
        ("to", given.to.take()),
        ("protocol", given.protocol.take()),
        ("address", given.address.take()),
    ];
    for (name, text) in texts {
        arguments.extend(text.map(|text| (name.to_string(), text.into())));
    }
    for (name, text) in [("limit", given.limit.take()), ("port", given.port.take())] {
        let Some(text) = text else { continue };
        let number: u32 = text.parse().map_err(|_| format!("--{name}: '{text}' is no number"))?;
        arguments.insert(name.into(), number.into());
    }
    query(&arguments).map_err(|why| format!("history: {why}"))?;
    let form = match (json, std::mem::take(&mut given.csv)) {
        (true, true) => return Err("history: --json or --csv".into()),
        (true, false) => Form::Json,
        (false, true) => Form::Csv,
        (false, false) => Form::Text,
    };
    Ok(History { arguments, form })
}

fn relay(words: &[&str], given: &mut Given) -> Result<Command, lexopt::Error> {
    let relay = match words {
        ["list"] => Relay::List,
        ["restart", name] => Relay::Restart((*name).into()),
        ["check", name] => Relay::Check((*name).into()),
        ["keygen", name] => Relay::Keygen((*name).into()),
        ["script", name] => Relay::Script((*name).into()),
        ["client", name] => Relay::Client {
            name: (*name).into(),
            rdp: std::mem::take(&mut given.rdp),
        },
        [] => return Err("relay: list, restart, check, keygen, script or client?".into()),
        ["list", ..] => return Err("relay list takes no operand".into()),
        [word @ ("restart" | "check" | "keygen" | "script" | "client"), ..] => {
            return Err(format!("relay {word} takes one NAME").into());
        }
        [word, ..] => {
            return Err(format!("relay: '{word}' is not list, restart, check, keygen, script or client").into());
        }
    };
    Ok(Command::Relay(relay))
}

fn gate_command(words: &[&str]) -> Result<Command, lexopt::Error> {
    let command = match words {
        ["list"] => Command::GateList(None),
        ["list", gate] => Command::GateList(Some((*gate).into())),
        ["admit", gate, address] => Command::GateAdmit {
            gate: (*gate).into(),
            address: admitted(address)?,
            seconds: None,
        },
        ["admit", gate, address, seconds] => Command::GateAdmit {
            gate: (*gate).into(),
            address: admitted(address)?,
            seconds: Some(span("gate admit", seconds, "seconds", LONGEST_GRANT)?),
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

fn admitted(word: &str) -> Result<String, String> {
    match word == "me" || word.parse::<IpAddr>().is_ok() {
        true => Ok(word.into()),
        false => Err(format!(
            "gate admit: '{word}' is neither an address (such as 203.0.113.9) nor 'me'"
        )),
    }
}

/// A number of seconds or minutes that the daemon takes.
fn span(command: &str, word: &str, unit: &str, most: i64) -> Result<i64, String> {
    let number = word.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("{command}: '{word}' is not a number of {unit} (from 1 to {most})"))
}

fn knock(words: &[&str], given: &mut Given) -> Result<Command, String> {
    let [host, steps @ ..] = words else {
        return Err("knock: at which HOST, at which PORTs?".into());
    };
    if steps.is_empty() {
        return Err("knock: at which PORTs? (such as 7000 8000:udp 9000)".into());
    }
    let step = |word: &&str| {
        // The configuration writes it the other way round.
        let (protocol, port) = match word.split_once(':') {
            None => (Protocol::Tcp, *word),
            Some((port, "tcp") | ("tcp", port)) => (Protocol::Tcp, port),
            Some((port, "udp") | ("udp", port)) => (Protocol::Udp, port),
            Some(_) => return Err(format!("knock: '{word}' is not PORT, PORT:tcp or PORT:udp")),
        };
        let port = port_of("knock", port)?;
        Ok(Step { protocol, port })
    };
    let delay = given.delay.take();
    let delay = delay.map_or(Ok(100), |word| {
        let delay = word.parse().ok().filter(|delay| *delay <= 60_000);
        delay.ok_or_else(|| format!("--delay: '{word}' is not a number of milliseconds (0 to 60000)"))
    });
    Ok(Command::Knock(Knock {
        host: (*host).into(),
        steps: steps.iter().map(step).collect::<Result<_, _>>()?,
        delay: delay?,
        family: given.family.take(),
    }))
}

fn spa(words: &[&str], given: &mut Given) -> Result<Command, String> {
    let [host] = words else {
        return Err(match words {
            [] => "spa: HOST or keygen?".into(),
            [_, word, ..] => format!("spa takes one HOST: '{word}'"),
            [_] => String::new(),
        });
    };
    let access = given
        .access
        .take()
        .ok_or("spa: --access: to which port? (such as tcp/22)")?;
    let address = match given.address.take().as_deref() {
        None => Whose::Own,
        Some("source") => Whose::Source,
        Some(word) => Whose::This(
            word.parse()
                .map_err(|_| format!("--address: '{word}' is neither an address nor 'source'"))?,
        ),
    };
    let seconds = given.seconds.take();
    let seconds = seconds.map(|word| {
        let seconds = word.parse().ok().filter(|seconds| (1..=65_536).contains(seconds));
        seconds.ok_or_else(|| format!("--seconds: '{word}' is not a number of seconds (1 to 65536)"))
    });
    Ok(Command::Spa(Spa {
        host: (*host).into(),
        ports: ports(&access).map_err(|error| format!("--access: {error}"))?,
        key_file: given.key_file.take().ok_or("spa: --key-file: which key?")?,
        port: given.port()?,
        address,
        seconds: seconds.transpose()?,
        digest: given.digest()?,
        family: given.family.take(),
    }))
}

fn keygen(words: &[&str], given: &mut Given) -> Result<Command, String> {
    let [name] = words else {
        return Err("spa keygen takes one NAME (such as laptop)".into());
    };
    let access = given.access.take().unwrap_or_else(|| "tcp/22".into());
    ports(&access).map_err(|error| format!("--access: {error}"))?;
    Ok(Command::Keygen(Keygen {
        name: (*name).into(),
        key_file: given.key_file.take(),
        host: given.host.take(),
        access,
        gate: given.gate()?,
        port: given.port()?,
        digest: given.digest()?,
    }))
}

fn port_of(command: &str, word: &str) -> Result<u16, String> {
    let port = word.parse().ok().filter(|port| *port > 0 && !word.starts_with('+'));
    port.ok_or_else(|| format!("{command}: '{word}' is not a port (1 to 65535)"))
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
    fn the_other_machines_commands() {
        let Command::Knock(knock) = parsed("lanward knock --ipv6 home 7000 8000:udp udp:9000 22:tcp --delay 0")
            .unwrap()
            .command
        else {
            panic!("no knock");
        };
        assert_eq!((knock.delay, knock.family), (0, Some(Family::V6)));
        let steps: Vec<_> = knock.steps.iter().map(|step| (step.protocol, step.port)).collect();
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        assert_eq!(steps, [(tcp, 7000), (udp, 8000), (udp, 9000), (tcp, 22)]);
        let Command::Spa(spa) =
            parsed("lanward spa home --access tcp/22,tcp/80 --key-file k --hmac SHA512 --seconds 60")
                .unwrap()
                .command
        else {
            panic!("no spa");
        };
        assert_eq!(spa.ports, [(tcp, 22), (tcp, 80)]);
        assert_eq!((spa.port, spa.address, spa.seconds), (62201, Whose::Own, Some(60)));
        assert_eq!(spa.digest, Digest::Sha512);
        let Command::Keygen(keygen) = parsed("lanward spa keygen laptop --gate web").unwrap().command else {
            panic!("no keygen");
        };
        assert_eq!(
            (&*keygen.access, &*keygen.gate, keygen.key_file),
            ("tcp/22", "web", None)
        );
        assert_eq!(
            parsed("lanward import-knockd -").unwrap().command,
            Command::ImportKnockd {
                file: "-".into(),
                gate: "ssh".into()
            }
        );
        assert_eq!(parsed("lanward knock --delay 5 --help").unwrap().command, Command::Help);
    }

    #[test]
    fn wrong_usage_is_named() {
        for (line, part) in [
            ("lanward knock", "at which HOST"),
            ("lanward knock home", "at which PORTs"),
            ("lanward knock home 0", "'0' is not a port"),
            ("lanward knock home 65536", "'65536'"),
            ("lanward knock home +7", "'+7'"),
            ("lanward knock home 7000:sctp", "'7000:sctp'"),
            ("lanward knock home 7000 --delay soon", "--delay: 'soon'"),
            ("lanward knock home 7000 --delay -1", "--delay: '-1'"),
            ("lanward knock home 7000 --access tcp/22", "--access goes with spa"),
            ("lanward knock home 7000 --json", "--json goes with"),
            ("lanward status --delay 5", "--delay goes with knock"),
            ("lanward status --gate ssh", "--gate goes with"),
            ("lanward print --ipv4", "--ipv4"),
            ("lanward spa", "HOST or keygen"),
            ("lanward spa home", "--access: to which port"),
            ("lanward spa home --access tcp/22", "--key-file: which key"),
            ("lanward spa home away --access tcp/22 --key-file k", "one HOST: 'away'"),
            ("lanward spa home --access 22 --key-file k", "--access: '22' is no port"),
            ("lanward spa home --access tcp/22, --key-file k", "--access: ''"),
            ("lanward spa home --access tcp/0 --key-file k", "'tcp/0'"),
            ("lanward spa home --access icmp/1 --key-file k", "'icmp/1'"),
            (
                "lanward spa home --access tcp/22 --key-file k --address me",
                "--address: 'me'",
            ),
            (
                "lanward spa home --access tcp/22 --key-file k --seconds 0",
                "--seconds: '0'",
            ),
            (
                "lanward spa home --access tcp/22 --key-file k --seconds 65537",
                "--seconds: '65537'",
            ),
            (
                "lanward spa home --access tcp/22 --key-file k --hmac md5",
                "'md5' is not sha256",
            ),
            (
                "lanward spa home --access tcp/22 --key-file k --port 0",
                "'0' is not a port",
            ),
            (
                "lanward spa home --access tcp/22 --key-file k --host x",
                "--host goes with spa keygen",
            ),
            ("lanward spa keygen", "one NAME"),
            ("lanward spa keygen a b", "one NAME"),
            ("lanward spa keygen a --seconds 5", "--seconds goes with spa HOST"),
            ("lanward spa keygen a --access ssh", "--access: 'ssh'"),
            ("lanward spa keygen a --gate it's", "--gate: 'it's'"),
            ("lanward import-knockd", "one FILE"),
            ("lanward import-knockd a b", "one FILE"),
            ("lanward", "no command"),
            ("lanward frobnicate", "'frobnicate'"),
            ("lanward pause", "MINUTES"),
            ("lanward pause soon", "'soon'"),
            ("lanward pause 0", "'0'"),
            ("lanward pause 10081", "from 1 to 10080"),
            ("lanward history --by week", "by: 'week' is not one of"),
            ("lanward history --from 2020-13-01", "from: '2020-13-01'"),
            ("lanward history --port 65536", "port: 65536"),
            ("lanward history --by hour --port 22", "hours are not kept by port"),
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
            ("lanward gate admit ssh 192.0.2.1 0", "from 1 to 604800"),
            ("lanward gate admit ssh 192.0.2.1 604801", "'604801'"),
            ("lanward gate admit ssh 192.0.2.999", "'192.0.2.999' is neither"),
            ("lanward gate admit ssh 192.0.2.0/24", "'192.0.2.0/24' is neither"),
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
