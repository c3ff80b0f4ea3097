//! The page itself.

use std::collections::HashMap;

use maud::{Markup, html};
use watchpost_policy::my_data::Category;
use watchpost_proto::v1::RuleStatus;

use super::marked;
use super::mine::{Group, Mine, may_object};
use crate::alerts::level_name;
use crate::my_data::{SENT_DAYS, Told, disclosed};
use crate::web::console::chart::{self, Bar};
use crate::web::console::parts::{self, Table, Tone, badge, card, card_with, facts, field};
use crate::web::console::tongue::{Tongue, day};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::visits::Visit;

/// Groups of findings on one page.
const PAGE: usize = 30;
/// Findings of one group that are written out.
const OF_GROUP: usize = 10;
/// Days of the chart.
const DAYS: usize = 30;

pub(super) fn all(view: &View<'_>, visit: &Visit, mine: &Mine, said: &str, from: usize) -> Result<Markup, Problem> {
    let tongue = view.tongue();
    let title = view.say("我的数据", "My data");
    let files = html! {
        a.button href="/me/data.csv" { (view.say("下载记录 CSV", "Records as CSV")) }
        a.button href="/me/data.json" { (view.say("下载全部 JSON", "All as JSON")) }
        (marked(visit, "/me/leave", html! { button type="submit" { (view.say("离开", "Leave")) } }))
    };
    Ok(html! {
        (parts::heading(title, Some(&visit.accounts.join(" · ")), Some(files)))
        @if said == "appealed" {
            (parts::notice(Tone::Good, html! { p { (view.say(
                "申诉已提交并记入日志，将由审查员处理；裁定前该记录不会被结案。",
                "Your objection is in the log, and a reviewer will judge it; until then the matter is not closed."
            )) } }))
        }
        p.soft { (view.say("本次查看将于 ", "This visit ends at ")) (tongue.at(visit.until_ms)) (view.say(
            " 结束。此页只显示关于您本人的内容；他人的账户或链接都打不开它。",
            ". This page shows what is about you alone; nobody else's way in opens it."
        )) }
        (tiles(view, mine))
        (findings(view, visit, mine, from)?)
        (rules(view, mine))
        div.columns { (messages(view, mine)) (notices(view, mine)) }
        div.columns { (who(view)) (openings(view, mine)) }
    })
}

fn tiles(view: &View<'_>, mine: &Mine) -> Markup {
    let number = |number: usize| view.tongue().number(number as u64);
    let messages: u64 = mine.days.iter().map(|day| day.sent + day.received).sum();
    let rules: usize = mine.categories().map(|it| it.rules.len() + it.confidential as usize).sum();
    let back = format!("{SENT_DAYS} {}", view.say("天内", "days"));
    html! {
        div.tiles {
            (parts::tile(view.say("关于我的上报记录", "Records about me"), &number(mine.told()), Some(html! { (back) }), None, Tone::Plain))
            (parts::tile(view.say("检查过的消息", "Messages looked at"), &view.tongue().number(messages), Some(html! { (back) }), None, Tone::Plain))
            (parts::tile(view.say("现行规则", "Rules in force"), &number(rules), None, None, Tone::Plain))
            (parts::tile(view.say("他人记录中提及我", "Others' records naming me"), &view.tongue().number(mine.mentioned), Some(html! { (view.say("只计数", "only counted")) }), None, Tone::Plain))
        }
    }
}

fn findings(view: &View<'_>, visit: &Visit, mine: &Mine, from: usize) -> Result<Markup, Problem> {
    let title = view.say("上报了关于我的什么", "What was reported about me");
    if mine.groups.is_empty() {
        let none = parts::empty(
            view.say("没有上报记录", "Nothing was reported"),
            view.say("过去 90 天没有规则命中您的消息。", "In the last 90 days no rule has held for your messages."),
            None,
        );
        return Ok(card(title, none));
    }
    let on_page = || mine.groups.iter().skip(from).take(PAGE);
    let appeals = Mine::appeals(view.ask, on_page())?;
    let next = (from + PAGE < mine.groups.len()).then(|| format!("/me?from={}", from + PAGE));
    let beside = html! { (view.say("文字为离开设备的原样，截取到规则允许的程度", "Text exactly as it was reported, as far as the rule lets it")) };
    Ok(card_with(
        title,
        beside,
        html! {
            ol.told { @for group in on_page() { (one(view, visit, mine, group, &appeals)) } }
            (parts::more(view.tongue(), next))
        },
    ))
}

