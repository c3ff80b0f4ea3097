//! One list: what waits for somebody, what belongs to it, and what may be done with each word.

use maud::{Markup, html};
use serde::Deserialize;

use super::{place, place_with};
use crate::audit::Did;
use crate::operators::Act;
use crate::web::api::page::Page;
use crate::web::api::words::{self, Next, Which};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Table, Tone, badge, card, facts};
use crate::web::console::tongue::day;
use crate::web::console::view::View;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Nothing, Route, form, page};
use crate::words::desk::{New, Step};
use crate::words::{List, Standing, Word, file};

const PLAIN: &str = "text/plain; charset=utf-8";
/// Words that are added at once.
const BYTES_MAX: usize = 512 * 1024;

pub(super) fn routes() -> Vec<Route> {
    let (see, keep) = (Act::SeeRules, Act::KeepWords);
    vec![
        page("/words/{list}", see, ("The words of a list", "词表内容"), show),
        page("/words/{list}/words.txt", keep, ("A list as a file to sign", "导出签名用词表"), plain),
        page("/words/{list}/word/{word}", keep, ("A word", "词语"), one),
        form("/words/{list}/add", keep, ("Propose words", "提出新词"), add).with_files(BYTES_MAX),
        form("/words/{list}/step", keep, ("A step with words", "词语处置"), step),
        form("/words/{list}/word/{word}", keep, ("Change a word", "修改词语"), change),
    ]
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    standing: String,
    find: String,
    cursor: String,
    said: String,
}

fn show(ask: &Ask<'_>, asked: Asked) -> Result<Body, Problem> {
    let view = View::of(ask);
    let list = words::named(ask)?;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let standing = Standing::ALL.into_iter().find(|standing| standing.as_str() == asked.standing);
    let which = Which { standing, find: asked.find.clone(), cursor: some(&asked.cursor), limit: None };
    let page = words::show(ask, which)?;
    let keeps = view.may(Act::KeepWords);
    let body = html! {
        (parts::heading(&list.list, None, Some(actions(&view, &list, keeps))))
        (said(&view, &asked.said))
        (about(&view, &list))
        (table(&view, &list, &asked, &page, keeps))
        @if keeps { (adding(&view, &list)) (import(&view, &list)) }
    };
    Ok(view.page(Some(Room::Words), &list.list, body))
}

fn actions(view: &View<'_>, list: &List, keeps: bool) -> Markup {
    html! {
        a.button href="/words" { (view.say("全部词表", "All lists")) }
        @if keeps {
            a.button href={ "/api/v1" (place(&list.list)) "/export" } { (view.say("下载表格", "Download as a table")) }
            a.button href={ (place(&list.list)) "/words.txt" } { (view.say("下载签名用文件", "Download to sign")) }
        }
    }
}

fn said(view: &View<'_>, what: &str) -> Markup {
    let text = match what {
        "proposed" => view.say("已提出，等待另一人批准。", "Proposed; somebody else approves it."),
        "done" => view.say("已执行，并已写入日志。", "Done, and in the log."),
        "same" => view.say("没有可提出的变化。", "There was nothing to propose."),
        _ => return html! {},
    };
    parts::notice(Tone::Good, html! { p { (text) } })
}

fn about(view: &View<'_>, list: &List) -> Markup {
    card(
        view.say("去向", "Where it goes"),
        html! {
            (facts([
                (view.say("规则包", "Pack"), html! { (list.pack) }),
                (view.say("文件", "File"), html! { span.id { (list.file) } }),
                (view.say("已批准", "Approved"), html! { (list.approved) @if list.expired > 0 { " · " (list.expired) (view.say(" 个已过期", " expired")) } }),
            ]))
            p.hint { (view.say(
                "批准后：下载签名用文件，放到规则包旁，用 policy sign 签名，再到“发布策略”上传。已发布策略包含该词时，显示为已生效。",
                "Once approved: download the file to sign, put it beside the pack, sign with policy sign, and bring the policy to “Publish a policy”. A word shows as in force when the published policy holds it.",
            )) }
        },
    )
}

