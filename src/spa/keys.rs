//! The two keys of an SPA section and the text of their file.

use super::crypt::{decode, encode};
use std::fmt;
use zeroize::Zeroizing;

/// fwknop's limits.
const ENCRYPTION: usize = 32;
const HMAC: usize = 128;
/// Whoever sees one packet can try HMAC keys at leisure: shorter ones than this would be found.
const LEAST: usize = 16;

/// A key pair: Rijndael's and the HMAC's. Wiped when dropped; shows nothing of itself.
pub struct Keys {
    pub(super) encryption: Zeroizing<Vec<u8>>,
    pub(super) hmac: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("Keys")
    }
}

impl Keys {
    /// The keys in a key file: a line `KEY_BASE64 …` (or `KEY …`: the characters themselves) and a line `HMAC_KEY_BASE64
    /// …` (or `HMAC_KEY …`), the name with a colon or without, as fwknop writes them. Empty lines and comments (`#`) are
    /// passed over.
    ///
    /// # Errors
    /// What is wrong, with the line's number; nothing of a key.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let (mut encryption, mut hmac) = (None, None);
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let (key, name, most) = read(line).map_err(|why| format!("line {number}: {why}"))?;
            let place = if most == HMAC { &mut hmac } else { &mut encryption };
            if key.len() > most {
                return Err(format!(
                    "line {number}: {name} has {} bytes, more than fwknop's {most}",
                    key.len()
                ));
            }
            if place.replace(key).is_some() {
                return Err(format!("line {number}: a second key of that kind"));
            }
        }
        let encryption = encryption.ok_or("no line KEY_BASE64")?;
        let hmac = hmac.ok_or("no line HMAC_KEY_BASE64: a packet without HMAC is never accepted")?;
        if hmac.len() < LEAST {
            return Err(format!(
                "the HMAC key has {} bytes; with fewer than {LEAST} it can be guessed",
                hmac.len()
            ));
        }
        if *encryption == *hmac {
            return Err("the two keys are the same".to_string());
        }
        Ok(Self { encryption, hmac })
    }

    /// New keys out of random bytes: as long as `fwknop --key-gen` makes them.
    pub fn from_random(random: &[u8; 96]) -> Self {
        let (encryption, hmac) = random.split_at(ENCRYPTION);
        Self {
            encryption: Zeroizing::new(encryption.to_vec()),
            hmac: Zeroizing::new(hmac.to_vec()),
        }
    }

    /// The key file's text: two lines that [`Keys::parse`] reads and that an fwknoprc or access.conf takes as they are.
    pub fn file(&self) -> Zeroizing<String> {
        // Long enough for both: what a string leaves behind when it grows is not wiped.
        let mut file = Zeroizing::new(String::with_capacity(300));
        for (name, key) in [("KEY_BASE64 ", &self.encryption), ("HMAC_KEY_BASE64 ", &self.hmac)] {
            file.push_str(name);
            let text = encode(key);
            file.push_str(&text);
            file.push_str(["\n", "", "==\n", "=\n"][text.len() % 4]);
        }
        file
    }
}

/// A line's key, its name, and the most bytes that such a key may have.
fn read(line: &[u8]) -> Result<(Zeroizing<Vec<u8>>, &'static str, usize), &'static str> {
    let end = line
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t' | b':'))
        .unwrap_or(line.len());
    let (name, key) = line.split_at(end);
    let key = key.strip_prefix(b":").unwrap_or(key).trim_ascii();
    let (name, most, coded) = match name {
        b"KEY_BASE64" => ("KEY_BASE64", ENCRYPTION, true),
        b"KEY" => ("KEY", ENCRYPTION, false),
        b"HMAC_KEY_BASE64" => ("HMAC_KEY_BASE64", HMAC, true),
        b"HMAC_KEY" => ("HMAC_KEY", HMAC, false),
        _ => return Err("neither KEY_BASE64 nor HMAC_KEY_BASE64 (nor KEY, HMAC_KEY)"),
    };
    if key.is_empty() {
        return Err("no key");
    }
    let key = if coded {
        let key = key.strip_suffix(b"=").unwrap_or(key);
        let key = key.strip_suffix(b"=").unwrap_or(key);
        let mut buffer = Zeroizing::new([0; HMAC]);
        Zeroizing::new(
            decode(key, &mut *buffer)
                .ok_or("the key is not base64, or too long")?
                .to_vec(),
        )
    } else if key.iter().any(|byte| b" \t;#".contains(byte)) {
        // Its server reads on where its client stops.
        return Err("fwknop understands no key with a space, ; or # in it: use the form with _BASE64");
    } else {
        Zeroizing::new(key.to_vec())
    };
    Ok((key, name, most))
}
