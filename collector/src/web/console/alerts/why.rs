//! Why an alert matched: what was found, with the hits marked where they stand, and what the rule says.

use maud::{Markup, html};

use super::page::Reading;
use super::says;
use crate::alerts::{Alert, Item, marks, pieces};
use crate::link::Link;
use crate::operators::Act;
use crate::rulebook::{Both, RuleText, SelectionText};
use crate::web::api::alert::{link, rule_of};
use crate::web::api::alerts::{Findings, concerning};
use crate::web::console::parts::{self, Tone, badge, card, card_with, facts, level};
use crate::web::console::view::View;
use crate::web::problem::Problem;

/// Findings of one alert that a page shows at once.
const SHOWN: usize = 20;

/// What was found, as far as whoever looks may read it; else why not, or the way to it.
pub(super) fn found(view: &View<'_>, alert: &Alert, found: Option<(Findings, Reading)>) -> Result<Markup, Problem> {
    let title = view.say("为何命中", "Why it matched");
    if !view.ask.may(Act::SeeExcerpts, Some(&concerning(alert))) {
        let why = view
            .say("您的角色只能看到有此告警，看不到命中内容。", "You see that this alert is there, not what was found.");
        return Ok(card(title, html! { p.soft { (why) } }));
    }
    let Some((found, reading)) = found else { return Ok(card(title, ask_why(view, alert))) };
    let link = link(view.ask)?;
    let (count, next) = (found.items.len(), reading.from.saturating_add(SHOWN));
    let beside = html! { (view.say("本次查看已写入审计", "That you read this is in the audit trail")) };
    Ok(card_with(
        title,
        beside,
        html! {
            @for it in found.items.iter().skip(reading.from).take(SHOWN) { (item(view, it, alert, link.as_ref())) }
            @if count > next {
                form method="post" action={ "/alerts/" (alert.alert) "/read" } {
                    (parts::mark(view))
                    input type="hidden" name="reason" value=(reading.reason);
                    button type="submit" name="from" value=(next) {
                        (view.say(format!("继续查看（第 {} 处起，共 {count} 处）", next + 1), format!("Go on from {} of {count}", next + 1)))
                    }
                }
            }
        },
    ))
}

/// Whoever it is not assigned to says why they need to see it.
fn ask_why(view: &View<'_>, alert: &Alert) -> Markup {
    html! {
        p.soft { (view.say(
            "此告警未分派给您。查看命中内容须写明理由，理由与查看记录一并写入审计。",
            "This alert is not yours. To read what was found, say why; your reason goes into the audit trail.",
        )) }
        form.inline method="post" action={ "/alerts/" (alert.alert) "/read" } {
            (parts::mark(view))
            (super::bulk::reason(view, "read-reason"))
            button.first type="submit" { (view.say("查看内容", "Read it")) }
        }
    }
}

fn item(view: &View<'_>, item: &Item, alert: &Alert, link: Option<&Link>) -> Markup {
    let tongue = view.tongue();
    let corp = alert.person.split_once('/').map_or("", |(corp, _)| corp);
    let to = link.and_then(|link| link.to(corp, &item.msgid));
    html! {
        article.finding {
            div.row.faint {
                @if let Some(at) = item.msgtime { (tongue.at(at)) }
                span { (says::msgtype(tongue, &item.msgtype)) }
                span.id { (item.from) } "→" span.id { (item.to.iter().take(3).cloned().collect::<Vec<_>>().join(", ")) @if item.to.len() > 3 { " +" (item.to.len() - 3) } }
                @if !item.room.is_empty() { span { (view.say("群 ", "room ")) span.id { (item.room) } } }
            }
            @if item.excerpt.is_empty() {
                p.soft { (view.say("规则不披露原文，设备未上传摘录。", "The rule discloses no text: no excerpt left the device.")) }
            } @else {
                blockquote.excerpt { @for (piece, is_hit) in pieces(&item.excerpt, &marks(item)) { @if is_hit { mark { (piece) } } @else { (piece) } } }
            }
            @if let Some(window) = &item.window { p { (says::window(tongue, window)) } }
            (hits(view, item))
            @if let Some(to) = to { p { a href=(to) target="_blank" rel="noopener noreferrer" { (view.say("在存档系统中查看原消息", "See the message in the archive")) } } }
        }
    }
}

