//! Whom a person means who types a name: accounts and pseudonyms, by id, by number, by name or by how it is spelled.

use std::cell::OnceCell;
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::SearchError;
use super::find::too_broad;
use super::kinds::{Kind, number_of, numbers_of};
use crate::names::readings::Sought;

/// Corporations looked through for a userid.
const CORPS_MAX: usize = 1_000;
/// Numbers of one value; more are no name.
const NUMBERS_MAX: usize = 100_000;

/// Names between looks at the time.
const LOOKS: usize = 256;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// An employee, by account, userid or name.
    Person,
    /// An employee, by number or name.
    Employee,
    /// An employee or a customer.
    Anybody,
}

/// The people a query may be about.
pub(super) struct People<'a> {
    search: &'a Connection,
    derived: &'a Connection,
    /// Whoever is employed, read once however many are asked for.
    employed: OnceCell<Vec<Employed>>,
    give_up: Instant,
}

struct Employed {
    account: String,
    employee: String,
    name: String,
}

impl<'a> People<'a> {
    pub(super) fn new((search, derived): (&'a Connection, &'a Connection), give_up: Instant) -> Self {
        Self { search, derived, employed: OnceCell::new(), give_up }
    }

    /// The numbers of the accounts and pseudonyms somebody may mean.
    pub(super) fn parties(&self, value: &str, whom: Whom) -> Result<Vec<i64>, SearchError> {
        let (search, value) = (self.search, value.to_lowercase());
        if whom != Whom::Employee && (value.contains('/') || value.starts_with("p_")) {
            return matching(search, Kind::Party, &value);
        }
        let mut numbers = Vec::new();
        if whom != Whom::Employee {
            for corp in corps(search)? {
                numbers.extend(matching(search, Kind::Party, &format!("{corp}/{value}"))?);
            }
        }
        let sought = Sought::of(&value);
        let mut known = |text: &str| -> Result<(), SearchError> {
            numbers.extend(number_of(search, Kind::Party, text)?);
            Ok(())
        };
        for (place, one) in self.employed()?.iter().enumerate() {
            if place % LOOKS == 0 && Instant::now() > self.give_up {
                return Err(too_broad());
            }
            if one.employee.eq_ignore_ascii_case(&value) || sought.is_in(&one.name) {
                known(&one.account)?;
            }
        }
        if whom == Whom::Anybody {
            named(search, &sought, crate::names::Kind::Customer, &mut known)?;
        }
        Ok(once(numbers))
    }

    fn employed(&self) -> Result<&[Employed], SearchError> {
        if let Some(employed) = self.employed.get() {
            return Ok(employed);
        }
        let mut select = self.derived.prepare_cached("SELECT DISTINCT account, employee, name FROM person")?;
        let read = |row: &Row<'_>| Ok(Employed { account: row.get(0)?, employee: row.get(1)?, name: row.get(2)? });
        let read = select.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
        Ok(self.employed.get_or_init(|| read))
    }
}

/// The numbers of the rooms somebody may mean.
pub(super) fn rooms(search: &Connection, value: &str) -> Result<Vec<i64>, SearchError> {
    let value = value.to_lowercase();
    let mut numbers = matching(search, Kind::Room, &value)?;
    let mut known = |text: &str| -> Result<(), SearchError> {
        numbers.extend(number_of(search, Kind::Room, text)?);
        Ok(())
    };
    named(search, &Sought::of(&value), crate::names::Kind::Room, &mut known)?;
    Ok(once(numbers))
}

/// The numbers of names of a kind: the name itself, or all that fit a pattern with `*`.
pub(super) fn matching(db: &Connection, kind: Kind, pattern: &str) -> Result<Vec<i64>, SearchError> {
    if !pattern.contains('*') {
        return Ok(numbers_of(db, kind, pattern)?);
    }
    let mut select = db.prepare_cached("SELECT id FROM term WHERE kind = ?1 AND lower(text) GLOB ?2 LIMIT ?3")?;
    let found =
        select.query_map((kind.number(), glob(&pattern.to_ascii_lowercase()), NUMBERS_MAX), |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// A pattern in which only `*` means something.
pub(super) fn glob(pattern: &str) -> String {
    let one = |c: char| match c {
        '[' | '?' => format!("[{c}]"),
        c => c.to_string(),
    };
    pattern.chars().map(one).collect()
}

/// The numbers of rules: `rule` or `pack/rule`, either with `*`.
pub(super) fn rules(db: &Connection, value: &str) -> Result<Vec<i64>, SearchError> {
    let value = value.to_lowercase();
    let pattern = match value.split_once('/') {
        Some((pack, rule)) => format!("{pack}\t{rule}"),
        // There are few packs and few rules.
        None => format!("*\t{value}"),
    };
    matching(db, Kind::Rule, &pattern)
}

fn named(
    db: &Connection,
    sought: &Sought,
    kind: crate::names::Kind,
    take: &mut impl FnMut(&str) -> Result<(), SearchError>,
) -> Result<(), SearchError> {
    let mut select = db.prepare_cached("SELECT pseudonym, name FROM name WHERE kind = ?1")?;
    let mut rows = select.query([kind.number()])?;
    while let Some(row) = rows.next()? {
        if sought.is_in(row.get_ref(1)?.as_str().unwrap_or_default()) {
            take(row.get_ref(0)?.as_str().unwrap_or_default())?;
        }
    }
    Ok(())
}

/// The corporations accounts belong to. One look for each, however many accounts it has.
fn corps(db: &Connection) -> Result<Vec<String>, SearchError> {
    let mut select = db.prepare_cached(
        "SELECT text FROM term WHERE kind = ?1 AND text > ?2 COLLATE NOCASE ORDER BY text COLLATE NOCASE LIMIT 1",
    )?;
    let (mut corps, mut after) = (Vec::new(), String::new());
    for _ in 0..CORPS_MAX {
        let next: Option<String> = select.query_row((Kind::Party.number(), &after), |row| row.get(0)).optional()?;
        let Some(next) = next else { break };
        after = match next.split_once('/') {
            Some((corp, _)) => {
                corps.push(corp.to_owned());
                format!("{corp}/\u{10FFFF}")
            }
            None if next.starts_with("p_") => "p_\u{10FFFF}".into(),
            None => next,
        };
    }
    Ok(corps)
}

fn once(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
