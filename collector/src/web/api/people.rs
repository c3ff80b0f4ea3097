//! People of the roster, and accounts that are in none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{self, Page, Turn};
use crate::devices::{self, Unknown};
use crate::people::standing::{self, Counts, Filter, OnePerson, Stand};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// Which people.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// Name or how it is read, number, or account.
    #[serde(default)]
    pub(in crate::web) text: String,
    /// The department.
    #[serde(default)]
    pub(in crate::web) department: String,
    /// The site.
    #[serde(default)]
    pub(in crate::web) site: String,
    /// Who stand so.
    pub(in crate::web) stand: Option<Stand>,
    /// Who have acknowledged the latest notice, or have not.
    pub(in crate::web) noticed: Option<bool>,
    /// `next` of the page before.
    pub(in crate::web) cursor: Option<String>,
    /// Rows of the page, at most 500.
    pub(in crate::web) limit: Option<u32>,
}

/// Everybody who fits, and how many there are.
pub(in crate::web) struct Found {
    pub(in crate::web) counts: Counts,
    pub(in crate::web) departments: Vec<String>,
    pub(in crate::web) sites: Vec<String>,
    pub(in crate::web) people: Vec<OnePerson>,
}

/// A page of people.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct People {
    /// How many there are, of all.
    counts: Counts,
    /// The page.
    #[serde(flatten)]
    page: Page<OnePerson>,
}

pub(in crate::web) fn find(ask: &Ask<'_>, which: &Which) -> Result<Found, Problem> {
    let all = standing::list(ask.derived()?, ask.now_ms)?;
    let distinct = |of: fn(&OnePerson) -> &String| {
        let all: std::collections::BTreeSet<&String> = all.iter().map(of).filter(|it| !it.is_empty()).collect();
        all.into_iter().cloned().collect::<Vec<_>>()
    };
    let (departments, sites) = (distinct(|it| &it.department), distinct(|it| &it.site));
    let counts = standing::counts(ask.derived()?, &all)?;
    let filter = Filter {
        text: which.text.clone(),
        department: which.department.clone(),
        site: which.site.clone(),
        stand: which.stand,
        noticed: which.noticed,
    };
    Ok(Found { counts, departments, sites, people: standing::pick(all, &filter) })
}

pub(in crate::web) fn list(ask: &Ask<'_>, which: Which) -> Result<People, Problem> {
    let limit = page::rows(which.limit);
    let after: Option<String> = page::read("people", which.cursor.as_deref())?;
    let Found { counts, people, .. } = find(ask, &which)?;
    let rest = people.into_iter().skip_while(|it| after.as_ref().is_some_and(|after| it.person != *after));
    let rest = rest.skip(usize::from(after.is_some())).take(limit as usize + 1);
    Ok(People { counts, page: page::page("people", rest.collect(), limit, |last| last.person.clone()) })
}

pub(in crate::web) fn show(ask: &Ask<'_>, _: Nothing) -> Result<OnePerson, Problem> {
    standing::find(ask.derived()?, ask.param("person")?, ask.now_ms)?.ok_or(Problem::new(Kind::NotFound))
}

pub(in crate::web) fn unknown(ask: &Ask<'_>, turn: Turn) -> Result<Page<Unknown>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("unknown", turn.cursor.as_deref())?;
    let all = devices::unknown(ask.derived()?)?.into_iter();
    let rest = all.skip_while(|it| after.as_ref().is_some_and(|after| it.pseudonym != *after));
    let rest = rest.skip(usize::from(after.is_some())).take(limit as usize + 1);
    Ok(page::page("unknown", rest.collect(), limit, |last| last.pseudonym.clone()))
}
