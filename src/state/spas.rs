//! Authenticated packets while running: their keys, what was seen before, and who is let in.

use super::gates::{error, tell};
use super::State;
use crate::config::{Problem, Spa, System};
use crate::event::{Action, CallId, KeyFile, Listing, NewKey, Now, ReadKeys};
use crate::gate::{self, Teller, Told};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::json::json;
use crate::policy::Gate;
use crate::report;
use crate::ruleset::gate::List;
use crate::spa::{judge, open, Denied, Digest, Keys, Opened, Refused, Replay, Rules};
use crate::system::ubus::Status;
use log::Level;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// Less is no packet of fwknop's (`MIN_SPA_ENCODED_MSG_SIZE` and an HMAC).
const LEAST: usize = 100;

/// What is remembered of keys and packets.
#[derive(Debug)]
pub(super) struct Spas {
    keys: Vec<Key>,
    /// Nothing is accepted before it was read.
    replay: Option<Replay>,
    /// Since when packets are told apart, in monotonic milliseconds, where nobody knows what was accepted before; `None`: that was read.
    since: Option<u64>,
    /// Keys that are dead, although their files may still be there.
    revoked: Vec<KeyFile>,
    teller: Teller,
}

impl Default for Spas {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            replay: None,
            since: None,
            revoked: Vec::new(),
            teller: Teller::of_attempts(),
        }
    }
}

/// A section's key, and what came of it.
#[derive(Debug)]
struct Key {
    file: KeyFile,
    keys: Result<Keys, String>,
    counts: Counts,
    /// What it has made and got nothing: who has recorded that is not to get it later, by another clock or with room on the list.
    refused: Replay,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    accepted: u32,
    rejected: u32,
    /// Unix time; 0: never.
    last: u64,
    address: String,
}

/// A packet that is let in.
struct Accepted {
    source: IpAddr,
    seconds: u32,
    user: String,
}

impl State {
    /// The keys' files, whenever the configuration was accepted: what is in them may have changed as well.
    pub(super) fn read_keys(&self) -> Option<Action> {
        let files = self.config.spas.iter().map(|spa| KeyFile {
            spa: spa.name.clone(),
            path: spa.key_file.clone(),
        });
        let files: Vec<KeyFile> = files.gathered();
        (!files.is_empty() || !self.spas.keys.is_empty()).then_some(Action::ReadKeys(files))
    }

    pub(super) fn keys_read(&mut self, read: ReadKeys, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.spas.replay.is_none() {
            let seen = read.seen.map(|bytes| bytes.map(|bytes| Replay::parse(&bytes)));
            self.spas.replay = Some(match seen {
                Ok(Some(Some(replay))) => replay,
                // A first start and a lost file look the same.
                lost => {
                    if !matches!(lost, Ok(None)) {
                        let line = "spa: what was accepted before cannot be read: packets made before now are refused";
                        actions.push(Action::Log(Level::Warn, line.into()));
                    }
                    self.spas.since = Some(now.monotonic);
                    Replay::default()
                }
            });
        }
        let before = std::mem::take(&mut self.spas.keys);
        let known = self.key_problems.clone();
        self.key_problems.clear();
        let is_configured = |dead: &KeyFile| read.keys.iter().any(|(file, _)| file == dead);
        self.spas.revoked.retain(is_configured);
        for (file, text) in read.keys {
            let is_dead = self.spas.revoked.contains(&file);
            let text = text.and_then(|text| match is_dead {
                true => Err(format!("{}: revoked", file.path)),
                false => Ok(text),
            });
            let keys = text.and_then(|text| Keys::parse(&text).map_err(|why| format!("{}: {why}", file.path)));
            if let Err(why) = &keys {
                self.key_problems.push(Problem {
                    system: System::Spa,
                    option: format!("lanward.{}.key_file", file.spa),
                    message: format!("{why}; it opens nothing"),
                    restricts: false,
                });
            }
            let known = before.iter().find(|key| key.file.spa == file.spa);
            let known = known.map(|key| (key.counts.clone(), key.refused.clone()));
            let (counts, refused) = known.unwrap_or_default();
            self.spas.keys.push(Key {
                file,
                keys,
                counts,
                refused,
            });
        }
        let fresh = self.key_problems.iter().filter(|problem| !known.contains(problem));
        actions.gather(fresh.flat_map(super::tell_problem));
        actions
    }

