//! What became of each export: progress, state and counts.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Row, named_params, params};
use serde::{Deserialize, Serialize};

use watchpost_policy::parse::Defect;

use super::{StoreError, Tx};
use crate::aside::Aside;
use crate::carrier::Carried;

pub(super) const SCHEMA: &str = "
CREATE TABLE file (
    id        INTEGER PRIMARY KEY,
    folder    BLOB NOT NULL,
    name      BLOB NOT NULL,
    corp      TEXT NOT NULL,
    state     TEXT NOT NULL,
    reason    TEXT NOT NULL,
    size      INTEGER NOT NULL,
    mtime_ns  INTEGER NOT NULL,
    offset    INTEGER NOT NULL,
    carrier   TEXT NOT NULL,
    prefix    BLOB NOT NULL,
    counts    TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    reported  INTEGER NOT NULL,
    gone_ms   INTEGER,
    UNIQUE (folder, name)
) STRICT;
CREATE INDEX file_unreported ON file (id) WHERE reported < revision;
";

/// When an export was last read to its end.
pub(super) const SCHEMA_DONE: &str = "ALTER TABLE file ADD COLUMN done_ms INTEGER NOT NULL DEFAULT 0;";

/// Names one export on this device: the configured folder, and the path below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey {
    /// The folder as configured, made absolute.
    pub folder: PathBuf,
    /// The path below the folder.
    pub name: PathBuf,
}

impl FileKey {
    /// The whole path.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
}

/// How far an export has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Listed, not yet settled or not yet begun.
    Waiting,
    /// Begun; more is to come.
    Reading,
    /// Read to its end as it was.
    Done,
    /// Not read, or not further; the reason says why.
    SetAside,
}

impl FileState {
    /// The word shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Reading => "reading",
            Self::Done => "done",
            Self::SetAside => "set_aside",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Reading, Self::Done, Self::SetAside].into_iter().find(|state| state.as_str() == word)
    }
}

/// What was found in an export so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    /// Lines read.
    pub lines: u64,
    /// Messages evaluated for the first time.
    pub messages: u64,
    /// Messages without a managed account, or with one of the never list.
    pub out_of_scope: u64,
    /// Messages evaluated before.
    pub repeats: u64,
    /// Findings made.
    pub findings: u64,
    /// Lines not read whole, by kind.
    pub defects: BTreeMap<String, u64>,
    /// Messages by type.
    pub types: BTreeMap<String, u64>,
    /// Oldest and newest msgtime, milliseconds; 0 unknown.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// The last line has no end and does not parse; it is read again when the file grows.
    pub torn: bool,
}

impl FileCounts {
    /// Most kinds of defect or type that are told apart; the rest go under `other`. Bounds what a hostile export can
    /// make a report hold.
    const KINDS_MAX: usize = 64;

    /// Counts one defect.
    pub fn defect(&mut self, kind: &str) {
        bump(&mut self.defects, kind, Self::KINDS_MAX);
    }

    /// Counts one message of a type.
    pub fn message_type(&mut self, kind: &str) {
        bump(&mut self.types, kind, Self::KINDS_MAX);
    }

    /// Adds defects counted elsewhere.
    pub fn add_defects(&mut self, defects: &BTreeMap<String, u64>) {
        add(&mut self.defects, defects, Self::KINDS_MAX);
    }

    /// Adds messages by type counted elsewhere.
    pub fn add_types(&mut self, types: &BTreeMap<String, u64>) {
        add(&mut self.types, types, Self::KINDS_MAX);
    }

