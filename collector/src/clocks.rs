//! Until when an alert is to be taken and dealt with: by its level, in work time of the site of the person concerned.
//!
//! Settings: `response` says how long for each level, `calendar/SITE` when a site works, and `calendar/default` when
//! the others do. Without them: the presets below, and the Chinese calendar.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use watchpost_policy::calendar::Calendar;
use watchpost_policy::rules;
use watchpost_proto::v1::Level;

use crate::alerts::level_name;
use crate::derive::DeriveError;
use crate::settings;

/// The setting that says how long for each level.
pub const RESPONSE: &str = "response";
/// Before the name of a site.
pub const CALENDAR: &str = "calendar";
/// The calendar of sites that have none of their own.
pub const DEFAULT_SITE: &str = "default";

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Longest time anything may take: a year.
const TIME_MAX_MS: i64 = 366 * 24 * HOUR_MS;

/// How a level is responded to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Work time until somebody has to take it, like `5m` or `24h`.
    pub take: Duration,
    /// Work time until it has to be dealt with. A rule's own `sla` goes before it.
    pub close: Duration,
    /// What to do, step by step.
    #[serde(default)]
    pub steps: Vec<Text>,
}

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// A length of time: `30s`, `5m`, `24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    /// Milliseconds.
    pub ms: i64,
}

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no time; write 5m or 24h, at most 8784h"))
    }
}

impl Duration {
    fn parse(text: &str) -> Option<Self> {
        let unit = text.chars().last()?;
        let of_unit = match unit {
            's' => 1_000,
            'm' => MINUTE_MS,
            'h' => HOUR_MS,
            _ => return None,
        };
        let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number > 0)?;
        let ms = number.checked_mul(of_unit).filter(|ms| *ms <= TIME_MAX_MS)?;
        Some(Self { ms })
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        let ms = duration.ms;
        match () {
            () if ms % HOUR_MS == 0 => format!("{}h", ms / HOUR_MS),
            () if ms % MINUTE_MS == 0 => format!("{}m", ms / MINUTE_MS),
            () => format!("{}s", ms / 1_000),
        }
    }
}

/// How every level is responded to, by its name.
pub type Responses = BTreeMap<String, Response>;

/// What holds where nobody has said otherwise. Level `info` has no clocks.
#[must_use]
pub fn presets() -> Responses {
    let text = |zh: &str, en: &str| Text { zh: zh.into(), en: en.into() };
    let steps = || {
        vec![
            text(
                "查看命中内容与上下文摘要，确认是否属实",
                "Read what matched and why; decide whether it is as the rule says",
            ),
            text("联系当事人所在部门负责人", "Talk to whoever is responsible for the person's department"),
            text(
                "写明结论与依据，必要时导出证据包",
                "Write down the conclusion and its grounds; export the evidence if it may be needed",
            ),
        ]
    };
    let at_once = text(
        "立即止损：暂停转账、撤回文件或停用账号",
        "Stop the damage now: halt payments, recall files, suspend the account",
    );
    let preset = |take: i64, close: i64, first: Option<&Text>| Response {
        take: Duration { ms: take },
        close: Duration { ms: close },
        steps: first.cloned().into_iter().chain(steps()).collect(),
    };
    [
        (Level::Critical, preset(5 * MINUTE_MS, 4 * HOUR_MS, Some(&at_once))),
        (Level::High, preset(10 * MINUTE_MS, 24 * HOUR_MS, None)),
        (Level::Medium, preset(4 * HOUR_MS, 45 * HOUR_MS, None)),
        (Level::Low, preset(24 * HOUR_MS, 90 * HOUR_MS, None)),
    ]
    .into_iter()
    .map(|(level, response)| (level_name(level as i32).to_owned(), response))
    .collect()
}

/// Whether a value can be the setting `response`.
///
/// # Errors
/// What is wrong with it.
pub fn check_responses(value: &str) -> Result<(), String> {
    let responses: Responses = serde_json::from_str(value).map_err(|error| format!("the responses: {error}"))?;
    let known = presets();
    match responses.iter().find(|(level, response)| !known.contains_key(*level) || response.close.ms < response.take.ms)
    {
        Some((level, _)) if !known.contains_key(level) => {
            Err(format!("{level:?} is no level with clocks; they are critical, high, medium and low"))
        }
        Some((level, _)) => Err(format!("{level}: it cannot have to be dealt with before it has to be taken")),
        None => Ok(()),
    }
}

/// Whether a value can be a calendar: a JSON string with the text of a calendar as packs have it.
///
/// # Errors
/// What is wrong with it.
pub fn check_calendar(value: &str) -> Result<(), String> {
    let text: String =
        serde_json::from_str(value).map_err(|_| "a calendar is set as a JSON string with its YAML text".to_owned())?;
    rules::calendar(&text).map(drop).map_err(|mistakes| {
        let told: Vec<String> =
            mistakes.iter().map(|mistake| format!("line {}: {}", mistake.line, mistake.text)).collect();
        told.join("; ")
    })
}

/// The clocks in force.
#[derive(Clone, Debug)]
pub struct Clocks {
    responses: Responses,
    calendars: BTreeMap<String, Calendar>,
    otherwise: Calendar,
}

/// When an alert has to be taken, and dealt with; `None` where no clock runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Taken by somebody.
    pub take_ms: Option<i64>,
    /// Dealt with.
    pub close_ms: Option<i64>,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { responses: presets(), calendars: BTreeMap::new(), otherwise: Calendar::cn() }
    }
}

impl Clocks {
    /// Reads the settings.
    ///
    /// # Errors
    /// The database.
    pub fn read(db: &Connection) -> Result<Self, DeriveError> {
        let mut clocks = Self::default();
        if let Some(own) = settings::read::<Responses>(db, RESPONSE)? {
            clocks.responses.extend(own);
        }
        for setting in settings::list(db, &format!("{CALENDAR}/"))? {
            let read = serde_json::from_str::<String>(&setting.value).ok().and_then(|text| rules::calendar(&text).ok());
            match (setting.name.strip_prefix("calendar/"), read) {
                (Some(DEFAULT_SITE), Some(calendar)) => clocks.otherwise = calendar,
                (Some(site), Some(calendar)) => drop(clocks.calendars.insert(site.to_owned(), calendar)),
                _ => {}
            }
        }
        Ok(clocks)
    }

    /// The calendar of a site.
    #[must_use]
    pub fn calendar(&self, site: &str) -> &Calendar {
        self.calendars.get(site).unwrap_or(&self.otherwise)
    }

    /// How a level is responded to; one that is higher than any known, as the highest.
    #[must_use]
    pub fn response(&self, level: i32) -> Option<&Response> {
        self.responses.get(level_name(level.min(Level::Critical as i32)))
    }

    /// When an alert of this level has to be taken and dealt with, its clocks running from `from_ms`. `sla_s` is the rule's own
    /// time in seconds, 0 where it names none.
    #[must_use]
    pub fn due(&self, site: &str, level: i32, sla_s: i64, from_ms: i64) -> Due {
        let calendar = self.calendar(site);
        let response = self.response(level);
        let own = Some(sla_s).filter(|s| *s > 0).map(|s| s.saturating_mul(1_000).min(TIME_MAX_MS));
        let close = own.or(response.map(|response| response.close.ms));
        let take = response.map(|response| response.take.ms.min(close.unwrap_or(i64::MAX)));
        Due {
            take_ms: take.and_then(|ms| calendar.after_work(from_ms, ms)),
            close_ms: close.and_then(|ms| calendar.after_work(from_ms, ms)),
        }
    }
}
