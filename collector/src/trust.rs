//! Chains of certificates that were kept in the log, judged at the time they were used.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use watchpost_proto::identity::UPLINK_NAME;

use crate::credentials::{provider, roots};

/// Roots, and what is believed because of them.
#[derive(Debug)]
pub struct Trust {
    tenant: String,
    devices: Arc<dyn ClientCertVerifier>,
    collectors: Arc<WebPkiServerVerifier>,
    uplink: ServerName<'static>,
}

impl Trust {
    /// Believes what leads to one of the roots.
    ///
    /// # Errors
    /// A root that cannot be used.
    pub fn new(trusted: &[CertificateDer<'static>], tenant: &str) -> anyhow::Result<Self> {
        let (roots, provider) = (roots(trusted)?, Arc::new(provider()));
        let unusable = "the root certificate cannot be used";
        Ok(Self {
            tenant: tenant.to_owned(),
            devices: WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .context(unusable)?,
            collectors: WebPkiServerVerifier::builder_with_provider(roots, provider).build().context(unusable)?,
            uplink: ServerName::try_from(UPLINK_NAME)?,
        })
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Whether a chain, leaf first, was one of a device at `at_ms`.
    ///
    /// # Errors
    /// Why not.
    pub fn check_device(&self, chain: &[CertificateDer<'_>], at_ms: i64) -> Result<(), String> {
        let (leaf, intermediates) = chain.split_first().ok_or("it has no certificate")?;
        let checked = self.devices.verify_client_cert(leaf, intermediates, moment(at_ms));
        checked.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Whether a chain, leaf first, was one of a collector at `at_ms`.
    ///
    /// # Errors
    /// Why not.
    pub fn check_collector(&self, chain: &[CertificateDer<'_>], at_ms: i64) -> Result<(), String> {
        let (leaf, intermediates) = chain.split_first().ok_or("it has no certificate")?;
        let checked = self.collectors.verify_server_cert(leaf, intermediates, &self.uplink, &[], moment(at_ms));
        checked.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn moment(at_ms: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(at_ms).unwrap_or(0)))
}
