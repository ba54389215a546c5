//! What the first release has begun goes on today.

use bson::{DateTime, doc};
use messages::{DeleteMedia, Event, EventMessage, FileId, Job};
use store::{
    AssetState, Claim, IdempotencyKey, Image, Incarnation, JobState, MediaChange, Notice, Noticed, Redrive, Role,
};
use time::OffsetDateTime;

use super::{asset_id, golden, job_id, user_id, world};
use crate::ends::Ends;
use crate::support::{LEASE, claimed, stored, upload, url};

fn file_of(name: &str) -> FileId {
    golden(name).get_document("spool").and_then(|spool| spool.get_str("file")).expect("a file").parse().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_first_release_are_given_again() {
    for (name, status, location) in
        [("idempotency/registered", 201, None), ("idempotency/accepted", 202, Some("/api/v1/jobs/1"))]
    {
        let fixture = world(&[name]).await;
        let key: IdempotencyKey =
            bson::deserialize_from_document(golden(name).get_document("_id").expect("a key").clone())
                .expect("scope and key");
        let answer = fixture.store.idempotency().find(&key).await.expect("an answer").expect("it was kept");
        assert_eq!((answer.status, answer.location.as_deref(), answer.body.as_str()), (status, location, "{\"a\":1}"));
        let upload = upload(Role::Media);
        let owner = fixture.user().await;
        let again = fixture
            .store
            .media()
            .submit(fixture.read_user(owner).await, vec![upload], Some((key, answer.clone())), None)
            .await;
        assert!(matches!(&again, Err(store::Error::Replayed(first)) if *first == answer), "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_the_first_release_left_are_finished_today() {
    for name in [
        "jobs/pending",
        "jobs/queued",
        "jobs/running",
        "jobs/retryable-operator",
        "jobs/retryable",
        "jobs/released",
        "jobs/rescued",
    ] {
        let fixture = world(&["users/pending-avatar", "assets/pending", name]).await;
        let (job, asset) = (job_id(name), asset_id("assets/pending"));
        let before = fixture.job(job).await;
        let now = claimed(fixture.try_claim(job, "today", LEASE).await);
        assert_eq!(now.attempt, before.attempt + 1, "{name}");
        let crashed = u32::from(before.state == JobState::Running);
        assert_eq!(now.job.crashes, before.crashes + crashed, "{name}");
        let outcome = fixture.store.complete_upload(job, now.attempt, asset, stored(asset)).await.expect("completed");
        assert_eq!((outcome.state, outcome.file), (JobState::Completed, Some(file_of("assets/pending"))), "{name}");
        let user = fixture.read_user(user_id("users/pending-avatar")).await;
        assert_eq!(user.avatar, Image { url: url(asset), ..Image::default() }, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_takes_what_the_first_release_left_due() {
    for (name, abandoned) in
        [("jobs/pending", false), ("jobs/released", false), ("jobs/retryable", false), ("jobs/running", true)]
    {
        let store = world(&[name]).await;
        let taken = match abandoned {
            true => store.store.jobs().take_abandoned(10, LEASE).await.expect("an answer"),
            false => store.store.jobs().take_due(10, LEASE).await.expect("an answer"),
        };
        assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), [job_id(name)], "{name}");
    }
    let fixture = world(&["jobs/queued"]).await;
    let lost = fixture.store.jobs().take_lost("media.upload.here", 10, LEASE).await.expect("an answer");
    assert_eq!(lost.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_release_began_to_replace_or_discarded_goes_on_today() {
    // An adopted user's upload.
    let fixture = world(&["users/adopted-replacing", "assets/of-adopted", "jobs/of-adopted"]).await;
    let (job, asset) = (job_id("jobs/of-adopted"), asset_id("assets/of-adopted"));
    let attempt = fixture.claim(job).await.attempt;
    let outcome = fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
    assert_eq!((outcome.state, outcome.follow_ups.len()), (JobState::Completed, 0));

    // A newer avatar over one that is ready: the older one gets a job that deletes it.
    let fixture = world(&["users/avatar", "assets/ready"]).await;
    let (job, asset) = crate::support::first(&fixture.replace_avatar(user_id("users/avatar")).await);
    let attempt = fixture.claim(job).await.attempt;
    let outcome = fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
    assert_eq!(outcome.follow_ups[0].asset, Some(asset_id("assets/ready")));

    // An upload that was superseded while it ran.
    let fixture = world(&["assets/superseded-running", "jobs/superseded-running"]).await;
    let (job, asset) = (job_id("jobs/superseded-running"), asset_id("assets/superseded-running"));
    let attempt = claimed(fixture.try_claim(job, "today", LEASE).await).attempt;
    let outcome = fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("recorded");
    assert_eq!((outcome.state, outcome.follow_ups.len()), (JobState::Cancelled, 1));

    // A deletion.
    let fixture = world(&["assets/deleting", "jobs/delete-pending"]).await;
    let (job, asset) = (job_id("jobs/delete-pending"), asset_id("assets/deleting"));
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.complete_delete(job, attempt, asset).await.expect("recorded");
    assert_eq!(fixture.asset(asset).await.state, AssetState::Deleted);

    // A discarded job, redriven.
    let fixture = world(&["assets/failed", "jobs/discarded"]).await;
    let redriven = fixture.store.media().redrive(job_id("jobs/discarded")).await.expect("an answer");
    assert!(matches!(redriven, Redrive::Done(_)), "{redriven:?}");
    let claim = fixture.try_claim(job_id("jobs/completed"), "today", LEASE).await;
    assert_eq!(claim, Claim::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upload_left_that_the_first_release_discarded_is_deleted_and_no_other_takes_its_name() {
    let (job, asset) = (job_id("jobs/delete-name"), asset_id("assets/name-spent"));
    let fixture = world(&["assets/name-spent", "jobs/delete-name", "jobs/discarded-late"]).await;
    let spent = fixture.asset(asset).await.public_id;
    let Ok(Job::DeleteMedia(deletion)) = fixture.job(job).await.job() else { panic!("no deletion") };
    assert_eq!(deletion, DeleteMedia { asset, public_id: Some(spent.clone()) });
    let due = fixture.store.jobs().take_due(10, LEASE).await.expect("an answer");
    assert_eq!(due.into_iter().map(|due| due.job).collect::<Vec<_>>(), [Job::DeleteMedia(deletion)]);

    let redriven = fixture.store.media().redrive(job_id("jobs/discarded-late")).await.expect("an answer");
    assert!(matches!(redriven, Redrive::Done(_)), "{redriven:?}");
    assert_eq!(fixture.asset(asset).await.public_id, format!("{spent}-2"));
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.complete_delete(job, attempt, asset).await.expect("recorded");
    assert_eq!(fixture.asset(asset).await.state, AssetState::Pending, "what is redriven stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_media_host_has_told_is_remembered() {
    let at = |second: i64| OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).expect("a time");
    let notice =
        |of: Incarnation, change| Notice { public_id: "elsewhere".to_owned(), resource_type: None, of, change };
    let stored = Incarnation { asset_id: Some("abc".to_owned()), version: Some(1_700_000_000) };
    let fixture = world(&["assets/rejected", "users/rejected-avatar"]).await;
    let (asset, owner) = (asset_id("assets/rejected"), user_id("users/rejected-avatar"));
    for (second, noticed) in [(2, Noticed::Unchanged(asset)), (3, Noticed::Changed(asset))] {
        let approved = notice(stored.clone(), MediaChange::Moderated { rejected: false, at: at(second) });
        assert_eq!(fixture.store.media().notice(&approved).await.expect("an answer"), noticed);
    }
    let avatar = fixture.read_user(owner).await.avatar;
    assert_eq!((avatar.url, avatar.failed), (url(asset), None));

    // It is not known yet whether what was deleted was the last one.
    let fixture = world(&["assets/noticed"]).await;
    let asset = fixture.asset(asset_id("assets/noticed")).await;
    assert_eq!((asset.state, asset.public_id.as_str()), (AssetState::Pending, "elsewhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_has_published_is_published_today_and_once() {
    let fixture = world(&["events/unpublished"]).await;
    let events = fixture.store.events();
    let due = events.take_unpublished(10, LEASE).await.expect("an answer");
    let [EventMessage { id, event: Event::MediaReady(ready) }] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!((ready.asset, ready.owner), (asset_id("assets/ready"), user_id("users/avatar")));
    assert_eq!(events.take_unpublished(10, LEASE).await.expect("an answer"), [], "this relay has it");
    let back = doc! { "$set": { "dueAt": DateTime::from_millis(0) } };
    fixture.collection("events").update_many(doc! {}, back).await.expect("changed");
    assert_eq!(events.take_unpublished(10, LEASE).await.expect("an answer"), due, "that relay died");
    events.mark_published(&[*id]).await.expect("noted");
    assert_eq!(fixture.count("events").await, 1, "it is kept for a while");
    assert_eq!(events.take_unpublished(10, LEASE).await.expect("an answer"), []);
}
