//! Follows what changes, for all streams of this process. While none is open it does nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::join_all;
use messages::{AssetId, JobId, UserId};
use store::{Asset, CatchUp, Change, Changed, Error, Feed, JobRecord};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::hub::Hub;
use super::position::Position;
use super::reader::{Event, Reader};
use crate::routes::jobs::views::JobView;
use crate::state::App;

/// How long a database is left alone that does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// The same if it refuses, which somebody has to mend.
const REFUSED: Duration = Duration::from_secs(30);
/// Changes that may wait to be looked at; more wait at the server.
const WAITING: usize = 4096;
/// Changes that are looked at together.
const TOGETHER: usize = 256;
/// Streams that catch up together, and jobs that each of them reads at a time.
const CATCHING_UP: usize = 16;
const PART: usize = 100;
/// A change may become visible so long after the time that it bears: MongoDB ends older transactions.
const OVERLAP: Duration = Duration::from_secs(60);
/// How far an upload has come is told that often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether anybody still reads, and what of the bookkeeping is for nobody.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether the sessions of streams are live, and how many at a time.
const SESSIONS_EVERY: Duration = Duration::from_secs(20);
const SESSIONS: usize = 64;

/// Follows changes until the process stops, and then ends all streams.
pub(crate) async fn follow(app: App, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow_changes(&app) => {}
        () = watch_sessions(&app) => {}
    }
    app.events.close();
}

async fn follow_changes(app: &App) {
    loop {
        while app.events.count() == 0 {
            app.events.until_asked().await;
        }
        let broke = match app.store.jobs().watch().await {
            Ok(feed) => {
                // Whatever they are told from here on was read after the feed began.
                app.events.all_lag();
                Follower::new(app, feed).run().await
            }
            Err(error) => Err(error),
        };
        let Err(error) = broke else { continue };
        let pause = if error.is_transient() {
            tracing::debug!(error = &error as &dyn std::error::Error, "mongodb does not tell what changes");
            RETRY
        } else {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "mongodb does not tell what changes, and so event streams do not"
            );
            REFUSED
        };
        sleep(pause).await;
    }
}

/// One feed, and what is known by it.
struct Follower<'a> {
    app: &'a App,
    hub: &'a Hub,
    changes: mpsc::Receiver<Change>,
    reading: AbortOnDropHandle<Result<(), Error>>,
    /// Whose a job is, of jobs that may change and of users who have streams.
    jobs: HashMap<JobId, UserId>,
    /// Of these it is to be told how far they have come.
    progressed: HashSet<JobId>,
    /// All that changed before was looked at.
    reached: Position,
    /// All that changed before is told to every stream that does not lag.
    told: Position,
}

impl<'a> Follower<'a> {
    fn new(app: &'a App, feed: Feed) -> Self {
        let (sender, changes) = mpsc::channel(WAITING);
        let reading = AbortOnDropHandle::new(tokio::spawn(read(feed, sender)));
        let (jobs, progressed) = (HashMap::new(), HashSet::new());
        let (reached, told) = (Position::at(OffsetDateTime::UNIX_EPOCH), Position::at(OffsetDateTime::UNIX_EPOCH));
        Self { app, hub: &app.events, changes, reading, jobs, progressed, reached, told }
    }

    /// Tells what changes until nobody is there to be told. Everything that is read is read here, one after the other: what comes later
    /// was read later, and a stream never goes back to an older state.
    async fn run(mut self) -> Result<(), Error> {
        let mut progress = interval(PROGRESS_EVERY);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tidied = Instant::now();
        let mut batch = Vec::with_capacity(TOGETHER);
        loop {
            tokio::select! {
                received = self.changes.recv_many(&mut batch, TOGETHER) => if received == 0 {
                    return (&mut self.reading).await.unwrap_or(Ok(()));
                },
                () = self.hub.until_asked() => {}
                _ = progress.tick(), if !self.progressed.is_empty() => self.tell_progress().await?,
                () = sleep(TIDY_EVERY) => {}
            }
            self.look_at(&batch).await?;
            batch.clear();
            self.catch_up().await?;
            if tidied.elapsed() >= TIDY_EVERY {
                if self.hub.count() == 0 {
                    return Ok(());
                }
                self.jobs.retain(|_, owner| self.hub.has(*owner));
                tidied = Instant::now();
            }
        }
    }

    async fn look_at(&mut self, changes: &[Change]) -> Result<(), Error> {
        let Some(last) = changes.last() else { return Ok(()) };
        let mut jobs = Vec::new();
        for change in changes {
            if let Some(owner) = change.owner.filter(|owner| self.hub.has(*owner)) {
                self.jobs.insert(change.job, owner);
            }
            let is_watched = self.jobs.contains_key(&change.job);
            match change.what {
                Changed::Progress if is_watched => _ = self.progressed.insert(change.job),
                Changed::State if is_watched => jobs.push(change.job),
                // It had ended, so that it is nobody's here.
                Changed::Redriven => jobs.push(change.job),
                Changed::State | Changed::Progress => {}
            }
        }
        // A server whose clock was ahead leaves its successors with times that are still to come.
        let now = Position::at(self.app.store.now().await?);
        self.reached = self.reached.max(Position::at(last.at).min(now));
        self.tell(jobs).await
    }

