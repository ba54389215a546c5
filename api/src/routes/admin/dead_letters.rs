//! `/api/v1/admin/dead-letters`: messages that no worker could work on, and their replay.
//!
//! A letter that somebody looks at is hidden from others until they have done, so requests take turns here.

use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use broker::{Admin, DeadLetter, Replayed, Which};
use serde::{Deserialize, Serialize};
use store::Act;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audited::{Acted, By, audited};
use crate::auth::{AdminReader, AdminWriter, ClientAddress};
use crate::http::page::number;
use crate::http::response::iso;
use crate::http::{Answer, Envelope, Json, PathText, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsAdmin, NotActedUpon, Refusals, TakesJson, TakesName, TakesParameters};
use crate::state::App;

const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 100;
/// How much of a body is shown, bytes.
const SHOWN: usize = 64 * 1024;
/// How long a question may take, its turn included.
const PATIENCE: Duration = Duration::from_secs(10);
/// After that a replay of all takes no further letter.
const REPLAYING: Duration = Duration::from_secs(8);

/// The way to the dead letters.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    broker: broker::Config,
    turn: Mutex<()>,
}

impl DeadLetters {
    pub(crate) fn new(broker: broker::Config) -> Self {
        Self { broker, turn: Mutex::new(()) }
    }

    /// Asks the broker, on a connection of its own, in turn. 503 if it does not answer in time: a letter that was taken up is back when
    /// the connection closes.
    async fn ask<T>(&self, question: impl AsyncFnOnce(&Admin) -> Result<T, broker::Error>) -> Result<T, Problem> {
        let asking = async {
            let _turn = self.turn.lock().await;
            let admin = Admin::connect(&self.broker).await?;
            let answer = question(&admin).await;
            admin.close().await;
            answer
        };
        let detail = "the broker does not answer; try again in a moment";
        let away = || Problem::new(ProblemKind::Unavailable, detail).retry_after(5);
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(answer) => answer.map_err(|error| away().because(error)),
            Err(late) => Err(away().because(late)),
        }
    }
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(replay)).routes(routes!(replay_all))
}

/// The oldest dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterList)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLettersView {
    /// Oldest first.
    pub(crate) items: Vec<DeadLetterView>,
    /// How many there are in all.
    pub(crate) total: u64,
}

/// A dead letter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterView {
    /// A hash of queue, message id and body. Two copies that a crash has left have the same id.
    #[schema(pattern = "^[0-9a-f]{12}$")]
    pub(crate) id: String,
    /// When it died; null if nobody has noted it.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) died_at: Option<OffsetDateTime>,
    /// The kind of its job, if that can be read.
    #[schema(required)]
    pub(crate) kind: Option<String>,
    /// Bytes of its body.
    pub(crate) bytes: usize,
    /// The queue that it came from.
    pub(crate) queue: String,
    pub(crate) reason: String,
    /// What this version reads in it, or why it cannot.
    pub(crate) reads_as: String,
}

/// A dead letter with all that is on and in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeDeadLetter)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WholeDeadLetterView {
    #[serde(flatten)]
    pub(crate) letter: DeadLetterView,
    /// All properties and headers.
    pub(crate) outside: Vec<OutsideView>,
    /// The first 64 KiB.
    pub(crate) body: String,
    /// How `body` is written: `text`, or `base64` if it is none.
    #[schema(example = "text")]
    pub(crate) encoding: &'static str,
    /// Whether there is more of it.
    pub(crate) is_cut: bool,
}

/// A property or header.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterHeader)]
pub(crate) struct OutsideView {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What a replay has done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterReplay)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplayView {
    /// How many are in the queues of their jobs now.
    pub(crate) replayed: u64,
    /// How many stay because this version cannot read them. `worker dead replay --force` sends them to where they came from.
    pub(crate) left: u64,
    /// Whether the time was up before all were met: ask again.
    pub(crate) has_more: bool,
}

/// Which to replay.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DeadLettersToReplay)]
struct ReplayBody {
    /// `true`: nothing else is taken for all.
    #[schema(value_type = bool, required)]
    all: Option<bool>,
}

