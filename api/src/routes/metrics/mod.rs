//! `/metrics`, on an address of its own: it is for whoever runs the program, and needs no sign-in.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use meters::{Program, Scrape};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::health;
use crate::Error;
use crate::state::App;

/// The program, as soon as there is one, and the token that tells it to stop.
type Starting = Arc<OnceLock<(App, CancellationToken)>>;

/// Serves `/metrics` until it is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) address: SocketAddr,
    program: Starting,
    _server: AbortOnDropHandle<()>,
    _upkeep: AbortOnDropHandle<()>,
}

impl Metrics {
    /// Begins to record and to serve. A port in use stops the program at its start.
    pub(crate) async fn start(address: SocketAddr) -> Result<Self, Error> {
        let refused = |cause| Error::ListenMetrics { address, cause };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(Error::Runtime)?;
        meters::set_routes(super::described().split_for_parts().1.paths.paths.into_keys());
        meters::record(Program::Api);
        let program = Starting::default();
        let router = Router::new().route("/metrics", get(metrics)).with_state(Arc::clone(&program));
        let serve = async move {
            if let Err(cause) = axum::serve(listener, router).await {
                tracing::error!(%cause, "/metrics is served no more");
            }
        };
        let server = AbortOnDropHandle::new(tokio::spawn(serve));
        let upkeep = AbortOnDropHandle::new(tokio::spawn(meters::upkeep()));
        Ok(Self { address, program, _server: server, _upkeep: upkeep })
    }

    /// Tells more from here on: the program has started, and `stop` tells it to stop.
    pub(crate) fn started(&self, app: &App, stop: &CancellationToken) {
        // Set once, here.
        let _ = self.program.set((app.clone(), stop.clone()));
    }
}

async fn metrics(State(program): State<Starting>) -> impl IntoResponse {
    let scrape = Scrape::default();
    scrape.flag(&meters::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], true);
    match program.get() {
        Some((app, stop)) => {
            set(app, &scrape).await;
            scrape.flag(&meters::DRAINING, &[], stop.is_cancelled());
        }
        None => scrape.flag(&meters::READY, &[], false),
    }
    ([(header::CONTENT_TYPE, meters::CONTENT_TYPE)], scrape.text())
}

async fn set(app: &App, scrape: &Scrape) {
    let (store, broker) = &app.gauges;
    let (readiness, (), ()) =
        tokio::join!(health::readiness(app), store.set(&app.store, scrape), broker.set(&app.publisher, scrape));
    scrape.flag(&meters::READY, &[], readiness.ready);
    scrape.count(&meters::EVENT_STREAMS, &[], app.events.count() as u64);
    let Some((bytes, inodes)) = app.uploads.free() else { return };
    scrape.count(&meters::SPOOL_FREE_BYTES, &[], bytes);
    if let Some(inodes) = inodes {
        scrape.count(&meters::SPOOL_FREE_INODES, &[], inodes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use store::ResourceType;

    use crate::http::ProblemKind;

    fn values(label: &meters::Label) -> BTreeSet<&'static str> {
        (label.values)().iter().copied().collect()
    }

    #[test]
    fn the_metrics_know_every_problem_and_every_type_of_file() {
        let slugs = ProblemKind::ALL.iter().map(|kind| kind.row().1);
        assert_eq!(values(&meters::UPLOADS_REFUSED.metric.labels[0]), slugs.collect());
        let types = [ResourceType::Image, ResourceType::Video].map(ResourceType::as_str);
        assert_eq!(values(&meters::UPLOADS_ACCEPTED.metric.labels[1]), types.into());
    }

    #[test]
    fn the_metrics_know_every_status_that_is_documented_and_every_field_that_takes_files() {
        let document = serde_json::to_value(super::super::described().split_for_parts().1).expect("JSON");
        let mut statuses = BTreeSet::new();
        let operations = document["paths"].as_object().expect("paths").values();
        for operation in operations.flat_map(|path| path.as_object().expect("operations").values()) {
            statuses.extend(operation["responses"].as_object().into_iter().flat_map(|responses| responses.keys()));
        }
        let known = values(&meters::HTTP_REQUEST.metric.labels[2]);
        let unknown: Vec<_> = statuses.iter().filter(|status| !known.contains(status.as_str())).collect();
        assert!(unknown.is_empty() && statuses.len() > 10, "{unknown:?} of {statuses:?}");

        let schemas = document["components"]["schemas"].as_object().expect("schemas").values();
        let properties = schemas.filter_map(|schema| schema["properties"].as_object()).flatten();
        let files = properties.filter(|(_, property)| property["format"] == "binary").map(|(name, _)| name.as_str());
        assert_eq!(values(&meters::UPLOADS_ACCEPTED.metric.labels[0]), files.collect());
    }
}
