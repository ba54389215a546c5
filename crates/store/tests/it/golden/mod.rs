//! Documents of the first release stay readable, and what is written today still has all that they have.
//!
//! `tests/golden` holds them in MongoDB's extended JSON, as the server had them. They are never edited: a later release that
//! writes something new adds files of its own.

mod people;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use bson::{Binary, Bson, DateTime, Document, doc};
use messages::{AssetId, DeleteMedia, Event, EventMessage, FileId, Job, JobId, Trace, UserId};
use store::{
    AssetState, AttemptOutcome, Claim, IdempotencyKey, Image, JobState, MediaType, Redrive, ResourceType, Role,
};

use crate::ends::Ends;
use crate::stories;
use crate::support::{Fixture, LEASE, claimed, stored, upload, url};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A document by its collection and name, such as `jobs/queued`.
fn golden(name: &str) -> Document {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Every golden document, by collection and name.
fn all() -> BTreeMap<String, Document> {
    let mut names = Vec::new();
    for collection in std::fs::read_dir(folder()).expect("a folder") {
        let collection = collection.expect("an entry").path();
        for file in std::fs::read_dir(&collection).expect("a folder") {
            let file = file.expect("an entry").path();
            let part = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
            names.push(format!("{}/{}", part(&collection), part(&file)));
        }
    }
    names.into_iter().map(|name| (name.clone(), golden(&name))).collect()
}

/// A database with these documents in it. Without indexes: one of them would let the server remove what has expired.
async fn world(names: &[&str]) -> Fixture {
    let fixture = Fixture::without_indexes(|_| {}).await;
    for name in names {
        let (collection, _) = name.split_once('/').expect("a collection and a name");
        fixture.collection(collection).insert_one(golden(name)).await.expect("inserted");
    }
    fixture
}

fn user_id(name: &str) -> UserId {
    UserId::from_bytes(golden(name).get_object_id("_id").expect("an id").bytes())
}

fn asset_id(name: &str) -> AssetId {
    AssetId::from_bytes(golden(name).get_object_id("_id").expect("an id").bytes())
}

fn job_id(name: &str) -> JobId {
    golden(name).get_str("_id").expect("an id").parse().expect("a job's id")
}

fn file_of(name: &str) -> FileId {
    golden(name).get_document("spool").and_then(|spool| spool.get_str("file")).expect("a file").parse().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_the_first_release_are_read() {
    let shown = |url: String, pending| Image { url, pending };
    let (first, second) = (asset_id("assets/ready"), asset_id("assets/second"));
    let adopted = "http://res.example.com/old/ada.png".to_owned();
    for (name, avatar) in [
        ("users/adopted", shown(adopted.clone(), None)),
        ("users/adopted-replacing", shown(adopted, Some(asset_id("assets/of-adopted")))),
        ("users/without-images", Image::default()),
        ("users/pending-avatar", shown(String::new(), Some(first))),
        ("users/avatar", shown(url(first), None)),
        ("users/avatar-and-newer", shown(url(first), Some(second))),
        ("users/avatar-replaced", shown(url(second), None)),
    ] {
        let fixture = world(&[name]).await;
        let user = fixture.read_user(user_id(name)).await;
        assert_eq!(user.avatar, avatar, "{name}");
        assert_eq!(user.cover_image, Image::default(), "{name}");
        assert!(user.created_at.year() >= 2023 && user.updated_at >= user.created_at, "{name}: {user:?}");
        let found =
            fixture.store.users().find_for_sign_in(Some(&user.username), Some(&user.email)).await.expect("an answer");
        let found = found.expect("a user");
        assert_eq!((found.user, found.hash.expose().is_empty()), (user, false), "{name}");
    }
    let adopted = world(&["users/adopted"]).await.read_user(user_id("users/adopted")).await;
    assert_eq!((adopted.full_name.as_str(), adopted.watch_history.len()), ("Ada Lovelace", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_of_the_first_release_are_read() {
    use AssetState::{Deleted, Deleting, Failed, Pending, Ready, Superseded};
    for (name, state, spooled, is_stored) in [
        ("assets/pending", Pending, true, false),
        ("assets/ready", Ready, false, true),
        ("assets/second", Ready, false, true),
        ("assets/video", Ready, false, true),
        ("assets/of-adopted", Pending, true, false),
        ("assets/failed", Failed, true, false),
        ("assets/failed-for-good", Failed, false, false),
        ("assets/superseded", Superseded, false, false),
        ("assets/superseded-running", Superseded, true, false),
        ("assets/deleting", Deleting, false, true),
        ("assets/deleted", Deleted, false, true),
    ] {
        let fixture = world(&[name]).await;
        let asset = fixture.asset(asset_id(name)).await;
        assert_eq!(
            (asset.state, asset.spooled.is_some(), asset.stored.is_some()),
            (state, spooled, is_stored),
            "{name}"
        );
        assert_eq!(asset.reason.is_some(), state == Failed, "{name}");
        assert_eq!(asset.public_id, format!("steep/{}/{}", asset.role, asset.id), "{name}");
        assert_eq!(asset.seq > 0, asset.role != Role::Media, "{name}");
        if let Some(spooled) = &asset.spooled {
            assert_eq!(spooled.spool.as_str(), "here");
            assert!(fixture.is_in_use(spooled.file).await, "{name}");
        }
        let listed = fixture.store.media().list(asset.owner, 1, 10).await.expect("a list").items;
        assert_eq!(listed.contains(&asset), asset.role == Role::Media, "{name}");
    }
    let video = world(&["assets/video"]).await.asset(asset_id("assets/video")).await;
    let is_video = MediaType { content_type: "video/mp4".to_owned(), resource_type: ResourceType::Video };
    assert_eq!((video.media_type, video.stored.and_then(|stored| stored.duration)), (is_video, Some(12.5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_the_first_release_are_read() {
    use AttemptOutcome::{Cancelled, Completed, Crashed, Discarded, Operator, Released, Retry};
    for (name, state, outcomes) in [
        ("jobs/pending", JobState::Pending, &[][..]),
        ("jobs/queued", JobState::Queued, &[]),
        ("jobs/running", JobState::Running, &[None]),
        ("jobs/retryable-operator", JobState::Retryable, &[Some(Operator)]),
        ("jobs/retryable", JobState::Retryable, &[Some(Operator), Some(Retry)]),
        ("jobs/released", JobState::Retryable, &[Some(Operator), Some(Retry), Some(Released)]),
        ("jobs/rescued", JobState::Running, &[Some(Operator), Some(Retry), Some(Released), Some(Crashed), None]),
        (
            "jobs/completed",
            JobState::Completed,
            &[Some(Operator), Some(Retry), Some(Released), Some(Crashed), Some(Completed)],
        ),
        ("jobs/discarded", JobState::Discarded, &[Some(Discarded)]),
        ("jobs/discarded-for-good", JobState::Discarded, &[Some(Discarded)]),
        ("jobs/poisoned", JobState::Discarded, &[Some(Crashed), Some(Crashed), Some(Crashed)]),
        ("jobs/cancelled", JobState::Cancelled, &[]),
        ("jobs/superseded-running", JobState::Running, &[None]),
        ("jobs/cancelled-running", JobState::Cancelled, &[Some(Cancelled)]),
        ("jobs/delete-pending", JobState::Pending, &[]),
        ("jobs/delete-completed", JobState::Completed, &[Some(Completed)]),
        ("jobs/of-adopted", JobState::Pending, &[]),
        ("jobs/of-a-request", JobState::Pending, &[]),
    ] {
        let fixture = world(&[name]).await;
        let job = fixture.job(job_id(name)).await;
        assert_eq!(job.state, state, "{name}");
        let read: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(read, outcomes, "{name}");
        assert!(job.attempts.iter().all(|attempt| attempt.outcome.is_some() == attempt.ended_at.is_some()), "{name}");
        assert_eq!(usize::try_from(job.attempt), Ok(outcomes.len()), "{name}");
        assert_eq!(job.worker.is_some(), state == JobState::Running, "{name}");
        assert_eq!(job.finished_at.is_some(), state.is_finished(), "{name}");
        assert_eq!(job.reason.is_some(), matches!(state, JobState::Discarded | JobState::Cancelled), "{name}");
        let asset = match job.job().expect("a known kind") {
            Job::UploadMedia(job) => job.asset,
            Job::DeleteMedia(job) => job.asset,
            Job::RecomputeChannel(_) | Job::RecountCounter(_) => panic!("{name} is about no asset"),
        };
        assert_eq!((Some(asset), job.owner.is_some(), job.max_attempts), (job.asset, true, 150), "{name}");
    }
    let first = world(&["jobs/pending"]).await.job(job_id("jobs/pending")).await;
    assert_eq!(
        (first.queue.as_str(), first.trace()),
        ("media.upload.here", Trace::of(None, Some("00-trace".to_owned())))
    );
    let later = world(&["jobs/of-a-request"]).await;
    assert_eq!(later.job(job_id("jobs/of-a-request")).await.request_id.as_deref(), Some("a-request"));
    let due = later.store.jobs().take_due(time::OffsetDateTime::now_utc(), 10, LEASE).await.expect("an answer");
    assert_eq!(due[0].trace(), Trace::of(Some("a-request".to_owned()), Some("00-trace".to_owned())));
    let poisoned = world(&["jobs/poisoned"]).await.job(job_id("jobs/poisoned")).await;
    assert_eq!((poisoned.crashes, poisoned.replayable), (3, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_large_upload_has_come_is_read_and_older_jobs_say_nothing_of_it() {
    let uploading = world(&["jobs/uploading"]).await.job(job_id("jobs/uploading")).await;
    let upload = uploading.upload.expect("progress");
    assert_eq!((upload.position.acknowledged_bytes, upload.position.chunk_size), (60_000_000, 20_000_000));
    assert_eq!((upload.position.begun, upload.furthest_bytes), (1, 60_000_000));
    assert_eq!(upload.position.upload_id, "019389a0-0000-7000-8000-000000000003-20000000-1");
    assert_eq!(upload.noted_at.unix_timestamp(), 1_700_000_108);

    // One that an older release left is gone on with from its start, and then as any other.
    let fixture = world(&["jobs/rescued"]).await;
    let job = fixture.job(job_id("jobs/rescued")).await;
    assert_eq!((job.upload.as_ref(), job.crashes), (None, 1));
    fixture.store.jobs().note_progress(job.id, job.attempt, LEASE, &upload.position).await.expect("noted");
    let noted = fixture.job(job.id).await;
    assert_eq!((noted.upload.map(|noted| noted.position), noted.crashes), (Some(upload.position), 0));
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
        let again = fixture.store.media().submit(owner, vec![upload], Some((key, answer.clone())), None).await;
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
        assert_eq!(user.avatar, Image { url: url(asset), pending: None }, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_takes_what_the_first_release_left_due() {
    let now = time::OffsetDateTime::now_utc() + Duration::from_secs(3600);
    for (name, abandoned) in
        [("jobs/pending", false), ("jobs/released", false), ("jobs/retryable", false), ("jobs/running", true)]
    {
        let store = world(&[name]).await;
        let taken = match abandoned {
            true => store.store.jobs().take_abandoned(now, 10, LEASE).await.expect("an answer"),
            false => store.store.jobs().take_due(now, 10, LEASE).await.expect("an answer"),
        };
        assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), [job_id(name)], "{name}");
    }
    let fixture = world(&["jobs/queued"]).await;
    let lost = fixture.store.jobs().take_lost(now, "media.upload.here", 10, LEASE).await.expect("an answer");
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
    let due = fixture.store.jobs().take_due(time::OffsetDateTime::now_utc(), 10, LEASE).await.expect("an answer");
    assert_eq!(due.iter().map(|due| due.job()).collect::<Vec<_>>(), [Ok(Job::DeleteMedia(deletion))]);

    let redriven = fixture.store.media().redrive(job_id("jobs/discarded-late")).await.expect("an answer");
    assert!(matches!(redriven, Redrive::Done(_)), "{redriven:?}");
    assert_eq!(fixture.asset(asset).await.public_id, format!("{spent}-2"));
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.complete_delete(job, attempt, asset).await.expect("recorded");
    assert_eq!(fixture.asset(asset).await.state, AssetState::Pending, "what is redriven stays");
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

/// The names of all collections, by the code.
fn collections() -> BTreeSet<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file");
            for call in [".collection(\"", ".notes(\""] {
                let named = text.split(call).skip(1).filter_map(|rest| rest.split_once('"'));
                names.extend(named.map(|(name, _)| name.to_owned()));
            }
        }
    }
    names
}

#[test]
fn every_collection_has_documents_of_the_first_release() {
    let mut named = collections();
    // Whole subscriptions, for a person: no code of ours reads them.
    assert!(named.remove("subscriptions_set_aside"));
    let golden: BTreeSet<String> =
        all().keys().filter_map(|name| name.split_once('/')).map(|(collection, _)| collection.to_owned()).collect();
    assert_eq!(golden, named);
}

/// The path and type of every field, those of an array's elements under one name.
fn fields(value: &Bson, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Bson::Document(document) => {
            for (name, value) in document {
                fields(value, &format!("{path}.{name}"), found);
            }
        }
        Bson::Array(array) => array.iter().for_each(|value| fields(value, &format!("{path}[]"), found)),
        // Adopted documents and ours were never strict about the width of a number.
        Bson::Int32(_) | Bson::Int64(_) => drop(found.insert(path.to_owned(), "Integer".to_owned())),
        other => drop(found.insert(path.to_owned(), format!("{:?}", other.element_type()))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_today_has_every_field_of_the_first_release() {
    let today = stories::tell().await;
    let golden = all();
    for (name, golden) in &golden {
        // Written by the other system.
        if name == "users/adopted" {
            continue;
        }
        let Some(today) = today.get(name) else { panic!("{name} is not written any more") };
        let (mut then, mut now) = (BTreeMap::new(), BTreeMap::new());
        fields(&Bson::Document(golden.clone()), "", &mut then);
        fields(&Bson::Document(today.clone()), "", &mut now);
        for (path, kind) in &then {
            assert_eq!(now.get(path), Some(kind), "{name}: {path}, which an older version may still read: {today}");
        }
    }
    let missing: Vec<_> = today.keys().filter(|name| !golden.contains_key(*name)).collect();
    assert!(
        missing.is_empty(),
        "no golden documents of {missing:?}; their first is {}",
        extended(&Bson::Document(today[missing[0]].clone()), 0)
    );
}

/// Extended JSON, canonical, in the order of the document.
fn extended(value: &Bson, depth: usize) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let indent = "  ".repeat(depth + 1);
    let block = |open: char, lines: Vec<String>, close: char| match lines.is_empty() {
        true => format!("{open}{close}"),
        false => format!("{open}\n{indent}{}\n{}{close}", lines.join(&format!(",\n{indent}")), "  ".repeat(depth)),
    };
    match value {
        Bson::Document(document) => {
            let member = |(name, value): (&String, &Bson)| format!("{}: {}", text(name), extended(value, depth + 1));
            block('{', document.iter().map(member).collect(), '}')
        }
        Bson::Array(array) => block('[', array.iter().map(|value| extended(value, depth + 1)).collect(), ']'),
        Bson::String(string) => text(string),
        Bson::Boolean(boolean) => boolean.to_string(),
        Bson::Null => "null".to_owned(),
        Bson::Int32(number) => format!("{{ \"$numberInt\": \"{number}\" }}"),
        Bson::Int64(number) => format!("{{ \"$numberLong\": \"{number}\" }}"),
        Bson::Double(number) => format!("{{ \"$numberDouble\": \"{number}\" }}"),
        Bson::ObjectId(id) => format!("{{ \"$oid\": \"{id}\" }}"),
        Bson::DateTime(at) => format!("{{ \"$date\": {{ \"$numberLong\": \"{}\" }} }}", at.timestamp_millis()),
        Bson::Binary(Binary { subtype, bytes }) => {
            let (text, kind) = (BASE64_STANDARD.encode(bytes), u8::from(*subtype));
            format!("{{ \"$binary\": {{ \"base64\": \"{text}\", \"subType\": \"{kind:02x}\" }} }}")
        }
        other => panic!("not written so far: {other:?}"),
    }
}
