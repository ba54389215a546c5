//! Users, assets and jobs of the first release are read.

use messages::{Job, Trace};
use store::{AssetState, AttemptOutcome, Failure, Image, JobState, MediaType, ResourceType, Role};

use super::{asset_id, job_id, user_id, world};
use crate::support::{LEASE, url};

#[tokio::test(flavor = "multi_thread")]
async fn users_of_the_first_release_are_read() {
    let shown = |url: String, pending| Image { url, pending, ..Image::default() };
    let (first, second) = (asset_id("assets/ready"), asset_id("assets/second"));
    let adopted = "http://res.example.com/old/ada.png".to_owned();
    let failed = |reason: &str, code: &str| Image {
        failed: Some(Box::new(Failure { reason: reason.to_owned(), code: code.to_owned() })),
        ..Image::default()
    };
    for (name, avatar) in [
        ("users/adopted", shown(adopted.clone(), None)),
        ("users/adopted-replacing", shown(adopted, Some(asset_id("assets/of-adopted")))),
        ("users/without-images", Image::default()),
        ("users/pending-avatar", shown(String::new(), Some(first))),
        (
            "users/pending-typed",
            Image { content_type: Some("image/png".to_owned()), ..shown(String::new(), Some(first)) },
        ),
        ("users/avatar", shown(url(first), None)),
        ("users/avatar-and-newer", shown(url(first), Some(second))),
        ("users/avatar-replaced", shown(url(second), None)),
        ("users/failed-avatar", failed("the account is full", "refused")),
        ("users/rejected-avatar", failed("rejected by moderation", "rejected-by-moderation")),
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
        ("assets/failed-avatar", Failed, true, false),
        ("assets/rejected", Failed, false, true),
        ("assets/cancelled", Failed, false, false),
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
        ("jobs/cancelled-by-owner", JobState::Cancelled, &[Some(Cancelled)]),
        ("jobs/delete-pending", JobState::Pending, &[]),
        ("jobs/delete-completed", JobState::Completed, &[Some(Completed)]),
        ("jobs/of-adopted", JobState::Pending, &[]),
        ("jobs/of-a-request", JobState::Pending, &[]),
        ("jobs/of-a-trace", JobState::Pending, &[]),
    ] {
        let fixture = world(&[name]).await;
        let job = fixture.job(job_id(name)).await;
        assert_eq!(job.state, state, "{name}");
        let read: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(read, outcomes, "{name}");
        assert!(job.attempts.iter().all(|attempt| attempt.outcome.is_some() == attempt.ended_at.is_some()), "{name}");
        assert!(job.attempts.iter().all(|attempt| attempt.code.is_none() && attempt.status.is_none()), "{name}");
        assert_eq!(job.code, None, "{name}");
        assert_eq!(usize::try_from(job.attempt), Ok(outcomes.len()), "{name}");
        assert_eq!(job.worker.is_some(), state == JobState::Running, "{name}");
        assert_eq!(job.finished_at.is_some(), state.is_finished(), "{name}");
        assert_eq!(job.reason.is_some(), matches!(state, JobState::Discarded | JobState::Cancelled), "{name}");
        let asset = match job.job().expect("a known kind") {
            Job::UploadMedia(job) => job.asset,
            Job::DeleteMedia(job) => job.asset,
            _ => panic!("{name} is about no asset"),
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
    let due = later.store.jobs().take_due(10, LEASE).await.expect("an answer");
    assert_eq!(due[0].trace, Trace::of(Some("a-request".to_owned()), Some("00-trace".to_owned())));
    let traced = world(&["jobs/of-a-trace"]).await;
    let due = traced.store.jobs().take_due(10, LEASE).await.expect("an answer");
    assert_eq!(due[0].trace.as_ref().and_then(|trace| trace.tracestate.as_deref()), Some("vendor=1"));
    let poisoned = world(&["jobs/poisoned"]).await.job(job_id("jobs/poisoned")).await;
    assert_eq!((poisoned.crashes, poisoned.replayable), (3, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_codes_of_failures_are_read() {
    let retryable = world(&["jobs/retryable-coded"]).await.job(job_id("jobs/retryable-coded")).await;
    let codes: Vec<_> = retryable.attempts.iter().map(|attempt| (attempt.code.as_deref(), attempt.status)).collect();
    assert_eq!(codes, [(Some("configuration"), None), (Some("media-host-busy"), Some(503))]);
    let discarded = world(&["jobs/discarded-coded"]).await.job(job_id("jobs/discarded-coded")).await;
    assert_eq!((discarded.code.as_deref(), discarded.attempts[0].code.as_deref()), (Some("refused"), Some("refused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_failed_in_and_brought_about_is_read_and_older_jobs_say_nothing_of_it() {
    let discarded = world(&["jobs/discarded-in-group"]).await.job(job_id("jobs/discarded-in-group")).await;
    assert_eq!(discarded.error_group.map(|group| group.to_string()).as_deref(), Some("0b54d2c1a98e7f36"));
    let completed = world(&["jobs/completed-announced"]).await.job(job_id("jobs/completed-announced")).await;
    assert_eq!(completed.events[0].to_string(), "019389a0-0000-7000-8000-00000000000a");
    assert_eq!(completed.follow_ups[0].to_string(), "019389a0-0000-7000-8000-000000000026");
    let older = world(&["jobs/completed"]).await.job(job_id("jobs/completed")).await;
    assert_eq!((older.error_group, older.events.len(), older.follow_ups.len()), (None, 0, 0));

    let fixture = world(&["error_groups/met"]).await;
    let groups = fixture.store.error_groups().list(None, None, 10).await.expect("a list").items;
    let group = groups.first().expect("a group");
    assert_eq!((group.count, group.status, group.code.as_str()), (2, Some(503), "media-host-busy"));
    assert_eq!(group.example.worker.as_deref(), Some("worker"));
    assert!(group.first_seen < group.last_seen);
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
async fn what_a_job_uploads_is_read_and_older_jobs_leave_it_to_their_assets() {
    let fixture = world(&["assets/pending", "jobs/with-source"]).await;
    let mut asset = fixture.asset(asset_id("assets/pending")).await;
    // Before there was a CRC-32 no job said what it uploads.
    (asset.md5, asset.crc32) = (String::new(), Some(3_632_233_996));
    let source = fixture.job(job_id("jobs/with-source")).await.source.expect("a source");
    assert_eq!(asset.source(), Some(source));
    for name in ["jobs/pending", "jobs/queued", "jobs/running", "jobs/of-a-request", "jobs/uploading"] {
        assert_eq!(world(&[name]).await.job(job_id(name)).await.source, None, "{name}");
    }
}
