//! Rules 规则: what is in force in each group and how far it has come, the rules with how they do, and what can be done with policies.

mod pack;
mod publish;
mod rollout;
mod tester;

use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Room;
use super::parts::{self, Table, Tone, badge};
use super::tongue::Tongue;
use super::view::View;
use crate::operators::Act;
use crate::rulebook::Both;
use crate::web::api::policies::{self, Group};
use crate::web::api::rules::{self, OfPolicy, PackView, RuleView};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Nothing, Route, page};
use watchpost_policy::my_data::category_zh;

/// Rules of one page.
const ROWS: usize = 50;

pub(super) fn routes() -> Vec<Route> {
    let own = vec![page("/rules", Act::SeeRules, ("Rules", "规则"), show)];
    [own, tester::routes(), publish::routes(), rollout::routes(), pack::routes()].into_iter().flatten().collect()
}

/// What is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    group: String,
    find: String,
    level: String,
    status: String,
    from: usize,
    said: String,
}

fn show(ask: &Ask<'_>, asked: Asked) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = Room::Rules.title(view.tongue());
    let groups = policies::groups(ask, Nothing {})?;
    let wanted = if asked.group.is_empty() { "default" } else { &asked.group };
    let group = groups.iter().find(|group| group.group == wanted).ok_or(Problem::new(Kind::NotFound))?;
    let of = OfPolicy { group: group.group.clone(), version: None };
    let packs = rules::packs(ask, of)?;
    let sentence = view.say(
        "各分组设备上生效的规则、推进到哪一步，以及每条规则判得准不准。",
        "What is in force on the devices of each group, how far it has come, and how right each rule is.",
    );
    let body = html! {
        (parts::heading(title, Some(sentence), Some(actions(&view))))
        (said(&view, &asked.said))
        @if groups.len() > 1 { (tabs(&view, &groups, wanted)) }
        div id="rollout" data-live="replace" { (rollout::show(&view, group)) }
        (list(&view, &packs.packs, &asked, wanted))
        (rollout::history(&view, wanted)?)
    };
    Ok(view.page(Some(Room::Rules), title, body))
}

fn actions(view: &View<'_>) -> Markup {
    html! {
        a.button href="/rules/test" { (view.say("试验台", "Try a text")) }
        @if view.may(Act::PublishPolicies) {
            a.button.first href="/rules/publish" { (view.say("发布策略", "Publish a policy")) }
        }
    }
}

fn said(view: &View<'_>, what: &str) -> Markup {
    let text = match what {
        "published" => view.say("策略已发布，正按分批推进。", "The policy is published and goes out ring by ring."),
        "done" => view.say("已执行，并已写入日志。", "Done, and in the log."),
        _ => return html! {},
    };
    parts::notice(Tone::Good, html! { p { (text) } })
}

fn tabs(view: &View<'_>, groups: &[Group], here: &str) -> Markup {
    let tabs: Vec<(String, &str, bool)> = groups
        .iter()
        .map(|group| (to("/rules", &[("group", &group.group)]), group.group.as_str(), group.group == here))
        .collect();
    parts::tabs(view.say("分组", "Groups"), &tabs)
}

fn list(view: &View<'_>, packs: &[PackView], asked: &Asked, group: &str) -> Markup {
    let tongue = view.tongue();
    let wanted = asked.find.trim().to_lowercase();
    let fits = |pack: &PackView, rule: &RuleView| {
        let says =
            [&rule.rule, &rule.title.zh, &rule.title.en, &rule.category, &pack.pack, &pack.title.zh, &pack.title.en];
        (wanted.is_empty() || says.iter().any(|text| text.to_lowercase().contains(&wanted)))
            && (asked.level.is_empty() || asked.level == rule.level)
            && (asked.status.is_empty() || asked.status == rule.status)
    };
    let all = packs.iter().flat_map(|pack| pack.rules.iter().map(move |rule| (pack, rule)));
    let found: Vec<(&PackView, &RuleView)> = all.filter(|(pack, rule)| fits(pack, rule)).collect();
    let rows = found.iter().skip(asked.from).take(ROWS).map(|(pack, rule)| row(tongue, pack, rule, group)).collect();
    let next = (asked.from + ROWS < found.len()).then(|| {
        let from = (asked.from + ROWS).to_string();
        to(
            "/rules",
            &[
                ("group", group),
                ("find", &asked.find),
                ("level", &asked.level),
                ("status", &asked.status),
                ("from", &from),
            ],
        )
    });
    let table = Table {
        caption: view.say("规则", "Rules"),
        heads: vec![
            view.say("规则", "Rule"),
            view.say("规则包", "Pack"),
            view.say("类别", "Category"),
            view.say("级别", "Level"),
            view.say("状态", "Status"),
            view.say("#准确率", "#Precision"),
            view.say("#命中", "#Findings"),
        ],
        rows,
    };
    let count = format!("{} {}", found.len(), view.say("条", if found.len() == 1 { "rule" } else { "rules" }));
    parts::card_with(
        view.say("规则", "Rules"),
        html! { (count) },
        html! {
            (filters(view, asked, group))
            @if found.is_empty() {
                (parts::empty(
                    view.say("没有符合条件的规则", "No rule fits"),
                    view.say("放宽筛选条件，或查看其他分组。", "Ask for less, or look at another group."),
                    Some(html! { a.button href=(to("/rules", &[("group", group)])) { (view.say("清除筛选", "Show all")) } }),
                ))
            } @else { (table.show()) (parts::more(tongue, next)) }
        },
    )
}

