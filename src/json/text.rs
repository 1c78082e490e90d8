//! JSON's text, RFC 8259: read and written without serde_json's generic machinery and its exact floating point, which were a fortieth of a router's program.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// How deep lists and objects may be in each other, as serde_json has it.
const DEPTH: usize = 127;

/// Reads a value. Whole numbers only: what is read here has no others.
///
/// # Errors
/// What is wrong, and at which byte.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    let mut reader = Reader { rest: text };
    let value = reader.value(DEPTH).and_then(|value| {
        reader.skip_blanks();
        reader.rest.is_empty().then_some(value).ok_or("text behind the value")
    });
    value.map_err(|what| format!("{what} at byte {}", text.len() - reader.rest.len()))
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Whether this came next. Then it is read.
    fn take(&mut self, what: &str) -> bool {
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The same behind blanks.
    fn next_is(&mut self, what: &str) -> bool {
        self.skip_blanks();
        self.take(what)
    }

    fn value(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.skip_blanks();
        let deeper = depth.checked_sub(1).ok_or("recursion limit exceeded");
        if self.take("{") {
            let (deeper, mut fields) = (deeper?, Map::new());
            if self.next_is("}") {
                return Ok(Value::Object(fields));
            }
            loop {
                if !self.next_is("\"") {
                    return Err("a name is wanted");
                }
                let name = self.string()?;
                if !self.next_is(":") {
                    return Err("':' is wanted");
                }
                let value = self.value(deeper)?;
                super::put(&mut fields, &name, value);
                if self.next_is("}") {
                    return Ok(Value::Object(fields));
                }
                if !self.next_is(",") {
                    return Err("',' or '}' is wanted");
                }
            }
        }
        if self.take("[") {
            let (deeper, mut list) = (deeper?, Vec::new());
            if self.next_is("]") {
                return Ok(Value::Array(list));
            }
            loop {
                list.push(self.value(deeper)?);
                if self.next_is("]") {
                    return Ok(Value::Array(list));
                }
                if !self.next_is(",") {
                    return Err("',' or ']' is wanted");
                }
            }
        }
        if self.take("\"") {
            return self.string().map(Value::String);
        }
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
        ] {
            if self.take(word) {
                return Ok(value);
            }
        }
        self.number()
    }

    fn number(&mut self) -> Result<Value, &'static str> {
        let length = self
            .rest
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
        let (word, rest) = self
            .rest
            .split_at_checked(length.unwrap_or(self.rest.len()))
            .unwrap_or_default();
        let digits = word.strip_prefix('-').unwrap_or(word);
        // One way to write each number; and Rust's would also read a plus.
        if digits.is_empty() || word.contains('+') || digits.len() > 1 && digits.starts_with('0') || word == "-0" {
            return Err("a value is wanted");
        }
        let number = word
            .parse::<u64>()
            .map(Value::from)
            .or_else(|_| word.parse::<i64>().map(Value::from));
        self.rest = rest;
        number.map_err(|_| "no whole number of 64 bits")
    }

    /// Behind the first quotation mark.
    fn string(&mut self) -> Result<String, &'static str> {
        let mut text = String::new();
        loop {
            let mut characters = self.rest.chars();
            let first = characters.next();
            self.rest = characters.as_str();
            text.push(match first {
                Some('"') => return Ok(text),
                Some('\\') => self.escaped()?,
                Some(c) if c >= ' ' => c,
                _ => return Err("a string has no end"),
            });
        }
    }

    fn escaped(&mut self) -> Result<char, &'static str> {
        const WRONG: &str = "an escape that JSON does not have";
        let mut characters = self.rest.chars();
        let kind = characters.next();
        self.rest = characters.as_str();
        Ok(match kind {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let mut code = self.unit().ok_or(WRONG)?;
                // Two halves of one character.
                if (0xd800..0xdc00).contains(&code) && self.take("\\u") {
                    let low = self.unit().ok_or(WRONG)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(WRONG);
                    }
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(code).ok_or(WRONG)?
            }
            _ => return Err(WRONG),
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| are_digits)
    }
}

/// A value in one line.
#[must_use]
pub fn line(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, None);
    text
}

/// A value for people: a line for each field, and one more at the end.
#[must_use]
pub fn lines(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, Some(0));
    text.push('\n');
    text
}

