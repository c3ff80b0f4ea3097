//! Which account-days were seen: a strip of days for the first page, and a calendar of accounts.

use maud::{Markup, html};

use super::frame::Room;
use super::parts::{self, card, card_with};
use super::tongue::Tongue;
use super::view::View;
use crate::coverage::Day;
use crate::operators::Act;
use crate::web::api::overview::{self, Coverage, Which};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, page};

pub(super) fn routes() -> Vec<Route> {
    vec![page("/coverage", Act::SeePeople, ("What was seen", "覆盖日历"), show)]
}

/// How dark a day is: in quarters of what was to be seen.
fn shade(day: &Day) -> &'static str {
    match (day.managed, day.seen.saturating_mul(100).checked_div(day.managed).unwrap_or(0)) {
        (0, _) => "none",
        (_, 0) => "shade0",
        (_, 1..50) => "shade1",
        (_, 50..80) => "shade2",
        (_, 80..98) => "shade3",
        _ => "shade4",
    }
}

/// Four weeks as a strip, one mark a day.
pub(super) fn strip(tongue: Tongue, days: &[Day]) -> Markup {
    let title = tongue.of("覆盖日历", "Coverage");
    let beside = html! { a href="/coverage" { (tongue.of("按账号查看", "By account")) } };
    if days.iter().all(|day| day.managed == 0) {
        let sentence = tongue.of(
            "发布花名册后，这里显示每天有多少受管账号的消息被检查。",
            "With a roster published, this shows of how many managed accounts messages were looked at each day.",
        );
        return card(title, parts::empty(tongue.of("还没有花名册", "No roster yet"), sentence, None));
    }
    let said = |day: &Day| {
        tongue.of(
            format!("{}：{} / {} 个账号", day.day, day.seen, day.managed),
            format!("{}: {} of {} accounts", day.day, day.seen, day.managed),
        )
    };
    card_with(
        title,
        beside,
        html! {
            ol.days aria-label=(title) {
                @for day in days {
                    li class=(shade(day)) title=(said(day)) { span.unseen { (said(day)) } span aria-hidden="true" { (day.day.get(8..).unwrap_or_default()) } }
                }
            }
            (legend(tongue))
        },
    )
}

fn legend(tongue: Tongue) -> Markup {
    html! {
        p.legend.faint aria-hidden="true" {
            (tongue.of("无消息", "nothing")) i.shade0 {} i.shade1 {} i.shade2 {} i.shade3 {} i.shade4 {} (tongue.of("全部账号", "every account"))
        }
    }
}

fn show(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    let view = View::of(ask);
    let (tongue, until) = (view.tongue(), which.until.clone());
    let Coverage { days, accounts } = overview::coverage(ask, which)?;
    let title = view.say("覆盖日历", "Coverage");
    let sentence = view.say("每个受管账号每天是否有消息被检查。空白日可能是休假，也可能是导出缺失。", "Whether messages of each managed account were looked at on each day. An empty day may be a day off, or an export that is missing.");
    let next = accounts.next.as_deref().map(|cursor| {
        let fields = [("cursor", Some(cursor)), ("until", until.as_deref())];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        format!("/coverage?{}", serde_html_form::to_string(fields.collect::<Vec<_>>()).unwrap_or_default())
    });
    let middle = html! {
        (parts::heading(title, Some(sentence), None))
        @if accounts.items.is_empty() {
            (card(title, parts::empty(view.say("没有受管账号", "No managed account"), view.say("请先发布花名册：people publish。", "Publish a roster first: people publish."), None)))
        } @else {
            section.card {
                div.scroll role="region" aria-label=(title) tabindex="0" {
                    table.calendar {
                        thead { tr {
                            th scope="col" { (view.say("账号", "Account")) }
                            @for day in &days { th.number scope="col" { abbr title=(day.day) { (day.day.get(8..).unwrap_or_default()) } } }
                        } }
                        tbody {
                            @for row in &accounts.items {
                                tr {
                                    th.id scope="row" { (row.account) }
                                    @for (mark, day) in row.days.iter().zip(&days) { (cell(tongue, mark, &day.day)) }
                                }
                            }
                        }
                        tfoot { tr {
                            th scope="row" { (view.say("合计", "All")) }
                            @for day in &days { td.number { (day.seen) } }
                        } }
                    }
                }
                (parts::more(tongue, next))
            }
        }
    };
    Ok(view.page(Some(Room::Overview), title, middle))
}

fn cell(tongue: Tongue, mark: &str, day: &str) -> Markup {
    let (class, words) = match mark {
        "seen" => ("shade4", tongue.of("已检查", "seen")),
        "silent" => ("shade0", tongue.of("无消息", "nothing")),
        _ => ("none", tongue.of("不受管", "not managed")),
    };
    html! { td class=(class) title={ (day.get(5..).unwrap_or(day)) " " (words) } { span.unseen { (words) } } }
}
