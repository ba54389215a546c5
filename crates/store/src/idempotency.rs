//! Answers to requests that carried an idempotency key, kept so that a repetition gets the same answer and does nothing.

use std::time::Duration;

use bson::{DateTime, RawDocumentBuf, doc};
use mongodb::ClientSession;
use mongodb::options::ReadConcern;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::clock::later;
use crate::codec::{decode, encode};
use crate::connection::{Connection, Documents};
use crate::error::duplicate_key;
use crate::indexes::{Wanted, expiring};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Names one request of one caller. A day after its answer was stored it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// What the key is unique within: the route and the user.
    pub scope: String,
    /// What the client chose.
    pub key: String,
}

/// An answer as it was given, and will be given again.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    pub status: u16,
    /// The `Location` header, if there was one.
    pub location: Option<String>,
    /// The body, JSON.
    pub body: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerDocument {
    #[serde(rename = "_id")]
    id: IdempotencyKey,
    #[serde(flatten)]
    answer: StoredAnswer,
    created_at: DateTime,
    expire_at: DateTime,
}

/// Answers that are kept.
#[derive(Debug, Clone)]
pub struct Idempotency {
    connection: Connection,
    answers: Documents,
}

impl Idempotency {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone(), answers: connection.collection("idempotency") }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        vec![(self.answers.clone(), expiring())]
    }

    /// The answer that a request with this key was given, unless it is new or too old.
    pub async fn find(&self, key: &IdempotencyKey) -> Result<Option<StoredAnswer>, Error> {
        // A replay promises what the first answer promised, so it must not see what a failover may still undo.
        let filter = doc! { "_id": { "scope": &key.scope, "key": &key.key } };
        let query = self.answers.find_one(filter).read_concern(ReadConcern::majority());
        let Some(found) = self.connection.bounded(query).await? else { return Ok(None) };
        Ok(Some(decode::<AnswerDocument>("answer", &found)?.answer))
    }

    /// Reserves a key together with the answer. The first statement of its transaction: of two equal requests at once the
    /// second then learns of the first before it meets the first's other writes.
    pub(crate) async fn remember(
        &self,
        session: &mut ClientSession,
        key: &IdempotencyKey,
        answer: &StoredAnswer,
    ) -> Result<(), Error> {
        let document = document(key, answer, self.connection.now().await?)?;
        let Err(error) = self.answers.insert_one(document).session(session).await else { return Ok(()) };
        if duplicate_key(&error).is_none() {
            return Err(error.into());
        }
        // Outside of the transaction, which the server has aborted by now. The first answer may be a moment away from having
        // its majority.
        let deadline = Instant::now() + self.connection.config().timeout / 2;
        loop {
            match self.find(key).await? {
                Some(first) => return Err(Error::Replayed(first)),
                None if Instant::now() >= deadline => {
                    return Err(Error::Unavailable("the answer to an idempotency key could not be read".into()));
                }
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Reserves the keys of several requests, all of them or none. Which was used before only [`Self::remember`] tells.
    pub(crate) async fn remember_all<'a>(
        &self,
        session: &mut ClientSession,
        answers: impl Iterator<Item = &'a (IdempotencyKey, StoredAnswer)>,
    ) -> Result<(), Error> {
        let now = self.connection.now().await?;
        let answers = answers.map(|(key, answer)| document(key, answer, now)).collect::<Result<Vec<_>, Error>>()?;
        if !answers.is_empty() {
            self.answers.insert_many(answers).session(session).await?;
        }
        Ok(())
    }
}

fn document(key: &IdempotencyKey, answer: &StoredAnswer, now: DateTime) -> Result<RawDocumentBuf, Error> {
    let (id, answer) = (key.clone(), answer.clone());
    encode(&AnswerDocument { id, answer, created_at: now, expire_at: later(now, KEPT) })
}
