//! What happens to endpoints of webhooks and to what is sent to them.

use std::time::Duration;

use bson::oid::ObjectId;
use messages::{EndpointId, EventId, JobId, UserId};
use store::{Holder, NewEndpoint, Role, Tried};

use super::Told;
use crate::ends::{DeliveryEnd, Ends};
use crate::support::{stored, upload};

const URL: &str = "https://example.com/hooks";

impl Told {
    async fn note_endpoint(&mut self, name: &str, id: EndpointId) {
        self.note(&format!("webhook_endpoints/{name}"), ObjectId::from_bytes(id.bytes())).await;
    }

    async fn note_delivery(&mut self, name: &str, endpoint: EndpointId, event: EventId) {
        self.note(&format!("webhook_deliveries/{name}"), format!("{endpoint}:{event}")).await;
    }

    /// Something happens to a user, and is fanned out. Answers with the job that sends it, if one does.
    async fn happens(&self, owner: UserId) -> (EventId, Option<JobId>) {
        let upload = upload(Role::Media);
        let (job, asset) = (upload.job, upload.asset);
        let user = self.fixture.read_user(owner).await;
        self.fixture.store.media().submit(user, vec![upload], None, None).await.expect("accepted");
        let attempt = self.fixture.claim(job).await.attempt;
        let ended = self.fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
        let event = ended.events.first().expect("an event").id;
        let jobs = self.fixture.store.webhooks().fan_out(&[event]).await.expect("fanned out");
        (event, jobs.first().map(|job| job.id))
    }

    pub(super) async fn webhooks(&mut self) {
        let owner = self.fixture.user().await;
        let store = self.fixture.store.clone();
        let new = NewEndpoint {
            holder: Holder::User(owner),
            url: URL.to_owned(),
            events: vec!["media.ready.v1".to_owned()],
            description: "the shop".to_owned(),
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
        };
        let endpoint = store.webhooks().register(new).await.expect("an answer").expect("registered").id;
        self.note_endpoint("registered", endpoint).await;

        let (event, job) = self.happens(owner).await;
        let job = job.expect("a job");
        self.note_delivery("pending", endpoint, event).await;
        self.note_job("webhook-pending", job).await;
        let second = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into();
        store.webhooks().rotate(Holder::User(owner), endpoint, &second).await.expect("an answer").expect("rotated");
        let took = Duration::from_millis(12);
        let failed = Tried { status: Some(503), error: Some("status"), took };
        store.webhooks().note(endpoint, event, &failed).await.expect("noted");
        self.note_delivery("failing", endpoint, event).await;
        self.note_endpoint("failing", endpoint).await;
        let arrived = Tried { status: Some(204), error: None, took };
        store.webhooks().note(endpoint, event, &arrived).await.expect("noted");
        let attempt = self.fixture.claim(job).await.attempt;
        store.end_delivery(job, attempt, DeliveryEnd::Delivered).await.expect("recorded");
        self.note_delivery("delivered", endpoint, event).await;
        self.note_endpoint("healthy", endpoint).await;

        let (event, job) = self.happens(owner).await;
        let job = job.expect("a job");
        let attempt = self.fixture.claim(job).await.attempt;
        store.end_delivery(job, attempt, DeliveryEnd::Gone(URL)).await.expect("recorded");
        self.note_delivery("failed", endpoint, event).await;
        self.note_endpoint("disabled", endpoint).await;
        let (event, job) = self.happens(owner).await;
        assert_eq!(job, None);
        self.note_delivery("skipped", endpoint, event).await;
    }
}
