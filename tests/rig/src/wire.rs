//! The recorded conversations with a real ubusd, in `tests/ubus-wire`.

use serde_json::Value;
use std::path::PathBuf;

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The party that connected to ubusd.
    Party,
    /// ubusd.
    Broker,
}

/// One message as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub sender: Sender,
    pub bytes: Vec<u8>,
    /// It came with a file descriptor.
    pub descriptor: bool,
}

/// Where the recordings are.
pub fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../ubus-wire"))
}

/// All recordings' names, sorted.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(directory()).expect("tests/ubus-wire is there");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// One connection's messages, in the order in which they passed.
///
/// # Panics
/// If there is no such recording, or it is damaged.
pub fn read(name: &str) -> Vec<Line> {
    let path = directory().join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| parse(line).unwrap_or_else(|| panic!("{name}: {line}")))
        .collect()
}

fn parse(line: &str) -> Option<Line> {
    let line: Value = serde_json::from_str(line).ok()?;
    let bytes = |key: &str| line.get(key).map_or(Some(Vec::new()), |hex| unhex(hex.as_str()?));
    let sender = match line.get("dir")?.as_str()? {
        "c2s" => Sender::Party,
        "s2c" => Sender::Broker,
        _ => return None,
    };
    let repeat = usize::try_from(line.get("fill_len").map_or(Some(0), Value::as_u64)?).ok()?;
    let bytes = [bytes("hex")?, bytes("fill")?.repeat(repeat), bytes("tail")?].concat();
    Some(Line {
        sender,
        bytes,
        descriptor: line.get("fds").is_some(),
    })
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
