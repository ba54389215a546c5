//! A file from its first byte to its removal.

use std::fs;

use bytes::Bytes;
use spool::Error;
use tokio::io::AsyncReadExt;

use crate::{eventually, is_empty, names, spool, spooled};

#[tokio::test]
async fn a_committed_file_is_ready_with_its_length_and_crc_32() {
    let (dir, spool) = spool();
    let spooled = spooled(&spool, b"hello").await;
    assert_eq!(spooled.bytes, 5);
    assert_eq!(spooled.crc32, 0x3610_a686);
    let path = spool.path(spooled.file);
    spooled.keep();
    assert_eq!(fs::read(path).expect("the file"), b"hello");
    assert!(names(&dir.path().join("incoming")).is_empty());
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let (_dir, spool) = spool();
    let spooled = spool.create().commit().await.expect("commit");
    assert_eq!((spooled.bytes, spooled.crc32), (0, 0));
}

#[tokio::test]
async fn a_large_file_in_chunks_of_any_size_arrives_in_order() {
    let (_dir, spool) = spool();
    let mut writer = spool.create();
    let mut expected = Vec::new();
    for (turn, size) in [0, 1, 7, 4096, 65_536, 300_000, 1_000_000].into_iter().cycle().take(70).enumerate() {
        let chunk = vec![u8::try_from(turn).expect("small"); size];
        expected.extend_from_slice(&chunk);
        writer.write(Bytes::from(chunk)).await.expect("write");
    }
    assert_eq!(writer.bytes(), expected.len() as u64);
    let spooled = writer.commit().await.expect("commit");
    assert_eq!(spooled.crc32, crc32fast::hash(&expected));
    let mut found = Vec::new();
    spool.open_file(spooled.file).await.expect("open").read_to_end(&mut found).await.expect("read");
    assert!(found == expected, "{} bytes expected, {} found", expected.len(), found.len());
}

#[tokio::test]
async fn a_client_that_sends_single_bytes_is_written_too() {
    let (_dir, spool) = spool();
    let mut writer = spool.create();
    for _ in 0..5000 {
        writer.write(Bytes::from_static(b"x")).await.expect("write");
    }
    let spooled = writer.commit().await.expect("commit");
    assert_eq!(fs::read(spool.path(spooled.file)).expect("the file"), vec![b'x'; 5000]);
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_nothing() {
    let (dir, spool) = spool();
    for batches in 0..6 {
        let mut writer = spool.create();
        for _ in 0..batches {
            writer.write(Bytes::from(vec![0; 150_000])).await.expect("write");
        }
        drop(writer);
    }
    eventually("no file is left", || is_empty(dir.path())).await;
}

#[tokio::test]
async fn a_commit_that_is_cancelled_leaves_nothing() {
    let (dir, spool) = spool();
    for delay in 0..40 {
        let mut writer = spool.create();
        writer.write(Bytes::from(vec![0; 500_000])).await.expect("write");
        let commit = tokio::spawn(async move { writer.commit().await.map(|spooled| spooled.file) });
        tokio::time::sleep(std::time::Duration::from_micros(delay * 50)).await;
        commit.abort();
        let _ = commit.await;
    }
    eventually("no file is left", || is_empty(dir.path())).await;
}

#[tokio::test]
async fn a_write_that_is_cancelled_can_be_followed_by_others() {
    let (_dir, spool) = spool();
    let mut writer = spool.create();
    let mut bytes = 0;
    for _ in 0..50 {
        let chunk = Bytes::from(vec![1; 200_000]);
        if tokio::time::timeout(std::time::Duration::ZERO, writer.write(chunk)).await.is_ok() {
            bytes += 200_000;
        }
    }
    assert_eq!(writer.bytes(), bytes);
    assert_eq!(writer.commit().await.expect("commit").bytes, bytes);
}

#[tokio::test]
async fn a_spooled_file_nobody_keeps_is_removed() {
    let (dir, spool) = spool();
    drop(spooled(&spool, b"nobody's").await);
    eventually("no file is left", || is_empty(dir.path())).await;
}

#[test]
fn files_are_removed_when_the_runtime_ends_first() {
    let (dir, spool) = spool();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (writer, committed) = runtime.block_on(async {
        let mut writer = spool.create();
        for _ in 0..5 {
            writer.write(Bytes::from(vec![0; 200_000])).await.expect("write");
        }
        (writer, spooled(&spool, b"x").await)
    });
    drop(runtime);
    drop((writer, committed));
    assert!(is_empty(dir.path()));
}

#[tokio::test]
async fn removing_twice_is_no_error() {
    let (_dir, spool) = spool();
    let spooled = spooled(&spool, b"x").await;
    let file = spooled.file;
    spooled.keep();
    assert!(spool.remove(file).await.expect("remove"));
    assert!(!spool.remove(file).await.expect("remove again"));
    assert!(matches!(spool.open_file(file).await, Err(Error::Missing(missing)) if missing == file));
}

#[tokio::test]
async fn a_file_that_is_open_can_be_read_after_it_was_removed() {
    let (_dir, spool) = spool();
    let spooled = spooled(&spool, b"still here").await;
    let mut opened = spool.open_file(spooled.file).await.expect("open");
    spool.remove(spooled.file).await.expect("remove");
    let mut found = String::new();
    opened.read_to_string(&mut found).await.expect("read");
    assert_eq!(found, "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_do_not_disturb_each_other() {
    let (dir, spool) = spool();
    let tasks: Vec<_> = (0..64_u8)
        .map(|turn| {
            let spool = spool.clone();
            tokio::spawn(async move {
                let content = vec![turn; 1000 + 10_000 * usize::from(turn)];
                let spooled = spooled(&spool, &content).await;
                assert_eq!(fs::read(spool.path(spooled.file)).expect("the file"), content);
                spooled.keep();
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a file");
    }
    assert_eq!(names(&dir.path().join("ready")).len(), 64);
}
