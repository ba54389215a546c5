//! What can go wrong, by what to do about it: [`Error`] stops the program, [`JobError`] decides what becomes of a job.

use std::time::Duration;

/// Why a worker does not start, or stops by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable holds something that cannot work. Nothing was started.
    #[error(transparent)]
    Config(#[from] program::ConfigError),
    /// The spool cannot serve. Nothing was started.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// The database's address is malformed. Nothing was started.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The broker's address is malformed. Nothing was started.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// The media host's address or credentials are malformed. Nothing was started.
    #[error(transparent)]
    Cloudinary(#[from] cloudinary::ConfigError),
    /// A part that runs as long as the worker does has ended by itself: a defect. What it held is rescued elsewhere.
    #[error("{task} ended by itself: {cause}")]
    Ended {
        /// Which part.
        task: &'static str,
        /// How it ended.
        cause: String,
    },
}

/// What the owner of an upload reads whose file is not there.
const GONE: &str = "the uploaded file is gone from the spool, so there is nothing to store; upload it again";

/// Why a job's attempt did not do what it was for, by what becomes of the job.
#[derive(Debug)]
pub enum JobError {
    /// It may go better later: the job runs again after a delay, until its attempts are used up.
    Retry {
        /// What went wrong.
        cause: anyhow::Error,
        /// When the other side said to come back.
        after: Option<Duration>,
    },
    /// Our own configuration is wrong (a secret, an account): the job waits until somebody has mended it, however long
    /// that takes, and no attempt is counted.
    Operator {
        /// What went wrong.
        cause: anyhow::Error,
        /// When the other side said to come back.
        after: Option<Duration>,
    },
    /// It can never succeed as it is.
    Discard {
        /// Why, in words that a person can act on.
        reason: String,
        /// Whether a redrive may help, so that its file is kept.
        replayable: bool,
    },
}

/// What an attempt came to.
pub type JobResult<T> = Result<T, JobError>;

impl JobError {
    /// Discards it for good: no redrive can help.
    pub fn discard(reason: impl Into<String>) -> Self {
        Self::Discard { reason: reason.into(), replayable: false }
    }
}

/// The database is not at fault for a job: every trouble with it passes or is mended by somebody.
impl From<store::Error> for JobError {
    fn from(error: store::Error) -> Self {
        Self::Retry { cause: error.into(), after: None }
    }
}

impl From<spool::Error> for JobError {
    fn from(error: spool::Error) -> Self {
        match error {
            // The bytes exist nowhere else, so no retry brings them back.
            spool::Error::Missing { .. } => Self::discard(GONE),
            error => Self::Retry { cause: error.into(), after: None },
        }
    }
}

impl From<cloudinary::Error> for JobError {
    fn from(error: cloudinary::Error) -> Self {
        // The owner of the upload reads the reason, and is not to be told where our files lie.
        if let cloudinary::Error::FileChanged { expected, found, .. } = error {
            return Self::discard(format!(
                "of the uploaded file's {expected} bytes {found} are in the spool, so it is not stored; upload it again"
            ));
        }
        if matches!(&error, cloudinary::Error::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound) {
            return Self::discard(GONE);
        }
        // The text has its causes in it already.
        let cause = anyhow::Error::msg(error.to_string());
        match error.class() {
            cloudinary::ErrorClass::Retry { after } => Self::Retry { cause, after },
            cloudinary::ErrorClass::Operator => Self::Operator { cause, after: None },
            // The file is kept for a while: what Cloudinary refuses today (a limit of the plan) it may take tomorrow.
            cloudinary::ErrorClass::Discard => Self::Discard { reason: error.to_string(), replayable: true },
        }
    }
}

/// An error with all its causes, for logs and records.
pub(crate) fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let causes: Vec<String> = anyhow::Chain::new(error).map(ToString::to_string).collect();
    causes.join(": ")
}

/// Says at the `?` what becomes of the job, where the kind of error alone does not.
pub trait OrElse<T> {
    /// It may go better later.
    ///
    /// # Errors
    ///
    /// [`JobError::Retry`] in place of any error.
    fn or_retry(self) -> JobResult<T>;

    /// It can never succeed.
    ///
    /// # Errors
    ///
    /// [`JobError::Discard`] in place of any error; replayable, because what was not foreseen is for a person to judge.
    fn or_discard(self) -> JobResult<T>;
}

impl<T, E: Into<anyhow::Error>> OrElse<T> for Result<T, E> {
    fn or_retry(self) -> JobResult<T> {
        self.map_err(|cause| JobError::Retry { cause: cause.into(), after: None })
    }

    fn or_discard(self) -> JobResult<T> {
        self.map_err(|cause| JobError::Discard { reason: format!("{:#}", cause.into()), replayable: true })
    }
}
