//! Scripts of (time, event) → actions on a virtual clock. The kernel, the files and the bus are played by [`Play`].

use super::*;
use crate::event::{Reading, Reply, Verified};
use crate::gate::Listed;
use crate::lan_only::Doomed;
use crate::nft::netlink::Edit;
use crate::system::conntrack::Session;
use crate::system::nftables::{Counter, Verdict};
use crate::system::ubus::Status;
use serde_json::json;
use serde_json::Map;
use std::collections::BTreeMap;

pub(super) const LAN: &str = "config zone\n\toption name 'lan'\n\tlist network 'lan'\n\
    config zone\n\toption name 'wan'\n\tlist network 'wan'\n";
const NETWORK: &str = "config interface 'lan'\n\toption device 'br-lan'\n\toption proto 'static'\n\
    config interface 'wan'\n\toption device 'wan0'\n\toption proto 'dhcp'\n";

/// A router on a virtual clock: carries out actions as the daemon would, and remembers what was seen.
pub(super) struct Play {
    pub(super) state: State,
    pub(super) now: Now,
    pub(super) lanward: String,
    pub(super) firewall: String,
    pub(super) run_state: Option<String>,
    /// The kernel's table.
    pub(super) table: Option<Rc<Table>>,
    /// What a reload of the firewall would load, and whether it was old when conntrack was last looked through, which takes its time.
    pub(super) script: Option<Rc<Table>>,
    pub(super) script_was_old: bool,
    pub(super) on: bool,
    pub(super) pause_ends: Option<u64>,
    pub(super) apply_fails: Option<&'static str>,
    pub(super) save_fails: bool,
    pub(super) cut_fails: Option<&'static str>,
    /// The configuration file is there and cannot be read.
    pub(super) unreadable: bool,
    pub(super) no_copies: Option<&'static str>,
    pub(super) unreadable_network: bool,
    pub(super) network: &'static str,
    pub(super) verify_fails: bool,
    pub(super) links_fail: bool,
    pub(super) surveys: u32,
    pub(super) deadlines: u32,
    pub(super) flows: u32,
    pub(super) applies: u32,
    pub(super) cuts: u32,
    /// What conntrack has that the mode would end, and what for it was asked last.
    pub(super) doomed: Result<Vec<Doomed>, String>,
    pub(super) previewed: Option<crate::policy::LanOnly>,
    pub(super) saved: Vec<bool>,
    pub(super) log: Vec<String>,
    pub(super) told: Vec<(&'static str, Value)>,
    pub(super) answers: Vec<Result<Value, Status>>,
    pub(super) exited: bool,
    /// Grows with every table that is made.
    pub(super) handle: u64,
    /// The gates' lists: address and monotonic end.
    pub(super) lists: BTreeMap<String, Vec<(IpAddr, Option<u64>)>>,
    pub(super) edits: u32,
    pub(super) edit_fails: Option<&'static str>,
    pub(super) links: Links,
    /// Keys' files by their paths, and what was accepted before.
    pub(super) key_files: BTreeMap<String, Vec<u8>>,
    pub(super) seen: Result<Option<Vec<u8>>, String>,
    pub(super) sessions: Vec<Session>,
    /// How often conntrack was read, and the milliseconds that takes.
    pub(super) dumps: u32,
    pub(super) dump_takes: u64,
    /// Inner addresses of VPN peers, and where they are.
    pub(super) endpoints: Vec<(IpAddr, IpAddr)>,
    pub(super) ledger: PlayedLedger,
}

/// The kernel's counters and the ledger's files.
#[derive(Default)]
pub(super) struct PlayedLedger {
    pub(super) counted: crate::ledger::counts::Reading,
    pub(super) file: Option<Vec<u8>>,
    pub(super) aside: Option<Vec<u8>>,
    pub(super) run: Option<Vec<u8>>,
    pub(super) synchronised: bool,
    pub(super) write_fails: Option<&'static str>,
    pub(super) commits: u32,
}

pub(super) fn caller() -> CallId {
    CallId::for_test()
}

impl Play {
    pub(super) fn new(lanward: &str) -> Self {
        Self {
            state: State::default(),
            now: Now {
                monotonic: 0,
                unix: 1_795_608_000,
            },
            lanward: lanward.into(),
            firewall: LAN.into(),
            run_state: None,
            table: None,
            on: false,
            pause_ends: None,
            apply_fails: None,
            save_fails: false,
            cut_fails: None,
            unreadable: false,
            no_copies: None,
            unreadable_network: false,
            network: NETWORK,
            verify_fails: false,
            links_fail: false,
            surveys: 0,
            deadlines: 0,
            flows: 0,
            applies: 0,
            cuts: 0,
            doomed: Ok(Vec::new()),
            previewed: None,
            saved: Vec::new(),
            log: Vec::new(),
            told: Vec::new(),
            answers: Vec::new(),
            exited: false,
            handle: 0,
            script: None,
            script_was_old: false,
            lists: BTreeMap::new(),
            edits: 0,
            edit_fails: None,
            links: Links::default(),
            key_files: BTreeMap::new(),
            seen: Ok(None),
            sessions: Vec::new(),
            dumps: 0,
            dump_takes: 0,
            endpoints: Vec::new(),
            ledger: PlayedLedger::default(),
        }
    }

    /// The ledger is on by default and wakes the daemon every minute: only where it is named.
    fn lanward_text(&self) -> String {
        let off = "\nconfig ledger 'ledger'\n\toption enabled '0'\n";
        let names = self.lanward.contains("config ledger");
        format!("{}{}", self.lanward, if names { "" } else { off })
    }

    pub(super) fn started(lanward: &str) -> Self {
        let mut play = Self::new(lanward);
        play.event(Event::Started);
        play
    }

    pub(super) fn event(&mut self, event: Event) {
        let mut queue: std::collections::VecDeque<Action> = self.state.handle(event, self.now).into();
        let mut steps = 0;
        while let Some(action) = queue.pop_front() {
            steps += 1;
            // As many as there can be told in a minute, and more.
            assert!(steps < 1_000, "a chain without an end");
            let Some(event) = self.perform(action) else { continue };
            for action in self.state.handle(event, self.now).into_iter().rev() {
                queue.push_front(action);
            }
        }
    }

    /// Lets the time pass, with every deadline on the way.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        let end = self.now.monotonic + milliseconds;
        let mut deadlines = 0;
        while let Some(due) = self.state.next_deadline().filter(|due| *due <= end) {
            deadlines += 1;
            self.deadlines += 1;
            assert!(deadlines < 10_000, "a deadline that does not go away");
            let step = due.saturating_sub(self.now.monotonic);
            self.now.unix += (self.now.monotonic % 1000 + step) / 1000;
            self.now.monotonic += step;
            self.event(Event::Deadline);
        }
        self.now.unix += end.saturating_sub(self.now.monotonic) / 1000;
        self.now.monotonic = end.max(self.now.monotonic);
    }

