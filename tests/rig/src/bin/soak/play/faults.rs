//! What goes wrong, and ends some steps later.

use super::{Act, Killing, Play};
use crate::judge;
use crate::scene::{Health, Line, PATIENCE};
use lanward_rig::house::FAMILIES;
use lanward_rig::probe::within;
use nix::sys::signal::{kill, Signal};
use serde_json::json;
use std::time::{Duration, Instant};

/// What ends a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Daemon,
    Bus,
    Netifd,
    Relay,
    Target,
    Wan,
    Fw4,
    Flash,
    Clock,
}

pub const ACTS: &[Act] = &[
    Act(12, Play::may_kill, |play| play.daemon(Signal::SIGKILL)),
    Act(6, Play::may_kill, |play| play.daemon(Signal::SIGTERM)),
    Act(2, Play::is_up, |play| play.daemon(Signal::SIGSTOP)),
    Act(2, Play::may_break_bus, |play| play.bus(Health::Gone)),
    Act(2, Play::may_break_bus, |play| play.bus(Health::Frozen)),
    Act(2, Play::has_netifd, Play::stop_netifd),
    Act(3, Play::has_netifd, Play::change_netifd),
    Act(2, Play::is_connected, Play::flap),
    Act(2, Play::is_connected, |play| {
        play.book.did("WAN cable out", "");
        play.plug(false);
        play.later(End::Wan, 5);
    }),
    Act(4, Play::is_up, Play::delete_table),
    Act(3, |play| play.is_up() && play.scene.has_fw4, Play::flush_ruleset),
    Act(
        4,
        |play| play.scene.has_fw4,
        |play| {
            play.book.did("fw4 reload", "");
            play.scene.house.reload_fw4();
        },
    ),
    Act(3, Play::has_relay, Play::break_relay),
    Act(1, |play| play.scene.target.is_some(), Play::stop_target),
    Act(
        2,
        |play| play.scene.has_clock && play.scene.clock == 0 && play.is_up(),
        Play::jump,
    ),
    Act(2, |play| !play.scene.is_full && play.is_up(), Play::fill),
];

impl Play {
    fn may_kill(&self) -> bool {
        self.killing == Killing::Allowed && self.answers()
    }

    /// Whoever waits for a daemon that is being started needs it.
    fn may_break_bus(&self) -> bool {
        self.scene.bus_is == Health::Up && !self.ends.iter().any(|(_, end)| *end == End::Daemon)
    }

    fn has_netifd(&self) -> bool {
        self.scene.bus_is == Health::Up && self.scene.netifd.is_some()
    }

    fn daemon(&mut self, by: Signal) {
        self.book.did(
            match by {
                Signal::SIGKILL => "daemon killed (SIGKILL)",
                Signal::SIGTERM => "daemon ended (SIGTERM)",
                _ => "daemon frozen (SIGSTOP)",
            },
            "",
        );
        self.scene.daemon_is = Health::Gone;
        match by {
            Signal::SIGKILL => {
                self.scene.daemon.kill9();
                self.killed = Some(Instant::now());
                self.forget_attempts();
            }
            Signal::SIGTERM => {
                let began = Instant::now();
                let ended = self.scene.daemon.terminate();
                self.book.took("daemon, ended by SIGTERM", began.elapsed());
                let well = ended.is_some_and(|ended| ended.success());
                self.check("SIGTERM ends it well", well, || format!("{ended:?}"));
            }
            _ => {
                let _ = kill(self.scene.daemon.pid(), by);
                self.scene.daemon_is = Health::Frozen;
            }
        }
        self.later(End::Daemon, 4);
    }

    fn bus(&mut self, becomes: Health) {
        if becomes == Health::Gone {
            self.book.did("bus killed", "");
            self.scene.bus = None;
        } else {
            self.book.did("bus frozen", "");
            self.scene.signal_bus(Signal::SIGSTOP);
        }
        self.scene.bus_is = becomes;
        self.later(End::Bus, 5);
    }

