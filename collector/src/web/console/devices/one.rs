//! One device: what to do next, and everything that is known of it.

use maud::{Markup, html};
use serde::Deserialize;

use super::{name_of, said, state_tone, state_word};
use crate::devices::Device;
use crate::devices::detail::Detail;
use crate::operators::Act;
use crate::web::api::devices::{self, Release, Shown};
use crate::web::api::operators::Why;
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::lists::{deed, or_dash, reason};
use crate::web::console::parts::{self, Table, Tone, badge, card, facts};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, form, page};

const MIB: u64 = 1024 * 1024;

pub(super) fn routes() -> Vec<Route> {
    let change = Act::ChangeDevices;
    vec![
        page("/devices/{device}", Act::SeeDevices, ("A device", "设备详情"), show),
        form("/devices/{device}/revoke", change, ("Shut a device out", "停用设备"), revoke),
        form("/devices/{device}/quarantine", change, ("Hold out what a device sends", "隔离设备"), quarantine),
        form("/devices/{device}/release", change, ("Let a device in again", "恢复设备"), release),
    ]
}

#[derive(Deserialize)]
struct Told {
    said: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    reason: String,
    how: Option<String>,
}

fn show(ask: &Ask<'_>, told: Told) -> Result<Body, Problem> {
    let view = View::of(ask);
    let shown = devices::show(ask, Nothing {})?;
    let device = &shown.device;
    let title = name_of(device).to_owned();
    let state = match &shown.health {
        Some(health) if device.state == "active" => health.state.as_str(),
        _ => device.state,
    };
    let tongue = view.tongue();
    let actions = html! { (badge(state_tone(state), state_word(tongue, state))) };
    let body = html! {
        (parts::heading(&title, None, Some(actions)))
        (said(&view, told.said.as_ref()))
        (next(&view, &shown))
        div.main-and-side {
            div.stack {
                (folders(&view, device))
                (exports(&view, &shown.detail))
                (losses(&view, &shown))
            }
            div.stack {
                (identity(&view, &shown))
                (in_force(&view, &shown))
                (line(&view, &shown))
                (machine(&view, &shown))
                @if view.may(Act::ChangeDevices) { (deeds(&view, device)) }
            }
        }
    };
    Ok(view.page(Some(Room::Devices), &title, body))
}

/// What is the matter and what to do, the worst first.
fn next(view: &View<'_>, shown: &Shown) -> Markup {
    let device = &shown.device;
    let why = |text: &str| html! { @if !device.reason.is_empty() { (text) (device.reason) } };
    if device.state == "revoked" {
        return parts::notice(
            Tone::Plain,
            html! {
                p { b { (view.say("该设备已停用，不再接收它的任何上报。", "This device is shut out; nothing it sends is taken.")) } }
                p { (why(view.say("理由：", "Reason: "))) }
            },
        );
    }
    html! {
        @if device.state == "quarantined" {
            (parts::notice(Tone::Warn, html! {
                p { b { (view.say("已隔离：上报会保存但不显示。查清原因后恢复，或停用该设备。",
                    "Quarantined: what it sends is kept and not shown. Find out why, then release it or shut it out.")) } }
                p { (why(view.say("理由：", "Reason: "))) }
            }))
        }
        @for (place, standing) in shown.health.iter().flat_map(|health| &health.standings).enumerate() {
            (parts::notice(state_tone(standing.state.as_str()), html! {
                @let sentence = view.say(&standing.zh, &standing.en);
                @if place == 0 { p { b { (sentence) } } } @else { p { (sentence) } }
                @if let Some(ms) = standing.since_ms.filter(|_| standing.state.needs_a_look()) {
                    p.soft { (view.say("开始于 ", "Since ")) (view.tongue().at(ms)) }
                }
            }))
        }
    }
}

fn identity(view: &View<'_>, shown: &Shown) -> Markup {
    let Shown { device, detail, .. } = shown;
    let tongue = view.tongue();
    card(
        view.say("身份", "Identity"),
        facts([
            (view.say("编号", "Id"), html! { span.id { (device.device) } }),
            (view.say("主机名", "Hostname"), or_dash(&device.hostname)),
            (view.say("资产号", "Asset"), or_dash(&device.asset)),
            (view.say("分组", "Group"), or_dash(&device.group)),
            (view.say("站点", "Site"), or_dash(&device.site)),
            (
                view.say("接入时间", "Enrolled"),
                html! {
                    @match detail.enrolled_ms { Some(ms) => { (tongue.at(ms)) } None => { span.faint { "—" } } }
                    @if !detail.enrolled_from.is_empty() { br; small.id { (detail.enrolled_from) } }
                },
            ),
            (
                view.say("证书", "Certificate"),
                html! {
                    @match device.certificate_ends_ms {
                        Some(ms) => {
                            (view.say("有效至 ", "Until ")) (tongue.at(ms)) " "
                            @if ms <= view.ask.now_ms { (badge(Tone::Bad, view.say("已过期", "Ended"))) }
                            @else if device.certificate_proved { (badge(Tone::Good, view.say("已启用", "In use"))) }
                            @else { (badge(Tone::Note, view.say("尚未使用", "Not used yet"))) }
                            br; small { (view.say("已签发 ", "Issued ")) (device.certificates) (view.say(" 张", "")) }
                        }
                        None => { span.faint { (view.say("不是在此签发", "Not issued here")) } }
                    }
                },
            ),
            (
                view.say("现以此身份接入", "Enrols as now"),
                html! {
                    @if device.enrols_as.is_empty() { span.faint { "—" } }
                    @else { a.id href={ "/devices/" (device.enrols_as) } { (device.enrols_as) } }
                },
            ),
        ]),
    )
}

