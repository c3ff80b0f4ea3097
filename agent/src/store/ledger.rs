//! What was disclosed about whom, readable by the employee for 90 days.

use rusqlite::params;

use super::{StoreError, Tx};

pub(super) const SCHEMA: &str = "
CREATE TABLE ledger (
    id        INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    person    TEXT NOT NULL,
    pack      TEXT NOT NULL,
    rule      TEXT NOT NULL,
    msgid     TEXT NOT NULL,
    disclose  TEXT NOT NULL,
    excerpt   TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_at ON ledger (at_ms);
";

/// One finding as the ledger tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// The account concerned, `corp/userid`.
    pub person: String,
    /// The pack and rule that held.
    pub pack: String,
    /// See `pack`.
    pub rule: String,
    /// The message; empty for a window.
    pub msgid: String,
    /// The level of disclosure: `none`, `masked` or `context`.
    pub disclose: String,
    /// Exactly what left of the text.
    pub excerpt: String,
}

impl Tx<'_> {
    /// Writes what a record discloses, in the transaction that appends the record.
    pub fn disclosed(&self, at_ms: i64, entry: &Disclosure) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO ledger (at_ms, person, pack, rule, msgid, disclose, excerpt)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                at_ms,
                entry.person,
                entry.pack,
                entry.rule,
                entry.msgid,
                entry.disclose,
                entry.excerpt
            ])?;
        Ok(())
    }

    /// Forgets what was disclosed before `before_ms`.
    pub fn forget_disclosures(&self, before_ms: i64) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM ledger WHERE at_ms < ?1", [before_ms])?;
        Ok(())
    }
}
