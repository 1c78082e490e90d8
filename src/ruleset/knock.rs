//! Knocks in the table: sequences of closed ports that open a gate, or close it. Nothing waits for the daemon.
//!
//! Stage *n* of a sequence is a set of the sources that have come so far. A source stays in the sets of the stages behind it: in the first one it
//! tells when it began, since nothing refreshes its time, and in each it tells a packet that was sent again from a wrong one. So the whole sequence
//! has `timeout` seconds. What is no step that is due and none that was taken is wrong, and takes the source out of all of them: a scan in any order
//! knocks at wrong ports all the time.
//!
//! Packets go on to the firewall whatever they have done here: the ports of a sequence answer as any other.

use super::gate::{copies, counter_names, families, gate_lists, is_in, not_a_network, sources, List, Statements};
use super::parts::{chain, ending, rule};
use crate::config::{self, Protocol, Step};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::nft::{tcp_flag, Bits, Chain, Family, Field, Match, Operation, Rule, Set, Statement, Timeout, Value};
use crate::policy::{Gate, Gates, Knock};

/// What a copy's prefix says: a stage, an opening, a closing, a wrong port.
pub const STAGE: &str = "lanward stage";
/// The sequence that opens is complete.
pub const OPEN: &str = "lanward open";
/// The one that closes is.
pub const CLOSE: &str = "lanward close";
/// A sequence was broken off.
pub const WRONG: &str = "lanward wrong";

const UDP: u8 = 17;
/// How the names of the stages' sets begin.
pub(super) const STAGES: &str = "knock_";

/// Which of a knock's two sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// It opens.
    Open,
    /// It closes.
    Close,
}

impl Sequence {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Open, Self::Close];

    /// Its option's name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
        }
    }

    /// Its steps.
    #[must_use]
    pub fn steps(self, knock: &Knock) -> &[Step] {
        match self {
            Self::Open => &knock.config.open,
            Self::Close => &knock.config.close,
        }
    }
}

/// One sequence in one family.
#[derive(Clone, Copy)]
struct Machine<'a> {
    gate: &'a Gate,
    knock: &'a Knock,
    sequence: Sequence,
    family: usize,
    source: Field,
}

fn machines(gates: &Gates) -> impl Iterator<Item = Machine<'_>> {
    let knocks = gates
        .list
        .iter()
        .flat_map(|gate| gate.knocks.iter().map(move |knock| (gate, knock)));
    knocks.flat_map(|(gate, knock)| {
        let of_family = move |(family, source)| {
            let machine = move |sequence| Machine {
                gate,
                knock,
                sequence,
                family,
                source,
            };
            Sequence::ALL.map(machine)
        };
        let both = families(gate).into_iter().flat_map(of_family);
        both.filter(|machine| !machine.steps().is_empty())
    })
}

/// The sets of the stages.
pub(super) fn sets(gates: &Gates) -> Vec<Set> {
    let of_machine = |machine: Machine<'_>| {
        let timeout = Timeout::Seconds(machine.knock.config.timeout);
        let stages = (1..machine.steps().len()).map(|stage| machine.stage_set(stage));
        let sets: Vec<Set> = stages
            .map(|name| sources(&name, machine.family, timeout, machine.gate))
            .gathered();
        sets
    };
    machines(gates).flat_map(of_machine).gathered()
}

/// Which of what begins can be a knock.
pub(super) fn arrival(gates: &Gates) -> Vec<Rule> {
    if machines(gates).next().is_none() {
        return Vec::new();
    }
    let syn = Bits::Exactly {
        among: tcp_flag::SYN | tcp_flag::ACK | tcp_flag::RST | tcp_flag::FIN,
        set: tcp_flag::SYN,
    };
    let kinds = [Match::Is(Field::L4Proto, Value::InetProto(UDP)), Match::TcpFlags(syn)];
    let families = [(0, Family::Ipv4), (1, Family::Ipv6)].into_iter();
    let used = families.filter(|(family, _)| machines(gates).any(|machine| machine.family == *family));
    used.flat_map(|(family, nfproto)| {
        kinds.clone().map(|kind| {
            let knock = Statement::Jump(knocks_name(family));
            ending([kind, Match::Family(nfproto)], knock, "perhaps a knock")
        })
    })
    .gathered()
}

