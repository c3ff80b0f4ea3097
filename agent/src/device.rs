//! Who this device is: its certificate, its key, the roots it trusts and the tenant's pseudonym key.
//!
//! Certificate and key are replaced while the agent runs. Two files cannot be replaced at one moment, so a new key lies
//! beside the old one as `device.key.next` until a certificate for it has taken the old certificate's place; whatever a
//! power cut leaves behind, one of the two keys fits the certificate.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use watchpost_proto::DeviceId;
use watchpost_proto::encryption::Recipient;
use watchpost_proto::identity::{Identity, IdentityError, Role, is_development_root, read_certificate};
use watchpost_proto::keys::{KeyError, KeyId, SigningKey, SoftwareKey};
use watchpost_proto::pem::pem;

use crate::durable;

/// The files that make a device.
#[derive(Clone, Debug)]
pub struct DeviceFiles {
    /// Leaf and intermediate, PEM.
    pub certificate: PathBuf,
    /// PKCS#8 PEM.
    pub key: PathBuf,
    /// The roots trusted, PEM.
    pub root: PathBuf,
    /// 64 hexadecimal characters.
    pub tenant_key: PathBuf,
    /// What enrolment told beside: where the collector is, group and site. Absent where the files came another way.
    pub membership: PathBuf,
}

/// What enrolment told beside the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Where the collector is, each `host:port`.
    pub collectors: Vec<String>,
    /// The policy group.
    pub group: String,
    /// The site.
    pub site: String,
    /// Id of the key that signs the first policy, hexadecimal; empty where the token did not say it.
    #[serde(default)]
    pub policy_key: String,
    /// Id of a key that signs the first roster, hexadecimal; empty where the token did not say it.
    #[serde(default)]
    pub roster_key: String,
}

/// A device as loaded.
pub struct Device {
    /// The UUID it was given.
    pub id: DeviceId,
    /// Its tenant.
    pub tenant: String,
    /// Keys the pseudonyms of customers and rooms.
    pub tenant_key: [u8; 32],
    held: RwLock<Arc<Held>>,
    recipients: RwLock<Recipients>,
}

/// To whom segments are encrypted: what a policy says goes before what the device's files say.
#[derive(Default)]
struct Recipients {
    policy: Option<Recipient>,
    files: Option<Recipient>,
}

/// What a device holds for a time.
#[derive(Clone)]
pub struct Held {
    /// Signs statements and TLS handshakes.
    pub key: Arc<dyn SigningKey>,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The only roots trusted.
    pub roots: Vec<CertificateDer<'static>>,
    /// Collectors that are not talked to, whatever their certificates say.
    pub denied: Vec<KeyId>,
}

/// Why a device cannot be loaded. Every sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is no certificate yet.
    #[error("this device is not enrolled ({0} does not exist); run watchpost-agent enroll --token-file FILE")]
    NotEnrolled(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {path}: {error}; check the path in [identity] and the file's permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// The certificate names nobody, or a collector.
    #[error("{path} is not a device certificate: {reason}; use the device.crt that came with this device")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is unusable.
    #[error("{path}: {error}; use the device.key that came with this device")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
    /// Others on this machine may read a secret.
    #[error("{0} can be read by other users; make it readable by the agent's user alone (chmod 600)")]
    Exposed(PathBuf),
    /// Key and certificate do not belong together.
    #[error("the key does not belong to the certificate; copy device.crt and device.key from the same place")]
    Pair,
    /// A development root in a build that refuses it.
    #[error("the root is a development root, which this build refuses; use the certificates of your own collector")]
    DevelopmentRoot,
    /// The tenant key has the wrong shape.
    #[error("{0} does not hold 64 hexadecimal characters; copy tenant.key from the collector")]
    TenantKey(PathBuf),
}

impl Device {
    /// A device of these parts.
    pub fn new(id: DeviceId, tenant: String, tenant_key: [u8; 32], held: Held) -> Self {
        Self { id, tenant, tenant_key, held: RwLock::new(Arc::new(held)), recipients: RwLock::default() }
    }

    /// Loads a device from its files, and finishes a change of key that was interrupted.
    pub fn load(files: &DeviceFiles) -> Result<Self, DeviceError> {
        if !files.certificate.exists() {
            return Err(DeviceError::NotEnrolled(files.certificate.clone()));
        }
        let chain = read_chain(&files.certificate)?;
        let roots = read_chain(&files.root)?;
        if roots.iter().any(|root| is_development_root(root)) && !cfg!(feature = "dev-ca") {
            return Err(DeviceError::DevelopmentRoot);
        }
        let (identity, id) = read_identity(&files.certificate, &chain[0])?;
        let key = fitting_key(files, &identity)?;
        let tenant_key = read_tenant_key(&files.tenant_key)?;
        Ok(Self::new(id, identity.tenant, tenant_key, Held { key: Arc::new(key), chain, roots, denied: Vec::new() }))
    }

    /// What it holds now. Whoever needs key and certificate to fit asks once.
    pub fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// To whom segments are encrypted that are sealed now.
    pub fn recipient(&self) -> Option<Recipient> {
        let recipients = self.recipients.read().unwrap_or_else(PoisonError::into_inner);
        recipients.policy.as_ref().or(recipients.files.as_ref()).cloned()
    }

    /// Encrypts from now on to whom the device's files say, unless a policy says it. What is sealed already stays as it is.
    pub fn encrypt_to(&self, recipient: Option<Recipient>) {
        self.recipients.write().unwrap_or_else(PoisonError::into_inner).files = recipient;
    }

