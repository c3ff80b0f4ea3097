//! TLS of the uplink: the pinned root and nothing else, TLS 1.3 only, and tolerance for wrong clocks.

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
use watchpost_proto::identity::{ALPN, Role, UPLINK_NAME, read_certificate};
use watchpost_proto::keys::{PublicKey, SigningKey};

use super::reconcile::Trouble;
use crate::device::Device;

const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connector for one connection. `now_ms` is the device's clock, `server_ms` the last server time seen.
pub(super) fn connector(device: &Device, now_ms: i64, server_ms: i64) -> Result<TlsConnector, Error> {
    let verifier = PinnedRoot::new(&device.root, now_ms, server_ms)?;
    let key = CertifiedKey::new(device.chain.clone(), Arc::new(DeviceKey(device.key.clone())));
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Dials and completes the handshake.
pub(super) async fn dial(address: String, connector: TlsConnector) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let connect = async {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(UPLINK_NAME).map_err(io::Error::other)?;
        connector.connect(name, socket).await
    };
    let stream = tokio::time::timeout(DIAL_TIMEOUT, connect)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??;
    Ok(TokioIo::new(stream))
}

/// Checks that a chain ends in the pinned root and its leaf is a collector of this tenant; returns the leaf's key.
pub(super) fn verify_signer(device: &Device, chain: &[Vec<u8>], now_ms: i64) -> Result<PublicKey, Trouble> {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let (leaf, intermediates) = chain.split_first().ok_or(Trouble::Signer)?;
    let identity = read_certificate(leaf).map_err(|_| Trouble::Signer)?;
    if identity.tenant != device.tenant || !matches!(identity.role, Role::Collector(_)) {
        return Err(Trouble::Signer);
    }
    // The handshake has just checked the dates with tolerance; a signer is checked inside its own.
    let at = now_ms.max(identity.not_before_ms).min(identity.not_after_ms);
    let verifier = PinnedRoot::new(&device.root, at, 0).map_err(|_| Trouble::Signer)?;
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

/// Trusts one root. A certificate's not-before is ignored, and it counts as unexpired if it is so at the device's own
/// clock or at the last server time seen: no clock of ours may lock a device out.
#[derive(Debug)]
struct PinnedRoot {
    inner: Arc<WebPkiServerVerifier>,
    now_ms: i64,
    server_ms: i64,
}

impl PinnedRoot {
    fn new(root: &CertificateDer<'static>, now_ms: i64, server_ms: i64) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { inner, now_ms, server_ms })
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

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let earliest =
            std::iter::once(leaf).chain(intermediates).filter_map(|der| not_before_ms(der)).max().unwrap_or(0);
        match self.verify_at(leaf, intermediates, name, self.now_ms.max(earliest)) {
            Err(error) if expired(&error) && self.server_ms > 0 => {
                let verified = self.verify_at(leaf, intermediates, name, self.server_ms.max(earliest))?;
                tracing::warn!("the device's clock is uncertain: the collector's certificate has ended by it alone");
                Ok(verified)
            }
            verdict => verdict,
        }
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
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn expired(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }))
}

fn not_before_ms(der: &[u8]) -> Option<i64> {
    watchpost_proto::identity::validity_ms(der).map(|(not_before, _)| not_before)
}
