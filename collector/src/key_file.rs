//! Private keys as files: PKCS#8 in PEM, for the owner alone, plain or under a passphrase.
//!
//! An encrypted key is an `EncryptedPrivateKeyInfo` (PBES2 with scrypt and AES-256-CBC), which `openssl pkey` reads,
//! too. The tenant's pseudonym key is 64 hexadecimal characters while it is plain; encrypted it is a PKCS#8 key for
//! HMAC-SHA256.

mod passphrase;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pkcs8::der::asn1::OctetString;
use pkcs8::der::{Decode as _, Encode as _};
use pkcs8::pkcs5::{EncryptionScheme, pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef};
use watchpost_proto::keys::{KeyError, SoftwareKey};
use watchpost_proto::pem::pem;
use zeroize::Zeroizing;

use crate::durable_file::{self, Access};

pub use passphrase::{CHARACTERS_MIN, CREDENTIAL, Passphrase, VARIABLE};

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// Largest key file, in bytes; a P-256 key has about three hundred.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The cost of a guess: 16 MiB of memory five times over, a fifth of a second. More memory at once OpenSSL does not
/// grant; five times is what it takes to cost as much as 128 MiB once.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);
/// A PKCS#8 key for HMAC-SHA256 is these bytes and the key.
const TENANT_PREFIX: [u8; 21] = [
    0x30, 0x33, 0x02, 0x01, 0x00, 0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09, 0x05, 0x00,
    0x04, 0x20,
];
const TENANT_KEY_BYTES: usize = 32;

/// Why a key file cannot be used. Every sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others on this machine may read a secret.
    #[error("{} can be read by other users of this machine; run chmod 600 {}", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// Others on this machine may enter a folder of secrets.
    #[error("{} can be entered by other users of this machine; run chmod 700 {}", .0.display(), .0.display())]
    FolderExposed(PathBuf),
    /// No PKCS#8 key in PEM.
    #[error("{} holds no private key in PEM (PKCS#8)", .0.display())]
    NotAKey(PathBuf),
    /// A tenant key of the wrong shape.
    #[error("{} does not hold 64 hexadecimal characters", .0.display())]
    NotATenantKey(PathBuf),
    /// An encrypted key, and no passphrase.
    #[error(
        "{} is encrypted, and nobody has said the passphrase: set [keys] passphrase_file in collector.toml, systemd's \
         credential {CREDENTIAL}, or {VARIABLE}", .0.display()
    )]
    NoPassphrase(PathBuf),
    /// The passphrase does not open the key.
    #[error("the passphrase of {from} does not open {}", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
        /// Where the passphrase came from.
        from: String,
    },
    /// A passphrase file that is none.
    #[error("{} does not hold a passphrase in its first line", .0.display())]
    NotAPassphrase(PathBuf),
    /// Nobody said under which passphrase.
    #[error(
        "nobody has said under which passphrase: name a file with --passphrase-file, set {VARIABLE}, or use a terminal"
    )]
    NothingChosen,
    /// A passphrase that is guessed too easily.
    #[error("a passphrase has at least {CHARACTERS_MIN} characters")]
    Short,
    /// Typed differently the second time.
    #[error("the two passphrases are not the same; nothing was changed")]
    Differ,
    /// The terminal would not ask.
    #[error("the passphrase cannot be asked for: {0}")]
    Terminal(io::Error),
    /// Something is there already.
    #[error("{} exists already and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// Encrypted in a way not known here, or the system gave no random bytes.
    #[error("{} cannot be encrypted or decrypted: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A private key as read: PKCS#8 DER, wiped from memory when it is dropped.
pub struct PrivateKey(Zeroizing<Vec<u8>>);

impl PrivateKey {
    /// A key from its PKCS#8 DER.
    pub fn from_pkcs8(der: &[u8]) -> Self {
        Self(Zeroizing::new(der.to_vec()))
    }

