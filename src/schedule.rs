//! A weekly schedule in local time as absolute windows, so that the kernel can hold to it across a change of daylight-saving time.
//!
//! The kernel's rule says "do not drop while `meta time` lies in one of these windows", and the windows are those in which the mode is
//! *off*. A clock that was never set, and a daemon that died so long ago that its windows have run out, therefore leave the drop on.

use crate::config::Schedule;
use crate::gather::Gather;
use tz::TimeZone;

/// Seconds since 1970-01-01 00:00:00 UTC; the end is the last second that belongs to the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// First second.
    pub from: u64,
    /// Last second.
    pub to: u64,
}

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;
/// How far ahead the windows reach: half a year with the daemon dead.
const HORIZON_WEEKS: i64 = 26;
/// 2024-01-01: a clock that says less has not been set (routers have no battery).
pub(crate) const CLOCK_IS_SET: i64 = 1_704_067_200;
/// 9999-12-31: what comes later is not a time but a broken clock.
const CLOCK_IS_BROKEN: i64 = 253_402_214_400;

/// When the mode is off, from the beginning of the current week (Monday 00:00 UTC) on for 26 weeks: sorted, apart from each other, the same
/// throughout a week. `tz` is a POSIX TZ string as in OpenWrt's `/etc/TZ` (`CET-1CEST,M3.5.0,M10.5.0/3`); an empty one means UTC.
///
/// An hour that does not exist locally belongs to no window: a start within it begins at the jump. In an hour that happens twice the mode
/// is on from the first time its start is shown to the last time its stop is. A clock that has not been set gives no windows.
///
/// # Errors
/// What is wrong with `tz` or the clock, for people.
pub fn off_windows(schedule: &Schedule, tz: &str, now: u64) -> Result<Vec<Window>, String> {
    let zone = parse_zone(tz)?;
    let now = plausible(now)?;
    if now < CLOCK_IS_SET {
        return Ok(Vec::new());
    }
    let begin = week_of(now);
    let end = begin + HORIZON_WEEKS * WEEK;
    let stretches = stretches(&zone, begin - 3 * DAY, end + 3 * DAY)?;
    Ok(complement(&on_windows(schedule, &stretches, begin, end), begin, end))
}

/// Whether the mode is on at `now` (seconds since 1970 UTC) by the schedule. With a clock that has not been set it is.
///
/// # Errors
/// As [`off_windows`].
pub fn is_on(schedule: &Schedule, tz: &str, now: u64) -> Result<bool, String> {
    let zone = parse_zone(tz)?;
    let now = plausible(now)?;
    if now < CLOCK_IS_SET {
        return Ok(true);
    }
    let (latest, earliest) = shown_around(&zone, now)?;
    let today = (now + offset(&zone, now)?).div_euclid(DAY);
    Ok((today - 2..=today + 2).any(|day| {
        let (start, stop) = local_window(schedule, day);
        begins_on(schedule, day) && latest >= start && earliest < stop
    }))
}

/// When [`off_windows`] gives a new answer: the beginning of the next week, Monday 00:00 UTC.
#[must_use]
pub fn next_refresh(now: u64) -> u64 {
    let now = i64::try_from(now).unwrap_or(CLOCK_IS_BROKEN).min(CLOCK_IS_BROKEN);
    u64::try_from(week_of(now) + WEEK).unwrap_or(0)
}

/// The Monday, 00:00 UTC, at or before a time. 1970-01-01 was a Thursday.
fn week_of(time: i64) -> i64 {
    time - (time + 3 * DAY).rem_euclid(WEEK)
}

fn plausible(now: u64) -> Result<i64, String> {
    match i64::try_from(now) {
        Ok(now) if now < CLOCK_IS_BROKEN => Ok(now),
        _ => Err(format!("the clock says {now} seconds since 1970, which is no time")),
    }
}

/// Whether a window begins on a local day (days since 1970-01-01).
fn begins_on(schedule: &Schedule, day: i64) -> bool {
    let weekday = usize::try_from((day + 4).rem_euclid(7)).unwrap_or(0);
    schedule.weekdays.get(weekday).copied().unwrap_or(true)
}

/// The window that begins on a local day, in seconds of local clock time since 1970; the stop does not belong to it.
fn local_window(schedule: &Schedule, day: i64) -> (i64, i64) {
    let next_day = if schedule.stop <= schedule.start { DAY } else { 0 };
    let start = day * DAY + i64::from(schedule.start) * MINUTE;
    let stop = day * DAY + i64::from(schedule.stop) * MINUTE + next_day;
    (start, stop)
}

