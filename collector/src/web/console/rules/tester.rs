//! The tester: a text and what the rules say of it, marked where it hits. It is made anew as one types; nothing of it is kept.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;

use super::{both, pack};
use crate::operators::Act;
use crate::rulebook::Both;
use crate::web::api::rules::{self as packs, OfPolicy};
use crate::web::api::tester::{self, Piece, TYPES, Tried, TriedHit, Try, Verdict};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Table, Tone, badge};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form, page};

/// Fields of the form, the text as each character of it may be written.
const BYTES_MAX: usize = 512 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/rules/test", Act::SeeRules, ("Try a text", "规则试验台"), show),
        form("/rules/test", Act::SeeRules, ("Try a text", "规则试验台"), attempt).with_files(BYTES_MAX),
    ]
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    text: String,
    group: String,
    pack: String,
    rule: String,
    from: String,
    to: String,
    #[serde(rename = "type")]
    msgtype: String,
    chat: String,
    at: String,
}

fn show(ask: &Ask<'_>, fields: Fields) -> Result<Body, Problem> {
    // What stands in an address is kept in many places: a text comes by the form alone.
    shown(ask, &Fields { text: String::new(), ..fields }, None)
}

fn attempt(ask: &Ask<'_>, fields: Fields) -> Result<Body, Problem> {
    // Browsers end lines with two characters, which people count as one.
    let fields = Fields { text: fields.text.replace("\r\n", "\n"), ..fields };
    let tried = tester::test(
        ask,
        Try {
            text: fields.text.clone(),
            group: fields.group.clone(),
            version: None,
            pack: fields.pack.clone(),
            rule: fields.rule.trim().to_owned(),
            from: fields.from.clone(),
            to: fields.to.clone(),
            msgtype: fields.msgtype.clone(),
            in_group: fields.chat == "group",
            at_ms: moment(&fields.at),
        },
    )?;
    shown(ask, &fields, Some(&tried))
}

/// `2026-11-23T22:30` as a browser sends it, at +08:00.
fn moment(text: &str) -> Option<i64> {
    let (day, time) = text.split_once('T')?;
    let (hour, minute) = time.split_once(':')?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.get(..2)?.parse().ok()?);
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute);
    crate::clock::day_begins_in_china(day).filter(|_| is_time).map(|ms| ms + (hour * 60 + minute) * 60_000)
}

fn shown(ask: &Ask<'_>, fields: &Fields, tried: Option<&Tried>) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = view.say("规则试验台", "Try a text");
    let sentence = view.say(
        "粘贴一段话，看哪些规则命中、命中在哪里、为什么。内容不保存、不写日志。",
        "Paste a text and see which rules hit, where, and why. It is neither kept nor logged.",
    );
    let body = html! {
        (parts::heading(title, Some(sentence), Some(html! { a.button href="/rules" { (view.say("全部规则", "All rules")) } })))
        (asked(&view, fields)?)
        div id="tested" aria-live="polite" {
            @if let Some(tried) = tried { (said(&view, &fields.text, tried, &fields.group)) }
        }
    };
    Ok(view.page(Some(Room::Rules), title, body))
}

