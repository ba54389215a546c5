//! Listing and removing what nobody owns.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use bytes::Bytes;
use spool::{Area, Entry, Error, Spool};

use crate::{eventually, names, spool, spooled};

pub async fn all(spool: &Spool) -> Vec<Entry> {
    let mut entries = spool.entries();
    let mut all = Vec::new();
    loop {
        let page = entries.next_page().await.expect("a page");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[tokio::test]
async fn entries_tell_area_name_and_age() {
    let (dir, spool) = spool();
    let ready = spooled(&spool, b"12345").await;
    let mut writer = spool.create();
    for _ in 0..3 {
        writer.write(Bytes::from(vec![0; 300_000])).await.expect("write");
    }
    eventually("the first batch is on disk", || !names(&dir.path().join("incoming")).is_empty()).await;

    let entries = all(&spool).await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    let now = spool.time().await.expect("a time");
    for entry in entries {
        assert!(now.duration_since(entry.modified).expect("a clock that runs on") < Duration::from_secs(60));
        match entry.area {
            Area::Ready => assert_eq!(entry.file, ready.file),
            Area::Incoming => assert_eq!(entry.file, writer.file()),
        }
    }
}

#[tokio::test]
async fn a_file_is_held_from_its_first_byte_until_it_is_known_whose_it_is() {
    let (dir, spool) = spool();
    let only = async |spool: &Spool| {
        let all = all(spool).await;
        let [entry] = all.as_slice() else { panic!("{all:?}") };
        (entry.area, spool.is_held(entry).await.expect("an answer"))
    };
    let mut writer = spool.create();
    for _ in 0..3 {
        writer.write(Bytes::from(vec![0; 300_000])).await.expect("write");
    }
    eventually("the first batch is on disk", || !names(&dir.path().join("incoming")).is_empty()).await;
    assert_eq!(only(&spool).await, (Area::Incoming, true));
    // Another process asks through a handle of its own.
    let other = Spool::open(dir.path(), None).expect("the same spool");
    assert_eq!(only(&other).await, (Area::Incoming, true));

    let spooled = writer.commit().await.expect("committed");
    assert_eq!(only(&other).await, (Area::Ready, true));
    let hold = spooled.keep();
    assert_eq!(only(&other).await, (Area::Ready, true), "its job may be durable or not");
    drop(hold);
    assert_eq!(only(&other).await, (Area::Ready, false));
}

#[tokio::test]
async fn the_volume_dates_its_files_by_one_clock_that_runs_on() {
    let (dir, spool) = spool();
    let before = spool.time().await.expect("a time");
    let file = spooled(&spool, b"12345").await;
    // As long as the coarsest clock of a filesystem that uploads are kept on.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let after = spool.time().await.expect("a time");
    let modified = all(&spool).await.first().expect("a file").modified;
    assert!((before..=after).contains(&modified) && before < after, "{before:?} {modified:?} {after:?}");
    assert_eq!(all(&spool).await.len(), 1, "what asks for the time is no file of an upload");
    drop((dir, file));
}

#[tokio::test]
async fn many_entries_come_in_pages_and_each_once() {
    let (dir, spool) = spool();
    for _ in 0..1300 {
        let name = messages::FileId::new().to_string();
        fs::write(dir.path().join("ready").join(name), "").expect("write");
    }
    let found = all(&spool).await;
    let mut names: Vec<String> = found.iter().map(|entry| entry.file.to_string()).collect();
    names.sort();
    names.dedup();
    assert_eq!((found.len(), names.len()), (1300, 1300));
}

#[tokio::test]
async fn a_file_left_by_a_killed_process_can_be_removed() {
    let (dir, spool) = spool();
    let left = dir.path().join("incoming").join(messages::FileId::new().to_string());
    fs::write(&left, "half").expect("write");
    let entries = all(&spool).await;
    assert!(spool.remove_entry(&entries[0]).await.expect("remove"));
    assert!(!spool.remove_entry(&entries[0]).await.expect("remove again"));
    assert!(!left.exists());
}

#[tokio::test]
async fn what_is_not_ours_is_not_listed() {
    let (dir, spool) = spool();
    let ready = dir.path().join("ready");
    let uuid = |digit: char| "12345678-1234-4234-8234-12345678901?".replace('?', &digit.to_string());
    fs::write(ready.join("notes.txt"), "").expect("write");
    fs::write(ready.join(uuid('A')), "upper case is another name").expect("write");
    fs::create_dir(ready.join(uuid('1'))).expect("a directory");
    symlink("/etc/passwd", ready.join(uuid('2'))).expect("a link");
    assert_eq!(names(&ready).len(), 4);
    assert_eq!(all(&spool).await, []);
}

#[tokio::test]
async fn a_link_or_a_directory_under_one_of_our_names_is_not_opened() {
    let (dir, spool) = spool();
    let (link, directory) = (messages::FileId::new(), messages::FileId::new());
    symlink("/etc/passwd", dir.path().join("ready").join(link.to_string())).expect("a link");
    fs::create_dir(dir.path().join("ready").join(directory.to_string())).expect("a directory");
    for file in [link, directory] {
        assert!(matches!(spool.open_file(file).await, Err(Error::Missing { .. })));
    }
}
