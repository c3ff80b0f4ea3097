//! Settings: named values that operators change and the log keeps, each from its entry on.
//!
//! A name is a path whose first part says whose it is; that room checks the value before it is taken, and reads it from
//! `derived.db`.

use rusqlite::{Connection, OptionalExtension as _};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use watchpost_proto::Message as _;
use watchpost_proto::v1::{EntryKind, SettingEntry};

use crate::alerts::delegate;
use crate::clocks;
use crate::derive::DeriveError;
use crate::enrolment::desk::{Act, DeskError};
use crate::link;
use crate::log_store::Appender;
use crate::my_data::links;
use crate::notify::route;
use crate::search::saved;
use crate::sites;

const NAME_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// A setting as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Setting {
    /// Its path.
    pub name: String,
    /// JSON.
    pub value: String,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// Sets a value, or removes it where it is empty.
///
/// # Errors
/// No such setting, a value that cannot be, or the log.
pub fn set(appender: &mut Appender<'_>, name: &str, value: &str, act: &Act<'_>) -> Result<u64, DeskError> {
    check(name, value).map_err(DeskError::Told)?;
    put(appender, name, value, act)
}

/// Sets a value that the room it belongs to has checked, or removes it where it is empty.
///
/// # Errors
/// The log.
pub(crate) fn put(appender: &mut Appender<'_>, name: &str, value: &str, act: &Act<'_>) -> Result<u64, DeskError> {
    let entry = SettingEntry {
        name: name.into(),
        value: value.into(),
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
    };
    Ok(appender.append(EntryKind::Setting, &entry.encode_to_vec())?)
}

/// Whether a setting of this name may have this value.
fn check(name: &str, value: &str) -> Result<(), String> {
    let is_plain = name.len() <= NAME_BYTES_MAX && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if !is_plain || value.len() > VALUE_BYTES_MAX {
        return Err("a setting's name is a path without spaces, and its value at most 64 KiB of JSON".into());
    }
    if value.is_empty() {
        return Ok(());
    }
    match name.split_once('/').unwrap_or((name, "")) {
        ("route", _) => route::check_setting(name, value),
        (clocks::RESPONSE, "") => clocks::check_responses(value),
        (clocks::CALENDAR, site) if !site.is_empty() => clocks::check_calendar(value),
        (link::SETTING, "") => link::check(value),
        (saved::SETTING, of) => saved::check(of, value),
        (sites::SETTING, site) if !site.is_empty() => sites::check(value),
        (delegate::DELEGATE, operator) => delegate::check(operator, value),
        (links::SETTING, _) => Err("a link for an employee is made with my-data link".into()),
        _ => Err(format!("there is no setting {name:?}")),
    }
}

/// The value of a setting; `None` where it is not set, or is of a shape this version does not know.
///
/// # Errors
/// The database.
pub fn read<T: DeserializeOwned>(db: &Connection, name: &str) -> Result<Option<T>, DeriveError> {
    let mut select = db.prepare_cached("SELECT value FROM setting WHERE name = ?1")?;
    let value: Option<String> = select.query_row([name], |row| row.get(0)).optional()?;
    Ok(value.and_then(|value| serde_json::from_str(&value).ok()))
}

/// No text is beyond an empty blob.
const LIST: &str = "SELECT name, value, by, reason, at_ms FROM setting
    WHERE name >= ?1 AND name < coalesce(?2, x'') ORDER BY name";

/// The first text after all that begin so, where there is one.
fn after(beginning: &str) -> Option<String> {
    let last = beginning.trim_end_matches(char::MAX);
    let mut chars = last.chars();
    // The range of characters passes over what is none.
    let next = (chars.next_back()?..=char::MAX).nth(1)?;
    Some(format!("{}{next}", chars.as_str()))
}

/// Settings whose names begin so, in order.
///
/// # Errors
/// The database.
pub fn list(db: &Connection, beginning: &str) -> Result<Vec<Setting>, DeriveError> {
    let mut select = db.prepare_cached(LIST)?;
    let rows = select.query_map((beginning, after(beginning)), |row| {
        Ok(Setting { name: row.get(0)?, value: row.get(1)?, by: row.get(2)?, reason: row.get(3)?, at_ms: row.get(4)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    fn settings(names: &[String]) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL,
                 at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        )
        .unwrap();
        for name in names {
            db.execute("INSERT OR IGNORE INTO setting VALUES (?1, '1', '', '', 0)", [name]).unwrap();
        }
        db
    }

    proptest! {
        #[test]
        fn a_list_is_all_whose_names_begin_so(
            names in prop::collection::vec("[ab/\u{d7ff}\u{e000}\u{10fffe}\u{10ffff}]{0,5}", 0..40),
            beginning in "[ab/\u{d7ff}\u{e000}\u{10fffe}\u{10ffff}]{0,3}",
        ) {
            let mut expected: Vec<String> = names.iter().filter(|it| it.starts_with(&beginning)).cloned().collect();
            expected.sort();
            expected.dedup();
            let listed = list(&settings(&names), &beginning).unwrap();
            prop_assert_eq!(listed.into_iter().map(|it| it.name).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_list_reads_no_other_settings() {
        let db = settings(&[]);
        let plan: String =
            db.query_row(&format!("EXPLAIN QUERY PLAN {LIST}"), ["route/", "route0"], |row| row.get("detail")).unwrap();
        assert_eq!(plan, "SEARCH setting USING PRIMARY KEY (name>? AND name<?)");
    }
}