impl DeadLetterView {
    fn new(letter: &DeadLetter) -> Self {
        let died_at = letter.died_at.and_then(|seconds| i64::try_from(seconds).ok());
        Self {
            id: letter.id.clone(),
            died_at: died_at.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
            kind: letter.kind(),
            bytes: letter.body.len(),
            queue: letter.queue.clone(),
            reason: letter.reason.clone(),
            reads_as: letter.reads_as(),
        }
    }
}

impl WholeDeadLetterView {
    fn new(letter: DeadLetter) -> Self {
        let view = DeadLetterView::new(&letter);
        let (body, encoding) = shown(&letter.body);
        let outside = letter.outside.into_iter().map(|(name, value)| OutsideView { name, value }).collect();
        Self { letter: view, outside, body, encoding, is_cut: letter.body.len() > SHOWN }
    }
}

/// The beginning of a body, as text if it is text.
fn shown(body: &[u8]) -> (String, &'static str) {
    let start = body.get(..SHOWN).unwrap_or(body);
    match std::str::from_utf8(start) {
        Ok(text) => (text.to_owned(), "text"),
        // Cut in the middle of a character.
        Err(cut) if cut.error_len().is_none() && body.len() > SHOWN => {
            (String::from_utf8_lossy(start.get(..cut.valid_up_to()).unwrap_or_default()).into_owned(), "text")
        }
        Err(_) => (BASE64_STANDARD.encode(start), "base64"),
    }
}

/// The oldest dead letters.
///
/// Somebody else who looks at them at the same time, through another api or on the command line, may hide some.
#[utoipa::path(
    get,
    path = "/api/v1/admin/dead-letters",
    operation_id = "listDeadLetters",
    params(
        ("limit" = Option<u64>, Query, description = "Letters, 50 by default; above 100 it is 100", nullable = false,
            minimum = 1),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The letters", body = Envelope<DeadLettersView>),
        Refusals<(NeedsAdmin, TakesParameters)>,
    ),
)]
async fn list(
    State(app): State<App>,
    _: AdminReader,
    RawQuery(query): RawQuery,
) -> Result<Answer<DeadLettersView>, Problem> {
    Ok(Answer::ok(load(&app, query.as_deref().unwrap_or_default()).await?, "Dead letters fetched successfully"))
}

/// The oldest dead letters, as many as the query says.
pub(crate) async fn load(app: &App, query: &str) -> Result<DeadLettersView, Problem> {
    let limit = usize::try_from(number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT)).unwrap_or(usize::MAX);
    let asking = app.dead_letters.ask(async |admin| {
        // Afterwards some brokers take a moment to count those again that were let go.
        let there = admin.dead_depth().await?.unwrap_or(0);
        Ok((there, admin.dead_letters(limit).await?))
    });
    let (there, letters) = asking.await?;
    let items: Vec<_> = letters.iter().map(DeadLetterView::new).collect();
    Ok(DeadLettersView { total: u64::from(there).max(items.len() as u64), items })
}

/// A dead letter with all that is on and in it.
#[utoipa::path(
    get,
    path = "/api/v1/admin/dead-letters/{id}",
    operation_id = "getDeadLetter",
    params(("id" = String, Path, description = "The letter's id")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The letter", body = Envelope<WholeDeadLetterView>),
        Refusals<(NeedsAdmin, TakesName)>,
    ),
)]
async fn show(
    State(app): State<App>,
    _: AdminReader,
    PathText(id): PathText,
) -> Result<Answer<WholeDeadLetterView>, Problem> {
    Ok(Answer::ok(load_one(&app, &id).await?, "Dead letter fetched successfully"))
}

/// A dead letter.
pub(crate) async fn load_one(app: &App, id: &str) -> Result<WholeDeadLetterView, Problem> {
    let found = app.dead_letters.ask(async |admin| admin.dead_letter(id).await).await?;
    found.map(WholeDeadLetterView::new).ok_or_else(unknown)
}

