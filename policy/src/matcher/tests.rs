use super::*;

const ALL: WordOptions = WordOptions { boundary: true, aliases: true, split: true, pinyin: true };

fn list<'a>(words: &[&'a str]) -> WordList<'a> {
    WordList { normalisation: Normalisation::default(), options: WordOptions::default(), words: words.to_vec() }
}

/// All hits, sorted, of each place only the strongest.
fn hits(lists: &[WordList<'_>], text: &str) -> Vec<WordHit> {
    let matcher = PlainMatcher::compile(lists).unwrap();
    let mut hits = Vec::new();
    matcher.find(text, &mut MatchScratch::default(), &mut |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    });
    hits.sort_unstable();
    hits.dedup_by_key(|hit| (hit.list, hit.word, hit.start, hit.end));
    hits
}

fn slice(text: &str, hit: &WordHit) -> String {
    text.chars().skip(hit.start as usize).take((hit.end - hit.start) as usize).collect()
}

fn slices(lists: &[WordList<'_>], text: &str) -> Vec<String> {
    hits(lists, text).iter().map(|hit| slice(text, hit)).collect()
}

/// One technique of disguise: a text in which the word must be found, where and how, and a near miss.
struct Technique {
    name: &'static str,
    word: &'static str,
    options: WordOptions,
    text: &'static str,
    found: &'static str,
    channel: Channel,
    near_miss: &'static str,
}

#[test]
fn techniques_of_disguise() {
    let usual = WordOptions::default();
    let row = |name, word, text, found, channel, near_miss| Technique {
        name,
        word,
        options: usual,
        text,
        found,
        channel,
        near_miss,
    };
    let with = |options, technique| Technique { options, ..technique };
    let split = WordOptions { split: true, ..usual };
    let pinyin = WordOptions { pinyin: true, ..usual };
    for technique in [
        row("none", "飞单", "做飞单吧", "飞单", Channel::Exact, "飞来的单"),
        row("1 case", "weixin", "加WeiXin号", "WeiXin", Channel::Folded, "加WeiXing号"),
        row("2 width", "vx号138", "ＶＸ号１３８", "ＶＸ号１３８", Channel::Folded, "ＶＸ号１３"),
        row("3 traditional", "转账", "請轉賬", "轉賬", Channel::Folded, "請轉張"),
        row("3 traditional in the word", "轉賬", "请转账", "转账", Channel::Folded, "请转张"),
        row("4 compatibility ideograph", "金价", "⾦价", "⾦价", Channel::Folded, "⾧价"),
        row("4 radical", "飞单", "⻜单", "⻜单", Channel::Folded, "⻚单"),
        row("5 circled digits", "打12315", "打①②③①⑤", "①②③①⑤", Channel::Folded, "打①②③①⑥").without_first(),
        row("5 cheque numerals", "12315", "壹贰叁壹伍", "壹贰叁壹伍", Channel::Folded, "壹贰叁壹陆"),
        row("5 Chinese numerals in a number", "12315", "拨一二三一五", "一二三一五", Channel::Folded, "一二三，一二四"),
        row("5 a numeral is no digit in everyday talk", "11选5", "11选五", "11选五", Channel::Folded, "一一选吴"),
        row("5 two numerals are everyday talk", "11月", "11月", "11月", Channel::Exact, "一一月"),
        row("5 a numeral before a digit", "第1", "第一2号", "第一", Channel::Folded, "第一号"),
        row("5 a numeral behind a digit", "1号", "2一号", "一号", Channel::Folded, "十一号"),
        row("12 of a longer run the nearest", "飞单", "飛飞单", "飞单", Channel::Exact, "飛来单"),
        row("5 digit for a numeral", "下三滥", "下3滥", "下3滥", Channel::Folded, "下4滥"),
        row("5 Roman digit", "第4号", "第Ⅳ号", "第Ⅳ号", Channel::Folded, "第Ⅴ号"),
        row("5 two digits in one sign", "10倍收益", "⑩倍收益", "⑩倍收益", Channel::Folded, "⑪倍收益"),
        row("6 letters in circles and squares", "vx", "加Ⓥ🅇号", "Ⓥ🅇", Channel::Folded, "加Ⓥ🅈号"),
        row("6 letters beyond the basic plane", "vx", "加𝐕𝓧号", "𝐕𝓧", Channel::Folded, "加𝐕𝓨号"),
        row("6 small capitals and look-alikes", "vx", "加ᴠх号", "ᴠх", Channel::Folded, "加ᴠᴢ号"),
        row("7 ASCII punctuation", "飞单", "飞.-单", "飞.-单", Channel::Skipped, "飞.....单"),
        row(
            "7 eight in all",
            "不走公司",
            "不...走...公..司",
            "不...走...公..司",
            Channel::Skipped,
            "不...走...公...司",
        ),
        row("8 spaces", "飞单", "飞 　单", "飞 　单", Channel::Skipped, "飞\n单"),
        row("9 Chinese symbols", "飞单", "飞￥【单", "飞￥【单", Channel::Skipped, "飞￥【人】单"),
        row(
            "10 zero width",
            "飞单",
            "飞\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}单",
            "飞\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}单",
            Channel::Skipped,
            "飞\u{200B}",
        ),
        row("10 combining marks", "飞单", "飞\u{336}单\u{336}", "飞\u{336}单", Channel::Skipped, "飞\u{336}"),
        row("11 emoji", "飞单", "飞🎉单", "飞🎉单", Channel::Skipped, "飞🎉🎉🎉🎉🎉单"),
        row("12 repeats", "绕开公司", "绕绕开开开公公司司", "绕开开开公公司", Channel::Skipped, "绕开开开开开开公司"),
        row("12 natural repeats", "嘻嘻哈哈", "嘻嘻哈哈", "嘻嘻哈哈", Channel::Exact, "嘻哈"),
        row("12 natural repeats in disguise", "嘻嘻哈哈", "嘻嘻嘻-哈哈哈", "嘻嘻-哈哈", Channel::Skipped, "嘻嘻哈"),
        row("12 a run alone", "哈哈", "哈哈哈", "哈哈", Channel::Exact, "哈"),
        row("12 no repeats in Latin", "lose", "I lose it", "lose", Channel::Exact, "I loose it"),
        with(
            pinyin,
            row("13 pinyin", "加我微信", "jia wo wei xin 吧", "jia wo wei xin", Channel::Pinyin, "jia wo wei xing"),
        ),
        with(
            pinyin,
            row(
                "13 pinyin run together",
                "加我微信",
                "请jiawoweixin吧",
                "jiawoweixin",
                Channel::Pinyin,
                "请jiawoweixing吧",
            ),
        ),
        with(pinyin, row("14 homophones", "加我威信", "家窝巍芯", "家窝巍芯", Channel::Pinyin, "家窝巍星")),
        row("14 homophone alias", "加我微信", "加我薇信", "加我薇信", Channel::Alias, "加我威望"),
        row("15 look-alike alias", "加我微信", "加我徽信", "加我徽信", Channel::Alias, "加我徽章"),
        with(split, row("16 taken apart", "张经理", "弓长经理", "弓长经理", Channel::Split, "弓经理")),
        with(split, row("16 two taken apart", "信张", "亻言弓长", "亻言弓长", Channel::Split, "亻言弓")),
        row("17 emoji for a word", "加我微信", "加我威❤️", "加我威❤", Channel::Alias, "加我威🎉"),
        row("17 sign for a word", "加微信", "➕VX", "➕VX", Channel::Alias, "✖VX"),
        row("18 abbreviation", "加我微信", "加我vx：abc", "加我vx", Channel::Alias, "加我vxyz"),
        row("18 abbreviation in disguise", "加我微信", "加我Ｖ-x", "加我Ｖ-x", Channel::Alias, "加我V-y"),
    ] {
        let Technique { name, word, options, text, found, channel, near_miss } = technique;
        let lists = [WordList { options, ..list(&[word]) }];
        let found_hits = hits(&lists, text);
        let [hit] = found_hits[..] else { panic!("{name}: {found_hits:?} in {text}") };
        assert_eq!((slice(text, &hit).as_str(), hit.channel), (found, channel), "{name}");
        let hidden = found.chars().any(|c| crate::normalise::is_zero_width(c) || c == '\u{336}');
        assert_eq!(hit.obfuscated, hidden, "{name}");
        assert_eq!(slices(&lists, near_miss), Vec::<String>::new(), "{name}: near miss");
    }
}

impl Technique {
    /// The word without its first character: for words that only show where the near miss differs.
    fn without_first(self) -> Self {
        Self { word: &self.word[self.word.chars().next().map_or(0, char::len_utf8)..], ..self }
    }
}

#[test]
fn boundaries() {
    for (name, word, boundary, text, found) in [
        ("letter at the end", "vx", true, "vxyz", false),
        ("letter at the start", "vx", true, "avx", false),
        ("digit beside a letter", "vx", true, "1vx2", true),
        ("full width letter", "vx", true, "ｖｘｙ", false),
        ("space is a boundary", "vx", true, "a vx y", true),
        ("hidden characters are none", "vx", true, "vx\u{200B}y", false),
        ("Han is a boundary", "vx", true, "加vx号", true),
        ("digits", "69", true, "695", false),
        ("digits", "69", true, "在69号", true),
        ("Han at the end of the word", "a弹药", true, "a弹药b", true),
        ("turned off", "vx", false, "avxyz", true),
        ("numeral beside a number", "12315", true, "打12315一下", true),
        ("run of a digit", "11", true, "111", false),
        ("run of a digit with a gap", "11", true, "1 11", true),
    ] {
        let options = WordOptions { boundary, ..WordOptions::default() };
        assert_eq!(!hits(&[WordList { options, ..list(&[word]) }], text).is_empty(), found, "{name}: {text}");
    }
}

#[test]
fn what_an_author_wrote_into_a_word_is_no_disguise() {
    let twelve = "a b c d e f g h i j k l";
    assert_eq!(hits(&[list(&[twelve])], twelve)[0].channel, Channel::Exact);
    assert_eq!(hits(&[list(&["add my WeChat"])], "add my WeChat now")[0].channel, Channel::Exact);
    assert_eq!(hits(&[list(&["add my WeChat"])], "addmywechat")[0].channel, Channel::Folded);
    assert_eq!(slices(&[list(&["飞单"])], " 飞单!"), ["飞单"], "noise around is not part");
}

#[test]
fn overlapping_and_nested_words_all_hit() {
    assert_eq!(slices(&[list(&["保本", "保本保收益", "本保"])], "保本保收益"), ["保本", "保本保收益", "本保"]);
}

#[test]
fn one_word_in_several_lists_hits_in_each() {
    let exact = WordList { normalisation: Normalisation::EXACT, ..list(&["保本"]) };
    let ids: Vec<_> = hits(&[list(&["保本", "保-本"]), exact, list(&["保本"])], "保本")
        .iter()
        .map(|hit| (hit.list, hit.word))
        .collect();
    assert_eq!(ids, [(0, 0), (0, 1), (1, 0), (2, 0)]);
}

#[test]
fn lists_fold_by_their_own_options() {
    let symbols =
        WordList { normalisation: Normalisation { noise: false, ..Normalisation::default() }, ..list(&["c++"]) };
    assert_eq!(slices(&[symbols, list(&["保本"])], "C＋＋保.本"), ["C＋＋", "保.本"]);
    let plain = WordOptions { aliases: false, ..WordOptions::default() };
    assert!(hits(&[WordList { options: plain, ..list(&["加我微信"]) }], "加我vx").is_empty());
}

#[test]
fn two_letters_alone_are_no_alias() {
    assert_eq!(slices(&[list(&["发票", "发票点数"])], "fp fp点数 发piao"), ["发piao", "fp点数"]);
}

#[test]
fn useless_words_are_refused() {
    let check = |word: &str| check_word(word, Normalisation::default(), WordOptions::default());
    for (word, error) in [
        ("", WordError::FoldsToNothing),
        ("！？ ", WordError::FoldsToNothing),
        ("C++", WordError::SingleCharacter),
        ("a\nb", WordError::LineBreak),
    ] {
        assert_eq!(check(word), Err(error), "{word:?}");
    }
    assert_eq!(check(&"长".repeat(65)), Err(WordError::TooLong));
    assert_eq!(check(&"长".repeat(64)), Ok(()));
    for (word, result) in [
        ("微信", Err(WordError::TooShortForPinyin)),
        ("加vx号", Err(WordError::TooShortForPinyin)),
        ("加微信", Ok(())),
        ("第一名", Ok(())),
    ] {
        assert_eq!(check_word(word, Normalisation::default(), ALL), result, "{word}");
    }
}

#[test]
fn a_sink_can_stop() {
    let matcher = PlainMatcher::compile(&[list(&["哈啊"])]).unwrap();
    let mut seen = 0;
    matcher.find(&"哈啊".repeat(100), &mut MatchScratch::default(), &mut |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(seen, 3);
}

#[test]
fn a_text_of_numerals_costs_no_square() {
    let words = ["12", "21", "1212", "11"];
    assert!(hits(&[list(&words)], &"一二".repeat(200_000)).len() > 1);
    assert!(hits(&[list(&words)], &"一".repeat(400_000)).is_empty());
}

#[test]
fn no_lists_no_hits() {
    assert!(hits(&[], "保本").is_empty());
}

/// What is right for words as they are written, said the slow way: every word at every place.
mod reference {
    use super::*;
    use crate::normalise::{Step, fold, is_chinese_numeral};

    #[derive(Clone, Copy, PartialEq)]
    struct Char {
        folded: char,
        original: char,
        at: usize,
    }

    /// Runs of folded characters, and where noise stands.
    struct Runs {
        runs: Vec<Vec<Char>>,
        noise: Vec<usize>,
    }

    impl Runs {
        fn of(text: &str, normalisation: Normalisation) -> Self {
            let (mut runs, mut noise): (Vec<Vec<Char>>, Vec<usize>) = (Vec::new(), Vec::new());
            for (at, original) in text.chars().enumerate() {
                let kept = match fold(original, normalisation, &[]) {
                    Step::Keep(folded) => vec![folded],
                    Step::Several(several) => several,
                    Step::Noise => {
                        noise.push(at);
                        continue;
                    }
                    Step::Hidden => continue,
                };
                for folded in kept {
                    let char = Char { folded, original, at };
                    match runs.last_mut() {
                        Some(run) if normalisation.repeats && run[0].folded == folded => run.push(char),
                        _ => runs.push(vec![char]),
                    }
                }
            }
            Self { runs, noise }
        }

        fn noise_between(&self, from: Char, to: Char) -> usize {
            self.noise.iter().filter(|at| (from.at..to.at).contains(*at)).count()
        }
    }

    /// All places of all words of a list.
    pub(super) fn places(list: &WordList<'_>, text: &str) -> Vec<(u32, u32, u32)> {
        let text = Runs::of(text, list.normalisation);
        let mut places = Vec::new();
        for (number, word) in (0..).zip(&list.words) {
            let word = Runs::of(word, list.normalisation);
            for first in 0..text.runs.len() {
                let Some(runs) = text.runs.get(first..first + word.runs.len()) else { continue };
                let alone = word.runs.len() == 1;
                let mut skip = 0;
                while skip == 0 || alone && skip < runs[0].len() {
                    let place = at(&word, &text, first, skip, list.options.boundary);
                    skip += if place.is_some() { word.runs[0].len() } else { 1 };
                    places.extend(place.map(|(start, end)| (number, start as u32, end as u32 + 1)));
                }
            }
        }
        places.sort_unstable();
        places
    }

    /// Whether the word stands at a run; `skip` is how many of a run alone come before.
    fn at(word: &Runs, text: &Runs, first: usize, skip: usize, boundary: bool) -> Option<(usize, usize)> {
        let last = word.runs.len() - 1;
        let mut used: Vec<Vec<Char>> = Vec::new();
        for (number, run) in word.runs.iter().enumerate() {
            let seen = &text.runs[first + number];
            let extra = seen.len().checked_sub(run.len()).filter(|_| seen[0].folded == run[0].folded)?;
            used.push(match number {
                0 if last == 0 => seen.get(skip..skip + run.len())?.to_vec(),
                0 => seen[extra..].to_vec(),
                _ if number == last => seen[..run.len()].to_vec(),
                _ if extra > 0 && run[0].folded.is_ascii_alphanumeric() => return None,
                _ => seen.clone(),
            });
        }
        let lens: Vec<usize> = word.runs.iter().map(Vec::len).collect();
        let ((noise, step), (own, own_step)) = (inserted(text, &used, &lens), inserted(word, &word.runs, &lens));
        let flat: Vec<Char> = used.iter().flatten().copied().collect();
        let fits = noise <= own + 8
            && step <= own_step + 4
            && (!boundary || bounded(text, flat[0], flat[flat.len() - 1]))
            && numerals(word, text, &used, first);
        fits.then_some((flat[0].at, flat[flat.len() - 1].at))
    }

    /// Inserted characters in all, and the most in one step. A step leads from one run to the next.
    fn inserted(text: &Runs, used: &[Vec<Char>], lens: &[usize]) -> (usize, usize) {
        let (mut all, mut most) = (0, 0);
        for (number, run) in used.iter().enumerate() {
            let extra = run.len() - lens[number];
            let end = used.get(number + 1).map_or(run[run.len() - 1], |next| next[0]);
            let step = text.noise_between(run[0], end) + extra;
            all += step;
            most = most.max(step);
        }
        (all, most)
    }

    fn bounded(text: &Runs, first: Char, last: Char) -> bool {
        let chars: Vec<Char> = text.runs.iter().flatten().copied().collect();
        let kind = |c: Char| {
            (c.folded.is_ascii_alphanumeric() && !is_chinese_numeral(c.original)).then(|| c.folded.is_ascii_digit())
        };
        chars.windows(2).all(|pair| {
            let edge = pair[1] == first || pair[0] == last;
            let joined =
                text.noise_between(pair[0], pair[1]) == 0 && kind(pair[0]).is_some() && kind(pair[0]) == kind(pair[1]);
            !edge || !joined
        })
    }

    fn numerals(word: &Runs, text: &Runs, used: &[Vec<Char>], first: usize) -> bool {
        let plain = |c: &Char| c.original.is_numeric() && !is_chinese_numeral(c.original);
        let letters: Vec<Char> = word.runs.iter().flatten().copied().collect();
        let mut stands_in = false;
        for (own, seen) in word.runs.iter().zip(used) {
            stands_in |= own.iter().zip(seen).any(|(own, seen)| plain(own) && is_chinese_numeral(seen.original));
        }
        let chars: Vec<&Char> = text.runs.iter().flatten().collect();
        let end = first + used.len();
        let (start, stop) =
            (chars.iter().position(|c| **c == used[0][0]).unwrap(), used[end - first - 1].last().unwrap());
        let stop = chars.iter().rposition(|c| *c == stop).unwrap() + 1;
        let digit = |c: &&&Char| c.folded.is_ascii_digit();
        let before = chars[..start].iter().rev().take_while(digit).take(20);
        let row = before
            .chain(chars[start..stop].iter().filter(digit))
            .chain(chars[stop..].iter().take_while(digit).take(20));
        !stands_in || letters.iter().filter(|c| plain(c)).count() >= 3 || row.copied().any(plain)
    }
}

fn options() -> impl proptest::strategy::Strategy<Value = (Normalisation, bool)> {
    use proptest::strategy::Strategy;
    (proptest::array::uniform7(proptest::bool::weighted(0.8)), proptest::bool::ANY).prop_map(|(on, boundary)| {
        let [width, case, script, variants, zero_width, noise, repeats] = on;
        (Normalisation { width, case, script, variants, zero_width, noise, repeats }, boundary)
    })
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(1_000))]

    #[test]
    fn agrees_with_the_reference(
        text in "([保本险aAＡbİß12]|[保本保本保本]|[一二貳轉转①⑩Ⅳ]|[. 🎉　]|\u{200B}|\n){0,40}",
        words in proptest::collection::vec("[保本险aAＡbß12一二转⑩. \u{200B}]{1,6}", 0..12),
        (normalisation, boundary) in options(),
    ) {
        let options = WordOptions { boundary, aliases: false, ..WordOptions::default() };
        let words = words.iter().map(String::as_str).filter(|word| check_word(word, normalisation, options).is_ok()).collect();
        let list = WordList { normalisation, options, words };
        let found: Vec<_> = hits(std::slice::from_ref(&list), &text).iter().map(|hit| (hit.word, hit.start, hit.end)).collect();
        proptest::prop_assert_eq!(found, reference::places(&list, &text));
    }

    #[test]
    fn a_hit_folds_again_to_its_word(
        text in "([加我薇信vxVX微亻言jiawoei❤]|[.🎉]|\u{200B}|加我微信|加我Vx){0,20}",
    ) {
        let words = ["加我微信", "我信", "加我", "信vx"];
        for hit in hits(&[list(&words)], &text) {
            proptest::prop_assert!(hit.start < hit.end && hit.end as usize <= text.chars().count());
            let slice = slice(&text, &hit);
            // The slice alone is the same word, from its first to its last character.
            let again = hits(&[list(&words)], &slice);
            proptest::prop_assert!(
                again.iter().any(|same| (same.word, same.start, same.end as usize, same.channel) == (hit.word, 0, slice.chars().count(), hit.channel)),
                "{:?} {:?}", slice, again
            );
        }
    }

    #[test]
    fn any_text_can_be_searched(text: String, word: String) {
        hits(&[WordList { options: WordOptions { pinyin: false, ..ALL }, ..list(&["保本", "ab", "加我微信"]) }], &text);
        hits(&[WordList { options: ALL, ..list(&["加我微信"]) }], &text);
        let _ = check_word(&word, Normalisation::default(), ALL);
    }
}