    fn stop_netifd(&mut self) {
        self.book.did("netifd gone", "");
        self.scene.netifd = None;
        self.later(End::Netifd, 6);
    }

    fn delete_table(&mut self) {
        self.book.did("nft delete table inet lanward", "");
        self.scene.house.router().nft("delete table inet lanward\n");
        self.lost_table("table back after nft delete table");
    }

    fn flush_ruleset(&mut self) {
        self.book.did("nft flush ruleset", "");
        self.scene.house.router().nft("flush ruleset\n");
        self.scene.has_fw4 = false;
        self.lost_table("table back after nft flush ruleset");
        self.later(End::Fw4, 3);
    }

    fn stop_target(&mut self) {
        self.book.did("target down", "");
        self.scene.target = None;
        self.later(End::Target, 8);
    }

    fn jump(&mut self) {
        let jump = self.one_of(&[3600, -3600, 300, -300, 86_400]);
        self.book.did("clock set", &format!("{jump:+} s"));
        self.scene.set_clock(jump);
        self.later(End::Clock, 6);
    }

    fn fill(&mut self) {
        self.book.did("flash full", "");
        self.scene.flash.fill(0);
        self.scene.is_full = true;
        self.later(End::Flash, 6);
    }

    pub(super) fn end(&mut self, end: End) {
        match end {
            End::Daemon if self.scene.daemon_is == Health::Frozen => {
                self.book.did("daemon thawed", "");
                let _ = kill(self.scene.daemon.pid(), Signal::SIGCONT);
                self.scene.daemon_is = Health::Up;
                self.learn();
            }
            End::Daemon => {
                self.book.did("daemon started", "");
                let began = Instant::now();
                let started = self.scene.daemon.start_again();
                self.book
                    .took("daemon, from its start until it answers", began.elapsed());
                self.check("the daemon starts", started.is_ok(), || {
                    started.err().unwrap_or_default().chars().take(300).collect()
                });
                self.scene.daemon_is = Health::Up;
                self.restarts += 1;
                self.learn();
            }
            End::Bus => {
                if self.scene.bus_is == Health::Gone {
                    self.book.did("bus started", "");
                    self.scene.start_bus();
                } else {
                    self.book.did("bus thawed", "");
                    self.scene.signal_bus(Signal::SIGCONT);
                }
                self.scene.bus_is = Health::Up;
                let began = Instant::now();
                if self.scene.answers() && self.ask("status", &json!({})).is_some() {
                    self.book.took("bus back, until the daemon answers", began.elapsed());
                }
                self.learn();
            }
            End::Netifd => {
                self.book.did("netifd back", "");
                if self.scene.bus_is == Health::Up {
                    self.scene.start_netifd();
                    self.learn();
                } else {
                    self.later(End::Netifd, 4);
                }
            }
            End::Relay => self.mend_relay(),
            End::Target => {
                self.book.did("target up", "");
                self.scene.open_target();
            }
            End::Wan => {
                self.book.did("WAN cable in", "");
                self.plug(true);
            }
            End::Fw4 => {
                self.book.did("fw4 started", "");
                self.scene.house.reload_fw4();
                self.scene.house.load_upnp();
                self.scene.has_fw4 = true;
            }
            End::Flash => {
                self.book.did("flash has room", "");
                let _ = std::fs::remove_file(self.scene.house.directory().join("state/others"));
                self.scene.is_full = false;
            }
            End::Clock => {
                self.book.did("clock set right", "");
                self.scene.set_clock(0);
            }
        }
    }

    /// It is back, with all that was in it and is known.
    fn lost_table(&mut self, how: &'static str) {
        self.model.lost_table();
        self.lost = Some(Instant::now());
        self.forget_attempts();
        judge::table_comes_back(&self.scene, &self.model, &mut self.book, how);
    }

