//! Making indexes. Which ones there are is said by the family whose collection it is.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::IndexModel;
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::options::IndexOptions;
use tracing::warn;

use crate::Error;
use crate::connection::Documents;
use crate::error::DUPLICATE_KEY;

/// A first start may have to index what is already there.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An index and the collection that it is of.
pub(crate) type Wanted = (Documents, IndexModel);

/// Makes the indexes of a collection that are missing. One that the data does not allow is left out with a warning.
pub(crate) async fn ensure(documents: &Documents, indexes: Vec<IndexModel>) -> Result<(), Error> {
    match create(documents, indexes.clone()).await? {
        Ok(()) => return Ok(()),
        Err(cause) if is_impossible(&cause) => {}
        Err(cause) => return Err(cause.into()),
    }
    // All of them or none: one by one, those that are possible are made.
    for index in indexes {
        let keys = index.keys.clone();
        match create(documents, vec![index]).await? {
            Err(cause) if is_impossible(&cause) => {
                warn!(collection = documents.name(), index = %keys, %cause, "going on without an index");
            }
            made => made?,
        }
    }
    Ok(())
}

async fn create(documents: &Documents, indexes: Vec<IndexModel>) -> Result<mongodb::error::Result<()>, Error> {
    let made = tokio::time::timeout(TIMEOUT, documents.create_indexes(indexes).into_future()).await;
    Ok(made.map_err(|_| Error::timed_out(TIMEOUT))?.map(|_| ()))
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

pub(crate) fn plain(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

pub(crate) fn unique(keys: Document) -> IndexModel {
    with(keys, IndexOptions::builder().unique(true).build())
}

/// At most one unfinished job has a value in the field.
pub(crate) fn unique_where_unfinished(field: &str) -> IndexModel {
    let unfinished = doc! { field: { "$exists": true }, "dueAt": { "$exists": true } };
    with(doc! { field: 1 }, IndexOptions::builder().unique(true).partial_filter_expression(unfinished).build())
}

pub(crate) fn where_present(keys: Document, field: &str) -> IndexModel {
    where_all_present(keys, &[field])
}

/// Only queries that need all fields to be there use it.
pub(crate) fn where_all_present(keys: Document, fields: &[&str]) -> IndexModel {
    let present: Document = fields.iter().map(|field| ((*field).to_owned(), doc! { "$exists": true }.into())).collect();
    with(keys, IndexOptions::builder().partial_filter_expression(present).build())
}

/// The server removes a document once its `expireAt` is past.
pub(crate) fn expiring() -> IndexModel {
    let mut index = where_present(doc! { "expireAt": 1 }, "expireAt");
    index.options.get_or_insert_default().expire_after = Some(Duration::ZERO);
    index
}

fn with(keys: Document, options: IndexOptions) -> IndexModel {
    IndexModel::builder().keys(keys).options(options).build()
}
