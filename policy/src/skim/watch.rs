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
    /// By validator: how many characters it needs.
    counts: Vec<usize>,
    needs: Vec<fn(char) -> bool>,
    /// By code point of the basic plane: which validators need it, one bit each.
    kinds: Box<[u8]>,
}

impl Glance {
    fn new(validators: BTreeSet<Validator>) -> Self {
        let (counts, needs) = validators.into_iter().map(Validator::needs).unzip();
        let mut glance = Self { counts, needs, kinds: Box::default() };
        glance.kinds = (0..0x1_0000).map(|point| char::from_u32(point).map_or(0, |c| glance.define(c))).collect();
        glance
    }

    /// Whether one of the validators could find anything in the JSON string between two places. Of a string that is not well-formed too.
    pub(super) fn stops_at(&self, bytes: &[u8], begin: usize, end: usize) -> bool {
        let Some(text) = bytes.get(begin..end).and_then(|text| std::str::from_utf8(text).ok()) else { return true };
        let mut seen = [0; 8];
        let mut skipped = 0;
        for (at, c) in text.char_indices() {
            if at < skipped {
                continue;
            }
            let c = if c == '\\' {
                let Some((escaped, next)) = escape(text.as_bytes(), at) else { return true };
                skipped = next;
                escaped
            } else {
                c
            };
            let kinds = self.kinds(c);
            if kinds != 0 && self.count(kinds, &mut seen) {
                return true;
            }
        }
        false
    }

    /// Counts a character, and says whether there are enough of a kind now.
    fn count(&self, kinds: u8, seen: &mut [usize; 8]) -> bool {
        let mut enough = false;
        for ((seen, count), bit) in seen.iter_mut().zip(&self.counts).zip(0..) {
            *seen += usize::from(kinds >> bit & 1);
            enough |= *seen >= *count;
        }
        enough
    }

    fn kinds(&self, c: char) -> u8 {
        self.kinds.get(u32::from(c) as usize).copied().unwrap_or_else(|| self.define(c))
    }

    fn define(&self, c: char) -> u8 {
        self.needs.iter().zip(0..).fold(0, |kinds, (needs, bit)| kinds | u8::from(needs(c)) << bit)
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
