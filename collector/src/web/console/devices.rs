//! Devices: how each of them is, the worst first.

mod enrol;
mod one;

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Room;
use super::lists::{self, Part, among, link, or_dash};
use super::parts::{self, Table, Tone, badge, choice, field, tile};
use super::tongue::Tongue;
use super::view::View;
use crate::commands::health::of_devices;
use crate::devices::{self, Device};
use crate::health::{Health, State};
use crate::members;
use crate::operators::Act;
use crate::sites::Plans;
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, page};

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![page("/devices", Act::SeeDevices, ("Devices", "设备"), list)];
    routes.extend(enrol::routes());
    routes.extend(one::routes());
    routes
}

#[derive(Default, Deserialize)]
struct Which {
    #[serde(default)]
    state: String,
    #[serde(default)]
    site: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    text: String,
    page: Option<usize>,
}

impl Which {
    fn fits(&self, row: &Row) -> bool {
        let same = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        let text = self.text.trim().to_lowercase();
        let Device { device, hostname, asset, site, group, .. } = &row.device;
        let is_named =
            text.is_empty() || [device, hostname, asset].iter().any(|name| name.to_lowercase().contains(&text));
        is_named && same(&self.site, site) && same(&self.group, group) && same(&self.state, row.stand())
    }

    fn to(&self, number: usize) -> String {
        let filters = [("state", &*self.state), ("site", &self.site), ("group", &self.group), ("text", &self.text)];
        let number = number.to_string();
        link("/devices", &[&filters[..], &[("page", &number)]].concat())
    }
}

/// A device with how it is.
struct Row {
    device: Device,
    health: Option<Health>,
    /// It is away as it was planned.
    excused: bool,
}

impl Row {
    /// The word it is filtered by.
    fn stand(&self) -> &'static str {
        match &self.health {
            _ if self.device.state != "active" => self.device.state,
            Some(health) => health.state.as_str(),
            None => "unknown",
        }
    }

    /// The worse, the lower.
    fn rank(&self) -> (u8, Option<State>) {
        let rank = match self.device.state {
            "revoked" => 3,
            "quarantined" => 0,
            _ if self.excused => 2,
            _ => 1,
        };
        (rank, self.health.as_ref().map(|health| health.state))
    }
}

/// The word for a state.
pub(super) fn state_word(tongue: Tongue, state: &str) -> &'static str {
    match state {
        "offline" => tongue.of("离线", "Offline"),
        "blind" => tongue.of("失察", "Blind"),
        "starved" => tongue.of("断供", "Starved"),
        "behind" => tongue.of("积压", "Behind"),
        "quiet" => tongue.of("平静", "Quiet"),
        "well" => tongue.of("正常", "Well"),
        "quarantined" => tongue.of("已隔离", "Quarantined"),
        "revoked" => tongue.of("已停用", "Revoked"),
        _ => tongue.of("不明", "Unknown"),
    }
}

/// What a state means.
pub(super) fn state_tone(state: &str) -> Tone {
    match state {
        "offline" | "blind" => Tone::Bad,
        "starved" | "behind" | "quarantined" => Tone::Warn,
        "quiet" => Tone::Note,
        "well" => Tone::Good,
        _ => Tone::Plain,
    }
}

/// What people call a device.
fn name_of(device: &Device) -> &str {
    [&device.hostname, &device.asset].into_iter().find(|name| !name.is_empty()).unwrap_or(&device.device)
}

fn rows(ask: &Ask<'_>) -> Result<Vec<Row>, Problem> {
    let (derived, plans) = (ask.derived()?, Plans::read(ask.derived()?)?);
    let known = of_devices(derived, &ask.site.desk.config, None, ask.now_ms)?;
    let mut known: BTreeMap<String, Health> = known.into_iter().map(|it| (it.device.clone(), it)).collect();
    let row = |device: Device| {
        let health = known.remove(&device.device);
        let excuse = health.as_ref().and_then(|health| plans.excuses(&device.site, health.state, ask.now_ms));
        Row { excused: excuse.is_some(), health, device }
    };
    let mut rows: Vec<Row> = devices::list(derived, None)?.into_iter().map(row).collect();
    rows.sort_by(|one, other| (one.rank(), name_of(&one.device)).cmp(&(other.rank(), name_of(&other.device))));
    Ok(rows)
}

