//! How a route declares what it takes.

use store::Role;
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, Object, RefOr, Schema};

use super::Accepts;
use crate::config::SizeLimit;

/// A field of a form that takes one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileField {
    pub(crate) name: &'static str,
    pub(crate) accepts: Accepts,
    pub(crate) limit: SizeLimit,
    pub(crate) is_required: bool,
    /// What the asset is to its owner.
    pub(crate) role: Role,
}

/// The form of a route. Declared with [`upload_form!`].
pub(crate) trait UploadForm: Send + Sync + 'static {
    const FILES: &'static [FileField];
}

/// Declares the form of a route: the file fields, and the type that describes the text fields, if there are any. The
/// form is what [`Upload`](super::Upload) reads, and the request body in the document.
///
/// ```ignore
/// upload_form! {
///     /// The form of a new video.
///     VideoForm { VIDEO_FILE, THUMBNAIL } and VideoText
/// }
/// ```
macro_rules! upload_form {
    ($(#[doc = $doc:literal])+ $name:ident { $($file:expr),+ $(,)? } $(and $text:ty)?) => {
        $(#[doc = $doc])+
        pub(crate) struct $name;

        impl $crate::uploads::UploadForm for $name {
            const FILES: &'static [$crate::uploads::FileField] = &[$($file),+];
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let text = [$(<$text as utoipa::PartialSchema>::schema())?];
                let files = <Self as $crate::uploads::UploadForm>::FILES;
                $crate::uploads::form_schema(concat!($($doc),+), text.into_iter().next(), files)
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

pub(crate) use upload_form;

/// The schema of a form. The text fields come from a struct, which is an object.
pub(crate) fn form_schema(description: &str, text: Option<RefOr<Schema>>, files: &[FileField]) -> RefOr<Schema> {
    let mut form = match text {
        Some(RefOr::T(Schema::Object(text))) => text,
        _ => ObjectBuilder::new().schema_type(Type::Object).build(),
    };
    form.description = Some(description.trim().to_owned());
    for file in files {
        form.properties.insert(file.name.to_owned(), file.schema().into());
        if file.is_required {
            form.required.push(file.name.to_owned());
        }
    }
    Schema::Object(form).into()
}

impl FileField {
    fn schema(&self) -> Object {
        let (accepted, limit) = (self.accepts.by_default(), self.limit.default);
        ObjectBuilder::new()
            .description(Some(format!(
                "{accepted}, by its first bytes and not its name; by default at most {limit} bytes"
            )))
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .content_media_type("application/octet-stream")
            .build()
    }
}
