//! The two keys of an SPA section and the text of their file.

use std::fmt;
use zeroize::Zeroizing;

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
    /// The keys in a key file: a line `KEY_BASE64 …` (or `KEY …`: the characters themselves) and a line `HMAC_KEY_BASE64 …` (or
    /// `HMAC_KEY …`), the name with a colon or without, as fwknop writes them. Empty lines and comments (`#`) are passed over.
    ///
    /// # Errors
    /// What is wrong, with the line's number; nothing of a key.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let _ = text;
        Err("not finished".to_string())
    }

    /// New keys out of random bytes: as long as `fwknop --key-gen` makes them.
    pub fn from_random(random: &[u8; 96]) -> Self {
        let (encryption, hmac) = random.split_at(32);
        Self {
            encryption: Zeroizing::new(encryption.to_vec()),
            hmac: Zeroizing::new(hmac.to_vec()),
        }
    }

    /// The key file's text: two lines that [`Keys::parse`] reads and that an fwknoprc or access.conf takes as they are.
    pub fn file(&self) -> Zeroizing<String> {
        Zeroizing::new(String::new())
    }
}
