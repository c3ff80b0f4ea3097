//! Which alerts a page shows: as its address says it, as the API takes it, and as search says it.

use maud::{Markup, html};
use serde::Deserialize;

use super::says;
use crate::alerts::work::State;
use crate::alerts::{self, Group, level_name};
use crate::search::query::{Field, Query, Term};
use crate::web::api::alerts::Which;
use crate::web::console::parts::{choice, field};
use crate::web::console::tongue;
use crate::web::console::view::View;
use crate::web::problem::Problem;

/// Names offered in one choice.
const OFFERED: u32 = 40;
const DAY_MS: i64 = 86_400_000;

/// As the address has it. What is empty asks for any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub(super) view: String,
    pub(super) level: String,
    pub(super) pack: String,
    pub(super) rule: String,
    pub(super) person: String,
    pub(super) department: String,
    pub(super) site: String,
    pub(super) assignee: String,
    pub(super) day: String,
    pub(super) cursor: String,
    /// What a step did, told once.
    pub(super) changed: Option<u64>,
    pub(super) unchanged: Option<u64>,
}

/// Views, each a tab.
pub(super) const VIEWS: [(&str, &str, &str); 6] = [
    ("", "待处理", "To do"),
    ("mine", "我的", "Mine"),
    ("overdue", "超时", "Overdue"),
    ("appealed", "申诉", "Objections"),
    ("closed", "已结案", "Closed"),
    ("suppressed", "已抑制", "Suppressed"),
];

impl Wanted {
    /// As the API takes it.
    pub(super) fn which(&self) -> Which {
        let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let view = self.view.as_str();
        Which {
            state: (view == "closed").then_some(State::Closed),
            unclosed: matches!(view, "" | "mine" | "overdue"),
            mine: view == "mine",
            overdue: view == "overdue",
            appealed: view == "appealed",
            suppressed: view == "suppressed",
            newest: matches!(view, "closed" | "suppressed"),
            level: said(&self.level),
            pack: said(&self.pack),
            rule: said(&self.rule),
            person: said(&self.person),
            department: said(&self.department),
            site: said(&self.site),
            // A minus stands for nobody.
            assignee: said(&self.assignee).map(|name| if name == "-" { String::new() } else { name }),
            day: said(&self.day),
            cursor: said(&self.cursor),
            ..Which::default()
        }
    }

