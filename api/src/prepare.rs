//! Getting the database ready, however long it stays away.

use std::time::Duration;

use store::Store;
use tokio_util::sync::CancellationToken;

use crate::App;

const RETRY: Duration = Duration::from_secs(1);

/// Prepares the connection, waiting for a name server if the address needs one.
pub(crate) async fn connect(config: &store::Config) -> Result<Store, store::Error> {
    loop {
        match Store::connect(config).await {
            Err(error) if error.is_transient() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot resolve MONGODB_URI yet; trying again"
                );
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

/// Makes the indexes as soon as the database answers. Until then nobody can register, because nothing would keep two users
/// from having one name.
pub(crate) async fn indexes(app: App, stop: CancellationToken) {
    loop {
        match app.store().ensure_indexes().await {
            Ok(()) => {
                app.pressure().database_is_prepared();
                tracing::info!("mongodb is ready");
                return;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "waiting for mongodb; requests that need it are answered with 503");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}
