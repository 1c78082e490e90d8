//! What both routers are expected to do, as one small set of rules: the seed's five, and what ours do otherwise, each under a name.
//!
//! The model says what becomes of a segment at either router and, where that is not the same, by which of the [`Difference`]s.

use super::{Act, Place, Service, Source, Step, Terms, Verdict};
use crate::segments::flag;
use std::collections::{BTreeMap, BTreeSet};

/// What our rules do otherwise than the seed's, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Before its handshake is complete, a connection neither proves nor refreshes nor removes; and a FIN or RST is never a proof. With the seed's rules
    /// the RST of a half-open scan is a proof, and so is (since Linux 6.1) an ACK of nothing that was said.
    HandshakeOnly,
    /// Only what is sent to guarded services and witnesses refreshes or removes. With the seed's, any established packet of a listed source
    /// refreshes, and any FIN removes.
    OwnServices,
    /// The RST of a guarded session removes, as its FIN does. With the seed's, it refreshes.
    RstRemoves,
    /// A full list refuses newcomers. The seed's evicts the oldest.
    FullRefuses,
    /// An established session is never cut. With the seed's rules it is, as soon as its source is not listed: a removal by one session's FIN cuts the
    /// others, and resets the very last ACK of the one that ended.
    NeverCut,
    /// How an unlisted source is refused is configured. The seed's rules reset.
    RefusalByChoice,
    /// What removes is configured. With the seed's rules, the first FIN does.
    ForgetByChoice,
    /// After the window an address is gone from the list. With the seed's rules it stays there, stale, and the next packet of an established
    /// session makes it fresh: an idle session opens the gate again.
    Expires,
    /// A SYN to a guarded service begins a connection, whatever conntrack calls it: established, where the server has answered one like it. With the
    /// seed's rules it passes if its source is on the list, stale or not.
    SynBegins,
}

use Difference::{
    Expires, ForgetByChoice, FullRefuses, HandshakeOnly, NeverCut, OwnServices, RefusalByChoice, RstRemoves, SynBegins,
};

/// All of them, with the names that scenarios give them.
pub const DIFFERENCES: [(Difference, &str); 9] = [
    (HandshakeOnly, "handshake only"),
    (OwnServices, "own services"),
    (RstRemoves, "rst removes"),
    (FullRefuses, "full refuses"),
    (NeverCut, "never cut"),
    (RefusalByChoice, "refusal by choice"),
    (ForgetByChoice, "forget by choice"),
    (Expires, "expires"),
    (SynBegins, "syn begins"),
];

/// For conntrack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Established,
    Invalid,
}

/// As much of a segment as the rules look at, and what the server makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    service: Service,
    flags: u8,
    state: State,
    /// Its handshake is complete.
    open: bool,
    shows: Shows,
}

/// How a segment that arrives shows at a server that is a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    AsArrival,
    NotAtAll,
    /// By its kernel's RST, which is like a refusal.
    AsReset,
}

/// What a segment does to its source's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Keep,
    Set,
    Remove,
}

/// What rules make of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    change: Change,
    passes: bool,
}

/// What both routers know.
#[derive(Debug, Clone)]
pub struct Model {
    terms: Terms,
    /// How many moments an address stays listed.
    window: u32,
    /// The size of each list.
    sizes: [usize; 2],
    sides: [Side; 2],
    /// Why the two routers' entries of an address are not the same.
    apart: BTreeMap<Source, BTreeSet<Difference>>,
    /// Likewise for connections.
    sessions_apart: BTreeMap<(Source, Service, u8), BTreeSet<Difference>>,
}

/// One router. Its list has the moment of each address's last stamp; its connections are open or half-open.
#[derive(Debug, Clone, Default)]
struct Side {
    list: BTreeMap<Source, u32>,
    sessions: BTreeMap<(Source, Service, u8), bool>,
}

