//! A client for Cloudinary's Upload API. Its uploads can be repeated.
//!
//! * A small file is opened once and read at once. A large one is sent in chunks, and read in pieces meanwhile, so memory does
//!   not grow with its size. It is summed up as it is read, off the async threads; one that was damaged since is not stored.
//! * Every upload names its asset and overwrites none. Repeating it after a lost reply is harmless: the second reply
//!   shows the asset of the first, and if length and MD5 are ours, the upload has succeeded.
//! * A reply counts only if it shows an asset with our bytes and is signed with our secret.
//! * An [`Error`] has a [class](ErrorClass): retry, discard, or call a person, because account, configuration or clock
//!   is wrong, which is never the user's fault.
//!
//! The rules come from Cloudinary's Upload API reference and from what its official SDKs send.

#![warn(missing_docs)]

mod asset;
mod checksum;
mod chunks;
mod classify;
mod client;
mod config;
mod error;
pub mod notification;
mod request;
pub mod signature;
mod source;
mod spans;
mod upload;

pub use asset::{ResourceType, Stored};
pub use checksum::Checksum;
pub use chunks::Resume;
pub use classify::ErrorClass;
pub use client::{Client, Destroyed};
pub use config::{CloudinaryArgs, Config};
pub use error::{Error, Mismatch, Refusal};
pub use notification::{Notification, Verifier};
pub use upload::Upload;
