//! Watchpost's collector: takes signed segments from agents, keeps them in an append-only log and derives from it
//! what people look at.
//!
//! ```text
//! socket ─► acceptor ─► ingest ─► verify ─► sequencer (chain, log_store) ─► log.db ─► derive ─► derived.db
//!             tls         ▲                      │                            │                   alerts
//!             peer        └── receipts ◄─────────┘                            │                   evidence
//!                                                                             └─► board (files, http, witnesses)
//! derived.db ─► notify (plan, queue in the log) ─► outgoing ─► group robots, webhooks
//! ```

pub mod acceptor;
pub mod admin;
pub mod alerts;
pub mod audit;
pub mod authority;
pub mod backup;
pub mod board;
pub mod chain;
pub mod clock;
pub mod clocks;
pub mod commands;
pub mod config;
pub mod coverage;
pub mod credentials;
pub mod data_lock;
pub mod derive;
pub mod devices;
pub mod durable_file;
pub mod enrolment;
pub mod erasure;
pub mod evidence;
pub mod export;
pub mod first_run;
pub mod followed;
pub mod health;
pub mod ingest;
pub mod key_file;
pub mod link;
pub mod liveness;
pub mod log_key;
pub mod log_store;
pub mod lookups;
pub mod members;
pub mod my_data;
pub mod names;
pub mod notices;
pub mod notify;
pub mod operators;
pub mod outgoing;
pub mod peer;
pub mod people;
pub mod pki;
pub mod policies;
pub mod publish;
pub mod recipients;
pub mod registry;
pub mod rulebook;
pub mod search;
pub mod secrets;
pub mod sequencer;
pub mod server;
pub mod serving;
pub mod sessions;
pub mod settings;
pub mod sites;
pub mod standing;
pub mod succession;
pub mod tls;
pub mod trail;
pub mod trust;
pub mod verify;
pub mod web;
pub mod words;
