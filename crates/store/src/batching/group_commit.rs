//! New images of several users in one transaction.
//!
//! A transaction costs the server the same however little it writes, and most of what accepting an upload costs. So uploads
//! that come while transactions are under way wait for the next turn and share one: alone, an upload waits for nobody, and
//! the more come at once the less each costs.
//!
//! They share the transaction and not its troubles. If it meets another one, or one of them cannot be accepted, nothing is
//! written, and each is tried alone. Only what holds for all of them is told to all: the database is away, or the outcome
//! of the commit is not known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use messages::FileId;
use mongodb::ClientSession;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::codec::{decode, encode};
use crate::media::images::UpdateReply;
use crate::media::submit::Prepared;
use crate::users::document::UserDocument;
use crate::{Error, Store, User, users};

/// Transactions under way at once. One more than it takes to keep the server busy while an answer travels.
const TURNS: usize = 2;
/// The most uploads in one.
const MOST: usize = 32;

/// An accepted image: the user as it was before, what was written, and a file that nothing needs any more.
pub(crate) type Replaced = (User, Prepared, Option<FileId>);

struct Waiting {
    upload: Prepared,
    answer: oneshot::Sender<Result<Replaced, Error>>,
}

/// Where uploads wait for a turn.
pub(crate) struct GroupCommit {
    waiting: Mutex<Vec<Waiting>>,
    turns: Arc<Semaphore>,
}

impl GroupCommit {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::default(), turns: Arc::new(Semaphore::new(TURNS)) }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those whose turn it is. Of one owner only the first: the order of its uploads is the order of their numbers.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let (mut taken, mut left) = (Vec::<Waiting>::new(), Vec::new());
        for one in waiting.drain(..) {
            let owner = one.upload.asset.owner;
            match taken.len() < MOST && taken.iter().all(|other| other.upload.asset.owner != owner) {
                true => taken.push(one),
                false => left.push(one),
            }
        }
        *waiting = left;
        taken
    }

    /// Takes an upload back, unless its turn has come.
    fn give_up(&self, asset: ObjectId) -> bool {
        let mut waiting = self.waiting();
        let before = waiting.len();
        waiting.retain(|one| one.upload.asset.id != asset);
        waiting.len() < before
    }

    fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }
}

impl Store {
    /// Makes an upload the newest image of its user, together with others that wait.
    ///
    /// # Errors
    ///
    /// As [`Store::replace_image`].
    pub(crate) async fn replace_grouped(&self, upload: Prepared) -> Result<Replaced, Error> {
        let timeout = self.config().timeout;
        let (asset, patience) = (upload.asset.id, sleep_until(Instant::now() + timeout));
        let (answer, mut answered) = oneshot::channel();
        let group_commit = self.group_commit();
        group_commit.waiting().push(Waiting { upload, answer });
        tokio::pin!(patience);
        loop {
            tokio::select! {
                biased;
                // Only a task that was killed drops the sender, perhaps in the middle of a commit.
                result = &mut answered => return result.unwrap_or_else(|_| Err(unknown("its task has ended"))),
                turn = Arc::clone(&group_commit.turns).acquire_owned(), if !group_commit.is_empty() => {
                    let Ok(turn) = turn else { return Err(unknown("the store is closed")) };
                    let taken = group_commit.take();
                    if !taken.is_empty() {
                        // On its own, so that nobody's cancellation is the others'.
                        tokio::spawn(accept(self.clone(), taken, turn));
                    }
                }
                () = &mut patience, if !patience.is_elapsed() => {
                    if group_commit.give_up(asset) {
                        return Err(Error::timed_out(timeout));
                    }
                }
            }
        }
    }

    /// One transaction for all, tried once. Answers with the users as they were before; `None` for an upload that has an older
    /// one to supersede, which was left out.
    async fn share(&self, uploads: &mut Vec<Prepared>) -> Result<Option<Vec<Option<User>>>, Error> {
        let deadline = Instant::now() + self.config().timeout;
        let mut session = self.session(deadline).await?;
        self.try_transaction(&mut session, deadline, uploads, |store, session, uploads| {
            Box::pin(store.replace_all(session, uploads))
        })
        .await
    }

