//! What the media host tells of an asset, before it is ready and while other things happen to it.

use bson::oid::ObjectId;
use bson::{Document, doc};
use futures_util::future::join_all;
use messages::{AssetId, JobId, UserId};
use store::{AssetState, Incarnation, JobState, MediaChange, Notice, Noticed, ResourceType, Role, StoredMedia};
use time::OffsetDateTime;

use crate::ends::Ends;
use crate::support::{Fixture, first, stored, upload};

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).expect("a time")
}

/// As the media host stores it, with its own id.
fn as_stored(asset: AssetId, name: &str) -> StoredMedia {
    let url = format!("https://res.example.com/demo/image/upload/v1700000000/{name}.png");
    StoredMedia { url, asset_id: format!("host-{asset}"), ..stored(asset) }
}

/// A notice of what that is.
fn notice(name: &str, stored: &StoredMedia, change: MediaChange) -> Notice {
    Notice {
        public_id: name.to_owned(),
        resource_type: Some(ResourceType::Image),
        of: Incarnation { asset_id: Some(stored.asset_id.clone()), version: Some(stored.version) },
        change,
    }
}

/// An avatar that a worker has begun to upload.
async fn begun(fixture: &Fixture) -> (UserId, JobId, AssetId, u32) {
    let owner = fixture.user().await;
    let (job, asset) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(job).await.attempt;
    (owner, job, asset, attempt)
}

