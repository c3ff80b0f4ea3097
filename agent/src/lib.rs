//! The edge agent as a library; the daemon is a thin shell around it.
//!
//! The data path: [`source`] lists and opens exports, [`lines`] splits them, [`pipeline`] takes them through the policy
//! into the [`store`] in one transaction, [`seal`] makes signed segments of what waits there, and [`uplink`] sends them
//! and takes receipts. [`intake`] is the round that ties the first half together, [`daemon`] the threads around it all.
//! Clocks, paths and readers are passed in; there is no global state.

pub mod aside;
pub mod carrier;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod device;
pub mod durable;
pub mod enrolling;
pub mod expectation;
pub mod goodbye;
pub mod in_force;
pub mod intake;
pub mod lines;
pub mod lookup;
pub mod my_data;
pub mod pipeline;
pub mod policies;
pub mod policy_files;
pub mod posture;
pub mod random;
pub mod rosters;
pub mod seal;
pub mod source;
pub mod store;
pub mod summary;
mod unreadable;
pub mod uplink;
pub mod wake;
pub mod watcher;
