//! Who is told of alerts: targets, routes, what went.

use maud::{Markup, html};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{set, set_by};
use crate::notify::plan::What as Event;
use crate::notify::route::{AtLeast, Disclosure, GroupBy, Language, PREFIX, Route as Way, When};
use crate::operators::Act;
use crate::settings;
use crate::web::api::notifications::{self, Message, Test, Told, Which};
use crate::web::ask::Ask;
use crate::web::console::lists::{deed, or_dash};
use crate::web::console::parts::{self, Table, Tone, badge, card, choice, field, text_field};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form};

pub(super) fn routes() -> Vec<Route> {
    let change = Act::ChangeSettings;
    vec![
        form("/settings/routes", change, ("Make or replace a route", "新建或替换路由"), make),
        form("/settings/routes/remove", change, ("Remove a route", "删除路由"), remove),
        form("/settings/notify/test", change, ("Test a target of notifications", "测试通知目标"), test),
    ]
}

/// A route as a form has it. Words that are none are refused with the others.
#[derive(Deserialize)]
struct Given {
    name: String,
    target: String,
    level: String,
    #[serde(default)]
    categories: String,
    #[serde(default)]
    departments: String,
    #[serde(default)]
    sites: String,
    #[serde(default)]
    event: Vec<String>,
    when: String,
    group_by: String,
    #[serde(default)]
    wait_s: u64,
    #[serde(default)]
    interval_s: u64,
    #[serde(default)]
    repeat_m: u64,
    disclosure: String,
    language: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    reason: String,
}

const EVENTS: [&str; 5] = ["opened", "escalated", "reopened", "assigned", "appealed"];

fn word<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| Problem::malformed(format!("{text:?} is not one of the words there are")))
}