    fn fields(&self) -> [(&'static str, &str); 8] {
        [
            ("level", &self.level),
            ("pack", &self.pack),
            ("rule", &self.rule),
            ("person", &self.person),
            ("department", &self.department),
            ("site", &self.site),
            ("assignee", &self.assignee),
            ("day", &self.day),
        ]
    }

    /// Whether it asks for less than its view.
    pub(super) fn is_narrow(&self) -> bool {
        self.fields().iter().any(|(_, value)| !value.is_empty())
    }

    /// Without page and what was told.
    pub(super) fn text(&self) -> String {
        let fields = self.fields().into_iter().chain([("view", self.view.as_str())]);
        encoded(fields.filter(|(_, value)| !value.is_empty()))
    }

    /// The address of its first page.
    pub(super) fn path(&self) -> String {
        at("/alerts", &self.text())
    }

    pub(super) fn page(&self, cursor: &str) -> String {
        let fields = self.fields().into_iter().chain([("view", self.view.as_str()), ("cursor", cursor)]);
        at("/alerts", &encoded(fields.filter(|(_, value)| !value.is_empty())))
    }

    /// The same in another view.
    pub(super) fn in_view(&self, view: &str) -> String {
        Self { view: view.to_owned(), ..self.clone() }.path()
    }

    /// As search has it; nothing where it asks for all.
    pub(super) fn query(&self) -> Option<String> {
        let state = match self.view.as_str() {
            "closed" => "closed",
            "suppressed" => "suppressed",
            _ => "open,taken",
        };
        let level = Some(format!(">={}", self.level)).filter(|_| !self.level.is_empty()).unwrap_or_default();
        let rule = match (self.pack.as_str(), self.rule.as_str()) {
            ("", rule) => rule.to_owned(),
            (pack, "") => format!("{pack}/*"),
            (pack, rule) => format!("{pack}/{rule}"),
        };
        let named = [
            ("rule", rule.as_str()),
            ("level", &level),
            ("person", &self.person),
            ("dept", &self.department),
            ("site", &self.site),
            ("day", &self.day),
        ];
        let terms: Vec<String> =
            named.iter().filter(|(_, it)| !it.is_empty()).map(|(name, it)| term(name, it)).collect();
        (!terms.is_empty()).then(|| format!("state:{state} {}", terms.join(" ")))
    }

    /// The filter that a kept search means; nothing where a filter cannot say it.
    pub(super) fn of_query(text: &str, now_ms: i64) -> Option<Self> {
        let query = Query::parse(text, now_ms).ok()?;
        let mut wanted = Self { view: "all".into(), ..Self::default() };
        for term in &query.terms {
            wanted.take(term)?;
        }
        match (query.since_ms, query.until_ms) {
            (None, None) => {}
            (Some(since), Some(until)) if until - since == DAY_MS && text.contains("day:") => {
                wanted.day = tongue::day(since);
            }
            _ => return None,
        }
        (wanted.view != "all").then_some(wanted)
    }

    fn take(&mut self, term: &Term) -> Option<()> {
        match term {
            Term::Levels { levels, not: false } => {
                let least = levels.iter().min()?;
                // Only from one level on is a filter.
                (levels.len() as i32 == 6 - least).then_some(())?;
                self.level = level_name(*least).to_owned();
            }
            Term::Field { field: Field::State, values, not: false } => {
                self.view = match values.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["open", "taken"] => String::new(),
                    ["closed"] => "closed".into(),
                    ["suppressed"] => "suppressed".into(),
                    _ => return None,
                };
            }
            Term::Field { field, values, not: false } => {
                let [value] = &values[..] else { return None };
                match field {
                    Field::Rule => match value.split_once('/') {
                        Some((pack, "*")) => self.pack = pack.to_owned(),
                        Some((pack, rule)) if !rule.contains('*') => {
                            (self.pack, self.rule) = (pack.to_owned(), rule.to_owned());
                        }
                        None if !value.contains('*') => self.rule = value.clone(),
                        _ => return None,
                    },
                    Field::Person if value.contains('/') && !value.contains('*') => self.person = value.clone(),
                    Field::Department => self.department = value.clone(),
                    Field::Site => self.site = value.clone(),
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }
}

fn term(name: &str, value: &str) -> String {
    if value.contains([' ', '　', ',', '，']) { format!("{name}:\"{value}\"") } else { format!("{name}:{value}") }
}

pub(in crate::web::console) fn encoded<'a>(fields: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    serde_html_form::to_string(fields.collect::<Vec<_>>()).unwrap_or_default()
}

pub(in crate::web::console) fn at(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The form that narrows a list. What can be chosen is what the view has.
pub(super) fn form(view: &View<'_>, wanted: &Wanted) -> Result<Markup, Problem> {
    let tongue = view.tongue();
    let any = view.say("全部", "Any");
    let levels = [
        ("", any),
        ("critical", view.say("仅紧急", "Critical only")),
        ("high", view.say("高及以上", "High and above")),
        ("medium", view.say("中及以上", "Medium and above")),
        ("low", view.say("低及以上", "Low and above")),
    ];
    let of_view = Wanted { view: wanted.view.clone(), ..Wanted::default() }.which().filter(view.ask)?;
    let names = |by: Group, chosen: &str| -> Result<Vec<(String, String)>, Problem> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (pack, name, many) in alerts::groups(view.ask.derived()?, &of_view, by, OFFERED)? {
            let title = if by == Group::Rule { says::rule(view, &pack, &name)? } else { name.clone() };
            let value = if by == Group::Assignee && name.is_empty() { "-".to_owned() } else { name };
            let title = if value == "-" { view.say("无人", "Nobody").to_owned() } else { title };
            if !value.is_empty() {
                found.push((value, format!("{title} ({many})")));
            }
        }
        if !chosen.is_empty() && !found.iter().any(|(value, _)| value == chosen) {
            found.push((chosen.to_owned(), chosen.to_owned()));
        }
        Ok(found)
    };
    let select = |id: &str, label: &str, by: Group, chosen: &str| -> Result<Markup, Problem> {
        let names = names(by, chosen)?;
        let mut options = vec![("", any)];
        options.extend(names.iter().map(|(value, title)| (value.as_str(), title.as_str())));
        Ok(choice(id, label, chosen, &options))
    };
    Ok(html! {
        form.filters method="get" action="/alerts" {
            @if !wanted.view.is_empty() { input type="hidden" name="view" value=(wanted.view); }
            @if !wanted.pack.is_empty() { input type="hidden" name="pack" value=(wanted.pack); }
            (choice("level", view.say("级别", "Level"), &wanted.level, &levels))
            (select("rule", view.say("规则", "Rule"), Group::Rule, &wanted.rule)?)
            (select("department", view.say("部门", "Department"), Group::Department, &wanted.department)?)
            (select("site", view.say("站点", "Site"), Group::Site, &wanted.site)?)
            (select("assignee", view.say("处理人", "Assignee"), Group::Assignee, &wanted.assignee)?)
            (field("person", view.say("账号", "Account"), html! {
                input type="text" id="person" name="person" value=(wanted.person) placeholder="ww1/li.na" autocomplete="off" data-find;
            }, None))
            (field("day", view.say("日期", "Day"), html! { input type="date" id="day" name="day" value=(wanted.day); }, None))
            button type="submit" { (view.say("筛选", "Filter")) }
            @if wanted.is_narrow() { a.button.quiet href=(Wanted::default().in_view(&wanted.view)) { (tongue.of("清除", "Clear")) } }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_kept_comes_back_as_it_was() {
        let filters = [
            Wanted { rule: "fin.x".into(), level: "high".into(), ..Wanted::default() },
            Wanted { pack: "finance-conduct".into(), view: "closed".into(), ..Wanted::default() },
            Wanted { pack: "finance-conduct".into(), rule: "fin.x".into(), ..Wanted::default() },
            Wanted {
                person: "ww1/li.na".into(),
                department: "总行/零售 一部".into(),
                site: "杭州".into(),
                ..Wanted::default()
            },
            Wanted { day: "2026-11-20".into(), ..Wanted::default() },
        ];
        for wanted in filters {
            let query = wanted.query().unwrap();
            assert_eq!(Wanted::of_query(&query, 0), Some(wanted), "{query}");
        }
        assert_eq!(Wanted::default().query(), None);
        for other in [
            "保本",
            "state:open,taken 保本",
            "state:open rule:fin.*",
            "-state:closed",
            "state:closed since:7d",
            "rule:a,b",
        ] {
            assert_eq!(Wanted::of_query(other, 0), None, "{other}");
        }
    }

    #[test]
    fn an_address_says_what_is_asked_for_and_no_more() {
        let wanted = Wanted { view: "mine".into(), rule: "a&b=保".into(), cursor: "x".into(), ..Wanted::default() };
        assert_eq!(wanted.path(), "/alerts?rule=a%26b%3D%E4%BF%9D&view=mine");
        assert_eq!(wanted.in_view(""), "/alerts?rule=a%26b%3D%E4%BF%9D");
        assert_eq!(serde_html_form::from_str::<Wanted>(&wanted.text()).unwrap().rule, "a&b=保");
    }
}
