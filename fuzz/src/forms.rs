//! Forms, over HTTP through the API into a spool, with a real database behind it and no broker.
//!
//! A request is one byte that chooses the route, one that chooses how the body comes in, and the body. If the first byte is
//! above 127, the first line of the rest is the `Content-Type`.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use futures_util::stream;
use mongodb::bson::{Document, doc};
use reqwest::header::{self, HeaderValue};
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::runtime::Runtime;

const ROUTES: [(Method, &str); 4] = [
    (Method::POST, "/api/v1/media"),
    (Method::PATCH, "/api/v1/users/avatar"),
    (Method::PATCH, "/api/v1/users/cover-image"),
    (Method::POST, "/api/v1/users/register"),
];
const FORM: &str = "multipart/form-data; boundary=X";
/// The longest `Content-Type`, in bytes: a head that is too long reaches no form.
const LONGEST_TYPE: usize = 8_000;
/// The smallest GIF.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";
/// What the API may say to a form: it takes it, or says what is wrong with it.
const ANSWERS: [u16; 8] = [201, 202, 400, 408, 409, 413, 415, 422];
/// What was accepted is thrown away after so many, or counting it would be all that takes time.
const CLEAN_UP_EVERY: u32 = 200;

struct Stage {
    runtime: Runtime,
    client: reqwest::Client,
    database: mongodb::Database,
    folder: tempfile::TempDir,
    session: Mutex<Session>,
    running: api::Running,
}

#[derive(Default)]
struct Session {
    number: u32,
    accepted: u32,
    token: String,
}

static STAGE: OnceLock<Stage> = OnceLock::new();

/// Starts the API, on the database that `STEEP_TEST_MONGODB_URI` names.
pub fn start() -> &'static impl Sized {
    stage()
}

fn stage() -> &'static Stage {
    STAGE.get_or_init(|| {
        let uri =
            std::env::var("STEEP_TEST_MONGODB_URI").expect("run this with `cargo xtask fuzz`, which starts MongoDB");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let folder = tempfile::Builder::new().prefix("steep-fuzz-").tempdir().expect("a folder");
        let name = format!("fuzz-{}", std::process::id());
        let spool = folder.path().join("spool");
        let settings = [
            "api".to_owned(),
            "--steep-env=development".to_owned(),
            "--port=0".to_owned(),
            format!("--mongodb-uri={uri}"),
            format!("--mongodb-database={name}"),
            "--rabbitmq-url=amqp://guest:guest@127.0.0.1:1/nowhere".to_owned(),
            format!("--spool-dir={}", spool.display()),
            "--spool-min-free=0".to_owned(),
            "--avatar-max-bytes=4096".to_owned(),
            "--cover-image-max-bytes=4096".to_owned(),
            "--media-max-bytes=8192".to_owned(),
            "--user-max-unfinished=1000000".to_owned(),
            "--max-backlog=1000000".to_owned(),
            "--register-limit-address=off".to_owned(),
            "--access-token-expiry=7d".to_owned(),
        ];
        let (running, database) = runtime.block_on(async {
            let running = api::start(api::Config::parse_from(settings)).await.expect("an api");
            let client = mongodb::Client::with_uri_str(&uri).await.expect("an address");
            (running, client.database(&name))
        });
        let client = reqwest::Client::new();
        let stage = Stage { runtime, client, database, folder, session: Mutex::default(), running };
        stage.runtime.block_on(async {
            let ready = async || stage.ask(stage.request(Method::GET, "/readyz")).await.0 == 200;
            stage.until("the database is ready", ready).await;
            stage.begin_anew(&mut stage.session.lock().unwrap_or_else(PoisonError::into_inner)).await;
        });
        stage
    })
}

