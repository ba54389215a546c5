//! How often one may guess.

use reqwest::header::HeaderValue;
use serde_json::json;
use testkit::{Answer, Client, PASSWORD, jpeg};

use crate::support::{
    CHANGE_PASSWORD, LOGIN, Member, REGISTER, World, assert_accepted, assert_refused, bcrypt_hash, registration,
};

async fn login_from(api: &Client, address: &str, name: &str, password: &str) -> Answer {
    let request = api.request(reqwest::Method::POST, LOGIN).header("x-forwarded-for", address);
    api.send(request.json(&json!({"username": name, "password": password}))).await
}

/// A world behind a proxy, which is how requests of one machine come from many addresses. Windows are so long that none
/// ends while the test runs.
async fn world(limits: &[&str]) -> (World, Member) {
    let mut args = vec!["--trusted-proxies=127.0.0.1"];
    args.extend(limits);
    let world = World::with(&args).await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    (world, member)
}

fn assert_must_wait(answer: &Answer) {
    assert_refused(answer, 429, &[]);
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
}

fn assert_too_many(answer: &Answer) {
    assert_must_wait(answer);
    assert!(answer.header("ratelimit").contains(";r=0;"), "{}", answer.header("ratelimit"));
}

#[tokio::test]
async fn wrong_passwords_for_an_account_run_out_for_whoever_guesses_and_for_nobody_else() {
    let (world, member) = world(&["--login-limit-account=3/3650d"]).await;
    let second_api = world.env.api_with(&["--trusted-proxies=127.0.0.1", "--login-limit-account=3/3650d"]).await;
    // Whether the account exists makes no difference, and neither does the process that is asked.
    for name in [member.name.as_str(), "nobody"] {
        for left in [2, 1, 0] {
            let api = [&world.api, &second_api][left % 2];
            let answer = login_from(api, "192.0.2.1", name, "wrong password").await;
            assert_refused(&answer, 401, &[]);
            assert!(answer.header("ratelimit-policy").contains("\"account\";q=3;w=315360000"));
            let account = format!("\"account\";r={left};");
            assert!(answer.header("ratelimit").contains(&account), "{}", answer.header("ratelimit"));
        }
        assert_too_many(&login_from(&world.api, "192.0.2.1", name, PASSWORD).await);
        assert_too_many(&login_from(&second_api, "192.0.2.1", &name.to_uppercase(), PASSWORD).await);
    }
    // The owner is somewhere else.
    assert_accepted(&login_from(&world.api, "192.0.2.2", &member.name, PASSWORD).await, 200);
    second_api.stop().await;
    world.end().await;
}

#[tokio::test]
async fn signing_in_costs_nothing_of_what_there_is_to_guess() {
    let (world, member) = world(&["--login-limit-account=2/3650d", "--login-limit-address=2/3650d"]).await;
    for _ in 0..4 {
        let answer = login_from(&world.api, "192.0.2.1", &member.name, PASSWORD).await;
        assert_accepted(&answer, 200);
        assert!(answer.header("ratelimit").contains("\"account\";r=2;"), "{}", answer.header("ratelimit"));
    }
    // Neither does what is no guess.
    for _ in 0..4 {
        assert_refused(&login_from(&world.api, "192.0.2.1", &member.name, "").await, 422, &["password"]);
    }
    assert_refused(&login_from(&world.api, "192.0.2.1", &member.name, "wrong password").await, 401, &[]);
    world.end().await;
}

#[tokio::test]
async fn an_address_runs_out_whatever_accounts_it_tries() {
    let (world, member) = world(&["--login-limit-address=4/3650d"]).await;
    for number in 0..4 {
        let name = format!("nobody{number}");
        assert_refused(&login_from(&world.api, "2001:db8::1", &name, PASSWORD).await, 401, &[]);
    }
    // In IPv6 the network is the address. What the client itself claims to be is not looked at.
    assert_too_many(&login_from(&world.api, "2001:db8::ffff:2", &member.name, PASSWORD).await);
    assert_too_many(&login_from(&world.api, "198.51.100.1, 2001:db8::1", &member.name, PASSWORD).await);
    assert_accepted(&login_from(&world.api, "2001:db8:0:1::1", &member.name, PASSWORD).await, 200);
    world.end().await;
}

