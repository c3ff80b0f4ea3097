//! What a new collector still needs, until it has shown once that it works: from `init` to the first alert that was closed.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::v1::NotificationVerb;

use crate::backup;
use crate::config::Config;
use crate::derive::DeriveError;
use crate::log_store::{self, StoreError, notifications};
use crate::notify::route::PREFIX;
use crate::operators::{self, Role};
use crate::settings;

/// Messages to people that are looked at for one that arrived.
const NOTIFICATIONS_LOOKED_AT: u32 = 500;

/// A step of the beginning, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// An administrator comes in with one-time codes.
    Codes,
    /// A policy is published.
    Policy,
    /// A roster is published.
    Roster,
    /// A token was made.
    Token,
    /// A device has enrolled.
    Device,
    /// A device has read an export to its end.
    Export,
    /// Something was found.
    Finding,
    /// An alert was closed.
    Closed,
    /// Somebody has acknowledged the notice.
    Notice,
    /// A notification has arrived.
    Notified,
    /// A backup was made.
    Backup,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stands {
    /// Which.
    pub step: Step,
    /// Whether it is done.
    pub is_done: bool,
}

/// What there is by now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    codes: bool,
    policy: bool,
    roster: bool,
    token: bool,
    device: bool,
    export: bool,
    finding: bool,
    closed: bool,
    notice: bool,
    /// A target in the configuration and a route to one.
    routed: bool,
    notified: bool,
    backup: bool,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum FirstRunError {
    /// What is derived.
    #[error(transparent)]
    Derived(#[from] DeriveError),
    /// The log.
    #[error(transparent)]
    Log(#[from] StoreError),
}

impl Facts {
    /// Looks what there is.
    ///
    /// # Errors
    /// The databases.
    pub fn look(derived: &Connection, log: &Connection, config: &Config) -> Result<Self, FirstRunError> {
        let any = |query: &str| -> Result<bool, DeriveError> {
            Ok(derived.prepare_cached(&format!("SELECT EXISTS ({query})"))?.query_row([], |row| row.get(0))?)
        };
        let is_set_up =
            |it: &operators::Operator| it.grant.role == Role::Administrator && it.state == "active" && it.totp;
        let told = notifications::latest(log, NOTIFICATIONS_LOOKED_AT)?;
        Ok(Self {
            codes: operators::list(log)?.iter().any(is_set_up),
            policy: !log_store::published(log, None)?.is_empty(),
            roster: any("SELECT 1 FROM roster_applied")?,
            token: any("SELECT 1 FROM token")?,
            device: any("SELECT 1 FROM device WHERE NOT revoked")?,
            // FILE_STATE_DONE.
            export: any("SELECT 1 FROM file_report WHERE state = 3")?,
            finding: any("SELECT 1 FROM alert")?,
            closed: any("SELECT 1 FROM alert WHERE state = 2")?,
            notice: any("SELECT 1 FROM acknowledgement")?,
            routed: !config.notify.targets.is_empty() && !settings::list(derived, PREFIX)?.is_empty(),
            notified: told.iter().any(|facts| facts.verb == NotificationVerb::Sent),
            backup: backup::last_ms(config).is_some(),
        })
    }

    /// Every step and how it stands.
    #[must_use]
    pub fn steps(&self) -> Vec<Stands> {
        [
            (Step::Codes, self.codes),
            (Step::Policy, self.policy),
            (Step::Roster, self.roster),
            (Step::Token, self.token || self.device),
            (Step::Device, self.device),
            (Step::Export, self.export),
            (Step::Finding, self.finding),
            (Step::Closed, self.closed),
            (Step::Notice, self.notice),
            (Step::Notified, self.routed && self.notified),
            (Step::Backup, self.backup),
        ]
        .map(|(step, is_done)| Stands { step, is_done })
        .into()
    }

    /// Whether it has shown once that it works.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_has_a_device_needs_no_first_token() {
        let done = |facts: Facts| -> Vec<Step> {
            facts.steps().into_iter().filter(|it| it.is_done).map(|it| it.step).collect()
        };
        assert_eq!(done(Facts::default()), []);
        assert_eq!(done(Facts { device: true, ..Facts::default() }), [Step::Token, Step::Device]);
        assert_eq!(done(Facts { notified: true, ..Facts::default() }), [], "a test to a target nothing is routed to");
        assert!(!Facts::default().is_over() && Facts { closed: true, ..Facts::default() }.is_over());
    }
}
