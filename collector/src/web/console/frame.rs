//! What is around every page: the way between rooms, who is signed in, language and theme.

use maud::{DOCTYPE, Markup, html};

use super::assets::{SCRIPT, SIGN, STYLE};
use super::parts::{self, icon};
use super::tongue::Tongue;
use super::view::{Theme, View, Visitor};
use crate::operators::{Act, Role};
use crate::web::route::Body;

/// A room of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Room {
    Overview,
    Alerts,
    Search,
    Cases,
    Devices,
    Sites,
    Rules,
    Words,
    People,
    Audit,
    Settings,
    Account,
}

impl Room {
    /// Those on the way, in their order, in groups.
    const GROUPS: [&'static [Self]; 4] = [
        &[Self::Overview],
        &[Self::Alerts, Self::Search, Self::Cases],
        &[Self::Devices, Self::Sites, Self::People],
        &[Self::Rules, Self::Words, Self::Audit, Self::Settings],
    ];
    /// Those at the foot of a small screen.
    const FOOT: [Self; 4] = [Self::Overview, Self::Alerts, Self::Devices, Self::Rules];

    pub(in crate::web) fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Alerts => "/alerts",
            Self::Search => "/search",
            Self::Cases => "/cases",
            Self::Devices => "/devices",
            Self::Sites => "/sites",
            Self::Rules => "/rules",
            Self::Words => "/words",
            Self::People => "/people",
            Self::Audit => "/audit",
            Self::Settings => "/settings",
            Self::Account => "/account",
        }
    }

    pub(in crate::web) fn title(self, tongue: Tongue) -> &'static str {
        match self {
            Self::Overview => tongue.of("总览", "Overview"),
            Self::Alerts => tongue.of("告警", "Alerts"),
            Self::Search => tongue.of("检索", "Search"),
            Self::Cases => tongue.of("案件", "Cases"),
            Self::Devices => tongue.of("设备", "Devices"),
            Self::Sites => tongue.of("站点", "Sites"),
            Self::Rules => tongue.of("规则", "Rules"),
            Self::Words => tongue.of("词表", "Words"),
            Self::People => tongue.of("人员", "People"),
            Self::Audit => tongue.of("审计", "Audit"),
            Self::Settings => tongue.of("设置", "Settings"),
            Self::Account => tongue.of("我的账户", "My account"),
        }
    }

    /// What it takes to go in.
    fn act(self) -> Act {
        match self {
            Self::Overview | Self::Account => Act::OwnAccount,
            Self::Alerts => Act::SeeAlerts,
            Self::Search => Act::SeeExcerpts,
            Self::Cases => Act::SeeCases,
            Self::Devices | Self::Sites => Act::SeeDevices,
            Self::Rules | Self::Words => Act::SeeRules,
            Self::People => Act::SeePeople,
            Self::Audit => Act::SeeAudit,
            Self::Settings => Act::SeeSettings,
        }
    }

    fn icon(self) -> Markup {
        icon(self.path().trim_start_matches('/'))
    }
}

/// A word for a role.
pub(in crate::web) fn role(tongue: Tongue, role: Role) -> &'static str {
    match role {
        Role::Administrator => tongue.of("管理员", "Administrator"),
        Role::PolicyAuthor => tongue.of("策略作者", "Policy author"),
        Role::Supervisor => tongue.of("主管", "Supervisor"),
        Role::Reviewer => tongue.of("审查员", "Reviewer"),
        Role::Auditor => tongue.of("审计员", "Auditor"),
    }
}

/// A page for somebody who is signed in.
pub(super) fn page(view: &View<'_>, here: Option<Room>, title: &str, middle: Markup) -> Body {
    let tongue = view.tongue();
    let rooms = |room: &Room| view.may(room.act());
    let link = |room: Room| {
        html! {
            a href=(room.path()) aria-current=[(here == Some(room)).then_some("page")] {
                (room.icon()) span { (room.title(tongue)) }
            }
        }
    };
    let around = html! {
        a.skip href="#middle" { (tongue.of("跳到正文", "Skip to content")) }
        div.shell {
            header.side {
                a.brand href="/" { img src=(SIGN.path) alt="" width="26" height="26"; span { b { "哨所" } " Watchpost" } }
                nav aria-label=(tongue.of("主导航", "Main")) {
                    @for group in Room::GROUPS {
                        @if group.iter().any(rooms) {
                            div.group { @for room in group.iter().copied().filter(rooms) { (link(room)) } }
                        }
                    }
                }
                div.self {
                    (whoami(view, here))
                    (look(&view.visitor))
                }
            }
            main id="middle" tabindex="-1" { (middle) }
            nav.foot aria-label=(tongue.of("快捷导航", "Short cuts")) {
                @for room in Room::FOOT.into_iter().filter(rooms) { (link(room)) }
                a href="/menu" aria-current=[(view.visitor.path == "/menu").then_some("page")] {
                    (icon("menu")) span { (tongue.of("更多", "More")) }
                }
            }
        }
    };
    whole(&view.visitor, title, around)
}

