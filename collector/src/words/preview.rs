//! What a word would have stood in: looked for in the excerpts of past findings. Only what devices disclosed is here, so it says what
//! a word does beside what is found already, and nothing of messages without a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::policies::in_force::InForce;
use crate::search::SearchError;
use crate::search::find::{Asked, Finder, Found};
use crate::search::grams::{Phrase, fold};
use crate::search::query::{Query, Term};

/// Days looked back on where nobody says how many, and at most.
pub const DAYS: u32 = 30;
/// See above.
pub const DAYS_MAX: u32 = 365;
/// How long it is looked for.
const PATIENCE: Duration = Duration::from_secs(8);
/// Findings of one page of the search.
const PAGE: usize = 500;
/// Findings after which it is enough: such a word is too common whatever comes.
const FINDINGS_MAX: usize = 20_000;
/// Longer words told, and samples shown.
const LONGER_MAX: usize = 50;
const SAMPLES_MAX: usize = 10;
/// What the trail says was looked at. The word itself may be a secret.
pub const SUBJECT: &str = "a word tried on past findings";
const DAY_MS: i64 = 86_400_000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Preview {
    /// Days looked back on.
    pub days: u32,
    /// Findings with the word in their excerpt.
    pub findings: usize,
    /// Alerts they belong to.
    pub alerts: usize,
    /// Persons they are about.
    pub persons: usize,
    /// Findings in which it stands only inside a longer word that was found there.
    pub inside_longer: usize,
    /// Longer words in force that contain it, at most fifty.
    pub longer: Vec<String>,
    /// Findings by rule, the most first.
    pub rules: Vec<OfRule>,
    /// Findings by day at +08:00, the first day first.
    pub by_day: Vec<OfDay>,
    /// There may be more: the time was up, or there were too many.
    pub stopped: bool,
    /// Some of the excerpts, for those who may read them.
    pub samples: Vec<Sample>,
}

/// Findings of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OfRule {
    /// The pack.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// How many.
    pub findings: usize,
}

/// Findings of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OfDay {
    /// `YYYY-MM-DD` at +08:00.
    pub day: String,
    /// How many.
    pub findings: usize,
}

/// One excerpt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sample {
    /// The alert.
    pub alert: String,
    /// The rule that found it.
    pub rule: String,
    /// The day of the message at +08:00.
    pub day: String,
    /// As far as rule and device disclose it.
    pub excerpt: String,
}

/// Looks for a word in the excerpts the finder may read.
///
/// # Errors
/// There is nothing to look for, or the databases.
pub fn preview(
    finder: &mut Finder,
    policies: &[&InForce],
    word: &str,
    (days, now_ms): (u32, i64),
    with_samples: bool,
) -> Result<Preview, SearchError> {
    let nothing = || SearchError::Told("there is nothing to look for; write letters, digits or characters".into());
    let phrase = Phrase::of(word).ok_or_else(nothing)?;
    let days = days.clamp(1, DAYS_MAX);
    let query = Query {
        terms: vec![Term::Text { phrase, not: false }],
        since_ms: Some(now_ms.saturating_sub(i64::from(days) * DAY_MS)),
        until_ms: None,
    };
    let longer = longer_words(policies, word);
    let mut counted = Counted { word: fold(word).trim().to_owned(), with_samples, ..Counted::default() };
    let give_up = Instant::now() + PATIENCE;
    let mut after: Option<String> = None;
    loop {
        let patience = give_up.saturating_duration_since(Instant::now());
        let asked = Asked { query: &query, after: after.as_deref(), limit: PAGE, patience };
        let page = finder.find(&asked)?;
        for found in &page.found {
            counted.add(finder, found)?;
        }
        after = page.next;
        let enough = counted.findings >= FINDINGS_MAX || Instant::now() >= give_up;
        if after.is_none() || enough || page.stopped {
            let stopped = after.is_some();
            return Ok(Preview { days, longer, stopped, ..counted.told() });
        }
    }
}

