//! gzip (RFC 1952), as it comes: members one behind the other, each checked by length and CRC. Inflating (RFC 1951) is `miniz_oxide`'s.

use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{decompress, DecompressorOxide};
use miniz_oxide::inflate::TINFLStatus;

/// What every member begins with.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
/// How far deflate looks back.
const WINDOW: usize = 32 * 1024;
/// Magic, method, flags, time, level, system.
const HEAD: usize = 10;
/// CRC and length.
const TAIL: usize = 8;
// Flags: what else the head has.
const HEAD_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    ExtraLength,
    /// So many bytes.
    Extra(u16),
    Name,
    Comment,
    HeadCrc,
    Body,
    Tail,
    /// A further member, or zeros to the end, with which some fill a block.
    Next,
    Zeros,
}

/// Unpacks a stream that comes in pieces.
pub(super) struct Gunzip {
    part: Part,
    /// What of a head or tail is there.
    held: Vec<u8>,
    flags: u8,
    inflate: Box<DecompressorOxide>,
    window: Vec<u8>,
    /// Where the window goes on.
    at: usize,
    crc: u32,
    length: u32,
}

impl Gunzip {
    pub(super) fn new() -> Self {
        Self {
            part: Part::Head,
            held: Vec::with_capacity(HEAD),
            flags: 0,
            inflate: Box::default(),
            window: vec![0; WINDOW],
            at: 0,
            crc: !0,
            length: 0,
        }
    }

    /// Unpacks a piece.
    ///
    /// # Errors
    /// Where in the piece it is damaged, and how. What came out before is right as far as it can be known.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<(), (usize, &'static str)> {
        let mut done = 0;
        while let Some(rest) = piece.get(done..).filter(|rest| !rest.is_empty()) {
            done += match self.part {
                Part::Body => self.body(rest, out).map_err(|what| (done, what))?,
                _ => {
                    self.byte(rest[0]).map_err(|what| (done, what))?;
                    1
                }
            };
        }
        Ok(())
    }

    /// Whether the stream may end here.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.part, Part::Next | Part::Zeros) && self.held.is_empty()
    }

    fn body(&mut self, input: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<usize, &'static str> {
        let (status, eaten, made) = decompress(
            &mut self.inflate,
            input,
            &mut self.window,
            self.at,
            TINFL_FLAG_HAS_MORE_INPUT,
        );
        let fresh = self.window.get(self.at..self.at + made).unwrap_or(&[]);
        self.crc = crc(self.crc, fresh);
        self.length = self.length.wrapping_add(u32::try_from(made).unwrap_or(0));
        out(fresh);
        self.at = (self.at + made) % WINDOW;
        match status {
            TINFLStatus::Done => {
                self.held.clear();
                self.part = Part::Tail;
            }
            TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput if eaten + made > 0 => {}
            _ => return Err("damaged"),
        }
        Ok(eaten)
    }

    fn byte(&mut self, byte: u8) -> Result<(), &'static str> {
        match self.part {
            Part::Head | Part::Next => {
                self.held.push(byte);
                return self.head();
            }
            Part::ExtraLength | Part::HeadCrc => {
                self.held.push(byte);
                let &[low, high] = self.held.as_slice() else {
                    return Ok(());
                };
                self.held.clear();
                self.part = match (self.part, u16::from_le_bytes([low, high])) {
                    (Part::ExtraLength, 0) => self.part_behind(EXTRA),
                    (Part::ExtraLength, length) => Part::Extra(length),
                    _ => self.part_behind(HEAD_CRC),
                };
            }
            Part::Extra(1) => self.part = self.part_behind(EXTRA),
            Part::Extra(length) => self.part = Part::Extra(length - 1),
            Part::Name if byte == 0 => self.part = self.part_behind(NAME),
            Part::Comment if byte == 0 => self.part = self.part_behind(COMMENT),
            Part::Name | Part::Comment | Part::Body => {}
            Part::Tail => {
                self.held.push(byte);
                return self.tail();
            }
            Part::Zeros if byte == 0 => {}
            Part::Zeros => return Err("followed by something else"),
        }
        Ok(())
    }

    fn head(&mut self) -> Result<(), &'static str> {
        let wanted = [MAGIC[0], MAGIC[1], DEFLATE];
        if self.part == Part::Next && self.held == [0] {
            self.held.clear();
            self.part = Part::Zeros;
            return Ok(());
        }
        if self.held.iter().zip(wanted).any(|(byte, wanted)| *byte != wanted) {
            return Err(if self.part == Part::Next {
                "followed by something else"
            } else {
                "not deflated"
            });
        }
        if self.held.len() == HEAD {
            self.flags = self.held.get(3).copied().unwrap_or(0);
            if self.flags & RESERVED != 0 {
                return Err("of a kind that is not known");
            }
            self.held.clear();
            self.part = self.part_behind(0);
        }
        Ok(())
    }

    /// What follows a part of the head, which are there in this order if their flags are.
    fn part_behind(&mut self, flag: u8) -> Part {
        const ORDER: [(u8, Part); 4] = [
            (EXTRA, Part::ExtraLength),
            (NAME, Part::Name),
            (COMMENT, Part::Comment),
            (HEAD_CRC, Part::HeadCrc),
        ];
        let behind = ORDER
            .iter()
            .position(|(known, _)| *known == flag)
            .map_or(0, |at| at + 1);
        let mut rest = ORDER.iter().skip(behind);
        if let Some((_, part)) = rest.find(|(flag, _)| self.flags & flag != 0) {
            return *part;
        }
        self.inflate.init();
        (self.at, self.crc, self.length) = (0, !0, 0);
        Part::Body
    }

    fn tail(&mut self) -> Result<(), &'static str> {
        if self.held.len() < TAIL {
            return Ok(());
        }
        let is_right = self.held.get(..4) == Some(&(!self.crc).to_le_bytes()[..])
            && self.held.get(4..) == Some(&self.length.to_le_bytes()[..]);
        self.held.clear();
        self.part = Part::Next;
        if is_right {
            Ok(())
        } else {
            Err("damaged (its checksum is another)")
        }
    }
}

/// CRC-32 as in RFC 1952, by half bytes: a table of 64 bytes instead of a kilobyte.
fn crc(mut crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = table();
    for byte in bytes {
        crc ^= u32::from(*byte);
        crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
        crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
    }
    crc
}

const fn table() -> [u32; 16] {
    let mut table = [0; 16];
    let (mut index, mut number) = (0, 0_u32);
    while index < table.len() {
        let mut value = number;
        let mut bit = 0;
        while bit < 4 {
            value = (value >> 1) ^ ((value & 1) * 0xedb8_8320);
            bit += 1;
        }
        table[index] = value;
        (index, number) = (index + 1, number + 1);
    }
    table
}
