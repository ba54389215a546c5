//! How full we are, measured once a second, so that no upload pays for asking.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use messages::UserId;
use spool::Spool;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::http::problem::{Problem, ProblemKind};
use crate::state::App;

const PERIOD: Duration = Duration::from_secs(1);

/// The latest measurements.
#[derive(Debug)]
pub(crate) struct Pressure {
    free_bytes: AtomicU64,
    backlog: AtomicU64,
    prepared: AtomicBool,
}

impl Pressure {
    pub(crate) fn new(spool: &Spool) -> Result<Self, spool::Error> {
        let free_bytes = AtomicU64::new(spool.free_bytes()?);
        Ok(Self { free_bytes, backlog: AtomicU64::new(0), prepared: AtomicBool::new(false) })
    }

    /// From now on the database keeps names unique.
    pub(crate) fn database_is_prepared(&self) {
        self.prepared.store(true, Ordering::Release);
    }

    pub(crate) fn is_database_prepared(&self) -> bool {
        self.prepared.load(Ordering::Acquire)
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }
}

/// Measures until `stop`.
pub(crate) async fn watch(app: App, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match app.spool().free_bytes() {
            Ok(free) => app.pressure().free_bytes.store(free, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "cannot measure the spool"),
        }
        // While the database is away the last number stands: uploads fail on their own then.
        if let Ok(backlog) = app.store().jobs().unpublished_backlog(app.limits().max_backlog).await {
            app.pressure().backlog.store(backlog, Ordering::Relaxed);
        }
    }
}

/// Whether an upload of so many bytes (as far as the client said) may come now. Asked before its body is read.
///
/// # Errors
///
/// 507 when the disk would become too full, 503 when too many jobs wait to be published, both with `Retry-After`.
pub(crate) fn admit(app: &App, length: Option<u64>) -> Result<(), Problem> {
    let (pressure, limits) = (app.pressure(), app.limits());
    if pressure.free_bytes() < limits.spool_min_free.saturating_add(length.unwrap_or(0)) {
        let detail = "there is no room for uploads at the moment; try again later";
        return Err(Problem::new(ProblemKind::StorageFull, detail).retry_after(60));
    }
    if pressure.backlog.load(Ordering::Relaxed) >= limits.max_backlog {
        let detail = "too many uploads wait to be processed; try again later";
        return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(30));
    }
    Ok(())
}

/// Whether a user may begin another upload.
///
/// # Errors
///
/// 429 with `Retry-After` when as many as allowed are unfinished.
pub(crate) async fn admit_user(app: &App, user: UserId) -> Result<(), Problem> {
    let limit = app.limits().user_max_unfinished;
    if app.store().jobs().unfinished_uploads(user).await? >= limit {
        let detail = format!("{limit} of your uploads are not finished; wait for one of them");
        return Err(Problem::new(ProblemKind::TooMany, detail).retry_after(10));
    }
    Ok(())
}
