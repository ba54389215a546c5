//! An asset: its identity, its metadata, and how replies show it.

use std::collections::BTreeMap;
use std::fmt;

pub use cloudinary::ResourceType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Who may fetch an asset. Part of its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryType {
    /// Anyone.
    Upload,
    /// Transformed: anyone. As uploaded: only with a signed URL.
    Private,
    /// Only with a signed URL.
    Authenticated,
}

impl DeliveryType {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "upload" => Some(Self::Upload),
            "private" => Some(Self::Private),
            "authenticated" => Some(Self::Authenticated),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Private => "private",
            Self::Authenticated => "authenticated",
        }
    }
}

impl fmt::Display for DeliveryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What makes two uploads the same asset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    pub cloud: String,
    pub resource_type: ResourceType,
    #[serde(rename = "type")]
    pub delivery_type: DeliveryType,
    /// The public id, with its folders.
    pub public_id: String,
}

impl Identity {
    pub fn new(
        cloud: impl Into<String>,
        resource_type: ResourceType,
        delivery_type: DeliveryType,
        public_id: impl Into<String>,
    ) -> Self {
        Self { cloud: cloud.into(), resource_type, delivery_type, public_id: public_id.into() }
    }
}

/// What the client says about an asset. It can change without new bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// In the order given, without duplicates.
    pub tags: Vec<String>,
    /// Keys and values of the client's own.
    pub context: BTreeMap<String, String>,
    /// There is no schema, so every field is accepted.
    pub metadata: BTreeMap<String, String>,
    /// Where dynamic folders show the asset. Does not change the public id.
    pub asset_folder: String,
    /// What dynamic folders call the asset.
    pub display_name: String,
    /// `pending`, `approved` or `rejected`, once somebody was to look at it. It is delivered all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moderation: Option<String>,
}

/// The metadata of a stored asset, as it is written to disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    #[serde(flatten)]
    pub identity: Identity,
    /// 32 hex digits. A rename or a replacement does not change it.
    pub asset_id: String,
    /// Unix seconds of storage. Grows with every replacement, even within one second.
    pub version: u64,
    /// 32 hex digits, new for every version.
    pub version_id: String,
    /// Unix seconds when these bytes were stored.
    pub created_at: i64,
    pub bytes: u64,
    /// In lower-case hex. Replies call it `etag`.
    pub md5: String,
    /// `jpg`, `mp4`, ...; raw assets have none.
    pub format: Option<String>,
    /// In pixels, where known.
    pub width: Option<u32>,
    /// In pixels, where known.
    pub height: Option<u32>,
    /// Name of the uploaded file without folders and extension.
    pub original_filename: Option<String>,
    pub labels: Labels,
}

impl Asset {
    /// The name of the file with the bytes of this version.
    pub(crate) fn blob(&self) -> String {
        format!("{}.{}", self.asset_id, self.version)
    }

    /// The path of its delivery URL, without the leading slash.
    pub(crate) fn delivery_path(&self) -> String {
        let Identity { cloud, resource_type, delivery_type, public_id } = &self.identity;
        let id = percent_encoding::utf8_percent_encode(public_id, PATH);
        let extension = self.format.as_ref().map(|format| format!(".{format}")).unwrap_or_default();
        format!("{cloud}/{}/{delivery_type}/v{}/{id}{extension}", resource_type.as_str(), self.version)
    }

    /// The fields that all replies about an asset share. `public_url` is the base of the URLs.
    pub(crate) fn describe(&self, public_url: &str) -> Map<String, Value> {
        let Identity { resource_type, delivery_type, public_id, .. } = &self.identity;
        let url = format!("{public_url}/{}", self.delivery_path());
        let Value::Object(mut fields) = json!({
            "asset_id": self.asset_id,
            "public_id": public_id,
            "version": self.version,
            "version_id": self.version_id,
            "resource_type": resource_type,
            "type": delivery_type,
            "created_at": rfc3339(self.created_at),
            "tags": self.labels.tags,
            "bytes": self.bytes,
            "etag": self.md5,
            "placeholder": false,
            "url": url,
            "secure_url": url,
            "asset_folder": self.labels.asset_folder,
            "display_name": self.labels.display_name,
        }) else {
            return Map::new();
        };
        let mut add = |name: &str, value: Option<Value>| value.map(|value| fields.insert(name.to_owned(), value));
        add("format", self.format.clone().map(Value::from));
        add("width", self.width.map(Value::from));
        add("height", self.height.map(Value::from));
        add("pages", (*resource_type == ResourceType::Image).then(|| Value::from(1)));
        add("original_filename", self.original_filename.clone().map(Value::from));
        let (context, metadata) = (&self.labels.context, &self.labels.metadata);
        add("context", (!context.is_empty()).then(|| json!({ "custom": context })));
        add("metadata", (!metadata.is_empty()).then(|| json!(metadata)));
        let moderation = self.labels.moderation.as_ref();
        add("moderation", moderation.map(|status| json!([{ "kind": "manual", "status": status }])));
        fields
    }
}

/// Characters that need no escape in the path of a URL (RFC 3986, section 3.3), and the slash.
const PATH: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// `2011-08-04T12:33:24Z` for Unix seconds.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}
