//! Writing: a group of entries with everything that belongs to them, committed together.

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use watchpost_proto::keys::KeyId;
use watchpost_proto::log::{SALT_BYTES, entry_digest, entry_leaf};
use watchpost_proto::merkle::Frontier;
use watchpost_proto::policy::Policy;
use watchpost_proto::segment::{Head, ReadStatement};
use watchpost_proto::v1::{EntryKind, Lane};
use watchpost_proto::{DeviceId, Digest, EpochId};

use super::{StoreError, digest, logs, members, policies, random};

/// A place in a device's chains: one lane of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The device.
    pub device: DeviceId,
    /// The unbroken run.
    pub epoch: EpochId,
    /// The lane.
    pub lane: Lane,
}

impl Place {
    /// Where a statement belongs.
    pub fn of(statement: &ReadStatement) -> Self {
        Self { device: statement.device, epoch: statement.epoch, lane: statement.lane }
    }
}

/// How far a lane is durable. Exists from the first statement on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// Row of the lane.
    pub id: i64,
    /// Which lane of which epoch.
    pub place: Place,
    /// Sequence of the statement expected next; at least 1.
    pub next: u64,
    /// Digest of the last statement.
    pub digest: Digest,
    /// Log index of the last statement.
    pub log_index: u64,
    /// When the last statement arrived, milliseconds since 1970.
    pub received_at_ms: i64,
}

impl LaneState {
    /// What the next statement must continue.
    pub fn head(&self) -> Head {
        Head { epoch: self.place.epoch, next: self.next, digest: Some(self.digest) }
    }
}

/// How a device stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Held out of what people see until released; still verified, stored and receipted.
    pub quarantined: bool,
    /// On the deny-list.
    pub revoked: bool,
}

/// A group of entries under way. Dropping it takes everything back.
#[derive(Debug)]
pub struct Appender<'a> {
    transaction: Transaction<'a>,
    term: i64,
    /// Number of the log, and of its first entry in the store.
    number: u32,
    first: u64,
    /// The tree with this group's leaves; replaces `committed` when the commit has returned.
    grown: Frontier,
    committed: &'a mut Frontier,
}

impl<'a> Appender<'a> {
    pub(super) fn over(
        transaction: Transaction<'a>,
        term: i64,
        (number, first): (u32, u64),
        committed: &'a mut Frontier,
    ) -> Self {
        Self { transaction, term, number, first, grown: committed.clone(), committed }
    }

    /// Reads within the group: sees what it has written.
    pub fn connection(&self) -> &Connection {
        &self.transaction
    }

    /// Whether anything was appended.
    pub fn is_empty(&self) -> bool {
        self.grown.size() == self.committed.size()
    }

    /// Appends an entry and returns its number in the store.
    ///
    /// # Errors
    /// [`StoreError`]; the group must then be dropped.
    pub fn append(&mut self, kind: EntryKind, header: &[u8]) -> Result<u64, StoreError> {
        let salt: [u8; SALT_BYTES] = random()?;
        let entry = entry_digest(kind, &salt, header);
        let log_index = self.first + self.grown.size();
        self.transaction
            .prepare_cached("INSERT INTO entry (log_index, kind, salt, header, digest) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((log_index, kind as i32, &salt[..], header, &entry.0[..]))?;
        let mut insert = self.transaction.prepare_cached("INSERT INTO node (level, idx, hash) VALUES (?1, ?2, ?3)")?;
        let (mut failed, lowest) = (None, self.number * logs::LEVELS);
        self.grown.append(entry_leaf(&entry), |level, index, hash| {
            if failed.is_none() {
                failed = insert.execute((lowest + level, index, &hash.0[..])).err();
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        members::apply(&self.transaction, log_index, kind, header)?;
        Ok(log_index)
    }

    /// Keeps the payload of the entry at `log_index`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_payload(&self, log_index: u64, payload: &[u8]) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("INSERT INTO payload (log_index, bytes) VALUES (?1, ?2)")?
            .execute((log_index, payload))?;
        Ok(())
    }

    /// Keeps the files of a policy beside the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_policy(&self, policy: &Policy) -> Result<(), StoreError> {
        policies::keep_contents(&self.transaction, &policy.header.digest, policy.contents())
    }

    /// Moves a lane's head to the statement of the entry at `log_index`, and the device's latest epoch with it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn advance(
        &self,
        held: Option<&LaneState>,
        statement: &ReadStatement,
        log_index: u64,
        received_at_ms: i64,
    ) -> Result<LaneState, StoreError> {
        let place = Place::of(statement);
        let next = statement.statement.sequence + 1;
        let head = (next, &statement.digest.0[..], log_index, received_at_ms);
        let id = match held {
            Some(held) => {
                self.transaction
                    .prepare_cached(
                        "UPDATE lane SET next_sequence = ?1, head_digest = ?2, head_log_index = ?3,
                         received_at_ms = ?4 WHERE id = ?5",
                    )?
                    .execute((head.0, head.1, head.2, head.3, held.id))?;
                held.id
            }
            None => self
                .transaction
                .prepare_cached(
                    "INSERT INTO lane (next_sequence, head_digest, head_log_index, received_at_ms,
                     device, epoch, lane) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .insert((head.0, head.1, head.2, head.3, &place.device.0[..], &place.epoch.0[..], place.lane as i32))?,
        };
        self.transaction
            .prepare_cached("INSERT INTO statement (lane_id, sequence, digest, log_index) VALUES (?1, ?2, ?3, ?4)")?
            .execute((id, statement.statement.sequence, &statement.digest.0[..], log_index))?;
        self.set_latest_epoch(&place)?;
        Ok(LaneState { id, place, next, digest: statement.digest, log_index, received_at_ms })
    }

    /// Remembers a statement that was kept beside another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_fork(&self, statement: &Digest, log_index: u64) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("INSERT INTO fork (digest, log_index) VALUES (?1, ?2)")?
            .execute((&statement.0[..], log_index))?;
        Ok(())
    }

