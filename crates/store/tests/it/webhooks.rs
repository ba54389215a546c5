//! Endpoints of webhooks, and what becomes of what is sent to them.

use store::{EndpointChanges, Holder, NewEndpoint, Role};

use crate::ends::{DeliveryEnd, Ends};
use crate::support::{Fixture, stored, upload};

const FORMER: &str = "https://example.com/former";
const PRESENT: &str = "https://example.com/present";

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_gone_disables_its_endpoint_unless_that_has_another_one_by_now() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (webhooks, holder) = (fixture.store.webhooks(), Holder::User(owner));
    let new = NewEndpoint {
        holder,
        url: FORMER.to_owned(),
        events: vec!["media.ready.v1".to_owned()],
        description: String::new(),
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
    };
    let endpoint = webhooks.register(new).await.expect("an answer").expect("registered").id;
    let disabled = async || webhooks.endpoint(holder, endpoint).await.expect("an answer").expect("there").disabled;
    for (answers, is_disabled) in [(FORMER, false), (PRESENT, true)] {
        let upload = upload(Role::Media);
        let (job, asset) = (upload.job, upload.asset);
        let user = fixture.read_user(owner).await;
        fixture.store.media().submit(user, vec![upload], None, None).await.expect("accepted");
        let attempt = fixture.claim(job).await.attempt;
        let ended = fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
        let event = ended.events.first().expect("an event").id;
        let sending = webhooks.fan_out(&[event]).await.expect("fanned out").first().expect("a job").id;
        let attempt = fixture.claim(sending).await.attempt;
        // While the former one is asked.
        let changes = EndpointChanges { url: Some(PRESENT.to_owned()), ..EndpointChanges::default() };
        webhooks.change(holder, endpoint, changes).await.expect("an answer").expect("changed");
        fixture.store.end_delivery(sending, attempt, DeliveryEnd::Gone(answers)).await.expect("recorded");
        assert_eq!(disabled().await.is_some(), is_disabled, "{answers}");
    }
}
