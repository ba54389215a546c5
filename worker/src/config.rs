//! What a worker can be told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{ArgAction, Args, Command, FromArgMatches};
use outbound::Reach;
use program::{ConfigError, DAY, HOUR, MILLISECOND, MINUTE, SECOND, duration};
use store::Pace;

use crate::{RetryPolicy, jobs};

/// How a worker works. Times without a variable are changed by tests alone.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Jobs of a kind that run at once, such as media.upload=8,media.delete=4; what is not named keeps its default
    // Also the prefetch of the kind's queue. `None` is nothing between two commas.
    #[arg(long, env = "WORKER_CONCURRENCY", value_name = "KIND=N,...", value_delimiter = ',', value_parser = concurrency)]
    pub concurrency: Vec<Option<(&'static str, NonZeroU16)>>,

    /// As WORKER_CONCURRENCY=media.upload=N
    #[arg(long, env = "WORKER_UPLOADS", value_name = "N")]
    pub uploads: Option<NonZeroU16>,

    /// As WORKER_CONCURRENCY=media.delete=N
    #[arg(long, env = "WORKER_DELETES", value_name = "N")]
    pub deletes: Option<NonZeroU16>,

    /// As WORKER_CONCURRENCY=channel.recompute=N
    #[arg(long, env = "WORKER_RECOMPUTES", value_name = "N")]
    pub recomputes: Option<NonZeroU16>,

    /// How long a channel is not counted again, and longer if counting it takes long (100ms to 1h)
    #[arg(
        long, env = "WORKER_RECOMPUTE_PAUSE", value_name = "TIME", default_value = "1500ms",
        value_parser = duration(100 * MILLISECOND..=HOUR)
    )]
    pub recompute_pause: Duration,

    /// And how many times as long as counting it took.
    #[arg(skip = Pace::default().times_cost)]
    pub recompute_times_cost: u32,

    /// How often to look for channels whose subscriptions have changed, unless none have for a while.
    #[arg(skip = Duration::from_millis(250))]
    pub look_for_changes_every: Duration,

    /// How often the stored counts of a sample of users are compared with a recount
    #[arg(
        long, env = "WORKER_RECONCILE_EVERY", value_name = "TIME", default_value = "10m",
        value_parser = duration(SECOND..=DAY)
    )]
    pub reconcile_every: Duration,

    /// How many users such a sample has
    #[arg(long, env = "WORKER_RECONCILE_SAMPLE", value_name = "N", default_value = "100")]
    pub reconcile_sample: u32,

    /// How long a job's claim holds without renewal (5s to 5m); the same for all workers
    // It is renewed ten times as often. The broker's redelivery rescues the job of a dead worker earlier.
    #[arg(
        long, env = "WORKER_LEASE", value_name = "TIME", default_value = "30s",
        value_parser = duration(5 * SECOND..=5 * MINUTE)
    )]
    pub lease: Duration,

    /// How long after a connection to the broker was made others may still be coming back. Until then an absent worker counts
    /// as dead only if its claim was not renewed either.
    #[arg(skip = Duration::from_secs(20))]
    pub broker_settles_within: Duration,

    /// How long one attempt at a job may last (up to 22m: RabbitMQ ends a delivery after 30)
    #[arg(
        long, env = "WORKER_ATTEMPT_LIMIT", value_name = "TIME", default_value = "20m",
        value_parser = duration(SECOND..=22 * MINUTE)
    )]
    pub attempt_limit: Duration,

    /// How long a delivery waits for a database that does not answer before it is requeued.
    #[arg(skip = Duration::from_secs(60))]
    pub database_patience: Duration,

    /// Worker crashes after which a job is taken to be their cause.
    #[arg(skip = 3_u32)]
    pub max_crashes: u32,

    /// When failed jobs are tried again.
    #[command(flatten)]
    pub retry: RetryPolicy,

    /// When failed webhooks are tried again. With [`store::Webhooks::MAX_ATTEMPTS`] the delays sum to 22 hours on average.
    #[arg(skip = RetryPolicy {
        base: Duration::from_secs(5),
        cap: Duration::from_secs(3 * 60 * 60),
        operator_base: Duration::from_secs(30),
        operator_cap: Duration::from_secs(5 * 60),
    })]
    pub webhook_retry: RetryPolicy,

    /// Where webhooks may go.
    #[command(flatten)]
    pub reach: Reach,

    /// Whether Cloudinary is to convert images that not every browser shows (f_auto)
    #[arg(long, env = "WORKER_F_AUTO", action = ArgAction::Set, default_value_t = true)]
    pub f_auto: bool,

    /// How long after a deletion was asked for to look again for what was still arriving
    #[arg(
        long, env = "WORKER_SECOND_LOOK", value_name = "TIME", default_value = "1m",
        value_parser = duration(..=DAY)
    )]
    pub second_look: Duration,

    /// How long running jobs have to finish at shutdown before they are released to others
    #[arg(
        long, env = "WORKER_SHUTDOWN_LIMIT", value_name = "TIME", default_value = "25s",
        value_parser = duration(..=25 * MINUTE)
    )]
    pub shutdown_limit: Duration,

    /// How often the relay looks for jobs and events that nobody has published.
    #[arg(skip = Duration::from_secs(1))]
    pub relay_every: Duration,

    /// How often the relay looks for jobs whose message is lost.
    #[arg(skip = Duration::from_secs(10))]
    pub look_for_lost_every: Duration,

    /// How often to learn what people tell workers: which queues and users are paused, and which worker drains.
    #[arg(skip = Duration::from_secs(2))]
    pub learn_every: Duration,

    /// How often to tell that this worker lives.
    #[arg(skip = Duration::from_secs(5))]
    pub sign_every: Duration,

    /// How often to tell what has ended and what waits.
    #[arg(skip = Duration::from_secs(10))]
    pub roll_up_every: Duration,

    /// How often to look for files in the spool that nobody needs
    #[arg(
        long, env = "WORKER_SWEEP_EVERY", value_name = "TIME", default_value = "1m",
        value_parser = duration(SECOND..=DAY)
    )]
    pub sweep_every: Duration,

    /// How old such a file must be to be removed, by its volume's clock; longer than any upload lasts
    #[arg(
        long, env = "WORKER_SWEEP_GRACE", value_name = "TIME", default_value = "60m",
        value_parser = duration(MINUTE..=7 * DAY)
    )]
    pub sweep_grace: Duration,

    /// How long nobody may need it before; longer than MongoDB's transactionLifetimeLimitSeconds
    #[arg(
        long, env = "WORKER_SWEEP_SECOND_LOOK", value_name = "TIME", default_value = "70s",
        value_parser = duration(SECOND..=HOUR)
    )]
    pub sweep_second_look: Duration,

    /// Address and port of /healthz, /readyz and /metrics, such as 0.0.0.0:8001; not served if not given
    #[arg(long, env = "WORKER_HEALTH", value_name = "ADDRESS:PORT")]
    pub health: Option<SocketAddr>,
}

