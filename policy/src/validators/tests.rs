use super::Validator::{BankCard, Email, Mobile, ResidentId, Url, Uscc, WechatId};
use super::*;

/// What a validator finds, cut from the original text.
fn slices(validator: Validator, text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let cut = |found: &Found| chars[found.start as usize..found.end as usize].iter().collect();
    validator.find(text).iter().map(cut).collect()
}

#[test]
fn each_finds_its_own_and_no_near_miss() {
    for (name, validator, text, expected) in [
        ("mobile", Mobile, "打13800001234找我", &["13800001234"][..]),
        ("mobile behind letters", Mobile, "vx13800001234", &["13800001234"]),
        ("mobile in groups", Mobile, "138 0000 1234", &["138 0000 1234"]),
        ("mobile with hyphens", Mobile, "138-0000-1234。", &["138-0000-1234"]),
        ("mobile full width", Mobile, "１３８００００１２３４", &["１３８００００１２３４"]),
        ("mobile circled", Mobile, "号①③⑧⓪⓪⓪⓪①②③④", &["①③⑧⓪⓪⓪⓪①②③④"]),
        ("mobile in Chinese numerals", Mobile, "打一三八零零零零一二三四", &["一三八零零零零一二三四"]),
        ("mobile as it is said", Mobile, "幺三八零零零零幺二三四", &["幺三八零零零零幺二三四"]),
        ("mobile digit by digit", Mobile, "1 3 8 0 0 0 0 1 2 3 4", &["1 3 8 0 0 0 0 1 2 3 4"]),
        ("mobile with emoji", Mobile, "138🎉0000🎉1234", &["138🎉0000🎉1234"]),
        ("mobile with hidden characters", Mobile, "138\u{200B}00001234", &["138\u{200B}00001234"]),
        ("mobile of the country", Mobile, "+8613800001234", &["13800001234"]),
        ("mobile of the country, spaced", Mobile, "+86 138 0000 1234", &["138 0000 1234"]),
        ("mobile by 0086", Mobile, "008613800001234", &["13800001234"]),
        ("two mobiles", Mobile, "13800001234、13900001234", &["13800001234", "13900001234"]),
        ("two mobiles and a space", Mobile, "13800001234 13900001234", &["13800001234", "13900001234"]),
        ("twelve digits", Mobile, "138000012345", &[]),
        ("ten digits", Mobile, "1380000123", &[]),
        ("begins with 12", Mobile, "12800001234", &[]),
        ("landline", Mobile, "02112345678", &[]),
        ("inside a long number", Mobile, "订单20260313800001234", &[]),
        ("three prices", Mobile, "1588 2688 388", &[]),
        ("over a line break", Mobile, "138\n00001234", &[]),
        ("everyday numerals", Mobile, "一二三四五六七八九十一二", &[]),
        ("two digits in one character", Mobile, "13⑩0001234", &[]),
        ("parted by commas", Mobile, "138,0000,1234", &[]),
        ("resident id", ResidentId, "身份证110101199003071233。", &["110101199003071233"]),
        ("resident id with x", ResidentId, "11010119900307002x", &["11010119900307002x"]),
        (
            "resident id with X, full width",
            ResidentId,
            "１１０１０１１９９００３０７００２Ｘ",
            &["１１０１０１１９９００３０７００２Ｘ"],
        ),
        ("resident id in groups", ResidentId, "110101 19900307 1233", &["110101 19900307 1233"]),
        ("resident id of Taiwan", ResidentId, "810000199201020035", &["810000199201020035"]),
        ("born on a leap day", ResidentId, "440304198402290013", &["440304198402290013"]),
        ("born long ago", ResidentId, "310115194910010023", &["310115194910010023"]),
        ("wrong check digit", ResidentId, "110101199003071234", &[]),
        ("wrong x", ResidentId, "11010119900307123X", &[]),
        ("a day that is none", ResidentId, "110101199002301231", &[]),
        ("a province that is none", ResidentId, "990101199003071233", &[]),
        ("nineteen digits", ResidentId, "1101011990030712330", &[]),
        ("a letter behind", ResidentId, "110101199003071233a", &[]),
        ("a letter before", ResidentId, "a110101199003071233", &[]),
        ("card", BankCard, "卡号6222020000111122222", &["6222020000111122222"]),
        ("card in groups", BankCard, "4111 1111 1111 1111", &["4111 1111 1111 1111"]),
        ("card in groups to its end", BankCard, "6222 0200 0011 1122 222", &["6222 0200 0011 1122 222"]),
        ("card in other groups", BankCard, "622202 0000111122222", &["622202 0000111122222"]),
        ("old card", BankCard, "9558800000111122222", &["9558800000111122222"]),
        ("card of fifteen digits", BankCard, "621700001111222", &["621700001111222"]),
        ("Luhn is wrong", BankCard, "6222020000111122223", &[]),
        ("all the same", BankCard, "4444444444444444", &[]),
        ("begins like an order", BankCard, "2100000011112229", &[]),
        ("tracking number", BankCard, "SF6222020000111122222", &[]),
        ("prices", BankCard, "411 1111 111 111111", &[]),
        ("twenty digits", BankCard, "62220200001111222220", &[]),
        ("uscc", Uscc, "税号91110108MA01EXAMPG", &["91110108MA01EXAMPG"]),
        ("uscc in lower case", Uscc, "91110108ma01exampg", &["91110108ma01exampg"]),
        ("uscc full width", Uscc, "９１１１０１０８MA01EXAMPG", &["９１１１０１０８MA01EXAMPG"]),
        ("wrong check character", Uscc, "91110108MA01EXAMPF", &[]),
        ("a letter that is not used", Uscc, "91110108MA01EXAMPO", &[]),
        ("seventeen characters", Uscc, "91110108MA01EXAMP", &[]),
        ("nineteen characters", Uscc, "91110108MA01EXAMPG1", &[]),
        ("e-mail", Email, "发到li.na+x@mail.example.com，谢谢", &["li.na+x@mail.example.com"]),
        ("e-mail full width", Email, "ｌｉ＠example．com", &["ｌｉ＠example．com"]),
        ("e-mail at the end of a sentence", Email, "Write to a@example.com.", &["a@example.com"]),
        ("mention", Email, "@周强 明天十点", &[]),
        ("no domain", Email, "a@localhost", &[]),
        ("digits for a domain", Email, "a@1.2", &[]),
        ("nothing before", Email, "@example.com", &[]),
        ("url", Url, "看https://example.com/p?id=1。", &["https://example.com/p?id=1"]),
        ("url with brackets", Url, "(http://example.com/a)", &["http://example.com/a"]),
        ("url by www", Url, "www.example.museum/x 你好", &["www.example.museum/x"]),
        ("bare url", Url, "上example.vip/ab领", &["example.vip/ab"]),
        ("url full width", Url, "ｈｔｔｐ：／／example．com／a", &["ｈｔｔｐ：／／example．com／a"]),
        ("url in a Chinese sentence", Url, "打开example.com就行", &["example.com"]),
        ("file name", Url, "报价.xlsx report.docx readme.md", &[]),
        ("version", Url, "1.2.3 is out", &[]),
        ("e-mail is no url", Url, "a@example.com", &[]),
        ("end of sentence", Url, "ok.then we go", &[]),
        ("wechat id", WechatId, "加我微信 abc_12345", &["abc_12345"]),
        ("wechat id behind a colon", WechatId, "微信号：zhouqiang88", &["zhouqiang88"]),
        ("wechat id fused", WechatId, "vxabc12345", &["abc12345"]),
        ("wechat id close and of letters", WechatId, "wx: zhouqiang", &["zhouqiang"]),
        ("wechat id by itself", WechatId, "wxid_a1b2c3d4e5", &["wxid_a1b2c3d4e5"]),
        ("wechat id full width", WechatId, "薇信：ａｂｃ１２３４５", &["ａｂｃ１２３４５"]),
        ("no word for WeChat", WechatId, "密码 abc_12345", &[]),
        ("too far", WechatId, "微信上有人问我今天那个活动的编号 abc_12345", &[]),
        ("an English sentence", WechatId, "微信 please call me", &[]),
        ("too short", WechatId, "微信 ab_12", &[]),
        ("begins with a digit", WechatId, "微信 12abcdef", &[]),
        ("e-mail is no id", WechatId, "微信或邮箱 abc123@example.com", &[]),
        ("the word itself", WechatId, "加微信 weixin", &[]),
        ("on the line before", WechatId, "微信\nabc_12345", &[]),
    ] {
        assert_eq!(slices(validator, text), expected, "{name}");
    }
}

