//! What spans are sent to.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
use tokio::runtime::Handle;

use crate::BoxError;
use crate::value::SECOND;

/// How long a collector may take.
const PATIENCE: std::time::Duration = SECOND.saturating_mul(5);
/// What is read of its answer, bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

/// A collector. That it is away is told once, and again only after it was there.
#[derive(Debug)]
pub(super) struct Collector {
    http: reqwest::Client,
    threads: Handle,
    is_away: AtomicBool,
}

impl Collector {
    pub(super) fn new(threads: Handle) -> Result<Self, BoxError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("steep/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, threads, is_away: AtomicBool::new(false) })
    }

    fn note(&self, answered: &Result<Response<Bytes>, HttpError>) {
        let trouble = match answered {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(cause) => Some(in_full(cause.as_ref())),
        };
        let was_away = self.is_away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(cause) if !was_away => tracing::warn!(
                cause,
                "the collector of traces (OTEL_EXPORTER_OTLP_ENDPOINT) takes none; until it does, spans are lost and nothing else"
            ),
            None if was_away => tracing::info!("the collector of traces takes them again"),
            _ => {}
        }
    }
}

impl HttpClient for Collector {
    /// Called on the exporter's own thread, which knows neither the runtime's sockets nor its timers.
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        Box::pin(async move {
            let sent = self.threads.spawn(send(self.http.clone(), request)).await;
            let answered = sent.unwrap_or_else(|stopped| Err(stopped.into()));
            self.note(&answered);
            answered
        })
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut reply = http.execute(request.try_into()?).await?;
    let mut body = Vec::new();
    while let Some(piece) = reply.chunk().await? {
        if body.len() + piece.len() > LARGEST_ANSWER {
            return Err(Box::new(ResponseBodyTooLarge::new()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Response::builder().status(reply.status()).body(body.into())?)
}

/// A cause and what caused it.
fn in_full(cause: &(dyn StdError + 'static)) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
