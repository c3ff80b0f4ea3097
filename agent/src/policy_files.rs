//! Packs and accounts from their files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use watchpost_policy::accounts::Accounts;
use watchpost_policy::bundle::{self, Role};
use watchpost_policy::engine::Engine;
use watchpost_policy::filters::Filter;
use watchpost_policy::hint::did_you_mean;
use watchpost_policy::packs;
use watchpost_policy::rules::{Mistake, PACK_BYTES_MAX, Pack};
use watchpost_proto::policy::{POLICY_BYTES_MAX, Policy};
use watchpost_proto::v1::PolicyRole;

/// Largest accounts file, in bytes: a million accounts with names and labels.
const ACCOUNTS_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Largest word file a pack may name, in bytes.
const WORDS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One document of a policy.
#[derive(Debug)]
pub enum Document {
    /// A pack of rules.
    Pack(Box<Pack>),
    /// A filter that tunes one.
    Filter(Box<Filter>),
}

/// Stands for all built-in packs where a file is named; `builtin:ID` stands for one that ships.
const BUILTIN: &str = "builtin";

/// Compiles the engine from files of packs and filters; without a pack the built-in packs are taken, and `builtin` or `builtin:ID` in
/// place of a file puts them beside others. The mistakes are sentences for a person, each with file and line.
pub fn load_engine(policy_files: &[PathBuf], accounts: Option<&Path>) -> Result<Engine, Vec<String>> {
    let (packs, filters, accounts) = load_parts(policy_files, accounts)?;
    Engine::compile_filtered(packs, filters, accounts).map_err(|error| vec![error.to_string()])
}

/// The same with the rule of the self-check, for an agent that runs.
pub fn load_checked_engine(policy_files: &[PathBuf], accounts: Option<&Path>) -> Result<Engine, Vec<String>> {
    let (packs, filters, accounts) = load_parts(policy_files, accounts)?;
    Engine::compile_checked(packs, filters, accounts).map_err(|error| vec![error.to_string()])
}

type Parts = (Vec<Pack>, Vec<Filter>, Option<Accounts>);

fn load_parts(policy_files: &[PathBuf], accounts: Option<&Path>) -> Result<Parts, Vec<String>> {
    let mut mistakes = Vec::new();
    let (mut packs, mut filters) = (Vec::new(), Vec::new());
    for file in policy_files {
        if let Some(shipped) = shipped(file) {
            match shipped {
                Ok(more) => packs.extend(more),
                Err(more) => mistakes.extend(more),
            }
            continue;
        }
        if let Some(read) = signed(file) {
            match read {
                Ok((more, tuning)) => {
                    packs.extend(more);
                    filters.extend(tuning);
                }
                Err(more) => mistakes.extend(more),
            }
            continue;
        }
        match load_document(file) {
            Ok(Document::Pack(pack)) => packs.push(*pack),
            Ok(Document::Filter(filter)) => filters.push(*filter),
            Err(more) => mistakes.extend(told(&more)),
        }
    }
    if packs.is_empty() && mistakes.is_empty() {
        packs = packs::builtin().map_err(|mistakes| told(&mistakes))?;
    }
    let accounts = match accounts.map(load_accounts).transpose() {
        Ok(accounts) => accounts,
        Err(more) => {
            mistakes.extend(more);
            None
        }
    };
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok((packs, filters, accounts))
}

