//! One pack, rule by rule: what each looks for and when it holds.

use maud::{Markup, html};
use serde::Deserialize;

use super::{both, category, path_part, status, to};
use crate::operators::Act;
use crate::web::api::rules::{self, OfPolicy, PackView, RuleView, SelectionView};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Table, Tone, badge, facts};
use crate::web::console::view::View;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Route, page};

/// Words of a selection on the page of its pack, and on that of its rule; what is beyond is counted.
const FEW: usize = 8;
const MANY: usize = 300;

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/rules/{pack}", Act::SeeRules, ("A pack", "规则包"), show),
        page("/rules/{pack}/{rule}", Act::SeeRules, ("A rule", "规则"), one),
    ]
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Of {
    group: String,
}

fn show(ask: &Ask<'_>, of: Of) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let pack = rules::pack(ask, OfPolicy { group: of.group.clone(), version: None })?;
    let group = of.group;
    let title = both(tongue, &pack.title);
    let test = to("/rules/test", &[("group", &group), ("pack", &pack.pack)]);
    let actions = html! {
        a.button href=(to("/rules", &[("group", &group)])) { (view.say("全部规则", "All rules")) }
        a.button.first href=(test) { (view.say("在试验台试这个包", "Try a text on it")) }
    };
    let about =
        html! { span.id { (pack.pack) } " · " (view.say("第 ", "version ")) (pack.version) (view.say(" 版", "")) };
    let body = html! {
        (parts::heading(title, None, Some(actions)))
        p.soft { (about) @if !group.is_empty() { " · " (view.say("分组 ", "group ")) (group) } }
        @for rule in &pack.rules { (section(&view, &pack, rule, &group)) }
    };
    Ok(view.page(Some(Room::Rules), title, body))
}

/// A rule on the page of its pack.
fn section(view: &View<'_>, pack: &PackView, rule: &RuleView, group: &str) -> Markup {
    let tongue = view.tongue();
    html! {
        section.card id=(rule.rule) {
            div.card-head {
                h2 { a href=(place(&pack.pack, &rule.rule, group)) { (both(tongue, &rule.title)) } }
                div.row { (parts::level(tongue, rule.level)) (status(tongue, rule.status)) }
            }
            p.soft { span.id { (rule.rule) } " · " (category(tongue, &rule.category)) }
            p.condition { code { (rule.condition) } }
            (selections(view, rule, FEW))
        }
    }
}

fn one(ask: &Ask<'_>, of: Of) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let pack = rules::pack(ask, OfPolicy { group: of.group.clone(), version: None })?;
    let id = ask.param("rule")?;
    let rule = pack.rules.iter().find(|rule| rule.rule == id).ok_or(Problem::new(Kind::NotFound))?;
    let title = both(tongue, &rule.title);
    let test = to("/rules/test", &[("group", &of.group), ("pack", &pack.pack), ("rule", &rule.rule)]);
    let alerts = to("/alerts", &[("pack", &pack.pack), ("rule", &rule.rule)]);
    let actions = html! {
        a.button href=(to(&format!("/rules/{}", path_part(&pack.pack)), &[("group", &of.group)])) { (both(tongue, &pack.title)) }
        @if view.may(Act::SeeAlerts) { a.button href=(alerts) { (view.say("它的告警", "Its alerts")) } }
        a.button.first href=(test) { (view.say("试这条规则", "Try a text")) }
    };
    let body = html! {
        (parts::heading(title, None, Some(actions)))
        p.row {
            (parts::level(tongue, rule.level)) (status(tongue, rule.status))
            span.soft { span.id { (rule.rule) } " · " (category(tongue, &rule.category)) }
        }
        (parts::card(view.say("何时成立", "When it holds"), html! {
            p.condition { code { (rule.condition) } }
            (selections(&view, rule, MANY))
        }))
        (parts::card(view.say("范围与依据", "Scope and ground"), about(&view, rule)))
        (tests(&view, rule))
    };
    Ok(view.page(Some(Room::Rules), title, body))
}

fn selections(view: &View<'_>, rule: &RuleView, most: usize) -> Markup {
    let rows = rule.selections.iter().map(|it| {
        vec![
            html! { code { (it.name) } },
            html! { (kind(view, it.kind)) @if it.min > 1 { br; small { (view.say("至少 ", "at least ")) (it.min) (view.say(" 种", "")) } } },
            of(view, it, most),
            html! {
                @if let Some((other, within)) = &it.near {
                    (view.say("距 ", "within ")) (within) (view.say(" 字内：", " characters of ")) code { (other) }
                } @else { span.faint { "—" } }
            },
        ]
    });
    Table {
        caption: view.say("选择项", "Selections"),
        heads: vec![
            view.say("选择项", "Selection"),
            view.say("种类", "Kind"),
            view.say("找什么", "Looks for"),
            view.say("邻近", "Near"),
        ],
        rows: rows.collect(),
    }
    .show()
}