fn said(it: &impl Serialize) -> String {
    serde_json::to_value(it).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn event_word(view: &View<'_>, event: &str) -> &'static str {
    match event {
        "opened" => view.say("新告警", "Opened"),
        "escalated" => view.say("上报", "Escalated"),
        "reopened" => view.say("重新打开", "Reopened"),
        "assigned" => view.say("指派", "Assigned"),
        "appealed" => view.say("申诉", "Appealed"),
        _ => "—",
    }
}

pub(super) fn show(view: &View<'_>, of: &str) -> Result<Markup, Problem> {
    let told = notifications::list(view.ask, Which { limit: Some(30) })?;
    let all = settings::list(view.ask.derived()?, PREFIX)?;
    let chosen =
        all.iter().find(|it| it.name.strip_prefix(PREFIX) == Some(of)).and_then(|it| Way::parse(&it.value).ok());
    let may = view.may(Act::ChangeSettings);
    let tongue = view.tongue();
    let rows: Vec<_> = all
        .iter()
        .map(|setting| {
            let name = setting.name.strip_prefix(PREFIX).unwrap_or_default();
            let way = Way::parse(&setting.value).ok();
            vec![
                html! { a href=(crate::web::console::lists::link("/settings", &[("tab", "notify"), ("of", name)])) { b { (name) } } },
                html! { @match &way { Some(way) => { (way.target) } None => { (badge(Tone::Warn, view.say("旧版本，请重设", "Of another version; set it again"))) } } },
                html! { @if let Some(way) = &way { "≥ " (parts::level(tongue, &said(&way.level))) } },
                html! { @if let Some(way) = &way { @for event in &way.events { (event_word(view, &said(event))) " " } } },
                set_by(view, setting),
                html! {
                    @if may {
                        (deed(view, "/settings/routes/remove", Some(view.say("删除这条路由？等待中的通知会被放弃。", "Remove this route? What waits on it is given up.")), html! {
                            input type="hidden" name="name" value=(name);
                            button.quiet type="submit" { (view.say("删除", "Remove")) }
                        }))
                    }
                },
            ]
        })
        .collect();
    let heads = tongue.of(
        vec!["路由", "目标", "级别", "事件", "设置者", ""],
        vec!["Route", "Target", "Level", "Events", "Set by", ""],
    );
    let title = view.say("路由", "Routes");
    Ok(html! {
        (targets(view, &told))
        (card(title, html! {
            @if rows.is_empty() {
                (parts::empty(view.say("还没有路由", "No routes yet"), view.say("没有路由，告警只在控制台显示，不会通知任何人。", "Without one, alerts show here and nobody is told."), None))
            } @else { (Table { caption: title, heads, rows }.show()) }
        }))
        @if may && !told.targets.is_empty() { (editor(view, &told, of, &chosen.unwrap_or_else(|| Way::to("")))) }
        (sent(view, &told.items))
    })
}

fn targets(view: &View<'_>, told: &Told) -> Markup {
    let may = view.may(Act::ChangeSettings);
    card(
        view.say("目标", "Targets"),
        html! {
            @if told.targets.is_empty() {
                (parts::empty(view.say("配置里没有通知目标", "The configuration has no targets"),
                    view.say("在 collector.toml 写入 [[notify.target]]（企业微信群机器人或 webhook）并重启，见 docs/notifications.md。",
                        "Write [[notify.target]] into collector.toml, a WeCom robot or a webhook, and start again; docs/notifications.md."), None))
            }
            ul.plain {
                @for target in &told.targets {
                    li.row {
                        b { (target.name) } (badge(Tone::Plain, if target.kind == "webhook" { "webhook" } else { view.say("企业微信机器人", "WeCom robot") }))
                        @if may {
                            (deed(view, "/settings/notify/test", None, html! {
                                input type="hidden" name="name" value=(target.name);
                                button type="submit" { (view.say("发送测试", "Send a test")) }
                            }))
                        }
                    }
                }
            }
        },
    )
}

fn editor(view: &View<'_>, told: &Told, name: &str, way: &Way) -> Markup {
    let tongue = view.tongue();
    let targets: Vec<(&str, &str)> = told.targets.iter().map(|it| (it.name.as_str(), it.name.as_str())).collect();
    let levels = ["info", "low", "medium", "high", "critical"].map(|level| (level, tongue.level(level)));
    let whens = [
        ("always", view.say("任何时间", "At any time")),
        ("work", view.say("仅工作时间", "In work time")),
        ("off", view.say("仅非工作时间", "Outside it")),
    ];
    let groups = [
        ("rule", view.say("同一规则合并", "One rule")),
        ("person", view.say("同一人合并", "One person")),
        ("route", view.say("全部合并", "The whole route")),
    ];
    let discloses = [
        ("none", view.say("只给账号", "The account alone")),
        ("masked", view.say("姓名与打码摘录", "Name, and masked excerpts")),
    ];
    let languages = [("both", "中文 + English"), ("zh", "中文"), ("en", "English")];
    let events: Vec<String> = way.events.iter().map(said).collect();
    let number = |id: &str, label: &str, value: u64, max: u64| {
        field(id, label, html! { input type="number" id=(id) name=(id) value=(value) min="0" max=(max); }, None)
    };
    card(
        view.say("新建或修改路由", "Make or change a route"),
        parts::form(
            view,
            "/settings/routes",
            false,
            html! {
                div.columns {
                    (text_field("name", view.say("名称", "Name"), name, true, None))
                    (choice("target", view.say("目标", "Target"), &way.target, &targets))
                    (choice("level", view.say("级别不低于", "Level at least"), &said(&way.level), &levels))
                    (choice("when", view.say("时间", "When"), &said(&way.when), &whens))
                    (choice("group_by", view.say("合并", "In one message"), &said(&way.group_by), &groups))
                    (choice("disclosure", view.say("内容", "How much"), &said(&way.disclosure), &discloses))
                    (choice("language", view.say("语言", "Language"), &said(&way.language), &languages))
                    (text_field("departments", view.say("部门", "Departments"), &way.departments.join(" "), false, Some(view.say("空格分隔；留空为全部", "With spaces between; empty for all"))))
                    (text_field("sites", view.say("站点", "Sites"), &way.sites.join(" "), false, None))
                    (text_field("categories", view.say("规则类别", "Categories of rules"), &way.categories.join(" "), false, None))
                    (number("wait_s", view.say("首条等待（秒）", "The first waits, seconds"), way.group_wait_s, 86_400))
                    (number("interval_s", view.say("同组间隔（秒）", "Silence of a group, seconds"), way.group_interval_s, 86_400))
                    (number("repeat_m", view.say("无人领取时重复（分钟，0 为不重复）", "Again while nobody takes it, minutes; 0 for never"), way.repeat_s / 60, 1_440))
                }
                fieldset.row {
                    legend { (view.say("通知哪些事件", "What is told")) }
                    @for event in EVENTS {
                        label.check { input type="checkbox" name="event" value=(event) checked[events.iter().any(|it| it == event)]; (event_word(view, event)) }
                    }
                }
                (field("reason", view.say("理由（写入审计）", "Reason, for the audit trail"), html! { input type="text" id="reason" name="reason" maxlength="300"; }, None))
                button.first type="submit" { (view.say("保存", "Save")) }
            },
        ),
    )
}

fn sent(view: &View<'_>, all: &[Message]) -> Markup {
    let tongue = view.tongue();
    let title = view.say("最近的通知", "Lately");
    let rows: Vec<_> = all
        .iter()
        .map(|message| {
            let state = match message.state {
                "sent" => badge(Tone::Good, view.say("已送达", "Sent")),
                "waiting" | "sending" => badge(Tone::Note, view.say("待发送", "Waiting")),
                "failed" => badge(Tone::Warn, view.say("失败，将重试", "Failed; tried again")),
                "uncertain" => badge(Tone::Warn, view.say("可能已送达", "It may have arrived")),
                _ => badge(Tone::Bad, view.say("已放弃", "Given up")),
            };
            vec![
                tongue.at(message.planned_ms),
                html! { (message.target) },
                html! { @if message.route.is_empty() { (view.say("测试", "Test")) } @else { (message.route) } },
                state,
                or_dash(&message.reason),
            ]
        })
        .collect();
    let heads =
        tongue.of(vec!["时间", "目标", "路由", "状态", "原因"], vec!["When", "Target", "Route", "State", "Why"]);
    card(
        title,
        html! {
            @if rows.is_empty() { p.soft { (view.say("还没有发送过通知。", "Nothing was sent yet.")) } }
            @else { (Table { caption: title, heads, rows }.show()) }
        },
    )
}

fn make(ask: &Ask<'_>, given: Given) -> Result<Body, Problem> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let events = given.event.iter().map(|event| word::<Event>(event)).collect::<Result<_, _>>()?;
    let way = Way {
        level: word::<AtLeast>(&given.level)?,
        categories: words(&given.categories),
        departments: words(&given.departments),
        sites: words(&given.sites),
        events,
        when: word::<When>(&given.when)?,
        group_by: word::<GroupBy>(&given.group_by)?,
        group_wait_s: given.wait_s,
        group_interval_s: given.interval_s,
        repeat_s: given.repeat_m.saturating_mul(60),
        disclosure: word::<Disclosure>(&given.disclosure)?,
        language: word::<Language>(&given.language)?,
        ..Way::to(&given.target)
    };
    if !ask.site.desk.config.notify.has(&given.target) {
        return Err(Problem::malformed("the configuration has no such target"));
    }
    let value = serde_json::to_value(&way).map_err(|error| Problem::broken(&error))?;
    set(ask, (format!("{PREFIX}{}", given.name.trim()), value), given.reason, "notify")
}

fn remove(ask: &Ask<'_>, named: Named) -> Result<Body, Problem> {
    set(ask, (format!("{PREFIX}{}", named.name), serde_json::Value::Null), named.reason, "notify")
}

fn test(ask: &Ask<'_>, named: Named) -> Result<Body, Problem> {
    let done = notifications::test(ask, Test { target: named.name, reason: named.reason })?;
    ask.until_shown(&done.entries)?;
    Ok(Body::see("/settings?tab=notify&said=done"))
}
