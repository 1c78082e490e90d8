//! What has to be so, from what was done and answered: the switch, its pause, who is listed and for how long.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How far the kernel's timeouts and this program's idea of when something was done may be apart on a busy machine.
const MARGIN: Duration = Duration::from_secs(3);

/// What may be configured in more than one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// `level`, and the first port of its range.
    pub level: (&'static str, u16),
    pub window: u64,
    pub forget: &'static str,
    pub refuse: &'static str,
}

pub const LEVELS: [(&str, u16); 3] = [("seed", 40_001), ("recommended", 32_768), ("strict", 1024)];
pub const WINDOWS: [u64; 3] = [15, 30, 60];
pub const FORGETS: [&str; 2] = ["first_fin", "never"];
pub const REFUSALS: [&str; 3] = ["zone", "reset", "drop"];

/// Whether something is so; `Unsure` near the end of a time, and where nobody has promised either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    Yes,
    No,
    Unsure,
}

impl Truth {
    /// What ends at about this time.
    fn until(end: Instant) -> Self {
        let now = Instant::now();
        if now + MARGIN < end {
            Self::Yes
        } else if now > end + MARGIN {
            Self::No
        } else {
            Self::Unsure
        }
    }
}

/// An address on the gate's lists.
#[derive(Debug, Clone, Copy)]
struct Listed {
    /// Until then at least.
    least: Instant,
    /// And not after that.
    most: Instant,
    /// By hand: the daemon knows of it, and puts it back.
    granted: bool,
}

#[derive(Debug, Clone)]
pub struct Model {
    pub on: bool,
    /// What the file says.
    pub saved: bool,
    pause: Option<Instant>,
    pub settings: Settings,
    listed: BTreeMap<IpAddr, Listed>,
}

impl Model {
    pub fn new() -> Self {
        let settings = Settings {
            level: LEVELS[0],
            window: WINDOWS[1],
            forget: FORGETS[0],
            refuse: REFUSALS[0],
        };
        Self {
            on: false,
            saved: false,
            pause: None,
            settings,
            listed: BTreeMap::new(),
        }
    }

    pub fn turned(&mut self, on: bool, saved: bool) {
        self.on = on;
        if saved {
            self.saved = on;
        }
        self.pause = None;
    }

    /// The file has the last word where it says something new. A pause is not the file's.
    pub fn configured(&mut self, saved: bool) {
        if saved != self.saved {
            self.on = saved;
        }
        self.saved = saved;
    }

    /// Nobody stays listed longer than the new window, but for grants.
    pub fn set_window(&mut self, seconds: u64) {
        self.settings.window = seconds;
        let end = Instant::now() + Duration::from_secs(seconds);
        for listed in self.listed.values_mut() {
            listed.least = listed.least.min(end);
        }
    }

    pub fn paused(&mut self, seconds: u64) {
        if self.on {
            self.pause = Some(Instant::now() + Duration::from_secs(seconds));
        }
    }

    pub fn resumed(&mut self) {
        self.pause = None;
    }

    pub fn pause(&self) -> Truth {
        self.pause.map_or(Truth::No, Truth::until)
    }

    /// Whether one has just ended by itself.
    pub fn has_pause_ended(&self) -> bool {
        self.pause.is_some() && self.pause() == Truth::No
    }

    /// Seconds that the pause has left.
    pub fn pause_left(&self) -> u64 {
        let left = self.pause.map(|end| end.saturating_duration_since(Instant::now()));
        left.unwrap_or_default().as_secs()
    }

    /// Whether UDP in the range is dropped.
    pub fn drops(&self) -> Truth {
        match (self.on, self.pause()) {
            (false, _) | (true, Truth::Yes) => Truth::No,
            (true, Truth::No) => Truth::Yes,
            (true, Truth::Unsure) => Truth::Unsure,
        }
    }

    /// Somebody has proved something: listed for so long from now on.
    pub fn proved(&mut self, address: IpAddr, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        let listed = self.listed.entry(address).or_insert(Listed {
            least: end,
            most: end,
            granted: false,
        });
        listed.least = listed.least.max(end);
        listed.most = listed.most.max(end);
    }

    /// Listed by hand. Of two grants either may hold.
    pub fn granted(&mut self, address: IpAddr, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        let before = self.listed.get(&address).copied();
        let least = before
            .filter(|before| before.granted)
            .map_or(end, |before| before.least.min(end));
        let most = before.map_or(end, |before| before.most.max(end));
        self.listed.insert(
            address,
            Listed {
                least,
                most,
                granted: true,
            },
        );
    }

