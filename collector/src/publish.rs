//! The log as static files: tiles, entry bundles and the checkpoint, in a folder that any web server or file share may
//! hand out.
//!
//! Files are added before the checkpoint that needs them, and nothing but the checkpoint ever changes, so whoever reads
//! along sees a whole tree at any moment, also after a crash.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use watchpost_proto::merkle::Frontier;
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::tiles;

use crate::durable_file::{self, Access};
use crate::log_store::LogReader;

/// The name of the checkpoint below the folder.
pub const CHECKPOINT: &str = "checkpoint";

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Entries the folder shows now.
    pub size: u64,
    /// Tiles and bundles that were added.
    pub files: u64,
}

/// Brings the folder to the tree of a signed note. Doing it again changes nothing.
///
/// # Errors
/// A folder of another log, one that knows more than this log or something else, or the disk.
pub fn publish(folder: &Path, log: &LogReader, note: &str) -> anyhow::Result<Written> {
    let head = note::read_unverified(note).context("the checkpoint cannot be read")?;
    durable_file::create_folder(folder, Access::Public)?;
    let mut shown = shown(folder)?;
    if let Some(earlier) = &shown
        && earlier.origin != head.origin
        && log.past()?.iter().any(|past| past.name.origin == earlier.origin)
    {
        set_apart(folder, &earlier.origin)?;
        shown = None;
    }
    if let Some(shown) = &shown {
        check_shown(folder, log, shown, &head)?;
    }
    let (mut added, mut full) = (Vec::new(), Vec::new());
    for tile in tiles::grown(shown.map_or(0, |shown| shown.size), head.size) {
        let contents = log.tile(&tile)?.with_context(|| format!("the log does not reach {}", tile.path()))?;
        let path = folder.join(tile.path());
        durable_file::create_folder(path.parent().unwrap_or(folder), Access::Public)?;
        durable_file::place(&path, &contents, Access::Public)?;
        added.push(path);
        if tile.is_full() {
            full.push(folder.join(format!("{}.p", tile.full_path())));
        }
    }
    // Durable before the checkpoint that needs them, and the full ones before the partial ones go.
    durable_file::sync(&added)?;
    full.iter().try_for_each(|partial| remove_partial(partial))?;
    if fs::read(folder.join(CHECKPOINT)).ok().as_deref() != Some(note.as_bytes()) {
        durable_file::write(&folder.join(CHECKPOINT), note.as_bytes(), Access::Public)?;
    }
    Ok(Written { size: head.size, files: added.len() as u64 })
}

/// What was published of an earlier log stays as it is, in a folder named by the log's id: it may show more of it than was
/// restored.
fn set_apart(folder: &Path, origin: &str) -> anyhow::Result<()> {
    let apart = folder.join(origin.rsplit('/').next().unwrap_or_default());
    durable_file::create_folder(&apart, Access::Public)?;
    // The checkpoint last: until it is gone this is done again.
    for name in ["tile", CHECKPOINT] {
        match fs::rename(folder.join(name), apart.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| folder.join(name).display().to_string());
            }
            _ => {}
        }
    }
    Ok(())
}

fn shown(folder: &Path) -> anyhow::Result<Option<Checkpoint>> {
    let path = folder.join(CHECKPOINT);
    match fs::read_to_string(&path) {
        Ok(text) => {
            Ok(Some(note::read_unverified(&text).with_context(|| format!("{} is not a checkpoint", path.display()))?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// What was published once is what others hold us to.
fn check_shown(folder: &Path, log: &LogReader, shown: &Checkpoint, head: &Checkpoint) -> anyhow::Result<()> {
    let at = folder.display();
    ensure!(shown.origin == head.origin, "{at} holds the tiles of another log, {}: use another folder", shown.origin);
    if shown.size > head.size {
        bail!(
            "{at} shows {} entries and this log has {}: it was restored from an older copy, or entries were removed",
            shown.size,
            head.size
        );
    }
    let then = Frontier::load(shown.size, |level, index| log.node(level, index))?.root();
    ensure!(
        then == shown.root,
        "{at} shows another log of {} entries under the same name: this one was rewritten",
        shown.size
    );
    Ok(())
}

/// The full tile is there; whoever asks for a narrower one finds the same hashes in it.
fn remove_partial(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}