fn asked(view: &View<'_>, fields: &Fields) -> Result<Markup, Problem> {
    let everywhere = packs::everywhere(view.ask)?;
    let of = OfPolicy { group: fields.group.clone(), version: None };
    let (_, policy) = packs::in_force(view.ask, &of)?;
    let groups: Vec<(&str, &str)> = everywhere.iter().map(|(group, _)| (group.as_str(), group.as_str())).collect();
    let tongue = view.tongue();
    let titles: Vec<(String, String)> = policy
        .packs()
        .iter()
        .map(|pack| (pack.id.to_string(), both(tongue, &Both::of(&pack.title)).to_owned()))
        .collect();
    let all = [("", view.say("全部", "All"))];
    let packs: Vec<(&str, &str)> =
        all.into_iter().chain(titles.iter().map(|(id, title)| (id.as_str(), title.as_str()))).collect();
    let (employee, external, robot) =
        (view.say("员工", "Employee"), view.say("外部联系人", "External"), view.say("机器人", "Robot"));
    let sides = [("employee", employee), ("external", external), ("robot", robot)];
    let from = if fields.from.is_empty() { "employee" } else { &fields.from };
    let to = if fields.to.is_empty() { "external" } else { &fields.to };
    let types = TYPES.map(|kind| (kind, kind));
    let chats = [("single", view.say("单聊", "Single")), ("group", view.say("群聊", "Group"))];
    let group = if fields.group.is_empty() { "default" } else { &fields.group };
    let inside = html! {
        (parts::field("text", view.say("内容", "Text"), html! {
            textarea id="text" name="text" rows="6" maxlength=(tester::TEXT_CHARS_MAX) required autocomplete="off" spellcheck="false" { (fields.text) }
        }, None))
        div.filters {
            (parts::choice("group", view.say("分组", "Group"), group, &groups))
            (parts::choice("pack", view.say("规则包", "Pack"), &fields.pack, &packs))
            (parts::text_field("rule", view.say("只看一条规则（编号）", "One rule alone (id)"), &fields.rule, false, None))
            (parts::choice("from", view.say("发送方", "From"), from, &sides))
            (parts::choice("to", view.say("接收方", "To"), to, &sides))
            (parts::choice("type", view.say("消息类型", "Type"), &fields.msgtype, &types))
            (parts::choice("chat", view.say("会话", "Chat"), &fields.chat, &chats))
            (parts::field("at", view.say("发送时间", "Sent at"), html! { input type="datetime-local" id="at" name="at" value=(fields.at); }, None))
        }
        button.first type="submit" { (view.say("检查", "Try")) }
    };
    Ok(html! { section.card { form method="post" action="/rules/test" data-tester { (parts::mark(view)) (inside) } } })
}

fn said(view: &View<'_>, text: &str, tried: &Tried, group: &str) -> Markup {
    let tongue = view.tongue();
    let held = tried.rules.iter().filter(|rule| rule.holds).count();
    let about = if tried.version == 0 {
        view.say("内置规则包", "packs that ship").to_owned()
    } else {
        tongue.of(
            format!("{} 第 {} 版", tried.group, tried.version),
            format!("{} version {}", tried.group, tried.version),
        )
    };
    let verdict = match held {
        0 => badge(Tone::Good, view.say("没有规则命中", "No rule holds")),
        held => badge(Tone::Bad, &tongue.of(format!("{held} 条规则命中"), format!("{held} hold"))),
    };
    html! {
        (parts::card_with(view.say("结果", "Result"), html! { (about) }, html! {
            p.row { (verdict) span.soft { (tongue.of(format!("{} 条规则没有触及", tried.quiet), format!("{} rules see nothing", tried.quiet))) } }
            div.excerpt { (marked(text, &tried.rules)) }
            h3 { (view.say("归一化之后", "As words are looked for")) }
            div.excerpt.folded { @for piece in &tried.pieces { (became(view, piece)) } }
            p.hint { (view.say(
                "下划线：换成了等价写法；删除线：匹配时跳过；红框：看不见的字符。",
                "Underlined: taken in another form. Struck through: skipped. Framed: characters nobody sees.",
            )) }
        }))
        @for rule in &tried.rules { (one(view, rule, group)) }
        @if tried.more > 0 { p.soft { (tongue.of(format!("另有 {} 条规则有触及，未列出。", tried.more), format!("{} more rules have hits.", tried.more))) } }
    }
}

