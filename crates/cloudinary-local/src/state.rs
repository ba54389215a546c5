//! What all requests share.

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::assets::delete_tokens::DeleteTokens;
use crate::assets::store::Store;
use crate::config::Config;
use crate::faults::Faults;
use crate::http::traffic::Counters;
use crate::upload::partials::Partials;

#[derive(Debug)]
pub(crate) struct State {
    pub config: Config,
    /// Where a client on the same machine reaches the server.
    pub base_url: String,
    /// Base of the URLs in replies, without a slash at the end.
    pub public_url: String,
    pub store: Store,
    pub partials: Partials,
    pub delete_tokens: DeleteTokens,
    pub faults: Faults,
    pub counters: Counters,
    /// Decoding pictures takes memory and processors; only so many do it at a time.
    pub transform_slots: Semaphore,
    /// Cancelled when the server stops: ends what only a fault keeps waiting.
    pub stopping: CancellationToken,
}
