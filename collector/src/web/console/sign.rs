//! Coming in and going: signing in, the one-time secret, signing out.

use maud::{Markup, html};
use serde::Deserialize;

use super::frame;
use super::parts::{self, Tone, field, text_field};
use super::tongue::Tongue;
use super::view::{View, own_path};
use crate::operators::Act;
use crate::web::api::session::{self, Accept, SignIn};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Nothing, Route, form, page};

pub(super) fn routes() -> Vec<Route> {
    vec![
        page("/login", None, ("Sign in", "登录"), login),
        form("/login", None, ("Sign in", "登录"), sign_in).costly(),
        form("/logout", Act::OwnAccount, ("Sign out", "退出"), sign_out),
        page("/welcome", None, ("Set a password", "设置密码"), welcome),
        form("/welcome", None, ("Set a password", "设置密码"), accept).costly(),
        page("/menu", Act::OwnAccount, ("All pages", "全部页面"), menu),
    ]
}

#[derive(Default, Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    secret: String,
    password: String,
    again: String,
    totp: Option<String>,
}

fn login(ask: &Ask<'_>, to: Next) -> Result<Body, Problem> {
    Ok(login_page(ask, "", &to.next, None))
}

fn login_page(ask: &Ask<'_>, name: &str, next: &str, problem: Option<&Problem>) -> Body {
    let view = View::of(ask);
    let tongue = view.tongue();
    let title = tongue.of("登录", "Sign in");
    let middle = html! {
        h1 { (title) }
        @if let Some(problem) = problem { (parts::problem(tongue, problem)) }
        form method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            (text_field("name", tongue.of("用户名", "Name"), name, true, None))
            (password("password", tongue.of("密码", "Password"), "current-password", None))
            (field("code", tongue.of("动态码", "One-time code"), html! {
                input type="text" id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="8"
                    aria-describedby="code-hint";
            }, Some(tongue.of("已启用动态码的账户需要填写", "For those who have set up one-time codes"))))
            button.first type="submit" { (title) }
        }
        p.aside { a href="/welcome" { (tongue.of("首次登录？凭一次性密钥设置密码", "First time? Set a password with your one-time secret")) } }
    };
    frame::bare(&view.visitor, title, middle)
}

fn password(id: &str, label: &str, kind: &str, hint: Option<&str>) -> Markup {
    let described = hint.map(|_| format!("{id}-hint"));
    field(
        id,
        label,
        html! {
            input type="password" id=(id) name=(id) autocomplete=(kind) required aria-describedby=[described];
        },
        hint,
    )
}

fn sign_in(ask: &Ask<'_>, given: Credentials) -> Result<Body, Problem> {
    let asked =
        SignIn { name: given.name.trim().to_owned(), password: given.password, code: given.code.trim().to_owned() };
    let name = asked.name.clone();
    match session::sign_in(ask, asked) {
        Ok(_) => Ok(Body::see(own_path(&given.next))),
        Err(problem) if matches!(problem.kind, Kind::WrongCredentials | Kind::TooManyAttempts) => {
            Ok(login_page(ask, &name, &given.next, Some(&problem)))
        }
        Err(problem) => Err(problem),
    }
}

fn sign_out(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    session::sign_out(ask, Nothing {})?;
    Ok(Body::see("/login"))
}

fn welcome(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    Ok(welcome_page(ask, "", None))
}

/// A link leads here with name and secret behind `#`: what stands there is not sent, and the script puts it into the fields.
fn welcome_page(ask: &Ask<'_>, name: &str, problem: Option<Markup>) -> Body {
    let view = View::of(ask);
    let tongue = view.tongue();
    let title = tongue.of("设置密码", "Set a password");
    let middle = html! {
        h1 { (title) }
        p.sub { (tongue.of("使用邀请您的人交给您的一次性密钥。", "With the one-time secret you were handed.")) }
        @if let Some(problem) = problem { (problem) }
        form method="post" action="/welcome" data-fill-from-hash {
            (text_field("name", tongue.of("用户名", "Name"), name, true, None))
            (text_field("secret", tongue.of("一次性密钥", "One-time secret"), "", true, None))
            (password("password", tongue.of("新密码", "New password"), "new-password",
                Some(tongue.of("至少 12 个字符；一句话比一个词更好", "At least 12 characters; a sentence is better than a word"))))
            (password("again", tongue.of("再次输入", "Once more"), "new-password", None))
            label.check { input type="checkbox" name="totp" value="yes"; (tongue.of("同时启用动态码（管理员必须启用）", "Set up one-time codes too (administrators always do)")) }
            button.first type="submit" { (title) }
        }
    };
    frame::bare(&view.visitor, title, middle)
}

fn accept(ask: &Ask<'_>, given: Secret) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let name = given.name.trim().to_owned();
    if given.password != given.again {
        let told = html! { p { (tongue.of("两次输入的密码不一致。", "The two passwords are not the same.")) } };
        return Ok(welcome_page(ask, &name, Some(parts::notice(Tone::Bad, told))));
    }
    let asked = Accept {
        name: name.clone(),
        secret: given.secret.trim().to_owned(),
        password: given.password,
        totp: given.totp.is_some(),
    };
    match session::accept(ask, asked) {
        Ok(set) => Ok(frame::bare(&view.visitor, tongue.of("已就绪", "Ready"), ready(tongue, set.otpauth.as_deref()))),
        Err(problem) if problem.kind == Kind::Broken => Err(problem),
        Err(problem) => Ok(welcome_page(ask, &name, Some(parts::problem(tongue, &problem)))),
    }
}

fn ready(tongue: Tongue, otpauth: Option<&str>) -> Markup {
    html! {
        h1 { (tongue.of("密码已设置", "Your password is set")) }
        @if let Some(otpauth) = otpauth { (codes(tongue, otpauth)) }
        p { a.button.first href="/login" { (tongue.of("去登录", "Sign in")) } }
    }
}

/// What an authenticator is told, for the phone and for those who type.
pub(super) fn codes(tongue: Tongue, otpauth: &str) -> Markup {
    let seed = otpauth.split_once("secret=").map_or("", |(_, rest)| rest.split('&').next().unwrap_or_default());
    html! {
        p { (tongue.of("用身份验证器扫描此码，只显示这一次：", "Scan this with your authenticator; it is shown this once:")) }
        (parts::square_code(otpauth))
        (parts::copied(tongue, seed))
    }
}

fn menu(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let view = View::of(ask);
    Ok(view.page(None, view.say("全部页面", "All pages"), frame::menu(&view)))
}
