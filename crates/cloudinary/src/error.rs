//! What can go wrong, typed by what to do about it.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;

use crate::classify::ErrorClass;

/// Why an operation failed. [`Error::class`] says what to do; the text is one line without secrets, signatures or keys.
///
/// After a [`ErrorClass::Retry`] the operation may have had its effect nevertheless; doing it again finds that out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable reply: not connected, cut off or timed out. The request may have been carried out.
    #[error("{operation} did not get through to Cloudinary: {}", causes(source))]
    Transport {
        /// What was being done.
        operation: &'static str,
        /// The client library's reason.
        source: reqwest::Error,
    },

    /// Cloudinary, or something in front of it, said no.
    #[error(transparent)]
    Refused(Box<Refusal>),

    /// A reply with status 200 that does not say what it should. The request may have been carried out.
    #[error("{operation} got a reply from Cloudinary that makes no sense (request {request_id}): {body}")]
    Unreadable {
        /// What was being done.
        operation: &'static str,
        /// Cloudinary's id of the request, for its support; `unknown` if the reply has none.
        request_id: String,
        /// The start of the reply.
        body: String,
    },

    /// All chunks were acknowledged, and yet there is no asset. The next attempt has to begin anew.
    #[error("Cloudinary acknowledged every chunk of {public_id} but assembled no asset")]
    Unassembled {
        /// The asset.
        public_id: String,
    },

    /// Another file is already stored under this id. Ours was not.
    #[error(
        "another file is stored as {public_id}: it has {found_bytes} bytes and etag {found_etag}, ours {bytes} and {md5}"
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
        /// Its MD5; `none` if Cloudinary does not tell.
        found_etag: String,
    },

    /// What arrived is not what was sent. The wrong asset has been deleted, so that another attempt starts clean; if it happens
    /// every time, something in the account rewrites files, such as a default upload preset.
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
        /// The MD5 of what was stored; `none` if Cloudinary does not tell.
        found_etag: String,
    },

    /// The asset was stored under another id than asked for.
    #[error("Cloudinary stored {public_id} as {found}: look for an upload preset that renames files")]
    Renamed {
        /// What was asked for.
        public_id: String,
        /// What was stored.
        found: String,
    },

    /// The reply is not signed with our secret: the secret is wrong, or somebody else answers in Cloudinary's place.
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

/// A reply that says no.
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
    /// What the server says, shortened to one line, without our key and signature.
    pub message: String,
    /// What to do about it.
    pub class: ErrorClass,
    /// What a person should look at.
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

    /// A request that failed on the way.
    pub(crate) fn transport(operation: &'static str, error: reqwest::Error) -> Self {
        Self::Transport { operation, source: error.without_url() }
    }
}

/// The library's own text says only "error sending request"; why stands in its sources.
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

/// Takes our key, secret and signature out of a text that a server sent back.
pub(crate) fn redact(text: &str, hidden: &[&str]) -> String {
    let mut text = text.to_owned();
    for hidden in hidden.iter().filter(|hidden| !hidden.is_empty()) {
        text = text.replace(hidden, "[redacted]");
    }
    text
}
