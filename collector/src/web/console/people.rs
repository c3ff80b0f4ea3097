//! People of the roster: who they are, where they stand, what they have acknowledged.

mod import;
mod one;

use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Room;
use super::lists::{Part, among, link, or_dash, segment};
use super::parts::{self, Table, Tone, badge, card, choice, field, tabs, tile};
use super::view::View;
use crate::devices;
use crate::operators::Act;
use crate::people::standing::{Counts, OnePerson, Stand};
use crate::web::api::people::{self, Found, Which as Wanted};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, page};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        page("/people", Act::SeePeople, ("People", "人员"), list),
        page("/people/unknown", Act::SeePeople, ("Accounts in no roster", "未登记账号"), unknown),
    ];
    routes.extend(import::routes());
    routes.extend(one::routes());
    routes
}

#[derive(Default, Deserialize)]
struct Which {
    #[serde(default)]
    text: String,
    #[serde(default)]
    department: String,
    #[serde(default)]
    site: String,
    #[serde(default)]
    stand: String,
    #[serde(default)]
    notice: String,
    page: Option<usize>,
}

impl Which {
    fn wanted(&self) -> Wanted {
        Wanted {
            text: self.text.clone(),
            department: self.department.clone(),
            site: self.site.clone(),
            stand: [Stand::Present, Stand::Coming, Stand::Left]
                .into_iter()
                .find(|stand| stand_name(*stand) == self.stand),
            noticed: match self.notice.as_str() {
                "done" => Some(true),
                "missing" => Some(false),
                _ => None,
            },
            ..Wanted::default()
        }
    }

    fn to(&self, number: usize) -> String {
        let number = number.to_string();
        let Self { text, department, site, stand, notice, .. } = self;
        link(
            "/people",
            &[
                ("text", text),
                ("department", department),
                ("site", site),
                ("stand", stand),
                ("notice", notice),
                ("page", &number),
            ],
        )
    }
}

fn stand_name(stand: Stand) -> &'static str {
    match stand {
        Stand::Present => "present",
        Stand::Coming => "coming",
        Stand::Left => "left",
    }
}

fn stand_badge(view: &View<'_>, stand: Stand) -> Markup {
    match stand {
        Stand::Present => badge(Tone::Good, view.say("在管", "Managed")),
        Stand::Coming => badge(Tone::Note, view.say("即将入职", "Coming")),
        Stand::Left => badge(Tone::Plain, view.say("已离职", "Left")),
    }
}

fn noticed_badge(view: &View<'_>, noticed: Option<bool>) -> Markup {
    match noticed {
        Some(true) => badge(Tone::Good, view.say("已确认", "Acknowledged")),
        Some(false) => badge(Tone::Warn, view.say("未确认", "Not yet")),
        None => html! { span.faint { "—" } },
    }
}

/// What people call somebody.
fn called(person: &OnePerson) -> &str {
    [&person.name, &person.employee].into_iter().find(|it| !it.is_empty()).unwrap_or(&person.person)
}

fn ways(view: &View<'_>, here: &str) -> Markup {
    let tab = |path: &str, words| (path.to_owned(), words, path == here);
    tabs(
        view.say("人员", "People"),
        &[
            tab("/people", view.say("花名册", "Roster")),
            tab("/people/unknown", view.say("未登记账号", "Unknown accounts")),
            tab("/people/import", view.say("导入预览", "Preview an import")),
        ],
    )
}

fn list(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = Room::People.title(view.tongue());
    let Found { counts, departments, sites, people } = people::find(ask, &which.wanted())?;
    let nobody = counts.present + counts.coming + counts.left == 0;
    let part = Part::of(people, which.page);
    let body = html! {
        (parts::heading(title, Some(view.say("来自人事签名发布的花名册；只有在管账号的消息会被检查。", "From the roster HR signs; only messages of managed accounts are looked at.")), None))
        (ways(&view, "/people"))
        @if nobody {
            (card(view.say("还没有花名册", "No roster yet"), parts::empty(
                view.say("还没有发布花名册", "No roster is published"),
                view.say("由人事用自己的密钥签名发布；可先上传预览。", "HR signs and publishes it with their own key; preview one first."),
                Some(html! { a.button.first href="/people/import" { (view.say("预览导入", "Preview an import")) } }))))
        } @else {
            (numbers(&view, counts))
            (filters(&view, &which, &departments, &sites))
            section.card aria-label=(title) {
                @if part.items.is_empty() {
                    (parts::empty(view.say("没有符合条件的人", "Nobody fits"), view.say("放宽筛选条件再试。", "Widen the filters."), Some(html! { a.button href="/people" { (view.say("清除筛选", "Clear the filters")) } })))
                } @else { (table(&view, &part.items)) }
                (part.turn(&view, |number| which.to(number)))
            }
        }
    };
    Ok(view.page(Some(Room::People), title, body))
}

