//! From committed files to accepted work.

use axum::response::{IntoResponse, Response};
use messages::FileId;
use spool::{Hold, Spooled};
use store::{Accepted, IdempotencyKey, JobRecord, StoredAnswer};
use tracing::Instrument;

use super::Uploads;
use super::file::Committed;
use crate::http::Problem;
use crate::http::response::replay;

/// Why a request for work ends early: it is refused, or an earlier one with the same idempotency key was accepted.
#[derive(Debug)]
pub(crate) enum Early {
    Refused(Problem),
    Replayed(StoredAnswer),
}

impl<E: Into<Problem>> From<E> for Early {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl IntoResponse for Early {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(problem) => problem.into_response(),
            Self::Replayed(answer) => {
                meters::DUPLICATES_ABSORBED.add(&["key"], 1);
                replay(answer)
            }
        }
    }
}

impl Uploads {
    /// Ends a request early if its key has an answer already.
    pub(crate) async fn replay(&self, key: Option<&IdempotencyKey>) -> Result<(), Early> {
        let Some(key) = key else { return Ok(()) };
        match self.store.idempotency().find(key).await? {
            Some(answer) => Err(Early::Replayed(answer)),
            None => Ok(()),
        }
    }

    /// Runs the transaction that accepts files. Afterwards removes the files if it failed; otherwise enqueues the new
    /// jobs and removes the files that they supersede.
    ///
    /// From before the transaction on, a file stays unless it is certain that no job owns it, no sweeper removes it, and the
    /// work goes on when the client does not wait for it: a transaction that nobody waits for may still be committed.
    pub(crate) async fn submit(
        &self,
        files: Committed,
        transaction: impl Future<Output = Result<Accepted, store::Error>> + Send + 'static,
    ) -> Result<Accepted, Early> {
        let uploads = self.clone();
        let task = async move {
            let Committed { spooled, measures, admitted } = files;
            let ids: Vec<FileId> = spooled.iter().map(|file| file.file).collect();
            let holds: Vec<Hold> = spooled.into_iter().map(Spooled::keep).collect();
            let result = transaction.await;
            // From here on the database counts them.
            drop(admitted);
            match &result {
                Ok(accepted) => {
                    for (field, resource_type, bytes) in measures {
                        meters::UPLOADS_ACCEPTED.add(&[field, resource_type.as_str()], 1);
                        meters::UPLOAD_SIZE.record(&[], bytes as f64);
                    }
                    uploads.publish(&accepted.jobs);
                    uploads.remove_later(accepted.superseded.clone());
                }
                // The files may belong to a job. The sweeper asks the database when it can tell.
                Err(store::Error::Unknown(_)) => {}
                Err(_) => uploads.remove(ids).await,
            }
            drop(holds);
            result
        };
        match self.tasks.spawn(task.in_current_span()).await.map_err(Problem::internal)? {
            // Another request with the same key was faster.
            Err(store::Error::Replayed(answer)) => Err(Early::Replayed(answer)),
            result => Ok(result?),
        }
    }

    /// Does what is left to do about an upload that was cancelled. Nobody waits for it: relay and sweeper are the nets, also for a
    /// file that lies in another spool.
    pub(crate) fn cancelled(&self, files: Vec<FileId>, follow_ups: &[JobRecord]) {
        self.publish(follow_ups);
        self.remove_later(files);
    }

    /// Nobody waits for this: the answer must not, and the sweeper is the net.
    fn remove_later(&self, files: Vec<FileId>) {
        if !files.is_empty() {
            let uploads = self.clone();
            self.tasks.spawn(async move { uploads.remove(files).await }.in_current_span());
        }
    }

    async fn remove(&self, files: Vec<FileId>) {
        for file in files {
            if let Err(error) = self.spool.remove(file).await {
                tracing::warn!(%file, %error, "cannot remove a file that nothing needs; the sweeper will");
            }
        }
    }
}
