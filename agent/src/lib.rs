//! The edge agent as a library; the daemon is a thin shell around it.

pub mod clock;
pub mod device;
pub mod random;
pub mod seal;
pub mod store;
pub mod uplink;
