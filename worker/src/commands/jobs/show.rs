//! `worker jobs show`: everything of a job.

use anyhow::bail;
use messages::JobId;
use store::{Attempt, AttemptOutcome, JobRecord, Store};

use super::views::JobDetailView;
use crate::commands::print;

pub(super) async fn show(store: &Store, id: JobId, json: bool) -> anyhow::Result<()> {
    let Some(job) = store.jobs().find(id).await? else { bail!("there is no job {id}") };
    let around = store.jobs().around(&job).await?;
    let same_asset: Vec<JobId> = around.of_asset.iter().map(|other| other.id).collect();
    if json {
        return print::json(&JobDetailView::new(&job, same_asset));
    }
    for (name, value) in lines(&job) {
        print::line(&format!("{name}: {value}"))?;
    }
    for event in &around.events {
        let state = if event.is_published() { "published" } else { "to be published" };
        print::line(&format!("event: {} {} {} {state}", event.id, print::time(event.at), event.kind))?;
    }
    for (name, others) in [("follow-up", &around.follow_ups), ("same asset", &around.of_asset)] {
        for other in others {
            print::line(&format!("{name}: {} {} {}", other.id, other.kind, other.state))?;
        }
    }
    print::line("")?;
    let rows: Vec<[String; 7]> = job.attempts.iter().map(row).collect();
    print::table(["ATTEMPT", "WORKER", "STARTED", "ENDED", "OUTCOME", "CODE", "ERROR"], &rows)
}

fn lines(job: &JobRecord) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("id", job.id.to_string()),
        ("kind", job.kind.clone()),
        ("queue", job.queue.clone()),
        ("state", job.state.to_string()),
        ("payload", job.data.to_string()),
        ("accepted", print::time(job.created_at)),
        ("failures", format!("{} of {}", job.failures, job.max_attempts)),
        ("crashes", job.crashes.to_string()),
    ];
    let upload = job.upload.as_ref().map(|upload| upload.position.acknowledged_bytes);
    let more = [
        ("ended", job.finished_at.map(print::time)),
        ("due", job.due_at.map(print::time)),
        ("held until", job.lease_until.map(print::time)),
        ("reason", job.reason.clone()),
        ("code", job.code.clone()),
        ("can be redriven", job.reason.as_ref().map(|_| if job.replayable { "yes" } else { "no" }.to_owned())),
        ("owner", job.owner.map(|owner| owner.to_string())),
        ("asset", job.asset.map(|asset| asset.to_string())),
        ("acknowledged bytes", upload.map(|bytes| bytes.to_string())),
        ("error group", job.error_group.map(|group| group.to_string())),
        ("trace", job.traceparent.clone()),
        ("request", job.request_id.clone()),
    ];
    lines.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
    lines
}

fn row(attempt: &Attempt) -> [String; 7] {
    let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
    [
        attempt.number.to_string(),
        attempt.worker.clone(),
        print::time(attempt.started_at),
        attempt.ended_at.map_or_else(|| "-".to_owned(), print::time),
        or_none(attempt.outcome.map(AttemptOutcome::as_str)),
        or_none(attempt.code.as_deref()),
        or_none(attempt.error.as_deref()),
    ]
}
