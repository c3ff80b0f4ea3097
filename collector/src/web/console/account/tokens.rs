//! One's API tokens: for scripts, with part of what one may.

use maud::{Markup, html};
use serde::Deserialize;

use super::shown;
use crate::operators::Act;
use crate::web::api::operators::Why;
use crate::web::api::page::Turn;
use crate::web::api::tokens::{self, New};
use crate::web::ask::Ask;
use crate::web::console::lists::deed;
use crate::web::console::parts::{self, Table, Tone, card, copied, field, text_field};
use crate::web::console::settings::{token_heads, token_row};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::Body;

#[derive(Deserialize)]
pub(super) struct Wanted {
    label: String,
    #[serde(default)]
    scope: Vec<String>,
    days: u32,
}

pub(super) fn show(view: &View<'_>) -> Result<Markup, Problem> {
    let title = view.say("我的 API 令牌", "My API tokens");
    let scopes: Vec<Act> = Act::ALL.into_iter().filter(|act| act.is_for_tokens() && view.may(*act)).collect();
    let all = tokens::list(view.ask, Turn { cursor: None, limit: Some(100) })?.items;
    let rows: Vec<_> = all
        .iter()
        .map(|token| {
            let withdraw = html! {
                @if token.state == "active" {
                    (deed(view, &format!("/account/tokens/{}/withdraw", token.id), None, html! { button.quiet type="submit" { (view.say("撤销", "Withdraw")) } }))
                }
            };
            token_row(view, token).into_iter().chain([withdraw]).collect()
        })
        .collect();
    Ok(card(
        title,
        html! {
            @if rows.is_empty() { p.soft { (view.say("没有令牌。脚本用令牌访问接口，权限不超过您本人。", "None. Scripts come in with a token, and may at most what you may.")) } }
            @else { (Table { caption: title, heads: token_heads(view), rows }.show()) }
            @if !scopes.is_empty() {
                details {
                    summary { (view.say("创建令牌", "Make a token")) }
                    (parts::form(view, "/account/tokens", false, html! {
                        div.columns {
                            (text_field("label", view.say("用途", "What for"), "", true, None))
                            (field("days", view.say("有效天数", "For how many days"), html! { input type="number" id="days" name="days" value="90" min="1" max="366" required; }, None))
                        }
                        fieldset.row {
                            legend { (view.say("可以做什么", "What it may do")) }
                            @for act in &scopes { label.check { input type="checkbox" name="scope" value=(act.as_str()); code { (act.as_str()) } } }
                        }
                        button type="submit" { (view.say("创建", "Make it")) }
                    }))
                }
            }
        },
    ))
}

pub(super) fn make(ask: &Ask<'_>, wanted: Wanted) -> Result<Body, Problem> {
    let scopes = wanted
        .scope
        .iter()
        .map(|word| Act::parse(word).ok_or_else(|| Problem::malformed(format!("{word:?} is nothing a token may do"))));
    let scopes = scopes.collect::<Result<_, _>>()?;
    let made = tokens::make(ask, New { label: wanted.label, scopes, days: wanted.days })?;
    let view = View::of(ask);
    let told = card(
        view.say("新令牌", "The new token"),
        html! {
            (parts::notice(Tone::Warn, html! { p { (view.say("只显示这一次，请立即保存。", "It is shown this once; keep it now.")) } }))
            (copied(view.tongue(), &made.token))
            p.hint { code { "Authorization: Bearer …" } " · " (view.say("有效至 ", "until ")) (view.tongue().at(made.expires_ms)) }
        },
    );
    shown(ask, &told)
}

pub(super) fn withdraw(ask: &Ask<'_>, _: Any) -> Result<Body, Problem> {
    tokens::withdraw(ask, Why { reason: String::new() })?;
    Ok(Body::see("/account"))
}

#[derive(Deserialize)]
pub(super) struct Any {}
