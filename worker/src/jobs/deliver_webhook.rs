//! `webhook.deliver.v1`: sends an event to an address that a user has registered, signed as Standard Webhooks has it.
//!
//! Each attempt is signed anew and has the id of the event, so that whoever gets it twice drops it by that: an attempt whose answer
//! was lost is made again. What became of each is in the delivery's log for the endpoint's owner, and says nothing of the answer
//! but its status: what the address answers is nobody's but its owner's.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use messages::{DeliverWebhook, EventId};
use outbound::{Answer, Failure, NoSecret, Post, Refusal};
use serde::Serialize;
use serde_json::Value;
use store::{CancelReason, Discard, End, FailureCode, HappenedEvent, Recipient, Settle, Tried};
use time::OffsetDateTime;

use super::{Handler, Progress, Task};
use crate::context::Context;
use crate::error::{JobError, JobResult, in_full};
use crate::{RetryPolicy, Settings};

pub(super) struct Deliver;

pub(super) enum Done {
    /// The address has taken it.
    Delivered,
    /// This address says that there will never be anything again.
    Gone(String),
    /// There is nothing to send, or nobody to send it to.
    Skipped(&'static str),
}

/// After what time an attempt is made that was not made because too many names are looked up.
const BUSY: Duration = Duration::from_secs(10);

/// What is sent.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    data: &'a Value,
}

impl Handler for Deliver {
    type Payload = DeliverWebhook;
    type Done = Done;

    /// Most of them wait for somebody else's machine.
    const CONCURRENCY: u16 = 16;

    fn retry(settings: &Settings) -> &RetryPolicy {
        &settings.webhook_retry
    }

    async fn perform(task: &Task<DeliverWebhook>, _: Progress) -> JobResult<Done> {
        let DeliverWebhook { endpoint, event } = task.payload;
        let webhooks = task.context.store.webhooks();
        let Some(recipient) = webhooks.recipient(endpoint).await? else {
            return Ok(Done::Skipped("the endpoint was removed"));
        };
        if !recipient.enabled {
            return Ok(Done::Skipped("the endpoint was disabled"));
        }
        let Some(happened) = webhooks.happened(event).await? else {
            return Ok(Done::Skipped("the event is no longer kept"));
        };
        let begun = Instant::now();
        let answered = send(&task.context, &recipient, event, &happened).await?;
        let judged = judge(answered);
        let tried = Tried {
            status: answered.ok().map(|answer| answer.status),
            error: judged.as_ref().err().map(|refused| refused.error),
            took: begun.elapsed(),
        };
        meters::WEBHOOK_DELIVERIES.add(&[tried.error.unwrap_or("delivered")], 1);
        if let Err(cause) = webhooks.note(endpoint, event, &tried).await {
            tracing::warn!(cause = in_full(&cause), "an attempt at a webhook is missing in its log");
        }
        match judged {
            Ok(()) => Ok(Done::Delivered),
            Err(Refused { error: GONE, .. }) => Ok(Done::Gone(recipient.url)),
            Err(Refused { cause, .. }) => {
                // A receiver that asks for more would have its deliveries outlive their events, and never count as failing.
                let longest = task.context.settings.webhook_retry.cap;
                let after = answered.ok().and_then(|answer| answer.retry_after).map(|after| after.min(longest));
                Err(JobError::Retry { code: FailureCode::Undelivered, cause, after })
            }
        }
    }

    async fn record(task: &Task<DeliverWebhook>, done: &Done, settle: &mut Settle<'_>) -> Result<End, store::Error> {
        let DeliverWebhook { endpoint, event } = task.payload;
        let webhooks = task.context.store.webhooks();
        match done {
            Done::Delivered => webhooks.delivered(settle, endpoint, event).await?,
            Done::Gone(url) => webhooks.gone(settle, endpoint, event, url).await?,
            Done::Skipped(reason) => webhooks.skipped(settle, endpoint, event, reason).await?,
        }
        Ok(match done {
            Done::Delivered => End::Completed,
            Done::Gone(_) | Done::Skipped(_) => End::Cancelled(CancelReason::NobodyToTell),
        })
    }

    async fn discard(context: &Context, discard: &Discard, settle: &mut Settle<'_>) -> Result<End, store::Error> {
        context.store.webhooks().discard_delivery(settle, discard).await
    }
}

