//! The pages of operators in Chromium, on a desk and on a phone: every page is opened and every button is pressed.

mod actions;
mod pages;
mod screenshots;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use store::AdminRole;
use testkit::tools::{self, browser};
use testkit::{Api, PASSWORD, TestEnv, jpeg};

/// Looks for what keeps people out who cannot see, or use no mouse.
const AXE: &str = "4.11.0";

/// A screen.
#[derive(Debug, Clone, Copy)]
struct Look {
    width: u32,
    height: u32,
    is_dark: bool,
}

const DESK: Look = Look { width: 1280, height: 900, is_dark: false };
const PHONE: Look = Look { width: 390, height: 844, is_dark: false };

/// What it takes to walk. `None` on a machine without Chromium or Node.
struct Walker {
    program: &'static str,
    packages: std::path::PathBuf,
}

impl Walker {
    fn find(what: &str) -> Option<Self> {
        let Some(program) = browser::find() else {
            tools::skip(what, "Chromium is not on this machine");
            return None;
        };
        match tools::node_package("dashboard", "axe-core", AXE) {
            Ok(Some(packages)) => Some(Self { program, packages }),
            Ok(None) => {
                tools::skip(what, "Node or npm is not on this machine");
                None
            }
            Err(error) => panic!("axe-core is not to be had: {error}"),
        }
    }

    /// Signs in, takes the steps one after the other, and answers what was found at each. Fails if anything is wrong with a page.
    async fn walk(&self, env: &TestEnv, api: &Api, name: &str, look: Look, steps: &Value) -> Vec<Value> {
        let folder = tempfile::Builder::new().prefix("walk-").tempdir_in(env.folder()).expect("a folder");
        let plan = json!({
            "driver": Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tools/chromium.cjs"),
            "browser": self.program,
            "programArguments": browser::arguments(&folder.path().join("profile")),
            "url": api.url(),
            "user": {"name": name, "password": PASSWORD},
            "look": {"width": look.width, "height": look.height, "dark": look.is_dark},
            "steps": steps,
        });
        let file = folder.path().join("plan.json");
        std::fs::write(&file, plan.to_string()).expect("written");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journey/dashboard/walk.cjs");
        let mut node = Command::new("node");
        node.arg(script).arg(file).env("NODE_PATH", &self.packages);
        let said = tokio::task::spawn_blocking(move || tools::run(&mut node)).await.expect("no panic");
        let found: Vec<Value> = serde_json::from_str(&said.unwrap_or_else(|said| panic!("{said}"))).expect("JSON");
        for (step, page) in found.iter().enumerate() {
            assert!(page["failed"].is_null(), "{look:?}, step {step}: {page:#}");
            assert_eq!(page["wrong"], json!([]), "{look:?}, step {step}: {page:#}");
        }
        found
    }
}

/// A user who may sign in as an admin.
async fn admin(env: &TestEnv, api: &Api, role: AdminRole) -> String {
    let (name, answer) = api.register(jpeg(1_000)).await;
    answer.expect(201);
    env.store().users().grant_admin(&name, role).await.expect("the database answers").expect("a user");
    name
}
