//! From a job's change to its client's event: a thousand streams are open while 50 uploads a second go through.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use messages::JobId;
use testkit::{Services, jpeg};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::pace::Pace;
use super::stream::{Stream, Told};
use super::{PATIENCE, plain_row, time_row};
use crate::load::Latencies;
use crate::system::{Form, Setup, System};
use crate::table::Row;

const STREAMS: usize = 1_000;
const MEASURED: Duration = Duration::from_secs(40);
/// Before it, caches and connections come to be.
const WARM_UP: Duration = Duration::from_secs(5);
/// Streams that are opened at the same time.
const OPENING: usize = 32;
const FILE: usize = 20_000;

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let many = "10000".to_owned();
    let api = vec![("MAX_CONNECTIONS", many.clone()), ("MAX_CONNECTIONS_ADDRESS", many)];
    let system = System::start_with(Setup { api, ..Setup::default() }, root, services, STREAMS).await?;
    let (sender, mut told) = mpsc::unbounded_channel();
    // A stream for each user, so that every event is for one client.
    let opened = stream::iter(system.tokens.iter().cloned()).map(|token| {
        let address = system.api_address;
        async move { Stream::open(address, &token, None).await }
    });
    let streams: Vec<Stream> = opened.buffer_unordered(OPENING).try_collect().await.context("opening streams")?;
    for stream in streams {
        tokio::spawn(listen(stream, sender.clone()));
    }
    drop(sender);

    let form = Form::new("file", "me.jpg", &[jpeg(FILE)]);
    let pace = Pace::start(system.api_address, system.upload("POST", "/api/v1/media", &form));
    tokio::time::sleep(WARM_UP).await;
    let begun = OffsetDateTime::now_utc();
    tokio::time::sleep(MEASURED).await;
    let paced = pace.stop().await?;
    anyhow::ensure!(paced.failed == 0, "{} uploads failed", paced.failed);

    let mut waited: HashSet<JobId> = paced.jobs.iter().map(|(_, job)| *job).collect();
    let (accepted, deadline) = (waited.len(), Instant::now() + PATIENCE);
    let (mut all, mut ends) = (Latencies::default(), Latencies::default());
    while !waited.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let next = tokio::time::timeout(left, told.recv()).await;
        let next = next.with_context(|| format!("{} of {accepted} ends were not told", waited.len()))?;
        let (told, after) = next.context("all streams broke")?;
        // What was told of this before it began is not measured.
        if told.updated_at > begun {
            all.push(after);
            if told.is_final() {
                ends.push(after);
            }
        }
        if told.is_final() {
            waited.remove(&told.id);
        }
    }
    let per_second = ends.count() as f64 / MEASURED.as_secs_f64();
    println!(
        "{} events of {accepted} uploads over {STREAMS} streams; ends alone: p50 {:?}, p99 {:?}; uploads answered: p50 {:?}, p99 {:?}",
        all.count(),
        ends.percentile(0.5),
        ends.percentile(0.99),
        paced.latencies.percentile(0.5),
        paced.latencies.percentile(0.99),
    );
    system.remove().await?;
    Ok(vec![
        plain_row("1,000 streams: uploads that ended meanwhile", format!("{per_second:.1}/s"), "", true),
        time_row(
            "from a change to the client's event, p50",
            all.percentile(0.5),
            "<= 50 ms",
            Duration::from_millis(50),
        ),
        time_row("the same, p99", all.percentile(0.99), "<= 250 ms", Duration::from_millis(250)),
    ])
}

/// Notes how long after its change each event came. Both clocks are this machine's; a job's `updatedAt` is from before its transaction
/// is committed, which therefore counts too.
async fn listen(mut stream: Stream, sender: mpsc::UnboundedSender<(Told, Duration)>) {
    loop {
        match stream.next().await {
            Ok(Some(told)) => {
                let after = (OffsetDateTime::now_utc() - told.updated_at).try_into().unwrap_or_default();
                if sender.send((told, after)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return tracing::warn!("a stream broke: {error:#}"),
        }
    }
}
