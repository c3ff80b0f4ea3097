//! Links that let an employee see what is about them: handed out one at a time, opened once.
//!
//! The setting `employee-link/ACCOUNT` holds the digest of the secret, never the secret. Of all accounts of one employee only the link
//! that was made last counts. Opening it uses it up: whoever hands it out cannot look first without being noticed.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use watchpost_proto::Digest;

use crate::derive::DeriveError;
use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::Appender;
use crate::notices::account_of;
use crate::settings;

/// Before the account.
pub const SETTING: &str = "employee-link";
/// How long a link may wait to be opened.
pub const VALID_MAX_MS: i64 = 31 * 24 * 60 * 60 * 1000;
/// Accounts of one employee that are looked at.
const ACCOUNTS_MAX: u32 = 256;

/// What is kept of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Digest of its secret, hexadecimal.
    pub secret: String,
    /// Until when it may be opened, milliseconds since 1970.
    pub until_ms: i64,
    /// When it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_ms: Option<i64>,
}

/// A step with a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Hands one out; it ends the one before.
    Make(Link),
    /// It is opened.
    Open(Link),
    /// It counts no longer.
    End,
}

/// An account's link as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The account it was made for.
    pub account: String,
    /// The link.
    pub link: Link,
    made_ms: i64,
}

/// Who an employee is where they come in: no operator has such a name.
#[must_use]
pub fn name_of(account: &str) -> String {
    format!("employee:{account}")
}

/// The address of a link below that of the console. What stands behind `#` is sent to nobody before the form is.
#[must_use]
pub fn path(account: &str, secret: &str) -> String {
    format!("/me#{}", serde_html_form::to_string([("account", account), ("secret", secret)]).unwrap_or_default())
}

/// Appends a step.
///
/// # Errors
/// What was asked cannot be, or the log.
pub fn act(appender: &mut Appender<'_>, account: &str, deed: &Deed, act: &Act<'_>) -> Result<u64, DeskError> {
    let told = |text: &str| Err(DeskError::Told(text.to_owned()));
    let Some(account) = account_of(account) else { return told("a link is for an account, corp/userid") };
    let value = match deed {
        Deed::End => String::new(),
        Deed::Make(link) | Deed::Open(link) if Digest::from_hex(&link.secret).is_none() => {
            return told("the request names no secret");
        }
        Deed::Make(link) if link.until_ms <= act.at_ms || link.until_ms > act.at_ms + VALID_MAX_MS => {
            return told("a link is valid for at most 31 days");
        }
        Deed::Make(link) => said(&Link { opened_ms: None, ..link.clone() })?,
        Deed::Open(link) => said(&Link { opened_ms: Some(act.at_ms), ..link.clone() })?,
    };
    settings::put(appender, &format!("{SETTING}/{account}"), &value, act)
}

fn said(link: &Link) -> Result<String, DeskError> {
    serde_json::to_string(link).map_err(|error| DeskError::Told(error.to_string()))
}

/// All accounts of whoever owns this one, itself among them, in order.
///
/// # Errors
/// The database.
pub fn accounts_with(db: &Connection, account: &str) -> Result<Vec<String>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT DISTINCT account FROM person WHERE employee <> '' AND employee IN (
             SELECT employee FROM person WHERE account = ?1) ORDER BY account LIMIT ?2",
    )?;
    let rows = select.query_map((account, ACCOUNTS_MAX), |row| row.get(0))?;
    let mut accounts = rows.collect::<Result<Vec<String>, _>>()?;
    if !accounts.iter().any(|known| known == account) {
        accounts.insert(0, account.to_owned());
    }
    Ok(accounts)
}

/// Whom somebody means by an account or the number of an employee: all accounts of that person. Empty where nobody is known by it.
///
/// # Errors
/// The database.
pub fn meant(db: &Connection, whom: &str) -> Result<Vec<String>, DeriveError> {
    let account = match account_of(whom) {
        Some(account) => Some(account),
        None => {
            let mut select = db.prepare_cached(
                "SELECT account FROM person WHERE employee = ?1 AND ?1 <> '' ORDER BY account LIMIT 1",
            )?;
            let mut rows = select.query_map([whom], |row| row.get(0))?;
            rows.next().transpose()?
        }
    };
    let Some(account) = account else { return Ok(Vec::new()) };
    let known = db
        .prepare_cached(
            "SELECT 1 FROM person WHERE account = ?1 UNION ALL SELECT 1 FROM tally WHERE account = ?1
         UNION ALL SELECT 1 FROM alert WHERE person = ?1",
        )?
        .exists([&account])?;
    if known { accounts_with(db, &account) } else { Ok(Vec::new()) }
}

/// The link of whoever owns these accounts that counts: the one made last.
///
/// # Errors
/// The database.
pub fn held(db: &Connection, accounts: &[String]) -> Result<Option<Held>, DeriveError> {
    Ok(all(db, accounts)?.into_iter().max_by_key(|held| held.made_ms))
}

/// Every link of these accounts that was not ended.
///
/// # Errors
/// The database.
pub fn all(db: &Connection, accounts: &[String]) -> Result<Vec<Held>, DeriveError> {
    let mut found = Vec::new();
    for account in accounts {
        let name = format!("{SETTING}/{account}");
        // Of names that begin so only the first can be this one.
        let setting = settings::list(db, &name)?.into_iter().next().filter(|setting| setting.name == name);
        let Some(setting) = setting else { continue };
        let Ok(link) = serde_json::from_str(&setting.value) else { continue };
        found.push(Held { account: account.clone(), link, made_ms: setting.at_ms });
    }
    Ok(found)
}