    pub fn removed(&mut self, address: IpAddr) {
        self.listed.remove(&address);
    }

    pub fn flushed(&mut self) {
        self.listed.clear();
    }

    /// Nothing is sure about this address any more but that it is not listed longer than this.
    pub fn perhaps(&mut self, address: IpAddr, seconds: u64) {
        let now = Instant::now();
        let end = now + Duration::from_secs(seconds);
        let listed = self.listed.entry(address).or_insert(Listed {
            least: now,
            most: end,
            granted: false,
        });
        listed.most = listed.most.max(end);
    }

    /// A session of this address has come and gone.
    pub fn visited(&mut self, address: IpAddr) {
        if self.settings.forget == "first_fin" {
            self.removed(address);
        } else if self.listed.contains_key(&address) {
            self.perhaps(address, self.settings.window);
        }
    }

    /// The table is gone, and the daemon puts back whom it knows: sure of those listed by hand.
    pub fn lost_table(&mut self) {
        let now = Instant::now();
        for listed in self.listed.values_mut() {
            if !listed.granted {
                listed.least = now;
            }
            // What is put back is put back for whole seconds.
            listed.most += Duration::from_secs(1);
        }
    }

    pub fn is_listed(&self, address: IpAddr) -> Truth {
        let Some(listed) = self.listed.get(&address) else {
            return Truth::No;
        };
        match (Truth::until(listed.least), Truth::until(listed.most)) {
            (Truth::Yes, _) => Truth::Yes,
            (_, Truth::No) => Truth::No,
            _ => Truth::Unsure,
        }
    }

    /// Whether it was listed by hand, and so has to be in the daemon's list.
    pub fn is_granted(&self, address: IpAddr) -> bool {
        self.listed.get(&address).is_some_and(|listed| listed.granted) && self.is_listed(address) == Truth::Yes
    }

    pub fn addresses(&self) -> Vec<IpAddr> {
        self.listed.keys().copied().collect()
    }

    /// What is over is forgotten.
    pub fn tidy(&mut self) {
        let now = Instant::now();
        self.listed.retain(|_, listed| now < listed.most + 2 * MARGIN);
        if self.pause.is_some_and(|end| now > end + 2 * MARGIN) {
            self.pause = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn someone() -> IpAddr {
        [203, 0, 113, 10].into()
    }

    #[test]
    fn the_switch_follows_calls_and_the_file_where_it_says_something_new() {
        let mut model = Model::new();
        model.turned(true, false);
        assert_eq!((model.on, model.saved, model.drops()), (true, false, Truth::Yes));
        model.configured(false);
        assert!(model.on, "the file says nothing new");
        model.configured(true);
        model.configured(false);
        assert_eq!(model.drops(), Truth::No);
        model.paused(60);
        assert_eq!(model.pause(), Truth::No, "there is nothing to pause");
        model.turned(true, true);
        model.paused(60);
        assert_eq!((model.drops(), model.pause()), (Truth::No, Truth::Yes));
        model.paused(1);
        assert_eq!(model.drops(), Truth::Unsure);
        model.resumed();
        assert_eq!(model.drops(), Truth::Yes);
    }

    #[test]
    fn who_is_listed_is_sure_until_somebody_may_have_changed_it() {
        let mut model = Model::new();
        assert_eq!(model.is_listed(someone()), Truth::No);
        model.proved(someone(), 30);
        assert_eq!(
            (model.is_listed(someone()), model.is_granted(someone())),
            (Truth::Yes, false)
        );
        model.lost_table();
        assert_eq!(model.is_listed(someone()), Truth::Unsure);
        model.granted(someone(), 30);
        model.lost_table();
        assert_eq!(
            (model.is_listed(someone()), model.is_granted(someone())),
            (Truth::Yes, true)
        );
        model.granted(someone(), 1);
        assert_eq!(model.is_listed(someone()), Truth::Unsure, "either grant may hold");
        model.visited(someone());
        assert_eq!(model.is_listed(someone()), Truth::No, "its FIN takes it off");
        model.settings.forget = "never";
        model.proved(someone(), 30);
        model.visited(someone());
        assert_eq!(model.is_listed(someone()), Truth::Yes);
        model.set_window(1);
        assert_eq!(model.is_listed(someone()), Truth::Unsure);
    }
}