/// The text with every hit marked where it stands; those that do not count are marked fainter.
pub(super) fn marked(text: &str, rules: &[Verdict]) -> Markup {
    // What begins and ends at each character.
    let mut edges: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
    for hit in rules.iter().flat_map(|rule| &rule.hits) {
        let counts = hit.fate == "counted";
        for (at, by) in [(hit.start, 1), (hit.end, -1)] {
            let edge = edges.entry(at).or_default();
            if counts { edge.0 += by } else { edge.1 += by }
        }
    }
    let (mut pieces, mut here, mut counted, mut other): (Vec<(u8, String)>, String, i64, i64) = Default::default();
    let kind = |counted: i64, other: i64| if counted > 0 { 2_u8 } else { u8::from(other > 0) };
    for (at, c) in (0_u32..).zip(text.chars()) {
        if let Some((of_counted, of_other)) = edges.get(&at) {
            let next = (counted + of_counted, other + of_other);
            if kind(counted, other) != kind(next.0, next.1) && !here.is_empty() {
                pieces.push((kind(counted, other), std::mem::take(&mut here)));
            }
            (counted, other) = next;
        }
        here.push(c);
    }
    pieces.push((kind(counted, other), here));
    html! {
        @for (kind, piece) in &pieces {
            @match kind {
                0 => (piece),
                1 => mark.faint { (piece) },
                _ => mark { (piece) },
            }
        }
    }
}

fn became(view: &View<'_>, piece: &Piece) -> Markup {
    html! {
        @match piece.became {
            "folded" => ins title={ (view.say("原文：", "As typed: ")) (piece.text) } { (piece.folded) },
            "skipped" => del { (piece.text) },
            "hidden" => del.hidden { @for c in piece.text.chars() { (format!("U+{:04X} ", u32::from(c))) } },
            _ => (piece.text),
        }
    }
}

fn one(view: &View<'_>, rule: &Verdict, group: &str) -> Markup {
    let tongue = view.tongue();
    let place = pack::place(&rule.pack, &rule.rule, group);
    let verdict = match (rule.holds, rule.condition_holds) {
        (true, _) if rule.windowed => badge(Tone::Warn, view.say("计入窗口", "Counts in its window")),
        (true, _) => badge(Tone::Bad, view.say("命中", "Holds")),
        (false, true) => badge(Tone::Warn, view.say("条件成立，但被排除", "Would hold, but is left out")),
        (false, false) => badge(Tone::Plain, view.say("不命中", "Does not hold")),
    };
    html! { section.card {
        div.card-head {
            h2 { a href=(place) { (both(tongue, &rule.title)) } " " small.id { (rule.rule) } }
            div.row { (parts::level(tongue, rule.level)) (verdict) }
        }
        p.condition { code { @for (text, holds) in &rule.condition { (piece(view, text, *holds)) } } }
        (reasons(view, rule))
        @if !rule.hits.is_empty() { (hits(view, &rule.hits)) }
        @if rule.confidential_hits > 0 {
            p.soft { (tongue.of(format!("另有 {} 处命中保密词表。", rule.confidential_hits), format!("{} more hits of confidential lists.", rule.confidential_hits))) }
        }
    } }
}

/// A piece of the condition: of a selection, with its truth in words too.
fn piece(view: &View<'_>, text: &str, holds: Option<bool>) -> Markup {
    html! {
        @match holds {
            None => (text),
            Some(true) => span.holds { (text) span aria-hidden="true" { "✓" } span.unseen { (view.say("（成立）", " (holds)")) } },
            Some(false) => span.fails { (text) span aria-hidden="true" { "✗" } span.unseen { (view.say("（不成立）", " (does not)")) } },
        }
    }
}

fn reasons(view: &View<'_>, rule: &Verdict) -> Markup {
    html! {
        @for (part, asked, found) in &rule.outside {
            p { (badge(Tone::Warn, view.say("不在范围", "Out of scope"))) " " code { (part) } " "
                (view.say("要求 ", "asks for ")) (asked.join(", ")) (view.say("，此消息为 ", ", and this is ")) (found.join(", ")) }
        }
        @for filter in &rule.filtered { p { (badge(Tone::Warn, view.say("被过滤器排除", "Left out by a filter"))) " " code { (filter) } } }
        @if !rule.because.is_empty() { p.soft { (view.say("决定因素：", "Decided by: ")) (rule.because.join(", ")) } }
    }
}

