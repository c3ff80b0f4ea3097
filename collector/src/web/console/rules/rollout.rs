//! How far the policy of a group has come, what devices say of it, and what can be done about it.

use maud::{Markup, html};
use serde::Deserialize;

use super::{path_part, to};
use crate::operators::Act;
use crate::web::api::policies::{self, Change, Group, RolloutView, Step};
use crate::web::ask::Ask;
use crate::web::console::parts::{self, Table, Tone, badge, facts};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form};

/// Versions told.
const VERSIONS: usize = 20;

pub(super) fn routes() -> Vec<Route> {
    vec![form(
        "/rules/groups/{group}/step",
        Act::PublishPolicies,
        ("Halt, resume or advance", "暂停、恢复或推进"),
        step,
    )]
}

#[derive(Deserialize)]
struct Sent {
    step: Change,
    reason: String,
}

fn step(ask: &Ask<'_>, sent: Sent) -> Result<Body, Problem> {
    policies::step(ask, Step { step: sent.step, reason: sent.reason })?;
    Ok(Body::see(to("/rules", &[("group", ask.param("group")?), ("said", "done")])))
}

/// What is in force in a group.
pub(super) fn show(view: &View<'_>, group: &Group) -> Markup {
    let tongue = view.tongue();
    let counts = html! {
        (tongue.of(format!("{} 条生效", group.live), format!("{} live", group.live)))
        " · " (tongue.of(format!("{} 条试运行", group.shadow), format!("{} in shadow", group.shadow)))
        " · " (tongue.of(format!("{} 个规则包", group.packs.len()), format!("{} packs", group.packs.len())))
    };
    let title = view.say("现行策略", "Policy in force");
    let Some(rollout) = &group.rollout else {
        return parts::card_with(
            title,
            counts,
            html! {
                p { (badge(Tone::Note, view.say("内置规则包", "Packs that ship"))) }
                p.soft { (view.say(
                    "该分组还没有发布过策略，设备按自身配置的规则包（默认为内置包）检查。",
                    "No policy was published for this group; devices go by the packs of their own configuration, which are those that ship by default.",
                )) }
            },
        );
    };
    parts::card_with(
        title,
        counts,
        html! {
            p.row {
                strong { (view.say("第 ", "Version ")) (rollout.version) (view.say(" 版", "")) }
                (state(view, rollout))
                small { (tongue.of("自 ", "since ")) (tongue.at(rollout.since_ms)) }
            }
            (rings(view, rollout))
            (reported(view, rollout))
            @if view.may(Act::PublishPolicies) { (actions(view, &group.group, rollout)) }
        },
    )
}

fn state(view: &View<'_>, rollout: &RolloutView) -> Markup {
    match (rollout.halted, rollout.complete) {
        (true, _) => badge(Tone::Bad, view.say("已暂停", "Halted")),
        (false, true) => badge(Tone::Good, view.say("全部设备", "Everybody")),
        (false, false) => badge(Tone::Note, view.say("推进中", "On its way")),
    }
}

fn rings(view: &View<'_>, rollout: &RolloutView) -> Markup {
    html! {
        ol.rings aria-label=(view.say("分批", "Rings")) {
            @for (place, ring) in rollout.rings.iter().enumerate() {
                @let is_here = place == rollout.ring;
                li.is-here[is_here].is-past[place < rollout.ring] aria-current=[is_here.then_some("step")] { (share(*ring)) }
            }
        }
    }
}

/// Hundredths of a percent.
fn share(ring: u32) -> String {
    if ring.is_multiple_of(100) { format!("{}%", ring / 100) } else { format!("{:.2}%", f64::from(ring) / 100.0) }
}

