//! What happens to admins, and what they do.

use bson::oid::ObjectId;
use store::{Act, Actor, AdminRole, AuditId, AuditOutcome, Target};

use super::Told;

impl Told {
    async fn note_entry(&mut self, name: &str, id: AuditId) {
        let id: ObjectId = id.to_string().parse().expect("an id");
        self.note(&format!("audit/{name}"), id).await;
    }

    pub(super) async fn admins(&mut self) {
        let admin = self.fixture.user().await;
        let name = self.fixture.read_user(admin).await.username;
        let store = self.fixture.store.clone();
        store.users().grant_admin(&name, AdminRole::ReadOnly).await.expect("an answer").expect("the user");
        self.note_user("admin", admin).await;

        let act = Act {
            by: Actor { user: Some(admin), name },
            from: Some("192.0.2.1".to_owned()),
            action: "channel.reconcile",
            target: Some(Target::new("channel", &admin)),
            detail: Some("ada".to_owned()),
        };
        let entry = store.audit().begin(act.clone()).await.expect("noted");
        self.note_entry("begun", entry).await;
        store.audit().end(entry, &AuditOutcome::Done { count: 1 }).await.expect("noted");
        self.note_entry("done", entry).await;
        let by_command = Act { by: Actor::command_line(), from: None, target: None, detail: None, ..act };
        let entry = store.audit().begin(by_command).await.expect("noted");
        store.audit().end(entry, &AuditOutcome::Failed { reason: "it was gone".to_owned() }).await.expect("noted");
        self.note_entry("failed", entry).await;
    }
}
