//! Keys' files and what was accepted before, as the loop's actions ask for them.

use super::Daemon;
use crate::event::{CallId, Event, KeyFile, NewKey, ReadKeys};
use crate::spa::Keys;
use crate::system::keeper::Lost;
use crate::system::keys;
use crate::system::storage::{self, Durability};
use std::path::{Path, PathBuf};

/// In the state directory.
pub(super) const SEEN: &str = "spa.seen";

impl Daemon {
    fn seen(&self) -> PathBuf {
        self.paths.state_dir.join(SEEN)
    }

    pub(super) fn read_keys(&self, files: Vec<KeyFile>) -> Result<Event, Lost> {
        let mut read = Vec::new();
        for file in files {
            let text = self.files.read_key(&file.spa, Path::new(&file.path))?;
            read.push((file, text));
        }
        let seen = storage::read(&self.seen()).map_err(|error| error.to_string());
        Ok(Event::KeysRead(ReadKeys { keys: read, seen }))
    }

    /// What could not be kept is still remembered until the daemon ends, and a packet's age is judged in any case.
    pub(super) fn keep_seen(&self, bytes: &[u8]) {
        let kept = std::fs::create_dir_all(&self.paths.state_dir)
            .and_then(|()| storage::replace(&self.seen(), bytes, Durability::Flash));
        if let Err(error) = kept {
            log::error!(
                "spa: {}: {error}: after a restart this packet could come again until it is too old",
                self.seen().display()
            );
        }
    }

    pub(super) fn make_key(&self, new: NewKey) -> Event {
        let result = self.new_key(&new.name);
        Event::KeyMade { new, result }
    }

    fn new_key(&self, name: &str) -> Result<(String, Keys), String> {
        let path = keys::path(&self.paths.state_dir, name)?;
        let keys = Keys::from_random(&*keys::random()?);
        keys::create(&path, keys.file().as_bytes())?;
        Ok((path.display().to_string(), keys))
    }

    pub(super) fn remove_key(&self, name: String, path: Option<String>, call: CallId) -> Event {
        let directory = &self.paths.state_dir;
        let path = path.map_or_else(|| keys::path(directory, &name), |path| Ok(path.into()));
        let result = path.and_then(|path| keys::remove(directory, &path));
        Event::KeyRemoved { name, result, call }
    }
}
