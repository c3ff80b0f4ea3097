//! Whether a device that says nothing is well: *quiet, offline, behind, blind, starved* told apart, with the reason and since when, in the words of
//! a help desk. A pure function of what is derived, what is heard, and the present time.

mod facts;
mod words;

use schemars::JsonSchema;
use serde::Serialize;

use crate::liveness::{Live, LiveDevice};

pub use facts::{CheckOf, Facts, GoodbyeOf, StarvedOf, facts};

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// From when on a device is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Heartbeats of a device that may be missing.
    pub heartbeats: u32,
    /// Silence, where a device does not say how often its heartbeats come, milliseconds; and the least that is silence.
    pub silence_ms: i64,
    /// See `silence_ms`.
    pub silence_min_ms: i64,
    /// How long a record or an export may wait, milliseconds.
    pub waits_ms: i64,
    /// How long a policy may be in force without a self-check that comes through, milliseconds.
    pub unchecked_ms: i64,
    /// Without a finding for so long a device is quiet, milliseconds.
    pub quiet_ms: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            heartbeats: 3,
            silence_ms: 5 * MINUTE_MS,
            silence_min_ms: 5 * 1000,
            waits_ms: 15 * MINUTE_MS,
            unchecked_ms: 26 * HOUR_MS,
            quiet_ms: 7 * DAY_MS,
        }
    }
}

/// How a device stands. The worse, the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not heard from.
    Offline,
    /// Heard from, but it does not see what it should.
    Blind,
    /// Exports do not come as they are expected to.
    Starved,
    /// What it has read or is to read waits too long.
    Behind,
    /// No collector runs, so nobody knows whether it is heard from.
    Unknown,
    /// All is well, and nothing was found for days.
    Quiet,
    /// All is well.
    Well,
}

impl State {
    /// All of them, the worst first.
    pub const ALL: [Self; 7] =
        [Self::Offline, Self::Blind, Self::Starved, Self::Behind, Self::Unknown, Self::Quiet, Self::Well];

    /// The word in commands and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Blind => "blind",
            Self::Starved => "starved",
            Self::Behind => "behind",
            Self::Unknown => "unknown",
            Self::Quiet => "quiet",
            Self::Well => "well",
        }
    }

    /// The Chinese word.
    #[must_use]
    pub fn zh(self) -> &'static str {
        match self {
            Self::Offline => "离线",
            Self::Blind => "失察",
            Self::Starved => "断供",
            Self::Behind => "积压",
            Self::Unknown => "不明",
            Self::Quiet => "平静",
            Self::Well => "正常",
        }
    }

    /// Whether somebody has to look.
    #[must_use]
    pub fn needs_a_look(self) -> bool {
        matches!(self, Self::Offline | Self::Blind | Self::Starved | Self::Behind)
    }
}

/// One thing that is the matter with a device, or that nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Standing {
    /// How it stands.
    pub state: State,
    /// Since when, milliseconds since 1970; none where nobody knows.
    pub since_ms: Option<i64>,
    /// Why, in one word.
    pub reason: String,
    /// Why, and what to do, in Chinese.
    pub zh: String,
    /// The same in English.
    pub en: String,
}

/// How a device stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Health {
    /// UUID.
    pub device: String,
    /// The worst of all.
    pub state: State,
    /// All that is the matter with it, the worst first.
    pub standings: Vec<Standing>,
}

/// Judges a device. `live` is what a running collector hears; nothing where none runs.
#[must_use]
pub fn judge(facts: &Facts, live: Option<&Live>, now_ms: i64, bounds: &Bounds) -> Health {
    let heard = live.map(|live| Heard::of(facts, live, bounds));
    let device = heard.as_ref().and_then(|heard| heard.device);
    let mut standings = Vec::new();
    standings.extend(heard.as_ref().and_then(|heard| offline(facts, heard)));
    standings.extend(blind(facts, heard.as_ref(), bounds));
    standings.extend(facts.starved.iter().map(words::starved));
    standings.extend(device.and_then(|device| behind(device, bounds)));
    if standings.is_empty() {
        standings.push(match &heard {
            None => words::unknown(facts),
            Some(_) => well(facts, now_ms, bounds),
        });
    }
    standings.sort_by_key(|standing| standing.state);
    let state = standings.first().map_or(State::Unknown, |standing| standing.state);
    Health { device: facts.device.clone(), state, standings }
}

