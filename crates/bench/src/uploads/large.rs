//! Large files: throughput beside nginx, and memory that does not grow with them.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use testkit::{Services, mp4, process};

use super::nginx::Nginx;
use crate::load::{self, Request};
use crate::system::{Form, System};
use crate::table::{Row, median};

const MEGABYTE: usize = 1_000_000;
const FILE: usize = 100 * MEGABYTE;
const PIECE: usize = MEGABYTE;
const ROUNDS: usize = 2;
/// Long enough that nginx, too, writes to the disk and not only to memory.
const ROUND: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(5);
const MIB: u64 = 1024 * 1024;

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let video = video();
    let system = System::start(root, services, 64).await?;
    tokio::time::sleep(IDLE).await;
    let api_idle = process::resident_memory(&system.api)?;
    let nginx = Nginx::start(root).await?;
    system.worker.pause(true);
    let upload = system.upload("POST", "/api/v1/media", &Form::new("file", "film.mp4", &video));

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let body = video.clone();
        let put = move |number| Request::new("PUT", &format!("/f/{number}.mp4"), "", body.clone());
        theirs.push(megabytes_per_second(&load::run(nginx.address, 8, ROUND, put).await)?);
        nginx.clear()?;
        // What one has left in memory is not for the other to wait for.
        rustix::fs::sync();
        ours.push(megabytes_per_second(&load::run(system.api_address, 8, ROUND, upload.clone()).await)?);
        clear_spool(&system)?;
        rustix::fs::sync();
    }
    process::forget_peak_memory(&system.api)?;
    megabytes_per_second(&load::run(system.api_address, 64, ROUND / 2, upload).await)?;
    let peak = process::peak_memory(&system.api)?;
    system.remove().await?;

    let (ours, theirs) = (median(ours), median(theirs));
    let grown = peak.saturating_sub(api_idle);
    Ok(vec![
        Row {
            what: "100 MB bodies, 8 at a time, against nginx",
            ours: format!("{ours:.0} MB/s"),
            yardstick: format!("{theirs:.0} MB/s"),
            ratio: format!("{:.0} %", ours / theirs * 100.0),
            bound: ">= 70 %",
            met: ours >= 0.7 * theirs,
        },
        Row {
            what: "api: resident memory with 64 of them, above idle",
            ours: format!("{:.1} MiB", grown as f64 / MIB as f64),
            yardstick: String::new(),
            ratio: String::new(),
            bound: "<= 32 MiB",
            met: grown <= 32 * MIB,
        },
    ])
}

/// A video whose pieces but the first share their memory.
fn video() -> Vec<Bytes> {
    let mut pieces = vec![mp4(PIECE)];
    pieces.resize(FILE / PIECE, Bytes::from(vec![0x5A; PIECE]));
    pieces
}

fn megabytes_per_second(load: &load::Load) -> anyhow::Result<f64> {
    anyhow::ensure!(load.failed == 0, "{} uploads failed", load.failed);
    Ok(load.per_second() * FILE as f64 / MEGABYTE as f64)
}

/// The worker is paused and its jobs are not wanted: make room for the next round.
fn clear_spool(system: &System) -> anyhow::Result<()> {
    for file in std::fs::read_dir(system.folder.join("spool").join("ready"))? {
        std::fs::remove_file(file?.path())?;
    }
    Ok(())
}
