//! Fanning out: a delivery and its job for each endpoint that wants an event.

use std::collections::HashSet;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{DeliverWebhook, EndpointId, EventId, Job, JobId};
use mongodb::ClientSession;
use serde::Deserialize;

use super::{ANY_EVENT, DeliveryState, KEPT, Webhooks, delivery_id};
use crate::clock::later;
use crate::codec::{decode, encode};
use crate::connection::id;
use crate::{Error, JobRecord};

/// Deliveries that are made in one transaction.
const AT_ONCE: usize = 100;

/// What fanning out needs of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Announced {
    #[serde(rename = "_id")]
    id: EventId,
    kind: String,
    owner: Option<ObjectId>,
    created_at: DateTime,
    expire_at: Option<DateTime>,
}

/// What fanning out needs of an endpoint.
#[derive(Deserialize)]
struct Wanting {
    #[serde(rename = "_id")]
    id: ObjectId,
    /// None: the operator's.
    owner: Option<ObjectId>,
    events: Vec<String>,
    enabled: bool,
}

/// An event for an endpoint.
pub(super) struct Pair<'a> {
    event: &'a Announced,
    endpoint: EndpointId,
    enabled: bool,
}

impl Webhooks {
    /// Notes that events are published, whoever has published them, and before that fans them out to webhooks: what is not noted a relay
    /// publishes again, and then it comes here again, as often as it takes. Answers as [`Webhooks::fan_out`]. If the note is lost they
    /// are published a second time, with the same id.
    pub async fn note_published(&self, events: &[EventId]) -> Result<Vec<JobRecord>, Error> {
        let deliveries = self.fan_out(events).await?;
        self.jobs.events.mark_published(events).await?;
        Ok(deliveries)
    }

    /// Makes the deliveries of events to the endpoints of their owners and of the operator, each with its job, unless that was
    /// done: a second call makes nothing. An endpoint that is disabled gets a delivery that is skipped, by which it can be replayed
    /// later. Answers with the new jobs: publish them; the relay does if nobody else does.
    ///
    /// An error: some may have been made. Call it again.
    pub async fn fan_out(&self, events: &[EventId]) -> Result<Vec<JobRecord>, Error> {
        let mut jobs = Vec::new();
        if events.is_empty() || !self.has_endpoints().await? {
            return Ok(jobs);
        }
        let events = self.announced(events).await?;
        let owners: HashSet<ObjectId> = events.iter().filter_map(|event| event.owner).collect();
        let endpoints = self.wanting(owners.into_iter().collect()).await?;
        let mut pairs = Vec::new();
        for event in &events {
            let wants = |endpoint: &&Wanting| {
                let names = |wanted: &String| *wanted == event.kind || wanted == ANY_EVENT;
                let may_know = endpoint.owner.is_none() || endpoint.owner == event.owner;
                may_know && endpoint.events.iter().any(names)
            };
            pairs.extend(endpoints.iter().filter(wants).map(|endpoint| {
                let (id, enabled) = (EndpointId::from_bytes(endpoint.id.bytes()), endpoint.enabled);
                Pair { event, endpoint: id, enabled }
            }));
        }
        for pairs in pairs.chunks(AT_ONCE) {
            let mut pairs = pairs;
            let made = self.connection.transaction(self, &mut pairs, |webhooks, session, pairs| {
                Box::pin(webhooks.make_deliveries(session, pairs))
            });
            jobs.extend(made.await?);
        }
        Ok(jobs)
    }

    /// Most of the time there is nobody to tell, and one question says so.
    async fn has_endpoints(&self) -> Result<bool, Error> {
        let any = self.endpoints.find_one(doc! {}).projection(doc! { "_id": 1 });
        Ok(self.connection.bounded(any).await?.is_some())
    }

    async fn announced(&self, events: &[EventId]) -> Result<Vec<Announced>, Error> {
        let ids: Vec<String> = events.iter().map(EventId::to_string).collect();
        let query = self.events.find(doc! { "_id": { "$in": ids } });
        let query = query.projection(doc! { "kind": 1, "owner": 1, "createdAt": 1, "expireAt": 1 });
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        found.iter().map(|event| decode("event", event)).collect()
    }

    async fn wanting(&self, owners: Vec<ObjectId>) -> Result<Vec<Wanting>, Error> {
        let holders: Vec<Bson> = owners.into_iter().map(Bson::from).chain([Bson::Null]).collect();
        let query = self.endpoints.find(doc! { "owner": { "$in": holders } });
        let query = query.projection(doc! { "owner": 1, "events": 1, "enabled": 1 });
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        found.iter().map(|endpoint| decode("endpoint", endpoint)).collect()
    }

    async fn make_deliveries(&self, session: &mut ClientSession, pairs: &[Pair<'_>]) -> Result<Vec<JobRecord>, Error> {
        let ids: Vec<Bson> = pairs.iter().map(Pair::id).collect();
        let made = self.deliveries.find(doc! { "_id": { "$in": ids } }).projection(doc! { "_id": 1 });
        let mut made = made.session(&mut *session).await?;
        let made: Vec<RawDocumentBuf> = made.stream(&mut *session).try_collect().await?;
        let made: HashSet<String> =
            made.iter().filter_map(|delivery| Some(id(delivery)?.as_str()?.to_owned())).collect();
        let now = self.connection.now().await?;
        let (mut deliveries, mut jobs, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for pair in pairs.iter().filter(|pair| pair.id().as_str().is_none_or(|id| !made.contains(id))) {
            let job = pair.enabled.then(|| self.new_delivery_job(pair.endpoint, pair.event.id, now));
            deliveries.push(encode(&pair.delivery(job.as_ref(), now))?);
            if let Some(job) = job {
                written.push(encode(&job)?);
                jobs.push(job);
            }
        }
        if !deliveries.is_empty() {
            self.deliveries.insert_many(deliveries).session(&mut *session).await?;
        }
        if !written.is_empty() {
            self.jobs.documents.insert_many(written).session(session).await?;
        }
        Ok(jobs)
    }

    /// A job that sends an event to an endpoint. It is nobody's upload and has no owner, who sees its delivery instead.
    pub(super) fn new_delivery_job(&self, endpoint: EndpointId, event: EventId, now: DateTime) -> JobRecord {
        let job = Job::from(DeliverWebhook { endpoint, event });
        let job = self.jobs.new_job(JobId::new(), &job, None, None, None, now);
        let max_attempts = job.max_attempts.min(Self::MAX_ATTEMPTS);
        JobRecord { max_attempts, ..job }
    }
}

impl Pair<'_> {
    fn id(&self) -> Bson {
        delivery_id(self.endpoint, self.event.id)
    }

    fn delivery(&self, job: Option<&JobRecord>, now: DateTime) -> Document {
        let Announced { id, kind, owner, created_at, expire_at } = self.event;
        let state = if job.is_some() { DeliveryState::Pending } else { DeliveryState::Skipped };
        let mut delivery = doc! {
            "_id": self.id(),
            "endpoint": ObjectId::from_bytes(self.endpoint.bytes()),
            "event": id.to_string(),
            "kind": kind,
            "happenedAt": created_at,
            "state": state.as_str(),
            "attempts": [],
            "updatedAt": now,
            "expireAt": expire_at.unwrap_or_else(|| later(*created_at, KEPT)),
        };
        delivery.extend(owner.map(|owner| ("owner".to_owned(), owner.into())));
        match job {
            Some(job) => delivery.insert("job", job.id.to_string()),
            None => delivery.insert("reason", "the endpoint was disabled"),
        };
        delivery
    }
}
