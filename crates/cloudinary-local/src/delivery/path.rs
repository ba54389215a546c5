//! The path of a delivery URL, below the delivery type.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::assets::public_id::is_version;

/// `[s--<signature>--/][<transformation>/...][v<version>/]<public id>[.<extension>]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryPath<'a> {
    pub signature: Option<&'a str>,
    /// The transformations, in the order in which they apply.
    pub steps: Vec<&'a str>,
    /// The public id, perhaps with an extension that is not part of it.
    pub id: String,
}

impl<'a> DeliveryPath<'a> {
    /// Takes a path apart. The last segment is always the id; a first folder that looks like a transformation can only
    /// be reached behind a version, which is why SDKs insert `v1`.
    pub(crate) fn parse(path: &'a str) -> Self {
        let mut segments: Vec<&str> = path.split('/').collect();
        let mut take_if = |fits: fn(&str) -> bool| {
            let first = segments.first().copied().filter(|first| segments.len() > 1 && fits(first))?;
            segments.remove(0);
            Some(first)
        };
        let signature = take_if(|segment| segment.len() > 6 && segment.starts_with("s--") && segment.ends_with("--"));
        let signature = signature.map(|text| text.trim_start_matches("s--")).and_then(|text| text.strip_suffix("--"));
        let mut steps = Vec::new();
        while let Some(step) = take_if(is_transformation) {
            steps.push(step);
        }
        take_if(is_version);
        Self { signature, steps, id: segments.join("/") }
    }

    /// Whether the signature is that of this path. Neither version nor types are covered by it.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let Some(signature) = self.signature else { return false };
        let mut text = self.steps.join("/");
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(&self.id);
        text.push_str(secret);
        let (sha1, sha256) = (URL_SAFE.encode(Sha1::digest(&text)), URL_SAFE.encode(Sha256::digest(&text)));
        let forms = [sha1.get(..8), sha256.get(..8), sha256.get(..32)];
        forms.contains(&Some(signature))
    }
}

/// Whether every comma-separated part of a segment reads `<one to three letters>_<value>`.
fn is_transformation(segment: &str) -> bool {
    segment.split(',').all(|part| {
        part.split_once('_').is_some_and(|(name, value)| {
            (1..=3).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase()) && !value.is_empty()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> (Option<&str>, Vec<&str>, String) {
        let DeliveryPath { signature, steps, id } = DeliveryPath::parse(path);
        (signature, steps, id)
    }

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(parts("sample.jpg"), (None, vec![], "sample.jpg".to_owned()));
        assert_eq!(parts("v1/a/b"), (None, vec![], "a/b".to_owned()));
        assert_eq!(parts("c_fill,h_300/f_auto/v12/x.png"), (None, vec!["c_fill,h_300", "f_auto"], "x.png".to_owned()));
        assert_eq!(parts("s--lGdq5NKO--/v1/sample.jpg"), (Some("lGdq5NKO"), vec![], "sample.jpg".to_owned()));
    }

    #[test]
    fn an_id_that_looks_like_something_else_is_still_an_id() {
        assert_eq!(parts("w_1"), (None, vec![], "w_1".to_owned()));
        assert_eq!(parts("v1/w_1/pic"), (None, vec![], "w_1/pic".to_owned()));
        assert_eq!(parts("v1"), (None, vec![], "v1".to_owned()));
        assert_eq!(parts("user_photos/1"), (None, vec![], "user_photos/1".to_owned()));
    }

    #[test]
    fn signatures_agree_with_the_sdks() {
        for path in [
            "s--lGdq5NKO--/sample.jpg",
            "s--lGdq5NKO--/v7/sample.jpg",
            "s--ZpqZj1Oc--/sample.jpg",
            "s--ZpqZj1Oc4nbeNu4FrlHDZCbYtTcdr4st--/sample.jpg",
            "s--9WMXJKN7--/c_fill,h_300,w_400/v1/sample.jpg",
        ] {
            assert!(DeliveryPath::parse(path).is_signed_with("abcd"), "{path}");
        }
        for path in ["s--lGdq5NKO--/other.jpg", "sample.jpg", "s--lGdq5NKP--/sample.jpg"] {
            assert!(!DeliveryPath::parse(path).is_signed_with("abcd"), "{path}");
        }
    }
}
