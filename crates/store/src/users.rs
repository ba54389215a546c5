//! Users, who are also channels.

use std::fmt;

use messages::{AssetId, UserId};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use crate::{Error, Field, Store};

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

impl Store {
    /// The user with an id.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn find_user(&self, _id: UserId) -> Result<Option<User>, Error> {
        todo!()
    }

    /// The user whose email address or username is given, and what to verify the password against. Both are compared in
    /// lower case, and clients may send one string as both: a matching email address comes first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn find_for_login(
        &self,
        _username: Option<&str>,
        _email: Option<&str>,
    ) -> Result<Option<(User, PasswordHash)>, Error> {
        todo!()
    }

    /// Replaces a password's hash, unless it is no longer the one that was verified: then the answer is `false`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn replace_password_hash(&self, _id: UserId, _old: &PasswordHash, _new: &str) -> Result<bool, Error> {
        todo!()
    }

    /// Which of the two another user has already. To answer before a body is read; [`Store::register`] decides.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn taken(&self, _username: &str, _email: &str) -> Result<Option<Field>, Error> {
        todo!()
    }
}
