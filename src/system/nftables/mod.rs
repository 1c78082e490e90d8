//! nf_tables over nfnetlink: transactions, elements, counters, notifications. Never starts `nft`.
//!
//! What is asked and answered is in [`crate::nft::netlink`]; here it is sent and received. Every request names our table (only chains
//! cannot be asked for by table: the kernel dumps those of all `inet` tables), so that the cost does not depend on what other tables hold.

mod error;
mod monitor;
mod socket;

pub use crate::nft::netlink::{Counter, Edit, Present, Reading};
pub use error::Error;
pub use monitor::{Change, Monitor};

use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::nft;
use crate::nft::netlink::neighbours::{self, Neighbour, Step};
use crate::nft::netlink::{self, kind, Endian, Message};
use crate::sorted::Map;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use socket::Socket;

/// How often something is tried again because somebody else changed the ruleset meanwhile.
const TRIES: usize = 8;

/// What became of an apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel holds the table as it was meant.
    Same,
    /// There is no such table.
    Missing,
    /// The table is there and differs: what differs, for people.
    Differs(Vec<String>),
}

/// All counters and small lists of a table.
pub type Counters = Map<String, Counter>;

/// The kernel's nf_tables, of the network namespace in which it was opened. Needs `CAP_NET_ADMIN`.
///
/// Calls block, but not for long: the kernel works a request off before it returns from `send`.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
}

/// What a reading brings along beside counters and sets.
#[derive(Clone, Copy)]
enum Parts {
    /// Nothing.
    Sets,
    /// The chains, without what is in them.
    Chains,
    /// Chains and rules.
    Rules,
}

impl Parts {
    /// What is asked for, one after the other.
    fn dumps(self) -> &'static [u8] {
        match self {
            Parts::Sets => &[kind::GETOBJ, kind::GETSET],
            Parts::Chains => &[kind::GETOBJ, kind::GETSET, kind::GETCHAIN],
            Parts::Rules => &[kind::GETOBJ, kind::GETSET, kind::GETCHAIN, kind::GETRULE],
        }
    }
}

impl Nftables {
    /// # Errors
    /// [`Error::Io`] if there is no such socket to be had.
    pub fn open() -> Result<Self, Error> {
        Ok(Nftables {
            socket: Socket::open()?,
        })
    }

    /// The number by which [`Change::Generation`] names our own transactions.
    #[must_use]
    pub fn port_id(&self) -> u32 {
        self.socket.port_id()
    }

