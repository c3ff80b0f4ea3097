//! A backup becomes a collector's folder again, marked so that its next start opens another log.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path};

use anyhow::{Context as _, ensure};
use watchpost_proto::note;

use super::{
    CONFIG, LOG_DB, LOG_KEY, Manifest, Progress, config_of, put, read, refuse_unless_empty, remove_beside, verify,
    verify_log,
};
use crate::config::Config;
use crate::durable_file::{self, Access};
use crate::log_key;
use crate::log_store::LogReader;
use crate::succession::{self, Cause, Mark};

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What was in the backup.
    pub manifest: Manifest,
    /// The configuration, with its paths below the folder.
    pub config: Config,
    /// Files that the configuration named elsewhere, and where they lie now.
    pub moved: Vec<(String, String)>,
}

/// Restores a backup into a folder that must not exist or be empty. `known` are notes of the log that were kept elsewhere:
/// the largest is named where the log ends.
///
/// # Errors
/// A backup that does not hold, a folder that holds something, or the disk. Nothing can be started from what is left then.
pub fn restore(backup: &Path, into: &Path, known: &[String], progress: &impl Progress) -> anyhow::Result<Restored> {
    refuse_unless_empty(into)?;
    let manifest = verify(backup, progress)?;
    durable_file::create_folder(into, Access::Secret)?;
    for place in manifest.files.keys().filter(|place| ![LOG_DB, CONFIG].contains(&place.as_str())) {
        put(into, place, &read(&backup.join(place))?)?;
    }
    let (text, config) = config_of(backup, into, &manifest)?;
    check_named(into, &config)?;
    if config.keys.is_encryption_named {
        durable_file::create_folder(&config.keys.encryption, Access::Secret)?;
    }
    let highest = highest(backup, &manifest, known)?;
    // Before the log itself: whatever interrupts this, no collector starts on it as if nothing had happened.
    let mark = Mark { log: log_id(&manifest), cause: Cause::Restored, highest, shown_by: String::new() };
    succession::leave(&config, &mark)?;
    copy_log(backup, into)?;
    verify_log(into, &config, &manifest, progress)?;
    // Last of all: without it nothing starts here.
    put(into, CONFIG, text.as_bytes())?;
    let moved = manifest.files.iter().filter_map(|(place, file)| Some((file.named.clone()?, place.clone())));
    Ok(Restored { moved: moved.collect(), config, manifest })
}

fn log_id(manifest: &Manifest) -> String {
    manifest.origin.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The largest of the notes; each must be signed by the log's key.
fn highest(backup: &Path, manifest: &Manifest, known: &[String]) -> anyhow::Result<String> {
    let db = backup.join(LOG_DB);
    let log = LogReader::open(&db)?;
    // The log says whose it is: its private key may be under a passphrase that is not here.
    let public: [u8; 32] = log_key::opened_with(&log)?.ed25519.try_into().ok().context("a log key is not one")?;
    drop(log);
    remove_beside(&db);
    let mut highest = (manifest.size, String::new());
    for text in known {
        let head = note::open(text, &public).filter(|head| head.origin == manifest.origin);
        let head = head.context("a checkpoint that was kept is not of the log in the backup")?;
        if head.size > highest.0 {
            highest = (head.size, text.clone());
        }
    }
    Ok(highest.1)
}

fn copy_log(backup: &Path, into: &Path) -> anyhow::Result<()> {
    let (from, to) = (backup.join(LOG_DB), into.join(LOG_DB));
    let partial = to.with_extension("db.partial");
    put(into, "data/log.db.partial", b"")?;
    let copied = File::open(&from).and_then(|mut source| {
        let mut target = File::options().write(true).open(&partial)?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()
    });
    copied.with_context(|| partial.display().to_string())?;
    fs::rename(&partial, &to).with_context(|| to.display().to_string())?;
    Ok(durable_file::sync(&[to, into.join(LOG_KEY)])?)
}

/// Whether everything the configuration names is below the folder, and there.
pub(super) fn check_named(folder: &Path, config: &Config) -> anyhow::Result<()> {
    let is_below = |path: &Path| {
        path.strip_prefix(folder).is_ok_and(|rest| rest.components().all(|part| matches!(part, Component::Normal(_))))
    };
    let files = [&config.certificate, &config.key, &config.root].into_iter().chain(&config.enrolment.authority);
    let mut lost = files.filter(|path| !is_below(path) || !path.exists());
    // One that is empty is made again.
    let encryption = Some(&config.keys.encryption).filter(|path| config.keys.is_encryption_named && !is_below(path));
    let lost = lost.next().or(encryption);
    ensure!(
        lost.is_none() && config.data_dir == folder.join("data"),
        "collector.toml names {}, which is not in the backup: name it plainly, as key = \"path\" in a line of its own, and \
         make the backup again",
        lost.unwrap_or(&config.data_dir).display()
    );
    Ok(())
}

/// The text of the configuration with every path below its own folder: data in `data`, and what lay elsewhere where the
/// backup has it. Comments stay.
pub(super) fn rewritten(text: &str, manifest: &Manifest) -> String {
    let mut top = true;
    let lines = text.lines().map(|line| {
        top &= !line.trim_start().starts_with('[');
        let is_data = top && line.split('=').next().is_some_and(|key| key.trim() == "data_dir");
        let line = if is_data { "data_dir = \"data\"".to_owned() } else { line.to_owned() };
        manifest.files.iter().filter_map(|(place, file)| Some((place, file.named.as_ref()?))).fold(
            line,
            |line, (place, named)| {
                let folder =
                    |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
                let line = line.replace(&format!("\"{named}\""), &format!("\"{place}\""));
                ["authority", "encryption"].iter().fold(line, |line, setting| {
                    line.replace(
                        &format!("{setting} = \"{}\"", folder(named)),
                        &format!("{setting} = \"{}\"", folder(place)),
                    )
                })
            },
        )
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
