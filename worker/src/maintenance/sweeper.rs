//! Removes files that nobody needs: what killed processes left behind, and what a lost acknowledgement left over.
//!
//! A file is removed if nothing can commit it any more, and no machine's own clock has a say in that:
//!
//! * it has not changed for the grace period, by the clock of its volume, which dates all files of the spool;
//! * nobody holds it: no process lives that receives it or waits for the transaction which accepts it;
//! * no asset needs it, of a file in `ready/`, and the database said so: without an answer nothing there is touched;
//! * all of that was so at a first look already, as long ago as the database lets any transaction live. A process that died
//!   may have sent a commit.
//!
//! Several sweepers may run over one spool; removing a file twice is no error.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crash_points::Point;
use messages::FileId;
use spool::{Area, Entry};
use tokio::time::Instant;

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

/// What lies in the two areas of the spool, in the order of [`Area::ALL`].
pub(crate) type SpoolUse = [AreaUse; Area::ALL.len()];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AreaUse {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Files that nobody seemed to need at a first look.
type Suspects = HashMap<FileId, Suspect>;

struct Suspect {
    since: Instant,
    /// As it was then.
    modified: SystemTime,
}

/// Sweeps for ever. A sweep that fails is tried again at the next turn.
pub(crate) async fn run(context: Arc<Context>) {
    let mut suspects = Suspects::new();
    loop {
        match sweep(&context, &mut suspects).await {
            Ok(swept) if swept == Swept::default() => tracing::trace!("nothing to sweep"),
            Ok(Swept { abandoned, ownerless, expired }) => {
                tracing::info!(abandoned, ownerless, expired, "removed files that nobody needs");
            }
            Err(cause) => tracing::warn!(%cause, "cannot sweep the spool now"),
        }
        tokio::time::sleep(context.settings.sweep_every).await;
    }
}

async fn sweep(context: &Context, suspects: &mut Suspects) -> anyhow::Result<Swept> {
    let mut swept = Swept::default();
    let mut used = SpoolUse::default();
    // The database forgets the file before it goes: a crash in between leaves a file without an owner, for the next sweep.
    for file in context.store.media().release_expired().await? {
        crash_points::reach(Point::SweeperForgot);
        count(&mut swept.expired, "expired", context.spool.remove(file).await?);
    }
    let now = context.spool.time().await?;
    let mut entries = context.spool.entries();
    // Those of earlier looks that were not found this time are gone, or have an owner.
    let mut found = Suspects::new();
    loop {
        let page = entries.next_page().await?;
        if page.is_empty() {
            *suspects = found;
            context.spool_use.send_replace(Some(used));
            return Ok(swept);
        }
        for entry in &page {
            let area = &mut used[entry.area as usize];
            area.files += 1;
            area.bytes += entry.bytes;
        }
        let stale = page.into_iter().filter(|entry| is_stale(entry, now, context.settings.sweep_grace)).collect();
        for entry in unneeded(context, stale).await? {
            let first = suspects.get(&entry.file).filter(|first| first.modified == entry.modified);
            let since = first.map_or_else(Instant::now, |first| first.since);
            if since.elapsed() < context.settings.sweep_second_look {
                found.insert(entry.file, Suspect { since, modified: entry.modified });
                continue;
            }
            let (so_far, why, point) = match entry.area {
                Area::Incoming => (&mut swept.abandoned, "abandoned", Point::SweeperAbandoned),
                Area::Ready => (&mut swept.ownerless, "ownerless", Point::SweeperRemoved),
            };
            count(so_far, why, context.spool.remove_entry(&entry).await?);
            crash_points::reach(point);
        }
    }
}

fn count(so_far: &mut u64, why: &str, is_removed: bool) {
    *so_far += u64::from(is_removed);
    meters::SWEPT_FILES.add(&[why], u64::from(is_removed));
}

/// Those that nobody holds and no asset needs.
async fn unneeded(context: &Context, mut files: Vec<Entry>) -> anyhow::Result<Vec<Entry>> {
    let in_ready: Vec<FileId> =
        files.iter().filter(|entry| entry.area == Area::Ready).map(|entry| entry.file).collect();
    if !in_ready.is_empty() {
        let needed = context.store.media().files_in_use(&in_ready).await?;
        files.retain(|entry| entry.area == Area::Incoming || !needed.contains(&entry.file));
        crash_points::reach(Point::SweeperJudged);
    }
    let mut unneeded = Vec::new();
    for entry in files {
        if !context.spool.is_held(&entry).await? {
            unneeded.push(entry);
        }
    }
    Ok(unneeded)
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
        (Entry { area: Area::Ready, file: FileId::new(), modified, bytes: 0 }, now)
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
