//! A new SPA key in the forms that those who get it want: the section for this router, the stanza for fwknop's client, the code for a phone.

use crate::config::Protocol;
use crate::spa::{request_of, Digest, Keys};
use qrcodegen_no_heap::{Mask, QrCode, QrCodeEcc, Version};
use std::net::Ipv6Addr;
use zeroize::Zeroizing;

/// What a client has to know besides the keys.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// The section's name, and the stanza's.
    pub name: &'a str,
    /// The router's name or address as the client sees it; `None`: not known here.
    pub host: Option<&'a str>,
    /// What to ask for: `tcp/22` or `tcp/22,tcp/443`.
    pub ports: &'a str,
    /// Where the packet goes.
    pub port: u16,
    /// The HMAC's digest.
    pub digest: Digest,
}

impl Access<'_> {
    /// Whether it can be written into a client's file.
    ///
    /// # Errors
    /// The host or the ports are none, in one line.
    pub fn check(&self) -> Result<(), String> {
        if let Some(host) = self.host.filter(|host| !is_host(host)) {
            return Err(format!(
                "'{}' is neither a host's name nor an address",
                host.escape_debug()
            ));
        }
        let wanted = ports(self.ports)?;
        // With the longest address before them.
        request_of(Some(Ipv6Addr::from(u128::MAX).into()), &wanted)?;
        Ok(())
    }
}

/// The port of a section that names none.
pub const PORT: u16 = 62201;

/// The longest text that fits: version 10, by bytes, with the least correction.
const LARGEST: Version = Version::new(10);
const LONGEST: usize = 271;

/// The lines for `~/.fwknoprc`, with fwknop's own names. `fwknop -n NAME` then sends a packet that asks for these ports, for whoever the packet
/// comes from.
///
/// # Errors
/// The host or the ports are none, in one line.
pub fn stanza(access: &Access, keys: &Keys) -> Result<Zeroizing<String>, String> {
    access.check()?;
    let host = access.host.unwrap_or("router.example.net");
    // Of its full size at once: what a string leaves behind when it grows is not wiped.
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push('[');
    text.push_str(access.name);
    text.push_str("]\n");
    let (port, digest) = (access.port.to_string(), access.digest.word().to_ascii_uppercase());
    for (name, value) in [
        ("SPA_SERVER", host),
        ("SPA_SERVER_PORT", &port),
        ("ACCESS", access.ports),
        ("ALLOW_IP", "source"),
        ("USE_HMAC", "Y"),
        ("HMAC_DIGEST_TYPE", &digest),
    ] {
        push(&mut text, name, value);
    }
    for line in keys.file().lines() {
        if let Some((name, value)) = line.split_once(' ') {
            push(&mut text, name, value);
        }
    }
    Ok(text)
}

fn push(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str(&"                    "[name.len().min(19)..]);
    text.push_str(value);
    text.push('\n');
}

/// The section to add to `/etc/config/lanward`.
#[must_use]
pub fn section(access: &Access, gate: &str, key_file: &str) -> String {
    let mut text = format!(
        "config spa '{}'\n\toption gate '{gate}'\n\toption key_file '{key_file}'\n",
        access.name
    );
    if access.port != PORT {
        text.push_str(&format!("\toption port '{}'\n", access.port));
    }
    if access.digest != Digest::default() {
        text.push_str(&format!("\toption hmac '{}'\n", access.digest.word()));
    }
    text
}

/// What the Android app Fwknop2 reads from a code: the two keys with their names, a colon behind a name and a space between.
#[must_use]
pub fn qr_text(keys: &Keys) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST + 1));
    for line in keys.file().lines() {
        if let Some((name, value)) = line.split_once(' ') {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(name);
            text.push(':');
            text.push_str(value);
        }
    }
    text
}

/// A QR code (model 2, correction level L or better): a string for each row, a character for each module, `1` dark and `0` light, without the quiet zone
/// of four modules that has to be around it.
///
/// # Errors
/// The text has more than 271 bytes.
pub fn qr(text: &str) -> Result<Zeroizing<Vec<String>>, String> {
    const ROOM: usize = LARGEST.buffer_len();
    let (mut input, mut output) = (Zeroizing::new([0; ROOM]), Zeroizing::new([0; ROOM]));
    let too_long = || format!("{} bytes are too many for this QR code", text.len());
    let place = input.get_mut(..text.len()).ok_or_else(too_long)?;
    place.copy_from_slice(text.as_bytes());
    let code = QrCode::encode_binary(
        &mut input[..],
        text.len(),
        &mut output[..],
        QrCodeEcc::Low,
        Version::MIN,
        LARGEST,
        None::<Mask>,
        true,
    )
    .map_err(|_| too_long())?;
    let module = |x, y| if code.get_module(x, y) { '1' } else { '0' };
    let row = |y| (0..code.size()).map(|x| module(x, y)).collect();
    Ok(Zeroizing::new((0..code.size()).map(row).collect()))
}

