//! Knocks and authenticated packets on a virtual clock.

use super::tests::Play;
use super::*;
use crate::config::Protocol;
use crate::gate::Heard;
use crate::spa::{seal, Digest, Keys, Request};
use serde_json::json;

const GATE: &str = "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\toption forget 'never'\n\
    config knock 'door'\n\toption gate 'ssh'\n\tlist open 'tcp:7000'\n\tlist open 'udp:8000'\n\tlist close 'tcp:9000'\n\tlist close 'tcp:9001'\n\
    config spa 'laptop'\n\toption gate 'ssh'\n\toption key_file '/etc/lanward/laptop.key'\n\
    config spa 'phone'\n\toption gate 'ssh'\n\toption key_file '/etc/lanward/phone.key'\n";
const SOURCE: &str = "203.0.113.9";

fn hear(play: &mut Play, what: &str) {
    let heard = Heard::read(&format!("lanward {what}"), SOURCE.parse().unwrap());
    play.event(Event::Heard(vec![heard.unwrap()]));
}

fn names(play: &mut Play) -> Vec<&'static str> {
    let told = std::mem::take(&mut play.told);
    let wanted = [
        "knock.stage",
        "knock.open",
        "spa.accept",
        "spa.reject",
        "gate.admit",
        "gate.remove",
        "problem",
    ];
    told.into_iter()
        .map(|(name, _)| name)
        .filter(|name| wanted.contains(name))
        .collect()
}

fn lines(play: &mut Play) -> Vec<String> {
    let log = std::mem::take(&mut play.log);
    log.into_iter().filter(|line| line.contains(SOURCE)).collect()
}

#[test]
fn a_knock_is_told_in_knockds_words_and_lists_its_source() {
    let mut play = Play::started(GATE);
    play.told.clear();
    hear(&mut play, "stage door open 1");
    play.now.monotonic += 500;
    hear(&mut play, "open door");
    let expected = [
        "door: 203.0.113.9: Stage 1",
        "door: 203.0.113.9: Stage 2",
        "door: 203.0.113.9: OPEN SESAME",
        "gate ssh: 203.0.113.9 admitted for 30 s (knock door)",
    ];
    let log = lines(&mut play);
    assert_eq!(log.len(), expected.len(), "{log:?}");
    for (line, expected) in log.iter().zip(expected) {
        assert!(line.contains(expected), "{log:?}");
    }
    assert_eq!(
        names(&mut play),
        ["knock.stage", "knock.stage", "knock.open", "gate.admit"]
    );
    assert!(play.state.lists.is_listed("ssh", SOURCE.parse().unwrap()));
    let list = play.call("knock_list", json!({}));
    assert_eq!(list["knocks"][0]["open"], 2);
    let recent: Vec<_> = list["recent"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["event"].clone(), one["ago_ms"].clone()))
        .collect();
    assert_eq!(recent, [(json!("stage"), json!(500)), (json!("open"), json!(0))]);
    hear(&mut play, "stage door close 1");
    hear(&mut play, "wrong door close");
    hear(&mut play, "close door");
    assert!(!play.state.lists.is_listed("ssh", SOURCE.parse().unwrap()));
    assert!(lines(&mut play)
        .iter()
        .any(|line| line.contains("door: 203.0.113.9: close: OPEN SESAME")));
    assert_eq!(names(&mut play), ["knock.stage", "knock.stage", "gate.remove"]);
}

#[test]
fn a_flood_of_first_steps_fills_neither_log_nor_memory_nor_hides_who_comes() {
    let mut play = Play::started(GATE);
    for n in 0..10_000u32 {
        let source = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        play.event(Event::Heard(
            Heard::read("lanward stage door open 1", source).into_iter().collect(),
        ));
    }
    assert!(play.told.iter().filter(|(name, _)| *name == "knock.stage").count() <= 120);
    assert_eq!(
        play.call("knock_list", json!({}))["recent"].as_array().unwrap().len(),
        64
    );
    play.log.clear();
    hear(&mut play, "open door");
    assert!(lines(&mut play).iter().any(|line| line.contains("admitted for 30 s")));
}

