//! Names of rooms and customers: whom or what pseudonyms stand for, as a list has it that somebody imports.
//!
//! Each name lies beside the log and an entry has only its salted digest, so that it can be erased. `search.db` keeps them to find by.
//! Whoever learns whom a pseudonym stands for leaves a record: see [`crate::audit`].

pub mod list;
pub mod readings;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use watchpost_proto::v1::{EntryKind, NameKind, NamedRow, NamesEntry};
use watchpost_proto::{Digest, Message as _};

use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::{Appender, aside, named};
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

/// Names that come in, and pseudonyms whose names go, in the group under way. What a name replaces goes as well, and what stands
/// already stays as it is. What goes is overwritten with the commit.
///
/// # Errors
/// A name that is none, a pseudonym that has none, or the log.
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
    let db = appender.connection();
    let mut gone = BTreeSet::new();
    for pseudonym in removed {
        let known = named::names_of(db, pseudonym)?;
        if known.is_empty() {
            return Err(DeskError::Told(format!("{pseudonym:?} has no name; nothing was removed")));
        }
        gone.extend(known);
    }
    // Of two names for one pseudonym the later counts.
    let wanted: BTreeMap<&str, &Named> = added.iter().map(|it| (it.pseudonym.as_str(), it)).collect();
    let mut come = Vec::new();
    for named in wanted.into_values() {
        let known = named::names_of(db, &named.pseudonym)?;
        let row = row_of(named);
        let stands = match &known[..] {
            [one] => !gone.contains(one) && aside::read(db, one)?.is_some_and(|bytes| bytes == row),
            _ => false,
        };
        if !stands {
            gone.extend(known);
            come.push((named.pseudonym.clone(), row));
        }
    }
    let mut entries = Vec::new();
    for part in gone.into_iter().collect::<Vec<_>>().chunks(ROWS_PER_ENTRY) {
        for digest in part {
            aside::erase(appender.connection(), &digest.0)?;
        }
        effects.forget = true;
        let removed = part.iter().map(|digest| digest.to_vec()).collect();
        entries.push(append(appender, NamesEntry { removed, ..NamesEntry::default() }, act)?);
    }
    for part in come.chunks(ROWS_PER_ENTRY) {
        let mut entry = NamesEntry::default();
        for (pseudonym, row) in part {
            entry.added.push(aside::keep(appender.connection(), row)?.to_vec());
            entry.pseudonyms.push(pseudonym.clone());
        }
        entries.push(append(appender, entry, act)?);
    }
    Ok(entries)
}

/// As it lies beside the log.
fn row_of(named: &Named) -> Vec<u8> {
    let (pseudonym, name) = (named.pseudonym.clone(), named.name.clone());
    NamedRow { pseudonym, kind: named.kind.number(), name }.encode_to_vec()
}

fn append(appender: &mut Appender<'_>, entry: NamesEntry, act: &Act<'_>) -> Result<u64, DeskError> {
    let entry = NamesEntry { by: act.by.into(), reason: act.reason.into(), at_ms: act.at_ms, ..entry };
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

/// Every name, in the order of pseudonyms.
///
/// # Errors
/// The database.
pub fn list(search: &Connection) -> Result<Vec<Named>, SearchError> {
    let mut select = search.prepare("SELECT pseudonym, kind, name FROM name ORDER BY pseudonym")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut all = Vec::new();
    for row in rows {
        let (pseudonym, kind, name) = row?;
        if let Some(kind) = Kind::of(kind) {
            all.push(Named { pseudonym, kind, name });
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
