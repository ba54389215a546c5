//! What the owner of an upload is told of its way to the media host, beside addresses that stay plain strings.

use cloudinary_local::{Effect, Fault, Moment};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Client, Leftovers, PASSWORD, Upload, jpeg, mp4, samples};

use crate::support::{COVER_IMAGE, CURRENT_USER, LOGIN, MEDIA, UPDATE_ACCOUNT, World, submit};

fn refusal() -> Fault {
    let message = Some("Invalid image file".to_owned());
    let effect = Effect::Status { status: 400, message, html: None, retry_after: None, at: Moment::BeforeStoring };
    Fault::new(effect).on("upload")
}

/// What the owner sees of an upload: in the list, and beside its job.
async fn seen(client: &Client, job: &str) -> [Value; 2] {
    let listed = client.get(MEDIA).await.expect(200);
    let job = client.get(&format!("/api/v1/jobs/{job}")).await.expect(200);
    [listed.data()["docs"][0]["processing"].clone(), job.data()["processing"].clone()]
}

#[tokio::test]
async fn an_upload_says_where_it_stands_in_its_answer_in_the_list_and_beside_its_job() {
    let world = World::start().await;
    let member = world.member().await;
    let answer = submit(&member.client, "film.mp4", &mp4(3_000)).await.expect(202);
    let (pending, ready) = (json!({"state": "pending"}), json!({"state": "ready"}));
    assert_eq!(answer.data()["processing"], pending);
    assert_eq!(seen(&member.client, &answer.job(0)).await, [pending.clone(), pending]);
    let worker = world.env.worker().await;
    member.client.wait_for_job(&answer.job(0), &["completed"]).await;
    assert_eq!(seen(&member.client, &answer.job(0)).await, [ready.clone(), ready]);
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn what_not_every_browser_shows_has_its_address_all_the_same_and_is_told() {
    let world = World::start().await;
    let member = world.member().await;
    let photo = samples::heif(b"heic", &[b"mif1", b"heic"], 8, 8);
    let answer = submit(&member.client, "photo.heic", &photo).await.expect(202);
    let processing = &answer.data()["processing"];
    assert_eq!((&processing["state"], &processing["code"]), (&json!("pending"), &json!("limited-preview")));
    assert!(processing["reason"].as_str().is_some_and(|reason| reason.contains("image/heic")), "{processing}");
    assert_eq!(seen(&member.client, &answer.job(0)).await, [processing.clone(), processing.clone()]);
    let address = answer.data()["url"].as_str().expect("a plain string");
    let shown = reqwest::get(address).await.expect("an answer");
    assert_eq!(shown.status(), 200);
    assert_eq!(shown.headers()["content-type"], "image/heic");
    let etag = shown.headers()["etag"].clone();
    assert_eq!(shown.bytes().await.expect("bytes"), photo);

    let worker = world.env.worker().await;
    let job = member.client.wait_for_job(&answer.job(0), &["completed"]).await;
    assert_eq!(job["processing"], json!({"state": "ready"}));
    // Whoever kept what it could not show gets what it can.
    let (_, path) = address.split_once("/api/").expect("a path");
    let again = world.api.request(Method::GET, &format!("/api/{path}")).header("if-none-match", etag);
    let again = again.send().await.expect("an answer");
    assert_eq!((again.status().as_u16(), again.headers().get("etag")), (302, None));
    assert!(again.headers()["location"].to_str().expect("text").contains("/f_auto/"));
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn users_say_where_their_images_stand_wherever_they_see_themselves() {
    let world = World::start().await;
    let (name, answer) = world.api.register(jpeg(2_000)).await;
    let answer = answer.expect(201);
    let both = |state: &str| json!({"avatar": {"state": state}, "coverImage": {"state": state}});
    assert_eq!(
        answer.data()["processing"],
        json!({"avatar": {"state": "pending"}}),
        "of a cover there is nothing to say"
    );
    let client = world.api.login(&name).await;
    let cover = Upload::new().file("coverImage", "cover.jpg", jpeg(2_000));
    let cover = client.upload(Method::PATCH, COVER_IMAGE, &cover).await.expect(202);
    assert_eq!(cover.data()["processing"], both("pending"));

    let channel = format!("/api/v1/users/c/{name}");
    let mirrors = async || {
        let credentials = json!({"username": name, "password": PASSWORD});
        let change = client.request(Method::PATCH, UPDATE_ACCOUNT).json(&json!({"fullName": "Ada King"}));
        let signed_in = world.api.post(LOGIN, &credentials).await.expect(200);
        let mut seen = vec![signed_in.data()["user"].clone()];
        for answer in [client.get(CURRENT_USER).await, client.send(change).await, client.get(&channel).await] {
            seen.push(answer.expect(200).data().clone());
        }
        seen
    };
    for user in mirrors().await {
        assert_eq!(user["processing"], both("pending"), "{user}");
        assert!(user["avatar"].is_string() && user["coverImage"].is_string(), "{user}");
    }
    // Others see an image, and it is nothing to them how it comes.
    let stranger = world.member().await;
    let seen = stranger.client.get(&channel).await.expect(200);
    assert_eq!((seen.data().get("processing"), seen.data()["avatar"].is_string()), (None, true));
    assert_eq!(stranger.client.current_user().await["processing"], json!({}), "nobody chose an image");

    let worker = world.env.worker().await;
    for job in [answer.job(0), cover.job(0)] {
        client.wait_for_job(&job, &["completed"]).await;
    }
    for user in mirrors().await {
        assert_eq!(user["processing"], both("ready"), "{user}");
    }
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn an_image_that_failed_is_told_of_until_a_newer_one_comes_while_the_one_before_is_shown() {
    let world = World::start().await;
    let member = world.member().await;
    let worker = world.env.worker().await;
    let shown = member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    member.client.wait_for_job(&shown.job(0), &["completed"]).await;
    let before = member.client.current_user().await["avatar"].clone();

    world.env.media().install_fault(refusal());
    let refused = member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    let job = member.client.wait_for_job(&refused.job(0), &["discarded"]).await;
    let user = member.client.current_user().await;
    let processing = &user["processing"]["avatar"];
    assert_eq!((&user["avatar"], &processing["state"]), (&before, &json!("failed")));
    assert_eq!((&processing["code"], &processing["reason"]), (&json!("refused"), &job["reason"]));
    assert!(processing["reason"].as_str().is_some_and(|reason| reason.contains("Invalid image file")), "{user}");
    assert_eq!(&job["processing"], processing);

    world.env.media().clear_faults();
    let newer = member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    let processing = &newer.data()["processing"]["avatar"];
    assert!(processing["state"] == "pending" && processing.get("reason").is_none(), "{processing}");
    member.client.wait_for_job(&newer.job(0), &["completed"]).await;
    let user = member.client.current_user().await;
    assert_eq!(user["processing"], json!({"avatar": {"state": "ready"}}));
    assert_ne!(user["avatar"], before);
    world.api.stop().await;
    world.env.finish_with(Leftovers { files: 1, ..Leftovers::default() }).await;
    drop(worker);
}

#[tokio::test]
async fn an_upload_that_failed_says_why_in_words_and_in_a_code() {
    let world = World::start().await;
    let member = world.member().await;
    let lost = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202);
    for file in world.env.spooled() {
        std::fs::remove_file(world.env.folder().join("spool/ready").join(file)).expect("removed");
    }
    world.env.media().install_fault(refusal());
    let refused = submit(&member.client, "b.jpg", &jpeg(2_000)).await.expect(202);
    let worker = world.env.worker().await;
    for (answer, code) in [(lost, "file-lost"), (refused, "refused")] {
        let job = member.client.wait_for_job(&answer.job(0), &["discarded"]).await;
        let listed = member.client.get(MEDIA).await.expect(200);
        let docs = listed.data()["docs"].as_array().expect("a list");
        let asset = docs.iter().find(|asset| asset["_id"] == answer.data()["_id"]).expect("the upload");
        assert_eq!(asset["processing"], json!({"state": "failed", "reason": job["reason"], "code": code}));
        assert_eq!(job["processing"], asset["processing"]);
    }
    world.api.stop().await;
    world.env.finish_with(Leftovers { files: 1, ..Leftovers::default() }).await;
    drop(worker);
}

#[tokio::test]
async fn an_image_whose_place_a_newer_one_took_is_superseded() {
    let world = World::start().await;
    let member = world.member().await;
    let older = member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    let newer = member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    let processing = async |job: String| {
        member.client.get(&format!("/api/v1/jobs/{job}")).await.expect(200).data()["processing"].clone()
    };
    assert_eq!(processing(older.job(0)).await, json!({"state": "superseded"}));
    assert_eq!(processing(newer.job(0)).await, json!({"state": "pending"}));
    world.work_off_and_end().await;
}
