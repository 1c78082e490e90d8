//! knockd's file to doors, line by line as knockd 0.8 reads it.

use super::{Told, MAX_BYTES, MAX_LINES};
use crate::network::quoted;

/// A door's directives, in the order of [`Door::given`], with knockd's other names for them.
const DIRECTIVES: [(&str, usize); 13] = [
    ("SEQUENCE", SEQUENCE),
    ("ONE_TIME_SEQUENCES", ONE_TIME),
    ("SEQ_TIMEOUT", TIMEOUT),
    ("TIMEOUT", TIMEOUT),
    ("START_COMMAND", START),
    ("COMMAND", START),
    ("START_COMMAND_6", START_6),
    ("COMMAND_6", START_6),
    ("CMD_TIMEOUT", SECONDS),
    ("STOP_COMMAND", STOP),
    ("STOP_COMMAND_6", STOP_6),
    ("TARGET", TARGET),
    ("TCPFLAGS", FLAGS),
];
pub(super) const SEQUENCE: usize = 0;
pub(super) const ONE_TIME: usize = 1;
pub(super) const TIMEOUT: usize = 2;
pub(super) const START: usize = 3;
pub(super) const START_6: usize = 4;
pub(super) const SECONDS: usize = 5;
pub(super) const STOP: usize = 6;
pub(super) const STOP_6: usize = 7;
pub(super) const TARGET: usize = 8;
pub(super) const FLAGS: usize = 9;

/// A section of the file that is not `[options]`.
pub(super) struct Door {
    pub line: usize,
    pub name: String,
    /// Each directive's line and value.
    given: [Option<(usize, String)>; 10],
    /// knockd would not have started with it.
    pub broken: bool,
}

impl Door {
    pub fn get(&self, directive: usize) -> Option<(usize, &str)> {
        let (line, value) = self.given.get(directive)?.as_ref()?;
        Some((*line, value))
    }
}

/// Where a line stands.
enum Place {
    /// Before any section, or behind a title that is none.
    Nowhere,
    Options,
    /// The last door.
    Door,
}

/// The doors of a file.
pub(super) fn read(text: &[u8], told: &mut Told) -> Vec<Door> {
    // fgets() of PATH_MAX bytes: what is longer is another line for knockd.
    const LONGEST_LINE: usize = 4095;
    let mut doors: Vec<Door> = Vec::new();
    let mut place = Place::Nowhere;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut at = 0;
    for (index, bytes) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        at += bytes.len() + 1;
        if at > MAX_BYTES || index == MAX_LINES {
            told.push(
                number,
                "",
                true,
                "the file is too large: from here on nothing is read".into(),
            );
            // What is not read may restrict the last door.
            if let Some(door) = doors.last_mut() {
                door.broken = true;
            }
            break;
        }
        let whole = bytes;
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let line = String::from_utf8_lossy(bytes.get(..LONGEST_LINE).unwrap_or(bytes));
        let line = trim(&line);
        let is_comment = line.is_empty() || line.starts_with('#');
        let problem = if whole.len() > LONGEST_LINE {
            Some("is longer than knockd reads at once: not taken over")
        } else if whole.len() > bytes.len() {
            Some("has a NUL byte, where knockd stops: not taken over")
        } else if is_comment {
            continue;
        } else {
            statement(line, number, &mut doors, &mut place, told)
        };
        if let Some(problem) = problem {
            let door = doors.last_mut().filter(|_| matches!(place, Place::Door));
            told.push(
                number,
                door.as_ref().map_or("", |door| &door.name),
                true,
                problem.into(),
            );
            if let Some(door) = door {
                door.broken = true;
            }
        }
    }
    doors
}

/// What isspace() takes off.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r'])
}

/// Takes one line, or says what is wrong with it.
fn statement(
    line: &str,
    number: usize,
    doors: &mut Vec<Door>,
    place: &mut Place,
    told: &mut Told,
) -> Option<&'static str> {
    const NO_DIRECTIVE: &str = "knockd does not know this and would not start: not taken over";
    if let Some(title) = line.strip_prefix('[') {
        let Some(name) = title.strip_suffix(']').filter(|name| !name.is_empty()) else {
            *place = Place::Nowhere;
            return Some("is no title [name]: not taken over, with all lines up to the next title");
        };
        *place = Place::Options;
        if name != "options" {
            *place = Place::Door;
            doors.push(Door {
                line: number,
                name: name.chars().take(127).collect(),
                given: Default::default(),
                broken: false,
            });
        }
        return None;
    }
    let (key, value) = match line.split_once('=') {
        Some((key, value)) => (trim(key).to_ascii_uppercase(), Some(trim(value))),
        None => (line.to_ascii_uppercase(), None),
    };
    match (&place, value) {
        (Place::Nowhere, _) => return Some("stands in no section: not taken over"),
        (_, None) if key == "USESYSLOG" => {
            told.push(number, "", false, "lanward always logs to the system's log".into());
        }
        (Place::Options, Some(value)) => {
            let (lost, message) = match key.as_str() {
                "LOGFILE" => (true, "lanward has no log file: see logread".into()),
                "PIDFILE" => (false, "lanward needs no pid file".into()),
                "INTERFACE" => (
                    true,
                    format!(
                        "not {} but the devices of the WAN zones are listened to: dest_zone of lan_only names them",
                        quoted(value)
                    ),
                ),
                _ => return Some(NO_DIRECTIVE),
            };
            told.push(number, "", lost, message);
        }
        (Place::Door, Some(value)) => {
            let directive = DIRECTIVES.iter().find(|(name, _)| *name == key);
            let door = doors.last_mut();
            let (Some((_, directive)), Some(door)) = (directive, door) else {
                return Some(NO_DIRECTIVE);
            };
            let slot = door.given.get_mut(*directive)?;
            let mut value = value.to_owned();
            if let Some((before, old)) = slot.take() {
                if *directive == FLAGS {
                    value = format!("{old},{value}");
                    told.push(before, &door.name, false, format!("adds up with line {number}"));
                } else {
                    let message = format!("is given again in line {number}, which counts");
                    told.push(before, &door.name, true, message);
                }
            }
            *slot = Some((number, value));
        }
        (_, None) => return Some(NO_DIRECTIVE),
    }
    None
}
