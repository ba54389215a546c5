//! What happens to actions on all jobs that match a filter.

use messages::ActionId;
use store::{Act, Actor, BulkDecision, JobState, NewBulkAction, Search, Step};

use super::Told;

impl Told {
    async fn note_action(&mut self, name: &str, id: ActionId) {
        self.note(&format!("bulk_actions/{name}"), id.to_string()).await;
    }

    pub(super) async fn bulk(&mut self) {
        let owner = self.fixture.user().await;
        let store = self.fixture.store.clone();
        self.fixture.submit(owner).await;
        let act = Act {
            by: Actor { user: Some(owner), name: "ada".to_owned() },
            from: Some("192.0.2.1".to_owned()),
            action: "jobs.act",
            target: None,
            detail: None,
        };
        let audit = store.audit().begin(act.clone()).await.expect("noted");
        let filter = Search { owner: Some(owner), states: [JobState::Pending].into(), ..Search::default() };
        let new = NewBulkAction {
            decision: BulkDecision::Discard,
            filter,
            by: act.by,
            from: act.from,
            audit,
            matched: 1,
            matched_more: false,
        };
        let action = store.bulk().begin(new).await.expect("begun");
        self.note_action("pending", action.id).await;
        self.note_job("act-pending", action.job).await;
        let Step::Next(batch) = store.bulk().next(action.id).await.expect("an answer") else { panic!("no batch") };
        store.bulk().act(store.operator(), *batch).await.expect("done");
        self.note_action("running", action.id).await;
        store.operator().discard(action.job).await.expect("discarded");
        self.note_action("failed", action.id).await;
    }
}
