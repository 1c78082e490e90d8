//! The ledger's counters and files, as the loop's actions ask for them.

use super::Daemon;
use crate::event::{Asked, CallId, Event};
use crate::gather::Gather;
use crate::json::json;
use crate::ledger::counts::{key_of, Reading};
use crate::ledger::{Service, Subject};
use crate::nft::netlink::Edit;
use crate::nft::{self, Element, Value as Key};
use crate::ruleset::ledger::{counting_sets, set, COUNTERS};
use crate::ruleset::{self, address_of};
use crate::system::clock;
use crate::system::nftables;
use crate::system::relays::Errand;
use crate::system::storage::{self, Durability};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// In the state directory.
pub(super) const FILE: &str = "ledger";
/// A file that could not be read as a whole.
pub(super) const ASIDE: &str = "ledger.aside";
/// In the run directory.
const RUN: &str = "ledger";

/// Elements of one transaction.
const AT_ONCE: usize = 128;

/// What is being written to flash, beside the loop.
pub(super) struct Writing {
    task: Errand,
    unix: u64,
    call: Option<CallId>,
}

impl Writing {
    pub(super) async fn done(&mut self) -> Result<(), String> {
        self.task.done().await.map(drop)
    }
}

impl Daemon {
    fn ledger_file(&self, name: &str) -> PathBuf {
        self.paths.state_dir.join(name)
    }

    pub(super) fn load_ledger(&self) -> Event {
        Event::LedgerLoaded {
            file: storage::read(&self.ledger_file(FILE)).map_err(|error| error.to_string()),
            run: storage::read(&self.paths.run_dir.join(RUN)).ok().flatten(),
        }
    }

    pub(super) fn set_ledger_aside(&self) -> Event {
        let aside = self.ledger_file(ASIDE);
        let result = std::fs::rename(self.ledger_file(FILE), &aside);
        Event::LedgerSetAside(match result {
            Ok(()) => Ok(aside.display().to_string()),
            Err(error) => Err(error.to_string()),
        })
    }

    pub(super) fn read_ledger(&mut self, asked: Asked) -> Event {
        Event::LedgerRead {
            result: self.counted().map_err(|error| error.to_string()),
            synchronised: clock::is_synchronised(),
            asked,
        }
    }

    /// What came is read before what was accepted of it, so that nothing seems to be an attempt that was accepted meanwhile.
    fn counted(&mut self) -> Result<Option<Reading>, nftables::Error> {
        let Some(handle) = self.nftables.table_handle(ruleset::TABLE)? else {
            return Ok(None);
        };
        let mut subjects: Vec<(Subject, [u64; 2])> = Vec::new();
        for (index, (_, set)) in counting_sets().enumerate() {
            // An element that a dump leaves out is read the next time.
            self.nftables.each_element(ruleset::TABLE, &set, &mut |element| {
                if let (Some(subject), Some(packets)) = (subject(&element.key), element.packets) {
                    let mut both = [0; 2];
                    both[index % 2] = packets;
                    subjects.push((subject, both));
                }
            })?;
        }
        let counters = self.nftables.counters(ruleset::TABLE)?;
        let packets = |name: &str| counters.get(name).map_or(0, |counter| counter.packets);
        Ok(Some(Reading {
            handle,
            totals: COUNTERS.map(packets),
            subjects: joined(subjects),
        }))
    }

    pub(super) fn forget_subjects(&mut self, subjects: Vec<Subject>) -> Event {
        let table = counting_table();
        let edits = |subject: &Subject| {
            let (subject, key) = (*subject, key_of(*subject));
            key.sets().map(|name| Edit::Delete {
                element: element(subject, &set(key, &name)),
                set: name,
            })
        };
        // Each edit takes much more memory than the element.
        let mut chunks = subjects.chunks(AT_ONCE);
        let result = chunks.try_for_each(|chunk| {
            let edits: Vec<Edit> = chunk.iter().flat_map(edits).gathered();
            self.nftables.edit(&table, &edits)
        });
        Event::SubjectsForgotten(result.map(|()| subjects).map_err(|error| error.to_string()))
    }

