//! A workbook or CSV brought to a list: what it would change is shown, then proposed.

use maud::{Markup, html};
use serde::Deserialize;

use super::{place, place_with};
use crate::operators::Act;
use crate::web::api::words::{self, Next};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Tone, card};
use crate::web::console::view::View;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Route, form, page};
use crate::words::difference::Difference;
use crate::words::file;

/// Words shown of each kind; the rest is counted.
const SHOWN: usize = 200;
/// A file, and what a form has around it.
const BYTES_MAX: usize = file::FILE_BYTES_MAX + 64 * 1024;
/// Mistakes of a file that are told.
const MISTAKES: usize = 12;

pub(super) fn routes() -> Vec<Route> {
    let keep = Act::KeepWords;
    vec![
        page("/words/{list}/import", keep, ("What a file would change", "导入前差异"), show),
        form("/words/{list}/import", keep, ("Bring a file of words", "上传词表"), bring).with_files(BYTES_MAX),
        form("/words/{list}/import/confirm", keep, ("Propose what a file changes", "提出导入的变化"), confirm),
    ]
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Held {
    held: String,
    whole: String,
    reason: String,
}

impl Held {
    fn is_whole(&self) -> bool {
        !self.whole.is_empty()
    }

    fn difference(&self, ask: &Ask<'_>) -> Result<Difference, Problem> {
        let bytes = ask.site.uploads.find(ask.by()?, &self.held, ask.now_ms);
        let bytes = bytes
            .ok_or_else(|| Problem::new(Kind::NotPossible).because("the file is no longer held; bring it again"))?;
        difference(ask, &bytes)
    }
}

fn difference(ask: &Ask<'_>, bytes: &[u8]) -> Result<Difference, Problem> {
    let new = file::read(bytes).map_err(|mut mistakes| {
        let more = mistakes.len().saturating_sub(MISTAKES);
        mistakes.truncate(MISTAKES);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Problem::malformed(mistakes.join("; ") + &more)
    })?;
    Ok(Difference::of(&words::all(ask, &words::named(ask)?)?, new))
}

fn bring(ask: &Ask<'_>, asked: Held) -> Result<Body, Problem> {
    let file = ask.file("file").ok_or_else(|| Problem::malformed("choose a file"))?;
    difference(ask, &file.bytes).map_err(|problem| {
        let detail = format!("{}: {}", file.name, problem.detail());
        problem.because(detail)
    })?;
    let held = ask.site.uploads.keep(ask.by()?, file.bytes.clone(), ask.now_ms);
    let list = ask.param("list")?;
    Ok(Body::see(super::to(&format!("{}/import", place(list)), &[("held", &held), ("whole", &asked.whole)])))
}

fn show(ask: &Ask<'_>, asked: Held) -> Result<Body, Problem> {
    let view = View::of(ask);
    let list = words::named(ask)?;
    let difference = asked.difference(ask)?;
    let title = view.say("导入会改变什么", "What the file would change");
    let back = html! { a.button href=(place(&list.list)) { (list.list) } };
    let body = html! {
        (parts::heading(title, None, Some(back)))
        (told(&view, &difference, asked.is_whole()))
        @if difference.is_empty(asked.is_whole()) {
            (parts::notice(Tone::Note, html! { p { (view.say("与现有词表相同，没有可提出的变化。", "It says what the list says; there is nothing to propose.")) } }))
        } @else {
            (card(view.say("提出", "Propose it"), parts::form(&view, &format!("{}/import/confirm", place(&list.list)), false, html! {
                input type="hidden" name="held" value=(asked.held);
                input type="hidden" name="whole" value=(asked.whole);
                (parts::text_field("reason", view.say("理由", "Reason"), "", false, Some(view.say("写入审计记录", "Goes into the audit trail"))))
                button.first type="submit" { (view.say("提出，等待另一人批准", "Propose; somebody else approves")) }
            })))
        }
    };
    Ok(view.page(Some(Room::Words), title, body))
}

fn told(view: &View<'_>, difference: &Difference, is_whole: bool) -> Markup {
    let tongue = view.tongue();
    let texts = |words: &[crate::words::desk::New]| words.iter().map(|new| new.word.clone()).collect::<Vec<_>>();
    let lacking: Vec<String> = difference.lacking.iter().map(|(_, word)| word.clone()).collect();
    let part = |title: &str, class: &str, words: Vec<String>| {
        html! {
            @if !words.is_empty() {
                h3 { (title) " " (words.len()) }
                p.words { @for word in words.iter().take(SHOWN) { span class={ "chip " (class) } { (word) } " " } @if words.len() > SHOWN { "…" } }
            }
        }
    };
    let same = tongue.of(
        format!("{} 个词不变，{} 个词已在等待批准。", difference.same, difference.waiting),
        format!("{} words stay, {} wait to be approved already.", difference.same, difference.waiting),
    );
    card(
        view.say("差异", "Difference"),
        html! {
            (part(view.say("加入", "To come"), "added", texts(&difference.added)))
            (part(view.say("修改备注或到期", "With another note or end"), "", texts(&difference.changed)))
            @if is_whole { (part(view.say("移除", "To go"), "removed", lacking)) }
            p.soft { (same) }
        },
    )
}

fn confirm(ask: &Ask<'_>, asked: Held) -> Result<Body, Problem> {
    let difference = asked.difference(ask)?;
    let list = ask.param("list")?.to_owned();
    if difference.is_empty(asked.is_whole()) {
        return Ok(Body::see(place_with(&list, &[("said", "same")])));
    }
    words::step(ask, Next { step: difference.step(asked.is_whole()), reason: asked.reason.clone() })?;
    Ok(Body::see(place_with(&list, &[("said", "proposed")])))
}
