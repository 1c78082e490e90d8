//! The gates on a virtual clock.

use super::tests::Play;
use super::*;
use crate::gate::Heard;
use crate::system::conntrack::Session;
use crate::system::ubus::Status;
use serde_json::json;

const GATE: &str = "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\
    config witness 'imaps'\n\toption gate 'ssh'\n";
const V4_ONLY: &str =
    "config gate 'rdp'\n\toption enabled '1'\n\tlist service 'tcp:3389>192.168.1.20:3389'\n\toption size '2'\n\
    config gate 'net'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\toption prefix6 '64'\n\
    config gate 'off'\n\tlist service 'tcp:23'\n";

fn heard(kind: &str, source: &str) -> Event {
    let source = source.parse().unwrap();
    Event::Heard(Heard::read(&format!("lanward {kind}"), source).into_iter().collect())
}

/// The kernel lists a source, and copies the packet.
fn proves(play: &mut Play, source: &str) {
    let address: IpAddr = source.parse().unwrap();
    let set = if address.is_ipv6() { "gate6_ssh" } else { "gate4_ssh" };
    refresh(play, set, source);
    play.event(heard("admit ssh imaps", source));
}

/// The kernel begins the window of a source anew, which nobody is told.
fn refresh(play: &mut Play, set: &str, source: &str) {
    let address: IpAddr = source.parse().unwrap();
    let ends = play.now.monotonic + 60_000;
    let list = play.lists.entry(set.into()).or_default();
    list.retain(|(known, _)| *known != address);
    list.push((address, Some(ends)));
}

fn told<'a>(play: &'a Play, name: &str) -> Vec<&'a Value> {
    play.told
        .iter()
        .filter(|(told, _)| *told == name)
        .map(|(_, data)| data)
        .collect()
}

