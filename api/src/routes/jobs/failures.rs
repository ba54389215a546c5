//! What an attempt ran into, in words and codes for the job's owner: without the addresses and internals that the stored text may
//! hold.

use std::borrow::Cow;

use store::{Attempt, AttemptOutcome};

/// What an attempt ran into, as the part of a sentence behind "because".
pub(super) fn cause(attempt: &Attempt) -> Cow<'static, str> {
    if let Some(status) = attempt.status {
        return format!("the media host answered {status}").into();
    }
    let cause = match attempt.code.as_deref() {
        Some("media-host-rate-limited" | "media-host-busy") => "the media host has too much to do",
        Some("media-host-unreachable") => "the media host did not answer",
        Some("media-host-failed") => "the media host's answer could not be used",
        Some("file-unreadable") => "the uploaded file could not be read",
        Some("database") => "the database did not do its part",
        Some("attempt-too-long") => "the attempt took too long",
        Some("second-look") => "what was deleted is looked for again",
        Some("defect") => "the worker met a defect of ours",
        Some("configuration") => "our configuration is wrong, and has to be mended by us",
        Some("user-paused") => "your jobs are paused",
        Some("worker-crashed") => "the worker stopped in the middle",
        // Of an earlier version, or of a later one.
        _ => match attempt.outcome {
            Some(AttemptOutcome::Operator) => "our account at the media host was refused, which has to be mended by us",
            Some(AttemptOutcome::Released) => "its worker left it to another one",
            _ => "an attempt failed",
        },
    };
    cause.into()
}

/// The error of an attempt as a sentence of its own.
pub(super) fn sentence(attempt: &Attempt) -> Option<Cow<'static, str>> {
    let sentence = match attempt.outcome? {
        AttemptOutcome::Completed => return None,
        AttemptOutcome::Retry if attempt.code.is_some() => return Some(cause(attempt)),
        AttemptOutcome::Retry => "the media host could not take it at the time; it is tried again",
        AttemptOutcome::Operator => "our account at the media host refused it; it is tried again when that is mended",
        AttemptOutcome::Discarded => "it was refused for good; see reason",
        AttemptOutcome::Crashed => "the worker stopped in the middle; another one takes over",
        AttemptOutcome::Cancelled => "it is no longer wanted; see reason",
        AttemptOutcome::Released if attempt.code.as_deref() == Some("worker-absent") => {
            "the worker did not show for a while; another one took over"
        }
        AttemptOutcome::Released => "the worker was shut down; another one takes over",
    };
    Some(sentence.into())
}
