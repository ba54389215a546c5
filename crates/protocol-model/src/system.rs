//! What is durable, what is on its way and who holds it; and the changes that the database makes as one.

use store::{AssetState, JobState};

/// The first avatar of a user; accepted at the start.
pub(crate) const OLD: usize = 0;
/// A newer one, which arrives at any time and supersedes it.
pub(crate) const NEW: usize = 1;
/// The job that deletes the older asset from the media host.
pub(crate) const CLEANUP: usize = 2;

/// Failures after which a job is discarded.
pub(crate) const MAX_ATTEMPTS: u8 = 2;
/// Crashes after which a job is discarded.
pub(crate) const MAX_CRASHES: u8 = 2;
/// Messages of one job that are unsettled at once.
pub(crate) const MAX_COPIES: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    pub state: JobState,
    pub attempt: u8,
    pub failures: u8,
    pub crashes: u8,
    /// While it runs: whether the lease has not run out.
    pub leased: bool,
    /// While it waits to be tried again: whether its time has come.
    pub due: bool,
    /// A relay has taken it since.
    pub taken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asset {
    /// None before it is accepted.
    pub state: Option<AssetState>,
    /// The asset says that it needs its file.
    pub spool: bool,
    /// The file is in the spool.
    pub file: bool,
    /// The media host has it.
    pub hosted: bool,
}

