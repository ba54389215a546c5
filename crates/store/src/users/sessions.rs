//! Sessions: what a sign-in begins and signing out, another password, a stolen token or time ends.
//!
//! The list of sessions in the user's document decides which are live, so that the one look-up that every request needs tells
//! also whether its session is. A session's own document holds the rest, and the server removes it when its time is over. Every
//! change is one conditional update, and two that belong together are ordered so that dying between them signs nobody in: the
//! document exists before it is listed, and leaves the list before it goes.

use std::fmt;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, doc};
use messages::{SessionId, UserId};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};
use serde_with::serde_as;
use time::OffsetDateTime;

use crate::Error;
use crate::clock::later;
use crate::codec::{BsonDateTime, SessionObjectId, UserObjectId, decode, decode_found, encode, object_id, object_ids};
use crate::indexes::{Wanted, expiring};
use crate::users::document::UserDocument;
use crate::users::{PasswordVersion, Users};

/// Live sessions that a user may have. One more ends the one that was used least recently.
pub const MAX_SESSIONS: usize = 50;

/// SHA-256 of what a refresh token is known by. The token itself is stored nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn bson(self) -> Binary {
        Binary { subtype: BinarySubtype::Generic, bytes: self.0.to_vec() }
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// A live session.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    #[serde(rename = "_id")]
    #[serde_as(as = "SessionObjectId")]
    pub id: SessionId,
    #[serde_as(as = "UserObjectId")]
    pub user: UserId,
    #[serde_as(as = "BsonDateTime")]
    pub created_at: OffsetDateTime,
    /// When the present refresh token was issued.
    #[serde_as(as = "BsonDateTime")]
    pub issued_at: OffsetDateTime,
    /// When the session ends unless it is refreshed.
    #[serde(rename = "expireAt")]
    #[serde_as(as = "BsonDateTime")]
    pub expires_at: OffsetDateTime,
    pub user_agent: String,
    pub address: String,
}

/// A session that begins.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id, from [`crate::new_session_id`].
    pub id: SessionId,
    pub user: UserId,
    /// Its first token, and from whom it was asked for.
    pub renewal: Renewal,
}

/// A refresh token on its way to a client.
#[derive(Debug, Clone)]
pub struct Renewal {
    pub token: TokenHash,
    /// How long it is valid …
    pub lifetime: Duration,
    /// … and at the most how long after the sign-in.
    pub max_age: Duration,
    pub user_agent: String,
    pub address: String,
}

/// What became of a refresh token that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// Its successor has taken its place.
    Rotated(Session),
    /// It was presented a moment ago already; its successor is the present token.
    Repeated(Session),
    /// It was used before. Either this client or the other one has stolen it, so the session has ended.
    Reused,
    Ended,
}

#[derive(Serialize, Deserialize)]
struct SessionDocument {
    #[serde(flatten)]
    session: Session,
    token: Binary,
    /// The token that the present one has replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<Binary>,
}

#[derive(Debug, Clone)]
pub struct Sessions {
    users: Users,
}

impl Sessions {
    pub(crate) fn new(users: &Users) -> Self {
        Self { users: users.clone() }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        vec![(self.users.sessions.clone(), expiring())]
    }

    /// Begins a session for a user whose password was verified. `None`, and nothing is begun, when the user has another
    /// password by now or is gone. After an error nobody knows of the session, if there is one.
    pub async fn begin(&self, new: NewSession, verified: PasswordVersion) -> Result<Option<Session>, Error> {
        let (id, user, now) =
            (object_id(new.id.bytes()), object_id(new.user.bytes()), self.users.connection.now().await?);
        let session = Session {
            id: new.id,
            user: new.user,
            created_at: now.into(),
            issued_at: now.into(),
            expires_at: later(now, new.renewal.lifetime.min(new.renewal.max_age)).into(),
            user_agent: new.renewal.user_agent,
            address: new.renewal.address,
        };
        let document = SessionDocument { session, token: new.renewal.token.bson(), replaced: None };
        self.users.connection.bounded(self.users.sessions.insert_one(encode(&document)?)).await?;
        let filter = doc! { "_id": user, "steep.passwordVersion": verified.bson() };
        // Not $push, which cannot make a list in a field that is null.
        let listed = doc! { "$concatArrays": [{ "$ifNull": ["$steep.sessions", []] }, [id]] };
        let update = vec![doc! { "$set": { "steep.sessions": listed } }];
        let listed = self.users.documents.find_one_and_update(filter, update).projection(doc! { "steep.sessions": 1 });
        let Some(before) = self.users.connection.bounded(listed).await? else {
            self.users.forget_sessions(&[id]).await;
            return Ok(None);
        };
        let before = decode::<UserDocument>("user", &before)?.take_sessions();
        if before.len() >= MAX_SESSIONS
            && let Err(error) = self.tidy(user, before, id).await
        {
            tracing::warn!(user = %new.user, %error, "old sessions of a user stay listed until the next sign-in");
        }
        Ok(Some(document.session))
    }