/// The chains that are jumped to.
pub(super) fn chains(gates: &Gates) -> Vec<Chain> {
    let mut chains = Vec::new();
    for family in 0..2 {
        let mut of_family: Vec<Machine> = machines(gates).filter(|machine| machine.family == family).gathered();
        // A packet that ends one of each has opened in the end: a door that shuts behind the step that opens it would never be open.
        of_family.sort_by_key(|machine| machine.sequence == Sequence::Open);
        let each = of_family
            .iter()
            .map(|machine| ending([], Statement::Jump(machine.name("knock")), "each sequence for itself"));
        if !of_family.is_empty() {
            chains.push(chain(&knocks_name(family), each.gathered()));
        }
    }
    for machine in machines(gates) {
        chains.push(machine.start());
        if machine.steps().len() > 1 {
            chains.push(machine.going_on());
        }
        chains.push(machine.end());
        // Who hears of it does not ask for the family.
        if is_first(gates, &machine) {
            chains.gather(machine.copied(gates));
        }
    }
    chains
}

fn is_first(gates: &Gates, machine: &Machine) -> bool {
    let key = |machine: &Machine| (machine.knock.key.clone(), machine.sequence);
    let first = machines(gates).find(|other| key(other) == key(machine));
    first.is_some_and(|first| first.family == machine.family)
}

fn knocks_name(family: usize) -> String {
    format!("knocks{}", [4, 6][family.min(1)])
}

