//! What is promised, asked with packets: did it arrive? Each test has a house of its own out of network namespaces, with the daemon in
//! its router.

use lanward::config::{Arity, System, OPTIONS};
use lanward_rig::flood::{Arrivals, Rate};
use lanward_rig::home::{switched_off, switched_on, Home, Switch};
use lanward_rig::house::{Family, House, FAMILIES, MAPPED_PORT, REDIRECTED_PORT, ROUTER_PORT};
use lanward_rig::probe::{now, slowness, takes, Connection, Fate, Promise};
use lanward_rig::report_line::figure;
use serde_json::{json, Value};
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A live flow must be silent so many milliseconds after the call, also on a busy machine. The figure itself is printed.
fn at_once() -> f64 {
    250.0 * f64::from(slowness())
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key} in {value}"))
}

#[test]
fn udp_above_the_level_does_not_get_out_and_everything_else_does() {
    let Some(home) = Home::start("the level", House::plan(), &switched_off("")) else {
        return;
    };
    for family in FAMILIES {
        assert_eq!(
            home.house.way_out(family).udp(40001),
            Fate::Answered,
            "{family:?}: off is off"
        );
    }
    home.switch(Switch::On);
    for family in FAMILIES {
        for port in [53, 123, 443, 3478, 40000] {
            assert_eq!(
                home.house.way_out(family).udp(port),
                Fate::Answered,
                "{family:?} {port}"
            );
        }
        for port in [40001, 50000, 65535] {
            assert_eq!(home.house.way_out(family).udp(port), Fate::Lost, "{family:?} {port}");
        }
        for port in [443, 50000] {
            assert_eq!(
                home.house.way_out(family).tcp(port),
                Connection::Accepted,
                "{family:?} {port}"
            );
        }
    }
    let state = home.daemon.lan_only();
    assert_eq!(number(&state, "dropped_packets"), 6);
    assert!(number(&state, "dropped_bytes") > 6 * 28);
    assert_eq!(state["enforced"], json!(true));
    home.switch(Switch::Off);
    for family in FAMILIES {
        assert_eq!(
            home.house.way_out(family).udp(40001),
            Fate::Answered,
            "{family:?}: off again"
        );
    }
}

#[test]
fn lan_vpn_guests_and_the_routers_own_udp_stay_untouched() {
    let Some(home) = Home::start("untouched ways", House::plan().with_guest(), &switched_on("")) else {
        return;
    };
    for family in FAMILIES {
        assert_eq!(
            home.house.way_out(family).udp(50000),
            Fate::Lost,
            "{family:?}: it is on"
        );
        for (from, to) in [
            ("lan", "lan2"),
            ("lan", "vpn"),
            ("vpn", "lan"),
            ("vpn", "internet"),
            ("guest", "internet"),
            ("router", "internet"),
            ("router", "lan"),
        ] {
            let way = home.house.way(from, to).over(family).source_port(50001);
            assert_eq!(way.udp(50000), Fate::Answered, "{family:?} {from} to {to}");
        }
        let to_router = home.house.way("lan", "router").over(family);
        let to_router = to_router.through(home.house.router_address("lan", family));
        assert_eq!(
            to_router.source_port(50001).udp(50000),
            Fate::Answered,
            "{family:?} LAN to router"
        );
        let from_outside = home.house.way("internet", "router").over(family);
        let from_outside = from_outside.through(home.house.router_address("wan", family));
        assert_eq!(
            from_outside.source_port(50001).udp(ROUTER_PORT),
            Fate::Answered,
            "{family:?} internet to router"
        );
    }
}

#[test]
fn a_redirected_servers_answers_get_out_and_its_flows_are_not_cut() {
    let Some(home) = Home::start("redirected server", House::plan(), &switched_off("")) else {
        return;
    };
    for family in FAMILIES {
        let way = home.house.way_in(family);
        let running = way.source_port(50000).udp_session(REDIRECTED_PORT);
        home.switch(Switch::On);
        assert!(
            running.goes_on(),
            "{family:?}: a running session of the user's own redirect"
        );
        drop(running);
        assert_eq!(
            way.source_port(50002).udp(REDIRECTED_PORT),
            Fate::Answered,
            "{family:?}: a new one"
        );
        home.switch(Switch::Off);
    }
}

