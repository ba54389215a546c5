//! What admins see and do, and what nobody else does.

mod audit;
mod bulk;
mod channels;
mod commands;
mod dead_letters;
mod decisions;
mod fleet;
mod jobs;
mod overview;
mod queues;
mod roles;
mod webhooks;

use reqwest::Method;
use serde_json::{Value, json};
use store::AdminRole;
use testkit::{Answer, Client};

use crate::support::{Member, World};

pub const AUDIT: &str = "/api/v1/admin/audit";

impl World {
    /// A signed-in user who is an admin.
    pub async fn admin(&self, role: AdminRole) -> Member {
        let member = self.member().await;
        let granted = self.env.store().users().grant_admin(&member.name, role).await.expect("an answer");
        assert_eq!(granted, Some(member.id));
        member
    }

    /// The newest entry of the audit.
    pub async fn last_entry(&self, admin: &Client) -> Value {
        admin.get(AUDIT).await.expect(200).data()["items"][0].clone()
    }
}

/// The same request from a stranger's page, with the admin's cookie.
pub async fn from_elsewhere(admin: &Client, method: Method, path: &str, body: &Value) -> Answer {
    let token = admin.token().expect("a session");
    let request = Client::new(admin.url()).request(method, path).header("origin", "https://evil.example.com");
    admin.send(request.header("cookie", format!("accessToken={token}")).json(body)).await
}

/// Fails unless a writing route refuses whoever may not write, with one and the same text, and pages elsewhere, and changes nothing.
pub async fn assert_guarded(world: &World, admin: &Client, method: Method, path: &str, body: &Value) {
    let (reader, member) = (world.admin(AdminRole::ReadOnly).await, world.member().await);
    let before = world.env.census().await;
    let entries = world.env.database().collection::<mongodb::bson::Document>("audit");
    let noted = entries.count_documents(mongodb::bson::doc! {}).await.expect("a count");
    let send = async |client: &Client| client.send(client.request(method.clone(), path).json(body)).await;
    let nobody = Client::new(admin.url());
    world.refused(before, &send(&nobody).await, 401, &[]).await;
    for client in [&reader.client, &member.client] {
        let answer = send(client).await;
        world.refused(before, &answer, 403, &[]).await;
        assert_eq!(answer.body["type"], "urn:steep:problem:forbidden");
        assert_eq!(answer.body["detail"], "you may not do this");
    }
    let answer = from_elsewhere(admin, method.clone(), path, body).await;
    world.refused(before, &answer, 403, &[]).await;
    assert_eq!(answer.body["type"], "urn:steep:problem:cross-origin");
    assert_eq!(entries.count_documents(mongodb::bson::doc! {}).await.expect("a count"), noted, "nobody has acted");
}

/// An empty body.
pub fn nothing() -> Value {
    json!({})
}