#[tokio::test]
async fn strangers_can_shut_out_strangers_and_not_the_owner() {
    let (world, member) = world(&["--login-limit-strangers=3/3650d"]).await;
    assert_accepted(&login_from(&world.api, "192.0.2.1", &member.name, PASSWORD).await, 200);
    for number in 0..3 {
        let address = format!("198.51.100.{number}");
        assert_refused(&login_from(&world.api, &address, &member.name, "wrong password").await, 401, &[]);
    }
    let answer = login_from(&world.api, "198.51.100.9", &member.name, PASSWORD).await;
    assert_must_wait(&answer);
    assert!(!answer.header("ratelimit").contains(";r=0;"), "how many strangers there were is not told");
    assert_accepted(&login_from(&world.api, "192.0.2.1", &member.name, PASSWORD).await, 200);
    // By the name that was not used the last time, too.
    let email = json!({"email": format!("{}@example.com", member.name), "password": PASSWORD});
    let request = world.api.request(reqwest::Method::POST, LOGIN).header("x-forwarded-for", "192.0.2.1").json(&email);
    assert_accepted(&world.api.send(request).await, 200);
    world.end().await;
}

/// It has 256 networks, each with tries of its own.
#[tokio::test]
async fn a_line_of_ipv6_is_one_stranger() {
    let (world, member) = world(&["--login-limit-account=2/3650d", "--login-limit-strangers=4/3650d"]).await;
    for network in 0..6 {
        let answer = login_from(&world.api, &format!("2001:db8:0:{network}::1"), &member.name, "wrong password").await;
        if network < 2 { assert_refused(&answer, 401, &[]) } else { assert_must_wait(&answer) }
    }
    assert_accepted(&login_from(&world.api, "2001:db8:0:100::1", &member.name, PASSWORD).await, 200);
    for _ in 0..2 {
        assert_refused(&login_from(&world.api, "198.51.100.1", &member.name, "wrong password").await, 401, &[]);
    }
    assert_must_wait(&login_from(&world.api, "198.51.100.2", &member.name, PASSWORD).await);
    // The account was used from that line.
    assert_accepted(&login_from(&world.api, "2001:db8:0:1ff::1", &member.name, PASSWORD).await, 200);
    world.end().await;
}

#[tokio::test]
async fn what_nobody_checked_counts_for_nothing() {
    let limits = ["--login-limit-account=2/3650d", "--login-limit-strangers=4/3650d", "--login-limit-address=5/3650d"];
    let (world, member) = world(&limits).await;
    for number in 0..12 {
        let answer = login_from(&world.api, "198.51.100.1", &member.name, "wrong password").await;
        match number {
            0 | 1 => assert_refused(&answer, 401, &[]),
            _ => assert_too_many(&answer),
        }
    }
    // For the account's strangers two of the four, and for the address two of its five.
    assert_accepted(&login_from(&world.api, "198.51.100.2", &member.name, PASSWORD).await, 200);
    let elsewhere = login_from(&world.api, "198.51.100.1", "nobody", "wrong password").await;
    assert_refused(&elsewhere, 401, &[]);
    assert!(elsewhere.header("ratelimit").contains("\"address\";r=2;"), "{}", elsewhere.header("ratelimit"));
    // It takes a second address to use up what strangers have; then that limit counts for the account no more either.
    for _ in 0..2 {
        assert_refused(&login_from(&world.api, "198.51.100.3", &member.name, "wrong password").await, 401, &[]);
    }
    for _ in 0..3 {
        let answer = login_from(&world.api, "198.51.100.4", &member.name, PASSWORD).await;
        assert_must_wait(&answer);
        assert!(answer.header("ratelimit").contains("\"account\";r=2;"), "{}", answer.header("ratelimit"));
    }
    assert_accepted(&login_from(&world.api, "198.51.100.2", &member.name, PASSWORD).await, 200);
    world.end().await;
}

