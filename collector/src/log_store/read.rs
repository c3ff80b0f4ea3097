//! Reading: entries in order, tree nodes, and what must be in memory when a process starts.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::keys::{KeyId, PublicKey};
use watchpost_proto::note::Checkpoint;
use watchpost_proto::tiles::{Content, Tile, push_entry};
use watchpost_proto::v1::EntryKind;
use watchpost_proto::{DeviceId, Digest};

use super::{LogName, PastLog, StoreError, digest, head_row, logs, schema};

/// One entry of the log with its payload, where it has one.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number in the store, counted through all of its logs.
    pub log_index: u64,
    /// The number of its kind; kinds of a later version have no name here.
    pub kind_number: i32,
    /// Random bytes of the entry digest.
    pub salt: Vec<u8>,
    /// The exact header bytes.
    pub header: Vec<u8>,
    /// The digest as stored.
    pub digest: Vec<u8>,
    /// The payload of a segment or fork.
    pub payload: Option<Vec<u8>>,
}

impl Entry {
    /// The kind; unspecified for one of a later version.
    pub fn kind(&self) -> EntryKind {
        EntryKind::try_from(self.kind_number).unwrap_or(EntryKind::Unspecified)
    }
}

/// A log and the store it is in, opened for reading only. Works while another process appends.
///
/// Heads, nodes and tiles are those of one log: the present one, unless another was chosen. Entries are numbered through
/// all logs of the store.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    db: Connection,
    name: LogName,
    /// Number of the log, and of its first entry in the store.
    place: (u32, u64),
    /// The last head, where the log has ended.
    ended: Option<PastLog>,
}

impl LogReader {
    /// Opens the log at `path`.
    ///
    /// # Errors
    /// [`StoreError`]: no log, or not one of this version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Unfit(format!("{} does not exist; run serve first", path.display())));
        }
        let db = schema::open_read_only(path)?;
        let head = head_row(&db)?.ok_or_else(|| StoreError::Unfit("it holds no log yet; run serve first".into()))?;
        let place = logs::present(&db)?;
        Ok(Self { path: path.to_owned(), db, name: head.name, place, ended: None })
    }

    /// Opens an earlier log of the same store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_past(&self, past: PastLog) -> Result<Self, StoreError> {
        let reader = Self::open(&self.path)?;
        Ok(Self { name: past.name.clone(), place: (past.number, past.first), ended: Some(past), ..reader })
    }

    /// Opens the present log of the same store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_present(&self) -> Result<Self, StoreError> {
        Self::open(&self.path)
    }

    /// The logs that have ended, from the first on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn past(&self) -> Result<Vec<PastLog>, StoreError> {
        logs::past_logs(&self.db)
    }

    /// Number of this log's first entry in the store.
    pub fn first(&self) -> u64 {
        self.place.1
    }

    /// This log's last head with its note, where it has ended.
    pub fn ended(&self) -> Option<&PastLog> {
        self.ended.as_ref()
    }

    /// Entries in the store, through all of its logs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count(&self) -> Result<u64, StoreError> {
        // In one read: a log may end between two.
        let count = "SELECT size + coalesce((SELECT max(first + size) FROM past_log), 0) FROM head";
        Ok(self.db.query_row(count, [], |row| row.get(0))?)
    }

    /// Which log this is.
    pub fn name(&self) -> &LogName {
        &self.name
    }

    /// The connection, for further questions.
    pub fn connection(&self) -> &Connection {
        &self.db
    }

    /// The head as last committed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        if let Some(past) = &self.ended {
            return Ok(past.head.clone());
        }
        let head = head_row(&self.db)?.ok_or_else(|| StoreError::Damaged("it has no head".into()))?;
        Ok(Checkpoint { origin: head.name.origin, size: head.size, root: head.root })
    }

    /// Hands the entries from `from` on to `take`, in order, until `take` says no or the log ends.
    ///
    /// # Errors
    /// [`StoreError`], or what `take` returned.
    pub fn entries<E: From<StoreError>>(
        &self,
        from: u64,
        mut take: impl FnMut(Entry) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut statement = self
            .db
            .prepare_cached(
                "SELECT entry.log_index, kind, salt, header, digest, bytes
                 FROM entry LEFT JOIN payload ON payload.log_index = entry.log_index
                 WHERE entry.log_index >= ?1 ORDER BY entry.log_index",
            )
            .map_err(StoreError::from)?;
        let mut rows = statement.query([from]).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            let entry = read_entry(row).map_err(StoreError::from)?;
            if !take(entry)? {
                break;
            }
        }
        Ok(())
    }

    /// Hands the headers of all entries of a kind to `take`, in order, with their log indexes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn headers(&self, kind: EntryKind, mut take: impl FnMut(u64, &[u8])) -> Result<(), StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT log_index, header FROM entry WHERE kind = ?1 ORDER BY log_index")?;
        let mut rows = statement.query([kind as i32])?;
        while let Some(row) = rows.next()? {
            take(row.get(0)?, row.get_ref(1)?.as_blob().unwrap_or_default());
        }
        Ok(())
    }

    /// The entry with the number `log_index` in the store; `None` where that does not reach so far.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entry(&self, log_index: u64) -> Result<Option<Entry>, StoreError> {
        let mut found = None;
        self.entries(log_index, |entry| {
            found = Some(entry).filter(|entry| entry.log_index == log_index);
            Ok::<_, StoreError>(false)
        })?;
        Ok(found)
    }

    /// The contents of a tile or entry bundle, in one read of the database; `None` where the log does not reach so far.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, StoreError> {
        if !tile.is_within(self.checkpoint()?.size) {
            return Ok(None);
        }
        let (query, level) = match tile.content {
            Content::Hashes(_) => (
                "SELECT hash FROM node WHERE level = ?1 AND idx >= ?2 AND idx < ?3 ORDER BY idx",
                tile.content.tree_level(),
            ),
            Content::Entries => {
                ("SELECT digest FROM entry WHERE ?1 = 0 AND log_index >= ?2 AND log_index < ?3 ORDER BY log_index", 0)
            }
        };
        let mut select = self.db.prepare_cached(query)?;
        let (level, from) = match tile.content {
            Content::Hashes(_) => (self.place.0 * logs::LEVELS + level, tile.first()),
            Content::Entries => (0, self.place.1 + tile.first()),
        };
        let mut rows = select.query((level, from, from + tile.width))?;
        let (mut contents, mut found) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let hash = digest(row.get_ref(0)?.as_blob().unwrap_or_default())?;
            match tile.content {
                Content::Hashes(_) => contents.extend_from_slice(&hash.0),
                Content::Entries => push_entry(&mut contents, &hash),
            }
            found += 1;
        }
        if found == tile.width {
            Ok(Some(contents))
        } else {
            Err(StoreError::Damaged(format!("{} lacks rows; run log verify", tile.path())))
        }
    }

    /// The hash of a complete subtree.
    ///
    /// # Errors
    /// [`StoreError`]; a missing node is damage.
    pub fn node(&self, level: u32, index: u64) -> Result<Digest, StoreError> {
        node(&self.db, self.place.0, level, index)
    }
}

