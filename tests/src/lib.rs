//! The lab: what tests, benchmarks and the demo need to run the real programs against each other.
//!
//! - [`lab`] builds, starts, stops and kills real collectors and agents on temporary folders and free ports;
//! - [`proxy`] stands between them and breaks the line;
//! - [`corpus`] invents exports, the same ones for the same seed;
//! - [`outcome`] says what must hold once everything has arrived.

pub mod corpus;
pub mod lab;
pub mod outcome;
pub mod proxy;
