//! Lists of a user's jobs.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use messages::{AssetId, Job, JobId, UserId};
use store::{JobFilter, JobPosition, JobRecord, JobState};

use crate::ends::Ends;
use crate::support::{Fixture, first, stored};

const UPLOAD: &str = "media.upload.v1";
const DELETE: &str = "media.delete.v1";
/// When the oldest job of a test was made.
const BEGIN: i64 = 1_700_000_000_000;

fn all_of(owner: UserId) -> JobFilter {
    JobFilter { owner, states: BTreeSet::new(), kinds: BTreeSet::new(), assets: BTreeSet::new() }
}

fn in_states(owner: UserId, states: &[JobState]) -> JobFilter {
    JobFilter { states: states.iter().copied().collect(), ..all_of(owner) }
}

/// A job that is no more than a list needs.
fn job(owner: UserId, kind: &str, state: JobState, asset: AssetId, at: i64) -> Document {
    let at = DateTime::from_millis(at);
    let mut job = doc! {
        "_id": JobId::new().to_string(),
        "kind": kind,
        "data": { "asset": asset.to_string() },
        "queue": "media.upload.here",
        "owner": ObjectId::from_bytes(owner.bytes()),
        "asset": ObjectId::from_bytes(asset.bytes()),
        "state": state.as_str(),
        "attempt": 0_i64, "failures": 0_i64, "crashes": 0_i64, "maxAttempts": 150_i64,
        "runAt": at,
        "attempts": [],
        "createdAt": at,
        "updatedAt": at,
    };
    job.insert(if state.is_finished() { "finishedAt" } else { "dueAt" }, at);
    job
}

/// Reads a list to its end, in parts of this size.
async fn parts(fixture: &Fixture, wanted: &JobFilter, limit: u32) -> Vec<JobRecord> {
    let (mut seen, mut after): (Vec<JobRecord>, Option<JobPosition>) = (Vec::new(), None);
    loop {
        let page = fixture.store.jobs().list(wanted, after.as_ref(), limit).await.expect("a part");
        assert!(page.items.len() <= limit as usize);
        seen.extend(page.items);
        after = page.next;
        if after.is_none() {
            return seen;
        }
    }
}

fn ids(jobs: &[JobRecord]) -> Vec<String> {
    jobs.iter().map(|job| job.id.to_string()).collect()
}

