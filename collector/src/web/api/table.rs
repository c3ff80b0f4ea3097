//! The table of routes. Whatever is here is served, described, and tried as every role.

use axum::http::Method;

use super::{
    alerts, audit, cases, devices, enrolment, first, notifications, openapi, operators, people, search, session,
    settings, sites, tokens,
};
use crate::operators::Act;
use crate::web::route::{Route, csv, listen, route};

/// All of them.
#[must_use]
pub fn routes() -> Vec<Route> {
    [own(), of_alerts(), of_cases(), of_operators(), of_people(), of_the_collector(), of_enrolment(), of_devices()]
        .into_iter()
        .flatten()
        .collect()
}

fn own() -> Vec<Route> {
    vec![
        route(Method::GET, "/openapi.json", None, ("This description", "接口说明"), openapi::show),
        route(Method::POST, "/session", None, ("Sign in", "登录"), session::sign_in).costly(),
        route(Method::GET, "/session", Act::OwnAccount, ("Who is signed in", "当前登录者"), session::me),
        route(Method::DELETE, "/session", Act::OwnAccount, ("Sign out", "退出"), session::sign_out),
        route(
            Method::POST,
            "/session/password",
            Act::OwnAccount,
            ("Change one's password", "修改密码"),
            session::change_password,
        )
        .costly(),
        route(
            Method::POST,
            "/session/totp",
            Act::OwnAccount,
            ("Set up one-time codes", "启用动态码"),
            session::enrol_totp,
        )
        .costly(),
        route(
            Method::POST,
            "/invitation",
            None,
            ("Set a password with a one-time secret", "凭一次性密钥设置密码"),
            session::accept,
        )
        .costly(),
        route(Method::GET, "/tokens", Act::OwnAccount, ("One's API tokens", "本人 API 令牌"), tokens::list),
        route(Method::POST, "/tokens", Act::OwnAccount, ("Make an API token", "创建 API 令牌"), tokens::make),
        route(
            Method::DELETE,
            "/tokens/{token}",
            Act::OwnAccount,
            ("Withdraw an API token", "撤销 API 令牌"),
            tokens::withdraw,
        ),
        listen("/events", Act::OwnAccount, ("What happens, as it happens", "实时事件")),
    ]
}

fn of_alerts() -> Vec<Route> {
    vec![
        route(Method::GET, "/alerts", Act::SeeAlerts, ("Alerts", "告警列表"), alerts::list),
        route(Method::GET, "/alerts/{alert}", Act::SeeAlerts, ("An alert", "告警详情"), alerts::show),
        route(
            Method::GET,
            "/alerts/{alert}/history",
            Act::SeeAlerts,
            ("What became of an alert", "告警经过"),
            alerts::history,
        ),
        route(
            Method::GET,
            "/alerts/{alert}/findings",
            Act::SeeExcerpts,
            ("What was found, with excerpts", "命中与摘录"),
            alerts::findings,
        ),
        route(Method::POST, "/alerts/step", Act::WorkAlerts, ("A step with alerts", "处置告警"), alerts::step),
        csv(
            "/exports/alerts.csv",
            Act::Export,
            ("A list of alerts to take along", "导出告警列表"),
            "alerts.csv",
            alerts::export,
        ),
        route(Method::GET, "/search", Act::SeeExcerpts, ("Search", "检索"), search::find),
        route(Method::GET, "/searches", Act::SeeAlerts, ("Searches one keeps", "已存检索"), search::list),
        route(Method::PUT, "/searches/{name}", Act::KeepSearches, ("Keep a search", "保存检索"), search::keep),
        route(Method::DELETE, "/searches/{name}", Act::KeepSearches, ("Forget a search", "删除检索"), search::forget),
        route(Method::GET, "/rules", Act::SeeRules, ("How rules do", "规则准确率"), alerts::rules),
    ]
}

fn of_cases() -> Vec<Route> {
    vec![
        route(Method::GET, "/cases", Act::SeeCases, ("Cases", "案件列表"), cases::list),
        route(Method::POST, "/cases", Act::WorkAlerts, ("Open a case", "立案"), cases::open),
        route(Method::GET, "/cases/{case}", Act::SeeCases, ("A case", "案件详情"), cases::show),
        route(Method::POST, "/cases/{case}/step", Act::WorkAlerts, ("A step with a case", "处置案件"), cases::step),
        route(Method::GET, "/suppressions", Act::Suppress, ("Suppressions", "抑制列表"), cases::suppressions),
        route(Method::POST, "/suppressions", Act::Suppress, ("Suppress", "新建抑制"), cases::suppress),
        route(
            Method::DELETE,
            "/suppressions/{suppression}",
            Act::Suppress,
            ("End a suppression", "结束抑制"),
            cases::end_suppression,
        ),
    ]
}

