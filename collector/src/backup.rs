//! A backup: a folder with everything a collector cannot make anew, and a manifest of what is in it.
//!
//! The log is copied by SQLite itself, as of one commit, while the collector goes on. What is derived from it is not in
//! a backup, and neither is the key of the root, which belongs nowhere near a collector.

mod restore;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use watchpost_proto::digest::Running;
use watchpost_proto::note::Checkpoint;

use crate::clock::now_ms;
use crate::config::Config;
use crate::durable_file::{self, Access};
use crate::log_key::signed_head;
use crate::log_store::LogReader;
use crate::log_store::check::check;
use crate::trust::Trust;
use crate::{board, credentials, key_file, secrets};

pub use restore::{Restored, restore};

/// The format of backups.
pub const FORMAT: &str = "watchpost-backup/1";
/// The file that says what is in a backup. Written last: a folder without it is a backup that was interrupted.
pub const MANIFEST: &str = "manifest.json";
/// The log, in a backup and below the folder of what is restored.
const LOG_DB: &str = "data/log.db";
const LOG_KEY: &str = "data/log.key";
/// The configuration, likewise.
const CONFIG: &str = "collector.toml";
/// Longest file beside the log, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The one key that is never in a backup.
const ROOT_KEY: &str = "root.key";

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The tenant.
    pub tenant: String,
    /// When it was made, milliseconds since 1970.
    pub made_ms: i64,
    /// The name of the log, its head, and the same as a note signed by its key; no note where nobody has opened the key.
    pub origin: String,
    /// Entries of that log.
    pub size: u64,
    /// Its root, hexadecimal.
    pub root: String,
    /// See `origin`.
    pub note: String,
    /// Every file, by its path below the folder.
    pub files: BTreeMap<String, FileOf>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileOf {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// Whoever has it can act as this collector, or read what people may see.
    pub secret: bool,
    /// Where the configuration names it, if that is not below its own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
}

/// How far the work has come, in entries or bytes.
pub trait Progress {
    /// A stage begins, with so many steps.
    fn begin(&self, stage: &'static str, of: u64);
    /// So many are done.
    fn at(&self, done: u64);
}

/// Makes a backup in `out`, which must not exist or be empty, and checks what was written.
///
/// # Errors
/// A file that is missing or cannot be written; then there is no manifest.
pub fn make(config_file: &Path, config: &Config, out: &Path, progress: &impl Progress) -> anyhow::Result<Manifest> {
    refuse_unless_empty(out)?;
    durable_file::create_folder(out, Access::Secret)?;
    let home = config_file.parent().unwrap_or(Path::new(""));
    let mut files = BTreeMap::new();
    put(out, CONFIG, &read(config_file)?)?;
    files.insert(CONFIG.to_owned(), None);
    let mut elsewhere: Vec<PathBuf> = Vec::new();
    for path in named_files(config)? {
        let inside = path.strip_prefix(home).ok().and_then(slashed);
        let (place, named) = match inside {
            Some(place) => (place, None),
            None => {
                // Files that lay in one folder stay in one, and those that are to come beside the authority's.
                let authority = config.enrolment.authority.as_deref().filter(|folder| path.starts_with(folder));
                let parent = authority.or(path.parent()).unwrap_or(Path::new("")).to_owned();
                let name = path.strip_prefix(&parent).ok().and_then(slashed).context("a file name that is not text")?;
                let number = elsewhere.iter().position(|known| *known == parent).unwrap_or_else(|| {
                    elsewhere.push(parent);
                    elsewhere.len() - 1
                });
                (format!("outside/{number}/{name}"), Some(path.display().to_string()))
            }
        };
        put(out, &place, &read(&path)?)?;
        files.insert(place, named);
    }
    copy_log(config, out, progress)?;
    for place in [LOG_DB, LOG_KEY] {
        files.insert(place.to_owned(), None);
    }
    let cosigned = board::cosigned_path(&config.data_dir);
    if cosigned.exists() {
        let place = "data/cosigned.note";
        put(out, place, &read(&cosigned)?)?;
        files.insert(place.to_owned(), None);
    }
    let manifest = describe(config, out, files)?;
    durable_file::write(&out.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?, Access::Secret)?;
    let manifest = verify(out, progress)?;
    // A reminder for people and nothing else: the backup is whole without it.
    let _ = durable_file::write(&last(config), manifest.made_ms.to_string().as_bytes(), Access::Secret);
    Ok(manifest)
}

/// When the last backup was made from this folder, milliseconds since 1970.
pub fn last_ms(config: &Config) -> Option<i64> {
    fs::read_to_string(last(config)).ok()?.trim().parse().ok()
}

fn last(config: &Config) -> PathBuf {
    config.data_dir.join("last-backup")
}

/// The files the configuration names, and those beside the keys that issue.
fn named_files(config: &Config) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![config.certificate.clone(), config.key.clone(), config.root.clone()];
    found.push(config.links.clone());
    secrets::check_encryption(config)?;
    found.extend(secrets::encryption_files(config));
    if let Some(authority) = &config.enrolment.authority {
        // By name: whatever else lies beside the keys is none of a backup's.
        found.extend(secrets::authority_files(authority));
    }
    if let Some((certificate, key)) = config.console.as_ref().and_then(|console| console.tls.as_ref()) {
        found.extend([certificate.clone(), key.clone()]);
    }
    found.retain(|path| path.is_file() && path.file_name().is_some_and(|name| name != ROOT_KEY));
    refuse_passphrase(config, &found)?;
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    for needed in [&config.certificate, &config.key, &config.root] {
        ensure!(found.contains(needed), "{} does not exist", needed.display());
    }
    Ok(found)
}

