//! What workers told and were told as it was first written is read.

use store::{Controlled, JobState, Window, WorkerState};

use super::{golden, user_id, world};

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_the_first_release_are_read() {
    for (name, state) in [("workers/alive", WorkerState::Vanished), ("workers/left", WorkerState::Left)] {
        let fixture = world(&[name]).await;
        let worker = fixture.store.workers().find("host-1-0123abcd").await.expect("an answer").expect("a worker");
        assert_eq!((worker.state(), worker.host.as_str(), worker.spool.as_str()), (state, "host", "here"), "{name}");
        assert_eq!((worker.slots[0].slots, worker.running.len(), worker.clock_offset_ms), (4, 1, Some(-3)), "{name}");
        assert_eq!(worker.spool_fill.map(|fill| fill.bytes), Some(300), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn controls_of_the_first_release_hold() {
    let fixture = world(&["controls/queue", "controls/user", "controls/worker"]).await;
    let controls = fixture.store.controls();
    let orders = controls.orders("host-1-0123abcd").await.expect("an answer");
    assert_eq!((orders.queues.len(), orders.users.len(), orders.drain), (1, 1, true));
    for control in controls.all().await.expect("a list") {
        assert_eq!((control.by.as_str(), control.why.as_str()), ("ada", "a deploy"));
        assert!(controls.lift(&control.what).await.expect("an answer"));
    }
    assert_eq!(controls.all().await.expect("a list"), []);
    assert_eq!(controls.find(&Controlled::User(user_id("users/avatar"))).await.expect("an answer"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn rollups_of_the_first_release_are_read_and_gone_on_with() {
    let fixture = world(&["rollups/claim", "rollups/waiting", "rollups/minute", "rollups/ten", "rollups/hour"]).await;
    let rollups = fixture.store.rollups();
    let snapshot = rollups.snapshot().await.expect("an answer").expect("a snapshot");
    assert!(snapshot.queues.iter().any(|queue| queue.state == JobState::Retryable), "{snapshot:?}");
    let minute = golden("rollups/minute");
    let kinds = minute.get_array("kinds").expect("kinds");
    assert!(!kinds.is_empty());
    // It is longer ago than any window.
    assert!(rollups.window(Window::Week).await.expect("rollups").iter().all(|part| part.kinds.is_empty()));
    rollups.make("another").await.expect("the claim has run out");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comparing_counts_had_found_is_read_and_added_to() {
    let fixture = world(&["reconciliations/last"]).await;
    let counters = fixture.store.counters();
    counters.note_reconciled(7, 0, None).await.expect("noted");
    let read = counters.reconciled().await.expect("an answer").expect("a reconciliation");
    assert_eq!((read.checked, read.checked_ever, read.drifted_ever, read.last_drift), (7, 107, 0, None));
}
