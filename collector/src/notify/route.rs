//! Routes: which alerts are told to which target, when and how. Settings `route/NAME`, JSON.
//!
//! Every route that fits an event tells it, each in messages of its own: there is no order among routes and none ends the
//! search. Two routes to the same target tell an alert twice where both fit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use watchpost_proto::v1::Level;

use super::plan::{AlertFacts, What};
use super::target::is_name;

/// Before the name of a route among settings.
pub const PREFIX: &str = "route/";
/// Names in one list of a route.
const LIST_MAX: usize = 100;
/// Longest name in such a list, in bytes.
const WORD_BYTES_MAX: usize = 128;
/// Longest any of the waits may be.
const WAIT_S_MAX: u64 = 24 * 3600;
/// Less often than that nothing is repeated.
const REPEAT_S_MIN: u64 = 60;

/// Which alerts are told to a target, when and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The target, by its name in the configuration.
    pub target: String,
    /// This level and those above.
    #[serde(default)]
    pub level: AtLeast,
    /// Categories of rules; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Departments of the person concerned, each with those below it (`sales` has `sales/east`); empty for all, also for persons without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub departments: Vec<String>,
    /// Sites of the person concerned; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// What is told of an alert.
    #[serde(default = "default_events")]
    pub events: BTreeSet<What>,
    /// When messages may go; what comes at another time waits for it.
    #[serde(default)]
    pub when: When,
    /// Which events come in one message.
    #[serde(default)]
    pub group_by: GroupBy,
    /// How long the first event of a group waits for others, seconds.
    #[serde(default = "default_group_wait")]
    pub group_wait_s: u64,
    /// How long a group is silent after a message, seconds.
    #[serde(default = "default_group_interval")]
    pub group_interval_s: u64,
    /// After which time alerts that nobody has taken are told again, seconds; 0 for never.
    #[serde(default)]
    pub repeat_s: u64,
    /// How much is told.
    #[serde(default)]
    pub disclosure: Disclosure,
    /// In which language.
    #[serde(default)]
    pub language: Language,
    /// Whether a message that may have arrived is sent again. Without it: to a webhook, which can tell by the id, and not to a robot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend_uncertain: Option<bool>,
    /// Nothing goes until then, milliseconds since 1970; what comes meanwhile waits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pause_until_ms: i64,
}

/// A level as routes name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtLeast {
    /// `info`.
    Info,
    /// `low`.
    Low,
    /// `medium`.
    Medium,
    /// `high`.
    #[default]
    High,
    /// `critical`.
    Critical,
}

impl AtLeast {
    pub(super) fn number(self) -> i32 {
        let level = match self {
            Self::Info => Level::Info,
            Self::Low => Level::Low,
            Self::Medium => Level::Medium,
            Self::High => Level::High,
            Self::Critical => Level::Critical,
        };
        level as i32
    }
}

/// When messages of a route may go, by the calendar of the person's site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// At any time.
    #[default]
    Always,
    /// In work time alone.
    Work,
    /// Outside work time alone.
    Off,
}

/// Which events come in one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// Those of one rule.
    #[default]
    Rule,
    /// Those about one person.
    Person,
    /// All of the route.
    Route,
}

/// How much of an alert is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disclosure {
    /// The account, and no excerpt.
    #[default]
    None,
    /// The employee's name, and an excerpt where the device has masked it.
    Masked,
}

/// The language of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Chinese.
    Zh,
    /// English.
    En,
    /// Both.
    #[default]
    Both,
}

impl Language {
    /// Whether Chinese is in it.
    #[must_use]
    pub fn zh(self) -> bool {
        self != Self::En
    }

    /// Whether English is in it.
    #[must_use]
    pub fn en(self) -> bool {
        self != Self::Zh
    }
}

fn default_events() -> BTreeSet<What> {
    [What::Opened, What::Escalated, What::Reopened].into()
}

fn default_group_wait() -> u64 {
    30
}

