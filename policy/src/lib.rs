//! placeholder
pub mod identity;
pub mod matcher;
pub mod message;
pub mod normalise;
pub mod parse;
