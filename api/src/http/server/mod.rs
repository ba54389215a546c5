//! Serves connections: HTTP/1.1, with every wait bounded.
//!
//! Not `axum::serve`: it bounds neither the number of connections, nor the time for a head, nor the read buffer, nor how
//! long a client may take for what it is sent.

mod endless;
mod impatient;
mod lingering;
mod shares;

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tower::util::MapRequestLayer;

use crate::config::Http;
use endless::Attentive;
use impatient::Impatient;
use lingering::Lingering;
use shares::Shares;

pub(crate) use endless::Endless;
pub(crate) use lingering::Unread;

/// The longest head, and as much of a body as is read at a time: most of the memory that many uploads at once need.
const BUFFER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// As much of an answer may wait in the system to be sent. Without a bound that grows to 4 MiB, and the system does not tell
/// that there is room before a third of it is gone: who reads 20 kB a second seems to read nothing for a minute.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;
/// How long the last of a stream may take to be read, once the program stops: its client goes on elsewhere, and loses nothing.
const LAST_OF_STREAMS: Duration = Duration::from_secs(1);
/// The pause when there is no file descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` ends. Then accepts no more, closes idle connections at once, and lets requests go on for
/// `SHUTDOWN_TIMEOUT`, after which they are cut, and their unfinished uploads removed. Streams are cut after a moment.
///
/// `party` says as what an address is counted. One for which it is `None`, a proxy, may have all connections.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Http,
    party: impl Fn(IpAddr) -> Option<String>,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    // A client may say that it has sent everything before it reads. One that breaks off in the middle of a body is noticed
    // where the body is read.
    http.half_close(true);
    http.timer(TokioTimer::new()).header_read_timeout(settings.request_head_timeout);
    http.max_buf_size(BUFFER_BYTES).max_headers(MAX_HEADERS);
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let share_limit = settings.max_connections_address();
    let shares = Shares::new(share_limit);
    let graceful = GracefulShutdown::new();
    let (cut, cut_streams) = (CancellationToken::new(), CancellationToken::new());
    let mut shutdown = pin!(shutdown);

    loop {
        let accept = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            #[cfg(target_os = "linux")]
            socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
            io::Result::Ok((stream, peer, place))
        };
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let party = party(peer.ip().to_canonical());
        let share = match party.as_ref().map(|party| shares.take(party)).transpose() {
            Ok(share) => share,
            Err(refused) => {
                if refused.is_first {
                    tracing::warn!(
                        party,
                        limit = share_limit,
                        "closing connections beyond MAX_CONNECTIONS_ADDRESS; name a proxy in TRUSTED_PROXIES"
                    );
                }
                continue;
            }
        };
        let (unread, endless) = (Unread::default(), Endless::default());
        let stream = Impatient::new(Attentive::new(stream, endless.clone()), settings.response_idle_timeout);
        let stream = Lingering::new(stream, unread.clone());
        let extensions = (Extension(ConnectInfo(peer)), Extension(unread), Extension(endless.clone()));
        let begins = endless.clone();
        let begin = MapRequestLayer::new(move |request: Request<Incoming>| {
            begins.set(false);
            request
        });
        let service = TowerToHyperService::new((begin, extensions).layer(router.clone()));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        let (cut, cut_streams) = (cut.clone(), cut_streams.clone());
        let cut_stream = async move {
            cut_streams.cancelled().await;
            if !endless.is_set() {
                std::future::pending::<()>().await;
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                },
                () = cut.cancelled() => {}
                () = cut_stream => {}
            }
            drop((place, share));
        });
    }

    drop(listener);
    let cut_the_streams = async {
        tokio::time::sleep(LAST_OF_STREAMS).await;
        cut_streams.cancel();
        std::future::pending::<()>().await;
    };
    let all_done = async {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = cut_the_streams => {}
        }
    };
    if tokio::time::timeout(settings.shutdown_timeout, all_done).await.is_err() {
        tracing::warn!("requests did not finish in time and are cut");
        cut.cancel();
        // A task drops its request when it is next polled, and dropping an upload removes its file: wait for all of
        // them.
        let all = u32::try_from(settings.max_connections).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(Duration::from_secs(1), places.acquire_many(all)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::get;
    use clap::Parser as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::Config;

    /// What reads nothing of the last of its stream would otherwise hold up the end of the program for as long as a request may.
    #[tokio::test]
    async fn a_connection_is_a_streams_until_its_next_request() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = async |Extension(endless): Extension<Endless>| endless.set(true);
        let other = async |Extension(endless): Extension<Endless>| format!("a stream: {}", endless.is_set());
        let router = Router::new().route("/stream", get(stream)).route("/other", get(other));
        let settings = Config::try_parse_from(["api"]).expect("settings").http;
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let serving = serve(listener, router, settings, |_| None, async { drop(ended.await) });
        let asking = async {
            let mut client = TcpStream::connect(address).await.expect("connected");
            let (mut read, mut answers) = ([0; 1024], String::new());
            for (path, last) in [("/stream", "\r\n\r\n"), ("/other", "a stream: false")] {
                let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
                client.write_all(request.as_bytes()).await.expect("sent");
                while !answers.ends_with(last) {
                    let bytes = client.read(&mut read).await.expect("an answer");
                    assert!(bytes > 0, "hung up after {answers}");
                    answers.push_str(&String::from_utf8_lossy(&read[..bytes]));
                    assert!(!answers.ends_with("true"), "{answers}");
                }
            }
            drop((client, end));
        };
        tokio::join!(serving, asking);
    }
}
