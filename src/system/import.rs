//! Log files line by line, plain or packed by gzip, in constant memory.

mod gunzip;

use super::storage;
use crate::syslog_import::LONGEST_LINE;
use gunzip::{Gunzip, MAGIC};
use std::fs::File;
use std::io::{self, Read};
use std::time::UNIX_EPOCH;

/// How much is read at a time.
const PIECE: usize = 32 * 1024;

/// A file, or what comes on standard input.
pub struct Source {
    name: String,
    input: Box<dyn Read>,
    total: Option<u64>,
    written: Option<u64>,
}

impl Source {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn open(name: &str) -> Result<Self, String> {
        if name == "-" {
            return Ok(Self {
                name: "standard input".to_owned(),
                input: Box::new(storage::standard_input().map_err(|error| format!("standard input: {error}"))?),
                total: None,
                written: None,
            });
        }
        let named = |error: &io::Error| format!("{name}: {error}");
        let file = File::open(name).map_err(|error| named(&error))?;
        let seen = file.metadata().map_err(|error| named(&error))?;
        if seen.is_dir() {
            return Err(format!("{name}: a directory: name the files in it"));
        }
        let written = seen.modified().ok();
        let written = written.and_then(|time| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs()));
        Ok(Self {
            name: name.to_owned(),
            input: Box::new(file),
            total: Some(seen.len()).filter(|_| seen.is_file()),
            written: written.filter(|_| seen.is_file()),
        })
    }

    /// When the file was changed last, in seconds since 1970; `None` for what is no file.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        self.written
    }

    /// Reads to the end. `on_line` gets each line without its end (`\n`), the last one also if it has none, and of lines longer than
    /// [`LONGEST_LINE`] one byte more than that. `on_progress` gets how many bytes of the file were read, and of how many if that is known.
    ///
    /// # Errors
    /// One line that names the file and the place. What was given to `on_line` before is whole lines.
    pub fn read(
        mut self,
        on_line: &mut dyn FnMut(&[u8]),
        on_progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), String> {
        let mut piece = vec![0; PIECE];
        let mut lines = Lines::new(on_line);
        let mut gunzip = None;
        let (mut done, mut held) = (0_u64, 0);
        loop {
            let read = match self.input.read(piece.get_mut(held..).unwrap_or(&mut [])) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.at(done, &error.to_string())),
                Ok(read) => read,
            };
            let length = held + read;
            // What the first two bytes are, they say together.
            if done == 0 && length < MAGIC.len() && read > 0 {
                held = length;
                continue;
            }
            held = 0;
            let bytes = piece.get(..length).unwrap_or(&[]);
            if done == 0 && bytes.starts_with(&MAGIC) {
                gunzip = Some(Gunzip::new());
            }
            match &mut gunzip {
                None => lines.push(bytes),
                Some(gunzip) => {
                    let pushed = gunzip.push(bytes, &mut |out| lines.push(out));
                    pushed.map_err(|(at, what)| {
                        let at = u64::try_from(at).unwrap_or(0);
                        self.at(done + at, &format!("this gzip file is {what} here"))
                    })?;
                }
            }
            done += u64::try_from(length).unwrap_or(0);
            on_progress(done, self.total);
            if read == 0 {
                break;
            }
        }
        if gunzip.is_some_and(|gunzip| !gunzip.is_whole()) {
            return Err(self.at(done, "this gzip file ends too early"));
        }
        lines.end();
        Ok(())
    }

    fn at(&self, offset: u64, what: &str) -> String {
        format!("{}: byte {offset}: {what}; the lines before it are read", self.name)
    }
}

/// Cuts what comes in pieces into lines.
struct Lines<'a> {
    on_line: &'a mut dyn FnMut(&[u8]),
    /// The beginning of a line, one byte longer than a line may be at most.
    begun: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(on_line: &'a mut dyn FnMut(&[u8])) -> Self {
        Self {
            on_line,
            begun: Vec::with_capacity(LONGEST_LINE + 1),
        }
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or(&[]);
            if self.begun.is_empty() {
                (self.on_line)(line.get(..=LONGEST_LINE).unwrap_or(line));
            } else {
                self.hold(line);
                self.give();
            }
        }
        self.hold(bytes);
    }

    fn hold(&mut self, part: &[u8]) {
        let room = (LONGEST_LINE + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn give(&mut self) {
        (self.on_line)(&self.begun);
        self.begun.clear();
    }

    fn end(&mut self) {
        if !self.begun.is_empty() {
            self.give();
        }
    }
}

#[cfg(test)]
mod tests;
