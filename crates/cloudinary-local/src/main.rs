use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use cloudinary_local::{Config, Error, Server};
use program::{BoxError, LogArgs};
use tokio::net::TcpListener;

/// A media host with Cloudinary's upload, admin and delivery API. It keeps the files in a folder.
///
/// Any Cloudinary SDK works with the CLOUDINARY_URL that it prints.
#[derive(Debug, Parser)]
#[command(name = "cloudinary-local", after_long_help = FAULTS)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "CLOUDINARY_LOCAL_LISTEN", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,

    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    log: LogArgs,
}

const FAULTS: &str = "\
Faults:
  Install them with --fault, or with --admin as JSON while the server runs:
    curl -d '{\"effect\":\"status\",\"status\":503,\"action\":\"upload\",\"times\":2}' localhost:8787/__admin/faults
    curl -X DELETE localhost:8787/__admin/faults

  Which requests (every field that is set must match):
    action=NAME  upload destroy rename explicit tags context metadata download ping usage resource resources
                 delete_resources update search deliver
    method=NAME  path=PART  public_id=PART
    skip=N       N requests pass first             times=N  strikes N requests; otherwise all

  effect=NAME    what happens:
    delay        ms=N at=MOMENT
    hang         at=MOMENT
    drop         closes the connection: at=MOMENT, or at=reading after_bytes=N
    status       status=N message=TEXT | html=PAGE, retry_after=SECONDS, at=MOMENT
    truncate     sends half of the answer
    rate_limit   420 with the rate limit headers: limit=N reset_seconds=N
    budget       420 beyond limit=N requests in window_seconds=N
    stale_request
    clock        the server's clock is off by offset_seconds=N
    slow_read    bytes_per_second=N
    wrong_etag   wrong_signature   wrong_bytes   never_done

  MOMENT is before_reading, before_storing or after_storing.

Durability:
  What was answered survives a killed process. Nothing is synced, so a power cut may take the last seconds.";

fn main() -> ExitCode {
    program::run(
        "cloudinary-local",
        |arguments: &Arguments| (&arguments.log, None),
        async |arguments| program::serve(start(arguments)).await,
    )
}

async fn start(Arguments { listen, config, .. }: Arguments) -> Result<Serving, BoxError> {
    let listener = TcpListener::bind(listen).await.map_err(|source| Error::Listen { address: listen, source })?;
    let (data, admin) = (config.data.clone(), config.admin);
    let server = Server::start(config, listener).await?;
    // Standard output gets only what is copied into another program's environment.
    writeln!(std::io::stdout(), "CLOUDINARY_URL={}", server.cloudinary_url())
        .map_err(|cause| format!("cannot write to standard output: {cause}"))?;
    tracing::info!(address = server.base_url(), data = %data.display(), admin, "listening");
    Ok(Serving(server))
}

struct Serving(cloudinary_local::Running);

impl program::Running for Serving {
    async fn stop(self, hurry: impl Future<Output = ()>) {
        tokio::select! {
            stopped = self.0.stop() => if let Err(error) = stopped {
                tracing::error!(%error, "the server did not stop in good order");
            },
            () = hurry => {}
        }
    }
}