fn in_force(view: &View<'_>, shown: &Shown) -> Markup {
    let Shown { device, detail, .. } = shown;
    let tongue = view.tongue();
    let policy = html! {
        @match &device.policy {
            Some(policy) => {
                (view.say("版本 ", "Version ")) (policy.version) " "
                @if policy.applied {
                    (badge(Tone::Good, view.say("已生效", "In force")))
                    br; small { (detail.rules) (view.say(" 条规则，编译 ", " rules, compiled in ")) (policy.compile_ms) " ms" }
                } @else {
                    (badge(Tone::Bad, view.say("被拒绝", "Refused")))
                    br; small { code { (policy.reason) } " " (policy.detail) }
                }
            }
            None => { span.faint { (view.say("尚未报告；发布策略后会自动下发", "Nothing told yet; a policy comes by itself once published")) } }
        }
    };
    let roster = html! {
        @match &device.roster {
            Some(roster) => {
                (view.say("版本 ", "Version ")) (roster.version)
                br; small { (roster.managed) (view.say(" 个受管账号", " accounts managed")) }
                @if !roster.refused.is_empty() {
                    br; (badge(Tone::Bad, view.say("被拒绝", "Refused"))) " " (roster.offered) " " code { (roster.refused) }
                }
            }
            None => { span.faint { (view.say("尚未报告", "Nothing told yet")) } }
        }
    };
    let check = html! {
        @match &detail.check {
            Some(check) => {
                @if check.failed { (badge(Tone::Bad, view.say("未通过", "Failed"))) " " code { (check.reason) } }
                @else if check.unreadable > 0 { (badge(Tone::Warn, view.say("有文件夹不可读", "Folders unreadable"))) " " (check.unreadable) "/" (check.folders) }
                @else { (badge(Tone::Good, view.say("通过", "Passed"))) }
                " " (tongue.ago(check.received_ms, view.ask.now_ms))
                @if let Some(ms) = check.passed_ms.filter(|_| check.failed) { br; small { (view.say("上次通过 ", "Passed last ")) (tongue.at(ms)) } }
            }
            None => { span.faint { (view.say("尚未自检；接入后一天内会有第一次", "None yet; the first comes within a day")) } }
        }
    };
    card(
        view.say("策略与自检", "Policy and self-check"),
        facts([
            (view.say("策略", "Policy"), policy),
            (view.say("花名册", "Roster"), roster),
            (view.say("自检", "Self-check"), check),
        ]),
    )
}

fn line(view: &View<'_>, shown: &Shown) -> Markup {
    let Shown { device, live, .. } = shown;
    let (tongue, now_ms) = (view.tongue(), view.ask.now_ms);
    let mut rows = vec![(
        view.say("最近上报", "Last record"),
        html! {
            @match device.last_entry_ms { Some(ms) => { (tongue.ago(ms, now_ms)) } None => { span.faint { "—" } } }
        },
    )];
    if let Some(live) = live {
        rows.push((view.say("连接", "Connection"), html! {
            @if live.connected { (badge(Tone::Good, view.say("在线", "Connected"))) } @else { (badge(Tone::Plain, view.say("未连接", "Not connected"))) }
            " " (tongue.ago(live.heard_ms, now_ms))
        }));
        rows.push((view.say("待发记录", "Backlog"), html! {
            (tongue.number(live.backlog_records)) " · " (tongue.number(live.backlog_bytes / 1024)) " KiB"
            @if live.record_waits_ms > 0 { br; small { (view.say("最早的已等待 ", "The oldest waits ")) (span(view, live.record_waits_ms)) } }
        }));
        rows.push((view.say("待读文件", "Exports waiting"), html! {
            (tongue.number(live.files_waiting))
            @if live.export_waits_ms > 0 { br; small { (view.say("最早的已等待 ", "The oldest waits ")) (span(view, live.export_waits_ms)) } }
        }));
        if !live.resting.is_empty() {
            rows.push((view.say("暂停读取", "Rests"), html! { (badge(Tone::Warn, &live.resting)) }));
        }
    }
    for lane in &device.lanes {
        let name = if lane.lane == "urgent" {
            view.say("急件序列", "Urgent lane")
        } else {
            view.say("普通序列", "Bulk lane")
        };
        rows.push((
            name,
            html! {
                (view.say("下一号 ", "Next ")) (lane.next_seq)
                br; small.id { (lane.epoch) }
            },
        ));
    }
    card(view.say("连接与积压", "Line and backlog"), facts(rows))
}

