//! Words for alerts: how they stand, how they ended, what became of them, how a hit was recognised.

use maud::{Markup, html};
use watchpost_policy::my_data::category_zh;

use crate::alerts::{Alert, WindowView};
use crate::web::console::parts::{Tone, badge};
use crate::web::console::tongue::Tongue;
use crate::web::console::view::View;
use crate::web::problem::Problem;

/// Less time than this is soon.
const SOON_MS: i64 = 60 * 60_000;

/// What a rule is called, else its id.
pub(in crate::web) fn rule(view: &View<'_>, pack: &str, rule: &str) -> Result<String, Problem> {
    let known = view.ask.rule(pack, rule)?;
    Ok(known.map_or_else(|| rule.to_owned(), |text| view.say(&text.title.zh, &text.title.en).clone()))
}

/// A category of rules.
pub(in crate::web) fn category(tongue: Tongue, category: &str) -> String {
    tongue.of(category_zh(category).to_owned(), category.replace('-', " "))
}

/// Whom something is about: by name where the roster knows one, with the account.
pub(in crate::web) fn person(view: &View<'_>, account: &str) -> Result<Markup, Problem> {
    if account.is_empty() {
        return Ok(html! { span.faint { (view.say("无", "Nobody")) } });
    }
    let name = crate::alerts::name_of(view.ask.derived()?, account, view.ask.now_ms)?;
    Ok(html! { @if !name.is_empty() { b { (name) } " " } span.id { (account) } })
}

/// How an alert stands, in a word or two.
pub(in crate::web) fn state(tongue: Tongue, alert: &Alert) -> Markup {
    match alert.state {
        "open" if alert.assignee.is_empty() => badge(Tone::Note, tongue.of("待认领", "Open")),
        "open" => badge(Tone::Note, tongue.of("已分派", "Assigned")),
        "taken" => badge(Tone::Warn, tongue.of("处理中", "In hand")),
        _ => badge(
            if alert.ending == Some("confirmed") { Tone::Bad } else { Tone::Plain },
            ending(tongue, alert.ending.unwrap_or_default()),
        ),
    }
}

/// How a finding's alert stands, by its word alone.
pub(in crate::web) fn state_word(tongue: Tongue, state: &str) -> &'static str {
    match state {
        "open" => tongue.of("待认领", "Open"),
        "taken" => tongue.of("处理中", "In hand"),
        _ => tongue.of("已结案", "Closed"),
    }
}

/// How an alert ended.
pub(in crate::web) fn ending(tongue: Tongue, ending: &str) -> &'static str {
    match ending {
        "confirmed" => tongue.of("属实", "Confirmed"),
        "false-alarm" => tongue.of("误报", "False alarm"),
        "duplicate" => tongue.of("重复", "Duplicate"),
        "rule-withdrawn" => tongue.of("规则已撤回", "Rule withdrawn"),
        "withdrawn" => tongue.of("设备已撤回", "Taken back by devices"),
        _ => tongue.of("已结案", "Closed"),
    }
}

/// How much time is left, or how late it is.
pub(in crate::web) fn clock(tongue: Tongue, alert: &Alert, now_ms: i64) -> Markup {
    let by = if alert.taken_ms.is_none() { alert.take_by_ms.or(alert.close_by_ms) } else { alert.close_by_ms };
    let is_take = match alert.overdue(now_ms) {
        Some(what) => what == "take",
        None => alert.taken_ms.is_none() && alert.take_by_ms.is_some(),
    };
    let by = if is_take { alert.take_by_ms } else { alert.close_by_ms.or(by) };
    let Some(by_ms) = by.filter(|_| alert.state != "closed") else { return html! { span.faint { "—" } } };
    let span = tongue.span(by_ms.saturating_sub(now_ms));
    let (class, text) = match (is_take, by_ms < now_ms) {
        (true, true) => ("late", tongue.of(format!("认领超时 {span}"), format!("{span} late to take"))),
        (false, true) => ("late", tongue.of(format!("结案超时 {span}"), format!("{span} late to close"))),
        (true, false) => (soon(by_ms, now_ms), tongue.of(format!("{span}内认领"), format!("take within {span}"))),
        (false, false) => (soon(by_ms, now_ms), tongue.of(format!("{span}内结案"), format!("close within {span}"))),
    };
    html! { span class=(class) title=(crate::web::console::tongue::moment(by_ms)) { (text) } }
}

fn soon(by_ms: i64, now_ms: i64) -> &'static str {
    if by_ms.saturating_sub(now_ms) < SOON_MS { "soon" } else { "calm" }
}

/// Why an alert came late.
pub(in crate::web) fn late(tongue: Tongue, why: &str) -> &'static str {
    match why {
        "site-offline" => tongue.of("设备当时离线，恢复后补传", "The device had no line and sent it later"),
        _ => tongue.of("导出文件晚到", "The export came late"),
    }
}