    /// Remembers a device key by the entry that introduced it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_key(&self, device: &DeviceId, id: &KeyId, spki: &[u8], log_index: u64) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("INSERT INTO key (device, key_id, spki, log_index) VALUES (?1, ?2, ?3, ?4)")?
            .execute((&device.0[..], id.to_vec(), spki, log_index))?;
        Ok(())
    }

    /// Sets whether a device is quarantined and revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_device(&self, device: &DeviceId, quarantined: bool, revoked: bool) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO device (device, quarantined, revoked) VALUES (?1, ?2, ?3)
                 ON CONFLICT (device) DO UPDATE SET quarantined = ?2, revoked = ?3",
            )?
            .execute((&device.0[..], quarantined, revoked))?;
        Ok(())
    }

    /// Makes the group durable. When this returns, all of it is; when it fails, none of it may be acknowledged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn commit(self) -> Result<(), StoreError> {
        let Self { transaction, term, grown, committed, .. } = self;
        let swapped = transaction
            .prepare_cached("UPDATE head SET size = ?1, root = ?2 WHERE term = ?3 AND size = ?4 AND root = ?5")?
            .execute((grown.size(), grown.root().to_vec(), term, committed.size(), committed.root().to_vec()))?;
        if swapped != 1 {
            return Err(StoreError::Fenced);
        }
        transaction.commit()?;
        *committed = grown;
        Ok(())
    }

    fn set_latest_epoch(&self, place: &Place) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO device (device, latest_epoch) VALUES (?1, ?2)
                 ON CONFLICT (device) DO UPDATE SET latest_epoch = ?2 WHERE latest_epoch IS NOT ?2",
            )?
            .execute((&place.device.0[..], &place.epoch.0[..]))?;
        Ok(())
    }
}

/// How far a lane is durable; `None` before its first statement.
pub(crate) fn lane_state(db: &Connection, place: &Place) -> Result<Option<LaneState>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT id, next_sequence, head_digest, head_log_index, received_at_ms
             FROM lane WHERE device = ?1 AND epoch = ?2 AND lane = ?3",
        )?
        .query_row((&place.device.0[..], &place.epoch.0[..], place.lane as i32), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    row.map(|(id, next, head, log_index, received_at_ms)| {
        Ok(LaneState { id, place: *place, next, digest: digest(&head)?, log_index, received_at_ms })
    })
    .transpose()
}

/// Digest of the statement at a sequence of a lane.
pub(crate) fn statement_at(db: &Connection, lane: i64, sequence: u64) -> Result<Option<Digest>, StoreError> {
    let found: Option<Vec<u8>> = db
        .prepare_cached("SELECT digest FROM statement WHERE lane_id = ?1 AND sequence = ?2")?
        .query_row((lane, sequence), |row| row.get(0))
        .optional()?;
    found.as_deref().map(digest).transpose()
}

/// Whether a statement is kept as a fork already.
pub(crate) fn is_kept_fork(db: &Connection, statement: &Digest) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM fork WHERE digest = ?1")?.exists([&statement.0[..]])?)
}

/// The epoch of a device's most recent segment.
pub(crate) fn latest_epoch(db: &Connection, device: &DeviceId) -> Result<Option<EpochId>, StoreError> {
    let found: Option<Option<Vec<u8>>> = db
        .prepare_cached("SELECT latest_epoch FROM device WHERE device = ?1")?
        .query_row([&device.0[..]], |row| row.get(0))
        .optional()?;
    found
        .flatten()
        .map(|bytes| EpochId::from_slice(&bytes).ok_or_else(|| StoreError::Damaged("an epoch is not 16 bytes".into())))
        .transpose()
}

/// How a device stands; one never heard of stands well.
pub(crate) fn device_facts(db: &Connection, device: &DeviceId) -> Result<DeviceFacts, StoreError> {
    let found = db
        .prepare_cached("SELECT quarantined, revoked FROM device WHERE device = ?1")?
        .query_row([&device.0[..]], |row| Ok(DeviceFacts { quarantined: row.get(0)?, revoked: row.get(1)? }))
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Whether the log has introduced a device's key.
pub(crate) fn has_key(db: &Connection, device: &DeviceId, id: &KeyId) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM key WHERE device = ?1 AND key_id = ?2")?
        .exists((&device.0[..], id.to_vec()))?)
}