/// Keys and what opens them do not lie in one folder.
fn refuse_passphrase(config: &Config, files: &[PathBuf]) -> anyhow::Result<()> {
    let Some(passphrase) = config.keys.passphrase.file().and_then(|file| fs::canonicalize(file).ok()) else {
        return Ok(());
    };
    let same = files.iter().find(|path| fs::canonicalize(path).is_ok_and(|path| path == passphrase));
    match same {
        Some(path) => bail!("{} is the passphrase file: keep it elsewhere, under another name", path.display()),
        None => Ok(()),
    }
}

/// Copies the log as of one commit, and the key that is this log's.
fn copy_log(config: &Config, out: &Path, progress: &impl Progress) -> anyhow::Result<()> {
    let target = out.join(LOG_DB);
    let key = settled_log_key(config)?;
    put(out, LOG_DB, b"")?;
    let log = LogReader::open(&config.log_db())?;
    let pages = |pragma| log.connection().pragma_query_value(None, pragma, |row| row.get::<_, u64>(0));
    let bytes = pages("page_count")?.saturating_mul(pages("page_size")?);
    progress.begin("copy", bytes);
    let to = target.to_str().context("a path that is not text")?;
    std::thread::scope(|scope| {
        let copied = scope.spawn(|| {
            let copy = LogReader::open(&config.log_db())?;
            copy.connection().execute("VACUUM INTO ?1", [to]).map_err(crate::log_store::StoreError::from)
        });
        while !copied.is_finished() {
            progress.at(fs::metadata(&target).map_or(0, |file| file.len()).min(bytes));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        copied.join().unwrap_or_else(|_| Err(crate::log_store::StoreError::Unfit("the copy has panicked".into())))
    })?;
    durable_file::sync(&[target])?;
    // A key of before and after is this log's: with a passphrase it says nothing of whose it is.
    ensure!(settled_log_key(config)? == key, "the log was succeeded by another meanwhile; make the backup again");
    put(out, LOG_KEY, &key)
}

/// The key of the log, unless that of a successor is about to take its place.
fn settled_log_key(config: &Config) -> anyhow::Result<Vec<u8>> {
    ensure!(
        !config.next_log_key().exists(),
        "the log is being succeeded by another: run serve, then make the backup again"
    );
    read(&config.log_key())
}

/// The head of the copy, and the same as a signed note where its key can be had without asking anybody.
fn head_of(copied: &Config, log: &LogReader) -> anyhow::Result<(Checkpoint, String)> {
    if key_file::is_encrypted(&copied.log_key())? && !copied.keys.passphrase.is_at_hand() {
        return Ok((log.checkpoint()?, String::new()));
    }
    let head = signed_head(copied, log).context("the log was succeeded by another meanwhile; make the backup again")?;
    Ok((head.checkpoint, head.note))
}

fn describe(config: &Config, out: &Path, files: BTreeMap<String, Option<String>>) -> anyhow::Result<Manifest> {
    let log = LogReader::open(&out.join(LOG_DB))?;
    let copied = Config { data_dir: out.join("data"), ..config.clone() };
    let (head, note) = head_of(&copied, &log)?;
    drop(log);
    remove_beside(&out.join(LOG_DB));
    let described = files.into_iter().map(|(place, named)| {
        let (bytes, sha256) = digest(&out.join(&place))?;
        let secret = place == LOG_DB || place.ends_with(".key");
        Ok((place, FileOf { bytes, sha256, secret, named }))
    });
    Ok(Manifest {
        format: FORMAT.into(),
        tenant: config.tenant.clone(),
        made_ms: now_ms(),
        origin: head.origin,
        size: head.size,
        root: head.root.to_string(),
        note,
        files: described.collect::<anyhow::Result<_>>()?,
    })
}

/// What SQLite leaves beside a database that was only read.
fn remove_beside(db: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut name = db.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(PathBuf::from(name));
    }
}