#[test]
fn an_outside_peer_through_a_mapping_is_dropped() {
    let Some(home) = Home::start("mirror", House::plan(), &switched_off("")) else {
        return;
    };
    for family in FAMILIES {
        let way = home.house.way_in(family);
        assert_eq!(
            way.source_port(50001).udp(MAPPED_PORT),
            Fate::Answered,
            "{family:?}: the mapping works"
        );
        let running = way.source_port(50000).udp_session(MAPPED_PORT);
        let call = now();
        home.switch(Switch::On);
        let after = running
            .stopped_after(call)
            .expect("a running session through the mapping must stop");
        assert!(after < at_once(), "{family:?}: {after} ms");
        drop(running);
        assert_eq!(way.source_port(50002).udp(MAPPED_PORT), Fate::Lost, "{family:?}");
        assert_eq!(
            way.source_port(40000).udp(MAPPED_PORT),
            Fate::Answered,
            "{family:?}: below the range"
        );
        home.switch(Switch::Off);
    }
    assert!(number(&home.daemon.lan_only(), "inbound_dropped_packets") >= 2);
    home.reload(&switched_on("option mirror '0'"));
    for family in FAMILIES {
        assert_eq!(
            home.house.way_in(family).source_port(50003).udp(MAPPED_PORT),
            Fate::Answered,
            "{family:?}"
        );
        assert_eq!(home.house.way_out(family).udp(50000), Fate::Lost, "{family:?}");
    }
}

#[test]
fn live_flows_stop_at_the_call_and_the_others_go_on() {
    let Some(home) = Home::start("live flows", House::plan(), &switched_off("")) else {
        return;
    };
    let doomed: Vec<_> = FAMILIES
        .map(|family| (family, home.house.way_out(family).udp_session(50000)))
        .into();
    let spared = [
        home.house.way_out(Family::V4).udp_session(443),
        home.house.way_out(Family::V6).udp_session(40000),
        home.house.way("lan", "vpn").udp_session(50000),
        home.house.way("vpn", "internet").udp_session(50001),
    ];
    let preview = home.daemon.call("preview", &json!({})).expect("it answers");
    assert_eq!(number(&preview, "count"), 2, "{preview}");
    assert!(
        doomed.iter().all(|(_, session)| session.goes_on()),
        "a preview ends nothing"
    );
    let call = now();
    let state = home.switch(Switch::On);
    let answered = now();
    for (family, session) in &doomed {
        let after = session
            .stopped_after(call)
            .unwrap_or_else(|| panic!("{family:?} goes on"));
        figure(
            "live flow",
            &format!("{family:?}: last packet {after:.2} ms after the call began"),
        );
        assert!(after < at_once(), "{family:?}: {after} ms");
        assert!(
            session
                .stopped_after(answered)
                .is_some_and(|after| after < 5.0 * f64::from(slowness())),
            "{family:?}: answered too early"
        );
    }
    for session in &spared {
        assert!(session.goes_on());
    }
    assert_eq!(number(&state, "flows_cut"), 2, "{state}");
    home.switch(Switch::Off);
    for (family, session) in &doomed {
        assert!(
            takes(Duration::from_secs(2), || session.goes_on()).is_some(),
            "{family:?} after switching off"
        );
    }
}

