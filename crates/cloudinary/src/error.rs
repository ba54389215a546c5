//! Errors, by what to do about them.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;
use std::path::PathBuf;

use reqwest::StatusCode;

use crate::classify::ErrorClass;

/// Why an operation failed. The text is one line without secrets, signatures or keys.
///
/// An operation whose error is to be [retried](ErrorClass::Retry) may have had its effect. Repeating it finds out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client cannot be set up, for example without root certificates.
    #[error("the HTTP client for Cloudinary cannot be set up: {0}")]
    Setup(#[source] reqwest::Error),

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
    #[error("Cloudinary acknowledged every chunk of {0} but assembled no asset")]
    Unassembled(String),

    /// Another file is stored under this id, ours is not.
    #[error(
        "another file is stored as {}, with {} bytes and etag {}; ours has {} and {}",
        .0.public_id, .0.found_bytes, .0.found_etag, .0.bytes, .0.md5
    )]
    Occupied(Mismatch),

    /// The stored bytes are not ours. The asset has been deleted, so that the next attempt starts clean. If this
    /// repeats, the account changes files, for example by a default upload preset.
    #[error(
        "{} was stored with {} bytes and etag {} instead of {} and {}, and deleted again: if this goes on, look for a \
         default upload preset that transforms files",
        .0.public_id, .0.found_bytes, .0.found_etag, .0.bytes, .0.md5
    )]
    Corrupted(Mismatch),

    /// The asset was stored under another id.
    #[error("Cloudinary stored {public_id} as {found}: look for an upload preset that renames files")]
    Renamed {
        /// What was asked for.
        public_id: String,
        /// What was stored.
        found: String,
    },

    /// The reply is not signed with our secret: the secret is wrong, or another server answers in Cloudinary's place.
    #[error("the reply about {0} is not signed with our secret: check CLOUDINARY_UPLOAD_PREFIX and the API secret")]
    Forged(String),

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

    /// The file has other bytes than those whose checksum was recorded. Nothing of it was stored.
    #[error("{} is damaged: its bytes are not those that were received", path.display())]
    FileDamaged {
        /// The file.
        path: PathBuf,
    },
}

/// A file of ours, and another one that is stored under its id.
#[derive(Debug)]
pub struct Mismatch {
    /// The id of the asset.
    pub public_id: String,
    /// The length of our file.
    pub bytes: u64,
    /// Its MD5 in hex.
    pub md5: String,
    /// The length of the stored one.
    pub found_bytes: u64,
    /// Its MD5, or `none`.
    pub found_etag: String,
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
            Self::Transport { .. } | Self::Unreadable { .. } | Self::Unassembled(_) | Self::Corrupted(_) => RETRY,
            Self::Refused(refusal) => refusal.class,
            Self::Occupied(_) | Self::FileChanged { .. } | Self::FileDamaged { .. } => ErrorClass::Discard,
            Self::Setup(_) | Self::Renamed { .. } | Self::Forged(_) => ErrorClass::Operator,
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
    let error: &dyn StdError = error;
    let causes: Vec<String> = successors(Some(error), |&error| error.source()).map(ToString::to_string).collect();
    causes.join(": ")
}
