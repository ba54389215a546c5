//! What buttons about queues, users, workers and channels do: the same as the API.

use axum::extract::State;
use axum::response::Response;

use crate::http::Problem;
use crate::http::params::PathText;
use crate::pages::entry::{Sent, done};
use crate::routes::admin::channels;
use crate::routes::admin::fleet::controls::ControlForm;
use crate::routes::admin::fleet::{queues, users, workers};
use crate::state::App;

const FLEET: &str = "/dashboard/fleet";

fn form(sent: &Sent) -> ControlForm {
    ControlForm { why: sent.field("why").to_owned() }
}

pub(super) async fn pause_queue(
    State(app): State<App>,
    PathText(queue): PathText,
    sent: Sent,
) -> Result<Response, Problem> {
    let view = queues::set_pause(&app, &sent.by, &queue, form(&sent)).await?;
    let what = if view.changed { "is paused" } else { "was paused already" };
    Ok(done(crate::pages::ROOT, &format!("The queue {queue} {what}.")))
}

pub(super) async fn resume_queue(
    State(app): State<App>,
    PathText(queue): PathText,
    sent: Sent,
) -> Result<Response, Problem> {
    let view = queues::lift_pause(&app, &sent.by, &queue).await?;
    let what = if view.changed { "goes on" } else { "was not paused" };
    Ok(done(crate::pages::ROOT, &format!("The queue {queue} {what}.")))
}

pub(super) async fn pause_user(State(app): State<App>, sent: Sent) -> Result<Response, Problem> {
    let view = users::set_pause(&app, &sent.by, sent.field("name"), form(&sent)).await?;
    let what = if view.changed { "wait" } else { "waited already" };
    Ok(done(FLEET, &format!("The jobs of {} {what}.", view.name)))
}

pub(super) async fn resume_user(State(app): State<App>, sent: Sent) -> Result<Response, Problem> {
    let view = users::lift_pause(&app, &sent.by, sent.field("name")).await?;
    let what = if view.changed { "go on" } else { "were not paused" };
    Ok(done(FLEET, &format!("The jobs of {} {what}.", view.name)))
}

pub(super) async fn drain(State(app): State<App>, sent: Sent) -> Result<Response, Problem> {
    let view = workers::set_drain(&app, &sent.by, sent.field("name"), form(&sent)).await?;
    let what = if view.changed { "drains" } else { "was told to drain already" };
    Ok(done(FLEET, &format!("{} {what}.", view.name)))
}

pub(super) async fn undrain(State(app): State<App>, sent: Sent) -> Result<Response, Problem> {
    let view = workers::lift_drain(&app, &sent.by, sent.field("name")).await?;
    let what = if view.changed { "takes jobs again" } else { "was not told to drain" };
    Ok(done(FLEET, &format!("{} {what}.", view.name)))
}

pub(super) async fn reconcile(State(app): State<App>, sent: Sent) -> Result<Response, Problem> {
    let name = sent.field("name");
    let view = channels::compare(&app, &sent.by, name).await?;
    let what = match view.outcome {
        "right" => "are right",
        "first" => "are counted for the first time",
        _ => "were wrong, and are mended",
    };
    Ok(done("/dashboard/counters", &format!("The stored counts of {name} {what}.")))
}