#[test]
fn what_is_no_more_in_the_configuration_is_not_heard() {
    let mut play = Play::started(GATE);
    hear(&mut play, "open window");
    hear(&mut play, "stage window open 1");
    assert!(play.state.lists.are_empty());
    assert!(lines(&mut play).is_empty());
}

fn keys(byte: u8) -> Keys {
    Keys::from_random(&[byte; 96])
}

fn with_keys() -> Play {
    let mut play = Play::started(GATE);
    for (name, byte) in [("laptop", 1), ("phone", 2)] {
        let file = keys(byte).file().as_bytes().to_vec();
        play.key_files.insert(format!("/etc/lanward/{name}.key"), file);
    }
    play.event(Event::Wake(Wake::Config));
    play.now.unix = 1_800_000_000;
    play.now.monotonic += 10_000;
    (play.told, play.log) = (Vec::new(), Vec::new());
    play
}

fn packet(play: &Play, byte: u8, change: impl FnOnce(&mut Request)) -> Vec<u8> {
    let mut request = Request {
        address: None,
        ports: vec![(Protocol::Tcp, 22)],
        seconds: None,
        sent: play.now.unix,
        user: "alice".into(),
    };
    change(&mut request);
    seal(&request, &keys(byte), Digest::Sha256, &[9; 16])
        .unwrap()
        .into_bytes()
}

fn arrives(play: &mut Play, packet: &[u8], source: &str) {
    play.event(Event::Heard(vec![Heard::Packet {
        port: 62201,
        packet: packet.to_vec(),
        source: source.parse().unwrap(),
    }]));
}

#[test]
fn a_packet_lists_its_source_once() {
    let mut play = with_keys();
    let packet = packet(&play, 2, |_| {});
    arrives(&mut play, &packet, SOURCE);
    assert_eq!(names(&mut play), ["spa.accept", "gate.admit"]);
    let log = lines(&mut play);
    assert!(
        log[0].contains("spa phone: 203.0.113.9 accepted: 203.0.113.9 for 30 s, user alice"),
        "{log:?}"
    );
    assert!(log[1].contains("admitted for 30 s (spa phone)"), "{log:?}");
    assert_eq!(play.lists_now()["spa4_ssh"].len(), 1);
    // From wherever it comes again, and after whatever restart.
    for source in [SOURCE, "198.51.100.77"] {
        arrives(&mut play, &packet, source);
        assert_eq!(names(&mut play), ["spa.reject"]);
    }
    let seen = play.seen.clone();
    let mut again = with_keys();
    again.state = State::default();
    again.seen = seen;
    again.event(Event::Started);
    // The clock is set back to when the packet was made.
    arrives(&mut again, &packet, SOURCE);
    assert!(again.lists_now().values().all(Vec::is_empty));
    assert!(again.log.iter().any(|line| line.contains("replay")), "{:?}", again.log);
    let list = play.call("spa_list", json!({}));
    let phone = &list["spas"][1];
    assert_eq!(
        (&phone["accepted"], &phone["rejected"], &phone["ready"]),
        (&json!(1), &json!(2), &json!(true))
    );
    assert_eq!(
        (&phone["last_accept"], &phone["last_address"]),
        (&json!(1_800_000_000), &json!(SOURCE))
    );
}

#[test]
fn what_is_not_permitted_is_refused_with_a_line() {
    for (change, why) in [
        ((|request| request.sent -= 121) as fn(&mut Request), "121 s ago"),
        (|request| request.sent += 121, "121 s ahead"),
        (|request| request.ports = vec![(Protocol::Tcp, 80)], "tcp/80"),
        (|request| request.ports.push((Protocol::Udp, 22)), "udp/22"),
        (
            |request| request.address = Some("192.0.2.200".parse().unwrap()),
            "192.0.2.200",
        ),
    ] {
        let mut play = with_keys();
        let packet = packet(&play, 1, change);
        arrives(&mut play, &packet, SOURCE);
        assert_eq!(names(&mut play), ["spa.reject"], "{why}");
        assert!(lines(&mut play)[0].contains(why), "{why}");
        assert!(play.lists_now().values().all(Vec::is_empty));
    }
}

