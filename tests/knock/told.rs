//! What is told of knocks: the log in knockd's words, and notifications on the bus.

use crate::scene::{door, gate, knock, somebody, ssh_gate, within, Scene, SOON};
use lanward_rig::house::FAMILIES;
use lanward_rig::knock::{run_stock, stock};
use lanward_rig::news::News;
use lanward_rig::report_line::this_test;
use serde_json::{json, Value};
use std::time::Duration;

const ABOUT: [&str; 2] = ["knock.", "gate."];

/// What the log says of a knock, without what comes before the knock's name.
fn lines(scene: &Scene, name: &str) -> Vec<String> {
    let begin = format!("{name}: ");
    let log = scene.home.daemon.log();
    let lines = log
        .lines()
        .filter_map(|line| Some(line[line.find(&begin)?..].to_owned()));
    lines.collect()
}

fn with(mut data: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().expect("an object") {
        data[key] = value.clone();
    }
    data
}

#[test]
fn stages_and_openings_are_told_in_order_and_in_knockds_words() {
    if stock(&this_test(), "knock").is_none() {
        return;
    }
    let Some(scene) = Scene::start(&(ssh_gate("") + &door("option seconds '30'"))) else {
        return;
    };
    let news = News::subscribe(&scene.home.house.directory().join("ubus.sock"));
    let client = scene.client();
    for family in FAMILIES {
        let address = scene.clients_address(family).to_string();
        run_stock(&client.namespace, &["-d", "50"], scene.router(family), "7000 8000 9000");
        let told = |name: &str, data: &Value| (name.to_owned(), data.clone());
        let of_client =
            |sequence: &str| json!({ "knock": "door", "gate": "ssh", "sequence": sequence, "address": address });
        let stage = |sequence: &str, stage: u32| {
            told(
                "knock.stage",
                &with(of_client(sequence), &json!({ "stage": stage, "of": 3 })),
            )
        };
        let heard = news.hear(&ABOUT, 6, SOON);
        // The last packet of the one sequence is the first of the other, and is told in whatever order the rules come.
        let mut of_opening: Vec<(String, Value)> = heard.clone();
        of_opening.retain(|(_, data)| data["sequence"] != json!("close"));
        let expected = [
            stage("open", 1),
            stage("open", 2),
            stage("open", 3),
            told("knock.open", &with(of_client("open"), &json!({ "seconds": 30 }))),
            told(
                "gate.admit",
                &json!({ "gate": "ssh", "address": address, "seconds": 30, "why": "knock door" }),
            ),
        ];
        assert_eq!(of_opening, expected, "{family}: {heard:#?}");
        let of_closing: Vec<_> = heard
            .iter()
            .filter(|(_, data)| data["sequence"] == json!("close"))
            .collect();
        assert_eq!(of_closing, [&stage("close", 1)], "{family}");
        let written = || {
            let mut said = lines(&scene, "door");
            said.retain(|line| line.contains(&address) && !line.contains("close"));
            said
        };
        let expected = [
            format!("door: {address}: Stage 1"),
            format!("door: {address}: Stage 2"),
            format!("door: {address}: Stage 3"),
            format!("door: {address}: OPEN SESAME"),
        ];
        // What is told on the bus may be here before what is written.
        let _ = within(SOON, || written().len() >= expected.len());
        assert_eq!(written(), expected, "{family}");
        let admitted = format!("gate ssh: {address} admitted for 30 s (knock door)");
        assert!(scene.home.daemon.logs(&admitted, SOON), "{family}");

        run_stock(&client.namespace, &["-d", "50"], scene.router(family), "9000 8000 7000");
        let heard = news.hear(&ABOUT, 4, SOON);
        let removed = told(
            "gate.remove",
            &json!({ "gate": "ssh", "address": address, "why": "knock door" }),
        );
        let mut of_closing = heard.clone();
        of_closing.retain(|(_, data)| data["sequence"] != json!("open"));
        assert!(of_closing.contains(&stage("close", 2)), "{family}: {heard:#?}");
        assert!(
            of_closing.contains(&removed) || news.hear(&["gate."], 1, SOON) == [removed],
            "{family}: {heard:#?}"
        );
        assert!(
            scene
                .home
                .daemon
                .logs(&format!("door: {address}: close: Stage 2"), SOON),
            "{family}"
        );
        assert!(
            scene
                .home
                .daemon
                .logs(&format!("door: {address}: close: OPEN SESAME"), SOON),
            "{family}"
        );
    }
}

