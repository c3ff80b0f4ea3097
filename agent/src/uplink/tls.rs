//! TLS of the uplink and of enrolment: pinned roots and nothing else, TLS 1.3 only, and tolerance for wrong clocks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SigningKey as TlsSigningKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureAlgorithm,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use watchpost_proto::Digest;
use watchpost_proto::digest::sha256;
use watchpost_proto::identity::{ALPN, ENROL_NAME, Role, UPLINK_NAME, issuer_name, read_certificate, validity_ms};
use watchpost_proto::keys::{KeyId, PublicKey, SigningKey};

use super::reconcile::Trouble;
use super::trouble::Way;
use crate::device::{Device, Held};

const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What a device can tell about the time: its own clock, and the last server time seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) now_ms: i64,
    pub(super) server_ms: i64,
}

/// What a connection is for.
#[derive(Clone)]
pub(super) struct Dialler {
    connector: TlsConnector,
    name: &'static str,
}

impl Dialler {
    /// For the uplink: both sides show certificates.
    pub(super) fn uplink(held: &Held, times: Times) -> Result<Self, Error> {
        let verifier = Arc::new(Verifier(PinnedRoots::new(&held.roots, &held.denied, times)?));
        let key = CertifiedKey::new(held.chain.clone(), Arc::new(DeviceKey(held.key.clone())));
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        Ok(Self::new(config, UPLINK_NAME))
    }

    /// For enrolment: the collector alone shows a certificate, and sends along the root the token pins.
    pub(super) fn enrolment(root_pin: Digest, at_ms: i64) -> Result<Self, Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier(PinnedByToken { root_pin, at_ms })))
            .with_no_client_auth();
        Ok(Self::new(config, ENROL_NAME))
    }

    fn new(mut config: ClientConfig, name: &'static str) -> Self {
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Self { connector: TlsConnector::from(Arc::new(config)), name }
    }

    /// Dials and completes the handshake.
    pub(super) async fn dial(self, address: String) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let connect = async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let name = ServerName::try_from(self.name).map_err(io::Error::other)?;
            self.connector.connect(name, socket).await
        };
        let stream = tokio::time::timeout(DIAL_TIMEOUT, connect)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??;
        Ok(TokioIo::new(stream))
    }
}

/// Checks that a chain ends in a pinned root and its leaf is a collector of this tenant; returns the leaf's key.
pub(super) fn verify_signer(device: &Device, chain: &[Vec<u8>], now_ms: i64) -> Result<PublicKey, Trouble> {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let (leaf, intermediates) = chain.split_first().ok_or(Trouble::Signer)?;
    let identity = read_certificate(leaf).map_err(|_| Trouble::Signer)?;
    if identity.tenant != device.tenant || !matches!(identity.role, Role::Collector(_)) {
        return Err(Trouble::Signer);
    }
    let held = device.held();
    if held.denied.contains(&identity.key.id()) {
        return Err(Trouble::Signer);
    }
    // The handshake has just checked the dates with tolerance; a signer is checked inside its own.
    let begun = chain.iter().filter_map(|der| validity_ms(der)).map(|it| it.0).max().unwrap_or(0);
    let at = now_ms.max(begun).min(identity.not_after_ms);
    let times = Times { now_ms: at, server_ms: 0 };
    let verifier = PinnedRoots::new(&held.roots, &held.denied, times).map_err(|_| Trouble::Signer)?;
    let name = ServerName::try_from(UPLINK_NAME).map_err(|_| Trouble::Signer)?;
    verifier.verify_at(leaf, intermediates, &name, at).map_err(|_| Trouble::Signer)?;
    Ok(identity.key)
}

/// The device's key as rustls wants it.
#[derive(Clone)]
struct DeviceKey(Arc<dyn SigningKey>);

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceKey")
    }
}

impl TlsSigningKey for DeviceKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for DeviceKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(message).map_err(|error| Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// Whether a chain is the collector's, by whatever this side knows.
trait Judge: std::fmt::Debug + Send + Sync {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<ServerCertVerified, Error>;
}

/// A judgement as rustls wants it: TLS 1.3 only, and no clock but those the judgement knows.
#[derive(Debug)]
struct Verifier<J>(J);

impl<J: Judge> ServerCertVerifier for Verifier<J> {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.judge(leaf, intermediates, name)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Trusts the root a token pins, as the collector sends it along.
#[derive(Debug)]
struct PinnedByToken {
    root_pin: Digest,
    /// The moment to judge the collector's certificate by.
    at_ms: i64,
}

impl Judge for PinnedByToken {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|der| sha256(&[der]) == self.root_pin);
        let root = pinned.ok_or_else(|| not_the_collector(leaf))?.clone().into_owned();
        let times = Times { now_ms: self.at_ms, server_ms: 0 };
        PinnedRoots::new(&[root], &[], times)?.judge(leaf, intermediates, name)
    }
}

/// Trusts these roots. A certificate's not-before is ignored, and it counts as unexpired if it is so at the device's own
/// clock or at the last server time seen: no clock of ours may lock a device out.
#[derive(Debug)]
struct PinnedRoots {
    inner: Arc<WebPkiServerVerifier>,
    /// Collectors that the policy has called off.
    denied: Vec<KeyId>,
    times: Times,
}

impl PinnedRoots {
    fn new(trusted: &[CertificateDer<'static>], denied: &[KeyId], times: Times) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for root in trusted {
            roots.add(root.clone())?;
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { inner, denied: denied.to_vec(), times })
    }

    fn verify_at(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        at_ms: i64,
    ) -> Result<ServerCertVerified, Error> {
        let at = UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(at_ms).unwrap_or(0)));
        self.inner.verify_server_cert(leaf, intermediates, name, &[], at)
    }
}

impl Judge for PinnedRoots {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<ServerCertVerified, Error> {
        if read_certificate(leaf).is_ok_and(|it| self.denied.contains(&it.key.id())) {
            return Err(Error::InvalidCertificate(CertificateError::Revoked));
        }
        let earliest =
            std::iter::once(leaf).chain(intermediates).filter_map(|der| validity_ms(der)).map(|it| it.0).max();
        let earliest = earliest.unwrap_or(0);
        match self.verify_at(leaf, intermediates, name, self.times.now_ms.max(earliest)) {
            Err(error) if expired(&error) && self.times.server_ms > 0 => {
                let verified = self.verify_at(leaf, intermediates, name, self.times.server_ms.max(earliest))?;
                tracing::warn!("the device's clock is uncertain: the collector's certificate has ended by it alone");
                Ok(verified)
            }
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Err(not_the_collector(leaf)),
            verdict => verdict,
        }
    }
}

/// Whoever answers is not under a pinned root: another collector, or a gateway that opens TLS. Its issuer names it.
fn not_the_collector(leaf: &[u8]) -> Error {
    let way = Way::Intercepted { issuer: issuer_name(leaf).unwrap_or_default() };
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(way))))
}

fn expired(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }))
}