#[test]
fn a_packet_of_no_key_of_ours_has_one_line_and_rubbish_none() {
    let mut play = with_keys();
    let packet = packet(&play, 3, |_| {});
    arrives(&mut play, &packet, SOURCE);
    assert!(lines(&mut play)[0].contains("no key at this port has made it"));
    play.told.clear();
    for rubbish in [&b""[..], b"hello", &[0; 300]] {
        arrives(&mut play, rubbish, SOURCE);
    }
    assert!(names(&mut play).is_empty());
    for _ in 0..1_000 {
        arrives(&mut play, &packet, SOURCE);
    }
    assert!(names(&mut play).len() < 40);
}

#[test]
fn keys_are_made_once_shown_once_and_revoked_at_once() {
    let mut play = Play::started(GATE);
    assert!(play.call("status", json!({}))["problems"]
        .to_string()
        .contains("laptop.key: no such file; it opens nothing"));
    let made = play.call(
        "spa_keygen",
        json!({ "name": "laptop", "host": "home.example.net", "access": "tcp/22" }),
    );
    assert_eq!(
        (&made["ok"], &made["key_file"]),
        (&json!(true), &json!("/etc/lanward/laptop.key"))
    );
    assert!(play.call("spa_keygen", json!({ "name": "laptop" }))["error"]
        .to_string()
        .contains("already"));
    let problems = play.call("status", json!({}))["problems"].to_string();
    assert!(!problems.contains("laptop") && problems.contains("phone"), "{problems}");
    play.now.unix = 1_800_000_000;
    let sealed = packet(&play, 7, |_| {});
    assert_eq!(play.call("spa_revoke", json!({ "name": "laptop" }))["ok"], true);
    assert!(!play.key_files.contains_key("/etc/lanward/laptop.key"));
    arrives(&mut play, &sealed, SOURCE);
    assert!(play.lists_now().values().all(Vec::is_empty));
    for name in ["", "../shadow", "a/b", "a-b", &"x".repeat(33)] {
        assert!(
            play.call("spa_keygen", json!({ "name": name }))["error"].is_string(),
            "{name}"
        );
    }
    let lines = json!({ "name": "x", "host": "a\nKEY_BASE64 b" });
    assert!(play.call("spa_keygen", lines)["error"].is_string());
    let secret = keys(7).file().as_bytes().to_vec();
    let secret = String::from_utf8(secret).unwrap();
    let secret = secret.split_whitespace().nth(1).unwrap_or("?");
    assert!(!play.log.join("\n").contains(secret), "no key is ever logged");
}

#[test]
fn a_key_is_revoked_wherever_its_section_has_it() {
    for (path, removed) in [("/etc/lanward/old-laptop.key", true), ("/root/laptop.key", false)] {
        let mut play = Play::started(&GATE.replace("/etc/lanward/laptop.key", path));
        play.key_files.insert(path.into(), keys(1).file().as_bytes().to_vec());
        play.event(Event::Wake(Wake::Config));
        play.now.unix = 1_800_000_000;
        play.now.monotonic += 10_000;
        let before = packet(&play, 1, |_| {});
        arrives(&mut play, &before, SOURCE);
        assert_eq!(play.lists_now()["spa4_ssh"].len(), 1);
        let _ = play.call("gate_flush", json!({ "gate": "ssh" }));
        let answer = play.call("spa_revoke", json!({ "name": "laptop" }));
        assert_eq!(
            (answer["ok"] == true, answer["error"].is_string()),
            (removed, !removed),
            "{answer}"
        );
        assert_eq!(play.key_files.contains_key(path), !removed);
        // At once, and even where the file is still there.
        play.now.unix += 1;
        let after = packet(&play, 1, |_| {});
        arrives(&mut play, &after, SOURCE);
        assert!(play.lists_now().values().all(Vec::is_empty), "{path}");
        // And whatever is read again.
        for _ in 0..2 {
            play.event(Event::Wake(Wake::Config));
            pass(&mut play, 1);
            let after = packet(&play, 1, |_| {});
            arrives(&mut play, &after, SOURCE);
            assert!(play.lists_now().values().all(Vec::is_empty), "{path}");
        }
        let list = play.call("spa_list", json!({}));
        assert_eq!(list["spas"][0]["ready"], false, "{list}");
    }
}

