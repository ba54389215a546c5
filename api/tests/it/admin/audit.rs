//! The audit as admins read it.

use serde_json::Value;
use store::{Act, Actor, AdminRole, AuditOutcome, Target};

use super::AUDIT;
use crate::support::{World, assert_refused};

async fn act(world: &World, detail: &str, outcome: Option<AuditOutcome>) {
    let target = Some(Target::new("job", &"some"));
    let act =
        Act { by: Actor::command_line(), from: None, action: "job.retry", target, detail: Some(detail.to_owned()) };
    let entry = world.env.store().audit().begin(act).await.expect("noted");
    if let Some(outcome) = outcome {
        world.env.store().audit().end(entry, &outcome).await.expect("noted");
    }
}

#[tokio::test]
async fn entries_are_listed_from_the_newest_on_with_what_became_of_each() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::ReadOnly).await.client;
    let empty = admin.get(AUDIT).await.expect(200);
    assert_eq!((empty.data()["items"].clone(), &empty.data()["nextCursor"]), (serde_json::json!([]), &Value::Null));
    act(&world, "first", None).await;
    act(&world, "second", Some(AuditOutcome::Done { count: 3 })).await;
    act(&world, "$third", Some(AuditOutcome::Failed { reason: "$it was not there".to_owned() })).await;

    let mut met = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("{AUDIT}?limit=1&cursor={cursor}")).await.expect(200);
        met.push(page.data()["items"][0].clone());
        match page.data()["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let told = |name: &str| met.iter().map(|entry| entry[name].clone()).collect::<Vec<Value>>();
    assert_eq!(told("detail"), ["$third", "second", "first"]);
    assert_eq!(told("outcome"), ["failed", "done", "begun"]);
    assert_eq!(told("count"), [Value::Null, 3.into(), Value::Null]);
    assert_eq!(told("reason"), ["$it was not there".into(), Value::Null, Value::Null]);
    assert_eq!(met[0]["by"], serde_json::json!({"user": null, "name": "command line"}));
    assert_eq!(met[0]["target"], serde_json::json!({"kind": "job", "id": "some"}));
    assert!(met[0]["endedAt"].is_string() && met[2]["endedAt"].is_null() && met[2]["from"].is_null());
    world.end().await;
}

#[tokio::test]
async fn a_cursor_that_is_none_of_the_audits_is_refused_and_named() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::Full).await.client;
    for number in 0..3 {
        act(&world, &number.to_string(), None).await;
    }
    let cursor = admin.get(&format!("{AUDIT}?limit=2")).await.expect(200).data()["nextCursor"].clone();
    let cursor = cursor.as_str().expect("a cursor");
    let jobs = "9f0c3a51d27be8460000019abc4d3e000197a0a000007000800000000000002a";
    for wrong in [jobs, "nonsense", &cursor[1..], &format!("{cursor}0")] {
        let before = world.env.census().await;
        world.refused(before, &admin.get(&format!("{AUDIT}?cursor={wrong}")).await, 422, &["cursor"]).await;
    }
    assert_refused(&admin.get(&format!("{AUDIT}?limit=0")).await, 422, &["limit"]);
    admin.get(&format!("{AUDIT}?limit=1000")).await.expect(200);
    world.end().await;
}