#[test]
fn without_a_close_sequence_the_news_are_stages_opening_admission_end() {
    let sections = ssh_gate("")
        + &knock("brief", "ssh", "7000 8000:udp 9000", "", "option seconds '1'")
        + &knock("one", "ssh", "7777", "", "option seconds '1'");
    let Some(scene) = Scene::start(&sections) else { return };
    let news = News::subscribe(&scene.home.house.directory().join("ubus.sock"));
    for family in FAMILIES {
        for (name, sequence, stages) in [("brief", "7000 8000:udp 9000", 3), ("one", "7777", 1)] {
            let source = somebody(family);
            scene.knock(source, sequence);
            let heard = news.hear(&ABOUT, stages + 3, SOON);
            let names: Vec<&str> = heard.iter().map(|(name, _)| name.as_str()).collect();
            let expected = [
                vec!["knock.stage"; stages],
                vec!["knock.open", "gate.admit", "gate.remove"],
            ]
            .concat();
            assert_eq!(names, expected, "{family}: {heard:#?}");
            let of_it = |data: &Value| data["address"] == json!(source.to_string());
            assert!(heard.iter().all(|(_, data)| of_it(data)), "{family}: {heard:#?}");
            assert_eq!(heard[stages].1["knock"], json!(name));
            assert_eq!(heard[stages + 2].1["why"], json!("expired"), "{family}: {heard:#?}");
        }
    }
}

#[test]
fn a_wrong_port_and_one_that_comes_again_are_no_news_and_no_lines() {
    let Some(scene) = Scene::start(&(ssh_gate("") + &knock("door", "ssh", "7000 8000 9000", "", ""))) else {
        return;
    };
    let news = News::subscribe(&scene.home.house.directory().join("ubus.sock"));
    let source = somebody(FAMILIES[0]);
    scene.knock(source, "7000 7000 8000 8000 7000 8000 6000 9000 6000");
    let heard = news.hear(&ABOUT, 2, SOON);
    let stages: Vec<&Value> = heard.iter().map(|(_, data)| &data["stage"]).collect();
    assert_eq!(stages, [&json!(1), &json!(2)], "{heard:#?}");
    let more = news.hear(&ABOUT, 1, Duration::from_millis(300));
    assert_eq!(more, [], "nothing of wrong ports, nor of packets that came again");
    // At the level `info`.
    assert_eq!(scene.log_lines("wrong port"), Vec::<String>::new());
    let _ = within(SOON, || lines(&scene, "door").len() >= 2);
    assert_eq!(lines(&scene, "door").len(), 2, "{:?}", lines(&scene, "door"));
}

#[test]
fn knock_list_says_what_there_is_and_what_has_happened() {
    let sections = ssh_gate("")
        + &door("option seconds '0'")
        + &gate("web", 2301, "")
        + &knock("other", "web", "7001:udp", "", "option timeout '9'");
    let Some(scene) = Scene::start(&sections) else { return };
    let list = || scene.home.daemon.must("knock_list", &json!({}));
    let knocks = list()["knocks"].take();
    let knocks: Vec<&Value> = knocks
        .as_array()
        .expect("a list")
        .iter()
        .filter(|knock| knock["gate"] != json!("control"))
        .collect();
    let expected = [
        json!({ "name": "door", "gate": "ssh", "open": 3, "close": 3, "timeout": 5, "seconds": 0 }),
        json!({ "name": "other", "gate": "web", "open": 1, "close": 0, "timeout": 9, "seconds": 30 }),
    ];
    for wanted in &expected {
        let found = knocks.iter().any(|knock| {
            let fields = wanted.as_object().expect("an object");
            fields.iter().all(|(key, value)| knock[key] == *value)
        });
        assert!(found, "{wanted} is not in {knocks:#?}");
    }
    let source = somebody(FAMILIES[1]);
    scene.knock(source, "7000 6000 7000 8000");
    let recent = || -> Vec<(String, String, i64)> {
        let list = list();
        let recent = list["recent"].as_array().expect("a list").iter();
        let of_it =
            recent.filter(|event| event["address"] == json!(source.to_string()) && event["sequence"] == json!("open"));
        of_it
            .map(|event| {
                let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                (word("knock"), word("event"), event["stage"].as_i64().unwrap_or(0))
            })
            .collect()
    };
    let event = |word: &str, stage| ("door".to_owned(), word.to_owned(), stage);
    let seen = within(SOON, || recent().len() >= 4);
    let recent = recent();
    assert!(seen, "{recent:?}");
    assert_eq!(
        (&recent[0], &recent[2], &recent[3]),
        (&event("stage", 1), &event("stage", 1), &event("stage", 2))
    );
    assert_eq!(recent[1].1, "wrong", "{recent:?}");
    // Never more than so many.
    for _ in 0..100 {
        scene.knock(somebody(FAMILIES[0]), "7001:udp");
    }
    scene.settle();
    let all = list()["recent"].as_array().map_or(0, Vec::len);
    assert!(all <= 64, "{all}");
}
