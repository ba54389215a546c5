//! A collector of traces: takes what programs send by OTLP over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{self, span::SpanKind, status::StatusCode as Status};
use prost::Message;
use testkit::TestEnv;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// It takes no more when it is dropped.
pub struct Collector {
    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    pub url: String,
    taken: Arc<Taken>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Taken {
    requests: AtomicUsize,
    /// What `authorization` said, each time.
    authorized: Mutex<Vec<String>>,
    spans: Mutex<Vec<Span>>,
}

/// A span as it came, ids in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub kind: SpanKind,
    pub trace: String,
    pub id: String,
    /// Empty for the root of a trace.
    pub parent: String,
    /// The traces and spans that it is linked to.
    pub links: Vec<(String, String)>,
    pub state: String,
    pub attributes: BTreeMap<String, String>,
    pub is_error: bool,
}

impl Span {
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let taken = Arc::<Taken>::default();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&taken));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { url, taken, server }
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.taken.requests.load(Ordering::Relaxed)
    }

    /// Everything that requests have said as `authorization`; empty: a request without it.
    pub fn authorized(&self) -> BTreeSet<String> {
        self.taken.authorized.lock().expect("no panic").iter().cloned().collect()
    }

    pub fn spans(&self) -> Vec<Span> {
        self.taken.spans.lock().expect("no panic").clone()
    }

    /// Waits until a span has come, and answers with it.
    pub async fn until(&self, what: &str, fits: impl Fn(&Span) -> bool) -> Span {
        let found = || self.spans().into_iter().find(&fits);
        TestEnv::until(what, || async { found().is_some() }).await;
        found().expect("it stays")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(taken): State<Arc<Taken>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    taken.requests.fetch_add(1, Ordering::Relaxed);
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let said = headers.get("authorization").map_or("", |value| value.to_str().expect("text"));
    taken.authorized.lock().expect("no panic").push(said.to_owned());
    let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
    let mut spans = taken.spans.lock().expect("no panic");
    for of_program in request.resource_spans {
        let resource = of_program.resource.map(|resource| attributes(resource.attributes)).unwrap_or_default();
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for of_library in of_program.scope_spans {
            spans.extend(of_library.spans.into_iter().map(|span| read(&service, span)));
        }
    }
    StatusCode::OK
}

fn read(service: &str, span: v1::Span) -> Span {
    Span {
        service: service.to_owned(),
        kind: span.kind(),
        name: span.name,
        trace: hex::encode(span.trace_id),
        id: hex::encode(span.span_id),
        parent: hex::encode(span.parent_span_id),
        links: span.links.iter().map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id))).collect(),
        state: span.trace_state,
        attributes: attributes(span.attributes),
        is_error: span.status.is_some_and(|status| status.code() == Status::Error),
    }
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let read = |attribute: KeyValue| {
        let value = match attribute.value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::BoolValue(is)) => is.to_string(),
            other => format!("{other:?}"),
        };
        (attribute.key, value)
    };
    attributes.into_iter().map(read).collect()
}