/// What a step is expected to lead to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// At the seed's router.
    pub seed: Vec<Verdict>,
    /// At ours.
    pub ours: Vec<Verdict>,
    /// Why they are not the same; empty if they are.
    pub why: BTreeSet<Difference>,
}

impl Model {
    /// Empty lists, no connections. Time goes in moments; `window` of them are within the configured window, and one more is not.
    /// `seed_size`: how many addresses the seed's list holds, of both families.
    #[must_use]
    pub fn new(terms: &Terms, window: u32, seed_size: usize) -> Self {
        Self {
            terms: terms.clone(),
            window,
            sizes: [seed_size, usize::try_from(terms.size).unwrap_or(usize::MAX)],
            sides: [Side::default(), Side::default()],
            apart: BTreeMap::new(),
            sessions_apart: BTreeMap::new(),
        }
    }

    /// The connection's state at one router or the other: `Some(true)` for an open one, `Some(false)` for a half-open one.
    #[must_use]
    pub fn session(&self, ours: bool, source: Source, service: Service, session: u8) -> Option<bool> {
        let side = &self.sides[usize::from(ours)];
        side.sessions.get(&(source, service, session)).copied()
    }

    /// Does a step at this moment.
    pub fn step(&mut self, step: &Step, now: u32) -> Expected {
        let key = (step.source, step.service, step.session);
        let mut why = self.sessions_apart.remove(&key).unwrap_or_default();
        why.extend(self.apart.get(&step.source).into_iter().flatten());
        let mut verdicts = [Vec::new(), Vec::new()];
        let mut sent = [plan(step, &self.sides[0]), plan(step, &self.sides[1])].map(Vec::into_iter);
        // Segment by segment: what becomes of the first decides whether there is a second.
        let mut going = [true, true];
        loop {
            let facts: [Option<Facts>; 2] = std::array::from_fn(|side| sent[side].next().filter(|_| going[side]));
            if facts == [None, None] {
                break;
            }
            for (side, facts) in facts.iter().enumerate() {
                let Some(facts) = facts else { continue };
                let outcome = self.judge(side, facts, step.source, now, &|_| side == 1);
                if side == 1 {
                    why.extend(self.reasons(facts, step.source, now, outcome));
                }
                self.change(side, step.source, outcome.change, now);
                let refused = self.refusal(side, facts);
                verdicts[side].push(match outcome.passes {
                    true => self.arrival(facts),
                    false => refused,
                });
                going[side] = outcome.passes || !matches!(refused, Verdict::Reset);
                self.follow(side, step.act, key, facts, outcome.passes);
            }
        }
        self.keep_reasons(key, &why, now);
        let [seed, ours] = verdicts;
        if seed == ours {
            why.clear();
        }
        Expected { seed, ours, why }
    }

    /// Why our outcome is not what the seed's rules would lead to with our list.
    fn reasons(&self, facts: &Facts, source: Source, now: u32, ours: Outcome) -> Vec<Difference> {
        let all = DIFFERENCES.iter().map(|(difference, _)| *difference);
        let without = |left_out| self.judge(1, facts, source, now, &|difference| difference != left_out);
        let seed = self.judge(1, facts, source, now, &|_| false);
        let mut reasons: Vec<Difference> = match ours == seed {
            true => Vec::new(),
            false => all.clone().filter(|difference| without(*difference) == seed).collect(),
        };
        if ours != seed && reasons.is_empty() {
            reasons = all.filter(|difference| without(*difference) != ours).collect();
        }
        if !ours.passes && self.refusal(1, facts) != self.refusal(0, facts) {
            reasons.push(RefusalByChoice);
        }
        reasons
    }