/// What is refused at once costs the others of an address nothing.
#[tokio::test]
async fn right_passwords_at_once_use_up_nothing() {
    let (world, member) = world(&["--login-limit-account=2/3650d", "--login-limit-address=100/3650d"]).await;
    let at_once = (0..20).map(|_| login_from(&world.api, "192.0.2.1", &member.name, PASSWORD));
    for answer in futures_util::future::join_all(at_once).await {
        assert!(matches!(answer.status.as_u16(), 200 | 429), "{}", answer.body);
    }
    let answer = login_from(&world.api, "192.0.2.1", &member.name, PASSWORD).await;
    assert_accepted(&answer, 200);
    assert!(answer.header("ratelimit").contains("\"address\";r=100;"), "{}", answer.header("ratelimit"));
    world.end().await;
}

#[tokio::test]
async fn nobody_is_believed_about_an_address_who_is_no_proxy_of_ours() {
    let world = World::with(&["--login-limit-address=2/3650d"]).await;
    for number in 0..2 {
        let address = format!("192.0.2.{number}");
        assert_refused(&login_from(&world.api, &address, "nobody", PASSWORD).await, 401, &[]);
    }
    assert_too_many(&login_from(&world.api, "192.0.2.9", "somebody", PASSWORD).await);
    world.end().await;
}

#[tokio::test]
async fn a_byte_that_is_not_ascii_hides_nobody_behind_the_proxy() {
    let (world, _) = world(&["--login-limit-address=2/3650d"]).await;
    let guess = async |forwarded: &[u8]| {
        let forwarded = HeaderValue::from_bytes(forwarded).expect("a header");
        let request = world.api.request(reqwest::Method::POST, LOGIN).header("x-forwarded-for", forwarded);
        world.api.send(request.json(&json!({"username": "nobody", "password": PASSWORD}))).await
    };
    for forwarded in [&b"192.0.2.50"[..], b"\xe9, 192.0.2.50"] {
        assert_refused(&guess(forwarded).await, 401, &[]);
    }
    assert_too_many(&guess(b"\xff\xfe,192.0.2.50").await);
    // Nobody uses up what the proxy itself has.
    assert_refused(&guess(b"127.0.0.1").await, 401, &[]);
    world.end().await;
}

#[tokio::test]
async fn whoever_has_a_session_cannot_guess_the_password_with_it() {
    let (world, member) = world(&["--login-limit-account=2/3650d"]).await;
    let change = |old: &str| json!({"oldPassword": old, "newPassword": "another password"});
    for _ in 0..2 {
        let answer = member.client.post(CHANGE_PASSWORD, &change("wrong password")).await;
        assert_refused(&answer, 422, &["oldPassword"]);
    }
    assert_too_many(&member.client.post(CHANGE_PASSWORD, &change(PASSWORD)).await);
    world.end().await;
}

#[tokio::test]
async fn registrations_from_an_address_run_out_before_a_file_is_read() {
    let (world, _) = world(&["--register-limit-address=1/3650d"]).await;
    let form = registration("ada").file("avatar", "me.jpg", jpeg(2_000));
    let first = world.api.upload(reqwest::Method::POST, REGISTER, &form).await.expect(201);
    assert!(first.header("ratelimit").contains("\"address\";r=0;"));
    let before = world.env.census().await;
    let mut wire = testkit::Wire::open(world.api.client()).await;
    wire.form_head("POST", REGISTER, 5_000_000).await;
    let answer = wire.answer().await;
    assert_too_many(&answer);
    world.env.settles_at(before).await;
    world.work_off_and_end().await;
}

#[tokio::test]
async fn counts_go_with_their_window() {
    let (world, _) = world(&["--login-limit-account=5/10m"]).await;
    assert_refused(&login_from(&world.api, "192.0.2.1", "a name or a password", PASSWORD).await, 401, &[]);
    let counts = world.env.database().collection::<mongodb::bson::Document>("attempts");
    let mut found = counts.find(mongodb::bson::doc! {}).await.expect("an answer");
    let mut kept = 0;
    while found.advance().await.expect("an answer") {
        let count = found.deserialize_current().expect("a count");
        assert!(count.get_datetime("expireAt").is_ok(), "{count}");
        assert!(!count.to_string().contains("a name") && !count.to_string().contains("192.0.2.1"), "{count}");
        kept += 1;
    }
    assert_eq!(kept, 3);
    let indexes = counts.list_index_names().await.expect("an answer");
    assert!(indexes.iter().any(|name| name.contains("expireAt")), "{indexes:?}");
    world.end().await;
}
