//! What a client needs of a new key.

use crate::spa::{Digest, Keys};
use zeroize::Zeroizing;

pub fn stanza(_name: &str, _host: &str, _access: &str, _keys: &Keys, _hmac: Digest) -> Zeroizing<String> {
    Zeroizing::new(String::new())
}
pub fn qr(_text: &str) -> Result<Vec<String>, String> {
    Ok(Vec::new())
}
pub fn qr_text(_keys: &Keys) -> Zeroizing<String> {
    Zeroizing::new(String::new())
}
