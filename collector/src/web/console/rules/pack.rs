//! One pack, rule by rule: what each looks for and when it holds.

use maud::{Markup, html};
use serde::Deserialize;

use super::{Asked, both, category, path_part, status, to};
use crate::operators::Act;
use crate::web::api::rules::{self, OfPolicy, PackView, RuleView, SelectionView};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Table, Tone, badge, facts};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, page};

/// Words that stand open; the rest is behind a fold, and what is beyond that is counted.
const OPEN: usize = 24;
const FOLDED: usize = 120;

pub(super) fn routes() -> Vec<Route> {
    vec![page("/rules/{pack}", Act::SeeRules, ("A pack", "规则包"), show)]
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
    let group = if of.group.is_empty() { Asked::default().group } else { of.group };
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
        (contents(&view, &pack))
        @for rule in &pack.rules { (section(&view, &pack, rule, &group)) }
    };
    Ok(view.page(Some(Room::Rules), title, body))
}

fn contents(view: &View<'_>, pack: &PackView) -> Markup {
    html! {
        nav.card aria-label=(view.say("本包规则", "Rules of this pack")) {
            ul.plain {
                @for rule in &pack.rules {
                    li.row { (parts::level(view.tongue(), rule.level)) a href={ "#" (rule.rule) } { (both(view.tongue(), &rule.title)) } }
                }
            }
        }
    }
}

fn section(view: &View<'_>, pack: &PackView, rule: &RuleView, group: &str) -> Markup {
    let tongue = view.tongue();
    let test = to("/rules/test", &[("group", group), ("pack", &pack.pack), ("rule", &rule.rule)]);
    let alerts = to("/alerts", &[("pack", &pack.pack), ("rule", &rule.rule)]);
    html! {
        section.card id=(rule.rule) {
            div.card-head {
                h2 { (both(tongue, &rule.title)) }
                div.row { (parts::level(tongue, rule.level)) (status(tongue, rule.status)) }
            }
            p.soft { span.id { (rule.rule) } " · " (category(tongue, &rule.category)) }
            p.condition { code { (rule.condition) } }
            (selections(view, rule))
            (about(view, rule))
            (tests(view, rule))
            div.row {
                a.button href=(test) { (view.say("试这条规则", "Try a text")) }
                @if view.may(Act::SeeAlerts) { a.button href=(alerts) { (view.say("它的告警", "Its alerts")) } }
            }
        }
    }
}

fn selections(view: &View<'_>, rule: &RuleView) -> Markup {
    let rows = rule.selections.iter().map(|it| {
        vec![
            html! { code { (it.name) } },
            html! { (kind(view, it.kind)) @if it.min > 1 { br; small { (view.say("至少 ", "at least ")) (it.min) (view.say(" 种", "")) } } },
            of(view, it),
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

fn of(view: &View<'_>, it: &SelectionView) -> Markup {
    let words = |words: &[String]| html! { @for word in words { span.chip { (word) } " " } };
    let (open, rest) = it.of.split_at(it.of.len().min(OPEN));
    let folded = rest.get(..rest.len().min(FOLDED)).unwrap_or_default();
    let beyond = it.count.saturating_sub(open.len() + folded.len());
    html! {
        @if it.confidential { (badge(Tone::Warn, view.say("保密", "Confidential"))) " " }
        @if it.of.is_empty() && it.count > 0 {
            span.soft { (it.count) (view.say(" 个词，仅公开数量", " words; only their number is told")) }
        }
        (words(open))
        @if !folded.is_empty() {
            details {
                summary { (view.say("其余 ", "the other ")) (it.count - open.len()) }
                (words(folded))
                @if beyond > 0 { span.soft { "… +" (beyond) } }
            }
        }
        @if !it.allow.is_empty() {
            details { summary { (view.say("排除短语 ", "phrases it allows ")) (it.allow.len()) } (words(it.allow.get(..it.allow.len().min(FOLDED)).unwrap_or_default())) }
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
    let mut rows: Vec<(&str, Markup)> =
        rule.scope.iter().map(|(name, asked)| (part(name), html! { (asked.join(", ")) })).collect();
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

fn tests(view: &View<'_>, rule: &RuleView) -> Markup {
    if rule.tests.is_empty() {
        return html! {};
    }
    html! {
        details {
            summary { (view.say("自带测试 ", "Its tests ")) (rule.tests.len()) }
            ul.plain.tests {
                @for test in &rule.tests {
                    li {
                        @if test.hit { (badge(Tone::Bad, view.say("应命中", "hits"))) } @else { (badge(Tone::Plain, view.say("不命中", "does not"))) }
                        " " (test.text)
                    }
                }
            }
        }
    }
}

/// Where a pack is shown.
pub(super) fn place(pack: &str, rule: &str, group: &str) -> String {
    format!("{}#{rule}", to(&format!("/rules/{}", path_part(pack)), &[("group", group)]))
}
