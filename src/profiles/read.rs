//! The profile file's bytes as values: bounded, and every complaint names its place.

use super::{
    level_name, shown, Application, Direction, Error, LevelNote, Measurement, Port, Profiles, Protocol, Source,
    Strength, Strengths, Tally, Text, Verified, Why,
};
use crate::config::Level;
use crate::gather::Gather;
use crate::json;
use crate::sorted::Set;
use serde_json::Value;

/// The schema this program reads.
pub const SCHEMA: u64 = 1;

/// The largest file, in bytes. The shipped one is a third of it.
pub const LARGEST_FILE: usize = 64 * 1024;

/// The most entries of any list, applications included.
const LONGEST_LIST: usize = 64;

/// The longest text, in bytes.
const LONGEST_TEXT: usize = 1024;

/// Reads a profile file.
///
/// # Errors
/// The first place that is not as the schema says, too large, or says less than it must (an application that names nothing
/// that it leaves open is not believed).
pub fn parse(bytes: &[u8]) -> Result<Profiles, Error> {
    if bytes.len() > LARGEST_FILE {
        return Err(Node::whole().wrong(&format!("{} bytes, {LARGEST_FILE} is the most", bytes.len())));
    }
    let value = json::parse(bytes).map_err(|why| Node::whole().wrong(&why))?;
    let root = Node {
        place: String::new(),
        value: Some(&value),
    };
    let schema = root.field("schema");
    if schema.number()? != SCHEMA {
        return Err(schema.wrong(&format!("this program reads schema {SCHEMA}")));
    }
    let measurement = root.field("measurement");
    let profiles = Profiles {
        version: root.field("version").date()?,
        measurement: Measurement {
            what: measurement.field("what").text()?,
            without_rule: measurement.field("without_rule").tally()?,
        },
        levels: root.field("levels").list(1, Node::level_note)?,
        applications: root.field("applications").list(1, Node::application)?,
    };
    unique(
        &root.field("levels"),
        profiles.levels.iter().map(|note| level_name(note.level)),
    )?;
    unique(
        &root.field("applications"),
        profiles.applications.iter().map(|application| application.id.as_str()),
    )?;
    Ok(profiles)
}

fn unique<'a>(list: &Node<'_>, ids: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut seen = Set::new();
    for (index, id) in ids.enumerate() {
        if !seen.insert(id) {
            return Err(list
                .item(index)
                .field("id")
                .wrong(&format!("'{}' is there twice", shown(id))));
        }
    }
    Ok(())
}

/// A value and its place, so that every complaint can name it.
struct Node<'a> {
    place: String,
    value: Option<&'a Value>,
}

impl<'a> Node<'a> {
    fn whole() -> Self {
        Node {
            place: String::new(),
            value: None,
        }
    }

