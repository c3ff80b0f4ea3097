//! Findings of a window: many messages, messages that come together, a word broken over messages, an answer that does not come.
//!
//! A window finding depends only on the **set** of messages that were seen. What a message adds to a window is a [`Contribution`]; a
//! finding belongs to the bucket ⌊msgtime / duration⌋ of its group key and holds when some interval [t, t + duration) from a contribution
//! t of the bucket reaches the threshold, so that the contributions of a bucket and of the next decide it. Order, restarts and the
//! splitting of messages into files therefore cannot matter: [`judge()`] looks at sorted contributions, [`keep()`] forgets only what cannot
//! change its answer, and both are functions of the set.
//!
//! What a `reply` waits for may lie days ahead. There a bucket holds the waits that begin in it, a wait ends with the first answer, and one
//! without an answer holds once the [watermark](Seen::watermark_ms) has passed its end.
//!
//! [`telling()`] says when a device tells of a window: at once when it holds, again when what is measured has doubled, and once more
//! when it can change no further except by late messages. [`Memory`] is the state of a run that keeps none.

mod judge;
mod keep;
mod memory;
mod reply;
mod spec;
mod telling;

use std::fmt;

use crate::engine::Hit;

pub use judge::{Seen, judge};
pub use keep::keep;
pub use memory::{Memory, WindowFinding};
pub use reply::awaited;
pub use spec::{By, Distinct, Kind, Window};
pub use telling::{Telling, Told, telling};

/// What one message adds to one window of one group. The order is that of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contribution {
    /// Time of the message, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The message.
    pub mid: ShortMid,
    /// What is told apart: a digest of the receiver, room, file or word; the number of a selection; [`ASK`] or [`ANSWER`].
    pub key: u64,
    /// What is added up, in fen.
    pub value: i64,
    /// The text of a short message of a `join`, which nothing else keeps. Empty for a message that only stands between.
    pub text: String,
}

impl Contribution {
    /// Whether a finding may name the message: what only stands between others, or answers, is never a member of a window.
    #[must_use]
    pub fn may_be_member(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Join => !self.text.is_empty(),
            Kind::Reply { .. } => self.key != ANSWER,
            _ => true,
        }
    }
}

/// [`Contribution::key`] of a message that waits for an answer.
pub const ASK: u64 = 0;
/// [`Contribution::key`] of a message that answers.
pub const ANSWER: u64 = 1;

/// The first 16 bytes of a message's identity, which tell messages of one group apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortMid(pub [u8; 16]);

/// Names a group of messages, such as those of one sender: a keyed digest, so that it tells nobody of whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey(pub [u8; 16]);

/// A window that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Time of the first message in it.
    pub first_ms: i64,
    /// Time of the last message in it; of a wait, of the answer. The first one's while there is none.
    pub last_ms: i64,
    /// Messages in it, as far as they are kept; of a `reply`, waits that were too long.
    pub count: u64,
    /// What was measured: messages, different values, fen, selections, hits, or milliseconds of work time waited.
    pub value: i64,
    /// Nobody has answered.
    pub open: bool,
    /// The first messages in it, in order of time; at most [`MEMBERS_MAX`].
    pub members: Vec<ShortMid>,
    /// The text that messages make together, and what hits in it.
    pub joined: Option<Joined>,
}

/// Several messages read as one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The text.
    pub text: String,
    /// The hits that reach from the first message into another.
    pub hits: Vec<Hit>,
}

/// Messages named in a finding.
pub const MEMBERS_MAX: usize = 8;
/// Field of a hit in [`Joined::text`].
pub const JOINED_FIELD: &str = "joined";

impl GroupKey {
    /// As it goes into the identity of a finding.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for ShortMid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortMid({})", hex::encode(self.0))
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupKey({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests;
