//! What an attempt ran into, for programs.

use super::JobRecord;
use crate::error_groups::Sighting;

/// What an attempt ran into. The names are permanent; the answers of the media host have one by their status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCode {
    /// The media host answered with this HTTP status, which says that it may go better later.
    Answered(u16),
    /// The media host did not answer.
    Unreachable,
    /// What the media host answered or stored is not what was asked for.
    Unusable,
    /// The spool did not give the file, which may be there still.
    FileUnreadable,
    /// The database did not do its part.
    Database,
    /// The attempt took too long without getting on.
    TooLong,
    /// It did what it was for, and what it deleted may come again.
    SecondLook,
    /// The endpoint of a webhook did not take an event.
    Undelivered,
    /// The work panicked.
    Defect,
    /// Our own configuration is wrong: a secret, an account, a spool.
    Configuration,
    /// The worker vanished.
    Crashed,
    /// The worker did not show for so long that it was taken to have vanished, and had not.
    Absent,
    /// Nothing: the job's owner is paused.
    UserPaused,
}

impl FailureCode {
    /// The code as it stands in documents and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered(420 | 429) => "media-host-rate-limited",
            Self::Answered(423 | 503) => "media-host-busy",
            Self::Answered(_) | Self::Unusable => "media-host-failed",
            Self::Unreachable => "media-host-unreachable",
            Self::FileUnreadable => "file-unreadable",
            Self::Database => "database",
            Self::TooLong => "attempt-too-long",
            Self::SecondLook => "second-look",
            Self::Undelivered => "undelivered",
            Self::Defect => "defect",
            Self::Configuration => "configuration",
            Self::Crashed => "worker-crashed",
            Self::Absent => "worker-absent",
            Self::UserPaused => "user-paused",
        }
    }

    /// What the media host answered, if that is what it was.
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(status),
            _ => None,
        }
    }
}

/// How an attempt failed, as it is noted beside its outcome.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'a> {
    /// For those who run the system.
    pub error: &'a str,
    pub code: &'static str,
    pub status: Option<u16>,
}

impl<'a> Failed<'a> {
    pub(crate) const fn of(code: FailureCode, error: &'a str) -> Self {
        Self { error, code: code.as_str(), status: code.status() }
    }

    /// What its group is told. The job as it was while the attempt held it.
    pub(crate) fn sighting(&self, job: &JobRecord) -> Sighting {
        Sighting::new(&job.kind, self.code, self.status, self.error, job.id, job.worker.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_media_host_answers_has_a_code_by_its_status_and_keeps_it() {
        for (status, code) in [
            (420, "media-host-rate-limited"),
            (429, "media-host-rate-limited"),
            (423, "media-host-busy"),
            (503, "media-host-busy"),
            (408, "media-host-failed"),
            (500, "media-host-failed"),
        ] {
            let answered = FailureCode::Answered(status);
            assert_eq!((answered.as_str(), answered.status()), (code, Some(status)));
        }
        assert_eq!((FailureCode::Unusable.as_str(), FailureCode::Unusable.status()), ("media-host-failed", None));
    }
}
