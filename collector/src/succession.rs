//! A collector that was restored ends the log it has and opens a successor.
//!
//! Whoever restores it leaves a mark in the data folder, and so does a running collector to which a device shows a head
//! that was signed by the log's own key and that its tree does not extend: there is no other way to such a head than that
//! this log was once further. The next start finds the mark and opens the successor, in one commit, before anything
//! listens. A mark that was carried out names a log before the present one, and is taken away; one that names no log that is
//! here is of a restore that was interrupted, and nothing starts.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{error, warn};
use watchpost_proto::note::{self, LogSigner};
use watchpost_proto::v1::SuccessionCause;
use watchpost_proto::{DeviceId, LogId};

use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::durable_file::{self, Access};
use crate::log_key;
use crate::log_store::{StoreError, log_key_at, past_logs, present_first};
use crate::server::OpenLog;

/// Why a log is to end, as kept in the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The log that is to end, hexadecimal.
    pub log: String,
    /// Why.
    pub cause: Cause,
    /// The largest head of it that is known, as its note; empty where it is none but the last.
    pub highest: String,
    /// The device that has shown it, by its UUID; empty where none has.
    pub shown_by: String,
}

/// Why a log is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Somebody has restored it.
    Restored,
    /// A device has shown more of it.
    Contradicted,
}

/// Where the mark is.
pub fn mark_path(config: &Config) -> PathBuf {
    config.data_dir.join("succession.json")
}

/// Leaves the mark, durably.
///
/// # Errors
/// The disk.
pub fn leave(config: &Config, mark: &Mark) -> anyhow::Result<()> {
    durable_file::create_folder(&config.data_dir, Access::Secret)?;
    Ok(durable_file::write(&mark_path(config), &serde_json::to_vec(mark)?, Access::Secret)?)
}

/// The mark, where there is one.
///
/// # Errors
/// It cannot be read.
pub fn found(config: &Config) -> anyhow::Result<Option<Mark>> {
    let path = mark_path(config);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// A folder with a mark has a log: where it has none, an interrupted restore must not become an empty collector with the
/// key of the log that is missing.
///
/// # Errors
/// A mark and no log.
pub fn refuse_without_log(config: &Config) -> anyhow::Result<()> {
    if found(config)?.is_none() {
        return Ok(());
    }
    let (log, key) = (config.log_db(), config.log_key());
    let is_whole = fs::metadata(&log).is_ok_and(|file| file.len() > 0) && key.exists();
    ensure!(
        is_whole,
        "this folder is of a restore that was interrupted: {} or its key is missing. Restore again into another folder",
        log.display()
    );
    Ok(())
}

/// Opens the successor of a log that is marked, and gives back the log that goes on.
///
/// # Errors
/// A key that is not the log's, or the disk; the mark then stays.
pub fn carry_out(config: &Config, credentials: &Credentials, clock: &Clock, log: OpenLog) -> anyhow::Result<OpenLog> {
    let log = with_own_key(config, log)?;
    let Some(mark) = found(config)? else { return Ok(log) };
    let log = if mark.log == log.store.name().id.to_string() {
        open_successor(config, credentials, clock, log, &mark)?
    } else {
        let past = past_logs(log.store.connection())?;
        ensure!(
            past.iter().any(|past| past.name.id.to_string() == mark.log),
            "{} is about the log {}, which is not here: log.db is not the one that was restored. Restore again into another \
             folder",
            mark_path(config).display(),
            mark.log
        );
        log
    };
    fs::remove_file(mark_path(config)).with_context(|| mark_path(config).display().to_string())?;
    Ok(log)
}

/// The key of a successor takes its place in two steps, and a crash may have come between them.
fn with_own_key(config: &Config, log: OpenLog) -> anyhow::Result<OpenLog> {
    let OpenLog { store, signer } = log;
    let db = store.connection();
    let introduced = log_key_at(db, present_first(db)?)?.ed25519;
    let (path, next) = (config.log_key(), config.next_log_key());
    let signer = if introduced != signer.public() && next.exists() {
        let successor = log_key::load_or_make(config, &next)?;
        ensure!(introduced == successor.public(), "neither log.key nor log.key.next is the key of this log.db");
        fs::rename(&next, &path).with_context(|| next.display().to_string())?;
        durable_file::sync(&[path])?;
        successor
    } else {
        signer
    };
    ensure!(
        introduced == signer.public(),
        "log.key is not the key of this log.db: put the right one back, or start with an empty data folder"
    );
    Ok(OpenLog { store, signer })
}

fn open_successor(
    config: &Config,
    credentials: &Credentials,
    clock: &Clock,
    log: OpenLog,
    mark: &Mark,
) -> anyhow::Result<OpenLog> {
    let OpenLog { store, signer } = log;
    let last = store.checkpoint();
    let successor = log_key::load_or_make(config, &config.next_log_key())?;
    let highest = highest(mark, &last.origin, &signer);
    let ending = log_key::Ending {
        id: store.name().id,
        cause: match mark.cause {
            Cause::Restored => SuccessionCause::Restored,
            Cause::Contradicted => SuccessionCause::Contradicted,
        },
        closing: signer.sign(&last),
        highest,
        shown_by: DeviceId::parse(&mark.shown_by),
        last: last.clone(),
    };
    let store = store.succeed(&config.tenant, |name| {
        log_key::first_entry(name, &successor, credentials, clock.now_ms(), Some(ending))
            .map_err(|error| StoreError::Unfit(format!("its key cannot be introduced: {error}")))
    })?;
    error!(
        ended = last.origin,
        entries = last.size,
        goes_on = store.name().origin,
        "this collector was restored: the log ended where it was, and another goes on; see log list"
    );
    with_own_key(config, OpenLog { store, signer })
}

/// The head named by a mark, where it was signed by the log's own key.
fn highest(mark: &Mark, origin: &str, signer: &LogSigner) -> String {
    let known = note::open(&mark.highest, &signer.public()).filter(|head| head.origin == origin);
    known.map(|_| mark.highest.clone()).unwrap_or_default()
}

/// What stops a collector that was shown that its log is not all there was.
#[derive(Clone, Debug)]
pub struct Alarm {
    config: Config,
    log: LogId,
    stop: watch::Sender<bool>,
    raised: watch::Sender<bool>,
}

impl Alarm {
    /// Of the collector with this log, which stops when `stop` says so.
    pub fn new(config: &Config, log: LogId, stop: watch::Sender<bool>) -> Self {
        Self { config: config.clone(), log, stop, raised: watch::Sender::new(false) }
    }

    /// A device has shown a head that the log does not extend: leaves the mark and stops everything, so that nothing more
    /// is receipted into this log.
    pub async fn raise(&self, device: DeviceId, note: &str) {
        let mark = Mark {
            log: self.log.to_string(),
            cause: Cause::Contradicted,
            highest: note.to_owned(),
            shown_by: device.to_string(),
        };
        error!(%device, "a device shows more of this log than is here: this collector was restored. Another log is opened");
        self.stop.send_replace(true);
        let config = self.config.clone();
        match tokio::task::spawn_blocking(move || leave(&config, &mark)).await {
            Ok(Ok(())) => drop(self.raised.send_replace(true)),
            Ok(Err(error)) => {
                // Shown again at the next connection, after the restart that follows.
                warn!(error = format!("{error:#}"), "the mark could not be left");
                self.raised.send_replace(true);
            }
            Err(_) => {}
        }
    }

    /// Returns when it was raised.
    pub async fn raised(&self) {
        let mut raised = self.raised.subscribe();
        let _ = raised.wait_for(|raised| *raised).await;
    }
}
