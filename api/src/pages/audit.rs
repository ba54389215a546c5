//! What admins did.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::entry::Visit;
use super::layout::{self, Tab, maybe, moment, older, scrolling, state};
use crate::http::Problem;
use crate::routes::admin::audit::{self, AuditEntryView};
use crate::state::App;

pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Problem> {
    let page = audit::load(&app, &visit.ask.query).await?;
    let next = page.next_cursor.as_deref().map(|cursor| layout::address("/dashboard/audit", &[("cursor", cursor)]));
    let table = html! {
        table {
            caption { "What admins did" small { "newest first" } }
            thead {
                tr {
                    @for name in ["When", "Who", "From", "What", "On", "Outcome", "How many"] { th scope="col" { (name) } }
                }
            }
            tbody { @for entry in &page.items { (row(entry)) } }
        }
    };
    let main = html! {
        @if page.items.is_empty() {
            p.empty { "Nobody has done anything yet." }
        } @else {
            div.cards { (scrolling("What admins did", &table)) }
        }
        (older(next.as_deref()))
    };
    Ok(visit.listing(Tab::Audit, "Audit", main))
}

fn row(entry: &AuditEntryView) -> Markup {
    html! {
        tr {
            td data-label="When" { (moment(entry.at)) }
            th scope="row" data-label="Who" { (entry.by.name) }
            td data-label="From" { (maybe(entry.from.as_ref())) }
            td data-label="What" {
                div { code { (entry.action) } @if let Some(detail) = &entry.detail { div.hint { (detail) } } }
            }
            td.wide data-label="On" {
                @match &entry.target {
                    Some(target) => { span { (target.kind) " " (layout::target(&target.kind, &target.id)) } }
                    None => { (layout::none()) }
                }
            }
            td data-label="Outcome" {
                div { (state(&entry.outcome)) @if let Some(reason) = &entry.reason { div.hint { (reason) } } }
            }
            td.num data-label="How many" { (maybe(entry.count)) }
        }
    }
}