fn hits(view: &View<'_>, item: &Item) -> Markup {
    let tongue = view.tongue();
    html! {
        @if !item.hits.is_empty() {
            ul.hits {
                @for hit in &item.hits {
                    @let (word, meaning) = says::channel(tongue, hit.channel);
                    li {
                        @if hit.word.is_empty() { span.faint { (view.say("词未披露", "word not disclosed")) } } @else { b { (hit.word) } }
                        " " span title=(meaning) { (badge(Tone::Plain, word)) }
                        @if hit.channel != "exact" { " " span.faint { (meaning) } }
                        @if hit.obfuscated { " " (badge(Tone::Warn, view.say("夹有隐藏字符", "hidden characters inside"))) }
                        " " span.faint { (hit.selection) " · " (hit.field) " " (hit.start) "–" (hit.end) }
                    }
                }
            }
        }
    }
}

/// What the rule says, and how often it was right.
pub(super) fn rule(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    let of = rule_of(view.ask, alert)?;
    let judged = of.precision.as_ref().and_then(|it| Some((it.precision?, it.confirmed + it.false_alarms)));
    let right = match judged {
        Some((share, judged)) => view.say(
            format!("{:.0}%（已裁定 {judged} 个）", share * 100.0),
            format!("{:.0} % of {judged} judged", share * 100.0),
        ),
        None => view.say("尚无裁定", "none judged yet").to_owned(),
    };
    let right = view.may(Act::SeeRules).then(|| (view.say("准确率", "Right"), html! { (right) }));
    let title = view.say("所依规则", "The rule");
    let id = html! { span.id { (alert.pack) "/" (alert.rule) } };
    let Some(rule) = of.rule else {
        let gone = view.say(
            "已发布的策略和内置规则包中已没有此规则。",
            "No published policy and no pack that ships has this rule any more.",
        );
        return Ok(card_with(title, id, html! { p.soft { (gone) } @if let Some(right) = right { (facts([right])) } }));
    };
    let say = |both: &Both| view.say(both.zh.clone(), both.en.clone());
    let rows = [
        (view.say("名称", "Title"), html! { (say(&rule.title)) }),
        (
            view.say("规则包", "Pack"),
            html! { (say(&rule.pack_title)) " " span.faint { (view.say("版本 ", "version ")) (rule.pack_version) } },
        ),
        (view.say("级别", "Level"), level(view.tongue(), rule.level)),
        (view.say("条件", "Condition"), html! { code { (rule.condition) } }),
    ];
    Ok(card_with(title, id, html! { (facts(rows.into_iter().chain(right))) (more(view, &rule)) }))
}

fn more(view: &View<'_>, rule: &RuleText) -> Markup {
    let say = |both: &Both| view.say(both.zh.clone(), both.en.clone());
    html! {
        details {
            summary { (view.say("选择项、依据与说明", "Selections, grounds and notes")) }
            div.stack.opened {
                ul.plain { @for one in &rule.selections { li { b { (one.name) } " " (selection(view, one)) } } }
                @if !rule.legal_basis.is_empty() {
                    div { h3 { (view.say("依据", "Grounds")) } ul { @for basis in &rule.legal_basis { li { (say(basis)) } } } }
                }
                @if let Some(note) = &rule.note { div { h3 { (view.say("误报说明", "On false alarms")) } p { (say(note)) } } }
            }
        }
    }
}

fn selection(view: &View<'_>, one: &SelectionText) -> Markup {
    let (count, more) = (one.count, one.count.saturating_sub(one.some.len()));
    let some = one.some.join(view.say("、", ", "));
    html! {
        @if one.confidential { span.faint { (view.say(format!("保密词表，{count} 个词"), format!("a confidential list of {count} words"))) } }
        @else {
            span.faint { (match one.kind {
                "words" => view.say("词：", "words: "),
                "regex" => view.say("正则：", "patterns: "),
                "validator" => view.say("校验器：", "validators: "),
                _ => view.say("消息属性", "a fact about the message"),
            }) }
            (some)
            @if more > 0 { span.faint { (view.say(format!(" 等 {count} 个"), format!(" and {more} more"))) } }
        }
    }
}
