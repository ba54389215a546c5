//! A broker that is away, hangs, or raises an alarm: what lies between us and the real one.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

use crate::support::Host;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mode {
    /// What comes in goes out.
    Forward,
    /// Connections are accepted and closed at once, those that exist are closed.
    Refuse,
    /// Connections are accepted and stay open, but nothing comes through.
    Hang,
}

pub struct Proxy {
    pub url: String,
    mode: watch::Sender<Mode>,
    to_client: broadcast::Sender<Vec<u8>>,
}

impl Proxy {
    pub async fn new(host: &Host, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut url = host.url();
        let upstream = (url.host_str().expect("a host").to_owned(), url.port().unwrap_or(5672));
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(listener.local_addr().expect("an address").port())).expect("a port");
        let (mode, watched) = watch::channel(mode);
        let (to_client, _) = broadcast::channel(8);
        let sender = to_client.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect((upstream.0.as_str(), upstream.1)).await.expect("the broker");
                tokio::spawn(pump(client, upstream, watched.clone(), sender.subscribe()));
            }
        });
        Self { url: url.into(), mode, to_client }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Connections that are open, besides those that were refused.
    pub fn open(&self) -> usize {
        self.to_client.receiver_count()
    }

    /// Tells all clients what a broker short of memory tells those that publish: connection.blocked, class 10, method 60.
    pub fn raise_alarm(&self) {
        let reason = b"low on memory";
        let mut arguments = vec![u8::try_from(reason.len()).expect("short")];
        arguments.extend_from_slice(reason);
        self.tell(60, &arguments);
    }

    /// connection.unblocked, class 10, method 61.
    pub fn clear_alarm(&self) {
        self.tell(61, &[]);
    }

    fn tell(&self, method: u8, arguments: &[u8]) {
        // Frame: type 1 (method), channel 0, size; class, method, arguments; end.
        let size = u8::try_from(4 + arguments.len()).expect("short");
        let mut frame = vec![1, 0, 0, 0, 0, 0, size, 0, 10, 0, method];
        frame.extend_from_slice(arguments);
        frame.push(0xCE);
        let _ = self.to_client.send(frame);
    }
}

async fn pump(
    mut client: TcpStream,
    mut upstream: TcpStream,
    mut mode: watch::Receiver<Mode>,
    mut to_client: broadcast::Receiver<Vec<u8>>,
) {
    let (mut up, mut down) = ([0; 16_384], [0; 16_384]);
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Refuse => return,
            Mode::Hang => {
                // What was swallowed cannot be made up for: the connection ends with the silence.
                let mut nothing = [0; 1024];
                tokio::select! {
                    _ = mode.changed() => return,
                    read = client.read(&mut nothing) => if !matches!(read, Ok(1..)) { return },
                }
            }
            Mode::Forward => tokio::select! {
                changed = mode.changed() => if changed.is_err() { return },
                Ok(frame) = to_client.recv() => if client.write_all(&frame).await.is_err() { return },
                read = client.read(&mut up) => match read {
                    Ok(n @ 1..) if upstream.write_all(&up[..n]).await.is_ok() => {}
                    _ => return,
                },
                read = upstream.read(&mut down) => match read {
                    Ok(n @ 1..) if client.write_all(&down[..n]).await.is_ok() => {}
                    _ => return,
                },
            },
        }
    }
}

/// Long enough for what must not happen.
pub async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}
