//! knockd's configuration file to sections `knock`, read as knockd 0.8 reads it (`parseconfig` of knockd.c; what it does with odd input is
//! measured in `tests/knockd/README.md`).
//!
//! Two promises. Nothing is lost silently: a line that is not in the output has a remark. And nothing opens more than before: a door is only taken over
//! if its command is known to open ([`commands`]), and only beside doors that open the same; else its section is written as a comment, for a person to decide.

mod commands;
mod read;

use crate::config::{read_text, Protocol, Step};
use crate::network::quoted;
use commands::{effect, Effect};
use read::{read, trim, Door, FLAGS, ONE_TIME, SECONDS, SEQUENCE, START, START_6, STOP, STOP_6, TARGET, TIMEOUT};
use std::fmt::{self, Write};

/// The most of a file that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most lines that are read.
pub const MAX_LINES: usize = 2048;

/// The most ports of a sequence of which it is said by itself that more than a number stands there.
const MAX_ODD: usize = 4;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Sections for `/etc/config/lanward`. What is not taken over stands in comments.
    pub uci: String,
    /// What has to be said, by line.
    pub remarks: Vec<Remark>,
}

/// Something to be said about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// From 1; 0: the whole file.
    pub line: usize,
    /// The door's name as in the file, without control characters; empty outside doors.
    pub door: String,
    /// What became of it, and what to do instead.
    pub message: String,
    /// It could not be taken over, or not as it was.
    pub lost: bool,
}

impl fmt::Display for Remark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(out, "line {}: ", self.line)?;
        }
        if !self.door.is_empty() {
            write!(out, "{}: ", self.door)?;
        }
        out.write_str(&self.message)
    }
}

/// knockd's file as sections for the gate named `gate`, which must be there already.
#[must_use]
pub fn import(text: &[u8], gate: &str) -> Imported {
    let mut told = Told::default();
    let doors = read(text, &mut told);
    let section = name_of(gate);
    let gate_is_right = section == gate;
    if !gate_is_right {
        let message = format!("{} cannot be a gate's name: letters, digits and _ only", quoted(gate));
        told.push(0, "", true, message);
    }
    let mut knocks: Vec<Knock> = Vec::new();
    for door in &doors {
        let mut name = name_of(&door.name);
        let reserved = ["lanward", "lan_only", "ledger"].contains(&name.as_str()) || name == section;
        if reserved || knocks.iter().any(|knock| knock.name == name) {
            let _ = write!(name, "_{}", door.line);
        }
        while knocks.iter().any(|knock| knock.name == name) {
            name.push('_');
        }
        let mut knock = judge(door, name, &mut told);
        knock.taken &= gate_is_right;
        knocks.push(knock);
    }
    same_gate(&mut knocks, &mut told);
    pair(&mut knocks, &mut told);
    let mut uci = String::new();
    // Without the comments: the reader judges a section beside those before it, since it limits how many there are.
    let mut sections = String::new();
    for knock in knocks.iter().filter(|knock| knock.partner.is_none()) {
        let door = knock.door;
        let text = knock.section(&section);
        let opens = knock.taken && knock.opens();
        let length = sections.len();
        sections += &text;
        let refusal = if opens { refused(&sections, &section) } else { None };
        let taken = opens && refusal.is_none();
        if let Some(refusal) = refusal {
            told.of(door, door.line, true, refusal);
        }
        if taken && knock.name != door.name {
            told.of(
                door,
                door.line,
                false,
                format!("is called {} here", quoted(&knock.name)),
            );
        }
        if !taken {
            sections.truncate(length);
        }
        if taken {
            uci += &text;
        } else if knock.steps.is_empty() {
            told.of(door, door.line, true, "not taken over".into());
        } else {
            told.of(door, door.line, true, "not taken over: its section is a comment".into());
            for line in text.lines().filter(|line| !line.is_empty()) {
                uci += "# ";
                uci += line;
                uci.push('\n');
            }
        }
        uci.push('\n');
    }
    told.0.sort_by_key(|remark| remark.line);
    Imported { uci, remarks: told.0 }
}

