//! Jobs: those that fit a filter, and what an id is.

mod detail;
mod filter;
mod timeline;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};

use super::entry::Visit;
use super::layout::{self, Tab, id, maybe, moment, none, number, scrolling, state};
use crate::http::Problem;
use crate::routes::admin::jobs::search::FoundView;
use crate::routes::admin::jobs::views::{AdminJobView, JobsView};
use crate::routes::admin::jobs::{self, CountView, search};
use crate::state::App;

pub(super) use filter::choice;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/dashboard/jobs", get(page))
        .route("/dashboard/jobs/search", get(search))
        .route("/dashboard/jobs/{id}", get(detail::page))
}

/// Jobs of a filter, newest first.
async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Problem> {
    let asked = filter::Asked::of(&visit);
    let (part, filter) = (asked.page(), asked.filter());
    let (list, count) = tokio::try_join!(jobs::load(&app, &part), jobs::load_count(&app, &filter))?;
    let main = html! {
        (filter::search_box(""))
        (filter::form(&asked))
        (found(&asked, &list, &count))
    };
    Ok(visit.listing(Tab::Jobs, "Jobs", main))
}

fn found(asked: &filter::Asked, list: &JobsView, count: &CountView) -> Markup {
    let next = list.next_cursor.as_deref().map(|cursor| asked.address(cursor));
    html! {
        @if list.items.is_empty() {
            p.empty { @if next.is_some() { "None among those looked at." } @else { "No job fits." } }
        } @else {
            div.cards { (scrolling("Jobs", &table(&told(count), &list.items))) }
        }
        @if let Some(back_to) = list.searched_to {
            p.hint { "Looked at jobs back to " (moment(back_to)) "; go on with the older ones." }
        }
        (layout::older(next.as_deref()))
    }
}

fn told(count: &CountView) -> String {
    match (count.count, count.at_least) {
        (1, false) => "1 job".to_owned(),
        (count, false) => format!("{} jobs", number(count)),
        (0, true) => "not counted".to_owned(),
        (count, true) => format!("{} jobs or more", number(count)),
    }
}

/// A table of jobs. The caption tells what it has.
fn table(caption: &str, items: &[AdminJobView]) -> Markup {
    html! {
        table {
            caption { "Jobs" small { (caption) } }
            thead {
                tr {
                    @for name in ["Job", "State", "Kind", "Owner", "Accepted", "Attempts", "Worker", "What it ran into"] {
                        th scope="col" { (name) }
                    }
                }
            }
            tbody { @for job in items { (row(job)) } }
        }
    }
}

fn row(job: &AdminJobView) -> Markup {
    let job_id = job.id.to_string();
    html! {
        tr {
            th scope="row" data-label="Job" { a href={ "/dashboard/jobs/" (job_id) } { (id(&job_id)) } }
            td data-label="State" { (state(job.state)) }
            td data-label="Kind" { (job.kind) }
            td data-label="Owner" { (owner(job)) }
            td data-label="Accepted" { div { (moment(job.created_at)) } }
            td data-label="Attempts" {
                span { (job.attempt) @if job.failures > 0 { ", " (job.failures) " failed" } }
            }
            td data-label="Worker" { (maybe(job.worker.as_ref())) }
            td.wide data-label="Ran into" {
                div {
                    @match (&job.reason, &job.error) {
                        (Some(reason), _) => { (reason) }
                        (None, Some(error)) => { (error) }
                        (None, None) => { (none()) }
                    }
                    @if let Some(at) = job.run_at { div.hint { "next at " (moment(at)) } }
                }
            }
        }
    }
}

fn owner(job: &AdminJobView) -> Markup {
    let Some(owner) = &job.owner else { return none() };
    let owner_id = owner.id.to_string();
    let address = layout::address("/dashboard/jobs", &[("user", &owner_id)]);
    html! { a href=(address) { @match &owner.username { Some(name) => { (name) } None => { (id(&owner_id)) } } } }
}

/// What has the id or the name that was asked for: its page, if there is one thing only.
async fn search(State(app): State<App>, visit: Visit) -> Result<Response, Problem> {
    let asked = visit.parameter("q");
    let found = search::load(&app, layout::address("", &[("q", asked.trim())]).trim_start_matches('?')).await?;
    if let [only] = found.as_slice() {
        return Ok(Redirect::to(&address_of(only)).into_response());
    }
    let main = html! {
        (filter::search_box(&asked))
        @if found.is_empty() { p.empty { "Nothing has this id or name." } }
        ul {
            @for one in &found {
                li { (one.what) ": " a href=(address_of(one)) { (one.name.as_deref().unwrap_or(&one.id)) } }
            }
        }
    };
    Ok(visit.page(Tab::Jobs, "Search", main))
}

fn address_of(found: &FoundView) -> String {
    let list = |field| layout::address("/dashboard/jobs", &[(field, found.id.as_str())]);
    match found.what {
        "job" => format!("/dashboard/jobs/{}", found.id),
        "user" => list("user"),
        "asset" => list("asset"),
        _ => list("errorGroup"),
    }
}