/// Sends a dead letter to the queue of its job.
///
/// It is removed here once the broker has confirmed that. One that this version cannot read is left: 409.
#[utoipa::path(
    post,
    path = "/api/v1/admin/dead-letters/{id}/replay",
    operation_id = "replayDeadLetter",
    params(("id" = String, Path, description = "The letter's id")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is in the queue of its job", body = Envelope<ReplayView>),
        Refusals<(NeedsAdmin, TakesName, ChangesThings, NotActedUpon)>,
    ),
)]
async fn replay(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathText(id): PathText,
) -> Result<Answer<ReplayView>, Problem> {
    let view = replay_one(&app, &By::new(&admin, from), id).await?;
    Ok(Answer::ok(view, "The dead letter is replayed"))
}

/// The same for any page.
pub(crate) async fn replay_one(app: &App, by: &By, id: String) -> Result<ReplayView, Problem> {
    let act = by.does_to("dead-letter.replay", "dead-letter", &id);
    let of = app.clone();
    audited(app, act, async move {
        match replaying(&of, Which::Of(&id)).await? {
            ReplayView { replayed: 0, left: 0, .. } => Err(unknown()),
            ReplayView { replayed: 0, .. } => {
                let detail = "this version cannot read it, so it stays; `worker dead replay --force` sends it to where it came from";
                Err(Problem::new(ProblemKind::NotPossible, detail))
            }
            view => Ok(Acted { count: view.replayed, answer: view }),
        }
    })
    .await
}

/// Sends all dead letters that are there now to the queues of their jobs.
///
/// `{"all": true}` says so. What takes longer than a few seconds goes on with the next request.
#[utoipa::path(
    post,
    path = "/api/v1/admin/dead-letters/replay",
    operation_id = "replayDeadLetters",
    request_body = ReplayBody,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "What was replayed", body = Envelope<ReplayView>),
        Refusals<(NeedsAdmin, TakesJson, ChangesThings)>,
    ),
)]
async fn replay_all(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    Json(body): Json<ReplayBody>,
) -> Result<Answer<ReplayView>, Problem> {
    if body.all != Some(true) {
        return Err(Problem::invalid("all", "must be true: nothing else is taken for all dead letters"));
    }
    let view = replay_everything(&app, &By::new(&admin, from)).await?;
    let message = format!("Replayed {}, left {}", view.replayed, view.left);
    Ok(Answer::ok(view, message))
}

/// The same for any page.
pub(crate) async fn replay_everything(app: &App, by: &By) -> Result<ReplayView, Problem> {
    let act = Act { detail: Some("all".to_owned()), ..by.does("dead-letter.replay") };
    let of = app.clone();
    audited(app, act, async move {
        let view = replaying(&of, Which::All).await?;
        Ok(Acted { count: view.replayed, answer: view })
    })
    .await
}

async fn replaying(app: &App, which: Which<'_>) -> Result<ReplayView, Problem> {
    let until = Instant::now() + REPLAYING;
    let mut view = ReplayView { replayed: 0, left: 0, has_more: false };
    let told = &mut view;
    let replayed = app.dead_letters.ask(async |admin| {
        let counted = |_: &DeadLetter, replayed: Replayed| {
            match replayed {
                Replayed::To(_) => told.replayed += 1,
                Replayed::Left => told.left += 1,
            }
            told.has_more = Instant::now() >= until;
            !told.has_more
        };
        admin.replay_dead(&app.publisher, which, false, counted).await
    });
    match replayed.await {
        // Those before it are replayed whatever stopped the rest.
        Err(problem) if view.replayed == 0 => Err(problem),
        Err(_) => Ok(ReplayView { has_more: true, ..view }),
        Ok(()) => Ok(view),
    }
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such dead letter (any more)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_as_text_if_it_is_text_and_not_beyond_its_beginning() {
        assert_eq!(shown(b"{}"), ("{}".to_owned(), "text"));
        assert_eq!(shown(b"\xff\x00"), ("/wA=".to_owned(), "base64"));
        let long = format!("{}ä", "x".repeat(SHOWN - 1));
        assert_eq!(shown(long.as_bytes()), ("x".repeat(SHOWN - 1), "text"));
        assert_eq!(shown(&"ä".repeat(SHOWN).into_bytes()).0.len(), SHOWN);
        assert_eq!(shown(&vec![0xff; 2 * SHOWN]).0.len(), SHOWN.div_ceil(3) * 4);
        // Cut at its own end, it is no text.
        assert_eq!(shown(b"\xc3").1, "base64");
    }
}
