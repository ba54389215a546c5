//! What the worker tells about itself: `/healthz` (alive), `/readyz` (each dependency by name), and [`metrics`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use broker::ConsumerStatus;
use program::ConfigError;
use serde::{Deserialize, Serialize};
use spool::Spool;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::context::Context;
use crate::maintenance::Reconciled;
use crate::metrics::metrics;

/// What a dependency that serves is called.
const OK: &str = "ok";
/// What a broker is called from which deliveries flow.
const CONSUMING: &str = "consuming";
/// What a spool is called whose directory is not there any more, or is another one.
pub(crate) const UNMOUNTED: &str = "the spool is not where it was: check SPOOL_DIR, and that its volume is mounted";
/// What a spool is called whose volume hangs.
const SILENT: &str = "the spool does not answer: check the volume of SPOOL_DIR";
/// A spool that takes longer to answer does not.
const SPOOL_LIMIT: Duration = Duration::from_secs(2);
/// What is said of a database that is not `ok`. The log has the cause.
const NO_DATABASE: &str = "takes no writes or does not answer (MONGODB_URI)";

/// What `/readyz` answers, with 200 if ready and 503 if not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    pub ready: bool,
    /// Each dependency (`mongodb`, `rabbitmq`, `cloudinary`, `spool`) and its state in words: `ok`, or what is wrong.
    pub dependencies: BTreeMap<String, String>,
    /// By how much this machine's clock is ahead of MongoDB's, milliseconds; less than nothing if it is behind. MongoDB's counts, so
    /// this says nothing about readiness. Nothing before MongoDB has answered.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "clockOffsetMs")]
    pub clock_offset_ms: Option<i64>,
    /// What comparing stored counts with recounts has found since the start. Drift is mended, and says nothing about readiness.
    #[serde(default)]
    pub reconciled: Reconciled,
    /// How many queues were replaced since the start, because they did not work or were those of an earlier version.
    #[serde(default, rename = "replacedQueues")]
    pub replaced_queues: u64,
    /// Whether it takes no deliveries because a person told it so. It lives, finishes what runs, and is not ready.
    #[serde(default)]
    pub draining: bool,
    /// The queues that are paused, by the names that settings know them by. They say nothing about readiness.
    #[serde(default, rename = "pausedQueues")]
    pub paused_queues: Vec<String>,
}

/// The state of every dependency, as far as it is known, and of the spool as it was found. Nothing is waited for.
pub(crate) fn readiness(context: &Context, spool: String) -> Readiness {
    let mongodb = if context.database.borrow().takes_writes() { OK } else { NO_DATABASE };
    let draining = context.is_drained();
    let rabbitmq = match &context.consuming.borrow().status {
        ConsumerStatus::Consuming if draining => "not consuming: told to drain".to_owned(),
        ConsumerStatus::Consuming => CONSUMING.to_owned(),
        ConsumerStatus::Waiting { why } => format!("not consuming: {why}"),
        ConsumerStatus::Stopped => "not consuming: stopped".to_owned(),
    };
    let states = [
        ("mongodb", mongodb.to_owned()),
        ("rabbitmq", rabbitmq),
        ("cloudinary", context.media_host.trouble().unwrap_or_else(|| OK.to_owned())),
        ("spool", spool),
    ];
    let ready = states.iter().all(|(_, state)| state == OK || state == CONSUMING);
    let dependencies = states.map(|(name, state)| (name.to_owned(), state)).into();
    Readiness {
        ready,
        dependencies,
        clock_offset_ms: context.store.clock_offset(),
        reconciled: *context.reconciled.borrow(),
        replaced_queues: context.replaced.count(),
        draining,
        paused_queues: context.orders.borrow().iter().flat_map(|orders| orders.queues.iter().cloned()).collect(),
    }
}

/// How the spool is. Blocks for as long as its volume does.
pub(crate) fn spool_state(spool: &Spool) -> String {
    match spool.takes_files() {
        _ if !spool.is_intact() => UNMOUNTED.to_owned(),
        // A full one is the api's trouble: this program makes room.
        Ok(()) | Err(spool::Error::Full) => OK.to_owned(),
        Err(cause) => cause.to_string(),
    }
}

/// How a spool is, and what is free on its disk, as far as it says.
pub(crate) struct SpoolAnswer {
    pub(crate) state: String,
    pub(crate) free: Option<Free>,
}

pub(crate) struct Free {
    pub(crate) bytes: u64,
    /// `None`: without a limit.
    pub(crate) inodes: Option<u64>,
}

fn free(spool: &Spool) -> Result<Free, spool::Error> {
    Ok(Free { bytes: spool.free_bytes()?, inodes: spool.free_inodes()? })
}

/// The same from a thread that may wait for it. A volume that hangs keeps one such thread: whoever asks next waits for the first.
pub(crate) async fn ask_spool(context: &Context) -> SpoolAnswer {
    let turn = Arc::clone(&context.asking_spool);
    let spool = context.spool.clone();
    let asking = async {
        let turn = turn.acquire_owned().await;
        spawn_blocking(move || {
            let answer = SpoolAnswer { state: spool_state(&spool), free: free(&spool).ok() };
            drop(turn);
            answer
        })
        .await
    };
    match timeout(SPOOL_LIMIT, asking).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => SpoolAnswer { state: SILENT.to_owned(), free: None },
    }
}

/// Binds the address, so that a port in use stops the program at its start.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| {
        let expected = format!("an address and port that is free, but {address} is not: {cause}");
        ConfigError::new("WORKER_HEALTH", expected).into()
    })
}

/// A worker, as soon as there is one.
pub(crate) type Starting = Arc<OnceLock<Arc<Context>>>;

pub(crate) async fn serve(listener: TcpListener, context: Starting, stop: CancellationToken) {
    let routes = Router::new().route("/healthz", get(async || "ok")).route("/readyz", get(readyz));
    let router = routes.route("/metrics", get(metrics)).with_state(context);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    // A client that stalls must not hold up the end of the program.
    tokio::select! {
        result = served => if let Err(cause) = result { tracing::error!(%cause, "the health endpoint has failed") },
        () = stop.cancelled() => {}
    }
}

async fn readyz(State(context): State<Starting>) -> (StatusCode, Json<Readiness>) {
    let readiness = match context.get() {
        Some(context) => readiness(context, ask_spool(context).await.state),
        None => {
            let why = "waiting for a name server to resolve MONGODB_URI".to_owned();
            let dependencies = [("mongodb".to_owned(), why)].into();
            Readiness {
                ready: false,
                dependencies,
                clock_offset_ms: None,
                reconciled: Reconciled::default(),
                replaced_queues: 0,
                draining: false,
                paused_queues: Vec::new(),
            }
        }
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