    /// The seed's rules with these of the differences, on the list of one side.
    fn judge(
        &self,
        side: usize,
        facts: &Facts,
        source: Source,
        now: u32,
        differs: &dyn Fn(Difference) -> bool,
    ) -> Outcome {
        let stamp = self.sides[side].list.get(&source);
        let fresh = stamp.is_some_and(|stamp| now - stamp <= self.window);
        let listed = if differs(Expires) { fresh } else { stamp.is_some() };
        let guarded = facts.service == Service::Ssh;
        let keep = |passes| Outcome {
            change: Change::Keep,
            passes,
        };
        let passes = |change| Outcome { change, passes: true };
        match facts.state {
            State::New => keep(!guarded || fresh),
            State::Invalid => keep(!guarded),
            State::Established if guarded && facts.flags == flag::SYN && !fresh && differs(SynBegins) => keep(false),
            State::Established if !facts.open && differs(HandshakeOnly) => {
                keep(!guarded || listed || differs(NeverCut))
            }
            State::Established if facts.service == Service::Imaps => {
                let handshake = facts.flags & (flag::FIN | flag::RST) == 0;
                let full = !listed && self.is_full(side, source.family, now);
                match () {
                    () if differs(HandshakeOnly) && !handshake => keep(true),
                    () if differs(FullRefuses) && full => keep(true),
                    () => passes(Change::Set),
                }
            }
            State::Established if !listed => keep(!guarded || differs(NeverCut)),
            State::Established if !guarded && differs(OwnServices) => keep(true),
            State::Established => {
                let fin = facts.flags & flag::FIN != 0;
                let rst = facts.flags & flag::RST != 0 && differs(RstRemoves);
                let never = self.terms.forget != "first_fin" && differs(ForgetByChoice);
                match fin || rst {
                    true if never => keep(true),
                    true => passes(Change::Remove),
                    false => passes(Change::Set),
                }
            }
        }
    }

    fn is_full(&self, side: usize, family: crate::house::Family, now: u32) -> bool {
        let list = self.sides[side].list.iter();
        // The seed's list is one for both families and keeps what is stale.
        let counted =
            list.filter(|(source, stamp)| side == 0 || (source.family == family && now - **stamp <= self.window));
        counted.count() >= self.sizes[side]
    }

    fn change(&mut self, side: usize, source: Source, change: Change, now: u32) {
        match change {
            Change::Keep => {}
            Change::Remove => {
                self.sides[side].list.remove(&source);
            }
            Change::Set => {
                if side == 0 && !self.sides[0].list.contains_key(&source) && self.is_full(0, source.family, now) {
                    self.evict();
                }
                self.sides[side].list.insert(source, now);
            }
        }
    }

    /// The seed's list makes room. (Of those that are as old as each other the first is taken: scenarios list them in the order of their names.)
    fn evict(&mut self) {
        let oldest = self.sides[0].list.iter().min_by_key(|(_, stamp)| **stamp);
        if let Some(source) = oldest.map(|(source, _)| *source) {
            self.sides[0].list.remove(&source);
            self.apart.entry(source).or_default().insert(FullRefuses);
        }
    }

    /// What a refused segment meets.
    fn refusal(&self, side: usize, facts: &Facts) -> Verdict {
        let by_zone = facts.state == State::Invalid && facts.flags & flag::ACK != 0;
        let resets = match self.terms.refuse {
            _ if side == 0 => true,
            "reset" if !by_zone => true,
            "drop" if !by_zone => false,
            _ => self.terms.zone == "reject",
        };
        // A RST is not answered by another.
        if resets && facts.flags & flag::RST == 0 {
            return Verdict::Reset;
        }
        match (self.terms.place, facts.shows) {
            (Place::Router, Shows::NotAtAll | Shows::AsReset) => Verdict::Unseen,
            (Place::Router, Shows::AsArrival) if facts.flags & flag::RST != 0 => Verdict::Unseen,
            _ => Verdict::Silent,
        }
    }

    fn arrival(&self, facts: &Facts) -> Verdict {
        match (self.terms.place, facts.shows) {
            _ if facts.flags == flag::SYN => Verdict::Accepted,
            (Place::Behind, _) | (_, Shows::AsArrival) => Verdict::Arrived,
            (_, Shows::NotAtAll) => Verdict::Unseen,
            (_, Shows::AsReset) => Verdict::Reset,
        }
    }

