//! A relay: set up as a new user would, cut off, and back.

use crate::Demo;
use lanward_rig::house::{Family, House};
use lanward_rig::probe::{within, Fate};
use lanward_rig::relay::{greets, Greets, Relay, Setup, Software, Target, USER};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

const PORT: u16 = 3389;
/// What is promised, from the line's return.
const BACK: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(40);

impl Demo {
    pub fn relay(&mut self) {
        let relay = Relay::outside(&self.home.house, 0, Setup::of(Software::OpenSsh));
        let address = self.home.house.host("lan").socket(Family::V4, PORT);
        let lan = &self.home.house.host("lan").namespace;
        let _desktop = Target::start(lan, address, Greets::Rdp);
        self.introduced(&relay, address);
        self.comes_in(&relay);
        self.cut_off(&relay);
        self.home.reload("");
    }

    fn relay_says(&self, name: &str) -> String {
        let reply = self.home.daemon.must("relay_list", &json!({}));
        let value = reply["relays"][0][name].clone();
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    fn relay_is(&self, state: &str) -> bool {
        self.relay_says("state") == state
    }

    fn section(&self, relay: &Relay, target: SocketAddr, host_key: &str) -> String {
        let key = self.home.house.directory().join("state/relay_ed25519");
        format!(
            "config lan_only 'lan_only'\n\toption enabled '1'\n\nconfig relay 'office'\n\toption enabled '1'\n\toption host '{}'\n\toption user '{USER}'\n\
             \toption key '{}'\n\toption remote_port '{PORT}'\n\toption target '{target}'\n\toption check '5'\n\toption retry '1'\n{host_key}",
            relay.address(),
            key.display(),
        )
    }

    fn introduced(&mut self, relay: &Relay, target: SocketAddr) {
        self.seen
            .heading("config relay 'office': a server on the internet, a desktop in the LAN, the switch on");
        self.home.reload(&self.section(relay, target, ""));
        let shown = within(SOON, || {
            self.relay_is("failed") && self.relay_says("offered_key") == relay.host_key()
        });
        self.seen.line(
            shown,
            "nobody logs in before the relay's key is confirmed; it is shown",
            &self.relay_says("offered_fingerprint"),
        );
        let made = self.home.daemon.must("relay_keygen", &json!({ "name": "office" }));
        self.seen.line(
            made["ok"] == true,
            "lanward relay keygen: the router's key",
            &made["public_key"].as_str().unwrap_or_default(),
        );
        let files = self.home.daemon.must("relay_files", &json!({ "name": "office" }));
        let text = |name: &str| files[name].as_str().unwrap_or_default().to_owned();
        relay.write("lanward-relay", &text("script"), 0o700);
        relay.authorize(&text("authorized_keys"));
        let pinned = format!("\toption host_key '{}'\n", relay.host_key());
        self.home.reload(&self.section(relay, target, &pinned));
    }

    fn comes_in(&mut self, relay: &Relay) {
        let up = within(SOON, || self.relay_is("up"));
        let seen = if up {
            format!(
                "{}, {} ms through the tunnel",
                self.relay_says("client"),
                self.relay_says("latency_ms")
            )
        } else {
            self.relay_says("error")
        };
        self.seen.line(up, "script and key are on the relay: it is up", &seen);
        let reached = desktop_greets(relay);
        self.seen
            .line(reached, "who logs in to the relay reaches the desktop", &word(reached));
        self.both(
            "and the switch holds: UDP to port 50000 is dropped",
            Fate::Lost,
            50000,
            House::way_out,
        );
        let said = self.opening();
        self.seen.line(
            said.is_some(),
            "lanward check says what is open",
            &said.unwrap_or_default(),
        );
    }

    /// What the diagnosis says of it.
    fn opening(&self) -> Option<String> {
        let reply = self.home.daemon.must("check", &json!({}));
        let checks = reply["checks"].as_array().cloned().unwrap_or_default();
        let of_relay = checks.iter().find(|check| check["name"] == "relay")?;
        let message = of_relay["message"].as_str().map(str::to_owned)?;
        message
            .contains("reachable from outside through relay 'office'")
            .then_some(message)
    }

    fn cut_off(&mut self, relay: &Relay) {
        self.seen.heading("The line to the relay is cut, silently, and mended");
        let cut = Instant::now();
        relay.cut();
        let noticed = within(SOON, || self.relay_is("backoff"));
        let seen = format!(
            "after {:.1} s: {}",
            cut.elapsed().as_secs_f32(),
            self.relay_says("error")
        );
        self.seen.line(noticed, "it is noticed and named", &seen);
        std::thread::sleep(Duration::from_secs(5));
        relay.mend();
        let mended = Instant::now();
        let back = within(BACK, || relay.listens(PORT) && desktop_greets(relay));
        let seen = if back {
            format!("after {:.1} s", mended.elapsed().as_secs_f32())
        } else {
            self.relay_says("error")
        };
        self.seen.line(
            back,
            "within 15 s of the line's return the desktop is reached again",
            &seen,
        );
    }
}

fn desktop_greets(relay: &Relay) -> bool {
    greets(relay.namespace(), (Ipv4Addr::LOCALHOST, PORT).into(), Greets::Rdp)
}

fn word(reached: bool) -> &'static str {
    if reached {
        "it greets"
    } else {
        "it does not answer"
    }
}
