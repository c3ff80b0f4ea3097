//! One alert: what, who and when, why it matched, what became of it, what to do, what proves it.

use maud::{Markup, html};
use serde::Deserialize;

use super::{actions, says, why};
use crate::alerts::{Alert, Happened};
use crate::operators::Act;
use crate::web::api::alert as one;
use crate::web::api::alerts::{self as api, Why, concerning, is_ones_own};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Tone, card, card_with, facts, level, notice};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/alerts/{alert}", Act::SeeAlerts, ("An alert", "告警详情"), show),
        form("/alerts/{alert}/read", Act::SeeExcerpts, ("Read what was found", "查看命中内容"), read),
        form("/alerts/{alert}/evidence", Act::Export, ("Take evidence along", "下载证据包"), evidence),
    ]
}

/// Why somebody looks, and from which finding on.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Reading {
    pub(super) reason: String,
    pub(super) from: usize,
}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let alert = api::visible(ask, ask.param("alert")?)?;
    let may_read = ask.may(Act::SeeExcerpts, Some(&concerning(&alert)));
    // A page that only looks for news reads nothing: that would be noted, and be news itself.
    let found = if may_read && !ask.is_quiet() && is_ones_own(ask, &alert)? {
        Some(api::findings(ask, Why::default())?)
    } else {
        None
    };
    shown(ask, &alert, found.map(|found| (found, Reading::default())))
}

fn read(ask: &Ask<'_>, given: Reading) -> Result<Body, Problem> {
    let alert = api::visible(ask, ask.param("alert")?)?;
    let found = api::findings(ask, Why { reason: given.reason.clone() })?;
    shown(ask, &alert, Some((found, given)))
}

fn evidence(ask: &Ask<'_>, given: Reading) -> Result<Body, Problem> {
    one::evidence(ask, Why { reason: given.reason })
}

fn shown(ask: &Ask<'_>, alert: &Alert, found: Option<(api::Findings, Reading)>) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let title = says::rule(&view, &alert.pack, &alert.rule)?;
    let history = api::history(ask, Nothing::default())?;
    let related = one::related_of(ask, alert)?;
    let state = format!("{} {:?} {}", alert.findings, history.last().map(|it| it.entry), alert.state);
    let actions = html! { a.button href="/alerts" { (view.say("返回列表", "Back to the list")) } };
    let body = html! {
        (parts::heading(&title, Some(&says::category(tongue, &alert.category)), Some(actions)))
        (notices(&view, alert)?)
        div.main-and-side id="alert" data-live="announce" data-state=(state) data-count=(alert.findings) {
            div.stack {
                button.first.arrived type="button" hidden { (view.say("有新进展，点击刷新", "Something happened — show")) }
                (why::found(&view, alert, found)?)
                (why::rule(&view, alert)?)
                (card(view.say("经过", "What became of it"), timeline(&view, &history)))
                @if !related.is_empty() {
                    (card(view.say("同一人员的其他告警", "Other alerts of the same person"), beside(&view, &related)?))
                }
            }
            div.stack {
                (head(&view, alert)?)
                (actions::card(&view, alert)?)
                (actions::playbook(&view, alert)?)
                (proof(&view, alert)?)
            }
        }
    };
    Ok(view.page(Some(Room::Alerts), &title, body))
}

fn notices(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    let tongue = view.tongue();
    Ok(html! {
        @if alert.appeal == Some("open") {
            (notice(Tone::Warn, html! { p { (view.say("当事人已提出申诉，待裁决。裁决人不能是结案人。", "The person concerned objects, and nobody has decided yet. Whoever closed it does not decide.")) } }))
        }
        @if let Some(of) = &alert.duplicate_of {
            (notice(Tone::Plain, html! { p { (view.say("与此告警重复：", "Tells the same as ")) a href={ "/alerts/" (of) } { (of.get(..12).unwrap_or(of)) } } }))
        }
        @if alert.fresh > 0 {
            (notice(Tone::Note, html! { p { (view.say(format!("结案后又来了 {} 处命中。", alert.fresh), format!("{} findings came after it was closed.", alert.fresh))) } }))
        }
        @if alert.suppressed_by.is_some() {
            (notice(Tone::Plain, html! { p { (view.say("此告警被抑制，不计时限。", "This alert is suppressed: no clock runs.")) } }))
        }
        @if let Some(late) = alert.late {
            (notice(Tone::Note, html! { p {
                (view.say("到达较晚：", "It came late: ")) (says::late(tongue, late))
                @if let Some(age) = alert.age_ms { (view.say("，距消息发送 ", ", ")) (tongue.span(age)) (view.say("", " after the message")) }
            } }))
        }
    })
}

