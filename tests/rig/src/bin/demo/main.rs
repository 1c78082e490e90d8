//! `make demo`: the switch, a gate and a relay at work in a house out of network namespaces, one line for each thing promised and what was seen.

mod gate;
mod proofs;
mod relay;

use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::{Family, House, FAMILIES, MAPPED_PORT, REDIRECTED_PORT, ROUTER_PORT};
use lanward_rig::probe::{now, takes, Connection, Fate, Way};
use lanward_rig::report_line::Checklist;
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let began = Instant::now();
    println!(
        "Building a house: LAN, VPN, router and internet, each a network namespace; broker and daemon in the router …"
    );
    let Some(home) = Home::start("demo", House::plan(), &switched_off("")) else {
        println!("  ✗ This needs root and a kernel with network namespaces.");
        return ExitCode::FAILURE;
    };
    let mut demo = Demo {
        home,
        seen: Checklist::default(),
    };
    demo.off();
    demo.switch_on();
    demo.untouched();
    demo.outside_peers();
    demo.pause();
    demo.killed();
    demo.flushed();
    demo.off_again();
    demo.gate();
    demo.relay();
    if demo.seen.finish(began.elapsed()) {
        ExitCode::SUCCESS
    } else {
        println!("the daemon's log:\n{}", demo.home.daemon.log());
        ExitCode::FAILURE
    }
}

struct Demo {
    home: Home,
    seen: Checklist,
}

impl Demo {
    /// One line for a packet over IPv4 and one over IPv6 that must have the same fate.
    fn both(&mut self, promise: &str, wanted: Fate, port: u16, way: impl Fn(&House, Family) -> Way<'_>) {
        let fates = FAMILIES.map(|family| way(&self.home.house, family).try_udp(port));
        let held = fates.iter().all(|fate| *fate == Ok(wanted));
        let words: Vec<String> = FAMILIES
            .iter()
            .zip(&fates)
            .map(|(family, fate)| format!("{family} {}", word(fate)))
            .collect();
        self.seen.line(held, promise, &words.join(", "));
    }

    fn off(&mut self) {
        self.seen
            .heading("Off: a remote desktop on the LAN host reaches the internet");
        self.both("UDP to port 50000 gets out", Fate::Answered, 50000, House::way_out);
    }

    fn switch_on(&mut self) {
        self.seen.heading("ubus call lanward lan_only '{\"enabled\": true}'");
        let live = FAMILIES.map(|family| self.home.house.way_out(family).udp_session(50000));
        let spared = self.home.house.way_out(Family::V4).udp_session(443);
        let call = now();
        let reply = self.home.daemon.must("lan_only", &json!({ "enabled": true }));
        let stopped: Vec<Option<f64>> = live.iter().map(|session| session.stopped_after(call)).collect();
        let words: Vec<String> = FAMILIES
            .iter()
            .zip(&stopped)
            .map(|(family, after)| match after {
                Some(after) => format!("{family} last packet {:.1} ms after the call", after.max(0.0)),
                None => format!("{family} goes on"),
            })
            .collect();
        let held = stopped.iter().all(|after| after.is_some_and(|after| after < 50.0));
        self.seen.line(
            held,
            "a live UDP session stops",
            &format!("{}; {} flows cut", words.join(", "), reply["flows_cut"]),
        );
        let goes_on = spared.goes_on();
        self.seen.line(
            goes_on,
            "a live QUIC session goes on",
            &if goes_on { "it does" } else { "it stopped" },
        );
        drop((live, spared));
        self.both("UDP to port 40001 is dropped", Fate::Lost, 40001, House::way_out);
        self.both("UDP to port 65535 is dropped", Fate::Lost, 65535, House::way_out);
        self.both("UDP to port 40000 is not", Fate::Answered, 40000, House::way_out);
    }

