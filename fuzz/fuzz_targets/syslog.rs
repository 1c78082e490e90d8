//! Any bytes are lines of a log: each is counted once as something, and what came of them is bounded. The first byte says what is known of the times.
#![no_main]

use lanward::date::Date;
use lanward::syslog_import::{Reading, Tally, Times};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let local = |_: i64| (choice & 1 == 0).then_some(i64::from(*choice) * 450);
    let times = Times {
        local: &local,
        boot: (choice & 2 == 0).then_some(i64::from(*choice) << 24),
    };
    let today = Date::from_days(18_000 + i64::from(*choice)).unwrap_or(Date::FIRST);
    let mut tally = Tally::default();
    let mut counts = Vec::new();
    for _ in 0..2 {
        let mut reading = Reading::new(today, today);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            reading.line(line, &times);
        }
        counts.push(tally.add(reading));
    }
    let once = &counts[0];
    assert_eq!(counts[1].known, !bytes.is_empty());
    let singly = once.attempts.saturating_sub(once.repeated);
    assert!(once.lines >= singly + once.no_attempts + once.foreign);
    assert!(
        once.shown.len() <= 5
            && once
                .shown
                .iter()
                .all(|unread| !unread.text.chars().any(char::is_control))
    );
    let mut sum = 0_u64;
    let mut before = None;
    for day in tally.into_days() {
        assert!(before.replace(day.date) < Some(day.date) && day.date <= today.plus(1).unwrap_or(today));
        sum += day.attempts();
        let ports: u64 = day.ports.iter().map(|port| port.2).sum();
        let sources: u64 = day.sources.iter().map(|source| source.attempts).sum();
        assert!(ports <= day.attempts() && sources <= day.attempts());
        assert!(day.ports.len() <= 64 && day.sources.len() <= 256);
    }
    assert_eq!(sum, once.attempts);
});
