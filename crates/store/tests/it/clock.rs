//! Whose time it is.

use std::time::Duration;

use bson::doc;
use time::OffsetDateTime;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_the_servers_or_a_little_less() {
    let fixture = Fixture::new().await;
    for _ in 0..50 {
        let now = fixture.store.now().await.expect("a time");
        let hello = fixture.raw.run_command(doc! { "hello": 1 }).await.expect("an answer");
        let shown = OffsetDateTime::from(*hello.get_datetime("localTime").expect("a time"));
        assert!(now <= shown && shown - now < Duration::from_secs(5), "{now} and {shown}");
        fixture.store.ping().await.expect("an answer");
    }
    // One machine has one clock, here.
    assert!(fixture.store.clock_offset().is_some_and(|offset| offset.abs() < 1000));
}
