//! A client for Cloudinary's Upload API, made for uploads that may be tried again.
//!
//! * A file is streamed from disk, in chunks if it is large, so memory does not grow with its size.
//! * Every upload names its asset and never overwrites one. Sending it again after a lost reply is therefore harmless: the
//!   second reply tells of the asset that the first made, and if its length and MD5 are ours that is a success.
//! * A reply is believed only if it says that an asset is stored, with our bytes, signed with our secret.
//! * An [`Error`] says what to do about it: try again, and when; give the file up; or call a person, because the account, the
//!   configuration or the clock is wrong, which is never the fault of whoever uploaded the file.
//!
//! The rules come from Cloudinary's Upload API reference and from what its official SDKs send.

#![warn(missing_docs)]

mod asset;
mod chunks;
mod classify;
mod client;
mod config;
mod error;
mod request;
pub mod signature;
mod upload;

pub use asset::{ResourceType, Stored, UnknownResourceType};
pub use chunks::Resume;
pub use classify::{Classified, ErrorClass, classify};
pub use client::{Client, Destroyed};
pub use config::{CloudinaryArgs, Config, ConfigError};
pub use error::{Error, Refusal};
pub use upload::Upload;
