//! The judge against a definition said the slow way: all pairs of hits, no early end, no order.

use super::*;
use crate::condition;

/// Everything that decides: three selections of one word each, of which the second and third may stand near another.
#[derive(Clone, Debug)]
struct Made {
    near: [Option<(usize, u32, &'static str)>; 3],
    condition: &'static str,
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const WORDS: [&[&str]; 3] = [&["甲甲", "甲甲乙"], &["丙丙"], &["丁丁", "丙丁"]];
const CONDITIONS: [&str; 12] = [
    "a and not b",
    "a and not b and not c",
    "a and (b or not c)",
    "a or b or c",
    "2 of them",
    "a and not any of (b, c)",
    "(a and not b) or c",
    "a and not (b and c)",
    "all of them",
    "b and not c",
    "c and not (a or b)",
    "any of (a, b) and not c",
];

impl Made {
    fn detection(&self) -> String {
        let mut lines = String::from("detection:");
        for (at, name) in NAMES.iter().enumerate() {
            let near = self.near[at]
                .map_or(String::new(), |(other, within, key)| format!(", {key}: {}, within: {within}", NAMES[other]));
            let words = WORDS[at].join(", ");
            lines.push_str(&format!(
                "\n  {name}: {{ words: [{words}], normalise: {{ repeats: false, noise: false }}{near} }}"
            ));
        }
        format!("{lines}\n  condition: {}", self.condition)
    }

    fn hits(&self, text: &str) -> [Vec<(u32, u32)>; 3] {
        let chars: Vec<char> = text.chars().collect();
        WORDS.map(|words| {
            let mut hits = Vec::new();
            for word in words.iter().map(|word| word.chars().collect::<Vec<_>>()) {
                let places = (0..chars.len()).filter(|at| chars[*at..].starts_with(&word));
                hits.extend(places.map(|at| (at as u32, (at + word.len()) as u32)));
            }
            hits
        })
    }

    /// Whether `hit` stands to `other` as a selection with `key` and `within` must.
    fn stands(hit: (u32, u32), other: (u32, u32), within: u32, key: &str) -> bool {
        let before = hit.1 <= other.0 && other.0 - hit.1 <= within;
        let after = other.1 <= hit.0 && hit.0 - other.1 <= within;
        let overlapping = hit.0 < other.1 && other.0 < hit.1;
        match key {
            "before" => before,
            "after" => after,
            _ => before || after || overlapping,
        }
    }

    fn holds(&self, text: &str) -> bool {
        let mut counted = self.hits(text);
        // Nearness goes over at most three selections, so three rounds settle it.
        for _ in 0..3 {
            for at in 0..3 {
                let Some((other, within, key)) = self.near[at] else { continue };
                let others = counted[other].clone();
                counted[at].retain(|hit| others.iter().any(|other| Self::stands(*hit, *other, within, key)));
            }
        }
        let condition = condition::parse(self.condition, &NAMES).unwrap();
        let negated = condition.selections(true);
        let mut left = counted.clone();
        for denier in negated {
            let Some((target, within, key)) = self.near[denier] else { continue };
            let denied: Vec<_> = left[target]
                .iter()
                .filter(|hit| counted[denier].iter().any(|denial| Self::stands(*denial, **hit, within, key)))
                .copied()
                .collect();
            left[target].retain(|hit| !denied.iter().any(|outer| outer.0 <= hit.0 && hit.1 <= outer.1));
        }
        condition.eval(&|selection, negated| match self.near[selection] {
            Some((target, ..)) if negated => !counted[selection].is_empty() && left[target].is_empty(),
            _ => !counted[selection].is_empty(),
        })
    }
}

fn made() -> impl proptest::strategy::Strategy<Value = Made> {
    use proptest::prelude::*;
    let key = prop::sample::select(vec!["near", "before", "after"]);
    // The second may stand near the first, the third near either: no circles.
    let second = prop::option::of((Just(0_usize), 0..4_u32, key.clone()));
    let third = prop::option::of((0..2_usize, 0..4_u32, key));
    (second, third, prop::sample::select(CONDITIONS.to_vec()))
        .prop_map(|(second, third, condition)| Made { near: [None, second, third], condition })
        .prop_filter("every selection is used", |made| {
            let used = |name: &str, at: usize| {
                made.condition.contains("them")
                    || made.condition.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word == name)
                    || made.near.iter().flatten().any(|near| near.0 == at)
            };
            NAMES.iter().enumerate().all(|(at, name)| used(name, at))
        })
}

proptest::proptest! {
    // Each case compiles an engine.
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]
    #[test]
    fn the_judge_agrees_with_all_pairs(made in made(), text in "(甲甲|甲甲乙|丙丙|丁丁|丙丁|一|二三){0,10}") {
        let engine = engine(&made.detection());
        proptest::prop_assert_eq!(!evaluate(&engine, &message(&[&text])).is_empty(), made.holds(&text), "{}", made.detection());
    }
}