#[test]
fn a_host_by_any_of_its_names_is_kept_in_and_the_others_are_not() {
    let Some(home) = Home::start("hosts", House::plan(), &switched_off("")) else {
        return;
    };
    for (host, dropped) in [
        ("192.168.77.100", [Fate::Lost, Fate::Answered]),
        ("fd77::100", [Fate::Answered, Fate::Lost]),
        ("02:00:00:00:77:64", [Fate::Lost, Fate::Lost]),
    ] {
        // Without a level, a host is kept in strictly.
        home.reload(&switched_on(&format!("list host '{host}'")));
        for (family, fate) in FAMILIES.into_iter().zip(dropped) {
            let way = home.house.way("lan", "internet").over(family);
            assert_eq!(way.udp(1024), fate, "{host} {family:?}");
            assert_eq!(way.udp(1023), Fate::Answered, "{host} {family:?}");
            let other = home.house.way("lan2", "internet").over(family);
            assert_eq!(other.udp(50000), Fate::Answered, "{host}: lan2 {family:?}");
        }
    }
    home.reload(&switched_on("list host '192.168.77.100'\noption level 'seed'"));
    assert_eq!(
        home.house.way_out(Family::V4).udp(40000),
        Fate::Answered,
        "a level that is set is the level"
    );
    assert_eq!(home.house.way_out(Family::V4).udp(40001), Fate::Lost);
}

#[test]
fn exceptions_get_out() {
    let Some(home) = Home::start("exceptions", House::plan(), &switched_off("")) else {
        return;
    };
    for host in ["192.168.77.100", "fd77::100", "02:00:00:00:77:64"] {
        home.reload(&switched_on(&format!("list except_host '{host}'")));
        for family in FAMILIES {
            let of_this_family = host.contains('.') == (family == Family::V4) || host.starts_with("02");
            let fate = if of_this_family { Fate::Answered } else { Fate::Lost };
            assert_eq!(home.house.way_out(family).udp(50000), fate, "{host} {family:?}");
            assert_eq!(
                home.house.way("lan2", "internet").over(family).udp(50000),
                Fate::Lost,
                "lan2 {family:?}"
            );
        }
    }
    home.reload(&switched_on("list except_port '50000'\nlist except_port '51000-51010'"));
    for family in FAMILIES {
        for (port, fate) in [
            (49999, Fate::Lost),
            (50000, Fate::Answered),
            (50001, Fate::Lost),
            (51000, Fate::Answered),
            (51010, Fate::Answered),
            (51011, Fate::Lost),
        ] {
            assert_eq!(home.house.way_out(family).udp(port), fate, "{family:?} {port}");
        }
    }
    home.reload(&switched_on(
        "list except_dest '203.0.113.0/28'\nlist except_dest '2001:db8:9::9'",
    ));
    for family in FAMILIES {
        assert_eq!(home.house.way_out(family).udp(50000), Fate::Answered, "{family:?}");
        assert_eq!(
            home.house.way("lan", "internet2").over(family).udp(50000),
            Fate::Lost,
            "{family:?}"
        );
    }
}

#[test]
fn each_level_begins_at_its_port() {
    let Some(home) = Home::start("levels", House::plan(), &switched_off("")) else {
        return;
    };
    for (options, first) in [
        ("option level 'seed'", 40001),
        ("option level 'recommended'", 32768),
        ("option level 'strict'", 1024),
        ("option level 'custom'\nlist port '50000-50010'", 50000),
    ] {
        home.reload(&switched_on(options));
        for family in FAMILIES {
            assert_eq!(
                home.house.way_out(family).udp(first - 1),
                Fate::Answered,
                "{options} {family:?}"
            );
            assert_eq!(
                home.house.way_out(family).udp(first),
                Fate::Lost,
                "{options} {family:?}"
            );
        }
    }
    assert_eq!(home.house.way_out(Family::V4).udp(50010), Fate::Lost);
    assert_eq!(home.house.way_out(Family::V4).udp(50011), Fate::Answered);
}

#[test]
fn observing_counts_and_drops_nothing() {
    let Some(home) = Home::start("observe", House::plan(), &switched_off("option observe '1'")) else {
        return;
    };
    let running = home.house.way_out(Family::V4).udp_session(50000);
    let state = home.switch(Switch::On);
    assert_eq!(number(&state, "flows_cut"), 0);
    assert!(running.goes_on());
    drop(running);
    let before = number(&home.daemon.lan_only(), "dropped_packets");
    for family in FAMILIES {
        assert_eq!(home.house.way_out(family).udp(50001), Fate::Answered);
        assert_eq!(
            home.house.way_in(family).source_port(50000).udp(MAPPED_PORT),
            Fate::Answered
        );
    }
    let state = home.daemon.lan_only();
    assert_eq!(number(&state, "dropped_packets"), before + 2, "{state}");
    assert_eq!(state["observe"], json!(true));
}

