//! People who are signed in at apis with different clocks.

use serde_json::json;
use testkit::{PASSWORD, TestEnv, jpeg, process};

use super::{HOUR, MINUTE, clock};
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_at_one_api_is_signed_in_at_all_of_them() {
    let env = TestEnv::start().await;
    let Some(fast) = clock(&env, "fast", 2 * HOUR) else { return env.finish().await };
    let slow = clock(&env, "slow", -40 * MINUTE).expect("another");
    let (fast, at_the_fast) = support::api_with(&env, "fast", &fast.settings()).await;
    let (slow, at_the_slow) = support::api_with(&env, "slow", &slow.settings()).await;
    let right = env.api().await;
    let worker = support::worker(&env, "worker").await;
    let (name, answer) = right.register(jpeg(1_000)).await;
    let job = answer.expect(201).job(0);

    let apis = [&at_the_fast, &at_the_slow, right.client()];
    for api in apis {
        let who = json!({ "username": name, "password": PASSWORD });
        let signed_in = api.post("/api/v1/users/login", &who).await.expect(200);
        for other in apis {
            let token = signed_in.data()["accessToken"].as_str().expect("a token");
            other.with_token(token).get("/api/v1/users/current-user").await.expect(200);
        }
        // Each presents what the one before was given.
        let mut refresh = signed_in.data()["refreshToken"].clone();
        for other in apis {
            let answer =
                other.post("/api/v1/users/refresh-token", &json!({ "refreshToken": refresh })).await.expect(200);
            refresh = answer.data()["refreshToken"].clone();
        }
    }
    for (api, seconds) in apis.into_iter().zip([2 * HOUR, -40 * MINUTE, 0]) {
        TestEnv::until("its readiness tells by how much its clock is wrong", async || {
            let ready = api.get("/readyz").await.expect(200);
            let offset = ready.body["clockOffsetMs"].as_i64().expect("an offset");
            (offset - seconds * 1000).abs() < 500
        })
        .await;
    }
    right.login(&name).await.wait_for_job(&job, &["completed"]).await;
    for process in [worker, fast, slow] {
        process::end(process).await.expect("it lives");
    }
    env.finish().await;
}
