//! Questions as people type them: `rule:fin.* level:>=high dept:sales since:2026-11-01 保本`.

use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use super::grams::Phrase;

/// Bytes of a query.
const QUERY_BYTES_MAX: usize = 2_048;
/// Conditions of a query.
const TERMS_MAX: usize = 32;
/// Values of one condition.
const VALUES_MAX: usize = 64;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The rule: `fin.guaranteed-return`, `finance-conduct/fin.*`.
    Rule,
    /// The pack of the rule.
    Pack,
    /// The rule's category.
    Category,
    /// The archive's message type.
    Type,
    /// A word of a list, as the list has it.
    Word,
    /// The person concerned: an account, a userid, a name, its initials.
    Person,
    /// The employee concerned: a number, a name, its initials.
    Employee,
    /// Their department when the message was sent.
    Department,
    /// Their site when the message was sent.
    Site,
    /// The device that tells it, by the beginning of its UUID.
    Device,
    /// The room: a pseudonym or a name.
    Room,
    /// The sender: an account, a pseudonym, a name.
    From,
    /// A receiver.
    To,
    /// Sender or receiver.
    With,
    /// How its alert stands.
    State,
}

/// Fields by their names; the first of each is the one told.
pub(super) const FIELDS: [(Field, &[&str]); 15] = [
    (Field::Rule, &["rule", "规则"]),
    (Field::Pack, &["pack", "规则包"]),
    (Field::Category, &["category", "类别"]),
    (Field::Type, &["type", "类型"]),
    (Field::Word, &["word", "词"]),
    (Field::Person, &["person", "人员", "账号"]),
    (Field::Employee, &["employee", "工号", "员工"]),
    (Field::Department, &["dept", "department", "部门"]),
    (Field::Site, &["site", "站点"]),
    (Field::Device, &["device", "设备"]),
    (Field::Room, &["room", "群"]),
    (Field::From, &["from", "发送人"]),
    (Field::To, &["to", "接收人"]),
    (Field::With, &["with", "customer", "客户"]),
    (Field::State, &["state", "状态"]),
];
const LEVEL: [&str; 2] = ["level", "级别"];
const SINCE: [&str; 2] = ["since", "起"];
const UNTIL: [&str; 2] = ["until", "止"];
const DAY: [&str; 2] = ["day", "日期"];
const NAMES: &str = "rule, pack, category, level, type, word, person, employee, dept, site, device, room, from, to, with, state, \
                     since, until, day";

/// Levels from the lowest, with the numbers they have on the wire.
const LEVELS: [(&str, &str, i32); 5] =
    [("info", "提示", 1), ("low", "低", 2), ("medium", "中", 3), ("high", "高", 4), ("critical", "严重", 5)];

/// One condition; all of them must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// One of the values.
    Field {
        /// What it is about.
        field: Field,
        /// At least one.
        values: Vec<String>,
        /// None of them.
        not: bool,
    },
    /// One of the levels.
    Levels {
        /// Their numbers.
        levels: Vec<i32>,
        /// None of them.
        not: bool,
    },
    /// The excerpt says it.
    Text {
        /// What.
        phrase: Phrase,
        /// It does not.
        not: bool,
    },
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Conditions.
    pub terms: Vec<Term>,
    /// The first moment, milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// The first moment after.
    pub until_ms: Option<i64>,
}

