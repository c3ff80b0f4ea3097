//! Changing the authority under way: new intermediates, a further root, or ones that a company's own root has signed.
//!
//! Keys are born here and never leave: what travels to the root is a request, what comes back is a certificate. A new
//! key lies in `next/` until the certificate for it has been put in place, so an installation that was interrupted is
//! simply done again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use uuid::Uuid;
use watchpost_proto::keys::SigningKey as _;
use watchpost_proto::{DeviceId, identity};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::credentials::extra_names;
use crate::durable_file::{self, Access};
use crate::key_file::{self, PrivateKey};
use crate::pki::{CollectorCa, DeviceCa, IntermediateRequest, Purpose, Role, Root};
use crate::secrets;
use crate::trust::Trust;

/// Makes keys for new intermediates and writes their requests to `out`. Keys that wait already are kept.
///
/// # Errors
/// A configuration without an authority, or the disk.
pub fn request(config: &Config, out: &Path, now: OffsetDateTime) -> anyhow::Result<Vec<PathBuf>> {
    let next = folder(config)?.join("next");
    durable_file::create_folder(&next, Access::Secret)?;
    durable_file::create_folder(out, Access::Public)?;
    let mut written = Vec::new();
    for role in Role::ALL {
        let (key, request) = (next.join(format!("{}.key", role.name())), next.join(format!("{}.csr", role.name())));
        if !request.exists() {
            let made = IntermediateRequest::create(role, &config.tenant, now)?;
            secrets::write(config, &key, &pem_key(&made.key)?)?;
            durable_file::write(&request, made.request.as_bytes(), Access::Public)?;
        }
        let target = out.join(format!("{}.csr", role.name()));
        durable_file::write(&target, &fs::read(&request)?, Access::Public)?;
        written.push(target);
    }
    Ok(written)
}

/// Answers the requests in a folder with certificates beside them. Done where the root is, which may be another machine.
///
/// # Errors
/// No request, a root that is none, or the disk.
pub fn sign(root: &Root, requests: &Path, now: OffsetDateTime) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for role in Role::ALL {
        let request = requests.join(format!("{}.csr", role.name()));
        if !request.exists() {
            continue;
        }
        let certificate = root.sign_intermediate(role, &fs::read_to_string(&request)?, now)?;
        let target = request.with_extension("crt");
        durable_file::write(&target, certificate.as_bytes(), Access::Public)?;
        written.push(target);
    }
    ensure!(!written.is_empty(), "{} holds neither devices.csr nor collectors.csr", requests.display());
    Ok(written)
}

/// Makes a later root in `out`, with the certificate by which the earlier one vouches for it.
///
/// # Errors
/// The disk, or an `out` that holds a root already.
pub fn later_root(earlier: &Root, tenant: &str, out: &Path, now: OffsetDateTime) -> anyhow::Result<Root> {
    ensure!(!out.join("root.key").exists(), "{} holds a root already", out.display());
    let development = crate::pki::is_development(earlier.certificate());
    let purpose = if development { Purpose::Development } else { Purpose::Production };
    let later = Root::create(tenant, purpose, now)?;
    let link = earlier.vouch_for(later.certificate(), now)?;
    durable_file::create_folder(out, Access::Secret)?;
    durable_file::write(&out.join("root.key"), later.key().as_bytes(), Access::Secret)?;
    durable_file::write(&out.join("root.crt"), later.certificate().as_bytes(), Access::Public)?;
    durable_file::write(&out.join("link.crt"), link.as_bytes(), Access::Public)?;
    Ok(later)
}

/// What an installation put in place, for the log and for a person.
#[derive(Debug, Default)]
pub struct Installed {
    /// One word each: `root`, `link`, `devices`, `collectors`, `collector`.
    pub what: Vec<&'static str>,
    /// The certificates, DER.
    pub certificates: Vec<Vec<u8>>,
}

