//! Messages that nobody can do anything for go to a person in one delivery.

use messages::{AssetId, DeleteMedia, Envelope, Job, JobId};

use crate::support::{Env, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_envelope_is_parked_with_its_bytes_and_a_reason() {
    let env = Env::start().await;
    let worker = env.worker().await;
    until("the worker is ready", async || worker.readiness().ready).await;
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number * 31 % 251) as u8).collect();
    let unknown = r#"{"messageId":"019389a0-0000-7000-8000-000000000001","jobId":"019389a0-0000-7000-8000-000000000002","enqueuedAt":"2026-11-23T03:04:05Z","kind":"media.upload.v9","data":{}}"#;
    // A version that this worker does not know is a kind that it does not know.
    let misfit = unknown.replace("media.upload.v9", "media.upload.v1");
    let bodies = [&noise, &b""[..], b"{}", b"null", unknown.as_bytes(), misfit.as_bytes()];
    for body in bodies {
        env.publish_raw(body).await;
    }
    until("all are dead letters", async || env.dead_letters().await.len() == bodies.len()).await;
    let (mut parked, mut sent) = (Vec::new(), bodies.map(<[u8]>::to_vec));
    parked.extend(env.dead_letters().await.into_iter().map(|letter| letter.body));
    parked.sort();
    sent.sort();
    assert_eq!(parked, sent, "byte for byte");
    // The broker's own count, which comes some seconds late.
    until("each was delivered once", async || env.delivered().await >= (bodies.len() as u64, 0)).await;
    assert_eq!(
        env.delivered().await,
        (bodies.len() as u64, 0),
        "deliveries, and those of them that were not the first"
    );

    let letters = env.dead_letters().await;
    assert!(letters.iter().any(|letter| letter.body == noise));
    let letter = letters.iter().find(|letter| letter.body == unknown.as_bytes()).expect("the unknown kind");
    assert!(letter.reason.contains("unknown kind \"media.upload.v9\""), "{}", letter.reason);
    let letter = letters.iter().find(|letter| letter.body == misfit.as_bytes()).expect("the payload that does not fit");
    assert!(letter.reason.contains("payload does not fit media.upload.v1"), "{}", letter.reason);
    env.finish_with_dead_letters(bodies.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_parser_quotes_of_a_long_message_is_cut() {
    let env = Env::start().await;
    let worker = env.worker().await;
    until("the worker is ready", async || worker.readiness().ready).await;
    env.publish_raw(format!("\"{}\"", "x".repeat(3_000_000)).as_bytes()).await;
    until("a dead letter", async || env.dead_letters().await.len() == 1).await;
    let letter = env.dead_letters().await.remove(0);
    assert_eq!(letter.body.len(), 3_000_002, "byte for byte");
    assert!(letter.reason.starts_with("not an envelope: ") && letter.reason.len() < 300, "{}", letter.reason.len());
    env.finish_with_dead_letters(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_a_job_that_nobody_knows_is_parked() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    let (job, asset) = (JobId::new(), AssetId::from_bytes([7; 12]));
    let envelope = Envelope::new(job, Job::DeleteMedia(DeleteMedia { asset, public_id: None }), None);
    until("the message is published", async || env.publisher.publish(&envelope).await.is_ok()).await;
    until("a dead letter", async || env.dead_letters().await.len() == 1).await;
    let reason = env.dead_letters().await[0].reason.clone();
    assert!(reason.contains(&job.to_string()), "{reason}");
    env.finish_with_dead_letters(1).await;
}
