//! Tables of `derived.db`.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::LogId;

use super::{desk, line, lookups, members, people, rosters, suppression, trail, work};
use crate::log_store;

/// Version of the tables and of what is derived, in `PRAGMA user_version`. Raise it with every change to either: the
/// database is then derived again.
const VERSION: i64 = 10;

const TABLES: &str = "
    CREATE TABLE position (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        log_id BLOB NOT NULL,
        next INTEGER NOT NULL,
        -- Entries the log had before the first was applied: what these have erased was never seen here.
        began INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE device (
        id INTEGER PRIMARY KEY,
        device BLOB NOT NULL UNIQUE,
        quarantined INTEGER NOT NULL DEFAULT 0,
        revoked INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        agent_version TEXT NOT NULL DEFAULT '',
        first_entry_ms INTEGER NOT NULL DEFAULT 0,
        last_entry_ms INTEGER NOT NULL DEFAULT 0,
        -- When a finding came from it last.
        last_finding_ms INTEGER NOT NULL DEFAULT 0,
        -- Findings it holds: its observations that are not withdrawn.
        findings INTEGER NOT NULL DEFAULT 0,
        forks INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    -- Each lane in the epoch of its most recent segment.
    CREATE TABLE lane (
        device INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        epoch BLOB NOT NULL,
        next_sequence INTEGER NOT NULL,
        PRIMARY KEY (device, lane)
    ) STRICT, WITHOUT ROWID;
    -- Numbers for finding ids, from 1 in the order they were first seen. Summaries tell the way back.
    CREATE TABLE finding (finding_id BLOB PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    -- A device's latest record of a finding, in log order.
    CREATE TABLE observation (
        finding INTEGER NOT NULL,
        device INTEGER NOT NULL,
        -- Empty where the record is withdrawn or its rule is not live.
        alert INTEGER,
        withdrawn INTEGER NOT NULL,
        level INTEGER NOT NULL,
        -- 0 where it has none.
        msgtime_ms INTEGER NOT NULL,
        -- The rule's own time, seconds; 0 where it names none.
        sla_s INTEGER NOT NULL,
        -- The alert in which people could see it last.
        seen_in INTEGER,
        record INTEGER NOT NULL,
        PRIMARY KEY (finding, device)
    ) STRICT, WITHOUT ROWID;
    -- Encoded summaries of observations; apart, so that lists and counts read none of them.
    CREATE TABLE record (
        id INTEGER PRIMARY KEY,
        summary BLOB NOT NULL,
        -- Its entry in the log, and its place in there.
        log_index INTEGER NOT NULL,
        place INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE file_report (
        device INTEGER NOT NULL,
        file BLOB NOT NULL,
        state INTEGER NOT NULL,
        reason TEXT NOT NULL,
        summary BLOB NOT NULL,
        PRIMARY KEY (device, file)
    ) STRICT, WITHOUT ROWID;
    -- The latest a device told of a folder and what is expected of it.
    CREATE TABLE feed (
        device INTEGER NOT NULL,
        folder BLOB NOT NULL,
        corp TEXT NOT NULL,
        expected TEXT NOT NULL,
        starved_ms INTEGER NOT NULL,
        last_export_ms INTEGER NOT NULL,
        gone_from_ms INTEGER NOT NULL,
        PRIMARY KEY (device, folder)
    ) STRICT, WITHOUT ROWID;
    -- The latest self-check of a device, and when one came through last, under which policy.
    CREATE TABLE self_check (
        device INTEGER PRIMARY KEY,
        number INTEGER NOT NULL,
        received_ms INTEGER NOT NULL,
        policy BLOB NOT NULL,
        failed INTEGER NOT NULL,
        reason TEXT NOT NULL,
        summary BLOB NOT NULL,
        passed_ms INTEGER NOT NULL,
        passed_policy BLOB NOT NULL
    ) STRICT;
    -- What became of the policy a device was offered last.
    CREATE TABLE policy_report (
        device INTEGER PRIMARY KEY,
        policy BLOB NOT NULL,
        version INTEGER NOT NULL,
        applied INTEGER NOT NULL,
        reason TEXT NOT NULL,
        detail TEXT NOT NULL,
        compile_ms INTEGER NOT NULL,
        rules INTEGER NOT NULL,
        tried INTEGER NOT NULL,
        flagged_before INTEGER NOT NULL,
        flagged_after INTEGER NOT NULL,
        received_ms INTEGER NOT NULL
    ) STRICT;
    -- The last word of a device that has not been heard of since.
    CREATE TABLE goodbye (
        device INTEGER PRIMARY KEY,
        cause INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        received_ms INTEGER NOT NULL
    ) STRICT;
    -- Who has acknowledged which version of the notice, and through which device; 0 where it was imported.
    CREATE TABLE acknowledgement (
        account TEXT NOT NULL,
        version INTEGER NOT NULL,
        device INTEGER NOT NULL,
        notice BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        received_ms INTEGER NOT NULL,
        source TEXT NOT NULL,
        PRIMARY KEY (account, version, device, notice)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX acknowledgement_device ON acknowledgement (device);
    CREATE TABLE tally (
        device INTEGER NOT NULL,
        account TEXT NOT NULL,
        hour INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        sent INTEGER NOT NULL,
        received INTEGER NOT NULL,
        flagged INTEGER NOT NULL,
        PRIMARY KEY (device, account, hour)
    ) STRICT, WITHOUT ROWID;
    -- Days at +08:00, since 1970, of which a device told of an account: what coverage is counted by.
    CREATE TABLE seen (
        day INTEGER NOT NULL,
        account TEXT NOT NULL,
        device INTEGER NOT NULL,
        PRIMARY KEY (day, account, device)
    ) STRICT, WITHOUT ROWID;
    -- What devices have seen of the log when it was another than before.
    CREATE TABLE log_change (
        log_index INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        device INTEGER NOT NULL,
        received_ms INTEGER NOT NULL,
        known TEXT NOT NULL,
        shown TEXT NOT NULL,
        introduced INTEGER NOT NULL,
        kept INTEGER NOT NULL,
        PRIMARY KEY (log_index, ordinal)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE loss (
        log_index INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        device INTEGER NOT NULL,
        reason TEXT NOT NULL,
        summary BLOB NOT NULL,
        PRIMARY KEY (log_index, ordinal)
    ) STRICT, WITHOUT ROWID;
";

/// How far a derived database has come, and of which log.
pub(super) struct Position {
    pub(super) log_id: [u8; 16],
    pub(super) next: u64,
    pub(super) began: u64,
}

pub(super) fn settings(db: &Connection) -> rusqlite::Result<()> {
    // Only while the file is empty. Half the calls for batches, and a level less for the random ids of findings.
    db.pragma_update(None, "page_size", 8192)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // Lost commits are derived again; the position commits with what it stands for.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "trusted_schema", "OFF")?;
    // At most 128 MiB, and only while that much is in use: the index of finding ids should stay in memory for about a
    // million of them.
    db.pragma_update(None, "cache_size", -131_072)?;
    // 128 MiB: a page that many batches touch is written back once.
    db.pragma_update(None, "wal_autocheckpoint", 16_384)?;
    db.pragma_update(None, "journal_size_limit", 134_217_728)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

pub(super) fn create(db: &mut Connection, log: &LogId, size: u64) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    transaction.execute_batch(TABLES)?;
    for tables in [work::TABLES, suppression::TABLES, people::TABLES] {
        transaction.execute_batch(tables)?;
    }
    transaction.execute_batch(members::TABLES)?;
    transaction.execute_batch(rosters::TABLES)?;
    transaction.execute_batch(trail::TABLE)?;
    transaction.execute_batch(lookups::TABLES)?;
    transaction.execute_batch(line::TABLES)?;
    transaction.execute_batch(desk::TABLES)?;
    transaction.execute_batch(log_store::EXPECTED)?;
    transaction
        .execute("INSERT INTO position (one, log_id, next, began) VALUES (1, ?1, 0, ?2)", (log.to_vec(), size))?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// `None` for tables of another version.
pub(super) fn read_position(db: &Connection) -> rusqlite::Result<Option<Position>> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        return Ok(None);
    }
    db.query_row("SELECT log_id, next, began FROM position", [], |row| {
        Ok(Position { log_id: row.get(0)?, next: row.get(1)?, began: row.get(2)? })
    })
    .optional()
}
