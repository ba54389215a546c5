//! A server that speaks Cloudinary's upload, admin and delivery API and keeps the files on disk.
//!
//! It is the media host of development and tests, and it injects faults. Official SDKs work against it unchanged, with
//! a `CLOUDINARY_URL` that has an `upload_prefix`. It does what Cloudinary documents or was seen to do, error texts
//! included. Where that is unknown, a comment says what was chosen.
//!
//! In a test:
//!
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use cloudinary_local::{Config, Effect, Fault, Moment, Server};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let media = Server::start(Config::new("some/folder"), listener).await?;
//! let lost_reply = Effect::Drop { at: Moment::AfterStoring, after_bytes: 0 };
//! media.handle().install_fault(Fault::new(lost_reply).on("upload").times(1));
//! // ... upload to media.base_url(), lose the reply, try again ...
//! assert_eq!(media.handle().assets().len(), 1);
//! media.stop().await?;
//! # Ok(()) }
//! ```
//!
//! What was answered survives a restart and a SIGKILL. Nothing is synced, so a power cut may take the last seconds.
//!
//! Missing: incoming transformations, add-ons, access control lists, delivery of remote sources, and chunks
//! by part number. Part numbers are refused, because ignoring them would lose data; the other parameters are ignored.

mod assets;
mod config;
mod credentials;
mod delivery;
mod error;
mod faults;
mod handle;
mod http;
mod notifications;
mod state;
mod upload;

pub use assets::{Asset, DeliveryType, Identity, Labels, ResourceType};
pub use config::{Account, Config, FutureSkew, MAX_REQUEST, MIN_CHUNK};
pub use error::Error;
pub use faults::{Effect, Fault, InstalledFault, Moment, When};
pub use handle::Handle;
pub use http::server::{Running, Server};
pub use http::traffic::Traffic;
pub use notifications::NotificationCount;