fn of_operators() -> Vec<Route> {
    let change = Act::ChangeOperators;
    vec![
        route(Method::GET, "/operators", Act::SeeOperators, ("Operators", "操作员列表"), operators::list),
        route(Method::POST, "/operators", change, ("Invite an operator", "邀请操作员"), operators::invite),
        route(Method::GET, "/operators/{operator}", Act::SeeOperators, ("An operator", "操作员"), operators::show),
        route(
            Method::PUT,
            "/operators/{operator}/grant",
            change,
            ("Change what somebody may do", "变更权限"),
            operators::grant,
        ),
        route(
            Method::POST,
            "/operators/{operator}/disable",
            change,
            ("Keep somebody out", "停用操作员"),
            operators::disable,
        ),
        route(
            Method::POST,
            "/operators/{operator}/enable",
            change,
            ("Let somebody in again", "启用操作员"),
            operators::enable,
        ),
        route(
            Method::POST,
            "/operators/{operator}/reset",
            change,
            ("Have somebody set a password anew", "重置凭据"),
            operators::reset,
        ),
        route(
            Method::GET,
            "/operators/{operator}/tokens",
            Act::SeeOperators,
            ("Somebody's API tokens", "操作员的 API 令牌"),
            operators::tokens,
        ),
        route(
            Method::DELETE,
            "/operators/{operator}/tokens/{token}",
            change,
            ("Withdraw somebody's API token", "撤销操作员的 API 令牌"),
            operators::withdraw_token,
        ),
    ]
}

fn of_the_collector() -> Vec<Route> {
    vec![
        route(Method::GET, "/audit", Act::SeeAudit, ("What operators did", "审计记录"), audit::list),
        route(Method::GET, "/devices", Act::SeeDevices, ("Devices", "设备列表"), devices::list),
        route(Method::GET, "/devices/{device}", Act::SeeDevices, ("A device", "设备详情"), devices::show),
        route(Method::GET, "/health", Act::SeeDevices, ("How devices are", "设备健康"), devices::health),
        route(Method::GET, "/sites", Act::SeeDevices, ("Sites", "站点列表"), sites::list),
        route(Method::PUT, "/sites/{site}", Act::ChangeSettings, ("Plan days offline", "设置计划离线日"), sites::plan),
        route(
            Method::GET,
            "/first-run",
            Act::SeeSettings,
            ("What a new collector still needs", "启用进度"),
            first::show,
        ),
        route(
            Method::GET,
            "/notifications",
            Act::SeeSettings,
            ("What was told to whom", "通知记录"),
            notifications::list,
        ),
        route(
            Method::POST,
            "/notifications/test",
            Act::ChangeSettings,
            ("Test a target of notifications", "测试通知目标"),
            notifications::test,
        ),
        route(Method::GET, "/log", Act::SeeLog, ("The head of the log", "日志头"), devices::log_head),
        route(Method::GET, "/settings", Act::SeeSettings, ("Settings", "设置"), settings::list),
        route(Method::PUT, "/settings", Act::ChangeSettings, ("Change a setting", "变更设置"), settings::set),
    ]
}

fn of_people() -> Vec<Route> {
    let see = Act::SeePeople;
    vec![
        route(Method::GET, "/people", see, ("People of the roster", "人员列表"), people::list),
        route(Method::GET, "/people/{person}", see, ("A person", "人员详情"), people::show),
        route(Method::GET, "/unknown-accounts", see, ("Accounts in no roster", "未登记账号"), people::unknown),
    ]
}

fn of_enrolment() -> Vec<Route> {
    let (see, change) = (Act::SeeDevices, Act::ChangeDevices);
    vec![
        route(Method::GET, "/enrolment/queue", see, ("Devices that wait", "待接入设备"), enrolment::queue),
        route(Method::POST, "/enrolment/admit", change, ("Let devices of the queue in", "批准接入"), enrolment::admit),
        route(
            Method::POST,
            "/enrolment/reject",
            change,
            ("Keep devices of the queue out", "拒绝接入"),
            enrolment::reject,
        ),
        route(Method::GET, "/enrolment/tokens", see, ("Enrolment tokens", "注册码列表"), enrolment::list),
        route(Method::POST, "/enrolment/tokens", change, ("Make an enrolment token", "创建注册码"), enrolment::make),
        route(
            Method::DELETE,
            "/enrolment/tokens/{token}",
            change,
            ("Withdraw an enrolment token", "撤销注册码"),
            enrolment::withdraw,
        ),
        route(Method::GET, "/enrolment/expected", see, ("Assets that are to enrol", "预期资产"), enrolment::expected),
        route(
            Method::PUT,
            "/enrolment/expected",
            change,
            ("Replace the list of assets that are to enrol", "替换预期资产清单"),
            enrolment::expect,
        )
        .with_files(enrolment::LIST_BYTES_MAX),
    ]
}

fn of_devices() -> Vec<Route> {
    let change = Act::ChangeDevices;
    vec![
        route(Method::POST, "/devices/{device}/revoke", change, ("Shut a device out", "停用设备"), devices::revoke),
        route(
            Method::POST,
            "/devices/{device}/quarantine",
            change,
            ("Hold out what a device sends", "隔离设备"),
            devices::quarantine,
        ),
        route(
            Method::POST,
            "/devices/{device}/release",
            change,
            ("Let a device in again", "恢复设备"),
            devices::release,
        ),
    ]
}
