//! The contract between agent and collector.
//!
//! [`v1`] is generated from the `.proto` files. The other modules are sealing as pure code, in the order data takes:
//! a summary is salted into a [`record`], records are sealed into a [`segment`] under a device [`key`](keys), the
//! collector answers with a signed [`receipt`] and hangs the segment into its [`log`], whose [`merkle`] head it
//! publishes as a signed [`note`] and in [`tiles`] for a [`witness`] and anyone else to check. Nothing here reads a
//! clock, a file, a socket or a random source.

pub mod digest;
pub mod document;
pub mod encryption;
pub mod identity;
pub mod keys;
pub mod limits;
pub mod log;
pub mod merkle;
pub mod note;
pub mod pem;
pub mod policy;
pub mod receipt;
pub mod record;
pub mod refusal;
pub mod request;
pub mod roster;
pub mod segment;
pub mod tiles;
pub mod token;
pub mod witness;

/// Messages and services of version 1 of the contract.
#[expect(missing_docs, reason = "generated; the documentation is in the .proto files")]
#[allow(unreachable_pub, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("watchpost.v1");
}

pub use digest::{DeviceId, Digest, EpochId, InstanceId, LogId};
pub use prost::Message;
