//! Replaying: sending again what was sent, what failed and what was skipped.

use bson::{Bson, DateTime, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{DeliverWebhook, EndpointId, EventId, Job};
use mongodb::ClientSession;
use time::OffsetDateTime;

use super::{Delivery, DeliveryState, Webhooks, delivery_id};
use crate::Error;
use crate::codec::{decode, encode, object_id};
use crate::jobs::Jobs;

/// Deliveries that one request may replay.
const MOST: usize = 1000;
/// Deliveries that are replayed in one transaction.
const AT_ONCE: usize = 100;

/// What became of the wish to replay a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// There is no such delivery (any more).
    Unknown,
    /// It waits to be sent, as it is now.
    Waiting(Box<Delivery>),
}

/// What became of the wish to replay a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeReplay {
    /// Deliveries that are sent again.
    pub count: usize,
    /// Where to go on, if there is more than one request may replay.
    pub next: Option<OffsetDateTime>,
}

impl Webhooks {
    /// Has a delivery sent again, at once and under the same id, unless it still waits to be sent. A relay publishes its job.
    pub async fn replay(&self, endpoint: EndpointId, event: EventId) -> Result<Replay, Error> {
        self.replay_all(&[(endpoint, event)]).await?;
        let delivery = self.delivery(endpoint, event).await?;
        Ok(delivery.map_or(Replay::Unknown, |delivery| Replay::Waiting(Box::new(delivery))))
    }

    /// Has those deliveries to an endpoint sent again whose events happened in a range, both ends included, but for those that
    /// still wait to be sent. The earliest first, and so many at the most.
    pub async fn replay_range(
        &self,
        endpoint: EndpointId,
        since: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<RangeReplay, Error> {
        let (since, until) = (DateTime::from(since), DateTime::from(until));
        let range = doc! {
            "endpoint": object_id(endpoint.bytes()),
            "happenedAt": { "$gte": since, "$lte": until },
            "state": { "$ne": DeliveryState::Pending.as_str() },
        };
        let query = self.deliveries.find(range).sort(doc! { "happenedAt": 1 });
        // One more tells whether there is one.
        let query = query.limit(i64::try_from(MOST + 1).unwrap_or(i64::MAX));
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        let found: Vec<Delivery> =
            found.iter().map(|delivery| decode("delivery", delivery)).collect::<Result<_, _>>()?;
        let next = found.get(MOST).map(|delivery| delivery.happened_at);
        let mut count = 0;
        let wanted: Vec<_> = found.iter().take(MOST).map(|delivery| (endpoint, delivery.event)).collect();
        for some in wanted.chunks(AT_ONCE) {
            count += self.replay_all(some).await?;
        }
        Ok(RangeReplay { count, next })
    }

    /// Replays those that do not wait to be sent. Says how many those are.
    async fn replay_all(&self, pairs: &[(EndpointId, EventId)]) -> Result<usize, Error> {
        // A job that was redriven belongs to a delivery that has failed.
        let key =
            |(endpoint, event): (EndpointId, EventId)| Jobs::unique_key(&Job::from(DeliverWebhook { endpoint, event }));
        let keys: Vec<String> = pairs.iter().copied().filter_map(key).collect();
        let unfinished = self.jobs.unfinished_of(&keys).await?;
        let is_free = |pair: &(EndpointId, EventId)| key(*pair).is_some_and(|key| !unfinished.contains(&key));
        let mut pairs: Vec<_> = pairs.iter().copied().filter(is_free).collect();
        self.connection
            .transaction(self, &mut pairs, |webhooks, session, pairs| Box::pin(webhooks.replay_in(session, pairs)))
            .await
    }

    async fn replay_in(&self, session: &mut ClientSession, pairs: &[(EndpointId, EventId)]) -> Result<usize, Error> {
        let ids: Vec<Bson> = pairs.iter().map(|(endpoint, event)| delivery_id(*endpoint, *event)).collect();
        let ended = doc! { "_id": { "$in": ids }, "state": { "$ne": DeliveryState::Pending.as_str() } };
        let mut found = self.deliveries.find(ended).session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(&mut *session).try_collect().await?;
        let now = self.connection.now().await?;
        let (mut updates, mut jobs) = (Vec::new(), Vec::new());
        for delivery in &found {
            let Delivery { endpoint, event, state, .. } = decode("delivery", delivery)?;
            let mut job = self.new_delivery_job(endpoint, event, now);
            // Nobody else publishes it.
            job.due_at = Some(now.into());
            updates.push(doc! {
                "q": { "_id": delivery_id(endpoint, event), "state": state.as_str() },
                "u": {
                    "$set": { "state": DeliveryState::Pending.as_str(), "job": job.id.to_string(), "updatedAt": now },
                    "$unset": { "reason": "" },
                },
            });
            jobs.push(encode(&job)?);
        }
        if jobs.is_empty() {
            return Ok(0);
        }
        let count = jobs.len();
        self.connection.update_all(session, &self.deliveries, updates).await?;
        self.jobs.documents.insert_many(jobs).session(session).await?;
        Ok(count)
    }
}
