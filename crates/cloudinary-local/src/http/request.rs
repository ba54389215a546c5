//! The context of a request, with the faults that strike it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::assets::{DeliveryType, Identity, ResourceType};
use crate::credentials::Caller;
use crate::faults::{Effect, Moment, Quota, Target};
use crate::http::body::RequestBody;
use crate::http::params::Params;
use crate::http::refusal::{self, Refusal, clock, stale};
use crate::http::traffic::Meter;
use crate::state::State;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request extension. Cancelled when the client disconnects.
#[derive(Debug, Clone)]
pub(crate) struct ClientGone(pub CancellationToken);

/// What a handler knows of its request, besides the parameters.
pub(crate) struct RequestContext {
    pub state: Arc<State>,
    pub request_id: String,
    pub method: String,
    pub path: String,
    action: &'static str,
    meter: Option<Arc<Meter>>,
    gone: CancellationToken,
    pending: Mutex<Pending>,
}

/// The effects of the faults that struck, as far as they are still to come.
#[derive(Debug, Default)]
struct Pending {
    clock_offset: i64,
    distortions: Distortions,
    truncate: bool,
    after_storing: Vec<Effect>,
    quota: Option<Quota>,
}

/// How faults falsify an upload or its reply.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Distortions {
    pub wrong_etag: bool,
    pub wrong_signature: bool,
    pub wrong_bytes: bool,
    pub never_done: bool,
}

/// A request with its parameters, whose caller was authenticated.
pub(crate) struct Request<'a> {
    pub cx: &'a RequestContext,
    pub caller: Caller,
    pub params: Params,
}

impl Request<'_> {
    /// The identity whose public id and delivery type stand in these parameters.
    pub(crate) fn identity(
        &self,
        resource_type: ResourceType,
        name: &str,
        type_name: &str,
    ) -> Result<Identity, Refusal> {
        let delivery_type = match self.params.get(type_name) {
            None => DeliveryType::Upload,
            Some(text) => DeliveryType::parse(text)
                .ok_or_else(|| Refusal::bad_request(format!("Invalid value {text} for parameter {type_name}")))?,
        };
        let public_id = self.params.require(name)?;
        Ok(Identity::new(self.caller.account.cloud.clone(), resource_type, delivery_type, public_id))
    }
}

impl RequestContext {
    pub(crate) fn new(state: Arc<State>, parts: &Parts, action: &'static str, meter: Option<Arc<Meter>>) -> Self {
        Self {
            state,
            request_id: Uuid::new_v4().simple().to_string(),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            action,
            meter,
            gone: parts.extensions.get::<ClientGone>().map(|gone| gone.0.clone()).unwrap_or_default(),
            pending: Mutex::default(),
        }
    }

