//! The files of a policy, from disk, and whether they are sound.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use watchpost_policy::bundle::{self, File, Role, below};
use watchpost_policy::engine::{Engine, run_tests};
use watchpost_policy::filters::Filter;
use watchpost_policy::hint::did_you_mean;
use watchpost_policy::packs;
use watchpost_policy::rules::{Mistake, PACK_BYTES_MAX, Pack};

/// Largest file a pack may name, in bytes.
const NAMED_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Stands for all built-in packs where a file is named; `builtin:ID` stands for one that ships.
const BUILTIN: &str = "builtin";

/// Reads packs, filters and what packs name. Each comes into a folder of its own, so that names never collide.
///
/// # Errors
/// A file that cannot be read, with its name.
pub fn gather(paths: &[PathBuf]) -> anyhow::Result<Vec<File>> {
    let (mut files, mut folder) = (Vec::new(), 0);
    let mut next = || {
        folder += 1;
        folder.to_string()
    };
    for path in paths {
        let name = path.to_str().unwrap_or_default();
        if name == BUILTIN {
            let shipped = packs::BUILTIN.iter().filter_map(|(name, _)| name.strip_suffix(".yaml"));
            files.extend(shipped.filter_map(|id| bundle::of_builtin(id, &next())).flatten());
        } else if let Some(id) = name.strip_prefix(BUILTIN).and_then(|rest| rest.strip_prefix(':')) {
            let ids: Vec<&str> = packs::ids().collect();
            let found = bundle::of_builtin(id, &next());
            files.extend(found.with_context(|| format!("no pack `{id}` is built in{}", did_you_mean(id, &ids)))?);
        } else {
            files.extend(from_disk(path, &next())?);
        }
    }
    Ok(files)
}

fn from_disk(path: &Path, folder: &str) -> anyhow::Result<Vec<File>> {
    let bytes = read(path, PACK_BYTES_MAX as u64)?;
    let name = path.file_name().and_then(|name| name.to_str());
    let name = below(folder, name.with_context(|| format!("{}: the name is not UTF-8", path.display()))?);
    if Filter::is_meant(&bytes) {
        return Ok(vec![File { role: Role::Filter, name, bytes }]);
    }
    let mut files = Vec::new();
    for named in Pack::named_files(&bytes) {
        let inside =
            Path::new(&named).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        ensure!(inside, "{}: {named} must lie beside the pack or in a folder there", path.display());
        let beside = path.parent().unwrap_or(Path::new(".")).join(&named);
        // A file that is missing is told by the pack's own check, with the line that names it.
        if beside.exists() {
            files.push(File { role: Role::Named, name: below(folder, &named), bytes: read(&beside, NAMED_BYTES_MAX)? });
        }
    }
    files.insert(0, File { role: Role::Pack, name, bytes });
    Ok(files)
}

fn read(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let length = std::fs::metadata(path).with_context(|| shown.to_string())?.len();
    ensure!(length <= bytes_max, "{shown} has {length} bytes; at most {bytes_max} are read");
    std::fs::read(path).with_context(|| shown.to_string())
}

/// Packs and filters, and the engine they make.
///
/// # Errors
/// Every mistake in them.
pub fn compile<'a>(files: impl Iterator<Item = (Role, &'a str, &'a [u8])>) -> anyhow::Result<(Vec<Pack>, Engine)> {
    let (packs, filters) = bundle::read(files)
        .map_err(|mistakes| anyhow!(mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n")))?;
    let engine = Engine::compile_checked(packs.clone(), filters, None)?;
    Ok((packs, engine))
}

/// Runs the tests that the rules carry; how many there are.
///
/// # Errors
/// Those that fail.
pub fn test(packs: &[Pack]) -> anyhow::Result<usize> {
    let (mut failed, mut total) = (Vec::new(), 0);
    for pack in packs {
        for outcome in run_tests(pack)? {
            total += 1;
            if !outcome.passed() {
                failed.push(format!("{}: {}", outcome.rule, outcome.test.text));
            }
        }
    }
    if !failed.is_empty() {
        bail!(
            "{} of {total} tests of the rules fail; see watchpost-agent policy test\n{}",
            failed.len(),
            failed.join("\n")
        );
    }
    Ok(total)
}
