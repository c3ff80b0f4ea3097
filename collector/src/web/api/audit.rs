//! What operators did and looked at.

use schemars::JsonSchema;
use serde::Deserialize;

use super::page::{self, Page};
use crate::trail::{self, Deed, Filter, Hidden};
use crate::web::ask::Ask;
use crate::web::problem::Problem;

/// Which of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// By whom.
    pub(in crate::web) by: Option<String>,
    /// What: `viewed`, `operator-grant` …
    pub(in crate::web) verb: Option<String>,
    /// With what: an alert, a device, an operator.
    pub(in crate::web) subject: Option<String>,
    /// From this moment on, milliseconds since 1970.
    pub(in crate::web) since_ms: Option<i64>,
    /// `next` of the page before.
    pub(in crate::web) cursor: Option<String>,
    /// Rows of the page, at most 500.
    pub(in crate::web) limit: Option<u32>,
}

pub(in crate::web) fn list(ask: &Ask<'_>, which: Which) -> Result<Page<Deed>, Problem> {
    let limit = page::rows(which.limit).min(trail::PAGE_MAX - 1);
    let before = page::read("audit", which.cursor.as_deref())?;
    let Which { by, verb, subject, since_ms, .. } = which;
    let operator = &ask.caller()?.operator;
    let without = Hidden { accounts: operator.grant.accounts.clone(), persons: operator.is_unbound };
    let filter = Filter { by, verb, subject, since_ms, before, without };
    let rows = trail::list(ask.derived()?, &filter, limit + 1)?;
    Ok(page::page("audit", rows, limit, |last| last.row.to_string()))
}
