//! Events: written in the transaction that makes them true, and kept until they are published and for a while after.

use std::time::Duration;

use bson::{DateTime, Document, RawDocumentBuf, doc};
use messages::{Event, EventId, EventMessage, UserId};
use mongodb::ClientSession;
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use crate::Error;
use crate::clock::later;
use crate::codec::{after, decode, encode, object_id};
use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, expiring, where_present};

/// How long an event is kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Events that have happened.
#[derive(Debug, Clone)]
pub struct Events {
    connection: Connection,
    pub(crate) documents: Documents,
    /// For notes whose loss costs a repetition.
    notes: Documents,
}

#[derive(Deserialize)]
struct EventDocument {
    #[serde(rename = "_id")]
    id: EventId,
    kind: String,
    data: Value,
}

impl Events {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            documents: connection.collection("events"),
            notes: connection.notes("events"),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        // Only unpublished events have dueAt.
        vec![
            (self.documents.clone(), where_present(doc! { "dueAt": 1 }, "dueAt")),
            (self.documents.clone(), expiring()),
        ]
    }

    /// Writes events, which are left to whoever writes them for a while before the relay publishes them. `now`: the server's time.
    pub(crate) async fn insert_all(
        &self,
        session: &mut ClientSession,
        events: &[(EventMessage, Option<UserId>)],
        now: DateTime,
    ) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let due_at = later(now, self.connection.config().publish_grace);
        let mut written = Vec::with_capacity(events.len());
        for (message, owner) in events {
            let data = bson::serialize_to_bson(&message.event.data()).map_err(|cause| Error::Database(cause.into()))?;
            let mut event = doc! {
                "_id": message.id.to_string(),
                "kind": message.event.kind(),
                "data": data,
                "createdAt": now,
                "dueAt": due_at,
                "expireAt": later(now, KEPT),
            };
            if let Some(owner) = owner {
                event.insert("owner", object_id(owner.bytes()));
            }
            written.push(encode(&event)?);
        }
        self.documents.insert_many(written).session(session).await?;
        Ok(())
    }

    /// Takes events that nobody has published in time, the earliest first: other relays leave them to the caller for `hold`.
    /// Publish each, then [`note_published`](crate::Webhooks::note_published). Events of a kind that this version does not know stay for a newer one.
    pub async fn take_unpublished(&self, limit: u32, hold: Duration) -> Result<Vec<EventMessage>, Error> {
        let is_due = doc! { "dueAt": { "$gt": DateTime::MIN }, "$expr": { "$lte": ["$dueAt", "$$NOW"] } };
        let held = doc! { "dueAt": after(hold) };
        let taken = self.connection.take(&self.documents, &self.notes, doc! {}, is_due, limit, held).await?;
        Ok(taken.iter().filter_map(read).collect())
    }

    /// Notes that these events are published. If that is lost they are published a second time, with the same id.
    pub async fn mark_published(&self, ids: &[EventId]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = ids.iter().map(EventId::to_string).collect();
        let published: Document = doc! { "$unset": { "dueAt": "", "hold": "" } };
        self.connection.bounded(self.notes.update_many(doc! { "_id": { "$in": ids } }, published)).await?;
        Ok(())
    }
}

fn read(event: &RawDocumentBuf) -> Option<EventMessage> {
    let read = decode::<EventDocument>("event", event).and_then(|event| {
        let EventDocument { id, kind, data } = event;
        let event = Event::from_parts(&kind, data).map_err(|cause| Error::Corrupt {
            what: "event",
            id: id.to_string(),
            cause: cause.into(),
        })?;
        Ok(EventMessage { id, event })
    });
    read.inspect_err(|cause| warn!(%cause, "leaving an event")).ok()
}
