//! The table in the kernel, as the loop's actions ask for it.

use super::Daemon;
use crate::event::{Reading, Verified};
use crate::gate::{Listed, Readings};
use crate::gather::Gather;
use crate::nft;
use crate::nft::netlink::Edit;
use crate::ruleset;
use crate::system::nftables::{self, Verdict};

/// How often the table is read if it is replaced meanwhile.
const READS: u32 = 4;

impl Daemon {
    pub(super) fn verify(&mut self, table: &nft::Table) -> Result<Verified, String> {
        let verdict = self.nftables.verify(table).map_err(|error| error.to_string())?;
        let reading = match verdict {
            Verdict::Missing => Reading::default(),
            Verdict::Same | Verdict::Differs(_) => self.reading(Some(table))?,
        };
        Ok(Verified { verdict, reading })
    }

    /// What is in the table, in small questions that all cost the same whatever else is loaded. `table` says which lists it has.
    pub(super) fn reading(&mut self, table: Option<&nft::Table>) -> Result<Reading, String> {
        for _ in 0..READS {
            let Some(handle) = self.handle()? else {
                return Ok(Reading::default());
            };
            let reading = self.reading_of(handle, table)?;
            // One that was deleted in between has empty lists, which nobody has emptied.
            if self.handle()? == Some(handle) {
                return Ok(reading);
            }
        }
        Err("it comes and goes".into())
    }

    fn handle(&mut self) -> Result<Option<u64>, String> {
        let handle = self.nftables.table_handle(ruleset::TABLE);
        handle.map_err(|error| error.to_string())
    }

    fn reading_of(&mut self, handle: u64, table: Option<&nft::Table>) -> Result<Reading, String> {
        let text = |error: nftables::Error| error.to_string();
        let counters = self.nftables.counters(ruleset::TABLE).map_err(text)?;
        let on = self
            .nftables
            .elements(ruleset::TABLE, &ruleset::switch_set())
            .map_err(text)?;
        let pause = self
            .nftables
            .elements(ruleset::TABLE, &ruleset::pause_set())
            .map_err(text)?;
        let mut lists = Readings::new();
        for set in table.into_iter().flat_map(|table| &table.sets) {
            if ruleset::is_list(set) {
                lists.insert(set.name.clone(), self.list(set)?);
            }
        }
        let learned = ruleset::LEARNED.iter().filter_map(|name| lists.remove(*name));
        let learned = learned.flatten().map(|listed| listed.address).collect();
        Ok(Reading {
            present: true,
            on: !on.is_empty(),
            // One without an end is none of ours.
            paused: pause.first().map(|element| element.expires.unwrap_or(u64::MAX)),
            counters,
            learned,
            handle,
            lists,
        })
    }

    fn list(&mut self, set: &nft::Set) -> Result<Vec<Listed>, String> {
        let elements = self
            .nftables
            .elements(ruleset::TABLE, set)
            .map_err(|error| error.to_string())?;
        let listed = elements.iter().filter_map(|element| {
            Some(Listed {
                address: ruleset::address_of(&element.key)?,
                left: element.expires,
            })
        });
        Ok(listed.gathered())
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