    fn untouched(&mut self) {
        self.seen.heading("What stays untouched");
        self.both("DNS, UDP 53", Fate::Answered, 53, House::way_out);
        self.both("QUIC, UDP 443", Fate::Answered, 443, House::way_out);
        let tcp = FAMILIES.map(|family| self.home.house.way_out(family).tcp(443));
        let held = tcp.iter().all(|connection| *connection == Connection::Accepted);
        self.seen.line(
            held,
            "HTTPS, TCP 443",
            &format!("IPv4 {:?}, IPv6 {:?}", tcp[0], tcp[1])
                .to_lowercase()
                .replace("ipv", "IPv"),
        );
        self.both("UDP 50000 inside the LAN", Fate::Answered, 50000, |house, family| {
            house.way("lan2", "lan").over(family)
        });
        self.both(
            "UDP 50000 from the VPN into the LAN",
            Fate::Answered,
            50000,
            |house, family| house.way("vpn", "lan").over(family),
        );
        self.both(
            "the router's own UDP 50000 out",
            Fate::Answered,
            50000,
            |house, family| house.way("router", "internet").over(family),
        );
        self.both(
            "the router's own UDP in",
            Fate::Answered,
            ROUTER_PORT,
            |house, family| {
                let wan = house.router_address("wan", family);
                house
                    .way("internet", "router")
                    .over(family)
                    .source_port(50000)
                    .through(wan)
            },
        );
    }

    fn outside_peers(&mut self) {
        self.seen.heading("An outside peer from port 50000");
        self.both(
            "through a UPnP mapping is dropped",
            Fate::Lost,
            MAPPED_PORT,
            |house, family| house.way_in(family).source_port(50000),
        );
        self.both(
            "through the user's own redirect is not",
            Fate::Answered,
            REDIRECTED_PORT,
            |house, family| house.way_in(family).source_port(50000),
        );
    }

    fn pause(&mut self) {
        self.seen
            .heading("ubus call lanward pause '{\"minutes\": 1}', then resume");
        let state = self.home.daemon.must("pause", &json!({ "minutes": 1 }));
        self.both("UDP to port 50000 gets out", Fate::Answered, 50000, House::way_out);
        let left = state["paused_seconds"].as_u64().unwrap_or(0);
        self.seen
            .line((50..=60).contains(&left), "the kernel ends it", &format!("in {left} s"));
        self.home.daemon.must("resume", &json!({}));
        self.both("resumed, it is dropped", Fate::Lost, 50000, House::way_out);
    }

    fn killed(&mut self) {
        self.seen.heading("kill -9, the daemon is gone");
        self.home.daemon.kill9();
        self.both("UDP to port 50000 is still dropped", Fate::Lost, 50000, House::way_out);
        let started = self.home.daemon.start_again();
        let word = started.err().unwrap_or_else(|| "it answers".to_owned());
        self.seen.line(word == "it answers", "started again", &word);
        self.both("and it is dropped as before", Fate::Lost, 50000, House::way_out);
    }

    fn flushed(&mut self) {
        self.seen
            .heading("nft flush ruleset, as `service firewall stop` does it");
        // After a change of others the daemon looks at once, but then not for 600 ms.
        std::thread::sleep(Duration::from_millis(700));
        self.home.house.router().nft("flush ruleset\n");
        let is_back = || {
            let mut ways = FAMILIES.iter().map(|family| self.home.house.way_out(*family));
            !ways.any(|way| way.arrives(50000))
        };
        let took = takes(Duration::from_secs(1), is_back);
        let seen = took.map_or("it is not".to_owned(), |took| format!("after {} ms", took.as_millis()));
        self.seen.line(took.is_some(), "dropped again within a second", &seen);
        self.home.house.reload_fw4();
    }

    fn off_again(&mut self) {
        let state = self.home.daemon.lan_only();
        self.seen.heading("ubus call lanward lan_only '{\"enabled\": false}'");
        let dropped = state["dropped_packets"].as_u64().unwrap_or(0);
        self.seen.line(
            dropped > 0,
            "what was dropped was counted",
            &format!("{dropped} packets"),
        );
        self.home.daemon.must("lan_only", &json!({ "enabled": false }));
        self.both("UDP to port 50000 gets out", Fate::Answered, 50000, House::way_out);
    }
}

fn word(fate: &Result<Fate, String>) -> &str {
    match fate {
        Ok(Fate::Answered) => "arrived and was answered",
        Ok(Fate::Arrived) => "arrived, the answer did not",
        Ok(Fate::Lost) => "did not arrive",
        Err(broken) => broken,
    }
}
