//! What a worker can be told: arguments and environment of the program, settings of the library.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use store::Pace;

use crate::{Error, RetryPolicy};

/// How a worker works. The defaults suit production; tests shorten the times.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Uploads that run at once, which is also the prefetch of their queue.
    pub uploads: NonZeroU16,
    /// Deletions that run at once, which is also the prefetch of their queue.
    pub deletes: NonZeroU16,
    /// Channels that are counted at once, which is also the prefetch of their queue.
    pub recomputes: NonZeroU16,
    /// How soon a channel may be counted again.
    pub pace: Pace,
    /// How often to look for channels whose subscriptions have changed.
    pub look_for_changes_every: Duration,
    /// How often a sample of users is compared with a recount.
    pub reconcile_every: Duration,
    /// How many users that sample has.
    pub reconcile_sample: u32,
    /// How long a claim holds without being renewed. It is renewed ten times as often. A job whose worker is gone is
    /// rescued by the broker's redelivery at once, and after this time at the latest. The same for all workers.
    pub lease: Duration,
    /// How long after a connection to the broker was made others may still be coming back. Until then an absent worker counts
    /// as dead only if its claim was not renewed either.
    pub broker_settles_within: Duration,
    /// How long one delivery may work. RabbitMQ closes the channel of a consumer that holds a delivery for 30 minutes.
    pub attempt_limit: Duration,
    /// How long a delivery waits for a database that does not answer before it goes back to its queue.
    pub database_patience: Duration,
    /// Worker crashes after which a job is taken to be their cause.
    pub max_crashes: u32,
    /// When failed jobs are tried again.
    pub retry: RetryPolicy,
    /// After deleting an asset whose upload may still be under way: when to look again.
    pub second_look: Duration,
    /// How long running jobs have to finish at shutdown before they are released to others.
    pub shutdown_limit: Duration,
    /// How often the relay looks for jobs that nobody has published.
    pub relay_every: Duration,
    /// How often the relay looks for jobs whose message is lost.
    pub look_for_lost_every: Duration,
    /// How often the sweeper looks for files that nobody needs.
    pub sweep_every: Duration,
    /// How old a file must be before the sweeper may take it. It must be longer than any upload lasts.
    pub sweep_grace: Duration,
    /// Where `/healthz` and `/readyz` are served, if at all.
    pub health: Option<SocketAddr>,
}

impl Settings {
    /// How often a claim is renewed.
    pub(crate) fn renew_every(&self) -> Duration {
        self.lease / 10
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uploads: at_least_one(8),
            deletes: at_least_one(4),
            recomputes: at_least_one(2),
            pace: Pace::default(),
            look_for_changes_every: Duration::from_millis(250),
            reconcile_every: Duration::from_secs(10 * 60),
            reconcile_sample: 100,
            lease: Duration::from_secs(30),
            broker_settles_within: Duration::from_secs(20),
            attempt_limit: Duration::from_secs(20 * 60),
            database_patience: Duration::from_secs(60),
            max_crashes: 3,
            retry: RetryPolicy::default(),
            second_look: Duration::from_secs(60),
            shutdown_limit: Duration::from_secs(25),
            relay_every: Duration::from_secs(1),
            look_for_lost_every: Duration::from_secs(10),
            sweep_every: Duration::from_secs(60),
            sweep_grace: Duration::from_secs(60 * 60),
            health: None,
        }
    }
}

const fn at_least_one(number: u16) -> NonZeroU16 {
    match NonZeroU16::new(number) {
        Some(number) => number,
        None => NonZeroU16::MIN,
    }
}

/// How the worker works.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    /// Uploads that run at once
    #[arg(long, env = "WORKER_UPLOADS", value_name = "N", default_value = "8")]
    pub uploads: NonZeroU16,

    /// Deletions that run at once
    #[arg(long, env = "WORKER_DELETES", value_name = "N", default_value = "4")]
    pub deletes: NonZeroU16,

    /// Channels that are counted at once
    #[arg(long, env = "WORKER_RECOMPUTES", value_name = "N", default_value = "2")]
    pub recomputes: NonZeroU16,

    /// How long a channel is not counted again, and longer if counting it takes long (100ms to 1h)
    #[arg(long, env = "WORKER_RECOMPUTE_PAUSE", value_name = "TIME", default_value = "1500ms", value_parser = duration)]
    pub recompute_pause: Duration,

    /// How often the stored counts of a sample of users are compared with a recount
    #[arg(long, env = "WORKER_RECONCILE_EVERY", value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub reconcile_every: Duration,

    /// How many users such a sample has
    #[arg(long, env = "WORKER_RECONCILE_SAMPLE", value_name = "N", default_value = "100")]
    pub reconcile_sample: u32,

    /// How long a job's claim holds without renewal (5s to 5m); the same for all workers
    #[arg(long, env = "WORKER_LEASE", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub lease: Duration,

    /// How long one attempt at a job may last (up to 22m, because RabbitMQ ends a delivery after 30 and one may wait before)
    #[arg(long, env = "WORKER_ATTEMPT_LIMIT", value_name = "TIME", default_value = "20m", value_parser = duration)]
    pub attempt_limit: Duration,

    /// Upper bound of the delay before the second attempt; it doubles with every further one
    #[arg(long, env = "WORKER_RETRY_BASE", value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub retry_base: Duration,

    /// Upper bound of the delay before any attempt
    #[arg(long, env = "WORKER_RETRY_CAP", value_name = "TIME", default_value = "30m", value_parser = duration)]
    pub retry_cap: Duration,

    /// After deleting what may still be arriving at the media host: how long after the deletion was asked for to look again
    #[arg(long, env = "WORKER_SECOND_LOOK", value_name = "TIME", default_value = "1m", value_parser = duration)]
    pub second_look: Duration,

    /// How long running jobs have to finish at shutdown before they are released to others
    #[arg(long, env = "WORKER_SHUTDOWN_LIMIT", value_name = "TIME", default_value = "25s", value_parser = duration)]
    pub shutdown_limit: Duration,

    /// How often to look for files in the spool that nobody needs
    #[arg(long, env = "WORKER_SWEEP_EVERY", value_name = "TIME", default_value = "1m", value_parser = duration)]
    pub sweep_every: Duration,

    /// How old such a file must be before it is removed; longer than any upload lasts
    #[arg(long, env = "WORKER_SWEEP_GRACE", value_name = "TIME", default_value = "60m", value_parser = duration)]
    pub sweep_grace: Duration,

    /// Address and port of /healthz and /readyz, such as 0.0.0.0:8001; not served if not given
    #[arg(long, env = "WORKER_HEALTH", value_name = "ADDRESS:PORT")]
    pub health: Option<SocketAddr>,
}

