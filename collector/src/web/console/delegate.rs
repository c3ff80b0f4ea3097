//! Who stands in while one is away.

use maud::html;
use serde::Deserialize;

use super::frame::Room;
use super::parts::{self, Tone, card, choice, field, mark, notice};
use super::tongue;
use super::view::View;
use crate::clock::day_begins_in_china;
use crate::operators::Act;
use crate::web::api::delegate::{self as api, StandIn};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/delegate", Act::WorkAlerts, ("Who stands in", "代理"), show),
        form("/delegate", Act::WorkAlerts, ("Have somebody stand in", "设置代理人"), set),
        form("/delegate/end", Act::WorkAlerts, ("Nobody stands in any more", "取消代理"), end),
    ]
}

#[derive(Deserialize)]
struct Given {
    to: String,
    from: String,
    until: String,
}

/// Nothing but the mark.
#[derive(Deserialize)]
struct Ended {}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let told = api::show(ask, Nothing::default())?;
    let candidates = api::candidates(ask)?;
    let options: Vec<(&str, &str)> = candidates.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let title = view.say("请假代理", "Stand-ins");
    let sentence = view.say(
        "休假期间，分派给您的告警同时归代理人处理。",
        "While you are away, what is assigned to you is your stand-in's as well.",
    );
    let day = |id: &str, label: &str, value: &str| {
        field(id, label, html! { input type="date" id=(id) name=(id) value=(value) required; }, None)
    };
    let body = html! {
        (parts::heading(title, Some(sentence), Some(html! { a.button href="/alerts?view=mine" { (view.say("我的告警", "My alerts")) } })))
        @if !told.stands_in_for.is_empty() {
            (notice(Tone::Note, html! { p { (view.say("您正在代理：", "You stand in for: ")) (told.stands_in_for.join("、")) } }))
        }
        div.columns {
            (card(view.say("我的代理人", "Who stands in for me"), html! {
                @match &told.own {
                    Some(own) => {
                        p { b { (own.to) } " · " (tongue.at(own.from_ms)) " – " (tongue.at(own.until_ms)) }
                        @if own.until_ms <= ask.now_ms { p.faint { (view.say("已结束。", "It is over.")) } }
                        form method="post" action="/delegate/end" { (mark(&view)) button type="submit" { (view.say("取消代理", "End it")) } }
                    }
                    None => p.soft { (view.say("目前没有代理人。", "Nobody stands in for you.")) },
                }
            }))
            (card(view.say("设置代理人", "Have somebody stand in"), html! {
                form method="post" action="/delegate" {
                    (mark(&view))
                    (choice("to", view.say("代理人", "Who"), "", &options))
                    (day("from", view.say("第一天", "First day"), &tongue::day(ask.now_ms)))
                    (day("until", view.say("返岗日", "Back on"), ""))
                    button.first type="submit" { (view.say("保存", "Save")) }
                }
            }))
        }
    };
    Ok(view.page(Some(Room::Alerts), title, body))
}

fn set(ask: &Ask<'_>, given: Given) -> Result<Body, Problem> {
    let day = |text: &str| {
        day_begins_in_china(text.trim())
            .ok_or_else(|| Problem::malformed(format!("{text:?} is no day; write it like 2026-11-20")))
    };
    api::set(ask, StandIn { to: given.to, from_ms: day(&given.from)?, until_ms: day(&given.until)? })?;
    Ok(Body::see("/delegate"))
}

fn end(ask: &Ask<'_>, _: Ended) -> Result<Body, Problem> {
    api::end(ask, Nothing::default())?;
    Ok(Body::see("/delegate"))
}
