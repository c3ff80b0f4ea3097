//! What pages are built of. Text is escaped wherever it goes in; classes say what something means, not how it looks.

use maud::{Markup, PreEscaped, html};

use super::tongue::Tongue;
use super::view::View;
use crate::web::auth::MARK_FIELD;
use crate::web::problem::Problem;

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Tone {
    Plain,
    Good,
    Note,
    Warn,
    Bad,
}

impl Tone {
    pub(in crate::web) fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// The head of a page: what it is, a sentence about it, what can be done.
pub(in crate::web) fn heading(title: &str, sentence: Option<&str>, actions: Option<Markup>) -> Markup {
    html! {
        div.heading {
            div { h1 { (title) } @if let Some(sentence) = sentence { p.sub { (sentence) } } }
            @if let Some(actions) = actions { div.actions { (actions) } }
        }
    }
}

/// A part of a page with a title of its own.
pub(in crate::web) fn card(title: &str, inside: Markup) -> Markup {
    html! { section.card { h2 { (title) } (inside) } }
}

/// The same, with something beside the title.
pub(in crate::web) fn card_with(title: &str, beside: Markup, inside: Markup) -> Markup {
    html! { section.card { div.card-head { h2 { (title) } div.beside { (beside) } } (inside) } }
}

/// One or two words with a meaning.
pub(in crate::web) fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (text) } }
}

/// A level: by word and by colour.
pub(in crate::web) fn level(tongue: Tongue, level: &str) -> Markup {
    let class = if ["critical", "high", "medium", "low"].contains(&level) { level } else { "info" };
    html! { span class={ "level " (class) } { (tongue.level(level)) } }
}

/// A number that stands for itself, and where it leads.
pub(in crate::web) fn tile(label: &str, number: &str, beside: Option<Markup>, to: Option<&str>, tone: Tone) -> Markup {
    let inside = html! {
        span.label { (label) }
        strong { (number) }
        @if let Some(beside) = beside { span.beside { (beside) } }
    };
    html! {
        @if let Some(to) = to { a class={ "tile " (tone.class()) } href=(to) { (inside) } }
        @else { div class={ "tile " (tone.class()) } { (inside) } }
    }
}

