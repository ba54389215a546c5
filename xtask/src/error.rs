use std::io;
use std::path::PathBuf;

/// Why a service or program could not be started, reached or stopped. Each message is one a newcomer can act on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not on this machine.
    #[error("{program} was not found on this machine; {advice}")]
    Missing { program: &'static str, advice: String },
    /// Somebody else listens where a service should.
    #[error("port {port} for {service} is in use by another program; {advice}")]
    PortBusy { port: u16, service: String, advice: String },
    /// The program ended by itself.
    #[error("{program} ended by itself ({status}); the last lines of {log}:\n{tail}", log = .log.display())]
    Died { program: String, status: String, log: PathBuf, tail: String },
    /// The program runs but did not become ready in time.
    #[error("{program} was not ready after {seconds} s ({state}); the last lines of {log}:\n{tail}", log = .log.display())]
    NotReady { program: String, seconds: u64, state: String, log: PathBuf, tail: String },
    /// A file, socket or process operation failed.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// `rabbitmqctl` said no.
    #[error("rabbitmqctl: {0}")]
    Control(String),
    /// MongoDB's answer could not be read or was a refusal.
    #[error("MongoDB: {0}")]
    MongoDb(String),
    /// Ctrl-C or SIGTERM arrived while waiting, see [`crate::process::interrupt`].
    #[error("interrupted")]
    Interrupted,
}

/// Adds what was being done to an I/O error.
pub(crate) trait IoContext<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}
