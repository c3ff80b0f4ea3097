//! From the lines of a list to the rows of a roster: one for each account, with its periods.

use std::collections::BTreeMap;

use watchpost_proto::Message as _;
use watchpost_proto::roster::account_name;
use watchpost_proto::v1::{Roster, RosterDetails, RosterPeriod, RosterRow};

use super::MISTAKES_MAX;
use super::columns::Line;

/// Periods of one account.
const PERIODS_MAX: usize = 40;

/// An account of a roster, with what stays at the collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// What devices get.
    pub row: RosterRow,
    /// What they do not; all empty where it was erased.
    pub details: RosterDetails,
}

/// Persons by `corp/userid`.
pub type Persons = BTreeMap<String, Person>;

impl Person {
    /// The labels an account is managed with at a moment; `None` while it is not managed.
    pub fn managed_at(&self, at_ms: i64) -> Option<&RosterPeriod> {
        let holds =
            |period: &&RosterPeriod| period.from_ms <= at_ms && (period.until_ms == 0 || at_ms < period.until_ms);
        self.row.periods.iter().find(holds)
    }

    /// Whether the same is said, whatever the salt.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said =
            |it: &Self| (it.row.periods.clone(), it.row.never, it.details.employee.clone(), it.details.name.clone());
        said(self) == said(other)
    }
}

/// The persons of a roster.
///
/// # Errors
/// A row that is none.
pub fn of_roster(roster: &Roster) -> Result<Persons, String> {
    let mut persons = Persons::new();
    for record in &roster.records {
        let row = RosterRow::decode(&record.row[..]).map_err(|_| "the roster has a row that is none".to_owned())?;
        let details = RosterDetails::decode(&record.details[..]).unwrap_or_default();
        persons.insert(account_name(&row.corp, &row.userid), Person { row, details });
    }
    Ok(persons)
}

/// Puts the lines of each account together. `salt` gives 16 random bytes.
///
/// # Errors
/// Every mistake with its line: periods that overlap, an account of two employees.
pub fn of_lines(lines: &[Line], mut salt: impl FnMut() -> Vec<u8>) -> Result<Persons, Vec<String>> {
    let (mut persons, mut mistakes) = (Persons::new(), Vec::new());
    let mut sorted: Vec<&Line> = lines.iter().collect();
    sorted.sort_by_key(|line| (line.from_ms, line.line));
    for line in sorted {
        let account = account_name(&line.corp, &line.userid);
        let person = persons.entry(account.clone()).or_insert_with(|| Person {
            row: RosterRow { corp: line.corp.clone(), userid: line.userid.clone(), ..RosterRow::default() },
            details: RosterDetails { salt: salt(), employee: line.employee.clone(), name: line.name.clone() },
        });
        if let Err(mistake) = add(person, line) {
            mistakes.push((line.line, format!("line {}: {account} {mistake}", line.line)));
        }
    }
    mistakes.sort();
    let mistakes: Vec<String> = mistakes.into_iter().map(|(_, text)| text).take(MISTAKES_MAX).collect();
    if mistakes.is_empty() { Ok(persons) } else { Err(mistakes) }
}

fn add(person: &mut Person, line: &Line) -> Result<(), &'static str> {
    if person.details.employee != line.employee {
        return Err("belongs to another employee in another row; one account has one employee");
    }
    if person.row.periods.last().is_some_and(|last| last.until_ms == 0 || line.from_ms < last.until_ms) {
        return Err("stands twice for the same days; end one row where the other begins, or remove one");
    }
    if person.row.periods.len() >= PERIODS_MAX {
        return Err("has more than 40 rows; leave out the oldest");
    }
    person.row.never |= line.never;
    person.row.periods.push(RosterPeriod {
        from_ms: line.from_ms,
        until_ms: line.until_ms,
        labels: line.labels.clone(),
        status: line.status.clone(),
        department: line.department.clone(),
        site: line.site.clone(),
    });
    Ok(())
}

/// Salts stay as they were where nothing changed: the row is then the same one, and is kept once.
pub fn keep_salts(persons: &mut Persons, before: &Persons) {
    for (account, person) in persons.iter_mut() {
        if let Some(known) = before.get(account)
            && (&known.details.employee, &known.details.name) == (&person.details.employee, &person.details.name)
            && !known.details.salt.is_empty()
        {
            person.details.salt.clone_from(&known.details.salt);
        }
    }
}

