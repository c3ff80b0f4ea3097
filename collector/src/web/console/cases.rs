//! Cases: alerts of one person that are dealt with together.

use maud::{Markup, html};
use serde::Deserialize;

use super::alerts::{rows, says};
use super::frame::Room;
use super::parts::{self, Table, Tone, badge, card, card_with, choice, empty, facts, field, mark, more, tabs};
use super::view::View;
use crate::alerts::desk::Outcome;
use crate::alerts::{self, Alert, Case};
use crate::operators::Act;
use crate::web::api::cases::{self as api, New, Next, Step};
use crate::web::api::page::Turn;
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, form, page};

const OUTCOMES: [(&str, Outcome); 8] = [
    ("none", Outcome::None),
    ("talk", Outcome::Talk),
    ("training", Outcome::Training),
    ("warning", Outcome::Warning),
    ("fine", Outcome::Fine),
    ("transfer", Outcome::Transfer),
    ("dismissal", Outcome::Dismissal),
    ("reported", Outcome::Reported),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/cases", Act::SeeCases, ("Cases", "案件"), list),
        form("/cases", Act::WorkAlerts, ("Open a case", "立案"), open),
        page("/cases/{case}", Act::SeeCases, ("A case", "案件详情"), show),
        form("/cases/{case}/step", Act::WorkAlerts, ("A step with a case", "处置案件"), step),
    ]
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    cursor: String,
}

#[derive(Deserialize)]
struct Opening {
    title: String,
    #[serde(default)]
    alerts: String,
}

#[derive(Deserialize)]
struct Given {
    step: String,
    #[serde(default)]
    alerts: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    note: String,
}

/// Tabs of what alerts are put together or kept out by.
pub(super) fn rooms(view: &View<'_>, here: &str) -> Markup {
    let mut all = vec![("/cases".to_owned(), view.say("案件", "Cases"), here == "/cases")];
    if view.may(Act::Suppress) {
        all.push(("/suppressions".to_owned(), view.say("抑制", "Suppressions"), here == "/suppressions"));
    }
    html! { @if all.len() > 1 { (tabs(view.say("案件与抑制", "Cases and suppressions"), &all)) } }
}

fn list(ask: &Ask<'_>, wanted: Wanted) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let title = Room::Cases.title(tongue);
    let cursor = Some(wanted.cursor).filter(|cursor| !cursor.is_empty());
    let found = api::list(ask, Turn { cursor, limit: None })?;
    let mut rows = Vec::new();
    for case in &found.items {
        rows.push(vec![
            html! { a.what href={ "/cases/" (case.case) } data-row { (named(&view, case)) } },
            says::person(&view, &case.person)?,
            html! { (case.alerts.len()) },
            html! { (tongue.ago(case.opened_ms, ask.now_ms)) div.faint { (case.opened_by) } },
            stands(&view, case),
        ]);
    }
    let heads = vec![
        view.say("案件", "Case"),
        view.say("人员", "Who"),
        view.say("#告警", "#Alerts"),
        view.say("立案", "Opened"),
        view.say("状态", "State"),
    ];
    let next = found
        .next
        .map(|cursor| super::alerts::at("/cases", &super::alerts::encoded([("cursor", cursor.as_str())].into_iter())));
    let body = html! {
        (parts::heading(title, Some(view.say("同一人员的若干告警，一并调查与处理。", "Alerts of one person that are looked into together.")), None))
        (rooms(&view, "/cases"))
        section.card {
            @if rows.is_empty() {
                (empty(
                    view.say("还没有案件", "No case yet"),
                    view.say("在告警页面中选择“并入案件”即可立案。", "On the page of an alert, choose “Take into a case”."),
                    Some(html! { a.button href="/alerts" { (view.say("前往告警", "Go to alerts")) } }),
                ))
            } @else {
                (Table { caption: title, heads, rows }.show())
            }
            (more(tongue, next))
        }
    };
    Ok(view.page(Some(Room::Cases), title, body))
}

fn named<'a>(view: &View<'_>, case: &'a Case) -> &'a str {
    case.title.as_deref().unwrap_or(view.say("（名称不可见）", "(title not shown)"))
}

fn stands(view: &View<'_>, case: &Case) -> Markup {
    match case.outcome.filter(|_| case.is_closed) {
        Some(outcome) => badge(Tone::Plain, says::outcome(view.tongue(), outcome)),
        None if case.is_closed => badge(Tone::Plain, view.say("已结案", "Closed")),
        None => badge(Tone::Warn, view.say("调查中", "Open")),
    }
}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let case = api::show(ask, Nothing::default())?;
    let found: Result<Vec<Option<Alert>>, Problem> =
        case.alerts.iter().map(|id| Ok(alerts::find(ask.derived()?, &hex::decode(id).unwrap_or_default())?)).collect();
    let found: Vec<Alert> = found?.into_iter().flatten().collect();
    let mut about = vec![
        (view.say("人员", "Person"), says::person(&view, &case.person)?),
        (view.say("立案", "Opened"), html! { (case.opened_by) " · " (tongue.at(case.opened_ms)) }),
    ];
    if let Some(closed_ms) = case.closed_ms {
        about.push((
            view.say("结案", "Closed"),
            html! { (case.closed_by.as_deref().unwrap_or_default()) " · " (tongue.at(closed_ms)) },
        ));
    }
    let title = named(&view, &case).to_owned();
    let works = view.may(Act::WorkAlerts);
    let actions = html! { a.button href="/cases" { (view.say("全部案件", "All cases")) } };
    let body = html! {
        (parts::heading(&title, None, Some(actions)))
        div.main-and-side {
            div.stack {
                (card(view.say("告警", "Alerts"), html! {
                    @if found.is_empty() { p.soft { (view.say("案件中没有可见的告警。", "No alert of this case can be seen.")) } }
                    @else { (rows(&view, &found, false)?) }
                }))
                (card(view.say("经过", "What became of it"), timeline(&view, &case)))
            }
            div.stack {
                (card_with(view.say("概况", "In short"), stands(&view, &case), facts(about)))
                @if works { (steps(&view, &case, &found)?) }
            }
        }
    };
    Ok(view.page(Some(Room::Cases), &title, body))
}

