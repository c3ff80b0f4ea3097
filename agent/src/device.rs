//! Who this device is: its certificate, its key, the pinned root and the tenant's pseudonym key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use watchpost_proto::DeviceId;
use watchpost_proto::identity::{Identity, IdentityError, Role, is_development_root, read_certificate};
use watchpost_proto::keys::{KeyError, SigningKey, SoftwareKey};

/// The files that make a device.
#[derive(Clone, Debug)]
pub struct DeviceFiles {
    /// Leaf and intermediate, PEM.
    pub certificate: PathBuf,
    /// PKCS#8 PEM.
    pub key: PathBuf,
    /// The pinned root, PEM.
    pub root: PathBuf,
    /// 64 hexadecimal characters.
    pub tenant_key: PathBuf,
}

/// A device as loaded.
pub struct Device {
    /// The UUID it was given.
    pub id: DeviceId,
    /// Its tenant.
    pub tenant: String,
    /// Signs statements and TLS handshakes.
    pub key: Arc<dyn SigningKey>,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The only root trusted.
    pub root: CertificateDer<'static>,
    /// Keys the pseudonyms of customers and rooms.
    pub tenant_key: [u8; 32],
}

/// Why a device cannot be loaded. Every sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
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
    /// Loads a device from its files.
    pub fn load(files: &DeviceFiles) -> Result<Self, DeviceError> {
        let chain = read_chain(&files.certificate)?;
        let root = read_chain(&files.root)?.swap_remove(0);
        if is_development_root(&root) && !cfg!(feature = "dev-ca") {
            return Err(DeviceError::DevelopmentRoot);
        }
        let (identity, id) = read_identity(&files.certificate, &chain[0])?;
        let key = read_key(&files.key)?;
        if *key.public() != identity.key {
            return Err(DeviceError::Pair);
        }
        let tenant_key = read_tenant_key(&files.tenant_key)?;
        Ok(Self { id, tenant: identity.tenant, key: Arc::new(key), chain, root, tenant_key })
    }
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
    let der = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|error| read_error(path, error))?;
    SoftwareKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|error| DeviceError::Key { path: path.to_owned(), error })
}

fn read_tenant_key(path: &Path) -> Result<[u8; 32], DeviceError> {
    let text = std::fs::read_to_string(path).map_err(|error| read_error(path, error))?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key).map_err(|_| DeviceError::TenantKey(path.to_owned()))?;
    Ok(key)
}