/// When a device was heard from, as far as anybody could hear it.
struct Heard<'a> {
    device: Option<&'a LiveDevice>,
    last_ms: Option<i64>,
    /// It has been silent for longer than it may.
    is_silent: bool,
}

impl<'a> Heard<'a> {
    fn of(facts: &Facts, live: &'a Live, bounds: &Bounds) -> Self {
        let device = live.devices.get(&facts.device);
        let last_ms = device.map(|device| device.heard_ms).max(facts.last_entry_ms);
        let every_ms = device.map_or(0, |device| i64::try_from(device.every_ms).unwrap_or(0));
        let bound_ms = match every_ms {
            0 => bounds.silence_ms,
            every => every.saturating_mul(i64::from(bounds.heartbeats)).max(bounds.silence_min_ms),
        };
        // A collector that has just started has not had the time to hear anybody. The cache's own age is nobody's silence.
        let from_ms = last_ms.unwrap_or(0).max(live.since_ms);
        Self { device, last_ms, is_silent: live.written_ms.saturating_sub(from_ms) > bound_ms }
    }

    fn is_connected(&self) -> bool {
        self.device.is_some_and(|device| device.connected)
    }
}

fn offline(facts: &Facts, heard: &Heard<'_>) -> Option<Standing> {
    // One that said goodbye and has closed its stream is known to be away at once.
    let goodbye = facts.goodbye.as_ref().filter(|_| !heard.is_connected());
    match (goodbye, heard.is_silent) {
        (Some(goodbye), _) => Some(words::parted(goodbye)),
        (None, true) => Some(match &facts.enrols_as {
            Some(other) => words::reimaged(heard.last_ms, other),
            None => words::vanished(heard.last_ms),
        }),
        (None, false) => None,
    }
}

fn blind(facts: &Facts, heard: Option<&Heard<'_>>, bounds: &Bounds) -> Option<Standing> {
    let Some(check) = &facts.check else {
        // An agent that makes none, or has not yet.
        return unchecked(facts.first_entry_ms, facts, heard, bounds).map(|_| words::unchecked(facts.first_entry_ms));
    };
    if check.failed {
        return Some(words::failed(check));
    }
    if check.unreadable > 0 {
        return Some(words::unreadable(check));
    }
    let device = heard.and_then(|heard| heard.device);
    // Of another policy than the one that is in force now, a self-check says nothing.
    let other = device.filter(|device| !device.policy.is_empty() && device.policy != check.passed_policy);
    let since_ms = other.map_or(check.passed_ms, |device| device.policy_since_ms);
    unchecked(Some(since_ms), facts, heard, bounds).map(|_| words::unchecked(Some(check.passed_ms)))
}

/// Whether a device was heard from so long after a moment. One that is away is not blind.
fn unchecked(since_ms: Option<i64>, facts: &Facts, heard: Option<&Heard<'_>>, bounds: &Bounds) -> Option<()> {
    let last_ms = heard.map_or(facts.last_entry_ms, |heard| heard.last_ms)?;
    (last_ms.saturating_sub(since_ms?) > bounds.unchecked_ms).then_some(())
}

fn behind(device: &LiveDevice, bounds: &Bounds) -> Option<Standing> {
    let over = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX) > bounds.waits_ms;
    if !device.resting.is_empty() {
        return Some(words::resting(device));
    }
    if over(device.record_waits_ms) {
        return Some(words::records_wait(device));
    }
    over(device.export_waits_ms).then(|| words::exports_wait(device))
}

fn well(facts: &Facts, now_ms: i64, bounds: &Bounds) -> Standing {
    match facts.last_finding_ms {
        Some(last_ms) if now_ms.saturating_sub(last_ms) <= bounds.quiet_ms => words::well(last_ms),
        last_ms => words::quiet(last_ms.or(facts.first_entry_ms)),
    }
}

#[cfg(test)]
mod tests;