/// Everything there is, for small screens.
pub(super) fn menu(view: &View<'_>) -> Markup {
    let tongue = view.tongue();
    html! {
        (parts::heading(tongue.of("全部页面", "All pages"), None, None))
        nav.menu aria-label=(tongue.of("全部页面", "All pages")) {
            @for room in Room::GROUPS.into_iter().flatten().copied().filter(|room| view.may(room.act())) {
                a href=(room.path()) { (room.icon()) span { (room.title(tongue)) } }
            }
        }
        div.self { (whoami(view, None)) (look(&view.visitor)) }
    }
}

fn whoami(view: &View<'_>, here: Option<Room>) -> Markup {
    let Ok(caller) = view.ask.caller() else { return html! {} };
    let tongue = view.tongue();
    html! {
        a.me href=(Room::Account.path()) aria-current=[(here == Some(Room::Account)).then_some("page")] {
            b { (caller.operator.operator) }
            small { (role(tongue, caller.operator.grant.role)) }
        }
        form method="post" action="/logout" {
            (parts::mark(view))
            button.quiet type="submit" { (tongue.of("退出", "Sign out")) }
        }
    }
}

/// Language and theme.
fn look(visitor: &Visitor) -> Markup {
    let tongue = visitor.tongue;
    let (other, name) = tongue.of(("en", "English"), ("zh", "中文"));
    let themes = [
        (Theme::Light, "sun", tongue.of("浅色", "Light")),
        (Theme::Dark, "moon", tongue.of("深色", "Dark")),
        (Theme::Auto, "auto", tongue.of("随系统", "As the system")),
    ];
    html! {
        form.look method="post" action="/look" {
            input type="hidden" name="back" value=(visitor.path);
            button.quiet type="submit" name="tongue" value=(other) lang=(tongue.of("en", "zh-CN")) { (name) }
            @for (theme, sign, title) in themes {
                button.quiet type="submit" name="theme" value=(theme.as_str()) title=(title) aria-label=(title)
                    aria-pressed=(if theme == visitor.theme { "true" } else { "false" }) { (icon(sign)) }
            }
        }
    }
}

/// A page for somebody nobody knows: signing in, and problems.
pub(super) fn bare(visitor: &Visitor, title: &str, middle: Markup) -> Body {
    let around = html! {
        div.bare {
            div.brand { img src=(SIGN.path) alt="" width="36" height="36"; span { b { "哨所" } " Watchpost" } }
            main id="middle" { (middle) }
            (look(visitor))
        }
    };
    whole(visitor, title, around)
}

/// A page for an employee who looks at what is about them: none of the ways of operators lead from it.
pub(super) fn own(visitor: &Visitor, title: &str, middle: Markup) -> Body {
    let around = html! {
        a.skip href="#middle" { (visitor.tongue.of("跳到正文", "Skip to content")) }
        div.own {
            header {
                a.brand href="/me" { img src=(SIGN.path) alt="" width="26" height="26"; span { b { "哨所" } " Watchpost" } }
                (look(visitor))
            }
            main id="middle" tabindex="-1" { (middle) }
        }
    };
    whole(visitor, title, around)
}

fn whole(visitor: &Visitor, title: &str, around: Markup) -> Body {
    let lost = visitor.tongue.of(
        "连接中断，无法确认是否已提交。请刷新页面查看后再决定。",
        "The line broke, and nobody knows whether this arrived. Reload the page and look before you send it again.",
    );
    Body::html(html! {
        (DOCTYPE)
        html lang=(visitor.tongue.code()) data-theme=(visitor.theme.as_str()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " · " (visitor.tongue.of("哨所", "Watchpost")) }
                link rel="icon" type="image/svg+xml" href=(SIGN.path);
                link rel="stylesheet" href=(STYLE.path);
                script src=(SCRIPT.path) defer {}
            }
            body data-lost=(lost) { (around) }
        }
    })
}
