//! UCI text to statements, as `file.c` of openwrt/uci does it.
//!
//! libuci reads line by line into a buffer, ends each word in place with a NUL byte, and takes the buffer's first NUL for the end of the
//! line. Most of its corners follow from that, and they are kept, because a file must mean to lanward what it means to
//! everything else on the router:
//! - A keyword ends at a blank or a tab only: neither quote nor backslash has a meaning in it, and `config` at the end of a line is an error.
//! - `#` ends a word wherever it stands outside quotes (`a#b` is `a`), and with it the line.
//! - A backslash takes the next byte as it is; at the end of a line it joins the next one. In single quotes it is nothing special.
//! - A word goes on behind a closing quote: `'it'\''s'` is `it's`.
//! - `;` separates statements, but the NUL that ends a word falls on a `;` right behind it, unless a quote or a backslash made
//!   the word shorter than its text. So `option a b;option c d` loses its second half, `option a 'b';option c d` does not.
//! - An empty word (`''`) where a statement should end is no argument too many, and another statement may follow it.
//! - Only a line's first statement may have white space other than blanks and tabs before it: `option a 'b';` with a line feed behind is an error.

use super::{SyntaxError, MAX_BYTES};
use std::ops::Range;

/// A statement that means something. `package` does not: it is checked and skipped.
#[derive(Debug)]
pub(super) enum Statement {
    Section { kind: String, name: Option<String> },
    Option { list: bool, name: String, value: String },
}

/// A statement and where in the text it stands.
#[derive(Debug)]
pub(super) struct Placed {
    pub statement: Statement,
    /// The line of its keyword, from 1.
    pub line: usize,
    /// Its keyword.
    pub keyword: Range<usize>,
    /// Its last word but one; equal to `last` where there is only one.
    pub first: Range<usize>,
    /// An option's value, a section's name (its type, if anonymous). An option without a value: its name.
    pub last: Range<usize>,
    /// Where the next line begins.
    pub line_end: usize,
}

/// A word, without its quotes, and where it stands with them.
struct Word {
    bytes: Vec<u8>,
    span: Range<usize>,
}

