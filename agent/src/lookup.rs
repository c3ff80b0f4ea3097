//! `lookup`: one message of the exports that lie here, for whoever has to see it, and a record of that which the collector gets.
//!
//! It reads as `scan` does: configured folders alone, messages of managed accounts alone, and of the never list none. The record is in
//! the outbox before anything is shown. While an agent runs it is left for it as a file in the state folder, for the database has one
//! writer; else the command writes it itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::memmem;
use serde::{Deserialize, Serialize};
use watchpost_policy::engine::Standing;
use watchpost_policy::message::{Corp, Message};
use watchpost_policy::parse::parse_line;
use watchpost_proto::v1::{self, Lane, summary::Kind};

use crate::carrier::{self, Reading};
use crate::config::Config;
use crate::durable::{self, create_private_folder};
use crate::in_force::InForce;
use crate::lines::{Line, Lines};
use crate::random;
use crate::source::{list, open_export};
use crate::store::{FileKey, Store, StoreError};
use crate::summary::MadeUnder;

/// Where records wait for the agent that runs.
const FOLDER: &str = "lookups";
/// Where the store keeps the name of the one it took last.
const TAKEN: &str = "lookup";
/// Records taken in one round.
const AT_ONCE: usize = 100;
/// Bytes of one that waits.
const BYTES_MAX: u64 = 8 * 1024;
/// Bytes of a msgid, and of a reason.
pub const TEXT_BYTES_MAX: usize = 512;
const LOOK: Duration = Duration::from_millis(50);

/// A message that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The corporation of its folder.
    pub corp: String,
    /// The export it lies in.
    pub export: PathBuf,
    /// What it says.
    pub message: Message,
}

/// What came of looking.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    /// The message, as the first export has it.
    pub found: Option<Found>,
    /// Exports read.
    pub exports: u64,
    /// What could not be read, each with its reason.
    pub unread: Vec<(PathBuf, String)>,
}

/// What is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was asked for.
    pub msgid: String,
    /// The corporation of the folders; empty where there are several.
    pub corp: String,
    /// Whether it was found.
    pub found: bool,
    /// The system's user who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

impl Record {
    fn kind(&self) -> Kind {
        Kind::Lookup(v1::Lookup {
            msgid: self.msgid.clone(),
            corp: self.corp.clone(),
            found: self.found,
            by: self.by.clone(),
            reason: self.reason.clone(),
            at_ms: self.at_ms,
        })
    }

    /// Appends it to the outbox.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn append(&self, store: &Store, in_force: &InForce) -> Result<(), StoreError> {
        let record = MadeUnder::new(in_force, self.at_ms).record(self.kind())?;
        store.transaction(|tx| tx.append(Lane::Urgent, &record).map(drop))
    }
}

/// Looks through every export of the configured folders until the message is found.
#[must_use]
pub fn look(config: &Config, in_force: &InForce, msgid: &str) -> Looked {
    let mut looked = Looked::default();
    let listing = list(&config.folders);
    looked.unread.extend(listing.unreadable);
    for listed in listing.exports {
        let Some(folder) = config.folders.iter().find(|folder| folder.path == listed.key.folder) else { continue };
        let reading = Reading { limits: config.source.limits, names: folder.columns.clone() };
        match look_in(&listed.key, &reading, (in_force, &folder.corp), msgid) {
            Ok(found) => {
                looked.exports += 1;
                looked.found = found.map(|message| Found {
                    corp: folder.corp.as_str().to_owned(),
                    export: listed.key.path(),
                    message,
                });
            }
            Err(error) => looked.unread.push((listed.key.path(), error.to_string())),
        }
        if looked.found.is_some() {
            break;
        }
    }
    looked
}

fn look_in(
    key: &FileKey,
    reading: &Reading,
    (in_force, corp): (&InForce, &Corp),
    msgid: &str,
) -> io::Result<Option<Message>> {
    let (export, _) = open_export(key)?;
    let carried = carrier::open(export, reading)?;
    let mut lines = Lines::new(carried.lines, reading.limits.record_bytes_max, 0, None);
    // An id of letters and digits stands in its line as it is; another may be escaped there.
    let is_plain = msgid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let finder = is_plain.then(|| memmem::Finder::new(msgid));
    loop {
        let (line, is_last) = match lines.next()? {
            None => return Ok(None),
            Some(Line::Whole(line)) => (line, false),
            Some(Line::Unended(line)) => (line, true),
            Some(Line::TooLong) => continue,
        };
        if finder.as_ref().is_none_or(|finder| finder.find(line).is_some())
            && let Some(message) = parse_line(line).message
            && message.msgid.as_deref() == Some(msgid)
            && in_force.engine.standing(corp, &message) == Standing::Evaluate
        {
            return Ok(Some(message));
        }
        if is_last {
            return Ok(None);
        }
    }
}

/// Where records are left, below the state folder.
#[must_use]
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}

/// Leaves a record for the agent that runs, and waits until it has taken it. False where it did not in time; then it is taken back.
///
/// # Errors
/// What the system said.
pub fn hand_over(state_dir: &Path, record: &Record, patience: Duration) -> io::Result<bool> {
    let folder = folder(state_dir);
    create_private_folder(&folder)?;
    let name = hex::encode(random::bytes::<16>());
    let path = folder.join(format!("{name}.json"));
    durable::write(&path, &serde_json::to_vec(record).map_err(io::Error::other)?, true)?;
    let give_up = Instant::now() + patience;
    while path.exists() {
        if Instant::now() > give_up {
            // Taken in this moment, it is not there any more.
            return Ok(fs::remove_file(&path).is_err());
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}

/// Takes the records that wait. True where there were any.
///
/// # Errors
/// [`StoreError`].
pub fn take(store: &Store, in_force: &InForce) -> Result<bool, StoreError> {
    let folder = store.path().parent().map(folder).unwrap_or_default();
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(false) };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    for path in paths.iter().take(AT_ONCE) {
        take_one(store, in_force, path)?;
    }
    Ok(!paths.is_empty())
}

/// The file goes after the commit; one that outlives a crash between the two is known by its name and not told again.
fn take_one(store: &Store, in_force: &InForce, path: &Path) -> Result<(), StoreError> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if let (false, Some(waiting)) = (store.read(|tx| tx.seen(TAKEN))?.as_deref() == Some(name), read(path)) {
        let record = MadeUnder::new(in_force, waiting.at_ms).record(waiting.kind())?;
        store.transaction(|tx| {
            tx.append(Lane::Urgent, &record)?;
            tx.put_seen(TAKEN, name)
        })?;
    }
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, "a lookup stays where it was left");
    }
    Ok(())
}

fn read(path: &Path) -> Option<Record> {
    let bytes = fs::metadata(path).ok().filter(|file| file.len() <= BYTES_MAX).and_then(|_| fs::read(path).ok())?;
    serde_json::from_slice(&bytes).ok()
}
