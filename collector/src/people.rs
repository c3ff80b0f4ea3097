//! The roster 花名册: from a list of HR's to a signed document, and from there into the log.
//!
//! ```text
//! CSV, XLSX ─► table ─► columns ─► persons ─► roster (signed by HR's key) ─► publish ─► log + rows ─► shelf ─► devices
//! ```
//!
//! The key that signs is HR's and never lies on the collector. Names and numbers of employees stay in `log.db`, beside the log: devices get a
//! digest of them, and they can be erased without touching any proof.

pub mod columns;
pub mod difference;
pub mod persons;
pub mod publish;
pub mod shelf;
pub mod standing;
pub mod table;

/// Largest list, in bytes.
pub const LIST_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Mistakes told at once; more help nobody.
pub const MISTAKES_MAX: usize = 100;
