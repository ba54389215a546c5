//! A job.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use messages::JobId;
use url::Url;

use super::timeline;
use crate::http::{PathId, Problem};
use crate::pages::entry::Visit;
use crate::pages::layout::{self, Page, Tab, bytes, id, maybe_moment, moment, none, scrolling, state};
use crate::routes::admin::jobs::detail::{self, AssetDetailView, EventDeliveryView, EventView, JobDetailView};
use crate::routes::admin::jobs::views::AdminJobView;
use crate::routes::jobs::progress::ProgressView;
use crate::state::App;

pub(super) async fn page(
    State(app): State<App>,
    visit: Visit,
    PathId(job): PathId<JobId>,
) -> Result<Response, Problem> {
    let view = detail::load(&app, job).await?;
    let media = view.about.as_ref().and_then(|asset| asset.media_host_url.as_deref()).and_then(origin);
    let main = html! {
        div.columns {
            section.card aria-labelledby="facts" { h2 #facts { "Job" } (facts(&view)) }
            @if let Some(asset) = &view.about {
                section.card aria-labelledby="asset" { h2 #asset { "Asset" } (about(asset)) }
            }
        }
        h2 { "Attempts" }
        (timeline::attempts(&view))
        (events(&view.events, &view.deliveries))
        (related("Jobs that it has brought about", &view.follow_ups))
        (related("Other jobs about the same asset", &view.same_asset))
        h2 { "Payload" }
        details #payload { summary { "Show" } pre { (serde_json::to_string_pretty(&view.data).unwrap_or_default()) } }
    };
    let title = format!("Job {}", view.job.id);
    Ok(layout::answer(&visit, &Page { tab: Tab::Jobs, title: &title, main, is_live: true, media }))
}

fn facts(view: &JobDetailView) -> Markup {
    let job = &view.job;
    html! {
        dl.facts {
            dt { "State" }
            dd { (state(job.state)) @if let Some(reason) = &job.reason { " " (reason) } }
            @if let Some(waits) = &view.waits { dt { "Waits" } dd { (waits.reason) } }
            @if let Some(progress) = &job.progress { dt { "Uploaded" } dd { (uploaded(progress)) } }
            dt { "Kind" } dd { (job.kind) }
            dt { "Queue" } dd { (job.queue) }
            dt { "Owner" } dd { (super::owner(job)) }
            dt { "Accepted" } dd { (moment(job.created_at)) }
            @if job.finished_at.is_some() { dt { "Ended" } dd { (maybe_moment(job.finished_at)) } }
            (timeline::due(view))
            dt { "Failures" }
            dd { (job.failures) " of at most " (job.max_attempts) @if job.crashes > 0 { ", " (job.crashes) " crashes" } }
            @if let Some(group) = &job.error_group {
                @let group = group.to_string();
                dt { "Error group" }
                dd { a href=(layout::address("/dashboard/jobs", &[("errorGroup", &group)])) { (id(&group)) } }
            }
            dt { "Trace" } dd { @match &view.trace.trace_id { Some(trace) => { (id(trace)) } None => { (none()) } } }
            dt { "Request" } dd { @match &view.trace.request_id { Some(request) => { (id(request)) } None => { (none()) } } }
        }
    }
}

fn uploaded(progress: &ProgressView) -> Markup {
    let (Some(sent), Some(total)) = (progress.acknowledged_bytes, progress.total_bytes) else { return none() };
    html! {
        progress max=(total.max(1)) value=(sent) aria-label="Uploaded" {}
        div { (bytes(sent)) " of " (bytes(total)) }
    }
}

fn about(asset: &AssetDetailView) -> Markup {
    let address = format!("/api/v1/media/{}", asset.id);
    let is_shown = matches!(asset.state, "pending" | "ready");
    let asset_id = asset.id.to_string();
    html! {
        dl.facts {
            dt { "State" } dd { (state(asset.state)) @if let Some(reason) = &asset.reason { " " (reason) } }
            dt { "Name" } dd { (asset.original_name) }
            dt { "Type" } dd { (asset.content_type) ", " (bytes(asset.bytes)) ", " (asset.role) }
            dt { "Asset" } dd { (id(&asset_id)) }
            dt { "At the media host" } dd { (id(&asset.public_id)) }
        }
        @if is_shown {
            p.shown {
                @match asset.content_type.split('/').next() {
                    Some("image") => { img.preview src=(address) alt={ "Preview of " (asset.original_name) } loading="lazy"; }
                    Some("video") => { video.preview src=(address) controls preload="metadata" aria-label="Preview" {} }
                    Some("audio") => { audio src=(address) controls preload="none" aria-label="Preview" {} }
                    _ => {}
                }
            }
        }
    }
}

fn events(events: &[EventView], deliveries: &[EventDeliveryView]) -> Markup {
    if events.is_empty() {
        return html! {};
    }
    let table = html! {
        table {
            caption { "What it announced" small { "oldest first" } }
            thead { tr { @for name in ["Event", "Kind", "When", "At the broker", "Webhooks"] { th scope="col" { (name) } } } }
            tbody {
                @for event in events {
                    @let event_id = event.id.to_string();
                    tr {
                        th scope="row" data-label="Event" { (id(&event_id)) }
                        td data-label="Kind" { (event.kind) }
                        td data-label="When" { div { (moment(event.at)) } }
                        td data-label="At broker" { @if event.published { "yes" } @else { "not yet" } }
                        td data-label="Webhooks" {
                            div {
                                @for delivery in deliveries.iter().filter(|delivery| delivery.event == event.id) { (delivered(delivery)) }
                            }
                        }
                    }
                }
            }
        }
    };
    html! { h2 { "Events" } div.cards { (scrolling("Events", &table)) } }
}

fn delivered(delivery: &EventDeliveryView) -> Markup {
    html! {
        div {
            (state(delivery.state)) " " (delivery.attempts) " attempts, "
            @match delivery.job {
                Some(job) => { a href={ "/dashboard/jobs/" (job) } { "its job" } }
                None => { "no job" }
            }
            @if let Some(reason) = &delivery.reason { div.hint { (reason) } }
        }
    }
}

fn related(title: &str, jobs: &[AdminJobView]) -> Markup {
    if jobs.is_empty() {
        return html! {};
    }
    html! { h2 { (title) } div.cards { (scrolling(title, &super::table(&jobs.len().to_string(), jobs))) } }
}

/// From where a picture or video may come after a redirect: the asset's place at the media host.
fn origin(address: &str) -> Option<String> {
    let origin = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?.origin();
    Some(origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_an_origin_gets_into_the_policy() {
        let hostile = "https://cdn.example.com/a.jpg; script-src *";
        assert_eq!(origin(hostile).as_deref(), Some("https://cdn.example.com"));
        for none in ["javascript:alert(1)", "data:text/html,x", "nonsense", ""] {
            assert_eq!(origin(none), None, "{none}");
        }
    }
}
