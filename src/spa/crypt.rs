//! Digests, HMAC (RFC 2104), base64 as fwknop writes it, and Rijndael with OpenSSL's old key derivation. The HMAC and the CBC chaining are written out
//! here: the crates for them would make one copy for every digest, and a page of code is a lot on a router.

use super::Digest;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use base64ct::{Base64Unpadded, Encoding};
use zeroize::Zeroizing;

/// Rijndael's block.
pub(super) const BLOCK: usize = 16;
/// The longest digest, SHA-512.
const LONGEST: usize = 64;

/// What a digest comes to.
pub(super) struct Sum {
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

/// Base64 without `=`.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(Base64Unpadded::encode_string(bytes))
}

/// The bytes of a base64 text without `=`; `None` too if they do not fit into the buffer or if unused bits are set.
pub(super) fn decode<'b>(text: &[u8], buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
    let count = Base64Unpadded::decode(text, buffer).ok()?.len();
    buffer.get_mut(..count)
}

/// The digests; MD5 is only in the key derivation and in packets' inner digest, where nothing hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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
pub(super) fn sum(kind: Kind, parts: &[&[u8]]) -> Sum {
    fn of<D: sha1::Digest>(parts: &[&[u8]], out: &mut [u8]) {
        let mut digest = D::new();
        for part in parts {
            digest.update(part);
        }
        out.copy_from_slice(&digest.finalize());
    }
    let mut sum = Sum {
        bytes: Zeroizing::new([0; LONGEST]),
        length: kind.length(),
    };
    let out = &mut sum.bytes[..kind.length()];
    match kind {
        Kind::Md5 => of::<md5::Md5>(parts, out),
        Kind::Sha1 => of::<sha1::Sha1>(parts, out),
        Kind::Sha256 => of::<sha2::Sha256>(parts, out),
        Kind::Sha384 => of::<sha2::Sha384>(parts, out),
        Kind::Sha512 => of::<sha2::Sha512>(parts, out),
    }
    sum
}

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
