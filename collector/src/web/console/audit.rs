//! The trail: what operators did and looked at, in sentences.

use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Room;
use super::lists::link;
use super::parts::{self, Table, card, choice, field, more, text_field};
use super::tongue::Tongue;
use super::view::View;
use crate::clock::day_begins_in_china;
use crate::operators::Act;
use crate::trail::Deed;
use crate::web::api::audit::{self, Which as Wanted};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, page};

pub(super) fn routes() -> Vec<Route> {
    vec![page("/audit", Act::SeeAudit, ("What operators did", "审计记录"), show)]
}

/// What a deed is called, in Chinese and English.
const VERBS: &[(&str, &str, &str)] = &[
    ("signed-in", "登录", "signed in"),
    ("refused", "登录被拒绝", "was refused at sign-in"),
    ("signed-out", "退出", "signed out"),
    ("viewed", "查看了命中内容", "looked at findings of"),
    ("exported", "导出了列表", "took out a list of"),
    ("resolved", "查看了化名对应的姓名", "learned whom pseudonyms stand for"),
    ("looked-up", "调阅了消息", "looked a message up"),
    ("alert-take", "领取了告警", "took the alert"),
    ("alert-assign", "指派了告警", "assigned the alert"),
    ("alert-put-back", "放回了告警", "put back the alert"),
    ("alert-note", "为告警写了备注", "wrote a note on the alert"),
    ("alert-close", "关闭了告警", "closed the alert"),
    ("alert-reopen", "重新打开了告警", "reopened the alert"),
    ("alert-appeal", "对告警提出申诉", "appealed the alert"),
    ("alert-grant", "同意了申诉", "granted the appeal of"),
    ("alert-deny", "驳回了申诉", "denied the appeal of"),
    ("alert-step", "完成了处置步骤", "did a step with the alert"),
    ("alert-escalate", "上报了告警", "escalated the alert"),
    ("case-open", "立案", "opened the case"),
    ("case-link", "把告警并入案件", "put alerts into the case"),
    ("case-unlink", "把告警移出案件", "took alerts out of the case"),
    ("case-note", "为案件写了备注", "wrote a note on the case"),
    ("case-close", "结案", "closed the case"),
    ("case-reopen", "重启案件", "reopened the case"),
    ("suppression-begin", "新建抑制", "began the suppression"),
    ("suppression-end", "结束抑制", "ended the suppression"),
    ("device-revoke", "停用了设备", "shut out the device"),
    ("device-quarantine", "隔离了设备", "quarantined the device"),
    ("device-release", "解除了设备隔离", "released the device"),
    ("device-readmit", "重新接纳了设备", "let the device in again"),
    ("device-rekey", "要求设备换用新密钥", "had the device come to a new key"),
    ("device-shut-out", "永久停用了旧密钥", "shut out an earlier key of the device"),
    ("device-resets", "标记为每次还原的设备", "marked the device as put back at each start"),
    ("device-admit", "批准了设备接入", "admitted the device"),
    ("device-reject", "拒绝了设备接入", "rejected the device"),
    ("device-expected", "替换了预期资产清单", "replaced the list of expected assets"),
    ("token-create", "创建了注册码", "made the enrolment token"),
    ("token-revoke", "撤销了注册码", "withdrew the enrolment token"),
    ("authority", "更换了签发证书", "put certificates of the authority in place"),
    ("policy-publish", "发布了策略", "published the policy"),
    ("policy-advance", "推进了策略", "advanced the policy"),
    ("policy-halt", "暂停了策略", "halted the policy"),
    ("policy-resume", "恢复了策略", "resumed the policy"),
    ("people-publish", "发布了花名册", "published the roster"),
    ("notice-import", "导入了告知确认", "imported acknowledgements of the notice"),
    ("names-import", "导入了名称", "imported names"),
    ("names-erase", "删除了名称", "erased names"),
    ("erase", "删除了记录", "erased records of"),
    ("hold", "设置了保全", "put a hold on"),
    ("hold-lift", "解除了保全", "lifted the hold on"),
    ("operator-invite", "邀请了操作员", "invited the operator"),
    ("operator-password", "设置了密码", "set the password of"),
    ("operator-grant", "变更了权限", "changed what may be done by"),
    ("operator-disable", "停用了操作员", "disabled the operator"),
    ("operator-enable", "启用了操作员", "enabled the operator"),
    ("operator-reset", "重置了凭据", "reset the credentials of"),
    ("operator-totp", "启用了动态码", "set up one-time codes for"),
    ("api-token-make", "创建了 API 令牌", "made an API token for"),
    ("api-token-withdraw", "撤销了 API 令牌", "withdrew an API token of"),
    ("employee-link", "发放了员工查看链接", "handed out a link to what is about"),
    ("employee-link-open", "打开了员工查看链接", "opened the link to what is about"),
    ("employee-link-end", "撤销了员工查看链接", "withdrew the link to what is about"),
    ("setting", "变更了设置", "changed the setting"),
    ("setting-remove", "移除了设置", "removed the setting"),
    ("notify-test", "测试了通知目标", "tested the target"),
    ("notify-give-up", "放弃了一条通知", "gave up a notification to"),
    ("words-make", "新建了词表", "made the word list"),
    ("words-propose", "提出了词条变更", "proposed a change to the words of"),
    ("words-withdraw", "撤回了词条变更", "withdrew a change to the words of"),
    ("words-approve", "批准了词条变更", "approved a change to the words of"),
    ("words-reject", "驳回了词条变更", "rejected a change to the words of"),
    ("words-erase", "清除了词表", "erased the words of"),
];

