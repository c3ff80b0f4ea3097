//! What is about oneself: a page for employees whose messages are looked at on a machine that is not theirs. They come in by a link that was
//! handed to them, see what was told about them and by which rules, and may object.

mod file;
mod hand_out;
mod mine;
mod shown;

use maud::{Markup, html};
use serde::Deserialize;

use super::frame;
use super::parts::{self, field, text_field};
use super::view::View;
use crate::admin::What;
use crate::alerts::{self, desk};
use crate::my_data::links::name_of;
use crate::web::ask::Ask;
use crate::web::auth::MARK_FIELD;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Nothing, Route, form, page};
use crate::web::visits::{self, Visit};
use mine::Mine;

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/me", None, ("What is about oneself", "我的数据"), show).costly(),
        form("/me/open", None, ("Open with a link", "凭链接打开"), open).costly(),
        form("/me/leave", None, ("Leave", "离开"), leave),
        form("/me/appeal", None, ("Object to a finding", "对一条记录提出申诉"), appeal),
        page("/me/data.json", None, ("All of it as JSON", "下载全部（JSON）"), file::json).costly(),
        page("/me/data.csv", None, ("What was told as a table", "下载上报记录（CSV）"), file::csv).costly(),
    ]
    .into_iter()
    .chain(hand_out::routes())
    .collect()
}

#[derive(Deserialize)]
struct Looked {
    #[serde(default)]
    said: String,
    #[serde(default)]
    from: usize,
}

#[derive(Deserialize)]
struct Opening {
    account: String,
    secret: String,
}

#[derive(Deserialize)]
struct Objection {
    alert: String,
    #[serde(default)]
    text: String,
}

fn show(ask: &Ask<'_>, looked: Looked) -> Result<Body, Problem> {
    let Some(visit) = visits::visit(ask)? else { return Ok(way_in(ask, "", None)) };
    let view = View::of(ask);
    let mine = Mine::read(ask, &visit)?;
    let middle = shown::all(&view, &visit, &mine, &looked.said, looked.from)?;
    Ok(frame::own(&view.visitor, view.say("我的数据", "My data"), middle))
}

/// A link leads here with account and secret behind `#`: what stands there is not sent, and the script puts it into the fields.
fn way_in(ask: &Ask<'_>, account: &str, problem: Option<&Problem>) -> Body {
    let view = View::of(ask);
    let title = view.say("我的数据", "My data");
    let hint = view.say("如 wwEXAMPLE0001/li.na", "Such as wwEXAMPLE0001/li.na");
    let middle = html! {
        h1 { (title) }
        p.sub { (view.say(
            "查看依照哪些规则上报了关于您的哪些记录，并可提出申诉。请使用人事或管理员交给您的一次性链接。",
            "See what was reported about you and by which rules, and object. Use the one-time link that HR or an administrator handed you."
        )) }
        @if let Some(problem) = problem { (refused(&view, problem)) }
        form method="post" action="/me/open" data-fill-from-hash {
            (text_field("account", view.say("企业微信账号", "Your account"), account, true, Some(hint)))
            (field("secret", view.say("一次性密钥", "One-time secret"), html! {
                input type="password" id="secret" name="secret" autocomplete="off" required;
            }, Some(view.say("链接中已包含，通常无需填写", "The link brings it along"))))
            button.first type="submit" { (view.say("打开我的数据", "Open")) }
        }
        p.hint { (view.say(
            "链接只能打开一次。若您从未打开却提示无效，说明它已过期、已被新链接取代，或已被他人打开——请告知职工代表或审计，并索取新的链接。",
            "A link opens once. If you never opened it and it does not work, it has ended, a newer one has replaced it, or somebody else has \
             opened it: tell the works council or audit, and ask for a new one."
        )) }
    };
    frame::bare(&view.visitor, title, middle)
}

fn refused(view: &View<'_>, problem: &Problem) -> Markup {
    if problem.kind != Kind::WrongCredentials {
        return parts::problem(view.tongue(), problem);
    }
    html! {
        div.notice.bad.problem role="alert" {
            p.title { (view.say("链接无效", "The link does not work")) }
            p { (view.say("账号或密钥有误，或者链接已打开过、已过期、已被取代。", "Account or secret is wrong, or the link was opened before, has ended or was replaced.")) }
        }
    }
}

fn open(ask: &Ask<'_>, given: Opening) -> Result<Body, Problem> {
    match visits::open(ask, &given.account, &given.secret) {
        Ok(()) => Ok(Body::see("/me")),
        Err(problem) if matches!(problem.kind, Kind::WrongCredentials | Kind::TooManyAttempts) => {
            Ok(way_in(ask, given.account.trim(), Some(&problem)))
        }
        Err(problem) => Err(problem),
    }
}

fn leave(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    if let Some(visit) = visits::visit(ask)? {
        visits::refuse_unmarked(ask, &visit)?;
        visits::leave(ask, &visit)?;
    }
    Ok(Body::see("/me"))
}

fn appeal(ask: &Ask<'_>, given: Objection) -> Result<Body, Problem> {
    let Some(visit) = visits::visit(ask)? else { return Ok(Body::see("/me")) };
    visits::refuse_unmarked(ask, &visit)?;
    let view = View::of(ask);
    let id = hex::decode(&given.alert).unwrap_or_default();
    let alert = alerts::find(ask.derived()?, &id)?.filter(|alert| visit.accounts.contains(&alert.person));
    // Of others' it is not even said that they are there.
    let alert = alert.ok_or(Problem::new(Kind::NotFound))?;
    if !mine::may_object(alert.appeal) {
        let told = view.say("对这条记录的申诉已提出或已裁定。", "An objection to it is open, or was decided.");
        return Err(Problem::new(Kind::NotPossible).because(told));
    }
    if given.text.trim().is_empty() {
        return Err(Problem::malformed(view.say("请写明理由。", "Say why you object.")));
    }
    let deed = desk::Deed { alerts: vec![alert.alert], step: desk::What::Appeal, note: given.text };
    let alerts = deed.alerts.clone();
    let entries = ask.have_done_by(&name_of(&visit.account), What::Alert { deed }, "")?;
    ask.until_shown(&entries)?;
    if !desk::unchanged(&ask.derived_anew()?, &alerts, &entries)?.is_empty() {
        return Err(Problem::new(Kind::NotPossible));
    }
    Ok(Body::see("/me?said=appealed"))
}

/// A form of this visit.
fn marked(visit: &Visit, action: &str, inside: Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name=(MARK_FIELD) value=(crate::web::auth::mark(&visit.cookie));
            (inside)
        }
    }
}

/// Whoever asks for a file without having come in is asked to.
fn visit_of(ask: &Ask<'_>) -> Result<Option<Visit>, Problem> {
    visits::visit(ask)
}

/// The way in, for those who have not.
fn outside(_: Nothing) -> Body {
    Body::see("/me")
}
