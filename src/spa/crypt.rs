//! Digests, HMAC (RFC 2104), base64 as fwknop writes it, and Rijndael with OpenSSL's old key derivation. The HMAC and the CBC chaining are written out
//! here: the crates for them would make one copy for every digest, and a page of code is a lot on a router.

use super::Digest;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use zeroize::Zeroizing;

/// Rijndael's block.
pub(super) const BLOCK: usize = 16;
/// The longest digest, SHA-512, and its block.
const LONGEST: usize = 64;
const LONGEST_BLOCK: usize = 128;
/// Base64's letters.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a digest comes to.
pub(crate) struct Sum {
    bytes: Zeroizing<[u8; LONGEST]>,
    length: usize,
}

impl Sum {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// As text, without `=`.
    pub fn text(&self) -> Zeroizing<String> {
        encode(self.bytes())
    }
}

/// The digests; MD5 is only in the key derivation and in packets' inner digest, where nothing hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Kind {
    /// Its length in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Its block in bytes.
    fn block(self) -> usize {
        if self.length() > Self::Sha256.length() {
            LONGEST_BLOCK
        } else {
            64
        }
    }

    /// The digest whose text, without `=`, has that many characters.
    pub fn by_text(characters: usize) -> Option<Self> {
        [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|kind| kind.text_length() == characters)
    }

    /// The length of its text without `=`.
    pub fn text_length(self) -> usize {
        (self.length() * 4).div_ceil(3)
    }
}

impl From<Digest> for Kind {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Sha1 => Self::Sha1,
            Digest::Sha256 => Self::Sha256,
            Digest::Sha384 => Self::Sha384,
            Digest::Sha512 => Self::Sha512,
        }
    }
}

/// The digest of the parts, one after the other.
///
/// The blocks are cut here for all kinds: the crates' own wrappers would be one copy for each, and do not wipe what they
/// held.
pub(crate) fn sum(kind: Kind, parts: &[&[u8]]) -> Sum {
    let mut sum = Sum {
        bytes: Zeroizing::new([0; LONGEST]),
        length: kind.length(),
    };
    let mut state = State::new(kind);
    let mut block = Zeroizing::new([0; LONGEST_BLOCK]);
    let block = &mut block[..kind.block()];
    let (mut filled, mut bits) = (0, 0_u64);
    for byte in parts.iter().copied().flatten() {
        block[filled] = *byte;
        (filled, bits) = (filled + 1, bits + 8);
        if filled == block.len() {
            state.compress(kind, block);
            filled = 0;
        }
    }
    // A one, zeros, and at a block's end the number of bits, for which an eighth of a block is set aside.
    block[filled] = 0x80;
    block[filled + 1..].fill(0);
    if filled >= block.len() - block.len() / 8 {
        state.compress(kind, block);
        block.fill(0);
    }
    let end = block.len() - 8;
    block[end..].copy_from_slice(&if kind == Kind::Md5 {
        bits.to_le_bytes()
    } else {
        bits.to_be_bytes()
    });
    state.compress(kind, block);
    state.write(kind, &mut sum.bytes);
    sum
}

/// Between two blocks: SHA-1 and SHA-256 use the short words, the others the long ones.
struct State {
    short: Zeroizing<[u32; 8]>,
    long: Zeroizing<[u64; 8]>,
}

impl State {
    /// How the standard (FIPS 180-4, 5.3) has it begin.
    fn new(kind: Kind) -> Self {
        let short = match kind {
            Kind::Md5 | Kind::Sha1 => [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0],
            _ => SHA_256,
        };
        let long = if kind == Kind::Sha384 { SHA_384 } else { SHA_512 };
        Self {
            short: Zeroizing::new(short),
            long: Zeroizing::new(long),
        }
    }

