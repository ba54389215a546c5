//! Clients: some upload, replace their avatars and break off in the middle, others subscribe and unsubscribe. They go on until
//! they are told to stop, and finish the request that they are at.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use md5::{Digest, Md5};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::{PASSWORD, jpeg, mp4};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ledger::{Entry, Ledger, Op, Person, now};

/// Longer than anything may take, so that what hangs is seen to hang.
const PATIENCE: Duration = Duration::from_secs(90);
/// One of so many uploads is sent by a client that does not wait for its answer, and one is sent again after it was answered.
const IMPATIENT: u32 = 12;
/// Such a client's patience, milliseconds.
const NO_PATIENCE: std::ops::RangeInclusive<u64> = 3..=40;
/// Uploads before somebody else takes the client's place.
const TURNS: usize = 60;

/// One client. It is one person after another.
pub struct Client {
    pub apis: Vec<String>,
    pub ledger: Arc<Ledger>,
    pub rng: Rng,
    pub stop: CancellationToken,
    /// Pauses are so many times as long.
    calm: u32,
    http: reqwest::Client,
    name: String,
    token: String,
}

impl Client {
    pub fn new(
        apis: &[String],
        ledger: &Arc<Ledger>,
        rng: Rng,
        stop: &CancellationToken,
        calm: u32,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
        let (apis, ledger, stop) = (apis.to_vec(), ledger.clone(), stop.clone());
        Ok(Self { apis, ledger, rng, stop, calm, http, name: String::new(), token: String::new() })
    }

