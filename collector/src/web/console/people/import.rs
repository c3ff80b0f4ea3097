//! What a list of HR's would change, before it is signed. Publishing takes HR's key, which is not here.

use maud::{Markup, html};
use serde::Deserialize;

use super::ways;
use crate::log_store;
use crate::operators::Act;
use crate::people::difference::{Difference, Named};
use crate::people::persons::{self, Persons};
use crate::people::{columns, table};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Tone, card, field, text_field, tile};
use crate::web::console::view::View;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Route, form, page};

/// Largest list that is previewed, in bytes; larger ones are with `--dry-run`.
const LIST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Names of one part that are shown.
const NAMES_SHOWN: usize = 100;
/// Mistakes shown.
const MISTAKES_SHOWN: usize = 30;

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/people/import", Act::SeePeople, ("Preview an import", "导入预览"), show),
        form("/people/import", Act::SeePeople, ("Preview an import", "导入预览"), preview).with_files(LIST_BYTES_MAX),
    ]
}

#[derive(Default, Deserialize)]
struct Given {
    #[serde(default)]
    corp: String,
}

fn show(ask: &Ask<'_>, _: Given) -> Result<Body, Problem> {
    Ok(shown(&View::of(ask), &html! {}))
}

fn shown(view: &View<'_>, told: &Markup) -> Body {
    let title = view.say("导入预览", "Preview an import");
    let sentence = view.say(
        "上传人事名单，看它会改变什么；这里不会发布任何内容，文件也不会保存。",
        "Upload a list of HR's and see what it would change; nothing is published here and the file is not kept.",
    );
    let body = html! {
        (parts::heading(title, Some(sentence), None))
        (ways(view, "/people/import"))
        (told)
        (card(view.say("选择名单", "Choose a list"), parts::form(view, "/people/import", true, html! {
            (field("list", view.say("CSV 或 XLSX", "CSV or XLSX"), html! { input type="file" id="list" name="list" required accept=".csv,.xlsx"; },
                Some(view.say("列：工号、企业、账号、姓名、部门、岗位、地点、标签、状态、入职、离职、不监测", "Columns: employee, corp, userid, name, department, post, site, labels, status, from, leave, never"))))
            (text_field("corp", view.say("企业（名单中没有该列时）", "Corp, where the list has no such column"), "", false, None))
            button.first type="submit" { (view.say("预览", "Preview")) }
        })))
    };
    view.page(Some(Room::People), title, body)
}

fn preview(ask: &Ask<'_>, given: Given) -> Result<Body, Problem> {
    let view = View::of(ask);
    let file = ask.file("list").ok_or_else(|| Problem::malformed("choose a file"))?;
    let corp = Some(given.corp.trim()).filter(|corp| !corp.is_empty());
    let read = table::read(&file.bytes).and_then(|rows| columns::lines(&rows, corp));
    // Nothing is kept of it, so nothing is salted.
    let after = match read.and_then(|lines| persons::of_lines(&lines, Vec::new)) {
        Ok(after) => after,
        Err(mistakes) => {
            return Err(Problem::malformed(mistakes.into_iter().take(MISTAKES_SHOWN).collect::<Vec<_>>().join("; ")));
        }
    };
    let before = in_force(ask)?;
    let difference = Difference::between(&before, &after);
    let told = html! {
        (of_difference(&view, &before, &after, &difference))
        (card(view.say("下一步：由人事签名发布", "Next: HR signs and publishes"), html! {
            p { (view.say("在保存人事密钥的机器上执行（先试运行，再正式发布）：", "Where HR's key is, first as a trial and then in earnest:")) }
            (parts::copied(view.tongue(), "watchpost-collector people import staff.xlsx --key hr.key --dry-run --config collector.toml"))
            (parts::copied(view.tongue(), &command(&difference)))
        }))
    };
    Ok(shown(&view, &told))
}

fn command(difference: &Difference) -> String {
    let removed = match difference.never_removed.len() {
        0 => String::new(),
        number => format!(" --remove-never {number}"),
    };
    format!(
        "watchpost-collector people import staff.xlsx --key hr.key{removed} --reason \"...\" --config collector.toml"
    )
}

/// The roster that was published last.
fn in_force(ask: &Ask<'_>) -> Result<Persons, Problem> {
    let log = ask.log().connection();
    let Some(latest) = log_store::latest_roster(log)? else { return Ok(Persons::new()) };
    let roster = log_store::roster_of(log, &latest.signed)?;
    persons::of_roster(&roster).map_err(|told| Problem::new(Kind::Broken).because(told))
}

/// Who is never looked at is counted and not named, neither before nor after.
fn of_difference(view: &View<'_>, before: &Persons, after: &Persons, difference: &Difference) -> Markup {
    let is_named = |named: &&Named| {
        let is_never = |persons: &Persons| persons.get(&named.account).is_some_and(|person| person.row.never);
        !is_never(before) && !is_never(after)
    };
    let parts = [
        (view.say("新增", "Joined"), &difference.joined, Tone::Good),
        (view.say("离开", "Left"), &difference.left, Tone::Note),
        (view.say("变更", "Changed"), &difference.changed, Tone::Note),
    ];
    let removed = difference.never_removed.len();
    html! {
        @if difference.is_empty() {
            (parts::notice(Tone::Good, html! { p { (view.say("与现行花名册一致，没有变化。", "Just as the roster in force; nothing changes.")) } }))
        }
        @if removed > 0 {
            (parts::notice(Tone::Bad, html! { p { b { (removed) (view.say(" 个账号将移出不监测名单。请确认名单中的“不监测”一列没有缺失。", " accounts would leave the never list. See that the list's never column is not missing.")) } } }))
        }
        div.tiles {
            @for (name, all, tone) in &parts { (tile(name, &all.len().to_string(), None, None, if all.is_empty() { Tone::Plain } else { *tone })) }
            (tile(view.say("加入不监测", "Never, added"), &difference.never_added.len().to_string(), None, None, Tone::Plain))
            (tile(view.say("移出不监测", "Never, removed"), &removed.to_string(), None, None, if removed > 0 { Tone::Bad } else { Tone::Plain }))
        }
        @for (name, all, _) in parts {
            @let shown: Vec<&Named> = all.iter().filter(is_named).collect();
            @if !shown.is_empty() {
                (card(name, html! {
                    ul.plain { @for named in shown.iter().take(NAMES_SHOWN) { li { span.id { (named.account) } " " (named.name) } } }
                    @if shown.len() > NAMES_SHOWN { p.soft { "+" (shown.len() - NAMES_SHOWN) } }
                }))
            }
        }
    }
}
