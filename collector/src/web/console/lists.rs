//! What lists and forms of several rooms have in common: which part of a list, addresses with filters, reasons, what was done.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::parts::{self, Tone, field};
use super::view::View;

/// Rows of one part.
const ROWS: usize = 50;

/// Part of a list.
pub(super) struct Part<T> {
    pub(super) items: Vec<T>,
    /// Its number, from 1.
    number: usize,
    total: usize,
}

impl<T> Part<T> {
    /// The part of this number, or the last.
    pub(super) fn of(all: Vec<T>, number: Option<usize>) -> Self {
        let total = all.len();
        let number = number.unwrap_or(1).clamp(1, total.div_ceil(ROWS).max(1));
        Self { items: all.into_iter().skip((number - 1) * ROWS).take(ROWS).collect(), number, total }
    }

    /// The way to the other parts. `to` says where one is.
    pub(super) fn turn(&self, view: &View<'_>, to: impl Fn(usize) -> String) -> Markup {
        let first = (self.number - 1) * ROWS + 1;
        let last = (self.number * ROWS).min(self.total);
        html! {
            @if self.total > ROWS {
                nav.more.row aria-label=(view.say("分页", "Pages")) {
                    @if self.number > 1 { a.button href=(to(self.number - 1)) rel="prev" { (view.say("上一页", "Previous")) } }
                    span.soft { (first) "–" (last) " / " (self.total) }
                    @if last < self.total { a.button href=(to(self.number + 1)) rel="next" { (view.say("下一页", "Next")) } }
                }
            }
        }
    }
}

/// An address with those filters that say something.
pub(super) fn link(path: &str, filters: &[(&str, &str)]) -> String {
    let said: Vec<_> = filters.iter().filter(|(_, value)| !value.is_empty()).collect();
    match serde_html_form::to_string(&said) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

/// A text as one part of a path.
pub(super) fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            b'.' if text.bytes().any(|other| other != b'.') => out.push('.'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

/// What was just done, where the address says that something was.
pub(super) fn said(view: &View<'_>, said: Option<&String>) -> Markup {
    html! {
        @if said.is_some() {
            (parts::notice(Tone::Good, html! { p { (view.say("已完成并写入日志。", "Done, and in the log.")) } }))
        }
    }
}

/// A line for why something is done; several on one page need ids of their own.
pub(super) fn reason(view: &View<'_>, id: &str) -> Markup {
    let label = view.say("理由", "Reason");
    let control =
        html! { input type="text" id=(id) name="reason" required minlength="4" maxlength="300" autocomplete="off"; };
    field(id, label, control, None)
}

/// A button with a form around it that asks once more, where scripts run.
pub(super) fn deed(view: &View<'_>, action: &str, confirm: Option<&str>, inside: Markup) -> Markup {
    html! { form method="post" action=(action) data-confirm=[confirm] { (parts::mark(view)) (inside) } }
}

/// A choice among names that there are, and all of them.
pub(super) fn among(view: &View<'_>, id: &str, label: &str, chosen: &str, names: &[String]) -> Markup {
    let control = html! {
        select id=(id) name=(id) {
            option value="" { (view.say("全部", "All")) }
            @for name in names { option value=(name) selected[name == chosen] { (name) } }
        }
    };
    field(id, label, control, None)
}

/// Something, or a dash.
pub(super) fn or_dash(text: &str) -> Markup {
    html! { @if text.is_empty() { span.faint { "—" } } @else { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_are_called_stays_in_its_part_of_an_address() {
        assert_eq!(segment("ww1/li.na"), "ww1%2Fli.na");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("a b?#李"), "a%20b%3F%23%E6%9D%8E");
        assert_eq!(link("/devices", &[("site", ""), ("text", "a&b")]), "/devices?text=a%26b");
        assert_eq!(link("/devices", &[("site", "")]), "/devices");
    }

    #[test]
    fn a_part_that_is_not_there_is_the_last() {
        let part = |number| Part::of((0..120).collect::<Vec<_>>(), number).items;
        assert_eq!((part(None).len(), part(Some(3)).len()), (50, 20));
        assert_eq!((part(Some(0))[0], part(Some(99))[0]), (0, 100));
        assert_eq!(Part::of(Vec::<u8>::new(), Some(2)).items.len(), 0);
    }
}
