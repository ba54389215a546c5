//! The state that all requests share.

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::assets::delete_tokens::DeleteTokens;
use crate::assets::store::Store;
use crate::config::Config;
use crate::faults::Faults;
use crate::http::traffic::Counters;
use crate::notifications::Notifications;
use crate::upload::partials::Partials;

#[derive(Debug)]
pub(crate) struct State {
    pub config: Config,
    /// Where a client on the same machine reaches the server.
    pub base_url: String,
    /// The base of URLs in replies, without a slash at the end.
    pub public_url: String,
    pub store: Store,
    pub partials: Partials,
    pub delete_tokens: DeleteTokens,
    pub faults: Faults,
    pub counters: Counters,
    pub notifications: Notifications,
    /// Bounds how many pictures are decoded at once, for the sake of memory and processors.
    pub transform_slots: Semaphore,
    /// Cancelled when the server stops. Ends the requests that a fault keeps waiting.
    pub stopping: CancellationToken,
}