#[test]
fn a_pause_ends_by_itself_though_the_daemon_was_killed() {
    let Some(mut home) = Home::start("pause", House::plan(), &switched_on("")) else {
        return;
    };
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Lost);
    home.daemon.must("pause", &json!({ "minutes": 5 }));
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Answered);
    home.daemon.must("resume", &json!({}));
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Lost, "resumed");

    let began = Instant::now();
    let state = home.daemon.must("pause", &json!({ "minutes": 1 }));
    assert!((55..=60).contains(&number(&state, "paused_seconds")), "{state}");
    home.daemon.kill9();
    for family in FAMILIES {
        assert_eq!(home.house.way_out(family).udp(50000), Fate::Answered, "{family:?}");
    }
    std::thread::sleep(Duration::from_secs(50).saturating_sub(began.elapsed()));
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Answered, "after 50 s");
    takes(Duration::from_secs(15), || {
        home.house.way_out(Family::V4).udp(50000) == Fate::Lost
    })
    .expect("it ends by itself");
    assert!(
        began.elapsed() >= Duration::from_secs(59),
        "not before its time: {:?}",
        began.elapsed()
    );
    assert_eq!(home.house.way_out(Family::V6).udp(50000), Fate::Lost);
}

#[test]
fn a_pause_keeps_its_time_through_reload_and_restart_and_cuts_flows_at_its_end_by_resume() {
    let Some(mut home) = Home::start("pause kept", House::plan(), &switched_on("")) else {
        return;
    };
    home.daemon.must("pause", &json!({ "minutes": 5 }));
    home.reload(&switched_on("option level 'strict'"));
    assert!((280..=300).contains(&number(&home.daemon.lan_only(), "paused_seconds")));
    home.daemon.kill9();
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    assert!((280..=300).contains(&number(&home.daemon.lan_only(), "paused_seconds")));
    assert_eq!(home.house.way_out(Family::V4).udp(1024), Fate::Answered);
    let running = home.house.way_out(Family::V4).udp_session(50000);
    let call = now();
    home.daemon.must("resume", &json!({}));
    let after = running.stopped_after(call).expect("a flow that the pause let out");
    assert!(after < at_once(), "{after} ms");
}

#[test]
fn outside_its_schedule_everything_gets_out() {
    let Some(home) = Home::start("schedule", House::plan(), &switched_off("")) else {
        return;
    };
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let clock = |offset_hours: u64| {
        let minutes = (seconds / 60 + offset_hours * 60) % (24 * 60);
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    // 1970-01-01 was a Thursday.
    let day =
        |offset: u64| ["thu", "fri", "sat", "sun", "mon", "tue", "wed"][((seconds / 86_400 + offset) % 7) as usize];
    for (options, fate) in [
        (
            format!("option start '{}'\noption stop '{}'", clock(2), clock(4)),
            Fate::Answered,
        ),
        (
            format!("option start '{}'\noption stop '{}'", clock(22), clock(2)),
            Fate::Lost,
        ),
        (format!("option weekdays '{}'", day(3)), Fate::Answered),
        (
            format!("option weekdays '{} {} {}'", day(6), day(0), day(1)),
            Fate::Lost,
        ),
    ] {
        home.reload(&switched_on(&options));
        for family in FAMILIES {
            assert_eq!(home.house.way_out(family).udp(50000), fate, "{options} {family:?}");
        }
    }
}

#[test]
fn the_daemon_killed_the_drop_holds_and_it_takes_up_where_it_was() {
    let Some(mut home) = Home::start("killed", House::plan(), &switched_on("")) else {
        return;
    };
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Lost);
    let dropped = number(&home.daemon.lan_only(), "dropped_packets");
    home.daemon.kill9();
    for family in FAMILIES {
        assert_eq!(
            home.house.way_out(family).udp(50000),
            Fate::Lost,
            "{family:?}: nobody is there"
        );
        assert_eq!(home.house.way_out(family).udp(443), Fate::Answered, "{family:?}");
    }
    let arrivals = Arrivals::at(home.house.host("internet"), "50000");
    let flood = home.house.way_out(Family::V4).flood(50000, Rate::Paced(20_000));
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    let (sent, _) = flood.stop();
    assert_eq!(arrivals.count(), 0, "of {sent} packets while it started");
    assert!(
        number(&home.daemon.lan_only(), "dropped_packets") > dropped,
        "a start keeps the counters"
    );
}

