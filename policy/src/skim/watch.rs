//! What a line must be looked at for, worked out once for an engine: words, the numbers that validators find, whole types.

use std::collections::BTreeSet;

use crate::engine::{Interest, Look};
use crate::matcher::{Reasons, escape};
use crate::message::known_types;
use crate::validators::Validator;

/// What to watch for.
pub(crate) struct Watch {
    pub(super) words: Reasons,
    interest: Interest,
    /// Where a rule needs validators.
    pub(super) glance: Option<Glance>,
}

/// Whether messages of a type are looked at though no word is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OfType {
    #[default]
    Never,
    /// Those at which the [`Glance`] stopped.
    Glanced,
    Always,
}

impl Watch {
    pub(crate) fn new(words: Reasons, interest: Interest) -> Self {
        let of_types = known_types().map(|msgtype| interest.of_type(msgtype));
        let validators: BTreeSet<Validator> = of_types
            .filter_map(|look| match look {
                Look::IfValidated(validators) => Some(validators),
                Look::Never | Look::Always => None,
            })
            .flatten()
            .copied()
            .collect();
        let glance = (!validators.is_empty()).then(|| Glance::new(validators));
        Self { words, interest, glance }
    }

    pub(super) fn of_type(&self, msgtype: &str) -> OfType {
        match self.interest.of_type(msgtype) {
            Look::Never => OfType::Never,
            Look::IfValidated(_) => OfType::Glanced,
            Look::Always => OfType::Always,
        }
    }
}

/// Counts the characters that validators need, by table: as [`Validator::may_hit`], for all of them at once.
pub(super) struct Glance {
    needs: Vec<fn(char) -> bool>,
    /// By code point of the basic plane: which validators need it, one bit each.
    kinds: Box<[u8]>,
    /// By such bits: what is added to the counts.
    steps: Box<[u64]>,
    /// Counts at first, a byte for each validator: so many below [`ENOUGH`] as it needs.
    counts: u64,
}

/// The bits of counts that say enough.
const ENOUGH: u64 = u64::from_ne_bytes([0x80; 8]);

impl Glance {
    fn new(validators: BTreeSet<Validator>) -> Self {
        let (counts, needs): (Vec<usize>, Vec<_>) = validators.into_iter().map(Validator::needs).unzip();
        let byte = |value: u64, bit: usize| value << (8 * bit);
        let step = |kinds: u64| (0..8).map(|bit| byte(kinds >> bit & 1, bit)).sum();
        let below = |(bit, count): (usize, &usize)| byte(0x80 - (*count).clamp(1, 0x80) as u64, bit);
        let mut glance = Self {
            needs,
            kinds: Box::default(),
            steps: (0..=0xFF).map(step).collect(),
            counts: counts.iter().take(8).enumerate().map(below).sum(),
        };
        glance.kinds = (0..0x1_0000).map(|point| char::from_u32(point).map_or(0, |c| glance.define(c))).collect();
        glance
    }

    /// Whether one of the validators could find anything in the well-formed JSON string between two places.
    pub(super) fn stops_at(&self, bytes: &[u8], begin: usize, end: usize) -> bool {
        let mut counts = self.counts;
        let mut at = begin;
        while at < end {
            let kinds;
            (kinds, at) = match bytes.get(at..end) {
                Some([b'\\', ..]) => match escape(bytes, at) {
                    Some((c, next)) => (self.of(c), next),
                    None => return true,
                },
                Some([a @ ..0x80, ..]) => (self.of_point(u32::from(*a)), at + 1),
                Some([a @ 0xE0..0xF0, b, c, ..]) => {
                    let point = u32::from(a & 0xF) << 12 | u32::from(b & 0x3F) << 6 | u32::from(c & 0x3F);
                    (self.of_point(point), at + 3)
                }
                Some([a @ 0xC0..0xE0, b, ..]) => {
                    (self.of_point(u32::from(a & 0x1F) << 6 | u32::from(b & 0x3F)), at + 2)
                }
                Some(rest) => match rest.get(..4).and_then(|rest| std::str::from_utf8(rest).ok()?.chars().next()) {
                    Some(c) => (self.of(c), at + 4),
                    None => return true,
                },
                None => return true,
            };
            counts += self.steps.get(usize::from(kinds)).copied().unwrap_or(ENOUGH);
            if counts & ENOUGH != 0 {
                return true;
            }
        }
        false
    }

    fn of(&self, c: char) -> u8 {
        if u32::from(c) < 0x1_0000 { self.of_point(u32::from(c)) } else { self.define(c) }
    }

    fn of_point(&self, point: u32) -> u8 {
        self.kinds.get(point as usize).copied().unwrap_or(u8::MAX)
    }

    fn define(&self, c: char) -> u8 {
        self.needs.iter().zip(0..8).fold(0, |kinds, (needs, bit)| kinds | u8::from(needs(c)) << bit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn glances_as_validators_do(
            text in "[0-9一八幺①１a-c@＠.．价，\n\"🎉𝟏]{0,30}",
            ascii: bool,
            one in prop::sample::select(&Validator::ALL[..]),
            other in prop::sample::select(&Validator::ALL[..]),
        ) {
            let mut json = serde_json::to_string(&text).unwrap();
            if ascii {
                json = json.chars().map(super::super::tests::escaped).collect();
            }
            let glance = Glance::new([one, other].into());
            let expected = one.may_hit(&text) || other.may_hit(&text);
            prop_assert_eq!(glance.stops_at(json.as_bytes(), 1, json.len() - 1), expected, "{}", json);
        }
    }
}
