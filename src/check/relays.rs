//! What is reachable from outside by intention.

use super::{quoted, Check, Daemon, Facts};
use crate::gather::Gather;
use crate::relay::State;

/// A way in that a relay opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The relay's name.
    pub relay: String,
    /// The account on the relay, and the key for it.
    pub login: String,
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
    let shared = facts.relays.iter().enumerate().filter_map(|(index, way)| {
        let before = facts.relays.iter().take(index).find(|other| other.login == way.login)?;
        Some(one_login(&before.relay, &way.relay))
    });
    let relay = |way| relay(way, &facts.daemon);
    facts.relays.iter().map(relay).chain(shared).gathered()
}

/// A server looks for the key, and what stands in its first line there holds.
fn one_login(first: &str, second: &str) -> Check {
    Check::warning(
        "relay",
        format!(
            "Relays {} and {} come to one account with one key, and an SSH server takes the first line of authorized_keys for a key: the second would get \
             the first one's port. Give each a key of its own: option key '/etc/lanward/NAME'.",
            quoted(first),
            quoted(second)
        ),
    )
}

fn relay(way: &Way, daemon: &Daemon) -> Check {
    let name = quoted(&way.relay);
    let (from, to) = (&way.from, &way.to);
    let why = way
        .error
        .as_deref()
        .map_or_else(String::new, |why| format!(" {}.", why.trim_end_matches('.')));
    match way.state {
        // Nobody starts it who is not there, or was not asked.
        _ if !matches!(daemon, Daemon::Asking | Daemon::Reachable) => Check::note(
            "relay",
            format!("{to} is to be reachable from outside through relay {name}, at {from}, while the daemon runs. Whether it is now is not known."),
        ),
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
