//! The audit.

use bson::{DateTime, Document, doc};
use store::{Act, Actor, AuditOutcome, Target};

use crate::support::{DAY, Fixture};

fn act(detail: &str) -> Act {
    let target = Some(Target::new("job", &"a job"));
    Act {
        by: Actor::command_line(),
        from: Some("192.0.2.1".to_owned()),
        action: "job.retry",
        target,
        detail: Some(detail.to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_there_before_the_action_and_is_completed_after_it() {
    let fixture = Fixture::new().await;
    let audit = fixture.store.audit();
    let id = audit.begin(act("$one")).await.expect("noted");
    let only = async || {
        let page = audit.list(None, 10).await.expect("a page");
        assert_eq!((page.items.len(), page.next), (1, None));
        page.items[0].clone()
    };
    let begun = only().await;
    assert_eq!((begun.id(), begun.outcome.as_str(), begun.count, begun.ended_at), (id, "begun", None, None));
    assert_eq!((begun.by, begun.from.as_deref()), (Actor::command_line(), Some("192.0.2.1")));
    assert_eq!((begun.action.as_str(), begun.detail.as_deref()), ("job.retry", Some("$one")));
    for (outcome, stored, reason, count) in [
        (AuditOutcome::Failed { reason: "$no".to_owned() }, "failed", Some("$no"), None),
        (AuditOutcome::Done { count: 3 }, "done", Some("$no"), Some(3)),
    ] {
        audit.end(id, &outcome).await.expect("noted");
        let ended = only().await;
        assert_eq!((ended.outcome.as_str(), ended.reason.as_deref(), ended.count), (stored, reason, count));
        assert!(ended.ended_at.is_some_and(|at| at >= ended.at));
    }
    let stored = fixture.collection("audit").find_one(doc! {}).await.expect("an answer").expect("an entry");
    let kept = stored.get_datetime("expireAt").expect("a time").timestamp_millis()
        - stored.get_datetime("at").expect("a time").timestamp_millis();
    assert_eq!(i128::from(kept), (400 * DAY).as_millis().cast_signed());
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_one_moment_are_each_met_once() {
    let fixture = Fixture::new().await;
    let audit = fixture.store.audit();
    for number in 0..7 {
        audit.begin(act(&number.to_string())).await.expect("noted");
    }
    let same = doc! { "$set": { "at": DateTime::from_millis(1_700_000_000_000) } };
    fixture.collection("audit").update_many(doc! {}, same).await.expect("written");
    let (mut met, mut after) = (Vec::new(), None);
    loop {
        let page = audit.list(after, 2).await.expect("a page");
        met.extend(page.items.into_iter().map(|entry| entry.detail.expect("a detail")));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(met, ["6", "5", "4", "3", "2", "1", "0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_any_length_is_kept_in_part() {
    let fixture = Fixture::new().await;
    let long = "ä".repeat(1_000_000);
    let id = fixture.store.audit().begin(act(&long)).await.expect("noted");
    fixture.store.audit().end(id, &AuditOutcome::Failed { reason: long }).await.expect("noted");
    let stored: Document = fixture.collection("audit").find_one(doc! {}).await.expect("an answer").expect("an entry");
    for name in ["detail", "reason"] {
        assert_eq!(stored.get_str(name).expect("a text").chars().count(), 2000);
    }
}
