//! From received files to accepted work.

use messages::{FileId, JobId};
use spool::Spooled;
use store::{Accepted, NewUpload, Role, StoredAnswer};
use tracing::Instrument;

use crate::http::problem::Problem;
use crate::state::App;
use crate::uploads::Received;

/// What became of a request for work.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is durable.
    Accepted(Box<Accepted>),
    /// It was durable already: a twin of this request, with the same idempotency key, was faster.
    Replayed(StoredAnswer),
}

/// Makes a received file durable, the one sync that an upload costs, and names what it will become. Dropping the guard
/// removes the file.
pub(crate) async fn make_durable(app: &App, received: Received, role: Role) -> Result<(NewUpload, Spooled), Problem> {
    let Received { media_type, original_name, writer, .. } = received;
    let spooled = writer.commit().await?;
    let upload = NewUpload {
        asset: store::new_asset_id(),
        job: JobId::new(),
        role,
        spool: app.spool().id().clone(),
        file: spooled.file,
        media_type,
        bytes: spooled.bytes,
        md5: spooled.md5.clone(),
        original_name,
    };
    Ok((upload, spooled))
}

/// Runs the transaction that accepts files, and settles what follows from its outcome: the files of a transaction that
/// failed are removed, new jobs are handed to the publisher, superseded files go.
///
/// From before the transaction on, a file stays unless it is certain that no job owns it, and the work goes on when the
/// client does not wait for it: a transaction that nobody waits for may still be committed.
pub(crate) async fn submit(
    app: &App,
    files: Vec<Spooled>,
    transaction: impl Future<Output = Result<Accepted, store::Error>> + Send + 'static,
) -> Result<Decision, Problem> {
    let work = app.clone();
    let task = async move {
        let ids: Vec<FileId> = files.iter().map(|file| file.file).collect();
        files.into_iter().for_each(Spooled::keep);
        let result = transaction.await;
        match &result {
            Ok(accepted) => {
                work.publishing().publish(&accepted.jobs);
                remove_later(&work, accepted.superseded.clone());
            }
            // The files may belong to a job. The sweeper asks the database when it can tell.
            Err(store::Error::Unknown(_)) => {}
            Err(_) => remove(&work, ids).await,
        }
        result
    };
    match app.tasks().spawn(task.in_current_span()).await {
        Ok(Ok(accepted)) => Ok(Decision::Accepted(Box::new(accepted))),
        Ok(Err(store::Error::Replayed(answer))) => Ok(Decision::Replayed(answer)),
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(Problem::internal(error)),
    }
}

/// Nobody waits for this: the answer must not, and the sweeper is the net.
fn remove_later(app: &App, files: Vec<FileId>) {
    if !files.is_empty() {
        let work = app.clone();
        app.tasks().spawn(async move { remove(&work, files).await }.in_current_span());
    }
}

async fn remove(app: &App, files: Vec<FileId>) {
    for file in files {
        if let Err(error) = app.spool().remove(file).await {
            tracing::warn!(%file, %error, "a file that nothing needs stays in the spool until it is swept");
        }
    }
}
