//! Many alerts at once: those that are ticked, all of a filter, all of a rule or a person; and the list as a file.

use maud::{Markup, html};
use serde::Deserialize;

use super::filter::Wanted;
use super::says;
use crate::alerts::desk::What;
use crate::alerts::work::Ending;
use crate::alerts::{self, Group};
use crate::export::Format;
use crate::operators::Act;
use crate::web::api::alerts as api;
use crate::web::api::{delegate, exports};
use crate::web::ask::Ask;
use crate::web::console::parts::{choice, field, mark, text_field};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form as form_route};

/// Alerts of one step from a page.
const ALL_MAX: u64 = 500;
/// Groups that are offered.
const GROUPS: u32 = 8;

pub(super) fn routes() -> Vec<Route> {
    vec![
        form_route("/alerts/step", Act::WorkAlerts, ("A step with many alerts", "批量处置"), step),
        form_route("/alerts/export", Act::Export, ("Alerts as a file", "导出告警"), take_along),
    ]
}

/// What is done with many.
#[derive(Deserialize)]
struct Many {
    #[serde(default)]
    alerts: Vec<String>,
    /// All of the filter, not only those that are ticked.
    #[serde(default)]
    all: String,
    #[serde(default)]
    filter: String,
    step: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize)]
struct Along {
    #[serde(default)]
    filter: String,
    format: String,
    #[serde(default)]
    reason: String,
}

/// Steps by the words that forms have for them.
pub(super) fn what(step: &str, to: &str) -> Result<What, Problem> {
    Ok(match step {
        "take" => What::Take,
        "assign" => What::Assign(to.to_owned()),
        "put-back" => What::PutBack,
        "note" => What::Note,
        "confirmed" => What::Close(Ending::Confirmed),
        "false-alarm" => What::Close(Ending::FalseAlarm),
        "rule-withdrawn" => What::Close(Ending::RuleWithdrawn),
        "duplicate" => What::Duplicate(to.trim().to_owned()),
        "reopen" => What::Reopen,
        "appeal" => What::Appeal,
        "grant" => What::Grant,
        "deny" => What::Deny,
        "escalate" => What::Escalate,
        other => match other.strip_prefix("step-").and_then(|number| number.parse().ok()) {
            Some(number) => What::Step(number),
            None => return Err(Problem::malformed("there is no such step")),
        },
    })
}

fn filter_of(text: &str) -> Result<Wanted, Problem> {
    serde_html_form::from_str(text).map_err(|_| Problem::malformed("the filter cannot be read"))
}

fn step(ask: &Ask<'_>, many: Many) -> Result<Body, Problem> {
    let wanted = filter_of(&many.filter)?;
    let alerts = if many.all.is_empty() { many.alerts } else { all_of(ask, &wanted)? };
    if alerts.is_empty() {
        let view = View::of(ask);
        return Err(Problem::malformed(view.say("请至少勾选一个告警", "tick at least one alert")));
    }
    let (step, count) = (what(&many.step, &many.to)?, alerts.len());
    let done = api::step(ask, api::Step { alerts, step, note: many.note })?;
    let unchanged = done.unchanged.len();
    let told = format!("changed={}&unchanged={unchanged}", count - unchanged);
    let before = wanted.text();
    Ok(Body::see(if before.is_empty() { format!("/alerts?{told}") } else { format!("/alerts?{before}&{told}") }))
}

fn all_of(ask: &Ask<'_>, wanted: &Wanted) -> Result<Vec<String>, Problem> {
    let found = api::list(ask, api::Which { limit: Some(ALL_MAX as u32), cursor: None, ..wanted.which() })?;
    if found.next.is_some() {
        return Err(Problem::malformed("that is more than 500 alerts; narrow the filter"));
    }
    Ok(found.items.into_iter().map(|alert| alert.alert).collect())
}

/// The list with its boxes, and what can be done with what is ticked.
pub(super) fn form(view: &View<'_>, wanted: &Wanted, count: u64, rows: Markup) -> Result<Markup, Problem> {
    let steps = [
        ("take", view.say("认领", "Take")),
        ("assign", view.say("分派给…", "Assign to…")),
        ("put-back", view.say("退回队列", "Put back")),
        ("note", view.say("备注", "Note")),
        ("confirmed", view.say("结案：属实", "Close: confirmed")),
        ("false-alarm", view.say("结案：误报", "Close: false alarm")),
        ("rule-withdrawn", view.say("结案：规则已撤回", "Close: rule withdrawn")),
        ("escalate", view.say("升级", "Escalate")),
        ("reopen", view.say("重新打开", "Open again")),
    ];
    let workers = delegate::candidates(view.ask)?;
    let mut people = vec![("", "—")];
    people.extend(workers.iter().map(|name| (name.as_str(), name.as_str())));
    let first = if wanted.view == "closed" { "reopen" } else { "take" };
    Ok(html! {
        form method="post" action="/alerts/step" {
            (mark(view))
            input type="hidden" name="filter" value=(wanted.text());
            (rows)
            div.bulk {
                label.check { input type="checkbox" data-selects="alerts" hidden aria-label=(view.say("全选本页", "All of this page")); span.faint { (view.say("对勾选的告警：", "With those ticked:")) } }
                (choice("step", view.say("操作", "Step"), first, &steps))
                (choice("to", view.say("分派给", "To"), "", &people))
                (text_field("note", view.say("说明（误报、撤回、升级、重开时必填）", "Note (needed for false alarms, escalation, opening again)"), "", false, None))
                @if count <= ALL_MAX {
                    label.check { input type="checkbox" name="all" value="1"; span { (view.say(format!("全部 {count} 个（含其他页）"), format!("All {count}, other pages too"))) } }
                }
                button.first type="submit" { (view.say("执行", "Do it")) }
            }
        }
    })
}

