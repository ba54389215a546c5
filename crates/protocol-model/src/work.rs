//! The steps of a worker, from a delivery to its acknowledgement.

use store::{AssetState, JobState};

use crate::steps::{Protocol, Variant};
use crate::system::{CLEANUP, MAX_ATTEMPTS, MAX_CRASHES, OLD, Phase, System, Worker};

impl Protocol {
    /// A worker takes its next step.
    pub(crate) fn work(&self, system: &mut System, worker: usize) -> bool {
        let (job, attempt, unsettled, phase) = match system.workers[worker] {
            Worker::Idle => return false,
            Worker::Works { job, attempt, unsettled, phase } => (job, attempt, unsettled, phase),
            claiming => {
                system.workers[worker] = match claiming {
                    Worker::Delivered { job, again } => self.claim(system, job, again),
                    Worker::Unanswered { job, attempt } => self.ask_again(system, job, attempt),
                    Worker::Condemns { job, attempt, gone } => self.condemn(system, job, attempt, gone),
                    Worker::Looked { job } => self.begin(system, job),
                    other => other,
                };
                return true;
            }
        };
        let phase = match phase {
            Phase::Claimed if job == CLEANUP => Some(Phase::Opened),
            Phase::Claimed => Some(self.open(system, job, attempt)),
            Phase::Opened if job == CLEANUP => {
                // The deletion is made again after a while; by then no upload of the asset is under way.
                if self.variant != Variant::OneLookOnly && is_uploading(system, OLD) {
                    return false;
                }
                system.assets[OLD].hosted = false;
                Some(Phase::Performed)
            }
            Phase::Opened => {
                system.assets[job].hosted = true;
                system.assets[job].file &= self.variant != Variant::UnlinkBeforeCommit;
                Some(Phase::Performed)
            }
            Phase::Performed | Phase::Superseded => Some(self.record(system, job, attempt, phase)),
            Phase::Recorded { unlink: true } => {
                system.assets[job].file = false;
                Some(Phase::Recorded { unlink: false })
            }
            // The acknowledgement.
            Phase::Recorded { unlink: false } => None,
        };
        system.workers[worker] = phase.map_or(Worker::Idle, |phase| Worker::Works { job, attempt, unsettled, phase });
        true
    }

    /// What a worker makes of the answer to a claim.
    fn claim(&self, system: &mut System, job: usize, again: bool) -> Worker {
        match ask(system, job, again) {
            Claim::Claimed if self.variant == Variant::ClaimInTwoStatements => Worker::Looked { job },
            Claim::Claimed => self.begin(system, job),
            Claim::Poisoned { attempt, gone } => Worker::Condemns { job, attempt, gone },
            // Acknowledged: whoever runs it has a message of its own, and the relay publishes what waits.
            Claim::Finished | Claim::NotDue | Claim::Busy => Worker::Idle,
        }
    }

    fn begin(&self, system: &mut System, job: usize) -> Worker {
        let attempt = begin_attempt(system, job);
        let unsettled = !matches!(self.variant, Variant::AckBeforeCommit | Variant::AckBeforeCommitWithoutRescue);
        Worker::Works { job, attempt, unsettled, phase: Phase::Claimed }
    }

    /// The claim is made again. Its answer says who holds the job: the worker itself, which takes it up and renews the lease.
    fn ask_again(&self, system: &mut System, job: usize, attempt: u8) -> Worker {
        if !is_holder(system, job, attempt) {
            return self.claim(system, job, false);
        }
        if let Some(held) = &mut system.jobs[job] {
            held.leased = true;
        }
        Worker::Works { job, attempt, unsettled: true, phase: Phase::Claimed }
    }

    /// As `Jobs::settle` with `Fence::Abandoned`: the attempt that was found still runs, and is still left behind.
    fn condemn(&self, system: &mut System, job: usize, attempt: u8, gone: bool) -> Worker {
        let runs = system.jobs[job].filter(|job| job.state == JobState::Running);
        let abandoned = runs.is_some_and(|job| job.attempt == attempt && (gone || !job.leased));
        let passes = abandoned || (runs.is_some() && self.variant == Variant::PoisonWithoutFence);
        system.seen.overwritten |= passes && !abandoned;
        if !passes {
            return Worker::Idle;
        }
        let unlink = system.discard(job, true);
        Worker::Works { job, attempt, unsettled: true, phase: Phase::Recorded { unlink } }
    }

