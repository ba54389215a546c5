//! The fleet at a glance.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use crate::http::Problem;
use crate::pages::entry::Visit;
use crate::pages::layout::{
    self, Action, Chart, Series, Tab, Tone, Unit, badge, bytes, figure, made_at, none, number, scrolling, span,
};
use crate::routes::admin::fleet::alerts::AlertView;
use crate::routes::admin::fleet::overview::{self, OverviewView, SpoolView};
use crate::routes::admin::fleet::queues::{AmountView, QueueView};
use crate::state::App;

const WINDOWS: [(&str, &str); 3] = [("hour", "Last hour"), ("day", "Last day"), ("week", "Last week")];

pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Problem> {
    let view = overview::load(&app, overview::window(&visit.ask.query)?).await?;
    let main = html! {
        (alerts(&view.alerts))
        (figures(&view))
        (windows(view.window))
        (queues(&visit, &view))
        h2 { "Throughput and latency" }
        div.columns { @for queue in &view.queues { (charts(queue)) } }
        @match view.counted_at { Some(at) => { (made_at(at)) } None => { p.hint { "No worker has counted what waits yet." } } }
    };
    Ok(visit.live_page(Tab::Overview, "Overview", main))
}

fn alerts(alerts: &[AlertView]) -> Markup {
    html! {
        @if alerts.is_empty() {
            p.hint { (badge(Tone::Good, "no alert")) " Nothing needs a person." }
        } @else {
            ul.alerts aria-label="Alerts" {
                @for alert in alerts {
                    li.problem {
                        (badge(Tone::Bad, alert.severity)) " " (alert.summary) ". "
                        a href=(crate::pages::help::address(alert.runbook)) { "What to do about " (alert.name) }
                    }
                }
            }
        }
    }
}

fn figures(view: &OverviewView) -> Markup {
    let workers = view.workers;
    let others = format!("{} draining, {} vanished", workers.draining, workers.vanished);
    let slots = format!("of {}", number(view.slots.slots));
    html! {
        dl.figures {
            (figure("Workers alive", &number(workers.alive), Some(&others)))
            (figure("Slots used", &number(view.slots.used), Some(&slots)))
            @for spool in &view.spools { (filled(spool)) }
            (figure("Dead letters", &view.dead_letters.map_or_else(|| "unknown".to_owned(), |count| number(count.into())), None))
            (figure("Channels not counted", &view.channels_dirty.map_or_else(|| "unknown".to_owned(), number), None))
            (figure("Paused users", &number(view.paused_users.len() as u64), None))
        }
    }
}

fn filled(spool: &SpoolView) -> Markup {
    let free = spool.fill.free_bytes.map_or_else(|| "unknown".to_owned(), bytes);
    let more = format!("{} files, {free} free", number(spool.fill.files));
    figure(&format!("Spool {}", spool.spool), &bytes(spool.fill.bytes), Some(&more))
}

fn windows(chosen: &str) -> Markup {
    html! {
        nav aria-label="Window" {
            ul.tabs {
                @for (name, label) in WINDOWS {
                    li {
                        a href=(layout::address("/dashboard", &[("window", name)])) aria-current=[(name == chosen).then_some("true")] { (label) }
                    }
                }
            }
        }
    }
}

fn queues(visit: &Visit, view: &OverviewView) -> Markup {
    let names = [
        "Queue",
        "Waits",
        "Oldest",
        "Runs",
        "Retries",
        "Slots",
        "Completed",
        "Discarded",
        "Cancelled",
        "A minute",
        "p50",
        "p95",
        "p99",
    ];
    let table = html! {
        table {
            caption { "Queues" small { "what waits now; what has ended in the last " (view.window) } }
            thead {
                tr {
                    @for (index, name) in names.iter().enumerate() { th.num[index > 0] scope="col" { (name) } }
                    @if visit.writes { th scope="col" { "Action" } }
                }
            }
            tbody { @for queue in &view.queues { (row(visit, queue)) } }
        }
    };
    html! { (scrolling("Queues", &table)) }
}

fn row(visit: &Visit, queue: &QueueView) -> Markup {
    let jobs = |states: &str, amount: AmountView| {
        let address = layout::address("/dashboard/jobs", &[("kind", queue.kind), ("state", states)]);
        html! { td.num { a href=(address) { (amount_text(amount)) } } }
    };
    let latency = queue.latency;
    html! {
        tr {
            th scope="row" {
                (queue.queue) " "
                @if let Some(paused) = &queue.paused {
                    (badge(Tone::Waiting, "paused"))
                    div.hint { "by " (paused.by) @if !paused.why.is_empty() { ": " (paused.why) } }
                }
            }
            (jobs("pending,queued", queue.waiting))
            td.num { @match queue.oldest_age_seconds { Some(seconds) => { (span(seconds * 1000)) } None => { (none()) } } }
            (jobs("running", queue.running))
            (jobs("retryable", queue.retryable))
            td.num { (queue.slots.used) " of " (queue.slots.slots) }
            td.num { (number(queue.finished.completed)) }
            td.num { (number(queue.finished.discarded)) }
            td.num { (number(queue.finished.cancelled)) }
            td.num { (format!("{:.1}", queue.per_minute)) }
            @for time in [latency.p50_ms, latency.p95_ms, latency.p99_ms] {
                td.num { @match time { Some(ms) => { (span(ms)) } None => { (none()) } } }
            }
            @if visit.writes { td { (steer(visit, queue)) } }
        }
    }
}

fn amount_text(amount: AmountView) -> String {
    format!("{}{}", number(amount.count), if amount.at_least { "+" } else { "" })
}

fn steer(visit: &Visit, queue: &QueueView) -> Markup {
    let name = queue.queue;
    let (verb, label, question) = match queue.paused {
        Some(_) => ("resume", format!("Resume {name}"), format!("Let workers take jobs of {name} again?")),
        None => (
            "pause",
            format!("Pause {name}"),
            format!("Pause {name}? Workers finish what runs and take no more of it."),
        ),
    };
    let path = format!("/dashboard/queues/{name}/{verb}");
    Action { path: &path, label: &label, question: &question, fields: &[], is_grave: false }.button(visit)
}

fn charts(queue: &QueueView) -> Markup {
    let times: Vec<_> = queue.series.iter().map(|point| point.at).collect();
    let series =
        |name, value: &dyn Fn(usize) -> Option<f64>| Series { name, values: (0..times.len()).map(value).collect() };
    let point = |index: usize| &queue.series[index];
    let count = |count: u64| Some(count as f64);
    let ms = |time: Option<u64>| time.map(|time| time as f64);
    let id = queue.queue.replace('.', "-");
    let throughput = Chart {
        id: &format!("{id}-throughput"),
        title: &format!("{}: jobs that ended", queue.queue),
        unit: Unit::Count,
        times: times.clone(),
        series: vec![
            series("completed", &|index| count(point(index).finished.completed)),
            series("discarded", &|index| count(point(index).finished.discarded)),
        ],
    };
    let latency = Chart {
        id: &format!("{id}-latency"),
        title: &format!("{}: accepted until completed", queue.queue),
        unit: Unit::Milliseconds,
        times: times.clone(),
        series: vec![
            series("p50", &|index| ms(point(index).latency.p50_ms)),
            series("p95", &|index| ms(point(index).latency.p95_ms)),
            series("p99", &|index| ms(point(index).latency.p99_ms)),
        ],
    };
    html! { (throughput.render()) (latency.render()) }
}
