//! Alerts: the queue, and each of them.

mod actions;
mod bulk;
mod filter;
mod page;
pub(super) mod says;
mod why;

use maud::{Markup, html};
use watchpost_proto::digest::hash;

use super::frame::Room;
use super::parts::{self, Table, Tone, empty, level, more, notice, tabs};
use super::view::View;
use crate::alerts::{self, Alert, Standing};
use crate::operators::Act;
use crate::web::api::{alerts as api, search};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, page};
pub(super) use bulk::{FORMATS, format, reason};
use filter::{VIEWS, Wanted};
pub(super) use filter::{at, encoded};

/// Alerts of one page: with everything that is around them it stays light.
const ROWS: u32 = 40;

pub(super) fn routes() -> Vec<Route> {
    let queue = vec![page("/alerts", Act::SeeAlerts, ("Alerts", "告警"), show)];
    [queue, bulk::routes(), page::routes(), actions::routes()].into_iter().flatten().collect()
}

fn show(ask: &Ask<'_>, wanted: Wanted) -> Result<Body, Problem> {
    let view = View::of(ask);
    let which = api::Which { limit: Some(ROWS), ..wanted.which() };
    let standing = alerts::standing(ask.derived()?, &which.filter(ask)?)?;
    let found = api::list(ask, which)?;
    let title = Room::Alerts.title(view.tongue());
    let sentence = view.say(
        format!(
            "{} 个告警，{} 处命中。",
            view.tongue().number(standing.alerts),
            view.tongue().number(standing.findings)
        ),
        format!(
            "{} alerts, {} findings.",
            view.tongue().number(standing.alerts),
            view.tongue().number(standing.findings)
        ),
    );
    let works = ask.may(Act::WorkAlerts, None);
    let actions = html! { @if works { a.button href="/delegate" { (view.say("代理", "Stand-ins")) } } @if view.may(Act::Suppress) { a.button href="/suppressions" { (view.say("抑制", "Suppressions")) } } };
    let next = found.next.as_deref().map(|cursor| wanted.page(cursor));
    let body = html! {
        (parts::heading(title, Some(&sentence), Some(actions)))
        (views(&view, &wanted))
        (kept(&view, &wanted)?)
        (filter::form(&view, &wanted)?)
        (told(&view, &wanted))
        div.stack id="queue" data-live="announce" data-state=(state_of(&found.items, &standing)) data-count=(standing.alerts) {
            (arrived(&view))
            section.card {
                @if found.items.is_empty() { (nothing(&view, &wanted)) }
                @else if works { (bulk::form(&view, &wanted, standing.alerts, rows(&view, &found.items, true)?)?) }
                @else { (rows(&view, &found.items, false)?) }
                (more(view.tongue(), next))
            }
        }
        @if !found.items.is_empty() { (bulk::groups(&view, &wanted, works)?) }
        @if !found.items.is_empty() && view.may(Act::Export) { (bulk::export(&view, &wanted)) }
    };
    Ok(view.page(Some(Room::Alerts), title, body))
}

/// Changes whenever what is shown would.
fn state_of(items: &[Alert], standing: &Standing) -> String {
    let shown: Vec<String> = items
        .iter()
        .map(|it| format!("{} {} {} {} {:?}", it.alert, it.state, it.assignee, it.findings, it.ending))
        .collect();
    let whole = format!("{} {}", standing.alerts, standing.newest);
    hash("watchpost/state", &[shown.join("\n").as_bytes(), whole.as_bytes()]).to_string().chars().take(16).collect()
}

/// What says that there is something new; nothing moves until it is pressed.
fn arrived(view: &View<'_>) -> Markup {
    html! {
        button.first.arrived type="button" hidden data-more=(view.say("{n} 条新告警，点击显示", "{n} new alerts — show")) {
            (view.say("列表有变化，点击刷新", "The list has changed — show"))
        }
    }
}

fn views(view: &View<'_>, wanted: &Wanted) -> Markup {
    let all: Vec<(String, &str, bool)> =
        VIEWS.iter().map(|(name, zh, en)| (wanted.in_view(name), view.say(*zh, *en), wanted.view == *name)).collect();
    tabs(view.say("告警视图", "Views of alerts"), &all)
}

/// Searches that are kept, and the form to keep this one.
fn kept(view: &View<'_>, wanted: &Wanted) -> Result<Markup, Problem> {
    let kept = search::list(view.ask, crate::web::route::Nothing::default())?;
    let query = wanted.query().filter(|_| view.may(Act::KeepSearches));
    Ok(html! {
        @if !kept.is_empty() || query.is_some() {
            div.chips {
                @for one in &kept { (super::search::chip(view, one, Wanted::of_query(&one.query, view.ask.now_ms).map(|it| it.path()))) }
                @if let Some(query) = &query { (super::search::keep(view, query, &wanted.path())) }
            }
        }
    })
}