    pub(super) fn call(&mut self, method: &str, arguments: Value) -> Value {
        let Value::Object(arguments) = arguments else {
            panic!("{arguments} is no table")
        };
        self.event(Event::Call {
            id: caller(),
            method: method.into(),
            arguments,
        });
        self.answers.pop().expect("an answer").expect("a status of 0")
    }

    pub(super) fn reading(&self) -> Reading {
        let left = self
            .pause_ends
            .and_then(|end| end.checked_sub(self.now.monotonic))
            .filter(|left| *left > 0);
        Reading {
            present: self.table.is_some(),
            on: self.on,
            paused: left,
            handle: self.handle,
            lists: self.lists_now(),
            ..Reading::default()
        }
    }

    /// The lists without what has ended.
    pub(super) fn lists_now(&self) -> crate::gate::Readings {
        let now = self.now.monotonic;
        let left = |ends: Option<u64>| ends.map(|ends| ends.saturating_sub(now));
        let of_list = |list: &Vec<(IpAddr, Option<u64>)>| {
            let alive = list.iter().filter(|(_, ends)| ends.is_none_or(|ends| ends > now));
            alive
                .map(|(address, ends)| Listed {
                    address: *address,
                    left: left(*ends),
                })
                .collect()
        };
        self.lists
            .iter()
            .map(|(set, list)| (set.clone(), of_list(list)))
            .collect()
    }

    fn edit(&mut self, edits: &[Edit]) -> Result<(), String> {
        self.edits += 1;
        if self.table.is_none() {
            return Err("no such table".into());
        }
        if let Some(error) = self.edit_fails {
            return Err(error.into());
        }
        let before = self.lists.clone();
        for edit in edits {
            match edit {
                Edit::Add { set, element } => {
                    let address = ruleset::address_of(&element.key).unwrap();
                    let ends = element
                        .timeout
                        .map(|seconds| self.now.monotonic + u64::from(seconds) * 1000);
                    let list = self.lists.entry(set.clone()).or_default();
                    list.retain(|(known, _)| *known != address);
                    list.push((address, ends));
                }
                Edit::Renew { set, element } => {
                    let address = ruleset::address_of(&element.key).unwrap();
                    let ends = element
                        .timeout
                        .map(|seconds| self.now.monotonic + u64::from(seconds) * 1000);
                    let known = self.lists.entry(set.clone()).or_default().iter_mut();
                    let known = known.filter(|(known, _)| *known == address);
                    known.for_each(|entry| entry.1 = ends);
                }
                Edit::Delete { set, element } => {
                    let address = ruleset::address_of(&element.key).unwrap();
                    self.lists
                        .entry(set.clone())
                        .or_default()
                        .retain(|(known, _)| *known != address);
                }
                Edit::Flush { set } => self.lists.entry(set.clone()).or_default().clear(),
            }
        }
        let sets = self.table.iter().flat_map(|table| &table.sets);
        let is_over = |set: &crate::nft::Set| {
            let count = self.lists.get(&set.name).map_or(0, Vec::len);
            set.size.is_some_and(|size| count > size as usize)
        };
        if sets.into_iter().any(is_over) {
            self.lists = before;
            return Err("Too many open files in system (os error 23)".into());
        }
        Ok(())
    }

    /// What another program does with `nft flush ruleset`.
    pub(super) fn lose_table(&mut self) {
        self.table = None;
        self.lists.clear();
        self.pause_ends = None;
        self.event(Event::Wake(Wake::Nftables(Some("nft".into()))));
    }

