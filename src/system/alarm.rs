//! When the daemon is woken without anything having happened.
//!
//! A timer of the kernel's, and not tokio's: that one hands a deadline from coarse slots to fine ones as it comes nearer, and wakes for each. A minute is three
//! wake-ups there.

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Instant;
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

/// With what tokio asks for and nix does not give.
#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// One timer.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<Timer>,
    /// For when it is set.
    set: Option<Instant>,
}

impl Alarm {
    /// One that is not set. To be called inside the runtime.
    ///
    /// # Errors
    /// What the system says: too many open files.
    // tokio's way to wait for a descriptor of one's own that is sound is unsafe to call.
    #[allow(unsafe_code)]
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // SAFETY: the timer is owned by what is made here, and its descriptor stays the same, and open, until that is dropped.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) }?;
        Ok(Self { timer, set: None })
    }

    /// Waits until then; `None`: for ever. Whoever drops it while it waits loses nothing, and to ask for the same time again costs no system call.
    pub async fn at(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return std::future::pending().await;
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if self.set != Some(deadline) {
                let once = Expiration::OneShot(TimeSpec::from(left));
                // It cannot fail with a time that is not zero. If it did, tokio's timer would do.
                if self.timer.get_ref().0.set(once, TimerSetTimeFlags::empty()).is_err() {
                    return tokio::time::sleep_until(deadline.into()).await;
                }
                self.set = Some(deadline);
            }
            let Ok(mut ready) = self.timer.readable().await else {
                return tokio::time::sleep_until(deadline.into()).await;
            };
            // What was ready may be of a time that was set before: then there is nothing to be read.
            if ready
                .try_io(|timer| timer.get_ref().0.wait().map_err(io::Error::from))
                .is_ok()
            {
                self.set = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run(test: impl std::future::Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("the system allows one").block_on(test);
    }

    async fn rings_within(alarm: &mut Alarm, deadline: Option<Instant>, patience: u64) -> bool {
        let patience = Duration::from_millis(patience);
        tokio::time::timeout(patience, alarm.at(deadline)).await.is_ok()
    }

    #[test]
    fn it_rings_when_it_is_time_and_not_before() {
        run(async {
            let mut alarm = Alarm::new().expect("a timer");
            let now = Instant::now();
            let later = now + Duration::from_millis(60);
            assert!(!rings_within(&mut alarm, None, 20).await);
            assert!(!rings_within(&mut alarm, Some(now + Duration::from_secs(60)), 20).await);
            assert!(rings_within(&mut alarm, Some(later), 10_000).await);
            assert!(Instant::now() >= later);
            assert!(
                rings_within(&mut alarm, Some(later), 10_000).await,
                "what is past is due"
            );
        });
    }

    #[test]
    fn one_that_was_set_for_another_time_is_not_taken_for_it() {
        run(async {
            let mut alarm = Alarm::new().expect("a timer");
            let soon = Instant::now() + Duration::from_millis(300);
            assert!(!rings_within(&mut alarm, Some(soon), 0).await);
            std::thread::sleep(soon.saturating_duration_since(Instant::now()) + Duration::from_millis(20));
            // It has rung, and nobody has heard it.
            let later = Instant::now() + Duration::from_millis(80);
            assert!(rings_within(&mut alarm, Some(later), 10_000).await);
            assert!(Instant::now() >= later);
        });
    }
}
