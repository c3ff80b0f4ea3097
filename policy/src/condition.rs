//! The condition of a rule: selection names, `and`, `or`, `not` and parentheses, and `N of`, `any of`, `all of` a set of selections.
//! `not` binds tightest, then `and`, then `or`.
//!
//! A set is `them` (every selection of the rule), `(a, b, c*)`, or a name with `*` behind it for all names that begin so.

use crate::hint::did_you_mean;

/// A parsed condition. Numbers are those of the rule's selections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Selection(usize),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    /// At least so many of these selections.
    Of(usize, Vec<usize>),
}

/// Nesting of parentheses and `not`.
const DEPTH_MAX: usize = 32;
/// Length of a condition in characters.
const CHARS_MAX: usize = 2_000;

/// Parses a condition over the named selections. The error is a sentence.
pub(crate) fn parse(text: &str, selections: &[&str]) -> Result<Condition, String> {
    if text.chars().count() > CHARS_MAX {
        return Err(format!("the condition is longer than {CHARS_MAX} characters; split the rule"));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, selections };
    let condition = parser.or()?;
    match parser.peek() {
        None => Ok(condition),
        Some(")") => Err("there is a `)` too many in the condition".to_owned()),
        Some(token) => Err(format!("put `and` or `or` before `{token}` in the condition")),
    }
}

impl Condition {
    /// Evaluates. `holds(selection, negated)` says whether a selection holds where it stands under an odd number of `not`s or not.
    pub(crate) fn eval(&self, holds: &dyn Fn(usize, bool) -> bool) -> bool {
        self.eval_at(holds, false)
    }

