//! What conntrack knows of the connections to witnesses and guarded services. Under flow offload the kernel's rules see only their first and last
//! packets; and that a session was its source's last, only conntrack can tell.

use super::{masked, Lists};
use crate::policy::{Gate, Gates, Witness};
use crate::system::conntrack::Session;
use std::net::IpAddr;

/// Which sessions are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    gates: Gates,
    own: Vec<IpAddr>,
}

/// A source that a live connection proves or keeps listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alive {
    /// The gate's name.
    pub gate: String,
    /// As the list holds it.
    pub source: IpAddr,
    /// The witness's name; `None`: a session of the guarded service.
    pub witness: Option<String>,
}

/// What was seen when conntrack was last looked at.
#[derive(Debug, Default)]
pub struct Sessions {
    /// The kernel's id of an entry, and the packets it had carried from the WAN.
    carried: Vec<(u32, u64)>,
}

impl Interest {
    /// Of these gates, on a router with these addresses.
    #[must_use]
    pub fn new(gates: &Gates, own: Vec<IpAddr>) -> Self {
        Self {
            gates: gates.clone(),
            own,
        }
    }

    /// Whether it is an established connection to a witness or a guarded service.
    #[must_use]
    pub fn wants(&self, session: &Session) -> bool {
        let gates = self.gates.list.iter();
        session.established
            && gates.into_iter().any(|gate| {
                self.is_guarded(gate, session) || gate.witnesses.iter().any(|witness| self.is_witness(witness, session))
            })
    }

    /// Sources with an established session of the gate's services.
    #[must_use]
    pub fn has_session(&self, gate: &Gate, source: IpAddr, sessions: &[Session]) -> bool {
        sessions.iter().any(|session| {
            session.established
                && masked(gate, session.flow.original.source) == source
                && self.is_guarded(gate, session)
        })
    }

    fn is_guarded(&self, gate: &Gate, session: &Session) -> bool {
        let to = &session.flow.original;
        !gate.shut && gate.guards(to.dest, to.dest_port, self.own.contains(&to.dest))
    }

    fn is_witness(&self, witness: &Witness, session: &Session) -> bool {
        let to = &session.flow.original;
        witness.is_at(to.dest, to.dest_port, self.own.contains(&to.dest))
    }

    /// What the sessions that have carried something lately mean for the lists: a witness's list their source, a guarded service's keep it listed.
    #[must_use]
    pub fn alive(&self, known: &mut Sessions, lists: &Lists, sessions: &[Session]) -> Vec<Alive> {
        let mut alive: Vec<Alive> = Vec::new();
        for session in sessions.iter().filter(|session| known.has_moved(session)) {
            for gate in &self.gates.list {
                let source = masked(gate, session.flow.original.source);
                let proves =
                    |witness: &&Witness| self.is_witness(witness, session) && has_carried(session, witness.min_bytes);
                let witness = gate.witnesses.iter().find(proves);
                let is_kept = || lists.has_seen(&gate.name, source) && self.is_guarded(gate, session);
                if witness.is_none() && !is_kept() {
                    continue;
                }
                alive.push(Alive {
                    gate: gate.name.clone(),
                    source,
                    witness: witness.map(|witness| witness.name.clone()),
                });
            }
        }
        // Strangers decide how many there are: sorted once, not searched for each.
        alive.sort_unstable();
        alive.dedup();
        known.note(sessions);
        alive
    }
}

/// Whether it has carried so many bytes each way.
fn has_carried(session: &Session, least: u32) -> bool {
    let least = u64::from(least);
    least == 0 || session.bytes.is_some_and(|bytes| bytes.iter().all(|way| *way >= least))
}

impl Sessions {
    /// As many as are remembered; more than the lists of a usual gate can have.
    const MOST: usize = 4096;

    /// Whether it has carried packets from the WAN since the last look. A flow table need not count, and lets go of a connection that is silent
    /// (after 30 seconds by default), so that being in it is a sign of life as well. Of what passes by the rules the kernel has seen every packet itself.
    fn has_moved(&self, session: &Session) -> bool {
        let Some([packets, _]) = session.packets.filter(|_| !session.offloaded) else {
            return session.offloaded;
        };
        let before = self.carried.binary_search_by_key(&session.flow.id, |(id, _)| *id);
        before.is_ok_and(|index| self.carried[index].1 < packets)
    }

    fn note(&mut self, sessions: &[Session]) {
        self.carried.clear();
        for session in sessions.iter().take(Self::MOST) {
            let Some([packets, _]) = session.packets else { continue };
            let place = self.carried.partition_point(|(id, _)| *id < session.flow.id);
            self.carried.insert(place, (session.flow.id, packets));
        }
    }
}
