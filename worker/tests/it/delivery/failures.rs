//! What goes wrong at the media host, in the spool, and when an outcome is recorded.

use std::time::Duration;

use bson::{Document, doc};
use store::{AssetState, AttemptOutcome, JobState, Redrive};
use time::OffsetDateTime;

use crate::support::{Env, until};

/// Has the database refuse whatever would leave a job as `rule` forbids it. That is no trouble which passes by itself.
async fn refuse(env: &Env, rule: Document) {
    let change = doc! { "collMod": "jobs", "validator": rule };
    env.database().run_command(change).await.expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_file_is_gone_is_discarded_with_a_reason() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    let upload = env.submit(b"gone").await;
    assert!(env.spool().remove(upload.file).await.expect("the spool"));
    env.publish(upload.job).await;

    let job = env.until(upload.job, JobState::Discarded).await;
    let reason = job.reason.expect("a reason");
    assert!(reason.contains("is gone from the spool") && reason.contains("upload it again"), "{reason}");
    assert_eq!((job.code.as_deref(), job.attempts[0].code.as_deref()), (Some("file-lost"), Some("file-lost")));
    assert!(!job.replayable);
    let asset = env.asset(upload.asset).await;
    assert_eq!((asset.state, asset.code.as_deref()), (AssetState::Failed, Some("file-lost")));
    assert_eq!(env.media().traffic().upload_requests, 0);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_damaged_in_the_spool_is_not_stored_and_kept_for_a_redrive() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    let upload = env.submit(b"as it was received").await;
    let path = env.spool().path(upload.file);
    let mut damaged = upload.bytes.clone();
    damaged[20] ^= 1;
    std::fs::write(&path, damaged).expect("damaged");
    env.publish(upload.job).await;

    let job = env.until(upload.job, JobState::Discarded).await;
    let reason = job.reason.expect("a reason");
    assert!(reason.contains("damaged") && reason.contains("upload it again") && !reason.contains('/'), "{reason}");
    let asset = env.asset(upload.asset).await;
    assert_eq!((asset.state, asset.code.as_deref()), (AssetState::Failed, Some("file-lost")));
    assert_eq!(env.media().traffic().upload_requests, 0);

    // It was the memory of this machine.
    std::fs::write(&path, &upload.bytes).expect("mended");
    let redriven = env.store().media().redrive(upload.job).await.expect("the database");
    assert!(matches!(redriven, Redrive::Done(_)), "{redriven:?}");
    env.until(upload.job, JobState::Completed).await;
    assert_eq!(env.bytes_at_host(&env.asset(upload.asset).await.public_id).await, upload.bytes);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_md5_was_taken_when_it_was_accepted_is_compared_with_that() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    let upload = env.submit(b"long ago").await;
    let ours = "10c1afa0ec5c795407f8792727f63103";
    // As versions accepted it that knew no CRC-32; the first of these two MD5s is another file's.
    let accepted_with = async |md5: &str| {
        let earlier = doc! { "$set": { "md5": md5 }, "$unset": { "crc32": "" } };
        let assets = env.database().collection::<Document>("assets");
        assets.update_one(doc! { "job": upload.job.to_string() }, earlier).await.expect("changed");
    };
    let jobs = env.database().collection::<Document>("jobs");
    let without_source = jobs.update_one(doc! {}, doc! { "$unset": { "source": "" } }).await.expect("changed");
    assert_eq!(without_source.modified_count, 1);
    accepted_with("d41d8cd98f00b204e9800998ecf8427e").await;
    env.publish(upload.job).await;
    until("it fails", async || env.job(upload.job).await.attempts.iter().any(|attempt| attempt.outcome.is_some()))
        .await;
    let error = env.job(upload.job).await.attempts[0].error.clone().expect("an error");
    assert!(error.contains("was stored with") && error.contains(ours), "{error}");
    accepted_with(ours).await;
    env.until(upload.job, JobState::Completed).await;
    assert_eq!(env.bytes_at_host(&env.asset(upload.asset).await.public_id).await, upload.bytes);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_waits_for_a_spool_whose_volume_is_not_mounted() {
    let env = Env::start().await;
    let worker = env.worker().await;
    let upload = env.submit(b"mounted again").await;
    let (spool, elsewhere) = (env.folder().join("spool"), env.folder().join("elsewhere"));
    std::fs::rename(&spool, &elsewhere).expect("the spool goes");
    env.publish(upload.job).await;
    until("it fails", async || env.job(upload.job).await.attempts.iter().any(|attempt| attempt.outcome.is_some()))
        .await;
    let readiness = worker.readiness();
    assert!(!readiness.ready && readiness.dependencies["spool"].contains("SPOOL_DIR"), "{readiness:?}");
    std::fs::rename(&elsewhere, &spool).expect("the spool is back");

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!(job.attempts[0].outcome, Some(AttemptOutcome::Operator));
    assert!(job.attempts[0].error.as_ref().is_some_and(|error| error.contains("SPOOL_DIR")), "{:?}", job.attempts[0]);
    assert_eq!(job.attempts[0].code.as_deref(), Some("configuration"));
    assert_eq!(job.failures, 0);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_survives_a_media_host_that_fails_twice() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    env.fault("effect=status,status=500,action=upload,times=2");
    let upload = env.enqueue(b"third time lucky").await;

    let job = env.until(upload.job, JobState::Completed).await;
    let outcomes: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome).collect();
    let retry = Some(AttemptOutcome::Retry);
    assert_eq!(outcomes, [retry, retry, Some(AttemptOutcome::Completed)]);
    let codes: Vec<_> = job.attempts.iter().map(|attempt| (attempt.code.as_deref(), attempt.status)).collect();
    let failed = (Some("media-host-failed"), Some(500));
    assert_eq!(codes, [failed, failed, (None, None)]);
    assert!(job.attempts[0].error.as_ref().is_some_and(|error| error.contains("500")), "{:?}", job.attempts[0]);
    assert_eq!(job.failures, 2);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limits_reset_is_waited_for() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    env.fault("effect=rate_limit,reset_seconds=3,action=upload,times=1");
    let upload = env.submit(b"patience").await;
    let begin = OffsetDateTime::now_utc();
    env.publish(upload.job).await;

    let job = env.until(upload.job, JobState::Retryable).await;
    // The host tells the time of reset in whole seconds.
    assert!(job.run_at - begin >= time::Duration::seconds(1), "{} after {begin}", job.run_at);
    let last = job.attempts.last().expect("an attempt");
    assert_eq!((last.code.as_deref(), last.status), (Some("media-host-rate-limited"), Some(420)));
    let job = env.until(upload.job, JobState::Completed).await;
    assert!(job.attempts[1].started_at >= job.run_at, "{job:?}");
    assert_eq!(env.media().traffic().upload_requests, 2);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_discards_nothing_shows_and_mends_itself() {
    let env = Env::start().await;
    let worker = env.worker().await;
    until("the worker is ready", async || worker.readiness().ready).await;
    let fault = env.fault("effect=status,status=401,message=Invalid Signature,action=upload");
    let upload = env.enqueue(b"not your fault").await;

    until("three attempts were made", async || env.job(upload.job).await.attempts.len() > 3).await;
    let readiness = worker.readiness();
    let cloudinary = &readiness.dependencies["cloudinary"];
    assert!(!readiness.ready);
    assert!(cloudinary.starts_with("operator error: ") && cloudinary.contains("401"), "{cloudinary}");
    assert!(cloudinary.contains("CLOUDINARY_API_SECRET"), "{cloudinary}");

    env.media().clear_fault(fault);
    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!(job.failures, 0, "an operator's error costs no attempt");
    assert!(job.attempts.iter().rev().skip(1).all(|attempt| attempt.outcome == Some(AttemptOutcome::Operator)));
    assert!(worker.readiness().ready);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_lost_after_storing_makes_no_second_asset() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    env.fault("effect=drop,at=after_storing,action=upload,times=1");
    let upload = env.enqueue(b"stored, but who knows").await;

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!(job.failures, 1, "{job:?}");
    assert_eq!(env.media().assets().len(), 1);
    let asset = env.asset(upload.asset).await;
    assert_eq!(env.bytes_at_host(&asset.public_id).await, upload.bytes);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_host_that_hangs_costs_one_attempt() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    env.fault("effect=hang,action=upload,times=1");
    let upload = env.enqueue(b"hello?").await;

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!(job.failures, 1, "{job:?}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_is_ended() {
    let env = Env::start().await;
    let _worker = env.worker_with(|config| config.settings.attempt_limit = Duration::from_millis(200)).await;
    env.fault("effect=delay,ms=600,action=upload,times=1");
    let upload = env.enqueue(b"slow").await;

    let job = env.until(upload.job, JobState::Completed).await;
    let error = job.attempts[0].error.clone().expect("an error");
    assert!(error.contains("did not end within 200ms"), "{error}");
    assert_eq!(env.media().assets().len(), 1);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_media_host_refuses_is_discarded_and_kept_for_a_redrive() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    env.fault("effect=status,status=400,message=Invalid image file,action=upload");
    let upload = env.enqueue(b"no picture").await;

    let job = env.until(upload.job, JobState::Discarded).await;
    assert!(job.reason.as_ref().is_some_and(|reason| reason.contains("Invalid image file")), "{job:?}");
    assert!(job.replayable);
    assert_eq!(env.asset(upload.asset).await.code.as_deref(), Some("refused"));
    env.until_quiet().await;
    assert_eq!(env.spooled(), [upload.file.to_string()]);
    env.finish_with_files(&[upload.file]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_discarded_when_its_attempts_are_used_up() {
    let env = Env::start_with(|store| store.max_attempts = 3).await;
    let _worker = env.worker().await;
    env.fault("effect=status,status=503,action=upload");
    let upload = env.enqueue(b"never").await;

    let job = env.until(upload.job, JobState::Discarded).await;
    assert_eq!((job.failures, job.attempts.len()), (3, 3));
    assert!(job.replayable);
    assert_eq!(env.asset(upload.asset).await.code.as_deref(), Some("too-many-failures"));
    env.finish_with_files(&[upload.file]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_outage_of_the_media_host_is_outlived_on_a_clock_ten_thousand_times_as_fast() {
    const FASTER: u32 = 10_000;
    let day = Duration::from_secs(24 * 60 * 60);
    let policy = worker::Settings::default().retry;
    let env = Env::start().await;
    let worker = env
        .worker_with(|config| {
            config.settings.retry =
                worker::RetryPolicy { base: policy.base / FASTER, cap: policy.cap / FASTER, ..policy };
        })
        .await;
    // Half of it answers, half of it does not.
    let busy = env.fault("effect=status,status=503,action=upload");
    let mut uploads = Vec::new();
    for number in 0..4_u8 {
        uploads.push(env.enqueue(&[number]).await);
    }
    tokio::time::sleep(day / FASTER / 2).await;
    let gone = env.fault("effect=drop,at=before_reading");
    tokio::time::sleep(day / FASTER / 2).await;
    for upload in &uploads {
        assert!(env.spooled().contains(&upload.file.to_string()), "the file is kept");
    }
    assert!(worker.readiness().ready, "restarting a worker mends nothing");
    // In this order, and not before: what was read already when the second fault came would be an upload without the first.
    env.media().clear_fault(busy);
    env.media().clear_fault(gone);

    for upload in uploads {
        let job = env.until(upload.job, JobState::Completed).await;
        assert!((10..150).contains(&job.failures), "{} failures", job.failures);
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_retry_cannot_be_recorded_is_kept_and_is_no_crash() {
    let env = Env::start().await;
    let patience = Duration::from_millis(300);
    let _worker = env.worker_with(|config| config.settings.database_patience = patience).await;
    refuse(&env, doc! { "state": { "$ne": JobState::Retryable.as_str() } }).await;
    let fault = env.fault("effect=status,status=503,action=upload,times=1");
    let upload = env.enqueue(b"nobody writes it down").await;
    until("the upload has failed", async || env.struck(fault) == 1).await;
    // Each time that it cannot be recorded the lease is renewed. So often the delivery has been let go as well.
    let first = env.job(upload.job).await.lease_until.expect("a lease");
    let held = async || env.job(upload.job).await.lease_until.is_some_and(|until| until > first + 5 * patience);
    until("it is held for longer than a delivery is", held).await;
    let job = env.job(upload.job).await;
    assert_eq!((job.state, job.attempt, job.crashes), (JobState::Running, 1, 0), "{job:?}");

    refuse(&env, doc! {}).await;
    let job = env.until(upload.job, JobState::Completed).await;
    let outcomes: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Some(AttemptOutcome::Retry), Some(AttemptOutcome::Completed)], "{job:?}");
    assert_eq!((job.failures, job.crashes), (1, 0), "{job:?}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_success_cannot_be_recorded_is_made_again_and_is_no_crash() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    refuse(&env, doc! { "state": { "$ne": JobState::Completed.as_str() } }).await;
    let upload = env.enqueue(b"done, and nobody writes it down").await;
    until("it is to be made again", async || env.job(upload.job).await.failures >= 2).await;

    refuse(&env, doc! {}).await;
    let job = env.until(upload.job, JobState::Completed).await;
    let (last, before) = job.attempts.split_last().expect("attempts");
    assert_eq!((last.outcome, job.crashes), (Some(AttemptOutcome::Completed), 0), "{job:?}");
    assert!(before.iter().all(|attempt| attempt.outcome == Some(AttemptOutcome::Retry)), "{job:?}");
    assert_eq!(env.media().assets().len(), 1);
    env.finish().await;
}
