//! The roster, or the part of it that a device asks for.

use std::sync::Arc;

use tonic::Status;
use tracing::info;
use watchpost_proto::Digest;
use watchpost_proto::roster::{ACCOUNT_BYTES_MAX, ONLY_MAX};
use watchpost_proto::v1::{RosterPart, RosterRequest};

use super::{Shared, welcome};
use crate::peer::Peer;

/// The parts of the roster on offer, for a device that may fetch.
pub(super) fn answer(
    shared: &Shared,
    peer: &Peer,
    request: RosterRequest,
) -> Result<impl Iterator<Item = RosterPart> + Send + use<>, Status> {
    let is_sound = request.protocol == welcome::PROTOCOL
        && request.only.len() <= ONLY_MAX
        && request.only.iter().all(|account| account.len() <= ACCOUNT_BYTES_MAX);
    if !is_sound {
        return Err(Status::invalid_argument("this is no request for a roster"));
    }
    let shelved = shared.shelf.borrow().clone().ok_or_else(|| Status::not_found("there is no roster"))?;
    if Digest::from_slice(&request.offer) != Some(shelved.digest) {
        return Err(Status::not_found("another roster is on offer now"));
    }
    info!(device = %peer.device, held = request.held, asked = request.only.len(), "roster handed on");
    Ok(Arc::clone(&shelved).parts(request.held, request.only))
}
