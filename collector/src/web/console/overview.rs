//! The first page of the morning.

use maud::html;

use super::frame::Room;
use super::parts;
use super::view::View;
use crate::operators::Act;
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, Nothing, Route, page};

pub(super) fn routes() -> Vec<Route> {
    vec![page("/", Act::OwnAccount, ("Overview", "总览"), show)]
}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = Room::Overview.title(view.tongue());
    Ok(view.page(Some(Room::Overview), title, html! { (parts::heading(title, None, None)) }))
}