impl Query {
    /// Reads what a person typed. Days and times are those of China; `14d` is so long before now.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn parse(text: &str, now_ms: i64) -> Result<Self, String> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(format!("a query is at most {QUERY_BYTES_MAX} bytes"));
        }
        let mut query = Self::default();
        for piece in pieces(text)? {
            query.take(&piece, now_ms)?;
            if query.terms.len() > TERMS_MAX {
                return Err(format!("a query has at most {TERMS_MAX} conditions"));
            }
        }
        Ok(query)
    }

    /// Whether it asks what was said: a text, or a word of a list.
    #[must_use]
    pub fn asks_for_words(&self) -> bool {
        let of_words = |term: &Term| matches!(term, Term::Text { .. } | Term::Field { field: Field::Word, .. });
        self.terms.iter().any(of_words)
    }

    /// Whether it asks by names of customers or rooms, and so tells whom a pseudonym stands for.
    #[must_use]
    pub fn asks_for_names(&self) -> bool {
        let named = [Field::From, Field::To, Field::With, Field::Room];
        self.terms.iter().any(|term| matches!(term, Term::Field { field, .. } if named.contains(field)))
    }

    /// The same with one more condition, such as the departments somebody may see.
    #[must_use]
    pub fn and(mut self, field: Field, values: Vec<String>) -> Self {
        self.terms.push(Term::Field { field, values, not: false });
        self
    }

    /// The same but for these, such as what concerns whoever asks.
    #[must_use]
    pub fn without(mut self, field: Field, values: Vec<String>) -> Self {
        self.terms.push(Term::Field { field, values, not: true });
        self
    }

    fn take(&mut self, piece: &Piece, now_ms: i64) -> Result<(), String> {
        let Piece { key, values, not } = piece;
        let not = *not;
        let Some(key) = key else {
            let text = values.concat();
            let nothing = || format!("{text:?} has nothing to look for: write letters, digits or characters");
            self.terms.push(Term::Text { phrase: Phrase::of(&text).ok_or_else(nothing)?, not });
            return Ok(());
        };
        if values.is_empty() || values.iter().any(String::is_empty) {
            return Err(format!("{key}: has no value; write it as {key}:VALUE"));
        }
        let name = key.to_lowercase();
        if LEVEL.contains(&name.as_str()) {
            self.terms.push(Term::Levels { levels: levels(values)?, not });
            return Ok(());
        }
        if let Some(field) = FIELDS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(field, _)| *field) {
            self.terms.push(Term::Field { field, values: values.clone(), not });
            return Ok(());
        }
        self.time(&name, values, not, now_ms)
    }

    fn time(&mut self, key: &str, values: &[String], not: bool, now_ms: i64) -> Result<(), String> {
        if ![SINCE, UNTIL, DAY].concat().contains(&key) {
            return Err(unknown(key));
        }
        let ([value], false) = (values, not) else { return Err(format!("{key} takes one moment and no minus")) };
        let wrong = || format!("{value:?} is no moment; write 2026-11-01, \"2026-11-01 09:00\", 14d or 6h");
        let (from_ms, until_ms) = moment(value, now_ms).ok_or_else(wrong)?;
        let (since, until) = match key {
            key if SINCE.contains(&key) => (Some(from_ms), None),
            key if UNTIL.contains(&key) => (None, Some(until_ms)),
            _ => (Some(from_ms), Some(until_ms)),
        };
        self.since_ms = self.since_ms.max(since);
        self.until_ms = [self.until_ms, until].into_iter().flatten().min();
        Ok(())
    }
}

fn unknown(key: &str) -> String {
    format!("there is no field {key:?}; fields are {NAMES}. To look for text with a colon put it in quotes")
}

/// Levels as `high`, `>=high` or `low,medium`.
fn levels(values: &[String]) -> Result<Vec<i32>, String> {
    let mut levels = Vec::new();
    for value in values {
        let (sign, name) = [">=", "<=", ">", "<"]
            .into_iter()
            .find_map(|sign| Some((sign, value.strip_prefix(sign)?)))
            .unwrap_or(("", value));
        let named = LEVELS.iter().find(|(en, zh, _)| name.eq_ignore_ascii_case(en) || name == *zh);
        let Some((.., than)) = named else {
            return Err(format!("{value:?} is no level; write info, low, medium, high or critical, or >=high"));
        };
        let holds = |level: i32| match sign {
            ">=" => level >= *than,
            "<=" => level <= *than,
            ">" => level > *than,
            "<" => level < *than,
            _ => level == *than,
        };
        levels.extend(LEVELS.iter().map(|(.., level)| *level).filter(|level| holds(*level)));
    }
    levels.sort_unstable();
    levels.dedup();
    Ok(levels)
}

/// The first moment of what is meant, and the first after it.
fn moment(text: &str, now_ms: i64) -> Option<(i64, i64)> {
    let back = |unit: char, ms: i64| {
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        now_ms.checked_sub(i64::from(number).checked_mul(ms)?)
    };
    if let Some(at_ms) = back('d', DAY_MS).or_else(|| back('h', HOUR_MS)) {
        return Some((at_ms, at_ms));
    }
    let ms = |moment: OffsetDateTime| moment.unix_timestamp().checked_mul(1000);
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        let from_ms = ms(day.midnight().assume_offset(offset!(+8)))?;
        return Some((from_ms, from_ms.checked_add(DAY_MS)?));
    }
    let minute = PrimitiveDateTime::parse(text, format_description!("[year]-[month]-[day] [hour]:[minute]"));
    let at_ms = match minute {
        Ok(minute) => ms(minute.assume_offset(offset!(+8)))?,
        Err(_) => ms(OffsetDateTime::parse(text, &Rfc3339).ok()?)?,
    };
    Some((at_ms, at_ms))
}

/// A condition as it was typed.
struct Piece {
    key: Option<String>,
    values: Vec<String>,
    not: bool,
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let (piece, after) = piece(rest)?;
        pieces.push(piece);
        rest = after.trim_start();
    }
    Ok(pieces)
}

