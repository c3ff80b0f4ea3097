//! Accounts as a roster has them: managed from a day until another, with other labels at other times; and what a device allows at most.

use std::collections::BTreeSet;

use super::{Accounts, Entry};
use crate::message::Corp;

/// When an account is managed, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first moment, milliseconds since 1970.
    pub from_ms: i64,
    /// The first moment after it; [`i64::MAX`] while it goes on.
    pub until_ms: i64,
    /// Labels (department, post, site …).
    pub labels: Vec<String>,
}

impl Period {
    fn holds(&self, at_ms: Option<i64>) -> bool {
        match at_ms {
            Some(at_ms) => (self.from_ms..self.until_ms).contains(&at_ms),
            // Nobody knows when it was: as the account stands in the end.
            None => self.until_ms == i64::MAX,
        }
    }
}

/// What a device allows at most, whatever a roster says.
#[derive(Clone, Debug, Default)]
pub struct Ceiling {
    /// The device's own list: only its accounts are managed, and those it never looks at are never looked at.
    pub list: Option<Accounts>,
    /// `corp/userid` of the only accounts managed here; empty where there is no such bound.
    pub only: Vec<String>,
}

impl Entry {
    /// The labels an account is managed with at a moment; `None` while it is not managed.
    #[must_use]
    pub fn managed_at(&self, at_ms: Option<i64>) -> Option<&[String]> {
        match &self.periods {
            None => Some(&self.labels),
            Some(periods) => periods.iter().find(|period| period.holds(at_ms)).map(|period| period.labels.as_slice()),
        }
    }
}

impl Accounts {
    /// No accounts, of a roster with this version.
    #[must_use]
    pub fn of_roster(version: u64) -> Self {
        Self { version, ..Self::default() }
    }

    /// Version of the roster they come from; 0 for a list of the device's own.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Adds an account that is managed in some periods.
    pub fn add(&mut self, corp: &str, userid: &str, periods: Vec<Period>) {
        let users = self.corps.entry(corp.to_owned()).or_default();
        let entry = users.entry(userid.to_ascii_lowercase()).or_insert_with(Entry::unmanaged);
        entry.periods = Some(periods);
    }

    /// Messages with this account among the parties are never evaluated from now on.
    pub fn never_look_at(&mut self, corp: &str, userid: &str) {
        let users = self.corps.entry(corp.to_owned()).or_default();
        users.entry(userid.to_ascii_lowercase()).or_insert_with(Entry::unmanaged).never = true;
    }

    /// Number of accounts that are managed at a moment.
    #[must_use]
    pub fn managed_at(&self, at_ms: i64) -> usize {
        let all = self.corps.values().flat_map(std::collections::HashMap::values);
        all.filter(|entry| !entry.never && entry.managed_at(Some(at_ms)).is_some()).count()
    }

    /// As far as the device allows: never more accounts managed, never fewer that are never looked at.
    #[must_use]
    pub fn under(mut self, ceiling: &Ceiling) -> Self {
        let only: BTreeSet<(&str, String)> = ceiling
            .only
            .iter()
            .filter_map(|account| account.split_once('/'))
            .map(|(corp, userid)| (corp, userid.to_ascii_lowercase()))
            .collect();
        for (corp, users) in &mut self.corps {
            let named = Corp::new(corp.as_str());
            for (userid, entry) in users {
                let is_listed = ceiling.list.as_ref().is_none_or(|list| list.get(&named, userid).is_some());
                if !is_listed || !only.is_empty() && !only.contains(&(corp.as_str(), userid.clone())) {
                    entry.periods = Some(Vec::new());
                }
            }
        }
        for (corp, users) in ceiling.list.iter().flat_map(|list| &list.corps) {
            for (userid, _) in users.iter().filter(|(_, entry)| entry.never) {
                self.never_look_at(corp, userid);
            }
        }
        self
    }

    /// The accounts of a ceiling alone, for a device without a roster; `None` where it has none.
    #[must_use]
    pub fn of_ceiling(ceiling: Ceiling) -> Option<Self> {
        let list = match (ceiling.list, ceiling.only.is_empty()) {
            (list, true) => return list,
            (Some(list), false) => list,
            (None, false) => {
                let mut list = Self::default();
                for (corp, userid) in ceiling.only.iter().filter_map(|account| account.split_once('/')) {
                    list.corps
                        .entry(corp.to_owned())
                        .or_default()
                        .insert(userid.to_ascii_lowercase(), Entry { periods: None, ..Entry::unmanaged() });
                }
                list
            }
        };
        Some(list.under(&Ceiling { list: None, only: ceiling.only }))
    }
}

