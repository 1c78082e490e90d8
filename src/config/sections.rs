//! A section's options by the table: value, default or closed form, and a [`Problem`] for everything that is not as it should be.

use super::options::{spec, Absent, Arity, OptionSpec, OPTIONS};
use super::value::{FromText, Wrong};
use super::{Problem, System};
use crate::gather::Gather;
use crate::uci::{Section, Value};

/// The most problems that are told one by one.
pub(super) const MAX_PROBLEMS: usize = 64;
/// The most values of one list.
pub(super) const MAX_LIST: usize = 1024;

/// What was found wrong so far, at most [`MAX_PROBLEMS`].
#[derive(Default)]
pub(super) struct Problems {
    told: Vec<Problem>,
    untold: usize,
    untold_restricts: bool,
}

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        if self.told.len() < MAX_PROBLEMS {
            self.told.push(problem);
            return;
        }
        self.untold = self.untold.saturating_add(1);
        self.untold_restricts |= problem.restricts;
    }

    pub fn count(&self) -> usize {
        self.told.len().saturating_add(self.untold)
    }

    pub fn finish(mut self) -> Vec<Problem> {
        if self.untold > 0 {
            self.told.push(Problem {
                system: System::Lanward,
                option: "lanward".to_string(),
                message: format!("has {} more problems: put these right first", self.untold),
                restricts: self.untold_restricts,
            });
        }
        self.told
    }
}

/// The options of one section, or of none where the section is missing.
pub(super) struct Options<'a> {
    system: System,
    section: Option<&'a Section>,
    label: String,
    problems: &'a mut Problems,
    /// How many problems there were before.
    before: usize,
}

impl<'a> Options<'a> {
    /// Options that the table does not know are problems already here.
    pub fn of(system: System, section: Option<&'a Section>, problems: &'a mut Problems) -> Self {
        let label = section.map_or_else(|| system.word().to_string(), Section::label);
        let before = problems.count();
        let mut options = Self {
            system,
            section,
            label: shown(&label),
            problems,
            before,
        };
        let names = section.map(|section| section.options.as_slice()).unwrap_or_default();
        for (name, _) in names.iter().filter(|(name, _)| spec(system, name).is_none()) {
            options.unknown(name);
        }
        options
    }

    pub fn label(&self) -> String {
        self.label.clone()
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.section
            .is_some_and(|section| section.options.iter().any(|(key, _)| key == name))
    }

    /// How many problems there are in this section so far.
    pub fn problems(&self) -> usize {
        self.problems.count() - self.before
    }

    /// Nothing was wrong in this section.
    pub fn are_right(&self) -> bool {
        self.problems() == 0
    }

    /// An option that has a default and a closed form.
    pub fn value<T: FromText>(&mut self, name: &'static str) -> T {
        self.optional(name)
            .expect("the table's defaults and closed forms are right (see its tests)")
    }

    /// An option that can be without a value: `None` where it is missing or wrong.
    pub fn optional<T: FromText>(&mut self, name: &'static str) -> Option<T> {
        let spec = self.spec(name);
        let Some(value) = self
            .section
            .and_then(|section| section.options.iter().find(|(key, _)| key == name))
        else {
            return self.absent(&spec).and_then(|text| T::from_text(spec.kind, text).ok());
        };
        let read = match &value.1 {
            Value::One(text) => self.read(&spec, text),
            Value::Many(texts) => match texts.as_slice() {
                [text] => self.read(&spec, text),
                texts => {
                    let message = format!(
                        "is a list of {} values: it must be one (such as {})",
                        texts.len(),
                        spec.example
                    );
                    self.problem(name, message);
                    None
                }
            },
        };
        read.or_else(|| T::from_text(spec.kind, spec.closed).ok())
    }

    /// A list, without its wrong values and without repetitions; its closed form where none remains.
    pub fn list<T: FromText + PartialEq>(&mut self, name: &'static str) -> Vec<T> {
        let mut list: Vec<T> = Vec::new();
        for value in self.sequence(name) {
            if !list.contains(&value) {
                list.push(value);
            }
        }
        list
    }

    /// A list in which repetitions mean something.
    pub fn sequence<T: FromText>(&mut self, name: &'static str) -> Vec<T> {
        let spec = self.spec(name);
        let closed = || values(&spec, spec.closed);
        let Some(section) = self.section.filter(|_| self.is_set(name)) else {
            return self.absent(&spec).map(|words| values(&spec, words)).unwrap_or_default();
        };
        let words = section.words(name);
        if words.is_empty() {
            self.problem(
                name,
                format!(
                    "is empty: it must be {} (such as {})",
                    spec.kind.description(),
                    spec.example
                ),
            );
            return closed();
        }
        if words.len() > MAX_LIST {
            self.problem(
                name,
                format!("has {} values: it must have at most {MAX_LIST}", words.len()),
            );
            return closed();
        }
        let list: Vec<T> = words.into_iter().filter_map(|word| self.read(&spec, word)).gathered();
        if list.is_empty() {
            closed()
        } else {
            list
        }
    }

