//! Search: one line of the query language, with help beside it, and the searches one keeps.

use maud::{Markup, html};
use serde::Deserialize;

use super::alerts::says;
use super::frame::Room;
use super::parts::{self, Table, Tone, card, choice, empty, field, level, mark, more, notice};
use super::view::{View, own_path};
use crate::operators::Act;
use crate::search::find::Found;
use crate::search::query::Query;
use crate::web::api::alerts::reason;
use crate::web::api::exports::{self, Findings};
use crate::web::api::search::{self as api, Kept, Searched, Which};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Nothing, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/search", Act::SeeExcerpts, ("Search", "检索"), show),
        form("/search/keep", Act::KeepSearches, ("Keep a search", "保存检索"), keep_it),
        form("/search/forget", Act::KeepSearches, ("Forget a search", "删除检索"), forget),
        form("/search/export", Act::Export, ("Findings as a file", "导出命中"), take_along),
    ]
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    query: String,
    reason: String,
    cursor: String,
}

#[derive(Deserialize)]
struct Keeping {
    name: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
struct Along {
    #[serde(default)]
    query: String,
    format: String,
    #[serde(default)]
    excerpts: String,
    #[serde(default)]
    reason: String,
}

/// What came of a question.
enum Outcome {
    Nothing,
    Found(Searched),
    /// It names words or people: say why.
    Why,
    Wrong(Problem),
}

fn show(ask: &Ask<'_>, wanted: Wanted) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = Room::Search.title(view.tongue());
    let outcome = look(ask, &wanted)?;
    let sentence = view.say(
        "谁在何时说过什么，触发了哪条规则。结果只含您可查看的命中。",
        "Who said something like this, when, and under which rule. You find what you may read.",
    );
    let kept = api::list(ask, Nothing::default())?;
    let body = html! {
        (parts::heading(title, Some(sentence), None))
        (asking(&view, &wanted, matches!(outcome, Outcome::Why)))
        @if !kept.is_empty() || !wanted.query.is_empty() {
            div.chips {
                @for one in &kept { (chip(&view, one, None)) }
                @if !wanted.query.trim().is_empty() && view.may(Act::KeepSearches) { (keep(&view, wanted.query.trim(), &path(&wanted.query))) }
            }
        }
        @match &outcome {
            Outcome::Nothing => { (help(&view, true)) }
            Outcome::Why => { (notice(Tone::Note, html! { p { (view.say(
                "按内容、词语、发送人、接收人或群检索须写明理由；理由写入审计。",
                "To look for texts, words, senders, receivers or rooms, say why; your reason goes into the audit trail.",
            )) } })) }
            Outcome::Wrong(problem) => { (parts::problem(view.tongue(), problem)) (help(&view, true)) }
            Outcome::Found(searched) => { (results(&view, &wanted, searched)?) (help(&view, false)) }
        }
    };
    Ok(view.page(Some(Room::Search), title, body))
}

fn look(ask: &Ask<'_>, wanted: &Wanted) -> Result<Outcome, Problem> {
    if wanted.query.trim().is_empty() {
        return Ok(Outcome::Nothing);
    }
    let asks_why =
        Query::parse(&wanted.query, ask.now_ms).is_ok_and(|query| query.asks_for_words() || query.asks_for_names());
    if asks_why && reason(&wanted.reason).is_err() || ask.is_quiet() {
        return Ok(Outcome::Why);
    }
    let cursor = Some(wanted.cursor.clone()).filter(|cursor| !cursor.is_empty());
    let which = Which { query: wanted.query.clone(), reason: wanted.reason.clone(), cursor, limit: None };
    match api::find(ask, which) {
        Ok(searched) => Ok(Outcome::Found(searched)),
        Err(problem) if matches!(problem.kind, Kind::Malformed | Kind::Deriving) => Ok(Outcome::Wrong(problem)),
        Err(problem) => Err(problem),
    }
}

fn asking(view: &View<'_>, wanted: &Wanted, is_reason_missing: bool) -> Markup {
    let placeholder = view
        .say("rule:fin.* level:>=high person:zwj since:7d 保本", "rule:fin.* level:>=high dept:sales since:7d 保本");
    let query = html! {
        input type="search" id="query" name="query" value=(wanted.query) placeholder=(placeholder) autocomplete="off" data-find aria-describedby="query-hint";
    };
    let why = html! {
        input type="text" id="reason" name="reason" value=(wanted.reason) maxlength="300" autocomplete="off" required[is_reason_missing] autofocus[is_reason_missing];
    };
    html! {
        form.card.asking method="get" action="/search" {
            (field("query", view.say("检索", "Look for"), query, Some(view.say("条件以空格分隔，须同时成立；逗号表示“或”，前加减号表示“非”。", "Conditions stand side by side and all must hold; a comma means or, a minus in front means not."))))
            (field("reason", view.say("理由（按内容或姓名检索时必填）", "Reason (needed to look for texts or names)"), why, None))
            button.first type="submit" { (view.say("检索", "Search")) }
        }
    }
}

fn results(view: &View<'_>, wanted: &Wanted, searched: &Searched) -> Result<Markup, Problem> {
    if searched.items.is_empty() && !searched.stopped {
        let sentence = view.say(
            "换一种写法，去掉一个条件，或放宽时间。",
            "Write it differently, leave a condition out, or look further back.",
        );
        return Ok(html! { section.card { (empty(view.say("没有找到", "Nothing found"), sentence, None)) } });
    }
    let mut rows = Vec::new();
    for found in &searched.items {
        rows.push(row(view, found)?);
    }
    let heads = vec![
        view.say("时间", "Time"),
        view.say("级别", "Level"),
        view.say("规则", "Rule"),
        view.say("人员", "Who"),
        view.say("类型", "Kind"),
        view.say("状态", "State"),
    ];
    let next = searched.next.as_deref().map(|cursor| {
        let fields = [("query", wanted.query.as_str()), ("reason", &wanted.reason), ("cursor", cursor)];
        super::alerts::at("/search", &super::alerts::encoded(fields.into_iter().filter(|(_, value)| !value.is_empty())))
    });
    Ok(html! {
        section.card {
            @if searched.stopped {
                (notice(Tone::Warn, html! { p { (view.say("时间已到，本页可能不全；可翻到下一页继续，或缩小范围。", "The time was up: there may be more on this page. Go on to the next, or ask for less.")) } }))
            }
            (Table { caption: view.say("检索结果", "What was found"), heads, rows }.show())
            (more(view.tongue(), next))
        }
        @if view.may(Act::Export) { (export(view, wanted)) }
    })
}

fn row(view: &View<'_>, found: &Found) -> Result<Vec<Markup>, Problem> {
    let tongue = view.tongue();
    let title = says::rule(view, &found.pack, &found.rule)?;
    let place = [found.department.as_str(), found.site.as_str()]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join(" · ");
    Ok(vec![
        html! { (tongue.at(found.msgtime.unwrap_or(found.received))) },
        level(tongue, found.level),
        html! {
            @match &found.alert {
                Some(alert) => a.what href={ "/alerts/" (alert) } data-row { (title) },
                None => (title),
            }
            div.faint { (says::category(tongue, &found.category)) }
        },
        html! { (says::person(view, &found.person)?) div.faint { (place) } },
        html! { (says::msgtype(tongue, &found.msgtype)) },
        html! { (says::state_word(tongue, found.state)) },
    ])
}

fn export(view: &View<'_>, wanted: &Wanted) -> Markup {
    html! {
        details.card {
            summary { (view.say("导出这些命中", "Take these findings along")) }
            form.inline method="post" action="/search/export" data-plain {
                (mark(view))
                input type="hidden" name="query" value=(wanted.query);
                (choice("format", view.say("格式", "Format"), "xlsx", &super::alerts::FORMATS))
                (super::alerts::reason(view, "export-reason"))
                label.check { input type="checkbox" name="excerpts" value="1"; span { (view.say("含摘录", "With excerpts")) } }
                button type="submit" { (view.say("下载", "Download")) }
            }
        }
    }
}

fn take_along(ask: &Ask<'_>, along: Along) -> Result<Body, Problem> {
    let asked = Findings { query: along.query, excerpts: !along.excerpts.is_empty(), reason: along.reason };
    exports::findings(ask, &asked, super::alerts::format(&along.format))
}

/// A search that is kept: where it leads, and a button that forgets it.
pub(super) fn chip(view: &View<'_>, one: &Kept, to: Option<String>) -> Markup {
    let to = to.unwrap_or_else(|| path(&one.query));
    let label = view.say(format!("删除“{}”", one.name), format!("Forget “{}”", one.name));
    html! {
        span.chip {
            a href=(to) title=(one.query) { (one.name) }
            form method="post" action="/search/forget" {
                (mark(view))
                input type="hidden" name="name" value=(one.name);
                input type="hidden" name="back" value=(view.visitor.path);
                button.quiet type="submit" aria-label=(label) title=(label) { "×" }
            }
        }
    }
}

/// The form that keeps a search.
pub(super) fn keep(view: &View<'_>, query: &str, back: &str) -> Markup {
    html! {
        details.keep {
            summary { (view.say("＋ 保存此检索", "+ Keep this")) }
            form.inline method="post" action="/search/keep" {
                (mark(view))
                input type="hidden" name="query" value=(query);
                input type="hidden" name="back" value=(back);
                (field("keep-name", view.say("名称", "Name"), html! { input type="text" id="keep-name" name="name" required maxlength="64" pattern="[^\\s/]+" autocomplete="off"; }, None))
                button type="submit" { (view.say("保存", "Keep")) }
                p.hint { (view.say("保存的检索永久记入日志，请勿包含客户姓名。", "What is kept is in the log for good: name no customer in it.")) }
            }
        }
    }
}

fn path(query: &str) -> String {
    super::alerts::at("/search", &super::alerts::encoded([("query", query)].into_iter()))
}

fn keep_it(ask: &Ask<'_>, given: Keeping) -> Result<Body, Problem> {
    let name = given.name.trim();
    if name.is_empty() {
        return Err(Problem::malformed("a search that is kept has a name"));
    }
    api::keep_as(ask, name, given.query)?;
    Ok(Body::see(own_path(&given.back)))
}

fn forget(ask: &Ask<'_>, given: Keeping) -> Result<Body, Problem> {
    api::forget_of(ask, given.name.trim())?;
    Ok(Body::see(own_path(&given.back)))
}

/// What can be asked, with examples.
fn help(view: &View<'_>, is_open: bool) -> Markup {
    let examples = [
        ("level:>=high since:7d", "近 7 天内高级别及以上的命中", "High and above in the last seven days"),
        (
            "rule:fin.* -state:closed",
            "理财类规则下未结案的命中",
            "Rules that begin with fin. whose alert is not closed",
        ),
        ("person:zwj since:30d", "按账号、姓名、拼音或首字母找人", "A person by account, name, pinyin or initials"),
        ("dept:零售 保本", "零售部门说过“保本”的消息", "What retail said with these characters in it"),
        ("type:file day:2026-11-20", "某一天的文件消息", "Files of one day"),
    ];
    let fields = [
        ("rule pack category", "规则 规则包 类别", "fin.guaranteed-return, finance-conduct/fin.*"),
        ("level", "级别", "high, >=high, low,medium"),
        ("person employee", "人员 工号", "ww1/li.na, 李娜, ln, lina"),
        ("dept site", "部门 站点", "零售, 总行"),
        ("since until day", "起 止 日期", "2026-11-01, 14d, 6h"),
        ("state", "状态", "open, taken, closed, suppressed"),
        ("type word", "类型 词", "text, file"),
        ("from to with room", "发送人 接收人 客户 群", "wm_…, 王芳"),
        ("device", "设备", "3f2a"),
    ];
    let inside = html! {
        div.columns {
            div.stack {
                h3 { (view.say("示例", "Examples")) }
                ul.plain { @for (query, zh, en) in examples { li { a href=(path(query)) { code { (query) } } div.faint { (view.say(zh, en)) } } } }
            }
            div.stack {
                h3 { (view.say("可用字段", "Fields")) }
                dl.facts { @for (names, zh, values) in fields { div { dt { (names) } dd { (zh) " " span.faint { (values) } } } } }
                p.hint { (view.say("没有字段的词在摘录中查找，全半角、繁简、大小写均可。含空格的值加引号。", "What has no field is looked for in excerpts, in any width, case or script. Values with spaces stand in quotes.")) }
            }
        }
    };
    if is_open {
        return card(view.say("怎样检索", "How to ask"), inside);
    }
    html! { details.card { summary { (view.say("怎样检索", "How to ask")) } (inside) } }
}