/// The largest groups of what is listed: by rule and by person, each to be looked at or taken at once.
pub(super) fn groups(view: &View<'_>, wanted: &Wanted, works: bool) -> Result<Markup, Problem> {
    let filter = wanted.which().filter(view.ask)?;
    let of = |by| alerts::groups(view.ask.derived()?, &filter, by, GROUPS).map_err(Problem::from);
    let (rules, persons) = (of(Group::Rule)?, of(Group::Person)?);
    let mut left = Vec::new();
    for (pack, rule, many) in rules.iter().filter(|(_, _, many)| *many > 1) {
        let of_group = Wanted { pack: pack.clone(), rule: rule.clone(), ..plain(wanted) };
        left.push(group(view, &of_group, html! { (says::rule(view, pack, rule)?) }, *many, works));
    }
    let mut right = Vec::new();
    for (_, person, many) in persons.iter().filter(|(_, person, many)| *many > 1 && !person.is_empty()) {
        let of_group = Wanted { person: person.clone(), ..plain(wanted) };
        right.push(group(view, &of_group, says::person(view, person)?, *many, works));
    }
    Ok(html! {
        @if !left.is_empty() || !right.is_empty() {
            details.card {
                summary { (view.say("成组处理", "In groups")) }
                div.columns {
                    @if !left.is_empty() { div.stack { h3 { (view.say("同一规则", "Same rule")) } ul.plain { @for one in left { (one) } } } }
                    @if !right.is_empty() { div.stack { h3 { (view.say("同一人员", "Same person")) } ul.plain { @for one in right { (one) } } } }
                }
            }
        }
    })
}

fn plain(wanted: &Wanted) -> Wanted {
    Wanted { cursor: String::new(), changed: None, unchanged: None, ..wanted.clone() }
}

fn group(view: &View<'_>, wanted: &Wanted, name: Markup, many: u64, works: bool) -> Markup {
    let can_take = works && matches!(wanted.view.as_str(), "" | "overdue") && many <= ALL_MAX;
    html! {
        li.grouped {
            a href=(wanted.path()) { (name) } span.faint { (many) }
            @if can_take {
                form method="post" action="/alerts/step" {
                    (mark(view))
                    input type="hidden" name="filter" value=(wanted.text());
                    input type="hidden" name="all" value="1";
                    button type="submit" name="step" value="take" { (view.say("全部认领", "Take all")) }
                }
            }
        }
    }
}

/// The list as a file.
pub(super) fn export(view: &View<'_>, wanted: &Wanted) -> Markup {
    html! {
        details.card {
            summary { (view.say("导出此列表", "Take this list along")) }
            form.inline method="post" action="/alerts/export" data-plain {
                (mark(view))
                input type="hidden" name="filter" value=(wanted.text());
                (choice("format", view.say("格式", "Format"), "xlsx", &FORMATS))
                (reason(view, "export-reason"))
                button type="submit" { (view.say("下载", "Download")) }
            }
        }
    }
}

pub(in crate::web::console) const FORMATS: [(&str, &str); 3] =
    [("xlsx", "XLSX"), ("csv", "CSV"), ("jsonl", "JSON lines")];

/// Why, which goes into the audit trail.
pub(in crate::web::console) fn reason(view: &View<'_>, id: &str) -> Markup {
    let control =
        html! { input type="text" id=(id) name="reason" required minlength="4" maxlength="300" autocomplete="off"; };
    field(id, view.say("理由（写入审计）", "Reason (goes into the audit trail)"), control, None)
}

pub(in crate::web::console) fn format(word: &str) -> Format {
    match word {
        "csv" => Format::Csv { mark: true },
        "jsonl" => Format::Jsonl,
        _ => Format::Xlsx,
    }
}

fn take_along(ask: &Ask<'_>, along: Along) -> Result<Body, Problem> {
    let which = filter_of(&along.filter)?.which();
    exports::alerts(ask, &api::Which { reason: along.reason, cursor: None, ..which }, format(&along.format))
}
