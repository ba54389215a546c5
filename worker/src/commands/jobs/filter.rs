//! Which jobs a command is about.

use anyhow::bail;
use messages::{AssetId, Job, UserId};
use store::{ErrorGroupId, JobState, Search, Store};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Jobs that fit everything that is given.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct Filter {
    /// In this state; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<JobState>,
    /// Of this kind; may be repeated
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<String>,
    /// Of a queue, such as media.upload.here, or of those of all spools, such as media.upload
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Of a user, by name or id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Whose latest failure is in this group, as `jobs errors` prints it
    #[arg(long, value_name = "ID")]
    error_group: Option<ErrorGroupId>,
    /// Of which this worker has made an attempt
    #[arg(long, value_name = "WORKER")]
    worker: Option<String>,
    /// About an asset
    #[arg(long, value_name = "ID")]
    asset: Option<AssetId>,
    /// Accepted at this time or later, such as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<OffsetDateTime>,
    /// Accepted before this time
    #[arg(long = "to", value_name = "TIME", value_parser = time)]
    until: Option<OffsetDateTime>,
}

fn state(text: &str) -> Result<JobState, String> {
    let known = JobState::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or_else(|| format!("expected one of {}", JobState::ALL.map(JobState::as_str).join(", ")))
}

pub(super) fn kind(text: &str) -> Result<String, String> {
    if Job::KINDS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected one of {}", Job::KINDS.join(", ")))
}

fn time(text: &str) -> Result<OffsetDateTime, &'static str> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "expected a time such as 2026-01-02T03:04:05Z")
}

impl Filter {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) async fn search(self, store: &Store) -> anyhow::Result<Search> {
        let owner = match self.user {
            None => None,
            Some(user) => match user.parse::<UserId>() {
                Ok(id) => Some(id),
                Err(_) => match store.users().by_name(&user).await? {
                    None => bail!("--user: there is no user of that name"),
                    found => found,
                },
            },
        };
        Ok(Search {
            states: self.states.into_iter().collect(),
            kinds: self.kinds.into_iter().collect(),
            queue: self.queue,
            owner,
            error_group: self.error_group,
            worker: self.worker,
            asset: self.asset,
            from: self.from,
            until: self.until,
        })
    }
}
