//! A packet's bytes.
//!
//! ```text
//! packet  = base64(Salted__ SALT CIPHERTEXT) base64(HMAC)   both without `=`; the HMAC is of the first base64 as text
//!           and of the first, its ten letters `U2FsdGVkX1` (Salted__) are not sent
//! plain   = DIGITS:b64(user):time:version:type:b64(message)[:timeout]:b64(digest of all before)
//! message = ADDRESS,PROTOCOL/PORT[,PROTOCOL/PORT …]
//! ```

use super::crypt::{decode, decrypt, encode, encrypt, hmac, same, sum, Kind, BLOCK};
use super::{Digest, Keys, Opened, Refused, Request};
use crate::config::Protocol;
use std::fmt::Write;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// The longest packet: fwknop's `MAX_SPA_ENCRYPTED_SIZE`.
const LONGEST: usize = 1500;
/// What every encrypted text begins with, and its base64 as far as it does not hang on what follows.
const SALTED: &[u8] = b"Salted__";
const SALTED_TEXT: &[u8] = b"U2FsdGVkX1";
/// The same of GPG's messages.
const GPG_TEXT: &[u8] = b"hQ";
/// The salt's end.
const HEAD: usize = 16;
/// fwknop's limits on a user, a message (64 and 256 characters of base64), a timeout; the digits' number at least.
const USER: usize = 48;
const MESSAGE: usize = 192;
const TIMEOUT: u32 = 65_536;
const DIGITS: usize = 16;
/// The version of the format that is written: libfko's own (2.6.x). It is not looked at.
const VERSION: &str = "3.0.0";

/// Opens a packet: HMAC (in constant time), decryption, inner digest, form; in this order.
///
/// # Errors
/// See [`Refused`].
pub fn open(packet: &[u8], keys: &Keys, digest: Digest) -> Result<Opened, Refused> {
    let Some(length) = packet.len().checked_sub(Kind::from(digest).text_length()) else {
        return Err(Refused::Foreign);
    };
    if packet.len() > LONGEST {
        return Err(Refused::Foreign);
    }
    let (text, proof) = packet.split_at(length);
    // As text, like fwknopd: base64 has several texts for the same bytes, and only one of them is the packet.
    let ours = hmac(digest, &keys.hmac, [SALTED_TEXT, text]);
    if !same(ours.text().as_bytes(), proof) {
        let gpg = hmac(digest, &keys.hmac, [GPG_TEXT, text]);
        return Err(if same(gpg.text().as_bytes(), proof) {
            Refused::Gpg
        } else {
            Refused::Foreign
        });
    }
    let mut coded = Zeroizing::new([0; SALTED_TEXT.len() + LONGEST]);
    let coded = &mut coded[..SALTED_TEXT.len() + length];
    coded[..SALTED_TEXT.len()].copy_from_slice(SALTED_TEXT);
    coded[SALTED_TEXT.len()..].copy_from_slice(text);
    let mut bytes = Zeroizing::new([0; LONGEST]);
    let bytes = decode(coded, &mut *bytes).ok_or(Refused::Broken("its base64 is wrong"))?;
    let (head, secret) = bytes.split_at_mut(bytes.len().min(HEAD));
    if !head.starts_with(SALTED) || secret.is_empty() || secret.len() % BLOCK != 0 {
        return Err(Refused::Broken("its length or salt is wrong"));
    }
    decrypt(&keys.encryption, &head[SALTED.len()..], secret);
    // The HMAC was right: whoever made it may know where the padding is wrong.
    let padding = usize::from(secret[secret.len() - 1]);
    if !(1..=BLOCK).contains(&padding) || !secret.ends_with(&[secret[secret.len() - 1]; BLOCK][..padding]) {
        return Err(Refused::Broken(
            "it does not decrypt: another encryption key, or another encryption mode",
        ));
    }
    let plain = &secret[..secret.len() - padding];
    let mut identity = [0; 16];
    identity.copy_from_slice(&ours.bytes()[..16]);
    Ok(Opened {
        request: read(plain)?,
        proof: identity,
    })
}

