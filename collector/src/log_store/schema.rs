//! Tables, and the settings without which a commit would promise too much.

use rusqlite::{Connection, OpenFlags};

use super::{StoreError, aside, issued, members, named, notifications, operators, policies, requests, rosters, words};

/// Version of the tables, in `PRAGMA user_version`.
const VERSION: i64 = 5;
/// The version before records could be erased and devices could enrol: without [`ERASED`] and the tables of members.
const VERSION_FIRST: i64 = 1;
/// The version before [`members::LATER`].
const VERSION_BEFORE: i64 = 2;
/// The version before texts lay beside the log.
const VERSION_LATE: i64 = 3;
/// The version before words were kept.
const VERSION_WORDLESS: i64 = 4;
/// The first SQLite without the write-ahead log reset bug.
const SQLITE_OLDEST: i32 = 3_051_003;

const TABLES: &str = "
    -- The log itself. Rows are never changed.
    CREATE TABLE entry (
        log_index INTEGER PRIMARY KEY,
        kind INTEGER NOT NULL,
        salt BLOB NOT NULL,
        header BLOB NOT NULL,
        digest BLOB NOT NULL
    ) STRICT;
    -- The records of segments and forks; apart, so that they can be erased without touching an entry.
    CREATE TABLE payload (log_index INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    -- The hash of every complete subtree. The tree of each further log of the store has levels of its own, from 64, 128 …
    CREATE TABLE node (
        level INTEGER NOT NULL,
        idx INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (level, idx)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        log_id BLOB NOT NULL,
        origin TEXT NOT NULL,
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        term INTEGER NOT NULL
    ) STRICT;
    -- From here on: indexes over the entries, which log verify checks against them.
    CREATE TABLE lane (
        id INTEGER PRIMARY KEY,
        device BLOB NOT NULL,
        epoch BLOB NOT NULL,
        lane INTEGER NOT NULL,
        next_sequence INTEGER NOT NULL,
        head_digest BLOB NOT NULL,
        head_log_index INTEGER NOT NULL,
        received_at_ms INTEGER NOT NULL,
        UNIQUE (device, epoch, lane)
    ) STRICT;
    CREATE TABLE statement (
        lane_id INTEGER NOT NULL REFERENCES lane (id),
        sequence INTEGER NOT NULL,
        digest BLOB NOT NULL,
        log_index INTEGER NOT NULL,
        PRIMARY KEY (lane_id, sequence)
    ) STRICT, WITHOUT ROWID;
    -- Statements kept beside the one that came first.
    CREATE TABLE fork (digest BLOB PRIMARY KEY, log_index INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE device (
        device BLOB PRIMARY KEY,
        latest_epoch BLOB,
        quarantined INTEGER NOT NULL DEFAULT 0,
        revoked INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE key (
        device BLOB NOT NULL,
        key_id BLOB NOT NULL,
        spki BLOB NOT NULL,
        log_index INTEGER NOT NULL,
        PRIMARY KEY (device, key_id)
    ) STRICT, WITHOUT ROWID;
";

/// Which records were erased, and by which entry.
const ERASED: &str = "
    CREATE TABLE erased (
        log_index INTEGER NOT NULL,
        place INTEGER NOT NULL,
        erasure INTEGER NOT NULL,
        PRIMARY KEY (log_index, place)
    ) STRICT, WITHOUT ROWID;
";

/// Settings, then tables where there are none.
pub(super) fn prepare(db: &mut Connection) -> Result<(), StoreError> {
    if rusqlite::version_number() < SQLITE_OLDEST {
        return Err(StoreError::Unfit(format!("SQLite {} is too old", rusqlite::version())));
    }
    // Only while the file is empty, and any other size does as well: half the calls where segments are large, and
    // still little written where they are small.
    db.pragma_update(None, "page_size", 8192)?;
    set(db, "journal_mode", "WAL", "wal")?;
    set(db, "synchronous", "FULL", "2")?;
    set(db, "foreign_keys", "ON", "1")?;
    set(db, "trusted_schema", "OFF", "0")?;
    set(db, "mmap_size", "0", "0")?;
    // What is erased is overwritten, not only let go of.
    set(db, "secure_delete", "ON", "1")?;
    // 32 MiB between checkpoints: fewer, larger writes into the database while much comes in.
    set(db, "wal_autocheckpoint", "4000", "4000")?;
    set(db, "journal_size_limit", "67108864", "67108864")?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    match version(db)? {
        found @ (0 | VERSION_FIRST | VERSION_BEFORE | VERSION_LATE | VERSION_WORDLESS) => {
            let transaction = db.transaction()?;
            if found == 0 {
                transaction.execute_batch(TABLES)?;
            }
            if found <= VERSION_FIRST {
                transaction.execute_batch(ERASED)?;
                members::create(&transaction)?;
            }
            if found <= VERSION_BEFORE {
                members::create_later(&transaction)?;
                issued::fill(&transaction)?;
                policies::create_contents(&transaction)?;
                rosters::create(&transaction)?;
            }
            transaction.execute_batch(aside::TABLE)?;
            transaction.execute_batch(requests::TABLE)?;
            operators::create(&transaction)?;
            notifications::create(&transaction)?;
            named::create(&transaction)?;
            words::create(&transaction)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            Ok(transaction.commit()?)
        }
        VERSION => Ok(()),
        other => Err(other_version(other)),
    }
}

/// Opens an existing log for reading only.
pub(super) fn open_read_only(path: &std::path::Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    set(&db, "trusted_schema", "OFF", "0")?;
    match version(&db)? {
        VERSION => Ok(db),
        0 => Err(StoreError::Unfit("it holds no log yet; run serve first".into())),
        VERSION_FIRST | VERSION_BEFORE | VERSION_LATE | VERSION_WORDLESS => {
            Err(StoreError::Unfit("it is of an older version; run serve once".into()))
        }
        other => Err(other_version(other)),
    }
}

fn version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn other_version(found: i64) -> StoreError {
    StoreError::Unfit(format!("its tables are of version {found}, and this program knows version {VERSION}"))
}

/// Sets a pragma and reads it back: SQLite passes over what it cannot do in silence.
fn set(db: &Connection, pragma: &str, value: &str, expected: &str) -> Result<(), StoreError> {
    let text = |row: &rusqlite::Row<'_>| {
        row.get_ref(0).map(|value| match value {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        })
    };
    db.pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(no_answer)?;
    let found: String = match db.pragma_query_value(None, pragma, text) {
        // A pragma that says nothing at all is off, as mmap_size is where memory mapping is not built in.
        Err(rusqlite::Error::QueryReturnedNoRows) => "0".into(),
        other => other?,
    };
    if found == expected {
        Ok(())
    } else {
        Err(StoreError::Unfit(format!("SQLite keeps {pragma} at {found:?} instead of {expected:?}")))
    }
}

fn no_answer(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}
