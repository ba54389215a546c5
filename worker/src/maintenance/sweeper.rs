//! Removes files that nobody needs: what killed processes left behind, and what a lost acknowledgement left over.
//!
//! A file in `incoming/` that has not changed for the grace period has no writer any more. A file in `ready/` that old is
//! removed unless an asset needs it, and only if the database said so: without an answer nothing in `ready/` is touched.
//! Several sweepers may run over one spool; removing a file twice is no error.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crash_points::Point;
use messages::FileId;
use spool::{Area, Entry};

use crate::context::Context;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Swept {
    /// Files whose upload never ended.
    abandoned: u64,
    /// Whole files that no asset needs.
    ownerless: u64,
    /// Files of discarded jobs that nobody has redriven in time.
    expired: u64,
}

/// Sweeps for ever. A sweep that fails is tried again at the next turn.
pub(crate) async fn run(context: Arc<Context>) {
    loop {
        match sweep(&context).await {
            Ok(swept) if swept == Swept::default() => tracing::trace!("nothing to sweep"),
            Ok(Swept { abandoned, ownerless, expired }) => {
                tracing::info!(abandoned, ownerless, expired, "removed files that nobody needs");
            }
            Err(cause) => tracing::warn!(%cause, "cannot sweep the spool now"),
        }
        tokio::time::sleep(context.settings.sweep_every).await;
    }
}

async fn sweep(context: &Context) -> anyhow::Result<Swept> {
    let mut swept = Swept::default();
    // The database forgets the file before it goes: a crash in between leaves a file without an owner, for the next sweep.
    for file in context.store.media().release_expired().await? {
        crash_points::reach(Point::SweeperForgot);
        swept.expired += u64::from(context.spool.remove(file).await?);
    }
    let mut entries = context.spool.entries();
    loop {
        let page = entries.next_page().await?;
        if page.is_empty() {
            return Ok(swept);
        }
        let now = SystemTime::now();
        let stale: Vec<&Entry> =
            page.iter().filter(|entry| is_stale(entry, now, context.settings.sweep_grace)).collect();
        swept.abandoned += sweep_incoming(context, &stale).await?;
        swept.ownerless += sweep_ready(context, &stale).await?;
    }
}

async fn sweep_incoming(context: &Context, stale: &[&Entry]) -> anyhow::Result<u64> {
    let mut removed = 0;
    for entry in stale.iter().filter(|entry| entry.area == Area::Incoming) {
        removed += u64::from(context.spool.remove_entry(entry).await?);
        crash_points::reach(Point::SweeperAbandoned);
    }
    Ok(removed)
}

async fn sweep_ready(context: &Context, stale: &[&Entry]) -> anyhow::Result<u64> {
    let candidates: Vec<&&Entry> = stale.iter().filter(|entry| entry.area == Area::Ready).collect();
    if candidates.is_empty() {
        return Ok(0);
    }
    let files: Vec<FileId> = candidates.iter().map(|entry| entry.file).collect();
    let needed = context.store.media().files_in_use(&files).await?;
    crash_points::reach(Point::SweeperJudged);
    let mut removed = 0;
    for entry in candidates {
        if !needed.contains(&entry.file) {
            removed += u64::from(context.spool.remove_entry(entry).await?);
            crash_points::reach(Point::SweeperRemoved);
        }
    }
    Ok(removed)
}

/// A file from the future, by a clock that was set back, is not stale.
fn is_stale(entry: &Entry, now: SystemTime, grace: Duration) -> bool {
    now.duration_since(entry.modified).is_ok_and(|age| age > grace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(age: i64) -> (Entry, SystemTime) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let modified = if age < 0 {
            now + Duration::from_secs(age.unsigned_abs())
        } else {
            now - Duration::from_secs(age.unsigned_abs())
        };
        (Entry { area: Area::Ready, file: FileId::new(), modified }, now)
    }

    #[test]
    fn only_a_file_that_is_older_than_the_grace_is_stale() {
        let grace = Duration::from_secs(60);
        for (age, stale) in [(61, true), (60, false), (0, false), (-3600, false)] {
            let (entry, now) = entry(age);
            assert_eq!(is_stale(&entry, now, grace), stale, "{age} s old");
        }
    }
}
