//! Where the passphrase comes from that opens encrypted keys.

use std::env;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::{KeyFileError, check_private};

/// The environment variable that holds a passphrase.
pub const VARIABLE: &str = "WATCHPOST_PASSPHRASE";
/// The name of the credential that systemd hands over (`LoadCredential=` or `LoadCredentialEncrypted=`).
pub const CREDENTIAL: &str = "watchpost-passphrase";
/// Shortest passphrase that anything is encrypted under, in characters.
pub const CHARACTERS_MIN: usize = 12;
/// Largest file that is one, in bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// Where a passphrase is looked for, in this order: a file, systemd's credential, the environment, the terminal. It is
/// looked for when it is needed, and only what a person typed is kept.
#[derive(Clone, Default)]
pub struct Passphrase {
    file: Option<PathBuf>,
    terminal_only: bool,
    typed: Arc<Mutex<Option<Zeroizing<String>>>>,
}

/// A passphrase and where it came from, for the sentence that says that it is the wrong one.
pub(super) struct Found {
    pub(super) text: Zeroizing<String>,
    pub(super) from: String,
}

impl Passphrase {
    /// One that is looked for in `file` first, if one is named.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    /// The file it is looked for in first, if the configuration names one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// One that is known already.
    pub fn known(text: &str) -> Self {
        let typed = Some(Zeroizing::new(text.to_owned()));
        Self { typed: Arc::new(Mutex::new(typed)), ..Self::default() }
    }

    /// One that only a person at the terminal can say.
    pub fn to_be_typed() -> Self {
        Self { terminal_only: true, ..Self::default() }
    }

    /// Whether it can be had without asking anybody.
    pub fn is_at_hand(&self) -> bool {
        matches!(self.found(), Ok(Some(_)))
    }

    /// The passphrase for something that is to be encrypted; at a terminal it is asked for twice.
    ///
    /// # Errors
    /// Nobody said one, it is shorter than [`CHARACTERS_MIN`], or the two are not the same.
    pub fn choose(&self) -> Result<Zeroizing<String>, KeyFileError> {
        let chosen = match self.found()? {
            Some(found) => found.text,
            None => self.ask_twice()?,
        };
        if chosen.chars().count() < CHARACTERS_MIN { Err(KeyFileError::Short) } else { Ok(chosen) }
    }

    /// The passphrase that opens `path`.
    pub(super) fn of(&self, path: &Path) -> Result<Found, KeyFileError> {
        if let Some(found) = self.found()? {
            return Ok(found);
        }
        if !std::io::stdin().is_terminal() {
            return Err(KeyFileError::NoPassphrase(path.to_owned()));
        }
        let text = ask(&format!("Passphrase 口令 ({}): ", path.display()))?;
        self.keep(&text);
        Ok(Found { text, from: "the terminal".into() })
    }

    /// Forgets what was typed: it was wrong.
    pub(super) fn forget(&self) {
        *self.typed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn found(&self) -> Result<Option<Found>, KeyFileError> {
        if let Some(text) = &*self.typed.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Some(Found { text: text.clone(), from: "the terminal".into() }));
        }
        if self.terminal_only {
            return Ok(None);
        }
        if let Some(file) = &self.file {
            check_private(file)?;
            return Ok(Some(Found { text: read(file)?, from: file.display().to_string() }));
        }
        // Systemd keeps others out of that folder, in its own way.
        if let Some(file) = env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(CREDENTIAL))
            && file.exists()
        {
            return Ok(Some(Found { text: read(&file)?, from: format!("systemd's credential {CREDENTIAL}") }));
        }
        let text = env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        Ok(text.map(|text| Found { text: Zeroizing::new(text), from: VARIABLE.into() }))
    }

    fn ask_twice(&self) -> Result<Zeroizing<String>, KeyFileError> {
        if !std::io::stdin().is_terminal() {
            return Err(KeyFileError::NothingChosen);
        }
        let text = ask("New passphrase 新口令: ")?;
        if *ask("Once more 再输一次: ")? != *text {
            return Err(KeyFileError::Differ);
        }
        self.keep(&text);
        Ok(text)
    }

    fn keep(&self, text: &Zeroizing<String>) {
        *self.typed.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.clone());
    }
}

impl std::fmt::Debug for Passphrase {
    /// Without the passphrase.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passphrase").field("file", &self.file).finish_non_exhaustive()
    }
}

impl PartialEq for Passphrase {
    /// Whether both look in the same place.
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

impl Eq for Passphrase {}

/// The first line; editors end files with a line break.
fn read(file: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let unreadable = |error: std::io::Error| KeyFileError::Unreadable { path: file.to_owned(), error };
    if std::fs::metadata(file).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(KeyFileError::NotAPassphrase(file.to_owned()));
    }
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(unreadable)?);
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    if line.is_empty() { Err(KeyFileError::NotAPassphrase(file.to_owned())) } else { Ok(line) }
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, KeyFileError> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(KeyFileError::Terminal)
}