    fn compress(&mut self, kind: Kind, block: &[u8]) {
        match kind {
            Kind::Md5 => md5(&mut self.short, block),
            Kind::Sha1 => {
                let mut words = Zeroizing::new([0; 5]);
                words.copy_from_slice(&self.short[..5]);
                sha1::compress(&mut words, std::slice::from_ref(GenericArray::from_slice(block)));
                self.short[..5].copy_from_slice(&*words);
            }
            Kind::Sha256 => sha2::compress256(&mut self.short, std::slice::from_ref(GenericArray::from_slice(block))),
            Kind::Sha384 | Kind::Sha512 => {
                sha2::compress512(&mut self.long, std::slice::from_ref(GenericArray::from_slice(block)));
            }
        }
    }

    /// Writes all words there are: what is behind a digest's end is cut off by its length.
    fn write(&self, kind: Kind, out: &mut [u8; LONGEST]) {
        if kind.block() == LONGEST_BLOCK {
            for (out, word) in out.chunks_exact_mut(8).zip(self.long.iter()) {
                out.copy_from_slice(&word.to_be_bytes());
            }
        } else {
            for (out, word) in out.chunks_exact_mut(4).zip(self.short.iter()) {
                out.copy_from_slice(&if kind == Kind::Md5 {
                    word.to_le_bytes()
                } else {
                    word.to_be_bytes()
                });
            }
        }
    }
}

/// MD5's step from block to block (RFC 1321). The crate for it is six times as large and leaves passphrases behind in its buffer; nobody's
/// security hangs on MD5 here.
fn md5(state: &mut [u32; 8], block: &[u8]) {
    let mut words = Zeroizing::new([0; 16]);
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let [mut a, mut b, mut c, mut d, ..] = *state;
    for (at, sine) in SINES.into_iter().enumerate() {
        let (mixed, word) = match at / 16 {
            0 => (b & c | !b & d, at),
            1 => (d & b | !d & c, 5 * at + 1),
            2 => (b ^ c ^ d, 3 * at + 5),
            _ => (c ^ (b | !d), 7 * at),
        };
        let turned = a.wrapping_add(mixed).wrapping_add(sine).wrapping_add(words[word % 16]);
        let turned = turned.rotate_left(TURNS[at / 16 * 4 + at % 4].into());
        (a, b, c, d) = (d, b.wrapping_add(turned), b, c);
    }
    for (word, new) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(new);
    }
}

const TURNS: [u8; 16] = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
/// The sines of 1 to 64, without sign, times 2³².
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

const SHA_256: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const SHA_384: [u64; 8] = [
    0xcbbb_9d5d_c105_9ed8,
    0x629a_292a_367c_d507,
    0x9159_015a_3070_dd17,
    0x152f_ecd8_f70e_5939,
    0x6733_2667_ffc0_0b31,
    0x8eb4_4a87_6858_1511,
    0xdb0c_2e0d_64f9_8fa7,
    0x47b5_481d_befa_4fa4,
];
const SHA_512: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The HMAC of the parts, one after the other.
pub(super) fn hmac(digest: Digest, key: &[u8], parts: [&[u8]; 2]) -> Sum {
    let kind = Kind::from(digest);
    let block = if matches!(digest, Digest::Sha1 | Digest::Sha256) {
        64
    } else {
        128
    };
    let mut pad = Zeroizing::new([0_u8; 128]);
    let pad = &mut pad[..block];
    if key.len() > block {
        let short = sum(kind, &[key]);
        pad[..kind.length()].copy_from_slice(short.bytes());
    } else {
        pad[..key.len()].copy_from_slice(key);
    }
    pad.iter_mut().for_each(|byte| *byte ^= 0x36);
    let inner = sum(kind, &[pad, parts[0], parts[1]]);
    pad.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
    sum(kind, &[pad, inner.bytes()])
}

/// Whether two texts are the same, in a time that depends on their lengths only.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (one, other)| {
        // Or the compiler could stop at the first difference.
        std::hint::black_box(differ | (one ^ other))
    });
    one.len() == other.len() && differ == 0
}

