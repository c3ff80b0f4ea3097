//! What becomes of an alert: a pure function of the steps people took, in the order of the log, and of what arrived between.
//!
//! ```text
//!            take, assign                    close
//! open ─────────────────────► taken ─────────────────────► closed (confirmed | false alarm | duplicate | rule withdrawn)
//!   ▲  ◄───── put back ─────────┘                            │
//!   └───────── reopen · appeal · another finding arrives ────┘   untouched and taken back: closed (withdrawn)
//! ```
//!
//! A step that does not fit changes nothing: two who act at once both learn who was first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_proto::v1::{AlertVerb, Resolution};

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody deals with it yet.
    #[default]
    Open,
    /// Somebody does.
    Taken,
    /// It is dealt with.
    Closed,
}

/// How an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It is as the rule says.
    Confirmed,
    /// It is not.
    FalseAlarm,
    /// Another alert tells the same.
    Duplicate,
    /// The rule was wrong and is gone.
    RuleWithdrawn,
    /// Devices took every finding back before anybody touched it.
    Withdrawn,
}

/// An objection of the person concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Appeal {
    /// Not decided yet.
    Open,
    /// It holds.
    Granted,
    /// It does not.
    Denied,
}

/// An alert as something to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Where it stands.
    pub state: State,
    /// Who is to deal with it; may be empty.
    pub assignee: String,
    /// How it ended, or had ended before it was opened again by an appeal.
    pub ending: Option<Ending>,
    /// Who closed it last.
    pub closed_by: String,
    /// When, milliseconds since 1970.
    pub closed_ms: Option<i64>,
    /// From when its clocks run.
    pub clock_ms: i64,
    /// When somebody took it, since the clocks run.
    pub taken_ms: Option<i64>,
    /// Somebody has done something with it.
    pub touched: bool,
    /// How often it was opened again.
    pub reopened: u32,
    /// Findings that came after it was closed.
    pub fresh: u64,
    /// An objection.
    pub appeal: Option<Appeal>,
    /// Steps of the playbook that are done: bit n for step n + 1.
    pub steps: u64,
    /// When it went to whoever stands above.
    pub escalated_ms: Option<i64>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// What is done.
    pub verb: AlertVerb,
    /// Who does it.
    pub by: &'a str,
    /// When.
    pub at_ms: i64,
    /// Who is to deal with it.
    pub assignee: &'a str,
    /// How it ended.
    pub ending: Option<Ending>,
    /// Which step of the playbook, from 1.
    pub step: u32,
}

/// Steps of a playbook.
pub const STEPS_MAX: u32 = 63;

impl Work {
    /// Takes a step; false where it does not fit how the alert stands.
    pub fn act(&mut self, step: &Step<'_>) -> bool {
        let fits = self.fits(step);
        if fits {
            self.touched = true;
        }
        fits
    }

