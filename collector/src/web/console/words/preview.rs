//! A word tried on past findings before anybody proposes it.

use maud::{Markup, html};
use serde::Deserialize;

use crate::operators::Act;
use crate::web::api::words::{self, TryWord};
use crate::web::ask::Ask;
use crate::web::console::chart::{self, Bar};
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Tone, card};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, form, page};
use crate::words::preview::{Preview, Sample};

pub(super) fn routes() -> Vec<Route> {
    let keep = Act::KeepWords;
    vec![
        page("/words/preview", keep, ("Try a word on past findings", "词语回看"), show),
        form("/words/preview", keep, ("Try a word on past findings", "词语回看"), attempt),
    ]
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    word: String,
    days: String,
    reason: String,
}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    shown(ask, &Fields::default(), None)
}

fn attempt(ask: &Ask<'_>, fields: Fields) -> Result<Body, Problem> {
    let asked = TryWord { word: fields.word.clone(), days: fields.days.parse().ok(), reason: fields.reason.clone() };
    let seen = words::preview(ask, asked)?;
    shown(ask, &fields, Some(&seen))
}

fn shown(ask: &Ask<'_>, fields: &Fields, seen: Option<&Preview>) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = view.say("词语回看", "Try a word on past findings");
    let sentence = view.say(
        "在已上报的摘录里查一个词：有多少命中、告警和人，会不会太常见。查看会写入审计记录（不含该词）。",
        "Looks for a word in excerpts that were disclosed: how many findings, alerts and persons, and whether it is too common. Looking goes into the audit trail, without the word.",
    );
    let days = [
        ("7", view.say("7 天", "7 days")),
        ("30", view.say("30 天", "30 days")),
        ("90", view.say("90 天", "90 days")),
        ("365", view.say("365 天", "365 days")),
    ];
    let chosen = if fields.days.is_empty() { "30" } else { &fields.days };
    let body = html! {
        (parts::heading(title, Some(sentence), Some(html! { a.button href="/words" { (view.say("全部词表", "All lists")) } })))
        section.card {
            (parts::form(&view, "/words/preview", false, html! {
                div.filters {
                    (parts::text_field("word", view.say("词", "Word"), &fields.word, true, None))
                    (parts::choice("days", view.say("回看", "Looking back"), chosen, &days))
                    (parts::text_field("reason", view.say("理由", "Reason"), &fields.reason, true, None))
                    button.first type="submit" { (view.say("查看", "Look")) }
                }
            }))
        }
        @if let Some(seen) = seen { (told(&view, fields, seen)) }
        (honest(&view))
    };
    Ok(view.page(Some(Room::Words), title, body))
}

fn told(view: &View<'_>, fields: &Fields, seen: &Preview) -> Markup {
    let tongue = view.tongue();
    let number = |number: usize| tongue.number(number as u64);
    let rules: Vec<Bar> = seen
        .rules
        .iter()
        .take(12)
        .map(|it| Bar { name: format!("{}/{}", it.pack, it.rule), amount: it.findings as u64, to: None })
        .collect();
    let days: Vec<Bar> =
        seen.by_day.iter().map(|it| Bar { name: it.day.clone(), amount: it.findings as u64, to: None }).collect();
    let findings = view.say("命中", "Findings");
    html! {
        div.tiles {
            (parts::tile(findings, &number(seen.findings), None, None, Tone::Plain))
            (parts::tile(view.say("告警", "Alerts"), &number(seen.alerts), None, None, Tone::Plain))
            (parts::tile(view.say("涉及人员", "Persons"), &number(seen.persons), None, None, Tone::Plain))
            (parts::tile(view.say("只在更长的词里", "Only inside a longer word"), &number(seen.inside_longer), None, None, Tone::Note))
        }
        @if seen.stopped { (parts::notice(Tone::Warn, html! { p { (view.say("结果太多或时间已到，实际可能更多。", "There may be more: the time was up, or there were too many.")) } })) }
        @if seen.findings == 0 {
            (parts::notice(Tone::Note, html! { p { (view.say("这段时间的摘录里没有出现。", "No excerpt of that time has it.")) } }))
        } @else {
            div.columns {
                (card(view.say("按规则", "By rule"), chart::ranking(view.say("按规则", "By rule"), (view.say("规则", "Rule"), findings), &rules)))
                (card(view.say("按天", "By day"), chart::over_time(view.say("按天", "By day"), (view.say("日期", "Day"), findings), &days)))
            }
        }
        @if !seen.longer.is_empty() {
            (card(view.say("现行规则里包含它的更长的词", "Longer words in force that contain it"), html! { p.words { @for word in &seen.longer { span.chip { (word) } " " } } }))
        }
        @if !seen.samples.is_empty() { (samples(view, fields, &seen.samples)) }
    }
}

fn samples(view: &View<'_>, fields: &Fields, samples: &[Sample]) -> Markup {
    card(
        view.say("摘录样例", "Some excerpts"),
        html! {
            ul.plain {
                @for sample in samples {
                    li {
                        div.excerpt { (around(&sample.excerpt, fields.word.trim())) }
                        small { (sample.day) " · " (sample.rule) " · " a href={ "/alerts/" (sample.alert) } { (view.say("查看告警", "Its alert")) } }
                    }
                }
            }
        },
    )
}

/// The excerpt with the word marked where it stands as it was typed.
fn around(excerpt: &str, word: &str) -> Markup {
    if word.is_empty() {
        return html! { (excerpt) };
    }
    let mut rest = excerpt.split(word);
    let first = rest.next().unwrap_or_default();
    html! { (first) @for piece in rest { mark { (word) } (piece) } }
}

fn honest(view: &View<'_>) -> Markup {
    card(
        view.say("它看不到什么", "What it does not see"),
        html! {
            p.soft { (view.say(
                "这里只有设备上报过的摘录：没有命中任何规则的消息、以及被遮盖的文字都不在其中。要在完整原文上试，请在存档主机上运行：",
                "Here are only excerpts that devices disclosed: messages without a finding, and what was masked, are not among them. To try it on full texts, run this on an archive host:",
            )) }
            (parts::copied(view.tongue(), "watchpost-agent policy preview exports/ --policy next.yaml --against present.yaml --sample 10"))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_marked_and_everything_is_escaped() {
        let shown = around("<b>保本</b>和保本", "保本").into_string();
        assert_eq!(shown, "&lt;b&gt;<mark>保本</mark>&lt;/b&gt;和<mark>保本</mark>");
        assert_eq!(around("没有", "").into_string(), "没有");
    }
}