/// Sends a form, and checks the answer and what is left of it.
///
/// # Panics
///
/// When the API answers what it must not, or leaves a file behind.
pub fn send(input: &[u8]) {
    let &[route, flow, ref body @ ..] = input else { return };
    let (method, path) = ROUTES[usize::from(route) % ROUTES.len()].clone();
    let (content_type, body) = content_type(route, body);
    let Some(content_type) = content_type else { return };
    let stage = stage();
    stage.runtime.block_on(async {
        let mut session = stage.session.lock().unwrap_or_else(PoisonError::into_inner);
        let request = stage.request(method, path).header(header::CONTENT_TYPE, content_type);
        let request = request.bearer_auth(&session.token).body(in_pieces(flow, body));
        let (status, media_type, answer) = stage.ask(request).await;

        assert!(ANSWERS.contains(&status.as_u16()), "{status} {answer}");
        let (incoming, ready) = (stage.folder.path().join("spool/incoming"), stage.folder.path().join("spool/ready"));
        if status.is_success() {
            assert!((1..=2).contains(&files(&ready)), "{} files for an upload", files(&ready));
            session.accepted += 1;
            empty(&ready);
            if session.accepted.is_multiple_of(CLEAN_UP_EVERY) {
                stage.begin_anew(&mut session).await;
            }
        } else {
            assert_eq!(media_type, "application/problem+json", "{answer}");
            assert_eq!(answer["status"], status.as_u16(), "{answer}");
        }
        // A file goes in the background when its request is refused.
        stage.until("nothing is left", async || files(&incoming) + files(&ready) == 0).await;
    });
}

fn content_type(route: u8, rest: &[u8]) -> (Option<HeaderValue>, &[u8]) {
    if route <= 127 {
        return (Some(HeaderValue::from_static(FORM)), rest);
    }
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, body) = rest.split_at(end);
    let line = HeaderValue::from_bytes(line).ok().filter(|line| line.len() <= LONGEST_TYPE);
    (line, body.get(1..).unwrap_or_default())
}

/// As a body of known length, or in pieces of so many bytes.
fn in_pieces(flow: u8, body: &[u8]) -> Body {
    let body = Bytes::copy_from_slice(body);
    if flow == 0 {
        return Body::from(body);
    }
    let size = usize::from(flow) * if flow > 200 { 16 } else { 1 };
    let pieces: Vec<_> = (0..body.len()).step_by(size).map(|at| body.slice(at..body.len().min(at + size))).collect();
    Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>)))
}

impl Stage {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.running.address()))
    }

    async fn ask(&self, request: RequestBuilder) -> (StatusCode, String, Value) {
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let media_type = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().to_owned();
        let body = answer.bytes().await.expect("a body");
        (status, media_type, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Throws away all that was accepted, and signs in somebody new.
    async fn begin_anew(&self, session: &mut Session) {
        for collection in ["jobs", "assets"] {
            self.database.collection::<Document>(collection).delete_many(doc! {}).await.expect("the database");
        }
        session.number += 1;
        let (name, password) = (format!("fuzz{}", session.number), "correct horse battery staple");
        let mut form = Vec::new();
        let email = format!("{name}@example.com");
        for (field, value) in [("fullName", "F"), ("email", &email), ("username", &name), ("password", password)] {
            form.extend(format!("--X\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n").bytes());
        }
        form.extend(b"--X\r\nContent-Disposition: form-data; name=\"avatar\"; filename=\"a.gif\"\r\n\r\n");
        form.extend(GIF);
        form.extend(b"\r\n--X--\r\n");
        let register = self.request(Method::POST, "/api/v1/users/register").header(header::CONTENT_TYPE, FORM);
        let (status, _, answer) = self.ask(register.body(form)).await;
        assert_eq!(status.as_u16(), 201, "{answer}");
        empty(&self.folder.path().join("spool/ready"));

        let login = self.request(Method::POST, "/api/v1/users/login").header(header::CONTENT_TYPE, "application/json");
        let who = serde_json::json!({"username": name, "password": password}).to_string();
        let (status, _, answer) = self.ask(login.body(who)).await;
        assert_eq!(status.as_u16(), 200, "{answer}");
        session.token = answer["data"]["accessToken"].as_str().unwrap_or_default().to_owned();
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !holds().await {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("an area").count()
}

/// One that is not there any more was superseded.
fn empty(folder: &Path) {
    for file in std::fs::read_dir(folder).expect("an area").flatten() {
        let _ = std::fs::remove_file(file.path());
    }
}