fn listed(play: &mut Play) -> Vec<(String, u64)> {
    let answer = play.call("gate_list", json!({}));
    let entries = answer["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            (
                entry["address"].as_str().unwrap().to_string(),
                entry["expires"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn status(play: &mut Play, method: &str, arguments: Value) -> Status {
    let Value::Object(arguments) = arguments else { panic!() };
    play.event(Event::Call {
        id: super::tests::caller(),
        method: method.into(),
        arguments,
    });
    play.answers.pop().unwrap().unwrap_err()
}

#[test]
fn an_idle_router_with_a_gate_is_not_woken() {
    let play = Play::started(GATE);
    assert_eq!(play.state.next_deadline(), None);
}

fn why(play: &mut Play) -> Vec<(String, Value)> {
    let answer = play.call("gate_list", json!({}));
    let entries = answer["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| (entry["address"].as_str().unwrap().to_string(), entry["why"].clone()))
        .collect()
}

#[test]
fn a_list_says_who_put_a_source_there_also_after_another_look_and_a_lost_table() {
    let mut play = Play::started(GATE);
    proves(&mut play, "203.0.113.1");
    for (address, seconds) in [("203.0.113.2", None), ("203.0.113.3", Some(600))] {
        let mut arguments = json!({ "gate": "ssh", "address": address });
        if let Some(seconds) = seconds {
            arguments["seconds"] = json!(seconds);
        }
        assert_eq!(play.call("gate_admit", arguments)["ok"], true);
    }
    let expected = |third: Value| {
        vec![
            ("203.0.113.1".to_string(), json!(["witness"])),
            ("203.0.113.2".to_string(), json!(["hand"])),
            ("203.0.113.3".to_string(), third),
        ]
    };
    assert_eq!(why(&mut play), expected(json!(["hand"])));
    assert_eq!(why(&mut play), expected(json!(["hand"])), "another look");
    play.table = None;
    play.lists.clear();
    play.event(Event::Wake(Wake::Nftables(None)));
    play.pass(2_000);
    assert_eq!(why(&mut play), expected(json!(["hand"])), "a table lost and put back");
    proves(&mut play, "203.0.113.3");
    assert_eq!(why(&mut play)[2].1, json!(["witness", "hand"]));
    let (table, lists) = (play.table.clone(), play.lists.clone());
    let mut anew = Play::new(GATE);
    (anew.table, anew.lists) = (table, lists);
    anew.event(Event::Started);
    let after: Vec<Value> = why(&mut anew).into_iter().map(|(_, why)| why).collect();
    assert_eq!(
        after,
        [json!([]), json!([]), json!(["hand"])],
        "another daemon cannot know"
    );
}

#[test]
fn whoever_proves_himself_is_told_once_and_told_again_when_his_time_is_over() {
    let mut play = Play::started(GATE);
    proves(&mut play, "203.0.113.9");
    assert_eq!(
        told(&play, "gate.admit"),
        [&json!({ "gate": "ssh", "address": "203.0.113.9", "why": "witness imaps", "seconds": 60 })]
    );
    play.pass(30_000);
    refresh(&mut play, "gate4_ssh", "203.0.113.9");
    play.pass(59_000);
    assert_eq!(told(&play, "gate.remove").len(), 0, "it was seen since");
    assert_eq!(listed(&mut play), [("203.0.113.9".to_string(), 1)]);
    play.pass(10_000);
    assert_eq!(
        told(&play, "gate.remove"),
        [&json!({ "gate": "ssh", "address": "203.0.113.9", "why": "expired" })]
    );
    assert_eq!(play.state.next_deadline(), None, "nobody is listed: nothing is due");
    assert_eq!(play.logged("gate ssh: 203.0.113.9"), 2);
}

#[test]
fn a_closed_session_is_told_once_however_many_lists_had_the_source() {
    let mut play = Play::started(GATE);
    proves(&mut play, "2001:db8::9");
    play.lists.clear();
    play.event(heard("remove ssh", "2001:db8::9"));
    play.event(heard("remove ssh", "2001:db8::9"));
    assert_eq!(
        told(&play, "gate.remove"),
        [&json!({ "gate": "ssh", "address": "2001:db8::9", "why": "session closed" })]
    );
    play.pass(300_000);
    assert_eq!(told(&play, "gate.remove").len(), 1);
}

#[test]
fn copies_of_gates_that_are_no_more_are_left_aside() {
    let mut play = Play::started(GATE);
    play.event(heard("admit old imaps", "203.0.113.9"));
    play.event(heard("closed old", "203.0.113.9"));
    assert_eq!(play.told.len(), 0);
    assert_eq!(play.state.next_deadline(), None);
}

#[test]
fn a_source_that_comes_and_goes_all_the_time_does_not_fill_the_log() {
    let mut play = Play::started(GATE);
    for _ in 0..1000 {
        proves(&mut play, "203.0.113.9");
        play.lists.clear();
        play.event(heard("remove ssh", "203.0.113.9"));
        play.pass(10);
    }
    assert!(play.logged("gate ssh: 203.0.113.9") <= 6);
    play.pass(60_000);
    proves(&mut play, "203.0.113.77");
    assert_eq!(play.logged("were not told"), 1);
}

#[test]
fn by_hand_without_seconds_is_as_if_seen_and_with_seconds_a_grant_that_no_window_shortens() {
    let mut play = Play::started(GATE);
    assert_eq!(
        play.call("gate_admit", json!({ "gate": "ssh", "address": "203.0.113.9" })),
        json!({ "ok": true, "address": "203.0.113.9", "seconds": 60 })
    );
    assert!(play.lists["gate4_ssh"].iter().any(|(_, ends)| *ends == Some(60_000)));
    play.call(
        "gate_admit",
        json!({ "gate": "ssh", "address": "203.0.113.9", "seconds": 3600 }),
    );
    assert!(play.lists["grant4_ssh"]
        .iter()
        .any(|(_, ends)| *ends == Some(3_600_000)));
    assert_eq!(
        listed(&mut play),
        [("203.0.113.9".to_string(), 3600)],
        "one source, its last end"
    );
    let status = play.call("status", json!({}));
    assert_eq!(status["gates"][0]["entries"], 1);
    assert_eq!(status["gates"][0]["admitted"], 2);
    assert_eq!(
        play.call("gate_remove", json!({ "gate": "ssh", "address": "203.0.113.9" })),
        json!({ "ok": true })
    );
    assert_eq!(listed(&mut play), []);
    let error = play.call("gate_remove", json!({ "gate": "ssh", "address": "203.0.113.9" }));
    assert!(error["error"].as_str().unwrap().contains("is not listed"), "{error}");
}

#[test]
fn flush_empties_both_lists_and_counts_sources() {
    let mut play = Play::started(GATE);
    proves(&mut play, "203.0.113.9");
    play.call(
        "gate_admit",
        json!({ "gate": "ssh", "address": "203.0.113.9", "seconds": 600 }),
    );
    play.call(
        "gate_admit",
        json!({ "gate": "ssh", "address": "2001:db8::1", "seconds": 600 }),
    );
    assert_eq!(
        play.call("gate_flush", json!({ "gate": "ssh" })),
        json!({ "removed": 2 })
    );
    assert_eq!(listed(&mut play), []);
    assert!(play.lists.values().all(Vec::is_empty));
}

#[test]
fn what_cannot_be_listed_is_refused_with_a_reason() {
    let mut play = Play::started(V4_ONLY);
    for (gate, address, part) in [
        ("rdp", "mail.example.net", "names are not looked up"),
        ("rdp", "", "is not an IPv4 or IPv6 address"),
        ("rdp", "2001:db8::1", "guards nothing over IPv6"),
        ("rdp", "203.0.113.0/24", "is a network"),
        ("rdp", "0.0.0.0", "no address that a connection"),
        ("rdp", "127.0.0.1", "no address that a connection"),
        ("rdp", "255.255.255.255", "no address that a connection"),
        ("rdp", "224.0.0.1", "no address that a connection"),
        ("net", "fe80::1", "link-local"),
        ("net", "2001:db8::/48", "is a network"),
        ("off", "203.0.113.9", "is not enabled"),
    ] {
        let answer = play.call("gate_admit", json!({ "gate": gate, "address": address }));
        let error = answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{gate} {address}: {answer}"));
        assert!(error.contains(part), "{gate} {address}: {error}");
    }
    for seconds in [0, -1, 604_801, i64::MAX] {
        let answer = play.call(
            "gate_admit",
            json!({ "gate": "rdp", "address": "203.0.113.9", "seconds": seconds }),
        );
        assert!(answer["error"].as_str().unwrap().contains("seconds"), "{answer}");
    }
    assert_eq!(play.edits, 0);
    for method in ["gate_list", "gate_admit", "gate_remove", "gate_flush"] {
        assert_eq!(
            status(&mut play, method, json!({ "gate": "none", "address": "192.0.2.1" })),
            Status::NotFound
        );
    }
    for (method, arguments) in [
        ("gate_admit", json!({})),
        ("gate_admit", json!({ "gate": "rdp" })),
        ("gate_remove", json!({ "gate": "rdp" })),
        ("gate_flush", json!({})),
    ] {
        assert_eq!(status(&mut play, method, arguments), Status::InvalidArgument);
    }
}

/// The longest that there may be: a name of 32 letters, networks, four reasons each.
#[test]
fn an_answer_has_room_for_so_many_entries_and_says_that_there_are_more() {
    let name = "g".repeat(32);
    let gate = GATE
        .replace("'ssh'", &format!("'{name}'"))
        .replace("tcp:22'", "tcp:22'\n\toption size '65536'\n\toption prefix6 '64'");
    let mut play = Play::started(&gate);
    let network = |at: u128| IpAddr::V6(((0x2001_0db8_0000_0000 + at) << 64).into());
    let sources = |count: u128| (0..count).map(|at| (network(at), Some(60_000)));
    for (count, entries, more) in [(4096, 4096, false), (9000, 4096, true)] {
        play.lists.insert(format!("gate6_{name}"), sources(count).collect());
        let mut answer = play.call("gate_list", json!({}));
        assert_eq!(answer["entries"].as_array().unwrap().len(), entries);
        assert_eq!(answer["more"], more);
        assert_eq!(
            play.call("status", json!({}))["gates"][0]["entries"],
            json!(u64::try_from(count).unwrap())
        );
        for entry in answer["entries"].as_array_mut().unwrap() {
            entry["why"] = json!(["witness", "knock", "spa", "hand"]);
            entry["address"] = json!("2001:db8:1111:1111:1111:1111:1111:1111");
        }
        let bytes = crate::blobmsg::encode(answer.as_object().unwrap()).unwrap();
        assert!(bytes.len() < (1 << 20) - 1024, "{}", bytes.len());
    }
}

#[test]
fn of_a_gate_that_is_off_a_list_says_so() {
    let mut play = Play::started(V4_ONLY);
    let answer = play.call("gate_list", json!({ "gate": "off" }));
    assert_eq!(answer["error"], "the gate 'off' is not enabled");
    assert!(play.call("gate_list", json!({}))["error"].is_null());
    assert!(play.call("gate_list", json!({ "gate": "net" }))["error"].is_null());
}

#[test]
fn networks_are_listed_where_the_gate_lists_networks_and_mapped_addresses_are_ipv4() {
    let mut play = Play::started(V4_ONLY);
    let admit = |play: &mut Play, address: &str| {
        play.call("gate_admit", json!({ "gate": "net", "address": address }))["address"].clone()
    };
    assert_eq!(admit(&mut play, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    assert_eq!(admit(&mut play, "2001:db8:1:2::/64"), "2001:db8:1:2::/64");
    assert_eq!(admit(&mut play, "::ffff:203.0.113.9"), "203.0.113.9");
    assert_eq!(listed(&mut play).len(), 2);
    play.call("gate_remove", json!({ "gate": "net", "address": "2001:db8:1:2::77" }));
    assert_eq!(listed(&mut play).len(), 1);
}

#[test]
fn a_full_list_refuses_newcomers_by_hand_and_renews_those_who_are_on_it() {
    let mut play = Play::started(V4_ONLY);
    let mut admit = |address: &str| {
        play.call(
            "gate_admit",
            json!({ "gate": "rdp", "address": address, "seconds": 60 }),
        )["error"]
            .clone()
    };
    assert_eq!([admit("203.0.113.1"), admit("203.0.113.2")], [Value::Null, Value::Null]);
    assert!(admit("203.0.113.3").as_str().unwrap().contains("full (2 addresses)"));
    assert_eq!(admit("203.0.113.1"), Value::Null);
}

#[test]
fn a_lost_table_gets_its_lists_back_with_the_time_that_was_left() {
    let mut play = Play::started(GATE);
    proves(&mut play, "203.0.113.9");
    play.call(
        "gate_admit",
        json!({ "gate": "ssh", "address": "2001:db8::1", "seconds": 600 }),
    );
    play.pass(40_000);
    play.lose_table();
    play.pass(300);
    assert_eq!(
        listed(&mut play),
        [("203.0.113.9".to_string(), 19), ("2001:db8::1".to_string(), 559)]
    );
    assert_eq!(play.logged("2 entries put back"), 1);
    assert_eq!(told(&play, "gate.remove").len(), 0, "nobody has gone");
}

#[test]
fn a_table_that_the_firewalls_include_put_back_gets_its_lists_back_too() {
    let mut play = Play::started(GATE);
    proves(&mut play, "203.0.113.9");
    play.lists.clear();
    play.handle += 1;
    play.event(Event::Wake(Wake::Nftables(Some("nft".into()))));
    play.pass(300);
    assert_eq!(play.applies, 1);
    assert_eq!(listed(&mut play).len(), 1);
}

#[test]
fn what_an_admin_takes_out_with_nft_stays_out_and_is_told() {
    let mut play = Play::started(GATE);
    proves(&mut play, "203.0.113.9");
    play.lists.clear();
    assert_eq!(listed(&mut play), []);
    assert_eq!(told(&play, "gate.remove")[0]["why"], "taken off");
    play.pass(300_000);
    assert_eq!(play.edits, 0);
}

#[test]
fn lists_that_could_not_be_put_back_are_tried_again() {
    let mut play = Play::started(GATE);
    proves(&mut play, "203.0.113.9");
    play.edit_fails = Some("no buffer space");
    play.lose_table();
    play.pass(300);
    play.edit_fails = None;
    play.pass(2_000);
    assert_eq!(listed(&mut play).len(), 1);
}

#[test]
fn what_was_proved_in_the_new_table_stays_and_the_rest_of_the_room_is_for_those_who_were_listed() {
    let mut play = Play::started(&GATE.replace("tcp:22'", "tcp:22'\n\toption size '3'"));
    for (source, seconds) in [("203.0.113.1", 500), ("203.0.113.2", 600)] {
        play.call(
            "gate_admit",
            json!({ "gate": "ssh", "address": source, "seconds": seconds }),
        );
    }
    proves(&mut play, "203.0.113.3");
    play.pass(30_000);
    proves(&mut play, "203.0.113.4");
    // The firewall's include has put the table back, and some were faster than we.
    play.lists.clear();
    play.handle += 1;
    refresh(&mut play, "gate4_ssh", "203.0.113.3");
    refresh(&mut play, "gate4_ssh", "203.0.113.5");
    refresh(&mut play, "gate4_ssh", "203.0.113.6");
    play.event(Event::Wake(Wake::Nftables(Some("nft".into()))));
    play.pass(1_000);
    assert_eq!(play.logged("could not be changed"), 0);
    assert_eq!(play.logged("2 entries put back"), 1);
    let seen = |address: &str, seconds| (address.to_string(), seconds);
    assert_eq!(
        listed(&mut play),
        [
            seen("203.0.113.1", 469),
            seen("203.0.113.2", 569),
            seen("203.0.113.3", 59),
            seen("203.0.113.5", 59),
            seen("203.0.113.6", 59)
        ]
    );
    let gone = told(&play, "gate.remove");
    assert_eq!((gone.len(), &gone[0]["address"]), (1, &json!("203.0.113.4")));
}

#[test]
fn whose_removal_nobody_told_of_is_not_remembered_without_end() {
    let mut play = Play::started(&GATE.replace("tcp:22'", "tcp:22'\n\toption size '10'\n\toption window '604800'"));
    for number in 0..5_000_u32 {
        // Admitted, and gone with a copy that was one too many.
        let source = IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(number)).to_be_bytes());
        play.event(heard("admit ssh imaps", &source.to_string()));
        play.pass(50);
    }
    assert!(
        play.state.lists.of("ssh").len() <= 200,
        "{}",
        play.state.lists.of("ssh").len()
    );
}

#[test]
fn what_is_done_by_hand_is_told_however_much_comes_and_goes() {
    let mut play = Play::started(GATE);
    for number in 0..200 {
        proves(&mut play, &format!("198.51.100.{number}"));
    }
    play.call("gate_admit", json!({ "gate": "ssh", "address": "203.0.113.9" }));
    play.call("gate_remove", json!({ "gate": "ssh", "address": "203.0.113.9" }));
    assert_eq!(play.logged("203.0.113.9 admitted for 60 s (by hand)"), 1);
    assert_eq!(play.logged("203.0.113.9 removed (by hand)"), 1);
    let of_source = |name: &str| {
        told(&play, name)
            .iter()
            .filter(|data| data["address"] == "203.0.113.9")
            .count()
    };
    assert_eq!((of_source("gate.admit"), of_source("gate.remove")), (1, 1));
}

#[test]
fn a_respawned_daemon_takes_over_the_kernels_lists_silently() {
    let first = Play::started(GATE);
    let mut play = Play::new(GATE);
    play.table.clone_from(&first.table);
    play.handle = 7;
    refresh(&mut play, "gate6_ssh", "2001:db8::9");
    play.event(Event::Started);
    assert_eq!(listed(&mut play), [("2001:db8::9".to_string(), 60)]);
    assert_eq!(told(&play, "gate.admit").len(), 0);
    play.pass(70_000);
    assert_eq!(told(&play, "gate.remove").len(), 1);
}

#[test]
fn a_changed_prefix_leaves_what_can_never_match_unseen() {
    let mut play = Play::started(GATE);
    proves(&mut play, "2001:db8::9");
    play.lanward = GATE.replace("tcp:22'", "tcp:22'\n\toption prefix6 '64'");
    play.event(Event::Wake(Wake::Config));
    assert_eq!(listed(&mut play), []);
}

fn session(id: u32, source: &str, port: u16, packets: u64) -> Session {
    let mut session = crate::gate::tests::session(source, "198.51.100.2", port, Some(packets));
    session.flow.id = id;
    session
}

fn on_a_router(lanward: &str) -> Play {
    let mut play = Play::new(lanward);
    let address = |text: &str| text.parse().unwrap();
    let subnet = |text: &str, prefix| config::Subnet {
        address: address(text),
        prefix,
    };
    play.links.devices = [
        (1, "wan0".to_string()),
        (2, "br-lan".to_string()),
        (3, "wg0".to_string()),
    ]
    .into();
    play.links.addresses = vec![
        (1, subnet("198.51.100.0", 24), address("198.51.100.2")),
        (2, subnet("192.168.1.0", 24), address("192.168.1.1")),
        (3, subnet("10.8.0.0", 24), address("10.8.0.1")),
        (2, subnet("fe80::", 64), address("fe80::1")),
    ];
    play.event(Event::Started);
    play
}

#[test]
fn last_close_waits_for_the_last_session() {
    let mut play = on_a_router(&GATE.replace("tcp:22'", "tcp:22'\n\toption forget 'last_close'"));
    proves(&mut play, "203.0.113.9");
    play.sessions = vec![session(1, "203.0.113.9", 22, 9), session(2, "203.0.113.8", 22, 9)];
    play.event(heard("closed ssh", "203.0.113.9"));
    play.pass(1_000);
    assert_eq!(listed(&mut play).len(), 1, "another session is there");
    play.sessions.remove(0);
    play.event(heard("closed ssh", "203.0.113.9"));
    play.pass(1_000);
    assert_eq!(listed(&mut play), []);
    assert_eq!(told(&play, "gate.remove")[0]["why"], "last session closed");
    assert_eq!(play.state.next_deadline(), None);
}

#[test]
fn under_flow_offload_a_session_that_was_reset_is_looked_at_again_when_conntrack_has_dropped_it() {
    let lanward = GATE.replace(
        "tcp:22'",
        "tcp:22'\n\toption forget 'last_close'\n\toption window '600'",
    );
    let mut play = Play::new(&lanward);
    play.firewall = format!("config defaults\n\toption flow_offloading '1'\n{}", super::tests::LAN);
    play.links = on_a_router(GATE).links;
    play.event(Event::Started);
    proves(&mut play, "203.0.113.9");
    play.sessions = vec![session(1, "203.0.113.9", 22, 9)];
    play.event(heard("closed ssh", "203.0.113.9"));
    play.pass(5_000);
    assert_eq!(listed(&mut play).len(), 1);
    play.sessions.clear();
    play.pass(20_000);
    assert_eq!(listed(&mut play), []);
    assert_eq!(told(&play, "gate.remove")[0]["why"], "last session closed");
}

#[test]
fn under_flow_offload_who_is_alive_stays_listed_and_who_is_silent_does_not() {
    let mut play = Play::new(GATE);
    play.firewall = format!("config defaults\n\toption flow_offloading '1'\n{}", super::tests::LAN);
    let lanward = on_a_router(GATE);
    play.links = lanward.links;
    play.event(Event::Started);
    assert_eq!(play.state.next_deadline(), None, "nobody is listed");
    proves(&mut play, "203.0.113.9");
    proves(&mut play, "203.0.113.10");
    for packets in 1..10 {
        // One goes on talking to the mail server; the other has gone silent without a FIN, and the flow table has let go of it.
        let silent = Session {
            offloaded: false,
            ..session(2, "203.0.113.10", 993, 1)
        };
        play.sessions = vec![session(1, "203.0.113.9", 993, packets), silent];
        play.pass(20_000);
    }
    let listed: Vec<String> = listed(&mut play).into_iter().map(|(address, _)| address).collect();
    assert_eq!(listed, ["203.0.113.9"]);
    play.sessions.clear();
    play.pass(100_000);
    assert_eq!(play.state.next_deadline(), None);
}

#[test]
fn under_flow_offload_bytes_that_the_rules_do_not_see_are_a_proof_all_the_same() {
    let lanward = format!("{GATE}\toption min_bytes '1000'\n");
    let mut play = Play::new(&lanward);
    play.firewall = format!("config defaults\n\toption flow_offloading '1'\n{}", super::tests::LAN);
    play.links = on_a_router(GATE).links;
    play.event(Event::Started);
    play.sessions = vec![session(1, "203.0.113.9", 993, 2)];
    play.pass(20_100);
    play.sessions = vec![session(1, "203.0.113.9", 993, 9)];
    play.pass(20_100);
    assert_eq!(listed(&mut play), [], "not enough bytes");
    play.sessions = vec![session(1, "203.0.113.9", 993, 10)];
    play.pass(20_100);
    assert_eq!(told(&play, "gate.admit")[0]["why"], "witness imaps");
}

#[test]
fn whom_the_kernel_took_off_an_other_session_does_not_bring_back() {
    let mut play = Play::new(GATE);
    play.firewall = format!("config defaults\n\toption flow_offloading '1'\n{}", super::tests::LAN);
    play.links = on_a_router(GATE).links;
    play.event(Event::Started);
    proves(&mut play, "203.0.113.9");
    play.sessions = vec![session(1, "203.0.113.9", 22, 5), session(2, "203.0.113.9", 22, 5)];
    play.pass(21_000);
    let before = play.edits;
    // One is closed, and the copy of its FIN is still on its way, or lost.
    play.lists.clear();
    play.sessions = vec![session(2, "203.0.113.9", 22, 9)];
    play.pass(21_000);
    assert_eq!(listed(&mut play), []);
    assert_eq!(play.edits, before);
}

#[test]
fn newcomers_for_whom_there_is_no_room_do_not_keep_others_from_staying() {
    let mut play = Play::new(&GATE.replace("tcp:22'", "tcp:22'\n\toption size '2'"));
    play.firewall = format!("config defaults\n\toption flow_offloading '1'\n{}", super::tests::LAN);
    play.links = on_a_router(GATE).links;
    play.event(Event::Started);
    proves(&mut play, "203.0.113.9");
    for packets in 1..10 {
        let sources = ["203.0.113.9", "203.0.113.1", "203.0.113.2", "203.0.113.3"];
        let sessions = (1..).zip(sources).map(|(id, source)| session(id, source, 993, packets));
        play.sessions = sessions.collect();
        play.pass(20_000);
    }
    let listed: Vec<String> = listed(&mut play).into_iter().map(|(address, _)| address).collect();
    assert_eq!(listed, ["203.0.113.1", "203.0.113.9"]);
    assert_eq!(play.logged("could not be changed"), 0);
}

/// 100 000 entries are half a second of a fast machine.
#[test]
fn however_often_sessions_close_conntrack_is_read_for_a_part_of_the_time_only() {
    let mut play = on_a_router(&GATE.replace("tcp:22'", "tcp:22'\n\toption forget 'last_close'"));
    proves(&mut play, "203.0.113.9");
    play.sessions = vec![session(1, "203.0.113.9", 22, 9)];
    play.dump_takes = 2_000;
    for _ in 0..600 {
        play.event(heard("closed ssh", "203.0.113.9"));
        refresh(&mut play, "gate4_ssh", "203.0.113.9");
        play.pass(100);
    }
    assert!((2..=8).contains(&play.dumps), "{} in a minute", play.dumps);
    play.sessions.clear();
    play.pass(30_000);
    assert_eq!(told(&play, "gate.remove")[0]["why"], "last session closed");
}

#[test]
fn my_address_behind_the_vpn_is_where_its_peer_is() {
    let mut play = on_a_router(GATE);
    play.endpoints = vec![("10.8.0.2".parse().unwrap(), "203.0.113.9".parse().unwrap())];
    let admit = |play: &mut Play, address: &str| {
        play.call(
            "gate_admit",
            json!({ "gate": "ssh", "address": address, "seconds": 60 }),
        )
    };
    assert_eq!(admit(&mut play, "10.8.0.2")["address"], "203.0.113.9");
    for inside in ["10.8.0.3", "192.168.1.77"] {
        let error = admit(&mut play, inside)["error"].clone();
        assert!(error.as_str().unwrap().contains("this side of the WAN"), "{error}");
    }
    assert_eq!(
        admit(&mut play, "198.51.100.77")["address"],
        "198.51.100.77",
        "a neighbour on the WAN"
    );
    assert_eq!(
        admit(&mut play, "fe80::77")["address"],
        "fe80::77",
        "link-local is everywhere"
    );
}

/// OpenVPN's `redirect-gateway def1`, and the AllowedIPs with which a WireGuard client takes everything but private networks.
#[test]
fn a_vpn_that_takes_everything_has_nobody_of_the_internet_inside() {
    let mut play = on_a_router(GATE);
    let subnet = |text: &str, prefix| config::Subnet {
        address: text.parse().unwrap(),
        prefix,
    };
    let route = |dest, device| crate::network::Route {
        table: 254,
        dest,
        device,
    };
    play.links.devices.insert(4, "tun0".to_string());
    play.links
        .addresses
        .push((2, subnet("2001:db8:1::", 60), "2001:db8:1::1".parse().unwrap()));
    play.links.routes = vec![
        route(subnet("0.0.0.0", 0), 1),
        route(subnet("0.0.0.0", 1), 4),
        route(subnet("128.0.0.0", 1), 4),
        route(subnet("193.0.0.0", 8), 3),
        route(subnet("10.8.0.0", 16), 3),
        route(subnet("10.9.0.0", 16), 1),
        route(subnet("2001:db8:1:2::", 64), 2),
        route(subnet("2000::", 3), 4),
    ];
    play.event(Event::Wake(Wake::Links));
    play.pass(5_000);
    play.endpoints = ["193.1.2.3", "203.0.113.9", "10.8.7.7", "2001:db8:1:2::7"]
        .map(|inner| (inner.parse().unwrap(), "192.0.2.66".parse().unwrap()))
        .into();
    for (address, listed) in [
        // Of the internet, whatever takes the router's own way there.
        ("203.0.113.9", "203.0.113.9"),
        ("193.1.2.3", "193.1.2.3"),
        ("2001:db8:77::7", "2001:db8:77::7"),
        // A provider's own NAT, on the WAN's side.
        ("10.9.1.1", "10.9.1.1"),
        // Inside, and somebody's.
        ("10.8.7.7", "192.0.2.66"),
        ("2001:db8:1:2::7", "192.0.2.66"),
    ] {
        let answer = play.call("gate_admit", json!({ "gate": "ssh", "address": address }));
        assert_eq!(answer["address"], listed, "{address}: {answer}");
    }
    for inside in ["192.168.1.77", "172.16.0.1", "2001:db8:1::9"] {
        let answer = play.call("gate_admit", json!({ "gate": "ssh", "address": inside }));
        assert!(
            answer["error"].to_string().contains("this side of the WAN"),
            "{inside}: {answer}"
        );
    }
}

#[test]
fn without_copies_the_rules_make_none_and_the_warning_stands_only_with_a_gate() {
    for (lanward, warned) in [(GATE, 1), ("", 0)] {
        let mut play = Play::new(lanward);
        play.no_copies = Some("the kernel module nfnetlink_log is missing");
        play.event(Event::Started);
        let logs = |statement: &crate::nft::Statement| matches!(statement, crate::nft::Statement::Log { .. });
        let makes_some = |play: &Play| {
            let chains = &play.table.as_ref().unwrap().chains;
            let mut rules = chains.iter().flat_map(|chain| &chain.rules);
            rules.any(|rule| rule.statements.iter().any(logs))
        };
        assert!(!makes_some(&play));
        let warnings = |play: &mut Play| play.call("status", json!({}))["warnings"].to_string();
        assert_eq!(warnings(&mut play).matches("nfnetlink_log").count(), warned);
        play.event(Event::Wake(Wake::Config));
        assert_eq!(play.logged("nfnetlink_log"), 1);
        // The module was installed meanwhile.
        play.no_copies = None;
        play.event(Event::Wake(Wake::Config));
        assert_eq!(makes_some(&play), warned > 0);
        assert_eq!(warnings(&mut play).matches("nfnetlink_log").count(), 0);
    }
}

#[test]
fn a_gate_that_is_switched_off_forgets_its_lists() {
    let mut play = Play::started(GATE);
    proves(&mut play, "203.0.113.9");
    play.lanward = GATE.replace("enabled '1'", "enabled '0'");
    play.event(Event::Wake(Wake::Config));
    assert_eq!(listed(&mut play), []);
    assert_eq!(play.call("status", json!({}))["gates"][0]["entries"], 0);
    play.lists.clear();
    play.lanward = GATE.into();
    play.event(Event::Wake(Wake::Config));
    play.lose_table();
    play.pass(300);
    assert_eq!(listed(&mut play), []);
}
