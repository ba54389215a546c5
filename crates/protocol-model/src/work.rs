//! The steps of a worker, from a delivery to its acknowledgement.

use store::{AssetState, JobState};

use crate::steps::{Protocol, Variant};
use crate::system::{CLEANUP, MAX_ATTEMPTS, MAX_CRASHES, OLD, Phase, System, Worker};

impl Protocol {
    /// A worker takes its next step.
    pub(crate) fn work(&self, system: &mut System, worker: usize) -> bool {
        let (job, attempt, unsettled, phase) = match system.workers[worker] {
            Worker::Idle => return false,
            Worker::Delivered { job, again } => {
                system.workers[worker] = self.claim(system, job, again);
                return true;
            }
            Worker::Works { job, attempt, unsettled, phase } => (job, attempt, unsettled, phase),
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

    /// As `Jobs::claim` and what the worker makes of its answer.
    fn claim(&self, system: &mut System, job: usize, again: bool) -> Worker {
        let gone = again && !is_held(system, job);
        let Some(found) = &mut system.jobs[job] else { return Worker::Idle };
        let runs = found.state == JobState::Running;
        let free = match found.state {
            // Or the broker says that its worker is gone.
            JobState::Running => !found.leased || gone,
            JobState::Retryable => found.due,
            _ => true,
        };
        if !free || !found.state.may_become(JobState::Running) {
            return Worker::Idle;
        }
        if runs && found.crashes + 1 >= MAX_CRASHES {
            system.give_up(job, true);
            return Worker::Idle;
        }
        found.crashes += u8::from(runs);
        found.attempt += 1;
        found.state = JobState::Running;
        (found.leased, found.due, found.taken) = (true, false, false);
        let unsettled = !matches!(self.variant, Variant::AckBeforeCommit | Variant::AckBeforeCommitWithoutRescue);
        Worker::Works { job, attempt: found.attempt, unsettled, phase: Phase::Claimed }
    }

    /// Looks at the asset, and opens its file.
    fn open(&self, system: &mut System, job: usize, attempt: u8) -> Phase {
        let asset = system.assets[job];
        let over = [AssetState::Superseded, AssetState::Deleting, AssetState::Deleted, AssetState::Failed];
        if asset.state.is_some_and(|state| over.contains(&state)) {
            return Phase::Superseded;
        }
        if asset.spool && asset.file {
            return Phase::Opened;
        }
        system.seen.starved |= is_holder(system, job, attempt);
        let unlink = self.holds(system, job, attempt) && system.give_up(job, false);
        Phase::Recorded { unlink }
    }

    fn record(&self, system: &mut System, job: usize, attempt: u8, phase: Phase) -> Phase {
        let unlink = if self.holds(system, job, attempt) {
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
                system.give_up(job, true);
            }
        }
        system.workers[worker] = Worker::Works { job, attempt, unsettled, phase: Phase::Recorded { unlink: false } };
        true
    }

    pub(crate) fn reject(&self, system: &mut System, worker: usize) -> bool {
        let Worker::Works { job, attempt, unsettled, phase: Phase::Opened } = system.workers[worker] else {
            return false;
        };
        let unlink = self.holds(system, job, attempt) && system.give_up(job, false);
        system.workers[worker] = Worker::Works { job, attempt, unsettled, phase: Phase::Recorded { unlink } };
        true
    }

    /// As `Jobs::release`, and the delivery goes back.
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

fn is_holder(system: &System, job: usize, attempt: u8) -> bool {
    system.jobs[job].is_some_and(|job| job.state == JobState::Running && job.attempt == attempt)
}

/// Whether a worker is in the middle of an upload.
fn is_uploading(system: &System, asset: usize) -> bool {
    system
        .workers
        .iter()
        .any(|worker| matches!(worker, Worker::Works { job, phase: Phase::Opened, .. } if *job == asset))
}

/// Whether a worker is at the attempt that holds a job.
fn is_held(system: &System, job: usize) -> bool {
    system.workers.iter().any(|worker| {
        matches!(worker, Worker::Works { job: of, attempt, .. } if *of == job && is_holder(system, job, *attempt))
    })
}
