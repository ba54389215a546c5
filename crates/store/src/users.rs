//! Users, who are also channels.

use std::fmt;

use bson::{Document, doc};
use messages::{AssetId, UserId};
use mongodb::options::ReadConcern;
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use crate::documents::{UserDocument, decode, object_id};
use crate::{Error, Field, Role, Store};

/// A user, without password and tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id, which is the channel's id too.
    pub id: UserId,
    /// Unique, lower case.
    pub username: String,
    /// Unique, lower case.
    pub email: String,
    /// As the user wrote it.
    pub full_name: String,
    /// The avatar.
    pub avatar: Image,
    /// The cover image.
    pub cover_image: Image,
    /// Ids of watched videos, 24 hexadecimal digits each.
    pub watch_history: Vec<String>,
    /// When the user registered. The Unix epoch for an adopted user without that field.
    pub created_at: OffsetDateTime,
    /// When the user last changed.
    pub updated_at: OffsetDateTime,
}

/// An image of a user: what is shown, and what is on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// The last one that is ready. Empty when there is none.
    pub url: String,
    /// A newer upload that is accepted and not yet ready. It is shown from the spool meanwhile.
    pub pending: Option<AssetId>,
}

/// The hash of a password in any of the forms we verify. Empty for an adopted user without one.
#[derive(Clone)]
pub struct PasswordHash(SecretString);

impl PasswordHash {
    /// The hash as text.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for PasswordHash {
    fn from(hash: String) -> Self {
        Self(hash.into())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl User {
    /// The user with an upload that became the newest in a role at a time.
    pub(crate) fn with_pending(mut self, role: Role, asset: AssetId, at: OffsetDateTime) -> Self {
        self.updated_at = at;
        match role {
            Role::Avatar => self.avatar.pending = Some(asset),
            Role::CoverImage => self.cover_image.pending = Some(asset),
            Role::Media => {}
        }
        self
    }
}

/// What is read of a user unless somebody signs in.
pub(crate) fn without_secrets() -> Document {
    doc! { "password": 0, "refreshToken": 0 }
}

impl Store {
    /// The user with an id.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn find_user(&self, id: UserId) -> Result<Option<User>, Error> {
        let filter = doc! { "_id": object_id(id.bytes()) };
        let Some(user) = self.bounded(self.users().find_one(filter).projection(without_secrets())).await? else {
            return Ok(None);
        };
        let user: UserDocument = decode("user", &user)?;
        Ok(Some(user.into()))
    }

    /// The user whose email address or username is given, and what to verify the password against. Both are compared in
    /// lower case, and clients may send one string as both: a matching email address comes first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn find_for_login(
        &self,
        username: Option<&str>,
        email: Option<&str>,
    ) -> Result<Option<(User, PasswordHash)>, Error> {
        for (field, value) in [(Field::Email, email), (Field::Username, username)] {
            let Some(value) = value else { continue };
            let filter = doc! { field.as_str(): value.to_lowercase() };
            if let Some(user) = self.bounded(self.users().find_one(filter)).await? {
                let mut user: UserDocument = decode("user", &user)?;
                let hash = PasswordHash::from(user.password.take().unwrap_or_default());
                return Ok(Some((user.into(), hash)));
            }
        }
        Ok(None)
    }

    /// Replaces a password's hash, unless it is no longer the one that was verified: then the answer is `false`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn replace_password_hash(&self, id: UserId, old: &PasswordHash, new: &str) -> Result<bool, Error> {
        let filter = doc! { "_id": object_id(id.bytes()), "password": old.expose() };
        let update = doc! { "$set": { "password": new } };
        Ok(self.bounded(self.users().update_one(filter, update)).await?.matched_count == 1)
    }

    /// Which of the two another user has already. To answer before a body is read; [`Store::register`] decides.
    ///
    /// Sees what [`Store::find_answer`] sees, or a repetition would be refused while its first answer is a moment away from
    /// having its majority.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn taken(&self, username: &str, email: &str) -> Result<Option<Field>, Error> {
        for (field, value) in [(Field::Username, username), (Field::Email, email)] {
            let query = self.users().find_one(doc! { field.as_str(): value.to_lowercase() });
            let query = query.projection(doc! { "_id": 1 }).read_concern(ReadConcern::majority());
            if self.bounded(query).await?.is_some() {
                return Ok(Some(field));
            }
        }
        Ok(None)
    }
}
