//! The shipped profile file, and what becomes of a broken one.

#![allow(clippy::unwrap_used)]

use lanward::config::Level;
use lanward::profiles::{level_name, parse, Direction, Profiles, Protocol, Strength, Text, Verified};
use proptest::prelude::*;
use serde_json::{json, Value};

const SHIPPED: &[u8] = include_bytes!("../files/usr/share/lanward/profiles.json");

/// The applications of the traffic study, and whether a LAN→WAN range of UDP ports does anything to them at all.
const TWELVE: [(&str, bool); 12] = [
    ("chrome-remote-desktop", true),
    ("microsoft-rdp", false),
    ("azure-virtual-desktop", true),
    ("vnc", false),
    ("teamviewer", true),
    ("anydesk", true),
    ("rustdesk", true),
    ("parsec", true),
    ("moonlight-sunshine", true),
    ("splashtop", false),
    ("apple-remote-desktop", false),
    ("nomachine", true),
];

const NONE: [&str; 0] = [];

fn shipped() -> Profiles {
    parse(SHIPPED).expect("the shipped file parses")
}

fn document() -> Value {
    serde_json::from_slice(SHIPPED).expect("the shipped file is JSON")
}

/// What `parse` says of the shipped file with one place changed.
fn complaint(pointer: &str, value: Value) -> String {
    let mut document = document();
    *document.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    parse(&serde_json::to_vec(&document).unwrap())
        .expect_err(pointer)
        .to_string()
}

/// The same with a field taken away.
fn complaint_without(pointer: &str, field: &str) -> String {
    let mut document = document();
    document
        .pointer_mut(pointer)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(field)
        .expect(field);
    parse(&serde_json::to_vec(&document).unwrap())
        .expect_err(field)
        .to_string()
}

#[test]
fn the_twelve_are_there_with_honest_strengths() {
    let profiles = shipped();
    let ids: Vec<&str> = profiles.applications.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, TWELVE.map(|(id, _)| id));
    for (id, stopped) in TWELVE {
        let one = profiles.application(id).unwrap();
        for level in [Level::Seed, Level::Recommended, Level::Strict] {
            assert_eq!(one.strength.at(level).unwrap() > Strength::None, stopped, "{id}");
        }
        // Three of twelve outsiders got through the seed's range: it is nowhere more than partial.
        assert!(one.strength.seed <= Strength::Partial, "{id}");
        // And no range of ports is complete.
        assert!(one.strength.strict < Strength::CompleteDefaultPorts, "{id}");
        assert!(
            one.strength.seed <= one.strength.recommended && one.strength.recommended <= one.strength.strict,
            "{id}"
        );
        assert_eq!(one.strength.at(Level::Custom), None);
    }
}

#[test]
fn the_file_fits_a_router() {
    assert!(SHIPPED.len() < 24 * 1024, "{} bytes", SHIPPED.len());
}

#[test]
fn japanese_is_japanese_and_english_is_not() {
    let profiles = shipped();
    let japanese = |text: &str| {
        text.chars()
            .any(|one| ('\u{3040}'..='\u{30ff}').contains(&one) || ('\u{4e00}'..='\u{9fff}').contains(&one))
    };
    let mut texts = vec![&profiles.measurement.what];
    for level in &profiles.levels {
        texts.extend([&level.catches, &level.misses, &level.breaks]);
    }
    for one in &profiles.applications {
        texts.push(&one.needed);
        texts.extend(one.stops.iter().chain(&one.does_not_stop).chain(&one.unverified));
    }
    for text in texts {
        assert!(japanese(&text.ja), "{}", text.ja);
        assert!(text.en.is_ascii(), "{}", text.en);
    }
}

#[test]
fn levels_have_the_ports_of_the_configuration_and_the_measured_figures() {
    let profiles = shipped();
    let facts: Vec<_> = profiles
        .levels
        .iter()
        .map(|note| (note.level, note.ports, note.measured.map(|t| (t.connected, t.attempts))))
        .collect();
    assert_eq!(
        facts,
        [
            (Level::Seed, (40001, 65535), Some((3, 12))),
            (Level::Recommended, (32768, 65535), None),
            (Level::Strict, (1024, 65535), Some((0, 8))),
        ]
    );
    assert!(profiles.level(Level::Custom).is_none());
}

