//! Everything that may happen next.

use stateright::{Model, Property};
use store::JobState;

use crate::promises;
use crate::system::{Api, CLEANUP, MAX_COPIES, NEW, OLD, System, Worker};
use crate::work::lose_answer;

/// The protocol, or a broken one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// As it is.
    Ours,
    /// A worker acknowledges when it has claimed.
    AckBeforeCommit,
    /// The same, and no relay looks for leases that have run out.
    AckBeforeCommitWithoutRescue,
    /// A claim looks at the job in one statement and takes it in another, which names nothing of what was seen.
    ClaimInTwoStatements,
    /// Whoever ran the job last may record its outcome.
    NoFence,
    /// Of jobs that end in one commit one fence counts for all.
    OneFenceForAll,
    /// A job that was found poisoned is discarded whoever runs it by then.
    PoisonWithoutFence,
    /// The file is removed as soon as the media host has it.
    UnlinkBeforeCommit,
    /// Nobody publishes what its submitter did not.
    NoRelay,
    /// Nobody sweeps the spool.
    NoSweeper,
    /// A relay takes for due what its own clock, which lies, calls due.
    RelayByOwnClock,
    /// A sweeper takes for old what its own clock, which lies, calls old, and looks at nothing else.
    SweepByOwnClock,
    /// A sweeper looks once.
    SweepAtFirstLook,
    /// A deletion does not wait until an upload that was discarded in the middle has ended.
    OneLookOnly,
    /// A cancellation writes over what has ended since it looked.
    CancelWithoutFence,
    /// A cancellation leaves what an attempt has stored to that attempt.
    CancelWithoutDeletion,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocol {
    pub variant: Variant,
    /// How many faults happen at most: crashes, cut connections, failures, lost answers. A cancellation counts as one.
    pub faults: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The api has written the newer file.
    Receive,
    /// The api's transaction.
    Accept,
    /// The api removes the file of the superseded upload.
    Unlink,
    ApiDies,
    /// The api dies with its commit on the way.
    ApiDiesCommitting,
    /// The database ends the transaction of an api that is dead.
    Lapse,
    /// A relay, or whoever submitted the job, has a message confirmed.
    Publish(usize),
    /// A relay dies when it has taken a job and published nothing.
    TakeAndDie(usize),
    /// Whoever published marks the job, however late.
    Mark(usize),
    /// Whoever published dies before it marks the job.
    DieUnmarked(usize),
    /// The time of the next attempt has come.
    Due(usize),
    /// A lease runs out, whether its worker is dead, stopped or slow.
    Expire(usize),
    /// The broker delivers any of its messages to a worker.
    Deliver(usize, usize),
    /// The same, of a message that somebody had who is gone.
    DeliverAgain(usize, usize),
    /// A worker goes on.
    Work(usize),
    /// The database makes a worker's claim, and the answer is lost.
    LoseAnswer(usize),
    /// Two workers record what they have done in one commit, and the one that is named does so first.
    CommitTogether(usize),
    /// The same, and the answer is lost.
    LoseCommit(usize),
    /// An attempt fails in a way that may pass; the media host may have stored the file nevertheless.
    Fail(usize),
    /// An attempt fails for good.
    Reject(usize),
    /// A worker shuts down in order: its job is released, its delivery requeued.
    Release(usize),
    /// A worker dies, or is cut off from the broker and from its work: its deliveries come again.
    Die(usize),
    /// A queue is replaced: the job's messages are gone, and it is pending again.
    Replace(usize),
    /// A sweeper removes a file that no asset needs.
    Sweep(usize),
    /// The owner cancels an upload.
    Cancel(usize),
}

impl Model for Protocol {
    type State = System;
    type Action = Step;

    fn init_states(&self) -> Vec<System> {
        vec![System::new(self.faults)]
    }

    fn actions(&self, _: &System, steps: &mut Vec<Step>) {
        // Those that cannot be taken lead nowhere: to look now would be to take each step twice.
        all_steps(|step| steps.push(step));
    }

