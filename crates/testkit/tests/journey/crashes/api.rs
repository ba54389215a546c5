//! The api crashes while it accepts an upload.

use mongodb::bson::doc;
use reqwest::Method;
use testkit::process;

use super::env::{CrashEnv, submission};
use super::{ACCEPT_AFTER, ACCEPT_BEFORE, at_each};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_crashes_before_an_upload_is_durable_leaves_nothing() {
    at_each(ACCEPT_BEFORE, async |at| {
        let env = CrashEnv::new().await;
        let (api, user) = env.doomed_api(at).await;
        let sent = user.try_send(submission(&user, env.picture.clone(), "a-key")).await;
        assert!(sent.is_err(), "{sent:?}");
        env.crashed(api, at).await;

        let worker = env.worker();
        env.is_untouched().await;
        // The client asks again, as clients do that got no answer.
        let (api, user) = env.another_api().await;
        let job = env.submit(&user, "a-key").await.job(0);
        user.wait_for_job(&job, &["completed"]).await;
        assert_eq!(env.media().assets().len(), 1);
        process::end(api).await.expect("it lives");
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_crashes_after_an_upload_is_durable_has_it_finished_once() {
    at_each(ACCEPT_AFTER, async |at| {
        let env = CrashEnv::new().await;
        let (api, user) = env.doomed_api(at).await;
        let sent = user.try_send(submission(&user, env.picture.clone(), "a-key")).await;
        assert!(at != "store.transaction.committed" || sent.is_err(), "{sent:?}");
        env.crashed(api, at).await;

        let worker = env.worker();
        let (api, user) = env.another_api().await;
        // Whether or not there was an answer, asking again gets it and does nothing else.
        let again = env.submit(&user, "a-key").await;
        if let Ok(first) = sent {
            assert_eq!(first.expect(202).body, again.body);
        }
        user.wait_for_job(&again.job(0), &["completed"]).await;
        env.settled(0).await;
        let assets = env.media().assets();
        assert_eq!(assets.len(), 1);
        assert_eq!(env.media().read(&assets[0]).await.expect("its bytes"), env.picture);
        assert_eq!((env.count("assets", doc! {}).await, env.count("jobs", doc! {}).await), (1, 1));
        process::end(api).await.expect("it lives");
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_crashes_around_its_transaction_changes_the_avatar_once_or_not_at_all() {
    at_each(&["store.transaction.open", "store.transaction.committed"], async |at| {
        let env = CrashEnv::new().await;
        let (api, user) = env.doomed_api(at).await;
        let form = testkit::Upload::new().file("avatar", "me.jpg", env.picture.clone()).form();
        let sent = user.try_send(user.request(Method::PATCH, "/api/v1/users/avatar").multipart(form)).await;
        assert!(sent.is_err(), "{sent:?}");
        env.crashed(api, at).await;
        let worker = env.worker();
        match at {
            "store.transaction.open" => env.is_untouched().await,
            _ => env.shows_the_avatar(1).await,
        }
        env.finish(worker).await;
    })
    .await;
}
