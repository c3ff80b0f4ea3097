//! Any words in any text: the fast matcher finds what the plain one finds, every hit lies on characters, and what stands there is found
//! again as the same word when it stands alone.
#![no_main]

use std::ops::ControlFlow;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use watchpost_policy::matcher::{FastMatcher, MatchScratch, Matcher, PlainMatcher, WordHit, WordList, WordOptions, check_word};
use watchpost_policy::normalise::Normalisation;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Characters are drawn from few, so that words hit.
    words: Vec<Vec<u8>>,
    text: Vec<u8>,
    raw: String,
    options: [bool; 4],
    normalisation: [bool; 7],
}

/// What words and texts are made of: plain, disguised, skipped, numerals, terms with aliases, parts of characters.
const LETTERS: [char; 40] = [
    '加', '我', '微', '信', '薇', '张', '弓', '长', '轉', '账', '一', '壹', '1', '①', '⑩', '2', '二', 'v', 'Ｖ', 'x', 'X', 'w', 'e', 'i',
    'n', 'ß', 'İ', '.', ' ', '-', '🎉', '❤', '➕', '\u{200B}', '\u{336}', '\n', '哈', '嘻', '⾦', '𝐕',
];

fuzz_target!(|input: Input| {
    let spell = |bytes: &[u8]| -> String { bytes.iter().map(|b| LETTERS[usize::from(*b) % LETTERS.len()]).collect() };
    let [boundary, aliases, split, pinyin] = input.options;
    let options = WordOptions { boundary, aliases, split, pinyin };
    let [width, case, script, variants, zero_width, noise, repeats] = input.normalisation;
    let normalisation = Normalisation { width, case, script, variants, zero_width, noise, repeats };
    let words: Vec<String> = input.words.iter().take(16).map(|word| spell(word)).collect();
    let words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| check_word(word, normalisation, options).is_ok()).collect();
    let text = spell(&input.text) + &input.raw;
    let list = [WordList { normalisation, options, words }];
    let matcher = PlainMatcher::compile(&list).unwrap();
    let (mut plain, mut fast) = (find(&matcher, &text), find(&FastMatcher::compile(&list).unwrap(), &text));
    plain.sort_unstable();
    fast.sort_unstable();
    assert!(plain == fast || plain.len() >= HITS_MAX, "{text:?}: {plain:?} {fast:?}");
    let chars: Vec<char> = text.chars().collect();
    for hit in find(&matcher, &text) {
        let slice: String = chars[hit.start as usize..hit.end as usize].iter().collect();
        let again = find(&matcher, &slice);
        assert!(again.iter().any(|same| same.word == hit.word && same.start == 0), "{hit:?} in {slice:?}: {again:?}");
    }
});

/// Hits looked at; which of more come first is each matcher's own affair.
const HITS_MAX: usize = 1_000;

fn find(matcher: &dyn Matcher, text: &str) -> Vec<WordHit> {
    let mut hits = Vec::new();
    matcher.find(text, &mut MatchScratch::default(), &mut |hit| {
        hits.push(hit);
        if hits.len() < HITS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    hits
}