/// Rijndael's key (32 bytes) and the initialisation vector: MD5 over passphrase and salt, each with what came before, as OpenSSL's `enc` did.
fn derive(passphrase: &[u8], salt: &[u8]) -> Zeroizing<[u8; 48]> {
    let mut made = Zeroizing::new([0; 48]);
    for at in [0, 16, 32] {
        let (before, now) = made.split_at_mut(at);
        let before = &before[at.saturating_sub(16)..];
        now[..16].copy_from_slice(sum(Kind::Md5, &[before, passphrase, salt]).bytes());
    }
    made
}

/// Encrypts whole blocks in place.
pub(super) fn encrypt(passphrase: &[u8], salt: &[u8], text: &mut [u8]) {
    let made = derive(passphrase, salt);
    let (key, vector) = made.split_at(32);
    let rijndael = aes::Aes256Enc::new(GenericArray::from_slice(key));
    let mut last = [0; BLOCK];
    last.copy_from_slice(vector);
    for block in text.chunks_exact_mut(BLOCK) {
        block.iter_mut().zip(last).for_each(|(byte, last)| *byte ^= last);
        rijndael.encrypt_block(GenericArray::from_mut_slice(block));
        last.copy_from_slice(block);
    }
}

/// Decrypts whole blocks in place.
pub(super) fn decrypt(passphrase: &[u8], salt: &[u8], text: &mut [u8]) {
    let made = derive(passphrase, salt);
    let (key, vector) = made.split_at(32);
    let rijndael = aes::Aes256Dec::new(GenericArray::from_slice(key));
    let mut last = [0; BLOCK];
    last.copy_from_slice(vector);
    for block in text.chunks_exact_mut(BLOCK) {
        let mut next = [0; BLOCK];
        next.copy_from_slice(block);
        rijndael.decrypt_block(GenericArray::from_mut_slice(block));
        block.iter_mut().zip(last).for_each(|(byte, last)| *byte ^= last);
        last = next;
    }
}

/// Base64 without `=`.
pub(crate) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    // Long enough at once: what a string leaves behind when it grows is not wiped.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 4 / 3 + 2));
    for group in bytes.chunks(3) {
        let bits = [0, 1, 2]
            .into_iter()
            .fold(0, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
        for at in 0..=group.len() {
            text.push(char::from(LETTERS[bits >> (18 - 6 * at) & 63]));
        }
    }
    text
}