#[test]
fn values_are_what_ways_of_writing_have_in_common() {
    for (written, expected) in [
        ("138 0000-1234", "13800001234"),
        ("+86 138 0000 1234", "13800001234"),
        ("0086１３８００００１２３４", "13800001234"),
        ("一三八零零零零一二三四", "13800001234"),
        ("11010119900307002X", "11010119900307002x"),
        ("6222 0200 0011 1122 222", "6222020000111122222"),
        ("Li.Na@Example.com", "li.na@example.com"),
        ("91110108MA01EXAMPG", "91110108ma01exampg"),
        ("@Example.com", "@example.com"),
    ] {
        assert_eq!(value(written), expected, "{written}");
    }
}

#[test]
fn exceptions_stand_for_values_domains_and_hosts() {
    let mut except: Vec<Box<str>> =
        ["138 0000 1234", "@example.com", "example.com"].iter().map(|it| value(it).into()).collect();
    except.sort_unstable();
    for (validator, written, expected) in [
        (Mobile, "13800001234", true),
        (Mobile, "13800001235", false),
        (Email, "anybody@example.com", true),
        (Email, "anybody@sub.example.com", false),
        (Email, "anybody@example.org", false),
        (Url, "https://shop.example.com/x", true),
        (Url, "https://notexample.com/x", false),
        (Url, "https://\u{435}xample.com/x", false),
        (Url, "https://example.com@evil.org/", false),
        (Url, "https://ＥＸＡＭＰＬＥ.com/", true),
        (Email, "anybody@\u{435}xample.com", false),
    ] {
        assert_eq!(is_excepted(validator, written, &except), expected, "{written}");
    }
    assert!(!is_excepted(Mobile, "13800001234", &[]));
}

