//! Uploads: multipart bodies (RFC 7578) streamed into the spool, for whichever route declares an [`upload_form!`].
//!
//! A route takes an [`Upload`] of its form, asks for admission, reads the form, commits the files, and submits them in
//! one transaction with whatever they belong to. Memory holds one chunk of a body at a time. A file belongs to a guard
//! that removes it until a durable job owns it, so a request that fails at any point, or whose client goes away, leaves
//! nothing behind.

mod accepts;
mod admission;
mod body_stream;
mod disposition;
mod field;
mod file;
mod form;
pub(crate) mod publishing;
mod room;
mod submission;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use spool::Spool;
use store::Store;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use admission::UnderWay;
use publishing::Enqueued;
use room::Room;

pub(crate) use accepts::Accepts;
pub(crate) use admission::Admitted;
pub(crate) use field::{FileField, UploadForm, form_schema, upload_form};
pub(crate) use file::Files;
pub(crate) use form::{Part, Upload};
pub(crate) use room::Closed;
pub(crate) use submission::Early;

/// Takes uploads. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    pub(crate) spool: Spool,
    store: Store,
    publishing: mpsc::Sender<Enqueued>,
    limits: Limits,
    /// Work that goes on when its client has gone.
    tasks: TaskTracker,
    room: Arc<Room>,
    under_way: UnderWay,
    /// Jobs that waited to be published when they were counted last.
    backlog: Arc<AtomicU64>,
}

impl Uploads {
    pub(crate) fn new(
        store: Store,
        spool: Spool,
        publishing: mpsc::Sender<Enqueued>,
        limits: Limits,
        tasks: TaskTracker,
    ) -> Result<Self, spool::Error> {
        let room = Room::new(spool.free_bytes()?, limits.spool_min_free);
        let (under_way, backlog) = (UnderWay::default(), Arc::default());
        Ok(Self { spool, store, publishing, limits, tasks, room, under_way, backlog })
    }
}
