//! The pure engine of Watchpost: bytes and time go in, values come out. No file, no clock, no network.
//!
//! ```text
//! line ─► parse ─► message ─► normalise ─► matcher ─► engine ─► findings ─► summary (leaves the device)
//!                                           rules ─►                    └─► scan    (stays)
//!                                        accounts ─►
//! ```
//!
//! [`parse::parse_line`] makes a [`message::Message`] of one line of an export. [`engine::Engine`] is compiled from [`rules::Pack`]s and
//! [`accounts::Accounts`] and gives the findings of a message. [`summary::summarise`] makes of a finding what may leave the device, with an
//! [`excerpt`] as far as rule and device allow; [`identity`] computes the ids that make every message and finding count once.
//!
//! All offsets count Unicode scalar values of the original text. Message text goes no further than this crate's callers on the device.

pub mod accounts;
pub mod bundle;
pub mod calendar;
pub mod engine;
pub mod excerpt;
pub mod explain;
pub mod filters;
pub mod hint;
pub mod identity;
pub mod import;
pub mod lint;
pub mod matcher;
pub mod message;
pub mod my_data;
pub mod normalise;
pub mod packs;
pub mod parse;
pub mod rules;
pub mod scan;
pub mod skim;
pub mod summary;
pub mod validators;
pub mod windows;

mod condition;
mod facts;
mod quotes;
mod yaml;
