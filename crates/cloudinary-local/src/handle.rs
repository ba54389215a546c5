//! The view from inside the process: for tests and for the control surface.

use std::sync::Arc;
use std::{fmt, io};

use crate::assets::{Asset, ResourceType};
use crate::faults::Fault;
use crate::faults::InstalledFault;
use crate::http::traffic::Traffic;
use crate::state::State;

/// Installs faults and looks at what arrived and what is stored. Cheap to clone.
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

    /// Installs a fault and returns its id. It strikes requests that arrive from now on.
    pub fn install_fault(&self, fault: Fault) -> u64 {
        self.state.faults.install(fault)
    }

    /// Clears one fault; `false` if there is none of that id.
    pub fn clear_fault(&self, id: u64) -> bool {
        self.state.faults.remove(id)
    }

    /// Clears all faults. Requests that one has struck already stay struck.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// The faults that are installed, the spent ones too.
    pub fn faults(&self) -> Vec<InstalledFault> {
        self.state.faults.list()
    }

    /// All stored assets.
    pub fn assets(&self) -> Vec<Arc<Asset>> {
        self.state.store.all()
    }

    /// The asset of that resource type and public id, of whichever cloud and delivery type comes first.
    pub fn asset(&self, resource_type: ResourceType, public_id: &str) -> Option<Arc<Asset>> {
        self.assets()
            .into_iter()
            .find(|asset| asset.identity.resource_type == resource_type && asset.identity.public_id == public_id)
    }

    /// The bytes of an asset.
    ///
    /// # Errors
    ///
    /// The file cannot be read, for one because the asset was replaced or removed meanwhile.
    pub async fn read(&self, asset: &Asset) -> io::Result<Vec<u8>> {
        tokio::fs::read(self.state.store.blob_path(asset)).await
    }

    /// What arrived in all upload requests since the start.
    pub fn traffic(&self) -> Traffic {
        self.state.counters.total()
    }

    /// What arrived in upload requests for that public id since the start, whether or not they were granted.
    pub fn traffic_of(&self, public_id: &str) -> Traffic {
        self.state.counters.of(public_id)
    }

    /// Where the server listens, as a client on the same machine writes it.
    pub fn base_url(&self) -> &str {
        &self.state.base_url
    }

    /// A `CLOUDINARY_URL` that makes SDKs talk to this server, for the first account. It contains the secret.
    pub fn cloudinary_url(&self) -> String {
        let Some(account) = self.state.config.accounts.first() else { return String::new() };
        let (key, secret, cloud) = (&account.key, account.secret(), &account.cloud);
        format!("cloudinary://{key}:{secret}@{cloud}?upload_prefix={}", self.state.base_url)
    }
}
