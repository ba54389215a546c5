//! A proxy for one connection between programs, which can close it, hold it and make it slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How bytes pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// Late by so much.
    Late(Duration),
    /// Not at all; who waits, waits.
    Held,
}

/// Listens for one program and forwards to one service.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    passage: watch::Sender<Passage>,
    /// Connections of an older generation are closed.
    generation: watch::Sender<u64>,
}

impl Proxy {
    /// Starts one on a port of its own. It ends with the runtime.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (passage, generation) = (watch::Sender::new(Passage::Open), watch::Sender::new(0));
        let proxy = Arc::new(Self { address, passage, generation });
        let accepting = proxy.clone();
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let (passage, generation) = (accepting.passage.subscribe(), accepting.generation.subscribe());
                tokio::spawn(forward(client, upstream, passage, generation));
            }
        });
        Ok(proxy)
    }

    /// Changes how bytes pass from now on.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

async fn forward(
    client: TcpStream,
    upstream: SocketAddr,
    passage: watch::Receiver<Passage>,
    mut generation: watch::Receiver<u64>,
) {
    generation.mark_unchanged();
    let both_ways = async {
        // Whoever cannot be reached hangs up at once, as a port on which nobody listens would.
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::join!(pass(from_client, to_server, passage.clone()), pass(from_server, to_client, passage));
    };
    tokio::select! {
        () = both_ways => {}
        _ = generation.changed() => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut passage: watch::Receiver<Passage>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let now = *passage.borrow();
        if let Passage::Late(by) = now {
            tokio::time::sleep(by).await;
        }
        if passage.wait_for(|passage| *passage != Passage::Held).await.is_err() {
            return;
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