    /// PKCS#8 DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// PKCS#8 in PEM.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem(PLAIN, [&*self.0]))
    }

    /// The same as a key that signs.
    ///
    /// # Errors
    /// It is no P-256 key.
    pub fn signing(&self) -> Result<SoftwareKey, KeyError> {
        SoftwareKey::from_pkcs8(&self.0)
    }

    /// The 32 bytes, where this is the tenant's pseudonym key.
    fn tenant(&self) -> Option<[u8; TENANT_KEY_BYTES]> {
        self.0.strip_prefix(&TENANT_PREFIX)?.try_into().ok()
    }

    fn of_tenant(key: &[u8; TENANT_KEY_BYTES]) -> Self {
        Self(Zeroizing::new([&TENANT_PREFIX[..], key].concat()))
    }
}

impl std::fmt::Debug for PrivateKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// Reads a private key, plain or encrypted, that nobody but the owner may read.
///
/// # Errors
/// [`KeyFileError`].
pub fn read(path: &Path, passphrase: &Passphrase) -> Result<PrivateKey, KeyFileError> {
    open(path, &load(path)?, passphrase)
}

/// Reads the tenant's pseudonym key, plain or encrypted.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_tenant(path: &Path, passphrase: &Passphrase) -> Result<[u8; TENANT_KEY_BYTES], KeyFileError> {
    let key = open(path, &load(path)?, passphrase);
    let key = key.map_err(|error| match error {
        KeyFileError::NotAKey(path) => KeyFileError::NotATenantKey(path),
        error => error,
    })?;
    key.tenant().ok_or_else(|| KeyFileError::NotATenantKey(path.to_owned()))
}

/// Whether a key file is encrypted.
///
/// # Errors
/// [`KeyFileError`]: there is no such file, or it is no key.
pub fn is_encrypted(path: &Path) -> Result<bool, KeyFileError> {
    Ok(matches!(shape(path, &load(path)?)?, Shape::Encrypted(_)))
}

/// Writes a new private key, encrypted under a passphrase if one is given. A file that is there already is never
/// overwritten.
///
/// # Errors
/// [`KeyFileError`]; nothing was written.
pub fn write_new(path: &Path, pkcs8: &[u8], passphrase: Option<&str>) -> Result<(), KeyFileError> {
    if path.exists() {
        return Err(KeyFileError::Exists(path.to_owned()));
    }
    write(path, &PrivateKey::from_pkcs8(pkcs8), passphrase)
}

/// Replaces a private key by itself in another guise. A crash leaves the one or the other.
///
/// # Errors
/// [`KeyFileError`]; the old file is then untouched.
pub fn rewrite(path: &Path, key: &PrivateKey, passphrase: Option<&str>) -> Result<(), KeyFileError> {
    write(path, key, passphrase)
}

/// A secret that others on this machine may read is none. On systems without Unix modes a file inherits what its folder
/// grants.
///
/// # Errors
/// [`KeyFileError::Exposed`], or there is no such file.
pub fn check_private(path: &Path) -> Result<(), KeyFileError> {
    if is_open_to_others(path)? { Err(KeyFileError::Exposed(path.to_owned())) } else { Ok(()) }
}

