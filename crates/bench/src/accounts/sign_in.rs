//! What sign-ins cost everybody else: answer times of another route with and without them.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use mongodb::bson::{Document, doc};
use testkit::{Client, PASSWORD, Services, jpeg};

use super::{USERS, current_user_of};
use crate::load::{self, Latencies, Request};
use crate::system::System;
use crate::table::{Row, milliseconds};

const CONNECTIONS: usize = 16;
const SIGN_INS: usize = 32;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(5);

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Row> {
    let system = System::start(root, services, USERS).await?;
    give_everybody_a_password(&system).await?;
    let (mut alone, mut beside, mut signed_in) = (Latencies::default(), Latencies::default(), 0);
    for _ in 0..ROUNDS {
        alone.extend(current_user(&system).await?);
        let sign_ins = tokio::spawn(load::run(system.api_address, SIGN_INS, ROUND, sign_in));
        beside.extend(current_user(&system).await?);
        let sign_ins = sign_ins.await?;
        anyhow::ensure!(sign_ins.failed == 0, "{} sign-ins failed", sign_ins.failed);
        signed_in += sign_ins.latencies.count();
    }
    system.remove().await?;
    anyhow::ensure!(signed_in > SIGN_INS, "only {signed_in} sign-ins: they did not run");
    let (ours, base) = (beside.percentile(0.99), alone.percentile(0.99));
    let ratio = ours.as_secs_f64() / base.as_secs_f64();
    Ok(Row {
        what: "p99 of that during 32 sign-ins at once, against without",
        ours: milliseconds(ours),
        yardstick: milliseconds(base),
        ratio: format!("{ratio:.2}"),
        bound: "<= 2",
        met: ratio <= 2.0,
    })
}

async fn current_user(system: &System) -> anyhow::Result<Latencies> {
    let load = load::run(system.api_address, CONNECTIONS, ROUND, current_user_of(system)).await;
    anyhow::ensure!(load.failed == 0, "{} requests failed", load.failed);
    Ok(load.latencies)
}

fn sign_in(number: usize) -> Request {
    let body = format!("{{\"username\": \"user{}\", \"password\": \"{PASSWORD}\"}}", number % SIGN_INS);
    Request::new("POST", "/api/v1/users/login", "content-type: application/json\r\n", vec![Bytes::from(body)])
}

/// The hash that the API made for somebody who registered.
async fn give_everybody_a_password(system: &System) -> anyhow::Result<()> {
    let client = Client::new(&format!("http://{}", system.api_address));
    let (name, answer) = client.register(jpeg(2_000)).await;
    answer.expect(201);
    let users = system.database.collection::<Document>("users");
    let user = users.find_one(doc! { "username": name }).await?.context("nobody registered")?;
    users.update_many(doc! {}, doc! { "$set": { "password": user.get_str("password")? } }).await?;
    Ok(())
}
