//! What a worker needs to send an event, and what became of that.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use messages::{DeliverWebhook, EndpointId, EventId, Payload};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use serde_with::serde_as;
use time::OffsetDateTime;

use super::{DeliveryState, Webhooks, delivery_id};
use crate::clock::earlier;
use crate::codec::{BsonDateTime, decode_found, milliseconds, object_id};
use crate::jobs::Settle;
use crate::{Discard, DiscardCode, End, Error};

/// An endpoint is disabled when a delivery has failed for good and nothing has succeeded for so long.
const DISABLED_AFTER: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// Attempts of a delivery that are kept.
const ATTEMPTS_KEPT: i32 = 60;
/// How exactly the last success is known: a busy endpoint is not written to with every request.
const SUCCESS_NOTED_EVERY: Duration = Duration::from_secs(60);

/// What is sent.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HappenedEvent {
    pub kind: String,
    pub data: Value,
    /// When it happened.
    #[serde(rename = "createdAt")]
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
}

/// To whom.
#[derive(Debug, Clone)]
pub struct Recipient {
    pub url: String,
    pub enabled: bool,
    /// The present one first. After a rotation the one before it signs too, for a day.
    pub secrets: Vec<SecretString>,
}

#[derive(Deserialize)]
struct RecipientDocument {
    url: String,
    enabled: bool,
    secret: SecretString,
    previous: Option<Previous>,
}

#[derive(Deserialize)]
struct Previous {
    secret: SecretString,
    until: DateTime,
}

/// What became of one request.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What was wrong, in a word; nothing if nothing was.
    pub error: Option<&'static str>,
    pub took: Duration,
}

impl Webhooks {
    /// Where to send to. `None`: the endpoint is gone.
    pub async fn recipient(&self, endpoint: EndpointId) -> Result<Option<Recipient>, Error> {
        let query = self.endpoints.find_one(doc! { "_id": object_id(endpoint.bytes()) });
        let query = query.projection(doc! { "url": 1, "enabled": 1, "secret": 1, "previous": 1 });
        let found: Option<RecipientDocument> = decode_found("endpoint", self.connection.bounded(query).await?)?;
        let Some(RecipientDocument { url, enabled, secret, previous }) = found else { return Ok(None) };
        let now = self.connection.now().await?;
        let previous = previous.filter(|previous| previous.until > now).map(|previous| previous.secret);
        Ok(Some(Recipient { url, enabled, secrets: [secret].into_iter().chain(previous).collect() }))
    }

    /// What to send. `None`: it is no longer kept.
    pub async fn happened(&self, event: EventId) -> Result<Option<HappenedEvent>, Error> {
        let query = self.events.find_one(doc! { "_id": event.to_string() });
        let query = query.projection(doc! { "kind": 1, "data": 1, "createdAt": 1 });
        decode_found("event", self.connection.bounded(query).await?)
    }

    /// Notes an attempt in the log of its delivery, and at its endpoint how it is. By itself, beside what becomes of the job: an
    /// attempt that is not noted, or that ends without a record, costs a line of the log.
    pub async fn note(&self, endpoint: EndpointId, event: EventId, tried: &Tried) -> Result<(), Error> {
        let now = self.connection.now().await?;
        let mut attempt = doc! { "at": now, "tookMs": milliseconds(tried.took) };
        attempt.extend(tried.status.map(|status| ("status".to_owned(), i32::from(status).into())));
        attempt.extend(tried.error.map(|error| ("error".to_owned(), error.into())));
        let noted = doc! {
            "$push": { "attempts": { "$each": [attempt], "$slice": -ATTEMPTS_KEPT } },
            "$set": { "updatedAt": now },
        };
        let delivery = doc! { "_id": delivery_id(endpoint, event) };
        self.connection.bounded(self.deliveries.update_one(delivery, noted)).await?;
        let id = object_id(endpoint.bytes());
        let (filter, update) = if tried.error.is_none() {
            let long_ago = earlier(now, SUCCESS_NOTED_EVERY);
            let is_news = doc! { "_id": id, "$or": [
                { "failingSince": { "$exists": true } },
                { "lastSuccessAt": { "$exists": false } },
                { "lastSuccessAt": { "$lt": long_ago } },
            ] };
            (is_news, doc! { "$set": { "lastSuccessAt": now }, "$unset": { "failingSince": "" } })
        } else {
            let is_news = doc! { "_id": id, "failingSince": { "$exists": false } };
            (is_news, doc! { "$set": { "failingSince": now } })
        };
        self.connection.bounded(self.endpoints.update_one(filter, update)).await?;
        Ok(())
    }

