//! What is written to people of alerts: in Chinese, English or both, as much as the route discloses, and never more than the
//! target takes.

use serde::Serialize;

use super::plan::What;
use super::route::{Disclosure, Language, Route};
use crate::clock::minute_in_china;

/// Longest a title or a name may be in a text, in characters.
const NAME_CHARACTERS_MAX: usize = 60;
/// Longest an excerpt may be in a text, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 160;

/// An alert with all that a text may need. What the route does not disclose is left out by [`Line::of`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    /// The alert's id, hexadecimal.
    pub alert: String,
    /// What happened to it.
    pub what: Option<What>,
    /// Its level as a number; the gravest is the largest.
    pub rank: i32,
    /// The same as a word: `info` to `critical`.
    pub level: &'static str,
    /// The pack of its rule.
    pub pack: String,
    /// Its rule.
    pub rule: String,
    /// The rule's title, where it is known: Chinese and English.
    pub title: Option<(String, String)>,
    /// The rule's category.
    pub category: String,
    /// The account concerned.
    pub account: String,
    /// The employee's name, where the roster has one.
    pub name: String,
    /// Their department.
    pub department: String,
    /// Their site.
    pub site: String,
    /// Findings in it.
    pub findings: u64,
    /// When it was opened, milliseconds since 1970.
    pub opened_ms: i64,
    /// By when somebody must have taken it.
    pub respond_by_ms: Option<i64>,
    /// The newest excerpt the device has masked.
    pub masked_excerpt: Option<String>,
}

/// One alert in a message, after what the route discloses was taken from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The alert's id, hexadecimal.
    pub alert: String,
    /// What happened to it.
    pub event: Option<What>,
    /// `info`, `low`, `medium`, `high` or `critical`.
    pub level: &'static str,
    /// The pack of its rule.
    pub pack: String,
    /// Its rule.
    pub rule: String,
    /// The rule's title in the route's language.
    pub title: String,
    /// The rule's category.
    pub category: String,
    /// The employee's name where the route discloses it, else the account; empty where nobody of the company is concerned.
    pub person: String,
    /// Findings in it.
    pub findings: u64,
    /// When it was opened, milliseconds since 1970.
    pub opened_ms: i64,
    /// By when somebody must have taken it, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond_by_ms: Option<i64>,
    /// Where it is dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// As the device has masked it; only where the route discloses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

impl Line {
    /// What a route tells of an alert.
    #[must_use]
    pub fn of(telling: Telling, route: &Route, console_url: Option<&str>) -> Self {
        let discloses = route.disclosure == Disclosure::Masked;
        let title = match telling.title {
            Some((zh, en)) => both(route.language, &zh, &en),
            None => format!("{}/{}", telling.pack, telling.rule),
        };
        let person = if discloses && !telling.name.is_empty() { telling.name } else { telling.account };
        Self {
            url: console_url.map(|url| format!("{}/alerts/{}", url.trim_end_matches('/'), telling.alert)),
            alert: telling.alert,
            event: telling.what,
            level: telling.level,
            title: shortened(&title, 2 * NAME_CHARACTERS_MAX),
            pack: telling.pack,
            rule: telling.rule,
            category: telling.category,
            person: shortened(&person, NAME_CHARACTERS_MAX),
            findings: telling.findings,
            opened_ms: telling.opened_ms,
            respond_by_ms: telling.respond_by_ms,
            excerpt: telling
                .masked_excerpt
                .filter(|excerpt| discloses && !excerpt.is_empty())
                .map(|excerpt| shortened(&excerpt, EXCERPT_CHARACTERS_MAX)),
        }
    }
}

/// Chinese, English, or one after the other.
#[must_use]
pub fn both(language: Language, zh: &str, en: &str) -> String {
    match (language.zh(), language.en()) {
        (true, true) if zh != en => format!("{zh} {en}"),
        (true, _) => zh.to_owned(),
        (false, _) => en.to_owned(),
    }
}

/// The headline of a message that tells of so many alerts.
#[must_use]
pub fn headline(language: Language, whats: &[Option<What>]) -> String {
    let count = whats.len();
    let first = whats.first().copied().flatten();
    let one = whats.iter().all(|what| *what == first);
    let (zh, en) = match first.filter(|_| one) {
        Some(What::Opened) => ("条新告警", "new"),
        Some(What::Escalated) => ("条告警已升级", "escalated"),
        Some(What::Reopened) => ("条告警被重新打开", "reopened"),
        Some(What::Assigned) => ("条告警已指派", "assigned"),
        Some(What::Appealed) => ("条告警收到申诉", "objected to"),
        Some(What::Reminded) => ("条告警仍无人受理", "still not taken"),
        None => ("条告警有变化", "changed"),
    };
    let alerts = if count == 1 { "alert" } else { "alerts" };
    both(language, &format!("哨所：{count} {zh}"), &format!("Watchpost: {count} {alerts} {en}"))
}

/// What happened, in front of an alert where a message tells of several things.
#[must_use]
pub fn event(language: Language, what: Option<What>) -> String {
    let Some(what) = what else { return String::new() };
    let (zh, en) = match what {
        What::Opened => ("新", "new"),
        What::Escalated => ("升级", "escalated"),
        What::Reopened => ("重新打开", "reopened"),
        What::Assigned => ("指派", "assigned"),
        What::Appealed => ("申诉", "objection"),
        What::Reminded => ("未受理", "not taken"),
    };
    both(language, zh, en)
}

