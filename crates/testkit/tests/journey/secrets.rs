//! Nothing secret in any log, answer or `Debug`: of one journey at the highest level of logging, and of whatever any test does.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use clap::Parser;
use cloudinary_local::{Account, Server};
use mongodb::bson::{Document, doc};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::json;
use testkit::{ACCESS_TOKEN_SECRET, Client, Process, Services, TestEnv, access_tokens, new_user, process, session_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{api_with, worker_with};
use crate::tour::{Seen, Tour};

const PASSWORD: &str = "planted-password-of-a-user";
const TOKEN_SECRET: &str = "planted-secret-of-access-tokens-0123456789";
const REFRESH_SECRET: &str = "planted-secret-of-refresh-tokens-0123456789";
const MONGODB_PASSWORD: &str = "planted-password-of-mongodb";
const RABBITMQ_PASSWORD: &str = "planted-password-of-rabbitmq";
const CLOUDINARY_SECRET: &str = "planted-secret-of-cloudinary";
/// What every hash of a password begins with.
const HASHES: [&str; 4] = ["$argon2", "$2a$", "$2b$", "$2y$"];
/// The only operations whose answers hold a token: those that issue it.
const ISSUERS: [&str; 2] = ["POST /api/v1/users/login", "POST /api/v1/users/refresh-token"];

/// The settings of both programs, with passwords that are checked.
async fn plant(env: &TestEnv) -> Vec<(&'static str, String)> {
    let (user, database) = (env.name(), env.database().name());
    let create = doc! {"createUser": user, "pwd": MONGODB_PASSWORD, "roles": [{"role": "readWrite", "db": database}]};
    env.database().run_command(create).await.expect("a user of the database");
    let mongodb = Services::from_env().mongodb.replacen("://", &format!("://{user}:{MONGODB_PASSWORD}@"), 1);
    let account = json!({"password": RABBITMQ_PASSWORD, "tags": ""});
    let planted = planted_user(env);
    env.host().send(Method::PUT, &format!("/api/users/{planted}"), Some(account)).await;
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    env.host().send(Method::PUT, &format!("/api/permissions/{user}/{planted}"), Some(all)).await;
    let rabbitmq = env.host().url_as(&planted, RABBITMQ_PASSWORD);
    vec![
        ("MONGODB_URI", format!("{mongodb}&authSource={database}")),
        ("RABBITMQ_URL", rabbitmq),
        ("ACCESS_TOKEN_SECRET", TOKEN_SECRET.to_owned()),
        ("REFRESH_TOKEN_SECRET", REFRESH_SECRET.to_owned()),
        ("RUST_LOG", "trace".to_owned()),
    ]
}

/// A user of the broker beside that of every world.
fn planted_user(env: &TestEnv) -> String {
    format!("{}-planted", env.name())
}

async fn uproot(env: &TestEnv) {
    env.database().run_command(doc! {"dropAllUsersFromDatabase": 1}).await.expect("the user goes");
    env.host().send(Method::DELETE, &format!("/api/users/{}", planted_user(env)), None).await;
}

/// Somebody whom chai-backend registered: a sign-in replaces the hash.
async fn adopt(env: &TestEnv, name: &str) {
    // Of the planted password, made with bcrypt at its lowest cost.
    let hash = "$2b$04$g9ILzC/Rc4dBE2hOmInQzuGnD.SOAIDxMwc6L34IrqNz1fTvq70.O";
    let user =
        doc! {"username": name, "email": format!("{name}@example.com"), "fullName": "An Adopted", "password": hash};
    env.database().collection::<Document>("users").insert_one(user).await.expect("inserted");
}

/// The hashes that the database holds by now.
async fn stored_hashes(env: &TestEnv, name: &str) -> Option<String> {
    let found = env.database().collection::<Document>("users").find_one(doc! {"username": name}).await;
    found.expect("the database answers").and_then(|user| user.get_str("password").ok().map(str::to_owned))
}

#[tokio::test]
async fn no_log_and_no_answer_holds_a_secret_a_token_or_a_hash() {
    let env = TestEnv::start().await;
    let settings = plant(&env).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let mut media = cloudinary_local::Config::new(env.folder().join("planted-media"));
    media.accounts = vec![Account::new("demo", "1234", CLOUDINARY_SECRET)];
    let media = Server::start(media, listener).await.expect("a media host");
    let (api, client) = api_with(&env, "api", &settings).await;
    let with_account = [settings.as_slice(), &[("CLOUDINARY_URL", media.cloudinary_url())]].concat();
    let worker = worker_with(&env, "worker", &with_account).await;

    let mut tour = Tour::new(client.url(), PASSWORD);
    tour.take().await;
    adopt(&env, "adopted").await;
    tour.sign_in("adopted").await;
    TestEnv::until("the hash is replaced", async || {
        stored_hashes(&env, "adopted").await.is_some_and(|hash| hash.starts_with("$argon2id$"))
    })
    .await;
    env.until_quiet().await;
    // The tour's last changes of subscriptions are counted a moment later.
    TestEnv::until("every job has ended", async || {
        env.store().jobs().queue_ages().await.is_ok_and(|unfinished| unfinished.is_empty())
    })
    .await;

    for (name, process) in [("api", &api), ("worker", &worker)] {
        assert_clean_log(name, process, &tour);
    }
    for seen in &tour.seen {
        assert_clean_answer(seen, &tour);
    }
    process::end(api).await.expect("it ends");
    process::end(worker).await.expect("it ends");
    media.stop().await.expect("it stops");
    uproot(&env).await;
    env.finish().await;
}

fn planted<'a>() -> impl Iterator<Item = &'a str> {
    [PASSWORD, TOKEN_SECRET, REFRESH_SECRET, MONGODB_PASSWORD, RABBITMQ_PASSWORD, CLOUDINARY_SECRET]
        .into_iter()
        .chain(HASHES)
}

fn assert_clean_log(name: &str, process: &Process, tour: &Tour) {
    let log = process.printed().expect("a log");
    // Nothing but the client of RabbitMQ traces, and what it traces is left out; but the filter is as wide as it can be.
    assert!(log.contains("DEBUG") && log.lines().count() > 20, "{name} logged little: {log}");
    // The signature too: without it a token is only what it says.
    let signatures = tour.tokens.iter().filter_map(|token| token.rsplit('.').next());
    let tokens: Vec<&str> = tour.tokens.iter().map(String::as_str).chain(signatures).collect();
    for secret in planted().chain(tokens) {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{name} logged {secret}: {}", line.unwrap_or_default());
    }
    // The client of RabbitMQ writes bytes as it would text, and sends the password once.
    let as_bytes = format!("{:?}", RABBITMQ_PASSWORD.as_bytes());
    let as_bytes = as_bytes.trim_matches(['[', ']']);
    assert!(!log.contains(as_bytes), "{name} logged the password of RabbitMQ, byte by byte");
}

fn assert_clean_answer(seen: &Seen, tour: &Tour) {
    for secret in planted() {
        assert!(!seen.text.contains(secret), "{secret} in the answer to {}: {}", seen.operation, seen.text);
    }
    let issues = ISSUERS.contains(&seen.operation.as_str()) && seen.status == 200;
    let holds = tour.tokens.iter().any(|token| seen.text.contains(token));
    assert_eq!(holds, issues, "a token in the answer to {}: {}", seen.operation, seen.text);
}

#[tokio::test]
async fn no_setting_shows_a_secret_when_it_is_printed() {
    let config = api::Config::try_parse_from([
        "api".to_owned(),
        format!("--access-token-secret={TOKEN_SECRET}"),
        format!("--refresh-token-secret={REFRESH_SECRET}"),
        format!("--mongodb-uri=mongodb://u:{MONGODB_PASSWORD}@127.0.0.1/?replicaSet=rs0"),
        format!("--rabbitmq-url=amqp://u:{RABBITMQ_PASSWORD}@127.0.0.1"),
    ]);
    let config = config.expect("settings");
    let cloudinary = cloudinary::Config::new("demo", "1234", CLOUDINARY_SECRET).expect("settings");
    let mut printed = vec![format!("{config:?}{config:#?}"), format!("{cloudinary:?}{cloudinary:#?}")];
    let uri = SecretString::from(format!("mongodb://u:{MONGODB_PASSWORD}@127.0.0.1/?replicaSet=rs0"));
    let store = store::Config::new(uri, "steep", "test").expect("settings");
    let rabbitmq = format!("amqp://u:{RABBITMQ_PASSWORD}@127.0.0.1");
    let broker = broker::Config::new(&rabbitmq, "test").expect("settings");
    printed.push(format!("{store:?}{store:#?}{broker:?}{broker:#?}"));
    for text in &printed {
        for secret in planted() {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// Where the next test shows a secret, if anywhere.
const PLANT: &str = "STEEP_TEST_SHOW_A_SECRET_IN";

#[tokio::test]
async fn a_world_in_which_nothing_secret_is_shown_ends_well() {
    let env = TestEnv::start().await;
    match std::env::var(PLANT).as_deref() {
        Ok("log") => tracing::info!(secret = ACCESS_TOKEN_SECRET, "planted"),
        Ok("detailed log") => tracing::debug!(target: "api::planted", address = env.host().url(), "planted"),
        Ok("program") => print_from_a_program(&env, "the hash is $2b$10$g9ILzC").await,
        Ok("program that was replaced") => {
            print_from_a_program(&env, testkit::PASSWORD).await;
            print_from_a_program(&env, "nothing").await;
        }
        Ok("answer") => {
            let user = new_user("ada", "");
            let user = env.store().media().register(user, Vec::new(), None, None).await.expect("a free name").user;
            let session = session_of(env.store(), &user).await.expect("a session");
            let now = env.store().now().await.expect("a time");
            let token = access_tokens().issue(&user, session.id, session.expires_at, now).expect("a token");
            let client = Client::new(&answering(format!("{{\"echo\":\"Bearer {token}\"}}")).await);
            client.get("/").await.expect(200);
        }
        Ok("issued too often") => {
            let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.signed";
            let client = Client::new(&answering(format!("{{\"data\":{{\"accessToken\":\"{token}\"}}}}")).await);
            client.get("/api/v1/users/current-user").await.expect(200);
        }
        _ => {}
    }
    env.finish().await;
}

async fn print_from_a_program(env: &TestEnv, text: &str) {
    let shell = process::spawn("shell", Path::new("/bin/sh"), &["-c", "echo \"$0\"", text], &[], env.folder());
    let shell = shell.expect("a shell");
    TestEnv::until("it has printed", async || shell.printed().expect("a log").contains(text)).await;
}

/// Something that gives every request this answer.
async fn answering(body: String) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let _ = stream.read(&mut [0; 4096]).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.expect("the client listens");
    });
    format!("http://{address}")
}

#[test]
fn a_world_in_which_something_secret_is_shown_fails_its_test() {
    let test = "secrets::a_world_in_which_nothing_secret_is_shown_ends_well";
    for (place, what) in [
        ("log", "the secret of access tokens, in the log"),
        ("detailed log", "the password of the broker, in the log"),
        ("program", "the hash of a password, in "),
        ("program that was replaced", "a user's password, in "),
        ("answer", "a token, in the answer 200 to get /"),
        ("issued too often", "a token, in the answer 200 to get /api/v1/users/current-user"),
    ] {
        let mut again = Command::new(std::env::current_exe().expect("this test's own path"));
        let output = again.args(["--exact", test, "--nocapture"]).env(PLANT, place).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{place}: {said}");
        assert!(said.contains(&format!("a secret was shown:\n{what}")), "{place}: {said}");
    }
}