/// Whether a name stands for built-in packs and not for a file.
#[must_use]
pub fn names_builtin(name: &str) -> bool {
    name.strip_prefix(BUILTIN).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The packs meant by `builtin` or `builtin:ID`; `None` for a file.
fn shipped(file: &Path) -> Option<Result<Vec<Pack>, Vec<String>>> {
    let name = file.to_str().filter(|name| names_builtin(name))?;
    let packs = if name == BUILTIN {
        packs::builtin()
    } else {
        let id = name.strip_prefix(BUILTIN)?.strip_prefix(':')?;
        match packs::by_id(id) {
            Some(pack) => pack.map(|pack| vec![pack]),
            None => {
                let ids: Vec<&str> = packs::ids().collect();
                let hint = did_you_mean(id, &ids);
                return Some(Err(vec![format!("no pack `{id}` is built in{hint} (there are: {})", ids.join(", "))]));
            }
        }
    };
    Some(packs.map_err(|mistakes| told(&mistakes)))
}

/// Packs and filters, in their order.
type Documents = (Vec<Pack>, Vec<Filter>);

/// The packs and filters of a signed policy; `None` for any other file. Whether devices would believe who signed it is not asked here.
fn signed(file: &Path) -> Option<Result<Documents, Vec<String>>> {
    let mut start = [0; 64];
    let read = std::fs::File::open(file).and_then(|mut file| std::io::Read::read(&mut file, &mut start)).ok()?;
    if !Policy::is_meant(&start[..read]) {
        return None;
    }
    let wrong = |text: String| vec![format!("{}: {text}", file.display())];
    let bytes = read_bytes(file, POLICY_BYTES_MAX as u64);
    Some(bytes.and_then(|bytes| {
        let policy = Policy::read(&bytes).map_err(|error| wrong(error.to_string()))?;
        policy.header.check_signed_by(&policy.header.signers).map_err(|error| wrong(error.to_string()))?;
        parts_of(&policy)
    }))
}

/// The packs and filters of a policy.
pub(crate) fn parts_of(policy: &Policy) -> Result<Documents, Vec<String>> {
    let files = policy.files().map(|(file, bytes)| {
        let role = match file.role() {
            PolicyRole::Pack => Role::Pack,
            PolicyRole::Filter => Role::Filter,
            PolicyRole::Named | PolicyRole::Unspecified => Role::Named,
        };
        (role, file.name.as_str(), bytes)
    });
    bundle::read(files).map_err(|mistakes| told(&mistakes))
}

fn read_bytes(file: &Path, bytes_max: u64) -> Result<Vec<u8>, Vec<String>> {
    read(file, bytes_max).map_err(|mistakes| told(&mistakes))
}

/// Reads a pack or a filter, whichever the file is.
pub fn load_document(file: &Path) -> Result<Document, Vec<Mistake>> {
    let bytes = read(file, PACK_BYTES_MAX as u64)?;
    if Filter::is_meant(&bytes) {
        return Filter::parse(&file.display().to_string(), &bytes).map(|filter| Document::Filter(Box::new(filter)));
    }
    load_pack(file).map(|pack| Document::Pack(Box::new(pack)))
}

/// Reads one pack with the files it names, which lie beside it.
pub fn load_pack(file: &Path) -> Result<Pack, Vec<Mistake>> {
    let bytes = read(file, PACK_BYTES_MAX as u64)?;
    let mut files = BTreeMap::new();
    for name in Pack::named_files(&bytes) {
        if !is_below(&name) {
            return Err(vec![of_file(file, format!("{name} must lie beside the pack or in a folder there"))]);
        }
        let path = file.parent().unwrap_or(Path::new(".")).join(&name);
        // A file that is missing is told by the pack's own check, with the line that names it.
        if path.exists() {
            files.insert(name, read(&path, WORDS_BYTES_MAX)?);
        }
    }
    Pack::parse(&file.display().to_string(), &bytes, &files)
}

/// Reads an accounts file.
///
/// # Errors
/// Every mistake in it as a sentence for a person.
pub fn load_accounts(file: &Path) -> Result<Accounts, Vec<String>> {
    let bytes = read_bytes(file, ACCOUNTS_BYTES_MAX)?;
    Accounts::parse(&bytes).map_err(|mistakes| {
        mistakes.iter().map(|mistake| format!("{}:{}: {}", file.display(), mistake.line, mistake.text)).collect()
    })
}

fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>, Vec<Mistake>> {
    let unread = |error: std::io::Error| vec![of_file(file, error.to_string())];
    let length = std::fs::metadata(file).map_err(unread)?.len();
    if length > bytes_max {
        return Err(vec![of_file(file, format!("the file has {length} bytes; at most {bytes_max} are read"))]);
    }
    std::fs::read(file).map_err(unread)
}

fn of_file(file: &Path, text: String) -> Mistake {
    Mistake { file: file.display().to_string(), line: 0, column: 0, text }
}

fn is_below(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    parts.all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir))
}

fn told(mistakes: &[Mistake]) -> Vec<String> {
    mistakes.iter().map(Mistake::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_packs_are_named_in_place_of_a_file() {
        let ids = |names: &[&str]| -> Result<Vec<String>, Vec<String>> {
            let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            Ok(load_engine(&files, None)?.packs().iter().map(|pack| pack.id.to_string()).collect())
        };
        let all = ids(&[]).unwrap();
        assert_eq!(ids(&["builtin"]).unwrap(), all);
        assert_eq!(ids(&["builtin:message-flow"]).unwrap(), ["message-flow"]);
        assert_eq!(ids(&["builtin", "builtin:message-flow"]).unwrap().len(), all.len() + 1);
        assert!(ids(&["builtin:mesage-flow"]).unwrap_err()[0].contains("message-flow"));
    }

    #[test]
    fn a_filter_beside_no_pack_tunes_the_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("filter.yaml");
        let filter = |pack: &str| {
            format!(
                "filter: f\npack: {pack}\nrules: all\nowner: o\nreason: r\nexpires: 2027-01-01\nset: {{ status: shadow }}\n"
            )
        };
        std::fs::write(&file, filter("customer-diversion")).unwrap();
        let tuned = load_engine(std::slice::from_ref(&file), None).unwrap();
        let plain = load_engine(&[], None).unwrap();
        assert_eq!((tuned.filters().len(), tuned.packs().len()), (1, plain.packs().len()));
        assert_ne!(tuned.digest(), plain.digest());
        std::fs::write(&file, filter("customer-diversions")).unwrap();
        let mistakes = load_engine(std::slice::from_ref(&file), None).unwrap_err();
        assert!(mistakes[0].contains("filter.yaml") && mistakes[0].contains("did you mean"), "{mistakes:?}");
    }
}