    fn switch_is_in(table: &Table) -> bool {
        let set = table.sets.iter().find(|set| set.name == ruleset::ON).unwrap();
        matches!(&set.contents, crate::nft::Contents::Configuration(elements) if !elements.is_empty())
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::ReadConfig(call) => {
                let texts = Texts {
                    lanward: match self.unreadable {
                        true => Err("Input/output error".into()),
                        false => Ok(Some(self.lanward_text().into_bytes())),
                    },
                    firewall: Ok(Some(self.firewall.clone().into_bytes())),
                    network: match self.unreadable_network {
                        true => Err("Input/output error".into()),
                        false => Ok(Some(self.network.as_bytes().to_vec())),
                    },
                    run_state: self.run_state.clone().map(String::into_bytes),
                    no_copies: self.no_copies.map(str::to_owned),
                    ..Texts::default()
                };
                Some(Event::Configured(Box::new(texts), call))
            }
            Action::Survey => {
                self.surveys += 1;
                let links = if self.links_fail {
                    Err("no buffer space".into())
                } else {
                    Ok(self.links.clone())
                };
                Some(Event::Surveyed(Box::new(Survey {
                    netifd: Netifd::NotAsked,
                    links,
                })))
            }
            Action::Apply(table) => {
                self.applies += 1;
                if let Some(error) = self.apply_fails {
                    return Some(Event::Applied(Err(error.into())));
                }
                self.on = Self::switch_is_in(&table);
                self.handle += u64::from(self.table.is_none());
                self.lists.retain(|set, _| table.set(set).is_some());
                self.table = Some(table);
                Some(Event::Applied(Ok(())))
            }
            Action::Verify(_) if self.verify_fails => {
                Some(Event::Verified(Err("others change it all the time".into())))
            }
            Action::Verify(table) => {
                let verdict = match &self.table {
                    None => Verdict::Missing,
                    Some(kernel) if *kernel == table => Verdict::Same,
                    Some(_) => Verdict::Differs(vec!["something".into()]),
                };
                Some(Event::Verified(Ok(Verified {
                    verdict,
                    reading: self.reading(),
                })))
            }
            Action::Switch { element, then } => {
                let result = match &self.table {
                    None => Err("no such table".to_string()),
                    Some(table) => {
                        let mut table = (**table).clone();
                        let set = table.sets.iter_mut().find(|set| set.name == ruleset::ON).unwrap();
                        let elements = element.then(|| ruleset::udp_element(None)).into_iter().collect();
                        set.contents = crate::nft::Contents::Configuration(elements);
                        self.table = Some(Rc::new(table));
                        self.on = element;
                        self.pause_ends = None;
                        Ok(())
                    }
                };
                Some(Event::Switched { result, then })
            }
            Action::Cut { then, .. } => {
                self.cuts += 1;
                self.script_was_old = self.script != self.table;
                Some(Event::Cut {
                    flows: std::mem::take(&mut self.flows),
                    error: self.cut_fails.map(str::to_owned),
                    then,
                })
            }
            Action::Preview { scope, call } => {
                self.previewed = Some(scope.lan_only);
                let result = self.doomed.clone();
                Some(Event::Previewed { result, call })
            }
            Action::Save { enabled, then } => {
                if self.save_fails {
                    return Some(Event::Saved {
                        result: Err("read-only file system".into()),
                        then,
                    });
                }
                let value = if enabled { "1" } else { "0" };
                let text = uci::set_option(self.lanward.as_bytes(), "lan_only", "enabled", value);
                let Ok(text) = text else {
                    return Some(Event::Saved {
                        result: Err("not UCI".into()),
                        then,
                    });
                };
                self.lanward = String::from_utf8(text).unwrap();
                self.saved.push(enabled);
                Some(Event::Saved { result: Ok(()), then })
            }
            Action::Pause { seconds, call } if self.table.is_none() => Some(Event::Paused {
                seconds,
                result: Err("no such table".into()),
                call,
            }),
            Action::Pause { seconds, call } => {
                let end = self.now.monotonic + u64::from(seconds) * 1000;
                self.pause_ends = (seconds > 0).then_some(end);
                Some(Event::Paused {
                    seconds,
                    result: Ok(()),
                    call,
                })
            }
            Action::Read { call, reply, .. } => Some(Event::Read {
                result: Ok(self.reading()),
                call,
                reply,
            }),
            Action::Look(_) => Some(Event::Looked(Ok(self.reading()))),
            Action::Edit { edits, then, .. } => Some(Event::Edited {
                result: self.edit(&edits),
                then,
            }),
            Action::ReadKeys(files) => {
                let text = |file: &crate::event::KeyFile| match self.key_files.get(&file.path) {
                    Some(text) => Ok(zeroize::Zeroizing::new(text.clone())),
                    None => Err(format!("{}: no such file", file.path)),
                };
                let keys = files.into_iter().map(|file| (file.clone(), text(&file))).collect();
                Some(Event::KeysRead(crate::event::ReadKeys {
                    keys,
                    seen: self.seen.clone(),
                }))
            }
            Action::LoadLedger => Some(Event::LedgerLoaded {
                file: Ok(self.ledger.file.clone()),
                run: self.ledger.run.clone(),
            }),
            Action::SetLedgerAside => {
                self.ledger.aside = self.ledger.file.take();
                Some(Event::LedgerSetAside(Ok("/etc/lanward/ledger.aside".into())))
            }
            Action::ReadLedger(asked) => {
                let counted = &mut self.ledger.counted;
                counted.handle = self.handle;
                Some(Event::LedgerRead {
                    result: Ok(self.table.is_some().then(|| counted.clone())),
                    synchronised: self.ledger.synchronised,
                    asked,
                })
            }
            Action::ForgetSubjects(subjects) => {
                self.ledger
                    .counted
                    .subjects
                    .retain(|(known, _)| !subjects.contains(known));
                Some(Event::SubjectsForgotten(Ok(subjects)))
            }
            Action::KeepCounts(bytes) => {
                self.ledger.run = Some(bytes);
                None
            }
            Action::CommitLedger { bytes, unix, call, .. } => {
                let result = self.ledger.write_fails.map_or(Ok(()), |why| Err(why.to_string()));
                if result.is_ok() {
                    self.ledger.file = Some(bytes);
                    self.ledger.commits += 1;
                }
                Some(Event::LedgerCommitted { result, unix, call })
            }
            Action::EraseLedger(call) => {
                self.ledger.file = None;
                Some(Event::LedgerErased { result: Ok(()), call })
            }
            Action::KeepSeen(bytes) => {
                self.seen = Ok(Some(bytes));
                None
            }
            Action::MakeKey(new) => {
                let directory = std::path::Path::new("/etc/lanward");
                let path = match crate::system::keys::path(directory, &new.name) {
                    Ok(path) => path.display().to_string(),
                    Err(why) => return Some(Event::KeyMade { new, result: Err(why) }),
                };
                if self.key_files.contains_key(&path) {
                    return Some(Event::KeyMade {
                        new,
                        result: Err("is there already".into()),
                    });
                }
                let keys = crate::spa::Keys::from_random(&[7; 96]);
                self.key_files.insert(path.clone(), keys.file().as_bytes().to_vec());
                Some(Event::KeyMade {
                    new,
                    result: Ok((path, keys)),
                })
            }
            Action::RemoveKey { name, path, call } => {
                let path = path.unwrap_or_else(|| format!("/etc/lanward/{name}.key"));
                let is_ours = path.starts_with("/etc/lanward/");
                let result = is_ours
                    .then(|| drop(self.key_files.remove(&path)))
                    .ok_or(format!("{path}: remove it by hand"));
                Some(Event::KeyRemoved { name, result, call })
            }
            Action::Sessions(interest) => {
                self.dumps += 1;
                self.now.monotonic += self.dump_takes;
                Some(Event::Sessions(Ok(self
                    .sessions
                    .iter()
                    .filter(|session| interest.wants(session))
                    .copied()
                    .collect())))
            }
            Action::FindEndpoint {
                inner,
                gate,
                seconds,
                call,
                ..
            } => {
                let known = self.endpoints.iter().find(|(address, _)| *address == inner);
                Some(Event::Endpoint {
                    inner,
                    endpoint: known.map(|(_, endpoint)| *endpoint),
                    gate,
                    seconds,
                    call,
                })
            }
            Action::WriteRunState(state) => {
                self.run_state = state;
                None
            }
            Action::Answer(_, answer) => {
                self.answers.push(answer);
                None
            }
            Action::Notify(name, data) => {
                self.told.push((name, data));
                None
            }
            Action::Log(level, line) => {
                self.log.push(format!("{level} {line}"));
                None
            }
            Action::Exit => {
                self.exited = true;
                None
            }
            Action::Relay(..) | Action::EndRelays | Action::ReadPublicKeys(_) | Action::MakeRelayKey { .. } => None,
            Action::WriteScript(table) => {
                self.script = Some(table);
                None
            }
            Action::Diagnose { .. } | Action::LogLevel(_) => None,
        }
    }

    pub(super) fn logged(&self, part: &str) -> usize {
        self.log.iter().filter(|line| line.contains(part)).count()
    }
}

const OFF: &str = "config lan_only 'lan_only'\n\toption enabled '0'\n";
const ON: &str = "config lan_only 'lan_only'\n\toption enabled '1'\n";