#[derive(Default)]
struct Told(Vec<Remark>);

impl Told {
    fn push(&mut self, line: usize, door: &str, lost: bool, message: String) {
        let shown = quoted(door);
        let door = shown.strip_prefix('\'').and_then(|door| door.strip_suffix('\''));
        self.0.push(Remark {
            line,
            door: door.unwrap_or_default().to_owned(),
            message,
            lost,
        });
    }

    fn of(&mut self, door: &Door, line: usize, lost: bool, message: String) {
        self.push(line, &door.name, lost, message);
    }
}

/// A section's name made of any text.
fn name_of(text: &str) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = text.trim().chars().take(32).map(allowed).collect();
    if name.bytes().all(|byte| byte == b'_') {
        return "door".into();
    }
    name
}

/// A door as it may be here.
struct Knock<'a> {
    door: &'a Door,
    name: String,
    steps: Vec<Step>,
    timeout: i64,
    /// `None`: nothing said so.
    seconds: Option<i64>,
    effect: Option<Effect>,
    taken: bool,
    /// The sequence that closes.
    close: Vec<Step>,
    /// This door closes what another one opens.
    partner: Option<usize>,
}

impl Knock<'_> {
    fn opens(&self) -> bool {
        self.effect.as_ref().is_some_and(|effect| effect.opens)
    }

    fn closes(&self) -> bool {
        self.effect.as_ref().is_some_and(|effect| !effect.opens)
    }

    fn section(&self, gate: &str) -> String {
        let mut text = format!("config knock '{}'\n\toption gate '{gate}'\n", self.name);
        let word = if self.closes() { "close" } else { "open" };
        for (word, steps) in [(word, &self.steps), ("close", &self.close)] {
            for step in steps {
                let protocol = match step.protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                };
                let _ = writeln!(text, "\tlist {word} '{protocol}:{}'", step.port);
            }
        }
        // Without an end and without a sequence that closes a section is refused.
        let seconds = self.seconds.unwrap_or(if self.close.is_empty() { 30 } else { 0 });
        let _ = writeln!(
            text,
            "\toption timeout '{}'\n\toption seconds '{seconds}'",
            self.timeout
        );
        text
    }
}

/// Why the configuration's reader would refuse these sections.
fn refused(sections: &str, gate: &str) -> Option<String> {
    let text = format!("config gate '{gate}'\n\toption enabled '1'\n\tlist service 'tcp:22'\n{sections}");
    let (_, problems) = read_text(Some(text.as_bytes()));
    problems.into_iter().next().map(|problem| problem.message)
}

/// C's atoi(), and whether the text was just that number.
fn number(text: &str) -> (i64, bool) {
    let text = trim(text);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    let number = digits.get(..end).unwrap_or_default().bytes();
    let number = number.fold(0_i64, |number, byte| {
        number.saturating_mul(10).saturating_add(i64::from(byte - b'0'))
    });
    (sign * number, end > 0 && end == text.len())
}

/// Reads one door by itself.
fn judge<'a>(door: &'a Door, name: String, told: &mut Told) -> Knock<'a> {
    let mut taken = !door.broken;
    let steps = match door.get(SEQUENCE) {
        Some((line, text)) => steps(door, line, text, told),
        None => Vec::new(),
    };
    taken &= !steps.is_empty();
    if let Some((line, _)) = door.get(ONE_TIME) {
        taken = false;
        let message = "sequences that count once are not taken over: a key does it better (lanward spa keygen NAME)";
        told.of(door, line, true, message.into());
    } else if door.get(SEQUENCE).is_none() {
        told.of(door, door.line, true, "has no sequence: knockd would not start".into());
    }
    taken &= flags(door, &steps, told);
    if let Some((line, _)) = door.get(TARGET) {
        let message = "knocks count at every address of this router, and only there: Target is not taken over";
        told.of(door, line, true, message.into());
    }
    let timeout = match door.get(TIMEOUT) {
        None => 25,
        Some((line, text)) => {
            let (timeout, exact) = number(text);
            if timeout < 1 {
                taken = false;
                told.of(door, line, true, "leaves no time for a knock".into());
            } else if timeout > 3600 || !exact {
                let message = format!("{} seconds here", timeout.min(3600));
                told.of(door, line, timeout > 3600, message);
            }
            timeout.clamp(1, 3600)
        }
    };
    let effect = commands(door, !steps.is_empty(), &mut taken, told);
    let seconds = seconds(door, effect.as_ref(), told);
    Knock {
        door,
        name,
        steps,
        timeout,
        seconds,
        effect,
        taken,
        close: Vec::new(),
        partner: None,
    }
}