/// A modem's, in no file.
#[test]
fn a_device_that_only_netifd_knows_stays_covered_over_a_restart_and_a_reconnection() {
    let Some(mut home) = Home::start("modem", House::plan(), &switched_on("")) else {
        return;
    };
    let file = home.house.config_dir().join("network");
    let text = fs::read_to_string(&file).expect("written before the start");
    let (wan, modem) = ("option device 'wan0'\n\toption proto 'static'", "option proto 'qmi'");
    assert!(text.contains(wan), "{text}");
    fs::write(&file, text.replacen(wan, modem, 1)).expect("ours");
    home.reload(&switched_on(""));
    let is_covered = |home: &Home| home.daemon.lan_only()["dest_devices"] == json!(["wan0"]);
    takes(Duration::from_secs(10), || is_covered(&home)).expect("netifd names it");
    home.daemon.kill9();
    let arrivals = Arrivals::at(home.house.host("internet"), "50000");
    let flood = home.house.way_out(Family::V4).flood(50000, Rate::Paced(20_000));
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    // So that netifd has answered by now.
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_covered(&home));

    let whole = home.house.interface_dump();
    let mut reconnecting = whole.clone();
    let entries = reconnecting["interface"].as_array_mut().expect("a list");
    let wan = entries
        .iter_mut()
        .find(|entry| entry["interface"] == "wan")
        .expect("the WAN");
    wan["up"] = json!(false);
    let wan = wan.as_object_mut().expect("an object");
    wan.remove("l3_device");
    wan.remove("device");
    for dump in [reconnecting, whole] {
        home.netifd.change(dump);
        std::thread::sleep(Duration::from_millis(500));
        assert!(is_covered(&home));
    }
    let (sent, _) = flood.stop();
    assert_eq!(arrivals.count(), 0, "of {sent} packets");
    assert!(sent > 1000, "{sent}");
}

#[test]
fn stopping_the_daemon_keeps_the_drop() {
    let Some(mut home) = Home::start("stopped", House::plan(), &switched_on("")) else {
        return;
    };
    let status = home.daemon.terminate().expect("it ends when procd says so");
    assert!(status.success(), "{status}: {}", home.daemon.log());
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Lost);
}

#[test]
fn a_hang_up_has_the_configuration_read() {
    let Some(home) = Home::start("SIGHUP", House::plan(), &switched_off("")) else {
        return;
    };
    home.house.configure(&switched_on(""));
    assert_eq!(
        home.house.way_out(Family::V4).udp(50000),
        Fate::Answered,
        "nobody said so yet"
    );
    home.daemon.hang_up();
    takes(Duration::from_secs(5), || {
        home.house.way_out(Family::V4).udp(50000) == Fate::Lost
    })
    .expect("it reads the file");
    home.house.configure(&switched_on("option level 'sead'"));
    home.daemon.hang_up();
    assert!(
        home.daemon.logs("lanward.lan_only.level", Duration::from_secs(5)),
        "the problem is named"
    );
    assert_eq!(
        home.house.way_out(Family::V4).udp(50000),
        Fate::Lost,
        "and what was applied stays"
    );
}

