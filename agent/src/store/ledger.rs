//! What was disclosed about whom, readable by the employee for 90 days.

use std::collections::HashSet;

use super::outbox::MARK_BYTES;
use super::{StoreError, Tx, mark};
use rusqlite::{Row, params};

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

/// Added later: what an employee wants to know beside, and the record's mark, by which it is known in the outbox (in older
/// lines the salt it is made of).
pub(super) const SCHEMA_MORE: &str = "
ALTER TABLE ledger ADD COLUMN category TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger ADD COLUMN level TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger ADD COLUMN msgtime_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN parties TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN salt BLOB NOT NULL DEFAULT x'';
CREATE INDEX ledger_person ON ledger (person, at_ms);
";

/// Stands in the place of an excerpt where excerpts are not kept.
const NOT_KEPT: &str = "（本机不保存片段 not kept on this device）";

/// One finding as the ledger tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// The account concerned, `corp/userid`.
    pub person: String,
    /// The pack and rule that held.
    pub pack: String,
    /// See `pack`.
    pub rule: String,
    /// Category of the rule.
    pub category: String,
    /// Level of the finding.
    pub level: String,
    /// Time of the message; 0 unknown.
    pub msgtime_ms: i64,
    /// Own accounts that the record names beside the person concerned.
    pub parties: Vec<String>,
    /// Whether the record takes an earlier one back.
    pub withdrawn: bool,
    /// The message; empty for a window.
    pub msgid: String,
    /// The level of disclosure: `none`, `masked` or `context`.
    pub disclose: String,
    /// Exactly what left of the text.
    pub excerpt: String,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// When the record was made, milliseconds.
    pub at_ms: i64,
    /// What it disclosed.
    pub disclosed: Disclosure,
    /// By what the record is known in the outbox; empty in lines that are older than this column.
    mark: Vec<u8>,
}

impl LedgerRow {
    /// The marks that the record may have; none in lines that are older than marks.
    pub fn marks(&self) -> Option<[[u8; MARK_BYTES]; 2]> {
        let stored = self.mark.as_slice().try_into().ok()?;
        Some([stored, mark(&self.mark)])
    }
}

impl Tx<'_> {
    /// Writes what a record discloses, in the transaction that appends the record.
    pub fn disclosed(&self, at_ms: i64, entry: &Disclosure, record: &[u8]) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO ledger (at_ms, person, pack, rule, msgid, disclose, excerpt, category, level, msgtime_ms,
                                     parties, withdrawn, salt)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                at_ms,
                entry.person,
                entry.pack,
                entry.rule,
                entry.msgid,
                entry.disclose,
                if self.keeps_excerpts() || entry.excerpt.is_empty() { &entry.excerpt } else { NOT_KEPT },
                entry.category,
                entry.level,
                entry.msgtime_ms,
                entry.parties.join("\n"),
                entry.withdrawn,
                mark(record),
            ])?;
        Ok(())
    }

    /// Lets go of the excerpts that are there.
    pub fn forget_excerpts(&self) -> Result<(), StoreError> {
        self.0.execute("UPDATE ledger SET excerpt = ?1 WHERE excerpt NOT IN ('', ?1)", [NOT_KEPT])?;
        Ok(())
    }

    /// Forgets by what these records are known: they have neither arrived nor are they on their way.
    pub(super) fn forget_marks(&self, of: &HashSet<[u8; MARK_BYTES]>) -> Result<(), StoreError> {
        if of.is_empty() {
            return Ok(());
        }
        let mut statement = self.0.prepare("SELECT id, * FROM ledger")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, read(row)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        for (id, row) in rows {
            if row.marks().is_some_and(|marks| marks.iter().any(|mark| of.contains(mark))) {
                self.0.execute("UPDATE ledger SET salt = x'' WHERE id = ?1", [id])?;
            }
        }
        Ok(())
    }

    /// What was disclosed about an account since a moment, the newest first, with at most `limit`; and how many there are in all.
    pub fn disclosures(&self, account: &str, since_ms: i64, limit: usize) -> Result<(Vec<LedgerRow>, u64), StoreError> {
        let total = "SELECT count(*) FROM ledger WHERE person = ?1 AND at_ms >= ?2";
        let total = self.0.query_row(total, params![account, since_ms], |row| row.get(0))?;
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM ledger WHERE person = ?1 AND at_ms >= ?2 ORDER BY at_ms DESC, id DESC LIMIT ?3",
        )?;
        let rows = statement.query_map(params![account, since_ms, limit], read)?;
        Ok((rows.collect::<Result<_, _>>()?, total))
    }

    /// How many records about others name an account since a moment.
    pub fn mentions(&self, account: &str, since_ms: i64) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) FROM ledger WHERE person <> ?1 AND at_ms >= ?2
                 AND instr(char(10) || parties || char(10), char(10) || ?1 || char(10)) > 0",
        )?;
        Ok(statement.query_row(params![account, since_ms], |row| row.get(0))?)
    }

    /// Forgets what was disclosed before `before_ms`.
    pub fn forget_disclosures(&self, before_ms: i64) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM ledger WHERE at_ms < ?1", [before_ms])?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<LedgerRow> {
    let parties: String = row.get("parties")?;
    Ok(LedgerRow {
        at_ms: row.get("at_ms")?,
        disclosed: Disclosure {
            person: row.get("person")?,
            pack: row.get("pack")?,
            rule: row.get("rule")?,
            category: row.get("category")?,
            level: row.get("level")?,
            msgtime_ms: row.get("msgtime_ms")?,
            parties: parties.lines().map(str::to_owned).collect(),
            withdrawn: row.get("withdrawn")?,
            msgid: row.get("msgid")?,
            disclose: row.get("disclose")?,
            excerpt: row.get("excerpt")?,
        },
        mark: row.get("salt")?,
    })
}
