//! A channel as one of its readers sees it: two look-ups by index, however many subscribe to it.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{DateTime, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{SessionId, UserId};
use mongodb::ClientSession;
use serde::Deserialize;

use super::subscribers::counting;
use super::subscriptions::Pair;
use super::{Channels, Counts, shown};
use crate::clock::later;
use crate::codec::{decode, decode_found, object_id};
use crate::users::document::UserDocument;
use crate::users::spelled;
use crate::{Error, User};

/// How long a transaction may last. A change that began longer before a count is in it for certain.
const TRANSACTION: Duration = Duration::from_secs(60);
/// Of a username that is remembered, in bytes. A longer one than can be registered is adopted, and looked up every time.
const LONGEST: usize = 200;

/// What comes of asking for a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    /// The reader's session is not live, or there is no such user.
    NotSignedIn,
    Unknown,
    Shown(Box<Channel>),
}

/// A channel's profile for one reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The user behind it. The watch history is left out.
    pub user: User,
    /// Its numbers, with the reader's own changes in them.
    pub counts: Counts,
    pub is_subscribed: bool,
}

/// What is read of somebody who looks at a channel.
#[derive(Deserialize)]
struct ReaderDocument {
    steep: Option<ReadersNotes>,
}

#[derive(Deserialize)]
struct ReadersNotes {
    sessions: Option<Vec<ObjectId>>,
    #[serde(default)]
    changes: Vec<OwnChange>,
}

/// A reader's own change of a channel.
#[derive(Deserialize)]
struct OwnChange {
    channel: ObjectId,
    /// 1 or -1.
    by: i32,
    at: DateTime,
}

/// Who looks at a channel.
struct Reader {
    id: ObjectId,
    /// The latest first, one a channel.
    changes: Vec<OwnChange>,
}

/// Who is looked at.
struct Looked {
    user: UserDocument,
    /// Stored numbers, and when they were true. None of a user whom nobody has counted yet.
    stored: Option<(Counts, DateTime)>,
}

impl Reader {
    /// The reader, if the session is one of theirs and live.
    fn signed_in(id: ObjectId, session: SessionId, found: Option<RawDocumentBuf>) -> Result<Option<Self>, Error> {
        let found: Option<ReaderDocument> = decode_found("user", found)?;
        let Some(notes) = found.and_then(|found| found.steep) else { return Ok(None) };
        let is_live = notes.sessions.is_some_and(|sessions| sessions.contains(&object_id(session.bytes())));
        Ok(is_live.then_some(Self { id, changes: notes.changes }))
    }

    /// The own change that may not be in the stored number yet. Every other one is in it for certain, or too long ago to be
    /// remembered. Who is counted at this moment is counted with everything.
    fn uncounted(&self, channel: &Looked, now: DateTime) -> Option<&OwnChange> {
        let (_, computed_at) = channel.stored?;
        let change = self.changes.iter().find(|change| change.channel == channel.user.id)?;
        let is_young = later(change.at, TRANSACTION) > now;
        (change.at > computed_at || is_young).then_some(change)
    }
}

impl Looked {
    fn read(found: &RawDocument) -> Result<Self, Error> {
        let aggregates = found.get_document("steep").and_then(|steep| steep.get_document("aggregates"));
        let stored = aggregates.ok().and_then(|stored| {
            Some((bson::deserialize_from_slice(stored.as_bytes()).ok()?, stored.get_datetime("computedAt").ok()?))
        });
        Ok(Self { user: decode("user", found)?, stored })
    }
}

