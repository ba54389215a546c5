//! One visit to every route that there is, with everything that was answered.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::{TestEnv, jpeg, secrets};

use crate::support::free_name;

/// One answer.
#[derive(Debug)]
pub struct Seen {
    /// Method and path as the document has them.
    pub operation: String,
    pub status: u16,
    pub content_type: String,
    /// Status, headers and body as text.
    pub text: String,
    pub body: Value,
}

/// What the visitor knows, and what it was told.
#[derive(Debug)]
pub struct Tour {
    http: reqwest::Client,
    url: String,
    /// The password of everybody who was registered.
    pub password: String,
    /// The tokens that were issued, of both kinds.
    pub tokens: Vec<String>,
    pub seen: Vec<Seen>,
}

impl Tour {
    pub fn new(url: &str, password: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { http, url: url.to_owned(), password: password.to_owned(), tokens: Vec::new(), seen: Vec::new() }
    }

    /// Visits every route: once as its users do, and then with nothing and with little, signed in and not.
    pub async fn take(&mut self) {
        let document = self.ask(Method::GET, "/openapi.json", "/openapi.json", |request| request).await;
        let name = free_name();
        let password = self.password.clone();
        let register = || form(&name, &password);
        let key = |request: RequestBuilder| request.header("idempotency-key", "tour-1").multipart(register());
        let registered = self.ask(Method::POST, "/api/v1/users/register", "/api/v1/users/register", key).await;
        self.ask(Method::POST, "/api/v1/users/register", "/api/v1/users/register", key).await;
        let token = self.sign_in(&name).await;
        self.sign_in_by(json!({"email": name, "password": "a wrong password that nobody has"})).await;
        self.sign_in_by(json!({"username": {"$gt": ""}, "password": {"is": self.password}})).await;

        for (path, field) in [("/api/v1/users/avatar", "avatar"), ("/api/v1/users/cover-image", "coverImage")] {
            let picture = || Form::new().part(field, picture());
            self.ask(Method::PATCH, path, path, |request| request.bearer_auth(&token).multipart(picture())).await;
        }
        let upload =
            |request: RequestBuilder| request.bearer_auth(&token).multipart(Form::new().part("file", picture()));
        let uploaded = self.ask(Method::POST, "/api/v1/media", "/api/v1/media", upload).await;
        let asset = uploaded["data"]["_id"].as_str().expect("an asset").to_owned();
        let job = uploaded["data"]["jobs"][0]["id"].as_str().expect("a job").to_owned();
        let show = format!("/api/v1/media/{asset}");
        self.ask(Method::GET, "/api/v1/media/{id}", &show, |request| request).await;
        let ask = format!("/api/v1/jobs/{job}");
        TestEnv::until("the job has ended", async || {
            let job = self.ask(Method::GET, "/api/v1/jobs/{id}", &ask, |request| request.bearer_auth(&token)).await;
            job["data"]["finishedAt"].is_string()
        })
        .await;
        self.ask(Method::DELETE, "/api/v1/jobs/{id}", &ask, |request| request.bearer_auth(&token)).await;
        self.ask(Method::GET, "/api/v1/media/{id}", &show, |request| request).await;
        let follow = format!("{ask}/events");
        self.ask(Method::GET, "/api/v1/jobs/{id}/events", &follow, |request| request.bearer_auth(&token)).await;
        self.visit_account(&name, &token).await;
        self.visit_channel(&name, &token).await;
        self.visit_webhooks(&token).await;

        let user = registered["data"]["_id"].as_str().expect("a user").to_owned();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("operations").keys() {
                // It ends the session that comes.
                let leaving = if path.ends_with("/logout") { Some(self.sign_in(&name).await) } else { None };
                self.knock(method, path, &user, leaving.as_ref().unwrap_or(&token)).await;
            }
        }
    }

    /// What belongs to an account. The password that was changed is changed back.
    async fn visit_account(&mut self, name: &str, token: &str) {
        const USERS: &str = "/api/v1/users";
        let change = json!({"fullName": "A Visitor Still"});
        let path = format!("{USERS}/update-account");
        self.ask(Method::PATCH, &path, &path, |request| request.bearer_auth(token).json(&change)).await;
        let other = self.password.chars().rev().collect::<String>();
        let path = format!("{USERS}/change-password");
        for (old, new) in [(self.password.clone(), other.clone()), (other, self.password.clone())] {
            let change = json!({"oldPassword": old, "newPassword": new});
            self.ask(Method::POST, &path, &path, |request| request.bearer_auth(token).json(&change)).await;
        }
        let signed_in = self.sign_in_by(json!({"username": name, "password": self.password})).await;
        self.keep_tokens(&signed_in);
        let path = format!("{USERS}/refresh-token");
        let presented = json!({"refreshToken": signed_in["data"]["refreshToken"]});
        let refreshed = self.ask(Method::POST, &path, &path, |request| request.json(&presented)).await;
        self.keep_tokens(&refreshed);
        let path = format!("{USERS}/sessions");
        let sessions = self.ask(Method::GET, &path, &path, |request| request.bearer_auth(token)).await;
        let sessions = sessions["data"].as_array().expect("a list");
        let other = sessions.iter().find(|session| session["current"] == false).expect("another session");
        let place = format!("{path}/{}", other["_id"].as_str().expect("an id"));
        self.ask(Method::DELETE, &format!("{path}/{{id}}"), &place, |request| request.bearer_auth(token)).await;
    }

    /// Another channel, and this one.
    async fn visit_channel(&mut self, name: &str, token: &str) {
        let other = free_name();
        let password = self.password.clone();
        let path = "/api/v1/users/register";
        let registered = self.ask(Method::POST, path, path, |request| request.multipart(form(&other, &password))).await;
        let channel = registered["data"]["_id"].as_str().expect("a user").to_owned();
        let (path, place) = ("/api/v1/subscriptions/c/{channelId}", format!("/api/v1/subscriptions/c/{channel}"));
        for method in [Method::POST, Method::PUT, Method::GET, Method::DELETE] {
            self.ask(method, path, &place, |request| request.bearer_auth(token)).await;
        }
        self.ask(Method::PUT, path, &place, |request| request.bearer_auth(token)).await;
        let place = format!("/api/v1/users/c/{name}");
        let seen = self.ask(Method::GET, "/api/v1/users/c/{username}", &place, |r| r.bearer_auth(token)).await;
        let place = format!("/api/v1/subscriptions/u/{}", seen["data"]["_id"].as_str().expect("an id"));
        self.ask(Method::GET, "/api/v1/subscriptions/u/{subscriberId}", &place, |r| r.bearer_auth(token)).await;
    }

    /// An endpoint to which nothing is sent, as nothing fails.
    async fn visit_webhooks(&mut self, token: &str) {
        const ENDPOINTS: &str = "/api/v1/webhook-endpoints";
        let new =
            json!({"url": "https://127.0.0.1/hooks", "events": ["media.failed.v1"], "description": "a visitor's"});
        let made = self.ask(Method::POST, ENDPOINTS, ENDPOINTS, |request| request.bearer_auth(token).json(&new)).await;
        self.ask(Method::GET, ENDPOINTS, ENDPOINTS, |request| request.bearer_auth(token)).await;
        let (path, id) = (format!("{ENDPOINTS}/{{id}}"), made["data"]["id"].as_str().expect("an id").to_owned());
        let place = format!("{ENDPOINTS}/{id}");
        self.ask(Method::GET, &path, &place, |request| request.bearer_auth(token)).await;
        let change = json!({"description": "a visitor's still", "enabled": true});
        self.ask(Method::PATCH, &path, &place, |request| request.bearer_auth(token).json(&change)).await;
        let range = json!({"since": "2026-01-02T03:04:05Z"});
        for (method, rest) in [(Method::POST, "/rotate"), (Method::GET, "/deliveries"), (Method::POST, "/replay")] {
            let (path, place) = (format!("{path}{rest}"), format!("{place}{rest}"));
            self.ask(method, &path, &place, |request| request.bearer_auth(token).json(&range)).await;
        }
        let rest = "/deliveries/{delivery}/replay";
        let place_of_none = format!("{place}/deliveries/019389a0-0000-7000-8000-00000000000a/replay");
        self.ask(Method::POST, &format!("{path}{rest}"), &place_of_none, |request| request.bearer_auth(token)).await;
        self.ask(Method::DELETE, &path, &place, |request| request.bearer_auth(token)).await;
    }

    /// Signs in and keeps the tokens.
    pub async fn sign_in(&mut self, name: &str) -> String {
        let answer = self.sign_in_by(json!({"username": name, "password": self.password})).await;
        self.keep_tokens(&answer);
        answer["data"]["accessToken"].as_str().unwrap_or_default().to_owned()
    }

    fn keep_tokens(&mut self, answer: &Value) {
        for field in ["accessToken", "refreshToken"] {
            let token = answer["data"][field].as_str();
            self.tokens.push(token.unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned());
        }
    }

    async fn sign_in_by(&mut self, credentials: Value) -> Value {
        let path = "/api/v1/users/login";
        self.ask(Method::POST, path, path, |request| request.json(&credentials)).await
    }

    /// Comes without anything, with a session, with a broken one, and with a body that holds a secret where none belongs.
    async fn knock(&mut self, method: &str, path: &str, id: &str, token: &str) {
        let method: Method = method.to_uppercase().parse().expect("a method");
        let filled = path.split('/').map(|segment| match segment {
            "{file}" => "start.js",
            parameter if parameter.starts_with('{') => id,
            fixed => fixed,
        });
        let place = filled.collect::<Vec<_>>().join("/");
        let body = json!({"password": [self.password], "oldPassword": {"a": self.password}, "refreshToken": [token]});
        self.ask(method.clone(), path, &place, |request| request).await;
        self.ask(method.clone(), path, &place, |request| request.bearer_auth(token)).await;
        self.ask(method.clone(), path, &place, |request| request.header("cookie", "accessToken=a.b.c")).await;
        self.ask(method, path, &place, |request| request.bearer_auth(token).json(&body)).await;
    }

    /// Asks, and keeps the answer.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        place: &str,
        more: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Value {
        let request = more(self.http.request(method.clone(), format!("{}{place}", self.url)));
        let mut reply = request.send().await.expect("an answer");
        let (status, headers) = (reply.status().as_u16(), format!("{:?}", reply.headers()));
        let content_type = reply.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let bytes = match content_type.as_str() {
            // It has no end.
            "text/event-stream" => reply.chunk().await.expect("a beginning").unwrap_or_default(),
            _ => reply.bytes().await.expect("a whole answer"),
        };
        secrets::answered(&format!("{method} {path}"), status, &headers, &bytes);
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = format!("{status} {headers} {}", String::from_utf8_lossy(&bytes));
        self.seen.push(Seen { operation: format!("{method} {path}"), status, content_type, text, body: body.clone() });
        body
    }
}

fn picture() -> Part {
    Part::bytes(jpeg(2_000).to_vec()).file_name("a.jpg")
}

fn form(name: &str, password: &str) -> Form {
    let form = Form::new().text("fullName", "A Visitor").text("email", format!("{name}@example.com"));
    form.text("username", name.to_owned()).text("password", password.to_owned()).part("avatar", picture())
}
