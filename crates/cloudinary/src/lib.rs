//! A client for Cloudinary's Upload API.

pub mod signature;