#[test]
fn an_idle_daemon_is_not_woken() {
    const WATCHED: Duration = Duration::from_secs(10);
    for config in [
        switched_off(""),
        switched_on("list host '02:00:00:00:77:64'\noption start '22:00'\noption stop '07:00'"),
    ] {
        let Some(home) = Home::start("idle", House::plan(), &config) else {
            return;
        };
        // What a start leaves to be done is over when nothing happens for a while.
        let quiet = || {
            let before = home.daemon.voluntary_switches();
            std::thread::sleep(Duration::from_secs(2));
            home.daemon.voluntary_switches() == before
        };
        takes(Duration::from_secs(20), quiet).expect("it comes to rest");
        let before = home.daemon.voluntary_switches();
        std::thread::sleep(WATCHED);
        let woken = home.daemon.voluntary_switches() - before;
        figure("idle", &format!("woken {woken} times in {WATCHED:?}"));
        // The ledger reads once a minute and may write a file, which can wait as well; a schedule looks at the clock.
        assert!(woken <= 4, "woken {woken} times in {WATCHED:?}");
    }
}

#[test]
fn a_flushed_ruleset_is_put_back_within_a_second() {
    let Some(home) = Home::start("flush ruleset", House::plan(), &switched_on("")) else {
        return;
    };
    let mut promise = Promise::of(Duration::from_secs(1) * slowness());
    for round in 0..5 {
        home.house.router().nft("flush ruleset\n");
        let lost = || !FAMILIES.iter().any(|family| home.house.way_out(*family).arrives(50000));
        let took = promise.takes(lost).expect("the table comes back");
        figure(
            "flush ruleset",
            &format!("round {round}: dropped again after {:.0} ms", took.as_secs_f64() * 1e3),
        );
        home.house.reload_fw4();
        assert_eq!(
            home.house.way_out(Family::V4).udp(50000),
            Fate::Lost,
            "fw4 reload leaves it alone"
        );
        assert_eq!(home.house.way_out(Family::V4).udp(443), Fate::Answered);
    }
    home.house.router().nft("delete table inet lanward\n");
    promise
        .takes(|| home.house.way_out(Family::V6).udp(50000) == Fate::Lost)
        .expect("and when deleted alone");
    assert!(promise.is_kept(), "{promise:?}");
}

#[test]
fn a_wan_device_is_covered_the_moment_it_comes() {
    let Some(mut home) = Home::start("pppoe", House::plan().with_pppoe(), &switched_on("")) else {
        return;
    };
    // `pppoe-wan` is known by its interface before it is there: not one packet.
    let arrivals = Arrivals::at(home.house.host("internet"), "50000");
    home.house.raise_pppoe();
    for family in FAMILIES {
        assert_eq!(home.house.way_out(family).udp(50000), Fate::Lost, "{family:?}");
        assert_eq!(home.house.way_out(family).udp(443), Fate::Answered, "{family:?}");
    }
    assert_eq!(arrivals.count(), 0);
}

#[test]
fn a_renamed_wan_device_is_covered_at_once() {
    let Some(mut home) = Home::start("renamed", House::plan(), &switched_on("")) else {
        return;
    };
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Lost);
    home.house.rename_wan("wan9");
    home.announce();
    let mut promise = Promise::of(Duration::from_secs(1) * slowness());
    for family in FAMILIES {
        let covered = || home.house.way_out(family).udp(50000) == Fate::Lost;
        let took = promise
            .takes(covered)
            .unwrap_or_else(|| panic!("{family:?}: {}", home.daemon.lan_only()));
        figure(
            "renamed device",
            &format!("{family:?}: covered after {:.0} ms", took.as_secs_f64() * 1e3),
        );
    }
    assert!(promise.is_kept(), "{promise:?}");
    let devices = home.daemon.lan_only()["dest_devices"].take();
    assert_eq!(devices, json!(["wan9"]));
}

#[test]
fn every_wan_is_covered() {
    let plan = House::plan().with_second_wan().with_wan6();
    let Some(home) = Home::start("every WAN", plan, &switched_on("")) else {
        return;
    };
    for (to, family) in [
        ("internet", Family::V4),
        ("internet", Family::V6),
        ("internet2", Family::V4),
        ("internet2", Family::V6),
    ] {
        let way = home.house.way("lan", to).over(family);
        assert_eq!(way.udp(50000), Fate::Lost, "{to} {family:?}");
        assert_eq!(way.udp(443), Fate::Answered, "{to} {family:?}");
    }
    assert_eq!(home.daemon.lan_only()["dest_devices"], json!(["wan0", "wan6", "wanb0"]));
}

