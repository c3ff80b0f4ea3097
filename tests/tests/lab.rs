//! The lab with a real collector in it.

use std::net::TcpListener;
use std::time::Duration;

use watchpost_tests::lab::{Binaries, Lab, program};

/// A lab without agents.
fn lab() -> anyhow::Result<Lab> {
    let collector = program("watchpost-collector")?;
    Lab::with_binaries(&Binaries { agent: collector.clone(), collector }, 0)
}

#[test]
fn a_collector_keeps_its_port_through_kills_and_ends_well_when_asked() {
    let mut lab = lab().unwrap();
    let address = lab.collector.start().unwrap();
    for _ in 0..3 {
        lab.collector.kill().unwrap();
        assert_eq!(lab.collector.start().unwrap(), address);
    }
    let status = lab.collector.stop().unwrap().unwrap();
    assert!(status.success(), "{status}\n{}", lab.tails());
}

#[test]
fn a_port_that_is_busy_for_a_moment_delays_the_start_and_no_more() {
    let mut lab = lab().unwrap();
    let address = lab.collector.start().unwrap();
    lab.collector.kill().unwrap();
    let thief = TcpListener::bind(address).unwrap();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(thief);
    });
    assert_eq!(lab.collector.start().unwrap(), address);
    thread.join().unwrap();
}

#[test]
fn a_collector_that_cannot_start_says_why_in_the_failure() {
    let mut lab = lab().unwrap();
    std::fs::remove_file(lab.collector.dir().join("pki/collector.key")).unwrap();
    let error = format!("{:#}", lab.collector.start().unwrap_err());
    assert!(error.contains("collector.key"), "{error}");
}