fn timeline(view: &View<'_>, case: &Case) -> Markup {
    let tongue = view.tongue();
    html! {
        ol.timeline {
            @for it in case.steps.iter().rev() {
                li {
                    b { (if it.what == "opened" { view.say("立案", "Opened") } else { says::happened(tongue, it.what) }) }
                    div.faint { (it.by) " · " (tongue.at(it.at_ms)) " · " (view.say("日志 ", "log ")) (it.entry) }
                    @if let Some(note) = &it.note { p.written { (note) } }
                }
            }
        }
    }
}

fn steps(view: &View<'_>, case: &Case, found: &[Alert]) -> Result<Markup, Problem> {
    let action = format!("/cases/{}/step", case.case);
    let one = |step: &str, inside: Markup, button: &str, class: &str| {
        html! {
            form method="post" action=(action) {
                (mark(view))
                input type="hidden" name="step" value=(step);
                (inside)
                button class=(class) type="submit" { (button) }
            }
        }
    };
    let note = |id: &str| {
        field(id, view.say("说明", "Note"), html! { textarea id=(id) name="note" required maxlength="4000" {} }, None)
    };
    let folded = |title: &str, inside: Markup| html! { details { summary { (title) } div.opened { (inside) } } };
    let tongue = view.tongue();
    let outcomes: Vec<(&str, &str)> = OUTCOMES.iter().map(|(word, _)| (*word, says::outcome(tongue, word))).collect();
    let mut others = Vec::new();
    for alert in super::alerts::of_person(view, &case.person)?.into_iter().filter(|alert| alert.case.is_none()) {
        others.push((alert.alert.clone(), format!("{} {}", says::rule(view, &alert.pack, &alert.rule)?, alert.day)));
    }
    let others: Vec<(&str, &str)> = others.iter().map(|(id, title)| (id.as_str(), title.as_str())).collect();
    let mut held = Vec::new();
    for alert in found {
        held.push((alert.alert.clone(), format!("{} {}", says::rule(view, &alert.pack, &alert.rule)?, alert.day)));
    }
    let held: Vec<(&str, &str)> = held.iter().map(|(id, title)| (id.as_str(), title.as_str())).collect();
    let inside = html! {
        @if case.is_closed {
            (one("reopen", note("reopen-note"), view.say("重新打开", "Open it again"), ""))
        } @else {
            (one("close", html! { (choice("outcome", view.say("处理结果", "What came of it"), "none", &outcomes)) (note("close-note")) }, view.say("结案", "Close it"), "first"))
            (folded(view.say("备注", "Write a note"), one("note", note("note-note"), view.say("保存备注", "Keep the note"), "")))
            @if !others.is_empty() { (one("link", choice("alerts", view.say("并入告警", "Take an alert in"), "", &others), view.say("并入", "Take in"), "")) }
            @if held.len() > 1 { (one("unlink", html! { div.field { label for="unlink" { (view.say("移出告警", "Take an alert out")) } select id="unlink" name="alerts" { @for (id, title) in &held { option value=(id) { (title) } } } } }, view.say("移出", "Take out"), "")) }
        }
    };
    Ok(html! { div.steps { (card(view.say("处理", "What to do with it"), inside)) } })
}

fn open(ask: &Ask<'_>, given: Opening) -> Result<Body, Problem> {
    api::open(ask, New { title: given.title, alerts: ids(&given.alerts) })?;
    Ok(Body::see("/cases"))
}

fn ids(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn step(ask: &Ask<'_>, given: Given) -> Result<Body, Problem> {
    let outcome = || OUTCOMES.iter().find(|(word, _)| *word == given.outcome).map(|(_, outcome)| *outcome);
    let step = match given.step.as_str() {
        "link" => Next::Link(ids(&given.alerts)),
        "unlink" => Next::Unlink(ids(&given.alerts)),
        "note" => Next::Note,
        "close" => Next::Close(outcome().ok_or_else(|| Problem::malformed("say what came of it"))?),
        "reopen" => Next::Reopen,
        _ => return Err(Problem::malformed("there is no such step")),
    };
    api::step(ask, Step { step, note: given.note })?;
    Ok(Body::see(format!("/cases/{}", ask.param("case")?)))
}