#[test]
fn source_zones_are_those_that_were_named() {
    let options = "list source_zone 'guest'\nlist source_zone 'vpn'";
    let Some(home) = Home::start("zones", House::plan().with_guest(), &switched_on(options)) else {
        return;
    };
    for family in FAMILIES {
        for (from, fate) in [("guest", Fate::Lost), ("vpn", Fate::Lost), ("lan", Fate::Answered)] {
            assert_eq!(
                home.house.way(from, "internet").over(family).udp(50000),
                fate,
                "{from} {family:?}"
            );
        }
        assert_eq!(
            home.house.way("vpn", "lan").over(family).udp(50000),
            Fate::Answered,
            "{family:?}: inside the house"
        );
    }
}

#[test]
fn no_packet_escapes_while_it_reloads() {
    let reloads = std::env::var("LANWARD_RELOADS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(200_u32);
    let Some(home) = Home::start("reloads", House::plan(), &switched_on("")) else {
        return;
    };
    let arrivals = Arrivals::at(home.house.host("internet"), "1024-65535");
    let floods = FAMILIES.map(|family| home.house.way_out(family).flood(50000, Rate::Paced(20_000)));
    // Each of them changes rules, sets or both, and none of them lets port 50000 out.
    let variants = [
        switched_on(""),
        switched_on("option level 'strict'\nlist except_dest '198.18.0.0/15'"),
        switched_on("option level 'custom'\nlist port '45000-55000'\noption mirror '0'"),
        switched_on("list except_host '192.168.77.200'\nlist except_port '60000'"),
        switched_on("option level 'recommended'\nlist host '192.168.77.100'\nlist host 'fd77::100'"),
    ];
    let began = Instant::now();
    for (round, config) in (0..reloads).zip(variants.iter().cycle()) {
        let reply = home.reload(config);
        assert_eq!(reply["applied"], json!(true), "round {round}: {reply}");
    }
    let took = began.elapsed();
    let sent: u64 = floods.into_iter().map(|flood| flood.stop().0).sum();
    figure(
        "reloads under a flood",
        &format!(
            "{} of {sent} packets escaped in {reloads} reloads, {:.1} ms each",
            arrivals.count(),
            took.as_secs_f64() * 1e3 / f64::from(reloads)
        ),
    );
    assert!(sent > 1000, "that was no flood");
    assert_eq!(arrivals.count(), 0, "of {sent} packets in {reloads} reloads");
}

#[test]
fn a_wrong_configuration_keeps_what_was_applied() {
    let Some(home) = Home::start("wrong configuration", House::plan(), &switched_on("")) else {
        return;
    };
    for (line, names) in [
        ("option level 'sead'", "lanward.lan_only.level"),
        ("option enabled 'maybe'", "lanward.lan_only.enabled"),
        ("list host 'printer'", "lanward.lan_only.host"),
        ("list except_port '70000'", "lanward.lan_only.except_port"),
        ("list dest_zone 'wam'", "lanward.lan_only.dest_zone"),
        ("option enabled '0", "lanward"),
    ] {
        home.house.configure(&switched_on(line));
        let reply = home
            .daemon
            .call("reload", &json!({}))
            .unwrap_or_else(|status| panic!("{line}: status {status}"));
        assert_eq!(reply["applied"], json!(false), "{line}: {reply}");
        let problems = reply["problems"]
            .as_array()
            .unwrap_or_else(|| panic!("{line}: {reply}"));
        let named = problems.iter().any(|problem| {
            problem["option"]
                .as_str()
                .is_some_and(|option| option.starts_with(names))
        });
        assert!(named, "{line} must be named: {reply}");
        for family in FAMILIES {
            assert_eq!(home.house.way_out(family).udp(50000), Fate::Lost, "{line} {family:?}");
            assert_eq!(
                home.house.way_out(family).udp(40000),
                Fate::Answered,
                "{line} {family:?}"
            );
        }
    }
    assert_eq!(home.reload(&switched_off(""))["applied"], json!(true));
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Answered);
}