    /// Marks a delivery whose endpoint has taken it.
    pub async fn delivered(&self, settle: &mut Settle<'_>, endpoint: EndpointId, event: EventId) -> Result<(), Error> {
        self.end(settle, endpoint, event, DeliveryState::Delivered, None).await
    }

    /// What it means that the job of a delivery is discarded.
    pub async fn discard_delivery(&self, settle: &mut Settle<'_>, discard: &Discard) -> Result<End, Error> {
        if let Ok(DeliverWebhook { endpoint, event }) = DeliverWebhook::from_data(settle.job().data.clone()) {
            let reason = match discard.code {
                DiscardCode::TooManyFailures => "every attempt within about a day has failed",
                _ => discard.reason.as_str(),
            };
            self.failed(settle, endpoint, event, reason).await?;
        }
        Ok(End::Discarded(discard.clone()))
    }

    /// Marks a delivery that is not tried any more. If nothing has reached the endpoint for days, it is disabled.
    pub async fn failed(
        &self,
        settle: &mut Settle<'_>,
        endpoint: EndpointId,
        event: EventId,
        reason: &str,
    ) -> Result<(), Error> {
        self.end(settle, endpoint, event, DeliveryState::Failed, Some(reason)).await?;
        let since = earlier(settle.now(), DISABLED_AFTER);
        let is_hopeless = doc! { "failingSince": { "$lte": since } };
        self.disable(settle, endpoint, is_hopeless, "failing", "nothing that was sent to it has arrived for five days")
            .await
    }

    /// Marks a delivery whose endpoint says that it is gone, and disables the endpoint unless it has another address than that by now.
    pub async fn gone(
        &self,
        settle: &mut Settle<'_>,
        endpoint: EndpointId,
        event: EventId,
        url: &str,
    ) -> Result<(), Error> {
        const REASON: &str = "it has answered 410 Gone";
        self.end(settle, endpoint, event, DeliveryState::Failed, Some(REASON)).await?;
        self.disable(settle, endpoint, doc! { "url": url }, "gone", REASON).await
    }

    /// Marks a delivery that is not sent.
    pub async fn skipped(
        &self,
        settle: &mut Settle<'_>,
        endpoint: EndpointId,
        event: EventId,
        reason: &str,
    ) -> Result<(), Error> {
        self.end(settle, endpoint, event, DeliveryState::Skipped, Some(reason)).await
    }

    /// That of a removed endpoint is not there any more.
    async fn end(
        &self,
        settle: &mut Settle<'_>,
        endpoint: EndpointId,
        event: EventId,
        state: DeliveryState,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let mut set = doc! { "state": state.as_str(), "updatedAt": settle.now() };
        let update = match reason {
            Some(reason) => {
                set.insert("reason", reason);
                doc! { "$set": set }
            }
            None => doc! { "$set": set, "$unset": { "reason": "" } },
        };
        let delivery = doc! { "_id": delivery_id(endpoint, event) };
        settle.update(&self.deliveries, delivery, update, doc! { "_id": 1 }).await?;
        Ok(())
    }

    async fn disable(
        &self,
        settle: &mut Settle<'_>,
        endpoint: EndpointId,
        if_so: Document,
        code: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let mut filter = doc! { "_id": object_id(endpoint.bytes()), "enabled": true };
        filter.extend(if_so);
        let disabled = doc! { "at": settle.now(), "code": code, "reason": reason };
        let update = doc! { "$set": { "enabled": false, "disabled": disabled, "updatedAt": settle.now() } };
        settle.update(&self.endpoints, filter, update, doc! { "_id": 1 }).await?;
        Ok(())
    }
}