    /// What came to an SPA's port. The first key that has made it counts.
    pub(super) fn packet(&mut self, port: u16, packet: &[u8], source: IpAddr, now: Now) -> Vec<Action> {
        let Some(gates) = self.gates() else { return Vec::new() };
        let at_port = gates
            .list
            .iter()
            .flat_map(|gate| gate.spas.iter().map(move |spa| (gate, spa)))
            .filter(|(_, spa)| spa.port == port);
        for (gate, spa) in at_port {
            let Some(keys) = self.keys_of(&spa.name) else { continue };
            let digest = Digest::parse(&spa.hmac).unwrap_or_default();
            let opened = match open(packet, keys, digest) {
                Err(Refused::Foreign) => continue,
                Err(refused) => Err(refused.to_string()),
                Ok(opened) => {
                    let accepted = self.admissible(gate, spa, &opened, source, now);
                    Ok((accepted, opened.proof, opened.request.sent))
                }
            };
            let (gate, spa) = (gate.name.clone(), spa.name.clone());
            return match opened {
                Ok((Ok(accepted), proof, sent)) => {
                    let mut actions = self.remember(&proof, sent, now);
                    actions.extend(self.accept_packet(gate, spa, accepted, source, now));
                    actions
                }
                Ok((Err(why), proof, sent)) => {
                    for key in self.spas.keys.iter_mut().filter(|key| key.file.spa == spa) {
                        key.refused.note(&proof, sent);
                    }
                    self.reject(&spa, source, &why, now)
                }
                Err(why) => self.reject(&spa, source, &why, now),
            };
        }
        // The Internet is full of packets; a line is for one that somebody may have meant.
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
        if packet.len() < LEAST || !packet.iter().all(is_base64) {
            return Vec::new();
        }
        self.reject("", source, "no key at this port has made it", now)
    }

    fn keys_of(&self, spa: &str) -> Option<&Keys> {
        let key = self.spas.keys.iter().find(|key| key.file.spa == spa)?;
        key.keys.as_ref().ok()
    }

    /// Age, replay and permission; then whether the gate can list it.
    fn admissible(
        &self,
        gate: &Gate,
        spa: &Spa,
        opened: &Opened,
        source: IpAddr,
        now: Now,
    ) -> Result<Accepted, String> {
        let Some(replay) = &self.spas.replay else {
            return Err("what was accepted before is not read yet".into());
        };
        let mut ports = gate.ports.concat();
        ports.gather(gate.hosts.iter().map(|(_, port)| *port));
        let rules = Rules {
            max_age: spa.max_age,
            seconds: spa.seconds,
            max_seconds: spa.max_seconds,
            any_address: spa.any_address,
            ports: &ports,
        };
        let grant = judge(opened, &rules, source, now.unix, replay).map_err(|denied| denied.to_string())?;
        self.is_unknown(spa, opened, now).map_err(|denied| denied.to_string())?;
        let listed = gate::source(gate, &grant.address.to_string())?;
        let count = self.lists.of(&gate.name).iter().filter(|entry| {
            entry.list == List::Spa && entry.address.is_ipv6() == listed.is_ipv6() && entry.address != listed
        });
        if count.count() >= gate.size as usize {
            return Err(format!("the list of the gate '{}' is full", gate.name));
        }
        Ok(Accepted {
            source: listed,
            seconds: grant.seconds,
            user: opened.request.user.clone(),
        })
    }

    /// Whether it is certain that it was neither accepted by an earlier daemon nor refused by this one. Two sections may have the same key; but the floor of the
    /// one is made by its own packets.
    fn is_unknown(&self, spa: &Spa, opened: &Opened, now: Now) -> Result<(), Denied> {
        let (proof, sent) = (&opened.proof, opened.request.sent);
        let floor = self.unknown_until(now);
        if sent <= floor {
            return Err(Denied::Forgotten { floor });
        }
        for key in &self.spas.keys {
            match key.refused.check(proof, sent) {
                Err(Denied::Forgotten { .. }) if key.file.spa != spa.name => {}
                checked => checked?,
            }
        }
        Ok(())
    }

    /// Unix time, up to which a packet may have been accepted without anybody knowing. By the clock of this moment: that of the start may have been wrong,
    /// and have been set since.
    fn unknown_until(&self, now: Now) -> u64 {
        let seconds = |since| now.monotonic.saturating_sub(since) / 1000;
        self.spas
            .since
            .map_or(0, |since| now.unix.saturating_sub(seconds(since)))
    }

    /// On flash before anybody is let in, so that no loss of power makes a packet new again.
    fn remember(&mut self, proof: &[u8; 16], sent: u64, now: Now) -> Vec<Action> {
        let floor = self.unknown_until(now);
        let Some(replay) = &mut self.spas.replay else {
            return Vec::new();
        };
        // For the next daemon, which finds a file. It is below what an accepted packet says of its time: no wrong clock alone has made it.
        replay.refuse_until(floor);
        replay.note(proof, sent);
        vec![Action::KeepSeen(replay.bytes())]
    }

