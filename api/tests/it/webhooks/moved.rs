//! Assets that somebody has deleted or renamed at the media host.

use serde_json::{Value, json};
use store::{Asset, AssetState};
use testkit::TestEnv;

use super::{address, announced, avatar, deletion, find, named, tell, upload, with};
use crate::support::{MEDIA, World, assert_refused};

/// A renaming at a moment.
fn renaming(asset: &Asset, [from, to]: [&str; 2], at: &str) -> Value {
    let names = json!({"notification_type": "rename", "from_public_id": from, "to_public_id": to, "timestamp": at});
    with(named(asset), &names)
}

#[tokio::test]
async fn what_was_deleted_there_is_deleted_here_once() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    let (image, other) = (avatar(&world, &member.client).await, upload(&world, &member.client).await);
    let kept = upload(&world, &member.client).await;
    assert_eq!(address(&world, &image).await.status, 302);

    for _ in 0..3 {
        tell(&world, &deletion(&[&image, &other])).await;
        for asset in [&image, &other] {
            assert_eq!(find(&world, asset.id).await.state, AssetState::Deleted);
            assert_refused(&address(&world, asset).await, 404, &[]);
            assert_eq!(announced(&world, asset).await, 1);
        }
    }
    let user = member.client.current_user().await;
    assert_eq!((&user["avatar"], &user["processing"]["avatar"]), (&json!(""), &Value::Null), "{user}");
    let list = member.client.get(MEDIA).await.expect(200);
    let states: Vec<&Value> = list.data()["docs"].as_array().expect("docs").iter().map(|doc| &doc["state"]).collect();
    assert_eq!(states, ["ready", "deleted"]);
    assert_eq!(find(&world, kept.id).await, kept);

    // Whatever comes late is about something that is gone.
    tell(&world, &renaming(&image, [&image.public_id, "late"], "2040-01-01T00:00:00Z")).await;
    let rejected = json!({"notification_type": "moderation", "moderation_status": "rejected"});
    tell(&world, &with(named(&image), &rejected)).await;
    assert_eq!(find(&world, image.id).await.state, AssetState::Deleted);

    // The next avatar is as any.
    let newer = avatar(&world, &member.client).await;
    assert_eq!(member.client.current_user().await["avatar"], newer.stored.expect("stored").url.as_str());
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}

#[tokio::test]
async fn a_deletion_is_believed_by_what_it_says() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    for leave_out in [&["asset_id"][..], &["version"], &["asset_id", "version", "resource_type", "type"]] {
        let asset = upload(&world, &member.client).await;
        let mut resource = named(&asset);
        resource.as_object_mut().expect("fields").retain(|name, _| !leave_out.contains(&name.as_str()));
        tell(&world, &json!({"notification_type": "delete", "resources": [resource]})).await;
        assert_eq!(find(&world, asset.id).await.state, AssetState::Deleted, "without {leave_out:?}");
    }
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}

#[tokio::test]
async fn what_we_have_deleted_ourselves_is_no_news() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    let old = avatar(&world, &member.client).await;
    let new = avatar(&world, &member.client).await;
    // While it is being deleted, or after.
    tell(&world, &deletion(&[&old])).await;
    TestEnv::until("it is deleted", async || find(&world, old.id).await.state == AssetState::Deleted).await;
    world.env.until_quiet().await;
    let before = find(&world, old.id).await;
    tell(&world, &deletion(&[&old])).await;
    assert_eq!(find(&world, old.id).await, before);
    assert_eq!(announced(&world, &old).await, 1);
    assert_eq!(find(&world, new.id).await, new);
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}

#[tokio::test]
async fn name_and_address_follow_a_renaming_in_any_order() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    let asset = avatar(&world, &member.client).await;
    let first = asset.public_id.clone();
    let moves = [
        renaming(&asset, [&first, "holidays/é 1"], "2026-01-01T00:00:00Z"),
        renaming(&asset, ["holidays/é 1", "b"], "2026-01-01T00:00:01Z"),
        renaming(&asset, ["b", "holidays/last"], "2026-01-01T00:00:02Z"),
    ];
    let stored = asset.stored.clone().expect("stored");
    let shown = |name: &str| stored.url.replace(&first, name);

    tell(&world, &moves[0]).await;
    let url = shown("holidays/%C3%A9%201");
    assert_eq!(find(&world, asset.id).await.public_id, "holidays/é 1");
    assert_eq!(address(&world, &asset).await.header("location"), url);
    assert_eq!(member.client.current_user().await["avatar"], url.as_str());

    // The last one overtakes the one before, and everything comes again.
    for index in [2, 1, 0, 2, 1, 0] {
        tell(&world, &moves[index]).await;
        let renamed = find(&world, asset.id).await;
        assert_eq!(renamed.public_id, "holidays/last", "after {index}");
        assert_eq!(renamed.stored.expect("stored").url, shown("holidays/last"));
        assert_eq!(member.client.current_user().await["avatar"], shown("holidays/last").as_str());
    }
    // By its new name it is known, and by its former one it is not, unless the media host's own id says so.
    let by_name = |name: &str| json!({"notification_type": "delete", "resources": [{"public_id": name}]});
    tell(&world, &by_name(&first)).await;
    assert_eq!(find(&world, asset.id).await.state, AssetState::Ready);
    tell(&world, &deletion(&[&find(&world, asset.id).await])).await;
    assert_eq!(find(&world, asset.id).await.state, AssetState::Deleted);
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}
