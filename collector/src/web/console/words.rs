//! Words 词表: the lists that compliance officers keep, and a word tried on past findings before it is proposed.

mod import;
mod list;
mod preview;

use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Room;
use super::parts::{self, Table, Tone, badge, card};
use super::rules::to;
use super::view::View;
use crate::operators::Act;
use crate::web::api::rules::everywhere;
use crate::web::api::words::{self, ListView, New};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    let own = vec![
        page("/words", Act::SeeRules, ("Lists of words", "词表"), show),
        form("/words", Act::KeepWords, ("Begin a list", "新建词表"), make),
    ];
    [own, preview::routes(), import::routes(), list::routes()].into_iter().flatten().collect()
}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = Room::Words.title(view.tongue());
    let sentence = view.say(
        "一人提出、另一人批准；写进已签名并发布的策略后才在设备上生效。",
        "One person proposes, another approves; a word counts on devices once a signed and published policy holds it.",
    );
    let lists = words::lists(ask, Nothing {})?;
    let actions = html! {
        @if view.may(Act::KeepWords) { a.button href="/words/preview" { (view.say("词语回看", "Try a word on past findings")) } }
    };
    let body = html! {
        (parts::heading(title, Some(sentence), Some(actions)))
        (card(view.say("全部词表", "All lists"), html! {
            @if lists.is_empty() {
                (parts::empty(
                    view.say("还没有词表", "There are no lists yet"),
                    view.say("为规则包里 words_file 指向的文件建一份词表，由合规人员维护。", "Begin one for a file that a pack names after words_file."),
                    None,
                ))
            } @else { (table(&view, &lists)) }
        }))
        @if view.may(Act::KeepWords) { (begin(&view)?) }
    };
    Ok(view.page(Some(Room::Words), title, body))
}

fn table(view: &View<'_>, lists: &[ListView]) -> Markup {
    let tongue = view.tongue();
    let rows = lists.iter().map(|it| {
        let list = &it.list;
        vec![
            html! { a href=(place(&list.list)) data-row { (list.list) } },
            html! { (list.pack) br; small.id { (list.file) } },
            html! { (list.approved) @if list.expired > 0 { br; small { (tongue.of(format!("{} 个已过期", list.expired), format!("{} expired", list.expired))) } } },
            html! { @if list.waiting > 0 { (badge(Tone::Warn, &tongue.of(format!("{} 个待批准", list.waiting), format!("{} to approve", list.waiting)))) } @else { span.faint { "—" } } },
            in_force(view, &it.in_force),
            html! { (tongue.at(list.at_ms)) br; small { (list.by) } },
        ]
    });
    Table {
        caption: view.say("词表", "Lists"),
        heads: vec![
            view.say("词表", "List"),
            view.say("规则包与文件", "Pack and file"),
            view.say("#已批准", "#Approved"),
            view.say("待办", "To do"),
            view.say("已生效", "In force"),
            view.say("建立", "Begun"),
        ],
        rows: rows.collect(),
    }
    .show()
}

fn in_force(view: &View<'_>, groups: &[(String, usize)]) -> Markup {
    let words = view.say(" 个词", " words");
    html! {
        @if groups.is_empty() { span.faint { (view.say("尚未发布", "not published yet")) } }
        @for (group, count) in groups { div { (group) ": " (count) (words) } }
    }
}

fn begin(view: &View<'_>) -> Result<Markup, Problem> {
    let mut files: Vec<(String, String)> = Vec::new();
    for (_, policy) in everywhere(view.ask)? {
        files.extend(policy.files().map(|(pack, file)| (pack.to_owned(), file.to_owned())));
    }
    files.sort();
    files.dedup();
    let mut packs: Vec<&str> = files.iter().map(|(pack, _)| pack.as_str()).collect();
    packs.dedup();
    let mut names: Vec<&str> = files.iter().map(|(_, file)| file.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let suggested = |id: &str, label: &str, list: &str, hint: Option<&str>| {
        parts::field(
            id,
            label,
            html! { input type="text" id=(id) name=(id) list=(list) required autocomplete="off" aria-describedby=[hint.map(|_| format!("{id}-hint"))]; },
            hint,
        )
    };
    Ok(card(
        view.say("新建词表", "Begin a list"),
        parts::form(
            view,
            "/words",
            false,
            html! {
                div.filters {
                    (parts::text_field("list", view.say("名称", "Name"), "", true, None))
                    (suggested("pack", view.say("规则包编号", "Pack, by its id"), "packs", None))
                    (suggested("file", view.say("文件", "File"), "files", Some(view.say("与规则包中 words_file 的写法一致", "As the pack has it after words_file"))))
                }
                datalist id="packs" { @for pack in packs { option value=(pack) {} } }
                datalist id="files" { @for file in names { option value=(file) {} } }
                button type="submit" { (view.say("新建", "Begin")) }
            },
        ),
    ))
}

#[derive(Deserialize)]
struct Begun {
    list: String,
    pack: String,
    file: String,
}

fn make(ask: &Ask<'_>, begun: Begun) -> Result<Body, Problem> {
    let name = begun.list.trim().to_owned();
    let new = New {
        list: name.clone(),
        pack: begun.pack.trim().to_owned(),
        file: begun.file.trim().to_owned(),
        reason: String::new(),
    };
    words::make(ask, new)?;
    Ok(Body::see(place(&name)))
}

/// Where a list is shown.
pub(super) fn place(list: &str) -> String {
    format!("/words/{}", super::rules::path_part(list))
}

/// The same with what is asked there.
pub(super) fn place_with(list: &str, asked: &[(&str, &str)]) -> String {
    to(&place(list), asked)
}
