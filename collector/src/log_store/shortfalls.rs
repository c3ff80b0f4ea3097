//! What devices have receipts for and the store does not hold: lost when the collector was restored. A fold over the
//! entries that tell of it.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::v1::{Receipt, Shortfall};
use watchpost_proto::{Message as _, v1::Lane};

use super::{Place, StoreError};

pub(super) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS shortfall (
        device BLOB NOT NULL,
        epoch BLOB NOT NULL,
        lane INTEGER NOT NULL,
        -- The first sequence that was not held, and the last that was receipted.
        from_sequence INTEGER NOT NULL,
        through_sequence INTEGER NOT NULL,
        log_index INTEGER NOT NULL,
        PRIMARY KEY (device, epoch, lane)
    ) STRICT, WITHOUT ROWID;
";

/// Takes one entry into the table.
pub(super) fn apply(db: &Connection, log_index: u64, entry: &Shortfall) -> Result<(), StoreError> {
    for run in &entry.missing {
        let receipt = run.receipt.as_ref().map(|signed| Receipt::decode(&signed.receipt[..]));
        let Some(Ok(receipt)) = receipt else { continue };
        db.prepare_cached(
            "INSERT INTO shortfall VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET through_sequence = max(through_sequence, ?5), log_index = ?6",
        )?
        .execute((
            &entry.device,
            &receipt.epoch,
            receipt.lane,
            clamp(run.from_sequence),
            clamp(receipt.through_sequence),
            log_index,
        ))?;
    }
    Ok(())
}

fn clamp(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// Through which sequence a lane is known to have been receipted and lost.
pub(crate) fn shortfall(db: &Connection, place: &Place) -> Result<Option<u64>, StoreError> {
    let lane: Lane = place.lane;
    Ok(db
        .prepare_cached("SELECT through_sequence FROM shortfall WHERE device = ?1 AND epoch = ?2 AND lane = ?3")?
        .query_row((&place.device.0[..], &place.epoch.0[..], lane as i32), |row| row.get(0))
        .optional()?)
}
