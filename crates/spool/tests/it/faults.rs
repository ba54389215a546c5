//! Disks that are full, and files that others take away.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use spool::{Error, Spool};

use crate::{eventually, is_empty, names, spool, spooled};

/// A filesystem of 2 MiB. `None` where mounting is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "steep-test"]).arg(dir.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            refused => {
                let reason = format!("only root may mount a small filesystem here: {refused:?}");
                testkit::tools::skip("a full disk was not tried", &reason);
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_of_its_own_and_nothing_is_left() {
    let Some(disk) = SmallDisk::mount() else { return };
    let spool = Spool::open(disk.path(), None).expect("a spool");
    let free = spool.free_bytes().expect("a number");
    assert!(free > 1 << 20 && free <= 2 << 20, "{free}");

    let mut writer = spool.create();
    let mut refused = None;
    for _ in 0..40 {
        if let Err(error) = writer.write(Bytes::from(vec![0; 200_000])).await {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(Error::Full)), "{refused:?}");
    assert!(matches!(writer.write(Bytes::from(vec![0; 200_000])).await, Ok(()) | Err(Error::Broken)));
    assert!(matches!(writer.commit().await, Err(Error::Broken)));

    let mut small = spool.create();
    small.write(Bytes::from(vec![0; 3 << 20])).await.expect("only kept so far");
    assert!(matches!(small.commit().await, Err(Error::Full)));

    let room_again = || is_empty(disk.path()) && spool.free_bytes().is_ok_and(|now| now == free);
    eventually("no file is left", room_again).await;
    spooled(&spool, b"there is room again").await.keep();
}

#[tokio::test]
async fn two_areas_on_two_filesystems_are_refused() {
    let Some(disk) = SmallDisk::mount() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let ready = dir.path().join("ready");
    fs::create_dir(&ready).expect("a directory");
    let bound = Command::new("mount").arg("--bind").arg(disk.path()).arg(&ready).status().expect("mount");
    assert!(bound.success());
    let refused = Spool::open(dir.path(), None);
    let _ = Command::new("umount").arg("-l").arg(&ready).status();
    let error = refused.expect_err("two filesystems");
    assert!(matches!(error, Error::Split { .. }) && error.to_string().starts_with("SPOOL_DIR: "), "{error}");
}

#[tokio::test]
async fn a_file_taken_away_while_it_is_received_fails_the_commit() {
    let (dir, spool) = spool();
    let incoming = dir.path().join("incoming");
    let mut writer = spool.create();
    for _ in 0..3 {
        writer.write(Bytes::from(vec![0; 300_000])).await.expect("write");
    }
    eventually("the first batch is on disk", || !names(&incoming).is_empty()).await;
    fs::remove_file(incoming.join(writer.file().to_string())).expect("remove");
    assert!(matches!(writer.commit().await, Err(Error::Io { doing: "rename", .. })));
    assert!(is_empty(dir.path()));
}

#[tokio::test]
async fn a_spool_that_is_taken_away_refuses_uploads_and_does_not_panic() {
    let (dir, spool) = spool();
    fs::remove_dir_all(dir.path()).expect("remove");
    let mut writer = spool.create();
    writer.write(Bytes::from_static(b"x")).await.expect("only kept so far");
    assert!(matches!(writer.commit().await, Err(Error::Io { doing: "create", .. })));
    assert!(spool.free_bytes().is_err());
    assert!(spool.entries().next_page().await.is_err());
}