/// A sequence, or nothing where it cannot be one here.
fn steps(door: &Door, line: usize, text: &str, told: &mut Told) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut odd = 0_usize;
    for word in text.split(',') {
        let mut parts = word.split(':');
        let (port, exact) = number(parts.next().unwrap_or_default());
        let protocol = match parts.next().map(|protocol| trim(protocol).to_ascii_uppercase()) {
            None => Some(Protocol::Tcp),
            Some(protocol) if protocol == "TCP" => Some(Protocol::Tcp),
            Some(protocol) if protocol == "UDP" => Some(Protocol::Udp),
            Some(_) => None,
        };
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let (Some(port), Some(protocol)) = (port, protocol) else {
            told.of(
                door,
                line,
                true,
                format!("{} is no port[:tcp|:udp]", quoted(trim(word))),
            );
            return Vec::new();
        };
        if !exact || parts.next().is_some() {
            odd += 1;
            if odd <= MAX_ODD {
                let message = format!("{} is read as port {port}, as knockd does", quoted(trim(word)));
                told.of(door, line, false, message);
            }
        }
        steps.push(Step { protocol, port });
    }
    if let Some(more @ 1..) = odd.checked_sub(MAX_ODD) {
        told.of(door, line, false, format!("{more} more are read by how they begin"));
    }
    // What the limits are, the configuration's reader knows.
    let probe = Knock {
        door,
        name: "door".into(),
        steps,
        timeout: 5,
        seconds: Some(5),
        effect: None,
        taken: true,
        close: Vec::new(),
        partner: None,
    };
    if let Some(refusal) = refused(&probe.section("gate"), "gate") {
        told.of(door, line, true, refusal);
        return Vec::new();
    }
    probe.steps
}

/// Whether the door's packets are SYNs, which is all that counts here.
fn flags(door: &Door, steps: &[Step], told: &mut Told) -> bool {
    let tcp = steps.is_empty() || steps.iter().any(|step| step.protocol == Protocol::Tcp);
    let Some((line, text)) = door.get(FLAGS) else {
        if tcp && !steps.is_empty() {
            let message = "without TCPFlags knockd takes any TCP packet: here only a SYN counts";
            told.of(door, door.line, false, message.into());
        }
        return true;
    };
    let (mut syn, mut only, mut right, mut odd) = (false, true, true, false);
    for flag in text.to_ascii_uppercase().split(',') {
        match flag {
            "SYN" => syn = true,
            "!ACK" | "!FIN" | "!RST" => {}
            "!PSH" | "!URG" => odd = true,
            "FIN" | "RST" | "PSH" | "ACK" | "URG" | "!SYN" => only = false,
            _ => right = false,
        }
    }
    let (lost, message) = if !right {
        (true, "has a flag that knockd does not know: it would not start")
    } else if tcp && !only {
        (
            true,
            "only packets with SYN and without ACK, FIN and RST count here: knock with such packets",
        )
    } else if !tcp {
        (false, "there is no TCP in the sequence, so no flag counts")
    } else if odd || !syn {
        (false, "a packet counts if it has SYN and neither ACK nor FIN nor RST")
    } else {
        return true;
    };
    told.of(door, line, lost, message.into());
    right && (only || !tcp)
}