fn hits(view: &View<'_>, hits: &[TriedHit]) -> Markup {
    let rows = hits.iter().map(|hit| {
        vec![
            html! { (hit.word) },
            html! { code { (hit.selection) } },
            html! { (hit.start + 1) "–" (hit.end) },
            html! { (channel(view, hit.channel)) @if hit.obfuscated { " " (badge(Tone::Warn, view.say("夹带隐藏字符", "Hidden characters"))) } },
            html! { (fate(view, hit)) },
        ]
    });
    Table {
        caption: view.say("命中", "Hits"),
        heads: vec![
            view.say("词", "Word"),
            view.say("选择项", "Selection"),
            view.say("位置", "Place"),
            view.say("识别方式", "Recognised"),
            view.say("结果", "What became of it"),
        ],
        rows: rows.collect(),
    }
    .show()
}

fn channel<'a>(view: &View<'_>, channel: &'a str) -> &'a str {
    match channel {
        "exact" => view.say("原样", "as written"),
        "folded" => view.say("等价写法", "another form"),
        "skipped" => view.say("插入字符", "with inserted characters"),
        "alias" => view.say("别名", "an alias"),
        "split" => view.say("拆字", "taken apart"),
        "pinyin" => view.say("谐音", "by sound"),
        other => other,
    }
}

fn fate(view: &View<'_>, hit: &TriedHit) -> Markup {
    let (tone, text) = match hit.fate {
        "counted" => (Tone::Bad, view.say("计入", "Counts")),
        "elsewhere" => (Tone::Plain, view.say("在引用或其他字段", "In a quote or elsewhere")),
        "allowed" => (Tone::Plain, view.say("在排除短语内", "Inside an allowed phrase")),
        "not-near" => (Tone::Plain, view.say("附近没有", "Not near")),
        _ => (Tone::Plain, view.say("被否定", "Denied by")),
    };
    html! { (badge(tone, text)) @if !hit.by.is_empty() { " " code { (hit.by) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(hits: &[(u32, u32, &'static str)]) -> Verdict {
        let hit = |(start, end, fate): &(u32, u32, &'static str)| TriedHit {
            selection: String::new(),
            word: String::new(),
            start: *start,
            end: *end,
            channel: "exact",
            obfuscated: false,
            fate,
            by: String::new(),
        };
        Verdict {
            pack: String::new(),
            rule: String::new(),
            title: Both { zh: String::new(), en: String::new() },
            level: "high",
            holds: true,
            windowed: false,
            outside: Vec::new(),
            filtered: Vec::new(),
            condition_holds: true,
            condition: Vec::new(),
            because: Vec::new(),
            hits: hits.iter().map(hit).collect(),
            confidential_hits: 0,
        }
    }

    #[test]
    fn hits_are_marked_by_characters_and_text_is_escaped() {
        for (text, hits, expected) in [
            ("这是<保本>的", &[(2, 6, "counted")][..], "这是<mark>&lt;保本&gt;</mark>的"),
            ("保本保收益", &[(0, 2, "counted"), (0, 5, "counted")], "<mark>保本保收益</mark>"),
            (
                "保本保收益",
                &[(0, 2, "counted"), (2, 5, "allowed")],
                "<mark>保本</mark><mark class=\"faint\">保收益</mark>",
            ),
            ("😀保本", &[(1, 3, "counted")], "😀<mark>保本</mark>"),
            ("无事", &[], "无事"),
            ("尾保本", &[(1, 3, "counted")], "尾<mark>保本</mark>"),
        ] {
            assert_eq!(marked(text, &[verdict(hits)]).into_string(), expected, "{text}");
        }
    }

    #[test]
    fn moments_of_a_browser_are_read() {
        assert_eq!(moment("2026-11-23T01:20"), Some(1_795_368_000_000));
        assert_eq!((moment("2026-11-23"), moment("2026-11-23T25:00"), moment("")), (None, None, None));
    }
}
