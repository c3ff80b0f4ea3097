//! The first administrator: invited by `init`, before there is a log to say so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::secret::{self, Kind};
use super::{Deed, Grant, Role};
use crate::clock::now_ms;
use crate::config::Config;
use crate::durable_file::{self, Access};

/// The login name `init` chooses.
pub const NAME: &str = "administrator";
/// Who has invited them.
pub const BY: &str = "init";
/// How long there is time.
const LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
const FILE: &str = "first-operator.json";
const FILE_BYTES_MAX: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct First {
    secret: String,
    expires_ms: i64,
}

/// Leaves the digest of a new one-time secret for the first `serve`; returns the secret.
///
/// # Errors
/// The folder cannot be written.
pub fn leave(data_dir: &Path) -> anyhow::Result<String> {
    let (text, digest) = secret::make(Kind::Invitation)?;
    let first = First { secret: digest.to_string(), expires_ms: now_ms().saturating_add(LIFE_MS) };
    durable_file::write(&data_dir.join(FILE), &serde_json::to_vec(&first)?, Access::Secret)?;
    Ok(text)
}

/// What `init` has left, as a deed; nothing where it was taken up already.
///
/// # Errors
/// A file that cannot be read.
pub fn left(config: &Config) -> anyhow::Result<Option<Deed>> {
    let path = path(config);
    let shown = || path.display().to_string();
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => anyhow::ensure!(file.with_context(shown)?.len() <= FILE_BYTES_MAX, "{} is too long", shown()),
    }
    let first: First = serde_json::from_slice(&fs::read(&path).with_context(shown)?).with_context(shown)?;
    let grant = Grant::of(Role::Administrator);
    Ok(Some(Deed::Invite { operator: NAME.into(), grant, secret: first.secret, expires_ms: first.expires_ms }))
}

/// It is in the log.
pub fn taken_up(config: &Config) {
    // Left lying it changes nothing: nobody is invited twice.
    let _ = fs::remove_file(path(config));
}

fn path(config: &Config) -> PathBuf {
    config.data_dir.join(FILE)
}
