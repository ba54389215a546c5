//! The style and the script of the pages.
//!
//! Their names change with their content, so browsers keep them for ever, and two versions of the program do not mix theirs up.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::http::params::PathText;
use crate::http::{Problem, ProblemKind};

const KEPT: &str = "public, max-age=31536000, immutable";

static FILES: LazyLock<[File; 3]> = LazyLock::new(|| {
    [
        File::new("style", "css", "text/css; charset=utf-8", include_str!("style.css")),
        File::new("script", "js", "text/javascript; charset=utf-8", include_str!("script.js")),
        File::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")),
    ]
});

#[derive(Debug)]
struct File {
    name: String,
    content_type: &'static str,
    content: &'static str,
}

impl File {
    fn new(name: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let hash = hex::encode(&Sha256::digest(content)[..8]);
        Self { name: format!("{name}-{hash}.{extension}"), content_type, content }
    }
}

/// The address of the style, of the script, and of the icon.
pub(super) fn addresses() -> [String; 3] {
    FILES.each_ref().map(|file| format!("/dashboard/assets/{}", file.name))
}

pub(super) async fn file(PathText(name): PathText) -> Result<Response, Problem> {
    let unknown = || Problem::new(ProblemKind::NotFound, "the pages have no such file");
    let file = FILES.iter().find(|file| file.name == name).ok_or_else(unknown)?;
    let headers = [(header::CONTENT_TYPE, file.content_type), (header::CACHE_CONTROL, KEPT)];
    Ok((headers, file.content).into_response())
}
