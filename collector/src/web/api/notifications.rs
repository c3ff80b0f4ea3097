//! What was told to whom, targets, and tests of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_proto::Digest;
use watchpost_proto::v1::NotificationVerb;

use super::operators::Done;
use super::page;
use crate::admin::What;
use crate::log_store::{NotificationFacts, notifications};
use crate::notify::target::Kind as Target;
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};

/// How many.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// At most so many messages, at most 500.
    pub(in crate::web) limit: Option<u32>,
}

/// Where notifications go, and what went.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Told {
    /// Targets of the configuration, by name.
    pub(in crate::web) targets: Vec<TargetOf>,
    /// Messages, the latest first.
    pub(in crate::web) items: Vec<Message>,
}

/// A target.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct TargetOf {
    /// Its name.
    pub(in crate::web) name: String,
    /// `wecom-robot` or `webhook`.
    pub(in crate::web) kind: &'static str,
}

/// A message to people.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Message {
    /// To which target.
    pub(in crate::web) target: String,
    /// On which route; empty for a test.
    pub(in crate::web) route: String,
    /// `waiting`, `sending`, `sent`, `failed`, `uncertain` or `given-up`.
    pub(in crate::web) state: &'static str,
    /// Events it tells of.
    pub(in crate::web) tells: u64,
    /// How often it was tried.
    pub(in crate::web) attempts: u32,
    /// Why it did not arrive.
    pub(in crate::web) reason: String,
    /// When it was planned, milliseconds since 1970.
    pub(in crate::web) planned_ms: i64,
}

/// A test.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Test {
    /// The target, by name.
    pub(in crate::web) target: String,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

pub(in crate::web) fn list(ask: &Ask<'_>, which: Which) -> Result<Told, Problem> {
    let all = notifications::latest(ask.log().connection(), page::rows(which.limit))?;
    let targets = ask.site.desk.config.notify.targets.iter().map(|target| TargetOf {
        name: target.name.clone(),
        kind: match target.kind {
            Target::WecomRobot => "wecom-robot",
            Target::Webhook => "webhook",
        },
    });
    Ok(Told { targets: targets.collect(), items: all.into_iter().map(message).collect() })
}

fn message(facts: NotificationFacts) -> Message {
    Message {
        state: match facts.verb {
            NotificationVerb::Planned => "waiting",
            NotificationVerb::Sending => "sending",
            NotificationVerb::Sent => "sent",
            NotificationVerb::Failed => "failed",
            NotificationVerb::Uncertain => "uncertain",
            NotificationVerb::GivenUp => "given-up",
            NotificationVerb::Unspecified => "unknown",
        },
        target: facts.target,
        route: facts.route,
        tells: facts.tells,
        attempts: facts.attempts,
        reason: facts.reason,
        planned_ms: facts.planned_ms,
    }
}

pub(in crate::web) fn test(ask: &Ask<'_>, asked: Test) -> Result<Done, Problem> {
    if !ask.site.desk.config.notify.has(&asked.target) {
        let told = format!("the configuration has no target {:?}; write it into collector.toml first", asked.target);
        return Err(Problem::new(Kind::NotPossible).because(told));
    }
    let mut id = [0; 32];
    getrandom::fill(&mut id).map_err(|error| Problem::broken(&error))?;
    let what = What::TestNotification { target: asked.target, id: Digest(id).to_string() };
    Ok(Done { entries: ask.have_done(what, &asked.reason)? })
}
