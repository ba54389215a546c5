//! Failures in groups.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use messages::Job;

use super::entry::Visit;
use super::jobs::choice;
use super::layout::{self, Tab, moment, number, older, scrolling};
use crate::http::Problem;
use crate::routes::admin::errors::{self, ErrorGroupView};
use crate::state::App;

const PATH: &str = "/dashboard/errors";

pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Problem> {
    let (kind, cursor) = (visit.parameter("kind"), visit.parameter("cursor"));
    let query = layout::address("", &[("kind", &kind), ("cursor", &cursor)]);
    let page = errors::load(&app, query.trim_start_matches('?')).await?;
    let next = page.next_cursor.as_deref().map(|cursor| layout::address(PATH, &[("kind", &kind), ("cursor", cursor)]));
    let table = html! {
        table {
            caption { "Failures in groups" small { "those met last first" } }
            thead {
                tr {
                    @for name in ["What went wrong", "Kind", "How often", "Last", "First", "Example"] { th scope="col" { (name) } }
                }
            }
            tbody { @for group in &page.items { (row(group)) } }
        }
    };
    let main = html! {
        form.filter method="get" action=(PATH) aria-label="Filter" {
            (choice("kind", "Kind", Job::KINDS, &kind))
            div.buttons { button.primary { "Show" } }
        }
        @if page.items.is_empty() {
            p.empty { "Nothing has failed in the last 30 days." }
        } @else {
            div.cards { (scrolling("Failures in groups", &table)) }
        }
        (older(next.as_deref()))
    };
    Ok(visit.listing(Tab::Errors, "Errors", main))
}

fn row(group: &ErrorGroupView) -> Markup {
    let (id, job) = (group.id.to_string(), group.example.job.to_string());
    html! {
        tr {
            th.wide scope="row" data-label="What" {
                div {
                    a href=(layout::address("/dashboard/jobs", &[("errorGroup", &id)])) { (group.message) }
                    div.hint { code { (group.code) } @if let Some(status) = group.status { " (HTTP " (status) ")" } }
                }
            }
            td data-label="Kind" { (group.kind) }
            td.num data-label="How often" { (number(group.count)) }
            td data-label="Last" { div { (moment(group.last_seen)) } }
            td data-label="First" { div { (moment(group.first_seen)) } }
            td.wide data-label="Example" {
                div {
                    a href={ "/dashboard/jobs/" (job) } { (layout::id(&job)) }
                    div.hint { (group.example.error) @if let Some(worker) = &group.example.worker { ", by " (worker) } }
                }
            }
        }
    }
}
