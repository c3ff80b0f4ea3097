//! Operators: who they are, what they may do, how they come in.

use maud::{Markup, html};
use serde::Deserialize;

use super::{Which, shown};
use crate::operators::{self, Act, Grant, Operator, Role, Sample, Scope};
use crate::web::api::operators::{self as api, Invitation, Invite, Regrant, Why};
use crate::web::api::page::Turn;
use crate::web::api::tokens::Token;
use crate::web::ask::Ask;
use crate::web::console::frame::{self, Room};
use crate::web::console::lists::{Part, deed, link, said};
use crate::web::console::parts::{self, Table, Tone, badge, card, choice, copied, facts, field, text_field};
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, form, page};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) fn routes() -> Vec<Route> {
    let change = Act::ChangeOperators;
    vec![
        page("/settings/operators/{operator}", Act::SeeOperators, ("An operator", "操作员"), show),
        form("/settings/operators", change, ("Invite an operator", "邀请操作员"), invite),
        form("/settings/operators/{operator}/grant", change, ("Change what somebody may do", "变更权限"), grant),
        form("/settings/operators/{operator}/disable", change, ("Keep somebody out", "停用操作员"), disable),
        form("/settings/operators/{operator}/enable", change, ("Let somebody in again", "启用操作员"), enable),
        form("/settings/operators/{operator}/reset", change, ("Have somebody set a password anew", "重置凭据"), reset),
        form(
            "/settings/operators/{operator}/tokens/{token}/withdraw",
            change,
            ("Withdraw somebody's API token", "撤销操作员的 API 令牌"),
            withdraw,
        ),
    ]
}

/// What somebody may do, as a form has it.
#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    operator: String,
    role: Role,
    #[serde(default)]
    scopes: String,
    export: Option<String>,
    #[serde(default)]
    accounts: String,
    #[serde(default)]
    per_cent: String,
    #[serde(default)]
    days: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Told {
    said: Option<String>,
}

impl Granted {
    fn grant(&self, now_ms: i64) -> Result<Grant, Problem> {
        let lines = self.scopes.lines().map(str::trim).filter(|line| !line.is_empty());
        let scope = |line: &str| {
            let (department, site) = line.rsplit_once('/').unwrap_or((line, ""));
            Scope { department: department.trim().to_owned(), site: site.trim().to_owned() }
        };
        let accounts = self.accounts.split_whitespace().map(str::to_owned).collect();
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
        let sample = match (number(&self.per_cent), number(&self.days)) {
            (None, _) => None,
            (Some(per_cent), Some(days)) => Some(Sample { per_cent, until_ms: now_ms + i64::from(days) * DAY_MS }),
            (Some(_), None) => return Err(Problem::malformed("a sample ends after a number of days")),
        };
        let is_auditor = self.role == Role::Auditor;
        Ok(Grant {
            role: self.role,
            scopes: lines.map(scope).collect(),
            export: self.export.is_some(),
            accounts,
            sample: sample.filter(|_| is_auditor),
        })
    }
}

fn state(view: &View<'_>, operator: &Operator) -> Markup {
    match operator.state {
        "active" => badge(Tone::Good, view.say("启用", "Active")),
        "invited" => badge(Tone::Note, view.say("已邀请", "Invited")),
        _ => badge(Tone::Plain, view.say("已停用", "Disabled")),
    }
}

fn scopes(view: &View<'_>, grant: &Grant) -> Markup {
    let all = view.say("全部", "All");
    let or_all = |text: &str| if text.is_empty() { all.to_owned() } else { text.to_owned() };
    html! {
        @for scope in grant.scopes.iter().take(4) { (or_all(&scope.department)) " × " (or_all(&scope.site)) br; }
        @if grant.scopes.len() > 4 { small { "+" (grant.scopes.len() - 4) } }
        @if grant.scopes.is_empty() { span.faint { "—" } }
    }
}

