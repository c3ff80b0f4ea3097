//! The wall clock, in the one unit the contract uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime};

/// Milliseconds since 1970; negative for a clock set before that.
#[must_use]
pub fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// The clock of a running collector. All its clones go by the same one, which a test may set.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        now_ms().saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Sets it this far ahead of the system's, or behind.
    pub fn set_ahead(&self, ms: i64) {
        self.ahead_ms.store(ms, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = u64::try_from(self.now_ms()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

/// A moment, milliseconds since 1970, where people look at it: at +08:00.
fn in_china(ms: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok()?.checked_to_offset(offset!(+8))
}

/// The day of a moment at +08:00, `YYYY-MM-DD`.
pub fn day_in_china(ms: i64) -> Option<String> {
    in_china(ms)?.format(format_description!("[year]-[month]-[day]")).ok()
}

/// A moment at +08:00, to the minute.
pub(crate) fn minute_in_china(ms: i64) -> Option<String> {
    in_china(ms)?.format(format_description!("[year]-[month]-[day] [hour]:[minute]+08:00")).ok()
}

/// The first moment of a day at +08:00, given as `YYYY-MM-DD`, milliseconds since 1970.
pub(crate) fn day_begins_in_china(day: &str) -> Option<i64> {
    let date = Date::parse(day, format_description!("[year]-[month]-[day]")).ok()?;
    date.midnight().assume_offset(offset!(+8)).unix_timestamp().checked_mul(1000)
}
