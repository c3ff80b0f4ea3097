//! A roster on its way here: no more of it is held in memory than its signed header speaks of.

use watchpost_proto::Message as _;
use watchpost_proto::limits::MESSAGE_BYTES_MAX;
use watchpost_proto::roster::{ACCOUNT_BYTES_MAX, ROW_BYTES_MAX};
use watchpost_proto::v1::RosterPart;

use super::{Brought, Rosters};

/// Bytes of all rows: what a device may be made to hold in memory while it checks them.
const ROWS_BYTES_MAX: usize = 512 * 1024 * 1024;
/// What an entry costs on the wire beside its own bytes.
const FIELD_BYTES_MAX: usize = 8;
/// A row with its proof, or the proof that there is none.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Puts the parts together.
pub struct Bringing<'r> {
    rosters: &'r Rosters,
    offered: Vec<u8>,
    /// Known once the header has come.
    bounds: Option<Bounds>,
    bytes: usize,
    brought: Brought,
}

struct Bounds {
    rows: usize,
    never: usize,
    answers: usize,
    bytes: usize,
}

impl<'r> Bringing<'r> {
    /// Begins, for the one that was asked for.
    pub fn new(rosters: &'r Rosters, offered: &[u8]) -> Self {
        Self { rosters, offered: offered.to_vec(), bounds: None, bytes: 0, brought: Brought::default() }
    }

    /// Takes the next part; says whether another is wanted. The header is in the first, and nothing is taken after one that cannot
    /// be believed, or beyond what it speaks of: what was brought till then is refused for that.
    pub fn add(&mut self, part: RosterPart) -> bool {
        self.bytes = self.bytes.saturating_add(part.encoded_len());
        if self.bounds.is_none() {
            self.bounds = self.bounds(&part);
            self.brought.chain = part.chain;
        }
        let Some(bounds) = &self.bounds else { return false };
        self.brought.never.extend(part.never);
        self.brought.rows.extend(part.rows);
        self.brought.answers.extend(part.answers);
        let is_bounded = self.brought.rows.len() <= bounds.rows
            && self.brought.never.len() <= bounds.never
            && self.brought.answers.len() <= bounds.answers
            && self.bytes <= bounds.bytes;
        is_bounded && !part.last
    }

    /// What came.
    pub fn brought(self) -> Brought {
        self.brought
    }

    fn bounds(&self, first: &RosterPart) -> Option<Bounds> {
        let header = self.rosters.header_of(&self.offered, &first.chain).ok()?.header;
        let answers = self.rosters.only.len();
        // Whoever asks for some accounts gets no other's row.
        let rows = if answers == 0 { usize::try_from(header.rows).ok()? } else { 0 };
        let never = usize::try_from(header.never_count).ok()?;
        let of_rows = rows.saturating_mul(ROW_BYTES_MAX + FIELD_BYTES_MAX).min(ROWS_BYTES_MAX);
        let of_never = never.saturating_mul(ACCOUNT_BYTES_MAX + FIELD_BYTES_MAX);
        let of_answers = answers.saturating_mul(ANSWER_BYTES_MAX);
        let bytes = of_rows.saturating_add(of_never).saturating_add(of_answers).saturating_add(MESSAGE_BYTES_MAX);
        Some(Bounds { rows, never, answers, bytes })
    }
}
