//! What can be done with an alert: only what fits how it stands, and who looks.

use maud::{Markup, html};
use serde::Deserialize;

use super::bulk::what;
use crate::alerts::{self, Alert};
use crate::operators::Act;
use crate::web::api::alert as one;
use crate::web::api::alerts::{self as api, concerning, visible, workers_of};
use crate::web::api::cases;
use crate::web::ask::Ask;
use crate::web::console::parts::{self, choice, field, mark};
use crate::web::console::view::View;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Route, form};

pub(super) fn routes() -> Vec<Route> {
    vec![
        form("/alerts/{alert}/step", Act::WorkAlerts, ("A step with an alert", "处置告警"), step),
        form("/alerts/{alert}/case", Act::WorkAlerts, ("Take an alert into a case", "并入案件"), case),
    ]
}

#[derive(Deserialize)]
struct Step {
    step: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize)]
struct IntoCase {
    /// Empty where one is opened.
    #[serde(default)]
    case: String,
    #[serde(default)]
    title: String,
}

fn step(ask: &Ask<'_>, given: Step) -> Result<Body, Problem> {
    let alert = visible(ask, ask.param("alert")?)?.alert;
    let step = what(&given.step, &given.to)?;
    let done = api::step(ask, api::Step { alerts: vec![alert.clone()], step, note: given.note })?;
    if !done.unchanged.is_empty() {
        let told = View::of(ask).say(
            "该操作与告警当前状态不符，可能已有人先处理；请刷新后再看。",
            "the step does not fit how the alert stands by now; somebody may have been first. Reload the page.",
        );
        return Err(Problem::new(Kind::NotPossible).because(told));
    }
    Ok(Body::see(format!("/alerts/{alert}")))
}

fn case(ask: &Ask<'_>, given: IntoCase) -> Result<Body, Problem> {
    let alert = visible(ask, ask.param("alert")?)?.alert;
    if given.case.is_empty() {
        cases::open(ask, cases::New { title: given.title, alerts: vec![alert.clone()] })?;
    } else {
        cases::step_with(
            ask,
            &given.case,
            cases::Step { step: cases::Next::Link(vec![alert.clone()]), note: String::new() },
        )?;
    }
    Ok(Body::see(format!("/alerts/{alert}")))
}

/// A form with one step.
fn single(view: &View<'_>, alert: &Alert, step: &str, inside: Markup, button: (&str, &'static str)) -> Markup {
    html! {
        form method="post" action={ "/alerts/" (alert.alert) "/step" } {
            (mark(view))
            input type="hidden" name="step" value=(step);
            (inside)
            button class=(button.1) type="submit" { (button.0) }
        }
    }
}

fn note(view: &View<'_>, id: &str, is_needed: bool) -> Markup {
    let label = if is_needed { view.say("说明", "Note") } else { view.say("说明（可选）", "Note (optional)") };
    field(id, label, html! { textarea id=(id) name="note" required[is_needed] maxlength="4000" {} }, None)
}

/// One of what is seldom needed.
fn folded(title: &str, inside: Markup) -> Markup {
    html! { details { summary { (title) } div.opened { (inside) } } }
}

pub(super) fn card(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    if !view.ask.may(Act::WorkAlerts, Some(&concerning(alert))) {
        return Ok(html! {});
    }
    let me = view.ask.by()?;
    let is_closed = alert.state == "closed";
    let has_appeal = alert.appeal == Some("open");
    let inside = html! {
        @if alert.state == "open" { (single(view, alert, "take", html! {}, (view.say("认领", "Take it"), "first"))) }
        @if !is_closed && !has_appeal { (close(view, alert)) }
        @if has_appeal && alert.closed_by != me { (judge(view, alert)) }
        @if has_appeal && alert.closed_by == me { p.soft { (view.say("由您结案，申诉须由他人裁决。", "You closed it: somebody else decides about the objection.")) } }
        @if is_closed { (folded(view.say("重新打开", "Open it again"), single(view, alert, "reopen", note(view, "reopen-note", true), (view.say("重新打开", "Open it again"), "")))) }
        (folded(view.say("备注", "Write a note"), single(view, alert, "note", note(view, "note-note", true), (view.say("保存备注", "Keep the note"), ""))))
        @if !is_closed {
            (folded(view.say("分派", "Assign"), assign(view, alert)?))
            @if !alert.assignee.is_empty() { (single(view, alert, "put-back", html! {}, (view.say("退回队列", "Put back"), ""))) }
            @if alert.escalated_ms.is_none() { (folded(view.say("升级", "Escalate"), single(view, alert, "escalate", note(view, "escalate-note", true), (view.say("升级", "Escalate"), "")))) }
            @if !has_appeal { (folded(view.say("标为重复", "Mark as a duplicate"), duplicate(view, alert)?)) }
        }
        @if !has_appeal { (folded(view.say("记录当事人申诉", "Note an objection"), single(view, alert, "appeal", note(view, "appeal-note", true), (view.say("记录申诉", "Note the objection"), "")))) }
        @if alert.case.is_none() && !alert.person.is_empty() { (folded(view.say("并入案件", "Take into a case"), into_case(view, alert)?)) }
        @if view.may(Act::Suppress) { (suppress(view, alert)) }
    };
    Ok(html! { div.steps { (parts::card(view.say("处置", "What to do with it"), inside)) } })
}