/// The process that accepts the newer upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Api {
    Waits,
    /// The file is in the spool, nothing is accepted.
    Received,
    Accepted {
        /// The file of the older upload is still to be removed.
        unlink: bool,
    },
    Died,
    /// It died when it had sent the commit: the database makes it in a moment, or ends the transaction.
    DiedCommitting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Worker {
    Idle,
    Delivered {
        job: usize,
        /// The broker had delivered the message before.
        again: bool,
    },
    /// Its claim was made, and the answer lost: it does not know that it holds the job.
    Unanswered {
        job: usize,
        attempt: u8,
    },
    /// Its claim found a poisoned job, which it discards next.
    Condemns {
        job: usize,
        /// The attempt that its claim found.
        attempt: u8,
        /// The broker had said that the attempt's worker is gone.
        gone: bool,
    },
    /// It has seen that it may take the job, and takes it next. In a broken protocol alone.
    Looked {
        job: usize,
    },
    Works {
        job: usize,
        attempt: u8,
        /// The delivery is not acknowledged.
        unsettled: bool,
        phase: Phase,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    Claimed,
    /// The file is open, the upload under way.
    Opened,
    /// The media host has answered.
    Performed,
    /// A newer upload has taken its place: nothing to upload.
    Superseded,
    Recorded {
        unlink: bool,
    },
}

/// What no program remembers, for the promises to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Seen {
    /// How often an asset became the one that is shown.
    pub shown: [u8; 2],
    /// How many deletions were submitted.
    pub cleanups: u8,
    /// The older upload was shown although the newer had been accepted.
    pub overtaken: bool,
    /// A worker that held the job found no file.
    pub starved: bool,
    /// An attempt recorded its outcome after another had taken over.
    pub overwritten: bool,
    /// A failed job was published before its time.
    pub hurried: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct System {
    pub jobs: [Option<Job>; 3],
    pub assets: [Asset; 2],
    /// What the owner shows.
    pub shows: Option<usize>,
    /// The upload that the owner waits for.
    pub awaits: Option<usize>,
    /// Messages at the broker that nobody has been given, by job. Any may be delivered next.
    pub ready: [u8; 3],
    /// The same of messages that were delivered before, to a worker that is gone.
    pub again: [u8; 3],
    /// Somebody has published a message and has yet to say so in the database.
    pub unmarked: [bool; 3],
    /// In order, since it makes no difference which worker is which.
    pub workers: [Worker; 2],
    pub api: Api,
    /// Faults that may still happen.
    pub faults: u8,
    pub seen: Seen,
}

impl Job {
    pub(crate) const fn new() -> Self {
        Self { state: JobState::Pending, attempt: 0, failures: 0, crashes: 0, leased: false, due: false, taken: false }
    }

    /// What is kept of a finished job. Its numbers matter to nobody any more.
    fn finished(state: JobState) -> Self {
        Self { state, ..Self::new() }
    }
}

impl System {
    /// The older upload is accepted, nothing else has happened.
    pub(crate) fn new(faults: u8) -> Self {
        let none = Asset { state: None, spool: false, file: false, hosted: false };
        let old = Asset { state: Some(AssetState::Pending), spool: true, file: true, hosted: false };
        Self {
            jobs: [Some(Job::new()), None, None],
            assets: [old, none],
            shows: None,
            awaits: Some(OLD),
            ready: [0; 3],
            again: [0; 3],
            unmarked: [false; 3],
            workers: [Worker::Idle; 2],
            api: Api::Waits,
            faults,
            seen: Seen::default(),
        }
    }

    /// Messages of a job that are not settled.
    pub(crate) fn copies(&self, job: usize) -> u8 {
        let held = self.workers.iter().filter(|worker| match worker {
            Worker::Idle => false,
            Worker::Delivered { job: of, .. }
            | Worker::Unanswered { job: of, .. }
            | Worker::Condemns { job: of, .. }
            | Worker::Looked { job: of } => *of == job,
            Worker::Works { job: of, unsettled, .. } => *of == job && *unsettled,
        });
        held.fold(self.ready[job] + self.again[job], |sum, _| sum + 1)
    }

    /// Takes states for one that differ in nothing which can ever show: which worker is which, and what is still said about a
    /// job that is finished. Its messages are acknowledged and its marks are not made, whenever that is.
    pub(crate) fn simplify(&mut self) {
        for job in [OLD, NEW, CLEANUP] {
            if !self.jobs[job].is_some_and(|job| job.state.is_finished()) {
                continue;
            }
            (self.ready[job], self.again[job], self.unmarked[job]) = (0, 0, false);
            for worker in &mut self.workers {
                match worker {
                    Worker::Delivered { job: of, .. }
                    | Worker::Unanswered { job: of, .. }
                    | Worker::Condemns { job: of, .. }
                        if *of == job =>
                    {
                        *worker = Worker::Idle;
                    }
                    Worker::Works { job: of, phase: Phase::Recorded { unlink: false }, .. } if *of == job => {
                        *worker = Worker::Idle;
                    }
                    Worker::Works { job: of, unsettled, .. } if *of == job => *unsettled = false,
                    _ => {}
                }
            }
        }
        self.workers.sort_unstable();
    }

    /// Ends a job, if the table allows it.
    pub(crate) fn end(&mut self, job: usize, to: JobState) -> bool {
        let Some(ended) = self.jobs[job].as_mut().filter(|job| job.state.may_become(to)) else { return false };
        *ended = Job::finished(to);
        true
    }

    /// As `Media::replace_image`: one transaction.
    pub(crate) fn accept_newer(&mut self) {
        self.assets[NEW] = Asset { state: Some(AssetState::Pending), spool: true, ..self.assets[NEW] };
        self.jobs[NEW] = Some(Job::new());
        let mut unlink = false;
        if self.awaits == Some(OLD) {
            let old = self.jobs[OLD].filter(|job| job.state != JobState::Running);
            // A job that runs still reads the file, and lets go of it when it ends.
            unlink = old.is_some() && self.end(OLD, JobState::Cancelled);
            if self.assets[OLD].state == Some(AssetState::Pending) {
                self.assets[OLD].state = Some(AssetState::Superseded);
                self.assets[OLD].spool &= !unlink;
            }
            if unlink && old.is_some_and(|job| job.attempt > 0) {
                self.submit_cleanup();
            }
        }
        self.awaits = Some(NEW);
        self.api = match self.api {
            Api::DiedCommitting => Api::Died,
            _ => Api::Accepted { unlink },
        };
    }

    /// As `Media::publish` in the transaction that ends the job: whether the file may go.
    pub(crate) fn publish(&mut self, job: usize) -> bool {
        if self.assets[job].state != Some(AssetState::Pending) {
            return self.cancel(job);
        }
        let newer = |other: Option<usize>| other.is_some_and(|other| other > job);
        if newer(self.awaits) || newer(self.shows) || self.shows == Some(job) {
            return self.cancel(job);
        }
        if !self.end(job, JobState::Completed) {
            return false;
        }
        self.seen.overtaken |= job == OLD && self.jobs[NEW].is_some();
        self.seen.shown[job] += 1;
        if let Some(replaced) = self.shows.replace(job)
            && self.assets[replaced].state == Some(AssetState::Ready)
        {
            self.assets[replaced].state = Some(AssetState::Deleting);
            self.submit_cleanup();
        }
        self.awaits = None;
        self.assets[job].state = Some(AssetState::Ready);
        std::mem::take(&mut self.assets[job].spool)
    }

    /// As `Media::mark_superseded` in the transaction that ends the job: whether the file may go.
    pub(crate) fn cancel(&mut self, job: usize) -> bool {
        if !self.end(job, JobState::Cancelled) {
            return false;
        }
        self.assets[job].state = Some(AssetState::Superseded);
        self.submit_cleanup();
        std::mem::take(&mut self.assets[job].spool)
    }

    /// As `Media::cancel`: one transaction. The file that nothing needs any more is left to a sweeper, who may come at once.
    pub(crate) fn cancel_for_owner(&mut self, job: usize, deletes: bool) -> bool {
        let was_attempted = self.jobs[job].is_some_and(|job| job.attempt > 0);
        if !self.end(job, JobState::Cancelled) {
            return false;
        }
        if self.assets[job].state == Some(AssetState::Pending) {
            self.assets[job].state = Some(AssetState::Failed);
            self.awaits = self.awaits.filter(|awaited| *awaited != job);
        }
        self.assets[job].spool = false;
        if job == OLD && was_attempted && deletes {
            self.submit_cleanup();
        }
        true
    }

    /// What a cancellation would do that looks at nothing: a completed upload becomes a cancelled one.
    pub(crate) fn overwrite(&mut self, job: usize) -> bool {
        self.jobs[job] = Some(Job::finished(JobState::Cancelled));
        self.assets[job].state = Some(AssetState::Failed);
        true
    }

    /// As `Media::fail` in the transaction that ends the job: whether the file may go. That of a job which may be redriven stays.
    pub(crate) fn discard(&mut self, job: usize, replayable: bool) -> bool {
        if job == CLEANUP {
            self.end(job, JobState::Discarded);
            return false;
        }
        if self.assets[job].state == Some(AssetState::Superseded) {
            return self.cancel(job);
        }
        // What the media host refuses at once it does not have.
        let refused_at_once = !replayable && self.jobs[job].is_some_and(|job| job.attempt <= 1);
        if !self.end(job, JobState::Discarded) || self.assets[job].state != Some(AssetState::Pending) {
            return false;
        }
        self.assets[job].state = Some(AssetState::Failed);
        if job == OLD && !refused_at_once {
            self.submit_cleanup();
        }
        self.awaits = self.awaits.filter(|awaited| *awaited != job);
        !replayable && std::mem::take(&mut self.assets[job].spool)
    }

    fn submit_cleanup(&mut self) {
        self.seen.cleanups += 1;
        self.jobs[CLEANUP] = Some(Job::new());
    }
}
