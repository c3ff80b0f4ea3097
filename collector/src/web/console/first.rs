//! The first run: what a new collector still needs, each step with what to do next.

use maud::{Markup, html};
use serde::Deserialize;

use super::parts::{self, Tone, badge, copied};
use super::view::View;
use crate::first_run::Step;
use crate::operators::Act;
use crate::web::api::first::{self, Beginning};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, page};

pub(super) fn routes() -> Vec<Route> {
    vec![page("/first", Act::SeeSettings, ("What a new collector still needs", "启用向导"), show)]
}

#[derive(Deserialize)]
struct Any {}

/// How a step is called, what it is for, and how it is done.
struct Told {
    title: (&'static str, &'static str),
    what: (&'static str, &'static str),
    /// A page to go to.
    to: Option<(&'static str, (&'static str, &'static str))>,
    command: &'static str,
}

fn told(step: Step) -> Told {
    let (title, what, to, command) = match step {
        Step::Codes => (
            ("管理员启用动态码", "An administrator comes in with one-time codes"),
            (
                "用 init 打印的链接设置密码并启用动态码。",
                "With the link that init printed, set a password and one-time codes.",
            ),
            Some(("/account", ("我的账户", "My account"))),
            "watchpost-collector operator accept administrator --config collector.toml",
        ),
        Step::Policy => (
            ("签名并发布策略", "Sign and publish a policy"),
            (
                "没有策略，设备不检查任何消息。内置规则可以直接使用。",
                "Without a policy devices look at nothing. The built-in packs will do.",
            ),
            Some(("/rules", ("规则", "Rules"))),
            "watchpost-collector policy sign --help",
        ),
        Step::Roster => (
            ("由人事签名发布花名册", "HR signs and publishes the roster"),
            ("只有花名册上在管账号的消息会被检查。", "Only messages of accounts in it are looked at."),
            Some(("/people/import", ("预览名单", "Preview a list"))),
            "watchpost-collector people import staff.xlsx --key hr.key --config collector.toml",
        ),
        Step::Token => (
            ("创建第一个注册码", "Make the first token"),
            ("一串字符，让设备接入这台采集端。", "One string with which devices enrol here."),
            Some(("/devices/enrol?tab=tokens", ("创建注册码", "Make a token"))),
            "watchpost-collector token create --config collector.toml > token.txt",
        ),
        Step::Device => (
            ("接入第一台设备", "Enrol the first device"),
            ("在设备上安装设备端，然后执行：", "Install the agent on a device, then:"),
            Some(("/devices/enrol", ("设备接入", "Enrolment"))),
            "watchpost-agent enroll --token-file token.txt",
        ),
        Step::Export => (
            ("读完第一个导出文件", "A first export is read"),
            (
                "把一个会话存档导出文件放进设备上配置的文件夹，然后在设备上查看：",
                "Put an export of the session archive into a folder the device watches, then look on the device:",
            ),
            Some(("/devices", ("设备", "Devices"))),
            "watchpost-agent status",
        ),
        Step::Finding => (
            ("出现第一条命中", "Something is found"),
            ("可先在设备上对样例文件试跑规则：", "The rules can be tried on a sample first, on the device:"),
            None,
            "watchpost-agent scan sample.jsonl",
        ),
        Step::Closed => (
            ("处置并关闭第一条告警", "A first alert is closed"),
            (
                "由主管或审查员领取、判断、关闭；先邀请他们。",
                "A supervisor or reviewer takes it, judges it and closes it; invite them first.",
            ),
            Some(("/settings?tab=operators", ("邀请操作员", "Invite operators"))),
            "watchpost-collector operator invite li.na --role reviewer --config collector.toml",
        ),
        Step::Notice => (
            ("员工确认告知书", "Employees acknowledge the notice"),
            (
                "设备端会请员工阅读并确认；已有的纸质或 OA 确认可以导入。",
                "Agents ask them to; what was signed on paper or elsewhere can be imported.",
            ),
            Some(("/people?stand=present&notice=missing", ("谁还没有确认", "Who has not"))),
            "watchpost-collector notice import signed.csv --config collector.toml",
        ),
        Step::Notified => (
            ("通知送达值班人员", "A notification arrives"),
            (
                "在 collector.toml 写入目标，新建路由，并发送测试。",
                "Write a target into collector.toml, make a route and send a test.",
            ),
            Some(("/settings?tab=notify", ("通知设置", "Notifications"))),
            "watchpost-collector notify test duty --config collector.toml",
        ),
        Step::Backup => (
            ("完成一次备份", "A backup is made"),
            (
                "备份含签发密钥，请加密并与采集端分开保存。",
                "It holds the keys that issue: encrypt it and keep it apart.",
            ),
            None,
            "watchpost-collector backup --out /mnt/backup/2026-11-23 --config collector.toml",
        ),
    };
    Told { title, what, to, command }
}

/// The way to it for the first page, until the first alert was closed; nothing for those who do not look after the collector.
pub(super) fn card(view: &View<'_>) -> Option<Markup> {
    if !view.may(Act::SeeSettings) {
        return None;
    }
    let Beginning { is_over, steps } = first::show(view.ask, Nothing {}).ok()?;
    let next = steps.iter().find(|it| !it.is_done).filter(|_| !is_over)?;
    let done = steps.iter().filter(|it| it.is_done).count();
    let Told { title, what, .. } = told(next.step);
    Some(parts::card(
        view.say("启用进度", "Getting started"),
        html! {
            p { (badge(Tone::Note, &format!("{done} / {}", steps.len()))) " " b { (view.say("下一步：", "Next: ")) (view.say(title.0, title.1)) } }
            p.soft { (view.say(what.0, what.1)) }
            div.actions { a.button.first href="/first" { (view.say("继续", "Go on")) } }
        },
    ))
}

fn show(ask: &Ask<'_>, _: Any) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let title = view.say("启用向导", "Getting started");
    let Beginning { is_over, steps } = first::show(ask, Nothing {})?;
    let next = steps.iter().find(|it| !it.is_done).map(|it| it.step);
    let done = steps.iter().filter(|it| it.is_done).count();
    let body = html! {
        (parts::heading(title, Some(view.say("从安装到第一条告警被关闭；每一步都按实际情况判断，无需手工勾选。", "From installing to the first alert that was closed; what is done is seen by itself.")),
            Some(html! { (badge(if next.is_none() { Tone::Good } else { Tone::Note }, &format!("{done} / {}", steps.len()))) })))
        @if is_over {
            (parts::notice(Tone::Good, html! { p { (view.say("整条路径已经跑通。剩下的步骤做完即可长期运行。", "The whole way has worked once. What is left below makes it last.")) } }))
        }
        ol.timeline {
            @for it in &steps {
                @let Told { title, what, to, command } = told(it.step);
                li {
                    h2 {
                        (view.say(title.0, title.1)) " "
                        @if it.is_done { (badge(Tone::Good, view.say("已完成", "Done"))) }
                        @else if Some(it.step) == next { (badge(Tone::Note, view.say("下一步", "Next"))) }
                        @else { (badge(Tone::Plain, view.say("待办", "To do"))) }
                    }
                    @if !it.is_done {
                        p.soft { (view.say(what.0, what.1)) }
                        (copied(tongue, command))
                        @if let Some((path, (zh, en))) = to.filter(|(path, _)| *path != "/rules" || view.may(Act::SeeRules)) { p { a href=(path) { (view.say(zh, en)) } } }
                    }
                }
            }
        }
    };
    Ok(view.page(None, title, body))
}
