//! Rosters that a collector offers: fetched beside the stream, which goes on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;
use tonic::transport::Channel;
use watchpost_proto::v1::RosterRequest;
use watchpost_proto::v1::uplink_client::UplinkClient;

use super::Uplink;
use crate::rosters::{Bringing, Brought, Rosters};

/// Until the first part of a roster, and between two of them.
const PART: Duration = Duration::from_secs(60);
/// For all of it.
const WHOLE: Duration = Duration::from_secs(60 * 60);

/// One that was asked for: however it ends, another may be asked for then.
struct Asked(Option<Arc<Rosters>>);

impl Asked {
    fn take(mut self, offered: &[u8], brought: Brought) {
        if let Some(rosters) = self.0.take() {
            rosters.take(offered, brought);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(rosters) = &self.0 {
            rosters.give_up();
        }
    }
}

impl Uplink {
    /// Fetches the roster that is offered, where it is wanted and not under way already.
    pub(super) fn roster_offered(&self, offered: &[u8], client: &UplinkClient<Channel>) {
        let Some(rosters) = &self.rosters else { return };
        let Some(request) = rosters.request(offered) else { return };
        let (rosters, mut client) = (rosters.clone(), client.clone());
        let asked = Asked(Some(rosters.clone()));
        tokio::spawn(async move {
            let offered = request.offer.clone();
            let fetched = tokio::time::timeout(WHOLE, fetch(&mut client, request, &rosters)).await;
            match fetched.unwrap_or_else(|_| Err(Status::deadline_exceeded("the roster takes too long"))) {
                Ok(brought) => {
                    // Checking takes its time, and the stream is served by this thread.
                    let _ = tokio::task::spawn_blocking(move || asked.take(&offered, brought)).await;
                }
                Err(status) => {
                    let reason = status.message();
                    tracing::warn!(reason, "the roster offered could not be fetched; it is tried again");
                }
            }
        });
    }
}

async fn fetch(
    client: &mut UplinkClient<Channel>,
    request: RosterRequest,
    rosters: &Rosters,
) -> Result<Brought, Status> {
    let mut bringing = Bringing::new(rosters, &request.offer);
    let answer = tokio::time::timeout(PART, client.roster(request)).await;
    let mut parts = answer.map_err(|_| Status::deadline_exceeded("the roster does not come"))??.into_inner();
    loop {
        let part = tokio::time::timeout(PART, parts.message()).await;
        let part = part.map_err(|_| Status::deadline_exceeded("the roster does not go on"))??;
        let part = part.ok_or_else(|| Status::data_loss("the roster ends in the middle"))?;
        if !bringing.add(part) {
            return Ok(bringing.brought());
        }
    }
}
