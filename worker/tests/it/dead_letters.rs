//! Messages that nobody can do anything for go to a person in one delivery.

use messages::{AssetId, DeleteMedia, Envelope, Job, JobId};

use crate::support::{Env, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_envelope_is_parked_with_its_bytes_and_a_reason() {
    let env = Env::start().await;
    let worker = env.worker().await;
    until("the worker is ready", async || worker.readiness().await.ready).await;
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number * 31 % 251) as u8).collect();
    let unknown = r#"{"messageId":"019389a0-0000-7000-8000-000000000001","jobId":"019389a0-0000-7000-8000-000000000002","enqueuedAt":"2026-11-23T03:04:05Z","kind":"media.upload.v9","data":{}}"#;
    for body in [&noise, &b""[..], b"{}", unknown.as_bytes()] {
        env.publish_raw(body).await;
    }
    until("four dead letters", async || env.dead_letters().await.len() == 4).await;

    let letters = env.dead_letters().await;
    assert!(letters.iter().any(|letter| letter.body == noise));
    let letter = letters.iter().find(|letter| letter.body == unknown.as_bytes()).expect("the unknown kind");
    assert!(letter.reason.contains("unknown kind \"media.upload.v9\""), "{}", letter.reason);
    env.finish_with_dead_letters(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_a_job_that_nobody_knows_is_parked() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    let (job, asset) = (JobId::new(), AssetId::from_bytes([7; 12]));
    let envelope = Envelope::new(job, Job::DeleteMedia(DeleteMedia { asset }), None);
    until("the message is published", async || env.publisher.publish(&envelope).await.is_ok()).await;
    until("a dead letter", async || env.dead_letters().await.len() == 1).await;
    let reason = env.dead_letters().await[0].reason.clone();
    assert!(reason.contains(&job.to_string()), "{reason}");
    env.finish_with_dead_letters(1).await;
}
