//! A package to [`Config`] and [`Problem`]s.

use super::sections::{nearest, shown, Options, Problems};
use super::value::{Clock, Duration, Greeting, Mark, Port, Weekday};
use super::{ports, Config, Gate, Knock, LanOnly, Ledger, Level, Problem, Relay, Schedule, Spa, Step, System, Witness};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::nft::PortRange;
use crate::sorted::{Map, Set};
use crate::uci::{self, Package, Section};

/// The most sections of one type.
const MAX_SECTIONS: usize = 64;

/// Reads a whole file's text; `None` where there is no file, which is as good as an empty one.
#[must_use]
pub fn read_text(text: Option<&[u8]>) -> (Config, Vec<Problem>) {
    match uci::parse(text.unwrap_or_default()) {
        Ok(package) => read(&package),
        Err(error) => closed(&format!("is not in UCI's syntax: {error}")),
    }
}

/// The closed form of a file that is there and says nothing, with the reason as a problem: the switch is on at its strictest, since nothing is
/// known of what the admin wants, and there is no gate, so nobody is let in.
#[must_use]
pub fn closed(why: &str) -> (Config, Vec<Problem>) {
    let mut config = Config::default();
    config.lan_only.enabled = true;
    config.lan_only.level = Level::Strict;
    config.lan_only.ports = level_ports(Level::Strict, &[]);
    let problem = Problem {
        system: System::Lanward,
        option: "lanward".to_string(),
        message: why.to_string(),
        restricts: true,
    };
    (config, vec![problem])
}

/// Reads a package. Every problem is named; see [`super::OPTIONS`] for what then stands in the [`Config`].
#[must_use]
pub fn read(package: &Package) -> (Config, Vec<Problem>) {
    let mut problems = Problems::default();
    let sections = Sections::sorted(package, &mut problems);
    let mut general = Options::of(System::Lanward, sections.first(System::Lanward), &mut problems);
    let mark = general.value::<Mark>("mark").0;
    let log_level = general.value("log_level");
    let mut lan_only = lan_only(Options::of(
        System::LanOnly,
        sections.first(System::LanOnly),
        &mut problems,
    ));
    if sections.of(System::LanOnly).count() > 1 {
        lan_only.enabled = true;
    }
    let gates: Vec<Gate> = sections
        .of(System::Gate)
        .map(|place| gate(&place, &mut problems))
        .gathered();
    let names: Vec<String> = gates.iter().map(|gate| gate.name.clone()).gathered();
    let witnesses = sections.right(System::Witness, &mut problems, |options| witness(options, &names));
    let knocks = sections.right(System::Knock, &mut problems, |options| knock(options, &names));
    let spas = sections.right(System::Spa, &mut problems, |options| spa(options, &names));
    let ledger = ledger(Options::of(
        System::Ledger,
        sections.first(System::Ledger),
        &mut problems,
    ));
    let relays = sections.right(System::Relay, &mut problems, relay);
    let config = Config {
        mark,
        log_level,
        lan_only,
        gates,
        witnesses,
        knocks,
        spas,
        ledger,
        relays,
    };
    (config, problems.finish())
}

/// A section that has a meaning.
#[derive(Clone, Copy)]
struct Place<'a> {
    system: System,
    section: &'a Section,
    /// There is a problem with the section as such.
    misplaced: bool,
}

struct Sections<'a>(Vec<Place<'a>>);

impl<'a> Sections<'a> {
    fn sorted(package: &'a Package, problems: &mut Problems) -> Self {
        let mut known: Vec<Place> = Vec::new();
        let mut counts = Map::new();
        let mut names = Set::new();
        for section in &package.sections {
            let Some(system) = System::ALL.into_iter().find(|system| system.word() == section.kind) else {
                problems.push(unknown_type(section));
                continue;
            };
            let count = counts.or_insert_with(system, || 0);
            let again = section.name.as_ref().is_some_and(|name| !names.insert(name));
            let message = misplaced(system, section, *count, again);
            *count += 1;
            let misplaced = message.is_some();
            if let Some(message) = message {
                let option = format!("lanward.{}", shown(&section.label()));
                problems.push(Problem {
                    system,
                    option,
                    message,
                    restricts: system.restricts(),
                });
            }
            if *count <= MAX_SECTIONS {
                known.push(Place {
                    system,
                    section,
                    misplaced,
                });
            }
        }
        Self(known)
    }

