//! The console: pages made on the server from what the handlers of the API give. They work without scripts; a script makes
//! them live. Each room of pages brings its routes; `frame` holds what is around them, `parts` what they are built of.

mod account;
mod alerts;
mod assets;
mod audit;
mod cases;
mod chart;
mod coverage;
mod delegate;
mod devices;
mod first;
mod frame;
mod lists;
mod me;
mod overview;
mod parts;
mod people;
mod rules;
mod search;
mod settings;
mod sign;
mod sites;
mod suppressions;
mod tongue;
mod view;
mod words;

use super::ask::Ask;
use super::problem::{Kind, Problem};
use super::route::Route;
use axum::response::{IntoResponse as _, Response};

pub(in crate::web) use view::Visitor;

/// All pages, and what they send.
#[must_use]
pub fn routes() -> Vec<Route> {
    [
        assets::routes(),
        sign::routes(),
        account::routes(),
        view::routes(),
        overview::routes(),
        devices::routes(),
        sites::routes(),
        people::routes(),
        audit::routes(),
        settings::routes(),
        first::routes(),
        coverage::routes(),
        alerts::routes(),
        search::routes(),
        cases::routes(),
        suppressions::routes(),
        delegate::routes(),
        rules::routes(),
        words::routes(),
        me::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What somebody who is signed in is told when a page cannot be shown.
pub(super) fn told(ask: &Ask<'_>, problem: Problem) -> Response {
    let view = view::View::of(ask);
    if problem.kind == Kind::NotSignedIn || ask.caller().is_err() {
        return view.visitor.told(problem);
    }
    let status = problem.kind.words().status;
    let body = view.page(None, view.tongue().problem(problem.kind).0, parts::problem(view.tongue(), &problem));
    let mut response = ask.respond(body);
    *response.status_mut() = status;
    response
}

impl Visitor {
    /// The same for somebody nobody knows. Whoever is not signed in is asked to, and comes back afterwards.
    pub(super) fn told(&self, problem: Problem) -> Response {
        if problem.kind == Kind::NotSignedIn && self.is_looking {
            let to = format!("/login?{}", serde_html_form::to_string([("next", &self.path)]).unwrap_or_default());
            return axum::response::Redirect::to(&to).into_response();
        }
        let status = problem.kind.words().status;
        let body = frame::bare(self, self.tongue.problem(problem.kind).0, parts::problem(self.tongue, &problem));
        (status, [(axum::http::header::CONTENT_TYPE, body.kind)], body.bytes).into_response()
    }
}