fn close(view: &View<'_>, alert: &Alert) -> Markup {
    let endings = [
        ("confirmed", view.say("属实", "Confirmed")),
        ("false-alarm", view.say("误报（须说明）", "False alarm (say why)")),
        ("rule-withdrawn", view.say("规则已撤回（须说明）", "Rule withdrawn (say why)")),
    ];
    html! {
        form method="post" action={ "/alerts/" (alert.alert) "/step" } {
            (mark(view))
            (choice("step", view.say("结案", "Close as"), "confirmed", &endings))
            (note(view, "close-note", false))
            button class=(if alert.state == "open" { "" } else { "first" }) type="submit" { (view.say("结案", "Close it")) }
        }
    }
}

fn judge(view: &View<'_>, alert: &Alert) -> Markup {
    html! {
        form method="post" action={ "/alerts/" (alert.alert) "/step" } {
            (mark(view))
            (note(view, "judge-note", true))
            div.row {
                button.first type="submit" name="step" value="grant" { (view.say("申诉成立", "Grant the objection")) }
                button type="submit" name="step" value="deny" { (view.say("申诉不成立", "Deny it")) }
            }
        }
    }
}

fn assign(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    let workers = workers_of(view.ask, alert)?;
    let options: Vec<(&str, &str)> =
        workers.iter().filter(|name| **name != alert.assignee).map(|name| (name.as_str(), name.as_str())).collect();
    let inside = html! { (choice("to", view.say("分派给", "To"), "", &options)) (note(view, "assign-note", false)) };
    Ok(single(view, alert, "assign", inside, (view.say("分派", "Assign"), "")))
}

fn duplicate(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    let others = one::related_of(view.ask, alert)?;
    let control = html! {
        input type="text" id="duplicate-of" name="to" list="others" required pattern="[0-9a-f]{64}" autocomplete="off" aria-describedby="duplicate-of-hint";
        datalist id="others" { @for other in &others { option value=(other.alert) { (other.rule) " " (other.day) } } }
    };
    let hint = view.say("另一个告警的编号，64 位", "The id of the other alert, 64 characters");
    let inside = html! { (field("duplicate-of", view.say("重复于", "Tells the same as"), control, Some(hint))) (note(view, "duplicate-note", false)) };
    Ok(single(view, alert, "duplicate", inside, (view.say("按重复结案", "Close as a duplicate"), "")))
}

fn into_case(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    let all = alerts::cases(view.ask.derived()?, view.ask.log().connection(), None)?;
    let mut open = Vec::new();
    for case in all.into_iter().filter(|case| !case.is_closed && case.person == alert.person) {
        open.extend(cases::seen(view.ask, case)?);
    }
    let action = format!("/alerts/{}/case", alert.alert);
    Ok(html! {
        @for case in &open {
            form method="post" action=(action) {
                (mark(view))
                input type="hidden" name="case" value=(case.case);
                button type="submit" { (view.say("并入：", "Into: ")) (case.title.as_deref().unwrap_or("—")) }
            }
        }
        form method="post" action=(action) {
            (mark(view))
            (field("case-title", view.say("新案件名称", "Title of a new case"), html! { input type="text" id="case-title" name="title" required maxlength="200" autocomplete="off"; }, None))
            button type="submit" { (view.say("立案", "Open a case")) }
        }
    })
}

fn suppress(view: &View<'_>, alert: &Alert) -> Markup {
    let like = super::filter::encoded(
        [("pack", alert.pack.as_str()), ("rule", &alert.rule), ("person", &alert.person)].into_iter(),
    );
    html! { a href={ "/suppressions?" (like) "#begin" } { (view.say("抑制此类告警…", "Suppress what is like this…")) } }
}

/// What to do, step by step.
pub(super) fn playbook(view: &View<'_>, alert: &Alert) -> Result<Markup, Problem> {
    let steps = one::playbook_of(view.ask, alert)?;
    if steps.is_empty() {
        return Ok(html! {});
    }
    let works = view.ask.may(Act::WorkAlerts, Some(&concerning(alert))) && alert.state != "closed";
    Ok(parts::card(
        view.say("处置步骤", "Step by step"),
        html! {
            ol.playbook {
                @for step in &steps {
                    li.done[step.is_done] {
                        span { (view.say(&step.zh, &step.en)) }
                        @if step.is_done { (parts::badge(parts::Tone::Good, view.say("已完成", "Done"))) }
                        @else if works {
                            form method="post" action={ "/alerts/" (alert.alert) "/step" } {
                                (mark(view))
                                button.quiet type="submit" name="step" value={ "step-" (step.number) } { (view.say("标为完成", "Mark as done")) }
                            }
                        }
                    }
                }
            }
        },
    ))
}