#[test]
fn only_what_was_measured_says_so_and_names_what_was_not() {
    for one in shipped().applications {
        let measured = one.verified == Verified::Measured;
        assert_eq!(measured, one.id == "chrome-remote-desktop", "{}", one.id);
        let unverified_port = one.ports.iter().any(|port| port.unverified);
        assert!(
            !(measured || unverified_port) || !one.unverified.is_empty(),
            "{}",
            one.id
        );
    }
}

#[test]
fn a_port_from_outside_names_its_application() {
    let profiles = shipped();
    let name = |protocol, from, to| profiles.listening_on(protocol, from, to).map(|one| one.id.as_str());
    assert_eq!(name(Protocol::Tcp, 3389, 3389), Some("microsoft-rdp"));
    assert_eq!(name(Protocol::Tcp, 5901, 5901), Some("vnc"));
    assert_eq!(name(Protocol::Udp, 47990, 47998), Some("moonlight-sunshine"));
    // Parsec may use any port and must not claim them all; 443 goes outwards only.
    assert_eq!(name(Protocol::Udp, 51820, 51820), None);
    assert_eq!(name(Protocol::Tcp, 443, 443), None);
    let rdp = profiles.application("microsoft-rdp").unwrap();
    assert!(rdp.ports.iter().all(|port| port.direction == Direction::In));
}

#[test]
fn a_summary_says_what_is_left_open_first_of_all() {
    let profiles = shipped();
    let seed = profiles.summary(
        Level::Seed,
        &["chrome-remote-desktop", "chrome-remote-desktop", "no-such"],
    );
    assert_eq!(
        seed.does_not_stop
            .iter()
            .filter(|line| line.contains("relay (TURN)"))
            .count(),
        1,
        "{seed}"
    );
    assert!(
        seed.does_not_stop
            .iter()
            .any(|line| line == "measured: 3 of 12 outsiders connected"),
        "{seed}"
    );
    assert!(
        seed.does_not_stop
            .iter()
            .any(|line| line.contains("cuts a running LAN session")),
        "{seed}"
    );
    let strict = profiles.summary(Level::Strict, &NONE);
    assert!(
        strict
            .stops
            .iter()
            .any(|line| line == "measured: 0 of 8 outsiders connected"),
        "{strict}"
    );
    assert!(strict.does_not_stop.iter().any(|line| line.contains("TCP")), "{strict}");
    let rdp = profiles.summary(Level::Strict, &["microsoft-rdp"]);
    assert!(!rdp.stops.iter().any(|line| line.contains("RDP")), "{rdp}");
    // Custom ports: nothing is claimed, what remains is still named.
    let custom = profiles.summary(Level::Custom, &["parsec"]);
    assert!(custom.stops.is_empty() && !custom.does_not_stop.is_empty(), "{custom}");
    assert!(
        custom.to_string().starts_with("Does NOT stop:\n  - Parsec: "),
        "{custom}"
    );
}

#[test]
fn warnings_come_where_the_level_gives_less_than_is_asked() {
    let profiles = shipped();
    let one = |level, id: &str| profiles.warnings(level, &[id]).join("|");
    let rdp = one(Level::Strict, "microsoft-rdp");
    assert!(rdp.contains("no level stops anything") && rdp.contains("3389"), "{rdp}");
    let parsec = one(Level::Seed, "parsec");
    assert!(
        parsec.contains("'seed' is partial") && parsec.contains("'recommended' is nearly-complete"),
        "{parsec}"
    );
    assert_eq!(one(Level::Recommended, "parsec"), "");
    assert!(one(Level::Strict, "teamviewer").contains("direct-only"));
    assert!(one(Level::Custom, "teamviewer").contains("custom ports"));
    let unknown = one(Level::Seed, "chrome\u{1b}[2J");
    assert!(
        unknown.contains("there is no profile 'chrome\\u{1b}[2J'") && unknown.contains("vnc, teamviewer"),
        "{unknown}"
    );
    assert!(profiles.warnings(Level::Seed, &NONE).is_empty());
}

