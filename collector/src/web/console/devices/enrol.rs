//! Enrolment: who waits, the strings that let devices in, which assets are expected.

use maud::{Markup, html};
use serde::Deserialize;

use super::said;
use crate::admin::Terms;
use crate::commands::queue::parse;
use crate::members::{self, Applicant, ExpectedView, TokenView};
use crate::operators::Act;
use crate::web::api::enrolment::{self, Codes, LIST_BYTES_MAX, New};
use crate::web::api::operators::Why;
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::lists::{Part, deed, link, or_dash};
use crate::web::console::parts::{self, Table, Tone, badge, card, choice, field, tabs, text_field, tile};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    let change = Act::ChangeDevices;
    vec![
        page("/devices/enrol", Act::SeeDevices, ("Enrolment", "设备接入"), show),
        form("/devices/enrol/decide", change, ("Decide about who waits", "审批待接入设备"), decide),
        form("/devices/enrol/token", change, ("Make an enrolment token", "创建注册码"), make),
        form("/devices/enrol/token/{token}/revoke", change, ("Withdraw an enrolment token", "撤销注册码"), withdraw),
        form("/devices/enrol/expected", change, ("Replace the list of expected assets", "导入预期资产"), import)
            .with_files(LIST_BYTES_MAX),
    ]
}

#[derive(Default, Deserialize)]
struct Which {
    #[serde(default)]
    tab: String,
    #[serde(default)]
    state: String,
    page: Option<usize>,
    said: Option<String>,
}

