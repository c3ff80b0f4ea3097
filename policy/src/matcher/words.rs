//! What both matchers share: the words behind each folded form, and the check whether a stretch of folded text that has this form really
//! is the word.
//!
//! A form says only which folded characters follow each other. Whether the inserted characters are few enough, runs long enough, numerals
//! meant as digits, and the ends no part of a longer word, is decided here, once, on the original places.

use std::ops::{ControlFlow, Range};

use super::{Channel, WORD_CHARS_MAX, WordHit};
use crate::normalise::{Folded, NOISE_STEP_MAX, NOISE_TOTAL_MAX, Occurrence, is_chinese_numeral};

/// Digits in a row that make a word a number: 一一 is everyday talk, 一一零 is a number spelled out.
const NUMBER_DIGITS_MIN: usize = 3;
/// Digits on each side that belong to one number; no card or account number is longer. Bounds the work for each hit.
const NUMBER_DIGITS_MAX: usize = 20;

/// Words in order of their form. A form's number is that of its first word.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<Word>,
    /// Spellings that are longer than [`SHORT`].
    spellings: Vec<Spelled>,
}

/// Words before they are put in order.
#[derive(Debug, Default)]
pub(super) struct Draft {
    forms: Forms,
    /// Each of the form with its number.
    words: Vec<Word>,
    spellings: Vec<Spelled>,
}

/// Folded words behind each other.
#[derive(Debug, Default)]
pub(super) struct Forms {
    text: String,
    ends: Vec<usize>,
}

impl Forms {
    fn push(&mut self, form: &str) {
        self.text.push_str(form);
        self.ends.push(self.text.len());
    }

    fn get(&self, form: usize) -> &str {
        let begin = form.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.ends.get(form).and_then(|end| self.text.get(begin..*end)).unwrap_or_default()
    }

    /// The forms, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        (0..self.ends.len()).map(|form| self.get(form))
    }
}

/// Where a spelling comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The word itself.
    Written,
    /// A term in it was replaced by an alias.
    Alias,
    /// A character in it was taken apart.
    Split,
    /// Its sound.
    Sound,
}

/// Characters of a spelling that stand in the word itself. Nearly all words are as short, and looking elsewhere costs more than anything else here.
const SHORT: usize = 4;

/// One spelling of one word. Kept small: there may be 65,000.
#[derive(Clone, Copy, Debug)]
struct Word {
    list: u32,
    word: u32,
    /// Its characters, if short.
    short: [Spelled; SHORT],
    /// Where they begin in the arena, if not.
    long: u32,
    len: u8,
    /// Noise its author wrote into it is no inserted noise.
    noise: u8,
    noise_step: u8,
    origin: Origin,
    boundary: bool,
    /// Whether the next word has another form.
    is_last: bool,
}

/// A character of a word as its author wrote it, with a bit that says whether it continues a run.
#[derive(Clone, Copy, Debug, Default)]
struct Spelled(u32);

/// Where a word stands in a text.
struct Place {
    /// Its first and last occurrence.
    first: usize,
    last: usize,
    noise: u32,
    noise_step: u32,
    /// Repeated characters that the word does not have.
    repeats: u32,
}

