//! `GET /api/v1/jobs`: the caller's own jobs, newest first.

use std::collections::BTreeSet;

use axum::extract::{RawQuery, State};
use messages::{AssetId, Job, UserId};
use store::{JobFilter, JobPage, JobState};

use super::cursor;
use super::views::JobSummary;
use crate::auth::Caller;
use crate::http::page::{self, number, values};
use crate::http::{Listing, Part, Problem};
use crate::openapi::{NeedsUser, Refusals, TakesParameters};
use crate::state::App;

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;
/// Assets that may be asked for at once.
const MAX_ASSETS: usize = 50;

/// Lists the user's jobs, newest first.
///
/// A filter may be sent several times or hold several values with commas between them: a job is listed if each filter has a value
/// that fits. An empty one is none. Of each job there is what `getJob` tells, without `attempts`, `waits` and `processing`.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    operation_id = "listJobs",
    params(
        ("state" = Option<Vec<String>>, Query, nullable = false, example = json!(["running", "retryable"]),
            description = "`pending`, `queued`, `running`, `retryable`, `completed`, `discarded` or `cancelled`"),
        ("kind" = Option<Vec<String>>, Query, nullable = false, example = json!(["media.upload.v1"]),
            description = "A kind of jobs, such as `media.upload.v1`"),
        ("asset" = Option<Vec<String>>, Query, nullable = false, example = json!(["65a1b2c3d4e5f60718293a01"]),
            description = "Ids of at most 50 assets"),
        ("limit" = Option<u64>, Query, description = "Jobs at once, 20 by default; above 100 it is 100", nullable = false,
            minimum = 1),
        ("cursor" = Option<String>, Query, nullable = false, pattern = "^([0-9a-f]{64})?$",
            description = "The `nextCursor` of the answer before. It belongs to the filters that were sent then; `limit` may be \
                another one"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "A part of the list", body = Listing<JobSummary>), Refusals<(NeedsUser, TakesParameters)>),
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    RawQuery(query): RawQuery,
) -> Result<Listing<JobSummary>, Problem> {
    let query = query.as_deref().unwrap_or_default();
    let wanted = filter(user.id, query)?;
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    let after = page::cursor(query, |text| cursor::read(&wanted, text))?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let JobPage { items, next } = app.store.jobs().list(&wanted, after.as_ref(), limit).await?;
    let data = items.into_iter().map(|job| JobSummary::new(&app, job, None)).collect();
    let next_cursor = next.map(|position| cursor::write(&wanted, &position));
    Ok(Part::new(data, next_cursor).listed("Jobs fetched successfully"))
}

fn filter(owner: UserId, query: &str) -> Result<JobFilter, Problem> {
    let state = |text: &str| JobState::ALL.into_iter().find(|state| state.as_str() == text);
    let kind = |text: &str| Job::KINDS.iter().copied().find(|kind| *kind == text);
    let asset = |text: &str| text.parse::<AssetId>().ok();
    let states = values(query, "state", state, || one_of(&JobState::ALL.map(JobState::as_str)))?;
    let kinds = values(query, "kind", kind, || one_of(Job::KINDS))?;
    let assets: BTreeSet<AssetId> = values(query, "asset", asset, || "24 hexadecimal digits".to_owned())?;
    if assets.len() > MAX_ASSETS {
        return Err(Problem::invalid("asset", format!("must be at most {MAX_ASSETS} assets")));
    }
    Ok(JobFilter { owner, states, kinds, assets })
}

fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<JobFilter, String> {
        filter(UserId::from_bytes([1; 12]), query).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn a_filter_may_be_repeated_or_hold_a_list_and_what_is_empty_is_none() {
        let both = BTreeSet::from([JobState::Queued, JobState::Running]);
        for query in [
            "state=queued&state=running",
            "state=running,queued",
            "state=running%2Cqueued,&state=",
            "state=%20running&state=queued,running&status=completed",
        ] {
            let wanted = read(query).expect("filters");
            assert_eq!((wanted.states, wanted.kinds.len(), wanted.assets.len()), (both.clone(), 0, 0), "{query}");
        }
        let wanted = read("kind=media.upload.v1&asset=65a1b2c3d4e5f60718293a01&state=").expect("filters");
        assert_eq!(
            (wanted.states.len(), wanted.kinds, wanted.assets.len()),
            (0, BTreeSet::from(["media.upload.v1"]), 1)
        );
    }

    #[test]
    fn a_filter_with_nonsense_is_refused_and_named() {
        let many: Vec<String> = (0..=MAX_ASSETS).map(|number| format!("{number:024x}")).collect();
        let many = format!("asset={}", many.join(","));
        for (query, field) in [
            ("state=sleeping", "state"),
            ("state=Running", "state"),
            ("state=running,sleeping", "state"),
            ("state=%ff", "state"),
            ("kind=media.upload", "kind"),
            ("kind=media.upload.v1&kind=1", "kind"),
            ("asset=65a1", "asset"),
            ("asset=65a1b2c3d4e5f60718293a01;65a1b2c3d4e5f60718293a02", "asset"),
            (&many, "asset"),
        ] {
            let problem = read(query).expect_err(query);
            assert!(problem.contains(&format!("field: \"{field}\"")), "{query}: {problem}");
        }
    }
}