fn table(view: &View<'_>, list: &List, asked: &Asked, page: &Page<Word>, keeps: bool) -> Markup {
    let next = page
        .next
        .as_ref()
        .map(|next| place_with(&list.list, &[("standing", &asked.standing), ("find", &asked.find), ("cursor", next)]));
    let inside = html! {
        (filters(view, list, asked))
        @if page.items.is_empty() {
            (parts::empty(
                view.say("没有词", "There are no words"),
                view.say("在下面提出第一个词，或从表格导入。", "Propose the first below, or bring a workbook."),
                None,
            ))
        } @else if keeps {
            (parts::form(view, &format!("{}/step", place(&list.list)), false, html! {
                (rows(view, list, &page.items, true))
                (parts::text_field("reason", view.say("理由", "Reason"), "", false, Some(view.say("写入审计记录", "Goes into the audit trail"))))
                div.row {
                    button.first type="submit" name="step" value="approve" { (view.say("批准所选", "Approve")) }
                    button type="submit" name="step" value="reject" { (view.say("驳回所选", "Reject")) }
                    button.danger type="submit" name="step" value="withdraw" { (view.say("申请移除所选", "Ask that they go")) }
                }
            }))
        } @else { (rows(view, list, &page.items, false)) }
        (parts::more(view.tongue(), next))
    };
    card(view.say("词", "Words"), inside)
}

fn filters(view: &View<'_>, list: &List, asked: &Asked) -> Markup {
    let any = [("", view.say("全部", "Any"))];
    let standings: Vec<(&str, &str)> =
        any.into_iter().chain(Standing::ALL.map(|it| (it.as_str(), word_for(view, it)))).collect();
    html! {
        form.filters method="get" action=(place(&list.list)) {
            (parts::field("find", view.say("查找", "Find"), html! { input type="search" id="find" name="find" value=(asked.find) autocomplete="off" data-find; }, None))
            (parts::choice("standing", view.say("状态", "Standing"), &asked.standing, &standings))
            button type="submit" { (view.say("筛选", "Filter")) }
        }
    }
}

fn rows(view: &View<'_>, list: &List, words: &[Word], may_act: bool) -> Markup {
    let tongue = view.tongue();
    let rows = words.iter().map(|it| {
        let text = it.word.as_deref();
        let shown = html! {
            @match text {
                Some(text) if may_act => a href={ (place(&list.list)) "/word/" (it.id) } { (text) },
                Some(text) => (text),
                None => span.faint { (view.say("（不可见）", "(not shown)")) },
            }
            @if !it.note.is_empty() { br; small { (it.note) } }
        };
        let mut row = Vec::new();
        if may_act {
            let label = view.say("选择", "Choose");
            row.push(html! { input type="checkbox" name="words" value=(it.id) aria-label={ (label) " " (text.unwrap_or_default()) }; });
        }
        row.extend([
            shown,
            standing(view, it),
            html! { (it.asked_by) br; small { (tongue.ago(it.asked_ms, view.ask.now_ms)) } },
            html! { @match it.expires_ms { Some(at_ms) => (day(at_ms)), None => span.faint { "—" } } },
            html! { @if it.in_force.is_empty() { span.faint { "—" } } @for group in &it.in_force { (badge(Tone::Good, group)) " " } },
        ]);
        row
    });
    let choose = may_act.then(|| view.say("选择", "Choose"));
    let heads = [
        view.say("词与备注", "Word and note"),
        view.say("状态", "Standing"),
        view.say("提出", "Asked for"),
        view.say("到期", "Expires"),
        view.say("已生效", "In force"),
    ];
    Table { caption: view.say("词", "Words"), heads: choose.into_iter().chain(heads).collect(), rows: rows.collect() }
        .show()
}

