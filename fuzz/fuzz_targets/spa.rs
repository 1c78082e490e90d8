//! Any bytes are a packet, a key file, a replay file, or none; what was read is written and read again as the same. The first byte
//! chooses; a packet is also tried as what a right HMAC covers, since no HMAC is ever right by chance.
#![no_main]

use lanward::spa::{judge, open, seal, seal_text, Digest, Keys, Refused, Replay, Rules};
use libfuzzer_sys::fuzz_target;

const KEYS: &[u8] = include_bytes!("../../tests/spa/base64.key");

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice % 4 {
        0 => {
            if let Ok(keys) = Keys::parse(bytes) {
                let file = keys.file();
                let again = Keys::parse(file.as_bytes()).map(|keys| keys.file());
                assert_eq!(again, Ok(file));
            }
        }
        1 => {
            if let Some(replay) = Replay::parse(bytes) {
                assert_eq!(replay.bytes(), bytes);
            }
        }
        2 => packet(bytes, Digest::ALL[usize::from(choice / 4) % 4]),
        _ => {
            let Ok(keys) = Keys::parse(KEYS) else {
                panic!("the fixture's keys")
            };
            packet(
                seal_text(bytes, &keys, Digest::Sha256, b"saltsalt").as_bytes(),
                Digest::Sha256,
            );
        }
    }
});

fn packet(packet: &[u8], digest: Digest) {
    let Ok(keys) = Keys::parse(KEYS) else {
        panic!("the fixture's keys")
    };
    let opened = match open(packet, &keys, digest) {
        Ok(opened) => opened,
        Err(refused) => return assert!(refused == Refused::Foreign || !refused.to_string().is_empty()),
    };
    let mut request = opened.request.clone();
    let rules = Rules {
        max_age: 120,
        seconds: 30,
        max_seconds: 3600,
        any_address: true,
        ports: &[22],
    };
    let mut replay = Replay::default();
    let judged = judge(&opened, &rules, [203, 0, 113, 9].into(), request.sent, &replay);
    replay.note(&opened.proof, request.sent);
    assert!(
        judge(&opened, &rules, [203, 0, 113, 9].into(), request.sent, &replay).is_err(),
        "{judged:?}"
    );
    // What the format carries here in more than one way comes back in one.
    request.sent %= 1 << 32;
    if let Ok(again) = seal(&request, &keys, digest, &[1; 16]) {
        assert_eq!(
            open(again.as_bytes(), &keys, digest).map(|opened| opened.request),
            Ok(request)
        );
    }
}