/// The same of a folder.
///
/// # Errors
/// [`KeyFileError::FolderExposed`], or there is no such folder.
pub fn check_private_folder(path: &Path) -> Result<(), KeyFileError> {
    if is_open_to_others(path)? { Err(KeyFileError::FolderExposed(path.to_owned())) } else { Ok(()) }
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> Result<bool, KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = fs::metadata(path).map_err(|error| KeyFileError::Unreadable { path: path.to_owned(), error })?;
    Ok(file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(path: &Path) -> Result<bool, KeyFileError> {
    fs::metadata(path).map_err(|error| KeyFileError::Unreadable { path: path.to_owned(), error })?;
    Ok(false)
}

/// What a key file holds.
enum Shape {
    Plain(PrivateKey),
    /// An `EncryptedPrivateKeyInfo`, DER.
    Encrypted(Vec<u8>),
}

fn load(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    check_private(path)?;
    let unreadable = |error| KeyFileError::Unreadable { path: path.to_owned(), error };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(KeyFileError::NotAKey(path.to_owned()));
    }
    fs::read(path).map(Zeroizing::new).map_err(unreadable)
}

fn shape(path: &Path, text: &[u8]) -> Result<Shape, KeyFileError> {
    let mut tenant = [0; TENANT_KEY_BYTES];
    if hex::decode_to_slice(text.trim_ascii(), &mut tenant).is_ok() {
        return Ok(Shape::Plain(PrivateKey::of_tenant(&tenant)));
    }
    let block = x509_parser::pem::Pem::iter_from_buffer(text)
        .filter_map(Result::ok)
        .find(|block| [PLAIN, ENCRYPTED].contains(&block.label.as_str()));
    match block {
        Some(block) if block.label == ENCRYPTED => Ok(Shape::Encrypted(block.contents)),
        Some(block) => Ok(Shape::Plain(PrivateKey(Zeroizing::new(block.contents)))),
        None => Err(KeyFileError::NotAKey(path.to_owned())),
    }
}

fn open(path: &Path, text: &[u8], passphrase: &Passphrase) -> Result<PrivateKey, KeyFileError> {
    let der = match shape(path, text)? {
        Shape::Plain(key) => return Ok(key),
        Shape::Encrypted(der) => der,
    };
    let info = EncryptedPrivateKeyInfoRef::from_der(&der).map_err(|_| KeyFileError::NotAKey(path.to_owned()))?;
    let found = passphrase.of(path)?;
    // Under a wrong passphrase the padding is wrong, or, once in some hundred times, what comes out is no key.
    let opened = info.encryption_algorithm.decrypt(found.text.as_bytes(), info.encrypted_data.as_bytes());
    match opened.map(Zeroizing::new) {
        Ok(der) if is_pkcs8(&der) => Ok(PrivateKey(der)),
        Err(
            error @ (pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. }),
        ) => Err(KeyFileError::Unsupported { path: path.to_owned(), reason: error.to_string() }),
        Ok(_) | Err(_) => {
            passphrase.forget();
            Err(KeyFileError::WrongPassphrase { path: path.to_owned(), from: found.from })
        }
    }
}

fn is_pkcs8(der: &[u8]) -> bool {
    pkcs8::PrivateKeyInfoRef::from_der(der).is_ok()
}

fn write(path: &Path, key: &PrivateKey, passphrase: Option<&str>) -> Result<(), KeyFileError> {
    let text = match (passphrase, key.tenant()) {
        (Some(passphrase), _) => Zeroizing::new(pem(ENCRYPTED, [encrypt(path, key, passphrase)?])),
        (None, Some(tenant)) => Zeroizing::new(format!("{}\n", hex::encode(tenant))),
        (None, None) => key.pem(),
    };
    // What the system says names the path already.
    durable_file::write(path, text.as_bytes(), Access::Secret)
        .map_err(|error| KeyFileError::Unreadable { path: path.to_owned(), error })
}

