//! What signs webhooks, and what their addresses hold, is in no log.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{TestEnv, jpeg, process};

use super::ENDPOINTS;
use super::receiver::{Receiver, Says};
use crate::support::{api_with, worker_with};

const TOKEN: &str = "planted-token-in-the-address-of-a-webhook";

#[tokio::test(flavor = "multi_thread")]
async fn no_log_holds_a_webhooks_secret_or_the_token_in_its_address() {
    let (env, receiver, elsewhere) = (TestEnv::start().await, Receiver::start().await, Receiver::start().await);
    let settings = [("RUST_LOG", "trace".to_owned()), ("WEBHOOK_ALLOW_PRIVATE", "true".to_owned())];
    let (api, client) = api_with(&env, "api", &settings).await;
    let worker = worker_with(&env, "worker", &settings).await;
    let (user, registered) = client.new_user(jpeg(1_000)).await;
    user.wait_for_job(&registered.job(0), &["completed"]).await;
    let with_token = |url: &str| format!("{url}?token={TOKEN}");

    // Nobody is there at first; then somebody who leads elsewhere, and at last takes it.
    let nobody = process::free_address().expect("a free port");
    let new = json!({"url": with_token(&format!("http://{nobody}/hooks")), "events": ["media.ready.v1"]});
    let made = user.post(ENDPOINTS, &new).await.expect(201);
    let text = |value: &Value, field: &str| value[field].as_str().expect("text").to_owned();
    let (place, first) = (format!("{ENDPOINTS}/{}", text(made.data(), "id")), text(made.data(), "secret"));
    let rotated = user.post(&format!("{place}/rotate"), &json!({})).await.expect(200);
    let second = text(rotated.data(), "secret");
    assert_ne!(first, second);
    let accepted = user.submit("a.jpg", jpeg(2_000)).await.expect(202);
    user.wait_for_job(&accepted.job(0), &["completed"]).await;
    let delivery = async || {
        let answer = user.get(&format!("{place}/deliveries")).await.expect(200);
        answer.data()[0].clone()
    };
    TestEnv::until("an attempt has failed", async || delivery().await["attempts"][0]["error"] == "no-connection").await;
    receiver.says([Says::Redirect(with_token(&elsewhere.url))]);
    let change = user.request(Method::PATCH, &place).json(&json!({"url": with_token(&receiver.url)}));
    user.send(change).await.expect(200);
    TestEnv::until("it is delivered", async || delivery().await["state"] == "delivered").await;
    assert!(receiver.received().iter().all(|received| received.is_signed_by(&second)));

    env.until_quiet().await;
    for process in [&api, &worker] {
        let log = process.printed().expect("a log");
        assert!(log.contains("DEBUG") && log.lines().count() > 20, "{} logged little: {log}", process.name());
        for secret in [TOKEN, &first, &second] {
            let secret = secret.trim_start_matches(outbound::SECRET_PREFIX);
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{} logged {secret}: {}", process.name(), line.unwrap_or_default());
        }
    }
    process::end(api).await.expect("it ends");
    process::end(worker).await.expect("it ends");
    env.finish().await;
}
