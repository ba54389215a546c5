use std::io;
use std::net::{IpAddr, SocketAddr};

/// Why the program cannot start. Each is one line; where a setting is to blame it begins with the variable's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] program::ConfigError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Spool(#[from] spool::Error),
    #[error("PORT: expected a port that is free on {host}, but {port} cannot be listened on: {cause}")]
    Listen { host: IpAddr, port: u16, cause: io::Error },
    #[error("METRICS_LISTEN: expected an address and port that is free, but {address} is not: {cause}")]
    ListenMetrics { address: SocketAddr, cause: io::Error },
    #[error("nobody is called {name}")]
    NoSuchUser { name: String },
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}
