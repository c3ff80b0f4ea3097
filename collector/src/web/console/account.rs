//! What is one's own: who one is, password, one-time codes, API tokens.

mod tokens;

use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{self, Room};
use super::parts::{self, Tone, card, facts, field};
use super::sign;
use super::view::View;
use crate::operators::Act;
use crate::web::api::session::{self, NewPassword, Proof};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    let own = Act::OwnAccount;
    vec![
        page("/account", own, ("One's account", "我的账户"), show),
        form("/account/password", own, ("Change one's password", "修改密码"), change_password).costly(),
        form("/account/totp", own, ("Set up one-time codes", "启用动态码"), enrol_totp).costly(),
        form("/account/tokens", own, ("Make an API token", "创建 API 令牌"), tokens::make),
        form("/account/tokens/{token}/withdraw", own, ("Withdraw an API token", "撤销 API 令牌"), tokens::withdraw),
    ]
}

#[derive(Deserialize)]
struct Passwords {
    present: String,
    new: String,
    again: String,
}

#[derive(Deserialize)]
struct Password {
    password: String,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    said: String,
}

fn show(ask: &Ask<'_>, asked: Said) -> Result<Body, Problem> {
    let saved = View::of(ask).say("密码已修改。", "Your password is changed.");
    let told = html! { @if asked.said == "saved" { (parts::notice(Tone::Good, html! { p { (saved) } })) } };
    shown(ask, &told)
}

fn shown(ask: &Ask<'_>, told: &Markup) -> Result<Body, Problem> {
    let view = View::of(ask);
    let (tongue, me) = (view.tongue(), &ask.caller()?.operator);
    let title = Room::Account.title(tongue);
    let secret = |id: &str, label: &str, kind: &str| {
        field(id, label, html! { input type="password" id=(id) name=(id) autocomplete=(kind) required; }, None)
    };
    let body = html! {
        (parts::heading(title, None, None))
        (told)
        @if !me.totp && me.grant.role.needs_totp() {
            (parts::notice(Tone::Warn, html! { p { (view.say("管理员须先启用动态码，才能使用其他页面。", "An administrator sets up one-time codes before anything else.")) } }))
        }
        div.columns {
            (card(view.say("身份", "Who you are"), facts([
                (view.say("用户名", "Name"), html! { (me.operator) }),
                (view.say("角色", "Role"), html! { (frame::role(tongue, me.grant.role)) }),
                (view.say("本人企业微信账号", "Your own accounts"), html! { @if me.grant.accounts.is_empty() { "—" } @for account in &me.grant.accounts { span.id { (account) } " " } }),
                (view.say("动态码", "One-time codes"), html! { (if me.totp { view.say("已启用", "Set up") } else { view.say("未启用", "Not set up") }) }),
            ])))
            (card(view.say("修改密码", "Change the password"), parts::form(&view, "/account/password", false, html! {
                (secret("present", view.say("当前密码", "Present password"), "current-password"))
                (secret("new", view.say("新密码", "New password"), "new-password"))
                (secret("again", view.say("再次输入", "Once more"), "new-password"))
                button type="submit" { (view.say("修改密码", "Change the password")) }
            })))
            (card(view.say("动态码", "One-time codes"), parts::form(&view, "/account/totp", false, html! {
                p { (view.say("重新设置后，旧的动态码立即失效。", "Setting them up anew ends the former ones at once.")) }
                (secret("password", view.say("当前密码", "Present password"), "current-password"))
                button type="submit" { (if me.totp { view.say("重新设置", "Set up anew") } else { view.say("启用", "Set up") }) }
            })))
        }
        (tokens::show(&view)?)
    };
    Ok(view.page(Some(Room::Account), title, body))
}

fn change_password(ask: &Ask<'_>, given: Passwords) -> Result<Body, Problem> {
    if given.new != given.again {
        return Err(Problem::malformed("the two new passwords are not the same"));
    }
    session::change_password(ask, NewPassword { present: given.present, new: given.new })?;
    Ok(Body::see("/account?said=saved"))
}

fn enrol_totp(ask: &Ask<'_>, given: Password) -> Result<Body, Problem> {
    let set = session::enrol_totp(ask, Proof { password: given.password })?;
    let told = set.otpauth.map(|otpauth| sign::codes(View::of(ask).tongue(), &otpauth)).unwrap_or_default();
    shown(ask, &card(View::of(ask).say("新的动态码", "New one-time codes"), told))
}
