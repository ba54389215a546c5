//! The control surface: what it does, and for whom.

mod notifications;

use serde_json::{Value, json};

use crate::support::{json as parse, md5, start, start_with};

const P: [(&str, &str); 1] = [("public_id", "p")];

#[tokio::test]
async fn the_control_surface_installs_lists_and_clears() {
    let media = start_with(|config| config.admin = true).await;
    let url = media.url("/__admin/faults");
    let post = async |body: Value| parse(media.client.post(&url).json(&body).send().await.expect("an answer")).await;
    let (code, reply) = post(json!({"effect": "status", "status": 503, "action": "upload", "times": 1})).await;
    assert_eq!((code, &reply["id"]), (201, &json!(1)));
    post(json!({"effect": "hang", "path": "/never"})).await;
    assert_eq!(media.upload("raw", &P, b"x").send().await.expect("an answer").status(), 503);
    let (_, list) = parse(media.get("/__admin/faults").await).await;
    assert_eq!((&list["faults"][0]["struck"], &list["faults"][0]["status"]), (&json!(1), &json!(503)));
    assert_eq!(list["faults"][1]["effect"], "hang");
    let delete = async |path: &str| media.client.delete(media.url(path)).send().await.expect("an answer").status();
    assert_eq!(delete("/__admin/faults/1").await, 204);
    assert_eq!(delete("/__admin/faults/1").await, 404);
    assert_eq!(delete("/__admin/faults").await, 204);
    assert!(media.handle().faults().is_empty());

    let (code, reply) = post(json!({"effect": "status", "status": 503, "colour": "red"})).await;
    assert_eq!(code, 400);
    assert!(reply["error"]["message"].as_str().is_some_and(|text| text.contains("colour")), "{reply}");

    media.store("raw", &P, b"x").await;
    let (_, assets) = parse(media.get("/__admin/assets").await).await;
    let first = &assets["assets"][0];
    assert_eq!((&first["asset"]["public_id"], &first["asset"]["md5"]), (&json!("p"), &json!(md5(b"x"))));
    assert_eq!(first["uploads"]["upload_requests"], 2);
    let (_, traffic) = parse(media.get("/__admin/traffic?public_id=p").await).await;
    assert_eq!(traffic, first["uploads"]);
}

#[tokio::test]
async fn the_control_surface_is_closed_unless_asked_for() {
    let media = start().await;
    assert_eq!(media.get("/__admin/faults").await.status(), 404);
    let response = media.client.post(media.url("/__admin/faults")).json(&json!({"effect": "hang"})).send().await;
    assert_eq!(response.expect("an answer").status(), 404);
    assert!(media.handle().faults().is_empty());
}

#[tokio::test]
async fn the_control_surface_does_not_obey_web_pages() {
    let media = start_with(|config| config.admin = true).await;
    let request = media.client.post(media.url("/__admin/faults")).header("origin", "http://localhost:3000");
    let response = request.body(r#"{"effect": "hang"}"#).send().await.expect("an answer");
    assert_eq!(response.status(), 403);
    assert!(media.handle().faults().is_empty());
}

/// DNS rebinding: to the browser the page asks its own site, and a `GET` has no `Origin` then.
#[tokio::test]
async fn a_page_whose_name_was_made_to_lead_here_sees_and_changes_nothing() {
    let media = start_with(|config| config.admin = true).await;
    media.store("raw", &P, b"x").await;
    let port = media.running.base_url().rsplit(':').next().expect("a port").to_owned();
    let (rebound, own) = (format!("rebind.evil.example:{port}"), format!("localhost:{port}"));
    for (host, site, status) in [
        (&rebound, None, 403),
        (&rebound, Some("same-origin"), 403),
        (&own, Some("cross-site"), 403),
        (&own, Some("same-site"), 403),
        // A person who types the address, and a program.
        (&own, Some("none"), 200),
        (&own, None, 200),
    ] {
        let request = media.client.get(media.url("/__admin/assets")).header("host", host);
        let request = site.into_iter().fold(request, |request, site| request.header("sec-fetch-site", site));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{host} {site:?}");
        assert_eq!(answer.text().await.expect("text").contains("\"assets\""), status == 200, "{host} {site:?}");
    }
    let request = media.client.post(media.url("/__admin/faults")).header("host", &rebound);
    assert_eq!(request.body(r#"{"effect": "hang"}"#).send().await.expect("an answer").status(), 403);
    assert!(media.handle().faults().is_empty());
}
