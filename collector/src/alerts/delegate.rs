//! Who stands in for whom: while an operator is away, what is assigned to them is their delegate's as well.
//!
//! The setting `delegate/OPERATOR`: `{"to": "li.na", "from_ms": …, "until_ms": …}`.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::derive::DeriveError;
use crate::settings;

/// Before the operator's name.
pub const DELEGATE: &str = "delegate";

/// For a time, somebody stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegate {
    /// Who stands in.
    pub to: String,
    /// From when, milliseconds since 1970.
    pub from_ms: i64,
    /// Until when.
    pub until_ms: i64,
}

/// Whether a value can be the setting of this operator.
///
/// # Errors
/// What is wrong with it.
pub fn check(operator: &str, value: &str) -> Result<(), String> {
    let said: Delegate = serde_json::from_str(value).map_err(|error| format!("the delegate: {error}"))?;
    match () {
        () if operator.is_empty() || said.to.is_empty() => Err("say who stands in for whom".into()),
        () if said.to == operator => Err("nobody stands in for themselves".into()),
        () if said.until_ms <= said.from_ms => Err("it ends before it begins".into()),
        () => Ok(()),
    }
}

/// The operator, and whomever they stand in for at a moment.
///
/// # Errors
/// The database.
pub fn stands_in_for(db: &Connection, operator: &str, now_ms: i64) -> Result<Vec<String>, DeriveError> {
    let mut names = vec![operator.to_owned()];
    for setting in settings::list(db, &format!("{DELEGATE}/"))? {
        let Ok(said) = serde_json::from_str::<Delegate>(&setting.value) else { continue };
        if said.to == operator && (said.from_ms..said.until_ms).contains(&now_ms) {
            names.extend(setting.name.split_once('/').map(|(_, away)| away.to_owned()));
        }
    }
    Ok(names)
}