    /// Makes the kernel's table this one, in one transaction and in place: see [`netlink::transaction`].
    ///
    /// # Errors
    /// [`Error::Fault`] if the table cannot be expressed, [`Error::Refused`] with the kernel's reason, [`Error::Io`].
    pub fn apply(&mut self, table: &nft::Table) -> Result<(), Error> {
        table.check()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let present = self.present_to_apply(table)?;
            let messages = netlink::transaction(table, &present, Endian::NATIVE);
            match self.socket.transact(&messages) {
                Err(error) if error.is_race() && tries < TRIES => log::debug!("nftables: {error}; once more"),
                result => return result,
            }
        }
    }

    /// A set whose size or timeout changes is made anew, and its elements with it: only then are lists read.
    fn present_to_apply(&mut self, table: &nft::Table) -> Result<Present, Error> {
        let present = self.present(&table.name, Parts::Chains, &[])?;
        let changed: Vec<&nft::Set> = table.sets.iter().filter(|set| present.resizes(set)).gathered();
        if changed.is_empty() {
            return Ok(present);
        }
        self.present(&table.name, Parts::Chains, &changed)
    }

    /// Holds what the kernel has against the table.
    ///
    /// # Errors
    /// [`Error::Unsteady`] if others change the ruleset faster than it can be read, [`Error::Io`], [`Error::Refused`].
    pub fn verify(&mut self, table: &nft::Table) -> Result<Verdict, Error> {
        Ok(self.verify_with(table, |_| false)?.0)
    }

    /// The same, with what was read for it: beside the configuration's elements those of the lists that are `wanted`.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_with(
        &mut self,
        table: &nft::Table,
        wanted: fn(&nft::Set) -> bool,
    ) -> Result<(Verdict, Present), Error> {
        let is_read = |set: &&nft::Set| matches!(set.contents, nft::Contents::Configuration(_)) || wanted(set);
        let sets: Vec<&nft::Set> = table.sets.iter().filter(is_read).gathered();
        let present = self.present(&table.name, Parts::Rules, &sets)?;
        if !present.exists() {
            return Ok((Verdict::Missing, present));
        }
        let differences = present.differences(table, Endian::NATIVE);
        let verdict = match differences.is_empty() {
            true => Verdict::Same,
            false => Verdict::Differs(differences),
        };
        Ok((verdict, present))
    }

    /// The counters of a table and what these sets hold, all of one generation.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn look(&mut self, table: &str, sets: &[&nft::Set]) -> Result<Present, Error> {
        self.present(table, Parts::Sets, sets)
    }

    /// The number that the kernel gave a table when it was made; `None`: there is no such table.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn table_handle(&mut self, table: &str) -> Result<Option<u64>, Error> {
        let mut message = netlink::request(kind::GETTABLE, NLM_F_ACK, &[(1, table)]);
        message.about = format!("table \"{table}\"");
        let mut handle = None;
        match self
            .socket
            .query(&message, |received| handle = handle.or(neighbours::handle(received)))
        {
            Err(error) if error.is_absence() => Ok(None),
            result => result.map(|_| handle),
        }
    }

    /// The readings of a table's named counters; none if there is no such table.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`], [`Error::Unsteady`].
    pub fn counters(&mut self, table: &str) -> Result<Counters, Error> {
        let mut present = Present::default();
        self.steadily(|nftables| {
            present = Present::default();
            nftables.dump(kind::GETOBJ, table, &[(1, table)], &mut present)
        })?;
        Ok(netlink::counters(&present))
    }

    /// What a set holds, in order; nothing if there is no such set, or one of another type.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`], [`Error::Unsteady`].
    pub fn elements(&mut self, table: &str, set: &nft::Set) -> Result<Vec<Reading>, Error> {
        let mut present = Present::default();
        self.steadily(|nftables| {
            present = Present::default();
            nftables.dump(kind::GETSET, table, &[(1, table)], &mut present)?;
            nftables.dump(kind::GETSETELEM, table, &[(1, table), (2, &set.name)], &mut present)
        })?;
        Ok(netlink::readings(&present, set, Endian::NATIVE))
    }

    /// Gives what a set of ours holds to `each`, in no order; nothing if there is no such set. Whether that was all of one generation of the ruleset: what
    /// packets add and count does not make a new one.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn each_element(&mut self, table: &str, set: &nft::Set, each: &mut dyn FnMut(Reading)) -> Result<bool, Error> {
        let message = netlink::request(kind::GETSETELEM, NLM_F_DUMP, &[(1, table), (2, &set.name)]);
        let take = |received: &netlink::Received<'_>| netlink::each_reading(received, set, Endian::NATIVE, each);
        match self.socket.query(&message, take) {
            Err(error) if error.is_absence() => Ok(true),
            result => result,
        }
    }

    /// Changes elements, in one transaction. An element that is added although it is there gets the new timeout.
    ///
    /// # Errors
    /// [`Error::Fault`] for a set that the table does not have or an element that does not fit, [`Error::Refused`] (`ENFILE`: the set
    /// is full; `ENOENT`: the kernel has no such set), [`Error::Io`].
    pub fn edit(&mut self, table: &nft::Table, edits: &[Edit]) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut ranges: Map<String, Vec<Reading>> = Map::new();
            let messages = netlink::edits::<Error>(table, edits, Endian::NATIVE, &mut |set, element| {
                if !set.interval {
                    return self.has_element(table, set, element);
                }
                if !ranges.contains_key(&set.name) {
                    ranges.insert(set.name.clone(), self.elements(&table.name, set)?);
                }
                Ok(ranges[&set.name].iter().any(|reading| reading.key == element.key))
            })?;
            match self.socket.transact(&messages) {
                Err(error) if error.is_race() && tries < TRIES => log::debug!("nftables: {error}; once more"),
                result => return result,
            }
        }
    }

    fn has_element(&mut self, table: &nft::Table, set: &nft::Set, element: &nft::Element) -> Result<bool, Error> {
        let mut message = netlink::element_request(table, set, element, Endian::NATIVE);
        message.flags |= NLM_F_ACK;
        match self.socket.query(&message, |_| {}) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absence() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a table with all that is in it. That there is none is not an error.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn delete_table(&mut self, table: &str) -> Result<(), Error> {
        let mut message = netlink::request(kind::DELTABLE, 0, &[(1, table)]);
        message.about = format!("table \"{table}\"");
        match self.socket.transact(&[message]) {
            Err(error) if error.is_absence() => Ok(()),
            result => result,
        }
    }

    /// Every table of every owner: family and name.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn tables(&mut self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut tables = Vec::new();
        for (family, name) in neighbours::FAMILIES {
            self.socket
                .query(&neighbours::dump(kind::GETTABLE, family), |received| {
                    tables.gather(neighbours::table(received).map(|table| (name, table)));
                })?;
        }
        Ok(tables)
    }

    /// Every chain of every owner that a hook calls, with its table's family.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn base_chains(&mut self) -> Result<Vec<(&'static str, Neighbour)>, Error> {
        let mut chains = Vec::new();
        for (family, name) in neighbours::FAMILIES {
            self.socket
                .query(&neighbours::dump(kind::GETCHAIN, family), |received| {
                    chains.gather(neighbours::base_chain(received, family).map(|chain| (name, chain)));
                })?;
        }
        Ok(chains)
    }

    /// What others' rules do that packets' marks may depend on, in all tables that packets of the Internet protocol go through but this one: at most
    /// so many steps. Sets are not read.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn steps(&mut self, but: &str, most: usize) -> Result<Vec<(&'static str, Step)>, Error> {
        let mut steps = Vec::new();
        for (family, name) in &neighbours::FAMILIES[..3] {
            self.socket
                .query(&neighbours::dump(kind::GETRULE, *family), |received| {
                    neighbours::steps(received, |step| {
                        if steps.len() < most && step.table != but {
                            steps.push((*name, step));
                        }
                    });
                })?;
        }
        Ok(steps)
    }

    /// The comments of a table's rules that satisfy `wanted`, in the order of its chains.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn comments(&mut self, table: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
        let mut comments = Vec::new();
        self.socket.query(&neighbours::rules(table), |received| {
            comments.gather(neighbours::rule_comment(received, table).filter(|comment| wanted(comment)));
        })?;
        Ok(comments)
    }

    /// What the kernel has of a table, all of one generation.
    fn present(&mut self, table: &str, parts: Parts, elements: &[&nft::Set]) -> Result<Present, Error> {
        let mut present = Present::default();
        self.steadily(|nftables| {
            present = Present::default();
            nftables.read(table, parts, elements, &mut present)
        })?;
        Ok(present)
    }

    fn read(
        &mut self,
        table: &str,
        parts: Parts,
        elements: &[&nft::Set],
        present: &mut Present,
    ) -> Result<bool, Error> {
        let mut message = netlink::request(kind::GETTABLE, NLM_F_ACK, &[(1, table)]);
        message.about = format!("table \"{table}\"");
        match self.socket.query(&message, |received| present.take(table, received)) {
            Err(error) if error.is_absence() => return Ok(true),
            result => result?,
        };
        for kind in parts.dumps() {
            // Chains come of all tables, whatever is asked.
            let filter: &[_] = if *kind == kind::GETCHAIN { &[] } else { &[(1, table)] };
            if !self.dump(*kind, table, filter, present)? {
                return Ok(false);
            }
        }
        for set in elements {
            if !self.dump(kind::GETSETELEM, table, &[(1, table), (2, &set.name)], present)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One dump; whether it is of one generation. What is not there (any more) is an empty dump.
    fn dump(&mut self, kind: u8, table: &str, filter: &[(u16, &str)], present: &mut Present) -> Result<bool, Error> {
        let message = netlink::request(kind, NLM_F_DUMP, filter);
        match self.socket.query(&message, |received| present.take(table, received)) {
            Err(error) if error.is_absence() => Ok(true),
            result => result,
        }
    }

    /// Reads until nobody changed anything meanwhile.
    fn steadily(&mut self, mut read: impl FnMut(&mut Self) -> Result<bool, Error>) -> Result<(), Error> {
        for _ in 0..TRIES {
            let before = self.generation()?;
            if read(self)? && self.generation()? == before {
                return Ok(());
            }
        }
        Err(Error::Unsteady)
    }

    fn generation(&mut self) -> Result<Option<u32>, Error> {
        let message = Message {
            flags: NLM_F_ACK,
            ..netlink::request(kind::GETGEN, 0, &[])
        };
        let mut id = None;
        self.socket.query(&message, |received| {
            id = netlink::generation(received).map(|generation| generation.id).or(id);
        })?;
        Ok(id)
    }
}
