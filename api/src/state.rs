//! What every handler works with.

use std::sync::Arc;

use axum_extra::extract::cookie::SameSite;
use broker::Publisher;
use messages::{AssetId, JobId};
use spool::Spool;
use store::Store;
use tokio_util::task::TaskTracker;

use crate::auth::{AccessTokens, Passwords, RefreshTokens, TrustedProxies};
use crate::config::{Limits, SignInLimits};
use crate::uploads::admission::Pressure;
use crate::uploads::publishing::Publishing;

/// The state of the program. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) spool: Spool,
    pub(crate) publisher: Publisher,
    pub(crate) publishing: Publishing,
    pub(crate) passwords: Passwords,
    pub(crate) tokens: AccessTokens,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) sign_in_limits: SignInLimits,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) pressure: Pressure,
    pub(crate) limits: Limits,
    pub(crate) public_url: String,
    pub(crate) same_site: SameSite,
    pub(crate) tasks: TaskTracker,
}

impl App {
    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The spool that uploads go to.
    pub fn spool(&self) -> &Spool {
        &self.inner.spool
    }

    /// The connection to the broker.
    pub fn publisher(&self) -> &Publisher {
        &self.inner.publisher
    }

    pub(crate) fn publishing(&self) -> &Publishing {
        &self.inner.publishing
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    pub(crate) fn tokens(&self) -> &AccessTokens {
        &self.inner.tokens
    }

    pub(crate) fn refresh_tokens(&self) -> &RefreshTokens {
        &self.inner.refresh_tokens
    }

    pub(crate) fn sign_in_limits(&self) -> &SignInLimits {
        &self.inner.sign_in_limits
    }

    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.inner.trusted_proxies
    }

    pub(crate) fn pressure(&self) -> &Pressure {
        &self.inner.pressure
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Work that must end even if the client that began it has gone.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    /// With which requests from other sites browsers send the session's cookies.
    pub(crate) fn same_site(&self) -> SameSite {
        self.inner.same_site
    }

    /// Whether clients reach us over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.inner.public_url.starts_with("https:")
    }

    /// The address of an asset, which works from the moment it is accepted.
    pub fn media_url(&self, asset: AssetId) -> String {
        format!("{}/api/v1/media/{asset}", self.inner.public_url)
    }

    /// The address of a job.
    pub fn job_url(&self, job: JobId) -> String {
        format!("{}/api/v1/jobs/{job}", self.inner.public_url)
    }
}