    /// The server's time, as a fault may have shifted it.
    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc().saturating_add(time::Duration::seconds(self.pending().clock_offset))
    }

    pub(crate) fn distortions(&self) -> Distortions {
        self.pending().distortions
    }

    /// Counts the traffic of this request for a public id.
    pub(crate) fn is_about(&self, public_id: &str) {
        if let Some(meter) = &self.meter {
            self.state.counters.bind(meter, public_id);
        }
    }

    /// Applies the faults, but for those of the reading. Call it once the body is read, before anything is checked,
    /// stored or changed.
    pub(crate) async fn checkpoint(&self, public_id: Option<&str>) -> Result<(), Refusal> {
        for strike in self.state.faults.strike(self.target(public_id), false) {
            tracing::info!(effect = ?strike.effect, path = self.path, public_id, "fault strikes");
            if let Some(quota) = strike.quota {
                self.pending().quota = Some(quota);
                if quota.exceeded {
                    return Err(rate_limited(quota));
                }
            }
            match strike.effect {
                Effect::Delay { at: Moment::BeforeStoring, ms } => self.sleep(ms).await?,
                Effect::Hang { at: Moment::BeforeStoring } => return Err(self.hang().await),
                Effect::Drop { at: Moment::BeforeStoring, .. } => return Err(Refusal::Abort),
                Effect::Status { at: Moment::BeforeStoring, status, message, html, retry_after } => {
                    return Err(injected(status, message.as_deref(), html, retry_after));
                }
                Effect::StaleRequest => return Err(stale(self.now() - time::Duration::hours(2))),
                Effect::Clock { offset_seconds } => self.pending().clock_offset = offset_seconds,
                Effect::WrongEtag => self.pending().distortions.wrong_etag = true,
                Effect::WrongSignature => self.pending().distortions.wrong_signature = true,
                Effect::WrongBytes => self.pending().distortions.wrong_bytes = true,
                Effect::NeverDone => self.pending().distortions.never_done = true,
                Effect::Truncate => self.pending().truncate = true,
                Effect::RateLimit { .. } | Effect::Budget { .. } | Effect::SlowRead { .. } => {}
                later => self.pending().after_storing.push(later),
            }
        }
        Ok(())
    }

    pub(crate) async fn before_reading(&self, body: &RequestBody) -> Result<(), Refusal> {
        for strike in self.state.faults.strike(self.target(None), true) {
            tracing::info!(effect = ?strike.effect, path = self.path, "fault strikes");
            match strike.effect {
                Effect::Delay { ms, .. } => self.sleep(ms).await?,
                Effect::Hang { .. } => return Err(self.hang().await),
                Effect::Drop { at: Moment::BeforeReading, .. } => return Err(Refusal::Abort),
                Effect::Drop { after_bytes, .. } => body.cut_after(after_bytes),
                Effect::SlowRead { bytes_per_second } => body.slow_down(bytes_per_second),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) async fn finish(&self, mut response: Response) -> Result<Response, Refusal> {
        let effects = std::mem::take(&mut self.pending().after_storing);
        for effect in effects {
            match effect {
                Effect::Delay { ms, .. } => self.sleep(ms).await?,
                Effect::Hang { .. } => return Err(self.hang().await),
                Effect::Drop { .. } => return Err(Refusal::Abort),
                Effect::Status { status, message, html, retry_after, .. } => {
                    response = injected(status, message.as_deref(), html, retry_after).into_response();
                }
                _ => {}
            }
        }
        let (quota, clock_offset, truncate) = {
            let pending = self.pending();
            (pending.quota, pending.clock_offset, pending.truncate)
        };
        let headers = response.headers_mut();
        put(headers, X_REQUEST_ID, &self.request_id);
        if clock_offset != 0 {
            put(headers, header::DATE, &httpdate::fmt_http_date(self.now().into()));
        }
        if let Some(quota) = quota {
            let reset = httpdate::fmt_http_date(quota.reset.into());
            put(headers, HeaderName::from_static("x-featureratelimit-limit"), &quota.limit.to_string());
            put(headers, HeaderName::from_static("x-featureratelimit-remaining"), &quota.remaining.to_string());
            put(headers, HeaderName::from_static("x-featureratelimit-reset"), &reset);
        }
        Ok(if truncate { cut_in_half(response) } else { response })
    }

    fn target<'a>(&'a self, public_id: Option<&'a str>) -> Target<'a> {
        Target { method: &self.method, path: &self.path, action: self.action, public_id }
    }

    /// Goes on when the client disconnects, as Cloudinary does, but not when the server stops.
    async fn sleep(&self, ms: u64) -> Result<(), Refusal> {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => Ok(()),
            () = self.state.stopping.cancelled() => Err(Refusal::Abort),
        }
    }

    async fn hang(&self) -> Refusal {
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = self.state.stopping.cancelled() => {}
        }
        Refusal::Abort
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn rate_limited(quota: Quota) -> Refusal {
    let message = format!(
        "Rate Limit Exceeded. Limit of {} api operations reached. Try again on {} UTC",
        quota.limit,
        clock(quota.reset)
    );
    let status = StatusCode::from_u16(420).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    Refusal::Api(status, message)
}

fn injected(status: u16, message: Option<&str>, html: Option<String>, retry_after: Option<u64>) -> Refusal {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match html {
        Some(page) => (status, Html(page)).into_response(),
        None => refusal::api_error(status, message.unwrap_or("General Error")),
    };
    if let Some(seconds) = retry_after {
        put(response.headers_mut(), header::RETRY_AFTER, &seconds.to_string());
    }
    Refusal::Injected(Box::new(response))
}

/// Announces the whole body, but sends half of it.
fn cut_in_half(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let length: u64 = announced.or(body.size_hint().exact()).unwrap_or_default();
    put(&mut parts.headers, header::CONTENT_LENGTH, &length.to_string());
    let keep = usize::try_from(length / 2).unwrap_or_default();
    let half = body.into_data_stream().scan(keep, |left, piece| {
        let piece: Option<Bytes> =
            piece.ok().filter(|_| *left > 0).map(|piece: Bytes| piece.slice(..piece.len().min(*left)));
        *left -= piece.as_ref().map_or(0, Bytes::len);
        std::future::ready(piece.map(Ok))
    });
    // The pause lets the bytes leave before the error discards what is buffered.
    let end = stream::once(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("cut by a fault"))
    });
    Response::from_parts(parts, Body::from_stream(half.chain(end)))
}