/// Puts in place what a folder holds of `root.crt`, `link.crt`, `devices.crt` and `collectors.crt`. Everything is checked
/// before anything is written. A running collector takes it over by itself, and no stream ends.
///
/// # Errors
/// A certificate that does not fit, by name; the disk.
pub fn install(config: &Config, from: &Path, names: &[String], now: OffsetDateTime) -> anyhow::Result<Installed> {
    let pki = folder(config)?;
    let new = New::read(from)?;
    let (roots, links) = (merged(&config.root, new.root.as_deref())?, merged(&config.links, new.link.as_deref())?);
    let trust = Trust::new(&certificates(&roots)?, &config.tenant)?;
    let devices = new.intermediate(Role::Devices, config, &trust, now)?;
    let collectors = new.intermediate(Role::Collectors, config, &trust, now)?;
    if let Some(new) = &collectors {
        check_followed(config, &new.collector_ca()?, &links, now)?;
    }
    let mut done = Installed::default();
    for (what, path, text, given) in
        [("root", &config.root, &roots, &new.root), ("link", &config.links, &links, &new.link)]
    {
        if let Some(given) = given {
            durable_file::write(path, text.as_bytes(), Access::Public)?;
            done.note(what, given);
        }
    }
    if let Some(new) = devices {
        put(pki, Role::Devices, &new)?;
        done.note("devices", &new.certificate);
    }
    if let Some(new) = collectors {
        let ca = new.collector_ca()?;
        put(pki, Role::Collectors, &new)?;
        done.note("collectors", &new.certificate);
        let leaf = new_leaf(config, &ca, names, now)?;
        done.note("collector", &leaf);
    }
    ensure!(!done.what.is_empty(), "{} holds none of root.crt, link.crt, devices.crt, collectors.crt", from.display());
    Ok(done)
}

/// Devices pin the roots there have been: what the new authority issues must lead to each of them, by links where needed.
fn check_followed(config: &Config, ca: &CollectorCa, links: &str, now: OffsetDateTime) -> anyhow::Result<()> {
    let Ok(before) = fs::read_to_string(&config.root) else { return Ok(()) };
    let tried = ca.issue_with_key(&config.tenant, &DeviceId([0; 16]), &[], now)?;
    let mut chain = certificates(&tried.chain)?;
    chain.extend(certificates(links).unwrap_or_default());
    for root in certificates(&before)? {
        let at_ms = now.unix_timestamp().saturating_mul(1000);
        let followed = Trust::new(std::slice::from_ref(&root), &config.tenant)?.check_collector(&chain, at_ms);
        let ended = identity::validity_ms(&root).is_none_or(|(_, ends)| ends < at_ms);
        ensure!(
            ended || followed.is_ok(),
            "devices that trust only the root {} would be shut out: it has to vouch for the new one first (ca new-root), \
             or they enrol again",
            identity::subject_name(&root).unwrap_or_default()
        );
    }
    Ok(())
}

impl Installed {
    fn note(&mut self, what: &'static str, pem: &str) {
        self.what.push(what);
        self.certificates.extend(certificates(pem).unwrap_or_default().into_iter().next().map(|der| der.to_vec()));
    }
}

/// What a folder holds.
struct New {
    root: Option<String>,
    link: Option<String>,
    devices: Option<String>,
    collectors: Option<String>,
}

impl New {
    fn read(from: &Path) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let path = from.join(name);
            path.exists().then(|| fs::read_to_string(&path).with_context(|| path.display().to_string())).transpose()
        };
        Ok(Self {
            root: text("root.crt")?,
            link: text("link.crt")?,
            devices: text("devices.crt")?,
            collectors: text("collectors.crt")?,
        })
    }

    /// Certificate and key of a new intermediate: the key that waits in `next/`, or the present one.
    fn intermediate(
        &self,
        role: Role,
        config: &Config,
        trust: &Trust,
        now: OffsetDateTime,
    ) -> anyhow::Result<Option<Intermediate>> {
        let pki = folder(config)?;
        let certificate = match role {
            Role::Devices => &self.devices,
            Role::Collectors => &self.collectors,
        };
        let Some(certificate) = certificate else { return Ok(None) };
        let file = format!("{}.key", role.name());
        for path in [pki.join("next").join(&file), pki.join(&file)] {
            if !path.exists() {
                continue;
            }
            let key = key_file::read(&path, &config.keys.passphrase)?;
            let leaf = match role {
                Role::Devices => DeviceCa::from_pem(certificate, &key.pem())
                    .ok()
                    .map(|ca| ca.issue_with_key(trust.tenant(), &DeviceId([0; 16]), time::Duration::hours(1), now)),
                Role::Collectors => CollectorCa::from_pem(certificate, &key.pem())
                    .ok()
                    .map(|ca| ca.issue_with_key(trust.tenant(), &DeviceId([0; 16]), &[], now)),
            };
            let Some(leaf) = leaf.transpose()? else { continue };
            // What it issues must be believed by devices and collectors: tried with a certificate that goes nowhere.
            let chain = certificates(&leaf.chain)?;
            let at_ms = now.unix_timestamp().saturating_mul(1000);
            let checked = match role {
                Role::Devices => trust.check_device(&chain, at_ms),
                Role::Collectors => trust.check_collector(&chain, at_ms),
            };
            checked.map_err(|reason| anyhow::anyhow!("{}.crt is not under a trusted root: {reason}", role.name()))?;
            return Ok(Some(Intermediate { certificate: certificate.clone(), key, path }));
        }
        bail!("{}.crt fits neither a key in {} nor the present one", role.name(), pki.join("next").display())
    }
}

