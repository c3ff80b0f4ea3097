//! Devices that were told to come to a new key, and devices whose disk is put back at each start: a fold over what was
//! decided about them.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::DeviceId;
use watchpost_proto::keys::KeyId;
use watchpost_proto::v1::{DeviceAction, DeviceVerb};

use super::StoreError;

pub(super) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS rekey (
        device BLOB PRIMARY KEY,
        -- The key it is to leave; from then on every earlier key of it is shut out. Empty where none is.
        key_id BLOB NOT NULL,
        -- Its disk is put back at each start.
        resets INTEGER NOT NULL,
        -- That a copy was shut out is in the log.
        told INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// What was decided about the keys of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RekeyFacts {
    /// The key it is to leave; from then on every earlier key of it is shut out.
    pub(crate) leave: Option<KeyId>,
    /// Its disk is put back at each start.
    pub(crate) resets: bool,
    /// That a copy was shut out is in the log.
    pub(crate) told: bool,
}

/// Takes one entry into the table.
pub(super) fn apply(db: &Connection, action: &DeviceAction) -> Result<(), StoreError> {
    match action.verb() {
        DeviceVerb::Rekey => db
            .prepare_cached(
                "INSERT OR REPLACE INTO rekey
                 VALUES (?1, coalesce((SELECT key_id FROM certificate WHERE device = ?1), x''), 0, 0)",
            )?
            .execute([&action.device])?,
        DeviceVerb::Resets => {
            db.prepare_cached("INSERT OR REPLACE INTO rekey VALUES (?1, x'', 1, 0)")?.execute([&action.device])?
        }
        DeviceVerb::ShutOut => {
            db.prepare_cached("UPDATE rekey SET told = 1 WHERE device = ?1")?.execute([&action.device])?
        }
        _ => 0,
    };
    Ok(())
}

/// What was decided about the keys of a device; `None` where nothing was.
pub(crate) fn rekey_facts(db: &Connection, device: &DeviceId) -> Result<Option<RekeyFacts>, StoreError> {
    Ok(db
        .prepare_cached("SELECT key_id, resets, told FROM rekey WHERE device = ?1")?
        .query_row([&device.0[..]], |row| {
            let leave: Vec<u8> = row.get(0)?;
            Ok(RekeyFacts { leave: KeyId::from_slice(&leave), resets: row.get(1)?, told: row.get(2)? })
        })
        .optional()?)
}

/// Hands every device about whose keys something was decided to `take`.
pub(crate) fn rekeyed(db: &Connection, mut take: impl FnMut(DeviceId)) -> Result<(), StoreError> {
    let mut statement = db.prepare("SELECT device FROM rekey")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let device = DeviceId::from_slice(row.get_ref(0)?.as_blob().unwrap_or_default());
        take(device.ok_or_else(|| StoreError::Damaged("a device id is not 16 bytes".into()))?);
    }
    Ok(())
}
