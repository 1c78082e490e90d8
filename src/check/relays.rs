//! What is reachable from outside by intention.

use super::{quoted, Check, Facts};
use crate::relay::State;

/// A way in that a relay opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The relay's name.
    pub relay: String,
    /// Where somebody connects to.
    pub from: String,
    /// Where that leads.
    pub to: String,
    /// The port answers at the relay's own address, without its login.
    pub exposed: bool,
    /// Whether it does, now.
    pub state: State,
    /// Why not.
    pub error: Option<String>,
}

/// Every relay that is switched on.
pub(super) fn relays(facts: &Facts) -> Vec<Check> {
    if facts.relays.is_empty() {
        return vec![Check::fine(
            "relay",
            "No relay is switched on: nothing leads in through one.",
        )];
    }
    facts.relays.iter().map(relay).collect()
}

fn relay(way: &Way) -> Check {
    let name = quoted(&way.relay);
    let (from, to) = (&way.from, &way.to);
    let why = way.error.as_deref().map_or_else(String::new, |why| format!(" {why}."));
    match way.state {
        State::Up if way.exposed => Check::error(
            "relay",
            format!(
                "{to} is reachable through relay {name} by everybody, without the relay's login: the port answers at {from} from outside. \
                 Set GatewayPorts no on the server."
            ),
        ),
        State::Up => Check::note(
            "relay",
            format!("{to} is reachable from outside through relay {name}: {from}."),
        ),
        State::Idle | State::Starting => Check::note(
            "relay",
            format!("{to} will be reachable from outside through relay {name}, which is being started.{why}"),
        ),
        State::Backoff => Check::warning("relay", format!("Relay {name} is not up, and is tried again:{why}")),
        State::Failed => Check::warning("relay", format!("Relay {name} has failed and waits for somebody:{why}")),
    }
}