fn default_group_interval() -> u64 {
    300
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Route {
    /// A route to a target with everything as it is by default.
    #[must_use]
    pub fn to(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            level: AtLeast::default(),
            categories: Vec::new(),
            departments: Vec::new(),
            sites: Vec::new(),
            events: default_events(),
            when: When::default(),
            group_by: GroupBy::default(),
            group_wait_s: default_group_wait(),
            group_interval_s: default_group_interval(),
            repeat_s: 0,
            disclosure: Disclosure::default(),
            language: Language::default(),
            resend_uncertain: None,
            pause_until_ms: 0,
        }
    }

    /// Reads a route.
    ///
    /// # Errors
    /// A sentence that says what cannot be.
    pub fn parse(json: &str) -> Result<Self, String> {
        let route: Self = serde_json::from_str(json).map_err(|error| format!("the route cannot be read: {error}"))?;
        route.check()?;
        Ok(route)
    }

    fn check(&self) -> Result<(), String> {
        if !is_name(&self.target) {
            return Err(format!("target {:?} is not the name of a target", self.target));
        }
        for (what, list) in
            [("categories", &self.categories), ("departments", &self.departments), ("sites", &self.sites)]
        {
            let sound =
                |word: &String| !word.is_empty() && word.len() <= WORD_BYTES_MAX && !word.contains(char::is_control);
            if list.len() > LIST_MAX || !list.iter().all(sound) {
                return Err(format!("{what} are at most {LIST_MAX} names of 1 to {WORD_BYTES_MAX} bytes"));
            }
        }
        if self.events.is_empty() || self.events.contains(&What::Reminded) {
            return Err("events are some of opened, escalated, reopened, assigned and appealed".into());
        }
        for (what, wait) in [
            ("group_wait_s", self.group_wait_s),
            ("group_interval_s", self.group_interval_s),
            ("repeat_s", self.repeat_s),
        ] {
            if wait > WAIT_S_MAX {
                return Err(format!("{what} is at most {WAIT_S_MAX}, a day"));
            }
        }
        if self.repeat_s > 0 && self.repeat_s < REPEAT_S_MIN {
            return Err(format!("repeat_s is 0 or at least {REPEAT_S_MIN}"));
        }
        Ok(())
    }

    /// Whether an event of an alert is told on this route.
    #[must_use]
    pub fn takes(&self, what: What, alert: &AlertFacts) -> bool {
        self.events.contains(&what) && self.fits(alert)
    }

    /// Whether an alert is one of this route.
    #[must_use]
    pub fn fits(&self, alert: &AlertFacts) -> bool {
        let any = |list: &[String], fits: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|word| fits(word));
        let below = |parent: &str| {
            alert.department.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        alert.level >= self.level.number()
            && any(&self.categories, &|category| category == alert.category)
            && any(&self.departments, &below)
            && any(&self.sites, &|site| site == alert.site)
    }
}

/// Checks a setting whose name begins with [`PREFIX`].
///
/// # Errors
/// A sentence that says what cannot be.
pub fn check_setting(name: &str, value: &str) -> Result<(), String> {
    let own = name.strip_prefix(PREFIX).unwrap_or(name);
    if !is_name(own) {
        return Err(format!("{own:?}: the name of a route is 1 to 64 characters of a-z, 0-9, - and _"));
    }
    if value.is_empty() { Ok(()) } else { Route::parse(value).map(drop) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::plan::tests::alert;

    #[test]
    fn what_is_left_out_has_its_default_and_what_cannot_be_is_said() {
        assert_eq!(Route::parse("{\"target\":\"duty\"}").unwrap(), Route::to("duty"));
        let written = serde_json::to_string(&Route::to("duty")).unwrap();
        assert_eq!(Route::parse(&written).unwrap(), Route::to("duty"));
        for (json, part) in [
            ("", "cannot be read"),
            ("{}", "target"),
            ("{\"target\":\"Duty\"}", "Duty"),
            ("{\"target\":\"d\",\"urll\":\"x\"}", "urll"),
            ("{\"target\":\"d\",\"level\":\"severe\"}", "severe"),
            ("{\"target\":\"d\",\"events\":[]}", "events"),
            ("{\"target\":\"d\",\"events\":[\"reminded\"]}", "events"),
            ("{\"target\":\"d\",\"group_wait_s\":86401}", "group_wait_s"),
            ("{\"target\":\"d\",\"group_interval_s\":-1}", "cannot be read"),
            ("{\"target\":\"d\",\"repeat_s\":59}", "repeat_s"),
            ("{\"target\":\"d\",\"sites\":[\"\"]}", "sites"),
            ("{\"target\":\"d\",\"disclosure\":\"context\"}", "context"),
        ] {
            let error = Route::parse(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
        assert!(check_setting("route/duty", "").is_ok());
        assert!(check_setting("route/a b", "{\"target\":\"d\"}").is_err());
        assert!(check_setting("route/ab", "{\"target\":1}").is_err());
    }

    #[test]
    fn a_route_takes_what_fits_every_condition() {
        let it = AlertFacts {
            level: Level::High as i32,
            category: "mis-selling".into(),
            department: "sales/east".into(),
            site: "hangzhou".into(),
            ..alert(1)
        };
        let with = |change: &dyn Fn(&mut Route)| {
            let mut route = Route::to("d");
            change(&mut route);
            route.takes(What::Opened, &it)
        };
        assert!(with(&|_| {}));
        assert!(with(&|route| route.level = AtLeast::Info));
        assert!(!with(&|route| route.level = AtLeast::Critical));
        assert!(with(&|route| route.categories = vec!["other".into(), "mis-selling".into()]));
        assert!(!with(&|route| route.categories = vec!["other".into()]));
        assert!(with(&|route| route.departments = vec!["sales".into()]));
        assert!(with(&|route| route.departments = vec!["sales/east".into()]));
        assert!(!with(&|route| route.departments = vec!["sal".into()]));
        assert!(!with(&|route| route.departments = vec!["sales/east/1".into()]));
        assert!(with(&|route| route.sites = vec!["hangzhou".into()]));
        assert!(!with(&|route| route.sites = vec!["beijing".into()]));
        assert!(!with(&|route| route.events = [What::Assigned].into()));
    }
}
