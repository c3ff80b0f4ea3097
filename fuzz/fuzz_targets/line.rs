//! Any bytes as a line of an export, through the whole engine with the built-in packs: no panic, places that lie on characters, and
//! excerpts within their bounds.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use watchpost_policy::engine::{Engine, Scratch};
use watchpost_policy::excerpt::EXCERPT_CHARS_MAX;
use watchpost_policy::identity::TenantKey;
use watchpost_policy::message::Corp;
use watchpost_policy::packs;
use watchpost_policy::parse::parse_line;
use watchpost_policy::rules::Disclose;
use watchpost_policy::summary::{SummaryContext, summarise};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::compile(packs::builtin().unwrap(), None).unwrap());

fuzz_target!(|line: &[u8]| {
    let Some(message) = parse_line(line).message else { return };
    let (corp, key) = (Corp::new("corp"), TenantKey([7; 32]));
    for finding in ENGINE.evaluate(&corp, &message, &mut Scratch::default()) {
        for hit in &finding.hits {
            let text = message.text_of(&hit.field).unwrap();
            assert!(hit.start < hit.end && hit.end as usize <= text.text.chars().count());
        }
        for ceiling in Disclose::ALL {
            let context = SummaryContext { tenant: "t", corp: &corp, key: &key, ceiling, accounts: None };
            let excerpt = summarise(&finding, &message, &context).excerpt;
            assert!(excerpt.is_none_or(|excerpt| excerpt.chars().count() <= EXCERPT_CHARS_MAX));
        }
    }
});
