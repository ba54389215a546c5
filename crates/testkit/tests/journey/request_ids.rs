//! Every line about a job leads to the request that brought it.

use reqwest::Method;
use testkit::{FORM_TYPE, RawForm, TestEnv, jpeg, process};

use crate::support::{api_with, worker_with};

/// A client's own, as a proxy in front of the api would give it.
const ID: &str = "edge-4711.a_request-of/this:test";

#[tokio::test]
async fn the_id_of_a_request_is_in_every_line_of_both_programs_about_its_job() {
    let env = TestEnv::start().await;
    // The second attempt is published by the relay, from the database.
    let fault = r#"{"effect": "status", "status": 503, "action": "upload", "public_id": "steep/media/", "times": 1}"#;
    env.media().install_fault(fault.parse().expect("a fault"));
    let verbose = [("RUST_LOG", "debug,lapin=off".to_owned())];
    let (api, client) = api_with(&env, "api", &verbose).await;
    let worker = worker_with(&env, "worker", &verbose).await;
    let (user, _) = client.new_user(jpeg(2_000)).await;
    let form = RawForm::new().file("file", "a.jpg", &jpeg(3_000)).finished();
    let request = user.request(Method::POST, "/api/v1/media").header("content-type", FORM_TYPE).body(form);
    let answer = user.send(request.header("x-request-id", ID)).await.expect(202);
    let job = user.wait_for_job(&answer.job(0), &["completed"]).await;
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(2), "{job}");
    env.until_quiet().await;

    let log = worker.printed().expect("a log");
    let of_the_job: Vec<&str> = log.lines().filter(|line| line.contains(&answer.job(0))).collect();
    assert!(of_the_job.len() > 2, "{log}");
    for line in of_the_job {
        assert!(line.contains(&format!("request_id=\"{ID}\"")), "{line}");
    }
    let log = api.printed().expect("a log");
    assert!(log.lines().any(|line| line.contains(ID) && line.contains("status=202")), "{log}");
    for line in log.lines().filter(|line| line.contains(&answer.job(0)) && !line.contains("path=\"/api/v1/jobs/")) {
        assert!(line.contains(ID), "{line}");
    }
    for process in [api, worker] {
        process::end(process).await.expect("it ends");
    }
    env.finish().await;
}
