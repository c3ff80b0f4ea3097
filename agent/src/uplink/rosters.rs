//! Rosters that a collector offers: fetched beside the stream, which goes on meanwhile.

use std::time::Duration;

use tonic::Status;
use tonic::transport::Channel;
use watchpost_proto::roster::{CHAIN_MAX, NEVER_MAX, ONLY_MAX, ROWS_MAX};
use watchpost_proto::v1::RosterRequest;
use watchpost_proto::v1::uplink_client::UplinkClient;

use super::Uplink;
use crate::rosters::Brought;

/// Between two parts of a roster.
const PART: Duration = Duration::from_secs(60);
/// Bytes of all rows: what a device may be made to hold in memory while it checks them.
const ROWS_BYTES_MAX: usize = 512 * 1024 * 1024;

impl Uplink {
    /// Fetches the roster that is offered, where it is wanted and not under way already.
    pub(super) fn roster_offered(&self, offered: &[u8], client: &UplinkClient<Channel>) {
        let Some(rosters) = &self.rosters else { return };
        let Some(request) = rosters.request(offered) else { return };
        let (rosters, mut client) = (rosters.clone(), client.clone());
        tokio::spawn(async move {
            let offered = request.offer.clone();
            match fetch(&mut client, request).await {
                Ok(brought) => {
                    // Checking takes its time, and the stream is served by this thread.
                    let _ = tokio::task::spawn_blocking(move || rosters.take(&offered, brought)).await;
                }
                Err(status) => {
                    let reason = status.message();
                    tracing::warn!(reason, "the roster offered could not be fetched; it is tried again");
                    rosters.give_up();
                }
            }
        });
    }
}

async fn fetch(client: &mut UplinkClient<Channel>, request: RosterRequest) -> Result<Brought, Status> {
    let mut parts = client.roster(request).await?.into_inner();
    let (mut brought, mut bytes) = (Brought::default(), 0);
    loop {
        let part = tokio::time::timeout(PART, parts.message()).await;
        let part = part.map_err(|_| Status::deadline_exceeded("the roster does not go on"))??;
        let part = part.ok_or_else(|| Status::data_loss("the roster ends in the middle"))?;
        bytes += part.rows.iter().map(Vec::len).sum::<usize>();
        brought.chain.extend(part.chain);
        brought.never.extend(part.never);
        brought.rows.extend(part.rows);
        brought.answers.extend(part.answers);
        let is_bounded = brought.chain.len() <= CHAIN_MAX
            && brought.never.len() <= NEVER_MAX
            && brought.rows.len() <= ROWS_MAX
            && brought.answers.len() <= ONLY_MAX
            && bytes <= ROWS_BYTES_MAX;
        if !is_bounded {
            return Err(Status::out_of_range("the roster is larger than any roster may be"));
        }
        if part.last {
            return Ok(brought);
        }
    }
}