    /// Selections that stand under an even (`false`) or odd (`true`) number of `not`s.
    pub(crate) fn selections(&self, negated: bool) -> Vec<usize> {
        let mut out = Vec::new();
        self.collect(negated, &mut out);
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Evaluates a part that stands under an odd number of `not`s or not.
    pub(crate) fn eval_at(&self, holds: &dyn Fn(usize, bool) -> bool, negated: bool) -> bool {
        match self {
            Self::Selection(selection) => holds(*selection, negated),
            Self::Not(inner) => !inner.eval_at(holds, !negated),
            Self::And(parts) => parts.iter().all(|part| part.eval_at(holds, negated)),
            Self::Or(parts) => parts.iter().any(|part| part.eval_at(holds, negated)),
            Self::Of(least, set) => set.iter().filter(|selection| holds(**selection, negated)).count() >= *least,
        }
    }

    fn collect(&self, negated: bool, out: &mut Vec<usize>) {
        match self {
            Self::Selection(selection) if !negated => out.push(*selection),
            Self::Of(_, set) if !negated => out.extend(set),
            Self::Selection(_) | Self::Of(..) => {}
            Self::Not(inner) => inner.collect(!negated, out),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.collect(negated, out)),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<&str>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '(' | ')' | ',' | '*' => 1,
            c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            '>' | '<' | '=' => {
                return Err(
                    "counts are not compared in a condition; write `2 of (a, b)`, or `min` on the selection".to_owned()
                );
            }
            other => {
                return Err(format!(
                    "`{other}` has no meaning in a condition; use selection names, `and`, `or`, `not` and parentheses"
                ));
            }
        };
        let (token, tail) = rest.split_at(len);
        tokens.push(token);
        rest = tail.trim_start();
    }
    Ok(tokens)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    at: usize,
    depth: usize,
    selections: &'a [&'a str],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn or(&mut self) -> Result<Condition, String> {
        self.chain("or", Self::and, Condition::Or)
    }

    fn and(&mut self) -> Result<Condition, String> {
        self.chain("and", Self::not, Condition::And)
    }

    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Condition, String>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Condition, String> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.take(word) {
            parts.push(part(self)?);
        }
        match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => Ok(only),
            (last, _) => {
                parts.extend(last);
                Ok(join(parts))
            }
        }
    }

    fn not(&mut self) -> Result<Condition, String> {
        if !self.take("not") {
            return self.atom();
        }
        self.deeper(|parser| Ok(Condition::Not(Box::new(parser.not()?))))
    }

    fn atom(&mut self) -> Result<Condition, String> {
        if self.take("(") {
            return self.deeper(|parser| {
                let inner = parser.or()?;
                if parser.take(")") { Ok(inner) } else { Err("a `)` is missing in the condition".to_owned()) }
            });
        }
        let Some(name) = self.peek() else {
            return Err("the condition ends too early; a selection name is missing".to_owned());
        };
        self.at += 1;
        self.selection(name)
    }

    fn selection(&mut self, name: &str) -> Result<Condition, String> {
        if self.take("of") {
            return self.of(name);
        }
        if matches!(name, "and" | "or" | ")" | "of" | "," | "*") {
            return Err(format!("a selection name is missing before `{name}` in the condition"));
        }
        if matches!(name, "near" | "before" | "after") && self.peek() == Some("(") {
            return Err(format!("write `{name}` and `within` on the selection, not in the condition"));
        }
        if self.peek() == Some("*") {
            return Err(format!("say how many of `{name}*` must hold, like `any of {name}*` or `all of {name}*`"));
        }
        self.number(name).map(Condition::Selection)
    }

    fn number(&self, name: &str) -> Result<usize, String> {
        let number = self.selections.iter().position(|selection| *selection == name);
        number.ok_or_else(|| format!("there is no selection `{name}`{}", did_you_mean(name, self.selections)))
    }

    /// What follows `N of`, `any of` or `all of`.
    fn of(&mut self, count: &str) -> Result<Condition, String> {
        let set = self.set()?;
        let least = match count {
            "any" => 1,
            "all" => set.len(),
            number => number.parse().map_err(|_| format!("`{number} of` must begin with a number, `any` or `all`"))?,
        };
        if least == 0 || least > set.len() {
            return Err(format!(
                "`{count} of` asks for {least} of {} selections; write a number from 1 to that",
                set.len()
            ));
        }
        Ok(Condition::Of(least, set))
    }

    fn set(&mut self) -> Result<Vec<usize>, String> {
        let mut set = Vec::new();
        if self.take("them") {
            set.extend(0..self.selections.len());
        } else if self.take("(") {
            self.member(&mut set)?;
            while self.take(",") {
                self.member(&mut set)?;
            }
            if !self.take(")") {
                return Err("a `)` is missing after the names behind `of`".to_owned());
            }
        } else {
            self.member(&mut set)?;
        }
        set.sort_unstable();
        set.dedup();
        Ok(set)
    }

    /// A name, or the front of names with `*`.
    fn member(&mut self, set: &mut Vec<usize>) -> Result<(), String> {
        let name = self.peek().filter(|name| name.starts_with(is_name));
        let Some(name) = name else {
            return Err("behind `of` stands `them`, a name with `*`, or names in parentheses".to_owned());
        };
        self.at += 1;
        if !self.take("*") {
            set.push(self.number(name)?);
            return Ok(());
        }
        let before = set.len();
        set.extend((0..).zip(self.selections).filter(|(_, other)| other.starts_with(name)).map(|(number, _)| number));
        if set.len() == before {
            return Err(format!("no selection begins with `{name}`{}", did_you_mean(name, self.selections)));
        }
        Ok(())
    }

    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Result<Condition, String>) -> Result<Condition, String> {
        if self.depth >= DEPTH_MAX {
            return Err(format!("the condition is nested deeper than {DEPTH_MAX}; simplify it"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn truth(text: &str, set: &[usize]) -> bool {
        parse(text, &NAMES).unwrap().eval(&|selection, _| set.contains(&selection))
    }

    #[test]
    fn evaluates_with_the_usual_precedence() {
        for (text, set, expected) in [
            ("a", &[0][..], true),
            ("a and b", &[0], false),
            ("a and b", &[0, 1], true),
            ("a or b and c", &[0], true),
            ("(a or b) and c", &[0], false),
            ("not a and b", &[1], true),
            ("not (a and b)", &[0], true),
            ("not not a", &[0], true),
            ("a and not b and not c", &[0], true),
            ("a and not b and not c", &[0, 2], false),
            ("2 of (a, b, c)", &[0, 2], true),
            ("2 of (a, b, c)", &[1], false),
            ("2 of (a, a, b)", &[0], false),
            ("any of them", &[2], true),
            ("any of them", &[], false),
            ("all of them", &[0, 1, 2], true),
            ("all of them", &[0, 1], false),
            ("all of (a, b) or c", &[2], true),
            ("1 of a* and b", &[0, 1], true),
            ("1 of a* and b", &[0], false),
            ("any of (a*, b)", &[1], true),
            ("c and not any of (a, b)", &[2], true),
            ("c and not any of (a, b)", &[1, 2], false),
            ("not 2 of (a, b) and c", &[0, 2], true),
        ] {
            assert_eq!(truth(text, set), expected, "{text} {set:?}");
        }
    }

    #[test]
    fn knows_what_is_negated() {
        let condition = parse("a and not (b or not c)", &NAMES).unwrap();
        assert_eq!(condition.selections(false), [0, 2]);
        assert_eq!(condition.selections(true), [1]);
        let condition = parse("not 1 of (a, b) and 2 of (b, c)", &NAMES).unwrap();
        assert_eq!((condition.selections(true), condition.selections(false)), (vec![0, 1], vec![1, 2]));
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, part) in [
            ("", "ends too early"),
            ("a and", "ends too early"),
            ("a b", "put `and` or `or` before `b`"),
            ("(a", "`)` is missing"),
            ("a)", "`)` too many"),
            ("and a", "missing before `and`"),
            ("d", "no selection `d`"),
            ("0 of a", "from 1 to that"),
            ("3 of (a, b)", "asks for 3 of 2"),
            ("two of (a, b)", "must begin with a number"),
            ("1 of", "behind `of` stands"),
            ("1 of (a b)", "`)` is missing after the names"),
            ("1 of (a, )", "behind `of` stands"),
            ("1 of d*", "no selection begins with `d`"),
            ("1 of (a, d)", "no selection `d`"),
            ("a* and b", "say how many of `a*`"),
            ("a > 3", "`min` on the selection"),
            ("near(a, b)", "on the selection, not in the condition"),
            ("a & b", "`&` has no meaning"),
        ] {
            let error = parse(text, &NAMES).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert!(parse(&"(".repeat(1_000), &NAMES).unwrap_err().contains("deeper"));
        assert!(parse(&"not ".repeat(400), &NAMES).unwrap_err().contains("deeper"));
        assert!(parse(&"a and ".repeat(400), &NAMES).unwrap_err().contains("longer"));
    }
}
