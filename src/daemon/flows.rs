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
    /// Ends the flows in scope and says how many.
    pub(super) async fn cut(&mut self, scope: CutScope) -> Result<u32, String> {
        let links = self.fresh_links().await?;
        cut(&scope, &links).map_err(|error| error.to_string())
    }

    /// The flows that [`Self::cut`] would end.
    pub(super) async fn preview(&mut self, scope: CutScope) -> Result<Vec<Doomed>, String> {
        let links = self.fresh_links().await?;
        preview(&scope, &links).map_err(|error| error.to_string())
    }

    /// Routes and neighbours change without waking anybody: what is cut is decided on fresh ones.
    async fn fresh_links(&mut self) -> Result<Links, String> {
        self.links.read().await.map_err(|error| error.to_string())
    }
}

fn cut(scope: &CutScope, links: &Links) -> Result<u32, Error> {
    let scope = Scope::of(&scope.lan_only, &scope.learned, links);
    let mut conntrack = Conntrack::open()?;
    let flows = conntrack.flows(UDP, &mut |flow| scope.cuts(flow))?;
    conntrack.delete(&flows)
}

fn preview(scope: &CutScope, links: &Links) -> Result<Vec<Doomed>, Error> {
    let scope = Scope::of(&scope.lan_only, &scope.learned, links);
    let flows = Conntrack::open()?.flows(UDP, &mut |flow| scope.cuts(flow))?;
    Ok(flows.iter().filter_map(|flow| scope.doomed(flow)).gathered())
}

/// The sessions of interest, in one look at conntrack.
pub(super) fn sessions(interest: &Interest) -> Result<Vec<Session>, String> {
    let sessions = |mut conntrack: Conntrack| conntrack.sessions(&mut |session| interest.wants(session));
    Conntrack::open().and_then(sessions).map_err(|error| error.to_string())
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