/// What the commands do, and what is done instead. `written`: there is a section, be it a comment.
fn commands(door: &Door, written: bool, taken: &mut bool, told: &mut Told) -> Option<Effect> {
    let start = door.get(START).filter(|(_, command)| !command.is_empty());
    let Some((line, command)) = start else {
        *taken = false;
        let line = door.get(START).map_or(door.line, |(line, _)| line);
        told.of(door, line, true, "has no Start_Command, so it opens nothing".into());
        for directive in [START_6, STOP, STOP_6] {
            if let Some((line, _)) = door.get(directive) {
                told.of(door, line, true, "no command is ever run".into());
            }
        }
        return None;
    };
    let effect = effect(command);
    let (lost, message) = match &effect {
        None if !written => (true, "not run".into()),
        None => (
            true,
            "not run, and what it does is not known: if it opens what the gate guards, remove the # before the section"
                .into(),
        ),
        Some(effect) if effect.set => (
            true,
            format!(
                "not run; whether {} lets in or keeps out is not known: if it lets in, remove the # before the section",
                quoted(&effect.place)
            ),
        ),
        Some(effect) if !effect.tcp => (true, "not run: a gate guards TCP only".into()),
        Some(effect) if !effect.opens => (false, "not run: the gate takes the source off its list".into()),
        Some(effect) if effect.services.is_empty() => (
            true,
            "not run: it opens every port, the gate only what it guards (list service)".into(),
        ),
        Some(effect) => {
            let mut message = format!("not run: that is the gate's work. It opens{}", listed(&effect.services));
            if effect.other {
                message += "; the gate opens TCP only";
            }
            if effect.anyone {
                message += "; the gate does so for this source, not for everybody";
            }
            (effect.other || effect.anyone, message)
        }
    };
    told.of(door, line, lost, message);
    *taken &= effect.as_ref().is_some_and(|effect| effect.tcp && !effect.set);
    if let Some((line, command)) = door.get(START_6) {
        let other = self::effect(command);
        let same = match (&effect, &other) {
            (Some(effect), Some(other)) => effect == other,
            _ => false,
        };
        let message = if same {
            "not run: the knock counts over IPv6 as well"
        } else {
            "does something else over IPv6: here IPv6 is as IPv4"
        };
        *taken &= same;
        told.of(door, line, !same, message.into());
    }
    for directive in [STOP, STOP_6] {
        let Some((line, command)) = door.get(directive) else {
            continue;
        };
        let undone = match (&effect, &self::effect(command)) {
            (Some(effect), Some(stop)) => effect.is_about(stop) && effect.opens && !stop.opens,
            _ => false,
        };
        let message = if undone {
            "not run: the gate closes by itself"
        } else {
            "not run, and it is not known to close what Start_Command opens: what else it does is not done"
        };
        // What closes now and opens later is no closing sequence.
        *taken &= undone || effect.as_ref().is_none_or(|effect| effect.opens);
        told.of(door, line, !undone, message.into());
    }
    effect
}

/// ` 'tcp:22' 'tcp:80'`
fn listed(services: &[String]) -> String {
    services.iter().map(|service| format!(" '{service}'")).collect()
}

/// How long it opens, if the file says so.
fn seconds(door: &Door, effect: Option<&Effect>, told: &mut Told) -> Option<i64> {
    const LONGEST: i64 = 604_800;
    let given = door.get(SECONDS);
    if effect.is_none_or(|effect| !effect.opens) {
        if let Some((line, _)) = given {
            told.of(door, line, true, "nothing is opened that could end".into());
        }
        return None;
    }
    let (line, text) = match (given, door.get(STOP)) {
        (Some(given), _) => given,
        // knockd's default.
        (None, Some(_)) => return Some(10),
        (None, None) => return None,
    };
    let (seconds, exact) = number(text);
    let limited = seconds.clamp(1, LONGEST);
    if door.get(STOP).is_none() {
        let message = format!("knockd ignores it without a Stop_Command: here it closes after {limited} seconds");
        told.of(door, line, true, message);
    } else if limited != seconds || !exact {
        told.of(door, line, limited != seconds, format!("{limited} seconds here"));
    }
    Some(limited)
}

