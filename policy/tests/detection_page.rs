//! The table of techniques in `docs/detection.md` says what the matcher does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ops::ControlFlow;

use watchpost_policy::matcher::{Channel, MatchScratch, Matcher, PlainMatcher, WordList, WordOptions};
use watchpost_policy::normalise::Normalisation;

/// The strongest channel through which a text holds a word.
fn channel(word: &str, text: &str, options: WordOptions) -> Option<Channel> {
    let list = WordList { normalisation: Normalisation::default(), options, words: vec![word] };
    let mut found = None;
    PlainMatcher::compile(&[list]).unwrap().find(text, &mut MatchScratch::default(), &mut |hit| {
        found = Some(found.map_or(hit.channel, |before: Channel| before.min(hit.channel)));
        ControlFlow::Continue(())
    });
    found
}

/// What a Markdown cell shows.
fn cell(text: &str) -> String {
    let mut out = text.trim().to_owned();
    for code in [10, 822, 8203] {
        out = out.replace(&format!("&#{code};"), &char::from_u32(code).unwrap().to_string());
    }
    out
}

#[test]
fn every_technique_is_caught_as_the_page_says() {
    let page = include_str!("../../docs/detection.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| technique |")).skip(2);
    let mut seen = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<String> = row.trim_matches('|').split('|').map(cell).collect();
        let [technique, word, text, expected] = cells.try_into().unwrap();
        let options = WordOptions {
            split: technique.contains("`split`"),
            pinyin: technique.contains("`pinyin`"),
            ..WordOptions::default()
        };
        let found = channel(&word, &text, options).map_or("–", Channel::as_str);
        assert_eq!(found, expected, "{technique}: {word} in {text:?}");
        seen += 1;
    }
    assert_eq!(seen, 25, "every row is looked at");
}
