//! Operators, for administrators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{self, Page, Turn};
use super::tokens::{Token, tokens_of};
use crate::operators::secret::{self, Kind as Secret};
use crate::operators::{self, Deed, Grant, Operator};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// How long a one-time secret lasts, hours.
const HOURS: u32 = 72;
const HOURS_MAX: u32 = 30 * 24;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Somebody new.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Invite {
    /// Login name.
    pub(in crate::web) operator: String,
    /// What they may do.
    pub(in crate::web) grant: Grant,
    /// How long the one-time secret lasts, hours; three days by default.
    pub(in crate::web) hours: Option<u32>,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// What they may do from now on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Regrant {
    /// All of it.
    pub(in crate::web) grant: Grant,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// Why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Why {
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// What is handed over to somebody who is to set a password.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Invitation {
    /// Login name.
    pub(in crate::web) operator: String,
    /// The one-time secret, shown this once.
    pub(in crate::web) secret: String,
    /// When it ends, milliseconds since 1970.
    pub(in crate::web) expires_ms: i64,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Done {
    /// The entries of the log that were made; none where it stood so already.
    pub(in crate::web) entries: Vec<u64>,
}

pub(in crate::web) fn list(ask: &Ask<'_>, turn: Turn) -> Result<Page<Operator>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("operators", turn.cursor.as_deref())?;
    let all = operators::list(ask.log().connection())?.into_iter();
    let rest = all.filter(|operator| after.as_ref().is_none_or(|after| operator.operator > *after));
    Ok(page::page("operators", rest.take(limit as usize + 1).collect(), limit, |last| last.operator.clone()))
}

pub(in crate::web) fn show(ask: &Ask<'_>, _: Nothing) -> Result<Operator, Problem> {
    named(ask)
}

fn named(ask: &Ask<'_>) -> Result<Operator, Problem> {
    operators::find(ask.log().connection(), ask.param("operator")?)?.ok_or(Problem::new(Kind::NotFound))
}

pub(in crate::web) fn invite(ask: &Ask<'_>, asked: Invite) -> Result<Invitation, Problem> {
    let (text, secret, expires_ms) = one_time(ask, asked.hours)?;
    let operator = asked.operator.clone();
    let deed = Deed::Invite { operator, grant: asked.grant, secret, expires_ms };
    ask.have_done(ask.operating(deed), &asked.reason)?;
    Ok(Invitation { operator: asked.operator, secret: text, expires_ms })
}

pub(in crate::web) fn reset(ask: &Ask<'_>, why: Why) -> Result<Invitation, Problem> {
    let operator = named(ask)?.operator;
    let (text, secret, expires_ms) = one_time(ask, None)?;
    let deed = Deed::Reset { operator: operator.clone(), secret, expires_ms };
    ask.have_done(ask.operating(deed), &why.reason)?;
    Ok(Invitation { operator, secret: text, expires_ms })
}

fn one_time(ask: &Ask<'_>, hours: Option<u32>) -> Result<(String, String, i64), Problem> {
    let hours = i64::from(hours.unwrap_or(HOURS).clamp(1, HOURS_MAX));
    let (text, digest) = secret::make(Secret::Invitation)?;
    Ok((text, digest.to_string(), ask.now_ms.saturating_add(hours * HOUR_MS)))
}

pub(in crate::web) fn grant(ask: &Ask<'_>, asked: Regrant) -> Result<Done, Problem> {
    let operator = named(ask)?.operator;
    done(ask, Deed::Grant { operator, grant: asked.grant }, &asked.reason)
}

pub(in crate::web) fn disable(ask: &Ask<'_>, why: Why) -> Result<Done, Problem> {
    let operator = named(ask)?.operator;
    done(ask, Deed::Disable { operator }, &why.reason)
}

pub(in crate::web) fn enable(ask: &Ask<'_>, why: Why) -> Result<Done, Problem> {
    let operator = named(ask)?.operator;
    done(ask, Deed::Enable { operator }, &why.reason)
}

pub(in crate::web) fn tokens(ask: &Ask<'_>, turn: Turn) -> Result<Page<Token>, Problem> {
    tokens_of(ask, &named(ask)?.operator, &turn)
}

pub(in crate::web) fn withdraw_token(ask: &Ask<'_>, why: Why) -> Result<Done, Problem> {
    super::tokens::withdraw_of(ask, &named(ask)?.operator, &why.reason)
}

pub(in crate::web) fn done(ask: &Ask<'_>, deed: Deed, reason: &str) -> Result<Done, Problem> {
    Ok(Done { entries: ask.have_done(ask.operating(deed), reason)? })
}
