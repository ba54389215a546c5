//! Nothing goes wrong, or only Cloudinary does.

mod cancelling;
mod costs;
mod notifications;
mod pages;

use cloudinary_local::{Effect, Fault, Moment, ResourceType};
use serde_json::Value;
use testkit::{TestEnv, jpeg, mp4};

/// The bytes that the media host keeps for the only asset it has.
async fn only_asset(env: &TestEnv) -> Vec<u8> {
    let assets = env.media().assets();
    assert_eq!(assets.len(), 1, "{assets:?}");
    env.media().read(&assets[0]).await.expect("its bytes")
}

#[tokio::test]
async fn a_picture_is_live_at_the_media_host_a_moment_after_the_answer() {
    let env = TestEnv::start().await;
    let (api, worker) = (env.api().await, env.worker().await);
    let picture = jpeg(30_000);
    let (user, answer) = api.new_user(picture.clone()).await;

    let job = user.wait_for_job(&answer.job(0), &["completed"]).await;
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    let avatar = user.current_user().await["avatar"].as_str().expect("a URL").to_owned();
    let served = reqwest::get(&avatar).await.expect("the media host answers");
    assert_eq!(served.headers()["content-type"], "image/jpeg");
    assert_eq!(served.bytes().await.expect("a picture"), picture);
    assert_eq!(only_asset(&env).await, picture);

    worker.shutdown(std::future::pending()).await;
    env.finish().await;
}

#[tokio::test]
async fn the_url_in_the_answer_works_before_and_after_the_upload() {
    let env = TestEnv::start().await;
    let api = env.api().await;
    let picture = jpeg(5_000);
    let (user, answer) = api.new_user(picture.clone()).await;
    let address = answer.data()["avatar"].as_str().expect("a URL").to_owned();

    let before = reqwest::get(&address).await.expect("an answer");
    assert_eq!(before.headers()["x-content-type-options"], "nosniff");
    assert_eq!(before.bytes().await.expect("the spooled picture"), picture);

    let worker = env.worker().await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    let after = reqwest::get(&address).await.expect("an answer by way of a redirect");
    assert!(!after.url().as_str().contains("/api/v1/"), "{}", after.url());
    assert_eq!(after.bytes().await.expect("the stored picture"), picture);
    worker.shutdown(std::future::pending()).await;
    env.finish().await;
}

#[tokio::test]
async fn answers_do_not_wait_for_a_cloudinary_that_hangs() {
    let env = TestEnv::start().await;
    let (api, worker) = (env.api().await, env.worker().await);
    env.media().install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload"));
    let (user, answer) = api.new_user(jpeg(10_000)).await;
    let mut jobs = vec![answer.job(0)];
    // More than the worker does at once, so that its every hand is stuck.
    for _ in 0..20 {
        jobs.push(user.submit("a.jpg", jpeg(10_000)).await.expect(202).job(0));
    }
    TestEnv::until("uploads hang", || async { env.media().traffic().upload_requests >= 8 }).await;
    user.submit("b.jpg", jpeg(10_000)).await.expect(202);
    assert_eq!(env.media().assets().len(), 0, "nothing was stored while all of these were answered");

    env.media().clear_faults();
    drop(worker);
    let worker = env.worker().await;
    for job in jobs {
        user.wait_for_job(&job, &["completed"]).await;
    }
    worker.shutdown(std::future::pending()).await;
    env.finish().await;
}

#[tokio::test]
async fn a_video_is_listed_with_the_url_it_has_at_the_moment() {
    let env = TestEnv::start().await;
    let (api, worker) = (env.api().await, env.worker().await);
    let (user, registered) = api.new_user(jpeg(1_000)).await;
    let answer = user.submit("film.mp4", mp4(3_000_000)).await.expect(202);
    assert_eq!(answer.header("location"), answer.data()["jobs"][0]["url"].as_str().unwrap_or_default());
    for job in [registered.job(0), answer.job(0)] {
        user.wait_for_job(&job, &["completed"]).await;
    }

    let list = user.get("/api/v1/media").await.expect(200);
    let listed = &list.data()["docs"][0];
    assert_eq!((listed["state"].as_str(), listed["resourceType"].as_str()), (Some("ready"), Some("video")), "{listed}");
    let url = listed["url"].as_str().expect("a URL");
    assert_eq!(
        reqwest::get(url).await.expect("the media host answers").bytes().await.expect("a video").len(),
        3_000_000
    );
    let videos = env.media().assets().into_iter().filter(|asset| asset.identity.resource_type == ResourceType::Video);
    assert_eq!(videos.count(), 1);
    worker.shutdown(std::future::pending()).await;
    env.finish().await;
}

#[tokio::test]
async fn a_replaced_avatar_is_deleted_and_the_newest_wins() {
    let env = TestEnv::start().await;
    let (api, worker) = (env.api().await, env.worker().await);
    let (user, answer) = api.new_user(jpeg(2_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    // The second one is held up at the media host while the third overtakes it.
    env.media().install_fault(Fault::new(Effect::Delay { ms: 1_500, at: Moment::BeforeStoring }).on("upload").times(1));
    let requests = env.media().traffic().upload_requests;
    let second = user.replace_avatar(jpeg(3_000)).await.expect(202).job(0);
    TestEnv::until("it is held up", || async { env.media().traffic().upload_requests > requests }).await;
    let picture = jpeg(4_000);
    let third = user.replace_avatar(picture.clone()).await.expect(202).job(0);
    user.wait_for_job(&third, &["completed"]).await;
    let job = user.wait_for_job(&second, &["cancelled"]).await;
    assert_ne!(job["reason"], Value::Null, "{job}");

    TestEnv::until("the others are deleted", || async { env.media().assets().len() == 1 }).await;
    assert_eq!(only_asset(&env).await, picture);
    let avatar = user.current_user().await["avatar"].as_str().expect("a URL").to_owned();
    assert_eq!(reqwest::get(&avatar).await.expect("an answer").bytes().await.expect("a picture"), picture);
    // A deletion that found nothing looks again, so the worker goes last.
    env.finish().await;
    drop(worker);
}
