//! Suppressions 抑制: while one holds, what it covers opens no alert for people; and cases, in which alerts are dealt with together.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::Message as _;
use watchpost_proto::v1::{CaseEntry, CaseVerb, SuppressionEntry, SuppressionVerb};

use super::{DeriveError, work};
use crate::log_store::Entry;

pub(super) const TABLES: &str = "
    -- What is empty covers any.
    CREATE TABLE suppression (
        id BLOB PRIMARY KEY,
        kind INTEGER NOT NULL,
        pack TEXT NOT NULL,
        rule TEXT NOT NULL,
        person TEXT NOT NULL,
        department TEXT NOT NULL,
        site TEXT NOT NULL,
        device BLOB NOT NULL,
        from_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        ended_ms INTEGER,
        ended_by TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE alert_case (
        id INTEGER PRIMARY KEY,
        case_id BLOB NOT NULL UNIQUE,
        person TEXT NOT NULL,
        opened_ms INTEGER NOT NULL,
        opened_by TEXT NOT NULL,
        closed_ms INTEGER,
        closed_by TEXT,
        outcome INTEGER NOT NULL,
        -- Digest of its title.
        title BLOB
    ) STRICT;
    CREATE TABLE case_event (
        id INTEGER PRIMARY KEY,
        case_id INTEGER NOT NULL,
        log_index INTEGER NOT NULL,
        -- A CaseVerb.
        verb INTEGER NOT NULL,
        by TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        note BLOB
    ) STRICT;
    CREATE INDEX case_event_case ON case_event (case_id);
    CREATE INDEX alert_case_id ON alert (case_id) WHERE case_id IS NOT NULL;
";

/// One that has not been ended.
#[derive(Clone, Debug)]
pub(super) struct Suppression {
    pub(super) id: Vec<u8>,
    pack: String,
    rule: String,
    person: String,
    department: String,
    site: String,
    device: Vec<u8>,
    from_ms: i64,
    until_ms: i64,
}

/// What arrives in an alert.
pub(super) struct Happening<'a> {
    pub(super) pack: &'a str,
    pub(super) rule: &'a str,
    pub(super) person: &'a str,
    pub(super) department: &'a str,
    pub(super) site: &'a str,
    pub(super) device: &'a [u8],
    pub(super) at_ms: i64,
}

impl Suppression {
    pub(super) fn covers(&self, it: &Happening<'_>) -> bool {
        let is_any_or = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        (self.from_ms..self.until_ms).contains(&it.at_ms)
            && is_any_or(&self.pack, it.pack)
            && is_any_or(&self.rule, it.rule)
            && is_any_or(&self.person, it.person)
            && is_any_or(&self.department, it.department)
            && is_any_or(&self.site, it.site)
            && (self.device.is_empty() || self.device == it.device)
    }
}

/// Those that have not been ended, in order.
pub(super) fn standing(db: &Connection) -> rusqlite::Result<Vec<Suppression>> {
    let mut select = db.prepare(
        "SELECT id, pack, rule, person, department, site, device, from_ms, until_ms FROM suppression
         WHERE ended_ms IS NULL ORDER BY at_ms, id",
    )?;
    let rows = select.query_map([], |row| {
        Ok(Suppression {
            id: row.get(0)?,
            pack: row.get(1)?,
            rule: row.get(2)?,
            person: row.get(3)?,
            department: row.get(4)?,
            site: row.get(5)?,
            device: row.get(6)?,
            from_ms: row.get(7)?,
            until_ms: row.get(8)?,
        })
    })?;
    rows.collect()
}

pub(super) fn apply(db: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let Ok(said) = SuppressionEntry::decode(&entry.header[..]) else { return Ok(()) };
    match said.verb() {
        SuppressionVerb::Begin => {
            db.prepare_cached(
                "INSERT INTO suppression (id, kind, pack, rule, person, department, site, device, from_ms, until_ms, by,
                     reason, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT DO NOTHING",
            )?
            .execute((
                &said.id,
                said.kind,
                &said.pack,
                &said.rule,
                &said.person,
                &said.department,
                &said.site,
                &said.device,
                said.from_ms,
                said.until_ms,
                &said.by,
                &said.reason,
                said.at_ms,
            ))?;
        }
        SuppressionVerb::End => {
            db.prepare_cached(
                "UPDATE suppression SET ended_ms = ?2, ended_by = ?3 WHERE id = ?1 AND ended_ms IS NULL",
            )?
            .execute((&said.id, said.at_ms, &said.by))?;
        }
        SuppressionVerb::Unspecified => {}
    }
    Ok(())
}

/// A step with a case. What does not fit changes nothing.
pub(super) fn case(db: &Connection, entry: &Entry) -> Result<(), DeriveError> {
    let Ok(said) = CaseEntry::decode(&entry.header[..]) else { return Ok(()) };
    let note = (!said.note.is_empty()).then_some(&said.note);
    if said.verb() == CaseVerb::Open {
        db.prepare_cached(
            "INSERT INTO alert_case (case_id, person, opened_ms, opened_by, outcome, title) VALUES (?1, ?2, ?3, ?4, 0, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute((&said.id, &said.person, said.at_ms, &said.by, note))?;
    }
    let found: Option<(i64, String, bool)> = db
        .prepare_cached("SELECT id, person, closed_ms IS NOT NULL FROM alert_case WHERE case_id = ?1")?
        .query_row([&said.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, person, is_closed)) = found else { return Ok(()) };
    let fits = match said.verb() {
        CaseVerb::Open | CaseVerb::Link | CaseVerb::Unlink if !is_closed => {
            let is_in = said.verb() != CaseVerb::Unlink;
            let mut linked = 0;
            for alert in &said.alerts {
                if let Some(alert) = work::find(db, alert)? {
                    linked += db
                        .prepare_cached(
                            "UPDATE alert SET case_id = iif(?3, ?2, NULL)
                             WHERE id = ?1 AND person = ?4 AND iif(?3, case_id IS NULL, case_id = ?2)",
                        )?
                        .execute((alert, id, is_in, &person))?;
                }
            }
            linked > 0 || said.verb() == CaseVerb::Open
        }
        CaseVerb::Note => true,
        CaseVerb::Close if !is_closed => {
            db.prepare_cached("UPDATE alert_case SET closed_ms = ?2, closed_by = ?3, outcome = ?4 WHERE id = ?1")?
                .execute((id, said.at_ms, &said.by, said.outcome))?;
            true
        }
        CaseVerb::Reopen if is_closed => {
            db.prepare_cached("UPDATE alert_case SET closed_ms = NULL, closed_by = NULL, outcome = 0 WHERE id = ?1")?
                .execute([id])?;
            true
        }
        _ => false,
    };
    if fits {
        db.prepare_cached(
            "INSERT INTO case_event (case_id, log_index, verb, by, at_ms, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((id, entry.log_index, said.verb, &said.by, said.at_ms, note))?;
    }
    Ok(())
}
