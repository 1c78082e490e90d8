//! How a start ends: what has the relay's port, what is left there, whether there is a script, which key it shows.

use super::sight::{self, Trouble};
use super::words::{Said, Word};
use super::{Do, Exit, Purpose, Relay, Session};

impl Relay {
    /// Nobody has answered to the script's command, or the script itself does not hold, and nothing else was wrong. Remembers it.
    pub(super) fn has_no_script(&mut self) -> bool {
        let Some(session) = &self.session else { return false };
        let is_explained = session
            .complaint
            .as_ref()
            .is_some_and(|(word, _)| sight::explains_exit(*word));
        let asked = session.purpose == Purpose::Forward { hold: true };
        let held = match &session.said {
            Some(said) => matches!(said, Said::Hold | Said::Unrecorded(_)),
            None => self.script == Some(true),
        };
        let none = asked && !held && !is_explained;
        if none {
            self.script = Some(false);
        }
        none
    }

    pub(super) fn start_ended(&mut self, exit: Exit, now: u64) -> Vec<Do> {
        let ended = matches!(exit, Exit::Ended { .. });
        if ended && self.has_no_script() {
            self.session = None;
            return self.begin(Purpose::Forward { hold: false }, now);
        }
        let Some(session) = self.session.take() else {
            return Vec::new();
        };
        let how = match exit {
            Exit::Unfit(message) => return self.fail(Trouble::lasting(message), now),
            Exit::NotStarted(message) => return self.fail(Trouble::passing(message), now),
            Exit::Ended { ref how, .. } => how.clone(),
        };
        let told = matches!(exit, Exit::Ended { told: true, .. });
        match session.purpose {
            Purpose::AskKey => self.asked_key(exit, session.complaint.as_ref(), now),
            Purpose::EndRemains => self.ended_remains(session, told, now),
            Purpose::Forward { .. } => match session.complaint {
                Some((Word::RemotePort, line)) => self.port_taken(&line, now),
                Some((word, line)) if sight::explains_exit(word) => {
                    let trouble = self.explained(word, &line);
                    self.fail(trouble, now)
                }
                _ => {
                    // The script may be gone.
                    if session.said.is_none() {
                        self.script = self.script.filter(|script| !script);
                    }
                    self.fail(Trouble::passing(format!("the client has ended: {how}")), now)
                }
            },
        }
    }

    /// What is left of the previous session, or somebody else's program, has the port.
    fn port_taken(&mut self, line: &str, now: u64) -> Vec<Do> {
        if !self.cleaned && self.script != Some(false) && self.behind.is_none() {
            return self.begin(Purpose::EndRemains, now);
        }
        let port = self.config.remote_port;
        let message = if let Some(other) = &self.behind {
            format!(
                "port {port} on the relay is taken or not allowed: relay '{other}' comes to the same account with the same key, and the first line for a key \
                 holds there: give each a key of its own ({line})"
            )
        } else if let Some(why) = &self.unrecorded {
            format!(
                "port {port} on the relay is taken or not allowed, perhaps still held by the previous session, which the script there could not note ({why}): \
                 set {} on the server ({line})",
                sight::SERVER_SETTINGS
            )
        } else if self.script == Some(true) {
            format!("port {port} on the relay is taken by another program, or not allowed to this account ({line})")
        } else {
            // The script may have been installed since.
            self.script = None;
            format!(
                "port {port} on the relay is taken or not allowed, perhaps still held by the previous session, and the account runs no script that could end it: \
                 install 'lanward relay script {}' there, or set {} on the server ({line})",
                self.config.name,
                sight::SERVER_SETTINGS
            )
        };
        self.cleaned = false;
        self.fail(Trouble::passing(message), now)
    }

    fn ended_remains(&mut self, session: Session, told: bool, now: u64) -> Vec<Do> {
        self.remains = false;
        self.cleaned = true;
        match (session.said, session.complaint) {
            (Some(Said::Refused(why)), _) => {
                let message = format!(
                    "what is left of the previous session on the relay cannot be ended ({why}): set {} on the server",
                    sight::SERVER_SETTINGS
                );
                self.cleaned = false;
                self.fail(Trouble::passing(message), now)
            }
            (None, Some((word, line))) if sight::explains_exit(word) => {
                self.cleaned = false;
                let trouble = self.explained(word, &line);
                self.fail(trouble, now)
            }
            (said, _) => {
                // Who did not come to an answer in time may have one.
                if said.is_none() && !told {
                    self.script = Some(false);
                }
                self.begin(
                    Purpose::Forward {
                        hold: self.script == Some(true),
                    },
                    now,
                )
            }
        }
    }

    fn asked_key(&mut self, exit: Exit, complaint: Option<&(Word, String)>, now: u64) -> Vec<Do> {
        self.see_key(exit);
        let trouble = match (&self.offered, complaint) {
            (Some(key), _) => Trouble::lasting(format!(
                "the relay's host key is not confirmed yet: {} ({}); compare it with the one on the relay, and set it as host_key",
                key.line(),
                key.fingerprint()
            )),
            // That it asks about the key is what it was started for.
            (None, Some((word, line))) if sight::explains_exit(*word) && *word != Word::HostKeyUnknown => {
                self.explained(*word, line)
            }
            (None, _) => Trouble::passing("the relay has shown no host key".into()),
        };
        self.fail(trouble, now)
    }

    pub(super) fn see_key(&mut self, exit: Exit) {
        if let Exit::Ended {
            host_key: Some(key), ..
        } = exit
        {
            self.offered = Some(key).filter(|key| Some(key.line()) != self.config.host_key.as_deref());
        }
    }
}
