//! Why an export is not read, or not to its end.

use std::io;

/// Why an export is set aside, and its word in reports and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// A symbolic link; it could lead out of the folder.
    Link,
    /// A pipe, socket or device.
    NotAFile,
    /// The system does not let this process read it.
    Permission,
    /// The system failed to read it.
    Unreadable,
    /// It holds a zero byte early on: not a text export.
    Binary,
    /// It is text, but nothing that messages are carried in.
    Unrecognised,
    /// Its messages are still encrypted by the archive; nothing of it was inspected.
    Sealed,
    /// A product that encrypts files on this device keeps its content from this process.
    Protected,
    /// A file or archive encrypted with a password.
    Encrypted,
    /// Compressed data is damaged, or not written to its end.
    Corrupt,
    /// It would unpack to more than is allowed.
    TooLarge,
    /// It unpacks to so many times its size that it can only be meant to do harm.
    Bomb,
    /// An archive in an archive, or something compressed twice.
    Nested,
    /// An archive of a kind that is not read.
    Archive,
    /// No file in the archive is an export.
    NothingInside,
    /// A database file.
    Database,
    /// A workbook or document of the old binary kind, or one encrypted by Office.
    OldOffice,
    /// A picture, sound or printed document.
    Media,
    /// It was deleted before it was read to its end.
    Vanished,
    /// Its name cannot be kept on this system.
    Name,
}

impl Aside {
    /// Every reason there is.
    pub const ALL: [Self; 20] = [
        Self::Link,
        Self::NotAFile,
        Self::Permission,
        Self::Unreadable,
        Self::Binary,
        Self::Unrecognised,
        Self::Sealed,
        Self::Protected,
        Self::Encrypted,
        Self::Corrupt,
        Self::TooLarge,
        Self::Bomb,
        Self::Nested,
        Self::Archive,
        Self::NothingInside,
        Self::Database,
        Self::OldOffice,
        Self::Media,
        Self::Vanished,
        Self::Name,
    ];

    /// The documented word.
    pub fn as_str(self) -> &'static str {
        self.entry().0
    }

    /// What it means and what to do, for people.
    pub fn sentence(self) -> &'static str {
        self.entry().1
    }

    fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::Link => ("link", "a link, which could lead out of the folder; put the file itself there"),
            Self::NotAFile => ("not_a_file", "not a regular file; remove it"),
            Self::Permission => ("permission", "this account may not read it; grant it the right to"),
            Self::Unreadable => ("unreadable", "the system failed to read it; check the disk or share"),
            Self::Binary => ("binary", "it holds zero bytes and is no text; check what the archive job writes"),
            Self::Unrecognised => {
                ("unrecognised", "no message was found in it; if it is an export, see the guide on archive jobs")
            }
            Self::Sealed => (
                "sealed",
                "its messages are still encrypted by the archive and were not inspected; export them decrypted",
            ),
            Self::Protected => (
                "protected",
                "a product that encrypts files keeps its content from this account; let it read the folder",
            ),
            Self::Encrypted => ("encrypted", "encrypted with a password; write it without"),
            Self::Corrupt => (
                "corrupt",
                "its compressed data is damaged or incomplete; write it again, under its name only when it is complete",
            ),
            Self::TooLarge => (
                "too_large",
                "it is, or unpacks to, more than is allowed; raise the bounds under [source] if it is meant to",
            ),
            Self::Bomb => ("bomb", "it unpacks to so many times its size that it can only do harm; remove it"),
            Self::Nested => ("nested", "an archive in an archive, or compressed twice; pack it once"),
            Self::Archive => {
                ("archive", "an archive of a kind that is not read here; use gzip, zstd, bzip2 or zip, as a file")
            }
            Self::NothingInside => ("nothing_inside", "no file in the archive is an export"),
            Self::Database => ("database", "a database file; export its messages as text"),
            Self::OldOffice => {
                ("old_office", "an old or encrypted Office file; save it as .xlsx or CSV, without a password")
            }
            Self::Media => ("media", "a picture, a sound or a printed document, not an export"),
            Self::Vanished => ("vanished", "deleted before it was read to its end"),
            Self::Name => ("name", "its name is no Unicode; rename it"),
        }
    }

    /// The reason of a documented word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aside| aside.as_str() == word)
    }

    /// Whether what this word stands for can pass without the export changing: rights are granted, a share comes back.
    pub fn may_pass(word: &str) -> bool {
        matches!(Self::of_word(word), Some(Self::Permission | Self::Unreadable))
    }

    /// Whether this word came of reading an export, so that another way of reading may read it.
    pub fn is_read(word: &str) -> bool {
        let not_read = [Self::Link, Self::NotAFile, Self::Name, Self::Vanished];
        Self::of_word(word).is_some_and(|aside| !not_read.contains(&aside))
    }

    /// The reason that fits an error while opening or reading.
    pub fn of(error: &io::Error) -> Self {
        if let Some(aside) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return *aside;
        }
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission,
            io::ErrorKind::NotFound => Self::Vanished,
            io::ErrorKind::NotADirectory => Self::Link,
            _ if is_link_error(error) => Self::Link,
            _ => Self::Unreadable,
        }
    }
}

impl std::fmt::Display for Aside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Aside {}

/// An export that cannot be read on for this reason.
impl From<Aside> for io::Error {
    fn from(aside: Aside) -> Self {
        Self::new(io::ErrorKind::InvalidData, aside)
    }
}

/// Whether an open failed because the name is a link.
fn is_link_error(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    #[cfg(not(unix))]
    return false;
}