    fn of<'b>(&'b self, system: System) -> impl Iterator<Item = Place<'a>> + use<'a, 'b> {
        self.0.iter().copied().filter(move |place| place.system == system)
    }

    /// The section of a system that has one: the one that has its name, else the first.
    fn first(&self, system: System) -> Option<&'a Section> {
        let named = self
            .of(system)
            .find(|place| place.section.name.as_deref() == Some(system.word()));
        named.or_else(|| self.of(system).next()).map(|place| place.section)
    }

    /// What `read` makes of a system's sections, without those in which something is wrong.
    fn right<T>(&self, system: System, problems: &mut Problems, read: impl Fn(Options) -> Option<T>) -> Vec<T> {
        let mut right = Vec::new();
        for place in self.of(system) {
            let one = read(Options::of(system, Some(place.section), problems));
            right.gather(one.filter(|_| !place.misplaced));
        }
        right
    }
}

fn unknown_type(section: &Section) -> Problem {
    let words = System::ALL.map(System::word);
    let message = match nearest(&section.kind, words.into_iter()) {
        Some(near) => format!(
            "'{}' is not a type of section; did you mean '{near}'?",
            shown(&section.kind)
        ),
        None => format!(
            "'{}' is not a type of section; there are {}",
            shown(&section.kind),
            words.join(", ")
        ),
    };
    let option = format!("lanward.{}", shown(&section.label()));
    Problem {
        system: System::Lanward,
        option,
        message,
        restricts: true,
    }
}

/// What is wrong with a section as such.
fn misplaced(system: System, section: &Section, before: usize, again: bool) -> Option<String> {
    let word = system.word();
    let name = section.name.as_deref();
    if before >= MAX_SECTIONS {
        return Some(format!(
            "is one section of type {word} too many: there must be at most {MAX_SECTIONS}"
        ));
    }
    if again {
        return Some("stands twice: every section must have a name of its own".to_string());
    }
    if system.is_single() {
        if before > 0 {
            return Some(format!(
                "is a second section of type {word}: there must be one, config {word} '{word}'"
            ));
        }
        return (name != Some(word)).then(|| format!("must be named as its type: config {word} '{word}'"));
    }
    let reserved = System::ALL
        .into_iter()
        .find(|other| other.is_single() && name == Some(other.word()));
    if let Some(other) = reserved {
        return Some(format!(
            "has the name of the section {}: choose another, such as '{word}1'",
            other.word()
        ));
    }
    let needs_name = matches!(system, System::Gate | System::Relay);
    match name {
        None if needs_name => Some(format!("needs a name: config {word} 'NAME'")),
        Some(name) if name.len() > 32 => Some("has too long a name: at most 32 letters".to_string()),
        _ => None,
    }
}

fn lan_only(mut options: Options) -> LanOnly {
    let hosts = options.list("host");
    let level = level(&mut options);
    LanOnly {
        enabled: options.value("enabled"),
        ports: lan_only_ports(&mut options, level),
        level,
        profiles: options.list("profile"),
        hosts,
        except_hosts: options.list("except_host"),
        except_dests: options.list("except_dest"),
        source_zones: options.list("source_zone"),
        dest_zones: options.list("dest_zone"),
        observe: options.value("observe"),
        mirror: options.value("mirror"),
        schedule: schedule(&mut options),
    }
}

/// Without a level: seed, as long as it is about the whole zone; a few hosts can bear the strict one.
fn level(options: &mut Options) -> Level {
    let default = if options.is_set("host") {
        Level::Strict
    } else {
        Level::Seed
    };
    options.optional("level").unwrap_or(default)
}

