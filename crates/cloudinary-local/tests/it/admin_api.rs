//! Looking up, listing, searching and deleting with the API key.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Media, error, json as parse, md5, png, start};

async fn ids(media: &Media, path: &str) -> (Vec<String>, Option<String>) {
    let (status, reply) = parse(media.admin(path).await).await;
    assert_eq!(status, 200, "{reply}");
    let ids = reply["resources"].as_array().expect("a list").iter();
    let ids = ids.map(|asset| asset["public_id"].as_str().expect("an id").to_owned()).collect();
    (ids, reply["next_cursor"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn ping_and_usage_answer_to_the_key() {
    let media = start().await;
    assert_eq!(parse(media.admin("ping").await).await, (200, json!({"status": "ok"})));
    let (_, usage) = parse(media.admin("usage").await).await;
    assert_eq!(usage["media_limits"]["image_max_px"], 25_000_000);
}

#[tokio::test]
async fn an_asset_is_found_by_its_names() {
    let media = start().await;
    let file = png(2, 3);
    let stored = media.store("image", &[("public_id", "my/pic"), ("tags", "t")], &file).await;
    let asset_id = stored["asset_id"].as_str().expect("an id");
    let paths = ["resources/image/upload/my/pic", "resources/image/upload/my%2Fpic", &format!("resources/{asset_id}")];
    for path in paths {
        let (status, reply) = parse(media.admin(path).await).await;
        assert_eq!(
            (status, &reply["public_id"], &reply["etag"]),
            (200, &json!("my/pic"), &json!(md5(&file))),
            "{path}"
        );
        assert!(reply.get("signature").is_none());
    }
    let missing = error(media.admin("resources/image/upload/no/such").await).await;
    assert_eq!(missing, (404, "Resource not found - no/such".to_owned()));
    assert_eq!(error(media.admin("resources/video/upload/my/pic").await).await.0, 404);
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let media = start().await;
    for id in ["a/1", "a/2", "a/3", "b/1"] {
        media.store("raw", &[("public_id", id)], b"x").await;
    }
    media.store("image", &[("public_id", "pic")], &png(1, 1)).await;
    let (first, cursor) = ids(&media, "resources/raw/upload?max_results=2").await;
    assert_eq!(first, ["a/1", "a/2"]);
    // The page goes on where it stopped, though the list has changed.
    media.store("raw", &[("public_id", "a/0")], b"x").await;
    let (second, end) =
        ids(&media, &format!("resources/raw?max_results=2&next_cursor={}", cursor.expect("more"))).await;
    assert_eq!((second, end), (vec!["a/3".to_owned(), "b/1".to_owned()], None));
    assert_eq!(ids(&media, "resources/raw/upload?prefix=b/").await.0, ["b/1"]);
    assert_eq!(ids(&media, "resources/raw/upload?public_ids[]=a/1&public_ids[]=b/1").await.0, ["a/1", "b/1"]);
    for bad in ["max_results=0", "max_results=501", "max_results=x", "next_cursor=none"] {
        assert_eq!(media.admin(&format!("resources/raw/upload?{bad}")).await.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn assets_are_deleted_by_id_by_prefix_and_all() {
    let media = start().await;
    for id in ["a", "b/c", "fo/1", "fo/2", "z"] {
        media.store("raw", &[("public_id", id)], b"x").await;
    }
    let delete = |path: &str| {
        let url = media.url(&format!("/v1_1/demo/{path}"));
        media.client.request(Method::DELETE, url).basic_auth("1234", Some("abcd"))
    };
    let json_body = delete("resources/raw/upload").json(&json!({"transformations": null, "public_ids": ["a", "no"]}));
    let (_, reply) = parse(json_body.send().await.expect("an answer")).await;
    assert_eq!(
        reply,
        json!({
            "deleted": {"a": "deleted", "no": "not_found"},
            "deleted_counts": {"a": {"original": 1, "derived": 0}, "no": {"original": 0, "derived": 0}},
            "partial": false,
        })
    );
    let form_body = delete("resources/raw/upload").form(&[("public_ids[]", "b/c")]);
    assert_eq!(parse(form_body.send().await.expect("an answer")).await.1["deleted"], json!({"b/c": "deleted"}));
    let (_, reply) = parse(delete("resources/raw/upload?prefix=fo/").send().await.expect("an answer")).await;
    assert_eq!(reply["deleted"], json!({"fo/1": "deleted", "fo/2": "deleted"}));
    let refused = error(delete("resources/raw/upload").send().await.expect("an answer")).await;
    assert_eq!(refused, (400, "Missing required parameter - public_ids".to_owned()));
    delete("resources/raw/upload?all=true").send().await.expect("an answer");
    assert!(media.handle().assets().is_empty());
}

#[tokio::test]
async fn simple_searches_are_understood_and_others_refused() {
    let media = start().await;
    media.store("raw", &[("public_id", "cats/1"), ("tags", "x")], b"x").await;
    media.store("raw", &[("public_id", "cats/2")], b"x").await;
    media.store("image", &[("public_id", "dogs/1"), ("tags", "x")], &png(1, 1)).await;
    for path in ["resources/search", "resources%2Fsearch"] {
        for (expression, expected) in [
            ("public_id:cats/*", vec!["cats/1", "cats/2"]),
            ("public_id=cats/2", vec!["cats/2"]),
            ("tags=x AND resource_type:image", vec!["dogs/1"]),
            ("", vec!["dogs/1", "cats/1", "cats/2"]),
        ] {
            let request = media.client.post(media.url(&format!("/v1_1/demo/{path}"))).basic_auth("1234", Some("abcd"));
            let request = request.json(&json!({"expression": expression, "max_results": 10}));
            let (_, reply) = parse(request.send().await.expect("an answer")).await;
            let found: Vec<&Value> =
                reply["resources"].as_array().expect("a list").iter().map(|one| &one["public_id"]).collect();
            assert_eq!(found, expected, "{expression}");
            assert_eq!(reply["total_count"], expected.len());
        }
    }
    let request = media.client.post(media.url("/v1_1/demo/resources/search")).basic_auth("1234", Some("abcd"));
    let request = request.json(&json!({"expression": "bytes>100"}));
    assert_eq!(error(request.send().await.expect("an answer")).await.0, 400);
}