#[test]
fn a_preview_names_what_would_end_whatever_the_switch_says_and_ends_nothing() {
    let flow = |dest_port| Doomed {
        source: "192.168.1.20".parse().unwrap(),
        source_port: 50_000,
        dest: "2001:db8::7".parse().unwrap(),
        dest_port,
        inbound: dest_port == 50_001,
    };
    for enabled in ["0", "1"] {
        let mut play = Play::started(&format!(
            "config lan_only\n\toption enabled '{enabled}'\n\toption level 'strict'\n"
        ));
        let cuts = play.cuts;
        play.doomed = Ok((50_001..=50_100).map(flow).collect());
        let answer = play.call("preview", json!({}));
        assert_eq!(answer["count"], 100);
        assert_eq!(answer["flows"].as_array().unwrap().len(), 64);
        let first = json!({ "source": "192.168.1.20", "source_port": 50_000, "dest": "2001:db8::7", "dest_port": 50_001, "direction": "in" });
        assert_eq!(answer["flows"][0], first);
        assert_eq!(answer["flows"][1]["direction"], "out");
        assert_eq!(play.previewed.take().unwrap().ports[0].from, 1024);
        play.doomed = Err("no such module".into());
        let answer = play.call("preview", json!({}));
        assert_eq!(
            answer,
            json!({ "error": "running flows cannot be read: no such module" })
        );
        assert_eq!(play.cuts, cuts);
    }
    let mut play = Play::new("");
    let answer = play.call("preview", json!({}));
    assert!(answer["error"].is_string(), "{answer}");
}

#[test]
fn it_starts_applies_once_and_is_idle() {
    let mut play = Play::started(ON);
    assert!(play.on);
    assert_eq!((play.applies, play.cuts), (1, 1));
    assert_eq!(play.state.next_deadline(), None);
    play.event(Event::Wake(Wake::Links));
    play.pass(1000);
    assert_eq!(play.applies, 1, "nothing has changed");
    assert_eq!(play.state.next_deadline(), None, "idle means no wake-up");
}

/// Kernels before 6.5 refuse a script that gives a set another timeout than it has: with it the whole of fw4's rules.
#[test]
fn a_reload_of_the_firewall_finds_the_table_that_was_applied_before_anything_that_takes_time() {
    let mut play = Play::started(ON);
    assert_eq!((play.cuts, play.script_was_old), (1, false));
    play.lanward = ON.replace("option enabled '1'", "option enabled '1'\n\toption mirror '0'");
    assert_eq!(play.call("reload", json!({}))["applied"], true);
    assert_eq!((play.applies, play.cuts, play.script_was_old), (2, 2, false));
}

#[test]
fn a_table_that_an_earlier_daemon_left_is_not_applied_again() {
    let first = Play::started(ON);
    let mut play = Play::new(ON);
    play.table.clone_from(&first.table);
    play.on = true;
    play.pause_ends = Some(90_000);
    play.event(Event::Started);
    assert_eq!(play.applies, 0);
    assert_eq!(play.call("status", json!({}))["lan_only"]["paused_seconds"], 90);
}

#[test]
fn the_switch_cuts_saves_and_answers_in_this_order() {
    let mut play = Play::started(OFF);
    play.flows = 3;
    let answer = play.call("lan_only", json!({ "enabled": true }));
    assert_eq!(
        (answer["enabled"].as_bool(), answer["enforced"].as_bool()),
        (Some(true), Some(true))
    );
    assert_eq!(answer["flows_cut"], 3);
    assert_eq!(answer.get("error"), None);
    assert_eq!(play.saved, [true]);
    assert_eq!(play.applies, 1, "a switch is an element, not an apply");
    assert_eq!(play.told.iter().filter(|(name, _)| *name == "lan_only").count(), 1);
    play.event(Event::Wake(Wake::Nftables(None)));
    play.pass(200);
    assert_eq!(play.applies, 1, "what is wanted has followed the switch");
}

#[test]
fn a_temporary_switch_outlives_the_daemon_and_not_a_changed_configuration() {
    let mut play = Play::started(OFF);
    play.call("lan_only", json!({ "enabled": true, "persist": false }));
    assert!(play.saved.is_empty());
    let note = play.run_state.clone().expect("a note in the run directory");

    let mut next = Play::new(OFF);
    next.run_state = Some(note);
    next.event(Event::Started);
    assert!(next.on, "a respawned daemon keeps it");
    next.lanward = ON.into();
    next.event(Event::Wake(Wake::Config));
    next.lanward = OFF.into();
    next.event(Event::Wake(Wake::Config));
    assert!(!next.on, "the configuration has spoken since");
}

#[test]
fn a_switch_that_cannot_be_saved_holds_and_says_so() {
    let mut play = Play::started(OFF);
    play.save_fails = true;
    let answer = play.call("lan_only", json!({ "enabled": true }));
    assert_eq!(answer["enforced"], true);
    assert!(answer["error"].as_str().unwrap().contains("read-only"));
    assert!(play.run_state.is_some());
}

#[test]
fn flows_that_cannot_be_ended_do_not_hide_those_that_were() {
    let mut play = Play::started(OFF);
    (play.flows, play.cut_fails) = (5, Some("conntrack: refused: busy"));
    let answer = play.call("lan_only", json!({ "enabled": true }));
    assert_eq!((&answer["enforced"], &answer["flows_cut"]), (&json!(true), &json!(5)));
    assert!(answer["error"].as_str().unwrap().contains("could not be ended"));
    assert!(
        play.log.iter().any(|line| line.contains("5 running flows ended")),
        "{:?}",
        play.log
    );
}

#[test]
fn a_switch_on_a_lost_table_puts_the_table_back_first() {
    let mut play = Play::started(OFF);
    play.table = None;
    let answer = play.call("lan_only", json!({ "enabled": true }));
    assert_eq!(answer["enforced"], true);
    assert_eq!(play.applies, 2);
}

#[test]
fn a_pause_that_the_switch_ends_has_its_line() {
    for on in [true, false] {
        let mut play = Play::started(ON);
        play.call("pause", json!({ "minutes": 1 }));
        play.told.clear();
        play.call("lan_only", json!({ "enabled": on }));
        assert!(play.told.contains(&("pause", json!({ "seconds": 0 }))));
        let lines = play.log.iter().filter(|line| line.contains("pause over"));
        assert_eq!(lines.count(), 1, "{:?}", play.log);
    }
}