fn numbers(view: &View<'_>, counts: Counts) -> Markup {
    let to = |stand| Some(link("/people", &[("stand", stand)]));
    html! {
        div.tiles {
            (tile(view.say("在管人员", "Managed"), &counts.present.to_string(), None, to("present").as_deref(), Tone::Plain))
            (tile(view.say("即将入职", "Coming"), &counts.coming.to_string(), None, to("coming").as_deref(), Tone::Plain))
            (tile(view.say("已离职", "Left"), &counts.left.to_string(), None, to("left").as_deref(), Tone::Plain))
            (tile(view.say("未确认告知书", "Notice not acknowledged"), &counts.unnoticed.to_string(), None,
                Some(&link("/people", &[("stand", "present"), ("notice", "missing")])), if counts.unnoticed > 0 { Tone::Warn } else { Tone::Plain }))
            (tile(view.say("不监测账号", "Never looked at"), &counts.never.to_string(), Some(html! { (view.say("只显示数量", "Counted only")) }), None, Tone::Plain))
        }
    }
}

fn filters(view: &View<'_>, which: &Which, departments: &[String], sites: &[String]) -> Markup {
    let all = view.say("全部", "All");
    html! {
        form.filters method="get" action="/people" {
            (field("text", view.say("查找", "Find"), html! {
                input type="search" id="text" name="text" value=(which.text) data-find placeholder=(view.say("姓名、拼音、工号或账号", "Name, pinyin, number or account"));
            }, None))
            (among(view, "department", view.say("部门", "Department"), &which.department, departments))
            (among(view, "site", view.say("站点", "Site"), &which.site, sites))
            (choice("stand", view.say("在职", "Stands"), &which.stand, &[("", all), ("present", view.say("在管", "Managed")), ("coming", view.say("即将入职", "Coming")), ("left", view.say("已离职", "Left"))]))
            (choice("notice", view.say("告知书", "Notice"), &which.notice, &[("", all), ("done", view.say("已确认", "Acknowledged")), ("missing", view.say("未确认", "Not yet"))]))
            button type="submit" { (view.say("筛选", "Filter")) }
        }
    }
}

fn table(view: &View<'_>, people: &[OnePerson]) -> Markup {
    let rows = people.iter().map(|person| {
        vec![
            html! {
                a href={ "/people/" (segment(&person.person)) } data-row { b { (called(person)) } }
                @if !person.employee.is_empty() && called(person) != person.employee { br; small.id { (person.employee) } }
            },
            html! {
                @for (place, account) in person.accounts.iter().take(3).enumerate() { @if place > 0 { br; } span.id { (account.account) } }
                @if person.accounts.len() > 3 { br; small { "+" (person.accounts.len() - 3) } }
            },
            or_dash(&person.department),
            or_dash(&person.labels.join("、")),
            or_dash(&person.site),
            html! { (stand_badge(view, person.stand)) @if !person.status.is_empty() { " " small { (person.status) } } },
            noticed_badge(view, person.noticed),
        ]
    });
    let heads = view.say(
        vec!["姓名", "账号", "部门", "岗位与标签", "站点", "状态", "告知书"],
        vec!["Name", "Accounts", "Department", "Post and labels", "Site", "Stands", "Notice"],
    );
    Table { caption: view.say("人员", "People"), heads, rows: rows.collect() }.show()
}

#[derive(Deserialize)]
struct Turn {
    page: Option<usize>,
}

fn unknown(ask: &Ask<'_>, turn: Turn) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = view.say("未登记账号", "Unknown accounts");
    let part = Part::of(devices::unknown(ask.derived()?)?, turn.page);
    let tongue = view.tongue();
    let rows = part.items.iter().map(|it| {
        let day = |days: i64| super::tongue::day(days.saturating_mul(DAY_MS));
        vec![
            or_dash(&it.corp),
            html! { span.id { (it.pseudonym) } },
            html! { (tongue.number(it.messages)) },
            html! { (day(it.first_day)) },
            html! { (day(it.last_day)) },
        ]
    });
    let heads = tongue.of(
        vec!["企业", "化名", "#消息", "首次出现", "最近出现"],
        vec!["Corp", "Pseudonym", "#Messages", "First seen", "Last seen"],
    );
    let rows: Vec<_> = rows.collect();
    let sentence = view.say(
        "消息里出现、像是本公司账号、但不在花名册上的账号。它们的消息不会被检查。",
        "Accounts in messages that look like the company's own and are in no roster. Their messages are not looked at.",
    );
    let body = html! {
        (parts::heading(title, Some(sentence), None))
        (ways(&view, "/people/unknown"))
        (card(title, html! {
            @if rows.is_empty() {
                (parts::empty(view.say("没有未登记账号", "None"), view.say("花名册与实际一致。策略允许时设备才会报告。", "The roster is as things are. Devices tell of them where the policy says so."), None))
            } @else { (Table { caption: title, heads, rows }.show()) }
            (part.turn(&view, |number| link("/people/unknown", &[("page", &number.to_string())])))
            p.hint { (view.say("真实账号不会离开设备；把缺少的人补进花名册后，记录会停止增加。", "Their ids never leave the devices; once the roster has whoever is missing, these stop growing.")) }
        }))
    };
    Ok(view.page(Some(Room::People), title, body))
}