#[test]
fn a_wrong_configuration_at_the_first_start_is_closed() {
    let config = switched_on("option level 'sead'\nlist except_host 'printer'");
    let Some(home) = Home::start("wrong at first", House::plan(), &config) else {
        return;
    };
    for family in FAMILIES {
        assert_eq!(home.house.way_out(family).udp(50000), Fate::Lost, "{family:?}");
        assert_eq!(home.house.way_out(family).udp(443), Fate::Answered, "{family:?}");
    }
    let problems = home.daemon.must("status", &json!({}))["problems"].take();
    assert_eq!(problems.as_array().map(Vec::len), Some(2), "{problems}");
}

#[test]
fn the_switch_is_written_down_only_when_asked_and_nothing_else_changes() {
    let text = "# my own\nconfig lanward 'lanward'\n\n config   lan_only lan_only # the switch\n\toption enabled 0\n\tlist except_port '50005'\n";
    let Some(home) = Home::start("persist", House::plan(), text) else {
        return;
    };
    let path = home.house.config_dir().join("lanward");
    home.switch(Switch::On);
    assert_eq!(
        fs::read_to_string(&path).expect("it is there"),
        text,
        "not asked to persist"
    );
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Lost);
    home.daemon.must("lan_only", &json!({ "enabled": true }));
    let written = fs::read_to_string(&path).expect("it is there");
    let changed: Vec<_> = text
        .lines()
        .zip(written.lines())
        .filter(|(old, new)| old != new)
        .collect();
    assert_eq!(written.lines().count(), text.lines().count(), "{written}");
    assert!(
        matches!(changed.as_slice(), [(_, new)] if new.contains("enabled") && new.contains('1')),
        "{written}"
    );
    home.daemon.must("reload", &json!({}));
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Lost);
    assert_eq!(home.house.way_out(Family::V4).udp(50005), Fate::Answered);
}

/// Every option of the table is wrong once, in the file of a daemon that runs: each time the problem names it, and nothing that
/// worked stops.
#[test]
fn a_wrong_value_in_any_option_is_named_and_stops_nothing() {
    let Some(home) = Home::start("wrong options", House::plan(), &switched_on("")) else {
        return;
    };
    let way = home.house.way_out(Family::V4);
    let mut restricting = 0;
    for spec in OPTIONS {
        let name = if spec.system.is_single() {
            spec.system.word()
        } else {
            "any"
        };
        let keyword = if spec.arity == Arity::Many { "list" } else { "option" };
        let wrong = format!(
            "config {} '{name}'\n\t{keyword} {} '?!'\n",
            spec.system.word(),
            spec.name
        );
        let config = match spec.system {
            System::LanOnly if spec.name == "enabled" => wrong,
            System::LanOnly => switched_on(&format!("{keyword} {} '?!'", spec.name)),
            _ => switched_on("") + &wrong,
        };
        let answer = home.reload(&config);
        let place = format!("lanward.{name}.{}", spec.name);
        let problems = answer["problems"].as_array().expect("a list of problems");
        let named = problems.iter().any(|problem| {
            problem["option"] == place && problem["message"].as_str().is_some_and(|text| text.contains("'?!'"))
        });
        assert!(named, "{place}: {answer}");
        let refused = spec.restricts && answer["applied"] == json!(false);
        let goes_on = !spec.restricts && problems.iter().all(|problem| problem["option"] != "lanward");
        assert!(refused || goes_on, "{place}: {answer}");
        restricting += u32::from(refused);
        assert!(!home.daemon.ended(), "{place} ended the daemon");
        assert_eq!(home.daemon.lan_only()["enforced"], true, "{place}");
    }
    assert!(restricting > 20, "{restricting} options restrict");
    assert_eq!(way.udp(50000), Fate::Lost, "still dropped");
    let answer = home.reload(&switched_off(""));
    assert_eq!(answer["applied"], true, "{answer}");
    assert_eq!(way.udp(50000), Fate::Answered, "and still to be switched");
}
