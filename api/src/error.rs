use std::io;
use std::net::IpAddr;

use crate::config::ConfigError;

/// Why the program cannot start. Each is one line; where a setting is to blame it begins with the variable's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of the program's own.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting of the database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A setting of the broker.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// Somebody else listens there, or we may not.
    #[error("PORT: expected a port that is free on {host}, but {port} cannot be listened on: {cause}")]
    Listen {
        /// The address.
        host: IpAddr,
        /// The port.
        port: u16,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The operating system refused something else.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}
