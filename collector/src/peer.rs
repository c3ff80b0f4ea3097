//! Who is at the other end of a connection: read from its certificate once, when the handshake has succeeded.

use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;
use watchpost_proto::DeviceId;
use watchpost_proto::identity::{self, IdentityError, Role};
use watchpost_proto::keys::{KeyId, PublicKey};
use watchpost_proto::refusal::Code;

/// A device whose chain leads to the root. Its certificate may be outside its dates, and it may be revoked: both are
/// answered in-band.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The device.
    pub device: DeviceId,
    /// Its tenant.
    pub tenant: String,
    /// The certified key.
    pub key: PublicKey,
    /// The key's id.
    pub key_id: KeyId,
    /// DER certificates as presented, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// First moment of validity, milliseconds since 1970.
    pub not_before_ms: i64,
    /// Last moment of validity, milliseconds since 1970.
    pub not_after_ms: i64,
    /// Where it connected from.
    pub address: SocketAddr,
}

impl Peer {
    /// Reads a verified chain. `None` for a certificate that names no device.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn read(chain: &[CertificateDer<'_>], address: SocketAddr) -> Result<Option<Self>, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::NotACertificate)?;
        let identity = identity::read_certificate(leaf)?;
        let Role::Device(device) = identity.role else { return Ok(None) };
        Ok(Some(Self {
            device,
            tenant: identity.tenant,
            key_id: identity.key.id(),
            key: identity.key,
            chain: chain.iter().map(|certificate| certificate.to_vec()).collect(),
            not_before_ms: identity.not_before_ms,
            not_after_ms: identity.not_after_ms,
            address,
        }))
    }

    /// Whether the certificate is within its dates.
    ///
    /// # Errors
    /// The code to refuse with.
    pub fn check_dates(&self, now_ms: i64) -> Result<(), Code> {
        if now_ms > self.not_after_ms {
            Err(Code::CertificateExpired)
        } else if now_ms < self.not_before_ms {
            Err(Code::CertificateNotYetValid)
        } else {
            Ok(())
        }
    }
}
