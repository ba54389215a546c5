//! Signing in.

use mongodb::bson::{Document, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, PASSWORD, TestEnv};

use crate::support::{
    CURRENT_USER, LOGIN, Member, World, assert_accepted, assert_refused, bcrypt_hash, cookies, sign_in,
};

pub async fn stored_hash(world: &World, member: &Member) -> String {
    let users = world.env.database().collection::<Document>("users");
    let id = ObjectId::from_bytes(member.id.bytes());
    let user = users.find_one(doc! { "_id": id }).await.expect("an answer").expect("the user");
    user.get_str("password").expect("a hash").to_owned()
}

async fn login(world: &World, body: Value) -> Answer {
    world.api.post(LOGIN, &body).await
}

#[tokio::test]
async fn one_signs_in_by_username_by_address_or_by_one_string_sent_as_both() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let (name, email) = (member.name.clone(), format!("{}@example.com", member.name));
    for body in [
        json!({"username": name, "password": PASSWORD}),
        json!({"email": email, "password": PASSWORD}),
        json!({"username": name, "email": name, "password": PASSWORD}),
        json!({"username": email, "email": email, "password": PASSWORD}),
        json!({"username": "", "email": email, "password": PASSWORD}),
        json!({"username": null, "email": email, "password": PASSWORD}),
        json!({"username": format!(" {} ", name.to_uppercase()), "password": PASSWORD, "rememberMe": {"a": [1]}}),
        json!({"email": email.to_uppercase(), "password": PASSWORD}),
    ] {
        let answer = login(&world, body.clone()).await;
        assert_accepted(&answer, 200);
        assert_eq!(answer.data()["user"]["username"], name.as_str(), "{body}");
        let token = answer.data()["accessToken"].as_str().expect("a token");
        let user = world.api.with_token(token).get(CURRENT_USER).await;
        assert_eq!(user.data()["_id"], member.id.to_string());
    }
    world.end().await;
}

#[tokio::test]
async fn a_form_signs_in_as_json_does() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let form = [("username", member.name.as_str()), ("password", PASSWORD)];
    let answer = world.api.send(world.api.request(Method::POST, LOGIN).form(&form)).await;
    assert_accepted(&answer, 200);
    world.end().await;
}

#[tokio::test]
async fn the_session_is_two_cookies_that_scripts_cannot_read_and_that_go_as_they_came() {
    for (url, secure) in [("http://localhost:8000", false), ("https://api.example.com", true)] {
        let args = [&format!("--public-url={url}"), "--access-token-expiry=15m", "--refresh-token-expiry=10d"];
        let world = World::with(&args).await;
        let member = world.member_with_hash(&bcrypt_hash()).await;
        let answer = login(&world, json!({"username": member.name, "password": PASSWORD})).await.expect(200);
        let set = cookies(&answer);
        let mut sent = String::new();
        for (cookie, name, max_age) in [(&set[0], "accessToken", "900"), (&set[1], "refreshToken", "864000")] {
            let token = answer.data()[name].as_str().expect("a token");
            assert!(cookie.starts_with(&format!("{name}={token};")), "{cookie}");
            sent += &format!("{name}={token}; ");
            let mut expected = vec!["HttpOnly", "SameSite=Lax", "Path=/"];
            expected.extend(secure.then_some("Secure"));
            assert_eq!(attributes(cookie, &format!("Max-Age={max_age}")), sorted(expected), "{cookie}");
        }
        assert_eq!(set.len(), 2);

        let request = world.api.request(Method::GET, CURRENT_USER).header("cookie", &sent);
        assert_accepted(&world.api.send(request).await, 200);
        let request = world.api.request(Method::POST, "/api/v1/users/logout").header("cookie", &sent);
        let answer = world.api.send(request).await.expect(200);
        let gone = cookies(&answer);
        assert_eq!(gone.len(), 2);
        for (cookie, was) in gone.iter().zip(&set) {
            assert!(cookie.starts_with("accessToken=;") || cookie.starts_with("refreshToken=;"), "{cookie}");
            assert!(cookie.contains("Expires=Thu, 01 Jan 1970 00:00:00 GMT"), "{cookie}");
            let kept = |cookie: &str| -> Vec<String> {
                let all =
                    cookie.split("; ").skip(1).filter(|one| !one.starts_with("Max-Age") && !one.starts_with("Expires"));
                all.map(str::to_owned).collect()
            };
            assert_eq!(kept(cookie), kept(was));
        }
        world.end().await;
    }
}

/// The attributes of a cookie but for this one, which must be there.
fn attributes<'a>(cookie: &'a str, but: &str) -> Vec<&'a str> {
    let all: Vec<&str> = cookie.split("; ").skip(1).collect();
    assert!(all.contains(&but), "{cookie}");
    sorted(all.into_iter().filter(|one| *one != but).collect())
}

fn sorted(mut all: Vec<&str>) -> Vec<&str> {
    all.sort_unstable();
    all
}

