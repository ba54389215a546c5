//! What can go wrong, sorted by what the caller should do about it.
//!
//! Any method that asks the database may fail with [`Error::Unavailable`], [`Error::Corrupt`] or [`Error::Database`], and one that
//! commits a transaction with [`Error::Unknown`] too. A method's doc names an error only if it says more than its variant.

use std::fmt;
use std::time::Duration;

use mongodb::error::{ErrorKind, RETRYABLE_WRITE_ERROR, TRANSIENT_TRANSACTION_ERROR, WriteFailure};

use crate::StoredAnswer;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A field of a user that no other user may have the same value in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Username,
    Email,
}

impl Field {
    /// The field's name in documents and forms.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::Email => "email",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot work. The text never holds the setting's value: it may be a secret.
    #[error("{variable}: expected {expected}")]
    Config { variable: &'static str, expected: &'static str },
    /// Another user has this value. Nothing was written.
    #[error("another user has this {field}")]
    Taken { field: Field },
    /// What the call is about does not exist. Nothing was written.
    #[error("{what} not found")]
    NotFound { what: &'static str },
    /// The attempt is over: the job was finished, or taken over by another attempt. Nothing was written, and whoever holds
    /// the job now will finish it.
    #[error("the job is no longer held by this attempt")]
    Fenced,
    /// The idempotency key was used before, by a request that was answered so. Nothing was written.
    #[error("the idempotency key was used before")]
    Replayed(StoredAnswer),
    /// The database did not answer in time. A transaction has left nothing behind; a single update may have been made, and
    /// repeating it is harmless.
    #[error("the database is not available")]
    Unavailable(#[source] Cause),
    /// A transaction's commit was sent and its outcome is not known. Whatever it would refer to (a file) must stay.
    #[error("the outcome of a commit is not known")]
    Unknown(#[source] Cause),
    /// A document does not have the form it should have.
    #[error("{what} {id} is malformed")]
    Corrupt {
        what: &'static str,
        id: String,
        #[source]
        cause: Cause,
    },
    /// The database refused: a missing privilege, a server that is no replica set, a defect of ours.
    #[error("the database refused the operation")]
    Database(#[source] mongodb::error::Error),
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unknown(_))
    }

    pub(crate) fn timed_out(after: Duration) -> Self {
        Self::Unavailable(format!("no answer within {after:?}").into())
    }

    /// Whether the server stopped because its time for a command was up.
    pub(crate) fn took_too_long(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        let error = cause.downcast_ref::<mongodb::error::Error>().map(|error| error.kind.as_ref());
        matches!(error, Some(ErrorKind::Command(command)) if command.code == MAX_TIME_EXPIRED)
    }

    /// Whether a transaction was refused in favour of another, or lost its server, and may be run again at once.
    pub(crate) fn met_another_transaction(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        let Some(error) = cause.downcast_ref::<mongodb::error::Error>() else { return false };
        error.contains_label(TRANSIENT_TRANSACTION_ERROR) && !matches!(*error.kind, ErrorKind::ServerSelection { .. })
    }
}

impl From<mongodb::error::Error> for Error {
    fn from(error: mongodb::error::Error) -> Self {
        if passes(&error) { Self::Unavailable(error.into()) } else { Self::Database(error) }
    }
}

/// Nobody there, nobody to write to, or another transaction in the way: all of it passes by itself.
fn passes(error: &mongodb::error::Error) -> bool {
    // The server is shutting down or not the primary, or took too long:
    // https://github.com/mongodb/specifications/blob/master/source/server-discovery-and-monitoring/server-discovery-and-monitoring.md
    // 286: what a feed was to go on behind is no longer in the oplog, so another one has to be opened.
    const PASSING: [i32; 10] = [50, 91, 189, 286, 10058, 10107, 11600, 11602, 13435, 13436];
    let by_kind = match error.kind.as_ref() {
        ErrorKind::ServerSelection { .. }
        | ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        // Said of a node that has not yet found its replica set.
        | ErrorKind::SessionsNotSupported
        | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
        ErrorKind::Command(command) => PASSING.contains(&command.code),
        _ => false,
    };
    by_kind || error.contains_label(TRANSIENT_TRANSACTION_ERROR) || error.contains_label(RETRYABLE_WRITE_ERROR)
}

/// The message of a duplicate-key error, which names the violated index.
pub(crate) fn duplicate_key(error: &mongodb::error::Error) -> Option<&str> {
    match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE_KEY => Some(&write.message),
        // So findAndModify says it.
        ErrorKind::Command(command) if command.code == DUPLICATE_KEY => Some(&command.message),
        _ => None,
    }
}

/// Server error code: a unique index has this value already.
pub(crate) const DUPLICATE_KEY: i32 = 11000;
/// The server's time for a command, or for its majority, is up.
pub(crate) const MAX_TIME_EXPIRED: i32 = 50;