    pub(super) fn keep_counts(&self, bytes: &[u8]) -> Option<Event> {
        let written = self.keep(&self.paths.run_dir.join(RUN), bytes, Durability::Secret);
        self.note("ledger", written)
    }

    /// Whoever asked for what comes too late for an event of its own.
    async fn finish_writing(&mut self) {
        let Some(mut writing) = self.writing.take() else { return };
        let answer = match writing.done().await {
            Ok(()) => json!({ "ok": true }),
            Err(error) => json!({ "ok": false, "error": error }),
        };
        if let (Some(call), Value::Object(fields)) = (writing.call, answer) {
            self.bus.answer(call, Ok(&fields));
        }
    }

    pub(super) async fn commit_ledger(
        &mut self,
        bytes: Vec<u8>,
        unix: u64,
        call: Option<CallId>,
        waits: bool,
    ) -> Option<Event> {
        // One at a time: what was begun earlier must not come last.
        self.finish_writing().await;
        let path = self.ledger_file(FILE);
        let write = || write(&path, &bytes).map_err(|error| error.to_string());
        let result = match waits {
            true => write(),
            false => match Errand::begin(&|| write().map(|()| String::new())) {
                Ok(task) => {
                    self.writing = Some(Writing { task, unix, call });
                    return None;
                }
                Err(error) => Err(error.to_string()),
            },
        };
        Some(Event::LedgerCommitted { result, unix, call })
    }

    pub(super) fn committed(&mut self, result: Result<(), String>) -> Option<Event> {
        let Writing { unix, call, .. } = self.writing.take()?;
        Some(Event::LedgerCommitted { result, unix, call })
    }

    pub(super) async fn erase_ledger(&mut self, call: CallId) -> Event {
        self.finish_writing().await;
        // Where there is no table there is nothing to forget.
        let there = self.nftables.table_handle(ruleset::TABLE);
        let flushed = there.and_then(|handle| match handle {
            Some(_) => self.nftables.edit(&counting_table(), &flushes()),
            None => Ok(()),
        });
        let removed = flushed.map_err(|error| error.to_string()).and_then(|()| {
            storage::remove(&self.ledger_file(FILE))
                .and_then(|()| storage::remove(&self.ledger_file(ASIDE)))
                .map_err(|error| error.to_string())
        });
        Event::LedgerErased { result: removed, call }
    }
}

/// In order, each once: what came and what was accepted were read apart.
fn joined(mut subjects: Vec<(Subject, [u64; 2])>) -> Vec<(Subject, [u64; 2])> {
    subjects.sort_unstable();
    subjects.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 = [kept.1[0].max(later.1[0]), kept.1[1].max(later.1[1])];
        }
        same
    });
    subjects
}

fn flushes() -> Vec<Edit> {
    counting_sets().map(|(_, set)| Edit::Flush { set: set.name }).gathered()
}

/// The sets that count, as far as edits need them.
fn counting_table() -> nft::Table {
    nft::Table {
        name: ruleset::TABLE.into(),
        counters: Vec::new(),
        sets: counting_sets().map(|(_, set)| set).gathered(),
        chains: Vec::new(),
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    storage::replace(path, bytes, Durability::Flash)
}

fn subject(key: &[nft::Range]) -> Option<Subject> {
    let source = address_of(key);
    let rest = if source.is_some() { key.get(1..)? } else { key };
    let service = match rest {
        [protocol] => (&protocol.from, 0),
        [protocol, port] => match port.from {
            Key::InetService(port) => (&protocol.from, port),
            _ => return None,
        },
        _ => return None,
    };
    match service {
        (Key::InetProto(protocol), port) => Some(Subject {
            source,
            service: Service::of(*protocol, port),
        }),
        _ => None,
    }
}

fn element(subject: Subject, set: &nft::Set) -> Element {
    let source = subject.source.map(|source| match source {
        std::net::IpAddr::V4(address) => Key::Ipv4Addr(address),
        std::net::IpAddr::V6(address) => Key::Ipv6Addr(address),
    });
    let rest = [
        Key::InetProto(subject.service.protocol),
        Key::InetService(subject.service.port),
    ];
    let values = source.into_iter().chain(rest);
    Element {
        key: values.take(set.key.len()).map(nft::Range::from).gathered(),
        timeout: None,
    }
}
