use super::*;
use crate::packs;
use crate::rules::Pack;

fn time(ms: i64) -> String {
    format!("T{ms}")
}

fn hostile() -> String {
    "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'\u{202e}\u{1b}[31m&amp;".to_owned()
}

/// Every text of the page is the same.
fn page(word: &str) -> MyData {
    let text = || word.to_owned();
    MyData {
        account: text(),
        made_ms: 1,
        watched: Some(Watched { folders: vec![(text(), text())], managed: true, never: Some(3), is_never: false }),
        rules: Some(vec![Category {
            name: text(),
            rules: vec![RuleShown { title: (text(), text()), level: text(), disclose: text(), trial: true }],
            confidential: 2,
            words: 40,
        }]),
        who: vec![text()],
        notice: Some(Notice { version: 7, digest: text(), text: text(), acknowledged_ms: None }),
        sent: vec![Sent {
            at_ms: 5,
            msgtime_ms: 6,
            title: (text(), text()),
            category: text(),
            level: text(),
            disclose: text(),
            excerpt: text(),
            receipted: Some(false),
            withdrawn: true,
        }],
        sent_total: 9,
        mentioned: 4,
        days: vec![Day { day_ms: 8, sent: 1, received: 2, flagged: 1 }],
    }
}

#[test]
fn hostile_text_stays_text_everywhere() {
    let page = page(&hostile());
    let html = html(&page, &time);
    for forbidden in ["<script", "<img", "\u{202e}", "\u{1b}"] {
        assert!(!html.contains(forbidden), "{forbidden:?}");
    }
    assert!(html.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count() > 20, "it is shown, in both languages");
    assert!(html.contains("&amp;amp;"), "an entity is shown as it was written");
    // Nothing of it is markup: the tags are those of an empty page, repeated.
    let tags = |html: &str| html.match_indices('<').count();
    assert_eq!(tags(&html), tags(&super::html(&self::page("x"), &time)));
    for lang in [Lang::Zh, Lang::En] {
        let text = text(&page, lang, &time);
        assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text:?}");
    }
}

#[test]
fn the_page_says_all_of_it_in_both_languages_without_a_script() {
    let mut page = page("内容");
    page.sent[0].level = "high".into();
    page.sent[0].disclose = "masked".into();
    let html = html(&page, &time);
    for said in [
        "检查什么",
        "从不检查什么",
        "按哪些规则检查",
        "谁能看到",
        "告知书",
        "过去 90 天",
        "What is never looked at",
        "By which rules",
        "另有 3 个账号",
        "另有 2 条规则使用保密词表（共 40 个词）",
        "共 9 条记录",
        "列出最新的 1 条",
        "另有 4 条关于他人",
        "尚未发出 · 已撤回",
        "您尚未确认阅读",
        "只上报命中的词",
        "class=\"level high\"",
        "第 7 版",
    ] {
        assert!(html.contains(said), "{said}");
    }
    for fetched in ["http:", "https:", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!html.contains(fetched), "{fetched}");
    }
    assert!(html.find("class=\"zh\"").unwrap() < html.find("class=\"en\"").unwrap(), "Chinese comes first");
    page.notice.iter_mut().for_each(|notice| notice.acknowledged_ms = Some(77));
    (page.rules, page.watched) = (None, None);
    let text = text(&page, Lang::Zh, &time);
    for said in ["您已于 T77 确认阅读", "本页由采集端生成", "存档主机"] {
        assert!(text.contains(said), "{said}\nnot in\n{text}");
    }
}

#[test]
fn confidential_lists_are_only_counted() {
    let pack = "pack: own\nversion: 1\ntitle: { zh: 自有, en: Own }\nrules:\n  - id: own.secret\n    title: { zh: 保密项目, en: Secret project }\n    \
        category: confidentiality\n    level: high\n    status: live\n    detection:\n      code: { words: [蓝鲸计划, 白鲸计划], confidential: true }\n      \
        condition: code\n    disclose: context\n  - id: own.open\n    title: { zh: 公开规则, en: Open rule }\n    category: confidentiality\n    level: low\n    \
        status: shadow\n    detection:\n      word: { words: [内部资料] }\n      condition: word\n    disclose: context\n";
    let pack = Pack::parse("own.yaml", pack.as_bytes(), &BTreeMap::new()).unwrap();
    let engine = Engine::compile(vec![pack], None).unwrap();
    let shown = categories(&engine, Disclose::Masked);
    assert_eq!((shown.len(), shown[0].confidential, shown[0].words), (1, 1, 2));
    assert_eq!(shown[0].rules.len(), 1);
    let rule = &shown[0].rules[0];
    assert_eq!(
        (&*rule.title.0, &*rule.disclose, rule.trial),
        ("公开规则", "masked", true),
        "no more than the device lets it"
    );
    let data = MyData { rules: Some(shown), ..MyData::default() };
    let all = html(&data, &time)
        + &text(&data, Lang::Zh, &time)
        + &text(&data, Lang::En, &time)
        + &serde_json::to_string(&data).unwrap();
    for secret in ["蓝鲸", "白鲸", "保密项目", "Secret project", "own.secret"] {
        assert!(!all.contains(secret), "{secret}");
    }
    assert_eq!(
        titled(&engine, "own", "own.secret"),
        Some(Default::default()).map(|title| (title, "confidentiality".into()))
    );
    assert_eq!(titled(&engine, "own", "own.open").unwrap().0.1, "Open rule");
    assert_eq!(titled(&engine, "own", "own.gone"), None);
}

#[test]
fn every_category_that_ships_has_a_chinese_name() {
    let packs = packs::ids().map(|id| packs::by_id(id).unwrap().unwrap()).collect();
    for category in categories(&Engine::compile(packs, None).unwrap(), Disclose::Context) {
        assert_ne!(words::category_word(Lang::Zh, &category.name), category.name);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_ever_markup(word in ".{0,40}", tag in "[<>&\"'a-z=/ ]{0,40}") {
        let tags = |html: &str| html.match_indices('<').count();
        let plain = tags(&html(&page("x"), &time));
        for word in [word, tag] {
            let html = html(&page(&word), &time);
            // A text that is empty leaves out its own line, and no more.
            proptest::prop_assert!(tags(&html) <= plain);
            proptest::prop_assert!(tags(&html) == plain || word.is_empty());
            proptest::prop_assert!(!text(&page(&word), Lang::Zh, &time).contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}
