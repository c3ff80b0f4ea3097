//! Content-free counts per account and hour: snapshots with a revision. They wait here until the bulk lane has room,
//! so nothing is lost when it has none.

use rusqlite::params;

use super::{StoreError, Tx};

pub(super) const SCHEMA: &str = "
CREATE TABLE tally (
    account   TEXT NOT NULL,
    hour      INTEGER NOT NULL,
    sent      INTEGER NOT NULL,
    received  INTEGER NOT NULL,
    flagged   INTEGER NOT NULL,
    revision  INTEGER NOT NULL,
    reported  INTEGER NOT NULL,
    PRIMARY KEY (account, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX tally_unreported ON tally (hour) WHERE reported < revision;
";

/// What to add to the counts of one account and hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TallyDelta {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages with a finding, sent or received.
    pub flagged: u64,
}

/// The counts of one account and hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TallyRow {
    /// The account, `corp/userid`.
    pub account: String,
    /// Hours since 1970.
    pub hour: u32,
    /// The counts so far.
    pub counts: TallyDelta,
    /// Rises with every change.
    pub revision: u64,
}

impl Tx<'_> {
    /// Adds to the counts of one account and hour.
    pub fn tally(&self, account: &str, hour: u32, add: TallyDelta) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO tally VALUES (?1, ?2, ?3, ?4, ?5, 1, 0)
                 ON CONFLICT DO UPDATE SET sent = sent + ?3, received = received + ?4, flagged = flagged + ?5,
                     revision = revision + 1",
            )?
            .execute(params![account, hour, add.sent, add.received, add.flagged])?;
        Ok(())
    }

    /// Counts that changed since they were last appended, oldest hour first, with at most `limit`.
    pub fn tallies_unreported(&self, limit: u32) -> Result<Vec<TallyRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT account, hour, sent, received, flagged, revision FROM tally
             WHERE reported < revision ORDER BY hour LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok(TallyRow {
                account: row.get(0)?,
                hour: row.get(1)?,
                counts: TallyDelta { sent: row.get(2)?, received: row.get(3)?, flagged: row.get(4)? },
                revision: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Counts of an account by hour, in order.
    pub fn tallies_of(&self, account: &str) -> Result<Vec<(u32, TallyDelta)>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT hour, sent, received, flagged FROM tally WHERE account = ?1 ORDER BY hour")?;
        let rows = statement.query_map([account], |row| {
            Ok((row.get(0)?, TallyDelta { sent: row.get(1)?, received: row.get(2)?, flagged: row.get(3)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that a snapshot of this revision has been appended.
    pub fn tally_reported(&self, row: &TallyRow) -> Result<(), StoreError> {
        self.0.prepare_cached("UPDATE tally SET reported = ?3 WHERE account = ?1 AND hour = ?2")?.execute(params![
            row.account,
            row.hour,
            row.revision
        ])?;
        Ok(())
    }

    /// Forgets counts of hours before `hour` that are reported.
    pub fn forget_tallies(&self, hour: u32) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM tally WHERE hour < ?1 AND reported >= revision", [hour])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_snapshot_is_cumulative_and_reported_after_each_change() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let add = TallyDelta { sent: 2, received: 1, flagged: 0 };
        store.transaction(|tx| tx.tally("ww/li", 7, add)).unwrap();
        let row = store.read(|tx| tx.tallies_unreported(9)).unwrap().remove(0);
        assert_eq!((row.revision, row.counts), (1, add));
        store.transaction(|tx| tx.tally_reported(&row)).unwrap();
        assert!(store.read(|tx| tx.tallies_unreported(9)).unwrap().is_empty());
        store.transaction(|tx| tx.tally("ww/li", 7, add)).unwrap();
        let row = store.read(|tx| tx.tallies_unreported(9)).unwrap().remove(0);
        assert_eq!((row.revision, row.counts.sent), (2, 4));
        store.transaction(|tx| tx.forget_tallies(8)).unwrap();
        assert_eq!(store.read(|tx| tx.tallies_unreported(9)).unwrap().len(), 1, "unreported counts are kept");
    }
}
