//! What a knock opens, as a few rules: lanward's, or knockd's, or any mixture, so that a difference between the two has a name.

use lanward_rig::knock::Step;
use lanward_rig::knockd::Door;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What knockd does otherwise than lanward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// knockd sees only packets to ports that are in some sequence; to lanward, any other packet that would begin something is a wrong one.
    OtherPorts,
    /// To knockd a packet that comes twice is a wrong one; to lanward a step already taken is nothing.
    Repeats,
    /// While a source is at one door, knockd begins no other for it, and the packet that was wrong there begins none; to lanward each sequence is by itself.
    OneDoorAtATime,
    /// When the attempt that knockd has had for the longest time is over, it forgets all others', too (a slip in its list).
    OldestEnds,
}

impl Difference {
    pub const ALL: [Self; 4] = [Self::OtherPorts, Self::Repeats, Self::OneDoorAtATime, Self::OldestEnds];
}

/// Who sends what.
pub type Packet = (IpAddr, Step);
/// To whom which door is opened.
pub type Openings = BTreeSet<(IpAddr, String)>;

struct Attempt<'a> {
    door: &'a Door,
    source: IpAddr,
    stage: usize,
    over: bool,
}

/// What these packets open, in this order and within the timeouts. `as_lanward`: in what it is as with lanward; in the rest it is as with knockd.
pub fn openings(doors: &[Door], packets: &[Packet], as_lanward: &[Difference]) -> Openings {
    let like = |difference| as_lanward.contains(&difference);
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut opened = Openings::new();
    for (source, step) in packets {
        let of_some_door = doors.iter().any(|door| door.sequence.contains(step));
        if !of_some_door && !like(Difference::OtherPorts) {
            continue;
        }
        let oldest_is_over = attempts.first().is_some_and(|oldest| oldest.over);
        match oldest_is_over && !like(Difference::OldestEnds) {
            true => attempts.clear(),
            false => attempts.retain(|attempt| !attempt.over),
        }
        let known: Vec<String> = attempts
            .iter()
            .filter(|attempt| attempt.source == *source)
            .map(|attempt| attempt.door.name.clone())
            .collect();
        let begun: Vec<Attempt> = doors
            .iter()
            .filter(|door| match like(Difference::OneDoorAtATime) {
                true => !known.contains(&door.name),
                false => known.is_empty(),
            })
            .filter(|door| door.sequence.first() == Some(step))
            .map(|door| Attempt {
                door,
                source: *source,
                stage: 0,
                over: false,
            })
            .collect();
        attempts.extend(begun);
        for attempt in attempts.iter_mut().filter(|attempt| attempt.source == *source) {
            let sequence = &attempt.door.sequence;
            if sequence.get(attempt.stage) == Some(step) {
                attempt.stage += 1;
                if attempt.stage == sequence.len() {
                    attempt.over = true;
                    opened.insert((*source, attempt.door.name.clone()));
                }
            } else if !(like(Difference::Repeats) && sequence[..attempt.stage].contains(step)) {
                attempt.over = true;
            }
        }
    }
    opened
}

/// The fewest differences that together make these packets open something else with lanward than with knockd; empty where they open the same.
pub fn explain(doors: &[Door], packets: &[Packet]) -> Vec<Difference> {
    let lanward = openings(doors, packets, &Difference::ALL);
    // Taken away from lanward one set after the other, smallest sets first, until knockd's verdict comes out.
    let knockd = openings(doors, packets, &[]);
    if lanward == knockd {
        return Vec::new();
    }
    let mut sets: Vec<Vec<Difference>> = (1_usize..1 << Difference::ALL.len())
        .map(|bits| {
            let picked = Difference::ALL
                .iter()
                .enumerate()
                .filter(|(index, _)| bits >> index & 1 == 1);
            picked.map(|(_, difference)| *difference).collect()
        })
        .collect();
    sets.sort_by_key(Vec::len);
    let explains = |set: &Vec<Difference>| {
        let rest: Vec<Difference> = Difference::ALL
            .into_iter()
            .filter(|difference| !set.contains(difference))
            .collect();
        openings(doors, packets, &rest) == knockd
    };
    sets.into_iter().find(explains).expect("all of them make knockd")
}
