//! The server opens its folder, accepts connections and stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, Method, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tower_http::cors::{Any, CorsLayer};

use crate::assets::delete_tokens::DeleteTokens;
use crate::assets::store::Store;
use crate::config::Config;
use crate::error::Error;
use crate::faults::Faults;
use crate::handle::Handle;
use crate::http::dispatch::answer;
use crate::http::refusal::Aborted;
use crate::http::request::ClientGone;
use crate::http::traffic::Counters;
use crate::http::{control, refusal};
use crate::notifications::Notifications;
use crate::state::State;
use crate::upload::partials::Partials;

/// How long connections may take to finish during shutdown.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client may take to send its headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);

/// A server with its folder open. [`Server::serve`] begins to answer.
#[derive(Debug, Clone)]
pub struct Server {
    state: Arc<State>,
}

impl Server {
    /// Opens the folder and installs the faults of the configuration. `address` is where the server will listen; URLs
    /// in replies begin with it unless the configuration has a public URL. A folder serves one server at a time.
    pub fn open(config: Config, address: SocketAddr) -> Result<Self, Error> {
        let store = Store::open(&config.data)?;
        let partials = Partials::load(store.chunks())?;
        let base_url = base_url(address);
        let public_url = config.public_url.clone().unwrap_or_else(|| base_url.clone());
        let faults = Faults::default();
        for fault in config.faults.clone() {
            faults.install(fault);
        }
        let state = State {
            base_url,
            public_url: public_url.trim_end_matches('/').to_owned(),
            notifications: Notifications::new(config.notification_urls.iter().flatten().cloned().collect()),
            config,
            store,
            partials,
            delete_tokens: DeleteTokens::default(),
            faults,
            counters: Counters::default(),
            transform_slots: Semaphore::new(2),
            stopping: CancellationToken::new(),
        };
        Ok(Self { state: Arc::new(state) })
    }

    /// Opens the folder and serves on `listener` in the background, as tests want it.
    pub async fn start(config: Config, listener: TcpListener) -> Result<Running, Error> {
        let address = listener.local_addr().map_err(Error::Serve)?;
        let server = tokio::task::spawn_blocking(move || Self::open(config, address))
            .await
            .map_err(|error| Error::Serve(io::Error::other(error)))??;
        let stop = CancellationToken::new();
        let handle = server.handle();
        let task = tokio::spawn(server.serve(listener, stop.clone().cancelled_owned()));
        Ok(Running { handle, stop, task })
    }

    pub fn handle(&self) -> Handle {
        Handle::new(self.state.clone())
    }

    /// Serves until `shutdown` completes, then lets requests finish for up to five seconds. Requests that a fault
    /// delays or hangs are dropped at once.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let router = self.router();
        let connections = TaskTracker::new();
        let killed = CancellationToken::new();
        let graceful = GracefulShutdown::new();
        tokio::pin!(shutdown);
        loop {
            let stream = tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let connection = serve_connection(stream, router.clone(), &graceful, &connections, &killed);
            connections.spawn(connection);
        }
        drop(listener);
        self.state.stopping.cancel();
        connections.close();
        let finished = async {
            graceful.shutdown().await;
            connections.wait().await;
        };
        if tokio::time::timeout(GRACE, finished).await.is_err() {
            tracing::warn!("requests still in progress are dropped");
            killed.cancel();
            connections.wait().await;
        }
        self.state.store.release();
    }

    fn router(&self) -> Router {
        let state = self.state.clone();
        let fallback = move |request: Request| answer(state.clone(), request);
        let cors = CorsLayer::new()
            .allow_origin(Any)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::OPTIONS])
            .allow_headers([
                HeaderName::from_static("x-unique-upload-id"),
                HeaderName::from_static("x-requested-with"),
                header::CONTENT_RANGE,
                header::CONTENT_TYPE,
                header::AUTHORIZATION,
                header::RANGE,
            ])
            .expose_headers([
                HeaderName::from_static(refusal::X_CLD_ERROR),
                HeaderName::from_static("x-request-id"),
                header::CONTENT_RANGE,
                header::ETAG,
            ]);
        let mut router = Router::new().fallback(fallback).layer(cors);
        // Outside the CORS layer: no web page may control the server through a developer's browser.
        if self.state.config.admin {
            router = router.nest("/__admin", control::routes(self.handle()));
        }
        router
    }
}

/// A server in the background. Dropping it stops the server without waiting; [`Running::stop`] waits.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// `http://127.0.0.1:<port>`, also the `upload_prefix` for SDKs.
    pub fn base_url(&self) -> &str {
        self.handle.base_url()
    }

    /// The `CLOUDINARY_URL` of the first account. It contains the secret.
    pub fn cloudinary_url(&self) -> String {
        self.handle.cloudinary_url()
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Stops the server as [`Server::serve`] does, and waits. The folder can then be opened again.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop.cancel();
        (&mut self.task).await.map_err(|error| Error::Serve(io::Error::other(error)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn base_url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("http://localhost:{}", address.port());
    }
    format!("http://{address}")
}

/// An error of the service makes hyper close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped")]
struct Dropped;

/// Each request runs in its own task: like Cloudinary, the server finishes it even if the client disconnects.
fn serve_connection(
    stream: TcpStream,
    router: Router,
    graceful: &GracefulShutdown,
    tasks: &TaskTracker,
    killed: &CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    // Without it, small answers wait for the client's delayed acknowledgement. A socket that refuses is about to fail
    // anyway.
    let _ = stream.set_nodelay(true);
    let (tasks, request_killed) = (tasks.clone(), killed.clone());
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ClientGone(gone));
        let answered = router.clone().oneshot(request);
        let task = tasks.spawn(request_killed.clone().run_until_cancelled_owned(answered));
        async move {
            let _guard = guard;
            let outcome: Option<Result<_, Infallible>> = task.await.ok().flatten();
            match outcome {
                Some(Ok(response)) if response.extensions().get::<Aborted>().is_none() => Ok(response),
                _ => Err(Dropped),
            }
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    let killed = killed.clone();
    async move {
        // Clients that disconnect and dropped connections end here. Neither is news.
        if let Some(Err(error)) = killed.run_until_cancelled(connection).await {
            tracing::trace!(%error, "connection ended");
        }
    }
}
