//! Sessions: how they begin, go on and end.

use std::collections::HashSet;

use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Client, PASSWORD, TestEnv};

use super::tokens::{can_refresh, claim, is_live, world_with_a_member};
use crate::support::{
    CHANGE_PASSWORD, CURRENT_USER, LOGOUT, REFRESH_TOKEN, SESSIONS, Tokens, World, assert_accepted, assert_refused,
    cookies, refresh, sign_in,
};

#[tokio::test]
async fn a_refresh_token_comes_in_the_cookie_or_the_body_and_is_replaced_at_each_use() {
    let (world, member) = world_with_a_member(&[]).await;
    let mut tokens = sign_in(&world.api, &member.name).await;
    let mut seen = HashSet::new();
    for step in 0..4 {
        let request = world.api.request(Method::POST, REFRESH_TOKEN);
        let request = match step {
            // As front ends do it: the cookie, and no body at all.
            0 => request.header("cookie", format!("theme=dark; refreshToken={}", tokens.refresh)),
            1 => request.json(&json!({"refreshToken": tokens.refresh})),
            2 => request.form(&[("refreshToken", tokens.refresh.as_str())]),
            // A cookie that JavaScript made of nothing is none; one that is there goes before the body.
            _ => request.header("cookie", "refreshToken=undefined").json(&json!({"refreshToken": tokens.refresh})),
        };
        let answer = world.api.send(request).await;
        assert_accepted(&answer, 200);
        let next = Tokens::of(&answer);
        let cookies = cookies(&answer);
        assert!(cookies[0].starts_with(&format!("accessToken={};", next.access)), "{cookies:?}");
        assert!(cookies[1].starts_with(&format!("refreshToken={};", next.refresh)), "{cookies:?}");
        assert!(is_live(&world.api, &next.access).await);
        assert!(seen.insert(next.refresh.clone()), "step {step}");
        tokens = next;
    }
    let both =
        world.api.request(Method::POST, REFRESH_TOKEN).header("cookie", format!("refreshToken={}", tokens.refresh));
    assert_accepted(&world.api.send(both.json(&json!({"refreshToken": "nonsense"}))).await, 200);
    world.end().await;
}

#[tokio::test]
async fn whoever_has_no_refresh_token_is_401() {
    let world = World::start().await;
    let post = |body: Option<Value>| {
        let request = world.api.request(Method::POST, REFRESH_TOKEN);
        world.api.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
    };
    for body in [None, Some(json!({})), Some(json!({"refreshToken": null})), Some(json!({"refreshToken": ""}))] {
        assert_refused(&post(body).await, 401, &[]);
    }
    assert_refused(&post(Some(json!({"refreshToken": {"$gt": ""}}))).await, 422, &["refreshToken"]);
    world.end().await;
}

#[tokio::test]
async fn a_refresh_token_that_is_used_again_ends_its_session_and_no_other() {
    let (world, member) = world_with_a_member(&["--refresh-token-grace=0s"]).await;
    let first = sign_in(&world.api, &member.name).await;
    let other = sign_in(&world.api, &member.name).await;
    let second = Tokens::of(&refresh(&world.api, &first.refresh).await.expect(200));
    let third = Tokens::of(&refresh(&world.api, &second.refresh).await.expect(200));
    assert!(is_live(&world.api, &third.access).await && is_live(&world.api, &first.access).await);

    assert!(!can_refresh(&world.api, &second.refresh).await);
    for tokens in [&first, &second, &third] {
        assert!(!is_live(&world.api, &tokens.access).await);
        assert!(!can_refresh(&world.api, &tokens.refresh).await);
    }
    assert!(is_live(&world.api, &other.access).await && can_refresh(&world.api, &other.refresh).await);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_asks_twice_gets_the_same_successor_from_whichever_process() {
    let (world, member) = world_with_a_member(&[]).await;
    let second_api = world.env.api().await;
    for _ in 0..3 {
        let tokens = sign_in(&world.api, &member.name).await;
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (api, token) = ([&world.api, &second_api][number % 2].client().clone(), tokens.refresh.clone());
            asking.spawn(async move { refresh(&api, &token).await });
        }
        let answers = asking.join_all().await;
        let successors: HashSet<String> =
            answers.into_iter().map(|answer| Tokens::of(&answer.expect(200)).refresh).collect();
        assert_eq!(successors.len(), 1);
        let successor = successors.into_iter().next().expect("one");
        assert_eq!(Tokens::of(&refresh(&second_api, &tokens.refresh).await.expect(200)).refresh, successor);
        // Once that is used, the first one is an old one.
        let third = Tokens::of(&refresh(&world.api, &successor).await.expect(200));
        assert!(!can_refresh(&world.api, &tokens.refresh).await);
        assert!(!is_live(&world.api, &third.access).await);
    }
    second_api.stop().await;
    world.end().await;
}

