//! Sites: how their devices are, when they are planned to be offline, when they had no line, when they work.

use maud::{Markup, html};
use serde::Deserialize;
use watchpost_policy::calendar::{Calendar, Day};

use super::devices::{state_tone, state_word};
use super::frame::Room;
use super::lists::{deed, link, said, segment};
use super::parts::{self, Table, Tone, badge, card, facts, field};
use super::tongue::{Tongue, day};
use super::view::View;
use crate::clocks::{CALENDAR, Clocks};
use crate::health::State;
use crate::operators::Act;
use crate::settings;
use crate::sites::{Outage, Planned, Plans};
use crate::web::api::sites::{self, Offline, Site};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Nothing, Route, form, page};

/// Days off that are shown of a calendar.
const DAYS_SHOWN: usize = 12;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Outages counted in the list.
const LATELY_MS: i64 = 30 * DAY_MS;

pub(super) fn routes() -> Vec<Route> {
    let change = Act::ChangeSettings;
    vec![
        page("/sites", Act::SeeDevices, ("Sites", "站点"), list),
        page("/sites/{site}", Act::SeeDevices, ("A site", "站点详情"), show),
        form("/sites/{site}/plan", change, ("Plan days offline", "设置计划离线日"), plan),
        form("/sites/{site}/unplan", change, ("Plan days offline no longer", "取消计划离线日"), unplan),
    ]
}

#[derive(Deserialize)]
struct Told {
    said: Option<String>,
}

#[derive(Deserialize)]
struct Days {
    from: String,
    until: String,
    #[serde(default)]
    reason: String,
}

#[derive(Default, Deserialize)]
struct Any {}

fn to(site: &str) -> String {
    format!("/sites/{}", segment(site))
}

fn name<'a>(view: &View<'_>, site: &'a str) -> &'a str
where
    'static: 'a,
{
    if site.is_empty() { view.say("（未分站点）", "(no site)") } else { site }
}

/// Devices by how they are.
fn health(tongue: Tongue, site: &Site) -> Markup {
    html! {
        @for state in State::ALL {
            @if let Some(number) = site.devices.get(state.as_str()) {
                (badge(state_tone(state.as_str()), &format!("{} {number}", state_word(tongue, state.as_str())))) " "
            }
        }
        @if site.total() == 0 { span.faint { "—" } }
    }
}

fn list(ask: &Ask<'_>, _: Any) -> Result<Body, Problem> {
    let view = View::of(ask);
    let (tongue, title) = (view.tongue(), Room::Sites.title(view.tongue()));
    let all = sites::list(ask, Nothing {})?.items;
    let rows = all.iter().map(|site| {
        let lately = site.outages.iter().filter(|outage| outage.until_ms > ask.now_ms - LATELY_MS).count();
        vec![
            html! { @if site.site.is_empty() { (name(&view, "")) } @else { a href=(to(&site.site)) data-row { b { (site.site) } } } },
            html! { (site.total()) },
            health(tongue, site),
            html! {
                @match &site.planned {
                    Some(planned) => { (badge(Tone::Note, view.say("计划离线", "Planned offline"))) " " (planned.until) }
                    None => { (upcoming(&view, site)) }
                }
            },
            html! { (lately) },
        ]
    });
    let heads = tongue.of(
        vec!["站点", "#设备", "状态", "计划离线", "#近 30 天断线"],
        vec!["Site", "#Devices", "State", "Planned offline", "#Outages in 30 days"],
    );
    let rows: Vec<_> = rows.collect();
    let sentence = view.say(
        "计划离线的日子里，离线与缺文件不算异常。",
        "On planned days neither being offline nor a missing export counts.",
    );
    let body = html! {
        (parts::heading(title, Some(sentence), None))
        (card(title, html! {
            @if rows.is_empty() {
                (parts::empty(view.say("还没有站点", "No sites yet"), view.say("创建注册码时填写站点，接入的设备就归到它名下。", "A token names the site its devices belong to."),
                    Some(html! { a.button href="/devices/enrol?tab=tokens" { (view.say("去创建注册码", "Make a token")) } })))
            } @else { (Table { caption: title, heads, rows }.show()) }
        }))
    };
    Ok(view.page(Some(Room::Sites), title, body))
}

