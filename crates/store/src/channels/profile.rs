//! A channel's profile together with who asks for it.

use bson::oid::ObjectId;
use bson::{Document, doc};
use messages::{SessionId, UserId};
use serde::Deserialize;

use super::subscriptions::Pair;
use super::{Channel, Channels, Reader, RecentChange, name_of, own_change, shown, stored_counts};
use crate::codec::{decode, object_id};
use crate::users::document::UserDocument;
use crate::{Error, User};

/// What comes of asking for a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    /// The reader's session is not live, or there is no such user.
    NotSignedIn,
    Unknown,
    Shown(Box<Channel>),
}

/// What is read of somebody who looks at a channel.
#[derive(Deserialize)]
struct ReaderDocument {
    steep: Option<ReadersNotes>,
}

#[derive(Deserialize)]
struct ReadersNotes {
    #[serde(default)]
    sessions: Option<Vec<ObjectId>>,
    #[serde(default)]
    changes: Vec<RecentChange>,
}

impl Channels {
    /// The channel of a username, compared as [`crate::normalised`] or at least in lower case, for a user who asks from a session.
    /// Of the channel nothing is told unless that session is live at this moment.
    ///
    /// Who was found by that name before is asked for by id, in one query with the reader, and at the same time whether the one
    /// subscribes to the other: two queries, and neither waits for the other. The rest takes more, one after another: a name
    /// that was not found before or that its user has no more, and a reader whose own change of this channel may not be counted.
    pub async fn profile(&self, reader: UserId, session: SessionId, username: &str) -> Result<Profile, Error> {
        let name = name_of(username);
        let reader_id = object_id(reader.bytes());
        let Some(id) = self.usernames.get(&name) else {
            let found = self.profiles.one(reader_id).await?;
            return match found.map(|found| signed_in(reader, session, &found)).transpose()?.flatten() {
                None => Ok(Profile::NotSignedIn),
                Some(reader) => self.step_by_step(&name, &reader).await,
            };
        };
        let (users, pair) = tokio::join!(
            self.profiles.all(vec![reader_id, id]),
            self.pairs.one(Pair { subscriber: reader_id, channel: id }),
        );
        let mut users = users?.into_iter();
        let found = users.next().flatten();
        let Some(reader) = found.map(|found| signed_in(reader, session, &found)).transpose()?.flatten() else {
            return Ok(Profile::NotSignedIn);
        };
        let found = users.next().flatten();
        let channel = found.as_ref().map(|found| decode::<UserDocument>("user", found)).transpose()?;
        let (Some(channel), Some(found)) = (channel.filter(|channel| channel.is_called(&name)), found) else {
            self.usernames.gone(&name);
            return self.step_by_step(&name, &reader).await;
        };
        let stored = stored_counts(&found)?;
        let user = User::from(channel);
        if own_change(&reader, user.id, stored).is_some() {
            return self.step_by_step(&name, &reader).await;
        }
        let is_subscribed = pair?.is_some();
        let counts = match stored {
            Some(stored) => stored.counts,
            None => self.count_now(user.id).await?,
        };
        Ok(Profile::Shown(Box::new(Channel { user, counts, is_subscribed })))
    }

    async fn step_by_step(&self, name: &str, reader: &Reader) -> Result<Profile, Error> {
        let channel = self.channel_for(name, reader).await?;
        Ok(channel.map_or(Profile::Unknown, |channel| Profile::Shown(Box::new(channel))))
    }
}

/// The reader, if the session is one of theirs and live.
fn signed_in(id: UserId, session: SessionId, found: &bson::RawDocument) -> Result<Option<Reader>, Error> {
    let ReaderDocument { steep: Some(notes) } = decode("user", found)? else { return Ok(None) };
    let is_live = notes.sessions.is_some_and(|sessions| sessions.contains(&object_id(session.bytes())));
    Ok(is_live.then_some(Reader { id, changes: notes.changes }))
}

/// What is read of a user who looks at a channel, or is one.
pub(crate) fn of_either() -> Document {
    let mut fields = shown();
    fields.extend(doc! { "steep.sessions": 1, "steep.changes": 1 });
    fields
}