/// Names and what stands beside them.
pub(in crate::web) fn facts<'a>(rows: impl IntoIterator<Item = (&'a str, Markup)>) -> Markup {
    html! { dl.facts { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
}

/// A table; on a small screen each row becomes a card, with the head of the column before each cell.
pub(in crate::web) struct Table<'a> {
    /// What it shows, for those who do not see it.
    pub(in crate::web) caption: &'a str,
    /// Heads of columns; a leading `#` stands for numbers, which are set to the right.
    pub(in crate::web) heads: Vec<&'a str>,
    /// Rows of as many cells.
    pub(in crate::web) rows: Vec<Vec<Markup>>,
}

impl Table<'_> {
    pub(in crate::web) fn show(self) -> Markup {
        let number = |head: &str| head.starts_with('#').then_some("number");
        html! {
            div.scroll role="region" aria-label=(self.caption) tabindex="0" {
                table.cards {
                    caption.unseen { (self.caption) }
                    thead { tr { @for head in &self.heads { th scope="col" class=[number(head)] { (head.trim_start_matches('#')) } } } }
                    tbody {
                        @for row in self.rows {
                            tr {
                                @for (head, cell) in self.heads.iter().zip(row) {
                                    td class=[number(head)] data-head=(head.trim_start_matches('#')) { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What stands where there is nothing, and what to do about it.
pub(in crate::web) fn empty(title: &str, sentence: &str, action: Option<Markup>) -> Markup {
    html! {
        div.empty {
            p.title { (title) }
            p { (sentence) }
            @if let Some(action) = action { div.actions { (action) } }
        }
    }
}

/// Something the reader has to know before the rest.
pub(in crate::web) fn notice(tone: Tone, inside: Markup) -> Markup {
    let role = if tone == Tone::Bad { "alert" } else { "status" };
    html! { div class={ "notice " (tone.class()) } role=(role) { (inside) } }
}

/// What is the matter, and what to do next.
pub(in crate::web) fn problem(tongue: Tongue, problem: &Problem) -> Markup {
    let (title, next) = tongue.problem(problem.kind);
    html! {
        div.notice.bad.problem role="alert" {
            p.title { (title) }
            @if !problem.detail().is_empty() { p { (problem.detail()) } }
            p { (next) }
        }
    }
}

/// What a form carries so that no foreign page can send it.
pub(in crate::web) fn mark(view: &View<'_>) -> Markup {
    html! { input type="hidden" name=(MARK_FIELD) value=(view.ask.mark()); }
}

/// A form that is sent; with `files` it may bring some.
pub(in crate::web) fn form(view: &View<'_>, action: &str, files: bool, inside: Markup) -> Markup {
    html! {
        form method="post" action=(action) enctype=[files.then_some("multipart/form-data")] { (mark(view)) (inside) }
    }
}

/// A control with its label, and a hint below it. `id` is that of the control.
pub(in crate::web) fn field(id: &str, label: &str, control: Markup, hint: Option<&str>) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            (control)
            @if let Some(hint) = hint { p.hint id={ (id) "-hint" } { (hint) } }
        }
    }
}

/// A line of text, with its label.
pub(in crate::web) fn text_field(id: &str, label: &str, value: &str, is_needed: bool, hint: Option<&str>) -> Markup {
    let described = hint.map(|_| format!("{id}-hint"));
    let control = html! {
        input type="text" id=(id) name=(id) value=(value) required[is_needed] aria-describedby=[described] autocomplete="off";
    };
    field(id, label, control, hint)
}

/// One of several, with its label: `(value, words)`.
pub(in crate::web) fn choice(id: &str, label: &str, chosen: &str, options: &[(&str, &str)]) -> Markup {
    let control = html! {
        select id=(id) name=(id) {
            @for (value, words) in options { option value=(value) selected[*value == chosen] { (words) } }
        }
    };
    field(id, label, control, None)
}

/// Where the rest of a list is.
pub(in crate::web) fn more(tongue: Tongue, to: Option<String>) -> Markup {
    html! { @if let Some(to) = to { nav.more aria-label=(tongue.of("分页", "Pages")) { a.button href=(to) rel="next" { (tongue.of("下一页", "Next page")) } } } }
}

/// Tabs: `(address, words, is here)`.
pub(in crate::web) fn tabs(label: &str, tabs: &[(String, &str, bool)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (to, words, is_here) in tabs { a href=(to) aria-current=[is_here.then_some("page")] { (words) } }
        }
    }
}

/// Text of fixed width, with a button that copies it where scripts run.
pub(in crate::web) fn copied(tongue: Tongue, text: &str) -> Markup {
    html! {
        div.copied {
            code { (text) }
            button.quiet type="button" data-copy=(text) data-done=(tongue.of("已复制", "Copied")) hidden { (tongue.of("复制", "Copy")) }
        }
    }
}

/// A sign of a room or an action, drawn on 24 by 24.
pub(in crate::web) fn icon(name: &str) -> Markup {
    let path = match name {
        "" => "M4 4h7v7H4zM13 4h7v4h-7zM13 10h7v10h-7zM4 13h7v7H4z",
        "alerts" => "M12 3a6 6 0 0 0-6 6v4l-2 4h16l-2-4V9a6 6 0 0 0-6-6zM10 20h4",
        "search" => "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
        "cases" => "M4 7h16v12H4zM9 7V4h6v3M4 12h16",
        "devices" => "M3 5h18v11H3zM8 20h8M12 16v4",
        "sites" => "M12 21s7-6.2 7-11a7 7 0 1 0-14 0c0 4.8 7 11 7 11zM12 7.500a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
        "rules" => "M5 4h14v16H5zM8.5 9h7M8.5 13h7M8.5 17h4",
        "words" => "M4 19L9.5 5h1L16 19M6 14h8M17 9h4M19 7v12",
        "people" => {
            "M9 4a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM2.5 20c0-4 2.9-6 6.5-6s6.5 2 6.5 6M16 5a3 3 0 0 1 0 6M18 14.500c2.2.7 3.5 2.5 3.5 5.5"
        }
        "audit" => "M12 3l8 3v6c0 4.5-3.4 7.7-8 9-4.6-1.3-8-4.5-8-9V6zM8.5 12l2.5 2.5 4.5-5",
        "settings" => {
            "M4 7h10M18 7h2M4 17h2M10 17h10M14 7a2 2 0 1 0 4 0 2 2 0 0 0-4 0M6 17a2 2 0 1 0 4 0 2 2 0 0 0-4 0"
        }
        "menu" => "M5 12h.01M12 12h.01M19 12h.01",
        "sun" => {
            "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.600L7 7M17 17l1.4 1.400M18.4 5.600L17 7M7 17l-1.4 1.4"
        }
        "moon" => "M20 14.500A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.500z",
        "auto" => "M3 5h18v11H3zM9 20h6M12 5v11",
        _ => "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14z",
    };
    html! {
        svg.icon viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" fill="none" stroke="currentColor"
            stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" { path d=(path) {} }
    }
}

/// A square code of a text that a phone reads.
pub(in crate::web) fn square_code(text: &str) -> Markup {
    let Ok(code) = qrcode::QrCode::new(text) else { return html! {} };
    let width = code.width();
    let dark = code.to_colors();
    let mut path = String::new();
    for (place, colour) in dark.iter().enumerate() {
        if *colour == qrcode::Color::Dark {
            path.push_str(&format!("M{} {}h1v1h-1z", place % width, place / width));
        }
    }
    let view = format!("-3 -3 {0} {0}", width + 6);
    html! {
        svg.square viewBox=(view) width="196" height="196" role="img" aria-label="QR" shape-rendering="crispEdges" {
            rect x="-3" y="-3" width="100%" height="100%" fill="#fff" {}
            path d=(PreEscaped(path)) fill="#000" {}
        }
    }
}