/// How things stand from a moment on, where `before` says how they stood until then. Nobody stops being protected.
pub fn from_a_day_on(now: Persons, before: &Persons, at_ms: i64) -> Persons {
    let mut persons = now;
    for person in persons.values_mut() {
        person.row.periods.retain(|period| period.until_ms == 0 || period.until_ms > at_ms);
        person.row.periods.iter_mut().for_each(|period| period.from_ms = period.from_ms.max(at_ms));
    }
    for (account, known) in before {
        let mut periods: Vec<RosterPeriod> =
            known.row.periods.iter().filter(|period| period.from_ms < at_ms).cloned().collect();
        for period in &mut periods {
            if period.until_ms == 0 || period.until_ms > at_ms {
                period.until_ms = at_ms;
            }
        }
        match persons.get_mut(account) {
            Some(person) => {
                // The never list has no days: whoever dropped off it would at once be looked at, for the days before as well.
                person.row.never |= known.row.never;
                person.row.periods = joined(periods, std::mem::take(&mut person.row.periods));
            }
            None => {
                let row = RosterRow { periods, ..known.row.clone() };
                persons.insert(account.clone(), Person { row, details: known.details.clone() });
            }
        }
    }
    persons
}

/// Two that follow each other and say the same are one.
fn joined(before: Vec<RosterPeriod>, after: Vec<RosterPeriod>) -> Vec<RosterPeriod> {
    let said = |it: &RosterPeriod| RosterPeriod { from_ms: 0, until_ms: 0, ..it.clone() };
    let mut all: Vec<RosterPeriod> = Vec::with_capacity(before.len() + after.len());
    for period in before.into_iter().chain(after) {
        match all.last_mut() {
            Some(last) if last.until_ms == period.from_ms && said(last) == said(&period) => {
                last.until_ms = period.until_ms;
            }
            _ => all.push(period),
        }
    }
    let surplus = all.len().saturating_sub(PERIODS_MAX);
    all.split_off(surplus)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn line(userid: &str, label: &str, from: i64, until: i64) -> Line {
        Line {
            line: 2,
            corp: "ww1".into(),
            userid: userid.into(),
            employee: String::new(),
            name: String::new(),
            labels: vec![label.into()],
            department: label.into(),
            site: String::new(),
            status: String::new(),
            from_ms: from * DAY,
            until_ms: until * DAY,
            never: false,
        }
    }

    fn persons(lines: &[Line]) -> Persons {
        of_lines(lines, || vec![1; 16]).unwrap()
    }

    fn periods(persons: &Persons, userid: &str) -> Vec<(i64, i64, String)> {
        let periods = &persons[&format!("ww1/{userid}")].row.periods;
        periods.iter().map(|it| (it.from_ms / DAY, it.until_ms / DAY, it.labels.join(","))).collect()
    }

    #[test]
    fn rows_of_an_account_are_its_periods() {
        let moved = persons(&[line("li.na", "risk", 20, 0), line("li.na", "sales", 10, 20)]);
        assert_eq!(periods(&moved, "li.na"), [(10, 20, "sales".into()), (20, 0, "risk".into())]);
        let at = |day: i64| moved["ww1/li.na"].managed_at(day * DAY).map(|period| period.labels[0].clone());
        assert_eq!((at(9), at(10), at(20).as_deref()), (None, Some("sales".into()), Some("risk")));
        for (a, b) in [((0, 0), (10, 0)), ((0, 11), (10, 0)), ((5, 6), (5, 7))] {
            let lines = [line("a", "x", a.0, a.1), Line { line: 3, ..line("A", "x", b.0, b.1) }];
            let told = of_lines(&[lines[0].clone(), Line { userid: "a".into(), ..lines[1].clone() }], Vec::new);
            assert!(told.unwrap_err()[0].starts_with("line 3: ww1/a"), "{a:?} {b:?}");
        }
        let other = Line { employee: "7".into(), line: 3, ..line("a", "x", 20, 0) };
        assert!(of_lines(&[line("a", "x", 0, 20), other], Vec::new).unwrap_err()[0].contains("employee"));
    }

    #[test]
    fn what_holds_from_a_day_on_leaves_the_days_before_as_they_were() {
        let mut before =
            persons(&[line("li.na", "sales", 10, 0), line("wang", "sales", 0, 0), line("zhao", "hr", 0, 15)]);
        for account in ["ww1/wang", "ww1/zhao"] {
            before.get_mut(account).unwrap().row.never = true;
        }
        let now = persons(&[line("li.na", "risk", 0, 0), line("new", "sales", 0, 0), line("zhao", "hr", 0, 15)]);
        let after = from_a_day_on(now, &before, 20 * DAY);
        assert_eq!(periods(&after, "li.na"), [(10, 20, "sales".into()), (20, 0, "risk".into())]);
        assert_eq!(periods(&after, "new"), [(20, 0, "sales".into())]);
        assert_eq!(periods(&after, "wang"), [(0, 20, "sales".into())]);
        assert_eq!(periods(&after, "zhao"), [(0, 15, "hr".into())]);
        assert!(after["ww1/wang"].row.never, "nobody stops being protected by being left out");
        assert!(after["ww1/zhao"].row.never && !after["ww1/li.na"].row.never, "nor by a row that does not say never");
        let same = from_a_day_on(persons(&[line("li.na", "sales", 10, 0)]), &before, 20 * DAY);
        assert_eq!(periods(&same, "li.na"), [(10, 0, "sales".into())], "nothing changed");
    }
}