    fn fits(&mut self, step: &Step<'_>) -> bool {
        match (step.verb, self.state) {
            (AlertVerb::Take, State::Open) => self.take(step.by, step.at_ms),
            (AlertVerb::Assign, State::Open) if step.assignee == step.by => self.take(step.by, step.at_ms),
            (AlertVerb::Assign, State::Open | State::Taken) => {
                !step.assignee.is_empty() && step.assignee != self.assignee && {
                    step.assignee.clone_into(&mut self.assignee);
                    true
                }
            }
            (AlertVerb::PutBack, State::Open | State::Taken) => {
                let has_somebody = self.state == State::Taken || !self.assignee.is_empty();
                (self.state, self.assignee, self.taken_ms) = (State::Open, String::new(), None);
                has_somebody
            }
            (AlertVerb::Note, _) => true,
            (AlertVerb::Close, State::Open | State::Taken) if self.appeal != Some(Appeal::Open) => {
                step.ending.is_some_and(|ending| self.close(ending, step.by, step.at_ms))
            }
            (AlertVerb::Reopen, State::Closed) => self.open_again(step.at_ms),
            (AlertVerb::Appeal, _) if self.appeal != Some(Appeal::Open) => {
                self.appeal = Some(Appeal::Open);
                let before = self.ending;
                if self.state == State::Closed {
                    self.open_again(step.at_ms);
                }
                // What an appeal that does not hold leaves it at.
                self.ending = before;
                true
            }
            // Nobody judges an objection to what they decided.
            (AlertVerb::Grant | AlertVerb::Deny, _)
                if self.appeal == Some(Appeal::Open) && self.closed_by != step.by =>
            {
                self.judge(step)
            }
            (AlertVerb::Step, State::Open | State::Taken) if (1..=STEPS_MAX).contains(&step.step) => {
                let bit = 1 << (step.step - 1);
                let is_new = self.steps & bit == 0;
                self.steps |= bit;
                is_new
            }
            (AlertVerb::Escalate, State::Open | State::Taken) if self.escalated_ms.is_none() => {
                self.escalated_ms = Some(step.at_ms);
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, by: &str, at_ms: i64) -> bool {
        self.state = State::Taken;
        by.clone_into(&mut self.assignee);
        self.taken_ms.get_or_insert(at_ms);
        true
    }

    fn close(&mut self, ending: Ending, by: &str, at_ms: i64) -> bool {
        (self.state, self.ending, self.closed_ms) = (State::Closed, Some(ending), Some(at_ms));
        by.clone_into(&mut self.closed_by);
        self.fresh = 0;
        true
    }

    fn open_again(&mut self, at_ms: i64) -> bool {
        let Self { appeal, reopened, closed_by, .. } = std::mem::take(self);
        *self = Self {
            appeal,
            reopened: reopened.saturating_add(1),
            closed_by,
            touched: true,
            clock_ms: at_ms,
            ..Self::default()
        };
        true
    }

    fn judge(&mut self, step: &Step<'_>) -> bool {
        if step.verb == AlertVerb::Grant {
            self.appeal = Some(Appeal::Granted);
            return self.close(Ending::FalseAlarm, step.by, step.at_ms);
        }
        self.appeal = Some(Appeal::Denied);
        match self.ending {
            Some(ending) => self.close(ending, step.by, step.at_ms),
            None => true,
        }
    }

    /// More findings are seen. True where that opens it again: what was judged were the others.
    pub fn arrived(&mut self, at_ms: i64, count: u64) -> bool {
        if self.state != State::Closed {
            // Nor does an objection that fails bury what came meanwhile.
            self.ending = None;
            return false;
        }
        match self.ending {
            Some(Ending::Duplicate | Ending::RuleWithdrawn) => {
                self.fresh = self.fresh.saturating_add(count);
                false
            }
            Some(Ending::Withdrawn) => self.come_back(at_ms),
            Some(Ending::Confirmed | Ending::FalseAlarm) | None => self.open_again(at_ms),
        }
    }

    /// All its findings were taken back. True where that closes it.
    pub fn withdrawn(&mut self, at_ms: i64) -> bool {
        let is_over = self.state == State::Open && !self.touched;
        if is_over {
            (self.state, self.ending, self.closed_ms) = (State::Closed, Some(Ending::Withdrawn), Some(at_ms));
        }
        is_over
    }

    /// A finding that was taken back is there again. True where that opens it.
    pub fn come_back(&mut self, at_ms: i64) -> bool {
        let is_back = self.ending == Some(Ending::Withdrawn);
        if is_back {
            (self.state, self.ending, self.closed_ms, self.clock_ms) = (State::Open, None, None, at_ms);
            self.reopened = self.reopened.saturating_add(1);
        }
        is_back
    }
}

impl Ending {
    /// As entries of the log say it.
    #[must_use]
    pub fn of(resolution: Resolution) -> Option<Self> {
        match resolution {
            Resolution::Confirmed => Some(Self::Confirmed),
            Resolution::FalseAlarm => Some(Self::FalseAlarm),
            Resolution::Duplicate => Some(Self::Duplicate),
            Resolution::RuleWithdrawn => Some(Self::RuleWithdrawn),
            Resolution::Unspecified => None,
        }
    }

    /// What entries of the log say. Nobody can say that an alert was withdrawn by itself.
    #[must_use]
    pub fn resolution(self) -> Resolution {
        match self {
            Self::Confirmed => Resolution::Confirmed,
            Self::FalseAlarm => Resolution::FalseAlarm,
            Self::Duplicate => Resolution::Duplicate,
            Self::RuleWithdrawn => Resolution::RuleWithdrawn,
            Self::Withdrawn => Resolution::Unspecified,
        }
    }
}

macro_rules! words {
    ($of:ty, $($variant:ident = $word:literal),+) => {
        impl $of {
            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(State, Open = "open", Taken = "taken", Closed = "closed");
words!(Appeal, Open = "open", Granted = "granted", Denied = "denied");
words!(
    Ending,
    Confirmed = "confirmed",
    FalseAlarm = "false-alarm",
    Duplicate = "duplicate",
    RuleWithdrawn = "rule-withdrawn",
    Withdrawn = "withdrawn"
);