/// What the step before did.
fn told(view: &View<'_>, wanted: &Wanted) -> Markup {
    let (Some(changed), unchanged) = (wanted.changed, wanted.unchanged.unwrap_or(0)) else { return html! {} };
    let tone = if unchanged > 0 { Tone::Warn } else { Tone::Good };
    notice(
        tone,
        html! {
            p { (view.say(format!("已处理 {changed} 个告警。"), format!("{changed} alerts changed."))) }
            @if unchanged > 0 {
                p { (view.say(
                    format!("{unchanged} 个保持原样：该操作与其当时的状态不符，可能已有人先处理。"),
                    format!("{unchanged} stayed as they were: the step did not fit how they stood; somebody may have been first."),
                )) }
            }
        },
    )
}

fn nothing(view: &View<'_>, wanted: &Wanted) -> Markup {
    if wanted.is_narrow() {
        let clear = html! { a.button href=(Wanted::default().in_view(&wanted.view)) { (view.say("清除筛选", "Clear the filter")) } };
        let sentence = view.say("换一个条件，或清除筛选。", "Try another condition, or clear the filter.");
        return empty(view.say("没有符合条件的告警", "No alert is like that"), sentence, Some(clear));
    }
    let (title, sentence) = match wanted.view.as_str() {
        "mine" => (
            view.say("您名下没有待处理的告警", "Nothing is yours to do"),
            view.say("在“待处理”中认领一个。", "Take one from “To do”."),
        ),
        "overdue" => (
            view.say("没有超时的告警", "Nothing is late"),
            view.say("所有时限都还来得及。", "Every clock is still in time."),
        ),
        "closed" => (
            view.say("还没有已结案的告警", "Nothing is closed yet"),
            view.say("结案后会列在这里。", "What is closed is listed here."),
        ),
        "appealed" => (
            view.say("没有待决的申诉", "No objection waits"),
            view.say("当事人提出异议后会列在这里。", "When somebody objects, it is listed here."),
        ),
        "suppressed" => (
            view.say("没有被抑制的告警", "Nothing is suppressed"),
            view.say("抑制期间到达的告警会列在这里。", "What arrives under a suppression is listed here."),
        ),
        _ => (
            view.say("没有待处理的告警", "Nothing to do"),
            view.say("新告警到达时会在此提示，无需刷新。", "When something arrives, this page says so by itself."),
        ),
    };
    let devices = view.may(Act::SeeDevices).then(
        || html! { a.button href="/devices" { (view.say("查看设备是否在线", "See whether devices are online")) } },
    );
    empty(title, sentence, devices.filter(|_| wanted.view.is_empty()))
}

/// Alerts as a table; with boxes to tick where something can be done with them.
pub(super) fn rows(view: &View<'_>, items: &[Alert], ticks: bool) -> Result<Markup, Problem> {
    let (tongue, now_ms) = (view.tongue(), view.ask.now_ms);
    let mut rows = Vec::new();
    for alert in items {
        let title = says::rule(view, &alert.pack, &alert.rule)?;
        let label = view.say(format!("选择 {title}"), format!("Select {title}"));
        let mut cells = vec![
            level(tongue, alert.level),
            html! {
                a.what href={ "/alerts/" (alert.alert) } data-row { (title) }
                div.faint { (says::category(tongue, &alert.category)) }
            },
            html! {
                (says::person(view, &alert.person)?)
                div.faint { (place(alert)) }
            },
            tongue.ago(alert.opened_ms, now_ms),
            html! { (alert.findings) },
            says::clock(tongue, alert, now_ms),
            html! {
                (says::state(tongue, alert))
                @if !alert.assignee.is_empty() { div.faint { (alert.assignee) } }
                @if alert.appeal == Some("open") { " " (parts::badge(Tone::Warn, view.say("申诉", "Objection"))) }
                @if alert.escalated_ms.is_some() && alert.state != "closed" { " " (parts::badge(Tone::Bad, view.say("已升级", "Escalated"))) }
            },
        ];
        if ticks {
            cells.insert(
                0,
                html! { label.tick { input type="checkbox" name="alerts" value=(alert.alert) aria-label=(label); } },
            );
        }
        rows.push(cells);
    }
    let mut heads = vec![
        view.say("级别", "Level"),
        view.say("告警", "What"),
        view.say("人员", "Who"),
        view.say("到达", "Arrived"),
        view.say("#命中", "#Findings"),
        view.say("时限", "Clock"),
        view.say("状态", "State"),
    ];
    if ticks {
        heads.insert(0, view.say("选择", "Select"));
    }
    Ok(Table { caption: view.say("告警列表", "Alerts"), heads, rows }.show())
}

/// Department and site.
fn place(alert: &Alert) -> String {
    [alert.department.as_str(), alert.site.as_str()]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join(" · ")
}

/// Alerts of one person that whoever looks may see, the newest first.
pub(super) fn of_person(view: &View<'_>, person: &str) -> Result<Vec<Alert>, Problem> {
    let which = api::Which { person: Some(person.to_owned()), newest: true, ..api::Which::default() };
    Ok(api::list(view.ask, which)?.items)
}