#[derive(Deserialize)]
struct Decision {
    #[serde(default)]
    code: Vec<String>,
    verdict: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Wanted {
    group: String,
    #[serde(default)]
    site: String,
    hours: u32,
    uses: u32,
    terms: Terms,
    #[serde(default)]
    address: String,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    reason: String,
}

fn show(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    shown(ask, &which, &html! {})
}

fn shown(ask: &Ask<'_>, which: &Which, told: &Markup) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = view.say("设备接入", "Enrolment");
    let derived = ask.derived()?;
    let waiting = members::queue(derived, false)?.len();
    let here = match which.tab.as_str() {
        "tokens" => "tokens",
        "expected" => "expected",
        _ => "queue",
    };
    let tab = |name: &'static str, words| (link("/devices/enrol", &[("tab", name)]), words, name == here);
    let queue = format!("{} {waiting}", view.say("待审批", "Waiting"));
    let ways = [
        tab("queue", queue.as_str()),
        tab("tokens", view.say("注册码", "Tokens")),
        tab("expected", view.say("预期资产", "Expected assets")),
    ];
    let inside = match here {
        "tokens" => tokens(&view, members::tokens(derived, ask.now_ms)?, which),
        "expected" => expected(&view, members::expected(derived)?, which),
        _ => applicants(&view, &members::queue(derived, false)?),
    };
    let sentence = view.say(
        "设备凭注册码接入；不放心时逐台审批。",
        "Devices enrol with a token; where that is not enough, each is approved.",
    );
    let body = html! {
        (parts::heading(title, Some(sentence), Some(html! { a.button href="/devices" { (Room::Devices.title(view.tongue())) } })))
        (tabs(title, &ways))
        (said(&view, which.said.as_ref()))
        (told)
        (inside)
    };
    Ok(view.page(Some(Room::Devices), title, body))
}

fn applicants(view: &View<'_>, all: &[Applicant]) -> Markup {
    let title = view.say("等待审批的设备", "Devices that wait");
    if all.is_empty() {
        return card(
            title,
            parts::empty(
                view.say("没有设备在等待", "No device waits"),
                view.say(
                    "凭“逐台审批”的注册码接入的设备会出现在这里。",
                    "Devices with a token that needs approval show up here.",
                ),
                None,
            ),
        );
    }
    let tongue = view.tongue();
    let may = view.may(Act::ChangeDevices);
    let rows = all.iter().map(|it| {
        vec![
            html! {
                @if may { label.check { input type="checkbox" name="code" value=(it.code); code { (it.code) } } } @else { code { (it.code) } }
            },
            or_dash(&it.hostname),
            html! {
                (or_dash(&it.asset)) " "
                @if it.contested { (badge(Tone::Bad, view.say("资产号被占用", "Taken by another"))) }
                @else if it.expected { (badge(Tone::Good, view.say("在清单上", "Expected"))) }
                @else { (badge(Tone::Plain, view.say("不在清单上", "Not on the list"))) }
            },
            or_dash(&it.site),
            or_dash(&it.group),
            html! { span.id { (it.address) } },
            tongue.ago(it.asked_ms, view.ask.now_ms),
        ]
    });
    let heads = tongue.of(
        vec!["核对码", "主机名", "资产号", "站点", "分组", "来自", "申请于"],
        vec!["Code", "Hostname", "Asset", "Site", "Group", "From", "Asked"],
    );
    let table = Table { caption: title, heads, rows: rows.collect() }.show();
    card(
        title,
        html! {
            p.soft { (view.say("核对码与设备上显示的一致，才是那台设备。", "It is this device if its screen shows the same code.")) }
            @if may {
                (deed(view, "/devices/enrol/decide", None, html! {
                    (table)
                    div.filters {
                        (field("reason", view.say("理由（可不填）", "Reason (may be left out)"), html! { input type="text" id="reason" name="reason" maxlength="300"; }, None))
                        button.first type="submit" name="verdict" value="admit" { (view.say("批准所选", "Admit those")) }
                        button.danger type="submit" name="verdict" value="reject" { (view.say("拒绝所选", "Reject those")) }
                    }
                }))
            } @else { (table) }
        },
    )
}

fn tokens(view: &View<'_>, all: Vec<TokenView>, which: &Which) -> Markup {
    let tongue = view.tongue();
    let title = view.say("注册码", "Tokens");
    let part = Part::of(all, which.page);
    let may = view.may(Act::ChangeDevices);
    let rows = part.items.iter().map(|it| {
        let (tone, state) = match it.state {
            "valid" => (Tone::Good, view.say("可用", "Valid")),
            "expired" => (Tone::Plain, view.say("已过期", "Expired")),
            "used-up" => (Tone::Plain, view.say("已用完", "Used up")),
            _ => (Tone::Plain, view.say("已撤销", "Withdrawn")),
        };
        vec![
            html! { code { (it.token.get(..12).unwrap_or_default()) } },
            badge(tone, state),
            html! { (terms_word(view, it.terms)) },
            or_dash(&it.group),
            or_dash(&it.site),
            html! { (it.uses) " / " (it.uses_max) },
            tongue.at(it.expires_ms),
            html! {
                (it.made_by)
                @if may && it.state == "valid" {
                    (deed(view, &format!("/devices/enrol/token/{}/revoke", it.token), Some(view.say("撤销这个注册码？已接入的设备不受影响。", "Withdraw this token? Devices that have enrolled stay.")), html! {
                        button.quiet type="submit" { (view.say("撤销", "Withdraw")) }
                    }))
                }
            },
        ]
    });
    let heads = tongue.of(
        vec!["编号", "状态", "放行", "分组", "站点", "#已用", "有效至", "创建人"],
        vec!["Id", "State", "For", "Group", "Site", "#Used", "Until", "Made by"],
    );
    let rows: Vec<_> = rows.collect();
    let is_empty = rows.is_empty();
    html! {
        @if may { (create(view)) }
        (card(title, html! {
            @if is_empty {
                (parts::empty(view.say("还没有注册码", "No tokens yet"), view.say("创建一个，交给要安装设备端的人。", "Make one and hand it to whoever installs the agent."), None))
            } @else { (Table { caption: title, heads, rows }.show()) }
            (part.turn(view, |number| link("/devices/enrol", &[("tab", "tokens"), ("page", &number.to_string())])))
        }))
    }
}

fn terms_word(view: &View<'_>, terms: &str) -> &'static str {
    match terms {
        "open" => view.say("持码即可", "Whoever shows it"),
        "listed" => view.say("清单内资产", "Assets of the list"),
        "approval" => view.say("逐台审批", "Each is approved"),
        _ => "—",
    }
}

fn create(view: &View<'_>) -> Markup {
    let hours = [
        ("24", view.say("24 小时", "24 hours")),
        ("72", view.say("3 天", "3 days")),
        ("168", view.say("7 天", "7 days")),
        ("504", view.say("21 天（须绑定清单或审批）", "21 days (bound to list or approval)")),
        ("2160", view.say("90 天（须绑定清单或审批）", "90 days (bound to list or approval)")),
    ];
    let terms = ["open", "listed", "approval"].map(|terms| (terms, terms_word(view, terms)));
    let addresses = &view.ask.site.desk.config.enrolment.addresses;
    card(
        view.say("创建注册码", "Make a token"),
        parts::form(
            view,
            "/devices/enrol/token",
            false,
            html! {
                div.columns {
                    (text_field("group", view.say("分组", "Group"), "default", true, Some(view.say("决定用哪一套策略", "Decides which policy it gets"))))
                    (text_field("site", view.say("站点", "Site"), "", false, Some(view.say("所在分支机构，可不填", "The branch; may be left out"))))
                    (field("uses", view.say("可用次数", "Devices"), html! { input type="number" id="uses" name="uses" value="1" min="1" max="1000000" required; }, None))
                    (choice("hours", view.say("有效期", "Lasts"), "24", &hours))
                    (choice("terms", view.say("放行", "Who is let in at once"), "open", &terms))
                    (text_field("address", view.say("采集端地址", "Address of the collector"), &addresses.join(" "), false,
                        Some(view.say("设备从哪里连过来，如 collector.example:7443；留空用配置", "Where devices reach it, like collector.example:7443; the configuration's where empty"))))
                }
                button.first type="submit" { (view.say("创建", "Make it")) }
            },
        ),
    )
}

fn expected(view: &View<'_>, all: Vec<ExpectedView>, which: &Which) -> Markup {
    let title = view.say("预期资产", "Expected assets");
    let tongue = view.tongue();
    let count = |state: &str| all.iter().filter(|it| it.state == state).count();
    let words = [
        ("missing", view.say("未接入", "Missing"), Tone::Warn),
        ("waiting", view.say("等待审批", "Waiting"), Tone::Note),
        ("enrolled", view.say("已发证书", "Enrolled"), Tone::Note),
        ("seen", view.say("已上线", "Seen"), Tone::Good),
    ];
    let word = |state: &str| words.iter().find(|it| it.0 == state).map_or((Tone::Plain, "—"), |it| (it.2, it.1));
    let total = all.len();
    let numbers = words.map(|(state, name, tone)| (state, name, count(state), tone));
    let part =
        Part::of(all.into_iter().filter(|it| which.state.is_empty() || it.state == which.state).collect(), which.page);
    let rows = part.items.iter().map(|it| {
        let (tone, state) = word(it.state);
        vec![
            html! { span.id { (it.asset) } },
            badge(tone, state),
            or_dash(&it.site),
            or_dash(&it.group),
            html! { @match &it.device { Some(device) => { a.id href={ "/devices/" (device) } { (device) } } None => { span.faint { "—" } } } },
        ]
    });
    let heads =
        tongue.of(vec!["资产号", "状态", "站点", "分组", "设备"], vec!["Asset", "State", "Site", "Group", "Device"]);
    let rows: Vec<_> = rows.collect();
    html! {
        @if total > 0 {
            div.tiles {
                @for (state, name, number, tone) in numbers {
                    (tile(name, &format!("{number} / {total}"), None, Some(&link("/devices/enrol", &[("tab", "expected"), ("state", state)])), if number == 0 { Tone::Plain } else { tone }))
                }
            }
        }
        (card(title, html! {
            @if total == 0 {
                (parts::empty(view.say("还没有清单", "There is no list"), view.say("导入资产清单后，可以看到还差哪些设备没有接入。", "With a list of assets you see which devices are still missing."), None))
            } @else { (Table { caption: title, heads, rows }.show()) }
            (part.turn(view, |number| link("/devices/enrol", &[("tab", "expected"), ("state", &which.state), ("page", &number.to_string())])))
        }))
        @if view.may(Act::ChangeDevices) {
            (card(view.say("导入清单", "Import a list"), html! {
                form method="post" action="/devices/enrol/expected" enctype="multipart/form-data" data-confirm=(view.say("新清单会替换现有清单。继续吗？", "It takes the place of the list there is. Go on?")) {
                    (parts::mark(view))
                    (field("list", view.say("CSV 文件", "CSV file"), html! { input type="file" id="list" name="list" accept=".csv,text/csv" required aria-describedby="list-hint"; },
                        Some(view.say("列：asset、group、site（后两列可省略），UTF-8", "Columns: asset, group, site (the last two may be left out), UTF-8"))))
                    button type="submit" { (view.say("导入", "Import")) }
                }
            }))
        }
    }
}

fn decide(ask: &Ask<'_>, decision: Decision) -> Result<Body, Problem> {
    let codes = Codes { codes: decision.code, reason: decision.reason };
    match decision.verdict.as_str() {
        "admit" => enrolment::admit(ask, codes)?,
        "reject" => enrolment::reject(ask, codes)?,
        _ => return Err(Problem::malformed("admit or reject")),
    };
    Ok(Body::see("/devices/enrol?said=done"))
}

fn make(ask: &Ask<'_>, wanted: Wanted) -> Result<Body, Problem> {
    let addresses = wanted.address.split([' ', ',', ';', '，']).filter(|it| !it.is_empty()).map(str::to_owned);
    let Wanted { group, site, hours, uses, terms, .. } = wanted;
    let new = New { group, site, hours, uses, terms, addresses: addresses.collect(), reason: String::new() };
    let made = enrolment::make(ask, new)?;
    let view = View::of(ask);
    let told = card(
        view.say("注册码已创建", "The token"),
        html! {
            (parts::notice(Tone::Warn, html! { p { (view.say("只显示这一次。通过文件或设备管理分发，不要写在命令行上。", "It is shown this once. Hand it over as a file or through device management, never on a command line.")) } }))
            (parts::copied(view.tongue(), &made.token))
            p { (view.say("在设备上，把它存成 token.txt 后执行：", "On the device, with it in token.txt:")) }
            (parts::copied(view.tongue(), "watchpost-agent enroll --token-file token.txt"))
            p.soft { (view.say("有效至 ", "Until ")) (view.tongue().at(made.expires_ms)) }
        },
    );
    shown(ask, &Which { tab: "tokens".into(), ..Which::default() }, &told)
}

fn withdraw(ask: &Ask<'_>, said: Said) -> Result<Body, Problem> {
    enrolment::withdraw(ask, Why { reason: said.reason })?;
    Ok(Body::see("/devices/enrol?tab=tokens&said=done"))
}

fn import(ask: &Ask<'_>, said: Said) -> Result<Body, Problem> {
    let file = ask.file("list").ok_or_else(|| Problem::malformed("choose a file"))?;
    let text = std::str::from_utf8(&file.bytes)
        .map_err(|_| Problem::malformed("the list is not UTF-8; save it as CSV in UTF-8"))?;
    let devices = parse(text)
        .map_err(|mistakes| Problem::malformed(mistakes.into_iter().take(20).collect::<Vec<_>>().join("; ")))?;
    enrolment::expect_these(ask, devices, &said.reason)?;
    Ok(Body::see("/devices/enrol?tab=expected&said=done"))
}
