//! Any bytes as knockd's configuration file: what comes out are sections `knock` for the gate asked for and nothing else, without a
//! problem. `cargo fuzz run knockd_conf`; more properties, and knockd's own reader beside ours, are in `tests/knockd_import.rs`.
#![no_main]

use lanward::{config, knockd_import, uci};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let imported = knockd_import::import(text, "ssh");
    let all = format!(
        "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n{}",
        imported.uci
    );
    let (config, problems) = config::read_text(Some(all.as_bytes()));
    assert!(problems.is_empty(), "{problems:?}\n{all}");
    assert_eq!(
        (config.gates.len(), config.witnesses.len(), config.spas.len()),
        (1, 0, 0)
    );
    assert!(config.knocks.iter().all(|knock| knock.gate == "ssh"));
    // Also when somebody takes the # away from what was not taken over.
    let bare = imported.uci.replace("# ", "");
    let package = uci::parse(bare.as_bytes()).expect("the comments are sections, too");
    assert!(package.sections.iter().all(|section| section.kind == "knock"));
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(imported.remarks.len() <= 8 * lines + 2);
    assert!(imported
        .remarks
        .iter()
        .all(|remark| remark.line <= lines && !remark.to_string().chars().any(char::is_control)));
});
