//! Actions on all jobs that match a filter, as they were first written, are read and go on.

use messages::{ActOnJobs, ActionId, Job};
use store::{BulkDecision, BulkState, JobState, Step};

use super::{golden, job_id, world};

fn action_id() -> ActionId {
    golden("bulk_actions/pending").get_str("_id").expect("an id").parse().expect("an action's id")
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_of_the_first_release_are_read() {
    for (name, state, done) in [
        ("bulk_actions/pending", BulkState::Pending, 0),
        ("bulk_actions/running", BulkState::Running, 1),
        ("bulk_actions/failed", BulkState::Failed, 1),
    ] {
        let fixture = world(&[name, "jobs/act-pending"]).await;
        let action = fixture.store.bulk().find(action_id()).await.expect("an answer").expect("the action");
        assert_eq!((action.state, action.done, action.decision), (state, done, BulkDecision::Discard), "{name}");
        assert_eq!(action.filter.states.iter().copied().collect::<Vec<_>>(), [JobState::Pending], "{name}");
        assert_eq!((action.matched, action.by.name.as_str()), (1, "ada"), "{name}");
        assert_eq!(action.reason.is_some(), state == BulkState::Failed, "{name}");
        let job = fixture.job(job_id("jobs/act-pending")).await;
        assert_eq!(job.job().expect("a known kind"), Job::ActOnJobs(ActOnJobs { action: action.id }), "{name}");
        let next = fixture.store.bulk().stop(action.id).await.expect("an answer");
        assert_eq!(next.is_some(), state != BulkState::Failed, "{name}");
        let step = fixture.store.bulk().next(action.id).await.expect("an answer");
        match state {
            BulkState::Failed => assert!(matches!(step, Step::Over), "{step:?}"),
            _ => assert!(matches!(step, Step::End(_, BulkState::Stopped)), "{step:?}"),
        }
    }
}
