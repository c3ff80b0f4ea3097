//! The first page of the morning: what waits, what came, whether anybody is blind.

use maud::{Markup, html};

use super::chart::{self, Bar};
use super::coverage;
use super::first;
use super::frame::Room;
use super::parts::{self, Table, Tone, badge, card, card_with, level, tile};
use super::tongue::Tongue;
use super::view::View;
use crate::alerts::Named;
use crate::health::State;
use crate::operators::Act;
use crate::web::api::overview::{self, Alerts, Fleet, Overview};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, page};

pub(super) fn routes() -> Vec<Route> {
    vec![page("/", Act::OwnAccount, ("Overview", "总览"), show)]
}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let view = View::of(ask);
    if !view.may(Act::OwnAccount) || needs_codes(&view) {
        return Ok(Body::see(Room::Account.path()));
    }
    let tongue = view.tongue();
    let Overview { alerts, fleet, coverage } = overview::show(ask, Nothing {})?;
    let title = Room::Overview.title(tongue);
    let middle = html! {
        (parts::heading(title, Some(&said_first(tongue, alerts.as_ref(), fleet.as_ref())), None))
        @if let Some(card) = first::card(&view) { (card) }
        div.stack id="overview" data-live="replace" {
            @if let Some(alerts) = &alerts { (waiting(tongue, alerts)) (came(&view, alerts)) }
            @if let Some(fleet) = &fleet { (devices(&view, fleet)) }
            @if let Some(days) = &coverage { (coverage::strip(tongue, days)) }
            @if alerts.is_none() && fleet.is_none() { (for_authors(&view)) }
        }
    };
    Ok(view.page(Some(Room::Overview), title, middle))
}

/// An administrator sets up one-time codes before anything else.
fn needs_codes(view: &View<'_>) -> bool {
    view.ask.caller().is_ok_and(|caller| caller.operator.grant.role.needs_totp() && !caller.operator.totp)
}

/// How it stands, in one sentence.
fn said_first(tongue: Tongue, alerts: Option<&Alerts>, fleet: Option<&Fleet>) -> String {
    let late: u64 = alerts.map_or(0, |alerts| alerts.unclosed.iter().map(|level| level.late).sum());
    let open: u64 = alerts.map_or(0, |alerts| alerts.unclosed.iter().map(|level| level.open).sum());
    let bad = fleet.map_or(0, needs_a_look);
    let mut said = Vec::new();
    if late > 0 {
        said.push(tongue.of(format!("{late} 条告警已超时"), format!("{late} alerts are late")));
    } else if open > 0 {
        said.push(
            tongue.of(format!("{open} 条告警等待处理，均未超时"), format!("{open} alerts wait, none of them late")),
        );
    } else if alerts.is_some() {
        said.push(tongue.of("没有待处理的告警", "No alert waits").to_owned());
    }
    if bad > 0 {
        said.push(tongue.of(format!("{bad} 台设备需要查看"), format!("{bad} devices need a look")));
    } else if fleet.is_some_and(|fleet| fleet.enrolled == 0) {
        said.push(tongue.of("还没有接入设备", "No device has enrolled yet").to_owned());
    } else if fleet.is_some() {
        said.push(tongue.of("所有设备均正常上报", "Every device reports as it should").to_owned());
    }
    let end = tongue.of("。", ".");
    if said.is_empty() { String::new() } else { said.join(tongue.of("；", ". ")) + end }
}

fn needs_a_look(fleet: &Fleet) -> u64 {
    let bad = State::ALL.into_iter().filter(|state| state.needs_a_look());
    bad.map(|state| fleet.states.get(state.as_str()).copied().unwrap_or(0)).sum()
}

/// What waits, against its clocks.
fn waiting(tongue: Tongue, alerts: &Alerts) -> Markup {
    let sum = |of: fn(&crate::alerts::Unclosed) -> u64| alerts.unclosed.iter().map(of).sum::<u64>();
    let (open, taken, late, soon) = (sum(|it| it.open), sum(|it| it.taken), sum(|it| it.late), sum(|it| it.soon));
    let tone = |count: u64, tone: Tone| if count > 0 { tone } else { Tone::Plain };
    let show = |count: u64| tongue.number(count);
    html! {
        div.tiles {
            (tile(tongue.of("已超时", "Late"), &show(late), None, Some("/alerts?overdue=true"), tone(late, Tone::Bad)))
            (tile(tongue.of("两小时内到期", "Due in two hours"), &show(soon), None, Some("/alerts"), tone(soon, Tone::Warn)))
            (tile(tongue.of("无人认领", "Nobody's yet"), &show(open), None, Some("/alerts?state=open"), Tone::Plain))
            (tile(tongue.of("处理中", "Taken"), &show(taken), None, Some("/alerts?state=taken"), Tone::Plain))
            (tile(tongue.of("我的", "Mine"), &show(alerts.mine), None, Some("/alerts?mine=true"), tone(alerts.mine, Tone::Note)))
        }
        @if !alerts.unclosed.is_empty() { (levels(tongue, alerts)) }
    }
}