/// A time during which the offset from UTC does not change.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: i64,
    /// The first second behind it.
    to: i64,
    offset: i64,
}

/// A time as stretches of one offset each. Found by looking once a day: no zone changes its offset and back within one.
fn stretches(zone: &TimeZone, from: i64, to: i64) -> Result<Vec<Stretch>, String> {
    let mut found = Vec::new();
    let mut current = Stretch {
        from,
        to,
        offset: offset(zone, from)?,
    };
    let mut day = from;
    while day < to {
        let next = (day + DAY).min(to);
        if offset(zone, next)? != current.offset {
            let change = change_between(zone, day, next)?;
            found.push(Stretch { to: change, ..current });
            current = Stretch {
                from: change,
                to,
                offset: offset(zone, change)?,
            };
        }
        day = next;
    }
    found.push(current);
    Ok(found)
}

/// The first second that has not the offset of `from`, which `to` does not have.
fn change_between(zone: &TimeZone, from: i64, to: i64) -> Result<i64, String> {
    let before = offset(zone, from)?;
    let (mut low, mut high) = (from, to);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset(zone, middle)? == before {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(high)
}

/// When the mode is on, both ends clipped, sorted and merged; the second of a pair does not belong to the window.
fn on_windows(schedule: &Schedule, stretches: &[Stretch], begin: i64, end: i64) -> Vec<(i64, i64)> {
    let mut windows: Vec<(i64, i64)> = Vec::new();
    // A local day is at most a day away from the UTC day of the same number, and a window lasts a day at most.
    for day in begin.div_euclid(DAY) - 2..=end.div_euclid(DAY) + 1 {
        if !begins_on(schedule, day) {
            continue;
        }
        let (start, stop) = local_window(schedule, day);
        let (Some(from), Some(to)) = (first_shown(stretches, start), last_shown(stretches, stop)) else {
            continue;
        };
        let (from, to) = (from.max(begin), to.min(end));
        if from >= to {
            continue;
        }
        match windows.last_mut() {
            Some(last) if last.1 >= from => last.1 = last.1.max(to),
            _ => windows.push((from, to)),
        }
    }
    windows
}

/// The first second at which local clocks show `local` or later.
fn first_shown(stretches: &[Stretch], local: i64) -> Option<i64> {
    stretches
        .iter()
        .map(|s| (s, s.from.max(local - s.offset)))
        .find(|(s, time)| *time < s.to)
        .map(|(_, time)| time)
}

/// The second behind the last one at which local clocks show less than `local`.
fn last_shown(stretches: &[Stretch], local: i64) -> Option<i64> {
    stretches
        .iter()
        .rev()
        .map(|s| (s, s.to.min(local - s.offset)))
        .find(|(s, time)| *time > s.from)
        .map(|(_, time)| time)
}

/// What lies between the windows.
fn complement(on: &[(i64, i64)], begin: i64, end: i64) -> Vec<Window> {
    let starts = on.iter().map(|w| w.0).chain([end]);
    let stops = [begin].into_iter().chain(on.iter().map(|w| w.1));
    stops
        .zip(starts)
        .filter(|(from, to)| from < to)
        .filter_map(|(from, to)| {
            Some(Window {
                from: u64::try_from(from).ok()?,
                to: u64::try_from(to - 1).ok()?,
            })
        })
        .gathered()
}

/// The latest local time that clocks have shown up to `now`, and the earliest that they will show from `now` on: the same, but near an hour
/// that happens twice.
fn shown_around(zone: &TimeZone, now: i64) -> Result<(i64, i64), String> {
    let here = offset(zone, now)?;
    let mut latest = now + here;
    let mut earliest = now + here;
    let before = offset(zone, now - DAY)?;
    if before > here {
        latest = latest.max(change_between(zone, now - DAY, now)? - 1 + before);
    }
    let after = offset(zone, now + DAY)?;
    if after < here {
        earliest = earliest.min(change_between(zone, now, now + DAY)? + after);
    }
    Ok((latest, earliest))
}

/// Seconds that local clocks are ahead of UTC.
pub(crate) fn offset(zone: &TimeZone, time: i64) -> Result<i64, String> {
    match zone.find_local_time_type(time) {
        Ok(local) => Ok(i64::from(local.ut_offset())),
        Err(error) => Err(format!("no local time at {time}: {error}")),
    }
}

/// A POSIX TZ string; an empty one means UTC.
pub(crate) fn parse_zone(tz: &str) -> Result<TimeZone, String> {
    let tz = tz.trim();
    if tz.is_empty() {
        return Ok(TimeZone::utc());
    }
    let bad = |why: String| format!("'{tz}' is not a POSIX time zone (such as CET-1CEST,M3.5.0,M10.5.0/3): {why}");
    if tz.len() > 128 || !tz.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(bad("unexpected characters".to_string()));
    }
    TimeZone::from_tz_data(&tzif(tz)).map_err(|error| bad(error.to_string()))
}

