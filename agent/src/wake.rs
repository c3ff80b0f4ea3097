//! Wakes a thread that waits for several things: each cause is a flag, so that none is lost or counted twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Something to wait on.
#[derive(Debug, Default)]
pub struct Wake {
    woken: Mutex<bool>,
    changed: Condvar,
    resting: AtomicBool,
}

impl Wake {
    /// Wakes the waiting thread, now or when it next waits.
    pub fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Says whether the waiting thread rests for want of room.
    pub fn set_resting(&self, resting: bool) {
        self.resting.store(resting, Ordering::Relaxed);
    }

    /// Wakes the waiting thread only if it rests for want of room.
    pub fn wake_if_resting(&self) {
        if self.resting.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Waits until woken, or until `longest` has passed; without it, as long as it takes.
    pub fn wait(&self, longest: Option<Duration>) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut woken = match longest {
            Some(longest) => {
                let waited = self.changed.wait_timeout_while(woken, longest, |woken| !*woken);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait_while(woken, |woken| !*woken).unwrap_or_else(PoisonError::into_inner),
        };
        *woken = false;
    }
}
