//! The relays' clients and keys, as the loop's actions ask for them.

use super::Daemon;
use crate::event::{Event, PublicKey};
use crate::gather::Gather;
use crate::system::relays::{public_line, News};
use std::path::Path;

pub(super) fn told(news: News) -> Event {
    match news {
        News::Relay { name, heard } => Event::Relay { name, heard },
        News::Key { path, result, call } => Event::RelayKeyMade { path, result, call },
    }
}

impl Daemon {
    pub(super) fn public_keys(paths: Vec<String>) -> Event {
        let keys = paths.into_iter().map(|path| PublicKey {
            line: public_line(Path::new(&path)),
            path,
        });
        Event::PublicKeys(keys.gathered())
    }
}