/// Certificate and key of a new intermediate, and where the key lies.
struct Intermediate {
    certificate: String,
    key: PrivateKey,
    path: PathBuf,
}

impl Intermediate {
    fn collector_ca(&self) -> anyhow::Result<CollectorCa> {
        Ok(CollectorCa::from_pem(&self.certificate, &self.key.pem())?)
    }
}

fn folder(config: &Config) -> anyhow::Result<&Path> {
    config.enrolment.authority.as_deref().context("this collector has no authority: set [enrolment] authority")
}

/// The PEM at `path`, with a certificate that is not in it yet.
fn merged(path: &Path, further: Option<&str>) -> anyhow::Result<String> {
    let mut text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
    if let Some(further) = further {
        let known = certificates(&text).unwrap_or_default();
        let new = certificates(further)?;
        ensure!(new.len() == 1, "root.crt and link.crt hold one certificate each");
        if !known.contains(&new[0]) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(further);
        }
    }
    Ok(text)
}

fn certificates(text: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().context("not PEM")?;
    ensure!(!found.is_empty(), "there is no certificate");
    Ok(found)
}

fn pem_key(text: &str) -> anyhow::Result<PrivateKey> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).context("not a key")?;
    Ok(PrivateKey::from_pkcs8(der.secret_pkcs8_der()))
}

/// The certificate goes first: with it in place and the key not yet, what waits in `next/` is still there to repeat with.
fn put(pki: &Path, role: Role, new: &Intermediate) -> anyhow::Result<()> {
    let name = |ending: &str| format!("{}.{ending}", role.name());
    durable_file::write(&pki.join(name("crt")), new.certificate.as_bytes(), Access::Public)?;
    // The file as it is: an encrypted key stays encrypted.
    let key = Zeroizing::new(fs::read(&new.path).with_context(|| new.path.display().to_string())?);
    durable_file::write(&pki.join(name("key")), &key, Access::Secret)?;
    for ending in ["key", "csr"] {
        let waiting = pki.join("next").join(name(ending));
        if waiting.exists() {
            fs::remove_file(&waiting).with_context(|| waiting.display().to_string())?;
        }
    }
    Ok(())
}

/// A certificate for the collector's present key, or for a new one where there is none.
fn new_leaf(config: &Config, ca: &CollectorCa, names: &[String], now: OffsetDateTime) -> anyhow::Result<String> {
    let present = fs::read_to_string(&config.certificate).ok().and_then(|text| certificates(&text).ok());
    let Some(leaf) = present.as_ref().and_then(|chain| chain.first()) else {
        let id = DeviceId(Uuid::new_v4().into_bytes());
        let made = ca.issue_with_key(&config.tenant, &id, names, now)?;
        secrets::write(config, &config.key, &pem_key(&made.key)?)?;
        durable_file::write(&config.certificate, made.chain.as_bytes(), Access::Public)?;
        return Ok(made.chain);
    };
    let identity::Role::Collector(id) = identity::read_certificate(leaf)?.role else {
        bail!("{} is not a collector's certificate", config.certificate.display())
    };
    let key = key_file::read(&config.key, &config.keys.passphrase)?.signing()?;
    let mut all = extra_names(leaf);
    all.extend(names.iter().filter(|name| !extra_names(leaf).contains(name)).cloned());
    let chain = ca.issue(key.public().spki(), &config.tenant, &id, &all, now)?;
    durable_file::write(&config.certificate, chain.as_bytes(), Access::Public)?;
    Ok(chain)
}