/// Makes one attempt. An error: it was not made.
async fn send(
    context: &Context,
    recipient: &Recipient,
    event: EventId,
    happened: &HappenedEvent,
) -> JobResult<Result<Answer, Failure>> {
    let body = Body { kind: &happened.kind, timestamp: happened.at, data: &happened.data };
    let body = serde_json::to_vec(&body).map_err(|cause| JobError::retry(FailureCode::Defect, cause.into()))?;
    // By the database's clock, as receivers refuse what is old by theirs.
    let (id, timestamp) = (event.to_string(), context.store.now().await?.unix_timestamp());
    let signatures = recipient.secrets.iter().map(|secret| outbound::signature(secret, &id, timestamp, &body));
    let signatures: Result<Vec<String>, NoSecret> = signatures.collect();
    let signatures = signatures.map_err(|cause| JobError::retry(FailureCode::Defect, cause.into()))?;
    let post = Post { url: &recipient.url, id: &id, timestamp, signatures: signatures.join(" "), body };
    made(context.webhooks.post(post).await)
}

/// Whether it was made. If not, it is no failure of the endpoint's, and in no log of its.
fn made(answered: Result<Answer, Failure>) -> JobResult<Result<Answer, Failure>> {
    match answered {
        Err(busy @ Failure::Refused(Refusal::Busy)) => {
            Err(JobError::Later { code: FailureCode::Undelivered, cause: busy.into(), after: BUSY })
        }
        answered => Ok(answered),
    }
}

/// Why an attempt did not do what it was for.
#[derive(Debug)]
struct Refused {
    /// A word, which is permanent: it stands in logs of deliveries and in metrics.
    error: &'static str,
    cause: anyhow::Error,
}

const GONE: &str = "gone";

fn judge(answered: Result<Answer, Failure>) -> Result<(), Refused> {
    let status = match answered {
        Ok(Answer { status, .. }) => status,
        Err(failure) => return Err(Refused { error: failure.as_str(), cause: failure.into() }),
    };
    let error = match status {
        200..=299 => return Ok(()),
        300..=399 => "redirect",
        410 => GONE,
        _ => "status",
    };
    Err(Refused { error, cause: anyhow!("the endpoint answered {status}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tried_because_others_wait_for_names_is_no_failure_of_the_endpoint() {
        let untried = made(Err(Failure::Refused(Refusal::Busy)));
        assert!(matches!(untried, Err(JobError::Later { after: BUSY, .. })), "{untried:?}");
        for failure in [Failure::Refused(Refusal::Unknown), Failure::Timeout] {
            assert!(matches!(made(Err(failure)), Ok(Err(same)) if same == failure));
        }
    }

    #[test]
    fn only_2xx_is_a_success_and_every_other_answer_has_a_word_that_the_metric_knows() {
        let answer = |status| Ok(Answer { status, retry_after: None });
        for (answered, error) in [
            (answer(200), None),
            (answer(204), None),
            (answer(299), None),
            (answer(101), Some("status")),
            (answer(301), Some("redirect")),
            (answer(308), Some("redirect")),
            (answer(400), Some("status")),
            (answer(410), Some("gone")),
            (answer(500), Some("status")),
            (Err(Failure::Timeout), Some("timeout")),
            (Err(Failure::NoConnection), Some("no-connection")),
            (Err(Failure::Tls), Some("tls")),
            (Err(Failure::NoAnswer), Some("no-answer")),
            (Err(Failure::Refused(Refusal::Private)), Some("private-address")),
            (Err(Failure::Refused(Refusal::Unknown)), Some("unknown-host")),
            (Err(Failure::Refused(Refusal::Scheme)), Some("address")),
        ] {
            let judged = judge(answered).err().map(|refused| refused.error);
            assert_eq!(judged, error, "{answered:?}");
            let [label] = meters::WEBHOOK_DELIVERIES.metric.labels else { panic!("one label") };
            assert!((label.values)().contains(&error.unwrap_or("delivered")), "{error:?}");
        }
    }

    #[test]
    fn what_is_sent_is_as_standard_webhooks_has_it() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_000_000).expect("a time");
        let data = serde_json::json!({"asset": "65a1b2c3d4e5f60718293a4b"});
        let body = Body { kind: "media.ready.v1", timestamp: at, data: &data };
        assert_eq!(
            serde_json::to_string(&body).expect("JSON"),
            r#"{"type":"media.ready.v1","timestamp":"2023-11-14T22:13:20.123Z","data":{"asset":"65a1b2c3d4e5f60718293a4b"}}"#
        );
    }
}
