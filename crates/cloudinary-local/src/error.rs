//! What can keep the server from starting or from running on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure of the server itself. What a client does wrong is answered over HTTP and never gets here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be listened on, usually because it is taken.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },

    /// The folder that holds the assets cannot be made, read or written.
    #[error("cannot use {path:?} for the assets: {source}")]
    Data {
        /// The file or folder that was tried.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Another server works on the same folder.
    #[error("{path:?} is in use by another cloudinary-local")]
    DataInUse {
        /// The folder.
        path: PathBuf,
    },

    /// An asset's description on disk cannot be understood. Nothing is deleted: a person has to look.
    #[error("{path:?} does not describe an asset: {source}")]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },

    /// The listener failed.
    #[error("the listener failed: {0}")]
    Serve(#[source] io::Error),

    /// The client that fetches remote files could not be built.
    #[error("cannot build the HTTP client for remote files: {0}")]
    Client(#[from] reqwest::Error),
}
