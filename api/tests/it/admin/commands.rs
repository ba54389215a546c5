//! `api admin`, on the command line.

use std::process::{Command, Output};

use store::AdminRole;
use testkit::TestEnv;

use super::AUDIT;
use crate::support::World;

/// Runs the program with nothing but the settings that a command needs.
fn run(env: &TestEnv, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    let needed = |name: &str| ["MONGODB_URI", "MONGODB_DATABASE"].contains(&name);
    let settings = env.api_settings().into_iter().filter(|(name, _)| needed(name));
    command.current_dir(env.folder()).env_clear().envs(settings).args(["admin"]).args(arguments);
    command.output().expect("the program runs")
}

fn printed(env: &TestEnv, arguments: &[&str]) -> String {
    let output = run(env, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_runs_the_system_grants_and_revokes_and_the_audit_has_it() {
    let world = World::start().await;
    let member = world.member().await;
    assert_eq!(printed(&world.env, &["list"]), "");
    printed(&world.env, &["grant", &member.name, "--read-only"]);
    assert_eq!(printed(&world.env, &["list"]), format!("read-only  {}  {}\n", member.id, member.name));
    member.client.get(AUDIT).await.expect(200);
    printed(&world.env, &["grant", &member.name]);
    // A second time changes nothing.
    printed(&world.env, &["grant", &member.name]);
    assert_eq!(printed(&world.env, &["list"]), format!("full  {}  {}\n", member.id, member.name));
    printed(&world.env, &["revoke", &member.name]);
    assert_eq!(printed(&world.env, &["list"]), "");
    member.client.get(AUDIT).await.expect(403);

    let admin = world.admin(AdminRole::ReadOnly).await;
    let entries = admin.client.get(AUDIT).await.expect(200).data()["items"].clone();
    let entries = entries.as_array().expect("a list");
    let told: Vec<_> = entries.iter().map(|entry| (entry["action"].as_str(), entry["detail"].as_str())).collect();
    let details = [": full", ": full", ": read-only"].map(|role| format!("{}{role}", member.name));
    let granted = details.iter().map(|detail| (Some("admin.grant"), Some(detail.as_str())));
    let expected: Vec<_> = [(Some("admin.revoke"), Some(member.name.as_str()))].into_iter().chain(granted).collect();
    assert_eq!(told, expected);
    for entry in entries {
        assert_eq!((entry["by"]["name"].as_str(), entry["outcome"].as_str()), (Some("command line"), Some("done")));
        assert_eq!(entry["target"]["id"], member.id.to_string());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_has_is_refused_in_one_line() {
    let world = World::start().await;
    for arguments in [&["grant", "nobody\n"][..], &["revoke", "nobody"]] {
        let output = run(&world.env, arguments);
        let line = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), output.stdout.len(), line.lines().count()), (Some(1), 0, 1), "{line}");
        assert!(line.contains("nobody is called nobody"), "{line}");
    }
    world.end().await;
}
