//! Users, who are also channels.

mod admins;
mod credentials;
pub(crate) mod document;
mod rate_limits;
mod registration;
mod sessions;

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use messages::{AssetId, SessionId, UserId};
use mongodb::options::ReadConcern;
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use unicode_normalization::UnicodeNormalization;

use crate::batching::{BatchedReads, Brings, Lookup, one_of};
use crate::codec::{decode_entry, decode_found, object_id, object_ids};
use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, unique, where_present};
use crate::users::document::UserDocument;
use crate::{Error, Field};

pub use admins::{Admin, AdminRole};
pub use credentials::{Credentials, PasswordVersion};
pub use rate_limits::{Hits, RateLimits};
pub use registration::NewUser;
pub(crate) use registration::taken;
pub use sessions::{MAX_SESSIONS, NewSession, Renewal, Rotation, Session, Sessions, TokenHash};

/// The most that a stored hash of bcrypt may cost, 2^13 rounds: half a second. One that costs more is no password's.
pub const MAX_BCRYPT_COST: u32 = 13;

/// A user, without password and tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id, which is the channel's id too.
    pub id: UserId,
    /// Unique, [`normalised`].
    pub username: String,
    /// Unique, [`normalised`].
    pub email: String,
    /// As the user wrote it.
    pub full_name: String,
    pub avatar: Image,
    pub cover_image: Image,
    /// Ids of watched videos, 24 hexadecimal digits each.
    pub watch_history: Vec<String>,
    /// Whether they may see and steer what is everybody's.
    pub admin: Option<AdminRole>,
    /// When the user registered. The Unix epoch for an adopted user without that field.
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// An image of a user: what is shown, and what is on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// The last one that is ready. Empty when there is none.
    pub url: String,
    /// A newer upload that is accepted and not yet ready. It is shown from the spool meanwhile.
    pub pending: Option<AssetId>,
    /// What the pending one is, as in a `Content-Type` header. None if a version before this one accepted it.
    pub content_type: Option<String>,
    /// Why the newest upload is not shown, if it failed. Rare, so that it does not make every user larger.
    pub failed: Option<Box<Failure>>,
}

/// Why an upload failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the owner to act on.
    pub reason: String,
    /// For programs, as in [`DiscardCode`](crate::DiscardCode).
    pub code: String,
}

/// The hash of a password in any of the forms we verify. Empty for an adopted user without one.
#[derive(Debug, Clone)]
pub struct PasswordHash(SecretString);