fn span(view: &View<'_>, ms: u64) -> String {
    view.tongue().span(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn machine(view: &View<'_>, shown: &Shown) -> Markup {
    let tongue = view.tongue();
    let mut rows = vec![(view.say("设备端版本", "Agent"), or_dash(&shown.device.agent_version))];
    if let Some(posture) = &shown.detail.posture {
        rows.extend([
            (view.say("系统", "System"), or_dash(&posture.os)),
            (view.say("占用内存", "Memory held"), html! { (tongue.number(posture.memory_bytes / MIB)) " MiB" }),
            (view.say("磁盘剩余", "Disk free"), html! { (tongue.number(posture.disk_free_bytes / MIB)) " MiB" }),
            (view.say("报告于", "Told"), tongue.ago(posture.received_ms, view.ask.now_ms)),
        ]);
    }
    card(view.say("运行环境", "Machine"), facts(rows))
}

fn folders(view: &View<'_>, device: &Device) -> Markup {
    let tongue = view.tongue();
    let title = view.say("导出文件夹", "Export folders");
    if device.feeds.is_empty() {
        return card(title, parts::empty(
            view.say("没有约定到达时间的文件夹", "No folder says when exports are expected"),
            view.say("在设备配置的 [[folder]] 中写 expected = \"daily by 09:00\"，缺文件时这里会报断供。",
                "Write expected = \"daily by 09:00\" into [[folder]] of the device's configuration; what is missing shows here."), None));
    }
    let at = |ms: Option<i64>| html! { @match ms { Some(ms) => { (tongue.at(ms)) } None => { span.faint { "—" } } } };
    let rows = device.feeds.iter().map(|feed| {
        vec![
            or_dash(&feed.corp),
            or_dash(&feed.expected),
            html! {
                @match feed.starved_ms {
                    Some(ms) => { (badge(Tone::Warn, view.say("缺失", "Missing"))) " " (tongue.ago(ms, view.ask.now_ms)) }
                    None => { (badge(Tone::Good, view.say("正常", "Fed"))) }
                }
            },
            at(feed.last_export_ms),
            at(feed.gone_from_ms),
        ]
    });
    let heads = tongue.of(
        vec!["企业", "约定", "状态", "最新文件", "此后内容已无法补回"],
        vec!["Corp", "Expected", "State", "Newest export", "Gone for good from"],
    );
    card(title, Table { caption: title, heads, rows: rows.collect() }.show())
}

fn exports(view: &View<'_>, detail: &Detail) -> Markup {
    let tongue = view.tongue();
    let title = view.say("导出文件", "Exports");
    if detail.latest.is_empty() {
        return card(
            title,
            parts::empty(
                view.say("还没有读过导出文件", "No export has been read yet"),
                view.say(
                    "把一个会话存档导出文件放进设备上配置的文件夹。",
                    "Put an export of the session archive into a folder the device watches.",
                ),
                None,
            ),
        );
    }
    let word = |state: &str| match state {
        "done" => (Tone::Good, view.say("已读完", "Done")),
        "set-aside" => (Tone::Warn, view.say("已搁置", "Set aside")),
        "reading" => (Tone::Note, view.say("读取中", "Reading")),
        _ => (Tone::Plain, view.say("等待", "Waiting")),
    };
    let rows = detail.latest.iter().map(|export| {
        let (tone, state) = word(export.state);
        vec![
            tongue.at(export.told_ms),
            or_dash(&export.corp),
            html! { (badge(tone, state)) @if !export.reason.is_empty() { " " code { (export.reason) } } },
            html! { (tongue.number(export.messages)) },
            html! { (tongue.number(export.defects)) },
            html! { (tongue.number(export.bytes / 1024)) " KiB" },
        ]
    });
    let heads = tongue.of(
        vec!["报告于", "企业", "状态", "#消息", "#无法读取的行", "#大小"],
        vec!["Told", "Corp", "State", "#Messages", "#Defects", "#Size"],
    );
    let counts = html! {
        @for (state, number) in &detail.exports { @let (tone, name) = word(state); (badge(tone, &format!("{name} {number}"))) " " }
        @for (why, number) in &detail.set_aside { small { code { (why) } " × " (number) } " " }
    };
    parts::card_with(title, counts, Table { caption: title, heads, rows: rows.collect() }.show())
}

fn losses(view: &View<'_>, shown: &Shown) -> Markup {
    let Shown { device, detail, .. } = shown;
    let tongue = view.tongue();
    let title = view.say("损失与异常", "Losses and oddities");
    let is_clean = device.losses == 0 && device.forks == 0 && device.log_changes == 0;
    if is_clean {
        return card(
            title,
            html! { p.soft { (view.say("没有损失，链条完整，没有分叉。", "Nothing lost, chains whole, no forks.")) } },
        );
    }
    card(
        title,
        html! {
            (facts([
                (view.say("损失记录", "Loss records"), html! { (device.losses) }),
                (view.say("分叉", "Forks"), html! { (device.forks) @if device.forks > 0 { " " (badge(Tone::Bad, view.say("可能被克隆，见 docs/restores.md", "It may be a clone; see docs/restores.md"))) } }),
                (view.say("日志变化", "Log changes"), html! { (device.log_changes) @if device.log_losses > 0 { " " (badge(Tone::Warn, view.say("有内容未保留", "Not all was kept"))) } }),
            ]))
            @if !detail.lost.is_empty() {
                ul.plain {
                    @for loss in &detail.lost {
                        li { (tongue.at(loss.told_ms)) " " code { (loss.reason) } " " @if loss.count > 0 { (tongue.number(loss.count)) " " (loss.unit) } }
                    }
                }
            }
            @if !detail.log_seen.is_empty() {
                ul.plain {
                    @for seen in &detail.log_seen {
                        li {
                            (tongue.at(seen.received_ms)) " " (view.say("看到的日志换了一份", "It was shown another log")) " "
                            @if seen.introduced { (badge(Tone::Note, view.say("有交接", "Introduced"))) } @else { (badge(Tone::Warn, view.say("无交接", "Not introduced"))) }
                            " " @if seen.kept { (badge(Tone::Good, view.say("内容完整", "All kept"))) } @else { (badge(Tone::Warn, view.say("内容不全", "Not all kept"))) }
                        }
                    }
                }
            }
        },
    )
}

fn deeds(view: &View<'_>, device: &Device) -> Markup {
    let to = |deed: &str| format!("/devices/{}/{deed}", device.device);
    let revoke = deed(
        view,
        &to("revoke"),
        Some(view.say(
            "停用后立即断开，不再接收它的上报。确定吗？",
            "It is shut out at once, and nothing it sends is taken. Go on?",
        )),
        html! {
            (reason(view, "why-revoke"))
            button.danger type="submit" { (view.say("停用", "Revoke")) }
        },
    );
    let quarantine = deed(
        view,
        &to("quarantine"),
        Some(view.say("隔离后它的命中不再显示。确定吗？", "What it found is no longer shown. Go on?")),
        html! {
            (reason(view, "why-quarantine"))
            button type="submit" { (view.say("隔离", "Quarantine")) }
        },
    );
    let how = [
        ("", view.say("照旧", "As it was")),
        ("rekey", view.say("换用新密钥，旧镜像永久失效", "To a new key; older images are shut out for good")),
        ("resets", view.say("每次开机还原磁盘的机器", "Its disk is put back at each start")),
    ];
    let release = deed(
        view,
        &to("release"),
        Some(view.say("恢复后立即生效。确定吗？", "It is let in at once. Go on?")),
        html! {
            (parts::choice("how", view.say("方式", "How"), "", &how))
            (reason(view, "why-release"))
            button.first type="submit" { (view.say("恢复", "Release")) }
        },
    );
    card(
        view.say("操作", "Actions"),
        html! {
            @if device.state != "active" { (release) }
            @if device.state == "active" { (quarantine) }
            @if device.state != "revoked" { (revoke) }
            @if device.state == "active" { details { summary { (view.say("重新信任或换密钥", "Trust anew, or another key")) } (release) } }
            p.hint { (view.say("命令行：", "By command: ")) code { "watchpost-collector device revoke|quarantine|release " (device.device) } }
        },
    )
}

fn back(ask: &Ask<'_>) -> Result<Body, Problem> {
    Ok(Body::see(format!("/devices/{}?said=done", ask.param("device")?)))
}

fn revoke(ask: &Ask<'_>, said: Said) -> Result<Body, Problem> {
    devices::revoke(ask, Why { reason: said.reason })?;
    back(ask)
}

fn quarantine(ask: &Ask<'_>, said: Said) -> Result<Body, Problem> {
    devices::quarantine(ask, Why { reason: said.reason })?;
    back(ask)
}

fn release(ask: &Ask<'_>, said: Said) -> Result<Body, Problem> {
    let is = |word: &str| said.how.as_deref() == Some(word);
    devices::release(ask, Release { rekey: is("rekey"), resets: is("resets"), reason: said.reason })?;
    back(ask)
}
