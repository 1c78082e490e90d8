//! A packet's bytes.

use super::{Digest, Keys, Opened, Refused, Request};

/// Opens a packet: HMAC (in constant time), decryption, inner digest, form; in this order.
///
/// # Errors
/// See [`Refused`].
pub fn open(packet: &[u8], keys: &Keys, digest: Digest) -> Result<Opened, Refused> {
    let _ = (packet, keys, digest);
    Err(Refused::Foreign)
}

/// A packet that the stock `fwknopd` accepts (with an IPv6 address in it: lanward only). `random`: 8 bytes become the 16 digits that make every packet
/// another, 8 are the salt; never the same twice.
///
/// # Errors
/// What the format cannot carry.
pub fn seal(request: &Request, keys: &Keys, digest: Digest, random: &[u8; 16]) -> Result<String, &'static str> {
    let _ = (request, keys, digest, random);
    Err("not finished")
}
