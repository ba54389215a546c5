//! Getting the database ready, however long it stays away.

use std::os::fd::AsFd;
use std::time::Duration;

use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::server::{self, ServeOptions};
use crate::{App, Error, routes};

const RETRY: Duration = Duration::from_secs(1);
/// What is served meanwhile takes no time, so that nothing is worth waiting for.
const MEANWHILE: ServeOptions = ServeOptions {
    max_connections: 256,
    head_timeout: Duration::from_secs(10),
    shutdown_timeout: Duration::from_secs(1),
};

/// Prepares the connection. Only a `mongodb+srv` address takes time: while no name server resolves it, `listener` is served,
/// and [`routes::starting`] tells that the process lives.
pub(crate) async fn connect(config: &Config, listener: &TcpListener) -> Result<Store, Error> {
    let listener = same(listener).map_err(Error::Runtime)?;
    let connected = CancellationToken::new();
    let connecting = async {
        let store = resolve(&config.store).await;
        connected.cancel();
        store
    };
    let meanwhile = server::serve(listener, routes::starting(config), MEANWHILE, connected.cancelled());
    // In this order: an address that needs no name server is ready before anybody is served.
    let (store, ()) = tokio::join!(biased; connecting, meanwhile);
    Ok(store?)
}

/// Another handle of a socket.
fn same(listener: &TcpListener) -> std::io::Result<TcpListener> {
    TcpListener::from_std(listener.as_fd().try_clone_to_owned()?.into())
}

async fn resolve(config: &store::Config) -> Result<Store, store::Error> {
    loop {
        match Store::connect(config).await {
            Err(error) if error.is_transient() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot resolve MONGODB_URI yet; until then requests are answered with 503"
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[tokio::test]
    async fn while_no_name_server_knows_the_database_it_lives_and_takes_no_requests() {
        let uri = "--mongodb-uri=mongodb+srv://nowhere.invalid/";
        let args = crate::Args::try_parse_from(["api", "--steep-env=development", uri]).expect("arguments");
        let config = Config::from_args(args).expect("settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let connecting = tokio::spawn(async move { connect(&config, &listener).await });

        for (path, status) in [("/healthz", 200), ("/readyz", 503), ("/api/v1/users/current-user", 503)] {
            let answer = reqwest::get(format!("{url}{path}")).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{path}");
        }
        tokio::time::sleep(2 * RETRY).await;
        assert!(!connecting.is_finished(), "{:?}", connecting.await);
        assert_eq!(reqwest::get(format!("{url}/healthz")).await.expect("an answer").status().as_u16(), 200);
        connecting.abort();
    }
}
