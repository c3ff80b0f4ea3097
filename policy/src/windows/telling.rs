//! When a device tells of a window that holds, and when it takes it back.

use super::{Held, Kind, ShortMid, Window};

/// What was told last of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// See [`Held`].
    pub first_ms: i64,
    /// See [`Held`].
    pub last_ms: i64,
    /// See [`Held`].
    pub count: u64,
    /// See [`Held`].
    pub value: i64,
    /// See [`Held`].
    pub open: bool,
    /// The first message in it.
    pub first: ShortMid,
    /// It was taken back.
    pub withdrawn: bool,
}

/// What to do about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Nothing is new.
    Nothing,
    /// Tell it, or tell it again.
    Tell,
    /// Take it back.
    Withdraw,
    /// Look again when the watermark has come this far.
    Later(i64),
}

impl Told {
    /// What telling of a window leaves.
    #[must_use]
    pub fn of(held: &Held) -> Option<Self> {
        Some(Self {
            first_ms: held.first_ms,
            last_ms: held.last_ms,
            count: held.count,
            value: held.value,
            open: held.open,
            first: *held.members.first()?,
            withdrawn: false,
        })
    }
}

/// Compares what was told of a bucket with what it holds now. `due` says that the watermark has come to where the bucket was to be looked
/// at again.
///
/// A window is told at once when it holds; that nobody answers, when the watermark says so. It is told again at once when an answer came
/// after all or what is measured has doubled, so that a long burst is a few records and not one a message, and any other change
/// when the watermark has passed all that can belong to the bucket. What holds no more is taken back at once.
#[must_use]
pub fn telling(window: &Window, bucket: i64, told: Option<&Told>, held: Option<&Held>, due: bool) -> Telling {
    let told = told.filter(|told| !told.withdrawn);
    match (told, held) {
        (None, None) => Telling::Nothing,
        (Some(_), None) => Telling::Withdraw,
        (None, Some(held)) if held.open && !due => {
            window.due_ms(held.first_ms).map_or(Telling::Nothing, Telling::Later)
        }
        (None, Some(_)) => Telling::Tell,
        (Some(told), Some(held)) if Told::of(held).as_ref() == Some(told) => Telling::Nothing,
        (Some(told), Some(held)) if due || told.open != held.open || has_doubled(window, told, held) => Telling::Tell,
        (Some(_), Some(_)) => Telling::Later(window.close_ms(bucket)),
    }
}

fn has_doubled(window: &Window, told: &Told, held: &Held) -> bool {
    !matches!(window.kind, Kind::Reply { .. }) && held.value >= told.value.saturating_mul(2)
}
