//! Any bytes as JSON: what we read serde_json reads alike, what we write is read again as the same; and whatever it is, the page's profiles are read or refused.
#![no_main]

use lanward::json::{line, lines, parse};
use lanward::profiles;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let _ = profiles::parse(bytes);
    match (parse(bytes), serde_json::from_slice::<Value>(bytes)) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours, theirs);
            for text in [line(&ours), lines(&ours)] {
                assert_eq!(parse(text.as_bytes()).as_ref(), Ok(&ours), "{text}");
            }
        }
        (Err(_), Err(_)) => {}
        // Theirs reads fractions, and what is larger than 64 bits.
        (Err(why), Ok(_)) => assert!(
            bytes.iter().any(|byte| b".eE-".contains(byte)) || bytes.len() > 18,
            "{why}"
        ),
        (Ok(ours), Err(why)) => panic!("{ours} {why}"),
    }
});
