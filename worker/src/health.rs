//! What the worker tells about itself: `/healthz` (alive) and `/readyz` (each dependency by name).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use broker::ConsumerStatus;
use cloudinary::ErrorClass;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::context::Context;
use crate::reconciler::Reconciled;

/// What a dependency that serves is called.
const OK: &str = "ok";
/// What a broker is called from which deliveries flow.
const CONSUMING: &str = "consuming";
/// What a spool is called whose directory is not there any more, or is another one.
pub(crate) const UNMOUNTED: &str = "the spool is not where it was: check SPOOL_DIR, and that its volume is mounted";
/// Readiness answers within this time, whatever a dependency does.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `/readyz` answers, with 200 if ready and 503 if not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether every dependency serves.
    pub ready: bool,
    /// Each dependency (`mongodb`, `rabbitmq`, `cloudinary`, `spool`) and its state in words: `ok`, or what is wrong.
    pub dependencies: BTreeMap<String, String>,
    /// What comparing stored counts with recounts has found since the start. Drift is mended, and says nothing about readiness.
    #[serde(default)]
    pub reconciled: Reconciled,
}

/// What the media host said last about our credentials. It is not asked for health's sake: an account has a budget.
#[derive(Debug, Default)]
pub(crate) struct MediaHost {
    operator_error: Mutex<Option<String>>,
}

impl MediaHost {
    /// Takes note of an answer. A failure that passes by itself says nothing about our credentials.
    pub(crate) fn answered<T>(&self, answer: &Result<T, cloudinary::Error>) {
        match answer {
            Ok(_) => self.served(),
            Err(cause) if cause.class() == ErrorClass::Operator => self.refused(&cause.to_string()),
            Err(_) => {}
        }
    }

    fn served(&self) {
        if self.swap(None).is_some() {
            tracing::info!("the media host accepts our requests again");
        }
    }

    fn refused(&self, cause: &str) {
        if self.swap(Some(cause.to_owned())).as_deref() != Some(cause) {
            tracing::error!(
                cause,
                "the media host refuses us: somebody has to mend this; no upload is given up meanwhile"
            );
        }
    }

    fn swap(&self, state: Option<String>) -> Option<String> {
        let mut current = self.operator_error.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, state)
    }

    fn describe(&self) -> String {
        let current = self.operator_error.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map_or_else(|| OK.to_owned(), |cause| format!("operator error: {cause}"))
    }
}

/// The state of every dependency, asked now.
pub(crate) async fn readiness(context: &Context) -> Readiness {
    let mongodb = match tokio::time::timeout(PATIENCE, context.store.ping()).await {
        Ok(Ok(())) => OK.to_owned(),
        Ok(Err(cause)) => cause.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    let rabbitmq = match &context.consuming.borrow().status {
        ConsumerStatus::Consuming => CONSUMING.to_owned(),
        ConsumerStatus::Waiting { why } => format!("not consuming: {why}"),
        ConsumerStatus::Stopped => "not consuming: stopped".to_owned(),
    };
    let spool = match context.spool.free_bytes() {
        _ if !context.spool.is_intact() => UNMOUNTED.to_owned(),
        Ok(_) => OK.to_owned(),
        Err(cause) => cause.to_string(),
    };
    let states =
        [("mongodb", mongodb), ("rabbitmq", rabbitmq), ("cloudinary", context.media_host.describe()), ("spool", spool)];
    let ready = states.iter().all(|(_, state)| state == OK || state == CONSUMING);
    let dependencies = states.map(|(name, state)| (name.to_owned(), state)).into();
    Readiness { ready, dependencies, reconciled: context.reconciled.read() }
}

/// Binds the address, so that a port in use stops the program at its start.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| Error::Config {
        variable: "WORKER_HEALTH",
        expected: format!("an address and port that is free, but {address} is not: {cause}"),
    })
}

/// A worker, as soon as there is one.
pub(crate) type Starting = Arc<OnceLock<Arc<Context>>>;

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, context: Starting, stop: CancellationToken) {
    let router = Router::new().route("/healthz", get(async || "ok")).route("/readyz", get(readyz)).with_state(context);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    // A client that stalls must not hold up the end of the program.
    tokio::select! {
        result = served => if let Err(cause) = result { tracing::error!(%cause, "the health endpoint has failed") },
        () = stop.cancelled() => {}
    }
}

async fn readyz(State(context): State<Starting>) -> (StatusCode, Json<Readiness>) {
    let readiness = match context.get() {
        Some(context) => readiness(context).await,
        None => {
            let why = "waiting for a name server to resolve MONGODB_URI".to_owned();
            let dependencies = [("mongodb".to_owned(), why)].into();
            Readiness { ready: false, dependencies, reconciled: Reconciled::default() }
        }
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
