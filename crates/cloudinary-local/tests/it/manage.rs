//! Destroy, rename, explicit, labels.

use cloudinary_local::ResourceType;
use serde_json::json;

use crate::support::{error, json as parse, png, signed, start};

#[tokio::test]
async fn destroying_twice_is_no_error_and_leaves_no_file() {
    let media = start().await;
    media.store("image", &[("public_id", "a/b")], &png(1, 1)).await;
    // The resource type is part of the identity.
    assert_eq!(
        parse(media.call("video/destroy", &[("public_id", "a/b")]).await).await.1,
        json!({"result": "not found"})
    );
    let answer = parse(media.call("image/destroy", &[("public_id", "a/b"), ("invalidate", "true")]).await).await;
    assert_eq!(answer, (200, json!({"result": "ok"})));
    let answer = parse(media.call("image/destroy", &[("public_id", "a/b")]).await).await;
    assert_eq!(answer, (200, json!({"result": "not found"})));
    for folder in ["assets", "blobs", "incoming"] {
        let files = std::fs::read_dir(media.folder.path().join(folder)).expect("a folder").count();
        assert_eq!(files, 0, "{folder}");
    }
    let refused = error(media.call("image/destroy", &[]).await).await;
    assert_eq!(refused, (400, "Missing required parameter - public_id".to_owned()));
}

#[tokio::test]
async fn an_asset_is_destroyed_by_asset_id_by_query_and_by_token() {
    let media = start().await;
    let reply = media.store("raw", &[("public_id", "a")], b"x").await;
    let asset_id = reply["asset_id"].as_str().expect("an id");
    assert_eq!(parse(media.call("asset/destroy", &[("asset_id", asset_id)]).await).await.1["result"], "ok");

    media.store("raw", &[("public_id", "b")], b"x").await;
    let request = media.client.post(media.url("/v1_1/demo/raw/destroy")).query(&signed(&[("public_id", "b")]));
    assert_eq!(parse(request.send().await.expect("an answer")).await.1["result"], "ok");

    let reply = media.store("raw", &[("public_id", "c"), ("return_delete_token", "1")], b"x").await;
    let token = reply["delete_token"].as_str().expect("a token");
    let by_token = async || {
        let request = media.client.post(media.url("/v1_1/demo/delete_by_token")).form(&[("token", token)]);
        parse(request.send().await.expect("an answer")).await
    };
    assert_eq!(by_token().await.1["result"], "ok");
    assert_eq!(by_token().await.0, 400);
    assert!(media.handle().assets().is_empty());
}

#[tokio::test]
async fn renaming_keeps_the_asset_id_and_works_once() {
    let media = start().await;
    let file = png(3, 3);
    let before = media.store("image", &[("public_id", "old")], &file).await;
    let fields = [("from_public_id", "old"), ("to_public_id", "new/name")];
    let (status, after) = parse(media.call("image/rename", &fields).await).await;
    assert_eq!((status, &after["public_id"], &after["asset_id"]), (200, &json!("new/name"), &before["asset_id"]));
    assert_eq!(error(media.call("image/rename", &fields).await).await, (404, "Resource not found - old".to_owned()));
    assert_eq!(media.get("/demo/image/upload/new/name.png").await.bytes().await.expect("bytes"), file);
    assert_eq!(media.get("/demo/image/upload/old.png").await.status(), 404);
}

#[tokio::test]
async fn renaming_onto_another_asset_needs_overwrite() {
    let media = start().await;
    media.store("raw", &[("public_id", "a")], b"a").await;
    media.store("raw", &[("public_id", "b")], b"b").await;
    let fields = [("from_public_id", "a"), ("to_public_id", "b")];
    let refused = error(media.call("raw/rename", &fields).await).await;
    assert_eq!(refused, (400, "to_public_id(b) already exists".to_owned()));
    let fields = [("from_public_id", "a"), ("to_public_id", "b"), ("overwrite", "1")];
    assert_eq!(media.call("raw/rename", &fields).await.status(), 200);
    let asset = media.handle().asset(ResourceType::Raw, "b").expect("stored");
    assert_eq!(media.handle().read(&asset).await.expect("readable"), b"a");
    assert_eq!(media.handle().assets().len(), 1);
    assert_eq!(media.call("raw/rename", &[("from_public_id", "b"), ("to_public_id", "c?")]).await.status(), 400);
}

