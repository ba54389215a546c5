//! The attempts of a job over time.

use maud::{Markup, html};
use time::OffsetDateTime;

use crate::pages::layout::{between, id, maybe, maybe_moment, moment, none, scrolling, span, state};
use crate::routes::admin::jobs::detail::{AttemptDetailView, JobDetailView};

const WIDTH: f64 = 640.0;
const ROW: f64 = 18.0;
/// Attempts that are drawn: the latest.
const DRAWN: usize = 30;

pub(super) fn attempts(view: &JobDetailView) -> Markup {
    if view.attempts.is_empty() {
        return html! { p.empty { "No attempt was begun yet." } };
    }
    let table = html! {
        table {
            caption { "Attempts" small { "oldest first" } }
            thead {
                tr {
                    @for name in ["Attempt", "Worker", "Began", "After a wait of", "Took", "Outcome", "What it ran into"] {
                        th scope="col" { (name) }
                    }
                }
            }
            tbody { @for attempt in &view.attempts { (row(attempt)) } }
        }
    };
    html! { (bars(view)) div.cards { (scrolling("Attempts", &table)) } }
}

fn row(attempt: &AttemptDetailView) -> Markup {
    html! {
        tr {
            th scope="row" data-label="Attempt" { (attempt.number) }
            td data-label="Worker" { (id(&attempt.worker)) }
            td data-label="Began" { div { (moment(attempt.started_at)) } }
            td data-label="Waited" { (maybe(attempt.waited_ms.map(span))) }
            td data-label="Took" { (maybe(attempt.took_ms.map(span))) }
            td data-label="Outcome" { (attempt.outcome.map_or_else(|| state("running"), state)) }
            td.wide data-label="Ran into" {
                div {
                    @match &attempt.error { Some(error) => { (error) } None => { (none()) } }
                    @if let Some(code) = &attempt.code {
                        div.hint { code { (code) } @if let Some(status) = attempt.status { " (HTTP " (status) ")" } }
                    }
                }
            }
        }
    }
}

/// A bar for each attempt, from when the job was accepted to its end or its last sign.
fn bars(view: &JobDetailView) -> Markup {
    let drawn = &view.attempts[view.attempts.len().saturating_sub(DRAWN)..];
    let start = if drawn.len() == view.attempts.len() { view.job.created_at } else { drawn[0].started_at };
    let last = drawn.iter().map(|attempt| attempt.ended_at.unwrap_or(attempt.started_at)).max().unwrap_or(start);
    let end = view.job.finished_at.unwrap_or(last).max(last).max(view.job.updated_at);
    let whole = (end - start).as_seconds_f64().max(0.001);
    let x = |at: OffsetDateTime| ((at - start).as_seconds_f64() / whole).clamp(0.0, 1.0) * (WIDTH - 60.0) + 30.0;
    let height = ROW * drawn.len() as f64 + 4.0;
    html! {
        figure.chart {
            figcaption { "Timeline" span.legend { (between(start, end)) " in all" } }
            svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby="timeline-title timeline-desc" {
                title #timeline-title { "Timeline of the attempts" }
                desc #timeline-desc {
                    (drawn.len()) " attempts in " (between(start, end)) ". Each is told in the table below."
                }
                @for (index, attempt) in drawn.iter().enumerate() {
                    @let (from, to) = (x(attempt.started_at), x(attempt.ended_at.unwrap_or(end)));
                    @let y = ROW * index as f64 + 4.0;
                    text.tick x="2" y=(y + 10.0) { (attempt.number) }
                    line.grid x1="30" x2=(WIDTH - 30.0) y1=(y + 6.0) y2=(y + 6.0) {}
                    rect.bar.(tone(attempt)) x=(from) y=(y) width=((to - from).max(3.0)) height="12" rx="2" {}
                }
            }
        }
    }
}

fn tone(attempt: &AttemptDetailView) -> &'static str {
    match attempt.outcome {
        None => "busy",
        Some("completed") => "good",
        Some("released" | "cancelled") => "quiet",
        Some(_) => "bad",
    }
}

/// When something of the job is due, as facts.
pub(super) fn due(view: &JobDetailView) -> Markup {
    html! {
        @if view.job.run_at.is_some() { dt { "Next attempt" } dd { (maybe_moment(view.job.run_at)) } }
        @if view.lease_until.is_some() { dt { "Held until" } dd { (maybe_moment(view.lease_until)) } }
    }
}
