//! Endpoints and deliveries as they were first written are read, and go on.

use messages::{DeliverWebhook, EndpointId, EventId, Job};
use secrecy::ExposeSecret;
use store::{DeliveryState, EndpointChanges, Holder, Replay};

use super::{golden, job_id, user_id, world};

fn endpoint_id() -> EndpointId {
    EndpointId::from_bytes(golden("webhook_endpoints/registered").get_object_id("_id").expect("an id").bytes())
}

fn event_id() -> EventId {
    golden("events/unpublished").get_str("_id").expect("an id").parse().expect("an event's id")
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_the_first_release_are_read_and_sign_with_the_secrets_that_they_had() {
    let (owner, id) = (Holder::User(user_id("users/avatar")), endpoint_id());
    for (name, enabled, disabled, failing, succeeded, secrets) in [
        ("webhook_endpoints/registered", true, None, false, false, 1),
        ("webhook_endpoints/failing", true, None, true, false, 2),
        ("webhook_endpoints/healthy", true, None, false, true, 2),
        ("webhook_endpoints/disabled", false, Some("gone"), false, true, 2),
    ] {
        let fixture = world(&[name]).await;
        let webhooks = fixture.store.webhooks();
        let read = webhooks.endpoint(owner, id).await.expect("an answer").expect("the endpoint");
        assert_eq!((read.url.as_str(), read.description.as_str()), ("https://example.com/hooks", "the shop"), "{name}");
        assert_eq!((read.events.as_slice(), read.enabled), (&["media.ready.v1".to_owned()][..], enabled), "{name}");
        assert_eq!(read.disabled.as_ref().map(|disabled| disabled.code.as_str()), disabled, "{name}");
        assert_eq!((read.failing_since.is_some(), read.last_success_at.is_some()), (failing, succeeded), "{name}");
        assert_eq!(webhooks.endpoints_of(owner).await.expect("a list"), [read], "{name}");
        let recipient = webhooks.recipient(id).await.expect("an answer").expect("the endpoint");
        assert_eq!((recipient.enabled, recipient.secrets.len()), (enabled, secrets), "{name}");
        let first = golden(name);
        let first = first.get_str("secret").expect("a secret");
        assert_eq!(recipient.secrets[0].expose_secret(), first, "{name}");
        let changes = EndpointChanges { enabled: Some(true), ..EndpointChanges::default() };
        let enabled = webhooks.change(owner, id, changes).await.expect("an answer").expect("the endpoint");
        assert!(enabled.enabled && enabled.disabled.is_none() && enabled.failing_since.is_none(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_the_first_release_are_read_and_replayed() {
    use DeliveryState::{Delivered, Failed, Pending, Skipped};
    let (endpoint, event) = (endpoint_id(), event_id());
    for (name, state, attempts) in [
        ("webhook_deliveries/pending", Pending, &[][..]),
        ("webhook_deliveries/failing", Pending, &[Some(503)]),
        ("webhook_deliveries/delivered", Delivered, &[Some(503), Some(204)]),
        ("webhook_deliveries/failed", Failed, &[]),
        ("webhook_deliveries/skipped", Skipped, &[]),
    ] {
        let fixture = world(&["webhook_endpoints/registered", name]).await;
        let webhooks = fixture.store.webhooks();
        let read = webhooks.delivery(endpoint, event).await.expect("an answer").expect("the delivery");
        assert_eq!((read.state, read.kind.as_str()), (state, "media.ready.v1"), "{name}");
        assert_eq!(read.attempts.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), attempts, "{name}");
        assert_eq!(read.reason.is_some(), matches!(state, Failed | Skipped), "{name}");
        let page = webhooks.deliveries(endpoint, None, 1).await.expect("a page");
        assert_eq!((page.items.as_slice(), page.next), (&[read.clone()][..], None), "{name}");
        let replayed = webhooks.replay(endpoint, event).await.expect("an answer");
        let Replay::Waiting(replayed) = replayed else { panic!("{name}: {replayed:?}") };
        assert_eq!((replayed.state, replayed.reason.as_deref()), (Pending, None), "{name}");
        assert_eq!(fixture.count("jobs").await, u64::from(state != Pending), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_the_first_release_has_begun_is_made_once() {
    let (endpoint, event) = (endpoint_id(), event_id());
    let names =
        ["webhook_endpoints/registered", "events/unpublished", "webhook_deliveries/pending", "jobs/webhook-pending"];
    let fixture = world(&names).await;
    let job = fixture.job(job_id("jobs/webhook-pending")).await;
    assert_eq!(job.job().expect("a known kind"), Job::DeliverWebhook(DeliverWebhook { endpoint, event }));
    assert_eq!(fixture.store.webhooks().fan_out(&[event]).await.expect("fanned out"), []);
    assert_eq!((fixture.count("jobs").await, fixture.count("webhook_deliveries").await), (1, 1));

    let fixture = world(&names[..2]).await;
    for made in [1, 0] {
        assert_eq!(fixture.store.webhooks().fan_out(&[event]).await.expect("fanned out").len(), made);
    }
    let delivery = fixture.store.webhooks().delivery(endpoint, event).await.expect("an answer").expect("a delivery");
    assert_eq!((delivery.state, delivery.job.is_some()), (DeliveryState::Pending, true));
}