fn filters(view: &View<'_>, asked: &Asked, group: &str) -> Markup {
    let any = view.say("全部", "Any");
    let tongue = view.tongue();
    let levels: Vec<(&str, &str)> = std::iter::once(("", any))
        .chain(["critical", "high", "medium", "low", "info"].map(|it| (it, tongue.level(it))))
        .collect();
    let statuses = [("", any), ("live", view.say("生效", "Live")), ("shadow", view.say("试运行", "Shadow"))];
    html! {
        form.filters method="get" action="/rules" {
            input type="hidden" name="group" value=(group);
            (parts::field("find", view.say("查找", "Find"), html! {
                input type="search" id="find" name="find" value=(asked.find) autocomplete="off" data-find;
            }, None))
            (parts::choice("level", view.say("级别", "Level"), &asked.level, &levels))
            (parts::choice("status", view.say("状态", "Status"), &asked.status, &statuses))
            button type="submit" { (view.say("筛选", "Filter")) }
        }
    }
}

fn row(tongue: Tongue, pack: &PackView, rule: &RuleView, group: &str) -> Vec<Markup> {
    let place = to(&format!("/rules/{}", pack.pack), &[("group", group)]);
    vec![
        html! { a href=(pack::place(&pack.pack, &rule.rule, group)) data-row { (both(tongue, &rule.title)) } br; small.id { (rule.rule) } },
        html! { a href=(place) { (both(tongue, &pack.title)) } },
        html! { (category(tongue, &rule.category)) },
        parts::level(tongue, rule.level),
        status(tongue, rule.status),
        precision(tongue, rule),
        html! { (rule.precision.as_ref().map_or_else(|| "0".to_owned(), |it| tongue.number(it.findings + it.shadow))) },
    ]
}

pub(super) fn status(tongue: Tongue, status: &str) -> Markup {
    match status {
        "live" => badge(Tone::Good, tongue.of("生效", "Live")),
        _ => badge(Tone::Note, tongue.of("试运行", "Shadow")),
    }
}

fn precision(tongue: Tongue, rule: &RuleView) -> Markup {
    let Some(it) = &rule.precision else { return html! { span.faint { "—" } } };
    let judged = it.confirmed + it.false_alarms;
    let Some(share) = it.precision else { return html! { span.faint { "—" } } };
    html! {
        ((share * 100.0).round() as u64) "%"
        small { " " (tongue.of(format!("{judged} 条已判"), format!("of {judged}"))) }
    }
}

/// What packs call a category, in the language of the page where that is known.
pub(super) fn category(tongue: Tongue, name: &str) -> &str {
    tongue.of(category_zh(name), name)
}

/// The title that is spoken; the other where it is missing.
pub(super) fn both(tongue: Tongue, title: &Both) -> &str {
    let (first, second) = tongue.of((&title.zh, &title.en), (&title.en, &title.zh));
    if first.is_empty() { second } else { first }
}

/// An address with what is asked there; what is empty is left out.
pub(super) fn to(path: &str, asked: &[(&str, &str)]) -> String {
    let asked: Vec<_> = asked.iter().filter(|(_, value)| !value.is_empty()).collect();
    let query = serde_html_form::to_string(&asked).unwrap_or_default();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A name as part of an address.
pub(super) fn path_part(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