/// The decrypted text.
fn read(plain: &[u8]) -> Result<Request, Refused> {
    let broken = Refused::Broken;
    let plain = std::str::from_utf8(plain).map_err(|_| broken("its text is not ASCII"))?;
    let (signed, digest) = plain.rsplit_once(':').ok_or(broken("it has too few fields"))?;
    let kind = Kind::by_text(digest.len()).ok_or(broken("its inner digest is of no known kind"))?;
    if !same(sum(kind, &[signed.as_bytes()]).text().as_bytes(), digest.as_bytes()) {
        return Err(broken("its inner digest is wrong"));
    }
    let mut fields = signed.split(':');
    let mut next = || fields.next().ok_or(broken("it has too few fields"));
    if next()?.len() < DIGITS {
        return Err(broken("its random value is wrong"));
    }
    let mut user = Zeroizing::new([0; USER]);
    let user = text(next()?, &mut *user)
        .filter(|user| is_user(user))
        .ok_or(broken("its user is wrong"))?;
    let sent = number(next()?).ok_or(broken("its time is wrong"))?;
    // The version is not looked at: fwknopd does not, either.
    let _ = next()?;
    let timed = match next()? {
        "0" => return Err(Refused::Command),
        "1" => false,
        "3" => true,
        "2" | "4" | "5" | "6" => return Err(Refused::Nat),
        _ => return Err(broken("its type is of no known kind")),
    };
    let mut message = Zeroizing::new([0; MESSAGE]);
    let (address, ports) = read_message(text(next()?, &mut *message).ok_or(broken("its message is wrong"))?)?;
    let seconds = match timed.then(next).transpose()?.map(number) {
        None | Some(Some(0)) => None,
        Some(Some(seconds)) if seconds <= TIMEOUT.into() => u32::try_from(seconds).ok(),
        Some(_) => return Err(broken("its timeout is wrong")),
    };
    if fields.next().is_some() {
        return Err(broken("it has too many fields"));
    }
    Ok(Request {
        address,
        ports,
        seconds,
        sent,
        user: user.to_string(),
    })
}

/// A message's address and ports.
type Message = (Option<IpAddr>, Vec<(Protocol, u16)>);

fn read_message(message: &str) -> Result<Message, Refused> {
    let broken = Refused::Broken;
    let mut parts = message.split(',');
    let address: IpAddr = parts
        .next()
        .and_then(|text| text.parse().ok())
        .ok_or(broken("its address is wrong"))?;
    let mut ports = Vec::new();
    for part in parts {
        let (protocol, port) = part.split_once('/').ok_or(broken("its list of ports is wrong"))?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(broken("it asks for what is neither TCP nor UDP")),
        };
        let port = number(port)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0);
        ports.push((protocol, port.ok_or(broken("its list of ports is wrong"))?));
    }
    if ports.is_empty() {
        return Err(broken("its list of ports is empty"));
    }
    Ok(((!address.is_unspecified()).then_some(address), ports))
}

/// Digits and nothing else, as a number; `None` too if it is too big.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// The text in a base64 text; `None` too if it does not fit into the buffer.
fn text<'b>(coded: &str, buffer: &'b mut [u8]) -> Option<&'b str> {
    std::str::from_utf8(decode(coded.as_bytes(), buffer)?).ok()
}

/// As fwknop has it: printable ASCII, and what Windows forbids is forbidden.
fn is_user(user: &str) -> bool {
    !user.is_empty()
        && user
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !br#""/\[]:;|=,+*?<>"#.contains(&byte))
}

/// What a packet asks for: an address (`None`: whoever it comes from) and ports.
///
/// # Errors
/// There is no port, or a packet cannot carry so many.
pub fn request_of(address: Option<IpAddr>, ports: &[(Protocol, u16)]) -> Result<Zeroizing<String>, &'static str> {
    let mut message = Zeroizing::new(String::with_capacity(MESSAGE + 64));
    match address {
        Some(address) => drop(write!(message, "{address}")),
        None => message.push_str("0.0.0.0"),
    }
    for (protocol, port) in ports {
        let protocol = if *protocol == Protocol::Tcp { "tcp" } else { "udp" };
        let _ = write!(message, ",{protocol}/{port}");
        if *port == 0 {
            return Err("there is no port 0");
        }
        if message.len() > MESSAGE {
            return Err("too many ports for one packet");
        }
    }
    if ports.is_empty() {
        return Err("no port");
    }
    Ok(message)
}