    async fn replace_all(
        &self,
        session: &mut ClientSession,
        uploads: &mut Vec<Prepared>,
    ) -> Result<Vec<Option<User>>, Error> {
        // Whoever changes one of them after this has the transaction refused: it works on what it saw.
        let mut owners = self.read_owners(session, uploads).await?;
        let mut before = Vec::with_capacity(uploads.len());
        let (mut updates, mut assets, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
        for upload in uploads {
            let mut user = owners.remove(&upload.asset.owner).ok_or(Error::NotFound { what: "user" })?;
            let image = user.take_image(upload.role);
            if image.pending.is_some() {
                before.push(None);
                continue;
            }
            upload.asset.seq = image.seq + 1;
            updates.push(newest(upload));
            assets.push(encode(&upload.asset)?);
            jobs.push(encode(&upload.job)?);
            before.push(Some(user.into()));
        }
        if updates.is_empty() {
            return Ok(before);
        }
        let expected = updates.len();
        let command = doc! { "update": self.users().name(), "updates": updates };
        let reply = self.database().run_command(command).session(&mut *session).await?;
        let reply: UpdateReply =
            bson::deserialize_from_document(reply).map_err(|cause| Error::Database(cause.into()))?;
        if usize::try_from(reply.n) != Ok(expected) {
            return Err(Error::NotFound { what: "user" });
        }
        self.assets().insert_many(assets).session(&mut *session).await?;
        self.jobs().insert_many(jobs).session(&mut *session).await?;
        Ok(before)
    }

    async fn read_owners(
        &self,
        session: &mut ClientSession,
        uploads: &[Prepared],
    ) -> Result<HashMap<ObjectId, UserDocument>, Error> {
        let ids: Vec<Bson> = uploads.iter().map(|upload| upload.asset.owner.into()).collect();
        let query = self.users().find(doc! { "_id": { "$in": ids } }).projection(users::without_secrets());
        let mut found = query.session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
        let mut owners = HashMap::with_capacity(found.len());
        for user in found {
            let user: UserDocument = decode("user", &user)?;
            owners.insert(user.id, user);
        }
        Ok(owners)
    }
}

/// Accepts uploads whose turn it is, and answers each.
async fn accept(store: Store, taken: Vec<Waiting>, turn: OwnedSemaphorePermit) {
    let (mut uploads, answers): (Vec<_>, Vec<_>) = taken.into_iter().map(|one| (one.upload, one.answer)).unzip();
    // Uploads of users who have none under way are the many, and what a shared transaction is for.
    let shared = if uploads.len() > 1 { store.share(&mut uploads).await } else { Ok(None) };
    let shared = match shared {
        Ok(Some(users)) => users,
        Err(Error::Unknown(cause)) => return tell_all(answers, || unknown(&cause.to_string())),
        Err(Error::Unavailable(cause)) => {
            return tell_all(answers, || Error::Unavailable(cause.to_string().into()));
        }
        Ok(None) | Err(_) => uploads.iter().map(|_| None).collect(),
    };
    let alone = uploads.into_iter().zip(answers).zip(shared).map(|((upload, answer), before)| {
        let store = &store;
        async move {
            let result = match before {
                Some(user) => Ok((user, upload, None)),
                None => store.replace_alone(upload).await,
            };
            // Nobody waits who was cancelled. What was accepted stays so, and the relay publishes it.
            let _ = answer.send(result);
        }
    });
    join_all(alone).await;
    drop(turn);
}

fn tell_all(answers: Vec<oneshot::Sender<Result<Replaced, Error>>>, error: impl Fn() -> Error) {
    for answer in answers {
        let _ = answer.send(Err(error()));
    }
}

fn unknown(why: &str) -> Error {
    Error::Unknown(why.into())
}

/// Makes an upload that has its number the newest of its user's.
fn newest(upload: &Prepared) -> Document {
    let (field, seq) = (format!("steep.{}", upload.role), upload.asset.seq);
    let set = doc! {
        format!("{field}.seq"): seq,
        format!("{field}.pending"): upload.pending(seq),
        "updatedAt": upload.asset.created_at,
    };
    doc! { "q": { "_id": upload.asset.owner }, "u": { "$set": set } }
}