fn reported(view: &View<'_>, rollout: &RolloutView) -> Markup {
    let tongue = view.tongue();
    let number = |number: u64| tongue.number(number);
    let rate = |flagged: u64| format!("{:.2} %", flagged as f64 * 100.0 / rollout.tried.max(1) as f64);
    facts([
        (view.say("本批设备", "Devices of the ring"), html! { (number(rollout.devices)) }),
        (view.say("已生效", "In force on"), html! { (number(rollout.applied)) }),
        (
            view.say("拒绝", "Refused by"),
            html! {
                (number(rollout.refused))
                @if !rollout.refused_because.is_empty() { " " span.late { (rollout.refused_because) } }
            },
        ),
        (
            view.say("试算消息", "Messages tried"),
            html! {
                (number(rollout.tried))
                @if rollout.tried > 0 {
                    span.soft { " · " (tongue.of("命中率 ", "hit rate ")) (rate(rollout.flagged_before)) " → " (rate(rollout.flagged_after)) }
                }
            },
        ),
        (
            view.say("每批至少", "A ring stands for"),
            html! { (tongue.span(i64::try_from(rollout.soak_ms).unwrap_or(i64::MAX))) },
        ),
        (
            view.say("暂停时", "Where it halts"),
            html! {
                (if rollout.falls_back { tongue.of("设备退回备用策略", "devices go back to the fallback") } else { tongue.of("设备保持现状", "devices keep it") })
            },
        ),
    ])
}

fn actions(view: &View<'_>, group: &str, rollout: &RolloutView) -> Markup {
    let tongue = view.tongue();
    html! {
        details open[rollout.halted] {
            summary { (view.say("推进、暂停或回退", "Advance, halt or go back")) }
            (parts::form(view, &format!("/rules/groups/{}/step", path_part(group)), false, html! {
                (parts::text_field("reason", view.say("理由", "Reason"), "", true, Some(view.say("写入审计记录", "Goes into the audit trail"))))
                div.row {
                    @if rollout.halted {
                        button type="submit" name="step" value="resume" { (view.say("恢复推进", "Resume")) }
                    } @else {
                        @if !rollout.complete { button.first type="submit" name="step" value="advance" { (view.say("推进到下一批", "Advance to the next ring")) } }
                        button.danger type="submit" name="step" value="halt" { (view.say("暂停", "Halt")) }
                    }
                }
            }))
            p.soft { (view.say("回退到旧版内容需要签名密钥，密钥不在采集端：", "To bring an earlier version back takes the key, which is not here:")) }
            (parts::copied(tongue, &format!("watchpost-collector policy rollback --group {group} --to {} --key policy.key --reason … --config collector.toml", rollout.version.saturating_sub(1).max(1))))
        }
    }
}

/// The policies of a group, the latest first.
pub(super) fn history(view: &View<'_>, group: &str) -> Result<Markup, Problem> {
    let tongue = view.tongue();
    let versions = policies::versions(view.ask, group)?;
    if versions.is_empty() {
        return Ok(html! {});
    }
    let state = |state: &str| match state {
        "complete" => badge(Tone::Good, view.say("全部设备", "Everybody")),
        "replaced" => badge(Tone::Plain, view.say("已被替换", "Replaced")),
        other if other.starts_with("halted") => badge(Tone::Bad, view.say("已暂停", "Halted")),
        other => badge(Tone::Note, other),
    };
    let rows = versions.iter().take(VERSIONS).map(|it| {
        vec![
            html! { (it.version) },
            html! { (state(&it.state)) },
            html! { (tongue.at(it.published_ms)) },
            html! { (it.by) },
            html! { (it.note) @if !it.note.is_empty() && !it.reason.is_empty() { br; } small { (it.reason) } },
            html! { (it.signatures) "/" (it.signers_needed) },
            html! { (it.applied) @if it.refused > 0 { " " span.late { "−" (it.refused) } } },
            html! { span.id { (it.policy.get(..12).unwrap_or_default()) } },
        ]
    });
    let table = Table {
        caption: view.say("策略历史", "Policies of this group"),
        heads: vec![
            view.say("#版本", "#Version"),
            view.say("状态", "State"),
            view.say("发布时间", "Published"),
            view.say("发布人", "By"),
            view.say("说明与理由", "Note and reason"),
            view.say("签名", "Signed"),
            view.say("#设备", "#Devices"),
            view.say("摘要", "Digest"),
        ],
        rows: rows.collect(),
    };
    Ok(parts::card(view.say("策略历史", "Policies of this group"), table.show()))
}
