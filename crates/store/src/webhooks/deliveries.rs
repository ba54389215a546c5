//! Deliveries: the log of what was sent to an endpoint.

use bson::{Bson, RawDocumentBuf, doc};
use messages::{EndpointId, EventId, JobId, UserId};
use serde::{Deserialize, Serialize};
use serde_with::serde_as;
use time::OffsetDateTime;

use super::{Holder, Webhooks, delivery_id};
use crate::Error;
use crate::codec::{BsonDateTime, EndpointObjectId, decode, decode_found};

/// Where a delivery stands. The names are permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It waits for its first or next attempt.
    Pending,
    /// The endpoint has answered with a 2xx.
    Delivered,
    /// Every attempt has failed, or the endpoint has said that it is gone.
    Failed,
    /// Nothing is sent any more, or never was: the endpoint was disabled, or the event is no longer kept.
    Skipped,
}

impl DeliveryState {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Skipped];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One event for one endpoint.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    #[serde_as(as = "EndpointObjectId")]
    pub endpoint: EndpointId,
    pub event: EventId,
    /// The kind of the event.
    pub kind: String,
    /// When it happened.
    #[serde_as(as = "BsonDateTime")]
    pub happened_at: OffsetDateTime,
    pub state: DeliveryState,
    /// Why it has failed or was skipped.
    pub reason: Option<String>,
    /// The job that sends it, or was the last to do so.
    pub job: Option<JobId>,
    /// The latest attempts, the oldest first; those of replays are among them.
    #[serde(default)]
    pub attempts: Vec<DeliveryAttempt>,
    #[serde_as(as = "BsonDateTime")]
    pub updated_at: OffsetDateTime,
}

/// One request to an endpoint.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryAttempt {
    /// When it ended.
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What was wrong, in a word; nothing of one that succeeded.
    pub error: Option<String>,
    /// Milliseconds.
    pub took_ms: u64,
}

/// A part of the deliveries to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    pub items: Vec<Delivery>,
    /// Where the next part begins, if there is one.
    pub next: Option<EventId>,
}

impl Webhooks {
    /// The deliveries to an endpoint, newest events first, those that follow one of them.
    pub async fn deliveries(
        &self,
        endpoint: EndpointId,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<DeliveryPage, Error> {
        // `;` is what follows `:`.
        let end = after.map_or_else(|| format!("{endpoint};").into(), |event| delivery_id(endpoint, event));
        let range = doc! { "_id": { "$gt": format!("{endpoint}:"), "$lt": end } };
        let query = self.deliveries.find(range).sort(doc! { "_id": -1 }).limit(i64::from(limit) + 1);
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        let mut items: Vec<Delivery> =
            found.iter().map(|delivery| decode("delivery", delivery)).collect::<Result<_, _>>()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().map(|delivery| delivery.event).filter(|_| has_more);
        Ok(DeliveryPage { items, next })
    }

    /// What became of events at the endpoints that there are: their owner's and the operator's. In no order.
    pub async fn deliveries_of(&self, owner: Option<UserId>, events: &[EventId]) -> Result<Vec<Delivery>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut endpoints = self.endpoints_of(Holder::Operator).await?;
        if let Some(owner) = owner {
            endpoints.extend(self.endpoints_of(Holder::User(owner)).await?);
        }
        let of_one = |endpoint: EndpointId| events.iter().map(move |event| delivery_id(endpoint, *event));
        let ids: Vec<Bson> = endpoints.iter().flat_map(|endpoint| of_one(endpoint.id)).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<RawDocumentBuf> =
            self.connection.collect(self.deliveries.find(doc! { "_id": { "$in": ids } })).await?;
        found.iter().map(|delivery| decode("delivery", delivery)).collect()
    }

    /// The delivery of an event to an endpoint.
    pub async fn delivery(&self, endpoint: EndpointId, event: EventId) -> Result<Option<Delivery>, Error> {
        let query = self.deliveries.find_one(doc! { "_id": delivery_id(endpoint, event) });
        decode_found("delivery", self.connection.bounded(query).await?)
    }
}
