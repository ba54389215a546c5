//! A newer image wins over an older one, in whatever order their jobs run and end.

use std::sync::Arc;
use std::time::Duration;

use messages::{AssetId, FileId, JobId};
use store::{AssetState, Claim, Error, FailureCode, JobState, Rescue, Retry, Role};
use tokio::task::JoinSet;

use crate::ends::Ends;
use crate::support::{CRASHES, Fixture, LEASE, assert_state, claimed, first, stored, upload, url};

fn at_once() -> Retry {
    Retry { after: Duration::ZERO, error: "busy".to_owned(), code: FailureCode::Answered(503), counts: true }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_upload_is_cancelled_and_its_file_is_free() {
    for queued in [false, true] {
        let fixture = Fixture::new().await;
        let owner = fixture.user().await;
        let older = upload(Role::Avatar);
        fixture.store.media().replace_image(owner, older.clone(), None).await.expect("accepted");
        if queued {
            fixture.store.jobs().mark_queued(&[older.job]).await.expect("an answer");
        }
        let accepted = fixture.replace_avatar(owner).await;
        let (_, newer) = first(&accepted);
        assert_eq!(accepted.superseded, [older.file]);
        assert_eq!(accepted.user, fixture.read_user(owner).await);
        assert_eq!(accepted.user.avatar.pending, Some(newer));
        assert!(!fixture.is_in_use(older.file).await);
        assert_eq!(fixture.asset(older.asset).await.state, AssetState::Superseded);
        let job = fixture.job(older.job).await;
        assert_state(&job, JobState::Cancelled);
        assert!(job.reason.is_some() && job.finished_at.is_some());
        assert_eq!(job.code.as_deref(), Some("superseded"));
        assert_eq!(fixture.try_claim(older.job, "late", LEASE).await, Claim::Finished(JobState::Cancelled));
        assert_eq!(fixture.deletions(older.asset).await, 0, "nothing can have been stored");
        assert_eq!(fixture.asset(newer).await.seq, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_waiting_for_another_attempt_is_cancelled_and_deleted() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let older = upload(Role::Avatar);
    fixture.store.media().replace_image(owner, older.clone(), None).await.expect("accepted");
    let attempt = fixture.claim(older.job).await.attempt;
    fixture.store.retry(older.job, attempt, &at_once()).await.expect("retried later");
    let accepted = fixture.replace_avatar(owner).await;
    assert_eq!(accepted.superseded, [older.file]);
    assert_state(&fixture.job(older.job).await, JobState::Cancelled);
    assert_eq!(fixture.deletions(older.asset).await, 1, "the attempt may have stored it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_upload_keeps_its_file_and_cancels_itself_when_it_ends() {
    for ending in ["completes", "is discarded", "finds out", "is retried"] {
        let fixture = Fixture::new().await;
        let owner = fixture.user().await;
        let older = upload(Role::Avatar);
        fixture.store.media().replace_image(owner, older.clone(), None).await.expect("accepted");
        let mut attempt = fixture.claim(older.job).await.attempt;
        let accepted = fixture.replace_avatar(owner).await;
        let (newer_job, newer) = first(&accepted);
        assert_eq!(accepted.superseded, []);
        assert!(fixture.is_in_use(older.file).await, "the worker still reads it");
        assert_eq!(fixture.asset(older.asset).await.state, AssetState::Superseded);

        if ending == "is retried" {
            let outcome = fixture.store.retry(older.job, attempt, &at_once()).await.expect("retried later");
            assert_eq!((outcome.state, outcome.file), (JobState::Retryable, None));
            attempt = fixture.claim(older.job).await.attempt;
        }
        let outcome = match ending {
            "completes" => fixture.store.complete_upload(older.job, attempt, older.asset, stored(older.asset)).await,
            "is discarded" => fixture.store.discard(older.job, attempt, "no", true).await,
            _ => fixture.store.cancel_superseded(older.job, attempt, older.asset).await,
        };
        let outcome = outcome.expect("ended");
        assert_eq!(
            (outcome.state, outcome.file, outcome.url),
            (JobState::Cancelled, Some(older.file), None),
            "{ending}"
        );
        assert_eq!(outcome.follow_ups.len(), 1, "{ending}");
        assert_eq!(fixture.deletions(older.asset).await, 1, "{ending}");
        assert_state(&fixture.job(older.job).await, JobState::Cancelled);
        assert!(!fixture.is_in_use(older.file).await);
        let avatar = fixture.read_user(owner).await.avatar;
        assert_eq!((avatar.url.as_str(), avatar.pending), ("", Some(newer)));

        let attempt = fixture.claim(newer_job).await.attempt;
        fixture.store.complete_upload(newer_job, attempt, newer, stored(newer)).await.expect("completed");
        assert_eq!(fixture.read_user(owner).await.avatar.url, url(newer));
    }
}

/// Whoever discards it is told what is left to do, and need not leave it to the sweeper and the relay.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_discarded_after_it_was_superseded_lets_go_of_its_file_at_once() {
    for ending in ["the last failure", "the last crash"] {
        let fixture = Fixture::without_indexes(|config| config.max_attempts = 1).await;
        fixture.store.ensure_indexes().await.expect("indexes");
        let owner = fixture.user().await;
        let older = upload(Role::Avatar);
        fixture.store.media().replace_image(owner, older.clone(), None).await.expect("accepted");
        let attempt = match ending {
            "the last crash" => {
                for _ in 1..CRASHES {
                    fixture.crash(older.job).await;
                }
                let last = fixture.job(older.job).await.worker.expect("a worker");
                let claim = fixture.take_over(older.job, "dying", &last).await;
                claimed(claim).attempt
            }
            _ => fixture.claim(older.job).await.attempt,
        };
        fixture.replace_avatar(owner).await;
        assert!(fixture.is_in_use(older.file).await);

        let outcome = match ending {
            "the last crash" => {
                let gone = Rescue::HolderGone { worker: "dying".to_owned() };
                match fixture.take_over(older.job, "next", "dying").await {
                    Claim::Poisoned(job) => {
                        let discarded = fixture.store.discard_poisoned(&job, &gone).await;
                        let (job, outcome) = discarded.expect("discarded");
                        assert_state(&job, JobState::Cancelled);
                        outcome
                    }
                    other => panic!("{other:?}"),
                }
            }
            _ => fixture.store.retry(older.job, attempt, &at_once()).await.expect("recorded"),
        };
        assert_eq!((outcome.state, outcome.file), (JobState::Cancelled, Some(older.file)), "{ending}");
        let deletion = outcome.follow_ups.first().expect("a deletion");
        assert_eq!((outcome.follow_ups.len(), deletion.asset), (1, Some(older.asset)), "{ending}");
        assert!(!fixture.is_in_use(older.file).await, "{ending}");
        assert_state(&fixture.job(older.job).await, JobState::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_upload_never_wins_even_if_it_ends_last() {
    for newer_completes in [true, false] {
        let fixture = Fixture::new().await;
        let owner = fixture.user().await;
        let (older_job, older) = first(&fixture.replace_avatar(owner).await);
        let older_attempt = fixture.claim(older_job).await.attempt;
        let (newer_job, newer) = first(&fixture.replace_avatar(owner).await);
        let newer_attempt = fixture.claim(newer_job).await.attempt;
        let shown = if newer_completes {
            fixture.store.complete_upload(newer_job, newer_attempt, newer, stored(newer)).await.expect("completed");
            url(newer)
        } else {
            fixture.store.discard(newer_job, newer_attempt, "no", true).await.expect("discarded");
            String::new()
        };
        let outcome =
            fixture.store.complete_upload(older_job, older_attempt, older, stored(older)).await.expect("ended");
        assert_eq!(outcome.state, JobState::Cancelled);
        let avatar = fixture.read_user(owner).await.avatar;
        assert_eq!((avatar.url, avatar.pending), (shown, None));
        assert_eq!(fixture.deletions(older).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn avatar_and_cover_image_do_not_meet() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (avatar, cover) = (upload(Role::Avatar), upload(Role::CoverImage));
    fixture.store.media().replace_image(owner, avatar.clone(), None).await.expect("accepted");
    let accepted = fixture.store.media().replace_image(owner, cover.clone(), None).await.expect("accepted");
    assert_eq!(accepted.superseded, []);
    assert_eq!(accepted.user.avatar.pending, Some(avatar.asset));
    assert_eq!(accepted.user.cover_image.pending, Some(cover.asset));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_replacements_at_once_the_last_stands_and_the_others_make_way() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let racers: Vec<_> = (0..12)
        .map(|_| {
            let store = fixture.store.clone();
            tokio::spawn(async move { store.media().replace_image(owner, upload(Role::Avatar), None).await })
        })
        .collect();
    let mut assets = Vec::new();
    for racer in racers {
        let accepted = racer.await.expect("no panic").expect("accepted");
        assets.push(fixture.asset(first(&accepted).1).await);
    }
    let pending = fixture.read_user(owner).await.avatar.pending;
    assets.sort_by_key(|asset| asset.seq);
    assert_eq!(assets.iter().map(|asset| asset.seq).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    let last = assets.pop().expect("an asset");
    assert_eq!((pending, fixture.asset(last.id).await.state), (Some(last.id), AssetState::Pending));
    for asset in assets {
        assert_eq!(fixture.asset(asset.id).await.state, AssetState::Superseded);
        assert_state(&fixture.job(asset.job).await, JobState::Cancelled);
    }
    assert_eq!(fixture.store.jobs().unfinished_uploads(owner).await.expect("a count"), 1);
}

/// One upload in the test below.
struct Upload {
    job: JobId,
    asset: AssetId,
    file: FileId,
    attempt: Option<u32>,
    live: bool,
}

/// Runs random histories of one avatar each beside a model of four lines, and compares after each step. They run at once and
/// share what they do.
#[tokio::test(flavor = "multi_thread")]
async fn every_history_of_an_avatar_agrees_with_the_model() {
    let fixture = Arc::new(Fixture::sharing().await);
    let mut histories = JoinSet::new();
    for history in 0..30 {
        histories.spawn(agrees_with_the_model(Arc::clone(&fixture), history));
    }
    histories.join_all().await;
}

async fn agrees_with_the_model(fixture: Arc<Fixture>, history: u64) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(history + 1);
    let mut pick = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below).expect("small")).expect("small")
    };
    let owner = fixture.user().await;
    let mut uploads: Vec<Upload> = Vec::new();
    let (mut shown, mut pending) = (None, None);
    let mut steps = Vec::new();
    for step in 0..24 {
        let live: Vec<usize> = (0..uploads.len()).filter(|index| uploads[*index].live).collect();
        if live.is_empty() || (step < 16 && pick(3) == 0) {
            let new = upload(Role::Avatar);
            fixture.store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
            for older in &mut uploads {
                older.live &= older.attempt.is_some();
            }
            steps.push(format!("submit {}", uploads.len()));
            pending = Some(uploads.len());
            uploads.push(Upload { job: new.job, asset: new.asset, file: new.file, attempt: None, live: true });
        } else {
            let index = live[pick(live.len())];
            let upload = &mut uploads[index];
            match upload.attempt {
                None => {
                    steps.push(format!("claim {index}"));
                    upload.attempt = Some(fixture.claim(upload.job).await.attempt);
                }
                Some(attempt) if pick(2) == 0 => {
                    steps.push(format!("complete {index}"));
                    let media = stored(upload.asset);
                    let outcome = fixture.store.complete_upload(upload.job, attempt, upload.asset, media).await;
                    upload.live = false;
                    let newest = pending == Some(index);
                    let expected = if newest { JobState::Completed } else { JobState::Cancelled };
                    assert_eq!(outcome.expect("ended").state, expected, "{steps:?}");
                    if newest {
                        (shown, pending) = (Some(index), None);
                    }
                }
                Some(attempt) if pick(2) == 0 => {
                    steps.push(format!("discard {index}"));
                    let outcome = fixture.store.discard(upload.job, attempt, "no", false).await;
                    upload.live = false;
                    let newest = pending == Some(index);
                    let expected = if newest { JobState::Discarded } else { JobState::Cancelled };
                    assert_eq!(outcome.expect("ended").state, expected, "{steps:?}");
                    if newest {
                        pending = None;
                    }
                }
                Some(attempt) => {
                    steps.push(format!("retry {index}"));
                    let outcome = fixture.store.retry(upload.job, attempt, &at_once()).await;
                    assert_eq!(outcome.expect("retried later").state, JobState::Retryable, "{steps:?}");
                    upload.attempt = Some(fixture.claim(upload.job).await.attempt);
                    let stale = fixture.store.jobs().renew(upload.job, attempt, LEASE).await;
                    assert!(matches!(stale, Err(Error::Fenced)), "{stale:?}");
                }
            }
        }
        let avatar = fixture.read_user(owner).await.avatar;
        let expected = shown.map_or_else(String::new, |index: usize| url(uploads[index].asset));
        assert_eq!(avatar.url, expected, "history {history}: {steps:?}");
        assert_eq!(avatar.pending, pending.map(|index: usize| uploads[index].asset), "history {history}: {steps:?}");
        for upload in &uploads {
            assert_eq!(fixture.is_in_use(upload.file).await, upload.live, "history {history}: {steps:?}");
        }
    }
    for (index, upload) in uploads.iter().enumerate() {
        let ready = fixture.asset(upload.asset).await.state == AssetState::Ready;
        assert_eq!(ready, shown == Some(index), "history {history}: {steps:?}");
    }
}
