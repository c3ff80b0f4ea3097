//! Any bytes as a pack: no panic; mistakes that say where and what; and a pack that is accepted compiles and runs its own tests.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use watchpost_policy::engine::{Engine, run_tests};
use watchpost_policy::rules::Pack;

fuzz_target!(|bytes: &[u8]| {
    let _ = Pack::named_files(bytes);
    match Pack::parse("fuzz.yaml", bytes, &BTreeMap::new()) {
        Ok(pack) => {
            let _ = run_tests(&pack);
            let _ = Engine::compile(vec![pack], None);
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            assert!(mistakes.iter().all(|mistake| !mistake.text.is_empty()));
        }
    }
});
