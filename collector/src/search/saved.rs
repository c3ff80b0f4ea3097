//! Searches that operators keep: settings `search/OPERATOR/NAME`.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::SearchError;
use super::query::Query;
use crate::clock::now_ms;
use crate::settings;

/// The first part of their names.
pub const SETTING: &str = "search";
const NAME_CHARS_MAX: usize = 64;

/// A search that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// As it was typed; `14d` is so long before it is asked.
    pub query: String,
}

/// Whether a setting may be this.
///
/// # Errors
/// A sentence: what it is to be.
pub fn check(of: &str, value: &str) -> Result<(), String> {
    let names = of.split_once('/').filter(|(by, name)| !by.is_empty() && !name.is_empty() && !name.contains('/'));
    if names.is_none_or(|(_, name)| name.chars().count() > NAME_CHARS_MAX) {
        return Err("a saved search is search/OPERATOR/NAME, its name at most 64 characters".into());
    }
    let saved: Saved = serde_json::from_str(value).map_err(|_| "a saved search is {\"query\": \"…\"}".to_owned())?;
    Query::parse(&saved.query, now_ms()).map(drop)
}

/// The name of the setting.
#[must_use]
pub fn setting(by: &str, name: &str) -> String {
    format!("{SETTING}/{by}/{name}")
}

/// The searches of an operator, by name.
///
/// # Errors
/// The database.
pub fn list(derived: &Connection, by: &str) -> Result<Vec<(String, Saved)>, SearchError> {
    let beginning = setting(by, "");
    let found = settings::list(derived, &beginning)?.into_iter().filter_map(|it| {
        let saved = serde_json::from_str(&it.value).ok()?;
        Some((it.name.strip_prefix(&beginning)?.to_owned(), saved))
    });
    Ok(found.collect())
}
