//! The authority's folder: `devices.crt` and `.key`, `collectors.crt` and `.key`, `tenant.key`. A collector without it
//! serves devices whose certificates come from elsewhere.

pub mod change;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use time::OffsetDateTime;
use watchpost_proto::identity::{self, Role};

use crate::config::Config;
use crate::credentials::extra_names;
use crate::durable_file::{self, Access};
use crate::enrolment::Issuer;
use crate::key_file;
use crate::pki::{CollectorCa, DeviceCa};

/// What enrolment needs.
#[derive(Clone, Debug)]
pub struct Enrolling {
    /// Issues device certificates.
    pub issuer: Arc<Issuer>,
    /// Keys the pseudonyms of customers and rooms. A secret, handed to every device.
    pub tenant_key: [u8; 32],
}

/// Loads what enrolment needs; `None` where the configuration names no authority.
///
/// # Errors
/// A file that is missing or does not fit, by name.
pub fn load(config: &Config) -> anyhow::Result<Option<Enrolling>> {
    let Some(folder) = &config.enrolment.authority else { return Ok(None) };
    let certificate = text(folder, "devices.crt")?;
    // An installation that was interrupted has left the certificate in place and its key beside.
    let passphrase = &config.keys.passphrase;
    let ca = DeviceCa::from_pem(&certificate, &key_file::read(&folder.join("devices.key"), passphrase)?.pem())
        .or_else(|error| match key_file::read(&folder.join("next/devices.key"), passphrase) {
            Ok(key) => DeviceCa::from_pem(&certificate, &key.pem()),
            Err(_) => Err(error),
        })
        .with_context(|| format!("{} does not hold the authority for devices", folder.display()))?;
    let tenant_key = key_file::read_tenant(&folder.join("tenant.key"), passphrase)?;
    let issuer = Issuer { ca, tenant: config.tenant.clone(), life: config.enrolment.certificate_life };
    Ok(Some(Enrolling { issuer: Arc::new(issuer), tenant_key }))
}

/// Replaces the collector's certificate by one for the same key and names. False where the authority's key is not here.
///
/// # Errors
/// A file that does not fit or cannot be written.
pub fn renew_collector(folder: &Path, leaf: &[u8], config: &Config, now: OffsetDateTime) -> anyhow::Result<bool> {
    if !folder.join("collectors.key").exists() {
        return Ok(false);
    }
    let key = key_file::read(&folder.join("collectors.key"), &config.keys.passphrase)?;
    let ca = CollectorCa::from_pem(&text(folder, "collectors.crt")?, &key.pem())?;
    let identity = identity::read_certificate(leaf)?;
    let Role::Collector(id) = identity.role else { anyhow::bail!("this is not a collector's certificate") };
    let chain = ca.issue(identity.key.spki(), &config.tenant, &id, &extra_names(leaf), now)?;
    durable_file::write(&config.certificate, chain.as_bytes(), Access::Public)?;
    Ok(true)
}

fn text(folder: &Path, name: &str) -> anyhow::Result<String> {
    let path = folder.join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}
