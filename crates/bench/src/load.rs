//! A load generator that costs little itself: raw HTTP/1.1 over kept-alive connections with bodies made beforehand.
//!
//! On a machine of two cores a general client would take a third of what is to be measured.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request: a head that ends with the empty line, and its body in pieces, so that large bodies can share memory.
#[derive(Clone, Debug)]
pub struct Request {
    /// Request line and headers, the empty line included.
    pub head: String,
    /// The body; sent piece by piece.
    pub body: Vec<Bytes>,
}

impl Request {
    /// A request with a content length and further header lines (each ended by CRLF).
    pub fn new(method: &str, path: &str, headers: &str, body: Vec<Bytes>) -> Self {
        let length: usize = body.iter().map(Bytes::len).sum();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n");
        Self { head, body }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// From the first byte sent to the last byte received.
    pub took: Duration,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Connection {
    /// A connection that is opened by its first request.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    pub async fn send(&mut self, request: &Request) -> io::Result<Reply> {
        let started = Instant::now();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request.head.as_bytes()).await?;
        for piece in &request.body {
            stream.write_all(piece).await?;
        }
        let (status, body, keep) = read_reply(&mut stream).await?;
        if keep {
            self.stream = Some(stream);
        }
        Ok(Reply { status, took: started.elapsed(), body })
    }
}

async fn read_reply(stream: &mut TcpStream) -> io::Result<(u16, Vec<u8>, bool)> {
    let mut buffer = Vec::with_capacity(4096);
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no status"))?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    let mut body = buffer.split_off(head_end);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((status, body, !head.contains("connection: close")))
}

/// How long each of many requests took.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that a share of all (0.5, 0.99) does not exceed, by nearest rank. Zero when there are none.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Answer times of the requests that succeeded.
    pub latencies: Latencies,
    /// Answers with another status than 2xx, and broken connections.
    pub failed: usize,
    /// From first to last.
    pub took: Duration,
}

impl Load {
    pub fn per_second(&self) -> f64 {
        self.latencies.count() as f64 / self.took.as_secs_f64()
    }
}

/// Sends requests over a number of connections at once until a deadline; `next` makes the n-th request of them all.
pub async fn run(
    address: SocketAddr,
    connections: usize,
    duration: Duration,
    next: impl Fn(usize) -> Request + Clone + Send + 'static,
) -> Load {
    let deadline = Instant::now() + duration;
    run_while(address, connections, move |_| Instant::now() < deadline, next).await
}

/// As [`run`], but so many requests.
pub async fn send(
    address: SocketAddr,
    connections: usize,
    count: usize,
    next: impl Fn(usize) -> Request + Clone + Send + 'static,
) -> Load {
    run_while(address, connections, move |number| number < count, next).await
}

async fn run_while(
    address: SocketAddr,
    connections: usize,
    goes_on: impl Fn(usize) -> bool + Clone + Send + 'static,
    next: impl Fn(usize) -> Request + Clone + Send + 'static,
) -> Load {
    let started = Instant::now();
    let counter = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (goes_on, next, counter) = (goes_on.clone(), next.clone(), counter.clone());
        tasks.spawn(async move {
            let mut connection = Connection::new(address);
            let (mut latencies, mut failed) = (Latencies::default(), 0);
            loop {
                let number = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if !goes_on(number) {
                    return (latencies, failed);
                }
                match connection.send(&next(number)).await {
                    Ok(reply) if (200..300).contains(&reply.status) => latencies.push(reply.took),
                    Ok(reply) => {
                        if failed == 0 {
                            tracing::warn!(status = reply.status, body = %String::from_utf8_lossy(&reply.body), "refused");
                        }
                        failed += 1;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "connection failed");
                        failed += 1;
                    }
                }
            }
        });
    }
    let mut load = Load::default();
    while let Some(result) = tasks.join_next().await {
        if let Ok((latencies, failed)) = result {
            load.latencies.extend(latencies);
            load.failed += failed;
        }
    }
    load.took = started.elapsed();
    load
}
