//! Jobs as their owners see them: lists, why they wait, how far they are, and why they failed.

mod fates;
mod list;
mod waits;

use messages::JobId;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};

use crate::support::{Member, World};

pub const JOBS: &str = "/api/v1/jobs";
pub const UPLOAD: &str = "media.upload.v1";
pub const DELETE: &str = "media.delete.v1";
/// When the oldest job of a test was made.
pub const BEGIN: i64 = 1_700_000_000_000;

/// A job as the first release wrote them, with changes: so many milliseconds after [`BEGIN`].
pub fn job_of(owner: &Member, at: i64, changes: Document) -> Document {
    let (at, asset) = (DateTime::from_millis(BEGIN + at), ObjectId::new());
    let mut job = doc! {
        "_id": JobId::new().to_string(),
        "kind": UPLOAD,
        "data": { "asset": asset.to_hex(), "spool": "here" },
        "queue": "media.upload.here",
        "owner": ObjectId::from_bytes(owner.id.bytes()),
        "asset": asset,
        "state": "queued",
        "attempt": 0_i64, "failures": 0_i64, "crashes": 0_i64, "maxAttempts": 150_i64,
        "runAt": at,
        "dueAt": at,
        "attempts": [],
        "createdAt": at,
        "updatedAt": at,
    };
    job.extend(changes);
    if matches!(job.get_str("state"), Ok("completed" | "discarded" | "cancelled")) {
        job.remove("dueAt");
        job.insert("finishedAt", at);
    }
    job
}

pub fn id_of(job: &Document) -> String {
    job.get_str("_id").expect("an id").to_owned()
}

impl World {
    pub async fn insert_jobs(&self, jobs: &[Document]) {
        self.env.database().collection::<Document>("jobs").insert_many(jobs).await.expect("inserted");
    }

    /// Ends a world in which nothing has a job but what was inserted.
    pub async fn forget_jobs_and_end(self) {
        self.env.database().collection::<Document>("jobs").delete_many(doc! {}).await.expect("deleted");
        self.end().await;
    }
}