#[test]
fn a_revoked_name_is_free_for_another_key() {
    let elsewhere = GATE.replace("/etc/lanward/laptop.key", "/root/laptop.key");
    let is_ready = |play: &mut Play| play.call("spa_list", json!({}))["spas"][0]["ready"] == true;
    let without = elsewhere.replace("config spa 'laptop'", "config spa 'other'");
    for between in [GATE.to_string(), without] {
        let mut play = Play::started(&elsewhere);
        play.key_files
            .insert("/root/laptop.key".into(), keys(1).file().as_bytes().to_vec());
        play.event(Event::Wake(Wake::Config));
        let _ = play.call("spa_revoke", json!({ "name": "laptop" }));
        assert!(!is_ready(&mut play));
        // Its section goes, or leads elsewhere; and comes back, since somebody wants it so.
        play.lanward = between;
        play.event(Event::Wake(Wake::Config));
        play.lanward.clone_from(&elsewhere);
        play.event(Event::Wake(Wake::Config));
        assert!(is_ready(&mut play));
    }
    let mut play = Play::started(GATE);
    for _ in 0..2 {
        let made = play.call("spa_keygen", json!({ "name": "laptop" }));
        assert_eq!(made["ok"], true, "{made}");
        assert!(is_ready(&mut play));
        let _ = play.call("spa_revoke", json!({ "name": "laptop" }));
        assert!(!is_ready(&mut play));
    }
}

/// What becomes of the file of what was accepted.
fn lost() -> [Result<Option<Vec<u8>>, String>; 3] {
    [
        Ok(Some(b"rubbish".to_vec())),
        Ok(None),
        Err("an input/output error".into()),
    ]
}

fn pass(play: &mut Play, seconds: u64) {
    play.now.unix += seconds;
    play.now.monotonic += seconds * 1000;
}

fn is_let_in(play: &mut Play, packet: &[u8]) -> bool {
    arrives(play, packet, SOURCE);
    let is_in = play.lists_now().values().any(|list| !list.is_empty());
    let _ = play.call("gate_flush", json!({ "gate": "ssh" }));
    is_in
}

/// The daemon anew, with its clock off by so many seconds.
fn restart(play: &mut Play, off: i64) {
    play.state = State::default();
    play.now.unix = play.now.unix.checked_add_signed(off).unwrap();
    play.event(Event::Started);
}

#[test]
fn what_was_accepted_and_is_not_known_any_more_opens_nothing_again_whatever_the_clock_says() {
    for (seen, off) in lost()
        .into_iter()
        .flat_map(|seen| [(seen.clone(), 0), (seen.clone(), -600), (seen, 86_400)])
    {
        let mut play = with_keys();
        let before = packet(&play, 1, |_| {});
        assert!(is_let_in(&mut play, &before));
        pass(&mut play, 10);
        play.seen = seen.clone();
        restart(&mut play, off);
        pass(&mut play, 5);
        assert!(!is_let_in(&mut play, &before), "{seen:?} {off}");
        // Somebody sets the clock.
        play.now.unix = play.now.unix.checked_add_signed(-off).unwrap();
        assert!(!is_let_in(&mut play, &before), "{seen:?} {off}");
        let fresh = packet(&play, 1, |_| {});
        assert!(is_let_in(&mut play, &fresh), "{seen:?} {off}");
        // Now there is a file again, which does not hold the first one.
        restart(&mut play, 0);
        assert!(!is_let_in(&mut play, &before), "{seen:?} {off}");
        let fresh = packet(&play, 1, |request| request.sent += 1);
        assert!(is_let_in(&mut play, &fresh), "{seen:?} {off}");
    }
}