    /// Encrypts from now on to whom a policy says, if it says so.
    pub fn encrypt_by_policy(&self, recipient: Option<Recipient>) {
        self.recipients.write().unwrap_or_else(PoisonError::into_inner).policy = recipient;
    }

    /// Takes over something else to hold, from now on.
    pub fn hold(&self, held: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(held);
    }
}

impl DeviceFiles {
    /// A key that waits for its certificate.
    fn next_key(&self) -> PathBuf {
        let mut name = self.key.file_name().unwrap_or_default().to_owned();
        name.push(".next");
        self.key.with_file_name(name)
    }

    /// The key to enrol with: the one that is there, or a new one, durable before it is used.
    pub fn first_key(&self) -> Result<SoftwareKey, DeviceError> {
        if self.key.exists() { read_key(&self.key) } else { make_key(&self.key) }
    }

    /// The key to renew with, durable before it is used; the same again until its certificate has come.
    pub fn key_to_renew_with(&self) -> Result<SoftwareKey, DeviceError> {
        let next = self.next_key();
        // One that cannot be used any more is of no use to anybody: its certificate never came.
        read_key(&next).or_else(|_| make_key(&next))
    }

    /// Puts a certificate in place, and the key it is for.
    pub fn keep_chain(&self, chain: &[Vec<u8>]) -> Result<(), DeviceError> {
        write(&self.certificate, pem("CERTIFICATE", chain).as_bytes(), false)?;
        let identity = read_identity(&self.certificate, chain.first().map_or(&[], |leaf| &leaf[..]))?.0;
        fitting_key(self, &identity).map(drop)
    }

    /// Keeps the roots to trust.
    pub fn keep_roots(&self, roots: &[Vec<u8>]) -> Result<(), DeviceError> {
        write(&self.root, pem("CERTIFICATE", roots).as_bytes(), false)
    }

    /// Keeps the tenant's pseudonym key.
    pub fn keep_tenant_key(&self, key: &[u8; 32]) -> Result<(), DeviceError> {
        write(&self.tenant_key, format!("{}\n", hex::encode(key)).as_bytes(), true)
    }

    /// Keeps what enrolment told beside.
    pub fn keep_membership(&self, membership: &Membership) -> Result<(), DeviceError> {
        let text = serde_json::to_vec_pretty(membership).map_err(|error| read_error(&self.membership, error))?;
        write(&self.membership, &text, false)
    }

    /// What enrolment told beside; nothing where the files came another way.
    pub fn membership(&self) -> Membership {
        let bytes = std::fs::read(&self.membership).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

fn write(path: &Path, bytes: &[u8], secret: bool) -> Result<(), DeviceError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let done = durable::create_private_folder(folder).and_then(|()| durable::write(path, bytes, secret));
    done.map_err(|error| read_error(path, error))
}

fn make_key(path: &Path) -> Result<SoftwareKey, DeviceError> {
    let (key, der) = SoftwareKey::generate().map_err(|error| DeviceError::Key { path: path.to_owned(), error })?;
    write(path, pem("PRIVATE KEY", [&der]).as_bytes(), true)?;
    Ok(key)
}

/// The key that fits the certificate: the present one, or the next one, which then takes its place.
fn fitting_key(files: &DeviceFiles, identity: &Identity) -> Result<SoftwareKey, DeviceError> {
    let present = read_key(&files.key);
    if let Ok(key) = present
        && *key.public() == identity.key
    {
        return Ok(key);
    }
    let next = files.next_key();
    if !next.exists() {
        return read_key(&files.key).and(Err(DeviceError::Pair));
    }
    let key = read_key(&next)?;
    if *key.public() != identity.key {
        return Err(DeviceError::Pair);
    }
    durable::rename(&next, &files.key).map_err(|error| read_error(&files.key, error))?;
    Ok(key)
}

fn read_error(path: &Path, error: impl ToString) -> DeviceError {
    DeviceError::Read { path: path.to_owned(), error: error.to_string() }
}

/// At least one certificate.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, DeviceError> {
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(|error| read_error(path, error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| read_error(path, error))?;
    if chain.is_empty() { Err(read_error(path, "it holds no PEM certificate")) } else { Ok(chain) }
}

fn read_identity(path: &Path, leaf: &[u8]) -> Result<(Identity, DeviceId), DeviceError> {
    let wrong = |reason: String| DeviceError::Certificate { path: path.to_owned(), reason };
    let identity = read_certificate(leaf).map_err(|error: IdentityError| wrong(error.to_string()))?;
    match identity.role {
        Role::Device(id) => Ok((identity, id)),
        Role::Collector(_) => Err(wrong("it names a collector".into())),
    }
}

fn read_key(path: &Path) -> Result<SoftwareKey, DeviceError> {
    check_private(path)?;
    let der = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|error| read_error(path, error))?;
    SoftwareKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|error| DeviceError::Key { path: path.to_owned(), error })
}

fn read_tenant_key(path: &Path) -> Result<[u8; 32], DeviceError> {
    check_private(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| read_error(path, error))?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key).map_err(|_| DeviceError::TenantKey(path.to_owned()))?;
    Ok(key)
}

/// A secret that others on this machine may read is none.
#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), DeviceError> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = std::fs::metadata(path).map_err(|error| read_error(path, error))?;
    if file.permissions().mode() & 0o077 == 0 { Ok(()) } else { Err(DeviceError::Exposed(path.to_owned())) }
}

/// There a file inherits what its folder grants.
#[cfg(not(unix))]
fn check_private(_path: &Path) -> Result<(), DeviceError> {
    Ok(())
}
