//! Answers that are no JSON but an uploaded file.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, RefOr, Response, ResponseBuilder};

use crate::uploads::Accepts;

/// The bytes of an upload, all or a range, or where they are now.
pub(crate) struct File;

impl IntoResponses for File {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let plain = |description: &str| ResponseBuilder::new().description(description);
        let mut whole = plain("The bytes, from the spool");
        let mut range = plain("The range of the bytes that `Range` asked for").header("Content-Range", text());
        for content_type in Accepts::ImagesAndVideos.content_types() {
            whole = whole.content(*content_type, ContentBuilder::new().build());
            range = range.content(*content_type, ContentBuilder::new().build());
        }
        BTreeMap::from([
            ("200".to_owned(), whole.build().into()),
            ("206".to_owned(), range.build().into()),
            ("302".to_owned(), plain("It is at the media host").header("Location", text()).build().into()),
            ("304".to_owned(), plain("The client has it").build().into()),
            ("412".to_owned(), plain("It is not what the request was meant for").build().into()),
        ])
    }
}

fn text() -> utoipa::openapi::Header {
    HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build()
}