/// A code as half blocks, with its quiet zone: two rows of modules in a line of text. Dark on light where `coloured`, by the terminal's colours, whatever
/// its own are; without, light modules are drawn, which is right where letters are light on dark.
#[must_use]
pub fn drawn(rows: &[String], coloured: bool) -> Zeroizing<String> {
    const QUIET: usize = 4;
    let side = rows.len() + 2 * QUIET;
    // Three bytes for a block.
    let mut text = Zeroizing::new(String::with_capacity((side * 3 + 20) * (side / 2 + 1)));
    let dark = |x: usize, y: usize| {
        let row = y.checked_sub(QUIET).and_then(|y| rows.get(y));
        let module = row.and_then(|row| row.as_bytes().get(x.checked_sub(QUIET)?));
        module == Some(&b'1')
    };
    for y in (0..side).step_by(2) {
        if coloured {
            text.push_str("\x1b[30;107m");
        }
        for x in 0..side {
            // The odd last row has nothing below it: what is right for a light row there is the terminal's own.
            let drawn = [y, y + 1].map(|y| y < side && dark(x, y) == coloured);
            text.push_str(match drawn {
                [true, true] => "█",
                [true, false] => "▀",
                [false, true] => "▄",
                [false, false] => " ",
            });
        }
        text.push_str(if coloured { "\x1b[0m\n" } else { "\n" });
    }
    text
}

/// The ports in `tcp/22,udp/53`, in their order.
///
/// # Errors
/// Which part is none, in one line.
pub fn ports(text: &str) -> Result<Vec<(Protocol, u16)>, String> {
    let part = |part: &str| {
        let (protocol, port) = part.split_once('/')?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        Some((protocol, port.parse().ok().filter(|port| digits && *port > 0)?))
    };
    let wrong = |text: &str| format!("'{}' is no port to ask for (such as tcp/22)", text.escape_debug());
    text.split(',')
        .map(|word| part(word).ok_or_else(|| wrong(word)))
        .collect()
}

fn is_host(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    !text.is_empty() && text.len() <= 253 && !text.starts_with('-') && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: Access = Access {
        name: "laptop",
        host: Some("203.0.113.1"),
        ports: "tcp/22",
        port: 62201,
        digest: Digest::Sha256,
    };

    fn keys() -> Keys {
        Keys::from_random(&std::array::from_fn(|at| at.to_le_bytes()[0]))
    }

    #[test]
    fn what_a_client_is_given_cannot_say_more_than_was_meant() {
        let stanza = |host, ports| stanza(&Access { host, ports, ..ACCESS }, &keys()).map(|text| text.lines().count());
        assert_eq!(stanza(Some("fd00::1"), "tcp/22,tcp/80"), Ok(9));
        assert_eq!(stanza(None, "tcp/22"), Ok(9));
        let long = "x".repeat(254);
        for host in ["", "a b", "a\nKEY x", "-a", "a;b", "ä", &long] {
            assert!(stanza(Some(host), "tcp/22").is_err(), "{host}");
        }
        for ports in [
            "",
            "22",
            "tcp/22\nALLOW_IP x",
            "tcp/22 ",
            "tcp/+22",
            "tcp/65536",
            "tcp/22,",
            "TCP/22",
        ] {
            assert!(stanza(None, ports).is_err(), "{ports}");
        }
        // No more than a packet can ask for.
        let [fits, more, many] = [15, 16, 24].map(|count| vec!["tcp/65535"; count].join(","));
        assert_eq!(stanza(None, &fits), Ok(9));
        for ports in [&more, &many] {
            assert_eq!(stanza(None, ports), Err("too many ports for one packet".into()));
        }
    }

    #[test]
    fn a_code_is_square_and_has_its_three_corners() {
        for length in [1, 17, 160, LONGEST] {
            let rows = qr(&"x".repeat(length)).unwrap();
            assert!(rows.iter().all(|row| row.len() == rows.len()), "{length}");
            for corner in [&rows[0][..8], &rows[0][rows.len() - 7..], &rows[rows.len() - 7][..8]] {
                assert!(
                    corner.starts_with("1111111") && !corner.starts_with("11111111"),
                    "{length}"
                );
            }
        }
        assert!(qr(&"x".repeat(LONGEST + 1)).is_err());
        assert!(qr(&"x".repeat(100_000)).is_err());
        assert!(qr_text(&keys()).len() <= LONGEST);
    }

    #[test]
    fn nothing_of_a_key_is_left_in_memory_that_grew() {
        let keys = keys();
        assert!(
            stanza(&ACCESS, &keys).unwrap().capacity() >= 1024,
            "it was large enough"
        );
        let rows = qr(&qr_text(&keys)).unwrap();
        for coloured in [false, true] {
            let text = drawn(&rows, coloured);
            let side = rows.len() + 8;
            assert_eq!(text.lines().count(), side.div_ceil(2));
            assert_eq!(text.capacity(), (side * 3 + 20) * (side / 2 + 1), "it was large enough");
        }
    }

    #[test]
    fn the_section_is_read_as_it_was_meant() {
        let gate = "config gate 'ssh'\n\tlist service 'tcp:22'\n";
        let access = Access {
            port: 5000,
            digest: Digest::Sha512,
            ..ACCESS
        };
        for access in [ACCESS, access] {
            let text = section(&access, "ssh", "/etc/lanward/laptop.key");
            let (config, problems) = crate::config::read_text(Some((gate.to_owned() + &text).as_bytes()));
            assert_eq!(problems, []);
            let spa = &config.spas[0];
            assert_eq!((spa.name.as_str(), spa.gate.as_str()), ("laptop", "ssh"));
            assert_eq!(
                (spa.key_file.as_str(), spa.port),
                ("/etc/lanward/laptop.key", access.port)
            );
            assert_eq!(spa.hmac, access.digest.word());
        }
    }
}
