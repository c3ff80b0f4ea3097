//! Watchpost's collector: takes signed segments from agents, keeps them in an append-only log and derives from it
//! what people look at.

pub mod commands;
pub mod durable_file;
pub mod pki;