pub(super) fn list(view: &View<'_>, number: Option<usize>) -> Result<Markup, Problem> {
    let tongue = view.tongue();
    let part = Part::of(operators::list(view.ask.log().connection())?, number);
    let rows = part.items.iter().map(|operator| {
        vec![
            html! { a href={ "/settings/operators/" (operator.operator) } data-row { b { (operator.operator) } } },
            state(view, operator),
            html! { (frame::role(tongue, operator.grant.role)) },
            scopes(view, &operator.grant),
            html! { @if operator.totp { (badge(Tone::Good, view.say("已启用", "On"))) } @else { (badge(Tone::Plain, view.say("未启用", "Off"))) } },
            html! { @match operator.signed_in_ms { Some(ms) => { (tongue.ago(ms, view.ask.now_ms)) } None => { span.faint { "—" } } } },
        ]
    });
    let heads = tongue.of(
        vec!["用户名", "状态", "角色", "部门 × 站点", "动态码", "最近登录"],
        vec!["Name", "State", "Role", "Department × site", "Codes", "Came in"],
    );
    let title = view.say("操作员", "Operators");
    Ok(html! {
        (card(title, html! {
            (Table { caption: title, heads, rows: rows.collect() }.show())
            (part.turn(view, |number| link("/settings", &[("tab", "operators"), ("page", &number.to_string())])))
        }))
        @if view.may(Act::ChangeOperators) {
            (card(view.say("邀请操作员", "Invite an operator"), parts::form(view, "/settings/operators", false, html! {
                (text_field("operator", view.say("用户名", "Name"), "", true, Some(view.say("登录用，如 li.na", "They sign in with it, like li.na"))))
                (fields(view, &Grant::of(Role::Reviewer)))
                button.first type="submit" { (view.say("邀请", "Invite")) }
            })))
        }
    })
}

/// What somebody may do, to be changed.
fn fields(view: &View<'_>, grant: &Grant) -> Markup {
    let tongue = view.tongue();
    let roles = Role::ALL.map(|role| (role.as_str(), frame::role(tongue, role)));
    let lines: Vec<String> = grant.scopes.iter().map(|it| format!("{}/{}", it.department, it.site)).collect();
    let (per_cent, days) = match grant.sample {
        Some(sample) => {
            let days = (sample.until_ms - view.ask.now_ms).div_euclid(DAY_MS) + 1;
            (sample.per_cent.to_string(), days.max(1).to_string())
        }
        None => (String::new(), String::new()),
    };
    html! {
        div.columns {
            (choice("role", view.say("角色", "Role"), grant.role.as_str(), &roles))
            (text_field("accounts", view.say("本人企业微信账号", "Their own accounts"), &grant.accounts.join(" "), false,
                Some(view.say("corp/userid，空格分隔；与本人有关的告警不会显示给本人", "corp/userid, with spaces between; alerts about these are never shown to them"))))
        }
        (field("scopes", view.say("主管的范围：部门/站点", "Of a supervisor: department/site"), html! {
            textarea id="scopes" name="scopes" rows="3" aria-describedby="scopes-hint" { (lines.join("\n")) }
        }, Some(view.say("每行一个；sales/ 表示该部门所有站点，/上海 表示该站点所有部门", "One a line; sales/ is that department everywhere, /shanghai everybody there"))))
        div.columns {
            (field("per_cent", view.say("审计员抽样（%）", "An auditor's sample, per cent"), html! { input type="number" id="per_cent" name="per_cent" min="1" max="100" value=(per_cent); }, None))
            (field("days", view.say("抽样有效天数", "For how many days"), html! { input type="number" id="days" name="days" min="1" max="366" value=(days); }, None))
        }
        label.check { input type="checkbox" name="export" value="yes" checked[grant.export]; (view.say("可以导出列表", "May take lists out")) }
        (field("reason", view.say("理由（写入审计）", "Reason, for the audit trail"), html! { input type="text" id="reason" name="reason" maxlength="300"; }, None))
    }
}