fn levels(tongue: Tongue, alerts: &Alerts) -> Markup {
    let title = tongue.of("按级别", "By level");
    let rows = alerts.unclosed.iter().map(|row| {
        let number = |count: u64| html! { (tongue.number(count)) };
        let to = format!("/alerts?level={}", row.level);
        vec![
            html! { a href=(to) { (level(tongue, row.level)) } },
            number(row.open),
            number(row.taken),
            html! { @if row.soon > 0 { span.soon { (tongue.number(row.soon)) } } @else { "0" } },
            html! { @if row.late > 0 { span.late { (tongue.number(row.late)) } } @else { "0" } },
        ]
    });
    let heads = vec![
        tongue.of("级别", "Level"),
        tongue.of("#待认领", "#Open"),
        tongue.of("#处理中", "#Taken"),
        tongue.of("#即将到期", "#Due soon"),
        tongue.of("#已超时", "#Late"),
    ];
    card(title, Table { caption: title, heads, rows: rows.collect() }.show())
}

/// What came in the last thirty days.
fn came(view: &View<'_>, alerts: &Alerts) -> Markup {
    let tongue = view.tongue();
    let arrived = &alerts.arrived;
    let total: u64 = arrived.days.iter().map(|day| day.count).sum();
    if total == 0 {
        return card(
            tongue.of("新告警", "Arrivals"),
            parts::empty(
                tongue.of("近 30 天没有告警", "No alert in thirty days"),
                tongue.of("设备上报命中后会显示在这里。", "They show here as devices report findings."),
                None,
            ),
        );
    }
    let days = arrived.days.iter().map(|day| Bar {
        name: day.name.clone(),
        amount: day.count,
        to: Some(format!("/alerts?day={}", day.name)),
    });
    let count = (tongue.of("日期", "Day"), tongue.of("告警", "Alerts"));
    let beside = html! { (tongue.of("近 30 天", "30 days")) " · " (tongue.number(total)) };
    html! {
        (card_with(tongue.of("新告警", "Arrivals"), beside,
            chart::over_time(tongue.of("按日新告警", "Arrivals by day"), count, &days.collect::<Vec<_>>())))
        div.columns {
            (ranked(tongue, tongue.of("最多的规则", "Top rules"), tongue.of("规则", "Rule"), &arrived.rules, |name| {
                let (pack, rule) = name.split_once('/').unwrap_or(("", name));
                (called(view, pack, rule), query(&[("pack", pack), ("rule", rule)]))
            }))
            (ranked(tongue, tongue.of("最多的部门", "Top departments"), tongue.of("部门", "Department"), &arrived.departments,
                |name| (name.to_owned(), query(&[("department", name)]))))
        }
    }
}

fn query(fields: &[(&str, &str)]) -> String {
    format!("/alerts?{}", serde_html_form::to_string(fields).unwrap_or_default())
}

/// The title of a rule; its id where nobody knows one.
fn called(view: &View<'_>, pack: &str, rule: &str) -> String {
    let text = view.ask.rule(pack, rule).ok().flatten();
    let title = text.map(|text| view.say(text.title.zh.clone(), text.title.en.clone()));
    title.unwrap_or_else(|| format!("{pack}/{rule}"))
}

/// A ranking; `shown` says what a name is called and where it leads.
fn ranked(
    tongue: Tongue,
    title: &str,
    head: &str,
    names: &[Named],
    shown: impl Fn(&str) -> (String, String),
) -> Markup {
    let bars = names.iter().map(|Named { name, count }| {
        if name.is_empty() {
            return Bar { name: tongue.of("未知", "Unknown").to_owned(), amount: *count, to: None };
        }
        let (name, to) = shown(name);
        Bar { name, amount: *count, to: Some(to) }
    });
    card(title, chart::ranking(title, (head, tongue.of("告警", "Alerts")), &bars.collect::<Vec<_>>()))
}

/// How a state is coloured.
pub(super) fn tone_of(state: State) -> Tone {
    match state {
        State::Offline | State::Blind => Tone::Bad,
        State::Starved | State::Behind => Tone::Warn,
        State::Unknown => Tone::Plain,
        State::Quiet | State::Well => Tone::Good,
    }
}

/// The word for a state.
pub(super) fn state_word(tongue: Tongue, state: State) -> &'static str {
    let en = match state {
        State::Offline => "Offline",
        State::Blind => "Blind",
        State::Starved => "Starved",
        State::Behind => "Behind",
        State::Unknown => "Unknown",
        State::Quiet => "Quiet",
        State::Well => "Well",
    };
    tongue.of(state.zh(), en)
}

