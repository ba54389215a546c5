//! Acting on all jobs that match a filter.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use messages::ActionId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{Act, BulkDecision, JobRecord, JobState, NewBulkAction, Search};
use url::form_urlencoded;
use utoipa::ToSchema;

use super::bulk_views::{BulkActionView, BulkActionsView, CountedView, ExampleView, position, written};
use crate::auth::{AdminReader, AdminWriter, ClientAddress};
use crate::http::page::{self, number};
use crate::http::{Answer, Envelope, Json, PathId, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsAdmin, NotActedUpon, Refusals, TakesId, TakesJson, TakesParameters};
use crate::routes::admin::audited::{Acted, By, audited, audited_later};
use crate::routes::admin::jobs::filter;
use crate::state::App;

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;
/// How far jobs are counted that an action is for.
const CAP: u64 = 10_000;
/// Jobs that a dry run shows.
const EXAMPLES: usize = 10;
/// Parts of a search that are looked at for them.
const LOOKS: usize = 5;

/// What to do, and on which jobs.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewBulkAction)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewActionBody {
    /// `retry`, `discard` or `cancel`.
    #[schema(value_type = String, required, example = "retry")]
    pub(crate) action: Option<String>,
    /// Which jobs: what `GET /api/v1/admin/jobs` takes, each a text or a list of them. Nothing stands for all jobs.
    #[schema(value_type = Object, required, example = json!({"state": ["discarded"], "kind": ["media.upload.v1"]}))]
    pub(crate) filter: Option<Map<String, Value>>,
    /// Whether to tell what would be done, and do nothing.
    #[schema(nullable = false)]
    pub(crate) dry_run: Option<bool>,
    /// How many jobs the dry run told of. If there are others by now, nothing is done.
    #[schema(nullable = false)]
    pub(crate) expected: Option<u64>,
}

/// What an action would be done on, or is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkActionAccepted)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkView {
    /// How many jobs match.
    pub(crate) matched: CountedView,
    /// Ten of them, the newest; nothing unless it is a dry run.
    pub(crate) examples: Vec<ExampleView>,
    /// The action; null if it is a dry run.
    #[schema(required)]
    pub(crate) action: Option<BulkActionView>,
}

/// Retries, discards or cancels all jobs that match a filter.
///
/// A dry run says how many that are, and shows ten. Otherwise a job does it, in the background: the action tells how far it has come, and
/// can be stopped. Only jobs are touched that exist now. A filter that names nothing is refused. There is nothing to undo but a discard, by
/// a retry.
#[utoipa::path(
    post,
    path = "/api/v1/admin/jobs/actions",
    operation_id = "actOnJobs",
    request_body = NewActionBody,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "What would be done", body = Envelope<BulkView>),
        (status = 202, description = "A job does it", body = Envelope<BulkView>,
            headers(("Location" = String, description = "The action"))),
        Refusals<(NeedsAdmin, TakesJson, ChangesThings, NotActedUpon)>,
    ),
)]
pub(super) async fn start(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    Json(body): Json<NewActionBody>,
) -> Result<Answer<BulkView>, Problem> {
    let view = begin(&app, &By::new(&admin, from), body).await?;
    let Some(action) = &view.action else {
        return Ok(Answer::ok(view, "Nothing is done: this is what would be"));
    };
    let location = format!("{}/api/v1/admin/jobs/actions/{}", app.public_url, action.id);
    Ok(Answer::new(StatusCode::ACCEPTED, view, "A job does it").located(Some(location)))
}

