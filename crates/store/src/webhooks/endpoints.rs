//! Endpoints: what users register, change and remove, and the operator too.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use messages::{EndpointId, UserId};
use mongodb::options::ReturnDocument;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use super::Webhooks;
use crate::Error;
use crate::codec::{BsonDateTime, EndpointObjectId, UserObjectId, after, decode, decode_found, encode, object_id};
use crate::error::duplicate_key;

/// Endpoints that a user may have, and the operator.
pub const MAX_ENDPOINTS: usize = 10;
/// Stands for every kind of event in the list of an endpoint.
pub const ANY_EVENT: &str = "*";
/// For how long the secret before the present one still signs.
const BOTH_SECRETS: Duration = Duration::from_secs(24 * 60 * 60);

/// Whose an endpoint is, and whose events it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A user, and their own events.
    User(UserId),
    /// Whoever runs the system, and everybody's events.
    Operator,
}

impl Holder {
    /// As it stands in filters, where nothing is also found as nothing.
    fn bson(self) -> Bson {
        match self {
            Self::User(user) => object_id(user.bytes()).into(),
            Self::Operator => Bson::Null,
        }
    }
}

/// An address to which somebody has events sent. Its secrets are never in it.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    #[serde(rename = "_id")]
    #[serde_as(as = "EndpointObjectId")]
    pub id: EndpointId,
    /// Whose it is; nobody's if it is the operator's.
    #[serde_as(as = "Option<UserObjectId>")]
    #[serde(default)]
    pub owner: Option<UserId>,
    pub url: String,
    /// Kinds of events, or [`ANY_EVENT`].
    pub events: Vec<String>,
    #[serde(default)]
    pub description: String,
    /// Whether anything is sent to it.
    pub enabled: bool,
    /// Why we have disabled it. Nothing if its owner has.
    pub disabled: Option<Disabled>,
    /// Since when every attempt has failed; nothing while the last one has succeeded.
    #[serde_as(as = "Option<BsonDateTime>")]
    pub failing_since: Option<OffsetDateTime>,
    /// When an attempt has last succeeded, or up to a minute before that.
    #[serde_as(as = "Option<BsonDateTime>")]
    pub last_success_at: Option<OffsetDateTime>,
    #[serde_as(as = "BsonDateTime")]
    pub created_at: OffsetDateTime,
    #[serde_as(as = "BsonDateTime")]
    pub updated_at: OffsetDateTime,
}

/// That we have disabled an endpoint.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disabled {
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
    /// For programs: `failing` or `gone`.
    pub code: String,
    /// For its owner.
    pub reason: String,
}

/// An endpoint to be registered.
#[derive(Debug)]
pub struct NewEndpoint {
    pub holder: Holder,
    /// Judged by the caller.
    pub url: String,
    pub events: Vec<String>,
    pub description: String,
    pub secret: SecretString,
}

/// What is to change of an endpoint; nothing stays.
#[derive(Debug, Default)]
pub struct EndpointChanges {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub description: Option<String>,
    /// `true` also forgets that it has failed.
    pub enabled: Option<bool>,
}

/// The last endpoint of a part of the list of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointPosition {
    /// To the millisecond.
    pub created_at: OffsetDateTime,
    pub id: EndpointId,
}

/// A part of the list of all endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPage {
    /// Newest first.
    pub items: Vec<Endpoint>,
    /// Where the next part begins, if there is more.
    pub next: Option<EndpointPosition>,
}

/// What is not read where nothing is signed.
fn without_secrets() -> Document {
    doc! { "secret": 0, "previous": 0 }
}