/// Words in force that contain another, as texts are compared.
fn longer_words(policies: &[&InForce], word: &str) -> Vec<String> {
    let folded = fold(word).trim().to_owned();
    let all = policies.iter().flat_map(|policy| policy.rules()).flat_map(|(_, rule)| &rule.selections);
    let words = all.flat_map(|selection| selection.words());
    let mut longer: BTreeSet<String> = BTreeSet::new();
    for known in words {
        let other = fold(known);
        if other.len() > folded.len() && other.contains(&folded) {
            longer.insert(known.to_string());
        }
    }
    longer.into_iter().take(LONGER_MAX).collect()
}

#[derive(Default)]
struct Counted {
    word: String,
    with_samples: bool,
    findings: usize,
    inside_longer: usize,
    alerts: BTreeSet<String>,
    persons: BTreeSet<String>,
    rules: BTreeMap<(String, String), usize>,
    days: BTreeMap<String, usize>,
    samples: Vec<Sample>,
}

impl Counted {
    fn add(&mut self, finder: &Finder, found: &Found) -> Result<(), SearchError> {
        // Erased meanwhile.
        let Some(told) = finder.told(found)? else { return Ok(()) };
        self.findings += 1;
        self.alerts.extend(found.alert.clone());
        self.persons.insert(found.person.clone());
        *self.rules.entry((found.pack.clone(), found.rule.clone())).or_default() += 1;
        *self.days.entry(found.day.clone()).or_default() += 1;
        let hits: Vec<&str> = told.hits.iter().map(|hit| hit.word.as_str()).collect();
        self.inside_longer += usize::from(is_inside_longer(&self.word, &told.excerpt, &hits));
        if self.with_samples && self.samples.len() < SAMPLES_MAX {
            let (alert, rule, day) = (found.alert.clone().unwrap_or_default(), found.rule.clone(), found.day.clone());
            self.samples.push(Sample { alert, rule, day, excerpt: told.excerpt });
        }
        Ok(())
    }

    fn told(self) -> Preview {
        let mut rules: Vec<OfRule> =
            self.rules.into_iter().map(|((pack, rule), findings)| OfRule { pack, rule, findings }).collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.findings));
        Preview {
            findings: self.findings,
            alerts: self.alerts.len(),
            persons: self.persons.len(),
            inside_longer: self.inside_longer,
            rules,
            by_day: self.days.into_iter().map(|(day, findings)| OfDay { day, findings }).collect(),
            samples: self.samples,
            ..Preview::default()
        }
    }
}

/// Whether a folded word stands in an excerpt only where a longer word was found.
fn is_inside_longer(word: &str, excerpt: &str, hits: &[&str]) -> bool {
    let text = fold(excerpt);
    let longer: Vec<String> =
        hits.iter().map(|hit| fold(hit)).filter(|hit| hit.len() > word.len() && hit.contains(word)).collect();
    // Where a longer word stood, nothing is looked for any more.
    let rest = longer.iter().fold(text.clone(), |text, hit| text.replace(hit.as_str(), "\n"));
    !longer.is_empty() && text.contains(word) && !rest.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_inside_a_longer_one_is_told_apart() {
        for (excerpt, hits, expected) in [
            ("这款产品保本保收益", &["保本保收益"][..], true),
            ("这款保本产品保本保收益", &["保本保收益"], false),
            ("这款产品保本", &["保本"], false),
            ("這款產品保本保收益", &["保本保收益"], true),
            ("这款产品", &["保本保收益"], false),
        ] {
            assert_eq!(is_inside_longer("保本", excerpt, hits), expected, "{excerpt}");
        }
    }

    #[test]
    fn longer_words_in_force_are_told() {
        let builtin = InForce::builtin().unwrap();
        let longer = longer_words(&[&builtin], "保本");
        assert!(longer.iter().all(|word| fold(word).contains("保本") && word != "保本"), "{longer:?}");
        assert!(!longer.is_empty());
    }
}
