//! Counts what an environment holds, to show that a request left nothing behind.

use std::time::Instant;

use mongodb::bson::Document;

use crate::client::PATIENCE;
use crate::env::TestEnv;

/// Documents in the database and files in the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    pub users: u64,
    /// Assets, whatever their state.
    pub assets: u64,
    /// Jobs, whatever their state.
    pub jobs: u64,
    /// Answers kept for idempotency keys.
    pub answers: u64,
    /// Files in the spool, received or being received.
    pub files: usize,
}

impl TestEnv {
    pub async fn census(&self) -> Census {
        let count = async |collection: &str| {
            let collection = self.database().collection::<Document>(collection);
            collection.count_documents(Document::new()).await.expect("the database answers")
        };
        Census {
            users: count("users").await,
            assets: count("assets").await,
            jobs: count("jobs").await,
            answers: count("idempotency").await,
            files: self.spooled_files(),
        }
    }

    /// Waits until the counts are these: a file goes a moment after the answer to its request.
    pub async fn settles_at(&self, expected: Census) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let census = self.census().await;
            if census == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{census:?}, expected {expected:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}
