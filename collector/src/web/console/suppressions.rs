//! Suppressions: what opens no alert for people for a time.

use maud::{Markup, html};
use serde::Deserialize;

use super::cases::rooms;
use super::frame::Room;
use super::parts::{self, Table, Tone, badge, card, empty, field, mark, more, text_field};
use super::view::View;
use crate::alerts::Suppression;
use crate::alerts::desk::Suppress;
use crate::clock::day_begins_in_china;
use crate::operators::Act;
use crate::web::api::cases as api;
use crate::web::api::operators::Why;
use crate::web::api::page::Turn;
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    let act = Act::Suppress;
    vec![
        page("/suppressions", act, ("Suppressions", "抑制"), show),
        form("/suppressions", act, ("Suppress", "新建抑制"), begin),
        form("/suppressions/{suppression}/end", act, ("End a suppression", "结束抑制"), end),
    ]
}

/// What a form is filled with, and what it sends.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    pack: String,
    rule: String,
    person: String,
    department: String,
    site: String,
    device: String,
    from: String,
    until: String,
    maintenance: String,
    reason: String,
    cursor: String,
}

#[derive(Deserialize)]
struct Ending {
    reason: String,
}

fn show(ask: &Ask<'_>, asked: Asked) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let cursor = Some(asked.cursor.clone()).filter(|cursor| !cursor.is_empty());
    let found = api::suppressions(ask, Turn { cursor, limit: None })?;
    let rows: Vec<Vec<Markup>> = found.items.iter().map(|it| row(&view, it)).collect();
    let heads = vec![
        view.say("范围", "What"),
        view.say("状态", "State"),
        view.say("期限", "When"),
        view.say("#告警", "#Alerts"),
        view.say("负责人与理由", "Owner and reason"),
        view.say("操作", "Do"),
    ];
    let title = view.say("抑制", "Suppressions");
    let next = found.next.map(|cursor| {
        super::alerts::at("/suppressions", &super::alerts::encoded([("cursor", cursor.as_str())].into_iter()))
    });
    let sentence = view.say(
        "抑制期间到达的命中照常保存并可检索，但不进入待处理队列、不计时限。每一项都有负责人、理由和期限。",
        "What arrives under a suppression is kept and can be found, but is in nobody's queue and has no clock. Each has an owner, a reason and an end.",
    );
    let body = html! {
        (parts::heading(title, Some(sentence), None))
        (rooms(&view, "/suppressions"))
        section.card {
            @if rows.is_empty() { (empty(view.say("没有抑制", "Nothing is suppressed"), view.say("已知事项或维护期间，可在下方新建。", "For what is known, or while something is being worked on, begin one below."), None)) }
            @else { (Table { caption: title, heads, rows }.show()) }
            (more(tongue, next))
        }
        div id="begin" { (card(view.say("新建抑制", "Begin one"), beginning(&view, &asked))) }
    };
    Ok(view.page(Some(Room::Cases), title, body))
}

fn row(view: &View<'_>, it: &Suppression) -> Vec<Markup> {
    let tongue = view.tongue();
    let (tone, word) = match it.state {
        "holds" => (Tone::Warn, view.say("生效中", "Holds")),
        "coming" => (Tone::Note, view.say("未开始", "Coming")),
        "ended" => (Tone::Plain, view.say("已提前结束", "Ended")),
        _ => (Tone::Plain, view.say("已到期", "Over")),
    };
    let parts = [
        (view.say("规则包", "pack"), &it.pack),
        (view.say("规则", "rule"), &it.rule),
        (view.say("账号", "account"), &it.person),
        (view.say("部门", "department"), &it.department),
        (view.say("站点", "site"), &it.site),
        (view.say("设备", "device"), &it.device),
    ];
    let ends = matches!(it.state, "holds" | "coming");
    vec![
        html! {
            @for (name, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) { div { span.faint { (name) " " } span.id { (value) } } }
            @if it.kind == "maintenance" { (badge(Tone::Plain, view.say("维护", "Maintenance"))) }
        },
        badge(tone, word),
        html! { (tongue.at(it.from_ms)) div { "– " (tongue.at(it.until_ms)) } },
        html! { (it.alerts) },
        html! { b { (it.by) } p.written { (it.reason) } },
        html! {
            @if ends {
                form.inline method="post" action={ "/suppressions/" (it.suppression) "/end" } {
                    (mark(view))
                    input type="text" name="reason" required minlength="4" maxlength="300" aria-label=(view.say("结束理由", "Why it ends")) placeholder=(view.say("结束理由", "Why it ends"));
                    button type="submit" { (view.say("结束", "End")) }
                }
            }
        },
    ]
}

fn beginning(view: &View<'_>, asked: &Asked) -> Markup {
    let day = |id: &str, label: &str, value: &str, needed: bool, hint: &str| {
        let control = html! { input type="date" id=(id) name=(id) value=(value) required[needed] aria-describedby={ (id) "-hint" }; };
        field(id, label, control, Some(hint))
    };
    html! {
        form method="post" action="/suppressions" {
            (mark(view))
            p.hint { (view.say("至少填写一项范围；多项须同时符合。", "Name at least one; what is covered fits all that are named.")) }
            div.columns {
                (text_field("pack", view.say("规则包", "Pack"), &asked.pack, false, None))
                (text_field("rule", view.say("规则", "Rule"), &asked.rule, false, None))
                (text_field("person", view.say("账号", "Account"), &asked.person, false, None))
                (text_field("department", view.say("部门", "Department"), &asked.department, false, None))
                (text_field("site", view.say("站点", "Site"), &asked.site, false, None))
                (text_field("device", view.say("设备编号", "Device (UUID)"), &asked.device, false, None))
                (day("from", view.say("开始日", "First day"), &asked.from, false, view.say("留空即刻生效", "At once where it is empty")))
                (day("until", view.say("结束日", "Until"), &asked.until, true, view.say("当天零点起不再生效，最长一年", "The first day on which it does not hold, within a year")))
            }
            (field("reason", view.say("理由", "Reason"), html! { input type="text" id="reason" name="reason" required minlength="4" maxlength="300" autocomplete="off"; }, None))
            label.check { input type="checkbox" name="maintenance" value="1"; span { (view.say("维护（规则或系统正在调整）", "Maintenance: something is being worked on")) } }
            button.first type="submit" { (view.say("开始抑制", "Suppress")) }
        }
    }
}

fn begin(ask: &Ask<'_>, asked: Asked) -> Result<Body, Problem> {
    let day = |text: &str| {
        day_begins_in_china(text.trim())
            .ok_or_else(|| Problem::malformed(format!("{text:?} is no day; write it like 2026-11-20")))
    };
    let from_ms = if asked.from.trim().is_empty() { ask.now_ms } else { day(&asked.from)? };
    let trimmed = |text: &str| text.trim().to_owned();
    let what = Suppress {
        is_maintenance: !asked.maintenance.is_empty(),
        pack: trimmed(&asked.pack),
        rule: trimmed(&asked.rule),
        person: trimmed(&asked.person),
        department: trimmed(&asked.department),
        site: trimmed(&asked.site),
        device: trimmed(&asked.device),
        from_ms,
        until_ms: day(&asked.until)?,
    };
    api::suppress(ask, api::Begin { what, reason: asked.reason })?;
    Ok(Body::see("/suppressions"))
}

fn end(ask: &Ask<'_>, ending: Ending) -> Result<Body, Problem> {
    api::end_suppression(ask, Why { reason: ending.reason })?;
    Ok(Body::see("/suppressions"))
}
