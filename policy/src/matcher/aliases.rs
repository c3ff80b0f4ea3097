//! What people write instead of a term: abbreviations, sound-alikes, look-alikes, emoji. Only for what this product looks for, and
//! only what nobody writes by accident where a longer phrase surrounds it.

use std::sync::OnceLock;

use crate::normalise::{Normalisation, Step, fold};

/// Terms in folded form, and their aliases as they are typed.
const ALIASES: &[(&str, &[&str])] = &[
    (
        "微信",
        &[
            "vx",
            "wx",
            "v信",
            "w信",
            "薇信",
            "威信",
            "维信",
            "徽信",
            "微芯",
            "薇芯",
            "微x",
            "微伈",
            "胃信",
            "喂信",
            "围信",
            "v❤",
            "威❤",
            "薇❤",
            "微❤",
            "weixin",
            "wechat",
            "绿泡泡",
            "绿色软件",
            "vxin",
        ],
    ),
    ("支付宝", &["zfb", "支付bao", "支fu宝", "知付宝", "吱付宝", "支付寳", "alipay", "蓝色软件"]),
    ("银行卡", &["yhk", "银行咔", "银行ka", "💳"]),
    ("红包", &["🧧", "hongbao", "红苞", "洪包"]),
    ("转账", &["转帐", "zhuanzhang", "转z"]),
    ("加", &["➕", "+", "╋", "嘉", "伽", "jia"]),
    ("电话", &["☎", "📞", "📱", "dianhua", "电hua"]),
    ("手机", &["📱", "shouji", "手ji"]),
    ("公司", &["gs", "公si", "gong司", "公😴", "🏢"]),
    ("钱", &["💰", "💵", "qian", "毛爷爷"]),
    ("现金", &["💵", "xianjin", "xj"]),
    ("返点", &["返d", "fandian", "fan点"]),
    ("回扣", &["huikou", "回kou", "h扣", "回叩"]),
    ("飞单", &["feidan", "飞dan", "fei单", "✈单", "飛単"]),
    ("发票", &["fapiao", "发piao", "fp", "發嘌", "发漂"]),
    ("赌博", &["睹博", "du博", "赌bo", "dubo"]),
    ("股票", &["gupiao", "股piao", "古票", "gp"]),
    ("群", &["裙", "qun"]),
    ("qq", &["扣扣", "🐧", "企鹅号", "叩叩"]),
    ("私下", &["si下", "丝下"]),
    ("私人", &["si人", "丝人"]),
    ("保本", &["bao本", "baoben", "包本"]),
];

/// The term that a folded text begins with, and its aliases. No term begins with another.
pub(super) fn term_at(folded: &str) -> Option<(&'static str, &'static [&'static str])> {
    ALIASES.iter().find(|(term, _)| folded.starts_with(term)).copied()
}

/// The characters that aliases are written with although they are noise elsewhere, sorted.
pub(super) fn symbols() -> &'static [char] {
    static SYMBOLS: OnceLock<Vec<char>> = OnceLock::new();
    SYMBOLS.get_or_init(|| {
        let typed = ALIASES.iter().flat_map(|(_, aliases)| aliases.iter()).flat_map(|alias| alias.chars());
        let mut symbols: Vec<char> = typed.filter(|c| fold(*c, Normalisation::default(), &[]) == Step::Noise).collect();
        symbols.sort_unstable();
        symbols.dedup();
        symbols
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::Folded;

    #[test]
    fn terms_are_folded_and_aliases_differ_from_them() {
        for (term, aliases) in ALIASES {
            let fold =
                |text| Folded::of(text, Normalisation { repeats: false, ..Normalisation::default() }).text().to_owned();
            assert_eq!(fold(term), *term);
            for alias in *aliases {
                assert_ne!(fold(alias), *term, "{alias} needs no entry: folding finds it");
                assert_eq!(aliases.iter().filter(|other| *other == alias).count(), 1, "{alias}");
            }
        }
    }

    #[test]
    fn no_term_begins_with_another() {
        for (term, _) in ALIASES {
            assert_eq!(ALIASES.iter().filter(|(other, _)| term.starts_with(other)).count(), 1, "{term}");
        }
        assert!(term_at("你好").is_none());
    }
}
