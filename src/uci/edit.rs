//! One option changed in a text, and nothing else.

use super::lexer::{Lexer, Placed, Statement};
use super::{parse, EditError, Package, Section, SyntaxError, Value};
use crate::gather::Gather;
use crate::sorted::Map;
use std::ops::Range;

/// The text with `option NAME 'VALUE'` set in the section `section` (by name), and not one other byte changed: comments, order, quoting
/// and blank lines stay. Where the option stands several times, the last one (the one that counts) is changed, a `list` line to an `option` line if need be; where
/// it is not there it is added behind the last line of the section that holds an option.
///
/// UCI's grammar has corners in which a change to a word changes what stands behind it (see [`super::lexer`]), so the result is
/// read back before it is given out.
///
/// # Errors
/// See [`EditError`].
pub fn set_option(text: &[u8], section: &str, option: &str, value: &str) -> Result<Vec<u8>, EditError> {
    if option.is_empty() || !option.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(EditError::InvalidName);
    }
    if value.is_empty() || value.contains('\0') {
        return Err(EditError::InvalidValue);
    }
    let mut expected = parse(text).map_err(EditError::Syntax)?;
    let target = expected
        .sections
        .iter_mut()
        .find(|known| known.name.as_deref() == Some(section));
    set(target.ok_or(EditError::NoSection)?, option, value);
    let place = find(text, section, option)
        .map_err(EditError::Syntax)?
        .ok_or(EditError::NoSection)?;
    let ways = match place {
        Place::Known(placed) => ways_to_change(text, &placed, option, &quoted(value)),
        Place::Behind(placed) => ways_to_add(text, &placed, option, &quoted(value)),
    };
    let fits = |changed: &Vec<u8>| parse(changed).is_ok_and(|package| same(&package, &expected));
    ways.into_iter().find(fits).ok_or(EditError::Unwritable)
}

/// Where to set the option.
enum Place {
    /// The last statement of this option.
    Known(Placed),
    /// The last statement of the section.
    Behind(Placed),
}

fn find(text: &[u8], section: &str, option: &str) -> Result<Option<Place>, SyntaxError> {
    let mut lexer = Lexer::new(text)?;
    let (mut inside, mut known, mut last_option, mut opening) = (false, None, None, None);
    while let Some(placed) = lexer.statement()? {
        match &placed.statement {
            Statement::Section { name, .. } => {
                inside = name.as_deref() == Some(section);
                if inside {
                    opening = Some(placed);
                }
            }
            Statement::Option { name, .. } if inside && name == option => known = Some(placed),
            Statement::Option { .. } if inside => last_option = Some(placed),
            Statement::Option { .. } => {}
        }
    }
    Ok(known.map(Place::Known).or(last_option.or(opening).map(Place::Behind)))
}

/// From the smallest change to the most robust one. A `#` behind the value keeps commented out what was dead before: `option a b;option c d` has
/// no second statement, `option a 'x';option c d` has one.
fn ways_to_change(text: &[u8], placed: &Placed, option: &str, value: &str) -> Vec<Vec<u8>> {
    let statement = placed.keyword.start..placed.last.end;
    let keyword = match placed.statement {
        Statement::Option { list: true, .. } => b"option",
        _ => text.get(placed.keyword.clone()).unwrap_or(b"option"),
    };
    let between = text.get(placed.keyword.end..placed.last.start).unwrap_or_default();
    let without_value = placed.first == placed.last;
    let only_value = if without_value {
        let name = text.get(placed.last.clone()).unwrap_or_default();
        [keyword, between, name, b" ", value.as_bytes()].concat()
    } else {
        [keyword, between, value.as_bytes()].concat()
    };
    let whole = format!("option {option} {value}").into_bytes();
    let ways = [
        only_value.clone(),
        [&only_value, &b"#"[..]].concat(),
        whole.clone(),
        [&whole, &b"#"[..]].concat(),
    ];
    ways.iter().map(|way| replaced(text, &statement, way)).gathered()
}

/// As a line of its own, if need be with a blank one before it (where the text ends in a backslash) or with a `#` (where it ends in a `;`, which no
/// line feed may follow); or, where other statements follow on the same line, between them;
/// or above it, where no word ends it but a `;` does (`list a;;config b c`).
fn ways_to_add(text: &[u8], placed: &Placed, option: &str, value: &str) -> Vec<Vec<u8>> {
    let at = placed.line_end;
    let before = text.get(..at).unwrap_or(text);
    let line_feed: &[u8] = if before.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
    let missing = if before.ends_with(b"\n") { b"" } else { line_feed };
    let line_start = text.get(..placed.keyword.start).unwrap_or_default();
    let line_start = line_start
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let indent = match placed.statement {
        Statement::Option { .. } => text.get(line_start..placed.keyword.start).unwrap_or_default(),
        Statement::Section { .. } => b"\t",
    };
    let indent = if indent.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
        indent
    } else {
        b"\t"
    };
    let option = format!("option {option} {value}").into_bytes();
    let line = [missing, indent, &option, line_feed].concat();
    let inline = [b" ; ", &option[..]].concat();
    let inline_at = placed.last.end;
    let mut ways = vec![
        replaced(text, &(at..at), &line),
        replaced(text, &(at..at), &[b"\n", &line[..]].concat()),
        replaced(text, &(at..at), &[b"#", &line[..]].concat()),
        replaced(text, &(inline_at..inline_at), &inline),
    ];
    if matches!(placed.statement, Statement::Option { .. }) {
        let before = placed.keyword.start;
        let above = [&option[..], line_feed, indent].concat();
        ways.push(replaced(text, &(before..before), &above));
    }
    ways
}

fn replaced(text: &[u8], span: &Range<usize>, new: &[u8]) -> Vec<u8> {
    let before = text.get(..span.start).unwrap_or(text);
    let behind = text.get(span.end..).unwrap_or_default();
    [before, new, behind].concat()
}

/// In single quotes, as `uci export` writes it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn set(section: &mut Section, option: &str, value: &str) {
    let new = Value::One(value.to_string());
    match section.options.iter_mut().find(|(name, _)| name == option) {
        Some((_, old)) => *old = new,
        None => section.options.push((option.to_string(), new)),
    }
}

/// Whether two packages say the same. Lines may move, and the order of options means nothing.
fn same(one: &Package, other: &Package) -> bool {
    fn options(section: &Section) -> Map<&str, &Value> {
        section
            .options
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect()
    }
    one.sections.len() == other.sections.len()
        && one
            .sections
            .iter()
            .zip(&other.sections)
            .all(|(one, other)| one.kind == other.kind && one.name == other.name && options(one) == options(other))
}
