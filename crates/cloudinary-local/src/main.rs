//! The program: arguments, log, signals.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use cloudinary_local::{Config, Error, Server};
use program::LogArgs;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A local stand-in for Cloudinary: upload, admin and delivery API, with the files in a folder.
///
/// Point any Cloudinary SDK at it with the CLOUDINARY_URL that it prints.
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
  Given with --fault, or while running as JSON with --admin:
    curl -d '{\"effect\":\"status\",\"status\":503,\"action\":\"upload\",\"times\":2}' localhost:8787/__admin/faults
    curl -X DELETE localhost:8787/__admin/faults

  Which requests (all that is given must fit):
    action=NAME  upload destroy rename explicit tags context metadata download ping usage resource resources
                 delete_resources search deliver
    method=NAME  path=PART  public_id=PART
    skip=N       let N requests pass first         times=N  strike N requests; otherwise all

  effect=NAME    what happens:
    delay        ms=N at=MOMENT
    hang         at=MOMENT
    drop         close the connection: at=MOMENT, or at=reading after_bytes=N
    status       status=N message=TEXT | html=PAGE, retry_after=SECONDS, at=MOMENT
    truncate     send half of the answer
    rate_limit   420 with the rate limit headers: limit=N reset_seconds=N
    budget       420 beyond limit=N requests in window_seconds=N
    stale_request
    clock        the server's clock is off by offset_seconds=N
    slow_read    bytes_per_second=N
    wrong_etag   wrong_signature   never_done

  MOMENT is before_reading, before_storing or after_storing.

Durability:
  What was answered survives a killed process. Nothing is synced, so a power cut may take the last seconds.";

fn main() -> ExitCode {
    let arguments: Arguments = match program::arguments() {
        Ok(arguments) => arguments,
        Err(cause) => return refuse(&cause.to_string()),
    };
    if let Err(cause) = arguments.log.start() {
        return refuse(&cause.to_string());
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => refuse(&cause),
    }
}

#[tokio::main]
async fn run(Arguments { listen, config, .. }: Arguments) -> Result<(), String> {
    let no_signals = |cause| format!("cannot listen for signals: {cause}");
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let unusable = |source| Error::Listen { address: listen, source }.to_string();
    let listener = TcpListener::bind(listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let (data, admin) = (config.data.clone(), config.admin);
    let server = Server::open(config, address).map_err(|error| error.to_string())?;

    // The one thing that belongs on standard output: what to copy into another program's environment.
    writeln!(std::io::stdout(), "CLOUDINARY_URL={}", server.handle().cloudinary_url())
        .map_err(|cause| format!("cannot write to standard output: {cause}"))?;
    tracing::info!(%address, data = %data.display(), admin, "listening");
    let told_to_stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    server.serve(listener, told_to_stop).await.map_err(|error| error.to_string())
}

fn refuse(cause: &str) -> ExitCode {
    program::refuse("cloudinary-local", cause)
}