fn read_entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        log_index: row.get(0)?,
        kind_number: row.get(1)?,
        salt: row.get(2)?,
        header: row.get(3)?,
        digest: row.get(4)?,
        payload: row.get(5)?,
    })
}

/// The hash of a complete subtree of the log with this number.
pub(crate) fn node(db: &Connection, log: u32, level: u32, index: u64) -> Result<Digest, StoreError> {
    let found: Option<Vec<u8>> = db
        .prepare_cached("SELECT hash FROM node WHERE level = ?1 AND idx = ?2")?
        .query_row((log * logs::LEVELS + level, index), |row| row.get(0))
        .optional()?;
    let bytes = found.ok_or_else(|| StoreError::Damaged(format!("tree node {level}/{index} is missing")))?;
    digest(&bytes)
}

/// Hands every device with its quarantine and revocation to `take`.
pub(crate) fn devices(db: &Connection, mut take: impl FnMut(DeviceId, bool, bool)) -> Result<(), StoreError> {
    let mut statement = db.prepare("SELECT device, quarantined, revoked FROM device")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let device = DeviceId::from_slice(row.get_ref(0)?.as_blob().unwrap_or_default())
            .ok_or_else(|| StoreError::Damaged("a device id is not 16 bytes".into()))?;
        take(device, row.get(1)?, row.get(2)?);
    }
    Ok(())
}

/// Hands every device key ever seen to `take`, with the entry that introduced it.
pub(crate) fn keys(db: &Connection, mut take: impl FnMut(DeviceId, KeyId, PublicKey, u64)) -> Result<(), StoreError> {
    let mut statement = db.prepare("SELECT device, key_id, spki, log_index FROM key")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let blob = |column| row.get_ref(column).map(|value| value.as_blob().unwrap_or_default());
        let parts = (DeviceId::from_slice(blob(0)?), KeyId::from_slice(blob(1)?), PublicKey::from_spki(blob(2)?));
        let (Some(device), Some(id), Some(key)) = parts else {
            return Err(StoreError::Damaged("a device key is not one".into()));
        };
        take(device, id, key, row.get(3)?);
    }
    Ok(())
}