fn verb(tongue: Tongue, word: &str) -> &str {
    VERBS.iter().find(|(name, ..)| *name == word).map_or(word, |(_, zh, en)| tongue.of(zh, en))
}

#[derive(Default, Deserialize)]
struct Which {
    #[serde(default)]
    by: String,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    since: String,
    cursor: Option<String>,
}

impl Which {
    fn wanted(&self) -> Result<Wanted, Problem> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let since_ms = some(&self.since)
            .map(|day| day_begins_in_china(&day).ok_or_else(|| Problem::malformed("a day is written like 2026-11-23")));
        Ok(Wanted {
            by: some(&self.by),
            verb: some(&self.verb),
            subject: some(&self.subject),
            since_ms: since_ms.transpose()?,
            cursor: self.cursor.clone(),
            limit: None,
        })
    }

    fn to(&self, cursor: &str) -> String {
        let Self { by, verb, subject, since, .. } = self;
        link("/audit", &[("by", by), ("verb", verb), ("subject", subject), ("since", since), ("cursor", cursor)])
    }
}

fn show(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    let view = View::of(ask);
    let (tongue, title) = (view.tongue(), Room::Audit.title(view.tongue()));
    let found = audit::list(ask, which.wanted()?)?;
    let rows: Vec<_> = found.items.iter().map(|deed| row(&view, deed)).collect();
    let heads = tongue.of(
        vec!["时间", "谁", "做了什么", "理由", "来自", "日志"],
        vec!["When", "Who", "What", "Why", "From", "Entry"],
    );
    let sentence = view.say(
        "每一次操作与查看都写入日志，任何人不能修改。与您本人有关的记录不会显示给您。",
        "Whatever was done or looked at is in the log, and nobody can change it. What is about yourself is not shown to you.",
    );
    let body = html! {
        (parts::heading(title, Some(sentence), None))
        (filters(&view, &which))
        (card(title, html! {
            @if rows.is_empty() {
                (parts::empty(view.say("没有符合条件的记录", "Nothing fits"), view.say("放宽筛选条件再试。", "Widen the filters."), Some(html! { a.button href="/audit" { (view.say("清除筛选", "Clear the filters")) } })))
            } @else { (Table { caption: title, heads, rows }.show()) }
            (more(tongue, found.next.map(|next| which.to(&next))))
        }))
    };
    Ok(view.page(Some(Room::Audit), title, body))
}

fn filters(view: &View<'_>, which: &Which) -> Markup {
    let mut verbs = vec![("", view.say("全部", "All"))];
    verbs.extend(VERBS.iter().map(|(name, zh, en)| (*name, view.say(*zh, *en))));
    html! {
        form.filters method="get" action="/audit" {
            (text_field("by", view.say("谁", "Who"), &which.by, false, None))
            (choice("verb", view.say("做了什么", "What"), &which.verb, &verbs))
            (text_field("subject", view.say("对象", "With what"), &which.subject, false, None))
            (field("since", view.say("从哪天起", "Since"), html! { input type="date" id="since" name="since" value=(which.since); }, None))
            button type="submit" { (view.say("筛选", "Filter")) }
        }
    }
}

fn row(view: &View<'_>, deed: &Deed) -> Vec<Markup> {
    let tongue = view.tongue();
    let who = match deed.by.as_str() {
        "" | "collector" => html! { (view.say("采集端", "The collector")) },
        by => html! { a href=(link("/audit", &[("by", by)])) { (by) } },
    };
    vec![
        tongue.at(deed.at_ms),
        who,
        html! {
            (verb(tongue, &deed.verb))
            @if !deed.subject.is_empty() && deed.subject != deed.by { " " (subject(view, deed)) }
            @if deed.count > 1 { " " small { "× " (tongue.number(deed.count)) } }
        },
        html! { (deed.reason) },
        html! { span.id { (deed.address) } },
        html! { small { (deed.log_index) } },
    ]
}

/// With what; it leads there where whoever looks may see it.
fn subject(view: &View<'_>, deed: &Deed) -> Markup {
    let kind = deed.verb.split('-').next().unwrap_or_default();
    let subject = &deed.subject;
    let is_plain = subject.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let to = match kind {
        "alert" if is_plain && view.may(Act::SeeAlerts) => Some(format!("/alerts/{subject}")),
        "case" if is_plain && view.may(Act::SeeCases) => Some(format!("/cases/{subject}")),
        "device" if subject.len() == 36 && is_plain && view.may(Act::SeeDevices) => Some(format!("/devices/{subject}")),
        _ => None,
    };
    // Ids are long; their beginning tells them apart.
    let shown = match subject.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", subject.get(..at).unwrap_or_default()),
        None => subject.clone(),
    };
    html! {
        @match to { Some(to) => { a.id href=(to) title=(subject) { (shown) } } None => { span.id title=(subject) { (shown) } } }
    }
}
