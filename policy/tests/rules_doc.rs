//! Every example of `docs/rules.md` is read, and does what its own tests say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;

use watchpost_policy::engine::{Engine, run_tests};
use watchpost_policy::filters::Filter;
use watchpost_policy::rules::Pack;

#[test]
fn examples_of_the_rule_language_are_sound() {
    let text = include_str!("../../docs/rules.md");
    let examples: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let (mut packs, mut filters) = (Vec::new(), Vec::new());
    for example in examples {
        if example.starts_with("filter:") {
            filters.push(
                Filter::parse("docs/rules.md", example.as_bytes())
                    .unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{example}")),
            );
        } else {
            let pack = Pack::parse("docs/rules.md", example.as_bytes(), &BTreeMap::new());
            packs.push(pack.unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{example}")));
        }
    }
    assert!(packs.len() >= 7 && filters.len() == 2, "{} packs, {} filters", packs.len(), filters.len());
    for pack in &packs {
        let outcomes = run_tests(pack).unwrap();
        let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
    Engine::compile_filtered(packs, filters, None).unwrap();
}