impl Channels {
    /// The channel of a username, compared as [`crate::normalised`] or at least in lower case, for a user who asks from a session.
    /// Of the channel nothing is told unless that session is live at this moment.
    ///
    /// A name that is remembered takes two queries, and neither waits for the other: reader and channel by their ids, and
    /// whether the one subscribes to the other. Another name, and an own change that may not be counted, takes more.
    pub async fn profile(&self, reader: UserId, session: SessionId, username: &str) -> Result<Profile, Error> {
        let name = username.trim().to_lowercase();
        let reader = object_id(reader.bytes());
        let remembered = self.usernames.get(name.as_str());
        let (users, is_subscribed) =
            tokio::join!(self.profiles.all([reader].into_iter().chain(remembered).collect()), async {
                match remembered {
                    Some(channel) => self.is_subscribed(reader, channel).await,
                    None => Ok(false),
                }
            });
        let mut users = users?.into_iter();
        let reader = Reader::signed_in(reader, session, users.next().flatten())?;
        let Some(reader) = reader else { return Ok(Profile::NotSignedIn) };
        if let Some(found) = users.next().flatten() {
            let (channel, now) = (Looked::read(&found)?, self.connection.now().await?);
            if channel.user.is_called(&name) && reader.uncounted(&channel, now).is_none() {
                return self.show(channel, is_subscribed?, 0).await;
            }
        }
        if reader.changes.is_empty() {
            return self.look_up(&name, &reader, None).await;
        }
        // A number and what is not yet in it have to be of one moment, or a recount in between would count a change twice.
        let moment = self.connection.moment().await?;
        match self.look_up(&name, &reader, Some(moment)).await {
            // The server has no such moment of a collection that was made just now.
            Err(Error::Unavailable(_) | Error::Database(_)) => self.look_up(&name, &reader, None).await,
            profile => profile,
        }
    }

    /// One step after the other: who has the name, and what the reader has to do with them.
    async fn look_up(&self, name: &str, reader: &Reader, mut moment: Option<ClientSession>) -> Result<Profile, Error> {
        let mut found = None;
        for spelling in spelled(name) {
            found = match &mut moment {
                Some(moment) => {
                    let query = self.users.documents.find_one(doc! { "username": spelling }).projection(shown());
                    self.connection.bounded(query.session(moment)).await?
                }
                None => self.by_name.one(spelling).await?,
            };
            if found.is_some() {
                break;
            }
        }
        let Some(found) = found else {
            self.usernames.invalidate(name);
            return Ok(Profile::Unknown);
        };
        let channel = Looked::read(&found)?;
        let id = channel.user.id;
        // Only names that were found, so that guesses do not drive out what is in use.
        if name.len() <= LONGEST {
            self.usernames.insert(name.into(), id);
        }
        let Some(change) = reader.uncounted(&channel, self.connection.now().await?) else {
            let is_subscribed = self.is_subscribed(reader.id, id).await?;
            return self.show(channel, is_subscribed, 0).await;
        };
        let mut intents = self.intents.count_documents(doc! { "subscriber": reader.id, "channel": id });
        if let Some(moment) = &mut moment {
            intents = intents.session(moment);
        }
        // One's changes of one channel take turns, so that two of them are none.
        let is_odd = self.connection.bounded(intents).await? % 2 == 1;
        self.show(channel, change.by > 0, if is_odd { change.by.signum().into() } else { 0 }).await
    }

    async fn is_subscribed(&self, subscriber: ObjectId, channel: ObjectId) -> Result<bool, Error> {
        Ok(self.pairs.one(Pair { subscriber, channel }).await?.is_some())
    }

    /// `own`: by how much the reader has changed the number since it was counted.
    async fn show(&self, channel: Looked, is_subscribed: bool, own: i64) -> Result<Profile, Error> {
        let mut counts = match channel.stored {
            Some((counts, _)) => counts,
            None => self.count_now(channel.user.id).await?,
        };
        counts.subscribers_count = (counts.subscribers_count + own).max(0);
        Ok(Profile::Shown(Box::new(Channel { user: channel.user.into(), counts, is_subscribed })))
    }

    /// The numbers of an adopted user whom nobody has counted yet.
    async fn count_now(&self, user: ObjectId) -> Result<Counts, Error> {
        let count = self.users.documents.aggregate(counting(doc! { "_id": user })).with_type::<Counts>();
        let counted = self.connection.bounded(async { count.await?.try_next().await }).await?;
        Ok(counted.unwrap_or_default())
    }
}
