//! Proves the rig itself: every probe can say both "it arrives" and "it does not", against a hand-written table of the
//! daemon's shape, without the daemon.

use lanward_rig::flood::{Arrivals, Rate};
use lanward_rig::house::{Family, House, FAMILIES, MAPPED_PORT, REDIRECTED_PORT, ROUTER_PORT};
use lanward_rig::namespace::Namespace;
use lanward_rig::probe::{now, within, Connection, Fate};
use std::time::Duration;

/// What `lan_only` on, level seed with mirror, comes to. Unlike the daemon it knows no exceptions.
const STAND_IN: &str = r#"
table inet lanward
flush table inet lanward
table inet lanward {
	counter lan_only_dropped { }
	counter lan_only_inbound_dropped { }
	set lan_only_on { type inet_proto; elements = { udp } }
	set lan_only_source_devices { type ifname; elements = { "br-lan" } }
	set lan_only_dest_devices { type ifname; elements = { "wan0" } }
	set lan_only_ports { type inet_service; flags interval; elements = { 40001-65535 } }
	chain forward {
		type filter hook forward priority filter - 5; policy accept;
		meta l4proto @lan_only_on jump lan_only
	}
	chain lan_only {
		ct direction reply return
		iifname @lan_only_source_devices oifname @lan_only_dest_devices udp dport @lan_only_ports counter name lan_only_dropped drop
		iifname @lan_only_dest_devices oifname @lan_only_source_devices udp sport @lan_only_ports udp dport != 45000 counter name lan_only_inbound_dropped drop
	}
}
"#;

fn house(test: &str) -> Option<House> {
    if !Namespace::can_be_made(test) {
        return None;
    }
    Some(House::plan().with_guest().build().expect("namespaces work"))
}

#[test]
fn an_open_house_lets_everything_out_and_nothing_in() {
    let Some(house) = house("an_open_house_lets_everything_out_and_nothing_in") else {
        return;
    };
    for family in FAMILIES {
        for port in [53, 443, 40000, 40001, 65535] {
            assert_eq!(
                house.way("lan", "internet").over(family).udp(port),
                Fate::Answered,
                "{family:?} {port}"
            );
        }
        for (from, to) in [
            ("lan", "lan2"),
            ("lan", "vpn"),
            ("vpn", "lan"),
            ("guest", "internet"),
            ("router", "internet2"),
        ] {
            assert_eq!(
                house.way(from, to).over(family).udp(50000),
                Fate::Answered,
                "{family:?} {from} {to}"
            );
        }
        assert_eq!(house.way("lan", "internet").over(family).tcp(443), Connection::Accepted);
        let refused = house.way("lan", "internet").over(family).tcp_unheard(444);
        assert_eq!(refused, Connection::Reset);
        let outside = house
            .way("internet", "router")
            .over(family)
            .through(house.router_address("wan", family));
        assert_eq!(outside.source_port(60000).udp(ROUTER_PORT), Fate::Answered);
        assert_eq!(outside.tcp(22), Connection::Reset, "fw4 refuses TCP from the WAN so");
    }
}

#[test]
fn the_ways_in_are_the_mapping_and_the_redirect() {
    let Some(house) = house("the_ways_in_are_the_mapping_and_the_redirect") else {
        return;
    };
    for family in FAMILIES {
        for port in [MAPPED_PORT, REDIRECTED_PORT] {
            assert_eq!(
                house.way_in(family).source_port(50000).udp(port),
                Fate::Answered,
                "{family:?} {port}"
            );
        }
        // Nothing else comes in; the mapping shows that the way is whole.
        let closed = house.way_in(family).patience(Duration::from_millis(300)).try_udp(47000);
        assert!(
            closed.is_err(),
            "with the control lost too, there must be no answer, not {closed:?}"
        );
    }
}

#[test]
fn a_table_of_the_daemons_shape_is_seen_in_every_probe() {
    let Some(house) = house("a_table_of_the_daemons_shape_is_seen_in_every_probe") else {
        return;
    };
    house.router().nft(STAND_IN);
    for family in FAMILIES {
        let out = house.way("lan", "internet").over(family);
        assert_eq!(out.udp(40000), Fate::Answered);
        assert_eq!(out.udp(40001), Fate::Lost);
        assert_eq!(out.udp(65535), Fate::Lost);
        assert_eq!(out.tcp(50000), Connection::Accepted);
        assert_eq!(house.way("vpn", "lan").over(family).udp(50000), Fate::Answered);
        assert_eq!(house.way("vpn", "internet").over(family).udp(50000), Fate::Answered);
        assert_eq!(house.way("router", "internet").over(family).udp(50000), Fate::Answered);
        assert_eq!(house.way_in(family).source_port(50000).udp(MAPPED_PORT), Fate::Lost);
        assert_eq!(house.way_in(family).source_port(5000).udp(MAPPED_PORT), Fate::Answered);
        assert_eq!(
            house.way_in(family).source_port(50000).udp(REDIRECTED_PORT),
            Fate::Answered
        );
    }
    assert!(house.router().nft_counter("lanward", "lan_only_dropped") >= 4);
    house.router().nft("delete table inet lanward\n");
    assert_eq!(house.way("lan", "internet").udp(40001), Fate::Answered);
}

