//! Receipts: kept for each lane of each epoch of which statements are still here, to be shown to a collector that was
//! restored and does not know them any more. What they were for may be gone; then it is a recorded loss.

use rusqlite::params;
use watchpost_proto::v1::{Lane, Receipt, SignedReceipt};
use watchpost_proto::{EpochId, Message as _};

use super::{StoreError, Tx};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS earlier_receipt (
    epoch      BLOB NOT NULL,
    lane       INTEGER NOT NULL,
    through    INTEGER NOT NULL,
    receipt    BLOB NOT NULL,
    signature  BLOB NOT NULL,
    key_id     BLOB NOT NULL,
    PRIMARY KEY (epoch, lane)
) STRICT, WITHOUT ROWID;
";

/// Receipts shown in one Hello; a collector looks at no more.
const SHOWN_MAX: usize = 64;

impl Tx<'_> {
    /// The receipts to show: the latest of each lane, then those of earlier epochs, the epoch that ended last first.
    pub fn receipts_to_show(&self) -> Result<Vec<SignedReceipt>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT receipt, signature, key_id FROM (
                 SELECT receipt, signature, key_id, 0 AS earlier, 0 AS ended, lane FROM receipt
                 UNION ALL SELECT receipt, signature, key_id, 1, coalesce(ended_ms, 0), lane
                 FROM earlier_receipt LEFT JOIN past_epoch USING (epoch)
                 WHERE NOT EXISTS (SELECT 1 FROM receipt WHERE receipt.receipt = earlier_receipt.receipt))
             ORDER BY earlier, ended DESC, lane LIMIT ?1",
        )?;
        let rows = statement.query_map([SHOWN_MAX], |row| {
            Ok(SignedReceipt { receipt: row.get(0)?, signature: row.get(1)?, key_id: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Puts the latest receipts aside for the epochs they are of, as another epoch begins.
    pub(super) fn keep_receipts(&self) -> Result<(), StoreError> {
        let mut statement = self.0.prepare("SELECT receipt, signature, key_id FROM receipt")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for row in rows {
            let (bytes, signature, key_id): (Vec<u8>, Vec<u8>, Vec<u8>) = row?;
            let Ok(receipt) = Receipt::decode(&bytes[..]) else { continue };
            let through = i64::try_from(receipt.through_sequence).unwrap_or(i64::MAX);
            self.0.execute(
                "INSERT OR REPLACE INTO earlier_receipt VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![receipt.epoch, receipt.lane, through, bytes, signature, key_id],
            )?;
        }
        Ok(())
    }

    /// Through which sequence a receipt of an earlier epoch is kept.
    pub fn earlier_receipt(&self, epoch: EpochId, lane: Lane) -> Result<Option<u64>, StoreError> {
        let mut statement =
            self.0.prepare_cached("SELECT through FROM earlier_receipt WHERE epoch = ?1 AND lane = ?2")?;
        let mut rows = statement.query_map(params![epoch.as_ref(), lane as i32], |row| row.get(0))?;
        Ok(rows.next().transpose()?)
    }

    /// Lets go of the receipts of a lane of an epoch: what they were for is not held any more.
    pub fn drop_receipts(&self, epoch: EpochId, lane: Lane) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM earlier_receipt WHERE epoch = ?1 AND lane = ?2",
            params![epoch.as_ref(), lane as i32],
        )?;
        let latest: Option<Vec<u8>> = {
            let mut statement = self.0.prepare_cached("SELECT receipt FROM receipt WHERE lane = ?1")?;
            let mut rows = statement.query_map([lane as i32], |row| row.get(0))?;
            rows.next().transpose()?
        };
        let is_of = |bytes: &Vec<u8>| Receipt::decode(&bytes[..]).is_ok_and(|receipt| receipt.epoch == epoch.0);
        if latest.as_ref().is_some_and(is_of) {
            self.0.execute("DELETE FROM receipt WHERE lane = ?1", [lane as i32])?;
        }
        Ok(())
    }

    /// Lets go of receipts of earlier epochs of which no statement is kept here.
    pub(super) fn forget_receipts(&self) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM earlier_receipt WHERE NOT EXISTS (
                 SELECT 1 FROM segment WHERE segment.epoch = earlier_receipt.epoch
                     AND segment.lane = earlier_receipt.lane)",
            [],
        )?;
        Ok(())
    }
}
