//! `lanward knock`: one packet to each port.

use super::parse::Knock;
use super::{complain, Exit};
use crate::config::Protocol;
use crate::system::client;
use std::time::Duration;

pub(super) fn knock(knock: &Knock) -> Exit {
    let mut to = match client::resolve(&knock.host, knock.family) {
        Ok(to) => to,
        Err(error) => {
            complain(&format!("lanward: {error}"));
            return Exit::Failed;
        }
    };
    for (at, step) in knock.steps.iter().enumerate() {
        if at > 0 {
            client::wait(Duration::from_millis(knock.delay.into()));
        }
        to.set_port(step.port);
        if let Err(error) = client::knock(to, step.protocol) {
            let word = match step.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            complain(&format!("lanward: {word}:{} of {}: {error}", step.port, to.ip()));
            return Exit::Failed;
        }
    }
    Exit::Done
}
