//! API tokens: for scripts, with part of what their owner may, until they end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operators::{Done, Why, done};
use super::page::{self, Page, Turn};
use crate::log_store::{self, OperatorTokenFacts};
use crate::operators::secret::{self, Kind as Secret};
use crate::operators::{Act, Deed, may};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const DAYS_MAX: u32 = 366;

/// A token to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct New {
    /// What it is for.
    pub(in crate::web) label: String,
    /// What it may do; at most what you may.
    pub(in crate::web) scopes: Vec<Act>,
    /// After how many days it ends.
    pub(in crate::web) days: u32,
}

/// A token as it stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Token {
    /// The beginning of its digest.
    pub(in crate::web) id: String,
    /// Whose it is.
    pub(in crate::web) operator: String,
    /// What it is for.
    pub(in crate::web) label: String,
    /// What it may do.
    pub(in crate::web) scopes: Vec<String>,
    /// `active`, `ended` or `withdrawn`.
    pub(in crate::web) state: &'static str,
    /// When it was made, milliseconds since 1970.
    pub(in crate::web) made_ms: i64,
    /// Who made it.
    pub(in crate::web) made_by: String,
    /// When it ends.
    pub(in crate::web) expires_ms: i64,
}

/// A new token.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Made {
    /// The token itself, shown this once.
    pub(in crate::web) token: String,
    /// The beginning of its digest.
    pub(in crate::web) id: String,
    /// When it ends, milliseconds since 1970.
    pub(in crate::web) expires_ms: i64,
}

/// Characters of a token's id.
const ID_CHARS: usize = 16;

pub(in crate::web) fn list(ask: &Ask<'_>, turn: Turn) -> Result<Page<Token>, Problem> {
    tokens_of(ask, ask.by()?, &turn)
}

pub(in crate::web) fn tokens_of(ask: &Ask<'_>, operator: &str, turn: &Turn) -> Result<Page<Token>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("tokens", turn.cursor.as_deref())?;
    let tokens = log_store::operator_tokens(ask.log().connection(), Some(operator))?;
    let all = tokens.into_iter().map(|facts| token_of(facts, ask.now_ms));
    let rest = all.skip_while(|token| after.as_ref().is_some_and(|after| token.id != *after));
    let rest = rest.skip(usize::from(after.is_some())).take(limit as usize + 1);
    Ok(page::page("tokens", rest.collect(), limit, |last| last.id.clone()))
}

fn token_of(facts: OperatorTokenFacts, now_ms: i64) -> Token {
    Token {
        id: id_of(&facts),
        state: match (facts.withdrawn, now_ms < facts.expires_ms) {
            (true, _) => "withdrawn",
            (false, false) => "ended",
            (false, true) => "active",
        },
        operator: facts.operator,
        label: facts.label,
        scopes: facts.scopes,
        made_ms: facts.made_ms,
        made_by: facts.made_by,
        expires_ms: facts.expires_ms,
    }
}

fn id_of(facts: &OperatorTokenFacts) -> String {
    facts.token.to_string().chars().take(ID_CHARS).collect()
}

pub(in crate::web) fn make(ask: &Ask<'_>, asked: New) -> Result<Made, Problem> {
    let caller = ask.caller()?;
    let beyond = asked.scopes.iter().find(|act| !may(&caller.operator, **act, None, ask.now_ms));
    if let Some(beyond) = beyond {
        let role = caller.operator.grant.role.as_str();
        return Err(Problem::new(Kind::NotAllowed).because(format!("{role} does not include {}", beyond.as_str())));
    }
    let (text, digest) = secret::make(Secret::Token)?;
    let days = i64::from(asked.days.clamp(1, DAYS_MAX));
    let expires_ms = ask.now_ms.saturating_add(days * DAY_MS);
    let deed = Deed::MakeToken {
        operator: ask.by()?.to_owned(),
        token: digest.to_string(),
        label: asked.label,
        scopes: asked.scopes,
        expires_ms,
    };
    done(ask, deed, "")?;
    Ok(Made { token: text, id: digest.to_string().chars().take(ID_CHARS).collect(), expires_ms })
}

pub(in crate::web) fn withdraw(ask: &Ask<'_>, why: Why) -> Result<Done, Problem> {
    withdraw_of(ask, ask.by()?, &why.reason)
}

/// Withdraws the token of this operator with the id in the address.
pub(in crate::web) fn withdraw_of(ask: &Ask<'_>, operator: &str, reason: &str) -> Result<Done, Problem> {
    let id = ask.param("token")?;
    let tokens = log_store::operator_tokens(ask.log().connection(), Some(operator))?;
    let token = tokens.iter().find(|token| id_of(token) == id).ok_or(Problem::new(Kind::NotFound))?;
    done(ask, Deed::WithdrawToken { token: token.token.to_string() }, reason)
}
