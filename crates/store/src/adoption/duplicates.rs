//! Subscriptions that a database has several times.

use bson::oid::ObjectId;
use bson::{Bson, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::ClientSession;
use serde::Deserialize;

use super::{Adoption, name, patiently};
use crate::Error;
use crate::channels::one_subscription_a_pair;
use crate::connection::Documents;
use crate::error::duplicate_key;

/// Pairs that the server tells of in one answer, and whose duplicates one transaction sets aside.
const AT_ONCE: u32 = 200;

/// Subscriptions of one pair.
#[derive(Deserialize)]
struct Pair {
    #[serde(rename = "_id")]
    id: PairId,
    ids: Vec<ObjectId>,
}

#[derive(Deserialize)]
struct PairId {
    subscriber: Bson,
    channel: Bson,
}

impl Adoption {
    /// Builds the index that keeps a pair from being there twice. Where one is, its oldest subscription stays and the others are
    /// set aside, whole, in `subscriptions_set_aside`. Says how many those are.
    pub async fn set_duplicates_aside(&self) -> Result<u64, Error> {
        let mut moved = 0;
        // chai-backend may still be running, and adding to them.
        for _ in 0..5 {
            let made =
                patiently(self.channels.subscriptions.create_index(one_subscription_a_pair()).into_future()).await;
            match made {
                Ok(_) => return Ok(moved),
                Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => {}
                Err(error) => return Err(error),
            }
            moved += self.set_aside_once().await?;
        }
        Err(Error::Unavailable("new duplicates appear as fast as they are set aside".into()))
    }

    async fn set_aside_once(&self) -> Result<u64, Error> {
        let pipeline = [
            doc! { "$group": {
                "_id": { "subscriber": "$subscriber", "channel": "$channel" },
                "ids": { "$push": "$_id" },
            } },
            doc! { "$match": { "ids.1": { "$exists": true } } },
        ];
        // A few at a time: the server forgets a cursor of which nobody asks for more within ten minutes.
        let pairs = self.channels.subscriptions.aggregate(pipeline).allow_disk_use(true).batch_size(AT_ONCE);
        let pairs = patiently(pairs.with_type::<Pair>().into_future()).await?;
        let mut pairs = pairs.try_chunks(AT_ONCE as usize).map_err(|error| error.1);
        let mut moved = 0;
        while let Some(chunk) = patiently(pairs.try_next()).await? {
            let mut extra = Vec::new();
            for Pair { id, mut ids } in chunk {
                ids.sort_unstable();
                let Some((kept, others)) = ids.split_first() else { continue };
                let pair = format!("{} -> {}", name(&id.subscriber), name(&id.channel));
                // First: once they are moved nobody finds them again to tell of them. A line for each, so that one that turns
                // up later does not replace what was set aside before.
                for other in others {
                    let text = format!("{pair}: kept the oldest, {kept}; set aside {other}");
                    self.report("duplicate subscription", &format!("{pair} {other}"), text).await?;
                }
                extra.extend_from_slice(others);
            }
            moved += self
                .connection
                .transaction(self, &mut extra, |adoption, session, extra| Box::pin(adoption.move_aside(session, extra)))
                .await?;
        }
        Ok(moved)
    }

    async fn move_aside(&self, session: &mut ClientSession, ids: &[ObjectId]) -> Result<u64, Error> {
        let these = doc! { "_id": { "$in": ids } };
        let mut found = self.channels.subscriptions.find(these.clone()).session(&mut *session).await?;
        let documents: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
        if documents.is_empty() {
            return Ok(0);
        }
        let aside: Documents = self.connection.database().collection("subscriptions_set_aside");
        aside.insert_many(&documents).session(&mut *session).await?;
        Ok(self.channels.subscriptions.delete_many(these).session(session).await?.deleted_count)
    }
}
