//! Who has acknowledged which notice on this device.

use rusqlite::{OptionalExtension as _, params};

use super::{StoreError, Tx};
use crate::my_data::Notice;

pub(super) const SCHEMA: &str = "
CREATE TABLE acknowledgement (
    account  TEXT NOT NULL,
    version  INTEGER NOT NULL,
    notice   BLOB NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (account, version, notice)
) STRICT, WITHOUT ROWID;
";

impl Tx<'_> {
    /// Notes an acknowledgement. False where it is known already.
    pub fn put_acknowledgement(&self, account: &str, notice: &Notice, at_ms: i64) -> Result<bool, StoreError> {
        let new = self
            .0
            .prepare_cached("INSERT OR IGNORE INTO acknowledgement VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![account, notice.version, notice.digest.as_ref(), at_ms])?;
        Ok(new > 0)
    }

    /// When an account acknowledged a notice, milliseconds.
    pub fn acknowledged_ms(&self, account: &str, notice: &Notice) -> Result<Option<i64>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT at_ms FROM acknowledgement WHERE account = ?1 AND version = ?2 AND notice = ?3")?;
        let known = params![account, notice.version, notice.digest.as_ref()];
        Ok(statement.query_row(known, |row| row.get(0)).optional()?)
    }
}
