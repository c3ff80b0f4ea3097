//! Alerts, as far as whoever asks may see them. What they may not see is not there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::Ask;
use super::page::{self, Page, Turn};
use super::problem::{Kind, Problem};
use super::route::{Csv, Nothing};
use crate::alerts::{self, Alert, Item};
use crate::audit::Did;
use crate::derive::DeriveError;
use crate::operators::{Act, Concerning};

/// Shortest reason, in characters.
const REASON_CHARS_MIN: usize = 4;
const REASON_BYTES_MAX: usize = 1024;
/// Rows of one list that is taken along.
const EXPORT_ROWS_MAX: usize = 100_000;

/// Why somebody looks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// Why; goes into the audit trail. Not needed for an alert that is assigned to you.
    #[serde(default)]
    reason: String,
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Findings {
    /// The alert.
    alert: String,
    /// Its findings, in the order they were first told.
    items: Vec<Item>,
}

/// How a rule does.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct RuleView {
    /// The pack.
    pack: String,
    /// The rule.
    rule: String,
    /// Findings people see.
    live: u64,
    /// Findings that are counted alone.
    shadow: u64,
}