fn show(ask: &Ask<'_>, told: Told) -> Result<Body, Problem> {
    one(ask, &said(&View::of(ask), told.said.as_ref()))
}

fn one(ask: &Ask<'_>, told: &Markup) -> Result<Body, Problem> {
    let view = View::of(ask);
    let tongue = view.tongue();
    let operator = api::show(ask, Nothing {})?;
    let tokens = api::tokens(ask, Turn { cursor: None, limit: Some(100) })?.items;
    let title = operator.operator.clone();
    let to = |deed: &str| format!("/settings/operators/{title}/{deed}");
    let body = html! {
        (parts::heading(&title, Some(frame::role(tongue, operator.grant.role)), Some(html! { (state(&view, &operator)) a.button href="/settings?tab=operators" { (view.say("全部操作员", "All operators")) } })))
        (told)
        div.main-and-side {
            div.stack {
                @if view.may(Act::ChangeOperators) {
                    (card(view.say("权限", "What they may do"), parts::form(&view, &to("grant"), false, html! {
                        (fields(&view, &operator.grant))
                        button.first type="submit" { (view.say("保存（会结束其会话）", "Save; their sessions end")) }
                    })))
                }
                (of_tokens(&view, &title, &tokens))
            }
            div.stack {
                (card(view.say("现状", "As it is"), facts([
                    (view.say("部门 × 站点", "Department × site"), scopes(&view, &operator.grant)),
                    (view.say("导出", "Lists"), html! { (if operator.grant.export { view.say("可以", "May") } else { view.say("不可以", "May not") }) }),
                    (view.say("动态码", "One-time codes"), html! { (if operator.totp { view.say("已启用", "On") } else { view.say("未启用", "Off") }) }),
                    (view.say("最近登录", "Came in"), html! { @match operator.signed_in_ms { Some(ms) => { (tongue.at(ms)) } None => { "—" } } }),
                    (view.say("创建", "Made"), tongue.at(operator.made_ms)),
                ])))
                @if view.may(Act::ChangeOperators) { (deeds(&view, &operator, &to)) }
            }
        }
    };
    Ok(view.page(Some(Room::Settings), &title, body))
}

fn deeds(view: &View<'_>, operator: &Operator, to: &dyn Fn(&str) -> String) -> Markup {
    let why = |id: &str| {
        field(id, view.say("理由", "Reason"), html! { input type="text" id=(id) name="reason" maxlength="300"; }, None)
    };
    card(
        view.say("操作", "Actions"),
        html! {
            @if operator.state == "disabled" {
                (deed(view, &to("enable"), None, html! { (why("why-enable")) button type="submit" { (view.say("启用", "Let in again")) } }))
            } @else {
                (deed(view, &to("disable"), Some(view.say("停用后立即退出，无法登录。确定吗？", "They are out at once and cannot come in. Go on?")), html! {
                    (why("why-disable")) button.danger type="submit" { (view.say("停用", "Keep out")) }
                }))
            }
            (deed(view, &to("reset"), Some(view.say("密码、动态码与令牌都会失效，并给出新的一次性链接。确定吗？", "Password, codes and tokens end, and there is a new one-time link. Go on?")), html! {
                (why("why-reset")) button type="submit" { (view.say("重置凭据", "Reset")) }
            }))
        },
    )
}

fn of_tokens(view: &View<'_>, operator: &str, tokens: &[Token]) -> Markup {
    let title = view.say("API 令牌", "API tokens");
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let mut row = token_row(view, token);
            if token.state == "active" && view.may(Act::ChangeOperators) {
                let to = format!("/settings/operators/{operator}/tokens/{}/withdraw", token.id);
                row.push(deed(
                    view,
                    &to,
                    None,
                    html! { button.quiet type="submit" { (view.say("撤销", "Withdraw")) } },
                ));
            } else {
                row.push(html! {});
            }
            row
        })
        .collect();
    card(
        title,
        html! {
            @if rows.is_empty() { p.soft { (view.say("没有令牌。", "None.")) } } @else { (Table { caption: title, heads: token_heads(view), rows }.show()) }
        },
    )
}