/// The same for any page.
pub(crate) async fn begin(app: &App, by: &By, body: NewActionBody) -> Result<BulkView, Problem> {
    let decision = decision(body.action.as_deref())?;
    let query = query(body.filter.unwrap_or_default())?;
    filter::only(&query, &[])?;
    let wanted = filter::read(app, &query).await?;
    if wanted.is_empty() {
        return Err(Problem::invalid("filter", "names nothing: say which jobs"));
    }
    let wanted = narrowed(decision, wanted)?;
    let cap = body.expected.map_or(CAP, |expected| expected.saturating_add(1).max(CAP));
    let counted = app.store.jobs().count(&wanted, cap).await?;
    let matched = CountedView { count: counted.count, at_least: counted.more };
    if body.dry_run == Some(true) {
        return Ok(BulkView { matched, examples: examples(app, &wanted).await?, action: None });
    }
    if let Some(expected) = body.expected
        && (counted.count > expected || (!counted.more && counted.count != expected))
    {
        let detail = format!("{} jobs match by now, and {expected} were expected: look again", matched.count);
        return Err(Problem::new(ProblemKind::NotPossible, detail));
    }
    let detail = format!("{} where {query}", decision.as_str());
    let act = Act { detail: Some(detail), ..by.does("jobs.act") };
    let (store, who, from) = (app.store.clone(), act.by.clone(), act.from.clone());
    let action = audited_later(app, act, move |audit| async move {
        let matched_more = counted.more;
        let new =
            NewBulkAction { decision, filter: wanted, by: who, from, audit, matched: counted.count, matched_more };
        Ok(store.bulk().begin(new).await?)
    });
    let action = action.await?;
    Ok(BulkView { matched, examples: Vec::new(), action: Some(BulkActionView::new(action)) })
}

fn decision(name: Option<&str>) -> Result<BulkDecision, Problem> {
    let found = BulkDecision::ALL.into_iter().find(|decision| Some(decision.as_str()) == name);
    found.ok_or_else(|| Problem::invalid("action", "must be one of retry, discard, cancel"))
}

/// The filter as a query has it.
fn query(filter: Map<String, Value>) -> Result<String, Problem> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in filter {
        let values = match value {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text],
            Value::Array(values) => {
                let texts = values.into_iter().map(|value| match value {
                    Value::String(text) => Some(text),
                    _ => None,
                });
                let texts: Option<Vec<String>> = texts.collect();
                texts.ok_or_else(|| Problem::invalid(name.clone(), "must be a text, or a list of texts"))?
            }
            _ => return Err(Problem::invalid(name, "must be a text, or a list of texts")),
        };
        for value in values {
            query.append_pair(&name, &value);
        }
    }
    Ok(query.finish())
}

/// The jobs that match and that there is anything to do with.
fn narrowed(decision: BulkDecision, mut wanted: Search) -> Result<Search, Problem> {
    let asked = std::mem::take(&mut wanted.states);
    let is_wanted = |state: &JobState| decision.is_for(*state) && (asked.is_empty() || asked.contains(state));
    wanted.states = JobState::ALL.into_iter().filter(is_wanted).collect();
    if wanted.states.is_empty() {
        let states = JobState::ALL.into_iter().filter(|state| decision.is_for(*state));
        let states: Vec<&str> = states.map(JobState::as_str).collect();
        let message =
            format!("must have one of {}: there is nothing to {} in others", states.join(", "), decision.as_str());
        return Err(Problem::invalid("state", message));
    }
    Ok(wanted)
}

async fn examples(app: &App, wanted: &Search) -> Result<Vec<ExampleView>, Problem> {
    let (mut found, mut after): (Vec<JobRecord>, _) = (Vec::new(), None);
    for _ in 0..LOOKS {
        let page = app.store.jobs().search(wanted, after.as_ref(), u32::try_from(EXAMPLES).unwrap_or(u32::MAX)).await?;
        found.extend(page.items);
        after = page.next;
        if found.len() >= EXAMPLES || after.is_none() {
            break;
        }
    }
    Ok(found.into_iter().take(EXAMPLES).map(ExampleView::new).collect())
}