fn upcoming(view: &View<'_>, site: &Site) -> Markup {
    let today = day(view.ask.now_ms);
    let next = site.offline.iter().filter(|planned| planned.from > today).min();
    html! { @match next { Some(next) => { (next.from) } None => { span.faint { "—" } } } }
}

fn show(ask: &Ask<'_>, told: Told) -> Result<Body, Problem> {
    let view = View::of(ask);
    let (tongue, here) = (view.tongue(), ask.param("site")?);
    let found = sites::list(ask, Nothing {})?.items.into_iter().find(|site| site.site == here);
    let site = found.ok_or(Problem::new(Kind::NotFound))?;
    let title = name(&view, &site.site);
    let devices =
        html! { a.button href=(link("/devices", &[("site", &site.site)])) { (view.say("查看设备", "Devices")) } };
    let body = html! {
        (parts::heading(title, None, Some(devices)))
        (said(&view, told.said.as_ref()))
        @if let Some(planned) = &site.planned {
            (parts::notice(Tone::Note, html! { p { b { (view.say("今天计划离线：", "Planned offline today: ")) } (planned.reason) " (" (planned.from) " – " (planned.until) ")" } }))
        }
        div.main-and-side {
            div.stack {
                (card(view.say("设备状态", "Devices"), html! {
                    p { (health(tongue, &site)) }
                    @if site.excused > 0 { p.soft { (site.excused) (view.say(" 台按计划离线，不计为异常。", " are away as planned, and do not count.")) } }
                }))
                (outages(&view, &site.outages))
            }
            div.stack { (planned(&view, &site)) (calendar(&view, &site.site)?) }
        }
    };
    Ok(view.page(Some(Room::Sites), title, body))
}

fn outages(view: &View<'_>, all: &[Outage]) -> Markup {
    let tongue = view.tongue();
    let title = view.say("断线记录（近 90 天）", "Outages of the last 90 days");
    let rows = all.iter().map(|outage| {
        vec![
            tongue.at(outage.from_ms),
            tongue.at(outage.until_ms),
            html! { (tongue.span(outage.until_ms - outage.from_ms)) },
            html! {
                @for device in outage.devices.iter().take(3) { a.id href={ "/devices/" (device) } { (device.get(..8).unwrap_or(device)) } " " }
                @if outage.devices.len() > 3 { "+" (outage.devices.len() - 3) }
            },
        ]
    });
    let heads = tongue.of(vec!["开始", "恢复", "时长", "设备"], vec!["From", "Until", "For", "Devices"]);
    let rows: Vec<_> = rows.collect();
    card(
        title,
        html! {
            @if rows.is_empty() { (parts::empty(view.say("没有断线", "No outages"), view.say("急件都在 15 分钟内送达。", "Whatever was urgent came within 15 minutes."), None)) }
            @else { (Table { caption: title, heads, rows }.show()) }
            p.hint { (view.say(
                "依据：急件在设备上封存后超过 15 分钟才送达的时段。开始时间按设备时钟；期间没有急件、或至今未恢复的设备不在此列，请看设备状态。",
                "From when something urgent was sealed on a device until it came, where that took over 15 minutes. The beginning is by the device's clock; a device with nothing urgent meanwhile, or one still away, is not told here: see how it is.")) }
        },
    )
}

fn planned(view: &View<'_>, site: &Site) -> Markup {
    let may = view.may(Act::ChangeSettings);
    card(
        view.say("计划离线日", "Days planned offline"),
        html! {
            @if site.offline.is_empty() { p.soft { (view.say("没有计划。", "None.")) } }
            ul.plain {
                @for it in &site.offline {
                    li {
                        b { (it.from) @if it.until != it.from { " – " (it.until) } } " " (it.reason)
                        @if may {
                            (deed(view, &format!("{}/unplan", to(&site.site)), None, html! {
                                input type="hidden" name="from" value=(it.from);
                                input type="hidden" name="until" value=(it.until);
                                button.quiet type="submit" { (view.say("取消", "Remove")) }
                            }))
                        }
                    }
                }
            }
            @if may && !site.site.is_empty() {
                (parts::form(view, &format!("{}/plan", to(&site.site)), false, html! {
                    (field("from", view.say("第一天", "First day"), html! { input type="date" id="from" name="from" required; }, None))
                    (field("until", view.say("最后一天", "Last day"), html! { input type="date" id="until" name="until" required; }, None))
                    (field("reason", view.say("原因", "Why"), html! { input type="text" id="reason" name="reason" required maxlength="200"; }, None))
                    button type="submit" { (view.say("添加", "Add")) }
                }))
            }
        },
    )
}

