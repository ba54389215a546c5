//! What every handler works with.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRef;
use broker::Publisher;
use cloudinary::Verifier;
use messages::{AssetId, JobId};
use outbound::Resolver;
use store::Store;
use tokio_util::task::TaskTracker;

use crate::auth::Auth;
use crate::routes::{DeadLetters, Hub, Writes};
use crate::uploads::Uploads;

/// The state of the program. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App(pub(crate) Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) auth: Arc<Auth>,
    pub(crate) uploads: Uploads,
    /// What no worker could work on.
    pub(crate) dead_letters: DeadLetters,
    /// Judges addresses of webhooks.
    pub(crate) resolver: Resolver,
    /// Work that goes on when its client has gone.
    pub(crate) tasks: TaskTracker,
    /// Address at which clients reach this program, without a slash at the end.
    pub(crate) public_url: String,
    /// Set when the indexes exist that keep names unique.
    pub(crate) has_indexes: AtomicBool,
    /// When the database last took a write.
    pub(crate) writes: Writes,
    /// Clients that follow their jobs.
    pub(crate) events: Hub,
    /// Tells the media host's notifications from others. `None`: none are taken.
    pub(crate) notifications: Option<Verifier>,
    /// What metrics tell of the database and of the broker.
    pub(crate) gauges: (store::Gauges, broker::Gauges),
}

impl App {
    /// The address of an asset, which works from the moment it is accepted. Players choose by the extension at its end, so it
    /// has one if the type is known.
    pub(crate) fn media_url(&self, asset: AssetId, content_type: Option<&str>) -> String {
        let address = format!("{}/api/v1/media/{asset}", self.public_url);
        match content_type.and_then(file_types::by_content_type) {
            Some(known) => format!("{address}.{}", known.extension),
            None => address,
        }
    }

    pub(crate) fn job_url(&self, job: JobId) -> String {
        format!("{}/api/v1/jobs/{job}", self.public_url)
    }

    /// Where a job is followed.
    pub(crate) fn job_events_url(&self, job: JobId) -> String {
        format!("{}/events", self.job_url(job))
    }

    pub(crate) fn has_indexes(&self) -> bool {
        self.has_indexes.load(Ordering::Acquire)
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for Arc<Auth> {
    fn from_ref(app: &App) -> Self {
        app.auth.clone()
    }
}