/// Checks every file of a backup against its manifest, and the whole log in it.
///
/// # Errors
/// What is missing, or not as it was written.
pub fn verify(folder: &Path, progress: &impl Progress) -> anyhow::Result<Manifest> {
    let path = folder.join(MANIFEST);
    let bytes = fs::read(&path)
        .with_context(|| format!("{}: not a backup, or one that was interrupted; make it again", path.display()))?;
    let manifest: Manifest = serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
    ensure!(
        manifest.format == FORMAT,
        "the backup is of the format {:?}; this program knows {FORMAT}",
        manifest.format
    );
    for (place, file) in &manifest.files {
        ensure!(is_below(place), "the manifest names {place:?}, which is not below the backup");
        let found = digest(&folder.join(place))?;
        ensure!(found == (file.bytes, file.sha256.clone()), "{place} is not what was written; use another backup");
    }
    for needed in [CONFIG, LOG_DB, LOG_KEY] {
        ensure!(manifest.files.contains_key(needed), "the backup has no {needed}");
    }
    let (_, config) = config_of(folder, folder, &manifest)?;
    restore::check_named(folder, &config)?;
    verify_log(folder, &config, &manifest, progress)?;
    Ok(manifest)
}

fn verify_log(folder: &Path, config: &Config, manifest: &Manifest, progress: &impl Progress) -> anyhow::Result<()> {
    let trust = Trust::new(&credentials::trusted(&config.root)?, &manifest.tenant)?;
    let log = LogReader::open(&folder.join(LOG_DB))?;
    progress.begin("verify", log.count()?);
    let kept: Vec<String> = Some(manifest.note.clone()).filter(|note| !note.is_empty()).into_iter().collect();
    let sound = check(&log, &trust, &kept, |entries| progress.at(entries));
    drop(log);
    remove_beside(&folder.join(LOG_DB));
    let sound = sound.map_err(|fault| anyhow::anyhow!("the log in the backup does not hold: {fault}"))?;
    if (sound.size, sound.root.to_string()) != (manifest.size, manifest.root.clone()) {
        bail!("the log in the backup is not the one the manifest names");
    }
    Ok(())
}

/// The configuration of a backup as it reads below `folder`, which holds the backup or what is restored of it.
fn config_of(backup: &Path, folder: &Path, manifest: &Manifest) -> anyhow::Result<(String, Config)> {
    let path = backup.join(CONFIG);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = restore::rewritten(&text, manifest);
    let config = Config::parse(&text, &folder.join(CONFIG))?;
    Ok((text, config))
}

fn refuse_unless_empty(folder: &Path) -> anyhow::Result<()> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "{} is not empty: name a new folder", folder.display());
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| folder.display().to_string()),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let length = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    ensure!(length <= FILE_BYTES_MAX, "{} is larger than a file of a collector can be", path.display());
    fs::read(path).with_context(|| path.display().to_string())
}

fn put(folder: &Path, place: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(place);
    durable_file::create_folder(path.parent().unwrap_or(folder), Access::Secret)?;
    Ok(durable_file::write(&path, bytes, Access::Secret)?)
}

/// A path with slashes, where it stays below its folder.
fn slashed(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
}

fn is_below(place: &str) -> bool {
    slashed(Path::new(place)).as_deref() == Some(place)
}

/// Length and SHA-256 of a file.
fn digest(path: &Path) -> anyhow::Result<(u64, String)> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let (mut running, mut length, mut buffer) = (Running::default(), 0, vec![0; 1 << 20]);
    loop {
        let count = file.read(&mut buffer).with_context(|| path.display().to_string())?;
        if count == 0 {
            return Ok((length, running.digest().to_string()));
        }
        running.update(&buffer[..count]);
        length += count as u64;
    }
}
