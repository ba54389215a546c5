//! Who has a password checked when many want to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use testkit::{Answer, Client, PASSWORD};
use tokio::task::JoinSet;

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
