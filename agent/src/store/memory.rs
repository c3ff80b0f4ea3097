//! Messages seen before. One table per UTC day of msgtime, so that the horizon moves by dropping a table.

use rusqlite::{CachedStatement, OptionalExtension, params};

use super::{StoreError, Tx};

/// Days ahead of the clock that are still remembered; a clock may be wrong by a time zone.
const DAYS_AHEAD: i64 = 2;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What is kept of a message: enough to know it again, and to see that it came back with another body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// UTC day of its msgtime, days since 1970.
    pub day: i64,
    /// The first 16 bytes of its mid.
    pub mid: [u8; 16],
    /// The first 8 bytes of the digest of its body.
    pub body: [u8; 8],
}

impl Remembered {
    /// `None` for a message that lies outside the horizon and can therefore not be known again.
    pub fn new(msgtime_ms: i64, now_ms: i64, horizon_days: i64, mid: &[u8; 32], body: &[u8; 32]) -> Option<Self> {
        let (day, today) = (msgtime_ms.div_euclid(DAY_MS), now_ms.div_euclid(DAY_MS));
        if day < today - horizon_days || day > today + DAYS_AHEAD {
            return None;
        }
        let (mut short_mid, mut short_body) = ([0; 16], [0; 8]);
        short_mid.copy_from_slice(&mid[..16]);
        short_body.copy_from_slice(&body[..8]);
        Some(Self { day, mid: short_mid, body: short_body })
    }
}

/// Whether a message was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Never within the horizon.
    New,
    /// With the same body.
    Repeat,
    /// With another body: evaluated again and counted as a defect.
    Altered,
}

impl Tx<'_> {
    /// Remembers messages in order and says of each whether it was seen before, also earlier in the same call.
    pub fn remember<'m>(
        &self,
        messages: impl IntoIterator<Item = &'m Option<Remembered>>,
    ) -> Result<Vec<Seen>, StoreError> {
        let messages: Vec<Option<&Remembered>> = messages.into_iter().map(Option::as_ref).collect();
        let mut order: Vec<(&Remembered, usize)> =
            messages.iter().enumerate().filter_map(|(at, message)| Some(((*message)?, at))).collect();
        // In order of the tables, so that each page of them is touched once and not once a message; a message that comes
        // twice stays in its own order.
        order.sort_by_key(|(message, at)| (message.day, message.mid, *at));
        let mut seen = vec![Seen::New; messages.len()];
        for of_day in order.chunk_by(|(a, _), (b, _)| a.day == b.day) {
            let Some((first, _)) = of_day.first() else { continue };
            let mut day = self.day(first.day)?;
            for (message, at) in of_day {
                seen[*at] = day.remember(message)?;
            }
        }
        Ok(seen)
    }

    /// Forgets every day before `now_ms` by more than the horizon.
    pub fn forget_days(&self, now_ms: i64, horizon_days: i64) -> Result<(), StoreError> {
        let oldest = now_ms.div_euclid(DAY_MS) - horizon_days;
        for day in self.days()?.into_iter().filter(|day| *day < oldest) {
            self.0.execute_batch(&format!("DROP TABLE {}", table(day)))?;
        }
        Ok(())
    }

    fn days(&self) -> Result<Vec<i64>, StoreError> {
        let mut statement =
            self.0.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'mid_*'")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(names.iter().filter_map(|name| name.strip_prefix("mid_")?.parse().ok()).collect())
    }

    fn day(&self, day: i64) -> Result<Day<'_>, StoreError> {
        let table = table(day);
        self.0.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (mid BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID"
        ))?;
        Ok(Day {
            insert: self.0.prepare_cached(&format!("INSERT OR IGNORE INTO {table} VALUES (?1, ?2)"))?,
            same: self.0.prepare_cached(&format!("SELECT body = ?2 FROM {table} WHERE mid = ?1"))?,
        })
    }
}

struct Day<'tx> {
    insert: CachedStatement<'tx>,
    same: CachedStatement<'tx>,
}

impl Day<'_> {
    fn remember(&mut self, message: &Remembered) -> Result<Seen, StoreError> {
        if self.insert.execute(params![message.mid, message.body])? == 1 {
            return Ok(Seen::New);
        }
        let same: Option<bool> =
            self.same.query_row(params![message.mid, message.body], |row| row.get(0)).optional()?;
        Ok(if same == Some(true) { Seen::Repeat } else { Seen::Altered })
    }
}

fn table(day: i64) -> String {
    // Days of a message inside the horizon of any sane clock are positive; a negative one would not be a name.
    format!("mid_{}", day.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    const NOW: i64 = 20_000 * DAY_MS;

    fn message(day: i64, mid: u8, body: u8) -> Option<Remembered> {
        Remembered::new(day * DAY_MS + 5, NOW, 45, &[mid; 32], &[body; 32])
    }

    #[test]
    fn a_message_is_new_once_and_altered_by_its_body() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = [message(20_000, 1, 1), message(20_000, 1, 1), message(19_999, 2, 1), message(20_000, 1, 9)];
        let seen = store.transaction(|tx| tx.remember(&first)).unwrap();
        assert_eq!(seen, [Seen::New, Seen::Repeat, Seen::New, Seen::Altered]);
        let seen = store.transaction(|tx| tx.remember(&first[..1])).unwrap();
        assert_eq!(seen, [Seen::Repeat]);
    }

    #[test]
    fn the_horizon_drops_whole_days() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let both = [message(20_000, 1, 1), message(19_955, 2, 1)];
        store.transaction(|tx| tx.remember(&both)).unwrap();
        store.transaction(|tx| tx.forget_days(NOW + DAY_MS, 45)).unwrap();
        assert_eq!(store.read(|tx| tx.days()).unwrap(), [20_000]);
    }

    #[test]
    fn what_lies_outside_the_horizon_is_not_remembered() {
        assert_eq!(message(19_954, 1, 1), None);
        assert_eq!(message(20_003, 1, 1), None);
        assert!(message(19_955, 1, 1).is_some() && message(20_002, 1, 1).is_some());
        assert_eq!(Remembered::new(i64::MIN, NOW, 45, &[0; 32], &[0; 32]), None);
        assert_eq!(Remembered::new(i64::MAX, NOW, 45, &[0; 32], &[0; 32]), None);
    }
}