    /// Opens the file. Attempts after the first look at the asset before.
    fn open(&self, system: &mut System, job: usize, attempt: u8) -> Phase {
        let asset = system.assets[job];
        let over = [AssetState::Superseded, AssetState::Deleting, AssetState::Deleted, AssetState::Failed];
        let looks = attempt > 1;
        if looks && asset.state.is_some_and(|state| over.contains(&state)) {
            return Phase::Superseded;
        }
        if asset.file && (asset.spool || !looks) {
            return Phase::Opened;
        }
        system.seen.starved |= is_holder(system, job, attempt);
        let unlink = self.holds(system, job, attempt) && system.discard(job, false);
        Phase::Recorded { unlink }
    }

    /// As `Jobs::settle` of two jobs at once: one transaction. Where a fence does not hold, or the jobs meet another one, nothing
    /// is written, and each worker records alone. Without an answer neither knows, records again, and finds itself outnumbered.
    pub(crate) fn commit_together(&self, system: &mut System, first: usize, answered: bool) -> bool {
        let [Worker::Works { job: one, .. }, Worker::Works { job: other, .. }] = system.workers else { return false };
        let mut fences = [false; 2];
        for (held, worker) in fences.iter_mut().zip(system.workers) {
            let Worker::Works { job, attempt, phase: Phase::Performed | Phase::Superseded, .. } = worker else {
                return false;
            };
            *held = is_holder(system, job, attempt);
        }
        let all = fences == [true; 2];
        let passes = all || (self.variant == Variant::OneFenceForAll && fences != [false; 2]);
        if !passes || one == other {
            return false;
        }
        system.seen.overwritten |= !all;
        for worker in [first, 1 - first] {
            let Worker::Works { job, attempt, unsettled, phase } = system.workers[worker] else { continue };
            let unlink = end(system, job, phase);
            if answered {
                system.workers[worker] = Worker::Works { job, attempt, unsettled, phase: Phase::Recorded { unlink } };
            }
        }
        true
    }

    fn record(&self, system: &mut System, job: usize, attempt: u8, phase: Phase) -> Phase {
        let unlink = if self.holds(system, job, attempt) {
            end(system, job, phase)
        } else {
            // Overtaken, perhaps by an outcome of our own whose answer was lost: then nobody else knows of the file.
            job != CLEANUP && phase == Phase::Performed && !system.assets[job].spool
        };
        Phase::Recorded { unlink }
    }

    /// As `Jobs::retry`.
    pub(crate) fn fail(&self, system: &mut System, worker: usize) -> bool {
        let Worker::Works { job, attempt, unsettled, phase: Phase::Opened | Phase::Performed } = system.workers[worker]
        else {
            return false;
        };
        if self.holds(system, job, attempt)
            && let Some(failed) = &mut system.jobs[job]
        {
            failed.failures += 1;
            if failed.failures < MAX_ATTEMPTS && failed.state.may_become(JobState::Retryable) {
                failed.state = JobState::Retryable;
                (failed.leased, failed.due, failed.taken) = (false, false, false);
            } else {
                system.discard(job, true);
            }
        }
        system.workers[worker] = Worker::Works { job, attempt, unsettled, phase: Phase::Recorded { unlink: false } };
        true
    }

    pub(crate) fn reject(&self, system: &mut System, worker: usize) -> bool {
        let Worker::Works { job, attempt, unsettled, phase: Phase::Opened } = system.workers[worker] else {
            return false;
        };
        let unlink = self.holds(system, job, attempt) && system.discard(job, false);
        system.workers[worker] = Worker::Works { job, attempt, unsettled, phase: Phase::Recorded { unlink } };
        true
    }