    /// Widens the range of msgtimes.
    pub fn time(&mut self, ms: i64) {
        if ms > 0 {
            self.first_ms = if self.first_ms == 0 { ms } else { self.first_ms.min(ms) };
            self.last_ms = self.last_ms.max(ms);
        }
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, kind: &str, kinds_max: usize) {
    match counts.get_mut(kind) {
        Some(count) => *count += 1,
        None => insert(counts, kind, 1, kinds_max),
    }
}

fn add(counts: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>, kinds_max: usize) {
    for (kind, more) in more {
        match counts.get_mut(kind) {
            Some(count) => *count += more,
            None => insert(counts, kind, *more, kinds_max),
        }
    }
}

fn insert(counts: &mut BTreeMap<String, u64>, kind: &str, count: u64, kinds_max: usize) {
    let kind = if counts.len() < kinds_max && kind.len() <= 64 { kind } else { "other" };
    *counts.entry(kind.to_owned()).or_default() += count;
}

/// One export as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// Which export.
    pub key: FileKey,
    /// The corporation of its folder.
    pub corp: String,
    /// How far it has come.
    pub state: FileState,
    /// Why it is set aside; empty otherwise.
    pub reason: String,
    /// Size and modification time when it was last looked at.
    pub size: u64,
    /// See `size`; nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Bytes of its lines committed: of the export itself where those are its lines, else of what was made of it.
    pub offset: u64,
    /// What its messages are carried in ([`crate::carrier::Carried::carrier`]); empty while nobody has looked.
    pub carrier: String,
    /// SHA-256 of the committed bytes.
    pub prefix: [u8; 32],
    /// What was found.
    pub counts: FileCounts,
    /// Rises with every change that a file report tells.
    pub revision: u64,
    /// When it was seen to be gone, milliseconds; `None` while it is there.
    pub gone_ms: Option<i64>,
    /// When it was last read to its end, milliseconds; 0 while it never was.
    pub done_ms: i64,
}

impl FileRow {
    /// When it had come, as far as it was read: never after it was read, whatever its writer's clock says. Milliseconds.
    pub fn came_ms(&self) -> Option<i64> {
        let written_ms = Some(self.mtime_ns / 1_000_000).filter(|ms| *ms > 0).unwrap_or(self.done_ms);
        (self.state == FileState::Done && self.done_ms > 0).then(|| written_ms.min(self.done_ms))
    }

    /// An export seen for the first time.
    pub fn new(key: FileKey, corp: &str) -> Self {
        Self {
            key,
            corp: corp.to_owned(),
            state: FileState::Waiting,
            reason: String::new(),
            size: 0,
            mtime_ns: 0,
            offset: 0,
            carrier: String::new(),
            prefix: watchpost_proto::digest::sha256(&[]).0,
            counts: FileCounts::default(),
            revision: 0,
            gone_ms: None,
            done_ms: 0,
        }
    }

    /// Whether a report of the other row would say nothing new.
    pub fn tells_the_same(&self, other: &Self) -> bool {
        let told = |row: &Self| (row.state, row.reason.clone(), row.offset, row.size, row.mtime_ns, row.gone_ms);
        told(self) == told(other) && self.counts == other.counts
    }

    /// Says what became of an export that was read to its end now: one in which no message could be read is set aside.
    pub fn finish(&mut self, now_ms: i64) {
        self.done_ms = now_ms;
        let counts = &self.counts;
        let read = counts.messages + counts.out_of_scope + counts.repeats;
        let encrypted = counts.defects.get(Defect::Encrypted.code()).is_some_and(|count| *count > 0);
        let aside = if read > 0 || counts.defects.is_empty() {
            None
        } else if encrypted {
            Some(Aside::Sealed)
        } else {
            Some(Aside::Unrecognised)
        };
        self.state = if aside.is_some() { FileState::SetAside } else { FileState::Done };
        self.reason = aside.map_or("", Aside::as_str).to_owned();
    }

    /// Bytes of the export that were not read; 0 where nobody can tell.
    pub fn unread_bytes(&self) -> u64 {
        let tells = self.carrier.is_empty() || Carried::is_plain(&self.carrier);
        if tells { self.size.saturating_sub(self.offset) } else { 0 }
    }

