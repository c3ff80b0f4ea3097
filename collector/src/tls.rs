//! The rules of the handshake: TLS 1.3 only, never resumed, one protocol. Of the uplink: both sides with certificates.
//! Of enrolment: the collector alone. Which of the two, the server name tells.
//!
//! Wrong chain, role, protocol or server name end here, in TLS. A device whose certificate is outside its dates or
//! which is revoked passes: it is told so in-band, in words its help desk can use.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, version,
};
use watchpost_proto::identity::{self, ALPN, ENROL_NAME, Role, UPLINK_NAME};

use crate::clock::Clock;
use crate::credentials::{Credentials, provider};

/// The configuration of the uplink.
///
/// # Errors
/// A root that cannot be used.
pub fn uplink_config(credentials: &Credentials, clock: &Clock) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(provider());
    let chain = WebPkiClientVerifier::builder_with_provider(credentials.roots()?, Arc::clone(&provider))
        .build()
        .context("the root certificate cannot be used")?;
    let verifier = DeviceVerifier { chain, tenant: credentials.tenant.clone() };
    let config = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Only::shown(UPLINK_NAME, &credentials.certified));
    Ok(never_resumed(config))
}

/// The configuration of enrolment: whoever asks has no certificate yet.
///
/// # Errors
/// The library.
pub fn enrolment_config(credentials: &Credentials, clock: &Clock) -> anyhow::Result<ServerConfig> {
    let config = ServerConfig::builder_with_details(Arc::new(provider()), Arc::new(clock.clone()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Only::shown(ENROL_NAME, &credentials.with_roots));
    Ok(never_resumed(config))
}

fn never_resumed(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed handshake skips the client's certificate: none is ever offered.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

/// Shows the certificate to those who ask for one name over HTTP/2, and to nobody else.
#[derive(Debug)]
struct Only {
    name: &'static str,
    certified: Arc<CertifiedKey>,
}

impl Only {
    fn shown(name: &'static str, certified: &Arc<CertifiedKey>) -> Arc<Self> {
        Arc::new(Self { name, certified: Arc::clone(certified) })
    }
}

impl ResolvesServerCert for Only {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks_for_it = hello.server_name() == Some(self.name);
        // A client that offers no protocol at all would pass the negotiation.
        let speaks_h2 = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN));
        (asks_for_it && speaks_h2).then(|| Arc::clone(&self.certified))
    }
}

/// Lets in whoever holds a device certificate of this tenant under the root.
#[derive(Debug)]
struct DeviceVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    tenant: String,
}

impl ClientCertVerifier for DeviceVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let identity = identity::read_certificate(leaf).map_err(|_| refused.clone())?;
        let ours = matches!(identity.role, Role::Device(_)) && identity.tenant == self.tenant;
        let verified = match self.chain.verify_client_cert(leaf, intermediates, now) {
            Err(Error::InvalidCertificate(error)) if is_about_dates(&error) => {
                let then = within(now, identity.not_before_ms, identity.not_after_ms);
                self.chain.verify_client_cert(leaf, intermediates, then)
            }
            other => other,
        }?;
        if ours { Ok(verified) } else { Err(refused) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn is_about_dates(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

/// The moment nearest to `now` at which the leaf was valid.
fn within(now: UnixTime, not_before_ms: i64, not_after_ms: i64) -> UnixTime {
    let seconds = |ms: i64| u64::try_from(ms / 1000).unwrap_or(0);
    let at = now.as_secs().min(seconds(not_after_ms)).max(seconds(not_before_ms));
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(at))
}