#[test]
fn every_complaint_names_its_place() {
    let cases: [(&str, Value, &str); 19] = [
        ("/schema", json!(2), "schema: this program reads schema 1"),
        (
            "/version",
            json!("21.11.2026"),
            "version: a date (YYYY-MM-DD) is wanted",
        ),
        (
            "/levels/0/id",
            json!("seeds"),
            "levels[0].id: 'seeds' is none of seed, recommended, strict",
        ),
        ("/levels/1/id", json!("seed"), "levels[1].id: 'seed' is there twice"),
        (
            "/levels/0/from",
            json!(0),
            "levels[0].from: a port (1 to 65535) is wanted",
        ),
        (
            "/levels/0/to",
            json!(70000),
            "levels[0].to: a port (1 to 65535) is wanted",
        ),
        ("/levels/0/from", json!(-1), "levels[0].from: a whole number is wanted"),
        (
            "/levels/0/measured/connected",
            json!(13),
            "levels[0].measured: more connected than tried, or none tried",
        ),
        ("/applications", json!({}), "applications: a list is wanted"),
        (
            "/applications",
            json!([]),
            "applications: 0 entries, 1 to 64 are allowed",
        ),
        (
            "/applications/1/id",
            json!("vnc"),
            "applications[3].id: 'vnc' is there twice",
        ),
        (
            "/applications/1/id",
            json!("RDP"),
            "applications[1].id: an id is up to 32 of a-z, 0-9 and '-'",
        ),
        (
            "/applications/0/does_not_stop",
            json!([]),
            "applications[0].does_not_stop: 0 entries, 1 to 64 are allowed",
        ),
        (
            "/applications/0/stops/0/ja",
            json!(" "),
            "applications[0].stops[0].ja: the text is empty",
        ),
        (
            "/applications/0/needed/en",
            json!("a\u{1b}[2J"),
            "applications[0].needed.en: control characters are not allowed",
        ),
        (
            "/applications/0/name",
            json!("x".repeat(1025)),
            "applications[0].name: 1025 bytes, 1024 is the most",
        ),
        (
            "/applications/0/checked_on",
            json!("2026-02-29"),
            "applications[0].checked_on: a date (YYYY-MM-DD) is wanted",
        ),
        (
            "/applications/0/ports/0/to",
            json!(1),
            "applications[0].ports[0].to: it lies below 'from'",
        ),
        (
            "/applications/3/stops",
            json!([{ "en": "a", "ja": "b" }]),
            "applications[3].stops: it must be empty where the strength is none, and only there",
        ),
    ];
    for (pointer, value, expected) in cases {
        assert_eq!(complaint(pointer, value), expected);
    }
    assert_eq!(
        complaint_without("/applications/0/needed", "ja"),
        "applications[0].needed.ja: a text is wanted"
    );
    assert_eq!(
        complaint_without("/applications/2/strength", "strict"),
        "applications[2].strength.strict: a text is wanted"
    );
    assert_eq!(
        complaint_without("/applications/4", "sources"),
        "applications[4].sources: a list is wanted"
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let large = parse(&vec![b' '; 64 * 1024 + 1]).expect_err("too large").to_string();
    assert!(large.contains("65536 is the most"), "{large}");
    let deep = vec![b'['; 60_000];
    assert!(parse(&deep)
        .expect_err("too deep")
        .to_string()
        .contains("recursion limit"));
    for text in ["", "null", "[]", "{}", "\"schema\"", "\u{feff}{}"] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(parse(&[0xff, 0xfe, 0x00]).is_err());
}

/// The tables of both READMEs are made of the file. `LANWARD_GOLDEN=rewrite` writes them again.
#[test]
fn the_readmes_tables_are_the_files() {
    for (name, japanese) in [("README.md", false), ("README.ja.md", true)] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = std::fs::read_to_string(&path).expect(name);
        let mut wanted = text.clone();
        for (table, rows) in [
            ("levels", level_rows(japanese)),
            ("applications", application_rows(japanese)),
        ] {
            let (begin, end) = (format!("<!-- {table}:begin -->\n"), format!("<!-- {table}:end -->"));
            let from = wanted.find(&begin).expect(&begin) + begin.len();
            let to = wanted.find(&end).expect(&end);
            wanted.replace_range(from..to, &rows);
        }
        if std::env::var_os("LANWARD_GOLDEN").is_some_and(|value| value == "rewrite") {
            std::fs::write(&path, &wanted).expect(name);
        } else {
            assert!(
                text == wanted,
                "{name}: its tables are not those of profiles.json; LANWARD_GOLDEN=rewrite writes them again"
            );
        }
    }
}

