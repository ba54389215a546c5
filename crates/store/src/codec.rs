//! Documents to values and back.

use bson::oid::ObjectId;
use bson::{RawDocument, RawDocumentBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

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

/// Encodes a document of ours, which cannot fail but for a number beyond 64 bits.
pub(crate) fn encode<T: Serialize>(document: &T) -> Result<RawDocumentBuf, Error> {
    bson::serialize_to_raw_document_buf(document).map_err(|cause| Error::Database(cause.into()))
}

pub(crate) fn object_id(bytes: [u8; 12]) -> ObjectId {
    ObjectId::from_bytes(bytes)
}