#[test]
fn a_pause_ends_by_itself_and_what_began_in_it_is_cut() {
    let mut play = Play::started(ON);
    let cuts = play.cuts;
    let answer = play.call("pause", json!({ "minutes": 1 }));
    assert_eq!(
        (answer["paused_seconds"].as_u64(), answer["enforced"].as_bool()),
        (Some(60), Some(false))
    );
    assert_eq!(play.cuts, cuts, "nothing is cut while it is paused");
    play.pass(59_000);
    assert_eq!(play.call("status", json!({}))["lan_only"]["paused_seconds"], 1);
    play.flows = 2;
    play.pass(2_000);
    assert_eq!(play.cuts, cuts + 1);
    assert_eq!(play.call("status", json!({}))["lan_only"]["enforced"], true);
    assert_eq!(play.told.iter().filter(|(name, _)| *name == "pause").count(), 2);
}

#[test]
fn resume_and_switching_on_end_a_pause() {
    let mut play = Play::started(ON);
    play.call("pause", json!({ "minutes": 60 }));
    assert_eq!(play.call("resume", json!({}))["enforced"], true);
    play.call("pause", json!({ "minutes": 60 }));
    assert_eq!(play.call("lan_only", json!({ "enabled": true }))["paused_seconds"], 0);
    assert_eq!(play.pause_ends, None);
}

#[test]
fn a_pause_that_makes_no_sense_is_an_error_with_a_message() {
    let mut play = Play::started(ON);
    for minutes in [0, -1, 10_081, i64::MAX] {
        let answer = play.call("pause", json!({ "minutes": minutes }));
        assert!(answer["error"].as_str().unwrap().contains("minutes"), "{answer}");
        assert_eq!(answer["enforced"], true);
    }
    let mut off = Play::started(OFF);
    assert!(off.call("pause", json!({ "minutes": 5 }))["error"]
        .as_str()
        .unwrap()
        .contains("off"));
}

#[test]
fn a_lost_table_is_back_within_a_second_with_the_rest_of_its_pause() {
    let mut play = Play::started(ON);
    play.call("pause", json!({ "minutes": 10 }));
    play.pass(60_000);
    play.lose_table();
    play.pass(200);
    assert!(play.table.is_some());
    let left = play.pause_ends.unwrap() - play.now.monotonic;
    assert!((530_000..=540_000).contains(&left), "{left}");
    let told: Vec<&str> = play.told.iter().map(|(name, _)| *name).collect();
    assert!(told.windows(2).any(|pair| pair == ["table.lost", "table.restored"]) || told.contains(&"table.restored"));
    assert_eq!(play.told.iter().filter(|(name, _)| *name == "table.lost").count(), 1);
}

#[test]
fn a_table_that_the_firewalls_include_put_back_gets_its_pause_back() {
    let mut play = Play::started(ON);
    play.call("pause", json!({ "minutes": 10 }));
    play.pass(1_000);
    play.pause_ends = None;
    play.event(Event::Wake(Wake::Nftables(Some("nft".into()))));
    play.pass(200);
    assert!(play.pause_ends.is_some());
    assert_eq!(play.applies, 1);
}

#[test]
fn an_apply_that_fails_is_tried_again_ever_more_slowly_and_logged_once() {
    let mut play = Play::new(ON);
    play.apply_fails = Some("Operation not permitted");
    play.event(Event::Started);
    play.pass(300_000);
    assert!((8..40).contains(&play.applies), "{}", play.applies);
    assert_eq!(play.logged("could not be applied"), 1);
    let status = play.call("status", json!({}));
    assert_eq!(
        (status["applied"].as_bool(), status["lan_only"]["enforced"].as_bool()),
        (Some(false), Some(false))
    );
    assert!(status["error"].as_str().unwrap().contains("not permitted"));
    play.apply_fails = None;
    play.pass(31_000);
    assert_eq!(play.call("status", json!({}))["applied"], true);
}

#[test]
fn a_wrong_configuration_is_refused_and_what_was_applied_stays() {
    let mut play = Play::started(ON);
    play.lanward = "config lan_only 'lan_only'\n\toption enabled '0'\n\toption level 'hard'\n".into();
    let answer = play.call("reload", json!({}));
    assert_eq!(answer["applied"], false);
    assert_eq!(answer["problems"][0]["option"], "lanward.lan_only.level");
    assert!(play.on && play.applies == 1);
    play.lanward = OFF.into();
    let answer = play.call("reload", json!({}));
    assert_eq!(
        (
            answer["applied"].as_bool(),
            answer["problems"].as_array().unwrap().len()
        ),
        (Some(true), 0)
    );
    assert!(!play.on);
}

#[test]
fn the_first_start_on_a_wrong_configuration_takes_the_closed_form() {
    let mut play = Play::started("config lan_only 'lan_only'\n\toption enabled 'yess'\n");
    assert!(play.on);
    assert_eq!(play.call("status", json!({}))["applied"], false);
    assert_eq!(play.call("status", json!({}))["lan_only"]["enforced"], true);
}

#[test]
fn a_zone_that_goes_missing_does_not_take_the_drop_with_it() {
    let mut play = Play::started(ON);
    let before = play.table.clone();
    play.firewall = LAN.replace("'wan'", "'uplink'");
    play.event(Event::Wake(Wake::Config));
    assert_eq!(play.table, before);
    assert!(play.call("status", json!({}))["problems"][0]["option"]
        .as_str()
        .unwrap()
        .ends_with("dest_zone"));
    assert_eq!(play.logged("uplink"), 1);
    play.event(Event::Wake(Wake::Links));
    play.pass(1000);
    assert_eq!(play.logged("uplink"), 1, "a problem is logged once");
}

#[test]
fn observing_counts_with_the_switch_off_and_cuts_nothing() {
    let mut play = Play::started("config lan_only 'lan_only'\n\toption enabled '0'\n\toption observe '1'\n");
    assert!(play.on, "the rules see packets");
    assert_eq!(play.cuts, 0);
    let status = play.call("status", json!({}));
    assert_eq!(
        (
            status["lan_only"]["enabled"].as_bool(),
            status["lan_only"]["enforced"].as_bool()
        ),
        (Some(false), Some(false))
    );
}

#[test]
fn the_schedule_cuts_when_it_begins_to_hold() {
    // 12:00 UTC on a Wednesday; it holds from 13:00.
    let mut play = Play::started(
        "config lan_only 'lan_only'\n\toption enabled '1'\n\toption start '13:00'\n\toption stop '14:00'\n",
    );
    let status = play.call("status", json!({}));
    assert_eq!((status["lan_only"]["enforced"].as_bool(), play.cuts), (Some(false), 0));
    play.pass(62 * 60_000);
    assert_eq!(play.cuts, 1);
    assert_eq!(play.call("status", json!({}))["lan_only"]["enforced"], true);
    play.pass(60 * 60_000);
    assert_eq!(play.call("status", json!({}))["lan_only"]["enforced"], false);
}