impl PasswordHash {
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for PasswordHash {
    fn from(hash: String) -> Self {
        Self(hash.into())
    }
}

/// A username or email address as it is stored and compared: NFKC and lower case, so that two that look alike because of their
/// width, their ligatures or how their accents are written are one.
pub fn normalised(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Lower case may undo the normal form.
    text.nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

/// How a typed name may be stored: as chai-backend does, which only lowers its case, or as we do.
/// Mostly they are the same, and one.
pub(crate) fn spelled(text: &str) -> Vec<String> {
    let (ours, theirs) = (normalised(text), text.to_lowercase());
    if ours == theirs { vec![ours] } else { vec![theirs, ours] }
}

/// What finds a user by name, in whichever spelling.
pub(crate) fn spellings(text: &str) -> Bson {
    one_of(spelled(text).into_iter())
}

/// What is read of a user unless somebody signs in.
pub(crate) fn without_secrets() -> Document {
    doc! { "password": 0, "refreshToken": 0, "steep.changes": 0 }
}

#[derive(Debug, Clone)]
pub struct Users {
    pub(crate) connection: Connection,
    pub(crate) documents: Documents,
    /// Of sessions that a user's document lists.
    sessions: Documents,
    /// Without secrets.
    by_id: BatchedReads<ObjectId>,
}

impl Users {
    pub(crate) fn new(connection: &Connection) -> Self {
        let documents = connection.collection("users");
        Self {
            connection: connection.clone(),
            sessions: connection.collection("sessions"),
            by_id: BatchedReads::start(connection, by_id(&documents, without_secrets)),
            documents,
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        // Named as chai-backend's, so that its own indexes count.
        let admins = where_present(doc! { "steep.admin": 1 }, "steep.admin");
        let indexes = [unique(doc! { "username": 1 }), unique(doc! { "email": 1 }), admins];
        indexes.map(|index| (self.documents.clone(), index)).into()
    }

    pub async fn find(&self, id: UserId) -> Result<Option<User>, Error> {
        Ok(self.find_document(id).await?.map(User::from))
    }

    /// The users with these ids, of as many as there are and can be read.
    pub async fn find_all(&self, ids: &[UserId]) -> Result<Vec<User>, Error> {
        let ids: Vec<_> = ids.iter().map(|id| object_id(id.bytes())).collect();
        let query = self.documents.find(doc! { "_id": { "$in": ids } });
        let query = query.projection(doc! { "password": 0, "refreshToken": 0, "watchHistory": 0, "steep.changes": 0 });
        let found = self.connection.collect(query).await?;
        let users = found.iter().filter_map(|user| decode_entry::<UserDocument>("user", user));
        Ok(users.map(User::from).collect())
    }

    /// The user with an id, if a session of theirs is live: one look-up for who is asking and whether they may.
    pub async fn signed_in(&self, id: UserId, session: SessionId) -> Result<Option<User>, Error> {
        let Some(mut user) = self.find_document(id).await? else { return Ok(None) };
        let is_live = user.take_sessions().contains(&object_id(session.bytes()));
        Ok(is_live.then(|| user.into()))
    }

    pub(crate) async fn find_document(&self, id: UserId) -> Result<Option<UserDocument>, Error> {
        decode_found("user", self.by_id.one(object_id(id.bytes())).await?)
    }

    /// Which of the two another user has already. To answer before a body is read; [`Media::register`](crate::Media::register) decides.
    ///
    /// Sees what [`Idempotency::find`](crate::Idempotency::find) sees, or a repetition would be refused while its first answer is a moment away from
    /// having its majority.
    pub async fn taken(&self, username: &str, email: &str) -> Result<Option<Field>, Error> {
        for (field, value) in [(Field::Username, username), (Field::Email, email)] {
            let query = self.documents.find_one(doc! { field.as_str(): spellings(value) });
            let query = query.projection(doc! { "_id": 1 }).read_concern(ReadConcern::majority());
            if self.connection.bounded(query).await?.is_some() {
                return Ok(Some(field));
            }
        }
        Ok(None)
    }

    pub async fn exists(&self, id: UserId) -> Result<bool, Error> {
        let query = self.documents.find_one(doc! { "_id": object_id(id.bytes()) }).projection(doc! { "_id": 1 });
        Ok(self.connection.bounded(query).await?.is_some())
    }

    /// Users in the order of their ids, those after one.
    pub(crate) async fn in_order(
        &self,
        mut filter: Document,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, Error> {
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": object_id(after.bytes()) });
        }
        let query = self.documents.find(filter).sort(doc! { "_id": 1 }).limit(i64::from(limit));
        let found = self.connection.collect(query.projection(doc! { "_id": 1 })).await?;
        Ok(object_ids(&found).map(|id| UserId::from_bytes(id.bytes())).collect())
    }

    /// The user of a username, in whichever spelling.
    pub async fn by_name(&self, username: &str) -> Result<Option<UserId>, Error> {
        let query = self.documents.find_one(doc! { "username": spellings(username) }).projection(doc! { "_id": 1 });
        let found = self.connection.bounded(query).await?.and_then(|user| user.get_object_id("_id").ok());
        Ok(found.map(|id| UserId::from_bytes(id.bytes())))
    }

    /// About how many users there are.
    pub async fn estimated_count(&self) -> Result<u64, Error> {
        self.connection.bounded(self.documents.estimated_document_count()).await
    }
}

/// How users are looked up by their ids.
pub(crate) fn by_id(documents: &Documents, projection: fn() -> Document) -> Lookup<ObjectId> {
    Lookup {
        documents: documents.clone(),
        filter: |ids| doc! { "_id": one_of(ids.iter().copied()) },
        brings: Brings::Documents(projection),
        key: |user| user.get_object_id("_id").ok(),
    }
}
