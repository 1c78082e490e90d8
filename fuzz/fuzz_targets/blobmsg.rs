//! Any bytes are a list of fields or none; what was read is written and read again as the same.
#![no_main]

use lanward::blobmsg;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let attributes = blobmsg::attributes(bytes).count();
    assert!(attributes <= bytes.len() / 4 + 1);
    let Ok(map) = blobmsg::decode(bytes) else { return };
    // A name that is not UTF-8 becomes longer, at worst too long.
    let Ok(written) = blobmsg::encode(&map) else {
        assert!(bytes.len() > 20_000);
        return;
    };
    assert_eq!(blobmsg::decode(&written).as_ref(), Ok(&map));
});
