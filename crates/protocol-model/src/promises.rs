//! What must hold in every state, and what once nothing happens any more.

use stateright::Property;
use store::{AssetState, JobState};

use crate::steps::Protocol;
use crate::system::{CLEANUP, NEW, OLD, Phase, System, Worker};

pub(crate) const FINISHED: &str = "what was accepted is finished";
pub(crate) const REDELIVERED: &str = "the message of a job that runs comes again if its worker dies";
pub(crate) const ONCE: &str = "an effect happens once";
pub(crate) const NEEDED: &str = "no file dies before its use";
pub(crate) const UNNEEDED: &str = "no file outlives its use";
pub(crate) const NEWEST: &str = "a superseded upload never wins";
pub(crate) const FENCED: &str = "an attempt that was taken over records nothing";
pub(crate) const PATIENT: &str = "a failed job waits for its time";
pub(crate) const HOSTED: &str = "the media host has what is shown and nothing else";

pub(crate) fn all() -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always(REDELIVERED, |_, system: &System| {
            [OLD, NEW, CLEANUP].into_iter().all(|job| comes_again(system, job))
        }),
        Property::always(ONCE, |_, system: &System| {
            system.seen.shown.iter().all(|times| *times <= 1) && system.seen.cleanups <= 1
        }),
        Property::always(NEEDED, |_, system: &System| {
            !system.seen.starved && system.assets.iter().all(|asset| asset.file || !asset.spool)
        }),
        Property::always(NEWEST, |_, system: &System| !system.seen.overtaken),
        Property::always(FENCED, |_, system: &System| !system.seen.overwritten),
        Property::always(PATIENT, |_, system: &System| !system.seen.hurried),
        Property::always(FINISHED, |protocol: &Protocol, system: &System| {
            finished(system) || !protocol.is_quiet(system)
        }),
        Property::always(UNNEEDED, |protocol: &Protocol, system: &System| {
            spool_is_exact(system) || !protocol.is_quiet(system)
        }),
        Property::always(HOSTED, |protocol: &Protocol, system: &System| {
            host_is_exact(system) || !protocol.is_quiet(system)
        }),
    ];
    // The model would prove nothing if it could not get there.
    for (name, reached) in REACHED {
        all.push(Property::sometimes(name, *reached));
    }
    all
}

type Condition = fn(&Protocol, &System) -> bool;

const REACHED: &[(&str, Condition)] = &[
    ("both uploads are shown, one after the other", |_, system| system.seen.shown == [1, 1]),
    ("the newer overtakes the older", |_, system| system.seen.shown == [0, 1] && is(system, OLD, JobState::Cancelled)),
    ("the newer is discarded and the older stays", |_, system| {
        system.shows == Some(OLD) && is(system, NEW, JobState::Discarded)
    }),
    ("the replaced asset is deleted", |_, system| system.assets[OLD].state == Some(AssetState::Deleted)),
    ("a job is discarded after crashes", |protocol, system| {
        system.faults == protocol.faults && is(system, OLD, JobState::Discarded)
    }),
    ("a claim is made whose answer is lost", |_, system| {
        system.workers.iter().any(|worker| matches!(worker, Worker::Unanswered { .. }))
    }),
    ("a commit of two jobs is made whose answer is lost", |_, system| match system.workers {
        [
            Worker::Works { job: one, phase: Phase::Performed, .. },
            Worker::Works { job: other, phase: Phase::Performed, .. },
        ] => one != other && is_finished(system, one) && is_finished(system, other),
        _ => false,
    }),
    ("a job is found poisoned whose worker lives", |_, system| match system.workers {
        [Worker::Condemns { job, attempt, .. }, Worker::Works { job: of, attempt: held, .. }] => {
            (of, held) == (job, attempt)
        }
        _ => false,
    }),
    ("an upload is cancelled under its attempt", |_, system| {
        let is_under_way = |worker: &Worker| matches!(worker, Worker::Works { job: OLD, phase: Phase::Opened, .. });
        is(system, OLD, JobState::Cancelled)
            && system.assets[OLD].state == Some(AssetState::Failed)
            && system.workers.iter().any(is_under_way)
    }),
    ("a newer upload is cancelled and the older stays", |_, system| {
        system.shows == Some(OLD) && is(system, NEW, JobState::Cancelled)
    }),
    ("two workers are at one job at once", |_, system| match system.workers {
        [Worker::Works { job: one, .. }, Worker::Works { job: other, .. }] => one == other,
        _ => false,
    }),
];

fn is(system: &System, job: usize, state: JobState) -> bool {
    system.jobs[job].is_some_and(|job| job.state == state)
}

fn is_finished(system: &System, job: usize) -> bool {
    system.jobs[job].is_some_and(|job| job.state.is_finished())
}

fn comes_again(system: &System, job: usize) -> bool {
    !is(system, job, JobState::Running) || system.copies(job) > 0
}

/// No job is left, nor a message, nor an owner who waits.
fn finished(system: &System) -> bool {
    let jobs = system.jobs.iter().flatten().all(|job| job.state.is_finished());
    let messages = [OLD, NEW, CLEANUP].into_iter().all(|job| system.copies(job) == 0);
    let newest = system.assets[NEW].state != Some(AssetState::Ready) || system.shows == Some(NEW);
    let shown = system.shows.is_none_or(|shown| system.assets[shown].state == Some(AssetState::Ready));
    jobs && messages && newest && shown && system.awaits.is_none()
}

/// The files are those of jobs that a person may redrive.
fn spool_is_exact(system: &System) -> bool {
    [OLD, NEW].into_iter().all(|job| {
        let asset = system.assets[job];
        asset.file == asset.spool && (!asset.spool || is(system, job, JobState::Discarded))
    })
}

/// The attempts of a discarded deletion name what it left at the media host, for a person.
fn host_is_exact(system: &System) -> bool {
    let cleaned = !is(system, CLEANUP, JobState::Discarded);
    [OLD, NEW].into_iter().all(|job| match system.assets[job].state {
        Some(AssetState::Ready) => system.assets[job].hosted,
        // Only the older one has a deletion in the model.
        Some(AssetState::Failed) if job == NEW => true,
        _ => !system.assets[job].hosted || !cleaned,
    })
}
