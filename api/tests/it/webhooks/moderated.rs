//! Assets that somebody has rejected or approved at the media host.

use serde_json::{Value, json};
use store::{Asset, AssetState};
use testkit::TestEnv;

use super::{address, avatar, deletion, find, named, tell, upload, with};
use crate::support::{MEDIA, World, assert_refused};

/// A decision in a second of one minute.
fn decision(asset: &Asset, status: &str, second: u32) -> Value {
    let fields = json!({
        "notification_type": "moderation", "moderation_kind": "manual", "moderation_status": status,
        "notification_context": {"triggered_at": format!("2026-01-01T00:00:{second:02}.000000Z")},
    });
    with(named(asset), &fields)
}

#[tokio::test]
async fn a_rejected_image_is_hidden_until_it_is_approved() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    let asset = avatar(&world, &member.client).await;
    let url = asset.stored.as_ref().expect("stored").url.clone();
    for (second, status) in [(1, "rejected"), (1, "rejected"), (2, "approved"), (2, "approved"), (3, "rejected")] {
        tell(&world, &decision(&asset, status, second)).await;
        let (found, user) = (find(&world, asset.id).await, member.client.current_user().await);
        if status == "rejected" {
            assert_eq!(found.state, AssetState::Failed);
            assert_refused(&address(&world, &asset).await, 404, &[]);
            let said = json!({
                "state": "failed", "reason": "rejected by moderation", "code": "rejected-by-moderation",
            });
            assert_eq!((&user["avatar"], &user["processing"]["avatar"]), (&json!(""), &said), "{user}");
        } else {
            assert_eq!((found.state, &found.reason, &found.code), (AssetState::Ready, &None, &None));
            assert_eq!(address(&world, &asset).await.header("location"), url);
            let said = json!({"state": "ready"});
            assert_eq!((&user["avatar"], &user["processing"]["avatar"]), (&json!(url), &said), "{user}");
        }
    }
    // One that is hidden makes way for a newer one as any, and is deleted at the media host.
    let newer = avatar(&world, &member.client).await;
    assert_eq!(member.client.current_user().await["avatar"], newer.stored.as_ref().expect("stored").url.as_str());
    TestEnv::until("it is deleted", async || find(&world, asset.id).await.state == AssetState::Deleted).await;
    assert_eq!(world.env.media().assets().len(), 1);
    // And does not come back.
    tell(&world, &decision(&asset, "approved", 9)).await;
    assert_eq!(find(&world, asset.id).await.state, AssetState::Deleted);
    assert_eq!(find(&world, newer.id).await, newer);
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}

#[tokio::test]
async fn the_later_decision_counts_whichever_comes_first() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    for (status, state) in [("approved", AssetState::Ready), ("rejected", AssetState::Failed)] {
        let asset = upload(&world, &member.client).await;
        let other = if status == "approved" { "rejected" } else { "approved" };
        for told in [(5, status), (4, other), (5, status), (4, other)] {
            tell(&world, &decision(&asset, told.1, told.0)).await;
            assert_eq!(find(&world, asset.id).await.state, state, "{told:?}");
        }
        // At one and the same time, in either order.
        tell(&world, &decision(&asset, other, 5)).await;
        tell(&world, &decision(&asset, status, 5)).await;
        assert_eq!(find(&world, asset.id).await.state, AssetState::Failed);
    }
    let list = member.client.get(MEDIA).await.expect(200);
    for asset in list.data()["docs"].as_array().expect("docs") {
        assert_eq!((&asset["state"], &asset["url"]), (&json!("failed"), &json!("")), "{asset}");
        assert_eq!(asset["processing"]["code"], "rejected-by-moderation");
    }
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}

#[tokio::test]
async fn what_was_rejected_can_still_be_renamed_and_deleted() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    let asset = avatar(&world, &member.client).await;
    tell(&world, &decision(&asset, "rejected", 1)).await;
    let names = json!({"notification_type": "rename", "from_public_id": asset.public_id, "to_public_id": "b"});
    tell(&world, &with(named(&asset), &names)).await;
    assert_eq!(member.client.current_user().await["avatar"], "", "it is still hidden");
    tell(&world, &decision(&asset, "approved", 2)).await;
    let shown = find(&world, asset.id).await;
    let url = shown.stored.as_ref().expect("stored").url.clone();
    assert!(url.ends_with("/b.jpg"), "{url}");
    assert_eq!(member.client.current_user().await["avatar"], url.as_str());

    tell(&world, &decision(&asset, "rejected", 3)).await;
    tell(&world, &deletion(&[&shown])).await;
    assert_eq!(find(&world, asset.id).await.state, AssetState::Deleted);
    tell(&world, &decision(&asset, "approved", 4)).await;
    assert_eq!(find(&world, asset.id).await.state, AssetState::Deleted);
    assert_eq!(member.client.current_user().await["avatar"], "");
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}
