//! Who has a password checked when many want to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use serde_json::json;
use testkit::{Answer, Client, PASSWORD, TestEnv};
use tokio::task::JoinSet;

use super::login::stored_hash;
use crate::support::{CHANGE_PASSWORD, LOGIN, World, bcrypt_hash};

async fn login_from(api: &Client, address: &str, name: &str) -> Answer {
    let request = api.request(reqwest::Method::POST, LOGIN).header("x-forwarded-for", address);
    api.send(request.json(&json!({"username": name, "password": PASSWORD}))).await
}

/// Accounts of one's own and their right passwords are free: no limit counts them.
#[tokio::test]
async fn right_passwords_from_one_address_keep_nobody_elsewhere_from_signing_in() {
    let world = World::with(&["--trusted-proxies=127.0.0.1", "--password-threads=1", "--password-queue=8"]).await;
    let victim = world.member_with_hash(&bcrypt_hash()).await;
    let enough = Arc::new(AtomicBool::new(false));
    let mut attackers = JoinSet::new();
    for _ in 0..12 {
        let member = world.member_with_hash(&bcrypt_hash()).await;
        for _ in 0..4 {
            let (api, name, enough) = (world.api.client().clone(), member.name.clone(), enough.clone());
            attackers.spawn(async move {
                let mut refused = 0;
                while !enough.load(Ordering::Relaxed) {
                    refused += usize::from(login_from(&api, "198.51.100.1", &name).await.status == 503);
                }
                refused
            });
        }
    }
    // The first of them from an address that the account does not know, and one more from a third.
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(login_from(&world.api, "192.0.2.1", &victim.name).await.status.as_u16());
    }
    statuses.push(login_from(&world.api, "192.0.2.2", &victim.name).await.status.as_u16());
    let change = json!({"oldPassword": PASSWORD, "newPassword": "another password"});
    let request = victim.client.request(reqwest::Method::POST, CHANGE_PASSWORD).header("x-forwarded-for", "192.0.2.1");
    statuses.push(victim.client.send(request.json(&change)).await.status.as_u16());
    enough.store(true, Ordering::Relaxed);
    let refused: usize = attackers.join_all().await.into_iter().sum();
    assert_eq!(statuses, [200; 10]);
    assert!(refused > 0, "the line was never full, so nothing was tried");
    world.end().await;
}

/// Strangers from ever new addresses, each of which has a turn in every round.
#[tokio::test]
async fn whoever_signs_in_from_where_the_account_was_used_goes_before_strangers() {
    let world = World::with(&["--trusted-proxies=127.0.0.1", "--password-threads=1", "--password-queue=4"]).await;
    let mut owners = Vec::new();
    for number in 1..=6 {
        let (owner, address) = (world.member_with_hash(&bcrypt_hash()).await, format!("192.0.2.{number}"));
        login_from(&world.api, &address, &owner.name).await.expect(200);
        // Behind the answer, in a turn that is of the address as well.
        let replaced = async || stored_hash(&world, &owner).await.starts_with("$argon2");
        TestEnv::until("the hash is replaced", replaced).await;
        owners.push((owner, address));
    }
    let (enough, addresses) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let refused = Arc::new(AtomicUsize::new(0));
    let mut strangers = JoinSet::new();
    for _ in 0..16 {
        let member = world.member_with_hash(&bcrypt_hash()).await;
        let (api, name) = (world.api.client().clone(), member.name.clone());
        let (enough, addresses, refused) = (enough.clone(), addresses.clone(), refused.clone());
        strangers.spawn(async move {
            while !enough.load(Ordering::Relaxed) {
                let [_, high, middle, low] = addresses.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                let answer = login_from(&api, &format!("10.{high}.{middle}.{low}"), &name).await;
                refused.fetch_add(usize::from(answer.status == 503), Ordering::Relaxed);
            }
        });
    }
    TestEnv::until("the line is full of strangers", async || refused.load(Ordering::Relaxed) > 10).await;
    let mut statuses = Vec::new();
    for (owner, address) in &owners {
        statuses.push(login_from(&world.api, address, &owner.name).await.status.as_u16());
    }
    enough.store(true, Ordering::Relaxed);
    strangers.join_all().await;
    assert_eq!(statuses, [200; 6]);
    world.end().await;
}
