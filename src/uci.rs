//! UCI text to sections, and one changed option back into the text. Knows no option names.
//!
//! The grammar is libuci's (`file.c` of openwrt/uci, as `uci_load` reads a file: strict, one package), with its corners: see
//! [`lexer`]. It is checked against libuci itself in `tests/oracles/tests/uci.rs`. On purpose it differs in three things:
//! a NUL byte is refused (libuci loses what follows it, up to a place that depends on its buffer), bytes that are not UTF-8
//! become U+FFFD in values (names and types are ASCII in libuci too), and what is larger than [`MAX_BYTES`],
//! [`MAX_SECTIONS`], [`MAX_OPTIONS`] or [`MAX_VALUES`] is refused.

mod edit;
mod lexer;

pub use edit::set_option;

use crate::gather::Gather;
use crate::sorted::Map;
use lexer::{Lexer, Statement};
use std::fmt;

/// The largest text, in bytes. A stock `/etc/config/firewall` has 4 KiB.
pub const MAX_BYTES: usize = 1 << 20;
/// The most sections in a text.
pub const MAX_SECTIONS: usize = 4096;
/// The most different options and lists in one section.
pub const MAX_OPTIONS: usize = 512;
/// The most `option` and `list` lines in a text.
pub const MAX_VALUES: usize = 1 << 16;

/// One configuration file, as sections in file order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Package {
    /// The sections, in the order of the file. A named section that is opened again continues the first one, as in libuci.
    pub sections: Vec<Section>,
}

/// One `config TYPE ['NAME']` with what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The section's type: `zone` in `config zone 'lan'`.
    pub kind: String,
    /// The section's name, or `None` for an anonymous section.
    pub name: Option<String>,
    /// Its place among the sections of the same type, from 0: the 2 of `@zone[2]`.
    pub index: usize,
    /// Options and lists in file order; a repeated option keeps its first place and its last value.
    pub options: Vec<(String, Value)>,
    /// The line that opened the section, from 1.
    pub line: usize,
}

/// What an option holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `option name 'value'`
    One(String),
    /// `list name 'value'`, once or more often.
    Many(Vec<String>),
}

/// Why a text is not UCI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What is wrong there, without the place.
    pub message: String,
}

/// Why an option could not be set in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// The text itself does not parse.
    Syntax(SyntaxError),
    /// There is no section of that name.
    NoSection,
    /// The option's name holds something else than letters, digits and `_`.
    InvalidName,
    /// UCI cannot hold this value: it is empty (which means "not set") or holds a NUL byte.
    InvalidValue,
    /// The text with the change in it would be beyond a bound, or would not read as it should. Nothing was changed.
    Unwritable,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for SyntaxError {}

impl fmt::Display for EditError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => error.fmt(out),
            Self::NoSection => out.write_str("there is no such section"),
            Self::InvalidName => out.write_str("an option's name has only letters, digits and '_'"),
            Self::InvalidValue => out.write_str("a value must not be empty nor hold a NUL byte"),
            Self::Unwritable => out.write_str("the option cannot be written into this text"),
        }
    }
}

impl std::error::Error for EditError {}

impl Section {
    /// How UCI itself names the section: `ssh`, or `@rule[3]` where it has no name.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => format!("@{}[{}]", self.kind, self.index),
        }
    }

    /// The value of an option, or a list's only value.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| match value {
                Value::One(value) => Some(value.as_str()),
                Value::Many(values) if values.len() == 1 => values.first().map(String::as_str),
                Value::Many(_) => None,
            })
    }

    /// All values of a list; of an option, its words (fw4 and netifd read `option network 'lan guest'` so).
    #[must_use]
    pub fn words(&self, name: &str) -> Vec<&str> {
        match self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value) {
            None => Vec::new(),
            Some(Value::One(value)) => value.split_ascii_whitespace().gathered(),
            Some(Value::Many(values)) => values
                .iter()
                .flat_map(|value| value.split_ascii_whitespace())
                .gathered(),
        }
    }
}