/// The bytes of a base64 text without `=`, written to the buffer's beginning; `None` too if they do not fit or if unused bits are set.
pub(crate) fn decode<'b>(text: &[u8], buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
    let length = text.len() * 3 / 4;
    let out = buffer.get_mut(..length)?;
    let (mut bits, mut count, mut at) = (0_u32, 0, 0);
    for letter in text {
        let value = LETTERS.iter().position(|known| known == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            *out.get_mut(at)? = bits.checked_shr(count)?.to_le_bytes()[0];
            at += 1;
            bits &= (1 << count) - 1;
        }
    }
    // One letter alone is no byte.
    (at == length && bits == 0 && count < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanward_rig::report_line::{skip, this_test};
    use lanward_rig::scratch::Scratch;
    use std::process::Command;

    const KINDS: [(Kind, &str); 5] = [
        (Kind::Md5, "md5sum"),
        (Kind::Sha1, "sha1sum"),
        (Kind::Sha256, "sha256sum"),
        (Kind::Sha384, "sha384sum"),
        (Kind::Sha512, "sha512sum"),
    ];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// All lengths around the blocks' ends, beside coreutils.
    #[test]
    fn digests_are_those_of_coreutils() {
        let scratch = Scratch::new("digests");
        let text: Vec<u8> = (0..300_u32)
            .map(|at| at.wrapping_mul(at).to_le_bytes()[0] ^ 0x5a)
            .collect();
        for length in 0..text.len() {
            scratch.write(&format!("{length:03}"), &text[..length]);
        }
        let mut compared = 0;
        for (kind, program) in KINDS {
            let script = format!("exec {program} *");
            let output = Command::new("sh")
                .args(["-c", &script])
                .current_dir(&scratch)
                .output()
                .unwrap();
            for (length, line) in String::from_utf8(output.stdout).unwrap().lines().enumerate() {
                let (one, other) = text[..length].split_at(length / 3);
                assert_eq!(
                    hex(sum(kind, &[one, b"", other]).bytes()),
                    line.split(' ').next().unwrap(),
                    "{kind:?} {length}"
                );
                compared += 1;
            }
        }
        assert_eq!(compared, 5 * text.len());
    }

    /// Keys shorter and longer than a block and as long, beside OpenSSL.
    #[test]
    fn hmac_is_that_of_openssl() {
        let text = b"U2FsdGVkX1 and what follows";
        for digest in Digest::ALL {
            for length in [1, 16, 63, 64, 65, 100, 127, 128] {
                let key: Vec<u8> = (1..=length).collect();
                let mut command = Command::new("sh");
                let option = format!("hexkey:{}", hex(&key));
                command.args([
                    "-c",
                    "printf %s \"$1\" | openssl dgst -r -\"$2\" -mac HMAC -macopt \"$3\"",
                    "-",
                ]);
                let Ok(output) = command
                    .args([std::str::from_utf8(text).unwrap(), digest.word(), &option])
                    .output()
                else {
                    return skip(&this_test(), "no sh");
                };
                if output.status.code() == Some(127) {
                    return skip(&this_test(), "no openssl");
                }
                let theirs = String::from_utf8(output.stdout).unwrap();
                let ours = hex(hmac(digest, &key, [&text[..10], &text[10..]]).bytes());
                assert_eq!(Some(ours.as_str()), theirs.split(' ').next(), "{digest:?} {length}");
            }
        }
    }

    #[test]
    fn texts_are_the_same_or_not() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        assert!(!same(b"abc", b"ab") && !same(b"ab", b"abc") && !same(b"", b"a"));
        for at in 0..3 {
            for bit in 0..8 {
                let mut other = *b"abc";
                other[at] ^= 1 << bit;
                assert!(!same(b"abc", &other));
            }
        }
    }

    #[test]
    fn base64_has_one_text_for_one_value() {
        let mut buffer = [0; 200];
        for length in 0..100 {
            let bytes: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(37) ^ 0xc3).collect();
            let text = encode(&bytes);
            assert_eq!(decode(text.as_bytes(), &mut buffer).unwrap(), bytes);
            assert!(decode(text.as_bytes(), &mut buffer[..bytes.len().saturating_sub(1)]).is_none() || length == 0);
        }
        for (text, bytes) in [
            ("", ""),
            ("Zg", "f"),
            ("Zm8", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
        ] {
            assert_eq!(
                (
                    encode(bytes.as_bytes()).as_str(),
                    decode(text.as_bytes(), &mut buffer).unwrap()
                ),
                (text, bytes.as_bytes().to_vec().as_mut_slice())
            );
        }
        for wrong in [
            "Z", "Zh", "Zm9", "Zm9vY", "Zm9vYh", "Zg==", "Zm8=", "Zm 8", "Zm-_", "\u{e9}",
        ] {
            assert_eq!(decode(wrong.as_bytes(), &mut buffer), None, "{wrong}");
        }
        // Every pair of letters: either one byte or nothing, and each byte once.
        let mut seen = Vec::new();
        for (one, other) in LETTERS
            .iter()
            .flat_map(|one| LETTERS.iter().map(move |other| (*one, *other)))
        {
            seen.extend(decode(&[one, other], &mut buffer).map(|bytes| bytes[0]));
        }
        assert_eq!(seen, (0..=255).collect::<Vec<u8>>());
    }
}