    /// A problem with one of this section's options.
    pub fn problem(&mut self, name: &str, message: String) {
        let restricts = spec(self.system, name).map_or(self.system.restricts(), |spec| spec.restricts);
        let option = format!("lanward.{}.{}", self.label, shown(name));
        self.problems.push(Problem {
            system: self.system,
            option,
            message,
            restricts,
        });
    }

    fn unknown(&mut self, name: &str) {
        let known = || {
            OPTIONS
                .iter()
                .filter(|spec| spec.system == self.system)
                .map(|spec| spec.name)
        };
        let word = self.system.word();
        let message = match nearest(name, known()) {
            Some(near) => format!("is not an option of {word}; did you mean '{near}'?"),
            None => format!("is not an option of {word}; it has {}", known().gathered().join(", ")),
        };
        self.problem(name, message);
    }

    fn spec(&self, name: &'static str) -> OptionSpec {
        *spec(self.system, name).expect("the code asks for options of the table only (every read of any package does)")
    }

    fn absent(&mut self, spec: &OptionSpec) -> Option<&'static str> {
        match spec.absent {
            Absent::Default(text) => Some(text),
            Absent::Nothing => None,
            Absent::Required => {
                let message = format!(
                    "is missing: it must be {} (such as {})",
                    spec.kind.description(),
                    spec.example
                );
                self.problem(spec.name, message);
                None
            }
        }
    }

    fn read<T: FromText>(&mut self, spec: &OptionSpec, text: &str) -> Option<T> {
        let message = match T::from_text(spec.kind, text) {
            Ok(value) => return Some(value),
            Err(Wrong::Kind) => {
                format!(
                    "'{}' is not {} (such as {})",
                    shown(text),
                    spec.kind.description(),
                    spec.example
                )
            }
            Err(Wrong::Because(reason)) => format!("'{}' {reason}", shown(text)),
        };
        self.problem(spec.name, message);
        None
    }
}

/// The words of the table as values.
fn values<T: FromText>(spec: &OptionSpec, words: &str) -> Vec<T> {
    debug_assert!(spec.arity == Arity::Many);
    words
        .split_ascii_whitespace()
        .filter_map(|word| T::from_text(spec.kind, word).ok())
        .gathered()
}

/// Text from the file as a message can hold it: one line, not long, nothing that a terminal or a log takes for a command.
pub(super) fn shown(text: &str) -> String {
    const MAX: usize = 64;
    let mut shown: String = text.chars().take(MAX).flat_map(visible).collect();
    if text.chars().nth(MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn visible(letter: char) -> Vec<char> {
    // Beside control characters also the marks that turn the direction of writing.
    let hidden = letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    if hidden {
        letter.escape_unicode().gathered()
    } else {
        vec![letter]
    }
}

/// The known word that was probably meant: at most two letters wrong, and not more than a third of it.
pub(super) fn nearest<'b>(word: &str, known: impl Iterator<Item = &'b str>) -> Option<&'b str> {
    if word.len() > 32 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let near = known.map(|other| (distance(&word, other), other)).min();
    near.filter(|(distance, other)| *distance <= 2.min(other.len().max(3) / 3))
        .map(|(_, other)| other)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).gathered()];
    for (row, left) in one.iter().enumerate() {
        let above = &rows[row];
        let mut next = vec![row + 1];
        for (column, right) in other.iter().enumerate() {
            let mut best = (above[column] + usize::from(left != right))
                .min(above[column + 1] + 1)
                .min(next[column] + 1);
            let swapped = row > 0 && column > 0 && one[row - 1] == *right && other[column - 1] == *left;
            if swapped {
                best = best.min(rows[row - 1][column - 1] + 1);
            }
            next.push(best);
        }
        rows.push(next);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        let known = ["enabled", "level", "host", "mirror"];
        let near = |word| nearest(word, known.into_iter());
        assert_eq!(near("enabeld"), Some("enabled"));
        assert_eq!(near("Enabled"), Some("enabled"));
        assert_eq!(near("hosts"), Some("host"));
        assert_eq!(near("mirorr"), Some("mirror"));
        assert_eq!(near("window"), None);
        assert_eq!(near(&"x".repeat(100_000)), None);
    }

    #[test]
    fn counts_letters_apart() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }

    #[test]
    fn shows_nothing_that_moves_a_cursor() {
        assert_eq!(shown("a\n\u{1b}[2Jb"), "a\\u{a}\\u{1b}[2Jb");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(shown("カメラ"), "カメラ");
        assert_eq!(shown(&"x".repeat(65)), "x".repeat(64) + "…");
    }
}