fn word_for(view: &View<'_>, standing: Standing) -> &'static str {
    match standing {
        Standing::Proposed => view.say("待批准加入", "To come"),
        Standing::Approved => view.say("已批准", "Approved"),
        Standing::Leaving => view.say("待批准移除", "To go"),
        Standing::Withdrawn => view.say("已移除", "Gone"),
        Standing::Rejected => view.say("已驳回", "Rejected"),
    }
}

fn standing(view: &View<'_>, it: &Word) -> Markup {
    let tone = match it.standing {
        Standing::Proposed | Standing::Leaving => Tone::Warn,
        Standing::Approved => Tone::Good,
        Standing::Withdrawn | Standing::Rejected => Tone::Plain,
    };
    let by = view.ask.by().unwrap_or_default();
    html! {
        (badge(tone, word_for(view, it.standing)))
        @if it.expired { " " (badge(Tone::Plain, view.say("已过期", "Expired"))) }
        @if it.standing.waits() && !it.may_be_approved_by(by) { br; small { (view.say("由您提出，须他人批准", "yours: somebody else approves")) } }
        @if !it.settled_by.is_empty() { br; small { (it.settled_by) } }
    }
}

fn adding(view: &View<'_>, list: &List) -> Markup {
    card(
        view.say("提出新词", "Propose words"),
        parts::form(
            view,
            &format!("{}/add", place(&list.list)),
            false,
            html! {
                (parts::field("words", view.say("词，一行一个", "Words, one a line"), html! {
                    textarea id="words" name="words" rows="4" required autocomplete="off" spellcheck="false" {}
                }, None))
                div.filters {
                    (parts::text_field("note", view.say("备注", "Note"), "", false, None))
                    (parts::field("until", view.say("到期日", "Expires"), html! { input type="date" id="until" name="until"; }, None))
                    (parts::text_field("reason", view.say("理由", "Reason"), "", false, None))
                }
                div.row {
                    button.first type="submit" { (view.say("提出", "Propose")) }
                    a.button href="/words/preview" { (view.say("先看看它会命中什么", "See first what it would find")) }
                }
            },
        ),
    )
}

fn import(view: &View<'_>, list: &List) -> Markup {
    card(
        view.say("从表格导入", "Bring a workbook"),
        parts::form(
            view,
            &format!("{}/import", place(&list.list)),
            true,
            html! {
                (parts::field("file", view.say("Excel（.xlsx）、CSV 或纯文本", "Excel (.xlsx), CSV or plain text"), html! {
                    input type="file" id="file" name="file" required aria-describedby="file-hint";
                }, Some(view.say("列名：词、备注、到期日；先显示差异，再提出", "Columns: word, note, expires. What would change is shown before it is proposed"))))
                label.check { input type="checkbox" name="whole" value="yes"; (view.say("这是完整词表：缺少的词申请移除", "It is the whole list: words it lacks are to go")) }
                button type="submit" { (view.say("查看差异", "See what changes")) }
            },
        ),
    )
}

fn plain(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let list = words::named(ask)?;
    let all = words::all(ask, &list)?;
    let text = file::plain(&all);
    if text.is_empty() {
        return Err(Problem::new(Kind::NotPossible).because("no word of the list counts yet; approve some first"));
    }
    ask.note(ask.by()?, Did::Exported, &format!("words {}", list.list), "export", text.lines().count() as u64)?;
    let name = list.file.rsplit('/').next().unwrap_or_default();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    Ok(Body::file(PLAIN, name, text.into_bytes()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Added {
    words: String,
    note: String,
    until: String,
    reason: String,
}

fn add(ask: &Ask<'_>, sent: Added) -> Result<Body, Problem> {
    let expires_ms = until(&sent.until)?;
    let lines = sent.words.lines().map(str::trim).filter(|line| !line.is_empty());
    let add: Vec<New> = lines
        .map(|word| New { word: word.to_owned(), note: sent.note.trim().to_owned(), expires_ms, replaces: None })
        .collect();
    if add.is_empty() {
        return Err(Problem::malformed("write at least one word"));
    }
    words::step(ask, Next { step: Step::Change { add, withdraw: Vec::new() }, reason: sent.reason })?;
    Ok(Body::see(place_with(ask.param("list")?, &[("said", "proposed")])))
}

fn until(day: &str) -> Result<Option<i64>, Problem> {
    let day = day.trim();
    if day.is_empty() { Ok(None) } else { file::expiry(day).map(Some).map_err(Problem::malformed) }
}

#[derive(Deserialize)]
struct Stepped {
    #[serde(default)]
    words: Vec<String>,
    step: String,
    #[serde(default)]
    reason: String,
}

fn step(ask: &Ask<'_>, sent: Stepped) -> Result<Body, Problem> {
    if sent.words.is_empty() {
        return Err(Problem::malformed("choose at least one word"));
    }
    let (step, said) = match sent.step.as_str() {
        "approve" => (Step::Approve(sent.words), "done"),
        "reject" => (Step::Reject(sent.words), "done"),
        "withdraw" => (Step::Change { add: Vec::new(), withdraw: sent.words }, "proposed"),
        "erase" => (Step::Erase(sent.words), "done"),
        _ => return Err(Problem::malformed("there is no such step")),
    };
    words::step(ask, Next { step, reason: sent.reason })?;
    Ok(Body::see(place_with(ask.param("list")?, &[("said", said)])))
}

fn found(ask: &Ask<'_>) -> Result<(List, Word), Problem> {
    let (list, id) = (words::named(ask)?, ask.param("word")?);
    let word = words::all(ask, &list)?.into_iter().find(|word| word.id == id);
    Ok((list, word.ok_or(Problem::new(Kind::NotFound))?))
}

fn one(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let view = View::of(ask);
    let (list, word) = found(ask)?;
    let title = word.word.clone().unwrap_or_else(|| view.say("（已删除）", "(erased)").to_owned());
    let tongue = view.tongue();
    let back = html! { a.button href=(place(&list.list)) { (list.list) } };
    let settled = html! { @match word.settled_ms { Some(at_ms) => { (word.settled_by) " · " (tongue.at(at_ms)) }, None => span.faint { "—" } } };
    let is_over = matches!(word.standing, Standing::Withdrawn | Standing::Rejected) && word.word.is_some();
    let body = html! {
        (parts::heading(&title, None, Some(back)))
        div.columns {
            (card(view.say("经过", "How it stands"), facts([
                (view.say("状态", "Standing"), standing(&view, &word)),
                (view.say("备注", "Note"), html! { @if word.note.is_empty() { "—" } (word.note) }),
                (view.say("到期", "Expires"), html! { @match word.expires_ms { Some(at_ms) => (day(at_ms)), None => "—" } }),
                (view.say("提出人", "Owner"), html! { (word.owner) " · " (tongue.at(word.added_ms)) }),
                (view.say("最近申请", "Asked for last"), html! { (word.asked_by) " · " (tongue.at(word.asked_ms)) }),
                (view.say("最近结论", "Settled last"), settled),
                (view.say("已生效", "In force"), html! { @if word.in_force.is_empty() { "—" } (word.in_force.join(", ")) }),
                (view.say("日志编号", "In the log"), html! { span.id { (word.id.get(..16).unwrap_or_default()) } }),
            ])))
            @if word.standing == Standing::Approved { (changing(&view, &list, &word)) }
            @if is_over { (erasing(&view, &list, &word)) }
        }
    };
    Ok(view.page(Some(Room::Words), &title, body))
}

fn changing(view: &View<'_>, list: &List, word: &Word) -> Markup {
    let until = word.expires_ms.map(day).unwrap_or_default();
    card(
        view.say("修改", "Change it"),
        parts::form(
            view,
            &format!("{}/word/{}", place(&list.list), word.id),
            false,
            html! {
                p.hint { (view.say("修改也由另一人批准；在此之前旧的继续有效。", "Somebody else approves a change; until then it stays as it is.")) }
                (parts::text_field("word", view.say("词", "Word"), word.word.as_deref().unwrap_or_default(), true, None))
                (parts::text_field("note", view.say("备注", "Note"), &word.note, false, None))
                (parts::field("until", view.say("到期日", "Expires"), html! { input type="date" id="until" name="until" value=(until); }, None))
                button.first type="submit" { (view.say("提出修改", "Propose the change")) }
            },
        ),
    )
}

fn erasing(view: &View<'_>, list: &List, word: &Word) -> Markup {
    let sure = view.say("彻底删除后无法恢复。继续？", "It cannot be brought back. Go on?");
    card(
        view.say("彻底删除", "Erase it"),
        html! {
            form method="post" action={ (place(&list.list)) "/step" } data-confirm=(sure) {
                (parts::mark(view))
                input type="hidden" name="words" value=(word.id);
                p.hint { (view.say("只删去词和备注的文字；日志里仍留下它曾经存在的记录。", "Word and note go for good; the log keeps that there was one.")) }
                (parts::text_field("reason", view.say("理由", "Reason"), "", true, None))
                button.danger type="submit" name="step" value="erase" { (view.say("彻底删除", "Erase")) }
            }
        },
    )
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Changed {
    word: String,
    note: String,
    until: String,
}

fn change(ask: &Ask<'_>, sent: Changed) -> Result<Body, Problem> {
    let (list, word) = found(ask)?;
    let new = New { word: sent.word, note: sent.note, expires_ms: until(&sent.until)?, replaces: Some(word.id) };
    words::step(ask, Next { step: Step::Change { add: vec![new], withdraw: Vec::new() }, reason: String::new() })?;
    Ok(Body::see(place_with(&list.list, &[("said", "proposed")])))
}
