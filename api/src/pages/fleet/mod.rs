//! Workers, and users who are paused.

mod counters;
mod overview;
mod steering;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::http::Problem;
use crate::pages::entry::Visit;
use crate::pages::layout::{self, Action, Tab, Tone, badge, bytes, id, moment, none, older, scrolling};
use crate::routes::admin::fleet::overview as glance;
use crate::routes::admin::fleet::workers::{self, WorkerView, WorkersQuery};
use crate::state::App;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/dashboard", get(overview::page))
        .route("/dashboard/", get(overview::page))
        .route(PATH, get(page))
        .route("/dashboard/counters", get(counters::page))
        .route("/dashboard/queues/{queue}/pause", post(steering::pause_queue))
        .route("/dashboard/queues/{queue}/resume", post(steering::resume_queue))
        .route("/dashboard/users/pause", post(steering::pause_user))
        .route("/dashboard/users/resume", post(steering::resume_user))
        .route("/dashboard/workers/drain", post(steering::drain))
        .route("/dashboard/workers/undrain", post(steering::undrain))
        .route("/dashboard/channels/reconcile", post(steering::reconcile))
}

const PATH: &str = "/dashboard/fleet";
/// Running jobs of a worker that are listed.
const LISTED: usize = 10;

async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Problem> {
    let shows_left = visit.parameter("left") == "true";
    let query = WorkersQuery::read(&visit.ask.query)?;
    let (page, fleet) = tokio::try_join!(workers::load(&app, query), glance::load(&app, glance::window("")?))?;
    let left = if shows_left { "true" } else { "" };
    let next = page.next_cursor.as_deref().map(|cursor| layout::address(PATH, &[("left", left), ("cursor", cursor)]));
    let table = html! {
        table {
            caption { "Workers" small { "those that started last first" } }
            thead {
                tr {
                    @for name in ["Worker", "State", "Host, version", "Since", "Last sign of life", "Slots", "Runs now", "Clock", "Spool"] {
                        th scope="col" { (name) }
                    }
                    @if visit.writes { th scope="col" { "Action" } }
                }
            }
            tbody { @for worker in &page.items { (row(&visit, worker)) } }
        }
    };
    let main = html! {
        nav aria-label="Which workers" {
            ul.tabs {
                li { a href=(PATH) aria-current=[(!shows_left).then_some("true")] { "Running or vanished" } }
                li { a href={ (PATH) "?left=true" } aria-current=[shows_left.then_some("true")] { "With those that ended" } }
            }
        }
        @if page.items.is_empty() {
            p.empty { "No worker has given a sign of life in the last week." }
        } @else {
            div.cards { (scrolling("Workers", &table)) }
        }
        (older(next.as_deref()))
        (paused(&visit, &fleet.paused_users))
    };
    Ok(visit.listing(Tab::Fleet, "Fleet", main))
}

fn row(visit: &Visit, worker: &WorkerView) -> Markup {
    let tone = match worker.state {
        "alive" => Tone::Good,
        "draining" => Tone::Waiting,
        "vanished" => Tone::Bad,
        _ => Tone::Quiet,
    };
    html! {
        tr {
            th scope="row" data-label="Worker" {
                a href=(layout::address("/dashboard/jobs", &[("worker", &worker.name)])) { (id(&worker.name)) }
            }
            td data-label="State" {
                div {
                    (badge(tone, worker.state))
                    @if let Some(drain) = &worker.drain {
                        div.hint { "told to drain by " (drain.by) @if !drain.why.is_empty() { ": " (drain.why) } }
                    }
                }
            }
            td data-label="Host" { div { (worker.host) div.hint { (worker.version) } } }
            td data-label="Since" { div { (moment(worker.since)) } }
            td data-label="Last sign" { div { (moment(worker.last_sign)) } }
            td data-label="Slots" {
                div { @for slots in &worker.slots { div { (slots.kind) ": " (slots.used) " of " (slots.slots) } } }
            }
            td data-label="Runs now" { div { (running(worker)) } }
            td data-label="Clock" { (clock(worker.clock_offset_ms)) }
            td data-label="Spool" {
                div {
                    (worker.spool)
                    @if let Some(fill) = worker.spool_fill {
                        div.hint { (bytes(fill.bytes)) " in " (fill.files) " files" @if let Some(free) = fill.free_bytes { ", " (bytes(free)) " free" } }
                    }
                }
            }
            @if visit.writes { td data-label="Action" { (steer(visit, worker)) } }
        }
    }
}

fn running(worker: &WorkerView) -> Markup {
    if worker.running_count == 0 {
        return none();
    }
    html! {
        details id={ "runs-" (worker.name) } {
            summary { (worker.running_count) @if worker.running_count == 1 { " job" } @else { " jobs" } }
            @for job in worker.running.iter().take(LISTED) {
                @let job_id = job.job.to_string();
                div { a href={ "/dashboard/jobs/" (job_id) } { (id(&job_id)) } " " (job.kind) ", since " (moment(job.since)) }
            }
        }
    }
}

fn clock(offset: Option<i64>) -> Markup {
    match offset {
        None => none(),
        Some(0) => html! { "right" },
        Some(ms) => html! { (ms.unsigned_abs()) " ms " @if ms > 0 { "ahead" } @else { "behind" } },
    }
}

fn steer(visit: &Visit, worker: &WorkerView) -> Markup {
    if matches!(worker.state, "left" | "vanished") && worker.drain.is_none() {
        return none();
    }
    let (verb, label) = if worker.drain.is_some() { ("undrain", "Take jobs again") } else { ("drain", "Drain") };
    let question = match worker.drain {
        Some(_) => format!("Let {} take jobs again?", worker.name),
        None => format!("Drain {}? It finishes what runs and takes no more.", worker.name),
    };
    let path = format!("/dashboard/workers/{verb}");
    Action { path: &path, label, question: &question, fields: &[("name", &worker.name)], is_grave: false }.button(visit)
}

/// Users whose jobs wait, and the form that pauses one.
fn paused(visit: &Visit, users: &[String]) -> Markup {
    html! {
        h2 { "Paused users" }
        @if users.is_empty() { p.empty { "No user is paused." } }
        ul {
            @for user in users {
                @let question = format!("Let the jobs of {user} go on?");
                @let action = Action { path: "/dashboard/users/resume", label: "Resume", question: &question, fields: &[("name", user)], is_grave: false };
                li { a href=(layout::address("/dashboard/jobs", &[("user", user)])) { (user) } " " (action.button(visit)) }
            }
        }
        @let action = Action {
            path: "/dashboard/users/pause",
            label: "Pause user",
            question: "Pause this user? Uploads of theirs are accepted, and wait.",
            fields: &[],
            is_grave: false,
        };
        (action.button_with(visit, &html! {
            label { "Username" input name="name" required maxlength="200" autocomplete="off"; }
            label { "Why" input name="why" maxlength="500" autocomplete="off"; }
        }))
    }
}