async fn tell(fixture: &Fixture, notice: &Notice) -> Noticed {
    fixture.store.media().notice(notice).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_before_it_is_recorded_is_deleted_when_it_is() {
    let fixture = Fixture::new().await;
    let (owner, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    let deleted = notice(&name, &stored, MediaChange::Deleted);
    assert_eq!(tell(&fixture, &deleted).await, Noticed::Changed(asset));
    assert_eq!(tell(&fixture, &deleted).await, Noticed::Unchanged(asset));
    assert_eq!(fixture.asset(asset).await.state, AssetState::Pending, "another attempt may store it anew");
    let outcome = fixture.store.complete_upload(job, attempt, asset, stored).await.expect("completed");
    assert_eq!(outcome.state, JobState::Completed);
    let found = fixture.asset(asset).await;
    assert_eq!((found.state, found.spooled), (AssetState::Deleted, None));
    let avatar = fixture.read_user(owner).await.avatar;
    assert_eq!((avatar.url.as_str(), avatar.pending, avatar.failed), ("", None, None));
    assert_eq!(fixture.deletions(asset).await, 0, "there is nothing to delete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_of_what_an_earlier_attempt_stored_is_none_of_what_the_next_one_did() {
    let fixture = Fixture::new().await;
    let (owner, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    // Stored in the same second, and deleted because its bytes were not ours.
    let earlier = StoredMedia { asset_id: "host-before".to_owned(), ..stored.clone() };
    let deleted = notice(&name, &earlier, MediaChange::Deleted);
    tell(&fixture, &deleted).await;
    fixture.store.complete_upload(job, attempt, asset, stored.clone()).await.expect("completed");
    assert_eq!(tell(&fixture, &deleted).await, Noticed::Unknown, "and it may come again");
    assert_eq!(fixture.asset(asset).await.state, AssetState::Ready);
    assert_eq!(fixture.read_user(owner).await.avatar.url, stored.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_renamed_and_rejected_before_it_is_recorded_is_so_when_it_is() {
    let fixture = Fixture::new().await;
    let (owner, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    let renamed = notice(&name, &stored, MediaChange::Renamed { to: "a b".to_owned(), at: at(1) });
    let rejected = notice(&name, &stored, MediaChange::Moderated { rejected: true, at: at(2) });
    // The later one comes first.
    for told in [&rejected, &renamed] {
        assert_eq!(tell(&fixture, told).await, Noticed::Changed(asset));
    }
    fixture.store.complete_upload(job, attempt, asset, stored.clone()).await.expect("completed");
    let found = fixture.asset(asset).await;
    assert_eq!((found.state, found.public_id.as_str()), (AssetState::Failed, "a b"));
    assert_eq!(found.code.as_deref(), Some("rejected-by-moderation"));
    let avatar = fixture.read_user(owner).await.avatar;
    assert_eq!(avatar.url, "");
    assert_eq!(avatar.failed.expect("the owner is told").code, "rejected-by-moderation");

    let approved = notice("a b", &stored, MediaChange::Moderated { rejected: false, at: at(3) });
    assert_eq!(tell(&fixture, &approved).await, Noticed::Changed(asset));
    let url = "https://res.example.com/demo/image/upload/v1700000000/a%20b.png";
    assert_eq!(fixture.asset(asset).await.stored.expect("stored").url, url);
    let avatar = fixture.read_user(owner).await.avatar;
    assert_eq!((avatar.url.as_str(), avatar.failed), (url, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_image_is_kept_for_its_approval_but_not_beside_a_newer_one() {
    let fixture = Fixture::new().await;
    let (owner, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    fixture.store.complete_upload(job, attempt, asset, stored.clone()).await.expect("completed");
    let decided = |rejected, second| notice(&name, &stored, MediaChange::Moderated { rejected, at: at(second) });
    tell(&fixture, &decided(true, 1)).await;
    // An attempt that was overtaken finds it like that.
    assert_eq!(fixture.store.media().delete_leftovers(asset).await.expect("an answer"), None);

    // A newer one that fails leaves it where it is.
    let failing = upload(Role::Avatar);
    fixture.store.media().replace_image(owner, failing.clone(), None).await.expect("accepted");
    let second = fixture.claim(failing.job).await.attempt;
    fixture.store.discard(failing.job, second, "no", false).await.expect("discarded");
    tell(&fixture, &decided(false, 2)).await;
    assert_eq!(fixture.read_user(owner).await.avatar.url, stored.url);
    tell(&fixture, &decided(true, 3)).await;

    let (newer_job, newer) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(newer_job).await.attempt;
    let shown = as_stored(newer, "newer");
    fixture.store.complete_upload(newer_job, attempt, newer, shown.clone()).await.expect("completed");
    assert_eq!(fixture.asset(asset).await.state, AssetState::Deleting);
    assert_eq!(fixture.deletions(asset).await, 1);
    assert_eq!(tell(&fixture, &decided(false, 4)).await, Noticed::Unchanged(asset));
    let avatar = fixture.read_user(owner).await.avatar;
    assert_eq!((avatar.url, avatar.failed), (shown.url, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_told_of_the_newest_failure_and_of_none_beside_an_image_that_was_deleted() {
    let fixture = Fixture::new().await;
    let (owner, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    fixture.store.complete_upload(job, attempt, asset, stored.clone()).await.expect("completed");
    let decided = |rejected, second| notice(&name, &stored, MediaChange::Moderated { rejected, at: at(second) });
    let told = async || fixture.read_user(owner).await.avatar.failed.map(|failed| failed.code);
    tell(&fixture, &decided(true, 1)).await;
    assert_eq!(told().await.as_deref(), Some("rejected-by-moderation"));
    tell(&fixture, &decided(false, 2)).await;

    let failing = upload(Role::Avatar);
    fixture.store.media().replace_image(owner, failing.clone(), None).await.expect("accepted");
    let second = fixture.claim(failing.job).await.attempt;
    fixture.store.discard(failing.job, second, "no", false).await.expect("discarded");
    tell(&fixture, &decided(true, 3)).await;
    let newest = told().await.expect("the owner is told");
    assert_ne!(newest, "rejected-by-moderation");

    tell(&fixture, &decided(false, 4)).await;
    tell(&fixture, &notice(&name, &stored, MediaChange::Deleted)).await;
    let avatar = fixture.read_user(owner).await.avatar;
    assert_eq!((avatar.url.as_str(), avatar.failed.map(|failed| failed.code)), ("", Some(newest)));

    let (owner, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    fixture.store.complete_upload(job, attempt, asset, stored.clone()).await.expect("completed");
    for change in [true, false].map(|rejected| MediaChange::Moderated { rejected, at: at(2 - i64::from(rejected)) }) {
        tell(&fixture, &notice(&name, &stored, change)).await;
    }
    tell(&fixture, &notice(&name, &stored, MediaChange::Deleted)).await;
    let avatar = fixture.read_user(owner).await.avatar;
    assert_eq!((avatar.url.as_str(), avatar.failed), ("", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_by_us_finds_the_asset_by_the_name_that_it_has_there() {
    let fixture = Fixture::new().await;
    let (owner, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    fixture.store.complete_upload(job, attempt, asset, stored.clone()).await.expect("completed");
    let (newer_job, newer) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(newer_job).await.attempt;
    fixture.store.complete_upload(newer_job, attempt, newer, as_stored(newer, "newer")).await.expect("completed");
    assert_eq!(fixture.asset(asset).await.state, AssetState::Deleting);
    let renamed = notice(&name, &stored, MediaChange::Renamed { to: "elsewhere".to_owned(), at: at(1) });
    assert_eq!(tell(&fixture, &renamed).await, Noticed::Changed(asset));
    assert_eq!(fixture.asset(asset).await.public_id, "elsewhere");
    assert_eq!(fixture.read_user(owner).await.avatar.url, as_stored(newer, "newer").url);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_tell_the_same_at_once_one_changes_it() {
    let fixture = Fixture::new().await;
    let (owner, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    fixture.store.complete_upload(job, attempt, asset, stored.clone()).await.expect("completed");
    let deleted = notice(&name, &stored, MediaChange::Deleted);
    let all = join_all((0..16).map(|_| tell(&fixture, &deleted))).await;
    assert_eq!(all.iter().filter(|noticed| **noticed == Noticed::Changed(asset)).count(), 1, "{all:?}");
    let events = fixture.collection("events").count_documents(doc! { "kind": "media.deleted.v1" }).await;
    assert_eq!(events.expect("a count"), 1);
    assert_eq!(fixture.read_user(owner).await.avatar.url, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_asset_is_found_without_looking_at_all_of_them() {
    let fixture = Fixture::new().await;
    let (_, job, asset, attempt) = begun(&fixture).await;
    let name = fixture.asset(asset).await.public_id;
    let stored = as_stored(asset, &name);
    fixture.store.complete_upload(job, attempt, asset, stored.clone()).await.expect("completed");
    let other = |number| doc! { "_id": ObjectId::new(), "stored": { "assetId": format!("{number}") } };
    let others: Vec<Document> = (0..50).map(other).collect();
    fixture.collection("assets").insert_many(others).await.expect("inserted");
    let renamed = notice("unknown", &stored, MediaChange::Renamed { to: "c".to_owned(), at: at(1) });
    assert_eq!(fixture.profiling(tell(&fixture, &renamed)).await, Noticed::Changed(asset));
    let commands = fixture.profiled().await;
    let look_up = commands.iter().find(|command| command.to_string().contains("stored.assetId")).expect("a look-up");
    assert_eq!(fixture.explain(look_up).await.docs_examined, 1, "{look_up}");
}
