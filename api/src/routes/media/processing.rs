//! What becomes of an upload, as its owner sees it wherever it is shown. The address beside it is a plain string and works
//! meanwhile.

use serde::Serialize;
use store::{Asset, AssetState, Image, User};
use utoipa::ToSchema;

use crate::openapi::schemas;

/// Where an upload stands on its way to the media host.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Processing {
    #[schema(schema_with = schemas::processing_state)]
    state: &'static str,
    /// Why it failed, or what to expect while it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// The reason for programs: `limited-preview` while it is pending; `refused`, `file-lost`, `too-many-failures`,
    /// `too-many-crashes` or `impossible` once it has failed, `rejected-by-moderation`, or `cancelled` if that was its owner's wish.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "refused")]
    code: Option<String>,
}

/// Where the images of a user stand. Nothing is said of one that nobody chose.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImagesProcessing {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    avatar: Option<Processing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cover_image: Option<Processing>,
}

impl Processing {
    pub(crate) fn of(asset: &Asset) -> Self {
        match asset.state {
            AssetState::Pending => Self::pending(Some(&asset.media_type.content_type)),
            AssetState::Ready => Self::plain("ready"),
            AssetState::Failed => Self { state: "failed", reason: asset.reason.clone(), code: asset.code.clone() },
            // What happens to its bytes then is nothing to its owner.
            AssetState::Superseded | AssetState::Deleting | AssetState::Deleted => Self::plain("superseded"),
        }
    }

    /// An upload that is accepted. Its address serves it as it was uploaded, whether or not a browser can show that.
    pub(crate) fn pending(content_type: Option<&str>) -> Self {
        let Some(content_type) = content_type.filter(|content_type| !is_shown_everywhere(content_type)) else {
            return Self::plain("pending");
        };
        let reason = format!(
            "not every browser shows {content_type}; until the media host has it, it is served as it was uploaded"
        );
        Self { state: "pending", reason: Some(reason), code: Some("limited-preview".to_owned()) }
    }

    fn of_image(image: &Image) -> Option<Self> {
        if image.pending.is_some() {
            return Some(Self::pending(image.content_type.as_deref()));
        }
        if let Some(failed) = &image.failed {
            let (reason, code) = (Some(failed.reason.clone()), Some(failed.code.clone()));
            return Some(Self { state: "failed", reason, code });
        }
        (!image.url.is_empty()).then(|| Self::plain("ready"))
    }

    const fn plain(state: &'static str) -> Self {
        Self { state, reason: None, code: None }
    }
}

impl ImagesProcessing {
    pub(crate) fn of(user: &User) -> Self {
        Self { avatar: Processing::of_image(&user.avatar), cover_image: Processing::of_image(&user.cover_image) }
    }
}

fn is_shown_everywhere(content_type: &str) -> bool {
    file_types::by_content_type(content_type).is_some_and(|known| known.in_every_browser)
}

#[cfg(test)]
mod tests {
    use messages::AssetId;
    use store::Failure;

    use super::*;

    #[test]
    fn the_newest_image_is_what_is_said_of() {
        let pending = Some(AssetId::from_bytes([1; 12]));
        let failed = Some(Box::new(Failure { reason: "too large".to_owned(), code: "refused".to_owned() }));
        let url = "https://res.example.com/a.jpg".to_owned();
        let said = |image: &Image| {
            Processing::of_image(image).map(|said| (said.state, said.reason.unwrap_or_default(), said.code))
        };
        let plain = |state| Some((state, String::new(), None));
        assert_eq!(said(&Image::default()), None);
        assert_eq!(said(&Image { url: url.clone(), ..Image::default() }), plain("ready"));
        assert_eq!(said(&Image { url: url.clone(), pending, ..Image::default() }), plain("pending"));
        assert_eq!(
            said(&Image { url, failed, ..Image::default() }),
            Some(("failed", "too large".to_owned(), Some("refused".to_owned())))
        );
    }

    #[test]
    fn what_not_every_browser_shows_is_told_with_its_type() {
        for (content_type, is_told) in [
            ("image/jpeg", false),
            ("video/mp4", false),
            ("image/heic", true),
            ("image/jxl", true),
            ("video/quicktime", true),
        ] {
            let Processing { state, reason, code } = Processing::pending(Some(content_type));
            assert_eq!((state, code.as_deref()), ("pending", is_told.then_some("limited-preview")), "{content_type}");
            assert_eq!(reason.is_some_and(|reason| reason.contains(content_type)), is_told, "{content_type}");
        }
    }
}
