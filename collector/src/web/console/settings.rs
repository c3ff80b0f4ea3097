//! Settings: who may come in, who is told of alerts, when sites work, how fast is fast enough.

mod clocks;
mod notify;
mod operators;

use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Room;
use super::lists::{link, reason, said};
use super::parts::{self, Table, card, tabs, text_field};
use super::view::View;
use crate::link::{Link, SETTING as LINK};
use crate::operators::Act;
use crate::settings::{self, Setting};
use crate::web::api::settings::{self as api, Change};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form, page};

pub(super) use operators::{token_heads, token_row};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        page("/settings", Act::SeeSettings, ("Settings", "设置"), show),
        form("/settings/link", Act::ChangeSettings, ("Where messages are looked at", "设置消息链接"), set_link),
    ];
    routes.extend(operators::routes());
    routes.extend(notify::routes());
    routes.extend(clocks::routes());
    routes
}

#[derive(Default, Deserialize)]
struct Which {
    #[serde(default)]
    tab: String,
    /// Of a tab: the calendar or the route that is changed.
    #[serde(default)]
    of: String,
    page: Option<usize>,
    said: Option<String>,
}

impl Which {
    fn tab(tab: &str) -> Self {
        Self { tab: tab.to_owned(), ..Self::default() }
    }
}

#[derive(Deserialize)]
struct Template {
    #[serde(default)]
    template: String,
    #[serde(default)]
    reason: String,
}

fn show(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    shown(ask, &which, &html! {})
}

fn shown(ask: &Ask<'_>, which: &Which, told: &Markup) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = Room::Settings.title(view.tongue());
    let words = [
        ("operators", view.say("操作员", "Operators")),
        ("notify", view.say("通知", "Notifications")),
        ("calendars", view.say("日历", "Calendars")),
        ("response", view.say("响应时限", "Response times")),
        ("link", view.say("消息链接", "Message links")),
        ("other", view.say("全部设置", "All settings")),
    ];
    let here = words.iter().map(|(name, _)| *name).find(|name| *name == which.tab).unwrap_or("operators");
    let ways = words.map(|(name, words)| (link("/settings", &[("tab", name)]), words, name == here));
    let inside = match here {
        "notify" => notify::show(&view, &which.of)?,
        "calendars" => clocks::calendars(&view, &which.of)?,
        "response" => clocks::responses(&view)?,
        "link" => of_link(&view)?,
        "other" => others(&view, &settings::list(ask.derived()?, "")?),
        _ => operators::list(&view, which.page)?,
    };
    let body = html! {
        (parts::heading(title, None, None))
        (tabs(title, &ways))
        (said(&view, which.said.as_ref()))
        (told)
        (inside)
    };
    Ok(view.page(Some(Room::Settings), title, body))
}

/// Sets a value, or removes it where there is none, and goes on at the tab.
fn set(ask: &Ask<'_>, (name, value): (String, serde_json::Value), reason: String, tab: &str) -> Result<Body, Problem> {
    let done = api::set(ask, Change { name, value, reason })?;
    ask.until_shown(&done.entries)?;
    Ok(Body::see(format!("/settings?tab={tab}&said=done")))
}

/// Who set something, when and why.
fn set_by(view: &View<'_>, setting: &Setting) -> Markup {
    html! { small { (setting.by) " · " (view.tongue().at(setting.at_ms)) @if !setting.reason.is_empty() { " · " (setting.reason) } } }
}

fn of_link(view: &View<'_>) -> Result<Markup, Problem> {
    let present = Link::read(view.ask.derived()?)?.map(|link| link.template).unwrap_or_default();
    let sentence = view.say(
        "告警中的每条消息可以链接到公司自己的存档系统。",
        "Each message of an alert can lead to the company's own archive.",
    );
    Ok(card(
        view.say("消息链接模板", "Template of message links"),
        html! {
            p.soft { (sentence) }
            @if view.may(Act::ChangeSettings) {
                (parts::form(view, "/settings/link", false, html! {
                    (text_field("template", view.say("模板", "Template"), &present, false,
                        Some(view.say("如 https://archive.example/msg/{corp}/{msgid}；留空则不链接", "Like https://archive.example/msg/{corp}/{msgid}; empty for no links"))))
                    (reason(view, "why-link"))
                    button type="submit" { (view.say("保存", "Save")) }
                }))
            } @else { p { code { @if present.is_empty() { "—" } @else { (present) } } } }
        },
    ))
}

fn set_link(ask: &Ask<'_>, given: Template) -> Result<Body, Problem> {
    let template = given.template.trim();
    let value = match template {
        "" => serde_json::Value::Null,
        template => serde_json::json!({ "template": template }),
    };
    set(ask, (LINK.to_owned(), value), given.reason, "link")
}

fn others(view: &View<'_>, all: &[Setting]) -> Markup {
    let title = view.say("全部设置", "All settings");
    let rows: Vec<_> = all
        .iter()
        .map(|setting| {
            vec![html! { code { (setting.name) } }, html! { code { (setting.value) } }, set_by(view, setting)]
        })
        .collect();
    let heads = view.say(vec!["名称", "值", "由谁设置"], vec!["Name", "Value", "Set by"]);
    card(
        title,
        html! {
            @if rows.is_empty() {
                (parts::empty(view.say("没有设置", "Nothing is set"), view.say("一切按默认值运行。", "Everything is as by default."), None))
            } @else { (Table { caption: title, heads, rows }.show()) }
            p.hint { (view.say("用命令修改：", "Change them by command: ")) code { "watchpost-collector setting --help" } }
        },
    )
}
