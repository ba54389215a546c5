//! Large files whose worker dies or stands still in the middle.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cloudinary_local::{Effect, Fault, Moment};
use md5::{Digest, Md5};
use messages::{AssetId, JobId};
use store::{AttemptOutcome, JobRecord, JobState, MediaType, NewUpload, NewUser, PasswordHash, ResourceType, Role};
use testkit::{TestEnv, mp4, process};

use crate::support;

const MEGABYTE: u64 = 1_000_000;
/// What a worker sends at once unless it is told otherwise.
const CHUNK: u64 = 20 * MEGABYTE;
/// What a request has around its chunk, at most.
const FRAME: u64 = 2048;
/// Hundreds of megabytes through programs without optimisation, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Film {
    job: JobId,
    asset: AssetId,
    bytes: u64,
    md5: String,
}

/// Accepts a video of that many megabytes as the API does; each megabyte differs from the others.
async fn submit(env: &TestEnv, megabytes: u16) -> Film {
    let mut writer = env.spool().create();
    let mut md5 = Md5::new();
    for megabyte in 0..megabytes {
        let content = match megabyte {
            0 => mp4(MEGABYTE as usize),
            _ => Bytes::from(vec![(megabyte % 251) as u8; MEGABYTE as usize]),
        };
        md5.update(&content);
        writer.write(content).await.expect("written");
    }
    let spooled = writer.commit().await.expect("committed");
    let upload = NewUpload {
        asset: store::new_asset_id(),
        job: JobId::new(),
        role: Role::Media,
        spool: env.spool().id().clone(),
        file: spooled.file,
        media_type: MediaType { content_type: "video/mp4".to_owned(), resource_type: ResourceType::Video },
        bytes: spooled.bytes,
        crc32: spooled.crc32,
        original_name: "film.mp4".to_owned(),
    };
    let film = Film { job: upload.job, asset: upload.asset, bytes: upload.bytes, md5: hex::encode(md5.finalize()) };
    let owner = NewUser {
        id: store::new_user_id(),
        username: support::free_name(),
        email: format!("{}@example.com", support::free_name()),
        full_name: "Ada".to_owned(),
        password_hash: PasswordHash::from("$argon2id$none".to_owned()),
    };
    let owner = env.store().media().register(owner, Vec::new(), None, None).await.expect("registered").user;
    env.store().media().submit(owner, vec![upload], None, None).await.expect("accepted");
    spooled.keep();
    film
}

async fn job(env: &TestEnv, film: &Film) -> JobRecord {
    env.store().jobs().find(film.job).await.expect("the database").expect("the job")
}

fn acknowledged(job: &JobRecord) -> u64 {
    job.upload.as_ref().map_or(0, |upload| upload.position.acknowledged_bytes)
}

/// Waits until the job is as it should be.
async fn until(env: &TestEnv, film: &Film, what: &str, condition: impl Fn(&JobRecord) -> bool) -> JobRecord {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = job(env, film).await;
        if condition(&job) {
            return job;
        }
        assert!(Instant::now() < deadline && !job.state.is_finished(), "{what}: {job:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn struck(env: &TestEnv, fault: u64) -> bool {
    env.media().faults().iter().any(|installed| installed.id == fault && installed.struck > 0)
}

fn outcomes(job: &JobRecord) -> Vec<Option<AttemptOutcome>> {
    job.attempts.iter().map(|attempt| attempt.outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_whose_worker_is_killed_three_times_goes_on_where_it_was() {
    let env = TestEnv::start().await;
    let film = submit(&env, 300).await;
    // Killed once more than a job that does not get on would survive.
    let lease = [("WORKER_LEASE", "5s".to_owned())];
    let mut reached = 0;
    for (kill, more) in [3, 4, 3].into_iter().enumerate() {
        env.media().clear_faults();
        let hung = Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload").skip(more).times(1);
        let hung = env.media().install_fault(hung);
        let mut worker = support::worker_with(&env, &format!("worker-{kill}"), &lease).await;
        reached += more * CHUNK;
        until(&env, &film, "the next chunk is under way", |job| acknowledged(job) == reached && struck(&env, hung))
            .await;
        worker.kill();
    }
    env.media().clear_faults();
    let _worker = support::worker_with(&env, "worker", &lease).await;
    let job = until(&env, &film, "it is finished", |job| job.state == JobState::Completed).await;

    let crashed = Some(AttemptOutcome::Crashed);
    assert_eq!(outcomes(&job), [crashed, crashed, crashed, Some(AttemptOutcome::Completed)]);
    assert_eq!(job.upload.expect("progress").position.begun, 1);
    let traffic = env.media().traffic_of(&format!("steep/media/{}", film.asset));
    let sent = traffic.body_bytes - film.bytes;
    println!("{} bytes arrived for a file of {}: {sent} more", traffic.body_bytes, film.bytes);
    assert!(sent <= 3 * CHUNK + traffic.upload_requests * FRAME, "{traffic:?}");
    let assets = env.media().assets();
    assert_eq!(
        assets.iter().map(|asset| (asset.bytes, asset.md5.as_str())).collect::<Vec<_>>(),
        [(film.bytes, film.md5.as_str())]
    );
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_past_its_lease_changes_nothing_of_what_its_successor_did() {
    let env = TestEnv::start().await;
    let film = submit(&env, 50).await;
    let lease = [("WORKER_LEASE", "5s".to_owned())];
    let slow = Effect::Delay { ms: 2_000, at: Moment::AfterStoring };
    let slow = env.media().install_fault(Fault::new(slow).on("upload").skip(1).times(1));
    let stopped = support::worker_with(&env, "stopped", &lease).await;
    until(&env, &film, "the second chunk is under way", |job| acknowledged(job) == CHUNK && struck(&env, slow)).await;
    stopped.pause(true);

    // It still has its connection, so this one waits for the lease.
    let _successor = support::worker_with(&env, "successor", &lease).await;
    let after = until(&env, &film, "the successor is done", |job| job.state == JobState::Completed).await;
    assert_eq!(outcomes(&after), [Some(AttemptOutcome::Crashed), Some(AttemptOutcome::Completed)]);
    let requests = env.media().traffic().upload_requests;
    assert_eq!(requests, 2 + 2, "the successor went on after the first chunk");

    stopped.pause(false);
    TestEnv::until("it finds out", async || {
        stopped.printed().expect("a log").contains("another attempt has taken over")
    })
    .await;
    // It lives, so that the job has killed nobody. Nothing else of the job changes.
    let denied = [Some(AttemptOutcome::Released), Some(AttemptOutcome::Completed)];
    TestEnv::until("its crash is taken back", async || outcomes(&job(&env, &film).await) == denied).await;
    let mut last = job(&env, &film).await;
    last.attempts[0] = after.attempts[0].clone();
    assert_eq!(last, JobRecord { updated_at: last.updated_at, ..after });
    assert_eq!(env.media().assets().len(), 1);
    process::end(stopped).await.expect("it ends");
    env.finish().await;
}