    /// Starts the export afresh: it was replaced or cut.
    pub fn restart(&mut self) {
        self.offset = 0;
        self.prefix = watchpost_proto::digest::sha256(&[]).0;
        self.counts = FileCounts::default();
    }
}

impl Tx<'_> {
    /// The row of one export.
    pub fn file(&self, key: &FileKey) -> Result<Option<FileRow>, StoreError> {
        let row = self
            .0
            .prepare_cached("SELECT * FROM file WHERE folder = ?1 AND name = ?2")?
            .query_row(params![bytes(&key.folder), bytes(&key.name)], read)
            .optional()?;
        row.transpose()
    }

    /// Every export known, by folder and name.
    pub fn files(&self) -> Result<Vec<FileRow>, StoreError> {
        self.select("SELECT * FROM file ORDER BY folder, name")
    }

    /// Exports that are not gone, with their numbers, in order of those and behind `after`; at most `limit`.
    pub fn files_there(&self, after: i64, limit: usize) -> Result<Vec<(i64, FileRow)>, StoreError> {
        let mut statement =
            self.0.prepare_cached("SELECT * FROM file WHERE id > ?1 AND gone_ms IS NULL ORDER BY id LIMIT ?2")?;
        let rows = statement.query_map(params![after, limit], |row| Ok((row.get("id")?, read(row)?)))?;
        rows.map(|row| row.map_err(StoreError::from).and_then(|(id, row)| Ok((id, row?)))).collect()
    }

    /// By folder: how many exports are there.
    pub fn files_by_folder(&self) -> Result<HashMap<PathBuf, u64>, StoreError> {
        let mut statement =
            self.0.prepare_cached("SELECT folder, count(*) FROM file WHERE gone_ms IS NULL GROUP BY folder")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<Result<Vec<(Vec<u8>, u64)>, _>>()?;
        Ok(rows.into_iter().filter_map(|(folder, count)| Some((path(folder)?, count))).collect())
    }

    /// By folder: when the newest export that was read had come, milliseconds.
    pub fn arrivals(&self) -> Result<Vec<(PathBuf, i64)>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT folder, max(iif(mtime_ns < 1000000, done_ms, min(mtime_ns / 1000000, done_ms))) FROM file
             WHERE state = ?1 AND done_ms > 0 GROUP BY folder",
        )?;
        let rows = statement.query_map([FileState::Done.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<Result<Vec<(Vec<u8>, i64)>, _>>()?;
        Ok(rows.into_iter().filter_map(|(folder, ms)| Some((path(folder)?, ms))).collect())
    }

    /// Exports whose latest change no file report has told yet, with at most `limit`.
    pub fn files_unreported(&self, limit: u32) -> Result<Vec<FileRow>, StoreError> {
        self.select(&format!("SELECT * FROM file WHERE reported < revision ORDER BY id LIMIT {limit}"))
    }

    /// Writes an export's row with a new revision, so that it will be reported.
    pub fn put_file(&self, row: &FileRow) -> Result<(), StoreError> {
        let counts = serde_json::to_string(&row.counts).map_err(|_| StoreError::Malformed("file row"))?;
        self.0
            .prepare_cached(
                "INSERT INTO file (folder, name, corp, state, reason, size, mtime_ns, offset, carrier, prefix, counts,
                                   revision, reported, gone_ms, done_ms)
                 VALUES (:folder, :name, :corp, :state, :reason, :size, :mtime_ns, :offset, :carrier, :prefix, :counts,
                         1, 0, :gone_ms, :done_ms)
                 ON CONFLICT (folder, name) DO UPDATE SET corp = :corp, state = :state, reason = :reason,
                     size = :size, mtime_ns = :mtime_ns, offset = :offset, carrier = :carrier, prefix = :prefix,
                     counts = :counts,
                     revision = revision + 1, gone_ms = :gone_ms, done_ms = :done_ms",
            )?
            .execute(named_params! {
                ":folder": bytes(&row.key.folder),
                ":name": bytes(&row.key.name),
                ":corp": row.corp,
                ":state": row.state.as_str(),
                ":reason": row.reason,
                ":size": row.size,
                ":mtime_ns": row.mtime_ns,
                ":offset": row.offset,
                ":carrier": row.carrier,
                ":prefix": row.prefix,
                ":counts": counts,
                ":gone_ms": row.gone_ms,
                ":done_ms": row.done_ms,
            })?;
        Ok(())
    }

    /// Notes that a report of this revision has been appended.
    pub fn file_reported(&self, row: &FileRow) -> Result<(), StoreError> {
        self.0.prepare_cached("UPDATE file SET reported = ?3 WHERE folder = ?1 AND name = ?2")?.execute(params![
            bytes(&row.key.folder),
            bytes(&row.key.name),
            row.revision
        ])?;
        Ok(())
    }

    /// Forgets exports that have been gone since before `before_ms` and are reported.
    pub fn forget_files(&self, before_ms: i64) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM file WHERE gone_ms < ?1 AND reported >= revision", [before_ms])?;
        Ok(())
    }

    fn select(&self, sql: &str) -> Result<Vec<FileRow>, StoreError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().collect()
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