#[test]
fn a_session_shows_when_it_stopped_and_that_it_goes_on() {
    let Some(house) = house("a_session_shows_when_it_stopped_and_that_it_goes_on") else {
        return;
    };
    let session = house.way("lan", "internet").udp_session(50000);
    let other = house.way("lan", "internet").over(Family::V6).udp_session(443);
    assert!(session.goes_on());
    assert_eq!(
        session.stopped_after(now()),
        None,
        "a flow that goes on has not stopped"
    );
    house.router().nft(STAND_IN);
    let done = now();
    let after = session.stopped_after(done).expect("it stops");
    assert!(after < 250.0, "the last packet came {after} ms after the rule");
    assert!(!session.goes_on());
    assert!(other.goes_on());
}

#[test]
fn an_answer_that_is_dropped_is_told_from_a_packet_that_is() {
    let Some(house) = house("an_answer_that_is_dropped_is_told_from_a_packet_that_is") else {
        return;
    };
    house
        .router()
        .nft("table inet deaf { chain forward { type filter hook forward priority 10; udp sport 40000 drop; }; }\n");
    assert_eq!(house.way("lan", "internet").udp(40000), Fate::Arrived);
    // Before Linux 6.13 what others are refused next door counts against the limit.
    house.router().refuses_without_limit().expect("every kernel has it");
    house.router().nft(
        "table inet rejecting { chain forward { type filter hook forward priority 10; tcp dport 81 reject with icmpx type admin-prohibited; tcp dport 82 drop; }; }\n",
    );
    for (family, code) in [
        (Family::V4, Connection::Unreachable(3, 13)),
        (Family::V6, Connection::Unreachable(1, 1)),
    ] {
        let out = house.way("lan", "internet").over(family);
        assert_eq!(out.tcp(81), code);
        assert_eq!(out.tcp(82), Connection::Silent);
    }
}

#[test]
fn a_flood_is_counted_where_it_arrives_and_where_it_does_not() {
    let Some(house) = house("a_flood_is_counted_where_it_arrives_and_where_it_does_not") else {
        return;
    };
    let arrivals = Arrivals::at(house.host("internet"), "1024-65535");
    let flood = house.way("lan", "internet").flood(50000, Rate::Paced(20_000));
    let enough = within(Duration::from_secs(10), || flood.sent() > 1000);
    let (sent, _) = flood.stop();
    assert!(enough, "only {sent} were sent");
    let before = arrivals.count();
    assert_eq!(before, sent);
    house.router().nft(STAND_IN);
    let flood = house.way("lan", "internet").flood(50000, Rate::Full);
    let enough = within(Duration::from_secs(10), || flood.sent() > 1000);
    let (sent, _) = flood.stop();
    assert!(enough, "only {sent} were sent");
    assert_eq!(arrivals.count(), before, "none of {sent} may arrive");
}

#[test]
fn wans_come_and_change_their_names() {
    if house("wans_come_and_change_their_names").is_none() {
        return;
    }
    let mut house = House::plan()
        .with_pppoe()
        .with_second_wan()
        .build()
        .expect("namespaces work");
    assert_eq!(house.way("lan", "internet2").udp(50000), Fate::Answered);
    house.raise_pppoe();
    for family in FAMILIES {
        assert_eq!(house.way("lan", "internet").over(family).udp(50000), Fate::Answered);
    }
    house.rename_wan("wan9");
    for family in FAMILIES {
        assert_eq!(house.way("lan", "internet").over(family).udp(50000), Fate::Answered);
    }
    let six = House::plan().with_wan6().build().expect("namespaces work");
    assert_eq!(six.way("lan", "internet").over(Family::V6).udp(50000), Fate::Answered);
    six.router()
        .nft("table inet t { chain f { type filter hook forward priority 10; oifname wan6 drop; }; }\n");
    // Everything over that device is dropped, so the probe must refuse to answer.
    let dead = six
        .way("lan", "internet")
        .over(Family::V6)
        .patience(Duration::from_millis(300));
    assert!(dead.try_udp(50000).is_err());
    assert_eq!(six.way("lan", "internet").udp(50000), Fate::Answered);
}