    async fn tell_progress(&mut self) -> Result<(), Error> {
        let jobs = self.progressed.drain().collect();
        self.tell(jobs).await
    }

    /// Tells how jobs are now.
    async fn tell(&mut self, mut jobs: Vec<JobId>) -> Result<(), Error> {
        jobs.sort_unstable();
        jobs.dedup();
        let found = self.app.store.jobs().current(&jobs).await?;
        let assets = self.assets(found.iter()).await?;
        for (owner, event) in self.events(found, &assets) {
            // As far as was told before: a client that leaves between two of these events has not been told the other.
            self.hub.tell(owner, &event, self.told);
        }
        self.told = self.reached;
        Ok(())
    }

    /// Answers some of those who lag.
    async fn catch_up(&mut self) -> Result<(), Error> {
        let asking = self.hub.some_asking(CATCHING_UP);
        if asking.is_empty() {
            return Ok(());
        }
        let is_all = asking.len() < CATCHING_UP;
        let app = self.app;
        let now = Position::at(app.store.now().await?);
        let parts = asking.into_iter().map(|reader| async move {
            let part = part(app, &reader, now).await;
            (reader, part)
        });
        let mut read = Vec::new();
        for (reader, part) in join_all(parts).await {
            read.extend(part?.map(|part| (reader, part)));
        }
        let assets = self.assets(read.iter().flat_map(|(_, part)| &part.found)).await?;
        for (reader, Part { found, next }) in read {
            if reader.only.is_some() && found.is_empty() {
                // It is kept no longer.
                reader.end();
                continue;
            }
            let events: Vec<Event> = self.events(found, &assets).into_iter().map(|(_, event)| event).collect();
            reader.caught_up(&events, next);
        }
        // Others may still wait.
        if !is_all {
            self.hub.wake();
        }
        Ok(())
    }

    /// The assets of jobs.
    async fn assets(&self, jobs: impl Iterator<Item = &JobRecord>) -> Result<HashMap<AssetId, Asset>, Error> {
        let assets: Vec<AssetId> = jobs.filter_map(|job| job.asset).collect();
        let assets = self.app.store.media().find_all(&assets).await?;
        Ok(assets.into_iter().map(|asset| (asset.id, asset)).collect())
    }

    /// What is told of jobs, and to whom: their owners, if they have streams.
    fn events(&mut self, found: Vec<JobRecord>, assets: &HashMap<AssetId, Asset>) -> Vec<(UserId, Event)> {
        let mut events = Vec::with_capacity(found.len());
        for job in found {
            let Some(owner) = job.owner.filter(|owner| self.hub.has(*owner)) else { continue };
            let (id, updated, is_final) = (job.id, Position::at(job.updated_at), job.state.is_finished());
            // Unless somebody redrives it, nothing more becomes of it.
            if is_final {
                self.jobs.remove(&id)
            } else {
                self.jobs.insert(id, owner)
            };
            let asset = job.asset.and_then(|asset| assets.get(&asset));
            let text = text(&JobView::new(self.app, job, asset));
            events.push((owner, Event { job: id, text, updated, is_final }));
        }
        events
    }
}

/// A part of what a stream lags behind, and where it goes on.
struct Part {
    found: Vec<JobRecord>,
    next: Option<CatchUp>,
}

/// The next part. `None`: the stream lags no more.
async fn part(app: &App, reader: &Reader, now: Position) -> Result<Option<Part>, Error> {
    let Some((told, from)) = reader.begin(now) else { return Ok(None) };
    let jobs = app.store.jobs();
    let (found, next) = match reader.only {
        Some(job) => (jobs.current(&[job]).await?, None),
        None => jobs.catch_up(reader.user, told.time() - OVERLAP, from, PART).await?,
    };
    Ok(Some(Part { found, next }))
}

fn text(job: &JobView) -> Bytes {
    // A struct of strings, numbers and lists always serialises, and on one line.
    let data = serde_json::to_string(job).unwrap_or_default();
    format!("event: job\ndata: {data}\n\n").into()
}

/// Reads a feed until it breaks, or until nobody takes what it tells.
async fn read(mut feed: Feed, changes: mpsc::Sender<Change>) -> Result<(), Error> {
    loop {
        if let Some(change) = feed.next().await?
            && changes.send(change).await.is_err()
        {
            return Ok(());
        }
    }
}

/// Ends streams whose session has ended.
async fn watch_sessions(app: &App) {
    loop {
        sleep(SESSIONS_EVERY).await;
        let sessions: Vec<_> = app.events.sessions().into_iter().collect();
        for sessions in sessions.chunks(SESSIONS) {
            let look = sessions.iter().copied().map(|(user, session)| async move {
                // An answer that does not come is asked for again.
                if let Ok(None) = app.store.users().signed_in(user, session).await {
                    app.events.end_session(user, session);
                }
            });
            join_all(look).await;
        }
    }
}