    fn field(&self, name: &str) -> Node<'a> {
        let dot = if self.place.is_empty() { "" } else { "." };
        Node {
            place: format!("{}{dot}{name}", self.place),
            value: self.value.and_then(|value| value.get(name)),
        }
    }

    fn item(&self, index: usize) -> Node<'a> {
        Node {
            place: format!("{}[{index}]", self.place),
            value: self.value.and_then(|value| value.get(index)),
        }
    }

    fn wrong(&self, message: &str) -> Error {
        Error {
            place: self.place.clone(),
            message: message.to_owned(),
        }
    }

    fn number(&self) -> Result<u64, Error> {
        self.value
            .and_then(Value::as_u64)
            .ok_or_else(|| self.wrong("a whole number is wanted"))
    }

    fn port(&self) -> Result<u16, Error> {
        let port = u16::try_from(self.number()?).ok().filter(|port| *port > 0);
        port.ok_or_else(|| self.wrong("a port (1 to 65535) is wanted"))
    }

    /// A range's two ends.
    fn ports(&self) -> Result<(u16, u16), Error> {
        let (from, to) = (self.field("from").port()?, self.field("to").port()?);
        if from > to {
            return Err(self.field("to").wrong("it lies below 'from'"));
        }
        Ok((from, to))
    }

    fn count(&self) -> Result<u32, Error> {
        u32::try_from(self.number()?).map_err(|_| self.wrong("too large"))
    }

    fn tally(&self) -> Result<Tally, Error> {
        let tally = Tally {
            connected: self.field("connected").count()?,
            attempts: self.field("attempts").count()?,
        };
        if tally.attempts == 0 || tally.connected > tally.attempts {
            return Err(self.wrong("more connected than tried, or none tried"));
        }
        Ok(tally)
    }

    fn string(&self) -> Result<&'a str, Error> {
        let text = self
            .value
            .and_then(Value::as_str)
            .ok_or_else(|| self.wrong("a text is wanted"))?;
        if text.trim().is_empty() {
            return Err(self.wrong("the text is empty"));
        }
        if text.len() > LONGEST_TEXT {
            return Err(self.wrong(&format!("{} bytes, {LONGEST_TEXT} is the most", text.len())));
        }
        // These texts go to terminals, log lines and a page.
        if text.chars().any(char::is_control) {
            return Err(self.wrong("control characters are not allowed"));
        }
        Ok(text)
    }

    fn text(&self) -> Result<Text, Error> {
        Ok(Text {
            en: self.field("en").string()?.to_owned(),
            ja: self.field("ja").string()?.to_owned(),
        })
    }

    fn date(&self) -> Result<String, Error> {
        let text = self.string()?;
        if !is_date(text) {
            return Err(self.wrong("a date (YYYY-MM-DD) is wanted"));
        }
        Ok(text.to_owned())
    }

    fn id(&self) -> Result<String, Error> {
        let text = self.string()?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.len() > 32 || !text.bytes().all(plain) {
            return Err(self.wrong("an id is up to 32 of a-z, 0-9 and '-'"));
        }
        Ok(text.to_owned())
    }

    fn flag(&self) -> Result<bool, Error> {
        match self.value {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong("true or false is wanted")),
        }
    }

    fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Error> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).gathered();
            self.wrong(&format!("'{}' is none of {}", shown(text), known.join(", ")))
        })
    }

    fn list<T>(&self, least: usize, read: fn(&Node<'a>) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let items = self
            .value
            .and_then(Value::as_array)
            .ok_or_else(|| self.wrong("a list is wanted"))?;
        if items.len() < least || items.len() > LONGEST_LIST {
            return Err(self.wrong(&format!(
                "{} entries, {least} to {LONGEST_LIST} are allowed",
                items.len()
            )));
        }
        (0..items.len()).map(|index| read(&self.item(index))).collect()
    }

    fn level_note(&self) -> Result<LevelNote, Error> {
        let levels = [
            ("seed", Level::Seed),
            ("recommended", Level::Recommended),
            ("strict", Level::Strict),
        ];
        let measured = self.field("measured");
        Ok(LevelNote {
            level: self.field("id").word(&levels)?,
            ports: self.ports()?,
            catches: self.field("catches").text()?,
            misses: self.field("misses").text()?,
            breaks: self.field("breaks").text()?,
            measured: measured.value.map(|_| measured.tally()).transpose()?,
        })
    }

    fn strength(&self) -> Result<Strength, Error> {
        self.word(Strength::NAMES)
    }

    fn application(&self) -> Result<Application, Error> {
        let strength = self.field("strength");
        let strength = Strengths {
            seed: strength.field("seed").strength()?,
            recommended: strength.field("recommended").strength()?,
            strict: strength.field("strict").strength()?,
        };
        let stops = self.field("stops").list(0, Node::text)?;
        if stops.is_empty() != (strength.best().1 == Strength::None) {
            return Err(self
                .field("stops")
                .wrong("it must be empty where the strength is none, and only there"));
        }
        let (own, unverified) = (self.field("with_own_rules"), self.field("unverified"));
        Ok(Application {
            id: self.field("id").id()?,
            name: self.field("name").string()?.to_owned(),
            strength,
            with_own_rules: own.value.map(|_| own.strength()).transpose()?,
            stops,
            does_not_stop: self.field("does_not_stop").list(1, Node::text)?,
            needed: self.field("needed").text()?,
            ports: self.field("ports").list(1, Node::port_use)?,
            sources: self.field("sources").list(1, Node::source)?,
            unverified: if unverified.value.is_some() {
                unverified.list(1, Node::text)?
            } else {
                Vec::new()
            },
            checked_on: self.field("checked_on").date()?,
            verified: self.field("verified").word(&[
                ("from documentation", Verified::Documentation),
                ("measured", Verified::Measured),
            ])?,
        })
    }

    fn port_use(&self) -> Result<Port, Error> {
        let (from, to) = self.ports()?;
        let directions = [
            ("in", Direction::In),
            ("out", Direction::Out),
            ("both", Direction::Both),
        ];
        let whys = [
            ("session", Why::Session),
            ("signalling", Why::Signalling),
            ("traversal", Why::Traversal),
            ("relay", Why::Relay),
            ("media", Why::Media),
        ];
        Ok(Port {
            protocol: self
                .field("protocol")
                .word(&[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)])?,
            from,
            to,
            direction: self.field("direction").word(&directions)?,
            why: self.field("why").word(&whys)?,
            unverified: self.field("unverified").flag()?,
        })
    }

    fn source(&self) -> Result<Source, Error> {
        let (title, reference) = (self.field("title").string()?, self.field("ref").string()?);
        Ok(Source {
            title: title.to_owned(),
            reference: reference.to_owned(),
        })
    }
}

/// Whether a text is a day of the Gregorian calendar as `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shape {
        return false;
    }
    let number = |part: &str| part.parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(&text[..4]), number(&text[5..7]), number(&text[8..]));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}
