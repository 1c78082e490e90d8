//! Any bytes are a host key, what a client has written down, a private key, what a client or our script says, a target's greeting, or none of
//! them; what was read is written and read again as the same. The first byte chooses.
#![no_main]

use lanward::relay::greeting::{judge, Kind, Verdict, MOST};
use lanward::relay::key::{known_hosts_dropbear, known_hosts_openssh, offered, HostKey, KeyFile, PrivateKey};
use lanward::relay::words::{clean, said, word, LONGEST};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice % 5 {
        0 => {
            if let Ok(key) = std::str::from_utf8(bytes).map_err(|_| "").and_then(HostKey::parse) {
                is_a_key(&key);
            }
        }
        1 => {
            if let Some(key) = offered(bytes) {
                is_a_key(&key);
            }
        }
        2 => {
            if let Ok(KeyFile::Ed25519(key)) = PrivateKey::parse(bytes) {
                is_a_key(&key.public_key());
                for file in [key.openssh(), key.dropbear()] {
                    let Ok(KeyFile::Ed25519(again)) = PrivateKey::parse(&file) else {
                        panic!("it does not come back")
                    };
                    assert_eq!(again.dropbear(), key.dropbear());
                }
            }
        }
        3 => {
            let _ = (word(bytes), said(bytes));
            let shown = clean(bytes);
            assert!(shown.len() <= LONGEST && !shown.chars().any(char::is_control));
            assert_eq!(clean(shown.as_bytes()), shown);
        }
        _ => {
            for kind in [Kind::Rdp, Kind::Ssh, Kind::Vnc, Kind::None] {
                // Byte by byte: once it is known, it stays so.
                let mut before = Verdict::More;
                for length in 0..=bytes.len().min(2 * MOST) {
                    let now = judge(kind, &bytes[..length]);
                    assert!(before == Verdict::More || now == before, "{kind:?} {length}");
                    before = now;
                }
                assert!(before != Verdict::More || bytes.len() < MOST);
            }
        }
    }
});

fn is_a_key(key: &HostKey) {
    assert_eq!(HostKey::parse(key.line()).as_ref(), Ok(key));
    assert!(key.line().starts_with(key.kind()) && key.fingerprint().len() == "SHA256:".len() + 43);
    for known in [
        known_hosts_openssh("office", key),
        known_hosts_dropbear("192.0.2.1", key),
    ] {
        assert_eq!(known.lines().count(), 1);
        assert_eq!(offered(known.as_bytes()).as_ref(), Some(key));
    }
}