/// How a word was recognised.
pub(in crate::web) fn channel(tongue: Tongue, channel: &str) -> (&'static str, &'static str) {
    match channel {
        "exact" => {
            (tongue.of("原文", "as written"), tongue.of("与词表写法完全一致", "letter for letter as the list has it"))
        }
        "folded" => (
            tongue.of("变体", "variant"),
            tongue.of("全半角、大小写、繁简或异体不同", "in another width, case, script or variant"),
        ),
        "skipped" => (
            tongue.of("插字", "spaced out"),
            tongue.of("中间夹有空格、符号、重复或隐藏字符", "with inserted, repeated or hidden characters"),
        ),
        "alias" => {
            (tongue.of("别称", "alias"), tongue.of("用了同义的别称或黑话", "with a term written as one of its aliases"))
        }
        "split" => (tongue.of("拆字", "taken apart"), tongue.of("把一个字拆开来写", "with a character taken apart")),
        "pinyin" => (
            tongue.of("谐音", "by sound"),
            tongue.of("以同音字或拼音代替", "by characters or letters of the same sound"),
        ),
        _ => (tongue.of("未注明", "not told"), tongue.of("旧版本设备未注明方式", "an older device does not say how")),
    }
}

/// Something that became of an alert or a case.
pub(in crate::web) fn happened(tongue: Tongue, what: &str) -> &str {
    match what {
        "opened" => tongue.of("产生", "Opened"),
        "suppressed" => tongue.of("被抑制", "Suppressed"),
        "raised" => tongue.of("级别升高", "Level rose"),
        "withdrawn" => tongue.of("设备撤回", "Taken back by devices"),
        "reopened" => tongue.of("重新打开", "Opened again"),
        "taken" => tongue.of("认领", "Taken"),
        "assigned" => tongue.of("分派", "Assigned"),
        "put-back" => tongue.of("退回队列", "Put back"),
        "noted" => tongue.of("备注", "Note"),
        "closed" => tongue.of("结案", "Closed"),
        "appealed" => tongue.of("当事人申诉", "Objection"),
        "granted" => tongue.of("申诉成立", "Objection granted"),
        "denied" => tongue.of("申诉不成立", "Objection denied"),
        "step" => tongue.of("完成步骤", "Step done"),
        "escalated" => tongue.of("升级", "Escalated"),
        "linked" => tongue.of("并入告警", "Alerts taken in"),
        "unlinked" => tongue.of("移出告警", "Alerts taken out"),
        other => other,
    }
}

/// How much in how long, of a window of messages.
pub(in crate::web) fn window(tongue: Tongue, window: &WindowView) -> String {
    let span = tongue.span(window.last_msgtime.saturating_sub(window.first_msgtime));
    let waited = tongue.span(window.value);
    match window.kind.as_str() {
        "count" => {
            tongue.of(format!("{span}内 {} 条消息", window.value), format!("{} messages in {span}", window.value))
        }
        "distinct" => tongue
            .of(format!("{span}内 {} 个不同对象", window.value), format!("{} different ones in {span}", window.value)),
        "sum" => {
            let yuan = format!("{}.{:02}", window.value / 100, (window.value % 100).abs());
            tongue.of(format!("{span}内合计 {yuan} 元"), format!("{yuan} yuan in {span}"))
        }
        "reply" if window.open => {
            tongue.of(format!("工作时间 {waited}未回复"), format!("no answer in {waited} of work time"))
        }
        "reply" => tongue.of(format!("工作时间 {waited}后回复"), format!("answered after {waited} of work time")),
        _ => tongue.of(format!("由 {} 条消息合成", window.count), format!("over {} messages together", window.count)),
    }
}

/// What came of a case for the person.
pub(in crate::web) fn outcome(tongue: Tongue, outcome: &str) -> &'static str {
    match outcome {
        "talk" => tongue.of("谈话", "A talk"),
        "training" => tongue.of("培训", "Training"),
        "warning" => tongue.of("警告", "A warning"),
        "fine" => tongue.of("罚款", "A fine"),
        "transfer" => tongue.of("调岗", "Another post"),
        "dismissal" => tongue.of("解除劳动合同", "Dismissal"),
        "reported" => tongue.of("移送机关", "Reported to the authorities"),
        _ => tongue.of("无处分", "Nothing"),
    }
}

/// A kind of message.
pub(in crate::web) fn msgtype(tongue: Tongue, kind: &str) -> &str {
    match kind {
        "text" => tongue.of("文本", "text"),
        "mixed" => tongue.of("图文", "mixed"),
        "markdown" => "Markdown",
        "chatrecord" => tongue.of("聊天记录", "forwarded chat"),
        "link" => tongue.of("链接", "link"),
        "file" => tongue.of("文件", "file"),
        "image" => tongue.of("图片", "image"),
        "voice" => tongue.of("语音", "voice"),
        "video" => tongue.of("视频", "video"),
        "card" => tongue.of("名片", "card"),
        "location" => tongue.of("位置", "location"),
        "redpacket" | "external_redpacket" => tongue.of("红包", "red packet"),
        "revoke" => tongue.of("撤回", "revoke"),
        other => other,
    }
}
