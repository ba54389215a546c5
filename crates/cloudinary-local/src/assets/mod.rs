//! Stored assets, and the calls that look them up, change them or delete them.

mod asset;

pub(crate) mod admin_api;
pub(crate) mod bulk_labels;
pub(crate) mod delete_tokens;
pub(crate) mod file_type;
pub(crate) mod manage;
pub(crate) mod public_id;
pub(crate) mod reply;
pub(crate) mod search;
pub(crate) mod staged_file;
pub(crate) mod store;

pub(crate) use asset::rfc3339;
pub use asset::{Asset, DeliveryType, Identity, Labels, ResourceType};
