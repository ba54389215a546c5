//! A proxy for the connections of a program to a service, which can refuse them, close them, hold them or some of what they carry,
//! and make them slow.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

/// How bytes pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// Late by so much.
    Late(Duration),
    /// From clients only so many bytes a second on each connection, as on a slow line.
    Slow(u32),
    /// Not at all; who waits, waits.
    Held,
    /// Connections are closed at once, those that exist too.
    Refused,
}

/// Listens for one program and forwards to one service.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    passage: watch::Sender<Passage>,
    /// Connections of an older generation are closed.
    generation: watch::Sender<u64>,
    /// What clients are told in the service's place.
    forged: broadcast::Sender<Vec<u8>>,
    /// What clients send with these bytes in it is held, and what they send after it. Empty: nothing is.
    unwanted: watch::Sender<Vec<u8>>,
    held: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts one on a port of its own. It ends with the runtime.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Arc<Self>> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), upstream).await
    }

    /// Starts one on an address, where nobody has listened so far.
    pub async fn start_at(address: SocketAddr, upstream: SocketAddr) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (passage, generation) = (watch::Sender::new(Passage::Open), watch::Sender::new(0));
        let (forged, unwanted) = (broadcast::Sender::new(8), watch::Sender::default());
        let proxy = Arc::new(Self { address, passage, generation, forged, unwanted, held: Arc::default() });
        let accepting = proxy.clone();
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let (passage, generation) = (accepting.passage.subscribe(), accepting.generation.subscribe());
                let up = Up { unwanted: accepting.unwanted.subscribe(), held: accepting.held.clone() };
                tokio::spawn(forward(client, upstream, passage, generation, up, accepting.forged.subscribe()));
            }
        });
        Ok(proxy)
    }

    /// Changes how bytes pass from now on.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    pub fn cut(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Sends every client what the service has not said.
    pub fn forge(&self, bytes: Vec<u8>) {
        let _nobody_is_connected = self.forged.send(bytes);
    }

    /// Holds what a client sends in one piece with these bytes in it, and what comes after it on that connection. The other direction
    /// and other connections go on.
    pub fn hold(&self, bytes: impl Into<Vec<u8>>) {
        self.unwanted.send_replace(bytes.into());
    }

    /// Lets what is held pass, and holds nothing more.
    pub fn let_go(&self) {
        self.hold(Vec::new());
    }

    /// How often something was held.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        self.forged.receiver_count()
    }
}

async fn forward(
    client: TcpStream,
    upstream: SocketAddr,
    passage: watch::Receiver<Passage>,
    mut generation: watch::Receiver<u64>,
    up: Up,
    forged: broadcast::Receiver<Vec<u8>>,
) {
    generation.mark_unchanged();
    let mut refused = passage.clone();
    let both_ways = async {
        // Whoever cannot be reached hangs up at once, as a port on which nobody listens would.
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::join!(
            pass(from_client, to_server, Direction::Up(up), passage.clone(), None),
            pass(from_server, to_client, Direction::Down, passage, Some(forged))
        );
    };
    tokio::select! {
        () = both_ways => {}
        _ = generation.changed() => {}
        _ = refused.wait_for(|passage| *passage == Passage::Refused) => {}
    }
}

enum Direction {
    Up(Up),
    Down,
}

/// What is held of what a client sends.
struct Up {
    unwanted: watch::Receiver<Vec<u8>>,
    held: Arc<AtomicUsize>,
}

impl Up {
    /// Waits for as long as this may not pass.
    async fn wait(&mut self, sent: &[u8]) {
        let may_pass = |unwanted: &Vec<u8>| {
            unwanted.is_empty() || !sent.windows(unwanted.len()).any(|window| window == unwanted.as_slice())
        };
        if !may_pass(&self.unwanted.borrow()) {
            self.held.fetch_add(1, Ordering::SeqCst);
        }
        // Without a proxy nothing is held any more.
        let _ = self.unwanted.wait_for(may_pass).await;
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut direction: Direction,
    mut passage: watch::Receiver<Passage>,
    mut forged: Option<broadcast::Receiver<Vec<u8>>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let slow = match (*passage.borrow(), &direction) {
            (Passage::Slow(rate), Direction::Up(_)) => Some(rate.max(8)),
            _ => None,
        };
        // Eight times a second.
        let most = slow.map_or(buffer.len(), |rate| (rate as usize / 8).min(buffer.len()));
        let read = tokio::select! {
            read = from.read(&mut buffer[..most]) => read.unwrap_or(0),
            bytes = next(&mut forged) => {
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let now = *passage.borrow();
        if let Passage::Late(by) = now {
            tokio::time::sleep(by).await;
        }
        if let Some(rate) = slow {
            tokio::time::sleep(Duration::from_secs_f64(read as f64 / f64::from(rate))).await;
        }
        if passage.wait_for(|passage| *passage != Passage::Held).await.is_err() {
            return;
        }
        if let Direction::Up(up) = &mut direction {
            up.wait(&buffer[..read]).await;
        }
        if read == 0 {
            // The other direction may have something to say yet.
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// The next bytes to forge, if ever.
async fn next(forged: &mut Option<broadcast::Receiver<Vec<u8>>>) -> Vec<u8> {
    if let Some(forged) = forged
        && let Ok(bytes) = forged.recv().await
    {
        return bytes;
    }
    std::future::pending().await
}
