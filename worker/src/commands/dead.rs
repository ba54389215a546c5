//! `worker dead`: the dead-letter queue.

use anyhow::{Context as _, bail};
use broker::{Admin, Config, DeadLetter, Publisher, Replayed, Which};
use time::OffsetDateTime;

use super::print;

/// The dead-letter queue.
#[derive(Debug, clap::Subcommand)]
pub enum Dead {
    /// The oldest dead letters: id, time, kind, bytes, queue, reason
    List {
        /// How many at most
        #[arg(long, value_name = "N", default_value = "100")]
        limit: usize,
    },
    /// One dead letter: all that is written on its outside, and its body
    Show {
        /// As `dead list` prints it
        #[arg(value_name = "ID")]
        id: String,
        /// Print the body alone, byte for byte
        #[arg(long)]
        raw: bool,
    },
    /// Publish dead letters to the queues of their jobs, and remove them here once the broker has confirmed that
    Replay {
        /// As `dead list` prints it
        #[arg(value_name = "ID", required_unless_present = "all")]
        id: Option<String>,
        /// All that are there now
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// Also those that this version cannot read, to the queues they came from: for workers of another version
        #[arg(long)]
        force: bool,
    },
}

impl Dead {
    pub(super) async fn run(self, broker: Config) -> anyhow::Result<()> {
        let config = broker.named("worker-dead");
        let admin = Admin::connect(&config).await?;
        let done = match self {
            Self::List { limit } => list(&admin, limit).await,
            Self::Show { id, raw } => show(&admin, &id, raw).await,
            Self::Replay { id, force, .. } => replay(&admin, &config, id.as_deref(), force).await,
        };
        admin.close().await;
        done
    }
}

async fn list(admin: &Admin, limit: usize) -> anyhow::Result<()> {
    // Afterwards some brokers take a moment to count those again that were let go.
    let there = admin.dead_depth().await?.unwrap_or(0);
    let letters = admin.dead_letters(limit).await?;
    let row = |letter: &DeadLetter| {
        [
            letter.id.clone(),
            died_at(letter),
            kind(letter),
            letter.body.len().to_string(),
            letter.queue.clone(),
            letter.reason.clone(),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    print::table(["ID", "TIME", "KIND", "BYTES", "QUEUE", "REASON"], &rows)?;
    if usize::try_from(there).is_ok_and(|there| there > rows.len()) {
        print::line(&format!("… of {there}: --limit shows more"))?;
    }
    Ok(())
}

async fn show(admin: &Admin, id: &str, raw: bool) -> anyhow::Result<()> {
    let found = admin.dead_letter(id).await?;
    let Some(letter) = found else { return Err(no_such(id)) };
    if raw {
        return print::raw(&letter.body);
    }
    let lines = [
        ("id", letter.id.clone()),
        ("time", died_at(&letter)),
        ("queue", letter.queue.clone()),
        ("reason", letter.reason.clone()),
        ("kind", kind(&letter)),
        ("reads as", letter.reads_as()),
        ("bytes", letter.body.len().to_string()),
    ];
    for (name, value) in lines {
        print::line(&format!("{name}: {value}"))?;
    }
    for (name, value) in &letter.outside {
        print::line(&format!("{name}: {value}"))?;
    }
    print::line("")?;
    print::body(&letter.body)
}

async fn replay(admin: &Admin, config: &Config, id: Option<&str>, force: bool) -> anyhow::Result<()> {
    let publisher = Publisher::start(config);
    publisher.connected().await;
    let replayed = replay_by(admin, &publisher, id, force).await;
    publisher.close().await;
    let (done, left) = replayed?;
    match id {
        Some(id) if done == 0 && left == 0 => return Err(no_such(id)),
        _ => print::line(&format!("replayed {done}, left {left}"))?,
    }
    if left > 0 {
        bail!("what this version cannot read was left; --force sends it to where it came from");
    }
    Ok(())
}

/// How many were replayed, and how many were met and left where they are.
async fn replay_by(admin: &Admin, publisher: &Publisher, id: Option<&str>, force: bool) -> anyhow::Result<(u64, u64)> {
    let (mut done, mut left, mut printed) = (0, 0, Ok(()));
    let replaying = admin.replay_dead(publisher, id.map_or(Which::All, Which::Of), force, |letter, replayed| {
        let line = match replayed {
            Replayed::To(to) => {
                done += 1;
                format!("{} to {to}", letter.id)
            }
            Replayed::Left => {
                left += 1;
                format!("{} left: {}", letter.id, letter.reads_as())
            }
        };
        printed = print::line(&line);
        printed.is_ok()
    });
    let replayed = replaying.await;
    printed?;
    replayed.with_context(|| format!("after {done} replayed"))?;
    Ok((done, left))
}

/// As the body says, or else as its sender wrote on the outside.
fn kind(letter: &DeadLetter) -> String {
    letter.kind().unwrap_or_else(|| "-".to_owned())
}

fn died_at(letter: &DeadLetter) -> String {
    let seconds = letter.died_at.and_then(|seconds| i64::try_from(seconds).ok());
    let at = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.map_or_else(|| "-".to_owned(), print::time)
}

fn no_such(id: &str) -> anyhow::Error {
    anyhow::anyhow!("there is no dead letter {id}; `worker dead list` shows those there are")
}