    /// What becomes of the client's connection. One that meets a reset is over, and so is a SYN that is not answered.
    fn follow(&mut self, side: usize, act: Act, key: (Source, Service, u8), facts: &Facts, passed: bool) {
        let reset = !passed && self.refusal(side, facts) == Verdict::Reset;
        let sessions = &mut self.sides[side].sessions;
        match act {
            Act::Stray(_) => {}
            Act::Syn | Act::SynAgain if passed => {
                sessions.insert(key, false);
            }
            Act::Ack if !reset => {
                sessions.insert(key, true);
            }
            Act::Data | Act::Hear if !reset => {}
            _ => {
                sessions.remove(&key);
            }
        }
    }

    /// Remembers why the routers are apart, as long as they are.
    fn keep_reasons(&mut self, key: (Source, Service, u8), why: &BTreeSet<Difference>, now: u32) {
        let [seed, ours] = &mut self.sides;
        let stamp = ours.list.get(&key.0);
        if stamp.is_some_and(|stamp| now - stamp > self.window) && !seed.list.contains_key(&key.0) {
            ours.list.remove(&key.0);
        }
        if seed.list.get(&key.0) == ours.list.get(&key.0) {
            self.apart.remove(&key.0);
        } else {
            self.apart.insert(key.0, why.clone());
        }
        if seed.sessions.get(&key) != ours.sessions.get(&key) {
            self.sessions_apart.insert(key, why.clone());
        }
    }
}

/// The segments that a client would send for a step at one router, if none of them is refused.
fn plan(step: &Step, side: &Side) -> Vec<Facts> {
    let open = side.sessions.get(&(step.source, step.service, step.session));
    let established = |flags, shows| Facts {
        service: step.service,
        flags,
        state: State::Established,
        open: true,
        shows,
    };
    let shown = |flags| established(flags, Shows::AsArrival);
    let half_open = |flags, shows| Facts {
        open: false,
        ..established(flags, shows)
    };
    let ack = established(flag::ACK, Shows::NotAtAll);
    match (step.act, open) {
        (Act::Syn, _) => vec![Facts {
            state: State::New,
            ..shown(flag::SYN)
        }],
        // conntrack takes up a connection in its middle, but only by an ACK.
        (Act::Stray(flags), _) => vec![Facts {
            state: if flags == flag::ACK { State::New } else { State::Invalid },
            shows: if flags & flag::RST == 0 {
                Shows::AsReset
            } else {
                Shows::NotAtAll
            },
            ..shown(flags)
        }],
        (Act::SynAgain, Some(false)) => vec![half_open(flag::SYN, Shows::AsArrival)],
        (Act::BlindAck, Some(false)) => vec![half_open(flag::ACK, Shows::AsReset)],
        (Act::Ack, Some(false)) => vec![shown(flag::ACK)],
        (Act::Rst, Some(false)) => vec![half_open(flag::RST, Shows::NotAtAll)],
        (Act::Rst, Some(true)) => vec![shown(flag::RST | flag::ACK)],
        (Act::Data, Some(true)) => vec![shown(flag::PSH | flag::ACK)],
        (Act::Hear, Some(true)) => vec![ack],
        (Act::Fin, Some(true)) => vec![shown(flag::FIN | flag::ACK), ack],
        (Act::FinAlone, Some(true)) => vec![shown(flag::FIN | flag::ACK)],
        (Act::FinOfServer, Some(true)) => vec![ack, shown(flag::FIN | flag::ACK)],
        (Act::SynAgain | Act::Ack | Act::BlindAck | Act::Rst, _) => Vec::new(),
        (Act::Data | Act::Hear | Act::Fin | Act::FinAlone | Act::FinOfServer, _) => Vec::new(),
    }
}