#[tokio::test]
async fn one_is_signed_in_many_times_and_out_one_at_a_time() {
    let (world, member) = world_with_a_member(&[]).await;
    let (first, second) = (sign_in(&world.api, &member.name).await, sign_in(&world.api, &member.name).await);
    let answer = world.api.with_token(&first.access).post(LOGOUT, &json!({})).await;
    assert_accepted(&answer, 200);
    assert_eq!(answer.data(), &json!({}));
    assert!(!is_live(&world.api, &first.access).await && !can_refresh(&world.api, &first.refresh).await);
    assert!(is_live(&world.api, &second.access).await);
    assert!(member.client.get(CURRENT_USER).await.status == 200);
    assert_refused(&world.api.with_token(&first.access).post(LOGOUT, &json!({})).await, 401, &[]);

    // The access token has expired, or is lost; the browser still has the other cookie.
    let request = world.api.request(Method::POST, LOGOUT).header("cookie", format!("refreshToken={}", second.refresh));
    let answer = world.api.send(request).await;
    assert_accepted(&answer, 200);
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert!(!is_live(&world.api, &second.access).await && !can_refresh(&world.api, &second.refresh).await);

    let nobody = world.api.send(world.api.request(Method::POST, LOGOUT)).await;
    assert_refused(&nobody, 401, &[]);
    assert_eq!(nobody.headers.get_all("set-cookie").iter().count(), 2, "what a browser still has goes anyway");
    world.end().await;
}

#[tokio::test]
async fn one_sees_ones_sessions_and_ends_them() {
    let (world, member) = world_with_a_member(&[]).await;
    let other = world.member().await;
    let request = world.api.request(Method::POST, "/api/v1/users/login").header("user-agent", "$Browser/1.0");
    let request = request.json(&json!({"username": member.name, "password": PASSWORD}));
    let phone = Tokens::of(&world.api.send(request).await.expect(200));

    let answer = member.client.get(SESSIONS).await;
    assert_accepted(&answer, 200);
    let sessions = answer.data().as_array().expect("a list");
    assert_eq!(sessions.len(), 2);
    let (theirs, mine) = (&sessions[0], &sessions[1]);
    assert_eq!((&theirs["current"], &mine["current"]), (&json!(false), &json!(true)));
    assert_eq!((&theirs["userAgent"], &theirs["address"]), (&json!("$Browser/1.0"), &json!("127.0.0.1")));
    assert_eq!(mine["_id"], member.session.to_string());
    for field in ["createdAt", "lastUsedAt", "expiresAt"] {
        assert!(theirs[field].as_str().is_some_and(|time| time.ends_with('Z')), "{theirs}");
    }
    let names: HashSet<&str> = theirs.as_object().expect("an object").keys().map(String::as_str).collect();
    let known = ["_id", "current", "userAgent", "address", "createdAt", "lastUsedAt", "expiresAt"];
    assert_eq!(names, HashSet::from(known), "and nothing of its tokens");

    let id = theirs["_id"].as_str().expect("an id");
    let of = |client: &Client, id: &str| {
        let client = client.clone();
        let request = client.request(Method::DELETE, &format!("{SESSIONS}/{id}"));
        async move { client.send(request).await }
    };
    assert_refused(&of(&other.client, id).await, 404, &[]);
    assert_refused(&of(&member.client, "0123456789abcdef01234567").await, 404, &[]);
    for nonsense in ["1", "%00", "0123456789abcdef0123456g", "{\"$gt\":\"\"}"] {
        assert_refused(&of(&member.client, nonsense).await, 422, &["id"]);
    }
    assert!(is_live(&world.api, &phone.access).await);
    assert_eq!(of(&member.client, &id.to_uppercase()).await.expect(200).header("set-cookie"), "");
    assert!(!is_live(&world.api, &phone.access).await && !can_refresh(&world.api, &phone.refresh).await);
    assert_refused(&of(&member.client, id).await, 404, &[]);

    let own = of(&member.client, &member.session.to_string()).await.expect(200);
    assert_eq!(own.headers.get_all("set-cookie").iter().count(), 2);
    assert_refused(&member.client.get(SESSIONS).await, 401, &[]);
    world.end().await;
}