impl Machine<'_> {
    fn steps(&self) -> &[Step] {
        self.sequence.steps(self.knock)
    }

    /// Of this sequence and family.
    fn name(&self, word: &str) -> String {
        let digit = [4, 6][self.family.min(1)];
        format!("{word}_{}{digit}_{}", self.sequence.word(), self.knock.key)
    }

    fn stage_set(&self, stage: usize) -> String {
        format!("{}_{stage}", self.name("knock"))
    }

    /// Of this sequence, in both families.
    fn copy_name(&self, word: &str) -> String {
        format!("knock_{}_{word}_{}", self.sequence.word(), self.knock.key)
    }

    fn is_at(&self, stage: usize) -> Statement {
        is_in(self.source, &self.stage_set(stage))
    }

    fn element(&self, operation: Operation, set: String, timeout: Option<u32>) -> Statement {
        Statement::Element {
            operation,
            set,
            key: vec![self.source],
            timeout,
        }
    }

    fn reach(&self, stage: usize) -> Statement {
        self.element(Operation::Add, self.stage_set(stage), Some(self.knock.config.timeout))
    }

    fn leave(&self, stages: std::ops::Range<usize>) -> Statements {
        let leave = |stage| self.element(Operation::Delete, self.stage_set(stage), None);
        stages.map(leave).gathered()
    }

    /// The first step, or what a source does that has taken it. A packet that only passes through this machine is neither; to ask the routes for that
    /// costs the most, so it comes last.
    fn start(&self) -> Chain {
        let last = self.steps().len();
        let mut rules = Vec::from_iter(not_a_network(self.gate, self.family));
        if last > 1 {
            let begun = vec![
                self.is_at(1),
                Statement::Match(Match::ToThisMachine),
                Statement::Goto(self.name("knocking")),
            ];
            rules.push(rule(begun, "has begun"));
        }
        let Some(first) = self.steps().first() else {
            return chain(&self.name("knock"), rules);
        };
        let mut statements = vec![
            Statement::Match(Match::Family([Family::Ipv4, Family::Ipv6][self.family.min(1)])),
            Statement::Match(is_step(*first)),
            Statement::Match(Match::ToThisMachine),
        ];
        if last == 1 {
            statements.push(Statement::Goto(self.name("knocked")));
            rules.push(rule(statements, "the only step"));
            return chain(&self.name("knock"), rules);
        }
        let full = statements.clone();
        // What is left of a sequence that took too long does not count for the next one.
        statements.extend(self.leave(2..last));
        statements.extend([self.reach(1), Statement::Goto(self.stage_copy(1))]);
        rules.push(rule(statements, "begins"));
        let [_, _, overflow] = counter_names(self.gate);
        let full = full.into_iter().chain([Statement::Counter(overflow)]).gathered();
        rules.push(rule(full, "no room"));
        chain(&self.name("knock"), rules)
    }

    /// The step that is due, one that was taken, or a wrong one. The farthest stage is asked for first.
    fn going_on(&self) -> Chain {
        let last = self.steps().len();
        let mut rules = Vec::new();
        for (index, step) in self.steps().iter().enumerate().skip(1).rev() {
            let stage = index + 1;
            if stage < last {
                let taken = vec![Statement::Match(is_step(*step)), self.is_at(stage), Statement::Return];
                rules.push(rule(taken, "sent again"));
            }
            let mut due = vec![Statement::Match(is_step(*step)), self.is_at(stage - 1)];
            match stage < last {
                true => due.extend([self.reach(stage), Statement::Goto(self.stage_copy(stage))]),
                false => {
                    due.extend(self.leave(1..last));
                    due.push(Statement::Goto(self.name("knocked")));
                }
            }
            rules.push(rule(due, "the step that is due"));
        }
        let first = self.steps().first().copied().map(is_step);
        rules.gather(first.map(|first| ending([first], Statement::Return, "sent again")));
        let mut wrong = self.leave(1..last);
        wrong.push(Statement::Goto(self.copy_name("wrong")));
        rules.push(rule(wrong, "a wrong port"));
        chain(&self.name("knocking"), rules)
    }

    /// What the whole sequence does.
    fn end(&self) -> Chain {
        let done = Statement::Goto(self.copy_name("done"));
        let [admitted, _, overflow] = counter_names(self.gate);
        let rules = match self.sequence {
            Sequence::Open => {
                let (list, seconds) = opens(&self.knock.config);
                let set = list.set(self.gate, self.family);
                let mut rules = Vec::new();
                if seconds.is_none() {
                    // It has no time that could begin anew, and a full list has no room for it twice.
                    rules.push(rule(vec![is_in(self.source, &set), done.clone()], "open already"));
                }
                let operation = if seconds.is_some() {
                    Operation::Update
                } else {
                    Operation::Add
                };
                let opens = self.element(operation, set, seconds);
                rules.push(rule(vec![opens, Statement::Counter(admitted), done], "OPEN SESAME"));
                rules.push(rule(vec![Statement::Counter(overflow)], "the list is full"));
                rules
            }
            Sequence::Close => {
                let lists = gate_lists(self.gate).into_iter();
                let own = lists.filter(|(_, source, _)| *source == self.source);
                let mut closes: Statements = own
                    .map(|(_, _, set)| self.element(Operation::Delete, set, None))
                    .gathered();
                closes.push(done);
                vec![rule(closes, "off all lists")]
            }
        };
        chain(&self.name("knocked"), rules)
    }

    fn stage_copy(&self, stage: usize) -> String {
        format!("{}_{stage}", self.copy_name("stage"))
    }

    /// What is told to the daemon.
    fn copied(&self, gates: &Gates) -> Vec<Chain> {
        let (name, word) = (&self.knock.config.name, self.sequence.word());
        let mut chains: Vec<Chain> = (1..self.steps().len())
            .map(|stage| {
                let prefix = format!("{STAGE} {name} {word} {stage}");
                chain(&self.stage_copy(stage), copies(gates, &prefix))
            })
            .gathered();
        if self.steps().len() > 1 {
            let prefix = format!("{WRONG} {name} {word}");
            chains.push(chain(&self.copy_name("wrong"), copies(gates, &prefix)));
        }
        let done = match self.sequence {
            Sequence::Open => OPEN,
            Sequence::Close => CLOSE,
        };
        chains.push(chain(&self.copy_name("done"), copies(gates, &format!("{done} {name}"))));
        chains
    }
}

/// On which list a knock puts its source, and for how many seconds.
#[must_use]
pub fn opens(knock: &config::Knock) -> (List, Option<u32>) {
    match knock.seconds {
        0 => (List::Open, None),
        seconds => (List::Knock, Some(seconds)),
    }
}

fn is_step(step: Step) -> Match {
    let field = match step.protocol {
        Protocol::Tcp => Field::TcpDport,
        Protocol::Udp => Field::UdpDport,
    };
    Match::Is(field, Value::InetService(step.port))
}