/// The headers that must be the same whatever was wrong: all but the request's id and the time; of the limits all but
/// how much there is and was.
fn headers(answer: &Answer) -> Vec<(&str, String)> {
    let mut headers = Vec::new();
    for (name, value) in &answer.headers {
        let value = value.to_str().expect("text");
        match name.as_str() {
            "x-request-id" | "date" => {}
            name if name.starts_with("ratelimit") => {
                headers.push((name, value.replace(|char: char| char.is_ascii_digit(), "")));
            }
            name => headers.push((name, value.to_owned())),
        }
    }
    headers.sort();
    headers
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let nobody = world.member().await;
    let wrong = login(&world, json!({"username": member.name, "password": "wrong password"})).await;
    assert_refused(&wrong, 401, &[]);
    let account = |header: &str| wrong.header(header).contains("\"account\"");
    assert!(account("ratelimit") && account("ratelimit-policy"), "{:?}", wrong.headers);
    for has_signed_in_from_here in [false, true] {
        if has_signed_in_from_here {
            sign_in(&world.api, &member.name).await;
        }
        for body in [
            json!({"username": "nobody", "password": PASSWORD}),
            json!({"email": "nobody@example.com", "password": PASSWORD}),
            // Somebody without a password, as a row that was imported may be.
            json!({"username": nobody.name, "password": PASSWORD}),
            json!({"username": "{\"$gt\": \"\"}", "password": PASSWORD}),
            json!({"username": member.name, "password": PASSWORD.to_uppercase()}),
            json!({"username": member.name, "password": format!("{PASSWORD} ")}),
            json!({"email": format!("{}@example.com", member.name), "password": "wrong password"}),
        ] {
            let answer = login(&world, body).await;
            assert_refused(&answer, 401, &[]);
            assert_eq!(answer.body, wrong.body);
            assert_eq!(headers(&answer), headers(&wrong));
            assert_eq!(answer.header("set-cookie"), "");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_refusal_takes_its_time_whatever_was_wrong() {
    // Longer than any check, so that an answer that does not wait is too early.
    let world = World::with(&["--login-refusal-time=400ms"]).await;
    let with_chai_backend_hash = world.member_with_hash(&bcrypt_hash()).await;
    let with_hash_of_ours = world.member_with_hash(&bcrypt_hash()).await;
    sign_in(&world.api, &with_hash_of_ours.name).await;
    TestEnv::until("the hash is ours", || async {
        stored_hash(&world, &with_hash_of_ours).await.starts_with("$argon2id$")
    })
    .await;
    let without_hash = world.member().await;
    for (whose, name) in [
        ("nobody", "nobody"),
        ("an Argon2 hash", &with_hash_of_ours.name),
        ("a bcrypt hash", &with_chai_backend_hash.name),
        ("no hash", &without_hash.name),
    ] {
        let answer = login(&world, json!({"username": name, "password": "wrong password"})).await;
        assert_refused(&answer, 401, &[]);
        let took = answer.took.as_millis();
        assert!(took >= 400, "{whose}: {took} ms");
    }
    world.end().await;
}

#[tokio::test]
async fn a_hash_of_chai_backend_is_accepted_and_replaced() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    assert_refused(&login(&world, json!({"username": member.name, "password": "wrong password"})).await, 401, &[]);
    assert!(stored_hash(&world, &member).await.starts_with("$2b$04$"), "a wrong password replaces nothing");

    login(&world, json!({"username": member.name, "password": PASSWORD})).await.expect(200);
    TestEnv::until("the hash is replaced", || async {
        stored_hash(&world, &member).await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
    })
    .await;
    login(&world, json!({"username": member.name, "password": PASSWORD})).await.expect(200);
    assert_refused(&login(&world, json!({"username": member.name, "password": "wrong password"})).await, 401, &[]);
    world.end().await;
}

#[tokio::test]
async fn a_missing_name_or_password_is_422_and_named() {
    let world = World::start().await;
    for (body, fields) in [
        (json!({}), vec!["username", "password"]),
        (json!({"username": "ada"}), vec!["password"]),
        (json!({"username": "ada", "password": ""}), vec!["password"]),
        (json!({"username": "ada", "password": null}), vec!["password"]),
        (json!({"password": PASSWORD}), vec!["username"]),
        (json!({"username": " ", "email": "", "password": PASSWORD}), vec!["username"]),
    ] {
        assert_refused(&login(&world, body).await, 422, &fields);
    }
    // No body at all lacks both.
    assert_refused(&world.api.send(world.api.request(Method::POST, LOGIN)).await, 422, &["username", "password"]);
    world.end().await;
}

#[tokio::test]
async fn more_sign_ins_at_once_than_there_is_room_for_are_told_to_wait() {
    let world = World::with(&["--password-threads=1", "--password-queue=1"]).await;
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let client = world.api.client().clone();
        attempts.spawn(async move { client.post(LOGIN, &json!({"username": "nobody", "password": PASSWORD})).await });
    }
    let answers = attempts.join_all().await;
    let busy: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!busy.is_empty());
    for answer in busy {
        assert_refused(answer, 503, &[]);
        assert_ne!(answer.header("retry-after"), "");
    }
    assert!(answers.iter().any(|answer| answer.status == 401));
    assert!(answers.iter().all(|answer| answer.status == 401 || answer.status == 503));
    world.end().await;
}