#[test]
fn what_was_refused_opens_nothing_later() {
    // Early, until the clock is set; and again from elsewhere, which the packet does not forbid.
    let mut play = with_keys();
    let early = packet(&play, 1, |request| request.sent += 600);
    assert!(!is_let_in(&mut play, &early));
    play.now.unix += 600;
    // Whatever is read again meanwhile.
    play.event(Event::Wake(Wake::Config));
    arrives(&mut play, &early, "198.51.100.77");
    assert!(play.lists_now().values().all(Vec::is_empty));
    assert!(play.log.iter().any(|line| line.contains("replay")), "{:?}", play.log);
    let fresh = packet(&play, 1, |request| request.sent += 1);
    assert!(is_let_in(&mut play, &fresh));

    // For a list that was full.
    let mut play = Play::started(&GATE.replace("forget 'never'", "forget 'never'\n\toption size '1'"));
    play.key_files
        .insert("/etc/lanward/laptop.key".into(), keys(1).file().as_bytes().to_vec());
    play.event(Event::Wake(Wake::Config));
    pass(&mut play, 10);
    let first = packet(&play, 1, |request| request.sent += 1);
    arrives(&mut play, &first, SOURCE);
    let late = packet(&play, 1, |_| {});
    arrives(&mut play, &late, "198.51.100.77");
    assert!(play.log.iter().any(|line| line.contains("is full")), "{:?}", play.log);
    let _ = play.call("gate_flush", json!({ "gate": "ssh" }));
    assert!(!is_let_in(&mut play, &late));

    // At the port of another section with the same key.
    let mut play = with_keys();
    play.lanward = GATE.replace("phone.key'\n", "laptop.key'\n\toption port '4000'\n");
    play.event(Event::Wake(Wake::Config));
    let early = packet(&play, 1, |request| request.sent += 600);
    assert!(!is_let_in(&mut play, &early));
    play.now.unix += 600;
    play.event(Event::Heard(vec![Heard::Packet {
        port: 4000,
        packet: early,
        source: SOURCE.parse().unwrap(),
    }]));
    assert!(play.lists_now().values().all(Vec::is_empty));
}

#[test]
fn a_key_with_a_wrong_clock_shuts_nobody_elses() {
    let mut play = with_keys();
    for n in 0..200 {
        let early = packet(&play, 1, |request| request.sent += 86_400 + n);
        assert!(!is_let_in(&mut play, &early));
    }
    for (key, is_in) in [(1, false), (2, true)] {
        let packet = packet(&play, key, |_| {});
        assert_eq!(is_let_in(&mut play, &packet), is_in);
    }
}

#[test]
fn a_first_start_lets_in_what_is_made_after_it() {
    let mut play = with_keys();
    play.seen = Ok(None);
    restart(&mut play, 0);
    let within_the_second = packet(&play, 1, |_| {});
    assert!(!is_let_in(&mut play, &within_the_second));
    pass(&mut play, 1);
    let fresh = packet(&play, 1, |_| {});
    assert!(is_let_in(&mut play, &fresh));
}

#[test]
fn what_was_accepted_before_and_cannot_be_read_refuses_all_that_is_older() {
    let mut play = with_keys();
    let before = packet(&play, 1, |_| {});
    play.state = State::default();
    play.seen = Ok(Some(b"rubbish".to_vec()));
    play.now.unix += 10;
    play.event(Event::Started);
    arrives(&mut play, &before, SOURCE);
    assert!(play.lists_now().values().all(Vec::is_empty));
    pass(&mut play, 5);
    let after = packet(&play, 1, |_| {});
    arrives(&mut play, &after, SOURCE);
    assert_eq!(play.lists_now()["spa4_ssh"].len(), 1);
}
