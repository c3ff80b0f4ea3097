//! The edge agent as a library; the daemon is a thin shell around it.

pub mod clock;
pub mod config;
pub mod device;
pub mod lines;
pub mod random;
pub mod seal;
pub mod source;
pub mod store;
pub mod uplink;
