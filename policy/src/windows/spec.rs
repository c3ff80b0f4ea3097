//! What a rule's `window` asks for.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::calendar::Calendar;

/// A rule's window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What is measured, and from where on the window holds.
    pub kind: Kind,
    /// Its duration, milliseconds; of a `reply` the work time a customer may wait. Never below 1.
    pub within_ms: i64,
    /// What groups messages; never empty.
    pub by: Vec<By>,
}

/// What a window measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Messages.
    Count {
        /// The window holds from this many on.
        at_least: i64,
    },
    /// Different values.
    Distinct {
        /// Of what.
        what: Distinct,
        /// The window holds from this many on.
        at_least: i64,
    },
    /// Money in red packets and transfers.
    Sum {
        /// The window holds from this many fen on.
        at_least: i64,
    },
    /// Selections that must each hold for some message; by number in the rule.
    All(Vec<usize>),
    /// Short messages of one sender read as one text.
    Join,
    /// The first answer to a customer.
    Reply {
        /// Whose work time counts; wall time without one.
        calendar: Option<Arc<Calendar>>,
        /// The selection whose words close a conversation: a message of nothing else needs no answer.
        closing: Option<usize>,
    },
}

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinct {
    /// Receivers.
    To,
    /// Rooms.
    Room,
    /// Files, by name.
    File,
    /// Words that hit.
    Word,
}

/// What groups messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The sender.
    From,
    /// Each receiver.
    To,
    /// The room; messages outside rooms belong to no group.
    Room,
    /// The room, or all parties where there is none.
    Chat,
}

impl Window {
    /// The bucket a moment belongs to.
    #[must_use]
    pub fn bucket(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.within_ms.max(1))
    }

    /// The first moment of a bucket.
    #[must_use]
    pub fn start_ms(&self, bucket: i64) -> i64 {
        bucket.saturating_mul(self.within_ms.max(1))
    }

    /// When no message but a late one can change what a bucket holds.
    #[must_use]
    pub fn close_ms(&self, bucket: i64) -> i64 {
        self.start_ms(bucket.saturating_add(2))
    }

    /// From where on the window holds.
    pub(super) fn at_least(&self) -> i64 {
        match &self.kind {
            Kind::Count { at_least } | Kind::Distinct { at_least, .. } | Kind::Sum { at_least } => *at_least,
            Kind::All(selections) => i64::try_from(selections.len()).unwrap_or(i64::MAX),
            Kind::Join | Kind::Reply { .. } => 1,
        }
    }

    /// Whether messages are looked at for which the condition does not hold: what stands between, and what answers.
    #[must_use]
    pub fn needs_every_message(&self) -> bool {
        matches!(self.kind, Kind::Join | Kind::Reply { .. })
    }

    /// The buckets that contributions in these buckets decide, but for a `reply`.
    #[must_use]
    pub fn decided_by(touched: &RangeInclusive<i64>) -> RangeInclusive<i64> {
        touched.start().saturating_sub(1)..=*touched.end()
    }

    /// Work time between two moments, milliseconds.
    #[must_use]
    pub fn worked_ms(&self, from_ms: i64, to_ms: i64) -> i64 {
        match &self.kind {
            Kind::Reply { calendar: Some(calendar), .. } => calendar.work_ms_between(from_ms, to_ms),
            _ => to_ms.saturating_sub(from_ms).max(0),
        }
    }

    /// The first moment at which an answer to a message of `from_ms` is too late; none where the calendar knows no work.
    #[must_use]
    pub fn due_ms(&self, from_ms: i64) -> Option<i64> {
        let late = |at_ms: i64| self.worked_ms(from_ms, at_ms) > self.within_ms;
        // No holiday lasts longer; a calendar without work time has no end of a wait.
        const LONGEST_MS: i64 = 60 * 24 * 60 * 60 * 1000;
        let mut ahead = self.within_ms.saturating_add(1);
        while !late(from_ms.saturating_add(ahead)) {
            if ahead > LONGEST_MS.max(self.within_ms.saturating_mul(8)) {
                return None;
            }
            ahead = ahead.saturating_mul(2);
        }
        let (mut early, mut late_at) = (from_ms, from_ms.saturating_add(ahead));
        while late_at - early > 1 {
            let middle = early + (late_at - early) / 2;
            if late(middle) { late_at = middle } else { early = middle }
        }
        Some(late_at)
    }
}

impl Kind {
    /// Name as in packs and records.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Count { .. } => "count",
            Self::Distinct { .. } => "distinct",
            Self::Sum { .. } => "sum",
            Self::All(_) => "all",
            Self::Join => "join",
            Self::Reply { .. } => "reply",
        }
    }
}
