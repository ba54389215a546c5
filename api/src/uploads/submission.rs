//! From committed files to accepted work.

use messages::FileId;
use spool::Spooled;
use store::{Accepted, StoredAnswer};
use tracing::Instrument;

use super::Uploads;
use crate::http::problem::Problem;

/// What became of a request for work.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is durable.
    Accepted(Box<Accepted>),
    /// It was durable already: another request with the same idempotency key was faster.
    Replayed(StoredAnswer),
}

impl Uploads {
    /// Runs the transaction that accepts files. Afterwards removes the files if it failed; otherwise enqueues the new
    /// jobs and removes the files that they supersede.
    ///
    /// From before the transaction on, a file stays unless it is certain that no job owns it, and the work goes on when
    /// the client does not wait for it: a transaction that nobody waits for may still be committed.
    pub(crate) async fn submit(
        &self,
        files: Vec<Spooled>,
        transaction: impl Future<Output = Result<Accepted, store::Error>> + Send + 'static,
    ) -> Result<Decision, Problem> {
        let uploads = self.clone();
        let task = async move {
            let ids: Vec<FileId> = files.iter().map(|file| file.file).collect();
            files.into_iter().for_each(Spooled::keep);
            let result = transaction.await;
            match &result {
                Ok(accepted) => {
                    uploads.publishing.publish(&accepted.jobs);
                    uploads.remove_later(accepted.superseded.clone());
                }
                // The files may belong to a job. The sweeper asks the database when it can tell.
                Err(store::Error::Unknown(_)) => {}
                Err(_) => uploads.remove(ids).await,
            }
            result
        };
        match self.tasks.spawn(task.in_current_span()).await {
            Ok(Ok(accepted)) => Ok(Decision::Accepted(Box::new(accepted))),
            Ok(Err(store::Error::Replayed(answer))) => Ok(Decision::Replayed(answer)),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(Problem::internal(error)),
        }
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