/// A level for people.
#[must_use]
pub fn level(language: Language, level: &str) -> String {
    let zh = match level {
        "info" => "提示",
        "low" => "低",
        "medium" => "中",
        "high" => "高",
        "critical" => "严重",
        _ => "未知",
    };
    both(language, zh, level)
}

/// How many findings, how old, and by when it must be taken.
#[must_use]
pub fn facts(language: Language, line: &Line, now_ms: i64) -> String {
    let (age_zh, age_en) = age(now_ms.saturating_sub(line.opened_ms));
    let findings = if line.findings == 1 { "finding" } else { "findings" };
    let mut told = both(
        language,
        &format!("{} 处命中，{age_zh}前", line.findings),
        &format!("{} {findings}, {age_en} ago", line.findings),
    );
    if let Some(by) = line.respond_by_ms.and_then(minute_in_china) {
        told.push_str(if language.zh() { "；" } else { "; " });
        told.push_str(&both(language, &format!("须在 {by} 前受理"), &format!("take it by {by}")));
    }
    told
}

/// What stands where a text was cut.
#[must_use]
pub fn and_more(language: Language, more: usize) -> String {
    both(language, &format!("…… 另有 {more} 条"), &format!("… and {more} more"))
}

/// A text that says that it is a test.
#[must_use]
pub fn test(language: Language, target: &str) -> String {
    both(
        language,
        &format!("哨所测试消息：目标 {target} 可以收到通知。"),
        &format!("Watchpost test: notifications reach the target {target}."),
    )
}

fn age(ms: i64) -> (String, String) {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0..=59 => (format!("{minutes} 分钟"), format!("{minutes} min")),
        60..=2879 => (format!("{} 小时", minutes / 60), format!("{} h", minutes / 60)),
        _ => (format!("{} 天", minutes / 1440), format!("{} days", minutes / 1440)),
    }
}

/// Text on one line of at most so many characters, without characters that steer what stands around them.
fn shortened(text: &str, characters: usize) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut plain = text.chars().map(|c| if steers(c) { ' ' } else { c });
    let mut short: String = plain.by_ref().take(characters).collect();
    if plain.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::notify) fn telling() -> Telling {
        Telling {
            alert: "ab".repeat(32),
            what: Some(What::Opened),
            rank: 4,
            level: "high",
            pack: "finance-conduct".into(),
            rule: "fin.guaranteed-return".into(),
            title: Some(("承诺保本保收益".into(), "Guaranteed returns promised".into())),
            category: "mis-selling".into(),
            account: "acme/zhang3".into(),
            name: "张三".into(),
            department: "sales".into(),
            site: "hangzhou".into(),
            findings: 3,
            opened_ms: 1_700_000_000_000,
            respond_by_ms: Some(1_700_003_600_000),
            masked_excerpt: Some("这款产品保本保收益，**电 1**".into()),
        }
    }

    #[test]
    fn a_route_tells_no_more_than_it_discloses() {
        let route = Route::to("duty");
        let line = Line::of(telling(), &route, Some("https://console.example/"));
        assert_eq!((line.person.as_str(), line.excerpt), ("acme/zhang3", None));
        assert_eq!(line.url.unwrap(), format!("https://console.example/alerts/{}", "ab".repeat(32)));
        let masked = Route { disclosure: Disclosure::Masked, ..route };
        let line = Line::of(telling(), &masked, None);
        assert_eq!(line.person, "张三");
        assert_eq!(line.excerpt.unwrap(), telling().masked_excerpt.unwrap());
        let without = Line::of(Telling { masked_excerpt: None, name: String::new(), ..telling() }, &masked, None);
        assert_eq!((without.person.as_str(), without.excerpt), ("acme/zhang3", None));
    }

    #[test]
    fn texts_are_in_the_language_of_the_route() {
        let line = |language| Line::of(telling(), &Route { language, ..Route::to("duty") }, None);
        let said = |language| {
            let it = line(language);
            let opened = [Some(What::Opened); 2];
            [
                headline(language, &opened),
                it.title.clone(),
                facts(language, &it, 1_700_000_300_000),
                and_more(language, 7),
            ]
            .join("|")
        };
        assert_eq!(
            said(Language::Zh),
            "哨所：2 条新告警|承诺保本保收益|3 处命中，5 分钟前；须在 2023-11-15 07:13+08:00 前受理|…… 另有 7 条"
        );
        assert_eq!(
            said(Language::En),
            "Watchpost: 2 alerts new|Guaranteed returns promised|3 findings, 5 min ago; take it by 2023-11-15 07:13+08:00|… and 7 more"
        );
        let both = said(Language::Both);
        assert!(both.contains("2 条新告警 Watchpost") && both.contains("3 处命中，5 分钟前 3 findings"), "{both}");
    }

    #[test]
    fn nothing_in_a_name_steers_a_text() {
        assert_eq!(shortened("a\nb\u{202e}c", 9), "a b c");
        assert_eq!(shortened("一二三四五", 4), "一二三…");
        assert_eq!(shortened("一二三四", 4), "一二三四");
    }
}
