//! What arriving says of the line, and what devices say of the machine they run on.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::v1::{Lane, Posture};

use super::told::number;

pub(super) const TABLES: &str = "
    -- The latest a device told of its machine.
    CREATE TABLE posture (
        device INTEGER PRIMARY KEY,
        os TEXT NOT NULL,
        memory_bytes INTEGER NOT NULL,
        disk_free_bytes INTEGER NOT NULL,
        received_ms INTEGER NOT NULL
    ) STRICT;
    -- Times in which something urgent was sealed on a device and had not come: from when it was sealed until it came.
    CREATE TABLE outage (
        device INTEGER NOT NULL,
        from_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL,
        PRIMARY KEY (device, from_ms)
    ) STRICT, WITHOUT ROWID;
";

/// What comes sooner was on its way, milliseconds.
const AWAY_MS_MIN: i64 = 15 * 60 * 1000;
/// Longest text that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 256;

pub(super) fn posture(db: &Connection, (device, received_ms): (i64, i64), said: &Posture) -> rusqlite::Result<()> {
    let os = said.os.get(..said.os.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
    let known = (number(said.memory_bytes), number(said.disk_free_bytes));
    db.prepare_cached("INSERT OR REPLACE INTO posture VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
        device,
        os,
        known.0,
        known.1,
        received_ms,
    ))?;
    Ok(())
}

/// A segment has come that was sealed at `sealed_ms`, 0 where nobody knows. Bulk may wait for its turn and says nothing of the line.
pub(super) fn arrived(
    db: &Connection,
    device: i64,
    lane: Lane,
    (sealed_ms, received_ms): (i64, i64),
) -> rusqlite::Result<()> {
    if lane != Lane::Urgent || sealed_ms == 0 || received_ms.saturating_sub(sealed_ms) < AWAY_MS_MIN {
        return Ok(());
    }
    let last = db
        .prepare_cached("SELECT from_ms, until_ms FROM outage WHERE device = ?1 ORDER BY from_ms DESC LIMIT 1")?
        .query_row([device], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    // What was sealed while the line was away belongs to that time.
    let same = last.filter(|(_, until_ms)| sealed_ms <= *until_ms);
    if let Some((from_ms, _)) = same {
        db.prepare_cached("DELETE FROM outage WHERE device = ?1 AND from_ms = ?2")?.execute((device, from_ms))?;
    }
    let (from_ms, until_ms) = same.unwrap_or((sealed_ms, received_ms));
    db.prepare_cached("INSERT OR REPLACE INTO outage VALUES (?1, ?2, ?3)")?.execute((
        device,
        from_ms.min(sealed_ms),
        until_ms.max(received_ms),
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;

    fn outages(db: &Connection) -> Vec<(i64, i64)> {
        let mut select = db.prepare("SELECT from_ms, until_ms FROM outage ORDER BY device, from_ms").unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_comes_long_after_it_was_sealed_tells_when_the_line_was_away() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLES).unwrap();
        let came = |sealed, received| arrived(&db, 1, Lane::Urgent, (sealed, received)).unwrap();
        came(10 * HOUR, 10 * HOUR + 1000);
        came(0, 20 * HOUR);
        arrived(&db, 1, Lane::Bulk, (HOUR, 9 * HOUR)).unwrap();
        assert_eq!(outages(&db), [], "on its way, sealed nobody knows when, or waiting for its turn");
        // Three that were sealed while the line was away come when it is back, and one of the next day.
        came(11 * HOUR, 15 * HOUR);
        came(12 * HOUR, 15 * HOUR);
        came(14 * HOUR, 15 * HOUR + 1);
        came(40 * HOUR, 43 * HOUR);
        assert_eq!(outages(&db), [(11 * HOUR, 15 * HOUR + 1), (40 * HOUR, 43 * HOUR)]);
    }
}
