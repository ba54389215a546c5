//! Uploads that are nobody's avatar, and the bytes of every upload.

pub(crate) mod bytes;
pub(crate) mod handlers;
pub(crate) mod preview;
pub(crate) mod views;