fn encrypt(path: &Path, key: &PrivateKey, passphrase: &str) -> Result<Vec<u8>, KeyFileError> {
    let failed = |reason: String| KeyFileError::Unsupported { path: path.to_owned(), reason };
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut iv)).map_err(|error| failed(error.to_string()))?;
    let (log_n, r, p) = SCRYPT;
    let cost = scrypt::Params::new(log_n, r, p).map_err(|error| failed(error.to_string()))?;
    let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv);
    let scheme = EncryptionScheme::Pbes2(scheme.map_err(|error| failed(error.to_string()))?);
    let encrypted = scheme.encrypt(passphrase, &key.0).map_err(|error| failed(error.to_string()))?;
    let encrypted_data = OctetString::new(encrypted).map_err(|error| failed(error.to_string()))?;
    let info = EncryptedPrivateKeyInfoOwned { encryption_algorithm: scheme, encrypted_data };
    info.to_der().map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "correct horse battery";

    fn key() -> Vec<u8> {
        SoftwareKey::generate().unwrap().1
    }

    #[test]
    fn a_key_reads_back_plain_and_encrypted() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, encrypted) = (folder.path().join("plain.key"), folder.path().join("encrypted.key"));
        let der = key();
        write_new(&plain, &der, None).unwrap();
        write_new(&encrypted, &der, Some(RIGHT)).unwrap();
        assert_eq!((is_encrypted(&plain).unwrap(), is_encrypted(&encrypted).unwrap()), (false, true));
        assert_eq!(read(&plain, &Passphrase::default()).unwrap().der(), der);
        assert_eq!(read(&encrypted, &Passphrase::known(RIGHT)).unwrap().der(), der);
        read(&encrypted, &Passphrase::known(RIGHT)).unwrap().signing().unwrap();
        let text = fs::read_to_string(&encrypted).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{text}");
    }

    #[test]
    fn a_wrong_passphrase_and_none_are_told_plainly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        write_new(&path, &key(), Some(RIGHT)).unwrap();
        let told = read(&path, &Passphrase::known("wrong horse battery")).unwrap_err().to_string();
        assert!(told.starts_with("the passphrase of the terminal does not open") && told.ends_with("a.key"), "{told}");
        let file = folder.path().join("passphrase");
        durable_file::write(&file, b"wrong horse battery\n", Access::Secret).unwrap();
        let told = read(&path, &Passphrase::new(Some(file.clone()))).unwrap_err().to_string();
        assert!(told.contains(&file.display().to_string()), "{told}");
        durable_file::write(&file, format!("{RIGHT}\r\n").as_bytes(), Access::Secret).unwrap();
        read(&path, &Passphrase::new(Some(file.clone()))).unwrap();
        durable_file::write(&file, b"\n", Access::Secret).unwrap();
        assert!(matches!(read(&path, &Passphrase::new(Some(file))), Err(KeyFileError::NotAPassphrase(_))));
    }

    /// As one wrong passphrase in some hundred does.
    #[test]
    fn what_opens_to_no_key_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        rewrite(&path, &PrivateKey::from_pkcs8(b"no key"), Some(RIGHT)).unwrap();
        let told = read(&path, &Passphrase::known(RIGHT)).unwrap_err();
        assert!(matches!(told, KeyFileError::WrongPassphrase { .. }), "{told}");
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_else_is_taken_for_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        write_new(&path, &key(), None).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(write_new(&path, &key(), None), Err(KeyFileError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
        for text in ["", "no key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"]
        {
            durable_file::write(&path, text.as_bytes(), Access::Secret).unwrap();
            assert!(matches!(read(&path, &Passphrase::known(RIGHT)), Err(KeyFileError::NotAKey(_))), "{text}");
        }
    }

    #[test]
    fn a_tenant_key_is_hexadecimal_while_it_is_plain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenant.key");
        let text = format!("{}\n", "5a".repeat(32));
        durable_file::write(&path, text.as_bytes(), Access::Secret).unwrap();
        let key = read(&path, &Passphrase::default()).unwrap();
        rewrite(&path, &key, Some(RIGHT)).unwrap();
        assert_eq!(read_tenant(&path, &Passphrase::known(RIGHT)).unwrap(), [0x5a; 32]);
        let key = read(&path, &Passphrase::known(RIGHT)).unwrap();
        rewrite(&path, &key, None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        durable_file::write(&path, b"5a5a\n", Access::Secret).unwrap();
        let told = read_tenant(&path, &Passphrase::default()).unwrap_err().to_string();
        assert!(told.contains("64 hexadecimal characters"), "{told}");
    }

    #[test]
    fn a_short_passphrase_is_not_taken() {
        assert!(matches!(Passphrase::known("eleven char").choose(), Err(KeyFileError::Short)));
        assert!(Passphrase::known("twelve chars").choose().is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_command_that_repairs_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        write_new(&path, &key(), None).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let told = read(&path, &Passphrase::default()).unwrap_err().to_string();
            assert!(told.ends_with(&format!("run chmod 600 {}", path.display())), "{told}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        read(&path, &Passphrase::default()).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let told = check_private_folder(folder.path()).unwrap_err().to_string();
        assert!(told.contains("run chmod 700"), "{told}");
    }
}
