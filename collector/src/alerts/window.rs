//! Windows of messages as people see them.

use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::v1::Window;

/// Several messages together, as a device tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WindowView {
    /// What was measured: `count`, `distinct`, `sum`, `all`, `join` or `reply`.
    pub kind: String,
    /// The rule's duration, milliseconds.
    pub within_ms: i64,
    /// Time of its first message, milliseconds since 1970.
    pub first_msgtime: i64,
    /// Time of its last message; of a `reply`, of the answer.
    pub last_msgtime: i64,
    /// Messages in it; of a `reply`, waits that were too long.
    pub count: u64,
    /// Messages, different values, fen, selections, hits, or milliseconds waited.
    pub value: i64,
    /// The first messages in it.
    pub msgids: Vec<String>,
    /// Nobody has answered.
    pub open: bool,
}

impl WindowView {
    pub(super) fn of(window: Window) -> Self {
        Self {
            kind: window.kind,
            within_ms: window.within_ms,
            first_msgtime: window.first_ms,
            last_msgtime: window.last_ms,
            count: window.count,
            value: window.value,
            msgids: window.msgids,
            open: window.open,
        }
    }

    /// How much in how long, for people.
    #[must_use]
    pub fn in_short(&self) -> String {
        let seconds = self.last_msgtime.saturating_sub(self.first_msgtime) / 1000;
        let minutes = self.value / 60_000;
        match self.kind.as_str() {
            "count" => format!("{} messages in {seconds} s", self.value),
            "distinct" => format!("{} different in {seconds} s", self.value),
            "sum" => format!("{}.{:02} yuan in {seconds} s", self.value / 100, self.value % 100),
            "join" => format!("broken over {} messages", self.count),
            "reply" if self.open => format!("no answer in {minutes} min of work time"),
            "reply" => format!("answered after {minutes} min of work time"),
            _ => format!("{} messages in {seconds} s", self.count),
        }
    }
}
