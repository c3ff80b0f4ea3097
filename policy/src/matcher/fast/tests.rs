//! The fast matcher must agree with the plain one on every hit.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::super::{PlainMatcher, WordOptions, check_word};
use super::*;

fn hits(matcher: &dyn Matcher, scratch: &mut MatchScratch, text: &str) -> Vec<WordHit> {
    let mut hits = Vec::new();
    matcher.find(text, scratch, &mut |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    });
    hits.sort_unstable();
    hits
}

/// Both matchers over the same lists.
struct Pair {
    fast: FastMatcher,
    plain: PlainMatcher,
    scratch: MatchScratch,
}

impl Pair {
    fn new(lists: &[WordList<'_>]) -> Self {
        Self {
            fast: FastMatcher::compile(lists).unwrap(),
            plain: PlainMatcher::compile(lists).unwrap(),
            scratch: MatchScratch::default(),
        }
    }

    /// The hits of both, which are the same.
    fn hits(&mut self, text: &str) -> Vec<WordHit> {
        let expected = hits(&self.plain, &mut self.scratch, text);
        assert_eq!(hits(&self.fast, &mut self.scratch, text), expected, "{text:?}");
        expected
    }
}

fn list<'a>(normalisation: Normalisation, options: WordOptions, words: &[&'a str]) -> WordList<'a> {
    let words = words.iter().copied().filter(|word| check_word(word, normalisation, options).is_ok()).collect();
    WordList { normalisation, options, words }
}

const WORDS: [&str; 35] = [
    "飞单",
    "飞",
    "做飞单",
    "飞单吧",
    "单吧",
    "加我微信",
    "微信",
    "转账给我",
    "私下转账",
    "现金红包",
    "vx",
    "weixin",
    "QQ群",
    "138",
    "一三八",
    "1",
    "哈哈",
    "哈哈哈",
    "666",
    "aab",
    "银行卡号",
    "C++",
    "c+",
    "++",
    "保本保息",
    "张三",
    "𠮷野家",
    "㎏价",
    "⑩年",
    "好好学",
    "给💰",
    "飞-单",
    "A股",
    "\u{30000}字",
    "βoss",
];

/// One list for each way of folding, all with the same words.
fn lists() -> Vec<WordList<'static>> {
    let usual = Normalisation::default();
    let foldings = [
        usual,
        Normalisation { noise: false, ..usual },
        Normalisation { repeats: false, ..usual },
        Normalisation { variants: false, script: false, ..usual },
        Normalisation { zero_width: false, width: false, ..usual },
        Normalisation::EXACT,
    ];
    let all = WordOptions { boundary: true, aliases: true, split: true, pinyin: false };
    let bare = WordOptions { boundary: false, aliases: false, split: false, pinyin: false };
    let mut lists: Vec<_> =
        foldings.iter().flat_map(|folding| [all, bare].map(|o| list(*folding, o, &WORDS))).collect();
    lists.push(list(usual, WordOptions { pinyin: true, ..all }, &WORDS));
    lists
}

/// Pieces that texts are put together from: words, parts of them, disguises, and what should not matter.
const PIECES: [&str; 69] = [
    "ﷺ",
    "ﷻ",
    "飞",
    "单",
    "飞单",
    "做",
    "吧",
    "飛單",
    "飞飞",
    "单单",
    "微",
    "信",
    "加我",
    "微信",
    "转账",
    "轉帳",
    "给我",
    "现金",
    "红包",
    "哈",
    "哈哈",
    "6",
    "66",
    "一",
    "三八",
    "138",
    "v",
    "x",
    "VX",
    "ⓥⓍ",
    "weixin",
    "wei",
    "xin",
    "jiawo",
    "QQ",
    "群",
    "裙",
    "+",
    "➕",
    "❤",
    "💰",
    "📱",
    "C+",
    "++",
    "保本",
    "弓长",
    "三",
    "𠮷",
    "野家",
    "㎏",
    "价",
    "⑩",
    "年",
    "好",
    "，",
    " ",
    "....",
    "\n",
    "\u{200B}",
    "\u{FE0F}",
    "🎉",
    "\u{30000}字",
    "Β",
    "β",
    "oss",
    "家",
    "握",
    "薇",
    "芯",
];

#[test]
fn phrases_written_by_sound() {
    let options = WordOptions { pinyin: true, ..WordOptions::default() };
    let mut pair = Pair::new(&[list(Normalisation::default(), options, &["加我微信", "三好生"])]);
    for (text, found) in [
        ("家握薇芯", 1),
        ("家，握 薇芯", 1),
        ("jia wo weixin", 1),
        ("加wo薇信", 1),
        ("嘉我薇信号", 2),
        ("山号升", 0),
        ("三号声", 1),
        ("叁耗生", 1),
        ("家里薇信", 0),
    ] {
        assert_eq!(pair.hits(text).len(), found, "{text}");
    }
}

#[test]
fn agrees_on_pairs_of_pieces() {
    let mut pair = Pair::new(&lists());
    let mut found = 0;
    for one in PIECES {
        for other in PIECES {
            found += pair.hits(&format!("{one}{other}")).len();
            found += pair.hits(&format!("嗯{one},{other}{one}")).len();
        }
    }
    assert!(found > 5_000, "{found} hits are hardly a test");
}

#[test]
fn every_way_alone_agrees() {
    for list in lists() {
        let mut pair = Pair::new(&[list]);
        for one in PIECES {
            for other in PIECES.iter().step_by(5) {
                pair.hits(&format!("{one}{other}"));
            }
        }
    }
}

#[test]
fn no_words_no_hits() {
    assert!(Pair::new(&[]).hits("飞单").is_empty());
    assert!(Pair::new(&lists()).hits("").is_empty());
}

#[test]
fn a_sink_that_breaks_is_not_called_again() {
    let matcher = FastMatcher::compile(&lists()).unwrap();
    for text in ["飞单飞单哈哈哈哈飞单", "哈哈哈哈"] {
        let mut calls = 0;
        matcher.find(text, &mut MatchScratch::default(), &mut |_| {
            calls += 1;
            ControlFlow::Break(())
        });
        assert_eq!(calls, 1, "{text}");
    }
}

proptest! {
    #[test]
    fn agrees_on_any_pieces(pieces in prop::collection::vec(prop_oneof![
        9 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ], 0..12)) {
        thread_local! {
            static PAIR: std::cell::RefCell<Pair> = std::cell::RefCell::new(Pair::new(&lists()));
        }
        PAIR.with_borrow_mut(|pair| pair.hits(&pieces.concat()));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Many words over few characters: nested, overlapping, prefixes of each other, repeated.
    #[test]
    fn agrees_on_generated_words(
        words in prop::collection::btree_set("[飞单做a1]{2,6}", 1..300),
        texts in prop::collection::vec("[飞单做a1 ，]{0,40}", 1..20),
    ) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut pair = Pair::new(&[list(Normalisation::default(), WordOptions::default(), &words)]);
        for text in texts {
            pair.hits(&text);
        }
    }
}

/// Some characters fold to fifteen: more classes than bytes were counted on.
#[test]
fn text_that_grows_when_it_is_folded_hides_nothing() {
    let lists =
        [WordList { normalisation: Normalisation::default(), options: WordOptions::default(), words: vec!["飞单"] }];
    let fast = FastMatcher::compile(&lists).unwrap();
    for count in [1, 2, 3, 230, 5_000] {
        let text = format!("飞单{}飞单", "ﷺ".repeat(count));
        let mut hits = 0;
        fast.find(&text, &mut MatchScratch::default(), &mut |_| {
            hits += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(hits, 2, "{count}");
    }
}
