//! Who is to enrol: tokens, who waits, which assets are expected.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operators::{Done, Why};
use super::page::{self, Page, Turn};
use crate::admin::{Terms, What};
use crate::enrolment::desk::is_word;
use crate::enrolment::tokens::{self, USES_MAX, Wanted};
use crate::members::{self, Applicant, ExpectedView, TokenView};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};

const HOUR_S: u64 = 3600;
/// Addresses of one token that are listed at most, and assets of one list.
const ASSETS_MAX: usize = 200_000;
/// Longest list, in bytes.
pub(in crate::web) const LIST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Which of the queue.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// Also who was admitted or rejected and has not come back since.
    #[serde(default)]
    pub(in crate::web) all: bool,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page, at most 500.
    limit: Option<u32>,
}

/// Whom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Codes {
    /// Codes of the queue, as the devices show them.
    pub(in crate::web) codes: Vec<String>,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// A token to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct New {
    /// The policy group devices enrol into.
    pub(in crate::web) group: String,
    /// The site they enrol into.
    #[serde(default)]
    pub(in crate::web) site: String,
    /// After how many hours it ends.
    pub(in crate::web) hours: u32,
    /// How many devices may use it.
    pub(in crate::web) uses: u32,
    /// Who gets a certificate at once: `open`, `listed` or `approval`.
    #[schemars(with = "String")]
    pub(in crate::web) terms: Terms,
    /// Where devices are sent, `host:port`; where the configuration says, if none.
    #[serde(default)]
    pub(in crate::web) addresses: Vec<String>,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// A new token.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Made {
    /// The string devices are given, shown this once.
    pub(in crate::web) token: String,
    /// Digest of its credential, hexadecimal.
    pub(in crate::web) id: String,
    /// When it ends, milliseconds since 1970.
    pub(in crate::web) expires_ms: i64,
}

/// An asset that is to enrol.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Asset {
    /// As the device says of itself.
    asset: String,
    /// The policy group.
    #[serde(default)]
    group: String,
    /// The site.
    #[serde(default)]
    site: String,
}

/// All assets that are to enrol.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Assets {
    /// The whole list; it takes the place of the one before.
    devices: Vec<Asset>,
    /// Why; goes into the audit trail.
    #[serde(default)]
    reason: String,
}

pub(in crate::web) fn queue(ask: &Ask<'_>, which: Which) -> Result<Page<Applicant>, Problem> {
    let limit = page::rows(which.limit);
    let after: Option<String> = page::read("queue", which.cursor.as_deref())?;
    let all = members::queue(ask.derived()?, which.all)?.into_iter();
    let rest = all.skip_while(|it| after.as_ref().is_some_and(|after| it.code != *after));
    let rest = rest.skip(usize::from(after.is_some())).take(limit as usize + 1);
    Ok(page::page("queue", rest.collect(), limit, |last| last.code.clone()))
}

pub(in crate::web) fn admit(ask: &Ask<'_>, whom: Codes) -> Result<Done, Problem> {
    decide(ask, whom, |codes| What::Admit { codes })
}

pub(in crate::web) fn reject(ask: &Ask<'_>, whom: Codes) -> Result<Done, Problem> {
    decide(ask, whom, |codes| What::Reject { codes })
}

fn decide(ask: &Ask<'_>, whom: Codes, what: fn(Vec<String>) -> What) -> Result<Done, Problem> {
    if whom.codes.is_empty() {
        return Err(Problem::malformed("name at least one code of the queue"));
    }
    shown(ask, what(whom.codes), &whom.reason)
}

/// Returns when it shows.
fn shown(ask: &Ask<'_>, what: What, reason: &str) -> Result<Done, Problem> {
    let entries = ask.have_done(what, reason.trim())?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}

pub(in crate::web) fn list(ask: &Ask<'_>, turn: Turn) -> Result<Page<TokenView>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("enrolment", turn.cursor.as_deref())?;
    let all = members::tokens(ask.derived()?, ask.now_ms)?.into_iter();
    let rest = all.skip_while(|it| after.as_ref().is_some_and(|after| it.token != *after));
    let rest = rest.skip(usize::from(after.is_some())).take(limit as usize + 1);
    Ok(page::page("enrolment", rest.collect(), limit, |last| last.token.clone()))
}

pub(in crate::web) fn make(ask: &Ask<'_>, asked: New) -> Result<Made, Problem> {
    let wanted = Wanted {
        group: asked.group.trim().to_owned(),
        site: asked.site.trim().to_owned(),
        ttl_s: u64::from(asked.hours.max(1)) * HOUR_S,
        uses: asked.uses.clamp(1, USES_MAX),
        terms: asked.terms,
        addresses: asked.addresses,
    };
    let minted = tokens::mint(&ask.site.desk.config, &wanted, ask.now_ms);
    let minted = minted.map_err(|error| Problem::new(Kind::NotPossible).because(format!("{error:#}")))?;
    shown(ask, minted.what, &asked.reason)?;
    Ok(Made { token: minted.text, id: minted.id, expires_ms: minted.expires_ms })
}

pub(in crate::web) fn withdraw(ask: &Ask<'_>, why: Why) -> Result<Done, Problem> {
    let id = ask.param("token")?.to_ascii_lowercase();
    let mut fitting = members::tokens(ask.derived()?, ask.now_ms)?.into_iter().filter(|it| it.token.starts_with(&id));
    let (Some(found), None) = (fitting.next(), fitting.next()) else { return Err(Problem::new(Kind::NotFound)) };
    shown(ask, What::RevokeToken { token: found.token }, &why.reason)
}

pub(in crate::web) fn expected(ask: &Ask<'_>, turn: Turn) -> Result<Page<ExpectedView>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("expected", turn.cursor.as_deref())?;
    let all = members::expected(ask.derived()?)?.into_iter();
    let rest = all.filter(|it| after.as_ref().is_none_or(|after| it.asset > *after));
    Ok(page::page("expected", rest.take(limit as usize + 1).collect(), limit, |last| last.asset.clone()))
}

pub(in crate::web) fn expect(ask: &Ask<'_>, list: Assets) -> Result<Done, Problem> {
    let plain = |text: &str, otherwise: &str| {
        let text = text.trim();
        if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
    };
    let devices = list.devices.iter();
    let devices: Vec<_> =
        devices.map(|it| (plain(&it.asset, ""), plain(&it.group, "default"), plain(&it.site, ""))).collect();
    expect_these(ask, devices, &list.reason)
}

/// Puts a list that was read already in the place of the one before.
pub(in crate::web) fn expect_these(
    ask: &Ask<'_>,
    devices: Vec<(String, String, String)>,
    reason: &str,
) -> Result<Done, Problem> {
    let wrong = devices
        .iter()
        .find(|(asset, group, site)| asset.is_empty() || ![asset, group, site].iter().all(|it| is_word(it)));
    if let Some((asset, ..)) = wrong {
        return Err(Problem::malformed(format!(
            "{asset:?} is no asset with a group and a site of at most 64 characters"
        )));
    }
    if devices.len() > ASSETS_MAX {
        return Err(Problem::malformed(format!("a list has at most {ASSETS_MAX} assets")));
    }
    shown(ask, What::Expect { devices }, reason)
}
