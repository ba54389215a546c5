//! Power cuts, on an ext4 in a file of its own.
//!
//! What the file holds is what the kernel has given to the disk so far. A copy of it, while the filesystem is still mounted, is the disk
//! after a power cut at that moment, and mounting the copy replays the journal as the next start would. Not covered: a disk that
//! loses what it has said to be written.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use messages::FileId;
use spool::{Area, Spool, Spooled};
use tempfile::TempDir;

use crate::names;
use crate::sweeping::all;

/// Files, to count what they cost together.
const TURNS: usize = 20;

/// A mounted filesystem.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// `None` where that is not allowed.
    fn make() -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().expect("a directory") };
        let made = disk.format().and_then(|()| disk.mount());
        if let Err(reason) = made {
            testkit::tools::skip(
                "power cuts were not tried",
                &format!("no ext4 can be made and mounted here: {reason}"),
            );
            return None;
        }
        Some(disk)
    }

    fn format(&self) -> Result<(), String> {
        let image = File::create(self.folder.path().join("image")).expect("a file");
        image.set_len(64 << 20).expect("a length");
        testkit::tools::run(Command::new("mkfs.ext4").arg("-q").arg(self.folder.path().join("image"))).map(drop)
    }

    fn mount(&self) -> Result<(), String> {
        fs::create_dir(self.root()).expect("a directory");
        // Nothing but a sync commits the journal while the test runs.
        let options = ["-t", "ext4", "-o", "loop,commit=3000"];
        testkit::tools::run(Command::new("mount").args(options).arg(self.folder.path().join("image")).arg(self.root()))
            .map(drop)
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    fn spool(&self) -> Spool {
        Spool::open(&self.root(), None).expect("a spool")
    }

    /// The disk as a power cut would leave it now, after the next start.
    fn after_power_cut(&self) -> Self {
        let copy = Self { folder: tempfile::tempdir().expect("a directory") };
        fs::copy(self.folder.path().join("image"), copy.folder.path().join("image")).expect("a copy");
        copy.mount().expect("mounted");
        copy
    }

    /// How often the disk was told to write down what it holds: the number of the 15th field of its statistics.
    fn flushes(&self) -> u64 {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
        let root = self.root();
        let device = mounts.lines().find_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            (rest.split(' ').next() == root.to_str()).then(|| device.trim_start_matches("/dev/").to_owned())
        });
        let statistics = format!("/sys/block/{}/stat", device.expect("it is mounted"));
        let statistics = fs::read_to_string(statistics).expect("the device's statistics");
        statistics.split_whitespace().nth(15).expect("a kernel that counts flushes").parse().expect("a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.root()).status();
    }
}

async fn commit(spool: &Spool, content: &[u8]) -> Spooled {
    let mut writer = spool.create();
    for piece in content.chunks(50_000) {
        writer.write(Bytes::copy_from_slice(piece)).await.expect("write");
    }
    writer.commit().await.expect("commit")
}

fn content(turn: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((at * 7 + turn) % 251).expect("small")).collect()
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_power_cut_at_that_moment() {
    let Some(disk) = Disk::make() else { return };
    let spool = disk.spool();
    for (turn, bytes) in [1, 2_000, 200_000, 1_500_000].into_iter().enumerate() {
        let expected = content(turn, bytes);
        let spooled = commit(&spool, &expected).await;
        let after = disk.after_power_cut();
        let found = fs::read(after.root().join("ready").join(spooled.file.to_string()));
        assert!(found.as_ref().is_ok_and(|found| *found == expected), "{bytes} bytes: {:?}", found.map(|f| f.len()));
        spooled.keep();
    }

    // What nobody has synced is lost, or this would show nothing.
    let unsynced = disk.root().join("ready").join("unsynced");
    fs::write(disk.root().join("unsynced"), content(0, 200_000)).expect("written");
    fs::rename(disk.root().join("unsynced"), &unsynced).expect("renamed");
    assert_eq!(fs::read(&unsynced).expect("there now").len(), 200_000);
    assert!(!disk.after_power_cut().root().join("ready/unsynced").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_share_their_syncs_are_all_there_after_a_power_cut() {
    let Some(disk) = Disk::make() else { return };
    let spool = disk.spool();
    let commits: Vec<_> = (0..64)
        .map(|turn| {
            let spool = spool.clone();
            tokio::spawn(async move { (commit(&spool, &content(turn, 30_000)).await, turn) })
        })
        .collect();
    let mut committed = Vec::new();
    for commit in commits {
        committed.push(commit.await.expect("a commit"));
    }
    let after = disk.after_power_cut();
    for (spooled, turn) in committed {
        let found = fs::read(after.root().join("ready").join(spooled.file.to_string())).expect("the file");
        assert!(found == content(turn, 30_000), "{} bytes", found.len());
        spooled.keep();
    }
}

#[tokio::test]
async fn a_name_that_a_power_cut_left_without_its_bytes_is_one_for_the_sweeper() {
    let Some(disk) = Disk::make() else { return };
    let spool = disk.spool();
    // Between the rename and the end of the syncs, if another file's sync commits the journal.
    let file = FileId::new();
    let (incoming, ready) = (disk.root().join("incoming"), disk.root().join("ready"));
    fs::write(incoming.join(file.to_string()), content(0, 200_000)).expect("written");
    fs::rename(incoming.join(file.to_string()), ready.join(file.to_string())).expect("renamed");
    File::open(&ready).expect("a directory").sync_all().expect("synced");
    let after = disk.after_power_cut();
    assert_eq!(fs::metadata(after.root().join("ready").join(file.to_string())).expect("a name").len(), 0);

    let after = after.spool();
    let left = all(&after).await;
    let [entry] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((entry.area, entry.file), (Area::Ready, file));
    assert!(!after.is_held(entry).await.expect("an answer"));
    assert!(after.remove_entry(entry).await.expect("removed"));
    drop(spool);
}

/// The name and the bytes each in a commit of their own.
fn commit_twice(spool: &Path) {
    let name = FileId::new().to_string();
    let (incoming, ready) = (spool.join("incoming").join(&name), spool.join("ready"));
    let mut file = File::create_new(&incoming).expect("created");
    file.write_all(&content(0, 2_000)).expect("written");
    file.sync_data().expect("synced");
    fs::rename(&incoming, ready.join(&name)).expect("renamed");
    File::open(&ready).expect("a directory").sync_all().expect("synced");
}

#[tokio::test]
async fn a_durable_file_costs_one_commit_of_the_journal() {
    let Some(disk) = Disk::make() else { return };
    let spool = disk.spool();
    let before = disk.flushes();
    for _ in 0..TURNS {
        commit(&spool, &content(0, 2_000)).await.keep();
    }
    let ours = disk.flushes() - before;
    for _ in 0..TURNS {
        commit_twice(&disk.root());
    }
    let twice = disk.flushes() - before - ours;
    println!("{TURNS} files: {ours} flushes of the disk, and {twice} with a commit each for bytes and name");
    assert!(ours * 4 <= twice * 3, "{ours} and {twice}");
    assert_eq!(names(&disk.root().join("ready")).len(), 2 * TURNS);
}
