//! The built-in packs, used when no policy is given.

use std::collections::BTreeMap;

use crate::rules::{Mistake, Pack};

/// File names and bytes of the built-in packs.
pub const BUILTIN: [(&str, &[u8]); 2] = [
    ("customer-diversion.yaml", include_bytes!("../packs/customer-diversion.yaml")),
    ("finance-conduct.yaml", include_bytes!("../packs/finance-conduct.yaml")),
];

/// The built-in packs: customer diversion (飞单) and investment sales conduct (理财销售).
///
/// # Errors
/// Never in a tested build; a mistake in an embedded pack is found by this crate's tests.
pub fn builtin() -> Result<Vec<Pack>, Vec<Mistake>> {
    BUILTIN.iter().map(|(name, bytes)| Pack::parse(name, bytes, &BTreeMap::new())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packs_are_clean_and_pass_their_own_tests() {
        for pack in builtin().unwrap_or_else(|mistakes| panic!("{mistakes:#?}")) {
            let outcomes = pack.run_tests().unwrap();
            let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
            assert!(failed.is_empty(), "{failed:#?}");
            for rule in &pack.rules {
                let tests =
                    |hit| outcomes.iter().filter(|outcome| outcome.rule == rule.id && outcome.test.hit == hit).count();
                assert!(tests(true) >= 2 && tests(false) >= 2, "{} needs two hits and two near-misses", rule.id);
            }
        }
    }
}