#[tokio::test]
async fn a_rename_can_change_who_may_fetch_it() {
    let media = start().await;
    media.store("raw", &[("public_id", "a")], b"a").await;
    let fields = [("from_public_id", "a"), ("to_public_id", "a"), ("to_type", "authenticated")];
    assert_eq!(parse(media.call("raw/rename", &fields).await).await.1["type"], "authenticated");
    assert_eq!(media.get("/demo/raw/upload/a").await.status(), 404);
    assert_eq!(media.get("/demo/raw/authenticated/a").await.status(), 401);
}

#[tokio::test]
async fn explicit_changes_labels_and_nothing_else() {
    let media = start().await;
    let before = media.store("raw", &[("public_id", "a"), ("tags", "x"), ("context", "k=v")], b"a").await;
    let fields = [("public_id", "a"), ("type", "upload"), ("tags", "y,z")];
    let (status, after) = parse(media.call("raw/explicit", &fields).await).await;
    assert_eq!((status, &after["tags"], &after["context"]), (200, &json!(["y", "z"]), &before["context"]));
    assert_eq!((&after["version"], &after["etag"]), (&before["version"], &before["etag"]));
    let missing = [("public_id", "nope"), ("type", "upload")];
    assert_eq!(error(media.call("raw/explicit", &missing).await).await, (404, "Resource not found - nope".to_owned()));
    let refused = error(media.call("raw/explicit", &[("public_id", "a")]).await).await;
    assert_eq!(refused, (400, "Missing required parameter - type".to_owned()));
}

#[tokio::test]
async fn labels_of_several_assets_change_at_once() {
    let media = start().await;
    for id in ["a", "b", "c"] {
        media.store("raw", &[("public_id", id), ("tags", "old")], b"x").await;
    }
    let tags = |id| media.handle().asset(ResourceType::Raw, id).expect("stored").labels.tags.clone();
    let ids = [("public_ids[]", "a"), ("public_ids[]", "b"), ("public_ids[]", "missing")];
    let call = async |path: &str, more: &[(&str, &str)]| parse(media.call(path, &[more, &ids].concat()).await).await.1;

    let changed = call("raw/tags", &[("command", "add"), ("tag", "t,old")]).await;
    assert_eq!(changed, json!({"public_ids": ["a", "b"]}));
    assert_eq!(tags("a"), ["old", "t"]);
    call("raw/tags", &[("command", "remove"), ("tag", "old")]).await;
    assert_eq!(tags("b"), ["t"]);
    call("raw/tags", &[("command", "replace"), ("tag", "r")]).await;
    assert_eq!(tags("b"), ["r"]);
    call("raw/tags", &[("command", "set_exclusive"), ("tag", "old")]).await;
    assert_eq!((tags("a"), tags("c")), (vec!["r".to_owned(), "old".to_owned()], vec![]));
    call("raw/tags", &[("command", "remove_all")]).await;
    assert!(tags("a").is_empty());

    call("raw/context", &[("command", "add"), ("context", "k=v|l=w")]).await;
    call("raw/metadata", &[("metadata", "m=1")]).await;
    let asset = media.handle().asset(ResourceType::Raw, "a").expect("stored");
    assert_eq!((asset.labels.context.len(), asset.labels.metadata["m"].as_str()), (2, "1"));
    call("raw/context", &[("command", "remove_all")]).await;
    assert!(media.handle().asset(ResourceType::Raw, "a").expect("stored").labels.context.is_empty());
    assert_eq!(media.call("raw/tags", &[("command", "eat"), ("public_ids[]", "a")]).await.status(), 400);
    assert_eq!(media.call("raw/tags", &[("command", "add"), ("tag", "x")]).await.status(), 400);
}