impl Draft {
    /// Adds a spelling that folds to `folded`, which has at least two and at most [`super::WORD_CHARS_MAX`] occurrences.
    pub(super) fn add(&mut self, folded: &Folded, (list, word): (usize, usize), origin: Origin, boundary: bool) {
        let long = self.spellings.len();
        for char in 0..folded.chars() {
            let run = folded.run(char).unwrap_or_default();
            let originals = run.clone().filter_map(|at| folded.occurrence(at)).map(|occurrence| occurrence.original);
            self.spellings.extend(originals.enumerate().map(|(at, original)| Spelled::new(original, at > 0)));
        }
        let mut room = [0; WORD_CHARS_MAX];
        let spelling = self.spellings.get(long..).unwrap_or_default();
        let own = place(folded, 0..folded.chars(), runs_of(spelling, &mut room));
        let len = spelling.len();
        let mut short = [Spelled::default(); SHORT];
        if len <= SHORT {
            short.iter_mut().zip(spelling).for_each(|(place, spelled)| *place = *spelled);
            self.spellings.truncate(long);
        }
        let small = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
        self.forms.push(folded.text());
        self.words.push(Word {
            list: list as u32,
            word: word as u32,
            short,
            long: long as u32,
            len: small(len as u32),
            noise: own.as_ref().map_or(0, |own| small(own.noise)),
            noise_step: own.as_ref().map_or(0, |own| small(own.noise_step)),
            origin,
            boundary,
            is_last: false,
        });
    }

    /// The forms, some of them more than once.
    pub(super) fn forms(&self) -> impl Iterator<Item = &str> {
        self.forms.iter()
    }

    /// The forms in order, each once, their numbers, and the words behind them.
    pub(super) fn build(self) -> (Forms, Vec<u32>, Words) {
        let mut order: Vec<usize> = (0..self.words.len()).collect();
        order.sort_by_key(|word| self.forms.get(*word));
        let mut forms = Forms::default();
        let (mut numbers, mut words) = (Vec::new(), Vec::with_capacity(order.len()));
        for same in order.chunk_by(|one, next| self.forms.get(*one) == self.forms.get(*next)) {
            forms.push(same.first().map_or("", |word| self.forms.get(*word)));
            numbers.push(words.len() as u32);
            words.extend(same.iter().filter_map(|word| self.words.get(*word)).copied());
            words.last_mut().into_iter().for_each(|last: &mut Word| last.is_last = true);
        }
        numbers.shrink_to_fit();
        let mut spellings = self.spellings;
        spellings.shrink_to_fit();
        (forms, numbers, Words { words, spellings })
    }
}

