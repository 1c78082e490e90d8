//! Any bytes as a configuration file: read, judged, and one option set. `cargo fuzz run uci`; the same properties run without
//! cargo-fuzz in `tests/config.rs` and, beside libuci, in `tests/oracles/tests/uci.rs`.
#![no_main]

use lanward::{config, uci};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let (config, problems) = config::read_text(Some(text));
    assert_eq!(config.mark.count_ones(), 1);
    assert!(!config.lan_only.ports.is_empty());
    assert!(problems
        .iter()
        .all(|problem| !problem.message.chars().any(char::is_control)));
    let Ok(package) = uci::parse(text) else { return };
    let roomy = package
        .sections
        .iter()
        .filter(|section| section.options.len() < uci::MAX_OPTIONS);
    for name in roomy.filter_map(|section| section.name.as_deref()).take(4) {
        let changed = uci::set_option(text, name, "enabled", "it's\n1").expect("a section of this name is there");
        let again = uci::parse(&changed).expect("what was written can be read");
        let section = again
            .sections
            .iter()
            .find(|section| section.name.as_deref() == Some(name));
        assert_eq!(section.and_then(|section| section.option("enabled")), Some("it's\n1"));
    }
});