/// By time and then by id, whatever the ids tell.
fn newest_first(mut jobs: Vec<Document>) -> Vec<String> {
    let key = |job: &Document| {
        (
            job.get_datetime("createdAt").expect("a time").timestamp_millis(),
            job.get_str("_id").expect("an id").to_owned(),
        )
    };
    jobs.sort_by_key(key);
    jobs.iter().rev().map(|job| key(job).1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_in_parts_without_a_gap_or_a_repetition_also_where_many_jobs_have_one_time() {
    let fixture = Fixture::new().await;
    let (owner, other) = (fixture.user().await, fixture.user().await);
    // Forty moments of three jobs each, and one of thirty.
    let moment = |number: i64| BEGIN + if number < 120 { number / 3 } else { 1_000 };
    let jobs: Vec<Document> =
        (0..150).map(|number| job(owner, UPLOAD, JobState::Completed, store::new_asset_id(), moment(number))).collect();
    let theirs = (0..150).map(|number| job(other, UPLOAD, JobState::Completed, store::new_asset_id(), moment(number)));
    fixture.collection("jobs").insert_many(jobs.iter().cloned().chain(theirs)).await.expect("inserted");
    let expected = newest_first(jobs);
    for limit in [1, 7, 30, 149, 150, 1_000] {
        assert_eq!(ids(&parts(&fixture, &all_of(owner), limit).await), expected, "{limit} at once");
        let completed = in_states(owner, &[JobState::Completed, JobState::Cancelled]);
        assert_eq!(ids(&parts(&fixture, &completed, limit).await), expected, "{limit} at once");
    }
    assert_eq!(ids(&parts(&fixture, &all_of(fixture.user().await), 10).await), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_begins_where_the_one_before_ended_though_jobs_come_and_go_meanwhile() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let make = |at: i64| job(owner, UPLOAD, JobState::Queued, store::new_asset_id(), BEGIN + at);
    let jobs: Vec<Document> = (0..6).map(make).collect();
    fixture.collection("jobs").insert_many(jobs.clone()).await.expect("inserted");
    let expected = newest_first(jobs);
    let page = fixture.store.jobs().list(&all_of(owner), None, 2).await.expect("a part");
    assert_eq!(ids(&page.items), expected[..2]);
    fixture.collection("jobs").insert_one(make(100)).await.expect("inserted");
    // The very job at which the part ended.
    fixture.collection("jobs").delete_one(doc! { "_id": &expected[1] }).await.expect("deleted");
    let rest = fixture.store.jobs().list(&all_of(owner), page.next.as_ref(), 10).await.expect("a part");
    assert_eq!(ids(&rest.items), expected[2..]);
    assert_eq!(rest.next, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_holds_what_is_in_every_filter() {
    let fixture = Fixture::new().await;
    let (owner, other) = (fixture.user().await, fixture.user().await);
    let assets = [(); 3].map(|()| store::new_asset_id());
    let mut jobs = Vec::new();
    for owner in [owner, other] {
        for (number, asset) in (0..).zip(assets) {
            for (at, kind) in (0..).zip([UPLOAD, DELETE]) {
                for (more, state) in (0..).zip(JobState::ALL) {
                    jobs.push(job(owner, kind, state, asset, BEGIN + number * 100 + at * 50 + more));
                }
            }
        }
    }
    fixture.collection("jobs").insert_many(jobs).await.expect("inserted");
    let state_sets: [&[JobState]; 3] = [&[], &[JobState::Running], &[JobState::Discarded, JobState::Retryable]];
    let kind_sets: [&[&'static str]; 3] = [&[], &[DELETE], &[UPLOAD, DELETE]];
    let asset_sets: [&[AssetId]; 3] = [&[], &assets[1..2], &assets[1..]];
    for states in state_sets {
        for kinds in kind_sets {
            for chosen in asset_sets {
                let wanted = JobFilter {
                    owner,
                    states: states.iter().copied().collect(),
                    kinds: kinds.iter().copied().collect(),
                    assets: chosen.iter().copied().collect(),
                };
                let listed = parts(&fixture, &wanted, 5).await;
                let of = |chosen: usize, all: usize| if chosen == 0 { all } else { chosen };
                let count = of(states.len(), 7) * of(kinds.len(), 2) * of(chosen.len(), 3);
                assert_eq!(listed.len(), count, "{wanted:?}");
                for job in &listed {
                    assert_eq!(job.owner, Some(owner));
                    assert!(states.is_empty() || states.contains(&job.state), "{job:?}");
                    assert!(kinds.is_empty() || kinds.contains(&job.kind.as_str()), "{job:?}");
                    assert!(chosen.is_empty() || job.asset.is_some_and(|asset| chosen.contains(&asset)), "{job:?}");
                }
                assert!(listed.is_sorted_by(|newer, older| newer.created_at >= older.created_at), "{listed:?}");
            }
        }
    }
}

/// A user who has many jobs of which few are in a state, of a kind or about an asset.
#[tokio::test(flavor = "multi_thread")]
async fn no_list_looks_at_more_than_it_shows_however_many_jobs_there_are() {
    let fixture = Fixture::new().await;
    let (owner, asset) = (fixture.user().await, store::new_asset_id());
    let mut jobs: Vec<Document> =
        (0..600).map(|number| job(owner, UPLOAD, JobState::Completed, store::new_asset_id(), BEGIN + number)).collect();
    // The oldest ones, which a look at all from the newest on meets last.
    for number in 1..=4 {
        jobs.push(job(owner, DELETE, JobState::Discarded, asset, BEGIN - number));
    }
    fixture.collection("jobs").insert_many(jobs).await.expect("inserted");
    let kind = |kind| JobFilter { kinds: BTreeSet::from([kind]), ..all_of(owner) };
    let both = JobFilter { kinds: BTreeSet::from([DELETE]), ..in_states(owner, &[JobState::Discarded]) };
    let about = JobFilter { assets: BTreeSet::from([asset]), ..all_of(owner) };
    // As many streams as there are of states and kinds, and a little.
    let streams = i64::try_from(JobState::ALL.len() * Job::KINDS.len()).expect("few");
    for (wanted, sorted) in [
        (all_of(owner), true),
        (in_states(owner, &[JobState::Completed]), true),
        (in_states(owner, &[JobState::Discarded, JobState::Running]), true),
        (kind(UPLOAD), true),
        (kind(DELETE), true),
        (both, true),
        (about, false),
    ] {
        let mut after: Option<JobPosition> = None;
        for _ in 0..20 {
            let listing = fixture.store.jobs().list(&wanted, after.as_ref(), 10);
            after = fixture.profiling(listing).await.expect("a part").next;
            for command in fixture.profiled().await {
                let explained = fixture.explain(&command).await;
                assert!(explained.stages.iter().any(|stage| stage == "IXSCAN"), "{explained:?} of {wanted:?}");
                assert!(explained.stages.iter().all(|stage| stage != "COLLSCAN"), "{explained:?} of {wanted:?}");
                // Unfinished jobs, and those of an asset, are few and sorted when they are found.
                let few = !sorted || command.get_document("command").expect("it").to_string().contains("dueAt");
                assert!(few || explained.stages.iter().all(|stage| stage != "SORT"), "{explained:?} of {wanted:?}");
                // An explanation may count one thing at two of its stages.
                assert!(explained.docs_examined <= 24, "{explained:?} of {wanted:?}");
                assert!(explained.keys_examined <= 24 + 2 * streams, "{explained:?} of {wanted:?}");
            }
            if after.is_none() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_job_has_its_latest_attempt_only_and_one_that_cannot_be_read_is_left_out() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (id, asset) = first(&fixture.replace_avatar(owner).await);
    for _ in 0..2 {
        let attempt = fixture.claim(id).await.attempt;
        fixture.store.jobs().release(id, attempt).await.expect("released");
    }
    let attempt = fixture.claim(id).await.attempt;
    fixture.store.complete_upload(id, attempt, asset, stored(asset)).await.expect("completed");
    let malformed = job(owner, UPLOAD, JobState::Queued, asset, BEGIN);
    let malformed_id = malformed.get_str("_id").expect("an id").to_owned();
    fixture.collection("jobs").insert_one(malformed).await.expect("inserted");
    let change = doc! { "$set": { "state": "dreaming" } };
    fixture.collection("jobs").update_one(doc! { "_id": malformed_id }, change).await.expect("changed");

    let mut whole = fixture.job(id).await;
    assert_eq!(whole.attempts.len(), 3);
    whole.attempts.drain(..2);
    for limit in [1, 10] {
        assert_eq!(parts(&fixture, &all_of(owner), limit).await, [whole.clone()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_other_things_takes_no_index_of_lists_into_account() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let done = (0..300).map(|number| job(owner, UPLOAD, JobState::Completed, store::new_asset_id(), BEGIN + number));
    fixture.collection("jobs").insert_many(done).await.expect("inserted");
    fixture.submit(owner).await;
    let counting = fixture.store.jobs().unfinished_uploads(owner);
    assert_eq!(fixture.profiling(counting).await.expect("a count"), 1);
    for command in fixture.profiled().await {
        let explained = fixture.explain(&command).await;
        assert!(explained.keys_examined <= 4, "{explained:?} of {command}");
    }
    let taking = fixture.store.jobs().take_lost("media.upload.here", 10, Duration::from_secs(60));
    assert_eq!(fixture.profiling(taking).await.expect("an answer"), []);
    for command in fixture.profiled().await {
        let explained = fixture.explain(&command).await;
        assert!(explained.keys_examined <= 4, "{explained:?} of {command}");
    }
}