fn devices(view: &View<'_>, fleet: &Fleet) -> Markup {
    let tongue = view.tongue();
    let count = |state: State| fleet.states.get(state.as_str()).copied().unwrap_or(0);
    let shown = State::ALL.into_iter().filter(|state| *state != State::Unknown || count(*state) > 0);
    html! {
        div.columns {
            (card_with(tongue.of("设备", "Devices"), enrolled(tongue, fleet), html! {
                ul.states {
                    @for state in shown {
                        li { a href={ "/devices?state=" (state.as_str()) } {
                            (badge(if count(state) > 0 { tone_of(state) } else { Tone::Plain }, state_word(tongue, state)))
                            b { (tongue.number(count(state))) }
                        } }
                    }
                }
                @if fleet.planned > 0 {
                    p.soft { a href="/sites" { (tongue.of(format!("{} 台按计划离线", fleet.planned), format!("{} away as planned", fleet.planned))) } }
                }
                @if fleet.enrolled == 0 { (no_devices(view)) }
                @else if fleet.worst.is_empty() { p.soft { (tongue.of("没有需要查看的设备。", "No device needs a look.")) } }
                @else { (worst(view, fleet)) }
            }))
            @if fleet.enrolled > 0 { (starved(view, fleet)) }
        }
    }
}

fn enrolled(tongue: Tongue, fleet: &Fleet) -> Markup {
    let (enrolled, missing) = (tongue.number(fleet.enrolled), tongue.number(fleet.missing));
    html! {
        (tongue.of(format!("已接入 {enrolled} 台"), format!("{enrolled} enrolled")))
        @if fleet.expected > 0 {
            " · "
            a href="/devices/enrol" {
                (tongue.of(
                    format!("应接入 {} 台，缺 {missing} 台", tongue.number(fleet.expected)),
                    format!("{} expected, {missing} missing", tongue.number(fleet.expected)),
                ))
            }
        }
    }
}

fn no_devices(view: &View<'_>) -> Markup {
    parts::empty(
        view.say("还没有设备", "No device yet"),
        view.say("创建一个接入令牌，在设备上运行一条命令即可接入。", "Make a token and run one command on the device."),
        Some(html! { a.button.first href="/devices/enrol" { (view.say("接入第一台设备", "Enrol the first device")) } }),
    )
}

fn worst(view: &View<'_>, fleet: &Fleet) -> Markup {
    let (tongue, now_ms) = (view.tongue(), view.ask.now_ms);
    html! {
        ul.plain {
            @for device in &fleet.worst {
                li {
                    div.row {
                        (badge(tone_of(device.state), state_word(tongue, device.state)))
                        a.id href={ "/devices/" (device.device) } { (device.device.get(..8).unwrap_or_default()) }
                        @if let Some(since_ms) = device.since_ms { small { (tongue.ago(since_ms, now_ms)) } }
                    }
                    p.soft { (tongue.of(&device.zh, &device.en)) }
                }
            }
        }
    }
}

/// Exports that do not come.
fn starved(view: &View<'_>, fleet: &Fleet) -> Markup {
    let (tongue, now_ms) = (view.tongue(), view.ask.now_ms);
    let title = tongue.of("缺失的导出", "Exports missing");
    if fleet.starved.is_empty() {
        return card(
            title,
            html! { p.soft { (tongue.of("各文件夹的导出均按时到达。", "Every folder gets its exports in time.")) } },
        );
    }
    let rows = fleet.starved.iter().map(|it| {
        vec![
            html! { a.id href={ "/devices/" (it.device) } { (it.device.get(..8).unwrap_or_default()) } },
            html! { (it.corp) },
            html! { (it.expected) },
            html! { span.late { (tongue.ago(it.since_ms, now_ms)) } },
        ]
    });
    let heads = vec![
        tongue.of("设备", "Device"),
        tongue.of("企业", "Corp"),
        tongue.of("应到", "Expected"),
        tongue.of("缺失始于", "Missing since"),
    ];
    card(title, Table { caption: title, heads, rows: rows.collect() }.show())
}

/// Who sees neither alerts nor devices writes rules.
fn for_authors(view: &View<'_>) -> Markup {
    card(
        Room::Rules.title(view.tongue()),
        html! {
            p.soft { (view.say("查看规则的准确率，用示例文本试规则，维护词表。", "See how rules do, try them on a text, keep the words of lists.")) }
            div.actions {
                a.button.first href="/rules" { (view.say("查看规则", "See rules")) }
                a.button href="/rules/test" { (view.say("试规则", "Try a rule")) }
                a.button href="/words" { (view.say("词表", "Words")) }
            }
        },
    )
}
