//! Links by which employees see what is about them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operators::Done;
use crate::admin::What;
use crate::my_data::links::{self, Deed, Link};
use crate::operators::secret::{self, Kind as Secret};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};

/// How long a link may wait to be opened, hours.
const HOURS: u32 = 7 * 24;
const HOURS_MAX: u32 = 30 * 24;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Somebody.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Whom {
    /// An account, `corp/userid`, or the number of an employee.
    pub(in crate::web) whom: String,
}

/// A link that is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct HandOut {
    /// An account, `corp/userid`, or the number of an employee.
    pub(in crate::web) whom: String,
    /// How long it may wait to be opened, hours; seven days by default.
    pub(in crate::web) hours: Option<u32>,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// A link that is to count no longer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct End {
    /// An account, `corp/userid`, or the number of an employee.
    pub(in crate::web) whom: String,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// A link, shown this once.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct HandedOut {
    /// The account it was made for.
    pub(in crate::web) account: String,
    /// The address on the console, with the secret behind `#`: it opens once.
    pub(in crate::web) path: String,
    /// Until when it may be opened, milliseconds since 1970.
    pub(in crate::web) until_ms: i64,
}

/// How the link of somebody stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Stands {
    /// All accounts of that person.
    pub(in crate::web) accounts: Vec<String>,
    /// Until when it may be opened, milliseconds since 1970; nothing where there is none.
    pub(in crate::web) until_ms: Option<i64>,
    /// When it was opened.
    pub(in crate::web) opened_ms: Option<i64>,
}

fn meant(ask: &Ask<'_>, whom: &str) -> Result<Vec<String>, Problem> {
    let accounts = links::meant(ask.derived()?, whom.trim())?;
    if accounts.is_empty() {
        return Err(Problem::new(Kind::NotPossible).because("nobody is known by this account or number"));
    }
    Ok(accounts)
}

pub(in crate::web) fn show(ask: &Ask<'_>, asked: Whom) -> Result<Stands, Problem> {
    let accounts = meant(ask, &asked.whom)?;
    let link = links::held(ask.derived()?, &accounts)?.map(|held| held.link);
    let until_ms = link.as_ref().map(|link| link.until_ms);
    Ok(Stands { accounts, until_ms, opened_ms: link.and_then(|link| link.opened_ms) })
}

pub(in crate::web) fn hand_out(ask: &Ask<'_>, asked: HandOut) -> Result<HandedOut, Problem> {
    let accounts = meant(ask, &asked.whom)?;
    let account = accounts.first().cloned().ok_or(Problem::new(Kind::NotFound))?;
    let (text, digest) = secret::make(Secret::EmployeeLink)?;
    let hours = i64::from(asked.hours.unwrap_or(HOURS).clamp(1, HOURS_MAX));
    let until_ms = ask.now_ms.saturating_add(hours * HOUR_MS);
    let link = Link { secret: digest.to_string(), until_ms, opened_ms: None };
    let what = What::EmployeeLink { account: account.clone(), deed: Deed::Make(link) };
    let entries = ask.have_done(what, &asked.reason)?;
    ask.until_shown(&entries)?;
    let path = links::path(&account, &text);
    Ok(HandedOut { account, path, until_ms })
}

pub(in crate::web) fn end(ask: &Ask<'_>, asked: End) -> Result<Done, Problem> {
    let accounts = meant(ask, &asked.whom)?;
    let mut entries = Vec::new();
    for held in links::all(ask.derived()?, &accounts)? {
        let what = What::EmployeeLink { account: held.account, deed: Deed::End };
        entries.extend(ask.have_done(what, &asked.reason)?);
    }
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}