impl Entry {
    fn unmanaged() -> Self {
        Self { name: String::new(), labels: Vec::new(), never: false, periods: Some(Vec::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn period(from: i64, until: i64, label: &str) -> Period {
        Period { from_ms: from * DAY, until_ms: until.saturating_mul(DAY), labels: vec![label.to_owned()] }
    }

    fn roster() -> Accounts {
        let mut accounts = Accounts::of_roster(7);
        accounts.add("ww1", "Li.Na", vec![period(10, 20, "sales"), period(20, i64::MAX, "risk")]);
        accounts.add("ww1", "wang", vec![period(0, 15, "sales")]);
        accounts.add("ww1", "counsel", vec![period(0, i64::MAX, "legal")]);
        accounts.never_look_at("ww1", "Counsel");
        accounts
    }

    fn labels(accounts: &Accounts, userid: &str, day: Option<i64>) -> Option<String> {
        let entry = accounts.get(&Corp::new("ww1"), userid)?;
        entry.managed_at(day.map(|day| day * DAY)).map(|labels| labels.join(","))
    }

    #[test]
    fn an_account_is_managed_in_its_periods_with_their_labels() {
        let accounts = roster();
        for (userid, day, expected) in [
            ("li.na", Some(9), None),
            ("li.na", Some(10), Some("sales")),
            ("LI.NA", Some(19), Some("sales")),
            ("li.na", Some(20), Some("risk")),
            ("li.na", None, Some("risk")),
            ("wang", Some(14), Some("sales")),
            ("wang", Some(15), None),
            ("wang", None, None),
            ("nobody", Some(15), None),
        ] {
            assert_eq!(labels(&accounts, userid, day).as_deref(), expected, "{userid} {day:?}");
        }
        assert_eq!((accounts.managed_at(16 * DAY), accounts.managed_at(12 * DAY)), (1, 2));
        assert_eq!((accounts.version(), accounts.never()), (7, 1));
    }

    #[test]
    fn a_device_lifts_nothing_and_forgets_nobody_who_is_never_looked_at() {
        let list = Accounts::parse(b"corp,userid,name,labels,never\nww1,li.na,,,\nww1,works.council,,,true\n").unwrap();
        let ceiling = Ceiling { list: Some(list.clone()), only: Vec::new() };
        let accounts = roster().under(&ceiling);
        assert_eq!(labels(&accounts, "li.na", Some(12)).as_deref(), Some("sales"));
        assert_eq!(labels(&accounts, "wang", Some(12)), None, "not on the device's list");
        for never in ["works.council", "counsel"] {
            assert!(accounts.get(&Corp::new("ww1"), never).unwrap().never, "{never}");
        }
        let only = Ceiling { list: None, only: vec!["ww1/Wang".into()] };
        let accounts = roster().under(&only);
        assert_eq!((labels(&accounts, "wang", Some(12)).is_some(), labels(&accounts, "li.na", Some(12))), (true, None));
        assert!(accounts.get(&Corp::new("ww1"), "counsel").unwrap().never);
    }

    #[test]
    fn a_ceiling_alone_is_a_list() {
        assert!(Accounts::of_ceiling(Ceiling::default()).is_none());
        let only = vec!["ww1/li.na".to_owned()];
        let alone = Accounts::of_ceiling(Ceiling { list: None, only: only.clone() }).unwrap();
        assert!(labels(&alone, "li.na", Some(1)).is_some() && labels(&alone, "wang", Some(1)).is_none());
        let list = Accounts::parse(b"corp,userid,never\nww1,li.na,\nww1,wang,\nww1,counsel,true\n").unwrap();
        let both = Accounts::of_ceiling(Ceiling { list: Some(list), only }).unwrap();
        assert!(labels(&both, "li.na", Some(1)).is_some() && labels(&both, "wang", Some(1)).is_none());
        assert!(both.get(&Corp::new("ww1"), "counsel").unwrap().never);
    }
}
