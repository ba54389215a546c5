//! Somebody who has events sent, and may misbehave.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use testkit::TestEnv;
use tokio::net::TcpListener;

/// A request that has come.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Whether one of its signatures is by a secret.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let timestamp = self.timestamp.parse().expect("a number");
        let signed = outbound::signature(&secret.into(), &self.id, timestamp, &self.body).expect("a secret");
        self.signature.split(' ').any(|signature| signature == signed)
    }
}

/// What it says.
#[derive(Debug, Clone)]
pub enum Says {
    Status(u16),
    /// 503, and to come back after so many seconds.
    Later(u64),
    Redirect(String),
    /// 200 and a body that never ends.
    Endlessly,
}

impl IntoResponse for Says {
    fn into_response(self) -> Response {
        match self {
            Self::Status(status) => StatusCode::from_u16(status).expect("a status").into_response(),
            Self::Later(seconds) => {
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
            }
            Self::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
            Self::Endlessly => {
                let chunk = Bytes::from_static(&[b'x'; 4096]);
                let chunks = futures_util::stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone()));
                Body::from_stream(chunks).into_response()
            }
        }
    }
}

#[derive(Debug, Default)]
struct Script {
    received: Vec<Received>,
    /// One after the other, and then 204.
    says: VecDeque<Says>,
    /// Instead of 204.
    usually: Option<u16>,
}

#[derive(Debug, Clone)]
pub struct Receiver {
    pub url: String,
    script: Arc<Mutex<Script>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
        let receiver = Self { url, script: Arc::default() };
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    /// Says these, one after the other.
    pub fn says(&self, says: impl IntoIterator<Item = Says>) {
        self.script().says.extend(says);
    }

    pub fn usually_says(&self, status: u16) {
        self.script().usually = Some(status);
    }

    pub fn received(&self) -> Vec<Received> {
        self.script().received.clone()
    }

    /// Waits until so many requests have come.
    pub async fn until_received(&self, count: usize) -> Vec<Received> {
        TestEnv::until(&format!("{count} requests have come"), async || self.script().received.len() >= count).await;
        self.received()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("not poisoned")
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Says {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(text("content-type"), "application/json");
    let received = Received {
        id: text("webhook-id"),
        timestamp: text("webhook-timestamp"),
        signature: text("webhook-signature"),
        body,
    };
    let mut script = receiver.script();
    script.received.push(received);
    let usually = script.usually.unwrap_or(204);
    script.says.pop_front().unwrap_or(Says::Status(usually))
}
