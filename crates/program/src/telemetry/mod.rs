//! Traces: spans of what the programs do, sent to a collector by OTLP over HTTP.
//!
//! A span of the library `tracing` is exported if its target is `"otel"`, and then it is in no line of the log. One of level DEBUG begins
//! wherever it is met, if need be as the root of a trace. One of level TRACE is part of something: outside of a trace there is none.
//!
//! Without a collector nothing is installed: such a span costs a look at a flag. A collector that is away costs the spans, and
//! nothing else: they wait in a queue of limited length for a thread of its own, and what finds no room is lost.

mod collector;
mod trace_context;

use opentelemetry::KeyValue;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::{Layer, Registry};
use url::Url;

use crate::value::SECOND;
use crate::{BoxError, ConfigError};
use collector::Collector;
pub use trace_context::{TraceContext, begin_trace, rename};

/// The target of spans that are exported. In macros it stands as text.
pub(crate) const SPANS: &str = "otel";
const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Where traces go, and which.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceArgs {
    /// Address of a collector of traces (OTLP over HTTP), such as http://127.0.0.1:4318; by default there are no traces
    // As OpenTelemetry has it, an empty value is none.
    #[arg(long, env = VARIABLE, value_name = "URL", hide_env_values = true)]
    pub otel_exporter_otlp_endpoint: Option<String>,

    /// Share of requests that are traced, from 0 to 1; one that comes with a trace follows that
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "SHARE", default_value = "1", value_parser = share)]
    pub otel_traces_sampler_arg: f64,
}

/// What sends spans, from a thread of its own.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl TraceArgs {
    /// Begins to export, if there is a collector. Requests to it are sent on `threads`.
    pub(crate) fn start(&self, program: &str, threads: &Handle) -> Result<Option<Traces>, BoxError> {
        let given = self.otel_exporter_otlp_endpoint.as_deref().filter(|text| !text.trim().is_empty());
        let Some(endpoint) = given.map(endpoint).transpose().map_err(|wrong| ConfigError::new(VARIABLE, wrong))? else {
            return Ok(None);
        };
        let address = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(threads.clone())?)
            .with_endpoint(address)
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|cause| ConfigError::new(VARIABLE, format!("an address to send to, but {cause}")))?;
        let of_program = [
            KeyValue::new("service.name", format!("steep-{program}")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ];
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_attributes(of_program).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(self.otel_traces_sampler_arg))))
            .build();
        Ok(Some(Traces { provider }))
    }
}

impl Traces {
    /// How long the last spans may take.
    const END: std::time::Duration = SECOND.saturating_mul(2);

    pub(crate) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("steep"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        let filter = dynamic_filter_fn(|metadata, _| is_exported(metadata))
            .with_callsite_filter(|metadata| match metadata.target() {
                SPANS => Interest::sometimes(),
                _ => Interest::never(),
            })
            .with_max_level_hint(LevelFilter::TRACE);
        spans.with_filter(filter).boxed()
    }

    /// Sends what waits to be sent, for a moment, and ends.
    pub(crate) async fn end(self) {
        // It blocks.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(Self::END)).await;
        if let Ok(Err(cause)) = ended {
            tracing::debug!(%cause, "the last spans are not sent");
        }
    }
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    let begins_anywhere = *metadata.level() < Level::TRACE;
    metadata.target() == SPANS && (begins_anywhere || opentelemetry::Context::current().has_active_span())
}

fn endpoint(text: &str) -> Result<Url, String> {
    let fits = |url: &Url| {
        let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && url.fragment().is_none()
    };
    let url = Url::parse(text).ok().filter(fits);
    url.ok_or_else(|| "an http or https address without credentials, such as http://127.0.0.1:4318".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        traces: TraceArgs,
    }

    #[test]
    fn without_a_collector_nothing_is_started() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for other in ["--otel-traces-sampler-arg=0.5", "--otel-exporter-otlp-endpoint="] {
            let args = Args::try_parse_from(["program", other]).expect("arguments");
            assert!(args.traces.start("program", runtime.handle()).expect("nothing").is_none());
        }
    }

    #[test]
    fn what_is_no_address_of_a_collector_is_refused() {
        assert!(endpoint("http://127.0.0.1:4318").is_ok() && endpoint("https://collector.example/otlp/").is_ok());
        for text in
            ["", "127.0.0.1:4318", "ftp://a.example", "http://u:s3cret@a.example", "http://a.example/?key=s3cret"]
        {
            assert!(!endpoint(text).expect_err(text).contains("s3cret"));
        }
        for text in ["", "all", "-0.1", "1.1", "NaN"] {
            assert!(share(text).is_err(), "{text}");
        }
        assert_eq!((share("0"), share("0.25"), share("1")), (Ok(0.0), Ok(0.25), Ok(1.0)));
    }
}
