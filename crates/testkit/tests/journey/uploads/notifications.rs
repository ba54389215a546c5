//! What somebody does at the media host, in its console for instance, becomes so here; and what we do there ourselves does no harm.

use bytes::Bytes;
use cloudinary_local::NotificationCount;
use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::Value;
use testkit::{Api, CLOUDINARY_SECRET, Client, TestEnv, jpeg};

/// An api that is told of everything, and a worker that asks for that too.
async fn world() -> (TestEnv, Api, worker::Running) {
    let env = TestEnv::start().await;
    let api = env.api().await;
    let address = format!("{}/api/v1/webhooks/cloudinary", api.url());
    env.media().notify(vec![address.parse().expect("an address")]);
    let asked = address.parse().expect("an address");
    let worker = env.worker_with(|config| config.cloudinary.notification_url = Some(asked)).await;
    (env, api, worker)
}

async fn end(env: TestEnv, worker: worker::Running) {
    TestEnv::until("all notifications were taken", async || env.media().notifications().waiting == 0).await;
    assert_eq!(env.media().notifications().lost, 0);
    worker.shutdown(std::future::pending()).await;
    env.finish().await;
}

/// A call with the account's key and secret, as the console makes it.
async fn console(env: &TestEnv, method: Method, path: &str, fields: &[(&str, &str)]) {
    let url = format!("{}/v1_1/demo/{path}", env.media().base_url());
    let request = reqwest::Client::new().request(method, url).basic_auth("1234", Some(CLOUDINARY_SECRET));
    let answer = request.form(fields).send().await.expect("the media host answers");
    assert_eq!(answer.status(), 200, "{path}");
}

/// The name of the only asset at the media host.
fn only_name(env: &TestEnv) -> String {
    let assets = env.media().assets();
    assert_eq!(assets.len(), 1, "{assets:?}");
    assets[0].identity.public_id.clone()
}

async fn avatar(user: &Client) -> Value {
    user.current_user().await["avatar"].clone()
}

async fn replace(user: &Client, picture: Bytes) {
    let job = user.replace_avatar(picture).await.expect(202).job(0);
    user.wait_for_job(&job, &["completed"]).await;
}

async fn announced(env: &TestEnv) -> u64 {
    let events = env.database().collection::<Document>("events");
    events.count_documents(doc! {"kind": "media.deleted.v1"}).await.expect("a count")
}

#[tokio::test]
async fn a_picture_that_is_deleted_in_the_console_is_gone_here() {
    let (env, api, worker) = world().await;
    let (user, registered) = api.new_user(jpeg(2_000)).await;
    user.wait_for_job(&registered.job(0), &["completed"]).await;
    let address = registered.data()["avatar"].as_str().expect("an address").to_owned();
    assert_eq!(api.get(&address).await.status, 302);
    assert_eq!(announced(&env).await, 0);

    let name = only_name(&env);
    console(&env, Method::DELETE, &format!("resources/image/upload?public_ids[]={name}"), &[]).await;
    TestEnv::until("the user has no avatar", async || avatar(&user).await == "").await;
    assert_eq!(api.get(&address).await.status, 404);
    assert_eq!(announced(&env).await, 1);
    // And the next one is as any.
    replace(&user, jpeg(3_000)).await;
    assert_ne!(avatar(&user).await, "");
    end(env, worker).await;
}

#[tokio::test]
async fn what_we_upload_and_delete_ourselves_comes_back_to_us_and_does_no_harm() {
    let (env, api, worker) = world().await;
    let (user, registered) = api.new_user(jpeg(2_000)).await;
    user.wait_for_job(&registered.job(0), &["completed"]).await;
    let last = jpeg(5_000);
    for picture in [jpeg(3_000), jpeg(4_000), last.clone()] {
        replace(&user, picture).await;
    }
    // Four uploads and three deletions, each told once although two have asked.
    let all = NotificationCount { delivered: 7, lost: 0, waiting: 0 };
    TestEnv::until("everything was told", async || env.media().notifications() == all).await;
    env.until_quiet().await;
    let shown = reqwest::get(avatar(&user).await.as_str().expect("an address")).await.expect("an answer");
    assert_eq!(shown.bytes().await.expect("a picture"), last);
    assert_eq!(announced(&env).await, 3);
    end(env, worker).await;
}

#[tokio::test]
async fn a_picture_that_is_renamed_or_rejected_in_the_console_is_so_here() {
    let (env, api, worker) = world().await;
    let picture = jpeg(2_000);
    let (user, registered) = api.new_user(picture.clone()).await;
    user.wait_for_job(&registered.job(0), &["completed"]).await;
    let address = registered.data()["avatar"].as_str().expect("an address").to_owned();
    let before = avatar(&user).await;

    let name = only_name(&env);
    let names = [("from_public_id", name.as_str()), ("to_public_id", "people/ada lovelace")];
    console(&env, Method::POST, "image/rename", &names).await;
    TestEnv::until("the address is another one", async || avatar(&user).await != before).await;
    // By the user's field, and by the address that was handed out first.
    for address in [avatar(&user).await.as_str().expect("an address"), &address] {
        let shown = reqwest::get(address).await.expect("an answer by way of a redirect");
        assert!(shown.url().path().ends_with("/people/ada%20lovelace.jpg"), "{}", shown.url());
        assert_eq!(shown.bytes().await.expect("a picture"), picture);
    }

    let moderate = "resources/image/upload/people/ada%20lovelace";
    console(&env, Method::POST, moderate, &[("moderation_status", "rejected")]).await;
    TestEnv::until("it is hidden", async || avatar(&user).await == "").await;
    assert_eq!(api.get(&address).await.status, 404);
    console(&env, Method::POST, moderate, &[("moderation_status", "approved")]).await;
    TestEnv::until("it is shown", async || avatar(&user).await != "").await;
    assert_eq!(api.get(&address).await.status, 302);

    // When it is replaced it goes by the name that it has there.
    replace(&user, jpeg(3_000)).await;
    TestEnv::until("it is deleted there", async || env.media().assets().len() == 1).await;
    assert!(only_name(&env).starts_with("steep/avatar/"));
    end(env, worker).await;
}
