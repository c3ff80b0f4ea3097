//! What the log says of a question: which fields were asked for, never whom it names or what text it looks for.
//! Entries are for good, and a question may be about somebody who is erased one day.

use super::query::{FIELDS, Field, Query, Term};
use crate::clock::minute_in_china;

/// Bytes of what is told.
const TOLD_BYTES_MAX: usize = 1_500;

impl Query {
    /// The fields asked for, with the values of those that name nobody.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told: Vec<String> = self.terms.iter().map(term).collect();
        for (name, at_ms) in [("since", self.since_ms), ("until", self.until_ms)] {
            if let Some(at) = at_ms.and_then(minute_in_china) {
                told.push(format!("{name}:{at}"));
            }
        }
        let mut told = told.join(" ");
        told.truncate(told.floor_char_boundary(TOLD_BYTES_MAX));
        told
    }

    /// Whether what it finds tells more than is shown: what an excerpt says, or whom a pseudonym stands for.
    #[must_use]
    pub fn tells_more(&self) -> bool {
        self.terms.iter().any(|term| match term {
            Term::Text { .. } => true,
            Term::Field { field, .. } => is_personal(*field),
            Term::Levels { .. } => false,
        })
    }
}

fn term(term: &Term) -> String {
    let (field, values, not) = match term {
        Term::Text { not, .. } => ("text", String::new(), *not),
        Term::Levels { levels, not } => {
            ("level", levels.iter().map(|level| crate::alerts::level_name(*level)).collect::<Vec<_>>().join(","), *not)
        }
        Term::Field { field, values, not } => {
            let name = FIELDS.iter().find(|(known, _)| known == field).and_then(|(_, names)| names.first());
            let values = if is_personal(*field) { String::new() } else { values.join(",") };
            (name.copied().unwrap_or_default(), values, *not)
        }
    };
    let (minus, colon) = (if not { "-" } else { "" }, if values.is_empty() { "" } else { ":" });
    format!("{minus}{field}{colon}{values}")
}

fn is_personal(field: Field) -> bool {
    match field {
        Field::Person | Field::Employee | Field::Room | Field::From | Field::To | Field::With | Field::Word => true,
        Field::Rule
        | Field::Pack
        | Field::Category
        | Field::Type
        | Field::Department
        | Field::Site
        | Field::Device
        | Field::State => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_nobody_and_says_no_text() {
        let query =
            "rule:fin.* level:>=high person:zwj,李娜 -from:王芳 room:理财 word:保本 保证 -\"加 vx\" since:2026-11-20";
        let query = Query::parse(query, 0).unwrap();
        assert_eq!(
            query.told(),
            "rule:fin.* level:high,critical person -from room word text -text since:2026-11-20 00:00+08:00"
        );
        assert!(query.tells_more());
        assert!(!Query::parse("rule:fin.* level:high dept:零售 since:1d", 0).unwrap().tells_more());
        let long = format!("rule:{}", "规".repeat(600));
        assert_eq!(Query::parse(&long, 0).unwrap().told().len(), 1_499);
    }
}
