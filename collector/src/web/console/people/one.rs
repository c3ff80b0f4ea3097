//! One person: accounts, since when and until when, what they have acknowledged.

use maud::{Markup, html};

use super::{called, noticed_badge, stand_badge};
use crate::operators::Act;
use crate::people::standing::{AccountOf, OnePerson, Period};
use crate::web::api::people;
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::lists::{link, or_dash};
use crate::web::console::parts::{self, Table, Tone, badge, card, card_with, facts};
use crate::web::console::tongue::day;
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, page};

pub(super) fn routes() -> Vec<Route> {
    vec![page("/people/{person}", Act::SeePeople, ("A person", "人员详情"), show)]
}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let view = View::of(ask);
    let person = people::show(ask, Nothing {})?;
    let title = called(&person).to_owned();
    let body = html! {
        (parts::heading(&title, None, Some(html! { (stand_badge(&view, person.stand)) (noticed_badge(&view, person.noticed)) (own_link(&view, &person)) })))
        @for account in person.accounts.iter().filter(|account| account.active_after) {
            (parts::notice(Tone::Warn, html! {
                p { b { (view.say("离职后仍有活动：", "Active after leaving: ")) } span.id { (account.account) } }
                p { (view.say("请确认账号是否已停用、花名册日期是否正确。", "See whether the account was closed, and whether the roster has the right day.")) }
            }))
        }
        div.main-and-side {
            div.stack { @for account in &person.accounts { (of_account(&view, account)) } }
            (who(&view, &person))
        }
    };
    Ok(view.page(Some(Room::People), &title, body))
}

/// Where a link is handed out, by which this person sees what is about them.
fn own_link(view: &View<'_>, person: &OnePerson) -> Markup {
    let account = person.accounts.first().filter(|_| view.may(Act::ChangeOperators));
    html! {
        @if let Some(account) = account {
            a.button href=(link("/people/link", &[("whom", &account.account)])) { (view.say("本人查看链接", "Link for this person")) }
        }
    }
}

fn who(view: &View<'_>, person: &OnePerson) -> Markup {
    card(
        view.say("基本信息", "Who"),
        facts([
            (view.say("姓名", "Name"), or_dash(&person.name)),
            (view.say("工号", "Number"), or_dash(&person.employee)),
            (view.say("部门", "Department"), or_dash(&person.department)),
            (view.say("站点", "Site"), or_dash(&person.site)),
            (view.say("岗位与标签", "Post and labels"), or_dash(&person.labels.join("、"))),
            (view.say("状态", "Status"), or_dash(&person.status)),
        ]),
    )
}

fn of_account(view: &View<'_>, account: &AccountOf) -> Markup {
    let tongue = view.tongue();
    let beside = html! {
        (stand_badge(view, account.stand))
        @if view.may(Act::SeeAlerts) { " " a href=(link("/alerts", &[("person", &account.account)])) { (view.say("相关告警", "Alerts")) } }
    };
    let rows = account.periods.iter().rev().map(|period| {
        let (from, until) = ends(view, period);
        vec![
            html! { (from) },
            html! { (until) },
            or_dash(&period.department),
            or_dash(&period.site),
            or_dash(&period.labels.join("、")),
            or_dash(&period.status),
        ]
    });
    let heads = tongue.of(
        vec!["从", "至", "部门", "站点", "岗位与标签", "状态"],
        vec!["From", "Last day", "Department", "Site", "Post and labels", "Status"],
    );
    card_with(
        &account.account,
        beside,
        html! {
            (Table { caption: &account.account, heads, rows: rows.collect() }.show())
            (facts([
                (view.say("告知书", "Notice"), html! {
                    @match account.notice {
                        Some(version) => {
                            (view.say("已确认版本 ", "Acknowledged version ")) (version)
                            @if let Some(ms) = account.notice_ms { " · " (tongue.at(ms)) }
                        }
                        None => { (badge(Tone::Warn, view.say("未确认", "Not yet"))) }
                    }
                }),
                (view.say("最近被读取的消息", "Latest message read"), html! {
                    @match account.active_ms {
                        Some(ms) => { (tongue.at(ms)) @if account.active_after { " " (badge(Tone::Warn, view.say("离职之后", "After leaving"))) } }
                        None => { span.faint { (view.say("还没有", "None")) } }
                    }
                }),
            ]))
        },
    )
}

fn ends(view: &View<'_>, period: &Period) -> (String, String) {
    let from = period.from_ms.map_or_else(|| view.say("一直", "Always").to_owned(), day);
    let until = period.until_ms.map_or_else(|| view.say("至今", "Goes on").to_owned(), |ms| day(ms.saturating_sub(1)));
    (from, until)
}
