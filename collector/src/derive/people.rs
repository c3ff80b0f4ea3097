//! Who an account belongs to, from when until when: the roster in force, row by row.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::document::Kind;
use watchpost_proto::roster::account_name;
use watchpost_proto::v1::RosterEntry;
use watchpost_proto::{Digest, Message as _};

use super::DeriveError;
use crate::log_store::{self, Entry, LogReader, RosterRowAt};

pub(super) const TABLES: &str = "
    -- One row for each period of an account.
    CREATE TABLE person (
        account TEXT NOT NULL,
        from_ms INTEGER NOT NULL,
        -- 0: it goes on.
        until_ms INTEGER NOT NULL,
        employee TEXT NOT NULL,
        name TEXT NOT NULL,
        department TEXT NOT NULL,
        site TEXT NOT NULL,
        -- A JSON array.
        labels TEXT NOT NULL,
        status TEXT NOT NULL,
        never INTEGER NOT NULL,
        leaf BLOB NOT NULL,
        PRIMARY KEY (account, from_ms)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX person_leaf ON person (leaf);
    CREATE INDEX person_employee ON person (employee);
    CREATE INDEX person_account ON person (account COLLATE NOCASE);
    -- The roster these are of.
    CREATE TABLE roster_applied (one INTEGER PRIMARY KEY CHECK (one = 1), digest BLOB NOT NULL) STRICT;
";

/// Takes over a roster; returns the accounts of which it says anything else than the one before. Only what differs is read.
pub(super) fn apply(db: &Connection, entry: &Entry, log: &LogReader) -> Result<Vec<String>, DeriveError> {
    let Some(signed) = RosterEntry::decode(&entry.header[..]).ok().and_then(|entry| entry.roster) else {
        return Ok(Vec::new());
    };
    let now = Kind::Roster.digest(&signed.header);
    let before: Option<Vec<u8>> = db.query_row("SELECT digest FROM roster_applied", [], |row| row.get(0)).optional()?;
    let before = before.as_deref().and_then(Digest::from_slice);
    // One whose rows are not held says nothing of anybody.
    let Some(change) = log_store::roster_change(log.connection(), before.as_ref(), &now)? else {
        return Ok(Vec::new());
    };
    let mut changed = Vec::new();
    for leaf in &change.gone {
        let account: Option<String> = db
            .prepare_cached("SELECT account FROM person WHERE leaf = ?1")?
            .query_row([leaf], |row| row.get(0))
            .optional()?;
        db.prepare_cached("DELETE FROM person WHERE leaf = ?1")?.execute([leaf])?;
        changed.extend(account);
    }
    for come in &change.come {
        changed.push(insert(db, come)?);
    }
    db.execute("INSERT OR REPLACE INTO roster_applied (one, digest) VALUES (1, ?1)", [&now.0[..]])?;
    changed.sort_unstable();
    changed.dedup();
    Ok(changed)
}

fn insert(db: &Connection, come: &RosterRowAt) -> Result<String, DeriveError> {
    let RosterRowAt { leaf, row, details } = come;
    let account = account_name(&row.corp, &row.userid);
    let mut insert = db.prepare_cached(
        "INSERT OR REPLACE INTO person (account, from_ms, until_ms, employee, name, department, site, labels, status,
             never, leaf) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for period in &row.periods {
        let labels = serde_json::to_string(&period.labels).unwrap_or_default();
        insert.execute((
            &account,
            period.from_ms,
            period.until_ms,
            &details.employee,
            &details.name,
            &period.department,
            &period.site,
            labels,
            &period.status,
            row.never,
            leaf,
        ))?;
    }
    Ok(account)
}

/// Department and site of an account at a moment, or at the nearest the roster knows; empty for accounts it does not know.
pub(super) fn place(db: &Connection, account: &str, at_ms: i64) -> rusqlite::Result<(String, String)> {
    let found = db
        .prepare_cached(
            "SELECT department, site FROM person WHERE account = ?1
             ORDER BY from_ms > ?2, iif(from_ms > ?2, from_ms, -from_ms) LIMIT 1",
        )?
        .query_row((account, at_ms), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.unwrap_or_default())
}