fn lan_only_ports(options: &mut Options, level: Level) -> Vec<PortRange> {
    let before = options.problems();
    let mut custom: Vec<PortRange> = options.list("port");
    if options.is_set("port") && !options.is_set("level") && options.problems() == before {
        let message = "has no effect without level 'custom': set that, or remove the ports";
        options.problem("port", message.to_string());
    }
    if level == Level::Custom && custom.is_empty() {
        let message = "is missing: level 'custom' needs its ports (such as 50000-60000)";
        options.problem("port", message.to_string());
        custom = level_ports(Level::Strict, &[]);
    }
    let ports = level_ports(level, &custom);
    let left = ports::subtract(&ports, &options.list::<PortRange>("except_port"));
    if !left.is_empty() {
        return left;
    }
    options.problem(
        "except_port",
        "leaves no port to drop: it must leave some, or switch lan_only off".to_string(),
    );
    ports
}

fn level_ports(level: Level, custom: &[PortRange]) -> Vec<PortRange> {
    let from = match level {
        Level::Seed => 40_001,
        Level::Recommended => 32_768,
        Level::Strict => 1024,
        Level::Custom => return ports::join(custom),
    };
    vec![PortRange { from, to: u16::MAX }]
}

fn schedule(options: &mut Options) -> Option<Schedule> {
    let names = ["weekdays", "start", "stop"];
    if !names.iter().any(|name| options.is_set(name)) {
        return None;
    }
    let before = options.problems();
    let days: Vec<Weekday> = options.sequence("weekdays");
    let start: Option<Clock> = options.optional("start");
    let stop: Option<Clock> = options.optional("stop");
    if options.problems() > before {
        return None;
    }
    let mut weekdays = [days.is_empty(); 7];
    for day in &days {
        if let Some(set) = weekdays.get_mut(day.0) {
            *set = true;
        }
    }
    let start = start.map_or(0, |clock| clock.0);
    // 24:00 is the next day's 00:00.
    let stop = stop.map_or(0, |clock| clock.0 % (24 * 60));
    if start == stop && days.is_empty() {
        let message = "is the same as start, which is always: it must differ (such as start 22:00, stop 07:00), or leave both out";
        options.problem("stop", message.to_string());
        return None;
    }
    Some(Schedule { weekdays, start, stop })
}

fn gate(place: &Place, problems: &mut Problems) -> Gate {
    let mut options = Options::of(System::Gate, Some(place.section), problems);
    let prefix6: String = options.value("prefix6");
    let gate = Gate {
        name: options.label(),
        enabled: options.value("enabled"),
        shut: false,
        services: options.list("service"),
        window: options.value("window"),
        forget: options.value("forget"),
        refuse: options.value("refuse"),
        size: options.value("size"),
        prefix6: if prefix6 == "64" { 64 } else { 128 },
        knock_alone: options.value("knock_alone"),
    };
    Gate {
        shut: place.misplaced || !options.are_right(),
        ..gate
    }
}

/// The option `gate`, if there is such a gate.
fn gate_of(options: &mut Options, gates: &[String]) -> Option<String> {
    let name: String = options.optional("gate")?;
    if gates.contains(&name) {
        return Some(name);
    }
    let right = match nearest(&name, gates.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{near}'?"),
        None if gates.is_empty() => format!("there is none; add config gate '{name}'"),
        None => format!("there are {}", gates.iter().take(8).cloned().gathered().join(", ")),
    };
    options.problem("gate", format!("'{name}' is not the name of a gate; {right}"));
    None
}

fn witness(mut options: Options, gates: &[String]) -> Option<Witness> {
    let gate = gate_of(&mut options, gates);
    let port = options.value::<Port>("port").0;
    let dests = options.list("dest");
    let min_bytes = options.value("min_bytes");
    options.are_right().then_some(())?;
    Some(Witness {
        name: options.label(),
        gate: gate?,
        port,
        dests,
        min_bytes,
    })
}

