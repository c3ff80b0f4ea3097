//! The collector's own certificate and key, and the root it trusts.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider as _;
use watchpost_proto::identity::{self, ENROL_NAME, Role, UPLINK_NAME};
use watchpost_proto::keys::SoftwareKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::Clock;
use crate::config::Config;
use crate::key_file;

/// Who the collector is, and whom it believes.
#[derive(Debug)]
pub struct Credentials {
    /// The tenant served.
    pub tenant: String,
    /// Own chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The roots of which every chain must lead to one.
    pub trusted: Vec<CertificateDer<'static>>,
    /// Certificates by which an earlier root vouches for a later one.
    pub links: Vec<CertificateDer<'static>>,
    /// Own key, for receipts.
    pub key: SoftwareKey,
    /// Chain and key, for TLS.
    pub certified: Arc<CertifiedKey>,
    /// The same with the roots, for devices that know nothing yet but the digest of one.
    pub with_roots: Arc<CertifiedKey>,
}

impl Credentials {
    /// Reads and checks the files a configuration names.
    ///
    /// # Errors
    /// A file that cannot be read, or that agents or packages would not accept, named with what is wrong.
    pub fn load(config: &Config, clock: &Clock) -> anyhow::Result<Self> {
        let chain = certificates(&config.certificate)?;
        let trusted = trusted(&config.root)?;
        let links = if config.links.exists() { certificates(&config.links)? } else { Vec::new() };
        let tenant = config.tenant.clone();
        check_leaf(&chain, &trusted, &tenant, clock).with_context(|| config.certificate.display().to_string())?;
        let own = key_file::read(&config.key, &config.keys.passphrase)?;
        let key = own.signing().with_context(|| config.key.display().to_string())?;
        let der = PrivatePkcs8KeyDer::from(own.der()).clone_key().into();
        // Whoever trusts only an earlier root needs the links; others pass over them.
        let shown: Vec<_> = chain.iter().chain(&links).cloned().collect();
        let certified = CertifiedKey::from_der(shown.clone(), der, &provider())
            .with_context(|| format!("{} does not fit {}", config.key.display(), config.certificate.display()))?;
        let more = shown.into_iter().chain(trusted.iter().cloned()).collect();
        let with_roots = Arc::new(CertifiedKey::new(more, Arc::clone(&certified.key)));
        Ok(Self { tenant, chain, trusted, links, key, certified: Arc::new(certified), with_roots })
    }

    /// The roots as a store.
    ///
    /// # Errors
    /// A root that is none.
    pub fn roots(&self) -> anyhow::Result<Arc<RootCertStore>> {
        roots(&self.trusted)
    }

    /// The chain with the links, as the contract carries it, leaf first.
    pub fn chain_der(&self) -> Vec<Vec<u8>> {
        ders(self.chain.iter().chain(&self.links))
    }

    /// The roots as the contract carries them.
    pub fn roots_der(&self) -> Vec<Vec<u8>> {
        ders(&self.trusted)
    }

    /// The links as the contract carries them.
    pub fn links_der(&self) -> Vec<Vec<u8>> {
        ders(&self.links)
    }
}

/// The one provider of cryptography.
pub fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// The roots at `path`. Packages are built without the feature `dev-ca` and refuse a development root.
///
/// # Errors
/// No certificate, or a development root in a package.
pub fn trusted(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let roots = certificates(path)?;
    if roots.iter().any(|root| identity::is_development_root(root)) && !cfg!(feature = "dev-ca") {
        bail!("{} holds a development root; this build accepts only one made by init", path.display());
    }
    Ok(roots)
}

/// Roots as a store.
///
/// # Errors
/// A root that is none.
pub fn roots(trusted: &[CertificateDer<'static>]) -> anyhow::Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for root in trusted {
        store.add(root.clone()).context("the root certificate cannot be used")?;
    }
    Ok(Arc::new(store))
}

/// The certificates of a PEM text as DER; `None` where it holds none.
pub(crate) fn chain_from_pem(text: &str) -> Option<Vec<Vec<u8>>> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!chain.is_empty()).then(|| ders(&chain))
}

/// The names of a collector's certificate beside the fixed ones.
pub(crate) fn extra_names(leaf: &[u8]) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) if ![UPLINK_NAME, ENROL_NAME].contains(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}

fn ders<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Vec<Vec<u8>> {
    certificates.into_iter().map(|certificate| certificate.to_vec()).collect()
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not PEM", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    Ok(found)
}

/// What agents will check, checked at once, so that a mistake is seen here and not on a thousand devices.
fn check_leaf(
    chain: &[CertificateDer<'static>],
    trusted: &[CertificateDer<'static>],
    tenant: &str,
    clock: &Clock,
) -> anyhow::Result<()> {
    let (leaf, intermediates) = chain.split_first().context("no certificate")?;
    let identity = identity::read_certificate(leaf)?;
    ensure!(matches!(identity.role, Role::Collector(_)), "this is not a collector's certificate");
    ensure!(
        identity.tenant == tenant,
        "the certificate is of tenant {:?}, the configuration of {tenant:?}",
        identity.tenant
    );
    let now = clock.current_time().context("no clock")?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(trusted)?, Arc::new(provider())).build()?;
    verifier
        .verify_server_cert(leaf, intermediates, &ServerName::try_from(UPLINK_NAME)?, &[], now)
        .context("agents would refuse this certificate")?;
    Ok(())
}
