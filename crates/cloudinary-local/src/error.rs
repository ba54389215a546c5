//! Errors of the server itself. Mistakes of clients are [refusals](crate::http::refusal::Refusal).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },

    #[error("cannot use {path:?} for the assets: {source}")]
    Data { path: PathBuf, source: io::Error },

    #[error("{path:?} is in use by another cloudinary-local")]
    DataInUse { path: PathBuf },

    /// An asset's description cannot be read. Nothing is deleted: a person has to look.
    #[error("{path:?} does not describe an asset: {source}")]
    Metadata { path: PathBuf, source: serde_json::Error },

    #[error("the server failed: {0}")]
    Serve(#[source] io::Error),
}