/// A TZif file (RFC 8536, version 3) that holds nothing but the TZ string: the only way to have tz-rs take RFC 8536's extension of the hours
/// to -167..167, which Israel's, Gaza's and Nuuk's strings need, and not look for files.
fn tzif(tz: &str) -> Vec<u8> {
    // isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt; then one local time type and its designation.
    const COUNTS: [u32; 6] = [0, 0, 0, 0, 1, 4];
    const BLOCK: [u8; 10] = *b"\0\0\0\0\0\0UTC\0";
    let mut file = Vec::new();
    for _ in 0..2 {
        file.extend_from_slice(b"TZif3");
        file.extend_from_slice(&[0; 15]);
        COUNTS
            .iter()
            .for_each(|count| file.extend_from_slice(&count.to_be_bytes()));
        file.extend_from_slice(&BLOCK);
    }
    file.push(b'\n');
    file.extend_from_slice(tz.as_bytes());
    file.push(b'\n');
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanward_rig::report_line::skip;
    use proptest::prelude::*;

    const ZONES: [(&str, &str); 9] = [
        ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("America/New_York", "EST5EDT,M3.2.0,M11.1.0"),
        ("Asia/Tokyo", "JST-9"),
        ("Australia/Lord_Howe", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"),
        ("America/Santiago", "<-04>4<-03>,M9.1.6/24,M4.1.6/24"),
        ("Asia/Jerusalem", "IST-2IDT,M3.4.4/26,M10.5.0"),
        ("America/Nuuk", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0"),
        ("Asia/Kathmandu", "<+0545>-5:45"),
        ("Pacific/Kiritimati", "<+14>-14"),
    ];
    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn schedule(days: &[usize], start: u16, stop: u16) -> Schedule {
        let mut weekdays = [days.is_empty(); 7];
        days.iter().for_each(|day| weekdays[*day] = true);
        Schedule { weekdays, start, stop }
    }

    /// Whether more than the usual number of cases is asked for (`PROPTEST_CASES`), as `make test` does.
    fn thorough() -> bool {
        ProptestConfig::default().cases > 256
    }

    fn off(windows: &[Window], time: u64) -> bool {
        windows.iter().any(|w| w.from <= time && time <= w.to)
    }

    /// 2026-01-05 00:00 UTC, a Monday.
    const MONDAY: u64 = 1_767_571_200;

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins() {
        let night = schedule(&[1], 22 * 60, 7 * 60);
        let hour = |h: u64| is_on(&night, "", MONDAY + h * 3600).unwrap();
        assert!(!hour(3), "Monday 03:00 would belong to Sunday's window");
        assert!(!hour(21));
        assert!(hour(22) && hour(24) && hour(30));
        assert!(!hour(31) && !hour(46));
        assert_eq!(
            off_windows(&night, "", MONDAY).unwrap()[..2],
            [
                Window {
                    from: MONDAY,
                    to: MONDAY + 22 * 3600 - 1
                },
                Window {
                    from: MONDAY + 31 * 3600,
                    to: MONDAY + (7 * 24 + 22) * 3600 - 1
                }
            ]
        );
    }

    #[test]
    fn equal_start_and_stop_is_a_whole_day() {
        let windows = off_windows(&schedule(&[3], 480, 480), "", MONDAY).unwrap();
        assert_eq!(windows[0].to + 1, MONDAY + (48 + 8) * 3600);
        assert_eq!(windows[1].from, MONDAY + (72 + 8) * 3600);
        assert_eq!(off_windows(&schedule(&[], 0, 0), BERLIN, MONDAY), Ok(vec![]));
    }

    #[test]
    fn the_answer_is_the_same_throughout_a_week_and_new_at_the_next_refresh() {
        let plan = schedule(&[1, 2, 5], 1200, 360);
        let first = off_windows(&plan, BERLIN, MONDAY).unwrap();
        assert_eq!(off_windows(&plan, BERLIN, MONDAY + 604_799).unwrap(), first);
        assert_eq!(next_refresh(MONDAY), MONDAY + 604_800);
        assert_eq!(next_refresh(MONDAY + 604_799), MONDAY + 604_800);
        assert_ne!(off_windows(&plan, BERLIN, next_refresh(MONDAY)).unwrap(), first);
        assert_eq!(first.last().unwrap().to, MONDAY + 26 * 604_800 - 1);
    }

    #[test]
    fn a_clock_that_was_never_set_leaves_the_mode_on() {
        let plan = schedule(&[1], 480, 540);
        for now in [0, 1, 345_600, 1_704_067_199] {
            assert_eq!(off_windows(&plan, BERLIN, now), Ok(vec![]));
            assert_eq!(is_on(&plan, BERLIN, now), Ok(true));
        }
        assert!(!off_windows(&plan, BERLIN, 1_704_067_200).unwrap().is_empty());
        assert!(off_windows(&plan, BERLIN, u64::MAX).is_err());
        assert!(is_on(&plan, BERLIN, u64::MAX).is_err());
        assert!(next_refresh(u64::MAX) > 0);
    }

    /// 2026-03-29 00:00 UTC in Berlin: at 01:00 UTC the clocks jump from 02:00 to 03:00.
    const SPRING: u64 = 1_774_742_400;
    /// 2026-10-25 00:00 UTC in Berlin: at 01:00 UTC the clocks go back from 03:00 to 02:00.
    const AUTUMN: u64 = 1_792_886_400;

    #[test]
    fn a_start_in_the_skipped_hour_begins_at_the_jump_and_a_stop_ends_there() {
        let windows = off_windows(&schedule(&[0], 150, 240), BERLIN, SPRING).unwrap();
        assert!(off(&windows, SPRING + 3599) && !off(&windows, SPRING + 3600));
        assert!(!off(&windows, SPRING + 7199) && off(&windows, SPRING + 7200));
        let windows = off_windows(&schedule(&[0], 60, 150), BERLIN, SPRING).unwrap();
        assert!(!off(&windows, SPRING) && !off(&windows, SPRING + 3599) && off(&windows, SPRING + 3600));
    }

    #[test]
    fn in_the_doubled_hour_the_mode_is_on_from_the_first_start_to_the_last_stop() {
        let windows = off_windows(&schedule(&[0], 150, 165), BERLIN, AUTUMN).unwrap();
        // 02:30 CEST is 00:30 UTC, 02:45 CET is 01:45 UTC.
        assert!(off(&windows, AUTUMN + 1799) && !off(&windows, AUTUMN + 1800));
        assert!(!off(&windows, AUTUMN + 6299) && off(&windows, AUTUMN + 6300));
    }

    #[test]
    fn wrong_time_zones_are_named_and_read_no_file() {
        for tz in [
            "Europe/Berlin",
            ":UTC",
            "localtime",
            "/etc/localtime",
            "CET-1CEST",
            "CET-1\nX",
            "CET-1CEST,M13.5.0,M10.5.0",
        ] {
            let message = off_windows(&schedule(&[], 0, 60), tz, MONDAY).unwrap_err();
            assert!(message.contains(tz), "{message}");
        }
        assert_eq!(
            off_windows(&schedule(&[], 0, 60), " UTC0\n", MONDAY),
            off_windows(&schedule(&[], 0, 60), "", MONDAY)
        );
    }

    /// Every minute of the hours around a change, and both implementations.
    #[test]
    fn windows_and_is_on_agree_minute_by_minute_around_every_change() {
        let around = if thorough() { 9 * 3600 } else { 3 * 3600 };
        let plans = [
            schedule(&[0], 150, 240),
            schedule(&[6], 22 * 60, 150),
            schedule(&[0], 120, 180),
            schedule(&[0, 1], 125, 126),
            schedule(&[], 135, 134),
            schedule(&[0, 6], 0, 0),
            schedule(&[], 90, 150),
        ];
        for (name, tz) in ZONES {
            let zone = parse_zone(tz).unwrap();
            let begin = 1_774_224_000_i64;
            let changes: Vec<i64> = stretches(&zone, begin, begin + 366 * DAY)
                .unwrap()
                .iter()
                .skip(1)
                .map(|s| s.from)
                .collect();
            assert_eq!(changes.len(), if tz.contains(',') { 2 } else { 0 }, "{name}");
            for plan in &plans {
                for change in changes.iter().chain([&begin]) {
                    let begin = u64::try_from(change - around).unwrap();
                    let windows = off_windows(plan, tz, begin).unwrap();
                    for time in (begin..begin + 2 * around.unsigned_abs())
                        .step_by(60)
                        .flat_map(|t| [t - 1, t])
                        .filter(|t| *t >= begin)
                    {
                        let on = is_on(plan, tz, time).unwrap();
                        assert_eq!(off(&windows, time), !on, "{name} {plan:?} at {time}");
                    }
                }
            }
        }
    }

    /// Where an hour neither is skipped nor happens twice, the mode is on when the C library's local clock says so.
    #[test]
    fn the_c_librarys_local_time_says_the_same() {
        for (name, _) in ZONES {
            if !std::path::Path::new("/usr/share/zoneinfo").join(name).exists() {
                return skip(
                    "local time beside the C library's",
                    &format!("no /usr/share/zoneinfo/{name}"),
                );
            }
        }
        // Every seven minutes, or as many times seven.
        let step = if thorough() { 420 } else { 2940 };
        let script = "import sys,zoneinfo,datetime\n\
            for z in sys.argv[2:]:\n\
            \x20 for t in range(1774224000, 1774224000+182*86400, int(sys.argv[1])):\n\
            \x20  d = datetime.datetime.fromtimestamp(t, zoneinfo.ZoneInfo(z))\n\
            \x20  print(int(d.utcoffset().total_seconds()))";
        let output = std::process::Command::new("python3")
            .arg("-c")
            .arg(script)
            .arg(step.to_string())
            .args(ZONES.map(|z| z.0))
            .output();
        let Ok(output) = output.map(|o| o.stdout).map(String::from_utf8) else {
            return skip("local time beside the C library's", "no python3");
        };
        let mut lines = output.unwrap();
        lines.push('\n');
        let mut lines = lines.lines();
        for (name, tz) in ZONES {
            let plan = schedule(&[0, 2, 6], 150, 130);
            let windows = off_windows(&plan, tz, 1_774_224_000).unwrap();
            let zone = parse_zone(tz).unwrap();
            let samples = (1_774_224_000_i64..1_774_224_000 + 182 * DAY).step_by(step);
            for time in samples {
                let expected: i64 = lines.next().unwrap().parse().unwrap();
                assert_eq!(offset(&zone, time).unwrap(), expected, "{name} at {time}");
                let local = time + expected;
                let (day, minute) = (local.div_euclid(DAY), local.rem_euclid(DAY) / 60);
                let weekday = |day: i64| [0, 2, 6].contains(&(day + 4).rem_euclid(7));
                let on = (weekday(day) && minute >= 150) || (weekday(day - 1) && minute < 130);
                let time = u64::try_from(time).unwrap();
                // Where clocks go back, "on" is meant to be wider than what the clock shows.
                if on {
                    assert!(!off(&windows, time), "{name} at {time}");
                } else if offset(&zone, local - expected - 7200) == offset(&zone, local - expected + 7200) {
                    assert!(off(&windows, time), "{name} at {time}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_schedule_at_any_time(
            zone in 0..ZONES.len(), weekdays in any::<[bool; 7]>(), start in 0u16..1440, stop in 0u16..1440,
            now in 1_704_067_200u64..4_000_000_000, later in 0u64..26 * 604_800
        ) {
            let plan = Schedule { weekdays, start, stop };
            let tz = ZONES[zone].1;
            let windows = off_windows(&plan, tz, now).unwrap();
            prop_assert!(windows.iter().all(|w| w.from <= w.to));
            prop_assert!(windows.windows(2).all(|w| w[0].to + 1 < w[1].from));
            let time = next_refresh(now) - 604_800 + later;
            if time >= 1_704_067_200 {
                prop_assert_eq!(off(&windows, time), !is_on(&plan, tz, time).unwrap());
            }
        }

        #[test]
        fn any_text_as_time_zone(tz in "\\PC{0,40}") {
            let _ = off_windows(&schedule(&[], 0, 60), &tz, MONDAY);
        }
    }
}
