//! Everything the page and the files are made from.

use std::collections::HashMap;
use std::sync::Arc;

use watchpost_policy::my_data::{Category, Day, Notice};
use watchpost_proto::v1::Finding;

use crate::alerts;
use crate::my_data::rules::{self, Rules};
use crate::my_data::{self, Told};
use crate::trail::{self, Filter};
use crate::web::ask::Ask;
use crate::web::held;
use crate::web::problem::Problem;
use crate::web::visits::{self, Visit};

/// Rows of the trail that are looked through for openings of this page.
const OPENINGS_MAX: u32 = 50;

/// Findings that people deal with together, or one that nobody deals with.
pub(super) struct Group {
    /// The alert; nothing where nobody deals with it.
    pub(super) alert: Option<String>,
    /// What was told, the newest first.
    pub(super) told: Vec<Told>,
}

/// What is about somebody.
pub(super) struct Mine {
    /// The newest first.
    pub(super) groups: Vec<Group>,
    pub(super) mentioned: u64,
    pub(super) days: Vec<Day>,
    pub(super) notices: Vec<(String, Option<Notice>)>,
    pub(super) rules: Vec<Arc<Rules>>,
    /// When links were handed out and opened: the word of the trail, and the moment.
    pub(super) openings: Vec<(String, i64)>,
}

/// Whether one may object where an objection stands so. One that was denied is not judged again here.
pub(super) fn may_object(appeal: Option<&str>) -> bool {
    matches!(appeal, None | Some("granted"))
}

impl Mine {
    pub(super) fn read(ask: &Ask<'_>, visit: &Visit) -> Result<Self, Problem> {
        let (db, about) = (ask.derived()?, visits::told(ask, visit)?);
        let in_force = rules::in_force(db, &visit.accounts)?;
        let mut notices = Vec::new();
        for account in &visit.accounts {
            notices.push((account.clone(), my_data::notice(db, account)?));
        }
        Ok(Self {
            groups: groups(&about.told),
            mentioned: about.mentioned,
            days: my_data::days(db, &visit.accounts, ask.now_ms)?,
            notices,
            rules: held(&ask.site.rules).rules(ask.log(), &in_force)?,
            openings: openings(ask, visit)?,
        })
    }

    /// What a rule is called: Chinese and English. Of a rule with a confidential word list, and of one that is not in force any more, it is not said.
    pub(super) fn title(&self, finding: &Finding) -> (String, String) {
        let known = self.rules.iter().find_map(|rules| rules.title(&finding.pack, &finding.rule));
        let (zh, en) = match known {
            Some((zh, en)) if !zh.is_empty() => return (zh, en),
            Some(_) => ("使用保密词表的规则", "A rule with a confidential word list"),
            None => ("已不在现行策略中的规则", "A rule of an earlier policy"),
        };
        (zh.to_owned(), en.to_owned())
    }

    /// The rules in force by category, of all policies together.
    pub(super) fn categories(&self) -> impl Iterator<Item = &Category> {
        self.rules.iter().flat_map(|rules| &rules.categories)
    }

    /// Findings told.
    pub(super) fn told(&self) -> usize {
        self.groups.iter().map(|group| group.told.len()).sum()
    }

    /// How objections to these stand, by alert.
    pub(super) fn appeals<'g>(
        ask: &Ask<'_>,
        groups: impl Iterator<Item = &'g Group>,
    ) -> Result<HashMap<String, Option<&'static str>>, Problem> {
        let mut appeals = HashMap::new();
        for id in groups.filter_map(|group| group.alert.as_ref()) {
            let found = alerts::find(ask.derived()?, &hex::decode(id).unwrap_or_default())?;
            if let Some(alert) = found {
                appeals.insert(id.clone(), alert.appeal);
            }
        }
        Ok(appeals)
    }
}

fn groups(told: &[Told]) -> Vec<Group> {
    let (mut groups, mut places): (Vec<Group>, HashMap<&str, usize>) = Default::default();
    for one in told {
        let known = one.alert.as_deref().and_then(|alert| places.get(alert).copied());
        match known.and_then(|place| groups.get_mut(place)) {
            Some(group) => group.told.push(one.clone()),
            None => {
                if let Some(alert) = &one.alert {
                    places.insert(alert, groups.len());
                }
                groups.push(Group { alert: one.alert.clone(), told: vec![one.clone()] });
            }
        }
    }
    groups
}

fn openings(ask: &Ask<'_>, visit: &Visit) -> Result<Vec<(String, i64)>, Problem> {
    let mut all = Vec::new();
    for account in &visit.accounts {
        let filter = Filter { subject: Some(account.clone()), ..Filter::default() };
        let rows = trail::list(ask.derived()?, &filter, OPENINGS_MAX)?;
        all.extend(
            rows.into_iter().filter(|row| row.verb.starts_with("employee-link")).map(|row| (row.verb, row.at_ms)),
        );
    }
    all.sort_by_key(|(_, at_ms)| std::cmp::Reverse(*at_ms));
    Ok(all)
}
