//! Handing a link out, and taking it back.

use axum::http::header::HOST;
use maud::html;
use serde::Deserialize;

use crate::operators::Act;
use crate::web::api::employees::{self, HandOut, Whom};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Tone, card, choice, facts, text_field};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    let act = Act::ChangeOperators;
    vec![
        page("/people/link", act, ("A link for an employee", "员工查看链接"), show),
        form("/people/link", act, ("Hand out a link", "发放查看链接"), hand_out),
        form("/people/link/end", act, ("Withdraw a link", "撤销查看链接"), end),
    ]
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    whom: String,
    #[serde(default)]
    said: String,
}

#[derive(Deserialize)]
struct Given {
    whom: String,
    days: u32,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Ended {
    whom: String,
    #[serde(default)]
    reason: String,
}

fn title(view: &View<'_>) -> &'static str {
    view.say("员工查看链接", "A link for an employee")
}

fn show(ask: &Ask<'_>, asked: Asked) -> Result<Body, Problem> {
    let view = View::of(ask);
    let whom = asked.whom.trim().to_owned();
    let held = if whom.is_empty() { None } else { Some(employees::show(ask, Whom { whom: whom.clone() })?) };
    let (seven, month) = (view.say("7 天", "7 days"), view.say("30 天", "30 days"));
    let days = [("1", view.say("1 天", "1 day")), ("3", view.say("3 天", "3 days")), ("7", seven), ("30", month)];
    let why = || {
        text_field(
            "reason",
            view.say("理由", "Why"),
            "",
            false,
            Some(view.say("写入审计记录", "Goes into the audit trail")),
        )
    };
    let middle = html! {
        (parts::heading(title(&view), Some(view.say(
            "员工凭此一次性链接查看关于本人的上报记录与现行规则，并可申诉。",
            "With it an employee sees once what was reported about them and by which rules, and may object."
        )), None))
        @if asked.said == "ended" { (parts::notice(Tone::Good, html! { p { (view.say("链接已撤销。", "The link is withdrawn.")) } })) }
        div.columns {
            (card(view.say("发放链接", "Hand out a link"), parts::form(&view, "/people/link", false, html! {
                (text_field("whom", view.say("账号或工号", "Account or employee number"), &whom, true, Some(view.say("如 wwEXAMPLE0001/li.na", "Such as wwEXAMPLE0001/li.na"))))
                (choice("days", view.say("有效期", "Valid for"), "7", &days))
                (why())
                p.hint { (view.say("新链接使之前的链接和正在进行的查看立即失效。", "A new link ends the former one, and a visit that came by it.")) }
                button.first type="submit" { (view.say("生成链接", "Make the link")) }
            })))
            @if let Some(held) = held {
                (card(view.say("现有链接", "The link there is"), html! {
                    (facts([
                        (view.say("账号", "Accounts"), html! { (held.accounts.join(" · ")) }),
                        (view.say("有效至", "Valid until"), html! { @if let Some(until_ms) = held.until_ms { (view.tongue().at(until_ms)) } @else { "—" } }),
                        (view.say("打开于", "Opened"), html! { @if let Some(at_ms) = held.opened_ms { (view.tongue().at(at_ms)) } @else { "—" } }),
                    ]))
                    @if held.until_ms.is_some() {
                        (parts::form(&view, "/people/link/end", false, html! {
                            input type="hidden" name="whom" value=(whom);
                            button.danger type="submit" { (view.say("撤销链接", "Withdraw it")) }
                        }))
                    }
                }))
            }
        }
    };
    Ok(view.page(Some(Room::People), title(&view), middle))
}

fn hand_out(ask: &Ask<'_>, given: Given) -> Result<Body, Problem> {
    let view = View::of(ask);
    let made = employees::hand_out(
        ask,
        HandOut { whom: given.whom, hours: Some(given.days.saturating_mul(24)), reason: given.reason },
    )?;
    let host = ask.heard.parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme = if ask.site.is_secure { "https" } else { "http" };
    let link = format!("{scheme}://{host}{}", made.path);
    let middle = html! {
        (parts::heading(title(&view), Some(&made.account), None))
        (card(view.say("链接只显示这一次", "The link is shown this once"), html! {
            (parts::copied(view.tongue(), &link))
            p { (view.say("请直接交给本人；有效至 ", "Hand it to that person and nobody else; valid until ")) (view.tongue().at(made.until_ms)) (view.say("，只能打开一次。", ", and opens once.")) }
            details { summary { (view.say("显示二维码", "As a square code")) } (parts::square_code(&link)) }
        }))
        p { a.button href="/people/link" { (view.say("再发一个", "Another one")) } }
    };
    Ok(view.page(Some(Room::People), title(&view), middle))
}

fn end(ask: &Ask<'_>, given: Ended) -> Result<Body, Problem> {
    employees::end(ask, employees::End { whom: given.whom, reason: given.reason })?;
    Ok(Body::see("/people/link?said=ended"))
}