    fn next_state(&self, system: &System, step: Step) -> Option<System> {
        let mut next = system.clone();
        if self.take(&mut next, step) {
            next.simplify();
            return Some(next);
        }
        None
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl Protocol {
    /// Whether nothing happens any more.
    pub(crate) fn is_quiet(&self, system: &System) -> bool {
        let mut quiet = true;
        all_steps(|step| quiet = quiet && self.next_state(system, step).is_none());
        quiet
    }

    fn take(&self, system: &mut System, step: Step) -> bool {
        match step {
            Step::Receive | Step::Accept | Step::Unlink | Step::ApiDies | Step::ApiDiesCommitting | Step::Lapse => {
                accept(system, step)
            }
            Step::Publish(job) => self.may_publish(system, job) && publish(system, job),
            Step::TakeAndDie(job) => {
                let takes = self.may_publish(system, job) && fault(system);
                takes
                    && system.jobs[job].as_mut().is_some_and(|job| {
                        let waits = job.state == JobState::Retryable && !job.taken;
                        job.taken |= waits;
                        waits
                    })
            }
            Step::Mark(job) => mark(system, job),
            Step::DieUnmarked(job) => std::mem::take(&mut system.unmarked[job]) && fault(system),
            Step::Due(job) => system.jobs[job].as_mut().is_some_and(|job| {
                let waits = job.state == JobState::Retryable && !job.due;
                job.due |= waits;
                waits
            }),
            Step::Expire(job) => system.jobs[job].as_mut().is_some_and(|job| std::mem::take(&mut job.leased)),
            Step::Deliver(worker, job) => deliver(system, worker, job, false),
            Step::DeliverAgain(worker, job) => deliver(system, worker, job, true),
            Step::Work(worker) => self.work(system, worker),
            Step::LoseAnswer(worker) => fault(system) && lose_answer(system, worker),
            Step::CommitTogether(first) => self.commit_together(system, first, true),
            Step::LoseCommit(first) => fault(system) && self.commit_together(system, first, false),
            Step::Fail(worker) => fault(system) && self.fail(system, worker),
            Step::Reject(worker) => fault(system) && self.reject(system, worker),
            Step::Release(worker) => fault(system) && self.release(system, worker),
            Step::Die(worker) => system.workers[worker] != Worker::Idle && fault(system) && die(system, worker),
            Step::Replace(job) => replace(system, job) && fault(system),
            Step::Cancel(job) => fault(system) && self.cancel(system, job),
            Step::Sweep(asset) => {
                let may_still_come = asset == NEW && self.may_commit(system.api);
                let asset = &mut system.assets[asset];
                let unneeded = asset.file && !asset.spool && !may_still_come && self.variant != Variant::NoSweeper;
                asset.file &= !unneeded;
                unneeded
            }
        }
    }

    fn cancel(&self, system: &mut System, job: usize) -> bool {
        let is_over = system.jobs[job].is_some_and(|job| job.state == JobState::Completed);
        if is_over && self.variant == Variant::CancelWithoutFence {
            return system.overwrite(job);
        }
        system.cancel_for_owner(job, self.variant != Variant::CancelWithoutDeletion)
    }

    /// What a sweeper knows of a file that no asset needs: whether somebody may still have it accepted.
    fn may_commit(&self, api: Api) -> bool {
        match api {
            // The file is held.
            Api::Received => self.variant != Variant::SweepByOwnClock,
            // Until the second look the commit has been made, or nobody ever makes it.
            Api::DiedCommitting => !matches!(self.variant, Variant::SweepByOwnClock | Variant::SweepAtFirstLook),
            Api::Waits | Api::Accepted { .. } | Api::Died => false,
        }
    }

    /// Whether a relay, or the process that submitted the job, may publish it.
    fn may_publish(&self, system: &System, job: usize) -> bool {
        let Some(found) = system.jobs[job] else { return false };
        let wanted = match found.state {
            JobState::Pending => true,
            JobState::Retryable => found.due || self.variant == Variant::RelayByOwnClock,
            JobState::Running => !found.leased && self.variant != Variant::AckBeforeCommitWithoutRescue,
            // Its message seems to be lost: the queue is empty.
            JobState::Queued => system.ready[job] + system.again[job] == 0,
            JobState::Completed | JobState::Discarded | JobState::Cancelled => false,
        };
        wanted && system.copies(job) < MAX_COPIES && self.variant != Variant::NoRelay
    }
}

fn all_steps(mut with: impl FnMut(Step)) {
    for step in [Step::Receive, Step::Accept, Step::Unlink, Step::ApiDies, Step::ApiDiesCommitting, Step::Lapse] {
        with(step);
    }
    for job in [OLD, NEW, CLEANUP] {
        let steps =
            [Step::Publish, Step::TakeAndDie, Step::Mark, Step::DieUnmarked, Step::Due, Step::Expire, Step::Replace];
        steps.map(|step| step(job)).into_iter().for_each(&mut with);
    }
    for worker in [0, 1] {
        let steps = [
            Step::Work,
            Step::LoseAnswer,
            Step::CommitTogether,
            Step::LoseCommit,
            Step::Fail,
            Step::Reject,
            Step::Release,
            Step::Die,
        ];
        let steps = steps.map(|step| step(worker));
        steps.into_iter().for_each(&mut with);
        for job in [OLD, NEW, CLEANUP] {
            with(Step::Deliver(worker, job));
            with(Step::DeliverAgain(worker, job));
        }
    }
    for asset in [OLD, NEW] {
        with(Step::Sweep(asset));
        with(Step::Cancel(asset));
    }
}

/// Takes one of the faults that are left.
fn fault(system: &mut System) -> bool {
    let left = system.faults > 0;
    system.faults = system.faults.saturating_sub(1);
    left
}

fn accept(system: &mut System, step: Step) -> bool {
    match (step, system.api) {
        (Step::Receive, Api::Waits) => {
            system.assets[NEW].file = true;
            system.api = Api::Received;
            true
        }
        (Step::Accept, Api::Received | Api::DiedCommitting) => {
            system.accept_newer();
            true
        }
        (Step::Unlink, Api::Accepted { unlink: true }) => {
            system.assets[OLD].file = false;
            system.api = Api::Accepted { unlink: false };
            true
        }
        (Step::ApiDies, Api::Received | Api::Accepted { unlink: true }) => {
            system.api = Api::Died;
            fault(system)
        }
        (Step::ApiDiesCommitting, Api::Received) => {
            system.api = Api::DiedCommitting;
            fault(system)
        }
        (Step::Lapse, Api::DiedCommitting) => {
            system.api = Api::Died;
            true
        }
        _ => false,
    }
}

fn publish(system: &mut System, job: usize) -> bool {
    system.ready[job] += 1;
    system.unmarked[job] = true;
    if let Some(job) = &mut system.jobs[job] {
        let is_retry = job.state == JobState::Retryable;
        system.seen.hurried |= is_retry && !job.due;
        // By whatever clock: a claim finds it due from here on.
        job.due |= is_retry;
        job.taken |= is_retry;
    }
    true
}

/// As `Jobs::mark_queued`.
fn mark(system: &mut System, job: usize) -> bool {
    let marks = std::mem::take(&mut system.unmarked[job]);
    if let Some(job) = system.jobs[job].as_mut().filter(|_| marks) {
        let waits = job.state != JobState::Retryable || (job.due && job.taken);
        if waits && job.state.may_become(JobState::Queued) {
            job.state = JobState::Queued;
            (job.due, job.taken) = (false, false);
        }
    }
    marks
}

/// As `Jobs::lose`. A job that runs needs no message as long as its lease is looked at.
fn replace(system: &mut System, job: usize) -> bool {
    let at_broker = system.ready[job] + system.again[job] > 0;
    let queued = system.jobs[job].as_mut().filter(|job| at_broker && job.state == JobState::Queued);
    let Some(lost) = queued.filter(|job| job.state.may_become(JobState::Pending)) else { return false };
    lost.state = JobState::Pending;
    (system.ready[job], system.again[job]) = (0, 0);
    true
}

fn deliver(system: &mut System, worker: usize, job: usize, again: bool) -> bool {
    let messages = if again { &mut system.again[job] } else { &mut system.ready[job] };
    if system.workers[worker] != Worker::Idle || *messages == 0 {
        return false;
    }
    *messages -= 1;
    system.workers[worker] = Worker::Delivered { job, again };
    true
}

/// The broker takes back what a worker has not settled.
fn die(system: &mut System, worker: usize) -> bool {
    match std::mem::replace(&mut system.workers[worker], Worker::Idle) {
        Worker::Delivered { job, .. }
        | Worker::Unanswered { job, .. }
        | Worker::Condemns { job, .. }
        | Worker::Looked { job }
        | Worker::Works { job, unsettled: true, .. } => system.again[job] += 1,
        Worker::Idle | Worker::Works { unsettled: false, .. } => {}
    }
    true
}
