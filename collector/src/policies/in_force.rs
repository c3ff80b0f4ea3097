//! What is in force in each group, compiled once and kept: the packs of its published policy, those that ship where none is published.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use rusqlite::Connection;
use watchpost_policy::bundle::{self, File, Role, below};
use watchpost_policy::engine::Engine;
use watchpost_policy::packs;
use watchpost_policy::rules::{Pack, Rule};
use watchpost_proto::Digest;
use watchpost_proto::policy::Policy;

use super::gather;
use crate::log_store;
use crate::rulebook::role_of;

/// Policies kept compiled.
const KEPT_MAX: usize = 6;

/// A policy as it can be asked.
#[derive(Debug)]
pub struct InForce {
    /// The policy; none for the packs that ship.
    pub policy: Option<Digest>,
    /// Its number in its group; 0 for the packs that ship.
    pub version: u64,
    /// Its packs and filters, compiled.
    pub engine: Engine,
    /// Every file of words: pack, its name as the pack has it, and its words.
    files: Vec<(String, String, Vec<String>)>,
}

impl InForce {
    /// The packs that ship.
    ///
    /// # Errors
    /// Never in a tested build.
    pub fn builtin() -> anyhow::Result<Self> {
        let shipped = packs::BUILTIN.iter().filter_map(|(name, _)| name.strip_suffix(".yaml"));
        let files: Vec<File> =
            shipped.enumerate().filter_map(|(at, id)| bundle::of_builtin(id, &at.to_string())).flatten().collect();
        Self::of(None, 0, files)
    }

    /// A policy.
    ///
    /// # Errors
    /// Its packs do not compile.
    pub fn of_policy(policy: &Policy) -> anyhow::Result<Self> {
        let header = &policy.header;
        Self::of(Some(header.digest), header.said.version, files_of(policy))
    }

    fn of(policy: Option<Digest>, version: u64, files: Vec<File>) -> anyhow::Result<Self> {
        let named = files.iter().map(|file| (file.role, file.name.as_str(), &file.bytes[..]));
        let (packs, engine) = gather::compile(named)?;
        Ok(Self { policy, version, engine, files: words_files(&packs, &files) })
    }

    /// Its packs.
    #[must_use]
    pub fn packs(&self) -> &[Pack] {
        self.engine.packs()
    }

    /// The pack of this id.
    #[must_use]
    pub fn pack(&self, id: &str) -> Option<&Pack> {
        self.packs().iter().find(|pack| &*pack.id == id)
    }

    /// Every rule with its pack.
    pub fn rules(&self) -> impl Iterator<Item = (&Pack, &Rule)> {
        self.packs().iter().flat_map(|pack| pack.rules.iter().map(move |rule| (pack, rule)))
    }

    /// The words of a file that a pack names.
    pub fn words_of(&self, pack: &str, file: &str) -> impl Iterator<Item = &str> {
        let found = self.files.iter().filter(move |(of, name, _)| of == pack && name == file);
        found.flat_map(|(_, _, words)| words.iter().map(String::as_str))
    }

    /// Files of words: the pack, and the name as the pack has it.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(pack, file, _)| (pack.as_str(), file.as_str()))
    }
}

/// The files of a policy, as the engine takes them.
#[must_use]
pub fn files_of(policy: &Policy) -> Vec<File> {
    let files = policy.files();
    files
        .map(|(file, bytes)| File { role: role_of(file.role()), name: file.name.clone(), bytes: bytes.to_vec() })
        .collect()
}

/// The words of every file that stands beside a pack. Packs come in the order of their files.
fn words_files(packs: &[Pack], files: &[File]) -> Vec<(String, String, Vec<String>)> {
    let of_packs = files.iter().filter(|file| file.role == Role::Pack);
    let mut all = Vec::new();
    for (pack, of_pack) in packs.iter().zip(of_packs) {
        let folder = of_pack.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for name in Pack::named_files(&of_pack.bytes) {
            let path = below(folder, &name);
            let found = files.iter().find(|file| file.role == Role::Named && file.name == path);
            let text = found.map(|file| String::from_utf8_lossy(&file.bytes)).unwrap_or_default();
            let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
            let words = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
            all.push((pack.id.to_string(), name, words));
        }
    }
    all
}

/// Groups that devices are in or that have a policy, in order of name; the default one always.
///
/// # Errors
/// The databases.
pub fn groups(log: &Connection, derived: &Connection) -> anyhow::Result<Vec<String>> {
    let mut groups: BTreeSet<String> = log_store::rollouts(log)?.into_iter().map(|rollout| rollout.group).collect();
    groups.insert("default".into());
    let mut select = derived.prepare_cached("SELECT DISTINCT grp FROM enrolment WHERE grp <> ''")?;
    for group in select.query_map([], |row| row.get(0))? {
        groups.insert(group?);
    }
    Ok(groups.into_iter().collect())
}

/// Those asked for last.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<Arc<InForce>>>);

impl Kept {
    /// What the latest policy of a group holds; the packs that ship where none is published.
    ///
    /// # Errors
    /// The log, or a policy that no longer compiles.
    pub fn of_group(&self, log: &Connection, group: &str) -> anyhow::Result<Arc<InForce>> {
        match log_store::latest(log, group)? {
            Some(latest) => self.of_policy(log, &latest.header.digest),
            None => self.kept(None, InForce::builtin),
        }
    }

    /// What a published policy holds.
    ///
    /// # Errors
    /// As [`Kept::of_group`].
    pub fn of_policy(&self, log: &Connection, digest: &Digest) -> anyhow::Result<Arc<InForce>> {
        self.kept(Some(*digest), || {
            let policy = log_store::policy(log, digest)?.context("the files of the policy are not there")?;
            InForce::of_policy(&policy)
        })
    }

    fn kept(
        &self,
        digest: Option<Digest>,
        make: impl FnOnce() -> anyhow::Result<InForce>,
    ) -> anyhow::Result<Arc<InForce>> {
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held().iter().find(|known| known.policy == digest) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(make()?);
        let mut kept = held();
        kept.retain(|known| known.policy != digest);
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push(Arc::clone(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_that_ship_are_in_force_with_their_words() {
        let builtin = InForce::builtin().unwrap();
        assert_eq!(builtin.packs().len(), packs::BUILTIN.len());
        let words: Vec<&str> = builtin.words_of("bribery", "words/denials.txt").collect();
        assert!(words.len() > 3 && words.iter().all(|word| !word.starts_with('#')), "{words:?}");
        assert_eq!(builtin.words_of("advertising", "words/denials.txt").count(), 0, "it names no such file");
    }
}
