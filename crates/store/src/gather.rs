//! Look-ups of users that come at the same time, asked for together.
//!
//! Every request of a signed-in user begins with one look-up by `_id`, and under load the round trip costs the driver and the
//! server far more than the document. So a look-up that comes while others are under way goes with the next query. None waits
//! for company: when nothing is under way it is sent at once. And none is answered by a query that was sent before it came, so it
//! sees all that was written before.

use std::collections::HashMap;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::connection::Documents;
use crate::users::without_secrets;

/// Queries under way at a time. Two, so that one whose connection hangs does not hold up everybody.
const QUERIES: usize = 2;
/// Look-ups in one query.
const LARGEST: usize = 64;

type Found = Result<Option<RawDocumentBuf>, mongodb::error::Error>;

/// Where look-ups are handed in.
#[derive(Clone)]
pub(crate) struct LookUps(mpsc::UnboundedSender<LookUp>);

struct LookUp {
    id: ObjectId,
    reply: oneshot::Sender<Found>,
}

impl LookUps {
    /// Begins to take them. Ends when nobody can hand one in any more.
    pub(crate) fn start(users: Documents) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(users, receiver));
        Self(sender)
    }

    /// The user with an id, without secrets. `None` from the outer option: the program is ending.
    pub(crate) async fn find(&self, id: ObjectId) -> Option<Found> {
        let (reply, found) = oneshot::channel();
        self.0.send(LookUp { id, reply }).ok()?;
        found.await.ok()
    }
}

async fn run(users: Documents, mut waiting: mpsc::UnboundedReceiver<LookUp>) {
    let places = Arc::new(Semaphore::new(QUERIES));
    loop {
        // First a place and then who waits: whoever comes until there is one goes along. The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, LARGEST).await == 0 {
            return;
        }
        let users = users.clone();
        tokio::spawn(async move {
            answer(&users, batch).await;
            drop(place);
        });
    }
}

async fn answer(users: &Documents, mut batch: Vec<LookUp>) {
    // Those who have gone need no answer.
    batch.retain(|look_up| !look_up.reply.is_closed());
    if let [_] = batch.as_slice()
        && let Some(LookUp { id, reply }) = batch.pop()
    {
        let _ = reply.send(users.find_one(doc! { "_id": id }).projection(without_secrets()).await);
        return;
    }
    if batch.is_empty() {
        return;
    }
    let ids: Vec<ObjectId> = batch.iter().map(|look_up| look_up.id).collect();
    let found = async {
        let size = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        // One more than there can be, so that the server closes the cursor with the first batch.
        let found = users.find(doc! { "_id": { "$in": ids } }).projection(without_secrets()).batch_size(size + 1);
        found.await?.try_collect::<Vec<RawDocumentBuf>>().await
    };
    match found.await {
        Ok(found) => {
            let by_id: HashMap<ObjectId, RawDocumentBuf> =
                found.into_iter().filter_map(|user| Some((user.get_object_id("_id").ok()?, user))).collect();
            for LookUp { id, reply } in batch {
                let _ = reply.send(Ok(by_id.get(&id).cloned()));
            }
        }
        Err(error) => {
            for LookUp { reply, .. } in batch {
                let _ = reply.send(Err(error.clone()));
            }
        }
    }
}
