//! A device that was told to come to a new key before a backup, and came to more keys after it: those are not in what was
//! restored, and come back in any order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use support::offline::Log;
use support::{Device, TENANT, finding};
use time::{Duration, OffsetDateTime};
use watchpost_collector::chain::{self, NewKey, Verified};
use watchpost_collector::credentials;
use watchpost_collector::log_store::check::check;
use watchpost_collector::pki::DEVICE_LIFE;
use watchpost_collector::registry::{Effects, Registry};
use watchpost_collector::trust::Trust;
use watchpost_proto::keys::SigningKey as _;
use watchpost_proto::segment::read_statement;
use watchpost_proto::v1::{DeviceVerb, Lane};

/// The same device with another key, issued so many minutes ago.
fn with_key(log: &Log, of: &Device, minutes: i64) -> Device {
    let then = OffsetDateTime::now_utc() - Duration::minutes(minutes);
    Device::of(of.id, log.lab.devices.issue_with_key(TENANT, &of.id, DEVICE_LIFE, then).unwrap(), &log.lab.root)
}

/// Appends a segment under the device's key, as a running collector does.
fn come(log: &mut Log, registry: &Registry, device: &mut Device) {
    let segment = device.seal(Lane::Urgent, &[finding(1)]);
    let chain = device.chain.iter().map(|certificate| certificate.to_vec()).collect();
    let verified = Verified {
        read: read_statement(&segment.statement).unwrap(),
        segment,
        received_at_ms: watchpost_collector::clock::now_ms(),
        new_key: Some(NewKey { key: device.key.public().clone(), chain }),
    };
    let (mut effects, mut appender) = (Effects::default(), log.store.begin().unwrap());
    chain::take_segment(&mut appender, &verified, &mut effects).unwrap();
    appender.commit().unwrap();
    registry.apply(effects);
}

#[test]
fn the_key_that_was_issued_last_counts_whatever_the_order_of_arrival() {
    for earlier_first in [true, false] {
        let mut log = Log::new();
        let first = log.lab.device();
        let mut keys = [4, 3, 2, 1].map(|minutes| with_key(&log, &first, minutes));
        let registry = Registry::load(&log.store).unwrap();
        come(&mut log, &registry, &mut keys[0]);
        log.act(&keys[0], DeviceVerb::Rekey);
        come(&mut log, &registry, &mut keys[1]);
        // What was restored ends here.
        let registry = Registry::load(&log.store).unwrap();
        let ids: Vec<_> = keys.iter().map(|device| device.key.public().id()).collect();
        for n in if earlier_first { [2, 3] } else { [3, 2] } {
            come(&mut log, &registry, &mut keys[n]);
        }
        let out: Vec<bool> = ids.iter().map(|id| registry.shuts_out(&first.id, id)).collect();
        assert_eq!(out, [true, true, true, false], "earlier first: {earlier_first}");
        let again = Registry::load(&log.store).unwrap();
        assert!(ids.iter().zip(&out).all(|(id, out)| again.shuts_out(&first.id, id) == *out), "as it is in the log");
        let config = &log.lab.config;
        let trust = Trust::new(&credentials::trusted(&config.root).unwrap(), &config.tenant).unwrap();
        check(&log.reader(), &trust, &[], |_| ()).unwrap();
    }
}