#[test]
fn hosts_of_addresses() {
    for (url, expected) in [
        ("https://Shop.Example.com:8443/a?b#c", Some("shop.example.com")),
        ("http://user:pass@example.com/", Some("example.com")),
        ("example.com.", Some("example.com")),
        ("www.example.com/a", Some("www.example.com")),
        ("https://example．com/a", Some("example.com")),
        ("https://\u{435}xample.com/", Some("\u{435}xample.com")),
        ("localhost", None),
        ("", None),
        ("http://", None),
    ] {
        assert_eq!(host_of(url).as_deref(), expected, "{url}");
    }
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<&str> = Validator::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(names.len(), Validator::ALL.len());
}

proptest::proptest! {
    #[test]
    fn any_text_has_an_answer(
        text in "(1[3-9][0-9]{9}|62[0-9]{14}|[0-9]{17}[0-9xX]|[ \\-.@]|http://|www.|微信|[a-zA-Z_]{1,8}|[一二①１\u{200B}\n🎉]|\\.com){0,12}",
        other: String,
    ) {
        for text in [text.as_str(), other.as_str()] {
            let chars = text.chars().count() as u32;
            for validator in Validator::ALL {
                let mut last = 0;
                for found in validator.find(text) {
                    proptest::prop_assert!(last <= found.start && found.start < found.end && found.end <= chars);
                    last = found.end;
                }
            }
            let _ = (value(text), host_of(text));
        }
    }

    /// However a number is written, its value is the number.
    #[test]
    fn disguises_of_a_mobile_are_seen_through(digits in "1[3-9][0-9]{9}", forms in proptest::collection::vec(0..5_u32, 11), hidden: bool) {
        let written: String = digits
            .chars()
            .zip(&forms)
            .flat_map(|(digit, form)| {
                let value = digit.to_digit(10).unwrap();
                let shown = match form {
                    1 => char::from_u32(0xFF10 + value).unwrap(),
                    2 if value > 0 => char::from_u32(0x2460 + value - 1).unwrap(),
                    3 => char::from_u32(0x1D7CE + value).unwrap(),
                    4 => ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'][value as usize],
                    _ => digit,
                };
                [Some(shown), hidden.then_some('\u{200B}')].into_iter().flatten()
            })
            .collect();
        let found = slices(Mobile, &format!("打{written}，"));
        proptest::prop_assert_eq!(found.len(), 1, "{}", written);
        proptest::prop_assert_eq!(value(&found[0]), digits);
    }
}

#[test]
fn numerals_beside_a_number_do_not_hide_it() {
    for (validator, text, expected) in [
        (Mobile, "打13800001234一下", Some((1, 12))),
        (Mobile, "周一13800001234", Some((2, 13))),
        (ResidentId, "110101199003071233一共", Some((0, 18))),
        (ResidentId, "1 1 0 1 0 1 1 9 9 0 0 3 0 7 0 0 2 X", Some((0, 35))),
        (ResidentId, "11010119900307002-X", Some((0, 19))),
        (ResidentId, "11010119900307002。X", None),
        (Mobile, "1三8零0001234", Some((0, 11))),
        (Mobile, "一三八零零零零一二三四", Some((0, 11))),
        (Mobile, "138000012345一", None),
        (WechatId, "加我微信 abc_12", Some((5, 11))),
        (WechatId, "微信：wx_zhang88", Some((3, 13))),
        (WechatId, "微信：wxyz88", Some((3, 9))),
        (Url, "看 https://example.com@evil.org/x 吧", Some((2, 32))),
    ] {
        let found = validator.find(text).first().map(|found| (found.start, found.end));
        assert_eq!(found, expected, "{text}");
    }
}
