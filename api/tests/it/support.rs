//! A world with an API in it, users who need no upload, and what every refusal must look like.

use bytes::Bytes;
use messages::{SessionId, UserId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Api, Census, Client, FORM_TYPE, PASSWORD, TestEnv, Upload, access_tokens, new_user, session_of};
use uuid::Uuid;

pub const REGISTER: &str = "/api/v1/users/register";
pub const LOGIN: &str = "/api/v1/users/login";
pub const LOGOUT: &str = "/api/v1/users/logout";
pub const REFRESH_TOKEN: &str = "/api/v1/users/refresh-token";
pub const CHANGE_PASSWORD: &str = "/api/v1/users/change-password";
pub const UPDATE_ACCOUNT: &str = "/api/v1/users/update-account";
pub const SESSIONS: &str = "/api/v1/users/sessions";
pub const CURRENT_USER: &str = "/api/v1/users/current-user";
pub const AVATAR: &str = "/api/v1/users/avatar";
pub const COVER_IMAGE: &str = "/api/v1/users/cover-image";
pub const MEDIA: &str = "/api/v1/media";

/// A test's own services and an API on them.
pub struct World {
    pub env: TestEnv,
    pub api: Api,
}

/// What a user is who registered without a picture.
pub struct Member {
    pub id: UserId,
    pub session: SessionId,
    pub name: String,
    pub client: Client,
}

impl World {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// An API with further command-line arguments.
    pub async fn with(args: &[&str]) -> Self {
        let env = TestEnv::start().await;
        let api = env.api_with(args).await;
        Self { env, api }
    }

    /// A signed-in user without images or jobs, whose password has this hash.
    pub async fn member_with_hash(&self, hash: &str) -> Member {
        let name = format!("m{}", Uuid::new_v4().simple());
        let user = new_user(&name, hash);
        let accepted = self.env.store().media().register(user, Vec::new(), None, None).await.expect("a free name");
        let session = session_of(self.env.store(), &accepted.user).await.expect("a session");
        let now = self.env.store().now().await.expect("a time");
        let token = access_tokens().issue(&accepted.user, session.id, session.expires_at, now).expect("a token");
        let client = self.api.client().with_token(&token);
        Member { id: accepted.user.id, session: session.id, name, client }
    }

    /// A signed-in user without images or jobs, who cannot sign in again.
    pub async fn member(&self) -> Member {
        self.member_with_hash("").await
    }

    /// Asserts that a request was refused and changed nothing.
    pub async fn refused(&self, before: Census, answer: &Answer, status: u16, fields: &[&str]) {
        assert_refused(answer, status, fields);
        self.env.settles_at(before).await;
    }

    /// Ends a world in which no job is unfinished.
    pub async fn end(self) {
        self.api.stop().await;
        self.env.finish().await;
    }

    /// Lets a worker finish what was accepted, and ends the world.
    pub async fn work_off_and_end(self) {
        let worker = self.env.worker().await;
        self.end().await;
        drop(worker);
    }
}

/// What a client has of a session.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    /// Those in an answer.
    pub fn of(answer: &Answer) -> Self {
        let token = |name: &str| {
            answer.data()[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", answer.body)).to_owned()
        };
        Self { access: token("accessToken"), refresh: token("refreshToken") }
    }
}

/// A hash of [`PASSWORD`] as chai-backend stores it, with a lower cost than its 10.
pub fn bcrypt_hash() -> String {
    let hash = bcrypt::hash(PASSWORD, 4).expect("a hash");
    assert!(hash.starts_with("$2b$04$"));
    hash
}

/// Signs a user in.
pub async fn sign_in(api: &Client, name: &str) -> Tokens {
    Tokens::of(&api.post(LOGIN, &json!({"username": name, "password": PASSWORD})).await.expect(200))
}

/// The cookies that an answer sets, sorted by name.
pub fn cookies(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("set-cookie").iter();
    let mut all: Vec<String> = all.map(|value| value.to_str().expect("text").to_owned()).collect();
    all.sort();
    all
}

/// Presents a refresh token in the body.
pub async fn refresh(api: &Client, token: &str) -> Answer {
    api.post(REFRESH_TOKEN, &json!({"refreshToken": token})).await
}

/// The text fields of somebody who registers.
pub fn registration(name: &str) -> Upload {
    Upload::new()
        .text("fullName", "Ada Lovelace")
        .text("email", &format!("{name}@example.com"))
        .text("username", name)
        .text("password", PASSWORD)
}

/// Sends bytes as a form.
pub async fn post_form(client: &Client, method: Method, path: &str, body: Vec<u8>) -> Answer {
    client.send(client.request(method, path).header("content-type", FORM_TYPE).body(body)).await
}

/// Sends a picture under a name of the client's choice.
pub async fn submit(client: &Client, file_name: &str, content: &[u8]) -> Answer {
    client.submit(file_name, Bytes::copy_from_slice(content)).await
}

/// Fails unless this is a refusal with the status, in the one shape that all have, that names exactly these fields.
pub fn assert_refused(answer: &Answer, status: u16, fields: &[&str]) {
    let body = &answer.body;
    assert_eq!(answer.status.as_u16(), status, "{body}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{body}");
    assert_eq!((&body["statusCode"], &body["status"]), (&Value::from(status), &Value::from(status)), "{body}");
    assert_eq!((&body["success"], &body["data"]), (&Value::Bool(false), &Value::Null), "{body}");
    let message = body["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "{body}");
    assert_eq!((&body["error"], &body["detail"]), (&body["message"], &body["message"]), "{body}");
    assert!(body["type"].as_str().is_some_and(|kind| kind.starts_with("urn:steep:problem:")), "{body}");
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no list of errors in {body}"));
    let named: Vec<&str> = errors.iter().map(|error| error["field"].as_str().unwrap_or_default()).collect();
    assert_eq!(named, fields, "{body}");
    for error in errors {
        let text = error["message"].as_str().unwrap_or_default();
        assert!(!text.is_empty() && message.contains(text), "{body}");
    }
    assert!(!answer.header("x-request-id").is_empty());
}

/// Fails unless this is a success with the status, in the one shape that all have.
pub fn assert_accepted(answer: &Answer, status: u16) {
    let body = &answer.body;
    assert_eq!(answer.status.as_u16(), status, "{body}");
    assert_eq!(answer.header("content-type"), "application/json", "{body}");
    assert_eq!((&body["statusCode"], &body["success"]), (&Value::from(status), &Value::Bool(true)), "{body}");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
}