fn one(
    view: &View<'_>,
    visit: &Visit,
    mine: &Mine,
    group: &Group,
    appeals: &HashMap<String, Option<&'static str>>,
) -> Markup {
    let Some(Told { finding, at_ms, .. }) = group.told.first() else { return html! {} };
    let (tongue, title) = (view.tongue(), mine.title(finding));
    let is_trial = finding.status() == RuleStatus::Shadow;
    let alert = group.alert.as_deref().and_then(|alert| Some((alert, *appeals.get(alert)?)));
    html! {
        li {
            div.card-head {
                h3 { (tongue.of(&title.0, &title.1)) }
                div.row {
                    (parts::level(tongue, level_name(finding.level)))
                    span.faint { (finding.category) }
                    @if is_trial { (badge(Tone::Plain, view.say("试运行，不提交处理", "On trial, nobody deals with it"))) }
                    @if finding.withdrawn { (badge(Tone::Plain, view.say("已撤回", "Withdrawn"))) }
                    @if let Some((_, Some(appeal))) = alert { (appeal_badge(tongue, appeal)) }
                }
            }
            @for told in group.told.iter().take(OF_GROUP) { (excerpt(view, told)) }
            @if group.told.len() > OF_GROUP {
                p.faint { (view.say("另有 ", "And ")) (group.told.len() - OF_GROUP) (view.say(" 条同类记录，见下载文件。", " more like these: see the file.")) }
            }
            @if group.told.len() == 1 && finding.excerpt.is_empty() { p.faint { (view.say("上报于 ", "Reported ")) (tongue.at(*at_ms)) } }
            @if let Some((alert, appeal)) = alert { (objection(view, visit, alert, appeal)) }
        }
    }
}

fn excerpt(view: &View<'_>, told: &Told) -> Markup {
    let tongue = view.tongue();
    let Told { finding, at_ms, .. } = told;
    let how = match disclosed(finding.disclose()) {
        "masked" => view.say("部分遮盖", "partly masked"),
        "context" => view.say("命中处上下文", "with its context"),
        _ => view.say("未上报文字", "no text reported"),
    };
    html! {
        @if !finding.excerpt.is_empty() { p.excerpt { (finding.excerpt) } }
        p.faint {
            @if finding.msgtime_ms > 0 { (view.say("消息时间 ", "Message of ")) (tongue.at(finding.msgtime_ms)) " · " }
            (view.say("上报于 ", "reported ")) (tongue.at(*at_ms)) " · " (how)
        }
    }
}

fn appeal_badge(tongue: Tongue, appeal: &str) -> Markup {
    match appeal {
        "open" => badge(Tone::Note, tongue.of("申诉处理中", "Objection open")),
        "granted" => badge(Tone::Good, tongue.of("申诉成立", "Objection holds")),
        _ => badge(Tone::Warn, tongue.of("申诉不成立", "Objection denied")),
    }
}

fn objection(view: &View<'_>, visit: &Visit, alert: &str, appeal: Option<&str>) -> Markup {
    if !may_object(appeal) {
        return html! { @if appeal == Some("denied") { p.faint { (view.say(
            "对裁定仍有异议，请联系职工代表或公司指定的申诉渠道。",
            "If you disagree with the decision, turn to the works council or the company's channel for complaints."
        )) } } };
    }
    let id = format!("why-{}", alert.get(..16).unwrap_or_default());
    html! {
        details {
            summary { (view.say("我有异议", "I object")) }
            (marked(visit, "/me/appeal", html! {
                input type="hidden" name="alert" value=(alert);
                (field(&id, view.say("理由", "Why"), html! {
                    textarea id=(id) name="text" maxlength="2000" required {}
                }, Some(view.say("会原样记入处理记录，由未参与原裁定的审查员裁定。", "It is kept as you write it, and judged by somebody who did not decide before."))))
                button.first type="submit" { (view.say("提交申诉", "Send the objection")) }
            }))
        }
    }
}

fn rules(view: &View<'_>, mine: &Mine) -> Markup {
    let title = view.say("现行规则", "Rules in force");
    if mine.rules.is_empty() {
        return card(
            title,
            parts::empty(
                view.say("采集端不知道现行规则", "The rules are not known here"),
                view.say(
                    "检查您消息的主机尚未报告所用策略；请向公司索取规则清单。",
                    "The machine that looks at your messages has not told its policy; ask the company for the list.",
                ),
                None,
            ),
        );
    }
    let versions = mine.rules.iter().map(|rules| rules.version.to_string()).collect::<Vec<_>>().join(", ");
    let beside = html! { (view.say("策略版本 ", "Policy version ")) (versions) };
    card_with(title, beside, html! { @for category in mine.categories() { (of_category(view, category)) } })
}

