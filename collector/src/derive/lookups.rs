//! Who looked a message up on an archive host.

use rusqlite::Connection;
use watchpost_proto::v1::Lookup;

/// Longest text that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

pub(super) const TABLES: &str = "
    CREATE TABLE lookup (
        log_index INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        device INTEGER NOT NULL,
        received_ms INTEGER NOT NULL,
        msgid TEXT NOT NULL,
        corp TEXT NOT NULL,
        found INTEGER NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        -- By the device's clock.
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (log_index, ordinal)
    ) STRICT, WITHOUT ROWID;
";

pub(super) fn looked_up(
    db: &Connection,
    (log_index, ordinal, device, received_ms): (u64, usize, i64, i64),
    said: &Lookup,
) -> rusqlite::Result<()> {
    let short = |text: &str| text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default().to_owned();
    db.prepare_cached("INSERT INTO lookup VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?.execute((
        log_index,
        ordinal,
        device,
        received_ms,
        short(&said.msgid),
        short(&said.corp),
        said.found,
        short(&said.by),
        short(&said.reason),
        said.at_ms,
    ))?;
    Ok(())
}
