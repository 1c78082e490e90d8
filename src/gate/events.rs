//! What the kernel's copies say, and how much of it is told.

use crate::ruleset::gate::{ADMIT, CLOSED, REMOVE};
use std::net::IpAddr;

/// What a copied packet has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A witness has put the source on the list.
    Admitted {
        /// The gate's name.
        gate: String,
        /// The witness's.
        witness: String,
        /// Where the packet came from.
        source: IpAddr,
    },
    /// A session was closed, and with it the source's time on the list.
    Removed {
        /// The gate's name.
        gate: String,
        /// Where the packet came from.
        source: IpAddr,
    },
    /// A session was closed; was it the source's last?
    Closed {
        /// The gate's name.
        gate: String,
        /// Where the packet came from.
        source: IpAddr,
    },
}

impl Heard {
    /// Reads a copy's prefix. `None` for what no rule of ours says.
    #[must_use]
    pub fn read(prefix: &str, source: IpAddr) -> Option<Self> {
        let rest = |start: &str| prefix.strip_prefix(start)?.strip_prefix(' ');
        if let Some((gate, witness)) = rest(ADMIT).and_then(|rest| rest.split_once(' ')) {
            return Some(Self::Admitted {
                gate: gate.to_string(),
                witness: witness.to_string(),
                source,
            });
        }
        let gate = |gate: &str| gate.to_string();
        let removed = rest(REMOVE).map(gate).map(|gate| Self::Removed { gate, source });
        removed.or_else(|| rest(CLOSED).map(gate).map(|gate| Self::Closed { gate, source }))
    }
}

/// Keeps whoever comes and goes all the time from filling the log: so many lines a minute for one source, and so many for all.
#[derive(Debug, Default)]
pub struct Teller {
    /// Monotonic milliseconds at which the minute began.
    minute: u64,
    all: u32,
    sources: Vec<(IpAddr, u32)>,
    untold: u32,
}

/// Whether something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Yes; and so many were not, before.
    Yes {
        /// How many were not told in the minute before.
        untold: u32,
    },
    /// No.
    No,
}

impl Teller {
    const MINUTE: u64 = 60_000;
    /// A session has two lines; somebody who works has a few sessions in a minute.
    const OF_SOURCE: u32 = 6;
    const OF_ALL: u32 = 120;

    /// Asks whether an event of this source is told.
    pub fn ask(&mut self, source: IpAddr, now: u64) -> Told {
        let mut untold = 0;
        if now.saturating_sub(self.minute) >= Self::MINUTE {
            untold = std::mem::take(&mut self.untold);
            self.minute = now;
            self.all = 0;
            self.sources.clear();
        }
        let count = match self.sources.iter().position(|(known, _)| *known == source) {
            Some(index) => &mut self.sources[index].1,
            None if self.all >= Self::OF_ALL => {
                self.untold = self.untold.saturating_add(1);
                return Told::No;
            }
            None => {
                self.sources.push((source, 0));
                let last = self.sources.len() - 1;
                &mut self.sources[last].1
            }
        };
        if *count >= Self::OF_SOURCE || self.all >= Self::OF_ALL {
            self.untold = self.untold.saturating_add(1);
            return Told::No;
        }
        *count += 1;
        self.all += 1;
        Told::Yes { untold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [203, 0, 113, last].into()
    }

    #[test]
    fn prefixes_are_read_and_others_are_not() {
        let source = address(9);
        let (gate, witness) = ("ssh".to_string(), "@witness[0]".to_string());
        assert_eq!(
            Heard::read("lanward admit ssh @witness[0]", source),
            Some(Heard::Admitted {
                gate: gate.clone(),
                witness,
                source
            })
        );
        assert_eq!(
            Heard::read("lanward remove ssh", source),
            Some(Heard::Removed {
                gate: gate.clone(),
                source
            })
        );
        assert_eq!(
            Heard::read("lanward closed ssh", source),
            Some(Heard::Closed { gate, source })
        );
        for other in [
            "",
            "lanward",
            "lanward admit",
            "lanward admit ssh",
            "lanward removessh",
            "drop ssh x",
        ] {
            assert_eq!(Heard::read(other, source), None, "{other}");
        }
    }

    #[test]
    fn one_source_is_told_so_often_a_minute_and_the_rest_is_counted() {
        let mut teller = Teller::default();
        let told = (0..20)
            .filter(|n| teller.ask(address(1), 1_000_000 + n) != Told::No)
            .count();
        assert_eq!(told, 6);
        assert_eq!(teller.ask(address(2), 1_000_100), Told::Yes { untold: 0 });
        assert_eq!(teller.ask(address(1), 1_060_001), Told::Yes { untold: 14 });
    }

    #[test]
    fn all_sources_together_are_bounded_in_lines_and_memory() {
        let mut teller = Teller::default();
        let sources = (0..100_000u32).map(|n| IpAddr::from(n.to_be_bytes()));
        let told = sources.filter(|source| teller.ask(*source, 70_000) != Told::No).count();
        assert_eq!(told, 120);
        assert_eq!(teller.sources.len(), 120);
        assert_eq!(teller.ask(address(1), 140_000), Told::Yes { untold: 99_880 });
    }
}
