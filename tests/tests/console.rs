//! The console as people use it: a real browser, a real collector, real agents. Slow, and needs Chromium:
//! `.ci/browser && cargo test -p watchpost-tests --test console -- --ignored`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "console/journeys.rs"]
mod journeys;
#[path = "console/pages.rs"]
mod pages;
#[path = "console/stage.rs"]
mod stage;