    /// What was counted since the last whole minute is in the table and in the daemon's memory alone: lost where both are, one soon after the other.
    fn forget_attempts(&mut self) {
        let lately = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < Duration::from_secs(130));
        if lately(self.lost) && lately(self.killed) {
            self.attempts = 0;
        }
    }

    /// A second way out goes down and up, or has another device for a while.
    fn change_netifd(&mut self) {
        let mut dump = self.scene.house.interface_dump();
        let how = self.dice.below(3);
        self.book
            .did("netifd says", ["wanb is down", "wanb is on wanb7", "all as it is"][how]);
        if let Some(rows) = dump["interface"].as_array_mut() {
            for row in rows.iter_mut().filter(|row| row["interface"] == "wanb") {
                if how == 0 {
                    row["up"] = json!(false);
                    row.as_object_mut().map(|row| row.remove("l3_device"));
                } else if how == 1 {
                    row["l3_device"] = json!("wanb7");
                }
            }
        }
        // What stands on another device is no way out by this one.
        self.scene.second_is_there = how != 1;
        self.scene.has_second = false;
        if let Some(netifd) = &self.scene.netifd {
            netifd.change(dump);
        }
        self.learn();
    }

    /// Waits until the second way out is covered, where it is to be and the daemon can know.
    fn learn(&mut self) {
        if self.scene.has_second || !self.scene.second_is_there || !self.answers() {
            return;
        }
        let began = Instant::now();
        let covered = within(PATIENCE, || {
            let status = self.scene.ask("status", &json!({}));
            let devices = status.map(|(status, _)| status["lan_only"]["dest_devices"].clone());
            devices.is_ok_and(|devices| devices.as_array().is_some_and(|all| all.contains(&json!("wanb0"))))
        });
        self.book
            .took("netifd's word, until a device is covered", began.elapsed());
        self.check("a device that netifd names is covered", covered, || "wanb0".to_owned());
        self.scene.has_second = covered;
    }

    fn flap(&mut self) {
        let times = 1 + self.dice.below(20);
        self.book.did("flapping", &format!("WAN and a modem, {times} times"));
        let internet = &self.scene.house.host("internet").namespace;
        internet.ip(&"link set to-wan0 down\nlink set to-wan0 up\n".repeat(times));
        let modem = "link add wwan0 type veth peer name wwan1\nlink set wwan0 up\nlink del wwan0\n";
        self.scene.house.router().ip(&modem.repeat(times));
        self.settle();
    }

    fn plug(&mut self, is_in: bool) {
        self.scene.house.plug_wan(is_in);
        self.scene.wan_is_in = is_in;
        if is_in {
            self.settle();
        }
    }

    /// The cable is in: packets get through again, over both families.
    fn settle(&mut self) {
        self.scene.repair_routes();
        let began = Instant::now();
        for family in FAMILIES {
            let way = self.scene.house.way_out(family).patience(Duration::from_millis(500));
            let through = within(PATIENCE, || way.try_udp(9).is_ok());
            assert!(through, "the house is broken: nothing gets through over {family}");
        }
        self.book
            .took("(the house, until a cable carries again)", began.elapsed());
    }

    fn break_relay(&mut self) {
        let how = self.one_of(&[Line::Cut, Line::Ended, Line::Frozen]);
        self.book.did("relay broken", &format!("{how:?}"));
        match how {
            Line::Cut => self.scene.relay.cut(),
            Line::Ended => self.scene.relay.end(),
            Line::Frozen | Line::Fine => self.scene.relay.signal_all(Signal::SIGSTOP),
        }
        self.scene.relay_is = how;
        self.later(End::Relay, 40);
    }

    fn mend_relay(&mut self) {
        self.book.did("relay mended", &format!("{:?}", self.scene.relay_is));
        match self.scene.relay_is {
            Line::Cut => self.scene.relay.mend(),
            Line::Ended => self.scene.relay.restart(),
            Line::Frozen | Line::Fine => self.scene.relay.signal_all(Signal::SIGCONT),
        }
        self.scene.relay_is = Line::Fine;
    }
}
