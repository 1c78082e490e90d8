//! Running flows and sessions, as the loop's actions ask for them.

use super::Daemon;
use crate::event::CutScope;
use crate::gate::Interest;
use crate::gather::Gather;
use crate::lan_only::{Doomed, Scope, UDP};
use crate::network::Links;
use crate::system::conntrack::{Conntrack, Error, Session};
use crate::system::wireguard;
use std::net::IpAddr;

impl Daemon {
    /// Ends the flows in scope and says how many, and why not all.
    pub(super) async fn cut(&mut self, scope: CutScope) -> (u32, Option<String>) {
        let links = match self.fresh_links().await {
            Ok(links) => links,
            Err(error) => return (0, Some(error)),
        };
        let scope = Scope::of(&scope.lan_only, &scope.learned, &links);
        let mut ended = 0;
        let asked = self.ask_conntrack(|conntrack| {
            let flows = conntrack.flows(UDP, &mut |flow| scope.cuts(flow))?;
            let deleted = conntrack.delete(&flows);
            ended = deleted.flows;
            deleted.error.map_or(Ok(()), Err)
        });
        (ended, asked.err())
    }

    /// The flows that [`Self::cut`] would end.
    pub(super) async fn preview(&mut self, scope: CutScope) -> Result<Vec<Doomed>, String> {
        let links = self.fresh_links().await?;
        let scope = Scope::of(&scope.lan_only, &scope.learned, &links);
        let flows = self.ask_conntrack(|conntrack| conntrack.flows(UDP, &mut |flow| scope.cuts(flow)))?;
        Ok(flows.iter().filter_map(|flow| scope.doomed(flow)).gathered())
    }

    /// The sessions of interest, in one look at conntrack.
    pub(super) fn sessions(&mut self, interest: &Interest) -> Result<Vec<Session>, String> {
        self.ask_conntrack(|conntrack| conntrack.sessions(&mut |session| interest.wants(session)))
    }

    /// Routes and neighbours change without waking anybody: what is cut is decided on fresh ones.
    async fn fresh_links(&mut self) -> Result<Links, String> {
        self.links.read().await.map_err(|error| error.to_string())
    }

    /// The socket is kept: whenever one of netfilter's is closed, the kernel first ends all that an earlier transaction of nf_tables has left to be ended,
    /// which is a wait for all processors (some 5 ms). After an error nobody knows what is still to come on it.
    fn ask_conntrack<T>(&mut self, ask: impl FnOnce(&mut Conntrack) -> Result<T, Error>) -> Result<T, String> {
        let answer = match &mut self.conntrack {
            Some(conntrack) => ask(conntrack),
            none => Conntrack::open().and_then(|conntrack| ask(none.insert(conntrack))),
        };
        if answer.is_err() {
            self.conntrack = None;
        }
        answer.map_err(|error| error.to_string())
    }
}

/// Where the VPN peer is that has this inner address.
pub(super) fn endpoint(devices: &[String], inner: IpAddr) -> Option<IpAddr> {
    match wireguard::peers(devices) {
        Ok(peers) => wireguard::endpoint_of(&peers, inner),
        Err(error) => {
            log::warn!("{error}");
            None
        }
    }
}