impl WorkerArgs {
    /// The settings these arguments stand for.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a time that cannot work.
    pub fn settings(&self) -> Result<Settings, Error> {
        let minute = Duration::from_secs(60);
        within("WORKER_LEASE", self.lease, Duration::from_secs(5), 5 * minute)?;
        within("WORKER_RECOMPUTE_PAUSE", self.recompute_pause, minute / 600, 60 * minute)?;
        within("WORKER_RECONCILE_EVERY", self.reconcile_every, Duration::from_secs(1), 24 * 60 * minute)?;
        within("WORKER_ATTEMPT_LIMIT", self.attempt_limit, Duration::from_secs(1), 22 * minute)?;
        within("WORKER_RETRY_BASE", self.retry_base, Duration::from_millis(1), 60 * minute)?;
        within("WORKER_RETRY_CAP", self.retry_cap, self.retry_base, 24 * 60 * minute)?;
        within("WORKER_SECOND_LOOK", self.second_look, Duration::ZERO, 24 * 60 * minute)?;
        within("WORKER_SHUTDOWN_LIMIT", self.shutdown_limit, Duration::ZERO, 25 * minute)?;
        within("WORKER_SWEEP_EVERY", self.sweep_every, Duration::from_secs(1), 24 * 60 * minute)?;
        within("WORKER_SWEEP_GRACE", self.sweep_grace, minute, 7 * 24 * 60 * minute)?;
        Ok(Settings {
            uploads: self.uploads,
            deletes: self.deletes,
            recomputes: self.recomputes,
            pace: Pace { pause: self.recompute_pause, ..Pace::default() },
            reconcile_every: self.reconcile_every,
            reconcile_sample: self.reconcile_sample,
            lease: self.lease,
            attempt_limit: self.attempt_limit,
            retry: RetryPolicy { base: self.retry_base, cap: self.retry_cap, ..RetryPolicy::default() },
            second_look: self.second_look,
            shutdown_limit: self.shutdown_limit,
            sweep_every: self.sweep_every,
            sweep_grace: self.sweep_grace,
            health: self.health,
            ..Settings::default()
        })
    }
}

fn within(variable: &'static str, given: Duration, least: Duration, most: Duration) -> Result<(), Error> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    let [least, most, given] = [least, most, given].map(written);
    Err(Error::Config { variable, expected: format!("a time from {least} to {most}, but was given {given}") })
}

/// Each unit in milliseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

/// A time as [`duration`] reads it.
fn written(time: Duration) -> String {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, unit): &&(&str, u64)| milliseconds >= *unit && milliseconds % *unit == 0;
    let (name, unit) = UNITS.iter().find(fits).copied().unwrap_or(("s", 1000));
    format!("{}{name}", milliseconds / unit)
}

/// `500ms`, `30s`, `20m`, `24h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = UNITS.iter().find(|(name, _)| *name == unit).map_or(0, |(_, milliseconds)| *milliseconds);
    let number = number.parse::<u64>().ok().filter(|_| milliseconds > 0);
    let total = number.and_then(|number| number.checked_mul(milliseconds));
    total.map(Duration::from_millis).ok_or_else(|| "expected a whole number and ms, s, m or h, such as 30s".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        worker: WorkerArgs,
    }

    fn settings(args: &[&str]) -> Result<Settings, Error> {
        Program::try_parse_from([&["worker"], args].concat()).expect("arguments").worker.settings()
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("20m"), Ok(Duration::from_secs(1200)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for text in ["", "s", "30", "-1s", "1.5s", "30 s", "30x", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for text in ["0s", "500ms", "30s", "90s", "25m", "24h"] {
            assert_eq!(duration(text).map(written).as_deref(), Ok(text));
        }
    }

    #[test]
    fn the_programs_defaults_are_the_librarys() {
        let from_program = settings(&[]).expect("defaults");
        assert_eq!(format!("{from_program:?}"), format!("{:?}", Settings::default()));
    }

    #[test]
    fn a_time_that_cannot_work_is_refused_by_name() {
        for (args, variable) in [
            (["--lease", "1s"], "WORKER_LEASE"),
            (["--attempt-limit", "30m"], "WORKER_ATTEMPT_LIMIT"),
            (["--retry-cap", "1ms"], "WORKER_RETRY_CAP"),
            (["--sweep-grace", "0s"], "WORKER_SWEEP_GRACE"),
        ] {
            let error = settings(&args).expect_err("cannot work").to_string();
            assert!(error.starts_with(variable) && error.contains(args[1]), "{error}");
        }
    }
}
