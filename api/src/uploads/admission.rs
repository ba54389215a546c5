//! Whether an upload may come: how full we are, measured once a second, so that no upload pays for asking, and what is
//! under way.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messages::UserId;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Uploads;
use super::room::{Closed, Promised};
use crate::http::{Problem, ProblemKind};

const PERIOD: Duration = Duration::from_secs(1);

/// An upload that may come. Dropping it gives back what it was promised, so it lasts until its job is in the database.
#[derive(Debug)]
pub(crate) struct Admitted {
    room: Promised,
    /// Of a user who is signed in.
    _place: Option<Place>,
}

impl Admitted {
    /// Whether bytes that came may be written. 507 when the disk would become too full, whatever was declared.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Problem> {
        self.room.take(bytes).then_some(()).ok_or_else(no_room)
    }
}

/// The uploads of each user that this process is receiving: the database does not know them yet.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<HashMap<UserId, u64>>>);

#[derive(Debug)]
struct Place {
    all: UnderWay,
    user: UserId,
    /// How many the user had under way when this one came, itself included.
    number: u64,
}

impl UnderWay {
    fn enter(&self, user: UserId) -> Place {
        let mut all = self.lock();
        let number = all.entry(user).or_default();
        *number += 1;
        Place { all: self.clone(), user, number: *number }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        let left = all.get(&self.user).map_or(0, |number| number.saturating_sub(1));
        if left == 0 {
            all.remove(&self.user);
        } else {
            all.insert(self.user, left);
        }
    }
}

impl Uploads {
    /// Measures until `stop`.
    pub(crate) async fn measure(self, stop: CancellationToken) {
        let mut was = None;
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.room.counted(self.spool.free_inodes().ok().flatten());
            match self.measure_spool() {
                Ok((free, takes_no_files)) => self.room.measured(free, takes_no_files),
                Err(error) => {
                    self.room.not_measured();
                    tracing::warn!(%error, "cannot measure the spool");
                }
            }
            let closed = self.room.closed();
            match closed {
                _ if closed == was => {}
                Some(why) => tracing::warn!("the spool takes no uploads: {}", why.detail()),
                None => tracing::info!("the spool takes uploads again"),
            }
            was = closed;
            // While the database is away the last number stands: uploads fail on their own then.
            if let Ok(backlog) = self.store.jobs().unpublished_backlog(self.limits.max_backlog).await {
                self.backlog.store(backlog, Ordering::Relaxed);
            }
        }
    }

    fn measure_spool(&self) -> Result<(u64, Option<Closed>), spool::Error> {
        let takes_no_files = match self.spool.takes_files() {
            Ok(()) => None,
            Err(spool::Error::Full) => Some(Closed::NoInodes),
            Err(spool::Error::ReadOnly) => Some(Closed::ReadOnly),
            Err(error) => return Err(error),
        };
        Ok((self.spool.free_bytes()?, takes_no_files))
    }

    /// What is free on the spool's disk, as of the last second: bytes, and files where they have a limit. `None`: it cannot be measured.
    pub(crate) fn free(&self) -> Option<(u64, Option<u64>)> {
        self.room.free()
    }

    /// Why no upload is taken, however short.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.room.closed()
    }

    /// Whether an upload of so many bytes (if the client said so) may come now. Asked before its body is read. 507 when
    /// the disk would become too full, 503 when it is read-only or too many jobs wait to be published.
    pub(crate) fn admit(&self, length: Option<u64>) -> Result<Admitted, Problem> {
        let room = self.room.promise(length.unwrap_or(0)).map_err(|why| match why {
            Closed::ReadOnly => spool::Error::ReadOnly.into(),
            Closed::Full | Closed::NoInodes => no_room(),
        })?;
        if self.backlog.load(Ordering::Relaxed) >= self.limits.max_backlog {
            let detail = "too many uploads wait to be processed; try again later";
            return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(30));
        }
        Ok(Admitted { room, _place: None })
    }

    /// As [`Uploads::admit`], and 429 when as many uploads of the user as allowed are unfinished, those included that
    /// this process is receiving.
    pub(crate) async fn admit_user(&self, user: UserId, length: Option<u64>) -> Result<Admitted, Problem> {
        let admitted = self.admit(length)?;
        // Before the database is asked: what is accepted meanwhile counts twice rather than not at all.
        let place = self.under_way.enter(user);
        let limit = self.limits.user_max_unfinished;
        if self.store.jobs().unfinished_uploads(user).await?.saturating_add(place.number) > limit {
            let detail = format!("{limit} of your uploads are not finished; wait for one of them");
            return Err(Problem::new(ProblemKind::TooMany, detail).retry_after(10));
        }
        Ok(Admitted { _place: Some(place), ..admitted })
    }
}

fn no_room() -> Problem {
    let detail = "there is no room for uploads at the moment; try again later";
    Problem::new(ProblemKind::StorageFull, detail).retry_after(60)
}
