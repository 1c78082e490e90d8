//! A number that several threads count up. 32-bit MIPS has no atomic one of 64 bits.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number.
#[derive(Debug, Default)]
pub struct Count(Mutex<u64>);

impl Count {
    /// What it is.
    #[must_use]
    pub fn get(&self) -> u64 {
        *self.lock()
    }

    /// Becomes this.
    pub fn set(&self, number: u64) {
        *self.lock() = number;
    }

    /// Becomes so much more.
    pub fn add(&self, more: u64) {
        *self.lock() += more;
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
