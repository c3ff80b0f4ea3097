//! Keeping the certificate alive: when it is due, and the one question that gets the next.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tonic::transport::Channel;
use watchpost_proto::identity::{validity_ms, vouches};
use watchpost_proto::keys::SigningKey;
use watchpost_proto::request::certificate_request;
use watchpost_proto::v1::uplink_client::UplinkClient;
use watchpost_proto::v1::{RenewRequest, Welcome, renew_answer};

use super::{Ended, PROTOCOL, Uplink, connection, refused};
use crate::device::{DeviceError, Held};
use crate::store::StoreError;

/// A renewal is due when this part of a certificate's life is over …
const DUE: f64 = 2.0 / 3.0;
/// … and up to this much later, each device at a moment of its own: a fleet enrolled in one day does not come in one hour.
const SPREAD: f64 = 1.0 / 12.0;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Between two attempts that failed for a reason of this device.
const TRY_AGAIN: Duration = Duration::from_secs(600);
/// Roots kept at most.
const ROOTS_MAX: usize = 8;

/// Whether a certificate should be renewed. `place` is between 0 and 1, and the same for a device at all times.
pub(super) fn due((not_before_ms, not_after_ms): (i64, i64), now_ms: i64, place: f64) -> bool {
    let life = not_after_ms.saturating_sub(not_before_ms) as f64;
    now_ms >= not_before_ms.saturating_add((life * (DUE + SPREAD * place)) as i64)
}

impl Uplink {
    /// Whether this device's certificate should be renewed now.
    pub(super) fn renewal_due(&self) -> Result<bool, StoreError> {
        if self.clock.monotonic() < *self.renew_after.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            return Ok(false);
        }
        let held = self.device.held();
        // A collector has just told the time; the clock here may be wrong.
        let now_ms = self.signed_time(&held)?;
        let validity = held.chain.first().and_then(|leaf| validity_ms(leaf));
        let place = f64::from(self.device.id.0[15]) / 255.0;
        Ok(validity.is_some_and(|validity| due(validity, now_ms, place)))
    }

    /// Not before so long from now.
    pub(super) fn put_off_renewal(&self, wait: Duration) {
        let mut after = self.renew_after.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *after = self.clock.monotonic() + wait;
    }

    /// Gets the next certificate and takes it over. Streams that are open keep what they began with.
    pub(super) async fn renew(&self, client: &mut UplinkClient<Channel>) -> Result<(), Ended> {
        // Whatever comes of it, it is not asked again at once.
        self.put_off_renewal(TRY_AGAIN);
        let key = self.files.key_to_renew_with().map_err(|error| unkept(&error))?;
        let request = certificate_request(&key).map_err(|error| Ended::Connection(error.to_string()))?;
        let question = RenewRequest { protocol: PROTOCOL, request, agent_version: env!("CARGO_PKG_VERSION").into() };
        let answer = tokio::time::timeout(ANSWER, client.renew(question))
            .await
            .map_err(|_| Ended::Connection("no answer to a renewal".into()))?
            .map_err(|status| connection(&status))?
            .into_inner();
        let chain = match answer.kind {
            Some(renew_answer::Kind::Renewed(renewed)) => renewed.chain,
            Some(renew_answer::Kind::Refusal(refusal)) => {
                let ended = refused(refusal);
                if let Ended::Refused { retry_after, .. } = &ended {
                    self.put_off_renewal(*retry_after);
                }
                return Err(ended);
            }
            None => return Err(Ended::Connection("an answer of a later version".into())),
        };
        self.take_over(&chain, key)
    }

    fn take_over(&self, chain: &[Vec<u8>], key: impl SigningKey + 'static) -> Result<(), Ended> {
        let leaf = chain.first().and_then(|leaf| watchpost_proto::identity::read_certificate(leaf).ok());
        let fits = leaf.is_some_and(|leaf| {
            leaf.key == *key.public()
                && leaf.tenant == self.device.tenant
                && leaf.role == watchpost_proto::identity::Role::Device(self.device.id)
        });
        if !fits {
            return Err(Ended::Connection("the certificate sent is not for this device's key".into()));
        }
        self.files.keep_chain(chain).map_err(|error| unkept(&error))?;
        let ders = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let held = self.device.held();
        self.device.hold(Held { key: std::sync::Arc::new(key), chain: ders, ..Held::clone(&held) });
        tracing::info!("the certificate was renewed");
        Ok(())
    }

    /// Takes over roots that a trusted one vouches for. None is ever taken away because a collector does not name it.
    pub(super) fn learn_roots(&self, welcome: &Welcome) {
        let held = self.device.held();
        let mut roots = held.roots.clone();
        // A later root may be vouched for by one that was itself just learnt.
        while let Some(later) = welcome.roots.iter().take(ROOTS_MAX).find(|later| {
            roots.len() < ROOTS_MAX
                && !roots.iter().any(|root| root[..] == later[..])
                && roots.iter().any(|root| welcome.links.iter().take(ROOTS_MAX).any(|link| vouches(root, link, later)))
        }) {
            roots.push(CertificateDer::from(later.clone()));
        }
        if roots.len() == held.roots.len() {
            return;
        }
        let ders: Vec<Vec<u8>> = roots.iter().map(|root| root.to_vec()).collect();
        match self.files.keep_roots(&ders) {
            Ok(()) => {
                tracing::info!(roots = roots.len(), "a further root is trusted: an earlier one vouches for it");
                self.device.hold(Held { roots, ..Held::clone(&held) });
            }
            Err(error) => tracing::warn!(%error, "a further root could not be kept"),
        }
    }
}

fn unkept(error: &DeviceError) -> Ended {
    Ended::Connection(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    #[test]
    fn a_renewal_is_due_in_the_last_third_each_device_at_its_own_time() {
        let life = (0, 36 * DAY);
        for (now, place, expected) in [
            (0, 0.0, false),
            (24 * DAY - 1, 0.0, false),
            (24 * DAY, 0.0, true),
            (24 * DAY, 1.0, false),
            (27 * DAY, 1.0, true),
            (i64::MAX, 0.0, true),
            (i64::MIN, 0.0, false),
        ] {
            assert_eq!(due(life, now, place), expected, "{now} {place}");
        }
    }
}