#[tokio::test]
async fn another_password_ends_every_other_session_at_once_in_every_process() {
    let (world, member) = world_with_a_member(&[]).await;
    let second_api = world.env.api().await;
    let (mine, theirs) = (sign_in(&world.api, &member.name).await, sign_in(&second_api, &member.name).await);
    let change = json!({"oldPassword": PASSWORD, "newPassword": "another password"});
    let answer = world.api.with_token(&mine.access).post(CHANGE_PASSWORD, &change).await;
    assert_accepted(&answer, 200);
    assert_eq!(answer.data(), &json!({}));

    assert!(!is_live(&second_api, &theirs.access).await && !can_refresh(&second_api, &theirs.refresh).await);
    assert_refused(&member.client.get(CURRENT_USER).await, 401, &[]);
    assert!(is_live(&second_api, &mine.access).await && can_refresh(&second_api, &mine.refresh).await);
    let sessions = world.env.database().collection::<Document>("sessions");
    assert_eq!(sessions.count_documents(doc! {}).await.expect("an answer"), 1);

    let login = |password: &str| json!({"username": member.name, "password": password});
    assert_refused(&world.api.post("/api/v1/users/login", &login(PASSWORD)).await, 401, &[]);
    assert_accepted(&world.api.post("/api/v1/users/login", &login("another password")).await, 200);
    second_api.stop().await;
    world.end().await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_when_it_is_too_old() {
    let (world, member) = world_with_a_member(&["--refresh-token-expiry=1h", "--session-max-age=90m"]).await;
    let tokens = sign_in(&world.api, &member.name).await;
    let sessions = world.env.database().collection::<Document>("sessions");
    let id: ObjectId = claim(&tokens.refresh, "family").parse().expect("an id");
    let times = async || {
        let session = sessions.find_one(doc! { "_id": id }).await.expect("an answer").expect("the session");
        let of = |name: &str| session.get_datetime(name).expect("a time").timestamp_millis();
        (of("createdAt"), of("issuedAt"), of("expireAt"))
    };
    let (created, issued, expires) = times().await;
    assert_eq!((created, expires), (issued, issued + 3_600_000));

    let long_ago = DateTime::from_millis(created - 3_000_000);
    sessions.update_one(doc! { "_id": id }, doc! { "$set": { "createdAt": long_ago } }).await.expect("an answer");
    let next = Tokens::of(&refresh(&world.api, &tokens.refresh).await.expect(200));
    let (created, issued, expires) = times().await;
    assert_eq!(expires, created + 5_400_000);
    assert!(expires < issued + 3_600_000);

    // MongoDB removes it at some time from then on. Until then it is over as well.
    let past = doc! { "$set": { "expireAt": DateTime::from_millis(issued - 1) } };
    sessions.update_one(doc! { "_id": id }, past).await.expect("an answer");
    assert!(!can_refresh(&world.api, &next.refresh).await);
    assert_eq!(member.client.get(SESSIONS).await.data().as_array().expect("a list").len(), 1);
    let indexes = sessions.list_indexes().await.expect("an answer");
    let indexes: Vec<mongodb::IndexModel> = futures_util::TryStreamExt::try_collect(indexes).await.expect("indexes");
    let ttl = |index: &mongodb::IndexModel| {
        index.keys == doc! { "expireAt": 1 }
            && index.options.as_ref().is_some_and(|options| options.expire_after.is_some())
    };
    assert!(indexes.iter().any(ttl), "{indexes:?}");
    world.end().await;
}

#[tokio::test]
async fn an_access_token_does_not_outlive_its_session() {
    let (world, member) = world_with_a_member(&["--access-token-expiry=1d", "--refresh-token-expiry=2s"]).await;
    let tokens = sign_in(&world.api, &member.name).await;
    assert!(is_live(&world.api, &tokens.access).await);
    TestEnv::until("the session is over", || async { !is_live(&world.api, &tokens.access).await }).await;
    world.end().await;
}

#[tokio::test]
async fn the_session_that_was_used_least_recently_makes_way_for_one_too_many() {
    let world = World::start().await;
    let member = world.member().await;
    let user = world.env.store().users().find(member.id).await.expect("an answer").expect("the user");
    let mut sessions = vec![member.session];
    for _ in 0..store::MAX_SESSIONS + 5 {
        sessions.push(testkit::session_of(world.env.store(), &user).await.expect("a session").id);
    }
    let live = world.env.store().sessions().live(member.id).await.expect("an answer");
    let live: HashSet<_> = live.into_iter().map(|session| session.id).collect();
    assert_eq!(live, sessions[sessions.len() - store::MAX_SESSIONS..].iter().copied().collect());
    let kept = world.env.database().collection::<Document>("sessions").count_documents(doc! {}).await;
    assert_eq!(kept.expect("an answer"), store::MAX_SESSIONS as u64);
    world.end().await;
}

#[tokio::test]
async fn whoever_is_gone_has_no_session() {
    let (world, member) = world_with_a_member(&[]).await;
    let tokens = sign_in(&world.api, &member.name).await;
    let users = world.env.database().collection::<Document>("users");
    users.delete_one(doc! { "_id": ObjectId::from_bytes(member.id.bytes()) }).await.expect("an answer");
    assert!(!is_live(&world.api, &tokens.access).await && !can_refresh(&world.api, &tokens.refresh).await);
    world.end().await;
}

#[tokio::test]
async fn what_chai_backend_kept_of_its_sessions_is_shown_to_nobody() {
    let (world, member) = world_with_a_member(&[]).await;
    let users = world.env.database().collection::<Document>("users");
    let filter = doc! { "_id": ObjectId::from_bytes(member.id.bytes()) };
    users.update_one(filter, doc! { "$set": { "refreshToken": "of-chai-backend" } }).await.expect("an answer");
    let login = json!({"username": member.name, "password": PASSWORD});
    let mut answers: Vec<Answer> = vec![world.api.post("/api/v1/users/login", &login).await];
    answers.push(member.client.get(CURRENT_USER).await);
    answers.push(
        member
            .client
            .send(member.client.request(Method::PATCH, crate::support::UPDATE_ACCOUNT).json(&json!({"fullName": "A"})))
            .await,
    );
    answers.push(member.client.get(SESSIONS).await);
    for answer in answers {
        let text = answer.expect(200).body.to_string();
        for secret in ["of-chai-backend", "$2b$", "$argon2", "passwordVersion", "\"password\""] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let request = world.api.request(Method::POST, REFRESH_TOKEN).json(&json!({"refreshToken": "of-chai-backend"}));
    assert_refused(&world.api.send(request).await, 401, &[]);
    world.end().await;
}
