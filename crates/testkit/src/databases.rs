//! Databases that tests have left, emptied for the next ones.
//!
//! Each is four dozen files, which the server keeps open, watches and sweeps long after they were dropped: with a new one for
//! every test it spends two thirds of its time on files.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Collection, Database};
use uuid::Uuid;

/// Whoever belongs to a test that has ended has ended too after so many milliseconds, and writes no more.
const SETTLES: i64 = 15_000;
/// Removing more documents than that takes longer than making their collection anew.
const FEW: u64 = 500;

/// How each collection was made, and its indexes.
pub type Shape = BTreeMap<String, (Document, Vec<Document>)>;

/// An empty database, perhaps with indexes, that is nobody else's.
pub async fn take(client: &Client) -> Database {
    let before = doc! { "$subtract": ["$$NOW", SETTLES] };
    let settled = doc! { "$expr": { "$lt": ["$leftAt", before] } };
    match left(client).find_one_and_delete(settled).await.expect("the database answers") {
        Some(found) => {
            let database = client.database(found.get_str("_id").expect("a name"));
            empty(&database).await;
            database
        }
        None => client.database(&format!("test-{}", Uuid::new_v4().simple())),
    }
}

/// Leaves it to other tests if it still has the shape that it had at the start; drops it otherwise.
pub async fn leave(client: &Client, database: &Database, shape: &Shape) -> mongodb::error::Result<()> {
    let now = shape_of(database).await;
    // A collection that the test has made may stay if it is like any.
    let is_plain = |(options, indexes): &(Document, Vec<Document>)| options.is_empty() && indexes.len() == 1;
    let as_before = shape.iter().all(|(name, made)| now.get(name) == Some(made));
    if !as_before || now.iter().any(|(name, made)| !shape.contains_key(name) && !is_plain(made)) {
        return database.drop().await;
    }
    let update = vec![doc! { "$set": { "leftAt": "$$NOW" } }];
    left(client).update_one(doc! { "_id": database.name() }, update).upsert(true).await?;
    Ok(())
}

/// What a test may have changed other than documents.
pub async fn shape_of(database: &Database) -> Shape {
    let collections = database.list_collections().await.expect("the database answers");
    let mut shape = Shape::new();
    for collection in collections.try_collect::<Vec<_>>().await.expect("the database answers") {
        let options = mongodb::bson::serialize_to_document(&collection.options).expect("options");
        let name = collection.name;
        if name.starts_with("system.") {
            continue;
        }
        let listed = database.run_command(doc! { "listIndexes": &name, "cursor": { "batchSize": 100 } }).await;
        let listed = listed.expect("the database answers");
        let batch = listed.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let indexes = batch.expect("indexes").iter().filter_map(Bson::as_document).cloned().collect();
        shape.insert(name, (options, indexes));
    }
    shape
}

async fn empty(database: &Database) {
    database.run_command(doc! { "profile": 0 }).await.expect("no more profiling");
    for name in database.list_collection_names().await.expect("the database answers") {
        let collection: Collection<Document> = database.collection(&name);
        let many = collection.estimated_document_count().await.expect("a number") > FEW;
        if many || name.starts_with("system.") {
            collection.drop().await.expect("dropped");
        } else {
            collection.delete_many(doc! {}).await.expect("emptied");
        }
    }
}

fn left(client: &Client) -> Collection<Document> {
    client.database("tests").collection("left")
}
