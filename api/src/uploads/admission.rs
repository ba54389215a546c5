//! How full we are, measured once a second, so that no upload pays for asking.

use std::sync::atomic::Ordering;
use std::time::Duration;

use messages::UserId;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Uploads;
use crate::http::{Problem, ProblemKind};

const PERIOD: Duration = Duration::from_secs(1);

impl Uploads {
    /// Measures until `stop`.
    pub(crate) async fn measure(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.spool.free_bytes() {
                Ok(free) => self.free_bytes.store(free, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "cannot measure the spool"),
            }
            // While the database is away the last number stands: uploads fail on their own then.
            if let Ok(backlog) = self.store.jobs().unpublished_backlog(self.limits.max_backlog).await {
                self.backlog.store(backlog, Ordering::Relaxed);
            }
        }
    }

    /// Whether the spool has room for so many bytes.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.free_bytes.load(Ordering::Relaxed) >= self.limits.spool_min_free.saturating_add(bytes)
    }

    /// Whether an upload of so many bytes (if the client said so) may come now. Asked before its body is read. 507 when
    /// the disk would become too full, 503 when too many jobs wait to be published.
    pub(crate) fn admit(&self, length: Option<u64>) -> Result<(), Problem> {
        if !self.has_room(length.unwrap_or(0)) {
            let detail = "there is no room for uploads at the moment; try again later";
            return Err(Problem::new(ProblemKind::StorageFull, detail).retry_after(60));
        }
        if self.backlog.load(Ordering::Relaxed) >= self.limits.max_backlog {
            let detail = "too many uploads wait to be processed; try again later";
            return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(30));
        }
        Ok(())
    }

    /// As [`Uploads::admit`], and 429 when as many uploads of the user as allowed are unfinished.
    pub(crate) async fn admit_user(&self, user: UserId, length: Option<u64>) -> Result<(), Problem> {
        self.admit(length)?;
        let limit = self.limits.user_max_unfinished;
        if self.store.jobs().unfinished_uploads(user).await? >= limit {
            let detail = format!("{limit} of your uploads are not finished; wait for one of them");
            return Err(Problem::new(ProblemKind::TooMany, detail).retry_after(10));
        }
        Ok(())
    }
}
