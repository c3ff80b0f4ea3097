//! JSON for scripts, and the handlers that the pages are made from too.

pub(in crate::web) mod alert;
pub(in crate::web) mod alerts;
pub(in crate::web) mod audit;
pub(in crate::web) mod cases;
pub(in crate::web) mod delegate;
pub(in crate::web) mod devices;
pub(in crate::web) mod employees;
pub(in crate::web) mod enrolment;
pub(in crate::web) mod exports;
pub(in crate::web) mod first;
pub(in crate::web) mod notifications;
mod openapi;
pub(in crate::web) mod operators;
pub(in crate::web) mod overview;
pub(in crate::web) mod page;
pub(in crate::web) mod people;
pub(in crate::web) mod policies;
pub(in crate::web) mod rules;
pub(in crate::web) mod search;
pub(in crate::web) mod session;
pub(in crate::web) mod settings;
pub(in crate::web) mod sites;
mod table;
pub(in crate::web) mod tester;
pub(in crate::web) mod tokens;
pub(in crate::web) mod words;

pub use openapi::describe;
pub use table::routes;
