//! Groups of failures.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures_util::TryStreamExt;
use store::{
    Claim, DiscardCode, ErrorGroup, ErrorGroupId, ErrorGroupPosition, FailureCode, JobRecord, Rescue, Retry, Search,
};

use crate::ends::Ends;
use crate::support::{DAY, Fixture, LEASE, claimed, stored};

fn failure(error: &str) -> Retry {
    Retry { after: Duration::ZERO, error: error.to_owned(), code: FailureCode::Answered(503), counts: true }
}

/// A job of a new user's that has failed so.
async fn failed(fixture: &Fixture, error: &str) -> JobRecord {
    let job = fixture.media_job().await.id;
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.retry(job, attempt, &failure(error)).await.expect("retried later");
    fixture.job(job).await
}

fn group_of(job: &JobRecord) -> ErrorGroupId {
    job.error_group.unwrap_or_else(|| panic!("no group: {job:?}"))
}

/// The group, once it has been met so often.
async fn met(fixture: &Fixture, group: ErrorGroupId, count: u64) -> ErrorGroup {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = fixture.store.error_groups().find(group).await.expect("an answer");
        if let Some(found) = found.as_ref().filter(|found| found.count >= count) {
            assert_eq!(found.count, count);
            return found.clone();
        }
        assert!(Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_differ_by_ids_and_numbers_are_one_group_and_others_are_not() {
    let fixture = Fixture::new().await;
    let first = failed(&fixture, "asset 65a1b2c3d4e5f60718293a01: no answer within 30 s").await;
    let second = failed(&fixture, "asset 65a1b2c3d4e5f60718293a02: no answer within 31 s").await;
    let other = failed(&fixture, "asset 65a1b2c3d4e5f60718293a02: no answer, and none will come").await;
    assert_eq!(first.error_group, second.error_group);
    assert_ne!(first.error_group, other.error_group);

    let group = met(&fixture, group_of(&first), 2).await;
    assert_eq!((group.kind.as_str(), group.code.as_str()), ("media.upload.v1", "media-host-busy"));
    assert_eq!(group.status, Some(503));
    assert_eq!(group.message, "asset <id>: no answer within <n> s");
    assert!(group.first_seen <= group.last_seen);
    assert_eq!((group.example.job, group.example.worker.as_deref()), (second.id, Some("worker")));
    assert_eq!(group.example.error, "asset 65a1b2c3d4e5f60718293a02: no answer within 31 s");
    met(&fixture, group_of(&other), 1).await;

    let wanted = Search { error_group: first.error_group, ..Search::default() };
    let found = fixture.store.jobs().search(&wanted, None, 10).await.expect("a part").items;
    assert_eq!(found.iter().map(|job| job.id).collect::<Vec<_>>(), [second.id, first.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_succeeds_writes_nothing_and_one_that_succeeds_later_keeps_its_group() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let asset = job.asset.expect("an asset");
    let attempt = fixture.claim(job.id).await.attempt;
    let completing = fixture.store.complete_upload(job.id, attempt, asset, stored(asset));
    fixture.profiling(completing).await.expect("completed");
    let written = doc! { "ns": { "$regex": "error_groups" } };
    let profile = fixture.collection("system.profile");
    assert_eq!(profile.count_documents(written).await.expect("a count"), 0);
    assert_eq!(fixture.job(job.id).await.error_group, None);

    let job = failed(&fixture, "no answer").await;
    let asset = job.asset.expect("an asset");
    let attempt = fixture.claim(job.id).await.attempt;
    fixture.store.complete_upload(job.id, attempt, asset, stored(asset)).await.expect("completed");
    assert_eq!(fixture.job(job.id).await.error_group, job.error_group);
    met(&fixture, group_of(&job), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_job_has_the_group_of_what_it_was_discarded_for() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.discard(job, attempt, "file \"me 7.png\" is no picture", false).await.expect("discarded");
    let group = met(&fixture, group_of(&fixture.job(job).await), 1).await;
    assert_eq!(
        (group.code.as_str(), group.message.as_str()),
        (DiscardCode::Refused.as_str(), "file <text> is no picture")
    );
    assert_eq!((group.example.job, group.example.worker.as_deref()), (job, Some("worker")));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_vanish_are_a_group_that_counts_each_of_them_and_so_is_what_they_poison() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    for _ in 0..3 {
        fixture.crash(job).await;
    }
    let crashed = group_of(&fixture.job(job).await);
    let group = met(&fixture, crashed, 2).await;
    assert_eq!((group.code.as_str(), group.message.as_str()), ("worker-crashed", "its worker vanished"));
    assert!(group.example.worker.is_some_and(|worker| worker.starts_with("vanishing-")));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let claim = fixture.try_claim(job, "survivor", LEASE).await;
    let Claim::Poisoned(poisoned) = claim else { panic!("{claim:?}") };
    fixture.store.discard_poisoned(&poisoned, &Rescue::LeaseExpired).await.expect("discarded");
    let discarded = group_of(&fixture.job(job).await);
    assert_eq!(met(&fixture, discarded, 1).await.message, "<n> workers vanished while they ran it");
    // An attempt that nobody crashed in has no group.
    let job = fixture.media_job().await.id;
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.jobs().release(job, attempt).await.expect("released");
    claimed(fixture.try_claim(job, "another", LEASE).await);
    assert_eq!(fixture.job(job).await.error_group, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_failures_is_counted_to_the_last_in_few_writes() {
    let fixture = Fixture::new().await;
    let mut attempts = Vec::new();
    for _ in 0..60 {
        let job = fixture.media_job().await.id;
        attempts.push((job, fixture.claim(job).await.attempt));
    }
    let storm = async {
        for (number, (job, attempt)) in attempts.iter().enumerate() {
            let error = failure(&format!("the media host answered {number}"));
            fixture.store.retry(*job, *attempt, &error).await.expect("retried later");
        }
        let group = group_of(&fixture.job(attempts[0].0).await);
        met(&fixture, group, 60).await
    };
    fixture.profiling(storm).await;
    let writes = doc! { "op": "update", "ns": { "$regex": "\\.error_groups$" } };
    let writes: Vec<Document> =
        fixture.collection("system.profile").find(writes).await.expect("an answer").try_collect().await.expect("all");
    assert!((1..=20).contains(&writes.len()), "{}", writes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_by_when_they_were_last_met_in_parts_and_go_thirty_days_after_that() {
    let fixture = Fixture::new().await;
    let (mut groups, kinds) = (Vec::new(), ["media.upload.v1", "media.delete.v1"]);
    for (number, word) in (0_i64..).zip(["one", "two", "three", "four", "five"]) {
        let group = group_of(&failed(&fixture, word).await);
        met(&fixture, group, 1).await;
        // Two at one moment, and every other one of another kind.
        let at = bson::DateTime::from_millis(1_700_000_000_000 + number / 2);
        let change = doc! { "$set": { "lastSeen": at, "kind": kinds[usize::from(number % 2 == 1)] } };
        fixture
            .collection("error_groups")
            .update_one(doc! { "_id": group.to_string() }, change)
            .await
            .expect("changed");
        groups.push((number / 2, group.to_string()));
    }
    let mut expected = groups.clone();
    expected.sort();
    expected.reverse();
    let (mut seen, mut after): (Vec<String>, Option<ErrorGroupPosition>) = (Vec::new(), None);
    loop {
        let page = fixture.store.error_groups().list(None, after.as_ref(), 2).await.expect("a part");
        seen.extend(page.items.iter().map(|group| group.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected.into_iter().map(|(_, group)| group).collect::<Vec<_>>());
    let deletions = fixture.store.error_groups().list(Some(kinds[1]), None, 10).await.expect("a part").items;
    assert_eq!(deletions.len(), 2);

    let stored = fixture.collection("error_groups").find_one(doc! {}).await.expect("an answer").expect("a group");
    let kept = stored.get_datetime("expireAt").expect("a time").to_time_0_3() - time::OffsetDateTime::now_utc();
    assert!(kept > 29 * DAY && kept <= 30 * DAY + Duration::from_secs(60), "{kept}");
}
