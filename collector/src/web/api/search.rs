//! Search, within what whoever asks may read, and the searches they keep.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alerts::{concerning, reason};
use super::operators::Done;
use super::page;
use crate::admin::What;
use crate::alerts;
use crate::audit::Did;
use crate::operators::{Act, may};
use crate::search::SearchError;
use crate::search::find::{Asked, Finder, Found, PATIENCE};
use crate::search::query::Query;
use crate::search::saved::{self, Saved};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// Searches that one operator keeps.
const KEPT_MAX: usize = 100;

/// What to look for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// As it is typed.
    pub(in crate::web) query: String,
    /// Why; goes into the audit trail. Needed to look for texts, words of lists, senders, receivers and rooms.
    #[serde(default)]
    pub(in crate::web) reason: String,
    /// `next` of the page before.
    pub(in crate::web) cursor: Option<String>,
    /// Rows of the page, at most 500.
    pub(in crate::web) limit: Option<u32>,
}

/// Part of what was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Searched {
    /// The newest first; what you may not read is left out.
    pub(in crate::web) items: Vec<Found>,
    /// Where the next page begins; missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) next: Option<String>,
    /// There may be more on this page: the time was up.
    pub(in crate::web) stopped: bool,
}

/// A search that is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Kept {
    /// Its name.
    pub(in crate::web) name: String,
    /// As it was typed.
    pub(in crate::web) query: String,
}

/// A search to keep.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Keep {
    /// As it is typed.
    pub(in crate::web) query: String,
}

/// Whoever finds a finding by its words learns them: it is asked like reading it, before anything is counted or paged, and
/// noted before it is answered. What names are known is not said: some may be of findings that are not for them.
pub(in crate::web) fn find(ask: &Ask<'_>, which: Which) -> Result<Searched, Problem> {
    let query = parsed(ask, &which.query)?;
    let (words, names) = (query.asks_for_words(), query.asks_for_names());
    let reason = if words || names { reason(&which.reason)? } else { "" };
    let limit = page::rows(which.limit) as usize;
    let mut finder = finder(ask)?;
    let asked = Asked { query: &query, after: which.cursor.as_deref(), limit, patience: PATIENCE };
    let found = finder.find(&asked).map_err(problem)?;
    // Names are those of people: the log keeps that somebody was looked for, not whom.
    let subject = if names { "a search by names" } else { which.query.trim() };
    let rows = found.found.len() as u64;
    if words {
        ask.note(ask.by()?, Did::Viewed, subject, reason, rows)?;
    }
    if names {
        ask.note(ask.by()?, Did::Resolved, subject, reason, rows)?;
    }
    Ok(Searched { items: found.found, next: found.next, stopped: found.stopped })
}

pub(in crate::web) fn parsed(ask: &Ask<'_>, query: &str) -> Result<Query, Problem> {
    Query::parse(query, ask.now_ms).map_err(Problem::malformed)
}

/// Finds what whoever asks may read. A finding without an alert is nobody's yet.
pub(in crate::web) fn finder(ask: &Ask<'_>) -> Result<Finder, Problem> {
    let (operator, now_ms, derived) = (ask.caller()?.operator.clone(), ask.now_ms, ask.derived_anew()?);
    let may_read = move |id: &[u8]| {
        let alert = alerts::find(&derived, id).ok().flatten();
        alert.is_some_and(|alert| may(&operator, Act::SeeExcerpts, Some(&concerning(&alert)), now_ms))
    };
    Ok(Finder::open(&ask.site.desk.config).map_err(problem)?.within(may_read))
}

pub(in crate::web) fn problem(error: SearchError) -> Problem {
    match error {
        SearchError::Told(sentence) => Problem::malformed(sentence),
        SearchError::Anew { .. } | SearchError::Missing(_) => Problem::new(Kind::Deriving),
        SearchError::Derived(error) => error.into(),
        SearchError::Log(error) => error.into(),
        other => Problem::broken(&other),
    }
}

pub(in crate::web) fn list(ask: &Ask<'_>, _: Nothing) -> Result<Vec<Kept>, Problem> {
    let kept = saved::list(ask.derived()?, ask.by()?).map_err(problem)?.into_iter();
    Ok(kept.map(|(name, saved)| Kept { name, query: saved.query }).collect())
}

pub(in crate::web) fn keep(ask: &Ask<'_>, asked: Keep) -> Result<Done, Problem> {
    keep_as(ask, ask.param("name")?, asked.query)
}

pub(in crate::web) fn keep_as(ask: &Ask<'_>, name: &str, query: String) -> Result<Done, Problem> {
    let kept = saved::list(ask.derived()?, ask.by()?).map_err(problem)?;
    if kept.len() >= KEPT_MAX && !kept.iter().any(|(known, _)| known == name) {
        return Err(Problem::new(Kind::NotPossible).because("you keep 100 searches; forget one first"));
    }
    let value = serde_json::to_string(&Saved { query }).map_err(|error| Problem::broken(&error))?;
    set(ask, name, value)
}

pub(in crate::web) fn forget(ask: &Ask<'_>, _: Nothing) -> Result<Done, Problem> {
    forget_of(ask, ask.param("name")?)
}

pub(in crate::web) fn forget_of(ask: &Ask<'_>, name: &str) -> Result<Done, Problem> {
    set(ask, name, String::new())
}

/// One's own alone: the name of whoever asks is part of the setting's.
fn set(ask: &Ask<'_>, name: &str, value: String) -> Result<Done, Problem> {
    if name.contains('/') {
        return Err(Problem::malformed("the name of a search has no slash"));
    }
    let entries = ask.have_done(What::Set { name: saved::setting(ask.by()?, name), value }, "")?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}
