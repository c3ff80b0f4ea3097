//! A filter in front of the trie: may a word begin with these three characters?
//!
//! A row of bits for each hashed pair of classes, one bit for the low bits of the third. It says *no* to nearly every place of ordinary text,
//! from a table that stays in the cache, and has no branch in its loop. What it lets through the trie looks at.

use std::ops::ControlFlow;

/// Rows there is room for: the index is masked with it, which saves a check. Small lists use a part of it only.
const ROWS_MAX: usize = 1 << 17;
/// Places looked at together: one bit each.
const BLOCK: usize = 64;

/// The table.
pub(crate) struct Gate {
    rows: Box<[u32; ROWS_MAX]>,
    shift: u32,
}

impl Gate {
    /// A gate for about so many words that lets nothing through.
    pub(crate) fn new(words: usize) -> Self {
        // Measured: more rows than these sort out no more, and leave the cache.
        let bits = match words {
            ..=300 => 10,
            301..=3_000 => 12,
            3_001..=20_000 => 15,
            _ => ROWS_MAX.trailing_zeros(),
        };
        let rows: Box<[u32]> = vec![0; ROWS_MAX].into();
        let rows = rows.try_into().unwrap_or_else(|_| Box::new([u32::MAX; ROWS_MAX]));
        Self { rows, shift: u32::BITS - bits }
    }

    /// Lets words through that begin with these classes. A word of two goes before anything.
    pub(crate) fn open(&mut self, first: u16, second: u16, third: Option<u16>) {
        let bits = third.map_or(u32::MAX, bit);
        let row = self.row(first, second);
        self.rows[row] |= bits;
    }

    /// Calls `each` with the places among the first `len` of `classes` where a word may begin, in order, until it breaks. `classes` needs
    /// [`BLOCK`] + 2 more.
    #[inline(always)]
    pub(crate) fn places(
        &self,
        classes: &[u16],
        len: usize,
        mut each: impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut begin = 0;
        while begin < len {
            let Some(block) = classes.get(begin..).and_then(<[u16]>::first_chunk::<{ BLOCK + 2 }>) else { break };
            let mut open = self.block(block);
            if len - begin < BLOCK {
                open &= (1 << (len - begin)) - 1;
            }
            while open != 0 {
                each(begin as u32 + open.trailing_zeros())?;
                open &= open - 1;
            }
            begin += BLOCK;
        }
        ControlFlow::Continue(())
    }

    #[inline(always)]
    fn block(&self, classes: &[u16; BLOCK + 2]) -> u64 {
        let mut open = 0;
        for at in 0..BLOCK {
            let row = self.rows[self.row(classes[at], classes[at + 1])];
            open |= u64::from(row >> (classes[at + 2] & 31) & 1) << at;
        }
        open
    }

    #[inline(always)]
    fn row(&self, first: u16, second: u16) -> usize {
        let pair = u32::from(first) | u32::from(second) << 16;
        (pair.wrapping_mul(0x9E37_79B1) >> self.shift) as usize & (ROWS_MAX - 1)
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.rows)
    }
}

fn bit(third: u16) -> u32 {
    1 << (third & 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_words_through_and_little_else() {
        let mut gate = Gate::new(2);
        gate.open(7, 8, Some(9));
        gate.open(3, 4, None);
        let mut classes = vec![1; 200];
        classes[60..63].copy_from_slice(&[7, 8, 9]);
        classes[63..65].copy_from_slice(&[3, 4]);
        classes[100..103].copy_from_slice(&[7, 8, 10]);
        let places = |len, most| {
            let mut places = Vec::new();
            let ended = gate.places(&classes, len, |place| {
                places.push(place);
                if places.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            assert_eq!(ended.is_break(), places.len() == most);
            places
        };
        assert_eq!(places(130, 9), [60, 63]);
        assert_eq!(places(63, 9), [60], "63 is behind the end");
        assert_eq!(places(130, 1), [60], "no more was asked for");
    }
}
