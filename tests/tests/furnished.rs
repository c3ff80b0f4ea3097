//! The furnished collector has something of everything. Its devices enrolled before their certificates were made, so its log
//! is one to look at, not one that verifies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use watchpost_tests::furnish::{Size, furnish};
use watchpost_tests::lab::Lab;

fn words(rows: &[Value], field: &str) -> BTreeSet<String> {
    rows.iter().filter_map(|row| row[field].as_str()).map(str::to_owned).collect()
}

#[test]
fn a_furnished_collector_has_something_of_everything() -> anyhow::Result<()> {
    let mut lab = Lab::new(0)?;
    let furnished = furnish(&lab.collector, Size { findings: 150, is_hostile: true })?;
    let address = lab.collector.start()?;
    let _connected = furnished.connect(address)?;
    let collector = &lab.collector;
    lab.wait_until("devices stand in every way", Duration::from_secs(60), || {
        // Until everything is derived there is nothing to look at.
        let Ok(fleet) = collector.json(&["health"]) else { return Ok(false) };
        let devices = fleet.iter().filter_map(|fleet| fleet["devices"].as_array()).flatten().cloned();
        let states = words(&devices.collect::<Vec<_>>(), "state");
        Ok(["offline", "blind", "starved", "behind", "well"].iter().all(|state| states.contains(*state)))
    })?;
    assert!(collector.json(&["device", "list"])?.len() >= 30);
    assert_eq!(
        words(&collector.json(&["device", "list"])?, "state"),
        ["active", "quarantined", "revoked"].map(str::to_owned).into()
    );
    let levels = words(&collector.json(&["alert", "list"])?, "level");
    assert!(["critical", "high", "medium"].iter().all(|level| levels.contains(*level)), "{levels:?}");
    for (what, least) in [("case", 4), ("suppress", 3), ("operator", 9), ("words", 2), ("setting", 5)] {
        assert!(collector.json(&[what, "list"])?.len() >= least, "{what}");
    }
    Ok(())
}
