//! Which targets have not taken anything for long: said in `health`, for nobody can be told of it by those targets.

use serde::Serialize;
use watchpost_proto::v1::NotificationVerb;

use super::queue::{NO_ROUTE, NOTHING_LEFT};
use super::target::NotifyConfig;
use crate::log_store::{LogReader, NotificationFacts, StoreError, notifications};

/// A message that has waited for less is no trouble yet, milliseconds.
const PATIENCE_MS: i64 = 15 * 60 * 1000;
/// How long a message that was given up is spoken of, milliseconds.
const SPOKEN_OF_MS: i64 = 24 * 3600 * 1000;

/// A target with messages it does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The target, by name.
    pub target: String,
    /// Since when the oldest waits, milliseconds since 1970; none where all were given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Messages that wait.
    pub waiting: usize,
    /// Messages that were given up within a day, other than for having nothing to tell any more.
    pub given_up: usize,
    /// Why: the word of the last attempt.
    pub reason: String,
}

/// All targets that are in trouble, also those that the configuration does not have any more.
///
/// # Errors
/// The log.
pub fn troubles(config: &NotifyConfig, log: &LogReader, now_ms: i64) -> Result<Vec<Trouble>, StoreError> {
    let mut troubles = Vec::new();
    let mut targets: Vec<String> = config.targets.iter().map(|target| target.name.clone()).collect();
    targets.extend(notifications::targets(log.connection())?.into_iter().filter(|name| !config.has(name)));
    for target in targets {
        let waiting = notifications::waiting(log.connection(), Some(&target))?;
        let lately = notifications::lately(log.connection(), &target, now_ms.saturating_sub(SPOKEN_OF_MS))?;
        let given_up: Vec<_> = lately.iter().filter(|facts| is_lost(facts)).collect();
        let old = waiting.iter().filter(|facts| now_ms.saturating_sub(facts.planned_ms) >= PATIENCE_MS);
        let since_ms = old.map(|facts| facts.planned_ms).min();
        if since_ms.is_none() && given_up.is_empty() {
            continue;
        }
        let last = waiting
            .iter()
            .chain(given_up.iter().copied())
            .filter(|facts| !facts.reason.is_empty())
            .max_by_key(|facts| facts.at_ms);
        troubles.push(Trouble {
            target,
            since_ms,
            waiting: waiting.len(),
            given_up: given_up.len(),
            reason: last.map(|facts| facts.reason.clone()).unwrap_or_default(),
        });
    }
    Ok(troubles)
}

/// Whether somebody was to be told and never was.
fn is_lost(facts: &NotificationFacts) -> bool {
    facts.verb == NotificationVerb::GivenUp && ![NO_ROUTE, NOTHING_LEFT].contains(&facts.reason.as_str())
}
