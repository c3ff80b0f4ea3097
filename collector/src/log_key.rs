//! The Ed25519 key of the log: made once, kept beside it, introduced by the collector's own key.

use anyhow::{Context as _, ensure};
use watchpost_proto::Message as _;
use watchpost_proto::keys::KeyError;
use watchpost_proto::note::{self, Checkpoint, LogSigner};
use watchpost_proto::receipt;
use watchpost_proto::v1::{LogKey, LogOpened};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::key_file::{self, PrivateKey};
use crate::log_store::{LogName, LogReader, StoreError};
use crate::secrets;

/// Reads the log's key in the data folder, or makes it.
///
/// # Errors
/// A file that is no key, or cannot be written.
pub fn load_or_make(config: &Config) -> anyhow::Result<LogSigner> {
    let path = config.log_key();
    if path.exists() {
        let key = key_file::read(&path, &config.keys.passphrase)?;
        return LogSigner::from_pkcs8(key.der()).with_context(|| format!("{} is not an Ed25519 key", path.display()));
    }
    let (signer, der) = LogSigner::generate()?;
    secrets::write_new(config, &path, &PrivateKey::from_pkcs8(&der))?;
    Ok(signer)
}

/// The first entry of a new log.
///
/// # Errors
/// [`KeyError`].
pub fn first_entry(
    name: &LogName,
    signer: &LogSigner,
    credentials: &Credentials,
    at_ms: i64,
) -> Result<LogOpened, KeyError> {
    let log_key = LogKey {
        format: receipt::FORMAT,
        tenant: credentials.tenant.clone(),
        log_id: name.id.to_vec(),
        origin: name.origin.clone(),
        ed25519: signer.public().to_vec(),
        at_ms,
        previous_log_id: Vec::new(),
        previous_size: 0,
        previous_root: Vec::new(),
    };
    let signed = receipt::sign_log_key(&log_key, &credentials.key)?;
    Ok(LogOpened { log_key: Some(signed), signer_chain: credentials.chain_der() })
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

/// Signs the head of a log with the key in the data folder.
///
/// # Errors
/// No key, or not the one of this log.
pub fn signed_head(config: &Config, log: &LogReader) -> anyhow::Result<Signed> {
    let path = config.log_key();
    ensure!(path.exists(), "{} does not exist", path.display());
    let signer = load_or_make(config)?;
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
    let mut header = None;
    log.entries(0, |entry| {
        header = Some(entry.header);
        Ok::<_, StoreError>(false)
    })?;
    let opened = LogOpened::decode(&header.context("the log is empty")?[..])?;
    let signed = opened.log_key.context("the first entry does not introduce the log's key")?;
    Ok(LogKey::decode(&signed.log_key[..])?)
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
        let made = load_or_make(&config).unwrap();
        assert_eq!(load_or_make(&config).unwrap().public(), made.public());
        std::fs::write(config.log_key(), "no key").unwrap();
        assert!(load_or_make(&config).unwrap_err().to_string().contains("log.key"));
    }
}
