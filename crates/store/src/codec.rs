//! Documents to values and back.

use std::convert::Infallible;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc};
use messages::{AssetId, EndpointId, SessionId, UserId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_with::serde_conv;
use time::OffsetDateTime;

use crate::Error;

serde_conv!(
    pub(crate) BsonDateTime,
    OffsetDateTime,
    |time: &OffsetDateTime| DateTime::from(*time),
    |time: DateTime| Ok::<_, Infallible>(time.into())
);
serde_conv!(
    pub(crate) UserObjectId,
    UserId,
    |id: &UserId| object_id(id.bytes()),
    |id: ObjectId| Ok::<_, Infallible>(UserId::from_bytes(id.bytes()))
);
serde_conv!(
    pub(crate) AssetObjectId,
    AssetId,
    |id: &AssetId| object_id(id.bytes()),
    |id: ObjectId| Ok::<_, Infallible>(AssetId::from_bytes(id.bytes()))
);
serde_conv!(
    pub(crate) SessionObjectId,
    SessionId,
    |id: &SessionId| object_id(id.bytes()),
    |id: ObjectId| Ok::<_, Infallible>(SessionId::from_bytes(id.bytes()))
);

serde_conv!(
    pub(crate) EndpointObjectId,
    EndpointId,
    |id: &EndpointId| object_id(id.bytes()),
    |id: ObjectId| Ok::<_, Infallible>(EndpointId::from_bytes(id.bytes()))
);

/// Decodes a document. `what` names it in [`Error::Corrupt`].
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, document: &RawDocument) -> Result<T, Error> {
    bson::deserialize_from_slice(document.as_bytes()).map_err(|cause| {
        let id = match document.get("_id") {
            Ok(Some(id)) => id.as_object_id().map_or_else(
                || id.as_str().map_or_else(|| "of an unexpected type".to_owned(), str::to_owned),
                |id| id.to_hex(),
            ),
            _ => "without an id".to_owned(),
        };
        Error::Corrupt { what, id, cause: cause.into() }
    })
}

/// Decodes what was found, if anything was.
pub(crate) fn decode_found<T: DeserializeOwned>(
    what: &'static str,
    found: Option<RawDocumentBuf>,
) -> Result<Option<T>, Error> {
    found.map(|document| decode(what, &document)).transpose()
}

/// Decodes an entry of a list. An adopted one may have anything in its place, and is no reason to show nothing.
pub(crate) fn decode_entry<T: DeserializeOwned>(what: &'static str, document: &RawDocument) -> Option<T> {
    let entry = decode(what, document);
    entry.inspect_err(|cause| tracing::debug!(%cause, "leaving a malformed {what} out of a list")).ok()
}

/// Encodes a document of ours, which cannot fail but for a number beyond 64 bits.
pub(crate) fn encode<T: Serialize>(document: &T) -> Result<RawDocumentBuf, Error> {
    bson::serialize_to_raw_document_buf(document).map_err(|cause| Error::Database(cause.into()))
}

/// The ids of documents. One of another type is none of ours.
pub(crate) fn object_ids(documents: &[RawDocumentBuf]) -> impl Iterator<Item = ObjectId> {
    documents.iter().filter_map(|document| document.get_object_id("_id").ok())
}

pub(crate) fn object_id(bytes: [u8; 12]) -> ObjectId {
    ObjectId::from_bytes(bytes)
}

pub(crate) fn whole(number: &Bson) -> Option<i64> {
    number.as_i64().or_else(|| number.as_i32().map(i64::from))
}

pub(crate) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

/// So long after the server's now.
pub(crate) fn after(delay: Duration) -> Document {
    doc! { "$add": ["$$NOW", milliseconds(delay)] }
}