fn knock(mut options: Options, gates: &[String]) -> Option<Knock> {
    let gate = gate_of(&mut options, gates);
    let open = steps(&mut options, "open");
    let close = steps(&mut options, "close");
    let timeout = options.value("timeout");
    let seconds = options.value("seconds");
    if seconds == 0 && !options.is_set("close") {
        let message = "is missing: with seconds 0 only it closes the gate again (such as tcp:9000)";
        options.problem("close", message.to_string());
    }
    if !open.is_empty() && completes(&open, &close) {
        let message = "ends with the sequence that opens, and so opens again: take other steps";
        options.problem("close", message.to_string());
    }
    options.are_right().then_some(())?;
    Some(Knock {
        name: options.label(),
        gate: gate?,
        open,
        close,
        timeout,
        seconds,
    })
}

/// Whether the last of these packets, from somebody who has sent nothing before, is the last step of a sequence: the rules' judgement of steps that are due, sent
/// again and wrong, without their time.
fn completes(sequence: &[Step], packets: &[Step]) -> bool {
    let mut stage = 0;
    for packet in packets {
        // What came before is over.
        stage = if stage == sequence.len() { 0 } else { stage };
        let (taken, ahead) = sequence.split_at(stage);
        if ahead.first() == Some(packet) {
            stage += 1;
        } else if !taken.contains(packet) {
            stage = 0;
        }
    }
    stage == sequence.len()
}

/// A sequence. The same step twice in a row could not be told from a packet sent again.
fn steps(options: &mut Options, name: &'static str) -> Vec<Step> {
    const MAX_STEPS: usize = 16;
    let steps: Vec<Step> = options.sequence(name);
    if steps.len() > MAX_STEPS {
        options.problem(
            name,
            format!("has {} steps: it must have at most {MAX_STEPS}", steps.len()),
        );
    }
    if steps
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one == other))
    {
        options.problem(
            name,
            "has the same step twice in a row: put another one between".to_string(),
        );
    }
    steps
}

fn spa(mut options: Options, gates: &[String]) -> Option<Spa> {
    let gate = gate_of(&mut options, gates);
    let key_file: Option<String> = options.optional("key_file");
    let port = options.value::<Port>("port").0;
    let max_age = options.value("max_age");
    let seconds = options.value("seconds");
    let max_seconds = options.value("max_seconds");
    let hmac = options.value("hmac");
    let any_address = options.value("any_address");
    if options.are_right() && seconds > max_seconds {
        let message = format!("'{max_seconds}' is less than seconds: it must be at least {seconds}");
        options.problem("max_seconds", message);
    }
    options.are_right().then_some(())?;
    Some(Spa {
        name: options.label(),
        gate: gate?,
        key_file: key_file?,
        port,
        max_age,
        seconds,
        max_seconds,
        hmac,
        any_address,
    })
}

fn ledger(mut options: Options) -> Ledger {
    Ledger {
        enabled: options.value("enabled"),
        keep_days: options.value("keep_days"),
        commit: options.value::<Duration>("commit").0,
        mask_sources: options.value("mask_sources"),
    }
}

fn relay(mut options: Options) -> Option<Relay> {
    let enabled = options.value("enabled");
    let host: Option<String> = options.optional("host");
    let port = options.value::<Port>("port").0;
    let user = options.value("user");
    let key = options.value("key");
    let host_key = options.optional("host_key");
    let remote_port: Option<Port> = options.optional("remote_port");
    let target = options.optional("target");
    let check = options.value("check");
    let retry = options.value("retry");
    let retry_max = options.value("retry_max");
    let client = options.value("client");
    let greeting = options.value::<Greeting>("greeting").0;
    if options.are_right() && retry > retry_max {
        options.problem(
            "retry_max",
            format!("'{retry_max}' is less than retry: it must be at least {retry}"),
        );
    }
    options.are_right().then_some(())?;
    let (host, remote_port, target) = (host?, remote_port?.0, target?);
    let name = options.label();
    Some(Relay {
        name,
        enabled,
        host,
        port,
        user,
        key,
        host_key,
        remote_port,
        target,
        check,
        retry,
        retry_max,
        client,
        greeting,
    })
}
