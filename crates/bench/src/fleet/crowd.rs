//! One api with ten thousand clients that read their streams, and a thousand that never do.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use messages::JobId;
use testkit::process::{forget_peak_memory, free_address, peak_memory, resident_memory};
use testkit::{Services, jpeg};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::pace::Pace;
use super::stream::Stream;
use super::{PATIENCE, mib, plain_row};
use crate::system::{Form, Setup, System};
use crate::table::Row;

/// Users, and streams of each.
const READING: (usize, usize) = (1_000, 10);
/// Few users, so that each of their streams is told much.
const SILENT: (usize, usize) = (20, 50);
/// What the system keeps for a client that does not read, bytes: less than by default, or it would take gigabytes.
const BUFFER: u32 = 4096;
const OPENING: usize = 64;
const FILE: usize = 2_000;
/// Until the api has cut off whoever does not read: their buffers fill first, then its patience ends.
const UNTIL_CUT: Duration = Duration::from_secs(300);
/// The api's own default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Before what was freed counts as free.
const SETTLED: Duration = Duration::from_secs(5);

/// What one client was told of: jobs that have ended.
type Ended = Arc<Mutex<HashSet<JobId>>>;

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let (metrics, many) = (free_address()?, "40000".to_owned());
    let api = vec![
        ("MAX_CONNECTIONS", many.clone()),
        ("MAX_CONNECTIONS_ADDRESS", many.clone()),
        ("USER_MAX_STREAMS", many),
        ("RESPONSE_IDLE_TIMEOUT", format!("{}s", IDLE_TIMEOUT.as_secs())),
        ("METRICS_LISTEN", metrics.to_string()),
    ];
    let (reading, silent) = (READING.0 * READING.1, SILENT.0 * SILENT.1);
    let system = System::start_with(Setup { api, ..Setup::default() }, root, services, READING.0 + SILENT.0).await?;
    tokio::time::sleep(SETTLED).await;
    let before = resident_memory(&system.api)?;
    forget_peak_memory(&system.api)?;

    let tokens = system.tokens.clone();
    let (of_readers, of_silent) = tokens.split_at(READING.0);
    let open = async |tokens: &[String], each: usize, buffer: Option<u32>| {
        let all = tokens.iter().enumerate().flat_map(|(user, token)| (0..each).map(move |_| (user, token.clone())));
        let address = system.api_address;
        let opened = stream::iter(all)
            .map(|(user, token)| async move { anyhow::Ok((user, Stream::open(address, &token, buffer).await?)) });
        opened.buffer_unordered(OPENING).try_collect::<Vec<_>>().await
    };
    let begun = Instant::now();
    let readers = open(of_readers, READING.1, None).await.context("opening streams")?;
    let opening = begun.elapsed();
    let mut ended: Vec<(usize, Ended)> = Vec::with_capacity(reading);
    let mut listening = JoinSet::new();
    for (user, stream) in readers {
        let of_this = Ended::default();
        ended.push((user, Arc::clone(&of_this)));
        listening.spawn(listen(stream, of_this));
    }
    let silent_streams = open(of_silent, SILENT.1, Some(BUFFER)).await.context("opening streams")?;
    tokio::time::sleep(SETTLED).await;
    let with = resident_memory(&system.api)?;

    // Every second upload is of a user whose clients do not read.
    let form = Form::new("file", "me.jpg", &[jpeg(FILE)]);
    let upload = system.upload("POST", "/api/v1/media", &form);
    let user = |number: usize| match number % 2 {
        0 => number / 2 % READING.0,
        _ => READING.0 + number / 2 % SILENT.0,
    };
    let pace = Pace::start(system.api_address, move |number| upload(user(number)));
    let begun = Instant::now();
    let left = until_streams(metrics, reading, UNTIL_CUT).await?;
    let cut_after = begun.elapsed();
    let paced = pace.stop().await?;
    anyhow::ensure!(paced.failed == 0, "{} uploads failed", paced.failed);
    let peak = peak_memory(&system.api)?;

    let cut = hung_up(silent_streams).await;
    let accepted = paced.jobs.iter().map(|(number, job)| (user(*number), *job));
    let missed = missed(&ended, accepted, READING.0).await;
    let broken = reading - listening.len() + listening_ended(&mut listening);
    listening.shutdown().await;
    until_streams(metrics, 0, PATIENCE).await?;
    tokio::time::sleep(SETTLED).await;
    let after = resident_memory(&system.api)?;
    println!(
        "{reading} streams opened in {opening:?}; {} uploads; {left} streams open when those that do not read were gone, after {cut_after:?}",
        paced.jobs.len()
    );
    system.remove().await?;
    Ok(vec![
        plain_row("api: memory without a stream", mib(before), "", true),
        plain_row("with 10,000 clients that read and 1,000 that never do", mib(with), "", true),
        plain_row("the most, while uploads go on and these are cut off", mib(peak), "", true),
        plain_row("after all have gone", mib(after), "", true),
        plain_row("clients that never read: cut off", format!("{cut} of {silent}"), "all", cut == silent),
        plain_row(
            "clients that read: ends missed, streams broken",
            format!("{missed}, {broken}"),
            "0, 0",
            missed == 0 && broken == 0,
        ),
    ])
}

async fn listen(mut stream: Stream, ended: Ended) {
    loop {
        match stream.next().await {
            Ok(Some(told)) if told.is_final() => {
                ended.lock().unwrap_or_else(PoisonError::into_inner).insert(told.id);
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => return tracing::warn!("a stream broke: {error:#}"),
        }
    }
}

/// How many have ended by themselves.
fn listening_ended(listening: &mut JoinSet<()>) -> usize {
    let mut count = 0;
    while listening.try_join_next().is_some() {
        count += 1;
    }
    count
}

/// Waits until so many streams are open, by the api's own word. Answers how many there are, in any case after `patience`.
async fn until_streams(metrics: std::net::SocketAddr, wanted: usize, patience: Duration) -> anyhow::Result<usize> {
    let deadline = Instant::now() + patience;
    loop {
        let text = reqwest::get(format!("http://{metrics}/metrics")).await?.error_for_status()?.text().await?;
        let count = text.lines().find_map(|line| line.strip_prefix("steep_event_streams "));
        let count: f64 = count.context("no such metric")?.trim().parse()?;
        let count = count as usize;
        if count <= wanted || Instant::now() > deadline {
            return Ok(count);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// How many of these streams the api has closed: what is left in the buffers can be read, and then they end.
async fn hung_up(streams: Vec<(usize, Stream)>) -> usize {
    let mut tasks = JoinSet::new();
    for (_, mut stream) in streams {
        tasks.spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            // An open stream would beat every 15 seconds, and never end.
            let to_the_end = async {
                loop {
                    match stream.socket.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), to_the_end).await.is_ok()
        });
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        count += usize::from(ended.unwrap_or_default());
    }
    count
}

/// How many ends of jobs were not told to a client that reads, after a while.
async fn missed(ended: &[(usize, Ended)], accepted: impl Iterator<Item = (usize, JobId)>, users: usize) -> usize {
    let mut of_user = vec![Vec::new(); users];
    for (user, job) in accepted {
        if let Some(jobs) = of_user.get_mut(user) {
            jobs.push(job);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let missed_by = |(user, told): &(usize, Ended)| {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            of_user[*user].iter().filter(|job| !told.contains(job)).count()
        };
        let missed = ended.iter().map(missed_by).sum();
        if missed == 0 || Instant::now() > deadline {
            return missed;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
