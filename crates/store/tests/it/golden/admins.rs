//! Admins and the audit as they were first written are read.

use messages::UserId;
use store::{Actor, AdminRole};

use super::{golden, user_id, world};

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_of_the_first_release_is_one() {
    let fixture = world(&["users/admin"]).await;
    let id = user_id("users/admin");
    assert_eq!(fixture.read_user(id).await.admin, Some(AdminRole::ReadOnly));
    let admins = fixture.store.users().admins().await.expect("a list");
    assert_eq!(admins.iter().map(|admin| (admin.id, admin.role)).collect::<Vec<_>>(), [(id, AdminRole::ReadOnly)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_audit_of_the_first_release_are_read() {
    for (name, outcome, count, reason) in [
        ("audit/begun", "begun", None, None),
        ("audit/done", "done", Some(1), None),
        ("audit/failed", "failed", None, Some("it was gone")),
    ] {
        let fixture = world(&[name]).await;
        let page = fixture.store.audit().list(None, 10).await.expect("a page");
        assert_eq!(page.items.len(), 1, "{name}");
        let entry = &page.items[0];
        assert_eq!((entry.action.as_str(), entry.outcome.as_str()), ("channel.reconcile", outcome), "{name}");
        assert_eq!((entry.count, entry.reason.as_deref()), (count, reason), "{name}");
        assert_eq!(entry.ended_at.is_some(), outcome != "begun", "{name}");
        let id = golden(name).get_object_id("_id").expect("an id").to_hex();
        assert_eq!(entry.id().to_string(), id);
        if outcome == "failed" {
            assert_eq!((&entry.by, &entry.from, &entry.target), (&Actor::command_line(), &None, &None));
            continue;
        }
        let user: UserId = golden(name)
            .get_document("by")
            .expect("who")
            .get_object_id("user")
            .expect("an id")
            .to_hex()
            .parse()
            .expect("an id");
        assert_eq!((entry.by.user, entry.from.as_deref()), (Some(user), Some("192.0.2.1")), "{name}");
        let target = entry.target.as_ref().expect("a target");
        assert_eq!((target.kind.as_str(), target.id.clone()), ("channel", user.to_string()), "{name}");
    }
}