/// Takes statements from a text.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    /// The next byte.
    pos: usize,
    /// Where libuci's buffer has its first NUL: the end of the line, or of what counts of it.
    end: usize,
    /// Where the next line begins.
    next: usize,
    /// A section is open.
    open: bool,
    /// `line` is the number of the line that holds byte `counted`.
    counted: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a [u8]) -> Result<Self, SyntaxError> {
        let lexer = Self {
            text,
            pos: 0,
            end: 0,
            next: 0,
            open: false,
            counted: 0,
            line: 1,
        };
        if text.len() > MAX_BYTES {
            return Err(lexer.error(MAX_BYTES, "the file is too large"));
        }
        match text.iter().position(|byte| *byte == 0) {
            Some(pos) => Err(lexer.error(pos, "a NUL byte")),
            None => Ok(lexer),
        }
    }

    /// An error at a byte of the text.
    pub fn error(&self, pos: usize, message: &str) -> SyntaxError {
        let before = self.text.get(..pos).unwrap_or(self.text);
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        SyntaxError {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + before.len() - line_start,
            message: message.to_string(),
        }
    }

    /// The next statement, or `None` at the end of the text.
    pub fn statement(&mut self) -> Result<Option<Placed>, SyntaxError> {
        loop {
            if self.pos >= self.end {
                if self.next >= self.text.len() {
                    return Ok(None);
                }
                self.next_line();
                self.skip_space();
            }
            while matches!(self.byte(), Some(b' ' | b'\t')) {
                self.pos += 1;
            }
            let start = self.pos;
            let rest = self.text.get(start..self.end).unwrap_or_default();
            let length = rest
                .iter()
                .position(|byte| matches!(byte, b' ' | b'\t'))
                .unwrap_or(rest.len());
            let keyword = start..start + length;
            match rest.get(..length).unwrap_or_default() {
                [] | [b'#', ..] => self.pos = self.end,
                b"p" | b"package" => {
                    self.pos = keyword.end;
                    self.package()?;
                }
                b"c" | b"config" => return self.section(keyword).map(Some),
                b"o" | b"option" => return self.option(keyword, false).map(Some),
                b"l" | b"list" => return self.option(keyword, true).map(Some),
                _ => return Err(self.error(start, "not a command: package, config, option or list")),
            }
        }
    }

    fn package(&mut self) -> Result<(), SyntaxError> {
        let name = self.required("the package's name is missing")?;
        if !name.bytes.iter().all(|byte| is_name(*byte) || *byte == b'-') {
            return Err(self.error(
                name.span.start,
                "a package's name has only letters, digits, '_' and '-'",
            ));
        }
        self.end_of_statement()
    }

    fn section(&mut self, keyword: Range<usize>) -> Result<Placed, SyntaxError> {
        self.pos = keyword.end;
        let kind = self.required("the section's type is missing")?;
        if !kind.bytes.iter().all(u8::is_ascii_graphic) {
            return Err(self.error(kind.span.start, "a section's type has only printable ASCII characters"));
        }
        let name = self.word()?;
        self.check_name(&name, "a section's name has only letters, digits and '_'")?;
        self.end_of_statement()?;
        self.open = true;
        let first = kind.span;
        let last = if name.bytes.is_empty() {
            first.clone()
        } else {
            name.span
        };
        let name = (!name.bytes.is_empty()).then(|| text_of(&name.bytes));
        Ok(self.placed(
            Statement::Section {
                kind: text_of(&kind.bytes),
                name,
            },
            keyword,
            first,
            last,
        ))
    }

    fn option(&mut self, keyword: Range<usize>, list: bool) -> Result<Placed, SyntaxError> {
        if !self.open {
            return Err(self.error(keyword.start, "an option or a list stands before the first section"));
        }
        self.pos = keyword.end;
        let name = self.required("the option's name is missing")?;
        self.check_name(&name, "an option's name has only letters, digits and '_'")?;
        let value = self.word()?;
        self.end_of_statement()?;
        let first = name.span;
        let last = if value.span.is_empty() {
            first.clone()
        } else {
            value.span
        };
        let statement = Statement::Option {
            list,
            name: text_of(&name.bytes),
            value: text_of(&value.bytes),
        };
        Ok(self.placed(statement, keyword, first, last))
    }

    fn placed(
        &mut self,
        statement: Statement,
        keyword: Range<usize>,
        first: Range<usize>,
        last: Range<usize>,
    ) -> Placed {
        let passed = self.text.get(self.counted..keyword.start).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.counted = keyword.start;
        Placed {
            statement,
            line: self.line,
            keyword,
            first,
            last,
            line_end: self.next,
        }
    }

    fn required(&mut self, missing: &str) -> Result<Word, SyntaxError> {
        let word = self.word()?;
        if word.bytes.is_empty() {
            return Err(self.error(word.span.start, missing));
        }
        Ok(word)
    }

    fn check_name(&self, word: &Word, message: &str) -> Result<(), SyntaxError> {
        if word.bytes.iter().copied().all(is_name) {
            return Ok(());
        }
        Err(self.error(word.span.start, message))
    }

    /// libuci's `assert_eol`: one more word is read, and must be empty.
    fn end_of_statement(&mut self) -> Result<(), SyntaxError> {
        let word = self.word()?;
        if word.bytes.is_empty() {
            return Ok(());
        }
        Err(self.error(word.span.start, "too many arguments (a value with blanks needs quotes)"))
    }

    /// libuci's `next_arg`: a word, empty where there is none.
    fn word(&mut self) -> Result<Word, SyntaxError> {
        self.skip_space();
        let start = self.pos;
        if self.byte() == Some(b';') {
            self.pos += 1;
            return Ok(Word {
                bytes: Vec::new(),
                span: start..start,
            });
        }
        let mut bytes = Vec::new();
        loop {
            match self.byte() {
                Some(b'\'') => self.single_quoted(&mut bytes)?,
                Some(b'"') => self.double_quoted(&mut bytes)?,
                Some(b'#') => self.end = self.pos,
                Some(b';') => {
                    let span = start..self.pos;
                    if bytes.len() == span.len() {
                        self.end = self.pos;
                    }
                    return Ok(Word { bytes, span });
                }
                Some(b'\\') => self.escaped(&mut bytes),
                Some(byte) => {
                    bytes.push(byte);
                    self.pos += 1;
                }
                None => {}
            }
            if self.byte().is_none_or(is_space) {
                break;
            }
        }
        let span = start..self.pos;
        if self.byte().is_some() {
            self.pos += 1;
        }
        Ok(Word { bytes, span })
    }

    fn single_quoted(&mut self, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let start = self.pos;
        self.pos += 1;
        loop {
            match self.byte() {
                Some(b'\'') => break,
                Some(byte) => {
                    bytes.push(byte);
                    self.pos += 1;
                }
                None => self.next_line_of_quoted(start)?,
            }
        }
        self.pos += 1;
        Ok(())
    }

    fn double_quoted(&mut self, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let start = self.pos;
        self.pos += 1;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => self.escaped(bytes),
                Some(byte) => {
                    bytes.push(byte);
                    self.pos += 1;
                }
                None => self.next_line_of_quoted(start)?,
            }
        }
        self.pos += 1;
        Ok(())
    }

    fn next_line_of_quoted(&mut self, start: usize) -> Result<(), SyntaxError> {
        self.next_line();
        if self.byte().is_none() {
            return Err(self.error(start, "this quote is never closed"));
        }
        Ok(())
    }

    /// A backslash: the byte behind it as it is, or the next line.
    fn escaped(&mut self, bytes: &mut Vec<u8>) {
        self.pos += 1;
        match self.text.get(self.pos..self.end).unwrap_or_default() {
            [] | [b'\n', ..] | [b'\r', b'\n'] => self.next_line(),
            [byte, ..] => {
                bytes.push(*byte);
                self.pos += 1;
            }
        }
    }

    /// Goes on with the next line, if there is one.
    fn next_line(&mut self) {
        let rest = self.text.get(self.next..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        self.pos = self.next;
        self.next += length;
        self.end = self.next;
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(is_space) {
            self.pos += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.pos..self.end)?.first().copied()
    }
}

/// C's `isspace` in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