impl Settings {
    /// How often a claim is renewed.
    pub(crate) fn renew_every(&self) -> Duration {
        self.lease / 10
    }

    /// How soon a channel may be counted again.
    pub(crate) fn pace(&self) -> Pace {
        Pace { pause: self.recompute_pause, times_cost: self.recompute_times_cost }
    }

    /// How many jobs run at once, for each kind that was told.
    pub(crate) fn told_concurrency(&self) -> BTreeMap<&'static str, NonZeroU16> {
        let old =
            [("media.upload", self.uploads), ("media.delete", self.deletes), ("channel.recompute", self.recomputes)];
        let old = old.into_iter().filter_map(|(name, number)| Some((name, number?)));
        old.chain(self.concurrency.iter().copied().flatten()).collect()
    }

    /// Checks what no single value shows.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.retry.cap < self.retry.base {
            return Err(ConfigError::new("WORKER_RETRY_CAP", "a duration that is not shorter than WORKER_RETRY_BASE"));
        }
        Ok(())
    }
}

/// As without any argument or variable.
impl Default for Settings {
    #[expect(clippy::expect_used, reason = "every argument has a default, which a test reads")]
    fn default() -> Self {
        let command = Self::augment_args(Command::new("worker")).mut_args(|arg| arg.env(Resettable::Reset));
        Self::from_arg_matches(&command.get_matches_from(["worker"])).expect("the defaults")
    }
}

/// `media.upload=8`.
fn concurrency(text: &str) -> Result<Option<(&'static str, NonZeroU16)>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let (name, number) = text.split_once('=').unwrap_or((text, ""));
    let known = jobs::names().find(|known| *known == name.trim());
    known.zip(number.trim().parse().ok()).map(Some).ok_or_else(|| {
        let names: Vec<String> = jobs::names().map(|name| format!("{name}=N")).collect();
        format!("expected some of {} with N from 1 to 65535", names.join(","))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(args: &[&str]) -> Result<Settings, String> {
        let program = Program::try_parse_from([&["worker"], args].concat());
        let settings = program.map_err(|error| program::explain::<Program>(&error))?.settings;
        settings.check().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn the_defaults_are_those_of_the_program() {
        assert_eq!(format!("{:?}", settings(&[])), format!("{:?}", Ok::<_, String>(Settings::default())));
    }

    #[test]
    fn concurrency_is_told_by_kind_and_the_old_variables_still_count() {
        let told = settings(&["--uploads=3", "--deletes=5", "--concurrency=media.upload=7,channel.recompute=9"]);
        let told: Vec<(&str, u16)> =
            told.expect("settings").told_concurrency().into_iter().map(|(name, number)| (name, number.get())).collect();
        assert_eq!(told, [("channel.recompute", 9), ("media.delete", 5), ("media.upload", 7)]);
        assert!(settings(&["--concurrency="]).expect("settings").told_concurrency().is_empty());
        let told = settings(&["--concurrency=media.upload=7, media.delete=5,"]).expect("settings").told_concurrency();
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (argument, variable) in [
            ("--lease=1s", "WORKER_LEASE"),
            ("--attempt-limit=30m", "WORKER_ATTEMPT_LIMIT"),
            ("--retry-cap=1ms", "WORKER_RETRY_CAP"),
            ("--sweep-grace=0s", "WORKER_SWEEP_GRACE"),
            ("--uploads=0", "WORKER_UPLOADS"),
            ("--concurrency=media.upload=0", "WORKER_CONCURRENCY"),
            ("--concurrency=media.stamp=1", "WORKER_CONCURRENCY"),
            ("--concurrency=8", "WORKER_CONCURRENCY"),
        ] {
            let line = settings(&[argument]).expect_err("cannot work");
            assert!(line.starts_with(variable) && line.contains("expected"), "{line}");
        }
    }
}
