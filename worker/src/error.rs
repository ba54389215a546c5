//! What can go wrong, by what to do about it: [`Error`] stops the program, [`JobError`] decides what becomes of a job.

use std::any::Any;
use std::time::Duration;

use store::{DiscardCode, FailureCode};

/// Why a worker does not start, or stops by itself. But for the last one, a setting cannot work, and nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] program::ConfigError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Cloudinary(#[from] cloudinary::Error),
    #[error(transparent)]
    Webhooks(#[from] outbound::Error),
    /// A part that runs as long as the worker does has ended by itself: a defect. What it held is rescued elsewhere.
    #[error("{task} ended by itself: {cause}")]
    Ended { task: &'static str, cause: String },
}

/// What the owner of an upload reads whose file is not there.
const GONE: &str = "the uploaded file is gone from the spool, so there is nothing to store; upload it again";
/// What the owner of an upload reads whose file is not what was received.
const DAMAGED: &str = "the uploaded file is damaged in the spool, so it is not stored; upload it again";

/// Why a job's attempt did not do what it was for, by what becomes of the job.
#[derive(Debug)]
pub(crate) enum JobError {
    /// It may go better later: the job runs again after a delay, until its attempts are used up. `after`: the other side said to
    /// come back then.
    Retry { code: FailureCode, cause: anyhow::Error, after: Option<Duration> },
    /// It was not tried, for want of something that others have at the moment: it runs again after a while, and no attempt is counted.
    Later { code: FailureCode, cause: anyhow::Error, after: Duration },
    /// Our own configuration is wrong (a secret, an account): the job waits until somebody has mended it, however long
    /// that takes, and no attempt is counted.
    Operator { cause: anyhow::Error, after: Option<Duration> },
    /// It can never succeed as it is. `reason`: in words that a person can act on. `replayable`: a redrive may help, so its file is
    /// kept.
    Discard { code: DiscardCode, reason: String, replayable: bool },
}

pub(crate) type JobResult<T> = Result<T, JobError>;

impl JobError {
    pub(crate) fn retry(code: FailureCode, cause: anyhow::Error) -> Self {
        Self::Retry { code, cause, after: None }
    }

    /// Discards it for good: no redrive can help.
    pub(crate) fn discard(code: DiscardCode, reason: impl Into<String>) -> Self {
        Self::Discard { code, reason: reason.into(), replayable: false }
    }
}

/// The database is not at fault for a job: every trouble with it passes or is mended by somebody.
impl From<store::Error> for JobError {
    fn from(error: store::Error) -> Self {
        Self::retry(FailureCode::Database, error.into())
    }
}

impl From<spool::Error> for JobError {
    fn from(error: spool::Error) -> Self {
        match error {
            // The bytes exist nowhere else, so no retry brings them back.
            spool::Error::Missing { .. } => Self::discard(DiscardCode::FileLost, GONE),
            error => Self::retry(FailureCode::FileUnreadable, error.into()),
        }
    }
}

impl From<cloudinary::Error> for JobError {
    fn from(error: cloudinary::Error) -> Self {
        // The owner of the upload reads the reason, and is not to be told where our files lie.
        if let cloudinary::Error::FileChanged { expected, found, .. } = error {
            let reason = format!(
                "of the uploaded file's {expected} bytes {found} are in the spool, so it is not stored; upload it again"
            );
            return Self::discard(DiscardCode::FileLost, reason);
        }
        if let cloudinary::Error::FileDamaged { .. } = error {
            // It is kept: the memory or the disk of this machine alone may be at fault.
            return Self::Discard { code: DiscardCode::FileLost, reason: DAMAGED.to_owned(), replayable: true };
        }
        if matches!(&error, cloudinary::Error::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound) {
            return Self::discard(DiscardCode::FileLost, GONE);
        }
        // The text has its causes in it already.
        let cause = anyhow::Error::msg(error.to_string());
        match error.class() {
            cloudinary::ErrorClass::Retry { after } => Self::Retry { code: met(&error), cause, after },
            cloudinary::ErrorClass::Operator => Self::Operator { cause, after: None },
            // The file is kept for a while: what Cloudinary refuses today (a limit of the plan) it may take tomorrow.
            cloudinary::ErrorClass::Discard => {
                Self::Discard { code: DiscardCode::Refused, reason: error.to_string(), replayable: true }
            }
        }
    }
}

/// What an attempt met that may go better later.
fn met(error: &cloudinary::Error) -> FailureCode {
    match error {
        cloudinary::Error::Transport { .. } => FailureCode::Unreachable,
        cloudinary::Error::File { .. } => FailureCode::FileUnreadable,
        // A success that it does not mean so, such as a page about maintenance, is no answer to tell.
        cloudinary::Error::Refused(refusal) if !refusal.status.is_success() => {
            FailureCode::Answered(refusal.status.as_u16())
        }
        _ => FailureCode::Unusable,
    }
}

/// An error with all its causes, for logs and records.
pub(crate) fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let causes: Vec<String> = anyhow::Chain::new(error).map(ToString::to_string).collect();
    causes.join(": ")
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;

    fn code(error: impl Into<JobError>) -> FailureCode {
        let error = error.into();
        let JobError::Retry { code, .. } = error else { panic!("no retry: {error:?}") };
        code
    }

    #[test]
    fn every_failure_that_may_pass_says_whose_it_was() {
        let unreadable = || io::Error::from(io::ErrorKind::TimedOut);
        let file = cloudinary::Error::File { path: PathBuf::from("/spool/ready/a"), source: unreadable() };
        assert_eq!(code(file), FailureCode::FileUnreadable);
        assert_eq!(code(cloudinary::Error::Unassembled("steep/a".to_owned())), FailureCode::Unusable);
        assert_eq!(code(spool::Error::ReadOnly), FailureCode::FileUnreadable);
        assert_eq!(code(store::Error::Fenced), FailureCode::Database);
    }
}