#[cfg(unix)]
fn path(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

/// Names that are no Unicode are refused by the source on these systems, so every stored one reads back.
#[cfg(not(unix))]
fn path(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<FileRow, StoreError>> {
    let (folder, name): (Vec<u8>, Vec<u8>) = (row.get("folder")?, row.get("name")?);
    let (state, counts): (String, String) = (row.get("state")?, row.get("counts")?);
    let prefix: Vec<u8> = row.get("prefix")?;
    let parsed = (|| {
        let key = FileKey { folder: path(folder)?, name: path(name)? };
        let counts = serde_json::from_str(&counts).ok()?;
        Some((key, FileState::parse(&state)?, counts, prefix.try_into().ok()?))
    })();
    let Some((key, state, counts, prefix)) = parsed else {
        return Ok(Err(StoreError::Malformed("file row")));
    };
    Ok(Ok(FileRow {
        key,
        corp: row.get("corp")?,
        state,
        reason: row.get("reason")?,
        size: row.get("size")?,
        mtime_ns: row.get("mtime_ns")?,
        offset: row.get("offset")?,
        carrier: row.get("carrier")?,
        prefix,
        counts,
        revision: row.get("revision")?,
        gone_ms: row.get("gone_ms")?,
        done_ms: row.get("done_ms")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_row_reads_back_and_is_reported_once_per_change() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = FileKey { folder: "/exports".into(), name: "a/聊天.jsonl".into() };
        let mut row = FileRow::new(key.clone(), "ww1");
        row.counts.defect("not_json");
        row.state = FileState::Done;
        store.transaction(|tx| tx.put_file(&row)).unwrap();
        row.revision = 1;
        assert_eq!(store.read(|tx| tx.file(&key)).unwrap(), Some(row.clone()));
        assert_eq!(store.read(|tx| tx.files_unreported(9)).unwrap().len(), 1);
        store.transaction(|tx| tx.file_reported(&row)).unwrap();
        assert_eq!(store.read(|tx| tx.files_unreported(9)).unwrap().len(), 0);
        store.transaction(|tx| tx.put_file(&row)).unwrap();
        assert_eq!(store.read(|tx| tx.files_unreported(9)).unwrap()[0].revision, 2);
    }

    #[test]
    fn kinds_of_a_hostile_export_are_bounded() {
        let mut counts = FileCounts::default();
        for kind in 0..1000 {
            counts.message_type(&format!("type{kind}"));
        }
        counts.message_type(&"x".repeat(100_000));
        assert!(counts.types.len() <= 65);
        assert_eq!(counts.types["other"], 1000 - 64 + 1);
    }
}