    /// As `Jobs::release`, and the delivery is requeued.
    pub(crate) fn release(&self, system: &mut System, worker: usize) -> bool {
        let Worker::Works { job, attempt, unsettled, phase: Phase::Claimed | Phase::Opened } = system.workers[worker]
        else {
            return false;
        };
        if self.holds(system, job, attempt)
            && let Some(released) = system.jobs[job].as_mut().filter(|job| job.state.may_become(JobState::Retryable))
        {
            released.state = JobState::Retryable;
            (released.leased, released.due, released.taken) = (false, true, false);
        }
        system.workers[worker] = Worker::Idle;
        system.again[job] += u8::from(unsettled);
        true
    }

    /// The fence. Whoever writes past it is seen.
    fn holds(&self, system: &mut System, job: usize, attempt: u8) -> bool {
        let runs = system.jobs[job].is_some_and(|job| job.state == JobState::Running);
        let holder = is_holder(system, job, attempt);
        let passes = holder || (runs && self.variant == Variant::NoFence);
        system.seen.overwritten |= passes && !holder;
        passes
    }
}

/// What the transaction that ends a job writes: whether the file may go.
fn end(system: &mut System, job: usize, phase: Phase) -> bool {
    match phase {
        Phase::Superseded => system.cancel(job),
        _ if job == CLEANUP => {
            let failed = system.assets[OLD].state == Some(AssetState::Failed);
            if system.end(job, JobState::Completed) && !failed {
                system.assets[OLD].state = Some(AssetState::Deleted);
            }
            false
        }
        _ => system.publish(job),
    }
}

/// What a claim comes to.
enum Claim {
    Finished,
    NotDue,
    Busy,
    /// The job as it still is: the attempt that runs it, and whether its worker is gone.
    Poisoned {
        attempt: u8,
        gone: bool,
    },
    Claimed,
}

/// The statement of `Jobs::claim` up to what it writes, with the cases of its `$switch` in their order. A worker of the model does one
/// thing at a time, so each of its claims is exclusive, and none is told that it would be the last chance.
fn ask(system: &System, job: usize, again: bool) -> Claim {
    let Some(found) = system.jobs[job] else { return Claim::Finished };
    // The broker says that the holder is gone.
    let gone = again && !is_held(system, job);
    let runs = found.state == JobState::Running;
    if !found.state.may_become(JobState::Running) {
        return Claim::Finished;
    }
    if found.state == JobState::Retryable && !found.due {
        return Claim::NotDue;
    }
    if runs && found.leased && !gone {
        return Claim::Busy;
    }
    if runs && found.crashes + 1 >= MAX_CRASHES {
        return Claim::Poisoned { attempt: found.attempt, gone };
    }
    Claim::Claimed
}

/// What the statement writes into a job that it takes: the attempt that begins.
fn begin_attempt(system: &mut System, job: usize) -> u8 {
    let Some(begun) = &mut system.jobs[job] else { return 0 };
    begun.crashes += u8::from(begun.state == JobState::Running);
    begun.attempt += 1;
    begun.state = JobState::Running;
    (begun.leased, begun.due, begun.taken) = (true, false, false);
    begun.attempt
}

/// A claim is made without its worker's knowledge.
pub(crate) fn lose_answer(system: &mut System, worker: usize) -> bool {
    let Worker::Delivered { job, again } = system.workers[worker] else { return false };
    if !matches!(ask(system, job, again), Claim::Claimed) {
        return false;
    }
    let attempt = begin_attempt(system, job);
    system.workers[worker] = Worker::Unanswered { job, attempt };
    true
}

fn is_holder(system: &System, job: usize, attempt: u8) -> bool {
    system.jobs[job].is_some_and(|job| job.state == JobState::Running && job.attempt == attempt)
}

/// Whether a worker is in the middle of an upload, or begins one without a look at the asset.
fn is_uploading(system: &System, asset: usize) -> bool {
    system.workers.iter().any(|worker| match worker {
        Worker::Works { job, phase: Phase::Opened, .. }
        | Worker::Works { job, phase: Phase::Claimed, attempt: 1, .. } => *job == asset,
        _ => false,
    })
}

/// Whether the worker lives whose attempt holds a job.
fn is_held(system: &System, job: usize) -> bool {
    system.workers.iter().any(|worker| match worker {
        Worker::Works { job: of, attempt, .. } | Worker::Unanswered { job: of, attempt } => {
            *of == job && is_holder(system, job, *attempt)
        }
        _ => false,
    })
}
