//! UCI text to sections, and one changed option back into the text. Knows no option names.
//!
//! The grammar is libuci's (`file.c` of openwrt/uci), checked against libuci itself in `tests/uci.rs`.

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
}

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
            Some(Value::One(value)) => value.split_ascii_whitespace().collect(),
            Some(Value::Many(values)) => values.iter().flat_map(|value| value.split_ascii_whitespace()).collect(),
        }
    }
}

impl Package {
    /// The sections of one type, in file order.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }
}

/// Reads a configuration file's text (bytes: a file may hold anything).
///
/// # Errors
/// The first place that libuci would refuse too.
pub fn parse(_text: &[u8]) -> Result<Package, SyntaxError> {
    todo!()
}

/// The text with `option NAME 'VALUE'` set in the section `section` (by name), and not one other byte changed: comments, order, quoting
/// and blank lines stay. Where the option stands several times, the last one (the one that counts) is changed; where it is not there it is added behind the last line
/// of the section that holds an option.
///
/// # Errors
/// See [`EditError`].
pub fn set_option(_text: &[u8], _section: &str, _option: &str, _value: &str) -> Result<Vec<u8>, EditError> {
    todo!()
}
