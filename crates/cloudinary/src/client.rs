//! The client, and its operations without a file.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use reqwest::redirect;
use serde_json::Value;

use crate::asset::{ResourceType, Stored};
use crate::config::Config;
use crate::error::Error;
use crate::request::{Clock, Operation, Post};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Load balancers drop idle connections after some minutes. Both keep ours from being dropped.
const KEEPALIVE: Duration = Duration::from_secs(60);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A client of one account. Clones share connections and the offset of the server's clock.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    /// The client's settings.
    pub config: Arc<Config>,
    pub(crate) clock: Arc<Clock>,
    /// See [`Client::rate_limit_remaining`]; less than nothing if that is not known.
    pub(crate) allowance: Arc<AtomicI64>,
}

/// What a deletion found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// The asset, which is deleted now.
    Deleted,
    /// Nothing. So it is after a lost reply, or with a wrong resource type.
    NotFound,
}

impl Client {
    /// The client connects at its first request. Fails if TLS cannot be set up.
    pub fn new(config: Config) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("steep/", env!("CARGO_PKG_VERSION")))
            // As official SDKs do. With one upload a connection, none waits for another.
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            // The API never redirects an upload, and a signed body is for no other server.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(Error::Setup)?;
        let allowance = Arc::new(AtomicI64::new(-1));
        Ok(Self { http, config: Arc::new(config), clock: Arc::default(), allowance })
    }

    /// Deletes an asset, and its copies in the delivery network. A second call is harmless. After [`Error::Transport`]
    /// the asset may be deleted.
    pub async fn destroy(&self, resource_type: ResourceType, public_id: &str) -> Result<Destroyed, Error> {
        let mut fields = vec![("public_id", public_id), ("invalidate", "true")];
        fields.extend(self.config.notification_field());
        let path = [resource_type.as_str(), "destroy"];
        let reply = self.post(&Post { operation: Operation::Deletion, path, fields: &fields, file: None }).await?;
        if reply.is_absent() {
            return Ok(Destroyed::NotFound);
        }
        match self.accept(&reply)?.get("result").and_then(Value::as_str) {
            Some("ok") => Ok(Destroyed::Deleted),
            Some("not found") => Ok(Destroyed::NotFound),
            _ => Err(self.unreadable(&reply)),
        }
    }

    /// Looks an asset up. It sees every finished upload, and counts against the hourly quota of the Admin API.
    pub async fn lookup(&self, resource_type: ResourceType, public_id: &str) -> Result<Option<Stored>, Error> {
        let mut path = vec!["resources", resource_type.as_str(), "upload"];
        path.extend(public_id.split('/'));
        let reply = self.get(Operation::LookUp, &path).await?;
        if reply.is_absent() {
            return Ok(None);
        }
        let stored = Stored::from_reply(&self.accept(&reply)?).ok_or_else(|| self.unreadable(&reply))?;
        Ok(Some(Stored { existing: true, ..stored }))
    }
}
