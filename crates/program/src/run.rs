//! One start-up and one shutdown for every program.

use std::error::Error as StdError;
use std::future::{Future, pending};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{LogArgs, TraceArgs, env_file, explain};

/// What a program ends with whose settings cannot work.
const CANNOT_WORK: u8 = 2;

/// Any error of a program. Its text becomes the line on standard error.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A program that has started.
pub trait Running {
    /// Completes when a part ends that should run until it is told to stop. That is a defect: the others are stopped and the
    /// program ends with 1. By default nothing ends by itself.
    fn ended(&mut self) -> impl Future<Output = BoxError> {
        pending()
    }

    /// Finishes what runs and ends. When `hurry` completes, it ends without waiting for what still runs.
    fn stop(self, hurry: impl Future<Output = ()>) -> impl Future<Output = ()>;
}

/// Runs a program: reads `.env` and the arguments, starts the threads, begins to log and to trace, then `body`. To be called first in
/// `main`. `told` says where the arguments hold those of the log, and of traces if there are to be any; programs that serve call
/// [`serve`] in `body`.
///
/// Ends with the code that `body` returns. Whatever keeps the program from starting is one line on standard error and code 2.
pub fn run<A: Parser>(
    program: &str,
    told: impl FnOnce(&A) -> (&LogArgs, Option<&TraceArgs>),
    body: impl AsyncFnOnce(A) -> Result<ExitCode, BoxError>,
) -> ExitCode {
    let started = || {
        // Before there are threads: they might read the environment meanwhile.
        env_file::read(Path::new(".env"))?;
        let arguments: A = arguments()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| format!("cannot start threads: {cause}"))?;
        let (log, traces) = told(&arguments);
        let traces = traces.map(|traces| traces.start(program, runtime.handle())).transpose()?.flatten();
        log.start(traces.as_ref())?;
        runtime.block_on(async {
            let ended = body(arguments).await;
            if let Some(traces) = traces {
                traces.end().await;
            }
            ended
        })
    };
    started().unwrap_or_else(|cause: BoxError| {
        // Not the log, which may be what is wrong. If nobody reads it there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{program}: {cause}");
        ExitCode::from(CANNOT_WORK)
    })
}

/// The arguments of this process and the variables in their place. Asked for help or the version, prints it and exits; so it does
/// for a command that needs another one behind it.
fn arguments<A: Parser>() -> Result<A, String> {
    A::try_parse().map_err(|error| {
        if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            error.exit();
        }
        explain::<A>(&error)
    })
}

/// Starts a program that runs until SIGTERM or SIGINT, and stops it then. A second signal hurries the stop. A signal during the
/// start ends the program at once.
///
/// Ends with 0 after a signal, with 1 after [`Running::ended`], with an error if it does not start. Nothing runs then.
pub async fn serve<R, E>(start: impl Future<Output = Result<R, E>>) -> Result<ExitCode, BoxError>
where
    R: Running,
    BoxError: From<E>,
{
    // Before anything starts: no signal may find the default, which is to die at once.
    let mut signals = Signals::listen().map_err(|cause| format!("cannot listen for signals: {cause}"))?;
    let mut running = tokio::select! {
        started = start => started?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let code = tokio::select! {
        cause = running.ended() => {
            tracing::error!(%cause, "stopping because of a defect");
            ExitCode::FAILURE
        }
        () = signals.next() => {
            tracing::info!("stopping; signal again to stop at once");
            ExitCode::SUCCESS
        }
    };
    running.stop(async { signals.next().await }).await;
    Ok(code)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    type Story = Arc<Mutex<Vec<&'static str>>>;

    struct Service {
        story: Story,
        has_defect: bool,
    }

    impl Running for Service {
        async fn ended(&mut self) -> BoxError {
            if self.has_defect { "the relay ended".into() } else { pending().await }
        }

        async fn stop(self, hurry: impl Future<Output = ()>) {
            self.story.lock().expect("story").push("stopping");
            if self.has_defect {
                return;
            }
            raise(Signal::INT);
            hurry.await;
            self.story.lock().expect("story").push("hurried");
        }
    }

    fn raise(signal: Signal) {
        kill_process(getpid(), signal).expect("a signal to this process");
    }

    // One test, because a signal goes to the whole process.
    #[tokio::test]
    async fn a_program_runs_until_a_signal_or_a_defect_and_a_second_signal_hurries() {
        let story = Story::default();
        let start = async {
            // Taken by the listener even though nothing waits for it yet.
            raise(Signal::TERM);
            Ok::<_, BoxError>(Service { story: Arc::clone(&story), has_defect: false })
        };
        assert_eq!(serve(start).await.expect("started"), ExitCode::SUCCESS);
        assert_eq!(*story.lock().expect("story"), ["stopping", "hurried"]);

        let story = Story::default();
        let start = async { Ok::<_, BoxError>(Service { story: Arc::clone(&story), has_defect: true }) };
        assert_eq!(serve(start).await.expect("started"), ExitCode::FAILURE);
        assert_eq!(*story.lock().expect("story"), ["stopping"]);

        let start = async {
            raise(Signal::TERM);
            pending::<Result<Service, BoxError>>().await
        };
        assert_eq!(serve(start).await.expect("a signal during the start"), ExitCode::SUCCESS);

        let start = async { Err::<Service, _>(crate::ConfigError::new("PORT", "a port that is free")) };
        assert_eq!(serve(start).await.expect_err("no port").to_string(), "PORT: expected a port that is free");
    }
}