fn head(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    let (tongue, now_ms) = (view.tongue(), view.ask.now_ms);
    let time = |ms: Option<i64>| ms.map_or_else(|| html! { "—" }, |ms| tongue.at(ms));
    let mut rows = vec![
        (view.say("状态", "State"), html! { (says::state(tongue, alert)) }),
        (view.say("时限", "Clock"), says::clock(tongue, alert, now_ms)),
        (view.say("处理人", "Assignee"), html! { (if alert.assignee.is_empty() { "—" } else { &alert.assignee }) }),
        (view.say("人员", "Person"), says::person(view, &alert.person)?),
        (view.say("部门", "Department"), html! { (if alert.department.is_empty() { "—" } else { &alert.department }) }),
        (view.say("站点", "Site"), html! { (if alert.site.is_empty() { "—" } else { &alert.site }) }),
        (
            view.say("消息时间", "Messages"),
            html! {
                (time(alert.first_msgtime))
                @if alert.last_msgtime != alert.first_msgtime { " – " (time(alert.last_msgtime)) }
            },
        ),
        (view.say("到达", "Arrived"), tongue.at(alert.opened_ms)),
        (view.say("命中", "Findings"), html! { (alert.findings) }),
        (
            view.say("观察设备", "Seen by"),
            html! {
                @for device in &alert.devices {
                    @if view.may(Act::SeeDevices) { a.id href={ "/devices/" (device) } { (device.get(..8).unwrap_or(device)) } " " }
                    @else { span.id { (device.get(..8).unwrap_or(device)) } " " }
                }
            },
        ),
    ];
    if let (Some(case), true) = (&alert.case, view.may(Act::SeeCases)) {
        rows.push((
            view.say("案件", "Case"),
            html! { a href={ "/cases/" (case) } { (view.say("查看案件", "Its case")) } },
        ));
    }
    if let Some(appeal) = alert.appeal {
        let words = match appeal {
            "granted" => view.say("成立", "granted"),
            "denied" => view.say("不成立", "denied"),
            _ => view.say("待裁决", "not decided yet"),
        };
        rows.push((view.say("申诉", "Objection"), html! { (words) }));
    }
    Ok(card_with(view.say("概况", "In short"), level(tongue, alert.level), facts(rows)))
}

fn timeline(view: &View<'_>, history: &[Happened]) -> Markup {
    let tongue = view.tongue();
    html! {
        ol.timeline {
            @for it in history.iter().rev() {
                li {
                    b { (says::happened(tongue, &it.what)) }
                    @if let Some(step) = it.step { " " (step) }
                    @if let Some(ending) = &it.ending { " · " (says::ending(tongue, ending)) }
                    @if !it.assignee.is_empty() && it.assignee != it.by { " → " (it.assignee) }
                    div.faint { @if !it.by.is_empty() { (it.by) " · " } (tongue.at(it.at_ms)) " · " (view.say("日志 ", "log ")) (it.entry) }
                    @if let Some(note) = &it.note { p.written { (note) } }
                    @if it.note_erased { p.faint { (view.say("（备注已删除）", "(what was written is erased)")) } }
                }
            }
        }
    }
}

fn beside(view: &View<'_>, related: &[Alert]) -> Result<Markup, Problem> {
    let tongue = view.tongue();
    let mut all = Vec::new();
    for alert in related {
        let title = says::rule(view, &alert.pack, &alert.rule)?;
        all.push(html! {
            li.row { (level(tongue, alert.level)) a href={ "/alerts/" (alert.alert) } { (title) } (says::state(tongue, alert)) span.faint { (tongue.ago(alert.opened_ms, view.ask.now_ms)) } }
        });
    }
    Ok(html! { ul.plain { @for one in all { (one) } } })
}

/// Where it stands in the log, and the file that proves it.
fn proof(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    let proof = one::proof_of(view.ask, alert)?;
    let takes =
        view.ask.may(Act::Export, Some(&concerning(alert))) && view.ask.may(Act::SeeExcerpts, Some(&concerning(alert)));
    let covered = proof.entry < proof.size;
    let rows = [
        (view.say("日志条目", "Log entry"), html! { (proof.entry) }),
        (
            view.say("检查点", "Checkpoint"),
            html! {
                @if covered { (parts::badge(Tone::Good, view.say("已收录", "Included"))) " " } @else { (parts::badge(Tone::Warn, view.say("未收录", "Not yet"))) " " }
                (view.say(format!("共 {} 条", proof.size), format!("of {} entries", proof.size)))
            },
        ),
        (
            view.say("根哈希", "Root"),
            html! { span.id title=(proof.root) { (proof.root.get(..16).unwrap_or(&proof.root)) "…" } },
        ),
        (
            view.say("见证方", "Witnesses"),
            html! {
                @if proof.witnesses.is_empty() { (view.say("无", "none")) } @else { (proof.witnesses.len()) }
            },
        ),
        (view.say("编号", "Id"), html! { span.id { (alert.alert) } }),
    ];
    let inside = html! {
        (facts(rows))
        @if takes {
            form method="post" action={ "/alerts/" (alert.alert) "/evidence" } data-plain {
                (parts::mark(view))
                (super::bulk::reason(view, "evidence-reason"))
                button type="submit" { (view.say("下载证据包", "Download the evidence")) }
                p.hint { (view.say("一个文件，离线即可核验：watchpost-collector verify 文件", "One file; anybody checks it offline: watchpost-collector verify FILE")) }
            }
        }
    };
    Ok(card(view.say("证明", "Proof"), inside))
}