/// Actions on all jobs that match, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/actions",
    operation_id = "listBulkActions",
    params(
        ("limit" = Option<u64>, Query, description = "Actions at once, 20 by default; above 100 it is 100", nullable = false,
            minimum = 1),
        ("cursor" = Option<String>, Query, nullable = false, description = "The `nextCursor` of the answer before"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "A part of the list", body = Envelope<BulkActionsView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
pub(super) async fn list(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<BulkActionsView>, Problem> {
    Ok(Answer::ok(load(&app, query.as_deref().unwrap_or_default()).await?, "Actions fetched successfully"))
}

/// A part of the list of actions, as the query says.
pub(crate) async fn load(app: &App, query: &str) -> Result<BulkActionsView, Problem> {
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    let after = page::cursor(query, position)?;
    let page = app.store.bulk().list(after, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
    let items = page.items.into_iter().map(BulkActionView::new).collect();
    Ok(BulkActionsView { items, next_cursor: page.next.as_ref().map(written) })
}

/// How far an action has come.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/actions/{id}",
    operation_id = "getBulkAction",
    params(("id" = String, Path, description = "The action's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The action", body = Envelope<BulkActionView>),
        Refusals<(NeedsAdmin, TakesId)>,
    ),
)]
pub(super) async fn show(
    State(app): State<App>,
    _: AdminReader,
    PathId(id): PathId<ActionId>,
) -> Result<Answer<BulkActionView>, Problem> {
    let action = load_one(&app, id).await?;
    let message = format!("Action is {}", action.state);
    Ok(Answer::ok(action, message))
}

/// An action.
pub(crate) async fn load_one(app: &App, id: ActionId) -> Result<BulkActionView, Problem> {
    app.store.bulk().find(id).await?.map(BulkActionView::new).ok_or_else(unknown)
}

/// Stops an action, before its next few hundred jobs.
///
/// What it has changed by then is changed. One that has ended is 409.
#[utoipa::path(
    post,
    path = "/api/v1/admin/jobs/actions/{id}/stop",
    operation_id = "stopBulkAction",
    params(("id" = String, Path, description = "The action's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The action, which stops", body = Envelope<BulkActionView>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings, NotActedUpon)>,
    ),
)]
pub(super) async fn stop(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<ActionId>,
) -> Result<Answer<BulkActionView>, Problem> {
    Ok(Answer::ok(stop_one(&app, &By::new(&admin, from), id).await?, "The action stops"))
}

/// The same for any page.
pub(crate) async fn stop_one(app: &App, by: &By, id: ActionId) -> Result<BulkActionView, Problem> {
    let store = app.store.clone();
    audited(app, by.does_to("jobs.act.stop", "bulk-action", &id), async move {
        if let Some(stopping) = store.bulk().stop(id).await? {
            return Ok(Acted { answer: BulkActionView::new(stopping), count: 1 });
        }
        let ended = store.bulk().find(id).await?.ok_or_else(unknown)?;
        let detail = format!("the action is {}, and has ended", ended.state.as_str());
        Err(Problem::new(ProblemKind::NotPossible, detail))
    })
    .await
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such action (any more)")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(filter: Value) -> Result<String, String> {
        let Value::Object(filter) = filter else { panic!("no object") };
        query(filter).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn a_filter_is_read_as_a_query() {
        assert_eq!(
            text(json!({"state": ["discarded", "a&b"], "user": "ä"})).expect("a query"),
            "state=discarded&state=a%26b&user=%C3%A4"
        );
        assert_eq!(text(json!({"state": null, "kind": []})).expect("a query"), "");
        for wrong in [json!({"state": 1}), json!({"state": [1]}), json!({"state": {"$ne": "x"}})] {
            assert!(text(wrong.clone()).expect_err("nonsense").contains("field: \"state\""), "{wrong}");
        }
    }

    #[test]
    fn an_action_is_for_states_in_which_there_is_something_to_do() {
        let of = |states: &[JobState]| Search { states: states.iter().copied().collect(), ..Search::default() };
        let retried = narrowed(BulkDecision::Retry, of(&[])).expect("states").states;
        assert_eq!(retried.into_iter().collect::<Vec<_>>(), [JobState::Retryable, JobState::Discarded]);
        let cancelled = narrowed(BulkDecision::Cancel, of(&[JobState::Running, JobState::Completed])).expect("states");
        assert_eq!(cancelled, of(&[JobState::Running]));
        assert!(narrowed(BulkDecision::Discard, of(&[JobState::Discarded])).is_err());
    }
}