/// One gate guards one thing: doors that open something else stay out.
fn same_gate(knocks: &mut [Knock], told: &mut Told) {
    let opening = |knock: &&Knock| knock.taken && knock.opens();
    let particular =
        |knock: &&Knock| opening(knock) && knock.effect.as_ref().is_some_and(|effect| !effect.services.is_empty());
    let first = knocks.iter().find(particular).or_else(|| knocks.iter().find(opening));
    let Some(first) = first else { return };
    let (line, guarded) = (first.door.line, first.effect.clone());
    if let Some(guarded) = guarded.as_ref().filter(|guarded| !guarded.services.is_empty()) {
        let services = listed(&guarded.services);
        let message = format!("the gate must guard just what this opens: list service{services}");
        told.of(first.door, line, false, message);
    }
    for knock in knocks.iter_mut().filter(|knock| knock.taken) {
        let (Some(effect), Some(guarded)) = (&knock.effect, &guarded) else {
            continue;
        };
        if !effect.opens {
            continue;
        }
        if !effect.covers(guarded) {
            knock.taken = false;
            let message = format!(
                "opens something else than the door of line {line}, or elsewhere: make a gate for it, and name that in its section"
            );
            told.of(knock.door, knock.door.line, true, message);
        } else if !effect.services.is_empty() && effect.services != guarded.services {
            let message = format!("opens more than the door of line {line}: only that is taken over");
            told.of(knock.door, knock.door.line, true, message);
        }
    }
}

/// Gives every door that opens the sequence of the door that closes the same.
fn pair(knocks: &mut [Knock], told: &mut Told) {
    let mut partners = Vec::new();
    for (place, closing) in knocks.iter().enumerate().filter(|(_, knock)| knock.closes()) {
        let (Some(effect), true) = (&closing.effect, !closing.steps.is_empty()) else {
            continue;
        };
        // A set's door is a comment in any case.
        if !closing.taken && !effect.set {
            continue;
        }
        let fits = |knock: &Knock| {
            knock.opens()
                && knock.steps != closing.steps
                && knock.effect.as_ref().is_some_and(|opening| opening.is_about(effect))
        };
        let mut found = None;
        for (opener, knock) in knocks.iter().enumerate().filter(|(_, knock)| fits(knock)) {
            let is_first = !partners.iter().any(|(_, known)| *known == opener);
            if is_first {
                partners.push((place, opener));
                // A door that is taken over says more about this one than a comment does.
                if found.is_none() || knock.taken {
                    found = Some(opener);
                }
            }
        }
        if found.is_none() {
            let message = "closes what no other door of this file opens, or what another one closes already";
            told.of(closing.door, closing.door.line, true, message.into());
        }
    }
    for (closer, opener) in partners {
        let Some(closing) = knocks.get(closer) else { continue };
        let (door, steps, timeout) = (closing.door, closing.steps.clone(), closing.timeout);
        let Some(opening) = knocks.get_mut(opener) else {
            continue;
        };
        opening.close = steps;
        let message = format!("is the closing sequence of {}", quoted(&opening.name));
        told.of(door, door.line, !opening.taken, message);
        if opening.timeout != timeout {
            let line = door.get(TIMEOUT).map_or(door.line, |(line, _)| line);
            told.of(door, line, true, format!("{} seconds here", opening.timeout));
        }
        if let Some(closing) = knocks.get_mut(closer) {
            closing.partner = Some(opener);
        }
    }
    for knock in knocks.iter().filter(|knock| knock.taken && knock.opens()) {
        if knock.seconds.is_none() && knock.close.is_empty() {
            let message = "nothing closes it again: here it closes after 30 seconds (option seconds)";
            told.of(knock.door, knock.door.line, true, message.into());
        }
    }
}
