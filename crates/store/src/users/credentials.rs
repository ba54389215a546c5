//! What a user signs in with, and how that is changed.

use bson::{Bson, Document, doc};
use messages::{SessionId, UserId};
use mongodb::options::ReturnDocument;

use crate::codec::{decode, decode_found, object_id};
use crate::users::document::UserDocument;
use crate::users::{PasswordHash, User, Users, normalised, spellings, taken, without_secrets};
use crate::{Error, Field};

/// Tells one password of a user from the next, whatever its hash looks like: a hash may be replaced while the password stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordVersion(Option<i64>);

impl PasswordVersion {
    /// For a filter. A user whose password was never changed here has no such field, which null finds.
    pub(crate) fn bson(self) -> Bson {
        self.0.map_or(Bson::Null, Bson::Int64)
    }
}

/// A user and what a password is checked against.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub user: User,
    pub hash: PasswordHash,
    /// Which password that is the hash of. What is done because it was verified fails once there is another.
    pub version: PasswordVersion,
}

impl Users {
    /// The user whose email address or username is given. Clients may send one string as both: a matching email address comes
    /// first. It takes as long for somebody who does not exist.
    pub async fn find_for_sign_in(
        &self,
        username: Option<&str>,
        email: Option<&str>,
    ) -> Result<Option<Credentials>, Error> {
        let find = async |field: Field, value: Option<&str>| match value {
            Some(value) => self.find_credentials_by(doc! { field.as_str(): spellings(value) }).await,
            None => Ok(None),
        };
        let (by_email, by_username) = tokio::join!(find(Field::Email, email), find(Field::Username, username));
        Ok(by_email?.or(by_username?))
    }

    /// The user with an id, to check a password that they have typed again.
    pub async fn find_credentials(&self, id: UserId) -> Result<Option<Credentials>, Error> {
        self.find_credentials_by(doc! { "_id": object_id(id.bytes()) }).await
    }

    async fn find_credentials_by(&self, filter: Document) -> Result<Option<Credentials>, Error> {
        let query = self.documents.find_one(filter).projection(doc! { "refreshToken": 0 });
        let user: Option<UserDocument> = decode_found("user", self.connection.bounded(query).await?)?;
        Ok(user.map(|mut user| {
            let hash = user.password.take().unwrap_or_default().into();
            let version = PasswordVersion(user.steep.as_ref().and_then(|steep| steep.password_version));
            Credentials { user: user.into(), hash, version }
        }))
    }

    /// Replaces a password's hash, unless it is no longer the one that was verified: then the answer is `false`.
    pub async fn replace_password_hash(&self, id: UserId, old: &PasswordHash, new: &str) -> Result<bool, Error> {
        let filter = doc! { "_id": object_id(id.bytes()), "password": old.expose() };
        let update = doc! { "$set": { "password": new } };
        Ok(self.connection.bounded(self.documents.update_one(filter, update)).await?.matched_count == 1)
    }

    /// Gives a user another password and ends every session but one, in one update: whoever was signed in with the old password
    /// is signed out at that moment. `false`, and nothing is changed, when the password is no longer the one that was verified
    /// or the session is no longer live.
    pub async fn change_password(
        &self,
        id: UserId,
        session: SessionId,
        verified: PasswordVersion,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        let (user, kept) = (object_id(id.bytes()), object_id(session.bytes()));
        let now = self.connection.now().await?;
        let filter = doc! { "_id": user, "steep.passwordVersion": verified.bson(), "steep.sessions": kept };
        let update = doc! {
            "$set": { "password": new.expose(), "steep.sessions": [kept], "updatedAt": now },
            "$inc": { "steep.passwordVersion": 1_i64 },
        };
        let before = self.documents.find_one_and_update(filter, update).projection(doc! { "steep.sessions": 1 });
        let Some(before) = self.connection.bounded(before).await? else { return Ok(false) };
        let mut ended = decode::<UserDocument>("user", &before)?.take_sessions();
        ended.retain(|session| *session != kept);
        self.forget_sessions(&ended).await;
        Ok(true)
    }

    /// Changes what a user is called, as far as it is given, and answers the user as of now. [`Error::Taken`] when another user
    /// has the email address.
    pub async fn update(&self, id: UserId, full_name: Option<&str>, email: Option<&str>) -> Result<User, Error> {
        let id = object_id(id.bytes());
        let mut changes = doc! { "updatedAt": self.connection.now().await? };
        if let Some(full_name) = full_name {
            changes.insert("fullName", full_name);
        }
        if let Some(email) = email {
            // The index decides; but adopted data may have kept us from making it.
            let others = doc! { "email": spellings(email), "_id": { "$ne": id } };
            if self.connection.bounded(self.documents.find_one(others).projection(doc! { "_id": 1 })).await?.is_some() {
                return Err(Error::Taken { field: Field::Email });
            }
            changes.insert("email", normalised(email));
        }
        let update = self.documents.find_one_and_update(doc! { "_id": id }, doc! { "$set": changes });
        let update = update.projection(without_secrets()).return_document(ReturnDocument::After);
        let updated = self.connection.bounded(async { Ok(update.await.map_err(taken)) }).await??;
        let user: UserDocument = decode("user", &updated.ok_or(Error::NotFound { what: "user" })?)?;
        Ok(user.into())
    }
}
