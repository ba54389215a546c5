//! One message: a job with what the transport needs around it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{Job, JobId, MessageId, Trace};

/// A job on its way. On the wire a JSON object:
///
/// ```json
/// {"messageId": "…", "jobId": "…", "enqueuedAt": "2026-01-02T03:04:05.678Z", "kind": "media.upload.v1", "data": {…}}
/// ```
///
/// with an optional `traceparent` and `tracestate` (W3C Trace Context), and an optional `requestId` of the request that submitted
/// the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Names this message.
    pub message_id: MessageId,
    /// Names the job; the key by which a second delivery is recognised.
    pub job_id: JobId,
    /// When the message was made, UTC.
    #[serde(serialize_with = "time::serde::rfc3339::serialize")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::instant"))]
    pub enqueued_at: OffsetDateTime,
    /// Trace context of whoever submitted the job, or of whoever published this message of it. A malformed or missing one is no
    /// error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What others have added to that context, which goes with it unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// The id of the request that submitted the job. As for the trace context, none is no error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What to do.
    #[serde(flatten)]
    pub job: Job,
}

/// Why a body is not an envelope. Retrying cannot help; the delivery belongs in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or JSON without the members of an envelope.
    #[error("not an envelope: {cause}")]
    Envelope {
        /// What the parser said, shortened to 200 characters: it may quote the message.
        cause: String,
    },
    /// A kind that this version does not know. A newer worker may.
    #[error("unknown kind {kind:?}")]
    UnknownKind {
        /// The kind, shortened to 100 characters.
        kind: String,
    },
    /// A known kind with a payload that does not fit it.
    #[error("payload does not fit {kind}: {cause}")]
    Payload {
        /// The kind.
        kind: String,
        /// What the parser said, shortened to 200 characters.
        cause: String,
    },
}

impl DecodeError {
    pub(crate) fn envelope(cause: &serde_json::Error) -> Self {
        Self::Envelope { cause: shortened(&cause.to_string(), CAUSE) }
    }

    /// For a kind that this version does not know.
    pub fn unknown_kind(kind: &str) -> Self {
        Self::UnknownKind { kind: shortened(kind, KIND) }
    }

    pub(crate) fn payload(kind: &str, cause: &serde_json::Error) -> Self {
        Self::Payload { kind: kind.to_owned(), cause: shortened(&cause.to_string(), CAUSE) }
    }
}

/// Characters of a parser's words that are kept.
const CAUSE: usize = 200;
/// Characters of a kind that nobody knows that are kept.
const KIND: usize = 100;

/// An error goes into the log and into the headers of a dead letter, and what it quotes may be as long as a message.
pub(crate) fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// An envelope before its kind is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    message_id: MessageId,
    job_id: JobId,
    #[serde(with = "time::serde::rfc3339")]
    enqueued_at: OffsetDateTime,
    #[serde(default, deserialize_with = "text_or_nothing")]
    traceparent: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    tracestate: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    request_id: Option<String>,
    kind: String,
    data: Value,
}

/// A job is not lost for the sake of a trace.
fn text_or_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().map(str::to_owned))
}

impl Envelope {
    /// Content type of an encoded envelope.
    pub const CONTENT_TYPE: &'static str = "application/json";

    /// A new message for a job, made now.
    pub fn new(job_id: JobId, job: Job, trace: Option<Trace>) -> Self {
        let Trace { request_id, traceparent, tracestate } = trace.unwrap_or_default();
        let (message_id, enqueued_at) = (MessageId::new(), OffsetDateTime::now_utc());
        Self { message_id, job_id, enqueued_at, traceparent, tracestate, request_id, job }
    }

    /// The message's body.
    pub fn encode(&self) -> Vec<u8> {
        // Fails only for a year beyond 9999, which now_utc and decode never give.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a message's body. Members that this version does not know are ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], which never passes by itself.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let wire: Wire = serde_json::from_slice(body).map_err(|cause| DecodeError::envelope(&cause))?;
        let Wire { message_id, job_id, enqueued_at, traceparent, tracestate, request_id, kind, data } = wire;
        let job = Job::from_parts(&kind, data)?;
        Ok(Self { message_id, job_id, enqueued_at, traceparent, tracestate, request_id, job })
    }
}
