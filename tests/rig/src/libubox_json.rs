//! blobmsg as JSON text, to the byte as libubox prints it (`blobmsg_json.c`).

use lanward::blobmsg::{fields, Data, Field};
use std::io::Write;

/// A list of fields as an object, on one line.
pub fn object(list: &[u8]) -> Vec<u8> {
    Printer {
        text: Vec::new(),
        level: None,
        types: false,
    }
    .list(list, b"{}")
}

/// A list of fields as an object, with tabs.
pub fn indented(list: &[u8]) -> Vec<u8> {
    Printer {
        text: Vec::new(),
        level: Some(0),
        types: false,
    }
    .list(list, b"{}")
}

/// A method of a signature: the numbers in it are the names of types.
pub fn signature(method: &Field<'_>) -> Vec<u8> {
    let mut printer = Printer {
        text: Vec::new(),
        level: None,
        types: true,
    };
    printer.field(method, true);
    printer.text
}

struct Printer {
    text: Vec<u8>,
    /// How many tabs; none at all without.
    level: Option<usize>,
    types: bool,
}

impl Printer {
    fn list(mut self, list: &[u8], brackets: &[u8; 2]) -> Vec<u8> {
        self.nest(list, brackets);
        self.text
    }

    fn nest(&mut self, list: &[u8], brackets: &[u8; 2]) {
        self.text.push(brackets[0]);
        self.level = self.level.map(|level| level + 1);
        self.separate();
        for (index, field) in fields(list).map_while(Result::ok).enumerate() {
            if index > 0 {
                self.text.push(b',');
                self.separate();
            }
            self.field(&field, brackets == b"{}");
        }
        self.level = self.level.map(|level| level - 1);
        self.separate();
        self.text.push(brackets[1]);
    }

    fn separate(&mut self) {
        if let Some(level) = self.level {
            self.text.push(b'\n');
            self.text.extend(std::iter::repeat_n(b'\t', level.min(16)));
        }
    }

    fn field(&mut self, field: &Field<'_>, named: bool) {
        if named && !field.name.is_empty() {
            self.string(field.name);
            self.text
                .extend(if self.level.is_some() { ": ".as_bytes() } else { b":" });
        }
        match field.data {
            Data::Array(list) => self.nest(list, b"[]"),
            Data::Table(list) => self.nest(list, b"{}"),
            Data::String(bytes) => self.string(bytes),
            Data::Int32(number) if self.types => self.text.extend(type_name(number).as_bytes()),
            data => self.text.extend(scalar(data).as_bytes()),
        }
    }

    fn string(&mut self, bytes: &[u8]) {
        self.text.push(b'"');
        for byte in bytes {
            match byte {
                8 => self.text.extend(b"\\b"),
                b'\n' => self.text.extend(b"\\n"),
                b'\t' => self.text.extend(b"\\t"),
                b'\r' => self.text.extend(b"\\r"),
                b'"' | b'\\' => self.text.extend([b'\\', *byte]),
                0..b' ' => write!(self.text, "\\u00{byte:02x}").expect("memory takes it"),
                _ => self.text.push(*byte),
            }
        }
        self.text.push(b'"');
    }
}

fn scalar(data: Data<'_>) -> String {
    match data {
        Data::Int64(number) => number.to_string(),
        Data::Int32(number) => number.to_string(),
        Data::Int16(number) => number.to_string(),
        Data::Int8(number) => (number != 0).to_string(),
        Data::Double(number) if number.is_nan() => if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned(),
        Data::Double(number) => format!("{number:.6}"),
        _ => "null".to_owned(),
    }
}

fn type_name(number: i32) -> &'static str {
    match number {
        1 => "\"Array\"",
        2 => "\"Table\"",
        3 => "\"String\"",
        5 => "\"Integer\"",
        7 => "\"Boolean\"",
        _ => "\"(unknown)\"",
    }
}