#[test]
fn unknown_methods_and_missing_arguments_have_their_status() {
    let mut play = Play::started(ON);
    for (method, status) in [
        ("frob", Status::MethodNotFound),
        ("lan_only", Status::InvalidArgument),
        ("pause", Status::InvalidArgument),
    ] {
        play.event(Event::Call {
            id: caller(),
            method: method.into(),
            arguments: Map::new(),
        });
        assert_eq!(play.answers.pop(), Some(Err(status)), "{method}");
    }
}

#[test]
fn counters_go_on_over_a_lost_table() {
    let mut play = Play::started(ON);
    let reading = |packets| {
        let counters = [(
            ruleset::DROPPED[0].to_string(),
            Counter {
                packets,
                bytes: packets * 100,
            },
        )]
        .into();
        Ok(Reading {
            present: true,
            counters,
            ..Reading::default()
        })
    };
    for (packets, sum) in [(5, 5), (9, 9), (2, 11), (2, 11), (0, 11), (1, 12)] {
        play.event(Event::Read {
            result: reading(packets),
            call: caller(),
            reply: Reply::Status,
        });
        let answer = play.answers.pop().unwrap().unwrap();
        assert_eq!(answer["lan_only"]["dropped_packets"], sum);
    }
}

#[test]
fn the_note_about_an_unsaved_switch_survives_its_own_encoding_and_nothing_else() {
    let note = Override {
        on: true,
        configured: false,
    };
    assert_eq!(Override::decode(note.encode().as_bytes()), Some(note));
    for text in [
        "",
        "{}",
        "null",
        "[1]",
        "{\"lan_only\":1,\"configured\":false}",
        "\u{0}\u{1}",
    ] {
        assert_eq!(Override::decode(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn termination_leaves_the_table() {
    let mut play = Play::started(ON);
    play.event(Event::Terminate);
    assert!(play.exited && play.table.is_some() && play.on);
}

#[test]
fn the_file_says_what_was_saved_even_if_it_said_something_else_meanwhile() {
    let mut play = Play::started(ON);
    // Somebody switches it off in a file that is refused: it stays on. Saving "on" has to reach that file.
    play.lanward = "config lan_only 'lan_only'\n\toption enabled '0'\n\toption level 'hard'\n".into();
    play.event(Event::Wake(Wake::Config));
    let answer = play.call("lan_only", json!({ "enabled": true }));
    assert_eq!((answer["enforced"].as_bool(), answer.get("error")), (Some(true), None));
    assert!(play.lanward.contains("enabled '1'"), "{}", play.lanward);
    let mut next = Play::started(&play.lanward);
    assert!(next.on && next.call("status", json!({}))["lan_only"]["enabled"] == true);
}

#[test]
fn a_note_that_the_configuration_has_outlived_is_not_there_for_the_next_daemon() {
    let mut play = Play::started(ON);
    play.call("lan_only", json!({ "enabled": false, "persist": false }));
    for text in [OFF, ON] {
        play.lanward = text.into();
        play.event(Event::Wake(Wake::Config));
    }
    assert!(play.on, "the configuration has spoken since");
    let mut next = Play::new(ON);
    next.run_state.clone_from(&play.run_state);
    next.event(Event::Started);
    assert!(next.on, "and goes on to do so after a restart");
}

#[test]
fn a_configuration_refused_for_its_zone_is_refused_as_a_whole() {
    for text in [
        "config lan_only 'lan_only'\n\toption enabled '0'\n\tlist source_zone 'lna'\n",
        "config lan_only 'lan_only'\n\toption enabled '1'\n\toption observe '1'\n\tlist source_zone 'lna'\n",
        "config lan_only 'lan_only'\n\toption enabled '1'\n\toption level 'strict'\n\tlist dest_zone 'wna'\n",
    ] {
        let mut play = Play::started(ON);
        let before = (play.table.clone(), play.call("status", json!({}))["lan_only"].clone());
        play.lanward = text.into();
        let answer = play.call("reload", json!({}));
        assert_eq!(
            (
                answer["applied"].as_bool(),
                answer["problems"].as_array().unwrap().len()
            ),
            (Some(false), 1),
            "{answer}"
        );
        assert_eq!(
            (play.table.clone(), play.call("status", json!({}))["lan_only"].clone()),
            before,
            "{text}"
        );
        assert_eq!(play.logged("configuration refused"), 1);
        play.pass(60_000);
        assert_eq!(
            play.call("status", json!({}))["applied"],
            false,
            "the problem does not go away by itself"
        );
        play.lanward = OFF.into();
        assert_eq!(play.call("reload", json!({}))["applied"], true);
        assert!(!play.on);
    }
}

/// netifd says that the WAN is on a device that no file lets expect.
fn has_wan7(play: &mut Play) {
    let dump = json!({ "interface": [
        { "interface": "wan", "up": true, "l3_device": "wan7", "device": "wan7" },
        { "interface": "lan", "up": true, "l3_device": "br-lan", "device": "br-lan" },
    ] });
    play.event(Event::Surveyed(Box::new(Survey {
        netifd: Netifd::Says(dump),
        links: Ok(Links::default()),
    })));
}

#[test]
fn a_refused_configuration_does_not_keep_a_new_device_from_being_covered() {
    let mut play = Play::started(ON);
    play.lanward = "config lan_only 'lan_only'\n\toption enabled '1'\n\tlist source_zone 'lna'\n".into();
    play.event(Event::Wake(Wake::Config));
    has_wan7(&mut play);
    assert_eq!(
        play.call("status", json!({}))["lan_only"]["dest_devices"],
        json!(["wan7"])
    );
}

#[test]
fn a_closed_form_follows_the_routers_devices() {
    let mut play = Play::started("config lan_only 'lan_only'\n\toption enabled '1'\n\tlist source_zone 'lna'\n");
    assert_eq!(
        play.call("status", json!({}))["lan_only"]["dest_devices"],
        json!(["wan0"])
    );
    // netifd answers after the start, and knows a device that the configuration did not let expect.
    let dump = json!({ "interface": [{ "interface": "wan", "up": true, "l3_device": "wwan0", "device": "wwan0" }] });
    play.event(Event::Surveyed(Box::new(Survey {
        netifd: Netifd::Says(dump),
        links: Ok(Links::default()),
    })));
    let status = play.call("status", json!({}));
    assert_eq!(status["lan_only"]["dest_devices"], json!(["wwan0"]));
    assert_eq!(
        (status["applied"].as_bool(), status["lan_only"]["enforced"].as_bool()),
        (Some(false), Some(true))
    );
}

#[test]
fn a_file_that_cannot_be_read_at_the_first_start_takes_the_closed_form() {
    let mut play = Play::new(OFF);
    play.unreadable = true;
    play.event(Event::Started);
    let status = play.call("status", json!({}));
    assert_eq!(
        (
            status["lan_only"]["enforced"].as_bool(),
            status["lan_only"]["level"].as_str()
        ),
        (Some(true), Some("strict"))
    );
    assert_eq!(status["applied"], false);
    play.unreadable = false;
    assert_eq!(play.call("reload", json!({}))["applied"], true);
    assert!(!play.on);
}

#[test]
fn a_start_that_does_not_know_the_devices_leaves_the_table_that_is_there() {
    let mut before = Play::started(ON);
    let mut play = Play::new(ON);
    (play.table, play.on, play.unreadable_network) = (before.table.take(), true, true);
    play.event(Event::Started);
    play.pass(60_000);
    play.links.devices.insert(9, "dummy0".into());
    play.event(Event::Wake(Wake::Links));
    play.pass(60_000);
    assert_eq!(play.applies, 0);
    assert_eq!(play.logged("the devices are not known"), 1);
    assert_eq!(play.call("status", json!({}))["applied"], false);
    // One that is not there would enforce even less.
    play.lose_table();
    play.pass(1_000);
    assert_eq!(play.applies, 1);
}

/// A modem's interface, whose device is in no file.
const MODEM: &str = "config interface 'lan'\n\toption device 'br-lan'\n\toption proto 'static'\n\
    config interface 'wan'\n\toption device '/dev/cdc-wdm0'\n\toption proto 'qmi'\n";

/// After an earlier daemon who knew what netifd says.
fn started_over_a_modem() -> Play {
    let mut before = Play::new(ON);
    before.network = MODEM;
    before.event(Event::Started);
    has_wan7(&mut before);
    let mut play = Play::new(ON);
    (play.network, play.table, play.on) = (MODEM, before.table.take(), before.on);
    play.event(Event::Started);
    play
}

#[test]
fn a_table_with_a_device_that_only_netifd_knows_stays_until_netifd_has_answered() {
    let mut play = started_over_a_modem();
    assert_eq!(play.applies, 0);
    has_wan7(&mut play);
    assert_eq!(play.applies, 0, "it is what is wanted");
    let status = play.call("status", json!({}));
    assert_eq!(status["lan_only"]["dest_devices"], json!(["wan7"]));
    assert_eq!(status["lan_only"]["enforced"], true);

    let mut play = started_over_a_modem();
    play.pass(2_900);
    assert_eq!(play.applies, 0);
    play.pass(200);
    assert_eq!(play.applies, 1, "not for ever");
    let status = play.call("status", json!({}));
    assert_eq!(
        status["lan_only"]["enforced"], false,
        "there is nothing to stop anything at"
    );

    let mut play = started_over_a_modem();
    play.event(Event::Surveyed(Box::new(Survey {
        netifd: Netifd::Silent("Not found".into()),
        links: Ok(Links::default()),
    })));
    assert_eq!(play.applies, 1, "nobody is going to say it");
}

#[test]
fn a_device_that_netifd_has_named_stays_covered_until_it_names_another() {
    let mut play = Play::new(ON);
    play.network = MODEM;
    play.event(Event::Started);
    has_wan7(&mut play);
    let mut says = |wan: Value| {
        let lan = json!({ "interface": "lan", "up": true, "l3_device": "br-lan", "device": "br-lan" });
        let interfaces: Vec<Value> = [lan].into_iter().chain(wan.is_object().then_some(wan)).collect();
        play.event(Event::Surveyed(Box::new(Survey {
            netifd: Netifd::Says(json!({ "interface": interfaces })),
            links: Ok(Links::default()),
        })));
        play.call("status", json!({}))["lan_only"]["dest_devices"].clone()
    };
    let without = || json!({ "interface": "wan", "up": false });
    assert_eq!(says(without()), json!(["wan7"]));
    assert_eq!(says(without()), json!(["wan7"]), "however often");
    assert_eq!(
        says(json!({ "interface": "wan", "up": true, "l3_device": "wan8" })),
        json!(["wan8"])
    );
    assert_eq!(says(without()), json!(["wan8"]));
    let moved = json!({ "interface": "guest", "up": true, "l3_device": "wan8" });
    assert_eq!(
        says(moved),
        json!([]),
        "there is no such interface any more, and another has its device"
    );
}

#[test]
fn the_first_who_knows_the_devices_ends_the_waiting() {
    let file = |play: &mut Play| {
        play.unreadable_network = false;
        play.event(Event::Wake(Wake::Config));
    };
    for (tell, device) in [(&has_wan7 as &dyn Fn(&mut Play), "wan7"), (&file, "wan0")] {
        let mut before = Play::started(OFF);
        let mut play = Play::new(ON);
        (play.table, play.unreadable_network) = (before.table.take(), true);
        play.event(Event::Started);
        assert_eq!(play.applies, 0);
        tell(&mut play);
        play.pass(2_000);
        assert_eq!(play.applies, 1);
        assert!(play.on);
        let status = play.call("status", json!({}));
        assert_eq!(status["lan_only"]["dest_devices"], json!([device]));
    }
}

#[test]
fn nothing_is_said_to_be_enforced_by_a_table_that_was_tampered_with() {
    let mut play = Play::started(ON);
    // `nft flush table inet lanward`: the rules are gone, the sets and counters stay.
    let tamper = |play: &mut Play| {
        let mut table = (**play.table.as_ref().unwrap()).clone();
        table.chains.iter_mut().for_each(|chain| chain.rules.clear());
        play.table = Some(Rc::new(table));
        play.event(Event::Wake(Wake::Nftables(Some("nft".into()))));
    };
    for (method, arguments) in [
        ("status", json!({})),
        ("lan_only", json!({ "enabled": true })),
        ("resume", json!({})),
    ] {
        tamper(&mut play);
        let answer = play.call(method, arguments);
        let enforced = answer.get("enforced").unwrap_or(&answer["lan_only"]["enforced"]);
        assert_eq!(enforced, &json!(true));
        assert!(
            play.table
                .as_ref()
                .unwrap()
                .chains
                .iter()
                .all(|chain| !chain.rules.is_empty()),
            "{method}"
        );
    }
    play.apply_fails = Some("Operation not permitted");
    tamper(&mut play);
    assert_eq!(play.call("status", json!({}))["lan_only"]["enforced"], false);
}

#[test]
fn the_schedule_is_told_to_the_second() {
    // 12:00 UTC; it holds until 12:30:00, and looks at the clock once a minute from 12:00:20 on.
    let mut play =
        Play::new("config lan_only 'lan_only'\n\toption enabled '1'\n\toption start '11:00'\n\toption stop '12:30'\n");
    play.now.unix += 20;
    play.event(Event::Started);
    let enforced = |play: &mut Play| play.call("status", json!({}))["lan_only"]["enforced"] == true;
    play.pass((30 * 60 - 21) * 1000);
    assert!(enforced(&mut play));
    play.pass(2_000);
    assert!(!enforced(&mut play), "the kernel lets everything pass since a second");
    let cuts = play.cuts;
    play.pass((22 * 60 + 30) * 60_000 + 1000);
    assert!(enforced(&mut play));
    assert_eq!(
        play.cuts,
        cuts + 1,
        "what began out of hours is cut when they end, not up to a minute later"
    );
}

#[test]
fn devices_that_cannot_be_read_are_read_again_and_the_reason_is_logged_once() {
    let mut play = Play::new(ON);
    play.links_fail = true;
    play.event(Event::Started);
    play.pass(60_000);
    assert!((2..100).contains(&play.surveys), "{}", play.surveys);
    assert_eq!(play.logged("devices cannot be read"), 1);
    play.links_fail = false;
    play.pass(60_000);
    let surveys = play.surveys;
    play.pass(600_000);
    assert_eq!((play.surveys, play.state.next_deadline()), (surveys, None));
}

#[test]
fn a_table_that_could_not_be_looked_at_is_not_a_table_that_could_not_be_applied() {
    let mut play = Play::started(ON);
    play.verify_fails = true;
    play.event(Event::Wake(Wake::Nftables(None)));
    play.pass(60_000);
    assert_eq!(play.logged("could not be applied"), 0);
    assert_eq!(play.logged("cannot be looked at"), 1);
    play.verify_fails = false;
    play.lose_table();
    play.pass(200);
    assert!(play.table.is_some(), "looked at as soon as it is known to have changed");
    assert_eq!(play.told.iter().filter(|(name, _)| *name == "table.lost").count(), 1);
    play.pass(60_000);
    assert_eq!(play.state.next_deadline(), None);
}

#[test]
fn a_fight_over_the_table_does_not_fill_the_log() {
    let mut play = Play::started(ON);
    for _ in 0..1_000 {
        play.lose_table();
        play.pass(700);
        assert!(play.table.is_some(), "it is put back all the same, within a second");
    }
    let lines = |play: &Play| play.log.iter().filter(|line| !line.starts_with("DEBUG")).count();
    assert!((10..60).contains(&lines(&play)), "{} lines in 700 s", lines(&play));
    play.pass(600_000);
    play.lose_table();
    play.pass(100);
    assert!(
        play.log
            .iter()
            .rev()
            .take(3)
            .any(|line| line.starts_with("WARN") && line.contains("putting it back")),
        "{:?}",
        play.log.iter().rev().take(3).collect::<Vec<_>>()
    );
}

#[test]
fn a_file_that_vanished_is_refused_and_one_that_was_never_there_is_not() {
    let mut play = Play::started(ON);
    let nothing = Texts {
        firewall: Ok(Some(LAN.into())),
        network: Ok(Some(NETWORK.into())),
        ..Texts::default()
    };
    play.event(Event::Configured(Box::new(nothing.clone()), Some(caller())));
    let answer = play.answers.pop().unwrap().unwrap();
    assert_eq!((answer["applied"].as_bool(), play.on), (Some(false), true), "{answer}");
    assert!(answer["problems"][0]["message"].as_str().unwrap().contains("not there"));
    let emptied = Texts {
        lanward: Ok(Some("\n# all gone\n".into())),
        ..nothing.clone()
    };
    play.event(Event::Configured(Box::new(emptied.clone()), Some(caller())));
    let answer = play.answers.pop().unwrap().unwrap();
    assert_eq!((answer["applied"].as_bool(), play.on), (Some(false), true), "{answer}");
    assert!(answer["problems"][0]["message"]
        .as_str()
        .unwrap()
        .contains("no section"));
    assert!(!play
        .state
        .router_warnings()
        .iter()
        .any(|warning| *warning == without_file()));
    assert_eq!(play.call("reload", json!({}))["applied"], true);
    assert_eq!(play.state.problems(), [], "it is there again");

    for texts in [&nothing, &emptied] {
        let mut fresh = State::default();
        drop(fresh.handle(Event::Started, Now::default()));
        let actions = fresh.handle(Event::Configured(Box::new(texts.clone()), None), Now::default());
        let warned = |action: &Action| matches!(action, Action::Log(Level::Warn, line) if *line == without_file());
        assert_eq!(actions.iter().filter(|action| warned(action)).count(), 1);
        let actions = fresh.handle(Event::Configured(Box::new(texts.clone()), None), Now::default());
        assert_eq!(actions.iter().filter(|action| warned(action)).count(), 0, "once");
        assert!(fresh.router_warnings().iter().any(|warning| *warning == without_file()));
        assert!(fresh.known(Now::default()).is_silent);
        let wrong = Texts {
            lanward: Ok(Some("config lan_only 'lan_only'\n\toption level 'hard'\n".into())),
            ..nothing.clone()
        };
        drop(fresh.handle(Event::Configured(Box::new(wrong), None), Now::default()));
        assert!(
            fresh.known(Now::default()).is_silent,
            "it is refused: the defaults still hold"
        );
    }

    let mut fresh = State::default();
    drop(fresh.handle(Event::Started, Now::default()));
    for _ in 0..2 {
        drop(fresh.handle(Event::Configured(Box::new(nothing.clone()), None), Now::default()));
        assert_eq!(fresh.problems(), []);
    }
}

#[test]
fn a_program_that_changes_nftables_all_the_time_does_not_have_the_table_read_all_the_time() {
    let mut play = Play::started(ON);
    let before = play.deadlines;
    for _ in 0..200 {
        play.event(Event::Wake(Wake::Nftables(Some("dnsmasq".into()))));
        play.pass(50);
    }
    let looks = play.deadlines - before;
    assert!((10..=20).contains(&looks), "{looks} looks in 10 s");
    play.table = None;
    play.event(Event::Wake(Wake::Nftables(Some("nft".into()))));
    play.pass(700);
    assert!(play.table.is_some(), "and it is back within a second");
}

#[test]
fn switching_off_tells_that_the_pause_is_over() {
    let mut play = Play::started(ON);
    play.call("pause", json!({ "minutes": 5 }));
    play.call("lan_only", json!({ "enabled": false }));
    let pauses: Vec<&Value> = play
        .told
        .iter()
        .filter(|(name, _)| *name == "pause")
        .map(|(_, data)| data)
        .collect();
    assert_eq!(pauses, [&json!({ "seconds": 300 }), &json!({ "seconds": 0 })]);
}
