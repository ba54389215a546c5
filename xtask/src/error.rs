use std::io;
use std::path::PathBuf;

/// Why a service or program could not be started, reached or stopped. Each message is one a newcomer can act on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not on this machine.
    #[error("{program} was not found on this machine; {advice}")]
    Missing {
        /// The program's name.
        program: &'static str,
        /// What to do about it.
        advice: String,
    },
    /// Somebody else listens where a service should.
    #[error("port {port} for {service} is in use by another program; {advice}")]
    PortBusy {
        /// The TCP port on 127.0.0.1.
        port: u16,
        /// Who wanted it.
        service: String,
        /// How to choose another.
        advice: String,
    },
    /// The program ended by itself.
    #[error("{program} ended by itself ({status}); the last lines of {log}:\n{tail}", log = .log.display())]
    Died {
        /// The program's name.
        program: String,
        /// Exit code or signal.
        status: String,
        /// Where its output went.
        log: PathBuf,
        /// The end of that output.
        tail: String,
    },
    /// The program runs but did not become ready in time.
    #[error("{program} was not ready after {seconds} s ({state}); the last lines of {log}:\n{tail}", log = .log.display())]
    NotReady {
        /// The program's name.
        program: String,
        /// How long we waited.
        seconds: u64,
        /// What it answered last.
        state: String,
        /// Where its output went.
        log: PathBuf,
        /// The end of that output.
        tail: String,
    },
    /// A file, socket or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What we were doing, with the path.
        what: String,
        /// The cause.
        source: io::Error,
    },
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
