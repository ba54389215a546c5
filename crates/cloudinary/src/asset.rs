//! An asset as Cloudinary describes it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// SDKs have seen this in place of a number that Cloudinary does not know.
const UNKNOWN: u64 = u32::MAX as u64;

/// How Cloudinary treats an asset. Part of the asset's identity: it is found only under the type that it was uploaded
/// as. Audio is `video`, a PDF is `image`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceType {
    /// Pictures and PDFs.
    Image,
    /// Video and audio.
    Video,
    /// Everything else, kept as it is.
    Raw,
}

impl ResourceType {
    /// The name in paths and replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Raw => "raw",
        }
    }

    /// The type of that name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Image, Self::Video, Self::Raw].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// An asset that Cloudinary holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Together with the resource type it addresses the asset.
    pub public_id: String,
    /// Cloudinary's own id, which survives renaming.
    pub asset_id: Option<String>,
    /// When these bytes were stored, in Unix seconds. Changes when they are replaced.
    pub version: u64,
    /// Where it is delivered, over https if the host supports it.
    pub secure_url: String,
    /// Its length.
    pub bytes: u64,
    /// Its MD5, in lower-case hex.
    pub etag: Option<String>,
    /// `jpg`, `mp4`, ...; raw assets have none.
    pub format: Option<String>,
    /// In pixels.
    pub width: Option<u64>,
    /// In pixels.
    pub height: Option<u64>,
    /// In seconds; video and audio only.
    pub duration: Option<f64>,
    /// Whether it existed before the request.
    pub existing: bool,
}

impl Stored {
    /// `None` unless the reply describes an asset that exists, which a status of 200 does not prove. Unknown fields are
    /// ignored, and odd values of optional ones count as missing.
    pub(crate) fn from_reply(reply: &Value) -> Option<Self> {
        if reply.get("error").is_some() || flag(reply, "placeholder") || !is_complete(reply) {
            return None;
        }
        Some(Self {
            public_id: text(reply, "public_id")?,
            asset_id: text(reply, "asset_id"),
            version: reply.get("version")?.as_u64()?,
            secure_url: text(reply, "secure_url")?,
            bytes: reply.get("bytes")?.as_u64()?,
            etag: text(reply, "etag"),
            format: text(reply, "format"),
            width: number(reply, "width"),
            height: number(reply, "height"),
            duration: reply.get("duration").and_then(Value::as_f64),
            existing: flag(reply, "existing"),
        })
    }

    /// Whether the asset has this length and this MD5 (hex). Without an etag it matches nothing: an equal length proves
    /// too little.
    pub fn holds(&self, bytes: u64, md5: &str) -> bool {
        self.bytes == bytes && self.etag.as_deref().is_some_and(|etag| etag.eq_ignore_ascii_case(md5))
    }
}

/// Whether a reply is about a whole asset. The reply to a chunk before the last has `done: false`; that to an upload in
/// one piece has no `done`.
pub(crate) fn is_complete(reply: &Value) -> bool {
    reply.get("done").and_then(Value::as_bool) != Some(false)
}

fn text(reply: &Value, key: &str) -> Option<String> {
    reply.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn number(reply: &Value, key: &str) -> Option<u64> {
    reply.get(key).and_then(Value::as_u64).filter(|number| *number != UNKNOWN)
}

fn flag(reply: &Value, key: &str) -> bool {
    reply.get(key).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_with_new_fields_and_odd_values_is_still_read() {
        let stored = Stored::from_reply(&json!({
            "public_id": "a/b", "version": 1_312_461_204, "bytes": 5_000_000_000_u64, "secure_url": "https://x/a/b.mp4",
            "width": 4_294_967_295_u64, "height": "tall", "duration": 12, "etag": "", "tags": [], "new": {"thing": 1},
        }))
        .unwrap();
        assert_eq!(stored.bytes, 5_000_000_000);
        assert_eq!((stored.width, stored.height, stored.duration), (None, None, Some(12.0)));
        assert_eq!(stored.etag, None);
        assert!(!stored.existing);
    }

    #[test]
    fn a_reply_that_tells_of_no_stored_asset_is_refused() {
        let good = json!({"public_id": "a", "version": 1, "bytes": 1, "secure_url": "https://x/a"});
        assert!(Stored::from_reply(&good).is_some());
        for (key, value) in [
            ("public_id", Value::Null),
            ("public_id", json!("")),
            ("secure_url", Value::Null),
            ("bytes", json!("1")),
            ("version", Value::Null),
            ("done", json!(false)),
            ("placeholder", json!(true)),
            ("error", json!({"message": "no"})),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(Stored::from_reply(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn bytes_alone_do_not_prove_that_an_asset_is_ours() {
        let mut reply = json!({"public_id": "a", "version": 1, "bytes": 3, "secure_url": "u", "etag": "ABCD"});
        assert!(Stored::from_reply(&reply).unwrap().holds(3, "abcd"));
        assert!(!Stored::from_reply(&reply).unwrap().holds(4, "abcd"));
        assert!(!Stored::from_reply(&reply).unwrap().holds(3, "abce"));
        reply["etag"] = Value::Null;
        assert!(!Stored::from_reply(&reply).unwrap().holds(3, "abcd"));
    }

    #[test]
    fn resource_types_read_what_they_write() {
        for kind in [ResourceType::Image, ResourceType::Video, ResourceType::Raw] {
            assert_eq!(ResourceType::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), json!(kind.as_str()));
        }
        assert_eq!(ResourceType::parse("auto"), None);
    }
}