fn of_category(view: &View<'_>, category: &Category) -> Markup {
    let tongue = view.tongue();
    let count = category.rules.len() as u64 + category.confidential;
    let rows = category.rules.iter().map(|rule| {
        let most = match rule.disclose.as_str() {
            "masked" => view.say("部分遮盖的文字", "Masked text"),
            "context" => view.say("命中处上下文", "Text around the hit"),
            _ => view.say("不含文字", "No text"),
        };
        vec![
            html! { (tongue.of(&rule.title.0, &rule.title.1)) @if rule.trial { " " (badge(Tone::Plain, view.say("试运行", "On trial"))) } },
            parts::level(tongue, &rule.level),
            html! { (most) },
        ]
    });
    let heads = vec![view.say("规则", "Rule"), view.say("级别", "Level"), view.say("最多上报", "At most reported")];
    html! {
        details {
            summary { (category.name) " · " (count) }
            @if !category.rules.is_empty() { (Table { caption: &category.name, heads, rows: rows.collect() }.show()) }
            @if category.confidential > 0 {
                p.faint { (view.say("另有 ", "And ")) (category.confidential) (view.say(" 条使用保密词表的规则，共 ", " with confidential word lists, of ")) (category.words) (view.say(" 个词。", " words.")) }
            }
        }
    }
}

fn messages(view: &View<'_>, mine: &Mine) -> Markup {
    let title = view.say("每天检查的消息", "Messages looked at by day");
    if mine.days.is_empty() {
        return card(title, html! { p.faint { (view.say("还没有统计。", "Nothing was counted yet.")) } });
    }
    let bars = mine.days.iter().take(DAYS).rev().map(|it| Bar {
        name: day(it.day_ms),
        amount: it.sent + it.received,
        to: None,
    });
    let bars: Vec<Bar> = bars.collect();
    let heads = (view.say("日期", "Day"), view.say("条数", "Messages"));
    card(
        title,
        html! {
            (chart::over_time(title, heads, &bars))
            p.faint { (view.say("只有条数，不含内容。", "Numbers alone, nothing of what was written.")) }
        },
    )
}

fn notices(view: &View<'_>, mine: &Mine) -> Markup {
    let tongue = view.tongue();
    card(
        view.say("告知确认", "Notice"),
        html! {
            @for (account, notice) in &mine.notices {
                @match notice {
                    None => p { (account) "：" (view.say("采集端没有告知书的版本记录。", "no version of the notice is known here.")) },
                    Some(notice) => (facts([
                        (view.say("账号", "Account"), html! { (account) }),
                        (view.say("现行版本", "Version in force"), html! { (notice.version) }),
                        (view.say("我的确认", "Acknowledged"), match notice.acknowledged_ms {
                            Some(at_ms) => tongue.at(at_ms),
                            None => badge(Tone::Warn, view.say("尚未确认", "Not yet")),
                        }),
                    ])),
                }
            }
            p.faint { (view.say(
                "采集端没有告知书全文，未展示的内容不能在此确认：请向公司索取全文并在签收单上确认，或在装有代理程序的设备上运行 watchpost-agent my-data acknowledge。",
                "The company hands out its text. What is not shown here cannot be acknowledged here: use the company's form, or run watchpost-agent \
                 my-data acknowledge on a device that has the agent."
            )) }
        },
    )
}

fn who(view: &View<'_>) -> Markup {
    card(
        view.say("谁能看到，保存多久", "Who can see it, and for how long"),
        facts([
            (
                view.say("审查员", "Reviewers"),
                html! { (view.say("全部告警及上述文字，每次查看均记入审计", "All alerts and the text above; each look is in the audit trail")) },
            ),
            (
                view.say("主管", "Supervisors"),
                html! { (view.say("所负责部门与站点的告警及文字", "Alerts and text of their departments and sites")) },
            ),
            (
                view.say("审计员", "Auditors"),
                html! { (view.say("告警清单；已结案告警的抽样文字", "Lists of alerts; text of a drawn sample of closed ones")) },
            ),
            (
                view.say("管理员、策略作者", "Administrators, policy authors"),
                html! { (view.say("看不到告警中的文字", "Not the text of alerts")) },
            ),
            (
                view.say("我的上级或同事", "Anybody else"),
                html! { (view.say("没有上述角色者看不到", "Nothing without one of these roles")) },
            ),
            (
                view.say("保存", "Kept"),
                html! { (view.say(
                    "直至公司按其规定删除；删除与保全均留痕。此页显示最近 90 天。",
                    "Until the company erases it by its rules; erasures and holds leave an entry. This page goes back 90 days."
                )) },
            ),
        ]),
    )
}

fn openings(view: &View<'_>, mine: &Mine) -> Markup {
    let tongue = view.tongue();
    card(
        view.say("此页何时被打开", "When this page was opened"),
        html! {
            p.faint { (view.say("若有一次打开不是您本人，请告知职工代表或审计。", "If one of these was not you, tell the works council or audit.")) }
            ol.timeline {
                @for (verb, at_ms) in mine.openings.iter().take(10) {
                    li { (tongue.at(*at_ms)) " " (match verb.as_str() {
                        "employee-link-open" => view.say("链接被打开", "a link was opened"),
                        "employee-link-end" => view.say("链接被撤销", "a link was withdrawn"),
                        _ => view.say("发放了链接", "a link was handed out"),
                    }) }
                }
            }
        },
    )
}
