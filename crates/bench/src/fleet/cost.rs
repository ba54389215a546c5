//! What being seen costs: accept and drain rates with metrics, traces and event streams on, beside the same with all of it off.
//!
//! Everything in turn and several times over, so that a machine that is slower for a while is slower for all. A ratio is that of one
//! round. Webhooks are none of it: each is a job of its own, and so more work. Signs of life and rollups are always on.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use testkit::Services;
use testkit::process::free_address;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::collector::Collector;
use super::mib;
use super::stream::Stream;
use crate::accept::{self, Upload};
use crate::drain;
use crate::system::{Setup, System};
use crate::table::{Row, median};

/// Uploads of a round, each by a user of its own.
const COUNT: usize = 2_000;
const ROUNDS: usize = 5;
/// More often than Prometheus does, so that every round has some.
const SCRAPE_EVERY: Duration = Duration::from_secs(2);
const OPENING: usize = 32;

/// What is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct On {
    name: &'static str,
    metrics: bool,
    streams: bool,
    traces: bool,
}

const OFF: On = On { name: "nothing", metrics: false, streams: false, traces: false };
const VARIANTS: [On; 5] = [
    OFF,
    On { name: "metrics", metrics: true, ..OFF },
    On { name: "streams", streams: true, ..OFF },
    On { name: "traces", traces: true, ..OFF },
    On { name: "all", metrics: true, streams: true, traces: true },
];
/// Rows of accepting and of draining, for each but the first.
const ROWS: [(&str, &str); 4] = [
    ("accepting avatars with metrics, against all off", "finishing them with metrics"),
    ("accepting with an event stream for each user", "finishing with an event stream for each user"),
    ("accepting with traces of every request", "finishing with traces of every request"),
    ("accepting with all of it", "finishing with all of it"),
];

/// Uploads a second.
#[derive(Debug, Clone, Copy)]
struct Rates {
    accepted: f64,
    drained: f64,
}

pub async fn measure(root: &Path, services: &Services, rounds: Option<usize>) -> anyhow::Result<Vec<Row>> {
    let rounds = rounds.unwrap_or(ROUNDS);
    let mut measured: Vec<[Rates; VARIANTS.len()]> = Vec::new();
    for round in 0..rounds {
        let mut rates = [Rates { accepted: 0.0, drained: 0.0 }; VARIANTS.len()];
        // Not always in the same order, should one suffer from what the one before has left.
        for turn in 0..VARIANTS.len() {
            let number = (turn + round) % VARIANTS.len();
            rates[number] = run(root, services, VARIANTS[number]).await?;
            let Rates { accepted, drained } = rates[number];
            println!("round {round}, {}: accepting {accepted:.0}/s, finishing {drained:.0}/s", VARIANTS[number].name);
        }
        measured.push(rates);
    }
    let mut rows = Vec::new();
    for (number, (accepting, finishing)) in (1..).zip(ROWS) {
        let is_all = number + 1 == VARIANTS.len();
        rows.push(row(accepting, is_all, measured.iter().map(|round| (round[number].accepted, round[0].accepted))));
        rows.push(row(finishing, is_all, measured.iter().map(|round| (round[number].drained, round[0].drained))));
    }
    Ok(rows)
}

fn row(what: &'static str, is_all: bool, rounds: impl Iterator<Item = (f64, f64)> + Clone) -> Row {
    let ratios: Vec<f64> = rounds.clone().map(|(on, off)| on / off * 100.0).collect();
    let ratio = median(ratios.clone());
    let (least, most) =
        ratios.iter().fold((f64::MAX, 0.0_f64), |(least, most), ratio| (least.min(*ratio), most.max(*ratio)));
    Row {
        what,
        ours: format!("{:.0}/s ({least:.0} to {most:.0} %)", median(rounds.clone().map(|(on, _)| on).collect())),
        yardstick: format!("{:.0}/s", median(rounds.map(|(_, off)| off).collect())),
        ratio: format!("{ratio:.1} %"),
        bound: if is_all { ">= 97 %" } else { "" },
        met: !is_all || ratio >= 97.0,
    }
}

async fn run(root: &Path, services: &Services, on: On) -> anyhow::Result<Rates> {
    let (of_api, collector) = (free_address()?, Collector::start().await?);
    let many = "20000".to_owned();
    let mut api = vec![("MAX_CONNECTIONS", many.clone()), ("MAX_CONNECTIONS_ADDRESS", many)];
    let mut worker = Vec::new();
    if on.metrics {
        api.push(("METRICS_LISTEN", of_api.to_string()));
    }
    if on.traces {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address));
        api.push(endpoint.clone());
        worker.push(endpoint);
    }
    let setup = Setup { uploads: Some(drain::AT_ONCE), api, worker, ..Setup::default() };
    let mut system = System::start_with(setup, root, services, COUNT).await?;
    system.worker.kill();
    let of_worker = system.health;
    if !on.metrics {
        // It is what has the worker record anything.
        system.unset_of_worker("WORKER_HEALTH");
    }
    let mut beside = JoinSet::new();
    if on.streams {
        let opened = stream::iter(system.tokens.iter().cloned());
        let opened = opened.map(|token| {
            let address = system.api_address;
            async move { Stream::open(address, &token, None).await }
        });
        let streams: Vec<Stream> = opened.buffer_unordered(OPENING).try_collect().await?;
        for stream in streams {
            beside.spawn(read(stream));
        }
    }
    if on.metrics {
        beside.spawn(scrape(of_api));
        beside.spawn(scrape(of_worker));
    }
    let accepted = accept::accept(&system, services, Upload::Avatar, drain::FILE, COUNT).await?;
    let drained = drain::steep(&mut system, services, COUNT).await?;
    beside.shutdown().await;
    if on.traces {
        println!("traces: {}", mib(collector.bytes()));
        anyhow::ensure!(collector.bytes() > 0, "no traces came");
    }
    system.remove().await?;
    Ok(Rates { accepted: accepted.per_second, drained: drained.per_second })
}

/// Bytes are taken, and looked at no further: that would be the client's own cost.
async fn read(mut stream: Stream) {
    let mut buffer = [0; 4096];
    while stream.socket.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

/// As Prometheus does.
async fn scrape(address: SocketAddr) {
    let http = reqwest::Client::new();
    loop {
        // Before the worker runs nobody answers.
        if let Ok(reply) = http.get(format!("http://{address}/metrics")).send().await {
            let _text = reply.bytes().await;
        }
        tokio::time::sleep(SCRAPE_EVERY).await;
    }
}
