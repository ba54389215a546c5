//! Users, who are also channels.

mod credentials;
pub(crate) mod document;
mod rate_limits;
mod sessions;
pub(crate) mod username_cache;

use std::fmt;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{AssetId, SessionId, UserId};
use mongodb::options::ReadConcern;
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use crate::codec::{decode, object_id};
use crate::users::document::UserDocument;
use crate::{Error, Field, Role, Store};

pub use credentials::{Credentials, PasswordVersion};
pub use rate_limits::Hits;
pub use sessions::{MAX_SESSIONS, NewSession, Renewal, Rotation, Session, TokenHash};

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

/// A username or email address as it is stored and compared: NFKC and lower case, so that two that look alike because of their
/// width, their ligatures or how their accents are written are one.
pub fn normalised(text: &str) -> String {
    let lower = |text: &str| match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.to_lowercase(),
    };
    match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes if text.is_ascii() => lower(text),
        // Lower case may undo the normal form.
        _ => lower(&text.nfkc().collect::<String>()).nfkc().collect(),
    }
}

/// How a name may be stored that somebody types: as the system that Steep replaces did, which only made it lower case, or as we do.
/// Mostly they are the same, and one.
pub(crate) fn spelled(text: &str) -> Vec<String> {
    let (ours, theirs) = (normalised(text), text.to_lowercase());
    if ours == theirs { vec![ours] } else { vec![theirs, ours] }
}

/// What finds a user by name, in whichever spelling.
pub(crate) fn spellings(text: &str) -> Bson {
    let mut spelled = spelled(text);
    match spelled.len() {
        1 => spelled.remove(0).into(),
        _ => doc! { "$in": spelled }.into(),
    }
}

/// What is read of a user unless somebody signs in.
pub(crate) fn without_secrets() -> Document {
    doc! { "password": 0, "refreshToken": 0, "steep.changes": 0 }
}

/// An adopted one may have anything in its place, and is no reason to show nobody.
fn readable(found: &RawDocument) -> Option<User> {
    match decode::<UserDocument>("user", found) {
        Ok(found) => Some(found.into()),
        Err(cause) => {
            tracing::debug!(%cause, "leaving a malformed user out of a list");
            None
        }
    }
}

impl Store {
    /// The user with an id.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn find_user(&self, id: UserId) -> Result<Option<User>, Error> {
        Ok(self.find_user_document(id).await?.map(User::from))
    }

    /// The users with these ids, of as many as there are and can be read.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn find_users(&self, ids: &[UserId]) -> Result<Vec<User>, Error> {
        let ids: Vec<_> = ids.iter().map(|id| object_id(id.bytes())).collect();
        let query = self.users().find(doc! { "_id": { "$in": ids } });
        let query = query.projection(doc! { "password": 0, "refreshToken": 0, "watchHistory": 0, "steep.changes": 0 });
        let found: Vec<RawDocumentBuf> = self.bounded(async { query.await?.try_collect().await }).await?;
        Ok(found.iter().filter_map(|user| readable(user)).collect())
    }

    /// The user with an id, if a session of theirs is live: one look-up for who is asking and whether they may.
    ///
    /// # Errors
    ///
    /// As [`Store::find_user`].
    pub async fn find_signed_in(&self, id: UserId, session: SessionId) -> Result<Option<User>, Error> {
        let user = self.find_user_document(id).await?;
        Ok(user.filter(|user| user.has_session(session)).map(User::from))
    }

    pub(crate) async fn find_user_document(&self, id: UserId) -> Result<Option<UserDocument>, Error> {
        let found = self.look_up(|reads| &reads.users, object_id(id.bytes())).await?;
        found.map(|user| decode("user", &user)).transpose()
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
            let query = self.users().find_one(doc! { field.as_str(): spellings(value) });
            let query = query.projection(doc! { "_id": 1 }).read_concern(ReadConcern::majority());
            if self.bounded(query).await?.is_some() {
                return Ok(Some(field));
            }
        }
        Ok(None)
    }
}
