//! Subscriptions that a database has several times.

use bson::oid::ObjectId;
use bson::{Bson, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::ClientSession;
use serde::Deserialize;

use super::{Adoption, Finding, name, patiently, patiently_next};
use crate::Error;
use crate::channels::one_subscription_a_pair;
use crate::connection::Documents;
use crate::error::{DUPLICATE_KEY, duplicate_key};

/// Pairs whose duplicates one transaction sets aside.
const PAIRS_AT_ONCE: usize = 200;

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
        // The system before Steep may still be running, and adding to them.
        for _ in 0..5 {
            let made =
                patiently(self.channels.subscriptions.create_index(one_subscription_a_pair()).into_future()).await;
            match made {
                Ok(_) => return Ok(moved),
                Err(Error::Database(cause)) if says_duplicate(&cause) => {}
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
        let pairs = self.channels.subscriptions.aggregate(pipeline).allow_disk_use(true).with_type::<Pair>();
        let mut pairs = patiently(pairs.into_future()).await?.try_chunks(PAIRS_AT_ONCE);
        let mut moved = 0;
        while let Some(chunk) = patiently_next(&mut pairs).await? {
            let mut findings = Vec::new();
            let mut extra = Vec::new();
            for mut pair in chunk {
                pair.ids.sort_unstable();
                let Some((kept, others)) = pair.ids.split_first() else { continue };
                let pair = format!("{} -> {}", name(&pair.id.subscriber), name(&pair.id.channel));
                // A line for each, so that one that turns up later does not replace what was set aside before.
                findings.extend(others.iter().map(|id| {
                    let text = format!("{pair}: kept the oldest, {kept}; set aside {id}");
                    Finding::new("duplicate subscription", &format!("{pair} {id}"), text)
                }));
                extra.extend(others.iter().copied());
            }
            // First: once they are moved nobody finds them again to tell of them.
            self.report(&findings).await?;
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
        let mut documents: Vec<RawDocumentBuf> = Vec::new();
        while let Some(document) = found.next(&mut *session).await.transpose()? {
            documents.push(document);
        }
        if documents.is_empty() {
            return Ok(0);
        }
        let aside: Documents = self.connection.database().collection("subscriptions_set_aside");
        aside.insert_many(&documents).session(&mut *session).await?;
        Ok(self.channels.subscriptions.delete_many(these).session(session).await?.deleted_count)
    }
}

fn says_duplicate(error: &mongodb::error::Error) -> bool {
    matches!(error.kind.as_ref(), mongodb::error::ErrorKind::Command(command) if command.code == DUPLICATE_KEY)
        || duplicate_key(error).is_some()
}
