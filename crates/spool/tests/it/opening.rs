//! Opening a spool: what it makes, what it refuses, what it remembers.

use std::fs;
use std::os::unix::fs::symlink;

use messages::SpoolId;
use spool::{Error, Spool};

use crate::{is_empty, names};

fn id(text: &str) -> SpoolId {
    text.parse().expect("a spool's id")
}

#[test]
fn the_directory_is_made_and_nothing_but_id_and_clock_are_left_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("a/b");
    Spool::open(&root, None).expect("a new spool");
    let mut found = names(&root);
    found.sort();
    assert_eq!(found, ["clock", "id", "incoming", "ready"]);
    assert!(is_empty(&root));
}

#[test]
fn the_id_is_the_same_at_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Spool::open(dir.path(), None).expect("a new spool").id().clone();
    assert_eq!(*Spool::open(dir.path(), None).expect("the same spool").id(), first);
    assert_eq!(*Spool::open(dir.path(), Some(first.clone())).expect("the same spool").id(), first);
}

#[test]
fn two_spools_have_two_ids() {
    let dir = tempfile::tempdir().expect("a directory");
    let one = Spool::open(&dir.path().join("one"), None).expect("a spool");
    let two = Spool::open(&dir.path().join("two"), None).expect("a spool");
    assert_ne!(one.id(), two.id());
}

#[test]
fn another_id_than_the_stored_one_is_refused_with_both_named() {
    let dir = tempfile::tempdir().expect("a directory");
    Spool::open(dir.path(), Some(id("north"))).expect("a new spool");
    let error = Spool::open(dir.path(), Some(id("south"))).expect_err("another id");
    assert!(matches!(error, Error::IdDiffers { .. }));
    let text = error.to_string();
    assert!(text.starts_with("SPOOL_ID: ") && text.contains("north") && text.contains("south"), "{text}");
}

#[test]
fn programs_that_start_together_agree_on_one_id() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || Spool::open(dir.path(), None).expect("a spool").id().clone();
        let ids = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("an id")).collect::<Vec<_>>()
        });
        assert!(ids.iter().all(|one| *one == ids[0]), "{ids:?}");
        assert_eq!(names(dir.path()).len(), 4, "no draft of the id is left");
    }
}

#[test]
fn a_damaged_id_is_refused_and_not_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("id"), "Not An Id").expect("write");
    let error = Spool::open(dir.path(), Some(id("north"))).expect_err("no id");
    assert!(matches!(error, Error::IdUnreadable { .. }), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("id")).expect("read"), "Not An Id");
}

#[test]
fn what_cannot_be_a_spool_is_refused_with_the_variable_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("write");
    let linked = dir.path().join("linked");
    fs::create_dir(&linked).expect("a directory");
    symlink("/tmp", linked.join("ready")).expect("a link");
    // /proc takes no new directories, not even from root.
    for unusable in [file, linked, "/proc/spool".into()] {
        let error = Spool::open(&unusable, None).expect_err("not a spool");
        let text = error.to_string();
        assert!(matches!(error, Error::Unusable { .. }), "{text}");
        assert!(text.starts_with("SPOOL_DIR: expected ") && text.contains(&*unusable.to_string_lossy()), "{text}");
    }
}
