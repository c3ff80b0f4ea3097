//! Tables of `search.db`.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::LogId;

use super::SearchError;
use crate::followed;
use crate::log_store::LogReader;

/// Version of the tables and of what is put into them, in `PRAGMA user_version`. Raise it with every change to either: the
/// database is then made anew.
const VERSION: i64 = 2;

const TABLES: &str = "
    CREATE TABLE position (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        log_id BLOB NOT NULL,
        next INTEGER NOT NULL,
        -- Entries the log had before the first was applied: what these have erased was never seen here.
        began INTEGER NOT NULL,
        -- Minutes by which a finding stands later than it should at most, because too many are of one minute.
        displaced INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE device (
        id INTEGER PRIMARY KEY,
        device BLOB NOT NULL UNIQUE,
        quarantined INTEGER NOT NULL DEFAULT 0,
        revoked INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    -- Names that come again and again, as numbers: rules, accounts, pseudonyms, words …
    CREATE TABLE term (
        id INTEGER PRIMARY KEY,
        kind INTEGER NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    -- People do not mind case, and corporations have names with capitals.
    CREATE INDEX term_text ON term (kind, text COLLATE NOCASE);
    -- A device's latest record of a finding of a live rule, by minute and arrival.
    CREATE TABLE found (
        place INTEGER PRIMARY KEY,
        finding BLOB NOT NULL,
        -- 0 where it is gone: withdrawn, or replaced by a later record.
        device INTEGER NOT NULL,
        rule INTEGER NOT NULL,
        category INTEGER NOT NULL,
        level INTEGER NOT NULL,
        person INTEGER NOT NULL,
        sender INTEGER NOT NULL,
        room INTEGER NOT NULL,
        msgtype INTEGER NOT NULL,
        msgtime_ms INTEGER NOT NULL,
        received_ms INTEGER NOT NULL,
        msgid TEXT NOT NULL,
        -- Where its record is in the log.
        log_index INTEGER NOT NULL,
        ordinal INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX found_finding ON found (finding, device) WHERE device <> 0;
    -- What each place is found by. Only the numbers of places are kept of a term: the text itself is not in here.
    CREATE VIRTUAL TABLE words USING fts5(
        text, content = '', columnsize = 0, detail = none, tokenize = \"ascii tokenchars '_'\"
    );
    INSERT INTO words (words, rank) VALUES ('hashsize', 16777216);
    -- Whom or what pseudonyms stand for, as imported.
    CREATE TABLE name (
        pseudonym TEXT PRIMARY KEY,
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        -- What names it in the log.
        digest BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// How far a database has come, and of which log.
pub(super) struct Position {
    pub(super) log_id: [u8; 16],
    pub(super) next: u64,
    pub(super) began: u64,
    pub(super) displaced: i64,
}

pub(super) fn settings(db: &Connection) -> rusqlite::Result<()> {
    // Only while the file is empty.
    db.pragma_update(None, "page_size", 8192)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // Lost commits are made again; the position commits with what it stands for.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "trusted_schema", "OFF")?;
    db.pragma_update(None, "cache_size", -65_536)?;
    db.pragma_update(None, "wal_autocheckpoint", 8_192)?;
    db.pragma_update(None, "journal_size_limit", 67_108_864)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// `None` for tables of another version.
pub(super) fn read_position(db: &Connection) -> rusqlite::Result<Option<Position>> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        return Ok(None);
    }
    db.query_row("SELECT log_id, next, began, displaced FROM position", [], |row| {
        Ok(Position { log_id: row.get(0)?, next: row.get(1)?, began: row.get(2)?, displaced: row.get(3)? })
    })
    .optional()
}

/// The database at `path`, if it continues to fit the log.
pub(super) fn fitting(path: &Path, log: &LogReader, size: u64) -> Result<Option<Connection>, SearchError> {
    if !path.exists() {
        return Ok(None);
    }
    let db = Connection::open(path)?;
    settings(&db)?;
    let fits = read_position(&db)?.is_some_and(|it| it.log_id == log.name().id.0 && it.next <= size);
    Ok(fits.then_some(db))
}

/// Removes what is at `path` and makes an empty database for the log.
pub(super) fn make(path: &Path, log: &LogReader) -> Result<Connection, SearchError> {
    followed::empty_file(path)?;
    let mut db = Connection::open(path)?;
    settings(&db)?;
    create(&mut db, &log.name().id, log.count()?)?;
    Ok(db)
}

fn create(db: &mut Connection, log: &LogId, size: u64) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT INTO position (one, log_id, next, began, displaced) VALUES (1, ?1, 0, ?2, 0)",
        (log.to_vec(), size),
    )?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::super::{find, index};
    use super::*;

    #[test]
    fn findings_whose_ids_begin_alike_are_told_apart_at_once() {
        let mut db = Connection::open_in_memory().unwrap();
        create(&mut db, &LogId([1; 16]), 0).unwrap();
        db.execute("INSERT INTO device (id, device) VALUES (1, x'01')", []).unwrap();
        let id = |number: u16| [&[7; 30][..], &number.to_be_bytes()].concat();
        for number in 0..2_000 {
            db.execute(
                "INSERT INTO found VALUES (?1, ?2, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, '', 1, 1)",
                (number, id(number)),
            )
            .unwrap();
        }
        for text in [find::OTHERS, index::GOES] {
            let mut statement = db.prepare(text).unwrap();
            let mut rows = statement.query((id(1_000), 1)).unwrap();
            while rows.next().unwrap().is_some() {}
            drop(rows);
            let steps = statement.get_status(StatementStatus::VmStep);
            assert!(steps < 200, "{steps} steps for {text}");
        }
    }
}
