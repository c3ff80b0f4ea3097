//! The lab: what tests, benchmarks and the demo need to run the real programs against each other.
//!
//! - [`lab`] builds, starts, stops and kills real collectors and agents on temporary folders and free ports;
//! - [`proxy`] stands between them and breaks the line;
//! - [`offline`] writes a collector's log while it does not run, [`furnish`] fills one with a month of invented work;
//! - [`corpus`] invents exports, the same ones for the same seed;
//! - [`browser`] looks at the console as a person does;
//! - [`outcome`] says what must hold once everything has arrived.

pub mod browser;
pub mod corpus;
pub mod furnish;
pub mod lab;
pub mod log_speed;
pub mod offline;
pub mod outcome;
pub mod page_speed;
pub mod proxy;
pub mod search_speed;
pub mod speed;
pub mod trust_speed;

/// A pack of one rule that holds for every word of a file.
pub fn words_pack(words_file: &str) -> String {
    format!(
        "pack: bench\nversion: 1\ntitle: {{ zh: 词表, en: words }}\nrules:\n  - id: bench.words\n    \
         title: {{ zh: 词, en: words }}\n    category: bench\n    level: low\n    status: live\n    detection:\n      \
         word: {{ words_file: {words_file} }}\n      condition: word\n    disclose: none\n    sla: 24h\n"
    )
}
