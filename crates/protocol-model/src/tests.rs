use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use stateright::{Checker, HasDiscoveries, Model};

use crate::promises::{FENCED, FINISHED, HOSTED, NEEDED, PATIENT, REDELIVERED, UNNEEDED};
use crate::steps::{Protocol, Variant};
use crate::system::System;

/// Crashes, failures, lost answers and cancellations in one run. Leases run out besides, as often as they like.
const FAULTS: u8 = 2;
/// What a broken variant needs of them at most.
const FAULTS_TO_BREAK: u8 = 1;

/// Whether a variant breaks a promise, and the shortest way there.
fn breaks(variant: Variant, promise: &'static str) -> bool {
    let checker = Protocol { variant, faults: FAULTS_TO_BREAK }.checker().threads(2);
    // Some of what is broken never ends.
    let checker = checker.finish_when(HasDiscoveries::AnyOf([promise].into())).spawn_bfs().join();
    let way = checker.discovery(promise).map(|path| path.into_actions());
    println!("{variant:?}, \"{promise}\": {way:?}");
    way.is_some()
}

#[test]
fn the_promises_hold_whatever_dies_when_in_whatever_order() {
    let checker = Protocol { variant: Variant::Ours, faults: FAULTS }.checker().threads(2).spawn_bfs().join();
    println!("{} states, at most {} steps", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
    assert!(checker.unique_state_count() > 1_000_000, "the model has lost its steps");
}

/// With this, "once nothing happens any more" means "in the end": no run goes on for ever, whoever is scheduled.
#[test]
fn every_run_comes_to_an_end() {
    let protocol = Protocol { variant: Variant::Ours, faults: FAULTS };
    let fingerprint = |state: &System| BuildHasherDefault::<DefaultHasher>::default().hash_one(state);
    let mut found: VecDeque<System> = protocol.init_states().into();
    // Of millions of states only their fingerprints are kept, numbered as they were found.
    let mut numbers: HashMap<u64, u32> = found.iter().map(fingerprint).zip(0..).collect();
    let mut followers: Vec<Box<[u32]>> = Vec::new();
    while let Some(state) = found.pop_front() {
        let mut of_this = Vec::new();
        for next in protocol.next_states(&state) {
            let number = u32::try_from(numbers.len()).expect("fewer states than that");
            of_this.push(*numbers.entry(fingerprint(&next)).or_insert_with(|| {
                found.push_back(next);
                number
            }));
        }
        followers.push(of_this.into());
    }

    let mut ways_in = vec![0_u32; followers.len()];
    followers.iter().flatten().for_each(|next| ways_in[*next as usize] += 1);
    let mut free: Vec<usize> = (0..followers.len()).filter(|state| ways_in[*state] == 0).collect();
    let mut ordered = 0;
    while let Some(state) = free.pop() {
        ordered += 1;
        for next in &followers[state] {
            ways_in[*next as usize] -= 1;
            if ways_in[*next as usize] == 0 {
                free.push(*next as usize);
            }
        }
    }
    println!("{ordered} of {} states lie on no circle", followers.len());
    assert_eq!(ordered, followers.len());
}

#[test]
fn an_acknowledgement_before_the_commit_is_caught() {
    assert!(breaks(Variant::AckBeforeCommit, REDELIVERED));
}

#[test]
fn without_rescue_it_costs_the_job() {
    assert!(breaks(Variant::AckBeforeCommitWithoutRescue, FINISHED));
}

#[test]
fn a_claim_in_two_statements_is_caught() {
    assert!(breaks(Variant::ClaimInTwoStatements, NEEDED));
}

#[test]
fn a_poisoned_job_that_is_discarded_under_another_attempt_is_caught() {
    assert!(breaks(Variant::PoisonWithoutFence, FENCED));
}

#[test]
fn a_missing_fence_is_caught() {
    assert!(breaks(Variant::NoFence, FENCED));
}

#[test]
fn a_commit_of_several_jobs_that_looks_at_one_fence_is_caught() {
    assert!(breaks(Variant::OneFenceForAll, FENCED));
}

#[test]
fn a_file_that_is_removed_before_the_commit_is_caught() {
    assert!(breaks(Variant::UnlinkBeforeCommit, NEEDED));
}

#[test]
fn a_missing_relay_is_caught() {
    assert!(breaks(Variant::NoRelay, FINISHED));
}

#[test]
fn a_missing_sweeper_is_caught() {
    assert!(breaks(Variant::NoSweeper, UNNEEDED));
}

#[test]
fn a_relay_that_goes_by_a_clock_that_lies_is_caught() {
    assert!(breaks(Variant::RelayByOwnClock, PATIENT));
}

#[test]
fn a_sweeper_that_goes_by_a_clock_that_lies_is_caught() {
    assert!(breaks(Variant::SweepByOwnClock, NEEDED));
}

#[test]
fn a_sweeper_that_does_not_wait_for_the_commit_of_the_dead_is_caught() {
    assert!(breaks(Variant::SweepAtFirstLook, NEEDED));
}

#[test]
fn a_deletion_that_overtakes_an_upload_is_caught() {
    assert!(breaks(Variant::OneLookOnly, HOSTED));
}

#[test]
fn a_cancellation_that_writes_over_a_completion_is_caught() {
    assert!(breaks(Variant::CancelWithoutFence, FINISHED));
}

#[test]
fn a_cancellation_that_leaves_to_an_attempt_what_that_has_stored_is_caught() {
    assert!(breaks(Variant::CancelWithoutDeletion, HOSTED));
}
