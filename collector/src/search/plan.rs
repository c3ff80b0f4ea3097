//! From a query to what is asked of the index, and what is asked of each row.

use std::collections::HashSet;
use std::time::Instant;

use rusqlite::Connection;

use super::grams::Phrase;
use super::index::{TURNS, minute};
use super::kinds::{ALL, Kind, Part};
use super::people::{self, People, Whom, glob, matching, rooms};
use super::query::{Field, Query, Term};
use super::{SearchError, schema};

/// Terms of one condition that the index is asked for; more are compared row by row.
const TERMS_MAX: usize = 256;

/// What is asked.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Places are from the first on and before the last.
    pub(super) places: (i64, i64),
    /// Moments, likewise; where nobody asked for an end there is none.
    pub(super) since_ms: i64,
    pub(super) until_ms: Option<i64>,
    /// What the index is asked; empty where rows are read one by one.
    pub(super) asked: String,
    pub(super) filters: Vec<Filter>,
    /// Texts that have to be looked at.
    pub(super) phrases: Vec<(Phrase, bool)>,
    /// The devices asked for; each of them tells what it holds.
    pub(super) devices: Option<HashSet<i64>>,
    pub(super) alerts: Vec<AlertIs>,
    /// Names nobody has.
    pub(super) unknown: Vec<String>,
}

/// One of many numbers.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) part: Part,
    pub(super) numbers: HashSet<i64>,
    pub(super) not: bool,
}

/// What must hold for a row of the table of alerts.
#[derive(Clone, Debug)]
pub(super) struct AlertIs {
    /// A condition in SQL, with a `?` for each value.
    pub(super) clause: String,
    pub(super) values: Vec<String>,
    pub(super) not: bool,
}

struct Planner<'a> {
    search: &'a Connection,
    derived: &'a Connection,
    people: People<'a>,
    all: Vec<String>,
    none: Vec<String>,
    plan: Plan,
}

/// Plans a query, in the time there is.
pub(super) fn plan(
    (search, derived): (&Connection, &Connection),
    query: &Query,
    give_up: Instant,
) -> Result<Plan, SearchError> {
    let people = People::new((search, derived), give_up);
    let mut planner = Planner { search, derived, people, all: Vec::new(), none: Vec::new(), plan: Plan::default() };
    for term in &query.terms {
        planner.term(term)?;
    }
    planner.alerts()?;
    let Planner { mut all, none, mut plan, .. } = planner;
    if all.is_empty() && !none.is_empty() {
        all.push(format!("\"{ALL}\""));
    }
    plan.asked = all.join(" AND ");
    if !none.is_empty() {
        plan.asked = format!("({}) NOT ({})", plan.asked, none.join(" OR "));
    }
    plan.since_ms = query.since_ms.unwrap_or(i64::MIN);
    plan.until_ms = query.until_ms;
    let displaced = schema::read_position(search)?.map_or(0, |position| position.displaced);
    let last = query.until_ms.map_or(i64::MAX, |until_ms| (minute(until_ms) + displaced + 1) * TURNS);
    plan.places = (query.since_ms.map_or(0, |since_ms| minute(since_ms) * TURNS), last);
    Ok(plan)
}

