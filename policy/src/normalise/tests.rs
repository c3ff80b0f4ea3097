use super::*;

fn fold(text: &str) -> String {
    Folded::of(text, Normalisation::default()).text().to_owned()
}

#[test]
fn folds() {
    for (name, text, expected) in [
        ("width", "ＶＸ１２３", "vx123"),
        ("case", "WeiXin ÄÖ", "weixinäö"),
        ("ideographic space", "保　本", "保本"),
        ("zero-width", "飞\u{200B}\u{2060}\u{202E}单\u{FE0F}", "飞单"),
        ("combining marks", "v\u{336}x\u{20E3}", "vx"),
        ("noise", "飞-单，保🎉本 ￥", "飞单保本"),
        ("line breaks stay, a row of them is one", "飞\r\n单", "飞\n单"),
        ("two-character lower case", "İ", "i"),
        ("traditional", "轉賬給臺灣", "转账给台湾"),
        ("compatibility ideographs", "⾦⼯", "金工"),
        ("radicals", "⻜⻋", "飞车"),
        ("circled and bracketed digits", "①⑵⒊❹➄➏⑦⓼", "12345678"),
        ("superscript, Roman, enclosed Han", "⁸㈤Ⅳ", "854"),
        ("cheque numerals", "壹貳叁〇", "1230"),
        ("letters of all kinds", "Ⓥ𝐕ᴠⓍ🅧х", "vx"),
        ("one sign for several characters", "㎏½ﬁ", "kg12fi"),
        ("repeats", "飞飞单单单", "飞单"),
    ] {
        assert_eq!(fold(text), expected, "{name}");
    }
}

#[test]
fn each_option_can_be_turned_off() {
    let all = Normalisation::default();
    for (options, text, expected) in [
        (Normalisation { width: false, ..all }, "Ａa", "ａa"),
        (Normalisation { case: false, ..all }, "Aａ", "Aa"),
        (Normalisation { script: false, ..all }, "轉①", "轉1"),
        (Normalisation { variants: false, ..all }, "轉①一Ａ", "转①一a"),
        (Normalisation { zero_width: false, ..all }, "a\u{200B}b", "a\u{200B}b"),
        (Normalisation { noise: false, ..all }, "C＋- !", "c+- !"),
        (Normalisation { repeats: false, ..all }, "c++飞飞", "c飞飞"),
        (Normalisation::EXACT, "Ａ-\u{200B}bb轉①", "Ａ-\u{200B}bb轉①"),
    ] {
        assert_eq!(Folded::of(text, options).text(), expected, "{text}");
    }
}

#[test]
fn the_map_leads_back_to_the_original() {
    // Original characters: 0 x, 1 飞, 2 -, 3 U+200B, 4 飞, 5 🎉, 6 ⑩, 7 单.
    let folded = Folded::of("x飞-\u{200B}飞🎉⑩单", Normalisation::default());
    assert_eq!(folded.text(), "x飞10单");
    let runs: Vec<_> = (0..folded.chars()).map(|char| folded.run(char).unwrap()).collect();
    assert_eq!(runs, [0..1, 1..3, 3..4, 4..5, 5..6]);
    let places: Vec<_> = (0..folded.occurrences())
        .map(|at| folded.occurrence(at).map(|o| (o.start, o.end, o.noise, o.hidden)).unwrap())
        .collect();
    assert_eq!(places, [(0, 1, 0, 0), (1, 2, 0, 0), (4, 5, 1, 1), (6, 7, 2, 1), (6, 7, 2, 1), (7, 8, 2, 1)]);
    assert_eq!(folded.chars_of(1..4), Some(1..2));
    assert_eq!(folded.chars_of(4..9), Some(2..5));
    assert_eq!(folded.chars_of(2..4), None, "inside a character");
    assert_eq!(folded.chars_of(1..1), None, "empty");
    assert_eq!(folded.chars_of(4..99), None, "beyond the end");
}

#[test]
fn several_characters_become_one_syllable() {
    let mut folded = Folded::default();
    folded.fold_to_syllables("加 WeiXin,x一", &mut Folded::default());
    let places: Vec<_> =
        (0..folded.occurrences()).map(|at| folded.occurrence(at).map(|o| (o.start, o.end)).unwrap()).collect();
    assert_eq!(places, [(0, 1), (2, 5), (5, 8), (9, 10), (10, 11)]);
    let mut spoken = Folded::default();
    spoken.fold_to_syllables("家薇芯x伊", &mut Folded::default());
    assert_eq!(folded.text(), spoken.text());
}

#[test]
fn every_stretch_says_what_became_of_it() {
    let said: Vec<(String, String, Became)> = pieces("保 \u{200B}本Ａ級", Normalisation::default())
        .into_iter()
        .map(|piece| (piece.text, piece.folded, piece.became))
        .collect();
    let piece = |text: &str, folded: &str, became| (text.to_owned(), folded.to_owned(), became);
    let expected = [
        piece("保", "保", Became::Kept),
        piece(" ", "", Became::Skipped),
        piece("\u{200B}", "", Became::Hidden),
        piece("本", "本", Became::Kept),
        piece("Ａ級", "a级", Became::Folded),
    ];
    assert_eq!(said, expected);
}
