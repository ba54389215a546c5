//! The spool on a real filesystem.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a failed expectation is a failed test")]

mod faults;
mod lifecycle;
mod opening;
mod power;
mod sweeping;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use spool::{Spool, Spooled};

/// A spool in a directory of its own.
fn spool() -> (tempfile::TempDir, Spool) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let spool = Spool::open(dir.path(), None).expect("a new spool");
    (dir, spool)
}

async fn spooled(spool: &Spool, content: &[u8]) -> Spooled {
    let mut writer = spool.create();
    writer.write(Bytes::copy_from_slice(content)).await.expect("write");
    writer.commit().await.expect("commit")
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn is_empty(dir: &Path) -> bool {
    names(&dir.join("incoming")).is_empty() && names(&dir.join("ready")).is_empty()
}

/// Waits for what happens in the background.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