fn list(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    let view = View::of(ask);
    let (tongue, title) = (view.tongue(), Room::Devices.title(view.tongue()));
    let all = rows(ask)?;
    let waiting = members::queue(ask.derived()?, false)?.len();
    let names = |of: fn(&Device) -> &String| -> Vec<String> {
        let names: BTreeSet<&String> = all.iter().map(|row| of(&row.device)).filter(|it| !it.is_empty()).collect();
        names.into_iter().cloned().collect()
    };
    let (sites, groups) = (names(|device| &device.site), names(|device| &device.group));
    let tiles = counted(tongue, &all);
    let enrol = html! {
        a.button href="/devices/enrol" {
            (view.say("设备接入", "Enrolment"))
            @if waiting > 0 { " " (badge(Tone::Warn, &waiting.to_string())) }
        }
    };
    let is_empty = all.is_empty();
    let fitting = Part::of(all.into_iter().filter(|row| which.fits(row)).collect(), which.page);
    let body = html! {
        (parts::heading(title, Some(view.say("先看最需要处理的设备。", "Those that need a look come first.")), Some(enrol)))
        @if is_empty {
            (parts::card(view.say("还没有设备", "No devices yet"), parts::empty(
                view.say("还没有设备接入", "No device has enrolled yet"),
                view.say("创建注册码，在设备上安装设备端并用注册码接入。", "Make a token, install the agent on a device and enrol it with the token."),
                Some(html! { a.button.first href="/devices/enrol" { (view.say("创建注册码", "Make a token")) } }))))
        } @else {
            (tiles)
            (filters(&view, &which, &sites, &groups))
            section.card #devices data-live="replace" aria-label=(title) {
                @if fitting.items.is_empty() {
                    (parts::empty(view.say("没有符合条件的设备", "No device fits"), view.say("放宽筛选条件再试。", "Widen the filters."),
                        Some(html! { a.button href="/devices" { (view.say("清除筛选", "Clear the filters")) } })))
                } @else { (table(&view, &fitting.items)) }
                (fitting.turn(&view, |number| which.to(number)))
            }
        }
    };
    Ok(view.page(Some(Room::Devices), title, body))
}

fn counted(tongue: Tongue, all: &[Row]) -> Markup {
    let mut words: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
    words.extend(["quarantined", "revoked"]);
    let count = |word: &str| all.iter().filter(|row| row.stand() == word).count();
    let always = ["offline", "blind", "starved", "behind", "quiet", "well"];
    html! {
        div.tiles {
            @for word in words {
                @let number = count(word);
                @if number > 0 || always.contains(&word) {
                    @let tone = if number == 0 { Tone::Plain } else { state_tone(word) };
                    (tile(state_word(tongue, word), &number.to_string(), None, Some(&link("/devices", &[("state", word)])), tone))
                }
            }
        }
    }
}

fn filters(view: &View<'_>, which: &Which, sites: &[String], groups: &[String]) -> Markup {
    let tongue = view.tongue();
    let mut states = vec![("", view.say("全部", "All"))];
    states.extend(State::ALL.iter().map(|state| (state.as_str(), state_word(tongue, state.as_str()))));
    states.extend(["quarantined", "revoked"].map(|word| (word, state_word(tongue, word))));
    html! {
        form.filters method="get" action="/devices" {
            (field("text", view.say("名称", "Name"), html! {
                input type="search" id="text" name="text" value=(which.text) data-find placeholder=(view.say("主机名、资产号或编号", "Hostname, asset or id"));
            }, None))
            (choice("state", view.say("状态", "State"), &which.state, &states))
            (among(view, "site", view.say("站点", "Site"), &which.site, sites))
            (among(view, "group", view.say("分组", "Group"), &which.group, groups))
            button type="submit" { (view.say("筛选", "Filter")) }
        }
    }
}

fn table(view: &View<'_>, rows: &[Row]) -> Markup {
    let (tongue, now_ms) = (view.tongue(), view.ask.now_ms);
    let cells = |row: &Row| {
        let device = &row.device;
        let first = row.health.as_ref().and_then(|health| health.standings.first());
        vec![
            html! {
                a href={ "/devices/" (device.device) } data-row { b { (name_of(device)) } }
                @if !device.asset.is_empty() && device.asset != name_of(device) { br; small.id { (device.asset) } }
            },
            html! {
                (badge(state_tone(row.stand()), state_word(tongue, row.stand())))
                @if row.excused { " " (badge(Tone::Note, view.say("计划内", "Planned"))) }
            },
            html! {
                @if device.state != "active" && !device.reason.is_empty() { (device.reason) }
                @else if let Some(first) = first { (tongue.of(&first.zh, &first.en)) }
            },
            or_dash(&device.site),
            or_dash(&device.group),
            html! { @if let Some(ms) = device.last_entry_ms { (tongue.ago(ms, now_ms)) } @else { span.faint { "—" } } },
            or_dash(&device.agent_version),
        ]
    };
    Table {
        caption: view.say("设备", "Devices"),
        heads: tongue.of(
            vec!["设备", "状态", "原因与下一步", "站点", "分组", "最近上报", "版本"],
            vec!["Device", "State", "Why, and what next", "Site", "Group", "Last record", "Agent"],
        ),
        rows: rows.iter().map(cells).collect(),
    }
    .show()
}

/// What was done, for pages below this one.
fn said(view: &View<'_>, told: Option<&String>) -> Markup {
    lists::said(view, told)
}