/// Heads of [`token_row`] and of what is done with a token.
pub(in crate::web::console) fn token_heads(view: &View<'_>) -> Vec<&'static str> {
    view.say(vec!["用途", "状态", "可以做什么", "有效至", ""], vec!["For", "State", "May", "Until", ""])
}

/// A token in a list.
pub(in crate::web::console) fn token_row(view: &View<'_>, token: &Token) -> Vec<Markup> {
    let state = match token.state {
        "active" => badge(Tone::Good, view.say("有效", "Active")),
        "ended" => badge(Tone::Plain, view.say("已过期", "Ended")),
        _ => badge(Tone::Plain, view.say("已撤销", "Withdrawn")),
    };
    vec![
        html! { b { (token.label) } br; small.id { (token.id) } },
        state,
        html! { small { (token.scopes.join(", ")) } },
        view.tongue().at(token.expires_ms),
    ]
}

/// The link with which somebody sets a password. What is behind `#` is not sent to any server.
fn link_of(view: &View<'_>, invitation: &Invitation) -> Markup {
    let behind = serde_html_form::to_string([("name", &invitation.operator), ("secret", &invitation.secret)]);
    let to = format!("{}/welcome#{}", origin(view.ask), behind.unwrap_or_default());
    card(
        view.say("一次性链接", "The one-time link"),
        html! {
            (parts::notice(Tone::Warn, html! { p { (view.say("只显示这一次，请当面或经可信渠道交给本人。", "It is shown this once; hand it over in person or on a way you trust.")) } }))
            (copied(view.tongue(), &to))
            p.soft { (invitation.operator) " · " (view.say("有效至 ", "until ")) (view.tongue().at(invitation.expires_ms)) }
        },
    )
}

/// Where this console is, as whoever asks has reached it, where nothing else is configured.
fn origin(ask: &Ask<'_>) -> String {
    if let Some(url) = &ask.site.desk.config.notify.console_url {
        return url.trim_end_matches('/').to_owned();
    }
    let host = ask.heard.parts.headers.get(axum::http::header::HOST).and_then(|host| host.to_str().ok());
    let scheme = if ask.site.is_secure { "https" } else { "http" };
    host.map_or_else(String::new, |host| format!("{scheme}://{host}"))
}

fn invite(ask: &Ask<'_>, given: Granted) -> Result<Body, Problem> {
    let grant = given.grant(ask.now_ms)?;
    let operator = given.operator.trim().to_owned();
    let made = api::invite(ask, Invite { operator, grant, hours: None, reason: given.reason })?;
    shown(ask, &Which::tab("operators"), &link_of(&View::of(ask), &made))
}

fn reset(ask: &Ask<'_>, given: Said) -> Result<Body, Problem> {
    let made = api::reset(ask, Why { reason: given.reason })?;
    one(ask, &link_of(&View::of(ask), &made))
}

fn back(ask: &Ask<'_>) -> Result<Body, Problem> {
    Ok(Body::see(format!("/settings/operators/{}?said=done", ask.param("operator")?)))
}

fn grant(ask: &Ask<'_>, given: Granted) -> Result<Body, Problem> {
    let grant = given.grant(ask.now_ms)?;
    api::grant(ask, Regrant { grant, reason: given.reason })?;
    back(ask)
}

fn disable(ask: &Ask<'_>, given: Said) -> Result<Body, Problem> {
    api::disable(ask, Why { reason: given.reason })?;
    back(ask)
}

fn enable(ask: &Ask<'_>, given: Said) -> Result<Body, Problem> {
    api::enable(ask, Why { reason: given.reason })?;
    back(ask)
}

fn withdraw(ask: &Ask<'_>, given: Said) -> Result<Body, Problem> {
    api::withdraw_token(ask, Why { reason: given.reason })?;
    back(ask)
}
