//! Access to a running server from inside the process, for tests and the control surface.

use std::sync::Arc;
use std::{fmt, io};

use url::Url;

use crate::assets::{Asset, ResourceType};
use crate::faults::Fault;
use crate::faults::InstalledFault;
use crate::http::traffic::Traffic;
use crate::notifications::NotificationCount;
use crate::state::State;

/// Installs faults, and reads assets and traffic. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    state: Arc<State>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// Returns the fault's id. It strikes requests that arrive from now on.
    pub fn install_fault(&self, fault: Fault) -> u64 {
        self.state.faults.install(fault)
    }

    /// `false` if no fault has that id.
    pub fn clear_fault(&self, id: u64) -> bool {
        self.state.faults.remove(id)
    }

    /// Requests that are struck already stay struck.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Spent faults included.
    pub fn faults(&self) -> Vec<InstalledFault> {
        self.state.faults.list()
    }

    pub fn assets(&self) -> Vec<Arc<Asset>> {
        self.state.store.all()
    }

    /// Of several clouds and delivery types, the first.
    pub fn asset(&self, resource_type: ResourceType, public_id: &str) -> Option<Arc<Asset>> {
        self.assets()
            .into_iter()
            .find(|asset| asset.identity.resource_type == resource_type && asset.identity.public_id == public_id)
    }

    /// The bytes of an asset. Fails also if the asset was replaced or removed meanwhile.
    pub async fn read(&self, asset: &Asset) -> io::Result<Vec<u8>> {
        tokio::fs::read(self.state.store.blob_path(asset)).await
    }

    /// Of all uploads since the start.
    pub fn traffic(&self) -> Traffic {
        self.state.counters.total()
    }

    /// Of the uploads for a public id since the start, refused ones included.
    pub fn traffic_of(&self, public_id: &str) -> Traffic {
        self.state.counters.of(public_id)
    }

    /// Who is told of everything from now on. Notifications that are on their way go to those before.
    pub fn notify(&self, addresses: Vec<Url>) {
        self.state.notifications.set_always(addresses);
    }

    /// Who is told of everything.
    pub fn notified(&self) -> Vec<Url> {
        self.state.notifications.always()
    }

    /// Since the start.
    pub fn notifications(&self) -> NotificationCount {
        self.state.notifications.sender.count()
    }

    pub fn base_url(&self) -> &str {
        &self.state.base_url
    }

    /// The `CLOUDINARY_URL` of the first account. It contains the secret.
    pub fn cloudinary_url(&self) -> String {
        let Some(account) = self.state.config.accounts.first() else { return String::new() };
        let (key, secret, cloud) = (&account.key, account.secret(), &account.cloud);
        format!("cloudinary://{key}:{secret}@{cloud}?upload_prefix={}", self.state.base_url)
    }
}
