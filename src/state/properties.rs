//! Random events in random order on the virtual clock of [`Play`]: what must hold after each of them, and once it is quiet.

use super::tests::{caller, Play, LAN};
use super::*;
use proptest::prelude::*;
use serde_json::json;

/// A configuration, and what it comes to.
#[derive(Debug, Clone, Copy)]
struct Text {
    text: &'static str,
    enabled: bool,
    observe: bool,
    /// Refused where another one was accepted before.
    refused: bool,
}

const fn right(text: &'static str, enabled: bool) -> Text {
    Text {
        text,
        enabled,
        observe: false,
        refused: false,
    }
}

const fn wrong(text: &'static str, enabled: bool) -> Text {
    Text {
        refused: true,
        ..right(text, enabled)
    }
}

const TEXTS: [Text; 11] = [
    right(
        "config lan_only 'lan_only'\n\toption enabled '1'\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\
         config witness 'imaps'\n\toption gate 'ssh'\n",
        true,
    ),
    right(
        "config lan_only 'lan_only'\n\toption enabled '0'\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\
         \toption forget 'last_close'\n\toption prefix6 '64'\n\toption size '2'\n",
        false,
    ),
    right("config lan_only 'lan_only'\n\toption enabled '0'\n", false),
    right("config lan_only 'lan_only'\n\toption enabled '1'\n", true),
    right(
        "config lan_only 'lan_only'\n\toption enabled '1'\n\toption level 'strict'\n\toption mirror '0'\n",
        true,
    ),
    Text {
        observe: true,
        ..right(
            "config lan_only 'lan_only'\n\toption enabled '1'\n\toption observe '1'\n",
            true,
        )
    },
    // The clock starts at noon, UTC.
    right(
        "config lan_only 'lan_only'\n\toption enabled '1'\n\toption start '12:01'\n\toption stop '12:02'\n",
        true,
    ),
    wrong(
        "config lan_only 'lan_only'\n\toption enabled '0'\n\toption level 'hard'\n",
        false,
    ),
    wrong(
        "config lan_only 'lan_only'\n\toption enabled '0'\n\tlist source_zone 'lna'\n",
        false,
    ),
    Text {
        observe: true,
        ..wrong(
            "config lan_only 'lan_only'\n\toption enabled '0'\n\toption observe '1'\n\tlist dest_zone 'wna'\n",
            false,
        )
    },
    wrong("config lan_only 'lan_only'\n\toption enabled '1\n", true),
];