impl Package {
    /// The sections of one type, in file order.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }
}

/// Whether a text has no section, and so says nothing: comments at most.
#[must_use]
pub fn says_nothing(text: &[u8]) -> bool {
    parse(text).is_ok_and(|package| package.sections.is_empty())
}

/// Reads a configuration file's text (bytes: a file may hold anything).
///
/// As in libuci a `package` line is checked and ignored, an `option` without a value or with an empty one changes nothing, an
/// `option` replaces what stood under its name, and a `list` adds to it (also to an option, which becomes the list's first value).
///
/// # Errors
/// The first place that libuci would refuse too; a NUL byte; more than the bounds above.
pub fn parse(text: &[u8]) -> Result<Package, SyntaxError> {
    let mut lexer = Lexer::new(text)?;
    let mut builder = Builder::default();
    while let Some(placed) = lexer.statement()? {
        let done = match placed.statement {
            Statement::Section { kind, name } => builder.section(kind, name, placed.line),
            Statement::Option { list, name, value } => builder.option(list, name, value),
        };
        done.map_err(|message| lexer.error(placed.keyword.start, message))?;
    }
    Ok(builder.package)
}

/// What is read so far.
#[derive(Default)]
struct Builder {
    package: Package,
    /// By name: the place in `package.sections`. Also of anonymous sections, by the name that libuci makes up.
    names: Map<String, usize>,
    /// How many sections there are of each type.
    kinds: Map<String, usize>,
    /// The section that is open.
    current: Option<usize>,
    values: usize,
}

impl Builder {
    fn section(&mut self, kind: String, name: Option<String>, line: usize) -> Result<(), &'static str> {
        let known = name.as_ref().and_then(|name| self.names.get(name)).copied();
        if let Some(index) = known {
            if self
                .package
                .sections
                .get(index)
                .is_some_and(|section| section.kind != kind)
            {
                return Err("a section of this name and another type stands before");
            }
            self.current = Some(index);
            return Ok(());
        }
        let place = self.package.sections.len();
        if place >= MAX_SECTIONS {
            return Err("too many sections");
        }
        let key = name.clone().unwrap_or_else(|| made_up_name(&kind, place));
        self.names.or_insert_with(key, || place);
        let count = self.kinds.or_insert_with(kind.clone(), || 0);
        let index = *count;
        *count += 1;
        self.package.sections.push(Section {
            kind,
            name,
            index,
            options: Vec::new(),
            line,
        });
        self.current = Some(place);
        Ok(())
    }

    fn option(&mut self, list: bool, name: String, value: String) -> Result<(), &'static str> {
        let Some(section) = self.current.and_then(|index| self.package.sections.get_mut(index)) else {
            return Err("an option or a list stands before the first section");
        };
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err("too many options");
        }
        if value.is_empty() && !list {
            return Ok(());
        }
        let Some((_, known)) = section.options.iter_mut().find(|(key, _)| *key == name) else {
            if section.options.len() >= MAX_OPTIONS {
                return Err("too many options in one section");
            }
            section.options.push((
                name,
                if list {
                    Value::Many(vec![value])
                } else {
                    Value::One(value)
                },
            ));
            return Ok(());
        };
        match known {
            known if !list => *known = Value::One(value),
            Value::One(first) => *known = Value::Many(vec![std::mem::take(first), value]),
            Value::Many(values) => values.push(value),
        }
        Ok(())
    }
}

/// The name libuci gives to an anonymous section (`uci_fixup_section` in list.c): its number and a hash of its type. A later
/// section that has this very name continues the anonymous one.
fn made_up_name(kind: &str, place: usize) -> String {
    let hash = kind.bytes().fold(5381_u32, |hash, byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(byte))
    });
    format!("cfg{:02x}{:04x}", place + 1, hash & 0xffff)
}

#[cfg(test)]
mod tests;
