//! Errors, by what to do about them.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;

use crate::classify::ErrorClass;

/// Why an operation failed. The text is one line without secrets, signatures or keys.
///
/// An operation whose error is to be [retried](ErrorClass::Retry) may have had its effect. Repeating it finds out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No reply: not connected, cut off or timed out. The request may have been executed.
    #[error("{operation} did not get through to Cloudinary: {}", causes(source))]
    Transport {
        /// What was being done.
        operation: &'static str,
        /// The client library's reason.
        source: reqwest::Error,
    },

    /// Cloudinary, or a server in front of it, refused.
    #[error(transparent)]
    Refused(Box<Refusal>),

    /// A reply with status 200 that cannot be understood. The request may have been executed.
    #[error("{operation} got a reply from Cloudinary that cannot be understood (request {request_id}): {body}")]
    Unreadable {
        /// What was being done.
        operation: &'static str,
        /// Cloudinary's id of the request, for its support; `unknown` if the reply has none.
        request_id: String,
        /// The start of the reply.
        body: String,
    },

    /// All chunks were acknowledged, but there is no asset. The next attempt begins anew.
    #[error("Cloudinary acknowledged every chunk of {public_id} but assembled no asset")]
    Unassembled {
        /// The asset.
        public_id: String,
    },

    /// Another file is stored under this id, ours is not.
    #[error(
        "another file is stored as {public_id}, with {found_bytes} bytes and etag {found_etag}; ours has {bytes} and {md5}"
    )]
    Occupied {
        /// The asset.
        public_id: String,
        /// The length of our file.
        bytes: u64,
        /// Its MD5.
        md5: String,
        /// The length of the stored one.
        found_bytes: u64,
        /// Its MD5, or `none`.
        found_etag: String,
    },

    /// The stored bytes are not ours. The asset has been deleted, so that the next attempt starts clean. If this
    /// repeats, the account changes files, for example by a default upload preset.
    #[error(
        "{public_id} was stored with {found_bytes} bytes and etag {found_etag} instead of {bytes} and {md5}, and deleted \
         again: if this goes on, look for a default upload preset that transforms files"
    )]
    Corrupted {
        /// The asset.
        public_id: String,
        /// What was sent.
        bytes: u64,
        /// The MD5 of what was sent.
        md5: String,
        /// What was stored.
        found_bytes: u64,
        /// The MD5 of what was stored, or `none`.
        found_etag: String,
    },

    /// The asset was stored under another id.
    #[error("Cloudinary stored {public_id} as {found}: look for an upload preset that renames files")]
    Renamed {
        /// What was asked for.
        public_id: String,
        /// What was stored.
        found: String,
    },

    /// The reply is not signed with our secret: the secret is wrong, or another server answers in Cloudinary's place.
    #[error(
        "the reply about {public_id} is not signed with our secret: check CLOUDINARY_UPLOAD_PREFIX and the API secret"
    )]
    Forged {
        /// The asset.
        public_id: String,
    },

    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The file is not as long as the upload says.
    #[error("{} has {found} bytes instead of {expected}", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
        /// The length that was recorded.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
}

/// A reply that refuses.
#[derive(Debug, thiserror::Error)]
#[error(
    "Cloudinary refused {operation} with {} (request {request_id}): {message}{}{}",
    status.as_u16(), if advice.is_some() { "; " } else { "" }, advice.unwrap_or_default()
)]
pub struct Refusal {
    /// What was being done.
    pub operation: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// Cloudinary's id of the request, for its support; `unknown` if the reply has none.
    pub request_id: String,
    /// The server's text as one short line, without our key and signature.
    pub message: String,
    /// What to do about it.
    pub class: ErrorClass,
    /// What a person should check.
    pub advice: Option<&'static str>,
}

impl Error {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        const RETRY: ErrorClass = ErrorClass::Retry { after: None };
        match self {
            Self::Transport { source, .. } if source.is_builder() => ErrorClass::Operator,
            Self::Transport { .. } | Self::Unreadable { .. } | Self::Unassembled { .. } | Self::Corrupted { .. } => {
                RETRY
            }
            Self::Refused(refusal) => refusal.class,
            Self::Occupied { .. } | Self::FileChanged { .. } => ErrorClass::Discard,
            Self::Renamed { .. } | Self::Forged { .. } => ErrorClass::Operator,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorClass::Discard,
                io::ErrorKind::PermissionDenied => ErrorClass::Operator,
                _ => RETRY,
            },
        }
    }

    pub(crate) fn transport(operation: &'static str, error: reqwest::Error) -> Self {
        Self::Transport { operation, source: error.without_url() }
    }
}

/// The text of reqwest says only "error sending request". Its sources say why.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Removes our key, secret and signature from a text of a server.
pub(crate) fn redact(text: &str, hidden: &[&str]) -> String {
    let mut text = text.to_owned();
    for hidden in hidden.iter().filter(|hidden| !hidden.is_empty()) {
        text = text.replace(hidden, "[redacted]");
    }
    text
}
