//! The Ed25519 key of the log: made once, kept beside it, introduced by the collector's own key.

use std::path::Path;

use anyhow::{Context as _, ensure};
use watchpost_proto::keys::KeyError;
use watchpost_proto::note::{self, Checkpoint, LogSigner};
use watchpost_proto::receipt;
use watchpost_proto::v1::{LogKey, LogOpened, SuccessionCause};
use watchpost_proto::{DeviceId, LogId};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::key_file::{self, PrivateKey};
use crate::log_store::{self, LogName, LogReader, StoreError};
use crate::secrets;

/// Reads the log's key at `path`, or makes it.
///
/// # Errors
/// A file that is no key, or cannot be written.
pub fn load_or_make(config: &Config, path: &Path) -> anyhow::Result<LogSigner> {
    if path.exists() {
        let key = key_file::read(path, &config.keys.passphrase)?;
        return LogSigner::from_pkcs8(key.der()).with_context(|| format!("{} is not an Ed25519 key", path.display()));
    }
    let (signer, der) = LogSigner::generate()?;
    secrets::write_new(config, path, &PrivateKey::from_pkcs8(&der))?;
    Ok(signer)
}

/// The end of the log before a new one.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Which log ends.
    pub id: LogId,
    /// Its last head.
    pub last: Checkpoint,
    /// The same, signed by its own key.
    pub closing: String,
    /// Why it ends.
    pub cause: SuccessionCause,
    /// The largest of its heads that is known, signed by its own key; empty where it is none but the last.
    pub highest: String,
    /// The device that has shown it.
    pub shown_by: Option<DeviceId>,
}

/// The first entry of a new log, with the end of the one before it.
///
/// # Errors
/// [`KeyError`].
pub fn first_entry(
    name: &LogName,
    signer: &LogSigner,
    credentials: &Credentials,
    at_ms: i64,
    ending: Option<Ending>,
) -> Result<LogOpened, KeyError> {
    let log_key = LogKey {
        format: receipt::FORMAT,
        tenant: credentials.tenant.clone(),
        log_id: name.id.to_vec(),
        origin: name.origin.clone(),
        ed25519: signer.public().to_vec(),
        at_ms,
        previous_log_id: ending.as_ref().map(|ending| ending.id.to_vec()).unwrap_or_default(),
        previous_size: ending.as_ref().map_or(0, |ending| ending.last.size),
        previous_root: ending.as_ref().map(|ending| ending.last.root.to_vec()).unwrap_or_default(),
    };
    let signed = receipt::sign_log_key(&log_key, &credentials.key)?;
    let opened = LogOpened { log_key: Some(signed), signer_chain: credentials.chain_der(), ..LogOpened::default() };
    let Some(ending) = ending else { return Ok(opened) };
    Ok(LogOpened {
        cause: ending.cause.into(),
        closing: ending.closing,
        highest: ending.highest,
        shown_by: ending.shown_by.map(|device| device.to_vec()).unwrap_or_default(),
        ..opened
    })
}

/// What the log's first entry says about its key. The collector signs it with its present key: its certificate may
/// have been renewed since.
///
/// # Errors
/// The key beside the log is not the log's.
pub fn introduced(log: &LogReader, signer: &LogSigner) -> anyhow::Result<LogKey> {
    let log_key = opened_with(log)?;
    ensure!(
        log_key.ed25519 == signer.public(),
        "log.key is not the key of this log.db: put the right one back, or start with an empty data folder"
    );
    Ok(log_key)
}

/// The head of a log, signed by its key.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The head.
    pub checkpoint: Checkpoint,
    /// The same as a signed note.
    pub note: String,
    /// The key as verifiers of signed notes take it.
    pub vkey: String,
}

/// What the first entries of the logs before it say about theirs, the latest first.
///
/// # Errors
/// [`StoreError`].
pub fn earlier(log: &LogReader) -> Result<Vec<LogKey>, StoreError> {
    let past = log.past()?;
    past.iter().rev().map(|past| log_store::log_key_at(log.connection(), past.first)).collect()
}

/// Signs the head of a log with the key in the data folder; one that has ended was signed then.
///
/// # Errors
/// No key, or not the one of this log.
pub fn signed_head(config: &Config, log: &LogReader) -> anyhow::Result<Signed> {
    if let Some(past) = log.ended() {
        let vkey = note::vkey(&past.name.origin, &past.public);
        return Ok(Signed { checkpoint: past.head.clone(), note: past.note.clone(), vkey });
    }
    let path = config.log_key();
    ensure!(path.exists(), "{} does not exist", path.display());
    let signer = load_or_make(config, &path)?;
    let opened = opened_with(log)?;
    ensure!(opened.ed25519 == signer.public(), "{} is not the key of this log", path.display());
    let checkpoint = log.checkpoint()?;
    let vkey = note::vkey(&checkpoint.origin, &signer.public());
    Ok(Signed { note: signer.sign(&checkpoint), checkpoint, vkey })
}

/// The log key as the first entry names it. Whether it was signed is for `log verify` to say.
///
/// # Errors
/// [`StoreError`], or a first entry that is none.
pub fn opened_with(log: &LogReader) -> anyhow::Result<LogKey> {
    Ok(log_store::log_key_at(log.connection(), log.first())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let text = "listen = \"127.0.0.1:0\"\ntenant = \"acme\"\ndata_dir = \".\"\n\
                    [identity]\ncertificate = \"a.crt\"\nkey = \"a.key\"\nroot = \"root.crt\"\n";
        let config = Config::parse(text, &folder.path().join("collector.toml")).unwrap();
        let made = load_or_make(&config, &config.log_key()).unwrap();
        assert_eq!(load_or_make(&config, &config.log_key()).unwrap().public(), made.public());
        std::fs::write(config.log_key(), "no key").unwrap();
        assert!(load_or_make(&config, &config.log_key()).unwrap_err().to_string().contains("log.key"));
    }
}