#[derive(Debug, Clone)]
enum Step {
    Switch {
        on: bool,
        persist: bool,
    },
    Pause(i64),
    Resume,
    Call(&'static str),
    Write(usize),
    Wake(Wake),
    LoseTable,
    LoseRules,
    LosePause,
    ApplyFails(bool),
    VerifyFails(bool),
    SaveFails(bool),
    LinksFail(bool),
    Pass(u64),
    ClockJumps(i64),
    Respawn,
    /// A gate's method, with an address that may be missing and seconds likewise.
    Gate(&'static str, Option<usize>, Option<i64>),
    /// The kernel lists a source, and may tell.
    Proves(usize, bool),
    /// The kernel takes a source off, and may tell.
    Forgets(usize, bool),
    /// A session of the source was closed.
    Closes(usize),
    EditFails(bool),
}

const SOURCES: [&str; 5] = [
    "203.0.113.1",
    "203.0.113.2",
    "203.0.113.3",
    "2001:db8::",
    "2001:db8:0:1::",
];

fn step() -> impl Strategy<Value = Step> {
    let wake = prop_oneof![
        Just(Wake::Config),
        Just(Wake::Links),
        Just(Wake::Netifd),
        Just(Wake::BusUp),
        Just(Wake::BusDown("gone".into())),
        Just(Wake::Nftables(Some("nft".into()))),
        Just(Wake::Nftables(None)),
    ];
    prop_oneof![
        3 => (any::<bool>(), any::<bool>()).prop_map(|(on, persist)| Step::Switch { on, persist }),
        2 => prop_oneof![1..4_i64, -1..1_i64, Just(i64::MAX)].prop_map(Step::Pause),
        1 => Just(Step::Resume),
        2 => prop_oneof![Just("status"), Just("reload"), Just("reload")].prop_map(Step::Call),
        4 => (0..TEXTS.len()).prop_map(Step::Write),
        3 => wake.prop_map(Step::Wake),
        1 => Just(Step::LoseTable),
        1 => Just(Step::LoseRules),
        1 => Just(Step::LosePause),
        1 => any::<bool>().prop_map(Step::ApplyFails),
        1 => any::<bool>().prop_map(Step::VerifyFails),
        1 => any::<bool>().prop_map(Step::SaveFails),
        1 => any::<bool>().prop_map(Step::LinksFail),
        4 => prop_oneof![0..50_u64, 50..2_000_u64, 2_000..200_000_u64].prop_map(Step::Pass),
        1 => prop_oneof![-100_000_000..100_000_000_i64, Just(-2_000_000_000)].prop_map(Step::ClockJumps),
        1 => Just(Step::Respawn),
        4 => (
            prop_oneof![Just("gate_admit"), Just("gate_admit"), Just("gate_remove"), Just("gate_flush"), Just("gate_list")],
            prop::option::of(0..SOURCES.len()),
            prop::option::of(-1..200_i64),
        )
            .prop_map(|(method, source, seconds)| Step::Gate(method, source, seconds)),
        3 => (0..SOURCES.len(), any::<bool>()).prop_map(|(source, told)| Step::Proves(source, told)),
        1 => (0..SOURCES.len(), any::<bool>()).prop_map(|(source, told)| Step::Forgets(source, told)),
        1 => (0..SOURCES.len()).prop_map(Step::Closes),
        1 => any::<bool>().prop_map(Step::EditFails),
    ]
}

/// What the switch should be: the last of what was accepted and what was called.
struct Model {
    accepted: Text,
    enabled: bool,
    note: Option<Override>,
}

impl Model {
    fn on(&self) -> bool {
        self.note.map_or(self.enabled, |note| note.on)
    }

    /// The files were read by a daemon that has accepted something before.
    fn read(&mut self, text: Text, enabled: bool) {
        if text.refused {
            return;
        }
        self.accepted = text;
        self.enabled = enabled;
        self.note = self.note.filter(|note| note.configured == enabled);
    }

    fn start(&mut self, text: Text, enabled: bool) {
        self.accepted = text;
        self.enabled = enabled;
        self.note = self.note.filter(|note| note.configured == enabled);
    }

    fn switch(&mut self, on: bool, saved: bool) {
        if saved {
            self.enabled = on;
            self.note = None;
        } else {
            self.note = Some(Override {
                on,
                configured: self.enabled,
            })
            .filter(|note| note.on != note.configured);
        }
    }
}

fn address(source: usize) -> IpAddr {
    SOURCES[source].parse().unwrap()
}

struct Trial {
    play: Play,
    model: Model,
    file: Text,
    /// `lan_only.enabled` in the file, which saving changes.
    file_enabled: bool,
}

impl Trial {
    fn new(first: usize) -> Self {
        let file = TEXTS[first];
        let mut trial = Self {
            play: Play::new(file.text),
            model: Model {
                accepted: file,
                enabled: file.enabled,
                note: None,
            },
            file,
            file_enabled: file.enabled,
        };
        trial.play.event(Event::Started);
        trial
    }

    fn ask(&mut self, method: &str, arguments: Value) -> Value {
        let Value::Object(arguments) = arguments else {
            panic!("{arguments} is no table")
        };
        self.play.event(Event::Call {
            id: caller(),
            method: method.into(),
            arguments,
        });
        assert_eq!(
            self.play.answers.len(),
            1,
            "{method} is answered once, and when its chain has ended"
        );
        self.play.answers.pop().expect("one").expect("status 0")
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Switch { on, persist } => {
                // A file that is no UCI cannot be saved to.
                let saved = persist && !self.play.save_fails && uci::parse(self.play.lanward.as_bytes()).is_ok();
                let answer = self.ask("lan_only", json!({ "enabled": on, "persist": persist }));
                self.model.switch(on, saved);
                self.file_enabled = if saved { on } else { self.file_enabled };
                assert_eq!(answer["enabled"], on);
                assert!(!persist || saved || answer["error"].is_string(), "{answer}");
                self.judge(&answer);
            }
            Step::Pause(minutes) => {
                let answer = self.ask("pause", json!({ "minutes": minutes }));
                let began = self.play.reading().paused.is_some();
                assert!(answer["error"].is_string() || began, "{answer}");
                self.judge(&answer);
            }
            Step::Resume => {
                let answer = self.ask("resume", json!({}));
                self.judge(&answer);
            }
            Step::Call("reload") => {
                self.model.read(self.file, self.file_enabled);
                let answer = self.ask("reload", json!({}));
                assert!(!self.file.refused || answer["applied"] == false, "{answer}");
                let is_wanted = self.play.table == self.play.state.wanted;
                assert!(
                    answer["applied"] == false || is_wanted,
                    "answered before it was applied"
                );
            }
            Step::Call(method) => drop(self.ask(method, json!({}))),
            Step::Write(index) => {
                self.file = TEXTS[index];
                self.file_enabled = self.file.enabled;
                self.play.lanward = self.file.text.into();
            }
            Step::Wake(wake) => {
                if wake == Wake::Config {
                    self.model.read(self.file, self.file_enabled);
                }
                self.play.event(Event::Wake(wake));
            }
            Step::LoseTable => self.play.lose_table(),
            Step::LoseRules => {
                let Some(table) = self.play.table.clone() else { return };
                let mut table = (*table).clone();
                table.chains.iter_mut().for_each(|chain| chain.rules.clear());
                self.play.table = Some(Rc::new(table));
                self.play.event(Event::Wake(Wake::Nftables(Some("nft".into()))));
            }
            Step::LosePause => {
                self.play.pause_ends = None;
                self.play.event(Event::Wake(Wake::Nftables(Some("nft".into()))));
            }
            Step::ApplyFails(fails) => self.play.apply_fails = fails.then_some("Operation not permitted"),
            Step::VerifyFails(fails) => self.play.verify_fails = fails,
            Step::SaveFails(fails) => self.play.save_fails = fails,
            Step::LinksFail(fails) => self.play.links_fail = fails,
            Step::Pass(milliseconds) => self.play.pass(milliseconds),
            Step::ClockJumps(seconds) => self.play.now.unix = self.play.now.unix.saturating_add_signed(seconds),
            Step::Gate(method, source, seconds) => self.gate(method, source, seconds),
            Step::Proves(source, told) => {
                let Some(set) = self.gate_set(source) else { return };
                let ends = self.play.now.monotonic + 60_000;
                let list = self.play.lists.entry(set).or_default();
                list.retain(|(known, _)| *known != address(source));
                list.push((address(source), Some(ends)));
                if told {
                    self.hear("admit ssh imaps", source);
                }
            }
            Step::Forgets(source, told) => {
                for list in self.play.lists.values_mut() {
                    list.retain(|(known, _)| *known != address(source));
                }
                if told {
                    self.hear("remove ssh", source);
                }
            }
            Step::Closes(source) => self.hear("closed ssh", source),
            Step::EditFails(fails) => self.play.edit_fails = fails.then_some("Device or resource busy"),
            Step::Respawn => {
                self.model.start(self.file, self.file_enabled);
                self.play.state = State::default();
                self.play.event(Event::Started);
            }
        }
        assert!(
            self.play.answers.is_empty(),
            "nobody is answered twice, or without having asked"
        );
    }

    /// The set that the kernel lists a source in, if there is one.
    fn gate_set(&self, source: usize) -> Option<String> {
        let set = if address(source).is_ipv6() {
            "gate6_ssh"
        } else {
            "gate4_ssh"
        };
        self.play.table.as_ref()?.set(set).map(|set| set.name.clone())
    }

    fn hear(&mut self, what: &str, source: usize) {
        let heard = crate::gate::Heard::read(&format!("lanward {what}"), address(source));
        self.play.event(Event::Heard(heard.into_iter().collect()));
    }

    /// Answered once, and what it says is so is so in the kernel.
    fn gate(&mut self, method: &'static str, source: Option<usize>, seconds: Option<i64>) {
        let mut arguments = json!({ "gate": "ssh" });
        if let Some(source) = source {
            arguments["address"] = SOURCES[source].into();
        }
        if let Some(seconds) = seconds {
            arguments["seconds"] = seconds.into();
        }
        let Value::Object(arguments) = arguments else { return };
        self.play.event(Event::Call {
            id: caller(),
            method: method.into(),
            arguments,
        });
        assert_eq!(self.play.answers.len(), 1, "{method} is answered once");
        let Some(Ok(answer)) = self.play.answers.pop() else {
            return;
        };
        let is_in_kernel = |source: usize| {
            let lists = self.play.lists_now();
            let mut all = lists.values().flatten();
            all.any(|listed| listed.address == address(source))
        };
        match (method, source) {
            ("gate_admit", Some(source)) => assert!(answer["ok"] != true || is_in_kernel(source), "{answer}"),
            ("gate_remove", Some(source)) => assert!(answer["ok"] != true || !is_in_kernel(source), "{answer}"),
            ("gate_flush", _) if answer.get("error").is_none() => {
                assert!(self.play.lists_now().values().all(Vec::is_empty));
            }
            _ => {}
        }
    }

    /// After `status` has read the kernel, what is known is what the kernel has.
    fn judge_lists(&self) {
        let play = &self.play;
        if play.table.is_none() || play.edit_fails.is_some() {
            return;
        }
        let known: Set<IpAddr> = play
            .state
            .lists
            .sources("ssh")
            .into_iter()
            .map(|(source, _)| source)
            .collect();
        let kernel: Set<IpAddr> = play
            .lists_now()
            .values()
            .flatten()
            .map(|listed| listed.address)
            .collect();
        if play.state.gates().is_some_and(|gates| !gates.list.is_empty()) {
            assert_eq!(known, kernel);
        }
    }

    /// The kernel does what `enforced` says it does.
    fn judge(&self, lan_only: &Value) {
        if lan_only["enforced"] != true {
            return;
        }
        let play = &self.play;
        let table = play.table.as_ref().expect("a table that is enforced");
        assert!(
            play.on && play.reading().paused.is_none(),
            "the switch is in and nothing is paused"
        );
        assert!(table
            .chains
            .iter()
            .any(|chain| chain.name == "lan_only_out" && !chain.rules.is_empty()));
        let drops = |rule: &crate::nft::Rule| rule.statements.contains(&crate::nft::Statement::Drop);
        assert!(
            table.chains.iter().any(|chain| chain.rules.iter().any(drops)),
            "it drops"
        );
        assert!(!play.state.out_of_hours(play.now));
    }

    fn check(&mut self) {
        let status = self.ask("status", json!({}));
        self.judge(&status["lan_only"]);
        self.judge_lists();
        assert_eq!(status["lan_only"]["enabled"], self.model.on(), "{:?}", self.file);
        assert_eq!(status["lan_only"]["observe"], self.model.accepted.observe);
        let note = self
            .play
            .run_state
            .as_deref()
            .and_then(|note| Override::decode(note.as_bytes()));
        assert_eq!(note, self.model.note, "what a next daemon would read");
    }

    /// Nothing goes wrong any more and time passes: everything comes right, and then nothing happens.
    fn quiet(&mut self) {
        self.play.apply_fails = None;
        self.play.verify_fails = false;
        self.play.links_fail = false;
        self.play.edit_fails = None;
        self.play.pass(8 * 60_000);
        let status = self.ask("status", json!({}));
        assert_eq!(
            self.play.table, self.play.state.wanted,
            "the kernel holds what is wanted"
        );
        assert_eq!(status.get("error"), None);
        let (on, observe) = (self.model.on(), self.model.accepted.observe);
        assert_eq!(self.play.on, on || observe);
        let holds =
            on && !observe && !self.play.state.out_of_hours(self.play.now) && self.play.reading().paused.is_none();
        assert_eq!(status["lan_only"]["enforced"], holds, "{status}");
        assert_eq!(status["lan_only"]["paused_seconds"], 0, "no pause was longer");
        let (applies, deadlines) = (self.play.applies, self.play.deadlines);
        let before = self.play.now.unix;
        self.play.pass(60 * 60_000);
        let has_schedule = self.model.accepted.text.contains("start");
        // Where the hour began a new week (UTC), the schedule's windows are new, unless the clock is not set.
        let new_windows = u32::from(
            has_schedule && crate::schedule::next_refresh(before) != crate::schedule::next_refresh(self.play.now.unix),
        );
        assert!(self.play.applies - applies <= new_windows, "nothing else has changed");
        // A schedule looks at the clock once a minute, the ledger at its counters, and now and then at its file; nothing else does.
        let minutes = u32::from(has_schedule) + u32::from(self.play.state.config.ledger.enabled);
        let most = 64 * minutes;
        assert!(
            self.play.deadlines - deadlines <= most,
            "{} wake-ups",
            self.play.deadlines - deadlines
        );
        assert_eq!(self.play.firewall, LAN);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order(first in 0..TEXTS.len(), steps in prop::collection::vec(step(), 0..40)) {
        let mut trial = Trial::new(first);
        trial.check();
        for step in steps {
            trial.take(step);
            trial.check();
        }
        trial.quiet();
    }
}
