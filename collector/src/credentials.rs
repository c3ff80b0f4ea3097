//! The collector's own certificate and key, and the root it trusts.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use watchpost_proto::identity::{self, Role, UPLINK_NAME};
use watchpost_proto::keys::SoftwareKey;

use crate::config::Config;

/// Who the collector is, and whom it believes.
#[derive(Debug)]
pub struct Credentials {
    /// The tenant served.
    pub tenant: String,
    /// Own chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The root every chain must lead to.
    pub root: CertificateDer<'static>,
    /// Own key, for receipts.
    pub key: SoftwareKey,
    /// Chain and key, for TLS.
    pub certified: Arc<CertifiedKey>,
}

impl Credentials {
    /// Reads and checks the files a configuration names.
    ///
    /// # Errors
    /// A file that cannot be read, or that agents or packages would not accept, named with what is wrong.
    pub fn load(config: &Config) -> anyhow::Result<Self> {
        let chain = certificates(&config.certificate)?;
        let root = root(&config.root)?;
        let tenant = config.tenant.clone();
        check_leaf(&chain, &root, &tenant).with_context(|| config.certificate.display().to_string())?;
        let der = private_key(&config.key)?;
        let key = SoftwareKey::from_pkcs8(der.secret_der()).with_context(|| config.key.display().to_string())?;
        let certified = CertifiedKey::from_der(chain.clone(), der, &provider())
            .with_context(|| format!("{} does not fit {}", config.key.display(), config.certificate.display()))?;
        Ok(Self { tenant, chain, root, key, certified: Arc::new(certified) })
    }

    /// The root as a store with one certificate.
    ///
    /// # Errors
    /// A root that is none.
    pub fn roots(&self) -> anyhow::Result<Arc<RootCertStore>> {
        roots(&self.root)
    }

    /// The chain as the contract carries it, leaf first.
    pub fn chain_der(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|certificate| certificate.to_vec()).collect()
    }
}

/// The one provider of cryptography.
pub fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// The root at `path`. Packages are built without the feature `dev-ca` and refuse a development root.
///
/// # Errors
/// Not exactly one certificate, or a development root in a package.
pub fn root(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    let mut roots = certificates(path)?;
    let root = roots.pop().filter(|_| roots.is_empty());
    let root = root.with_context(|| format!("{} holds more than one certificate", path.display()))?;
    if identity::is_development_root(&root) && !cfg!(feature = "dev-ca") {
        bail!("{} is a development root; this build accepts only one made by init", path.display());
    }
    Ok(root)
}

/// A root as a store with one certificate.
///
/// # Errors
/// A root that is none.
pub fn roots(root: &CertificateDer<'static>) -> anyhow::Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    store.add(root.clone()).context("the root certificate cannot be used")?;
    Ok(Arc::new(store))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not PEM", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    Ok(found)
}

/// A private key in PEM.
pub(crate) fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    PrivateKeyDer::from_pem_slice(&text).with_context(|| format!("{} holds no private key in PEM", path.display()))
}

/// What agents will check, checked at once, so that a mistake is seen here and not on a thousand devices.
fn check_leaf(chain: &[CertificateDer<'static>], root: &CertificateDer<'static>, tenant: &str) -> anyhow::Result<()> {
    let (leaf, intermediates) = chain.split_first().context("no certificate")?;
    let identity = identity::read_certificate(leaf)?;
    ensure!(matches!(identity.role, Role::Collector(_)), "this is not a collector's certificate");
    ensure!(
        identity.tenant == tenant,
        "the certificate is of tenant {:?}, the configuration of {tenant:?}",
        identity.tenant
    );
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(root)?, Arc::new(provider())).build()?;
    verifier
        .verify_server_cert(leaf, intermediates, &ServerName::try_from(UPLINK_NAME)?, &[], UnixTime::now())
        .context("agents would refuse this certificate")?;
    Ok(())
}
