//! Names of rooms and customers: whom or what pseudonyms stand for, as a list has it that somebody imports.
//!
//! Each name lies beside the log and an entry has only its salted digest, so that it can be erased. `search.db` keeps them to find by.
//! Whoever learns whom a pseudonym stands for leaves a record: see [`crate::audit`].

pub mod list;
pub mod readings;

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use watchpost_proto::v1::{EntryKind, NameKind, NamedRow, NamesEntry};
use watchpost_proto::{Digest, Message as _};

use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::{Appender, aside};
use crate::registry::Effects;
use crate::search::SearchError;

/// Names of one entry of the log, and of a list.
const ROWS_PER_ENTRY: usize = 4_000;
const ROWS_MAX: usize = 200_000;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 256;
/// A pseudonym is `p_` and these many hexadecimal digits.
const PSEUDONYM_DIGITS: usize = 24;

/// What a pseudonym stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person outside.
    Customer,
    /// A room 群聊.
    Room,
}

impl Kind {
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Customer => NameKind::Customer.into(),
            Self::Room => NameKind::Room.into(),
        }
    }

    fn of(number: i32) -> Option<Self> {
        match NameKind::try_from(number) {
            Ok(NameKind::Customer) => Some(Self::Customer),
            Ok(NameKind::Room) => Some(Self::Room),
            _ => None,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Room => "room",
        }
    }
}

/// A name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Named {
    /// `p_` and 24 hexadecimal digits.
    pub pseudonym: String,
    /// What it stands for.
    pub kind: Kind,
    /// As the list has it.
    pub name: String,
}

/// Whether this is a pseudonym.
#[must_use]
pub fn is_pseudonym(text: &str) -> bool {
    let digits = text.strip_prefix("p_");
    digits.is_some_and(|it| it.len() == PSEUDONYM_DIGITS && it.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')))
}

/// Names that come in and names that go, in the group under way. What goes is overwritten with the commit.
///
/// # Errors
/// A name that is none, or the log.
pub fn change(
    appender: &mut Appender<'_>,
    effects: &mut Effects,
    (added, removed): (&[Named], &[String]),
    act: &Act<'_>,
) -> Result<Vec<u64>, DeskError> {
    if added.len().max(removed.len()) > ROWS_MAX {
        return Err(DeskError::Told(format!("a list has at most {ROWS_MAX} names; import it in parts")));
    }
    if let Some(wrong) = added.iter().find(|it| !is_pseudonym(&it.pseudonym) || !name_is_plain(&it.name)) {
        return Err(DeskError::Told(format!("{:?} cannot be named so", wrong.pseudonym)));
    }
    let gone = removed.iter().map(|digest| {
        Digest::from_hex(digest).ok_or_else(|| DeskError::Told(format!("{digest:?} is not the digest of a name")))
    });
    let gone = gone.collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::new();
    for part in gone.chunks(ROWS_PER_ENTRY) {
        for digest in part {
            aside::erase(appender.connection(), &digest.0)?;
        }
        effects.forget = true;
        let removed = part.iter().map(|digest| digest.to_vec()).collect();
        entries.push(append(appender, (Vec::new(), removed), act)?);
    }
    for part in added.chunks(ROWS_PER_ENTRY) {
        let kept = part.iter().map(|named| {
            let (pseudonym, name) = (named.pseudonym.clone(), named.name.clone());
            let row = NamedRow { pseudonym, kind: named.kind.number(), name };
            Ok::<_, DeskError>(aside::keep(appender.connection(), &row.encode_to_vec())?.to_vec())
        });
        let kept = kept.collect::<Result<Vec<_>, _>>()?;
        entries.push(append(appender, (kept, Vec::new()), act)?);
    }
    Ok(entries)
}

fn append(
    appender: &mut Appender<'_>,
    (added, removed): (Vec<Vec<u8>>, Vec<Vec<u8>>),
    act: &Act<'_>,
) -> Result<u64, DeskError> {
    let entry = NamesEntry { added, removed, by: act.by.into(), reason: act.reason.into(), at_ms: act.at_ms };
    Ok(appender.append(EntryKind::Names, &entry.encode_to_vec())?)
}

/// Whether a name may be kept as it is.
fn name_is_plain(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

/// Takes one entry into `search.db`. What was erased meanwhile is passed over. True where names went.
pub(crate) fn apply(search: &Connection, log: &Connection, header: &[u8]) -> Result<bool, SearchError> {
    let Ok(entry) = NamesEntry::decode(header) else { return Ok(false) };
    if !entry.removed.is_empty() {
        // What goes is overwritten, not only let go of; for everything else that would be a waste.
        search.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))?;
        let mut delete = search.prepare_cached("DELETE FROM name WHERE digest = ?1")?;
        for digest in &entry.removed {
            delete.execute([digest])?;
        }
        search.pragma_update_and_check(None, "secure_delete", "OFF", |_| Ok(()))?;
    }
    let mut insert =
        search.prepare_cached("INSERT OR REPLACE INTO name (pseudonym, kind, name, digest) VALUES (?1, ?2, ?3, ?4)")?;
    for digest in &entry.added {
        let Some(named) = Digest::from_slice(digest) else { continue };
        let Some(bytes) = aside::read(log, &named)? else { continue };
        if let Ok(row) = NamedRow::decode(&bytes[..]) {
            insert.execute((&row.pseudonym, row.kind, &row.name, digest))?;
        }
    }
    Ok(!entry.removed.is_empty())
}

/// Every name, in the order of pseudonyms, with the digest that names it in the log.
///
/// # Errors
/// The database.
pub fn list(search: &Connection) -> Result<Vec<(Named, String)>, SearchError> {
    let mut select = search.prepare("SELECT pseudonym, kind, name, digest FROM name ORDER BY pseudonym")?;
    let rows = select.query_map([], |row| {
        let digest: Vec<u8> = row.get(3)?;
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, hex::encode(digest)))
    })?;
    let mut all = Vec::new();
    for row in rows {
        let (pseudonym, kind, name, digest) = row?;
        if let Some(kind) = Kind::of(kind) {
            all.push((Named { pseudonym, kind, name }, digest));
        }
    }
    Ok(all)
}

/// The names of those of the pseudonyms that have one.
///
/// # Errors
/// The database.
pub fn resolve<'a>(
    search: &Connection,
    pseudonyms: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, String>, SearchError> {
    let mut select = search.prepare_cached("SELECT name FROM name WHERE pseudonym = ?1")?;
    let mut names = BTreeMap::new();
    for pseudonym in pseudonyms {
        if let Some(name) = select.query_row([pseudonym], |row| row.get(0)).optional()? {
            names.insert(pseudonym.to_owned(), name);
        }
    }
    Ok(names)
}

/// What a list changes: names that are new or other than before, and the digests of those that they replace.
#[must_use]
pub fn difference(known: &[(Named, String)], list: &[Named]) -> (Vec<Named>, Vec<String>) {
    let known: BTreeMap<&str, &(Named, String)> = known.iter().map(|it| (it.0.pseudonym.as_str(), it)).collect();
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for named in list {
        match known.get(named.pseudonym.as_str()) {
            Some((before, _)) if before == named => {}
            Some((_, digest)) => {
                removed.push(digest.clone());
                added.push(named.clone());
            }
            None => added.push(named.clone()),
        }
    }
    (added, removed)
}
