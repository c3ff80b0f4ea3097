//! All files of a policy as name → bytes: what a shell reads from disk, and what a signed policy carries.

use std::collections::BTreeMap;

use crate::filters::Filter;
use crate::packs;
use crate::rules::{Mistake, Pack};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A pack.
    Pack,
    /// A filter.
    Filter,
    /// Named by a pack.
    Named,
}

/// One file of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What it is for.
    pub role: Role,
    /// Its path below the folder of the policy; what a pack names lies beside the pack.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Packs and filters of a policy, in the order of its files.
///
/// # Errors
/// Every mistake in them.
pub fn read<'a>(
    files: impl Iterator<Item = (Role, &'a str, &'a [u8])>,
) -> Result<(Vec<Pack>, Vec<Filter>), Vec<Mistake>> {
    let files: Vec<(Role, &str, &[u8])> = files.collect();
    let (mut packs, mut filters, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
    for (role, name, bytes) in &files {
        match role {
            Role::Pack => match Pack::parse(name, bytes, &named(&files, name, bytes)) {
                Ok(pack) => packs.push(pack),
                Err(more) => mistakes.extend(more),
            },
            Role::Filter => match Filter::parse(name, bytes) {
                Ok(filter) => filters.push(filter),
                Err(more) => mistakes.extend(more),
            },
            Role::Named => {}
        }
    }
    if mistakes.is_empty() { Ok((packs, filters)) } else { Err(mistakes) }
}

/// The files of a pack that ships with this program.
#[must_use]
pub fn of_builtin(id: &str, folder: &str) -> Option<Vec<File>> {
    let (name, bytes) = packs::source(id)?;
    let files = packs::builtin_files();
    let named = Pack::named_files(bytes).into_iter().filter_map(|name| {
        let bytes = files.get(&name)?.clone();
        Some(File { role: Role::Named, name: below(folder, &name), bytes })
    });
    let pack = File { role: Role::Pack, name: below(folder, name), bytes: bytes.to_vec() };
    Some(std::iter::once(pack).chain(named).collect())
}

/// A path below a folder of the policy.
#[must_use]
pub fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// What a pack names, by the names it uses.
fn named(files: &[(Role, &str, &[u8])], pack: &str, bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let folder = pack.rsplit_once('/').map_or("", |(folder, _)| folder);
    let find = |name: String| {
        let path = below(folder, &name);
        let found = files.iter().find(|(role, other, _)| *role == Role::Named && *other == path)?;
        Some((name, found.2.to_vec()))
    };
    Pack::named_files(bytes).into_iter().filter_map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[File]) -> Result<(Vec<Pack>, Vec<Filter>), Vec<Mistake>> {
        read(files.iter().map(|file| (file.role, file.name.as_str(), &file.bytes[..])))
    }

    #[test]
    fn built_in_packs_are_the_same_out_of_a_bundle() {
        for (number, id) in packs::ids().enumerate() {
            let files = of_builtin(id, &number.to_string()).unwrap();
            let (read, _) = read_files(&files).unwrap();
            assert_eq!(read[0].digest(), packs::by_id(id).unwrap().unwrap().digest(), "{id}");
        }
        assert_eq!(of_builtin("no-such-pack", ""), None);
    }

    #[test]
    fn a_pack_finds_what_lies_beside_it_and_nothing_else() {
        let mut files = of_builtin("collections", "1").unwrap();
        if let Some(named) = files.iter_mut().find(|file| file.role == Role::Named) {
            named.name = named.name.replacen("1/", "2/", 1);
            assert!(read_files(&files).is_err());
        }
    }
}
