//! When sites work, and how fast alerts are dealt with.

use maud::{Markup, html};
use serde::Deserialize;

use super::{set, set_by};
use crate::clocks::{self, CALENDAR, Clocks, DEFAULT_SITE, RESPONSE, Response, Responses, presets};
use crate::operators::Act;
use crate::settings::{self, Setting};
use crate::web::ask::Ask;
use crate::web::console::lists::{link, reason};
use crate::web::console::parts::{self, Table, card, field, text_field};
use crate::web::console::sites::of_calendar;
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form};

/// Levels with clocks, the highest first.
const LEVELS: [&str; 4] = ["critical", "high", "medium", "low"];
/// What a calendar looks like.
const EXAMPLE: &str = "base: cn\nhours:\n  mon-fri: \"09:00-18:00\"\nholidays: []\nwork_days: []\n";

pub(super) fn routes() -> Vec<Route> {
    let change = Act::ChangeSettings;
    vec![
        form("/settings/calendar", change, ("Change a calendar", "变更日历"), set_calendar),
        form("/settings/response", change, ("Change response times", "变更响应时限"), set_responses),
    ]
}

#[derive(Deserialize)]
struct Given {
    site: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    reason: String,
}

/// Of each level, in the order of [`LEVELS`].
#[derive(Deserialize)]
struct Times {
    take: Vec<String>,
    close: Vec<String>,
    #[serde(default)]
    reason: String,
}

pub(super) fn calendars(view: &View<'_>, of: &str) -> Result<Markup, Problem> {
    let derived = view.ask.derived()?;
    let all = settings::list(derived, &format!("{CALENDAR}/"))?;
    let chosen = if of.is_empty() { DEFAULT_SITE } else { of };
    let name = |setting: &Setting| setting.name.split_once('/').map_or("", |(_, site)| site).to_owned();
    let text = all.iter().find(|it| name(it) == chosen).and_then(|it| serde_json::from_str::<String>(&it.value).ok());
    let known = Clocks::read(derived)?;
    let rows: Vec<_> = all
        .iter()
        .map(|setting| {
            let site = name(setting);
            vec![
                html! { a href=(link("/settings", &[("tab", "calendars"), ("of", &site)])) { b { (site) } } },
                set_by(view, setting),
            ]
        })
        .collect();
    let title = view.say("日历", "Calendars");
    let heads = view.say(vec!["站点", "设置者"], vec!["Site", "Set by"]);
    Ok(html! {
        div.columns {
            (card(title, html! {
                p.soft { (view.say("告警的时限按站点的工作时间计算。没有自己日历的站点用 default；default 也没有设置时，用中国法定节假日与周一至周五 09:00–18:00。",
                    "Clocks run in work time of the site. A site without a calendar of its own has the one called default, or else Chinese public holidays and Monday to Friday, 09:00 to 18:00.")) }
                @if rows.is_empty() { p { (view.say("没有自定义日历。", "None of your own.")) } } @else { (Table { caption: title, heads, rows }.show()) }
            }))
            (card(chosen, of_calendar(view, known.calendar(chosen))))
        }
        @if view.may(Act::ChangeSettings) {
            (card(view.say("修改日历", "Change a calendar"), parts::form(view, "/settings/calendar", false, html! {
                (text_field("site", view.say("站点", "Site"), chosen, true, Some(view.say("default 用于其他所有站点", "default holds for all others"))))
                (field("text", view.say("内容", "Text"), html! {
                    textarea id="text" name="text" rows="10" spellcheck="false" aria-describedby="text-hint" { (text.as_deref().unwrap_or(EXAMPLE)) }
                }, Some(view.say("base: cn 含法定节假日；holidays 为另外的假日，work_days 为调休上班日；清空则移除", "base: cn has the public holidays; holidays are further days off, work_days are make-up days; empty to remove it"))))
                (reason(view, "why-calendar"))
                button type="submit" { (view.say("保存", "Save")) }
            })))
        }
    })
}

fn set_calendar(ask: &Ask<'_>, given: Given) -> Result<Body, Problem> {
    let text = given.text.replace("\r\n", "\n");
    let value = if text.trim().is_empty() { serde_json::Value::Null } else { serde_json::Value::String(text) };
    set(ask, (format!("{CALENDAR}/{}", given.site.trim()), value), given.reason, "calendars")
}

/// How every level is responded to now.
fn in_force(view: &View<'_>) -> Result<Responses, Problem> {
    let mut all = presets();
    all.extend(settings::read::<Responses>(view.ask.derived()?, RESPONSE)?.unwrap_or_default());
    Ok(all)
}

pub(super) fn responses(view: &View<'_>) -> Result<Markup, Problem> {
    let (all, tongue) = (in_force(view)?, view.tongue());
    let is_own = settings::list(view.ask.derived()?, RESPONSE)?.iter().any(|it| it.name == RESPONSE);
    let may = view.may(Act::ChangeSettings);
    let time = |name: &str, label: String, time: clocks::Duration| {
        let text = String::from(time);
        html! { @if may { input type="text" name=(name) value=(text) aria-label=(label) pattern="[0-9]+[smh]" required size="6"; } @else { (text) } }
    };
    let row = |(level, response): (&str, &Response)| {
        let name = tongue.level(level).to_owned();
        vec![
            parts::level(tongue, level),
            time("take", format!("{name} {}", view.say("领取", "taken")), response.take),
            time("close", format!("{name} {}", view.say("处置", "dealt with")), response.close),
            html! { ol { @for step in &response.steps { li { (tongue.of(&step.zh, &step.en)) } } } },
        ]
    };
    let rows: Vec<_> = LEVELS.iter().filter_map(|level| Some((*level, all.get(*level)?))).map(row).collect();
    let heads = tongue.of(
        vec!["级别", "多久内领取", "多久内处置", "处置步骤"],
        vec!["Level", "Taken within", "Dealt with within", "Steps"],
    );
    let title = view.say("响应时限", "Response times");
    let table = Table { caption: title, heads, rows }.show();
    Ok(card(
        title,
        html! {
            p.soft { (view.say("按工作时间计算；写法如 5m、24h。规则自带的时限优先。", "In work time, written like 5m or 24h. A rule's own time goes before it.")) " " (if is_own { view.say("现为自定义值。", "Changed by you.") } else { view.say("现为默认值。", "As by default.") }) }
            @if may {
                (parts::form(view, "/settings/response", false, html! {
                    (table)
                    (reason(view, "why-response"))
                    button type="submit" { (view.say("保存", "Save")) }
                }))
            } @else { (table) }
        },
    ))
}

fn set_responses(ask: &Ask<'_>, times: Times) -> Result<Body, Problem> {
    let mut all = in_force(&View::of(ask))?;
    let time = |text: &str| clocks::Duration::try_from(text.trim().to_owned()).map_err(Problem::malformed);
    for ((level, take), close) in LEVELS.iter().zip(&times.take).zip(&times.close) {
        if let Some(response) = all.get_mut(*level) {
            (response.take, response.close) = (time(take)?, time(close)?);
        }
    }
    let value = serde_json::to_value(&all).map_err(|error| Problem::broken(&error))?;
    set(ask, (RESPONSE.to_owned(), value), times.reason, "response")
}