/// A packet that the stock `fwknopd` accepts (with an IPv6 address in it: lanward only). `random`: 8 bytes become the
/// 16 digits that make every packet another, 8 are the salt; never the same twice.
///
/// # Errors
/// What the format cannot carry.
pub fn seal(request: &Request, keys: &Keys, digest: Digest, random: &[u8; 16]) -> Result<String, &'static str> {
    if !is_user(&request.user) || request.user.len() > USER {
        return Err("a user is printable ASCII without any of \"/\\[]:;|=,+*?<>, at most 48 characters");
    }
    // fwknop keeps it in 32 bits.
    let sent = u32::try_from(request.sent).map_err(|_| "the time is after the year 2106")?;
    let message = request_of(request.address, &request.ports)?;
    let [a, b, c, d, e, f, g, h, salt @ ..] = random;
    let digits = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) % 10_u64.pow(16);
    let kind = if request.seconds.is_some() { 3 } else { 1 };
    let (user, message) = (encode(request.user.as_bytes()), encode(message.as_bytes()));
    let mut plain = Zeroizing::new(String::with_capacity(LONGEST));
    let _ = write!(plain, "{digits:016}:{}:{sent}:{VERSION}:{kind}:{}", *user, *message);
    if let Some(seconds) = request.seconds {
        if !(1..=TIMEOUT).contains(&seconds) {
            return Err("the time that it opens for is 1 to 65536 s");
        }
        let _ = write!(plain, ":{seconds}");
    }
    Ok(seal_text(plain.as_bytes(), keys, digest, salt))
}

/// A packet around any text, with its inner digest: what [`seal`] ends with, and tests begin with to say what nobody says.
pub fn seal_text(text: &[u8], keys: &Keys, digest: Digest, salt: &[u8; 8]) -> String {
    let inner = sum(Kind::Sha256, &[text]).text();
    let padding = BLOCK - (text.len() + 1 + inner.len()) % BLOCK;
    let end = [u8::try_from(padding).unwrap_or(0); BLOCK];
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD + text.len() + 1 + inner.len() + BLOCK));
    for part in [SALTED, salt, text, b":", inner.as_bytes(), &end[..padding]] {
        bytes.extend_from_slice(part);
    }
    encrypt(&keys.encryption, salt, &mut bytes[HEAD..]);
    let packet = encode(&bytes);
    let proof = hmac(digest, &keys.hmac, [packet.as_bytes(), b""]).text();
    [&packet[SALTED_TEXT.len()..], &proof].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a right HMAC may cover: the inner digest.
    #[test]
    fn the_inner_digest_is_checked() {
        let text = "1234567890123456:YW5uYQ:1795495404:3.0.0:1:MjAzLjAuMTEzLjksdGNwLzIy";
        let mut known = 0;
        for kind in [Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Sha384, Kind::Sha512] {
            let digest = sum(kind, &[text.as_bytes()]).text();
            assert_eq!(
                read(format!("{text}:{}", *digest).as_bytes()).map(|request| request.sent),
                Ok(1_795_495_404)
            );
            let wrong = Err(Refused::Broken("its inner digest is wrong"));
            assert_eq!(
                read(format!("{text}:{}", *digest).replacen('1', "2", 1).as_bytes()),
                wrong
            );
            assert_eq!(read(format!("{text}:{}", "A".repeat(digest.len())).as_bytes()), wrong);
            known += usize::from(Kind::by_text(digest.len()) == Some(kind));
        }
        assert_eq!(known, 5);
        let unknown = Err(Refused::Broken("its inner digest is of no known kind"));
        assert_eq!(read(format!("{text}:").as_bytes()), unknown);
        assert_eq!(read(format!("{text}:AAAA").as_bytes()), unknown);
        assert_eq!(read(b""), Err(Refused::Broken("it has too few fields")));
        assert_eq!(read(b"\xff:"), Err(Refused::Broken("its text is not ASCII")));
    }
}
