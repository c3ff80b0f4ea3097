//! Accounts that look like the company's own and are in no roster: counts by pseudonym, until they are told.

use rusqlite::params;

use super::{StoreError, Tx};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS unknown_account (
    corp      TEXT NOT NULL,
    pseudonym TEXT NOT NULL,
    messages  INTEGER NOT NULL,
    first_day INTEGER NOT NULL,
    last_day  INTEGER NOT NULL,
    PRIMARY KEY (corp, pseudonym)
) STRICT, WITHOUT ROWID;
";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRow {
    /// The corporation of the export.
    pub corp: String,
    /// Whoever it is.
    pub pseudonym: String,
    /// Messages read in which it took part.
    pub messages: u64,
    /// UTC days, days since 1970.
    pub first_day: i32,
    /// See `first_day`.
    pub last_day: i32,
}

impl Tx<'_> {
    /// Counts messages of an account that nobody knows.
    pub fn count_unknown(
        &self,
        corp: &str,
        pseudonym: &str,
        messages: u64,
        (first, last): (i64, i64),
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO unknown_account VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                 messages = messages + ?3, first_day = min(first_day, ?4), last_day = max(last_day, ?5)",
            )?
            .execute(params![corp, pseudonym, messages, first, last])?;
        Ok(())
    }

    /// The busiest of them, at most `limit`, and how many there are.
    pub fn unknown_accounts(&self, limit: u32) -> Result<(Vec<UnknownRow>, u64), StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT corp, pseudonym, messages, first_day, last_day FROM unknown_account ORDER BY messages DESC, pseudonym LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok(UnknownRow {
                corp: row.get(0)?,
                pseudonym: row.get(1)?,
                messages: row.get(2)?,
                first_day: row.get(3)?,
                last_day: row.get(4)?,
            })
        })?;
        let rows = rows.collect::<Result<_, _>>()?;
        Ok((rows, self.0.query_row("SELECT count(*) FROM unknown_account", [], |row| row.get(0))?))
    }

    /// Lets go of all of them.
    pub fn forget_unknown(&self) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM unknown_account", [])?;
        Ok(())
    }
}
