//! What a roster changes, told before it is published.

use serde::Serialize;

use super::persons::{Person, Persons};

/// What a roster changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Accounts that come under management.
    pub joined: Vec<Named>,
    /// Accounts that do not stay under it.
    pub left: Vec<Named>,
    /// Accounts of which something else is said.
    pub changed: Vec<Named>,
    /// Accounts that are never looked at from now on.
    pub never_added: Vec<Named>,
    /// Accounts that are no longer on the never list.
    pub never_removed: Vec<Named>,
}

/// An account, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// `corp/userid`.
    pub account: String,
    /// May be empty.
    pub name: String,
}

impl Difference {
    /// From one roster to the next.
    pub fn between(before: &Persons, after: &Persons) -> Self {
        let mut difference = Self::default();
        for (account, person) in after {
            let named = || Named { account: account.clone(), name: person.details.name.clone() };
            let known = before.get(account);
            match (known.is_some_and(stays), stays(person)) {
                (false, true) => difference.joined.push(named()),
                (true, false) => difference.left.push(named()),
                _ if known.is_none_or(|known| !known.says_the_same(person)) => difference.changed.push(named()),
                _ => {}
            }
            match (known.is_some_and(|known| known.row.never), person.row.never) {
                (false, true) => difference.never_added.push(named()),
                (true, false) => difference.never_removed.push(named()),
                _ => {}
            }
        }
        for (account, person) in before.iter().filter(|(account, _)| !after.contains_key(*account)) {
            let named = || Named { account: account.clone(), name: person.details.name.clone() };
            difference.left.push(named());
            if person.row.never {
                difference.never_removed.push(named());
            }
        }
        difference
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The parts with their names in both languages, in order.
    pub fn parts(&self) -> [(&'static str, &[Named]); 5] {
        [
            ("新增 joined", &self.joined),
            ("离开 left", &self.left),
            ("变更 changed", &self.changed),
            ("加入不监测名单 never, added", &self.never_added),
            ("移出不监测名单 never, REMOVED", &self.never_removed),
        ]
    }
}

/// Whether an account is to stay under management.
fn stays(person: &Person) -> bool {
    person.row.periods.last().is_some_and(|last| last.until_ms == 0)
}

#[cfg(test)]
mod tests {
    use watchpost_proto::v1::{RosterDetails, RosterPeriod, RosterRow};

    use super::*;

    fn persons(all: &[(&str, i64, bool, &str)]) -> Persons {
        let person = |(userid, until_ms, never, label): &(&str, i64, bool, &str)| {
            let period =
                RosterPeriod { until_ms: *until_ms, labels: vec![label.to_string()], ..RosterPeriod::default() };
            let row =
                RosterRow { userid: userid.to_string(), periods: vec![period], never: *never, ..RosterRow::default() };
            (format!("ww1/{userid}"), Person { row, details: RosterDetails::default() })
        };
        all.iter().map(person).collect()
    }

    #[test]
    fn who_joins_leaves_and_changes() {
        let before = persons(&[
            ("a", 0, false, "x"),
            ("b", 0, false, "x"),
            ("c", 0, true, "x"),
            ("d", 0, true, "x"),
            ("e", 0, false, "x"),
        ]);
        let after = persons(&[
            ("a", 0, false, "x"),
            ("b", 99, false, "x"),
            ("c", 0, false, "x"),
            ("e", 0, false, "y"),
            ("f", 0, true, "x"),
        ]);
        let difference = Difference::between(&before, &after);
        let names = |named: &[Named]| named.iter().map(|it| it.account[4..].to_owned()).collect::<Vec<_>>().join("");
        let told: Vec<String> = difference.parts().iter().map(|(_, named)| names(named)).collect();
        assert_eq!(told, ["f", "bd", "ce", "f", "cd"]);
        assert!(Difference::between(&before, &before).is_empty());
    }
}
