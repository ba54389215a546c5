//! Sessions that end while their tokens are being exchanged.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use testkit::{Client, PASSWORD, PATIENCE};

use super::tokens::{can_refresh, is_live, world_with_a_member};
use crate::support::{
    CHANGE_PASSWORD, LOGOUT, Tokens, World, assert_accepted, assert_refused, bcrypt_hash, refresh, sign_in,
};

const ROUNDS: usize = 16;

/// Exchanges a session's tokens again and again, until that is refused. Answers all that it ever had.
async fn refresh_until_refused(api: &Client, first: Tokens) -> Vec<Tokens> {
    let deadline = Instant::now() + PATIENCE;
    let (mut all, mut present) = (Vec::new(), first);
    loop {
        assert!(Instant::now() < deadline, "the session goes on");
        let answer = refresh(api, &present.refresh).await;
        all.push(present);
        if answer.status != 200 {
            assert_refused(&answer, 401, &[]);
            return all;
        }
        present = Tokens::of(&answer);
    }
}

/// Fails unless a session has ended: the first of its tokens and the last ones are good for nothing.
async fn assert_ended(api: &Client, all: &[Tokens]) {
    let tokens: Vec<&Tokens> = all.iter().rev().take(3).chain(all.first()).collect();
    for tokens in &tokens {
        assert!(!is_live(api, &tokens.access).await);
    }
    // The present one before any other, which would end the session by being an old one.
    for tokens in &tokens {
        assert!(!can_refresh(api, &tokens.refresh).await);
    }
}

#[tokio::test]
async fn whoever_refreshes_while_the_password_is_changed_is_signed_out_all_the_same() {
    let world = World::start().await;
    let second_api = world.env.api().await;
    let change = json!({"oldPassword": PASSWORD, "newPassword": "another password"});
    for _ in 0..ROUNDS {
        let member = world.member_with_hash(&bcrypt_hash()).await;
        let (here, there) = (sign_in(&world.api, &member.name).await, sign_in(&second_api, &member.name).await);
        let (changed, here, there) = tokio::join!(
            member.client.post(CHANGE_PASSWORD, &change),
            refresh_until_refused(&world.api, here),
            refresh_until_refused(&second_api, there),
        );
        assert_accepted(&changed, 200);
        for all in [here, there] {
            assert_ended(&second_api, &all).await;
        }
        assert!(is_live(&second_api, member.client.token().expect("a session")).await);
    }
    second_api.stop().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_refreshes_while_signing_out_is_signed_out_and_nobody_else() {
    let (world, member) = world_with_a_member(&[]).await;
    let second_api = world.env.api().await;
    for round in 0..ROUNDS {
        let first = sign_in(&world.api, &member.name).await;
        let sign_out = async {
            // Each time a little later.
            for _ in 0..round / 2 {
                assert!(is_live(&world.api, &first.access).await);
            }
            match round % 2 {
                0 => world.api.with_token(&first.access).post(LOGOUT, &json!({})).await,
                _ => {
                    let request = world.api.request(Method::POST, LOGOUT);
                    world.api.send(request.header("cookie", format!("refreshToken={}", first.refresh))).await
                }
            }
        };
        let (signed_out, all) = tokio::join!(sign_out, refresh_until_refused(&second_api, first.clone()));
        assert_accepted(&signed_out, 200);
        assert_ended(&world.api, &all).await;
        assert!(is_live(&second_api, member.client.token().expect("a session")).await);
    }
    second_api.stop().await;
    world.end().await;
}
