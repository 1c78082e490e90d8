//! The table in the kernel, as the loop's actions ask for it.

use super::Daemon;
use crate::event::{Reading, Verified};
use crate::gate::{Listed, Readings};
use crate::gather::Gather;
use crate::nft;
use crate::nft::netlink::{self, Edit, Endian, Present};
use crate::ruleset;

impl Daemon {
    pub(super) fn verify(&mut self, table: &nft::Table) -> Result<Verified, String> {
        let is_told = |set: &nft::Set| set.name == ruleset::PAUSE || ruleset::is_list(set);
        let (verdict, present) = self
            .nftables
            .verify_with(table, is_told)
            .map_err(|error| error.to_string())?;
        let reading = reading(&present, &table.sets);
        Ok(Verified { verdict, reading })
    }

    /// What is in the table, in small questions that all cost the same whatever else is loaded. `table` says which lists it has.
    pub(super) fn reading(&mut self, table: Option<&nft::Table>) -> Result<Reading, String> {
        let switches = ruleset::switches().sets;
        let lists = table.map_or(&[][..], |table| &table.sets);
        let lists = lists.iter().filter(|set| ruleset::is_list(set));
        let sets: Vec<&nft::Set> = switches.iter().chain(lists).gathered();
        let looked = self.nftables.look(ruleset::TABLE, &sets);
        let present = looked.map_err(|error| error.to_string())?;
        Ok(reading(&present, table.map_or(&[][..], |table| &table.sets)))
    }

    pub(super) fn switch(&mut self, element: bool) -> Result<(), String> {
        let mut edits = vec![
            Edit::Flush {
                set: ruleset::PAUSE.into(),
            },
            Edit::Flush {
                set: ruleset::ON.into(),
            },
        ];
        if element {
            edits.push(Edit::Add {
                set: ruleset::ON.into(),
                element: ruleset::udp_element(None),
            });
        }
        self.edit(&edits)
    }

    pub(super) fn pause(&mut self, seconds: u32) -> Result<(), String> {
        let mut edits = vec![Edit::Flush {
            set: ruleset::PAUSE.into(),
        }];
        if seconds > 0 {
            edits.push(Edit::Add {
                set: ruleset::PAUSE.into(),
                element: ruleset::udp_element(Some(seconds)),
            });
        }
        self.edit(&edits)
    }

    fn edit(&mut self, edits: &[Edit]) -> Result<(), String> {
        self.nftables
            .edit(&ruleset::switches(), edits)
            .map_err(|error| error.to_string())
    }
}

/// What was read says.
fn reading(present: &Present, sets: &[nft::Set]) -> Reading {
    if !present.exists() {
        return Reading::default();
    }
    let of = |set: &nft::Set| netlink::readings(present, set, Endian::NATIVE);
    let mut lists = Readings::new();
    for set in sets.iter().filter(|set| ruleset::is_list(set)) {
        let elements = of(set);
        let listed = elements.iter().filter_map(|element| {
            Some(Listed {
                address: ruleset::address_of(&element.key)?,
                left: element.expires,
            })
        });
        lists.insert(set.name.clone(), listed.gathered());
    }
    let learned = ruleset::LEARNED.iter().filter_map(|name| lists.remove(*name));
    let learned = learned.flatten().map(|listed| listed.address).collect();
    Reading {
        present: true,
        on: !of(&ruleset::switch_set()).is_empty(),
        // One without an end is none of ours.
        paused: of(&ruleset::pause_set())
            .first()
            .map(|element| element.expires.unwrap_or(u64::MAX)),
        counters: netlink::counters(present),
        learned,
        handle: present.handle,
        lists,
    }
}