impl Webhooks {
    /// Registers an endpoint. `None`: there are [`MAX_ENDPOINTS`] of its holder already. A second call registers another one.
    pub async fn register(&self, new: NewEndpoint) -> Result<Option<Endpoint>, Error> {
        let now = self.connection.now().await?;
        // Others who register at the same time may take a place before us, each of them once.
        for _ in 0..=MAX_ENDPOINTS {
            let Some(slot) = self.free_slot(new.holder).await? else { return Ok(None) };
            let mut endpoint = doc! {
                "_id": ObjectId::new(),
                "slot": slot,
                "url": &new.url,
                "events": &new.events,
                "description": &new.description,
                "enabled": true,
                "secret": new.secret.expose_secret(),
                "createdAt": now,
                "updatedAt": now,
            };
            if let Holder::User(owner) = new.holder {
                endpoint.insert("owner", object_id(owner.bytes()));
            }
            let endpoint = encode(&endpoint)?;
            match self.connection.bounded(self.endpoints.insert_one(&endpoint)).await {
                Ok(_) => return decode("endpoint", &endpoint).map(Some),
                Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable("too many register endpoints at the same time".into()))
    }

    /// The first place that none of somebody's endpoints has.
    async fn free_slot(&self, holder: Holder) -> Result<Option<i32>, Error> {
        let taken = self.endpoints.find(doc! { "owner": holder.bson() }).projection(doc! { "_id": 0, "slot": 1 });
        let taken: Vec<RawDocumentBuf> = self.connection.collect(taken).await?;
        let taken: BTreeSet<i32> = taken.iter().filter_map(|endpoint| endpoint.get_i32("slot").ok()).collect();
        Ok((0..).take(MAX_ENDPOINTS).find(|slot| !taken.contains(slot)))
    }

    /// Somebody's endpoints, the oldest first.
    pub async fn endpoints_of(&self, holder: Holder) -> Result<Vec<Endpoint>, Error> {
        let query = self.endpoints.find(doc! { "owner": holder.bson() });
        let query = query.projection(without_secrets()).sort(doc! { "_id": 1 });
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        found.iter().map(|endpoint| decode("endpoint", endpoint)).collect()
    }

    /// Everybody's endpoints, newest first, at most `limit`; those `after` [`EndpointPage::next`] of the part before. By an index.
    pub async fn all_endpoints(&self, after: Option<EndpointPosition>, limit: u32) -> Result<EndpointPage, Error> {
        let filter = after.map_or_else(Document::new, |EndpointPosition { created_at, id }| {
            let (at, id) = (bson::DateTime::from(created_at), object_id(id.bytes()));
            doc! { "createdAt": { "$lte": at }, "$nor": [{ "createdAt": at, "_id": { "$gte": id } }] }
        });
        let limit = limit.max(1);
        let query = self.endpoints.find(filter).projection(without_secrets()).sort(doc! { "createdAt": -1, "_id": -1 });
        let found: Vec<RawDocumentBuf> = self.connection.collect(query.limit(i64::from(limit) + 1)).await?;
        let mut items: Vec<Endpoint> =
            found.iter().map(|endpoint| decode("endpoint", endpoint)).collect::<Result<_, _>>()?;
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| has_more);
        let next = next.map(|last| EndpointPosition { created_at: last.created_at, id: last.id });
        Ok(EndpointPage { items, next })
    }

    /// An endpoint, if it is theirs.
    pub async fn endpoint(&self, holder: Holder, id: EndpointId) -> Result<Option<Endpoint>, Error> {
        let query = self.endpoints.find_one(own(holder, id)).projection(without_secrets());
        decode_found("endpoint", self.connection.bounded(query).await?)
    }

    /// Changes an endpoint. `None`: they have none such.
    pub async fn change(
        &self,
        holder: Holder,
        id: EndpointId,
        changes: EndpointChanges,
    ) -> Result<Option<Endpoint>, Error> {
        let EndpointChanges { url, events, description, enabled } = changes;
        let (mut set, mut unset) = (doc! { "updatedAt": self.connection.now().await? }, Document::new());
        set.extend(url.map(|url| ("url".to_owned(), url.into())));
        set.extend(events.map(|events| ("events".to_owned(), events.into())));
        set.extend(description.map(|description| ("description".to_owned(), description.into())));
        if let Some(enabled) = enabled {
            set.insert("enabled", enabled);
            unset.insert("disabled", "");
            if enabled {
                unset.insert("failingSince", "");
            }
        }
        let mut update = doc! { "$set": set };
        if !unset.is_empty() {
            update.insert("$unset", unset);
        }
        let changing = self.endpoints.find_one_and_update(own(holder, id), update);
        self.changed(changing.projection(without_secrets()).return_document(ReturnDocument::After)).await
    }

    /// Gives an endpoint another secret. For a day the one before it signs as well, and the one before that no more. `None`: they
    /// have no such endpoint. A second call replaces the secret once more.
    pub async fn rotate(
        &self,
        holder: Holder,
        id: EndpointId,
        secret: &SecretString,
    ) -> Result<Option<Endpoint>, Error> {
        let update = vec![doc! { "$set": {
            "previous": { "secret": "$secret", "until": after(BOTH_SECRETS) },
            "secret": { "$literal": secret.expose_secret() },
            "updatedAt": "$$NOW",
        } }];
        let changing = self.endpoints.find_one_and_update(own(holder, id), update);
        self.changed(changing.projection(without_secrets()).return_document(ReturnDocument::After)).await
    }

    async fn changed(
        &self,
        changing: impl IntoFuture<Output = mongodb::error::Result<Option<RawDocumentBuf>>>,
    ) -> Result<Option<Endpoint>, Error> {
        decode_found("endpoint", self.connection.bounded(changing).await?)
    }

    /// Removes an endpoint with its deliveries: what of them still waits ends without being sent. `false`: they have none such.
    pub async fn remove(&self, holder: Holder, id: EndpointId) -> Result<bool, Error> {
        if self.connection.bounded(self.endpoints.delete_one(own(holder, id))).await?.deleted_count == 0 {
            return Ok(false);
        }
        let deliveries = self.deliveries.delete_many(doc! { "endpoint": object_id(id.bytes()) });
        if let Err(cause) = self.connection.bounded(deliveries).await {
            // Nobody sees them, and the server removes them when their time is over.
            tracing::debug!(%cause, endpoint = %id, "deliveries of a removed endpoint are left to expire");
        }
        Ok(true)
    }
}

fn own(holder: Holder, id: EndpointId) -> Document {
    doc! { "_id": object_id(id.bytes()), "owner": holder.bson() }
}
