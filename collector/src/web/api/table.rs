//! The table of routes. Whatever is here is served, described, and tried as every role.

use axum::http::Method;

use super::{
    alert, alerts, audit, cases, delegate, devices, employees, enrolment, exports, first, notifications, openapi,
    operators, overview, people, policies, rules, search, session, settings, sites, tester, tokens, words,
};
use crate::operators::Act;
use crate::web::route::{CSV, JSON, Route, file, listen, route};

/// A text of 20,000 characters, and twenty thousand words.
const TEXT_BYTES_MAX: usize = 256 * 1024;
const STEP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// All of them.
#[must_use]
pub fn routes() -> Vec<Route> {
    [
        own(),
        of_alerts(),
        of_exports(),
        of_cases(),
        of_rules(),
        of_people(),
        of_operators(),
        of_employees(),
        of_enrolment(),
        of_devices(),
        of_the_collector(),
    ]
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
        route(Method::GET, "/delegate", Act::OwnAccount, ("Who stands in for you", "本人的代理人"), delegate::show),
        route(Method::PUT, "/delegate", Act::OwnAccount, ("Have somebody stand in", "设置代理人"), delegate::set),
        route(Method::DELETE, "/delegate", Act::OwnAccount, ("Nobody stands in any more", "取消代理"), delegate::end),
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
        route(
            Method::GET,
            "/alerts/{alert}/rule",
            Act::SeeAlerts,
            ("The rule of an alert", "告警所依规则"),
            alert::rule,
        ),
        route(Method::GET, "/alerts/{alert}/playbook", Act::SeeAlerts, ("What to do", "处置步骤"), alert::playbook),
        route(
            Method::GET,
            "/alerts/{alert}/proof",
            Act::SeeAlerts,
            ("Where it stands in the log", "日志证明"),
            alert::proof,
        ),
        route(
            Method::GET,
            "/alerts/{alert}/related",
            Act::SeeAlerts,
            ("Other alerts of the same person", "同一人员的其他告警"),
            alert::related,
        ),
        route(
            Method::GET,
            "/alerts/{alert}/workers",
            Act::WorkAlerts,
            ("Who may be given an alert", "可分派的人员"),
            alerts::workers,
        ),
        file("/alerts/{alert}/evidence", Act::Export, ("What proves an alert", "证据包"), JSON, alert::evidence),
        route(Method::GET, "/search", Act::SeeExcerpts, ("Search", "检索"), search::find),
        route(Method::GET, "/searches", Act::SeeAlerts, ("Searches one keeps", "已存检索"), search::list),
        route(Method::PUT, "/searches/{name}", Act::KeepSearches, ("Keep a search", "保存检索"), search::keep),
        route(Method::DELETE, "/searches/{name}", Act::KeepSearches, ("Forget a search", "删除检索"), search::forget),
    ]
}

fn of_exports() -> Vec<Route> {
    let (of_alerts, of_findings) =
        (("A list of alerts to take along", "导出告警列表"), ("Findings to take along", "导出命中"));
    vec![
        file("/exports/alerts.csv", Act::Export, of_alerts, CSV, exports::alerts_csv),
        file("/exports/alerts.xlsx", Act::Export, of_alerts, exports::XLSX, exports::alerts_xlsx),
        file("/exports/alerts.jsonl", Act::Export, of_alerts, exports::JSONL, exports::alerts_jsonl),
        file("/exports/findings.csv", Act::Export, of_findings, CSV, exports::findings_csv),
        file("/exports/findings.xlsx", Act::Export, of_findings, exports::XLSX, exports::findings_xlsx),
        file("/exports/findings.jsonl", Act::Export, of_findings, exports::JSONL, exports::findings_jsonl),
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

fn of_rules() -> Vec<Route> {
    let (see, keep, publish) = (Act::SeeRules, Act::KeepWords, Act::PublishPolicies);
    vec![
        route(Method::GET, "/rules", see, ("How rules do", "规则准确率"), alerts::rules),
        route(Method::POST, "/rules/test", see, ("Try a text on the rules", "规则试验"), tester::test)
            .with_files(TEXT_BYTES_MAX),
        route(Method::GET, "/packs", see, ("Packs in force", "生效规则包"), rules::packs),
        route(Method::GET, "/packs/{pack}", see, ("A pack", "规则包"), rules::pack),
        route(Method::GET, "/policies", see, ("What is in force in each group", "各分组现行策略"), policies::groups),
        route(Method::GET, "/policies/{group}", see, ("The policies of a group", "分组策略历史"), policies::history),
        route(Method::POST, "/policies", publish, ("Publish a signed policy", "发布已签名策略"), policies::publish)
            .with_files(policies::BODY_BYTES_MAX),
        route(
            Method::POST,
            "/policies/check",
            publish,
            ("What a signed policy would change", "发布前差异"),
            policies::check,
        )
        .with_files(policies::BODY_BYTES_MAX),
        route(
            Method::POST,
            "/policies/{group}/step",
            publish,
            ("Halt, resume or advance", "暂停、恢复或推进"),
            policies::step,
        ),
        route(Method::GET, "/words", see, ("Lists of words", "词表"), words::lists),
        route(Method::POST, "/words", keep, ("Begin a list of words", "新建词表"), words::make),
        route(Method::POST, "/words/preview", keep, ("Try a word on past findings", "词语回看"), words::preview),
        route(Method::GET, "/words/{list}", see, ("The words of a list", "词表内容"), words::show),
        route(Method::POST, "/words/{list}/step", keep, ("A step with words", "词语处置"), words::step)
            .with_files(STEP_BYTES_MAX),
        file("/words/{list}/export", keep, ("A list to take along", "导出词表"), CSV, words::export),
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

fn of_employees() -> Vec<Route> {
    let (path, change) = ("/employee-links", Act::ChangeOperators);
    vec![
        route(Method::GET, path, change, ("How the link of an employee stands", "员工查看链接状态"), employees::show),
        route(Method::POST, path, change, ("Hand out a link", "发放员工查看链接"), employees::hand_out),
        route(Method::POST, "/employee-links/end", change, ("Withdraw a link", "撤销员工查看链接"), employees::end),
    ]
}

fn of_the_collector() -> Vec<Route> {
    vec![
        route(Method::GET, "/overview", Act::OwnAccount, ("How things stand", "总览"), overview::show),
        route(Method::GET, "/coverage", Act::SeePeople, ("What was seen", "覆盖日历"), overview::coverage),
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