/// A markdown table: a heading, a rule, the rows.
fn markdown(heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(heading.len()));
    rows.fold(line(&heading) + &rule, |text, row| text + &line(&row))
}

fn level_rows(japanese: bool) -> String {
    let say = |text: &Text| if japanese { text.ja.clone() } else { text.en.clone() };
    let profiles = shipped();
    let rows = profiles.levels.iter().map(|note| {
        let measured = match (note.measured, japanese) {
            (Some(tally), false) => format!("{} of {}", tally.connected, tally.attempts),
            (Some(tally), true) => format!("{}回中{}回", tally.attempts, tally.connected),
            (None, false) => "not measured".to_owned(),
            (None, true) => "未測定".to_owned(),
        };
        let ports = format!("{}–{}", note.ports.0, note.ports.1);
        vec![
            format!("`{}`", level_name(note.level)),
            ports,
            measured,
            say(&note.misses),
            say(&note.breaks),
        ]
    });
    let heading = if japanese {
        [
            "レベル",
            "UDP宛先ポート",
            "外から接続できた回数",
            "防げない相手・通信",
            "使えなくなるもの",
        ]
    } else {
        [
            "level",
            "UDP destination ports",
            "outsiders that connected",
            "misses",
            "breaks",
        ]
    };
    markdown(&heading, rows)
}

fn application_rows(japanese: bool) -> String {
    let say = |text: &Text| if japanese { text.ja.clone() } else { text.en.clone() };
    let profiles = shipped();
    let rows = profiles.applications.iter().map(|one| {
        let strength = |strength: Strength| strength_word(strength, japanese).to_owned();
        let open: Vec<String> = one.does_not_stop.iter().map(say).collect();
        let strengths = [one.strength.seed, one.strength.recommended, one.strength.strict];
        let mut row = vec![one.name.clone()];
        row.extend(strengths.map(strength));
        row.push(open.join(if japanese { "／" } else { "; " }));
        row
    });
    let heading = if japanese {
        ["アプリ", "`seed`", "`recommended`", "`strict`", "防げないもの"]
    } else {
        ["application", "`seed`", "`recommended`", "`strict`", "does not stop"]
    };
    markdown(&heading, rows)
}

fn strength_word(strength: Strength, japanese: bool) -> &'static str {
    if !japanese {
        return strength.as_str();
    }
    match strength {
        Strength::None => "効果なし",
        Strength::Partial => "一部",
        Strength::DirectOnly => "直接接続のみ",
        Strength::DirectAndKnownRelay => "直接接続と既知の中継",
        Strength::NearlyComplete => "ほぼすべて",
        Strength::CompleteDefaultPorts => "標準のポートならすべて",
    }
}

proptest! {
    /// One byte changed anywhere, or the end missing: an error or a complete file, never a panic.
    #[test]
    fn a_damaged_file_does_not_panic(at in 0..SHIPPED.len(), byte: u8, cut in 0..SHIPPED.len() - 2) {
        let mut bytes = SHIPPED.to_vec();
        bytes[at] = byte;
        if let Ok(profiles) = parse(&bytes) {
            prop_assert!(profiles.applications.iter().all(|one| !one.does_not_stop.is_empty()));
        }
        prop_assert!(parse(&SHIPPED[..cut]).is_err());
    }

    /// Any id, any level: words, never a panic, and nothing that a terminal would obey.
    #[test]
    fn any_choice_can_be_told(ids in prop::collection::vec(".{0,100}", 0..4), level in 0..4usize) {
        let level = [Level::Seed, Level::Recommended, Level::Strict, Level::Custom][level];
        let profiles = shipped();
        let summary = profiles.summary(level, &ids);
        let warnings = profiles.warnings(level, &ids);
        prop_assert!(warnings.iter().chain(&summary.stops).all(|line| !line.chars().any(char::is_control)));
    }
}
