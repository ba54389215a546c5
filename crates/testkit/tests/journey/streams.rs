//! Clients that follow their uploads: a page in a browser, and one whose servers are killed and deployed.

use std::time::{Duration, Instant};

use cloudinary_local::{Effect, Fault, Moment};
use serde_json::{Value, json};
use testkit::tools::{self, browser};
use testkit::{PASSWORD, TestEnv, jpeg, process};

use crate::support;

/// Signs in, follows everything, uploads, and follows the upload by the address that its answer names. The values that it needs
/// are put in front of it.
const PAGE: &str = r#"
const credentials = "include";
const json = { "content-type": "application/json" };
const signedIn = await fetch(`${api}/api/v1/users/login`, { method: "POST", credentials, headers: json, body: JSON.stringify(user) });
if (!signedIn.ok) throw new Error(`not signed in: ${signedIn.status}`);

const states = {};
const note = (event) => {
  const job = JSON.parse(event.data);
  (states[job.id] ??= []).push(job.state);
};
const until = async (what, condition) => {
  for (let turn = 0; !condition(); turn += 1) {
    if (turn > 3000) throw new Error(`not in time: ${what}: ${JSON.stringify(states)}`);
    await new Promise((passed) => setTimeout(passed, 20));
  }
};
const all = new EventSource(`${api}/api/v1/events`, { withCredentials: true });
all.addEventListener("job", note);
await until("a stream", () => all.readyState === EventSource.OPEN);

const form = new FormData();
form.append("file", new Blob([Uint8Array.from(picture)]), "a.jpg");
const answer = await fetch(`${api}/api/v1/media`, { method: "POST", credentials, body: form });
const job = (await answer.json()).data.jobs[0];
await until("the end", () => states[job.id]?.at(-1) === "completed");

const told = [];
let opened = 0;
const one = new EventSource(job.events, { withCredentials: true });
one.onopen = () => (opened += 1);
one.addEventListener("job", (event) => told.push([JSON.parse(event.data).state, event.lastEventId !== ""]));
// The stream has an end, after which the browser comes once more and is told not to.
await until("it is told to stop", () => one.readyState === EventSource.CLOSED);
const open = all.readyState === EventSource.OPEN;
all.close();
return { told, opened, open };
"#;

#[tokio::test]
async fn an_event_source_in_chromium_follows_uploads_by_cookie_and_stops_when_it_is_told() {
    let Some(program) = browser::find() else {
        return tools::skip("EventSource", "Chromium is not on this machine");
    };
    let env = TestEnv::start().await;
    let (api, _worker) = (env.api().await, env.worker().await);
    let (name, answer) = api.register(jpeg(1_000)).await;
    answer.expect(201);
    // Of the page's own site, so that it has the cookies.
    let url = api.url().replace("127.0.0.1", "localhost");
    let user = json!({"username": name, "password": PASSWORD});
    let picture = Value::from(jpeg(1_000).to_vec());
    let script = format!("const api = {};\nconst user = {user};\nconst picture = {picture};\n{PAGE}", json!(url));
    let said = browser::evaluate(program, env.folder(), &script).await;
    assert_eq!(said, json!({"told": [["completed", true]], "opened": 1, "open": true}));
    api.stop().await;
    env.finish().await;
}

#[tokio::test]
async fn a_client_whose_servers_are_killed_and_deployed_under_it_is_told_how_its_upload_ends() {
    let env = TestEnv::start().await;
    let (mut killed, first) = support::api(&env, "api-1").await;
    let (deployed, second) = support::api(&env, "api-2").await;
    let (user, answer) = first.new_user(jpeg(1_000)).await;
    let token = user.token().expect("signed in").to_owned();
    let job = answer.job(0);
    let path = format!("/api/v1/jobs/{job}/events");

    let mut stream = user.follow(&path, None).await.expect("a stream");
    stream.until(&job, "queued").await;
    killed.kill();
    while stream.next().await.is_some() {}
    let mut stream = second.with_token(&token).follow(&path, Some(&stream.last_id)).await.expect("a stream");
    stream.until(&job, "queued").await;

    // An upload ends while the client is between two servers.
    let slow = Fault::new(Effect::Delay { ms: 3_000, at: Moment::BeforeStoring });
    env.media().install_fault(slow.on("upload").times(1));
    let _worker = support::worker(&env, "worker").await;
    stream.until(&job, "running").await;
    let began = Instant::now();
    process::end(deployed).await.expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(10), "a deploy waits for no stream: {:?}", began.elapsed());
    while stream.next().await.is_some() {}
    let (_third, third) = support::api(&env, "api-3").await;
    let third = third.with_token(&token);
    third.wait_for_job(&job, &["completed"]).await;
    let mut stream = third.follow(&path, Some(&stream.last_id)).await.expect("a stream");
    assert_eq!(stream.next().await.expect("an event").state(), "completed");
    assert!(stream.next().await.is_none(), "it ends with the job");
    env.finish().await;
}
