//! Policies that a collector offers: fetched beside the stream, which goes on meanwhile.

use std::time::Duration;

use tonic::Status;
use tonic::transport::Channel;
use watchpost_proto::policy::{LEADING_MAX, POLICY_BYTES_MAX};
use watchpost_proto::v1::uplink_client::UplinkClient;
use watchpost_proto::v1::{PolicyRequest, SignedPolicyHeader};

use super::Uplink;

/// Between two parts of a policy.
const PART: Duration = Duration::from_secs(60);

/// Headers that lead to a policy, and the file with it.
type Fetched = (Vec<SignedPolicyHeader>, Vec<u8>);

impl Uplink {
    /// Fetches what is offered, where it is wanted and not under way already.
    pub(super) fn offered(&self, offered: &[u8], client: &UplinkClient<Channel>) {
        let Some(policies) = &self.policies else { return };
        let Some(request) = policies.request(offered) else { return };
        let (policies, mut client) = (policies.clone(), client.clone());
        tokio::spawn(async move {
            let offered = request.policy.clone();
            match fetch(&mut client, request).await {
                Ok((leading, file)) => {
                    // Compiling takes its time, and the stream is served by this thread.
                    let _ = tokio::task::spawn_blocking(move || policies.take(&offered, &leading, &file)).await;
                }
                Err(status) => {
                    tracing::warn!(
                        reason = status.message(),
                        "the policy offered could not be fetched; it is tried again"
                    );
                    policies.give_up();
                }
            }
        });
    }
}

async fn fetch(client: &mut UplinkClient<Channel>, request: PolicyRequest) -> Result<Fetched, Status> {
    let mut parts = client.policy(request).await?.into_inner();
    let (mut leading, mut file) = (Vec::new(), Vec::new());
    let too_large = || Status::out_of_range("the policy is larger than any policy may be");
    loop {
        let part = tokio::time::timeout(PART, parts.message()).await;
        let part = part.map_err(|_| Status::deadline_exceeded("the policy does not go on"))??;
        let Some(part) = part else { return Ok((leading, file)) };
        leading.extend(part.leading);
        file.extend_from_slice(&part.chunk);
        if leading.len() > LEADING_MAX || file.len() > POLICY_BYTES_MAX {
            return Err(too_large());
        }
    }
}
