//! A server that speaks Cloudinary's upload, admin and delivery API and keeps the files on disk.
//!
//! It is the default media host of a development run, the far end of tests, and a fault injector. Official SDKs work
//! against it unchanged, given a `CLOUDINARY_URL` with an `upload_prefix`. Where Cloudinary's behaviour is documented or was
//! observed it is followed, error texts included; where it is unknown the choice is noted in the code.
//!
//! In a test:
//!
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use cloudinary_local::{Config, Effect, Fault, Moment, Server};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let media = Server::start(Config::new("some/folder"), listener).await?;
//! media.handle().install_fault(Fault::new(Effect::Drop { at: Moment::AfterStoring, after_bytes: 0 }).on("upload").times(1));
//! // ... upload to media.base_url(), lose the reply, try again ...
//! assert_eq!(media.handle().assets().len(), 1);
//! media.stop().await?;
//! # Ok(()) }
//! ```
//!
//! What was answered survives a restart and a SIGKILL. It is not synced to disk, so a power cut may take the last seconds.
//!
//! Not imitated: webhooks, incoming transformations, add-ons, access control lists, uneven chunks by part number, and
//! delivery of remote sources. Their parameters are accepted and have no effect, apart from part numbers, which would
//! silently lose data and are refused.

mod assets;
mod config;
mod credentials;
mod delivery;
mod error;
mod faults;
mod handle;
mod http;
mod state;
mod upload;

pub use assets::{Asset, DeliveryType, Identity, Labels, ResourceType};
pub use config::{Account, Config, FutureSkew, MAX_REQUEST, MIN_CHUNK};
pub use error::Error;
pub use faults::{Effect, Fault, InstalledFault, Moment, When};
pub use handle::Handle;
pub use http::server::{Running, Server};
pub use http::traffic::Traffic;