    /// Uploads, as one person after another.
    pub async fn upload(mut self) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() {
            if !self.introduce_itself().await? {
                continue;
            }
            for _ in 0..TURNS {
                self.pause(20, 250).await;
                if self.stop.is_cancelled() {
                    break;
                }
                match self.rng.u32(0..100) {
                    0..60 => self.submit().await?,
                    60..88 => self.replace_avatar().await?,
                    88..95 => self.break_off().await?,
                    _ => self.look().await?,
                }
            }
        }
        Ok(())
    }

    /// Subscribes and unsubscribes, as one person. A few channels that everybody wants, so that they are hot.
    pub async fn subscribe(mut self) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() && !self.introduce_itself().await? {}
        while !self.stop.is_cancelled() {
            self.pause(10, 150).await;
            let channels = self.ledger.people();
            let known = channels.iter().filter(|person| person.username != self.name).take(8).collect::<Vec<_>>();
            let Some(channel) = self.rng.choice(known) else { continue };
            let (op, method) = match self.rng.u32(0..4) {
                0 | 1 => (Op::Toggle, Method::POST),
                2 => (Op::Subscribe, Method::PUT),
                _ => (Op::Unsubscribe, Method::DELETE),
            };
            let mut entry = self.entry(op);
            let path = format!("/api/v1/subscriptions/c/{}", channel.id);
            let body = self.ask(&mut entry, |http, api| http.request(method, format!("{api}{path}"))).await;
            let subscribed = body["data"]["subscribed"].as_bool().filter(|_| entry.accepted());
            entry.channel = Some(channel.id.clone());
            entry.subscribed = subscribed;
            self.ledger.stands(&self.name, &channel.id, subscribed);
            self.ledger.write(entry)?;
        }
        Ok(())
    }

    /// Registers somebody new and signs in; whether both was done.
    async fn introduce_itself(&mut self) -> anyhow::Result<bool> {
        self.name = format!("u{}", Uuid::new_v4().simple());
        self.token.clear();
        let (avatar, key) = (self.picture(), Uuid::new_v4().to_string());
        let (name, file) = (self.name.clone(), avatar.clone());
        let form = move || {
            let form = Form::new().text("fullName", "Somebody").text("email", format!("{name}@example.com"));
            let form = form.text("username", name.clone()).text("password", PASSWORD);
            Ok(form.part("avatar", part(&file)))
        };
        let Some(body) = self.insist(Op::Register, "/api/v1/users/register", &key, &avatar, form).await? else {
            return Ok(false);
        };
        // As chai-backend, a registration answers with the user itself.
        let id = body["data"]["_id"].as_str().unwrap_or_default().to_owned();
        self.ledger.met(Person { username: self.name.clone(), id });
        while !self.stop.is_cancelled() {
            let mut entry = self.entry(Op::Login);
            let credentials = json!({"username": self.name, "password": PASSWORD});
            let login =
                |http: &reqwest::Client, api: &str| http.post(format!("{api}/api/v1/users/login")).json(&credentials);
            let body = self.ask(&mut entry, login).await;
            let accepted = entry.accepted();
            self.ledger.write(entry)?;
            if accepted {
                body["data"]["accessToken"].as_str().unwrap_or_default().clone_into(&mut self.token);
                return Ok(true);
            }
            self.pause(200, 800).await;
        }
        Ok(false)
    }

    async fn submit(&mut self) -> anyhow::Result<()> {
        // Now and then one that goes to the media host in chunks.
        let file = if self.rng.u32(0..100) == 0 { mp4(self.rng.usize(5_300_000..12_000_000)) } else { self.picture() };
        let key = Uuid::new_v4().to_string();
        let content = file.clone();
        let form = move || Ok(Form::new().part("file", part(&content)));
        self.insist(Op::Media, "/api/v1/media", &key, &file, form).await?;
        Ok(())
    }

    /// Sends an upload with a key until it is answered, as a client that means it does. None if it never was, or was refused.
    async fn insist(
        &mut self,
        op: Op,
        path: &str,
        key: &str,
        file: &Bytes,
        form: impl Fn() -> anyhow::Result<Form>,
    ) -> anyhow::Result<Option<Value>> {
        let (mut hang_up, mut repeat) = (self.rng.u32(0..IMPATIENT) == 0, self.rng.u32(0..IMPATIENT) == 0);
        loop {
            let mut entry = self.entry(op);
            entry.describe(file);
            entry.key = Some(key.to_owned());
            let form = form()?;
            let patience = hang_up.then(|| Duration::from_millis(self.rng.u64(NO_PATIENCE)));
            let send = |http: &reqwest::Client, api: &str| {
                let request = http.post(format!("{api}{path}")).header("Idempotency-Key", key).multipart(form);
                if let Some(patience) = patience { request.timeout(patience) } else { request }
            };
            let body = self.ask(&mut entry, send).await;
            let (accepted, again) = (entry.accepted(), entry.status.is_none_or(|status| status == 503));
            entry.hung_up = hang_up && entry.status.is_none();
            entry.take_job(&body);
            self.ledger.write(entry)?;
            hang_up = false;
            if accepted && !repeat {
                return Ok(Some(body));
            }
            if accepted {
                repeat = false;
                continue;
            }
            if !again || self.stop.is_cancelled() {
                return Ok(None);
            }
            self.pause(100, 1_000).await;
        }
    }

    /// Once: what becomes of an avatar whose answer was lost is not known, and the next one takes its place.
    async fn replace_avatar(&mut self) -> anyhow::Result<()> {
        let (mut entry, file) = (self.entry(Op::Avatar), self.picture());
        entry.describe(&file);
        let form = Form::new().part("avatar", part(&file));
        let send = |http: &reqwest::Client, api: &str| http.patch(format!("{api}/api/v1/users/avatar")).multipart(form);
        let body = self.ask(&mut entry, send).await;
        entry.take_job(&body);
        self.ledger.write(entry)
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let mut entry = self.entry(Op::Look);
        self.ask(&mut entry, |http, api| http.get(format!("{api}/api/v1/users/current-user"))).await;
        self.ledger.write(entry)
    }

    /// Begins an upload and hangs up in the middle of the file.
    async fn break_off(&mut self) -> anyhow::Result<()> {
        let (mut entry, file) = (self.entry(Op::Abort), self.picture());
        entry.describe(&file);
        let address = self.apis[entry.api].trim_start_matches("http://").to_owned();
        let name = md5(&file);
        let part = format!("--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
        let head = format!(
            "POST /api/v1/media HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n{part}",
            self.token,
            part.len() + file.len() + "\r\n--b--\r\n".len(),
        );
        let some = self.rng.usize(1..file.len());
        if let Ok(mut stream) = TcpStream::connect(address).await {
            // What the api does not take any more, it does not take.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&file[..some]).await;
            let _ = stream.flush().await;
        }
        entry.took = now() - entry.began;
        self.ledger.write(entry)
    }

    /// Sends a request and notes its answer. The body, or null.
    async fn ask(&self, entry: &mut Entry, request: impl FnOnce(&reqwest::Client, &str) -> RequestBuilder) -> Value {
        let mut request = request(&self.http, &self.apis[entry.api]);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let answer = async {
            let reply = request.send().await?;
            let (status, headers) = (reply.status(), reply.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, reply.bytes().await?))
        };
        let answer = answer.await;
        entry.took = now() - entry.began;
        match answer {
            Ok((status, headers, body)) => {
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                entry.status = Some(status.as_u16());
                entry.retry_after = headers.contains_key("retry-after");
                entry.replayed = headers.contains_key("idempotent-replayed");
                if !status.is_success() {
                    entry.problem = format!("{} {}", body["type"].as_str().unwrap_or_default(), body["message"]);
                }
                body
            }
            Err(error) => {
                entry.problem = format!("{:#}", anyhow::Error::from(error));
                Value::Null
            }
        }
    }

    fn entry(&mut self, op: Op) -> Entry {
        Entry::begin(op, &self.name, self.rng.usize(0..self.apis.len()))
    }

    /// Mostly small ones; each is unlike any other.
    fn picture(&mut self) -> Bytes {
        let largest = if self.rng.u32(0..10) == 0 { 400_000 } else { 30_000 };
        jpeg(self.rng.usize(1_000..largest) / 65_000 * 65_000 + 1_000 + self.rng.usize(0..20_000))
    }

    async fn pause(&mut self, from: u64, to: u64) {
        let time = Duration::from_millis(self.rng.u64(from..=to)) * self.calm;
        self.stop.run_until_cancelled(tokio::time::sleep(time)).await;
    }
}

impl Entry {
    fn describe(&mut self, file: &Bytes) {
        self.md5 = Some(md5(file));
        self.crc32 = Some(crc32fast::hash(file));
        self.bytes = file.len();
    }

    fn take_job(&mut self, body: &Value) {
        self.job = body["data"]["jobs"][0]["id"].as_str().map(str::to_owned);
    }
}

/// Its name tells which one it is, whatever becomes of the answer.
fn part(file: &Bytes) -> Part {
    Part::stream_with_length(file.clone(), file.len() as u64).file_name(md5(file))
}

fn md5(file: &Bytes) -> String {
    hex::encode(Md5::digest(file))
}
