//! Policies that a collector offers: fetched beside the stream, which goes on meanwhile.

use std::time::Duration;

use tonic::Status;
use tonic::transport::Channel;
use watchpost_proto::Message;
use watchpost_proto::policy::{LEADING_MAX, POLICY_BYTES_MAX};
use watchpost_proto::v1::uplink_client::UplinkClient;
use watchpost_proto::v1::{PolicyRequest, SignedPolicyHeader};

use super::Uplink;

/// Until the first part of a policy, between two of them, and for all of it: the largest at 60 KB/s.
const PART: Duration = Duration::from_secs(60);
const FETCH: Duration = Duration::from_secs(600);
/// Bytes of headers that lead to a policy.
const LEADING_BYTES_MAX: usize = 4 * 1024 * 1024;

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
            let fetched = tokio::time::timeout(FETCH, fetch(&mut client, request)).await;
            match fetched.unwrap_or_else(|_| Err(Status::deadline_exceeded("the policy does not come to its end"))) {
                Ok((leading, file)) => {
                    // Compiling takes its time, and the stream is served by this thread.
                    let taking = policies.clone();
                    let taken = tokio::task::spawn_blocking(move || taking.take(&offered, &leading, &file)).await;
                    if taken.is_err() {
                        policies.give_up();
                    }
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
    let answer = tokio::time::timeout(PART, client.policy(request)).await;
    let mut parts = answer.map_err(|_| Status::deadline_exceeded("the policy does not come"))??.into_inner();
    let (mut leading, mut leading_bytes, mut file) = (Vec::new(), 0, Vec::new());
    let too_large = || Status::out_of_range("the policy is larger than any policy may be");
    loop {
        let part = tokio::time::timeout(PART, parts.message()).await;
        let part = part.map_err(|_| Status::deadline_exceeded("the policy does not go on"))??;
        let Some(part) = part else { return Ok((leading, file)) };
        leading_bytes += part.leading.iter().map(Message::encoded_len).sum::<usize>();
        leading.extend(part.leading);
        file.extend_from_slice(&part.chunk);
        if leading.len() > LEADING_MAX || leading_bytes > LEADING_BYTES_MAX || file.len() > POLICY_BYTES_MAX {
            return Err(too_large());
        }
    }
}