/// The first condition of a text, and what comes after it.
fn piece(text: &str) -> Result<(Piece, &str), String> {
    let (not, text) = match text.strip_prefix('-') {
        Some(after) if !after.is_empty() && !after.starts_with(char::is_whitespace) => (true, after),
        _ => (false, text),
    };
    let ends = |c: char| c.is_whitespace() || is_quote(c);
    let word = text.get(..text.find(ends).unwrap_or(text.len())).unwrap_or_default();
    let colon = word.char_indices().find(|(_, c)| matches!(c, ':' | '：'));
    let Some((at, colon)) = colon.filter(|(at, _)| *at > 0) else {
        let (value, after) = value(text, false)?;
        return Ok((Piece { key: None, values: vec![value], not }, after));
    };
    let key = word.get(..at).map(str::to_owned);
    let mut rest = text.get(at + colon.len_utf8()..).unwrap_or_default();
    let mut values = Vec::new();
    loop {
        let (one, after) = value(rest, true)?;
        values.push(one);
        if values.len() > VALUES_MAX {
            return Err(format!("a condition has at most {VALUES_MAX} values"));
        }
        match after.strip_prefix([',', '，']) {
            Some(more) => rest = more,
            None => return Ok((Piece { key, values, not }, after)),
        }
    }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”')
}

/// One value, in quotes or up to the next space (or comma in a list), and what comes after it.
fn value(text: &str, listed: bool) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix(is_quote) {
        let Some((at, quote)) = quoted.char_indices().find(|(_, c)| is_quote(*c)) else {
            return Err("a quotation mark is not closed".into());
        };
        let after = quoted.get(at + quote.len_utf8()..).unwrap_or_default();
        return Ok((quoted.get(..at).unwrap_or_default().to_owned(), after));
    }
    let ends = |c: char| c.is_whitespace() || is_quote(c) || (listed && matches!(c, ',' | '，'));
    let end = text.find(ends).unwrap_or(text.len());
    Ok((text.get(..end).unwrap_or_default().to_owned(), text.get(end..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_104_000_000;

    fn parse(text: &str) -> Query {
        Query::parse(text, NOW).unwrap()
    }

    fn field(field: Field, values: &[&str], not: bool) -> Term {
        Term::Field { field, values: values.iter().map(|value| (*value).to_owned()).collect(), not }
    }

    fn text(said: &str, not: bool) -> Term {
        Term::Text { phrase: Phrase::of(said).unwrap(), not }
    }

    #[test]
    fn a_query_is_what_a_person_types() {
        let query =
            parse("rule:fin.*,ads.* level:>=high -dept:\"零售 部\" since:2026-11-20 保本 -\"加 vx\" 人员：李娜");
        assert_eq!(
            query.terms,
            [
                field(Field::Rule, &["fin.*", "ads.*"], false),
                Term::Levels { levels: vec![4, 5], not: false },
                field(Field::Department, &["零售 部"], true),
                text("保本", false),
                text("加 vx", true),
                field(Field::Person, &["李娜"], false),
            ]
        );
        assert_eq!((query.since_ms, query.until_ms), (Some(NOW), None));
        assert_eq!(parse(" "), Query::default());
    }

    #[test]
    fn a_day_counts_whole_and_the_narrower_moment_counts() {
        assert_eq!(parse("until:2026-11-20").until_ms, Some(NOW + DAY_MS));
        let query = parse("day:2026-11-20 since:2d until:1h");
        assert_eq!((query.since_ms, query.until_ms), (Some(NOW), Some(NOW - HOUR_MS)));
        assert_eq!(parse("since:\"2026-11-20 00:30\"").since_ms, Some(NOW + HOUR_MS / 2));
        assert_eq!(parse("since:2026-11-19T16:00:00Z").since_ms, Some(NOW));
    }

    #[test]
    fn levels_are_compared() {
        let numbers = |said: &str| match &parse(said).terms[0] {
            Term::Levels { levels, .. } => levels.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(numbers("level:high"), [4]);
        assert_eq!(numbers("级别:<中,严重"), [1, 2, 5]);
        assert_eq!(numbers("level:<=LOW"), [1, 2]);
        assert_eq!(numbers("level:>critical"), [] as [i32; 0]);
    }

    #[test]
    fn a_mistake_says_what_to_write() {
        for (wrong, told) in [
            ("rul:x", "there is no field \"rul\""),
            ("http://example.com", "in quotes"),
            ("rule:", "rule:VALUE"),
            ("rule:a,,b", "rule:VALUE"),
            ("level:loud", "\"loud\" is no level"),
            ("since:yesterday", "is no moment"),
            ("since:1d,2d", "one moment"),
            ("-since:1d", "no minus"),
            ("\"保本", "not closed"),
            ("，。", "nothing to look for"),
        ] {
            let error = Query::parse(wrong, NOW).unwrap_err();
            assert!(error.contains(told), "{wrong}: {error}");
        }
        assert!(Query::parse(&"a ".repeat(33), NOW).is_err());
        assert!(Query::parse(&"字".repeat(700), NOW).is_err());
    }
}