impl Planner<'_> {
    fn term(&mut self, term: &Term) -> Result<(), SearchError> {
        match term {
            Term::Text { phrase, not: false } => {
                self.all.push(format!("({})", phrase.asked()));
                if phrase.is_more_than_its_terms() {
                    self.plan.phrases.push((phrase.clone(), false));
                }
            }
            Term::Text { phrase, not: true } if phrase.is_more_than_its_terms() => {
                self.plan.phrases.push((phrase.clone(), true));
            }
            Term::Text { phrase, not: true } => self.none.push(format!("({})", phrase.asked())),
            Term::Levels { levels, not } => {
                let numbers = levels.iter().map(|level| i64::from(*level)).collect();
                self.numbers(&[Part::Level], numbers, *not, "level")?;
            }
            Term::Field { field: Field::State, values, not } => self.state(values, *not)?,
            Term::Field { field: Field::Department, values, not } => self.at("department", values, *not),
            Term::Field { field: Field::Site, values, not } => self.at("site", values, *not),
            Term::Field { field, values, not } => self.field(*field, values, *not)?,
        }
        Ok(())
    }

    fn field(&mut self, field: Field, values: &[String], not: bool) -> Result<(), SearchError> {
        let of_kind = |kind: Kind, value: &str| matching(self.search, kind, value);
        let mut numbers = Vec::new();
        for value in values {
            let found = match field {
                Field::Rule => people::rules(self.search, value)?,
                Field::Pack => of_kind(Kind::Pack, &value.to_lowercase())?,
                Field::Category => of_kind(Kind::Category, &value.to_lowercase())?,
                Field::Type => of_kind(Kind::Type, value)?,
                Field::Word => of_kind(Kind::Word, &super::grams::fold(value))?,
                Field::Person => self.people.parties(value, Whom::Person)?,
                Field::Employee => self.people.parties(value, Whom::Employee)?,
                Field::From | Field::To | Field::With => self.people.parties(value, Whom::Anybody)?,
                Field::Room => rooms(self.search, value)?,
                Field::Device => devices(self.search, value)?,
                Field::State | Field::Department | Field::Site => Vec::new(),
            };
            if found.is_empty() {
                self.plan.unknown.push(value.clone());
            }
            numbers.extend(found);
        }
        let parts: &[Part] = match field {
            Field::Rule => &[Part::Rule],
            Field::Pack => &[Part::Pack],
            Field::Category => &[Part::Category],
            Field::Type => &[Part::Type],
            Field::Word => &[Part::Word],
            Field::From => &[Part::From],
            Field::To => &[Part::To],
            Field::With => &[Part::From, Part::To],
            Field::Room => &[Part::Room],
            Field::Device => &[Part::Device],
            Field::Person | Field::Employee | Field::State | Field::Department | Field::Site => &[Part::Person],
        };
        if field == Field::Device && !not {
            let asked: HashSet<i64> = numbers.iter().copied().collect();
            let both = self.plan.devices.take().map(|before| &before & &asked);
            self.plan.devices = Some(both.unwrap_or(asked));
        }
        self.numbers(parts, numbers, not, &values.join(","))
    }

    /// Few numbers are asked of the index, many are compared.
    fn numbers(&mut self, parts: &[Part], numbers: Vec<i64>, not: bool, said: &str) -> Result<(), SearchError> {
        if let ([part], true) = (parts, numbers.len() > TERMS_MAX) {
            if matches!(part, Part::To | Part::Word | Part::Pack) {
                return Err(too_many(numbers.len(), said));
            }
            self.plan.filters.push(Filter { part: *part, numbers: numbers.into_iter().collect(), not });
            return Ok(());
        }
        if numbers.len() * parts.len() > TERMS_MAX {
            return Err(too_many(numbers.len(), said));
        }
        let terms = parts.iter().flat_map(|part| numbers.iter().map(|number| format!("\"{}\"", part.term(*number))));
        let terms = terms.collect::<Vec<_>>().join(" OR ");
        match (terms.is_empty(), not) {
            (true, true) => {}
            // No finding has it: the index is asked for what is in none.
            (true, false) => self.all.push("\"_\"".into()),
            (false, true) => self.none.push(format!("({terms})")),
            (false, false) => self.all.push(format!("({terms})")),
        }
        Ok(())
    }

    fn state(&mut self, values: &[String], not: bool) -> Result<(), SearchError> {
        let mut clauses = Vec::new();
        for value in values {
            clauses.push(match value.to_lowercase().as_str() {
                "open" | "待处理" => "state = 0",
                "taken" | "处理中" => "state = 1",
                "closed" | "已关闭" => "state = 2",
                "suppressed" | "已抑制" => "suppressed_by IS NOT NULL",
                _ => {
                    let told = format!("{value:?} is no state; write open, taken, closed or suppressed");
                    return Err(SearchError::Told(told));
                }
            });
        }
        self.plan.alerts.push(AlertIs { clause: clauses.join(" OR "), values: Vec::new(), not });
        Ok(())
    }

    /// One of these places, or one within it.
    fn at(&mut self, column: &str, values: &[String], not: bool) {
        let one = format!("{column} GLOB ? OR {column} GLOB ? || '/*'");
        let clause = values.iter().map(|_| one.clone()).collect::<Vec<_>>().join(" OR ");
        let values = values.iter().flat_map(|value| [glob(value), glob(value)]).collect();
        self.plan.alerts.push(AlertIs { clause, values, not });
    }

    /// Few alerts are asked of the index.
    fn alerts(&mut self) -> Result<(), SearchError> {
        if self.plan.alerts.iter().all(|alert| alert.not) {
            return Ok(());
        }
        let (clause, values) = alert_clause(&self.plan.alerts);
        let text = format!("SELECT pack, rule, person, day FROM alert WHERE {clause} LIMIT {}", TERMS_MAX + 1);
        let mut select = self.derived.prepare(&text)?;
        let mut rows = select.query(rusqlite::params_from_iter(values))?;
        let mut terms = Vec::new();
        while let Some(row) = rows.next()? {
            let (pack, rule, person, day): (String, String, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            terms.push(format!("\"{}\"", super::index::alert_term(&pack, &rule, &person, &day)));
        }
        match terms.len() {
            0 => self.all.push("\"_\"".into()),
            1..=TERMS_MAX => self.all.push(format!("({})", terms.join(" OR "))),
            _ => {}
        }
        Ok(())
    }
}

/// All conditions on an alert as one.
pub(super) fn alert_clause(alerts: &[AlertIs]) -> (String, Vec<String>) {
    let clauses = alerts.iter().map(|it| format!("{}({})", if it.not { "NOT " } else { "" }, it.clause));
    let values = alerts.iter().flat_map(|it| it.values.clone());
    (clauses.collect::<Vec<_>>().join(" AND "), values.collect())
}

fn too_many(number: usize, said: &str) -> SearchError {
    SearchError::Told(format!("{number} names match {said:?}; write more of the name"))
}

/// Devices whose UUID begins so.
fn devices(db: &Connection, value: &str) -> Result<Vec<i64>, SearchError> {
    let beginning: String = value.to_lowercase().chars().filter(|c| *c != '-').collect();
    let mut select = db.prepare_cached("SELECT id FROM device WHERE substr(lower(hex(device)), 1, length(?1)) = ?1")?;
    let found = select.query_map([beginning], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
