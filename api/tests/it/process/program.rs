//! The program as a process: how it ends.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use testkit::{Client, Process, RawForm, TestEnv, Wire, jpeg, process};

use crate::support::{CURRENT_USER, LOGIN, MEDIA, REFRESH_TOKEN, REGISTER, assert_refused};

/// Starts the program, waits until it is ready, and answers with a client of it.
async fn start(env: &TestEnv, more: &[(&'static str, &str)]) -> (Process, Client) {
    start_until("/readyz", env, more).await
}

/// Starts the program and waits until it answers 200 to a path.
async fn start_until(path: &str, env: &TestEnv, more: &[(&'static str, &str)]) -> (Process, Client) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let mut settings = env.api_settings();
    settings.push(("PORT", port.to_string()));
    settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let program = Path::new(env!("CARGO_BIN_EXE_api"));
    let mut process = process::spawn("api", program, &[], &settings, env.folder()).expect("an api");
    let url = format!("http://127.0.0.1:{port}");
    process::until_ok(&mut process, &format!("{url}{path}")).await.expect("an api that answers");
    (process, Client::new(&url))
}

#[tokio::test]
async fn it_ends_in_time_although_an_upload_stalls_and_leaves_nothing_of_it() {
    let env = TestEnv::start().await;
    let worker = env.worker().await;
    let (process, client) = start(&env, &[("SHUTDOWN_TIMEOUT", "1s")]).await;
    let (user, _) = client.new_user(jpeg(2_000)).await;
    TestEnv::until("the avatar is done", || async { env.spooled_files() == 0 }).await;
    let mut wire = Wire::open(&user).await;
    wire.form_head("POST", MEDIA, 5_000_000).await;
    wire.send(&RawForm::new().file("file", "a.jpg", &jpeg(2_000_000)).unfinished()).await;
    TestEnv::until("it is on the disk", || async { env.spooled_files() == 1 }).await;

    let began = Instant::now();
    process::end(process).await.expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    TestEnv::until("nothing of it is left", async || env.spooled_files() == 0).await;
    env.finish().await;
    drop(worker);
}

#[tokio::test]
async fn it_finishes_an_upload_that_is_under_way_when_it_is_asked_to_stop() {
    let env = TestEnv::start().await;
    let worker = env.worker().await;
    let (process, client) = start(&env, &[]).await;
    let (user, _) = client.new_user(jpeg(2_000)).await;
    TestEnv::until("the avatar is done", || async { env.spooled_files() == 0 }).await;
    let form = RawForm::new().file("file", "a.jpg", &jpeg(600_000)).finished();
    let mut wire = Wire::open(&user).await;
    wire.form_head("POST", MEDIA, form.len()).await;
    wire.send(&form[..400_000]).await;
    TestEnv::until("it is on the disk", || async { env.spooled_files() == 1 }).await;
    let ending = tokio::spawn(process::end(process));
    TestEnv::until("it takes no more connections", || async {
        tokio::net::TcpStream::connect(user.url().trim_start_matches("http://")).await.is_err()
    })
    .await;
    wire.send(&form[400_000..]).await;
    wire.answer().await.expect(202);
    ending.await.expect("no panic").expect("it ends");
    env.finish().await;
    drop(worker);
}

#[tokio::test]
async fn its_log_holds_no_secret() {
    let env = TestEnv::start().await;
    let worker = env.worker().await;
    let (process, client) = start(&env, &[("RUST_LOG", "debug,lapin=off,mongodb=off")]).await;
    let (user, _) = client.new_user(jpeg(2_000)).await;
    user.current_user().await;
    client
        .post("/api/v1/users/login", &serde_json::json!({"username": "ada", "password": 918_273_645}))
        .await
        .expect(422);
    let token = user.token().expect("a token").to_owned();
    let log = process.printed().expect("a log");
    assert!(log.contains("/api/v1/users/register"), "{log}");
    for secret in [testkit::PASSWORD, testkit::ACCESS_TOKEN_SECRET, &token, "918273645", "$argon2id"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    process::end(process).await.expect("it ends");
    env.finish().await;
    drop(worker);
}

/// The library that reads tokens quotes them in what it says is wrong.
#[tokio::test]
async fn a_client_writes_no_line_of_the_log() {
    let forged = "2026-11-28T17:00:00.000000Z  INFO request{id=forged}: api: request method=POST status=200";
    let head = serde_json::json!({ "alg": format!("x`\n{forged}\r{forged}\u{2028}\u{202e}\u{1b}[2J") }).to_string();
    let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(head));
    for format in ["text", "json"] {
        let env = TestEnv::start().await;
        let (process, client) = start(&env, &[("LOG_FORMAT", format)]).await;
        let request = client.request(reqwest::Method::GET, CURRENT_USER).bearer_auth(&token);
        assert_refused(&client.send(request).await, 401, &[]);
        let cookie = format!("accessToken={token}; refreshToken={token}");
        let request = client.request(reqwest::Method::POST, REFRESH_TOKEN).header("cookie", cookie);
        assert_refused(&client.send(request).await, 401, &[]);
        TestEnv::until("both are logged", || async {
            let log = process.printed().expect("a log");
            log.lines().filter(|line| line.contains("request refused") && line.contains("id=forged")).count() == 2
        })
        .await;
        let log = process.printed().expect("a log");
        for line in log.lines() {
            assert!(!line.starts_with("2026-11-28T17:00:00.000000Z"), "{log}");
            assert!(!line.contains(['\r', '\u{2028}', '\u{202e}', '\u{1b}']), "{line:?}");
            if format == "json" {
                serde_json::from_str::<serde_json::Value>(line).expect("an object a line");
            }
        }
        process::end(process).await.expect("it ends");
        env.finish().await;
    }
}

#[tokio::test]
async fn it_starts_without_its_database_and_says_what_it_waits_for() {
    let env = TestEnv::start().await;
    let nowhere = ("MONGODB_URI", "mongodb://127.0.0.1:1/?replicaSet=rs0");
    let (process, client) = start_until("/healthz", &env, &[nowhere]).await;
    let ready = client.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.body["dependencies"]["mongodb"]["state"], "down", "{}", ready.body);

    // Known before the body is read, and found out by asking.
    let mut wire = Wire::open(&client).await;
    wire.form_head("POST", REGISTER, 5_000).await;
    let registration = wire.answer().await;
    let sign_in = client.post(LOGIN, &serde_json::json!({"username": "ada", "password": testkit::PASSWORD})).await;
    for answer in [registration, sign_in] {
        assert_refused(&answer, 503, &[]);
        assert_ne!(answer.header("retry-after"), "");
    }
    process::end(process).await.expect("it ends");
    env.finish().await;
}

#[tokio::test]
async fn it_gives_back_the_memory_that_sign_ins_took() {
    let env = TestEnv::start().await;
    let (process, client) = start(&env, &[]).await;
    let before = process::resident_memory(&process).expect("a size");
    let credentials = serde_json::json!({"username": "nobody", "password": testkit::PASSWORD});
    let mut sign_ins = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, credentials) = (client.clone(), credentials.clone());
        sign_ins.spawn(async move { client.post(LOGIN, &credentials).await.status.as_u16() });
    }
    assert_eq!(sign_ins.join_all().await, [401; 8]);
    // One hash alone takes 19 MiB.
    TestEnv::until("the memory is given back", || async {
        process::resident_memory(&process).expect("a size") < before + 16 * 1024 * 1024
    })
    .await;
    process::end(process).await.expect("it ends");
    env.finish().await;
}

#[tokio::test]
async fn what_becomes_of_a_job_after_the_answer_is_logged_with_the_id_of_its_request() {
    let env = TestEnv::start().await;
    let without_a_broker = ("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:1/nowhere");
    let settings = [without_a_broker, ("RUST_LOG", "debug,lapin=off")];
    let (process, client) = start(&env, &settings).await;
    let (_, answer) = client.register(jpeg(2_000)).await;
    let (id, job) = (answer.header("x-request-id").to_owned(), answer.expect(201).job(0));
    let line = format!("job.id={job} ");
    TestEnv::until("it no longer tries to publish the job", || async {
        process.printed().expect("a log").lines().any(|said| said.contains(&line) && said.contains("left to the relay"))
    })
    .await;
    let log = process.printed().expect("a log");
    for said in log.lines().filter(|said| said.contains(&line)) {
        assert!(said.contains(&format!("request{{id=\"{id}\"}}")), "{said}");
    }
    let worker = env.worker().await;
    process::end(process).await.expect("it ends");
    env.finish().await;
    drop(worker);
}
