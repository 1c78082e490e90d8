//! Any bytes are a list of fields or none; what was read is written and read again as the same.
#![no_main]

use lanward::blobmsg;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let attributes = blobmsg::attributes(bytes).count();
    assert!(attributes <= bytes.len() / 4 + 1);
    let Ok(map) = blobmsg::decode(bytes) else { return };
    let written = blobmsg::encode(&map).expect("what was read is neither too deep nor too long");
    assert_eq!(blobmsg::decode(&written).as_ref(), Ok(&map));
});
