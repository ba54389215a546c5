//! Registering a user.

use bson::{DateTime, Document, RawDocumentBuf, doc};
use messages::UserId;

use super::{PasswordHash, normalised};
use crate::codec::{encode, object_id};
use crate::error::duplicate_key;
use crate::{Error, Field};

/// Somebody who registers.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The user's id, from [`crate::new_user_id`].
    pub id: UserId,
    /// Stored [`normalised`].
    pub username: String,
    /// Stored [`normalised`].
    pub email: String,
    /// As the user wrote it.
    pub full_name: String,
    pub password_hash: PasswordHash,
}

impl NewUser {
    /// The user's document, with what we keep beside chai-backend's fields.
    pub(crate) fn document(&self, mut steep: Document, now: DateTime) -> Result<RawDocumentBuf, Error> {
        // Nobody subscribes to a new user, so the first count is known.
        steep.insert(
            "aggregates",
            doc! { "subscribersCount": 0_i64, "channelsSubscribedToCount": 0_i64, "computedAt": now },
        );
        encode(&doc! {
            "_id": object_id(self.id.bytes()),
            "username": normalised(&self.username),
            "email": normalised(&self.email),
            "fullName": &self.full_name,
            "avatar": "",
            "coverImage": "",
            "watchHistory": [],
            "password": self.password_hash.expose(),
            "createdAt": now,
            "updatedAt": now,
            "steep": steep,
        })
    }
}

/// The field that another user has, if that is what is wrong.
pub(crate) fn taken(error: mongodb::error::Error) -> Error {
    // E11000 duplicate key error collection: videotube.users index: email_1 dup key: { email: "a@example.com" }
    let key = duplicate_key(&error).and_then(|message| message.split_once("dup key: { ")).map(|(_, key)| key);
    match key {
        Some(key) if key.starts_with("username:") => Error::Taken { field: Field::Username },
        Some(key) if key.starts_with("email:") => Error::Taken { field: Field::Email },
        _ => error.into(),
    }
}