fn calendar(view: &View<'_>, site: &str) -> Result<Markup, Problem> {
    let derived = view.ask.derived()?;
    let clocks = Clocks::read(derived)?;
    let own = settings::list(derived, &format!("{CALENDAR}/{site}"))?
        .iter()
        .any(|it| it.name == format!("{CALENDAR}/{site}"));
    Ok(card(
        view.say("工作日历", "Calendar"),
        html! {
            p.soft { (if own { view.say("本站点自己的日历。", "The site's own.") } else { view.say("使用默认日历。", "As by default.") }) }
            (of_calendar(view, clocks.calendar(site)))
            @if view.may(Act::SeeSettings) { p { a href="/settings?tab=calendars" { (view.say("日历设置", "Calendars")) } } }
        },
    ))
}

/// When work is done, and the next days off.
pub(super) fn of_calendar(view: &View<'_>, calendar: &Calendar) -> Markup {
    let names = view.say(
        ["周一", "周二", "周三", "周四", "周五", "周六", "周日"],
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    );
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let hours = |at: usize| {
        let hours = calendar.week.get(at).map_or(&[][..], Vec::as_slice).iter();
        hours.map(|it| format!("{}–{}", clock(it.start), clock(it.end))).collect::<Vec<_>>().join(", ")
    };
    // Weekdays with the same hours in one line.
    let mut lines: Vec<(String, String)> = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let hours = hours(at);
        match lines.last_mut().filter(|last| last.1 == hours) {
            Some(last) => last.0 = format!("{}–{name}", last.0.split('–').next().unwrap_or_default()),
            None => lines.push((name.to_owned(), hours)),
        }
    }
    let days = |all: Vec<&Day>| -> String {
        let today = day(view.ask.now_ms);
        let next: Vec<String> =
            all.into_iter().map(Day::to_string).filter(|it| *it >= today).take(DAYS_SHOWN).collect();
        if next.is_empty() { "—".to_owned() } else { next.join(", ") }
    };
    html! {
        (facts(lines.iter().map(|(days, hours)| {
            let hours = if hours.is_empty() { view.say("休息", "Off") } else { hours };
            (days.as_str(), html! { (hours) })
        })))
        (facts([
            (view.say("接下来的假日", "Next days off"), html! { (days(calendar.holidays.iter().collect())) }),
            (view.say("接下来的调休上班日", "Next make-up days"), html! { (days(calendar.work_days.iter().collect())) }),
        ]))
    }
}

fn plan(ask: &Ask<'_>, days: Days) -> Result<Body, Problem> {
    let (Days { from, until, reason }, site) = (days, ask.param("site")?.to_owned());
    let mut offline = Plans::read(ask.derived()?)?.of(&site).to_vec();
    offline.push(Planned { from, until, reason: reason.trim().to_owned() });
    offline.sort();
    sites::set(ask, &site, Offline { offline, reason: reason.trim().to_owned() })?;
    Ok(Body::see(format!("{}?said=done", to(&site))))
}

fn unplan(ask: &Ask<'_>, days: Days) -> Result<Body, Problem> {
    let site = ask.param("site")?.to_owned();
    let mut offline = Plans::read(ask.derived()?)?.of(&site).to_vec();
    offline.retain(|it| (&it.from, &it.until) != (&days.from, &days.until));
    sites::set(ask, &site, Offline { offline, reason: days.reason })?;
    Ok(Body::see(format!("{}?said=done", to(&site))))
}