impl Words {
    /// Tells of every word that the folded characters `chars` of `folded`, which have the form, really are.
    pub(super) fn verify(
        &self,
        form: usize,
        folded: &Folded,
        chars: Range<usize>,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for word in self.of_form(form) {
            let Some(spelling) = self.spelling(word) else { continue };
            let mut room = [0; WORD_CHARS_MAX];
            let runs = runs_of(spelling, &mut room);
            if let [len] = *runs {
                self.runs_alone(word, (folded, chars.start), (spelling, len), sink)?;
            } else if let Some(place) = place(folded, chars.clone(), runs) {
                check(word, spelling, folded, chars.clone(), &place).map_or(ControlFlow::Continue(()), &mut *sink)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// A word that is one run (哈哈) stands in a longer run as often as it finds room, from left to right.
    fn runs_alone(
        &self,
        word: &Word,
        (folded, char): (&Folded, usize),
        (spelling, len): (&[Spelled], usize),
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let run = folded.run(char).unwrap_or_default();
        let mut first = run.start;
        while first + len <= run.end {
            let hit =
                window(folded, first, len).and_then(|place| check(word, spelling, folded, char..char + 1, &place));
            first += if hit.is_some() { len } else { 1 };
            hit.map_or(ControlFlow::Continue(()), &mut *sink)?;
        }
        ControlFlow::Continue(())
    }

    fn spelling<'w>(&'w self, word: &'w Word) -> Option<&'w [Spelled]> {
        let len = usize::from(word.len);
        let from = if len <= SHORT { &word.short[..] } else { self.spellings.get(word.long as usize..)? };
        from.get(..len)
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.words[..]) + size_of_val(&self.spellings[..])
    }

    /// Forms have lower numbers.
    pub(super) fn numbers_end(&self) -> usize {
        self.words.len()
    }

    /// The lists that have a word of this form.
    pub(super) fn lists_of(&self, form: usize) -> impl Iterator<Item = u32> {
        self.of_form(form).iter().map(|word| word.list)
    }

    fn of_form(&self, form: usize) -> &[Word] {
        let from = self.words.get(form..).unwrap_or_default();
        let end = from.iter().position(|word| word.is_last).map_or(0, |last| last + 1);
        from.get(..end).unwrap_or_default()
    }
}

/// The hit of a word at a place, when it is one.
fn check(word: &Word, spelling: &[Spelled], folded: &Folded, chars: Range<usize>, place: &Place) -> Option<WordHit> {
    let own = u32::from(word.noise);
    let fits = place.noise <= own + NOISE_TOTAL_MAX
        && place.noise_step <= u32::from(word.noise_step) + NOISE_STEP_MAX
        && (!word.boundary || is_bounded(folded, place))
        && numerals_fit(folded, chars.clone(), place, spelling);
    if !fits {
        return None;
    }
    let (first, last) = (folded.occurrence(place.first)?, folded.occurrence(place.last)?);
    let hidden = first.hidden != last.hidden;
    let channel = match word.origin {
        Origin::Alias => Channel::Alias,
        Origin::Split => Channel::Split,
        Origin::Sound => Channel::Pinyin,
        Origin::Written if hidden || place.repeats > 0 || place.noise > own => Channel::Skipped,
        Origin::Written if place.noise == own && is_same(folded, chars, place, spelling) => Channel::Exact,
        Origin::Written => Channel::Folded,
    };
    Some(WordHit { list: word.list, word: word.word, start: first.start, end: last.end, channel, obfuscated: hidden })
}

impl Spelled {
    const CONTINUES: u32 = 1 << 31;

    fn new(original: char, continues: bool) -> Self {
        Self(u32::from(original) | if continues { Self::CONTINUES } else { 0 })
    }

    fn continues(self) -> bool {
        self.0 & Self::CONTINUES != 0
    }

    fn original(self) -> char {
        char::from_u32(self.0 & !Self::CONTINUES).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

/// The lengths of a word's runs. It has no more characters than there is room for.
fn runs_of<'r>(spelling: &[Spelled], room: &'r mut [usize; WORD_CHARS_MAX]) -> &'r [usize] {
    let mut runs = 0;
    for (room, run) in room.iter_mut().zip(spelling.chunk_by(|_, next| next.continues())) {
        *room = run.len();
        runs += 1;
    }
    room.get(..runs).unwrap_or_default()
}

/// Where a word with these runs stands in the folded characters, or `None` when a run of the text is too short.
/// The ends are as near to each other as can be: of a longer run at an end only as much belongs to the word as it needs.
fn place(folded: &Folded, chars: Range<usize>, runs: &[usize]) -> Option<Place> {
    let (mut first, mut last) = (None, 0);
    let (mut noise_step, mut repeats) = (0, 0);
    // Where the last step began, and the repeats that belong to it.
    let mut anchor: Option<(usize, u32)> = None;
    let noise = |at: usize| folded.occurrence(at).map_or(0, |occurrence| occurrence.noise);
    let end_char = chars.end - 1;
    for (char, len) in chars.zip(runs.iter().copied()) {
        let run = folded.run(char)?;
        let extra = run.len().checked_sub(len)?;
        let inside = first.is_some() && char != end_char;
        // English has `lose` and `loose`, and a longer number is another number.
        if inside && extra > 0 && folded.char(char).is_some_and(|c| c.is_ascii_alphanumeric()) {
            return None;
        }
        let start = if first.is_none() { run.end - len } else { run.start };
        if let Some((from, extra)) = anchor {
            noise_step = noise_step.max(noise(start) - noise(from) + extra);
        }
        let extra = if inside { extra as u32 } else { 0 };
        repeats += extra;
        anchor = Some((start, extra));
        first.get_or_insert(start);
        last = start + len - 1;
    }
    let first = first?;
    noise_step = noise_step.max(noise(last) - noise(anchor?.0));
    Some(Place { first, last, noise: noise(last) - noise(first) + repeats, noise_step, repeats })
}

/// The place of a word that is one run.
fn window(folded: &Folded, first: usize, len: usize) -> Option<Place> {
    let last = first + len - 1;
    let noise = folded.occurrence(last)?.noise - folded.occurrence(first)?.noise;
    Some(Place { first, last, noise, noise_step: noise, repeats: 0 })
}

/// Whether the ends are no part of a longer Latin word or number.
fn is_bounded(folded: &Folded, place: &Place) -> bool {
    let joined = |left: Option<usize>, right: usize| {
        let pair = left.and_then(|left| Some((folded.occurrence(left)?, folded.occurrence(right)?)));
        pair.is_some_and(|(left, right)| left.noise == right.noise && is_one_word(left, right))
    };
    !joined(place.first.checked_sub(1), place.first) && !joined(Some(place.last), place.last + 1)
}

/// Whether two neighbours are both letters, or both digits. Chinese numerals are neither: 打12315一下.
fn is_one_word(left: &Occurrence, right: &Occurrence) -> bool {
    let kind = |occurrence: &Occurrence| {
        let latin = occurrence.folded.is_ascii_alphanumeric() && !is_chinese_numeral(occurrence.original);
        latin.then_some(occurrence.folded.is_ascii_digit())
    };
    kind(left).is_some_and(|left| kind(right) == Some(left))
}

/// Whether every Chinese numeral of the text may stand for the digit its author wrote: only in a number.
fn numerals_fit(folded: &Folded, chars: Range<usize>, place: &Place, spelling: &[Spelled]) -> bool {
    let stands_in = |occurrence: &Occurrence, spelled: Spelled| {
        occurrence.folded.is_ascii_digit()
            && is_chinese_numeral(occurrence.original)
            && is_plain_digit(spelled.original())
    };
    !pairs(folded, chars, place, spelling).any(|(occurrence, spelled)| stands_in(occurrence, spelled))
        || is_number(folded, place, spelling)
}

/// Whether the digits of the word are many enough, or the text has a plain digit in one row with the numerals.
fn is_number(folded: &Folded, place: &Place, spelling: &[Spelled]) -> bool {
    let digits = spelling.iter().filter(|spelled| is_plain_digit(spelled.original())).count();
    let in_row = |at: &usize| folded.occurrence(*at).is_some_and(|occurrence| occurrence.folded.is_ascii_digit());
    let before = (0..place.first).rev().take_while(in_row).take(NUMBER_DIGITS_MAX);
    let after = (place.last + 1..folded.occurrences()).take_while(in_row).take(NUMBER_DIGITS_MAX);
    let mut row = before.chain((place.first..=place.last).filter(in_row)).chain(after);
    digits >= NUMBER_DIGITS_MIN
        || row.any(|at| folded.occurrence(at).is_some_and(|occurrence| is_plain_digit(occurrence.original)))
}

fn is_plain_digit(original: char) -> bool {
    original.is_numeric() && !is_chinese_numeral(original)
}

/// Whether the text has the very characters its author wrote.
fn is_same(folded: &Folded, chars: Range<usize>, place: &Place, spelling: &[Spelled]) -> bool {
    pairs(folded, chars, place, spelling).all(|(occurrence, spelled)| occurrence.original == spelled.original())
}

/// The occurrences of the text that belong to the word, each with the word's own character.
fn pairs<'a>(
    folded: &'a Folded,
    chars: Range<usize>,
    place: &Place,
    spelling: &'a [Spelled],
) -> impl Iterator<Item = (&'a Occurrence, Spelled)> {
    let first = place.first;
    chars.zip(spelling.chunk_by(|_, next| next.continues())).flat_map(move |(char, run)| {
        let start = folded.run(char).map_or(0, |run| run.start.max(first));
        (start..).zip(run).filter_map(|(at, spelled)| Some((folded.occurrence(at)?, *spelled)))
    })
}
