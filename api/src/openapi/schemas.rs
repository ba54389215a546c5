//! Schemas of single fields, where the field's Rust type says less than is promised of it.

use store::JobState;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, Object, Ref, Schema};

/// Ids of users and assets.
pub(crate) const OBJECT_ID: &str = "^[0-9a-f]{24}$";

pub(crate) fn always_true() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).build()
}

pub(crate) fn always_false() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).build()
}

pub(crate) fn always_null() -> Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}

pub(crate) fn object_id() -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(OBJECT_ID)).build()
}

pub(crate) fn maybe_object_id() -> Object {
    ObjectBuilder::new().schema_type(or_null(Type::String)).pattern(Some(OBJECT_ID)).build()
}

/// Somebody by id, or as lists show users.
pub(crate) fn id_or_user() -> Schema {
    OneOfBuilder::new().item(object_id()).item(Ref::from_schema_name("UserInList")).into()
}

pub(crate) fn job_id() -> Object {
    ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).build()
}

/// UTC, with milliseconds.
pub(crate) fn time() -> Object {
    ObjectBuilder::new().schema_type(Type::String).format(Some(date_time())).build()
}

pub(crate) fn maybe_time() -> Object {
    ObjectBuilder::new().schema_type(or_null(Type::String)).format(Some(date_time())).build()
}

pub(crate) fn job_state() -> Object {
    one_of(&JobState::ALL.map(JobState::as_str))
}

pub(crate) fn asset_state() -> Object {
    one_of(&["pending", "ready", "failed", "superseded", "deleting", "deleted"])
}

pub(crate) fn resource_type() -> Object {
    one_of(&["image", "video", "raw"])
}

pub(crate) fn dependency_state() -> Object {
    one_of(&["up", "down"])
}

pub(crate) fn maybe_outcome() -> Object {
    let outcomes = ["completed", "retry", "operator", "discarded", "crashed", "cancelled", "released"];
    let or_none = outcomes.map(Some).into_iter().chain([None]);
    ObjectBuilder::new().schema_type(or_null(Type::String)).enum_values(Some(or_none)).build()
}

/// An avatar or cover image in a form.
pub(crate) fn image_file() -> Object {
    file("JPEG, PNG, GIF, WebP or AVIF, by its first bytes; by default at most 10485760 bytes")
}

/// Any upload in a form.
pub(crate) fn media_file() -> Object {
    file(
        "An image (JPEG, PNG, GIF, WebP, AVIF) or a video (MP4, WebM, QuickTime, Matroska), by its first bytes; by default at \
         most 1073741824 bytes",
    )
}

fn file(description: &str) -> Object {
    ObjectBuilder::new()
        .description(Some(description))
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
        .content_media_type("application/octet-stream")
        .build()
}

fn one_of(values: &[&'static str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values.iter().copied())).build()
}

fn or_null(this: Type) -> SchemaType {
    SchemaType::Array(vec![this, Type::Null])
}

fn date_time() -> SchemaFormat {
    SchemaFormat::KnownFormat(KnownFormat::DateTime)
}
