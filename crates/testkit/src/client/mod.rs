//! A client of the API, as a front end would be one.

mod events;

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::secrets;

pub use events::{EventStream, Told};

/// How long a test waits for something that is bound to happen. A deadline for polling, not a pause. Longer than it takes to replace a
/// queue that does not work, which happens on a busy machine: the broker is the same for all tests.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// The password that test users have.
pub const PASSWORD: &str = "correct horse battery staple";

#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// An answer: status, headers and JSON (null when the body is none).
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    /// Body as JSON; [`Value::Null`] when it is none.
    pub body: Value,
    /// How long it took.
    pub took: Duration,
}

impl Answer {
    /// The user or the list in the envelope.
    pub fn data(&self) -> &Value {
        &self.body["data"]
    }

    /// The id of the accepted job number `index`.
    pub fn job(&self, index: usize) -> String {
        let id = self.body["data"]["jobs"][index]["id"].as_str();
        id.unwrap_or_else(|| panic!("no job {index} in {}", self.body)).to_owned()
    }

    /// A header's text, empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Fails unless the status is this one, showing what came instead.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }
}

/// A form with text fields and files.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    parts: Vec<(String, Option<String>, Bytes)>,
}

impl Upload {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.parts.push((name.to_owned(), None, Bytes::copy_from_slice(value.as_bytes())));
        self
    }

    #[must_use]
    pub fn file(mut self, name: &str, file_name: &str, content: Bytes) -> Self {
        self.parts.push((name.to_owned(), Some(file_name.to_owned()), content));
        self
    }

    fn passwords(&self) -> impl Iterator<Item = String> {
        let passwords = self.parts.iter().filter(|(name, file_name, _)| name == "password" && file_name.is_none());
        passwords.map(|(_, _, text)| String::from_utf8_lossy(text).into_owned())
    }

    /// The form as a request's body.
    pub fn form(&self) -> Form {
        let mut form = Form::new();
        for (name, file_name, content) in &self.parts {
            let mut part = Part::stream_with_length(content.clone(), content.len() as u64);
            if let Some(file_name) = file_name {
                part = part.file_name(file_name.clone());
            }
            form = form.part(name.clone(), part);
        }
        form
    }
}

impl Client {
    /// A client of the API at a base address.
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.timeout(PATIENCE).build().expect("a plain client");
        Self { http, url: url.trim_end_matches('/').to_owned(), token: None }
    }

    /// The same client with an access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        secrets::keep_token(token);
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The access token, once signed in.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts a request to a path, with the session's token.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request that was started with [`Self::request`].
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the api answers")
    }

    /// As [`Self::send`], to an API that may die of it.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let (client, request) = request.build_split();
        let request = request?;
        let operation = format!("{} {}", request.method(), request.url().path());
        let passwords = passwords(&request);
        let started = Instant::now();
        let reply = client.execute(request).await?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        let body = reply.bytes().await?;
        let took = started.elapsed();
        secrets::answered(&operation, status.as_u16(), &format!("{headers:?}"), &body);
        if status.is_success() {
            passwords.iter().for_each(|password| secrets::keep("a user's password", password));
        }
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Answer { status, headers, body, took })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn upload(&self, method: Method, path: &str, upload: &Upload) -> Answer {
        let answer = self.send(self.request(method, path).multipart(upload.form())).await;
        if answer.status.is_success() {
            upload.passwords().for_each(|password| secrets::keep("a user's password", &password));
        }
        answer
    }

    /// Registers a user of a new name with this avatar.
    pub async fn register(&self, avatar: Bytes) -> (String, Answer) {
        let name = format!("u{}", Uuid::new_v4().simple());
        let form = Upload::new()
            .text("fullName", "Test User")
            .text("email", &format!("{name}@example.com"))
            .text("username", &name)
            .text("password", PASSWORD)
            .file("avatar", "me.jpg", avatar);
        let answer = self.upload(Method::POST, "/api/v1/users/register", &form).await;
        (name, answer)
    }

    pub async fn login(&self, username: &str) -> Self {
        let answer =
            self.post("/api/v1/users/login", &json!({"username": username, "password": PASSWORD})).await.expect(200);
        let token = answer.data()["accessToken"].as_str();
        self.with_token(token.unwrap_or_else(|| panic!("no token in {}", answer.body)))
    }

    /// Registers a user with an avatar and signs in.
    pub async fn new_user(&self, avatar: Bytes) -> (Self, Answer) {
        let (name, answer) = self.register(avatar).await;
        let answer = answer.expect(201);
        (self.login(&name).await, answer)
    }

    pub async fn replace_avatar(&self, avatar: Bytes) -> Answer {
        let form = Upload::new().file("avatar", "new.jpg", avatar);
        self.upload(Method::PATCH, "/api/v1/users/avatar", &form).await
    }

    /// Submits a picture or video.
    pub async fn submit(&self, file_name: &str, content: Bytes) -> Answer {
        let form = Upload::new().file("file", file_name, content);
        self.upload(Method::POST, "/api/v1/media", &form).await
    }

    /// The signed-in user.
    pub async fn current_user(&self) -> Value {
        self.get("/api/v1/users/current-user").await.expect(200).data().clone()
    }

    /// Polls a job until it is in one of these states, and answers it.
    pub async fn wait_for_job(&self, id: &str, states: &[&str]) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(&format!("/api/v1/jobs/{id}")).await;
            let state = answer.data()["state"].as_str().unwrap_or_default();
            if states.contains(&state) {
                return answer.data().clone();
            }
            assert!(Instant::now() < deadline, "job {id} should be {states:?}: {}", answer.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a request in JSON says of passwords. If it succeeds, they are somebody's.
fn passwords(request: &reqwest::Request) -> Vec<String> {
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let fields = ["password", "oldPassword", "newPassword"].into_iter();
    fields.filter_map(|field| body[field].as_str().map(str::to_owned)).collect()
}