fn kind(view: &View<'_>, kind: &str) -> String {
    let (zh, en) = match kind {
        "words" => ("词", "words"),
        "regex" => ("正则", "pattern"),
        "validator" => ("校验器", "validator"),
        "file" => ("文件", "file"),
        "amount" => ("金额（分）", "amount (fen)"),
        "host" => ("链接域名", "host"),
        "type" => ("消息类型", "message type"),
        "chat" => ("会话", "chat"),
        "time" => ("时间", "time"),
        "side" => ("发送方", "sender"),
        other => (other, other),
    };
    view.say(zh, en).to_owned()
}

fn of(view: &View<'_>, it: &SelectionView, most: usize) -> Markup {
    let words = |words: &[String]| html! { @for word in words { span.chip { (word) } " " } };
    let shown = it.of.get(..it.of.len().min(most)).unwrap_or_default();
    let beyond = it.count.saturating_sub(shown.len());
    html! {
        @if it.confidential { (badge(Tone::Warn, view.say("保密", "Confidential"))) " " }
        @if it.of.is_empty() && it.count > 0 {
            span.soft { (it.count) (view.say(" 个词，仅公开数量", " words; only their number is told")) }
        } @else {
            (words(shown))
            @if beyond > 0 { span.soft { "+" (beyond) } }
        }
        @if !it.allow.is_empty() && most == MANY {
            details { summary { (view.say("排除短语 ", "phrases it allows ")) (it.allow.len()) } (words(it.allow.get(..it.allow.len().min(most)).unwrap_or_default())) }
        }
    }
}

fn about(view: &View<'_>, rule: &RuleView) -> Markup {
    let tongue = view.tongue();
    let part = |part: &str| match part {
        "from" => view.say("发送方", "From"),
        "to" => view.say("接收方", "To"),
        "types" => view.say("消息类型", "Types"),
        "labels" => view.say("账号标签", "Labels"),
        _ => view.say("会话", "Chat"),
    };
    let disclose = match rule.disclose {
        "none" => view.say("不上报原文", "no text"),
        "masked" => view.say("只留命中的词，其余遮盖", "what was found, everything around it masked"),
        _ => view.say("命中处前后最多 80 字", "up to 80 characters around it"),
    };
    let mut rows: Vec<(&str, Markup)> = rule
        .scope
        .iter()
        .map(|(name, asked)| {
            (part(name), html! { (asked.iter().map(|it| side(view, it)).collect::<Vec<_>>().join(", ")) })
        })
        .collect();
    rows.push((view.say("上报", "Disclosed"), html! { (disclose) }));
    if let Some(sla_s) = rule.sla_s {
        let ms = i64::try_from(sla_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        rows.push((view.say("处理时限", "To be dealt with in"), html! { (tongue.span(ms)) }));
    }
    if let Some(window) = rule.window {
        rows.push((view.say("窗口", "Window"), html! { code { (window) } }));
    }
    if let Some(it) = &rule.precision {
        rows.push((
            view.say("结论", "How it did"),
            html! {
                (view.say("确认 ", "confirmed ")) (it.confirmed) " · " (view.say("误报 ", "false ")) (it.false_alarms)
                " · " (view.say("未结 ", "open ")) (it.unclosed)
            },
        ));
    }
    if !rule.legal_basis.is_empty() {
        rows.push((
            view.say("依据", "Legal basis"),
            html! { @for basis in &rule.legal_basis { p { (both(tongue, basis)) } } },
        ));
    }
    if let Some(note) = &rule.note {
        rows.push((view.say("作者提示", "Its author says"), html! { (both(tongue, note)) }));
    }
    facts(rows)
}

/// A side of a message; other words stay as the pack has them.
pub(super) fn side<'a>(view: &View<'_>, word: &'a str) -> &'a str {
    match word {
        "employee" => view.say("员工", "employee"),
        "external" => view.say("外部联系人", "external"),
        "robot" => view.say("机器人", "robot"),
        "group" => view.say("群聊", "group"),
        "single" => view.say("单聊", "single"),
        other => other,
    }
}

fn tests(view: &View<'_>, rule: &RuleView) -> Markup {
    if rule.tests.is_empty() {
        return html! {};
    }
    parts::card_with(
        view.say("自带测试", "Its tests"),
        html! { (rule.tests.len()) },
        html! {
            ul.plain {
                @for test in &rule.tests {
                    li {
                        @if test.hit { (badge(Tone::Bad, view.say("应命中", "hits"))) } @else { (badge(Tone::Plain, view.say("不命中", "does not"))) }
                        " " (test.text)
                    }
                }
            }
        },
    )
}

/// Where a rule is shown.
pub(super) fn place(pack: &str, rule: &str, group: &str) -> String {
    to(&format!("/rules/{}/{}", path_part(pack), path_part(rule)), &[("group", group)])
}