    /// Takes sessions off a user's list that are over, and those used least recently of too many.
    async fn tidy(&self, user: ObjectId, mut listed: Vec<ObjectId>, newest: ObjectId) -> Result<(), Error> {
        let sessions = self.users.sessions.find(doc! { "_id": { "$in": &listed } }).projection(doc! { "_id": 1 });
        let sessions = sessions.sort(doc! { "issuedAt": -1, "_id": -1 });
        let sessions = self.users.connection.collect(sessions).await?;
        let kept: Vec<ObjectId> = object_ids(&sessions).take(MAX_SESSIONS - 1).collect();
        listed.retain(|session| !kept.contains(session) && *session != newest);
        let update = doc! { "$pull": { "steep.sessions": { "$in": &listed } } };
        self.users.connection.bounded(self.users.documents.update_one(doc! { "_id": user }, update)).await?;
        self.users.forget_sessions(&listed).await;
        Ok(())
    }

    /// Replaces the present refresh token of a session by its successor, unless the one presented is not the present one. The
    /// one before it is answered with the same successor for a `grace` after it was replaced: clients ask twice at once, and
    /// lose answers. An older one ends the session. Of two requests at once one replaces the token and the other repeats.
    ///
    /// After an error it may have been replaced, so the client should present the token once more, within the grace.
    pub async fn rotate(
        &self,
        id: SessionId,
        presented: TokenHash,
        next: Renewal,
        grace: Duration,
    ) -> Result<Rotation, Error> {
        let (session, now) = (object_id(id.bytes()), self.users.connection.now().await?);
        let latest = i64::try_from(next.max_age.as_millis()).unwrap_or(i64::MAX);
        let update = vec![doc! { "$set": {
            "replaced": "$token",
            "token": next.token.bson(),
            "issuedAt": now,
            "expireAt": { "$min": [later(now, next.lifetime), { "$add": ["$createdAt", latest] }] },
            // An update of this kind would take a text that begins with a dollar for a field.
            "userAgent": { "$literal": next.user_agent },
            "address": { "$literal": next.address },
        } }];
        let filter = doc! { "_id": session, "token": presented.bson(), "expireAt": { "$gt": now } };
        let rotated = self.users.sessions.find_one_and_update(filter, update).return_document(ReturnDocument::After);
        let rotated: Option<SessionDocument> = decode_found("session", self.users.connection.bounded(rotated).await?)?;
        if let Some(rotated) = rotated {
            return Ok(Rotation::Rotated(rotated.session));
        }

        let found = self.users.connection.bounded(self.users.sessions.find_one(doc! { "_id": session })).await?;
        let Some(found) = found else { return Ok(Rotation::Ended) };
        let SessionDocument { session, token, replaced } = decode("session", &found)?;
        if session.expires_at <= OffsetDateTime::from(now) || token == presented.bson() {
            return Ok(Rotation::Ended);
        }
        if replaced == Some(presented.bson()) && now < later(session.issued_at.into(), grace) {
            return Ok(Rotation::Repeated(session));
        }
        self.end(session.user, id).await?;
        Ok(Rotation::Reused)
    }

    /// Ends a session of a user. `false` when the user has no such live session.
    pub async fn end(&self, user: UserId, session: SessionId) -> Result<bool, Error> {
        let (user, session) = (object_id(user.bytes()), object_id(session.bytes()));
        let filter = doc! { "_id": user, "steep.sessions": session };
        let update = doc! { "$pull": { "steep.sessions": session } };
        let ended =
            self.users.connection.bounded(self.users.documents.update_one(filter, update)).await?.matched_count == 1;
        if ended {
            self.users.forget_sessions(&[session]).await;
        }
        Ok(ended)
    }

    /// The live sessions of a user, the one used last first.
    pub async fn live(&self, user: UserId) -> Result<Vec<Session>, Error> {
        let Some(mut found) = self.users.find_document(user).await? else { return Ok(Vec::new()) };
        let now = self.users.connection.now().await?;
        let filter = doc! { "_id": { "$in": found.take_sessions() }, "expireAt": { "$gt": now } };
        let sessions = self.users.sessions.find(filter).sort(doc! { "issuedAt": -1, "_id": -1 });
        let sessions = self.users.connection.collect(sessions).await?;
        sessions.iter().map(|session| decode("session", session)).collect()
    }
}

impl Users {
    /// Removes the documents of sessions that are no longer listed. They let nobody in, so a failure is only noted: the server
    /// removes them when their time is over.
    pub(crate) async fn forget_sessions(&self, sessions: &[ObjectId]) {
        if sessions.is_empty() {
            return;
        }
        if let Err(error) =
            self.connection.bounded(self.sessions.delete_many(doc! { "_id": { "$in": sessions } })).await
        {
            tracing::warn!(%error, "the documents of ended sessions stay until they expire");
        }
    }
}
