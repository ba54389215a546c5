//! Blocking work, such as reading files and decoding pictures.

use crate::http::refusal::Refusal;

/// Runs `work` on a thread of its own. It finishes even if the request is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Io(std::io::Error::other(error)))?
}
