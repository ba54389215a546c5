//! A connection that can be dropped at any time.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};

use crate::{Config, Error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection and its socket.
///
/// lapin drives a connection from a thread that ends with the socket. A broker that hangs never closes the socket, and
/// one with an alarm does not read our close: each dropped connection would leave a thread and a socket for as long as
/// that lasts.
pub(crate) struct Connected {
    pub(crate) amqp: Connection,
    _socket: ShutDownOnDrop,
}

/// A second handle on lapin's socket, once there is one.
struct ShutDownOnDrop(Arc<OnceLock<TcpStream>>);

impl Drop for ShutDownOnDrop {
    fn drop(&mut self) {
        if let Some(stream) = self.0.get() {
            // Fails if the other side closed it first.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Connects and authenticates. `role` is part of the connection's name in the management pages.
pub(crate) async fn connect(config: &Config, role: &str) -> Result<Connected, Error> {
    let socket = Arc::new(OnceLock::new());
    let guard = ShutDownOnDrop(Arc::clone(&socket));
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("steep {} {role}", config.program).into())
        .with_client_property("product".into(), "steep".into());
    let runtime = lapin::runtime::default_runtime().map_err(|error| Error::connecting(&error))?;
    let connecting = Connection::connector(
        config.uri(),
        runtime,
        async move |uri: AMQPUri, runtime| {
            let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
            let opening = plain.connect_with_config_async(TLSConfig::default(), &runtime);
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, opening).await.map_err(io::Error::from)??;
            if let AsyncTcpStream::Plain(tcp) = &stream {
                let second = tcp.get_ref().as_fd().try_clone_to_owned()?;
                socket.get_or_init(|| second.into());
            }
            match uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => Ok(stream.into_tls(&uri.authority.host, TLSConfig::default()).await?),
            }
        },
        properties,
    );
    let amqp = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting)
        .await
        .map_err(|_| Error::no_answer())?
        .map_err(|error| Error::connecting(&error))?;
    Ok(Connected { amqp, _socket: guard })
}