    fn accept_packet(&mut self, gate: String, spa: String, accepted: Accepted, from: IpAddr, now: Now) -> Vec<Action> {
        let Accepted { source, seconds, user } = accepted;
        let Some(policy) = self.gate(&gate) else {
            return Vec::new();
        };
        let shown = gate::shown(policy, source);
        let edits = vec![gate::adding(policy, source, List::Spa, Some(seconds))];
        if let Some(counts) = self.counts(&spa) {
            counts.accepted = counts.accepted.saturating_add(1);
            (counts.last, counts.address) = (now.unix, shown.clone());
        }
        let line = format!("spa {spa}: {from} accepted: {shown} for {seconds} s, user {user}");
        let data = json!({ "spa": spa, "gate": gate, "address": shown, "seconds": seconds, "user": user });
        let mut actions = tell(Told::Yes { untold: 0 }, line, "spa.accept", data);
        let then = Listing::Proved {
            gate,
            spa,
            source,
            seconds,
        };
        actions.extend(self.edit(edits, then));
        actions
    }

    fn reject(&mut self, spa: &str, source: IpAddr, why: &str, now: Now) -> Vec<Action> {
        if let Some(counts) = self.counts(spa) {
            counts.rejected = counts.rejected.saturating_add(1);
        }
        let told = self.spas.teller.ask(source, now.monotonic);
        let name = if spa.is_empty() {
            String::new()
        } else {
            format!(" {spa}")
        };
        let data = json!({ "spa": spa, "source": source.to_string(), "why": why });
        tell(told, format!("spa{name}: {source} refused: {why}"), "spa.reject", data)
    }

    fn counts(&mut self, spa: &str) -> Option<&mut Counts> {
        let key = self.spas.keys.iter_mut().find(|key| key.file.spa == spa)?;
        Some(&mut key.counts)
    }

    /// The answer of `spa_list`: all sections, whether their gates are on or not.
    pub(super) fn spa_list(&self) -> Value {
        let spas = self.config.spas.iter().map(|spa| {
            let key = self.spas.keys.iter().find(|key| key.file.spa == spa.name);
            let counts = key.map(|key| key.counts.clone()).unwrap_or_default();
            let error = match key.map(|key| &key.keys) {
                None => "not read yet",
                Some(Err(error)) => error,
                Some(Ok(_)) => "",
            };
            json!({
                "name": spa.name, "gate": spa.gate, "port": spa.port, "hmac": spa.hmac, "seconds": spa.seconds,
                "ready": error.is_empty(), "error": error, "accepted": counts.accepted, "rejected": counts.rejected,
                "last_accept": counts.last, "last_address": counts.address,
            })
        });
        json!({ "spas": Vec::from_iter(spas) })
    }

    /// `spa_keygen` and `spa_revoke`.
    pub(super) fn call_spa(&mut self, id: CallId, method: &str, arguments: &Map<String, Value>) -> Vec<Action> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let Some(name) = text("name") else {
            return vec![Action::Answer(id, Err(Status::InvalidArgument))];
        };
        let name = name.to_string();
        if method == "spa_revoke" {
            // At once, whatever becomes of the file.
            for key in self.spas.keys.iter_mut().filter(|key| key.file.spa == name) {
                key.keys = Err("revoked".into());
            }
            let section = self.config.spas.iter().find(|spa| spa.name == name);
            let path = section.map(|spa| spa.key_file.clone());
            // Its file may stay: no reload brings it back.
            let dead = path.clone().map(|path| KeyFile {
                spa: name.clone(),
                path,
            });
            self.spas
                .revoked
                .gather(dead.filter(|dead| !self.spas.revoked.contains(dead)));
            return vec![Action::RemoveKey { name, path, call: id }];
        }
        let host = text("host").filter(|host| !host.is_empty());
        let ports = text("access").filter(|access| !access.is_empty()).unwrap_or("tcp/22");
        let new = NewKey {
            name,
            host: host.map(str::to_string),
            ports: ports.to_string(),
            call: id,
        };
        // Before there is a file.
        match new.access().check() {
            Ok(()) => vec![Action::MakeKey(new)],
            Err(wrong) => error(id, &wrong),
        }
    }

    /// A key was made. It is shown this once; the file is the only other place where it is.
    pub(super) fn key_made(&mut self, new: &NewKey, result: Result<(String, Keys), String>) -> Vec<Action> {
        match result {
            Err(why) => error(new.call, &why),
            Ok((path, keys)) => {
                self.spas.revoked.retain(|dead| dead.path != path);
                let line = format!("spa: a key was made in {path}");
                let answer = report::new_key(new, &path, &keys);
                let mut actions = vec![Action::Log(Level::Info, line), Action::Answer(new.call, Ok(answer))];
                actions.extend(self.read_keys());
                actions
            }
        }
    }

    pub(super) fn key_removed(&mut self, name: &str, result: Result<(), String>, call: CallId) -> Vec<Action> {
        // Where its file is still there, to read it again would bring the key back to life.
        if let Err(why) = result {
            return error(call, &why);
        }
        // What lies there from now on is another key.
        self.spas.revoked.retain(|dead| dead.spa != name);
        let mut actions = vec![
            Action::Log(Level::Info, format!("spa: the key {name} was revoked")),
            Action::Answer(call, Ok(json!({ "ok": true }))),
        ];
        actions.extend(self.read_keys());
        actions
    }
}
