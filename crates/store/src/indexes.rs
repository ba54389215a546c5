//! Indexes.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::IndexModel;
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::options::IndexOptions;
use tracing::warn;

use crate::connection::Documents;
use crate::error::DUPLICATE_KEY;
use crate::{Error, Store};

/// A first start may have to index what is already there.
const TIMEOUT: Duration = Duration::from_secs(120);

impl Store {
    /// Makes the indexes that are missing. Any number of processes may do so at once. An index that the data at hand does
    /// not allow (two adopted users with one email address) is left out with a warning in the log.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn ensure_indexes(&self) -> Result<(), Error> {
        // Named as in the system that Steep replaces, so that its own indexes count.
        self.ensure_index(self.users(), unique(doc! { "username": 1 })).await?;
        self.ensure_index(self.users(), unique(doc! { "email": 1 })).await?;

        self.ensure_index(self.assets(), plain(doc! { "owner": 1, "role": 1, "_id": -1 })).await?;
        self.ensure_index(self.assets(), where_present(doc! { "spool.file": 1 }, "spool.file")).await?;

        // Only unfinished jobs have dueAt, so these two stay small however many finished ones are kept.
        self.ensure_index(self.jobs(), where_present(doc! { "state": 1, "dueAt": 1, "queue": 1 }, "dueAt")).await?;
        self.ensure_index(self.jobs(), where_present(doc! { "owner": 1, "kind": 1 }, "dueAt")).await?;
        self.ensure_index(self.jobs(), expiring()).await?;

        self.ensure_index(self.jobs(), one_job_a_channel()).await?;

        self.ensure_index(self.answers(), expiring()).await?;
        self.ensure_index(self.attempts(), expiring()).await?;
        self.ensure_index(self.sessions(), expiring()).await?;

        // The last one is left out while adopted pairs stand there twice; the adoption makes it then.
        self.ensure_index(self.intents(), plain(doc! { "channel": 1, "_id": 1 })).await?;
        self.ensure_index(self.intents(), plain(doc! { "subscriber": 1, "channel": 1 })).await?;
        self.ensure_index(self.subscriptions(), plain(doc! { "channel": 1, "_id": -1 })).await?;
        self.ensure_index(self.subscriptions(), plain(doc! { "subscriber": 1, "_id": -1 })).await?;
        self.ensure_index(self.subscriptions(), one_subscription_a_pair()).await
    }

    pub(crate) async fn ensure_index(&self, documents: &Documents, index: IndexModel) -> Result<(), Error> {
        let keys = index.keys.clone();
        let made = tokio::time::timeout(TIMEOUT, documents.create_index(index).into_future()).await;
        match made.map_err(|_| Error::timed_out(TIMEOUT))? {
            Err(cause) if is_impossible(&cause) => {
                warn!(collection = documents.name(), index = %keys, %cause, "going on without an index");
                Ok(())
            }
            made => Ok(made.map(|_| ())?),
        }
    }
}

/// The data has duplicates, or there is another index of that name or those keys.
fn is_impossible(error: &mongodb::error::Error) -> bool {
    const INDEX_OPTIONS_CONFLICT: i32 = 85;
    const INDEX_KEY_SPECS_CONFLICT: i32 = 86;
    let code = match error.kind.as_ref() {
        ErrorKind::Command(command) => command.code,
        ErrorKind::Write(WriteFailure::WriteError(write)) => write.code,
        _ => return false,
    };
    [DUPLICATE_KEY, INDEX_OPTIONS_CONFLICT, INDEX_KEY_SPECS_CONFLICT].contains(&code)
}

fn plain(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

fn unique(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).options(IndexOptions::builder().unique(true).build()).build()
}

/// Only unfinished jobs count, so that a channel has one that waits or runs.
fn one_job_a_channel() -> IndexModel {
    let unfinished = doc! { "channel": { "$exists": true }, "dueAt": { "$exists": true } };
    let options = IndexOptions::builder().unique(true).partial_filter_expression(unfinished).build();
    IndexModel::builder().keys(doc! { "channel": 1 }).options(options).build()
}

/// Who subscribes to whom, once.
pub(crate) fn one_subscription_a_pair() -> IndexModel {
    unique(doc! { "subscriber": 1, "channel": 1 })
}

fn where_present(keys: Document, field: &str) -> IndexModel {
    let filter = doc! { field: { "$exists": true } };
    IndexModel::builder().keys(keys).options(IndexOptions::builder().partial_filter_expression(filter).build()).build()
}

/// The server removes a document once its `expireAt` is past.
fn expiring() -> IndexModel {
    let options = IndexOptions::builder()
        .expire_after(Duration::ZERO)
        .partial_filter_expression(doc! { "expireAt": { "$exists": true } })
        .build();
    IndexModel::builder().keys(doc! { "expireAt": 1 }).options(options).build()
}
