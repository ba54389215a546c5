//! Registrations that are accepted.

use reqwest::Method;
use serde_json::Value;
use testkit::{Census, PASSWORD, jpeg};

use crate::support::{CURRENT_USER, LOGIN, REGISTER, World, assert_accepted, registration};

#[tokio::test]
async fn a_registration_answers_with_the_user_and_the_job() {
    let world = World::start().await;
    let (avatar, cover) = (jpeg(3_000), jpeg(4_000));
    let form = registration("ada").file("avatar", "me.jpg", avatar).file("coverImage", "cover.jpg", cover);
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    assert_accepted(&answer, 201);
    let user = answer.data();
    assert_eq!((&user["username"], &user["email"]), (&Value::from("ada"), &Value::from("ada@example.com")));
    assert_eq!((&user["fullName"], &user["watchHistory"]), (&Value::from("Ada Lovelace"), &Value::Array(Vec::new())));
    let id = user["_id"].as_str().unwrap_or_default();
    assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{user}");
    for field in ["createdAt", "updatedAt"] {
        let time = user[field].as_str().unwrap_or_default();
        assert!(time.len() == 24 && time.contains('T') && time.ends_with('Z'), "{time}");
    }
    let jobs = user["jobs"].as_array().expect("jobs");
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        assert_eq!((&job["kind"], &job["state"]), (&Value::from("media.upload.v1"), &Value::from("pending")));
        assert!(job["url"].as_str().is_some_and(|url| url.starts_with("http://localhost:")), "{job}");
    }
    assert_eq!(answer.header("location"), jobs[0]["url"].as_str().unwrap_or_default());
    assert_eq!(world.env.census().await, Census { users: 1, assets: 2, jobs: 2, answers: 0, files: 2 });
    world.work_off_and_end().await;
}

#[tokio::test]
async fn text_fields_may_come_after_the_files() {
    let world = World::start().await;
    let form = testkit::Upload::new()
        .text("username", "ada")
        .file("avatar", "me.jpg", jpeg(300_000))
        .text("fullName", "Ada")
        .text("password", PASSWORD)
        .text("email", "ada@example.com")
        .text("rememberMe", "true");
    assert_accepted(&world.api.upload(Method::POST, REGISTER, &form).await, 201);
    world.api.login("ada").await;
    world.work_off_and_end().await;
}

#[tokio::test]
async fn no_answer_ever_holds_a_password_or_its_hash() {
    let world = World::start().await;
    let form = registration("ada").file("avatar", "me.jpg", jpeg(3_000));
    let registered = world.api.upload(Method::POST, REGISTER, &form).await.expect(201);
    let again = world.api.upload(Method::POST, REGISTER, &form).await.expect(409);
    let user = world.api.login("ada").await;
    let signed_in = world.api.post(LOGIN, &serde_json::json!({"username": "ada", "password": PASSWORD})).await;
    let number =
        world.api.post(LOGIN, &serde_json::json!({"username": "ada", "password": 918_273_645})).await.expect(422);
    let current = user.get(CURRENT_USER).await.expect(200);
    let replaced = user.replace_avatar(jpeg(3_000)).await.expect(202);
    for answer in [registered, again, signed_in, number, current, replaced] {
        let text = answer.body.to_string();
        for secret in [PASSWORD, "918273645", "$argon2", "refreshTokenHash"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!((&answer.data()["password"], &answer.data()["user"]["password"]), (&Value::Null, &Value::Null));
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_trace_that_a_client_began_goes_with_the_job() {
    let world = World::start().await;
    let user = world.member().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (sent, kept) in [(trace, Some(trace)), ("00-nonsense", None)] {
        let request = user.client.request(Method::POST, crate::support::MEDIA).header("traceparent", sent);
        let request = request.header("tracestate", "vendor=1").header("tracestate", "other=2");
        let body = testkit::RawForm::new().file("file", "a.jpg", &jpeg(2_000)).finished();
        let answer = user.client.send(request.header("content-type", testkit::FORM_TYPE).body(body)).await.expect(202);
        let job = world.env.store().jobs().find(answer.job(0).parse().expect("an id")).await.expect("an answer");
        let job = job.expect("a job");
        assert_eq!(job.traceparent.as_deref(), kept);
        assert_eq!(job.tracestate.as_deref(), kept.map(|_| "vendor=1,other=2"));
    }
    world.work_off_and_end().await;
}