/// `depth`: of what is written a line each.
fn write(text: &mut String, value: &Value, depth: Option<usize>) {
    let inner = depth.map(|depth| depth + 1);
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                let _ = write!(text, "{number}");
            } else if let Some(number) = number.as_i64() {
                let _ = write!(text, "{number}");
            } else {
                fraction(text, number.as_f64().unwrap_or_default());
            }
        }
        Value::String(word) => quote(text, word),
        Value::Array(list) => {
            text.push('[');
            for (at, value) in list.iter().enumerate() {
                separate(text, at, inner);
                write(text, value, inner);
            }
            end(text, list.is_empty(), depth, ']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                separate(text, at, inner);
                quote(text, name);
                text.push_str(if inner.is_some() { ": " } else { ":" });
                write(text, value, inner);
            }
            end(text, fields.is_empty(), depth, '}');
        }
    }
}

fn separate(text: &mut String, at: usize, depth: Option<usize>) {
    if at > 0 {
        text.push(',');
    }
    indent(text, depth);
}

fn end(text: &mut String, is_empty: bool, depth: Option<usize>, mark: char) {
    if !is_empty {
        indent(text, depth);
    }
    text.push(mark);
}

fn indent(text: &mut String, depth: Option<usize>) {
    let Some(depth) = depth else { return };
    text.push('\n');
    for _ in 0..depth {
        text.push_str("  ");
    }
}

/// To one digit, rounded: nothing that is written here has more.
#[allow(clippy::cast_possible_truncation)] // saturates
fn fraction(text: &mut String, number: f64) {
    let halves = (number * 20.0) as i64;
    let tenths = halves.unsigned_abs().div_ceil(2);
    let sign = if halves < 0 { "-" } else { "" };
    let _ = write!(text, "{sign}{}.{}", tenths / 10, tenths % 10);
}

fn quote(text: &mut String, word: &str) {
    text.push('"');
    for c in word.chars() {
        let short = match c {
            '"' | '\\' => c,
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            c if c < ' ' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
                continue;
            }
            c => {
                text.push(c);
                continue;
            }
        };
        text.push('\\');
        text.push(short);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\x00-\\x7f]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_serde_json_writes_and_reads(value in values()) {
            prop_assert_eq!(line(&value), value.to_string());
            prop_assert_eq!(lines(&value), format!("{value:#}\n"));
            for text in [line(&value), lines(&value)] {
                prop_assert_eq!(parse(text.as_bytes()).unwrap(), value.clone());
            }
        }

        #[test]
        fn what_it_reads_serde_json_reads_alike(text in r#"[\[\]{},: "\\u0-9a-fnrt+.eE\-dD8]{0,12}|"\\\\u[dD][89a-fA-F]{3}\\\\u[dD][c-fC-F0]{3}""#, whole in values(), cut in 0..40_usize) {
            let mut other = line(&whole).into_bytes();
            other.truncate(cut);
            for bytes in [text.as_bytes(), &other] {
                match (parse(bytes), serde_json::from_slice::<Value>(bytes)) {
                    (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
                    (Err(_), Err(_)) => {}
                    // Theirs reads fractions, and what is larger than 64 bits.
                    (Err(why), Ok(_)) => prop_assert!(bytes.iter().any(|byte| b".eE-".contains(byte)) || bytes.len() > 18, "{}", why),
                    (Ok(ours), Err(why)) => prop_assert!(false, "{} {}", ours, why),
                }
            }
        }

        #[test]
        fn tenths_are_exact(number in 10_u64..(1 << 50)) {
            #[allow(clippy::cast_precision_loss)]
            let value = Value::from(number as f64 / 10.0);
            prop_assert_eq!(line(&value), format!("{}.{}", number / 10, number % 10));
        }
    }

    #[test]
    fn depth_is_bounded_as_theirs() {
        for depth in [127, 128, 60_000] {
            let text = ["[".repeat(depth), "]".repeat(depth)].concat();
            let theirs = serde_json::from_str::<Value>(&text).is_ok();
            assert_eq!(parse(text.as_bytes()).is_ok(), theirs, "{depth}");
        }
        assert_eq!(parse(b" {\"a\" 1}").unwrap_err(), "':' is wanted at byte 6");
    }
}
