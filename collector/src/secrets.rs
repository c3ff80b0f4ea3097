//! The private keys of a collector, all together: that nobody else can read them, and that all of them are kept in the
//! same guise, plain or encrypted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::key_file::{self, KeyFileError, PrivateKey, check_private, check_private_folder};
use crate::notify::target::Target;

/// Names of the keys in the authority's folder.
const AUTHORITY: [&str; 5] = ["devices.key", "collectors.key", "tenant.key", "next/devices.key", "next/collectors.key"];

/// Names of what is public in it.
const AUTHORITY_PUBLIC: [&str; 4] = ["devices.crt", "collectors.crt", "next/devices.csr", "next/collectors.csr"];

/// What of an authority's folder a collector works with, whether it is there or not.
pub fn authority_files(folder: &Path) -> Vec<PathBuf> {
    AUTHORITY.iter().chain(&AUTHORITY_PUBLIC).map(|name| folder.join(name)).collect()
}

/// Every private key that is there, the collector's own first.
pub fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = vec![config.key.clone(), config.log_key(), config.next_log_key()];
    if let Some(folder) = &config.enrolment.authority {
        files.extend(AUTHORITY.map(|name| folder.join(name)));
    }
    files.extend(encryption_files(config));
    files.extend(console_key(config));
    files.retain(|path| path.exists());
    files
}

/// The key of what operators come in by.
fn console_key(config: &Config) -> Option<PathBuf> {
    config.console.as_ref()?.tls.as_ref().map(|(_, key)| key.clone())
}

/// The keys that open encrypted segments, in the order of their names.
pub fn encryption_files(config: &Config) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(&config.keys.encryption) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "key"));
    files.sort();
    files
}

/// Whether the folder of the keys that open encrypted segments can be read. One that the configuration names and that is
/// missing is a mistake, not a collector without such keys.
///
/// # Errors
/// [`KeyFileError::Unreadable`].
pub fn check_encryption(config: &Config) -> Result<(), KeyFileError> {
    let path = &config.keys.encryption;
    match fs::read_dir(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !config.keys.is_encryption_named => Ok(()),
        Err(error) => Err(KeyFileError::Unreadable { path: path.clone(), error }),
    }
}

/// Whether others on this machine can read a secret of this collector's: looked at before anything is served.
///
/// # Errors
/// [`KeyFileError::Exposed`] or [`KeyFileError::FolderExposed`], which say what to run.
pub fn check(config: &Config) -> Result<(), KeyFileError> {
    check_private_folder(&config.data_dir)?;
    check_encryption(config)?;
    let targets = config.notify.targets.iter().flat_map(Target::secret_files);
    targets.into_iter().try_for_each(check_private)?;
    files(config).iter().try_for_each(|path| check_private(path))
}

/// Writes a key in the guise of those that are there.
///
/// # Errors
/// [`KeyFileError`]; nothing was written.
pub fn write(config: &Config, path: &Path, key: &PrivateKey) -> Result<(), KeyFileError> {
    match files(config).first() {
        Some(like) if key_file::is_encrypted(like)? => {
            // One that opens the others, or this one would be the only one under it.
            key_file::read(like, &config.keys.passphrase)?;
            key_file::rewrite(path, key, Some(&config.keys.passphrase.choose()?))
        }
        _ => key_file::rewrite(path, key, None),
    }
}

/// The same, but a file that is there already is never overwritten.
///
/// # Errors
/// [`KeyFileError`]; nothing was written.
pub fn write_new(config: &Config, path: &Path, key: &PrivateKey) -> Result<(), KeyFileError> {
    if path.exists() { Err(KeyFileError::Exists(path.to_owned())) } else { write(config, path, key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_keys_that_is_named_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let text = "listen = \"127.0.0.1:0\"\ntenant = \"acme\"\ndata_dir = \".\"\n\
                    [identity]\ncertificate = \"a.crt\"\nkey = \"a.key\"\nroot = \"root.crt\"\n";
        let parse =
            |more: &str| Config::parse(&format!("{text}{more}"), &folder.path().join("collector.toml")).unwrap();
        check_encryption(&parse("")).unwrap();
        let named = parse("[keys]\nencryption = \"k\"\n");
        assert!(matches!(check_encryption(&named), Err(KeyFileError::Unreadable { .. })));
        fs::create_dir(folder.path().join("k")).unwrap();
        check_encryption(&named).unwrap();
    }

    #[test]
    fn the_key_of_a_successor_that_takes_its_place_is_among_them() {
        let folder = tempfile::tempdir().unwrap();
        let text = "listen = \"127.0.0.1:0\"\ntenant = \"acme\"\ndata_dir = \".\"\n\
                    [identity]\ncertificate = \"a.crt\"\nkey = \"a.key\"\nroot = \"root.crt\"\n";
        let config = Config::parse(text, &folder.path().join("collector.toml")).unwrap();
        assert!(files(&config).is_empty());
        fs::write(config.next_log_key(), "").unwrap();
        assert_eq!(files(&config), [config.next_log_key()]);
    }
}
