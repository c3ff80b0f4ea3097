//! Named values that the log keeps.

use schemars::JsonSchema;
use serde::Deserialize;

use super::operators::Done;
use super::page::{self, Page};
use crate::admin::What;
use crate::settings::{self, Setting};
use crate::web::ask::Ask;
use crate::web::problem::Problem;

/// Which of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// How their names begin.
    #[serde(default)]
    pub(in crate::web) beginning: String,
    /// `next` of the page before.
    pub(in crate::web) cursor: Option<String>,
    /// Rows of the page, at most 500.
    pub(in crate::web) limit: Option<u32>,
}

/// Another value.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Change {
    /// Its path.
    pub(in crate::web) name: String,
    /// Any JSON; null removes it.
    pub(in crate::web) value: serde_json::Value,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

pub(in crate::web) fn list(ask: &Ask<'_>, which: Which) -> Result<Page<Setting>, Problem> {
    let limit = page::rows(which.limit);
    let after: Option<String> = page::read("settings", which.cursor.as_deref())?;
    let all = settings::list(ask.derived()?, &which.beginning)?.into_iter();
    let rest = all.filter(|setting| after.as_ref().is_none_or(|after| setting.name > *after));
    Ok(page::page("settings", rest.take(limit as usize + 1).collect(), limit, |last| last.name.clone()))
}

pub(in crate::web) fn set(ask: &Ask<'_>, change: Change) -> Result<Done, Problem> {
    let value = if change.value.is_null() { String::new() } else { change.value.to_string() };
    let entries = ask.have_done(What::Set { name: change.name, value }, &change.reason)?;
    Ok(Done { entries })
}
